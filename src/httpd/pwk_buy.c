#include "pwk_buy.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "../core/pwk_text.h"
#include "pwk_account.h"
#include "pwk_identify.h"
#include "pwk_ledger.h"
#include "pwk_post.h"
#include "pwk_prices.h"
#include "pwk_purchases.h"
#include "pwk_reconcile.h"

/* How often whoever waits for another press's session looks for it. */
enum { LOOK_MS = 100, ROUNDS_MAX = 3 };

/* One press of the button, with everything that was found out about it. */
typedef struct {
    request_rec *r;
    pwk_visit *visit;
    const pwk_site *site;
    pwk_sale sale;
    const pwk_offer *offer;
    const char *again;     /* the offers, with this one chosen: where the reader presses again */
    const char *token;     /* with identity */
    pwk_purchase purchase; /* what would be made, or is there already */
} press;

static apr_status_t open_sale(pwk_sale *sale, request_rec *r, const pwk_site *site, const char *sealed)
{
    void *bytes;
    apr_size_t len;
    apr_status_t rv = pwk_seal_open(&bytes, &len, site->seal, PWK_SEAL_SALE, sealed, r->request_time, r->pool);
    if (rv == APR_SUCCESS)
        rv = pwk_sale_read(sale, bytes, len, r->pool);
    return rv == APR_SUCCESS && !pwk_sale_is_fresh(sale, r->request_time) ? APR_TIMEUP : rv;
}

/* ---- the session ---- */

static const char *error_page_of(const pwk_result *result)
{
    return result->outcome == PWK_REFUSED ? "sale_refused" : "sale_unavailable";
}

static int no_sale(press *on, int status, const char *word)
{
    pwk_page *page = pwk_pages_make_error(on->r, on->visit, status, word, on->sale.path);
    pwk_pages_speak(page, on->r, on->sale.language);
    pwk_purchases_ways_on(page, on->r, on->offer->name, on->offer->code);
    return pwk_pages_send(on->r, page);
}

/* Asks Payway for the session. A token that was refused is thrown away: the next press gets a new one. */
static pwk_result create_session(pwk_klarna_session *session, press *on)
{
    apr_pool_t *p = on->r->pool;
    pwk_payway_request request = pwk_order_session_request(
        &on->purchase, &on->sale, pwk_purchases_url(on->r, on->site, "confirm", on->purchase.id, ""), p);
    pwk_payway_answer answer;
    pwk_result result = pwk_upstream_call(&answer, on->site, on->site->api, &request, on->token, p);
    if (result.outcome == PWK_OK)
        result = pwk_order_read_session(session, &answer, p);
    if (result.http_status == HTTP_UNAUTHORIZED) {
        pwk_account_forget_identity(on->site, on->visit->reader->sid, p);
        result.outcome = PWK_UNAVAILABLE;
    }
    if (result.outcome == PWK_REFUSED)
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, on->r,
            PWKLOG(0142) "offer %s: Payway makes no Klarna session (%s): check code, type, period and start of "
                         "PaywayOffer and the scope /external/klarna_payments/w",
            on->offer->name, pwk_result_line(&result, p));
    else if (result.outcome != PWK_OK)
        pwk_account_complain(on->site, &result, "making a Klarna session", p);
    return result;
}

/* Makes the session of a row that this request has the right to fill. */
static int make_session(press *on)
{
    apr_pool_t *p = on->r->pool;
    pwk_klarna_session session;
    apr_time_t now = apr_time_now();
    const char *sealed;
    apr_status_t rv;
    pwk_result result = create_session(&session, on);
    if (result.outcome != PWK_OK) {
        pwk_ledger_drop(on->site->ledger, on->purchase.id, p);
        return no_sale(on, result.outcome == PWK_REFUSED ? HTTP_BAD_GATEWAY : HTTP_SERVICE_UNAVAILABLE,
                       error_page_of(&result));
    }
    sealed = pwk_purchases_seal(on->site, pwk_klarna_write(&session, p), now, p);
    rv = sealed ? pwk_ledger_fill(on->site->ledger, on->purchase.id, sealed,
                                  now + apr_time_from_sec(PWK_SESSION_LIFE_S), now, p)
                : APR_EGENERAL;
    if (rv != APR_SUCCESS && rv != APR_EBUSY)
        return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    return pwk_purchases_to_page(on->r, on->site, &on->purchase, NULL);
}

/* Another press of this reader makes the session: waits for it. If whoever does it is gone, this one takes over. */
static int wait_for_session(press *on)
{
    apr_pool_t *p = on->r->pool;
    apr_time_t give_up = apr_time_now() + 2 * on->site->timeout;
    for (;;) {
        apr_time_t now = apr_time_now(), was = on->purchase.due;
        apr_status_t rv;
        if (*on->purchase.session)
            return pwk_purchases_to_page(on->r, on->site, &on->purchase, NULL);
        if (now > was
            && pwk_ledger_take_over(on->site->ledger, on->purchase.id, was, now + on->site->timeout, p) == APR_SUCCESS)
            return make_session(on);
        if (now > give_up)
            return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
        apr_sleep(apr_time_from_msec(LOOK_MS));
        rv = pwk_purchases_reread(&on->purchase, on->site, on->purchase.id, p);
        if (rv != APR_SUCCESS || on->purchase.state != PWK_PURCHASE_CREATED)
            return rv == APR_SUCCESS ? pwk_purchases_to_page(on->r, on->site, &on->purchase, NULL)
                                     : no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    }
}

/* ---- the row ---- */

/* Whether the session of `other` is what this press would make: sold under the same settings at the same price, and good for
 * long enough to pay in peace. */
static int is_same_sale(press *on, const pwk_purchase *other)
{
    pwk_klarna_session session;
    pwk_sale sale;
    return !strcmp(other->code, on->purchase.code) && other->type == on->purchase.type
           && other->trial == on->purchase.trial && !strcmp(other->products, on->purchase.products)
           && !strcmp(other->facts, on->purchase.facts)
           && (!*other->session
               || (other->expires - on->r->request_time > apr_time_from_sec(PWK_RESUME_LIFE_S)
                   && pwk_purchases_session(&session, on->site, other, on->r->request_time, on->r->pool)
                          == APR_SUCCESS))
           && pwk_purchases_sale(&sale, on->site, other, on->r->request_time, on->r->pool) == APR_SUCCESS
           && sale.disable_account_info_overwrite == on->sale.disable_account_info_overwrite
           && !strcmp(sale.language, on->sale.language);
}

/* Begins the purchase, or goes on with the one that is there. */
static int begin(press *on)
{
    apr_pool_t *p = on->r->pool;
    pwk_ledger *ledger = on->site->ledger;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        pwk_purchase other;
        apr_status_t rv = pwk_ledger_begin(ledger, &on->purchase, &other, p);
        if (rv == APR_SUCCESS)
            return make_session(on);
        if (rv != APR_EEXIST)
            break;
        if (!is_same_sale(on, &other)) {
            pwk_ledger_move(ledger, &other, PWK_EVENT_AGED, apr_time_now(), p);
            continue;
        }
        /* The wall of another place: what it says of placing the order counts from now on. */
        rv = pwk_ledger_sell(ledger, other.id, on->purchase.sale, apr_time_now(), p);
        if (rv == APR_EBUSY)
            continue;
        if (rv != APR_SUCCESS)
            break;
        on->purchase = other;
        return wait_for_session(on);
    }
    return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
}

/* What was bought and starts later is not sold again meanwhile. DECLINED: there is nothing of the kind. */
static int check_pending(press *on)
{
    pwk_purchase pending;
    apr_status_t rv = pwk_purchases_pending(&pending, on->site, &on->purchase, on->r->pool);
    if (rv == APR_NOTFOUND)
        return DECLINED;
    if (rv != APR_SUCCESS)
        return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    return strcmp(pending.site, on->site->base_url) ? no_sale(on, HTTP_CONFLICT, "already_bought")
                                                    : pwk_purchases_to_page(on->r, on->site, &pending, NULL);
}

/* What runs already comes first: nobody can buy beside it. DECLINED: nothing runs. */
static int check_running(press *on)
{
    apr_pool_t *p = on->r->pool;
    const pwk_reader *reader = on->visit->reader;
    pwk_purchase running;
    pwk_reader *newer;
    apr_status_t rv = pwk_ledger_running(&running, on->site->ledger, on->site->client.organisation,
                                         on->site->environment, reader->account, p);
    if (rv == APR_SUCCESS && running.state == PWK_PURCHASE_PLACED) {
        /* Reading the products anew confirms it, if Payway shows them by now. */
        if (pwk_account_reread(&newer, on->site, reader, on->token, p).outcome == PWK_OK)
            pwk_visit_set_reader(on->visit, newer);
        rv = pwk_ledger_running(&running, on->site->ledger, on->site->client.organisation, on->site->environment,
                                reader->account, p);
    }
    if (rv == APR_SUCCESS) {
        pwk_reconcile_look(on->site, &running, p);
        if (!pwk_purchase_is_running(running.state))
            return DECLINED;
        if (!strcmp(running.site, on->site->base_url))
            return pwk_purchases_to_page(on->r, on->site, &running, NULL);
        return no_sale(on, HTTP_CONFLICT, "running");
    }
    return rv == APR_NOTFOUND ? DECLINED : no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
}

/* The period that the form names, or the only one; NULL with `*known` 0 when the form names one that is not sold, or one that
 * nobody can tell the price of just now. */
static const pwk_period *period_of(const pwk_offer_shown *shown, const char *id, int *known)
{
    *known = !*id || !strcasecmp(id, shown->offer->period);
    for (int i = 0; i < shown->periods->nelts; i++) {
        const pwk_period *period = &APR_ARRAY_IDX(shown->periods, i, pwk_period);
        if (!*id || !strcasecmp(period->id, id)) {
            *known = 1;
            return period;
        }
    }
    return NULL;
}

static int fill_purchase(press *on, const char *period_id)
{
    apr_pool_t *p = on->r->pool;
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    const pwk_offer *offer = on->offer;
    const pwk_period *period;
    pwk_offer_shown shown;
    int known;
    pwk_prices_show(&shown, on->site, offer, p);
    period = period_of(&shown, period_id, &known);
    if (!known && !shown.periods->nelts)
        return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    if (!known)
        return pwk_pages_error(on->r, on->visit, HTTP_BAD_REQUEST, "bad_request", on->sale.path);
    /* What it costs must stand above the order button; and Payway wants the period of a trial named. */
    if (!pwk_facts_has_price(&shown))
        return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    on->purchase = (pwk_purchase){
        .id = pwk_purchase_new_id(p),
        .site = on->site->base_url,
        .organisation = on->site->client.organisation,
        .environment = on->site->environment,
        .account = on->visit->reader->account,
        .state = PWK_PURCHASE_CREATED,
        .offer = offer->name,
        .code = offer->code,
        .type = period ? period->type : offer->type,
        .period = period ? period->id : offer->period,
        .start = pwk_offer_start(offer, now, p),
        .trial = offer->trial,
        .products = apr_array_pstrcat(p, offer->products, ','),
        .facts = pwk_facts_write(&shown, period, p),
        .sale = pwk_purchases_seal(on->site, pwk_sale_write(&on->sale, p), now, p),
        .session = "",
        .redirect = "",
        .token_hash = "",
        .order_id = "",
        .error = "",
        .field = "",
        .created = now,
        .changed = now,
        .expires = now + apr_time_from_sec(PWK_SESSION_LIFE_S),
        .due = now + on->site->timeout + apr_time_from_sec(1),
    };
    if (!on->purchase.id || !on->purchase.sale)
        return pwk_pages_error(on->r, on->visit, HTTP_INTERNAL_SERVER_ERROR, "server", on->sale.path);
    return DECLINED;
}

static int sell(press *on, const char *period_id)
{
    int status = pwk_purchases_identity(&on->token, on->r, on->visit, PWK_IDENTITY_MIN_S, on->again, 0);
    if (status == DECLINED)
        status = fill_purchase(on, period_id);
    if (status != DECLINED)
        return status;
    /* A reader who has it already reads. */
    if (pwk_purchases_is_owned(on->visit->reader, &on->purchase, on->r->pool))
        return pwk_identify_to_place(on->r, on->visit, on->sale.path);
    if (!on->site->ledger)
        return no_sale(on, HTTP_SERVICE_UNAVAILABLE, "sale_unavailable");
    status = check_running(on);
    if (status == DECLINED)
        status = check_pending(on);
    return status == DECLINED ? begin(on) : status;
}

static int to_shop(request_rec *r, pwk_visit *visit, const pwk_sale *sale, const pwk_offer *offer)
{
    const char *back = pwk_identify_return_url(r, visit, sale->path);
    if (!back)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", sale->path);
    return pwk_pages_redirect(r, HTTP_SEE_OTHER, pwk_purchases_shop_url(r, visit->site, offer->code, back));
}

int pwk_buy_handler(request_rec *r, pwk_visit *visit)
{
    static const char *const known[] = {"sale", "offer", "period", "csrf", NULL};
    const pwk_site *site = visit->site;
    press on = {.r = r, .visit = visit, .site = site, .token = ""};
    const pwk_reader *reader;
    apr_table_t *fields;
    apr_status_t rv;
    int status = pwk_post_read(&fields, r, visit, known);
    if (!fields)
        return status;
    rv = open_sale(&on.sale, r, site, pwk_post_field(fields, "sale"));
    if (rv != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, rv == APR_TIMEUP ? "expired" : "bad_request", NULL);
    on.offer = pwk_prices_offer(site, pwk_post_field(fields, "offer"));
    if (!on.offer || !pwk_sale_offers(&on.sale, on.offer->name))
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, "bad_request", on.sale.path);
    on.again = pwk_purchases_offers_place(r, site, on.offer->name, on.sale.path, on.sale.language);
    reader = pwk_visit_reader(visit, pwk_config_dir(r));
    if (!reader || !*reader->account)
        return pwk_purchases_to_login(r, site, on.again);
    if (!pwk_post_is_readers(visit, fields))
        return pwk_pages_error(r, visit, HTTP_FORBIDDEN, "csrf", on.sale.path);
    return site->ledger_driver ? sell(&on, pwk_post_field(fields, "period")) : to_shop(r, visit, &on.sale, on.offer);
}
