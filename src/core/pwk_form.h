/* application/x-www-form-urlencoded: queries and posted forms, read once and strictly. */
#ifndef PWK_FORM_H
#define PWK_FORM_H

#include <apr_pools.h>
#include <apr_tables.h>

/* Reads `len` bytes of a query or a body into `*fields` (names are case-sensitive). '+' is a space. Refused with
 * APR_EINVAL and a reason in `*why` (a literal): ill-formed %XX, NUL or another control byte but TAB, CR and LF once
 * decoded, broken UTF-8, an empty name, a name that comes twice, more than PWK_FIELDS_MAX fields. Empty input, and
 * empty parts ("&&"), are no fields. An APR table is blind to case, so "T" after "t" counts as twice; look fields up
 * with pwk_form_field. `*fields` and `*why` are each set in one case only. Threats G-05, G-06, G-08. */
apr_status_t pwk_form_read(apr_table_t **fields, const char **why, const char *bytes, apr_size_t len, apr_pool_t *p);

/* The value of field `name`, in exactly this case; NULL when absent. Lives as long as `fields`. */
const char *pwk_form_field(const apr_table_t *fields, const char *name);

/* Whether `fields` holds no name outside `known` (NULL-terminated); the stranger in `*stranger` otherwise. */
int pwk_form_only(const apr_table_t *fields, const char *const *known, const char **stranger);

/* The value of field `name` in a query (may be NULL) that is the publisher's and may be anything: the first one with
 * that decoded name, whatever stands around it. NULL when absent, or when its value is not text as pwk_form_read wants
 * it. */
const char *pwk_form_find(const char *query, const char *name, apr_pool_t *p);

/* The query `query` (may be NULL) without every field whose decoded name is `name`, as it was written otherwise, in
 * `p`; NULL when nothing is left. */
const char *pwk_form_without(const char *query, const char *name, apr_pool_t *p);

#endif
