/* Text that came from outside and is shown or logged. */
#ifndef PWK_TEXT_H
#define PWK_TEXT_H

#include <apr_pools.h>

/* Whether the `len` bytes are well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, at most U+10FFFF). */
int pwk_text_is_utf8(const char *bytes, apr_size_t len);

/* `text` fit for a page: control bytes (C0, DEL, C1, bidi overrides U+202A..202E and U+2066..2069) and ill-formed
 * UTF-8 taken out, runs of white space (also TAB, line ends, U+0085, U+2028/2029; not U+00A0, which is meant) folded
 * to one space, trimmed, cut at `max` bytes on a character boundary (with "…" inside the bound, if `max` holds it).
 * mod_include's #echo does none of this (prototypes §1). "" for NULL. */
const char *pwk_text_clean(const char *text, apr_size_t max, apr_pool_t *p);

/* Whether `text` is a code of Payway: [A-Za-z0-9_-]{1,PWK_CODE_MAX} (payway-api §2.2). */
int pwk_text_is_code(const char *text);

/* Whether `text` is an id of Payway: 24 hex digits (payway-api §2.2). */
int pwk_text_is_id(const char *text);

/* Whether every byte is visible ASCII and the length is 1..max: what may stand in a header, a token, a session id. */
int pwk_text_is_visible(const char *text, apr_size_t max);

/* Whether every byte is one of RFC 3986's unreserved characters and the length is 1..max: what an opaque token of others may
 * hold when a browser brings it. */
int pwk_text_is_opaque(const char *text, apr_size_t max);

/* `text` (NULL: "") cut at `max` bytes, with '?' for every byte that is not printable ASCII: a User-Agent is whatever a
 * client likes to send. In `p`. */
const char *pwk_text_printable(const char *text, apr_size_t max, apr_pool_t *p);

/* Compares two secrets in a time that depends on the lengths alone. NULL equals nothing. */
int pwk_text_same_secret(const char *a, const char *b);

/* base64url without padding (RFC 4648 §5). Encoding is NUL-terminated, in `p`. Decoding refuses padding, line breaks,
 * other alphabets, non-zero trailing bits and impossible lengths with APR_EINVAL; `*len` bytes and a NUL beyond them,
 * in `p`. */
const char *pwk_text_base64url(const void *bytes, apr_size_t len, apr_pool_t *p);
apr_status_t pwk_text_unbase64url(void **bytes, apr_size_t *len, const char *text, apr_size_t text_len, apr_pool_t *p);

/* `text` percent-encoded for one query value: all but RFC 3986 unreserved characters. In `p`; "" for NULL. */
const char *pwk_text_urlencode(const char *text, apr_pool_t *p);

#endif
