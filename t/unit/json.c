/* src/core/pwk_json: what counts as JSON here, and what is read out of it. Threats F-07, F-08. */
#include "unit.h"

#include <apr_strings.h>
#include <apr_tables.h>

#include "pwk_json.h"
#include "pwk_limits.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Parses an exact-size copy, so that a sanitizer sees the first byte read past the end. */
static pwk_result parse_bytes(json_t **json, const void *bytes, apr_size_t len)
{
    char *copy = exact_bytes(bytes, len);
    pwk_result result;

    result = pwk_json_object(json, copy, len, pool);
    free(copy);
    return result;
}

static pwk_result parse(json_t **json, const char *text)
{
    return parse_bytes(json, text, strlen(text));
}

static json_t *object_of(const char *text)
{
    json_t *json;
    pwk_result result = parse(&json, text);

    if (result.outcome != PWK_OK) {
        fail_msg("refused: %s: %s", text, result.detail);
    }
    assert_non_null(json);
    return json;
}

static void refused(const void *bytes, apr_size_t len, const char *code)
{
    json_t *json = (json_t *)&pool; /* a refusal must not leave what was there */
    pwk_result result = parse_bytes(&json, bytes, len);

    if (result.outcome != PWK_UNAVAILABLE || strcmp(result.code, code) != 0) {
        fail_msg("outcome %d, code \"%s\", not \"%s\" for: %.60s", result.outcome, result.code, code,
                 (const char *)bytes);
    }
    assert_int_not_equal(result.rv, APR_SUCCESS);
    assert_null(json);
}

static void good_objects_are_read(void **state)
{
    static const char *const texts[] = {
        "{}",
        " \t\r\n{} \t\r\n",
        "{\"a\":null,\"b\":true,\"c\":[1,2.5,-3,1e3,\"x\"],\"d\":{\"a\":1}}",
        "{\"\":\"empty name\"}",
        "{\"a\":\"\\u00e5\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
        "{\"a\":\"\xc3\xa5\xf0\x9f\x98\x80\xef\xbf\xbf\x7f\"}",
        "{\"a\":9223372036854775807,\"b\":-9223372036854775808}",
        "{\"a\":{\"x\":1},\"b\":{\"x\":1}}", /* the same key in two objects is none twice */
        "{\"a\":1,\"A\":2}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        object_of(texts[i]);
    }
}

static void bad_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "\n",
        "null",
        "true",
        "1",
        "\"text\"",
        "[]",
        "[{}]",
        "nul",
        "{",
        "}",
        "{}}",
        "{]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{\"a\":1}x",
        "{}{}",
        "{} null",
        "{}//",
        "/**/{}",
        "{\"a\":1/**/}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":5.}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":0x10}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":1e400}",
        "{\"a\":-1e400}",
        "{\"a\":12345678901234567890}",
        "{\"a\":9223372036854775808}",
        "{\"a\":True}",
        "{\"a\":undefined}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":\"x}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"line\nhere\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\\u0000b\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\udc00\\ud800\"}",
        "{\"a\":\"\\ud83dx\"}",
        "\xef\xbb\xbf{}",
        "<!DOCTYPE html><title>Log in to Wi-Fi</title>",
        /* the same key twice, also when it is spelled in another way, or deep inside */
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"x\":[{\"a\":1,\"a\":2}]}",
        "{\"item\":{\"a\":1,\"a\":2}}",
        "{\"\":1,\"\":2}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        refused(texts[i], strlen(texts[i]), "bad_json");
    }
}

static void broken_utf8_is_refused(void **state)
{
    static const char *const bytes[] = {
        "\x80",
        "\xbf",
        "\xc3",
        "\xc3(",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x9f\x98",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xe5",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bytes); i++) {
        const char *value = apr_pstrcat(pool, "{\"a\":\"", bytes[i], "\"}", NULL);
        const char *name = apr_pstrcat(pool, "{\"", bytes[i], "\":1}", NULL);
        const char *outside = apr_pstrcat(pool, "{", bytes[i], "}", NULL);

        refused(value, strlen(value), "bad_json");
        refused(name, strlen(name), "bad_json");
        refused(outside, strlen(outside), "bad_json");
    }
}

static void nul_is_refused_anywhere(void **state)
{
    static const char text[] = "{\"a\":\"b\"}";

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char changed[sizeof text];

        memcpy(changed, text, sizeof text);
        changed[i] = '\0';
        refused(changed, sizeof text - 1, "bad_json");
    }
    refused("{}\0", 3, "bad_json");
    refused("\0{}", 3, "bad_json");
}

static void nothing_is_refused(void **state)
{
    json_t *json = (json_t *)&pool;

    (void)state;
    assert_int_equal(pwk_json_object(&json, NULL, 0, pool).outcome, PWK_UNAVAILABLE);
    assert_null(json);
}

static void size_is_bounded(void **state)
{
    static const char head[] = "{\"a\":\"";
    static const char tail[] = "\"}";
    const apr_size_t frame = sizeof head + sizeof tail - 2;

    (void)state;
    for (apr_size_t len = PWK_JSON_MAX - 1; len <= PWK_JSON_MAX + 1; len++) {
        char *text = apr_palloc(pool, len);
        json_t *json;

        memset(text, 'x', len);
        memcpy(text, head, sizeof head - 1);
        memcpy(text + len - (sizeof tail - 1), tail, sizeof tail - 1);
        if (len > PWK_JSON_MAX) {
            refused(text, len, "too_large");
        } else {
            assert_int_equal(parse_bytes(&json, text, len).outcome, PWK_OK);
            assert_int_equal(json_string_length(json_object_get(json, "a")), len - frame);
        }
    }
}

/* {"a":[[…]]} or {"a":{"a":…}}, `depth` levels in all. */
static const char *nested(int depth, const char *open, const char *close)
{
    apr_array_header_t *parts = apr_array_make(pool, depth * 2 + 3, sizeof(const char *));

    APR_ARRAY_PUSH(parts, const char *) = "{\"a\":";
    for (int i = 1; i < depth; i++) {
        APR_ARRAY_PUSH(parts, const char *) = open;
    }
    APR_ARRAY_PUSH(parts, const char *) = "1";
    for (int i = 1; i < depth; i++) {
        APR_ARRAY_PUSH(parts, const char *) = close;
    }
    APR_ARRAY_PUSH(parts, const char *) = "}";
    return apr_array_pstrcat(pool, parts, 0);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    object_of(nested(PWK_JSON_DEPTH_MAX - 1, "[", "]"));
    object_of(nested(PWK_JSON_DEPTH_MAX, "[", "]"));
    object_of(nested(PWK_JSON_DEPTH_MAX, "{\"a\":", "}"));
    for (int depth = PWK_JSON_DEPTH_MAX + 1; depth < 3000; depth += 967) {
        json_t *json;
        const char *lists = nested(depth, "[", "]");
        const char *objects = nested(depth, "{\"a\":", "}");

        refused(lists, strlen(lists), "bad_json");
        refused(objects, strlen(objects), "bad_json");
        /* Ours, not jansson's own bound of 2048. */
        assert_string_equal(parse(&json, lists).detail, "nested too deep");
        assert_string_equal(parse(&json, objects).detail, "nested too deep");
    }
}

static void brackets_alone_do_not_exhaust_the_stack(void **state)
{
    char *text = apr_palloc(pool, PWK_JSON_MAX);
    json_t *json;

    (void)state;
    memset(text, '[', PWK_JSON_MAX);
    refused(text, PWK_JSON_MAX, "bad_json");
    memset(text, ']', PWK_JSON_MAX / 2);
    refused(text, PWK_JSON_MAX, "bad_json");
    assert_int_equal(parse_bytes(&json, "{", 1).outcome, PWK_UNAVAILABLE);
    assert_int_equal(parse_bytes(&json, "{\"\\", 3).outcome, PWK_UNAVAILABLE);
}

static void depth_ignores_brackets_in_strings(void **state)
{
    char many[201];
    json_t *json;

    (void)state;
    memset(many, '[', 200);
    many[200] = '\0';
    object_of(apr_pstrcat(pool, "{\"", many, "\":\"", many, "\"}", NULL));
    /* An escaped quote does not end a string, and an escaped backslash escapes nothing. */
    object_of(apr_pstrcat(pool, "{\"a\":\"\\\"", many, "\"}", NULL));
    object_of(apr_pstrcat(pool, "{\"a\":\"\\\\\",\"b\":\"", many, "\"}", NULL));
    assert_string_equal(parse(&json, apr_pstrcat(pool, "{\"a\":\"\\\\\",\"b\":", many, NULL)).detail,
                        "nested too deep");
    /* Closers inside a string close nothing. */
    memset(many, ']', 200);
    assert_string_equal(
        parse(&json, apr_pstrcat(pool, "{\"", many, "\":", nested(PWK_JSON_DEPTH_MAX, "[", "]"), "}", NULL)).detail,
        "nested too deep");
    object_of(apr_pstrcat(pool, "{\"", many, "\":", nested(PWK_JSON_DEPTH_MAX - 1, "[", "]"), "}", NULL));
}

static void siblings_are_not_nested(void **state)
{
    const char *text = "{\"a\":[0";

    (void)state;
    for (int i = 0; i < 2 * PWK_JSON_DEPTH_MAX; i++) {
        text = apr_pstrcat(pool, text, ",[1],{}", NULL);
    }
    object_of(apr_pstrcat(pool, text, "]}", NULL));
}

static void failures_do_not_quote_the_answer(void **state)
{
    static const char *const texts[] = {
        "{\"canary\":canary}", "{\"a\":1,\"canary\":2,\"canary\":3}", "{\"a\":\"canary\xff\"}", "canary", "{} canary",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_t *json;
        pwk_result result = parse(&json, texts[i]);

        assert_int_equal(result.outcome, PWK_UNAVAILABLE);
        assert_null(strstr(pwk_result_line(&result, pool), "canary"));
    }
}

static void objects_go_with_their_pool(void **state)
{
    apr_pool_t *p;
    json_t *read;
    json_t *made;

    (void)state;
    apr_pool_create(&p, pool);
    assert_int_equal(pwk_json_object(&read, "{\"a\":[1]}", 9, p).outcome, PWK_OK);
    made = pwk_json_new(p);
    json_incref(read);
    json_incref(made);
    apr_pool_destroy(p);
    assert_int_equal(read->refcount, 1);
    assert_int_equal(made->refcount, 1);
    json_decref(read);
    json_decref(made);
}

static void text_is_text_within_bounds(void **state)
{
    const json_t *object =
        object_of("{\"text\":\"abc\",\"empty\":\"\",\"null\":null,\"int\":1,\"real\":1.5,\"true\":true,"
                  "\"list\":[\"abc\"],\"object\":{\"text\":\"abc\"},\"utf8\":\"\\u00e5\\u00e4\"}");
    static const char *const none[] = {"absent", "null", "int", "real", "true", "list", "object", ""};

    (void)state;
    assert_string_equal(pwk_json_text(object, "text", 4, pool), "abc");
    assert_string_equal(pwk_json_text(object, "text", 3, pool), "abc");
    assert_null(pwk_json_text(object, "text", 2, pool));
    assert_string_equal(pwk_json_text(object, "empty", 0, pool), "");
    assert_string_equal(pwk_json_text(object, "utf8", 4, pool), "\xc3\xa5\xc3\xa4"); /* bytes, not characters */
    assert_null(pwk_json_text(object, "utf8", 3, pool));
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_null(pwk_json_text(object, none[i], 100, pool));
    }
    assert_null(pwk_json_text(NULL, "text", 100, pool));
    /* A copy: the object may go first. */
    assert_ptr_not_equal(pwk_json_text(object, "text", 3, pool), json_string_value(json_object_get(object, "text")));
}

static void text_has_no_control_byte(void **state)
{
    (void)state;
    for (int byte = 1; byte <= 0x80; byte++) {
        const json_t *object = object_of(apr_psprintf(pool, "{\"a\":\"x\\u%04xy\"}", byte));
        const char *text = pwk_json_text(object, "a", 10, pool);

        if (byte < 0x20 || byte == 0x7f) {
            assert_null(text);
        } else {
            assert_non_null(text);
        }
    }
}

static void whole_numbers_are_read(void **state)
{
    static const struct {
        const char *value;
        json_int_t min;
        json_int_t max;
        int is_read;
        json_int_t read;
    } cases[] = {
        {"5", 0, 10, 1, 5},
        {"0", 0, 10, 1, 0},
        {"10", 0, 10, 1, 10},
        {"11", 0, 10, 0, 0},
        {"-1", 0, 10, 0, 0},
        {"-1", -1, 10, 1, -1},
        {"5.0", 0, 10, 1, 5},
        {"1e1", 0, 10, 1, 10},
        {"-0.0", 0, 10, 1, 0},
        {"5.5", 0, 10, 0, 0},
        {"0.1", 0, 10, 0, 0},
        {"10.000001", 0, 11, 0, 0},
        {"1e300", 0, 10, 0, 0},
        {"1e300", INT64_MIN, INT64_MAX, 0, 0},
        {"-1e300", INT64_MIN, INT64_MAX, 0, 0},
        {"9007199254740992.0", INT64_MIN, INT64_MAX, 1, 9007199254740992},
        {"9007199254740994.0", INT64_MIN, INT64_MAX, 0, 0},
        {"-9007199254740992.0", INT64_MIN, INT64_MAX, 1, -9007199254740992},
        {"9.3e18", INT64_MIN, INT64_MAX, 0, 0},
        {"9007199254740993", INT64_MIN, INT64_MAX, 1, 9007199254740993},
        {"9223372036854775807", INT64_MIN, INT64_MAX, 1, INT64_MAX},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, 1, INT64_MIN},
        {"\"5\"", 0, 10, 0, 0},
        {"\"\"", 0, 10, 0, 0},
        {"null", 0, 10, 0, 0},
        {"true", 0, 10, 0, 0},
        {"false", 0, 10, 0, 0},
        {"[5]", 0, 10, 0, 0},
        {"{\"n\":5}", 0, 10, 0, 0},
    };
    json_int_t value = 77;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const json_t *object = object_of(apr_psprintf(pool, "{\"n\":%s}", cases[i].value));

        value = 77;
        if (pwk_json_int(object, "n", cases[i].min, cases[i].max, &value) != cases[i].is_read) {
            fail_msg("%s", cases[i].value);
        }
        assert_true(value == (cases[i].is_read ? cases[i].read : 77));
    }
    value = 77;
    assert_int_equal(pwk_json_int(object_of("{}"), "n", 0, 10, &value), 0);
    assert_int_equal(pwk_json_int(NULL, "n", 0, 10, &value), 0);
    assert_int_equal(value, 77);
}

static void envelope_may_be_there_or_not(void **state)
{
    static const char *const odd[] = {"null", "[]", "[{}]", "\"x\"", "1", "true"};
    const json_t *with = object_of("{\"item\":{\"id\":\"a\"},\"id\":\"b\"}");
    const json_t *flat = object_of("{\"id\":\"b\"}");
    const json_t *list = object_of("{\"items\":[1,2]}");

    (void)state;
    assert_string_equal(pwk_json_text(pwk_json_item(with), "id", 9, pool), "a");
    assert_ptr_equal(pwk_json_item(flat), flat);
    assert_null(pwk_json_item(NULL));
    assert_int_equal(json_array_size(pwk_json_items(list)), 2);
    assert_non_null(pwk_json_items(object_of("{\"items\":[]}")));
    assert_null(pwk_json_items(flat));
    for (size_t i = 0; i < COUNT(odd); i++) {
        assert_null(pwk_json_item(object_of(apr_psprintf(pool, "{\"item\":%s,\"id\":\"b\"}", odd[i]))));
        if (odd[i][0] != '[') {
            assert_null(pwk_json_items(object_of(apr_psprintf(pool, "{\"items\":%s}", odd[i]))));
        }
    }
    assert_null(pwk_json_items(object_of("{\"items\":{\"0\":1}}")));
}

static void dump_is_compact_and_reads_back(void **state)
{
    static const char text[] = "{\"z\":1,\"a\":[true,null,\"\\\"\\\\\\n\xc3\xa5\"],\"m\":{\"x\":-5}}";
    json_t *json = object_of(text);
    json_t *made = pwk_json_new(pool);

    (void)state;
    assert_string_equal(pwk_json_dump(json, pool), text); /* in the order given, nothing between */
    assert_string_equal(pwk_json_dump(made, pool), "{}");
    json_object_set_new(made, "a", json_string("</script>"));
    assert_true(json_equal(made, object_of(pwk_json_dump(made, pool))));
    assert_null(pwk_json_dump(NULL, pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_objects_are_read),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(broken_utf8_is_refused),
        cmocka_unit_test(nul_is_refused_anywhere),
        cmocka_unit_test(nothing_is_refused),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(brackets_alone_do_not_exhaust_the_stack),
        cmocka_unit_test(depth_ignores_brackets_in_strings),
        cmocka_unit_test(siblings_are_not_nested),
        cmocka_unit_test(failures_do_not_quote_the_answer),
        cmocka_unit_test(objects_go_with_their_pool),
        cmocka_unit_test(text_is_text_within_bounds),
        cmocka_unit_test(text_has_no_control_byte),
        cmocka_unit_test(whole_numbers_are_read),
        cmocka_unit_test(envelope_may_be_there_or_not),
        cmocka_unit_test(dump_is_compact_and_reads_back),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("json", tests, unit_begin, unit_end);
}
