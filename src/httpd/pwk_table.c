#include "pwk_table.h"

#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#include "pwk_ledger.h"

#define GRANTING_MAX 32
#define DUE_MAX 20
#define PAGE_MAX 500
#define FORGET_MAX 1000

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
_Static_assert(MEMBER_COUNT == PWK_TABLE_COLUMNS, "the header says how many there are");

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

#define SELECT "SELECT " MEMBERS(NAMED) "mark FROM payway_purchase WHERE "
#define UPDATE "UPDATE payway_purchase SET mark = %s, "

/* The columns give the types. What two may write at once is a compare-and-swap. The claim asks for what its indexes
 * forbid, so that a refusal is an answer; the indexes hold when two ask at the same moment. */
static const char *const statements[PWK_TABLE_STATEMENTS] = {
    [PWK_TABLE_BY_ID] = SELECT "id = %s",
    [PWK_TABLE_BY_SALE] =
        SELECT "site = %s AND " READER " AND offer = %s AND period_id = %s AND start_date = %s AND state = 'created'",
    [PWK_TABLE_BY_TOKEN] = SELECT "token_hash = %s AND token_hash <> ''",
    [PWK_TABLE_BY_RUNNING] = SELECT READER " AND state IN " RUNNING,
    [PWK_TABLE_BY_GRANTING] =
        SELECT READER " AND (shown = 0 OR state = 'placed') AND grant_until > %s"
                      " AND (state IN ('placed', 'unknown', 'confirmed') OR state = 'placing' AND due < %s)"
                      " ORDER BY created DESC, claimed DESC, id LIMIT " APR_STRINGIFY(GRANTING_MAX),
    [PWK_TABLE_BY_FINISHED] = SELECT READER " AND id <> %s AND state IN ('placed', 'confirmed', 'unknown', 'manual')"
                                            " AND changed >= %s LIMIT 1",
    /* What is put off for longer than any look is was so by a clock that has been set back since. */
    [PWK_TABLE_BY_DUE] = SELECT "organisation = %s AND environment = %s AND next_look > 0"
                                " AND (next_look <= %s OR next_look > %s AND state <> 'created')"
                                " ORDER BY next_look LIMIT " APR_STRINGIFY(DUE_MAX),
    [PWK_TABLE_BY_NEGLECTED] =
        SELECT "next_look > 0 AND next_look < %s AND state IN " OPEN " ORDER BY next_look LIMIT 1",
    [PWK_TABLE_BY_PAGE] = SELECT "id > %s ORDER BY id LIMIT " APR_STRINGIFY(PAGE_MAX),
    [PWK_TABLE_INSERT] =
        "INSERT INTO payway_purchase (" MEMBERS(NAMED) "mark) VALUES (" MEMBERS(ASKED) "%s) ON CONFLICT DO NOTHING",
    [PWK_TABLE_TAKE_OVER] = UPDATE "due = %s WHERE id = %s AND state = 'created' AND session = '' AND due = %s",
    [PWK_TABLE_FILL] = UPDATE "session = %s, expires = %s, next_look = %s, changed = %s"
                              " WHERE id = %s AND state = 'created' AND session = ''",
    [PWK_TABLE_SELL] = UPDATE "sale = %s, changed = %s WHERE id = %s AND state = 'created'",
    [PWK_TABLE_DROP] = "DELETE FROM payway_purchase WHERE id = %s AND state = 'created' AND session = ''",
    [PWK_TABLE_CLAIM] = UPDATE
    "state = 'placing', token_hash = %s, claimed = %s, changed = %s, due = %s, next_look = %s, grant_from = %s,"
    " grant_until = %s"
    " WHERE id = %s AND state = 'created'"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.organisation = payway_purchase.organisation"
    " AND other.environment = payway_purchase.environment AND other.account = payway_purchase.account"
    " AND other.state IN " RUNNING ")"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.token_hash = %s AND other.token_hash <> '')"
    /* a connection of an older module than has made the tables outlives that */
    " AND (SELECT MAX(version) FROM payway_schema) = " APR_STRINGIFY(PWK_LEDGER_VERSION),
    [PWK_TABLE_MAKE_SURE] = UPDATE "changed = changed WHERE id = %s AND mark = %s",
    [PWK_TABLE_MOVE] =
        UPDATE "state = %s, changed = %s, order_id = %s, error = %s, field = %s, redirect = %s, token_hash = %s,"
               " claimed = %s, due = %s, grant_from = %s, grant_until = %s, next_look = %s, note = %s,"
               " shown = %s"
               " WHERE id = %s AND state = %s AND token_hash = %s AND claimed = %s",
    [PWK_TABLE_NOTE_SHOWN] = UPDATE "shown = 1, changed = %s WHERE id = %s",
    [PWK_TABLE_LEASE] = UPDATE "looked = %s, next_look = %s WHERE id = %s AND state = %s AND looked = %s",
    [PWK_TABLE_NOTE_ABSENT] = UPDATE "negatives = %s, changed = %s WHERE id = %s AND state = %s AND negatives = %s",
    [PWK_TABLE_FORGET] =
        "DELETE FROM payway_purchase WHERE id IN (SELECT id FROM payway_purchase WHERE " ENDED
        " AND changed < %s AND (state = 'expired' OR changed < %s)"
        " AND NOT (state = 'failed' AND order_id <> '' AND note = '') LIMIT " APR_STRINGIFY(FORGET_MAX) ")",
    [PWK_TABLE_TRY] = "UPDATE payway_schema SET version = version",
    [PWK_TABLE_PARK] = "UPDATE payway_purchase SET next_look = %s WHERE id = %s",
    /* what an older module wrote meanwhile */
    [PWK_TABLE_HEAL] = "UPDATE payway_purchase SET next_look = CASE WHEN state = 'created' THEN expires ELSE 1 END"
                       " WHERE next_look = 0 AND state IN " OPEN,
};

const pwk_database_plan pwk_table_plan = {.schema = schema,
                                          .schema_count = sizeof(schema) / sizeof(*schema),
                                          .version_of = "SELECT MAX(version) FROM payway_schema",
                                          .lock = "UPDATE payway_schema SET version = version",
                                          .version = PWK_LEDGER_VERSION,
                                          .upgrades = upgrades,
                                          .upgrade_count = sizeof(upgrades) / sizeof(*upgrades),
                                          .statements = statements,
                                          .statement_count = PWK_TABLE_STATEMENTS};

/* --- members and texts --- */

apr_time_t pwk_table_whole(apr_time_t at)
{
    return apr_time_from_sec(apr_time_sec(at));
}

const char *pwk_table_seconds(apr_time_t at, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, apr_time_sec(at));
}

const char *pwk_table_text(const char *value)
{
    return value ? value : "";
}

static const char *value_of(const pwk_purchase *purchase, const struct member *member, apr_pool_t *p)
{
    const void *at = (const char *)purchase + member->offset;
    switch (member->kind) {
    case KIND_TEXT:
        return pwk_table_text(*(const char *const *)at);
    case KIND_STATE:
        return pwk_purchase_word(*(const pwk_purchase_state *)at);
    case KIND_TYPE:
        return type_words[*(const pwk_period_type *)at];
    case KIND_INT:
        return apr_itoa(p, *(const int *)at);
    case KIND_TIME:
        break;
    }
    return pwk_table_seconds(*(const apr_time_t *)at, p);
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

void pwk_table_values(const char **values, const pwk_purchase *purchase, apr_pool_t *p)
{
    for (int i = 0; i < MEMBER_COUNT; i++)
        values[i] = value_of(purchase, &members[i], p);
}

/* --- reading --- */

static apr_status_t take_row(pwk_purchase *purchase, pwk_database_call *c, const char *const *texts)
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

apr_status_t pwk_table_find(pwk_database_call *c, pwk_table_statement which, const char **values,
                            pwk_purchase *purchase, const char **mark)
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

apr_status_t pwk_table_find_id(pwk_database_call *c, const char *id, pwk_purchase *purchase, const char **mark)
{
    const char *values[] = {id};
    return pwk_table_find(c, PWK_TABLE_BY_ID, values, purchase, mark);
}

apr_status_t pwk_table_find_running(pwk_database_call *c, const char *organisation, const char *environment,
                                    const char *account, pwk_purchase *purchase)
{
    const char *values[] = {pwk_table_text(organisation), pwk_table_text(environment), pwk_table_text(account)};
    return pwk_table_find(c, PWK_TABLE_BY_RUNNING, values, purchase, NULL);
}

apr_status_t pwk_table_find_sale(pwk_database_call *c, const pwk_purchase *like, pwk_purchase *purchase)
{
    const char *values[] = {pwk_table_text(like->site),        pwk_table_text(like->organisation),
                            pwk_table_text(like->environment), pwk_table_text(like->account),
                            pwk_table_text(like->offer),       pwk_table_text(like->period),
                            pwk_table_text(like->start)};
    return pwk_table_find(c, PWK_TABLE_BY_SALE, values, purchase, NULL);
}

/* --- writing --- */

/* A file's error may have been that of the last step, onto the disk: the row shows then, and a power cut takes it back. So a
 * claim that is known by its mark alone is written once more, and is one when that succeeds. */
apr_status_t pwk_table_make_sure(pwk_database_call *c, const char *id, const char *mark)
{
    const char *values[] = {pwk_purchase_new_id(c->p), id, mark};
    int n = 0;
    apr_status_t rv = values[0] ? pwk_database_write(c, PWK_TABLE_MAKE_SURE, values, &n) : APR_EGENERAL;
    return rv == APR_SUCCESS && n != 1 ? APR_EGENERAL : rv;
}

/* Writes the row of that id with `mark` for its mark. APR_EBUSY: the statement did not apply to it. An error says
 * nothing about whether the write took place, so it is tried once more: one that did take place lets the second find
 * the row changed already, or, if it is still under way, wait for it. Then the mark tells whose change it is. */
apr_status_t pwk_table_change(pwk_database_call *c, pwk_table_statement which, const char **values, const char *id,
                              const char *mark)
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
            read = pwk_table_find_id(c, id, &row, &left);
            if (read == APR_SUCCESS && !strcmp(left, mark)) {
                rv = which == PWK_TABLE_CLAIM ? pwk_table_make_sure(c, id, mark) : APR_SUCCESS;
                n = 1;
            } else if (read != APR_SUCCESS && read != APR_NOTFOUND)
                rv = read;
            c->trouble = first;
        }
    }
    return rv == APR_SUCCESS ? pwk_database_forget(c, n == 1 ? APR_SUCCESS : APR_EBUSY) : rv;
}

apr_status_t pwk_table_rows(apr_array_header_t **rows, apr_array_header_t *unreadable, pwk_database_call *c,
                            pwk_table_statement which, const char **values)
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
