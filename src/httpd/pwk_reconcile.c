#include "pwk_reconcile.h"

#include <apr_strings.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_ledger.h"

/* Moves it, and when somebody else did so meanwhile, reads how it stands. */
static void move(const pwk_site *site, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now, apr_pool_t *p)
{
    pwk_purchase fresh;
    apr_status_t rv = pwk_ledger_move(site->ledger, purchase, event, now, p);
    if (rv == APR_EBUSY && pwk_ledger_read(&fresh, site->ledger, purchase->id, p) == APR_SUCCESS)
        *purchase = fresh;
}

static void found(const pwk_site *site, pwk_purchase *purchase, const char *order_id, apr_time_t now, apr_pool_t *p)
{
    purchase->order_id = order_id;
    move(site, purchase, PWK_EVENT_FOUND, now, p);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, site->server,
                 PWKLOG(0143) "purchase %s: its answer was lost; Payway has the order (%s)", purchase->id,
                 *order_id ? order_id : "by the products alone");
}

/* A complete list without the order is a reading, not yet a proof: Payway may book late, and Klarna's authorization could
 * still be used. */
static void absent(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    if (pwk_ledger_note_absent(site->ledger, purchase, now, p) != APR_SUCCESS || purchase->negatives < PWK_NEGATIVES_MIN
        || now - purchase->claimed < apr_time_from_sec(PWK_AUTHORIZATION_LIFE_S))
        return;
    purchase->error = "order_absent";
    move(site, purchase, PWK_EVENT_ABSENT, now, p);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, site->server,
                 PWKLOG(0144) "purchase %s: its answer was lost; Payway has no such order, and it was not charged",
                 purchase->id);
}

/* Without the right to read orders: before the claim the reader lacked the products, so having them now says enough to end
 * the waiting. */
static void look_at_products(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_result result = pwk_account_products(&codes, site, purchase->account, p);
    if (result.outcome == PWK_OK && pwk_grants_has_all(codes, pwk_grants_products(purchase, p)))
        found(site, purchase, "", now, p);
}

static void search(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    pwk_payway_request request = pwk_order_list_request(purchase->account, p);
    pwk_payway_answer answer;
    pwk_order_search list = {0};
    pwk_result result = pwk_account_call(&answer, site, &request, PWK_SCOPE_ORDERS, p);
    if (result.outcome == PWK_OK)
        result = pwk_order_read_list(&list, purchase->id, &answer, p);
    if (result.outcome == PWK_REFUSED) {
        look_at_products(site, purchase, now, p);
        return;
    }
    if (result.outcome != PWK_OK) {
        pwk_account_complain(site, &result, "searching for an order", p);
        return;
    }
    if (list.count > 1)
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, site->server,
            PWKLOG(0145) "purchase %s: Payway has %d orders with its reference: look whether one must be refunded",
            purchase->id, list.count);
    if (list.count)
        found(site, purchase, list.order_id, now, p);
    else if (list.complete)
        absent(site, purchase, now, p);
}

void pwk_reconcile_look(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p)
{
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    if (purchase->state == PWK_PURCHASE_CREATED && now >= purchase->expires)
        move(site, purchase, PWK_EVENT_AGED, now, p);
    if (purchase->state == PWK_PURCHASE_PLACING && now > purchase->due) {
        move(site, purchase, PWK_EVENT_OVERDUE, now, p);
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, site->server,
                     PWKLOG(0146) "purchase %s: no answer in time, whoever sent the order is gone; it is looked for",
                     purchase->id);
    }
    /* A day is what the products are opened for; whoever is still without them is customer service's, and may buy again. */
    if (purchase->state == PWK_PURCHASE_PLACED && now >= purchase->grant_until)
        move(site, purchase, PWK_EVENT_SHOWN, now, p);
    if (purchase->state == PWK_PURCHASE_UNKNOWN && now - purchase->looked >= apr_time_from_sec(PWK_LOOK_S)
        && pwk_ledger_lease(site->ledger, purchase, now, p) == APR_SUCCESS)
        search(site, purchase, now, p);
}
