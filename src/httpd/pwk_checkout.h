/* The pages of a purchase: the widget, the waiting, the confirmation (guide, steps 3 and 8). Each says how the purchase
 * stands by now, whatever it was when the browser opened it last: Back, Reload, a second tab and the browser's memory of a
 * page lead nowhere else. */
#ifndef PWK_CHECKOUT_H
#define PWK_CHECKOUT_H

#include "pwk_visit.h"

/* Handlers: GET purchase/ID, GET purchase/ID/state, GET confirm/ID. */
int pwk_checkout_purchase(request_rec *r, pwk_visit *visit);
int pwk_checkout_state(request_rec *r, pwk_visit *visit);
int pwk_checkout_confirm(request_rec *r, pwk_visit *visit);

#endif
