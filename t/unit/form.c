#include "unit.h"

#include <apr_strings.h>

#include "pwk_form.h"
#include "pwk_limits.h"

/* Reads from a buffer without a byte to spare. `*why` is NULL on success. */
static apr_table_t *read_bytes(const char **why, const char *bytes, size_t len)
{
    char *copy = exact_bytes(bytes, len);
    apr_table_t *fields = NULL;
    apr_status_t rv;

    *why = NULL;
    rv = pwk_form_read(&fields, why, copy, len, pool);
    free(copy);
    assert_int_equal(rv, fields ? APR_SUCCESS : APR_EINVAL);
    assert_true(!fields == !!*why);
    return fields;
}

static apr_table_t *read_text(const char *text)
{
    const char *why;

    return read_bytes(&why, text, strlen(text));
}

/* "name=value;" of each field, in order. */
static const char *shown(const apr_table_t *fields)
{
    const apr_array_header_t *entries = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)entries->elts;
    const char *text = "";
    int i;

    for (i = 0; i < entries->nelts; i++) {
        text = apr_pstrcat(pool, text, entry[i].key, "=", entry[i].val, ";", NULL);
    }
    return text;
}

static void fields_are_read(void **state)
{
    static const struct {
        const char *text, *fields;
    } table[] = {
        {"", ""},
        {"&", ""},
        {"&&", ""},
        {"&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&", ""},
        {"a=1", "a=1;"},
        {"a=1&b=2", "a=1;b=2;"},
        {"&a=1&&b=2&", "a=1;b=2;"},
        {"a", "a=;"},
        {"a=", "a=;"},
        {"a&b", "a=;b=;"},
        {"a==", "a==;"},
        {"a=b=c", "a=b=c;"},
        {"a=1+2+", "a=1 2 ;"},
        {"+a+=1", " a =1;"},
        {"a=%2B", "a=+;"},
        {"a%3Db=%26", "a=b=&;"},
        {"%61=%62", "a=b;"},
        {"a=%c3%a5", "a=\xc3\xa5;"},
        {"a=%C3%A5", "a=\xc3\xa5;"},
        {"a=\xc3\xa5", "a=\xc3\xa5;"},
        {"a=\xc3%a5", "a=\xc3\xa5;"},
        {"a=%09%0D%0A", "a=\t\r\n;"},
        {"a=1;b=2", "a=1;b=2;"}, /* one field: ';' separates nothing */
        {"a=%2525", "a=%25;"},   /* decoded once */
        {"a=?&b=/#", "a=?;b=/#;"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        apr_table_t *fields = read_text(table[i].text);

        assert_non_null(fields);
        assert_string_equal(shown(fields), table[i].fields);
    }
    assert_int_equal(apr_table_elts(read_text("a=1;b=2"))->nelts, 1);
}

static void bad_input_is_refused_with_a_reason(void **state)
{
    static const char percent[] = "has an ill-formed percent-encoding", control[] = "has a control character",
                      utf8[] = "is not UTF-8", nameless[] = "has a field without a name", twice[] = "has a field twice";
    static const struct {
        const char *text, *why;
    } table[] = {
        {"a=%", percent},      {"a=%4", percent},        {"a=%4&b=41", percent},
        {"a=%%41", percent},   {"%=1", percent},         {"a=%g0", percent},
        {"a=%0g", percent},    {"a=%u0041", percent},    {"a=% 1", percent},
        {"a=%+1", percent},    {"a=%-1", percent},       {"a=%0x", percent},
        {"a=%00", control},    {"%00=1", control},       {"a=b%00.html", control},
        {"a=%01", control},    {"a=%1b", control},       {"a=%7F", control},
        {"a=\x7f", control},   {"a=\x01", control},      {"a=%ff", utf8},
        {"a=\xff", utf8},      {"%ff=a", utf8},          {"a=%c0%af", utf8},
        {"a=%c3", utf8},       {"a=%c3&b=%a5", utf8},    {"a=%c3=%a5", utf8},
        {"a=%ed%a0%80", utf8}, {"a=%f4%90%80%80", utf8}, {"%c3=%a5", utf8},
        {"=", nameless},       {"=1", nameless},         {"a=1&=2", nameless},
        {"&=&", nameless},     {"a=1&a=2", twice},       {"a=1&a=1", twice},
        {"a&a", twice},        {"a=1&%61=2", twice},     {"a=1&b=2&c=3&a=4", twice},
        {"a=1&A=2", twice},
    };
    const char *why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_null(read_bytes(&why, table[i].text, strlen(table[i].text)));
        assert_string_equal(why, table[i].why);
    }
    assert_null(read_bytes(&why, "a=\0b", 4));
    assert_string_equal(why, control);
    assert_null(read_bytes(&why, "\0", 1));
    assert_string_equal(why, control);
}

static void every_byte_once_raw_and_once_encoded(void **state)
{
    int byte;

    (void)state;
    for (byte = 0; byte < 256; byte++) {
        const char raw[] = {'a', '=', 'x', (char)byte};
        const int text = byte == '\t' || byte == '\r' || byte == '\n' || (byte >= 0x20 && byte < 0x7f);
        const char *why;
        apr_table_t *fields = read_bytes(&why, apr_psprintf(pool, "a=x%%%02x", byte), 6);

        assert_int_equal(fields != NULL, text);
        if (fields) {
            const char value[] = {'x', (char)byte, '\0'};

            assert_string_equal(pwk_form_field(fields, "a"), value);
        }
        assert_int_equal(read_bytes(&why, raw, 4) != NULL, text && byte != '%');
    }
}

static void every_percent_pair(void **state)
{
    int high, low;

    (void)state;
    for (high = 0; high < 256; high++) {
        for (low = 0; low < 256; low++) {
            const char text[] = {'a', '=', '%', (char)high, (char)low};
            const int hex = high && low && strchr("234567", high) && strchr("0123456789abcdefABCDEF", low);
            const char *why;

            /* 0x20 to 0x7e: the rest of the bytes is the business of the test before */
            if (hex && !(high == '7' && (low == 'f' || low == 'F'))) {
                assert_non_null(read_bytes(&why, text, sizeof(text)));
            } else if (!(high == '0' && low && strchr("9aAdD", low))) {
                assert_null(read_bytes(&why, text, sizeof(text)));
            }
        }
        apr_pool_clear(pool);
    }
}

static void fields_are_counted(void **state)
{
    int count;

    (void)state;
    for (count = PWK_FIELDS_MAX - 1; count <= PWK_FIELDS_MAX + 1; count++) {
        const char *text = "&&", *why;
        apr_table_t *fields;
        int i;

        for (i = 0; i < count; i++) {
            text = apr_psprintf(pool, "%sf%d=%d&&", text, i, i);
        }
        fields = read_bytes(&why, text, strlen(text));
        if (count <= PWK_FIELDS_MAX) {
            assert_non_null(fields);
            assert_int_equal(apr_table_elts(fields)->nelts, count);
        } else {
            assert_null(fields);
            assert_string_equal(why, "has too many fields");
        }
    }
}

static void nothing_is_read_past_the_length(void **state)
{
    apr_table_t *fields = NULL;
    const char *why = NULL;

    (void)state;
    assert_int_equal(pwk_form_read(&fields, &why, "a=1&b=%zz", 3, pool), APR_SUCCESS);
    assert_string_equal(shown(fields), "a=1;");
    fields = NULL;
    assert_int_equal(pwk_form_read(&fields, &why, NULL, 0, pool), APR_SUCCESS);
    assert_string_equal(shown(fields), "");
    fields = NULL;
    assert_int_equal(pwk_form_read(&fields, &why, "a=%41", 4, pool), APR_EINVAL); /* not the '1' beyond */
    assert_null(fields);
}

static void names_have_their_case(void **state)
{
    apr_table_t *fields = read_text("Token=x&t=1");

    (void)state;
    assert_null(pwk_form_field(fields, "token"));
    assert_null(pwk_form_field(fields, "T"));
    assert_null(pwk_form_field(fields, ""));
    assert_string_equal(pwk_form_field(fields, "Token"), "x");
    assert_string_equal(pwk_form_field(fields, "t"), "1");
    assert_null(pwk_form_field(read_text(""), "t"));
}

static void strangers_are_named(void **state)
{
    static const char *const known[] = {"offer", "period", NULL};
    static const char *const none[] = {NULL};
    const char *stranger = NULL;

    (void)state;
    assert_true(pwk_form_only(read_text(""), known, &stranger));
    assert_true(pwk_form_only(read_text(""), none, &stranger));
    assert_true(pwk_form_only(read_text("offer=1"), known, &stranger));
    assert_true(pwk_form_only(read_text("period=1&offer=2"), known, &stranger));
    assert_null(stranger);
    assert_false(pwk_form_only(read_text("offer=1"), none, &stranger));
    assert_string_equal(stranger, "offer");
    assert_false(pwk_form_only(read_text("period=1&Offer=2"), known, &stranger));
    assert_string_equal(stranger, "Offer");
    assert_false(pwk_form_only(read_text("period=1&offers=2"), known, &stranger));
    assert_string_equal(stranger, "offers");
    assert_false(pwk_form_only(read_text("offe=2"), known, &stranger));
    assert_string_equal(stranger, "offe");
}

static void one_field_is_left_out(void **state)
{
    static const struct {
        const char *query, *left;
    } table[] = {
        {"", NULL},
        {"t", NULL},
        {"t=", NULL},
        {"t=1", NULL},
        {"t=1&t=2", NULL},
        {"%74=1", NULL},
        {"t=%zz", NULL},
        {"t=1=2", NULL},
        {"a=1", "a=1"},
        {"T=1", "T=1"},
        {"tt=1", "tt=1"},
        {"=t", "=t"},
        {"a=t", "a=t"},
        {"%7=1", "%7=1"},
        {"%zz", "%zz"},
        {"t%", "t%"},
        {"t=1&a=1", "a=1"},
        {"a=1&t=1", "a=1"},
        {"a=1&t=1&b=2", "a=1&b=2"},
        {"a=%20+%zz&%74=x&b", "a=%20+%zz&b"},
        {"a=1&&b=2", "a=1&&b=2"},
        {"&", "&"},
        {"&&a", "&&a"},
        {"a&", "a&"},
        {"a&t", "a"},
        {"t&a&", "a&"},
        {"t+=1", "t+=1"},
        {"a=\xff&t=\xff", "a=\xff"},
    };
    size_t i;

    (void)state;
    assert_null(pwk_form_without(NULL, "t", pool));
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *copy = exact_text(table[i].query);
        const char *left = pwk_form_without(copy, "t", pool);

        free(copy);
        if (table[i].left) {
            assert_non_null(left);
            assert_string_equal(left, table[i].left);
        } else {
            assert_null(left);
        }
    }
    assert_string_equal(pwk_form_without("a b=1&c=2", "a b", pool), "c=2");
    assert_string_equal(pwk_form_without("a+b=1&c=2", "a b", pool), "c=2");
}

static void a_field_is_found_in_any_query(void **state)
{
    static const struct {
        const char *query, *value; /* value NULL: not there */
    } table[] = {
        {"", NULL},
        {"&", NULL},
        {"a=1", NULL},
        {"T=1", NULL},
        {"tt=1", NULL},
        {"a=t=1", NULL},
        {"=t", NULL},
        {"t%=1", NULL},
        {"t=%", NULL},
        {"t=%00", NULL},
        {"t=\xff", NULL},
        {"t=%&t=2", NULL}, /* the first one counts, readable or not */
        {"t", ""},
        {"t=", ""},
        {"t=1", "1"},
        {"%74=1", "1"},
        {"t=1&t=2", "1"},
        {"t=a+b%3D=c", "a b==c"},
        {"a[]=1&a[]=2&%zz&\xe5=%E5&=&t=cookies", "cookies"},
        {"&&t=1&&", "1"},
        {"T=2&t=1", "1"},
    };
    const char *many = "";
    size_t i;

    (void)state;
    assert_null(pwk_form_find(NULL, "t", pool));
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *copy = exact_text(table[i].query);
        const char *value = pwk_form_find(copy, "t", pool);

        free(copy);
        assert_true(!value == !table[i].value);
        if (value) {
            assert_string_equal(value, table[i].value);
        }
    }
    for (i = 0; i < 2 * PWK_FIELDS_MAX; i++) {
        many = apr_psprintf(pool, "%sf%d=1&", many, (int)i);
    }
    assert_string_equal(pwk_form_find(apr_pstrcat(pool, many, "t=x", NULL), "t", pool), "x");
}

/* Every short query over the bytes that matter: what is left has no `t` and every other part. */
static void left_out_wherever_it_stands(void **state)
{
    static const char letters[] = "ta&=%7";
    const unsigned int base = sizeof(letters) - 1;
    unsigned int length, number, total = 1;

    (void)state;
    for (length = 1; length <= 6; length++) {
        total *= base;
        for (number = 0; number < total; number++) {
            char query[8] = "", *s;
            const char *left, *again;
            unsigned int i, rest = number;
            size_t kept = 0, parts = 0;

            for (i = 0; i < length; i++, rest /= base) {
                query[i] = letters[rest % base];
            }
            left = pwk_form_without(query, "t", pool);
            again = pwk_form_without(left, "t", pool);
            assert_true(left == again || (left && again && strcmp(left, again) == 0));
            for (s = query; s; s = strchr(s, '&') ? strchr(s, '&') + 1 : NULL) {
                const size_t size = strcspn(s, "&");

                if (!(s[0] == 't' && (size == 1 || s[1] == '='))) {
                    kept += size;
                    parts++;
                }
            }
            kept += parts ? parts - 1 : 0;
            assert_int_equal(left ? strlen(left) : 0, kept);
        }
        apr_pool_clear(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(bad_input_is_refused_with_a_reason),
        cmocka_unit_test(every_byte_once_raw_and_once_encoded),
        cmocka_unit_test(every_percent_pair),
        cmocka_unit_test(fields_are_counted),
        cmocka_unit_test(nothing_is_read_past_the_length),
        cmocka_unit_test(names_have_their_case),
        cmocka_unit_test(strangers_are_named),
        cmocka_unit_test(one_field_is_left_out),
        cmocka_unit_test(a_field_is_found_in_any_query),
        cmocka_unit_test(left_out_wherever_it_stands),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("form", tests, unit_begin, unit_end);
}
