/* The property test of the money (threats §2.2; DESIGN §5): random readers, hosts, faults and crashes against a Payway and
 * a Klarna with books of their own, and after every step what must hold whatever happened.
 *
 * Real here: the ledger and the database under it (src/httpd/pwk_ledger, pwk_database) on a real SQLite file, or on
 * PostgreSQL when PWK_TEST_PGSQL holds the parameters of a database that may be emptied; the table of states
 * (pwk_purchase); what is sent and what answers mean (pwk_order, pwk_outcome), as bytes. Followed step by step, since it
 * cannot be linked without httpd: what src/httpd/pwk_buy.c, pwk_authorize.c, pwk_reconcile.c and pwk_grants.c do, in the
 * same order of calls. Whoever changes one of them changes it here. A request is a row of steps, each with one call of
 * the ledger or of Payway; between any two of them others take theirs, time passes, or it dies.
 *
 * Payway and Klarna come in two modes (threats §2.9): in one a session and an authorization are used up by the first
 * order; in the other every order charges. In both, Klarna's authorization is dead after an hour, and Payway lists an
 * order within four minutes: that is what 65 minutes rest on. Refusals are honest; everything else may be a lie.
 *
 * A failure prints the seed and the last steps in words. PWK_MONEY_SEED=n begins with that seed, PWK_MONEY_STEPS=n takes
 * that many steps in all (2,500 of each seed), PWK_MONEY_STORY=1 prints everything. Each seed is a world of its own: its mode, its clocks, its troubles. */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_dbd.h>
#include <apr_escape.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <jansson.h>
#include <openssl/sha.h>

#include "pwk_limits.h"
#include "pwk_order.h"
#include "pwk_outcome.h"

static int faulty_pquery(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, int *n,
                         apr_dbd_prepared_t *prepared, int count, const char **values);
static int faulty_pselect(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, apr_dbd_results_t **results,
                          apr_dbd_prepared_t *prepared, int random, int count, const char **values);
#define apr_dbd_pquery faulty_pquery
#define apr_dbd_pselect faulty_pselect
#include "../../src/httpd/pwk_database.c"
#include "../../src/httpd/pwk_guard.c"
#undef apr_dbd_pquery
#undef apr_dbd_pselect
#include "../../src/httpd/pwk_table.c"
#include "../../src/httpd/pwk_ledger.c"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define S(n) apr_time_from_sec(n)
#define MINUTES(n) S((n)*60)
#define HOURS(n) S((n)*3600)
#define BEGINNING S(1700000000)

enum {
    HOSTS = 3,
    READERS = 8,
    BROWSERS = 3,
    SITES = 2,
    ACTORS = 10,
    TOKENS_KEPT = 16,
    STEPS_OF_A_SEED = 2500,
    STEPS = 300000,
    LINES_KEPT = 40,
    ORDER_DEADLINE_S = 62, /* PaywayOrderTimeout and connecting */
    DUE_S = 77,            /* … and SLACK_S of pwk_authorize.c */
    SESSION_DEADLINE_S = 11,
    TRIES = 3,
    ROUNDS_MAX = 3
};

/* --- chance: everything follows from the seed (splitmix64) --- */

static uint64_t seed, dice;

static unsigned roll(unsigned sides)
{
    uint64_t z = dice += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ (z >> 31)) % sides);
}

static int chance(unsigned percent)
{
    return roll(100) < percent;
}

/* --- what happened, in words --- */

static struct {
    char text[LINES_KEPT][200];
    unsigned count;
} history;
static apr_time_t the_time; /* of the world; hosts' clocks are a little off */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char *line = history.text[history.count % LINES_KEPT];
    apr_time_t since = the_time - BEGINNING;
    int len = snprintf(line, sizeof(history.text[0]), "%4u %3dh%02dm%02ds ", history.count,
                       (int)(since / APR_USEC_PER_SEC / 3600), (int)(since / APR_USEC_PER_SEC / 60 % 60),
                       (int)(since / APR_USEC_PER_SEC % 60));
    va_list list;

    va_start(list, format);
    vsnprintf(line + len, sizeof(history.text[0]) - (size_t)len, format, list);
    va_end(list);
    if (getenv("PWK_MONEY_STORY")) {
        printf("# %s\n", line);
    }
    history.count++;
}

#define VIOLATED(...)                                                                                                  \
    do {                                                                                                               \
        say("VIOLATED: " __VA_ARGS__);                                                                                 \
        tell();                                                                                                        \
        fail();                                                                                                        \
    } while (0)

static void tell(void)
{
    unsigned first = history.count > LINES_KEPT ? history.count - LINES_KEPT : 0;

    for (unsigned i = first; i < history.count; i++) {
        printf("# %s\n", history.text[i % LINES_KEPT]);
    }
    printf("# again: PWK_MONEY_SEED=%llu PWK_MONEY_STEPS=%d\n", (unsigned long long)seed, STEPS_OF_A_SEED);
    fflush(stdout);
}

/* How often what matters happened: a test in which it never does proves nothing. */
#define TALLIES(X)                                                                                                     \
    X(charged)                                                                                                         \
    X(charged_late)                                                                                                    \
    X(accepted)                                                                                                        \
    X(accepted_after_overdue)                                                                                          \
    X(accepted_after_found)                                                                                            \
    X(refused)                                                                                                         \
    X(not_completed)                                                                                                   \
    X(lost)                                                                                                            \
    X(not_sent)                                                                                                        \
    X(given_back_beside_another)                                                                                       \
    X(claims_beside_a_running_one)                                                                                     \
    X(claims_by_a_used_token)                                                                                          \
    X(owned_after_the_claim)                                                                                           \
    X(checked_again)                                                                                                   \
    X(overdue)                                                                                                         \
    X(found)                                                                                                           \
    X(found_while_placing)                                                                                             \
    X(found_by_products)                                                                                               \
    X(absent)                                                                                                          \
    X(manual)                                                                                                          \
    X(resolved)                                                                                                        \
    X(leases_lost)                                                                                                     \
    X(stale_lists)                                                                                                     \
    X(shown)                                                                                                           \
    X(opened)                                                                                                          \
    X(sessions_twice)                                                                                                  \
    X(crashed_with_a_claim)                                                                                            \
    X(ledger_faults)                                                                                                   \
    X(expired)
#define TALLY(name) unsigned long name;
#define TALLY_LINE(name) {#name, offsetof(struct tallies, name)},
static struct tallies {
    TALLIES(TALLY)
} tally;
static const struct {
    const char *name;
    size_t offset;
} tally_lines[] = {TALLIES(TALLY_LINE)};

/* --- the database --- */

static const char *driver_name, *params, *directory;
static apr_pool_t *run_pool, *step_pool;
static pwk_ledger *ledgers[HOSTS], *witness;
static const apr_dbd_driver_t *raw_driver;
static apr_dbd_t *raw;
static struct {
    int fail, executed; /* so many statements fail; a write after it was done, or before */
    int complaints, expected;
    char words[300];
} trouble;

static int faulty_pquery(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, int *n,
                         apr_dbd_prepared_t *prepared, int count, const char **values)
{
    if (!trouble.fail) {
        return apr_dbd_pquery(driver, p, handle, n, prepared, count, values);
    }
    trouble.fail--;
    trouble.expected = 1;
    tally.ledger_faults++;
    if (trouble.executed) {
        apr_dbd_pquery(driver, p, handle, n, prepared, count, values);
    }
    *n = 1; /* an old count, as the drivers leave one */
    return 5;
}

static int faulty_pselect(const apr_dbd_driver_t *driver, apr_pool_t *p, apr_dbd_t *handle, apr_dbd_results_t **results,
                          apr_dbd_prepared_t *prepared, int random, int count, const char **values)
{
    if (!trouble.fail) {
        return apr_dbd_pselect(driver, p, handle, results, prepared, random, count, values);
    }
    trouble.fail--;
    trouble.expected = 1;
    return 5;
}

static void complain(void *context, apr_status_t rv, const char *doing, const char *detail)
{
    (void)context;
    trouble.complaints++;
    snprintf(trouble.words, sizeof(trouble.words), "%d, %s: %s", rv, doing, detail);
}

/* A ledger stays when its pool is gone: no leak to look for. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:apr_pool_create_unmanaged_ex";
}

static int is_file(void)
{
    return !strcmp(driver_name, "sqlite3");
}

static void forget_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < COUNT(ends); i++) {
        unlink(apr_pstrcat(pool, params, ends[i], NULL));
    }
}

static apr_array_header_t *raw_rows(const char *sql)
{
    apr_array_header_t *rows = apr_array_make(step_pool, 16, sizeof(const char *));
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int columns;

    assert_int_equal(apr_dbd_select(raw_driver, step_pool, raw, &results, sql, 1), 0);
    columns = apr_dbd_num_cols(raw_driver, results);
    while (!apr_dbd_get_row(raw_driver, step_pool, results, &row, -1)) {
        const char *line = "";
        for (int i = 0; i < columns; i++) {
            const char *entry = apr_dbd_get_entry(raw_driver, row, i);
            line = apr_pstrcat(step_pool, line, i ? "|" : "", entry ? entry : "", NULL);
        }
        APR_ARRAY_PUSH(rows, const char *) = line;
    }
    return rows;
}

static int begin_all(void **state)
{
    char memory[] = "/dev/shm/pwk-money-XXXXXX", disk[] = "/tmp/pwk-money-XXXXXX";
    const char *made;

    if (unit_begin(state)) {
        return 1;
    }
    setenv("TZ", "Europe/Stockholm", 1); /* a start date begins at a local midnight */
    made = mkdtemp(memory);
    directory = apr_pstrdup(pool, made ? made : mkdtemp(disk));
    assert_int_equal(chmod(directory, 0755), 0);
    driver_name = getenv("PWK_TEST_PGSQL") ? "pgsql" : "sqlite3";
    params = is_file() ? apr_pstrcat(pool, directory, "/ledger.db", NULL) : getenv("PWK_TEST_PGSQL");
    apr_pool_create(&step_pool, pool);
    assert_int_equal(apr_dbd_init(pool), APR_SUCCESS);
    assert_int_equal(apr_dbd_get_driver(pool, driver_name, &raw_driver), APR_SUCCESS);
    assert_int_equal(apr_dbd_open(raw_driver, pool, params, &raw), APR_SUCCESS);
    if (!is_file()) {
        int n;
        apr_dbd_query(raw_driver, raw, &n, "DROP TABLE IF EXISTS payway_purchase");
        apr_dbd_query(raw_driver, raw, &n, "DROP TABLE IF EXISTS payway_schema");
    }
    for (int i = 0; i < HOSTS; i++) {
        assert_int_equal(pwk_ledger_create(&ledgers[i], driver_name, params, complain, NULL, pool), APR_SUCCESS);
    }
    assert_int_equal(pwk_ledger_create(&witness, driver_name, params, complain, NULL, pool), APR_SUCCESS);
    return 0;
}

static int end_all(void **state)
{
    int n;

    apr_dbd_query(raw_driver, raw, &n, "DELETE FROM payway_purchase");
    apr_dbd_close(raw_driver, raw);
    if (is_file()) {
        forget_files();
    }
    rmdir(directory);
    return unit_end(state);
}

/* --- the books: what truly happened --- */

typedef struct {
    const char *id, *posted_for; /* the purchase that it was posted with */
    apr_time_t made;
    int used;
} klarna_session;

typedef struct {
    const char *text, *posted_for;
    klarna_session *of;
    apr_time_t approved;
    int used;
} klarna_token;

/* A purchase: Payway's side of it, and its row as it was last seen. */
typedef struct book {
    const char *id, *account, *products;
    int number;
    /* the row */
    int exists;
    pwk_purchase_state state;
    int negatives;
    const char *session;
    apr_time_t claimed, due, grant_from, grant_until;
    char token_hash[2 * SHA256_DIGEST_LENGTH + 1];
    /* what was asked and answered */
    apr_time_t asked;    /* when whoever claimed it read the products, in the time of the world */
    int posts;           /* orders that left a host */
    int answers_without; /* complete lists without it */
    unsigned counted_at; /* the step of the last reading that counted */
    apr_time_t leased;   /* last, by the clock of whoever did */
    int sessions;        /* made for it */
    /* what Payway has */
    int charges;
    const char *order_id;
    apr_time_t charged, listed, shown, ends; /* `shown` 0: never */
} book;

static struct {
    apr_array_header_t *books; /* book * */
    apr_hash_t *by_id;
    int sessions, tokens;
    klarna_token *recent[TOKENS_KEPT];
    struct late {
        apr_time_t at;
        book *of;
        klarna_token *token;
        klarna_session *session;
    } late[64];
    int late_count;
    /* this seed's world */
    int every_order_charges, no_scope, calm; /* calm: no trouble any more, everything is to come to its end */
    int crowded;                             /* two readers buy what soon ends, over and over */
    int crowd;                               /* requests at once, mostly */
    int flaky;                               /* the ledger often fails when an outcome is committed */
    int sluggish;                            /* so many of the actors are slow */
    int slow, offline;                       /* requests are often overtaken by time; orders often do not leave */
    int looks_early;                         /* orders are looked for while they may still be under way */
    apr_time_t list_gone_until, calm_since;
    book *looked_at;         /* last */
    struct browser *pressed; /* last */
} world;

static book *book_of(const char *id)
{
    return apr_hash_get(world.by_id, id, APR_HASH_KEY_STRING);
}

static book *book_at(int i)
{
    return APR_ARRAY_IDX(world.books, i, book *);
}

static const char *hash_of(const char *token, apr_pool_t *p)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)token, strlen(token), hash);
    return apr_pescape_hex(p, hash, sizeof(hash), 0);
}

/* --- actors: requests, and hosts that look --- */

typedef struct actor actor;
typedef void next_step(actor *);

struct actor {
    int number, host;
    apr_pool_t *pool;
    next_step *next;  /* NULL: nothing to do */
    next_step *after; /* where to go on when the look is over */
    const char *account, *site;
    struct browser *browser; /* when it is a browser's */
    struct book *page;       /* whose page it came from */
    apr_array_header_t *has; /* product codes, with what purchases open */
    pwk_purchase row, running;
    pwk_purchase *at; /* what is looked at */
    unsigned read_at; /* the step in which that was read */
    apr_time_t now, asked, truly_asked, sent, give_up;
    int rounds, tries;
    klarna_token *token;
    klarna_session *session;
    const char *order_id; /* found */
    int unsent, cut;
    pwk_payway_answer answer;
    pwk_purchase_event event;
};

static struct browser {
    int reader;
    const char *site;
    book *page;          /* the purchase page that is open */
    klarna_token *token; /* the last authorization of it */
} browsers[READERS * BROWSERS];

static actor actors[ACTORS];
static apr_time_t skews[HOSTS];
static const char *const accounts[READERS] = {"5f00a", "5f00b", "5f00c", "5f00d", "5f00e", "5f00f", "5f010", "5f011"};
static const char *const sites[SITES] = {"https://www.example.se", "https://sport.example.se"};

static unsigned step_number;
static struct {
    book *of[64];
    int count;
} touched;

static pwk_ledger *ledger_of(const actor *a)
{
    return ledgers[a->host];
}

static apr_time_t clock_of(const actor *a)
{
    return the_time + skews[a->host];
}

static void touch(const char *id)
{
    book *b = book_of(id);

    if (b && touched.count < (int)COUNT(touched.of)) {
        touched.of[touched.count++] = b;
    }
}

/* A line that names who and where. */
__attribute__((format(printf, 2, 3))) static void told(const actor *a, const char *format, ...)
{
    char words[150];
    va_list list;

    va_start(list, format);
    vsnprintf(words, sizeof(words), format, list);
    va_end(list);
    say("[%d, host %d] %s", a->number, a->host, words);
}

static int number_of(const char *id)
{
    book *b = book_of(id);

    return b ? b->number : -1;
}

/* What a call of the ledger said. */
static const char *said(apr_status_t rv)
{
    return rv == APR_SUCCESS    ? "done"
           : rv == APR_EBUSY    ? "busy"
           : rv == APR_EEXIST   ? "exists"
           : rv == APR_NOTFOUND ? "not found"
           : rv == APR_EINVAL   ? "means nothing"
                                : "failed";
}

static const char *const events[PWK_EVENTS] = {"claim",         "not sent",     "accepted", "refused",
                                               "not completed", "lost",         "overdue",  "found",
                                               "absent",        "contradicted", "shown",    "aged"};

static apr_status_t moved(actor *a, pwk_purchase *purchase, pwk_purchase_event event, apr_time_t now)
{
    pwk_purchase_state from = purchase->state;
    apr_status_t rv = pwk_ledger_move(ledger_of(a), purchase, event, now, a->pool);

    touch(purchase->id);
    /* It says so itself: the complaint is part of that answer. */
    trouble.expected |= rv == APR_EEXIST;
    told(a, "purchase %d, %s: %s: %s", number_of(purchase->id), pwk_purchase_word(from), events[event], said(rv));
    return rv;
}

/* --- Payway and Klarna --- */

static int gives(const char *products, const char *code)
{
    size_t len = strlen(code);

    for (const char *at = strstr(products, code); at; at = strstr(at + 1, code)) {
        if ((at == products || at[-1] == ',') && (at[len] == ',' || !at[len])) {
            return 1;
        }
    }
    return 0;
}

static int has_all(const apr_array_header_t *has, const char *products)
{
    char *last, *words = apr_pstrdup(step_pool, products);

    for (char *code = apr_strtok(words, ",", &last); code; code = apr_strtok(NULL, ",", &last)) {
        int there = 0;
        for (int i = 0; i < has->nelts && !there; i++) {
            there = gives(APR_ARRAY_IDX(has, i, const char *), code);
        }
        if (!there) {
            return 0;
        }
    }
    return 1;
}

static apr_array_header_t *one_of(const char *products)
{
    apr_array_header_t *has = apr_array_make(step_pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(has, const char *) = products;
    return has;
}

static int is_shown_by_payway(const book *b)
{
    return b->charges && b->shown && the_time >= b->shown && the_time < b->ends;
}

/* What Payway shows of the account: each entry may be several products. */
static apr_array_header_t *products_of(const char *account, apr_pool_t *p)
{
    apr_array_header_t *has = apr_array_make(p, 4, sizeof(const char *));

    for (int i = 0; i < world.books->nelts; i++) {
        if (!strcmp(book_at(i)->account, account) && is_shown_by_payway(book_at(i))) {
            APR_ARRAY_PUSH(has, const char *) = book_at(i)->products;
        }
    }
    return has;
}

/* 0: no answer. */
static int ask_products(apr_array_header_t **has, const char *account, apr_pool_t *p)
{
    *has = products_of(account, p);
    return world.calm || !chance(4);
}

static apr_time_t when_shown(const book *b)
{
    apr_time_t at = b->grant_from > the_time + S(10) ? b->grant_from : the_time;
    unsigned dice_now = roll(100);

    return world.crowded   ? at + S(roll(5) ? 0 : roll(120))
           : dice_now < 45 ? at
           : dice_now < 75 ? at + S(roll(900))
           : dice_now < 93 ? at + S(roll(20 * 3600))
                           : 0;
}

/* Klarna's and Payway's rules. 0: refused. */
static int act(book *b, klarna_token *token, klarna_session *session)
{
    if (the_time - token->approved > MINUTES(60)
        || (!world.every_order_charges
            && (token->used || session->used || token->of != session || the_time - session->made > HOURS(48)))) {
        say("Klarna refuses the order of purchase %d", b->number);
        return 0;
    }
    token->used = session->used = 1;
    b->charges++;
    b->charged = the_time;
    b->listed = the_time + (chance(60) ? 0 : S(roll(230)));
    b->shown = when_shown(b);
    b->ends = (b->shown > b->grant_until ? b->shown : b->grant_until) + S(roll(20 * 3600));
    b->order_id = apr_psprintf(run_pool, "ADEPRIMO-%d", b->number);
    tally.charged++;
    say("Payway CHARGES for purchase %d (%s)", b->number, pwk_purchase_word(b->state));
    if (b->charges > 1) {
        VIOLATED("INV-1: purchase %d is charged twice", b->number);
    }
    if (b->state == PWK_PURCHASE_FAILED || b->state == PWK_PURCHASE_CREATED || b->state == PWK_PURCHASE_EXPIRED) {
        VIOLATED("INV-6: purchase %d is charged and says %s", b->number, pwk_purchase_word(b->state));
    }
    for (int i = 0; i < world.books->nelts; i++) {
        const book *other = book_at(i);
        if (other != b && other->charges && !strcmp(other->account, b->account)
            && has_all(one_of(other->products), b->products)
            && (other->shown ? b->asked < other->ends : b->claimed < other->grant_until)) {
            VIOLATED("INV-7: purchase %d buys again what purchase %d (%s) gave", b->number, other->number,
                     pwk_purchase_word(other->state));
        }
    }
    return 1;
}

/* An order reaches Payway, which looks at it now or later. 0: refused at once. */
static int deliver(book *b, klarna_token *token, klarna_session *session, apr_time_t after)
{
    if (!after || world.late_count == (int)COUNT(world.late)) {
        return act(b, token, session);
    }
    world.late[world.late_count++] = (struct late){the_time + after, b, token, session};
    return 1;
}

/* Lets time pass; what Payway still had to do is done at its own time. */
static void pass(apr_time_t span)
{
    apr_time_t until = the_time + span;

    for (;;) {
        int first = -1;
        struct late late;
        for (int i = 0; i < world.late_count; i++) {
            if (world.late[i].at <= until && (first < 0 || world.late[i].at < world.late[first].at)) {
                first = i;
            }
        }
        if (first < 0) {
            break;
        }
        late = world.late[first];
        world.late[first] = world.late[--world.late_count];
        the_time = late.at > the_time ? late.at : the_time;
        tally.charged_late += (unsigned long)act(late.of, late.token, late.session);
    }
    the_time = until;
}

/* The books of the account whose orders Payway lists, as it answers. */
static pwk_payway_answer answer_list(book *asked_for, const char *account, apr_pool_t *p)
{
    const char *body = "{\"items\":[", *comma = "";
    /* Replicas may be late: two readings in all may miss what is there. */
    int stale = asked_for->answers_without < 2 && !world.calm && chance(15), is_there = 0;
    unsigned dice_now = world.calm ? 99 : roll(100);
    pwk_payway_answer answer = {.status = 200, .content_type = "application/json"};

    if (world.no_scope) {
        answer.status = 403;
        body = "{\"code\":\"forbidden\",\"message\":\"missing scope\"}";
    } else if (dice_now < 8 || the_time < world.list_gone_until) {
        answer.status = 503;
        body = "{\"code\":\"server_error\",\"message\":\"later\"}";
    } else {
        for (int i = 0; i < world.books->nelts; i++) {
            const book *b = book_at(i);
            if (!b->charges || b->listed > the_time || strcmp(b->account, account) || (b == asked_for && stale)) {
                continue;
            }
            is_there |= b == asked_for;
            body = apr_psprintf(p, "%s%s{\"order_id\":\"%s\",\"merchant_reference\":\"%s_paper\"}", body, comma,
                                b->order_id, b->id);
            comma = ",";
        }
        tally.stale_lists += stale && asked_for->charges && asked_for->listed <= the_time;
        if (dice_now < 14) { /* an order that cannot be told from ours */
            body = apr_pstrcat(p, body, comma, "{\"order_id\":\"X\",\"merchant_reference\":7}", NULL);
        }
        body = apr_pstrcat(p, body, "],\"page_info\":{\"more_results_available\":", dice_now < 17 ? "null" : "false",
                           "}}", NULL);
        asked_for->answers_without += !is_there && dice_now >= 17;
    }
    answer.body = body;
    answer.len = strlen(body);
    return answer;
}

/* --- a look: pwk_reconcile_look --- */

static void look_lease(actor *a);
static void look_list(actor *a);
static void look_found(actor *a);
static void look_absent(actor *a);
static void look_products(actor *a);
static void look_give_up(actor *a);
static void look_end(actor *a);

static int look_move(actor *a, pwk_purchase_event event)
{
    pwk_purchase fresh;
    apr_status_t rv = moved(a, a->at, event, a->now);

    if (rv == APR_EBUSY && pwk_ledger_read(&fresh, ledger_of(a), a->at->id, a->pool) == APR_SUCCESS) {
        *a->at = fresh;
        a->read_at = step_number;
    }
    return rv == APR_SUCCESS;
}

static void look(actor *a)
{
    a->now = clock_of(a);
    a->read_at = step_number;
    if (a->at->state == PWK_PURCHASE_CREATED && a->now >= a->at->expires) {
        look_move(a, PWK_EVENT_AGED);
    }
    if (a->at->state == PWK_PURCHASE_PLACING && a->now > a->at->due) {
        tally.overdue += (unsigned long)look_move(a, PWK_EVENT_OVERDUE);
    }
    a->next = look_lease;
}

static void look_lease(actor *a)
{
    book *b = book_of(a->at->id);
    apr_status_t rv;

    a->next = look_end;
    if ((a->at->state != PWK_PURCHASE_UNKNOWN && !(world.looks_early && a->at->state == PWK_PURCHASE_PLACING))
        || a->now - a->at->looked < S(PWK_LOOK_S)) {
        return;
    }
    rv = pwk_ledger_lease(ledger_of(a), a->at, a->now, a->pool);
    told(a, "purchase %d: lease: %s", b->number, said(rv));
    touch(b->id);
    tally.leases_lost += rv == APR_EBUSY;
    if (rv != APR_SUCCESS) {
        return;
    }
    if (b->leased && a->now - b->leased < S(5)) {
        VIOLATED("two look for purchase %d at once", b->number);
    }
    b->leased = a->now;
    a->next = look_list;
}

static void look_list(actor *a)
{
    book *b = book_of(a->at->id);
    pwk_payway_answer answer = answer_list(b, a->at->account, a->pool);
    pwk_order_search all;
    pwk_result result = pwk_order_read_list(&all, a->at->id, &answer, a->pool);
    apr_array_header_t *has;
    pwk_purchase other;

    a->next = look_give_up;
    a->order_id = "";
    told(a, "purchase %d: the list has %d orders of it, %s", b->number, all.count,
         result.outcome != PWK_OK ? "not readable"
         : all.complete           ? "complete"
                                  : "not complete");
    if (all.count) {
        a->order_id = all.order_id;
        a->next = look_found;
    } else if (result.outcome == PWK_OK && all.complete) {
        if (a->at->state == PWK_PURCHASE_UNKNOWN) {
            a->next = look_absent;
        }
    } else if (result.outcome != PWK_UNAVAILABLE && a->at->state == PWK_PURCHASE_UNKNOWN
               && ask_products(&has, a->at->account, a->pool) && has_all(has, a->at->products)
               && pwk_ledger_finished(&other, ledger_of(a), a->at, a->at->created - S(PWK_CLOCK_LEEWAY_S), a->pool)
                      == APR_NOTFOUND) {
        a->next = look_found;
    }
}

static void look_found(actor *a)
{
    int placing = a->at->state == PWK_PURCHASE_PLACING;

    a->at->order_id = a->order_id;
    if (look_move(a, PWK_EVENT_FOUND)) {
        tally.found++;
        tally.found_while_placing += (unsigned long)placing;
        tally.found_by_products += !*a->order_id;
    }
    a->next = look_give_up;
}

static void look_absent(actor *a)
{
    apr_status_t rv = pwk_ledger_note_absent(ledger_of(a), a->at, a->now, a->pool);

    told(a, "purchase %d: not there: %s, %d times", number_of(a->at->id), said(rv), a->at->negatives);
    touch(a->at->id);
    a->next = rv == APR_SUCCESS && a->at->negatives >= PWK_NEGATIVES_MIN
                      && a->now - a->at->claimed >= S(PWK_AUTHORIZATION_LIFE_S)
                  ? look_products
                  : look_give_up;
}

static void look_products(actor *a)
{
    apr_array_header_t *has;

    a->next = look_give_up;
    if (ask_products(&has, a->at->account, a->pool) && has_all(has, a->at->products)) {
        return;
    }
    a->at->error = "order_absent";
    tally.absent += (unsigned long)look_move(a, PWK_EVENT_ABSENT);
}

static void look_give_up(actor *a)
{
    if (a->at->state == PWK_PURCHASE_UNKNOWN && a->now - a->at->claimed >= S(PWK_UNKNOWN_S)) {
        tally.manual += (unsigned long)look_move(a, PWK_EVENT_CONTRADICTED);
    }
    a->next = look_end;
}

static void look_end(actor *a)
{
    if (a->at->state == PWK_PURCHASE_PLACED
        && (a->now >= a->at->grant_until || pwk_purchase_starts_later(a->at, a->now))) {
        look_move(a, PWK_EVENT_SHOWN);
    }
    a->next = a->after;
}

/* --- a visit: pwk_account_reread with pwk_grants_add; in one go --- */

/* Whoever was charged reads, until Payway shows the products: for a day, from the start on. While the answer is on its way,
 * and once an operator has to look, nothing is open. */
static void check_open(const actor *a, apr_time_t now)
{
    for (int i = 0; i < world.books->nelts; i++) {
        const book *b = book_at(i);
        if (!b->charges || strcmp(b->account, a->account) || (b->shown && the_time >= b->shown) || now < b->grant_from
            || now >= b->grant_until || (b->state == PWK_PURCHASE_PLACING && now <= b->due)
            || b->state == PWK_PURCHASE_MANUAL) {
            continue;
        }
        tally.opened++;
        if (!has_all(a->has, b->products)) {
            VIOLATED("INV-7: purchase %d (%s) was charged and does not open", b->number, pwk_purchase_word(b->state));
        }
    }
}

static void note_shown(actor *a, pwk_purchase *purchase, apr_time_t now)
{
    if (purchase->state != PWK_PURCHASE_PLACED && purchase->state != PWK_PURCHASE_CONFIRMED) {
        return;
    }
    if (purchase->state == PWK_PURCHASE_CONFIRMED) {
        pwk_ledger_note_shown(ledger_of(a), purchase->id, now, a->pool);
    } else {
        purchase->shown = 1;
        tally.shown += moved(a, purchase, PWK_EVENT_SHOWN, now) == APR_SUCCESS;
        if (world.crowded) {
            book_of(purchase->id)->ends = the_time + S(roll(600));
        }
    }
}

/* 0: could not find out. */
static int visit(actor *a)
{
    apr_time_t now = clock_of(a);
    apr_array_header_t *rows, *opened = apr_array_make(a->pool, 2, sizeof(const char *));

    if (!ask_products(&a->has, a->account, a->pool)) {
        return 0;
    }
    if (pwk_ledger_granting(&rows, ledger_of(a), "example", "stage", a->account, now, a->pool) != APR_SUCCESS) {
        return chance(50); /* as far as the reader's record knows of nothing that Payway does not show */
    }
    for (int i = 0; i < rows->nelts; i++) {
        pwk_purchase *purchase = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        touch(purchase->id);
        if (purchase->state == PWK_PURCHASE_PLACING) {
            tally.overdue += moved(a, purchase, PWK_EVENT_OVERDUE, now) == APR_SUCCESS;
        }
        if (has_all(a->has, purchase->products)) {
            note_shown(a, purchase, now);
        } else if (pwk_purchase_grants(purchase, now)) {
            APR_ARRAY_PUSH(opened, const char *) = purchase->products;
        }
    }
    apr_array_cat(a->has, opened);
    return 1;
}

/* pwk_purchases_pending */
static apr_status_t pending_for(actor *a, const pwk_purchase *wanted)
{
    apr_time_t now = clock_of(a);
    apr_array_header_t *rows;
    apr_status_t rv = pwk_ledger_granting(&rows, ledger_of(a), "example", "stage", a->account, now, a->pool);

    for (int i = 0; rv == APR_SUCCESS && i < rows->nelts; i++) {
        const pwk_purchase *row = &APR_ARRAY_IDX(rows, i, pwk_purchase);
        if (pwk_purchase_starts_later(row, now) && has_all(one_of(row->products), wanted->products)) {
            return APR_SUCCESS;
        }
    }
    return rv == APR_SUCCESS ? APR_NOTFOUND : rv;
}

/* --- buy: pwk_buy.c --- */

static void buy_running(actor *a);
static void buy_after_look(actor *a);
static void buy_pending(actor *a);
static void buy_begin(actor *a);
static void buy_make_session(actor *a);
static void buy_fill(actor *a);
static void buy_wait(actor *a);

static const struct {
    const char *offer, *products;
    int days; /* until it starts */
} offers[] = {
    {"digital", "web", 0}, {"all", "web,app", 0}, {"later", "paper", 2}, {"sport", "sport", 0}, {"tests", "tests", 0}};

static const char *date_in(int days, apr_time_t now, apr_pool_t *p)
{
    apr_time_exp_t day;

    if (!days) {
        return "";
    }
    apr_time_exp_lt(&day, now + HOURS(24 * days));
    return apr_psprintf(p, "%04d-%02d-%02d", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

static void buy(actor *a)
{
    size_t which = chance(60) ? 0 : roll(world.crowded ? 3 : COUNT(offers));
    apr_time_t now = clock_of(a);

    a->row = (pwk_purchase){
        .id = apr_psprintf(a->pool, "%032x", (unsigned)world.books->nelts + 1),
        .site = a->site,
        .organisation = "example",
        .environment = "stage",
        .account = a->account,
        .offer = offers[which].offer,
        .code = "example_digital",
        .type = PWK_PERIOD_RECURRING,
        .period = "5f0d9ea795cfebfb8544ab12",
        .start = date_in(offers[which].days, now, a->pool),
        .products = offers[which].products,
        .facts = chance(95) ? "{}" : "{\"price\":2}",
        .sale = "sealed-sale",
        .created = now,
        .changed = now,
        .expires = now + HOURS(48),
        .due = now + S(SESSION_DEADLINE_S),
    };
    if (!visit(a) || has_all(a->has, a->row.products)) {
        a->next = NULL;
        return;
    }
    a->next = buy_running;
}

static void buy_running(actor *a)
{
    apr_status_t rv = pwk_ledger_running(&a->running, ledger_of(a), "example", "stage", a->account, a->pool);

    if (rv == APR_SUCCESS && a->running.state == PWK_PURCHASE_PLACED) {
        visit(a);
        rv = pwk_ledger_running(&a->running, ledger_of(a), "example", "stage", a->account, a->pool);
    }
    a->next = rv == APR_SUCCESS ? look : rv == APR_NOTFOUND ? buy_pending : NULL;
    a->at = &a->running;
    a->after = buy_after_look;
}

static void buy_after_look(actor *a)
{
    a->next = pwk_purchase_is_running(a->running.state) ? NULL : buy_pending;
}

static void buy_pending(actor *a)
{
    a->next = pending_for(a, &a->row) == APR_NOTFOUND ? buy_begin : NULL;
}

/* The book is opened before the row: an error says nothing about whether it is there. */
static book *open_book(const pwk_purchase *purchase)
{
    book *b = apr_pcalloc(run_pool, sizeof(*b));

    b->id = apr_pstrdup(run_pool, purchase->id);
    b->session = "";
    b->account = purchase->account;
    b->products = purchase->products;
    b->number = world.books->nelts + 1;
    APR_ARRAY_PUSH(world.books, book *) = b;
    apr_hash_set(world.by_id, b->id, APR_HASH_KEY_STRING, b);
    return b;
}

static void buy_begin(actor *a)
{
    pwk_purchase other;
    apr_status_t rv;
    book *b;

    if (a->rounds++ == ROUNDS_MAX) {
        a->next = NULL;
        return;
    }
    a->row.id = apr_psprintf(a->pool, "%032x", (unsigned)world.books->nelts + 1);
    b = open_book(&a->row);
    rv = pwk_ledger_begin(ledger_of(a), &a->row, &other, a->pool);
    touch(b->id);
    told(a, "purchase %d of reader %s, %s: begin: %s", b->number, a->account, a->row.offer, said(rv));
    a->next = rv == APR_SUCCESS ? buy_make_session : NULL;
    if (rv != APR_EEXIST) {
        return;
    }
    touch(other.id);
    if (strcmp(other.facts, a->row.facts) || (*other.session && other.expires - clock_of(a) <= S(PWK_RESUME_LIFE_S))) {
        tally.expired += moved(a, &other, PWK_EVENT_AGED, clock_of(a)) == APR_SUCCESS;
        a->next = buy_begin;
        return;
    }
    rv = pwk_ledger_sell(ledger_of(a), other.id, a->row.sale, clock_of(a), a->pool);
    a->next = rv == APR_SUCCESS ? buy_wait : rv == APR_EBUSY ? buy_begin : NULL;
    a->row = other;
    a->give_up = clock_of(a) + 2 * S(10);
}

static void buy_make_session(actor *a)
{
    book *b = book_of(a->row.id);

    if (chance(6)) {
        told(a, "purchase %d: no session is made", b->number);
        pwk_ledger_drop(ledger_of(a), b->id, a->pool);
        touch(b->id);
        a->next = NULL;
        return;
    }
    a->session = apr_pcalloc(run_pool, sizeof(*a->session));
    a->session->id = apr_psprintf(run_pool, "session-%d", ++world.sessions);
    a->session->made = the_time;
    apr_hash_set(world.by_id, a->session->id, APR_HASH_KEY_STRING, a->session);
    tally.sessions_twice += b->sessions++ == 1;
    a->next = buy_fill;
}

/* To the purchase page. */
static void open_page(actor *a)
{
    a->browser->page = book_of(a->row.id);
    a->browser->token = NULL;
    a->next = NULL;
}

static void buy_fill(actor *a)
{
    apr_status_t rv = pwk_ledger_fill(ledger_of(a), a->row.id, apr_pstrcat(a->pool, "sealed ", a->session->id, NULL),
                                      clock_of(a) + S(PWK_SESSION_LIFE_S), clock_of(a), a->pool);

    told(a, "purchase %d: fill with %s: %s", number_of(a->row.id), a->session->id, said(rv));
    touch(a->row.id);
    if (rv == APR_SUCCESS || rv == APR_EBUSY) {
        open_page(a);
    }
    a->next = NULL;
}

static void buy_wait(actor *a)
{
    apr_time_t now = clock_of(a), was = a->row.due;

    if (*a->row.session) {
        open_page(a);
        return;
    }
    touch(a->row.id);
    if (now > was && pwk_ledger_take_over(ledger_of(a), a->row.id, was, now + S(10), a->pool) == APR_SUCCESS) {
        told(a, "purchase %d: takes over the making of the session", number_of(a->row.id));
        a->next = buy_make_session;
        return;
    }
    if (now > a->give_up
        || pwk_ledger_read(&a->row, ledger_of(a), apr_pstrdup(a->pool, a->row.id), a->pool) != APR_SUCCESS
        || a->row.state != PWK_PURCHASE_CREATED) {
        a->next = NULL;
    }
}

/* --- authorize: pwk_authorize.c --- */

static void auth_prepare(actor *a);
static void auth_products(actor *a);
static void auth_claim(actor *a);
static void auth_check(actor *a);
static void auth_send(actor *a);
static void auth_answer(actor *a);
static void auth_commit(actor *a);
static void auth_commit_late(actor *a);
static void auth_later(actor *a);

static void auth(actor *a)
{
    apr_status_t rv = pwk_ledger_read(&a->row, ledger_of(a), a->page->id, a->pool);

    a->next = rv == APR_SUCCESS ? look : NULL;
    a->at = &a->row;
    a->after = auth_prepare;
}

static void auth_prepare(actor *a)
{
    a->next = a->row.state == PWK_PURCHASE_CREATED && *a->row.session ? auth_products : NULL;
    if (!a->next && a->browser->page == a->page && chance(60)) {
        a->browser->page = NULL; /* the page says how it stands: the reader goes elsewhere */
    }
}

/* APR_SUCCESS: the reader has it, or will have. */
static apr_status_t find_products(actor *a, int *pending)
{
    apr_status_t rv;

    *pending = 0;
    if (has_all(a->has, a->row.products)) {
        return APR_SUCCESS;
    }
    rv = pending_for(a, &a->row);
    *pending = rv == APR_SUCCESS;
    return rv;
}

static void auth_products(actor *a)
{
    pwk_purchase running;
    apr_status_t rv;
    int pending;

    a->asked = clock_of(a);
    a->truly_asked = the_time;
    a->next = NULL;
    if (!visit(a)) {
        return;
    }
    rv = find_products(a, &pending);
    if (rv == APR_NOTFOUND) {
        a->next = auth_claim;
    } else if (rv == APR_SUCCESS && !pending
               && pwk_ledger_running(&running, ledger_of(a), "example", "stage", a->account, a->pool) != APR_SUCCESS) {
        a->row.error = "already_owned";
        moved(a, &a->row, PWK_EVENT_AGED, clock_of(a));
    }
}

static void auth_claim(actor *a)
{
    book *b = book_of(a->row.id);
    apr_time_t now = clock_of(a);
    pwk_purchase other;
    apr_status_t rv;

    a->row.token_hash = hash_of(a->token->text, a->pool);
    a->row.claimed = now;
    a->row.due = now + S(DUE_S);
    pwk_purchase_set_grant(&a->row, now);
    rv = pwk_ledger_claim(ledger_of(a), &a->row, &other, a->pool);
    touch(b->id);
    told(a, "purchase %d of reader %s: claim with %s: %s", b->number, a->account, a->token->text, said(rv));
    a->next = rv == APR_SUCCESS ? auth_check : NULL;
    if (rv == APR_SUCCESS) {
        b->asked = a->truly_asked;
    }
    if (rv == APR_EBUSY) {
        if (!strcmp(other.token_hash, a->row.token_hash)) {
            tally.claims_by_a_used_token++;
        } else {
            tally.claims_beside_a_running_one++;
        }
    }
}

static void commit_with(actor *a, pwk_purchase_event event)
{
    a->event = event;
    a->tries = 0;
    a->next = auth_commit;
}

static void auth_check(actor *a)
{
    pwk_purchase other;
    apr_status_t rv = pwk_ledger_finished(&other, ledger_of(a), &a->row, a->asked - S(PWK_CLOCK_LEEWAY_S), a->pool);
    int pending;

    if (rv == APR_SUCCESS) {
        tally.checked_again++;
        book_of(a->row.id)->asked = the_time;
        rv = visit(a) ? find_products(a, &pending) : APR_EGENERAL;
    }
    a->next = auth_send;
    if (rv != APR_NOTFOUND) {
        told(a, "purchase %d: not sent, the reader %s", number_of(a->row.id),
             rv == APR_SUCCESS ? "has it by now" : "may have it");
        tally.owned_after_the_claim += rv == APR_SUCCESS && clock_of(a) <= a->row.due;
        commit_with(a, PWK_EVENT_NOT_SENT);
    }
}

/* What Payway answers when it is not asked to lie. */
static const struct {
    const char *before_id, *after_id;
} accepted[] = {
    {"{\"item\":{\"order_id\":\"", "\",\"redirect_url\":\"https://payments.klarna.com/x\"}}"},
    {"{\"order_id\":\"", "\",\"redirect_uri\":\"https://payments.klarna.com/x\"}"},
    {"{\"item\":{\"redirect_url\":\"https://payments.klarna.com/", "\"}}"},
};
typedef struct {
    int status;
    const char *type, *body;
} spoken;
#define JSON "application/json"
#define HTML "text/html"
/* Whether it acted, nobody can tell from these. */
static const spoken believed_by_nobody[] = {
    {500, JSON, "{\"code\":\"server_error\",\"message\":\"m\"}"},
    {502, HTML, "<html>Bad Gateway</html>"},
    {503, HTML, ""},
    {504, HTML, "<html>Gateway Timeout</html>"},
    {409, JSON, "{\"code\":\"conflict\",\"message\":\"m\"}"},
    {408, JSON, "{\"code\":\"timeout\",\"message\":\"m\"}"},
    {302, HTML, ""},
    {403, HTML, "<html>Attention Required!</html>"},
    {400, HTML, "<html>Bad Request</html>"},
    {429, HTML, "<html>slow down</html>"},
    {200, JSON, "{\"item\":{\"order_id\":\"ADEPR"},
    {200, JSON, "{}"},
    {200, HTML, "<html>welcome</html>"},
    {200, JSON, ""},
    {200, JSON, "{\"code\":\"payment_declined\",\"message\":\"m\",\"order_id\":\"X\"}"},
};
static const spoken refusals[] = {
    {400, JSON, "{\"code\":\"invalid_field\",\"field\":\"klarna_authorization_token\",\"message\":\"m\"}"},
    {401, JSON, "{\"code\":\"unauthorized\",\"message\":\"m\"}"},
    {403, JSON, "{\"code\":\"forbidden\",\"message\":\"m\"}"},
    {422, JSON, "{\"code\":\"package_already_active\",\"message\":\"m\"}"},
    {429, JSON, "{\"code\":\"rate_limited\",\"message\":\"m\"}"},
};
static const spoken not_completed[] = {
    {403, JSON, "{\"code\":\"payment_method_failed\",\"message\":\"m\"}"},
    {403, JSON, "{\"message\":\"payment method failed\"}"},
    {400, JSON, "{\"code\":\"ssn_already_taken\",\"message\":\"m\"}"},
};

static pwk_payway_answer spoken_answer(const spoken *of)
{
    return (pwk_payway_answer){
        .status = of->status, .content_type = of->type, .body = of->body, .len = strlen(of->body)};
}
#define ONE_OF(table) spoken_answer(&(table)[roll(COUNT(table))])

/* The row as a connection of its own sees it, which has no trouble. */
static apr_status_t witnessed(pwk_purchase *row, const char *id)
{
    int fail = trouble.fail;
    apr_status_t rv;

    trouble.fail = 0;
    rv = pwk_ledger_read(row, witness, id, step_pool);
    trouble.fail = fail;
    return rv;
}

/* The order leaves the host: what must hold now is asked of a connection of its own. */
static void check_post(book *b, klarna_token *token, klarna_session *session)
{
    pwk_purchase row;

    assert_int_equal(witnessed(&row, b->id), APR_SUCCESS);
    if (row.state == PWK_PURCHASE_CREATED || row.state == PWK_PURCHASE_EXPIRED
        || strcmp(row.token_hash, hash_of(token->text, step_pool)) != 0) {
        VIOLATED("INV-4: the order of purchase %d leaves while its row says %s", b->number,
                 pwk_purchase_word(row.state));
    }
    if (b->posts++) {
        VIOLATED("INV-1, INV-8: a second order of purchase %d leaves", b->number);
    }
    if ((session->posted_for && strcmp(session->posted_for, b->id) != 0)
        || (token->posted_for && strcmp(token->posted_for, b->id) != 0)) {
        VIOLATED("INV-2: %s or %s was sent for another purchase than %d", session->id, token->text, b->number);
    }
    session->posted_for = token->posted_for = b->id;
}

/* What stands in the request's bytes. */
static book *read_post(klarna_session **session, actor *a, const pwk_payway_request *request)
{
    json_t *body = json_loads(request->body, 0, NULL);
    const char *reference = json_string_value(json_object_get(body, "merchant_reference"));
    const char *id = apr_pstrndup(a->pool, reference, PWK_PURCHASE_ID_LEN);
    book *b = book_of(id);

    *session = apr_hash_get(world.by_id, json_string_value(json_object_get(body, "klarna_payments_session_id")),
                            APR_HASH_KEY_STRING);
    assert_string_equal(json_string_value(json_object_get(body, "klarna_authorization_token")), a->token->text);
    json_decref(body);
    assert_non_null(b);
    assert_non_null(*session);
    return b;
}

static void auth_send(actor *a)
{
    pwk_sale sale = {.path = "/", .language = "sv", .traffic_source = "", .merchant_reference = "paper"};
    pwk_order_authorization authorization = {
        .token = a->token->text, .browser_ip = "192.0.2.1", .browser_language = "sv-SE", .browser_user_agent = "-"};
    pwk_payway_request request =
        pwk_order_place_request(&a->row, &sale, a->row.session + strlen("sealed "), &authorization, a->pool);
    klarna_session *session;
    book *b = read_post(&session, a, &request);
    unsigned fate = world.calm || (world.crowded && chance(80)) ? 99 : roll(100);
    const char *words = "answered";

    a->unsent = a->cut = 0;
    a->sent = clock_of(a);
    a->next = auth_answer;
    if (fate < 12 || (world.offline && !world.calm && chance(50))) {
        a->unsent = 1;
        told(a, "purchase %d: the order does not leave the host", b->number);
        return;
    }
    check_post(b, a->token, session);
    if (fate < 18) {
        words = "cut before anybody acted";
        a->cut = 1;
    } else if (fate < 24) {
        words = "lied about before anybody acted";
        a->answer = ONE_OF(believed_by_nobody);
    } else if (fate < 29) {
        words = "refused";
        a->answer = ONE_OF(refusals);
    } else if (fate < 34) {
        words = "broken off";
        a->answer = ONE_OF(not_completed);
    } else if (fate < 44) {
        words = "acted on, and cut";
        a->cut = 1;
        deliver(b, a->token, session, 0);
    } else if (fate < 54) {
        words = "acted on, and lied about";
        a->answer = ONE_OF(believed_by_nobody);
        deliver(b, a->token, session, 0);
    } else if (fate < 60) {
        words = "kept for later, and cut";
        a->cut = 1;
        deliver(b, a->token, session, chance(50) ? S(1 + roll(3600)) : S(3000 + roll(600)));
    } else if (deliver(b, a->token, session, 0)) {
        unsigned which = roll(COUNT(accepted));
        const char *body = apr_pstrcat(a->pool, accepted[which].before_id, b->order_id, accepted[which].after_id, NULL);
        a->answer = (pwk_payway_answer){.status = 200, .content_type = JSON, .body = body, .len = strlen(body)};
    } else {
        words = "refused by Klarna";
        a->answer = spoken_answer(&refusals[0]);
    }
    told(a, "purchase %d of reader %s: the order is sent with %s and %s", b->number, b->account, session->id, words);
}

/* An answer that came in time may be read late, by a host that was suspended. */
static void auth_answer(actor *a)
{
    pwk_outcome_placed placed = {"", ""};
    pwk_result result = pwk_result_fail(PWK_UNAVAILABLE, APR_EGENERAL, "timeout", "no answer");
    pwk_purchase_event event = a->unsent ? PWK_EVENT_NOT_SENT : PWK_EVENT_LOST;

    if (!a->unsent && !a->cut && (clock_of(a) - a->sent <= S(ORDER_DEADLINE_S) || chance(50))) {
        event = pwk_outcome_read(&placed, &result, &a->answer, a->pool);
        a->row.order_id = placed.order_id;
    }
    a->row.redirect = *placed.redirect ? "sealed-redirect" : "";
    a->row.error = event == PWK_EVENT_ACCEPTED || event == PWK_EVENT_NOT_SENT ? "" : result.code;
    a->row.field = *a->row.error ? result.field : "";
    commit_with(a, event);
}

static void count_outcome(const actor *a)
{
    tally.accepted += a->event == PWK_EVENT_ACCEPTED;
    tally.refused += a->event == PWK_EVENT_REFUSED;
    tally.not_completed += a->event == PWK_EVENT_NOT_COMPLETED;
    tally.lost += a->event == PWK_EVENT_LOST;
    tally.not_sent += a->event == PWK_EVENT_NOT_SENT;
}

/* move_patiently; what it does on APR_EEXIST is in here too. Whatever is not committed is found out again. */
static void auth_commit(actor *a)
{
    apr_time_t now = clock_of(a);
    apr_status_t rv = moved(a, &a->row, a->event, now);

    if (rv == APR_EEXIST) {
        tally.given_back_beside_another++;
        a->event = PWK_EVENT_REFUSED;
        a->row.error = "not_sent";
        rv = moved(a, &a->row, a->event, now);
    }
    if (rv == APR_SUCCESS) {
        a->tries = 0;
        count_outcome(a);
        a->next = auth_later;
    } else if (rv == APR_EBUSY) {
        a->next = auth_commit_late;
    } else if (rv == APR_EINVAL || ++a->tries == TRIES) {
        pwk_purchase_action action;
        pwk_purchase_next(&a->row.state, &action, a->row.state, a->event);
        a->next = auth_later;
    }
}

/* Called overdue, or found, meanwhile. */
static void auth_commit_late(actor *a)
{
    pwk_purchase fresh;
    apr_status_t rv = pwk_ledger_read(&fresh, ledger_of(a), a->row.id, a->pool);

    a->next = auth_later;
    if (rv == APR_SUCCESS && fresh.state == PWK_PURCHASE_UNKNOWN) {
        a->row.state = fresh.state;
        rv = moved(a, &a->row, a->event, clock_of(a));
        tally.accepted_after_overdue += rv == APR_SUCCESS && a->event == PWK_EVENT_ACCEPTED;
        return;
    }
    if (rv == APR_SUCCESS && a->event == PWK_EVENT_ACCEPTED
        && (fresh.state == PWK_PURCHASE_PLACED || fresh.state == PWK_PURCHASE_CONFIRMED)) {
        tally.accepted_after_found++;
        a->row.state = fresh.state;
    }
}

static void auth_later(actor *a)
{
    a->next = NULL;
    if (a->row.state == PWK_PURCHASE_PLACED && pwk_purchase_starts_later(&a->row, clock_of(a))) {
        moved(a, &a->row, PWK_EVENT_SHOWN, clock_of(a));
    }
}

/* --- what must hold after every step --- */

#define BIT(state) (1u << PWK_PURCHASE_##state)
/* Said anew, not taken from the table. */
static const unsigned may_become[PWK_PURCHASE_STATES] = {
    [PWK_PURCHASE_CREATED] = BIT(PLACING) | BIT(EXPIRED),
    [PWK_PURCHASE_PLACING] = BIT(CREATED) | BIT(PLACED) | BIT(FAILED) | BIT(UNKNOWN),
    [PWK_PURCHASE_UNKNOWN] = BIT(PLACED) | BIT(FAILED) | BIT(MANUAL),
    [PWK_PURCHASE_MANUAL] = BIT(PLACED) | BIT(FAILED),
    [PWK_PURCHASE_PLACED] = BIT(CONFIRMED),
};

static void check_move(const book *b, const pwk_purchase *row)
{
    pwk_purchase_state to = row->state;

    if (b->exists && !(may_become[b->state] & (1u << to))) {
        VIOLATED("INV-5, INV-8: purchase %d goes from %s to %s", b->number, pwk_purchase_word(b->state),
                 pwk_purchase_word(to));
    }
    if (to == PWK_PURCHASE_CREATED && b->posts) {
        VIOLATED("INV-1: purchase %d is given back, and its order has left", b->number);
    }
    /* What is still under way comes too late, or is caught when it charges. */
    if (to == PWK_PURCHASE_FAILED && b->charges) {
        VIOLATED("INV-6: purchase %d fails, and is charged", b->number);
    }
    if (to == PWK_PURCHASE_PLACED && !b->charges) {
        VIOLATED("INV-6: purchase %d is placed, and nobody was charged", b->number);
    }
    if (to == PWK_PURCHASE_MANUAL && the_time - b->claimed < HOURS(47)) {
        VIOLATED("purchase %d waits for an operator after %ld s", b->number, (long)apr_time_sec(the_time - b->claimed));
    }
    /* Nobody may have looked for two days, or in vain; whoever looks now in peace finds out. */
    if (to == PWK_PURCHASE_MANUAL && world.calm && !world.no_scope && b->claimed > world.calm_since - HOURS(40)
        && !has_all(products_of(b->account, step_pool), b->products)) {
        VIOLATED("INV-6: purchase %d waits for an operator, and the list could be read", b->number);
    }
}

/* A reading counts once: whoever counts has read the row after the last that was counted. */
static void check_negatives(book *b, const pwk_purchase *row, const actor *by)
{
    if (row->negatives == b->negatives) {
        return;
    }
    if (row->negatives != b->negatives + 1 || !by || by->read_at < b->counted_at) {
        VIOLATED("purchase %d: two readings at once count twice (%d, %d)", b->number, b->negatives, row->negatives);
    }
    b->counted_at = step_number;
}

/* INV-3: by the states' own words, not by the ledger's. */
static void check_one_at_a_time(void)
{
    apr_array_header_t *rows =
        raw_rows("SELECT account FROM payway_purchase WHERE state IN ('placing', 'unknown', 'manual', 'placed')"
                 " GROUP BY organisation, environment, account HAVING COUNT(*) > 1");

    if (rows->nelts) {
        VIOLATED("INV-3: two purchases of reader %s run side by side", APR_ARRAY_IDX(rows, 0, const char *));
    }
}

static void check_row(book *b, const actor *by)
{
    pwk_purchase row;
    apr_status_t rv = witnessed(&row, b->id);

    if (rv == APR_NOTFOUND) {
        if (b->exists && (b->state != PWK_PURCHASE_CREATED || *b->session || b->posts)) {
            VIOLATED("INV-5: purchase %d (%s) has disappeared", b->number, pwk_purchase_word(b->state));
        }
        b->exists = 0;
        return;
    }
    assert_int_equal(rv, APR_SUCCESS);
    if (b->exists ? row.state != b->state : row.state != PWK_PURCHASE_CREATED) {
        check_move(b, &row);
        check_one_at_a_time();
    }
    if (*b->session && strcmp(b->session, row.session) != 0) {
        VIOLATED("INV-2: purchase %d gets another session than the one that the reader sees", b->number);
    }
    check_negatives(b, &row, by);
    if (strlen(row.token_hash) != (row.state == PWK_PURCHASE_CREATED || !row.claimed ? 0 : sizeof(b->token_hash) - 1)) {
        VIOLATED("INV-9: purchase %d holds '%s' for a token's hash", b->number, row.token_hash);
    }
    b->exists = 1;
    b->state = row.state;
    if (strcmp(b->session, row.session) != 0) {
        b->session = apr_pstrdup(run_pool, row.session);
    }
    b->negatives = row.negatives;
    b->claimed = row.claimed;
    b->due = row.due;
    b->grant_from = row.grant_from;
    b->grant_until = row.grant_until;
    apr_cpystrn(b->token_hash, row.token_hash, sizeof(b->token_hash));
}

static void check_step(const actor *by)
{
    for (int i = 0; i < touched.count; i++) {
        check_row(touched.of[i], by);
    }
    if (trouble.complaints && !trouble.expected) {
        VIOLATED("the ledger complains of nothing that was done to it: %s", trouble.words);
    }
    trouble.complaints = trouble.expected = 0;
    touched.count = 0;
    apr_pool_clear(step_pool);
}

/* --- steps --- */

static actor *idle_actor(void)
{
    for (int i = 0; i < ACTORS; i++) {
        if (!actors[i].next) {
            return &actors[i];
        }
    }
    return NULL;
}

/* Some threads are slow: what others do falls between two of their steps. So is, in a crowd, the way from the products to the
 * claim; where orders do not leave, the way to a new row; and who tries again has waited. */
static int is_slow(const actor *a)
{
    return a->number < world.sluggish || (world.crowded && a->next == auth_claim)
           || (world.offline && a->next == buy_begin) || a->tries;
}

static actor *busy_actor(void)
{
    actor *slow = NULL;

    for (int i = 0, first = (int)roll(ACTORS); i < ACTORS; i++) {
        actor *a = &actors[(first + i) % ACTORS];
        if (!a->next) {
            continue;
        }
        if (!is_slow(a) || chance(6)) {
            return a;
        }
        slow = a;
    }
    return slow;
}

/* An actor for a request of `browser`, or of a host alone. */
static actor *engage(next_step *first, struct browser *browser)
{
    actor *a = idle_actor();
    apr_pool_t *p;
    int number;

    if (!a) {
        return NULL;
    }
    p = a->pool;
    number = a->number;
    apr_pool_clear(p);
    *a = (actor){.number = number, .pool = p, .host = (int)roll(HOSTS), .next = first, .browser = browser};
    a->account = accounts[browser ? browser->reader : 0];
    a->site = browser ? browser->site : NULL;
    a->page = browser ? browser->page : NULL;
    return a;
}

/* Often the one that was pressed last: a double click, or another tab. */
static struct browser *some_browser(void)
{
    if (!world.pressed || chance(60)) {
        world.pressed = &browsers[roll(world.crowded ? 2 * BROWSERS : COUNT(browsers))];
    }
    return world.pressed;
}

/* The reader approves in the widget: an authorization for the session that the page shows. */
static void approve(struct browser *browser, const actor *on)
{
    pwk_purchase row;
    klarna_token *token;

    if (pwk_ledger_read(&row, ledger_of(on), browser->page->id, step_pool) != APR_SUCCESS
        || row.state != PWK_PURCHASE_CREATED || !*row.session) {
        return;
    }
    token = apr_pcalloc(run_pool, sizeof(*token));
    token->text = apr_psprintf(run_pool, "authorization-%d", ++world.tokens);
    token->of = apr_hash_get(world.by_id, row.session + strlen("sealed "), APR_HASH_KEY_STRING);
    token->approved = the_time;
    assert_non_null(token->of);
    world.recent[world.tokens % TOKENS_KEPT] = token;
    browser->token = token;
}

/* A browser does something. A page that has nothing to approve any more is left. */
static void press(struct browser *browser)
{
    struct browser *other = &browsers[browser->reader * BROWSERS + (int)roll(BROWSERS)];
    actor *a;

    if (!browser->page || chance(25)) {
        engage(buy, browser);
        return;
    }
    a = engage(auth, browser);
    if (!a) {
        return;
    }
    if (!browser->token || chance(50)) {
        approve(browser, a);
    }
    a->token = chance(90) ? browser->token : world.recent[roll(TOKENS_KEPT)]; /* replayed, or another's */
    if (!a->token) {
        a->next = NULL;
    }
    if (chance(10) && other->site == browser->site) { /* another browser of the reader opens the same page */
        *other = *browser;
    }
    if (chance(10)) {
        browser->page = NULL;
    }
}

/* One browser, or all of a reader's at once. */
static void start_request(void)
{
    const struct browser *first = some_browser();
    int all = world.crowded && chance(50);

    for (int i = 0; i < BROWSERS; i++) {
        struct browser *browser = &browsers[first->reader * BROWSERS + i];
        if (all || browser == first) {
            press(browser);
        }
    }
}

static void look_at(actor *a)
{
    apr_status_t rv = pwk_ledger_read(&a->row, ledger_of(a), a->page->id, a->pool);

    a->at = &a->row;
    a->next = rv == APR_SUCCESS ? look : NULL;
}

static int is_open(const book *b)
{
    return b->exists && b->state != PWK_PURCHASE_FAILED && b->state != PWK_PURCHASE_CONFIRMED
           && b->state != PWK_PURCHASE_EXPIRED;
}

/* A host, or a returning reader, looks at one that is not over; often at the one that somebody else looks at. */
static void start_look(void)
{
    struct browser nobody = {0};
    book *last = world.looked_at;
    int first;

    if (!world.books->nelts) {
        return;
    }
    first = (int)roll((unsigned)world.books->nelts);
    for (int i = 0; i < world.books->nelts; i++) {
        book *b = book_at((first + i) % world.books->nelts);
        if (is_open(b) && b->state != PWK_PURCHASE_CREATED) {
            first = b->number - 1;
            break;
        }
    }
    nobody.page = last && chance(40) && is_open(last) ? last : book_at(first);
    world.looked_at = nobody.page;
    engage(look_at, &nobody);
}

static void visit_alone(actor *a)
{
    if (visit(a) && !trouble.expected) {
        check_open(a, clock_of(a));
    }
    a->next = NULL;
}

/* Whoever dies forgets everything; what it sent is under way. */
static void crash(actor *a)
{
    if (a && a->next) {
        tally.crashed_with_a_claim += a->row.state == PWK_PURCHASE_PLACING;
        told(a, "dies");
        a->next = NULL;
    }
}

static void crash_host(void)
{
    int host = (int)roll(HOSTS);

    for (int i = 0; i < ACTORS; i++) {
        if (actors[i].host == host) {
            crash(&actors[i]);
        }
    }
}

/* The operator looks into the books of Payway, and says what is there. */
static void operator(void)
{
    for (int i = 0; i < world.books->nelts; i++) {
        book *b = book_at(i);
        if (b->exists && b->state == PWK_PURCHASE_MANUAL) {
            actor *a = engage(NULL, NULL);
            if (a && pwk_ledger_read(&a->row, ledger_of(a), b->id, a->pool) == APR_SUCCESS) {
                tally.resolved +=
                    moved(a, &a->row, b->charges ? PWK_EVENT_FOUND : PWK_EVENT_ABSENT, clock_of(a)) == APR_SUCCESS;
            }
            return;
        }
    }
}

static void some_time_passes(void)
{
    unsigned which = roll(1000);
    apr_time_t span = which < 650   ? S(1 + roll(6))
                      : which < 900 ? S(10 + roll(100))
                      : which < 945 ? MINUTES(1 + roll(30))
                      : which < 960 ? MINUTES(51)
                      : which < 985 ? MINUTES(65)
                      : which < 997 ? HOURS(1 + roll(20))
                                    : HOURS(48);

    pass(span);
    say("%ld s pass", (long)apr_time_sec(span));
    if (!world.crowded && chance(1)) {
        world.list_gone_until = the_time + HOURS(roll(60));
        say("Payway's list of orders is gone for %ld s", (long)apr_time_sec(world.list_gone_until - the_time));
    }
}

static void advance(actor *a)
{
    static const int lengths[] = {1, 2, 4, 8};
    unsigned rare = a->next != auth_commit ? 300 : world.flaky ? 3 : 25;

    trouble.fail = !world.calm && roll(rare) == 0 ? lengths[roll(COUNT(lengths))] : 0;
    trouble.executed = chance(50);
    a->next(a);
    trouble.fail = 0;
    check_step(a);
}

static void take_step(void)
{
    unsigned which = roll(1000), time = world.slow ? 140 : 45;
    int busy = 0;

    for (int i = 0; i < ACTORS; i++) {
        busy += actors[i].next != NULL;
    }
    step_number++;
    if (which < time) {
        some_time_passes();
    } else if (which < time + 13) {
        if (!world.crowded || chance(25)) {
            crash(busy_actor());
        }
    } else if (which < time + 15) {
        crash_host();
    } else if (which < time + 23) {
        operator();
    } else if (which < time + 50) {
        actor *a = engage(visit_alone, some_browser());
        if (a) {
            advance(a);
        }
    } else if (busy && (busy >= world.crowd || chance(70))) {
        advance(busy_actor());
    } else if (chance(70)) {
        start_request();
    } else {
        start_look();
    }
    check_step(NULL);
}

/* --- a seed's world, from its beginning to its end --- */

static void begin_world(uint64_t its_seed)
{
    int n;

    seed = dice = its_seed;
    roll(2);
    history.count = 0;
    the_time = BEGINNING;
    step_number = 0;
    touched.count = 0;
    memset(&trouble, 0, sizeof(trouble));
    apr_pool_create(&run_pool, pool);
    memset(&world, 0, sizeof(world));
    world.books = apr_array_make(run_pool, 256, sizeof(book *));
    world.by_id = apr_hash_make(run_pool);
    world.every_order_charges = its_seed % 2 != 0;
    world.looks_early = its_seed / 2 % 2 != 0;
    world.crowded = its_seed / 4 % 4 == 2;
    world.crowd = world.crowded ? 8 : 2 + (int)(its_seed % 9);
    world.flaky = its_seed % 5 == 1;
    world.sluggish = its_seed % 3 ? 3 : 0;
    world.slow = !world.crowded && its_seed / 4 % 3 == 0;
    world.offline = its_seed / 4 % 4 == 1;
    world.no_scope = its_seed % 8 == 6 || its_seed % 8 == 5;
    for (int i = 0; i < HOSTS; i++) {
        skews[i] = S((int)roll(5) - 2);
    }
    memset(browsers, 0, sizeof(browsers));
    for (size_t i = 0; i < COUNT(browsers); i++) {
        browsers[i].reader = (int)i / BROWSERS;
        browsers[i].site = sites[i % SITES];
    }
    for (int i = 0; i < ACTORS; i++) {
        actors[i] = (actor){.number = i};
        apr_pool_create(&actors[i].pool, run_pool);
    }
    apr_dbd_query(raw_driver, raw, &n, "DELETE FROM payway_purchase");
    say("seed %llu: %s, %s, hosts' clocks %+d %+d %+d", (unsigned long long)its_seed,
        world.every_order_charges ? "every order charges" : "Klarna's rules",
        world.no_scope ? "no list of orders" : "with the list of orders", (int)apr_time_sec(skews[0]),
        (int)apr_time_sec(skews[1]), (int)apr_time_sec(skews[2]));
}

/* One look at everything that is not over, and a visit of everybody. */
static void sweep(void)
{
    for (int i = 0; i < world.books->nelts; i++) {
        book *b = book_at(i);
        struct browser page = {.page = b};
        actor *a;
        if (!is_open(b)) {
            continue;
        }
        a = engage(look_at, &page);
        while (a->next) {
            step_number++;
            advance(a);
        }
    }
    for (int i = 0; i < READERS * BROWSERS; i += BROWSERS) {
        actor *a = engage(visit_alone, &browsers[i]);
        step_number++;
        advance(a);
    }
}

/* Time passes and hosts look, until nothing moves any more. */
static void come_to_an_end(void)
{
    static const apr_time_t spans[] = {S(6),        MINUTES(2), MINUTES(10), MINUTES(20), MINUTES(40),
                                       MINUTES(66), HOURS(6),   HOURS(18),   HOURS(50),   HOURS(30)};

    world.calm = 1;
    world.calm_since = the_time;
    world.list_gone_until = 0;
    for (int i = 0; i < ACTORS; i++) { /* some finish, some die */
        if (chance(50)) {
            crash(&actors[i]);
        }
        while (actors[i].next) {
            step_number++;
            if (actors[i].next == buy_wait) {
                pass(S(2));
            }
            advance(&actors[i]);
        }
    }
    for (size_t i = 0; i < COUNT(spans); i++) {
        pass(spans[i]);
        say("%ld s pass, and everybody looks", (long)apr_time_sec(spans[i]));
        sweep();
    }
    for (int i = 0; i < world.books->nelts; i++) {
        operator();
        check_step(NULL);
    }
    pass(HOURS(100));
    sweep();
}

static void check_ends(void)
{
    for (int i = 0; i < world.books->nelts; i++) {
        book *b = book_at(i);
        check_row(b, NULL);
        if (b->charges && (!b->exists || (b->state != PWK_PURCHASE_PLACED && b->state != PWK_PURCHASE_CONFIRMED))) {
            VIOLATED("INV-6: purchase %d was charged and ends as %s", b->number, pwk_purchase_word(b->state));
        }
        if (!b->charges && b->exists && b->state != PWK_PURCHASE_FAILED && b->state != PWK_PURCHASE_EXPIRED) {
            VIOLATED("INV-5, INV-6: purchase %d was not charged and ends as %s", b->number,
                     pwk_purchase_word(b->state));
        }
        if (b->exists && b->state == PWK_PURCHASE_PLACED) {
            VIOLATED("INV-5: purchase %d is still waited for", b->number);
        }
    }
    check_one_at_a_time();
}

/* INV-9: a hash is all that is left of an authorization. */
static void check_no_token(void)
{
    apr_array_header_t *rows = raw_rows("SELECT * FROM payway_purchase");

    for (int i = 0; i < rows->nelts; i++) {
        if (strstr(APR_ARRAY_IDX(rows, i, const char *), "authorization-")) {
            VIOLATED("INV-9: a row holds a token: %.100s", APR_ARRAY_IDX(rows, i, const char *));
        }
    }
}

static long number_from(const char *name, long otherwise)
{
    const char *value = getenv(name);

    return value && *value ? atol(value) : otherwise;
}

static void money(void **state)
{
    long steps = number_from("PWK_MONEY_STEPS", STEPS);
    uint64_t first = (uint64_t)number_from("PWK_MONEY_SEED", 1);

    (void)state;
    for (uint64_t i = 0; steps > 0; i++, steps -= STEPS_OF_A_SEED) {
        begin_world(first + i);
        for (long step = 0; step < steps && step < STEPS_OF_A_SEED; step++) {
            take_step();
        }
        come_to_an_end();
        check_ends();
        check_no_token();
        apr_pool_destroy(run_pool);
    }
}

/* Everything that the first test is about has happened in it: with the steps that it takes of itself. */
static void and_all_of_it_happened(void **state)
{
    unsigned long least = ULONG_MAX;

    (void)state;
    for (size_t i = 0; i < COUNT(tally_lines); i++) {
        unsigned long count = *(const unsigned long *)(const void *)((const char *)&tally + tally_lines[i].offset);
        printf("# %s: %lu\n", tally_lines[i].name, count);
        least = count < least ? count : least;
    }
    assert_true(least > 0 || getenv("PWK_MONEY_STEPS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money),
        cmocka_unit_test(and_all_of_it_happened),
    };

    return cmocka_run_group_tests(tests, begin_all, end_all);
}
