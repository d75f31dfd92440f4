/* Calls to Payway's hosts by libcurl: handles of the child, deadlines, limits on what comes back. */
#ifndef PWK_UPSTREAM_H
#define PWK_UPSTREAM_H

#include "../core/pwk_payway.h"
#include "pwk_config.h"

/* post_config: prepares libcurl once, in one thread; warns when it is not built with OpenSSL. child_init: a stack of
 * handles that lives as long as the child. */
apr_status_t pwk_upstream_init(apr_pool_t *pconf, server_rec *s);
void pwk_upstream_child_init(apr_pool_t *pchild, server_rec *s);

/* The child ends: reads that are under way in threads beside requests fail within a second, with this code. An order that is
 * being placed goes on. */
#define PWK_ENDING "ending"
void pwk_upstream_abandon(void);

/* Sends `request` to `base` (site->api or site->sso) and waits for the answer at most request->timeout, or site->timeout.
 * `bearer` is an access token or NULL. PWK_OK: an answer came, whatever its status; it lives in `p`. PWK_UNAVAILABLE
 * otherwise, with code "timeout", "no_connection", "tls", "too_large" or "broken", and `unsent` where that is proven.
 * Verified TLS, no redirects followed, no proxy but PaywayHttpProxy, one attempt. Threats F-01 to F-06. */
pwk_result pwk_upstream_call(pwk_payway_answer *answer, const pwk_site *site, const char *base,
                             const pwk_payway_request *request, const char *bearer, apr_pool_t *p);

#endif
