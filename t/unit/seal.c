/* RAND_set_rand_method is deprecated, and still the one way to see what happens without randomness. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "unit.h"

#include <stdio.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "pwk_limits.h"
#include "pwk_seal.h"
#include "pwk_text.h"

#define DAY apr_time_from_sec(86400)
#define CONTEXT "https://news.example\norganisation\nclient"

/* The format, written down a second time. */
#define HEADER 7
#define NONCE 12
#define TAG 16
#define OVERHEAD (HEADER + NONCE + TAG)

static const char record[] = "{\"account\":\"5f0d9ea795cfebfb8544ab12\",\"products\":[\"digital\"]}";

static const char *key, *other_key; /* made for each run */
static apr_time_t now;              /* noon of some day */
static pwk_seal *seal;

/* A ring that must be there. */
static pwk_seal *ring(const char *current, const char *previous, const char *context, apr_time_t when)
{
    pwk_seal *made = NULL;

    assert_int_equal(pwk_seal_create(&made, current, previous, context, when, pool), APR_SUCCESS);
    assert_non_null(made);
    return made;
}

static const char *closed_at(const pwk_seal *by, pwk_seal_purpose purpose, apr_time_t when)
{
    const char *text = NULL;

    assert_int_equal(pwk_seal_close(&text, by, purpose, record, sizeof(record) - 1, when, pool), APR_SUCCESS);
    return text;
}

static const char *closed(void)
{
    return closed_at(seal, PWK_SEAL_READER, now);
}

/* Whether `text` opens, from a buffer without a byte to spare; if so, it must be the record. */
static int opens_at(const pwk_seal *by, pwk_seal_purpose purpose, const char *text, apr_time_t when)
{
    char *copy = exact_text(text);
    void *data = NULL;
    apr_size_t len = 4711;
    apr_status_t rv = pwk_seal_open(&data, &len, by, purpose, copy, when, pool);

    free(copy);
    if (rv != APR_SUCCESS) { /* nothing is half filled */
        assert_int_equal(rv, APR_EINVAL);
        assert_null(data);
        assert_int_equal(len, 4711);
        return 0;
    }
    assert_int_equal(len, sizeof(record) - 1);
    assert_string_equal(data, record);
    return 1;
}

static int opens(const char *text)
{
    return opens_at(seal, PWK_SEAL_READER, text, now);
}

/* The bytes of a sealed text. */
static unsigned char *raw_of(const char *text, apr_size_t *len)
{
    void *bytes = NULL;

    assert_int_equal(pwk_text_unbase64url(&bytes, len, text, strlen(text), pool), APR_SUCCESS);
    return bytes;
}

static int group_begin(void **state)
{
    if (unit_begin(state)) {
        return 1;
    }
    key = pwk_seal_random(32, pool);
    other_key = pwk_seal_random(32, pool);
    now = (apr_time_now() / DAY) * DAY + DAY / 2;
    seal = ring(key, NULL, CONTEXT, now);
    return 0;
}

static void what_is_closed_opens(void **state)
{
    static const apr_size_t lengths[] = {0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 255, 300, 2047, 2048, 65537};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const apr_size_t len = lengths[i];
        char *bytes = malloc(len + 1), *data;
        const char *text;
        void *opened;
        apr_size_t opened_len, j;

        assert_non_null(bytes);
        for (j = 0; j < len; j++) {
            bytes[j] = (char)(j * 31);
        }
        data = exact_bytes(bytes, len);
        assert_int_equal(pwk_seal_close(&text, seal, PWK_SEAL_CACHE, data, len, now, pool), APR_SUCCESS);
        assert_int_equal(strlen(text), ((len + OVERHEAD) * 4 + 2) / 3);
        assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                         strlen(text));
        assert_int_equal(pwk_seal_open(&opened, &opened_len, seal, PWK_SEAL_CACHE, text, now, pool), APR_SUCCESS);
        assert_int_equal(opened_len, len);
        assert_memory_equal(opened, bytes, len);
        assert_int_equal(((char *)opened)[len], 0);
        free(data);
        free(bytes);
    }
    assert_true(opens(closed()));
}

static void nothing_of_it_can_be_read(void **state)
{
    apr_size_t len, i;
    unsigned char *raw = raw_of(closed(), &len);

    (void)state;
    for (i = 0; i + 8 <= len; i++) {
        assert_true(memcmp(raw + i, record, 8) != 0);
        assert_true(memcmp(raw + i, key, 8) != 0);
    }
}

static void every_flipped_bit_is_noticed(void **state)
{
    const char *text = closed();
    apr_size_t len, i;
    unsigned char *raw = raw_of(text, &len);

    (void)state;
    assert_int_equal(len, sizeof(record) - 1 + OVERHEAD);
    assert_int_equal(raw[0], 1);
    for (i = 0; i < len * 8; i++) {
        raw[i / 8] ^= (unsigned char)(1 << i % 8);
        if (opens(pwk_text_base64url(raw, len, pool))) {
            fail_msg("bit %zu of byte %zu", i % 8, i / 8);
        }
        raw[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    assert_true(opens(pwk_text_base64url(raw, len, pool)));
    for (i = 0; i < strlen(text); i++) {
        static const char others[] = "AQgw-_ .=%+/;\"\x01\xff";
        size_t j;

        for (j = 0; j < sizeof(others) - 1; j++) {
            char *changed = apr_pstrdup(pool, text);

            changed[i] = others[j];
            assert_int_equal(opens(changed), others[j] == text[i]);
        }
    }
}

static void every_cut_is_noticed(void **state)
{
    const char *text = closed();
    apr_size_t len, opened_len, i;
    unsigned char *raw = raw_of(text, &len);
    void *data = NULL;

    (void)state;
    assert_int_equal(pwk_seal_open(&data, &opened_len, seal, PWK_SEAL_READER, NULL, now, pool), APR_EINVAL);
    for (i = 0; i < strlen(text); i++) {
        assert_false(opens(apr_pstrmemdup(pool, text, i)));
        assert_false(opens(text + i + 1));
    }
    for (i = 0; i < len; i++) {
        assert_false(opens(pwk_text_base64url(raw, i, pool)));
        assert_false(opens(pwk_text_base64url(raw + i + 1, len - i - 1, pool)));
    }
    assert_false(opens(apr_pstrcat(pool, text, "A", NULL)));
    assert_false(opens(apr_pstrcat(pool, text, "AA", NULL)));
    assert_false(opens(apr_pstrcat(pool, text, "AAAA", NULL)));
    assert_false(opens(apr_pstrcat(pool, text, "=", NULL)));
    assert_false(opens(apr_pstrcat(pool, text, text, NULL)));
    assert_false(opens(apr_pstrcat(pool, " ", text, NULL)));
}

static void halves_cannot_be_exchanged(void **state)
{
    apr_size_t len, i;
    unsigned char *a = raw_of(closed(), &len), *b = raw_of(closed(), &len);

    (void)state;
    for (i = HEADER + 1; i < len; i++) { /* the front of one and the back of the other; the headers are alike */
        unsigned char *mixed = apr_pmemdup(pool, a, len);

        memcpy(mixed + i, b + i, len - i);
        if (memcmp(mixed, a, len) != 0 && memcmp(mixed, b, len) != 0) {
            assert_false(opens(pwk_text_base64url(mixed, len, pool)));
        }
    }
}

static void a_purpose_opens_its_own(void **state)
{
    pwk_seal_purpose made, asked;

    (void)state;
    for (made = 0; made < PWK_SEAL_PURPOSES; made++) {
        const char *text = closed_at(seal, made, now);

        for (asked = 0; asked < PWK_SEAL_PURPOSES; asked++) {
            assert_int_equal(opens_at(seal, asked, text, now), made == asked);
        }
    }
}

static void a_host_opens_its_own(void **state)
{
    static const char *const contexts[] = {"", "a", "b", "ab", CONTEXT, "https://news.example\norganisation\nclient2"};
    const size_t count = sizeof(contexts) / sizeof(contexts[0]);
    pwk_seal *rings[sizeof(contexts) / sizeof(contexts[0])];
    size_t i, j;

    (void)state;
    for (i = 0; i < count; i++) {
        rings[i] = ring(key, NULL, contexts[i], now);
    }
    for (i = 0; i < count; i++) {
        const char *text = closed_at(rings[i], PWK_SEAL_READER, now);

        for (j = 0; j < count; j++) {
            assert_int_equal(opens_at(rings[j], PWK_SEAL_READER, text, now), i == j);
        }
    }
    assert_true(opens_at(ring(key, NULL, CONTEXT, now), PWK_SEAL_READER, closed(), now)); /* another process */
}

static void keys_rotate(void **state)
{
    pwk_seal *before = ring(key, NULL, CONTEXT, now), *during = ring(other_key, key, CONTEXT, now);
    pwk_seal *after = ring(other_key, NULL, CONTEXT, now), *same = ring(key, key, CONTEXT, now);
    const char *old_text = closed_at(before, PWK_SEAL_READER, now), *new_text = closed_at(during, PWK_SEAL_READER, now);

    (void)state;
    assert_true(opens_at(during, PWK_SEAL_READER, old_text, now));
    assert_true(opens_at(during, PWK_SEAL_READER, new_text, now));
    assert_false(opens_at(after, PWK_SEAL_READER, old_text, now));
    assert_true(opens_at(after, PWK_SEAL_READER, new_text, now));
    assert_false(opens_at(before, PWK_SEAL_READER, new_text, now));
    assert_true(opens_at(same, PWK_SEAL_READER, old_text, now));
    assert_false(opens_at(same, PWK_SEAL_READER, new_text, now));
    assert_false(opens_at(during, PWK_SEAL_LOGIN, old_text, now));
    assert_false(opens_at(ring(other_key, key, "another", now), PWK_SEAL_READER, old_text, now));
}

/* The id in front only says where to look: under another's id, nothing opens. */
static void the_key_id_gives_nothing_away(void **state)
{
    pwk_seal *during = ring(other_key, key, CONTEXT, now);
    apr_size_t len;
    unsigned char *old_raw = raw_of(closed_at(seal, PWK_SEAL_READER, now), &len);
    unsigned char *new_raw = raw_of(closed_at(during, PWK_SEAL_READER, now), &len);

    (void)state;
    assert_memory_not_equal(old_raw + 1, new_raw + 1, 4);
    memcpy(old_raw + 1, new_raw + 1, 4);
    assert_false(opens_at(during, PWK_SEAL_READER, pwk_text_base64url(old_raw, len, pool), now));
}

static void days_pass(void **state)
{
    const apr_time_t morning = now - DAY / 2;
    const apr_time_t second = apr_time_from_sec(1), leeway = apr_time_from_sec(PWK_CLOCK_LEEWAY_S);
    const apr_time_t last_day = morning + PWK_SEAL_DAYS_MAX * DAY;
    const char *first = closed_at(seal, PWK_SEAL_READER, morning);
    const char *last = closed_at(seal, PWK_SEAL_READER, morning + DAY - 1);
    int days;

    (void)state;
    for (days = 0; days <= PWK_SEAL_DAYS_MAX; days++) {
        assert_true(opens_at(seal, PWK_SEAL_READER, first, now + days * DAY));
    }
    for (days = PWK_SEAL_DAYS_MAX + 1; days < 100; days++) {
        assert_false(opens_at(seal, PWK_SEAL_READER, first, now + days * DAY));
    }
    assert_true(opens_at(seal, PWK_SEAL_READER, first, last_day + DAY - 1));
    assert_true(opens_at(seal, PWK_SEAL_READER, last, last_day + DAY - 1));
    assert_false(opens_at(seal, PWK_SEAL_READER, first, last_day + DAY));
    assert_false(opens_at(seal, PWK_SEAL_READER, last, last_day + DAY));

    /* another host's midnight may come a little earlier, and no more than that */
    assert_true(opens_at(seal, PWK_SEAL_READER, first, morning));
    assert_true(opens_at(seal, PWK_SEAL_READER, first, morning - leeway + second));
    assert_true(opens_at(seal, PWK_SEAL_READER, first, morning - leeway));
    assert_false(opens_at(seal, PWK_SEAL_READER, first, morning - leeway - 1));
    assert_false(opens_at(seal, PWK_SEAL_READER, first, morning - leeway - second));
    for (days = 1; days < 40; days++) {
        assert_false(opens_at(seal, PWK_SEAL_READER, first, now - days * DAY));
    }
}

static void the_day_cannot_be_rewritten(void **state)
{
    apr_size_t len;
    unsigned char *raw = raw_of(closed_at(seal, PWK_SEAL_READER, now - 40 * DAY), &len);
    const long today = (long)(apr_time_sec(now) / 86400);

    (void)state;
    assert_int_equal(raw[5] << 8 | raw[6], today - 40);
    raw[5] = (unsigned char)(today >> 8);
    raw[6] = (unsigned char)today;
    assert_false(opens(pwk_text_base64url(raw, len, pool)));
}

/* A server that is not restarted for long leaves the days whose keys it has at hand. It must not matter. */
static void a_day_has_one_key_wherever_it_is_derived(void **state)
{
    static const int distances[] = {-400, -63, -33, -32, -31, -30, -1, 0,  1,   30,
                                    31,   32,  33,  34,  62,  63,  64, 65, 400, 10000};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        const apr_time_t when = now + distances[i] * DAY;
        const pwk_seal *fresh = ring(key, NULL, CONTEXT, when);

        assert_true(opens_at(fresh, PWK_SEAL_SALE, closed_at(seal, PWK_SEAL_SALE, when), when));
        assert_true(opens_at(seal, PWK_SEAL_SALE, closed_at(fresh, PWK_SEAL_SALE, when), when));
        assert_false(opens_at(seal, PWK_SEAL_CACHE, closed_at(fresh, PWK_SEAL_SALE, when), when));
    }
    for (i = 0; i < 100; i++) { /* neighbours at both ends of the table have keys of their own */
        const apr_time_t when = now + ((int)i - 50) * DAY;
        apr_size_t len;
        unsigned char *raw = raw_of(closed_at(seal, PWK_SEAL_SALE, when), &len);

        raw[6] ^= 1;
        assert_false(opens_at(seal, PWK_SEAL_SALE, pwk_text_base64url(raw, len, pool), when + DAY));
    }
}

static void times_that_no_day_can_stand_for(void **state)
{
    const apr_time_t last = 0xffff * DAY;
    const char *text = closed();
    pwk_seal *made = NULL;

    (void)state;
    assert_false(opens_at(seal, PWK_SEAL_READER, text, -1));
    assert_false(opens_at(seal, PWK_SEAL_READER, text, 0));
    assert_false(opens_at(seal, PWK_SEAL_READER, text, last + DAY));
    assert_false(opens_at(seal, PWK_SEAL_READER, text, INT64_MAX));
    assert_false(opens_at(seal, PWK_SEAL_READER, text, INT64_MIN));
    assert_true(opens_at(seal, PWK_SEAL_READER, closed_at(seal, PWK_SEAL_READER, 0), 0));
    assert_true(opens_at(seal, PWK_SEAL_READER, closed_at(seal, PWK_SEAL_READER, last), last));
    text = "untouched";
    assert_int_equal(pwk_seal_close(&text, seal, PWK_SEAL_READER, "a", 1, last + DAY, pool), APR_EGENERAL);
    assert_int_equal(pwk_seal_close(&text, seal, PWK_SEAL_READER, "a", 1, -1, pool), APR_EGENERAL);
    assert_string_equal(text, "untouched");
    assert_int_equal(pwk_seal_create(&made, key, NULL, CONTEXT, -1, pool), APR_EGENERAL);
    assert_int_equal(pwk_seal_create(&made, key, NULL, CONTEXT, last + DAY, pool), APR_EGENERAL);
    assert_null(made);
    assert_true(opens_at(ring(key, NULL, CONTEXT, 0), PWK_SEAL_READER, closed(), now));
    assert_true(opens_at(ring(key, NULL, CONTEXT, last), PWK_SEAL_READER, closed(), now));
}

static void short_keys_are_refused(void **state)
{
    const char *enough = repeated('k', PWK_SECRET_MIN), *less = repeated('k', PWK_SECRET_MIN - 1);
    const char *more = repeated('k', PWK_SECRET_MIN + 1);
    pwk_seal *made = NULL;

    (void)state;
    assert_int_equal(pwk_seal_create(&made, less, NULL, CONTEXT, now, pool), APR_EINVAL);
    assert_int_equal(pwk_seal_create(&made, "", NULL, CONTEXT, now, pool), APR_EINVAL);
    assert_int_equal(pwk_seal_create(&made, NULL, NULL, CONTEXT, now, pool), APR_EINVAL);
    assert_int_equal(pwk_seal_create(&made, enough, less, CONTEXT, now, pool), APR_EINVAL);
    assert_int_equal(pwk_seal_create(&made, enough, "", CONTEXT, now, pool), APR_EINVAL);
    assert_null(made);
    assert_int_equal(pwk_seal_create(&made, enough, NULL, CONTEXT, now, pool), APR_SUCCESS);
    assert_int_equal(pwk_seal_create(&made, more, enough, CONTEXT, now, pool), APR_SUCCESS);
    /* every byte of a long key counts */
    assert_false(opens_at(
        ring(apr_pstrcat(pool, repeated('k', 500), "a", NULL), NULL, CONTEXT, now), PWK_SEAL_READER,
        closed_at(ring(apr_pstrcat(pool, repeated('k', 500), "b", NULL), NULL, CONTEXT, now), PWK_SEAL_READER, now),
        now));
}

/* The whole of HKDF-SHA256 in one step, as the RFC has it. */
static void derive_by_hand(unsigned char out[32], size_t len, const void *info, size_t info_len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    char digest[] = "SHA2-256", salt[] = "mod_payway_klarna";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("digest", digest, 0),
        OSSL_PARAM_construct_octet_string("key", (void *)(uintptr_t)key, strlen(key)),
        OSSL_PARAM_construct_octet_string("salt", salt, strlen(salt)),
        OSSL_PARAM_construct_octet_string("info", (void *)(uintptr_t)info, info_len),
        OSSL_PARAM_construct_end(),
    };

    assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* Opens a sealed string with nothing of the module: what is in browsers and caches today must open tomorrow, so a
 * change of the format or the derivation has to show. */
static void the_format_is_this_one(void **state)
{
    static const char *const names[] = {"reader", "login", "state", "sale", "cache", "ledger", "resume"};
    const unsigned int today = (unsigned int)(apr_time_sec(now) / 86400);
    pwk_seal_purpose purpose;

    (void)state;
    for (purpose = 0; purpose < PWK_SEAL_PURPOSES; purpose++) {
        unsigned char id[32], day_key[32], info[32], aad[HEADER + 32], plain[256];
        const size_t info_len = (size_t)snprintf((char *)info, sizeof(info), "seal %s", names[purpose]) + 1;
        apr_size_t len;
        unsigned char *raw = raw_of(closed_at(seal, purpose, now), &len);
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n;

        info[info_len] = (unsigned char)(today >> 8);
        info[info_len + 1] = (unsigned char)today;
        derive_by_hand(day_key, 32, info, info_len + 2);
        derive_by_hand(id, 4, "key id", 6);
        assert_int_equal(raw[0], 1);
        assert_memory_equal(raw + 1, id, 4);
        assert_int_equal(raw[5], today >> 8);
        assert_int_equal(raw[6], today & 0xff);
        memcpy(aad, raw, HEADER);
        SHA256((const unsigned char *)CONTEXT, strlen(CONTEXT), aad + HEADER);
        assert_true(EVP_DecryptInit(ctx, EVP_aes_256_gcm(), day_key, raw + HEADER));
        assert_true(EVP_DecryptUpdate(ctx, NULL, &n, aad, sizeof(aad)));
        assert_true(EVP_DecryptUpdate(ctx, plain, &n, raw + HEADER + NONCE, (int)(len - OVERHEAD)));
        assert_int_equal(n, sizeof(record) - 1);
        assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, raw + len - TAG));
        assert_int_equal(EVP_DecryptFinal(ctx, plain + n, &n), 1);
        assert_memory_equal(plain, record, sizeof(record) - 1);
        EVP_CIPHER_CTX_free(ctx);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, NONCE);
}

static void no_nonce_comes_twice(void **state)
{
    enum { COUNT = 20000 };
    unsigned char(*nonces)[NONCE] = malloc((size_t)COUNT * NONCE);
    int i;

    (void)state;
    assert_non_null(nonces);
    for (i = 0; i < COUNT; i++) {
        const char *text;
        apr_size_t len;

        assert_int_equal(pwk_seal_close(&text, seal, PWK_SEAL_READER, "", 0, now, pool), APR_SUCCESS);
        memcpy(nonces[i], raw_of(text, &len) + HEADER, NONCE);
    }
    qsort(nonces, COUNT, NONCE, by_bytes);
    for (i = 1; i < COUNT; i++) {
        assert_memory_not_equal(nonces[i - 1], nonces[i], NONCE);
    }
    free(nonces);
}

static int no_bytes(unsigned char *buffer, int len)
{
    memset(buffer, 0, (size_t)len); /* as a broken one would leave it */
    ERR_raise(ERR_LIB_RAND, 1);
    return 0;
}

static void without_randomness_nothing_is_made(void **state)
{
    static const RAND_METHOD broken = {.bytes = no_bytes, .pseudorand = no_bytes};
    const RAND_METHOD *sound = RAND_get_rand_method();
    const char *text = "untouched", *before = closed();
    apr_status_t rv;
    const char *random;

    (void)state;
    RAND_set_rand_method(&broken);
    ERR_clear_error();
    rv = pwk_seal_close(&text, seal, PWK_SEAL_READER, record, sizeof(record) - 1, now, pool);
    random = pwk_seal_random(16, pool);
    RAND_set_rand_method(sound);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(rv, APR_EGENERAL);
    assert_string_equal(text, "untouched");
    assert_null(random);
    assert_true(opens(before));
    assert_true(opens(closed()));
}

/* mod_ssl asks the thread's error queue what happened to its own call. */
static void failures_leave_no_error_behind(void **state)
{
    apr_size_t len;
    unsigned char *raw = raw_of(closed(), &len);

    (void)state;
    ERR_clear_error();
    raw[len - 1] ^= 1;
    assert_false(opens(pwk_text_base64url(raw, len, pool)));
    assert_false(opens_at(seal, PWK_SEAL_LOGIN, closed(), now));
    assert_false(opens("AAAA"));
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_USER, 1); /* and somebody else's stays */
    assert_false(opens(pwk_text_base64url(raw, len, pool)));
    assert_true(opens(closed()));
    assert_int_equal(ERR_GET_LIB(ERR_get_error()), ERR_LIB_USER);
    assert_int_equal(ERR_peek_error(), 0);
}

#define WATCHED 256 /* bytes at the front of a ring: keys stand there */

typedef struct {
    const unsigned char *memory;
    int was_clean;
} watch;

static apr_status_t look(void *data)
{
    watch *seen = data;
    size_t i;

    seen->was_clean = 1;
    for (i = 0; i < WATCHED; i++) {
        seen->was_clean &= seen->memory[i] == 0;
    }
    return APR_SUCCESS;
}

static void keys_are_wiped_with_the_pool(void **state)
{
    apr_pool_t *p;
    pwk_seal *made;
    watch seen = {0};
    size_t i, set = 0;

    (void)state;
    assert_int_equal(apr_pool_create(&p, pool), APR_SUCCESS);
    apr_pool_cleanup_register(p, &seen, look, apr_pool_cleanup_null); /* runs after the ring's, which comes later */
    assert_int_equal(pwk_seal_create(&made, key, other_key, CONTEXT, now, p), APR_SUCCESS);
    seen.memory = (const unsigned char *)made;
    for (i = 0; i < WATCHED; i++) {
        set += seen.memory[i] != 0;
    }
    assert_true(set > WATCHED / 2);
    apr_pool_destroy(p);
    assert_true(seen.was_clean);
}

static void *APR_THREAD_FUNC open_and_close(apr_thread_t *thread, void *data)
{
    apr_pool_t *p = apr_thread_pool_get(thread);
    int i, *good = data;

    for (i = 0; i < 300; i++) {
        const apr_time_t when = now + (i % 100) * DAY; /* at hand, and not */
        const char *text = NULL;
        void *opened = NULL;
        apr_size_t len = 0;

        *good += pwk_seal_close(&text, seal, PWK_SEAL_LOGIN, &i, sizeof(i), when, p) == APR_SUCCESS
                 && pwk_seal_open(&opened, &len, seal, PWK_SEAL_LOGIN, text, when, p) == APR_SUCCESS && len == sizeof(i)
                 && memcmp(opened, &i, sizeof(i)) == 0;
    }
    return NULL;
}

static void threads_need_no_lock(void **state)
{
    enum { THREADS = 4 };
    apr_thread_t *threads[THREADS];
    int good[THREADS] = {0}, i;

    (void)state;
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(apr_thread_create(&threads[i], NULL, open_and_close, &good[i], pool), APR_SUCCESS);
    }
    for (i = 0; i < THREADS; i++) {
        apr_status_t rv;

        assert_int_equal(apr_thread_join(&rv, threads[i]), APR_SUCCESS);
        assert_int_equal(good[i], 300);
    }
}

static void tokens_are_bound(void **state)
{
    const char *token = pwk_seal_token(seal, "logout", "session-1", pool);
    const pwk_seal *elsewhere = ring(key, NULL, "another", now), *other = ring(other_key, NULL, CONTEXT, now);
    size_t i;

    (void)state;
    assert_int_equal(strlen(token), 43);
    assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_string_equal(token, pwk_seal_token(seal, "logout", "session-1", pool));
    assert_string_equal(token,
                        pwk_seal_token(ring(key, other_key, CONTEXT, now + 100 * DAY), "logout", "session-1", pool));
    assert_true(pwk_seal_token_is(seal, "logout", "session-1", token, pool));
    assert_false(pwk_seal_token_is(seal, "logout", "session-2", token, pool));
    assert_false(pwk_seal_token_is(seal, "logout", "session-", token, pool));
    assert_false(pwk_seal_token_is(seal, "logout", "", token, pool));
    assert_false(pwk_seal_token_is(seal, "logi", "session-1", token, pool));
    assert_false(pwk_seal_token_is(seal, "logouts", "ession-1", token, pool));
    assert_false(pwk_seal_token_is(seal, "logou", "tsession-1", token, pool));
    assert_false(pwk_seal_token_is(seal, "", "logoutsession-1", token, pool));
    assert_false(pwk_seal_token_is(seal, "session-1", "logout", token, pool));
    assert_false(pwk_seal_token_is(elsewhere, "logout", "session-1", token, pool));
    assert_false(pwk_seal_token_is(other, "logout", "session-1", token, pool));

    assert_false(pwk_seal_token_is(seal, "logout", "session-1", NULL, pool));
    assert_false(pwk_seal_token_is(seal, "logout", NULL, token, pool));
    assert_false(pwk_seal_token_is(seal, "logout", NULL, NULL, pool));
    assert_false(pwk_seal_token_is(seal, "logout", "session-1", "", pool));
    assert_false(pwk_seal_token_is(seal, "logout", "session-1", apr_pstrcat(pool, token, "=", NULL), pool));
    assert_false(pwk_seal_token_is(seal, "logout", "session-1", apr_pstrcat(pool, token, "A", NULL), pool));
    for (i = 0; i < 43; i++) {
        char *changed = apr_pstrdup(pool, token);

        assert_false(pwk_seal_token_is(seal, "logout", "session-1", apr_pstrmemdup(pool, token, i), pool));
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(pwk_seal_token_is(seal, "logout", "session-1", changed, pool));
    }
    assert_true(pwk_seal_token_is(seal, "", "", pwk_seal_token(seal, "", "", pool), pool));
}

static void tokens_outlive_a_rotation(void **state)
{
    const pwk_seal *during = ring(other_key, key, CONTEXT, now), *after = ring(other_key, NULL, CONTEXT, now);
    const char *old_token = pwk_seal_token(seal, "l", "t", pool), *new_token = pwk_seal_token(during, "l", "t", pool);

    (void)state;
    assert_true(pwk_seal_token_is(during, "l", "t", old_token, pool));
    assert_true(pwk_seal_token_is(during, "l", "t", new_token, pool));
    assert_false(pwk_seal_token_is(after, "l", "t", old_token, pool));
    assert_true(pwk_seal_token_is(after, "l", "t", new_token, pool));
    assert_false(pwk_seal_token_is(seal, "l", "t", new_token, pool));
    assert_false(pwk_seal_token_is(during, "l", "u", old_token, pool));
}

static void random_text(void **state)
{
    size_t bytes;
    int i;

    (void)state;
    for (bytes = 0; bytes < 70; bytes++) {
        const char *text = pwk_seal_random(bytes, pool);

        assert_non_null(text);
        assert_int_equal(strlen(text), (bytes * 4 + 2) / 3);
    }
    for (i = 0; i < 100; i++) {
        assert_string_not_equal(pwk_seal_random(16, pool), pwk_seal_random(16, pool));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_closed_opens),
        cmocka_unit_test(nothing_of_it_can_be_read),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(halves_cannot_be_exchanged),
        cmocka_unit_test(a_purpose_opens_its_own),
        cmocka_unit_test(a_host_opens_its_own),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(the_key_id_gives_nothing_away),
        cmocka_unit_test(days_pass),
        cmocka_unit_test(the_day_cannot_be_rewritten),
        cmocka_unit_test(a_day_has_one_key_wherever_it_is_derived),
        cmocka_unit_test(times_that_no_day_can_stand_for),
        cmocka_unit_test(short_keys_are_refused),
        cmocka_unit_test(the_format_is_this_one),
        cmocka_unit_test(no_nonce_comes_twice),
        cmocka_unit_test(without_randomness_nothing_is_made),
        cmocka_unit_test(failures_leave_no_error_behind),
        cmocka_unit_test(keys_are_wiped_with_the_pool),
        cmocka_unit_test(threads_need_no_lock),
        cmocka_unit_test(tokens_are_bound),
        cmocka_unit_test(tokens_outlive_a_rotation),
        cmocka_unit_test(random_text),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("seal", tests, group_begin, unit_end);
}
