/* Who is this browser? SSO2's identify and landing, and the return from the portal (payway-api §5.4).
 *
 * Each login is bound to its browser: a random id in the login cookie and, sealed, in the URL that the browser
 * comes back with. A landing without that pair proves nothing about this browser; it is dropped, and one login of
 * our own is begun (threats B-01). No loops: what is begun for the second time ends on a page. */
#ifndef PWK_IDENTIFY_H
#define PWK_IDENTIFY_H

#include "../core/pwk_sso2.h"
#include "pwk_visit.h"

/* Sends a page view at the wall (or under PaywayReader) to identify, once: a status to return, with Location set, or
 * DECLINED when PaywayIdentify, or the mark of an earlier try, says no. */
int pwk_identify_page_view(request_rec *r, pwk_visit *visit);

/* Why this page view was not identified, from the mark in its query: "cookies" (this browser takes none),
 * "login-failed", or "". A request that carries the mark is not sent to identify again. */
const char *pwk_identify_notice(const pwk_visit *visit);

/* Sends the browser to identify, to continue at `place`; `again`: it is the second time, and there is no third. */
int pwk_identify_begin(request_rec *r, pwk_visit *visit, const char *place, int again);

/* Takes SSO2's word (an answer without `err`) for who this browser is, and lets it continue at `place`: with a
 * ticket a reader of an account, otherwise one whom nobody logged in. A status to return. */
int pwk_identify_settle(request_rec *r, pwk_visit *visit, const pwk_sso2_answer *answer, const char *place);

/* The URL that the portal sends a reader back to, who then continues at `place`, with products read anew; binds this
 * browser by the login cookie. NULL when there is no randomness. */
const char *pwk_identify_return_url(request_rec *r, pwk_visit *visit, const char *place);

/* 303 to `place` on this site. */
int pwk_identify_to_place(request_rec *r, const pwk_visit *visit, const char *place);

/* Handlers: GET landing, GET login/return. */
int pwk_identify_landing(request_rec *r, pwk_visit *visit);
int pwk_identify_return(request_rec *r, pwk_visit *visit);

#endif
