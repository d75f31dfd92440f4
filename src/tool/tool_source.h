/* Which ledger is meant: --ledger, PAYWAY_LEDGER, the one that an httpd configuration names, or the usual place. And who
 * may open it. */
#ifndef TOOL_SOURCE_H
#define TOOL_SOURCE_H

#include "tool_options.h"

typedef struct {
    const char *driver, *params; /* as in PaywayLedger */
} tool_source;

/* TOOL_TROUBLE: there is none, or more than one; it was said. */
int tool_source_find(tool_source *source, const tool_request *request);

/* What may be printed of it: a path, or of libpq's parameters where the database is and never who says so. */
const char *tool_source_name(const tool_source *source, apr_pool_t *p);

/* A file: sees that it is there and can be read and written by whoever runs this. Root first becomes the file's owner
 * for good: the files that SQLite puts beside it have to be httpd's. TOOL_TROUBLE: it was said what is wrong. */
int tool_source_enter(const tool_source *source, apr_pool_t *p);

/* "sqlite3 PATH" taken apart, with `root` before a path that is not absolute. `bare`: the parameters need no quotes around
 * them. 0: it is none. */
int tool_source_parse(tool_source *source, const char *text, const char *root, int bare, apr_pool_t *p);

#endif
