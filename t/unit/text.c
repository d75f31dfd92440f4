#include "unit.h"

#include <apr_strings.h>

#include "pwk_limits.h"
#include "pwk_text.h"

#define DOTS "\xe2\x80\xa6"

static int is_utf8(const char *bytes, size_t len)
{
    char *copy = exact_bytes(bytes, len);
    int is = pwk_text_is_utf8(copy, len);

    free(copy);
    return is;
}

/* Writes `code` as RFC 3629 has it, without a look at whether it may be written. */
static size_t encode(unsigned char out[4], unsigned int code)
{
    if (code < 0x80) {
        out[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (unsigned char)(0xc0 | code >> 6);
        out[1] = (unsigned char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (unsigned char)(0xe0 | code >> 12);
        out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (unsigned char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (unsigned char)(0xf0 | code >> 18);
    out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (unsigned char)(0x80 | (code & 0x3f));
    return 4;
}

static void utf8_accepts_every_character_and_no_other(void **state)
{
    /* One bit for each sequence of up to three bytes, the length in front: set for those that stand for a character. */
    unsigned char *known = calloc(1, 1 << 24);
    unsigned int code, sequence;

    (void)state;
    assert_non_null(known);
    for (code = 0; code <= 0x10ffff; code++) {
        unsigned char s[4];
        size_t len = encode(s, code);

        if (code >= 0xd800 && code <= 0xdfff) {
            assert_false(pwk_text_is_utf8((char *)s, len));
            continue;
        }
        if (!pwk_text_is_utf8((char *)s, len)) {
            fail_msg("U+%04X is refused", code);
        }
        if (len == 2) {
            known[s[0] << 8 | s[1]] |= 1;
        } else if (len == 3) {
            known[s[0] << 16 | s[1] << 8 | s[2]] |= 2;
        }
    }
    for (sequence = 0x8000; sequence <= 0xffff; sequence++) {
        const char s[2] = {(char)(sequence >> 8), (char)sequence};

        if (pwk_text_is_utf8(s, 2) != (known[sequence] & 1)) {
            fail_msg("%04x", sequence);
        }
    }
    for (sequence = 0xe00000; sequence <= 0xffffff; sequence++) {
        const char s[3] = {(char)(sequence >> 16), (char)(sequence >> 8), (char)sequence};

        if (pwk_text_is_utf8(s, 3) != (known[sequence] >> 1)) {
            fail_msg("%06x", sequence);
        }
    }
    free(known);
}

static void utf8_knows_malformed_sequences(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int is;
    } table[] = {
        {"", 0, 1},
        {"\0", 1, 1}, /* NUL is a character; who minds it says so */
        {"plain", 5, 1},
        {"r\xc3\xa4ksm\xc3\xb6rg\xc3\xa5s", 13, 1},
        {"\xf0\x9f\x93\xb0", 4, 1},
        {"\xf4\x8f\xbf\xbf", 4, 1},
        {"\x80", 1, 0},
        {"\xbf", 1, 0},
        {"\xc0\x80", 2, 0}, /* overlong NUL */
        {"\xc0\xaf", 2, 0}, /* overlong '/' */
        {"\xc1\xbf", 2, 0},
        {"\xc2", 1, 0},
        {"\xc2\x7f", 2, 0},
        {"\xc2\xc0", 2, 0},
        {"\xdf", 1, 0},
        {"\xe0\x80\xaf", 3, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xe0\xa0\x80", 3, 1},
        {"\xe2\x80", 2, 0},
        {"\xe2", 1, 0},
        {"\xed\x9f\xbf", 3, 1},
        {"\xed\xa0\x80", 3, 0}, /* surrogates, alone and as CESU-8 writes them */
        {"\xed\xbf\xbf", 3, 0},
        {"\xed\xa0\xbd\xed\xb3\xb0", 6, 0},
        {"\xf0\x80\x80\xaf", 4, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf0\x90\x80\x80", 4, 1},
        {"\xf0\x90\x80", 3, 0},
        {"\xf0\x90\x80\x7f", 4, 0},
        {"\xf0\x90\xc0\x80", 4, 0},
        {"\xf4\x90\x80\x80", 4, 0}, /* U+110000 */
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"\xfc\x84\x80\x80\x80\x80", 6, 0},
        {"\xfe", 1, 0},
        {"\xff", 1, 0},
        {"a\xe5", 2, 0}, /* Latin-1 */
        {"\xe5 b", 3, 0},
        {"ok\xc3\xa5\xff", 5, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (is_utf8(table[i].bytes, table[i].len) != table[i].is) {
            fail_msg("row %zu", i);
        }
    }
}

static const char *clean(const char *text, size_t max)
{
    char *copy = exact_text(text);
    const char *cleaned = pwk_text_clean(copy, max, pool);

    free(copy);
    return cleaned;
}

static void clean_takes_out_what_is_unfit(void **state)
{
    static const struct {
        const char *text, *cleaned;
    } table[] = {
        {"", ""},
        {" ", ""},
        {"  Digital  ", "Digital"},
        {"a b", "a b"},
        {"a  \t\r\n b", "a b"},
        {"a\nb", "a b"},
        {"a\vb\fc", "a b c"},
        {"a\xc2\x85"
         "b",
         "a b"}, /* NEL */
        {"a\xe2\x80\xa8"
         "b\xe2\x80\xa9"
         "c",
         "a b c"}, /* U+2028, U+2029 */
        {"210\xc2\xa0kr", "210\xc2\xa0kr"},
        {"a\x01\x02\x1b[31mb\x7f", "a[31mb"},
        {"a\x01 \x02 b", "a b"},
        {"\x01", ""},
        {"a\xc2\x80\xc2\x9f\xc2\xa1", "a\xc2\xa1"},                                 /* C1, and what follows it */
        {"\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xaexyz", "xyz"}, /* U+202A..202E */
        {"\xe2\x80\xaf", "\xe2\x80\xaf"},                               /* U+202F is a space that is meant */
        {"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9xyz", "xyz"}, /* U+2066..2069 */
        {"\xe2\x81\xa5\xe2\x81\xaa", "\xe2\x81\xa5\xe2\x81\xaa"},       /* their neighbours stay */
        {"\xe2\x80\xa7\xe2\x80\xa9x", "\xe2\x80\xa7 x"},
        {"bl\xe5tt", "bltt"}, /* Latin-1 */
        {"\xc3", ""},         /* cut off */
        {"a\xe2\x80", "a"},
        {"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80z", "z"},
        {"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80"}, /* ZWJ */
        {"<b>&\"'", "<b>&\"'"}, /* escaping is the page's */
    };
    size_t i;

    (void)state;
    assert_string_equal(pwk_text_clean(NULL, 10, pool), "");
    assert_string_equal(pwk_text_clean(NULL, 0, pool), "");
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_string_equal(clean(table[i].text, PWK_TEXT_MAX), table[i].cleaned);
    }
}

static void clean_cuts_on_a_character(void **state)
{
    static const struct {
        const char *text;
        size_t max;
        const char *cleaned;
    } table[] = {
        {"abcdef", 7, "abcdef"},
        {"abcdef", 6, "abcdef"},
        {"abcdef", 5, "ab" DOTS},
        {"abcdef", 4, "a" DOTS},
        {"abcdef", 3, DOTS},
        {"abcdef", 2, "ab"},
        {"abcdef", 1, "a"},
        {"abcdef", 0, ""},
        {"", 0, ""},
        {"ab   ", 2, "ab"}, /* what is cut off is nothing */
        {"ab \x01\xff ", 2, "ab"},
        {"  abc", 3, "abc"},
        {"ab cdef", 6, "ab" DOTS}, /* no space before the dots */
        {"ab cdef", 7, "ab cdef"},
        {"a     b", 3, "a b"},
        {"\xc3\xa5\xc3\xa4\xc3\xb6", 6, "\xc3\xa5\xc3\xa4\xc3\xb6"},
        {"\xc3\xa5\xc3\xa4\xc3\xb6", 5, "\xc3\xa5" DOTS},
        {"\xc3\xa5\xc3\xa4\xc3\xb6", 4, DOTS}, /* not half a character */
        {"\xc3\xa5\xc3\xa4", 2, "\xc3\xa5"},
        {"\xc3\xa5", 1, ""},
        {"\xf0\x9f\x93\xb0\xf0\x9f\x93\xb0", 7, "\xf0\x9f\x93\xb0" DOTS},
        {"\xf0\x9f\x93\xb0\xf0\x9f\x93\xb0", 6, DOTS},
        {"\xf0\x9f\x93\xb0\xf0\x9f\x93\xb0", 8, "\xf0\x9f\x93\xb0\xf0\x9f\x93\xb0"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_string_equal(clean(table[i].text, table[i].max), table[i].cleaned);
    }
    assert_string_equal(clean(repeated('x', PWK_TEXT_MAX - 1), PWK_TEXT_MAX), repeated('x', PWK_TEXT_MAX - 1));
    assert_string_equal(clean(repeated('x', PWK_TEXT_MAX), PWK_TEXT_MAX), repeated('x', PWK_TEXT_MAX));
    assert_string_equal(clean(repeated('x', PWK_TEXT_MAX + 1), PWK_TEXT_MAX),
                        apr_pstrcat(pool, repeated('x', PWK_TEXT_MAX - 3), DOTS, NULL));
}

static void clean_keeps_its_word_on_anything(void **state)
{
    static const char *const pieces[] = {
        " ", "\n", "\x01", "a", "\xc3\xa5", "\xe2\x80\xae", "\xe2\x80\xa8", "\xe2", "\xf0\x9f\x93\xb0", "\xff"};
    unsigned int seed = 1, round;

    (void)state;
    for (round = 0; round < 20000; round++) {
        const char *text = "", *cleaned;
        size_t max, len;
        unsigned int i, n;

        seed = seed * 1103515245U + 12345U;
        n = seed >> 16 & 15;
        max = seed >> 20 & 31;
        for (i = 0; i < n; i++) {
            seed = seed * 1103515245U + 12345U;
            text = apr_pstrcat(pool, text, pieces[(seed >> 16) % (sizeof(pieces) / sizeof(pieces[0]))], NULL);
        }
        cleaned = clean(text, max);
        len = strlen(cleaned);
        assert_true(len <= max);
        assert_true(pwk_text_is_utf8(cleaned, len));
        assert_null(strpbrk(cleaned, "\n\x01"));
        assert_null(strstr(cleaned, "  "));
        assert_null(strstr(cleaned, "\xe2\x80\xae"));
        assert_true(len == 0 || (cleaned[0] != ' ' && cleaned[len - 1] != ' '));
        assert_string_equal(clean(cleaned, max), cleaned); /* clean text is left alone */
        if (round % 1000 == 0) {
            apr_pool_clear(pool);
        }
    }
}

/* Asks about `text` from a buffer without a byte to spare. */
static int asked(int (*is)(const char *), const char *text)
{
    char *copy = exact_text(text);
    int answer = is(copy);

    free(copy);
    return answer;
}

static void codes(void **state)
{
    int byte;

    (void)state;
    assert_false(pwk_text_is_code(NULL));
    assert_false(asked(pwk_text_is_code, ""));
    assert_true(asked(pwk_text_is_code, "adeprimo_digital"));
    assert_true(asked(pwk_text_is_code, "-"));
    assert_false(asked(pwk_text_is_code, "a b"));
    assert_false(asked(pwk_text_is_code, "digital\n"));
    assert_false(asked(pwk_text_is_code, "../me"));
    assert_false(asked(pwk_text_is_code, "r\xc3\xa5"));
    assert_true(asked(pwk_text_is_code, repeated('x', PWK_CODE_MAX - 1)));
    assert_true(asked(pwk_text_is_code, repeated('x', PWK_CODE_MAX)));
    assert_false(asked(pwk_text_is_code, repeated('x', PWK_CODE_MAX + 1)));
    for (byte = 1; byte < 256; byte++) {
        const char text[] = {'a', (char)byte, '\0'};

        assert_int_equal(asked(pwk_text_is_code, text),
                         strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", byte) != NULL);
    }
}

static void ids(void **state)
{
    int byte;

    (void)state;
    assert_false(pwk_text_is_id(NULL));
    assert_false(asked(pwk_text_is_id, ""));
    assert_true(asked(pwk_text_is_id, "5f0d9ea795cfebfb8544ab12"));
    assert_true(asked(pwk_text_is_id, "5F0D9EA795CFEBFB8544AB12"));
    assert_false(asked(pwk_text_is_id, repeated('0', 23)));
    assert_true(asked(pwk_text_is_id, repeated('0', 24)));
    assert_false(asked(pwk_text_is_id, repeated('0', 25)));
    for (byte = 1; byte < 256; byte++) {
        char *text = repeated('0', 24);

        text[23] = (char)byte;
        assert_int_equal(asked(pwk_text_is_id, text), strchr("0123456789abcdefABCDEF", byte) != NULL);
    }
}

static void visible_ascii(void **state)
{
    int byte;

    (void)state;
    assert_false(pwk_text_is_visible(NULL, 10));
    assert_false(pwk_text_is_visible("", 10));
    assert_false(pwk_text_is_visible("", 0));
    assert_false(pwk_text_is_visible("a", 0));
    for (byte = 1; byte < 256; byte++) {
        const char text[] = {'a', (char)byte, '\0'};

        assert_int_equal(pwk_text_is_visible(text, 2), byte >= 0x21 && byte <= 0x7e);
    }
    assert_true(pwk_text_is_visible(repeated('~', PWK_SID_MAX - 1), PWK_SID_MAX));
    assert_true(pwk_text_is_visible(repeated('~', PWK_SID_MAX), PWK_SID_MAX));
    assert_false(pwk_text_is_visible(repeated('~', PWK_SID_MAX + 1), PWK_SID_MAX));
}

static void secrets_are_compared_whole(void **state)
{
    static const char secret[] = "correct horse battery staple";
    size_t i;

    (void)state;
    assert_false(pwk_text_same_secret(NULL, NULL));
    assert_false(pwk_text_same_secret("", NULL));
    assert_false(pwk_text_same_secret(NULL, ""));
    assert_true(pwk_text_same_secret("", ""));
    assert_true(pwk_text_same_secret(secret, apr_pstrdup(pool, secret)));
    assert_false(pwk_text_same_secret(secret, "Correct horse battery staple"));
    assert_false(pwk_text_same_secret(secret, "correct horse battery stapl"));
    assert_false(pwk_text_same_secret(secret, "correct horse battery staple "));
    for (i = 0; i < sizeof(secret) - 1; i++) {
        char *other = apr_pstrdup(pool, secret);

        other[i] ^= 1;
        assert_false(pwk_text_same_secret(secret, other));
    }
}

static void base64url_of_the_rfc(void **state)
{
    static const struct {
        const char *bytes, *text;
    } table[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xff\xef\xbf\xfb\xff\xfe", "_--_-__-"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        void *bytes;
        apr_size_t len;

        assert_string_equal(pwk_text_base64url(table[i].bytes, strlen(table[i].bytes), pool), table[i].text);
        assert_int_equal(pwk_text_unbase64url(&bytes, &len, table[i].text, strlen(table[i].text), pool), APR_SUCCESS);
        assert_int_equal(len, strlen(table[i].bytes));
        assert_string_equal(bytes, table[i].bytes);
    }
}

static apr_status_t decode(const char *text, size_t len)
{
    char *copy = exact_bytes(text, len);
    void *bytes = &bytes;
    apr_size_t size = 4711;
    apr_status_t rv = pwk_text_unbase64url(&bytes, &size, copy, len, pool);

    if (rv != APR_SUCCESS) { /* nothing is half filled */
        assert_ptr_equal(bytes, &bytes);
        assert_int_equal(size, 4711);
    }
    free(copy);
    return rv;
}

static void base64url_there_and_back(void **state)
{
    unsigned char data[300];
    size_t len, i;

    (void)state;
    for (i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)(i * 167 + 13);
    }
    for (len = 0; len <= sizeof(data); len++) {
        char *copy = exact_bytes(data, len);
        const char *text = pwk_text_base64url(copy, len, pool);
        const size_t text_len = strlen(text);
        char *exact = exact_bytes(text, text_len);
        void *bytes;
        apr_size_t size;

        assert_int_equal(text_len, (len * 4 + 2) / 3);
        assert_int_equal(pwk_text_unbase64url(&bytes, &size, exact, text_len, pool), APR_SUCCESS);
        assert_int_equal(size, len);
        assert_memory_equal(bytes, data, len);
        assert_int_equal(((char *)bytes)[len], 0);
        free(exact);
        free(copy);
    }
}

static void base64url_has_one_text_for_some_bytes(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char *const refused[] = {
        "A",    "AAAAA", "AA==", "AAA=", "Zg==",  "Zm9v\n", "Zm9v\r\n",  "Zm9 v",           " Zm9v",
        "Zm+v", "Zm/v",  "====", "=",    "AAAA=", "Zm9v.",  "Z\xc3\xa5", "\xff\xff\xff\xff"};
    int place, byte;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(decode(refused[i], strlen(refused[i])), APR_EINVAL);
    }
    assert_int_equal(decode("AA\0A", 4), APR_EINVAL);
    for (place = 0; place < 7; place++) { /* in a whole group, and in the last one */
        for (byte = 0; byte < 256; byte++) {
            char text[] = "AAAAAAA";
            int member = byte && strchr(alphabet, byte);
            long value = member ? strchr(alphabet, byte) - alphabet : 0;

            text[place] = (char)byte;
            assert_int_equal(decode(text, 7), member && (place < 6 || value % 4 == 0) ? APR_SUCCESS : APR_EINVAL);
            if (place < 6) {
                assert_int_equal(decode(text, 6), member && (place < 5 || value % 16 == 0) ? APR_SUCCESS : APR_EINVAL);
            }
        }
    }
}

static void urlencoding(void **state)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int byte;

    (void)state;
    assert_string_equal(pwk_text_urlencode(NULL, pool), "");
    assert_string_equal(pwk_text_urlencode("", pool), "");
    assert_string_equal(pwk_text_urlencode(unreserved, pool), unreserved);
    assert_string_equal(pwk_text_urlencode("https://x.se/a b?c=\xc3\xa5&d+e", pool),
                        "https%3A%2F%2Fx.se%2Fa%20b%3Fc%3D%C3%A5%26d%2Be");
    for (byte = 1; byte < 256; byte++) {
        const char text[] = {(char)byte, '\0'};

        assert_string_equal(pwk_text_urlencode(text, pool),
                            strchr(unreserved, byte) ? text : apr_psprintf(pool, "%%%02X", byte));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_accepts_every_character_and_no_other),
        cmocka_unit_test(utf8_knows_malformed_sequences),
        cmocka_unit_test(clean_takes_out_what_is_unfit),
        cmocka_unit_test(clean_cuts_on_a_character),
        cmocka_unit_test(clean_keeps_its_word_on_anything),
        cmocka_unit_test(codes),
        cmocka_unit_test(ids),
        cmocka_unit_test(visible_ascii),
        cmocka_unit_test(secrets_are_compared_whole),
        cmocka_unit_test(base64url_of_the_rfc),
        cmocka_unit_test(base64url_there_and_back),
        cmocka_unit_test(base64url_has_one_text_for_some_bytes),
        cmocka_unit_test(urlencoding),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("text", tests, unit_begin, unit_end);
}
