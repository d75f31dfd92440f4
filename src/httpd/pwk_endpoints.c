#include "pwk_endpoints.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_url.h"
#include "pwk_assets.h"
#include "pwk_authorize.h"
#include "pwk_buy.h"
#include "pwk_checkout.h"
#include "pwk_identify.h"
#include "pwk_login.h"
#include "pwk_pages.h"
#include "pwk_wall.h"

enum { GET = 1 << M_GET, POST = 1 << M_POST };

static const pwk_endpoint endpoints[] = {
    {"/landing", GET, pwk_identify_landing, 0, 0},
    {"/login", GET | POST, pwk_login_handler, 0, 0},
    {"/login/return", GET, pwk_identify_return, 0, 0},
    {"/logout", GET | POST, pwk_login_logout, 0, 0},
    {"/me", GET, pwk_wall_me, 0, 0},
    {"/offers", GET, pwk_wall_offers, 0, 0},
    {"/buy", POST, pwk_buy_handler, 0, 0},
    {"/purchase/*", GET, pwk_checkout_purchase, 0, 0},
    {"/purchase/*/state", GET, pwk_checkout_state, 0, 0},
    {"/authorize/*", POST, pwk_authorize_handler, 0, 0},
    {"/confirm/*", GET, pwk_checkout_confirm, 0, 0},
    {"/wall", GET, pwk_wall_handler, 1, 0},
    {"/assets/*", GET, pwk_assets_handler, 0, 1},
};

/* Whether `uri` is the address `name`, whose '*' stands for one segment, which goes to `*rest`. */
static int matches(const char **rest, const char *uri, const char *name, apr_pool_t *p)
{
    const char *star = strchr(name, '*');
    size_t len = star ? (size_t)(star - name) : strlen(name), segment;
    *rest = "";
    if (!star || strncmp(uri, name, len))
        return !star && !strcmp(uri, name);
    segment = strcspn(uri + len, "/");
    *rest = apr_pstrmemdup(p, uri + len, segment);
    return segment && !strcmp(uri + len + segment, star + 1);
}

static const pwk_endpoint *find(const request_rec *r, const pwk_site *site, const char *uri, const char **rest)
{
    size_t len = strlen(site->path);
    if (!uri || strncmp(uri, site->path, len))
        return NULL;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        const pwk_endpoint *endpoint = &endpoints[i];
        if (!matches(rest, uri + len, endpoint->name, r->pool))
            continue;
        /* A browser that asks for the wall by its URL asks for nothing that exists. */
        return endpoint->inside && !r->prev ? NULL : endpoint;
    }
    return NULL;
}

int pwk_endpoints_claim(request_rec *r)
{
    const pwk_site *site = pwk_config_site(r->server);
    const pwk_endpoint *endpoint;
    const char *rest = "";
    if (!site || r->main || !(endpoint = find(r, site, r->uri, &rest)))
        return DECLINED;
    pwk_visit_of(r);
    pwk_gate_of(r)->endpoint = endpoint;
    pwk_gate_of(r)->endpoint_rest = rest;
    r->filename = apr_pstrcat(r->pool, site->pages, endpoint->name, NULL);
    /* A request without a handler and without a file is what FallbackResource takes. */
    r->handler = "payway-klarna";
    return OK;
}

int pwk_endpoints_map(request_rec *r)
{
    if (!pwk_config_site(r->server))
        return DECLINED;
    return pwk_gate_of(r)->endpoint ? OK : pwk_pages_map(r);
}

int pwk_endpoints_open(request_rec *r)
{
    const pwk_gate *gate;
    if (!pwk_config_site(r->server))
        return DECLINED;
    gate = pwk_gate_of(r);
    return gate->endpoint || (r->main && gate->page) ? OK : DECLINED;
}

/* A reader who came under another name of this host goes on under the one that cookies and Payway know. */
static int to_base_host(request_rec *r, const pwk_visit *visit)
{
    const char *place = apr_pstrcat(r->pool, r->uri, r->args ? "?" : "", r->args, NULL);
    return pwk_pages_redirect(r, HTTP_MOVED_TEMPORARILY,
                              apr_pstrcat(r->pool, visit->site->base_url, pwk_url_local_or_root(place, r->pool), NULL));
}

int pwk_endpoints_handle(request_rec *r)
{
    const pwk_endpoint *endpoint;
    pwk_visit *visit;
    pwk_gate *gate;
    if (!pwk_config_site(r->server))
        return DECLINED;
    gate = pwk_gate_of(r);
    if (r->main && gate->page)
        return pwk_pages_send_fragment(r);
    endpoint = gate->endpoint;
    if (!endpoint)
        return DECLINED;
    visit = gate->visit;
    if (!(endpoint->methods & (1 << r->method_number))) {
        r->allowed |= endpoint->methods;
        apr_table_setn(r->headers_out, "Allow",
                       endpoint->methods & POST ? endpoint->methods & GET ? "GET, HEAD, POST" : "POST" : "GET, HEAD");
        return pwk_pages_error(r, visit, HTTP_METHOD_NOT_ALLOWED, "method", NULL);
    }
    if (!endpoint->cookie_free && !endpoint->inside && !pwk_visit_is_base_host(visit) && r->method_number == M_GET)
        return to_base_host(r, visit);
    return endpoint->handler(r, visit);
}
