#include "pwk_reconcile.h"

#include <apr_strings.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_ledger.h"

/* Pages of one account's orders that are read at most. */
enum { PAGES_MAX = 20 };

/* Moves it; 0: not so, and when somebody else did something meanwhile, it is read how it stands. What was not done is not logged. */
static int move(const pwk_site *site, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now, apr_pool_t *p)
{
    pwk_purchase fresh;
    apr_status_t rv = pwk_ledger_move(site->ledger, purchase, event, now, p);
    if (rv == APR_EBUSY && pwk_ledger_read(&fresh, site->ledger, purchase->id, p) == APR_SUCCESS)
        *purchase = fresh;
    return rv == APR_SUCCESS;
}

static void found(const pwk_site *site, pwk_purchase *purchase, const char *order_id, apr_time_t now, apr_pool_t *p)
{
    purchase->order_id = order_id;
    if (move(site, purchase, PWK_EVENT_FOUND, now, p))
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, site->server,
                     PWKLOG(0143) "purchase %s: its answer was lost; Payway has the order (%s)", purchase->id,
                     *order_id ? order_id : "by the products alone");
}

/* Whether Payway shows by now what the purchase gives: before the claim the reader lacked it. */
static int is_shown(const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_result result = pwk_account_products(&codes, site, purchase->account, p);
    return result.outcome == PWK_OK && pwk_grants_has_all(codes, pwk_grants_products(purchase, p));
}

/* Whether nothing else can have given the products: an order that never left, and another purchase that went through between the
 * reading of the products and its claim, look the same. */
static int is_alone(const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p)
{
    pwk_purchase other;
    return pwk_ledger_finished(&other, site->ledger, purchase,
                               purchase->created - apr_time_from_sec(PWK_CLOCK_LEEWAY_S), p)
           == APR_NOTFOUND;
}

/* A complete list without the order is a reading, not yet a proof: Payway may book late, Klarna's authorization could still
 * be used, and products that are there say otherwise. */
static void absent(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    if (pwk_ledger_note_absent(site->ledger, purchase, now, p) != APR_SUCCESS || purchase->negatives < PWK_NEGATIVES_MIN
        || now - purchase->claimed < apr_time_from_sec(PWK_AUTHORIZATION_LIFE_S) || is_shown(site, purchase, p))
        return;
    purchase->error = "order_absent";
    if (move(site, purchase, PWK_EVENT_ABSENT, now, p))
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, site->server,
                     PWKLOG(0144) "purchase %s: its answer was lost; Payway has no such order, and it was not charged",
                     purchase->id);
}

/* Nobody can find it out any more by asking. */
static void give_up(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    if (move(site, purchase, PWK_EVENT_CONTRADICTED, now, p))
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, 0, site->server,
            PWKLOG(
                0156) "purchase %s: two days after its answer was lost nobody can say whether there is an order; the "
                      "account buys nothing more until somebody has looked in Payway Admin: does API user %s have "
                      "the scope %s?",
            purchase->id, site->client.client_id, PWK_SCOPE_ORDERS);
}

/* All pages of the account's orders, as one answer. */
static pwk_result read_orders(pwk_order_search *all, const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p)
{
    pwk_result result = pwk_result_ok();
    *all = (pwk_order_search){.order_id = "", .more = 1};
    for (int page = 1; result.outcome == PWK_OK && all->more && page <= PAGES_MAX; page++) {
        pwk_payway_request request = pwk_order_list_request(purchase->account, page, p);
        pwk_payway_answer answer;
        pwk_order_search one = {0};
        result = pwk_account_call(&answer, site, &request, PWK_SCOPE_ORDERS, p);
        if (result.outcome == PWK_OK)
            result = pwk_order_read_list(&one, purchase->id, &answer, p);
        if (result.outcome != PWK_OK)
            break;
        if (!all->count)
            all->order_id = one.order_id;
        all->count += one.count;
        all->complete = one.complete;
        all->more = one.more;
    }
    return result;
}

static void search(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    pwk_order_search all;
    pwk_result result = read_orders(&all, site, purchase, p);
    if (all.count > 1)
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, site->server,
            PWKLOG(0145) "purchase %s: Payway has %d orders with its reference: look whether one must be refunded",
            purchase->id, all.count);
    if (all.count) {
        found(site, purchase, all.order_id, now, p);
    } else if (result.outcome == PWK_OK && all.complete) {
        absent(site, purchase, now, p);
    } else if (result.outcome == PWK_UNAVAILABLE) {
        pwk_account_complain(site, &result, "searching for an order", p);
    } else if (is_shown(site, purchase, p) && is_alone(site, purchase, p)) {
        /* Without a list of orders that can be read, the products say enough to end the waiting. */
        found(site, purchase, "", now, p);
    }
    if (purchase->state == PWK_PURCHASE_UNKNOWN && now - purchase->claimed >= apr_time_from_sec(PWK_UNKNOWN_S))
        give_up(site, purchase, now, p);
}

void pwk_reconcile_look(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p)
{
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    if (purchase->state == PWK_PURCHASE_CREATED && now >= purchase->expires)
        move(site, purchase, PWK_EVENT_AGED, now, p);
    if (purchase->state == PWK_PURCHASE_PLACING && now > purchase->due
        && move(site, purchase, PWK_EVENT_OVERDUE, now, p))
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, site->server,
                     PWKLOG(0146) "purchase %s: no answer in time, whoever sent the order is gone; it is looked for",
                     purchase->id);
    if (purchase->state == PWK_PURCHASE_UNKNOWN && now - purchase->looked >= apr_time_from_sec(PWK_LOOK_S)
        && pwk_ledger_lease(site->ledger, purchase, now, p) == APR_SUCCESS)
        search(site, purchase, now, p);
    /* What starts later is waited for by nobody. A day is what products are opened for; whoever is still without them then is
     * customer service's, and may buy again. */
    if (purchase->state == PWK_PURCHASE_PLACED
        && (now >= purchase->grant_until || pwk_purchase_starts_later(purchase, now)))
        move(site, purchase, PWK_EVENT_SHOWN, now, p);
}
