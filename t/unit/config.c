/* src/httpd/pwk_config: every member of both records is made unset, inherited, and overridden. The lists of members are
 * the ones that the code is generated from, so a new member is tested the moment it exists. */
#include "unit.h"

#include "../../src/httpd/pwk_config.c"

module AP_MODULE_DECLARE_DATA payway_klarna_module;

/* Values that no member is unset to, told apart by `n`. Pointers are never followed here. */
#define VALUE(type, n) ((type)(intptr_t)(4096 + 16 * (n)))

#define IS_UNSET(type, name, unset)                                                                                    \
    if (made->name != (unset))                                                                                         \
        fail_msg(#name " is not made unset");
#define INHERITS(type, name, unset)                                                                                    \
    {                                                                                                                  \
        under->name = VALUE(type, 9);                                                                                  \
        over->name = (unset);                                                                                          \
        merged = merge(pool, under, over);                                                                             \
        if (merged->name != VALUE(type, 9) || (void *)merged == (void *)under)                                         \
            fail_msg(#name " is not inherited");                                                                       \
        over->name = VALUE(type, 7);                                                                                   \
        merged = merge(pool, under, over);                                                                             \
        if (merged->name != VALUE(type, 7))                                                                            \
            fail_msg(#name " is not overridden");                                                                      \
        over->name = under->name = (unset);                                                                            \
        merged = merge(pool, under, over);                                                                             \
        if (merged->name != (unset))                                                                                   \
            fail_msg(#name " does not stay unset");                                                                    \
        count++;                                                                                                       \
    }

static void server_members(void **state)
{
    pwk_server *made = pwk_config_create_server(pool, NULL), *under = made, *merged;
    pwk_server *over = pwk_config_create_server(pool, NULL);
    void *(*merge)(apr_pool_t *, void *, void *) = pwk_config_merge_server;
    int count = 0;

    (void)state;
    PWK_SERVER_MEMBERS(IS_UNSET)
    PWK_SERVER_MEMBERS(INHERITS)
    assert_true(count > 20);
    /* A site is made at start-up of one virtual host and never handed on. */
    under->site = VALUE(pwk_site *, 1);
    merged = merge(pool, under, over);
    assert_null(merged->site);
}

static void directory_members(void **state)
{
    pwk_dir *made = pwk_config_create_dir(pool, NULL), *under = made, *merged;
    pwk_dir *over = pwk_config_create_dir(pool, NULL);
    void *(*merge)(apr_pool_t *, void *, void *) = pwk_config_merge_dir;
    int count = 0;

    (void)state;
    PWK_DIR_MEMBERS(IS_UNSET)
    PWK_DIR_MEMBERS(INHERITS)
    assert_true(count > 12);
}

static void off_overrides_on(void **state)
{
    pwk_dir *under = pwk_config_create_dir(pool, NULL), *over = pwk_config_create_dir(pool, NULL), *merged;

    (void)state;
    under->reader = 1;
    over->reader = 0;
    under->raise_on_ssn_already_taken_error = 0;
    merged = pwk_config_merge_dir(pool, under, over);
    assert_int_equal(pwk_dir_reader(merged), 0);
    assert_int_equal(pwk_dir_flag(merged->raise_on_ssn_already_taken_error, 1), 0);
}

static void defaults(void **state)
{
    const pwk_dir *dir = pwk_config_create_dir(pool, NULL);
    const char *const *languages;

    (void)state;
    assert_int_equal(pwk_dir_reader(dir), 0);
    assert_string_equal(pwk_dir_wall(dir), "default");
    assert_int_equal(pwk_dir_wall_status(dir), 402);
    assert_int_equal(pwk_dir_refresh_interval(dir), apr_time_from_sec(360));
    assert_int_equal(pwk_dir_stale_if_error(dir), apr_time_from_sec(4 * 3600));
    assert_string_equal(pwk_dir_cache_control(dir), "private, no-cache");
    assert_int_equal(pwk_dir_languages(dir, &languages), 2);
    assert_string_equal(languages[0], "sv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_members),
        cmocka_unit_test(directory_members),
        cmocka_unit_test(off_overrides_on),
        cmocka_unit_test(defaults),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("config", tests, unit_begin, unit_end);
}
