#include "pwk_config.h"

#include <http_core.h>

static pwk_reading reading;

pwk_reading *pwk_config_reading(void)
{
    return &reading;
}

void pwk_config_begin(apr_pool_t *pconf)
{
    reading = (pwk_reading){.requires = apr_array_make(pconf, 8, sizeof(pwk_require *))};
}

#define UNSET(type, name, unset) record->name = (unset);
#define MERGE(type, name, unset) record->name = over->name == (unset) ? under->name : over->name;

void *pwk_config_create_server(apr_pool_t *p, server_rec *s)
{
    pwk_server *record = apr_pcalloc(p, sizeof(*record));
    (void)s;
    PWK_SERVER_MEMBERS(UNSET)
    return record;
}

void *pwk_config_merge_server(apr_pool_t *p, void *base, void *add)
{
    const pwk_server *under = base, *over = add;
    pwk_server *record = apr_pcalloc(p, sizeof(*record));
    PWK_SERVER_MEMBERS(MERGE)
    return record;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature is httpd's */
void *pwk_config_create_dir(apr_pool_t *p, char *where)
{
    pwk_dir *record = apr_pcalloc(p, sizeof(*record));
    (void)where;
    PWK_DIR_MEMBERS(UNSET)
    return record;
}

void *pwk_config_merge_dir(apr_pool_t *p, void *base, void *add)
{
    const pwk_dir *under = base, *over = add;
    pwk_dir *record = apr_pcalloc(p, sizeof(*record));
    PWK_DIR_MEMBERS(MERGE)
    return record;
}

pwk_server *pwk_config_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &payway_klarna_module);
}

pwk_site *pwk_config_site(const server_rec *s)
{
    return pwk_config_server(s)->site;
}

const pwk_dir *pwk_config_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &payway_klarna_module);
}

int pwk_dir_flag(int member, int fallback)
{
    return member == -1 ? fallback : member;
}

int pwk_dir_reader(const pwk_dir *dir)
{
    return pwk_dir_flag(dir->reader, 0);
}

const char *pwk_dir_wall(const pwk_dir *dir)
{
    return dir->wall ? dir->wall : "default";
}

int pwk_dir_wall_status(const pwk_dir *dir)
{
    return pwk_dir_flag(dir->wall_status, HTTP_PAYMENT_REQUIRED);
}

apr_interval_time_t pwk_dir_refresh_interval(const pwk_dir *dir)
{
    return dir->refresh_interval == -1 ? apr_time_from_sec(360) : dir->refresh_interval;
}

apr_interval_time_t pwk_dir_stale_if_error(const pwk_dir *dir)
{
    return dir->stale_if_error == -1 ? apr_time_from_sec(4 * 3600) : dir->stale_if_error;
}

const char *pwk_dir_cache_control(const pwk_dir *dir)
{
    return dir->cache_control ? dir->cache_control : "private, no-cache";
}

int pwk_dir_languages(const pwk_dir *dir, const char *const **names)
{
    static const char *const both[] = {"sv", "en"};
    *names = dir->languages ? (const char *const *)(const void *)dir->languages->elts : both;
    return dir->languages ? dir->languages->nelts : 2;
}
