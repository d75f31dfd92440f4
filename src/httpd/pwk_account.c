#include "pwk_account.h"

#include <apr_strings.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "pwk_cache.h"
#include "pwk_grants.h"

#define KIND_READER "reader"
#define KIND_TOKEN "token"
#define KIND_IDENTITY "identity"

/* Kept a little shorter than the token lives, so that none dies on its way; less than the 60 s that one lives at least. */
enum { TOKEN_MARGIN_S = 30 };

void pwk_account_complain(const pwk_site *site, const pwk_result *result, const char *doing, apr_pool_t *p)
{
    static pwk_log_once once;
    if (result->outcome == PWK_UNAVAILABLE) {
        if (strcmp(result->code, PWK_ENDING) && pwk_log_due(&once, apr_time_now()))
            ap_log_error(APLOG_MARK, APLOG_WARNING, result->rv == APR_EGENERAL ? 0 : result->rv, site->server,
                         PWKLOG(0030) "Payway could not be asked (%s): %s; known readers read on, others are told so",
                         doing, pwk_result_line(result, p));
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, site->server, PWKLOG(0031) "Payway refused (%s): %s", doing,
                 pwk_result_line(result, p));
}

/* Whether a refusal means that the API user lacks a scope. A refused token request says so too (payway-api §5.1:
 * what an unknown scope does is not documented). */
static void name_scope(const pwk_site *site, const pwk_result *result, const char *scope, apr_pool_t *p)
{
    static pwk_log_once once;
    if (result->outcome == PWK_REFUSED && (result->http_status == 403 || strstr(result->code, "scope"))
        && pwk_log_due(&once, apr_time_now()))
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, site->server,
            PWKLOG(
                0032) "Payway refused a request that needs the scope %s (%s): give it to API user %s in Payway Admin",
            scope, pwk_result_line(result, p), site->client.client_id);
}

static pwk_result fetch_token(pwk_payway_token *token, const pwk_site *site, const char *scope, const char *ticket,
                              apr_pool_t *p)
{
    pwk_payway_request request =
        pwk_payway_token_request(site->client.client_id, site->client.secret, scope, ticket, p);
    pwk_payway_answer answer;
    pwk_result result = pwk_upstream_call(&answer, site, site->api, &request, NULL, p);
    if (result.outcome == PWK_OK)
        result = pwk_payway_read_token(token, &answer, p);
    name_scope(site, &result, scope, p);
    return result;
}

/* What a token without identity is asked for, and kept under. */
static const char *scopes_of(const char *scope)
{
    return strstr(PWK_SCOPES_PLAIN, scope) ? PWK_SCOPES_PLAIN : scope;
}

/* The shared token without identity. */
static pwk_result plain_token(const char **token, const pwk_site *site, const char *scopes, apr_pool_t *p)
{
    pwk_payway_token fresh;
    pwk_result result;
    void *bytes;
    apr_size_t len;
    if (pwk_cache_get(&bytes, &len, site, KIND_TOKEN, scopes, p) == APR_SUCCESS) {
        *token = bytes;
        return pwk_result_ok();
    }
    result = fetch_token(&fresh, site, scopes, NULL, p);
    if (result.outcome != PWK_OK)
        return result;
    *token = fresh.access_token;
    if (fresh.expires_in_s > TOKEN_MARGIN_S)
        pwk_cache_set(site, KIND_TOKEN, scopes, *token, strlen(*token), fresh.expires_in_s - TOKEN_MARGIN_S, p);
    return result;
}

pwk_result pwk_account_call(pwk_payway_answer *answer, const pwk_site *site, const pwk_payway_request *request,
                            const char *scope, apr_pool_t *p)
{
    pwk_result result = pwk_result_ok();
    for (int attempt = 0; attempt < 2; attempt++) {
        const char *token;
        result = plain_token(&token, site, scopes_of(scope), p);
        if (result.outcome == PWK_OK)
            result = pwk_upstream_call(answer, site, site->api, request, token, p);
        if (result.outcome != PWK_OK || answer->status != 401)
            break;
        pwk_cache_remove(site, KIND_TOKEN, scopes_of(scope), p);
    }
    if (result.outcome == PWK_OK && answer->status == 403) {
        pwk_result refused = pwk_result_fail(PWK_REFUSED, APR_EGENERAL, "forbidden", "the API refused a request");
        refused.http_status = 403;
        name_scope(site, &refused, scope, p);
    }
    return result;
}

static pwk_result refused(const char *code, const char *detail)
{
    return pwk_result_fail(PWK_REFUSED, APR_EGENERAL, code, detail);
}

pwk_result pwk_account_may(const pwk_site *site, const pwk_payway_request *request, const char *scope, apr_pool_t *p)
{
    pwk_payway_answer answer;
    pwk_result result = pwk_account_call(&answer, site, request, scope, p);
    if (result.outcome == PWK_OK && (answer.status == 401 || answer.status == 403))
        return refused("forbidden", "the API refuses it");
    if (result.outcome == PWK_OK && answer.status >= 500)
        return pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "server_error", "the API cannot say");
    return result;
}

/* ---- SSO2 ---- */

static pwk_result ask_sso(pwk_sso2_answer *answer, const pwk_site *site, const char *operation, const char *body,
                          apr_pool_t *p)
{
    pwk_payway_request request = {
        .method = "POST", .path = operation, .content_type = "application/json", .body = body};
    pwk_payway_answer bytes;
    pwk_result result;
    if (!body)
        return pwk_result_fail(PWK_INVALID, APR_EINVAL, "bad_text", "a message to SSO2 could not be written");
    result = pwk_upstream_call(&bytes, site, site->sso, &request, NULL, p);
    if (result.outcome == PWK_OK)
        result = pwk_sso2_read_body(answer, &site->client, bytes.status, bytes.body, bytes.len, apr_time_now(), p);
    return result;
}

pwk_result pwk_account_session(pwk_sso2_answer *answer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                               pwk_sso2_status last_known, apr_pool_t *p)
{
    return ask_sso(answer, site, "/sessionstatus",
                   pwk_sso2_sessionstatus(&site->client, visitor, last_known, apr_time_now(), p), p);
}

pwk_result pwk_account_authenticate(pwk_sso2_answer *answer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                                    const char *email, const char *password, apr_pool_t *p)
{
    return ask_sso(answer, site, "/authenticate",
                   pwk_sso2_authenticate(&site->client, visitor, email, password, apr_time_now(), p), p);
}

/* "200 = done" (payway-api §5.4): what the body says is of no interest. */
pwk_result pwk_account_logout(const pwk_site *site, const pwk_sso2_visitor *visitor, apr_pool_t *p)
{
    const char *body = pwk_sso2_logout(&site->client, visitor, apr_time_now(), p);
    pwk_payway_request request = {
        .method = "POST", .path = "/logout", .content_type = "application/json", .body = body};
    pwk_payway_answer answer;
    pwk_result result;
    if (!body)
        return pwk_result_fail(PWK_INVALID, APR_EINVAL, "bad_text", "a message to SSO2 could not be written");
    result = pwk_upstream_call(&answer, site, site->sso, &request, NULL, p);
    if (result.outcome == PWK_OK && answer.status != 200) {
        result = pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "sso_status", "SSO2 did not confirm the logout");
        result.http_status = answer.status;
    }
    return result;
}

/* ---- records ---- */

const pwk_reader *pwk_account_cached(const pwk_site *site, const char *sid, apr_pool_t *p)
{
    void *bytes;
    apr_size_t len;
    pwk_reader *reader = apr_palloc(p, sizeof(*reader));
    if (pwk_cache_get(&bytes, &len, site, KIND_READER, sid, p) != APR_SUCCESS
        || pwk_reader_read(reader, bytes, len, p) != APR_SUCCESS)
        return NULL;
    return reader;
}

void pwk_account_remember(const pwk_site *site, const pwk_reader *reader, apr_pool_t *p)
{
    const void *bytes;
    apr_size_t len;
    if (pwk_reader_write(&bytes, &len, reader, p) == APR_SUCCESS)
        pwk_cache_set(site, KIND_READER, reader->sid, bytes, len, PWK_READER_LIFE_S, p);
}

static apr_time_t whole_second(apr_time_t time)
{
    return apr_time_from_sec(apr_time_sec(time));
}

static pwk_reader *new_reader(const pwk_site *site, const char *sid, const char *account, apr_pool_t *p)
{
    static const char *const none[] = {NULL};
    pwk_reader *reader = apr_pcalloc(p, sizeof(*reader));
    reader->sid = sid;
    reader->account = account;
    reader->created = reader->checked = whole_second(apr_time_now());
    reader->named = site->named_hash;
    reader->codes = none;
    return reader;
}

void pwk_account_end(const pwk_site *site, const char *sid, apr_pool_t *p)
{
    pwk_reader *reader = new_reader(site, sid, "", p);
    reader->terminated = 1;
    pwk_account_remember(site, reader, p);
}

/* ---- identity ---- */

typedef struct {
    const char *token;
    apr_time_t expires;
} identity;

/* Kept under the session with the account that it is good for: "EXPIRES ACCOUNT TOKEN". */
static void keep_identity(const pwk_site *site, const pwk_reader *reader, const identity *kept, apr_pool_t *p)
{
    const char *text =
        apr_psprintf(p, "%" APR_TIME_T_FMT " %s %s", apr_time_sec(kept->expires), reader->account, kept->token);
    pwk_cache_set(site, KIND_IDENTITY, reader->sid, text, strlen(text),
                  (long)apr_time_sec(kept->expires - apr_time_now()), p);
}

static int kept_identity(identity *kept, const pwk_site *site, const pwk_reader *reader, apr_pool_t *p)
{
    void *bytes;
    apr_size_t len;
    char *state;
    const char *expires, *account;
    if (pwk_cache_get(&bytes, &len, site, KIND_IDENTITY, reader->sid, p) != APR_SUCCESS)
        return 0;
    expires = apr_strtok(bytes, " ", &state);
    account = apr_strtok(NULL, " ", &state);
    kept->token = apr_strtok(NULL, " ", &state);
    if (!kept->token || strcmp(account, reader->account))
        return 0;
    kept->expires = apr_time_from_sec(apr_atoi64(expires));
    return 1;
}

int pwk_account_kept_identity(const char **token, const pwk_site *site, const pwk_reader *known, apr_pool_t *p)
{
    identity kept;
    if (!kept_identity(&kept, site, known, p) || kept.expires - apr_time_now() < apr_time_from_sec(PWK_IDENTITY_MIN_S))
        return 0;
    *token = kept.token;
    return 1;
}

void pwk_account_forget_identity(const pwk_site *site, const char *sid, apr_pool_t *p)
{
    pwk_cache_remove(site, KIND_IDENTITY, sid, p);
}

static pwk_result ask_own_products(apr_array_header_t **codes, const pwk_site *site, const char *account,
                                   const char *token, apr_pool_t *p)
{
    pwk_payway_request request = pwk_payway_my_products_request(p);
    pwk_payway_answer answer;
    const char *owner;
    pwk_result result = pwk_upstream_call(&answer, site, site->api, &request, token, p);
    if (result.outcome == PWK_OK)
        result = pwk_payway_read_products(codes, &owner, &answer, p);
    if (result.outcome == PWK_OK && *owner && strcmp(owner, account))
        result = pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "wrong_account", "the products are another account's");
    return result;
}

/* The reader of `account` with what Payway shows and the ledger opens. */
static pwk_result make_reader(pwk_reader **reader, const pwk_site *site, const char *sid, const char *account,
                              apr_array_header_t *codes, const pwk_reader *known, apr_pool_t *p)
{
    pwk_result result = pwk_grants_add(codes, site, account, known, p);
    if (result.outcome != PWK_OK)
        return result;
    *reader = new_reader(site, sid, account, p);
    if (known)
        (*reader)->created = known->created;
    pwk_reader_own(*reader, codes, site->named, p);
    pwk_account_remember(site, *reader, p);
    return result;
}

static pwk_result enter(pwk_reader **reader, identity *kept, const pwk_site *site, const char *sid, const char *ticket,
                        apr_pool_t *p)
{
    pwk_payway_token token;
    pwk_payway_me me = {""};
    pwk_payway_request request = pwk_payway_me_request(p);
    pwk_payway_answer answer;
    apr_array_header_t *codes;
    apr_time_t asked = apr_time_now();
    pwk_result result = fetch_token(&token, site, PWK_SCOPES_IDENTITY, ticket, p);
    if (result.outcome == PWK_OK)
        result = pwk_upstream_call(&answer, site, site->api, &request, token.access_token, p);
    if (result.outcome == PWK_OK) {
        result = pwk_payway_read_me(&me, &answer, p);
        name_scope(site, &result, "/external/me/w", p);
    }
    if (result.outcome == PWK_OK)
        result = ask_own_products(&codes, site, me.id, token.access_token, p);
    if (result.outcome == PWK_OK)
        result = make_reader(reader, site, sid, me.id, codes, NULL, p);
    if (result.outcome != PWK_OK)
        return result;
    *kept = (identity){token.access_token, asked + apr_time_from_sec(token.expires_in_s)};
    keep_identity(site, *reader, kept, p);
    return result;
}

pwk_result pwk_account_enter(pwk_reader **reader, const pwk_site *site, const char *sid, const char *ticket,
                             apr_pool_t *p)
{
    identity kept;
    return enter(reader, &kept, site, sid, ticket, p);
}

pwk_result pwk_account_identity(const char **token, pwk_reader **entered, const pwk_site *site,
                                const pwk_sso2_visitor *visitor, const pwk_reader *known, long life_s, apr_pool_t *p)
{
    pwk_sso2_answer answer = {.sid = "", .at = "", .err = ""};
    identity kept = {"", 0};
    apr_time_t now = apr_time_now();
    pwk_result result;
    *token = "";
    *entered = NULL;
    if (kept_identity(&kept, site, known, p) && kept.expires - now >= apr_time_from_sec(life_s)) {
        *token = kept.token;
        return pwk_result_ok();
    }
    result = pwk_account_session(&answer, site, visitor, PWK_SSO2_ANON, p);
    if (result.outcome == PWK_OK && (*answer.err || answer.sts != PWK_SSO2_LOGGEDIN))
        return refused("logged_out", "SSO2 says that nobody is logged in any more");
    if (result.outcome == PWK_OK && !*answer.at)
        return refused("no_ticket", "SSO2 gives no ticket for a session that is logged in");
    if (result.outcome == PWK_OK)
        result = enter(entered, &kept, site, *answer.sid ? answer.sid : known->sid, answer.at, p);
    if (result.outcome == PWK_OK && strcmp((*entered)->account, known->account))
        return refused("other_account", "another account is logged in by now");
    if (result.outcome != PWK_OK && kept.expires - now < apr_time_from_sec(PWK_IDENTITY_MIN_S))
        return result;
    *token = kept.token;
    return pwk_result_ok();
}

pwk_result pwk_account_reread(pwk_reader **newer, const pwk_site *site, const pwk_reader *known, const char *token,
                              apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_result result = ask_own_products(&codes, site, known->account, token, p);
    return result.outcome == PWK_OK ? make_reader(newer, site, known->sid, known->account, codes, known, p) : result;
}

/* ---- checking ---- */

pwk_result pwk_account_products(apr_array_header_t **codes, const pwk_site *site, const char *account, apr_pool_t *p)
{
    pwk_payway_request request = pwk_payway_products_request(account, p);
    pwk_payway_answer answer;
    const char *owner;
    pwk_result result = pwk_account_call(&answer, site, &request, "/external/account/r", p);
    if (result.outcome == PWK_OK)
        result = pwk_payway_read_products(codes, &owner, &answer, p);
    if (result.outcome == PWK_OK && *owner && strcmp(owner, account))
        result = pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "wrong_account", "the products are another account's");
    /* Any other refusal is about our API user, not about the reader: it proves nothing. */
    if (result.outcome == PWK_REFUSED && strcmp(result.code, "not_found"))
        result.outcome = PWK_UNAVAILABLE;
    return result;
}

static pwk_result read_products(pwk_reader **newer, const pwk_site *site, const pwk_reader *known, const char *sid,
                                apr_pool_t *p)
{
    apr_array_header_t *codes;
    pwk_result result = pwk_account_products(&codes, site, known->account, p);
    if (result.outcome == PWK_OK)
        return make_reader(newer, site, sid, known->account, codes, known, p);
    if (result.outcome == PWK_REFUSED) {
        /* The account is gone: whoever it was reads no longer. */
        pwk_account_end(site, known->sid, p);
        *newer = new_reader(site, sid, "", p);
        (*newer)->terminated = 1;
        return pwk_result_ok();
    }
    return result;
}

pwk_result pwk_account_check(pwk_reader **newer, const pwk_site *site, const pwk_sso2_visitor *visitor,
                             const pwk_reader *known, apr_pool_t *p)
{
    pwk_sso2_answer answer = {.sid = "", .at = "", .err = ""};
    int logged_in = *known->account != '\0';
    pwk_result result = pwk_account_session(&answer, site, visitor, logged_in ? PWK_SSO2_LOGGEDIN : PWK_SSO2_ANON, p);
    if (result.outcome != PWK_OK)
        return result;
    if (*answer.err && strcmp(answer.err, "session_not_found"))
        return pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "sso_error",
                               apr_pstrcat(p, "sessionstatus said ", answer.err, NULL));
    /* SSO2 may rename a session while it answers; the vendor's client takes the new id over (payway-api §5.4). */
    const char *sid = *answer.sid ? answer.sid : known->sid;
    if (*answer.err || answer.sts == PWK_SSO2_TERMINATED || (logged_in && answer.sts == PWK_SSO2_ANON)) {
        pwk_account_end(site, known->sid, p);
        *newer = new_reader(site, sid, "", p);
        (*newer)->terminated = 1;
        return pwk_result_ok();
    }
    if (answer.sts == PWK_SSO2_LOGGEDIN && logged_in)
        return read_products(newer, site, known, sid, p);
    if (answer.sts == PWK_SSO2_LOGGEDIN && *answer.at)
        return pwk_account_enter(newer, site, sid, answer.at, p);
    *newer = new_reader(site, sid, "", p);
    return pwk_result_ok();
}
