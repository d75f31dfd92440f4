#include "pwk_klarna.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"
#include "pwk_url.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define DIRECT_DEBIT "direct_debit"

/* --- the session in the ledger --- */

const char *pwk_klarna_write(const pwk_klarna_session *session, apr_pool_t *p)
{
    json_t *json = pwk_json_new(p);
    json_t *list = json_array();

    for (int i = 0; i < session->categories->nelts; i++) {
        const pwk_klarna_category *category = &APR_ARRAY_IDX(session->categories, i, pwk_klarna_category);
        json_t *member = json_object();

        json_object_set_new(member, "identifier", json_string(category->identifier));
        json_object_set_new(member, "name", json_string(category->name));
        json_object_set_new(member, "logo", json_string(category->logo));
        json_array_append_new(list, member);
    }
    json_object_set_new(json, "id", json_string(session->id));
    json_object_set_new(json, "client_token", json_string(session->client_token));
    json_object_set_new(json, "categories", list);
    return pwk_json_dump(json, p);
}

static int read_category(pwk_klarna_category *category, const json_t *member, apr_pool_t *p)
{
    category->identifier = pwk_json_text(member, "identifier", PWK_CODE_MAX, p);
    category->name = pwk_json_text(member, "name", PWK_TEXT_MAX, p);
    category->logo = pwk_json_text(member, "logo", PWK_URL_MAX, p);
    return json_object_size(member) == 3 && category->name && category->logo && category->identifier
           && pwk_text_is_code(category->identifier);
}

apr_status_t pwk_klarna_read(pwk_klarna_session *session, const char *text, apr_size_t len, apr_pool_t *p)
{
    pwk_klarna_session read = {.categories = apr_array_make(p, PWK_CATEGORIES_MAX, sizeof(pwk_klarna_category))};
    const json_t *list;
    json_t *json;

    if (pwk_json_object(&json, text, len, p).outcome != PWK_OK || json_object_size(json) != 3) {
        return APR_EINVAL;
    }
    read.id = pwk_json_text(json, "id", PWK_SESSION_ID_MAX, p);
    read.client_token = pwk_json_text(json, "client_token", PWK_CLIENT_TOKEN_MAX, p);
    list = json_object_get(json, "categories");
    if (!pwk_text_is_visible(read.id, PWK_SESSION_ID_MAX)
        || !pwk_text_is_visible(read.client_token, PWK_CLIENT_TOKEN_MAX) || !json_is_array(list)
        || json_array_size(list) > PWK_CATEGORIES_MAX) {
        return APR_EINVAL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!read_category(apr_array_push(read.categories), json_array_get(list, i), p)) {
            return APR_EINVAL;
        }
    }
    *session = read;
    return APR_SUCCESS;
}

/* --- categories --- */

/* An identifier that is not known counts as credit: what is never preselected can do no harm. "klarna" is the one category
 * of newer accounts, where the method is chosen inside Klarna's own window (klarna-sdk §2). */
int pwk_klarna_is_credit(const char *identifier)
{
    static const char *const others[] = {"pay_now", DIRECT_DEBIT, "direct_bank_transfer", "card", "klarna"};

    for (size_t i = 0; i < COUNT(others); i++) {
        if (strcmp(identifier, others[i]) == 0) {
            return 0;
        }
    }
    return 1;
}

/* The one of `list` that is called `identifier`; NULL: none. */
static const pwk_klarna_category *category_named(const apr_array_header_t *list, const char *identifier)
{
    for (int i = 0; i < list->nelts; i++) {
        const pwk_klarna_category *category = &APR_ARRAY_IDX(list, i, pwk_klarna_category);

        if (strcmp(category->identifier, identifier) == 0) {
            return category;
        }
    }
    return NULL;
}

/* Each once: two radio buttons of one name and value would be one. */
static void add_category(apr_array_header_t *list, const pwk_klarna_category *category)
{
    if (list->nelts < PWK_CATEGORIES_MAX && !category_named(list, category->identifier)) {
        APR_ARRAY_PUSH(list, pwk_klarna_category) = *category;
    }
}

/* `identifier` as the session knows it; one that it does not know bare, and only if `anyway`. */
static void add_named(apr_array_header_t *list, const pwk_klarna_session *session, const char *identifier, int anyway)
{
    const pwk_klarna_category bare = {.identifier = identifier, .name = "", .logo = ""};
    const pwk_klarna_category *known = category_named(session->categories, identifier);

    if (known || anyway) {
        add_category(list, known ? known : &bare);
    }
}

static void add_of_kind(apr_array_header_t *list, const pwk_klarna_session *session, int credit)
{
    for (int i = 0; i < session->categories->nelts; i++) {
        const pwk_klarna_category *category = &APR_ARRAY_IDX(session->categories, i, pwk_klarna_category);

        if (pwk_klarna_is_credit(category->identifier) == credit) {
            add_category(list, category);
        }
    }
}

apr_array_header_t *pwk_klarna_categories(const pwk_klarna_session *session, const apr_array_header_t *configured,
                                          int trial, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, PWK_CATEGORIES_MAX, sizeof(pwk_klarna_category));

    if (trial) {
        add_named(list, session, DIRECT_DEBIT, 1);
        return list;
    }
    for (int i = 0; configured && i < configured->nelts; i++) {
        add_named(list, session, APR_ARRAY_IDX(configured, i, const char *), session->categories->nelts == 0);
    }
    if (list->nelts == 0) {
        add_of_kind(list, session, 0);
        add_of_kind(list, session, 1);
    }
    return list;
}

/* --- hosts --- */

/* A host pattern, taken apart. */
typedef struct {
    int below;        /* "*." stood before the host */
    const char *host; /* "host[:port]" as it stands in a canonical URL of `scheme` */
} host_pattern;

/* What is wrong with `text`, or NULL. The rules for hosts and ports are those of pwk_url, and so is the spelling. */
static const char *read_pattern(host_pattern *pattern, const char *text, const char *scheme, apr_pool_t *p)
{
    const char *url, *why, *host;

    *pattern = (host_pattern){.host = ""};
    if (!text || !*text) {
        return "is empty";
    }
    if (strpbrk(text, "/?#@\\")) {
        return "is more than a host: write www.example.com, *.example.com or www.example.com:8443";
    }
    pattern->below = strncmp(text, "*.", 2) == 0;
    if (pwk_url_base(&url, &why, apr_pstrcat(p, scheme, "://", text + (pattern->below ? 2 : 0), NULL), p)
        != APR_SUCCESS) {
        return why;
    }
    pattern->host = url + strlen(scheme) + strlen("://");
    host = pwk_url_host(url, p);
    if (pattern->below && (*host == '[' || strspn(host, "0123456789.") == strlen(host))) {
        return "is an address: no host is below it";
    }
    if (pattern->below && !strchr(host, '.') && strcmp(host, "localhost") != 0) {
        return "is every host of a top-level domain";
    }
    return NULL;
}

/* Whether a port is written in `pattern`. */
static int names_port(const char *pattern)
{
    const char *colon = strrchr(pattern, ':');

    return colon && !strchr(colon, ']');
}

/* Whether `url`, a canonical one, is on the host that `text` means. */
static int is_on(const char *url, const char *text, apr_pool_t *p)
{
    const char *scheme = pwk_url_scheme(url);
    const char *host = pwk_url_origin(url, p) + strlen(scheme) + strlen("://");
    host_pattern pattern;
    size_t len, tail;

    if (read_pattern(&pattern, text, scheme, p)) {
        return 0;
    }
    if (!pattern.below) {
        /* http, which pwk_url lets through to a loopback address alone, must be meant: the port is said. */
        return strcmp(host, pattern.host) == 0 && (strcmp(scheme, "https") == 0 || names_port(text));
    }
    len = strlen(host);
    tail = strlen(pattern.host);
    return strcmp(scheme, "https") == 0 && len > tail + 1 && host[len - tail - 1] == '.'
           && strcmp(host + len - tail, pattern.host) == 0;
}

int pwk_klarna_may_redirect(const char *url, const apr_array_header_t *hosts, apr_pool_t *p)
{
    const char *canonical, *why;

    if (pwk_url_link(&canonical, &why, url, p) != APR_SUCCESS) {
        return 0;
    }
    for (int i = 0; i < hosts->nelts; i++) {
        if (is_on(canonical, APR_ARRAY_IDX(hosts, i, const char *), p)) {
            return 1;
        }
    }
    return 0;
}

const char *pwk_klarna_host_is_wrong(const char *text, apr_pool_t *p)
{
    host_pattern pattern;

    return read_pattern(&pattern, text, "https", p);
}

/* --- the policy --- */

/* Where sources come from, besides those of the directive itself. */
enum { FROM_SDK = 1, FROM_MORE = 2, FROM_FORMS = 4 };

/* In the order in which they are sent. Klarna's own advice (klarna-sdk §4) and threats §1.6; 'unsafe-inline' for styles is
 * Klarna's demand: the widget injects them. `scripts` is left out when the SDK is not Klarna's. */
static const struct policy_row {
    const char *name;
    const char *fixed;
    const char *scripts;
    unsigned int from;
} policy_rows[] = {
    {"default-src", "'none'", "", 0},
    {"script-src", "'self'", "https://x.klarnacdn.net https://js.klarna.com https://js.playground.klarna.com",
     FROM_SDK | FROM_MORE},
    {"style-src", "'self' 'unsafe-inline' https://x.klarnacdn.net", "", 0},
    {"font-src", "'self' https://x.klarnacdn.net", "", FROM_SDK | FROM_MORE},
    {"img-src",
     "'self' data: https://*.klarna.com https://x.klarnacdn.net https://*.klarnaevt.com https://*.klarnaservices.com",
     "", FROM_SDK | FROM_MORE},
    {"connect-src", "'self' https://*.klarna.com https://*.klarnaevt.com https://x.klarnacdn.net", "",
     FROM_SDK | FROM_MORE},
    {"frame-src", "https://*.klarna.com https://x.klarnacdn.net", "", FROM_SDK | FROM_MORE},
    {"form-action", "'self'", "", FROM_FORMS},
    {"base-uri", "'none'", "", 0},
    {"object-src", "'none'", "", 0},
    {"frame-ancestors", "'none'", "", 0},
};

/* Adds each word of `sources` that is not there yet. */
static void add_sources(apr_array_header_t *list, const char *sources, apr_pool_t *p)
{
    char *last;

    for (char *word = apr_strtok(apr_pstrdup(p, sources ? sources : ""), " ", &last); word;
         word = apr_strtok(NULL, " ", &last)) {
        int known = 0;

        for (int i = 0; i < list->nelts; i++) {
            known |= strcmp(APR_ARRAY_IDX(list, i, const char *), word) == 0;
        }
        if (!known) {
            APR_ARRAY_PUSH(list, const char *) = word;
        }
    }
}

/* Adds `hosts` as sources: over http too where pwk_klarna_may_redirect would let it through. */
static void add_hosts(apr_array_header_t *list, const apr_array_header_t *hosts, apr_pool_t *p)
{
    for (int i = 0; hosts && i < hosts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(hosts, i, const char *);
        host_pattern pattern;

        if (!read_pattern(&pattern, text, "https", p)) {
            add_sources(list, apr_pstrcat(p, "https://", pattern.below ? "*." : "", pattern.host, NULL), p);
        }
        if (names_port(text) && !read_pattern(&pattern, text, "http", p) && !pattern.below) {
            add_sources(list, apr_pstrcat(p, "http://", pattern.host, NULL), p);
        }
    }
}

static int is_klarnas(const char *url, apr_pool_t *p)
{
    return is_on(url, "*.klarnacdn.net", p) || is_on(url, "*.klarna.com", p);
}

const char *pwk_klarna_policy(const char *sdk, const apr_array_header_t *more, const char *forms,
                              const apr_array_header_t *redirects, apr_pool_t *p)
{
    const char *policy = "";

    for (size_t i = 0; i < COUNT(policy_rows); i++) {
        const struct policy_row *row = &policy_rows[i];
        apr_array_header_t *sources = apr_array_make(p, 8, sizeof(const char *));

        add_sources(sources, row->fixed, p);
        if (row->from & FROM_SDK) {
            add_sources(sources, pwk_url_origin(sdk, p), p);
        }
        if (is_klarnas(sdk, p)) {
            add_sources(sources, row->scripts, p);
        }
        if (row->from & FROM_MORE) {
            add_hosts(sources, more, p);
        }
        if (row->from & FROM_FORMS) {
            add_sources(sources, forms, p);
            add_hosts(sources, redirects, p);
        }
        policy = apr_pstrcat(p, policy, *policy ? "; " : "", row->name, " ", apr_array_pstrcat(p, sources, ' '), NULL);
    }
    return policy;
}

/* --- language --- */

/* The length of the subtag at `s`, which ends at '-' or at the tag's end; 0: it holds something else than letters. */
static size_t letters(const char *s)
{
    size_t len = 0;

    while (apr_isalpha(s[len])) {
        len++;
    }
    return s[len] && !strchr("-,; \t", s[len]) ? 0 : len;
}

static const char *in_case(const char *s, size_t len, int upper, apr_pool_t *p)
{
    char *text = apr_pstrmemdup(p, s, len);

    for (char *c = text; *c; c++) {
        *c = (char)(upper ? apr_toupper(*c) : apr_tolower(*c));
    }
    return text;
}

const char *pwk_klarna_language(const char *accept_language, const char *page, apr_pool_t *p)
{
    const char *language = accept_language ? accept_language + strspn(accept_language, " \t") : "";
    size_t len = letters(language), region_len;
    const char *region = len && language[len] == '-' ? language + len + 1 : "";

    region_len = letters(region);
    if (region_len == 4 && region[4] == '-') { /* a script: "zh-Hans-CN" */
        region += 5;
        region_len = letters(region);
    }
    if (len < 2 || len > 3 || region_len != 2) {
        return apr_pstrcat(p, page, "-SE", NULL);
    }
    return apr_pstrcat(p, in_case(language, len, 0, p), "-", in_case(region, 2, 1, p), NULL);
}
