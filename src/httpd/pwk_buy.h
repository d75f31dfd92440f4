/* Buying: what the wall's buttons start. The sale itself goes on at the portal's shop, which every Payway site has. */
#ifndef PWK_BUY_H
#define PWK_BUY_H

#include "pwk_visit.h"

/* POST buy: `sale`, `offer`, `period`, `csrf`. A reader who is not logged in logs in first and comes back to the
 * offer. */
int pwk_buy_handler(request_rec *r, pwk_visit *visit);

#endif
