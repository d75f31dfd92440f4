/* What every unit test of core starts with: cmocka, a pool, and buffers that end where their text ends. */
#ifndef PWK_UNIT_H
#define PWK_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_pools.h>

static apr_pool_t *pool;

/* Group fixtures. */
static inline int unit_begin(void **state)
{
    (void)state;
    return apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS;
}

static inline int unit_end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

/* A copy of `len` bytes on the heap, without a byte to spare: whoever reads on is caught by valgrind or ASan. */
static inline char *exact_bytes(const void *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

static inline char *exact_text(const char *text)
{
    return exact_bytes(text, strlen(text) + 1);
}

/* `len` times `c`, in the pool. */
static inline char *repeated(char c, size_t len)
{
    char *text = apr_palloc(pool, len + 1);

    memset(text, c, len);
    text[len] = '\0';
    return text;
}

#endif
