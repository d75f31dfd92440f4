/* The cache: a socache provider that may vanish at any time. Keys are hashed (shmcb picks a sub-cache by the first
 * byte of the id: httpd-notes L29), values sealed, with their own expiry inside (redis and memcached wrap odd ones:
 * L31, L32). */
#ifndef PWK_CACHE_H
#define PWK_CACHE_H

#include "pwk_config.h"

/* pre_config, post_config, child_init. */
void pwk_cache_register(apr_pool_t *pconf);
apr_status_t pwk_cache_create(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
void pwk_cache_child_init(apr_pool_t *pchild, server_rec *s);

/* Stores `len` bytes under (`site`, `kind`, `key`) for `ttl_s` seconds (clamped to 1 s .. 29 days). A failure is
 * logged, not returned: the cache is a convenience, whoever needs certainty asks Payway. */
void pwk_cache_set(const pwk_site *site, const char *kind, const char *key, const void *bytes, apr_size_t len,
                   long ttl_s, apr_pool_t *p);

/* `*bytes` (NUL-terminated beyond `*len`) in `p`. APR_NOTFOUND: not there, or expired. Anything else: could not
 * find out. */
apr_status_t pwk_cache_get(void **bytes, apr_size_t *len, const pwk_site *site, const char *kind, const char *key,
                           apr_pool_t *p);

/* Forgets the entry. */
void pwk_cache_remove(const pwk_site *site, const char *kind, const char *key, apr_pool_t *p);

#endif
