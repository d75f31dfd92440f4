#include "pwk_access.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "../core/pwk_cookie.h"
#include "../core/pwk_limits.h"
#include "pwk_directives.h"
#include "pwk_grants.h"
#include "pwk_identify.h"
#include "pwk_refresh.h"
#include "pwk_wall.h"

/* ---- headers ---- */

/* "Payway-X", "X-Payway-X", and with any run of '-' and '_' between: CGI folds both to the same variable. */
static int looks_like_ours(const char *name)
{
    const char *at = name;
    if ((*at | 32) == 'x' && (at[1] == '-' || at[1] == '_')) {
        for (at += 2; *at == '-' || *at == '_'; at++)
            ;
    } else {
        at += strspn(at, "-_");
    }
    return !strncasecmp(at, "payway", 6) && (!at[6] || at[6] == '-' || at[6] == '_');
}

int pwk_access_scrub(request_rec *r)
{
    const apr_array_header_t *headers = apr_table_elts(r->headers_in);
    if (!pwk_config_site(r->server))
        return DECLINED;
    for (int i = 0; i < headers->nelts; i++) {
        const char *name = APR_ARRAY_IDX(headers, i, apr_table_entry_t).key;
        if (looks_like_ours(name)) {
            apr_table_unset(r->headers_in, apr_pstrdup(r->pool, name));
            i = -1; /* the table moved */
        }
    }
    return DECLINED;
}

void pwk_access_export(request_rec *r, const pwk_verdict *verdict, const pwk_reader *reader)
{
    apr_table_t *env = r->subprocess_env;
    apr_table_setn(env, "PAYWAY_VERDICT", pwk_verdict_word(verdict->kind));
    apr_table_setn(env, "PAYWAY_REASON", verdict->reason);
    if (reader && *reader->account)
        apr_table_setn(env, "PAYWAY_ACCOUNT", reader->account);
    else
        apr_table_unset(env, "PAYWAY_ACCOUNT");
    if (*verdict->product)
        apr_table_setn(env, "PAYWAY_PRODUCT", verdict->product);
    else
        apr_table_unset(env, "PAYWAY_PRODUCT");
}

/* ---- the provider ---- */

static int stands_in(const apr_array_header_t *codes, const char *code)
{
    for (int i = 0; codes && i < codes->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(codes, i, const char *), code))
            return 1;
    }
    return 0;
}

/* Notes what was asked: the wall shows offers for it. */
static void note(request_rec *r, pwk_gate *gate, const pwk_requirement *requirement)
{
    gate->asked = 1;
    gate->wants_account |= !requirement->codes;
    for (int i = 0; requirement->codes && i < requirement->count; i++) {
        if (!gate->codes)
            gate->codes = apr_array_make(r->pool, 4, sizeof(const char *));
        if (!stands_in(gate->codes, requirement->codes[i]))
            APR_ARRAY_PUSH(gate->codes, const char *) = requirement->codes[i];
    }
}

static void name_user(request_rec *r, pwk_gate *gate, const char *account)
{
    if (!r->user) {
        r->user = apr_pstrdup(r->pool, account);
        r->ap_auth_type = (char *)(intptr_t) "Payway";
        gate->named = 1;
    }
}

static int is_ours(request_rec *r)
{
    const char *type = ap_auth_type(r);
    return type && !strcasecmp(type, "Payway");
}

/* Whether Payway should be asked before `verdict` keeps this reader out. */
static int worth_asking(pwk_visit *visit, const pwk_dir *dir, const pwk_verdict *verdict)
{
    const pwk_reader *reader = visit->reader;
    apr_interval_time_t age = reader ? visit->first->request_time - reader->checked : 0;
    if (!reader || visit->asked || verdict->kind == PWK_VERDICT_GRANTED)
        return 0;
    if (verdict->kind == PWK_VERDICT_UNAVAILABLE)
        return 1;
    /* Whoever just bought or logged in, here or elsewhere, reads; but a reader who reloads the wall is not a load test. What was
     * bought in another browser, or in an answer that never arrived, our own ledger knows. */
    if (verdict->kind == PWK_VERDICT_NO_PRODUCT)
        return reader->named != visit->site->named_hash || age >= apr_time_from_sec(PWK_WALL_RECHECK_S) || age < 0
               || pwk_grants_has_news(visit->site, reader->account, reader->checked, visit->first->pool);
    return pwk_visit_is_navigation(visit) && (age >= pwk_dir_refresh_interval(dir) || age < 0);
}

/* The verdict once more before it keeps a reader out: by a newer record that is at hand, else by Payway's word. */
static void reconsider(pwk_verdict *verdict, pwk_visit *visit, const pwk_dir *dir, const pwk_requirement *requirement)
{
    if (verdict->kind == PWK_VERDICT_NO_PRODUCT && pwk_visit_look(visit))
        *verdict = pwk_visit_verdict(visit, dir, requirement);
    if (worth_asking(visit, dir, verdict)) {
        pwk_refresh_now(visit);
        *verdict = pwk_visit_verdict(visit, dir, requirement);
    }
}

static authz_status last_word(request_rec *r, pwk_gate *gate, const pwk_requirement *requirement, pwk_verdict verdict)
{
    pwk_visit *visit = gate->visit;
    const pwk_dir *dir = pwk_config_dir(r);
    /* Under a foreign AuthType check_authn was not ours: this is where Payway may be asked. */
    if (!gate->authn)
        reconsider(&verdict, visit, dir, requirement);
    gate->verdict = verdict;
    if (verdict.kind == PWK_VERDICT_GRANTED)
        return AUTHZ_GRANTED;
    pwk_wall_prepare(r, gate);
    return AUTHZ_DENIED;
}

static authz_status check(request_rec *r, const char *line, const void *parsed)
{
    const pwk_require *require = parsed;
    pwk_visit *visit = pwk_visit_of(r);
    pwk_gate *gate = pwk_gate_of(r);
    pwk_verdict verdict;
    (void)line;
    if (!visit) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PWKLOG(0050) "Require payway-...: this virtual host has no PaywayClient");
        return AUTHZ_GENERAL_ERROR;
    }
    if (!ap_auth_type(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, PWKLOG(0051) "Require payway-... (%s:%d) needs AuthType Payway",
                      require->directive->filename, require->directive->line_num);
        return AUTHZ_GENERAL_ERROR;
    }
    for (int i = 0; require->late && i < require->requirement.count; i++) {
        if (!stands_in(visit->site->named, require->requirement.codes[i])) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          PWKLOG(0054) "Require payway-product %s (%s:%d): readers' cookies do not carry that product: "
                                       "name it in a PaywayOffer "
                                       "or a Require of the server's configuration",
                          require->requirement.codes[i], require->directive->filename, require->directive->line_num);
            return AUTHZ_GENERAL_ERROR;
        }
    }
    note(r, gate, &require->requirement);
    verdict = pwk_visit_verdict(visit, pwk_config_dir(r), &require->requirement);
    if (gate->authn || (r->user && !gate->named))
        return last_word(r, gate, &require->requirement, verdict);
    if (verdict.kind != PWK_VERDICT_GRANTED) {
        if (gate->verdict.kind != PWK_VERDICT_GRANTED || !gate->verdict.reason)
            gate->verdict = verdict;
        return AUTHZ_DENIED_NO_USER;
    }
    gate->verdict = verdict;
    name_user(r, gate, visit->reader->account);
    return AUTHZ_GRANTED;
}

const authz_provider pwk_access_product = {check, pwk_directives_require_product};
const authz_provider pwk_access_account = {check, pwk_directives_require_account};
const authz_provider pwk_access_article = {check, pwk_directives_require_article};

/* ---- authentication ---- */

/* Whether the Require lines together let this reader in once named: another one may grant (`Require user`, a group),
 * or each of several products be wanted. Asked without a word in the log: httpd would write an error for every reader
 * who meets the wall (httpd-notes L2). */
static int lines_grant(request_rec *r, pwk_gate *gate)
{
    static const struct ap_logconf silent = {NULL, APLOG_EMERG};
    const struct ap_logconf *log = r->log;
    int granted;
    r->log = &silent;
    name_user(r, gate, gate->visit->reader->account);
    granted = ap_run_auth_checker(r) == OK;
    r->log = log;
    if (!granted && gate->named) {
        r->user = r->ap_auth_type = NULL;
        gate->named = 0;
    }
    return granted;
}

int pwk_access_authn(request_rec *r)
{
    pwk_visit *visit;
    pwk_gate *gate = pwk_gate_of(r);
    const pwk_dir *dir = pwk_config_dir(r);
    pwk_requirement requirement;
    if (!is_ours(r))
        return DECLINED;
    visit = pwk_visit_of(r);
    if (!visit) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PWKLOG(0052) "AuthType Payway: this virtual host has no PaywayClient");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    gate->authn = 1;
    /* `Require valid-user` alone asked nothing: being logged in is what it wants. */
    requirement = pwk_gate_requirement(gate);
    gate->verdict = pwk_visit_verdict(visit, dir, &requirement);
    /* A sub-request may only be a look at what a directory holds: it asks where nothing else will do. */
    if (!r->main || gate->verdict.kind == PWK_VERDICT_UNAVAILABLE)
        reconsider(&gate->verdict, visit, dir, &requirement);
    if ((gate->verdict.kind == PWK_VERDICT_GRANTED || gate->verdict.kind == PWK_VERDICT_NO_PRODUCT)
        && (!gate->asked || lines_grant(r, gate) || gate->verdict.kind == PWK_VERDICT_GRANTED)) {
        /* The Require lines have the last word: if ours deny after all, the reader meets the wall (last_word). */
        name_user(r, gate, visit->reader->account);
        return OK;
    }
    if (!r->main && gate->verdict.kind == PWK_VERDICT_ANONYMOUS && !visit->reader && pwk_visit_is_navigation(visit)) {
        int status = pwk_identify_page_view(r, visit);
        if (status != DECLINED)
            return status;
    }
    pwk_wall_prepare(r, gate);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, PWKLOG(0053) "wall: %s (%s)", pwk_verdict_word(gate->verdict.kind),
                  gate->verdict.reason);
    return HTTP_PAYMENT_REQUIRED;
}

/* ---- fixups ---- */

/* The gate that decided about `r`: its own, or that of the request it was made from when httpd skipped the decision
 * since the configuration is the same. */
static const pwk_gate *deciding_gate(request_rec *r)
{
    for (request_rec *at = r; at; at = at->prev ? at->prev : at->main) {
        const pwk_gate *gate = pwk_gate_of(at);
        if (gate->asked || gate->authn)
            return gate;
        if (!(at->prev && at->prev->per_dir_config == r->per_dir_config)
            && !(at->main && at->main->per_dir_config == r->per_dir_config))
            break;
    }
    return NULL;
}

int pwk_access_fixups(request_rec *r)
{
    pwk_visit *visit = pwk_visit_of(r);
    const pwk_dir *dir;
    const pwk_gate *gate;
    const char *cookies;
    if (!visit)
        return DECLINED;
    dir = pwk_config_dir(r);
    pwk_gate_of(r)->passed = 1;
    gate = deciding_gate(r);
    if (gate) {
        pwk_access_export(r, &gate->verdict, pwk_visit_reader(visit, dir));
    } else if (pwk_dir_reader(dir)) {
        /* Nothing is required here, so nothing is worth waiting for: the record is believed at any age. */
        pwk_requirement account = {NULL, 0};
        pwk_verdict verdict = pwk_verdict_of(pwk_visit_reader(visit, dir), &account, PWK_KNOWN, 0, r->request_time);
        if (!r->main && !r->prev && !visit->reader && visit->site->identify == PWK_IDENTIFY_ON
            && pwk_visit_is_navigation(visit)) {
            int status = pwk_identify_page_view(r, visit);
            if (status != DECLINED)
                return status;
        }
        if (visit->reader && verdict.kind == PWK_VERDICT_GRANTED)
            name_user(r, pwk_gate_of(r), visit->reader->account);
        pwk_access_export(r, &verdict, visit->reader);
    }
    if (visit->opened && visit->reader && *visit->reader->account && !visit->asked
        && pwk_reader_age(visit->reader, pwk_dir_refresh_interval(dir), visit->site->named_hash,
                          visit->first->request_time)
               != PWK_AGE_FRESH)
        pwk_refresh_later(visit);

    cookies = apr_table_get(r->headers_in, "Cookie");
    if (cookies) {
        const char *rest = pwk_cookie_without(cookies, visit->site->own_cookies, r->pool);
        if (!rest)
            apr_table_unset(r->headers_in, "Cookie");
        else if (rest != cookies)
            apr_table_setn(r->headers_in, "Cookie", rest);
    }
    return DECLINED;
}
