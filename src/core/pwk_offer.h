/* An offer: something for sale, as `PaywayOffer name key=value …` names it. */
#ifndef PWK_OFFER_H
#define PWK_OFFER_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "pwk_payway.h"

typedef struct {
    const char *name;             /* what PaywayOffers and the form say */
    const char *code;             /* package or campaign code */
    pwk_period_type type;         /* recurring unless the directive says limited */
    const char *period;           /* id of the one period on offer; "": the reader chooses among all of `type` */
    int trial;                    /* sold by place_trial_order; then `period` is there */
    const char *start;            /* "", "YYYY-MM-DD" or "+Nd" */
    apr_array_header_t *products; /* const char *: the product codes it gives */
    apr_table_t *titles;          /* by language; "*" for any: shown instead of Payway's name */
    apr_table_t *prices;          /* likewise: shown where the API gives no price */
} pwk_offer;

/* Reads the words after the name. NULL and `*offer` (in `p`) on success, else what is wrong and what to write instead. */
const char *pwk_offer_parse(pwk_offer **offer, const char *name, int argc, const char *const *argv, apr_pool_t *p);

/* Whether it gives any of `codes`. */
int pwk_offer_opens(const pwk_offer *offer, const char *const *codes, int count);

/* Text for `language` from `titles` or `prices`; NULL when there is none. */
const char *pwk_offer_text(const apr_table_t *texts, const char *language);

/* The start date "YYYY-MM-DD" as of `now` (local time), in `p`; "" when it starts at once, which a date already past
 * does too (the API refuses one: payway-api §3.2). */
const char *pwk_offer_start(const pwk_offer *offer, apr_time_t now, apr_pool_t *p);

/* Those of `periods` (pwk_period, may be NULL) that this offer sells, in `p`. */
apr_array_header_t *pwk_offer_periods(const pwk_offer *offer, const apr_array_header_t *periods, apr_pool_t *p);

#endif
