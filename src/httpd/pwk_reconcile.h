/* Finding out how a purchase ended whose answer was lost: by asking Payway, never by sending anything again (DESIGN §5,
 * threats §2.7). */
#ifndef PWK_RECONCILE_H
#define PWK_RECONCILE_H

#include "../core/pwk_purchase.h"
#include "../core/pwk_result.h"
#include "pwk_config.h"

/* Moves `purchase` (as read) on by what time and Payway say, and leaves in it how it stands now: CREATED past its session
 * becomes EXPIRED, PLACING past its deadline UNKNOWN, and the order of an UNKNOWN one is searched for, at most once in
 * PWK_LOOK_S over all hosts. For a reader who comes back. May wait for Payway up to PaywayTimeout per request. May be cut or
 * run twice at any moment. */
void pwk_reconcile_look(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p);

/* The same without a reader, for one whose next_look has come; and besides: whether Payway shows by now what a PLACED one
 * bought, and whether there is an order after all of one that was not completed. 0: Payway could not be asked; there is no use
 * in asking it for others now. */
int pwk_reconcile_due(const pwk_site *site, pwk_purchase *purchase, apr_pool_t *p);

/* Whether Payway shows by now what this account bought, which ends the waiting. */
pwk_result pwk_reconcile_settle(const pwk_site *site, const char *account, apr_pool_t *p);

#endif
