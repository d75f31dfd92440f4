#include "pwk_refresh.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_pool.h>

#include "../core/pwk_limits.h"
#include "pwk_account.h"
#include "pwk_cache.h"

enum { THREADS = 4, JOBS_MAX = 64, MARK_S = 15 };

static struct {
    apr_thread_pool_t *threads;
    apr_thread_mutex_t *mutex;
    apr_hash_t *running; /* keys of jobs queued or at work; each key lives in its job's pool */
    apr_pool_t *pool;    /* of the hash, under the mutex */
} child;

typedef struct {
    const pwk_site *site;
    const char *key, *argument;
    pwk_refresh_work *work;
    apr_pool_t *pool;
} job;

static apr_status_t stop(void *data)
{
    (void)data;
    if (child.threads)
        apr_thread_pool_destroy(child.threads);
    child.threads = NULL;
    return APR_SUCCESS;
}

void pwk_refresh_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv;
    child.threads = NULL;
    child.running = NULL;
    rv = apr_pool_create(&child.pool, pchild);
    if (rv == APR_SUCCESS)
        rv = apr_thread_mutex_create(&child.mutex, APR_THREAD_MUTEX_DEFAULT, pchild);
    if (rv == APR_SUCCESS)
        rv = apr_thread_pool_create(&child.threads, 0, THREADS, pchild);
    if (rv != APR_SUCCESS) {
        child.threads = NULL;
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     PWKLOG(0040) "no threads for renewals: readers are renewed before an answer, which is slower");
        return;
    }
    child.running = apr_hash_make(child.pool);
    /* Before the pool's own sub-pools go: threads must have ended when what they use is freed. */
    apr_pool_pre_cleanup_register(pchild, NULL, stop);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    job *done = data;
    (void)thread;
    done->work(done->site, done->argument, done->pool);
    apr_thread_mutex_lock(child.mutex);
    apr_hash_set(child.running, done->key, APR_HASH_KEY_STRING, NULL);
    apr_thread_mutex_unlock(child.mutex);
    apr_pool_destroy(done->pool);
    return NULL;
}

/* A pool of no parent: threads make and destroy theirs without a lock of ours. */
static job *new_job(const pwk_site *site, const char *key, pwk_refresh_work *work, const char *argument)
{
    apr_pool_t *pool;
    job *made;
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS)
        return NULL;
    made = apr_palloc(pool, sizeof(*made));
    *made = (job){site, apr_pstrcat(pool, site->context, "\n", key, NULL), apr_pstrdup(pool, argument), work, pool};
    return made;
}

int pwk_refresh_queue(const pwk_site *site, const char *key, pwk_refresh_work *work, const char *argument)
{
    job *made;
    int queued = 0;
    if (!child.threads || apr_thread_pool_tasks_count(child.threads) >= JOBS_MAX
        || !(made = new_job(site, key, work, argument)))
        return 0;
    apr_thread_mutex_lock(child.mutex);
    if (!apr_hash_get(child.running, made->key, APR_HASH_KEY_STRING)) {
        queued = apr_thread_pool_push(child.threads, run, made, APR_THREAD_TASK_PRIORITY_NORMAL, NULL) == APR_SUCCESS;
        if (queued)
            apr_hash_set(child.running, made->key, APR_HASH_KEY_STRING, made);
    }
    apr_thread_mutex_unlock(child.mutex);
    if (!queued)
        apr_pool_destroy(made->pool);
    return queued;
}

/* The browser's record, its address and its user agent travel to the thread as text: address, agent, then the
 * record. */
static void renew(const pwk_site *site, const char *argument, apr_pool_t *p)
{
    pwk_reader known, *newer;
    pwk_sso2_visitor visitor;
    pwk_result result;
    void *bytes;
    apr_size_t len;
    char *state, *text = apr_pstrdup(p, argument);
    const char *sealed = apr_strtok(text, "\n", &state);
    visitor.address = apr_strtok(NULL, "\n", &state);
    visitor.user_agent = apr_strtok(NULL, "\n", &state);
    if (!visitor.user_agent)
        visitor.user_agent = "";
    if (pwk_seal_open(&bytes, &len, site->seal, PWK_SEAL_READER, sealed, apr_time_now(), p) != APR_SUCCESS
        || pwk_reader_read(&known, bytes, len, p) != APR_SUCCESS)
        return;
    visitor.sid = known.sid;
    result = pwk_account_check(&newer, site, &visitor, &known, p);
    if (result.outcome != PWK_OK)
        pwk_account_complain(site, &result, "renewing a reader", p);
}

void pwk_refresh_later(pwk_visit *visit)
{
    request_rec *r = visit->first;
    const pwk_site *site = visit->site;
    pwk_sso2_visitor visitor = pwk_visit_visitor(visit, visit->reader->sid);
    const void *record;
    const char *sealed;
    void *mark;
    apr_size_t len;
    if (visit->queued)
        return;
    visit->queued = 1;
    /* Another child is at it, or was a moment ago and Payway did not answer. */
    if (pwk_cache_get(&mark, &len, site, "renewing", visitor.sid, r->pool) == APR_SUCCESS)
        return;
    if (pwk_reader_write(&record, &len, visit->reader, r->pool) != APR_SUCCESS
        || pwk_seal_close(&sealed, site->seal, PWK_SEAL_READER, record, len, apr_time_now(), r->pool) != APR_SUCCESS)
        return;
    pwk_cache_set(site, "renewing", visitor.sid, "", 0, MARK_S, r->pool);
    pwk_refresh_queue(site, visitor.sid, renew,
                      apr_pstrcat(r->pool, sealed, "\n", visitor.address, "\n", visitor.user_agent, NULL));
}

void pwk_refresh_now(pwk_visit *visit)
{
    pwk_sso2_visitor visitor;
    pwk_reader *newer;
    pwk_result result;
    if (visit->asked || !visit->reader)
        return;
    visit->asked = 1;
    visitor = pwk_visit_visitor(visit, visit->reader->sid);
    result = pwk_account_check(&newer, visit->site, &visitor, visit->reader, visit->first->pool);
    if (result.outcome != PWK_OK) {
        visit->outage = 1;
        pwk_account_complain(visit->site, &result, "checking a reader before the answer", visit->first->pool);
        return;
    }
    pwk_visit_set_reader(visit, newer->terminated ? NULL : newer);
}
