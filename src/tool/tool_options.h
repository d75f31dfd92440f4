/* What was asked for on the command line: options, by one table for all subcommands, and the words beside them. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <apr_pools.h>
#include <apr_time.h>

/* Exit statuses. NO: not possible, or something needs a person; TROUBLE: asked in the wrong way, or it could not be found
 * out. */
enum { TOOL_OK = 0, TOOL_NO = 1, TOOL_TROUBLE = 2 };

typedef enum {
    TOOL_HELP,
    TOOL_LEDGER,
    TOOL_CONFIG,
    TOOL_STATE,
    TOOL_ACCOUNT,
    TOOL_ORGANISATION,
    TOOL_SINCE,
    TOOL_ALL,
    TOOL_LIMIT,
    TOOL_FORMAT,
    TOOL_ORDER,
    TOOL_NOTE,
    TOOL_FORCE,
    TOOL_DRY_RUN,
    TOOL_OPTIONS
} tool_option;

#define TOOL_TAKES(option) (1U << (option))

typedef struct {
    apr_pool_t *p;
    apr_time_t now;
    const char *command;             /* "ledger list": what messages and help call it */
    const char *user;                /* who called it; by sudo, who called that */
    const char *value[TOOL_OPTIONS]; /* as given, "" for one without an argument; NULL: not given */
    const char *const *words;        /* the others */
    int word_count;
} tool_request;

/* The name for `user`: of whoever runs this, before anything else has become somebody else. */
const char *tool_options_user(apr_pool_t *p);

/* Reads what follows the subcommand, argv[0] being its name; `takes` are bits of TOOL_TAKES. TOOL_TROUBLE: it was said
 * what is wrong. */
int tool_options_read(tool_request *request, unsigned takes, int argc, const char *const *argv);

/* The lines of --help about these options. */
void tool_options_print(unsigned takes);

/* Of --state: bits of 1 << state; `otherwise` when it was not given. Of --limit: a number, 0 when not given. Of --since:
 * a date or an age, 0 when not given. TOOL_TROUBLE: it was said what is wrong. */
int tool_options_states(unsigned *states, const tool_request *request, unsigned otherwise);
int tool_options_limit(int *limit, const tool_request *request);
int tool_options_since(apr_time_t *since, const tool_request *request);

/* One line on standard error, in the tool's name; returns `status`. */
int tool_complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for what is used in the wrong way, with where to read more; returns TOOL_TROUBLE. */
int tool_misused(const tool_request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
