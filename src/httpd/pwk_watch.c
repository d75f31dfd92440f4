#include "pwk_watch.h"

#include <apr_atomic.h>
#include <apr_optional.h>
#include <mod_watchdog.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "pwk_account.h"
#include "pwk_ledger.h"
#include "pwk_purchases.h"
#include "pwk_reconcile.h"
#include "pwk_shared.h"
#include "pwk_upstream.h"

enum { ASK_S = 60 };
#define ROUND APR_USEC_PER_SEC
#define SWEEP apr_time_from_sec(3600)
#define END_WITHIN apr_time_from_sec(5)

/* Of this child. The watchdog's thread may be there before child_init, and is waited for by nobody but us. */
static struct {
    volatile apr_uint32_t open, at_work;
    apr_time_t swept;
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

static void look_at_due(const pwk_site *site, server_rec *s, apr_pool_t *p)
{
    apr_array_header_t *due;
    apr_pool_t *one;
    if (pwk_ledger_due(&due, site->ledger, site->client.organisation, site->environment, apr_time_now(), p)
        != APR_SUCCESS)
        return;
    pwk_purchases_note_works(site, s);
    apr_pool_create(&one, p);
    for (int i = 0; i < due->nelts && apr_atomic_read32(&rounds.open); i++) {
        pwk_purchase *purchase = &APR_ARRAY_IDX(due, i, pwk_purchase);
        apr_pool_clear(one);
        /* The next would have to wait for the same. */
        if (!pwk_reconcile_due(site_of(purchase, site, s), purchase, one))
            break;
    }
    apr_pool_destroy(one);
}

/* Whether lost answers can be found out at all is said once after a start, not when the first is lost. While Payway cannot be
 * asked it is asked each minute. */
static void ask_for_orders(const pwk_site *site, apr_pool_t *p)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now()),
                 asked = apr_atomic_read32(&site->shared->orders_asked);
    pwk_result result;
    if (asked == PWK_SHARED_KNOWN || now - asked < ASK_S)
        return;
    apr_atomic_set32(&site->shared->orders_asked, now);
    result = pwk_account_may(site, PWK_SCOPE_ORDERS, p);
    if (result.outcome == PWK_UNAVAILABLE)
        return;
    apr_atomic_set32(&site->shared->orders_asked, PWK_SHARED_KNOWN);
    if (result.outcome != PWK_OK)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, site->server,
                     PWKLOG(0157) "API user %s has not the scope %s: an order whose answer is lost is found out by its "
                                  "products alone, and by an operator where they do not show it",
                     site->client.client_id, PWK_SCOPE_ORDERS);
}

static void sweep(const pwk_site *site, apr_time_t now, apr_pool_t *p)
{
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
}

static int was_seen(const pwk_site *site, server_rec *s)
{
    for (; s != site->server; s = s->next) {
        if (pwk_purchases_is_beside(pwk_config_site(s), site))
            return 1;
    }
    return 0;
}

static void go_round(server_rec *s, apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    int sweeps = now - rounds.swept >= SWEEP || now < rounds.swept;
    for (server_rec *at = s; at && apr_atomic_read32(&rounds.open); at = at->next) {
        const pwk_site *site = pwk_config_site(at);
        if (!site || !site->ledger)
            continue;
        ask_for_orders(site, p);
        if (was_seen(site, s))
            continue;
        look_at_due(site, s, p);
        if (sweeps)
            sweep(site, now, p);
    }
    if (sweeps)
        rounds.swept = now;
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
    rounds.swept = 0;
    apr_pool_pre_cleanup_register(pchild, NULL, stop);
    apr_atomic_set32(&rounds.open, 1);
}
