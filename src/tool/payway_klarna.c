/* payway-klarna: the operator's tool. This file is its map: which subjects there are. */
#include <apr_general.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool_ledger.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static const struct {
    const char *name, *help;
    int (*run)(int argc, const char *const *argv, apr_pool_t *p);
} subjects[] = {
    {"ledger", "look at purchases, and settle what httpd cannot find out", tool_ledger},
};
enum { SUBJECTS = sizeof(subjects) / sizeof(*subjects) };

static int help(FILE *to, int status)
{
    fputs("payway-klarna SUBJECT ...: for those who operate mod_payway_klarna\n\n", to);
    for (int i = 0; i < SUBJECTS; i++)
        fprintf(to, "  %-12s %s\n", subjects[i].name, subjects[i].help);
    fputs("\nMore: payway-klarna SUBJECT --help; man payway-klarna\n", to);
    return status;
}

static int run(int argc, const char *const *argv, apr_pool_t *p)
{
    if (argc < 2)
        return help(stderr, TOOL_TROUBLE);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
        return help(stdout, TOOL_OK);
    if (!strcmp(argv[1], "--version")) {
        puts("payway-klarna " PACKAGE_VERSION);
        return TOOL_OK;
    }
    for (int i = 0; i < SUBJECTS; i++) {
        if (!strcmp(argv[1], subjects[i].name))
            return subjects[i].run(argc - 1, argv + 1, p);
    }
    tool_complain(TOOL_TROUBLE, "%s is no subject", argv[1]);
    return help(stderr, TOOL_TROUBLE);
}

int main(int argc, const char *const *argv)
{
    const char *const *given = argv;
    apr_pool_t *p;
    int status;
    if (apr_app_initialize(&argc, &given, NULL) != APR_SUCCESS)
        return TOOL_TROUBLE;
    atexit(apr_terminate);
    if (apr_pool_create(&p, NULL) != APR_SUCCESS)
        return TOOL_TROUBLE;
    status = run(argc, given, p);
    apr_pool_destroy(p);
    return status;
}
