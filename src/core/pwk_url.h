/* URLs: those that a directive gives, and the place that a reader comes back to. */
#ifndef PWK_URL_H
#define PWK_URL_H

#include <apr_pools.h>

/* Reads a base URL of a directive: scheme https, or http to a loopback address (127.0.0.0/8, [::1], localhost and
 * *.localhost); a host; a port; a path without query, fragment, user, dot segments or empty segments. `*url` is the
 * canonical form (lower-case scheme and host, no default port, no trailing slash), in `p`. On APR_EINVAL `*why` says
 * in a few words what is wrong ("has a query", "is http, and its host is not this machine"). */
apr_status_t pwk_url_base(const char **url, const char **why, const char *text, apr_pool_t *p);

/* As pwk_url_base, but with any path, a query and a fragment, all as written: terms, privacy, withdrawal pages. */
apr_status_t pwk_url_link(const char **url, const char **why, const char *text, apr_pool_t *p);

/* "https" or "http" of a canonical URL. */
const char *pwk_url_scheme(const char *url);

/* Origin ("https://host[:port]") of a canonical URL, in `p`; and its host alone, without port, in `p` (an IPv6
 * address keeps its brackets). */
const char *pwk_url_origin(const char *url, apr_pool_t *p);
const char *pwk_url_host(const char *url, apr_pool_t *p);

/* Whether `text` is a place on this very site: a path and query, and nothing that any browser reads as another host.
 * One leading '/', not followed by '/' or '\'; bytes 0x21..0x7e only, without '\', '"', '<', '>', '^', '`', '{', '|',
 * '}' and '#'; well-formed %XX; and in the path, once decoded and with '\' read as '/': no control byte, no segment
 * "." or ".." (a browser folds them, "/x/..//evil" is "//evil"), no "//"; at most PWK_RETURN_MAX bytes. An
 * allow-list, since deny-lists of redirect tricks never end (threats B-08, C-07). */
int pwk_url_is_local(const char *text);

/* `path` (as the request line has it) if pwk_url_is_local accepts it, else "/". What browsers send bare though it
 * should be encoded ("?utm_content={a}|b", bytes over 0x7f) is encoded first, in `p`, so that it does not cost the
 * reader the article. */
const char *pwk_url_local_or_root(const char *path, apr_pool_t *p);

#endif
