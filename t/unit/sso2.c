/* src/core/pwk_sso2: what we say to SSO2, and every way to forge what it says to us. payway-api §5.4; threats B-04,
 * B-05.
 *
 * Signing and base64url are written here once more, on other functions of libcrypto than the code under test uses,
 * so that a mistake cannot cancel itself out. */
#include "unit.h"

#include <apr_strings.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_sso2.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SECOND ((apr_int64_t)1700000000)
#define NOW apr_time_from_sec(SECOND)
#define HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"

static char secret[41]; /* made at run time */
static char other_secret[41];
static pwk_sso2_client client;

/* --- the other side --- */

static const char *base64url(const void *bytes, size_t len)
{
    char *text = apr_palloc(pool, len * 4 / 3 + 5);
    int size = EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);

    while (size > 0 && text[size - 1] == '=') {
        text[--size] = '\0';
    }
    for (char *c = text; *c; c++) {
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
    return text;
}

/* The bytes of one part, NUL-terminated. */
static char *unbase64url(const char *text, size_t len)
{
    char *padded = apr_pstrmemdup(pool, text, len);
    char *bytes;
    int size;

    padded = apr_pstrcat(pool, padded, len % 4 == 2 ? "==" : len % 4 == 3 ? "=" : "", NULL);
    for (char *c = padded; *c; c++) {
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    bytes = apr_pcalloc(pool, strlen(padded) + 1);
    size = EVP_DecodeBlock((unsigned char *)bytes, (unsigned char *)padded, (int)strlen(padded));
    assert_true(size >= 0);
    bytes[(size_t)len * 3 / 4] = '\0';
    return bytes;
}

/* The signature of `text`, as base64url. */
static const char *mac(const char *digest, const void *key, size_t key_len, const char *text)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    char *name = apr_pstrdup(pool, digest);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0), OSSL_PARAM_construct_end()};
    unsigned char bytes[64];
    size_t len;

    assert_true(EVP_MAC_init(context, key, key_len, params));
    assert_true(EVP_MAC_update(context, (const unsigned char *)text, strlen(text)));
    assert_true(EVP_MAC_final(context, bytes, &len, sizeof bytes));
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(hmac);
    return base64url(bytes, len);
}

static const char *signing_input(const char *header, const char *claims)
{
    return apr_pstrcat(pool, base64url(header, strlen(header)), ".", base64url(claims, strlen(claims)), NULL);
}

static const char *signed_with(const char *key, const char *input)
{
    return apr_pstrcat(pool, input, ".", mac("SHA256", key, strlen(key), input), NULL);
}

static const char *token(const char *header, const char *claims)
{
    return signed_with(secret, signing_input(header, claims));
}

/* What SSO2 might say, claim by claim; `name` as `value` instead (NULL: left out, or not there to begin with). */
static const char *claims_with(const char *name, const char *value)
{
    const char *const claims[][2] = {
        {"cid", apr_psprintf(pool, "\"%s\"", client.client_id)},
        {"iss", apr_psprintf(pool, "\"%s\"", client.organisation)},
        {"aud", "\"pw-sso\""},
        {"iat", apr_psprintf(pool, "%" APR_INT64_T_FMT, SECOND)},
        {"nbf", apr_psprintf(pool, "%" APR_INT64_T_FMT, SECOND)},
        {"exp", apr_psprintf(pool, "%" APR_INT64_T_FMT, SECOND + 10)},
        {"sid", "\"session-1\""},
        {"sts", "\"loggedin\""},
        {"at", "\"ticket-1\""},
    };
    const char *text = "{\"unknown\":[{\"a\":1}]";
    int is_known = 0;

    for (size_t i = 0; i < COUNT(claims); i++) {
        const char *written = claims[i][1];

        if (name && strcmp(name, claims[i][0]) == 0) {
            is_known = 1;
            written = value;
        }
        if (written) {
            text = apr_pstrcat(pool, text, ",\"", claims[i][0], "\":", written, NULL);
        }
    }
    if (name && !is_known && value) {
        text = apr_pstrcat(pool, text, ",\"", name, "\":", value, NULL);
    }
    return apr_pstrcat(pool, text, "}", NULL);
}

static const char *claims(void)
{
    return claims_with(NULL, NULL);
}

static pwk_result read_now(pwk_sso2_answer *answer, const char *text)
{
    return pwk_sso2_read(answer, &client, text, NOW, pool);
}

static void is_nothing(const pwk_sso2_answer *answer)
{
    assert_string_equal(answer->sid, "");
    assert_string_equal(answer->at, "");
    assert_string_equal(answer->err, "");
    assert_false(answer->has_sts);
    assert_int_equal(answer->attempts_left, -1);
    assert_int_equal(answer->frozen_s, -1);
}

/* That `text` is refused, and for this very reason: a forgery that falls at another check proves nothing here. */
static void refused_for(const char *text, const char *check)
{
    pwk_sso2_answer answer;
    pwk_result result = read_now(&answer, text);

    if (result.outcome != PWK_REFUSED || strcmp(result.detail, check) != 0) {
        fail_msg("outcome %d for \"%s\", not for \"%s\": %.200s", result.outcome, result.detail, check,
                 text ? text : "NULL");
    }
    assert_string_equal(result.code, "bad_token");
    assert_int_not_equal(result.rv, APR_SUCCESS);
    is_nothing(&answer);
}

static pwk_sso2_answer accepted(const char *text)
{
    pwk_sso2_answer answer;
    pwk_result result = read_now(&answer, text);

    if (result.outcome != PWK_OK) {
        fail_msg("refused for \"%s\": %s", result.detail, text);
    }
    return answer;
}

/* --- what we say --- */

static const pwk_sso2_visitor visitor = {
    .sid = "session-1", .address = "2001:db8::1", .user_agent = "Mozilla/5.0 (X11)"};

/* The claims of a message of ours, after its header and signature have been checked. */
static json_t *claims_in(const char *text)
{
    const char *first = strchr(text, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;
    json_t *json;
    char *bytes;

    assert_non_null(second);
    assert_null(strchr(second + 1, '.'));
    assert_string_equal(unbase64url(text, (size_t)(first - text)), HEADER);
    assert_string_equal(second + 1,
                        mac("SHA256", secret, strlen(secret), apr_pstrmemdup(pool, text, (size_t)(second - text))));
    bytes = unbase64url(first + 1, (size_t)(second - first) - 1);
    assert_int_equal(pwk_json_object(&json, bytes, strlen(bytes), pool).outcome, PWK_OK);
    return json;
}

/* The token in a body, which is {"t":"…"} and nothing else. */
static const char *token_in(const char *body)
{
    json_t *json;

    assert_non_null(body);
    assert_int_equal(pwk_json_object(&json, body, strlen(body), pool).outcome, PWK_OK);
    assert_int_equal(json_object_size(json), 1);
    return pwk_json_text(json, "t", PWK_JWT_MAX, pool);
}

static void says(const char *text, int life_s, const char *more)
{
    const char *expected = apr_psprintf(pool,
                                        "{\"cid\":\"%s\",\"iss\":\"%s\",\"aud\":\"pw-sso\",\"iat\":%" APR_INT64_T_FMT
                                        ",\"nbf\":%" APR_INT64_T_FMT ",\"exp\":%" APR_INT64_T_FMT "%s}",
                                        client.client_id, client.organisation, SECOND, SECOND, SECOND + life_s, more);
    json_t *json;

    assert_int_equal(pwk_json_object(&json, expected, strlen(expected), pool).outcome, PWK_OK);
    if (!json_equal(json, claims_in(text))) {
        fail_msg("%s is not %s", pwk_json_dump(claims_in(text), pool), expected);
    }
}

#define VISITOR ",\"sid\":\"session-1\",\"ipa\":\"2001:db8::1\",\"uas\":\"Mozilla/5.0 (X11)\""

static void identify_says_who_we_are(void **state)
{
    (void)state;
    says(pwk_sso2_identify(&client, NOW, pool), 60, "");
    /* Whole seconds, rounded down. */
    says(pwk_sso2_identify(&client, NOW + 999999, pool), 60, "");
}

static void sessionstatus_says_what_we_believed(void **state)
{
    (void)state;
    says(token_in(pwk_sso2_sessionstatus(&client, &visitor, PWK_SSO2_ANON, NOW, pool)), 10,
         VISITOR ",\"lks\":\"anon\"");
    says(token_in(pwk_sso2_sessionstatus(&client, &visitor, PWK_SSO2_LOGGEDIN, NOW, pool)), 10,
         VISITOR ",\"lks\":\"loggedin\"");
    says(token_in(pwk_sso2_sessionstatus(&client, &visitor, PWK_SSO2_TERMINATED, NOW, pool)), 10,
         VISITOR ",\"lks\":\"terminated\"");
}

static void authenticate_says_the_password_as_typed(void **state)
{
    (void)state;
    says(token_in(pwk_sso2_authenticate(&client, &visitor, "eva@example.com", "hemligt", NOW, pool)), 10,
         VISITOR ",\"usr\":\"eva@example.com\",\"pwd\":\"hemligt\"");
    says(token_in(pwk_sso2_authenticate(&client, &visitor, "\xc3\xa5sa+x@example.com",
                                        " \"\\\t\x01/</\xf0\x9f\x98\x80 ", NOW, pool)),
         10, VISITOR ",\"usr\":\"\\u00e5sa+x@example.com\",\"pwd\":\" \\\"\\\\\\t\\u0001/</\\ud83d\\ude00 \"");
    says(token_in(pwk_sso2_authenticate(&client, &visitor, "", "", NOW, pool)), 10,
         VISITOR ",\"usr\":\"\",\"pwd\":\"\"");
}

static void logout_says_which_session(void **state)
{
    (void)state;
    says(token_in(pwk_sso2_logout(&client, &visitor, NOW, pool)), 10, VISITOR);
}

static void user_agent_is_made_visible(void **state)
{
    static const struct {
        const char *given;
        const char *said;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"curl/7.88.1", "curl/7.88.1"},
        {"a\r\nb\tc\x7f", "a??b?c?"},
        {"\xc3\xa5\xff\x80", "????"},
        {"\"}\\", "\"}\\"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_sso2_visitor seen = {.sid = "s", .address = "192.0.2.1", .user_agent = cases[i].given};
        json_t *said = claims_in(token_in(pwk_sso2_logout(&client, &seen, NOW, pool)));

        assert_string_equal(json_string_value(json_object_get(said, "uas")), cases[i].said);
    }
    for (size_t len = PWK_USER_AGENT_MAX - 1; len <= PWK_USER_AGENT_MAX + 1; len++) {
        char *agent = apr_pcalloc(pool, len + 1);
        pwk_sso2_visitor seen = {.sid = "s", .address = "192.0.2.1", .user_agent = agent};
        json_t *said;

        memset(agent, 'u', len);
        said = claims_in(token_in(pwk_sso2_logout(&client, &seen, NOW, pool)));
        assert_int_equal(json_string_length(json_object_get(said, "uas")),
                         len > PWK_USER_AGENT_MAX ? PWK_USER_AGENT_MAX : len);
    }
}

static void incomplete_messages_are_not_made(void **state)
{
    pwk_sso2_visitor broken = {.sid = "\xff", .address = "192.0.2.1", .user_agent = ""};
    pwk_sso2_client nameless = {.client_id = "\xc0\x80", .secret = secret, .organisation = "org"};

    (void)state;
    assert_null(pwk_sso2_authenticate(&client, &visitor, "eva\xff", "x", NOW, pool));
    assert_null(pwk_sso2_authenticate(&client, &visitor, "eva", "\xed\xa0\x80", NOW, pool));
    assert_null(pwk_sso2_sessionstatus(&client, &broken, PWK_SSO2_ANON, NOW, pool));
    assert_null(pwk_sso2_logout(&client, &broken, NOW, pool));
    assert_null(pwk_sso2_identify(&nameless, NOW, pool));
}

static void our_own_messages_are_refused_when_reflected(void **state)
{
    static const char check[] = "neither err nor sid with sts";

    (void)state;
    refused_for(pwk_sso2_identify(&client, NOW, pool), check);
    refused_for(token_in(pwk_sso2_logout(&client, &visitor, NOW, pool)), check);
    refused_for(token_in(pwk_sso2_sessionstatus(&client, &visitor, PWK_SSO2_LOGGEDIN, NOW, pool)), check);
    refused_for(token_in(pwk_sso2_authenticate(&client, &visitor, "eva@example.com", "x", NOW, pool)), check);
}

/* --- what we hear --- */

static void a_good_token_is_read(void **state)
{
    pwk_sso2_answer answer = accepted(token(HEADER, claims()));

    (void)state;
    assert_string_equal(answer.sid, "session-1");
    assert_true(answer.has_sts);
    assert_int_equal(answer.sts, PWK_SSO2_LOGGEDIN);
    assert_string_equal(answer.at, "ticket-1");
    assert_string_equal(answer.err, "");
    assert_int_equal(answer.attempts_left, -1);
    assert_int_equal(answer.frozen_s, -1);
}

static void headers_that_say_the_same_are_accepted(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        " { \"alg\" : \"HS256\" } ",
        "{\"alg\":\"\\u0048S256\"}",
        /* Hints at another key are not followed. */
        "{\"alg\":\"HS256\",\"kid\":\"../../x\",\"jku\":\"https://evil.example/\",\"jwk\":{\"kty\":\"oct\"}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++) {
        accepted(token(headers[i], claims()));
    }
}

/* All signed with our own secret, so that nothing but the header is wrong. */
static void forged_headers_are_refused(void **state)
{
    static const struct {
        const char *header;
        const char *check;
    } cases[] = {
        {"{\"alg\":\"none\"}", "alg"},
        {"{\"alg\":\"None\"}", "alg"},
        {"{\"alg\":\"NONE\"}", "alg"},
        {"{\"alg\":\"nOnE\"}", "alg"},
        {"{\"alg\":\"\"}", "alg"},
        {"{\"alg\":\"HS384\"}", "alg"},
        {"{\"alg\":\"HS512\"}", "alg"},
        {"{\"alg\":\"RS256\"}", "alg"},
        {"{\"alg\":\"ES256\"}", "alg"},
        {"{\"alg\":\"PS256\"}", "alg"},
        {"{\"alg\":\"EdDSA\"}", "alg"},
        {"{\"alg\":\"hs256\"}", "alg"},
        {"{\"alg\":\"HS256 \"}", "alg"},
        {"{\"alg\":\" HS256\"}", "alg"},
        {"{\"alg\":\"HS2566\"}", "alg"},
        {"{\"alg\":\"HS25\"}", "alg"},
        {"{\"alg\":null}", "alg"},
        {"{\"alg\":256}", "alg"},
        {"{\"alg\":true}", "alg"},
        {"{\"alg\":[\"HS256\"]}", "alg"},
        {"{\"alg\":{\"alg\":\"HS256\"}}", "alg"},
        {"{\"Alg\":\"HS256\"}", "alg"},
        {"{\"typ\":\"JWT\"}", "alg"},
        {"{}", "alg"},
        {"{\"alg\":\"HS256\",\"typ\":\"jwt\"}", "typ"},
        {"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", "typ"},
        {"{\"alg\":\"HS256\",\"typ\":\"\"}", "typ"},
        {"{\"alg\":\"HS256\",\"typ\":null}", "typ"},
        {"{\"alg\":\"HS256\",\"typ\":1}", "typ"},
        {"{\"alg\":\"HS256\",\"typ\":[\"JWT\"]}", "typ"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "crit"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "crit"},
        {"{\"alg\":\"HS256\",\"crit\":null}", "crit"},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "crit"},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "header"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "header"},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", "header"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}", "header"},
        {"{\"alg\":\"HS256\\u0000\"}", "header"},
        {"{\"alg\":\"HS256\"}x", "header"},
        {"{\"alg\":\"HS256\"", "header"},
        {"[\"HS256\"]", "header"},
        {"\"HS256\"", "header"},
        {"null", "header"},
        {" ", "header"},
        {"\xef\xbb\xbf{\"alg\":\"HS256\"}", "header"},
        {"{\"alg\":\"HS256\",\"kid\":\"\xff\"}", "header"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        refused_for(token(cases[i].header, claims()), cases[i].check);
    }
}

static void broken_claims_are_refused(void **state)
{
    static const char *const texts[] = {"[]",
                                        "null",
                                        "1",
                                        "\"x\"",
                                        " ",
                                        "{",
                                        "{}{}",
                                        "{\"sts\":\"anon\",\"sts\":\"loggedin\"}",
                                        "{\"sid\":\"\xff\"}",
                                        "{\"sid\":\"\\u0000\"}",
                                        "{\"sid\":\"\\ud800\"}"};
    const char *doubled =
        apr_pstrcat(pool, apr_pstrndup(pool, claims(), strlen(claims()) - 1), ",\"sts\":\"loggedin\"}", NULL);

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        refused_for(token(HEADER, texts[i]), "claims");
    }
    refused_for(token(HEADER, doubled), "claims");
}

static void forged_signatures_are_refused(void **state)
{
    const char *input = signing_input(HEADER, claims());
    const char *none = signing_input("{\"alg\":\"none\"}", claims());
    const char *longer = signing_input("{\"alg\":\"HS512\"}", claims());
    const char *rsa = signing_input("{\"alg\":\"RS256\"}", claims());
    const char *mine = mac("SHA256", secret, strlen(secret), input);
    const char *upper = apr_pstrdup(pool, secret);
    const char *other = signed_with(secret, signing_input(HEADER, claims_with("sts", "\"anon\"")));
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *memory = BIO_new(BIO_s_mem());
    char *pem;
    long pem_len;

    (void)state;
    /* Other keys: a stranger's, none at all, ours but for case, cut or doubled. */
    refused_for(signed_with(other_secret, input), "signature");
    refused_for(signed_with("", input), "signature");
    refused_for(signed_with(apr_pstrndup(pool, secret, strlen(secret) - 1), input), "signature");
    refused_for(signed_with(apr_pstrcat(pool, secret, "x", NULL), input), "signature");
    refused_for(signed_with(apr_pstrcat(pool, upper + 1, secret, NULL), input), "signature");
    refused_for(signed_with("secret", input), "signature");
    refused_for(signed_with(client.client_id, input), "signature");

    /* Other algorithms, said so or not. */
    refused_for(apr_pstrcat(pool, longer, ".", mac("SHA512", secret, strlen(secret), longer), NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mac("SHA512", secret, strlen(secret), input), NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mac("SHA384", secret, strlen(secret), input), NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mac("SHA1", secret, strlen(secret), input), NULL), "signature");
    refused_for(apr_pstrcat(pool, none, ".", base64url("", 0), NULL), "parts");
    refused_for(signed_with("", none), "signature");

    /* RS256 with the public key as the HMAC key: what a verifier with one key for all algorithms falls for. */
    assert_non_null(key);
    assert_true(PEM_write_bio_PUBKEY(memory, key));
    pem_len = BIO_get_mem_data(memory, &pem);
    refused_for(apr_pstrcat(pool, rsa, ".", mac("SHA256", pem, (size_t)pem_len, rsa), NULL), "signature");
    BIO_free(memory);
    EVP_PKEY_free(key);

    /* A signature of something else, by us. */
    refused_for(apr_pstrcat(pool, input, strrchr(other, '.'), NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mac("SHA256", secret, strlen(secret), strchr(input, '.') + 1), NULL),
                "signature");
    refused_for(apr_pstrcat(pool, input, ".", mac("SHA256", secret, strlen(secret), claims()), NULL), "signature");

    /* Its text. */
    refused_for(input, "parts");
    refused_for(apr_pstrcat(pool, input, ".", NULL), "parts");
    refused_for(apr_pstrcat(pool, input, ".", mine, ".", NULL), "parts");
    refused_for(apr_pstrcat(pool, input, ".", mine, ".", mine, NULL), "parts");
    refused_for(apr_pstrcat(pool, input, "..", mine, NULL), "parts");
    refused_for(apr_pstrcat(pool, input, ".", mine, "=", NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mine, " ", NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mine, "\n", NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mine, "A", NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".", mine, mine, NULL), "signature");
    refused_for(apr_pstrcat(pool, input, ".",
                            base64url("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32), NULL),
                "signature");
    for (size_t len = 1; len < strlen(mine); len++) {
        refused_for(apr_pstrcat(pool, input, ".", apr_pstrndup(pool, mine, len), NULL), "signature");
    }
    accepted(apr_pstrcat(pool, input, ".", mine, NULL));
}

static void one_changed_character_is_seen_anywhere(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *text = apr_pstrdup(pool, token(HEADER, claims()));

    (void)state;
    for (char *c = text; *c; c++) {
        char was = *c;

        if (was == '.') {
            *c = 'A';
            refused_for(text, "parts");
        } else {
            /* The neighbour differs in the last bit alone; in the last character that bit is padding, and must be 0. */
            *c = alphabet[(strchr(alphabet, was) - alphabet) ^ 1];
            refused_for(text, "signature");
            *c = '+';
            refused_for(text, "signature");
            *c = '.';
            refused_for(text, "parts");
        }
        *c = was;
    }
    accepted(text);
}

static void other_shapes_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *check;
    } cases[] = {
        {NULL, "length"},       {"", "parts"},          {".", "parts"},    {"..", "parts"},        {"...", "parts"},
        {"a", "parts"},         {"a.b", "parts"},       {"a..c", "parts"}, {".b.c", "parts"},      {"a.b.", "parts"},
        {"a.b.c.d.e", "parts"}, {"a.b.c", "signature"}, {"null", "parts"}, {"{\"t\":1}", "parts"},
    };
    const char *good = token(HEADER, claims());

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        refused_for(cases[i].text, cases[i].check);
    }
    refused_for(apr_pstrcat(pool, " ", good, NULL), "signature");
    refused_for(apr_pstrcat(pool, good, "\r\n", NULL), "signature");
    refused_for(apr_pstrcat(pool, "Bearer ", good, NULL), "signature");
}

static void parts_in_other_base64_are_refused(void **state)
{
    /* Signed as they are, so that only the alphabet is wrong. */
    const char *header = base64url(HEADER, strlen(HEADER));
    const char *body = base64url(claims(), strlen(claims()));
    const char *odd = claims_with("x", "\"~~~~>>>>\"");
    const char *odd_body = base64url(odd, strlen(odd));
    char *standard = apr_pstrdup(pool, odd_body);

    (void)state;
    for (char *c = standard; *c; c++) {
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    assert_string_not_equal(standard, odd_body); /* else it shows nothing */
    accepted(signed_with(secret, apr_pstrcat(pool, header, ".", odd_body, NULL)));
    refused_for(signed_with(secret, apr_pstrcat(pool, header, ".", standard, NULL)), "claims");
    refused_for(signed_with(secret, apr_pstrcat(pool, header, "=.", body, NULL)), "header");
    refused_for(signed_with(secret, apr_pstrcat(pool, header, ".", body, "=", NULL)), "claims");
    refused_for(signed_with(secret, apr_pstrcat(pool, header, ".", body, "\n", NULL)), "claims");
    refused_for(signed_with(secret, apr_pstrcat(pool, " ", header, ".", body, NULL)), "header");
}

static void an_empty_secret_trusts_nobody(void **state)
{
    pwk_sso2_client open = {.client_id = client.client_id, .secret = "", .organisation = client.organisation};
    pwk_sso2_answer answer;
    pwk_result result = pwk_sso2_read(&answer, &open, signed_with("", signing_input(HEADER, claims())), NOW, pool);

    (void)state;
    assert_int_equal(result.outcome, PWK_REFUSED);
    assert_string_equal(result.detail, "no secret");
    is_nothing(&answer);
}

static void length_is_bounded(void **state)
{
    /* 36 characters of header, two dots and 43 of signature leave these many bytes for the claims. */
    static const size_t bytes[] = {6082, 6083, 6084};

    (void)state;
    for (size_t i = 0; i < COUNT(bytes); i++) {
        size_t frame = strlen(claims_with("x", "\"\""));
        char *filler = apr_pcalloc(pool, bytes[i] - frame + 1);
        const char *text;

        memset(filler, 'x', bytes[i] - frame);
        text = token(HEADER, claims_with("x", apr_pstrcat(pool, "\"", filler, "\"", NULL)));
        assert_int_equal(strlen(text), PWK_JWT_MAX - 1 + i);
        if (strlen(text) > PWK_JWT_MAX) {
            refused_for(text, "length");
        } else {
            accepted(text);
        }
    }
}

/* One claim at a time: its value as JSON (NULL: left out), and the check that refuses it (NULL: none). */
static void every_claim_is_checked(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *check;
    } cases[] = {
        {"cid", NULL, NULL},
        {"cid", "null", NULL},
        {"cid", "\"\"", "cid"},
        {"cid", "\"somebody-else\"", "cid"},
        {"cid", "\"CLIENT-1\"", "cid"},
        {"cid", "\"client-1 \"", "cid"},
        {"cid", "\"client-11\"", "cid"},
        {"cid", "\"pw-sso\"", "cid"},
        {"cid", "[\"client-1\"]", "cid"},
        {"cid", "{\"cid\":\"client-1\"}", "cid"},
        {"cid", "1", "cid"},
        {"cid", "true", "cid"},
        /* Not looked at. */
        {"iss", NULL, NULL},
        {"iss", "null", NULL},
        {"iss", "\"\"", NULL},
        {"iss", "\"another\"", NULL},
        {"iss", "\"Example\"", NULL},
        {"iss", "[\"example\"]", NULL},
        {"iss", "{}", NULL},
        {"iss", "0", NULL},
        {"iss", "false", NULL},
        {"aud", NULL, NULL},
        {"aud", "null", NULL},
        {"aud", "\"pw-sso\"", NULL},
        {"aud", "\"client-1\"", NULL},
        {"aud", "\"\"", "aud"},
        {"aud", "\"pw-paywall\"", "aud"},
        {"aud", "\"PW-SSO\"", "aud"},
        {"aud", "\"example\"", "aud"},
        {"aud", "[\"pw-sso\"]", "aud"},
        {"aud", "[]", "aud"},
        {"aud", "{}", "aud"},
        {"aud", "1", "aud"},
        {"exp", NULL, "exp"},
        {"exp", "null", "exp"},
        {"exp", "0", "exp"},
        {"exp", "-1", "exp"},
        {"exp", "1", "exp"},
        {"exp", "1e300", "exp"},
        {"exp", "-1e300", "exp"},
        {"exp", "9223372036854775807", "exp"},
        {"exp", "-9223372036854775808", "exp"},
        {"exp", "1700000010.5", "exp"},
        {"exp", "1700000010.0", NULL},
        {"exp", "\"1700000010\"", "exp"},
        {"exp", "[1700000010]", "exp"},
        {"exp", "{}", "exp"},
        {"exp", "true", "exp"},
        {"exp", "1699999879", "exp"},
        {"exp", "1699999880", "exp"},  /* now == exp + leeway */
        {"exp", "1699999881", "span"}, /* not expired, but from before it was made */
        {"exp", "1699999999", "span"},
        {"exp", "1700000000", NULL},
        {"exp", "1700000599", NULL},
        {"exp", "1700000600", NULL}, /* iat + PWK_SSO2_SPAN_MAX_S */
        {"exp", "1700000601", "span"},
        {"exp", "4000000000", "span"},
        {"exp", "253402300799", "span"},
        {"exp", "253402300800", "exp"},
        {"nbf", NULL, NULL},
        {"nbf", "null", NULL},
        {"nbf", "1", NULL},
        {"nbf", "1700000119", NULL},
        {"nbf", "1700000120", NULL}, /* now + leeway */
        {"nbf", "1700000121", "nbf"},
        {"nbf", "0", "nbf"},
        {"nbf", "-1", "nbf"},
        {"nbf", "1e300", "nbf"},
        {"nbf", "-1e300", "nbf"},
        {"nbf", "9223372036854775807", "nbf"},
        {"nbf", "1700000000.5", "nbf"},
        {"nbf", "\"1700000000\"", "nbf"},
        {"nbf", "[1700000000]", "nbf"},
        {"nbf", "{}", "nbf"},
        {"nbf", "false", "nbf"},
        {"iat", NULL, NULL},
        {"iat", "null", NULL},
        {"iat", "1700000010", NULL},
        {"iat", "1700000011", "span"},
        {"iat", "1700000121", "iat"},
        {"iat", "1699999410", NULL}, /* exp - PWK_SSO2_SPAN_MAX_S */
        {"iat", "1699999409", "span"},
        {"iat", "1", "span"},
        {"iat", "0", "iat"},
        {"iat", "-1", "iat"},
        {"iat", "1e300", "iat"},
        {"iat", "9223372036854775807", "iat"},
        {"iat", "1700000000.5", "iat"},
        {"iat", "\"1700000000\"", "iat"},
        {"iat", "[1700000000]", "iat"},
        {"iat", "{}", "iat"},
        {"iat", "true", "iat"},
        {"sid", NULL, "neither err nor sid with sts"},
        {"sid", "null", "neither err nor sid with sts"},
        {"sid", "\"\"", "neither err nor sid with sts"},
        {"sid", "\"a b\"", "sid"},
        {"sid", "\"a\\r\\nSet-Cookie: x\"", "sid"},
        {"sid", "\"\\u00e5\"", "sid"},
        {"sid", "\"\\u007f\"", "sid"},
        {"sid", "1", "sid"},
        {"sid", "1e300", "sid"},
        {"sid", "true", "sid"},
        {"sid", "[\"session-1\"]", "sid"},
        {"sid", "{}", "sid"},
        {"sts", NULL, "neither err nor sid with sts"},
        {"sts", "null", "neither err nor sid with sts"},
        {"sts", "\"\"", "neither err nor sid with sts"},
        {"sts", "\"anon\"", NULL},
        {"sts", "\"loggedin\"", NULL},
        {"sts", "\"terminated\"", NULL},
        {"sts", "\"LoggedIn\"", "sts"},
        {"sts", "\"logged\"", "sts"},
        {"sts", "\"loggedin \"", "sts"},
        {"sts", "1", "sts"},
        {"sts", "true", "sts"},
        {"sts", "[\"loggedin\"]", "sts"},
        {"sts", "{}", "sts"},
        {"at", NULL, NULL},
        {"at", "null", NULL},
        {"at", "\"\"", NULL},
        {"at", "\"a b\"", "at"},
        {"at", "\"a\\nb\"", "at"},
        {"at", "\"\\u00e5\"", "at"},
        {"at", "1", "at"},
        {"at", "false", "at"},
        {"at", "[\"ticket-1\"]", "at"},
        {"at", "{}", "at"},
        {"err", NULL, NULL},
        {"err", "null", NULL},
        {"err", "\"\"", NULL},
        {"err", "\"session_not_found\"", NULL},
        {"err", "\"an_error_of_next_year\"", NULL},
        {"err", "\"a b\"", "err"},
        {"err", "\"<script>\\n\"", "err"},
        {"err", "\"\\u00e5\"", "err"},
        {"err", "1", "err"},
        {"err", "true", "err"},
        {"err", "[\"session_not_found\"]", "err"},
        {"err", "{}", "err"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = token(HEADER, claims_with(cases[i].name, cases[i].value));

        if (cases[i].check) {
            refused_for(text, cases[i].check);
        } else {
            accepted(text);
        }
    }
}

static const char *only_exp(apr_int64_t exp)
{
    return token(HEADER, apr_psprintf(pool, "{\"sid\":\"s\",\"sts\":\"anon\",\"exp\":%" APR_INT64_T_FMT "}", exp));
}

static void times_alone_bound_a_token_without_iat(void **state)
{
    const apr_int64_t last = SECOND + PWK_SSO2_LEEWAY_S + PWK_SSO2_SPAN_MAX_S;

    (void)state;
    accepted(only_exp(SECOND - PWK_SSO2_LEEWAY_S + 1));
    refused_for(only_exp(SECOND - PWK_SSO2_LEEWAY_S), "exp");
    accepted(only_exp(last - 1));
    accepted(only_exp(last));
    refused_for(only_exp(last + 1), "span");
}

static void a_token_ages(void **state)
{
    const char *text = token(HEADER, claims()); /* good for ten seconds */
    pwk_sso2_answer answer;

    (void)state;
    assert_int_equal(pwk_sso2_read(&answer, &client, text, NOW - apr_time_from_sec(121), pool).outcome, PWK_REFUSED);
    assert_int_equal(pwk_sso2_read(&answer, &client, text, NOW - apr_time_from_sec(120), pool).outcome, PWK_OK);
    assert_int_equal(pwk_sso2_read(&answer, &client, text, NOW + apr_time_from_sec(129), pool).outcome, PWK_OK);
    assert_int_equal(pwk_sso2_read(&answer, &client, text, NOW + apr_time_from_sec(130), pool).outcome, PWK_REFUSED);
    assert_int_equal(pwk_sso2_read(&answer, &client, text, 0, pool).outcome, PWK_REFUSED);
}

static const char *filled(size_t len)
{
    char *text = apr_pcalloc(pool, len + 3);

    memset(text, 'x', len + 2);
    text[0] = '"';
    text[len + 1] = '"';
    return text;
}

static void words_are_bounded(void **state)
{
    static const struct {
        const char *name;
        size_t max;
    } cases[] = {{"sid", PWK_SID_MAX}, {"at", PWK_TICKET_MAX}, {"err", 64}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        accepted(token(HEADER, claims_with(cases[i].name, filled(cases[i].max - 1))));
        accepted(token(HEADER, claims_with(cases[i].name, filled(cases[i].max))));
        refused_for(token(HEADER, claims_with(cases[i].name, filled(cases[i].max + 1))), cases[i].name);
    }
}

static void states_are_told_apart(void **state)
{
    pwk_sso2_answer answer;

    (void)state;
    answer = accepted(token(HEADER, claims_with("sts", "\"anon\"")));
    assert_int_equal(answer.sts, PWK_SSO2_ANON);
    assert_true(answer.has_sts);
    assert_string_equal(answer.at, ""); /* a ticket that nobody is logged in with is not handed on */
    answer = accepted(token(HEADER, claims_with("sts", "\"terminated\"")));
    assert_int_equal(answer.sts, PWK_SSO2_TERMINATED);
    assert_true(answer.has_sts);
    assert_string_equal(answer.at, "");
    answer = accepted(token(HEADER, claims_with("sts", "\"loggedin\"")));
    assert_int_equal(answer.sts, PWK_SSO2_LOGGEDIN);
    assert_string_equal(answer.at, "ticket-1");
    answer = accepted(token(HEADER, claims_with("err", "\"session_not_found\"")));
    assert_string_equal(answer.err, "session_not_found");
    assert_string_equal(answer.at, "");
}

static const char *error_token(const char *more)
{
    return token(HEADER, apr_psprintf(pool, "{\"exp\":%" APR_INT64_T_FMT ",\"err\":\"invalid_credentials\"%s}",
                                      SECOND + 10, more));
}

static void errors_need_no_session(void **state)
{
    pwk_sso2_answer answer = accepted(error_token(""));

    (void)state;
    assert_string_equal(answer.err, "invalid_credentials");
    assert_string_equal(answer.sid, "");
    assert_false(answer.has_sts);
    assert_int_equal(answer.attempts_left, -1);
    assert_int_equal(answer.frozen_s, -1);
}

static void hints_are_read_or_not_said(void **state)
{
    static const struct {
        const char *value;
        long attempts;
        long frozen;
    } cases[] = {
        {"0", 0, 0},          {"4", 4, 4},        {"4.0", 4, 4},
        {"1000", 1000, 1000}, {"1001", -1, 1001}, {"31622400", -1, 31622400},
        {"31622401", -1, -1}, {"-1", -1, -1},     {"-2", -1, -1},
        {"1e300", -1, -1},    {"2.5", -1, -1},    {"9223372036854775807", -1, -1},
        {"\"4\"", -1, -1},    {"null", -1, -1},   {"[4]", -1, -1},
        {"true", -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_sso2_answer answer =
            accepted(error_token(apr_psprintf(pool, ",\"raa\":%s,\"frf\":%s", cases[i].value, cases[i].value)));

        assert_int_equal(answer.attempts_left, cases[i].attempts);
        assert_int_equal(answer.frozen_s, cases[i].frozen);
    }
}

static void failures_tell_nothing_of_the_token(void **state)
{
    pwk_sso2_answer answer;
    pwk_result result = read_now(&answer, token(HEADER, claims_with("sid", "\"canary canary\"")));

    (void)state;
    assert_int_equal(result.outcome, PWK_REFUSED);
    assert_null(strstr(pwk_result_line(&result, pool), "canary"));
}

/* --- answers --- */

static pwk_result read_body(pwk_sso2_answer *answer, int status, const char *body)
{
    return pwk_sso2_read_body(answer, &client, status, body, strlen(body), NOW, pool);
}

static const char *body_of(const char *text)
{
    return apr_pstrcat(pool, "{\"t\":\"", text, "\"}", NULL);
}

static void bodies_are_read_under_any_status(void **state)
{
    static const int statuses[] = {200, 201, 204, 299, 199, 100, 0, 300, 302, 400, 401, 403, 404, 429, 500, 503};

    (void)state;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        int is_success = statuses[i] >= 200 && statuses[i] <= 299;
        pwk_sso2_answer answer;
        pwk_result result = read_body(&answer, statuses[i], body_of(token(HEADER, claims())));

        /* An error status beside a message without an error proves nothing. */
        assert_int_equal(result.http_status, statuses[i]);
        if (is_success) {
            assert_int_equal(result.outcome, PWK_OK);
            assert_string_equal(answer.sid, "session-1");
        } else {
            assert_int_equal(result.outcome, PWK_UNAVAILABLE);
            assert_string_equal(result.code, "sso_status");
            is_nothing(&answer);
        }
        result = read_body(&answer, statuses[i], body_of(error_token(",\"raa\":2")));
        assert_int_equal(result.outcome, PWK_OK);
        assert_int_equal(result.rv, APR_SUCCESS);
        assert_int_equal(result.http_status, statuses[i]);
        assert_string_equal(answer.err, "invalid_credentials");
        assert_int_equal(answer.attempts_left, 2);
    }
}

static void answers_to_our_calls_need_no_end(void **state)
{
    static const struct {
        const char *value;
        pwk_outcome outcome;
    } cases[] = {
        {NULL, PWK_OK},
        {"null", PWK_OK},
        {"1699999880", PWK_UNAVAILABLE}, /* one that is there counts */
        {"1700000601", PWK_UNAVAILABLE},
        {"0", PWK_UNAVAILABLE},
        {"-1", PWK_UNAVAILABLE},
        {"1700000010.5", PWK_UNAVAILABLE},
        {"\"1700000010\"", PWK_UNAVAILABLE},
        {"1700000010", PWK_OK},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_sso2_answer answer;

        assert_int_equal(read_body(&answer, 200, body_of(token(HEADER, claims_with("exp", cases[i].value)))).outcome,
                         cases[i].outcome);
    }
    /* But not on a landing. */
    refused_for(token(HEADER, claims_with("exp", NULL)), "exp");
}

static void unreadable_bodies_are_no_answer(void **state)
{
    const struct {
        const char *body;
        const char *code; /* under 200; under an error status it is always "sso_status" */
    } cases[] = {
        {"", "bad_json"},
        {"{", "bad_json"},
        {"<html>Service Unavailable</html>", "bad_json"},
        {"[]", "bad_json"},
        {"\"t\"", "bad_json"},
        {token(HEADER, claims()), "bad_json"},
        {"{\"t\":\"a\",\"t\":\"b\"}", "bad_json"},
        {"{}", "bad_token"},
        {"{\"t\":null}", "bad_token"},
        {"{\"t\":1}", "bad_token"},
        {"{\"t\":\"\"}", "bad_token"},
        {"{\"t\":[\"x\"]}", "bad_token"},
        {"{\"t\":{}}", "bad_token"},
        {"{\"T\":\"x\"}", "bad_token"},
        {"{\"message\":\"An error has occurred.\"}", "bad_token"},
        {body_of("a.b.c"), "bad_token"},
        {body_of(signed_with(other_secret, signing_input(HEADER, claims()))), "bad_token"},
        {body_of(token(HEADER, claims_with("sts", NULL))), "bad_token"},
        {body_of(token(HEADER, claims_with("exp", "1"))), "bad_token"},
        {apr_pstrcat(pool, "{\"t\":", filled(PWK_JWT_MAX + 1), "}", NULL), "bad_token"},
        {apr_pstrcat(pool, "{\"t\":", filled(PWK_JSON_MAX), "}", NULL), "too_large"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int status = 200; status <= 500; status += 300) {
            pwk_sso2_answer answer;
            pwk_result result = read_body(&answer, status, cases[i].body);

            assert_int_equal(result.outcome, PWK_UNAVAILABLE);
            assert_int_not_equal(result.rv, APR_SUCCESS);
            assert_int_equal(result.http_status, status);
            assert_string_equal(result.code, status == 200 ? cases[i].code : "sso_status");
            is_nothing(&answer);
        }
    }
}

static void other_members_of_a_body_are_ignored(void **state)
{
    pwk_sso2_answer answer;

    (void)state;
    assert_int_equal(
        read_body(&answer, 200,
                  apr_pstrcat(pool, "{\"x\":[1],\"t\":\"", token(HEADER, claims()), "\",\"y\":null}", NULL))
            .outcome,
        PWK_OK);
    assert_string_equal(answer.at, "ticket-1");
}

/* --- the run --- */

static void make_secret(char *text, int bytes)
{
    unsigned char random[20];

    assert_int_equal(RAND_bytes(random, bytes), 1);
    for (int i = 0; i < bytes; i++) {
        apr_snprintf(text + 2 * i, 3, "%02x", random[i]);
    }
}

static int set_up(void **state)
{
    make_secret(secret, 20);
    make_secret(other_secret, 20);
    client = (pwk_sso2_client){.client_id = "client-1", .secret = secret, .organisation = "example"};
    return unit_begin(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identify_says_who_we_are),
        cmocka_unit_test(sessionstatus_says_what_we_believed),
        cmocka_unit_test(authenticate_says_the_password_as_typed),
        cmocka_unit_test(logout_says_which_session),
        cmocka_unit_test(user_agent_is_made_visible),
        cmocka_unit_test(incomplete_messages_are_not_made),
        cmocka_unit_test(our_own_messages_are_refused_when_reflected),
        cmocka_unit_test(a_good_token_is_read),
        cmocka_unit_test(headers_that_say_the_same_are_accepted),
        cmocka_unit_test(forged_headers_are_refused),
        cmocka_unit_test(broken_claims_are_refused),
        cmocka_unit_test(forged_signatures_are_refused),
        cmocka_unit_test(one_changed_character_is_seen_anywhere),
        cmocka_unit_test(other_shapes_are_refused),
        cmocka_unit_test(parts_in_other_base64_are_refused),
        cmocka_unit_test(an_empty_secret_trusts_nobody),
        cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(every_claim_is_checked),
        cmocka_unit_test(times_alone_bound_a_token_without_iat),
        cmocka_unit_test(a_token_ages),
        cmocka_unit_test(words_are_bounded),
        cmocka_unit_test(states_are_told_apart),
        cmocka_unit_test(errors_need_no_session),
        cmocka_unit_test(hints_are_read_or_not_said),
        cmocka_unit_test(failures_tell_nothing_of_the_token),
        cmocka_unit_test(bodies_are_read_under_any_status),
        cmocka_unit_test(answers_to_our_calls_need_no_end),
        cmocka_unit_test(unreadable_bodies_are_no_answer),
        cmocka_unit_test(other_members_of_a_body_are_ignored),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sso2", tests, set_up, unit_end);
}
