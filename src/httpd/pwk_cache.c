#include "pwk_cache.h"

#include <ap_provider.h>
#include <ap_socache.h>
#include <apr_global_mutex.h>
#include <apr_strings.h>
#include <openssl/sha.h>
#include <util_mutex.h>

enum { VALUE_MAX = 16 * 1024, TTL_MAX_S = 29 * 24 * 3600, ID_BYTES = SHA256_DIGEST_LENGTH };
#define MUTEX_TYPE "payway-klarna-cache"

/* Made in post_config, read-only afterwards; each reading of the configuration makes them anew. */
static const ap_socache_provider_t *provider;
static ap_socache_instance_t *instance;
static apr_global_mutex_t *mutex;

static apr_status_t forget(void *data)
{
    server_rec *s = data;
    if (instance)
        provider->destroy(instance, s);
    instance = NULL;
    mutex = NULL;
    return APR_SUCCESS;
}

void pwk_cache_register(apr_pool_t *pconf)
{
    provider = NULL;
    instance = NULL;
    mutex = NULL;
    ap_mutex_register(pconf, MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0);
}

apr_status_t pwk_cache_create(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    static const struct ap_socache_hints hints = {ID_BYTES, 512, 60 * APR_USEC_PER_SEC};
    const pwk_reading *reading = pwk_config_reading();
    const char *wrong;
    apr_status_t rv;
    if (!reading->cache_provider)
        return APR_SUCCESS;
    provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, reading->cache_provider, AP_SOCACHE_PROVIDER_VERSION);
    wrong = provider ? provider->create(&instance, reading->cache_args, ptemp, pconf) : "provider not loaded";
    if (wrong) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, PWKLOG(0010) "PaywayCache %s (%s:%d): %s", reading->cache_provider,
                     reading->cache_directive->filename, reading->cache_directive->line_num, wrong);
        return APR_EGENERAL;
    }
    rv = ap_global_mutex_create(&mutex, NULL, MUTEX_TYPE, NULL, s, pconf, 0);
    if (rv == APR_SUCCESS)
        rv = provider->init(instance, "payway-klarna", &hints, s, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     PWKLOG(0011) "PaywayCache %s (%s:%d) could not be made: does its directory exist?",
                     reading->cache_provider, reading->cache_directive->filename, reading->cache_directive->line_num);
        return rv;
    }
    apr_pool_cleanup_register(pconf, s, forget, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

void pwk_cache_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (mutex) {
        apr_status_t rv = apr_global_mutex_child_init(&mutex, apr_global_mutex_lockfile(mutex), pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                         PWKLOG(0012) "the cache's mutex is not usable in this child; it works without a cache");
            instance = NULL;
        }
    }
}

/* Every part is length-prefixed by its NUL: no two triples share an id. */
static void make_id(unsigned char *id, const pwk_site *site, const char *kind, const char *key, apr_pool_t *p)
{
    const char *text = apr_pstrcat(p, site->context, "\n", kind, "\n", key, NULL);
    SHA256((const unsigned char *)text, strlen(text), id);
}

static int lock(void)
{
    return !(provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE) || apr_global_mutex_lock(mutex) == APR_SUCCESS;
}

static void unlock(void)
{
    if (provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE)
        apr_global_mutex_unlock(mutex);
}

static void complain(const pwk_site *site, apr_status_t rv, const char *what)
{
    static pwk_log_once once;
    if (pwk_log_due(&once, apr_time_now()))
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, site->server,
                     PWKLOG(0013) "the cache could not %s; Payway is asked instead, which is slower", what);
}

/* An envelope: expiry and kind of the entry are inside the seal, so that no entry can be passed off as another. */
void pwk_cache_set(const pwk_site *site, const char *kind, const char *key, const void *bytes, apr_size_t len,
                   long ttl_s, apr_pool_t *p)
{
    unsigned char id[ID_BYTES];
    apr_time_t now = apr_time_now(), expiry;
    const char *head, *sealed;
    apr_status_t rv;
    if (!instance)
        return;
    ttl_s = ttl_s < 1 ? 1 : ttl_s > TTL_MAX_S ? TTL_MAX_S : ttl_s;
    expiry = now + apr_time_from_sec(ttl_s);
    make_id(id, site, kind, key, p);
    head = apr_psprintf(p, "%" APR_TIME_T_FMT " %s %s", expiry, kind, key);
    size_t head_len = strlen(head) + 1;
    char *plain = apr_palloc(p, head_len + len);
    memcpy(plain, head, head_len);
    memcpy(plain + head_len, bytes, len);
    if (pwk_seal_close(&sealed, site->seal, PWK_SEAL_CACHE, plain, head_len + len, now, p) != APR_SUCCESS
        || strlen(sealed) > VALUE_MAX) {
        complain(site, APR_EGENERAL, "take an entry");
        return;
    }
    if (!lock())
        return;
    rv = provider->store(instance, site->server, id, sizeof(id), expiry, (unsigned char *)(void *)(intptr_t)sealed,
                         (unsigned int)strlen(sealed), p);
    unlock();
    if (rv != APR_SUCCESS)
        complain(site, rv, "store an entry (is it too small?)");
}

apr_status_t pwk_cache_get(void **bytes, apr_size_t *len, const pwk_site *site, const char *kind, const char *key,
                           apr_pool_t *p)
{
    unsigned char id[ID_BYTES], *value;
    unsigned int value_len = VALUE_MAX;
    apr_time_t now = apr_time_now();
    apr_status_t rv;
    void *plain;
    apr_size_t plain_len;
    char *end;
    if (!instance)
        return APR_NOTFOUND;
    make_id(id, site, kind, key, p);
    value = apr_palloc(p, VALUE_MAX + 1);
    if (!lock())
        return APR_EGENERAL;
    rv = provider->retrieve(instance, site->server, id, sizeof(id), value, &value_len, p);
    unlock();
    if (rv != APR_SUCCESS) {
        if (!APR_STATUS_IS_NOTFOUND(rv))
            complain(site, rv, "be read");
        return APR_STATUS_IS_NOTFOUND(rv) ? APR_NOTFOUND : rv;
    }
    value[value_len] = '\0';
    if (pwk_seal_open(&plain, &plain_len, site->seal, PWK_SEAL_CACHE, (const char *)value, now, p) != APR_SUCCESS)
        return APR_NOTFOUND; /* sealed under a key that is gone, or not by us: as good as absent */
    const char *head = plain;
    size_t head_len = strlen(head) + 1;
    if (head_len > plain_len || apr_strtoi64(head, &end, 10) < now
        || strcmp(end, apr_pstrcat(p, " ", kind, " ", key, NULL)))
        return APR_NOTFOUND;
    *bytes = (char *)plain + head_len;
    *len = plain_len - head_len;
    return APR_SUCCESS;
}

void pwk_cache_remove(const pwk_site *site, const char *kind, const char *key, apr_pool_t *p)
{
    unsigned char id[ID_BYTES];
    if (!instance)
        return;
    make_id(id, site, kind, key, p);
    if (!lock())
        return;
    provider->remove(instance, site->server, id, sizeof(id), p);
    unlock();
}
