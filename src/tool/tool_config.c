#include "tool_config.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "tool_options.h"
#include "tool_source.h"

enum { LINE_MAX_BYTES = 8192, DEPTH_MAX = 20 };

typedef struct {
    apr_array_header_t *ledgers; /* tool_source */
    const char *root;            /* ServerRoot, else the directory of the file */
    apr_pool_t *p;
} reading;

static int read_file(reading *r, const char *path, int depth);

const char *tool_config_word(const char **rest, apr_pool_t *p)
{
    const char *from = *rest;
    char *word = apr_palloc(p, strlen(from) + 1), *to = word, quote;
    while (apr_isspace(*from))
        from++;
    quote = *from == '"' || *from == '\'' ? *from++ : '\0';
    while (*from && (quote ? *from != quote : !apr_isspace(*from))) {
        if (quote && *from == '\\' && (from[1] == quote || from[1] == '\\'))
            from++;
        *to++ = *from++;
    }
    *to = '\0';
    from += quote && *from;
    while (apr_isspace(*from))
        from++;
    *rest = from;
    return word;
}

static int take_ledger(reading *r, const char *arguments, const char *path, int number)
{
    tool_source source;
    if (strstr(arguments, "${"))
        return tool_complain(TOOL_TROUBLE, "%s:%d: PaywayLedger with a variable: name the ledger by --ledger", path,
                             number);
    if (!tool_source_parse(&source, arguments, r->root, 0, r->p))
        return tool_complain(TOOL_TROUBLE, "%s:%d: this PaywayLedger cannot be read", path, number);
    for (int i = 0; i < r->ledgers->nelts; i++) {
        const tool_source *other = &APR_ARRAY_IDX(r->ledgers, i, tool_source);
        if (!strcmp(other->driver, source.driver) && !strcmp(other->params, source.params))
            return TOOL_OK;
    }
    APR_ARRAY_PUSH(r->ledgers, tool_source) = source;
    return TOOL_OK;
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* A file, all files of a directory, or a pattern in the last part of a path. One that is not there is httpd's matter. */
static int take_include(reading *r, const char *pattern, int depth)
{
    apr_array_header_t *names;
    apr_finfo_t info;
    char *path;
    const char *dir;
    if (strstr(pattern, "${"))
        return tool_complain(TOOL_OK, "Include %s is left out, because of its variable", pattern);
    if (apr_filepath_merge(&path, r->root, pattern, 0, r->p) != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE, "Include %s is no path", pattern);
    if (apr_stat(&info, path, APR_FINFO_TYPE, r->p) == APR_SUCCESS) {
        if (info.filetype != APR_DIR)
            return read_file(r, path, depth);
        path = apr_pstrcat(r->p, path, "/*", NULL);
    } else if (!apr_fnmatch_test(path))
        return TOOL_OK;
    if (apr_match_glob(path, &names, r->p) != APR_SUCCESS)
        return TOOL_OK;
    dir = apr_pstrmemdup(r->p, path, (apr_size_t)(strrchr(path, '/') - path + 1));
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_name);
    for (int i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        if (*name != '.' && take_include(r, apr_pstrcat(r->p, dir, name, NULL), depth) != TOOL_OK)
            return TOOL_TROUBLE;
    }
    return TOOL_OK;
}

static int take_line(reading *r, const char *line, const char *path, int number, int depth)
{
    const char *name = tool_config_word(&line, r->p);
    if (!strcasecmp(name, "PaywayLedger"))
        return take_ledger(r, line, path, number);
    if (!strcasecmp(name, "Include") || !strcasecmp(name, "IncludeOptional"))
        return take_include(r, tool_config_word(&line, r->p), depth);
    if (!strcasecmp(name, "ServerRoot") && !strstr(line, "${"))
        r->root = tool_config_word(&line, r->p);
    return TOOL_OK;
}

/* A line with those that it goes on in; NULL at the end. */
static const char *next_line(apr_file_t *file, int *number, apr_pool_t *p)
{
    char part[LINE_MAX_BYTES];
    const char *line = NULL;
    while (apr_file_gets(part, sizeof(part), file) == APR_SUCCESS) {
        size_t len = strcspn(part, "\n");
        int goes_on;
        ++*number;
        goes_on = len && part[len - 1] == '\\';
        part[len - (size_t)goes_on] = '\0';
        line = apr_pstrcat(p, line ? line : "", part, NULL);
        if (!goes_on)
            break;
    }
    return line;
}

static int read_file(reading *r, const char *path, int depth)
{
    apr_file_t *file;
    const char *line;
    char words[120];
    int number = 0, status = TOOL_OK;
    apr_status_t rv;
    if (depth > DEPTH_MAX)
        return tool_complain(TOOL_TROUBLE, "%s: included too deep", path);
    rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BUFFERED, 0, r->p);
    if (rv != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE, "%s: %s", path, apr_strerror(rv, words, sizeof(words)));
    while (status == TOOL_OK && (line = next_line(file, &number, r->p)))
        status = take_line(r, line, path, number, depth + 1);
    apr_file_close(file);
    return status;
}

int tool_config_ledgers(apr_array_header_t **ledgers, const char *file, apr_pool_t *p)
{
    reading r = {.ledgers = apr_array_make(p, 2, sizeof(tool_source)), .p = p};
    char *here, *path;
    if (apr_filepath_get(&here, 0, p) != APR_SUCCESS || apr_filepath_merge(&path, here, file, 0, p) != APR_SUCCESS)
        return tool_complain(TOOL_TROUBLE, "%s is no path", file);
    r.root = apr_pstrmemdup(p, path, (apr_size_t)(strrchr(path, '/') - path + 1));
    *ledgers = r.ledgers;
    return read_file(&r, path, 0);
}
