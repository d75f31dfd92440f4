/* Start-up: makes the site of each virtual host from its directives, and finds what is missing or would open what
 * was meant to be closed. Everything wrong is found by `httpd -t`, each in one line with virtual host, file and
 * line. */
#ifndef PWK_CHECK_H
#define PWK_CHECK_H

#include "pwk_config.h"

/* Hook check_config, which `httpd -t` runs too: OK, or HTTP_INTERNAL_SERVER_ERROR after the lines were logged. */
int pwk_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

#endif
