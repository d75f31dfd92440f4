#include "pwk_check.h"

#include <apr_dbd.h>
#include <apr_strings.h>
#include <http_core.h>
#include <string.h>
#include <sys/stat.h>
#include <unixd.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_url.h"
#include "pwk_pages.h"

#ifndef PWK_PAGES_DIR
#define PWK_PAGES_DIR "/usr/local/share/payway_klarna/pages"
#endif

/* Payway's own hosts (payway-api §1); the portal's name starts with the organisation. */
static const struct {
    const char *environment, *api, *sso, *portal;
} environments[] = {
    {"stage", "https://payway-api.stage.adeprimo.se", "https://payway-sso-stage.azurewebsites.net",
     "https://%s.payway-portal.stage.adeprimo.se"},
    {"production", "https://backend.worldoftulo.com", "https://sso.worldoftulo.com",
     "https://%s.portal.worldoftulo.com"},
};

/* One reading of the checks: where messages go, and whether any was an error. */
typedef struct {
    apr_pool_t *p;
    server_rec *server;
    int errors;
} checking;

static const char *where(const checking *c)
{
    const server_rec *s = c->server;
    return s->is_virtual ? apr_psprintf(c->p, "virtual host %s (%s:%u)", s->server_hostname ? s->server_hostname : "-",
                                        s->defn_name ? s->defn_name : "-", s->defn_line_number)
                         : "main server";
}

/* One line each. An error keeps httpd from starting. */
static void fail(checking *c, const char *id, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void warn(const checking *c, const char *id, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void fail(checking *c, const char *id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ap_log_error(APLOG_MARK, APLOG_EMERG | APLOG_STARTUP, 0, c->server, "%s%s: %s", id, where(c),
                 apr_pvsprintf(c->p, format, args));
    va_end(args);
    c->errors++;
}

static void warn(const checking *c, const char *id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, c->server, "%s%s: %s", id, where(c), apr_pvsprintf(c->p, format, args));
    va_end(args);
}

/* ---- the members of a site ---- */

static void resolve_hosts(checking *c, pwk_site *site, const pwk_server *server)
{
    site->api = server->api;
    site->sso = server->sso;
    site->portal = server->portal;
    for (size_t i = 0; server->environment && i < sizeof(environments) / sizeof(*environments); i++) {
        if (strcmp(server->environment, environments[i].environment))
            continue;
        site->api = site->api ? site->api : environments[i].api;
        site->sso = site->sso ? site->sso : environments[i].sso;
        if (!site->portal && server->organisation)
            site->portal =
                apr_pstrcat(c->p, "https://", server->organisation, strchr(environments[i].portal, '.'), NULL);
    }
    if (!site->api || !site->sso || !site->portal)
        fail(c, PWKLOG(0110),
             "PaywayEnvironment (stage or production) is missing; or give PaywayAPI, PaywaySSO and PaywayPortal");
}

static void resolve_base(checking *c, pwk_site *site, const pwk_server *server)
{
    const char *why, *url = server->base_url;
    if (!url) {
        /* ServerName may carry a scheme and a port (behind a terminator of TLS). */
        const server_rec *s = c->server;
        int odd_port = s->port && s->port != 443 && s->port != 80;
        if (!s->defn_name && !s->server_hostname)
            url = NULL;
        else if (odd_port)
            url = apr_psprintf(c->p, "https://%s:%u", s->server_hostname, (unsigned)s->port);
        else
            url = apr_pstrcat(c->p, "https://", s->server_hostname, NULL);
        if (!url || pwk_url_base(&url, &why, url, c->p) != APR_SUCCESS) {
            fail(c, PWKLOG(0111),
                 "PaywayBaseURL is missing, and ServerName makes none: write PaywayBaseURL https://www.example.se");
            return;
        }
    }
    site->base_url = url;
    site->origin = pwk_url_origin(url, c->p);
    site->base_host = pwk_url_host(url, c->p);
    site->secure = !strcmp(pwk_url_scheme(url), "https");
    if (strcmp(site->origin, site->base_url))
        fail(c, PWKLOG(0112),
             "PaywayBaseURL %s has a path: the module serves whole sites; PaywayPath moves its own URLs", url);
    /* Browsers take __Host- cookies from https alone; plain http is this machine's own. */
    site->cookie = site->secure ? "__Host-payway" : "payway";
    site->login_cookie = site->secure ? "__Host-payway-login" : "payway-login";
    site->own_cookies[0] = site->cookie;
    site->own_cookies[1] = site->login_cookie;
    site->resume_cookie = site->secure ? "__Host-payway-resume" : "payway-resume";
    site->own_cookies[2] = site->resume_cookie;
    site->own_cookies[3] = NULL;
}

static void make_seal(checking *c, pwk_site *site, const pwk_server *server)
{
    apr_status_t rv;
    if (!server->crypto_key) {
        fail(c, PWKLOG(0113),
             "PaywayCryptoKey is missing: make a key with `openssl rand -base64 48` and write PaywayCryptoKey "
             "file:PATH");
        return;
    }
    site->context = apr_pstrcat(c->p, "1\n", site->base_url, "\n", site->client.organisation, "\n",
                                site->client.client_id, "\n", site->api, "\n", site->sso, NULL);
    rv = pwk_seal_create(&site->seal, server->crypto_key, server->crypto_previous, site->context, apr_time_now(), c->p);
    if (rv != APR_SUCCESS)
        fail(c, PWKLOG(0114), "PaywayCryptoKey cannot be used: libcrypto refused it");
}

static const char *const templates[] = {"wall.shtml",     "offer.shtml", "login.shtml",
                                        "logout.shtml",   "error.shtml", "purchase.shtml",
                                        "category.shtml", "wait.shtml",  "confirm.shtml"};

static void find_pages(checking *c, pwk_site *site, const pwk_server *server)
{
    site->pages = server->pages ? server->pages : PWK_PAGES_DIR;
    site->page_dir = pwk_pages_dir(c->p);
    for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++) {
        apr_finfo_t info;
        const char *path = apr_pstrcat(c->p, site->pages, "/", templates[i], NULL);
        if (apr_stat(&info, path, APR_FINFO_TYPE, c->p) != APR_SUCCESS || info.filetype != APR_REG) {
            fail(
                c, PWKLOG(0115),
                "PaywayPages: %s is missing or cannot be read: copy the installed pages there, or name their directory",
                path);
            return;
        }
    }
}

/* Whether the user that children run as may make files in `dir`. */
static int child_can_write(const char *dir)
{
    struct stat info;
    if (stat(dir, &info) || !S_ISDIR(info.st_mode))
        return 0;
    if (geteuid() != 0)
        return access(dir, W_OK | X_OK) == 0;
    if (ap_unixd_config.user_id == 0)
        return 1;
    if (info.st_uid == ap_unixd_config.user_id)
        return (info.st_mode & (S_IWUSR | S_IXUSR)) == (S_IWUSR | S_IXUSR);
    if (info.st_gid == ap_unixd_config.group_id)
        return (info.st_mode & (S_IWGRP | S_IXGRP)) == (S_IWGRP | S_IXGRP);
    return (info.st_mode & (S_IWOTH | S_IXOTH)) == (S_IWOTH | S_IXOTH);
}

static void check_ledger(checking *c, const pwk_site *site, const pwk_server *server)
{
    const apr_dbd_driver_t *driver;
    const char *dir;
    if (!server->ledger_driver) {
        if (site->offers->nelts)
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, c->server,
                         PWKLOG(0131) "%s: PaywayLedger is missing: nothing is sold here, the buttons lead to the "
                                      "portal's shop",
                         where(c));
        return;
    }
    apr_dbd_init(c->p);
    if (apr_dbd_get_driver(c->p, server->ledger_driver, &driver) != APR_SUCCESS) {
        fail(c, PWKLOG(0132), "PaywayLedger %s: APR has no such driver: install it (Debian: libaprutil1-dbd-%s)",
             server->ledger_driver, server->ledger_driver);
        return;
    }
    if (!site->terms_url || !site->privacy_url || !site->withdrawal_url)
        warn(c, PWKLOG(0133),
             "PaywayTermsURL, PaywayPrivacyURL and PaywayWithdrawalURL: a reader must find all three at the order "
             "button");
    if (strcmp(server->ledger_driver, "sqlite3"))
        return;
    dir = ap_make_dirstr_parent(c->p, server->ledger_params);
    if (!child_can_write(dir))
        fail(c, PWKLOG(0116),
             "PaywayLedger: the server's user (%s) cannot write to %s: make the directory, and chown it to that user",
             ap_unixd_config.user_name ? ap_unixd_config.user_name : "-", dir);
}

/* ---- Require lines ---- */

/* The value of `directive` in this section alone. */
static const ap_directive_t *stated(const ap_directive_t *first, const char *directive)
{
    for (; first; first = first->next) {
        if (!strcasecmp(first->directive, directive))
            return first;
    }
    return NULL;
}

static int is_section(const ap_directive_t *at)
{
    return !strncasecmp(at->directive, "<Location", 9) || !strncasecmp(at->directive, "<Directory", 10)
           || !strncasecmp(at->directive, "<Files", 6) || !strncasecmp(at->directive, "<Proxy", 6);
}

/* The section that a Require stands in, out of <RequireAny> and the like; NULL for a server's own level. */
static const ap_directive_t *section_of(const ap_directive_t *at)
{
    for (at = at->parent; at && !is_section(at); at = at->parent)
        ;
    return at;
}

/* Whether a section elsewhere in the tree covers `section` (same kind, a path that it lies under) and states
 * AuthType. */
static int covered(const ap_directive_t *tree, const ap_directive_t *section, apr_pool_t *p)
{
    for (; tree; tree = tree->next) {
        if (is_section(tree) && !strcasecmp(tree->directive, section->directive)
            && stated(tree->first_child, "AuthType")) {
            const char *outer_args = tree->args, *inner_args = section->args;
            const char *outer = ap_getword_conf(p, &outer_args), *inner = ap_getword_conf(p, &inner_args);
            size_t len = strlen(outer);
            if (len && outer[len - 1] == '>')
                len--;
            if (!strncmp(inner, outer, len))
                return 1;
        }
        if (tree->first_child && covered(tree->first_child, section, p))
            return 1;
    }
    return 0;
}

/* Without an AuthType httpd answers 500 to everybody, payers included (httpd-notes L6). */
static void check_auth_type(checking *c, const pwk_require *require)
{
    const ap_directive_t *at = require->directive, *section = section_of(at);
    /* An alias stands in no section; the Require line that uses it does, and says so at run time. */
    if (!strcasecmp(at->directive, "<AuthzProviderAlias"))
        return;
    for (const ap_directive_t *up = at->parent; up; up = up->parent) {
        if (stated(up->first_child, "AuthType"))
            return;
    }
    if (stated(ap_conftree, "AuthType") || (section && covered(ap_conftree, section, c->p)))
        return;
    fail(c, PWKLOG(0117), "Require payway-... at %s:%d has no AuthType: write AuthType Payway beside it", at->filename,
         at->line_num);
}

static void add_named(apr_array_header_t *named, const char *code)
{
    for (int i = 0; i < named->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(named, i, const char *), code))
            return;
    }
    APR_ARRAY_PUSH(named, const char *) = code;
}

/* Main server's Require lines hold in every virtual host. */
static int concerns(const pwk_require *require, const server_rec *s)
{
    return require->server == s || !require->server->is_virtual;
}

static void check_products(checking *c, pwk_site *site)
{
    const apr_array_header_t *requires = pwk_config_reading()->requires;
    size_t bytes = 0;
    site->named = apr_array_make(c->p, 8, sizeof(const char *));
    for (int i = 0; i < requires->nelts; i++) {
        const pwk_require *require = APR_ARRAY_IDX(requires, i, pwk_require *);
        for (int j = 0; concerns(require, c->server) && j < require->requirement.count; j++)
            add_named(site->named, require->requirement.codes[j]);
    }
    for (int i = 0; i < site->offers->nelts; i++) {
        const apr_array_header_t *products = APR_ARRAY_IDX(site->offers, i, pwk_offer *)->products;
        for (int j = 0; j < products->nelts; j++)
            add_named(site->named, APR_ARRAY_IDX(products, j, const char *));
    }
    for (int i = 0; i < site->named->nelts; i++)
        bytes += strlen(APR_ARRAY_IDX(site->named, i, const char *));
    if (site->named->nelts > PWK_PRODUCTS_MAX || bytes > PWK_PRODUCTS_BYTES_MAX)
        fail(c, PWKLOG(0118),
             "%d product codes of %d bytes are named: %d of %d bytes are the most, since a reader's cookie holds them",
             site->named->nelts, (int)bytes, PWK_PRODUCTS_MAX, PWK_PRODUCTS_BYTES_MAX);
    site->named_hash = pwk_reader_named(site->named);
}

/* A wall without an offer is a dead end: said, not refused, since some places are for subscribers of old. */
static void check_offers(checking *c, const pwk_site *site)
{
    const apr_array_header_t *requires = pwk_config_reading()->requires;
    for (int i = 0; i < requires->nelts; i++) {
        const pwk_require *require = APR_ARRAY_IDX(requires, i, pwk_require *);
        int sold = !require->requirement.codes;
        for (int j = 0; j < site->offers->nelts && !sold; j++)
            sold = pwk_offer_opens(APR_ARRAY_IDX(site->offers, j, pwk_offer *), require->requirement.codes,
                                   require->requirement.count);
        if (concerns(require, c->server) && !sold)
            warn(c, PWKLOG(0119),
                 "no PaywayOffer gives the product of Require payway-product %s (%s:%d): its wall has nothing to sell",
                 require->requirement.codes[0], require->directive->filename, require->directive->line_num);
    }
}

static void check_offer_names(checking *c, const pwk_site *site, const ap_directive_t *at)
{
    for (; at; at = at->next) {
        if (!strcasecmp(at->directive, "PaywayOffers")) {
            const char *words = at->args;
            for (const char *name = ap_getword_conf(c->p, &words); *name; name = ap_getword_conf(c->p, &words)) {
                int known = 0;
                for (int i = 0; i < site->offers->nelts && !known; i++)
                    known = !strcmp(APR_ARRAY_IDX(site->offers, i, pwk_offer *)->name, name);
                if (!known)
                    fail(c, PWKLOG(0120), "PaywayOffers at %s:%d names %s, and there is no PaywayOffer %s",
                         at->filename, at->line_num, name, name);
            }
        }
        if (at->first_child)
            check_offer_names(c, site, at->first_child);
    }
}

/* The part of the tree that is `s`'s own; NULL when it cannot be told. */
static const ap_directive_t *subtree_of(const server_rec *s)
{
    for (const ap_directive_t *at = ap_conftree; at && s->is_virtual; at = at->next) {
        if (!strcasecmp(at->directive, "<VirtualHost") && at->line_num == (int)s->defn_line_number && s->defn_name
            && !strcmp(at->filename, s->defn_name))
            return at->first_child;
    }
    return NULL;
}

/* Vendor's rule (payway-api §5.4): production is not polled more often than every 360 s. */
static void check_intervals(checking *c, const pwk_server *server, const ap_directive_t *at)
{
    for (; at; at = at->next) {
        apr_interval_time_t time;
        if (!strcasecmp(at->directive, "PaywayRefreshInterval") && server->environment
            && !strcmp(server->environment, "production")
            && ap_timeout_parameter_parse(at->args, &time, "s") == APR_SUCCESS && time < apr_time_from_sec(360))
            fail(c, PWKLOG(0121), "PaywayRefreshInterval %s at %s:%d: Payway asks for no less than 360s in production",
                 at->args, at->filename, at->line_num);
        if (at->first_child)
            check_intervals(c, server, at->first_child);
    }
}

/* ---- what would open what was meant to be closed ---- */

static void check_openings(checking *c, const ap_directive_t *at)
{
    for (; at; at = at->next) {
        if (!strcasecmp(at->directive, "CacheEnable") || !strcasecmp(at->directive, "CacheQuickHandler"))
            continue;
        if ((!strcasecmp(at->directive, "CacheStorePrivate") || !strcasecmp(at->directive, "CacheStoreNoStore"))
            && !strncasecmp(at->args, "on", 2))
            fail(c, PWKLOG(0122), "%s On at %s:%d would let mod_cache hand paid pages to everybody: remove it",
                 at->directive, at->filename, at->line_num);
        if (!strcasecmp(at->directive, "Satisfy") && !strncasecmp(at->args, "any", 3))
            warn(c, PWKLOG(0123), "Satisfy Any at %s:%d lets whoever an Allow line admits read without paying",
                 at->filename, at->line_num);
        if (!strcasecmp(at->directive, "AllowOverride")
            && (strstr(at->args, "AuthConfig") || !strcasecmp(at->args, "All")))
            warn(c, PWKLOG(0124), "AllowOverride %s at %s:%d lets a .htaccess open what a section closed", at->args,
                 at->filename, at->line_num);
        if (at->first_child)
            check_openings(c, at->first_child);
    }
}

/* ---- one server ---- */

static int is_ours(const pwk_server *server)
{
    return server->organisation || server->client_id || server->crypto_key;
}

static apr_array_header_t *klarnas_hosts(apr_pool_t *p)
{
    apr_array_header_t *hosts = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(hosts, const char *) = "*.klarna.com";
    return hosts;
}

static void make_site(checking *c)
{
    pwk_server *server = pwk_config_server(c->server);
    pwk_site *site = apr_pcalloc(c->p, sizeof(*site));
    const ap_directive_t *tree;
    if (!server->organisation)
        fail(c, PWKLOG(0125), "PaywayOrganisation is missing: your organisation's id in Payway");
    if (!server->client_id)
        fail(c, PWKLOG(0126), "PaywayClient is missing: id and secret of the API user in Payway Admin");
    site->server = c->server;
    site->client = (pwk_sso2_client){server->client_id, server->client_secret, server->organisation};
    site->path = server->path ? server->path : "/payway";
    site->offers = server->offers ? server->offers : apr_array_make(c->p, 1, sizeof(pwk_offer *));
    site->identify = server->identify == -1 ? PWK_IDENTIFY_WALL : server->identify;
    site->login = server->login == -1 ? PWK_LOGIN_PORTAL : server->login;
    site->timeout = server->timeout == -1 ? apr_time_from_sec(10) : server->timeout;
    site->connect_timeout = server->connect_timeout == -1 ? apr_time_from_sec(2) : server->connect_timeout;
    site->order_timeout = server->order_timeout == -1 ? apr_time_from_sec(60) : server->order_timeout;
    site->ledger_driver = server->ledger_driver;
    site->ledger_params = server->ledger_params;
    site->klarna_sdk = server->klarna_sdk ? server->klarna_sdk : "https://x.klarnacdn.net/kp/lib/v1/api.js";
    site->klarna_hosts = server->klarna_hosts ? server->klarna_hosts : apr_array_make(c->p, 1, sizeof(const char *));
    site->redirect_hosts = server->redirect_hosts ? server->redirect_hosts : klarnas_hosts(c->p);
    site->ca_file = server->ca_file;
    site->http_proxy = server->http_proxy;
    site->terms_url = server->terms_url;
    site->privacy_url = server->privacy_url;
    site->withdrawal_url = server->withdrawal_url;
    resolve_hosts(c, site, server);
    resolve_base(c, site, server);
    site->environment = server->environment ? server->environment : "custom"; /* an address may change */
    if (!server->crypto_key || !c->errors)
        make_seal(c, site, server);
    find_pages(c, site, server);
    check_ledger(c, site, server);
    check_products(c, site);
    check_offers(c, site);
    tree = subtree_of(c->server);
    check_offer_names(c, site, tree);
    check_intervals(c, server, tree);
    if (!pwk_config_reading()->cache_provider)
        warn(c, PWKLOG(0127),
             "PaywayCache is missing: tokens, prices and renewed readers are fetched by each child anew; write "
             "PaywayCache shmcb:...");
    if (site->ca_file) {
        apr_finfo_t info;
        if (apr_stat(&info, site->ca_file, APR_FINFO_TYPE, c->p) != APR_SUCCESS)
            fail(c, PWKLOG(0128), "PaywayCACertificateFile: %s cannot be read", site->ca_file);
    }
    server->site = site;
}

/* "One purchase at a time" holds within a ledger: two titles of one organisation that keep theirs apart can sell a reader the
 * same thing twice. */
static void check_neighbours(server_rec *s, apr_pool_t *p)
{
    for (server_rec *at = s; at; at = at->next) {
        const pwk_site *site = pwk_config_site(at);
        for (server_rec *before = s; site && site->ledger_driver && before != at; before = before->next) {
            const pwk_site *other = pwk_config_site(before);
            checking one = {p, at, 0};
            if (!other || !other->ledger_driver || strcmp(other->client.organisation, site->client.organisation)
                || strcmp(other->api, site->api)
                || (!strcmp(other->ledger_driver, site->ledger_driver)
                    && !strcmp(other->ledger_params, site->ledger_params)))
                continue;
            warn(&one, PWKLOG(0134),
                 "PaywayLedger is another than that of %s, which sells for the same organisation %s: a reader can be "
                 "charged at both at the same time; give both the same ledger",
                 other->base_url, site->client.organisation);
            break;
        }
    }
}

int pwk_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const apr_array_header_t *requires = pwk_config_reading()->requires;
    checking all = {pconf, s, 0};
    int sites = 0;
    (void)plog;
    (void)ptemp;
    for (server_rec *at = s; at; at = at->next) {
        checking one = {pconf, at, 0};
        /* The main server's directives are defaults for virtual hosts; it is a site of its own only without any. */
        if (!is_ours(pwk_config_server(at)) || (!at->is_virtual && s->next && !pwk_config_server(at)->client_id))
            continue;
        make_site(&one);
        all.errors += one.errors;
        sites++;
    }
    for (int i = 0; i < requires->nelts; i++) {
        const pwk_require *require = APR_ARRAY_IDX(requires, i, pwk_require *);
        checking one = {pconf, require->server, 0};
        check_auth_type(&one, require);
        if (require->server->is_virtual && !is_ours(pwk_config_server(require->server)))
            fail(&one, PWKLOG(0129),
                 "Require payway-... at %s:%d: this virtual host has no PaywayOrganisation and PaywayClient",
                 require->directive->filename, require->directive->line_num);
        all.errors += one.errors;
    }
    if (!all.errors)
        check_neighbours(s, pconf);
    if (sites || requires->nelts)
        check_openings(&all, ap_conftree);
    if (sites && !pwk_pages_can_render())
        fail(&all, PWKLOG(0130),
             "mod_include is not loaded, and it draws the pages: a2enmod include, or LoadModule include_module");
    return all.errors ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
