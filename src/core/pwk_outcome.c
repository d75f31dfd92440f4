#include "pwk_outcome.h"

#include <string.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "pwk_json.h"
#include "pwk_limits.h"
#include "pwk_text.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* --- what a code means --- */

/* Our own words, beside Payway's. */
#define NOT_COMPLETED "not_completed" /* a 403 to placing that says neither why nor that nothing was done */
#define PAYMENT_METHOD_FAILED "payment_method_failed"

/* Payway's codes about an order, and ours; each also with "_error" behind it, since those of raise_on_* are guessed
 * from the parameters' names (payway-api §3.7, §8). A code that is not here is a plain refusal, unless it comes with a
 * 403. */
static const struct code_row {
    const char *code;
    pwk_purchase_event event;
    const char *word; /* ERROR_CODE of the pages */
} code_rows[] = {
    {PAYMENT_METHOD_FAILED, PWK_EVENT_NOT_COMPLETED, "payment_failed"},
    {"payment_declined", PWK_EVENT_NOT_COMPLETED, "payment_failed"},
    {NOT_COMPLETED, PWK_EVENT_NOT_COMPLETED, "payment_failed"},
    {"ssn_already_taken", PWK_EVENT_NOT_COMPLETED, "ssn_taken"},
    {"ssn_already_set", PWK_EVENT_NOT_COMPLETED, "ssn_set"},
    {"account_update", PWK_EVENT_NOT_COMPLETED, "account_update"},
    {"delivery_address", PWK_EVENT_NOT_COMPLETED, "delivery_address"},
    /* Written when an order is proven not to exist. It was sent, so there may have been a reservation. */
    {"order_absent", PWK_EVENT_NOT_COMPLETED, "order_absent"},
    {"campaign_already_purchased", PWK_EVENT_REFUSED, "already_bought"},
    {"package_already_active", PWK_EVENT_REFUSED, "already_bought"},
    {"base_package_already_active", PWK_EVENT_REFUSED, "already_bought"},
    {"campaign_purchase_rules_does_not_permit_purchase", PWK_EVENT_REFUSED, "not_permitted"},
    {"too_young", PWK_EVENT_REFUSED, "not_permitted"},
    {"unauthorized", PWK_EVENT_REFUSED, "order_refused"},
    {"forbidden", PWK_EVENT_REFUSED, "order_refused"},
    {"access_denied", PWK_EVENT_REFUSED, "order_refused"},
};

/* The row of `code`, whatever its case; NULL: none. */
static const struct code_row *row_of(const char *code)
{
    static const char suffix[] = "_error";
    const size_t tail = sizeof suffix - 1;
    size_t len = strlen(code);

    if (len > tail && apr_cstr_casecmp(code + len - tail, suffix) == 0) {
        len -= tail;
    }
    for (size_t i = 0; i < COUNT(code_rows); i++) {
        if (strlen(code_rows[i].code) == len && apr_cstr_casecmpn(code_rows[i].code, code, len) == 0) {
            return &code_rows[i];
        }
    }
    return NULL;
}

const char *pwk_outcome_word(const char *code)
{
    const struct code_row *row = row_of(code);

    return row ? row->word : "order_refused";
}

int pwk_outcome_is_not_completed(const char *code)
{
    const struct code_row *row = row_of(code);

    return row && row->event == PWK_EVENT_NOT_COMPLETED;
}

/* --- the answer to placing --- */

/* Where a member of an answer may stand: in the envelope or without one, and there in an `order` or not (payway-api
 * §3.5: no page shows the answer). NULL where there is none. */
#define PLACES 4

static void find_places(const json_t *places[PLACES], const json_t *object)
{
    places[0] = json_object_get(object, "item");
    places[1] = json_object_get(places[0], "order");
    places[2] = object;
    places[3] = json_object_get(object, "order");
}

/* The first text of that name that is not empty and at most `max` bytes; "" when there is none. */
static const char *find_text(const json_t *const places[PLACES], const char *name, apr_size_t max, apr_pool_t *p)
{
    for (size_t i = 0; i < PLACES; i++) {
        const char *text = pwk_json_text(places[i], name, max, p);

        if (text && *text) {
            return text;
        }
    }
    return "";
}

/* The first `message` that is not empty; "" when there is none. Free text, of any length: read here, kept nowhere. */
static const char *find_message(const json_t *const places[PLACES])
{
    for (size_t i = 0; i < PLACES; i++) {
        const char *message = json_string_value(json_object_get(places[i], "message"));

        if (message && *message) {
            return message;
        }
    }
    return "";
}

static const char *find_order_id(const json_t *const places[PLACES], apr_pool_t *p)
{
    const char *order_id = find_text(places, "order_id", PWK_ORDER_ID_MAX, p);

    return pwk_text_is_visible(order_id, PWK_ORDER_ID_MAX) ? order_id : "";
}

static const char *find_redirect(const json_t *const places[PLACES], apr_pool_t *p)
{
    static const char *const names[] = {"redirect_url", "redirect_uri", "klarna_redirect_url"};
    const char *redirect = "";

    for (size_t i = 0; i < COUNT(names) && !*redirect; i++) {
        redirect = find_text(places, names[i], PWK_URL_MAX, p);
    }
    return redirect;
}

/* Whether the member of `object` is a word that says that there is no order. */
static int says_failure(const json_t *object, const char *name)
{
    static const char *const words[] = {"error", "failed", "failure", "declined", "rejected", "refused"};
    const char *word = json_string_value(json_object_get(object, name));

    for (size_t i = 0; word && i < COUNT(words); i++) {
        if (apr_cstr_casecmp(word, words[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether an `error` holds anything. */
static int is_filled(const json_t *error)
{
    return error && !json_is_null(error) && !json_is_false(error)
           && !(json_is_string(error) && json_string_length(error) == 0);
}

/* Whether the body of a success is an error's all the same: then it is not believed, whatever else it holds. A
 * `message` alone is none ("The payment was successfully authorised."), nor is a `code` alone, which may be a
 * package's. */
static int is_error(const json_t *const places[PLACES])
{
    for (size_t i = 0; i < PLACES; i++) {
        const char *code = json_string_value(json_object_get(places[i], "code"));

        if (code && *code && (json_is_string(json_object_get(places[i], "message")) || row_of(code))) {
            return 1;
        }
        if (is_filled(json_object_get(places[i], "error")) || says_failure(places[i], "status")
            || says_failure(places[i], "fraud_status")
            || says_failure(json_object_get(places[i], "purchase_status"), "code")) {
            return 1;
        }
    }
    return 0;
}

static pwk_purchase_event lost(pwk_result *result, const char *code, const char *detail)
{
    result->outcome = PWK_UNAVAILABLE;
    result->rv = APR_EGENERAL;
    result->code = code;
    result->detail = detail;
    return PWK_EVENT_LOST;
}

static pwk_purchase_event not_done(pwk_result *result, pwk_purchase_event event, const char *code, const char *detail)
{
    result->outcome = PWK_REFUSED;
    result->code = code;
    result->detail = detail;
    return event;
}

static pwk_purchase_event read_success(pwk_outcome_placed *placed, pwk_result *result, const json_t *object,
                                       const pwk_payway_answer *answer, apr_pool_t *p)
{
    const json_t *places[PLACES];
    pwk_outcome_placed read;

    find_places(places, object);
    if (!pwk_json_item(object)) {
        *result = pwk_payway_misshapen(answer, "item");
        return PWK_EVENT_LOST;
    }
    if (is_error(places)) {
        return lost(result, "bad_answer", "a success that holds an error");
    }
    read = (pwk_outcome_placed){.order_id = find_order_id(places, p), .redirect = find_redirect(places, p)};
    if (!*read.order_id && !*read.redirect) {
        *result = pwk_payway_misshapen(answer, "order_id");
        return PWK_EVENT_LOST;
    }
    *placed = read;
    return PWK_EVENT_ACCEPTED;
}

/* Whether `words` stand in `text`, written in any case and joined by anything. */
static int says(const char *text, const char *words, apr_pool_t *p)
{
    char *plain = apr_pstrdup(p, text);

    for (char *c = plain; *c; c++) {
        *c = (char)(*c == '_' || *c == '-' ? ' ' : apr_tolower(*c));
    }
    return strstr(plain, words) != NULL;
}

/* Statuses under which Payway's own word is believed to mean that there is no order. Not 409: something else has
 * happened, or is under way. */
static int is_final(int status)
{
    static const int statuses[] = {400, 401, 403, 404, 422, 429};

    for (size_t i = 0; i < COUNT(statuses); i++) {
        if (status == statuses[i]) {
            return 1;
        }
    }
    return 0;
}

static pwk_purchase_event read_error(pwk_result *result, const json_t *object, const pwk_payway_answer *answer,
                                     apr_pool_t *p)
{
    const json_t *places[PLACES];
    const char *code, *message, *word;
    const struct code_row *row;

    find_places(places, object);
    code = find_text(places, "code", PWK_CODE_MAX, p);
    code = pwk_text_is_code(code) ? code : "";
    message = find_message(places);
    if (!is_final(answer->status)) {
        return result->outcome == PWK_REFUSED
                   ? lost(result, *code ? code : "bad_status", "a status that says nothing certain about an order")
                   : PWK_EVENT_LOST;
    }
    if (!*code && !*message) {
        return answer->status == 429 && answer->retry_after_s > 0
                   ? not_done(result, PWK_EVENT_REFUSED, result->code, result->detail)
                   : lost(result, "bad_answer", "an error's status, and not a word of Payway's");
    }
    /* An `error` is believed where it says the worse; "Forbidden" there is a framework repeating the status. */
    word = *code ? code : find_text(places, "error", PWK_CODE_MAX, p);
    row = row_of(word);
    if (row && row->event == PWK_EVENT_NOT_COMPLETED) {
        return not_done(result, row->event, word, "Payway broke the purchase off");
    }
    if (says(message, "payment method failed", p)) {
        return not_done(result, PWK_EVENT_NOT_COMPLETED, PAYMENT_METHOD_FAILED, "Payway broke the purchase off");
    }
    if (answer->status == 403 && !row_of(code) && !says(code, "scope", p)) {
        return not_done(result, PWK_EVENT_NOT_COMPLETED, NOT_COMPLETED,
                        apr_pstrcat(p, "a 403 with ", *code ? code : "no code",
                                    ", taken for the one that is documented: payment method failed", NULL));
    }
    return not_done(result, PWK_EVENT_REFUSED, *code ? code : result->code, result->detail);
}

pwk_purchase_event pwk_outcome_read(pwk_outcome_placed *placed, pwk_result *result, const pwk_payway_answer *answer,
                                    apr_pool_t *p)
{
    const json_t *object;

    *placed = (pwk_outcome_placed){.order_id = "", .redirect = ""};
    *result = pwk_payway_read_object(&object, answer, p);
    if (result->outcome == PWK_OK) {
        return read_success(placed, result, object, answer, p);
    }
    return read_error(result, object, answer, p);
}
