/* The sale: what a location says of its offers travels, sealed, in the wall's form (DESIGN §1, idea 5), since the
 * endpoints that sell run outside that location. */
#ifndef PWK_SALE_H
#define PWK_SALE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

/* Each member is a directive's value at the wall that sold. Texts are never NULL. */
typedef struct {
    const char *path;                     /* path and query of the article: where the reader continues */
    const char *language;                 /* of the wall: the pages that follow speak it too */
    apr_array_header_t *offers;           /* const char *: names of the offers shown; no other can be bought with it */
    apr_time_t made;                      /* whole seconds */
    int disable_account_info_overwrite;   /* create_session (guide, step 2) */
    int raise_on_ssn_already_taken_error; /* place_order (guide, "custom error handling") */
    int raise_on_ssn_already_set_error;
    int raise_on_account_update_error;
    int raise_on_delivery_address_error;
    apr_array_header_t *categories; /* const char *: payment method categories in order; empty: all */
    const char *traffic_source;     /* evaluated for the reader's request; "" is none */
    const char *merchant_reference; /* likewise */
} pwk_sale;

/* The text that is sealed, in `p`. */
const char *pwk_sale_write(const pwk_sale *sale, apr_pool_t *p);

/* Reads it back, in `p`. APR_EINVAL for anything that pwk_sale_write does not make. */
apr_status_t pwk_sale_read(pwk_sale *sale, const char *text, apr_size_t len, apr_pool_t *p);

/* Whether it is younger than PWK_SALE_LIFE_S. After that prices and settings may have changed, and the reader is shown the
 * offers anew; a sale that the ledger took over in time holds as long as its purchase. */
int pwk_sale_is_fresh(const pwk_sale *sale, apr_time_t now);

/* Whether `offer` was on that wall. */
int pwk_sale_offers(const pwk_sale *sale, const char *offer);

#endif
