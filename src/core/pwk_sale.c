#include "pwk_sale.h"

#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_url.h"

/* The members by name: writing and reading walk the same table. */
static const struct {
    const char *name;
    size_t offset;
} flags[] =
    {
        {"disable_account_info_overwrite", offsetof(pwk_sale, disable_account_info_overwrite)},
        {"raise_on_ssn_already_taken_error", offsetof(pwk_sale, raise_on_ssn_already_taken_error)},
        {"raise_on_ssn_already_set_error", offsetof(pwk_sale, raise_on_ssn_already_set_error)},
        {"raise_on_account_update_error", offsetof(pwk_sale, raise_on_account_update_error)},
        {"raise_on_delivery_address_error", offsetof(pwk_sale, raise_on_delivery_address_error)},
},
  texts[] =
      {
          {"path", offsetof(pwk_sale, path)},
          {"language", offsetof(pwk_sale, language)},
          {"traffic_source", offsetof(pwk_sale, traffic_source)},
          {"merchant_reference", offsetof(pwk_sale, merchant_reference)},
},
  lists[] = {
      {"offers", offsetof(pwk_sale, offers)},
      {"categories", offsetof(pwk_sale, categories)},
};
#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define MEMBER(type, sale, offset) (*(type *)(void *)((char *)(sale) + (offset)))
#define CONST_MEMBER(type, sale, offset) (*(type const *)(const void *)((const char *)(sale) + (offset)))

const char *pwk_sale_write(const pwk_sale *sale, apr_pool_t *p)
{
    json_t *json = pwk_json_new(p);
    json_object_set_new(json, "made", json_integer(apr_time_sec(sale->made)));
    for (size_t i = 0; i < COUNT(flags); i++)
        json_object_set_new(json, flags[i].name, json_boolean(CONST_MEMBER(int, sale, flags[i].offset)));
    for (size_t i = 0; i < COUNT(texts); i++)
        json_object_set_new(json, texts[i].name, json_string(CONST_MEMBER(char *, sale, texts[i].offset)));
    for (size_t i = 0; i < COUNT(lists); i++) {
        const apr_array_header_t *list = CONST_MEMBER(apr_array_header_t *, sale, lists[i].offset);
        json_t *array = json_array();
        for (int j = 0; j < list->nelts; j++)
            json_array_append_new(array, json_string(APR_ARRAY_IDX(list, j, const char *)));
        json_object_set_new(json, lists[i].name, array);
    }
    return pwk_json_dump(json, p);
}

static apr_array_header_t *read_list(const json_t *array, apr_pool_t *p)
{
    apr_array_header_t *list;
    if (!json_is_array(array) || json_array_size(array) > PWK_OFFERS_MAX)
        return NULL;
    list = apr_array_make(p, (int)json_array_size(array) + 1, sizeof(const char *));
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text)
            return NULL;
        APR_ARRAY_PUSH(list, const char *) = apr_pstrdup(p, text);
    }
    return list;
}

apr_status_t pwk_sale_read(pwk_sale *sale, const char *text, apr_size_t len, apr_pool_t *p)
{
    json_t *json;
    json_int_t made;
    pwk_sale read = {0};
    if (pwk_json_object(&json, text, len, p).outcome != PWK_OK
        || !pwk_json_int(json, "made", 0, INT64_C(1) << 40, &made))
        return APR_EINVAL;
    read.made = apr_time_from_sec(made);
    for (size_t i = 0; i < COUNT(flags); i++) {
        const json_t *flag = json_object_get(json, flags[i].name);
        if (!json_is_boolean(flag))
            return APR_EINVAL;
        MEMBER(int, &read, flags[i].offset) = json_is_true(flag);
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *value = pwk_json_text(json, texts[i].name, PWK_RETURN_MAX, p);
        if (!value)
            return APR_EINVAL;
        MEMBER(const char *, &read, texts[i].offset) = value;
    }
    for (size_t i = 0; i < COUNT(lists); i++) {
        apr_array_header_t *list = read_list(json_object_get(json, lists[i].name), p);
        if (!list)
            return APR_EINVAL;
        MEMBER(apr_array_header_t *, &read, lists[i].offset) = list;
    }
    if (!pwk_url_is_local(read.path))
        return APR_EINVAL;
    *sale = read;
    return APR_SUCCESS;
}

int pwk_sale_is_fresh(const pwk_sale *sale, apr_time_t now)
{
    return now - sale->made <= apr_time_from_sec(PWK_SALE_LIFE_S)
           && sale->made - now <= apr_time_from_sec(PWK_CLOCK_SKEW_S);
}

int pwk_sale_offers(const pwk_sale *sale, const char *offer)
{
    for (int i = 0; i < sale->offers->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(sale->offers, i, const char *), offer))
            return 1;
    }
    return 0;
}
