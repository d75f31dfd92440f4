#include "pwk_visit.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>

#include "../core/pwk_cookie.h"
#include "../core/pwk_form.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"
#include "pwk_account.h"

pwk_gate *pwk_gate_of(request_rec *r)
{
    pwk_gate *gate = ap_get_module_config(r->request_config, &payway_klarna_module);
    if (!gate) {
        gate = apr_pcalloc(r->pool, sizeof(*gate));
        ap_set_module_config(r->request_config, &payway_klarna_module, gate);
    }
    return gate;
}

static request_rec *parent_of(const request_rec *r)
{
    return r->main ? r->main : r->prev;
}

pwk_visit *pwk_visit_of(request_rec *r)
{
    pwk_site *site = pwk_config_site(r->server);
    if (!site)
        return NULL;
    pwk_gate *gate = pwk_gate_of(r);
    if (!gate->visit && parent_of(r))
        gate->visit = pwk_visit_of(parent_of(r));
    if (!gate->visit) {
        gate->visit = apr_pcalloc(r->pool, sizeof(*gate->visit));
        gate->visit->site = site;
        gate->visit->first = r;
        gate->visit->cookies = apr_table_get(r->headers_in, "Cookie");
    }
    return gate->visit;
}

pwk_requirement pwk_gate_requirement(const pwk_gate *gate)
{
    if (!gate->codes)
        return (pwk_requirement){NULL, 0};
    return (pwk_requirement){(const char *const *)(void *)gate->codes->elts, gate->codes->nelts};
}

static void open_cookie(pwk_visit *visit)
{
    request_rec *r = visit->first;
    const char *sealed;
    void *bytes;
    apr_size_t len;
    pwk_reader *reader;
    visit->opened = 1;
    switch (pwk_cookie_find(&sealed, visit->cookies, visit->site->cookie, r->pool)) {
    case PWK_COOKIE_ABSENT:
        return;
    case PWK_COOKIE_AMBIGUOUS:
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0001) "the reader's cookie comes twice and counts as none");
        return;
    case PWK_COOKIE_FOUND:
        break;
    }
    reader = apr_palloc(r->pool, sizeof(*reader));
    if (pwk_seal_open(&bytes, &len, visit->site->seal, PWK_SEAL_READER, sealed, r->request_time, r->pool) != APR_SUCCESS
        || pwk_reader_read(reader, bytes, len, r->pool) != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      PWKLOG(0002) "the reader's cookie does not open and counts as none");
        return;
    }
    if (r->request_time - reader->created < apr_time_from_sec(PWK_READER_LIFE_S))
        visit->reader = reader;
}

/* A record that refresh threads or another request of this browser wrote since this cookie was sealed. */
static int look_in_cache(pwk_visit *visit, int same_second)
{
    const pwk_reader *newer = pwk_account_cached(visit->site, visit->reader->sid, visit->first->pool);
    visit->looked = 1;
    if (!newer || newer->checked + (newer->terminated || same_second) <= visit->reader->checked)
        return 0;
    pwk_visit_set_reader(visit, newer->terminated ? NULL : newer);
    return 1;
}

int pwk_visit_look(pwk_visit *visit)
{
    return visit->reader && !visit->looked && *visit->reader->account && look_in_cache(visit, 1);
}

const pwk_reader *pwk_visit_reader(pwk_visit *visit, const pwk_dir *dir)
{
    if (!visit->opened)
        open_cookie(visit);
    if (visit->reader && !visit->looked && *visit->reader->account
        && pwk_reader_age(visit->reader, pwk_dir_refresh_interval(dir), visit->site->named_hash,
                          visit->first->request_time)
               != PWK_AGE_FRESH)
        look_in_cache(visit, 0);
    return visit->reader;
}

pwk_knowledge pwk_visit_knowledge(const pwk_visit *visit, const pwk_dir *dir)
{
    if (visit->asked)
        return visit->outage ? PWK_OUTAGE : PWK_KNOWN;
    if (visit->reader
        && pwk_reader_age(visit->reader, pwk_dir_refresh_interval(dir), visit->site->named_hash,
                          visit->first->request_time)
               == PWK_AGE_OLD)
        return PWK_UNASKED;
    return PWK_KNOWN;
}

pwk_verdict pwk_visit_verdict(pwk_visit *visit, const pwk_dir *dir, const pwk_requirement *requirement)
{
    const pwk_reader *reader = pwk_visit_reader(visit, dir);
    return pwk_verdict_of(reader, requirement, pwk_visit_knowledge(visit, dir), pwk_dir_stale_if_error(dir),
                          visit->first->request_time);
}

apr_status_t pwk_visit_set_reader(pwk_visit *visit, const pwk_reader *reader)
{
    const pwk_site *site = visit->site;
    apr_pool_t *p = visit->first->pool;
    const void *bytes;
    apr_size_t len;
    const char *sealed;
    visit->opened = visit->looked = 1;
    if (!reader) {
        visit->reader = NULL;
        pwk_visit_set_cookie(visit, site->cookie, "", 0, 0);
        pwk_visit_set_cookie(visit, "payway_in", "", 0, 1);
        return APR_SUCCESS;
    }
    if (pwk_reader_write(&bytes, &len, reader, p) != APR_SUCCESS
        || pwk_seal_close(&sealed, site->seal, PWK_SEAL_READER, bytes, len, visit->first->request_time, p)
               != APR_SUCCESS
        || strlen(sealed) > PWK_COOKIE_MAX) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, visit->first,
                      PWKLOG(0003) "the reader's record could not be sealed into a cookie");
        return APR_EGENERAL;
    }
    visit->reader = reader;
    pwk_visit_set_cookie(visit, site->cookie, sealed, PWK_READER_LIFE_S, 0);
    if (*reader->account)
        pwk_visit_set_cookie(visit, "payway_in", "1", PWK_READER_LIFE_S, 1);
    else
        pwk_visit_set_cookie(visit, "payway_in", "", 0, 1);
    return APR_SUCCESS;
}

/* err_headers_out is shared along internal redirects and kept on error responses; a sub-request has one of its own
 * that goes nowhere, hence the first request's. */
void pwk_visit_set_cookie(pwk_visit *visit, const char *name, const char *value, long max_age_s, int script)
{
    request_rec *r = visit->first;
    apr_table_t *headers = r->err_headers_out;
    const char *line = pwk_cookie_set(name, value, max_age_s, visit->site->secure, script, r->pool);
    const apr_array_header_t *all = apr_table_elts(headers);
    apr_array_header_t *kept = apr_array_make(r->pool, 4, sizeof(const char *));
    size_t len = strlen(name);
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *header = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        if (!strcasecmp(header->key, "Set-Cookie") && (strncmp(header->val, name, len) || header->val[len] != '='))
            APR_ARRAY_PUSH(kept, const char *) = header->val;
    }
    apr_table_unset(headers, "Set-Cookie");
    for (int i = 0; i < kept->nelts; i++)
        apr_table_addn(headers, "Set-Cookie", APR_ARRAY_IDX(kept, i, const char *));
    apr_table_addn(headers, "Set-Cookie", line);
}

/* ---- what the browser's headers say ---- */

static const char *header(const pwk_visit *visit, const char *name)
{
    const char *value = apr_table_get(visit->first->headers_in, name);
    return value ? value : "";
}

/* Crawlers by their own word (payway-api §5.4, the vendor's list and later additions). It spares them a redirect and
 * nothing else: they meet the wall like everybody. */
static int is_crawler(const char *user_agent)
{
    static const char *const words[] = {"alexa",       "bot",
                                        "crawl",       "facebookexternalhit",
                                        "feedburner",  "google web preview",
                                        "nagios",      "postrank",
                                        "pingdom",     "slurp",
                                        "spider",      "yahoo!",
                                        "yandex",      "ias-or",
                                        "integralads", "verity",
                                        "lighthouse",  NULL};
    for (int i = 0; words[i]; i++) {
        if (ap_strcasestr(user_agent, words[i]))
            return 1;
    }
    return 0;
}

static int accepts_html(const pwk_visit *visit)
{
    return ap_strcasestr(header(visit, "Accept"), "text/html") != NULL;
}

int pwk_visit_is_navigation(const pwk_visit *visit)
{
    const char *mode = header(visit, "Sec-Fetch-Mode"), *dest = header(visit, "Sec-Fetch-Dest");
    return visit->first->method_number == M_GET && !visit->first->header_only && accepts_html(visit)
           && (!*mode || !strcmp(mode, "navigate")) && (!*dest || !strcmp(dest, "document"))
           && !ap_strcasestr(header(visit, "Purpose"), "prefetch")
           && !ap_strcasestr(header(visit, "Sec-Purpose"), "prefetch")
           && !ap_strcasestr(header(visit, "X-Moz"), "prefetch") && !*header(visit, "X-Requested-With")
           && !is_crawler(header(visit, "User-Agent"));
}

int pwk_visit_is_api(const pwk_visit *visit)
{
    const char *mode = header(visit, "Sec-Fetch-Mode");
    if (*header(visit, "X-Requested-With"))
        return 1;
    if (accepts_html(visit))
        return 0;
    return ap_strcasestr(header(visit, "Accept"), "json") != NULL || !strcmp(mode, "cors")
           || !strcmp(mode, "same-origin");
}

int pwk_visit_is_same_origin(const pwk_visit *visit)
{
    const char *site = header(visit, "Sec-Fetch-Site"), *origin = header(visit, "Origin"),
               *referer = header(visit, "Referer");
    size_t len = strlen(visit->site->origin);
    if (*site)
        return !strcmp(site, "same-origin");
    if (*origin)
        return !strcmp(origin, visit->site->origin);
    return !strncmp(referer, visit->site->origin, len) && (!referer[len] || referer[len] == '/');
}

int pwk_visit_is_base_host(const pwk_visit *visit)
{
    const char *host = visit->first->hostname;
    return host && !strcasecmp(host, visit->site->base_host);
}

const char *pwk_visit_place(const pwk_visit *visit)
{
    const char *uri = visit->first->unparsed_uri;
    const char *host = ap_strstr_c(uri, "://");
    /* The absolute form of a request line (RFC 9112 §3.2.2) names a host first. */
    if (*uri != '/' && host) {
        uri = ap_strchr_c(host + 3, '/');
        if (!uri)
            return "/";
    }
    const char *query = strchr(uri, '?'), *rest;
    if (query && strstr(query, PWK_VISIT_MARK "=")) {
        rest = pwk_form_without(query + 1, PWK_VISIT_MARK, visit->first->pool);
        uri = apr_pstrcat(visit->first->pool, apr_pstrmemdup(visit->first->pool, uri, (apr_size_t)(query - uri)),
                          rest ? "?" : "", rest, NULL);
    }
    return pwk_url_local_or_root(uri, visit->first->pool);
}

/* Quality of `language` in Accept-Language, in thousandths; 0 when it is not there. */
static int quality(const char *accept, const char *language)
{
    int best = 0;
    while (*accept) {
        size_t len;
        int q = 1000;
        accept += strspn(accept, ", \t");
        len = strcspn(accept, ",");
        const char *end = accept + len, *weight = memchr(accept, ';', len);
        if (weight) {
            weight += 1 + strspn(weight + 1, " \t");
            if (end - weight >= 3 && (weight[0] | 32) == 'q' && weight[1] == '=')
                q = (int)(strtod(weight + 2, NULL) * 1000);
        }
        if (len >= 2 && !strncasecmp(accept, language, 2) && (len == 2 || !apr_isalnum(accept[2])) && q > best)
            best = q;
        accept = end;
    }
    return best;
}

const char *pwk_visit_language(const pwk_visit *visit, const pwk_dir *dir)
{
    const char *const *names, *chosen, *wanted = pwk_form_find(visit->first->args, "lang", visit->first->pool);
    int count = pwk_dir_languages(dir, &names), best = 0;
    chosen = names[0];
    for (int i = 0; i < count; i++) {
        int q = quality(header(visit, "Accept-Language"), names[i]);
        if (wanted && !strcmp(wanted, names[i]))
            return names[i];
        if (q > best) {
            best = q;
            chosen = names[i];
        }
    }
    return chosen;
}

pwk_sso2_visitor pwk_visit_visitor(const pwk_visit *visit, const char *sid)
{
    return (pwk_sso2_visitor){sid, visit->first->useragent_ip, header(visit, "User-Agent")};
}
