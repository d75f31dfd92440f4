/* A reader's purchases: the ledger of each site in this child, and what handlers read from a row of it. */
#ifndef PWK_PURCHASES_H
#define PWK_PURCHASES_H

#include "../core/pwk_klarna.h"
#include "../core/pwk_purchase.h"
#include "../core/pwk_sale.h"
#include "pwk_pages.h"
#include "pwk_visit.h"

/* Makes site->ledger of every site that sells. Opens nothing yet. */
void pwk_purchases_child_init(apr_pool_t *pchild, server_rec *s);

/* Whether `site` (NULL: not) keeps its purchases in the same ledger under the same organisation and environment, by the same API, as
 * `other`. */
int pwk_purchases_is_beside(const pwk_site *site, const pwk_site *other);

/* Whether the ledger of `site` failed a moment ago in any child: nothing can be sold, and walls say so; and that it works. */
int pwk_purchases_ledger_fails(const pwk_site *site, apr_time_t now);
void pwk_purchases_note_works(const pwk_site *site, server_rec *s);

/* The purchase `id` of this visit's reader, at this site. DECLINED: it is there; anything else is the handler's return value,
 * an answer was given (not there, another's: the same page; the ledger cannot be read; nobody is logged in: to log in and
 * come back to `place`). */
int pwk_purchases_read(pwk_purchase *purchase, request_rec *r, pwk_visit *visit, const char *id, const char *place);

/* Whether it is this visit's reader's, and this site's. */
int pwk_purchases_is_readers(pwk_visit *visit, const pwk_purchase *purchase);

/* The row as it is by now. */
apr_status_t pwk_purchases_reread(pwk_purchase *purchase, const pwk_site *site, const char *id, apr_pool_t *p);

/* What is sealed in a row. APR_EINVAL: it does not open (a key that is gone, 31 days), or is none of ours. */
const char *pwk_purchases_seal(const pwk_site *site, const char *text, apr_time_t now, apr_pool_t *p);
apr_status_t pwk_purchases_sale(pwk_sale *sale, const pwk_site *site, const pwk_purchase *purchase, apr_time_t now,
                                apr_pool_t *p);
apr_status_t pwk_purchases_session(pwk_klarna_session *session, const pwk_site *site, const pwk_purchase *purchase,
                                   apr_time_t now, apr_pool_t *p);

/* Where a browser goes once it is placed: Klarna's redirect URL, when there is one that PaywayRedirectHosts lets through,
 * else the confirmation. */
const char *pwk_purchases_onward(request_rec *r, const pwk_site *site, const pwk_purchase *purchase);

/* "{base}{path}/{endpoint}/{id}{rest}", endpoint "purchase", "authorize" or "confirm"; and the same without the base. */
const char *pwk_purchases_url(request_rec *r, const pwk_site *site, const char *endpoint, const char *id,
                              const char *rest);
const char *pwk_purchases_place(request_rec *r, const pwk_site *site, const char *id);

/* The offers of the article at `path`, with this one chosen, in `language`: a path of this site. */
const char *pwk_purchases_offers_place(request_rec *r, const pwk_site *site, const char *offer, const char *path,
                                       const char *language);

/* The portal's shop for `code`, which leads back to the URL `back`: the other way to buy. */
const char *pwk_purchases_shop_url(request_rec *r, const pwk_site *site, const char *code, const char *back);

/* Sets PURCHASE_OFFERS_URL and PURCHASE_SHOP_URL, for the article and in the language of `page`. */
void pwk_purchases_ways_on(pwk_page *page, request_rec *r, const char *offer, const char *code);

/* The CSRF token of this purchase's forms, bound to its account. */
const char *pwk_purchases_csrf(const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p);
int pwk_purchases_csrf_is(const pwk_site *site, const pwk_purchase *purchase, const char *token, apr_pool_t *p);

/* A page about `purchase` with OFFER_* and PURCHASE_*, in the language of its wall. */
pwk_page *pwk_purchases_page(request_rec *r, pwk_visit *visit, const char *template_name, int status,
                             const pwk_purchase *purchase);

/* error.shtml about `purchase` with ERROR_CODE `word` and what comes with it. */
int pwk_purchases_error(request_rec *r, pwk_visit *visit, int status, const char *word, const pwk_purchase *purchase);

/* Whether `reader` has everything that it gives. */
int pwk_purchases_is_owned(const pwk_reader *reader, const pwk_purchase *purchase, apr_pool_t *p);

/* The purchase of the same account, at whatever site of the ledger, that gives all that `wanted` would and starts later: Payway
 * does not show it before. APR_NOTFOUND: none; any other: could not find out. */
apr_status_t pwk_purchases_pending(pwk_purchase *pending, const pwk_site *site, const pwk_purchase *wanted,
                                   apr_pool_t *p);

/* To the page that says how `purchase` stands. */
int pwk_purchases_to_page(request_rec *r, const pwk_site *site, const pwk_purchase *purchase, const char *notice);

/* To log in, and back to `place`. */
int pwk_purchases_to_login(request_rec *r, const pwk_site *site, const char *place);

/* Sees to a token with identity of the reader that is good for `life_s` seconds, for a request that can be made again at
 * `place`. DECLINED and `*token`; anything else is the handler's return value: on the way to identify or to log in, or an
 * error page. `identified`: identify was tried for this already. */
int pwk_purchases_identity(const char **token, request_rec *r, pwk_visit *visit, long life_s, const char *place,
                           int identified);

#endif
