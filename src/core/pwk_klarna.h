/* Klarna's widget: the session that Payway made, what the page is told of it, and where it may lead (klarna-sdk). */
#ifndef PWK_KLARNA_H
#define PWK_KLARNA_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct {
    const char *identifier; /* "pay_now", "direct_debit", … */
    const char *name;       /* Klarna's own, in the session's language; "" when not given */
    const char *logo;       /* an https URL of Klarna's; "" when not given */
} pwk_klarna_category;

/* Texts are never NULL. */
typedef struct {
    const char *id;                 /* klarna_payments_session_id, opaque */
    const char *client_token;       /* klarna_client_token: a JWT that the widget reads */
    apr_array_header_t *categories; /* pwk_klarna_category, as Payway gave them; empty: it gave none */
} pwk_klarna_session;

/* The text that is sealed into the ledger, and back. APR_EINVAL for anything that pwk_klarna_write does not make. */
const char *pwk_klarna_write(const pwk_klarna_session *session, apr_pool_t *p);
apr_status_t pwk_klarna_read(pwk_klarna_session *session, const char *text, apr_size_t len, apr_pool_t *p);

/* The categories that the page offers, pwk_klarna_category in `p`, at most PWK_CATEGORIES_MAX. A trial: direct_debit
 * alone, whatever else is said (guide, step 5). `configured` (const char *: PaywayKlarnaCategories): those, in that
 * order, of the session's when the session names any (all of them when none of it fits: the publisher's list is out of date,
 * Klarna's is not). Else the session's, those without credit first (Betaltjänstlagen 7 a kap.). Empty: the widget is
 * loaded without a category and shows what the session has. */
apr_array_header_t *pwk_klarna_categories(const pwk_klarna_session *session, const apr_array_header_t *configured,
                                          int trial, apr_pool_t *p);

/* Whether paying by `identifier` is credit: never preselected. */
int pwk_klarna_is_credit(const char *identifier);

/* Whether a browser may be sent to `url`: https, no user part, no control byte, and a host of `hosts` (const char *:
 * "www.example.se", "*.klarna.com" (any depth below, not itself), with ":port" for another port than 443; http is let
 * through to a loopback host that is listed with its port). Threats C-07. */
int pwk_klarna_may_redirect(const char *url, const apr_array_header_t *hosts, apr_pool_t *p);

/* NULL when `text` is such a host pattern, else what is wrong with it. */
const char *pwk_klarna_host_is_wrong(const char *text, apr_pool_t *p);

/* Content-Security-Policy of the purchase page: this site's own scripts and Klarna's, no inline script. `sdk` is the
 * URL of the widget's script, `more` (const char *: PaywayKlarnaHosts) further hosts, `forms` origins, separated by
 * spaces, that a form's redirects may lead to, `redirects` PaywayRedirectHosts. */
const char *pwk_klarna_policy(const char *sdk, const apr_array_header_t *more, const char *forms,
                              const apr_array_header_t *redirects, apr_pool_t *p);

/* browser_language for the order: the first tag of Accept-Language (may be NULL) as "sv-SE"; a bare language, none, or
 * an ill-formed one: that of `page` with Sweden ("en-SE"). */
const char *pwk_klarna_language(const char *accept_language, const char *page, apr_pool_t *p);

#endif
