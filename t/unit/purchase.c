/* src/core/pwk_purchase: every (state, event) pair against rules said the other way round, a long random walk that looks
 * for a second order, and what a purchase opens and when. DESIGN §5; threats §2.2. */
/* RAND_set_rand_method is deprecated, and still the one way to see what happens without randomness. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "unit.h"

#include <time.h>

#include <apr_strings.h>
#include <openssl/rand.h>

#include "pwk_limits.h"
#include "pwk_purchase.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define NOBODY ((pwk_purchase_state)77)
#define NOTHING_SAID ((pwk_purchase_action)77)

/* --- the transitions --- */

/* What must hold, said by event: where each leads, and from where it may come. */
static int expected(pwk_purchase_state *to, pwk_purchase_action *action, pwk_purchase_state from,
                    pwk_purchase_event event)
{
    int created = from == PWK_PURCHASE_CREATED, placing = from == PWK_PURCHASE_PLACING;
    int placed = from == PWK_PURCHASE_PLACED, unknown = from == PWK_PURCHASE_UNKNOWN;
    int manual = from == PWK_PURCHASE_MANUAL;

    *action = PWK_DO_NOTHING;
    switch (event) {
    case PWK_EVENT_CLAIM:
        *to = PWK_PURCHASE_PLACING;
        *action = PWK_DO_PLACE;
        return created;
    case PWK_EVENT_NOT_SENT:
        *to = PWK_PURCHASE_CREATED;
        return placing;
    case PWK_EVENT_ACCEPTED:
        *to = PWK_PURCHASE_PLACED;
        *action = PWK_DO_GRANT;
        return placing || unknown;
    case PWK_EVENT_REFUSED:
        *to = PWK_PURCHASE_FAILED;
        return placing || unknown;
    case PWK_EVENT_NOT_COMPLETED:
        *to = PWK_PURCHASE_FAILED;
        *action = PWK_DO_REREAD;
        return placing || unknown;
    case PWK_EVENT_LOST:
    case PWK_EVENT_OVERDUE:
        *to = PWK_PURCHASE_UNKNOWN;
        *action = PWK_DO_FIND_OUT;
        return placing;
    case PWK_EVENT_FOUND:
        *to = PWK_PURCHASE_PLACED;
        *action = PWK_DO_GRANT;
        return placing || unknown || manual;
    case PWK_EVENT_ABSENT:
        *to = PWK_PURCHASE_FAILED;
        return unknown || manual;
    case PWK_EVENT_CONTRADICTED:
        *to = unknown ? PWK_PURCHASE_MANUAL : from;
        *action = PWK_DO_ALARM;
        return unknown || placed || from == PWK_PURCHASE_FAILED;
    case PWK_EVENT_SHOWN:
        *to = PWK_PURCHASE_CONFIRMED;
        return placed;
    case PWK_EVENT_AGED:
        *to = PWK_PURCHASE_EXPIRED;
        return created;
    case PWK_EVENTS:
        break;
    }
    return 0;
}

static void every_pair(void **state)
{
    int moves = 0;

    (void)state;
    for (int from = 0; from < PWK_PURCHASE_STATES; from++) {
        for (int event = 0; event < PWK_EVENTS; event++) {
            pwk_purchase_state to = NOBODY, want_to;
            pwk_purchase_action action = NOTHING_SAID, want_action;
            int moved = pwk_purchase_next(&to, &action, (pwk_purchase_state)from, (pwk_purchase_event)event);

            if (!expected(&want_to, &want_action, (pwk_purchase_state)from, (pwk_purchase_event)event)) {
                want_to = NOBODY;
                want_action = NOTHING_SAID;
                assert_false(moved);
            } else {
                assert_true(moved);
            }
            if (to != want_to || action != want_action) {
                fail_msg("%s, event %d: to %d doing %d", pwk_purchase_word((pwk_purchase_state)from), event, (int)to,
                         (int)action);
            }
            moves += moved;
        }
    }
    assert_int_equal(moves, 20);
}

static void states_out_of_range_lead_nowhere(void **state)
{
    pwk_purchase_state to;
    pwk_purchase_action action;

    (void)state;
    assert_false(pwk_purchase_next(&to, &action, PWK_PURCHASE_STATES, PWK_EVENT_CLAIM));
    assert_false(pwk_purchase_next(&to, &action, PWK_PURCHASE_CREATED, PWK_EVENTS));
}

static int is_terminal(pwk_purchase_state state)
{
    return state == PWK_PURCHASE_CONFIRMED || state == PWK_PURCHASE_FAILED || state == PWK_PURCHASE_EXPIRED;
}

/* From each state, all that can ever be reached, by search. */
static void nothing_leads_back_to_an_order(void **state)
{
    (void)state;
    for (int start = 0; start < PWK_PURCHASE_STATES; start++) {
        int reached[PWK_PURCHASE_STATES] = {0}, places = 0, grew = 1;

        reached[start] = 1;
        while (grew) {
            grew = 0;
            for (int from = 0; from < PWK_PURCHASE_STATES; from++) {
                for (int event = 0; event < PWK_EVENTS; event++) {
                    pwk_purchase_state to;
                    pwk_purchase_action action;

                    if (reached[from]
                        && pwk_purchase_next(&to, &action, (pwk_purchase_state)from, (pwk_purchase_event)event)) {
                        places |= action == PWK_DO_PLACE;
                        grew |= !reached[to];
                        reached[to] = 1;
                    }
                }
            }
        }
        assert_int_equal(places, start == PWK_PURCHASE_CREATED || start == PWK_PURCHASE_PLACING);
        /* INV-5: whatever is being placed can end, and so can what is unknown. */
        if (start == PWK_PURCHASE_PLACING || start == PWK_PURCHASE_UNKNOWN || start == PWK_PURCHASE_MANUAL) {
            assert_true(reached[PWK_PURCHASE_CONFIRMED] && reached[PWK_PURCHASE_FAILED]);
        }
        if (is_terminal((pwk_purchase_state)start)) {
            for (int to = 0; to < PWK_PURCHASE_STATES; to++) {
                assert_int_equal(reached[to], to == start);
            }
        }
    }
}

/* INV-1, INV-8: events in any order, also those that no sane caller would raise. */
static void a_random_walk_never_orders_twice(void **state)
{
    pwk_purchase_state at = PWK_PURCHASE_CREATED;
    int sent = 0, was_unknown = 0, orders = 0, ends = 0;
    apr_uint32_t seed = 20261125;

    (void)state;
    for (int step = 0; step < 100000; step++) {
        pwk_purchase_event event;
        pwk_purchase_state from = at;
        pwk_purchase_action action = PWK_DO_NOTHING;

        seed = seed * 1664525U + 1013904223U;
        event = (pwk_purchase_event)((seed >> 8) % PWK_EVENTS);
        if (!pwk_purchase_next(&at, &action, from, event)) {
            assert_int_equal(at, from);
        } else {
            /* an alarm at most, and it stays what it is */
            assert_true(!is_terminal(from) || (action == PWK_DO_ALARM && at == from));
        }
        if (action == PWK_DO_PLACE) {
            assert_false(sent);
            assert_false(was_unknown);
            sent = 1;
            orders++;
        }
        if (from != at && event == PWK_EVENT_NOT_SENT) {
            sent = 0;
        }
        was_unknown |= at == PWK_PURCHASE_UNKNOWN;
        assert_false(was_unknown && (at == PWK_PURCHASE_CREATED || at == PWK_PURCHASE_PLACING));
        if (is_terminal(at) && seed >> 29 == 0) { /* a new purchase, after some time in which nothing may move it */
            at = PWK_PURCHASE_CREATED;
            sent = was_unknown = 0;
            ends++;
        }
    }
    assert_true(orders > 1000);
    assert_true(ends > 1000);
}

/* --- words, and who is in the way --- */

static void words_and_states(void **state)
{
    static const char *const words[] = {"created", "placing", "placed", "confirmed",
                                        "failed",  "unknown", "manual", "expired"};
    static const char *const others[] = {"", "Created", "created ", "create", "placed,", "0", "unknow"};

    (void)state;
    assert_int_equal(COUNT(words), PWK_PURCHASE_STATES);
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        assert_string_equal(pwk_purchase_word((pwk_purchase_state)i), words[i]);
        assert_int_equal(pwk_purchase_state_of(words[i]), i);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_int_equal(pwk_purchase_state_of(others[i]), -1);
    }
}

static void running_is_what_may_still_charge(void **state)
{
    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        int running = i == PWK_PURCHASE_PLACING || i == PWK_PURCHASE_UNKNOWN || i == PWK_PURCHASE_MANUAL
                      || i == PWK_PURCHASE_PLACED;

        assert_int_equal(!!pwk_purchase_is_running((pwk_purchase_state)i), running);
    }
}

/* --- grants --- */

static void overdue_is_whoever_is_gone(void **state)
{
    const apr_time_t due = apr_time_from_sec(1700000000), second = apr_time_from_sec(1);

    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        pwk_purchase purchase = {.state = (pwk_purchase_state)i, .due = due};
        int placing = i == PWK_PURCHASE_PLACING;

        assert_int_equal(pwk_purchase_is_overdue(&purchase, due), 0);
        assert_int_equal(pwk_purchase_is_overdue(&purchase, due + second), placing);
        /* a clock that was set back: no deadline is that far off */
        assert_int_equal(pwk_purchase_is_overdue(&purchase, due - apr_time_from_sec(900)), 0);
        assert_int_equal(pwk_purchase_is_overdue(&purchase, due - apr_time_from_sec(901)), placing);
    }
}

static void grants_are_bounded(void **state)
{
    const apr_time_t from = apr_time_from_sec(1000000), until = apr_time_from_sec(1086400);

    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        pwk_purchase purchase = {.state = (pwk_purchase_state)i, .grant_from = from, .grant_until = until};
        int may = i == PWK_PURCHASE_PLACED || i == PWK_PURCHASE_UNKNOWN || i == PWK_PURCHASE_CONFIRMED;

        assert_false(pwk_purchase_grants(&purchase, from - 1));
        assert_int_equal(!!pwk_purchase_grants(&purchase, from), may);
        assert_int_equal(!!pwk_purchase_grants(&purchase, until - 1), may);
        assert_false(pwk_purchase_grants(&purchase, until));
        purchase.shown = 1;
        assert_false(pwk_purchase_grants(&purchase, from));
        purchase.shown = 0;
        purchase.grant_from = purchase.grant_until = 0; /* never claimed */
        assert_false(pwk_purchase_grants(&purchase, from));
        assert_false(pwk_purchase_grants(&purchase, 0));
    }
}

/* A date and time as Stockholm's clocks show it, by the offset that is written beside it. */
static apr_time_t at(int year, int month, int day, int hour, int minute, int offset_h)
{
    apr_time_exp_t exploded = {.tm_year = year - 1900,
                               .tm_mon = month - 1,
                               .tm_mday = day,
                               .tm_hour = hour,
                               .tm_min = minute,
                               .tm_gmtoff = offset_h * 3600};
    apr_time_t time;

    assert_int_equal(apr_time_exp_gmt_get(&time, &exploded), APR_SUCCESS);
    return time;
}

/* By name, or by its rule where tzdata is not installed. */
static int in_stockholm(void **state)
{
    static const char *const zones[] = {"Europe/Stockholm", "CET-1CEST,M3.5.0,M10.5.0/3"};
    apr_time_exp_t exploded = {.tm_gmtoff = 0};

    (void)state;
    for (size_t i = 0; i < COUNT(zones) && exploded.tm_gmtoff != 7200; i++) {
        setenv("TZ", zones[i], 1);
        tzset();
        apr_time_exp_lt(&exploded, at(2026, 7, 1, 12, 0, 2));
    }
    return exploded.tm_gmtoff != 7200;
}

static void grant_begins_at_local_midnight(void **state)
{
    static const struct {
        const char *start;
        int year, month, day, offset_h;
    } cases[] = {
        {"2026-12-01", 2026, 12, 1, 1},  {"2026-07-01", 2026, 7, 1, 2},   {"2027-01-01", 2027, 1, 1, 1},
        {"2027-03-28", 2027, 3, 28, 1},  {"2027-03-29", 2027, 3, 29, 2}, /* the clock goes forward at 02:00 on the 28th */
        {"2026-10-25", 2026, 10, 25, 2}, {"2026-10-26", 2026, 10, 26, 1}, /* and back at 03:00 on the 25th */
        {"2028-02-29", 2028, 2, 29, 1},
    };
    const apr_time_t now = at(2026, 6, 15, 23, 59, 2);

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_purchase purchase = {.state = PWK_PURCHASE_PLACED, .start = cases[i].start};
        apr_time_t midnight = at(cases[i].year, cases[i].month, cases[i].day, 0, 0, cases[i].offset_h);

        pwk_purchase_set_grant(&purchase, now);
        if (purchase.grant_from != midnight) {
            fail_msg("%s: %d s off", cases[i].start, (int)apr_time_sec(purchase.grant_from - midnight));
        }
        assert_true(purchase.grant_until == midnight + apr_time_from_sec(PWK_GRANT_S));
        assert_true(pwk_purchase_starts_later(&purchase, now));
        /* The minute before midnight it is a later day; at midnight it is that day, and opens. */
        assert_true(pwk_purchase_starts_later(&purchase, midnight - 1));
        assert_false(pwk_purchase_grants(&purchase, midnight - 1));
        assert_false(pwk_purchase_starts_later(&purchase, midnight));
        assert_true(pwk_purchase_grants(&purchase, midnight));
    }
}

static void grant_begins_at_once(void **state)
{
    static const char *const starts[] = {"",           "2026-11-25", "2026-11-24", "2020-01-01", "2026-1-1",
                                         "2027-01-0a", "tomorrow",   "2027/01/01", "+3d",        "2027-01-011",
                                         "2027-01-1",  "----------", "20270-01-1"};
    const apr_time_t now = at(2026, 11, 25, 10, 30, 1) + 123456; /* microseconds too */

    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++) {
        char *copy = exact_text(starts[i]);
        pwk_purchase purchase = {.state = PWK_PURCHASE_UNKNOWN, .start = copy};

        pwk_purchase_set_grant(&purchase, now);
        assert_true(purchase.grant_from == now - 123456);
        assert_true(purchase.grant_until == now - 123456 + apr_time_from_sec(PWK_GRANT_S));
        assert_true(pwk_purchase_grants(&purchase, now));
        free(copy);
    }
}

static void today_is_the_local_date(void **state)
{
    pwk_purchase purchase = {.start = "2026-11-25"};

    (void)state;
    assert_true(pwk_purchase_starts_later(&purchase, at(2026, 11, 24, 23, 59, 1)));
    assert_false(pwk_purchase_starts_later(&purchase, at(2026, 11, 25, 0, 0, 1))); /* 23:00 of the 24th in UTC */
    assert_false(pwk_purchase_starts_later(&purchase, at(2026, 11, 26, 0, 0, 1)));
    purchase.start = "";
    assert_false(pwk_purchase_starts_later(&purchase, 0));
}

/* --- ids --- */

static void ids_are_random_and_known_by_their_form(void **state)
{
    unsigned int seen_digit[16] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        const char *id = pwk_purchase_new_id(pool), *other = pwk_purchase_new_id(pool);

        assert_true(pwk_purchase_is_id(id));
        assert_string_not_equal(id, other);
        for (const char *c = id; *c; c++) {
            seen_digit[*c <= '9' ? *c - '0' : *c - 'a' + 10]++;
        }
    }
    for (size_t i = 0; i < COUNT(seen_digit); i++) { /* 2,000 of each are expected */
        assert_in_range(seen_digit[i], 1600, 2400);
    }
}

static void other_texts_are_no_ids(void **state)
{
    static const char id[] = "0123456789abcdef0123456789abcdef";

    (void)state;
    assert_true(pwk_purchase_is_id(id));
    assert_false(pwk_purchase_is_id(NULL));
    for (size_t len = 0; len < PWK_PURCHASE_ID_LEN; len++) {
        char *copy = exact_text(apr_pstrmemdup(pool, id, len));

        assert_false(pwk_purchase_is_id(copy));
        free(copy);
    }
    assert_false(pwk_purchase_is_id("0123456789abcdef0123456789abcdef0"));
    for (int c = 1; c < 256; c++) {
        char *copy = exact_text(id);

        copy[7] = (char)c;
        assert_int_equal(!!pwk_purchase_is_id(copy), (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
        free(copy);
    }
}

static int no_bytes(unsigned char *buffer, int size)
{
    (void)buffer;
    (void)size;
    return 0;
}

static void no_randomness_no_id(void **state)
{
    static const RAND_METHOD none = {.bytes = no_bytes};
    const RAND_METHOD *before = RAND_get_rand_method();

    (void)state;
    assert_int_equal(RAND_set_rand_method(&none), 1);
    assert_null(pwk_purchase_new_id(pool));
    assert_int_equal(RAND_set_rand_method(before), 1);
    assert_non_null(pwk_purchase_new_id(pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(states_out_of_range_lead_nowhere),
        cmocka_unit_test(nothing_leads_back_to_an_order),
        cmocka_unit_test(a_random_walk_never_orders_twice),
        cmocka_unit_test(words_and_states),
        cmocka_unit_test(running_is_what_may_still_charge),
        cmocka_unit_test(overdue_is_whoever_is_gone),
        cmocka_unit_test(grants_are_bounded),
        cmocka_unit_test_setup(grant_begins_at_local_midnight, in_stockholm),
        cmocka_unit_test_setup(grant_begins_at_once, in_stockholm),
        cmocka_unit_test_setup(today_is_the_local_date, in_stockholm),
        cmocka_unit_test(ids_are_random_and_known_by_their_form),
        cmocka_unit_test(other_texts_are_no_ids),
        cmocka_unit_test(no_randomness_no_id),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("purchase", tests, unit_begin, unit_end);
}
