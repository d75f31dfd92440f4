/* An open ledger, which was one before: nothing is made and no older table is changed here. httpd alone does that. */
#ifndef TOOL_OPEN_H
#define TOOL_OPEN_H

#include "../httpd/pwk_database.h"
#include "../httpd/pwk_ledger.h"
#include "tool_options.h"

/* Statements beside the ledger's own, for what its functions leave out or do not tell. */
typedef enum {
    TOOL_VERSION,     /* of the tables */
    TOOL_RAW_PAGE,    /* the next 500 rows after an id: id, state, period_type, and the columns of tool_open_numbers */
    TOOL_TWICE_ORDER, /* two ids and how many, of purchases with one order */
    TOOL_TWICE_TOKEN,
    TOOL_TWICE_RUNNING,
    TOOL_OTHER_ORDER, /* organisation, environment, order, id: the id of another purchase with that order */
    TOOL_INTEGRITY,   /* SQLite alone: "ok", or what is wrong */
    TOOL_STATEMENTS
} tool_statement;

typedef struct {
    const char *name; /* that may be printed */
    int is_file;
    pwk_ledger *ledger;
    pwk_database *raw;
    int troubles; /* complaints of the database so far */
    int quiet;    /* do not print them */
} tool_opened;

/* Finds it and opens it. TOOL_TROUBLE: it was said what is wrong. */
int tool_open(tool_opened **opened, const tool_request *request);

/* `*rows` (const char *const *) of a statement. TOOL_TROUBLE: it was said. */
int tool_open_read(apr_array_header_t **rows, tool_opened *opened, tool_statement which, const char **values,
                   apr_pool_t *p);

/* Calls `visit` for every purchase that can be read, in the order of their ids; they live as long as `page`. TOOL_TROUBLE: the
 * end was not reached, and it was said. */
typedef void tool_visit(void *context, const pwk_purchase *purchase, apr_pool_t *page);
int tool_open_each(tool_opened *opened, tool_visit *visit, void *context, apr_pool_t *p);

/* Columns that hold whole numbers. NULL at the end. */
extern const char *const tool_open_numbers[];

#endif
