/* payway-klarna ledger export */
#include <apr_strings.h>

#include "tool_ledger.h"
#include "tool_purchase.h"

typedef struct {
    tool_printer *printer;
    unsigned states;
    apr_time_t since;
} exporting;

static void print(void *context, const pwk_purchase *purchase, apr_pool_t *page)
{
    const exporting *to = context;
    const char *values[TOOL_MEMBERS];
    if (!((to->states >> purchase->state) & 1) || purchase->changed < to->since)
        return;
    for (int i = 0; i < TOOL_MEMBERS; i++)
        values[i] = tool_purchase_value(purchase, i, page);
    tool_print_row(to->printer, values);
}

int tool_export(tool_opened *opened, const tool_request *request)
{
    tool_column columns[TOOL_MEMBERS];
    exporting to = {0};
    tool_format format;
    int status;
    if (tool_print_format(&format, request, 0) != TOOL_OK || tool_options_states(&to.states, request, ~0U) != TOOL_OK
        || tool_options_since(&to.since, request) != TOOL_OK)
        return TOOL_TROUBLE;
    for (int i = 0; i < TOOL_MEMBERS; i++)
        columns[i] = tool_members[i].column;
    to.printer = tool_print_begin(format, columns, TOOL_MEMBERS, request->p);
    status = tool_open_each(opened, print, &to, request->p);
    if (tool_print_end(to.printer) != TOOL_OK)
        return TOOL_TROUBLE;
    if (status != TOOL_OK)
        return tool_complain(TOOL_TROUBLE, "the export is not complete");
    return opened->troubles
               ? tool_complain(TOOL_NO, "rows that cannot be read were left out: payway-klarna ledger verify")
               : TOOL_OK;
}
