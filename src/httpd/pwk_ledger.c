#include "pwk_ledger.h"

#include <apr_strings.h>
#include <string.h>

#include "../core/pwk_schedule.h"
#include "pwk_table.h"

#define PARKED apr_time_from_sec(3600)
#define LOOK_AHEAD_MAX apr_time_from_sec(3 * 3600)
#define CLAIM_TRIES 3

typedef pwk_database_call call;

struct pwk_ledger {
    pwk_database *database;
};

/* Begins a call that writes, with a mark for it; a failure has ended it again. */
static apr_status_t start_writing(call *c, const char **mark, pwk_ledger *ledger, apr_pool_t *p)
{
    apr_status_t rv = pwk_database_start(c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    *mark = pwk_purchase_new_id(p);
    return *mark ? APR_SUCCESS : pwk_database_finish(c, pwk_database_note(c, "writing", "no random bytes"));
}

/* A whole call that writes one row; values[0] is the place of the mark. */
static apr_status_t change_alone(pwk_ledger *ledger, pwk_table_statement which, const char **values, const char *id,
                                 apr_pool_t *p)
{
    call c;
    apr_status_t rv = start_writing(&c, &values[0], ledger, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, pwk_table_change(&c, which, values, id, values[0])) : rv;
}

/* --- the interface --- */

apr_status_t pwk_ledger_create(pwk_ledger **ledger, const char *driver, const char *params,
                               pwk_ledger_complain *complain, void *context, apr_pool_t *p)
{
    pwk_database *database;
    apr_status_t rv = pwk_database_create(&database, &pwk_table_plan, driver, params, complain, context, p);
    *ledger = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    *ledger = apr_palloc(pwk_database_pool(database), sizeof(**ledger));
    (*ledger)->database = database;
    return APR_SUCCESS;
}

apr_status_t pwk_ledger_read(pwk_purchase *purchase, pwk_ledger *ledger, const char *id, apr_pool_t *p)
{
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, pwk_table_find_id(&c, id, purchase, NULL)) : rv;
}

apr_status_t pwk_ledger_running(pwk_purchase *purchase, pwk_ledger *ledger, const char *organisation,
                                const char *environment, const char *account, apr_pool_t *p)
{
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    return pwk_database_finish(&c, pwk_table_find_running(&c, organisation, environment, account, purchase));
}

apr_status_t pwk_ledger_finished(pwk_purchase *purchase, pwk_ledger *ledger, const pwk_purchase *own, apr_time_t since,
                                 apr_pool_t *p)
{
    const char *values[] = {own->organisation, own->environment, own->account, own->id, pwk_table_seconds(since, p)};
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    return rv == APR_SUCCESS
               ? pwk_database_finish(&c, pwk_table_find(&c, PWK_TABLE_BY_FINISHED, values, purchase, NULL))
               : rv;
}

/* A whole call of that kind. */
static apr_status_t read_alone(apr_array_header_t **rows, pwk_ledger *ledger, pwk_table_statement which,
                               const char **values, const char *park, apr_pool_t *p)
{
    apr_array_header_t *unreadable = which == PWK_TABLE_BY_GRANTING ? NULL : apr_array_make(p, 1, sizeof(const char *));
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    *rows = apr_array_make(p, 1, sizeof(pwk_purchase));
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_table_rows(rows, unreadable, &c, which, values);
    if (rv != APR_SUCCESS || !unreadable || !unreadable->nelts)
        return pwk_database_finish(&c, rv);
    for (int i = 0, n; park && i < unreadable->nelts; i++) {
        pwk_database_trouble first = c.trouble;
        const char *later[] = {park, APR_ARRAY_IDX(unreadable, i, const char *)};
        if (pwk_database_write(&c, PWK_TABLE_PARK, later, &n) == APR_SUCCESS)
            c.trouble = first;
    }
    pwk_database_finish(&c, APR_EINCOMPLETE);
    return APR_SUCCESS;
}

apr_status_t pwk_ledger_granting(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                                 const char *environment, const char *account, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {organisation, environment, account, pwk_table_seconds(now, p), pwk_table_seconds(now, p)};
    return read_alone(rows, ledger, PWK_TABLE_BY_GRANTING, values, NULL, p);
}

apr_status_t pwk_ledger_due(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                            const char *environment, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {organisation, environment, pwk_table_seconds(now, p),
                            pwk_table_seconds(now + LOOK_AHEAD_MAX, p)};
    return read_alone(rows, ledger, PWK_TABLE_BY_DUE, values, pwk_table_seconds(now + PARKED, p), p);
}

apr_status_t pwk_ledger_page(apr_array_header_t **rows, pwk_ledger *ledger, const char *after, apr_pool_t *p)
{
    const char *values[] = {after};
    return read_alone(rows, ledger, PWK_TABLE_BY_PAGE, values, NULL, p);
}

apr_status_t pwk_ledger_begin(pwk_ledger *ledger, const pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *values[PWK_TABLE_COLUMNS + 1];
    pwk_purchase begun = *purchase;
    call c;
    apr_status_t rv = start_writing(&c, &values[PWK_TABLE_COLUMNS], ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    begun.state = PWK_PURCHASE_CREATED;
    begun.session = "";
    begun.next_look = pwk_schedule_next(&begun, begun.created);
    pwk_table_values(values, &begun, p);
    for (int tries = 1;; tries++) {
        pwk_database_trouble first;
        apr_status_t why;
        rv = pwk_table_change(&c, PWK_TABLE_INSERT, values, begun.id, values[PWK_TABLE_COLUMNS]);
        if (rv == APR_SUCCESS)
            break;
        first = c.trouble;
        why = pwk_table_find_sale(&c, &begun, other);
        if (why != APR_NOTFOUND) {
            /* Its own row can stand there only after an error. */
            rv = why != APR_SUCCESS ? why : rv == APR_EBUSY || strcmp(other->id, begun.id) ? APR_EEXIST : APR_SUCCESS;
            break;
        }
        c.trouble = first;
        if (rv != APR_EBUSY)
            break;
        if (tries == CLAIM_TRIES) { /* else what was in the way has just gone on */
            rv = pwk_database_note(&c, "beginning a purchase", "its id is taken");
            break;
        }
    }
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_take_over(pwk_ledger *ledger, const char *id, apr_time_t was, apr_time_t due, apr_pool_t *p)
{
    /* Up, not down: two that take over within a second must not both find the second that they write. */
    const char *values[] = {NULL, pwk_table_seconds(due + APR_USEC_PER_SEC - 1, p), id, pwk_table_seconds(was, p)};
    return strcmp(values[1], values[3]) ? change_alone(ledger, PWK_TABLE_TAKE_OVER, values, id, p) : APR_EBUSY;
}

apr_status_t pwk_ledger_fill(pwk_ledger *ledger, const char *id, const char *session, apr_time_t expires,
                             apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {
        NULL, session, pwk_table_seconds(expires, p), pwk_table_seconds(expires, p), pwk_table_seconds(now, p), id};
    return change_alone(ledger, PWK_TABLE_FILL, values, id, p);
}

apr_status_t pwk_ledger_sell(pwk_ledger *ledger, const char *id, const char *sale, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, sale, pwk_table_seconds(now, p), id};
    return change_alone(ledger, PWK_TABLE_SELL, values, id, p);
}

apr_status_t pwk_ledger_drop(pwk_ledger *ledger, const char *id, apr_pool_t *p)
{
    const char *values[] = {id};
    int n = 0;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_database_write(&c, PWK_TABLE_DROP, values, &n);
    if (rv != APR_SUCCESS && pwk_database_may_retry(&c, rv))
        rv = pwk_database_write(&c, PWK_TABLE_DROP, values, &n);
    return pwk_database_finish(&c, rv == APR_SUCCESS ? pwk_database_forget(&c, rv) : rv);
}

/* Why the claim did not apply. APR_SUCCESS: it did; APR_EAGAIN: no reason is left. */
static apr_status_t why_not(call *c, const pwk_purchase *purchase, const char *mark, pwk_purchase *other)
{
    const char *token[] = {pwk_table_text(purchase->token_hash)}, *left;
    pwk_purchase row;
    apr_status_t rv = pwk_table_find_id(c, purchase->id, &row, &left);
    if (rv != APR_SUCCESS)
        return rv;
    if (!strcmp(left, mark))
        return pwk_table_make_sure(c, purchase->id, mark);
    if (row.state != PWK_PURCHASE_CREATED)
        return APR_NOTFOUND;
    rv = pwk_table_find_running(c, row.organisation, row.environment, row.account, other);
    if (rv == APR_NOTFOUND)
        rv = pwk_table_find(c, PWK_TABLE_BY_TOKEN, token, other, NULL);
    return rv == APR_SUCCESS ? APR_EBUSY : rv == APR_NOTFOUND ? APR_EAGAIN : rv;
}

apr_status_t pwk_ledger_claim(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *token = pwk_table_text(purchase->token_hash), *claimed = pwk_table_seconds(purchase->claimed, p);
    const char *due = pwk_table_seconds(purchase->due, p), *from = pwk_table_seconds(purchase->grant_from, p);
    const char *until = pwk_table_seconds(purchase->grant_until, p);
    const char *values[] = {NULL, token, claimed, claimed, due, due, from, until, purchase->id, token};
    call c;
    apr_status_t rv = start_writing(&c, &values[0], ledger, p), why;
    if (rv != APR_SUCCESS)
        return rv;
    if (!*token)
        return pwk_database_finish(
            &c, pwk_database_note(&c, "claiming a purchase", "without a token there is nothing to claim it by"));
    for (int tries = 1;; tries++) {
        pwk_database_trouble first;
        rv = pwk_table_change(&c, PWK_TABLE_CLAIM, values, purchase->id, values[0]);
        if (rv == APR_SUCCESS)
            break;
        first = c.trouble;
        why = why_not(&c, purchase, values[0], other);
        if (why != APR_EAGAIN) {
            rv = why;
            break;
        }
        c.trouble = first;
        if (rv != APR_EBUSY)
            break;
        if (tries == CLAIM_TRIES) { /* else what was in the way has just gone on */
            rv = pwk_database_note(&c, "claiming a purchase", "whatever is in the way comes and goes");
            break;
        }
    }
    if (rv == APR_SUCCESS) {
        purchase->state = PWK_PURCHASE_PLACING;
        purchase->changed = pwk_table_whole(purchase->claimed);
        purchase->next_look = pwk_table_whole(purchase->due);
    }
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_move(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now,
                             apr_pool_t *p)
{
    pwk_purchase after = *purchase, other;
    pwk_purchase_action action;
    const char *mark;
    apr_status_t rv;
    call c;
    if (event == PWK_EVENT_CLAIM || !pwk_purchase_next(&after.state, &action, purchase->state, event))
        return APR_EINVAL;
    after.changed = pwk_table_whole(now);
    if (event == PWK_EVENT_NOT_SENT) {
        after.token_hash = "";
        after.claimed = after.due = after.grant_from = after.grant_until = 0;
    }
    after.next_look = pwk_schedule_next(&after, after.changed);
    rv = start_writing(&c, &mark, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    /* The claim is part of what is compared: a row that was given back and claimed again is in the same state, and is
     * somebody else's. */
    const char *values[] = {mark,
                            pwk_purchase_word(after.state),
                            pwk_table_seconds(after.changed, p),
                            pwk_table_text(after.order_id),
                            pwk_table_text(after.error),
                            pwk_table_text(after.field),
                            pwk_table_text(after.redirect),
                            pwk_table_text(after.token_hash),
                            pwk_table_seconds(after.claimed, p),
                            pwk_table_seconds(after.due, p),
                            pwk_table_seconds(after.grant_from, p),
                            pwk_table_seconds(after.grant_until, p),
                            pwk_table_seconds(after.next_look, p),
                            pwk_table_text(after.note),
                            apr_itoa(p, after.shown),
                            purchase->id,
                            pwk_purchase_word(purchase->state),
                            pwk_table_text(purchase->token_hash),
                            pwk_table_seconds(purchase->claimed, p)};
    rv = pwk_table_change(&c, PWK_TABLE_MOVE, values, purchase->id, mark);
    if (rv == APR_SUCCESS)
        *purchase = after;
    else if (rv != APR_EBUSY && after.state == PWK_PURCHASE_CREATED) {
        pwk_database_trouble first = c.trouble;
        if (pwk_table_find_sale(&c, purchase, &other) == APR_SUCCESS && strcmp(other.id, purchase->id))
            rv = APR_EEXIST;
        c.trouble = first;
    }
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_note_shown(pwk_ledger *ledger, const char *id, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, pwk_table_seconds(now, p), id};
    apr_status_t rv = change_alone(ledger, PWK_TABLE_NOTE_SHOWN, values, id, p);
    return rv == APR_EBUSY ? APR_SUCCESS : rv; /* a row that is gone has nothing to note */
}

apr_status_t pwk_ledger_lease(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_time_t next = pwk_schedule_next(purchase, now);
    const char *values[] = {NULL,         pwk_table_seconds(now, p),          pwk_table_seconds(next, p),
                            purchase->id, pwk_purchase_word(purchase->state), pwk_table_seconds(purchase->looked, p)};
    /* In the same second nobody could tell who swapped. */
    apr_status_t rv =
        strcmp(values[1], values[5]) ? change_alone(ledger, PWK_TABLE_LEASE, values, purchase->id, p) : APR_EBUSY;
    if (rv == APR_SUCCESS) {
        purchase->looked = pwk_table_whole(now);
        purchase->next_look = next;
    }
    return rv;
}

apr_status_t pwk_ledger_note_absent(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    const char *before = apr_itoa(p, purchase->negatives), *after = apr_itoa(p, purchase->negatives + 1);
    const char *values[] = {NULL,  after, pwk_table_seconds(now, p), purchase->id, pwk_purchase_word(purchase->state),
                            before};
    pwk_purchase row = {0};
    call c;
    apr_status_t rv = start_writing(&c, &values[0], ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_table_change(&c, PWK_TABLE_NOTE_ABSENT, values, purchase->id, values[0]);
    if (rv == APR_SUCCESS)
        purchase->negatives++;
    /* Somebody else counted meanwhile, or it was resolved: two readings at once are one. */
    if (rv == APR_EBUSY && (rv = pwk_table_find_id(&c, purchase->id, &row, NULL)) == APR_SUCCESS)
        purchase->negatives = row.negatives;
    if (rv == APR_NOTFOUND)
        pwk_database_note(&c, "counting a reading", "the row is gone");
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_forget(int *forgotten, pwk_ledger *ledger, apr_time_t unsold, apr_time_t ended, apr_pool_t *p)
{
    const char *values[] = {pwk_table_seconds(unsold, p), pwk_table_seconds(ended, p)};
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    *forgotten = 0;
    if (rv != APR_SUCCESS)
        return rv;
    return pwk_database_finish(&c, pwk_database_write(&c, PWK_TABLE_FORGET, values, forgotten));
}

apr_status_t pwk_ledger_try(pwk_ledger *ledger, apr_pool_t *p)
{
    int n;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, pwk_database_write(&c, PWK_TABLE_TRY, NULL, &n)) : rv;
}

apr_status_t pwk_ledger_heal(pwk_purchase *neglected, pwk_ledger *ledger, apr_time_t before, apr_pool_t *p)
{
    const char *values[] = {pwk_table_seconds(before, p)};
    int n;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_database_write(&c, PWK_TABLE_HEAL, NULL, &n);
    return pwk_database_finish(
        &c, rv == APR_SUCCESS ? pwk_table_find(&c, PWK_TABLE_BY_NEGLECTED, values, neglected, NULL) : rv);
}
