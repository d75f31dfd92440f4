/* May this reader read this, and if not, why: a pure function of what is known, asked by src/httpd/pwk_access.c. */
#ifndef PWK_VERDICT_H
#define PWK_VERDICT_H

#include "pwk_reader.h"

/* What one `Require` line asks for. */
typedef struct {
    const char *const *codes; /* any of these products; NULL: being logged in is enough */
    int count;
} pwk_requirement;

/* Where the reader's record stands with Payway. */
typedef enum {
    PWK_KNOWN,   /* it decides: fresh, stale, or just asked for */
    PWK_UNASKED, /* too old to decide, and not asked yet */
    PWK_OUTAGE   /* Payway was asked and could not be reached */
} pwk_knowledge;

typedef enum {
    PWK_VERDICT_GRANTED,
    PWK_VERDICT_ANONYMOUS,  /* nobody is logged in */
    PWK_VERDICT_NO_PRODUCT, /* logged in, and known not to have it */
    PWK_VERDICT_UNAVAILABLE /* could not find out; never "no" */
} pwk_verdict_kind;

typedef struct {
    pwk_verdict_kind kind;
    const char *product; /* the code that matched, or "" */
    const char *reason;  /* a word for PAYWAY_REASON and the log */
} pwk_verdict;

/* `reader` NULL: a browser without our cookie. During an outage a record that has the product is trusted until
 * `stale_if_error` (microseconds) after it was checked; one that has not is no proof that there is none. */
pwk_verdict pwk_verdict_of(const pwk_reader *reader, const pwk_requirement *requirement, pwk_knowledge knowledge,
                           apr_interval_time_t stale_if_error, apr_time_t now);

/* "granted", "anonymous", "no-product", "unavailable": PAYWAY_VERDICT. */
const char *pwk_verdict_word(pwk_verdict_kind kind);

#endif
