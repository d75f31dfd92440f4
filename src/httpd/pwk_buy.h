/* Buying: what the wall's buttons start (guide, steps 1 and 2). */
#ifndef PWK_BUY_H
#define PWK_BUY_H

#include "pwk_visit.h"

/* POST buy: `sale`, `offer`, `period`, `csrf`. Makes the purchase and its Klarna session, one per reader and offer while it
 * lives, and leads to the purchase page. A reader who is not logged in logs in first and comes back to the offer; without a
 * ledger the portal's shop sells. */
int pwk_buy_handler(request_rec *r, pwk_visit *visit);

#endif
