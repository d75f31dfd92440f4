#include "pwk_wall.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "../core/pwk_form.h"
#include "../core/pwk_json.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_sale.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"
#include "pwk_access.h"
#include "pwk_identify.h"
#include "pwk_pages.h"
#include "pwk_post.h"
#include "pwk_prices.h"
#include "pwk_purchases.h"
#include "pwk_refresh.h"

void pwk_wall_prepare(request_rec *r, const pwk_gate *gate)
{
    static const int denials[] = {HTTP_UNAUTHORIZED, HTTP_PAYMENT_REQUIRED, HTTP_FORBIDDEN};
    const char *wall = pwk_dir_wall(pwk_config_dir(r));
    const char *where = !strcmp(wall, "default") || pwk_visit_is_api(gate->visit)
                            ? apr_pstrcat(r->pool, gate->visit->site->path, "/wall", NULL)
                            : wall;
    pwk_access_export(r, &gate->verdict, gate->visit->reader);
    if (!strcmp(wall, "off"))
        return;
    for (size_t i = 0; i < sizeof(denials) / sizeof(*denials); i++)
        ap_custom_response(r, denials[i], where);
}

/* ---- the sale ---- */

static const char *evaluate(request_rec *r, const ap_expr_info_t *expression)
{
    const char *wrong = NULL, *value = expression ? ap_expr_str_exec(r, expression, &wrong) : "";
    if (wrong)
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      PWKLOG(0100) "an expression of this location cannot be evaluated and counts as empty: %s", wrong);
    return value && !wrong ? pwk_text_clean(value, 128, r->pool) : "";
}

/* What this location says of a purchase, sealed for the forms of its offers; "" when it could not be sealed. `at`
 * is the request that met the wall: expressions see what the reader asked for. */
static const char *make_sale(request_rec *at, const pwk_page *page)
{
    const pwk_dir *dir = page->dir;
    apr_pool_t *p = at->pool;
    pwk_sale sale = {
        .path = page->place,
        .language = page->language,
        .offers = apr_array_make(p, 4, sizeof(const char *)),
        .made = at->request_time,
        .disable_account_info_overwrite = pwk_dir_flag(dir->disable_account_info_overwrite, 0),
        .raise_on_ssn_already_taken_error = pwk_dir_flag(dir->raise_on_ssn_already_taken_error, 1),
        .raise_on_ssn_already_set_error = pwk_dir_flag(dir->raise_on_ssn_already_set_error, 0),
        .raise_on_account_update_error = pwk_dir_flag(dir->raise_on_account_update_error, 0),
        .raise_on_delivery_address_error = pwk_dir_flag(dir->raise_on_delivery_address_error, 0),
        .categories = dir->categories ? dir->categories : apr_array_make(p, 1, sizeof(const char *)),
        .traffic_source = evaluate(at, dir->traffic_source),
        .merchant_reference = evaluate(at, dir->merchant_reference),
    };
    const char *text, *sealed;
    for (int i = 0; i < page->offers->nelts; i++)
        APR_ARRAY_PUSH(sale.offers, const char *) = APR_ARRAY_IDX(page->offers, i, pwk_offer_shown).offer->name;
    text = pwk_sale_write(&sale, p);
    if (pwk_seal_close(&sealed, page->site->seal, PWK_SEAL_SALE, text, strlen(text), at->request_time, p) != APR_SUCCESS
        || strlen(sealed) > PWK_SALE_MAX)
        return "";
    return sealed;
}

static void put_offers(pwk_page *page, apr_array_header_t *offers, request_rec *at)
{
    page->offers = offers;
    apr_table_setn(page->vars, "PAYWAY_OFFER_COUNT", apr_itoa(at->pool, offers->nelts));
    if (offers->nelts)
        page->sale = make_sale(at, page);
}

/* ---- handlers ---- */

/* While no purchase could be written down none is begun: the buttons are not shown. */
static int is_closed(const pwk_page *page, const apr_array_header_t *offers, const request_rec *r)
{
    return offers->nelts && pwk_purchases_ledger_fails(page->site, r->request_time);
}

static int send_json(request_rec *r, const pwk_page *page, const pwk_verdict *verdict,
                     const pwk_requirement *requirement, const apr_array_header_t *offers)
{
    json_t *json = pwk_facts_json(verdict, requirement, offers, apr_table_get(page->vars, "PAYWAY_OFFERS_URL"),
                                  apr_table_get(page->vars, "PAYWAY_LOGIN_URL"), page->language, r->pool);
    if (is_closed(page, offers, r))
        json_object_set_new(json, "notice", json_string("no-sale"));
    return pwk_pages_json(r, HTTP_PAYMENT_REQUIRED, json);
}

int pwk_wall_handler(request_rec *r, pwk_visit *visit)
{
    request_rec *at = r->prev;
    const pwk_gate *gate = pwk_gate_of(at);
    const pwk_dir *dir = pwk_config_dir(at);
    pwk_requirement requirement = pwk_gate_requirement(gate);
    pwk_page *page = pwk_pages_make(r, visit, "wall.shtml", pwk_dir_wall_status(dir), NULL);
    const char *notice = pwk_identify_notice(visit);
    /* While nobody can say whether this reader has paid already, nothing is sold. */
    int sells = gate->verdict.kind != PWK_VERDICT_UNAVAILABLE;
    apr_array_header_t *offers;
    /* A 403 of something else (a backend, a file's permissions) under a reader who may read: none of ours to
     * answer. */
    if (gate->passed || gate->verdict.kind == PWK_VERDICT_GRANTED || !(gate->asked || gate->authn))
        return at->status;
    offers = sells ? pwk_prices_offers(visit->site, dir, &requirement, NULL, r->pool)
                   : apr_array_make(r->pool, 1, sizeof(pwk_offer_shown));
    pwk_access_export(r, &gate->verdict, visit->reader);
    if (!sells)
        apr_table_setn(r->headers_out, "Retry-After", "60");
    if (pwk_visit_is_api(visit))
        return send_json(r, page, &gate->verdict, &requirement, offers);
    put_offers(page, offers, at);
    apr_table_setn(page->vars, "PAYWAY_VERDICT", pwk_verdict_word(gate->verdict.kind));
    apr_table_setn(page->vars, "PAYWAY_REASON", gate->verdict.reason);
    /* Without cookies nothing can be bought either. */
    if (is_closed(page, offers, r) && strcmp(notice, "cookies"))
        notice = "no-sale";
    pwk_pages_set(page, "PAYWAY_NOTICE", notice);
    return pwk_pages_send(r, page);
}

/* What the location of `place` asks for, and its settings: found by httpd itself, on a request that is never run. */
static request_rec *look_at(request_rec *r, const char *place)
{
    request_rec *rr = ap_sub_req_lookup_uri(place, r, NULL);
    return pwk_gate_of(rr)->asked ? rr : NULL;
}

int pwk_wall_offers(request_rec *r, pwk_visit *visit)
{
    const apr_table_t *query = pwk_post_query(r);
    const char *place = pwk_post_place(r, query);
    request_rec *at = strcmp(place, "/") ? look_at(r, place) : NULL;
    pwk_requirement requirement = {NULL, 0};
    pwk_verdict verdict;
    pwk_page *page = pwk_pages_make(r, visit, "wall.shtml", HTTP_OK, place);
    if (at) {
        page->dir = pwk_config_dir(at);
        requirement = pwk_gate_requirement(pwk_gate_of(at));
    }
    verdict = pwk_visit_verdict(visit, page->dir, &requirement);
    /* A reader who has it already reads. */
    if (at && verdict.kind == PWK_VERDICT_GRANTED && requirement.codes)
        return pwk_pages_redirect(r, HTTP_SEE_OTHER, apr_pstrcat(r->pool, visit->site->origin, place, NULL));
    if (verdict.kind == PWK_VERDICT_GRANTED)
        verdict.kind = PWK_VERDICT_NO_PRODUCT;
    put_offers(page, pwk_prices_offers(visit->site, page->dir, &requirement, pwk_form_field(query, "o"), r->pool),
               at ? at : r);
    apr_table_setn(page->vars, "PAYWAY_VERDICT", pwk_verdict_word(verdict.kind));
    if (!pwk_form_field(query, "r"))
        apr_table_unset(page->vars, "PAYWAY_RETURN");
    if (is_closed(page, page->offers, r))
        pwk_pages_set(page, "PAYWAY_NOTICE", "no-sale");
    return pwk_pages_send(r, page);
}

int pwk_wall_me(request_rec *r, pwk_visit *visit)
{
    const pwk_dir *dir = pwk_config_dir(r);
    const pwk_reader *reader = pwk_visit_reader(visit, dir);
    int logged_in = reader && *reader->account;
    json_t *json = pwk_json_new(r->pool), *products = json_array();
    for (int i = 0; logged_in && i < reader->count; i++)
        json_array_append_new(products, json_string(reader->codes[i]));
    if (logged_in
        && pwk_reader_age(reader, pwk_dir_refresh_interval(dir), visit->site->named_hash, r->request_time)
               != PWK_AGE_FRESH)
        pwk_refresh_later(visit);
    json_object_set_new(json, "state", json_string(logged_in ? "loggedin" : "anonymous"));
    json_object_set_new(json, "products", products);
    json_object_set_new(json, "csrf",
                        reader ? json_string(pwk_seal_token(visit->site->seal, "csrf", reader->sid, r->pool))
                               : json_null());
    json_object_set_new(json, "login_url", json_string(pwk_pages_url(r, visit->site, "/login")));
    json_object_set_new(json, "logout_url", json_string(pwk_pages_url(r, visit->site, "/logout")));
    json_object_set_new(json, "offers_url", json_string(pwk_pages_url(r, visit->site, "/offers")));
    return pwk_pages_json(r, HTTP_OK, json);
}
