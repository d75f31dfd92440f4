/* Log lines. Each call site from debug up has an id of its own that never changes and is never used again:
 * PWKLOG(0042) "what happened: what to do". docs/log-messages.md is made from them (`make docs`).
 *
 * A line never holds a token, a body, a query string or a person. */
#ifndef PWK_LOG_H
#define PWK_LOG_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

/* Declared visible here, since everything else is compiled with hidden visibility or kept in by the linker. */
extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) payway_klarna_module;

APLOG_USE_MODULE(payway_klarna);

#define PWKLOG(id) "PWK" #id ": "

/* Whether a failure that repeats should be logged now: at most one line per `where` in a minute and child. */
typedef struct {
    volatile apr_uint32_t minute;
} pwk_log_once;
int pwk_log_due(pwk_log_once *where, apr_time_t now);

#endif
