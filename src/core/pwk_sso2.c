#include "pwk_sso2.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"

#define AUDIENCE "pw-sso"
#define HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"
#define IDENTIFY_LIFE_S 60 /* payway-api §5.4: a browser carries it */
#define CALL_LIFE_S 10
#define ERR_WORD_MAX 64
#define TIME_MAX 253402300799 /* the last second of the year 9999 */
#define MAC_SIZE 32

/* What the protocol calls a session's states, by pwk_sso2_status. */
static const char *const status_words[] = {"anon", "loggedin", "terminated"};

#define STATUSES (sizeof status_words / sizeof status_words[0])

/* HMAC-SHA256 under the client's secret as it is written, which is how both sides of SSO2 use it. */
static int sign(unsigned char mac[MAC_SIZE], const char *secret, const char *text, apr_size_t len)
{
    unsigned int size = 0;

    return HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text, len, mac, &size)
           && size == MAC_SIZE;
}

/* --- what we say --- */

/* The claims that every message of ours has. One that cannot be set (broken UTF-8) is seen by token_of: it counts. */
static json_t *claims_of(const pwk_sso2_client *client, apr_time_t now, int life_s, apr_pool_t *p)
{
    json_t *claims = pwk_json_new(p);
    json_int_t second = (json_int_t)apr_time_sec(now);

    json_object_set_new(claims, "cid", json_string(client->client_id));
    json_object_set_new(claims, "iss", json_string(client->organisation));
    json_object_set_new(claims, "aud", json_string(AUDIENCE));
    json_object_set_new(claims, "iat", json_integer(second));
    json_object_set_new(claims, "nbf", json_integer(second));
    json_object_set_new(claims, "exp", json_integer(second + life_s));
    return claims;
}

static json_t *call_claims(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor, apr_time_t now,
                           apr_pool_t *p)
{
    json_t *claims = claims_of(client, now, CALL_LIFE_S, p);

    json_object_set_new(claims, "sid", json_string(visitor->sid));
    json_object_set_new(claims, "ipa", json_string(visitor->address));
    json_object_set_new(claims, "uas", json_string(pwk_text_printable(visitor->user_agent, PWK_USER_AGENT_MAX, p)));
    return claims;
}

/* The signed message, or NULL: a message that lacks one of its `count` claims is never sent. */
static const char *token_of(const json_t *claims, size_t count, const char *secret, apr_pool_t *p)
{
    unsigned char mac[MAC_SIZE];
    const char *text = json_object_size(claims) == count ? pwk_json_dump(claims, p) : NULL;
    const char *signing_input;

    if (!text) {
        return NULL;
    }
    signing_input = apr_pstrcat(p, pwk_text_base64url(HEADER, sizeof HEADER - 1, p), ".",
                                pwk_text_base64url(text, strlen(text), p), NULL);
    if (!sign(mac, secret, signing_input, strlen(signing_input))) {
        return NULL;
    }
    return apr_pstrcat(p, signing_input, ".", pwk_text_base64url(mac, sizeof mac, p), NULL);
}

/* base64url and dots need no escape in JSON. */
static const char *body_of(const json_t *claims, size_t count, const char *secret, apr_pool_t *p)
{
    const char *token = token_of(claims, count, secret, p);

    return token ? apr_pstrcat(p, "{\"t\":\"", token, "\"}", NULL) : NULL;
}

const char *pwk_sso2_identify(const pwk_sso2_client *client, apr_time_t now, apr_pool_t *p)
{
    return token_of(claims_of(client, now, IDENTIFY_LIFE_S, p), 6, client->secret, p);
}

const char *pwk_sso2_sessionstatus(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor,
                                   pwk_sso2_status last_known, apr_time_t now, apr_pool_t *p)
{
    json_t *claims = call_claims(client, visitor, now, p);

    json_object_set_new(claims, "lks", json_string(status_words[last_known]));
    return body_of(claims, 10, client->secret, p);
}

const char *pwk_sso2_authenticate(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor, const char *email,
                                  const char *password, apr_time_t now, apr_pool_t *p)
{
    json_t *claims = call_claims(client, visitor, now, p);

    json_object_set_new(claims, "usr", json_string(email));
    json_object_set_new(claims, "pwd", json_string(password));
    return body_of(claims, 11, client->secret, p);
}

const char *pwk_sso2_logout(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor, apr_time_t now,
                            apr_pool_t *p)
{
    return body_of(call_claims(client, visitor, now, p), 9, client->secret, p);
}

/* --- what we hear --- */

static pwk_result bad_token(const char *check)
{
    return pwk_result_fail(PWK_REFUSED, APR_EGENERAL, "bad_token", check);
}

/* The three parts of a token, as lengths into it. */
typedef struct {
    apr_size_t header;
    apr_size_t claims;
    apr_size_t mac;
} parts;

static int split(parts *at, const char *token)
{
    const char *first = strchr(token, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;

    if (!second || strchr(second + 1, '.')) {
        return 0;
    }
    at->header = (apr_size_t)(first - token);
    at->claims = (apr_size_t)(second - first) - 1;
    at->mac = strlen(second + 1);
    return at->header && at->claims && at->mac;
}

/* Whether the last part signs the others. Which algorithm that takes is ours to say, never the token's. */
static int is_signed(const char *token, const parts *at, const char *secret, apr_pool_t *p)
{
    unsigned char ours[MAC_SIZE];
    void *theirs;
    apr_size_t len;
    apr_size_t signed_len = at->header + 1 + at->claims;

    return pwk_text_unbase64url(&theirs, &len, token + signed_len + 1, at->mac, p) == APR_SUCCESS && len == MAC_SIZE
           && sign(ours, secret, token, signed_len) && CRYPTO_memcmp(ours, theirs, MAC_SIZE) == 0;
}

static int decode(json_t **json, const char *part, apr_size_t len, apr_pool_t *p)
{
    void *bytes;
    apr_size_t count;

    return pwk_text_unbase64url(&bytes, &count, part, len, p) == APR_SUCCESS
           && pwk_json_object(json, bytes, count, p).outcome == PWK_OK;
}

/* Exactly {"alg":"HS256"}, with typ "JWT" or none. Hints (kid, jku, jwk, x5u) are not looked at: there is one key. A
 * critical extension is by definition not understood. */
static const char *fault_of_header(const json_t *header)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const json_t *typ = json_object_get(header, "typ");

    if (!alg || strcmp(alg, "HS256") != 0) {
        return "alg";
    }
    if (typ && (!json_is_string(typ) || strcmp(json_string_value(typ), "JWT") != 0)) {
        return "typ";
    }
    return json_object_get(header, "crit") ? "crit" : NULL;
}

/* A member that SSO2 left out; some serialisers write null for it. */
static int is_absent(const json_t *claims, const char *name)
{
    const json_t *member = json_object_get(claims, name);

    return !member || json_is_null(member);
}

/* Seconds since 1970 in `*value`, or whether the claim is absent (then 0). Whole numbers alone: "1700000000", 1.5, -1
 * and 1e300 are somebody's experiment. */
static int read_time(json_int_t *value, const json_t *claims, const char *name)
{
    *value = 0;
    return is_absent(claims, name) || pwk_json_int(claims, name, 1, TIME_MAX, value);
}

/* The times that are acceptable around `second`, with the leeway that two hosts' clocks are given. A message that came
 * through a browser must have an end; whether answers to calls of our own have one is not documented, and they cannot
 * be replayed to us. */
static const char *fault_of_times(const json_t *claims, json_int_t second, int by_browser)
{
    json_int_t exp;
    json_int_t nbf;
    json_int_t iat;

    if (!read_time(&exp, claims, "exp") || (by_browser && !exp) || (exp && second >= exp + PWK_SSO2_LEEWAY_S)) {
        return "exp";
    }
    if (!read_time(&nbf, claims, "nbf") || nbf > second + PWK_SSO2_LEEWAY_S) {
        return "nbf";
    }
    if (!read_time(&iat, claims, "iat") || iat > second + PWK_SSO2_LEEWAY_S) {
        return "iat";
    }
    if (!exp) {
        return NULL;
    }
    /* A landing is remembered until it can no longer be replayed (threats B-03), so that time has an end, also when
     * it is not said when the message was made. */
    if (exp < iat || exp - (iat ? iat : second + PWK_SSO2_LEEWAY_S) > PWK_SSO2_SPAN_MAX_S) {
        return "span";
    }
    return NULL;
}

/* Whether claim `name` is absent or one of two texts. */
static int is_either(const json_t *claims, const char *name, const char *one, const char *other)
{
    const char *text = json_string_value(json_object_get(claims, name));

    return is_absent(claims, name) || (text && (strcmp(text, one) == 0 || strcmp(text, other) == 0));
}

/* `iss` is not looked at: what it is in answers is not documented, and the signature says who speaks to whom. */
static const char *fault_of_parties(const json_t *claims, const pwk_sso2_client *client)
{
    if (!is_either(claims, "cid", client->client_id, client->client_id)) {
        return "cid";
    }
    return is_either(claims, "aud", AUDIENCE, client->client_id) ? NULL : "aud";
}

/* An opaque text in `*text`: "" when absent or empty. Visible ASCII, since it travels on in cookies, forms, logs. */
static int read_word(const char **text, const json_t *claims, const char *name, apr_size_t max, apr_pool_t *p)
{
    const char *word = pwk_json_text(claims, name, max, p);

    *text = word ? word : "";
    return is_absent(claims, name) || (word && (!*word || pwk_text_is_visible(word, max)));
}

static int read_status(pwk_sso2_answer *answer, const json_t *claims)
{
    const char *word = json_string_value(json_object_get(claims, "sts"));

    if (!word || !*word) {
        return is_absent(claims, "sts") || word;
    }
    for (size_t i = 0; i < STATUSES; i++) {
        if (strcmp(word, status_words[i]) == 0) {
            answer->sts = (pwk_sso2_status)i;
            answer->has_sts = 1;
        }
    }
    return answer->has_sts;
}

/* A hint for the login page: one that cannot be read is not said. */
static json_int_t read_hint(const json_t *claims, const char *name, json_int_t max)
{
    json_int_t value = -1;

    pwk_json_int(claims, name, 0, max, &value);
    return value;
}

static const char *fault_of_answer(pwk_sso2_answer *answer, const json_t *claims, apr_pool_t *p)
{
    if (!read_word(&answer->err, claims, "err", ERR_WORD_MAX, p)) {
        return "err";
    }
    if (!read_word(&answer->sid, claims, "sid", PWK_SID_MAX, p)) {
        return "sid";
    }
    if (!read_word(&answer->at, claims, "at", PWK_TICKET_MAX, p)) {
        return "at";
    }
    if (!read_status(answer, claims)) {
        return "sts";
    }
    if (!*answer->err && (!*answer->sid || !answer->has_sts)) {
        return "neither err nor sid with sts";
    }
    if (*answer->err || answer->sts != PWK_SSO2_LOGGEDIN) {
        answer->at = ""; /* a ticket logs somebody in; beside anything else it is nobody's */
    }
    answer->attempts_left = (int)read_hint(claims, "raa", 1000);
    answer->frozen_s = (long)read_hint(claims, "frf", PWK_SSO2_FROZEN_MAX_S);
    return NULL;
}

static pwk_result read_token(pwk_sso2_answer *answer, const pwk_sso2_client *client, const char *token, int by_browser,
                             apr_time_t now, apr_pool_t *p)
{
    pwk_sso2_answer read = {.sid = "", .at = "", .err = "", .attempts_left = -1, .frozen_s = -1};
    parts at;
    json_t *header;
    json_t *claims;
    const char *fault;

    *answer = read;
    /* Anybody can sign with an empty secret. */
    if (!*client->secret) {
        return bad_token("no secret");
    }
    if (!token || strnlen(token, PWK_JWT_MAX + 1) > PWK_JWT_MAX) {
        return bad_token("length");
    }
    if (!split(&at, token)) {
        return bad_token("parts");
    }
    /* Nothing inside is read, the header neither, before the signature holds: there is one algorithm, so a stranger's
     * bytes never reach the JSON parser. */
    if (!is_signed(token, &at, client->secret, p)) {
        return bad_token("signature");
    }
    if (!decode(&header, token, at.header, p)) {
        return bad_token("header");
    }
    if (!decode(&claims, token + at.header + 1, at.claims, p)) {
        return bad_token("claims");
    }
    fault = fault_of_header(header);
    if (!fault) {
        fault = fault_of_times(claims, (json_int_t)apr_time_sec(now), by_browser);
    }
    if (!fault) {
        fault = fault_of_parties(claims, client);
    }
    if (!fault) {
        fault = fault_of_answer(&read, claims, p);
    }
    if (fault) {
        return bad_token(fault);
    }
    *answer = read;
    return pwk_result_ok();
}

pwk_result pwk_sso2_read(pwk_sso2_answer *answer, const pwk_sso2_client *client, const char *token, apr_time_t now,
                         apr_pool_t *p)
{
    return read_token(answer, client, token, 1, now, p);
}

pwk_result pwk_sso2_read_body(pwk_sso2_answer *answer, const pwk_sso2_client *client, int http_status, const char *body,
                              apr_size_t len, apr_time_t now, apr_pool_t *p)
{
    static const pwk_sso2_answer nothing = {.sid = "", .at = "", .err = "", .attempts_left = -1, .frozen_s = -1};
    int is_success = http_status >= 200 && http_status <= 299;
    json_t *json;
    pwk_result result;

    *answer = nothing;
    result = pwk_json_object(&json, body, len, p);
    if (result.outcome == PWK_OK) {
        const char *token = pwk_json_text(json, "t", PWK_JWT_MAX, p);

        result = token ? read_token(answer, client, token, 0, now, p) : bad_token("no t");
    }
    if (result.outcome == PWK_OK && !is_success && !*answer->err) {
        /* An error status beside a message that knows of no error: which of the two is right cannot be found out. */
        *answer = nothing;
        result = bad_token("no err");
    }
    if (result.outcome != PWK_OK) {
        result = pwk_result_fail(PWK_UNAVAILABLE, result.rv, is_success ? result.code : "sso_status", result.detail);
    }
    result.http_status = http_status;
    return result;
}
