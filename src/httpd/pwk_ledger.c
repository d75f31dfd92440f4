#include "pwk_ledger.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_file_io.h>
#include <apr_reslist.h>
#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#define SCHEMA_VERSION 1
#define GRANTING_MAX 32
enum {
    SQLITE_CONNECTIONS = 4, /* the driver lets one thread of a process at a time into SQLite anyway */
    PGSQL_CONNECTIONS = 8,
    OPEN_TRIES = 5, /* processes that make the schema side by side disturb each other */
    CLAIM_TRIES = 3,
    WORDS_MAX = 200
};
#define ACQUIRE_TIMEOUT apr_time_from_sec(3)
/* What failed at once may be tried again; what failed late has waited enough. */
#define RETRY_WITHIN apr_time_from_sec(1)
#define OPEN_WITHIN apr_time_from_sec(2)
#define CLOSE_TIMEOUT apr_time_from_sec(5)

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
    X(INT, shown, shown)

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
    "INSERT INTO payway_schema (version) VALUES (" APR_STRINGIFY(SCHEMA_VERSION) ") ON CONFLICT DO NOTHING",
};
enum { SCHEMA_COUNT = sizeof(schema) / sizeof(*schema) };

typedef enum {
    BY_ID,
    BY_SALE,
    BY_TOKEN,
    BY_RUNNING,
    BY_GRANTING,
    INSERT,
    TAKE_OVER,
    FILL,
    SELL,
    DROP,
    CLAIM,
    MOVE,
    NOTE_SHOWN,
    LEASE,
    NOTE_ABSENT,
    STATEMENTS
} statement;

#define SELECT "SELECT " MEMBERS(NAMED) "mark FROM payway_purchase WHERE "
#define UPDATE "UPDATE payway_purchase SET mark = %s, "

/* Every parameter is a string; the columns give the types. What two may write at once is a compare-and-swap. The claim
 * asks for what its indexes forbid, so that a refusal is an answer; the indexes hold when two ask at the same moment. */
static const char *const statements[STATEMENTS] = {
    [BY_ID] = SELECT "id = %s",
    [BY_SALE] =
        SELECT "site = %s AND " READER " AND offer = %s AND period_id = %s AND start_date = %s AND state = 'created'",
    [BY_TOKEN] = SELECT "token_hash = %s AND token_hash <> ''",
    [BY_RUNNING] = SELECT READER " AND state IN " RUNNING,
    [BY_GRANTING] = SELECT READER " AND shown = 0 AND state IN ('placed', 'unknown', 'confirmed') AND grant_until > %s"
                                  " ORDER BY created DESC, claimed DESC, id LIMIT " APR_STRINGIFY(GRANTING_MAX),
    [INSERT] =
        "INSERT INTO payway_purchase (" MEMBERS(NAMED) "mark) VALUES (" MEMBERS(ASKED) "%s) ON CONFLICT DO NOTHING",
    [TAKE_OVER] = UPDATE "due = %s WHERE id = %s AND state = 'created' AND session = '' AND due = %s",
    [FILL] = UPDATE "session = %s, expires = %s, changed = %s WHERE id = %s AND state = 'created' AND session = ''",
    [SELL] = UPDATE "sale = %s, changed = %s WHERE id = %s AND state = 'created'",
    [DROP] = "DELETE FROM payway_purchase WHERE id = %s AND state = 'created' AND session = ''",
    [CLAIM] = UPDATE
    "state = 'placing', token_hash = %s, claimed = %s, changed = %s, due = %s, grant_from = %s, grant_until = %s"
    " WHERE id = %s AND state = 'created'"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.organisation = payway_purchase.organisation"
    " AND other.environment = payway_purchase.environment AND other.account = payway_purchase.account"
    " AND other.state IN " RUNNING ")"
    " AND NOT EXISTS (SELECT 1 FROM payway_purchase other WHERE other.token_hash = %s AND other.token_hash <> '')",
    [MOVE] = UPDATE "state = %s, changed = %s, order_id = %s, error = %s, field = %s, redirect = %s, token_hash = %s,"
                    " claimed = %s, due = %s, grant_from = %s, grant_until = %s"
                    " WHERE id = %s AND state = %s AND token_hash = %s AND claimed = %s",
    [NOTE_SHOWN] = UPDATE "shown = 1, changed = %s WHERE id = %s",
    [LEASE] = UPDATE "looked = %s WHERE id = %s AND state = %s AND looked = %s",
    [NOTE_ABSENT] = UPDATE "negatives = %s, changed = %s WHERE id = %s AND state = %s AND negatives = %s",
};

/* --- rows --- */

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

static int take_value(pwk_purchase *purchase, const struct member *member, const char *value, apr_pool_t *p)
{
    void *at = (char *)purchase + member->offset;
    int state = pwk_purchase_state_of(value);
    switch (member->kind) {
    case KIND_TEXT:
        *(const char **)at = apr_pstrdup(p, value);
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

/* --- connections --- */

/* A connection, or the place of one: opened by whoever takes it and finds it closed, outside the list's lock, and closed
 * after any error, which also ends a statement that a restarted server or a changed schema made useless. So an error
 * never meets a connection twice, and apr_dbd_check_conn is not needed: it sees nothing before a query has failed, and
 * then connects anew without our settings. */
typedef struct {
    apr_pool_t *pool;
    apr_dbd_t *handle; /* NULL: closed */
    apr_dbd_prepared_t *prepared[STATEMENTS];
} connection;

struct pwk_ledger {
    apr_uint32_t closed, max; /* connections */
    const apr_dbd_driver_t *driver;
    int is_file;
    const char *params;
    apr_reslist_t *connections;
    pwk_ledger_complain *complain;
    void *context;
};

/* One call of ours. */
typedef struct {
    pwk_ledger *ledger;
    connection *on;
    apr_pool_t *p;
    apr_time_t begun;
    int retried;
    apr_status_t unopened; /* why a connection could not be opened */
    struct trouble {
        const char *doing, *words; /* what failed, and the driver's words for it; NULL: nothing to complain about */
    } trouble;
} call;

/* The driver's first line: PostgreSQL goes on with values of the row. */
static const char *words_of(const char *from, apr_pool_t *p)
{
    char *words = apr_pstrmemdup(p, text(from), from ? strcspn(from, "\r\n") : 0);
    for (char *c = words; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
    if (strlen(words) > WORDS_MAX)
        words[WORDS_MAX] = '\0';
    return *words ? words : "the driver gives no reason";
}

static apr_status_t note(call *c, const char *doing, const char *words)
{
    c->trouble.doing = doing;
    c->trouble.words = words_of(words, c->p);
    return APR_EGENERAL;
}

static void close_connection(const pwk_ledger *ledger, connection *on)
{
    if (on->handle)
        apr_dbd_close(ledger->driver, on->handle);
    on->handle = NULL;
    apr_pool_clear(on->pool);
}

static apr_status_t make_connection(void **made, void *ledger, apr_pool_t *p)
{
    connection *on = apr_pcalloc(p, sizeof(*on));
    (void)ledger;
    *made = on;
    /* A pool of its own with an allocator of its own: nothing of what others use at the same time. */
    return apr_pool_create_unmanaged_ex(&on->pool, NULL, NULL);
}

static apr_status_t unmake_connection(void *made, void *ledger, apr_pool_t *p)
{
    (void)p;
    close_connection(ledger, made);
    return APR_SUCCESS;
}

/* The first column of the first row; "" when there is none. Also how a PRAGMA is set: by apr_dbd_query its row looks like
 * an error. `random` access, here and below, is what makes PostgreSQL's driver report errors with the query; by the other
 * one an error looks like no row. */
static int first_value(const char **value, const pwk_ledger *ledger, connection *on, const char *sql)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int rv = apr_dbd_select(ledger->driver, on->pool, on->handle, &results, sql, 1);
    *value = "";
    if (rv)
        return rv;
    while (!apr_dbd_get_row(ledger->driver, on->pool, results, &row, -1)) {
        if (!**value)
            *value = apr_pstrdup(on->pool, text(apr_dbd_get_entry(ledger->driver, row, 0)));
    }
    return 0;
}

static apr_status_t note_driver(call *c, const connection *on, const char *doing, int rv)
{
    return note(c, doing, apr_dbd_error(c->ledger->driver, on->handle, rv));
}

/* Readers beside one writer, every commit on disk before it counts, and a short wait: the driver repeats it 16 times, with
 * 100 ms in between, and holds all of the process's statements meanwhile. */
static apr_status_t settle_file(call *c, connection *on)
{
    static const char *const pragmas[] = {"PRAGMA busy_timeout = 50", "PRAGMA synchronous = FULL",
                                          "PRAGMA journal_mode = WAL"};
    const char *value = "";
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
        int rv = first_value(&value, c->ledger, on, pragmas[i]);
        if (rv)
            return note_driver(c, on, "setting the database up", rv);
    }
    return strcmp(value, "wal")
               ? note(c, "setting the database up", "its file system has no write-ahead log (WAL): use a local one")
               : APR_SUCCESS;
}

static apr_status_t settle_server(call *c, connection *on)
{
    int n = 0, rv = apr_dbd_query(c->ledger->driver, on->handle, &n, "SET statement_timeout = 3000");
    return rv ? note_driver(c, on, "setting the database up", rv) : APR_SUCCESS;
}

static apr_status_t settle_schema(call *c, connection *on)
{
    const char *version;
    int n = 0, rv = 0;
    if (first_value(&version, c->ledger, on, "SELECT MAX(version) FROM payway_schema") || !*version) {
        for (size_t i = 0; i < SCHEMA_COUNT && !rv; i++)
            rv = apr_dbd_query(c->ledger->driver, on->handle, &n, schema[i]);
        if (!rv)
            rv = first_value(&version, c->ledger, on, "SELECT MAX(version) FROM payway_schema");
        if (rv)
            return note_driver(c, on, "making the tables", rv);
    }
    if (apr_atoi64(version) == SCHEMA_VERSION)
        return APR_SUCCESS;
    note(c, "looking at the tables", "they were made by another version of this module");
    return APR_EMISMATCH;
}

/* The file is made before SQLite makes it, so that nobody else can read it even for a moment; SQLite gives the files beside
 * it the same mode. What goes wrong here SQLite says better. */
static void make_file(const char *path, apr_pool_t *p)
{
    apr_file_t *file;
    if (apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL,
                      APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD, p)
        == APR_SUCCESS)
        apr_file_close(file);
}

/* libpq quotes what it cannot read of the parameters, and that may be the password. */
static const char *without_quotations(const char *words, apr_pool_t *p)
{
    char *kept = apr_pstrdup(p, text(words)), *to = kept;
    int quoted = 0;
    for (const char *from = kept; *from; from++) {
        if (*from == '"')
            quoted = !quoted;
        if (!quoted || *from == '"')
            *to++ = *from;
    }
    *to = '\0';
    return kept;
}

static apr_status_t open_once(call *c, connection *on, int *opened)
{
    const pwk_ledger *ledger = c->ledger;
    const char *words = NULL;
    apr_status_t rv;
    if (ledger->is_file)
        make_file(ledger->params, on->pool);
    if (apr_dbd_open_ex(ledger->driver, on->pool, ledger->params, &on->handle, &words) != APR_SUCCESS) {
        on->handle = NULL;
        return note(c, "opening the database", ledger->is_file ? words : without_quotations(words, c->p));
    }
    *opened = 1;
    rv = ledger->is_file ? settle_file(c, on) : settle_server(c, on);
    if (rv == APR_SUCCESS)
        rv = settle_schema(c, on);
    for (int i = 0; i < STATEMENTS && rv == APR_SUCCESS; i++) {
        int failed;
        on->prepared[i] = NULL;
        /* Without a label: a named statement would be gone after a reconnect, and in the way of a pooler. */
        failed = apr_dbd_prepare(ledger->driver, on->pool, on->handle, statements[i], NULL, &on->prepared[i]);
        if (failed)
            rv = note_driver(c, on, "preparing statements", failed);
    }
    return rv;
}

/* Once in a call: a server that does not answer has been waited for then. */
static apr_status_t open_connection(call *c, connection *on)
{
    for (int tries = 1; c->unopened == APR_SUCCESS; tries++) {
        int opened = 0;
        apr_status_t rv = open_once(c, on, &opened);
        if (rv == APR_SUCCESS)
            return rv;
        close_connection(c->ledger, on);
        if (!opened || rv == APR_EMISMATCH || tries == OPEN_TRIES || apr_time_now() - c->begun > OPEN_WITHIN)
            c->unopened = rv;
        else
            apr_sleep(apr_time_from_msec(20 * tries));
    }
    return c->unopened;
}

/* --- calls --- */

static apr_status_t start(call *c, pwk_ledger *ledger, apr_pool_t *p)
{
    void *taken = NULL;
    int closed = apr_atomic_read32(&ledger->closed) != 0;
    apr_status_t rv;
    *c = (call){.ledger = ledger, .p = p, .begun = apr_time_now()};
    rv = closed ? APR_EGENERAL : apr_reslist_acquire(ledger->connections, &taken);
    c->on = rv == APR_SUCCESS ? taken : NULL;
    if (rv == APR_SUCCESS)
        return rv;
    note(c, "waiting for a connection", closed ? "this process is ending" : "all are in use");
    ledger->complain(ledger->context, rv, c->trouble.doing, c->trouble.words);
    return rv;
}

static apr_status_t finish(call *c, apr_status_t rv)
{
    apr_reslist_release(c->ledger->connections, c->on);
    if (c->trouble.words)
        c->ledger->complain(c->ledger->context, rv, c->trouble.doing, c->trouble.words);
    return rv;
}

/* Something else explains the failure, or it did not matter. */
static apr_status_t settled(call *c, apr_status_t rv)
{
    c->trouble.words = NULL;
    return rv;
}

static int may_retry(call *c, apr_status_t rv)
{
    int may = rv == APR_EGENERAL && !c->retried && apr_time_now() - c->begun < RETRY_WITHIN;
    c->retried = 1;
    return may;
}

/* `*n` is right on success alone: after an error it is an old count. */
static apr_status_t write_once(call *c, statement which, const char **values, int *n)
{
    connection *on = c->on;
    apr_status_t rv;
    int failed;
    *n = 0;
    if (!on->handle && (rv = open_connection(c, on)) != APR_SUCCESS)
        return rv;
    failed = apr_dbd_pquery(c->ledger->driver, c->p, on->handle, n, on->prepared[which], 0, values);
    if (!failed)
        return APR_SUCCESS;
    rv = note_driver(c, on, "writing", failed);
    close_connection(c->ledger, on);
    return rv;
}

typedef struct {
    pwk_purchase purchase;
    const char *mark;
} found;

static apr_status_t select_once(call *c, statement which, const char **values, apr_array_header_t *rows)
{
    const apr_dbd_driver_t *driver = c->ledger->driver;
    connection *on = c->on;
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL; /* kept between calls: NULL would begin again with the first */
    apr_status_t rv;
    int failed;
    apr_array_clear(rows);
    if (!on->handle && (rv = open_connection(c, on)) != APR_SUCCESS)
        return rv;
    failed = apr_dbd_pselect(driver, c->p, on->handle, &results, on->prepared[which], 1, 0, values);
    if (failed) {
        rv = note_driver(c, on, "reading", failed);
        close_connection(c->ledger, on);
        return rv;
    }
    rv = APR_SUCCESS;
    while (!apr_dbd_get_row(driver, c->p, results, &row, -1)) {
        found *f = apr_array_push(rows);
        for (int i = 0; i < MEMBER_COUNT; i++) {
            if (!take_value(&f->purchase, &members[i], text(apr_dbd_get_entry(driver, row, i)), c->p))
                rv = note(c, "reading", "a row has a state or a type that is none");
        }
        f->mark = apr_pstrdup(c->p, text(apr_dbd_get_entry(driver, row, MEMBER_COUNT)));
    }
    return rv;
}

static apr_status_t select_rows(call *c, statement which, const char **values, apr_array_header_t **rows)
{
    apr_status_t rv;
    *rows = apr_array_make(c->p, 1, sizeof(found));
    rv = select_once(c, which, values, *rows);
    if (rv != APR_SUCCESS && may_retry(c, rv))
        rv = select_once(c, which, values, *rows);
    return rv == APR_SUCCESS ? settled(c, rv) : rv;
}

/* APR_NOTFOUND: there is none. */
static apr_status_t find(call *c, statement which, const char **values, pwk_purchase *purchase, const char **mark)
{
    apr_array_header_t *rows;
    apr_status_t rv = select_rows(c, which, values, &rows);
    if (rv != APR_SUCCESS)
        return rv;
    if (!rows->nelts)
        return APR_NOTFOUND;
    *purchase = APR_ARRAY_IDX(rows, 0, found).purchase;
    if (mark)
        *mark = APR_ARRAY_IDX(rows, 0, found).mark;
    return APR_SUCCESS;
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

/* Writes the row of that id with `mark` for its mark. APR_EBUSY: the statement did not apply to it. An error says nothing
 * about whether the write took place, so it is tried once more: one that did take place lets the second find the row
 * changed already, or, if it is still under way, wait for it. Then the mark tells whose change it is. */
static apr_status_t change(call *c, statement which, const char **values, const char *id, const char *mark)
{
    int n = 0;
    apr_status_t rv = write_once(c, which, values, &n);
    if (rv != APR_SUCCESS) {
        struct trouble first = c->trouble;
        const char *left = "";
        pwk_purchase row;
        apr_status_t read;
        if (may_retry(c, rv))
            rv = write_once(c, which, values, &n);
        if (rv != APR_SUCCESS || n != 1) {
            read = find_id(c, id, &row, &left);
            if (read == APR_SUCCESS && !strcmp(left, mark)) {
                rv = APR_SUCCESS;
                n = 1;
            } else if (read != APR_SUCCESS && read != APR_NOTFOUND)
                rv = read;
            c->trouble = first;
        }
    }
    return rv == APR_SUCCESS ? settled(c, n == 1 ? APR_SUCCESS : APR_EBUSY) : rv;
}

static const char *new_mark(call *c)
{
    const char *mark = pwk_purchase_new_id(c->p);
    if (!mark)
        note(c, "writing", "no random bytes");
    return mark;
}

/* A whole call that writes one row; values[0] is the place of the mark. */
static apr_status_t change_alone(pwk_ledger *ledger, statement which, const char **values, const char *id,
                                 apr_pool_t *p)
{
    call c;
    apr_status_t rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    values[0] = new_mark(&c);
    return finish(&c, values[0] ? change(&c, which, values, id, values[0]) : APR_EGENERAL);
}

/* --- the interface --- */

/* Whatever cannot answer is given up in time; what the publisher writes comes later and wins. */
static const char *patient_params(const char *params, apr_pool_t *p)
{
    static const char *const limits[][2] = {{"connect_timeout", "3"},
                                            {"tcp_user_timeout", "5000"},
                                            {"keepalives_idle", "5"},
                                            {"keepalives_interval", "2"},
                                            {"keepalives_count", "2"}};
    int is_uri = !strncmp(params, "postgres://", 11) || !strncmp(params, "postgresql://", 13);
    const char *query = is_uri ? strchr(params, '?') : NULL, *ours = "";
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
        ours = apr_pstrcat(p, ours, limits[i][0], "=", limits[i][1], is_uri ? "&" : " ", NULL);
    if (!is_uri)
        return apr_pstrcat(p, ours, params, NULL);
    if (query)
        return apr_pstrcat(p, apr_pstrmemdup(p, params, (apr_size_t)(query + 1 - params)), ours, query + 1, NULL);
    return apr_pstrcat(p, params, "?", apr_pstrmemdup(p, ours, strlen(ours) - 1), NULL);
}

/* The process is about to end, and threads that nobody waits for (mod_watchdog's) may still be here: they are given time to
 * finish, then the connections are closed, and the ledger itself stays: whoever calls later is told so. apr_reslist would
 * abort the process over a connection in use, so it is never destroyed. */
static apr_status_t close_ledger(void *data)
{
    pwk_ledger *ledger = data;
    apr_time_t until = apr_time_now() + CLOSE_TIMEOUT;
    void *taken;
    apr_atomic_set32(&ledger->closed, 1);
    while (apr_reslist_acquired_count(ledger->connections) && apr_time_now() < until)
        apr_sleep(apr_time_from_msec(20));
    while (apr_reslist_acquired_count(ledger->connections) < ledger->max
           && apr_reslist_acquire(ledger->connections, &taken) == APR_SUCCESS)
        close_connection(ledger, taken);
    return APR_SUCCESS;
}

apr_status_t pwk_ledger_create(pwk_ledger **ledger, const char *driver, const char *params,
                               pwk_ledger_complain *complain, void *context, apr_pool_t *p)
{
    int is_file = !strcmp(driver, "sqlite3"), max = is_file ? SQLITE_CONNECTIONS : PGSQL_CONNECTIONS;
    const apr_dbd_driver_t *loaded;
    apr_pool_t *own;
    pwk_ledger *made;
    apr_status_t rv = APR_EINVAL;
    *ledger = NULL;
    if (!is_file && strcmp(driver, "pgsql")) {
        complain(context, rv, "loading the driver", "it is neither sqlite3 nor pgsql");
        return rv;
    }
    /* Neither a path that depends on where the process stands, nor a database in memory that each connection has anew. */
    if (is_file && *params != '/') {
        complain(context, rv, "opening the database", "the path of an sqlite3 ledger begins with /");
        return rv;
    }
    rv = apr_dbd_init(p);
    if (rv == APR_SUCCESS)
        rv = apr_dbd_get_driver(p, driver, &loaded);
    if (rv != APR_SUCCESS) {
        complain(context, rv, "loading the driver", "is APR-util's DBD driver for it installed?");
        return rv;
    }
    rv = apr_pool_create_unmanaged_ex(&own, NULL, NULL); /* nobody's child: it outlives `p` */
    if (rv != APR_SUCCESS)
        return rv;
    made = apr_pcalloc(own, sizeof(*made));
    made->max = (apr_uint32_t)max;
    made->driver = loaded;
    made->is_file = is_file;
    made->params = is_file ? apr_pstrdup(own, params) : patient_params(params, own);
    made->complain = complain;
    made->context = context;
    /* All the places at once: later the list takes nothing from its pool, which other threads would not stand. */
    rv = apr_reslist_create(&made->connections, max, max, max, 0, make_connection, unmake_connection, made, own);
    if (rv != APR_SUCCESS) {
        complain(context, rv, "making the list of connections", "out of memory or of locks");
        return rv;
    }
    apr_reslist_timeout_set(made->connections, ACQUIRE_TIMEOUT);
    apr_pool_pre_cleanup_register(p, made, close_ledger);
    *ledger = made;
    return APR_SUCCESS;
}

apr_status_t pwk_ledger_read(pwk_purchase *purchase, pwk_ledger *ledger, const char *id, apr_pool_t *p)
{
    call c;
    apr_status_t rv = start(&c, ledger, p);
    return rv == APR_SUCCESS ? finish(&c, find_id(&c, id, purchase, NULL)) : rv;
}

apr_status_t pwk_ledger_running(pwk_purchase *purchase, pwk_ledger *ledger, const char *organisation,
                                const char *environment, const char *account, apr_pool_t *p)
{
    call c;
    apr_status_t rv = start(&c, ledger, p);
    return rv == APR_SUCCESS ? finish(&c, find_running(&c, organisation, environment, account, purchase)) : rv;
}

apr_status_t pwk_ledger_granting(apr_array_header_t **rows, pwk_ledger *ledger, const char *organisation,
                                 const char *environment, const char *account, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {organisation, environment, account, seconds(now, p)};
    apr_array_header_t *selected;
    call c;
    apr_status_t rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = select_rows(&c, BY_GRANTING, values, &selected);
    *rows = apr_array_make(p, GRANTING_MAX, sizeof(pwk_purchase));
    for (int i = 0; rv == APR_SUCCESS && i < selected->nelts; i++)
        APR_ARRAY_PUSH(*rows, pwk_purchase) = APR_ARRAY_IDX(selected, i, found).purchase;
    return finish(&c, rv);
}

apr_status_t pwk_ledger_begin(pwk_ledger *ledger, const pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *values[MEMBER_COUNT + 1];
    pwk_purchase begun = *purchase;
    apr_status_t rv;
    call c;
    rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    begun.state = PWK_PURCHASE_CREATED;
    begun.session = "";
    for (int i = 0; i < MEMBER_COUNT; i++)
        values[i] = value_of(&begun, &members[i], p);
    values[MEMBER_COUNT] = new_mark(&c);
    if (!values[MEMBER_COUNT])
        return finish(&c, APR_EGENERAL);
    for (int tries = 1;; tries++) {
        struct trouble first;
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
            rv = note(&c, "beginning a purchase", "its id is taken");
            break;
        }
    }
    return finish(&c, rv);
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
    const char *values[] = {NULL, session, seconds(expires, p), seconds(now, p), id};
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
    apr_status_t rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    rv = write_once(&c, DROP, values, &n);
    if (rv != APR_SUCCESS && may_retry(&c, rv))
        rv = write_once(&c, DROP, values, &n);
    return finish(&c, rv == APR_SUCCESS ? settled(&c, rv) : rv);
}

/* Why the claim did not apply. APR_SUCCESS: it did; APR_EAGAIN: no reason is left. */
static apr_status_t why_not(call *c, const pwk_purchase *purchase, const char *mark, pwk_purchase *other)
{
    const char *token[] = {text(purchase->token_hash)}, *left;
    pwk_purchase row;
    apr_status_t rv = find_id(c, purchase->id, &row, &left);
    if (rv != APR_SUCCESS || !strcmp(left, mark))
        return rv;
    if (row.state != PWK_PURCHASE_CREATED)
        return APR_NOTFOUND;
    rv = find_running(c, row.organisation, row.environment, row.account, other);
    if (rv == APR_NOTFOUND)
        rv = find(c, BY_TOKEN, token, other, NULL);
    return rv == APR_SUCCESS ? APR_EBUSY : rv == APR_NOTFOUND ? APR_EAGAIN : rv;
}

apr_status_t pwk_ledger_claim(pwk_ledger *ledger, const pwk_purchase *purchase, pwk_purchase *other, apr_pool_t *p)
{
    const char *values[] = {NULL,
                            text(purchase->token_hash),
                            seconds(purchase->claimed, p),
                            seconds(purchase->claimed, p),
                            seconds(purchase->due, p),
                            seconds(purchase->grant_from, p),
                            seconds(purchase->grant_until, p),
                            purchase->id,
                            text(purchase->token_hash)};
    apr_status_t rv, why;
    call c;
    rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    if (!*values[1])
        return finish(&c, note(&c, "claiming a purchase", "without a token there is nothing to claim it by"));
    values[0] = new_mark(&c);
    if (!values[0])
        return finish(&c, APR_EGENERAL);
    for (int tries = 1;; tries++) {
        struct trouble first;
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
            rv = note(&c, "claiming a purchase", "whatever is in the way comes and goes");
            break;
        }
    }
    return finish(&c, rv);
}

apr_status_t pwk_ledger_move(pwk_ledger *ledger, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now,
                             apr_pool_t *p)
{
    pwk_purchase after = *purchase, other;
    pwk_purchase_action action;
    apr_status_t rv;
    call c;
    if (event == PWK_EVENT_CLAIM || !pwk_purchase_next(&after.state, &action, purchase->state, event))
        return APR_EINVAL;
    after.changed = whole(now);
    if (event == PWK_EVENT_NOT_SENT) {
        after.token_hash = "";
        after.claimed = after.due = after.grant_from = after.grant_until = 0;
    }
    rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    /* The claim is part of what is compared: a row that was given back and claimed again is in the same state, and is
     * somebody else's. */
    const char *values[] = {new_mark(&c),
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
                            purchase->id,
                            pwk_purchase_word(purchase->state),
                            text(purchase->token_hash),
                            seconds(purchase->claimed, p)};
    rv = values[0] ? change(&c, MOVE, values, purchase->id, values[0]) : APR_EGENERAL;
    if (rv == APR_SUCCESS)
        *purchase = after;
    else if (rv != APR_EBUSY && after.state == PWK_PURCHASE_CREATED) {
        struct trouble first = c.trouble;
        if (find_sale(&c, purchase, &other) == APR_SUCCESS && strcmp(other.id, purchase->id))
            rv = APR_EEXIST;
        c.trouble = first;
    }
    return finish(&c, rv);
}

apr_status_t pwk_ledger_note_shown(pwk_ledger *ledger, const char *id, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, seconds(now, p), id};
    apr_status_t rv = change_alone(ledger, NOTE_SHOWN, values, id, p);
    return rv == APR_EBUSY ? APR_SUCCESS : rv; /* a row that is gone has nothing to note */
}

apr_status_t pwk_ledger_lease(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    const char *values[] = {NULL, seconds(now, p), purchase->id, pwk_purchase_word(purchase->state),
                            seconds(purchase->looked, p)};
    /* In the same second nobody could tell who swapped. */
    apr_status_t rv = strcmp(values[1], values[4]) ? change_alone(ledger, LEASE, values, purchase->id, p) : APR_EBUSY;
    if (rv == APR_SUCCESS)
        purchase->looked = whole(now);
    return rv;
}

apr_status_t pwk_ledger_note_absent(pwk_ledger *ledger, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    pwk_purchase row;
    call c;
    apr_status_t rv = start(&c, ledger, p);
    if (rv != APR_SUCCESS)
        return rv;
    const char *values[] = {new_mark(&c), apr_itoa(p, purchase->negatives + 1), seconds(now, p),
                            purchase->id, pwk_purchase_word(purchase->state),   apr_itoa(p, purchase->negatives)};
    rv = values[0] ? change(&c, NOTE_ABSENT, values, purchase->id, values[0]) : APR_EGENERAL;
    if (rv == APR_SUCCESS)
        purchase->negatives++;
    /* Somebody else counted meanwhile, or it was resolved: two readings at once are one. */
    if (rv == APR_EBUSY && (rv = find_id(&c, purchase->id, &row, NULL)) == APR_SUCCESS)
        purchase->negatives = row.negatives;
    if (rv == APR_NOTFOUND)
        note(&c, "counting a reading", "the row is gone");
    return finish(&c, rv);
}
