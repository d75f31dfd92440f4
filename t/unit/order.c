/* src/core/pwk_order: what is sent to make a session, place an order and look for one, and how session and list are
 * read. payway-api §2, §3, §7.5. */
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
    pwk_payway_request request = pwk_order_list_request(ACCOUNT, 1, pool);

    (void)state;
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/external/api/v1/order?account_id=" ACCOUNT);
    assert_null(request.body);
    assert_false(request.once);
    assert_string_equal(pwk_order_list_request("a&b=c/", 1, pool).path,
                        "/external/api/v1/order?account_id=a%26b%3Dc%2F");
    assert_string_equal(pwk_order_list_request("ab", 2, pool).path,
                        "/external/api/v1/order?account_id=ab&page_number=2");
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

#define WITH(id, more) "{\"order_id\":\"" id "\",\"merchant_reference\":\"" ID "\"," more "}"
#define PAID "{\"payment_result\":{\"order_status\":\"ok\",\"error_code\":null}}"
#define UNPAID "{\"payment_result\":{\"error_code\":\"declined\"}}"

/* An order that is still open, or whose payments all went wrong, proves neither that it was bought nor that it was not. */
static void open_orders_prove_nothing(void **state)
{
    static const struct {
        const char *items;
        int count, open;
        const char *order_id;
    } cases[] = {
        {WITH("A", "\"state\":\"closed\""), 1, 0, "A"},
        {WITH("A", "\"state\":\"Closed\""), 1, 0, "A"},
        {WITH("A", "\"state\":\"\""), 1, 0, "A"},
        {WITH("A", "\"state\":null"), 1, 0, "A"},
        {WITH("A", "\"state\":7"), 1, 0, "A"},
        {WITH("A", "\"state\":\"open\""), 0, 1, "A"},
        {WITH("A", "\"state\":\"pending\"") "," WITH("B", "\"state\":\"closed\""), 1, 1, "B"},
        {WITH("B", "\"state\":\"closed\"") "," WITH("A", "\"state\":\"pending\""), 1, 1, "B"},
        {WITH("A", "\"state\":\"pending\"") "," WITH("B", "\"state\":\"open\""), 0, 2, "A"},
        {WITH("A", "\"payments\":[" PAID "]"), 1, 0, "A"},
        {WITH("A", "\"payments\":[]"), 1, 0, "A"},
        {WITH("A", "\"payments\":null"), 1, 0, "A"},
        {WITH("A", "\"payments\":[{}]"), 1, 0, "A"},
        {WITH("A", "\"payments\":[{\"payment_result\":{\"error_code\":\"\"}}]"), 1, 0, "A"},
        {WITH("A", "\"payments\":[" UNPAID "]"), 0, 1, "A"},
        {WITH("A", "\"payments\":[" UNPAID "," UNPAID "]"), 0, 1, "A"},
        {WITH("A", "\"payments\":[" UNPAID "," PAID "]"), 1, 0, "A"},
        {WITH("A", "\"payments\":[{\"payment_result\":{\"error_code\":17}}]"), 0, 1, "A"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_order_search found;
        const char *body = apr_pstrcat(pool, "{\"items\":[", cases[i].items, "]}", NULL);

        assert_int_equal(read_list(&found, 200, JSON_TYPE, body).outcome, PWK_OK);
        if (found.count != cases[i].count || found.open != cases[i].open
            || strcmp(found.order_id, cases[i].order_id) != 0) {
            fail_msg("%s: %d, open %d, \"%s\"", body, found.count, found.open, found.order_id);
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
    /* A 404 is no list, whoever says it: absence is read from a list alone. */
    assert_int_equal(read_list(&found, 404, JSON_TYPE, ERROR("not_found")).outcome, PWK_REFUSED);
    assert_int_equal(found.complete | found.more, 0);
    assert_int_equal(
        read_list(&found, 200, JSON_TYPE, "{\"items\":[],\"page_info\":{\"more_results_available\":true}}").outcome,
        PWK_OK);
    assert_int_equal(found.complete, 0);
    assert_int_equal(found.more, 1);
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
        cmocka_unit_test(session_is_asked_for),      cmocka_unit_test(order_is_placed),
        cmocka_unit_test(conditions_are_the_sales),  cmocka_unit_test(user_agent_is_visible),
        cmocka_unit_test(traffic_source_is_fit),     cmocka_unit_test(references),
        cmocka_unit_test(list_is_asked_for),         cmocka_unit_test(session_is_read),
        cmocka_unit_test(categories_are_read),       cmocka_unit_test(session_needs_id_and_token),
        cmocka_unit_test(session_is_refused),        cmocka_unit_test(orders_are_found),
        cmocka_unit_test(open_orders_prove_nothing), cmocka_unit_test(only_a_list_is_a_list),
        cmocka_unit_test(a_list_is_bounded),         cmocka_unit_test(a_reference_is_found_again),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("order", tests, unit_begin, unit_end);
}
