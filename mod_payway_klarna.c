/* mod_payway_klarna: a paywall for Apache httpd that sells with Klarna Payments through the Payway API.
 *
 * This file is the map: the module record and every hook, in the order in which a request meets them. What each
 * does, and why it stands where it stands, is said here; how, in the file that its name begins with. */
#include "src/httpd/pwk_log.h"

#include <ap_provider.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>

#include "src/httpd/pwk_access.h"
#include "src/httpd/pwk_cache.h"
#include "src/httpd/pwk_check.h"
#include "src/httpd/pwk_config.h"
#include "src/httpd/pwk_directives.h"
#include "src/httpd/pwk_endpoints.h"
#include "src/httpd/pwk_pages.h"
#include "src/httpd/pwk_prices.h"
#include "src/httpd/pwk_protect.h"
#include "src/httpd/pwk_purchases.h"
#include "src/httpd/pwk_refresh.h"
#include "src/httpd/pwk_shared.h"
#include "src/httpd/pwk_upstream.h"
#include "src/httpd/pwk_watch.h"

/* ---- when the server starts ---- */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    pwk_config_begin(pconf);
    pwk_cache_register(pconf);
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    /* The first of two readings is a rehearsal: nothing is made that outlives it. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    if (pwk_shared_create(pconf, s) != APR_SUCCESS || pwk_cache_create(pconf, ptemp, s) != APR_SUCCESS
        || pwk_upstream_init(pconf, s) != APR_SUCCESS)
        return HTTP_INTERNAL_SERVER_ERROR;
    pwk_pages_init(pconf);
    pwk_watch_init(pconf, s);
    return OK;
}

/* Handles, threads and mutexes belong to a child: none is made before the fork (httpd-notes §6). */
static void child_init(apr_pool_t *pchild, server_rec *s)
{
    pwk_cache_child_init(pchild, s);
    pwk_upstream_child_init(pchild, s);
    pwk_prices_child_init(pchild, s);
    pwk_purchases_child_init(pchild, s);
    pwk_refresh_child_init(pchild, s); /* after what its threads use: they end before it */
    pwk_watch_child_init(pchild, s);   /* likewise */
}

static void register_hooks(apr_pool_t *p)
{
    /* A CMS's rewrites, a FallbackResource and `ProxyPass /` stand in the same hooks; ours go first. */
    static const char *const after_rewrite[] = {"mod_rewrite.c", "mod_proxy.c", "mod_alias.c", NULL};
    /* mod_cache would store our rendered pages, mod_proxy would pass them on. */
    static const char *const after_handlers[] = {"mod_cache.c", "mod_proxy.c", "mod_dir.c", NULL};
    /* Their headers are corrected by our filter, so theirs run first. */
    static const char *const before_filters[] = {"mod_headers.c", "mod_expires.c", "mod_deflate.c", "mod_cache.c",
                                                 NULL};

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(pwk_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_post_read_request(pwk_access_scrub, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_translate_name(pwk_endpoints_claim, NULL, after_rewrite, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(pwk_endpoints_claim, NULL, after_rewrite, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(pwk_endpoints_map, NULL, after_rewrite, APR_HOOK_REALLY_FIRST);

    /* PER_URI: what one URL may show, another with the same configuration may not (httpd-notes L15). */
    ap_hook_check_access_ex(pwk_endpoints_open, NULL, NULL, APR_HOOK_FIRST, AP_AUTH_INTERNAL_PER_URI);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "payway-product", AUTHZ_PROVIDER_VERSION, &pwk_access_product,
                              AP_AUTH_INTERNAL_PER_URI);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "payway-account", AUTHZ_PROVIDER_VERSION, &pwk_access_account,
                              AP_AUTH_INTERNAL_PER_URI);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "payway-article", AUTHZ_PROVIDER_VERSION, &pwk_access_article,
                              AP_AUTH_INTERNAL_PER_URI);
    ap_hook_check_authn(pwk_access_authn, NULL, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_URI);
    ap_hook_fixups(pwk_access_fixups, NULL, NULL, APR_HOOK_FIRST);

    pwk_protect_register();
    ap_hook_insert_filter(pwk_protect_insert, before_filters, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_insert_error_filter(pwk_protect_insert, before_filters, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_handler(pwk_endpoints_handle, NULL, after_handlers, APR_HOOK_REALLY_FIRST);
}

/* clang-format off */
module AP_MODULE_DECLARE_DATA payway_klarna_module = {
    STANDARD20_MODULE_STUFF,
    pwk_config_create_dir,
    pwk_config_merge_dir,
    pwk_config_create_server,
    pwk_config_merge_server,
    pwk_directives,
    register_hooks,
    AP_MODULE_FLAG_ALWAYS_MERGE, /* each virtual host has a record, and so a site, of its own */
};
/* clang-format on */
