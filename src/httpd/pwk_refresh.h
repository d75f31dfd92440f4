/* Renewing readers: beside the request, by a small thread pool of the child, while the reader reads on; or before the
 * answer, where only that will do. */
#ifndef PWK_REFRESH_H
#define PWK_REFRESH_H

#include "pwk_visit.h"

void pwk_refresh_child_init(apr_pool_t *pchild, server_rec *s);

/* Queues a renewal of this visit's reader unless one is under way in this child or was queued lately anywhere. It
 * may be lost (a full queue, a child that ends): the next request of the reader queues another. */
void pwk_refresh_later(pwk_visit *visit);

/* Queues any other short job (under 5 s, or it delays the child's end): `work` runs once in a thread of the pool
 * with a pool of its own. Returns 0 when there are no threads or too many jobs. `key` tells jobs apart: one per key
 * at a time. */
typedef void pwk_refresh_work(const pwk_site *site, const char *argument, apr_pool_t *p);
int pwk_refresh_queue(const pwk_site *site, const char *key, pwk_refresh_work *work, const char *argument);

/* Asks Payway now, once per visit, and remembers the answer: afterwards pwk_visit_knowledge is KNOWN or OUTAGE. */
void pwk_refresh_now(pwk_visit *visit);

#endif
