#include "tool_purchase.h"

#include <apr_strings.h>
#include <stddef.h>
#include <string.h>

#include "../core/pwk_limits.h"

/* How long after its time something is not called late. */
enum { LATE_S = 600 };

#define MEMBERS(X)                                                                                                     \
    X(TEXT, id, "id", "its code on pages and in the log, and the beginning of merchant_reference in Payway")           \
    X(STATE, state, "state", "")                                                                                       \
    X(TIME, changed, "changed", "when something last happened to it")                                                  \
    X(TIME, created, "created", "when the reader pressed the button of the offer")                                     \
    X(TEXT, site, "site", "where it was sold")                                                                         \
    X(TEXT, organisation, "organisation", "")                                                                          \
    X(TEXT, environment, "environment", "of Payway")                                                                   \
    X(TEXT, account, "account", "the reader's, in Payway")                                                             \
    X(TEXT, offer, "offer", "its name in PaywayOffer")                                                                 \
    X(TEXT, code, "code", "of the package or campaign")                                                                \
    X(TYPE, type, "type", "of the period")                                                                             \
    X(TEXT, period, "period", "period_id")                                                                             \
    X(TEXT, start, "start", "start_date")                                                                              \
    X(INT, trial, "trial", "1: sold as a trial order")                                                                 \
    X(TEXT, products, "products", "what it gives")                                                                     \
    X(TEXT, order_id, "order_id", "of the order in Payway")                                                            \
    X(TEXT, error, "error", "the code that ended it, Payway's or ours")                                                \
    X(TEXT, field, "field", "the field at fault")                                                                      \
    X(TIME, expires, "expires", "end of the Klarna session")                                                           \
    X(TIME, claimed, "claimed", "when the order was sent, or about to be")                                             \
    X(TIME, due, "due", "when the answer to that had to be there")                                                     \
    X(TIME, grant_from, "grant_from", "it opens its products from here ...")                                           \
    X(TIME, grant_until, "grant_until", "... to here, unless Payway shows them")                                       \
    X(TIME, looked, "looked", "when the order was last searched for")                                                  \
    X(INT, negatives, "negatives", "complete readings of the order list without it")                                   \
    X(INT, shown, "shown", "1: Payway has shown the products")                                                         \
    X(TIME, next_look, "next_look", "when it is looked at next")                                                       \
    X(TEXT, note, "note", "what operators wrote")                                                                      \
    X(JSON, facts, "facts", "what the reader was shown of offer and price")

#define COLUMN_TEXT TOOL_TEXT
#define COLUMN_STATE TOOL_TEXT
#define COLUMN_TYPE TOOL_TEXT
#define COLUMN_INT TOOL_NUMBER
#define COLUMN_TIME TOOL_TIME
#define COLUMN_JSON TOOL_OBJECT
#define PRINTED(kind, member, name, meaning) {{name, COLUMN_##kind}, meaning},
#define PLACE(kind, member, name, meaning) {KIND_##kind, offsetof(pwk_purchase, member)},

const tool_member tool_members[TOOL_MEMBERS] = {MEMBERS(PRINTED)};

static const struct {
    enum { KIND_TEXT, KIND_JSON, KIND_STATE, KIND_TYPE, KIND_INT, KIND_TIME } kind;
    size_t offset;
} places[TOOL_MEMBERS] = {MEMBERS(PLACE)};

static const char *const meanings[PWK_PURCHASE_STATES] = {
    [PWK_PURCHASE_CREATED] = "the reader was shown what it costs; nothing was ordered",
    [PWK_PURCHASE_PLACING] = "the order is being sent",
    [PWK_PURCHASE_PLACED] = "Payway has the order, and does not show the products yet",
    [PWK_PURCHASE_CONFIRMED] = "bought; nothing is waited for",
    [PWK_PURCHASE_FAILED] = "came to nothing",
    [PWK_PURCHASE_UNKNOWN] = "sent, and the answer was lost; it is never sent again, but looked for",
    [PWK_PURCHASE_MANUAL] = "nobody can find out by asking whether there is an order; the account buys nothing more",
    [PWK_PURCHASE_EXPIRED] = "the reader never paid",
};

const char *tool_purchase_value(const pwk_purchase *purchase, int which, apr_pool_t *p)
{
    const void *at = (const char *)purchase + places[which].offset;
    switch (places[which].kind) {
    case KIND_TEXT:
    case KIND_JSON:
        break;
    case KIND_STATE:
        return pwk_purchase_word(*(const pwk_purchase_state *)at);
    case KIND_TYPE:
        return *(const pwk_period_type *)at == PWK_PERIOD_LIMITED ? "limited" : "recurring";
    case KIND_INT:
        return apr_itoa(p, *(const int *)at);
    case KIND_TIME:
        return tool_print_time(*(const apr_time_t *)at, p);
    }
    return *(const char *const *)at;
}

/* The rounds write the order down, with an alarm; the operator's note says that somebody has seen to it. */
int tool_purchase_has_order(const pwk_purchase *purchase)
{
    return purchase->state == PWK_PURCHASE_FAILED && *purchase->order_id && !*purchase->note;
}

int tool_purchase_is_open(const pwk_purchase *purchase)
{
    return pwk_purchase_is_running(purchase->state) || tool_purchase_has_order(purchase);
}

const char *tool_purchase_meaning(const pwk_purchase *purchase)
{
    return tool_purchase_has_order(purchase) ? "came to nothing, and yet Payway has an order of it"
                                             : meanings[purchase->state];
}

const char *tool_purchase_next(const pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    const char *at = tool_print_time(purchase->next_look, p);
    const char *late = purchase->next_look + apr_time_from_sec(LATE_S) < now ? "overdue: " : "";
    if (purchase->state == PWK_PURCHASE_MANUAL || tool_purchase_has_order(purchase))
        return "waits for an operator";
    if (!purchase->next_look)
        return "";
    switch (purchase->state) {
    case PWK_PURCHASE_CREATED:
        return apr_pstrcat(p, late, "ends ", at, NULL);
    case PWK_PURCHASE_PLACING:
        return apr_pstrcat(p, late, "answer due ", at, NULL);
    default:
        return apr_pstrcat(p, late, "looked at ", at, NULL);
    }
}

apr_time_t tool_purchase_dead(const pwk_purchase *purchase, apr_time_t now)
{
    /* What lies in the future was written by a clock that has been set back since, and tells nothing. */
    return purchase->claimed - now > apr_time_from_sec(PWK_CLOCK_SKEW_S)
               ? 0
               : purchase->claimed + apr_time_from_sec(PWK_AUTHORIZATION_LIFE_S);
}

static const char *look_in_admin(const pwk_purchase *purchase, apr_pool_t *p)
{
    return apr_pstrcat(p, "Look in Payway Admin (organisation ", tool_print_clean(purchase->organisation, p), ", ",
                       tool_print_clean(purchase->environment, p), ") at the orders of account ",
                       tool_print_clean(purchase->account, p), " for one whose merchant reference begins with ",
                       purchase->id, ".\nIt is there:    payway-klarna ledger resolve ", purchase->id,
                       " placed --order ORDER --note TEXT\nThere is none:  payway-klarna ledger resolve ", purchase->id,
                       " failed --note TEXT\n", NULL);
}

const char *tool_purchase_advice(const pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    switch (purchase->state) {
    case PWK_PURCHASE_MANUAL:
        return apr_pstrcat(p, look_in_admin(purchase, p), "The account buys nothing until then.", NULL);
    case PWK_PURCHASE_UNKNOWN:
        return apr_pstrcat(p,
                           "Nothing, as long as httpd runs: it is looked for, and after two days it becomes "
                           "manual.\nWho has to know now: ",
                           look_in_admin(purchase, p),
                           now < tool_purchase_dead(purchase, now) ? apr_pstrcat(
                               p, "\"failed\" not before ", tool_print_time(tool_purchase_dead(purchase, now), p),
                               ": Klarna's authorization can be used until then.", NULL)
                                                                   : "",
                           NULL);
    case PWK_PURCHASE_PLACING:
        return now < purchase->due + apr_time_from_sec(LATE_S)
                   ? "Nothing: it ends within moments."
                   : "Its time is over and nobody has looked: does httpd run, and with mod_watchdog?";
    case PWK_PURCHASE_PLACED:
        return "Nothing: the reader reads. It is confirmed when Payway shows the products, after a day at the latest.";
    case PWK_PURCHASE_FAILED:
        return tool_purchase_has_order(purchase) ? "Look at the order in Payway Admin: the reader was told that "
                                                   "nothing was bought, so refund it, or give the products and tell "
                                                   "the reader.\nThen note it: payway-klarna ledger resolve ID failed "
                                                   "--note TEXT"
                                                 : "";
    default:
        return "";
    }
}
