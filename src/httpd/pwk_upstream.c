#include "pwk_upstream.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <curl/curl.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"

/* Handles keep connections and TLS sessions warm; more than this many at rest are closed. */
enum { HANDLES_MAX = 16 };

static struct {
    apr_thread_mutex_t *mutex;
    CURL *handles[HANDLES_MAX];
    int count;
} rest;

static volatile apr_uint32_t abandoned;

/* What one call collects. */
typedef struct {
    apr_pool_t *pool;
    char *body;
    apr_size_t len, size, header_bytes;
    const char *content_type;
    int retry_after_s;
    int too_large;
} reply;

/* Never balanced by curl_global_cleanup: other modules share the library (httpd-notes §6). */
apr_status_t pwk_upstream_init(apr_pool_t *pconf, server_rec *s)
{
    const curl_version_info_data *version;
    (void)pconf;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, PWKLOG(0020) "libcurl could not be initialised");
        return APR_EGENERAL;
    }
    version = curl_version_info(CURLVERSION_NOW);
    if (!version->ssl_version || strncmp(version->ssl_version, "OpenSSL", 7)) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     PWKLOG(0021) "libcurl is built with %s: this module needs its OpenSSL flavour",
                     version->ssl_version ? version->ssl_version : "no TLS");
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

static apr_status_t close_handles(void *data)
{
    (void)data;
    while (rest.count)
        curl_easy_cleanup(rest.handles[--rest.count]);
    rest.mutex = NULL;
    return APR_SUCCESS;
}

void pwk_upstream_child_init(apr_pool_t *pchild, server_rec *s)
{
    rest.count = 0;
    apr_atomic_set32(&abandoned, 0);
    if (apr_thread_mutex_create(&rest.mutex, APR_THREAD_MUTEX_DEFAULT, pchild) != APR_SUCCESS) {
        rest.mutex = NULL;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     PWKLOG(0022) "no mutex for handles: each call makes a connection of its own");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, close_handles);
}

static CURL *take_handle(void)
{
    CURL *handle = NULL;
    if (rest.mutex && apr_thread_mutex_lock(rest.mutex) == APR_SUCCESS) {
        if (rest.count)
            handle = rest.handles[--rest.count];
        apr_thread_mutex_unlock(rest.mutex);
    }
    return handle ? handle : curl_easy_init();
}

/* A handle that failed may hold a connection in an unknown state: it is closed. */
static void give_handle(CURL *handle, int reusable)
{
    if (reusable && rest.mutex && apr_thread_mutex_lock(rest.mutex) == APR_SUCCESS) {
        if (rest.count < HANDLES_MAX) {
            curl_easy_reset(handle);
            rest.handles[rest.count++] = handle;
            handle = NULL;
        }
        apr_thread_mutex_unlock(rest.mutex);
    }
    if (handle)
        curl_easy_cleanup(handle);
}

static size_t on_body(char *bytes, size_t one, size_t len, void *data)
{
    reply *r = data;
    (void)one;
    if (len > PWK_JSON_MAX - r->len) {
        r->too_large = 1;
        return 0;
    }
    if (r->len + len + 1 > r->size) {
        apr_size_t size = r->size;
        while (size < r->len + len + 1)
            size *= 2;
        char *body = apr_palloc(r->pool, size);
        memcpy(body, r->body, r->len);
        r->body = body;
        r->size = size;
    }
    memcpy(r->body + r->len, bytes, len);
    r->len += len;
    r->body[r->len] = '\0';
    return len;
}

/* The value of header `name` in the line, trimmed; NULL when it is another header. */
static const char *header_value(const char *line, size_t len, const char *name, apr_pool_t *p)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) || line[name_len] != ':')
        return NULL;
    char *value = apr_pstrmemdup(p, line + name_len + 1, len - name_len - 1);
    apr_collapse_spaces(value, value);
    return value;
}

static size_t on_header(char *line, size_t one, size_t len, void *data)
{
    reply *r = data;
    const char *value;
    (void)one;
    r->header_bytes += len;
    if (r->header_bytes > PWK_HEADERS_MAX) {
        r->too_large = 1;
        return 0;
    }
    if ((value = header_value(line, len, "Content-Type", r->pool)))
        r->content_type = value;
    /* Payway is not asked to compress: an encoded body is not for us to inflate (threats F-06). */
    if (header_value(line, len, "Content-Encoding", r->pool))
        return 0;
    if ((value = header_value(line, len, "Retry-After", r->pool))) {
        apr_int64_t seconds = apr_atoi64(value);
        r->retry_after_s = seconds > 0 && seconds <= 3600 ? (int)seconds : 0;
    }
    return len;
}

void pwk_upstream_abandon(void)
{
    apr_atomic_set32(&abandoned, 1);
}

/* Called by curl about once a second, whatever it waits for. */
static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    (void)data;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return apr_atomic_read32(&abandoned) != 0;
}

static long milliseconds(apr_interval_time_t time)
{
    return (long)apr_time_as_msec(time);
}

static void prepare(CURL *handle, const pwk_site *site, const char *url, const pwk_payway_request *request,
                    struct curl_slist *headers, reply *reply_, char *error)
{
    int https = !strncmp(url, "https:", 6);
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, milliseconds(request->timeout ? request->timeout : site->timeout));
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(site->connect_timeout));
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    /* A canonical base URL is https, or http to this machine (pwk_url_base): curl is held to the same scheme. */
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
#else
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS, https ? (long)CURLPROTO_HTTPS : (long)CURLPROTO_HTTP);
#endif
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    /* The environment of whoever started httpd chooses no proxy. */
    curl_easy_setopt(handle, CURLOPT_PROXY, site->http_proxy ? site->http_proxy : "");
    if (site->ca_file)
        curl_easy_setopt(handle, CURLOPT_CAINFO, site->ca_file);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "mod_payway_klarna");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, reply_);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, reply_);
    /* Libcurl sends a request again by itself when a kept connection turns out to be dead (threats F1). */
    curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, request->once ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_FORBID_REUSE, request->once ? 1L : 0L);
    if (request->once)
        curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, request->once ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    if (request->body) {
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request->body);
    } else {
        curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
    }
}

/* Our word for curl's: what the log and a page need to tell apart. */
static const char *code_of(CURLcode rc)
{
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return "no_connection";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
        return "tls";
    case CURLE_ABORTED_BY_CALLBACK:
        return PWK_ENDING;
    default:
        return "broken";
    }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line, int *failed)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    *failed |= !longer;
    return longer ? longer : list;
}

static pwk_result unsent(pwk_outcome outcome, apr_status_t rv, const char *code, const char *detail)
{
    pwk_result result = pwk_result_fail(outcome, rv, code, detail);
    result.unsent = 1;
    return result;
}

pwk_result pwk_upstream_call(pwk_payway_answer *answer, const pwk_site *site, const char *base,
                             const pwk_payway_request *request, const char *bearer, apr_pool_t *p)
{
    reply reply_ = {.pool = p, .size = 4096};
    char error[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    int failed = 0;
    long status = 0, sent = 0;
    curl_off_t begun = 0;
    CURLcode rc;
    CURL *handle;
    if (bearer && !pwk_text_is_visible(bearer, PWK_TOKEN_MAX))
        return unsent(PWK_INVALID, APR_EINVAL, "bad_token", "an access token cannot stand in a header");
    handle = take_handle();
    headers = add_header(headers, "Accept: application/json", &failed);
    headers = add_header(headers, "Expect:", &failed);
    if (request->content_type)
        headers = add_header(headers, apr_pstrcat(p, "Content-Type: ", request->content_type, NULL), &failed);
    if (bearer)
        headers = add_header(headers, apr_pstrcat(p, "Authorization: Bearer ", bearer, NULL), &failed);
    if (!handle || failed) {
        curl_slist_free_all(headers);
        if (handle)
            curl_easy_cleanup(handle);
        return unsent(PWK_UNAVAILABLE, APR_ENOMEM, "broken", "no memory for a call");
    }
    reply_.body = apr_pcalloc(p, reply_.size);
    prepare(handle, site, apr_pstrcat(p, base, request->path, NULL), request, headers, &reply_, error);
    rc = curl_easy_perform(handle);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(handle, CURLINFO_PRETRANSFER_TIME_T, &begun);
    give_handle(handle, rc == CURLE_OK);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK) {
        /* Curl's own words may name the host and nothing more: URLs of ours carry account ids and codes only. */
        const char *detail = apr_pstrdup(p, *error ? error : curl_easy_strerror(rc));
        pwk_result result =
            pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, reply_.too_large ? "too_large" : code_of(rc), detail);
        /* Neither was the connection ready, nor a byte handed to it; a CONNECT to a proxy counts as one, which errs on the
         * safe side. */
        result.unsent = sent == 0 && begun == 0;
        return result;
    }
    *answer = (pwk_payway_answer){(int)status, reply_.content_type, reply_.body, reply_.len, reply_.retry_after_s};
    return pwk_result_ok();
}
