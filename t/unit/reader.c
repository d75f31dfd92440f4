/* src/core/pwk_reader: the record inside the cookie: back as it was, or not at all. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_limits.h"
#include "pwk_reader.h"

static const char *const codes[] = {"web", "paper"};

static pwk_reader sample(void)
{
    return (pwk_reader){.sid = "session",
                        .account = "5a0000000000000000000001",
                        .created = apr_time_from_sec(1700000000),
                        .checked = apr_time_from_sec(1700000360),
                        .named = 0x0123456789abcdefULL,
                        .codes = codes,
                        .count = 2};
}

static void same(const pwk_reader *a, const pwk_reader *b)
{
    assert_string_equal(a->sid, b->sid);
    assert_string_equal(a->account, b->account);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->checked, b->checked);
    assert_true(a->named == b->named);
    assert_int_equal(a->terminated, b->terminated);
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_string_equal(a->codes[i], b->codes[i]);
    }
}

static void round_trip(void **state)
{
    pwk_reader readers[3] = {sample(), sample(), sample()}, read;
    const void *bytes;
    apr_size_t len;

    (void)state;
    readers[1].account = "";
    readers[1].count = 0;
    readers[2].terminated = 1;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pwk_reader_write(&bytes, &len, &readers[i], pool), APR_SUCCESS);
        assert_int_equal(pwk_reader_read(&read, bytes, len, pool), APR_SUCCESS);
        same(&read, &readers[i]);
    }
}

/* Cut anywhere, and any byte changed: refused, or a record within its bounds that reads no byte too far. */
static void damage(void **state)
{
    pwk_reader reader = sample(), read;
    const void *bytes;
    apr_size_t len;

    (void)state;
    pwk_reader_write(&bytes, &len, &reader, pool);
    for (apr_size_t cut = 0; cut < len; cut++) {
        char *copy = exact_bytes(bytes, cut);
        assert_int_equal(pwk_reader_read(&read, copy, cut, pool), APR_EINVAL);
        free(copy);
    }
    for (apr_size_t at = 0; at < len; at++) {
        for (int value = 0; value < 256; value++) {
            char *copy = exact_bytes(bytes, len);
            copy[at] = (char)value;
            if (pwk_reader_read(&read, copy, len, pool) == APR_SUCCESS) {
                assert_true(*read.sid && strlen(read.sid) <= PWK_SID_MAX && strlen(read.account) <= PWK_ACCOUNT_MAX);
                assert_true(read.count >= 0 && read.count <= PWK_PRODUCTS_MAX);
                assert_true(read.created >= 0 && read.checked >= 0);
            }
            free(copy);
        }
    }
    char *more = malloc(len + 1);
    memcpy(more, bytes, len);
    more[len] = 0;
    assert_int_equal(pwk_reader_read(&read, more, len + 1, pool), APR_EINVAL);
    free(more);
}

static void bounds(void **state)
{
    const char *many[PWK_PRODUCTS_MAX + 1];
    const void *bytes;
    apr_size_t len;

    (void)state;
    for (int i = 0; i <= PWK_PRODUCTS_MAX; i++) {
        many[i] = "c";
    }
    for (int more = -1; more <= 1; more++) {
        pwk_reader reader = sample();
        apr_status_t want = more <= 0 ? APR_SUCCESS : APR_EINVAL;
        reader.sid = repeated('s', (size_t)(PWK_SID_MAX + more));
        assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), want);
        reader = sample();
        reader.account = repeated('a', (size_t)(PWK_ACCOUNT_MAX + more));
        assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), want);
        reader = sample();
        reader.codes = many;
        reader.count = PWK_PRODUCTS_MAX + more;
        assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), want);
        const char *one[] = {repeated('c', (size_t)(PWK_CODE_MAX + more))};
        reader = sample();
        reader.codes = one;
        reader.count = 1;
        assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), want);
    }
    pwk_reader reader = sample();
    const char *full[PWK_PRODUCTS_MAX];
    for (int i = 0; i < PWK_PRODUCTS_MAX; i++) {
        full[i] = repeated('c', PWK_CODE_MAX);
    }
    reader.codes = full;
    reader.count = PWK_PRODUCTS_BYTES_MAX / PWK_CODE_MAX;
    assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), APR_SUCCESS);
    reader.count++;
    assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), APR_EINVAL);
    reader = sample();
    reader.sid = "";
    assert_int_equal(pwk_reader_write(&bytes, &len, &reader, pool), APR_EINVAL);
}

static void ages(void **state)
{
    const apr_interval_time_t interval = apr_time_from_sec(360);
    pwk_reader reader = sample();
    apr_uint64_t named = reader.named;
    static const struct {
        apr_interval_time_t age;
        pwk_age same, other;
    } cases[] = {
        {0, PWK_AGE_FRESH, PWK_AGE_STALE},
        {360 * APR_USEC_PER_SEC - 1, PWK_AGE_FRESH, PWK_AGE_STALE},
        {360 * APR_USEC_PER_SEC, PWK_AGE_STALE, PWK_AGE_STALE},
        {1080 * APR_USEC_PER_SEC - 1, PWK_AGE_STALE, PWK_AGE_STALE},
        {1080 * APR_USEC_PER_SEC, PWK_AGE_OLD, PWK_AGE_OLD},
        {-PWK_CLOCK_SKEW_S * APR_USEC_PER_SEC, PWK_AGE_FRESH, PWK_AGE_STALE},
        {-PWK_CLOCK_SKEW_S * APR_USEC_PER_SEC - 1, PWK_AGE_OLD, PWK_AGE_OLD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(pwk_reader_age(&reader, interval, named, reader.checked + cases[i].age), cases[i].same);
        assert_int_equal(pwk_reader_age(&reader, interval, named + 1, reader.checked + cases[i].age), cases[i].other);
    }
}

static apr_array_header_t *list(const char *words)
{
    apr_array_header_t *made = apr_array_make(pool, 4, sizeof(const char *));
    char *at, *copy = apr_pstrdup(pool, words);
    for (char *word = apr_strtok(copy, " ", &at); word; word = apr_strtok(NULL, " ", &at)) {
        APR_ARRAY_PUSH(made, const char *) = word;
    }
    return made;
}

static void names(void **state)
{
    pwk_reader reader = sample();

    (void)state;
    assert_true(pwk_reader_named(list("a b c")) == pwk_reader_named(list("c a b")));
    assert_true(pwk_reader_named(list("a b")) != pwk_reader_named(list("a b c")));
    assert_true(pwk_reader_named(list("ab c")) != pwk_reader_named(list("a bc")));
    assert_true(pwk_reader_named(list("")) != pwk_reader_named(list("a")));
    pwk_reader_own(&reader, list("x web y web paper"), list("web paper none"), pool);
    assert_int_equal(reader.count, 2);
    assert_string_equal(reader.codes[0], "web");
    assert_string_equal(reader.codes[1], "paper");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(damage), cmocka_unit_test(bounds),
        cmocka_unit_test(ages),       cmocka_unit_test(names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("reader", tests, unit_begin, unit_end);
}
