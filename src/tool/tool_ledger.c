#include "tool_ledger.h"

#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#define EVERYWHERE (TOOL_TAKES(TOOL_HELP) | TOOL_TAKES(TOOL_LEDGER) | TOOL_TAKES(TOOL_CONFIG))

static const struct subcommand {
    const char *name, *words;
    int word_count;
    unsigned takes;
    int (*run)(tool_opened *opened, const tool_request *request);
    const char *help; /* one line */
    const char *more;
} subcommands[] = {
    {"list", "", 0,
     EVERYWHERE | TOOL_TAKES(TOOL_STATE) | TOOL_TAKES(TOOL_ACCOUNT) | TOOL_TAKES(TOOL_ORGANISATION)
         | TOOL_TAKES(TOOL_SINCE) | TOOL_TAKES(TOOL_ALL) | TOOL_TAKES(TOOL_LIMIT) | TOOL_TAKES(TOOL_FORMAT),
     tool_list, "purchases that are under way or need somebody, the newest first",
     "Without --state and --all: placing, unknown, manual, placed, and failed ones of which Payway has an order.\n"},
    {"show", " ID", 1, EVERYWHERE | TOOL_TAKES(TOOL_FORMAT), tool_show, "one purchase, what it means, and what to do",
     ""},
    {"resolve", " ID placed|failed --note TEXT", 2,
     EVERYWHERE | TOOL_TAKES(TOOL_ORDER) | TOOL_TAKES(TOOL_NOTE) | TOOL_TAKES(TOOL_FORCE) | TOOL_TAKES(TOOL_DRY_RUN),
     tool_resolve, "say how a manual or unknown purchase ended",
     "placed: the order was seen in Payway. The reader reads, and buys again once Payway shows the products.\n"
     "failed: it was seen that there is none. The reader may buy again.\n"
     "Status 0: done; 1: not possible, and why.\n"},
    {"verify", "", 0, EVERYWHERE | TOOL_TAKES(TOOL_FORMAT), tool_verify,
     "read all, and say what does not fit or needs a person",
     "Status 0: nothing; 1: something needs a person; 2: not all could be read.\n"},
    {"export", "", 0, EVERYWHERE | TOOL_TAKES(TOOL_STATE) | TOOL_TAKES(TOOL_SINCE) | TOOL_TAKES(TOOL_FORMAT),
     tool_export, "every purchase, without what is sealed, in the order of their ids",
     "--format csv or json is needed.\n"},
};
enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(*subcommands) };

static int help(FILE *to, int status)
{
    fputs("payway-klarna ledger ...: purchases, in the ledger that PaywayLedger names\n\n", to);
    for (int i = 0; i < SUBCOMMANDS; i++)
        fprintf(to, "  %s%s\n      %s\n", subcommands[i].name, subcommands[i].words, subcommands[i].help);
    fputs("\nThe ledger: --ledger 'sqlite3 PATH' or 'pgsql \"PARAMS\"', else --config FILE, else PAYWAY_LEDGER in the\n"
          "environment, else /var/lib/payway_klarna/ledger.db. Root becomes the owner of an SQLite file.\n"
          "Nothing that is sealed and no token is ever printed. Times are UTC.\n"
          "\nMore: payway-klarna ledger SUBCOMMAND --help\n",
          to);
    return status;
}

static int help_about(const struct subcommand *subcommand)
{
    printf("payway-klarna ledger %s%s: %s\n\n", subcommand->name, subcommand->words, subcommand->help);
    tool_options_print(subcommand->takes);
    printf("%s%s", *subcommand->more ? "\n" : "", subcommand->more);
    return TOOL_OK;
}

static int run(const struct subcommand *subcommand, int argc, const char *const *argv, apr_pool_t *p)
{
    tool_request request = {.p = p, .now = apr_time_now(), .user = tool_options_user(p)};
    tool_opened *opened;
    request.command = apr_pstrcat(p, "ledger ", subcommand->name, NULL);
    if (tool_options_read(&request, subcommand->takes, argc, argv) != TOOL_OK)
        return TOOL_TROUBLE;
    if (request.value[TOOL_HELP])
        return help_about(subcommand);
    if (request.word_count != subcommand->word_count)
        return tool_misused(&request, "%s %s%s",
                            request.word_count < subcommand->word_count ? "this is not all:" : "too many words:",
                            subcommand->name, subcommand->words);
    return tool_open(&opened, &request) == TOOL_OK ? subcommand->run(opened, &request) : TOOL_TROUBLE;
}

int tool_ledger(int argc, const char *const *argv, apr_pool_t *p)
{
    if (argc < 2)
        return help(stderr, TOOL_TROUBLE);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
        return help(stdout, TOOL_OK);
    for (int i = 0; i < SUBCOMMANDS; i++) {
        if (!strcmp(argv[1], subcommands[i].name))
            return run(&subcommands[i], argc - 1, argv + 1, p);
    }
    tool_complain(TOOL_TROUBLE, "ledger %s is no subcommand", argv[1]);
    return help(stderr, TOOL_TROUBLE);
}
