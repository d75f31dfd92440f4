/* Rows on standard output: a table for people, CSV after RFC 4180, or JSON, one object per line. */
#ifndef TOOL_PRINT_H
#define TOOL_PRINT_H

#include <apr_time.h>

#include "tool_options.h"

typedef enum { TOOL_TABLE, TOOL_CSV, TOOL_JSON } tool_format;

typedef enum {
    TOOL_TEXT,
    TOOL_NUMBER,
    TOOL_TIME,  /* as tool_print_time makes it; in JSON null for "" */
    TOOL_OBJECT /* JSON text */
} tool_kind;

typedef struct {
    const char *name;
    tool_kind kind;
} tool_column;

typedef struct tool_printer tool_printer;

/* Of --format. TOOL_TROUBLE: it was said what is wrong. `tables`: whether it may be a table, which then is the default;
 * otherwise it has to be given. */
int tool_print_format(tool_format *format, const tool_request *request, int tables);

/* CSV begins with its header. A table is kept until the end: its columns are as wide as they must be. */
tool_printer *tool_print_begin(tool_format format, const tool_column *columns, int count, apr_pool_t *p);

/* A value for each column, in their order; control characters are taken out here. */
void tool_print_row(tool_printer *printer, const char *const *values);

/* TOOL_TROUBLE: not all was written, and it was said. */
int tool_print_end(tool_printer *printer);

/* The same for what was printed by other means. */
int tool_print_flush(void);

/* "2026-11-25T14:00:00Z"; "" for 0. */
const char *tool_print_time(apr_time_t at, apr_pool_t *p);

/* `text` as it may meet a terminal. */
const char *tool_print_clean(const char *text, apr_pool_t *p);

#endif
