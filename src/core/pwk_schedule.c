#include "pwk_schedule.h"

#include "pwk_outcome.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum { HOUR_S = 3600 };

/* Seconds after the claim. The last is past the life of Klarna's authorization, so that a reading then can prove something. */
static const int waiting[] = {2, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 2400, 3900};
static const int broken_off[] = {120, 3900};

/* Between 0 and 0.2, always the same for one purchase. */
static double lateness_of(const pwk_purchase *purchase)
{
    unsigned sum = 0;

    for (const char *c = purchase->id; *c; c++) {
        sum = sum * 31 + (unsigned char)*c;
    }
    return (double)(sum % 1000) / 5000;
}

static apr_int64_t step_after(apr_int64_t age_s, const int *steps, size_t count, int goes_on, double late)
{
    for (size_t i = 0; i < count; i++) {
        apr_int64_t at = steps[i] + (apr_int64_t)(steps[i] * late);

        if (at > age_s) {
            return at;
        }
    }
    return goes_on ? age_s + HOUR_S + (apr_int64_t)(HOUR_S * late) : 0;
}

apr_time_t pwk_schedule_next(const pwk_purchase *purchase, apr_time_t now)
{
    apr_int64_t age_s = apr_time_sec(now - purchase->claimed), step;
    double late = lateness_of(purchase);

    switch (purchase->state) {
    case PWK_PURCHASE_CREATED:
        return purchase->expires;
    case PWK_PURCHASE_PLACING:
        return purchase->due;
    case PWK_PURCHASE_UNKNOWN:
    case PWK_PURCHASE_PLACED:
        step = step_after(age_s, waiting, COUNT(waiting), 1, late);
        break;
    case PWK_PURCHASE_FAILED:
        step = pwk_outcome_is_not_completed(purchase->error) ? step_after(age_s, broken_off, COUNT(broken_off), 0, late)
                                                             : 0;
        break;
    default:
        return 0;
    }
    if (!step) {
        return 0;
    }
    /* A clock that was set back would put it off for as long. */
    if (step - age_s > 2 * HOUR_S) {
        return apr_time_from_sec(apr_time_sec(now) + HOUR_S);
    }
    return apr_time_from_sec(apr_time_sec(purchase->claimed) + step);
}
