#include "pwk_identify.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_cookie.h"
#include "../core/pwk_form.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"
#include "pwk_account.h"
#include "pwk_pages.h"
#include "pwk_post.h"

/* A place longer than this comes back without its query: some servers refuse long URLs, and ours travels inside
 * SSO2's. */
enum { STATE_PLACE_MAX = 512 };

/* ---- the state of a login ---- */

typedef struct {
    const char *browser; /* the id in this browser's login cookie */
    const char *place;   /* where the reader continues */
    int again;           /* begun a second time: there is no third */
} state;

/* The random id of this browser while it logs in; the one it has, or a new one. NULL: no randomness. */
static const char *browser_id(pwk_visit *visit)
{
    request_rec *r = visit->first;
    const char *sealed;
    void *bytes;
    apr_size_t len;
    if (pwk_cookie_find(&sealed, visit->cookies, visit->site->login_cookie, r->pool) == PWK_COOKIE_FOUND
        && pwk_seal_open(&bytes, &len, visit->site->seal, PWK_SEAL_LOGIN, sealed, r->request_time, r->pool)
               == APR_SUCCESS
        && len)
        return bytes;
    return NULL;
}

static const char *bind_browser(pwk_visit *visit)
{
    request_rec *r = visit->first;
    const char *id = browser_id(visit), *sealed;
    if (!id)
        id = pwk_seal_random(16, r->pool);
    if (!id
        || pwk_seal_close(&sealed, visit->site->seal, PWK_SEAL_LOGIN, id, strlen(id), r->request_time, r->pool)
               != APR_SUCCESS)
        return NULL;
    pwk_visit_set_cookie(visit, visit->site->login_cookie, sealed, PWK_LOGIN_LIFE_S, 0);
    return id;
}

static void unbind_browser(pwk_visit *visit)
{
    pwk_visit_set_cookie(visit, visit->site->login_cookie, "", 0, 0);
}

static const char *short_place(const char *place, apr_pool_t *p)
{
    size_t path = strcspn(place, "?");
    if (strlen(place) <= STATE_PLACE_MAX)
        return place;
    return path <= STATE_PLACE_MAX ? apr_pstrmemdup(p, place, path) : "/";
}

/* "{base}{path}/{endpoint}?s={sealed state}", or NULL. */
static const char *state_url(request_rec *r, pwk_visit *visit, const char *endpoint, const char *place, int again)
{
    const char *id = bind_browser(visit), *text, *sealed;
    if (!id)
        return NULL;
    text = apr_psprintf(r->pool, "%" APR_TIME_T_FMT " %d %s %s", apr_time_sec(r->request_time), again, id,
                        short_place(place, r->pool));
    if (pwk_seal_close(&sealed, visit->site->seal, PWK_SEAL_STATE, text, strlen(text), r->request_time, r->pool)
        != APR_SUCCESS)
        return NULL;
    return pwk_pages_url(r, visit->site, apr_pstrcat(r->pool, endpoint, "?s=", sealed, NULL));
}

/* Opens a state of ours; 0 when it is none, or too old. */
static int read_state(state *read, request_rec *r, const pwk_site *site, const char *sealed)
{
    void *bytes;
    apr_size_t len;
    char *at, *words;
    apr_int64_t made;
    const char *again;
    if (!sealed
        || pwk_seal_open(&bytes, &len, site->seal, PWK_SEAL_STATE, sealed, r->request_time, r->pool) != APR_SUCCESS)
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

static int is_bound(const state *read, const char *id)
{
    return id && pwk_text_same_secret(read->browser, id);
}

const char *pwk_identify_return_url(request_rec *r, pwk_visit *visit, const char *place)
{
    return state_url(r, visit, "/login/return", place, 0);
}

/* ---- beginning ---- */

int pwk_identify_begin(request_rec *r, pwk_visit *visit, const char *place, int again)
{
    const pwk_site *site = visit->site;
    const char *back = state_url(r, visit, "/landing", place, again);
    const char *token = pwk_sso2_identify(&site->client, apr_time_now(), r->pool);
    if (!back || !token)
        return HTTP_INTERNAL_SERVER_ERROR;
    return pwk_pages_redirect(
        r, HTTP_MOVED_TEMPORARILY,
        apr_pstrcat(r->pool, site->sso, "/identify?t=", token, "&r=", pwk_text_urlencode(back, r->pool), NULL));
}

int pwk_identify_page_view(request_rec *r, pwk_visit *visit)
{
    const char *place = pwk_visit_place(visit);
    int status;
    if (visit->site->identify == PWK_IDENTIFY_OFF || *pwk_identify_notice(visit))
        return DECLINED;
    if (!pwk_visit_is_base_host(visit))
        status =
            pwk_pages_redirect(r, HTTP_MOVED_TEMPORARILY, apr_pstrcat(r->pool, visit->site->base_url, place, NULL));
    else
        status = pwk_identify_begin(r, visit, place, 0);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return status;
}

int pwk_identify_to_place(request_rec *r, const pwk_visit *visit, const char *place)
{
    return pwk_pages_redirect(r, HTTP_SEE_OTHER, apr_pstrcat(r->pool, visit->site->origin, place, NULL));
}

/* Back to the place with a mark in its query that says why nobody was identified: it stops the loop that a browser
 * without cookies would run into, and tells the wall what to say. */
static int to_place_marked(request_rec *r, const pwk_visit *visit, const char *place, const char *mark)
{
    return pwk_identify_to_place(
        r, visit, apr_pstrcat(r->pool, place, strchr(place, '?') ? "&" : "?", PWK_VISIT_MARK "=", mark, NULL));
}

const char *pwk_identify_notice(const pwk_visit *visit)
{
    static const char *const marks[] = {"cookies", "login-failed"};
    const char *mark = pwk_form_find(visit->first->args, PWK_VISIT_MARK, visit->first->pool);
    for (size_t i = 0; mark && i < sizeof(marks) / sizeof(*marks); i++) {
        if (!strcmp(mark, marks[i]))
            return marks[i];
    }
    return "";
}

/* ---- ending ---- */

/* The tokens in the query of a landing are worth a login: they are taken out of what the access log, mod_status and
 * error pages show (threats B-07). */
static void hide_query(request_rec *r)
{
    const char *line = r->the_request, *query = strchr(line, '?'), *end = query ? strchr(query, ' ') : NULL;
    if (query)
        r->the_request =
            apr_pstrcat(r->pool, apr_pstrmemdup(r->pool, line, (apr_size_t)(query - line)), end ? end : "", NULL);
    r->args = NULL;
    r->unparsed_uri = apr_pstrdup(r->pool, r->uri);
    r->parsed_uri.query = NULL;
}

static int fail(request_rec *r, pwk_visit *visit, const pwk_result *result, const char *doing, const char *place)
{
    pwk_account_complain(visit->site, result, doing, r->pool);
    if (result->outcome == PWK_UNAVAILABLE)
        return pwk_pages_error(r, visit, HTTP_SERVICE_UNAVAILABLE, "unavailable", place);
    return pwk_pages_error(r, visit, HTTP_BAD_REQUEST,
                           !strcmp(result->code, "not_found") ? "account_missing" : "login_failed", place);
}

/* Makes the session with `ticket` this browser's reader, and lets it go on. */
static int enter(request_rec *r, pwk_visit *visit, const char *sid, const char *ticket, const char *place)
{
    pwk_reader *reader;
    pwk_result result = pwk_account_enter(&reader, visit->site, sid, ticket, r->pool);
    if (result.outcome != PWK_OK)
        return fail(r, visit, &result, "logging a reader in", place);
    if (pwk_visit_set_reader(visit, reader) != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", place);
    unbind_browser(visit);
    return pwk_identify_to_place(r, visit, place);
}

/* SSO2 knows this browser, and nobody is logged in. Without a ticket although somebody is, there is nothing to read
 * an account with: asked once more, then it is an error. */
int pwk_identify_settle(request_rec *r, pwk_visit *visit, const pwk_sso2_answer *answer, const char *place)
{
    pwk_sso2_answer again = {.sid = "", .at = "", .err = ""};
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
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            PWKLOG(0090) "SSO2 says that a reader is logged in and gives no ticket; the reader is asked to try again");
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
    return pwk_identify_to_place(r, visit, place);
}

int pwk_identify_landing(request_rec *r, pwk_visit *visit)
{
    const apr_table_t *query = pwk_post_query(r), *back_query;
    const char *token = pwk_form_field(query, "t"), *back = pwk_form_field(query, "r"), *id = browser_id(visit), *why;
    const char *back_args = back ? strchr(back, '?') : NULL;
    state read = {0};
    int known = 0;
    pwk_sso2_answer answer = {.sid = "", .at = "", .err = ""};
    pwk_result result;
    hide_query(r);
    if (back_args
        && pwk_form_read((apr_table_t **)(intptr_t)&back_query, &why, back_args + 1, strlen(back_args + 1), r->pool)
               == APR_SUCCESS)
        known = read_state(&read, r, visit->site, pwk_form_field(back_query, "s"));
    if (!known || !is_bound(&read, id)) {
        const char *place = known ? read.place : "/";
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      PWKLOG(0091) "a landing that this browser did not ask for was dropped");
        /* Ours, and begun twice: this browser takes no cookies. It meets the wall all the same. */
        if (known && read.again)
            return to_place_marked(r, visit, place, "cookies");
        return pwk_identify_begin(r, visit, place, 1);
    }
    result = token ? pwk_sso2_read(&answer, &visit->site->client, token, apr_time_now(), r->pool)
                   : pwk_result_fail(PWK_REFUSED, APR_EINVAL, "bad_token", "a landing without t");
    if (result.outcome != PWK_OK) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      PWKLOG(0092) "a landing was refused: %s; are PaywayClient's secret and this host's clock right?",
                      pwk_result_line(&result, r->pool));
        if (!read.again)
            return pwk_identify_begin(r, visit, read.place, 1);
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, "login_failed", read.place);
    }
    if (*answer.err) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, PWKLOG(0093) "SSO2 could not identify a browser: %s",
                      pwk_text_clean(answer.err, 64, r->pool));
        return to_place_marked(r, visit, read.place, "login-failed");
    }
    return pwk_identify_settle(r, visit, &answer, read.place);
}

/* Back from the portal's login or shop: the same session, of which SSO2 now says more when told that we know
 * nothing. */
int pwk_identify_return(request_rec *r, pwk_visit *visit)
{
    const char *sealed = pwk_form_field(pwk_post_query(r), "s"), *id = browser_id(visit);
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(r));
    pwk_sso2_answer answer = {.sid = "", .at = "", .err = ""};
    pwk_sso2_visitor visitor;
    pwk_result result;
    state read = {0};
    int known = read_state(&read, r, visit->site, sealed);
    if (!known)
        return pwk_identify_begin(r, visit, "/", 1);
    if (!is_bound(&read, id) || !reader)
        return pwk_identify_begin(r, visit, read.place, 0);
    visitor = pwk_visit_visitor(visit, reader->sid);
    result = pwk_account_session(&answer, visit->site, &visitor, PWK_SSO2_ANON, r->pool);
    if (result.outcome != PWK_OK)
        return fail(r, visit, &result, "asking who is back from the portal", read.place);
    if (!*answer.err && answer.sts == PWK_SSO2_LOGGEDIN && *answer.at)
        return enter(r, visit, *answer.sid ? answer.sid : reader->sid, answer.at, read.place);
    return pwk_identify_begin(r, visit, read.place, 0);
}
