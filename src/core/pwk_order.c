#include "pwk_order.h"

#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define API "/external/api/v1"

/* --- what we ask --- */

static pwk_payway_request post(const char *path, const json_t *body, apr_pool_t *p)
{
    return (pwk_payway_request){
        .method = "POST",
        .path = path,
        .content_type = "application/json",
        .body = pwk_json_dump(body, p),
    };
}

static void set_text(json_t *body, const char *name, const char *text)
{
    json_object_set_new(body, name, json_string(text));
}

static void set_text_if(json_t *body, const char *name, const char *text)
{
    if (*text) {
        set_text(body, name, text);
    }
}

pwk_payway_request pwk_order_session_request(const pwk_purchase *purchase, const pwk_sale *sale,
                                             const char *confirmation_url, apr_pool_t *p)
{
    json_t *body = pwk_json_new(p);

    set_text(body, "code", purchase->code);
    set_text(body, "period_type", purchase->type == PWK_PERIOD_LIMITED ? "limited" : "recurring");
    set_text_if(body, "period_id", purchase->period);
    set_text(body, "confirmation_url", confirmation_url);
    set_text_if(body, "start_date", purchase->start);
    json_object_set_new(body, "disable_account_info_overwrite", json_boolean(sale->disable_account_info_overwrite));
    return post(API "/klarna_payments/create_session", body, p);
}

/* The API wants one. */
static const char *agent_of(const char *agent, apr_pool_t *p)
{
    const char *seen = pwk_text_printable(agent, PWK_USER_AGENT_MAX, p);

    return seen[strspn(seen, " ")] ? seen : "-";
}

/* The publisher's expression may have put anything into it, and an order is not worth losing for that: what the API
 * does not take becomes '-', what is too long is cut. */
static const char *traffic_source_of(const pwk_sale *sale, apr_pool_t *p)
{
    char *source = apr_pstrdup(p, pwk_text_clean(sale->traffic_source, PWK_TEXT_MAX, p));
    apr_size_t len = strlen(source);

    for (char *c = strpbrk(source, "<>{}()/\\"); c; c = strpbrk(c, "<>{}()/\\")) {
        *c = '-';
    }
    if (len > PWK_TRAFFIC_SOURCE_MAX) {
        len = PWK_TRAFFIC_SOURCE_MAX;
        while ((source[len] & 0xc0) == 0x80) { /* not inside a character */
            len--;
        }
        source[len] = '\0';
    }
    return source;
}

const char *pwk_order_reference(const char *id, const char *merchant_reference, apr_pool_t *p)
{
    char *reference = apr_pstrcat(p, id, *merchant_reference ? "_" : NULL, merchant_reference, NULL);

    if (strlen(reference) > PWK_REFERENCE_MAX) {
        reference[PWK_REFERENCE_MAX] = '\0';
    }
    for (char *c = reference; *c; c++) {
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", *c)) {
            *c = '-';
        }
    }
    return reference;
}

pwk_payway_request pwk_order_place_request(const pwk_purchase *purchase, const pwk_sale *sale, const char *session_id,
                                           const pwk_order_authorization *authorization, apr_pool_t *p)
{
    const struct {
        const char *name;
        int raises;
    } conditions[] = {
        {"raise_on_ssn_already_taken_error", sale->raise_on_ssn_already_taken_error},
        {"raise_on_ssn_already_set_error", sale->raise_on_ssn_already_set_error},
        {"raise_on_account_update_error", sale->raise_on_account_update_error},
        {"raise_on_delivery_address_error", sale->raise_on_delivery_address_error},
    };
    json_t *body = pwk_json_new(p);
    pwk_payway_request request;

    set_text(body, "klarna_authorization_token", authorization->token);
    set_text(body, "klarna_payments_session_id", session_id);
    set_text(body, "browser_ip", authorization->browser_ip);
    set_text(body, "browser_language", authorization->browser_language);
    set_text(body, "browser_user_agent", agent_of(authorization->browser_user_agent, p));
    set_text_if(body, "traffic_source", traffic_source_of(sale, p));
    set_text(body, "merchant_reference", pwk_order_reference(purchase->id, sale->merchant_reference, p));
    for (size_t i = 0; i < COUNT(conditions); i++) {
        json_object_set_new(body, conditions[i].name, json_boolean(conditions[i].raises));
    }
    request =
        post(purchase->trial ? API "/klarna_payments/place_trial_order" : API "/klarna_payments/place_order", body, p);
    request.once = 1;
    return request;
}

pwk_payway_request pwk_order_list_request(const char *account, int page, apr_pool_t *p)
{
    return (pwk_payway_request){
        .method = "GET",
        .path = apr_pstrcat(p, API "/order?account_id=", pwk_text_urlencode(account, p),
                            page > 1 ? apr_psprintf(p, "&page_number=%d", page) : NULL, NULL),
    };
}

/* --- the session --- */

/* Klarna's script reads the second part, and throws when there are not three (klarna-sdk §1.2, §1.7). */
static int has_three_parts(const char *token)
{
    const char *first = strchr(token, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;

    return second && first > token && second > first + 1 && second[1] && !strchr(second + 1, '.');
}

/* The logo that Klarna gives with a category, when it is on a host that the page's policy lets images come from. */
static const char *logo_of(const json_t *category, apr_pool_t *p)
{
    static const char *const klarnas[] = {"*.klarnacdn.net", "*.klarna.com", "*.klarnaservices.com"};
    const char *logo = pwk_json_text(json_object_get(category, "asset_urls"), "standard", PWK_URL_MAX, p);
    apr_array_header_t *hosts = apr_array_make(p, COUNT(klarnas), sizeof(const char *));

    for (size_t i = 0; i < COUNT(klarnas); i++) {
        APR_ARRAY_PUSH(hosts, const char *) = klarnas[i];
    }
    return logo && pwk_klarna_may_redirect(logo, hosts, p) ? logo : "";
}

/* Those of Klarna's own list that can be read; Payway may leave it out (payway-api §3.3). */
static apr_array_header_t *read_categories(const json_t *list, apr_pool_t *p)
{
    apr_array_header_t *categories = apr_array_make(p, PWK_CATEGORIES_MAX, sizeof(pwk_klarna_category));

    for (size_t i = 0; i < json_array_size(list) && categories->nelts < PWK_CATEGORIES_MAX; i++) {
        const json_t *member = json_array_get(list, i);
        const char *identifier = pwk_json_text(member, "identifier", PWK_CODE_MAX, p);

        if (pwk_text_is_code(identifier)) {
            APR_ARRAY_PUSH(categories, pwk_klarna_category) = (pwk_klarna_category){
                .identifier = identifier,
                .name = pwk_text_clean(json_string_value(json_object_get(member, "name")), PWK_TEXT_MAX, p),
                .logo = logo_of(member, p),
            };
        }
    }
    return categories;
}

pwk_result pwk_order_read_session(pwk_klarna_session *session, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *item;
    const char *id, *client_token;
    pwk_result result = pwk_payway_read_item(&item, answer, p);

    *session = (pwk_klarna_session){.id = "", .client_token = "", .categories = read_categories(NULL, p)};
    if (result.outcome != PWK_OK) {
        return result;
    }
    id = pwk_json_text(item, "klarna_payments_session_id", PWK_SESSION_ID_MAX, p);
    if (!pwk_text_is_visible(id, PWK_SESSION_ID_MAX)) {
        return pwk_payway_misshapen(answer, "klarna_payments_session_id");
    }
    client_token = pwk_json_text(item, "klarna_client_token", PWK_CLIENT_TOKEN_MAX, p);
    if (!pwk_text_is_visible(client_token, PWK_CLIENT_TOKEN_MAX) || !has_three_parts(client_token)) {
        return pwk_payway_misshapen(answer, "klarna_client_token");
    }
    session->id = id;
    session->client_token = client_token;
    session->categories = read_categories(json_object_get(item, "payment_method_categories"), p);
    return result;
}

/* --- the list --- */

static int is_ours(const char *reference, const char *id)
{
    const size_t len = strlen(id);

    return reference && strncmp(reference, id, len) == 0 && (reference[len] == '\0' || reference[len] == '_');
}

/* Whether no page follows this one. */
static int is_last_page(const json_t *object)
{
    const json_t *info = json_object_get(object, "page_info");

    return !info || json_is_null(info) || json_is_false(json_object_get(info, "more_results_available"));
}

/* `state` is "closed" in all that is documented, and a payment that went wrong has an error code (payway-api §7.5). */
static int is_open(const json_t *order)
{
    const char *state = json_string_value(json_object_get(order, "state"));
    const json_t *payments = json_object_get(order, "payments");
    size_t wrong = 0;

    for (size_t i = 0; i < json_array_size(payments); i++) {
        const json_t *result = json_object_get(json_array_get(payments, i), "payment_result");
        const json_t *error = json_object_get(result, "error_code");

        wrong += error && !json_is_null(error) && !(json_is_string(error) && !json_string_length(error));
    }
    return (state && *state && strcasecmp(state, "closed") != 0) || (wrong && wrong == json_array_size(payments));
}

pwk_result pwk_order_read_list(pwk_order_search *found, const char *id, const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *object;
    const json_t *items;
    pwk_result result = pwk_payway_read_items(&items, &object, answer, p);

    *found = (pwk_order_search){.order_id = ""};
    if (result.outcome != PWK_OK) {
        return result;
    }
    found->complete = is_last_page(object);
    found->more = json_is_true(json_object_get(json_object_get(object, "page_info"), "more_results_available"));
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *order = json_array_get(items, i);
        const json_t *reference = json_object_get(order, "merchant_reference");

        if (!json_is_object(order) || (reference && !json_is_null(reference) && !json_is_string(reference))) {
            found->complete = found->more = 0; /* whose it is cannot be told */
        } else if (is_ours(json_string_value(reference), id)) {
            const char *order_id = pwk_json_text(order, "order_id", PWK_ORDER_ID_MAX, p);
            int *kind = is_open(order) ? &found->open : &found->count;

            if ((*kind)++ == 0 && (kind == &found->count || !found->count)) {
                found->order_id = pwk_text_is_visible(order_id, PWK_ORDER_ID_MAX) ? order_id : "";
            }
        }
    }
    return result;
}
