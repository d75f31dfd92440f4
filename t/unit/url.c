#include "unit.h"

#include <apr_strings.h>

#include "pwk_limits.h"
#include "pwk_url.h"

static const char *const redirects[] = {
#include "data/redirects.inc"
};

#define REDIRECTS (sizeof(redirects) / sizeof(redirects[0]))

typedef apr_status_t url_reader(const char **url, const char **why, const char *text, apr_pool_t *p);

/* What `read` makes of `text` in a buffer without a byte to spare: the URL, or the reason behind a '!'. */
static const char *seen_by(url_reader *read, const char *text)
{
    char *copy = exact_text(text);
    const char *url = NULL, *why = NULL;
    apr_status_t rv = read(&url, &why, copy, pool);

    free(copy);
    assert_int_equal(rv, url ? APR_SUCCESS : APR_EINVAL);
    assert_true(!url == !!why);
    return url ? url : apr_pstrcat(pool, "!", why, NULL);
}

#define BAD_NAME "!has a host that is neither a name nor an address"
#define BAD_IPV6 "!has a host that is not an IPv6 address"
#define BAD_PORT "!has a port that is not a number from 1 to 65535"
#define BAD_PERCENT "!has an ill-formed percent-encoding"
#define BAD_BYTE "!has a character that has to be percent-encoded"
#define NO_HTTPS "!does not begin with https://"
#define NOT_HERE "!is http, and its host is not this machine"
#define DOT "!has a dot segment"
#define EMPTY "!has an empty path segment"

static void base_urls(void **state)
{
    static const struct {
        const char *text, *url;
    } table[] = {
        {"https://news.example", "https://news.example"},
        {"https://news.example/", "https://news.example"},
        {"HTTPS://News.Example/", "https://news.example"},
        {"hTTps://NEWS.example/Konto", "https://news.example/Konto"},
        {"https://news.example/a/b/", "https://news.example/a/b"},
        {"https://news.example/a.b/.well-known/...", "https://news.example/a.b/.well-known/..."},
        {"https://news.example/%C3%A5/a%2Fb", "https://news.example/%C3%A5/a%2Fb"},
        {"https://news.example/a:b@c;d=e,f", "https://news.example/a:b@c;d=e,f"},
        {"https://news.example:443", "https://news.example"},
        {"https://news.example:0443/a", "https://news.example/a"},
        {"https://news.example:80", "https://news.example:80"},
        {"https://news.example:8443/a/", "https://news.example:8443/a"},
        {"https://news.example:1", "https://news.example:1"},
        {"https://news.example:65535", "https://news.example:65535"},
        {"https://a", "https://a"},
        {"https://xn--rksmrgs-5wao1o.se", "https://xn--rksmrgs-5wao1o.se"},
        {"https://a_b.example", "https://a_b.example"},
        {"https://192.0.2.1/a", "https://192.0.2.1/a"},
        {"https://1a.2b", "https://1a.2b"},
        {"https://0xg", "https://0xg"},
        {"https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"},
        {"https://[0:0:0:0:0:0:0:1]", "https://[::1]"},
        {"http://127.0.0.1", "http://127.0.0.1"},
        {"http://127.0.0.1:80/", "http://127.0.0.1"},
        {"http://127.255.255.254:8080/a", "http://127.255.255.254:8080/a"},
        {"http://[::1]:443", "http://[::1]:443"},
        {"http://[0::1]/", "http://[::1]"},
        {"http://localhost:8080", "http://localhost:8080"},
        {"http://LocalHost", "http://localhost"},
        {"http://a.b.localhost/", "http://a.b.localhost"},

        {"", "!is empty"},
        {"news.example", NO_HTTPS},
        {"//news.example", NO_HTTPS},
        {"https:/news.example", NO_HTTPS},
        {"https:news.example", NO_HTTPS},
        {"httpss://news.example", NO_HTTPS},
        {"ftp://news.example", NO_HTTPS},
        {"javascript:alert(1)", NO_HTTPS},
        {"/a", NO_HTTPS},
        {"http://news.example", NOT_HERE},
        {"http://10.0.0.1", NOT_HERE},
        {"http://128.0.0.1", NOT_HERE},
        {"http://126.255.255.255", NOT_HERE},
        {"http://127.0.0.1.example", NOT_HERE},
        {"http://127.example", NOT_HERE},
        {"http://localhost.example", NOT_HERE},
        {"http://notlocalhost", NOT_HERE},
        {"http://[::2]", NOT_HERE},
        {"http://[::ffff:127.0.0.1]", NOT_HERE},
        {"https://", "!has no host"},
        {"https:///a", "!has no host"},
        {"https://?a", "!has no host"},
        {"https://:443", "!has no host"},
        {"https://@/", "!has a user"},
        {"https://user@news.example", "!has a user"},
        {"https://user:pw@news.example:443/", "!has a user"},
        {"https://news.example:443@evil.example", "!has a user"},
        {"https://.", BAD_NAME},
        {"https://.news.example", BAD_NAME},
        {"https://news.example.", BAD_NAME},
        {"https://news..example", BAD_NAME},
        {"https://-news.example", BAD_NAME},
        {"https://news-.example", BAD_NAME},
        {"https://news.example-", BAD_NAME},
        {"https://news,example", BAD_NAME},
        {"https://news%2eexample", BAD_NAME},
        {"https://news*", BAD_NAME},
        {"https://1.2.3", BAD_NAME},
        {"https://127.1", BAD_NAME},
        {"https://2130706433", BAD_NAME},
        {"https://0x7f000001", BAD_NAME},
        {"https://127.0.0.0x1", BAD_NAME},
        {"https://0X7F.1", BAD_NAME},
        {"https://news.0x", BAD_NAME},
        {"https://0177.0.0.1", BAD_NAME},
        {"https://1.2.3.256", BAD_NAME},
        {"https://1.2.3.4.5", BAD_NAME},
        {"https://news.1", BAD_NAME},
        {"http://127.1", BAD_NAME},
        {"https://[", BAD_IPV6},
        {"https://[]", BAD_IPV6},
        {"https://[::1", BAD_IPV6},
        {"https://[::1/]", BAD_IPV6},
        {"https://[::1%25eth0]", BAD_IPV6},
        {"https://[1.2.3.4]", BAD_IPV6},
        {"https://[news.example]", BAD_IPV6},
        {"https://[:::1]", BAD_IPV6},
        {"https://::1", "!has no host"},
        {"https://news::1", BAD_PORT},
        {"https://2001:db8::1", BAD_NAME},
        {"https://[::1]443", BAD_PORT},
        {"https://[::1]a", BAD_PORT},
        {"https://news.example:", BAD_PORT},
        {"https://news.example:/", BAD_PORT},
        {"https://news.example:0", BAD_PORT},
        {"https://news.example:65536", BAD_PORT},
        {"https://news.example:65540", BAD_PORT},
        {"https://news.example:4294967739", BAD_PORT},
        {"https://news.example:99999999999999999999", BAD_PORT},
        {"https://news.example:44a", BAD_PORT},
        {"https://news.example:-1", BAD_PORT},
        {"https://news.example:+443", BAD_PORT},
        {"https://news.example:443:443", BAD_PORT},
        {"https://news.example?", "!has a query"},
        {"https://news.example/?a=b", "!has a query"},
        {"https://news.example/a?b#c", "!has a fragment"},
        {"https://news.example#", "!has a fragment"},
        {"https://news.example/#a", "!has a fragment"},
        {"https://news.example/a%", BAD_PERCENT},
        {"https://news.example/a%2", BAD_PERCENT},
        {"https://news.example/a%zz", BAD_PERCENT},
        {"https://news%.example/", BAD_PERCENT},
        {"https://news.example/a%00", "!has a control character"},
        {"https://news.example/%0a", "!has a control character"},
        {"https://news.example/%7f", "!has a control character"},
        {"https://news.example/.", DOT},
        {"https://news.example/..", DOT},
        {"https://news.example/./", DOT},
        {"https://news.example/a/../b", DOT},
        {"https://news.example/a/./b", DOT},
        {"https://news.example/%2e%2E/b", DOT},
        {"https://news.example/a/.%2e", DOT},
        {"https://news.example/a%2f..", DOT},
        {"https://news.example//", EMPTY},
        {"https://news.example//a", EMPTY},
        {"https://news.example/a//", EMPTY},
        {"https://news.example/a//b", EMPTY},
        {"https://news.example/%2fa", EMPTY},
        {"https://news.example/%5ca", EMPTY},
        {" https://news.example", BAD_BYTE},
        {"https://news.example ", BAD_BYTE},
        {"https://news.example\n", BAD_BYTE},
        {"https://news.example/a b", BAD_BYTE},
        {"https://news.example\\a", BAD_BYTE},
        {"https://evil.example\\@news.example", BAD_BYTE},
        {"https://news.example/\"", BAD_BYTE},
        {"https://news.example/<", BAD_BYTE},
        {"https://news.example/>", BAD_BYTE},
        {"https://news.example/^", BAD_BYTE},
        {"https://news.example/`", BAD_BYTE},
        {"https://news.example/{", BAD_BYTE},
        {"https://news.example/|", BAD_BYTE},
        {"https://news.example/}", BAD_BYTE},
        {"https://r\xc3\xa4k.example", BAD_BYTE},
        {"https://news\x7f.example", BAD_BYTE},
    };
    const char *url = NULL, *why = NULL;
    size_t i;

    (void)state;
    assert_int_equal(pwk_url_base(&url, &why, NULL, pool), APR_EINVAL);
    assert_string_equal(why, "is empty");
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *seen = seen_by(pwk_url_base, table[i].text);

        if (strcmp(seen, table[i].url) != 0) {
            fail_msg("%s: is %s, not %s", table[i].text, seen, table[i].url);
        }
        if (*seen != '!') { /* canonical means that nothing is left to do */
            assert_string_equal(seen_by(pwk_url_base, seen), seen);
        }
    }
}

static void base_urls_have_limits(void **state)
{
    static const char host[] = "https://news.example/";
    const char *label = repeated('a', 63);
    const char *name = apr_pstrcat(pool, label, ".", label, ".", label, ".", repeated('a', 60), NULL);
    size_t n;

    (void)state;
    for (n = 0; n <= 2; n++) {
        const size_t rest = PWK_URL_MAX - strlen(host);
        const char *text = apr_pstrcat(pool, host, repeated('a', rest - 1 + n), NULL);

        assert_string_equal(seen_by(pwk_url_base, text), n > 1 ? "!is longer than 4096 bytes" : text);
        assert_string_equal(seen_by(pwk_url_link, text), n > 1 ? "!is longer than 4096 bytes" : text);
        text = apr_pstrcat(pool, "https://", repeated('a', 62 + n), ".example", NULL);
        assert_string_equal(seen_by(pwk_url_base, text), n > 1 ? BAD_NAME : text);
        text = apr_pstrcat(pool, "https://", name, repeated('b', n), NULL); /* 252, 253, 254 */
        assert_string_equal(seen_by(pwk_url_base, text), n > 1 ? BAD_NAME : text);
    }
}

static void links(void **state)
{
    static const struct {
        const char *text, *url;
    } table[] = {
        {"https://news.example", "https://news.example/"},
        {"https://news.example/", "https://news.example/"},
        {"https://News.Example:443?a", "https://news.example/?a"},
        {"https://news.example:8443#a", "https://news.example:8443/#a"},
        {"https://news.example/Villkor/?a=b&c=%20#Ord", "https://news.example/Villkor/?a=b&c=%20#Ord"},
        {"https://news.example/a//b/../c", "https://news.example/a//b/../c"},
        {"https://news.example/?u=https://other.example/@", "https://news.example/?u=https://other.example/@"},
        {"http://localhost:8080/terms?x", "http://localhost:8080/terms?x"},
        {"http://news.example/terms", NOT_HERE},
        {"http://localhost@news.example/", "!has a user"},
        {"javascript:alert(1)//https://", NO_HTTPS},
        {"https://news.example/?a=%", BAD_PERCENT},
        {"https://news.example/?a b", BAD_BYTE},
        {"https://news.example/?\"", BAD_BYTE},
        {"https://news.example/#<", BAD_BYTE},
        {"https://news.example:0/a", BAD_PORT},
        {"https://127.1/a", BAD_NAME},
        {"https:///a", "!has no host"},
        {"", "!is empty"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_string_equal(seen_by(pwk_url_link, table[i].text), table[i].url);
    }
}

static void parts_of_a_canonical_url(void **state)
{
    static const struct {
        const char *url, *scheme, *origin, *host;
    } table[] = {
        {"https://news.example", "https", "https://news.example", "news.example"},
        {"https://news.example/a:b", "https", "https://news.example", "news.example"},
        {"https://news.example:8443/a", "https", "https://news.example:8443", "news.example"},
        {"https://news.example?a/b", "https", "https://news.example", "news.example"},
        {"https://news.example#a/b", "https", "https://news.example", "news.example"},
        {"http://localhost:8080", "http", "http://localhost:8080", "localhost"},
        {"http://[::1]:8080/a", "http", "http://[::1]:8080", "[::1]"},
        {"https://[2001:db8::1]", "https", "https://[2001:db8::1]", "[2001:db8::1]"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_string_equal(pwk_url_scheme(table[i].url), table[i].scheme);
        assert_string_equal(pwk_url_origin(table[i].url, pool), table[i].origin);
        assert_string_equal(pwk_url_host(table[i].url, pool), table[i].host);
    }
}

static int is_local(const char *text)
{
    char *copy = exact_text(text);
    int is = pwk_url_is_local(copy);

    free(copy);
    return is;
}

static void ordinary_places_are_local(void **state)
{
    static const char *const table[] = {
        "/",
        "/?",
        "/?a=b",
        "/artikel/2026/09/12/en-rubrik/",
        "/a.html",
        "/a.b.c/.well-known/...",
        "/.a/..b/c../d.",
        "/r%C3%A4ksm%c3%b6rg%C3%A5s",
        "/a%20b",
        "/a%2Fb",
        "/a%5cb",
        "/a/b%2f",
        "/%252e%252e/",
        "/%25",
        "/a?b=%0d%0a%00",
        "/a?//evil.test/../.",
        "/a?u=https://other.example/",
        "/a?b=%2f%5c&c=..//..",
        "/a?b?c",
        "/@user/~home/$1/x,y;z=1:2/(a)*!'+=&-_",
        "/evil.test",
        "/:80/",
        "/@evil.test",
        "/user@evil.test/",
        "/javascript:alert(1)",
        "/[a]?[b]",
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (!is_local(table[i])) {
            fail_msg("refused: %s", table[i]);
        }
        assert_string_equal(pwk_url_local_or_root(table[i], pool), table[i]);
    }
}

static void no_listed_trick_is_local(void **state)
{
    size_t i;

    (void)state;
    assert_true(REDIRECTS >= 200);
    assert_false(pwk_url_is_local(NULL));
    for (i = 0; i < REDIRECTS; i++) {
        if (is_local(redirects[i])) {
            fail_msg("accepted: %s", redirects[i]);
        }
    }
}

static void every_byte_in_every_position(void **state)
{
    int byte;

    (void)state;
    for (byte = 1; byte < 256; byte++) {
        const char c = (char)byte;
        const int bare = byte > 0x20 && byte < 0x7f && !strchr("\\\"<>^`{|}#%", byte);
        const int control = byte < 0x20 || byte == 0x7f;
        const char first[] = {c, 'a', '\0'}, second[] = {'/', c, 'a', '\0'}, last[] = {'/', 'a', c, '\0'};
        const char between[] = {'/', c, '/', 'e', '\0'}, query[] = {'/', '?', c, '\0'};

        assert_int_equal(is_local(first), byte == '/');
        assert_int_equal(is_local(second), bare && byte != '/');
        assert_int_equal(is_local(last), bare);
        assert_int_equal(is_local(between), bare && byte != '/' && byte != '.');
        assert_int_equal(is_local(query), bare);
        assert_int_equal(is_local(apr_psprintf(pool, "/a%%%02x", byte)), !control);
        assert_int_equal(is_local(apr_psprintf(pool, "/%%%02X/evil.test", byte)), !control && !strchr("/\\.", byte));
        assert_true(is_local(apr_psprintf(pool, "/?%%%02X", byte)));
        assert_false(is_local(apr_psprintf(pool, "%%%02X/a", byte)));
    }
    assert_false(is_local("/a%00"));
}

static void places_have_a_limit(void **state)
{
    (void)state;
    assert_true(is_local(apr_pstrcat(pool, "/", repeated('a', PWK_RETURN_MAX - 2), NULL)));
    assert_true(is_local(apr_pstrcat(pool, "/", repeated('a', PWK_RETURN_MAX - 1), NULL)));
    assert_false(is_local(apr_pstrcat(pool, "/", repeated('a', PWK_RETURN_MAX), NULL)));
    assert_false(is_local(apr_pstrcat(pool, "/?", repeated('a', PWK_RETURN_MAX - 1), NULL)));
}

/* Whether a browser that is sent to `text` stays on this site, and at a path that cannot be taken for another host
 * when somebody uses it again. After the URL Standard, by hand and unlike the module, so that the two can disagree. */
static int stays_here(const char *text)
{
    char url[64], path[64];
    size_t len = strlen(text), n = 0, out = 0;
    const char *s;
    char *segment;
    size_t i;

    assert_true(len < sizeof(url));
    while (len > 0 && (unsigned char)*text <= 0x20) {
        text++;
        len--;
    }
    while (len > 0 && (unsigned char)text[len - 1] <= 0x20) {
        len--;
    }
    for (i = 0; i < len; i++) {
        if (!strchr("\t\r\n", text[i])) {
            url[n++] = text[i];
        }
    }
    url[n] = '\0';
    url[strcspn(url, "?#")] = '\0';
    if (strchr(url, ':') && strcspn(url, ":") < strcspn(url, "/\\")) {
        return 0; /* a scheme */
    }
    for (segment = url; *segment; segment++) {
        if (*segment == '\\') {
            *segment = '/';
        }
    }
    if (strncmp(url, "//", 2) == 0) {
        return 0;
    }
    for (s = url + (url[0] == '/'); s; s = strchr(s, '/') ? strchr(s, '/') + 1 : NULL) {
        char plain[64];
        const size_t size = strcspn(s, "/");
        const int is_last = s[size] == '\0';
        size_t from, to = 0;

        for (from = 0; from < size; to++) { /* "%2e" is a dot here, and nothing else is decoded */
            const int dot = strncmp(s + from, "%2e", 3) == 0;

            plain[to] = dot ? '.' : s[from];
            from += dot ? 3 : 1;
        }
        plain[to] = '\0';
        if (strcmp(plain, "..") == 0) {
            while (out > 0 && path[--out] != '/') {
            }
        } else if (strcmp(plain, ".") != 0) {
            path[out++] = '/';
            memcpy(path + out, s, size);
            out += size;
            continue;
        }
        if (is_last) {
            path[out++] = '/';
        }
    }
    path[out] = '\0';
    return strncmp(path, "//", 2) != 0;
}

static const char *decoded_once(const char *text)
{
    static char plain[64];
    size_t n = 0;

    while (*text) {
        const char digits[] = {text[1], text[1] ? text[2] : '\0', '\0'};

        if (*text == '%' && strspn(digits, "0123456789abcdefABCDEF") == 2) {
            plain[n++] = (char)strtoul(digits, NULL, 16);
            text += 3;
        } else {
            plain[n++] = *text++;
        }
    }
    plain[n] = '\0';
    return plain;
}

static void the_second_parser_knows_the_tricks(void **state)
{
    (void)state;
    assert_true(stays_here("/"));
    assert_true(stays_here("/a/../b?//x"));
    assert_false(stays_here("//e"));
    assert_false(stays_here("/\\e"));
    assert_false(stays_here("\t/\n/e"));
    assert_false(stays_here("https:e"));
    assert_false(stays_here("/x/..//e"));
    assert_false(stays_here("/x/%2e.//e"));
    assert_false(stays_here("/.//e"));
    assert_false(stays_here(decoded_once("/%5ce")));
    assert_false(stays_here(decoded_once("/%09/e")));
}

/* Every string of up to five of the pieces that tricks are made of: what the module accepts stays on this site for the
 * second parser too, as it is and when somebody on the way decodes it. */
static void what_is_local_stays_here(void **state)
{
    static const char *const pieces[] = {"/",  "\\", ".", "%2e", "%2f", "%5c", "%09",
                                         "\t", "a",  ":", "@",   "?",   "#",   "%"};
    const unsigned int base = sizeof(pieces) / sizeof(pieces[0]);
    unsigned int length, number, total = 1, accepted = 0;

    (void)state;
    for (length = 1; length <= 5; length++) {
        total *= base;
        for (number = 0; number < total; number++) {
            char text[32] = "";
            unsigned int i, rest = number;
            size_t n = 0;

            for (i = 0; i < length; i++, rest /= base) {
                n += (size_t)(apr_cpystrn(text + n, pieces[rest % base], sizeof(text) - n) - (text + n));
            }
            if (pwk_url_is_local(text)) {
                accepted++;
                if (!stays_here(text) || !stays_here(decoded_once(text))) {
                    fail_msg("leaves: %s", text);
                }
            }
        }
    }
    assert_true(accepted > 1000);
}

static const char *bars(size_t count)
{
    return apr_pstrcat(pool, "/?", repeated('|', count), NULL);
}

static void a_readers_place_is_kept(void **state)
{
    static const struct {
        const char *path, *local;
    } table[] = {
        {"/a", "/a"},
        {"/a?utm_content={a}|b^`", "/a?utm_content=%7Ba%7D%7Cb%5E%60"},
        {"/a?b=\\\\x", "/a?b=%5C%5Cx"},
        {"/a|b", "/a%7Cb"},
        {"/r\xc3\xa4k?\xe5", "/r%C3%A4k?%E5"},
        {"/a\\b", "/"},
        {"/\\evil.test", "/"},
        {"//evil.test", "/"},
        {"/a//b", "/"},
        {"/a b", "/"},
        {"/a?\"", "/"},
        {"/a?<", "/"},
        {"/a#b", "/"},
        {"/a%", "/"},
        {"*", "/"},
        {"", "/"},
        {"https://evil.test/", "/"},
        {"/{/../..//evil.test", "/"},
    };
    size_t i;

    (void)state;
    assert_string_equal(pwk_url_local_or_root(NULL, pool), "/");
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *copy = exact_text(table[i].path);

        assert_string_equal(pwk_url_local_or_root(copy, pool), table[i].local);
        free(copy);
    }
    for (i = 0; i < REDIRECTS; i++) {
        const char *local = pwk_url_local_or_root(redirects[i], pool);

        assert_true(pwk_url_is_local(local));
        assert_true(strcmp(local, "/") == 0 || stays_here(local));
    }
    assert_string_equal(pwk_url_local_or_root(apr_pstrcat(pool, "/", repeated('a', PWK_RETURN_MAX), NULL), pool), "/");
    /* 682 bars make 2046 bytes behind "/?", which is the limit; one more fits only until it is encoded */
    assert_int_equal(strlen(pwk_url_local_or_root(bars(PWK_RETURN_MAX / 3), pool)), PWK_RETURN_MAX);
    assert_string_equal(pwk_url_local_or_root(bars(PWK_RETURN_MAX / 3 + 1), pool), "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_urls),
        cmocka_unit_test(base_urls_have_limits),
        cmocka_unit_test(links),
        cmocka_unit_test(parts_of_a_canonical_url),
        cmocka_unit_test(ordinary_places_are_local),
        cmocka_unit_test(no_listed_trick_is_local),
        cmocka_unit_test(every_byte_in_every_position),
        cmocka_unit_test(places_have_a_limit),
        cmocka_unit_test(the_second_parser_knows_the_tricks),
        cmocka_unit_test(what_is_local_stays_here),
        cmocka_unit_test(a_readers_place_is_kept),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("url", tests, unit_begin, unit_end);
}
