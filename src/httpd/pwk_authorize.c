#include "pwk_authorize.h"

#include <apr_escape.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <openssl/sha.h>
#include <string.h>

#include "../core/pwk_limits.h"
#include "../core/pwk_order.h"
#include "../core/pwk_outcome.h"
#include "../core/pwk_text.h"
#include "pwk_account.h"
#include "pwk_grants.h"
#include "pwk_ledger.h"
#include "pwk_point.h"
#include "pwk_post.h"
#include "pwk_purchases.h"
#include "pwk_reconcile.h"
#include "pwk_resume.h"

/* What the answer may take to be read and committed once it is there; past it, whoever placed the order is gone. */
enum { SLACK_S = 15, COMMIT_TRIES = 3 };

/* One authorization on its way. */
typedef struct {
    request_rec *r;
    pwk_visit *visit;
    const pwk_site *site;
    const char *authorization; /* klarna_authorization_token */
    const char *token;         /* with identity */
    const pwk_reader *reader;  /* with the products as they were just read */
    pwk_sale sale;
    pwk_klarna_session session;
    pwk_purchase purchase;
    apr_time_t asked; /* when the products were asked for */
} placing;

static const char *hash_of(const char *token, apr_pool_t *p)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)token, strlen(token), hash);
    return apr_pescape_hex(p, hash, sizeof(hash), 0);
}

/* How `purchase` stands: on to Klarna or the confirmation when it is placed, else to its page. */
static int answer_with(placing *on, const pwk_purchase *purchase, const char *notice)
{
    if (purchase->state == PWK_PURCHASE_PLACED || purchase->state == PWK_PURCHASE_CONFIRMED)
        return pwk_pages_redirect(on->r, HTTP_SEE_OTHER, pwk_purchases_onward(on->r, on->site, purchase));
    return pwk_purchases_to_page(on->r, on->site, purchase, notice);
}

static int answer_with_current(placing *on)
{
    pwk_purchase now;
    if (pwk_purchases_reread(&now, on->site, on->purchase.id, on->r->pool) != APR_SUCCESS)
        return pwk_purchases_to_page(on->r, on->site, &on->purchase, NULL);
    return answer_with(on, &now, NULL);
}

/* ---- before the claim: nothing has happened yet ---- */

/* The products as Payway says now, for the answer as well. */
static pwk_result read_products(placing *on)
{
    apr_pool_t *p = on->r->pool;
    pwk_reader *newer;
    pwk_result result = pwk_account_reread(&newer, on->site, on->visit->reader, on->token, p);
    if (result.http_status == HTTP_UNAUTHORIZED)
        pwk_account_forget_identity(on->site, on->visit->reader->sid, p);
    if (result.outcome == PWK_OK) {
        pwk_visit_set_reader(on->visit, newer);
        on->reader = newer;
    } else {
        pwk_account_complain(on->site, &result, "reading products before an order", p);
    }
    return result;
}

/* Whether the reader has the products: by Payway's word, or bought already to start later, by `*pending` (else without an id).
 * APR_NOTFOUND: not; any other: could not find out. */
static apr_status_t find_products(pwk_purchase *pending, placing *on)
{
    pending->id = NULL;
    if (!on->reader)
        return APR_EGENERAL;
    if (pwk_purchases_is_owned(on->reader, &on->purchase, on->r->pool))
        return APR_SUCCESS;
    return pwk_purchases_pending(pending, on->site, &on->purchase, on->r->pool);
}

static int answer_owned(placing *on, const pwk_purchase *pending)
{
    apr_pool_t *p = on->r->pool;
    pwk_purchase running;
    pwk_resume_forget(on->visit);
    /* What runs explains the products better than "you have it". */
    if (pwk_ledger_running(&running, on->site->ledger, on->purchase.organisation, on->purchase.environment,
                           on->purchase.account, p)
            == APR_SUCCESS
        && !strcmp(running.site, on->site->base_url))
        return answer_with(on, &running, NULL);
    if (pending->id)
        return strcmp(pending->site, on->site->base_url)
                   ? pwk_purchases_error(on->r, on->visit, HTTP_CONFLICT, "already_bought", &on->purchase)
                   : answer_with(on, pending, NULL);
    on->purchase.error = "already_owned";
    pwk_ledger_move(on->site->ledger, &on->purchase, PWK_EVENT_AGED, apr_time_now(), p);
    return answer_with_current(on);
}

/* Who has the products already is not sold them; who cannot be asked about is not sold anything on a guess. */
static int answer_products(placing *on, apr_status_t rv, const pwk_purchase *pending)
{
    if (rv == APR_NOTFOUND)
        return DECLINED;
    return rv == APR_SUCCESS ? answer_owned(on, pending)
                             : pwk_purchases_to_page(on->r, on->site, &on->purchase, "unavailable");
}

/* A token with identity, and the products by it. One that Payway does not take any more is replaced, once. */
static int see_to_identity(placing *on)
{
    const char *place =
        apr_pstrcat(on->r->pool, pwk_purchases_place(on->r, on->site, on->purchase.id), "?identified=1", NULL);
    int status = pwk_purchases_identity(&on->token, on->r, on->visit, PWK_IDENTITY_MIN_S, place, 0);
    on->asked = apr_time_now();
    if (status == DECLINED && read_products(on).http_status == HTTP_UNAUTHORIZED) {
        status = pwk_purchases_identity(&on->token, on->r, on->visit, PWK_IDENTITY_MIN_S, place, 0);
        if (status == DECLINED)
            read_products(on);
    }
    return status;
}

static int prepare(placing *on)
{
    apr_time_t now = on->r->request_time;
    pwk_purchase pending;
    apr_status_t rv;
    int status;
    if (on->purchase.state != PWK_PURCHASE_CREATED)
        return answer_with(on, &on->purchase, NULL);
    /* Klarna's is a UUID. What a firewall before Payway would stop is no authorization, and its page in place of an answer
     * would read like a lost one. */
    if (!pwk_text_is_opaque(on->authorization, PWK_AUTHORIZATION_MAX))
        return pwk_pages_error(on->r, on->visit, HTTP_BAD_REQUEST, "bad_request",
                               pwk_purchases_place(on->r, on->site, on->purchase.id));
    if (pwk_purchases_session(&on->session, on->site, &on->purchase, now, on->r->pool) != APR_SUCCESS
        || pwk_purchases_sale(&on->sale, on->site, &on->purchase, now, on->r->pool) != APR_SUCCESS)
        return pwk_purchases_error(on->r, on->visit, HTTP_GONE, "session_expired", &on->purchase);
    /* From here on the authorization waits in the browser, whatever else is answered: a button on the purchase page posts it
     * again. The claim takes it away. */
    if (pwk_resume_keep(on->visit, on->purchase.id, on->authorization) != APR_SUCCESS)
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, on->r,
            PWKLOG(0147) "purchase %s: an authorization could not be kept; its reader may have to approve once more",
            on->purchase.id);
    status = see_to_identity(on);
    if (status != DECLINED)
        return status;
    rv = find_products(&pending, on);
    return answer_products(on, rv, &pending);
}

/* ---- the claim ---- */

static int claim(placing *on)
{
    apr_pool_t *p = on->r->pool;
    pwk_purchase other;
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    apr_status_t rv;
    on->purchase.token_hash = hash_of(on->authorization, p);
    on->purchase.claimed = now;
    on->purchase.due = now + on->site->connect_timeout + on->site->order_timeout + apr_time_from_sec(SLACK_S);
    pwk_purchase_set_grant(&on->purchase, now);
    PWK_POINT("P0");
    rv = pwk_ledger_claim(on->site->ledger, &on->purchase, &other, p);
    if (rv == APR_SUCCESS)
        return DECLINED;
    if (rv == APR_EBUSY) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, on->r,
                      PWKLOG(0148) "purchase %s: not placed beside purchase %s, which is %s", on->purchase.id, other.id,
                      pwk_purchase_word(other.state));
        pwk_resume_forget(on->visit);
        if (!strcmp(other.site, on->site->base_url) && !strcmp(other.account, on->purchase.account))
            return answer_with(on, &other, NULL);
        return pwk_purchases_error(on->r, on->visit, HTTP_CONFLICT, "running", &on->purchase);
    }
    return rv == APR_NOTFOUND ? answer_with_current(on)
                              : pwk_purchases_to_page(on->r, on->site, &on->purchase, "unavailable");
}

/* Whatever was claimed is out, or given back: a ledger that is locked for a moment is waited for, well within the time that `due` leaves. */
static apr_status_t move_patiently(placing *on, pwk_purchase_event event, apr_time_t now)
{
    apr_status_t rv = APR_EGENERAL;
    for (int tries = 0; tries < COMMIT_TRIES; tries++) {
        if (tries)
            apr_sleep(apr_time_from_sec(1));
        rv = pwk_ledger_move(on->site->ledger, &on->purchase, event, now, on->r->pool);
        if (rv == APR_SUCCESS || rv == APR_EBUSY || rv == APR_EEXIST || rv == APR_EINVAL)
            break;
    }
    return rv;
}

/* The row is not as it was claimed: it was called overdue meanwhile, and perhaps more. The answer counts all the same. */
static apr_status_t commit_late(placing *on, pwk_purchase_event event, apr_time_t now)
{
    pwk_purchase fresh = {0};
    apr_status_t rv = pwk_purchases_reread(&fresh, on->site, on->purchase.id, on->r->pool);
    int accepted = event == PWK_EVENT_ACCEPTED;
    if (rv != APR_SUCCESS)
        return rv;
    on->purchase.state = fresh.state;
    if (fresh.state == PWK_PURCHASE_UNKNOWN && event == PWK_EVENT_NOT_SENT) {
        on->purchase.error = "not_sent";
        event = PWK_EVENT_REFUSED;
    }
    if (fresh.state == PWK_PURCHASE_UNKNOWN)
        return move_patiently(on, event, now);
    /* Found out already. */
    if (accepted && (fresh.state == PWK_PURCHASE_PLACED || fresh.state == PWK_PURCHASE_CONFIRMED))
        return APR_SUCCESS;
    /* Somebody said that there is none, and was wrong: the rounds' alarm, with the order's id. */
    if (accepted && fresh.state == PWK_PURCHASE_FAILED) {
        on->purchase.error = fresh.error;
        on->purchase.field = fresh.field;
        pwk_ledger_move(on->site->ledger, &on->purchase, PWK_EVENT_CONTRADICTED, now, on->r->pool);
    }
    return APR_EBUSY;
}

/* Commits the outcome of what was claimed, and says what comes next. When the ledger fails now, the row stays PLACING and is
 * found out about later; what is known goes into the log, and the browser is answered by what is known. */
static pwk_purchase_action commit(placing *on, pwk_purchase_event event)
{
    pwk_purchase_action action = PWK_DO_NOTHING;
    pwk_purchase_state next = on->purchase.state;
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));
    apr_status_t rv;
    pwk_purchase_next(&next, &action, on->purchase.state, event);
    rv = move_patiently(on, event, now);
    if (rv == APR_EEXIST) {
        /* Nothing was sent, but the reader has begun the same sale anew meanwhile, and this row cannot go back beside
         * that one. Left in PLACING it would block the account until it is found out about: it ends here instead. */
        event = PWK_EVENT_REFUSED;
        on->purchase.error = "not_sent";
        pwk_purchase_next(&next, &action, on->purchase.state, event);
        rv = pwk_ledger_move(on->site->ledger, &on->purchase, event, now, on->r->pool);
    }
    if (rv == APR_EBUSY)
        rv = commit_late(on, event, now);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, on->r,
                      PWKLOG(0155) "purchase %s: its outcome (order %s) could not be committed; it is found out again",
                      on->purchase.id, *on->purchase.order_id ? on->purchase.order_id : "-");
        on->purchase.state = next;
    }
    return action;
}

/* Between the reading of the products and the claim another purchase of this account may have gone through, by the clock of
 * another host, which may be behind. Then they are read once more, now that none can run beside this one; what must not be
 * placed after all is given back, unsent. */
static int check_again(placing *on)
{
    pwk_purchase other, pending = {0};
    apr_status_t rv = pwk_ledger_finished(&other, on->site->ledger, &on->purchase,
                                          on->asked - apr_time_from_sec(PWK_CLOCK_LEEWAY_S), on->r->pool);
    if (rv == APR_SUCCESS)
        rv = read_products(on).outcome == PWK_OK ? find_products(&pending, on) : APR_EGENERAL;
    if (rv != APR_NOTFOUND)
        commit(on, PWK_EVENT_NOT_SENT);
    return answer_products(on, rv, &pending);
}

/* ---- after it ---- */

static pwk_purchase_event send_order(placing *on, pwk_result *result)
{
    request_rec *r = on->r;
    pwk_order_authorization authorization = {
        .token = on->authorization,
        .browser_ip = r->useragent_ip,
        .browser_language =
            pwk_klarna_language(apr_table_get(r->headers_in, "Accept-Language"), on->sale.language, r->pool),
        .browser_user_agent = pwk_visit_visitor(on->visit, "").user_agent,
    };
    pwk_payway_request request =
        pwk_order_place_request(&on->purchase, &on->sale, on->session.id, &authorization, r->pool);
    pwk_payway_answer answer;
    pwk_outcome_placed placed = {"", ""};
    pwk_purchase_event event;
    request.timeout = on->site->order_timeout;
    PWK_POINT("P4");
    *result = pwk_upstream_call(&answer, on->site, on->site->api, &request, on->token, r->pool);
    if (result->outcome != PWK_OK)
        return result->unsent ? PWK_EVENT_NOT_SENT : PWK_EVENT_LOST;
    event = pwk_outcome_read(&placed, result, &answer, r->pool);
    on->purchase.order_id = placed.order_id;
    if (*placed.redirect && !pwk_klarna_may_redirect(placed.redirect, on->site->redirect_hosts, r->pool)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            PWKLOG(0149) "purchase %s: the redirect of the order is not https to a host of PaywayRedirectHosts "
                         "and is skipped",
            on->purchase.id);
    } else if (*placed.redirect) {
        const char *sealed = pwk_purchases_seal(on->site, placed.redirect, apr_time_now(), r->pool);
        on->purchase.redirect = sealed ? sealed : "";
    }
    return event;
}

/* One line for each outcome: what an operator looks for first. No person, no token. */
static void say(const placing *on, pwk_purchase_event event, const pwk_result *result)
{
    request_rec *r = on->r;
    const char *id = on->purchase.id, *line = pwk_result_line(result, r->pool);
    if (event == PWK_EVENT_ACCEPTED)
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, PWKLOG(0150) "purchase %s: placed, order %s", id,
                      *on->purchase.order_id ? on->purchase.order_id : "-");
    else if (event == PWK_EVENT_NOT_SENT)
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            PWKLOG(0151) "purchase %s: the order did not leave this host (%s); the reader is asked to try again", id,
            line);
    else if (event == PWK_EVENT_LOST)
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            PWKLOG(0152) "purchase %s: sent, and no answer that can be believed (%s); it is never sent again, the "
                         "order is looked for",
            id, line);
    else if (result->http_status == HTTP_UNAUTHORIZED
             || (result->http_status == HTTP_FORBIDDEN && event == PWK_EVENT_REFUSED))
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      PWKLOG(0153) "purchase %s: Payway does not let us place orders (%s): has API user %s the scope "
                                   "/external/klarna_payments/w?",
                      id, line, on->site->client.client_id);
    else
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, PWKLOG(0154) "purchase %s: %s (%s)", id,
                      event == PWK_EVENT_REFUSED ? "refused" : "not completed", line);
}

/* What the purchase gives, into this browser's record at once. */
static void grant(placing *on)
{
    apr_pool_t *p = on->r->pool;
    apr_array_header_t *has = pwk_grants_products(&on->purchase, p);
    pwk_reader *reader = apr_pmemdup(p, on->reader, sizeof(*reader));
    if (!pwk_purchase_grants(&on->purchase, apr_time_now()))
        return;
    for (int i = 0; i < on->reader->count; i++)
        APR_ARRAY_PUSH(has, const char *) = on->reader->codes[i];
    pwk_reader_own(reader, has, on->site->named, p);
    if (pwk_visit_set_reader(on->visit, reader) == APR_SUCCESS)
        pwk_account_remember(on->site, reader, p);
}

/* A payment that failed may have ended a subscription: what the record says is not believed any longer. */
static void reread(placing *on)
{
    pwk_reader *newer;
    pwk_result result = pwk_account_reread(&newer, on->site, on->reader, on->token, on->r->pool);
    if (result.outcome == PWK_OK)
        pwk_visit_set_reader(on->visit, newer);
    else
        pwk_account_complain(on->site, &result, "reading products after a failed payment", on->r->pool);
}

static int place(placing *on)
{
    pwk_result result =
        pwk_result_fail(PWK_UNAVAILABLE, APR_TIMEUP, "too_late", "the process stood still after the claim");
    pwk_purchase_event event = PWK_EVENT_NOT_SENT;
    pwk_purchase_action action;
    /* Whoever was frozen since may have been called overdue, and found not to have ordered anything. */
    if (apr_time_now() - on->purchase.claimed < apr_time_from_sec(SLACK_S))
        event = send_order(on, &result);
    on->purchase.error = event == PWK_EVENT_ACCEPTED || event == PWK_EVENT_NOT_SENT ? "" : result.code;
    on->purchase.field = *on->purchase.error ? result.field : "";
    say(on, event, &result);
    PWK_POINT("P9");
    action = commit(on, event);
    PWK_POINT("P10");
    if (action == PWK_DO_GRANT || action == PWK_DO_FIND_OUT)
        grant(on);
    if (action == PWK_DO_REREAD)
        reread(on);
    if (result.http_status == HTTP_UNAUTHORIZED)
        pwk_account_forget_identity(on->site, on->visit->reader->sid, on->r->pool);
    if (on->purchase.state == PWK_PURCHASE_PLACED && pwk_purchase_starts_later(&on->purchase, apr_time_now()))
        pwk_ledger_move(on->site->ledger, &on->purchase, PWK_EVENT_SHOWN, apr_time_now(), on->r->pool);
    return answer_with(on, &on->purchase, event == PWK_EVENT_NOT_SENT ? "not_sent" : NULL);
}

int pwk_authorize_handler(request_rec *r, pwk_visit *visit)
{
    static const char *const known[] = {"csrf", "klarna_authorization_token", NULL};
    placing on = {.r = r, .visit = visit, .site = visit->site, .token = ""};
    const char *id = pwk_gate_of(r)->endpoint_rest;
    apr_table_t *fields;
    int status = pwk_post_read(&fields, r, visit, known);
    if (!fields)
        return status;
    on.authorization = pwk_post_field(fields, "klarna_authorization_token");
    status = pwk_purchases_read(&on.purchase, r, visit, id, pwk_purchases_place(r, visit->site, id));
    if (status != DECLINED) {
        /* Nobody is logged in (any more): whose purchase it is shows after the login, and the token is good for this one
         * alone. */
        if (pwk_purchase_is_id(id) && !(visit->reader && *visit->reader->account)
            && pwk_text_is_opaque(on.authorization, PWK_AUTHORIZATION_MAX))
            pwk_resume_keep(visit, id, on.authorization);
        return status;
    }
    if (!pwk_purchases_csrf_is(visit->site, &on.purchase, pwk_post_field(fields, "csrf"), r->pool))
        return pwk_pages_error(r, visit, HTTP_FORBIDDEN, "csrf", pwk_purchases_place(r, visit->site, id));
    pwk_reconcile_look(visit->site, &on.purchase, r->pool);
    status = prepare(&on);
    if (status == DECLINED)
        status = claim(&on);
    if (status == DECLINED)
        status = check_again(&on);
    if (status != DECLINED)
        return status;
    pwk_resume_forget(visit);
    return place(&on);
}
