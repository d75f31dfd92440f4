/* The configuration: what directives set (records generated from one list of members each, so that making and merging
 * cannot drift), and the site that start-up makes of a virtual host. */
#ifndef PWK_CONFIG_H
#define PWK_CONFIG_H

#include <ap_expr.h>
#include <apr_time.h>

#include "../core/pwk_offer.h"
#include "../core/pwk_seal.h"
#include "../core/pwk_sso2.h"
#include "../core/pwk_verdict.h"
#include "pwk_log.h"

enum { PWK_IDENTIFY_OFF, PWK_IDENTIFY_WALL, PWK_IDENTIFY_ON };
enum { PWK_LOGIN_PORTAL, PWK_LOGIN_FORM };

/* Members of the server's record: type, name, the value that means "not set here". A virtual host's value replaces
 * the main server's as a whole, lists included. */
#define PWK_SERVER_MEMBERS(M)                                                                                          \
    M(const char *, environment, NULL)                                                                                 \
    M(const char *, api, NULL)                                                                                         \
    M(const char *, sso, NULL)                                                                                         \
    M(const char *, portal, NULL)                                                                                      \
    M(const char *, organisation, NULL)                                                                                \
    M(const char *, client_id, NULL)                                                                                   \
    M(const char *, client_secret, NULL)                                                                               \
    M(const char *, base_url, NULL)                                                                                    \
    M(const char *, path, NULL)                                                                                        \
    M(const char *, pages, NULL)                                                                                       \
    M(const char *, crypto_key, NULL)                                                                                  \
    M(const char *, crypto_previous, NULL)                                                                             \
    M(const char *, ledger_driver, NULL)                                                                               \
    M(const char *, ledger_params, NULL)                                                                               \
    M(int, identify, -1)                                                                                               \
    M(int, login, -1)                                                                                                  \
    M(apr_array_header_t *, offers, NULL) /* pwk_offer * */                                                            \
    M(apr_interval_time_t, timeout, -1)                                                                                \
    M(apr_interval_time_t, connect_timeout, -1)                                                                        \
    M(apr_interval_time_t, order_timeout, -1)                                                                          \
    M(const char *, klarna_sdk, NULL)                                                                                  \
    M(apr_array_header_t *, klarna_hosts, NULL)   /* const char * */                                                   \
    M(apr_array_header_t *, redirect_hosts, NULL) /* const char * */                                                   \
    M(const char *, ca_file, NULL)                                                                                     \
    M(const char *, http_proxy, NULL)                                                                                  \
    M(const char *, terms_url, NULL)                                                                                   \
    M(const char *, privacy_url, NULL)                                                                                 \
    M(const char *, withdrawal_url, NULL)

/* Members of the directory's record. */
#define PWK_DIR_MEMBERS(M)                                                                                             \
    M(int, reader, -1)                                                                                                 \
    M(const char *, wall, NULL)                                                                                        \
    M(int, wall_status, -1)                                                                                            \
    M(apr_array_header_t *, offers, NULL) /* const char *: names */                                                    \
    M(int, disable_account_info_overwrite, -1)                                                                         \
    M(int, raise_on_ssn_already_taken_error, -1)                                                                       \
    M(int, raise_on_ssn_already_set_error, -1)                                                                         \
    M(int, raise_on_account_update_error, -1)                                                                          \
    M(int, raise_on_delivery_address_error, -1)                                                                        \
    M(apr_array_header_t *, categories, NULL) /* const char * */                                                       \
    M(const ap_expr_info_t *, traffic_source, NULL)                                                                    \
    M(const ap_expr_info_t *, merchant_reference, NULL)                                                                \
    M(apr_interval_time_t, refresh_interval, -1)                                                                       \
    M(apr_interval_time_t, stale_if_error, -1)                                                                         \
    M(const char *, cache_control, NULL)                                                                               \
    M(apr_array_header_t *, languages, NULL) /* const char * */

#define PWK_MEMBER(type, name, unset) type name;

/* A virtual host once its directives were found complete: everything that a request needs, resolved, read-only. */
typedef struct pwk_site {
    server_rec *server;
    const char *api, *sso, *portal; /* base URLs without a trailing slash */
    const char *base_url, *base_host, *origin;
    int secure;                                        /* the site is https; its scheme decides, not the connection's */
    const char *path;                                  /* "/payway" */
    const char *cookie, *login_cookie, *resume_cookie; /* names */
    const char *own_cookies[4];                        /* names taken out of what a backend sees; NULL-terminated */
    pwk_sso2_client client;
    pwk_seal *seal;
    const char *context;       /* tells this site's entries in the cache from another's */
    apr_array_header_t *named; /* const char *: product codes that this configuration names, sorted */
    apr_uint64_t named_hash;
    apr_array_header_t *offers; /* pwk_offer * */
    int identify, login;
    apr_interval_time_t timeout, connect_timeout, order_timeout;
    const char *ca_file, *http_proxy;
    const char *environment;                           /* of a purchase: "stage", "production", "custom" */
    const char *ledger_driver, *ledger_params;         /* NULL: buyers are sent to the portal's shop */
    struct pwk_ledger *ledger;                         /* made in child_init; NULL: none, or it could not be */
    struct pwk_shared *shared;                         /* what its children share */
    const char *klarna_sdk;                            /* URL of the widget's script */
    apr_array_header_t *klarna_hosts, *redirect_hosts; /* const char * */
    const char *terms_url, *privacy_url, *withdrawal_url;
    const char *pages;          /* directory of the templates */
    ap_conf_vector_t *page_dir; /* per-directory configuration of the templates: SSI without exec */
} pwk_site;

typedef struct {
    PWK_SERVER_MEMBERS(PWK_MEMBER)
    pwk_site *site; /* made by pwk_check; NULL: this virtual host has nothing of ours */
} pwk_server;

typedef struct {
    PWK_DIR_MEMBERS(PWK_MEMBER)
} pwk_dir;

/* For the module record. */
void *pwk_config_create_server(apr_pool_t *p, server_rec *s);
void *pwk_config_merge_server(apr_pool_t *p, void *base, void *add);
void *pwk_config_create_dir(apr_pool_t *p, char *where);
void *pwk_config_merge_dir(apr_pool_t *p, void *base, void *add);

pwk_server *pwk_config_server(const server_rec *s);
pwk_site *pwk_config_site(const server_rec *s);
/* The directory's record of a request, with raw members; read them by the getters below. */
const pwk_dir *pwk_config_dir(const request_rec *r);

/* Members with their defaults (docs/directives.md). */
int pwk_dir_reader(const pwk_dir *dir);
const char *pwk_dir_wall(const pwk_dir *dir); /* "default", "off" or a local path */
int pwk_dir_wall_status(const pwk_dir *dir);
int pwk_dir_flag(int member, int fallback);
apr_interval_time_t pwk_dir_refresh_interval(const pwk_dir *dir);
apr_interval_time_t pwk_dir_stale_if_error(const pwk_dir *dir);
const char *pwk_dir_cache_control(const pwk_dir *dir);
/* Number of languages; the names in `names`, which point into the record. */
int pwk_dir_languages(const pwk_dir *dir, const char *const **names);

/* A `Require payway-…` line, registered when it was read so that start-up can check it. */
typedef struct {
    server_rec *server;
    const ap_directive_t *directive;
    pwk_requirement requirement;
    int late; /* in a .htaccess: read while serving, so start-up could not see what it names */
} pwk_require;

/* What one reading of the configuration collects; reset in pre_config. */
typedef struct {
    apr_array_header_t *requires; /* pwk_require * */
    const char *cache_provider, *cache_args;
    const ap_directive_t *cache_directive;
} pwk_reading;
pwk_reading *pwk_config_reading(void);
void pwk_config_begin(apr_pool_t *pconf);

#endif
