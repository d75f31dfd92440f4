/* Logging in and out: SSO2's identify and landing, the portal and the return from it, our own form (payway-api §5.4).
 *
 * Each login is bound to its browser: a random id in the login cookie and, sealed, in the URL that the browser comes back
 * with. A landing without that pair proves nothing about this browser; it is dropped, and one login of our own is begun
 * (threats B-01). No loops: what is begun for the second time ends on a page. */
#ifndef PWK_LOGIN_H
#define PWK_LOGIN_H

#include "pwk_visit.h"

/* Sends a page view at the wall (or under PaywayReader) to identify, once: a status to return, with Location set, or
 * DECLINED when PaywayIdentify says no. */
int pwk_login_identify(request_rec *r, pwk_visit *visit);

/* The URL that the portal sends a reader back to, who then continues at `place`, with products read anew; binds this
 * browser by the login cookie. NULL when there is no randomness. */
const char *pwk_login_return_url(request_rec *r, pwk_visit *visit, const char *place);

/* Handlers: GET landing, GET|POST login, GET login/return, GET|POST logout. */
int pwk_login_landing(request_rec *r, pwk_visit *visit);
int pwk_login_handler(request_rec *r, pwk_visit *visit);
int pwk_login_return(request_rec *r, pwk_visit *visit);
int pwk_login_logout(request_rec *r, pwk_visit *visit);

#endif
