#include "pwk_grants.h"

#include <apr_strings.h>
#include <string.h>

#include "pwk_ledger.h"

static int stands_in(const apr_array_header_t *codes, const char *code)
{
    for (int i = 0; i < codes->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(codes, i, const char *), code))
            return 1;
    }
    return 0;
}

int pwk_grants_has_all(const apr_array_header_t *has, const apr_array_header_t *codes)
{
    for (int i = 0; i < codes->nelts; i++) {
        if (!stands_in(has, APR_ARRAY_IDX(codes, i, const char *)))
            return 0;
    }
    return codes->nelts > 0;
}

apr_array_header_t *pwk_grants_products(const pwk_purchase *purchase, apr_pool_t *p)
{
    apr_array_header_t *codes = apr_array_make(p, 2, sizeof(const char *));
    char *state, *words = apr_pstrdup(p, purchase->products);
    for (char *word = apr_strtok(words, ",", &state); word; word = apr_strtok(NULL, ",", &state))
        APR_ARRAY_PUSH(codes, const char *) = word;
    return codes;
}

/* Nothing is waited for any more: one write, since whoever is cut off between two would leave it waiting. An UNKNOWN purchase
 * stays so: that products are there does not tell who sold them. */
static void note_shown(const pwk_site *site, pwk_purchase *purchase, apr_time_t now, apr_pool_t *p)
{
    if (purchase->state == PWK_PURCHASE_PLACED) {
        purchase->shown = 1;
        pwk_ledger_move(site->ledger, purchase, PWK_EVENT_SHOWN, now, p);
    } else if (purchase->state == PWK_PURCHASE_CONFIRMED) {
        pwk_ledger_note_shown(site->ledger, purchase->id, now, p);
    }
}

pwk_result pwk_grants_add(apr_array_header_t *has, const pwk_site *site, const char *account, const pwk_reader *known,
                          apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    apr_array_header_t *rows, *opened = apr_array_make(p, 2, sizeof(const char *));
    apr_status_t rv;
    if (!site->ledger_driver)
        return pwk_result_ok();
    rv = site->ledger
             ? pwk_ledger_granting(&rows, site->ledger, site->client.organisation, site->environment, account, now, p)
             : APR_EGENERAL;
    if (rv != APR_SUCCESS) {
        for (int i = 0; known && i < known->count; i++) {
            if (!stands_in(has, known->codes[i]))
                return pwk_result_fail(PWK_UNAVAILABLE, rv, "ledger", "the ledger could not be asked for purchases");
        }
        return pwk_result_ok();
    }
    for (int i = 0; i < rows->nelts; i++) {
        pwk_purchase *purchase = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        apr_array_header_t *products = pwk_grants_products(purchase, p);
        /* Whoever placed it is gone: from now on it is looked for, and opens what it may have bought. */
        if (purchase->state == PWK_PURCHASE_PLACING)
            pwk_ledger_move(site->ledger, purchase, PWK_EVENT_OVERDUE, now, p);
        if (pwk_grants_has_all(has, products)) {
            note_shown(site, purchase, now, p);
        } else if (pwk_purchase_grants(purchase, now)) {
            apr_array_cat(opened, products);
        }
    }
    apr_array_cat(has, opened);
    return pwk_result_ok();
}

int pwk_grants_has_news(const pwk_site *site, const char *account, apr_time_t since, apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    apr_array_header_t *rows;
    int news = 0;
    if (!site->ledger
        || pwk_ledger_granting(&rows, site->ledger, site->client.organisation, site->environment, account, now, p)
               != APR_SUCCESS)
        return 0;
    for (int i = 0; i < rows->nelts && !news; i++) {
        const pwk_purchase *purchase = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        news = purchase->changed >= since || purchase->state == PWK_PURCHASE_PLACING;
    }
    return news;
}
