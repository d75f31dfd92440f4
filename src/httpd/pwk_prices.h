/* What Payway says of our offers: names and payment periods, kept for minutes by each child, shared through the
 * cache, and the last good answer kept while Payway fails. */
#ifndef PWK_PRICES_H
#define PWK_PRICES_H

#include "../core/pwk_facts.h"
#include "pwk_visit.h"

void pwk_prices_child_init(apr_pool_t *pchild, server_rec *s);

/* The offers that a wall for `requirement` shows, in order, as pwk_offer_shown, in `p`: those that `dir` names,
 * else all that open it. `selected` is the name that a link chose, or NULL. The first wall after a start may wait
 * for Payway; a later one never does: what is older than ten minutes is shown and fetched anew beside. */
apr_array_header_t *pwk_prices_offers(const pwk_site *site, const pwk_dir *dir, const pwk_requirement *requirement,
                                      const char *selected, apr_pool_t *p);

/* One offer as it is shown, in `p`; it waits for Payway only while nothing at all is known. */
void pwk_prices_show(pwk_offer_shown *shown, const pwk_site *site, const pwk_offer *offer, apr_pool_t *p);

/* The offer of that name, NULL when there is none. */
const pwk_offer *pwk_prices_offer(const pwk_site *site, const char *name);

#endif
