#include "pwk_checkout.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_json.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_outcome.h"
#include "../core/pwk_url.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_ledger.h"
#include "pwk_post.h"
#include "pwk_purchases.h"
#include "pwk_reconcile.h"
#include "pwk_refresh.h"
#include "pwk_resume.h"

/* Seconds after which a page that waits is loaded again where no script does it. */
#define REFRESH_PLACING "3"
#define REFRESH_UNKNOWN "15"

static const char *id_of(request_rec *r)
{
    return pwk_gate_of(r)->endpoint_rest;
}

/* ---- CREATED: the purchase page ---- */

/* Where forms and what they lead to may go: Chromium applies form-action to redirects too. */
static const char *form_origins(request_rec *r, const pwk_site *site)
{
    return apr_pstrcat(r->pool, pwk_url_origin(site->portal, r->pool), " ", pwk_url_origin(site->sso, r->pool), NULL);
}

static int show_widget(request_rec *r, pwk_visit *visit, const pwk_purchase *purchase)
{
    static const char *const notices[] = {"not_sent", "unavailable"};
    const pwk_site *site = visit->site;
    const char *notice = pwk_post_field(pwk_post_query(r), "notice"), *resume = pwk_resume_token(visit, purchase->id);
    pwk_page *page = pwk_purchases_page(r, visit, "purchase.shtml", HTTP_OK, purchase);
    pwk_klarna_session session;
    pwk_sale sale;
    /* Sealed under a key that is gone: nothing was ordered with it, and nothing can be. */
    if (pwk_purchases_session(&session, site, purchase, r->request_time, r->pool) != APR_SUCCESS
        || pwk_purchases_sale(&sale, site, purchase, r->request_time, r->pool) != APR_SUCCESS)
        return pwk_purchases_error(r, visit, HTTP_GONE, "session_expired", purchase);
    page->categories = pwk_klarna_categories(&session, sale.categories, purchase->trial, r->pool);
    /* One widget without a category shows what the session has. */
    if (!page->categories->nelts)
        APR_ARRAY_PUSH(page->categories, pwk_klarna_category) = (pwk_klarna_category){"", "", ""};
    page->policy =
        pwk_klarna_policy(site->klarna_sdk, site->klarna_hosts, form_origins(r, site), site->redirect_hosts, r->pool);
    pwk_pages_set(page, "PURCHASE_AUTHORIZE_URL", pwk_purchases_url(r, site, "authorize", purchase->id, ""));
    pwk_pages_set(page, "PURCHASE_CSRF", pwk_purchases_csrf(site, purchase, r->pool));
    pwk_pages_set(page, "PURCHASE_CLIENT_TOKEN", session.client_token);
    pwk_pages_set(page, "PURCHASE_SDK_URL", site->klarna_sdk);
    pwk_pages_set(page, "PURCHASE_CATEGORIES", apr_itoa(r->pool, page->categories->nelts));
    pwk_pages_set(page, "PURCHASE_EXPIRES", apr_ltoa(r->pool, (long)apr_time_sec(purchase->expires - r->request_time)));
    pwk_pages_set(page, "PURCHASE_OVERWRITES", sale.disable_account_info_overwrite ? NULL : "1");
    pwk_pages_set(page, "PURCHASE_RESUME", resume);
    for (size_t i = 0; i < sizeof(notices) / sizeof(*notices); i++) {
        if (!strcmp(notice, notices[i]))
            pwk_pages_set(page, "PURCHASE_NOTICE", notice);
    }
    return pwk_pages_send(r, page);
}

/* The page sees to a token that outlives the payment, so that nothing has to be asked for once the reader has paid. */
static int show_created(request_rec *r, pwk_visit *visit, pwk_purchase *purchase)
{
    int identified = *pwk_post_field(pwk_post_query(r), "identified") != '\0', status;
    const char *token, *place = pwk_purchases_place(r, visit->site, purchase->id);
    if (!*purchase->session)
        return pwk_pages_error(r, visit, HTTP_SERVICE_UNAVAILABLE, "unavailable", place);
    status = pwk_purchases_identity(&token, r, visit, identified ? PWK_IDENTITY_MIN_S : PWK_IDENTITY_PAGE_S,
                                    apr_pstrcat(r->pool, place, "?identified=1", NULL), identified);
    if (status != DECLINED)
        return status;
    if (pwk_purchases_is_owned(visit->reader, purchase, r->pool)) {
        purchase->error = "already_owned";
        pwk_ledger_move(visit->site->ledger, purchase, PWK_EVENT_AGED, r->request_time, r->pool);
        return pwk_purchases_error(r, visit, HTTP_OK, "already_owned", purchase);
    }
    return show_widget(r, visit, purchase);
}

/* ---- the other states ---- */

static int show_wait(request_rec *r, pwk_visit *visit, const pwk_purchase *purchase)
{
    pwk_page *page = pwk_purchases_page(r, visit, "wait.shtml", HTTP_OK, purchase);
    pwk_pages_set(page, "PURCHASE_REFRESH",
                  purchase->state == PWK_PURCHASE_PLACING ? REFRESH_PLACING : REFRESH_UNKNOWN);
    pwk_pages_set(page, "PURCHASE_OPEN", pwk_purchase_grants(purchase, r->request_time) ? "1" : NULL);
    return pwk_pages_send(r, page);
}

/* What a purchase that ended without an order says. */
static int show_end(request_rec *r, pwk_visit *visit, const pwk_purchase *purchase)
{
    if (purchase->state == PWK_PURCHASE_FAILED)
        return pwk_purchases_error(r, visit, HTTP_OK, pwk_outcome_word(purchase->error), purchase);
    return pwk_purchases_error(
        r, visit, HTTP_OK, !strcmp(purchase->error, "already_owned") ? "already_owned" : "session_expired", purchase);
}

/* Reads this browser's products anew where its record does not say what the purchase does: it was found out about only now, or
 * the answer that carried the record never arrived; or what was open meanwhile was never ordered. */
static void set_right(request_rec *r, pwk_visit *visit, const pwk_purchase *purchase)
{
    const char *token;
    pwk_reader *newer;
    pwk_sso2_visitor visitor = pwk_visit_visitor(visit, visit->reader->sid);
    int is_open = pwk_purchases_is_owned(visit->reader, purchase, r->pool);
    /* That Payway shows the products says nothing of this browser's record. */
    pwk_purchase unseen = *purchase;
    unseen.shown = 0;
    if (is_open ? purchase->state != PWK_PURCHASE_FAILED : !pwk_purchase_grants(&unseen, r->request_time))
        return;
    /* One with identity is one call, where a check by SSO2 and a token without are two; either merges the grants. */
    if (pwk_account_kept_identity(&token, visit->site, visit->reader, r->pool)
            ? pwk_account_reread(&newer, visit->site, visit->reader, token, r->pool).outcome == PWK_OK
            : pwk_account_check(&newer, visit->site, &visitor, visit->reader, r->pool).outcome == PWK_OK)
        pwk_visit_set_reader(visit, newer->terminated ? NULL : newer);
}

int pwk_checkout_purchase(request_rec *r, pwk_visit *visit)
{
    pwk_purchase purchase;
    int status = pwk_purchases_read(&purchase, r, visit, id_of(r), pwk_purchases_place(r, visit->site, id_of(r)));
    if (status != DECLINED)
        return status;
    pwk_reconcile_look(visit->site, &purchase, r->pool);
    switch (purchase.state) {
    case PWK_PURCHASE_CREATED:
        return show_created(r, visit, &purchase);
    case PWK_PURCHASE_UNKNOWN:
        set_right(r, visit, &purchase);
        return show_wait(r, visit, &purchase);
    case PWK_PURCHASE_PLACING:
    case PWK_PURCHASE_MANUAL:
        return show_wait(r, visit, &purchase);
    case PWK_PURCHASE_PLACED:
    case PWK_PURCHASE_CONFIRMED:
        return pwk_pages_redirect(r, HTTP_SEE_OTHER, pwk_purchases_url(r, visit->site, "confirm", purchase.id, ""));
    default:
        set_right(r, visit, &purchase);
        return show_end(r, visit, &purchase);
    }
}

/* Beside the request. */
static void settle(const pwk_site *site, const char *account, apr_pool_t *p)
{
    pwk_reconcile_settle(site, account, p);
}

/* The confirmation shows; that a browser came here proves nothing. */
int pwk_checkout_confirm(request_rec *r, pwk_visit *visit)
{
    pwk_purchase purchase;
    pwk_page *page;
    int status = pwk_purchases_read(&purchase, r, visit, id_of(r),
                                    apr_pstrcat(r->pool, visit->site->path, "/confirm/", id_of(r), NULL));
    if (status != DECLINED)
        return status;
    pwk_reconcile_look(visit->site, &purchase, r->pool);
    if (purchase.state != PWK_PURCHASE_PLACED && purchase.state != PWK_PURCHASE_CONFIRMED)
        return pwk_purchases_to_page(r, visit->site, &purchase, NULL);
    set_right(r, visit, &purchase);
    page = pwk_purchases_page(r, visit, "confirm.shtml", HTTP_OK, &purchase);
    if (visit->reader && pwk_purchases_is_owned(visit->reader, &purchase, r->pool))
        pwk_pages_set(page, "PURCHASE_OPEN", "1");
    if (purchase.state == PWK_PURCHASE_PLACED)
        pwk_refresh_queue(visit->site, apr_pstrcat(r->pool, "settle ", purchase.account, NULL), settle,
                          purchase.account);
    return pwk_pages_send(r, page);
}

/* Where a page that waits goes on: nowhere while nothing is decided. */
static const char *next_of(request_rec *r, const pwk_site *site, const pwk_purchase *purchase)
{
    switch (purchase->state) {
    case PWK_PURCHASE_CREATED:
    case PWK_PURCHASE_PLACING:
    case PWK_PURCHASE_UNKNOWN:
        return NULL;
    case PWK_PURCHASE_PLACED:
    case PWK_PURCHASE_CONFIRMED:
        return pwk_purchases_url(r, site, "confirm", purchase->id, "");
    default:
        return pwk_purchases_url(r, site, "purchase", purchase->id, "");
    }
}

int pwk_checkout_state(request_rec *r, pwk_visit *visit)
{
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    json_t *json = pwk_json_new(r->pool);
    pwk_purchase purchase;
    const char *next;
    apr_status_t rv = APR_NOTFOUND;
    if (reader && *reader->account && visit->site->ledger_driver && pwk_purchase_is_id(id_of(r)))
        rv = pwk_purchases_reread(&purchase, visit->site, id_of(r), r->pool);
    if (rv == APR_SUCCESS && !pwk_purchases_is_readers(visit, &purchase))
        rv = APR_NOTFOUND;
    if (rv != APR_SUCCESS) {
        json_object_set_new(json, "state", json_null());
        json_object_set_new(json, "next", json_null());
        return pwk_pages_json(r, rv == APR_NOTFOUND ? HTTP_NOT_FOUND : HTTP_SERVICE_UNAVAILABLE, json);
    }
    pwk_reconcile_look(visit->site, &purchase, r->pool);
    next = next_of(r, visit->site, &purchase);
    json_object_set_new(json, "state", json_string(pwk_purchase_word(purchase.state)));
    json_object_set_new(json, "next", next ? json_string(next) : json_null());
    return pwk_pages_json(r, HTTP_OK, json);
}
