#include "pwk_text.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "pwk_limits.h"

#define ELLIPSIS "\xe2\x80\xa6" /* U+2026 */

/* Bytes of the well-formed character at `s` (RFC 3629 §4), of which `len` > 0 bytes are there; 0: ill-formed. */
static apr_size_t utf8_length(const unsigned char *s, apr_size_t len)
{
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte: they exclude overlong forms and surrogates */
    apr_size_t i, want;

    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        want = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        want = 3;
        low = s[0] == 0xe0 ? 0xa0 : 0x80;
        high = s[0] == 0xed ? 0x9f : 0xbf;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        want = 4;
        low = s[0] == 0xf0 ? 0x90 : 0x80;
        high = s[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (len < want || s[1] < low || s[1] > high) {
        return 0;
    }
    for (i = 2; i < want; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return want;
}

int pwk_text_is_utf8(const char *bytes, apr_size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;

    while (len > 0) {
        apr_size_t size = utf8_length(s, len);

        if (size == 0) {
            return 0;
        }
        s += size;
        len -= size;
    }
    return 1;
}

/* The code point of a character that utf8_length() found to be well-formed. */
static unsigned int code_point(const unsigned char *s, apr_size_t size)
{
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned int code = (unsigned int)s[0] & lead_bits[size];
    apr_size_t i;

    for (i = 1; i < size; i++) {
        code = code << 6 | (s[i] & 0x3fU);
    }
    return code;
}

/* Line ends are white space, not something to take out: "a<LF>b" is two words. */
static int is_space(unsigned int code)
{
    return code == ' ' || (code >= '\t' && code <= '\r') || code == 0x85 || code == 0x2028 || code == 0x2029;
}

/* What changes how a page or a terminal shows the text around it. */
static int is_unfit(unsigned int code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x202a && code <= 0x202e)
           || (code >= 0x2066 && code <= 0x2069);
}

const char *pwk_text_clean(const char *text, apr_size_t max, apr_pool_t *p)
{
    const unsigned char *s = (const unsigned char *)text;
    apr_size_t left = text ? strlen(text) : 0;
    const apr_size_t dots = sizeof(ELLIPSIS) - 1;
    char *out = apr_palloc(p, (left < max ? left : max) + 1);
    apr_size_t len = 0, cut = 0; /* cut: where the text ends if the ellipsis has to follow */
    int space = 0;

    while (left > 0) {
        apr_size_t size = utf8_length(s, left);
        apr_size_t step = size ? size : 1;
        unsigned int code = size ? code_point(s, size) : 0;

        if (size && is_space(code)) {
            space = len > 0;
        } else if (size && !is_unfit(code)) {
            if ((apr_size_t)space + size > max - len) {
                if (max >= dots) {
                    memcpy(out + cut, ELLIPSIS, dots);
                    len = cut + dots;
                }
                break;
            }
            if (space) {
                out[len++] = ' ';
                space = 0;
            }
            memcpy(out + len, s, size);
            len += size;
            if (len + dots <= max) {
                cut = len;
            }
        }
        s += step;
        left -= step;
    }
    out[len] = '\0';
    return out;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int pwk_text_is_code(const char *text)
{
    apr_size_t i;

    if (!text) {
        return 0;
    }
    for (i = 0; text[i] != '\0'; i++) {
        if (i == PWK_CODE_MAX || !(is_alnum(text[i]) || text[i] == '_' || text[i] == '-')) {
            return 0;
        }
    }
    return i > 0;
}

int pwk_text_is_id(const char *text)
{
    apr_size_t i;

    if (!text) {
        return 0;
    }
    for (i = 0; text[i] != '\0'; i++) {
        char c = text[i];

        if (i == 24 || !(is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return 0;
        }
    }
    return i == 24;
}

int pwk_text_is_visible(const char *text, apr_size_t max)
{
    apr_size_t i;

    if (!text) {
        return 0;
    }
    for (i = 0; text[i] != '\0'; i++) {
        if (i == max || text[i] < 0x21 || text[i] > 0x7e) {
            return 0;
        }
    }
    return i > 0;
}

int pwk_text_is_opaque(const char *text, apr_size_t max)
{
    return pwk_text_is_visible(text, max)
           && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == strlen(text);
}

const char *pwk_text_printable(const char *text, apr_size_t max, apr_pool_t *p)
{
    char *seen = apr_pstrndup(p, text ? text : "", max);

    for (char *c = seen; *c; c++) {
        if (*c < 0x20 || *c > 0x7e) {
            *c = '?';
        }
    }
    return seen;
}

int pwk_text_same_secret(const char *a, const char *b)
{
    apr_size_t len;

    if (!a || !b) {
        return 0;
    }
    len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

const char *pwk_text_base64url(const void *bytes, apr_size_t len, apr_pool_t *p)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *s = bytes;
    char *text = apr_palloc(p, len / 3 * 4 + 4);
    char *out = text;

    for (; len >= 3; s += 3, len -= 3) {
        unsigned int group = (unsigned int)s[0] << 16 | (unsigned int)s[1] << 8 | s[2];

        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 0x3f];
        *out++ = alphabet[group >> 6 & 0x3f];
        *out++ = alphabet[group & 0x3f];
    }
    if (len > 0) {
        unsigned int group = (unsigned int)s[0] << 16 | (len == 2 ? (unsigned int)s[1] << 8 : 0);

        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 0x3f];
        if (len == 2) {
            *out++ = alphabet[group >> 6 & 0x3f];
        }
    }
    *out = '\0';
    return text;
}

/* The six bits of each character of the alphabet, with bit 6 set to tell 'A' from what is not in it. */
#define BASE64_MEMBER 0x40U

/* clang-format off */
static const unsigned char base64_bits[256] = {
    /* 0x00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 0x10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 0x20 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7e, 0, 0,
    /* 0x30 */ 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0, 0, 0, 0, 0, 0,
    /* 0x40 */ 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e,
    /* 0x50 */ 0x4f, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0, 0, 0, 0, 0x7f,
    /* 0x60 */ 0, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    /* 0x70 */ 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0, 0, 0, 0, 0
};
/* clang-format on */

apr_status_t pwk_text_unbase64url(void **bytes, apr_size_t *len, const char *text, apr_size_t text_len, apr_pool_t *p)
{
    const unsigned char *s = (const unsigned char *)text;
    const apr_size_t rest = text_len % 4;
    const apr_size_t size = text_len / 4 * 3 + (rest ? rest - 1 : 0);
    unsigned char *data, *out;
    unsigned int members = BASE64_MEMBER; /* stays so while every character is a member */
    apr_size_t groups;

    if (rest == 1) {
        return APR_EINVAL;
    }
    data = out = apr_palloc(p, size + 1);
    for (groups = text_len / 4; groups > 0; groups--, s += 4, out += 3) {
        unsigned int a = base64_bits[s[0]], b = base64_bits[s[1]], c = base64_bits[s[2]], d = base64_bits[s[3]];

        members &= a & b & c & d;
        out[0] = (unsigned char)(a << 2 | (b & 0x3f) >> 4);
        out[1] = (unsigned char)(b << 4 | (c & 0x3f) >> 2);
        out[2] = (unsigned char)(c << 6 | (d & 0x3f));
    }
    if (rest) {
        unsigned int a = base64_bits[s[0]], b = base64_bits[s[1]];
        unsigned int c = rest == 3 ? base64_bits[s[2]] : BASE64_MEMBER;

        members &= a & b & c;
        if (rest == 3 ? c & 0x03 : b & 0x0f) {
            return APR_EINVAL; /* another text for the same bytes: whoever compares texts would be fooled */
        }
        *out++ = (unsigned char)(a << 2 | (b & 0x3f) >> 4);
        if (rest == 3) {
            *out++ = (unsigned char)(b << 4 | (c & 0x3f) >> 2);
        }
    }
    if (!members) {
        return APR_EINVAL;
    }
    *out = '\0';
    *bytes = data;
    *len = size;
    return APR_SUCCESS;
}

const char *pwk_text_urlencode(const char *text, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *encoded, *out;

    if (!text) {
        return "";
    }
    encoded = out = apr_palloc(p, strlen(text) * 3 + 1);
    for (; *text; text++) {
        if (is_alnum(*text) || strchr("-._~", *text)) {
            *out++ = *text;
        } else {
            *out++ = '%';
            *out++ = hex[(unsigned char)*text >> 4];
            *out++ = hex[(unsigned char)*text & 0x0f];
        }
    }
    *out = '\0';
    return encoded;
}
