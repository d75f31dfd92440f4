/* src/core/pwk_order: what is sent to make a session and place an order, and above all what the answer to placing means
 * for the reader's money. payway-api §2, §3, §7.5, §8; threats §2.5. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_order.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define JSON_TYPE "application/json; charset=utf-8"
#define HTML_TYPE "text/html; charset=utf-8"
#define HTML "<!DOCTYPE html><html><body>Attention Required!</body></html>"
#define ACCOUNT "5e4bbd0e09c04c1f6498c57f"
#define ID "0123456789abcdef0123456789abcdef"
#define ERROR(code) "{\"code\":\"" code "\",\"message\":\"m\"}"

/* --- what we ask --- */

static pwk_sale plain_sale(void)
{
    return (pwk_sale){.path = "/", .traffic_source = "", .merchant_reference = ""};
}

static pwk_purchase plain_purchase(void)
{
    return (pwk_purchase){.id = ID, .code = "example_digital", .type = PWK_PERIOD_RECURRING, .period = "", .start = ""};
}

static void sends(pwk_payway_request request, const char *path, const char *body)
{
    assert_string_equal(request.method, "POST");
    assert_string_equal(request.path, path);
    assert_string_equal(request.content_type, "application/json");
    assert_string_equal(request.body, body);
    assert_int_equal(request.timeout, 0);
}

static void session_is_asked_for(void **state)
{
    static const char path[] = "/external/api/v1/klarna_payments/create_session";
    pwk_purchase purchase = plain_purchase();
    pwk_sale sale = plain_sale();
    pwk_payway_request request =
        pwk_order_session_request(&purchase, &sale, "https://www.example.se/payway/confirm/" ID, pool);

    (void)state;
    sends(request, path,
          "{\"code\":\"example_digital\",\"period_type\":\"recurring\",\"confirmation_url\":"
          "\"https://www.example.se/payway/confirm/" ID "\",\"disable_account_info_overwrite\":false}");
    assert_false(request.once);

    purchase.type = PWK_PERIOD_LIMITED;
    purchase.period = "5f0d9ea795cfebfb8544ab12";
    purchase.start = "2026-12-01";
    sale.disable_account_info_overwrite = 1;
    sends(pwk_order_session_request(&purchase, &sale, "https://www.example.se/c", pool), path,
          "{\"code\":\"example_digital\",\"period_type\":\"limited\",\"period_id\":\"5f0d9ea795cfebfb8544ab12\","
          "\"confirmation_url\":\"https://www.example.se/c\",\"start_date\":\"2026-12-01\","
          "\"disable_account_info_overwrite\":true}");
}

static const char *placed_body(const char *agent, const char *middle, const char *raises)
{
    return apr_pstrcat(pool,
                       "{\"klarna_authorization_token\":\"token-1\",\"klarna_payments_session_id\":\"session-1\","
                       "\"browser_ip\":\"2001:db8::1\",\"browser_language\":\"sv-SE\",\"browser_user_agent\":\"",
                       agent, "\",", middle, raises, "}", NULL);
}

static const pwk_order_authorization authorization = {
    .token = "token-1", .browser_ip = "2001:db8::1", .browser_language = "sv-SE", .browser_user_agent = "Mozilla/5.0"};

static void order_is_placed(void **state)
{
    pwk_purchase purchase = plain_purchase();
    pwk_sale sale = plain_sale();
    pwk_payway_request request;

    (void)state;
    request = pwk_order_place_request(&purchase, &sale, "session-1", &authorization, pool);
    sends(request, "/external/api/v1/klarna_payments/place_order",
          placed_body("Mozilla/5.0", "\"merchant_reference\":\"" ID "\",",
                      "\"raise_on_ssn_already_taken_error\":false,\"raise_on_ssn_already_set_error\":false,"
                      "\"raise_on_account_update_error\":false,\"raise_on_delivery_address_error\":false"));
    assert_true(request.once);

    purchase.trial = 1;
    sale.traffic_source = "facebook";
    sale.merchant_reference = "adeprimo campaign/001";
    request = pwk_order_place_request(&purchase, &sale, "session-1", &authorization, pool);
    sends(request, "/external/api/v1/klarna_payments/place_trial_order",
          placed_body("Mozilla/5.0",
                      "\"traffic_source\":\"facebook\",\"merchant_reference\":\"" ID "_adeprimo-campaign-001\",",
                      "\"raise_on_ssn_already_taken_error\":false,\"raise_on_ssn_already_set_error\":false,"
                      "\"raise_on_account_update_error\":false,\"raise_on_delivery_address_error\":false"));
    assert_true(request.once);
}

/* Each setting reaches its own member, and no other. */
static void conditions_are_the_sales(void **state)
{
    static const char *const names[] = {"raise_on_ssn_already_taken_error", "raise_on_ssn_already_set_error",
                                        "raise_on_account_update_error", "raise_on_delivery_address_error"};
    pwk_purchase purchase = plain_purchase();

    (void)state;
    for (unsigned int set = 0; set < 16; set++) {
        pwk_sale sale = plain_sale();
        json_t *json;
        pwk_payway_request request;

        sale.raise_on_ssn_already_taken_error = set & 1;
        sale.raise_on_ssn_already_set_error = set >> 1 & 1;
        sale.raise_on_account_update_error = set >> 2 & 1;
        sale.raise_on_delivery_address_error = set >> 3 & 1;
        request = pwk_order_place_request(&purchase, &sale, "session-1", &authorization, pool);
        assert_int_equal(pwk_json_object(&json, request.body, strlen(request.body), pool).outcome, PWK_OK);
        for (size_t i = 0; i < COUNT(names); i++) {
            assert_true(json_is_boolean(json_object_get(json, names[i])));
            assert_int_equal(json_is_true(json_object_get(json, names[i])), set >> i & 1);
        }
    }
}

/* The text of one member of the body that is sent. */
static const char *sent(const char *name, const char *agent, const char *traffic_source)
{
    pwk_purchase purchase = plain_purchase();
    pwk_sale sale = plain_sale();
    pwk_order_authorization brought = authorization;
    pwk_payway_request request;
    json_t *json;

    sale.traffic_source = traffic_source;
    brought.browser_user_agent = agent;
    request = pwk_order_place_request(&purchase, &sale, "session-1", &brought, pool);
    assert_int_equal(pwk_json_object(&json, request.body, strlen(request.body), pool).outcome, PWK_OK);
    return pwk_json_text(json, name, PWK_JSON_MAX, pool);
}

static void user_agent_is_visible(void **state)
{
    static const struct {
        const char *agent, *want;
    } cases[] = {
        {"Mozilla/5.0 (X11; Linux x86_64) ~", "Mozilla/5.0 (X11; Linux x86_64) ~"},
        {NULL, "-"},
        {"", "-"},
        {"   ", "-"},
        {"a\r\nb\tc\x7f", "a??b?c?"},
        {"\xc3\xa5\xff", "???"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(sent("browser_user_agent", cases[i].agent, ""), cases[i].want);
    }
    for (size_t len = PWK_USER_AGENT_MAX - 1; len <= PWK_USER_AGENT_MAX + 1; len++) {
        size_t want = len > PWK_USER_AGENT_MAX ? PWK_USER_AGENT_MAX : len;

        assert_int_equal(strlen(sent("browser_user_agent", repeated('a', len), "")), want);
    }
}

static void traffic_source_is_fit(void **state)
{
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"facebook", "facebook"},     {" a  b\n", "a b"}, {"a<b>{c}(d)/e\\f", "a-b--c--d--e-f"},
        {"s\xc3\xb6k", "s\xc3\xb6k"}, {"s\xc3k", "sk"},
    };

    (void)state;
    assert_null(sent("traffic_source", "a", ""));
    assert_null(sent("traffic_source", "a", "\x01"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(sent("traffic_source", "a", cases[i].source), cases[i].want);
    }
    assert_int_equal(strlen(sent("traffic_source", "a", repeated('a', 127))), 127);
    assert_int_equal(strlen(sent("traffic_source", "a", repeated('a', 128))), 128);
    assert_int_equal(strlen(sent("traffic_source", "a", repeated('a', 129))), 128);
    assert_int_equal(strlen(sent("traffic_source", "a", repeated('a', 5000))), 128);
    /* Not through the middle of a character. */
    assert_int_equal(strlen(sent("traffic_source", "a", apr_pstrcat(pool, repeated('a', 127), "\xc3\xa5", NULL))), 127);
    assert_int_equal(strlen(sent("traffic_source", "a", apr_pstrcat(pool, repeated('a', 126), "\xc3\xa5", NULL))), 128);
}

static void references(void **state)
{
    static const struct {
        const char *reference, *want;
    } cases[] = {
        {"", ID},
        {"a", ID "_a"},
        {"_", ID "__"},
        {"Az09_-", ID "_Az09_-"},
        {"a b/c.d:e", ID "_a-b-c-d-e"},
        {"\xc3\xa5\n", ID "_---"},
        {"https://example.se/?a=b", ID "_https---example-se--a-b"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *copy = exact_text(cases[i].reference);

        assert_string_equal(pwk_order_reference(ID, copy, pool), cases[i].want);
        free(copy);
    }
    for (size_t len = 30; len <= 33; len++) { /* 32 + 1 + 31 is the bound */
        const char *reference = pwk_order_reference(ID, repeated('r', len), pool);

        assert_int_equal(strlen(reference), len > 31 ? PWK_REFERENCE_MAX : 33 + len);
        assert_memory_equal(reference, ID "_r", 34);
    }
}

static void list_is_asked_for(void **state)
{
    pwk_payway_request request = pwk_order_list_request(ACCOUNT, pool);

    (void)state;
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/external/api/v1/order?account_id=" ACCOUNT);
    assert_null(request.body);
    assert_false(request.once);
    assert_string_equal(pwk_order_list_request("a&b=c/", pool).path, "/external/api/v1/order?account_id=a%26b%3Dc%2F");
}

/* --- the session --- */

static pwk_payway_answer answer_of(int status, const char *type, const char *body)
{
    return (pwk_payway_answer){.status = status, .content_type = type, .body = body, .len = strlen(body)};
}

static pwk_result read_session(pwk_klarna_session *session, const char *body)
{
    char *copy = exact_bytes(body, strlen(body));
    pwk_payway_answer answer = answer_of(200, JSON_TYPE, copy);
    pwk_result result;

    answer.len = strlen(body);
    result = pwk_order_read_session(session, &answer, pool);
    free(copy);
    if (result.outcome != PWK_OK) {
        assert_string_equal(session->id, "");
        assert_string_equal(session->client_token, "");
        assert_int_equal(session->categories->nelts, 0);
    }
    return result;
}

#define SESSION "\"klarna_payments_session_id\":\"0b1d9815\",\"klarna_client_token\":\"eyJh.eyJz.c2ln\""

static void session_is_read(void **state)
{
    static const char *const bodies[] = {"{\"item\":{" SESSION "}}", "{" SESSION "}",
                                         "{\"item\":{" SESSION ",\"payment_method_categories\":null,\"new\":[1]}}",
                                         "{" SESSION ",\"payment_method_categories\":\"pay_now\"}",
                                         "{" SESSION ",\"payment_method_categories\":[]}"};

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        pwk_klarna_session session;

        assert_int_equal(read_session(&session, bodies[i]).outcome, PWK_OK);
        assert_string_equal(session.id, "0b1d9815");
        assert_string_equal(session.client_token, "eyJh.eyJz.c2ln");
        assert_int_equal(session.categories->nelts, 0);
    }
}

static void categories_are_read(void **state)
{
    static const char body[] =
        "{\"item\":{" SESSION ",\"payment_method_categories\":["
        "{\"identifier\":\"pay_now\",\"name\":\" Betala\\u00a0nu \\u202e\",\"asset_urls\":{"
        "\"standard\":\"https://x.klarnacdn.net/a.svg\",\"descriptive\":\"https://x.klarnacdn.net/b.svg\"}},"
        "{\"identifier\":\"pay_later\"},{\"identifier\":7},{\"identifier\":\"two words\"},{},null,\"card\","
        "{\"identifier\":\"a\",\"name\":7,\"asset_urls\":{\"standard\":\"http://x.klarnacdn.net/a.svg\"}},"
        "{\"identifier\":\"b\",\"name\":null,\"asset_urls\":{\"standard\":\"https://evil.example/a.svg\"}},"
        "{\"identifier\":\"c\",\"asset_urls\":{\"standard\":\"javascript:alert(1)\"}},"
        "{\"identifier\":\"d\",\"asset_urls\":\"https://x.klarnacdn.net/a.svg\"},"
        "{\"identifier\":\"e\",\"asset_urls\":{\"standard\":\"https://osm.klarnaservices.com/a.svg\"}},"
        "{\"identifier\":\"f\"},{\"identifier\":\"g\"}]}}";
    static const struct {
        const char *identifier, *name, *logo;
    } want[] = {
        {"pay_now", "Betala\xc2\xa0nu", "https://x.klarnacdn.net/a.svg"},
        {"pay_later", "", ""},
        {"a", "", ""},
        {"b", "", ""},
        {"c", "", ""},
        {"d", "", ""},
        {"e", "", "https://osm.klarnaservices.com/a.svg"},
        {"f", "", ""},
    };
    pwk_klarna_session session, back;
    const char *text;

    (void)state;
    assert_int_equal(COUNT(want), PWK_CATEGORIES_MAX); /* "g" is one too many */
    assert_int_equal(read_session(&session, body).outcome, PWK_OK);
    assert_int_equal(session.categories->nelts, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        const pwk_klarna_category *category = &APR_ARRAY_IDX(session.categories, i, pwk_klarna_category);

        assert_string_equal(category->identifier, want[i].identifier);
        assert_string_equal(category->name, want[i].name);
        assert_string_equal(category->logo, want[i].logo);
    }
    /* Whatever is read can be written to the ledger and read again. */
    text = pwk_klarna_write(&session, pool);
    assert_int_equal(pwk_klarna_read(&back, text, strlen(text), pool), APR_SUCCESS);
}

static void session_needs_id_and_token(void **state)
{
    static const char *const tokens[] = {"",        "a",     "a.b",    ".b.c",    "a..c",     "a.b.",        "..",
                                         "a.b.c.d", "a.b..", "a.b.c.", "a b.c.d", "a.b.c\\n", "\\u00e5.b.c", "."};
    pwk_klarna_session session;
    pwk_result result;

    (void)state;
    for (size_t i = 0; i < COUNT(tokens); i++) {
        result = read_session(&session, apr_psprintf(pool,
                                                     "{\"klarna_payments_session_id\":\"s\","
                                                     "\"klarna_client_token\":\"%s\"}",
                                                     tokens[i]));
        assert_int_equal(result.outcome, PWK_UNAVAILABLE);
        assert_string_equal(result.code, "bad_answer");
        assert_string_equal(result.field, "klarna_client_token");
    }
    result = read_session(&session, "{\"item\":{\"klarna_client_token\":\"a.b.c\"}}");
    assert_string_equal(result.code, "bad_answer");
    assert_string_equal(result.field, "klarna_payments_session_id");
    assert_string_equal(read_session(&session, "{\"item\":[]}").field, "item");
    assert_string_equal(read_session(&session, "{}").code, "bad_answer");
    assert_string_equal(read_session(&session, ERROR("not_found")).code, "bad_answer");
    for (size_t over = 0; over < 2; over++) {
        const char *id = repeated('i', PWK_SESSION_ID_MAX + over);
        const char *token = apr_pstrcat(pool, repeated('t', PWK_CLIENT_TOKEN_MAX - 4 + over), ".b.c", NULL);
        pwk_outcome want = over ? PWK_UNAVAILABLE : PWK_OK;

        assert_int_equal(read_session(&session, apr_pstrcat(pool, "{\"klarna_payments_session_id\":\"", id,
                                                            "\",\"klarna_client_token\":\"a.b.c\"}", NULL))
                             .outcome,
                         want);
        assert_int_equal(read_session(&session, apr_pstrcat(pool,
                                                            "{\"klarna_payments_session_id\":\"i\","
                                                            "\"klarna_client_token\":\"",
                                                            token, "\"}", NULL))
                             .outcome,
                         want);
    }
}

static void session_is_refused(void **state)
{
    pwk_klarna_session session;
    pwk_payway_answer answer = answer_of(400, JSON_TYPE, "{\"code\":\"invalid_parameter\",\"field\":\"period_id\"}");
    pwk_result result = pwk_order_read_session(&session, &answer, pool);

    (void)state;
    assert_int_equal(result.outcome, PWK_REFUSED);
    assert_string_equal(result.code, "invalid_parameter");
    assert_string_equal(result.field, "period_id");
    assert_int_equal(session.categories->nelts, 0);
    answer = answer_of(502, HTML_TYPE, HTML);
    assert_int_equal(pwk_order_read_session(&session, &answer, pool).outcome, PWK_UNAVAILABLE);
}

/* --- the answer to placing --- */

static const char *const event_names[PWK_EVENTS] = {
    [PWK_EVENT_ACCEPTED] = "ACCEPTED",
    [PWK_EVENT_REFUSED] = "REFUSED",
    [PWK_EVENT_NOT_COMPLETED] = "NOT_COMPLETED",
    [PWK_EVENT_LOST] = "LOST",
};

/* Reads an answer from a buffer that ends where it ends, and checks what holds for every answer. */
static pwk_purchase_event read_placed(pwk_order_placed *placed, pwk_result *result, int status, const char *type,
                                      const char *body, size_t len, int retry_after_s)
{
    char *copy = exact_bytes(body, len);
    pwk_payway_answer answer = {
        .status = status, .content_type = type, .body = copy, .len = len, .retry_after_s = retry_after_s};
    pwk_purchase_event event = pwk_order_read_placed(placed, result, &answer, pool);

    free(copy);
    assert_int_equal(result->http_status, status);
    assert_non_null(result->field);
    switch (event) {
    case PWK_EVENT_ACCEPTED:
        assert_int_equal(result->outcome, PWK_OK);
        assert_int_equal(result->rv, APR_SUCCESS);
        assert_string_equal(result->code, "");
        assert_true(*placed->order_id || *placed->redirect);
        assert_in_range(status, 200, 299);
        return event;
    case PWK_EVENT_REFUSED:
    case PWK_EVENT_NOT_COMPLETED:
        assert_int_equal(result->outcome, PWK_REFUSED);
        /* The page that the code leads to says the same as the event. */
        assert_int_equal(!!pwk_order_is_not_completed(result->code), event == PWK_EVENT_NOT_COMPLETED);
        break;
    case PWK_EVENT_LOST:
        assert_int_equal(result->outcome, PWK_UNAVAILABLE);
        break;
    default:
        fail_msg("event %d", (int)event);
    }
    assert_int_not_equal(result->rv, APR_SUCCESS);
    assert_string_not_equal(result->code, "");
    assert_string_not_equal(result->detail, "");
    assert_string_equal(placed->order_id, "");
    assert_string_equal(placed->redirect, "");
    if (status < 200 || status > 299) {
        assert_int_equal(result->retry_after_s, retry_after_s);
    }
    return event;
}

static void accepted_answers(void **state)
{
    static const char url[] = "https://payments.klarna.com/x";
    static const struct {
        const char *body;
        int has_id, has_url;
    } cases[] = {
        /* payway-api §3.5: the assumed body, in both envelopes, and with every name of the redirect */
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"klarna_order_id\":\"f3392f8b\",\"receipt_id\":\"5e4becc1\","
         "\"redirect_url\":\"https://payments.klarna.com/x\"}}",
         1, 1},
        {"{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":\"https://payments.klarna.com/x\"}", 1, 1},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_uri\":\"https://payments.klarna.com/x\"}}", 1, 1},
        {"{\"order_id\":\"ADEPRIMO-123\",\"redirect_uri\":\"https://payments.klarna.com/x\"}", 1, 1},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"klarna_redirect_url\":\"https://payments.klarna.com/x\"}}", 1, 1},
        {"{\"order_id\":\"ADEPRIMO-123\",\"klarna_redirect_url\":\"https://payments.klarna.com/x\"}", 1, 1},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":\"https://payments.klarna.com/x\","
         "\"redirect_uri\":\"https://other.klarna.com/\"}}",
         1, 1},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":null,"
         "\"redirect_uri\":\"https://payments.klarna.com/x\"}}",
         1, 1},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":\"\","
         "\"redirect_uri\":\"https://payments.klarna.com/x\"}}",
         1, 1},
        /* a redirect beside the envelope, or an order in an `order` */
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\"},\"redirect_url\":\"https://payments.klarna.com/x\"}", 1, 1},
        {"{\"item\":{\"order\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":\"https://payments.klarna.com/x\"}}}", 1,
         1},
        {"{\"order\":{\"order_id\":\"ADEPRIMO-123\",\"redirect_uri\":\"https://payments.klarna.com/x\"},"
         "\"account\":{\"id\":\"x\",\"status\":\"completed\"},\"purchase_status\":{\"code\":\"ok\",\"reason\":null}}",
         1, 1},
        {"{\"item\":{\"order\":{\"order_id\":\"ADEPRIMO-123\"},\"redirect_uri\":\"https://payments.klarna.com/x\"}}", 1,
         1},
        /* one of the two is enough */
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\"}}", 1, 0},
        {"{\"order_id\":\"ADEPRIMO-123\"}", 1, 0},
        {"{\"item\":{\"redirect_url\":\"https://payments.klarna.com/x\"}}", 0, 1},
        {"{\"redirect_uri\":\"https://payments.klarna.com/x\"}", 0, 1},
        {"{\"order_id\":null,\"redirect_url\":\"https://payments.klarna.com/x\"}", 0, 1},
        {"{\"order_id\":7,\"redirect_url\":\"https://payments.klarna.com/x\"}", 0, 1},
        {"{\"order_id\":\"A 1\",\"redirect_url\":\"https://payments.klarna.com/x\"}", 0, 1},
        {"{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":7}", 1, 0},
        {"{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":[\"https://payments.klarna.com/x\"]}", 1, 0},
        {"{\"order_id\":\"ADEPRIMO-123\",\"redirect_url\":\"https://payments.klarna.com/\\n\"}", 1, 0},
        /* what a success may well say beside it */
        {"{\"item\":{\"receipt_id\":\"5e4becc1\",\"order_id\":\"ADEPRIMO-123\",\"message\":\"The payment was "
         "successfully authorised.\",\"status\":\"complete\"}}",
         1, 0},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"fraud_status\":\"ACCEPTED\",\"error\":null}}", 1, 0},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"fraud_status\":\"PENDING\",\"error\":\"\",\"code\":\"\"}}", 1, 0},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"code\":\"example_digital\",\"error\":false}}", 1, 0},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"code\":null,\"message\":null,\"purchase_status\":null}}", 1, 0},
        {"{\"item\":{\"order_id\":\"ADEPRIMO-123\",\"unknown\":{\"deep\":[{},[]]}},\"page_info\":{}}", 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int status = 200; status <= 299; status++) {
            pwk_order_placed placed;
            pwk_result result;
            pwk_purchase_event event =
                read_placed(&placed, &result, status, status % 2 ? "application/json" : JSON_TYPE, cases[i].body,
                            strlen(cases[i].body), 0);

            if (event != PWK_EVENT_ACCEPTED) {
                fail_msg("%s is %s", cases[i].body, event_names[event]);
            }
            assert_string_equal(placed.order_id, cases[i].has_id ? "ADEPRIMO-123" : "");
            assert_string_equal(placed.redirect, cases[i].has_url ? url : "");
        }
    }
}

/* The redirect is handed on as it is: whoever follows it checks it. */
static void redirects_are_not_judged_here(void **state)
{
    static const char *const urls[] = {"http://evil.example/", "javascript:alert(1)", "https://x@evil.example/", "x"};

    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        const char *body = apr_psprintf(pool, "{\"order_id\":\"A-1\",\"redirect_url\":\"%s\"}", urls[i]);
        pwk_order_placed placed;
        pwk_result result;

        assert_int_equal(read_placed(&placed, &result, 200, JSON_TYPE, body, strlen(body), 0), PWK_EVENT_ACCEPTED);
        assert_string_equal(placed.redirect, urls[i]);
    }
}

typedef struct {
    int status;
    const char *type;
    const char *body;
    int retry_after_s;
    pwk_purchase_event event;
    const char *code;
} placing_case;

static void check(const placing_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pwk_order_placed placed;
        pwk_result result;
        pwk_purchase_event event = read_placed(&placed, &result, cases[i].status, cases[i].type, cases[i].body,
                                               strlen(cases[i].body), cases[i].retry_after_s);

        if (event != cases[i].event || strcmp(result.code, cases[i].code) != 0) {
            fail_msg("%d %s: %s, code \"%s\"", cases[i].status, cases[i].body, event_names[event], result.code);
        }
    }
}

#define REFUSED PWK_EVENT_REFUSED
#define BROKEN_OFF PWK_EVENT_NOT_COMPLETED
#define LOST PWK_EVENT_LOST
#define PLACED_BODY "{\"item\":{\"order_id\":\"A-1\",\"redirect_url\":\"https://payments.klarna.com/x\"}}"

static void refused_answers(void **state)
{
    static const placing_case cases[] = {
        /* payway-api §2.4 */
        {400, JSON_TYPE,
         "{\"code\":\"invalid_parameter\",\"field\":\"browser_ip\",\"message\":\"Parameter is required\"}", 0, REFUSED,
         "invalid_parameter"},
        {400, JSON_TYPE, "{\"code\":\"unknown_parameter\",\"message\":\"Unknown parameters: a\"}", 0, REFUSED,
         "unknown_parameter"},
        {400, JSON_TYPE, ERROR("json_parser_error"), 0, REFUSED, "json_parser_error"},
        {400, JSON_TYPE, ERROR("invalid_content_type_error"), 0, REFUSED, "invalid_content_type_error"},
        {400, "application/json", "{\"code\":\"some_code_of_tomorrow\"}", 0, REFUSED, "some_code_of_tomorrow"},
        {400, JSON_TYPE, "{\"message\":\"Something is wrong\"}", 0, REFUSED, "refused"},
        {400, JSON_TYPE, "{\"code\":\"two words\",\"message\":\"m\"}", 0, REFUSED, "refused"},
        {400, JSON_TYPE, "{\"code\":7,\"message\":\"m\"}", 0, REFUSED, "refused"},
        {400, JSON_TYPE, "{\"code\":null,\"message\":\"m\",\"field\":null}", 0, REFUSED, "refused"},
        {400, JSON_TYPE, "{\"item\":{\"code\":\"invalid_parameter\",\"message\":\"m\"}}", 0, REFUSED,
         "invalid_parameter"},
        {400, JSON_TYPE, "{\"error\":\"Bad Request\",\"message\":\"m\"}", 0, REFUSED, "refused"},
        {401, JSON_TYPE, "{\"error\":\"invalid_token\",\"message\":\"m\"}", 0, REFUSED, "invalid_token"},
        {401, JSON_TYPE, ERROR("unauthorized"), 0, REFUSED, "unauthorized"},
        {401, JSON_TYPE, ERROR("token_expired"), 0, REFUSED, "token_expired"},
        {401, JSON_TYPE, "{\"message\":\"Unauthorized\"}", 0, REFUSED, "unauthorized"},
        {401, JSON_TYPE, "{\"status\":\"error\",\"message\":\"Forbidden\"}", 0, REFUSED, "unauthorized"},
        {404, JSON_TYPE, ERROR("not_found"), 0, REFUSED, "not_found"},
        {404, JSON_TYPE, "{\"message\":\"m\"}", 0, REFUSED, "refused"},
        {422, JSON_TYPE, ERROR("invalid_parameter"), 0, REFUSED, "invalid_parameter"},
        {422, JSON_TYPE, "{\"message\":\"m\"}", 0, REFUSED, "refused"},
        /* a 403 about scope or identity */
        {403, JSON_TYPE, ERROR("forbidden"), 0, REFUSED, "forbidden"},
        {403, JSON_TYPE, ERROR("Forbidden"), 0, REFUSED, "Forbidden"},
        {403, JSON_TYPE, ERROR("forbidden_error"), 0, REFUSED, "forbidden_error"},
        {403, JSON_TYPE, ERROR("unauthorized"), 0, REFUSED, "unauthorized"},
        {403, JSON_TYPE, ERROR("access_denied"), 0, REFUSED, "access_denied"},
        {403, JSON_TYPE, ERROR("insufficient_scope"), 0, REFUSED, "insufficient_scope"},
        {403, JSON_TYPE, ERROR("missing_scope_error"), 0, REFUSED, "missing_scope_error"},
        {403, JSON_TYPE, ERROR("INVALID-SCOPE"), 0, REFUSED, "INVALID-SCOPE"},
        {403, JSON_TYPE, "{\"code\":\"forbidden\",\"message\":\"The access token does not permit this\"}", 0, REFUSED,
         "forbidden"},
        /* purchase rules (payway-api §8) */
        {400, JSON_TYPE, ERROR("campaign_already_purchased"), 0, REFUSED, "campaign_already_purchased"},
        {403, JSON_TYPE, ERROR("campaign_already_purchased"), 0, REFUSED, "campaign_already_purchased"},
        {422, JSON_TYPE, ERROR("package_already_active"), 0, REFUSED, "package_already_active"},
        {403, JSON_TYPE, ERROR("base_package_already_active"), 0, REFUSED, "base_package_already_active"},
        {403, JSON_TYPE, ERROR("campaign_purchase_rules_does_not_permit_purchase"), 0, REFUSED,
         "campaign_purchase_rules_does_not_permit_purchase"},
        {400, JSON_TYPE, ERROR("too_young"), 0, REFUSED, "too_young"},
        /* too many requests: never executed */
        {429, JSON_TYPE, ERROR("rate_limited"), 0, REFUSED, "rate_limited"},
        {429, JSON_TYPE, ERROR("throttled"), 30, REFUSED, "throttled"},
        {429, JSON_TYPE, "{\"message\":\"m\"}", 0, REFUSED, "rate_limited"},
        {429, JSON_TYPE, "{}", 30, REFUSED, "rate_limited"},
        {429, HTML_TYPE, HTML, 30, REFUSED, "rate_limited"},
        {429, NULL, "", 1, REFUSED, "rate_limited"},
    };

    (void)state;
    check(cases, COUNT(cases));
}

static void broken_off_answers(void **state)
{
    static const placing_case cases[] = {
        /* the guide's 403, whose body is not documented: by code, by message, in any case */
        {403, JSON_TYPE, "{\"code\":\"payment_method_failed\",\"message\":\"Payment method failed\"}", 0, BROKEN_OFF,
         "payment_method_failed"},
        {403, JSON_TYPE, "{\"code\":\"payment_method_failed\"}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"code\":\"PAYMENT_METHOD_FAILED\"}", 0, BROKEN_OFF, "PAYMENT_METHOD_FAILED"},
        {403, JSON_TYPE, ERROR("payment_method_failed_error"), 0, BROKEN_OFF, "payment_method_failed_error"},
        {403, JSON_TYPE, "{\"item\":{\"code\":\"payment_method_failed\"}}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"message\":\"Payment method failed\"}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"message\":\"PAYMENT METHOD FAILED: in debt\"}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"message\":\"Klarna: payment_method_failed\"}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"message\":\"x\\nPayment method failed\\n\"}", 0, BROKEN_OFF, "payment_method_failed"},
        {403, JSON_TYPE, "{\"item\":{\"message\":\"Payment method failed\"}}", 0, BROKEN_OFF, "payment_method_failed"},
        /* the message knows more than a code that only repeats the status */
        {403, JSON_TYPE, "{\"code\":\"forbidden\",\"message\":\"Payment method failed\"}", 0, BROKEN_OFF,
         "payment_method_failed"},
        {403, JSON_TYPE, "{\"code\":\"403\",\"message\":\"Payment method failed\"}", 0, BROKEN_OFF,
         "payment_method_failed"},
        {400, JSON_TYPE, "{\"code\":\"klarna_error\",\"message\":\"Payment method failed\"}", 0, BROKEN_OFF,
         "payment_method_failed"},
        {422, JSON_TYPE, ERROR("payment_method_failed"), 0, BROKEN_OFF, "payment_method_failed"},
        {400, JSON_TYPE, ERROR("payment_declined"), 0, BROKEN_OFF, "payment_declined"},
        {403, JSON_TYPE, ERROR("payment_declined"), 0, BROKEN_OFF, "payment_declined"},
        /* any other 403 in Payway's form: "nothing happened" would be the wrong guess */
        {403, JSON_TYPE, "{\"message\":\"m\"}", 0, BROKEN_OFF, "not_completed"},
        {403, JSON_TYPE, "{\"status\":\"error\",\"message\":\"Forbidden\"}", 0, BROKEN_OFF, "not_completed"},
        {403, JSON_TYPE, "{\"error\":\"Forbidden\",\"message\":\"m\"}", 0, BROKEN_OFF, "not_completed"},
        {400, JSON_TYPE, "{\"error\":\"ssn_already_taken_error\",\"message\":\"m\"}", 0, BROKEN_OFF,
         "ssn_already_taken_error"},
        {403, JSON_TYPE, ERROR("klarna_refused"), 0, BROKEN_OFF, "not_completed"},
        {403, JSON_TYPE, ERROR("403"), 0, BROKEN_OFF, "not_completed"},
        {403, JSON_TYPE, ERROR("invalid_parameter"), 0, BROKEN_OFF, "not_completed"},
        {403, JSON_TYPE, "{\"code\":\"two words\",\"message\":\"m\"}", 0, BROKEN_OFF, "not_completed"},
        /* raise_on_*, under any of the statuses, with and without the suffix */
        {400, JSON_TYPE, ERROR("ssn_already_taken_error"), 0, BROKEN_OFF, "ssn_already_taken_error"},
        {400, JSON_TYPE, ERROR("ssn_already_taken"), 0, BROKEN_OFF, "ssn_already_taken"},
        {401, JSON_TYPE, ERROR("ssn_already_set_error"), 0, BROKEN_OFF, "ssn_already_set_error"},
        {403, JSON_TYPE, ERROR("ssn_already_set"), 0, BROKEN_OFF, "ssn_already_set"},
        {404, JSON_TYPE, ERROR("account_update_error"), 0, BROKEN_OFF, "account_update_error"},
        {422, JSON_TYPE, ERROR("account_update"), 0, BROKEN_OFF, "account_update"},
        {429, JSON_TYPE, ERROR("delivery_address_error"), 0, BROKEN_OFF, "delivery_address_error"},
        {422, JSON_TYPE, ERROR("delivery_address"), 0, BROKEN_OFF, "delivery_address"},
        {400, JSON_TYPE, ERROR("SSN_Already_Taken_Error"), 0, BROKEN_OFF, "SSN_Already_Taken_Error"},
        {400, JSON_TYPE, "{\"item\":{\"code\":\"ssn_already_taken_error\"}}", 0, BROKEN_OFF, "ssn_already_taken_error"},
    };

    (void)state;
    check(cases, COUNT(cases));
}

static void lost_answers(void **state)
{
    static const placing_case cases[] = {
        /* a 2xx that cannot be read */
        {200, JSON_TYPE, "", 0, LOST, "bad_json"},
        {204, NULL, "", 0, LOST, "bad_content_type"},
        {204, JSON_TYPE, "", 0, LOST, "bad_json"},
        {201, JSON_TYPE, "{}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":null}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":null,\"order_id\":\"A-1\"}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":[{\"order_id\":\"A-1\"}]}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"items\":[{\"order_id\":\"A-1\"}]}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "[{\"order_id\":\"A-1\"}]", 0, LOST, "bad_json"},
        {200, JSON_TYPE, "\"A-1\"", 0, LOST, "bad_json"},
        {200, JSON_TYPE, "null", 0, LOST, "bad_json"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":null,\"redirect_url\":null}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":123}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":{\"id\":\"A-1\"}}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A 1\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"\\u00e5\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"klarna_order_id\":\"f3392f8b\",\"receipt_id\":\"5e4b\"}}", 0, LOST,
         "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order\":\"A-1\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"order_id\":\"A-1\",\"order_id\":\"A-2\"}", 0, LOST, "bad_json"},
        {200, JSON_TYPE, PLACED_BODY "{}", 0, LOST, "bad_json"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\"}", 0, LOST, "bad_json"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\"},}", 0, LOST, "bad_json"},
        {200, HTML_TYPE, HTML, 0, LOST, "bad_content_type"},
        {200, HTML_TYPE, PLACED_BODY, 0, LOST, "bad_content_type"},
        {200, NULL, PLACED_BODY, 0, LOST, "bad_content_type"},
        {200, "text/plain", PLACED_BODY, 0, LOST, "bad_content_type"},
        {200, JSON_TYPE, HTML, 0, LOST, "bad_json"},
        {200, JSON_TYPE, "", 30, LOST, "bad_json"},
        /* a 2xx that is an error's, whatever it names */
        {200, JSON_TYPE, "{\"code\":\"payment_method_failed\",\"message\":\"Payment method failed\"}", 0, LOST,
         "bad_answer"},
        {200, JSON_TYPE, "{\"code\":\"x\",\"message\":\"m\",\"order_id\":\"A-1\"}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"code\":\"payment_declined\",\"order_id\":\"A-1\"}", 0, LOST, "bad_answer"},
        {201, JSON_TYPE, "{\"item\":{\"code\":\"x\",\"message\":\"m\",\"order_id\":\"A-1\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\"},\"code\":\"x\",\"message\":\"m\"}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\",\"error\":\"x\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\"},\"error\":{\"code\":\"x\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"order_id\":\"A-1\",\"error\":true}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"order_id\":\"A-1\",\"status\":\"error\"}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\",\"status\":\"Failed\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order_id\":\"A-1\",\"fraud_status\":\"REJECTED\"}}", 0, LOST, "bad_answer"},
        {200, JSON_TYPE, "{\"order\":{\"order_id\":\"A-1\"},\"purchase_status\":{\"code\":\"failed\"}}", 0, LOST,
         "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"order\":{\"order_id\":\"A-1\",\"status\":\"declined\"}}}", 0, LOST,
         "bad_answer"},
        /* an error's status, and not Payway's word: a CDN's page, an empty body, another's JSON, half of it */
        {400, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {401, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {403, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {403, HTML_TYPE, HTML, 30, LOST, "bad_answer"},
        {404, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {422, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {429, HTML_TYPE, HTML, 0, LOST, "bad_answer"},
        {403, HTML_TYPE, "{\"code\":\"payment_method_failed\"}", 0, LOST, "bad_answer"},
        {403, NULL, "{\"code\":\"payment_method_failed\"}", 0, LOST, "bad_answer"},
        {400, NULL, ERROR("ssn_already_taken_error"), 0, LOST, "bad_answer"},
        {400, JSON_TYPE, HTML, 0, LOST, "bad_answer"},
        {400, NULL, "", 0, LOST, "bad_answer"},
        {401, NULL, "", 0, LOST, "bad_answer"},
        {403, NULL, "", 0, LOST, "bad_answer"},
        {403, JSON_TYPE, "", 0, LOST, "bad_answer"},
        {403, JSON_TYPE, "{}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"item\":{}}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"code\":\"\",\"message\":\"\"}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"code\":7}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"code\":\"two words\"}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"title\":\"Bad Request\",\"status\":400}", 0, LOST, "bad_answer"},
        {400, "application/problem+json", ERROR("invalid_parameter"), 0, LOST, "bad_answer"},
        {401, JSON_TYPE, "{\"error\":\"invalid_token\"}", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"code\":\"invalid_parameter\",\"mess", 0, LOST, "bad_answer"},
        {403, JSON_TYPE, "{\"code\":\"payment_method_failed\"", 0, LOST, "bad_answer"},
        {400, JSON_TYPE, "{\"code\":\"a\",\"code\":\"b\"}", 0, LOST, "bad_answer"},
        {404, JSON_TYPE, PLACED_BODY, 0, LOST, "bad_answer"},
        {429, JSON_TYPE, "{}", 0, LOST, "bad_answer"},
        {429, NULL, "", 0, LOST, "bad_answer"},
        /* statuses that settle nothing, whatever Payway says under them */
        {402, JSON_TYPE, ERROR("payment_declined"), 0, LOST, "payment_declined"},
        {405, JSON_TYPE, ERROR("x"), 0, LOST, "x"},
        {409, JSON_TYPE, ERROR("conflict"), 0, LOST, "conflict"},
        {409, JSON_TYPE, ERROR("ssn_already_taken_error"), 0, LOST, "ssn_already_taken_error"},
        {409, JSON_TYPE, "{\"message\":\"Payment method failed\"}", 0, LOST, "bad_status"},
        {409, HTML_TYPE, HTML, 0, LOST, "bad_status"},
        {409, NULL, "", 30, LOST, "bad_status"},
        {410, JSON_TYPE, "{}", 0, LOST, "bad_status"},
        {499, NULL, "", 0, LOST, "bad_status"},
        {408, JSON_TYPE, ERROR("timeout"), 0, LOST, "timeout"},
        {408, NULL, "", 30, LOST, "timeout"},
        {301, JSON_TYPE, PLACED_BODY, 0, LOST, "redirected"},
        {302, HTML_TYPE, HTML, 0, LOST, "redirected"},
        {303, NULL, "", 0, LOST, "redirected"},
        {307, JSON_TYPE, ERROR("x"), 0, LOST, "redirected"},
        {308, NULL, "", 30, LOST, "redirected"},
        {500, JSON_TYPE, ERROR("internal_server_error"), 0, LOST, "server_error"},
        {500, JSON_TYPE, ERROR("payment_method_failed"), 0, LOST, "server_error"},
        {500, JSON_TYPE, ERROR("ssn_already_taken_error"), 0, LOST, "server_error"},
        {500, JSON_TYPE, PLACED_BODY, 0, LOST, "server_error"},
        {502, HTML_TYPE, HTML, 0, LOST, "server_error"},
        {503, JSON_TYPE, ERROR("x"), 30, LOST, "server_error"},
        {503, HTML_TYPE, HTML, 30, LOST, "server_error"},
        {504, NULL, "", 0, LOST, "server_error"},
        {520, HTML_TYPE, HTML, 0, LOST, "server_error"},
        {527, HTML_TYPE, HTML, 0, LOST, "server_error"},
        {0, NULL, "", 0, LOST, "bad_status"},
        {100, NULL, "", 0, LOST, "bad_status"},
        {101, JSON_TYPE, PLACED_BODY, 0, LOST, "bad_status"},
        {199, JSON_TYPE, PLACED_BODY, 0, LOST, "bad_status"},
        {600, JSON_TYPE, ERROR("x"), 0, LOST, "bad_status"},
        {-1, JSON_TYPE, PLACED_BODY, 0, LOST, "bad_status"},
    };

    (void)state;
    check(cases, COUNT(cases));
}

/* Which statuses can end a purchase at all, said once more as a rule over all of them. */
static void only_some_statuses_settle_it(void **state)
{
    static const char *const bodies[] = {PLACED_BODY, ERROR("x"), ERROR("payment_method_failed"), ERROR("forbidden"),
                                         ERROR("package_already_active")};

    (void)state;
    for (int status = -1; status <= 1000; status++) {
        int final = status == 400 || status == 401 || status == 403 || status == 404 || status == 422 || status == 429;

        for (size_t i = 0; i < COUNT(bodies); i++) {
            pwk_order_placed placed;
            pwk_result result;
            pwk_purchase_event event =
                read_placed(&placed, &result, status, JSON_TYPE, bodies[i], strlen(bodies[i]), 0);

            assert_int_equal(event == PWK_EVENT_ACCEPTED, status >= 200 && status <= 299 && i == 0);
            assert_int_equal(event == PWK_EVENT_REFUSED || event == PWK_EVENT_NOT_COMPLETED, final && i > 0);
        }
    }
}

/* Every mixture of words: what holds for all answers (read_placed, above) holds, and nothing that says the worse is taken
 * for "nothing happened". */
static void mixed_words_take_the_worse(void **state)
{
    static const int statuses[] = {400, 401, 403, 404, 422, 429};
    static const char *const codes[] = {"",
                                        "forbidden",
                                        "not_found",
                                        "package_already_active",
                                        "ssn_already_set_error",
                                        "payment_method_failed",
                                        "order_absent",
                                        "scope",
                                        "two words"};
    static const char *const messages[] = {"", "m", "Payment method failed"};

    (void)state;
    for (size_t i = 0; i < COUNT(statuses) * COUNT(codes) * COUNT(codes) * COUNT(messages); i++) {
        const char *code = codes[i % COUNT(codes)], *error = codes[i / COUNT(codes) % COUNT(codes)];
        const char *message = messages[i / COUNT(codes) / COUNT(codes) % COUNT(messages)];
        int status = statuses[i / COUNT(codes) / COUNT(codes) / COUNT(messages)];
        const char *body =
            apr_psprintf(pool, "{\"code\":\"%s\",\"message\":\"%s\",\"error\":\"%s\"}", code, message, error);
        int worse = pwk_order_is_not_completed(code) || strcmp(message, "Payment method failed") == 0
                    || (strcmp(code, "") == 0 && *message && pwk_order_is_not_completed(error));
        pwk_order_placed placed;
        pwk_result result;
        pwk_purchase_event event = read_placed(&placed, &result, status, JSON_TYPE, body, strlen(body), 0);

        if (event == PWK_EVENT_REFUSED && worse) {
            fail_msg("%d %s is refused", status, body);
        }
    }
}

/* Cut at any byte, no answer is believed. */
static void cut_answers_are_lost(void **state)
{
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        {200, PLACED_BODY},
        {201, "{\"order_id\":\"ADEPRIMO-123\"}"},
        {400, ERROR("ssn_already_taken_error")},
        {403, ERROR("payment_method_failed")},
        {401, ERROR("unauthorized")},
        {429, ERROR("rate_limited")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t len = 0; len < strlen(cases[i].body); len++) {
            pwk_order_placed placed;
            pwk_result result;

            assert_int_equal(read_placed(&placed, &result, cases[i].status, JSON_TYPE, cases[i].body, len, 0), LOST);
        }
    }
}

static void sizes_are_bounded(void **state)
{
    static const char head[] = "{\"order_id\":\"A-1\",\"x\":\"", tail[] = "\"}";
    static const char error_head[] = "{\"code\":\"invalid_parameter\",\"x\":\"";
    pwk_order_placed placed;
    pwk_result result;

    (void)state;
    for (size_t len = PWK_JSON_MAX - 1; len <= PWK_JSON_MAX + 1; len++) {
        int fits = len <= PWK_JSON_MAX;
        const char *body = apr_pstrcat(pool, head, repeated('x', len - strlen(head) - strlen(tail)), tail, NULL);

        assert_int_equal(strlen(body), len);
        assert_int_equal(read_placed(&placed, &result, 200, JSON_TYPE, body, len, 0),
                         fits ? PWK_EVENT_ACCEPTED : PWK_EVENT_LOST);
        assert_string_equal(result.code, fits ? "" : "too_large");
        body = apr_pstrcat(pool, error_head, repeated('x', len - strlen(error_head) - strlen(tail)), tail, NULL);
        assert_int_equal(read_placed(&placed, &result, 400, JSON_TYPE, body, len, 0),
                         fits ? PWK_EVENT_REFUSED : PWK_EVENT_LOST);
    }
    for (size_t len = PWK_ORDER_ID_MAX - 1; len <= PWK_ORDER_ID_MAX + 1; len++) {
        const char *body = apr_pstrcat(pool, "{\"order_id\":\"", repeated('A', len), "\"}", NULL);

        assert_int_equal(read_placed(&placed, &result, 200, JSON_TYPE, body, strlen(body), 0),
                         len <= PWK_ORDER_ID_MAX ? PWK_EVENT_ACCEPTED : PWK_EVENT_LOST);
    }
    for (size_t len = PWK_URL_MAX - 1; len <= PWK_URL_MAX + 1; len++) {
        const char *body =
            apr_pstrcat(pool, "{\"order_id\":\"A-1\",\"redirect_url\":\"", repeated('u', len), "\"}", NULL);

        assert_int_equal(read_placed(&placed, &result, 200, JSON_TYPE, body, strlen(body), 0), PWK_EVENT_ACCEPTED);
        assert_int_equal(strlen(placed.redirect), len <= PWK_URL_MAX ? len : 0);
    }
    for (size_t len = PWK_CODE_MAX; len <= PWK_CODE_MAX + 1; len++) {
        const char *body = apr_pstrcat(pool, "{\"code\":\"", repeated('c', len), "\",\"message\":\"m\"}", NULL);

        assert_int_equal(read_placed(&placed, &result, 400, JSON_TYPE, body, strlen(body), 0), PWK_EVENT_REFUSED);
        assert_string_equal(result.code, len == PWK_CODE_MAX ? repeated('c', len) : "refused");
    }
    { /* nested too deep for jansson */
        const char *body =
            apr_pstrcat(pool, "{\"order_id\":\"A-1\",\"x\":", repeated('[', 5000), repeated(']', 5000), "}", NULL);

        assert_int_equal(read_placed(&placed, &result, 200, JSON_TYPE, body, strlen(body), 0), PWK_EVENT_LOST);
    }
}

static void results_hold_nobody(void **state)
{
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        {400, "{\"code\":\"invalid_parameter\",\"message\":\"canary@example.com\",\"field\":\"canary@example.com\"}"},
        {403, "{\"message\":\"Payment method failed for canary\"}"},
        {403, "{\"code\":\"ca nary\",\"message\":\"canary\"}"},
        {409, "{\"message\":\"canary\"}"},
        {500, "{\"message\":\"canary\"}"},
        {200, "{\"message\":\"canary\",\"code\":\"x\",\"order_id\":\"canary\"}"},
        {200, "{\"canary\":}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_order_placed placed;
        pwk_result result;

        read_placed(&placed, &result, cases[i].status, JSON_TYPE, cases[i].body, strlen(cases[i].body), 0);
        assert_null(strstr(pwk_result_line(&result, pool), "canary"));
        assert_null(strstr(result.detail, "canary"));
    }
}

static void field_is_kept(void **state)
{
    static const char body[] = "{\"code\":\"invalid_parameter\",\"field\":\"browser_ip\",\"message\":\"m\"}";
    pwk_order_placed placed;
    pwk_result result;

    (void)state;
    read_placed(&placed, &result, 400, JSON_TYPE, body, strlen(body), 0);
    assert_string_equal(result.field, "browser_ip");
}

/* An unknown code of a 403 is in the log, though the ledger gets ours. */
static void unknown_403_is_logged(void **state)
{
    pwk_order_placed placed;
    pwk_result result;

    (void)state;
    read_placed(&placed, &result, 403, JSON_TYPE, ERROR("klarna_refused"), strlen(ERROR("klarna_refused")), 0);
    assert_non_null(strstr(pwk_result_line(&result, pool), "klarna_refused"));
}

/* --- codes and words --- */

static void codes_have_words(void **state)
{
    static const struct {
        const char *code, *word;
        int not_completed;
    } cases[] = {
        {"payment_method_failed", "payment_failed", 1},
        {"Payment_Method_Failed", "payment_failed", 1},
        {"payment_declined", "payment_failed", 1},
        {"not_completed", "payment_failed", 1},
        {"ssn_already_taken_error", "ssn_taken", 1},
        {"ssn_already_taken", "ssn_taken", 1},
        {"ssn_already_set_error", "ssn_set", 1},
        {"ssn_already_set", "ssn_set", 1},
        {"account_update_error", "account_update", 1},
        {"account_update", "account_update", 1},
        {"delivery_address_error", "delivery_address", 1},
        {"delivery_address", "delivery_address", 1},
        {"order_absent", "order_absent", 1},
        {"campaign_already_purchased", "already_bought", 0},
        {"package_already_active", "already_bought", 0},
        {"base_package_already_active", "already_bought", 0},
        {"campaign_purchase_rules_does_not_permit_purchase", "not_permitted", 0},
        {"too_young", "not_permitted", 0},
        {"unauthorized", "order_refused", 0},
        {"forbidden", "order_refused", 0},
        {"access_denied", "order_refused", 0},
        {"", "order_refused", 0},
        {"_error", "order_refused", 0},
        {"error", "order_refused", 0},
        {"invalid_parameter", "order_refused", 0},
        {"not_found", "order_refused", 0},
        {"rate_limited", "order_refused", 0},
        {"payment_method_faile", "order_refused", 0},
        {"payment_method_failed2", "order_refused", 0},
        {"ssn_already_taken_error_error", "order_refused", 0},
        {"ssn_already_takenerror", "order_refused", 0},
        {"ssn", "order_refused", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *copy = exact_text(cases[i].code);

        assert_string_equal(pwk_order_word(copy), cases[i].word);
        assert_int_equal(!!pwk_order_is_not_completed(copy), cases[i].not_completed);
        free(copy);
    }
}

/* --- the list --- */

static pwk_result read_list(pwk_order_search *found, int status, const char *type, const char *body)
{
    char *copy = exact_bytes(body, strlen(body));
    pwk_payway_answer answer = {.status = status, .content_type = type, .body = copy, .len = strlen(body)};
    pwk_result result = pwk_order_read_list(found, ID, &answer, pool);

    free(copy);
    assert_int_equal(result.http_status, status);
    if (result.outcome != PWK_OK) {
        assert_int_equal(found->count, 0);
        assert_int_equal(found->complete, 0);
        assert_string_equal(found->order_id, "");
    }
    return result;
}

#define OURS "{\"order_id\":\"ADEPRIMO-7\",\"merchant_reference\":\"" ID "\"}"
#define OURS_TOO "{\"order_id\":\"ADEPRIMO-8\",\"merchant_reference\":\"" ID "_ref\"}"
#define OTHER "{\"order_id\":\"ADEPRIMO-6\",\"merchant_reference\":\"other\"}"

static void orders_are_found(void **state)
{
    static const struct {
        const char *body;
        int count, complete;
        const char *order_id;
    } cases[] = {
        {"{\"items\":[]}", 0, 1, ""},
        {"{\"items\":[" OTHER "]}", 0, 1, ""},
        {"{\"items\":[" OURS "]}", 1, 1, "ADEPRIMO-7"},
        {"{\"items\":[" OURS_TOO "]}", 1, 1, "ADEPRIMO-8"},
        {"{\"items\":[" OTHER "," OURS "," OTHER "]}", 1, 1, "ADEPRIMO-7"},
        {"{\"items\":[" OURS "," OURS_TOO "]}", 2, 1, "ADEPRIMO-7"},
        {"{\"items\":[" OURS_TOO "," OTHER "," OURS "," OURS "]}", 3, 1, "ADEPRIMO-8"},
        /* neighbours of our reference */
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"" ID "0\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"" ID "-x\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"" ID " \"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"x_" ID "\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"0123456789ABCDEF0123456789ABCDEF\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"0123456789abcdef0123456789abcde\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":\"" ID "_\"}]}", 1, 1, "A"},
        {"{\"items\":[{\"order_id\":\"A\",\"traffic_source\":\"" ID "\"}]}", 0, 1, ""},
        /* an order without a reference is somebody else's; one that cannot be told leaves the list incomplete */
        {"{\"items\":[{\"order_id\":\"A\"}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":null}]}", 0, 1, ""},
        {"{\"items\":[{}]}", 0, 1, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":7}]}", 0, 0, ""},
        {"{\"items\":[{\"order_id\":\"A\",\"merchant_reference\":{\"code\":\"" ID "\"}}]}", 0, 0, ""},
        {"{\"items\":[null]}", 0, 0, ""},
        {"{\"items\":[\"ADEPRIMO-7\"," OURS "]}", 1, 0, "ADEPRIMO-7"},
        /* its id cannot be read: it is there all the same */
        {"{\"items\":[{\"merchant_reference\":\"" ID "\"}]}", 1, 1, ""},
        {"{\"items\":[{\"order_id\":7,\"merchant_reference\":\"" ID "\"}]}", 1, 1, ""},
        {"{\"items\":[{\"order_id\":\"a b\",\"merchant_reference\":\"" ID "\"}," OURS "]}", 2, 1, ""},
        /* pages (payway-api §2.3) */
        {"{\"items\":[],\"page_info\":{\"page_size\":25,\"page_number\":1,\"more_results_available\":false}}", 0, 1,
         ""},
        {"{\"items\":[" OTHER "],\"page_info\":{\"page_number\":1,\"more_results_available\":true}}", 0, 0, ""},
        {"{\"items\":[" OURS "],\"page_info\":{\"page_number\":1,\"more_results_available\":true}}", 1, 0,
         "ADEPRIMO-7"},
        {"{\"items\":[],\"page_info\":{}}", 0, 0, ""},
        {"{\"items\":[],\"page_info\":{\"more_results_available\":null}}", 0, 0, ""},
        {"{\"items\":[],\"page_info\":{\"more_results_available\":0}}", 0, 0, ""},
        {"{\"items\":[],\"page_info\":null}", 0, 1, ""},
        {"{\"items\":[],\"page_info\":[]}", 0, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_order_search found;

        assert_int_equal(read_list(&found, 200, JSON_TYPE, cases[i].body).outcome, PWK_OK);
        if (found.count != cases[i].count || found.complete != cases[i].complete
            || strcmp(found.order_id, cases[i].order_id) != 0) {
            fail_msg("%s: %d, complete %d, \"%s\"", cases[i].body, found.count, found.complete, found.order_id);
        }
    }
}

static void only_a_list_is_a_list(void **state)
{
    static const struct {
        int status;
        const char *type;
        const char *body;
        pwk_outcome outcome;
        const char *code;
    } cases[] = {
        {200, JSON_TYPE, "{}", PWK_UNAVAILABLE, "bad_answer"},
        {200, JSON_TYPE, "{\"items\":null}", PWK_UNAVAILABLE, "bad_answer"},
        {200, JSON_TYPE, "{\"items\":{}}", PWK_UNAVAILABLE, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":" OURS "}", PWK_UNAVAILABLE, "bad_answer"},
        {200, JSON_TYPE, "{\"item\":{\"items\":[]}}", PWK_UNAVAILABLE, "bad_answer"},
        {200, JSON_TYPE, "[]", PWK_UNAVAILABLE, "bad_json"},
        {200, JSON_TYPE, "{\"items\":[", PWK_UNAVAILABLE, "bad_json"},
        {200, JSON_TYPE, "", PWK_UNAVAILABLE, "bad_json"},
        {200, HTML_TYPE, "{\"items\":[]}", PWK_UNAVAILABLE, "bad_content_type"},
        {200, JSON_TYPE, ERROR("not_found"), PWK_UNAVAILABLE, "bad_answer"},
        {204, NULL, "", PWK_UNAVAILABLE, "bad_content_type"},
        {302, JSON_TYPE, "{\"items\":[]}", PWK_UNAVAILABLE, "redirected"},
        {401, JSON_TYPE, ERROR("unauthorized"), PWK_REFUSED, "unauthorized"},
        {403, JSON_TYPE, ERROR("forbidden"), PWK_REFUSED, "forbidden"},
        {403, JSON_TYPE, ERROR("not_found"), PWK_REFUSED, "not_found"},
        {400, JSON_TYPE, ERROR("not_found"), PWK_REFUSED, "not_found"},
        {404, JSON_TYPE, ERROR("other"), PWK_REFUSED, "other"},
        {404, JSON_TYPE, "{\"message\":\"not_found\"}", PWK_REFUSED, "refused"},
        {404, JSON_TYPE, "{\"error\":\"not_found\"}", PWK_REFUSED, "not_found"}, /* OAuth's word, and a proxy's */
        {404, JSON_TYPE, "{\"items\":[]}", PWK_REFUSED, "refused"},
        {404, HTML_TYPE, "{\"code\":\"not_found\"}", PWK_REFUSED, "refused"},
        {404, HTML_TYPE, HTML, PWK_REFUSED, "refused"},
        {404, NULL, "", PWK_REFUSED, "refused"},
        {429, JSON_TYPE, ERROR("x"), PWK_UNAVAILABLE, "rate_limited"},
        {500, JSON_TYPE, ERROR("not_found"), PWK_UNAVAILABLE, "server_error"},
        {503, JSON_TYPE, "{\"items\":[]}", PWK_UNAVAILABLE, "server_error"},
    };
    pwk_order_search found;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_result result = read_list(&found, cases[i].status, cases[i].type, cases[i].body);

        if (result.outcome != cases[i].outcome || strcmp(result.code, cases[i].code) != 0) {
            fail_msg("%d %s: outcome %d, code \"%s\"", cases[i].status, cases[i].body, (int)result.outcome,
                     result.code);
        }
    }
    assert_int_equal(read_list(&found, 404, JSON_TYPE, ERROR("not_found")).outcome, PWK_OK);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.complete, 1);
}

static void a_list_is_bounded(void **state)
{
    (void)state;
    for (size_t count = PWK_ITEMS_MAX - 1; count <= PWK_ITEMS_MAX + 1; count++) {
        char *list = repeated(' ', count * 3);
        pwk_order_search found;
        pwk_result result;

        for (size_t i = 0; i < count; i++) {
            memcpy(list + i * 3, i + 1 < count ? "{}," : "{} ", 3);
        }
        result = read_list(&found, 200, JSON_TYPE, apr_pstrcat(pool, "{\"items\":[", list, "]}", NULL));
        assert_int_equal(result.outcome, count <= PWK_ITEMS_MAX ? PWK_OK : PWK_UNAVAILABLE);
        assert_string_equal(result.code, count <= PWK_ITEMS_MAX ? "" : "too_large");
        assert_int_equal(found.complete, count <= PWK_ITEMS_MAX);
    }
}

/* What is sent is what is looked for. */
static void a_reference_is_found_again(void **state)
{
    static const char *const references[] = {"", "a", "adeprimo campaign/001", "_",
                                             "____________________________________"};

    (void)state;
    for (size_t i = 0; i < COUNT(references); i++) {
        pwk_order_search found;
        const char *body = apr_pstrcat(pool, "{\"items\":[{\"order_id\":\"A-1\",\"merchant_reference\":\"",
                                       pwk_order_reference(ID, references[i], pool), "\"}]}", NULL);

        assert_int_equal(read_list(&found, 200, JSON_TYPE, body).outcome, PWK_OK);
        assert_int_equal(found.count, 1);
        assert_string_equal(found.order_id, "A-1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_asked_for),
        cmocka_unit_test(order_is_placed),
        cmocka_unit_test(conditions_are_the_sales),
        cmocka_unit_test(user_agent_is_visible),
        cmocka_unit_test(traffic_source_is_fit),
        cmocka_unit_test(references),
        cmocka_unit_test(list_is_asked_for),
        cmocka_unit_test(session_is_read),
        cmocka_unit_test(categories_are_read),
        cmocka_unit_test(session_needs_id_and_token),
        cmocka_unit_test(session_is_refused),
        cmocka_unit_test(accepted_answers),
        cmocka_unit_test(redirects_are_not_judged_here),
        cmocka_unit_test(refused_answers),
        cmocka_unit_test(broken_off_answers),
        cmocka_unit_test(lost_answers),
        cmocka_unit_test(only_some_statuses_settle_it),
        cmocka_unit_test(mixed_words_take_the_worse),
        cmocka_unit_test(cut_answers_are_lost),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(results_hold_nobody),
        cmocka_unit_test(field_is_kept),
        cmocka_unit_test(unknown_403_is_logged),
        cmocka_unit_test(codes_have_words),
        cmocka_unit_test(orders_are_found),
        cmocka_unit_test(only_a_list_is_a_list),
        cmocka_unit_test(a_list_is_bounded),
        cmocka_unit_test(a_reference_is_found_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("order", tests, unit_begin, unit_end);
}
