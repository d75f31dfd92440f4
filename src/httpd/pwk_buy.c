#include "pwk_buy.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_sale.h"
#include "../core/pwk_text.h"
#include "pwk_identify.h"
#include "pwk_pages.h"
#include "pwk_post.h"
#include "pwk_prices.h"

static apr_status_t open_sale(pwk_sale *sale, request_rec *r, const pwk_site *site, const char *sealed)
{
    void *bytes;
    apr_size_t len;
    apr_status_t rv = pwk_seal_open(&bytes, &len, site->seal, PWK_SEAL_SALE, sealed, r->request_time, r->pool);
    return rv == APR_SUCCESS ? pwk_sale_read(sale, bytes, len, r->request_time, r->pool) : rv;
}

static const char *offers_place(request_rec *r, const pwk_site *site, const pwk_sale *sale, const pwk_offer *offer)
{
    return apr_pstrcat(r->pool, site->path, "/offers?r=", pwk_text_urlencode(sale->path, r->pool), "&o=", offer->name,
                       NULL);
}

static int to_login(request_rec *r, const pwk_site *site, const char *place)
{
    return pwk_pages_redirect(
        r, HTTP_SEE_OTHER,
        pwk_pages_url(r, site, apr_pstrcat(r->pool, "/login?r=", pwk_text_urlencode(place, r->pool), NULL)));
}

int pwk_buy_handler(request_rec *r, pwk_visit *visit)
{
    static const char *const known[] = {"sale", "offer", "period", "csrf", NULL};
    const pwk_site *site = visit->site;
    const pwk_reader *reader;
    const pwk_offer *offer;
    apr_table_t *fields;
    pwk_sale sale;
    apr_status_t rv;
    const char *back;
    int status = pwk_post_read(&fields, r, visit, known);
    if (!fields)
        return status;
    rv = open_sale(&sale, r, site, pwk_post_field(fields, "sale"));
    if (rv != APR_SUCCESS)
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, rv == APR_TIMEUP ? "expired" : "bad_request", NULL);
    offer = pwk_prices_offer(site, pwk_post_field(fields, "offer"));
    if (!offer || !pwk_sale_offers(&sale, offer->name))
        return pwk_pages_error(r, visit, HTTP_BAD_REQUEST, "bad_request", sale.path);
    reader = pwk_visit_reader(visit, pwk_config_dir(r));
    if (!reader || !*reader->account)
        return to_login(r, site, offers_place(r, site, &sale, offer));
    if (!pwk_post_is_readers(visit, fields))
        return pwk_pages_error(r, visit, HTTP_FORBIDDEN, "csrf", sale.path);
    back = pwk_identify_return_url(r, visit, sale.path);
    if (!back)
        return pwk_pages_error(r, visit, HTTP_INTERNAL_SERVER_ERROR, "server", sale.path);
    return pwk_pages_redirect(r, HTTP_SEE_OTHER,
                              apr_pstrcat(r->pool, site->portal, "/v2/shop/", offer->code,
                                          "?returnUrl=", pwk_text_urlencode(back, r->pool), NULL));
}
