/* A visit: what is remembered of one request of a browser and all its sub-requests and internal redirects, so that
 * each of them sees the same reader and Payway is asked once at most. And the gate: what was asked of one
 * request_rec. */
#ifndef PWK_VISIT_H
#define PWK_VISIT_H

#include "../core/pwk_reader.h"
#include "../core/pwk_sso2.h"
#include "pwk_config.h"

/* The query field that stops a second identify: see pwk_identify_notice. Never part of the place that a reader
 * comes back to. */
#define PWK_VISIT_MARK "payway"

struct pwk_page;
struct pwk_endpoint;

typedef struct pwk_visit {
    const pwk_site *site;
    request_rec *first;       /* the browser's own request */
    const char *cookies;      /* its Cookie header as it came, before ours are taken out for the backend */
    int opened;               /* the reader's cookie was looked at */
    const pwk_reader *reader; /* NULL: this browser has no (valid) cookie of ours */
    int looked;               /* the cache was looked at for a newer record */
    int asked;                /* Payway was asked in this visit */
    int outage;               /* … and could not be reached */
    int queued;               /* a renewal was queued */
} pwk_visit;

/* One request_rec. */
typedef struct {
    pwk_visit *visit;
    int asked;                           /* a `Require payway-…` was evaluated */
    int authn;                           /* check_authn was run: the provider's next pass is its last */
    int named;                           /* r->user was set by us */
    int passed;                          /* httpd let it in: a refusal after this is none of ours */
    int wants_account;                   /* `Require payway-account` was among them */
    apr_array_header_t *codes;           /* const char *: products asked for */
    pwk_verdict verdict;                 /* the last one */
    const struct pwk_endpoint *endpoint; /* one of our own URLs */
    const char *endpoint_rest;           /* the segment that its '*' stands for, "" without one */
    const struct pwk_page *page;         /* our page, or a fragment of it */
} pwk_gate;

/* The gate of `r`, made when asked for first; never NULL. */
pwk_gate *pwk_gate_of(request_rec *r);

/* The visit that `r` belongs to; NULL when its virtual host has nothing of ours. */
pwk_visit *pwk_visit_of(request_rec *r);

/* What all `Require payway-…` lines of this request asked for together. Being logged in is enough when none named a
 * product. */
pwk_requirement pwk_gate_requirement(const pwk_gate *gate);

/* The reader: from the cookie, opened once. When its record is stale as of `dir`, a newer one in the cache wins and
 * is sealed into this response. NULL: none. No call to Payway. */
const pwk_reader *pwk_visit_reader(pwk_visit *visit, const pwk_dir *dir);

/* Looks in the cache, once a visit, for a record at least as new as this visit's: another request of this browser may have
 * bought a moment ago. Returns whether there is one. */
int pwk_visit_look(pwk_visit *visit);

/* Where that record stands with Payway. */
pwk_knowledge pwk_visit_knowledge(const pwk_visit *visit, const pwk_dir *dir);

/* The verdict of `requirement` for this reader, now. */
pwk_verdict pwk_visit_verdict(pwk_visit *visit, const pwk_dir *dir, const pwk_requirement *requirement);

/* Makes `reader` the reader of this visit and of the browser: seals it into a cookie of this response. An empty
 * cookie (deleted) for NULL. APR_EGENERAL: it could not be sealed; the old one stays. */
apr_status_t pwk_visit_set_reader(pwk_visit *visit, const pwk_reader *reader);

/* Whether the browser's request is a page view: GET, HTML accepted, not a fetch, an image, a prefetch, a frame, or
 * a known crawler. Only such a one is ever redirected. */
int pwk_visit_is_navigation(const pwk_visit *visit);

/* Whether the client asks for data rather than a page: answered with JSON. */
int pwk_visit_is_api(const pwk_visit *visit);

/* Whether a POST comes from a page of this very site (Sec-Fetch-Site, else Origin, else Referer; none: no). Threats
 * */
int pwk_visit_is_same_origin(const pwk_visit *visit);

/* Whether the browser reached us under the base URL's host. */
int pwk_visit_is_base_host(const pwk_visit *visit);

/* Path and query of the browser's request, if it can be come back to, else "/". */
const char *pwk_visit_place(const pwk_visit *visit);

/* The language of our pages for this request: ?lang=, Accept-Language, or the first of PaywayLanguages. */
const char *pwk_visit_language(const pwk_visit *visit, const pwk_dir *dir);

/* The browser as SSO2 wants it told; `sid` may be "". */
pwk_sso2_visitor pwk_visit_visitor(const pwk_visit *visit, const char *sid);

/* Adds a Set-Cookie to the response to the browser; one that this visit set before under that name is replaced. */
void pwk_visit_set_cookie(pwk_visit *visit, const char *name, const char *value, long max_age_s, int script);

#endif
