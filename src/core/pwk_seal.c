#include "pwk_seal.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "pwk_limits.h"
#include "pwk_text.h"

#define FORMAT 1      /* the first byte of every sealed string */
#define KEY_SIZE 32   /* AES-256, and the keys of HMAC-SHA256 */
#define ID_SIZE 4     /* tells which secret sealed it */
#define HEADER_SIZE 7 /* format, key id, day in two bytes */
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define DIGEST_SIZE 32 /* SHA-256 */
#define AAD_SIZE (HEADER_SIZE + DIGEST_SIZE)
#define DAYS_AHEAD 32 /* days without a restart for which keys are at hand */
#define DAYS (PWK_SEAL_DAYS_MAX + 1 + DAYS_AHEAD)
#define DAY_LAST 0xffffL /* in 2149 */
#define DAY_S 86400

/* One secret and everything derived from it. */
typedef struct {
    unsigned char root[KEY_SIZE];  /* what HKDF extracted; other keys are expanded from it */
    unsigned char token[KEY_SIZE]; /* the key of pwk_seal_token */
    unsigned char days[PWK_SEAL_PURPOSES][DAYS][KEY_SIZE];
    unsigned char id[ID_SIZE];
} secret_keys;

struct pwk_seal {
    secret_keys secrets[2]; /* current, previous */
    int secrets_len;
    long first_day; /* of secret_keys.days */
    unsigned char context[DIGEST_SIZE];
    EVP_CIPHER *cipher; /* fetched once: an implicit fetch costs a third of an opening */
    EVP_KDF *kdf;
};

/* What each purpose is called in the derivation. Never change one: what it sealed would be lost. */
static const char *const purpose_names[PWK_SEAL_PURPOSES] = {
    [PWK_SEAL_READER] = "reader", [PWK_SEAL_LOGIN] = "login",   [PWK_SEAL_STATE] = "state",   [PWK_SEAL_SALE] = "sale",
    [PWK_SEAL_CACHE] = "cache",   [PWK_SEAL_LEDGER] = "ledger", [PWK_SEAL_RESUME] = "resume",
};

static apr_status_t forget(void *data)
{
    pwk_seal *seal = data;

    EVP_CIPHER_free(seal->cipher);
    EVP_KDF_free(seal->kdf);
    OPENSSL_cleanse(seal, sizeof(*seal));
    return APR_SUCCESS;
}

/* HKDF-SHA256 (RFC 5869), one of its two steps: extract (of a secret, without info) or expand (of a root). */
static int hkdf(EVP_KDF *kdf, int step, unsigned char *out, apr_size_t out_len, const void *key, apr_size_t key_len,
                const void *info, apr_size_t info_len)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    char digest[] = "SHA256";
    char salt[] = "mod_payway_klarna";
    OSSL_PARAM params[5], *param = params;
    int done;

    if (!ctx) {
        return 0;
    }
    *param++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &step);
    *param++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_len);
    if (step == EVP_KDF_HKDF_MODE_EXTRACT_ONLY) {
        *param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt) - 1);
    } else {
        *param++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_len);
    }
    *param = OSSL_PARAM_construct_end();
    done = EVP_KDF_derive(ctx, out, out_len, params) > 0;
    EVP_KDF_CTX_free(ctx);
    return done;
}

/* Expands the key of `purpose` on `day`. The info is "seal <purpose>", NUL, and the day in two bytes. */
static int day_key(unsigned char key[KEY_SIZE], const pwk_seal *seal, const secret_keys *secret,
                   pwk_seal_purpose purpose, long day)
{
    unsigned char info[16] = "seal ";
    const apr_size_t name_len = strlen(purpose_names[purpose]);
    apr_size_t len = 5;

    memcpy(info + len, purpose_names[purpose], name_len);
    len += name_len;
    info[len++] = '\0';
    info[len++] = (unsigned char)(day >> 8);
    info[len++] = (unsigned char)day;
    return hkdf(seal->kdf, EVP_KDF_HKDF_MODE_EXPAND_ONLY, key, KEY_SIZE, secret->root, KEY_SIZE, info, len);
}

static int derive(secret_keys *keys, const pwk_seal *seal, const char *secret)
{
    int purpose, i;

    if (!hkdf(seal->kdf, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, keys->root, KEY_SIZE, secret, strlen(secret), NULL, 0)
        || !hkdf(seal->kdf, EVP_KDF_HKDF_MODE_EXPAND_ONLY, keys->id, ID_SIZE, keys->root, KEY_SIZE, "key id", 6)
        || !hkdf(seal->kdf, EVP_KDF_HKDF_MODE_EXPAND_ONLY, keys->token, KEY_SIZE, keys->root, KEY_SIZE, "token", 5)) {
        return 0;
    }
    for (purpose = 0; purpose < PWK_SEAL_PURPOSES; purpose++) {
        for (i = 0; i < DAYS; i++) {
            if (!day_key(keys->days[purpose][i], seal, keys, (pwk_seal_purpose)purpose, seal->first_day + i)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Days since the epoch, -1 when that is not a day we can write. */
static long day_of(apr_time_t when)
{
    const apr_time_t day = apr_time_sec(when) / DAY_S;

    return when < 0 || day > DAY_LAST ? -1 : (long)day;
}

apr_status_t pwk_seal_create(pwk_seal **seal, const char *current, const char *previous, const char *context,
                             apr_time_t now, apr_pool_t *p)
{
    const long today = day_of(now);
    pwk_seal *made;

    if (!current || strlen(current) < PWK_SECRET_MIN || (previous && strlen(previous) < PWK_SECRET_MIN)) {
        return APR_EINVAL;
    }
    if (today < 0) {
        return APR_EGENERAL;
    }
    made = apr_pcalloc(p, sizeof(*made));
    apr_pool_cleanup_register(p, made, forget, apr_pool_cleanup_null);
    made->first_day = today - PWK_SEAL_DAYS_MAX;
    made->secrets_len = previous ? 2 : 1;
    made->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    made->kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    if (!made->cipher || !made->kdf || !SHA256((const unsigned char *)context, strlen(context), made->context)
        || !derive(&made->secrets[0], made, current) || (previous && !derive(&made->secrets[1], made, previous))) {
        apr_pool_cleanup_run(p, made, forget);
        return APR_EGENERAL;
    }
    *seal = made;
    return APR_SUCCESS;
}

/* The key for `purpose` on `day`: the one at hand, or else derived into `scratch`. NULL: libcrypto refused. */
static const unsigned char *find_key(const pwk_seal *seal, const secret_keys *secret, pwk_seal_purpose purpose,
                                     long day, unsigned char scratch[KEY_SIZE])
{
    const long i = day - seal->first_day;

    if (i >= 0 && i < DAYS) {
        return secret->days[purpose][i];
    }
    return day_key(scratch, seal, secret, purpose, day) ? scratch : NULL;
}

/* What is authenticated beside the text: the header as it stands in front of it, and the context. */
static void make_aad(unsigned char aad[AAD_SIZE], const unsigned char header[HEADER_SIZE], const pwk_seal *seal)
{
    memcpy(aad, header, HEADER_SIZE);
    memcpy(aad + HEADER_SIZE, seal->context, DIGEST_SIZE);
}

apr_status_t pwk_seal_close(const char **text, const pwk_seal *seal, pwk_seal_purpose purpose, const void *data,
                            apr_size_t len, apr_time_t now, apr_pool_t *p)
{
    const secret_keys *secret = &seal->secrets[0];
    const long day = day_of(now);
    unsigned char scratch[KEY_SIZE], aad[AAD_SIZE];
    const unsigned char *key;
    unsigned char *raw, *nonce, *sealed;
    EVP_CIPHER_CTX *ctx;
    int n, done;

    if (day < 0 || len > INT_MAX / 2) {
        return APR_EGENERAL;
    }
    raw = apr_palloc(p, HEADER_SIZE + NONCE_SIZE + len + TAG_SIZE);
    nonce = raw + HEADER_SIZE;
    sealed = nonce + NONCE_SIZE;
    raw[0] = FORMAT;
    memcpy(raw + 1, secret->id, ID_SIZE);
    raw[1 + ID_SIZE] = (unsigned char)(day >> 8);
    raw[2 + ID_SIZE] = (unsigned char)day;
    make_aad(aad, raw, seal);

    ERR_set_mark(); /* what goes wrong here must not look like an error of the next TLS call of this thread */
    key = find_key(seal, secret, purpose, day, scratch);
    ctx = EVP_CIPHER_CTX_new();
    done = key && ctx && RAND_bytes(nonce, NONCE_SIZE) == 1 && EVP_EncryptInit_ex2(ctx, seal->cipher, key, nonce, NULL)
           && EVP_EncryptUpdate(ctx, NULL, &n, aad, AAD_SIZE)
           && (len == 0 || EVP_EncryptUpdate(ctx, sealed, &n, data, (int)len))
           && EVP_EncryptFinal_ex(ctx, sealed + len, &n)
           && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, sealed + len);
    EVP_CIPHER_CTX_free(ctx);
    if (key == scratch) {
        OPENSSL_cleanse(scratch, sizeof(scratch));
    }
    ERR_pop_to_mark();
    if (!done) {
        return APR_EGENERAL;
    }
    *text = pwk_text_base64url(raw, HEADER_SIZE + NONCE_SIZE + len + TAG_SIZE, p);
    return APR_SUCCESS;
}

/* The secret that sealed what `header` stands in front of, or NULL. */
static const secret_keys *find_secret(const pwk_seal *seal, const unsigned char *header)
{
    int i;

    for (i = 0; i < seal->secrets_len; i++) {
        if (memcmp(header + 1, seal->secrets[i].id, ID_SIZE) == 0) {
            return &seal->secrets[i];
        }
    }
    return NULL;
}

apr_status_t pwk_seal_open(void **data, apr_size_t *len, const pwk_seal *seal, pwk_seal_purpose purpose,
                           const char *text, apr_time_t now, apr_pool_t *p)
{
    const long today = day_of(now);
    unsigned char scratch[KEY_SIZE], aad[AAD_SIZE];
    const secret_keys *secret;
    const unsigned char *key;
    unsigned char *raw, *sealed;
    apr_size_t raw_len, sealed_len;
    void *decoded;
    EVP_CIPHER_CTX *ctx;
    long day;
    int n, done;

    if (!text || pwk_text_unbase64url(&decoded, &raw_len, text, strlen(text), p) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    raw = decoded;
    if (raw_len < HEADER_SIZE + NONCE_SIZE + TAG_SIZE || raw_len > INT_MAX || raw[0] != FORMAT) {
        return APR_EINVAL;
    }
    secret = find_secret(seal, raw);
    day = (long)raw[1 + ID_SIZE] << 8 | raw[2 + ID_SIZE];
    if (!secret || today < 0 || day < today - PWK_SEAL_DAYS_MAX
        || day > day_of(now + apr_time_from_sec(PWK_CLOCK_LEEWAY_S))) {
        return APR_EINVAL;
    }
    make_aad(aad, raw, seal);
    sealed = raw + HEADER_SIZE + NONCE_SIZE;
    sealed_len = raw_len - HEADER_SIZE - NONCE_SIZE - TAG_SIZE;

    ERR_set_mark();
    key = find_key(seal, secret, purpose, day, scratch);
    ctx = EVP_CIPHER_CTX_new();
    done = key && ctx && EVP_DecryptInit_ex2(ctx, seal->cipher, key, raw + HEADER_SIZE, NULL)
           && EVP_DecryptUpdate(ctx, NULL, &n, aad, AAD_SIZE)
           && (sealed_len == 0 || EVP_DecryptUpdate(ctx, sealed, &n, sealed, (int)sealed_len))
           && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, sealed + sealed_len)
           && EVP_DecryptFinal_ex(ctx, sealed + sealed_len, &n) > 0;
    EVP_CIPHER_CTX_free(ctx);
    if (key == scratch) {
        OPENSSL_cleanse(scratch, sizeof(scratch));
    }
    ERR_pop_to_mark();
    if (!done) {
        OPENSSL_cleanse(sealed, sealed_len); /* not authenticated: nobody may ever see it */
        return APR_EINVAL;
    }
    sealed[sealed_len] = '\0'; /* where the tag was */
    *data = sealed;
    *len = sealed_len;
    return APR_SUCCESS;
}

/* The token under one secret. */
static const char *make_token(const pwk_seal *seal, const secret_keys *secret, const char *label, const char *text,
                              apr_pool_t *p)
{
    const apr_size_t label_len = strlen(label) + 1, text_len = strlen(text); /* the NUL keeps them apart */
    const apr_size_t len = DIGEST_SIZE + label_len + text_len;
    unsigned char *message = apr_palloc(p, len);
    unsigned char mac[DIGEST_SIZE];

    memcpy(message, seal->context, DIGEST_SIZE);
    memcpy(message + DIGEST_SIZE, label, label_len);
    memcpy(message + DIGEST_SIZE + label_len, text, text_len);
    if (!HMAC(EVP_sha256(), secret->token, KEY_SIZE, message, len, mac, NULL)) {
        return NULL;
    }
    return pwk_text_base64url(mac, sizeof(mac), p);
}

const char *pwk_seal_token(const pwk_seal *seal, const char *label, const char *text, apr_pool_t *p)
{
    return make_token(seal, &seal->secrets[0], label, text, p);
}

int pwk_seal_token_is(const pwk_seal *seal, const char *label, const char *text, const char *token, apr_pool_t *p)
{
    int i, same = 0;

    if (!text || !token) {
        return 0;
    }
    for (i = 0; i < seal->secrets_len; i++) {
        same |= pwk_text_same_secret(make_token(seal, &seal->secrets[i], label, text, p), token);
    }
    return same;
}

const char *pwk_seal_random(apr_size_t bytes, apr_pool_t *p)
{
    unsigned char *random = apr_palloc(p, bytes + 1);
    const char *text;
    int done;

    ERR_set_mark();
    done = bytes <= INT_MAX && RAND_bytes(random, (int)bytes) == 1;
    ERR_pop_to_mark();
    if (!done) {
        return NULL;
    }
    text = pwk_text_base64url(random, bytes, p);
    OPENSSL_cleanse(random, bytes);
    return text;
}
