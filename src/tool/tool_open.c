#include "tool_open.h"

#include <apr_dbd.h>
#include <apr_strings.h>
#include <string.h>

#include "tool_source.h"

enum { BUSY = 5 /* SQLite's SQLITE_BUSY */ };
#define BUSY_TIMEOUT apr_time_from_sec(5)

#define NUMBERS(X)                                                                                                     \
    X(trial)                                                                                                           \
    X(created)                                                                                                         \
    X(changed)                                                                                                         \
    X(expires)                                                                                                         \
    X(claimed)                                                                                                         \
    X(due)                                                                                                             \
    X(grant_from)                                                                                                      \
    X(grant_until)                                                                                                     \
    X(looked)                                                                                                          \
    X(negatives)                                                                                                       \
    X(shown)                                                                                                           \
    X(next_look)
#define COLUMN(name) ", " #name
#define NAME(name) #name,

#define VERSION_OF "SELECT MAX(version) FROM payway_schema"
#define TWICE(columns, condition)                                                                                      \
    "SELECT MIN(id), MAX(id), COUNT(*) FROM payway_purchase WHERE " condition " GROUP BY " columns                     \
    " HAVING COUNT(*) > 1 ORDER BY 1"

const char *const tool_open_numbers[] = {NUMBERS(NAME) NULL};

static const char *const statements[TOOL_STATEMENTS] = {
    [TOOL_VERSION] = VERSION_OF,
    [TOOL_RAW_PAGE] =
        "SELECT id, state, period_type" NUMBERS(COLUMN) " FROM payway_purchase WHERE id > %s ORDER BY id LIMIT 500",
    [TOOL_TWICE_ORDER] = TWICE("organisation, environment, order_id", "order_id <> ''"),
    [TOOL_TWICE_TOKEN] = TWICE("token_hash", "token_hash <> ''"),
    [TOOL_TWICE_RUNNING] =
        TWICE("organisation, environment, account", "state IN ('placing', 'unknown', 'manual', 'placed')"),
    [TOOL_OTHER_ORDER] =
        ("SELECT id FROM payway_purchase WHERE organisation = %s AND environment = %s AND order_id = %s"
         " AND id <> %s LIMIT 1"),
    [TOOL_INTEGRITY] = "PRAGMA integrity_check(20)",
};

/* No schema and no upgrades, and a version that is always right: ours is looked at by tool_open. */
static const pwk_database_plan file_plan = {.version_of = "SELECT " APR_STRINGIFY(PWK_LEDGER_VERSION),
                                            .version = PWK_LEDGER_VERSION,
                                            .statements = statements,
                                            .statement_count = TOOL_STATEMENTS};
static const pwk_database_plan server_plan = {.version_of = "SELECT " APR_STRINGIFY(PWK_LEDGER_VERSION),
                                              .version = PWK_LEDGER_VERSION,
                                              .statements = statements,
                                              .statement_count = TOOL_INTEGRITY};

static void complain(void *context, apr_status_t rv, const char *doing, const char *detail)
{
    tool_opened *opened = context;
    (void)rv;
    opened->troubles++;
    if (!opened->quiet)
        tool_complain(TOOL_TROUBLE, "%s: %s: %s", opened->name, doing, detail);
}

int tool_open_read(apr_array_header_t **rows, tool_opened *opened, tool_statement which, const char **values,
                   apr_pool_t *p)
{
    pwk_database_call call;
    apr_status_t rv = pwk_database_start(&call, opened->raw, p);
    if (rv == APR_SUCCESS)
        rv = pwk_database_finish(&call, pwk_database_read(rows, &call, which, values));
    return rv == APR_SUCCESS ? TOOL_OK : TOOL_TROUBLE;
}

int tool_open_each(tool_opened *opened, tool_visit *visit, void *context, apr_pool_t *p)
{
    apr_array_header_t *rows;
    const char *after = "";
    apr_pool_t *page;
    apr_status_t rv;
    apr_pool_create(&page, p);
    while ((rv = pwk_ledger_page(&rows, opened->ledger, after, page)) == APR_SUCCESS && rows->nelts) {
        for (int i = 0; i < rows->nelts; i++)
            visit(context, &APR_ARRAY_IDX(rows, i, pwk_purchase), page);
        after = apr_pstrdup(p, APR_ARRAY_IDX(rows, rows->nelts - 1, pwk_purchase).id);
        apr_pool_clear(page);
    }
    apr_pool_destroy(page);
    return rv == APR_SUCCESS ? TOOL_OK : TOOL_TROUBLE;
}

static int check_version(const char *name, const char *version)
{
    apr_int64_t there = apr_atoi64(version);
    if (!*version)
        return tool_complain(TOOL_TROUBLE, "%s is no ledger of payway_klarna: it has no version", name);
    if (there > PWK_LEDGER_VERSION)
        return tool_complain(
            TOOL_TROUBLE, "%s has tables of version %s, and this tool knows %d: use the one that came with the module",
            name, version, PWK_LEDGER_VERSION);
    if (there < PWK_LEDGER_VERSION)
        return tool_complain(
            TOOL_TROUBLE,
            "%s has tables of version %s, and this tool knows %d: httpd brings them up to date when it "
            "is started with the module of this version and opens them",
            name, version, PWK_LEDGER_VERSION);
    return TOOL_OK;
}

/* Whoever closes a ledger last, or opens it first, keeps others out for a moment, and this connection does not wait by
 * itself yet. */
static int select_version(const apr_dbd_driver_t *driver, apr_dbd_t *handle, apr_dbd_results_t **results, apr_pool_t *p)
{
    apr_time_t until = apr_time_now() + BUSY_TIMEOUT;
    int failed;
    while ((failed = apr_dbd_select(driver, p, handle, results, VERSION_OF, 1)) == BUSY && apr_time_now() < until)
        apr_sleep(apr_time_from_msec(20));
    return failed;
}

/* Whether that file is a ledger, before pwk_database changes the mode of somebody else's database. */
static int probe(const char *path, const char *name, apr_pool_t *parent)
{
    const apr_dbd_driver_t *driver;
    apr_dbd_t *handle = NULL;
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    const char *words = NULL, *version = "";
    apr_pool_t *p;
    int failed, status;
    if (apr_dbd_init(parent) != APR_SUCCESS || apr_dbd_get_driver(parent, "sqlite3", &driver) != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE,
                             "APR-util has no SQLite driver: install it (Debian: libaprutil1-dbd-sqlite3)");
    apr_pool_create(&p, parent);
    if (apr_dbd_open_ex(driver, p, path, &handle, &words) != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE, "%s cannot be opened: %s", name, words ? words : "no reason is given");
    failed = select_version(driver, handle, &results, p);
    if (failed) {
        words = apr_dbd_error(driver, handle, failed);
        if (words && (strstr(words, "payway_schema") || strstr(words, "not a database")))
            status = tool_complain(TOOL_TROUBLE, "%s is no ledger of payway_klarna (%s)", name, words);
        else
            status = tool_complain(TOOL_TROUBLE, "%s cannot be read: %s", name, words ? words : "no reason is given");
    } else {
        while (!apr_dbd_get_row(driver, p, results, &row, -1)) {
            const char *text = apr_dbd_get_entry(driver, row, 0);
            version = apr_pstrdup(p, text ? text : "");
        }
        status = check_version(name, version);
    }
    apr_dbd_close(driver, handle);
    apr_pool_destroy(p);
    return status;
}

static int open_raw(tool_opened *opened, const tool_source *source, apr_pool_t *p)
{
    apr_array_header_t *rows;
    const char *none[] = {NULL};
    if (pwk_database_create(&opened->raw, opened->is_file ? &file_plan : &server_plan, source->driver, source->params,
                            complain, opened, p)
        != APR_SUCCESS)
        return TOOL_TROUBLE;
    if (tool_open_read(&rows, opened, TOOL_VERSION, none, p) != TOOL_OK)
        return tool_complain(TOOL_TROUBLE, "%s cannot be read, or is no ledger of payway_klarna", opened->name);
    return check_version(opened->name, rows->nelts ? APR_ARRAY_IDX(rows, 0, const char *const *)[0] : "");
}

int tool_open(tool_opened **opened, const tool_request *request)
{
    apr_pool_t *p = request->p;
    tool_opened *o = apr_pcalloc(p, sizeof(*o));
    tool_source source;
    *opened = o;
    if (tool_source_find(&source, request) != TOOL_OK || tool_source_enter(&source, p) != TOOL_OK)
        return TOOL_TROUBLE;
    o->name = tool_source_name(&source, p);
    o->is_file = !strcmp(source.driver, "sqlite3");
    if (o->is_file && probe(source.params, o->name, p) != TOOL_OK)
        return TOOL_TROUBLE;
    if (open_raw(o, &source, p) != TOOL_OK)
        return TOOL_TROUBLE;
    return pwk_ledger_create(&o->ledger, source.driver, source.params, complain, o, p) == APR_SUCCESS ? TOOL_OK
                                                                                                      : TOOL_TROUBLE;
}
