#include "pwk_json.h"

#include <apr_strings.h>

#include "pwk_limits.h"

/* Past this, a double no longer tells neighbouring whole numbers apart. */
#define EXACT_REAL_MAX 9007199254740992.0

static apr_status_t let_go(void *json)
{
    json_decref(json);
    return APR_SUCCESS;
}

static json_t *owned_by(apr_pool_t *p, json_t *json)
{
    apr_pool_cleanup_register(p, json, let_go, apr_pool_cleanup_null);
    return json;
}

/* Whether the brackets outside strings never nest past the bound. Broken JSON may come out either way: jansson
 * refuses it afterwards. What counts is that jansson's recursion cannot go deeper than what was counted here. */
static int is_shallow(const char *bytes, apr_size_t len)
{
    int depth = 0;
    int in_string = 0;

    for (apr_size_t i = 0; i < len; i++) {
        switch (bytes[i]) {
        case '"':
            in_string = !in_string;
            break;
        case '\\':
            i += in_string ? 1 : 0;
            break;
        case '{':
        case '[':
            if (!in_string && ++depth > PWK_JSON_DEPTH_MAX) {
                return 0;
            }
            break;
        case '}':
        case ']':
            depth -= in_string ? 0 : 1;
            break;
        default:
            break;
        }
    }
    return 1;
}

static pwk_result unreadable(const char *detail)
{
    return pwk_result_fail(PWK_UNAVAILABLE, APR_EINVAL, "bad_json", detail);
}

pwk_result pwk_json_object(json_t **json, const char *bytes, apr_size_t len, apr_pool_t *p)
{
    json_error_t error;
    json_t *read;

    *json = NULL;
    if (len > PWK_JSON_MAX) {
        return pwk_result_fail(PWK_UNAVAILABLE, APR_ENOSPC, "too_large", "more JSON than is ever read");
    }
    if (!bytes || len == 0) {
        return unreadable("empty");
    }
    if (!is_shallow(bytes, len)) {
        return unreadable("nested too deep");
    }
    /* Without JSON_ALLOW_NUL and JSON_DISABLE_EOF_CHECK: neither a NUL nor anything after the object. */
    read = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
    if (!read) {
        /* Where, and not jansson's text, which quotes the answer. */
        return unreadable(apr_psprintf(p, "not strict JSON, at byte %d of %" APR_SIZE_T_FMT, error.position, len));
    }
    if (!json_is_object(read)) {
        json_decref(read);
        return unreadable("not an object");
    }
    *json = owned_by(p, read);
    return pwk_result_ok();
}

json_t *pwk_json_new(apr_pool_t *p)
{
    json_t *json = json_object();

    return json ? owned_by(p, json) : NULL;
}

const char *pwk_json_text(const json_t *object, const char *name, apr_size_t max, apr_pool_t *p)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);
    apr_size_t len = json_string_length(member);

    if (!text || len > max) {
        return NULL;
    }
    for (apr_size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < 0x20 || byte == 0x7f) {
            return NULL;
        }
    }
    return apr_pstrmemdup(p, text, len);
}

int pwk_json_int(const json_t *object, const char *name, json_int_t min, json_int_t max, json_int_t *value)
{
    const json_t *member = json_object_get(object, name);
    json_int_t number;

    if (json_is_integer(member)) {
        number = json_integer_value(member);
    } else if (json_is_real(member)) {
        double real = json_real_value(member);

        /* The bound comes first: to cast a double that does not fit is undefined. */
        if (real < -EXACT_REAL_MAX || real > EXACT_REAL_MAX) {
            return 0;
        }
        number = (json_int_t)real;
        if ((double)number != real) {
            return 0;
        }
    } else {
        return 0;
    }
    if (number < min || number > max) {
        return 0;
    }
    *value = number;
    return 1;
}

const json_t *pwk_json_item(const json_t *object)
{
    const json_t *item = json_object_get(object, "item");

    if (!item) {
        return object;
    }
    return json_is_object(item) ? item : NULL;
}

const json_t *pwk_json_items(const json_t *object)
{
    const json_t *items = json_object_get(object, "items");

    return json_is_array(items) ? items : NULL;
}

const char *pwk_json_dump(const json_t *json, apr_pool_t *p)
{
    /* Into the pool at once: json_dumps would leave a copy, passwords included, in freed heap. */
    apr_size_t len = json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    char *text;

    if (len == 0) {
        return NULL;
    }
    text = apr_palloc(p, len + 1);
    json_dumpb(json, text, len, JSON_COMPACT | JSON_ENCODE_ANY);
    text[len] = '\0';
    return text;
}
