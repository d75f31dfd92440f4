/* A reader's account at Payway: logging in with a ticket, checking anew, and what the cache knows of it. Every call
 * here may wait for Payway up to PaywayTimeout per request, but pwk_account_cached. */
#ifndef PWK_ACCOUNT_H
#define PWK_ACCOUNT_H

#include "../core/pwk_reader.h"
#include "../core/pwk_result.h"
#include "../core/pwk_sso2.h"
#include "pwk_upstream.h"

/* Redeems `ticket` (one-time) for a token with identity, reads `me` and `me/active_products`, and makes the reader of
 * session `sid`; it is written to the cache as well. In `p`. */
pwk_result pwk_account_enter(pwk_reader **reader, const pwk_site *site, const char *sid, const char *ticket,
                             apr_pool_t *p);

/* Asks SSO2 for the status of visitor->sid and, when it is logged in, the API for the products of `known` (a reader
 * of an account), by a token without identity. `*newer`, in `p`: with new products, or `terminated` when the
 * session has ended, or (known->account "", logged in elsewhere meanwhile) as pwk_account_enter makes it. Written
 * to the cache as well. */
pwk_result pwk_account_check(pwk_reader **newer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                             const pwk_reader *known, apr_pool_t *p);

/* SSO2's answer about visitor->sid when told that we believe nobody is logged in: gives a ticket if somebody is. */
pwk_result pwk_account_session(pwk_sso2_answer *answer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                               pwk_sso2_status last_known, apr_pool_t *p);
pwk_result pwk_account_authenticate(pwk_sso2_answer *answer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                                    const char *email, const char *password, apr_pool_t *p);
pwk_result pwk_account_logout(const pwk_site *site, const pwk_sso2_visitor *visitor, apr_pool_t *p);

/* Sends `request` with the site's token without identity, which all children share in the cache; a 401 makes a new
 * token, once. `scope` is what Payway must have given for this request: named in the log when it is missing. */
pwk_result pwk_account_call(pwk_payway_answer *answer, const pwk_site *site, const pwk_payway_request *request,
                            const char *scope, apr_pool_t *p);

/* The newest record of session `sid` in the cache, in `p`; NULL when there is none. */
const pwk_reader *pwk_account_cached(const pwk_site *site, const char *sid, apr_pool_t *p);

/* Notes in the cache that session `sid` has ended, so that an older cookie of it does not come back to life. */
void pwk_account_end(const pwk_site *site, const char *sid, apr_pool_t *p);

/* Logs a failure of `doing`; unavailable ones once a minute. */
void pwk_account_complain(const pwk_site *site, const pwk_result *result, const char *doing, apr_pool_t *p);

#endif
