/* Headers that keep paid pages out of caches: an output filter that has the last word on Cache-Control and Vary,
 * after the backend and mod_headers and before mod_cache (prototypes §4, threats K-01). */
#ifndef PWK_PROTECT_H
#define PWK_PROTECT_H

#include "pwk_visit.h"

/* register_hooks. */
void pwk_protect_register(void);

/* Hooks insert_filter and insert_error_filter. */
void pwk_protect_insert(request_rec *r);

#endif
