#include "pwk_result.h"

#include <apr_strings.h>

#define LINE_MAX_CHARS 300

pwk_result pwk_result_ok(void)
{
    return (pwk_result){.outcome = PWK_OK, .rv = APR_SUCCESS, .code = "", .field = "", .detail = ""};
}

pwk_result pwk_result_fail(pwk_outcome outcome, apr_status_t rv, const char *code, const char *detail)
{
    return (pwk_result){
        .outcome = outcome,
        .rv = rv == APR_SUCCESS ? APR_EGENERAL : rv,
        .code = code,
        .field = "",
        .detail = detail,
    };
}

/* An empty text would leave "field= status=…", which a reader of logs (and a log parser) takes for a slip of ours. */
static const char *or_dash(const char *text)
{
    return *text ? text : "-";
}

const char *pwk_result_line(const pwk_result *result, apr_pool_t *p)
{
    /* Bounded before it is written: `detail` may be as long as whoever made it liked. */
    char *line = apr_palloc(p, LINE_MAX_CHARS + 1);

    apr_snprintf(line, LINE_MAX_CHARS + 1, "code=%s field=%s status=%d: %s", or_dash(result->code),
                 or_dash(result->field), result->http_status, or_dash(result->detail));
    for (char *c = line; *c; c++) {
        if (*c < 0x20 || *c > 0x7e) {
            *c = '?';
        }
    }
    return line;
}
