/* payway-klarna ledger list */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "tool_ledger.h"
#include "tool_purchase.h"

static const tool_column columns[] = {
    {"id", TOOL_TEXT},    {"state", TOOL_TEXT}, {"since", TOOL_TIME}, {"account", TOOL_TEXT},
    {"site", TOOL_TEXT},  {"offer", TOOL_TEXT}, {"code", TOOL_TEXT},  {"order_id", TOOL_TEXT},
    {"error", TOOL_TEXT}, {"next", TOOL_TEXT},  {"note", TOOL_TEXT},
};
enum { COLUMNS = sizeof(columns) / sizeof(*columns) };

typedef struct {
    unsigned states; /* 0: those that are open */
    const char *account, *organisation;
    apr_time_t since;
} filter;

typedef struct {
    apr_time_t changed;
    const char *values[COLUMNS];
} line;

typedef struct {
    filter wanted;
    apr_array_header_t *lines; /* line */
    const tool_request *request;
} collecting;

static int is_wanted(const pwk_purchase *purchase, const filter *f)
{
    return (f->states ? (f->states >> purchase->state) & 1 : (unsigned)tool_purchase_is_open(purchase))
           && (!f->account || !strcmp(purchase->account, f->account))
           && (!f->organisation || !strcmp(purchase->organisation, f->organisation)) && purchase->changed >= f->since;
}

static void keep(line *to, const pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    const char *values[COLUMNS] = {purchase->id,
                                   pwk_purchase_word(purchase->state),
                                   tool_print_time(purchase->changed, p),
                                   purchase->account,
                                   purchase->site,
                                   purchase->offer,
                                   purchase->code,
                                   purchase->order_id,
                                   purchase->error,
                                   tool_purchase_next(purchase, now, p),
                                   purchase->note};
    to->changed = purchase->changed;
    for (int i = 0; i < COLUMNS; i++)
        to->values[i] = apr_pstrdup(p, values[i]);
}

static int newest_first(const void *one, const void *other)
{
    const line *a = one, *b = other;
    if (a->changed != b->changed)
        return a->changed < b->changed ? 1 : -1;
    return strcmp(a->values[0], b->values[0]);
}

static void collect(void *context, const pwk_purchase *purchase, apr_pool_t *page)
{
    const collecting *to = context;
    (void)page;
    if (is_wanted(purchase, &to->wanted))
        keep(apr_array_push(to->lines), purchase, to->request->now, to->request->p);
}

int tool_list(tool_opened *opened, const tool_request *request)
{
    apr_array_header_t *lines = apr_array_make(request->p, 64, sizeof(line));
    collecting to = {.lines = lines, .request = request};
    filter *wanted = &to.wanted;
    tool_format format;
    tool_printer *printer;
    int limit;
    *wanted = (filter){.account = request->value[TOOL_ACCOUNT], .organisation = request->value[TOOL_ORGANISATION]};
    if (request->value[TOOL_ALL] && request->value[TOOL_STATE])
        return tool_misused(request, "--all or --state, not both");
    if (tool_print_format(&format, request, 1) != TOOL_OK
        || tool_options_states(&wanted->states, request, request->value[TOOL_ALL] ? ~0U : 0) != TOOL_OK
        || tool_options_since(&wanted->since, request) != TOOL_OK || tool_options_limit(&limit, request) != TOOL_OK
        || tool_open_each(opened, collect, &to, request->p) != TOOL_OK)
        return TOOL_TROUBLE;
    qsort(lines->elts, (size_t)lines->nelts, sizeof(line), newest_first);
    printer = tool_print_begin(format, columns, COLUMNS, request->p);
    for (int i = 0; i < lines->nelts && (!limit || i < limit); i++)
        tool_print_row(printer, APR_ARRAY_IDX(lines, i, line).values);
    if (tool_print_end(printer) != TOOL_OK)
        return TOOL_TROUBLE;
    if (limit && lines->nelts > limit)
        tool_complain(TOOL_OK, "%d more", lines->nelts - limit);
    return opened->troubles ? tool_complain(TOOL_NO, "not all rows can be read: payway-klarna ledger verify") : TOOL_OK;
}
