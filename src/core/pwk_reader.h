/* The reader: what our cookie says of a browser, opened and compared on every request of a guarded place. */
#ifndef PWK_READER_H
#define PWK_READER_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

/* A browser that SSO2 knows. Texts are never NULL. */
typedef struct {
    const char *sid;          /* SSO2 session id; a secret of this browser */
    const char *account;      /* account id; "" while nobody is logged in */
    apr_time_t created;       /* when this browser was identified or logged in; whole seconds */
    apr_time_t checked;       /* when session status and products were last read from Payway; whole seconds */
    apr_uint64_t named;       /* pwk_reader_named() of the set that `codes` was filtered by */
    int terminated;           /* SSO2 ended the session: in the cache only, never in a cookie */
    const char *const *codes; /* the product codes this reader has, of those the configuration names */
    int count;
} pwk_reader;

/* How much a record may be trusted without asking. */
typedef enum {
    PWK_AGE_FRESH, /* younger than the interval: decides alone */
    PWK_AGE_STALE, /* up to three intervals, or the configuration names other products now: decides, and is renewed beside */
    PWK_AGE_OLD /* older, or from the future: ask before the answer */
} pwk_age;

/* A hash of the set of product codes that a configuration names, whatever their order (they are sorted in place). */
apr_uint64_t pwk_reader_named(apr_array_header_t *codes);

/* Sets codes/count to those of `has` (const char *) that stand in `named_codes`, in `p`. */
void pwk_reader_own(pwk_reader *reader, const apr_array_header_t *has, const apr_array_header_t *named_codes,
                    apr_pool_t *p);

/* `interval` in microseconds. */
pwk_age pwk_reader_age(const pwk_reader *reader, apr_interval_time_t interval, apr_uint64_t named, apr_time_t now);

/* The bytes that go into the seal, in `p`. APR_EINVAL when a member is over its bound. */
apr_status_t pwk_reader_write(const void **bytes, apr_size_t *len, const pwk_reader *reader, apr_pool_t *p);

/* Reads them back. Texts point into `bytes`, which must outlive the reader; only the list of codes is allocated.
 * APR_EINVAL for anything that pwk_reader_write does not make. */
apr_status_t pwk_reader_read(pwk_reader *reader, const void *bytes, apr_size_t len, apr_pool_t *p);

#endif
