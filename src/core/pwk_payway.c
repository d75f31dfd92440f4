#include "pwk_payway.h"

#include <string.h>

#include <apr_strings.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"

#define API "/external/api"
#define TOKEN_LIFE_MIN_S 60
#define TOKEN_LIFE_MAX_S (24 * 3600)

/* --- what we ask --- */

static pwk_payway_request get(const char *path)
{
    return (pwk_payway_request){.method = "GET", .path = path};
}

pwk_payway_request pwk_payway_token_request(const char *client_id, const char *secret, const char *scope,
                                            const char *ticket, apr_pool_t *p)
{
    const char *body =
        apr_pstrcat(p, "grant_type=", ticket ? "ticket" : "none", "&client_id=", pwk_text_urlencode(client_id, p),
                    "&client_secret=", pwk_text_urlencode(secret, p), "&scope=", pwk_text_urlencode(scope, p),
                    ticket ? "&ticket=" : NULL, ticket ? pwk_text_urlencode(ticket, p) : NULL, NULL);

    return (pwk_payway_request){
        .method = "POST",
        .path = "/api/authorization/access_token",
        .content_type = "application/x-www-form-urlencoded",
        .body = body,
        .once = ticket != NULL,
    };
}

pwk_payway_request pwk_payway_me_request(apr_pool_t *p)
{
    (void)p;
    return get(API "/v1/me");
}

pwk_payway_request pwk_payway_my_products_request(apr_pool_t *p)
{
    (void)p;
    return get(API "/v1/me/active_products");
}

pwk_payway_request pwk_payway_products_request(const char *account, apr_pool_t *p)
{
    return get(apr_pstrcat(p, API "/v1/accounts/active_products?account_id=", pwk_text_urlencode(account, p), NULL));
}

pwk_payway_request pwk_payway_periods_request(const char *code, apr_pool_t *p)
{
    return get(apr_pstrcat(p, API "/v2/klarna_payments/payment_periods?code=", pwk_text_urlencode(code, p), NULL));
}

pwk_payway_request pwk_payway_product_request(const char *code, apr_pool_t *p)
{
    return get(apr_pstrcat(p, API "/v2/products?product_code=", pwk_text_urlencode(code, p), NULL));
}

/* --- how an answer is judged --- */

/* What a status means when it is not a success; the first line that fits. For a refusal `code` is what we say when
 * Payway gives no word of its own. There is none for 404 on purpose: "not_found" is Payway's word about an account or
 * a product, and a proxy's page must not be able to say it. */
static const struct verdict {
    int from;
    int to;
    pwk_outcome outcome;
    const char *code;
    const char *detail;
} verdicts[] = {
    {300, 399, PWK_UNAVAILABLE, "redirected", "a redirect, which is never followed"},
    {401, 401, PWK_REFUSED, "unauthorized", "the client or the token was not accepted"},
    {403, 403, PWK_REFUSED, "forbidden", "the token may not do this; is a scope missing?"},
    {408, 408, PWK_UNAVAILABLE, "timeout", "Payway gave up waiting"},
    {429, 429, PWK_UNAVAILABLE, "rate_limited", "too many requests"},
    {400, 499, PWK_REFUSED, "refused", "Payway refused the request"},
    {500, 599, PWK_UNAVAILABLE, "server_error", "Payway failed"},
    {0, 0, PWK_UNAVAILABLE, "bad_status", "not a status that an answer can have"},
};

static const struct verdict *verdict_of(int status)
{
    const struct verdict *v = verdicts;

    while (v->to && (status < v->from || status > v->to)) {
        v++;
    }
    return v;
}

/* Whether the answer says that it is JSON. A captive portal, or a proxy with a page of its own, answers 200 too. */
static int is_json(const pwk_payway_answer *answer)
{
    static const char type[] = "application/json";
    const char *given = answer->content_type ? answer->content_type : "";

    if (strncasecmp(given, type, sizeof type - 1) != 0) {
        return 0;
    }
    given += sizeof type - 1;
    return *given == '\0' || *given == ';' || *given == ' ' || *given == '\t';
}

static pwk_result failure(const pwk_payway_answer *answer, pwk_outcome outcome, const char *code, const char *field,
                          const char *detail)
{
    pwk_result result = pwk_result_fail(outcome, APR_EGENERAL, code, detail);

    result.field = field;
    result.http_status = answer->status;
    result.retry_after_s = answer->retry_after_s;
    return result;
}

/* A refusal's code and field, as words; `json` is its body, or NULL. Its `message` is left where it is: free text may
 * name a person. The token endpoint speaks OAuth, where the word is called `error` (payway-api §5.1). */
static pwk_result refusal(const pwk_payway_answer *answer, const struct verdict *v, const json_t *json, apr_pool_t *p)
{
    const char *code = pwk_json_text(json, "code", PWK_CODE_MAX, p);
    const char *field = pwk_json_text(json, "field", PWK_CODE_MAX, p);

    code = code ? code : pwk_json_text(json, "error", PWK_CODE_MAX, p);
    return failure(answer, PWK_REFUSED, code && pwk_text_is_code(code) ? code : v->code,
                   field && pwk_text_is_code(field) ? field : "", v->detail);
}

pwk_result pwk_payway_read_object(const json_t **object, const pwk_payway_answer *answer, apr_pool_t *p)
{
    json_t *json = NULL;
    pwk_result result = is_json(answer)
                            ? pwk_json_object(&json, answer->body, answer->len, p)
                            : failure(answer, PWK_UNAVAILABLE, "bad_content_type", "", "a success that is not JSON");

    *object = json;
    if (answer->status < 200 || answer->status > 299) {
        const struct verdict *v = verdict_of(answer->status);

        return v->outcome == PWK_REFUSED ? refusal(answer, v, json, p)
                                         : failure(answer, v->outcome, v->code, "", v->detail);
    }
    result.http_status = answer->status;
    return result;
}

pwk_result pwk_payway_misshapen(const pwk_payway_answer *answer, const char *field)
{
    return failure(answer, PWK_UNAVAILABLE, "bad_answer", field,
                   "a success that lacks this member, or has it in another type");
}

static pwk_result success(const pwk_payway_answer *answer)
{
    pwk_result result = pwk_result_ok();

    result.http_status = answer->status;
    return result;
}

pwk_result pwk_payway_read_item(const json_t **item, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *object;
    pwk_result result = pwk_payway_read_object(&object, answer, p);

    *item = result.outcome == PWK_OK ? pwk_json_item(object) : NULL;
    return result.outcome == PWK_OK && !*item ? pwk_payway_misshapen(answer, "item") : result;
}

/* Whether `list`, the member `field`, is one; and not too long for us. */
static pwk_result judge_list(const json_t *list, const pwk_payway_answer *answer, const char *field)
{
    if (!json_is_array(list)) {
        return pwk_payway_misshapen(answer, field);
    }
    if (json_array_size(list) > PWK_ITEMS_MAX) {
        return failure(answer, PWK_UNAVAILABLE, "too_large", field, "a longer list than is ever read");
    }
    return success(answer);
}

pwk_result pwk_payway_read_items(const json_t **items, const json_t **object, const pwk_payway_answer *answer,
                                 apr_pool_t *p)
{
    pwk_result result = pwk_payway_read_object(object, answer, p);

    *items = NULL;
    if (result.outcome == PWK_OK) {
        const json_t *list = pwk_json_items(*object);

        result = judge_list(list, answer, "items");
        *items = result.outcome == PWK_OK ? list : NULL;
    }
    return result;
}

/* --- what is read --- */

/* How long a token is good for, clamped while still a double: 1e300 does not fit any integer. An answer that does not
 * say gets the shortest life; the worst of it is one request more. */
static long life_of(const json_t *item)
{
    const json_t *expires_in = json_object_get(item, "expires_in");
    double life_s = json_is_number(expires_in) ? json_number_value(expires_in) : 0;

    if (life_s < TOKEN_LIFE_MIN_S) {
        return TOKEN_LIFE_MIN_S;
    }
    return life_s > TOKEN_LIFE_MAX_S ? TOKEN_LIFE_MAX_S : (long)life_s;
}

pwk_result pwk_payway_read_token(pwk_payway_token *token, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *item;
    const char *access_token;
    pwk_result result = pwk_payway_read_item(&item, answer, p);

    *token = (pwk_payway_token){.access_token = ""};
    if (result.outcome != PWK_OK) {
        return result;
    }
    access_token = pwk_json_text(item, "access_token", PWK_TOKEN_MAX, p);
    if (!access_token || !pwk_text_is_visible(access_token, PWK_TOKEN_MAX)) {
        return pwk_payway_misshapen(answer, "access_token");
    }
    token->access_token = access_token;
    token->expires_in_s = life_of(item);
    return success(answer);
}

pwk_result pwk_payway_read_me(pwk_payway_me *me, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *item;
    const char *id;
    pwk_result result = pwk_payway_read_item(&item, answer, p);

    *me = (pwk_payway_me){.id = ""};
    if (result.outcome != PWK_OK) {
        return result;
    }
    id = pwk_json_text(item, "id", PWK_ACCOUNT_MAX, p);
    if (!id || !pwk_text_is_visible(id, PWK_ACCOUNT_MAX)) {
        return pwk_payway_misshapen(answer, "id");
    }
    me->id = id;
    return success(answer);
}

pwk_result pwk_payway_read_products(apr_array_header_t **codes, const char **account, const pwk_payway_answer *answer,
                                    apr_pool_t *p)
{
    const json_t *item;
    const json_t *products;
    const char *id;
    pwk_result result = pwk_payway_read_item(&item, answer, p);

    *codes = apr_array_make(p, 8, sizeof(const char *));
    *account = "";
    if (result.outcome != PWK_OK) {
        return result;
    }
    products = json_object_get(item, "active_products");
    result = judge_list(products, answer, "active_products");
    if (result.outcome != PWK_OK) {
        return result;
    }
    for (size_t i = 0; i < json_array_size(products); i++) {
        const char *code = json_string_value(json_array_get(products, i));

        if (code && pwk_text_is_code(code)) {
            APR_ARRAY_PUSH(*codes, const char *) = apr_pstrdup(p, code);
        }
    }
    id = pwk_json_text(item, "id", PWK_ACCOUNT_MAX, p);
    if (id && pwk_text_is_visible(id, PWK_ACCOUNT_MAX)) {
        *account = id;
    }
    return success(answer);
}

/* Which of `words` (NULL-terminated) `member` is; NULL for none. */
static const char *word_among(const json_t *member, const char *const *words)
{
    const char *text = json_string_value(member);

    while (text && *words && strcmp(text, *words) != 0) {
        words++;
    }
    return text ? *words : NULL;
}

/* Reads "210", "210.5" or "99.90" as öre. Decimals past the second must be 0: half an öre is nobody's price, and
 * rounding it would show what Klarna does not charge. */
static int read_minor(apr_int64_t *minor, const char *text)
{
    static const char digits[] = "0123456789";
    size_t kronor = strspn(text, digits);
    const char *rest = text + kronor;
    apr_int64_t value = 0;

    /* Nine digits are more than any price has, and far from what overflows. */
    if (kronor < 1 || kronor > 9) {
        return 0;
    }
    if (*rest == '.') {
        rest++;
        if (strspn(rest, digits) == 0) {
            return 0;
        }
    }
    for (size_t i = 0; i < kronor; i++) {
        value = value * 10 + (text[i] - '0');
    }
    for (int i = 0; i < 2; i++) {
        value = value * 10 + (*rest >= '0' && *rest <= '9' ? *rest++ - '0' : 0);
    }
    rest += strspn(rest, "0");
    if (*rest || value > PWK_PRICE_MAX) {
        return 0;
    }
    *minor = value;
    return 1;
}

/* A price, in kronor as number or text. No arithmetic on doubles: jansson has made one of `99.90`, but one with up to
 * 15 significant digits, written out with 15, is the decimal that was read (DBL_DIG), and a price within
 * PWK_PRICE_MAX has 9. So 99.90 comes back as "99.9", never as 99.900000000000006, 99.905 keeps its third decimal and
 * is passed over, and 1e300, still with its "e", is no price. jansson writes the point whatever the locale. */
static int read_price(apr_int64_t *minor, const json_t *price)
{
    char number[32];
    size_t len;

    if (json_is_string(price)) {
        return json_string_length(price) < sizeof number && read_minor(minor, json_string_value(price));
    }
    if (!json_is_number(price)) {
        return 0;
    }
    len = json_dumpb(price, number, sizeof number - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (len == 0 || len > sizeof number - 1) {
        return 0;
    }
    number[len] = '\0';
    return read_minor(minor, number);
}

static int read_period(pwk_period *period, const json_t *item, apr_pool_t *p)
{
    static const char *const methods[] = {"klarna_payments", NULL};
    static const char *const types[] = {[PWK_PERIOD_LIMITED] = "limited", [PWK_PERIOD_RECURRING] = "recurring", NULL};
    static const char *const units[] = {"day", "week", "month", "year", NULL};
    const char *type = word_among(json_object_get(item, "type"), types);
    json_int_t length;

    period->id = pwk_json_text(item, "id", PWK_ACCOUNT_MAX, p);
    period->unit = word_among(json_object_get(item, "iteration_type"), units);
    if (!json_is_true(json_object_get(item, "enabled")) || !word_among(json_object_get(item, "payment_method"), methods)
        || !period->id || !pwk_text_is_id(period->id) || !type || !period->unit
        || !pwk_json_int(item, "iteration_length", 1, PWK_PERIOD_LENGTH_MAX, &length)
        || !read_price(&period->price_minor, json_object_get(item, "price"))) {
        return 0;
    }
    period->type = type == types[PWK_PERIOD_RECURRING] ? PWK_PERIOD_RECURRING : PWK_PERIOD_LIMITED;
    period->length = (int)length;
    return 1;
}

pwk_result pwk_payway_read_periods(apr_array_header_t **periods, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *object;
    const json_t *items;
    pwk_result result = pwk_payway_read_items(&items, &object, answer, p);

    *periods = apr_array_make(p, 4, sizeof(pwk_period));
    if (result.outcome != PWK_OK) {
        return result;
    }
    for (size_t i = 0; i < json_array_size(items) && (*periods)->nelts < PWK_PERIODS_MAX; i++) {
        pwk_period period;

        if (read_period(&period, json_array_get(items, i), p)) {
            APR_ARRAY_PUSH(*periods, pwk_period) = period;
        }
    }
    return success(answer);
}

pwk_result pwk_payway_read_product(pwk_payway_product *product, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *item;
    const char *name;
    pwk_result result = pwk_payway_read_item(&item, answer, p);

    *product = (pwk_payway_product){.name = "", .description = ""};
    if (result.outcome != PWK_OK) {
        return result;
    }
    name = pwk_text_clean(json_string_value(json_object_get(item, "name")), PWK_TEXT_MAX, p);
    if (!*name) {
        return pwk_payway_misshapen(answer, "name");
    }
    product->name = name;
    product->description = pwk_text_clean(json_string_value(json_object_get(item, "description")), PWK_TEXT_MAX, p);
    return success(answer);
}
