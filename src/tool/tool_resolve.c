/* payway-klarna ledger resolve: the operator's word ends what nobody could find out by asking. */
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_text.h"
#include "tool_ledger.h"
#include "tool_purchase.h"

enum { NOTE_MAX = 2000 /* bytes, all that was ever noted of one purchase */ };

/* Whether `text` can be shown anywhere later: nothing in it that moves a cursor or turns the direction. */
static int is_plain(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    if (!pwk_text_is_utf8(text, strlen(text)))
        return 0;
    for (; *c; c++) {
        if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
            return 0;
        if (c[0] == 0xe2
            && ((c[1] == 0x80 && c[2] >= 0xa8 && c[2] <= 0xae) || (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)))
            return 0;
    }
    return text[strspn(text, " ")] != '\0';
}

/* TOOL_TROUBLE: what was asked for makes no sense, whatever the purchase is. */
static int check_words(pwk_purchase_event *event, const tool_request *request)
{
    const char *id = request->words[0], *word = request->words[1];
    const char *note = request->value[TOOL_NOTE], *order = request->value[TOOL_ORDER];
    *event = !strcmp(word, "placed") ? PWK_EVENT_FOUND : PWK_EVENT_ABSENT;
    if (!pwk_purchase_is_id(id))
        return tool_misused(request, "\"%s\" is no purchase's id: 32 hex digits", tool_print_clean(id, request->p));
    if (*event == PWK_EVENT_ABSENT && strcmp(word, "failed"))
        return tool_misused(request, "\"%s\" is neither placed nor failed", tool_print_clean(word, request->p));
    if (!note)
        return tool_misused(request, "--note is needed: who looked, and where");
    if (!is_plain(note))
        return tool_misused(request, "--note is empty, or has control characters");
    if (order && *event == PWK_EVENT_ABSENT)
        return tool_misused(request, "--order is for \"placed\"");
    if (order && !pwk_text_is_visible(order, PWK_ORDER_ID_MAX))
        return tool_misused(request, "--order is no order's id: %d visible ASCII characters at most", PWK_ORDER_ID_MAX);
    return TOOL_OK;
}

/* TOOL_NO: not this purchase, and it was said why. */
static int check_purchase(const pwk_purchase *purchase, pwk_purchase_event event, const tool_request *request)
{
    apr_time_t dead = tool_purchase_dead(purchase, request->now);
    if (event == PWK_EVENT_CONTRADICTED)
        return TOOL_OK;
    if (purchase->state != PWK_PURCHASE_MANUAL && purchase->state != PWK_PURCHASE_UNKNOWN)
        return tool_complain(TOOL_NO, "purchase %s is %s: only manual and unknown ones are resolved by hand",
                             purchase->id, pwk_purchase_word(purchase->state));
    if (event == PWK_EVENT_ABSENT && request->now < dead && !request->value[TOOL_FORCE])
        return tool_complain(TOOL_NO,
                             "purchase %s: Klarna's authorization can still be used until %s, so an order may appear "
                             "later; wait, or use --force",
                             purchase->id, tool_print_time(dead, request->p));
    return TOOL_OK;
}

static int check_order(tool_opened *opened, const pwk_purchase *purchase, const char *order, apr_pool_t *p)
{
    const char *values[] = {purchase->organisation, purchase->environment, order, purchase->id};
    apr_array_header_t *rows;
    if (tool_open_read(&rows, opened, TOOL_OTHER_ORDER, values, p) != TOOL_OK)
        return TOOL_TROUBLE;
    return rows->nelts ? tool_complain(TOOL_NO, "order %s belongs to purchase %s", order,
                                       tool_print_clean(APR_ARRAY_IDX(rows, 0, const char *const *)[0], p))
                       : TOOL_OK;
}

/* What the row becomes, apart from its state. */
static int prepare(pwk_purchase *purchase, pwk_purchase_event event, const tool_request *request)
{
    apr_pool_t *p = request->p;
    const char *order = request->value[TOOL_ORDER];
    purchase->note = apr_pstrcat(p, purchase->note, *purchase->note ? "; " : "", tool_print_time(request->now, p), " ",
                                 request->user, ": ", request->value[TOOL_NOTE], NULL);
    if (strlen(purchase->note) > NOTE_MAX)
        return tool_complain(TOOL_NO, "purchase %s: its note would be longer than %d bytes", purchase->id, NOTE_MAX);
    if (event == PWK_EVENT_CONTRADICTED)
        return TOOL_OK;
    if (event == PWK_EVENT_ABSENT) {
        purchase->error = "order_absent";
        purchase->field = "";
        return TOOL_OK;
    }
    if (order)
        purchase->order_id = order;
    /* The time in which it opened its products may be over, and whoever paid has waited long enough. */
    pwk_purchase_set_grant(purchase, request->now);
    return TOOL_OK;
}

static void say(const pwk_purchase *purchase, pwk_purchase_state from, pwk_purchase_state to, int dry,
                const tool_request *request)
{
    apr_pool_t *p = request->p;
    printf("%spurchase %s: %s -> %s", dry ? "would do: " : "", purchase->id, pwk_purchase_word(from),
           pwk_purchase_word(to));
    if (to == PWK_PURCHASE_PLACED && *purchase->order_id)
        printf(", order %s", tool_print_clean(purchase->order_id, p));
    printf("\nnote: %s\n", tool_print_clean(purchase->note, p));
    if (to == PWK_PURCHASE_PLACED)
        printf("Its products are open from %s to %s, whether Payway shows them or not.\nWhen Payway shows them, or "
               "after that, "
               "account %s can buy again.\n",
               tool_print_time(purchase->grant_from, p), tool_print_time(purchase->grant_until, p),
               tool_print_clean(purchase->account, p));
    else
        printf("Account %s can buy again.\n", tool_print_clean(purchase->account, p));
}

static int commit(tool_opened *opened, pwk_purchase *purchase, pwk_purchase_event event, const tool_request *request)
{
    apr_status_t rv = pwk_ledger_move(opened->ledger, purchase, event, request->now, request->p);
    pwk_purchase fresh;
    if (rv == APR_SUCCESS)
        return TOOL_OK;
    if (rv == APR_EBUSY && pwk_ledger_read(&fresh, opened->ledger, purchase->id, request->p) == APR_SUCCESS)
        return tool_complain(TOOL_NO, "purchase %s: somebody else was faster, it is %s now", purchase->id,
                             pwk_purchase_word(fresh.state));
    return tool_complain(TOOL_NO, "purchase %s: nobody knows whether it was written: payway-klarna ledger show %s",
                         purchase->id, purchase->id);
}

int tool_resolve(tool_opened *opened, const tool_request *request)
{
    const char *order = request->value[TOOL_ORDER];
    int dry = request->value[TOOL_DRY_RUN] != NULL, status;
    pwk_purchase purchase;
    pwk_purchase_state from, to;
    pwk_purchase_action action;
    pwk_purchase_event event;
    apr_status_t rv;
    if (check_words(&event, request) != TOOL_OK)
        return TOOL_TROUBLE;
    rv = pwk_ledger_read(&purchase, opened->ledger, request->words[0], request->p);
    if (rv != APR_SUCCESS)
        return rv == APR_NOTFOUND ? tool_complain(TOOL_NO, "there is no purchase %s", request->words[0]) : TOOL_TROUBLE;
    /* An order in spite of its failure: it stays what it is, and the note says that it was seen to. */
    if (event == PWK_EVENT_ABSENT && tool_purchase_has_order(&purchase))
        event = PWK_EVENT_CONTRADICTED;
    status = check_purchase(&purchase, event, request);
    if (status == TOOL_OK && order)
        status = check_order(opened, &purchase, order, request->p);
    if (status == TOOL_OK)
        status = prepare(&purchase, event, request);
    from = to = purchase.state;
    if (status == TOOL_OK && !pwk_purchase_next(&to, &action, from, event))
        status =
            tool_complain(TOOL_NO, "purchase %s is %s, and cannot become that", purchase.id, pwk_purchase_word(from));
    if (status == TOOL_OK && !dry)
        status = commit(opened, &purchase, event, request);
    if (status != TOOL_OK)
        return status;
    say(&purchase, from, to, dry, request);
    return tool_print_flush();
}
