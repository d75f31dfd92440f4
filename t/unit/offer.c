/* src/core/pwk_offer, pwk_sale and pwk_facts: what is for sale, what the wall's form carries, what a page shows. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_facts.h"
#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_offer.h"
#include "pwk_sale.h"

/* Parses the words after the name; what is wrong, or NULL. */
static const char *parse(pwk_offer **offer, const char *words)
{
    const char *argv[32];
    int argc = 0;
    char *at, *copy = apr_pstrdup(pool, words);
    for (char *word = apr_strtok(copy, "|", &at); word; word = apr_strtok(NULL, "|", &at)) {
        argv[argc++] = word;
    }
    return pwk_offer_parse(offer, "digital", argc, argv, pool);
}

static void words_of_an_offer(void **state)
{
    pwk_offer *offer;

    (void)state;
    assert_null(parse(
        &offer, "code=pack|products=web,paper|type=limited|period=5f0d9ea795cfebfb8544ab12|trial=on|start=2028-02-29|"
                "title=Hej då|title.en=Bye|price=10 kr"));
    assert_string_equal(offer->code, "pack");
    assert_int_equal(offer->type, PWK_PERIOD_LIMITED);
    assert_int_equal(offer->products->nelts, 2);
    assert_int_equal(offer->trial, 1);
    assert_string_equal(pwk_offer_text(offer->titles, "en"), "Bye");
    assert_string_equal(pwk_offer_text(offer->titles, "sv"), "Hej då");
    assert_string_equal(pwk_offer_text(offer->prices, "en"), "10 kr");
    const char *opens[] = {"x", "paper"}, *not_these[] = {"pap", "webb"};
    assert_true(pwk_offer_opens(offer, opens, 2));
    assert_false(pwk_offer_opens(offer, not_these, 2));
    assert_null(parse(&offer, "code=pack|products=web"));
    assert_int_equal(offer->type, PWK_PERIOD_RECURRING);
    assert_null(pwk_offer_text(offer->titles, "sv"));
}

static void wrong_words(void **state)
{
    static const char *const cases[][2] = {
        {"products=web", "needs code="},
        {"code=pack", "needs products="},
        {"code=pa ck|products=web", "code=\"pa ck\" is not a package"},
        {"code=|products=web", "code=\"\" is not a package"},
        {"code=pack|products=", "names no product"},
        {"code=pack|products=we/b", "is not a list of product codes"},
        {"code=pack|products=web|type=single", "is not a type"},
        {"code=pack|products=web|period=123", "is not a period id"},
        {"code=pack|products=web|trial=yes", "is not on or off"},
        {"code=pack|products=web|trial=on", "trial=on needs period="},
        {"code=pack|products=web|trial=on|period=5f0d9ea795cfebfb8544ab12", "trial=on needs price="},
        {"code=pack|products=web|start=2027-02-29", "is not a start"},
        {"code=pack|products=web|start=2027-13-01", "is not a start"},
        {"code=pack|products=web|start=1", "is not a start"},
        {"code=pack|products=web|start=+0d", "is not a start"},
        {"code=pack|products=web|start=+367d", "is not a start"},
        {"code=pack|products=web|title=", "is empty"},
        {"code=pack|products=web|title.EN=x", "title.EN= is not known"},
        {"code=pack|products=web|titles=x", "titles= is not known"},
        {"code=pack|products=web|code=pack", "comes twice"},
        {"code=pack|products=web|loose", "is not key=value"},
        {"code=pack|products=web|=x", "is not key=value"},
    };
    pwk_offer *offer;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *wrong = parse(&offer, cases[i][0]);
        assert_non_null(wrong);
        if (!strstr(wrong, cases[i][1])) {
            fail_msg("%s: %s", cases[i][0], wrong);
        }
    }
}

/* 2026-03-28 12:00 in Stockholm: the clock changes the night after. */
static void start_dates(void **state)
{
    static const struct {
        const char *start;
        apr_int64_t now;
        const char *want;
    } cases[] = {
        {"+1d", 1774695600, "2026-03-29"}, {"+2d", 1774695600, "2026-03-30"},
        {"+1d", 1798756200, "2027-01-01"}, /* 2026-12-31 23:30 */
        {"2026-03-28", 1774695600, ""},    {"2026-03-29", 1774695600, "2026-03-29"},
        {"2020-01-01", 1774695600, ""},
    };
    pwk_offer *offer;

    (void)state;
    setenv("TZ", "Europe/Stockholm", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_null(parse(&offer, apr_pstrcat(pool, "code=pack|products=web|start=", cases[i].start, NULL)));
        assert_string_equal(pwk_offer_start(offer, apr_time_from_sec(cases[i].now), pool), cases[i].want);
    }
}

static pwk_period period(const char *id, pwk_period_type type, apr_int64_t price)
{
    return (pwk_period){.id = id, .type = type, .unit = "month", .length = 1, .price_minor = price};
}

static void periods(void **state)
{
    apr_array_header_t *all = apr_array_make(pool, 3, sizeof(pwk_period)), *sold;
    pwk_offer *offer;

    (void)state;
    APR_ARRAY_PUSH(all, pwk_period) = period("5f0d9ea795cfebfb8544ab12", PWK_PERIOD_RECURRING, 12900);
    APR_ARRAY_PUSH(all, pwk_period) = period("5f0d9ea795cfebfb8544ab13", PWK_PERIOD_LIMITED, 2500);
    parse(&offer, "code=pack|products=web");
    sold = pwk_offer_periods(offer, all, pool);
    assert_int_equal(sold->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(sold, 0, pwk_period).price_minor, 12900);
    parse(&offer, "code=pack|products=web|period=5F0D9EA795CFEBFB8544AB13");
    sold = pwk_offer_periods(offer, all, pool);
    assert_int_equal(sold->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(sold, 0, pwk_period).price_minor, 2500);
    assert_int_equal(pwk_offer_periods(offer, NULL, pool)->nelts, 0);
}

static void amounts(void **state)
{
    static const struct {
        apr_int64_t minor;
        const char *sv, *en;
    } cases[] = {
        {0, "0", "0"},
        {5, "0,05", "0.05"},
        {100, "1", "1"},
        {9950, "99,50", "99.50"},
        {99900, "999", "999"},
        {100000,
         "1\xc2\xa0"
         "000",
         "1,000"},
        {129905,
         "1\xc2\xa0"
         "299,05",
         "1,299.05"},
        {100000700,
         "1\xc2\xa0"
         "000\xc2\xa0"
         "007",
         "1,000,007"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_string_equal(pwk_facts_amount(cases[i].minor, "sv", pool), cases[i].sv);
        assert_string_equal(pwk_facts_amount(cases[i].minor, "en", pool), cases[i].en);
    }
}

static void facts_are_clean(void **state)
{
    apr_table_t *vars = apr_table_make(pool, 8);
    pwk_payway_product product = {.name = "A\x01\x1b[31m<b>\xff", .description = ""};
    pwk_offer *offer;
    pwk_offer_shown shown = {.product = &product, .start = ""};

    (void)state;
    parse(&offer, "code=pack|products=web|price=10 kr");
    shown.offer = offer;
    shown.periods = apr_array_make(pool, 1, sizeof(pwk_period));
    pwk_facts_offer(vars, &shown, "sv", pool);
    assert_string_equal(apr_table_get(vars, "OFFER_TITLE"), "A[31m<b>");
    assert_null(apr_table_get(vars, "OFFER_DESCRIPTION"));
    assert_null(apr_table_get(vars, "OFFER_PRICE"));
    assert_string_equal(apr_table_get(vars, "OFFER_PRICE_TEXT"), "10 kr");
    assert_string_equal(apr_table_get(vars, "OFFER_PERIODS"), "0");
    APR_ARRAY_PUSH(shown.periods, pwk_period) = period("5f0d9ea795cfebfb8544ab12", PWK_PERIOD_RECURRING, 12900);
    pwk_facts_offer(vars, &shown, "sv", pool);
    assert_string_equal(apr_table_get(vars, "OFFER_PRICE"), "129");
    assert_null(apr_table_get(vars, "OFFER_PRICE_TEXT"));
    pwk_facts_period(vars, &shown, 0, "sv", pool);
    assert_string_equal(apr_table_get(vars, "PERIOD_CHECKED"), "1");
}

static pwk_purchase purchase_of(const pwk_offer *offer, const char *facts)
{
    return (pwk_purchase){.offer = offer->name,
                          .code = offer->code,
                          .type = offer->type,
                          .period = "5f0d9ea795cfebfb8544ab12",
                          .start = "2027-01-31",
                          .trial = offer->trial,
                          .facts = facts};
}

/* What a purchase keeps of its offer is shown again as it was, in both languages. */
static void kept_facts(void **state)
{
    apr_table_t *before = apr_table_make(pool, 8), *after = apr_table_make(pool, 8);
    pwk_payway_product product = {.name = "Allt <&\"'", .description = "\xc3\xa5"};
    pwk_period month = period("5f0d9ea795cfebfb8544ab12", PWK_PERIOD_RECURRING, 9950);
    pwk_offer *offer;
    pwk_offer_shown shown = {.product = &product, .start = "2027-01-31"}, read;

    (void)state;
    parse(&offer, "code=pack|products=web|title.en=All|price=10 kr|price.en=SEK 10");
    shown.offer = offer;
    shown.periods = apr_array_make(pool, 1, sizeof(pwk_period));
    for (int priced = 0; priced <= 1; priced++) {
        if (priced) {
            APR_ARRAY_PUSH(shown.periods, pwk_period) = month;
        }
        pwk_purchase purchase = purchase_of(offer, pwk_facts_write(&shown, priced ? &month : NULL, pool));
        pwk_facts_read(&read, &purchase, pool);
        assert_true(pwk_facts_has_price(&read));
        for (int english = 0; english <= 1; english++) {
            static const char *const names[] = {
                "OFFER_NAME",       "OFFER_TITLE",       "OFFER_DESCRIPTION",   "OFFER_TYPE",  "OFFER_PRICE",
                "OFFER_PRICE_TEXT", "OFFER_PERIOD_UNIT", "OFFER_PERIOD_LENGTH", "OFFER_START", "OFFER_PERIODS"};
            pwk_facts_offer(before, &shown, english ? "en" : "sv", pool);
            pwk_facts_offer(after, &read, english ? "en" : "sv", pool);
            for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                const char *was = apr_table_get(before, names[i]), *is = apr_table_get(after, names[i]);
                assert_string_equal(is ? is : "-", was ? was : "-");
            }
        }
    }
    static const char *const odd[] = {"",
                                      "{}",
                                      "[]",
                                      "null",
                                      "{\"period\":{\"price\":-1,\"unit\":\"month\",\"length\":1}}",
                                      "{\"titles\":[],\"prices\":1,\"product\":\"x\",\"period\":[]}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        pwk_purchase purchase = purchase_of(offer, odd[i]);
        pwk_facts_read(&read, &purchase, pool);
        assert_false(pwk_facts_has_price(&read));
        pwk_facts_offer(after, &read, "sv", pool);
        assert_non_null(apr_table_get(after, "OFFER_TITLE"));
    }
}

static pwk_sale sample_sale(void)
{
    pwk_sale sale = {.path = "/premium/a.html?x=1",
                     .language = "sv",
                     .made = apr_time_from_sec(1700000000),
                     .raise_on_ssn_already_taken_error = 1,
                     .traffic_source = "åäö",
                     .merchant_reference = ""};
    sale.offers = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(sale.offers, const char *) = "digital";
    sale.categories = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(sale.categories, const char *) = "pay_now";
    return sale;
}

static void sales(void **state)
{
    pwk_sale sale = sample_sale(), read;
    const char *text = pwk_sale_write(&sale, pool);

    (void)state;
    assert_int_equal(pwk_sale_read(&read, text, strlen(text), pool), APR_SUCCESS);
    assert_string_equal(read.path, sale.path);
    assert_string_equal(read.traffic_source, sale.traffic_source);
    assert_int_equal(read.raise_on_ssn_already_taken_error, 1);
    assert_int_equal(read.disable_account_info_overwrite, 0);
    assert_true(pwk_sale_offers(&read, "digital"));
    assert_false(pwk_sale_offers(&read, "digita"));
    assert_string_equal(APR_ARRAY_IDX(read.categories, 0, const char *), "pay_now");
    assert_string_equal(read.language, "sv");
    for (apr_int64_t more = -1; more <= 1; more++) {
        assert_int_equal(pwk_sale_is_fresh(&read, sale.made + apr_time_from_sec(PWK_SALE_LIFE_S + more)), more <= 0);
        assert_int_equal(pwk_sale_is_fresh(&read, sale.made - apr_time_from_sec(PWK_CLOCK_SKEW_S + more)), more <= 0);
    }
    sale.path = "//evil.example";
    text = pwk_sale_write(&sale, pool);
    assert_int_equal(pwk_sale_read(&read, text, strlen(text), pool), APR_EINVAL);
    static const char *const odd[] = {"", "{}", "[]", "null", "{\"made\":1}", "{\"made\":\"1\"}"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        assert_int_equal(pwk_sale_read(&read, odd[i], strlen(odd[i]), pool), APR_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_an_offer), cmocka_unit_test(wrong_words), cmocka_unit_test(start_dates),
        cmocka_unit_test(periods),           cmocka_unit_test(amounts),     cmocka_unit_test(facts_are_clean),
        cmocka_unit_test(kept_facts),        cmocka_unit_test(sales),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("offer", tests, unit_begin, unit_end);
}
