/* The Cookie header (RFC 6265 §5.4), read by length and never past its end, and the Set-Cookie lines that we send. */
#ifndef PWK_COOKIE_H
#define PWK_COOKIE_H

#include <apr_pools.h>

typedef enum {
    PWK_COOKIE_ABSENT,
    PWK_COOKIE_FOUND,
    PWK_COOKIE_AMBIGUOUS /* the name comes twice: somebody tosses cookies; counts as none (threats D-03) */
} pwk_cookie_presence;

/* Finds `name` in the header `cookies` (may be NULL). The value, unquoted, is copied to `p` when FOUND, `*value` is
 * NULL otherwise; a value over PWK_COOKIE_MAX bytes counts as ABSENT, a name without '=' is no cookie. */
pwk_cookie_presence pwk_cookie_find(const char **value, const char *cookies, const char *name, apr_pool_t *p);

/* `cookies` without every cookie whose name is one of `names` (NULL-terminated): the others byte for byte as they
 * were. A name without '=' goes too. NULL when none is left; `cookies` (may be NULL) itself when none matched (no
 * copy). Threats D-15. */
const char *pwk_cookie_without(const char *cookies, const char *const *names, apr_pool_t *p);

/* A Set-Cookie value: "name=value; Path=/; Max-Age=…; HttpOnly; SameSite=Lax[; Secure]". max_age_s 0 deletes it;
 * `secure` is left out on a loopback http site only; `script` leaves out HttpOnly. */
const char *pwk_cookie_set(const char *name, const char *value, long max_age_s, int secure, int script, apr_pool_t *p);

#endif
