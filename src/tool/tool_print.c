#include "tool_print.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../core/pwk_json.h"
#include "../core/pwk_text.h"

enum { CELL_MAX = 64 * 1024 };

struct tool_printer {
    tool_format format;
    const tool_column *columns;
    int count;
    apr_array_header_t *rows; /* const char **, of a table */
    apr_pool_t *p, *row_pool;
};

int tool_print_format(tool_format *format, const tool_request *request, int tables)
{
    static const struct {
        const char *word;
        tool_format format;
    } words[] = {{"table", TOOL_TABLE}, {"text", TOOL_TABLE}, {"csv", TOOL_CSV}, {"json", TOOL_JSON}};
    const char *given = request->value[TOOL_FORMAT];
    *format = TOOL_TABLE;
    if (!given && tables)
        return TOOL_OK;
    for (size_t i = 0; given && i < sizeof(words) / sizeof(*words); i++) {
        if (!strcmp(given, words[i].word) && (tables || words[i].format != TOOL_TABLE)) {
            *format = words[i].format;
            return TOOL_OK;
        }
    }
    return tool_misused(request, "--format is %scsv or json", tables ? "table, " : "");
}

const char *tool_print_time(apr_time_t at, apr_pool_t *p)
{
    apr_time_exp_t parts;
    if (!at || apr_time_exp_gmt(&parts, at) != APR_SUCCESS)
        return "";
    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                        parts.tm_hour, parts.tm_min, parts.tm_sec);
}

const char *tool_print_clean(const char *text, apr_pool_t *p)
{
    return pwk_text_clean(text, CELL_MAX, p);
}

/* --- CSV --- */

/* A spreadsheet takes a cell that begins with one of these for a formula, and some texts come from elsewhere. */
static void print_cell(const char *text, int first)
{
    const char *guard = *text && strchr("=+-@", *text) ? "'" : "";
    if (!first)
        putchar(',');
    if (!strpbrk(text, ",\"\r\n ") && !*guard) {
        fputs(text, stdout);
        return;
    }
    printf("\"%s", guard);
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            putchar('"');
        putchar(*c);
    }
    putchar('"');
}

static void print_header(const tool_printer *printer)
{
    for (int i = 0; i < printer->count; i++)
        print_cell(printer->columns[i].name, !i);
    fputs("\r\n", stdout);
}

/* --- JSON --- */

static json_t *value_of(tool_kind kind, const char *text, apr_pool_t *p)
{
    json_t *object;
    switch (kind) {
    case TOOL_NUMBER:
        return json_integer(apr_atoi64(text));
    case TOOL_TIME:
        return *text ? json_string(text) : json_null();
    case TOOL_OBJECT:
        return pwk_json_object(&object, text, strlen(text), p).outcome == PWK_OK ? json_incref(object) : json_null();
    case TOOL_TEXT:
        break;
    }
    return json_string(text);
}

static void print_object(const tool_printer *printer, const char *const *values)
{
    json_t *object = pwk_json_new(printer->row_pool);
    for (int i = 0; i < printer->count; i++)
        json_object_set_new(object, printer->columns[i].name,
                            value_of(printer->columns[i].kind, values[i], printer->row_pool));
    puts(pwk_json_dump(object, printer->row_pool));
}

/* --- the table --- */

/* Characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_table(const tool_printer *printer)
{
    int *widths = apr_pcalloc(printer->p, (apr_size_t)printer->count * sizeof(*widths));
    for (int i = 0; i < printer->rows->nelts; i++) {
        for (int c = 0; c < printer->count; c++) {
            int width = width_of(APR_ARRAY_IDX(printer->rows, i, const char **)[c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (int i = 0; i < printer->rows->nelts; i++) {
        const char **row = APR_ARRAY_IDX(printer->rows, i, const char **);
        for (int c = 0; c < printer->count; c++) {
            int last = c == printer->count - 1;
            printf("%s%*s", row[c], last ? 0 : widths[c] - width_of(row[c]) + 2, "");
        }
        putchar('\n');
    }
}

/* --- the interface --- */

tool_printer *tool_print_begin(tool_format format, const tool_column *columns, int count, apr_pool_t *p)
{
    tool_printer *printer = apr_pcalloc(p, sizeof(*printer));
    *printer = (tool_printer){.format = format, .columns = columns, .count = count, .p = p};
    printer->rows = apr_array_make(p, 16, sizeof(const char **));
    apr_pool_create(&printer->row_pool, p);
    if (format == TOOL_CSV)
        print_header(printer);
    if (format == TOOL_TABLE) {
        const char **names = apr_palloc(p, (apr_size_t)count * sizeof(*names));
        for (int i = 0; i < count; i++)
            names[i] = columns[i].name;
        APR_ARRAY_PUSH(printer->rows, const char **) = names;
    }
    return printer;
}

void tool_print_row(tool_printer *printer, const char *const *values)
{
    apr_pool_t *p = printer->format == TOOL_TABLE ? printer->p : printer->row_pool;
    const char **clean = apr_palloc(p, (apr_size_t)printer->count * sizeof(*clean));
    for (int i = 0; i < printer->count; i++) {
        clean[i] = tool_print_clean(values[i], p);
        if (printer->format == TOOL_TABLE && !*clean[i])
            clean[i] = "-";
    }
    if (printer->format == TOOL_TABLE) {
        APR_ARRAY_PUSH(printer->rows, const char **) = clean;
        return;
    }
    if (printer->format == TOOL_JSON)
        print_object(printer, clean);
    else {
        for (int i = 0; i < printer->count; i++)
            print_cell(clean[i], !i);
        fputs("\r\n", stdout);
    }
    apr_pool_clear(printer->row_pool);
}

int tool_print_flush(void)
{
    if (fflush(stdout) || ferror(stdout))
        return tool_complain(TOOL_TROUBLE, "not all could be written: %s", strerror(errno));
    return TOOL_OK;
}

int tool_print_end(tool_printer *printer)
{
    if (printer->format == TOOL_TABLE)
        print_table(printer);
    return tool_print_flush();
}
