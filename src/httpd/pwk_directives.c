#include "pwk_directives.h"

#include <ap_provider.h>
#include <ap_socache.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <stddef.h>

#include "../core/pwk_klarna.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "../core/pwk_url.h"
#include "pwk_secret.h"

/* "PaywayX: "value" is not ...": every complaint names directive and value, and says what to write. */
static const char *complain(cmd_parms *cmd, const char *value, const char *wrong)
{
    return apr_psprintf(cmd->pool, "%s: \"%s\" %s", cmd->cmd->name, value, wrong);
}

/* The member that a row of the table names by its offset. */
#define MEMBER(type, record, cmd) (*(type *)(void *)((char *)(record) + (size_t)(cmd)->info))

static pwk_server *server_of(cmd_parms *cmd)
{
    return pwk_config_server(cmd->server);
}

/* ---- values that several directives share ---- */

static const char *set_server_url(cmd_parms *cmd, void *dir, const char *value)
{
    const char *why;
    (void)dir;
    if (pwk_url_base(&MEMBER(const char *, server_of(cmd), cmd), &why, value, cmd->pool) != APR_SUCCESS)
        return complain(cmd, value, apr_pstrcat(cmd->pool, "is not a base URL: it ", why, NULL));
    return NULL;
}

static const char *set_server_link(cmd_parms *cmd, void *dir, const char *value)
{
    const char *why;
    (void)dir;
    if (pwk_url_link(&MEMBER(const char *, server_of(cmd), cmd), &why, value, cmd->pool) != APR_SUCCESS)
        return complain(cmd, value, apr_pstrcat(cmd->pool, "is not a link: it ", why, NULL));
    return NULL;
}

static const char *set_server_file(cmd_parms *cmd, void *dir, const char *value)
{
    const char *path = ap_server_root_relative(cmd->pool, value);
    (void)dir;
    if (!path)
        return complain(cmd, value, "is not a path");
    MEMBER(const char *, server_of(cmd), cmd) = path;
    return NULL;
}

static const char *set_dir_flag(cmd_parms *cmd, void *dir, int on)
{
    MEMBER(int, dir, cmd) = on;
    return NULL;
}

/* A time in `*time`, at least `min_s`; "10s", "500ms", "5min", "4h". */
static const char *read_time(cmd_parms *cmd, apr_interval_time_t *time, const char *value, apr_interval_time_t min)
{
    size_t len = strlen(value);
    if (!len || !apr_isdigit(*value) || apr_isdigit(value[len - 1])
        || ap_timeout_parameter_parse(value, time, "s") != APR_SUCCESS)
        return complain(cmd, value, "is not a time: use 10s, 500ms, 5min or 4h");
    if (*time < min || *time > apr_time_from_sec(PWK_READER_LIFE_S))
        return complain(cmd, value, apr_psprintf(cmd->pool, "is outside %dms to 30 days", (int)apr_time_as_msec(min)));
    return NULL;
}

/* Words of a list that replaces what stood before in this section; each read by `judge`. */
static const char *add_word(cmd_parms *cmd, apr_array_header_t **list, const char *value, const char *wrong)
{
    if (wrong)
        return complain(cmd, value, wrong);
    if (!*list)
        *list = apr_array_make(cmd->pool, 4, sizeof(const char *));
    for (int i = 0; i < (*list)->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(*list, i, const char *), value))
            return complain(cmd, value, "comes twice");
    }
    if ((*list)->nelts >= PWK_OFFERS_MAX)
        return complain(cmd, value, "is one too many: 32 are the most");
    APR_ARRAY_PUSH(*list, const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

/* ---- server and virtual host ---- */

static const char *set_environment(cmd_parms *cmd, void *dir, const char *value)
{
    (void)dir;
    if (strcmp(value, "stage") && strcmp(value, "production"))
        return complain(cmd, value, "is not an environment: use stage or production");
    server_of(cmd)->environment = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_organisation(cmd_parms *cmd, void *dir, const char *value)
{
    (void)dir;
    if (!pwk_text_is_code(value))
        return complain(cmd, value, "is not an organisation id: letters, digits, _ and -");
    server_of(cmd)->organisation = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_client(cmd_parms *cmd, void *dir, const char *id, const char *secret)
{
    (void)dir;
    if (!pwk_text_is_visible(id, PWK_SID_MAX))
        return complain(cmd, id, "is not a client id: visible ASCII, at most 128 characters");
    server_of(cmd)->client_id = apr_pstrdup(cmd->pool, id);
    return pwk_secret_read(&server_of(cmd)->client_secret, cmd, secret);
}

static const char *set_crypto_key(cmd_parms *cmd, void *dir, const char *current, const char *previous)
{
    pwk_server *server = server_of(cmd);
    const char *wrong = pwk_secret_read(&server->crypto_key, cmd, current);
    (void)dir;
    if (!wrong && previous)
        wrong = pwk_secret_read(&server->crypto_previous, cmd, previous);
    if (wrong)
        return wrong;
    if (strlen(server->crypto_key) < PWK_SECRET_MIN || (previous && strlen(server->crypto_previous) < PWK_SECRET_MIN))
        return "PaywayCryptoKey: the key is shorter than 32 bytes: make one with `openssl rand -base64 48`";
    return NULL;
}

static const char *set_path(cmd_parms *cmd, void *dir, const char *value)
{
    size_t len = strlen(value);
    (void)dir;
    if (len < 2 || len > PWK_CODE_MAX || value[len - 1] == '/' || strpbrk(value, "?%;") || !pwk_url_is_local(value))
        return complain(cmd, value, "is not a path for our own URLs: write it like /payway");
    server_of(cmd)->path = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_cache(cmd_parms *cmd, void *dir, const char *value)
{
    pwk_reading *reading = pwk_config_reading();
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY), *colon = strchr(value, ':');
    (void)dir;
    if (wrong)
        return wrong;
    reading->cache_provider =
        colon ? apr_pstrmemdup(cmd->pool, value, (apr_size_t)(colon - value)) : apr_pstrdup(cmd->pool, value);
    reading->cache_args = colon ? apr_pstrdup(cmd->pool, colon + 1) : NULL;
    reading->cache_directive = cmd->directive;
    if (!ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, reading->cache_provider, AP_SOCACHE_PROVIDER_VERSION))
        return complain(cmd, reading->cache_provider,
                        apr_psprintf(cmd->pool, "is not a cache provider that is loaded: enable mod_socache_%s",
                                     reading->cache_provider));
    return NULL;
}

static const char *set_ledger(cmd_parms *cmd, void *dir, const char *driver, const char *params)
{
    pwk_server *server = server_of(cmd);
    (void)dir;
    if (strcmp(driver, "sqlite3") && strcmp(driver, "pgsql"))
        return complain(cmd, driver, "is not a ledger driver: use sqlite3 PATH or pgsql \"host=... dbname=...\"");
    server->ledger_driver = apr_pstrdup(cmd->pool, driver);
    server->ledger_params =
        strcmp(driver, "sqlite3") ? apr_pstrdup(cmd->pool, params) : ap_server_root_relative(cmd->pool, params);
    return server->ledger_params ? NULL : complain(cmd, params, "is not a path");
}

static const char *set_word(cmd_parms *cmd, int *member, const char *value, const char *const *words, const char *wrong)
{
    for (int i = 0; words[i]; i++) {
        if (!strcasecmp(value, words[i])) {
            *member = i;
            return NULL;
        }
    }
    return complain(cmd, value, wrong);
}

static const char *set_identify(cmd_parms *cmd, void *dir, const char *value)
{
    static const char *const words[] = {"off", "wall", "on", NULL}; /* in the order of PWK_IDENTIFY_* */
    (void)dir;
    return set_word(cmd, &server_of(cmd)->identify, value, words, "is not known: use wall, on or off");
}

static const char *set_login(cmd_parms *cmd, void *dir, const char *value)
{
    static const char *const words[] = {"portal", "form", NULL}; /* in the order of PWK_LOGIN_* */
    (void)dir;
    return set_word(cmd, &server_of(cmd)->login, value, words, "is not known: use portal or form");
}

/* The next word of `*line`, in the command's pool; NULL at the end. Quotes may stand anywhere in it, as in
 * title="One day"; httpd's own words know them at the beginning alone. `*open`: a quote was not closed. */
static char *next_word(cmd_parms *cmd, const char **line, int *open)
{
    char *word, *end, quote = 0;
    while (apr_isspace(**line))
        ++*line;
    if (!**line)
        return NULL;
    word = end = apr_palloc(cmd->pool, strlen(*line) + 1);
    for (; **line && (quote || !apr_isspace(**line)); ++*line) {
        if (**line == quote)
            quote = 0;
        else if (!quote && (**line == '"' || **line == '\''))
            quote = **line;
        else if (**line == '\\' && quote && (*line)[1] == quote)
            *end++ = *++*line;
        else
            *end++ = **line;
    }
    *end = '\0';
    *open = quote != 0;
    return word;
}

static const char *add_offer(cmd_parms *cmd, void *dir, const char *line)
{
    pwk_server *server = server_of(cmd);
    apr_array_header_t *words = apr_array_make(cmd->temp_pool, 8, sizeof(const char *));
    pwk_offer *offer;
    const char *name, *wrong;
    int open = 0;
    (void)dir;
    for (char *word = next_word(cmd, &line, &open); word && !open; word = next_word(cmd, &line, &open))
        APR_ARRAY_PUSH(words, const char *) = word;
    if (open)
        return "PaywayOffer: a quote is not closed";
    if (!words->nelts)
        return "PaywayOffer: takes a name and key=value ...";
    name = APR_ARRAY_IDX(words, 0, const char *);
    wrong =
        pwk_offer_parse(&offer, name, words->nelts - 1, (const char *const *)(const void *)words->elts + 1, cmd->pool);
    if (wrong)
        return apr_psprintf(cmd->pool, "PaywayOffer %s: %s", name, wrong);
    if (!server->offers)
        server->offers = apr_array_make(cmd->pool, 4, sizeof(pwk_offer *));
    for (int i = 0; i < server->offers->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(server->offers, i, pwk_offer *)->name, offer->name))
            return complain(cmd, offer->name, "comes twice: an offer's name is its own");
    }
    if (server->offers->nelts >= PWK_OFFERS_MAX)
        return complain(cmd, offer->name, "is one too many: 32 offers are the most");
    APR_ARRAY_PUSH(server->offers, pwk_offer *) = offer;
    return NULL;
}

static const char *set_timeout(cmd_parms *cmd, void *dir, const char *whole, const char *connect)
{
    pwk_server *server = server_of(cmd);
    const char *wrong = read_time(cmd, &server->timeout, whole, apr_time_from_msec(100));
    (void)dir;
    if (!wrong && connect)
        wrong = read_time(cmd, &server->connect_timeout, connect, apr_time_from_msec(10));
    return wrong;
}

static const char *set_order_timeout(cmd_parms *cmd, void *dir, const char *value)
{
    (void)dir;
    const char *wrong = read_time(cmd, &server_of(cmd)->order_timeout, value, apr_time_from_sec(1));
    if (!wrong && server_of(cmd)->order_timeout > apr_time_from_sec(PWK_ORDER_TIMEOUT_MAX_S))
        return complain(cmd, value, "is longer than 10 minutes");
    return wrong;
}

static const char *add_host(cmd_parms *cmd, void *dir, const char *value)
{
    (void)dir;
    return add_word(cmd, &MEMBER(apr_array_header_t *, server_of(cmd), cmd), value,
                    pwk_klarna_host_is_wrong(value, cmd->temp_pool));
}

static const char *set_proxy(cmd_parms *cmd, void *dir, const char *value)
{
    apr_uri_t uri;
    (void)dir;
    if (apr_uri_parse(cmd->temp_pool, value, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname
        || (strcmp(uri.scheme, "http") && strcmp(uri.scheme, "https")))
        return complain(cmd, value, "is not a proxy: write http://host:port");
    server_of(cmd)->http_proxy = apr_pstrdup(cmd->pool, value);
    return NULL;
}

/* ---- directory, location and virtual host ---- */

static const char *set_wall(cmd_parms *cmd, void *dir, const char *value)
{
    if (strcmp(value, "default") && strcmp(value, "off") && !pwk_url_is_local(value))
        return complain(cmd, value, "is not a wall: use default, off or a local URL-path");
    ((pwk_dir *)dir)->wall = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *set_wall_status(cmd_parms *cmd, void *dir, const char *value)
{
    if (strcmp(value, "402") && strcmp(value, "403") && strcmp(value, "200"))
        return complain(cmd, value, "is not a status of a wall: use 402, 403 or 200");
    ((pwk_dir *)dir)->wall_status = (int)apr_atoi64(value);
    return NULL;
}

static const char *add_offer_name(cmd_parms *cmd, void *dir, const char *value)
{
    return add_word(cmd, &((pwk_dir *)dir)->offers, value, pwk_text_is_code(value) ? NULL : "is not an offer's name");
}

static const char *add_category(cmd_parms *cmd, void *dir, const char *value)
{
    return add_word(
        cmd, &((pwk_dir *)dir)->categories, value,
        pwk_text_is_code(value) ? NULL : "is not a payment method category: write it like pay_now or direct_debit");
}

static const char *add_language(cmd_parms *cmd, void *dir, const char *value)
{
    int is_language = strlen(value) == 2 && apr_islower(value[0]) && apr_islower(value[1]);
    return add_word(cmd, &((pwk_dir *)dir)->languages, value,
                    is_language ? NULL : "is not a language: two letters, like sv");
}

static const char *set_expression(cmd_parms *cmd, void *dir, const char *value)
{
    const char *wrong = NULL;
    MEMBER(const ap_expr_info_t *, dir, cmd) = ap_expr_parse_cmd(cmd, value, AP_EXPR_FLAG_STRING_RESULT, &wrong, NULL);
    return wrong ? complain(cmd, value, apr_pstrcat(cmd->pool, "is not an expression: ", wrong, NULL)) : NULL;
}

static const char *set_refresh_interval(cmd_parms *cmd, void *dir, const char *value)
{
    return read_time(cmd, &((pwk_dir *)dir)->refresh_interval, value, apr_time_from_sec(1));
}

static const char *set_stale_if_error(cmd_parms *cmd, void *dir, const char *value)
{
    return read_time(cmd, &((pwk_dir *)dir)->stale_if_error, value, 0);
}

/* May be relaxed (images), never so far that somebody else's cache keeps it. */
static const char *set_cache_control(cmd_parms *cmd, void *dir, const char *value)
{
    int private = 0;
    char *state, *words = apr_pstrdup(cmd->temp_pool, value);
    for (char *word = apr_strtok(words, ", \t", &state); word; word = apr_strtok(NULL, ", \t", &state)) {
        if (!strcasecmp(word, "public") || !strncasecmp(word, "s-maxage", 8))
            return complain(cmd, value,
                            "would let a shared cache hand paid pages to everybody: keep private or no-store");
        private |= !strcasecmp(word, "private") || !strcasecmp(word, "no-store");
    }
    for (const char *c = value; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            return complain(cmd, value, "is not a Cache-Control value");
    }
    if (!private)
        return complain(cmd, value, "needs private or no-store");
    ((pwk_dir *)dir)->cache_control = apr_pstrdup(cmd->pool, value);
    return NULL;
}

/* ---- Require ---- */

static const char *register_require(cmd_parms *cmd, pwk_require *require, const void **parsed)
{
    require->server = cmd->server;
    require->directive = cmd->directive;
    *parsed = require;
    /* A .htaccess is read while serving: nothing is left behind in a pool that ends with the request. */
    require->late = ap_check_cmd_context(cmd, NOT_IN_HTACCESS) != NULL;
    if (!require->late)
        APR_ARRAY_PUSH(pwk_config_reading()->requires, pwk_require *) = require;
    return NULL;
}

const char *pwk_directives_require_product(cmd_parms *cmd, const char *line, const void **parsed)
{
    pwk_require *require = apr_pcalloc(cmd->pool, sizeof(*require));
    apr_array_header_t *codes = apr_array_make(cmd->pool, 4, sizeof(const char *));
    for (const char *word = ap_getword_conf(cmd->pool, &line); *word; word = ap_getword_conf(cmd->pool, &line)) {
        if (!pwk_text_is_code(word))
            return apr_psprintf(
                cmd->pool, "Require payway-product: \"%s\" is not a product code: letters, digits, _ and -, at most %d",
                word, PWK_CODE_MAX);
        APR_ARRAY_PUSH(codes, const char *) = word;
    }
    if (!codes->nelts)
        return "Require payway-product: names no product: write Require payway-product CODE ...";
    require->requirement = (pwk_requirement){(const char *const *)(void *)codes->elts, codes->nelts};
    return register_require(cmd, require, parsed);
}

const char *pwk_directives_require_account(cmd_parms *cmd, const char *line, const void **parsed)
{
    pwk_require *require = apr_pcalloc(cmd->pool, sizeof(*require));
    if (*ap_getword_conf(cmd->temp_pool, &line))
        return "Require payway-account: takes nothing more";
    return register_require(cmd, require, parsed);
}

const char *pwk_directives_require_article(cmd_parms *cmd, const char *line, const void **parsed)
{
    (void)cmd;
    (void)line;
    (void)parsed;
    return "Require payway-article: single articles are not built yet; the name is reserved";
}

/* ---- the table ---- */

#define SERVER(member) (void *)offsetof(pwk_server, member)
#define DIR(member) (void *)offsetof(pwk_dir, member)
#define ANYWHERE (ACCESS_CONF | RSRC_CONF)

/* clang-format off */
const command_rec pwk_directives[] = {
    AP_INIT_TAKE1("PaywayEnvironment", set_environment, NULL, RSRC_CONF,
        "stage|production -- none -- Presets PaywayAPI, PaywaySSO and PaywayPortal with Payway's own hosts; this, or the three, must be given."),
    AP_INIT_TAKE1("PaywayAPI", set_server_url, SERVER(api), RSRC_CONF,
        "URL -- from PaywayEnvironment -- Host of the Payway API: https, or http to this very machine (a simulator)."),
    AP_INIT_TAKE1("PaywaySSO", set_server_url, SERVER(sso), RSRC_CONF,
        "URL -- from PaywayEnvironment -- Host of SSO2."),
    AP_INIT_TAKE1("PaywayPortal", set_server_url, SERVER(portal), RSRC_CONF,
        "URL -- from PaywayEnvironment -- Payway's customer portal: login, my account, shop."),
    AP_INIT_TAKE1("PaywayOrganisation", set_organisation, NULL, RSRC_CONF,
        "ID -- none, required -- Your organisation in Payway."),
    AP_INIT_TAKE2("PaywayClient", set_client, NULL, RSRC_CONF,
        "ID SECRET -- none, required -- The API user of this site. A secret is a literal, file:PATH, env:NAME or exec:PROGRAM."),
    AP_INIT_TAKE1("PaywayBaseURL", set_server_url, SERVER(base_url), RSRC_CONF,
        "URL -- https://ServerName -- Canonical base of this site as readers see it; its scheme, not the connection's, says whether it is https. Readers on other names of the virtual host are sent to it before they log in or buy."),
    AP_INIT_TAKE1("PaywayPath", set_path, NULL, RSRC_CONF,
        "PATH -- /payway -- Where this module's own URLs live."),
    AP_INIT_TAKE1("PaywayPages", set_server_file, SERVER(pages), RSRC_CONF,
        "DIRECTORY -- the installed pages -- Templates, texts and style sheets; copy the installed ones and edit the copy."),
    AP_INIT_TAKE12("PaywayCryptoKey", set_crypto_key, NULL, RSRC_CONF,
        "SECRET [PREVIOUS] -- none, required -- Key of cookies and sales, and of secrets in the cache; at least 32 bytes. The second one still opens what it sealed, so that a key can be changed without logging anyone out."),
    AP_INIT_TAKE1("PaywayCache", set_cache, NULL, RSRC_CONF,
        "PROVIDER[:ARGS] -- none -- Cache of tokens, reader records and prices, a socache provider: shmcb:PATH(BYTES) or redis:HOST:PORT. Whole server. It may vanish at any time: everything in it can be fetched again."),
    AP_INIT_TAKE2("PaywayLedger", set_ledger, NULL, RSRC_CONF,
        "sqlite3 PATH|pgsql PARAMS -- none -- Database of purchases, needed to sell with Klarna Payments; without it the buttons lead to the portal's shop. Its directory must be writable for the server's user."),
    AP_INIT_TAKE1("PaywayIdentify", set_identify, NULL, RSRC_CONF,
        "wall|on|off -- wall -- When a page view without our cookie goes to SSO2 once to see whether the browser is logged in: at the wall, also under PaywayReader On, or never."),
    AP_INIT_TAKE1("PaywayLogin", set_login, NULL, RSRC_CONF,
        "portal|form -- portal -- Log in at Payway's portal, or by this module's own e-mail and password form."),
    AP_INIT_RAW_ARGS("PaywayOffer", add_offer, NULL, RSRC_CONF,
        "NAME KEY=VALUE ... -- none -- Something for sale: code= (package or campaign), products= (codes it gives, comma-separated), type= (recurring or limited), period= (id), trial=on, start= (date or +3d), title=, title.en=, price=, price.en= (texts for where Payway gives none)."),
    AP_INIT_TAKE12("PaywayTimeout", set_timeout, NULL, RSRC_CONF,
        "TIME [CONNECT] -- 10s 2s -- Deadline of a call to Payway as a whole, and of connecting."),
    AP_INIT_TAKE1("PaywayOrderTimeout", set_order_timeout, NULL, RSRC_CONF,
        "TIME -- 60s -- Deadline of placing an order: Klarna and the account's update take their time. An answer that comes later is found out by asking."),
    AP_INIT_TAKE1("PaywayCACertificateFile", set_server_file, SERVER(ca_file), RSRC_CONF,
        "PATH -- the system's -- CA certificates (PEM) for calls to Payway."),
    AP_INIT_TAKE1("PaywayHttpProxy", set_proxy, NULL, RSRC_CONF,
        "URL -- none -- Proxy for calls to Payway; one in the environment is never used."),
    AP_INIT_TAKE1("PaywayKlarnaSDK", set_server_link, SERVER(klarna_sdk), RSRC_CONF,
        "URL -- https://x.klarnacdn.net/kp/lib/v1/api.js -- Script of Klarna's widget."),
    AP_INIT_ITERATE("PaywayKlarnaHosts", add_host, SERVER(klarna_hosts), RSRC_CONF,
        "HOST ... -- none -- Further hosts of Klarna's that the purchase page may load from: www.example.com or *.example.com."),
    AP_INIT_ITERATE("PaywayRedirectHosts", add_host, SERVER(redirect_hosts), RSRC_CONF,
        "HOST ... -- *.klarna.com -- Where a reader may be sent after the order; an address elsewhere is skipped, and the confirmation shown at once."),
    AP_INIT_TAKE1("PaywayTermsURL", set_server_link, SERVER(terms_url), RSRC_CONF,
        "URL -- none -- Terms of sale, linked beside the offers."),
    AP_INIT_TAKE1("PaywayPrivacyURL", set_server_link, SERVER(privacy_url), RSRC_CONF,
        "URL -- none -- Privacy policy, linked from the pages."),
    AP_INIT_TAKE1("PaywayWithdrawalURL", set_server_link, SERVER(withdrawal_url), RSRC_CONF,
        "URL -- none -- How to withdraw from a purchase."),

    AP_INIT_FLAG("PaywayReader", set_dir_flag, DIR(reader), ANYWHERE,
        "On|Off -- Off -- Open the reader's cookie and set PAYWAY_* on a free page, and require nothing."),
    AP_INIT_TAKE1("PaywayWall", set_wall, NULL, ANYWHERE,
        "default|off|URL-PATH -- default -- Who draws the wall: this module, nobody (ErrorDocument 402 or a backend does, from PAYWAY_*), or a local URL."),
    AP_INIT_TAKE1("PaywayWallStatus", set_wall_status, NULL, ANYWHERE,
        "402|403|200 -- 402 -- Status of the default wall for a page. API clients always get 402."),
    AP_INIT_ITERATE("PaywayOffers", add_offer_name, NULL, ANYWHERE,
        "NAME ... -- the offers that open this location -- Offers on the wall, in this order."),
    AP_INIT_FLAG("PaywayDisableAccountInfoOverwrite", set_dir_flag, DIR(disable_account_info_overwrite), ANYWHERE,
        "On|Off -- Off -- create_session's disable_account_info_overwrite: keep what the Payway account says instead of Klarna's."),
    AP_INIT_FLAG("PaywayRaiseOnSsnAlreadyTakenError", set_dir_flag, DIR(raise_on_ssn_already_taken_error), ANYWHERE,
        "On|Off -- On -- place_order's raise_on_ssn_already_taken_error."),
    AP_INIT_FLAG("PaywayRaiseOnSsnAlreadySetError", set_dir_flag, DIR(raise_on_ssn_already_set_error), ANYWHERE,
        "On|Off -- Off -- place_order's raise_on_ssn_already_set_error."),
    AP_INIT_FLAG("PaywayRaiseOnAccountUpdateError", set_dir_flag, DIR(raise_on_account_update_error), ANYWHERE,
        "On|Off -- Off -- place_order's raise_on_account_update_error."),
    AP_INIT_FLAG("PaywayRaiseOnDeliveryAddressError", set_dir_flag, DIR(raise_on_delivery_address_error), ANYWHERE,
        "On|Off -- Off -- place_order's raise_on_delivery_address_error."),
    AP_INIT_ITERATE("PaywayKlarnaCategories", add_category, NULL, ANYWHERE,
        "CATEGORY ... -- all that the session has -- Payment method categories offered, in this order."),
    AP_INIT_TAKE1("PaywayTrafficSource", set_expression, DIR(traffic_source), ANYWHERE,
        "EXPRESSION -- none -- traffic_source of an order: a string expression, evaluated at the wall; at most 128 bytes of it are sent."),
    AP_INIT_TAKE1("PaywayMerchantReference", set_expression, DIR(merchant_reference), ANYWHERE,
        "EXPRESSION -- none -- Follows the purchase id in merchant_reference: a string expression, evaluated at the wall; its first 31 characters, of A-Z, a-z, 0-9, _ and - (others become -)."),
    AP_INIT_TAKE1("PaywayRefreshInterval", set_refresh_interval, NULL, ANYWHERE,
        "TIME -- 360s -- How old a reader's product list may be. Payway asks for no less than 360 seconds in production."),
    AP_INIT_TAKE1("PaywayStaleIfError", set_stale_if_error, NULL, ANYWHERE,
        "TIME -- 4h -- How long a known subscriber is let in while Payway cannot be asked."),
    AP_INIT_TAKE1("PaywayCacheControl", set_cache_control, NULL, ANYWHERE,
        "VALUE -- \"private, no-cache\" -- Cache-Control of a granted response; may be relaxed for images, never to public."),
    AP_INIT_ITERATE("PaywayLanguages", add_language, NULL, ANYWHERE,
        "LANGUAGE ... -- sv en -- Languages of the pages, the first is the default; ?lang= and Accept-Language choose."),
    {NULL}
};
/* clang-format on */
