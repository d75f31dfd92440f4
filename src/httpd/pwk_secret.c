#include "pwk_secret.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 4096 };

static const char *judge_file(const struct stat *file)
{
    if (!S_ISREG(file->st_mode))
        return "is not a regular file";
    if (file->st_uid != 0 && file->st_uid != geteuid())
        return "belongs to another user: chown it to root";
    if (file->st_mode & (S_IWGRP | S_IWOTH))
        return "can be written by others: chmod 0600 it";
    if (file->st_mode & S_IROTH)
        return "can be read by others: chmod 0600 it";
    return NULL;
}

/* Opened once and judged by its descriptor: what was judged is what is read. */
static const char *read_file(const char **secret, cmd_parms *cmd, const char *path)
{
    char bytes[SECRET_MAX + 1];
    struct stat file;
    const char *wrong;
    ssize_t len = -1;
    path = ap_server_root_relative(cmd->pool, path);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    if (fd < 0)
        return "cannot be opened: does the file exist, and may the user that starts httpd read it?";
    wrong = fstat(fd, &file) ? "cannot be examined" : judge_file(&file);
    if (!wrong && (len = read(fd, bytes, sizeof(bytes))) < 0)
        wrong = "cannot be read";
    close(fd);
    if (!wrong && len > SECRET_MAX)
        wrong = "is longer than 4096 bytes";
    if (!wrong)
        *secret = apr_pstrmemdup(cmd->pool, bytes, (apr_size_t)len);
    return wrong;
}

static const char *read_env(const char **secret, cmd_parms *cmd, const char *name)
{
    const char *value = getenv(name);
    if (!value)
        return "is not set in the environment that starts httpd";
    *secret = apr_pstrdup(cmd->pool, value);
    return NULL;
}

static const char *run_program(const char **secret, cmd_parms *cmd, const char *line)
{
    char **argv;
    if (apr_tokenize_to_argv(line, &argv, cmd->temp_pool) != APR_SUCCESS || !argv[0])
        return "names no program";
    *secret = ap_get_exec_line(cmd->pool, argv[0], (const char *const *)argv);
    return *secret ? NULL : "could not be run, or printed nothing";
}

static const struct {
    const char *prefix;
    const char *(*read)(const char **secret, cmd_parms *cmd, const char *rest);
} sources[] = {{"file:", read_file}, {"env:", read_env}, {"exec:", run_program}};

const char *pwk_secret_read(const char **secret, cmd_parms *cmd, const char *word)
{
    const char *name = cmd->cmd->name, *wrong = NULL, *shown = "its value";
    *secret = apr_pstrdup(cmd->pool, word);
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        size_t len = strlen(sources[i].prefix);
        if (!strncmp(word, sources[i].prefix, len)) {
            shown = word;
            wrong = sources[i].read(secret, cmd, word + len);
        }
    }
    if (wrong)
        return apr_psprintf(cmd->pool, "%s: the secret %s %s", name, shown, wrong);
    char *text = apr_pstrdup(cmd->pool, *secret);
    size_t len = strlen(text);
    if (len && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len && text[len - 1] == '\r')
        text[--len] = '\0';
    if (!len)
        return apr_psprintf(cmd->pool, "%s: the secret %s is empty", name, shown);
    *secret = text;
    return NULL;
}
