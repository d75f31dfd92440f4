/* SSO2 messages: JWTs of one fixed algorithm, HS256, keyed with the API user's secret in both directions
 * (payway-api §5.4). Everything about the wire is here; nothing about browsers or sockets. */
#ifndef PWK_SSO2_H
#define PWK_SSO2_H

#include <apr_pools.h>
#include <apr_time.h>

#include "pwk_result.h"

/* Who we are to SSO2. */
typedef struct {
    const char *client_id;
    const char *secret;
    const char *organisation;
} pwk_sso2_client;

typedef enum { PWK_SSO2_ANON, PWK_SSO2_LOGGEDIN, PWK_SSO2_TERMINATED } pwk_sso2_status;

/* One answer. Texts are "" when absent: SSO2 treats absent and empty alike. */
typedef struct {
    const char *sid;     /* session id; "" only beside `err` */
    pwk_sso2_status sts; /* valid when has_sts */
    int has_sts;
    const char *at;    /* one-time authentication ticket; "" unless PWK_SSO2_LOGGEDIN */
    const char *err;   /* "session_not_found", "invalid_credentials", "account_frozen", "account_not_active", … */
    int attempts_left; /* `raa`; -1: not said */
    long frozen_s;     /* `frf`; -1: not said */
} pwk_sso2_answer;

/* The browser's part of a server-to-server call. */
typedef struct {
    const char *sid;
    const char *address;    /* `ipa`: the client's address as httpd knows it (mod_remoteip decides) */
    const char *user_agent; /* `uas`: made visible and cut to PWK_USER_AGENT_MAX here */
} pwk_sso2_visitor;

/* What follows writes messages, in `p`. NULL: a text is not UTF-8, or libcrypto refused; nothing may be sent. */

/* The token of `GET {sso}/identify?t=…`; good for 60 seconds. */
const char *pwk_sso2_identify(const pwk_sso2_client *client, apr_time_t now, apr_pool_t *p);

/* Bodies {"t":"…"} of the server-to-server operations, good for 10 seconds. `last_known` is what we believed
 * before: PWK_SSO2_ANON makes SSO2 give a new ticket to a session that is logged in. */
const char *pwk_sso2_sessionstatus(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor,
                                   pwk_sso2_status last_known, apr_time_t now, apr_pool_t *p);
const char *pwk_sso2_authenticate(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor, const char *email,
                                  const char *password, apr_time_t now, apr_pool_t *p);
const char *pwk_sso2_logout(const pwk_sso2_client *client, const pwk_sso2_visitor *visitor, apr_time_t now,
                            apr_pool_t *p);

/* Reads a token that SSO2 signed, from a landing or from an answer's body. The signature (HMAC-SHA256) is checked in
 * constant time before anything inside is parsed. Accepts exactly alg HS256 and typ JWT (or none), no `crit`; `exp`
 * is required, `nbf` and `iat` checked when present, with PWK_SSO2_LEEWAY_S, and the message may live for
 * PWK_SSO2_SPAN_MAX_S (counted from now when there is no `iat`); `cid`, when present, must be ours, `aud` "pw-sso" or
 * our client id, and `iss` is not looked at (what answers carry is not documented; a message of ours reflected back
 * has no `sts` and no `err`, and is refused for that). null is absent. Either `err`, or `sid` with a known `sts`, must
 * be there; `sid`, `at` and `err` are visible ASCII. PWK_REFUSED with code "bad_token" (detail names the
 * check) for anything wrong, and `*answer` holds nothing then; an `err` inside is PWK_OK here and the caller's to
 * judge. Threats B-04, B-05. */
pwk_result pwk_sso2_read(pwk_sso2_answer *answer, const pwk_sso2_client *client, const char *token, apr_time_t now,
                         apr_pool_t *p);

/* The same from the body {"t":"…"} of an answer with any HTTP status, which the result carries. PWK_UNAVAILABLE: a
 * 2xx that cannot be read ("bad_json", "too_large", "bad_token"), or another status without a readable `t` that holds
 * an `err` ("sso_status"). `exp` may be missing here: an answer to a call of our own cannot be replayed to us. */
pwk_result pwk_sso2_read_body(pwk_sso2_answer *answer, const pwk_sso2_client *client, int http_status, const char *body,
                              apr_size_t len, apr_time_t now, apr_pool_t *p);

#endif
