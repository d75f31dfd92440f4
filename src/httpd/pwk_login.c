#include "pwk_login.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stddef.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "pwk_account.h"
#include "pwk_cache.h"
#include "pwk_identify.h"
#include "pwk_pages.h"
#include "pwk_post.h"

/* Failed logins from one address before our form stops asking Payway for a while: five failures freeze an account
 * for an hour (payway-api §5.8), and robots must not freeze our readers. */
enum { FAILURES_MAX = 20, FAILURES_S = 900 };

/* ---- our own form ---- */

typedef struct {
    const char *error, *email, *attempts_left, *frozen_until;
    int status;
} form;

static int show_form(request_rec *r, pwk_visit *visit, const char *place, const form *shown)
{
    pwk_page *page = pwk_pages_make(r, visit, "login.shtml", shown->status, place);
    static const struct {
        const char *name;
        size_t offset;
    } vars[] = {
        {"LOGIN_ERROR", offsetof(form, error)},
        {"LOGIN_EMAIL", offsetof(form, email)},
        {"LOGIN_ATTEMPTS_LEFT", offsetof(form, attempts_left)},
        {"LOGIN_FROZEN_UNTIL", offsetof(form, frozen_until)},
    };
    for (size_t i = 0; i < sizeof(vars) / sizeof(*vars); i++) {
        const char *value = *(const char *const *)(const void *)((const char *)shown + vars[i].offset);
        if (value && *value)
            apr_table_setn(page->vars, vars[i].name, pwk_text_clean(value, PWK_EMAIL_MAX, r->pool));
    }
    return pwk_pages_send(r, page);
}

static int failures(const pwk_visit *visit, int add)
{
    const char *address = visit->first->useragent_ip;
    apr_pool_t *p = visit->first->pool;
    void *bytes;
    apr_size_t len;
    int count = 0;
    if (pwk_cache_get(&bytes, &len, visit->site, "failures", address, p) == APR_SUCCESS)
        count = (int)apr_atoi64(bytes);
    if (add) {
        const char *text = apr_itoa(p, ++count);
        pwk_cache_set(visit->site, "failures", address, text, strlen(text), FAILURES_S, p);
    }
    return count;
}

static const char *clock_after(long seconds, apr_pool_t *p)
{
    apr_time_exp_t at;
    if (seconds < 0 || apr_time_exp_lt(&at, apr_time_now() + apr_time_from_sec(seconds)) != APR_SUCCESS)
        return NULL;
    return apr_psprintf(p, "%02d:%02d", at.tm_hour, at.tm_min);
}

/* What SSO2's word means to the person at the form. */
static const struct {
    const char *err, *error;
    int status;
} refusals[] = {
    {"invalid_credentials", "invalid_credentials", HTTP_FORBIDDEN},
    {"account_frozen", "account_frozen", HTTP_FORBIDDEN},
    {"account_not_active", "account_not_active", HTTP_FORBIDDEN},
    {"device_limit", "device_limit", HTTP_FORBIDDEN},
    {"session_limit", "device_limit", HTTP_FORBIDDEN},
    {"session_not_found", "expired", HTTP_FORBIDDEN},
};

static int refuse_login(request_rec *r, pwk_visit *visit, const pwk_sso2_answer *answer, const char *email,
                        const char *place)
{
    form shown = {"unavailable", email, NULL, NULL, HTTP_BAD_GATEWAY};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        if (!strcmp(answer->err, refusals[i].err)) {
            shown.error = refusals[i].error;
            shown.status = refusals[i].status;
        }
    }
    /* A session that ends at the moment of login: the account is in use on as many devices as it may be. */
    if (!*answer->err && answer->sts == PWK_SSO2_TERMINATED) {
        shown.error = "device_limit";
        shown.status = HTTP_FORBIDDEN;
    }
    if (answer->attempts_left >= 0)
        shown.attempts_left = apr_itoa(r->pool, answer->attempts_left);
    shown.frozen_until = clock_after(answer->frozen_s, r->pool);
    failures(visit, 1);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0094) "a login was refused: %s", shown.error);
    if (!strcmp(shown.error, "expired"))
        pwk_visit_set_reader(visit, NULL);
    return show_form(r, visit, place, &shown);
}

static int post_login(request_rec *r, pwk_visit *visit)
{
    static const char *const known[] = {"csrf", "r", "email", "password", NULL};
    apr_table_t *fields;
    pwk_sso2_answer answer = {.sid = "", .at = "", .err = ""};
    pwk_sso2_visitor visitor;
    pwk_result result;
    const char *place, *email, *password;
    int status = pwk_post_read(&fields, r, visit, known);
    if (!fields)
        return status;
    place = pwk_post_place(r, fields);
    email = pwk_post_field(fields, "email");
    password = pwk_post_field(fields, "password");
    if (!pwk_post_is_readers(visit, fields))
        return show_form(r, visit, place, &(form){.error = "expired", .status = HTTP_FORBIDDEN});
    if (!strchr(email, '@') || strlen(email) > PWK_EMAIL_MAX || !*password || strlen(password) > PWK_PASSWORD_MAX)
        return show_form(r, visit, place, &(form){.error = "fields", .email = email, .status = HTTP_BAD_REQUEST});
    if (failures(visit, 0) >= FAILURES_MAX) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      PWKLOG(0095) "too many refused logins from one address; it waits a quarter of an hour");
        return show_form(r, visit, place,
                         &(form){.error = "too_many", .email = email, .status = HTTP_TOO_MANY_REQUESTS});
    }
    visitor = pwk_visit_visitor(visit, visit->reader->sid);
    result = pwk_account_authenticate(&answer, visit->site, &visitor, email, password, r->pool);
    if (result.outcome != PWK_OK) {
        pwk_account_complain(visit->site, &result, "logging in by the form", r->pool);
        return show_form(r, visit, place,
                         &(form){.error = "unavailable", .email = email, .status = HTTP_SERVICE_UNAVAILABLE});
    }
    if (*answer.err || answer.sts != PWK_SSO2_LOGGEDIN)
        return refuse_login(r, visit, &answer, email, place);
    if (!*answer.sid)
        answer.sid = visitor.sid;
    return pwk_identify_settle(r, visit, &answer, place);
}

int pwk_login_handler(request_rec *r, pwk_visit *visit)
{
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    const char *place, *back;
    if (r->method_number == M_POST && visit->site->login == PWK_LOGIN_FORM)
        return post_login(r, visit);
    if (r->method_number == M_POST)
        return pwk_pages_error(r, visit, HTTP_METHOD_NOT_ALLOWED, "method", NULL);
    place = pwk_post_place(r, pwk_post_query(r));
    if (reader && *reader->account && pwk_visit_knowledge(visit, pwk_config_dir(r)) == PWK_KNOWN)
        return pwk_identify_to_place(r, visit, place);
    if (visit->site->login == PWK_LOGIN_FORM && reader)
        return show_form(r, visit, place, &(form){.status = HTTP_OK});
    if (visit->site->login == PWK_LOGIN_FORM)
        return pwk_identify_begin(
            r, visit, apr_pstrcat(r->pool, visit->site->path, "/login?r=", pwk_text_urlencode(place, r->pool), NULL),
            0);
    back = pwk_identify_return_url(r, visit, place);
    if (!back)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    return pwk_pages_redirect(
        r, HTTP_SEE_OTHER,
        apr_pstrcat(r->pool, visit->site->portal, "/login/index?continue=", pwk_text_urlencode(back, r->pool), NULL));
}

/* ---- logging out ---- */

static int post_logout(request_rec *r, pwk_visit *visit)
{
    static const char *const known[] = {"csrf", "r", NULL};
    apr_table_t *fields;
    pwk_sso2_visitor visitor;
    pwk_result result = pwk_result_ok();
    const char *place;
    int status = pwk_post_read(&fields, r, visit, known);
    if (!fields)
        return status;
    place = pwk_post_place(r, fields);
    if (visit->reader || pwk_visit_reader(visit, pwk_config_dir(r))) {
        if (!pwk_post_is_readers(visit, fields))
            return pwk_pages_error(r, visit, HTTP_FORBIDDEN, "csrf", place);
        visitor = pwk_visit_visitor(visit, visit->reader->sid);
        result = pwk_account_logout(visit->site, &visitor, r->pool);
        if (result.outcome != PWK_OK)
            pwk_account_complain(visit->site, &result, "logging a reader out on all sites", r->pool);
        pwk_account_end(visit->site, visitor.sid, r->pool);
    }
    /* Here the reader is out whatever SSO2 says. */
    pwk_visit_set_reader(visit, NULL);
    apr_table_setn(r->err_headers_out, "Clear-Site-Data", "\"cache\"");
    return pwk_pages_redirect(
        r, HTTP_SEE_OTHER,
        pwk_pages_url(r, visit->site,
                      apr_pstrcat(r->pool, "/logout?done=", result.outcome == PWK_OK ? "1" : "here",
                                  "&r=", pwk_text_urlencode(place, r->pool), NULL)));
}

int pwk_login_logout(request_rec *r, pwk_visit *visit)
{
    const apr_table_t *query;
    pwk_page *page;
    if (r->method_number == M_POST)
        return post_logout(r, visit);
    query = pwk_post_query(r);
    page = pwk_pages_make(r, visit, "logout.shtml", HTTP_OK, pwk_post_place(r, query));
    if (!apr_table_get(page->vars, "PAYWAY_LOGGED_IN") && *pwk_post_field(query, "done")) {
        apr_table_setn(page->vars, "LOGOUT_DONE", "1");
        if (!strcmp(pwk_post_field(query, "done"), "here"))
            apr_table_setn(page->vars, "LOGOUT_ELSEWHERE", "failed");
    }
    return pwk_pages_send(r, page);
}
