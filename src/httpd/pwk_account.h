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

/* A token with identity of `known`'s account that is good for `life_s` seconds at least: the cached one of this session, or
 * one that a fresh ticket of SSO2 buys. `*entered` is then the reader as pwk_account_enter made it, else NULL: it is this
 * browser's reader from now on. PWK_REFUSED: "no_ticket" (SSO2 gave none: only identify helps), "logged_out", or
 * "other_account" with `*entered` (somebody else logged in meanwhile). While SSO2 cannot be asked, a cached token that is
 * good for PWK_IDENTITY_MIN_S will do. */
pwk_result pwk_account_identity(const char **token, pwk_reader **entered, const pwk_site *site,
                                const pwk_sso2_visitor *visitor, const pwk_reader *known, long life_s, apr_pool_t *p);

/* The cached token of `known`'s session, if it is good for PWK_IDENTITY_MIN_S. Asks nobody. */
int pwk_account_kept_identity(const char **token, const pwk_site *site, const pwk_reader *known, apr_pool_t *p);

/* Forgets the token of session `sid`: Payway did not take it. */
void pwk_account_forget_identity(const pwk_site *site, const char *sid, apr_pool_t *p);

/* Reads the products of `known`'s account anew by its own token with identity. */
pwk_result pwk_account_reread(pwk_reader **newer, const pwk_site *site, const pwk_reader *known, const char *token,
                              apr_pool_t *p);

/* Writes `reader` to the cache, so that other requests of its session find it. */
void pwk_account_remember(const pwk_site *site, const pwk_reader *reader, apr_pool_t *p);

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

/* Reads the product codes of `account` (const char *, in `p`) by a token without identity. "not_found" is Payway's word that
 * there is no such account; any other refusal is about our API user, and PWK_UNAVAILABLE. */
pwk_result pwk_account_products(apr_array_header_t **codes, const pwk_site *site, const char *account, apr_pool_t *p);

/* Whether the API user may send `request`, which reads and needs `scope`: asked by sending it, since what a token without a scope
 * looks like is not documented (payway-api §5.1). PWK_REFUSED: not. */
pwk_result pwk_account_may(const pwk_site *site, const pwk_payway_request *request, const char *scope, apr_pool_t *p);

/* Sends `request` with the site's token without identity, which all children share in the cache; a 401 makes a new
 * token, once. `scope` is what Payway must have given for this request: named in the log when it is missing. One outside
 * PWK_SCOPES_PLAIN has a token of its own. */
pwk_result pwk_account_call(pwk_payway_answer *answer, const pwk_site *site, const pwk_payway_request *request,
                            const char *scope, apr_pool_t *p);

/* The newest record of session `sid` in the cache, in `p`; NULL when there is none. */
const pwk_reader *pwk_account_cached(const pwk_site *site, const char *sid, apr_pool_t *p);

/* Notes in the cache that session `sid` has ended, so that an older cookie of it does not come back to life. */
void pwk_account_end(const pwk_site *site, const char *sid, apr_pool_t *p);

/* Logs a failure of `doing`; unavailable ones once a minute. */
void pwk_account_complain(const pwk_site *site, const pwk_result *result, const char *doing, apr_pool_t *p);

#endif
