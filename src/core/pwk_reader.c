#include "pwk_reader.h"

#include <stdlib.h>
#include <string.h>

#include "pwk_limits.h"

/* The layout: format, flags, created, checked, named, sid, account, count, codes. Numbers are big-endian; a text is one
 * byte of length, the bytes and a NUL, so that reading needs no copy. */
enum { FORMAT = 1, FLAG_TERMINATED = 1, HEAD_BYTES = 2 + 3 * 8 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* FNV-1a, 64 bits: it tells two configurations apart, no more; an adversary does not choose them. */
apr_uint64_t pwk_reader_named(apr_array_header_t *codes)
{
    apr_uint64_t hash = 14695981039346656037ULL;
    if (codes->nelts > 1)
        qsort(codes->elts, (size_t)codes->nelts, sizeof(const char *), by_name);
    for (int i = 0; i < codes->nelts; i++) {
        const char *code = APR_ARRAY_IDX(codes, i, const char *);
        do {
            hash = (hash ^ (unsigned char)*code) * 1099511628211ULL;
        } while (*code++);
    }
    return hash;
}

static int stands_in(const apr_array_header_t *codes, const char *code)
{
    for (int i = 0; i < codes->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(codes, i, const char *), code))
            return 1;
    }
    return 0;
}

void pwk_reader_own(pwk_reader *reader, const apr_array_header_t *has, const apr_array_header_t *named_codes,
                    apr_pool_t *p)
{
    /* Walks the named ones: an answer that repeats a code adds it once. */
    const char **codes = apr_palloc(p, sizeof(*codes) * (size_t)(named_codes->nelts + 1));
    reader->codes = codes;
    reader->count = 0;
    for (int i = 0; i < named_codes->nelts; i++) {
        const char *code = APR_ARRAY_IDX(named_codes, i, const char *);
        if (stands_in(has, code))
            codes[reader->count++] = code;
    }
}

pwk_age pwk_reader_age(const pwk_reader *reader, apr_interval_time_t interval, apr_uint64_t named, apr_time_t now)
{
    apr_interval_time_t age = now - reader->checked;
    if (age < -apr_time_from_sec(PWK_CLOCK_SKEW_S) || age >= 3 * interval)
        return PWK_AGE_OLD;
    if (age >= interval || reader->named != named)
        return PWK_AGE_STALE;
    return PWK_AGE_FRESH;
}

static unsigned char *put_number(unsigned char *at, apr_uint64_t number)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(number >> shift);
    return at;
}

static apr_uint64_t get_number(const unsigned char *at)
{
    apr_uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | at[i];
    return number;
}

static unsigned char *put_text(unsigned char *at, const char *text)
{
    size_t len = strlen(text);
    *at++ = (unsigned char)len;
    memcpy(at, text, len + 1);
    return at + len + 1;
}

/* The text at `*at`, which is moved behind it; NULL when it does not end within `end` or holds a NUL. */
static const char *get_text(const unsigned char **at, const unsigned char *end, size_t max)
{
    if (end - *at < 2)
        return NULL;
    size_t len = **at;
    const unsigned char *text = *at + 1;
    if (len > max || (size_t)(end - text) < len + 1 || memchr(text, 0, len + 1) != text + len)
        return NULL;
    *at = text + len + 1;
    return (const char *)text;
}

apr_status_t pwk_reader_write(const void **bytes, apr_size_t *len, const pwk_reader *reader, apr_pool_t *p)
{
    size_t size = HEAD_BYTES + strlen(reader->sid) + 2 + strlen(reader->account) + 2 + 1, codes = 0;
    if (!*reader->sid || strlen(reader->sid) > PWK_SID_MAX || strlen(reader->account) > PWK_ACCOUNT_MAX
        || reader->count < 0 || reader->count > PWK_PRODUCTS_MAX || reader->created < 0 || reader->checked < 0)
        return APR_EINVAL;
    for (int i = 0; i < reader->count; i++) {
        if (strlen(reader->codes[i]) > PWK_CODE_MAX)
            return APR_EINVAL;
        codes += strlen(reader->codes[i]);
    }
    if (codes > PWK_PRODUCTS_BYTES_MAX)
        return APR_EINVAL;
    size += codes + 2 * (size_t)reader->count;

    unsigned char *start = apr_palloc(p, size), *at = start;
    *at++ = FORMAT;
    *at++ = reader->terminated ? FLAG_TERMINATED : 0;
    at = put_number(at, (apr_uint64_t)apr_time_sec(reader->created));
    at = put_number(at, (apr_uint64_t)apr_time_sec(reader->checked));
    at = put_number(at, reader->named);
    at = put_text(at, reader->sid);
    at = put_text(at, reader->account);
    *at++ = (unsigned char)reader->count;
    for (int i = 0; i < reader->count; i++)
        at = put_text(at, reader->codes[i]);
    *bytes = start;
    *len = (apr_size_t)(at - start);
    return APR_SUCCESS;
}

/* Seconds that fit apr_time_t once in microseconds. */
static int get_time(apr_time_t *time, const unsigned char *at)
{
    apr_uint64_t seconds = get_number(at);
    if (seconds > (apr_uint64_t)APR_INT64_MAX / APR_USEC_PER_SEC)
        return 0;
    *time = apr_time_from_sec((apr_int64_t)seconds);
    return 1;
}

apr_status_t pwk_reader_read(pwk_reader *reader, const void *bytes, apr_size_t len, apr_pool_t *p)
{
    const unsigned char *at = bytes, *end = at + len;
    if (len < HEAD_BYTES || at[0] != FORMAT || (at[1] & ~FLAG_TERMINATED))
        return APR_EINVAL;
    pwk_reader read = {.terminated = at[1] & FLAG_TERMINATED, .named = get_number(at + 18)};
    if (!get_time(&read.created, at + 2) || !get_time(&read.checked, at + 10))
        return APR_EINVAL;
    at += HEAD_BYTES;
    read.sid = get_text(&at, end, PWK_SID_MAX);
    read.account = read.sid ? get_text(&at, end, PWK_ACCOUNT_MAX) : NULL;
    if (!read.account || !*read.sid || at == end || *at > PWK_PRODUCTS_MAX)
        return APR_EINVAL;
    read.count = *at++;
    const char **codes = apr_palloc(p, sizeof(*codes) * (size_t)(read.count + 1));
    for (int i = 0; i < read.count; i++) {
        codes[i] = get_text(&at, end, PWK_CODE_MAX);
        if (!codes[i])
            return APR_EINVAL;
    }
    if (at != end)
        return APR_EINVAL;
    read.codes = codes;
    *reader = read;
    return APR_SUCCESS;
}
