/* The host's own rounds, beside all requests: purchases that are due are looked at without a reader, and old rows go. By
 * mod_watchdog, in one child of the host at a time; that two of them overlap for a moment, or that one is cut, does no harm:
 * the ledger's compare-and-swap is the lock (DESIGN §5, prototypes §6). */
#ifndef PWK_WATCH_H
#define PWK_WATCH_H

#include "pwk_config.h"

/* post_config: asks mod_watchdog for the rounds, where something is sold. */
void pwk_watch_init(apr_pool_t *pconf, server_rec *s);

/* child_init, last of all: rounds begin when everything that they use is there, and end before it goes. */
void pwk_watch_child_init(apr_pool_t *pchild, server_rec *s);

#endif
