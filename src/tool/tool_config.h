/* The PaywayLedger lines of an httpd configuration. */
#ifndef TOOL_CONFIG_H
#define TOOL_CONFIG_H

#include <apr_pools.h>
#include <apr_tables.h>

/* `*ledgers` (tool_source): those that `file` names, and what it includes, each once, in their order. <IfDefine> and the like are not
 * looked at. TOOL_TROUBLE: it cannot be read to the end, and it was said why. */
int tool_config_ledgers(apr_array_header_t **ledgers, const char *file, apr_pool_t *p);

/* The next word of a directive's arguments, quoted or not, as httpd reads it; "" at the end. `*rest` moves behind it. */
const char *tool_config_word(const char **rest, apr_pool_t *p);

#endif
