#include "tool_options.h"

#include <apr_getopt.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../core/pwk_purchase.h"
#include "../core/pwk_text.h"

enum { FIRST = 256, NUMBER_MAX = 9 /* digits */, USER_MAX = 32 };

static const struct {
    const char *name, *argument, *help;
} options[TOOL_OPTIONS] = {
    [TOOL_HELP] = {"help", NULL, "print this"},
    [TOOL_LEDGER] = {"ledger", "'DRIVER PARAMS'",
                     "the ledger, as in PaywayLedger; also PAYWAY_LEDGER in the environment"},
    [TOOL_CONFIG] = {"config", "FILE", "the ledger that this httpd configuration names"},
    [TOOL_STATE] = {"state", "STATE,...", "only purchases in these states"},
    [TOOL_ACCOUNT] = {"account", "ID", "only those of this account"},
    [TOOL_ORGANISATION] = {"organisation", "NAME", "only those of this organisation"},
    [TOOL_SINCE] = {"since", "DATE|AGE",
                    "only what changed since 2026-11-25, 2026-11-25T14:00:00Z (UTC), or 90m, 24h, 7d ago"},
    [TOOL_ALL] = {"all", NULL, "every purchase, not only what is under way or needs somebody"},
    [TOOL_LIMIT] = {"limit", "N", "the newest N at most"},
    [TOOL_FORMAT] = {"format", "FORMAT", "table (or text), csv, or json: one object per line"},
    [TOOL_ORDER] = {"order", "ORDER", "the order's id in Payway"},
    [TOOL_NOTE] = {"note", "TEXT", "why, for whoever reads it later (needed)"},
    [TOOL_FORCE] = {"force", NULL, "also while Klarna's authorization could still be used"},
    [TOOL_DRY_RUN] = {"dry-run", NULL, "say what would be done, and do nothing"},
};

int tool_complain(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("payway-klarna: ", stderr);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it was, two lines above */
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

int tool_misused(const tool_request *request, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tool_complain(TOOL_TROUBLE, "%s (see payway-klarna %s --help)", apr_pvsprintf(request->p, format, arguments),
                  request->command);
    va_end(arguments);
    return TOOL_TROUBLE;
}

void tool_options_print(unsigned takes)
{
    for (int i = 0; i < TOOL_OPTIONS; i++) {
        char name[64];
        if (!(takes & TOOL_TAKES(i)))
            continue;
        apr_snprintf(name, sizeof(name), "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                     options[i].argument ? options[i].argument : "");
        printf("  %-25s %s\n", name, options[i].help);
    }
}

/* What sudo says is believed when it is root's own word. */
const char *tool_options_user(apr_pool_t *p)
{
    const char *sudo = getuid() ? NULL : getenv("SUDO_USER");
    const struct passwd *user = getpwuid(getuid());
    if (sudo && pwk_text_is_visible(sudo, USER_MAX))
        return apr_pstrdup(p, sudo);
    return user ? apr_pstrdup(p, user->pw_name) : apr_psprintf(p, "uid %lu", (unsigned long)getuid());
}

/* apr_getopt's own words name the program by its path, and know nothing of --help. */
static void say_nothing(void *arg, const char *format, ...)
{
    (void)arg;
    (void)format;
}

int tool_options_read(tool_request *request, unsigned takes, int argc, const char *const *argv)
{
    apr_getopt_option_t known[TOOL_OPTIONS + 1] = {{NULL}};
    apr_getopt_t *os;
    const char *argument;
    int found = 0, n = 0;
    apr_status_t rv;
    for (int i = 0; i < TOOL_OPTIONS; i++) {
        if (takes & TOOL_TAKES(i))
            known[n++] =
                (apr_getopt_option_t){options[i].name, FIRST + i, options[i].argument != NULL, options[i].help};
    }
    if (apr_getopt_init(&os, request->p, argc, argv) != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE, "out of memory");
    os->interleave = 1;
    os->errfn = say_nothing;
    while ((rv = apr_getopt_long(os, known, &found, &argument)) == APR_SUCCESS) {
        const char **value = &request->value[found - FIRST];
        if (*value)
            return tool_misused(request, "--%s is given twice", options[found - FIRST].name);
        *value = argument ? argument : "";
    }
    if (rv != APR_EOF)
        return tool_misused(request, "%s is no option here, or lacks its argument", os->argv[os->ind - 1]);
    request->words = (const char *const *)os->argv + os->ind;
    request->word_count = argc - os->ind;
    return TOOL_OK;
}

int tool_options_states(unsigned *states, const tool_request *request, unsigned otherwise)
{
    const char *given = request->value[TOOL_STATE];
    char *rest = apr_pstrdup(request->p, given ? given : ""), *last;
    *states = given ? 0 : otherwise;
    for (char *word = apr_strtok(rest, ",", &last); word; word = apr_strtok(NULL, ",", &last)) {
        int state = pwk_purchase_state_of(word);
        if (state < 0)
            return tool_misused(
                request, "\"%s\" is no state: created, placing, placed, confirmed, failed, unknown, manual, expired",
                word);
        *states |= 1U << state;
    }
    return *states || !given ? TOOL_OK : tool_misused(request, "--state names none");
}

/* A number of digits alone; -1: it is none. */
static apr_int64_t number_of(const char *text, size_t len)
{
    return len && len <= NUMBER_MAX && strspn(text, "0123456789") >= len ? apr_atoi64(text) : -1;
}

int tool_options_limit(int *limit, const tool_request *request)
{
    const char *given = request->value[TOOL_LIMIT];
    apr_int64_t number = given ? number_of(given, strlen(given)) : 0;
    *limit = (int)number;
    return !given || number > 0 ? TOOL_OK : tool_misused(request, "--limit \"%s\" is no number above 0", given);
}

/* "2026-11-25", with or without "T14:00:00Z". */
static int read_date(apr_time_t *at, const char *text)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    size_t len = strlen(text);
    apr_time_exp_t parts = {0};
    if (len != strlen("0000-00-00") && len != strlen(shape))
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return 0;
    }
    parts.tm_year = (int)apr_atoi64(text) - 1900;
    parts.tm_mon = (int)apr_atoi64(text + 5) - 1;
    parts.tm_mday = (int)apr_atoi64(text + 8);
    if (len == strlen(shape)) {
        parts.tm_hour = (int)apr_atoi64(text + 11);
        parts.tm_min = (int)apr_atoi64(text + 14);
        parts.tm_sec = (int)apr_atoi64(text + 17);
    }
    return parts.tm_year >= 70 && parts.tm_mon >= 0 && parts.tm_mon < 12 && parts.tm_mday >= 1 && parts.tm_mday <= 31
           && parts.tm_hour < 24 && parts.tm_min < 60 && parts.tm_sec < 60
           && apr_time_exp_gmt_get(at, &parts) == APR_SUCCESS;
}

static int read_age(apr_time_t *at, const char *text, apr_time_t now)
{
    static const struct {
        char unit;
        int seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    size_t len = strlen(text);
    apr_int64_t number = len ? number_of(text, len - 1) : -1;
    for (size_t i = 0; number >= 0 && i < sizeof(units) / sizeof(*units); i++) {
        if (text[len - 1] == units[i].unit) {
            *at = now - apr_time_from_sec(number * units[i].seconds);
            return 1;
        }
    }
    return 0;
}

int tool_options_since(apr_time_t *since, const tool_request *request)
{
    const char *given = request->value[TOOL_SINCE];
    *since = 0;
    if (!given || read_date(since, given) || read_age(since, given, request->now))
        return TOOL_OK;
    return tool_misused(request, "--since \"%s\" is neither a date (2026-11-25) nor an age (24h)", given);
}
