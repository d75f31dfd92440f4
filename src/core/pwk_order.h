/* The order's messages of the Payway API: the Klarna session, placing the order, the list of orders (payway-api §3,
 * §7.5; guide, steps 2 and 5), and what their answers mean for a purchase (threats §2.5). */
#ifndef PWK_ORDER_H
#define PWK_ORDER_H

#include "pwk_klarna.h"
#include "pwk_purchase.h"
#include "pwk_sale.h"

/* POST v1/klarna_payments/create_session, for a token with identity: code, period_type, period_id (when known),
 * confirmation_url, start_date (when set), disable_account_info_overwrite. */
pwk_payway_request pwk_order_session_request(const pwk_purchase *purchase, const pwk_sale *sale,
                                             const char *confirmation_url, apr_pool_t *p);

/* `{"item":{…}}` or flat; payment_method_categories is read when it comes. PWK_UNAVAILABLE ("bad_answer") without a
 * session id or a client token of three parts. */
pwk_result pwk_order_read_session(pwk_klarna_session *session, const pwk_payway_answer *answer, apr_pool_t *p);

/* What the browser brought and is. */
typedef struct {
    const char *token;      /* klarna_authorization_token */
    const char *browser_ip; /* r->useragent_ip */
    const char *browser_language;
    const char *browser_user_agent; /* made visible and cut to PWK_USER_AGENT_MAX here */
} pwk_order_authorization;

/* POST v1/klarna_payments/place_order, or place_trial_order for a trial; `once` is set. All four raise_on_* are always
 * sent; traffic_source when it is not empty; merchant_reference is pwk_order_reference. */
pwk_payway_request pwk_order_place_request(const pwk_purchase *purchase, const pwk_sale *sale, const char *session_id,
                                           const pwk_order_authorization *authorization, apr_pool_t *p);

/* "ID" or "ID_REF" in [A-Za-z0-9_-], at most 64 characters: other characters of the publisher's reference become '-',
 * what is too long is cut. */
const char *pwk_order_reference(const char *id, const char *merchant_reference, apr_pool_t *p);

typedef struct {
    const char *order_id; /* "" when Payway did not say */
    const char *redirect; /* redirect_url, redirect_uri or klarna_redirect_url as given, "" when absent; unchecked */
} pwk_order_placed;

/* What an answer to placing means: ACCEPTED, REFUSED, NOT_COMPLETED or LOST. `*result` for the log and the ledger, its
 * code Payway's word or ours.
 *
 * The code "not_completed" is ours, for a 403 that says neither why nor that nothing happened.
 *
 * ACCEPTED: 2xx with a JSON object that names an order or a redirect, and is not an error's. REFUSED, with Payway's
 * JSON (`code` or `message`) alone: 400, 401, 404, 422, a 403 about scope or identity; 429 also with Retry-After and
 * no JSON. NOT_COMPLETED: payment method failed, by code or message, and the raise_on_* codes, under any of those statuses. LOST:
 * everything else, also a CDN's page under one of those statuses, 409, 408, 3xx, 5xx, a 2xx that cannot be read. */
pwk_purchase_event pwk_order_read_placed(pwk_order_placed *placed, pwk_result *result, const pwk_payway_answer *answer,
                                         apr_pool_t *p);

/* The word of ERROR_CODE (docs/pages.md) for the code that ended a purchase: "payment_failed", "ssn_taken", "ssn_set",
 * "account_update", "delivery_address", "already_bought", "not_permitted", "order_absent"; "order_refused" for any other. */
const char *pwk_order_word(const char *code);
/* Whether that code's face is "not completed" (a reservation may exist) rather than "refused". */
int pwk_order_is_not_completed(const char *code);

/* GET v1/order?account_id=, for a token without identity with the scope /external/order/r. */
pwk_payway_request pwk_order_list_request(const char *account, apr_pool_t *p);

typedef struct {
    int count;            /* orders whose merchant_reference is the purchase's */
    const char *order_id; /* of the first */
    int complete;         /* the list was whole: only then an absence counts */
} pwk_order_search;

/* Looks for orders whose merchant_reference is `id`, or begins with `id` and '_'. 404 not_found is an empty, complete
 * list only if it is Payway's own word. Anything else that is not a readable 2xx list fails, as in pwk_payway.h. */
pwk_result pwk_order_read_list(pwk_order_search *found, const char *id, const pwk_payway_answer *answer, apr_pool_t *p);

#endif
