/* The outcome of an operation that can fail in more than one way.
 *
 * "No" and "could not find out" are different outcomes all the way up: a result is made once, where the cause is
 * known, and handed on unchanged to the log line and to the page. It never holds a secret, a token, a body or a
 * person. */
#ifndef PWK_RESULT_H
#define PWK_RESULT_H

#include <apr_errno.h>
#include <apr_pools.h>

typedef enum {
    PWK_OK,          /* done; what was asked for is there */
    PWK_REFUSED,     /* the other side understood and said no (a 4xx, an `err` of SSO2) */
    PWK_UNAVAILABLE, /* could not find out: no answer, a 5xx, an answer that cannot be read */
    PWK_INVALID      /* our own input was not acceptable; nothing was asked */
} pwk_outcome;

typedef struct {
    pwk_outcome outcome;
    apr_status_t rv;    /* APR's view of it, for ap_log_*; APR_SUCCESS with PWK_OK */
    int http_status;    /* status of the answer; 0: there was none */
    const char *code;   /* a stable word: Payway's `code` or `err`, or ours ("timeout", "bad_json"); "" with PWK_OK */
    const char *field;  /* the field at fault, or "" */
    const char *detail; /* for the log, bounded and printable */
    int retry_after_s;  /* what Retry-After said; 0: nothing */
    int unsent;         /* proven: not a byte of the request left this host, so nothing can have been done with it */
} pwk_result;

/* Success. */
pwk_result pwk_result_ok(void);

/* A failure. `code` and `detail` are not copied and live as long as the caller's; neither may be NULL. `rv` of
 * APR_SUCCESS is replaced by APR_EGENERAL, so that a failure never looks like success in a log. */
pwk_result pwk_result_fail(pwk_outcome outcome, apr_status_t rv, const char *code, const char *detail);

/* One line for the log, "code=… field=… status=…: detail" ("-" for what is empty), allocated in `p`. Bytes outside
 * printable ASCII become '?'; at most 300 characters. */
const char *pwk_result_line(const pwk_result *result, apr_pool_t *p);

#endif
