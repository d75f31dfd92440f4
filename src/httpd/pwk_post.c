#include "pwk_post.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/pwk_form.h"
#include "../core/pwk_limits.h"
#include "../core/pwk_url.h"
#include "pwk_pages.h"

const char *pwk_post_field(const apr_table_t *fields, const char *name)
{
    const char *value = pwk_form_field(fields, name);
    return value ? value : "";
}

const char *pwk_post_place(request_rec *r, const apr_table_t *fields)
{
    return pwk_url_local_or_root(pwk_post_field(fields, "r"), r->pool);
}

apr_table_t *pwk_post_query(request_rec *r)
{
    apr_table_t *fields;
    const char *why;
    if (!r->args || pwk_form_read(&fields, &why, r->args, strlen(r->args), r->pool) != APR_SUCCESS)
        fields = apr_table_make(r->pool, 1);
    return fields;
}

int pwk_post_is_readers(pwk_visit *visit, const apr_table_t *fields)
{
    const pwk_reader *reader = pwk_visit_reader(visit, pwk_config_dir(visit->first));
    return reader
           && pwk_seal_token_is(visit->site->seal, "csrf", reader->sid, pwk_form_field(fields, "csrf"),
                                visit->first->pool);
}

/* "application/x-www-form-urlencoded", alone or with charset=utf-8: other types are what cross-site forms can send
 * (threats A-04). */
static int is_form(const char *type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t len = sizeof(form) - 1;
    if (!type || strncasecmp(type, form, len))
        return 0;
    type += len + strspn(type + len, " \t");
    if (*type == ';')
        type += 1 + strspn(type + 1, " \t");
    return !*type || !strcasecmp(type, "charset=utf-8");
}

/* The body, at most PWK_FORM_MAX bytes whatever its Content-Length says. HTTP_REQUEST_ENTITY_TOO_LARGE,
 * HTTP_BAD_REQUEST for one that breaks off, or OK. */
static int read_body(char *body, apr_size_t *len, request_rec *r)
{
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    *len = 0;
    if (status != OK || !ap_should_client_block(r))
        return status;
    for (;;) {
        long got = ap_get_client_block(r, body + *len, PWK_FORM_MAX + 1 - *len);
        if (got < 0)
            return HTTP_BAD_REQUEST;
        if (!got)
            return OK;
        *len += (apr_size_t)got;
        if (*len > PWK_FORM_MAX) {
            r->connection->keepalive = AP_CONN_CLOSE;
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
    }
}

static int refuse(request_rec *r, pwk_visit *visit, int status, const char *code)
{
    return pwk_pages_error(r, visit, status, code, NULL);
}

int pwk_post_read(apr_table_t **fields, request_rec *r, pwk_visit *visit, const char *const *known)
{
    char *body = apr_palloc(r->pool, PWK_FORM_MAX + 1);
    const char *why = NULL, *stranger;
    apr_size_t len;
    int status;
    *fields = NULL;
    if (!pwk_visit_is_same_origin(visit)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0080) "a form from another site was refused");
        return refuse(r, visit, HTTP_FORBIDDEN, "csrf");
    }
    if (!is_form(apr_table_get(r->headers_in, "Content-Type")))
        return refuse(r, visit, HTTP_UNSUPPORTED_MEDIA_TYPE, "media_type");
    status = read_body(body, &len, r);
    if (status == HTTP_REQUEST_ENTITY_TOO_LARGE)
        return refuse(r, visit, status, "too_large");
    if (status != OK)
        return refuse(r, visit, HTTP_BAD_REQUEST, "bad_request");
    if (pwk_form_read(fields, &why, body, len, r->pool) != APR_SUCCESS || !pwk_form_only(*fields, known, &stranger)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, PWKLOG(0081) "a form was refused: %s", why ? why : "unknown field");
        *fields = NULL;
        return refuse(r, visit, HTTP_BAD_REQUEST, "bad_request");
    }
    return OK;
}
