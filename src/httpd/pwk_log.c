#include "pwk_log.h"

#include <apr_atomic.h>

int pwk_log_due(pwk_log_once *where, apr_time_t now)
{
    apr_uint32_t minute = (apr_uint32_t)(apr_time_sec(now) / 60), last = apr_atomic_read32(&where->minute);
    return minute != last && apr_atomic_cas32(&where->minute, minute, last) == last;
}
