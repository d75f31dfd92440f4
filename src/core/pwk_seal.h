/* Sealed strings: what we hand to a browser, a cache or a database and want back unread and unchanged.
 *
 * AES-256-GCM under a key that HKDF-SHA256 derives from PaywayCryptoKey per purpose and per day (so that a random
 * nonce stays far from its bound), with the context of the virtual host (base URL, organisation, client, environment,
 * format) authenticated. The text is base64url: version, key id, day, nonce, ciphertext, tag. Threats D-07, D-08,
 * D-09. */
#ifndef PWK_SEAL_H
#define PWK_SEAL_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct pwk_seal pwk_seal;

/* What a string is for; a string sealed for one purpose does not open for another. */
typedef enum {
    PWK_SEAL_READER,
    PWK_SEAL_LOGIN,
    PWK_SEAL_STATE,
    PWK_SEAL_SALE,
    PWK_SEAL_CACHE,
    PWK_SEAL_LEDGER,
    PWK_SEAL_RESUME,
    PWK_SEAL_PURPOSES
} pwk_seal_purpose;

/* Makes the ring of a virtual host. `current` (at least PWK_SECRET_MIN bytes) seals; `previous` (NULL: none) opens
 * what it sealed before a rotation. `context` is authenticated with every string. The keys of the days around `now`
 * are derived here, once, so that opening needs no derivation; other days are derived when asked. Read-only
 * afterwards: usable by all threads without a lock. Wiped from memory with `p`. APR_EINVAL: a key is too short;
 * APR_EGENERAL: libcrypto refused. */
apr_status_t pwk_seal_create(pwk_seal **seal, const char *current, const char *previous, const char *context,
                             apr_time_t now, apr_pool_t *p);

/* Seals `len` bytes. `*text` in `p`. Fails (APR_EGENERAL) when there is no randomness; never falls back. */
apr_status_t pwk_seal_close(const char **text, const pwk_seal *seal, pwk_seal_purpose purpose, const void *data,
                            apr_size_t len, apr_time_t now, apr_pool_t *p);

/* Opens what pwk_seal_close made. `*data` (NUL-terminated beyond `*len`) in `p`. APR_EINVAL: not ours, altered, for
 * another purpose or context, under a key no longer known, from a day (UTC) more than PWK_SEAL_DAYS_MAX days ago, or
 * from one that begins later than PWK_CLOCK_LEEWAY_S from now. */
apr_status_t pwk_seal_open(void **data, apr_size_t *len, const pwk_seal *seal, pwk_seal_purpose purpose,
                           const char *text, apr_time_t now, apr_pool_t *p);

/* A token that only this site can make from `text` (HMAC-SHA256, base64url, 43 characters), bound to `label`: CSRF
 * tokens. NULL when libcrypto refused. Not dated: it lives as long as `text` is the reader's. */
const char *pwk_seal_token(const pwk_seal *seal, const char *label, const char *text, apr_pool_t *p);

/* Whether `token` is pwk_seal_token(label, text) under the current or the previous key, in constant time. NULL is
 * not. */
int pwk_seal_token_is(const pwk_seal *seal, const char *label, const char *text, const char *token, apr_pool_t *p);

/* `bytes` random bytes as base64url, in `p`; NULL when there is no randomness. */
const char *pwk_seal_random(apr_size_t bytes, apr_pool_t *p);

#endif
