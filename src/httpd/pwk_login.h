/* Logging in at the portal or by our own form, and logging out. */
#ifndef PWK_LOGIN_H
#define PWK_LOGIN_H

#include "pwk_visit.h"

/* Handlers: GET|POST login, GET|POST logout. */
int pwk_login_handler(request_rec *r, pwk_visit *visit);
int pwk_login_logout(request_rec *r, pwk_visit *visit);

#endif
