/* The order's messages of the Payway API: the Klarna session, placing the order, the list of orders (payway-api §3,
 * §7.5; guide, steps 2 and 5). What the answer to placing means is pwk_outcome's. */
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

/* GET v1/order?account_id=, for a token without identity with the scope /external/order/r. `page` counts from 1; how a
 * further one is asked for is not documented, page_number after the answer's own word (payway-api §2.3). */
pwk_payway_request pwk_order_list_request(const char *account, int page, apr_pool_t *p);

/* One page of the list. */
typedef struct {
    int count; /* orders whose merchant_reference is the purchase's */
    int open;  /* … which are not closed, or whose payment went wrong: they prove nothing either way, yet */
    const char *order_id; /* of the first that counts, else of the first open one; "" */
    int complete;         /* every order of it can be told, and no page follows: only then an absence counts */
    int more;             /* every order of it can be told, and another page follows */
} pwk_order_search;

/* Looks for orders whose merchant_reference is `id`, or begins with `id` and '_'. What is not a readable 2xx list fails,
 * as in pwk_payway.h; so does a 404, which is no list. */
pwk_result pwk_order_read_list(pwk_order_search *found, const char *id, const pwk_payway_answer *answer, apr_pool_t *p);

#endif
