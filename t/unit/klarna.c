/* src/core/pwk_klarna: the session in the ledger, which categories a page offers, where a browser may be sent, and the
 * purchase page's policy. klarna-sdk §2, §4; threats C-05, C-06, C-07. */
#include "unit.h"

#include <apr_strings.h>

#include "pwk_klarna.h"
#include "pwk_limits.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SDK "https://x.klarnacdn.net/kp/lib/v1/api.js"

static apr_array_header_t *texts(const char *const *words, size_t count)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));

    for (size_t i = 0; i < count; i++) {
        APR_ARRAY_PUSH(list, const char *) = words[i];
    }
    return list;
}

/* "a b" as a list. */
static apr_array_header_t *words(const char *text)
{
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    char *last;

    for (char *word = apr_strtok(apr_pstrdup(pool, text), " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(list, const char *) = word;
    }
    return list;
}

/* A session with those categories, each named by its identifier. */
static pwk_klarna_session session_with(const char *identifiers)
{
    const apr_array_header_t *list = words(identifiers);
    pwk_klarna_session session = {.id = "0b1d9815-165e-42e2-8867-35bc03789e00",
                                  .client_token = "a.b.c",
                                  .categories = apr_array_make(pool, 4, sizeof(pwk_klarna_category))};

    for (int i = 0; i < list->nelts; i++) {
        const char *identifier = APR_ARRAY_IDX(list, i, const char *);

        APR_ARRAY_PUSH(session.categories, pwk_klarna_category) =
            (pwk_klarna_category){identifier, apr_pstrcat(pool, "N ", identifier, NULL),
                                  apr_pstrcat(pool, "https://x.klarnacdn.net/", identifier, ".svg", NULL)};
    }
    return session;
}

/* --- the session --- */

static void session_comes_back(void **state)
{
    static const char *const categories[] = {"", "pay_now", "pay_later pay_now klarna"};

    (void)state;
    for (size_t i = 0; i < COUNT(categories); i++) {
        pwk_klarna_session session = session_with(categories[i]), back;
        const char *text;
        char *copy;

        session.client_token = repeated('t', PWK_CLIENT_TOKEN_MAX);
        session.id = repeated('i', PWK_SESSION_ID_MAX);
        if (session.categories->nelts) {
            APR_ARRAY_IDX(session.categories, 0, pwk_klarna_category).name = "\"Direkt\" \xc3\xa5\xc3\xa4\xc3\xb6 <b>";
            APR_ARRAY_IDX(session.categories, 0, pwk_klarna_category).logo = "";
        }
        text = pwk_klarna_write(&session, pool);
        copy = exact_bytes(text, strlen(text));
        assert_int_equal(pwk_klarna_read(&back, copy, strlen(text), pool), APR_SUCCESS);
        free(copy);
        assert_string_equal(back.id, session.id);
        assert_string_equal(back.client_token, session.client_token);
        assert_int_equal(back.categories->nelts, session.categories->nelts);
        for (int j = 0; j < back.categories->nelts; j++) {
            pwk_klarna_category was = APR_ARRAY_IDX(session.categories, j, pwk_klarna_category),
                                is = APR_ARRAY_IDX(back.categories, j, pwk_klarna_category);

            assert_string_equal(is.identifier, was.identifier);
            assert_string_equal(is.name, was.name);
            assert_string_equal(is.logo, was.logo);
        }
    }
}

static void is_no_session(const char *text)
{
    pwk_klarna_session session = {.id = "untouched"};
    char *copy = exact_bytes(text, strlen(text));

    if (pwk_klarna_read(&session, copy, strlen(text), pool) != APR_EINVAL) {
        fail_msg("read: %.200s", text);
    }
    free(copy);
    assert_string_equal(session.id, "untouched");
}

#define WITH "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":["

static void other_texts_are_no_sessions(void **state)
{
    static const char *const odd[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"id\":\"i\",\"client_token\":\"t\"}",
        "{\"id\":\"i\",\"categories\":[]}",
        "{\"client_token\":\"t\",\"categories\":[]}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":null}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":{}}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":[],\"more\":1}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":[],\"id\":\"i\"}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":[]}x",
        "{\"id\":\"\",\"client_token\":\"t\",\"categories\":[]}",
        "{\"id\":\"i i\",\"client_token\":\"t\",\"categories\":[]}",
        "{\"id\":7,\"client_token\":\"t\",\"categories\":[]}",
        "{\"id\":\"i\",\"client_token\":\"\",\"categories\":[]}",
        "{\"id\":\"i\",\"client_token\":\"t\\n\",\"categories\":[]}",
        "{\"id\":\"i\",\"client_token\":\"t\",\"categories\":[\"pay_now\"]}",
        WITH "{\"identifier\":\"pay_now\",\"name\":\"\"}]}",
        WITH "{\"identifier\":\"pay now\",\"name\":\"\",\"logo\":\"\"}]}",
        WITH "{\"identifier\":\"\",\"name\":\"\",\"logo\":\"\"}]}",
        WITH "{\"identifier\":\"x\",\"name\":null,\"logo\":\"\"}]}",
        WITH "{\"identifier\":\"x\",\"name\":\"\",\"logo\":\"\",\"z\":0}]}",
    };
    pwk_klarna_session session = session_with("pay_now");
    const char *good = pwk_klarna_write(&session, pool);

    (void)state;
    for (size_t i = 0; i < COUNT(odd); i++) {
        is_no_session(odd[i]);
    }
    for (size_t len = 0; len < strlen(good); len++) {
        is_no_session(apr_pstrmemdup(pool, good, len));
    }
    session.id = repeated('i', PWK_SESSION_ID_MAX + 1);
    is_no_session(pwk_klarna_write(&session, pool));
    session.id = "i";
    session.client_token = repeated('t', PWK_CLIENT_TOKEN_MAX + 1);
    is_no_session(pwk_klarna_write(&session, pool));
    session = session_with("a b c d e f g h");
    assert_int_equal(
        pwk_klarna_read(&session, pwk_klarna_write(&session, pool), strlen(pwk_klarna_write(&session, pool)), pool),
        APR_SUCCESS);
    session = session_with("a b c d e f g h i");
    is_no_session(pwk_klarna_write(&session, pool));
}

/* --- categories --- */

static void the_page_offers(void **state)
{
    static const struct {
        const char *session, *configured;
        int trial;
        const char *want;
    } cases[] = {
        {"", "", 0, ""},
        {"pay_now", "", 0, "pay_now"},
        {"klarna", "", 0, "klarna"},
        /* Without credit first, in their order otherwise (Betaltjänstlagen 7 a kap.). */
        {"pay_later pay_over_time pay_now direct_debit", "", 0, "pay_now direct_debit pay_later pay_over_time"},
        {"pay_over_time pay_later", "", 0, "pay_over_time pay_later"},
        {"novelty card", "", 0, "card novelty"},
        {"pay_now pay_now", "", 0, "pay_now"},
        {"a b c d e f g h i pay_now", "", 0, "pay_now a b c d e f g"},
        /* The publisher's, in that order, as far as the session has them. */
        {"pay_now pay_later", "pay_later pay_now", 0, "pay_later pay_now"},
        {"pay_later pay_now", "direct_debit pay_now", 0, "pay_now"},
        {"pay_later pay_now", "pay_now pay_now", 0, "pay_now"},
        {"", "direct_debit pay_now", 0, "direct_debit pay_now"},
        {"", "pay_later pay_now", 0, "pay_later pay_now"},
        {"", "a b c d e f g h i", 0, "a b c d e f g h"},
        /* None of them: the list in the configuration is out of date. */
        {"pay_later klarna", "direct_debit pay_now", 0, "klarna pay_later"},
        /* A trial, whatever else is said. */
        {"", "", 1, "direct_debit"},
        {"pay_now direct_debit", "pay_now", 1, "direct_debit"},
        {"pay_now", "pay_now", 1, "direct_debit"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pwk_klarna_session session = session_with(cases[i].session);
        const apr_array_header_t *list =
            pwk_klarna_categories(&session, words(cases[i].configured), cases[i].trial, pool);
        const char *got = "";

        for (int j = 0; j < list->nelts; j++) {
            const pwk_klarna_category *category = &APR_ARRAY_IDX(list, j, pwk_klarna_category);
            int known = 0;

            got = apr_pstrcat(pool, got, j ? " " : "", category->identifier, NULL);
            for (int k = 0; k < session.categories->nelts; k++) {
                known |=
                    strcmp(APR_ARRAY_IDX(session.categories, k, pwk_klarna_category).identifier, category->identifier)
                    == 0;
            }
            assert_string_equal(category->name, known ? apr_pstrcat(pool, "N ", category->identifier, NULL) : "");
            assert_int_equal(*category->logo != '\0', known);
        }
        if (strcmp(got, cases[i].want) != 0) {
            fail_msg("session \"%s\", configured \"%s\": \"%s\"", cases[i].session, cases[i].configured, got);
        }
        if (!*cases[i].configured) {
            list = pwk_klarna_categories(&session, NULL, cases[i].trial, pool);
            assert_int_equal(list->nelts, words(cases[i].want)->nelts);
        }
    }
}

static void credit(void **state)
{
    static const char *const without[] = {"pay_now", "direct_debit", "direct_bank_transfer", "card", "klarna"};
    static const char *const with[] = {"pay_later", "pay_over_time", "pay_in_parts", "slice_it",
                                       "",          "PAY_NOW",       "pay_now2",     "something_new"};

    (void)state;
    for (size_t i = 0; i < COUNT(without); i++) {
        assert_false(pwk_klarna_is_credit(without[i]));
    }
    for (size_t i = 0; i < COUNT(with); i++) {
        assert_true(pwk_klarna_is_credit(with[i]));
    }
}

/* --- hosts --- */

static void host_patterns(void **state)
{
    static const char *const good[] = {
        "www.example.se",      "*.klarna.com",   "*.a.b.example.se", "localhost",      "localhost:8080",
        "127.0.0.1:8080",      "127.0.0.1",      "[::1]:8080",       "[::1]",          "WWW.Example.SE",
        "*.Klarna.COM:8443",   "example.se:443", "*.localhost",      "a_b.example.se", "xn--rksmrgs-5wao1o.example",
        "www.example.se:65535"};
    static const char *const bad[] = {"",
                                      "*",
                                      "*.",
                                      "*.*",
                                      "*.*.klarna.com",
                                      "*klarna.com",
                                      "www.*.com",
                                      "klarna.*",
                                      "*.com",
                                      "*.se:8443",
                                      "*.127.0.0.1",
                                      "*.[::1]",
                                      "https://www.klarna.com",
                                      "https:",
                                      "//www.klarna.com",
                                      "www.klarna.com/",
                                      "www.klarna.com/x",
                                      "www.klarna.com?",
                                      "www.klarna.com#",
                                      "a@www.klarna.com",
                                      "www.klarna.com.",
                                      ".klarna.com",
                                      "*..klarna.com",
                                      "www..klarna.com",
                                      "-a.klarna.com",
                                      "a-.klarna.com",
                                      "www.klarna.com:",
                                      "www.klarna.com:0",
                                      "www.klarna.com:65536",
                                      "www.klarna.com:8a",
                                      "www.klarna.com:443:443",
                                      ":443",
                                      "www.klarna.com;",
                                      "www.klarna.com,",
                                      "www.klarna.com; script-src *",
                                      "'self'",
                                      "'unsafe-inline'",
                                      "data:",
                                      "www.klarna.com https://evil.example",
                                      "www.klarna.com\t",
                                      "www.klarna.com\n",
                                      "www.klarna.com\\",
                                      "r\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s.example",
                                      "www%2eklarna.com",
                                      "2130706433",
                                      "0x7f.1",
                                      "127.1",
                                      "[::1",
                                      "::1",
                                      "[fe80::1%25eth0]"};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        const char *why = pwk_klarna_host_is_wrong(good[i], pool);

        if (why) {
            fail_msg("%s %s", good[i], why);
        }
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        char *copy = exact_text(bad[i]);
        const char *why = pwk_klarna_host_is_wrong(copy, pool);

        free(copy);
        if (!why) {
            fail_msg("\"%s\" is taken for a host", bad[i]);
        }
        assert_true(*why != '\0');
    }
    assert_non_null(pwk_klarna_host_is_wrong(NULL, pool));
    assert_non_null(pwk_klarna_host_is_wrong(repeated('a', PWK_URL_MAX), pool));
}

/* --- redirects --- */

static const char *const listed[] = {"*.klarna.com", "www.example.se", "pay.example.se:8443", "127.0.0.1:18080",
                                     "localhost",    "[::1]:18080",    "*.localhost:18081"};

/* To be followed, with `listed`. */
static const char *const followed[] = {
    "https://payments.klarna.com/redirect/abc",
    "https://payments.klarna.com",
    "https://payments.klarna.com/",
    "https://payments.klarna.com?x=1",
    "https://payments.klarna.com/?x=1#y",
    "https://payments.klarna.com#y",
    "https://payments.klarna.com:443/x",
    "https://payments.klarna.com:0443/x",
    "https://payments.eu.playground.klarna.com/x",
    "https://a.b.c.d.e.klarna.com/x",
    "HTTPS://PAYMENTS.KLARNA.COM/x",
    "hTTps://Payments.Klarna.Com/x",
    "https://payments.klarna.com/%2e%2e/x",
    "https://payments.klarna.com/a//b",
    "https://payments.klarna.com/@x",
    "https://payments.klarna.com/x?u=https://evil.example/",
    "https://payments.klarna.com/x?u=a@b:c",
    "https://payments.klarna.com/x?u=%0d%0aSet-Cookie:%20a=b",
    "https://www.example.se/x",
    "https://WWW.EXAMPLE.SE/x",
    "https://www.example.se:443/x",
    "https://pay.example.se:8443/x",
    "https://127.0.0.1:18080/x",
    "http://127.0.0.1:18080/x",
    "HTTP://127.0.0.1:18080/x",
    "https://localhost/x",
    "http://[::1]:18080/x",
    "http://[0:0:0:0:0:0:0:1]:18080/x",
    "https://[::1]:18080/x",
    "https://a.localhost:18081/x",
    "https://x_y.klarna.com/",
    "https://xn--rksmrgs-5wao1o.klarna.com/",
};

/* Never. */
static const char *const refused[] = {
    /* not a URL of ours at all */
    "",
    " ",
    "/",
    "//",
    "x",
    "payments.klarna.com",
    "/payments.klarna.com",
    "//payments.klarna.com",
    "///payments.klarna.com",
    "\\\\payments.klarna.com",
    "/\\payments.klarna.com",
    "payments.klarna.com:443",
    "#https://payments.klarna.com",
    "?https://payments.klarna.com",
    "about:blank",
    "https",
    "https:",
    "https:/",
    "https://",
    "https:///",
    "https:////",
    "https://?",
    "https://#",
    "https://:443",
    "https://:443/",
    "https://@/",
    /* other schemes */
    "http://payments.klarna.com/",
    "http://www.example.se/",
    "ftp://payments.klarna.com/",
    "ws://payments.klarna.com/",
    "wss://payments.klarna.com/",
    "javascript:alert(1)",
    "javascript://payments.klarna.com/%0aalert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "data:text/html;base64,PHNjcmlwdD4=",
    "vbscript:x",
    "file:///etc/passwd",
    "file://payments.klarna.com/",
    "blob:https://payments.klarna.com/x",
    "view-source:https://payments.klarna.com/",
    "filesystem:https://payments.klarna.com/",
    "httpss://payments.klarna.com/",
    "xhttps://payments.klarna.com/",
    "https.://payments.klarna.com/",
    "shttp://payments.klarna.com/",
    "klarna://payments.klarna.com/",
    "intent://payments.klarna.com/#Intent;end",
    "mailto:a@payments.klarna.com",
    "bankid:///?redirect=x",
    /* slashes */
    "https:payments.klarna.com",
    "https:/payments.klarna.com",
    "https:///payments.klarna.com",
    "https:////payments.klarna.com",
    "https:\\payments.klarna.com",
    "https:\\\\payments.klarna.com",
    "https:/\\payments.klarna.com",
    "https:\\/payments.klarna.com",
    "https://\\payments.klarna.com",
    "https:/ /payments.klarna.com",
    "https//payments.klarna.com",
    "https;//payments.klarna.com",
    "https:%2f%2fpayments.klarna.com",
    "https://payments.klarna.com\\x",
    "https://payments.klarna.com/\\x",
    "https://payments.klarna.com\\@evil.example",
    "https://evil.example\\.klarna.com/",
    "https://evil.example\\@payments.klarna.com",
    "https://payments.klarna.com/x?y\\z",
    "http:/127.0.0.1:18080/",
    /* user parts */
    "https://evil.example@payments.klarna.com/",
    "https://payments.klarna.com@evil.example/",
    "https://payments.klarna.com:x@evil.example/",
    "https://payments.klarna.com:443@evil.example/",
    "https://a:b@payments.klarna.com/",
    "https://@payments.klarna.com/",
    "https://:@payments.klarna.com/",
    "https://a@b@payments.klarna.com/",
    "https://a%40evil.example@payments.klarna.com/",
    "https://payments.klarna.com%40evil.example/",
    "https://payments.klarna.com%2f@evil.example/",
    "https://payments.klarna.com%5c@evil.example/",
    "https://payments.klarna.com%23@evil.example/",
    "https://payments.klarna.com%00@evil.example/",
    "https://payments.klarna.com;@evil.example/",
    "https://www.example.se@evil.example/",
    "http://127.0.0.1:18080@evil.example/",
    "https://x@[::1]:18080/",
    /* hosts that only look like one */
    "https://klarna.com/",
    "https://klarna.com:443/",
    "https://evil.example/",
    "https://klarna.com.evil.example/",
    "https://payments.klarna.com.evil.example/",
    "https://payments.klarna.comevil.example/",
    "https://evilklarna.com/",
    "https://xklarna.com/",
    "https://payments-klarna.com/",
    "https://klarna.com-evil.example/",
    "https://payments.klarna.co/",
    "https://payments.klarna.como/",
    "https://payments.klarna.com.se/",
    "https://evil.example/.klarna.com",
    "https://evil.example/#.klarna.com",
    "https://evil.example?.klarna.com",
    "https://evil.example#.klarna.com",
    "https://evil.example/payments.klarna.com/",
    "https://evil.example;.klarna.com/",
    "https://evil.example,.klarna.com/",
    "https://evil.example%2f.klarna.com/",
    "https://evil.example%23.klarna.com/",
    "https://evil.example%3f.klarna.com/",
    "https://evil.example%5c.klarna.com/",
    "https://evil.example%00.klarna.com/",
    "https://evil.example%09.klarna.com/",
    "https://evil.example%20.klarna.com/",
    "https://evil.example&.klarna.com/",
    "https://evil.example=.klarna.com/",
    "https://evil.example+.klarna.com/",
    "https://evil.example!.klarna.com/",
    "https://evil.example$.klarna.com/",
    "https://evil.example'.klarna.com/",
    "https://evil.example\".klarna.com/",
    "https://evil.example<.klarna.com/",
    "https://evil.example>.klarna.com/",
    "https://evil.example(.klarna.com/",
    "https://evil.example).klarna.com/",
    "https://evil.example*.klarna.com/",
    "https://evil.example|.klarna.com/",
    "https://evil.example^.klarna.com/",
    "https://evil.example`.klarna.com/",
    "https://evil.example{.klarna.com/",
    "https://evil.example}.klarna.com/",
    "https://evil.example~.klarna.com/",
    "https://evil.example[.klarna.com/",
    "https://evil.example].klarna.com/",
    "https://[evil.example].klarna.com/",
    "https://*.klarna.com/",
    "https://%2e.klarna.com/",
    "https://payments%2eklarna%2ecom/",
    "https://payments.klarna%2ecom/",
    "https://payments.klarna.com%2eevil.example/",
    "https://%70ayments.klarna.com/",
    "https://www.example.se.evil.example/",
    "https://a.www.example.se/",
    "https://example.se/",
    "https://wwwexample.se/",
    "https://www.example.sex/",
    "https://www-example.se/",
    /* dots and hyphens */
    "https://payments.klarna.com./",
    "https://payments.klarna.com..",
    "https://payments.klarna..com/",
    "https://payments..klarna.com/",
    "https://.klarna.com/",
    "https://..klarna.com/",
    "https://.payments.klarna.com/",
    "https://klarna.com./",
    "https://-.klarna.com/",
    "https://-a.klarna.com/",
    "https://a-.klarna.com/",
    "https://www.example.se./",
    "https://www.example.se.:443/",
    "https://./",
    "https://../",
    "https://.",
    /* ports */
    "https://payments.klarna.com:8443/",
    "https://payments.klarna.com:80/",
    "https://payments.klarna.com:/",
    "https://payments.klarna.com:0/",
    "https://payments.klarna.com:65536/",
    "https://payments.klarna.com:99999999999/",
    "https://payments.klarna.com:4294967739/",
    "https://payments.klarna.com:-443/",
    "https://payments.klarna.com:+443/",
    "https://payments.klarna.com: 443/",
    "https://payments.klarna.com:443a/",
    "https://payments.klarna.com:443:443/",
    "https://payments.klarna.com:443.evil.example/",
    "https://payments.klarna.com::443/",
    "https://payments.klarna.com:x/",
    "https://www.example.se:8443/",
    "https://pay.example.se/",
    "https://pay.example.se:443/",
    "https://pay.example.se:8444/",
    "https://pay.example.se:18443/",
    "https://a.pay.example.se:8443/",
    "https://127.0.0.1/",
    "http://127.0.0.1/",
    "http://127.0.0.1:18081/",
    "http://127.0.0.1:1808/",
    "http://127.0.0.1:180800/",
    "https://localhost:18080/",
    "https://a.localhost/",
    "https://a.localhost:18082/",
    /* http: only to a loopback address that is listed with its port */
    "http://localhost/",
    "http://localhost:80/",
    "http://localhost:443/",
    "http://localhost:18080/",
    "http://a.localhost:18081/",
    "http://localhost:18081/",
    "http://127.0.0.2:18080/",
    "http://[::1]/",
    "http://[::1]:80/",
    "http://10.0.0.1:18080/",
    "http://pay.example.se:8443/",
    "http://payments.klarna.com:443/",
    "http://127.0.0.1:18080.evil.example/",
    "http://127.0.0.1.evil.example:18080/",
    /* addresses */
    "https://127.1:18080/",
    "https://2130706433:18080/",
    "https://0x7f000001:18080/",
    "https://0177.0.0.1:18080/",
    "https://127.0.0.1.:18080/",
    "https://127.0.0.01:18080/",
    "https://1.2.3.4/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]:18080/",
    "https://[::1]:18081/",
    "https://[::1/",
    "https://::1/",
    "https://[]/",
    "https://[::1%25lo]:18080/",
    "https://[::1]x:18080/",
    "https://[::1].klarna.com/",
    "https://[fe80::1]/",
    "https://[::1]:18080:1/",
    /* bytes */
    " https://payments.klarna.com/",
    "https://payments.klarna.com/ ",
    "https://payments.klarna.com/a b",
    "https://payments .klarna.com/",
    "https ://payments.klarna.com/",
    "https:// payments.klarna.com/",
    "\thttps://payments.klarna.com/",
    "ht\ttps://payments.klarna.com/",
    "https:\t//payments.klarna.com/",
    "https:/\t/payments.klarna.com/",
    "https://\tpayments.klarna.com/",
    "https://payments.klarna.com\t/",
    "https://payments.klarna.com/\r\nSet-Cookie: a=b",
    "https://payments.klarna.com/\n",
    "https://payments.klarna.com/\r",
    "https://payments.klarna.com\n/",
    "\nhttps://payments.klarna.com/",
    "https://payments.klarna.com/\x01",
    "https://payments.klarna.com/\x0b",
    "https://payments.klarna.com/\x7f",
    "\x01https://payments.klarna.com/",
    "https://payments.klarna.com/\x1f",
    "\x0chttps://payments.klarna.com/",
    "https://payments.klarna.com/\xc3\xa5",
    "https://payments\343\200\202klarna\343\200\202com/",
    "https://evil.example\xe3\x80\x82.klarna.com/",
    "https://evil.example\xef\xbc\x8f.klarna.com/",
    "https://evil.example\xe2\x84\x80.klarna.com/",
    "https://payments.\xd0\xbalarna.com/",
    "https://payments.klarna.com\xe2\x80\xae/",
    "https://payments\xc2\xad.klarna.com/",
    "https://payments.klarna.com/\xff",
    "https://payments.klarna.com/\xa0",
    "https://payments.klarna.com/\x80",
    "\xef\xbb\xbfhttps://payments.klarna.com/",
    "\xc2\xa0https://payments.klarna.com/",
    "https://payments.klarna.com/%",
    "https://payments.klarna.com/%2",
    "https://payments.klarna.com/%zz",
    "https://payments.klarna.com/%u0041",
    "https://payments.klarna.com/\"",
    "https://payments.klarna.com/<script>",
    "https://payments.klarna.com/>",
    "https://payments.klarna.com/`",
    "https://payments.klarna.com/{x}",
    "https://payments.klarna.com/|",
    "https://payments.klarna.com/^",
};

static int may(const char *url, const apr_array_header_t *hosts)
{
    char *copy = exact_text(url);
    int answer = pwk_klarna_may_redirect(copy, hosts, pool);

    free(copy);
    return answer;
}

static void redirects_are_followed(void **state)
{
    const apr_array_header_t *hosts = texts(listed, COUNT(listed)), *none = texts(NULL, 0);

    (void)state;
    for (size_t i = 0; i < COUNT(followed); i++) {
        if (!may(followed[i], hosts)) {
            fail_msg("not followed: %s", followed[i]);
        }
        assert_false(may(followed[i], none));
    }
}

static void redirects_are_refused(void **state)
{
    const apr_array_header_t *hosts = texts(listed, COUNT(listed));

    (void)state;
    assert_true(COUNT(refused) >= 200);
    for (size_t i = 0; i < COUNT(refused); i++) {
        if (may(refused[i], hosts)) {
            fail_msg("followed: %s", refused[i]);
        }
    }
    assert_false(pwk_klarna_may_redirect(NULL, hosts, pool));
}

/* Every other byte, put at each place of an URL that is followed. */
static void no_stray_byte_gets_through(void **state)
{
    static const char url[] = "https://payments.klarna.com/x";
    const apr_array_header_t *hosts = texts(listed, COUNT(listed));

    (void)state;
    for (size_t at = 0; at <= strlen(url); at++) {
        for (int c = 1; c < 256; c++) {
            const char *text = apr_psprintf(pool, "%.*s%c%s", (int)at, url, c, url + at);

            if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '"' || c == '<') {
                assert_false(may(text, hosts));
            }
        }
    }
}

static void length_is_bounded(void **state)
{
    static const char url[] = "https://payments.klarna.com/";
    const apr_array_header_t *hosts = texts(listed, COUNT(listed));
    const size_t left = PWK_URL_MAX - strlen(url);

    (void)state;
    assert_true(may(apr_pstrcat(pool, url, repeated('a', left - 1), NULL), hosts));
    assert_true(may(apr_pstrcat(pool, url, repeated('a', left), NULL), hosts));
    assert_false(may(apr_pstrcat(pool, url, repeated('a', left + 1), NULL), hosts));
    assert_false(may(apr_pstrcat(pool, url, repeated('a', 100000), NULL), hosts));
}

/* A pattern that start-up would refuse opens nothing. */
static void wrong_patterns_match_nothing(void **state)
{
    static const char *const wrong[] = {"*",
                                        "*.*",
                                        "",
                                        "*.com",
                                        "klarna.com.",
                                        "https://payments.klarna.com",
                                        "*klarna.com",
                                        ".klarna.com",
                                        "payments.klarna.com/",
                                        "*.klarna.com:"};

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(may("https://payments.klarna.com/", texts(&wrong[i], 1)));
        assert_false(may("https://evil.example/", texts(&wrong[i], 1)));
    }
}

/* --- the policy --- */

/* The sources of a directive, with a space on either side; NULL: it is not there. It must not be there twice. */
static const char *sources_of(const char *policy, const char *name)
{
    const char *found = NULL;
    char *last;

    for (char *part = apr_strtok(apr_pstrdup(pool, policy), ";", &last); part; part = apr_strtok(NULL, ";", &last)) {
        part += strspn(part, " ");
        if (strncmp(part, name, strlen(name)) == 0 && part[strlen(name)] == ' ') {
            assert_null(found);
            found = apr_pstrcat(pool, part + strlen(name), " ", NULL);
        }
    }
    return found;
}

static int has(const char *policy, const char *name, const char *source)
{
    const char *sources = sources_of(policy, name);

    return sources && strstr(sources, apr_pstrcat(pool, " ", source, " ", NULL)) != NULL;
}

static void policy_with_klarnas_own_script(void **state)
{
    const char *policy = pwk_klarna_policy(SDK, words(""), "", words("*.klarna.com"), pool);

    (void)state;
    assert_string_equal(
        policy, "default-src 'none'; "
                "script-src 'self' https://x.klarnacdn.net https://js.klarna.com https://js.playground.klarna.com; "
                "style-src 'self' 'unsafe-inline' https://x.klarnacdn.net; "
                "font-src 'self' https://x.klarnacdn.net; "
                "img-src 'self' data: https://*.klarna.com https://x.klarnacdn.net https://*.klarnaevt.com "
                "https://*.klarnaservices.com; "
                "connect-src 'self' https://*.klarna.com https://*.klarnaevt.com https://x.klarnacdn.net; "
                "frame-src https://*.klarna.com https://x.klarnacdn.net; "
                "form-action 'self' https://*.klarna.com; "
                "base-uri 'none'; object-src 'none'; frame-ancestors 'none'");
}

static void policy_with_a_script_of_another_host(void **state)
{
    const char *policy =
        pwk_klarna_policy("http://127.0.0.1:18080/kp/lib/v1/api.js?x", words(""), "", words("127.0.0.1:18080"), pool);

    (void)state;
    assert_string_equal(sources_of(policy, "script-src"), " 'self' http://127.0.0.1:18080 ");
    assert_true(has(policy, "connect-src", "http://127.0.0.1:18080"));
    assert_true(has(policy, "frame-src", "http://127.0.0.1:18080"));
    assert_true(has(policy, "img-src", "http://127.0.0.1:18080"));
    assert_false(has(policy, "style-src", "http://127.0.0.1:18080"));
    assert_string_equal(sources_of(policy, "form-action"), " 'self' https://127.0.0.1:18080 http://127.0.0.1:18080 ");
    /* Not Klarna's, whatever it is called. */
    policy = pwk_klarna_policy("https://x.klarnacdn.net.evil.example/api.js", words(""), "", words(""), pool);
    assert_string_equal(sources_of(policy, "script-src"), " 'self' https://x.klarnacdn.net.evil.example ");
    policy = pwk_klarna_policy("https://js.klarna.com/api.js", words(""), "", words(""), pool);
    assert_true(has(policy, "script-src", "https://x.klarnacdn.net"));
}

static void policy_with_further_hosts(void **state)
{
    static const char *const places[] = {"script-src", "font-src", "img-src", "connect-src", "frame-src"};
    const char *policy =
        pwk_klarna_policy(SDK, words("*.Example.com:8443 cdn.example.se x.klarnacdn.net *.com 'unsafe-eval'"),
                          "https://portal.example.se https://sso.example.se https://portal.example.se",
                          words("*.klarna.com www.example.se:443 [::1]:8080"), pool);

    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        assert_true(has(policy, places[i], "https://*.example.com:8443"));
        assert_true(has(policy, places[i], "https://cdn.example.se"));
        assert_false(has(policy, places[i], "http://cdn.example.se"));
    }
    assert_false(has(policy, "style-src", "https://cdn.example.se"));
    assert_string_equal(sources_of(policy, "form-action"),
                        " 'self' https://portal.example.se https://sso.example.se https://*.klarna.com "
                        "https://www.example.se https://[::1]:8080 http://[::1]:8080 ");
    assert_null(strstr(policy, "*.com "));
    assert_null(strstr(policy, "unsafe-eval"));
}

/* What no setting may bring in, and no directive left to default-src's silence. */
static void policy_stays_strict(void **state)
{
    static const char *const sdks[] = {SDK, "https://cdn.example.se/api.js", "http://localhost:8080/api.js"};

    (void)state;
    for (size_t i = 0; i < COUNT(sdks); i++) {
        const char *policy = pwk_klarna_policy(sdks[i], NULL, NULL, NULL, pool);

        assert_false(has(policy, "script-src", "'unsafe-inline'"));
        assert_null(strstr(policy, "unsafe-eval"));
        assert_null(strstr(policy, " * "));
        assert_null(strstr(policy, " https: "));
        assert_string_equal(sources_of(policy, "default-src"), " 'none' ");
        assert_string_equal(sources_of(policy, "base-uri"), " 'none' ");
        assert_string_equal(sources_of(policy, "object-src"), " 'none' ");
        assert_string_equal(sources_of(policy, "frame-ancestors"), " 'none' ");
        assert_string_equal(sources_of(policy, "form-action"), " 'self' ");
        for (const char *c = policy; *c; c++) {
            assert_in_range(*c, 0x20, 0x7e);
        }
    }
}

/* --- language --- */

static void browser_languages(void **state)
{
    static const struct {
        const char *accept, *page, *want;
    } cases[] = {
        {"sv-SE,sv;q=0.9,en;q=0.8", "sv", "sv-SE"},
        {"sv-SE", "en", "sv-SE"},
        {"en-GB;q=0.9", "sv", "en-GB"},
        {"  en-US , sv", "sv", "en-US"},
        {"\ten-US", "sv", "en-US"},
        {"SV-se", "en", "sv-SE"},
        {"fi-fi,sv", "sv", "fi-FI"},
        {"smj-SE", "sv", "smj-SE"},
        {"zh-Hans-CN", "sv", "zh-CN"},
        {"ca-ES-valencia", "sv", "ca-ES"},
        {"sv", "sv", "sv-SE"},
        {"sv,en-GB", "en", "en-SE"},
        {"en;q=1", "sv", "sv-SE"},
        {NULL, "en", "en-SE"},
        {"", "sv", "sv-SE"},
        {"*", "sv", "sv-SE"},
        {"*,en-GB", "sv", "sv-SE"},
        {",en-GB", "sv", "sv-SE"},
        {"-SE", "sv", "sv-SE"},
        {"sv-", "sv", "sv-SE"},
        {"sv-S", "en", "en-SE"},
        {"sv-SEX", "en", "en-SE"},
        {"sv_SE", "en", "en-SE"},
        {"s-SE", "en", "en-SE"},
        {"svenska-SE", "en", "en-SE"},
        {"es-419", "sv", "sv-SE"},
        {"sv-5E", "en", "en-SE"},
        {"sv--SE", "en", "en-SE"},
        {"zh-Hans", "en", "en-SE"},
        {"zh-Hans-", "en", "en-SE"},
        {"zh-Hans-Hant-CN", "en", "en-SE"},
        {"sv-SE\x01", "en", "en-SE"},
        {"sv-SE\"><script>", "en", "en-SE"},
        {"sv-\xc3\xa5", "en", "en-SE"},
        {"\xc3\xa5-SE", "en", "en-SE"},
        {"i-klingon", "en", "en-SE"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *copy = cases[i].accept ? exact_text(cases[i].accept) : NULL;
        const char *got = pwk_klarna_language(copy, cases[i].page, pool);

        free(copy);
        if (strcmp(got, cases[i].want) != 0) {
            fail_msg("\"%s\": \"%s\"", cases[i].accept ? cases[i].accept : "(none)", got);
        }
    }
    assert_string_equal(pwk_klarna_language(repeated('a', 100000), "sv", pool), "sv-SE");
    assert_string_equal(pwk_klarna_language(apr_pstrcat(pool, "sv-SE,", repeated('a', 100000), NULL), "en", pool),
                        "sv-SE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_comes_back),
        cmocka_unit_test(other_texts_are_no_sessions),
        cmocka_unit_test(the_page_offers),
        cmocka_unit_test(credit),
        cmocka_unit_test(host_patterns),
        cmocka_unit_test(redirects_are_followed),
        cmocka_unit_test(redirects_are_refused),
        cmocka_unit_test(no_stray_byte_gets_through),
        cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(wrong_patterns_match_nothing),
        cmocka_unit_test(policy_with_klarnas_own_script),
        cmocka_unit_test(policy_with_a_script_of_another_host),
        cmocka_unit_test(policy_with_further_hosts),
        cmocka_unit_test(policy_stays_strict),
        cmocka_unit_test(browser_languages),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("klarna", tests, unit_begin, unit_end);
}
