/* The wall: what whoever may not read gets instead, as a page or as JSON; the offers as a page of their own; and
 * `me`. */
#ifndef PWK_WALL_H
#define PWK_WALL_H

#include "pwk_visit.h"

/* Makes httpd answer `r` with the wall if it is denied now with 401, 402 or 403, as PaywayWall says, and exports
 * PAYWAY_* for whoever else draws it. */
void pwk_wall_prepare(request_rec *r, const pwk_gate *gate);

/* Handlers: the wall (an internal redirect alone), GET offers, GET me. */
int pwk_wall_handler(request_rec *r, pwk_visit *visit);
int pwk_wall_offers(request_rec *r, pwk_visit *visit);
int pwk_wall_me(request_rec *r, pwk_visit *visit);

#endif
