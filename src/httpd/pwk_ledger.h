/* The ledger: purchases as rows of a database (pwk_database). The truth about money: a state changes by one
 * autocommitted UPDATE … WHERE id = ? AND state = ?, unique indexes keep two purchases of a reader from running at
 * once, and an error means: read the row again (DESIGN §1, §5; prototypes §3). Knows no httpd header, so that a test
 * links it alone. */
#ifndef PWK_LEDGER_H
#define PWK_LEDGER_H

#include "../core/pwk_purchase.h"

/* Of the tables. */
#define PWK_LEDGER_VERSION 2

typedef struct pwk_ledger pwk_ledger;

/* Told of every failure of the database: `doing` is a literal, `detail` the driver's words, bounded. */
typedef void pwk_ledger_complain(void *context, apr_status_t rv, const char *doing, const char *detail);

/* child_init: a ledger that opens its connections when they are first needed, never as root, and closes them with `p`.
 * `driver` is "sqlite3" (params: an absolute path) or "pgsql" (libpq's). Usable by all threads, which after the end of
 * `p` are only told that it is over. The schema is made, or its version checked, by every connection that is opened;
 * another version than ours fails every call with APR_EMISMATCH. */
apr_status_t pwk_ledger_create(pwk_ledger **ledger, const char *driver, const char *params,
                               pwk_ledger_complain *complain, void *context, apr_pool_t *p);

/* What follows returns APR_SUCCESS, what each names, or another status: could not find out, after `complain` was
 * called (with APR_EOF: this process is ending, which is no fault of the ledger's). Nothing waits longer than a few seconds. Rows live in `p`; one that is handed in is changed on success alone.
 * Times are kept in whole seconds; `now` becomes the row's `changed` where it is not said to be something else. */

/* The row of that id. APR_NOTFOUND: there is none. */
apr_status_t pwk_ledger_read(pwk_purchase *purchase, pwk_ledger *ledger, const char *id, apr_pool_t *p);

/* Inserts `purchase` as CREATED with an empty session. APR_EEXIST: the reader has one in CREATED for the same site,
 * offer, period and start, now in `*other`. */
apr_status_t pwk_ledger_begin(pwk_ledger *ledger, const pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p);

/* Takes over the making of the session of a CREATED row without one whose `due` (as read: `was`) has passed. APR_EBUSY:
 * somebody else did. */
apr_status_t pwk_ledger_take_over(pwk_ledger *ledger, const char *id, apr_time_t was, apr_time_t due, apr_pool_t *p);

/* Puts the sealed session into a CREATED row that has none. APR_EBUSY: it has one, or has gone on. */
apr_status_t pwk_ledger_fill(pwk_ledger *ledger, const char *id, const char *session, apr_time_t expires,
                             apr_time_t now, apr_pool_t *p);

/* Replaces the sealed sale of a CREATED row: the reader pressed buy again elsewhere. APR_EBUSY: it has gone on. */
apr_status_t pwk_ledger_sell(pwk_ledger *ledger, const char *id, const char *sale, apr_time_t now, apr_pool_t *p);

/* Removes a CREATED row without a session: none could be made. Not finding it is success. */
apr_status_t pwk_ledger_drop(pwk_ledger *ledger, const char *id, apr_pool_t *p);

/* Claims the right to place the order of `purchase` (token_hash, claimed, due, grant_from, grant_until are taken from
 * it): CREATED -> PLACING, committed before it returns, so that a crash after this point is seen as UNKNOWN, never as
 * "not sent"; sets its state, `changed` to `claimed` and `next_look` to `due`. APR_EBUSY: another purchase of this account runs, or this
 * token has claimed one; it is in `*other`. APR_NOTFOUND: the row has left CREATED; read it again. Any other failure
 * means that nothing may be sent. Guide step 5; threats H-02, H-03, H-05. */
apr_status_t pwk_ledger_claim(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p);

/* Moves `purchase` (as read) by `event` (pwk_purchase_next) with its order_id, error, field, redirect, note and shown as they stand
 * in it, and sets its state, `changed` and `next_look` (pwk_schedule). NOT_SENT also clears token_hash, claimed, due and the grant.
 *
 * APR_EBUSY: it is no longer in that state, or not by that claim. APR_EINVAL: the event means nothing there, or is
 * PWK_EVENT_CLAIM, which is pwk_ledger_claim's alone. APR_EEXIST, from NOT_SENT alone: the reader has begun the same
 * sale again meanwhile, and one CREATED row of it is all that there may be; this one still runs, and goes on by another
 * event. `complain` was called all the same. */
apr_status_t pwk_ledger_move(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now,
                             apr_pool_t *p);

/* The purchase of this account that runs (pwk_purchase_is_running). APR_NOTFOUND: none. */
apr_status_t pwk_ledger_running(pwk_purchase *purchase, pwk_ledger *ledger, const char *organisation,
                                const char *environment, const char *account, apr_pool_t *p);

/* Another purchase of `own`'s account that was placed, or may have been, and changed since `since`. APR_NOTFOUND: none. */
apr_status_t pwk_ledger_finished(pwk_purchase *purchase, pwk_ledger *ledger, const pwk_purchase *own, apr_time_t since,
                                 apr_pool_t *p);

/* `*rows` (pwk_purchase): purchases of this account in PLACED, or that Payway has not shown yet in UNKNOWN or CONFIRMED,
 * or in PLACING past their `due`, with grant_until after `now`; at most 32, the newest first. */
apr_status_t pwk_ledger_granting(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                                 const char *environment, const char *account, apr_time_t now, apr_pool_t *p);

/* `*rows` (pwk_purchase): those of all accounts of this organisation whose next_look has come; at most 20, the longest
 * overdue first. A row that cannot be read is complained about, left out, and put off for an hour. */
apr_status_t pwk_ledger_due(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                            const char *environment, apr_time_t now, apr_pool_t *p);

/* `*rows` (pwk_purchase): the next 500 of the whole ledger in the order of their ids, from the first after `after` (""): none
 * when that was the last. A row that cannot be read is complained about, and left out. */
apr_status_t pwk_ledger_page(apr_array_header_t **rows, pwk_ledger *ledger, const char *after, apr_pool_t *p);

/* Removes, at most 1,000 at once, purchases that came to nothing (EXPIRED) and last changed before `unsold`, and ended ones
 * (FAILED, CONFIRMED) before `ended`, the earlier of the two. Nothing unresolved is ever removed, and no failed one of which
 * there is an order that nobody has seen to. */
apr_status_t pwk_ledger_forget(int *forgotten, pwk_ledger *ledger, apr_time_t unsold, apr_time_t ended, apr_pool_t *p);

/* Whether it can be written to: a write that changes nothing. */
apr_status_t pwk_ledger_try(pwk_ledger *ledger, apr_pool_t *p);

/* Lets open purchases that nobody would look at be due: an older module may have written them. `*neglected`: one that should
 * have been looked at before `before`, of whatever organisation. APR_NOTFOUND: there is none. */
apr_status_t pwk_ledger_heal(pwk_purchase *neglected, pwk_ledger *ledger, apr_time_t before, apr_pool_t *p);

/* Notes that Payway shows the products of a row that is CONFIRMED already: it started later, or a day had passed. */
apr_status_t pwk_ledger_note_shown(pwk_ledger *ledger, const char *id, apr_time_t now, apr_pool_t *p);

/* The right to search for the order of `purchase` (as read) once: `looked` moves to `now`, `next_look` to what pwk_schedule
 * says. APR_EBUSY: somebody else is at it, or was since. */
apr_status_t pwk_ledger_lease(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p);

/* Counts a complete reading without the order: sets purchase->negatives. */
apr_status_t pwk_ledger_note_absent(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p);

#endif
