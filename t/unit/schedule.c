/* src/core/pwk_schedule: every state, every step, clocks that jump. Threats §2.7. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_schedule.h"

#define S(n) apr_time_from_sec(n)
#define CLAIMED S(1700000000)

/* An id whose lateness is none: "" sums to 0. */
static pwk_purchase in_state(pwk_purchase_state state, const char *id, const char *error)
{
    return (pwk_purchase){.id = id,
                          .state = state,
                          .error = error,
                          .claimed = CLAIMED,
                          .due = CLAIMED + S(77),
                          .expires = CLAIMED + S(9000)};
}

static void open_purchases_are_looked_at_ever_more_slowly(void **state)
{
    static const int steps[] = {2, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 2400, 3900};
    static const pwk_purchase_state open[] = {PWK_PURCHASE_UNKNOWN, PWK_PURCHASE_PLACED};

    (void)state;
    for (int which = 0; which < 2; which++) {
        pwk_purchase purchase = in_state(open[which], "", "");
        apr_time_t now = CLAIMED;
        for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
            apr_time_t next = pwk_schedule_next(&purchase, now);
            assert_int_equal(next, CLAIMED + S(steps[i]));
            now = next;
        }
        for (int hour = 1; hour < 60; hour++) {
            assert_int_equal(pwk_schedule_next(&purchase, now), now + S(3600));
            now += S(3600);
        }
    }
}

static void many_are_spread_and_never_too_early(void **state)
{
    int different = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        pwk_purchase purchase = in_state(PWK_PURCHASE_UNKNOWN, apr_psprintf(pool, "%032x", i * 7919), "");
        apr_time_t next = pwk_schedule_next(&purchase, CLAIMED + S(3000));
        assert_in_range(next, CLAIMED + S(3900), CLAIMED + S(4680));
        different += next != CLAIMED + S(3900);
        assert_int_equal(next, pwk_schedule_next(&purchase, CLAIMED + S(3000)));
        assert_true(pwk_schedule_next(&purchase, next) > next);
    }
    assert_true(different > 900);
}

static void the_next_look_is_always_later(void **state)
{
    (void)state;
    for (int age = -200000; age < 200000; age += 37) {
        pwk_purchase purchase = in_state(PWK_PURCHASE_UNKNOWN, "0f", "");
        apr_time_t now = CLAIMED + S(age), next = pwk_schedule_next(&purchase, now);
        assert_true(next > now);
        /* also where the clock was set back by days */
        assert_true(next - now <= S(2 * 3600));
    }
}

static void what_broke_off_is_looked_at_twice(void **state)
{
    pwk_purchase purchase = in_state(PWK_PURCHASE_FAILED, "", "payment_method_failed");

    (void)state;
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED), CLAIMED + S(120));
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED + S(120)), CLAIMED + S(3900));
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED + S(3900)), 0);
    purchase = in_state(PWK_PURCHASE_FAILED, "", "invalid_parameter");
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED), 0);
}

static void the_other_states(void **state)
{
    pwk_purchase purchase = in_state(PWK_PURCHASE_CREATED, "a", "");

    (void)state;
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED), CLAIMED + S(9000));
    purchase.state = PWK_PURCHASE_PLACING;
    assert_int_equal(pwk_schedule_next(&purchase, CLAIMED), CLAIMED + S(77));
    for (int ended = 0; ended < PWK_PURCHASE_STATES; ended++) {
        if (ended == PWK_PURCHASE_CONFIRMED || ended == PWK_PURCHASE_EXPIRED || ended == PWK_PURCHASE_MANUAL) {
            purchase.state = (pwk_purchase_state)ended;
            assert_int_equal(pwk_schedule_next(&purchase, CLAIMED), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_purchases_are_looked_at_ever_more_slowly),
        cmocka_unit_test(many_are_spread_and_never_too_early),
        cmocka_unit_test(the_next_look_is_always_later),
        cmocka_unit_test(what_broke_off_is_looked_at_twice),
        cmocka_unit_test(the_other_states),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("schedule", tests, unit_begin, unit_end);
}
