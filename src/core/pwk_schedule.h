/* When a purchase is looked at next without a reader: a slowing schedule, from the claim on (threats §2.7). Pure. */
#ifndef PWK_SCHEDULE_H
#define PWK_SCHEDULE_H

#include "pwk_purchase.h"

/* After `now`; 0: never, nothing is open about it.
 *
 * CREATED: when its session is over. PLACING: when its answer is due. UNKNOWN: 2, 5, 10, 20, 40, 60 s, 2, 5, 10, 20, 40 and
 * 65 minutes after the claim, then each hour; a fifth later at most, by the purchase's id, so that what broke at the same
 * moment is not asked for at the same moment. PLACED: by the same steps, until nothing is waited for. FAILED where a
 * reservation may exist (pwk_outcome_is_not_completed): after 2 and 65 minutes. */
apr_time_t pwk_schedule_next(const pwk_purchase *purchase, apr_time_t now);

#endif
