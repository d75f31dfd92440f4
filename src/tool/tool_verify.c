/* payway-klarna ledger verify: what of the ledger cannot be, and what of it waits for a person. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "../core/pwk_json.h"
#include "../core/pwk_limits.h"
#include "tool_ledger.h"
#include "tool_purchase.h"

/* How long after its time nobody has come: a placing at once, others by the schedule once an hour at most. */
enum { PLACING_LATE_S = 600, LOOK_LATE_S = 2 * 3600, PLACED_S = PWK_GRANT_S + LOOK_LATE_S };

typedef struct {
    tool_opened *opened;
    const tool_request *request;
    tool_printer *printer; /* NULL: as text */
    apr_time_t now;
    int rows, findings;
} verifying;

static void found(verifying *v, const char *id, const char *word, const char *what, const char *todo)
{
    apr_pool_t *p = v->request->p;
    const char *values[] = {id, word, what, todo};
    v->findings++;
    if (v->printer)
        tool_print_row(v->printer, values);
    else
        printf("%s  %s: %s\n", tool_print_clean(id, p), tool_print_clean(what, p), todo);
}

/* --- each row --- */

static int before(apr_time_t at, apr_time_t now, int seconds)
{
    return at < now - apr_time_from_sec(seconds);
}

static int was_claimed(pwk_purchase_state state)
{
    return state != PWK_PURCHASE_CREATED && state != PWK_PURCHASE_EXPIRED;
}

static int has_bad_id(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return !pwk_purchase_is_id(r->id);
}

static int is_nobodys(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return !*r->account || !*r->organisation || !*r->environment || !*r->site;
}

static int is_not_from_a_claim(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return was_claimed(r->state) && (!*r->token_hash || !r->claimed || !r->due);
}

static int has_a_claim_too_early(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return !was_claimed(r->state) && (*r->token_hash || r->claimed);
}

static int has_odd_times(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return !r->created || r->changed < r->created || (r->claimed && r->claimed < r->created)
           || (r->claimed && r->due && r->due < r->claimed) || r->grant_until < r->grant_from;
}

static int is_from_the_future(const pwk_purchase *r, apr_time_t now)
{
    apr_time_t latest = now + apr_time_from_sec(PWK_CLOCK_SKEW_S);
    return r->created > latest || r->changed > latest || r->claimed > latest || r->looked > latest;
}

static int has_bad_facts(const pwk_purchase *r, apr_time_t now)
{
    apr_pool_t *p;
    json_t *json;
    int bad;
    (void)now;
    apr_pool_create(&p, NULL);
    bad = pwk_json_object(&json, r->facts, strlen(r->facts), p).outcome != PWK_OK;
    apr_pool_destroy(p);
    return bad;
}

static int is_overdue(const pwk_purchase *r, apr_time_t now)
{
    return r->state == PWK_PURCHASE_PLACING && r->due && before(r->due, now, PLACING_LATE_S);
}

static int is_old_unknown(const pwk_purchase *r, apr_time_t now)
{
    return r->state == PWK_PURCHASE_UNKNOWN && before(r->claimed, now, PWK_UNKNOWN_S);
}

static int is_old_placed(const pwk_purchase *r, apr_time_t now)
{
    return r->state == PWK_PURCHASE_PLACED && before(r->changed, now, PLACED_S);
}

/* Those that have a line of their own are left out. */
static int is_forgotten(const pwk_purchase *r, apr_time_t now)
{
    int is_open = r->state == PWK_PURCHASE_CREATED || r->state == PWK_PURCHASE_PLACING
                  || r->state == PWK_PURCHASE_UNKNOWN || r->state == PWK_PURCHASE_PLACED;
    if (is_overdue(r, now) || is_old_unknown(r, now) || is_old_placed(r, now))
        return 0;
    return r->next_look ? before(r->next_look, now, LOOK_LATE_S) && before(r->changed, now, LOOK_LATE_S)
                        : is_open && *r->session;
}

static int is_manual(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return r->state == PWK_PURCHASE_MANUAL;
}

static int has_order_though_failed(const pwk_purchase *r, apr_time_t now)
{
    (void)now;
    return tool_purchase_has_order(r);
}

#define SHOW "payway-klarna ledger show " /* … its id */
#define RUNS "does httpd run, and with mod_watchdog?"
#define DAMAGE "nothing of the module writes that: restore a backup, or show it to whoever knows the module"

static const struct {
    int (*is)(const pwk_purchase *r, apr_time_t now);
    const char *word, *what, *todo;
} checks[] = {
    {is_manual, "manual", "waits for an operator", SHOW},
    {has_order_though_failed, "order_exists", "failed, and Payway has an order of it", SHOW},
    {is_overdue, "overdue", "placing, and nobody has looked after its time", RUNS},
    {is_old_unknown, "old_unknown", "unknown for more than two days", RUNS " Else: " SHOW},
    {is_old_placed, "old_placed", "placed for more than a day, and not confirmed", RUNS},
    {is_forgotten, "forgotten", "nobody has looked at it when it was time", RUNS},
    {has_bad_id, "bad_id", "its id is none", DAMAGE},
    {is_nobodys, "no_account", "it has no account, organisation, environment or site", DAMAGE},
    {is_not_from_a_claim, "no_claim", "it was ordered, and has no claim (hash, claimed, due)", DAMAGE},
    {has_a_claim_too_early, "early_claim", "it was not ordered, and has a claim", DAMAGE},
    {has_odd_times, "times", "its times contradict each other", DAMAGE},
    {is_from_the_future, "future", "it has times that are to come", "look at the clocks of all hosts"},
    {has_bad_facts, "facts", "what the reader was shown cannot be read", DAMAGE},
};

static void check(void *context, const pwk_purchase *purchase, apr_pool_t *page)
{
    verifying *v = context;
    (void)page;
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        const char *todo = checks[i].todo;
        if (!checks[i].is(purchase, v->now))
            continue;
        if (todo[strlen(todo) - 1] == ' ')
            todo = apr_pstrcat(v->request->p, todo, purchase->id, NULL);
        found(v, purchase->id, checks[i].word, checks[i].what, todo);
    }
}

/* --- each row as it lies there --- */

static void check_raw(verifying *v, const char *const *texts)
{
    apr_pool_t *p = v->request->p;
    v->rows++;
    if (pwk_purchase_state_of(texts[1]) < 0)
        found(v, texts[0], "state", apr_pstrcat(p, "its state is none: ", texts[1], NULL), DAMAGE);
    if (strcmp(texts[2], "limited") && strcmp(texts[2], "recurring"))
        found(v, texts[0], "type", apr_pstrcat(p, "its period_type is none: ", texts[2], NULL), DAMAGE);
    for (int i = 0; tool_open_numbers[i]; i++) {
        const char *text = texts[3 + i];
        if (!*text || strspn(text, "0123456789") != strlen(text))
            found(v, texts[0], "number", apr_pstrcat(p, "its ", tool_open_numbers[i], " is no number: ", text, NULL),
                  DAMAGE);
    }
}

static int check_all_raw(verifying *v)
{
    const char *values[] = {""};
    apr_array_header_t *rows;
    apr_pool_t *page;
    int status;
    apr_pool_create(&page, v->request->p);
    while ((status = tool_open_read(&rows, v->opened, TOOL_RAW_PAGE, values, page)) == TOOL_OK && rows->nelts) {
        for (int i = 0; i < rows->nelts; i++)
            check_raw(v, APR_ARRAY_IDX(rows, i, const char *const *));
        values[0] = apr_pstrdup(v->request->p, APR_ARRAY_IDX(rows, rows->nelts - 1, const char *const *)[0]);
        apr_pool_clear(page);
    }
    apr_pool_destroy(page);
    return status;
}

/* --- across rows --- */

static int check_twice(verifying *v, tool_statement which, const char *word, const char *what, const char *todo)
{
    apr_pool_t *p = v->request->p;
    const char *none[] = {NULL};
    apr_array_header_t *rows;
    if (tool_open_read(&rows, v->opened, which, none, p) != TOOL_OK)
        return TOOL_TROUBLE;
    for (int i = 0; i < rows->nelts; i++) {
        const char *const *texts = APR_ARRAY_IDX(rows, i, const char *const *);
        found(v, texts[0], word, apr_psprintf(p, "%s (%s, also %s)", what, texts[2], texts[1]), todo);
    }
    return TOOL_OK;
}

static int check_integrity(verifying *v)
{
    const char *none[] = {NULL};
    apr_array_header_t *rows;
    if (!v->opened->is_file)
        return TOOL_OK;
    if (tool_open_read(&rows, v->opened, TOOL_INTEGRITY, none, v->request->p) != TOOL_OK)
        return TOOL_TROUBLE;
    for (int i = 0; i < rows->nelts; i++) {
        const char *text = APR_ARRAY_IDX(rows, i, const char *const *)[0];
        if (strcmp(text, "ok"))
            found(v, "-", "damaged", apr_pstrcat(v->request->p, "SQLite: ", text, NULL),
                  "stop httpd, and restore a backup");
    }
    return TOOL_OK;
}

static int check_everything(verifying *v)
{
    int status = check_integrity(v);
    if (status == TOOL_OK)
        status = check_all_raw(v);
    v->opened->quiet = 1; /* rows that cannot be read have been reported by now */
    if (status == TOOL_OK)
        status = tool_open_each(v->opened, check, v, v->request->p);
    v->opened->quiet = 0;
    if (status == TOOL_OK)
        status = check_twice(v, TOOL_TWICE_RUNNING, "two_running", "more than one purchase of its account is under way",
                             DAMAGE);
    if (status == TOOL_OK)
        status = check_twice(v, TOOL_TWICE_ORDER, "order_twice", "more than one purchase has its order",
                             "look in Payway Admin whose order it is");
    if (status == TOOL_OK)
        status = check_twice(v, TOOL_TWICE_TOKEN, "token_twice",
                             "one authorization was used for more than one purchase", DAMAGE);
    return status;
}

int tool_verify(tool_opened *opened, const tool_request *request)
{
    static const tool_column columns[] = {
        {"id", TOOL_TEXT}, {"finding", TOOL_TEXT}, {"what", TOOL_TEXT}, {"todo", TOOL_TEXT}};
    verifying v = {.opened = opened, .request = request, .now = request->now};
    tool_format format;
    int status;
    if (tool_print_format(&format, request, 1) != TOOL_OK)
        return TOOL_TROUBLE;
    if (format != TOOL_TABLE)
        v.printer = tool_print_begin(format, columns, sizeof(columns) / sizeof(*columns), request->p);
    status = check_everything(&v);
    if ((v.printer ? tool_print_end(v.printer) : tool_print_flush()) != TOOL_OK)
        return TOOL_TROUBLE;
    if (status != TOOL_OK)
        return tool_complain(TOOL_TROUBLE, "could not verify: not all could be read");
    fprintf(v.printer ? stderr : stdout, "purchases=%d findings=%d\n", v.rows, v.findings);
    if (tool_print_flush() != TOOL_OK)
        return TOOL_TROUBLE;
    return v.findings ? TOOL_NO : TOOL_OK;
}
