#include "pwk_database.h"

#include <apr_atomic.h>
#include <apr_dbd.h>
#include <apr_file_io.h>
#include <apr_reslist.h>
#include <apr_strings.h>
#include <string.h>

#include "pwk_guard.h"

enum {
    SQLITE_CONNECTIONS = 4, /* the driver lets one thread of a process at a time into SQLite anyway */
    PGSQL_CONNECTIONS = 8,
    OPEN_TRIES = 5, /* processes that make the schema side by side disturb each other */
    WORDS_MAX = 200
};
#define ACQUIRE_TIMEOUT apr_time_from_sec(3)
/* What failed at once may be tried again; what failed late has waited enough. */
#define RETRY_WITHIN apr_time_from_sec(1)
#define OPEN_WITHIN apr_time_from_sec(2)
#define CLOSE_TIMEOUT apr_time_from_sec(5)
/* Longer than statement_timeout, which ends a statement for a reason that the server gives. */
#define PATIENCE apr_time_from_sec(4)
/* A server that was waited for in vain: for how long it is left alone then, and when that tells nothing any more. What
 * fails sooner than LATE costs nobody anything to try. */
#define LATE apr_time_from_msec(500)
enum { LEFT_ALONE_TENTHS = 20, FORGOTTEN_TENTHS = 100 };

/* A connection, or the place of one: opened by whoever takes it and finds it closed, outside the list's lock, and
 * closed after any error, which also ends a statement that a restarted server or a changed schema made useless. So an
 * error never meets a connection twice, and apr_dbd_check_conn is not needed: it sees nothing before a query has
 * failed, and then connects anew without our settings. */
typedef struct pwk_database_connection {
    apr_pool_t *pool;
    apr_dbd_t *handle; /* NULL: closed */
    apr_dbd_prepared_t **prepared;
    pwk_guarded guarded;
} connection;

struct pwk_database {
    apr_pool_t *pool;
    apr_uint32_t closed, max; /* connections */
    apr_uint32_t silent;      /* since when it has not answered, in tenths of a second; 0: it answers */
    pwk_guard *guard;         /* NULL: a file, or libpq cannot be guarded */
    const pwk_database_plan *plan;
    const apr_dbd_driver_t *driver;
    int is_file;
    const char *params;
    apr_reslist_t *connections;
    pwk_database_complain *complain;
    void *context;
};

static const char *or_empty(const char *value)
{
    return value ? value : "";
}

/* --- trouble --- */

/* The driver's first line: PostgreSQL goes on with values of the row. */
static const char *words_of(const char *from, apr_pool_t *p)
{
    char *words = apr_pstrmemdup(p, or_empty(from), from ? strcspn(from, "\r\n") : 0);
    for (char *c = words; *c; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
    if (strlen(words) > WORDS_MAX)
        words[WORDS_MAX] = '\0';
    return *words ? words : "the driver gives no reason";
}

/* libpq quotes what it cannot read of the parameters, and that may be the password. */
static const char *without_quotations(const char *words, apr_pool_t *p)
{
    char *kept = apr_pstrdup(p, or_empty(words)), *to = kept;
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

apr_status_t pwk_database_note(pwk_database_call *call, const char *doing, const char *words)
{
    call->trouble.doing = doing;
    call->trouble.words = words_of(words, call->p);
    return APR_EGENERAL;
}

static apr_status_t note_driver(pwk_database_call *call, const char *doing, int rv)
{
    return pwk_database_note(call, doing, apr_dbd_error(call->database->driver, call->on->handle, rv));
}

apr_status_t pwk_database_forget(pwk_database_call *call, apr_status_t rv)
{
    call->trouble.words = NULL;
    return rv;
}

/* --- a server that does not answer --- */

static const char SILENT[] = "it did not answer a moment ago";

static apr_uint32_t tenths(apr_time_t at)
{
    return (apr_uint32_t)(at / apr_time_from_msec(100)) | 1;
}

static void note_silent(pwk_database *database)
{
    apr_atomic_set32(&database->silent, tenths(apr_time_now()));
}

static void note_answer(pwk_database *database)
{
    if (apr_atomic_read32(&database->silent))
        apr_atomic_set32(&database->silent, 0);
}

/* Whether it is to be left alone: one call tries it now and then, and the others are told, so that a dead server does
 * not hold a thread for each reader. */
static int is_silent(pwk_database *database)
{
    apr_uint32_t since = apr_atomic_read32(&database->silent), now = tenths(apr_time_now()), age = now - since;
    return since && age < FORGOTTEN_TENTHS
           && (age < LEFT_ALONE_TENTHS || apr_atomic_cas32(&database->silent, now, since) != since);
}

/* Whether that was found out while a call waited for its connection. */
static int fell_silent(pwk_database *database, apr_time_t begun)
{
    apr_uint32_t since = apr_atomic_read32(&database->silent);
    return since && (apr_int32_t)(since - tenths(begun)) > 0;
}

static apr_status_t note_cut(pwk_database_call *call, const char *doing)
{
    note_silent(call->database);
    call->unopened = pwk_database_note(call, doing, "no answer within 4 s, so the connection was cut");
    return call->unopened;
}

/* --- connections --- */

static void close_connection(const pwk_database *database, connection *on)
{
    if (on->handle)
        apr_dbd_close(database->driver, on->handle);
    pwk_guard_drop(&on->guarded);
    on->handle = NULL;
    apr_pool_clear(on->pool);
}

static apr_status_t make_connection(void **made, void *data, apr_pool_t *p)
{
    const pwk_database *database = data;
    connection *on = apr_pcalloc(p, sizeof(*on));
    on->guarded.fd = -1;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it holds */
    on->prepared = apr_pcalloc(p, (apr_size_t)database->plan->statement_count * sizeof(*on->prepared));
    *made = on;
    /* A pool of its own with an allocator of its own: nothing of what others use at the same time. */
    return apr_pool_create_unmanaged_ex(&on->pool, NULL, NULL);
}

static apr_status_t unmake_connection(void *made, void *database, apr_pool_t *p)
{
    (void)p;
    close_connection(database, made);
    return APR_SUCCESS;
}

/* The first column of the first row; "" when there is none. Also how a PRAGMA is set: by apr_dbd_query its row looks
 * like an error. `random` access, here and below, is what makes PostgreSQL's driver report errors with the query; by
 * the other one an error looks like no row. */
static int first_value(const char **value, const pwk_database *database, connection *on, const char *sql)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int rv = apr_dbd_select(database->driver, on->pool, on->handle, &results, sql, 1);
    *value = "";
    if (rv)
        return rv;
    while (!apr_dbd_get_row(database->driver, on->pool, results, &row, -1)) {
        if (!**value)
            *value = apr_pstrdup(on->pool, or_empty(apr_dbd_get_entry(database->driver, row, 0)));
    }
    return 0;
}

/* Readers beside one writer, every commit on disk before it counts, and a short wait: the driver repeats it 16 times,
 * with 100 ms in between, and holds all of the process's statements meanwhile. */
static apr_status_t settle_file(pwk_database_call *call)
{
    static const char *const pragmas[] = {"PRAGMA busy_timeout = 50", "PRAGMA synchronous = FULL",
                                          "PRAGMA journal_mode = WAL"};
    const char *value = "";
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
        int rv = first_value(&value, call->database, call->on, pragmas[i]);
        if (rv)
            return note_driver(call, "setting the database up", rv);
    }
    return strcmp(value, "wal") ? pwk_database_note(call, "setting the database up",
                                                    "its file system has no write-ahead log (WAL): use a local one")
                                : APR_SUCCESS;
}

static apr_status_t settle_server(pwk_database_call *call)
{
    /* A claim that a crash of the server takes back has been sent all the same: whatever the database, or the role, is set
     * to, a commit that was answered is on disk. */
    static const char *const settings[] = {"SET statement_timeout = 3000", "SET synchronous_commit = on"};
    int n = 0, rv = 0;
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings) && !rv; i++)
        rv = apr_dbd_query(call->database->driver, call->on->handle, &n, settings[i]);
    return rv ? note_driver(call, "setting the database up", rv) : APR_SUCCESS;
}

/* Whoever holds the lock first brings it up to date; the others find that it is. The driver rolls back at the end when a
 * statement failed, and says nothing: the version is read again then. */
static int upgrade(const pwk_database *database, connection *on)
{
    const pwk_database_plan *plan = database->plan;
    apr_dbd_transaction_t *transaction = NULL;
    const char *version = "";
    int n = 0, rv = apr_dbd_transaction_start(database->driver, on->pool, on->handle, &transaction);
    if (rv)
        return rv;
    rv = apr_dbd_query(database->driver, on->handle, &n, plan->lock);
    if (!rv)
        rv = first_value(&version, database, on, plan->version_of);
    for (int i = 0; i < plan->upgrade_count && !rv; i++) {
        if (apr_atoi64(version) <= plan->upgrades[i].from)
            rv = apr_dbd_query(database->driver, on->handle, &n, plan->upgrades[i].statement);
    }
    if (apr_dbd_transaction_end(database->driver, on->pool, transaction) && !rv)
        rv = 1;
    return rv;
}

static apr_status_t settle_schema(pwk_database_call *call)
{
    const pwk_database *database = call->database;
    const pwk_database_plan *plan = database->plan;
    const char *version;
    int n = 0, rv = 0;
    if (first_value(&version, database, call->on, plan->version_of) || !*version) {
        for (int i = 0; i < plan->schema_count && !rv; i++)
            rv = apr_dbd_query(database->driver, call->on->handle, &n, plan->schema[i]);
        if (!rv)
            rv = first_value(&version, database, call->on, plan->version_of);
        if (rv)
            return note_driver(call, "making the tables", rv);
    }
    if (apr_atoi64(version) < plan->version) {
        rv = upgrade(database, call->on);
        if (!rv)
            rv = first_value(&version, database, call->on, plan->version_of);
        if (rv || apr_atoi64(version) < plan->version)
            return note_driver(call, "bringing the tables up to date", rv);
    }
    if (apr_atoi64(version) == plan->version)
        return APR_SUCCESS;
    pwk_database_note(call, "looking at the tables", "they were made by a newer version of this module");
    return APR_EMISMATCH;
}

static apr_status_t prepare(pwk_database_call *call)
{
    const pwk_database *database = call->database;
    const connection *on = call->on;
    for (int i = 0; i < database->plan->statement_count; i++) {
        int failed;
        on->prepared[i] = NULL;
        /* Without a label: a named statement would be gone after a reconnect, and in the way of a pooler. */
        failed = apr_dbd_prepare(database->driver, on->pool, on->handle, database->plan->statements[i], NULL,
                                 &on->prepared[i]);
        if (failed)
            return note_driver(call, "preparing statements", failed);
    }
    return APR_SUCCESS;
}

/* The file is made before SQLite makes it, so that nobody else can read it even for a moment; SQLite gives the files
 * beside it the same mode. What goes wrong here SQLite says better. */
static void make_file(const char *path, apr_pool_t *p)
{
    apr_file_t *file;
    if (apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL,
                      APR_FPROT_UREAD | APR_FPROT_UWRITE | APR_FPROT_GREAD, p)
        == APR_SUCCESS)
        apr_file_close(file);
}

static apr_status_t settle(pwk_database_call *call)
{
    apr_status_t rv = call->database->is_file ? settle_file(call) : settle_server(call);
    if (rv == APR_SUCCESS)
        rv = settle_schema(call);
    return rv == APR_SUCCESS ? prepare(call) : rv;
}

static apr_status_t open_once(pwk_database_call *call, int *opened)
{
    const pwk_database *database = call->database;
    connection *on = call->on;
    const char *words = NULL;
    apr_status_t rv;
    if (database->is_file)
        make_file(database->params, on->pool);
    if (apr_dbd_open_ex(database->driver, on->pool, database->params, &on->handle, &words) != APR_SUCCESS) {
        on->handle = NULL;
        return pwk_database_note(call, "opening the database",
                                 database->is_file ? words : without_quotations(words, call->p));
    }
    *opened = 1;
    rv = pwk_guard_take(database->guard, &on->guarded, on->handle);
    if (rv != APR_SUCCESS)
        return pwk_database_note(call, "guarding the connection", "out of threads or of files");
    pwk_guard_begin(database->guard, &on->guarded);
    rv = settle(call);
    return pwk_guard_end(database->guard, &on->guarded) ? note_cut(call, "setting the database up") : rv;
}

/* Once in a call: a server that does not answer has been waited for then. */
static apr_status_t see_to_connection(pwk_database_call *call)
{
    if (call->on->guarded.is_cut)
        close_connection(call->database, call->on);
    if (call->on->handle)
        return APR_SUCCESS;
    for (int tries = 1; call->unopened == APR_SUCCESS; tries++) {
        int opened = 0;
        apr_time_t now, from = apr_time_now();
        apr_status_t rv = open_once(call, &opened);
        if (rv == APR_SUCCESS)
            return rv;
        close_connection(call->database, call->on);
        now = apr_time_now();
        if (!opened && !call->database->is_file && now - from > LATE)
            note_silent(call->database);
        if (!opened || rv == APR_EMISMATCH || tries == OPEN_TRIES || now - call->begun > OPEN_WITHIN)
            call->unopened = rv;
        else
            apr_sleep(apr_time_from_msec(20 * tries));
    }
    return call->unopened;
}

/* --- calls --- */

apr_status_t pwk_database_start(pwk_database_call *call, pwk_database *database, apr_pool_t *p)
{
    void *taken = NULL;
    int ending = apr_atomic_read32(&database->closed) != 0;
    const char *not_now = ending ? "this process is ending" : is_silent(database) ? SILENT : NULL;
    apr_status_t rv;
    *call = (pwk_database_call){.database = database, .p = p, .begun = apr_time_now()};
    rv = ending ? APR_EOF : not_now ? APR_EGENERAL : apr_reslist_acquire(database->connections, &taken);
    if (rv == APR_SUCCESS && fell_silent(database, call->begun)) {
        apr_reslist_release(database->connections, taken);
        not_now = SILENT;
        rv = APR_EGENERAL;
    }
    call->on = rv == APR_SUCCESS ? taken : NULL;
    if (rv == APR_SUCCESS)
        return rv;
    pwk_database_note(call, "waiting for a connection", not_now ? not_now : "all are in use");
    database->complain(database->context, rv, call->trouble.doing, call->trouble.words);
    return rv;
}

apr_status_t pwk_database_finish(pwk_database_call *call, apr_status_t rv)
{
    pwk_database *database = call->database;
    apr_reslist_release(database->connections, call->on);
    if (call->trouble.words)
        database->complain(database->context, rv, call->trouble.doing, call->trouble.words);
    return rv;
}

int pwk_database_may_retry(pwk_database_call *call, apr_status_t rv)
{
    int may = rv == APR_EGENERAL && !call->retried && apr_time_now() - call->begun < RETRY_WITHIN;
    call->retried = 1;
    return may;
}

/* A statement has returned. One that was cut off too late to matter leaves a connection that see_to_connection closes:
 * what was read still hangs on it. */
static apr_status_t end_statement(pwk_database_call *call, const char *doing, int failed)
{
    int is_cut = pwk_guard_end(call->database->guard, &call->on->guarded);
    apr_status_t rv = APR_SUCCESS;
    if (!failed)
        note_answer(call->database);
    else
        rv = is_cut ? note_cut(call, doing) : note_driver(call, doing, failed);
    if (failed)
        close_connection(call->database, call->on);
    return rv;
}

apr_status_t pwk_database_write(pwk_database_call *call, unsigned which, const char **values, int *n)
{
    connection *on = call->on;
    apr_status_t rv = see_to_connection(call);
    int failed;
    *n = 0;
    if (rv != APR_SUCCESS)
        return rv;
    pwk_guard_begin(call->database->guard, &on->guarded);
    failed = apr_dbd_pquery(call->database->driver, call->p, on->handle, n, on->prepared[which], 0, values);
    return end_statement(call, "writing", failed);
}

static apr_status_t read_once(apr_array_header_t *rows, pwk_database_call *call, unsigned which, const char **values)
{
    const apr_dbd_driver_t *driver = call->database->driver;
    connection *on = call->on;
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL; /* kept between calls: NULL would begin again with the first */
    apr_status_t rv = see_to_connection(call);
    int failed, columns;
    if (rv != APR_SUCCESS)
        return rv;
    pwk_guard_begin(call->database->guard, &on->guarded);
    failed = apr_dbd_pselect(driver, call->p, on->handle, &results, on->prepared[which], 1, 0, values);
    rv = end_statement(call, "reading", failed);
    if (rv != APR_SUCCESS)
        return rv;
    columns = apr_dbd_num_cols(driver, results);
    while (!apr_dbd_get_row(driver, call->p, results, &row, -1)) {
        const char **texts = apr_palloc(call->p, (apr_size_t)columns * sizeof(*texts));
        for (int i = 0; i < columns; i++)
            texts[i] = apr_pstrdup(call->p, or_empty(apr_dbd_get_entry(driver, row, i)));
        APR_ARRAY_PUSH(rows, const char *const *) = texts;
    }
    return APR_SUCCESS;
}

apr_status_t pwk_database_read(apr_array_header_t **rows, pwk_database_call *call, unsigned which, const char **values)
{
    apr_status_t rv;
    *rows = apr_array_make(call->p, 1, sizeof(const char *const *));
    rv = read_once(*rows, call, which, values);
    if (rv != APR_SUCCESS && pwk_database_may_retry(call, rv))
        rv = read_once(*rows, call, which, values);
    return rv == APR_SUCCESS ? pwk_database_forget(call, rv) : rv;
}

/* --- the beginning and the end --- */

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

/* The process is about to end, and threads that nobody waits for (mod_watchdog's) may still be here: they are given
 * time to finish, then the connections are closed, and the database itself stays: whoever calls later is told so.
 * apr_reslist would abort the process over a connection in use, so it is never destroyed. */
static apr_status_t close_database(void *data)
{
    pwk_database *database = data;
    apr_time_t until = apr_time_now() + CLOSE_TIMEOUT;
    void *taken;
    apr_atomic_set32(&database->closed, 1);
    while (apr_reslist_acquired_count(database->connections) && apr_time_now() < until)
        apr_sleep(apr_time_from_msec(20));
    while (apr_reslist_acquired_count(database->connections) < database->max
           && apr_reslist_acquire(database->connections, &taken) == APR_SUCCESS)
        close_connection(database, taken);
    pwk_guard_dismiss(database->guard);
    return APR_SUCCESS;
}

static apr_status_t load_driver(const apr_dbd_driver_t **loaded, const char *driver, const char *params,
                                pwk_database_complain *complain, void *context, apr_pool_t *p)
{
    int is_file = !strcmp(driver, "sqlite3");
    apr_status_t rv = APR_EINVAL;
    if (!is_file && strcmp(driver, "pgsql")) {
        complain(context, rv, "loading the driver", "it is neither sqlite3 nor pgsql");
        return rv;
    }
    /* Neither a path that depends on where the process stands, nor a database in memory that each connection has
     * anew. */
    if (is_file && *params != '/') {
        complain(context, rv, "opening the database", "the path of an sqlite3 database begins with /");
        return rv;
    }
    rv = apr_dbd_init(p);
    if (rv == APR_SUCCESS)
        rv = apr_dbd_get_driver(p, driver, loaded);
    if (rv != APR_SUCCESS)
        complain(context, rv, "loading the driver", "is APR-util's DBD driver for it installed?");
    return rv;
}

apr_status_t pwk_database_create(pwk_database **database, const pwk_database_plan *plan, const char *driver,
                                 const char *params, pwk_database_complain *complain, void *context, apr_pool_t *p)
{
    int is_file = !strcmp(driver, "sqlite3"), max = is_file ? SQLITE_CONNECTIONS : PGSQL_CONNECTIONS;
    const apr_dbd_driver_t *loaded;
    apr_pool_t *own;
    pwk_database *made;
    apr_status_t rv;
    *database = NULL;
    rv = load_driver(&loaded, driver, params, complain, context, p);
    if (rv == APR_SUCCESS)
        rv = apr_pool_create_unmanaged_ex(&own, NULL, NULL); /* nobody's child: it outlives `p` */
    if (rv != APR_SUCCESS)
        return rv;
    made = apr_pcalloc(own, sizeof(*made));
    made->pool = own;
    made->max = (apr_uint32_t)max;
    made->plan = plan;
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
    if (!is_file && (rv = pwk_guard_create(&made->guard, loaded, PATIENCE, own)) != APR_SUCCESS)
        complain(context, rv, "guarding connections", "libpq does not tell its sockets: a frozen server holds threads");
    apr_reslist_timeout_set(made->connections, ACQUIRE_TIMEOUT);
    apr_pool_pre_cleanup_register(p, made, close_database);
    *database = made;
    return APR_SUCCESS;
}

apr_pool_t *pwk_database_pool(const pwk_database *database)
{
    return database->pool;
}
