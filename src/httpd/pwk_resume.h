/* An authorization of Klarna's that waits, for a login or for Payway, to be claimed: kept sealed in a cookie of this browser for
 * ten minutes, so that neither the reader's approval nor the certainty that nothing was placed is lost (DESIGN §5). */
#ifndef PWK_RESUME_H
#define PWK_RESUME_H

#include "pwk_visit.h"

/* Keeps `token` for purchase `id`. APR_EGENERAL: it could not be sealed. */
apr_status_t pwk_resume_keep(pwk_visit *visit, const char *id, const char *token);

/* The token that waits for purchase `id`, "" when none does. */
const char *pwk_resume_token(pwk_visit *visit, const char *id);

/* Forgets whatever waits. */
void pwk_resume_forget(pwk_visit *visit);

#endif
