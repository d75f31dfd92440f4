/* The table of directives: what httpd reads, and what docs/directives.md is made from. */
#ifndef PWK_DIRECTIVES_H
#define PWK_DIRECTIVES_H

#include "pwk_config.h"

/* Each row's help text is "SYNTAX -- DEFAULT -- MEANING"; `make docs` prints it through `httpd -L`. */
extern const command_rec pwk_directives[];

/* Reads `Require payway-product CODE …` and `Require payway-account`: parse functions of the authz providers. */
const char *pwk_directives_require_product(cmd_parms *cmd, const char *line, const void **parsed);
const char *pwk_directives_require_account(cmd_parms *cmd, const char *line, const void **parsed);
const char *pwk_directives_require_article(cmd_parms *cmd, const char *line, const void **parsed);

#endif
