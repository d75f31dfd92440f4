#include "pwk_purchases.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_main.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_outcome.h"
#include "../core/pwk_text.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_identify.h"
#include "pwk_ledger.h"
#include "pwk_shared.h"

/* ---- the ledger of this child ---- */

static int is_same_ledger(const pwk_site *a, const pwk_site *b)
{
    return a && b && a->ledger_driver && b->ledger_driver && !strcmp(a->ledger_driver, b->ledger_driver)
           && !strcmp(a->ledger_params, b->ledger_params);
}

int pwk_purchases_is_beside(const pwk_site *site, const pwk_site *other)
{
    return is_same_ledger(site, other) && !strcmp(site->client.organisation, other->client.organisation)
           && !strcmp(site->environment, other->environment) && !strcmp(site->api, other->api);
}

static void note(const pwk_site *of, server_rec *s, apr_uint32_t failed)
{
    for (; s; s = s->next) {
        const pwk_site *site = pwk_config_site(s);
        if (is_same_ledger(site, of) && apr_atomic_read32(&site->shared->ledger_failed) != failed)
            apr_atomic_set32(&site->shared->ledger_failed, failed);
    }
}

void pwk_purchases_note_works(const pwk_site *site, server_rec *s)
{
    note(site, s, 0);
}

int pwk_purchases_ledger_fails(const pwk_site *site, apr_time_t now)
{
    apr_uint32_t failed = site->shared ? apr_atomic_read32(&site->shared->ledger_failed) : 0;
    return site->ledger_driver
           && (!site->ledger
               || (failed && (apr_int32_t)((apr_uint32_t)apr_time_sec(now) - failed) < PWK_LEDGER_DOWN_S));
}

static void complain(void *context, apr_status_t rv, const char *doing, const char *detail)
{
    static pwk_log_once once, once_of_rows;
    server_rec *s = context;
    apr_time_t now = apr_time_now();
    if (rv == APR_EOF)
        return;
    if (rv == APR_EINCOMPLETE) {
        if (pwk_log_due(&once_of_rows, now))
            ap_log_error(
                APLOG_MARK, APLOG_ERR, 0, s,
                PWKLOG(0160) "the ledger has a purchase that cannot be read (%s): `payway-klarna ledger verify` "
                             "names it",
                detail);
        return;
    }
    note(pwk_config_site(s), ap_server_conf, (apr_uint32_t)apr_time_sec(now));
    if (pwk_log_due(&once, now))
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     PWKLOG(0141) "the ledger failed (%s): %s; nothing is sold until it works: look at PaywayLedger",
                     doing, detail);
}

void pwk_purchases_child_init(apr_pool_t *pchild, server_rec *s)
{
    for (server_rec *at = s; at; at = at->next) {
        pwk_site *site = pwk_config_site(at);
        if (!site || !site->ledger_driver)
            continue;
        site->ledger = NULL;
        for (server_rec *before = s; before != at && !site->ledger; before = before->next) {
            const pwk_site *other = pwk_config_site(before);
            if (is_same_ledger(other, site) && other->ledger)
                site->ledger = other->ledger;
        }
        if (!site->ledger
            && pwk_ledger_create(&site->ledger, site->ledger_driver, site->ledger_params, complain, at, pchild)
                   != APR_SUCCESS)
            site->ledger = NULL;
    }
}

/* ---- addresses ---- */

const char *pwk_purchases_url(request_rec *r, const pwk_site *site, const char *endpoint, const char *id,
                              const char *rest)
{
    return pwk_pages_url(r, site, apr_pstrcat(r->pool, "/", endpoint, "/", id, rest, NULL));
}

const char *pwk_purchases_place(request_rec *r, const pwk_site *site, const char *id)
{
    return apr_pstrcat(r->pool, site->path, "/purchase/", id, NULL);
}

const char *pwk_purchases_offers_place(request_rec *r, const pwk_site *site, const char *offer, const char *path,
                                       const char *language)
{
    return apr_pstrcat(r->pool, site->path, "/offers?r=", pwk_text_urlencode(path, r->pool), "&o=", offer,
                       "&lang=", language, NULL);
}

const char *pwk_purchases_shop_url(request_rec *r, const pwk_site *site, const char *code, const char *back)
{
    return apr_pstrcat(r->pool, site->portal, "/v2/shop/", code, "?returnUrl=", pwk_text_urlencode(back, r->pool),
                       NULL);
}

int pwk_purchases_to_page(request_rec *r, const pwk_site *site, const pwk_purchase *purchase, const char *notice)
{
    const char *rest = notice ? apr_pstrcat(r->pool, "?notice=", notice, NULL) : "";
    return pwk_pages_redirect(r, HTTP_SEE_OTHER, pwk_purchases_url(r, site, "purchase", purchase->id, rest));
}

int pwk_purchases_to_login(request_rec *r, const pwk_site *site, const char *place)
{
    return pwk_pages_redirect(
        r, HTTP_SEE_OTHER,
        pwk_pages_url(r, site, apr_pstrcat(r->pool, "/login?r=", pwk_text_urlencode(place, r->pool), NULL)));
}

/* ---- what a row holds ---- */

const char *pwk_purchases_seal(const pwk_site *site, const char *text, apr_time_t now, apr_pool_t *p)
{
    const char *sealed;
    return pwk_seal_close(&sealed, site->seal, PWK_SEAL_LEDGER, text, strlen(text), now, p) == APR_SUCCESS ? sealed
                                                                                                           : NULL;
}

static apr_status_t unseal(const char **text, apr_size_t *len, const pwk_site *site, const char *sealed, apr_time_t now,
                           apr_pool_t *p)
{
    void *bytes;
    apr_status_t rv = pwk_seal_open(&bytes, len, site->seal, PWK_SEAL_LEDGER, sealed, now, p);
    if (rv == APR_SUCCESS)
        *text = bytes;
    return rv;
}

apr_status_t pwk_purchases_sale(pwk_sale *sale, const pwk_site *site, const pwk_purchase *purchase, apr_time_t now,
                                apr_pool_t *p)
{
    const char *text;
    apr_size_t len;
    apr_status_t rv = unseal(&text, &len, site, purchase->sale, now, p);
    return rv == APR_SUCCESS ? pwk_sale_read(sale, text, len, p) : rv;
}

apr_status_t pwk_purchases_session(pwk_klarna_session *session, const pwk_site *site, const pwk_purchase *purchase,
                                   apr_time_t now, apr_pool_t *p)
{
    const char *text;
    apr_size_t len;
    apr_status_t rv = unseal(&text, &len, site, purchase->session, now, p);
    return rv == APR_SUCCESS ? pwk_klarna_read(session, text, len, p) : rv;
}

const char *pwk_purchases_onward(request_rec *r, const pwk_site *site, const pwk_purchase *purchase)
{
    const char *text;
    apr_size_t len;
    if (*purchase->redirect && unseal(&text, &len, site, purchase->redirect, r->request_time, r->pool) == APR_SUCCESS
        && pwk_klarna_may_redirect(text, site->redirect_hosts, r->pool))
        return text;
    return pwk_purchases_url(r, site, "confirm", purchase->id, "");
}

apr_status_t pwk_purchases_pending(pwk_purchase *pending, const pwk_site *site, const pwk_purchase *wanted,
                                   apr_pool_t *p)
{
    apr_array_header_t *rows;
    apr_time_t now = apr_time_now();
    apr_status_t rv =
        pwk_ledger_granting(&rows, site->ledger, wanted->organisation, wanted->environment, wanted->account, now, p);
    for (int i = 0; rv == APR_SUCCESS && i < rows->nelts; i++) {
        const pwk_purchase *row = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        if (pwk_purchase_starts_later(row, now)
            && pwk_grants_has_all(pwk_grants_products(row, p), pwk_grants_products(wanted, p))) {
            *pending = *row;
            return APR_SUCCESS;
        }
    }
    return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
}

int pwk_purchases_is_owned(const pwk_reader *reader, const pwk_purchase *purchase, apr_pool_t *p)
{
    apr_array_header_t *has = apr_array_make(p, reader->count + 1, sizeof(const char *));
    for (int i = 0; i < reader->count; i++)
        APR_ARRAY_PUSH(has, const char *) = reader->codes[i];
    return pwk_grants_has_all(has, pwk_grants_products(purchase, p));
}

/* Bound to account and purchase, not to the session: a login in between, which may rename the session, leaves the page
 * that is open in a tab usable. */
static const char *csrf_text(const pwk_purchase *purchase, apr_pool_t *p)
{
    return apr_pstrcat(p, purchase->account, "\n", purchase->id, NULL);
}

const char *pwk_purchases_csrf(const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p)
{
    return pwk_seal_token(site->seal, "purchase", csrf_text(purchase, p), p);
}

int pwk_purchases_csrf_is(const pwk_site *site, const pwk_purchase *purchase, const char *token, apr_pool_t *p)
{
    return pwk_seal_token_is(site->seal, "purchase", csrf_text(purchase, p), token, p);
}

/* ---- reading ---- */

apr_status_t pwk_purchases_reread(pwk_purchase *purchase, const pwk_site *site, const char *id, apr_pool_t *p)
{
    return site->ledger ? pwk_ledger_read(purchase, site->ledger, id, p) : APR_EGENERAL;
}

int pwk_purchases_is_readers(pwk_visit *visit, const pwk_purchase *purchase)
{
    const pwk_site *site = visit->site;
    return visit->reader && *visit->reader->account && !strcmp(purchase->account, visit->reader->account)
           && !strcmp(purchase->site, site->base_url) && !strcmp(purchase->organisation, site->client.organisation)
           && !strcmp(purchase->environment, site->environment);
}

/* Another's purchase looks like one that does not exist (threats H-13). */
int pwk_purchases_read(pwk_purchase *purchase, request_rec *r, pwk_visit *visit, const char *id, const char *place)
{
    const pwk_site *site = visit->site;
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    apr_status_t rv;
    if (!site->ledger_driver || !pwk_purchase_is_id(id))
        return pwk_pages_error(r, visit, HTTP_NOT_FOUND, "not_found", NULL);
    if (!reader || !*reader->account)
        return pwk_purchases_to_login(r, site, place);
    rv = pwk_purchases_reread(purchase, site, id, r->pool);
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND)
        return pwk_pages_error(r, visit, HTTP_SERVICE_UNAVAILABLE, "unavailable", place);
    if (rv == APR_NOTFOUND || !pwk_purchases_is_readers(visit, purchase))
        return pwk_pages_error(r, visit, HTTP_NOT_FOUND, "not_found", NULL);
    return DECLINED;
}

int pwk_purchases_identity(const char **token, request_rec *r, pwk_visit *visit, long life_s, const char *place,
                           int identified)
{
    const pwk_site *site = visit->site;
    pwk_sso2_visitor visitor = pwk_visit_visitor(visit, visit->reader->sid);
    pwk_reader *entered;
    pwk_result result = pwk_account_identity(token, &entered, site, &visitor, visit->reader, life_s, r->pool);
    int known;
    if (entered && pwk_visit_set_reader(visit, entered) != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    if (result.outcome == PWK_OK)
        return DECLINED;
    known = result.outcome == PWK_REFUSED && !entered;
    if (known && !strcmp(result.code, "no_ticket") && !identified)
        return pwk_identify_begin(r, visit, place, 0);
    if (known && !strcmp(result.code, "logged_out")) {
        pwk_account_end(site, visitor.sid, r->pool);
        pwk_visit_set_reader(visit, NULL);
        return pwk_purchases_to_login(r, site, place);
    }
    if (entered)
        return pwk_pages_error(r, visit, HTTP_FORBIDDEN, "other_account", NULL);
    pwk_account_complain(site, &result, "getting a token for a purchase", r->pool);
    return pwk_pages_error(r, visit, HTTP_SERVICE_UNAVAILABLE, "unavailable", place);
}

/* ---- pages ---- */

static const char *face_of(const pwk_purchase *purchase)
{
    return pwk_outcome_is_not_completed(purchase->error) ? "not_completed" : "refused";
}

void pwk_purchases_ways_on(pwk_page *page, request_rec *r, const char *offer, const char *code)
{
    const pwk_site *site = page->site;
    const char *offers = pwk_purchases_offers_place(r, site, offer, page->place, page->language);
    const char *back = apr_pstrcat(r->pool, site->origin, page->place, NULL);
    pwk_pages_set(page, "PURCHASE_OFFERS_URL", apr_pstrcat(r->pool, site->origin, offers, NULL));
    pwk_pages_set(page, "PURCHASE_SHOP_URL", pwk_purchases_shop_url(r, site, code, back));
}

/* What every page about `purchase` says; `page` speaks the language of its wall and leads back to its article. */
static void describe(pwk_page *page, request_rec *r, const pwk_purchase *purchase)
{
    pwk_offer_shown *shown = apr_palloc(r->pool, sizeof(*shown));
    pwk_facts_read(shown, purchase, r->pool);
    page->offer = shown;
    pwk_facts_offer(page->vars, shown, page->language, r->pool);
    pwk_pages_set(page, "PURCHASE_ID", purchase->id);
    pwk_pages_set(page, "PURCHASE_STATE", pwk_purchase_word(purchase->state));
    pwk_pages_set(page, "PURCHASE_STATE_URL", pwk_purchases_url(r, page->site, "purchase", purchase->id, "/state"));
    pwk_pages_set(page, "PURCHASE_ORDER_ID", pwk_text_clean(purchase->order_id, PWK_ORDER_ID_MAX, r->pool));
    pwk_purchases_ways_on(page, r, purchase->offer, purchase->code);
}

/* What the wall said, or what is sayable without it: the article's path and language are lost with an old key. */
static pwk_sale sale_of(request_rec *r, const pwk_site *site, const pwk_purchase *purchase)
{
    pwk_sale sale;
    if (pwk_purchases_sale(&sale, site, purchase, r->request_time, r->pool) != APR_SUCCESS)
        sale = (pwk_sale){.path = "/", .language = ""};
    return sale;
}

pwk_page *pwk_purchases_page(request_rec *r, pwk_visit *visit, const char *template_name, int status,
                             const pwk_purchase *purchase)
{
    pwk_sale sale = sale_of(r, visit->site, purchase);
    pwk_page *page = pwk_pages_make(r, visit, template_name, status, sale.path);
    pwk_pages_speak(page, r, sale.language);
    describe(page, r, purchase);
    return page;
}

int pwk_purchases_error(request_rec *r, pwk_visit *visit, int status, const char *word, const pwk_purchase *purchase)
{
    pwk_sale sale = sale_of(r, visit->site, purchase);
    pwk_page *page = pwk_pages_make_error(r, visit, status, word, sale.path);
    pwk_pages_speak(page, r, sale.language);
    describe(page, r, purchase);
    if (purchase->state == PWK_PURCHASE_FAILED)
        pwk_pages_set(page, "ERROR_FACE", face_of(purchase));
    return pwk_pages_send(r, page);
}
