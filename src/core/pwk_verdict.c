#include "pwk_verdict.h"

#include <string.h>

static const char *match(const pwk_reader *reader, const pwk_requirement *requirement)
{
    for (int i = 0; i < requirement->count; i++) {
        for (int j = 0; j < reader->count; j++) {
            if (!strcmp(requirement->codes[i], reader->codes[j]))
                return requirement->codes[i];
        }
    }
    return NULL;
}

pwk_verdict pwk_verdict_of(const pwk_reader *reader, const pwk_requirement *requirement, pwk_knowledge knowledge,
                           apr_interval_time_t stale_if_error, apr_time_t now)
{
    if (!reader || !*reader->account)
        return (pwk_verdict){PWK_VERDICT_ANONYMOUS, "", "not-logged-in"};
    const char *product = requirement->codes ? match(reader, requirement) : "";
    const char *granted = requirement->codes ? "product" : "account";

    switch (knowledge) {
    case PWK_KNOWN:
        return product ? (pwk_verdict){PWK_VERDICT_GRANTED, product, granted}
                       : (pwk_verdict){PWK_VERDICT_NO_PRODUCT, "", "no-product"};
    case PWK_UNASKED:
        return (pwk_verdict){PWK_VERDICT_UNAVAILABLE, "", "not-asked"};
    case PWK_OUTAGE:
        break;
    }
    if (product && now - reader->checked <= stale_if_error)
        return (pwk_verdict){PWK_VERDICT_GRANTED, product, "stale-if-error"};
    return (pwk_verdict){PWK_VERDICT_UNAVAILABLE, "", "payway-unavailable"};
}

const char *pwk_verdict_word(pwk_verdict_kind kind)
{
    static const char *const words[] = {"granted", "anonymous", "no-product", "unavailable"};
    return words[kind];
}
