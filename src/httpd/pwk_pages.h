/* Pages: SSI templates rendered by mod_include, with our own element that repeats a fragment, and the headers that
 * every page of ours carries. docs/pages.md lists templates and variables. */
#ifndef PWK_PAGES_H
#define PWK_PAGES_H

#include "../core/pwk_facts.h"
#include "pwk_visit.h"

/* What a page is about; its fragments see the same one. */
typedef struct pwk_page {
    const pwk_site *site;
    const pwk_dir *dir;
    const char *template_name; /* "wall.shtml" */
    const char *language;
    int status;
    const char *place;              /* where the reader continues: path and query */
    apr_array_header_t *offers;     /* pwk_offer_shown; may be NULL */
    const pwk_offer_shown *offer;   /* in a fragment: the one being shown */
    const char *sale;               /* sealed; "" without offers */
    const char *policy;             /* Content-Security-Policy; NULL: that of pages without Klarna */
    apr_array_header_t *categories; /* pwk_klarna_category; may be NULL */
    apr_table_t *vars;
} pwk_page;

/* Whether mod_include is there. */
int pwk_pages_can_render(void);
/* post_config, after mod_include made its table: registers the element `#payway`. */
void pwk_pages_init(apr_pool_t *pconf);
/* A new site->page_dir. */
ap_conf_vector_t *pwk_pages_dir(apr_pool_t *pconf);

/* Hook map_to_storage: fragments of our pages need no <Directory>; OK for them. */
int pwk_pages_map(request_rec *r);

/* A page for `visit` with the variables that every page has. `place` NULL: the browser's own request. */
pwk_page *pwk_pages_make(request_rec *r, pwk_visit *visit, const char *template_name, int status, const char *place);

/* Sets a variable; none where `value` is NULL or "". */
void pwk_pages_set(pwk_page *page, const char *name, const char *value);

/* Answers `r` with it; a handler's return value. Also for fragments (gate->page set by pwk_pages_map). */
int pwk_pages_send(request_rec *r, pwk_page *page);
int pwk_pages_send_fragment(request_rec *r);

/* The page speaks `language`, unless the reader's link says another. */
void pwk_pages_speak(pwk_page *page, request_rec *r, const char *language);

/* error.shtml with ERROR_CODE `code` and an id that is in the log as well, and Retry-After with a 503; made, and sent at
 * once. */
pwk_page *pwk_pages_make_error(request_rec *r, pwk_visit *visit, int status, const char *code, const char *place);
int pwk_pages_error(request_rec *r, pwk_visit *visit, int status, const char *code, const char *place);

/* Headers of a response that is ours: no-store, CSP, no framing, no sniffing. `script` is the sources of
 * script-src. */
void pwk_pages_headers(request_rec *r, const pwk_site *site);

/* JSON with that status. */
int pwk_pages_json(request_rec *r, int status, const json_t *json);

/* "{base}{path}/{rest}" in r->pool. */
const char *pwk_pages_url(request_rec *r, const pwk_site *site, const char *rest);

/* 303 (or another redirect) to `url`, which is complete or local; a handler's return value. */
int pwk_pages_redirect(request_rec *r, int status, const char *url);

#endif
