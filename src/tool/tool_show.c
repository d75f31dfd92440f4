/* payway-klarna ledger show */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "../core/pwk_purchase.h"
#include "tool_ledger.h"
#include "tool_purchase.h"

enum { SHORT = 32 /* a value that leaves room for its meaning */ };

/* Sealed, and not even the sealed text is shown. */
static const char *kept(const pwk_purchase *purchase, apr_pool_t *p)
{
    const struct {
        const char *name, *value;
    } parts[] = {{"settings of the sale", purchase->sale},
                 {"Klarna session", purchase->session},
                 {"redirect", purchase->redirect},
                 {"hash of the authorization", purchase->token_hash}};
    const char *all = "";
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        all = *parts[i].value ? apr_pstrcat(p, all, *all ? ", " : "", parts[i].name, NULL) : all;
    return *all ? all : "nothing";
}

static void show_text(const pwk_purchase *purchase, const tool_request *request)
{
    apr_pool_t *p = request->p;
    const char *next = tool_purchase_next(purchase, request->now, p);
    const char *advice = tool_purchase_advice(purchase, request->now, p);
    for (int i = 0; i < TOOL_MEMBERS; i++) {
        const char *value = tool_print_clean(tool_purchase_value(purchase, i, p), p);
        const char *meaning =
            !strcmp(tool_members[i].column.name, "state") ? tool_purchase_meaning(purchase) : tool_members[i].meaning;
        if (!*value || !*meaning)
            printf("%-13s %s\n", tool_members[i].column.name, *value ? value : "-");
        else
            printf("%-13s %-*s  (%s)\n", tool_members[i].column.name, SHORT, value, meaning);
    }
    printf("%-13s %s\n", "kept, sealed", kept(purchase, p));
    if (*next)
        printf("%-13s %s\n", "next", next);
    if (*advice)
        printf("\nWhat to do\n%s\n", advice);
}

static void show_json(const pwk_purchase *purchase, const tool_request *request)
{
    static const tool_column more[] = {{"has_sale", TOOL_NUMBER},     {"has_session", TOOL_NUMBER},
                                       {"has_redirect", TOOL_NUMBER}, {"has_token", TOOL_NUMBER},
                                       {"meaning", TOOL_TEXT},        {"next", TOOL_TEXT},
                                       {"advice", TOOL_TEXT}};
    enum { MORE = sizeof(more) / sizeof(*more) };
    apr_pool_t *p = request->p;
    const char *more_values[MORE] = {*purchase->sale ? "1" : "0",
                                     *purchase->session ? "1" : "0",
                                     *purchase->redirect ? "1" : "0",
                                     *purchase->token_hash ? "1" : "0",
                                     tool_purchase_meaning(purchase),
                                     tool_purchase_next(purchase, request->now, p),
                                     tool_purchase_advice(purchase, request->now, p)};
    tool_column columns[TOOL_MEMBERS + MORE];
    const char *values[TOOL_MEMBERS + MORE];
    for (int i = 0; i < TOOL_MEMBERS; i++) {
        columns[i] = tool_members[i].column;
        values[i] = tool_purchase_value(purchase, i, p);
    }
    memcpy(columns + TOOL_MEMBERS, more, sizeof(more));
    memcpy(values + TOOL_MEMBERS, more_values, sizeof(more_values));
    tool_print_row(tool_print_begin(TOOL_JSON, columns, TOOL_MEMBERS + MORE, p), values);
}

int tool_show(tool_opened *opened, const tool_request *request)
{
    const char *id = request->words[0];
    pwk_purchase purchase;
    tool_format format;
    apr_status_t rv;
    if (tool_print_format(&format, request, 1) != TOOL_OK)
        return TOOL_TROUBLE;
    if (format == TOOL_CSV)
        return tool_misused(request, "--format is text or json");
    if (!pwk_purchase_is_id(id))
        return tool_misused(request, "\"%s\" is no purchase's id: 32 hex digits", tool_print_clean(id, request->p));
    rv = pwk_ledger_read(&purchase, opened->ledger, id, request->p);
    if (rv != APR_SUCCESS)
        return rv == APR_NOTFOUND ? tool_complain(TOOL_NO, "there is no purchase %s", id) : TOOL_TROUBLE;
    if (format == TOOL_JSON)
        show_json(&purchase, request);
    else
        show_text(&purchase, request);
    return tool_print_flush();
}
