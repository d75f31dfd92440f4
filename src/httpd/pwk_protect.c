#include "pwk_protect.h"

#include <http_core.h>
#include <util_filter.h>

#include "pwk_endpoints.h"

static ap_filter_rec_t *filter;

/* What a response may tell caches. */
typedef enum { OPEN, VARIES, GUARDED, OURS } protection;

/* Whether this is an answer to whoever may not read: drawn by us, by an ErrorDocument, or httpd's own text. */
static int is_wall(request_rec *r)
{
    int is_answer = r->status >= 300 && r->status != HTTP_NOT_MODIFIED; /* a redirect to identify as well */
    for (request_rec *at = r; at && is_answer; at = at->prev) {
        const pwk_gate *gate = pwk_gate_of(at);
        if ((gate->asked || gate->authn) && gate->verdict.kind != PWK_VERDICT_GRANTED)
            return 1;
    }
    return 0;
}

/* Whether `r` stands where we decide. Also where `Require ip` granted before we were asked: the next one who asks may
 * come from elsewhere. */
static int is_guarded(request_rec *r)
{
    const pwk_gate *gate = pwk_gate_of(r);
    const char *type = ap_auth_type(r);
    return gate->asked || gate->authn || (type && !strcasecmp(type, "Payway"));
}

/* The request that says how this answer is protected: what a guarded address was handed on to by an internal redirect
 * (a front controller in a .htaccess, an Action, an ErrorDocument, a CGI's Location) is as guarded, wherever it lies.
 * Else the one that knows its reader; NULL: none. */
static request_rec *speaks(request_rec *r)
{
    for (request_rec *at = r; at; at = at->prev) {
        if (is_guarded(at))
            return at;
    }
    for (; r && !pwk_dir_reader(pwk_config_dir(r)); r = r->prev)
        ;
    return r;
}

static protection protection_of(request_rec *r)
{
    const pwk_gate *gate = pwk_gate_of(r);
    request_rec *at;
    if (gate->endpoint && gate->endpoint->cookie_free)
        return OPEN; /* the same for everybody, with validators */
    if (gate->endpoint || gate->page || is_wall(r))
        return OURS;
    at = speaks(r);
    if (!at)
        return OPEN;
    return is_guarded(at) || (gate->visit && gate->visit->reader && *gate->visit->reader->account) ? GUARDED : VARIES;
}

static void say(request_rec *r, protection how)
{
    static const char *const dropped[] = {"Surrogate-Control", "CDN-Cache-Control", "Cloudflare-CDN-Cache-Control",
                                          "Expires", "Pragma"};
    apr_table_mergen(r->headers_out, "Vary", "Cookie");
    if (how == VARIES)
        return;
    for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++) {
        apr_table_unset(r->headers_out, dropped[i]);
        apr_table_unset(r->err_headers_out, dropped[i]);
    }
    /* mod_cache reads err_headers_out first, and both go out: there is one line, ours. */
    apr_table_unset(r->err_headers_out, "Cache-Control");
    apr_table_setn(r->headers_out, "Cache-Control",
                   how == OURS ? "no-store" : pwk_dir_cache_control(pwk_config_dir(speaks(r))));
}

static apr_status_t protect(ap_filter_t *f, apr_bucket_brigade *brigade)
{
    ap_filter_t *next = f->next;
    say(f->r, (protection)(intptr_t)f->ctx);
    ap_remove_output_filter(f);
    return ap_pass_brigade(next, brigade);
}

void pwk_protect_register(void)
{
    filter = ap_register_output_filter("PAYWAY_PROTECT", protect, NULL, AP_FTYPE_CONTENT_SET);
}

void pwk_protect_insert(request_rec *r)
{
    protection how;
    if (!pwk_config_site(r->server) || (how = protection_of(r)) == OPEN)
        return;
    ap_add_output_filter_handle(filter, (void *)(intptr_t)how, r, r->connection);
}
