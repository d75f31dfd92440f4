#include "unit.h"

#include <apr_strings.h>

#include "pwk_cookie.h"
#include "pwk_limits.h"

#define OURS "__Host-payway"

static const char *const ours[] = {OURS, OURS "-login", NULL};

/* Looks for `name` in a header without a byte to spare. */
static pwk_cookie_presence find_named(const char **value, const char *cookies, const char *name)
{
    char *copy = exact_text(cookies);
    pwk_cookie_presence presence = pwk_cookie_find(value, copy, name, pool);

    free(copy);
    assert_true((presence == PWK_COOKIE_FOUND) == (*value != NULL));
    return presence;
}

static pwk_cookie_presence find(const char **value, const char *cookies)
{
    *value = "left from before";
    return find_named(value, cookies, OURS);
}

static void a_cookie_is_found(void **state)
{
    static const struct {
        const char *cookies, *value;
    } table[] = {
        {OURS "=x", "x"},
        {OURS "=", ""},
        {OURS "==", "="},
        {OURS "=a=b", "a=b"},
        {OURS "=x;", "x"},
        {OURS "=x ;", "x"},
        {" " OURS "=x", "x"},
        {"\t " OURS " \t= \tx\t ", "x"},
        {"a=1; " OURS "=x", "x"},
        {"a=1;" OURS "=x;b=2", "x"},
        {OURS "=x; a=1", "x"},
        {";" OURS "=x", "x"},
        {"; ;" OURS "=x; ;", "x"},
        {"a; ;b;" OURS "=x", "x"},
        {"=; =1; " OURS "=x", "x"},
        {OURS "=\"x\"", "x"},
        {OURS "=\"\"", ""},
        {OURS "=\"", "\""},
        {OURS "=\"x", "\"x"},
        {OURS "=x\"", "x\""},
        {OURS "=\"\"\"", "\""},
        {OURS "= \"x y\" ", "x y"},
        {OURS "=\"a; b=2\"", "\"a"}, /* quotes hide no semicolon: no server reads them so */
        {OURS "; " OURS "=x", "x"},  /* a name without '=' is no cookie */
        {OURS "=x; " OURS, "x"},
        {OURS "=x; " OURS "-login=y", "x"},
        {OURS "-login=y; " OURS "=x", "x"},
        {OURS "=x; __host-payway=y", "x"},
        {OURS "=\xff\x01", "\xff\x01"},
        {"a=\"; " OURS "=x; b=\"", "x"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *value;

        assert_int_equal(find(&value, table[i].cookies), PWK_COOKIE_FOUND);
        assert_string_equal(value, table[i].value);
    }
}

static void no_other_cookie_is_taken_for_it(void **state)
{
    static const char *const table[] = {
        "",
        " ",
        "\t",
        ";",
        ";;;",
        "; ; ;",
        "=",
        "==",
        "=;=",
        "a",
        "a=1",
        "a=1; b=2",
        "a; ;b",
        OURS,
        OURS ";",
        " " OURS " ",
        OURS "; a=1",
        "x" OURS "=1",
        OURS "x=1",
        "__host-payway=1",
        "__HOST-PAYWAY=1",
        "__Host-paywa=1",
        "_Host-payway=1",
        "=" OURS "=1",
        "a=" OURS "=1",
        "a=1 " OURS "=1",
        "a=1, " OURS "=1",
        "\"" OURS "\"=1",
        "$" OURS "=1",
        OURS "-login=1",
        "__Host-payway%3D1",
        "__Host-%70ayway=1",
        "__Host payway=1",
        OURS "\v=1",
        "\xa0" OURS "=1",
        "a=\"\\\"; b=\"",
        "=\"",
        "\"=",
        "\"",
        ";\"",
        "=;",
    };
    const char *value = "left from before";
    size_t i;

    (void)state;
    assert_int_equal(pwk_cookie_find(&value, NULL, OURS, pool), PWK_COOKIE_ABSENT);
    assert_null(value);
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (find(&value, table[i]) != PWK_COOKIE_ABSENT) {
            fail_msg("found in \"%s\"", table[i]);
        }
    }
}

static void a_name_that_comes_twice_counts_as_none(void **state)
{
    static const char *const table[] = {
        OURS "=x; " OURS "=y",
        OURS "=x; " OURS "=x",
        OURS "=;" OURS "=",
        OURS "=x; a=1; " OURS "=y",
        OURS "=x;\t" OURS " =y",
        OURS "=\"x\"; " OURS "=x",
        "a=1;" OURS "=x;" OURS "=y;" OURS "=z",
    };
    const char *value;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(find(&value, table[i]), PWK_COOKIE_AMBIGUOUS);
    }
    /* also when one of the two could not be ours */
    assert_int_equal(find(&value, apr_pstrcat(pool, OURS "=x; " OURS "=", repeated('y', PWK_COOKIE_MAX + 1), NULL)),
                     PWK_COOKIE_AMBIGUOUS);
}

static void a_value_has_its_limit(void **state)
{
    int quoted;

    (void)state;
    for (quoted = 0; quoted <= 1; quoted++) {
        size_t len;

        for (len = PWK_COOKIE_MAX - 1; len <= PWK_COOKIE_MAX + 1; len++) {
            const char *text = repeated('v', len), *value;
            const char *cookies = apr_pstrcat(pool, quoted ? OURS "=\"" : OURS "=", text, quoted ? "\"" : "", NULL);

            if (len <= PWK_COOKIE_MAX) {
                assert_int_equal(find(&value, cookies), PWK_COOKIE_FOUND);
                assert_string_equal(value, text);
            } else {
                assert_int_equal(find(&value, cookies), PWK_COOKIE_ABSENT);
            }
        }
    }
}

static void our_cookies_go_and_the_others_stay(void **state)
{
    static const struct {
        const char *cookies, *left; /* left NULL: nothing */
    } table[] = {
        {OURS "=x", NULL},
        {OURS, NULL},
        {OURS "=x;", NULL},
        {" ; " OURS "=x ; ;\t", NULL},
        {OURS "=x; " OURS "=y", NULL},
        {OURS "=x; " OURS "-login=y; " OURS, NULL},
        {OURS "=x; a=1", "a=1"},
        {OURS "=x;a=1", "a=1"},
        {OURS "=x; \ta=1", "a=1"},
        {"a=1; " OURS "=x", "a=1"},
        {"a=1;" OURS "=x", "a=1"},
        {"a=1; " OURS "=x; b=2", "a=1; b=2"},
        {"a=1;" OURS "=x;b=2", "a=1;b=2"},
        {"a=1; " OURS "=x; b=2; " OURS "-login=y; c=3", "a=1; b=2; c=3"},
        {OURS "=x; " OURS "-login=y; c=3", "c=3"},
        {"a; ;b; " OURS "=x", "a; ;b"},
        {" a = \"1 \" ;" OURS "=x", " a = \"1 \" "},
        {"a=\xe5\x01; " OURS "=x", "a=\xe5\x01"},
        {"=; " OURS "=x", "="},
        {"=1; " OURS "=x", "=1"},
        {"a=" OURS "; " OURS "=x", "a=" OURS},
        {OURS " = x; a", "a"},
        {OURS "=\"a; b=2\"", "b=2\""},
        {OURS "=x; __host-payway=y", "__host-payway=y"},
        {OURS "x=1; " OURS "=x; x" OURS "=1", OURS "x=1; x" OURS "=1"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *copy = exact_text(table[i].cookies);
        const char *left = pwk_cookie_without(copy, ours, pool);

        assert_ptr_not_equal(left, copy);
        free(copy);
        if (table[i].left) {
            assert_non_null(left);
            assert_string_equal(left, table[i].left);
        } else {
            assert_null(left);
        }
    }
}

static void a_header_without_ours_is_not_touched(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const table[] = {
        "",  " ",  ";",    "; ;",     "a=1",           "a=1; b=2",        "a; ;b",
        "=", "==", "a=;;", ";;a; = ", "__host-payway", "a=__Host-payway", "__Host-paywayx=1",
        "\""};
    size_t i;

    (void)state;
    assert_null(pwk_cookie_without(NULL, ours, pool));
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *copy = exact_text(table[i]);

        assert_ptr_equal(pwk_cookie_without(copy, ours, pool), copy);
        assert_string_equal(copy, table[i]);
        free(copy);
    }
    assert_ptr_equal(pwk_cookie_without(table[4], none, pool), table[4]);
}

/* Every short header over the bytes that matter, with "a" as ours: nothing of it is left, and "b" is as it was. */
static void finding_and_leaving_out_agree(void **state)
{
    static const char letters[] = "ab=; \"\t,";
    static const char *const a[] = {"a", NULL};
    const unsigned int base = sizeof(letters) - 1;
    unsigned int length, number, total = 1;

    (void)state;
    for (length = 1; length <= 5; length++) {
        total *= base;
        for (number = 0; number < total; number++) {
            char cookies[8] = "";
            const char *left, *before, *after;
            pwk_cookie_presence presence, b;
            unsigned int i, rest = number;

            for (i = 0; i < length; i++, rest /= base) {
                cookies[i] = letters[rest % base];
            }
            presence = find_named(&before, cookies, "a");
            left = pwk_cookie_without(cookies, a, pool);
            if (left == cookies) {
                assert_int_equal(presence, PWK_COOKIE_ABSENT);
                continue;
            }
            b = find_named(&before, cookies, "b");
            if (!left) {
                assert_int_equal(b, PWK_COOKIE_ABSENT);
                continue;
            }
            assert_true(strlen(left) < length);
            assert_int_equal(find_named(&after, left, "a"), PWK_COOKIE_ABSENT);
            assert_ptr_equal(pwk_cookie_without(left, a, pool), left);
            assert_int_equal(find_named(&after, left, "b"), b);
            assert_true(b != PWK_COOKIE_FOUND || strcmp(before, after) == 0);
        }
        apr_pool_clear(pool);
    }
}

static void set_cookie_lines(void **state)
{
    (void)state;
    assert_string_equal(pwk_cookie_set(OURS, "v", 600, 1, 0, pool),
                        OURS "=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure");
    assert_string_equal(pwk_cookie_set("payway", "v", 600, 0, 0, pool),
                        "payway=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax");
    assert_string_equal(pwk_cookie_set("n", "v", PWK_READER_LIFE_S, 1, 1, pool),
                        "n=v; Path=/; Max-Age=2592000; SameSite=Lax; Secure");
    assert_string_equal(pwk_cookie_set("n", "", 0, 1, 0, pool),
                        "n=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    assert_string_equal(pwk_cookie_set("n", "v", -1, 0, 1, pool), "n=v; Path=/; Max-Age=0; SameSite=Lax");
    assert_string_equal(pwk_cookie_set("n", "%s%n", 1, 0, 1, pool), "n=%s%n; Path=/; Max-Age=1; SameSite=Lax");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_is_found),
        cmocka_unit_test(no_other_cookie_is_taken_for_it),
        cmocka_unit_test(a_name_that_comes_twice_counts_as_none),
        cmocka_unit_test(a_value_has_its_limit),
        cmocka_unit_test(our_cookies_go_and_the_others_stay),
        cmocka_unit_test(a_header_without_ours_is_not_touched),
        cmocka_unit_test(finding_and_leaving_out_agree),
        cmocka_unit_test(set_cookie_lines),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cookie", tests, unit_begin, unit_end);
}
