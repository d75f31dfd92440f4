#include "pwk_shared.h"

#include <apr_shm.h>
#include <string.h>

/* Anonymous: inherited by the children, and gone with the last of them, however they end. */
apr_status_t pwk_shared_create(apr_pool_t *pconf, server_rec *s)
{
    apr_shm_t *memory;
    pwk_shared *words;
    apr_size_t count = 0;
    apr_status_t rv;
    for (server_rec *at = s; at; at = at->next)
        count += pwk_config_site(at) != NULL;
    if (!count)
        return APR_SUCCESS;
    rv = apr_shm_create(&memory, count * sizeof(*words), NULL, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     PWKLOG(0023) "no shared memory of %" APR_SIZE_T_FMT " bytes: the system's limits are too low",
                     count * sizeof(*words));
        return rv;
    }
    words = apr_shm_baseaddr_get(memory);
    memset(words, 0, count * sizeof(*words));
    for (server_rec *at = s; at; at = at->next) {
        pwk_site *site = pwk_config_site(at);
        if (site)
            site->shared = words++;
    }
    return APR_SUCCESS;
}
