/* What a page shows: variables of the templates, and the JSON that API clients get, from offers and prices. Pure; texts
 * are cleaned here, and encoded where they are shown (#echo). Variables are listed in docs/pages.md. */
#ifndef PWK_FACTS_H
#define PWK_FACTS_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <jansson.h>

#include "pwk_offer.h"
#include "pwk_purchase.h"
#include "pwk_verdict.h"

/* An offer as this reader is shown it. */
typedef struct {
    const pwk_offer *offer;
    const pwk_payway_product *product; /* NULL: Payway has not said */
    apr_array_header_t *periods;       /* pwk_period that it sells; empty: Payway has not said, or there are none */
    const char *start;                 /* pwk_offer_start */
    int selected;                      /* the link named it */
} pwk_offer_shown;

/* An amount in minor units in the way of `language`: "210", "99,50", "1 299" (sv, no-break space), "1,299.50" (en). */
const char *pwk_facts_amount(apr_int64_t minor, const char *language, apr_pool_t *p);

/* Sets OFFER_* in `vars`. */
void pwk_facts_offer(apr_table_t *vars, const pwk_offer_shown *shown, const char *language, apr_pool_t *p);

/* Sets PERIOD_* in `vars` for period `index` of `shown`; the first is checked. */
void pwk_facts_period(apr_table_t *vars, const pwk_offer_shown *shown, int index, const char *language, apr_pool_t *p);

/* What a purchase keeps of the offer as it was shown, for one period (NULL: Payway named none): JSON, in `p`. */
const char *pwk_facts_write(const pwk_offer_shown *shown, const pwk_period *period, apr_pool_t *p);

/* Makes of a purchase what was shown when it was made, whatever the configuration says meanwhile. `*shown` in `p`; texts
 * that cannot be read are left out. */
void pwk_facts_read(pwk_offer_shown *shown, const pwk_purchase *purchase, apr_pool_t *p);

/* Whether anything says what it costs: without that there is no order button. */
int pwk_facts_has_price(const pwk_offer_shown *shown);

/* The answer that an API client gets for a page it may not read; docs/api.md documents its shape. `offers` holds
 * pwk_offer_shown, `codes` the products asked for (NULL: being logged in was asked for). In `p`. */
json_t *pwk_facts_json(const pwk_verdict *verdict, const pwk_requirement *requirement, const apr_array_header_t *offers,
                       const char *offers_url, const char *login_url, const char *language, apr_pool_t *p);

#endif
