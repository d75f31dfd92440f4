#include "pwk_ledger.h"

#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#include "../core/pwk_schedule.h"
#include "pwk_database.h"

#define GRANTING_MAX 32
#define DUE_MAX 20
#define PARKED apr_time_from_sec(3600)
#define LOOK_AHEAD_MAX apr_time_from_sec(3 * 3600)
#define PAGE_MAX 500
#define FORGET_MAX 1000
#define CLAIM_TRIES 3

typedef pwk_database_call call;

struct pwk_ledger {
    pwk_database *database;
};

/* --- the tables --- */

/* The members of a purchase: kind, member, column. Table, insertion and reading follow from it. Columns have the API's
 * names where SQL has a word of its own. */
#define MEMBERS(X)                                                                                                     \
    X(TEXT, id, id)                                                                                                    \
    X(TEXT, site, site)                                                                                                \
    X(TEXT, organisation, organisation)                                                                                \
    X(TEXT, environment, environment)                                                                                  \
    X(TEXT, account, account)                                                                                          \
    X(STATE, state, state)                                                                                             \
    X(TEXT, offer, offer)                                                                                              \
    X(TEXT, code, code)                                                                                                \
    X(TYPE, type, period_type)                                                                                         \
    X(TEXT, period, period_id)                                                                                         \
    X(TEXT, start, start_date)                                                                                         \
    X(INT, trial, trial)                                                                                               \
    X(TEXT, products, products)                                                                                        \
    X(TEXT, facts, facts)                                                                                              \
    X(TEXT, sale, sale)                                                                                                \
    X(TEXT, session, session)                                                                                          \
    X(TEXT, redirect, redirect)                                                                                        \
    X(TEXT, token_hash, token_hash)                                                                                    \
    X(TEXT, order_id, order_id)                                                                                        \
    X(TEXT, error, error)                                                                                              \
    X(TEXT, field, field)                                                                                              \
    X(TIME, created, created)                                                                                          \
    X(TIME, changed, changed)                                                                                          \
    X(TIME, expires, expires)                                                                                          \
    X(TIME, claimed, claimed)                                                                                          \
    X(TIME, due, due)                                                                                                  \
    X(TIME, grant_from, grant_from)                                                                                    \
    X(TIME, grant_until, grant_until)                                                                                  \
    X(TIME, looked, looked)                                                                                            \
    X(INT, negatives, negatives)                                                                                       \
    X(INT, shown, shown)                                                                                               \
    X(TIME, next_look, next_look)                                                                                      \
    X(TEXT, note, note)

/* NULL is "" to one driver and NULL to the other, so there is none. */
#define SQL_TEXT "TEXT NOT NULL DEFAULT ''"
#define SQL_STATE SQL_TEXT /* the words of pwk_purchase_word */
#define SQL_TYPE SQL_TEXT
#define SQL_INT "BIGINT NOT NULL DEFAULT 0"
#define SQL_TIME SQL_INT /* seconds */

#define ENTRY(kind, member, column) {KIND_##kind, offsetof(pwk_purchase, member)},
#define DECLARED(kind, member, column) #column " " SQL_##kind ", "
#define NAMED(kind, member, column) #column ", "
#define ASKED(kind, member, column) "%s, "

static const struct member {
    enum { KIND_TEXT, KIND_STATE, KIND_TYPE, KIND_INT, KIND_TIME } kind;
    size_t offset;
} members[] = {MEMBERS(ENTRY)};
enum { MEMBER_COUNT = sizeof(members) / sizeof(*members) };

static const char *const type_words[] = {[PWK_PERIOD_LIMITED] = "limited", [PWK_PERIOD_RECURRING] = "recurring"};

/* pwk_purchase_is_running says the same. */
#define RUNNING "('placing', 'unknown', 'manual', 'placed')"
#define READER "organisation = %s AND environment = %s AND account = %s"

#define LOOK_INDEX                                                                                                     \
    "CREATE INDEX IF NOT EXISTS payway_purchase_look ON payway_purchase (organisation, environment, next_look)"        \
    " WHERE next_look > 0"
#define OPEN "('created', 'placing', 'unknown', 'placed')"
#define ENDED "state IN ('expired', 'failed', 'confirmed')"
#define ENDED_INDEX "CREATE INDEX IF NOT EXISTS payway_purchase_ended ON payway_purchase (changed) WHERE " ENDED
#define IS_VERSION(n) "INSERT INTO payway_schema (version) VALUES (" APR_STRINGIFY(n) ") ON CONFLICT DO NOTHING"

/* Run in this order by whoever finds no version, several at once if need be: the version, which says that the rest is
 * there, comes last. `mark` is the ledger's own: a random text that each write leaves, by which whoever lost the answer
 * to a write knows its own. */
static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS payway_schema (version BIGINT NOT NULL PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS payway_purchase (" MEMBERS(DECLARED) "mark " SQL_TEXT ", PRIMARY KEY (id))",
    "CREATE UNIQUE INDEX IF NOT EXISTS payway_purchase_created ON payway_purchase"
    " (site, organisation, environment, account, offer, period_id, start_date) WHERE state = 'created'",
    "CREATE UNIQUE INDEX IF NOT EXISTS payway_purchase_running ON payway_purchase"
    " (organisation, environment, account) WHERE state IN " RUNNING,
    "CREATE UNIQUE INDEX IF NOT EXISTS payway_purchase_token ON payway_purchase (token_hash) WHERE token_hash <> ''",
    "CREATE INDEX IF NOT EXISTS payway_purchase_account ON payway_purchase (organisation, environment, account)",
    LOOK_INDEX,
    ENDED_INDEX,
    IS_VERSION(PWK_LEDGER_VERSION),
};

/* What leads from an older version to the next: what is open is looked at once, and scheduled anew then. */
static const pwk_database_upgrade upgrades[] = {
    {1, "ALTER TABLE payway_purchase ADD COLUMN next_look " SQL_TIME},
    {1, "ALTER TABLE payway_purchase ADD COLUMN note " SQL_TEXT},
    {1, "UPDATE payway_purchase SET next_look = CASE WHEN state = 'created' THEN expires ELSE 1 END"
        " WHERE state IN ('created', 'placing', 'unknown', 'placed')"},
    {1, LOOK_INDEX},
    {1, ENDED_INDEX},
    {1, IS_VERSION(2)},
};

typedef enum {
    BY_ID,
    BY_SALE,
    BY_TOKEN,
    BY_RUNNING,
    BY_GRANTING,
    BY_FINISHED,
    BY_DUE,
    BY_PAGE,
    BY_NEGLECTED,
    INSERT,
    TAKE_OVER,
    FILL,
    SELL,
    DROP,
    CLAIM,
    MAKE_SURE,
    MOVE,
    NOTE_SHOWN,
    LEASE,
    NOTE_ABSENT,
    FORGET,
    TRY,
    PARK,
    HEAL,
    STATEMENTS
} statement;

#define SELECT "SELECT " MEMBERS(NAMED) "mark FROM payway_purchase WHERE "
#define UPDATE "UPDATE payway_purchase SET mark = %s, "

/* The columns give the types. What two may write at once is a compare-and-swap. The claim asks for what its indexes
 * forbid, so that a refusal is an answer; the indexes hold when two ask at the same moment. */
static const char *const statements[STATEMENTS] = {
    [BY_ID] = SELECT "id = %s",
    [BY_SALE] =
        SELECT "site = %s AND " READER " AND offer = %s AND period_id = %s AND start_date = %s AND state = 'created'",
    [BY_TOKEN] = SELECT "token_hash = %s AND token_hash <> ''",
    [BY_RUNNING] = SELECT READER " AND state IN " RUNNING,
    [BY_GRANTING] = SELECT READER " AND (shown = 0 OR state = 'placed') AND grant_until > %s"
                                  " AND (state IN ('placed', 'unknown', 'confirmed') OR state = 'placing' AND due < %s)"
                                  " ORDER BY created DESC, claimed DESC, id LIMIT " APR_STRINGIFY(GRANTING_MAX),
    [BY_FINISHED] = SELECT READER " AND id <> %s AND state IN ('placed', 'confirmed', 'unknown', 'manual')"
                                  " AND changed >= %s LIMIT 1",
    /* What is put off for longer than any look is was so by a clock that has been set back since. */
    [BY_DUE] = SELECT "organisation = %s AND environment = %s AND next_look > 0"
                      " AND (next_look <= %s OR next_look > %s AND state <> 'created')"
                      " ORDER BY next_look LIMIT " APR_STRINGIFY(DUE_MAX),
    [BY_NEGLECTED] = SELECT "next_look > 0 AND next_look < %s AND state IN " OPEN " ORDER BY next_look LIMIT 1",
    [BY_PAGE] = SELECT "id > %s ORDER BY id LIMIT " APR_STRINGIFY(PAGE_MAX),
    [INSERT] =
        "INSERT INTO payway_purchase (" MEMBERS(NAMED) "mark) VALUES (" MEMBERS(ASKED) "%s) ON CONFLICT DO NOTHING",
    [TAKE_OVER] = UPDATE "due = %s WHERE id = %s AND state = 'created' AND session = '' AND due = %s",
    [FILL] = UPDATE "session = %s, expires = %s, next_look = %s, changed = %s"
                    " WHERE id = %s AND state = 'created' AND session = ''",
    [SELL] = UPDATE "sale = %s, changed = %s WHERE id = %s AND state = 'created'",
    [DROP] = "DELETE FROM payway_purchase WHERE id = %s AND state = 'created' AND session = ''",
    [CLAIM] = UPDATE
    "state = 'placing', token_hash = %s, claimed = %s, changed = %s, due = %s, next_look = %s, grant_from = %s,"
    " grant_until = %s"
    " WHERE id = %s AND state = 'created'"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.organisation = payway_purchase.organisation"
    " AND other.environment = payway_purchase.environment AND other.account = payway_purchase.account"
    " AND other.state IN " RUNNING ")"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.token_hash = %s AND other.token_hash <> '')"
    /* a connection of an older module than has made the tables outlives that */
    " AND (SELECT MAX(version) FROM payway_schema) = " APR_STRINGIFY(PWK_LEDGER_VERSION),
    [MAKE_SURE] = UPDATE "changed = changed WHERE id = %s AND mark = %s",
    [MOVE] = UPDATE "state = %s, changed = %s, order_id = %s, error = %s, field = %s, redirect = %s, token_hash = %s,"
                    " claimed = %s, due = %s, grant_from = %s, grant_until = %s, next_look = %s, note = %s,"
                    " shown = %s"
                    " WHERE id = %s AND state = %s AND token_hash = %s AND claimed = %s",
    [NOTE_SHOWN] = UPDATE "shown = 1, changed = %s WHERE id = %s",
    [LEASE] = UPDATE "looked = %s, next_look = %s WHERE id = %s AND state = %s AND looked = %s",
    [NOTE_ABSENT] = UPDATE "negatives = %s, changed = %s WHERE id = %s AND state = %s AND negatives = %s",
    [FORGET] = "DELETE FROM payway_purchase WHERE id IN (SELECT id FROM payway_purchase WHERE " ENDED
               " AND changed < %s AND (state = 'expired' OR changed < %s)"
               " AND NOT (state = 'failed' AND order_id <> '' AND note = '') LIMIT " APR_STRINGIFY(FORGET_MAX) ")",
    [TRY] = "UPDATE payway_schema SET version = version",
    [PARK] = "UPDATE payway_purchase SET next_look = %s WHERE id = %s",
    /* what an older module wrote meanwhile */
    [HEAL] = "UPDATE payway_purchase SET next_look = CASE WHEN state = 'created' THEN expires ELSE 1 END"
             " WHERE next_look = 0 AND state IN " OPEN,
};

static const pwk_database_plan plan = {.schema = schema,
                                       .schema_count = sizeof(schema) / sizeof(*schema),
                                       .version_of = "SELECT MAX(version) FROM payway_schema",
                                       .lock = "UPDATE payway_schema SET version = version",
                                       .version = PWK_LEDGER_VERSION,
                                       .upgrades = upgrades,
                                       .upgrade_count = sizeof(upgrades) / sizeof(*upgrades),
                                       .statements = statements,
                                       .statement_count = STATEMENTS};

/* --- members and texts --- */

static apr_time_t whole(apr_time_t at)
{
    return apr_time_from_sec(apr_time_sec(at));
}

static const char *seconds(apr_time_t at, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, apr_time_sec(at));
}

static const char *text(const char *value)
{
    return value ? value : "";
}

static const char *value_of(const pwk_purchase *purchase, const struct member *member, apr_pool_t *p)
{
    const void *at = (const char *)purchase + member->offset;
    switch (member->kind) {
    case KIND_TEXT:
        return text(*(const char *const *)at);
    case KIND_STATE:
        return pwk_purchase_word(*(const pwk_purchase_state *)at);
    case KIND_TYPE:
        return type_words[*(const pwk_period_type *)at];
    case KIND_INT:
        return apr_itoa(p, *(const int *)at);
    case KIND_TIME:
        break;
    }
    return seconds(*(const apr_time_t *)at, p);
}

/* 0: no member has that value. */
static int take_value(pwk_purchase *purchase, const struct member *member, const char *value)
{
    void *at = (char *)purchase + member->offset;
    int state = pwk_purchase_state_of(value);
    switch (member->kind) {
    case KIND_TEXT:
        *(const char **)at = value;
        break;
    case KIND_STATE:
        if (state < 0)
            return 0;
        *(pwk_purchase_state *)at = (pwk_purchase_state)state;
        break;
    case KIND_TYPE:
        *(pwk_period_type *)at =
            strcmp(value, type_words[PWK_PERIOD_RECURRING]) ? PWK_PERIOD_LIMITED : PWK_PERIOD_RECURRING;
        return !strcmp(value, type_words[*(pwk_period_type *)at]);
    case KIND_INT:
        *(int *)at = (int)apr_atoi64(value);
        break;
    case KIND_TIME:
        *(apr_time_t *)at = apr_time_from_sec(apr_atoi64(value));
        break;
    }
    return 1;
}

/* --- reading --- */

static apr_status_t take_row(pwk_purchase *purchase, call *c, const char *const *texts)
{
    pwk_purchase row;
    for (int i = 0; i < MEMBER_COUNT; i++) {
        if (!take_value(&row, &members[i], texts[i])) {
            pwk_database_note(c, "reading", "a row has a state or a type that is none");
            return APR_EGENERAL;
        }
    }
    *purchase = row;
    return APR_SUCCESS;
}

/* APR_NOTFOUND: there is none. */
static apr_status_t find(call *c, statement which, const char **values, pwk_purchase *purchase, const char **mark)
{
    const char *const *texts;
    apr_array_header_t *rows;
    apr_status_t rv = pwk_database_read(&rows, c, which, values);
    if (rv != APR_SUCCESS)
        return rv;
    if (!rows->nelts)
        return APR_NOTFOUND;
    texts = APR_ARRAY_IDX(rows, 0, const char *const *);
    rv = take_row(purchase, c, texts);
    if (rv == APR_SUCCESS && mark)
        *mark = texts[MEMBER_COUNT];
    return rv;
}

static apr_status_t find_id(call *c, const char *id, pwk_purchase *purchase, const char **mark)
{
    const char *values[] = {id};
    return find(c, BY_ID, values, purchase, mark);
}

static apr_status_t find_running(call *c, const char *organisation, const char *environment, const char *account,
                                 pwk_purchase *purchase)
{
    const char *values[] = {text(organisation), text(environment), text(account)};
    return find(c, BY_RUNNING, values, purchase, NULL);
}

static apr_status_t find_sale(call *c, const pwk_purchase *like, pwk_purchase *purchase)
{
    const char *values[] = {text(like->site),  text(like->organisation), text(like->environment), text(like->account),
                            text(like->offer), text(like->period),       text(like->start)};
    return find(c, BY_SALE, values, purchase, NULL);
}

/* --- writing --- */

/* A file's error may have been that of the last step, onto the disk: the row shows then, and a power cut takes it back. So a
 * claim that is known by its mark alone is written once more, and is one when that succeeds. */
static apr_status_t make_sure(call *c, const char *id, const char *mark)
{
    const char *values[] = {pwk_purchase_new_id(c->p), id, mark};
    int n = 0;
    apr_status_t rv = values[0] ? pwk_database_write(c, MAKE_SURE, values, &n) : APR_EGENERAL;
    return rv == APR_SUCCESS && n != 1 ? APR_EGENERAL : rv;
}

/* Writes the row of that id with `mark` for its mark. APR_EBUSY: the statement did not apply to it. An error says
 * nothing about whether the write took place, so it is tried once more: one that did take place lets the second find
 * the row changed already, or, if it is still under way, wait for it. Then the mark tells whose change it is. */
static apr_status_t change(call *c, statement which, const char **values, const char *id, const char *mark)
{
    int n = 0;
    apr_status_t rv = pwk_database_write(c, which, values, &n);
    if (rv != APR_SUCCESS) {
        pwk_database_trouble first = c->trouble;
        const char *left = "";
        pwk_purchase row;
        apr_status_t read;
        if (pwk_database_may_retry(c, rv))
            rv = pwk_database_write(c, which, values, &n);
        if (rv != APR_SUCCESS || n != 1) {
            read = find_id(c, id, &row, &left);
            if (read == APR_SUCCESS && !strcmp(left, mark)) {
                rv = which == CLAIM ? make_sure(c, id, mark) : APR_SUCCESS;
                n = 1;
            } else if (read != APR_SUCCESS && read != APR_NOTFOUND)
                rv = read;
            c->trouble = first;
        }
    }
    return rv == APR_SUCCESS ? pwk_database_forget(c, n == 1 ? APR_SUCCESS : APR_EBUSY) : rv;
}

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
static apr_status_t change_alone(pwk_ledger *ledger, statement which, const char **values, const char *id,
                                 apr_pool_t *p)
{
    call c;
    apr_status_t rv = start_writing(&c, &values[0], ledger, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, change(&c, which, values, id, values[0])) : rv;
}

/* --- the interface --- */

apr_status_t pwk_ledger_create(pwk_ledger **ledger, const char *driver, const char *params,
                               pwk_ledger_complain *complain, void *context, apr_pool_t *p)
{
    pwk_database *database;
    apr_status_t rv = pwk_database_create(&database, &plan, driver, params, complain, context, p);
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
    return rv == APR_SUCCESS ? pwk_database_finish(&c, find_id(&c, id, purchase, NULL)) : rv;
}

apr_status_t pwk_ledger_running(pwk_purchase *purchase, pwk_ledger *ledger, const char *organisation,
                                const char *environment, const char *account, apr_pool_t *p)
{
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    return pwk_database_finish(&c, find_running(&c, organisation, environment, account, purchase));
}

apr_status_t pwk_ledger_finished(pwk_purchase *purchase, pwk_ledger *ledger, const pwk_purchase *own, apr_time_t since,
                                 apr_pool_t *p)
{
    const char *values[] = {own->organisation, own->environment, own->account, own->id, seconds(since, p)};
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, find(&c, BY_FINISHED, values, purchase, NULL)) : rv;
}

/* All that a statement finds, and in `unreadable` (NULL: then one fails the whole) the ids of rows that make no sense: they
 * are complained about and left out, since others must not wait for them. */
static apr_status_t read_rows(apr_array_header_t **rows, apr_array_header_t *unreadable, call *c, statement which,
                              const char **values)
{
    apr_array_header_t *found;
    apr_status_t rv = pwk_database_read(&found, c, which, values);
    *rows = apr_array_make(c->p, 1, sizeof(pwk_purchase));
    for (int i = 0; rv == APR_SUCCESS && i < found->nelts; i++) {
        const char *const *texts = APR_ARRAY_IDX(found, i, const char *const *);
        rv = take_row(apr_array_push(*rows), c, texts);
        if (rv != APR_SUCCESS && unreadable) {
            apr_array_pop(*rows);
            APR_ARRAY_PUSH(unreadable, const char *) = texts[0];
            rv = APR_SUCCESS;
        }
    }
    if (rv != APR_SUCCESS)
        apr_array_clear(*rows);
    return rv;
}

/* A whole call of that kind. */
static apr_status_t read_alone(apr_array_header_t **rows, pwk_ledger *ledger, statement which, const char **values,
                               const char *park, apr_pool_t *p)
{
    apr_array_header_t *unreadable = which == BY_GRANTING ? NULL : apr_array_make(p, 1, sizeof(const char *));
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    *rows = apr_array_make(p, 1, sizeof(pwk_purchase));
    if (rv != APR_SUCCESS)
        return rv;
    rv = read_rows(rows, unreadable, &c, which, values);
    if (rv != APR_SUCCESS || !unreadable || !unreadable->nelts)
        return pwk_database_finish(&c, rv);
    for (int i = 0, n; park && i < unreadable->nelts; i++) {
        pwk_database_trouble first = c.trouble;
        const char *later[] = {park, APR_ARRAY_IDX(unreadable, i, const char *)};
        if (pwk_database_write(&c, PARK, later, &n) == APR_SUCCESS)
            c.trouble = first;
    }
    pwk_database_finish(&c, APR_EINCOMPLETE);
    return APR_SUCCESS;
}

apr_status_t pwk_ledger_granting(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                                 const char *environment, const char *account, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {organisation, environment, account, seconds(now, p), seconds(now, p)};
    return read_alone(rows, ledger, BY_GRANTING, values, NULL, p);
}

apr_status_t pwk_ledger_due(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                            const char *environment, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {organisation, environment, seconds(now, p), seconds(now + LOOK_AHEAD_MAX, p)};
    return read_alone(rows, ledger, BY_DUE, values, seconds(now + PARKED, p), p);
}

apr_status_t pwk_ledger_page(apr_array_header_t **rows, pwk_ledger *ledger, const char *after, apr_pool_t *p)
{
    const char *values[] = {after};
    return read_alone(rows, ledger, BY_PAGE, values, NULL, p);
}

apr_status_t pwk_ledger_begin(pwk_ledger *ledger, const pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *values[MEMBER_COUNT + 1];
    pwk_purchase begun = *purchase;
    call c;
    apr_status_t rv = start_writing(&c, &values[MEMBER_COUNT], ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    begun.state = PWK_PURCHASE_CREATED;
    begun.session = "";
    begun.next_look = pwk_schedule_next(&begun, begun.created);
    for (int i = 0; i < MEMBER_COUNT; i++)
        values[i] = value_of(&begun, &members[i], p);
    for (int tries = 1;; tries++) {
        pwk_database_trouble first;
        apr_status_t why;
        rv = change(&c, INSERT, values, begun.id, values[MEMBER_COUNT]);
        if (rv == APR_SUCCESS)
            break;
        first = c.trouble;
        why = find_sale(&c, &begun, other);
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
    const char *values[] = {NULL, seconds(due + APR_USEC_PER_SEC - 1, p), id, seconds(was, p)};
    return strcmp(values[1], values[3]) ? change_alone(ledger, TAKE_OVER, values, id, p) : APR_EBUSY;
}

apr_status_t pwk_ledger_fill(pwk_ledger *ledger, const char *id, const char *session, apr_time_t expires,
                             apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, session, seconds(expires, p), seconds(expires, p), seconds(now, p), id};
    return change_alone(ledger, FILL, values, id, p);
}

apr_status_t pwk_ledger_sell(pwk_ledger *ledger, const char *id, const char *sale, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, sale, seconds(now, p), id};
    return change_alone(ledger, SELL, values, id, p);
}

apr_status_t pwk_ledger_drop(pwk_ledger *ledger, const char *id, apr_pool_t *p)
{
    const char *values[] = {id};
    int n = 0;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_database_write(&c, DROP, values, &n);
    if (rv != APR_SUCCESS && pwk_database_may_retry(&c, rv))
        rv = pwk_database_write(&c, DROP, values, &n);
    return pwk_database_finish(&c, rv == APR_SUCCESS ? pwk_database_forget(&c, rv) : rv);
}

/* Why the claim did not apply. APR_SUCCESS: it did; APR_EAGAIN: no reason is left. */
static apr_status_t why_not(call *c, const pwk_purchase *purchase, const char *mark, pwk_purchase *other)
{
    const char *token[] = {text(purchase->token_hash)}, *left;
    pwk_purchase row;
    apr_status_t rv = find_id(c, purchase->id, &row, &left);
    if (rv != APR_SUCCESS)
        return rv;
    if (!strcmp(left, mark))
        return make_sure(c, purchase->id, mark);
    if (row.state != PWK_PURCHASE_CREATED)
        return APR_NOTFOUND;
    rv = find_running(c, row.organisation, row.environment, row.account, other);
    if (rv == APR_NOTFOUND)
        rv = find(c, BY_TOKEN, token, other, NULL);
    return rv == APR_SUCCESS ? APR_EBUSY : rv == APR_NOTFOUND ? APR_EAGAIN : rv;
}

apr_status_t pwk_ledger_claim(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *token = text(purchase->token_hash), *claimed = seconds(purchase->claimed, p);
    const char *due = seconds(purchase->due, p), *from = seconds(purchase->grant_from, p);
    const char *until = seconds(purchase->grant_until, p);
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
        rv = change(&c, CLAIM, values, purchase->id, values[0]);
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
        purchase->changed = whole(purchase->claimed);
        purchase->next_look = whole(purchase->due);
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
    after.changed = whole(now);
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
                            seconds(after.changed, p),
                            text(after.order_id),
                            text(after.error),
                            text(after.field),
                            text(after.redirect),
                            text(after.token_hash),
                            seconds(after.claimed, p),
                            seconds(after.due, p),
                            seconds(after.grant_from, p),
                            seconds(after.grant_until, p),
                            seconds(after.next_look, p),
                            text(after.note),
                            apr_itoa(p, after.shown),
                            purchase->id,
                            pwk_purchase_word(purchase->state),
                            text(purchase->token_hash),
                            seconds(purchase->claimed, p)};
    rv = change(&c, MOVE, values, purchase->id, mark);
    if (rv == APR_SUCCESS)
        *purchase = after;
    else if (rv != APR_EBUSY && after.state == PWK_PURCHASE_CREATED) {
        pwk_database_trouble first = c.trouble;
        if (find_sale(&c, purchase, &other) == APR_SUCCESS && strcmp(other.id, purchase->id))
            rv = APR_EEXIST;
        c.trouble = first;
    }
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_note_shown(pwk_ledger *ledger, const char *id, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, seconds(now, p), id};
    apr_status_t rv = change_alone(ledger, NOTE_SHOWN, values, id, p);
    return rv == APR_EBUSY ? APR_SUCCESS : rv; /* a row that is gone has nothing to note */
}

apr_status_t pwk_ledger_lease(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_time_t next = pwk_schedule_next(purchase, now);
    const char *values[] = {NULL,
                            seconds(now, p),
                            seconds(next, p),
                            purchase->id,
                            pwk_purchase_word(purchase->state),
                            seconds(purchase->looked, p)};
    /* In the same second nobody could tell who swapped. */
    apr_status_t rv = strcmp(values[1], values[5]) ? change_alone(ledger, LEASE, values, purchase->id, p) : APR_EBUSY;
    if (rv == APR_SUCCESS) {
        purchase->looked = whole(now);
        purchase->next_look = next;
    }
    return rv;
}

apr_status_t pwk_ledger_note_absent(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    const char *before = apr_itoa(p, purchase->negatives), *after = apr_itoa(p, purchase->negatives + 1);
    const char *values[] = {NULL, after, seconds(now, p), purchase->id, pwk_purchase_word(purchase->state), before};
    pwk_purchase row = {0};
    call c;
    apr_status_t rv = start_writing(&c, &values[0], ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = change(&c, NOTE_ABSENT, values, purchase->id, values[0]);
    if (rv == APR_SUCCESS)
        purchase->negatives++;
    /* Somebody else counted meanwhile, or it was resolved: two readings at once are one. */
    if (rv == APR_EBUSY && (rv = find_id(&c, purchase->id, &row, NULL)) == APR_SUCCESS)
        purchase->negatives = row.negatives;
    if (rv == APR_NOTFOUND)
        pwk_database_note(&c, "counting a reading", "the row is gone");
    return pwk_database_finish(&c, rv);
}

apr_status_t pwk_ledger_forget(int *forgotten, pwk_ledger *ledger, apr_time_t unsold, apr_time_t ended, apr_pool_t *p)
{
    const char *values[] = {seconds(unsold, p), seconds(ended, p)};
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    *forgotten = 0;
    if (rv != APR_SUCCESS)
        return rv;
    return pwk_database_finish(&c, pwk_database_write(&c, FORGET, values, forgotten));
}

apr_status_t pwk_ledger_try(pwk_ledger *ledger, apr_pool_t *p)
{
    int n;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    return rv == APR_SUCCESS ? pwk_database_finish(&c, pwk_database_write(&c, TRY, NULL, &n)) : rv;
}

apr_status_t pwk_ledger_heal(pwk_purchase *neglected, pwk_ledger *ledger, apr_time_t before, apr_pool_t *p)
{
    const char *values[] = {seconds(before, p)};
    int n;
    call c;
    apr_status_t rv = pwk_database_start(&c, ledger->database, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = pwk_database_write(&c, HEAL, NULL, &n);
    return pwk_database_finish(&c, rv == APR_SUCCESS ? find(&c, BY_NEGLECTED, values, neglected, NULL) : rv);
}
