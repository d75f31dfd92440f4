#include "pwk_login.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stddef.h>
#include <string.h>

#include "../core/pwk_cookie.h"
#include "../core/pwk_form.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"
#include "pwk_account.h"
#include "pwk_cache.h"
#include "pwk_pages.h"
#include "pwk_post.h"
#include "pwk_refresh.h"

/* Failed logins from one address before our form stops asking Payway for a while: five failures freeze an account for an
 * hour (payway-api §5.8), and robots must not freeze our readers. */
enum { FAILURES_MAX = 20, FAILURES_S = 900 };

/* A place longer than this comes back without its query: some servers refuse long URLs, and ours travels inside SSO2's. */
enum { STATE_PLACE_MAX = 512 };

/* ---- the state of a login ---- */

typedef struct {
    const char *browser; /* the id in this browser's login cookie */
    const char *place;   /* where the reader continues */
    int again;           /* begun a second time: there is no third */
} state;

/* The random id of this browser while it logs in; the one it has, or a new one. NULL: no randomness. */
static const char *browser_id(pwk_visit *visit) {
    request_rec *r = visit->first;
    const char *sealed;
    void *bytes;
    apr_size_t len;
    if (pwk_cookie_find(&sealed, visit->cookies, visit->site->login_cookie, r->pool) == PWK_COOKIE_FOUND &&
        pwk_seal_open(&bytes, &len, visit->site->seal, PWK_SEAL_LOGIN, sealed, r->request_time, r->pool) == APR_SUCCESS && len)
        return bytes;
    return NULL;
}

static const char *bind_browser(pwk_visit *visit) {
    request_rec *r = visit->first;
    const char *id = browser_id(visit), *sealed;
    if (!id)
        id = pwk_seal_random(16, r->pool);
    if (!id || pwk_seal_close(&sealed, visit->site->seal, PWK_SEAL_LOGIN, id, strlen(id), r->request_time, r->pool) != APR_SUCCESS)
        return NULL;
    pwk_visit_set_cookie(visit, visit->site->login_cookie, sealed, PWK_LOGIN_LIFE_S, 0);
    return id;
}

static void unbind_browser(pwk_visit *visit) {
    pwk_visit_set_cookie(visit, visit->site->login_cookie, "", 0, 0);
}

static const char *short_place(const char *place, apr_pool_t *p) {
    size_t path = strcspn(place, "?");
    if (strlen(place) <= STATE_PLACE_MAX)
        return place;
    return path <= STATE_PLACE_MAX ? apr_pstrmemdup(p, place, path) : "/";
}

/* "{base}{path}/{endpoint}?s={sealed state}", or NULL. */
static const char *state_url(request_rec *r, pwk_visit *visit, const char *endpoint, const char *place, int again) {
    const char *id = bind_browser(visit), *text, *sealed;
    if (!id)
        return NULL;
    text = apr_psprintf(r->pool, "%" APR_TIME_T_FMT " %d %s %s", apr_time_sec(r->request_time), again, id, short_place(place, r->pool));
    if (pwk_seal_close(&sealed, visit->site->seal, PWK_SEAL_STATE, text, strlen(text), r->request_time, r->pool) != APR_SUCCESS)
        return NULL;
    return pwk_pages_url(r, visit->site, apr_pstrcat(r->pool, endpoint, "?s=", sealed, NULL));
}

/* Opens a state of ours; 0 when it is none, or too old. */
static int read_state(state *read, request_rec *r, const pwk_site *site, const char *sealed) {
    void *bytes;
    apr_size_t len;
    char *at, *words;
    apr_int64_t made;
    const char *again;
    if (!sealed || pwk_seal_open(&bytes, &len, site->seal, PWK_SEAL_STATE, sealed, r->request_time, r->pool) != APR_SUCCESS)
        return 0;
    words = bytes;
    made = apr_strtoi64(apr_strtok(words, " ", &at), NULL, 10);
    again = apr_strtok(NULL, " ", &at);
    read->browser = apr_strtok(NULL, " ", &at);
    read->place = apr_strtok(NULL, " ", &at);
    if (!again || !read->browser || !read->place || !pwk_url_is_local(read->place))
        return 0;
    read->again = *again == '1';
    return apr_time_sec(r->request_time) - made <= PWK_LOGIN_LIFE_S;
}

static int is_bound(const state *read, const char *id) {
    return id && pwk_text_same_secret(read->browser, id);
}

const char *pwk_login_return_url(request_rec *r, pwk_visit *visit, const char *place) {
    return state_url(r, visit, "/login/return", place, 0);
}

/* ---- beginning ---- */

static int begin_identify(request_rec *r, pwk_visit *visit, const char *place, int again) {
    const pwk_site *site = visit->site;
    const char *back = state_url(r, visit, "/landing", place, again);
    if (!back)
        return HTTP_INTERNAL_SERVER_ERROR;
    return pwk_pages_redirect(r, HTTP_MOVED_TEMPORARILY,
                              apr_pstrcat(r->pool, site->sso, "/identify?t=", pwk_sso2_identify(&site->client, apr_time_now(), r->pool),
                                          "&r=", pwk_text_urlencode(back, r->pool), NULL));
}

int pwk_login_identify(request_rec *r, pwk_visit *visit) {
    const char *place = pwk_visit_place(visit);
    int status;
    if (visit->site->identify == PWK_IDENTIFY_OFF)
        return DECLINED;
    if (!pwk_visit_is_base_host(visit))
        status = pwk_pages_redirect(r, HTTP_MOVED_TEMPORARILY, apr_pstrcat(r->pool, visit->site->base_url, place, NULL));
    else
        status = begin_identify(r, visit, place, 0);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return status;
}

static int to_place(request_rec *r, const pwk_visit *visit, const char *place) {
    return pwk_pages_redirect(r, HTTP_SEE_OTHER, apr_pstrcat(r->pool, visit->site->origin, place, NULL));
}

static int to_offers(request_rec *r, const pwk_visit *visit, const char *place, const char *notice) {
    return pwk_pages_redirect(r, HTTP_SEE_OTHER,
                              pwk_pages_url(r, visit->site, apr_pstrcat(r->pool, "/offers?r=", pwk_text_urlencode(place, r->pool),
                                                                        "&notice=", notice, NULL)));
}

/* ---- ending ---- */

/* The tokens in the query of a landing are worth a login: they are taken out of what the access log, mod_status and error
 * pages show (threats B-07). */
static void hide_query(request_rec *r) {
    const char *line = r->the_request, *query = strchr(line, '?'), *end = query ? strchr(query, ' ') : NULL;
    if (query)
        r->the_request = apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, line, (apr_size_t)(query - line)), end ? end : "", NULL);
    r->args = NULL;
    r->unparsed_uri = apr_pstrdup(r->pool, r->uri);
    r->parsed_uri.query = NULL;
}

static int fail(request_rec *r, pwk_visit *visit, const pwk_result *result, const char *doing, const char *place) {
    pwk_account_complain(visit->site, result, doing, r->pool);
    if (result->outcome == PWK_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", "60");
        return pwk_pages_error(r, visit, HTTP_SERVICE_UNAVAILABLE, "unavailable", place);
    }
    return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, !strcmp(result->code, "not_found") ? "account_missing" : "login_failed", place);
}

/* Makes the session with `ticket` this browser's reader, and lets it go on. */
static int enter(request_rec *r, pwk_visit *visit, const char *sid, const char *ticket, const char *place) {
    pwk_reader *reader;
    pwk_result result = pwk_account_enter(&reader, visit->site, sid, ticket, r->pool);
    if (result.outcome != PWK_OK)
        return fail(r, visit, &result, "logging a reader in", place);
    if (pwk_visit_set_reader(visit, reader) != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    unbind_browser(visit);
    return to_place(r, visit, place);
}

/* SSO2 knows this browser, and nobody is logged in. Without a ticket although somebody is, there is nothing to read an
 * account with: asked once more, then it is an error. */
static int settle(request_rec *r, pwk_visit *visit, const pwk_sso2_answer *answer, const char *place) {
    pwk_sso2_answer again;
    pwk_reader *reader;
    if (answer->sts == PWK_SSO2_LOGGEDIN && *answer->at)
        return enter(r, visit, answer->sid, answer->at, place);
    if (answer->sts == PWK_SSO2_LOGGEDIN) {
        pwk_sso2_visitor visitor = pwk_visit_visitor(visit, answer->sid);
        pwk_result result = pwk_account_session(&again, visit->site, &visitor, PWK_SSO2_ANON, r->pool);
        if (result.outcome != PWK_OK)
            return fail(r, visit, &result, "asking for a ticket", place);
        if (again.sts == PWK_SSO2_LOGGEDIN && *again.at)
            return enter(r, visit, *again.sid ? again.sid : answer->sid, again.at, place);
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, PWKLOG(0090) "SSO2 says that a reader is logged in and gives no ticket; the reader is asked to try again");
        return pwk_pages_error(r, visit, HTTP_BAD_GATEWAY, "login_failed", place);
    }
    reader = apr_pcalloc(r->pool, sizeof(*reader));
    reader->sid = answer->sid;
    reader->account = "";
    reader->created = reader->checked = r->request_time;
    reader->named = visit->site->named_hash;
    if (pwk_visit_set_reader(visit, reader) != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    unbind_browser(visit);
    return to_place(r, visit, place);
}

int pwk_login_landing(request_rec *r, pwk_visit *visit) {
    const apr_table_t *query = pwk_post_query(r), *back_query;
    const char *token = apr_table_get(query, "t"), *back = apr_table_get(query, "r"), *id = browser_id(visit), *why;
    const char *back_args = back ? strchr(back, '?') : NULL;
    state read = {0};
    int known = 0;
    pwk_sso2_answer answer;
    pwk_result result;
    hide_query(r);
    if (back_args && pwk_form_read((apr_table_t **)(intptr_t)&back_query, &why, back_args + 1, strlen(back_args + 1), r->pool) == APR_SUCCESS)
        known = read_state(&read, r, visit->site, apr_table_get(back_query, "s"));
    if (!known || !is_bound(&read, id)) {
        const char *place = known ? read.place : "/";
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0091) "a landing that this browser did not ask for was dropped");
        /* Ours, and begun twice: this browser takes no cookies. The offers are there for it, on a page that redirects nobody. */
        if (known && read.again)
            return to_offers(r, visit, place, "cookies");
        return begin_identify(r, visit, place, 1);
    }
    result = token ? pwk_sso2_read(&answer, &visit->site->client, token, apr_time_now(), r->pool)
                   : pwk_result_fail(PWK_REFUSED, APR_EINVAL, "bad_token", "a landing without t");
    if (result.outcome != PWK_OK) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, PWKLOG(0092) "a landing was refused: %s; are PaywayClient's secret and this host's clock right?",
                      pwk_result_line(&result, r->pool));
        if (!read.again)
            return begin_identify(r, visit, read.place, 1);
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, "login_failed", read.place);
    }
    if (*answer.err) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, PWKLOG(0093) "SSO2 could not identify a browser: %s", pwk_text_clean(answer.err, 64, r->pool));
        return to_offers(r, visit, read.place, "login-failed");
    }
    return settle(r, visit, &answer, read.place);
}

/* Back from the portal's login or shop: the same session, of which SSO2 now says more when told that we know nothing. */
int pwk_login_return(request_rec *r, pwk_visit *visit) {
    const char *sealed = apr_table_get(pwk_post_query(r), "s"), *id = browser_id(visit);
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    pwk_sso2_answer answer;
    pwk_sso2_visitor visitor;
    pwk_result result;
    state read = {0};
    int known = read_state(&read, r, visit->site, sealed);
    if (!known)
        return begin_identify(r, visit, "/", 1);
    if (!is_bound(&read, id) || !reader)
        return begin_identify(r, visit, read.place, 0);
    visitor = pwk_visit_visitor(visit, reader->sid);
    result = pwk_account_session(&answer, visit->site, &visitor, PWK_SSO2_ANON, r->pool);
    if (result.outcome != PWK_OK)
        return fail(r, visit, &result, "asking who is back from the portal", read.place);
    if (!*answer.err && answer.sts == PWK_SSO2_LOGGEDIN && *answer.at)
        return enter(r, visit, *answer.sid ? answer.sid : reader->sid, answer.at, read.place);
    return begin_identify(r, visit, read.place, 0);
}

/* ---- our own form ---- */

typedef struct {
    const char *error, *email, *attempts_left, *frozen_until;
    int status;
} form;

static int show_form(request_rec *r, pwk_visit *visit, const char *place, const form *shown) {
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

static int failures(const pwk_visit *visit, int add) {
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

static const char *clock_after(long seconds, apr_pool_t *p) {
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
    {"invalid_credentials", "invalid_credentials", HTTP_FORBIDDEN}, {"account_frozen", "account_frozen", HTTP_FORBIDDEN},
    {"account_not_active", "account_not_active", HTTP_FORBIDDEN},   {"device_limit", "device_limit", HTTP_FORBIDDEN},
    {"session_limit", "device_limit", HTTP_FORBIDDEN},              {"session_not_found", "expired", HTTP_FORBIDDEN},
};

static int refuse_login(request_rec *r, pwk_visit *visit, const pwk_sso2_answer *answer, const char *email, const char *place) {
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

static int post_login(request_rec *r, pwk_visit *visit) {
    static const char *const known[] = {"csrf", "r", "email", "password", NULL};
    apr_table_t *fields;
    pwk_sso2_answer answer;
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
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, PWKLOG(0095) "too many refused logins from one address; it waits a quarter of an hour");
        return show_form(r, visit, place, &(form){.error = "too_many", .email = email, .status = HTTP_TOO_MANY_REQUESTS});
    }
    visitor = pwk_visit_visitor(visit, visit->reader->sid);
    result = pwk_account_authenticate(&answer, visit->site, &visitor, email, password, r->pool);
    if (result.outcome != PWK_OK) {
        pwk_account_complain(visit->site, &result, "logging in by the form", r->pool);
        return show_form(r, visit, place, &(form){.error = "unavailable", .email = email, .status = HTTP_SERVICE_UNAVAILABLE});
    }
    if (*answer.err || answer.sts != PWK_SSO2_LOGGEDIN)
        return refuse_login(r, visit, &answer, email, place);
    if (!*answer.sid)
        answer.sid = visitor.sid;
    return settle(r, visit, &answer, place);
}

int pwk_login_handler(request_rec *r, pwk_visit *visit) {
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    const char *place, *back;
    if (r->method_number == M_POST && visit->site->login == PWK_LOGIN_FORM)
        return post_login(r, visit);
    if (r->method_number == M_POST)
        return pwk_pages_error(r, visit, HTTP_METHOD_NOT_ALLOWED, "method", NULL);
    place = pwk_post_place(r, pwk_post_query(r));
    if (reader && *reader->account && pwk_visit_knowledge(visit, pwk_config_dir(r)) == PWK_KNOWN)
        return to_place(r, visit, place);
    if (visit->site->login == PWK_LOGIN_FORM && reader)
        return show_form(r, visit, place, &(form){.status = HTTP_OK});
    if (visit->site->login == PWK_LOGIN_FORM)
        return begin_identify(r, visit,
                              apr_pstrcat(r->pool, visit->site->path, "/login?r=", pwk_text_urlencode(place, r->pool), NULL), 0);
    back = pwk_login_return_url(r, visit, place);
    if (!back)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    return pwk_pages_redirect(r, HTTP_SEE_OTHER,
                              apr_pstrcat(r->pool, visit->site->portal, "/login/index?continue=", pwk_text_urlencode(back, r->pool), NULL));
}

/* ---- logging out ---- */

static int post_logout(request_rec *r, pwk_visit *visit) {
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
    return pwk_pages_redirect(r, HTTP_SEE_OTHER,
                              pwk_pages_url(r, visit->site, apr_pstrcat(r->pool, "/logout?done=", result.outcome == PWK_OK ? "1" : "here", "&r=",
                                                                        pwk_text_urlencode(place, r->pool), NULL)));
}

int pwk_login_logout(request_rec *r, pwk_visit *visit) {
    const apr_table_t *query;
    pwk_page *page;
    if (r->method_number == M_POST)
        return post_logout(r, visit);
    query = pwk_post_query(r);
    page = pwk_pages_make(r, visit, "logout.shtml", HTTP_OK, pwk_post_place(r, query));
    if (!apr_table_get(page->vars, "PAYWAY_LOGGED_IN") && apr_table_get(query, "done")) {
        apr_table_setn(page->vars, "LOGOUT_DONE", "1");
        if (!strcmp(pwk_post_field(query, "done"), "here"))
            apr_table_setn(page->vars, "LOGOUT_ELSEWHERE", "failed");
    }
    return pwk_pages_send(r, page);
}
