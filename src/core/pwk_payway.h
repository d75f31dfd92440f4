/* The Payway API's messages: what we ask, and how answers are read (payway-api §2, §5.1, §6, §7). No socket here:
 * a request is data that src/httpd/pwk_upstream.h sends, an answer is status and bytes. */
#ifndef PWK_PAYWAY_H
#define PWK_PAYWAY_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "pwk_result.h"

/* What to send; the host is not part of it. */
typedef struct {
    const char *method;          /* "GET" or "POST" */
    const char *path;            /* with query, encoded */
    const char *content_type;    /* of the body, or NULL */
    const char *body;            /* or NULL */
    int once;                    /* a repetition would be refused, or order twice: sent on a connection of its own */
    apr_interval_time_t timeout; /* deadline of the whole call; 0: the site's */
} pwk_payway_request;

/* What came back. */
typedef struct {
    int status;
    const char *content_type; /* may be NULL */
    const char *body;
    apr_size_t len;
    int retry_after_s;
} pwk_payway_answer;

typedef struct {
    const char *access_token;
    long expires_in_s; /* clamped to 60 s .. 24 h (threats F-16) */
} pwk_payway_token;

typedef struct {
    const char *id; /* the account's id: opaque, what REMOTE_USER becomes */
} pwk_payway_me;

typedef enum { PWK_PERIOD_LIMITED, PWK_PERIOD_RECURRING } pwk_period_type;

/* A payment period (payway-api §3.6). */
typedef struct {
    const char *id;
    pwk_period_type type;
    const char *unit; /* "day", "week", "month", "year" */
    int length;
    apr_int64_t price_minor; /* in öre: 21000 is 210 kr; read from the number's own text, no binary fraction */
} pwk_period;

typedef struct {
    const char *name;        /* cleaned text */
    const char *description; /* cleaned text, "" when absent */
} pwk_payway_product;

#define PWK_SCOPES_IDENTITY "/external/me/w /external/klarna_payments/w"
/* A scope that not every API user has is asked for alone: a refusal must not cost the others. */
#define PWK_SCOPE_ORDERS "/external/order/r"
#define PWK_SCOPES_PLAIN "/external/account/r /external/product/r /external/klarna_payments/r"

/* POST /api/authorization/access_token, with a ticket (a token with identity) or without one (NULL: grant "none"). */
pwk_payway_request pwk_payway_token_request(const char *client_id, const char *secret, const char *scope,
                                            const char *ticket, apr_pool_t *p);
pwk_payway_request pwk_payway_me_request(apr_pool_t *p);
/* The products of the token's own account, and of a named account by a token without identity. */
pwk_payway_request pwk_payway_my_products_request(apr_pool_t *p);
pwk_payway_request pwk_payway_products_request(const char *account, apr_pool_t *p);
pwk_payway_request pwk_payway_periods_request(const char *code, apr_pool_t *p);
pwk_payway_request pwk_payway_product_request(const char *code, apr_pool_t *p);

/* Readers. Each first judges the status: 2xx is read, 4xx is PWK_REFUSED with Payway's code and field (when Payway
 * gives none: "unauthorized" for 401, "forbidden" for 403, as for a missing scope, else "refused"; so "not_found" is
 * always Payway's own word), 408, 429 and 5xx are PWK_UNAVAILABLE ("timeout", "rate_limited", "server_error") with
 * retry_after_s, 3xx and everything else PWK_UNAVAILABLE. A 2xx that is not JSON of the expected shape ("bad_json",
 * "bad_answer" with the member in `field`, "bad_content_type", "too_large") is PWK_UNAVAILABLE, never "no products".
 * Every result has the answer's status. Results live in `p`; what is read is empty texts and lists unless PWK_OK. */
pwk_result pwk_payway_read_token(pwk_payway_token *token, const pwk_payway_answer *answer, apr_pool_t *p);
pwk_result pwk_payway_read_me(pwk_payway_me *me, const pwk_payway_answer *answer, apr_pool_t *p);
/* `*codes`: const char *, well-formed codes only; an ill-formed one is passed over. `*account`: the `id` in the answer,
 * or "" (callers compare it with the account asked for, threats F-15). */
pwk_result pwk_payway_read_products(apr_array_header_t **codes, const char **account, const pwk_payway_answer *answer,
                                    apr_pool_t *p);
/* `*periods`: pwk_period; enabled ones for Klarna Payments with a known unit and a sane price, in the order given, at
 * most PWK_PERIODS_MAX; one that cannot be read is passed over. An empty list is PWK_OK: there are none. */
pwk_result pwk_payway_read_periods(apr_array_header_t **periods, const pwk_payway_answer *answer, apr_pool_t *p);
pwk_result pwk_payway_read_product(pwk_payway_product *product, const pwk_payway_answer *answer, apr_pool_t *p);

/* What every reader begins with, here and in pwk_order; JSON lives as long as `p`.
 *
 * The answer's object, whatever the status: NULL when it does not say that it is JSON, or is no strict one. PWK_OK for a
 * 2xx with an object, else what it means (above). */
pwk_result pwk_payway_read_object(const json_t **object, const pwk_payway_answer *answer, apr_pool_t *p);
/* The same with the envelope off (pwk_json_item), and the list of `{"items":[…]}`, of PWK_ITEMS_MAX members at most, with
 * the object around it. `*item` and `*items` are NULL unless PWK_OK. */
pwk_result pwk_payway_read_item(const json_t **item, const pwk_payway_answer *answer, apr_pool_t *p);
pwk_result pwk_payway_read_items(const json_t **items, const json_t **object, const pwk_payway_answer *answer,
                                 apr_pool_t *p);
/* "bad_answer": a success without `field`, which it should hold. */
pwk_result pwk_payway_misshapen(const pwk_payway_answer *answer, const char *field);

#endif
