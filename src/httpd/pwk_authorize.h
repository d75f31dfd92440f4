/* Placing the order: the one request that moves money (guide, steps 5 to 7). */
#ifndef PWK_AUTHORIZE_H
#define PWK_AUTHORIZE_H

#include "pwk_visit.h"

/* POST authorize/ID: `csrf`, `klarna_authorization_token`. Everything that can fail without harm comes before the claim;
 * after it the order is sent once, whether or not the browser still waits, and its outcome is committed before the browser
 * is answered. Always a redirect: to Klarna's page, to the confirmation, or to the page that says how it stands. */
int pwk_authorize_handler(request_rec *r, pwk_visit *visit);

#endif
