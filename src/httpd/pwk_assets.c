#include "pwk_assets.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

static const struct {
    const char *suffix, *type;
} types[] = {
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".woff2", "font/woff2"},
};

/* A file name and no more: letters, digits, '-', '_', '.', not starting with a dot. */
static const char *type_of(const char *name)
{
    size_t len = strlen(name);
    for (const char *c = name; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("-_.", *c))
            return NULL;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(*types) && *name != '.'; i++) {
        size_t suffix = strlen(types[i].suffix);
        if (len > suffix && !strcmp(name + len - suffix, types[i].suffix))
            return types[i].type;
    }
    return NULL;
}

int pwk_assets_handler(request_rec *r, pwk_visit *visit)
{
    const char *name = pwk_gate_of(r)->endpoint_rest, *type = type_of(name);
    apr_bucket_brigade *bb;
    apr_file_t *file;
    int status;
    if (!type)
        return HTTP_NOT_FOUND;
    r->filename = apr_pstrcat(r->pool, visit->site->pages, "/", name, NULL);
    if (apr_file_open(&file, r->filename, APR_READ, APR_OS_DEFAULT, r->pool) != APR_SUCCESS
        || apr_file_info_get(&r->finfo, APR_FINFO_NORM, file) != APR_SUCCESS || r->finfo.filetype != APR_REG)
        return HTTP_NOT_FOUND;
    ap_set_content_type(r, type);
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    ap_update_mtime(r, r->finfo.mtime);
    ap_set_last_modified(r);
    ap_set_etag(r);
    ap_set_content_length(r, r->finfo.size);
    if ((status = ap_meets_conditions(r)) != OK)
        return status;
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_brigade_insert_file(bb, file, 0, r->finfo.size, r->pool);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(r->connection->bucket_alloc));
    ap_pass_brigade(r->output_filters, bb);
    return OK;
}
