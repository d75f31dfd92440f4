/* A database by apr_dbd: its connections, and single statements on them. SQLite in the first place; the SQL that it is
 * given is what PostgreSQL takes too. Every statement commits by itself, a failed one closes its connection, and what
 * failed at once may be tried once more in its call. Knows nothing of what the rows mean, and no httpd header, so that
 * a test links it alone (DESIGN §1; prototypes §3). */
#ifndef PWK_DATABASE_H
#define PWK_DATABASE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

typedef struct pwk_database pwk_database;

/* Told of every failure: `doing` is a literal, `detail` the driver's words, printable and bounded. */
typedef void pwk_database_complain(void *context, apr_status_t rv, const char *doing, const char *detail);

/* A step from version `from` on; the last of a version's steps says that the next is there. */
typedef struct {
    int from;
    const char *statement;
} pwk_database_upgrade;

/* What is kept in it. Lives as long as the process. */
typedef struct {
    const char *const *schema; /* run in this order by whoever finds no version, several at once if need be */
    int schema_count;
    const char *version_of; /* a SELECT of the version that is there; its table need not be */
    const char *lock;       /* a write to that table which changes nothing */
    int version;            /* ours: an older one is brought up to it, a newer fails every call with APR_EMISMATCH */
    const pwk_database_upgrade
        *upgrades; /* in order, run in one transaction by one of those that find an older version */
    int upgrade_count;
    const char *const *statements; /* in apr_dbd's form; every parameter is a string, "%s" */
    int statement_count;
} pwk_database_plan;

/* What failed, and the driver's words for it; `words` of NULL: nothing to complain about. */
typedef struct {
    const char *doing, *words;
} pwk_database_trouble;

/* A call: any number of statements on one connection, with one retry and one complaint at most. Made by
 * pwk_database_start; `p` and `trouble` are the caller's to read, and `trouble` to set back. */
typedef struct {
    pwk_database *database;
    struct pwk_database_connection *on;
    apr_pool_t *p; /* what is read lives here */
    apr_time_t begun;
    int retried;
    apr_status_t unopened; /* why a connection could not be opened */
    pwk_database_trouble trouble;
} pwk_database_call;

/* child_init: a database that opens its connections when they are first needed, never as root, and closes them with
 * `p`. `driver` is "sqlite3" (params: an absolute path) or "pgsql" (libpq's). Usable by all threads, which after the
 * end of `p` are only told that it is over. Every connection that is opened makes the schema, or checks its version,
 * and prepares the statements. */
apr_status_t pwk_database_create(pwk_database **database, const pwk_database_plan *plan, const char *driver,
                                 const char *params, pwk_database_complain *complain, void *context, apr_pool_t *p);

/* The pool that it stands in, which is never destroyed: for what has to live as long. Only whoever created the database
 * may take from it, before other threads see it. */
apr_pool_t *pwk_database_pool(const pwk_database *database);

/* Begins a call, with a connection that is the call's until pwk_database_finish. Any failure (APR_TIMEUP: all were in
 * use for seconds; APR_EOF: the process is ending) has been complained about, and there is nothing to finish. */
apr_status_t pwk_database_start(pwk_database_call *call, pwk_database *database, apr_pool_t *p);

/* Ends it with `rv`, which is returned: complains about the trouble that is left. */
apr_status_t pwk_database_finish(pwk_database_call *call, apr_status_t rv);

/* Sets the trouble; APR_EGENERAL. `words` are cut to one printable line. */
apr_status_t pwk_database_note(pwk_database_call *call, const char *doing, const char *words);

/* Forgets the trouble and returns `rv`: something else explains the failure, or it did not matter. */
apr_status_t pwk_database_forget(pwk_database_call *call, apr_status_t rv);

/* Whether what failed with `rv` may be tried again: once in a call, and not when it has taken long already. */
int pwk_database_may_retry(pwk_database_call *call, apr_status_t rv);

/* Runs statement `which` of the plan, which writes, once; `*n`: how many rows it applied to. An error says nothing
 * about whether the write took place, and `*n` is right on success alone: after an error it is an old count. */
apr_status_t pwk_database_write(pwk_database_call *call, unsigned which, const char **values, int *n);

/* Runs statement `which` of the plan, which reads, once more if it must. `*rows` (const char *const *): the texts of
 * each row's columns, in their order and never NULL. */
apr_status_t pwk_database_read(apr_array_header_t **rows, pwk_database_call *call, unsigned which, const char **values);

#endif
