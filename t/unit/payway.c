/* src/core/pwk_payway: what we ask the API, and what counts as its answer. payway-api §2, §5.1, §6, §7; threats
 * F-07..F-09, F-16. */
#include "unit.h"

#include <locale.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "pwk_limits.h"
#include "pwk_payway.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define JSON_TYPE "application/json; charset=utf-8"
#define ACCOUNT "5e4bbd0e09c04c1f6498c57f"

/* --- what we ask --- */

static void asks(pwk_payway_request request, const char *path)
{
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, path);
    assert_null(request.content_type);
    assert_null(request.body);
}

static void reads_are_plain_gets(void **state)
{
    (void)state;
    asks(pwk_payway_me_request(pool), "/external/api/v1/me");
    asks(pwk_payway_my_products_request(pool), "/external/api/v1/me/active_products");
    asks(pwk_payway_products_request(ACCOUNT, pool), "/external/api/v1/accounts/active_products?account_id=" ACCOUNT);
    asks(pwk_payway_periods_request("example_digital", pool),
         "/external/api/v2/klarna_payments/payment_periods?code=example_digital");
    asks(pwk_payway_product_request("example-digital", pool), "/external/api/v2/products?product_code=example-digital");
}

static void values_stay_values(void **state)
{
    static const char odd[] = "a&b=c d/\xc3\xa5?#%+\r\n";
    static const char encoded[] = "a%26b%3Dc%20d%2F%C3%A5%3F%23%25%2B%0D%0A";

    (void)state;
    asks(pwk_payway_products_request(odd, pool),
         apr_pstrcat(pool, "/external/api/v1/accounts/active_products?account_id=", encoded, NULL));
    asks(pwk_payway_periods_request(odd, pool),
         apr_pstrcat(pool, "/external/api/v2/klarna_payments/payment_periods?code=", encoded, NULL));
    asks(pwk_payway_product_request(odd, pool),
         apr_pstrcat(pool, "/external/api/v2/products?product_code=", encoded, NULL));
}

static void token_is_asked_for_in_a_form(void **state)
{
    unsigned char random[12];
    char secret[30];
    pwk_payway_request request;
    int at = 0;

    (void)state;
    assert_int_equal(RAND_bytes(random, sizeof random), 1);
    for (size_t i = 0; i < sizeof random; i++) {
        at += apr_snprintf(secret + at, 3, "%02x", random[i]);
    }
    strcpy(secret + at, "&+=");

    request = pwk_payway_token_request("client 1", secret, PWK_SCOPES_IDENTITY, "ticket/+=&", pool);
    assert_string_equal(request.method, "POST");
    assert_string_equal(request.path, "/api/authorization/access_token");
    assert_string_equal(request.content_type, "application/x-www-form-urlencoded");
    assert_string_equal(request.body,
                        apr_psprintf(pool,
                                     "grant_type=ticket&client_id=client%%201&client_secret=%.*s%%26%%2B%%3D"
                                     "&scope=%%2Fexternal%%2Fme%%2Fw%%20%%2Fexternal%%2Fklarna_payments%%2Fw"
                                     "&ticket=ticket%%2F%%2B%%3D%%26",
                                     at, secret));

    request = pwk_payway_token_request("client 1", secret, "/external/account/r", NULL, pool);
    assert_string_equal(request.path, "/api/authorization/access_token");
    assert_string_equal(request.body,
                        apr_psprintf(pool,
                                     "grant_type=none&client_id=client%%201&client_secret=%.*s%%26%%2B%%3D"
                                     "&scope=%%2Fexternal%%2Faccount%%2Fr",
                                     at, secret));
}

/* --- the five readers, as one --- */

static pwk_result read_token(const pwk_payway_answer *answer)
{
    pwk_payway_token token;
    pwk_result result = pwk_payway_read_token(&token, answer, pool);

    if (result.outcome != PWK_OK) {
        assert_string_equal(token.access_token, "");
        assert_int_equal(token.expires_in_s, 0);
    }
    return result;
}

static pwk_result read_me(const pwk_payway_answer *answer)
{
    pwk_payway_me me;
    pwk_result result = pwk_payway_read_me(&me, answer, pool);

    if (result.outcome != PWK_OK) {
        assert_string_equal(me.id, "");
    }
    return result;
}

static pwk_result read_products(const pwk_payway_answer *answer)
{
    apr_array_header_t *codes;
    const char *account;
    pwk_result result = pwk_payway_read_products(&codes, &account, answer, pool);

    if (result.outcome != PWK_OK) {
        assert_int_equal(codes->nelts, 0);
        assert_string_equal(account, "");
    }
    return result;
}

static pwk_result read_periods(const pwk_payway_answer *answer)
{
    apr_array_header_t *periods;
    pwk_result result = pwk_payway_read_periods(&periods, answer, pool);

    if (result.outcome != PWK_OK) {
        assert_int_equal(periods->nelts, 0);
    }
    return result;
}

static pwk_result read_product(const pwk_payway_answer *answer)
{
    pwk_payway_product product;
    pwk_result result = pwk_payway_read_product(&product, answer, pool);

    if (result.outcome != PWK_OK) {
        assert_string_equal(product.name, "");
        assert_string_equal(product.description, "");
    }
    return result;
}

/* Each with an answer that it accepts, and the member that it cannot do without. */
static const struct reader {
    pwk_result (*read)(const pwk_payway_answer *answer);
    const char *good;
    const char *needs;
} readers[] = {
    {read_token, "{\"access_token\":\"abc\",\"expires_in\":3600}", "access_token"},
    {read_me, "{\"item\":{\"id\":\"" ACCOUNT "\"}}", "id"},
    {read_products, "{\"item\":{\"id\":\"" ACCOUNT "\",\"active_products\":[\"product_web\"]}}", "active_products"},
    {read_periods, "{\"items\":[]}", "items"},
    {read_product, "{\"item\":{\"name\":\"Digital\"}}", "name"},
};

static pwk_payway_answer answer_of(int status, const char *type, const char *body)
{
    return (pwk_payway_answer){.status = status, .content_type = type, .body = body, .len = strlen(body)};
}

static pwk_payway_answer ok(const char *body)
{
    return answer_of(200, JSON_TYPE, body);
}

static void is_unavailable(pwk_result result, const char *code, const char *field, int status)
{
    assert_int_equal(result.outcome, PWK_UNAVAILABLE);
    assert_int_not_equal(result.rv, APR_SUCCESS);
    assert_string_equal(result.code, code);
    assert_string_equal(result.field, field);
    assert_int_equal(result.http_status, status);
}

static void any_2xx_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(readers); i++) {
        for (int status = 200; status <= 299; status++) {
            pwk_payway_answer answer = answer_of(status, JSON_TYPE, readers[i].good);
            pwk_result result = readers[i].read(&answer);

            assert_int_equal(result.outcome, PWK_OK);
            assert_int_equal(result.rv, APR_SUCCESS);
            assert_int_equal(result.http_status, status);
            assert_string_equal(result.code, "");
        }
    }
}

/* The body is a good one, so that the status alone decides. */
static void status_is_judged_first(void **state)
{
    static const struct {
        int from;
        int to;
        pwk_outcome outcome;
        const char *code;
    } cases[] = {
        {-1, 199, PWK_UNAVAILABLE, "bad_status"},   {300, 399, PWK_UNAVAILABLE, "redirected"},
        {400, 400, PWK_REFUSED, "refused"},         {401, 401, PWK_REFUSED, "unauthorized"},
        {402, 402, PWK_REFUSED, "refused"},         {403, 403, PWK_REFUSED, "forbidden"},
        {404, 407, PWK_REFUSED, "refused"},         {408, 408, PWK_UNAVAILABLE, "timeout"},
        {409, 428, PWK_REFUSED, "refused"},         {429, 429, PWK_UNAVAILABLE, "rate_limited"},
        {430, 499, PWK_REFUSED, "refused"},         {500, 599, PWK_UNAVAILABLE, "server_error"},
        {600, 1000, PWK_UNAVAILABLE, "bad_status"},
    };

    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            for (int status = cases[i].from; status <= cases[i].to; status++) {
                pwk_payway_answer answer = answer_of(status, JSON_TYPE, readers[r].good);
                pwk_result result;

                answer.retry_after_s = 17;
                result = readers[r].read(&answer);
                if (result.outcome != cases[i].outcome || strcmp(result.code, cases[i].code) != 0) {
                    fail_msg("%d: outcome %d, code \"%s\"", status, result.outcome, result.code);
                }
                assert_int_not_equal(result.rv, APR_SUCCESS);
                assert_int_equal(result.http_status, status);
                assert_int_equal(result.retry_after_s, 17);
                assert_string_equal(result.field, "");
                assert_string_not_equal(result.detail, "");
            }
        }
    }
}

/* payway-api §2.4, and what such a body must not be able to do. */
static void refusals_keep_their_words(void **state)
{
    static const struct {
        int status;
        const char *type;
        const char *body;
        const char *code;
        const char *field;
    } cases[] = {
        {400, JSON_TYPE, "{\"code\":\"unknown_parameter\",\"message\":\"Unknown parameters: a,b\"}",
         "unknown_parameter", ""},
        {400, JSON_TYPE,
         "{\"code\":\"invalid_parameter\",\"field\":\"account_id\",\"message\":\"Parameter must match format\"}",
         "invalid_parameter", "account_id"},
        {400, JSON_TYPE, "{\"code\":\"invalid_parameter\",\"field\":\"email\",\"message\":\"Parameter is required\"}",
         "invalid_parameter", "email"},
        {400, JSON_TYPE, "{\"code\":\"json_parser_error\",\"message\":\"x\"}", "json_parser_error", ""},
        {400, JSON_TYPE, "{\"code\":\"invalid_content_type_error\",\"message\":\"x\"}", "invalid_content_type_error",
         ""},
        {404, JSON_TYPE, "{\"code\":\"not_found\",\"message\":\"x\"}", "not_found", ""},
        {403, JSON_TYPE, "{\"code\":\"payment_method_failed\",\"message\":\"Payment method failed\"}",
         "payment_method_failed", ""},
        {401, JSON_TYPE, "{\"code\":\"token_expired\"}", "token_expired", ""},
        {400, JSON_TYPE, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", "invalid_grant", ""},
        {400, JSON_TYPE, "{\"error\":\"invalid_scope\",\"code\":\"ours_first\"}", "ours_first", ""},
        {400, JSON_TYPE, "{\"message\":\"no code\"}", "refused", ""},
        {401, JSON_TYPE, "{\"message\":\"no code\"}", "unauthorized", ""},
        {401, JSON_TYPE, "{\"status\":\"error\",\"message\":\"Forbidden\"}", "unauthorized", ""},
        {403, JSON_TYPE, "{}", "forbidden", ""},
        {403, NULL, "", "forbidden", ""},
        {404, JSON_TYPE, "", "refused", ""},
        {400, JSON_TYPE, "{\"code\":7,\"field\":[\"x\"]}", "refused", ""},
        {400, JSON_TYPE, "{\"code\":null,\"field\":null}", "refused", ""},
        {400, JSON_TYPE, "{\"code\":\"\",\"field\":\"\"}", "refused", ""},
        {400, JSON_TYPE, "{\"code\":\"two words\",\"field\":\"a.b\"}", "refused", ""},
        {400, JSON_TYPE, "{\"code\":\"<b>\",\"field\":\"a\\nb\"}", "refused", ""},
        {400, JSON_TYPE, "{\"code\":\"a\",\"code\":\"b\"}", "refused", ""},
        {400, JSON_TYPE, "not json", "refused", ""},
        /* A proxy's page is not Payway's word. */
        {404, "text/html", "{\"code\":\"not_found\",\"field\":\"account_id\"}", "refused", ""},
        {404, NULL, "{\"code\":\"not_found\"}", "refused", ""},
        {403, "text/html", "<html>Access denied</html>", "forbidden", ""},
    };

    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            pwk_payway_answer answer = answer_of(cases[i].status, cases[i].type, cases[i].body);
            pwk_result result = readers[r].read(&answer);

            assert_int_equal(result.outcome, PWK_REFUSED);
            assert_int_equal(result.http_status, cases[i].status);
            if (strcmp(result.code, cases[i].code) != 0 || strcmp(result.field, cases[i].field) != 0) {
                fail_msg("%s: code \"%s\", field \"%s\"", cases[i].body, result.code, result.field);
            }
        }
    }
}

static void refusals_do_not_repeat_messages(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        pwk_payway_answer answer =
            answer_of(400, JSON_TYPE, "{\"code\":\"invalid_parameter\",\"message\":\"canary@example.com\"}");
        pwk_result result = readers[r].read(&answer);

        assert_string_equal(result.code, "invalid_parameter");
        assert_null(strstr(pwk_result_line(&result, pool), "canary"));
        answer = ok("{\"canary\":\"canary\",}");
        result = readers[r].read(&answer);
        assert_int_equal(result.outcome, PWK_UNAVAILABLE);
        assert_null(strstr(pwk_result_line(&result, pool), "canary"));
    }
}

static void success_must_say_that_it_is_json(void **state)
{
    static const char *const good[] = {"application/json", "Application/JSON", "application/json;charset=UTF-8",
                                       "application/json ; charset=utf-8", "application/json\t"};
    static const char *const bad[] = {NULL,         "",
                                      "text/html",  "text/html; charset=utf-8",
                                      "text/plain", "application/jsonp",
                                      "json",       "application/javascript",
                                      " json",      "text/application/json",
                                      "x,",         "application/json, text/html",
                                      "application"};

    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        for (size_t i = 0; i < COUNT(good); i++) {
            pwk_payway_answer answer = answer_of(200, good[i], readers[r].good);

            assert_int_equal(readers[r].read(&answer).outcome, PWK_OK);
        }
        for (size_t i = 0; i < COUNT(bad); i++) {
            pwk_payway_answer answer = answer_of(200, bad[i], readers[r].good);

            is_unavailable(readers[r].read(&answer), "bad_content_type", "", 200);
        }
    }
}

static void success_must_be_json(void **state)
{
    static const char *const bodies[] = {
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "{",
        "<!DOCTYPE html><title>Log in to Wi-Fi</title>",
        "{\"item\":{}",
        "{} x",
        "\xef\xbb\xbf{}",
        "{\"item\":{\"id\":\"a\",\"id\":\"b\"}}",
        "{\"id\":\"\\u0000\"}",
        "{\"id\":\"\xff\"}",
        "{\"n\":1e400}",
    };

    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        for (size_t i = 0; i < COUNT(bodies); i++) {
            pwk_payway_answer answer = ok(bodies[i]);

            is_unavailable(readers[r].read(&answer), "bad_json", "", 200);
        }
        {
            pwk_payway_answer answer = ok(readers[r].good);

            answer.len--;
            is_unavailable(readers[r].read(&answer), "bad_json", "", 200);
            answer.len += 2; /* the NUL after it */
            is_unavailable(readers[r].read(&answer), "bad_json", "", 200);
        }
    }
}

static void size_and_depth_are_bounded(void **state)
{
    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        const char *rest = readers[r].good + 1;

        for (size_t len = PWK_JSON_MAX - 1; len <= PWK_JSON_MAX + 1; len++) {
            char *filler = apr_pcalloc(pool, len);
            pwk_payway_answer answer;

            memset(filler, 'x', len - strlen(rest) - strlen("{\"_\":\"\","));
            answer = ok(apr_pstrcat(pool, "{\"_\":\"", filler, "\",", rest, NULL));
            assert_int_equal(answer.len, len);
            if (len > PWK_JSON_MAX) {
                is_unavailable(readers[r].read(&answer), "too_large", "", 200);
            } else {
                assert_int_equal(readers[r].read(&answer).outcome, PWK_OK);
            }
        }
        for (int depth = PWK_JSON_DEPTH_MAX - 1; depth <= PWK_JSON_DEPTH_MAX + 1; depth++) {
            char open[PWK_JSON_DEPTH_MAX + 2] = "";
            char close[PWK_JSON_DEPTH_MAX + 2] = "";
            pwk_payway_answer answer;

            memset(open, '[', (size_t)depth - 1);
            memset(close, ']', (size_t)depth - 1);
            answer = ok(apr_pstrcat(pool, "{\"_\":", open, close, ",", rest, NULL));
            if (depth > PWK_JSON_DEPTH_MAX) {
                is_unavailable(readers[r].read(&answer), "bad_json", "", 200);
            } else {
                assert_int_equal(readers[r].read(&answer).outcome, PWK_OK);
            }
        }
    }
}

/* Threats F-09: an error under a 200, an empty object, the wrong type. */
static void success_must_hold_what_it_is_for(void **state)
{
    static const char *const bodies[] = {
        "{}", "{\"item\":{}}", "{\"code\":\"internal_server_error\",\"message\":\"x\"}", "{\"item\":{\"unknown\":1}}"};
    static const char *const wrong[] = {"null", "1", "true", "1.5", "{}", "{\"0\":\"x\"}"};

    (void)state;
    for (size_t r = 0; r < COUNT(readers); r++) {
        for (size_t i = 0; i < COUNT(bodies); i++) {
            pwk_payway_answer answer = ok(bodies[i]);

            is_unavailable(readers[r].read(&answer), "bad_answer", readers[r].needs, 200);
        }
        for (size_t i = 0; i < COUNT(wrong); i++) {
            pwk_payway_answer answer = ok(apr_psprintf(pool, "{\"%s\":%s}", readers[r].needs, wrong[i]));

            is_unavailable(readers[r].read(&answer), "bad_answer", readers[r].needs, 200);
            if (readers[r].read != read_periods) {
                answer = ok(apr_psprintf(pool, "{\"item\":%s}", wrong[i]));
                is_unavailable(readers[r].read(&answer), "bad_answer", wrong[i][0] == '{' ? readers[r].needs : "item",
                               200);
            }
        }
    }
}

/* --- token --- */

static void token_is_read_flat_and_in_its_envelope(void **state)
{
    static const char *const bodies[] = {
        "{\"access_token\":\"abc.def\",\"token_type\":\"bearer\",\"expires_in\":3600,\"refresh_token\":\"r\"}",
        "{\"item\":{\"access_token\":\"abc.def\",\"expires_in\":3600}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        pwk_payway_answer answer = ok(bodies[i]);
        pwk_payway_token token;

        assert_int_equal(pwk_payway_read_token(&token, &answer, pool).outcome, PWK_OK);
        assert_string_equal(token.access_token, "abc.def");
        assert_int_equal(token.expires_in_s, 3600);
    }
}

static void token_life_is_clamped(void **state)
{
    static const struct {
        const char *expires_in;
        long life_s;
    } cases[] = {
        {"59", 60},
        {"60", 60},
        {"61", 61},
        {"3599.9", 3599},
        {"7200", 7200},
        {"86399", 86399},
        {"86400", 86400},
        {"86401", 86400},
        {"0", 60},
        {"-1", 60},
        {"-1e300", 60},
        {"1e300", 86400},
        {"9223372036854775807", 86400},
        {"-9223372036854775808", 60},
        {"9007199254740993", 86400},
        {"null", 60},
        {"\"3600\"", 60},
        {"[3600]", 60},
        {"true", 60},
    };
    pwk_payway_answer answer;
    pwk_payway_token token;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        answer = ok(apr_psprintf(pool, "{\"access_token\":\"a\",\"expires_in\":%s}", cases[i].expires_in));
        assert_int_equal(pwk_payway_read_token(&token, &answer, pool).outcome, PWK_OK);
        assert_int_equal(token.expires_in_s, cases[i].life_s);
    }
    answer = ok("{\"access_token\":\"a\"}");
    assert_int_equal(pwk_payway_read_token(&token, &answer, pool).outcome, PWK_OK);
    assert_int_equal(token.expires_in_s, 60);
}

/* It goes into a header. */
static void token_is_visible_and_bounded(void **state)
{
    static const char *const bad[] = {"", " ", "a b", "a\\r\\nHost: evil", "\\u00e5", "\\u007f", "\\t"};
    pwk_payway_answer answer;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        answer = ok(apr_psprintf(pool, "{\"access_token\":\"%s\"}", bad[i]));
        is_unavailable(read_token(&answer), "bad_answer", "access_token", 200);
    }
    for (size_t len = PWK_TOKEN_MAX - 1; len <= PWK_TOKEN_MAX + 1; len++) {
        answer = ok(apr_psprintf(pool, "{\"access_token\":\"%s\"}", repeated('x', len)));
        assert_int_equal(read_token(&answer).outcome, len > PWK_TOKEN_MAX ? PWK_UNAVAILABLE : PWK_OK);
    }
}

/* --- me --- */

static void account_is_read(void **state)
{
    static const char *const bodies[] = {
        "{\"item\":{\"id\":\"" ACCOUNT "\",\"email\":\"eva@example.com\",\"user_products\":[{\"id\":\"x\"}]}}",
        "{\"id\":\"" ACCOUNT "\"}",
    };
    static const char *const bad[] = {"", "a b", "a\\nb", "\\u00e5", "\\u007f"};
    pwk_payway_answer answer;
    pwk_payway_me me;

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        answer = ok(bodies[i]);
        assert_int_equal(pwk_payway_read_me(&me, &answer, pool).outcome, PWK_OK);
        assert_string_equal(me.id, ACCOUNT);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        answer = ok(apr_psprintf(pool, "{\"item\":{\"id\":\"%s\"}}", bad[i]));
        is_unavailable(read_me(&answer), "bad_answer", "id", 200);
    }
    for (size_t len = PWK_ACCOUNT_MAX - 1; len <= PWK_ACCOUNT_MAX + 1; len++) {
        answer = ok(apr_psprintf(pool, "{\"item\":{\"id\":\"%s\"}}", repeated('x', len)));
        assert_int_equal(read_me(&answer).outcome, len > PWK_ACCOUNT_MAX ? PWK_UNAVAILABLE : PWK_OK);
    }
    /* The envelope's, not the one beside it. */
    answer = ok("{\"id\":\"outside\",\"item\":{\"id\":\"inside\"}}");
    assert_int_equal(pwk_payway_read_me(&me, &answer, pool).outcome, PWK_OK);
    assert_string_equal(me.id, "inside");
}

/* --- products --- */

static void products_are(const char *body, const char *expected, const char *expected_account)
{
    pwk_payway_answer answer = ok(body);
    apr_array_header_t *codes;
    const char *account;

    assert_int_equal(pwk_payway_read_products(&codes, &account, &answer, pool).outcome, PWK_OK);
    assert_string_equal(apr_array_pstrcat(pool, codes, ','), expected);
    assert_string_equal(account, expected_account);
}

static void products_are_read(void **state)
{
    (void)state;
    products_are("{\"item\":{\"id\":\"" ACCOUNT
                 "\",\"active_products\":[\"product_web\",\"Web-2\"],\"external_plus_products\":[],"
                 "\"active_articles\":[{\"article_id\":\"a\"}]}}",
                 "product_web,Web-2", ACCOUNT);
    products_are("{\"id\":\"" ACCOUNT "\",\"active_products\":[\"product_web\"]}", "product_web", ACCOUNT);
    products_are("{\"item\":{\"id\":\"" ACCOUNT "\",\"active_products\":[]}}", "", ACCOUNT);
    products_are("{\"active_products\":[\"a\"]}", "a", "");
    products_are("{\"id\":null,\"active_products\":[\"a\"]}", "a", "");
    products_are("{\"id\":7,\"active_products\":[\"a\"]}", "a", "");
    products_are("{\"id\":\"a b\",\"active_products\":[\"a\"]}", "a", "");
    products_are("{\"id\":\"\",\"active_products\":[\"a\"]}", "a", "");
}

static void odd_products_are_passed_over(void **state)
{
    (void)state;
    products_are("{\"active_products\":[\"a\",1,\"b\",null,true,[\"c\"],{\"product_code\":\"d\"},\"\",\"two "
                 "words\",\"a,b\",\"\\u00e5\","
                 "\"e\\n\",\"../x\",\"f\"]}",
                 "a,b,f", "");
    for (size_t len = PWK_CODE_MAX - 1; len <= PWK_CODE_MAX + 1; len++) {
        products_are(apr_psprintf(pool, "{\"active_products\":[\"%s\",\"z\"]}", repeated('x', len)),
                     len > PWK_CODE_MAX ? "z" : apr_pstrcat(pool, repeated('x', len), ",z", NULL), "");
    }
}

/* A list that cannot be read is not an empty list: the reader would lose what they paid for. */
static void unreadable_products_are_not_no_products(void **state)
{
    static const char *const lists[] = {"null", "\"a\"", "\"a,b\"", "{\"0\":\"a\"}", "1", "false"};

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        pwk_payway_answer answer = ok(apr_psprintf(pool, "{\"item\":{\"id\":\"x\",\"active_products\":%s}}", lists[i]));

        is_unavailable(read_products(&answer), "bad_answer", "active_products", 200);
    }
}

static void lists_are_bounded(void **state)
{
    (void)state;
    for (int count = PWK_ITEMS_MAX - 1; count <= PWK_ITEMS_MAX + 1; count++) {
        char *list = apr_pcalloc(pool, (size_t)count * 4 + 1);
        pwk_payway_answer products;
        pwk_payway_answer periods;

        for (int i = 0; i < count; i++) {
            memcpy(list + 4 * i, i ? ",\"a\"" : " \"a\"", 4);
        }
        products = ok(apr_psprintf(pool, "{\"active_products\":[%s]}", list));
        periods = ok(apr_psprintf(pool, "{\"items\":[%s]}", list));
        if (count > PWK_ITEMS_MAX) {
            is_unavailable(read_products(&products), "too_large", "active_products", 200);
            is_unavailable(read_periods(&periods), "too_large", "items", 200);
        } else {
            assert_int_equal(read_products(&products).outcome, PWK_OK);
            assert_int_equal(read_periods(&periods).outcome, PWK_OK);
        }
    }
}

/* --- periods --- */

static apr_array_header_t *periods_in(const char *items)
{
    pwk_payway_answer answer = ok(apr_psprintf(pool, "{\"items\":[%s],\"page_info\":{}}", items));
    apr_array_header_t *periods;

    assert_int_equal(pwk_payway_read_periods(&periods, &answer, pool).outcome, PWK_OK);
    return periods;
}

/* The documented sample, with one member as `value` (NULL: left out). */
static const char *period_with(const char *name, const char *value)
{
    static const char *const members[][2] = {
        {"id", "\"5e4bbd0e09c04c1f6498c57f\""},
        {"payment_method", "\"klarna_payments\""},
        {"type", "\"recurring\""},
        {"enabled", "true"},
        {"iteration_type", "\"month\""},
        {"iteration_length", "1"},
        {"price", "210"},
    };
    const char *text = "{\"unknown\":null";

    for (size_t i = 0; i < COUNT(members); i++) {
        const char *written = strcmp(name, members[i][0]) == 0 ? value : members[i][1];

        if (written) {
            text = apr_pstrcat(pool, text, ",\"", members[i][0], "\":", written, NULL);
        }
    }
    return apr_pstrcat(pool, text, "}", NULL);
}

static void the_documented_periods_are_read(void **state)
{
    apr_array_header_t *periods = periods_in("{\"id\":\"5e4bbd0e09c04c1f6498c57f\",\"payment_method\":\"klarna_"
                                             "payments\",\"type\":\"recurring\",\"enabled\":true,"
                                             "\"iteration_type\":\"month\",\"iteration_length\":1,\"price\":210},"
                                             "{\"id\":\"5e4bbd0e09c04c1f6498c580\",\"payment_method\":\"klarna_"
                                             "payments\",\"type\":\"recurring\",\"enabled\":false,"
                                             "\"iteration_type\":\"month\",\"iteration_length\":2,\"price\":410},"
                                             "{\"id\":\"5E4BBD0E09C04C1F6498C581\",\"payment_method\":\"klarna_"
                                             "payments\",\"type\":\"limited\",\"enabled\":true,"
                                             "\"iteration_type\":\"year\",\"iteration_length\":1,\"price\":1990.5}");
    const pwk_period *first = &APR_ARRAY_IDX(periods, 0, pwk_period);
    const pwk_period *second = &APR_ARRAY_IDX(periods, 1, pwk_period);

    (void)state;
    assert_int_equal(periods->nelts, 2);
    assert_string_equal(first->id, "5e4bbd0e09c04c1f6498c57f");
    assert_int_equal(first->type, PWK_PERIOD_RECURRING);
    assert_string_equal(first->unit, "month");
    assert_int_equal(first->length, 1);
    assert_int_equal(first->price_minor, 21000);
    assert_string_equal(second->id, "5E4BBD0E09C04C1F6498C581");
    assert_int_equal(second->type, PWK_PERIOD_LIMITED);
    assert_string_equal(second->unit, "year");
    assert_int_equal(second->length, 1);
    assert_int_equal(second->price_minor, 199050);
}

static void every_member_of_a_period_counts(void **state)
{
    static const struct {
        const char *name;
        const char *value; /* NULL: left out */
        int is_shown;
    } cases[] = {
        {"", NULL, 1},
        {"id", NULL, 0},
        {"id", "null", 0},
        {"id", "\"\"", 0},
        {"id", "\"5e4bbd0e09c04c1f6498c57\"", 0},
        {"id", "\"5e4bbd0e09c04c1f6498c57f0\"", 0},
        {"id", "\"5e4bbd0e09c04c1f6498c57g\"", 0},
        {"id", "5", 0},
        {"payment_method", NULL, 0},
        {"payment_method", "\"adyen\"", 0},
        {"payment_method", "\"creditcard\"", 0},
        {"payment_method", "\"Klarna_Payments\"", 0},
        {"payment_method", "[\"klarna_payments\"]", 0},
        {"payment_method", "null", 0},
        {"type", "\"limited\"", 1},
        {"type", "\"single\"", 0},
        {"type", "\"\"", 0},
        {"type", NULL, 0},
        {"type", "1", 0},
        {"enabled", "false", 0},
        {"enabled", NULL, 0},
        {"enabled", "null", 0},
        {"enabled", "1", 0},
        {"enabled", "\"true\"", 0},
        {"iteration_type", "\"day\"", 1},
        {"iteration_type", "\"week\"", 1},
        {"iteration_type", "\"month\"", 1},
        {"iteration_type", "\"year\"", 1},
        {"iteration_type", "\"fortnight\"", 0},
        {"iteration_type", "\"months\"", 0},
        {"iteration_type", "\"Month\"", 0},
        {"iteration_type", "\"\"", 0},
        {"iteration_type", "null", 0},
        {"iteration_type", NULL, 0},
        {"iteration_type", "2", 0},
        {"iteration_length", "12", 1},
        {"iteration_length", "12.0", 1},
        {"iteration_length", "998", 1},
        {"iteration_length", "999", 1},
        {"iteration_length", "1000", 0},
        {"iteration_length", "0", 0},
        {"iteration_length", "-1", 0},
        {"iteration_length", "1.5", 0},
        {"iteration_length", "1e300", 0},
        {"iteration_length", "9223372036854775807", 0},
        {"iteration_length", "\"1\"", 0},
        {"iteration_length", "null", 0},
        {"iteration_length", NULL, 0},
        {"price", NULL, 0},
        {"price", "null", 0},
        {"price", "true", 0},
        {"price", "[210]", 0},
        {"price", "{\"amount\":210}", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = period_with(cases[i].name, cases[i].value);
        /* Between two good ones: it is passed over, and they stay. */
        apr_array_header_t *periods = periods_in(apr_pstrcat(pool, period_with("iteration_length", "7"), ",", text, ",",
                                                             period_with("iteration_length", "9"), NULL));

        if (periods->nelts != 2 + cases[i].is_shown) {
            fail_msg("%d periods with %s", periods->nelts, text);
        }
        assert_int_equal(APR_ARRAY_IDX(periods, 0, pwk_period).length, 7);
        assert_int_equal(APR_ARRAY_IDX(periods, periods->nelts - 1, pwk_period).length, 9);
    }
}

static void odd_periods_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(periods_in("")->nelts, 0);
    assert_int_equal(periods_in("null,1,\"x\",[],{},true,1.5")->nelts, 0);
}

static void periods_are_counted(void **state)
{
    const char *items = period_with("iteration_length", "1");

    (void)state;
    for (int count = 1; count <= PWK_PERIODS_MAX + 2; count++) {
        apr_array_header_t *periods = periods_in(items);

        assert_int_equal(periods->nelts, count > PWK_PERIODS_MAX ? PWK_PERIODS_MAX : count);
        for (int i = 0; i < periods->nelts; i++) {
            assert_int_equal(APR_ARRAY_IDX(periods, i, pwk_period).length, i + 1);
        }
        /* One that is not shown takes no place. */
        items = apr_pstrcat(pool, items, ",", period_with("enabled", "false"), ",",
                            period_with("iteration_length", apr_itoa(pool, count + 1)), NULL);
    }
}

/* --- prices --- */

/* The price in öre, or -1 when the period is passed over. */
static apr_int64_t price_of(const char *price)
{
    apr_array_header_t *periods = periods_in(period_with("price", price));

    return periods->nelts ? APR_ARRAY_IDX(periods, 0, pwk_period).price_minor : -1;
}

static void prices_are_read_as_decimals(void **state)
{
    static const struct {
        const char *price;
        apr_int64_t minor;
    } cases[] = {
        {"210", 21000},
        {"0", 0},
        {"1", 100},
        {"210.0", 21000},
        {"210.5", 21050},
        {"99.9", 9990},
        {"99.90", 9990},
        {"99.900", 9990},
        {"99.99", 9999},
        {"0.01", 1},
        {"0.1", 10},
        {"0.29", 29},
        {"0.57", 57},
        {"0.58", 58},
        {"1.1", 110},
        {"1.15", 115},
        {"8.41", 841},
        {"19.99", 1999},
        {"64.1", 6410},
        {"1001.13", 100113},
        {"4.35e2", 43500},
        {"1e2", 10000},
        {"30.000000000000004", 3000}, /* what a sum of binary fractions looks like elsewhere */
        {"999999", 99999900},
        {"999999.99", 99999999},
        {"1000000", 100000000},
        {"1000000.0", 100000000},
        {"1e6", 100000000},
        {"1000000.01", -1},
        {"1000001", -1},
        {"10000000", -1},
        {"99.905", -1},
        {"99.995", -1},
        {"99.999", -1},
        {"0.001", -1},
        {"0.009", -1},
        {"0.015", -1},
        {"0.0000001", -1},
        {"99.90000001", -1},
        {"-1", -1},
        {"-0.01", -1},
        {"-210.5", -1},
        {"-0.0", -1},
        {"1e300", -1},
        {"-1e300", -1},
        {"1e-300", -1},
        {"1e15", -1},
        {"1e16", -1},
        {"9007199254740993", -1},
        {"9223372036854775807", -1},
        {"-9223372036854775808", -1},
        {"\"210\"", 21000},
        {"\"99.50\"", 9950},
        {"\"99.5\"", 9950},
        {"\"99.5000\"", 9950},
        {"\"210.00\"", 21000},
        {"\"0\"", 0},
        {"\"007\"", 700},
        {"\"1000000\"", 100000000},
        {"\"1000000.00\"", 100000000},
        {"\"1000000.01\"", -1},
        {"\"999999999\"", -1},
        {"\"9999999999\"", -1},
        {"\"18446744073709551616\"", -1},
        {"\"99999999999999999999999999999999\"", -1},
        {"\"99.505\"", -1},
        {"\"99.501\"", -1},
        {"\"0.0000000000000000000000000000000000000000000000\"", -1},
        {"\"\"", -1},
        {"\" \"", -1},
        {"\" 210\"", -1},
        {"\"210 \"", -1},
        {"\"210 kr\"", -1},
        {"\"1 990\"", -1},
        {"\"1,990\"", -1},
        {"\"210,50\"", -1},
        {"\"210.\"", -1},
        {"\".5\"", -1},
        {"\".\"", -1},
        {"\"1.2.3\"", -1},
        {"\"1..2\"", -1},
        {"\"1.23.\"", -1},
        {"\"-1\"", -1},
        {"\"+1\"", -1},
        {"\"1e2\"", -1},
        {"\"0x10\"", -1},
        {"\"NaN\"", -1},
        {"\"Infinity\"", -1},
        {"\"\\u0661\"", -1}, /* a digit elsewhere */
        {"\"1\\n\"", -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        apr_int64_t minor = price_of(cases[i].price);

        if (minor != cases[i].minor) {
            fail_msg("%s is read as %" APR_INT64_T_FMT ", not %" APR_INT64_T_FMT, cases[i].price, minor,
                     cases[i].minor);
        }
    }
}

/* That PWK_PERIODS_MAX prices from `from` on, `step` apart, come back as the öre they are, as number and as text. */
static void are_exact(int from, int step)
{
    for (int is_text = 0; is_text <= 1; is_text++) {
        const char *quote = is_text ? "\"" : "";
        apr_pool_t *outer = pool;
        apr_array_header_t *items;
        apr_array_header_t *periods;

        apr_pool_create(&pool, outer);
        items = apr_array_make(pool, PWK_PERIODS_MAX, sizeof(const char *));
        for (int i = 0; i < PWK_PERIODS_MAX; i++) {
            int minor = from + i * step;

            APR_ARRAY_PUSH(items, const char *) =
                period_with("price", apr_psprintf(pool, "%s%d.%02d%s", quote, minor / 100, minor % 100, quote));
        }
        periods = periods_in(apr_array_pstrcat(pool, items, ','));
        assert_int_equal(periods->nelts, PWK_PERIODS_MAX);
        for (int i = 0; i < PWK_PERIODS_MAX; i++) {
            assert_int_equal(APR_ARRAY_IDX(periods, i, pwk_period).price_minor, from + i * step);
        }
        apr_pool_destroy(pool);
        pool = outer;
    }
}

static void every_ore_is_exact(void **state)
{
    (void)state;
    for (int from = 0; from < 16000; from += PWK_PERIODS_MAX) { /* every price up to 160 kr */
        are_exact(from, 1);
    }
    for (int from = 16001; from < PWK_PRICE_MAX - PWK_PERIODS_MAX * 6007; from += PWK_PERIODS_MAX * 6007) {
        are_exact(from, 6007);
    }
    are_exact(PWK_PRICE_MAX - PWK_PERIODS_MAX + 1, 1);
}

/* Something else in the process (a scripting language) may have chosen a locale that writes 210,5. */
static void prices_do_not_depend_on_the_locale(void **state)
{
    static const char *const with_comma[] = {"sv_SE.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8", "sv_SE", "de_DE", "fr_FR"};
    size_t i = 0;

    (void)state;
    while (i < COUNT(with_comma) && !setlocale(LC_NUMERIC, with_comma[i])) {
        i++;
    }
    if (i == COUNT(with_comma)) {
        print_message("# no locale here writes a decimal comma: nothing shown\n");
        return; /* skip() writes "not ok" in TAP, which prove counts as a failure */
    }
    assert_string_equal(localeconv()->decimal_point, ",");
    assert_int_equal(price_of("210.5"), 21050);
    assert_int_equal(price_of("\"210.50\""), 21050);
    assert_int_equal(price_of("99.905"), -1);
    assert_int_equal(price_of("\"210,50\""), -1);
}

/* --- product --- */

static void product_is(const char *body, const char *name, const char *description)
{
    pwk_payway_answer answer = ok(body);
    pwk_payway_product product;

    assert_int_equal(pwk_payway_read_product(&product, &answer, pool).outcome, PWK_OK);
    assert_string_equal(product.name, name);
    assert_string_equal(product.description, description);
}

static void product_texts_are_clean(void **state)
{
    (void)state;
    product_is("{\"item\":{\"name\":\"Digital\",\"description\":\"Allt p\\u00e5 webben\",\"vat_code\":25}}", "Digital",
               "Allt p\xc3\xa5 webben");
    product_is("{\"name\":\"Digital\"}", "Digital", "");
    product_is("{\"name\":\"  A \\r\\n\\t B\\u0007 \",\"description\":\" x\\n\\ny \"}", "A B", "x y");
    product_is("{\"name\":\"A\\u202eB\"}", "AB", "");
    product_is("{\"name\":\"<b>A</b> & \\\"B\\\"\"}", "<b>A</b> & \"B\"", ""); /* whoever shows it encodes it */
    product_is("{\"name\":\"A\",\"description\":null}", "A", "");
    product_is("{\"name\":\"A\",\"description\":7}", "A", "");
    product_is("{\"name\":\"A\",\"description\":[\"x\"]}", "A", "");
}

static void product_needs_a_name(void **state)
{
    static const char *const names[] = {"\"\"", "\" \"", "\"\\n\\t\"", "\"\\u2066\\u202e\"", "[\"A\"]"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        pwk_payway_answer answer = ok(apr_psprintf(pool, "{\"item\":{\"name\":%s,\"description\":\"x\"}}", names[i]));

        is_unavailable(read_product(&answer), "bad_answer", "name", 200);
    }
}

static void product_texts_are_cut(void **state)
{
    (void)state;
    for (size_t len = PWK_TEXT_MAX - 1; len <= PWK_TEXT_MAX + 1; len++) {
        pwk_payway_answer answer =
            ok(apr_psprintf(pool, "{\"name\":\"%s\",\"description\":\"%s\"}", repeated('x', len), repeated('x', len)));
        pwk_payway_product product;

        assert_int_equal(pwk_payway_read_product(&product, &answer, pool).outcome, PWK_OK);
        assert_string_equal(product.name, product.description);
        if (len > PWK_TEXT_MAX) {
            assert_true(strlen(product.name) <= PWK_TEXT_MAX);
            assert_non_null(strstr(product.name, "\xe2\x80\xa6"));
        } else {
            assert_string_equal(product.name, repeated('x', len));
        }
    }
}

/* --- the run --- */

static int set_locale_back(void **state)
{
    setlocale(LC_NUMERIC, "C");
    (void)state;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_plain_gets),
        cmocka_unit_test(values_stay_values),
        cmocka_unit_test(token_is_asked_for_in_a_form),
        cmocka_unit_test(any_2xx_is_read),
        cmocka_unit_test(status_is_judged_first),
        cmocka_unit_test(refusals_keep_their_words),
        cmocka_unit_test(refusals_do_not_repeat_messages),
        cmocka_unit_test(success_must_say_that_it_is_json),
        cmocka_unit_test(success_must_be_json),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(success_must_hold_what_it_is_for),
        cmocka_unit_test(token_is_read_flat_and_in_its_envelope),
        cmocka_unit_test(token_life_is_clamped),
        cmocka_unit_test(token_is_visible_and_bounded),
        cmocka_unit_test(account_is_read),
        cmocka_unit_test(products_are_read),
        cmocka_unit_test(odd_products_are_passed_over),
        cmocka_unit_test(unreadable_products_are_not_no_products),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(the_documented_periods_are_read),
        cmocka_unit_test(every_member_of_a_period_counts),
        cmocka_unit_test(odd_periods_are_passed_over),
        cmocka_unit_test(periods_are_counted),
        cmocka_unit_test(prices_are_read_as_decimals),
        cmocka_unit_test(every_ore_is_exact),
        cmocka_unit_test_teardown(prices_do_not_depend_on_the_locale, set_locale_back),
        cmocka_unit_test(product_texts_are_clean),
        cmocka_unit_test(product_needs_a_name),
        cmocka_unit_test(product_texts_are_cut),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("payway", tests, unit_begin, unit_end);
}
