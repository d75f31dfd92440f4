/* The access decision: what httpd's hooks and authz providers ask us. The verdict itself is src/core/pwk_verdict.h. */
#ifndef PWK_ACCESS_H
#define PWK_ACCESS_H

#include <mod_auth.h>

#include "pwk_visit.h"

/* `Require payway-product` and `Require payway-account`. Run first without a user, up to three times a request, and
 * decide from the remembered reader alone: no network, no side effect. GRANTED sets r->user; DENIED_NO_USER
 * otherwise, never DENIED before authentication ran (httpd-notes L3). */
extern const authz_provider pwk_access_product, pwk_access_account, pwk_access_article;

/* Hook post_read_request: drops request headers that look like ours (threats R8). */
int pwk_access_scrub(request_rec *r);

/* Hook check_authn, AuthType Payway: runs when nothing granted. Asks Payway where the record alone does not do,
 * sends a page view without a cookie to identify, and answers with the wall. */
int pwk_access_authn(request_rec *r);

/* Hook fixups: PAYWAY_* for content, our cookies out of what it sees, and a stale reader queued for renewal. */
int pwk_access_fixups(request_rec *r);

/* Sets PAYWAY_VERDICT, PAYWAY_REASON, PAYWAY_ACCOUNT and PAYWAY_PRODUCT of `r`. */
void pwk_access_export(request_rec *r, const pwk_verdict *verdict, const pwk_reader *reader);

#endif
