#include "pwk_url.h"

#include <string.h>

#include <arpa/inet.h>

#include <apr_cstr.h>
#include <apr_general.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "pwk_limits.h"
#include "pwk_text.h"

#define HOST_MAX 253 /* RFC 1035 §2.3.4, as text */
#define LABEL_MAX 63

/* Not in any URL as RFC 3986 writes it, though visible; each means something else to some browser or page. */
#define FOREIGN "\\\"<>^`{|}"

/* The parts of an URL that a directive gave. `rest` points into the text: path, query and fragment. */
typedef struct {
    int https;
    const char *host; /* canonical */
    int port;         /* 0: the scheme's own */
    const char *rest;
} url_parts;

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the %XX at `s` stands for; -1: it is ill-formed. */
static int percent_value(const char *s)
{
    const int high = hex_value(s[1]);
    const int low = high < 0 ? -1 : hex_value(s[2]);

    return low < 0 ? -1 : high << 4 | low;
}

/* The byte at `*s`, %XX decoded, and `*s` after it; -1 for an ill-formed %XX. */
static int next_byte(const char **s)
{
    const int byte = **s == '%' ? percent_value(*s) : (unsigned char)**s;

    *s += **s == '%' && byte >= 0 ? 3 : 1;
    return byte;
}

/* Why the path [s, end) is not one that every browser and server reads alike; NULL: it is. The path is judged as it
 * will be once decoded, with '\' read as '/', since somebody on the way may do either. */
static const char *path_fault(const char *s, const char *end)
{
    apr_size_t dots = 0, others = 0; /* what the segment is made of so far */
    int first = 1;

    while (s < end) {
        const int byte = next_byte(&s);

        if (byte < 0) {
            return "has an ill-formed percent-encoding";
        }
        if (byte < 0x20 || byte == 0x7f) {
            return "has a control character";
        }
        if (byte == '/' || byte == '\\') {
            if (others == 0 && dots == 0 && !first) {
                return "has an empty path segment";
            }
            if (others == 0 && (dots == 1 || dots == 2)) {
                return "has a dot segment";
            }
            dots = others = 0;
            first = 0;
        } else if (byte == '.') {
            dots++;
        } else {
            others++;
        }
    }
    return others == 0 && (dots == 1 || dots == 2) ? "has a dot segment" : NULL;
}

/* Whether every %XX of `s` is well-formed. */
static int is_percent_encoded(const char *s)
{
    while (*s) {
        if (next_byte(&s) < 0) {
            return 0;
        }
    }
    return 1;
}

/* Reads the name [s, end) into `*host`, in lower case. A name that browsers take for an IPv4 address ("127.1",
 * "0x7f000001", "2130706433") must be one in the usual form. */
static const char *read_name(const char **host, const char *s, apr_size_t len, apr_pool_t *p)
{
    static const char fault[] = "has a host that is neither a name nor an address";
    char *name;
    apr_size_t i, label = 0;

    if (len > HOST_MAX) {
        return fault;
    }
    name = apr_pstrmemdup(p, s, len);
    for (i = 0; i <= len; i++) {
        if (i == len || name[i] == '.') {
            if (i == label || i - label > LABEL_MAX || name[label] == '-' || name[i - 1] == '-') {
                return fault;
            }
            if (i < len) {
                label = i + 1;
            }
        } else if (apr_isalnum(name[i]) || name[i] == '-' || name[i] == '_') {
            name[i] = (char)apr_tolower(name[i]);
        } else {
            return fault;
        }
    }
    if (strspn(name + label, "0123456789") == len - label
        || (strncmp(name + label, "0x", 2) == 0 && strspn(name + label + 2, "0123456789abcdef") == len - label - 2)) {
        struct in_addr address;

        if (inet_pton(AF_INET, name, &address) != 1) {
            return fault;
        }
    }
    *host = name;
    return NULL;
}

/* Reads the address [s, end), without its brackets, into `*host` with them, in the form of RFC 5952. */
static const char *read_ipv6(const char **host, const char *s, apr_size_t len, apr_pool_t *p)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET6, apr_pstrmemdup(p, s, len), &address) != 1
        || !inet_ntop(AF_INET6, &address, text, sizeof(text))) {
        return "has a host that is not an IPv6 address";
    }
    *host = apr_pstrcat(p, "[", text, "]", NULL);
    return NULL;
}

/* Reads the port that follows the host, up to `end`. */
static const char *read_port(int *port, const char *s, const char *end)
{
    static const char fault[] = "has a port that is not a number from 1 to 65535";
    int number = 0;

    *port = 0;
    if (s == end) {
        return NULL;
    }
    if (*s != ':') {
        return fault;
    }
    while (++s < end) {
        if (!apr_isdigit(*s) || number > 6553) {
            return fault;
        }
        number = number * 10 + (*s - '0');
    }
    *port = number;
    return number >= 1 && number <= 65535 ? NULL : fault;
}

static int is_loopback(const char *host)
{
    static const char suffix[] = ".localhost";
    const apr_size_t len = strlen(host), tail = sizeof(suffix) - 1;
    struct in_addr address;

    if (inet_pton(AF_INET, host, &address) == 1) {
        return strncmp(host, "127.", 4) == 0;
    }
    return strcmp(host, "[::1]") == 0 || strcmp(host, suffix + 1) == 0
           || (len > tail && strcmp(host + len - tail, suffix) == 0);
}

/* Takes `text` apart. Returns what is wrong with it, or NULL. */
static const char *read_url(url_parts *parts, const char *text, apr_pool_t *p)
{
    const char *s, *end, *fault;

    if (!text || !*text) {
        return "is empty";
    }
    if (strlen(text) > PWK_URL_MAX) {
        return "is longer than " APR_STRINGIFY(PWK_URL_MAX) " bytes";
    }
    if (!pwk_text_is_visible(text, PWK_URL_MAX) || strpbrk(text, FOREIGN)) {
        return "has a character that has to be percent-encoded";
    }
    if (!is_percent_encoded(text)) {
        return "has an ill-formed percent-encoding";
    }
    if (apr_cstr_casecmpn(text, "https://", 8) == 0) {
        parts->https = 1;
        s = text + 8;
    } else if (apr_cstr_casecmpn(text, "http://", 7) == 0) {
        parts->https = 0;
        s = text + 7;
    } else {
        return "does not begin with https://";
    }
    end = s + strcspn(s, "/?#");
    parts->rest = end;
    if (memchr(s, '@', (apr_size_t)(end - s))) {
        return "has a user";
    }
    if (s == end || *s == ':') {
        return "has no host";
    }
    if (*s == '[') {
        const char *bracket = memchr(s, ']', (apr_size_t)(end - s));

        if (!bracket) {
            return "has a host that is not an IPv6 address";
        }
        fault = read_ipv6(&parts->host, s + 1, (apr_size_t)(bracket - s - 1), p);
        s = bracket + 1;
    } else {
        const char *colon = memchr(s, ':', (apr_size_t)(end - s));
        const char *host_end = colon ? colon : end;

        fault = read_name(&parts->host, s, (apr_size_t)(host_end - s), p);
        s = host_end;
    }
    if (!fault) {
        fault = read_port(&parts->port, s, end);
    }
    if (!fault && !parts->https && !is_loopback(parts->host)) {
        fault = "is http, and its host is not this machine";
    }
    return fault;
}

/* Scheme, host and port, as they are written canonically. */
static const char *origin_of(const url_parts *parts, apr_pool_t *p)
{
    const char *scheme = parts->https ? "https://" : "http://";

    if (parts->port == 0 || parts->port == (parts->https ? 443 : 80)) {
        return apr_pstrcat(p, scheme, parts->host, NULL);
    }
    return apr_psprintf(p, "%s%s:%d", scheme, parts->host, parts->port);
}

apr_status_t pwk_url_base(const char **url, const char **why, const char *text, apr_pool_t *p)
{
    url_parts parts = {0};
    const char *fault = read_url(&parts, text, p);
    apr_size_t len;

    if (!fault) {
        len = strlen(parts.rest);
        if (memchr(parts.rest, '#', len)) {
            fault = "has a fragment";
        } else if (memchr(parts.rest, '?', len)) {
            fault = "has a query";
        } else {
            fault = path_fault(parts.rest, parts.rest + len);
        }
    }
    if (fault) {
        *why = fault;
        return APR_EINVAL;
    }
    if (len > 0 && parts.rest[len - 1] == '/') {
        len--;
    }
    *url = apr_pstrcat(p, origin_of(&parts, p), apr_pstrmemdup(p, parts.rest, len), NULL);
    return APR_SUCCESS;
}

apr_status_t pwk_url_link(const char **url, const char **why, const char *text, apr_pool_t *p)
{
    url_parts parts = {0};
    const char *fault = read_url(&parts, text, p);

    if (fault) {
        *why = fault;
        return APR_EINVAL;
    }
    *url = apr_pstrcat(p, origin_of(&parts, p), *parts.rest == '/' ? "" : "/", parts.rest, NULL);
    return APR_SUCCESS;
}

const char *pwk_url_scheme(const char *url)
{
    return strncmp(url, "https:", 6) == 0 ? "https" : "http";
}

/* Where the host of a canonical URL begins. */
static const char *authority(const char *url)
{
    return url + strlen(pwk_url_scheme(url)) + strlen("://");
}

const char *pwk_url_origin(const char *url, apr_pool_t *p)
{
    const char *host = authority(url);

    return apr_pstrmemdup(p, url, (apr_size_t)(host - url) + strcspn(host, "/?#"));
}

const char *pwk_url_host(const char *url, apr_pool_t *p)
{
    const char *host = authority(url);
    const apr_size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");

    return apr_pstrmemdup(p, host, len);
}

int pwk_url_is_local(const char *text)
{
    /* The first byte is what makes it a place here; the second is the path's business, but the oldest trick of all. */
    if (!text || text[0] != '/' || text[1] == '/' || text[1] == '\\') {
        return 0;
    }
    if (!pwk_text_is_visible(text, PWK_RETURN_MAX) || strpbrk(text, FOREIGN "#")) {
        return 0;
    }
    return is_percent_encoded(text) && !path_fault(text, text + strcspn(text, "?"));
}

/* Whether a browser sends the byte `c` as it is, though RFC 3986 wants it encoded. A backslash is one in a query only:
 * before it, a browser would have made it a slash, so whoever sends it there is up to something. */
static int is_sent_bare(char c, int in_query)
{
    return (c != '\0' && strchr("^`{|}", c)) || (unsigned char)c >= 0x80 || (c == '\\' && in_query);
}

const char *pwk_url_local_or_root(const char *path, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *encoded, *out;
    const char *s;
    int in_query = 0;

    if (!path || strlen(path) > PWK_RETURN_MAX) {
        return "/";
    }
    encoded = out = apr_palloc(p, strlen(path) * 3 + 1);
    for (s = path; *s; s++) {
        in_query |= *s == '?';
        if (is_sent_bare(*s, in_query)) {
            *out++ = '%';
            *out++ = hex[(unsigned char)*s >> 4];
            *out++ = hex[(unsigned char)*s & 0x0f];
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
    return pwk_url_is_local(encoded) ? encoded : "/";
}
