/* A form that a browser posts, read whole and judged before anything is done with it. */
#ifndef PWK_POST_H
#define PWK_POST_H

#include "pwk_visit.h"

/* Reads the body of `r`: urlencoded, at most PWK_FORM_MAX bytes, fields of `known` (NULL-terminated) alone, from a
 * page of this very origin. OK and `*fields`; otherwise an error page was sent, whose status the handler returns. */
int pwk_post_read(apr_table_t **fields, request_rec *r, pwk_visit *visit, const char *const *known);

/* Whether the field `csrf` is this reader's token. Without a reader there is nothing to forge, and the answer is
 * no. */
int pwk_post_is_readers(pwk_visit *visit, const apr_table_t *fields);

/* The query of `r`, or an empty table; ill-formed ones count as empty. */
apr_table_t *pwk_post_query(request_rec *r);

/* A field, "" when absent. */
const char *pwk_post_field(const apr_table_t *fields, const char *name);

/* The field `r`: a place on this site, "/" when absent or not one. */
const char *pwk_post_place(request_rec *r, const apr_table_t *fields);

#endif
