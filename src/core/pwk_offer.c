#include "pwk_offer.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pwk_limits.h"
#include "pwk_text.h"

static int is_date(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return 0;
    for (int i = 0; i < 10; i++) {
        if (i != 4 && i != 7 && !apr_isdigit(text[i]))
            return 0;
    }
    int year = (int)apr_atoi64(text); /* up to the first '-' */
    int month = (text[5] - '0') * 10 + text[6] - '0', day = (text[8] - '0') * 10 + text[9] - '0';
    int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] && (month != 2 || day < 29 || is_leap);
}

/* Days of "+Nd", 1..366; 0 otherwise. */
static int days_ahead(const char *text)
{
    char *end;
    if (*text != '+' || !apr_isdigit(text[1]))
        return 0;
    apr_int64_t days = apr_strtoi64(text + 1, &end, 10);
    return end[0] == 'd' && !end[1] && days >= 1 && days <= 366 ? (int)days : 0;
}

static int is_language(const char *text)
{
    return strlen(text) == 2 && apr_islower(text[0]) && apr_islower(text[1]);
}

static const char *read_code(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    offer->code = apr_pstrdup(p, value);
    return pwk_text_is_code(value) ? NULL : "is not a package or campaign code: letters, digits, _ and -";
}

static const char *read_type(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    (void)p;
    if (!strcmp(value, "recurring"))
        offer->type = PWK_PERIOD_RECURRING;
    else if (!strcmp(value, "limited"))
        offer->type = PWK_PERIOD_LIMITED;
    else
        return "is not a type: use recurring or limited";
    return NULL;
}

static const char *read_period(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    offer->period = apr_pstrdup(p, value);
    return pwk_text_is_id(value) ? NULL : "is not a period id: 24 hex digits, from Payway";
}

static const char *read_trial(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    (void)p;
    offer->trial = !strcmp(value, "on");
    return offer->trial || !strcmp(value, "off") ? NULL : "is not on or off";
}

static const char *read_start(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    offer->start = apr_pstrdup(p, value);
    return is_date(value) || days_ahead(value) ? NULL : "is not a start: use 2027-01-31 or +3d (at most +366d)";
}

static const char *read_products(pwk_offer *offer, const char *value, apr_pool_t *p)
{
    char *state, *words = apr_pstrdup(p, value);
    for (char *word = apr_strtok(words, ",", &state); word; word = apr_strtok(NULL, ",", &state)) {
        if (!pwk_text_is_code(word))
            return "is not a list of product codes: write code,code without spaces";
        APR_ARRAY_PUSH(offer->products, const char *) = word;
    }
    return offer->products->nelts ? NULL : "names no product";
}

static const struct {
    const char *name;
    const char *(*read)(pwk_offer *offer, const char *value, apr_pool_t *p);
} keys[] = {
    {"code", read_code},   {"type", read_type},   {"period", read_period},
    {"trial", read_trial}, {"start", read_start}, {"products", read_products},
};

static const char *read_text(pwk_offer *offer, const char *key, const char *value, int *known)
{
    size_t len = strcspn(key, ".");
    apr_table_t *texts = NULL;
    if (!strncmp(key, "title", len) && len == 5)
        texts = offer->titles;
    else if (!strncmp(key, "price", len) && len == 5)
        texts = offer->prices;
    *known = texts && (!key[len] || is_language(key + len + 1));
    if (!*known)
        return NULL;
    if (!*value || strlen(value) > PWK_TEXT_MAX || !pwk_text_is_utf8(value, strlen(value)))
        return "is empty, too long or not UTF-8";
    apr_table_set(texts, key[len] ? key + len + 1 : "*", value);
    return NULL;
}

static const char *read_word(pwk_offer *offer, apr_table_t *seen, const char *word, apr_pool_t *p)
{
    const char *equals = strchr(word, '='), *wrong = NULL;
    int known = 0;
    if (!equals || equals == word)
        return apr_psprintf(p, "\"%s\" is not key=value", word);
    const char *key = apr_pstrmemdup(p, word, (apr_size_t)(equals - word)), *value = equals + 1;
    if (apr_table_get(seen, key))
        return apr_psprintf(p, "%s= comes twice", key);
    apr_table_setn(seen, key, "");
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !known; i++) {
        known = !strcmp(keys[i].name, key);
        if (known)
            wrong = keys[i].read(offer, value, p);
    }
    if (!known)
        wrong = read_text(offer, key, value, &known);
    if (!known)
        return apr_psprintf(
            p, "%s= is not known: use code, type, period, trial, start, products, title, title.en, price, price.en",
            key);
    return wrong ? apr_psprintf(p, "%s=\"%s\" %s", key, value, wrong) : NULL;
}

const char *pwk_offer_parse(pwk_offer **offer, const char *name, int argc, const char *const *argv, apr_pool_t *p)
{
    pwk_offer *read = apr_pcalloc(p, sizeof(*read));
    apr_table_t *seen = apr_table_make(p, 8);
    read->name = apr_pstrdup(p, name);
    read->code = read->period = read->start = "";
    read->type = PWK_PERIOD_RECURRING;
    read->products = apr_array_make(p, 2, sizeof(const char *));
    read->titles = apr_table_make(p, 2);
    read->prices = apr_table_make(p, 2);
    if (!pwk_text_is_code(name))
        return apr_psprintf(p, "\"%s\" is not a name: letters, digits, _ and -, at most %d", name, PWK_CODE_MAX);
    for (int i = 0; i < argc; i++) {
        const char *wrong = read_word(read, seen, argv[i], p);
        if (wrong)
            return wrong;
    }
    if (!*read->code)
        return "needs code=, the package or campaign code in Payway";
    if (!read->products->nelts)
        return "needs products=, the product codes that it gives";
    if (read->trial && !*read->period)
        return "trial=on needs period=, the period that follows the trial";
    if (read->trial && apr_is_empty_table(read->prices))
        return "trial=on needs price=, what it costs after the trial: the order button must not stand without it";
    *offer = read;
    return NULL;
}

int pwk_offer_opens(const pwk_offer *offer, const char *const *codes, int count)
{
    for (int i = 0; i < offer->products->nelts; i++) {
        for (int j = 0; j < count; j++) {
            if (!strcmp(APR_ARRAY_IDX(offer->products, i, const char *), codes[j]))
                return 1;
        }
    }
    return 0;
}

const char *pwk_offer_text(const apr_table_t *texts, const char *language)
{
    const char *text = apr_table_get(texts, language);
    return text ? text : apr_table_get(texts, "*");
}

const char *pwk_offer_start(const pwk_offer *offer, apr_time_t now, apr_pool_t *p)
{
    apr_time_exp_t today, day;
    int ahead = days_ahead(offer->start);
    if (!*offer->start || apr_time_exp_lt(&today, now) != APR_SUCCESS)
        return "";
    if (ahead) {
        /* Days are counted from noon: a change of the clock in between does not move the date. */
        apr_time_t noon =
            now - apr_time_from_sec(today.tm_hour * 3600 + today.tm_min * 60) + apr_time_from_sec(12 * 3600);
        apr_time_exp_lt(&day, noon + apr_time_from_sec((apr_int64_t)ahead * 24 * 3600));
        return apr_psprintf(p, "%04d-%02d-%02d", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
    }
    const char *date = apr_psprintf(p, "%04d-%02d-%02d", today.tm_year + 1900, today.tm_mon + 1, today.tm_mday);
    return strcmp(offer->start, date) > 0 ? offer->start : "";
}

apr_array_header_t *pwk_offer_periods(const pwk_offer *offer, const apr_array_header_t *periods, apr_pool_t *p)
{
    apr_array_header_t *sold = apr_array_make(p, 2, sizeof(pwk_period));
    for (int i = 0; periods && i < periods->nelts; i++) {
        const pwk_period *period = &APR_ARRAY_IDX(periods, i, pwk_period);
        if (*offer->period ? !strcasecmp(period->id, offer->period) : period->type == offer->type)
            APR_ARRAY_PUSH(sold, pwk_period) = *period;
    }
    return sold;
}
