/* The ledger's table: its columns, its versions, the statements on it; one row found, read and changed (pwk_database). Within a
 * call that the ledger has begun; what the rows mean, and in which order they change, is pwk_ledger's. */
#ifndef PWK_TABLE_H
#define PWK_TABLE_H

#include "../core/pwk_purchase.h"
#include "pwk_database.h"

typedef enum {
    PWK_TABLE_BY_ID,
    PWK_TABLE_BY_SALE,
    PWK_TABLE_BY_TOKEN,
    PWK_TABLE_BY_RUNNING,
    PWK_TABLE_BY_GRANTING,
    PWK_TABLE_BY_FINISHED,
    PWK_TABLE_BY_DUE,
    PWK_TABLE_BY_PAGE,
    PWK_TABLE_BY_NEGLECTED,
    PWK_TABLE_INSERT,
    PWK_TABLE_TAKE_OVER,
    PWK_TABLE_FILL,
    PWK_TABLE_SELL,
    PWK_TABLE_DROP,
    PWK_TABLE_CLAIM,
    PWK_TABLE_MAKE_SURE,
    PWK_TABLE_MOVE,
    PWK_TABLE_NOTE_SHOWN,
    PWK_TABLE_LEASE,
    PWK_TABLE_NOTE_ABSENT,
    PWK_TABLE_FORGET,
    PWK_TABLE_TRY,
    PWK_TABLE_PARK,
    PWK_TABLE_HEAL,
    PWK_TABLE_STATEMENTS
} pwk_table_statement;

#define PWK_TABLE_COLUMNS 33 /* the members of a purchase; its mark stands behind them */

extern const pwk_database_plan pwk_table_plan;

/* As the table has them: whole seconds, and no NULL. */
apr_time_t pwk_table_whole(apr_time_t at);
const char *pwk_table_seconds(apr_time_t at, apr_pool_t *p);
const char *pwk_table_text(const char *value);
/* All of a purchase's, in the order of the columns. */
void pwk_table_values(const char **values, const pwk_purchase *purchase, apr_pool_t *p);

/* The first row that a statement finds, and its mark (or NULL). APR_NOTFOUND: there is none. */
apr_status_t pwk_table_find(pwk_database_call *c, pwk_table_statement which, const char **values,
                            pwk_purchase *purchase, const char **mark);
apr_status_t pwk_table_find_id(pwk_database_call *c, const char *id, pwk_purchase *purchase, const char **mark);
apr_status_t pwk_table_find_running(pwk_database_call *c, const char *organisation, const char *environment,
                                    const char *account, pwk_purchase *purchase);
/* … in CREATED, of the same site, reader, offer, period and start as `like`. */
apr_status_t pwk_table_find_sale(pwk_database_call *c, const pwk_purchase *like, pwk_purchase *purchase);

/* All that a statement finds, and in `unreadable` (const char *; NULL: then one fails the whole) the ids of rows that make no
 * sense: they are noted as the call's trouble and left out, since others must not wait for them. */
apr_status_t pwk_table_rows(apr_array_header_t **rows, apr_array_header_t *unreadable, pwk_database_call *c,
                            pwk_table_statement which, const char **values);

/* Writes the row of that id with `mark` for its mark, also where the answer is lost. APR_EBUSY: the statement did not apply to
 * it. */
apr_status_t pwk_table_change(pwk_database_call *c, pwk_table_statement which, const char **values, const char *id,
                              const char *mark);

/* Makes sure that what only the mark vouches for is on disk. */
apr_status_t pwk_table_make_sure(pwk_database_call *c, const char *id, const char *mark);

#endif
