#include "pwk_pages.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_include.h>
#include <string.h>

#include "../core/pwk_form.h"
#include "../core/pwk_json.h"
#include "../core/pwk_klarna.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"

/* ---- our SSI element ---- */

static APR_OPTIONAL_FN_TYPE(ap_ssi_get_tag_and_value) * get_tag_and_value;

/* Runs `fragment` once with the page's variables and those that `fill` adds. A copy of the environment: a fragment's
 * variables are its own. */
static apr_status_t run_fragment(ap_filter_t *f, const pwk_page *page, const char *fragment, apr_table_t *env)
{
    request_rec *rr = ap_sub_req_lookup_file(fragment, f->r, f->next);
    if (rr->status != HTTP_OK || !pwk_gate_of(rr)->page) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->r,
                      PWKLOG(0070) "the fragment %s of %s cannot be read: is it in PaywayPages?", fragment,
                      page->template_name);
        ap_destroy_sub_req(rr);
        return APR_SUCCESS;
    }
    pwk_gate_of(rr)->page = page;
    rr->subprocess_env = env;
    /* Not destroyed: buckets of it may still be on their way. */
    return ap_run_sub_req(rr) == OK ? APR_SUCCESS : APR_EGENERAL;
}

static apr_status_t repeat_offers(ap_filter_t *f, const pwk_page *page, const char *fragment)
{
    apr_pool_t *p = f->r->pool;
    for (int i = 0; page->offers && i < page->offers->nelts; i++) {
        pwk_page *one = apr_pmemdup(p, page, sizeof(*page));
        apr_table_t *env = apr_table_copy(p, f->r->subprocess_env);
        one->offer = &APR_ARRAY_IDX(page->offers, i, pwk_offer_shown);
        pwk_facts_offer(env, one->offer, page->language, p);
        apr_table_setn(env, "OFFER_SALE", page->sale);
        apr_table_setn(env, "OFFER_BUY_URL", pwk_pages_url(f->r, page->site, "/buy"));
        run_fragment(f, one, fragment, env);
    }
    return APR_SUCCESS;
}

static apr_status_t repeat_periods(ap_filter_t *f, const pwk_page *page, const char *fragment)
{
    for (int i = 0; page->offer && i < page->offer->periods->nelts; i++) {
        apr_table_t *env = apr_table_copy(f->r->pool, f->r->subprocess_env);
        pwk_facts_period(env, page->offer, i, page->language, f->r->pool);
        run_fragment(f, page, fragment, env);
    }
    return APR_SUCCESS;
}

static apr_status_t repeat_languages(ap_filter_t *f, const pwk_page *page, const char *fragment)
{
    const char *const *names;
    const char *place = pwk_visit_place(pwk_visit_of(f->r)), *query = strchr(place, '?');
    apr_pool_t *p = f->r->pool;
    const char *path = query ? apr_pstrmemdup(p, place, (apr_size_t)(query - place)) : place;
    const char *rest = query ? pwk_form_without(query + 1, "lang", p) : NULL;
    int count = pwk_dir_languages(page->dir, &names);
    for (int i = 0; count > 1 && i < count; i++) {
        apr_table_t *env = apr_table_copy(p, f->r->subprocess_env);
        apr_table_setn(env, "LANGUAGE", names[i]);
        apr_table_setn(env, "LANGUAGE_URL",
                       apr_pstrcat(p, path, "?", rest ? rest : "", rest ? "&" : "", "lang=", names[i], NULL));
        if (!strcmp(names[i], page->language))
            apr_table_setn(env, "LANGUAGE_CURRENT", "1");
        run_fragment(f, page, fragment, env);
    }
    return APR_SUCCESS;
}

/* One category alone is not a choice: no radio button, and it is the one. Without any the widget shows what it has. */
static apr_status_t repeat_categories(ap_filter_t *f, const pwk_page *page, const char *fragment)
{
    apr_pool_t *p = f->r->pool;
    int chosen = 0;
    for (int i = 0; page->categories && i < page->categories->nelts; i++) {
        const pwk_klarna_category *category = &APR_ARRAY_IDX(page->categories, i, pwk_klarna_category);
        apr_table_t *env = apr_table_copy(p, f->r->subprocess_env);
        apr_table_setn(env, "CATEGORY_ID", category->identifier);
        apr_table_setn(env, "CATEGORY_NAME", pwk_text_clean(category->name, PWK_TEXT_MAX, p));
        apr_table_setn(env, "CATEGORY_LOGO", category->logo);
        apr_table_setn(env, "CATEGORY_INPUT_ID", apr_psprintf(p, "payway-category-%d", i));
        apr_table_setn(env, "CATEGORY_CONTAINER_ID", apr_psprintf(p, "payway-klarna-%d", i));
        if (page->categories->nelts == 1 || (!chosen && !pwk_klarna_is_credit(category->identifier))) {
            apr_table_setn(env, "CATEGORY_CHECKED", "1");
            chosen = 1;
        }
        run_fragment(f, page, fragment, env);
    }
    return APR_SUCCESS;
}

static const struct {
    const char *name;
    apr_status_t (*repeat)(ap_filter_t *f, const pwk_page *page, const char *fragment);
} lists[] = {{"offers", repeat_offers},
             {"periods", repeat_periods},
             {"languages", repeat_languages},
             {"categories", repeat_categories}};

/* `<!--#payway offers="offer.shtml" -->`: repeats a fragment for each of a list. */
static apr_status_t element(include_ctx_t *ctx, ap_filter_t *f, apr_bucket_brigade *bb)
{
    const pwk_page *page = pwk_gate_of(f->r)->page;
    if (!(ctx->flags & SSI_FLAG_PRINTING))
        return APR_SUCCESS;
    while (page) {
        char *tag = NULL, *fragment = NULL;
        int known = 0;
        get_tag_and_value(ctx, &tag, &fragment, SSI_VALUE_DECODED);
        if (!tag || !fragment)
            return APR_SUCCESS;
        for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
            if (!strcmp(tag, lists[i].name)) {
                known = 1;
                lists[i].repeat(f, page, fragment);
            }
        }
        if (!known) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->r,
                          PWKLOG(0071) "%s: #payway has no list \"%s\": use offers, periods, languages or categories",
                          f->r->filename, tag);
            SSI_CREATE_ERROR_BUCKET(ctx, f, bb);
            return APR_SUCCESS;
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, f->r, PWKLOG(0072) "%s: #payway works in this module's pages only",
                  f->r->filename);
    SSI_CREATE_ERROR_BUCKET(ctx, f, bb);
    return APR_SUCCESS;
}

int pwk_pages_can_render(void)
{
    return APR_RETRIEVE_OPTIONAL_FN(ap_register_include_handler) != NULL;
}

void pwk_pages_init(apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_register_include_handler) *registrar =
        APR_RETRIEVE_OPTIONAL_FN(ap_register_include_handler);
    get_tag_and_value = APR_RETRIEVE_OPTIONAL_FN(ap_ssi_get_tag_and_value);
    if (registrar && get_tag_and_value)
        registrar(apr_pstrdup(pconf, "payway"), element);
}

/* Includes without exec, whatever the publisher's sections say: our pages have a configuration of their own. */
ap_conf_vector_t *pwk_pages_dir(apr_pool_t *pconf)
{
    ap_conf_vector_t *vector = ap_create_per_dir_config(pconf);
    core_dir_config *core = core_module.create_dir_config(pconf, NULL);
    core->opts = OPT_INCLUDES | OPT_SYM_LINKS;
    core->override = OR_NONE;
    ap_set_core_module_config(vector, core);
    return vector;
}

/* ---- fragments ---- */

static int is_in_pages(const request_rec *r, const pwk_site *site)
{
    size_t len = strlen(site->pages);
    return r->filename && !strncmp(r->filename, site->pages, len) && r->filename[len] == '/' && r->filename[len + 1]
           && !strchr(r->filename + len + 1, '/');
}

int pwk_pages_map(request_rec *r)
{
    const pwk_page *page = r->main ? pwk_gate_of(r->main)->page : NULL;
    if (!page || !is_in_pages(r, page->site))
        return DECLINED;
    pwk_gate_of(r)->page = page;
    r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->per_dir_config, page->site->page_dir);
    return OK;
}

/* ---- answers ---- */

/* Sends r->filename through mod_include. No default handler: no ETag, no Last-Modified, no 304. */
static int send_template(request_rec *r, const pwk_page *page)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_file_t *file;
    apr_status_t rv = apr_file_open(&file, r->filename, APR_READ, APR_OS_DEFAULT, r->pool);
    if (rv == APR_SUCCESS)
        rv = apr_file_info_get(&r->finfo, APR_FINFO_NORM, file);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      PWKLOG(0073) "the template %s cannot be read: is PaywayPages right?", r->filename);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    /* A fragment got its configuration in map_to_storage; merging it once more changes nothing. */
    r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->per_dir_config, page->site->page_dir);
    ap_add_output_filter("INCLUDES", NULL, r, r->connection);
    apr_brigade_insert_file(bb, file, 0, r->finfo.size, r->pool);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    rv = ap_pass_brigade(r->output_filters, bb);
    return rv == APR_SUCCESS || r->connection->aborted ? OK : AP_FILTER_ERROR;
}

int pwk_pages_send_fragment(request_rec *r)
{
    ap_set_content_type(r, "text/html; charset=utf-8");
    return send_template(r, pwk_gate_of(r)->page);
}

void pwk_pages_headers(request_rec *r, const pwk_site *site)
{
    apr_table_t *headers = r->headers_out;
    const char *portal = pwk_url_origin(site->portal, r->pool), *sso = pwk_url_origin(site->sso, r->pool);
    apr_table_unset(r->headers_in, "Range");
    apr_table_setn(
        headers, "Content-Security-Policy",
        apr_pstrcat(r->pool,
                    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; script-src 'self'; "
                    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ",
                    portal, " ", sso, NULL));
    apr_table_setn(headers, "X-Frame-Options", "DENY");
    apr_table_setn(headers, "X-Content-Type-Options", "nosniff");
    apr_table_setn(headers, "Referrer-Policy", "same-origin");
    apr_table_setn(headers, "Cross-Origin-Opener-Policy", "same-origin-allow-popups");
    r->no_local_copy = 1;
    r->no_cache = 1;
}

int pwk_pages_send(request_rec *r, pwk_page *page)
{
    r->status = page->status;
    r->status_line = NULL;
    r->filename = apr_pstrcat(r->pool, page->site->pages, "/", page->template_name, NULL);
    r->path_info = NULL;
    ap_set_content_type(r, "text/html; charset=utf-8");
    apr_table_setn(r->headers_out, "Content-Language", page->language);
    apr_table_mergen(r->headers_out, "Vary", "Accept-Language");
    pwk_pages_headers(r, page->site);
    if (page->policy)
        apr_table_setn(r->headers_out, "Content-Security-Policy", page->policy);
    pwk_gate_of(r)->page = page;
    r->subprocess_env = apr_table_overlay(r->pool, r->subprocess_env, page->vars);
    return send_template(r, page);
}

const char *pwk_pages_url(request_rec *r, const pwk_site *site, const char *rest)
{
    return apr_pstrcat(r->pool, site->base_url, site->path, rest, NULL);
}

void pwk_pages_set(pwk_page *page, const char *name, const char *value)
{
    if (value && *value)
        apr_table_setn(page->vars, name, value);
}

pwk_page *pwk_pages_make(request_rec *r, pwk_visit *visit, const char *template_name, int status, const char *place)
{
    const pwk_site *site = visit->site;
    /* A wall is drawn in the words of the location that it stands in. */
    const pwk_dir *dir = pwk_config_dir(r->prev ? r->prev : r);
    const pwk_reader *reader = pwk_visit_reader(visit, dir);
    pwk_page *page = apr_pcalloc(r->pool, sizeof(*page));
    const char *query;
    page->site = site;
    page->dir = dir;
    page->template_name = template_name;
    page->status = status;
    page->language = pwk_visit_language(visit, dir);
    page->place = place ? place : pwk_visit_place(visit);
    page->sale = "";
    page->vars = apr_table_make(r->pool, 24);
    query = apr_pstrcat(r->pool, "?r=", pwk_text_urlencode(page->place, r->pool), NULL);
    pwk_pages_set(page, "PAYWAY_LANG", page->language);
    pwk_pages_set(page, "PAYWAY_PATH", site->path);
    pwk_pages_set(page, "PAYWAY_RETURN", page->place);
    pwk_pages_set(page, "PAYWAY_LOGIN_URL", pwk_pages_url(r, site, apr_pstrcat(r->pool, "/login", query, NULL)));
    pwk_pages_set(page, "PAYWAY_LOGOUT_URL", pwk_pages_url(r, site, apr_pstrcat(r->pool, "/logout", query, NULL)));
    pwk_pages_set(page, "PAYWAY_OFFERS_URL", pwk_pages_url(r, site, apr_pstrcat(r->pool, "/offers", query, NULL)));
    pwk_pages_set(page, "PAYWAY_ACCOUNT_URL", apr_pstrcat(r->pool, site->portal, "/", NULL));
    pwk_pages_set(page, "PAYWAY_TERMS_URL", site->terms_url);
    pwk_pages_set(page, "PAYWAY_PRIVACY_URL", site->privacy_url);
    pwk_pages_set(page, "PAYWAY_WITHDRAWAL_URL", site->withdrawal_url);
    pwk_pages_set(page, "PAYWAY_LOGGED_IN", reader && *reader->account ? "1" : NULL);
    pwk_pages_set(page, "PAYWAY_CSRF", reader ? pwk_seal_token(site->seal, "csrf", reader->sid, r->pool) : NULL);
    return page;
}

void pwk_pages_speak(pwk_page *page, request_rec *r, const char *language)
{
    const char *const *names;
    int count = pwk_dir_languages(page->dir, &names);
    for (int i = 0; i < count && !pwk_form_find(r->args, "lang", r->pool); i++) {
        if (!strcmp(names[i], language)) {
            page->language = names[i];
            pwk_pages_set(page, "PAYWAY_LANG", names[i]);
        }
    }
}

pwk_page *pwk_pages_make_error(request_rec *r, pwk_visit *visit, int status, const char *code, const char *place)
{
    pwk_page *page = pwk_pages_make(r, visit, "error.shtml", status, place ? place : "/");
    const char *incident = pwk_seal_random(6, r->pool);
    pwk_pages_set(page, "ERROR_CODE", code);
    pwk_pages_set(page, "ERROR_INCIDENT", incident);
    if (status == HTTP_SERVICE_UNAVAILABLE)
        apr_table_setn(r->err_headers_out, "Retry-After", "60");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0074) "error page %s, status %d, incident %s", code, status,
                  incident ? incident : "-");
    return page;
}

int pwk_pages_error(request_rec *r, pwk_visit *visit, int status, const char *code, const char *place)
{
    return pwk_pages_send(r, pwk_pages_make_error(r, visit, status, code, place));
}

int pwk_pages_json(request_rec *r, int status, const json_t *json)
{
    const char *text = pwk_json_dump(json, r->pool);
    r->status = status;
    r->status_line = NULL;
    ap_set_content_type(r, "application/json");
    pwk_pages_headers(r, pwk_config_site(r->server));
    ap_set_content_length(r, (apr_off_t)strlen(text));
    if (!r->header_only)
        ap_rputs(text, r);
    return OK;
}

int pwk_pages_redirect(request_rec *r, int status, const char *url)
{
    apr_table_setn(r->headers_out, "Location", url);
    apr_table_setn(r->err_headers_out, "Referrer-Policy", "no-referrer");
    return status;
}
