#include "pwk_prices.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <stdlib.h>
#include <string.h>

#include "../core/pwk_json.h"
#include "../core/pwk_text.h"
#include "pwk_account.h"
#include "pwk_cache.h"
#include "pwk_refresh.h"

/* Fresh for ten minutes, asked again half a minute after a failure, and a last good answer kept for a week. */
enum { FRESH_S = 600, RETRY_S = 30, KEEP_S = 7 * 24 * 3600, WAIT_S = 2 };

/* What one package or campaign is called and costs. A quote is made once and never changed; readers of an old one
 * keep it alive by copying under the mutex. */
typedef struct {
    apr_time_t fetched; /* 0: never */
    apr_time_t tried;   /* the last attempt, good or not */
    int fetching;       /* a thread of this child is at it */
    char *text;         /* JSON {"name","description","periods":[…]}, malloc'ed; NULL: nothing known */
} quote;

static struct {
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *done;
    apr_hash_t
        *quotes; /* by site context and code, filled in child_init, so that it is never written to while serving */
} child;

static const char *key_of(const pwk_site *site, const char *code, apr_pool_t *p)
{
    return apr_pstrcat(p, site->context, "\n", code, NULL);
}

/* ---- asking ---- */

static json_t *periods_json(const apr_array_header_t *periods)
{
    json_t *list = json_array();
    for (int i = 0; i < periods->nelts; i++) {
        const pwk_period *period = &APR_ARRAY_IDX(periods, i, pwk_period);
        json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:i,s:I}", "id", period->id, "type", (int)period->type,
                                              "unit", period->unit, "length", period->length, "price",
                                              (json_int_t)period->price_minor));
    }
    return list;
}

/* One quote from Payway as text, in `p`; NULL when it could not be had as a whole. A refusal means that this code
 * cannot be bought or that a scope is missing: both are the publisher's to mend. */
static const char *ask(const pwk_site *site, const char *code, apr_pool_t *p)
{
    pwk_payway_request request = pwk_payway_periods_request(code, p);
    pwk_payway_answer answer;
    pwk_payway_product product;
    apr_array_header_t *periods;
    json_t *json;
    pwk_result result = pwk_account_call(&answer, site, &request, "/external/klarna_payments/r", p);
    if (result.outcome == PWK_OK)
        result = pwk_payway_read_periods(&periods, &answer, p);
    if (result.outcome == PWK_OK) {
        request = pwk_payway_product_request(code, p);
        result = pwk_account_call(&answer, site, &request, "/external/product/r", p);
    }
    if (result.outcome == PWK_OK)
        result = pwk_payway_read_product(&product, &answer, p);
    if (result.outcome != PWK_OK) {
        if (result.outcome == PWK_REFUSED)
            ap_log_error(
                APLOG_MARK, APLOG_ERR, 0, site->server,
                PWKLOG(
                    0060) "no price of %s: Payway refused (%s): check PaywayOffer code= and the scopes of API user %s",
                code, pwk_result_line(&result, p), site->client.client_id);
        else
            pwk_account_complain(site, &result, "reading prices", p);
        return NULL;
    }
    json = pwk_json_new(p);
    json_object_set_new(json, "name", json_string(product.name));
    json_object_set_new(json, "description", json_string(product.description));
    json_object_set_new(json, "periods", periods_json(periods));
    json_object_set_new(json, "fetched", json_integer(apr_time_sec(apr_time_now())));
    return pwk_json_dump(json, p);
}

static apr_time_t fetched_at(const char *text, apr_pool_t *p)
{
    json_t *json;
    json_int_t seconds = 0;
    if (pwk_json_object(&json, text, strlen(text), p).outcome == PWK_OK)
        pwk_json_int(json, "fetched", 0, INT64_C(1) << 40, &seconds);
    return apr_time_from_sec(seconds);
}

/* Takes the quote over from another child if it is fresh, else from Payway; else keeps what the cache has of it. */
static void fetch(const pwk_site *site, const char *code, apr_pool_t *p)
{
    quote *kept = apr_hash_get(child.quotes, key_of(site, code, p), APR_HASH_KEY_STRING);
    const char *text = NULL, *asked;
    void *bytes;
    apr_size_t len;
    apr_time_t now = apr_time_now(), fetched = 0;
    if (pwk_cache_get(&bytes, &len, site, "quote", code, p) == APR_SUCCESS) {
        text = bytes;
        fetched = fetched_at(text, p);
    }
    if (now - fetched >= apr_time_from_sec(FRESH_S) && (asked = ask(site, code, p))) {
        text = asked;
        fetched = now;
        pwk_cache_set(site, "quote", code, text, strlen(text), KEEP_S, p);
    }
    apr_thread_mutex_lock(child.mutex);
    if (text && fetched > kept->fetched) {
        char *old = kept->text;
        kept->text = strdup(text);
        if (kept->text) {
            kept->fetched = fetched;
            free(old);
        } else {
            kept->text = old;
        }
    }
    kept->tried = apr_time_now();
    kept->fetching = 0;
    apr_thread_cond_broadcast(child.done);
    apr_thread_mutex_unlock(child.mutex);
}

void pwk_prices_child_init(apr_pool_t *pchild, server_rec *s)
{
    child.quotes = NULL;
    if (apr_thread_mutex_create(&child.mutex, APR_THREAD_MUTEX_DEFAULT, pchild) != APR_SUCCESS
        || apr_thread_cond_create(&child.done, pchild) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     PWKLOG(0061) "no mutex for prices: walls show the texts of PaywayOffer alone");
        return;
    }
    child.quotes = apr_hash_make(pchild);
    for (; s; s = s->next) {
        const pwk_site *site = pwk_config_site(s);
        for (int i = 0; site && i < site->offers->nelts; i++) {
            const char *code = APR_ARRAY_IDX(site->offers, i, pwk_offer *)->code;
            apr_hash_set(child.quotes, key_of(site, code, pchild), APR_HASH_KEY_STRING,
                         apr_pcalloc(pchild, sizeof(quote)));
        }
    }
}

/* ---- showing ---- */

/* The text of the quote, in `p`; starts a fetch where it is due, and waits for it only while nothing at all is
 * known. */
static const char *text_of(const pwk_site *site, const char *code, apr_pool_t *p)
{
    quote *kept = child.quotes ? apr_hash_get(child.quotes, key_of(site, code, p), APR_HASH_KEY_STRING) : NULL;
    apr_time_t now = apr_time_now();
    const char *text;
    int due;
    if (!kept)
        return NULL;
    apr_thread_mutex_lock(child.mutex);
    due = !kept->fetching && now - kept->fetched >= apr_time_from_sec(FRESH_S)
          && now - kept->tried >= apr_time_from_sec(RETRY_S);
    if (due)
        kept->fetching = 1;
    if (due && kept->text) {
        if (!pwk_refresh_queue(site, apr_pstrcat(p, "quote ", code, NULL), fetch, code))
            kept->fetching = 0;
    } else if (due) {
        apr_thread_mutex_unlock(child.mutex);
        fetch(site, code, p);
        apr_thread_mutex_lock(child.mutex);
    } else {
        apr_time_t until = now + apr_time_from_sec(WAIT_S);
        while (!kept->text && kept->fetching && apr_time_now() < until)
            apr_thread_cond_timedwait(child.done, child.mutex, until - apr_time_now());
    }
    text = kept->text ? apr_pstrdup(p, kept->text) : NULL;
    apr_thread_mutex_unlock(child.mutex);
    return text;
}

static apr_array_header_t *read_periods(const json_t *list, apr_pool_t *p)
{
    apr_array_header_t *periods = apr_array_make(p, 4, sizeof(pwk_period));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *from = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(from, "id")),
                   *unit = json_string_value(json_object_get(from, "unit"));
        pwk_period *period = apr_array_push(periods);
        period->id = apr_pstrdup(p, id);
        period->unit = apr_pstrdup(p, unit);
        period->type = (pwk_period_type)json_integer_value(json_object_get(from, "type"));
        period->length = (int)json_integer_value(json_object_get(from, "length"));
        period->price_minor = json_integer_value(json_object_get(from, "price"));
    }
    return periods;
}

void pwk_prices_show(pwk_offer_shown *shown, const pwk_site *site, const pwk_offer *offer, apr_pool_t *p)
{
    const char *text = text_of(site, offer->code, p);
    apr_array_header_t *periods = NULL;
    json_t *json;
    *shown = (pwk_offer_shown){.offer = offer, .start = pwk_offer_start(offer, apr_time_now(), p)};
    if (text && pwk_json_object(&json, text, strlen(text), p).outcome == PWK_OK) {
        pwk_payway_product *product = apr_palloc(p, sizeof(*product));
        product->name = apr_pstrdup(p, json_string_value(json_object_get(json, "name")));
        product->description = apr_pstrdup(p, json_string_value(json_object_get(json, "description")));
        if (product->name && product->description)
            shown->product = product;
        periods = read_periods(json_object_get(json, "periods"), p);
    }
    shown->periods = pwk_offer_periods(offer, periods, p);
}

static void add(apr_array_header_t *list, const pwk_site *site, const pwk_offer *offer, const char *selected,
                apr_pool_t *p)
{
    pwk_offer_shown *shown = apr_array_push(list);
    pwk_prices_show(shown, site, offer, p);
    shown->selected = selected && !strcmp(selected, offer->name);
}

const pwk_offer *pwk_prices_offer(const pwk_site *site, const char *name)
{
    for (int i = 0; i < site->offers->nelts; i++) {
        const pwk_offer *offer = APR_ARRAY_IDX(site->offers, i, pwk_offer *);
        if (!strcmp(offer->name, name))
            return offer;
    }
    return NULL;
}

apr_array_header_t *pwk_prices_offers(const pwk_site *site, const pwk_dir *dir, const pwk_requirement *requirement,
                                      const char *selected, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 4, sizeof(pwk_offer_shown));
    for (int i = 0; dir->offers && i < dir->offers->nelts; i++) {
        const pwk_offer *offer = pwk_prices_offer(site, APR_ARRAY_IDX(dir->offers, i, const char *));
        if (offer)
            add(list, site, offer, selected, p);
    }
    for (int i = 0; !dir->offers && i < site->offers->nelts; i++) {
        const pwk_offer *offer = APR_ARRAY_IDX(site->offers, i, pwk_offer *);
        if (!requirement->codes || pwk_offer_opens(offer, requirement->codes, requirement->count))
            add(list, site, offer, selected, p);
    }
    return list;
}
