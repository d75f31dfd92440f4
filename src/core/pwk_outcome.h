/* What an answer to placing an order means for the reader's money (payway-api §2, §3.5, §3.7, §8; guide, step 5;
 * threats §2.5): one table of (code -> event, page word). pwk_order says what was asked. */
#ifndef PWK_OUTCOME_H
#define PWK_OUTCOME_H

#include "pwk_payway.h"
#include "pwk_purchase.h"

typedef struct {
    const char *order_id; /* "" when Payway did not say */
    const char *redirect; /* redirect_url, redirect_uri or klarna_redirect_url as given, "" when absent; unchecked */
} pwk_outcome_placed;

/* What an answer to placing means: ACCEPTED, REFUSED, NOT_COMPLETED or LOST. `*placed` is empty texts unless ACCEPTED;
 * `*result` is for the log and the ledger, its code Payway's word or ours.
 *
 * The code "not_completed" is ours, for a 403 that says neither why nor that nothing happened.
 *
 * ACCEPTED: 2xx with a JSON object that names an order or a redirect, and is not an error's. REFUSED, with Payway's
 * JSON (`code` or `message`) alone: 400, 401, 404, 422, a 403 about scope or identity; 429 also with Retry-After and
 * no JSON. NOT_COMPLETED: payment method failed, by code or message, and the raise_on_* codes, under any of those
 * statuses. LOST: everything else, also a CDN's page under one of those statuses, 409, 408, 3xx, 5xx, a 2xx that cannot
 * be read. */
pwk_purchase_event pwk_outcome_read(pwk_outcome_placed *placed, pwk_result *result, const pwk_payway_answer *answer,
                                    apr_pool_t *p);

/* The word of ERROR_CODE (docs/pages.md) for the code that ended a purchase: "payment_failed", "ssn_taken", "ssn_set",
 * "account_update", "delivery_address", "already_bought", "not_permitted", "order_absent"; "order_refused" for any
 * other. */
const char *pwk_outcome_word(const char *code);
/* Whether that code's face is "not completed" (a reservation may exist) rather than "refused". */
int pwk_outcome_is_not_completed(const char *code);

#endif
