#include "pwk_form.h"

#include <string.h>

#include "pwk_limits.h"
#include "pwk_text.h"

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

/* Decodes one byte of [s, end) into `*byte`, and returns how many it took; 0: an ill-formed %XX. */
static apr_size_t decode_byte(char *byte, const char *s, const char *end)
{
    int high, low;

    if (*s != '%') {
        *byte = *s == '+' ? ' ' : *s;
        return 1;
    }
    if (end - s < 3 || (high = hex_value(s[1])) < 0 || (low = hex_value(s[2])) < 0) {
        return 0;
    }
    *byte = (char)(unsigned char)(high << 4 | low);
    return 3;
}

/* Decodes [s, end) into `p`. NULL and a reason when it is not text. */
static const char *decode(const char **why, const char *s, const char *end, apr_pool_t *p)
{
    char *text = apr_palloc(p, (apr_size_t)(end - s) + 1);
    char *out = text;

    while (s < end) {
        apr_size_t took = decode_byte(out, s, end);
        unsigned char c = (unsigned char)*out;

        if (took == 0) {
            *why = "has an ill-formed percent-encoding";
            return NULL;
        }
        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) {
            *why = "has a control character";
            return NULL;
        }
        out++;
        s += took;
    }
    *out = '\0';
    if (!pwk_text_is_utf8(text, (apr_size_t)(out - text))) {
        *why = "is not UTF-8";
        return NULL;
    }
    return text;
}

/* The end of the part of a query that starts at `s`: the next '&', or `end`. */
static const char *part_end(const char *s, const char *end)
{
    const char *amp = s < end ? memchr(s, '&', (apr_size_t)(end - s)) : NULL;

    return amp ? amp : end;
}

/* The end of the name of the part [s, end). */
static const char *name_end(const char *s, const char *end)
{
    const char *equals = s < end ? memchr(s, '=', (apr_size_t)(end - s)) : NULL;

    return equals ? equals : end;
}

apr_status_t pwk_form_read(apr_table_t **fields, const char **why, const char *bytes, apr_size_t len, apr_pool_t *p)
{
    apr_table_t *read = apr_table_make(p, PWK_FIELDS_MAX);
    const char *s = len ? bytes : "";
    const char *end = s + len;
    const char *stop;
    int n = 0;

    for (; s < end; s = stop + 1) {
        const char *middle, *name, *value;

        stop = part_end(s, end);
        if (stop == s) {
            continue;
        }
        middle = name_end(s, stop);
        if (middle == s) {
            *why = "has a field without a name";
            return APR_EINVAL;
        }
        if (++n > PWK_FIELDS_MAX) {
            *why = "has too many fields";
            return APR_EINVAL;
        }
        name = decode(why, s, middle, p);
        value = name ? decode(why, middle < stop ? middle + 1 : stop, stop, p) : NULL;
        if (!value) {
            return APR_EINVAL;
        }
        if (apr_table_get(read, name)) { /* blind to case, as every later look into the table will be */
            *why = "has a field twice";
            return APR_EINVAL;
        }
        apr_table_addn(read, name, value);
    }
    *fields = read;
    return APR_SUCCESS;
}

const char *pwk_form_field(const apr_table_t *fields, const char *name)
{
    const apr_array_header_t *entries = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)entries->elts;
    int i;

    for (i = 0; i < entries->nelts; i++) {
        if (strcmp(entry[i].key, name) == 0) {
            return entry[i].val;
        }
    }
    return NULL;
}

int pwk_form_only(const apr_table_t *fields, const char *const *known, const char **stranger)
{
    const apr_array_header_t *entries = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)entries->elts;
    int i;

    for (i = 0; i < entries->nelts; i++) {
        const char *const *name = known;

        while (*name && strcmp(*name, entry[i].key) != 0) {
            name++;
        }
        if (!*name) {
            *stranger = entry[i].key;
            return 0;
        }
    }
    return 1;
}

/* Whether [s, end) is `name` once decoded. */
static int names(const char *s, const char *end, const char *name)
{
    while (s < end) {
        char byte;
        apr_size_t took = decode_byte(&byte, s, end);

        if (took == 0 || *name == '\0' || byte != *name) {
            return 0;
        }
        name++;
        s += took;
    }
    return *name == '\0';
}

const char *pwk_form_find(const char *query, const char *name, apr_pool_t *p)
{
    const char *s = query ? query : "";
    const char *end = s + strlen(s);
    const char *stop, *why;

    for (; s < end; s = stop + 1) {
        const char *middle;

        stop = part_end(s, end);
        middle = name_end(s, stop);
        if (stop > s && names(s, middle, name)) {
            return decode(&why, middle < stop ? middle + 1 : stop, stop, p);
        }
    }
    return NULL;
}

const char *pwk_form_without(const char *query, const char *name, apr_pool_t *p)
{
    const char *s = query ? query : "";
    const char *end = s + strlen(s);
    const char *stop;
    char *kept, *out;

    if (s == end) {
        return NULL;
    }
    kept = out = apr_palloc(p, (apr_size_t)(end - s) + 2);
    for (; s <= end; s = stop + 1) {
        stop = part_end(s, end);
        if (!names(s, name_end(s, stop), name)) {
            memcpy(out, s, (apr_size_t)(stop - s));
            out += stop - s;
            *out++ = '&';
        }
    }
    if (out > kept) {
        out--; /* the last '&' is ours */
    }
    *out = '\0';
    return out > kept ? kept : NULL;
}
