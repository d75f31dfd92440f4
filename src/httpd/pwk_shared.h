/* What the children share without a lock: a few words for each site, in shared memory, read and written atomically. It is
 * empty after each start and restart, so nothing that must not be lost stands here. */
#ifndef PWK_SHARED_H
#define PWK_SHARED_H

#include "pwk_config.h"

typedef struct pwk_shared {
    volatile apr_uint32_t ledger_failed; /* second of the ledger's last failure; 0: it works */
    volatile apr_uint32_t orders_asked;  /* second of the last question whether the API user may list orders; or: */
#define PWK_SHARED_KNOWN APR_UINT32_MAX
} pwk_shared;

/* post_config: site->shared of every site. */
apr_status_t pwk_shared_create(apr_pool_t *pconf, server_rec *s);

#endif
