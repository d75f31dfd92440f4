/* src/httpd/pwk_ledger and the pwk_database under it: every answer of every function, on a real SQLite file; the same
 * on PostgreSQL when PWK_TEST_PGSQL holds the parameters of a database that may be emptied. The drivers' calls go
 * through here, so that an answer can be lost at will. */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_dbd.h>

/* What happens to the next calls of the driver: after `pass` good ones, `fail` bad ones, executed or not. */
static struct fault {
    int pass, fail, executed;
} on_write, on_read;

static int faulty_pquery(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, int *n,
                         apr_dbd_prepared_t *prepared, int count, const char **values);
static int faulty_pselect(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, apr_dbd_results_t **results,
                          apr_dbd_prepared_t *prepared, int random, int count, const char **values);
#define apr_dbd_pquery faulty_pquery
#define apr_dbd_pselect faulty_pselect
#include "../../src/httpd/pwk_database.c"
#undef apr_dbd_pquery
#undef apr_dbd_pselect
#include "../../src/httpd/pwk_guard.c"
#include "../../src/httpd/pwk_table.c"
#include "../../src/httpd/pwk_ledger.c"

#define PROCESSES 4
#define THREADS 16
#define NOW apr_time_from_sec(1700000000)
#define S(n) apr_time_from_sec(n)
#define A_FEW_SECONDS S(7)

static int strikes(struct fault *fault)
{
    if (!fault->fail) {
        return 0;
    }
    if (fault->pass) {
        fault->pass--;
        return 0;
    }
    fault->fail--;
    return 1;
}

static int faulty_pquery(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, int *n,
                         apr_dbd_prepared_t *prepared, int count, const char **values)
{
    if (strikes(&on_write)) {
        if (on_write.executed) {
            assert_int_equal(apr_dbd_pquery(driver, p, handle, n, prepared, count, values), 0);
        }
        *n = 1; /* an old count, as the drivers leave one */
        return 5;
    }
    return apr_dbd_pquery(driver, p, handle, n, prepared, count, values);
}

static int faulty_pselect(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, apr_dbd_results_t **results,
                          apr_dbd_prepared_t *prepared, int random, int count, const char **values)
{
    return strikes(&on_read) ? 5 : apr_dbd_pselect(driver, p, handle, results, prepared, random, count, values);
}

static void lose_writes(int pass, int fail, int executed)
{
    on_write = (struct fault){pass, fail, executed};
}

static void lose_reads(int pass, int fail)
{
    on_read = (struct fault){pass, fail, 0};
}

/* --- a database of our own --- */

static const char *driver_name, *params, *directory;

static int is_file(void)
{
    return !strcmp(driver_name, "sqlite3");
}

/* Complaints since the last look. */
static struct {
    int count;
    apr_status_t rv;
    char words[1024];
} complaints;

static void complain(void *context, apr_status_t rv, const char *doing, const char *detail)
{
    assert_ptr_equal(context, &complaints);
    assert_true(rv != APR_SUCCESS && *doing && *detail);
    assert_true(strlen(detail) <= 200);
    for (const char *c = detail; *c; c++) {
        assert_true(*c >= ' ' && *c <= '~');
    }
    __atomic_add_fetch(&complaints.count, 1, __ATOMIC_SEQ_CST);
    complaints.rv = rv;
    snprintf(complaints.words, sizeof(complaints.words), "%s: %s", doing, detail);
}

static void no_complaint(void)
{
    if (complaints.count) {
        fail_msg("complained: %s", complaints.words);
    }
}

/* Exactly one complaint, about `rv`. */
static void one_complaint(apr_status_t rv)
{
    assert_int_equal(complaints.count, 1);
    assert_int_equal(complaints.rv, rv);
    complaints.count = 0;
}

/* A ledger stays when its pool is gone (close_database): no leak to look for. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:apr_pool_create_unmanaged_ex";
}

static pwk_ledger *ledger_of(const char *of, apr_pool_t *p)
{
    pwk_ledger *made_now;

    assert_int_equal(pwk_ledger_create(&made_now, driver_name, of, complain, &complaints, p), APR_SUCCESS);
    return made_now;
}

static pwk_ledger *open_ledger_in(apr_pool_t *p)
{
    return ledger_of(params, p);
}

/* A connection past the ledger. */
static const apr_dbd_driver_t *raw_driver;
static apr_dbd_t *raw;

static int raw_write(const char *sql)
{
    int n = 0;

    return apr_dbd_query(raw_driver, raw, &n, sql);
}

static const char *raw_value(const char *sql)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    const char *value = NULL;

    assert_int_equal(apr_dbd_select(raw_driver, pool, raw, &results, sql, 1), 0);
    while (!apr_dbd_get_row(raw_driver, pool, results, &row, -1)) {
        value = apr_pstrdup(pool, apr_dbd_get_entry(raw_driver, row, 0));
    }
    return value;
}

static void raw_open(void)
{
    assert_int_equal(apr_dbd_init(pool), APR_SUCCESS);
    assert_int_equal(apr_dbd_get_driver(pool, driver_name, &raw_driver), APR_SUCCESS);
    assert_int_equal(apr_dbd_open(raw_driver, pool, params, &raw), APR_SUCCESS);
}

static void raw_close(void)
{
    if (raw) {
        apr_dbd_close(raw_driver, raw);
    }
    raw = NULL;
}

static void forget_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        unlink(apr_pstrcat(pool, params, ends[i], NULL));
    }
}

/* Nothing: no file, no table. */
static void empty(void)
{
    raw_close();
    if (is_file()) {
        forget_files();
    } else {
        raw_open();
        raw_write("DROP TABLE IF EXISTS payway_purchase");
        raw_write("DROP TABLE IF EXISTS payway_schema");
        raw_close();
    }
}

static apr_pool_t *ledger_pool;
static pwk_ledger *ledger;

static void begin_group(void)
{
    char template[] = "/tmp/pwk-ledger-XXXXXX";

    directory = apr_pstrdup(pool, mkdtemp(template));
    assert_int_equal(chmod(directory, 0755), 0);
    driver_name = getenv("PWK_TEST_PGSQL") ? "pgsql" : "sqlite3";
    params = is_file() ? apr_pstrcat(pool, directory, "/ledger.db", NULL) : getenv("PWK_TEST_PGSQL");
}

static int begin_all(void **state)
{
    if (unit_begin(state)) {
        return 1;
    }
    begin_group();
    return 0;
}

static int end_all(void **state)
{
    empty();
    rmdir(directory);
    return unit_end(state);
}

static int begin(void **state)
{
    (void)state;
    empty();
    memset(&complaints, 0, sizeof(complaints));
    lose_writes(0, 0, 0);
    lose_reads(0, 0);
    apr_pool_create(&ledger_pool, pool);
    ledger = open_ledger_in(ledger_pool);
    raw_open();
    return 0;
}

static int end(void **state)
{
    (void)state;
    no_complaint();
    apr_pool_destroy(ledger_pool);
    raw_close();
    return 0;
}

/* --- purchases --- */

static int made;

/* A fresh purchase of `account`; its id tells one from another. */
static pwk_purchase a_purchase(const char *account)
{
    const char *id = apr_psprintf(pool, "%032x", ++made);

    return (pwk_purchase){
        .id = id,
        .site = "https://www.example.se",
        .organisation = "example",
        .environment = "stage",
        .account = account,
        .offer = "digital",
        .code = "example_digital",
        .type = PWK_PERIOD_RECURRING,
        .period = "5f0d9ea795cfebfb8544ab12",
        .start = "",
        .products = "example_web,example_app",
        .facts = "{}",
        .sale = "sealed-sale",
        .session = "",
        .redirect = "",
        .token_hash = "",
        .order_id = "",
        .error = "",
        .field = "",
        .created = NOW,
        .changed = NOW,
        .due = NOW + S(10),
    };
}

/* … in the ledger, with `period` to tell it from others of the account. */
static pwk_purchase begun(const char *account)
{
    pwk_purchase purchase = a_purchase(account), other;

    purchase.period = purchase.id;
    assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    return purchase;
}

static void authorise(pwk_purchase *purchase, const char *token)
{
    purchase->token_hash = token;
    purchase->claimed = NOW + S(100);
    purchase->due = NOW + S(160);
    purchase->grant_from = NOW + S(100);
    purchase->grant_until = NOW + S(86500);
}

static pwk_purchase claimed(const char *account, const char *token)
{
    pwk_purchase purchase = begun(account), other;

    authorise(&purchase, token);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    return purchase;
}

static pwk_purchase row_of(const char *id)
{
    pwk_purchase row;

    assert_int_equal(pwk_ledger_read(&row, ledger, id, pool), APR_SUCCESS);
    return row;
}

static pwk_purchase_state state_of(const char *id)
{
    return row_of(id).state;
}

static void same(const pwk_purchase *a, const pwk_purchase *b)
{
    for (int i = 0; i < MEMBER_COUNT; i++) {
        assert_string_equal(value_of(a, &members[i], pool), value_of(b, &members[i], pool));
    }
}

/* --- one row --- */

static void every_member_comes_back(void **state)
{
    pwk_purchase purchase = {0}, row, other;

    (void)state;
    /* A value of its own for each, so that no two can be exchanged. */
    for (int i = 0; i < MEMBER_COUNT; i++) {
        void *at = (char *)&purchase + members[i].offset;
        switch (members[i].kind) {
        case KIND_TEXT:
            *(const char **)at = apr_psprintf(pool, "text %d", i);
            break;
        case KIND_INT:
            *(int *)at = 1000 + i;
            break;
        case KIND_TIME:
            *(apr_time_t *)at = S(5000000000 + i); /* past 2038 and 32 bits */
            break;
        case KIND_TYPE:
            *(pwk_period_type *)at = PWK_PERIOD_RECURRING;
            break;
        case KIND_STATE:
            break;
        }
    }
    purchase.state = PWK_PURCHASE_PLACED;
    assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    row = row_of(purchase.id);
    purchase.state = PWK_PURCHASE_CREATED;
    purchase.session = "";
    purchase.next_look = purchase.expires;
    same(&row, &purchase);
    assert_int_equal(row.type, PWK_PERIOD_RECURRING);
    assert_string_equal(raw_value("SELECT start_date FROM payway_purchase"), purchase.start);
    assert_string_equal(raw_value("SELECT period_id FROM payway_purchase"), purchase.period);
    assert_string_equal(raw_value("SELECT period_type FROM payway_purchase"), "recurring");
    assert_string_equal(raw_value("SELECT expires FROM payway_purchase"),
                        apr_psprintf(pool, "%ld", (long)apr_time_sec(purchase.expires)));

    purchase = a_purchase("limited");
    purchase.type = PWK_PERIOD_LIMITED;
    purchase.created += 999999; /* to whole seconds */
    assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    row = row_of(purchase.id);
    assert_int_equal(row.type, PWK_PERIOD_LIMITED);
    assert_int_equal(row.created, NOW);
}

static void any_text(void **state)
{
    const char *const texts[] = {
        "O'Brien \"x\" `y` \\ \\' ''",
        "%s %d %lld %% %n $1 ? :a @b",
        "'; DROP TABLE payway_purchase; --",
        "räksmörgås 日本語 \xf0\x9f\x93\xb0",
        "\x01\t\r\n\x7f",
        "{\"a\": \"b\\u0000c\"}",
        " leading and trailing ",
        "0012",
        "1e3",
        "NULL",
        repeated('x', 4096),
        repeated('\'', 4096),
        repeated('m', 16000),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        pwk_purchase purchase = a_purchase(texts[i]), row, other;
        purchase.facts = purchase.sale = purchase.offer = texts[i];
        purchase.period = i < 11 ? texts[i] : "";
        if (strlen(texts[i]) > 2000 && !is_file()) { /* PostgreSQL's indexes take 2 kB; an account has 64 bytes */
            purchase.account = purchase.offer = "long";
            purchase.period = purchase.id;
        }
        assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
        row = row_of(purchase.id);
        same(&row, &purchase);
        assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_EEXIST);
        assert_int_equal(pwk_ledger_fill(ledger, row.id, texts[i], NOW, NOW, pool), APR_SUCCESS);
        assert_string_equal(row_of(row.id).session, texts[i]);
        assert_int_equal(pwk_ledger_read(&row, ledger, texts[i], pool), APR_NOTFOUND);
        assert_int_equal(pwk_ledger_running(&row, ledger, texts[i], texts[i], texts[i], pool), APR_NOTFOUND);
    }
}

static void null_texts_are_empty(void **state)
{
    pwk_purchase purchase = a_purchase("a"), other;

    (void)state;
    purchase.start = purchase.error = purchase.redirect = NULL;
    assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    assert_string_equal(row_of(purchase.id).start, "");
    assert_string_equal(row_of(purchase.id).redirect, "");
}

static void a_row_of_another_kind_is_an_error(void **state)
{
    pwk_purchase purchase = begun("a"), row = {.id = "before"};
    apr_array_header_t *rows;

    (void)state;
    assert_int_equal(raw_write("UPDATE payway_purchase SET state = 'sold'"), 0);
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_null(strstr(complaints.words, "sold"));
    assert_int_equal(
        raw_write("UPDATE payway_purchase SET state = 'placed', grant_until = 9999999999, period_type = 'weekly'"), 0);
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    /* No half of it is handed out. */
    assert_string_equal(row.id, "before");
    assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", "a", NOW, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(rows->nelts, 0);
}

/* --- CREATED --- */

static void one_created_row_for_each_sale(void **state)
{
    pwk_purchase first = a_purchase("a"), other;
    pwk_purchase twin = a_purchase("a");

    (void)state;
    assert_int_equal(pwk_ledger_begin(ledger, &first, &other, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_begin(ledger, &twin, &other, pool), APR_EEXIST);
    first.state = PWK_PURCHASE_CREATED;
    same(&other, &first);
    /* Each part of the key makes it another sale. */
#define ANOTHER(member, value)                                                                                         \
    {                                                                                                                  \
        pwk_purchase another = a_purchase("a");                                                                        \
        another.member = value;                                                                                        \
        assert_int_equal(pwk_ledger_begin(ledger, &another, &other, pool), APR_SUCCESS);                               \
    }
    ANOTHER(site, "https://b.example.se")
    ANOTHER(organisation, "b")
    ANOTHER(environment, "production")
    ANOTHER(account, "b")
    ANOTHER(offer, "b")
    ANOTHER(period, "")
    ANOTHER(start, "2026-01-01")
    /* What has gone on is not in the way. */
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_AGED, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_begin(ledger, &twin, &other, pool), APR_SUCCESS);
    assert_int_not_equal(raw_write("UPDATE payway_purchase SET state = 'created' WHERE state = 'expired'"), 0);
}

static void an_id_is_taken_once(void **state)
{
    pwk_purchase first = begun("a"), second = a_purchase("b"), other;

    (void)state;
    second.id = first.id;
    assert_int_equal(pwk_ledger_begin(ledger, &second, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_string_equal(row_of(first.id).account, "a");
}

static void take_over(void **state)
{
    pwk_purchase purchase = begun("a");
    const char *id = purchase.id;
    apr_time_t due = purchase.due;

    (void)state;
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due + S(20), pool), APR_SUCCESS);
    assert_int_equal(row_of(id).due, due + S(20));
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due + S(30), pool), APR_EBUSY);
    due += S(20);
    /* Less than a second on: still a due of its own. */
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due + 1, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due + 1, pool), APR_EBUSY);
    due += S(1);
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due, pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_take_over(ledger, "nobody", due, due + S(1), pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_fill(ledger, id, "session", NOW, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_take_over(ledger, id, due, due + S(10), pool), APR_EBUSY);
}

static void fill_and_sell(void **state)
{
    pwk_purchase purchase = begun("a"), row;

    (void)state;
    assert_int_equal(pwk_ledger_fill(ledger, purchase.id, "session", NOW + S(172800), NOW + S(5), pool), APR_SUCCESS);
    row = row_of(purchase.id);
    purchase.session = "session";
    purchase.expires = purchase.next_look = NOW + S(172800);
    purchase.changed = NOW + S(5);
    same(&row, &purchase);
    assert_int_equal(pwk_ledger_fill(ledger, purchase.id, "second", NOW, NOW, pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_sell(ledger, purchase.id, "another sale", NOW + S(6), pool), APR_SUCCESS);
    row = row_of(purchase.id);
    purchase.sale = "another sale";
    purchase.changed = NOW + S(6);
    same(&row, &purchase);
    assert_int_equal(pwk_ledger_move(ledger, &purchase, PWK_EVENT_AGED, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_sell(ledger, purchase.id, "late", NOW, pool), APR_EBUSY);
    purchase = begun("b");
    assert_int_equal(pwk_ledger_move(ledger, &purchase, PWK_EVENT_AGED, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_fill(ledger, purchase.id, "late", NOW, NOW, pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_fill(ledger, "nobody", "session", NOW, NOW, pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_sell(ledger, "nobody", "sale", NOW, pool), APR_EBUSY);
}

static void drop(void **state)
{
    pwk_purchase empty_one = begun("a"), full = begun("a"), placing = claimed("a", "t"), row;

    (void)state;
    assert_int_equal(pwk_ledger_fill(ledger, full.id, "session", NOW, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_drop(ledger, empty_one.id, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_read(&row, ledger, empty_one.id, pool), APR_NOTFOUND);
    assert_int_equal(pwk_ledger_drop(ledger, empty_one.id, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_drop(ledger, full.id, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_drop(ledger, placing.id, pool), APR_SUCCESS);
    assert_int_equal(state_of(full.id), PWK_PURCHASE_CREATED);
    assert_int_equal(state_of(placing.id), PWK_PURCHASE_PLACING);
}

/* --- the claim --- */

static void claim(void **state)
{
    pwk_purchase purchase = begun("a"), second = begun("a"), before, row, other;

    (void)state;
    authorise(&purchase, "token-a");
    purchase.claimed += 999999; /* to whole seconds */
    authorise(&second, "token-b");
    assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", "a", pool), APR_NOTFOUND);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    assert_int_equal(purchase.state, PWK_PURCHASE_PLACING);
    assert_int_equal(purchase.changed, NOW + S(100));
    row = row_of(purchase.id);
    same(&row, &purchase);
    assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", "a", pool), APR_SUCCESS);
    same(&row, &purchase);
    /* Again; another one of the reader's, which is left as it was; one that is not there. */
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_NOTFOUND);
    before = second;
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_EBUSY);
    same(&other, &purchase);
    same(&second, &before);
    assert_int_equal(state_of(second.id), PWK_PURCHASE_CREATED);
    second.id = "nobody";
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_NOTFOUND);
}

static void only_a_created_row_is_claimed(void **state)
{
    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        pwk_purchase purchase = begun(apr_psprintf(pool, "account%d", i)), row, other;
        if (i == PWK_PURCHASE_CREATED) {
            continue;
        }
        assert_int_equal(
            raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '",
                                  pwk_purchase_word((pwk_purchase_state)i), "' WHERE id = '", purchase.id, "'", NULL)),
            0);
        purchase.state = (pwk_purchase_state)i;
        row = purchase;
        authorise(&row, apr_psprintf(pool, "token%d", i));
        assert_int_equal(pwk_ledger_claim(ledger, &row, &other, pool), APR_NOTFOUND);
        row = row_of(purchase.id);
        same(&row, &purchase);
    }
}

static void claims_of_others_are_not_in_the_way(void **state)
{
    pwk_purchase here = claimed("a", "t1"), other;

    (void)state;
    (void)here;
    claimed("b", "t2");
    for (int i = 0; i < 2; i++) {
        pwk_purchase purchase = a_purchase("a");
        if (i) {
            purchase.organisation = "b";
        } else {
            purchase.environment = "production";
        }
        assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
        authorise(&purchase, i ? "t3" : "t4");
        assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    }
}

static void a_title_of_the_same_organisation_is_in_the_way(void **state)
{
    pwk_purchase here = claimed("a", "t1"), there = a_purchase("a"), other;

    (void)state;
    there.site = "https://other.example.se";
    assert_int_equal(pwk_ledger_begin(ledger, &there, &other, pool), APR_SUCCESS);
    authorise(&there, "t2");
    assert_int_equal(pwk_ledger_claim(ledger, &there, &other, pool), APR_EBUSY);
    assert_string_equal(other.id, here.id);
}

static void a_token_claims_once(void **state)
{
    pwk_purchase first = claimed("a", "token"), second = begun("a"), third = begun("b"), other;

    (void)state;
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_REFUSED, NOW, pool), APR_SUCCESS);
    authorise(&second, "token");
    authorise(&third, "token");
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_EBUSY);
    assert_string_equal(other.id, first.id);
    assert_int_equal(other.state, PWK_PURCHASE_FAILED);
    assert_int_equal(pwk_ledger_claim(ledger, &third, &other, pool), APR_EBUSY);
    assert_string_equal(other.id, first.id);
    assert_int_not_equal(raw_write("UPDATE payway_purchase SET token_hash = 'token' WHERE state = 'created'"), 0);
    /* None at all is no claim. */
    third.token_hash = "";
    assert_int_equal(pwk_ledger_claim(ledger, &third, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(state_of(third.id), PWK_PURCHASE_CREATED);
}

static void index_and_purchase_agree_on_what_runs(void **state)
{
    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        const char *account = apr_psprintf(pool, "account%d", i), *word = pwk_purchase_word((pwk_purchase_state)i);
        pwk_purchase one = begun(account), two = begun(account), other, row;
        assert_int_equal(raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '", word, "' WHERE id = '",
                                               one.id, "'", NULL)),
                         0);
        authorise(&two, apr_psprintf(pool, "token%d", i));
        if (pwk_purchase_is_running((pwk_purchase_state)i)) {
            assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", account, pool), APR_SUCCESS);
            assert_string_equal(row.id, one.id);
            assert_int_equal(pwk_ledger_claim(ledger, &two, &other, pool), APR_EBUSY);
            assert_string_equal(other.id, one.id);
            /* The index by itself. */
            assert_int_not_equal(
                raw_write(
                    apr_pstrcat(pool, "UPDATE payway_purchase SET state = 'placing' WHERE id = '", two.id, "'", NULL)),
                0);
        } else {
            assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", account, pool), APR_NOTFOUND);
            assert_int_equal(pwk_ledger_claim(ledger, &two, &other, pool), APR_SUCCESS);
        }
    }
}

/* --- moving --- */

static void every_transition(void **state)
{
    (void)state;
    for (int from = 0; from < PWK_PURCHASE_STATES; from++) {
        for (int event = 0; event < PWK_EVENTS; event++) {
            pwk_purchase purchase = claimed(apr_psprintf(pool, "a%d-%d", from, event),
                                            apr_psprintf(pool, "t%d-%d", from, event)),
                         before, row;
            pwk_purchase_state next;
            pwk_purchase_action action;
            assert_int_equal(raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '",
                                                   pwk_purchase_word((pwk_purchase_state)from), "' WHERE id = '",
                                                   purchase.id, "'", NULL)),
                             0);
            purchase = before = row_of(purchase.id);
            purchase.order_id = "order";
            purchase.error = "code";
            purchase.field = "field";
            purchase.redirect = "sealed";
            purchase.note = "note";
            purchase.shown = 1;
            if (event == PWK_EVENT_CLAIM
                || !pwk_purchase_next(&next, &action, (pwk_purchase_state)from, (pwk_purchase_event)event)) {
                assert_int_equal(pwk_ledger_move(ledger, &purchase, (pwk_purchase_event)event, NOW + S(300), pool),
                                 APR_EINVAL);
                row = row_of(before.id);
                same(&row, &before);
                continue;
            }
            assert_int_equal(pwk_ledger_move(ledger, &purchase, (pwk_purchase_event)event, NOW + S(300) + 5, pool),
                             APR_SUCCESS);
            before.state = next;
            before.changed = NOW + S(300);
            before.order_id = "order";
            before.error = "code";
            before.field = "field";
            before.redirect = "sealed";
            before.note = "note";
            before.shown = 1;
            if (event == PWK_EVENT_NOT_SENT) {
                before.token_hash = "";
                before.claimed = before.due = before.grant_from = before.grant_until = 0;
            }
            before.next_look = pwk_schedule_next(&before, NOW + S(300));
            same(&purchase, &before);
            row = row_of(before.id);
            same(&row, &before);
        }
    }
}

static void a_move_from_a_state_that_is_past(void **state)
{
    pwk_purchase answered = claimed("a", "t"), overdue = answered, row;

    (void)state;
    assert_int_equal(pwk_ledger_move(ledger, &overdue, PWK_EVENT_OVERDUE, NOW, pool), APR_SUCCESS);
    answered.order_id = "order";
    assert_int_equal(pwk_ledger_move(ledger, &answered, PWK_EVENT_ACCEPTED, NOW, pool), APR_EBUSY);
    assert_int_equal(answered.state, PWK_PURCHASE_PLACING);
    answered.state = PWK_PURCHASE_UNKNOWN;
    assert_int_equal(pwk_ledger_move(ledger, &answered, PWK_EVENT_ACCEPTED, NOW, pool), APR_SUCCESS);
    row = row_of(answered.id);
    assert_int_equal(row.state, PWK_PURCHASE_PLACED);
    assert_string_equal(row.order_id, "order");
    answered.id = "nobody";
    assert_int_equal(pwk_ledger_move(ledger, &answered, PWK_EVENT_SHOWN, NOW, pool), APR_EBUSY);
}

/* Placing, given back, placing again: whoever read it the first time has no say in the second. */
static void the_same_state_of_another_claim(void **state)
{
    pwk_purchase first = claimed("a", "t1"), seen = first, second, other;

    (void)state;
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_NOT_SENT, NOW, pool), APR_SUCCESS);
    second = row_of(first.id);
    authorise(&second, "t2");
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_move(ledger, &seen, PWK_EVENT_OVERDUE, NOW, pool), APR_EBUSY);
    assert_int_equal(state_of(first.id), PWK_PURCHASE_PLACING);
}

static void not_sent_when_its_place_is_taken(void **state)
{
    pwk_purchase first = claimed("a", "t1"), second = a_purchase("a"), row, other;

    (void)state;
    second.period = first.period;
    assert_int_equal(pwk_ledger_begin(ledger, &second, &other, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_NOT_SENT, NOW, pool), APR_EEXIST);
    one_complaint(APR_EEXIST);
    assert_null(strstr(complaints.words, first.period));
    assert_int_equal(first.state, PWK_PURCHASE_PLACING);
    assert_int_equal(state_of(first.id), PWK_PURCHASE_PLACING);
    /* The way out (commit of pwk_authorize): it ends, and the account may buy by the other one. */
    authorise(&second, "t2");
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_EBUSY);
    first.error = "not_sent";
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_REFUSED, NOW, pool), APR_SUCCESS);
    row = row_of(first.id);
    assert_int_equal(row.state, PWK_PURCHASE_FAILED);
    assert_string_equal(row.error, "not_sent");
    assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", "a", pool), APR_NOTFOUND);
    assert_int_equal(pwk_ledger_claim(ledger, &second, &other, pool), APR_SUCCESS);
}

static void a_lease_is_one_searchers(void **state)
{
    pwk_purchase one = claimed("a", "t"), two;

    (void)state;
    assert_int_equal(pwk_ledger_move(ledger, &one, PWK_EVENT_LOST, NOW, pool), APR_SUCCESS);
    two = one;
    assert_int_equal(pwk_ledger_lease(ledger, &one, NOW + S(5), pool), APR_SUCCESS);
    assert_int_equal(one.looked, NOW + S(5));
    assert_int_equal(pwk_ledger_lease(ledger, &two, NOW + S(5), pool), APR_EBUSY);
    two = row_of(one.id);
    assert_int_equal(two.looked, NOW + S(5));
    /* Within the same second there is nothing to swap. */
    assert_int_equal(pwk_ledger_lease(ledger, &two, NOW + S(5) + 999999, pool), APR_EBUSY);
    assert_int_equal(pwk_ledger_lease(ledger, &two, NOW + S(6), pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_lease(ledger, &one, NOW + S(10), pool), APR_EBUSY);
    assert_int_equal(one.looked, NOW + S(5));
    assert_int_equal(pwk_ledger_move(ledger, &one, PWK_EVENT_FOUND, NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_lease(ledger, &two, NOW + S(20), pool), APR_EBUSY);
}

static void readings_without_the_order(void **state)
{
    pwk_purchase one = claimed("a", "t"), two;

    (void)state;
    assert_int_equal(pwk_ledger_move(ledger, &one, PWK_EVENT_LOST, NOW, pool), APR_SUCCESS);
    two = one;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(pwk_ledger_note_absent(ledger, &one, NOW + S(i), pool), APR_SUCCESS);
        assert_int_equal(one.negatives, i);
        assert_int_equal(row_of(one.id).negatives, i);
    }
    /* One that is behind learns the count and adds nothing to it. */
    assert_int_equal(pwk_ledger_note_absent(ledger, &two, NOW, pool), APR_SUCCESS);
    assert_int_equal(two.negatives, 3);
    assert_int_equal(row_of(one.id).negatives, 3);
    one.id = "nobody";
    assert_int_equal(pwk_ledger_note_absent(ledger, &one, NOW, pool), APR_NOTFOUND);
    one_complaint(APR_NOTFOUND);
}

/* --- grants --- */

static void grants(void **state)
{
    apr_array_header_t *rows;

    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        const char *account = apr_psprintf(pool, "account%d", i);
        pwk_purchase purchase = claimed(account, account);
        int grants_then = i == PWK_PURCHASE_PLACED || i == PWK_PURCHASE_UNKNOWN || i == PWK_PURCHASE_CONFIRMED;
        assert_int_equal(
            raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '",
                                  pwk_purchase_word((pwk_purchase_state)i), "' WHERE id = '", purchase.id, "'", NULL)),
            0);
        purchase.state = (pwk_purchase_state)i;
        for (int before = -1; before <= 1; before++) {
            apr_time_t now = purchase.grant_until - S(before);
            assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", account, now, pool), APR_SUCCESS);
            /* in PLACING: past its due, which is long before */
            assert_int_equal(rows->nelts, (grants_then || i == PWK_PURCHASE_PLACING) && before > 0);
            assert_int_equal(pwk_purchase_grants(&purchase, now), grants_then && before > 0);
        }
        assert_int_equal(pwk_ledger_granting(&rows, ledger, "b", "stage", account, NOW, pool), APR_SUCCESS);
        assert_int_equal(rows->nelts, 0);
        assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "b", account, NOW, pool), APR_SUCCESS);
        assert_int_equal(rows->nelts, 0);
        if (i == PWK_PURCHASE_PLACING) {
            for (int late = 0; late <= 1; late++) {
                assert_int_equal(
                    pwk_ledger_granting(&rows, ledger, "example", "stage", account, purchase.due + S(late), pool),
                    APR_SUCCESS);
                assert_int_equal(rows->nelts, late);
            }
        }
        if (grants_then) {
            assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", account, NOW, pool), APR_SUCCESS);
            assert_int_equal(rows->nelts, 1);
            same(&APR_ARRAY_IDX(rows, 0, pwk_purchase), &purchase);
            assert_int_equal(pwk_ledger_note_shown(ledger, purchase.id, NOW + S(500), pool), APR_SUCCESS);
            assert_int_equal(row_of(purchase.id).shown, 1);
            assert_int_equal(row_of(purchase.id).state, i);
            /* one that is PLACED waits to be confirmed all the same */
            assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", account, NOW, pool), APR_SUCCESS);
            assert_int_equal(rows->nelts, i == PWK_PURCHASE_PLACED);
        }
    }
    assert_int_equal(pwk_ledger_note_shown(ledger, "nobody", NOW, pool), APR_SUCCESS);
}

static void what_finished_meanwhile(void **state)
{
    pwk_purchase own = begun("finished"), found;

    (void)state;
    assert_int_equal(raw_write("UPDATE payway_purchase SET state = 'expired'"), 0);
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        const char *word = pwk_purchase_word((pwk_purchase_state)i);
        pwk_purchase other = claimed("finished", word);
        int is_placed = i == PWK_PURCHASE_PLACED || i == PWK_PURCHASE_CONFIRMED || i == PWK_PURCHASE_UNKNOWN
                        || i == PWK_PURCHASE_MANUAL;
        assert_int_equal(raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '", word, "' WHERE id = '",
                                               other.id, "'", NULL)),
                         0);
        for (int since = -1; since <= 1; since++) {
            assert_int_equal(pwk_ledger_finished(&found, ledger, &own, other.changed + S(since), pool),
                             is_placed && since <= 0 ? APR_SUCCESS : APR_NOTFOUND);
        }
        assert_int_equal(pwk_ledger_finished(&found, ledger, &other, 0, pool), APR_NOTFOUND);
        assert_int_equal(raw_write("UPDATE payway_purchase SET state = 'expired'"), 0);
    }
}

static void the_newest_grants_first(void **state)
{
    apr_array_header_t *rows;

    (void)state;
    for (int i = 0; i < 40; i++) {
        pwk_purchase purchase = a_purchase("a"), other;
        purchase.created = NOW + S((i * 7) % 40);
        purchase.period = purchase.id;
        purchase.grant_until = NOW + S(1000);
        assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    }
    assert_int_equal(raw_write("UPDATE payway_purchase SET state = 'confirmed'"), 0);
    assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", "a", NOW, pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 32);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(APR_ARRAY_IDX(rows, i, pwk_purchase).created, NOW + S(39 - i));
    }
}

/* --- lost answers --- */

static void a_claim_whose_answer_is_lost(void **state)
{
    pwk_purchase purchase = begun("a"), other;

    (void)state;
    authorise(&purchase, "t1");
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_PLACING);

    /* Never executed, once: done the second time. */
    purchase = begun("b");
    authorise(&purchase, "t2");
    lose_writes(0, 1, 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_PLACING);

    /* Never executed at all: nothing was claimed. */
    purchase = begun("c");
    authorise(&purchase, "t3");
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_CREATED);

    /* Executed, and no attempt gets its answer: the row tells. */
    purchase = begun("d0");
    authorise(&purchase, "t40");
    lose_writes(0, 2, 1);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);

    /* … nor does the write that would make sure of it: whether it is on disk nobody knows, and nothing is sent. */
    purchase = begun("d1");
    authorise(&purchase, "t41");
    lose_writes(0, 3, 1);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_NOTFOUND);
    no_complaint();
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_PLACING);

    /* … and the first look at the row fails too: the second tells. */
    purchase = begun("d");
    authorise(&purchase, "t4");
    lose_writes(0, 1, 1);
    lose_reads(0, 1);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);

    /* Executed, and nothing can be read: that is neither yes nor no. */
    purchase = begun("e");
    authorise(&purchase, "t5");
    lose_writes(0, 1, 1);
    lose_reads(0, 9);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    lose_reads(0, 0);
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_PLACING);
}

/* The same form twice in one second: the row has the twin's token hash and time, and is not the twin's. */
static void a_twin_of_the_claim_does_not_win_by_an_error(void **state)
{
    pwk_purchase purchase = begun("a"), other;

    (void)state;
    authorise(&purchase, "t");
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    for (int fail = 1; fail <= 2; fail++) {
        lose_writes(0, fail, 0);
        assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_NOTFOUND);
        no_complaint();
    }
}

/* An error beside a purchase that runs: that it runs is the better answer. */
static void an_error_of_a_claim_that_had_no_chance(void **state)
{
    pwk_purchase running = claimed("a", "t1"), purchase = begun("a"), replay = begun("b"), other;

    (void)state;
    authorise(&purchase, "t2");
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EBUSY);
    assert_string_equal(other.id, running.id);
    authorise(&replay, "t1");
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_claim(ledger, &replay, &other, pool), APR_EBUSY);
    assert_string_equal(other.id, running.id);
}

static void other_lost_answers(void **state)
{
    pwk_purchase purchase = a_purchase("a"), twin = a_purchase("a"), other;
    const char *id = purchase.id;

    (void)state;
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_begin(ledger, &purchase, &other, pool), APR_SUCCESS);
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_begin(ledger, &twin, &other, pool), APR_EEXIST);
    assert_string_equal(other.id, id);
    twin.account = "b";
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_begin(ledger, &twin, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_take_over(ledger, id, purchase.due, purchase.due + S(9), pool), APR_SUCCESS);
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_take_over(ledger, id, purchase.due, purchase.due + S(9), pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    /* Done, and nothing can be read: not EBUSY, which would say that somebody else did it. */
    twin = begun("d");
    lose_writes(0, 1, 1);
    lose_reads(0, 9);
    assert_int_equal(pwk_ledger_fill(ledger, twin.id, "session", NOW, NOW, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    lose_reads(0, 0);
    assert_string_equal(row_of(twin.id).session, "session");
    twin = a_purchase("e");
    lose_writes(0, 1, 1);
    lose_reads(0, 1);
    assert_int_equal(pwk_ledger_begin(ledger, &twin, &other, pool), APR_SUCCESS);
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_fill(ledger, id, "session", NOW, NOW, pool), APR_SUCCESS);
    lose_writes(0, 2, 1);
    assert_int_equal(pwk_ledger_sell(ledger, id, "sale", NOW, pool), APR_SUCCESS);
    purchase = row_of(id);
    authorise(&purchase, "t");
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    purchase = twin = row_of(id);
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_move(ledger, &purchase, PWK_EVENT_LOST, NOW, pool), APR_SUCCESS);
    assert_int_equal(purchase.state, PWK_PURCHASE_UNKNOWN);
    lose_writes(0, 1, 0);
    assert_int_equal(pwk_ledger_move(ledger, &twin, PWK_EVENT_OVERDUE, NOW, pool), APR_EBUSY);
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_move(ledger, &purchase, PWK_EVENT_FOUND, NOW, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(purchase.state, PWK_PURCHASE_UNKNOWN);
    twin = purchase;
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_lease(ledger, &purchase, NOW, pool), APR_SUCCESS);
    lose_writes(0, 1, 0);
    assert_int_equal(pwk_ledger_lease(ledger, &twin, NOW, pool), APR_EBUSY);
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_note_absent(ledger, &purchase, NOW, pool), APR_SUCCESS);
    assert_int_equal(purchase.negatives, 1);
    assert_int_equal(row_of(id).negatives, 1);
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_note_shown(ledger, id, NOW, pool), APR_SUCCESS);
    twin = begun("c");
    lose_writes(0, 1, 1);
    assert_int_equal(pwk_ledger_drop(ledger, twin.id, pool), APR_SUCCESS);
    lose_writes(0, 2, 0);
    assert_int_equal(pwk_ledger_drop(ledger, twin.id, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
}

static void reading_is_tried_twice(void **state)
{
    pwk_purchase purchase = begun("a"), row;
    apr_array_header_t *rows;

    (void)state;
    lose_reads(0, 1);
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_SUCCESS);
    lose_reads(0, 2);
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    lose_reads(0, 2);
    assert_int_equal(pwk_ledger_running(&row, ledger, "example", "stage", "a", pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    lose_reads(0, 2);
    assert_int_equal(pwk_ledger_granting(&rows, ledger, "example", "stage", "a", NOW, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
}

/* Statements prepared before it are of no use any more. */
static void a_database_that_changed_under_it(void **state)
{
    pwk_purchase purchase = begun("a"), row, other;

    (void)state;
    if (is_file()) {
        assert_int_equal(raw_write("VACUUM"), 0);
        assert_int_equal(raw_write("CREATE INDEX later ON payway_purchase (created)"), 0);
    } else {
        raw_value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                  " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
    }
    authorise(&purchase, "t");
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    if (is_file()) {
        assert_int_equal(raw_write("VACUUM"), 0);
    }
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_SUCCESS);
}

/* --- many at once --- */

typedef struct {
    int ready, go, won, busy, not_found, exists, failed, complained;
    char winner[64], others[PROCESSES * THREADS][64];
} arena;

typedef struct {
    pwk_ledger *ledger;
    arena *arena;
    apr_pool_t *p;
    pwk_purchase purchase;
    int begins;
} fighter;

static int count(int *counter)
{
    return __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static int value(const int *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

static void *fight(void *data)
{
    fighter *f = data;
    pwk_purchase other = {0};
    apr_status_t rv;

    count(&f->arena->ready);
    while (!value(&f->arena->go)) {
        usleep(100);
    }
    rv = f->begins ? pwk_ledger_begin(f->ledger, &f->purchase, &other, f->p)
                   : pwk_ledger_claim(f->ledger, &f->purchase, &other, f->p);
    if (rv == APR_SUCCESS) {
        count(&f->arena->won);
        strcpy(f->arena->winner, f->purchase.id);
    } else if (rv == APR_NOTFOUND) {
        count(&f->arena->not_found);
    } else if (rv == APR_EBUSY || rv == APR_EEXIST) {
        strcpy(f->arena->others[count(rv == APR_EBUSY ? &f->arena->busy : &f->arena->exists) - 1], other.id);
    } else {
        count(&f->arena->failed);
    }
    return NULL;
}

/* THREADS fighters in this process. */
static void fight_here(arena *a, pwk_purchase (*purchase_of)(int process, int thread), int process, int begins)
{
    pthread_t threads[THREADS];
    fighter fighters[THREADS];
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    memset(&complaints, 0, sizeof(complaints));
    pwk_ledger *own = open_ledger_in(p);
    for (int i = 0; i < THREADS; i++) {
        fighters[i] = (fighter){.ledger = own, .arena = a, .purchase = purchase_of(process, i), .begins = begins};
        assert_int_equal(apr_pool_create_unmanaged_ex(&fighters[i].p, NULL, NULL), APR_SUCCESS);
        assert_int_equal(pthread_create(&threads[i], NULL, fight, &fighters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        apr_pool_destroy(fighters[i].p);
    }
    if (complaints.count) {
        print_message("# %s\n", complaints.words);
        count(&a->complained);
    }
    apr_pool_destroy(p);
}

static arena *an_arena(void)
{
    void *shared = mmap(NULL, sizeof(arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(shared != MAP_FAILED);
    return shared;
}

static void many_at_once(arena *a, pwk_purchase (*purchase_of)(int process, int thread), int begins)
{
    pid_t children[PROCESSES];

    raw_close();
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (!children[i]) {
            fight_here(a, purchase_of, i, begins);
            _exit(0);
        }
    }
    while (value(&a->ready) < PROCESSES * THREADS) {
        usleep(100);
    }
    count(&a->go);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    raw_open();
    assert_int_equal(a->failed, 0);
    assert_int_equal(a->complained, 0);
    assert_int_equal(a->won, 1);
    for (int i = 0; i < a->busy + a->exists; i++) {
        assert_string_equal(a->others[i], a->winner); /* whoever lost was told to whom */
    }
}

static pwk_purchase fought_for[PROCESSES * THREADS];

static pwk_purchase the_same_purchase(int process, int thread)
{
    (void)process;
    (void)thread;
    return fought_for[0];
}

static pwk_purchase one_each(int process, int thread)
{
    return fought_for[process * THREADS + thread];
}

static void one_row_claimed_by_many(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        arena *a = an_arena();
        fought_for[0] = begun(apr_psprintf(pool, "a%d", round));
        authorise(&fought_for[0], apr_psprintf(pool, "t%d", round));
        many_at_once(a, the_same_purchase, 0);
        assert_int_equal(a->not_found, PROCESSES * THREADS - 1);
        assert_int_equal(state_of(fought_for[0].id), PWK_PURCHASE_PLACING);
        munmap(a, sizeof(*a));
    }
}

static void one_account_claimed_by_many(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        arena *a = an_arena();
        for (int i = 0; i < PROCESSES * THREADS; i++) {
            fought_for[i] = begun(apr_psprintf(pool, "a%d", round));
            authorise(&fought_for[i], fought_for[i].id);
        }
        many_at_once(a, one_each, 0);
        assert_int_equal(a->busy, PROCESSES * THREADS - 1);
        assert_int_equal(state_of(a->winner), PWK_PURCHASE_PLACING);
        munmap(a, sizeof(*a));
    }
    assert_string_equal(raw_value("SELECT count(*) FROM payway_purchase WHERE state = 'placing'"), "5");
}

static void one_token_claimed_by_many(void **state)
{
    arena *a = an_arena();

    (void)state;
    for (int i = 0; i < PROCESSES * THREADS; i++) {
        fought_for[i] = begun(apr_psprintf(pool, "a%d", i));
        authorise(&fought_for[i], "token");
    }
    many_at_once(a, one_each, 0);
    assert_int_equal(a->busy, PROCESSES * THREADS - 1);
    munmap(a, sizeof(*a));
    assert_string_equal(raw_value("SELECT count(*) FROM payway_purchase WHERE state = 'placing'"), "1");
}

static void one_sale_begun_by_many(void **state)
{
    arena *a = an_arena();

    (void)state;
    for (int i = 0; i < PROCESSES * THREADS; i++) {
        fought_for[i] = a_purchase("a");
    }
    many_at_once(a, one_each, 1);
    assert_int_equal(a->exists, PROCESSES * THREADS - 1);
    munmap(a, sizeof(*a));
    assert_string_equal(raw_value("SELECT count(*) FROM payway_purchase"), "1");
}

/* … which also makes the tables, in all processes at the same moment. */
static void tables_made_by_many(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        arena *a = an_arena();
        empty();
        for (int i = 0; i < PROCESSES * THREADS; i++) {
            fought_for[i] = a_purchase("a");
        }
        many_at_once(a, one_each, 1);
        assert_int_equal(a->exists, PROCESSES * THREADS - 1);
        munmap(a, sizeof(*a));
        assert_string_equal(raw_value("SELECT count(*) FROM payway_purchase"), "1");
        assert_string_equal(raw_value("SELECT count(*) FROM payway_schema"), "1");
        if (!is_file()) {
            continue; /* the ledger of this test has no connection to lose */
        }
        assert_string_equal(raw_value("PRAGMA integrity_check"), "ok");
    }
}

/* --- a database that cannot be used --- */

/* Each call fails with `rv`, soon, with one complaint. */
static void everything_fails(pwk_ledger *with, apr_status_t rv)
{
    pwk_purchase purchase = a_purchase("a"), other;
    apr_array_header_t *rows;
    apr_time_t begun_at;
    int forgotten;

    authorise(&purchase, "t");
#define FAILS(call)                                                                                                    \
    begun_at = apr_time_now();                                                                                         \
    assert_int_equal(call, rv);                                                                                        \
    one_complaint(rv);                                                                                                 \
    assert_true(apr_time_now() - begun_at < A_FEW_SECONDS);
    FAILS(pwk_ledger_read(&other, with, "id", pool))
    FAILS(pwk_ledger_begin(with, &purchase, &other, pool))
    FAILS(pwk_ledger_take_over(with, "id", NOW, NOW + S(1), pool))
    FAILS(pwk_ledger_fill(with, "id", "session", NOW, NOW, pool))
    FAILS(pwk_ledger_sell(with, "id", "sale", NOW, pool))
    FAILS(pwk_ledger_drop(with, "id", pool))
    FAILS(pwk_ledger_claim(with, &purchase, &other, pool))
    FAILS(pwk_ledger_running(&other, with, "o", "e", "a", pool))
    FAILS(pwk_ledger_granting(&rows, with, "o", "e", "a", NOW, pool))
    FAILS(pwk_ledger_due(&rows, with, "o", "e", NOW, pool))
    FAILS(pwk_ledger_page(&rows, with, "", pool))
    FAILS(pwk_ledger_try(with, pool))
    FAILS(pwk_ledger_heal(&other, with, NOW, pool))
    FAILS(pwk_ledger_forget(&forgotten, with, NOW, NOW, pool))
    FAILS(pwk_ledger_note_shown(with, "id", NOW, pool))
    FAILS(pwk_ledger_lease(with, &purchase, NOW, pool))
    FAILS(pwk_ledger_note_absent(with, &purchase, NOW, pool))
    purchase.state = PWK_PURCHASE_PLACING;
    FAILS(pwk_ledger_move(with, &purchase, PWK_EVENT_LOST, NOW, pool))
    assert_int_equal(purchase.state, PWK_PURCHASE_PLACING);
}

static pwk_ledger *another(const char *of)
{
    return ledger_of(of, ledger_pool);
}

static void a_newer_version(void **state)
{
    pwk_purchase row;

    (void)state;
    assert_int_equal(pwk_ledger_read(&row, ledger, "id", pool), APR_NOTFOUND);
    assert_int_equal(raw_write("INSERT INTO payway_schema (version) VALUES (3)"), 0);
    everything_fails(another(params), APR_EMISMATCH);
    assert_non_null(strstr(complaints.words, "newer version"));
    assert_int_equal(raw_write("DELETE FROM payway_schema"), 0);
    assert_int_equal(pwk_ledger_read(&row, another(params), "id", pool), APR_NOTFOUND);
    assert_string_equal(raw_value("SELECT MAX(version) FROM payway_schema"), "2");
}

/* The tables as version 1 made them, with a row in each state. */
static void make_version_1(void)
{
    static const char *const undone[] = {"DROP INDEX payway_purchase_look",
                                         "DROP INDEX payway_purchase_ended",
                                         "ALTER TABLE payway_purchase DROP COLUMN next_look",
                                         "ALTER TABLE payway_purchase DROP COLUMN note",
                                         "DELETE FROM payway_schema",
                                         "INSERT INTO payway_schema (version) VALUES (1)"};

    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        pwk_purchase purchase = begun(apr_psprintf(pool, "old%d", i));
        assert_int_equal(pwk_ledger_fill(ledger, purchase.id, "s", NOW + S(172800), NOW, pool), APR_SUCCESS);
        assert_int_equal(
            raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET state = '",
                                  pwk_purchase_word((pwk_purchase_state)i), "' WHERE id = '", purchase.id, "'", NULL)),
            0);
    }
    apr_pool_clear(ledger_pool); /* its connections know the newer tables */
    for (size_t i = 0; i < sizeof(undone) / sizeof(*undone); i++) {
        assert_int_equal(raw_write(undone[i]), 0);
    }
}

static void an_older_version_is_brought_up_to_date(void **state)
{
    apr_array_header_t *rows;
    pwk_ledger *newer;
    int seen = 0;

    (void)state;
    make_version_1();
    ledger = newer = another(params);
    assert_int_equal(pwk_ledger_page(&rows, newer, "", pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, PWK_PURCHASE_STATES);
    for (int i = 0; i < rows->nelts; i++) {
        const pwk_purchase *row = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        apr_time_t look = row->state == PWK_PURCHASE_CREATED                                         ? NOW + S(172800)
                          : pwk_purchase_is_running(row->state) && row->state != PWK_PURCHASE_MANUAL ? S(1)
                                                                                                     : 0;
        assert_int_equal(row->next_look, look);
        assert_string_equal(row->note, "");
        seen |= 1 << row->state;
    }
    assert_int_equal(seen, (1 << PWK_PURCHASE_STATES) - 1);
    raw_close(); /* what it knew of the tables is old */
    raw_open();
    assert_string_equal(raw_value("SELECT MAX(version) FROM payway_schema"), "2");
    assert_int_equal(complaints.count, 0);
}

enum { UPGRADERS = 8 };

static void *upgrade_in_thread(void *data)
{
    apr_pool_t *own;
    pwk_purchase row;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    *(apr_status_t *)data = pwk_ledger_read(&row, ledger_of(params, own), "nobody", own);
    apr_pool_destroy(own);
    return NULL;
}

/* Hosts that are started anew together with a newer module. */
static void many_bring_it_up_to_date_at_once(void **state)
{
    pthread_t threads[UPGRADERS];
    apr_status_t results[UPGRADERS];

    (void)state;
    make_version_1();
    for (int i = 0; i < UPGRADERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, upgrade_in_thread, &results[i]), 0);
    }
    for (int i = 0; i < UPGRADERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(results[i], APR_NOTFOUND);
    }
    raw_close();
    raw_open();
    assert_string_equal(raw_value("SELECT COUNT(*) FROM payway_schema"), "2");
    ledger = another(params);
    assert_int_equal(state_of(begun("new").id), PWK_PURCHASE_CREATED);
}

/* --- what is due, what is old --- */

static void due_is_what_has_to_be_looked_at(void **state)
{
    apr_array_header_t *rows;
    pwk_purchase first = claimed("a", "ta"), second = claimed("b", "tb"), elsewhere = claimed("c", "tc"), third;

    (void)state;
    assert_int_equal(raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET environment = 'production' WHERE id = '",
                                           elsewhere.id, "'", NULL)),
                     0);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(159), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 0);
    assert_int_equal(pwk_ledger_move(ledger, &first, PWK_EVENT_LOST, NOW + S(100), pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(159), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 1);
    same(&APR_ARRAY_IDX(rows, 0, pwk_purchase), &first);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(160), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 2);
    same(&APR_ARRAY_IDX(rows, 1, pwk_purchase), &second);
    /* Whoever looks puts it off. */
    assert_int_equal(pwk_ledger_lease(ledger, &first, NOW + S(160), pool), APR_SUCCESS);
    assert_true(first.next_look > NOW + S(160));
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(160), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 1);
    /* A session that is over; one that ended is nobody's. */
    third = begun("d");
    assert_int_equal(pwk_ledger_fill(ledger, third.id, "s", NOW + S(1000), NOW, pool), APR_SUCCESS);
    third = row_of(third.id);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(1000), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 3);
    assert_int_equal(pwk_ledger_move(ledger, &third, PWK_EVENT_AGED, NOW + S(1000), pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(1000), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 2);
}

static void a_row_that_cannot_be_read_holds_up_nobody(void **state)
{
    apr_array_header_t *rows;
    pwk_purchase good = claimed("a", "ta"), bad = claimed("b", "tb");

    (void)state;
    assert_int_equal(raw_write(apr_pstrcat(pool, "UPDATE payway_purchase SET period_type = 'eternal' WHERE id = '",
                                           bad.id, "'", NULL)),
                     0);
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(160), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 1);
    same(&APR_ARRAY_IDX(rows, 0, pwk_purchase), &good);
    one_complaint(APR_EINCOMPLETE);
    /* put off, so that twenty of them leave place for others */
    assert_string_equal(
        raw_value(apr_pstrcat(pool, "SELECT next_look FROM payway_purchase WHERE id = '", bad.id, "'", NULL)),
        apr_psprintf(pool, "%d", 1700000160 + 3600));
    assert_int_equal(pwk_ledger_due(&rows, ledger, "example", "stage", NOW + S(160), pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 1);
    no_complaint();
    assert_int_equal(pwk_ledger_page(&rows, ledger, "", pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 1);
    one_complaint(APR_EINCOMPLETE);
}

static void what_an_older_module_wrote_is_due(void **state)
{
    pwk_purchase open = begun("a"), placing = claimed("b", "tb"), ended = begun("c"), neglected;

    (void)state;
    assert_int_equal(pwk_ledger_fill(ledger, open.id, "s", NOW + S(500), NOW, pool), APR_SUCCESS);
    assert_int_equal(pwk_ledger_move(ledger, &ended, PWK_EVENT_AGED, NOW, pool), APR_SUCCESS);
    assert_int_equal(raw_write("UPDATE payway_purchase SET next_look = 0"), 0);
    assert_int_equal(pwk_ledger_heal(&neglected, ledger, S(1), pool), APR_NOTFOUND);
    assert_int_equal(row_of(open.id).next_look, NOW + S(500));
    assert_int_equal(row_of(placing.id).next_look, S(1));
    assert_int_equal(row_of(ended.id).next_look, 0);
    assert_int_equal(pwk_ledger_heal(&neglected, ledger, NOW, pool), APR_SUCCESS);
    assert_string_equal(neglected.id, placing.id);
}

/* Hosts whose connections are older than the tables. */
static void an_older_module_claims_nothing(void **state)
{
    pwk_purchase purchase = begun("a"), other;

    (void)state;
    authorise(&purchase, "t");
    assert_int_equal(raw_write("INSERT INTO payway_schema (version) VALUES (3)"), 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(raw_write("DELETE FROM payway_schema WHERE version = 3"), 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
}

static void writing_is_tried(void **state)
{
    pwk_purchase row;

    (void)state;
    assert_int_equal(pwk_ledger_try(ledger, pool), APR_SUCCESS);
    if (!is_file()) {
        return;
    }
    assert_int_equal(
        raw_write("CREATE TRIGGER full BEFORE UPDATE ON payway_schema BEGIN SELECT RAISE(FAIL, 'full'); END"), 0);
    assert_int_equal(pwk_ledger_try(ledger, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_int_equal(pwk_ledger_read(&row, ledger, "nobody", pool), APR_NOTFOUND);
    assert_int_equal(raw_write("DROP TRIGGER full"), 0);
}

static void pages_are_the_whole_ledger(void **state)
{
    apr_array_header_t *rows;
    const char *after = "";
    int count = 0;

    (void)state;
    assert_int_equal(pwk_ledger_page(&rows, ledger, "", pool), APR_SUCCESS);
    assert_int_equal(rows->nelts, 0);
    for (int i = 0; i < 501; i++) {
        begun(apr_psprintf(pool, "a%d", i));
    }
    do {
        assert_int_equal(pwk_ledger_page(&rows, ledger, after, pool), APR_SUCCESS);
        for (int i = 0; i < rows->nelts; i++) {
            const char *id = APR_ARRAY_IDX(rows, i, pwk_purchase).id;
            assert_true(strcmp(id, after) > 0);
            after = id;
            count++;
        }
    } while (rows->nelts);
    assert_int_equal(count, 501);
}

static void only_what_ended_is_forgotten(void **state)
{
    int forgotten;

    (void)state;
    for (int i = 0; i < PWK_PURCHASE_STATES; i++) {
        for (int age = 0; age < 3; age++) {
            pwk_purchase purchase = begun(apr_psprintf(pool, "f%d-%d", i, age));
            assert_int_equal(
                raw_write(apr_psprintf(pool, "UPDATE payway_purchase SET state = '%s', changed = %d WHERE id = '%s'",
                                       pwk_purchase_word((pwk_purchase_state)i), 100 * (age + 1), purchase.id)),
                0);
        }
    }
    /* of one failed purchase there is an order; of another too, and somebody has seen to it */
    assert_int_equal(raw_write("UPDATE payway_purchase SET order_id = 'X' WHERE state = 'failed' AND changed = 100"),
                     0);
    assert_int_equal(pwk_ledger_forget(&forgotten, ledger, S(300), S(200), pool), APR_SUCCESS);
    assert_int_equal(forgotten, 3);
    assert_int_equal(raw_write("UPDATE payway_purchase SET note = 'seen' WHERE order_id = 'X'"), 0);
    /* changed 100, 200, 300: what came to nothing goes before 300, what ended before 200 */
    assert_int_equal(pwk_ledger_forget(&forgotten, ledger, S(300), S(200), pool), APR_SUCCESS);
    assert_int_equal(forgotten, 1);
    assert_string_equal(raw_value("SELECT COUNT(*) FROM payway_purchase WHERE state = 'expired'"), "1");
    assert_string_equal(raw_value("SELECT COUNT(*) FROM payway_purchase WHERE state IN ('failed', 'confirmed')"), "4");
    assert_string_equal(raw_value("SELECT COUNT(*) FROM payway_purchase"),
                        apr_psprintf(pool, "%d", 3 * PWK_PURCHASE_STATES - 4));
    assert_int_equal(pwk_ledger_forget(&forgotten, ledger, S(300), S(200), pool), APR_SUCCESS);
    assert_int_equal(forgotten, 0);
}

static void no_such_driver(void **state)
{
    pwk_ledger *none = ledger;

    (void)state;
    assert_int_equal(pwk_ledger_create(&none, "mysql", "", complain, &complaints, pool), APR_EINVAL);
    assert_null(none);
    one_complaint(APR_EINVAL);
    assert_int_equal(pwk_ledger_create(&none, "sqlite3", ":memory:", complain, &complaints, pool), APR_EINVAL);
    one_complaint(APR_EINVAL);
    assert_int_equal(pwk_ledger_create(&none, "sqlite3", "", complain, &complaints, pool), APR_EINVAL);
    one_complaint(APR_EINVAL);
}

static void no_directory(void **state)
{
    (void)state;
    if (!is_file()) {
        return;
    }
    everything_fails(another(apr_pstrcat(pool, directory, "/none/ledger.db", NULL)), APR_EGENERAL);
    assert_non_null(strstr(complaints.words, "unable to open"));
}

static void a_server_that_is_not_there(void **state)
{
    (void)state;
    if (is_file()) {
        return;
    }
    everything_fails(another("host=/nonexistent user=reader password=hunter2"), APR_EGENERAL);
    everything_fails(another("host=/nonexistent hunter2"), APR_EGENERAL);
    assert_null(strstr(complaints.words, "hunter2"));
    everything_fails(another("postgresql://reader:hunter2@127.0.0.1:1/none?sslmode=disable"), APR_EGENERAL);
    assert_non_null(strstr(complaints.words, "efused"));
    assert_null(strstr(complaints.words, "hunter2"));
}

/* The process that serves the connection of a ledger, which has one. */
static pid_t server_of(pwk_ledger *of)
{
    const char *pid;
    void *taken;

    assert_int_equal(apr_reslist_acquire(of->database->connections, &taken), APR_SUCCESS);
    first_value(&pid, of->database, taken, "SELECT pg_backend_pid()");
    apr_reslist_release(of->database->connections, taken);
    return (pid_t)atoi(pid);
}

/* Whoever comes next is told at once. */
static void it_is_left_alone(pwk_ledger *silent)
{
    apr_time_t from = apr_time_now();
    pwk_purchase row;

    one_complaint(APR_EGENERAL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pwk_ledger_read(&row, silent, "id", pool), APR_EGENERAL);
        assert_non_null(strstr(complaints.words, "a moment ago"));
        one_complaint(APR_EGENERAL);
    }
    assert_true(apr_time_now() - from < S(1));
}

static void a_server_that_freezes(void **state)
{
    pwk_purchase purchase = begun("a"), row, other;
    apr_time_t from;
    pid_t pid;

    (void)state;
    if (is_file()) {
        return;
    }
    alarm(60); /* who waits for ever fails too */
    pid = server_of(ledger);
    for (int writes = 0; writes < 2; writes++) {
        if (kill(pid, SIGSTOP)) {
            print_message("# left out: the server's processes are not ours\n");
            return;
        }
        from = apr_time_now();
        if (writes) {
            authorise(&purchase, "t");
            assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EGENERAL);
        } else {
            assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_EGENERAL);
        }
        assert_true(apr_time_now() - from >= PATIENCE && apr_time_now() - from < A_FEW_SECONDS);
        assert_non_null(strstr(complaints.words, "cut"));
        it_is_left_alone(ledger);
        kill(pid, SIGCONT);
        while (pwk_ledger_read(&row, ledger, purchase.id, pool) != APR_SUCCESS) {
            assert_true(apr_time_now() - from < S(20));
            usleep(50000);
        }
        complaints.count = 0;
        pid = server_of(ledger);
    }
    /* The rest of the process did not lose a socket to it. */
    assert_non_null(raw_value("SELECT state FROM payway_purchase"));
    alarm(0);
}

static void a_server_that_swallows_all(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int deaf = socket(AF_INET, SOCK_STREAM, 0);
    pwk_purchase row;
    apr_time_t from;
    pwk_ledger *late;

    (void)state;
    if (is_file()) {
        close(deaf);
        return;
    }
    assert_int_equal(bind(deaf, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(deaf, 5), 0);
    assert_int_equal(getsockname(deaf, (struct sockaddr *)&address, &length), 0);
    late = another(apr_psprintf(pool, "host=127.0.0.1 port=%d user=reader sslmode=disable", ntohs(address.sin_port)));
    from = apr_time_now();
    assert_int_equal(pwk_ledger_read(&row, late, "id", pool), APR_EGENERAL);
    assert_true(apr_time_now() - from < A_FEW_SECONDS);
    it_is_left_alone(late);
    close(deaf);
    /* Nobody is told that for longer than it is so. */
    while (pwk_ledger_read(&row, late, "id", pool), strstr(complaints.words, "a moment ago")) {
        assert_true(apr_time_now() - from < S(20));
        usleep(50000);
    }
    assert_non_null(strstr(complaints.words, "efused"));
    complaints.count = 0;
}

static void a_file_that_is_none_of_sqlites(void **state)
{
    const char *path = apr_pstrcat(pool, directory, "/broken.db", NULL);
    FILE *file;

    (void)state;
    if (!is_file()) {
        return;
    }
    file = fopen(path, "w");
    for (int i = 0; i < 1000; i++) {
        fputs("not a database ", file);
    }
    fclose(file);
    everything_fails(another(path), APR_EGENERAL);
    assert_non_null(strstr(complaints.words, "not a database"));
    unlink(path);
}

/* As a user without the right to write, which root always has. */
static void a_directory_that_may_only_be_read(void **state)
{
    pwk_purchase purchase = begun("a"), row, other;
    pid_t child;
    int status;

    (void)state;
    if (!is_file() || geteuid()) {
        return;
    }
    raw_close();
    child = fork();
    if (!child) {
        int bad = setgid(65534) || setuid(65534);
        pwk_ledger *here = another(apr_pstrcat(pool, directory, "/mine.db", NULL));
        bad = bad || pwk_ledger_read(&row, here, "id", pool) != APR_EGENERAL || complaints.count != 1;
        _exit(bad);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    /* A file that may be read and not written. */
    assert_int_equal(chmod(params, 0444), 0);
    child = fork();
    if (!child) {
        int bad = setgid(65534) || setuid(65534);
        authorise(&purchase, "t");
        bad =
            bad || pwk_ledger_claim(another(params), &purchase, &other, pool) != APR_EGENERAL || complaints.count != 1;
        _exit(bad);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(params, 0640), 0);
    assert_int_equal(state_of(purchase.id), PWK_PURCHASE_CREATED);
    raw_open();
}

static void a_database_that_somebody_holds(void **state)
{
    pwk_purchase purchase = begun("a"), row, other;
    pwk_ledger *late;
    apr_time_t from = apr_time_now();

    (void)state;
    authorise(&purchase, "t");
    assert_int_equal(raw_write(is_file() ? "BEGIN IMMEDIATE" : "BEGIN"), 0);
    assert_int_equal(raw_write("UPDATE payway_purchase SET sale = 'x'"), 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_EGENERAL);
    one_complaint(APR_EGENERAL);
    assert_true(apr_time_now() - from < A_FEW_SECONDS);
    print_message("# held: a claim gave up after %d ms: %s\n", (int)apr_time_as_msec(apr_time_now() - from),
                  complaints.words);
    /* Reading goes on, by a new connection too. */
    from = apr_time_now();
    assert_int_equal(pwk_ledger_read(&row, ledger, purchase.id, pool), APR_SUCCESS);
    late = another(params);
    assert_int_equal(pwk_ledger_read(&row, late, purchase.id, pool), APR_SUCCESS);
    assert_true(apr_time_now() - from < S(2));
    assert_int_equal(row.state, PWK_PURCHASE_CREATED);
    assert_int_equal(raw_write("ROLLBACK"), 0);
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
}

static void a_short_hold_is_waited_for(void **state)
{
    pwk_purchase purchase = begun("a"), other;
    pid_t child;
    int status, ready[2];
    char byte;

    (void)state;
    raw_close();
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (!child) {
        raw_open();
        raw_write(is_file() ? "BEGIN IMMEDIATE" : "BEGIN");
        raw_write("UPDATE payway_purchase SET sale = 'x'");
        assert_int_equal(write(ready[1], "x", 1), 1);
        usleep(700000);
        raw_write("COMMIT");
        raw_close();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    authorise(&purchase, "t");
    assert_int_equal(pwk_ledger_claim(ledger, &purchase, &other, pool), APR_SUCCESS);
    waitpid(child, &status, 0);
    assert_string_equal(row_of(purchase.id).sale, "x");
    close(ready[0]);
    close(ready[1]);
    raw_open();
}

static void all_connections_in_use(void **state)
{
    void *taken[PGSQL_CONNECTIONS];
    int max = is_file() ? SQLITE_CONNECTIONS : PGSQL_CONNECTIONS;
    pwk_purchase row;
    apr_time_t from;
    apr_pool_t *p;
    pwk_ledger *full;

    (void)state;
    apr_pool_create(&p, pool);
    full = open_ledger_in(p);
    for (int i = 0; i < max; i++) {
        assert_int_equal(apr_reslist_acquire(full->database->connections, &taken[i]), APR_SUCCESS);
    }
    from = apr_time_now();
    assert_int_equal(pwk_ledger_read(&row, full, "id", pool), APR_TIMEUP);
    one_complaint(APR_TIMEUP);
    assert_true(apr_time_now() - from < A_FEW_SECONDS);
    apr_reslist_release(full->database->connections, taken[0]);
    assert_int_equal(pwk_ledger_read(&row, full, "id", pool), APR_NOTFOUND);
    for (int i = 1; i < max - 1; i++) {
        apr_reslist_release(full->database->connections, taken[i]);
    }
    /* The process ends with one in use: it is waited for, not for ever, and what it stands on stays. */
    from = apr_time_now();
    apr_pool_destroy(p);
    assert_true(apr_time_now() - from >= CLOSE_TIMEOUT && apr_time_now() - from < A_FEW_SECONDS);
    assert_int_equal(apr_reslist_release(full->database->connections, taken[max - 1]), APR_SUCCESS);
    assert_int_equal(pwk_ledger_read(&row, full, "id", pool), APR_EOF);
    one_complaint(APR_EOF);
}

/* --- how it is set up --- */

static void nobody_else_can_read_the_file(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    mode_t before = umask(0);
    struct stat found_there;

    (void)state;
    if (!is_file()) {
        umask(before);
        return;
    }
    raw_close();
    empty();
    begun("a");
    umask(before);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        assert_int_equal(stat(apr_pstrcat(pool, params, ends[i], NULL), &found_there), 0);
        assert_int_equal(found_there.st_mode & 07777, 0640);
    }
    raw_open();
}

static void every_connection_is_set_up(void **state)
{
    pwk_purchase row;
    void *taken;
    const char *got;

    (void)state;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(pwk_ledger_read(&row, ledger, "id", pool), APR_NOTFOUND);
        assert_int_equal(apr_reslist_acquire(ledger->database->connections, &taken), APR_SUCCESS);
        if (is_file()) {
            first_value(&got, ledger->database, taken, "PRAGMA journal_mode");
            assert_string_equal(got, "wal");
            first_value(&got, ledger->database, taken, "PRAGMA synchronous");
            assert_string_equal(got, "2");
            first_value(&got, ledger->database, taken, "PRAGMA busy_timeout");
            assert_true(atoi(got) <= 100);
        } else {
            first_value(&got, ledger->database, taken, "SHOW statement_timeout");
            assert_string_equal(got, "3s");
        }
        apr_reslist_release(ledger->database->connections, taken);
        /* A connection made after an error as well. */
        lose_reads(0, 1);
    }
}

static void parameters_of_a_server(void **state)
{
#define OURS "connect_timeout=3 tcp_user_timeout=5000 keepalives_idle=5 keepalives_interval=2 keepalives_count=2"
#define OURS_URI "connect_timeout=3&tcp_user_timeout=5000&keepalives_idle=5&keepalives_interval=2&keepalives_count=2"
    (void)state;
    assert_string_equal(patient_params("host=h connect_timeout=9", pool), OURS " host=h connect_timeout=9");
    assert_string_equal(patient_params("postgresql://u@h/d", pool), "postgresql://u@h/d?" OURS_URI);
    assert_string_equal(patient_params("postgres://h/d?sslmode=require", pool),
                        "postgres://h/d?" OURS_URI "&sslmode=require");
}

static void the_drivers_words(void **state)
{
    (void)state;
    assert_string_equal(words_of("ERROR:  duplicate\nDETAIL:  Key (account)=(a)", pool), "ERROR:  duplicate");
    assert_string_equal(words_of("a\tb\x1b[31m\xc3\xa5\x7f", pool), "a?b?[31m???");
    assert_int_equal(strlen(words_of(repeated('x', 199), pool)), 199);
    assert_int_equal(strlen(words_of(repeated('x', 200), pool)), 200);
    assert_int_equal(strlen(words_of(repeated('x', 201), pool)), 200);
    assert_true(*words_of("", pool) && *words_of("\nx", pool) && *words_of(NULL, pool));
    assert_string_equal(without_quotations("missing \"=\" after \"hunter2\" in \"a", pool),
                        "missing \"\" after \"\" in \"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(every_member_comes_back),
        TEST(any_text),
        TEST(null_texts_are_empty),
        TEST(a_row_of_another_kind_is_an_error),
        TEST(one_created_row_for_each_sale),
        TEST(an_id_is_taken_once),
        TEST(take_over),
        TEST(fill_and_sell),
        TEST(drop),
        TEST(claim),
        TEST(only_a_created_row_is_claimed),
        TEST(claims_of_others_are_not_in_the_way),
        TEST(a_title_of_the_same_organisation_is_in_the_way),
        TEST(a_token_claims_once),
        TEST(index_and_purchase_agree_on_what_runs),
        TEST(every_transition),
        TEST(a_move_from_a_state_that_is_past),
        TEST(the_same_state_of_another_claim),
        TEST(not_sent_when_its_place_is_taken),
        TEST(a_lease_is_one_searchers),
        TEST(readings_without_the_order),
        TEST(grants),
        TEST(what_finished_meanwhile),
        TEST(the_newest_grants_first),
        TEST(a_claim_whose_answer_is_lost),
        TEST(a_twin_of_the_claim_does_not_win_by_an_error),
        TEST(an_error_of_a_claim_that_had_no_chance),
        TEST(other_lost_answers),
        TEST(reading_is_tried_twice),
        TEST(a_database_that_changed_under_it),
        TEST(one_row_claimed_by_many),
        TEST(one_account_claimed_by_many),
        TEST(one_token_claimed_by_many),
        TEST(one_sale_begun_by_many),
        TEST(tables_made_by_many),
        TEST(a_newer_version),
        TEST(an_older_version_is_brought_up_to_date),
        TEST(many_bring_it_up_to_date_at_once),
        TEST(due_is_what_has_to_be_looked_at),
        TEST(a_row_that_cannot_be_read_holds_up_nobody),
        TEST(what_an_older_module_wrote_is_due),
        TEST(an_older_module_claims_nothing),
        TEST(writing_is_tried),
        TEST(pages_are_the_whole_ledger),
        TEST(only_what_ended_is_forgotten),
        TEST(no_such_driver),
        TEST(no_directory),
        TEST(a_server_that_is_not_there),
        TEST(a_server_that_freezes),
        TEST(a_server_that_swallows_all),
        TEST(a_file_that_is_none_of_sqlites),
        TEST(a_directory_that_may_only_be_read),
        TEST(a_database_that_somebody_holds),
        TEST(a_short_hold_is_waited_for),
        TEST(all_connections_in_use),
        TEST(nobody_else_can_read_the_file),
        TEST(every_connection_is_set_up),
        TEST(parameters_of_a_server),
        TEST(the_drivers_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ledger", tests, begin_all, end_all);
}
