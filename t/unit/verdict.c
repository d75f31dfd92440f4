/* src/core/pwk_verdict: the whole truth table, against an oracle that is written the other way round. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_verdict.h"

static const char *const has_web[] = {"other", "web"};
static const char *const wants_web[] = {"web", "paper"};
#define NOW apr_time_from_sec(1700000000)
#define STALE apr_time_from_sec(100)

/* What must hold, said as rules about outcomes instead of a walk through cases. */
static void judge(const pwk_reader *reader, const pwk_requirement *requirement, pwk_knowledge knowledge, int owns)
{
    pwk_verdict verdict = pwk_verdict_of(reader, requirement, knowledge, STALE, NOW);
    int somebody = reader && *reader->account;
    int recent = reader && NOW - reader->checked <= STALE;

    assert_int_equal(verdict.kind == PWK_VERDICT_ANONYMOUS, !somebody);
    assert_int_equal(verdict.kind == PWK_VERDICT_GRANTED,
                     somebody && owns && (knowledge == PWK_KNOWN || (knowledge == PWK_OUTAGE && recent)));
    /* "Could not find out" is never a no, and a no is never unknown. */
    assert_int_equal(verdict.kind == PWK_VERDICT_NO_PRODUCT, somebody && !owns && knowledge == PWK_KNOWN);
    assert_non_null(verdict.product);
    assert_true(*verdict.reason != '\0');
    assert_int_equal(*verdict.product != '\0', verdict.kind == PWK_VERDICT_GRANTED && requirement->codes);
    if (*verdict.product) {
        assert_string_equal(verdict.product, "web");
    }
}

static void every_combination(void **state)
{
    static const apr_interval_time_t ages[] = {-1,
                                               0,
                                               1,
                                               APR_USEC_PER_SEC * 100 - 1,
                                               APR_USEC_PER_SEC * 100,
                                               APR_USEC_PER_SEC * 100 + 1,
                                               APR_USEC_PER_SEC * 86400};
    static const pwk_knowledge knowledges[] = {PWK_KNOWN, PWK_UNASKED, PWK_OUTAGE};
    const pwk_requirement account = {NULL, 0}, product = {wants_web, 2};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        judge(NULL, &account, knowledges[k], 0);
        judge(NULL, &product, knowledges[k], 0);
        for (size_t a = 0; a < sizeof(ages) / sizeof(*ages); a++) {
            for (int who = 0; who < 2; who++) {
                for (int count = 0; count <= 2; count++) {
                    pwk_reader reader = {.sid = "s",
                                         .account = who ? "a" : "",
                                         .checked = NOW - ages[a],
                                         .codes = has_web,
                                         .count = count};
                    judge(&reader, &account, knowledges[k], who);
                    judge(&reader, &product, knowledges[k], count == 2);
                }
            }
        }
    }
}

static void codes_match_whole_and_exactly(void **state)
{
    static const char *const owned[] = {"plus_trial", "Plus", "plus2", ""};
    static const char *const wanted[] = {"plus"};
    pwk_reader reader = {.sid = "s", .account = "a", .checked = NOW, .codes = owned, .count = 4};
    pwk_requirement requirement = {wanted, 1};

    (void)state;
    assert_int_equal(pwk_verdict_of(&reader, &requirement, PWK_KNOWN, 0, NOW).kind, PWK_VERDICT_NO_PRODUCT);
}

static void words(void **state)
{
    (void)state;
    assert_string_equal(pwk_verdict_word(PWK_VERDICT_GRANTED), "granted");
    assert_string_equal(pwk_verdict_word(PWK_VERDICT_ANONYMOUS), "anonymous");
    assert_string_equal(pwk_verdict_word(PWK_VERDICT_NO_PRODUCT), "no-product");
    assert_string_equal(pwk_verdict_word(PWK_VERDICT_UNAVAILABLE), "unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination),
        cmocka_unit_test(codes_match_whole_and_exactly),
        cmocka_unit_test(words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verdict", tests, unit_begin, unit_end);
}
