#include "pwk_purchase.h"

#include <string.h>
#include <time.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "pwk_limits.h"
#include "pwk_seal.h"
#include "pwk_text.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define DATE_LEN 10 /* "YYYY-MM-DD" */

/* Every transition there is (DESIGN §5). No row leads to CREATED but from PLACING, when nothing was sent; none leads out
 * of UNKNOWN to where an order is sent. */
static const struct {
    pwk_purchase_state from;
    pwk_purchase_event event;
    pwk_purchase_state to;
    pwk_purchase_action action;
} transitions[] = {
    {PWK_PURCHASE_CREATED, PWK_EVENT_CLAIM, PWK_PURCHASE_PLACING, PWK_DO_PLACE},
    {PWK_PURCHASE_CREATED, PWK_EVENT_AGED, PWK_PURCHASE_EXPIRED, PWK_DO_NOTHING},

    {PWK_PURCHASE_PLACING, PWK_EVENT_NOT_SENT, PWK_PURCHASE_CREATED, PWK_DO_NOTHING},
    {PWK_PURCHASE_PLACING, PWK_EVENT_ACCEPTED, PWK_PURCHASE_PLACED, PWK_DO_GRANT},
    {PWK_PURCHASE_PLACING, PWK_EVENT_REFUSED, PWK_PURCHASE_FAILED, PWK_DO_NOTHING},
    {PWK_PURCHASE_PLACING, PWK_EVENT_NOT_COMPLETED, PWK_PURCHASE_FAILED, PWK_DO_REREAD},
    {PWK_PURCHASE_PLACING, PWK_EVENT_LOST, PWK_PURCHASE_UNKNOWN, PWK_DO_FIND_OUT},
    {PWK_PURCHASE_PLACING, PWK_EVENT_OVERDUE, PWK_PURCHASE_UNKNOWN, PWK_DO_FIND_OUT},
    {PWK_PURCHASE_PLACING, PWK_EVENT_FOUND, PWK_PURCHASE_PLACED, PWK_DO_GRANT},

    /* Who was called overdue may still get the answer: it is as good as one in time. */
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_ACCEPTED, PWK_PURCHASE_PLACED, PWK_DO_GRANT},
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_REFUSED, PWK_PURCHASE_FAILED, PWK_DO_NOTHING},
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_NOT_COMPLETED, PWK_PURCHASE_FAILED, PWK_DO_REREAD},
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_FOUND, PWK_PURCHASE_PLACED, PWK_DO_GRANT},
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_ABSENT, PWK_PURCHASE_FAILED, PWK_DO_NOTHING},
    {PWK_PURCHASE_UNKNOWN, PWK_EVENT_CONTRADICTED, PWK_PURCHASE_MANUAL, PWK_DO_ALARM},

    /* The operator's word. */
    {PWK_PURCHASE_MANUAL, PWK_EVENT_FOUND, PWK_PURCHASE_PLACED, PWK_DO_GRANT},
    {PWK_PURCHASE_MANUAL, PWK_EVENT_ABSENT, PWK_PURCHASE_FAILED, PWK_DO_NOTHING},

    {PWK_PURCHASE_PLACED, PWK_EVENT_SHOWN, PWK_PURCHASE_CONFIRMED, PWK_DO_NOTHING},
    /* Two orders of one purchase: it stays placed, and somebody has to give money back. */
    {PWK_PURCHASE_PLACED, PWK_EVENT_CONTRADICTED, PWK_PURCHASE_PLACED, PWK_DO_ALARM},
    /* An order of a purchase that was said not to be completed: it may have been charged, and opens nothing by itself. */
    {PWK_PURCHASE_FAILED, PWK_EVENT_CONTRADICTED, PWK_PURCHASE_FAILED, PWK_DO_ALARM},
};

static const struct {
    const char *word;
    int running;
    int grants;
} states[PWK_PURCHASE_STATES] = {
    [PWK_PURCHASE_CREATED] = {"created", 0, 0}, [PWK_PURCHASE_PLACING] = {"placing", 1, 0},
    [PWK_PURCHASE_PLACED] = {"placed", 1, 1},   [PWK_PURCHASE_CONFIRMED] = {"confirmed", 0, 1},
    [PWK_PURCHASE_FAILED] = {"failed", 0, 0},   [PWK_PURCHASE_UNKNOWN] = {"unknown", 1, 1},
    [PWK_PURCHASE_MANUAL] = {"manual", 1, 0},   [PWK_PURCHASE_EXPIRED] = {"expired", 0, 0},
};

int pwk_purchase_next(pwk_purchase_state *next, pwk_purchase_action *action, pwk_purchase_state state,
                      pwk_purchase_event event)
{
    for (size_t i = 0; i < COUNT(transitions); i++) {
        if (transitions[i].from == state && transitions[i].event == event) {
            *next = transitions[i].to;
            *action = transitions[i].action;
            return 1;
        }
    }
    return 0;
}

const char *pwk_purchase_word(pwk_purchase_state state)
{
    return states[state].word;
}

int pwk_purchase_state_of(const char *word)
{
    for (int state = 0; state < PWK_PURCHASE_STATES; state++) {
        if (strcmp(states[state].word, word) == 0) {
            return state;
        }
    }
    return -1;
}

int pwk_purchase_is_running(pwk_purchase_state state)
{
    return states[state].running;
}

int pwk_purchase_grants(const pwk_purchase *purchase, apr_time_t now)
{
    return states[purchase->state].grants && !purchase->shown && now >= purchase->grant_from
           && now < purchase->grant_until;
}

/* A deadline that is further off than any is was made by a clock that has been set back since. */
int pwk_purchase_is_overdue(const pwk_purchase *purchase, apr_time_t now)
{
    return purchase->state == PWK_PURCHASE_PLACING
           && (now > purchase->due
               || purchase->due - now > apr_time_from_sec(PWK_ORDER_TIMEOUT_MAX_S + PWK_CLOCK_SKEW_S));
}

/* --- dates, in local time --- */

static int is_date(const char *text)
{
    static const char digits[] = "0123456789";

    return strlen(text) == DATE_LEN && strspn(text, digits) == 4 && text[4] == '-' && strspn(text + 5, digits) == 2
           && text[7] == '-' && strspn(text + 8, digits) == 2;
}

/* The local midnight that begins `date`; 0 for what is no date. The C library decides what the clock does that day: a
 * midnight is 22:00 or 23:00 UTC in Sweden, whatever it is now. */
static apr_time_t midnight_of(const char *date)
{
    struct tm day = {.tm_isdst = -1};
    time_t midnight;

    if (!is_date(date)) {
        return 0;
    }
    day.tm_year = (int)apr_atoi64(date) - 1900; /* each up to the next '-' */
    day.tm_mon = (int)apr_atoi64(date + 5) - 1;
    day.tm_mday = (int)apr_atoi64(date + 8);
    midnight = mktime(&day);
    return midnight == (time_t)-1 ? 0 : apr_time_from_sec(midnight);
}

void pwk_purchase_set_grant(pwk_purchase *purchase, apr_time_t now)
{
    apr_time_t start = midnight_of(purchase->start);
    apr_time_t whole = apr_time_from_sec(apr_time_sec(now));

    purchase->grant_from = start > whole ? start : whole;
    purchase->grant_until = purchase->grant_from + apr_time_from_sec(PWK_GRANT_S);
}

int pwk_purchase_starts_later(const pwk_purchase *purchase, apr_time_t now)
{
    char date[sizeof "-2147481748-12-31"];
    apr_time_exp_t today;

    if (!*purchase->start || apr_time_exp_lt(&today, now) != APR_SUCCESS) {
        return 0;
    }
    apr_snprintf(date, sizeof date, "%04d-%02d-%02d", today.tm_year + 1900, today.tm_mon + 1, today.tm_mday);
    return strcmp(purchase->start, date) > 0;
}

/* --- ids --- */

const char *pwk_purchase_new_id(apr_pool_t *p)
{
    const char *random = pwk_seal_random(PWK_PURCHASE_ID_LEN / 2, p);
    void *bytes;
    apr_size_t len;

    if (!random || pwk_text_unbase64url(&bytes, &len, random, strlen(random), p) != APR_SUCCESS) {
        return NULL;
    }
    return apr_pescape_hex(p, bytes, len, 0);
}

/* In lower case, as they are made: one row has one address. */
int pwk_purchase_is_id(const char *text)
{
    return text && strlen(text) == PWK_PURCHASE_ID_LEN && strspn(text, "0123456789abcdef") == PWK_PURCHASE_ID_LEN;
}
