/* Secrets of directives: literal, file:PATH, env:NAME or exec:PROGRAM. */
#ifndef PWK_SECRET_H
#define PWK_SECRET_H

#include "pwk_log.h"

/* Reads the secret that `word` names. A file must be a regular one of root's or ours that others can neither read nor
 * write and the group cannot write; the first line of a program's output counts; one line end is taken off. `*secret`
 * lives in cmd->pool. NULL, or what is wrong, which never quotes the secret. Threats E-01. */
const char *pwk_secret_read(const char **secret, cmd_parms *cmd, const char *word);

#endif
