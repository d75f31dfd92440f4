#include "pwk_resume.h"

#include <apr_strings.h>
#include <string.h>

#include "../core/pwk_cookie.h"
#include "../core/pwk_limits.h"

apr_status_t pwk_resume_keep(pwk_visit *visit, const char *id, const char *token)
{
    request_rec *r = visit->first;
    const char *sealed,
        *text = apr_psprintf(r->pool, "%" APR_TIME_T_FMT " %s %s", apr_time_sec(r->request_time), id, token);
    if (pwk_seal_close(&sealed, visit->site->seal, PWK_SEAL_RESUME, text, strlen(text), r->request_time, r->pool)
            != APR_SUCCESS
        || strlen(sealed) > PWK_COOKIE_MAX)
        return APR_EGENERAL;
    pwk_visit_set_cookie(visit, visit->site->resume_cookie, sealed, PWK_RESUME_LIFE_S, 0);
    return APR_SUCCESS;
}

const char *pwk_resume_token(pwk_visit *visit, const char *id)
{
    request_rec *r = visit->first;
    const char *sealed, *kept_id, *token;
    void *bytes;
    apr_size_t len;
    char *state;
    apr_int64_t made;
    if (pwk_cookie_find(&sealed, visit->cookies, visit->site->resume_cookie, r->pool) != PWK_COOKIE_FOUND
        || pwk_seal_open(&bytes, &len, visit->site->seal, PWK_SEAL_RESUME, sealed, r->request_time, r->pool)
               != APR_SUCCESS)
        return "";
    made = apr_atoi64(apr_strtok(bytes, " ", &state));
    kept_id = apr_strtok(NULL, " ", &state);
    token = apr_strtok(NULL, " ", &state);
    if (!token || strcmp(kept_id, id) || apr_time_sec(r->request_time) - made > PWK_RESUME_LIFE_S)
        return "";
    return token;
}

void pwk_resume_forget(pwk_visit *visit)
{
    pwk_visit_set_cookie(visit, visit->site->resume_cookie, "", 0, 0);
}
