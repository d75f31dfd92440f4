/* src/core/pwk_result: an outcome that cannot be mistaken for another, and its line for the log. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_result.h"

static void success_holds_nothing(void **state)
{
    pwk_result result = pwk_result_ok();

    (void)state;
    assert_int_equal(result.outcome, PWK_OK);
    assert_int_equal(result.rv, APR_SUCCESS);
    assert_int_equal(result.http_status, 0);
    assert_int_equal(result.retry_after_s, 0);
    assert_string_equal(result.code, "");
    assert_string_equal(result.field, "");
    assert_string_equal(result.detail, "");
}

static void failure_keeps_what_it_was_given(void **state)
{
    static const pwk_outcome outcomes[] = {PWK_REFUSED, PWK_UNAVAILABLE, PWK_INVALID};
    static const char code[] = "timeout";
    static const char detail[] = "no answer";

    (void)state;
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        pwk_result result = pwk_result_fail(outcomes[i], APR_TIMEUP, code, detail);

        assert_int_equal(result.outcome, outcomes[i]);
        assert_int_equal(result.rv, APR_TIMEUP);
        assert_ptr_equal(result.code, code);
        assert_ptr_equal(result.detail, detail);
        assert_string_equal(result.field, "");
        assert_int_equal(result.http_status, 0);
        assert_int_equal(result.retry_after_s, 0);
    }
}

static void failure_never_looks_like_success(void **state)
{
    (void)state;
    assert_int_equal(pwk_result_fail(PWK_REFUSED, APR_SUCCESS, "refused", "no").rv, APR_EGENERAL);
}

static void line_names_all_parts(void **state)
{
    pwk_result result = pwk_result_fail(PWK_REFUSED, APR_EGENERAL, "invalid_parameter", "Payway refused the request");

    (void)state;
    result.field = "account_id";
    result.http_status = 400;
    assert_string_equal(pwk_result_line(&result, pool),
                        "code=invalid_parameter field=account_id status=400: Payway refused the request");
}

static void line_marks_what_is_empty(void **state)
{
    pwk_result result = pwk_result_ok();

    (void)state;
    assert_string_equal(pwk_result_line(&result, pool), "code=- field=- status=0: -");
}

static void line_is_printable_ascii(void **state)
{
    char every[256];
    pwk_result result;
    const char *line;

    (void)state;
    for (int i = 0; i < 255; i++) {
        every[i] = (char)(i + 1);
    }
    every[255] = '\0';
    result = pwk_result_fail(PWK_REFUSED, APR_EGENERAL, "a\r\nb", every);
    line = pwk_result_line(&result, pool);
    assert_memory_equal(line, "code=a??b ", 10);
    for (const char *c = line; *c; c++) {
        assert_in_range((unsigned char)*c, 0x20, 0x7e);
    }
    /* What is printable stays. */
    assert_non_null(strstr(line, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
    assert_non_null(strstr(line, "abcdefghijklmnopqrstuvwxyz{|}~?"));
}

static void line_is_bounded(void **state)
{
    static const char head[] = "code=c field=- status=0: ";
    char *detail = apr_palloc(pool, 1001);

    (void)state;
    memset(detail, 'x', 1000);
    for (apr_size_t len = 299; len <= 301; len++) {
        apr_size_t rest = len - (sizeof head - 1);
        pwk_result result = pwk_result_fail(PWK_INVALID, APR_EINVAL, "c", apr_pstrndup(pool, detail, rest));

        assert_int_equal(strlen(pwk_result_line(&result, pool)), len > 300 ? 300 : len);
    }
    detail[1000] = '\0';
    {
        pwk_result result = pwk_result_fail(PWK_INVALID, APR_EINVAL, detail, detail);

        assert_int_equal(strlen(pwk_result_line(&result, pool)), 300);
    }
}

static void line_does_not_read_formats(void **state)
{
    pwk_result result = pwk_result_fail(PWK_INVALID, APR_EINVAL, "%s%n", "%d%%");

    (void)state;
    assert_string_equal(pwk_result_line(&result, pool), "code=%s%n field=- status=0: %d%%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_holds_nothing),
        cmocka_unit_test(failure_keeps_what_it_was_given),
        cmocka_unit_test(failure_never_looks_like_success),
        cmocka_unit_test(line_names_all_parts),
        cmocka_unit_test(line_marks_what_is_empty),
        cmocka_unit_test(line_is_printable_ascii),
        cmocka_unit_test(line_is_bounded),
        cmocka_unit_test(line_does_not_read_formats),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("result", tests, unit_begin, unit_end);
}
