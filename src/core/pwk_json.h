/* Reading JSON strictly, with jansson: the one place that knows its flags and its ownership. */
#ifndef PWK_JSON_H
#define PWK_JSON_H

#include <apr_pools.h>
#include <jansson.h>

#include "pwk_result.h"

/* Parses `len` bytes as one JSON object. Refused: more than PWK_JSON_MAX bytes, nesting past PWK_JSON_DEPTH_MAX
 * (scanned before jansson recurses), duplicate keys, trailing text, NUL, broken UTF-8, anything but an object on top.
 * `*json` is freed with `p` (one cleanup, so callers never call json_decref). Fails with PWK_UNAVAILABLE, code
 * "bad_json" or "too_large". */
pwk_result pwk_json_object(json_t **json, const char *bytes, apr_size_t len, apr_pool_t *p);

/* A new empty object, freed with `p`; NULL when memory is out. */
json_t *pwk_json_new(apr_pool_t *p);

/* The text of member `name`: NULL when absent, null, not a string, longer than `max` bytes, or with a control byte. A
 * copy in `p`. */
const char *pwk_json_text(const json_t *object, const char *name, apr_size_t max, apr_pool_t *p);

/* The whole number of member `name`, within min..max; an integral real (`1.0`) counts, a string does not. Returns 0
 * and leaves `*value` alone when it is absent, of another type or outside. */
int pwk_json_int(const json_t *object, const char *name, json_int_t min, json_int_t max, json_int_t *value);

/* `{"item":{…}}` or the object itself: Payway's envelope, which not all pages show (payway-api §2.3, §3.3). NULL when
 * `item` is there and is not an object. */
const json_t *pwk_json_item(const json_t *object);

/* `{"items":[…]}`; NULL when absent or not an array. */
const json_t *pwk_json_items(const json_t *object);

/* Compact text of `json`, in `p`; NULL for NULL. */
const char *pwk_json_dump(const json_t *json, apr_pool_t *p);

#endif
