#include "pwk_cookie.h"

#include <string.h>

#include <apr_strings.h>

#include "pwk_limits.h"

/* One part of a Cookie header, between semicolons. Pointers go into the header. */
typedef struct {
    const char *start; /* of the part as written, white space too */
    const char *end;   /* the semicolon, or the end of the header */
    const char *name;
    apr_size_t name_len;
    const char *value; /* NULL: there is no '=' */
    apr_size_t value_len;
} cookie_part;

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Reads the part that starts at `start`. A part is found as browsers write and servers read them (RFC 6265 §5.4 and
 * §4.1.1): the first '=' ends the name, and a quote does not hide a semicolon. */
static cookie_part read_part(const char *start)
{
    cookie_part part = {0};
    const char *s = start, *end, *equals;

    part.start = start;
    part.end = end = start + strcspn(start, ";");
    while (s < end && is_blank(*s)) {
        s++;
    }
    while (end > s && is_blank(end[-1])) {
        end--;
    }
    part.name = s;
    equals = memchr(s, '=', (apr_size_t)(end - s));
    if (equals) {
        part.value = equals + 1;
        while (part.value < end && is_blank(*part.value)) {
            part.value++;
        }
        part.value_len = (apr_size_t)(end - part.value);
        end = equals;
        while (end > s && is_blank(end[-1])) {
            end--;
        }
    }
    part.name_len = (apr_size_t)(end - s);
    return part;
}

static int is_named(const cookie_part *part, const char *name, apr_size_t len)
{
    return part->name_len == len && memcmp(part->name, name, len) == 0;
}

pwk_cookie_presence pwk_cookie_find(const char **value, const char *cookies, const char *name, apr_pool_t *p)
{
    const apr_size_t name_len = strlen(name);
    cookie_part found = {0};

    *value = NULL;
    while (cookies) {
        cookie_part part = read_part(cookies);

        if (part.value && is_named(&part, name, name_len)) {
            if (found.value) {
                return PWK_COOKIE_AMBIGUOUS;
            }
            found = part;
        }
        cookies = *part.end ? part.end + 1 : NULL;
    }
    if (!found.value) {
        return PWK_COOKIE_ABSENT;
    }
    if (found.value_len >= 2 && found.value[0] == '"' && found.value[found.value_len - 1] == '"') {
        found.value++;
        found.value_len -= 2;
    }
    if (found.value_len > PWK_COOKIE_MAX) {
        return PWK_COOKIE_ABSENT;
    }
    *value = apr_pstrmemdup(p, found.value, found.value_len);
    return PWK_COOKIE_FOUND;
}

static int is_one_of(const cookie_part *part, const char *const *names)
{
    for (; *names; names++) {
        if (is_named(part, *names, strlen(*names))) {
            return 1;
        }
    }
    return 0;
}

const char *pwk_cookie_without(const char *cookies, const char *const *names, apr_pool_t *p)
{
    const char *s = cookies;
    char *kept = NULL, *out = NULL;
    int something = 0; /* a kept part is more than white space */

    while (s) {
        cookie_part part = read_part(s);

        if (is_one_of(&part, names)) {
            if (!kept) { /* the first one to go: copy what came before it, with its semicolon */
                apr_size_t before = (apr_size_t)(part.start - cookies);

                kept = apr_palloc(p, strlen(cookies) + 2);
                memcpy(kept, cookies, before);
                out = kept + before;
            }
        } else {
            something |= part.name_len > 0 || part.value;
            if (kept) {
                const char *from = out == kept ? part.name : part.start; /* no white space at the very start */

                if (from < part.end) {
                    memcpy(out, from, (apr_size_t)(part.end - from));
                    out += part.end - from;
                }
                *out++ = ';';
            }
        }
        s = *part.end ? part.end + 1 : NULL;
    }
    if (!kept) {
        return cookies;
    }
    if (!something) {
        return NULL;
    }
    out[-1] = '\0'; /* something was kept, so this is a semicolon, and nothing follows it */
    return kept;
}

const char *pwk_cookie_set(const char *name, const char *value, long max_age_s, int secure, int script, apr_pool_t *p)
{
    return apr_psprintf(p, "%s=%s; Path=/; Max-Age=%ld%s; SameSite=Lax%s", name, value, max_age_s > 0 ? max_age_s : 0L,
                        script ? "" : "; HttpOnly", secure ? "; Secure" : "");
}
