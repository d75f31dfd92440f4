#include "pwk_facts.h"

#include <apr_strings.h>
#include <string.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"

/* Klarna Payments by Payway is Sweden alone, and the API names no currency (payway-api §3.6). */
#define CURRENCY "SEK"

const char *pwk_facts_amount(apr_int64_t minor, const char *language, apr_pool_t *p)
{
    int english = !strcmp(language, "en");
    const char *group = english ? "," : "\xc2\xa0", *point = english ? "." : ",";
    apr_int64_t whole = minor / 100;
    const char *text = "";
    for (; whole >= 1000; whole /= 1000)
        text = apr_psprintf(p, "%s%03d%s", group, (int)(whole % 1000), text);
    text = apr_psprintf(p, "%d%s", (int)whole, text);
    return minor % 100 ? apr_psprintf(p, "%s%s%02d", text, point, (int)(minor % 100)) : text;
}

static const char *type_word(pwk_period_type type)
{
    return type == PWK_PERIOD_LIMITED ? "limited" : "recurring";
}

static const char *title_of(const pwk_offer_shown *shown, const char *language)
{
    const char *title = pwk_offer_text(shown->offer->titles, language);
    return title ? title : shown->product ? shown->product->name : shown->offer->name;
}

static const char *description_of(const pwk_offer_shown *shown)
{
    return shown->product ? shown->product->description : "";
}

static void set(apr_table_t *vars, const char *name, const char *text, apr_pool_t *p)
{
    const char *clean = text ? pwk_text_clean(text, PWK_TEXT_MAX, p) : "";
    if (*clean)
        apr_table_setn(vars, name, clean);
    else
        apr_table_unset(vars, name);
}

void pwk_facts_offer(apr_table_t *vars, const pwk_offer_shown *shown, const char *language, apr_pool_t *p)
{
    const pwk_offer *offer = shown->offer;
    const pwk_period *period = shown->periods->nelts ? &APR_ARRAY_IDX(shown->periods, 0, pwk_period) : NULL;
    set(vars, "OFFER_NAME", offer->name, p);
    set(vars, "OFFER_ID", apr_pstrcat(p, "offer-", offer->name, NULL), p);
    set(vars, "OFFER_TITLE", title_of(shown, language), p);
    set(vars, "OFFER_DESCRIPTION", description_of(shown), p);
    set(vars, "OFFER_TYPE", type_word(period ? period->type : offer->type), p);
    set(vars, "OFFER_TRIAL", offer->trial ? "1" : NULL, p);
    set(vars, "OFFER_START", shown->start, p);
    set(vars, "OFFER_SELECTED", shown->selected ? "1" : NULL, p);
    set(vars, "OFFER_PERIODS", apr_itoa(p, shown->periods->nelts), p);
    set(vars, "OFFER_PRICE", period ? pwk_facts_amount(period->price_minor, language, p) : NULL, p);
    /* A trial has two prices, and the API names one: the publisher's words say what follows. */
    set(vars, "OFFER_PRICE_TEXT", period && !offer->trial ? NULL : pwk_offer_text(offer->prices, language), p);
    set(vars, "OFFER_PERIOD_UNIT", period ? period->unit : NULL, p);
    set(vars, "OFFER_PERIOD_LENGTH", period ? apr_itoa(p, period->length) : NULL, p);
}

void pwk_facts_period(apr_table_t *vars, const pwk_offer_shown *shown, int index, const char *language, apr_pool_t *p)
{
    const pwk_period *period = &APR_ARRAY_IDX(shown->periods, index, pwk_period);
    set(vars, "PERIOD_ID", period->id, p);
    set(vars, "PERIOD_INPUT_ID", apr_pstrcat(p, "period-", shown->offer->name, "-", period->id, NULL), p);
    set(vars, "PERIOD_PRICE", pwk_facts_amount(period->price_minor, language, p), p);
    set(vars, "PERIOD_UNIT", period->unit, p);
    set(vars, "PERIOD_LENGTH", apr_itoa(p, period->length), p);
    set(vars, "PERIOD_TYPE", type_word(period->type), p);
    set(vars, "PERIOD_CHECKED", index ? NULL : "1", p);
}

/* ---- what a purchase keeps ---- */

static json_t *texts_json(const apr_table_t *texts)
{
    const apr_array_header_t *all = apr_table_elts(texts);
    json_t *json = json_object();
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *text = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        json_object_set_new(json, text->key, json_string(text->val));
    }
    return json;
}

static apr_table_t *read_texts(json_t *json, apr_pool_t *p)
{
    apr_table_t *texts = apr_table_make(p, 2);
    const char *language;
    json_t *text;
    json_object_foreach(json, language, text)
    {
        if (json_is_string(text))
            apr_table_set(texts, language, json_string_value(text));
    }
    return texts;
}

const char *pwk_facts_write(const pwk_offer_shown *shown, const pwk_period *period, apr_pool_t *p)
{
    json_t *json = pwk_json_new(p), *kept;
    json_object_set_new(json, "titles", texts_json(shown->offer->titles));
    json_object_set_new(json, "prices", texts_json(shown->offer->prices));
    if (shown->product) {
        kept = json_object();
        json_object_set_new(kept, "name", json_string(shown->product->name));
        json_object_set_new(kept, "description", json_string(shown->product->description));
        json_object_set_new(json, "product", kept);
    }
    if (period) {
        kept = json_object();
        json_object_set_new(kept, "unit", json_string(period->unit));
        json_object_set_new(kept, "length", json_integer(period->length));
        json_object_set_new(kept, "price", json_integer(period->price_minor));
        json_object_set_new(json, "period", kept);
    }
    return pwk_json_dump(json, p);
}

static int read_kept_period(pwk_period *period, const json_t *kept, const pwk_purchase *purchase, apr_pool_t *p)
{
    json_int_t length, price;
    const char *unit = pwk_json_text(kept, "unit", PWK_CODE_MAX, p);
    if (!unit || !pwk_json_int(kept, "length", 1, PWK_PERIOD_LENGTH_MAX, &length)
        || !pwk_json_int(kept, "price", 0, PWK_PRICE_MAX, &price))
        return 0;
    *period = (pwk_period){
        .id = purchase->period, .type = purchase->type, .unit = unit, .length = (int)length, .price_minor = price};
    return 1;
}

void pwk_facts_read(pwk_offer_shown *shown, const pwk_purchase *purchase, apr_pool_t *p)
{
    pwk_offer *offer = apr_pcalloc(p, sizeof(*offer));
    json_t *json;
    const json_t *kept;
    pwk_period period;
    if (pwk_json_object(&json, purchase->facts, strlen(purchase->facts), p).outcome != PWK_OK)
        json = NULL;
    *offer = (pwk_offer){.name = purchase->offer,
                         .code = purchase->code,
                         .type = purchase->type,
                         .period = purchase->period,
                         .trial = purchase->trial,
                         .start = purchase->start,
                         .products = apr_array_make(p, 1, sizeof(const char *)),
                         .titles = read_texts(json_object_get(json, "titles"), p),
                         .prices = read_texts(json_object_get(json, "prices"), p)};
    *shown = (pwk_offer_shown){
        .offer = offer, .periods = apr_array_make(p, 1, sizeof(pwk_period)), .start = purchase->start};
    kept = json_object_get(json, "product");
    if (kept) {
        pwk_payway_product *product = apr_palloc(p, sizeof(*product));
        const char *name = json_string_value(json_object_get(kept, "name")),
                   *description = json_string_value(json_object_get(kept, "description"));
        product->name = apr_pstrdup(p, name ? name : purchase->code);
        product->description = apr_pstrdup(p, description ? description : "");
        shown->product = product;
    }
    if (read_kept_period(&period, json_object_get(json, "period"), purchase, p))
        APR_ARRAY_PUSH(shown->periods, pwk_period) = period;
}

int pwk_facts_has_price(const pwk_offer_shown *shown)
{
    return shown->periods->nelts > 0 || !apr_is_empty_table(shown->offer->prices);
}

/* ---- JSON ---- */

static void set_json(json_t *object, const char *name, const char *text, apr_pool_t *p)
{
    const char *clean = text ? pwk_text_clean(text, PWK_TEXT_MAX, p) : "";
    json_object_set_new(object, name, *clean ? json_string(clean) : json_null());
}

static json_t *json_of_offer(const pwk_offer_shown *shown, const char *language, apr_pool_t *p)
{
    json_t *offer = json_object(), *periods = json_array(), *products = json_array();
    set_json(offer, "name", shown->offer->name, p);
    set_json(offer, "title", title_of(shown, language), p);
    set_json(offer, "description", description_of(shown), p);
    set_json(offer, "price_text", shown->periods->nelts ? NULL : pwk_offer_text(shown->offer->prices, language), p);
    set_json(offer, "start", shown->start, p);
    json_object_set_new(offer, "trial", json_boolean(shown->offer->trial));
    for (int i = 0; i < shown->offer->products->nelts; i++)
        json_array_append_new(products, json_string(APR_ARRAY_IDX(shown->offer->products, i, const char *)));
    for (int i = 0; i < shown->periods->nelts; i++) {
        const pwk_period *from = &APR_ARRAY_IDX(shown->periods, i, pwk_period);
        json_t *period = json_object();
        set_json(period, "id", from->id, p);
        set_json(period, "type", type_word(from->type), p);
        set_json(period, "unit", from->unit, p);
        json_object_set_new(period, "length", json_integer(from->length));
        json_object_set_new(period, "price_minor", json_integer(from->price_minor));
        set_json(period, "currency", CURRENCY, p);
        json_array_append_new(periods, period);
    }
    json_object_set_new(offer, "products", products);
    json_object_set_new(offer, "periods", periods);
    return offer;
}

json_t *pwk_facts_json(const pwk_verdict *verdict, const pwk_requirement *requirement, const apr_array_header_t *offers,
                       const char *offers_url, const char *login_url, const char *language, apr_pool_t *p)
{
    json_t *json = pwk_json_new(p), *products = json_array(), *list = json_array();
    set_json(json, "verdict", pwk_verdict_word(verdict->kind), p);
    set_json(json, "reason", verdict->reason, p);
    for (int i = 0; i < requirement->count; i++)
        json_array_append_new(products, json_string(requirement->codes[i]));
    for (int i = 0; i < offers->nelts; i++)
        json_array_append_new(list, json_of_offer(&APR_ARRAY_IDX(offers, i, pwk_offer_shown), language, p));
    json_object_set_new(json, "products", products);
    json_object_set_new(json, "offers", list);
    json_object_set_new(json, "offers_url", json_string(offers_url));
    json_object_set_new(json, "login_url", json_string(login_url));
    return json;
}
