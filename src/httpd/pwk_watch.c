#include "pwk_watch.h"

#include <apr_atomic.h>
#include <apr_optional.h>
#include <mod_watchdog.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "pwk_account.h"
#include "pwk_ledger.h"
#include "pwk_purchases.h"
#include "pwk_reconcile.h"
#include "pwk_shared.h"
#include "pwk_upstream.h"

enum { ASK_S = 60 };
#define NOBODY "000000000000000000000000" /* an account that there is not */
#define ROUND APR_USEC_PER_SEC
#define ROUND_MAX apr_time_from_sec(10) /* for one site, when very much is due */
#define TRY apr_time_from_sec(30)
#define SWEEP apr_time_from_sec(3600)
#define NEGLECT apr_time_from_sec(3600)
#define END_WITHIN apr_time_from_sec(5)

/* Of this child. The watchdog's thread may be there before child_init, and is waited for by nobody but us. */
static struct {
    volatile apr_uint32_t open, at_work;
    apr_time_t swept, tried;
} rounds;

/* ---- one round ---- */

/* The virtual host that sold it, or another of the same organisation: whoever sold it may be served by another host. */
static const pwk_site *site_of(const pwk_purchase *purchase, const pwk_site *any, server_rec *s)
{
    for (; s; s = s->next) {
        const pwk_site *site = pwk_config_site(s);
        if (pwk_purchases_is_beside(site, any) && !strcmp(site->base_url, purchase->site))
            return site;
    }
    return any;
}

/* Walls say that nothing is sold while the ledger cannot be written to, and a SELECT does not tell. */
static int is_writable(const pwk_site *site, server_rec *s, apr_time_t now, apr_pool_t *p)
{
    int fails = pwk_purchases_ledger_fails(site, now);
    if (!fails && now - rounds.tried < TRY && now >= rounds.tried)
        return 1;
    if (pwk_ledger_try(site->ledger, p) != APR_SUCCESS)
        return 0;
    pwk_purchases_note_works(site, s);
    return 1;
}

/* Whether more is due that can be done something about. 0 also when Payway could not be asked: the next would have to wait for
 * the same. */
static int look_at_some(int *silent, const pwk_site *site, server_rec *s, apr_pool_t *p)
{
    apr_array_header_t *due;
    apr_pool_t *one;
    apr_time_t now = apr_time_now();
    int moved = 0;
    if (pwk_ledger_due(&due, site->ledger, site->client.organisation, site->environment, now, p) != APR_SUCCESS)
        return 0;
    apr_pool_create(&one, p);
    for (int i = 0; i < due->nelts && !*silent && apr_atomic_read32(&rounds.open); i++) {
        pwk_purchase *purchase = &APR_ARRAY_IDX(due, i, pwk_purchase);
        apr_pool_clear(one);
        *silent = !pwk_reconcile_due(site_of(purchase, site, s), purchase, one);
        moved += purchase->next_look == 0 || purchase->next_look > now;
    }
    apr_pool_destroy(one);
    return moved && !*silent && apr_atomic_read32(&rounds.open);
}

/* Whether lost answers can be found out at all is said once after a start, not when the first is lost. While Payway cannot be
 * asked it is asked each minute; 0 then. */
static int ask_for_orders(const pwk_site *site, apr_pool_t *p)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now()),
                 asked = apr_atomic_read32(&site->shared->orders_asked);
    pwk_payway_request request;
    pwk_result result;
    if (asked == PWK_SHARED_KNOWN || now - asked < ASK_S)
        return 1;
    apr_atomic_set32(&site->shared->orders_asked, now);
    request = pwk_order_list_request(NOBODY, 1, p);
    result = pwk_account_may(site, &request, PWK_SCOPE_ORDERS, p);
    if (result.outcome == PWK_UNAVAILABLE)
        return 0;
    apr_atomic_set32(&site->shared->orders_asked, PWK_SHARED_KNOWN);
    if (result.outcome != PWK_OK)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, site->server,
                     PWKLOG(0157) "API user %s has not the scope %s: an order whose answer is lost is found out by its "
                                  "products alone, and by an operator where they do not show it",
                     site->client.client_id, PWK_SCOPE_ORDERS);
    return 1;
}

static void sweep(const pwk_site *site, apr_time_t now, apr_pool_t *p)
{
    pwk_purchase neglected;
    int forgotten = 0, all = 0;
    do {
        if (pwk_ledger_forget(&forgotten, site->ledger, now - apr_time_from_sec(PWK_KEEP_UNSOLD_S),
                              now - apr_time_from_sec(PWK_KEEP_S), p)
            != APR_SUCCESS)
            break;
        all += forgotten;
    } while (forgotten && apr_atomic_read32(&rounds.open));
    if (all)
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, site->server,
                     PWKLOG(0158) "%d old purchases were removed from the ledger", all);
    if (pwk_ledger_heal(&neglected, site->ledger, now - NEGLECT, p) == APR_SUCCESS)
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, site->server,
            PWKLOG(0162) "purchase %s of organisation %s, sold at %s, waits since more than an hour to be looked "
                         "at: is its virtual host gone?",
            neglected.id, neglected.organisation, neglected.site);
}

static int was_seen(const pwk_site *site, server_rec *s)
{
    for (; s != site->server; s = s->next) {
        if (pwk_purchases_is_beside(pwk_config_site(s), site))
            return 1;
    }
    return 0;
}

/* Of an API that was waited for in vain nothing more is asked in this round, for whatever site. */
static void go_round(server_rec *s, apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    const char *without = NULL;
    int sweeps = now - rounds.swept >= SWEEP || now < rounds.swept;
    for (server_rec *at = s; at && apr_atomic_read32(&rounds.open); at = at->next) {
        const pwk_site *site = pwk_config_site(at);
        int silent;
        if (!site || !site->ledger || (without && !strcmp(without, site->api)))
            continue;
        silent = !ask_for_orders(site, p);
        if (!was_seen(site, s) && is_writable(site, s, now, p)) {
            while (!silent && look_at_some(&silent, site, s, p) && apr_time_now() - now < ROUND_MAX)
                continue;
            if (sweeps)
                sweep(site, now, p);
        }
        if (silent)
            without = site->api;
    }
    if (sweeps)
        rounds.swept = now;
    if (now - rounds.tried >= TRY || now < rounds.tried)
        rounds.tried = now;
}

/* A callback that fails once is never called again. */
static apr_status_t on_watchdog(int state, void *data, apr_pool_t *p)
{
    apr_pool_t *own; /* the child may take its own away while a call is under way */
    (void)p;
    if (state != AP_WATCHDOG_STATE_RUNNING || apr_atomic_inc32(&rounds.at_work))
        return APR_SUCCESS;
    if (apr_atomic_read32(&rounds.open) && apr_pool_create_unmanaged_ex(&own, NULL, NULL) == APR_SUCCESS) {
        go_round(data, own);
        apr_pool_destroy(own);
    }
    apr_atomic_set32(&rounds.at_work, 0);
    return APR_SUCCESS;
}

/* ---- the beginning and the end ---- */

static int sells(server_rec *s)
{
    for (; s; s = s->next) {
        const pwk_site *site = pwk_config_site(s);
        if (site && site->ledger_driver)
            return 1;
    }
    return 0;
}

void pwk_watch_init(apr_pool_t *pconf, server_rec *s)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv = APR_ENOTIMPL;
    if (!sells(s))
        return;
    if (get && add)
        rv = get(&watchdog, "_payway_klarna_", 0, 1, pconf);
    if (rv == APR_SUCCESS)
        rv = add(watchdog, ROUND, s, on_watchdog);
    if (rv != APR_SUCCESS)
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, rv == APR_ENOTIMPL ? 0 : rv, s,
            PWKLOG(0159) "mod_watchdog does not serve: an order whose answer is lost is found out only when its "
                         "reader comes back: LoadModule watchdog_module");
}

static apr_status_t stop(void *data)
{
    apr_time_t until = apr_time_now() + END_WITHIN;
    (void)data;
    apr_atomic_set32(&rounds.open, 0);
    pwk_upstream_abandon();
    while (apr_atomic_read32(&rounds.at_work) && apr_time_now() < until)
        apr_sleep(apr_time_from_msec(20));
    return APR_SUCCESS;
}

void pwk_watch_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (!sells(s))
        return;
    rounds.swept = rounds.tried = 0;
    apr_pool_pre_cleanup_register(pchild, NULL, stop);
    apr_atomic_set32(&rounds.open, 1);
}
