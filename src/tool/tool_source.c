#include "tool_source.h"

#include <apr_env.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool_config.h"

#define USUAL "/var/lib/payway_klarna/ledger.db"

static int is_file(const tool_source *source)
{
    return !strcmp(source->driver, "sqlite3");
}

int tool_source_parse(tool_source *source, const char *text, const char *root, int bare, apr_pool_t *p)
{
    char *path;
    source->driver = tool_config_word(&text, p);
    if (bare && *text != '"' && *text != '\'') {
        source->params = text;
        text = "";
    } else
        source->params = tool_config_word(&text, p);
    if ((!is_file(source) && strcmp(source->driver, "pgsql")) || !*source->params || *text)
        return 0;
    if (is_file(source)) {
        if (apr_filepath_merge(&path, root, source->params, 0, p) != APR_SUCCESS)
            return 0;
        source->params = path;
    }
    return 1;
}

/* From `text`, which `origin` gave; its words may be a password, and are not repeated. */
static int take(tool_source *source, const char *text, const char *origin, const tool_request *request)
{
    char *here;
    if (apr_filepath_get(&here, 0, request->p) != APR_SUCCESS)
        here = "/";
    return tool_source_parse(source, text, here, 1, request->p)
               ? TOOL_OK
               : tool_misused(request,
                              "%s is no ledger: 'sqlite3 /var/lib/payway_klarna/ledger.db' or 'pgsql \"host=... "
                              "dbname=...\"'",
                              origin);
}

static int take_config(tool_source *source, const tool_request *request)
{
    apr_pool_t *p = request->p;
    const char *file = request->value[TOOL_CONFIG];
    apr_array_header_t *found;
    if (tool_config_ledgers(&found, file, p) != TOOL_OK)
        return TOOL_TROUBLE;
    if (!found->nelts)
        return tool_complain(TOOL_TROUBLE, "%s names no PaywayLedger", file);
    *source = APR_ARRAY_IDX(found, 0, tool_source);
    if (found->nelts == 1)
        return TOOL_OK;
    tool_complain(TOOL_TROUBLE, "%s names %d ledgers; choose one by --ledger:", file, found->nelts);
    for (int i = 0; i < found->nelts; i++)
        tool_complain(TOOL_TROUBLE, "    %s", tool_source_name(&APR_ARRAY_IDX(found, i, tool_source), p));
    return TOOL_TROUBLE;
}

int tool_source_find(tool_source *source, const tool_request *request)
{
    char *environment;
    if (request->value[TOOL_LEDGER] && request->value[TOOL_CONFIG])
        return tool_misused(request, "--ledger or --config, not both");
    if (request->value[TOOL_LEDGER])
        return take(source, request->value[TOOL_LEDGER], "--ledger", request);
    if (request->value[TOOL_CONFIG])
        return take_config(source, request);
    if (apr_env_get(&environment, "PAYWAY_LEDGER", request->p) == APR_SUCCESS && *environment)
        return take(source, environment, "PAYWAY_LEDGER", request);
    *source = (tool_source){"sqlite3", USUAL};
    return access(USUAL, F_OK) == 0 || errno == EACCES
               ? TOOL_OK
               : tool_misused(request, "which ledger? There is none at %s: name it by --ledger or --config", USUAL);
}

/* --- its name --- */

/* The next word of libpq's form, with quotes and backslashes taken out. */
static const char *next_part(const char **rest, const char *stop, apr_pool_t *p)
{
    const char *from = *rest + strspn(*rest, " \t\r\n");
    char *part = apr_palloc(p, strlen(from) + 1), *to = part;
    int quoted = *from == '\'';
    from += quoted;
    while (*from && (quoted ? *from != '\'' : !strchr(stop, *from))) {
        if (*from == '\\' && from[1])
            from++;
        *to++ = *from++;
    }
    *to = '\0';
    *rest = from + (quoted && *from);
    return part;
}

/* Only what is known to be harmless is taken over. */
static const char *name_of_pairs(const char *params, apr_pool_t *p)
{
    static const char *const harmless[] = {"host", "hostaddr", "port", "dbname", "user", "service"};
    const char *name = "pgsql";
    while (*params) {
        const char *key = next_part(&params, "= \t\r\n", p), *value;
        params += strspn(params, " \t\r\n");
        if (*params != '=')
            break;
        params++;
        value = next_part(&params, " \t\r\n", p);
        for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
            if (!strcmp(key, harmless[i]))
                name = apr_pstrcat(p, name, " ", key, "=", value, NULL);
        }
        params += strspn(params, " \t\r\n");
    }
    return name;
}

/* Host and database: between the last '@' and '?'. A '@' behind the '?' may be that of a password which should have been
 * encoded, so nothing is taken then. */
static const char *name_of_uri(const char *params, apr_pool_t *p)
{
    size_t len = strcspn(params, "?");
    const char *head = apr_pstrmemdup(p, params, len), *at = strrchr(head, '@'), *host = strstr(head, "://");
    if (strchr(params + len, '@') || !host)
        return "pgsql postgresql://...";
    return apr_pstrcat(p, "pgsql postgresql://", at ? at + 1 : host + 3, NULL);
}

const char *tool_source_name(const tool_source *source, apr_pool_t *p)
{
    if (is_file(source))
        return apr_pstrcat(p, "sqlite3 ", source->params, NULL);
    return strstr(source->params, "://") ? name_of_uri(source->params, p) : name_of_pairs(source->params, p);
}

/* --- who opens it --- */

static const char *user_name(uid_t uid, apr_pool_t *p)
{
    const struct passwd *user = getpwuid(uid);
    return user ? apr_pstrdup(p, user->pw_name) : apr_psprintf(p, "user %lu", (unsigned long)uid);
}

/* All of root's rights are gone then; of its groups too. */
static int become(const struct stat *file, const char *path, apr_pool_t *p)
{
    const struct passwd *user = getpwuid(file->st_uid);
    int failed = user ? initgroups(user->pw_name, file->st_gid) : setgroups(1, &file->st_gid);
    if (failed || setgid(file->st_gid) || setuid(file->st_uid) || geteuid() != file->st_uid)
        return tool_complain(TOOL_TROUBLE, "could not become %s, whose file %s is: %s", user_name(file->st_uid, p),
                             path, strerror(errno));
    return TOOL_OK;
}

int tool_source_enter(const tool_source *source, apr_pool_t *p)
{
    const char *path = source->params, *dir;
    struct stat file;
    if (!is_file(source))
        return TOOL_OK;
    if (stat(path, &file))
        return tool_complain(TOOL_TROUBLE, "%s: %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return tool_complain(TOOL_TROUBLE, "%s is no file", path);
    if (!geteuid() && become(&file, path, p) != TOOL_OK)
        return TOOL_TROUBLE;
    /* SQLite makes files beside it, even to read. */
    dir = apr_pstrmemdup(p, path, (apr_size_t)(strrchr(path, '/') - path + 1));
    if (access(path, R_OK | W_OK) || access(dir, W_OK | X_OK))
        return tool_complain(TOOL_TROUBLE, "%s cannot be opened by %s: run this as root, or as %s", path,
                             user_name(geteuid(), p), user_name(file.st_uid, p));
    return TOOL_OK;
}
