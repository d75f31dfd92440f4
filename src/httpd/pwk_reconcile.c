#include "pwk_reconcile.h"

#include <apr_strings.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_ledger.h"
#include "pwk_point.h"

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
    /* A day from now, however long it took: whoever paid has waited long enough. */
    pwk_purchase_set_grant(purchase, now);
    if (move(site, purchase, PWK_EVENT_FOUND, now, p))
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, site->server,
                     PWKLOG(0143) "purchase %s: its answer was lost; Payway has the order (%s)", purchase->id,
                     *order_id ? order_id : "by the products alone");
}

/* Whether it gave its products: before the claim the reader lacked them, Payway shows them by now, and nothing else can have given
 * them. An order that never left, and another purchase that went through between the reading of the products and the claim, look
 * the same. APR_NOTFOUND: it did not; any other: could not find out. */
static apr_status_t find_given(const pwk_site *site, const pwk_purchase *purchase, apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_purchase other;
    apr_time_t since = purchase->created - apr_time_from_sec(PWK_CLOCK_LEEWAY_S);
    apr_status_t rv = pwk_ledger_finished(&other, site->ledger, purchase, since, p);
    if (rv != APR_NOTFOUND)
        return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
    if (pwk_account_products(&codes, site, purchase->account, p).outcome != PWK_OK)
        return APR_EGENERAL;
    return pwk_grants_has_all(codes, pwk_grants_products(purchase, p)) ? APR_SUCCESS : APR_NOTFOUND;
}

/* A complete list without the order is a reading, not yet a proof: Payway may book late, Klarna's authorization could still
 * be used, and products that are there say otherwise. Readings count when they lie apart: a clock that jumps proves nothing. */
static void absent(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_time_t since = now - purchase->changed, age = now - purchase->claimed;
    apr_time_t skew = apr_time_from_sec(PWK_CLOCK_SKEW_S), life = apr_time_from_sec(PWK_AUTHORIZATION_LIFE_S);
    /* What lies in the future was written by a clock that has been set back since: then readings alone tell the age. */
    int counts = since >= apr_time_from_sec(PWK_NEGATIVE_GAP_S) || since < -skew, set_back = age < -skew;
    if (counts && pwk_ledger_note_absent(site->ledger, purchase, now, p) != APR_SUCCESS)
        return;
    if (purchase->negatives < (set_back ? PWK_NEGATIVES_SET_BACK : PWK_NEGATIVES_MIN) || (age < life && !set_back)
        || find_given(site, purchase, p) != APR_NOTFOUND)
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
        if (!all->count && (one.count || (one.open && !all->open)))
            all->order_id = one.order_id;
        all->count += one.count;
        all->open += one.open;
        all->complete = one.complete;
        all->more = one.more;
    }
    return result;
}

/* 0: Payway could not be asked. */
static int search(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    pwk_order_search all;
    pwk_result result = read_orders(&all, site, purchase, p);
    int asked = result.outcome != PWK_UNAVAILABLE;
    PWK_POINT("P12");
    if (all.count > 1)
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, site->server,
            PWKLOG(0145) "purchase %s: Payway has %d orders with its reference: look whether one must be refunded",
            purchase->id, all.count);
    if (all.count) {
        found(site, purchase, all.order_id, now, p);
    } else if (!asked) {
        pwk_account_complain(site, &result, "searching for an order", p);
    } else if (result.outcome == PWK_OK && all.complete && !all.open) {
        absent(site, purchase, now, p);
    } else if (find_given(site, purchase, p) == APR_SUCCESS) {
        /* Without a list of orders that can be read, or with one that is not closed, the products say enough to end the
         * waiting. */
        found(site, purchase, all.open ? all.order_id : "", now, p);
    }
    /* An outage that lasts as long is waited for as long again. */
    if (purchase->state == PWK_PURCHASE_UNKNOWN
        && now - purchase->claimed >= (asked ? 1 : 2) * apr_time_from_sec(PWK_UNKNOWN_S))
        give_up(site, purchase, now, p);
    return asked;
}

/* The right to look, once in a while over all hosts. A look in the future was made by a clock that has been set back since. */
static int may_look(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_time_t since = now - purchase->looked;
    return (since >= apr_time_from_sec(PWK_LOOK_S) || since < -apr_time_from_sec(PWK_CLOCK_SKEW_S))
           && pwk_ledger_lease(site->ledger, purchase, now, p) == APR_SUCCESS;
}

/* What time alone decides, and the order of an UNKNOWN one. */
static int look(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    int asked = 1;
    if (purchase->state == PWK_PURCHASE_CREATED && now >= purchase->expires)
        move(site, purchase, PWK_EVENT_AGED, now, p);
    if (pwk_purchase_is_overdue(purchase, now) && move(site, purchase, PWK_EVENT_OVERDUE, now, p))
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, site->server,
                     PWKLOG(0146) "purchase %s: no answer in time, whoever sent the order is gone; it is looked for",
                     purchase->id);
    if (purchase->state == PWK_PURCHASE_UNKNOWN && may_look(site, purchase, now, p))
        asked = search(site, purchase, now, p);
    /* What starts later is waited for by nobody. A day is what products are opened for; whoever is still without them then is
     * customer service's, and may buy again. */
    if (purchase->state == PWK_PURCHASE_PLACED
        && (now >= purchase->grant_until || pwk_purchase_starts_later(purchase, now)))
        move(site, purchase, PWK_EVENT_SHOWN, now, p);
    return asked;
}

void pwk_reconcile_look(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p)
{
    look(site, purchase, apr_time_from_sec(apr_time_sec(apr_time_now())), p);
}

/* ---- without a reader ---- */

pwk_result pwk_reconcile_settle(const pwk_site *site, const char *account, apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_result result = pwk_account_products(&codes, site, account, p);
    if (result.outcome == PWK_OK)
        result = pwk_grants_add(codes, site, account, NULL, p);
    if (result.outcome != PWK_OK)
        pwk_account_complain(site, &result, "reading products after a purchase", p);
    return result;
}

/* Whether Payway shows what a PLACED one bought; once a quarter of an hour has passed somebody is told, at each look. */
static int look_for_products(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    apr_time_t waited = now - purchase->grant_from;
    pwk_purchase fresh;
    pwk_result result = pwk_reconcile_settle(site, purchase->account, p);
    if (result.outcome != PWK_OK || pwk_ledger_read(&fresh, site->ledger, purchase->id, p) != APR_SUCCESS)
        return result.outcome != PWK_UNAVAILABLE;
    *purchase = fresh;
    if (purchase->state == PWK_PURCHASE_PLACED && waited > apr_time_from_sec(PWK_GRANT_ALARM_S))
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, site->server,
            PWKLOG(0140) "purchase %s: Payway does not show its products %d minutes after the order %s; they are "
                         "open to the reader for a day: look at the order in Payway Admin",
            purchase->id, (int)(apr_time_sec(waited) / 60), *purchase->order_id ? purchase->order_id : "-");
    return 1;
}

/* Payway said that it was not completed. Should there be an order all the same, somebody has to decide: it may have been
 * charged. */
static int look_again(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    pwk_order_search all;
    pwk_result result = read_orders(&all, site, purchase, p);
    if (result.outcome == PWK_UNAVAILABLE)
        pwk_account_complain(site, &result, "searching for an order", p);
    if (!all.count || *purchase->order_id)
        return result.outcome != PWK_UNAVAILABLE;
    purchase->order_id = all.order_id;
    if (move(site, purchase, PWK_EVENT_CONTRADICTED, now, p))
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, 0, site->server,
            PWKLOG(0161) "purchase %s: Payway said that it was not completed (%s), and has the order %s: look in "
                         "Payway Admin whether it was paid; then it must be refunded, or its products given",
            purchase->id, purchase->error, *all.order_id ? all.order_id : "-");
    return 1;
}

int pwk_reconcile_due(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p)
{
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    if (!look(site, purchase, now, p))
        return 0;
    if (purchase->state == PWK_PURCHASE_PLACED && may_look(site, purchase, now, p))
        return look_for_products(site, purchase, now, p);
    if (purchase->state == PWK_PURCHASE_FAILED && may_look(site, purchase, now, p))
        return look_again(site, purchase, now, p);
    /* Put off by what its schedule says, or it would be due for ever. */
    if (purchase->state == PWK_PURCHASE_CREATED)
        pwk_ledger_lease(site->ledger, purchase, now, p);
    return 1;
}
