/* Grants: what a purchase opens before Payway shows it itself (DESIGN §5). Asked wherever the products of an account are
 * read from Payway, never on the path of an entitled request. */
#ifndef PWK_GRANTS_H
#define PWK_GRANTS_H

#include "../core/pwk_purchase.h"
#include "../core/pwk_reader.h"
#include "../core/pwk_result.h"
#include "pwk_config.h"

/* Adds to `has` (const char *: the codes that Payway shows) what the ledger's purchases of `account` open meanwhile; a
 * purchase whose products are all shown is noted so, and is CONFIRMED. `known` is the record that is being renewed, or
 * NULL. PWK_UNAVAILABLE: the ledger could not be read, and `known` opens something that Payway does not show: nobody can
 * tell whether it was bought a moment ago. */
pwk_result pwk_grants_add(apr_array_header_t *has, const pwk_site *site, const char *account, const pwk_reader *known,
                          apr_pool_t *p);

/* Whether the ledger has news of `account` since `since`: a purchase that opens something, now or once it is found out. 0 also
 * where it could not be read. One statement. */
int pwk_grants_has_news(const pwk_site *site, const char *account, apr_time_t since, apr_pool_t *p);

/* The codes of purchase->products, const char *, in `p`. */
apr_array_header_t *pwk_grants_products(const pwk_purchase *purchase, apr_pool_t *p);

/* Whether all of `codes` stand in `has`. */
int pwk_grants_has_all(const apr_array_header_t *has, const apr_array_header_t *codes);

#endif
