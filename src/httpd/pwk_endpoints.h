/* The table of our own URLs, and how they are claimed before anybody else's rewrite, proxy or FallbackResource. */
#ifndef PWK_ENDPOINTS_H
#define PWK_ENDPOINTS_H

#include "pwk_visit.h"

typedef int pwk_endpoint_handler(request_rec *r, pwk_visit *visit);

typedef struct pwk_endpoint {
    const char *name; /* what follows PaywayPath: "/login"; '*' is one segment */
    int methods;      /* 1 << M_GET and so on */
    pwk_endpoint_handler *handler;
    int inside;      /* reached by an internal redirect of ours alone: the wall */
    int cookie_free; /* no canonical host needed: css and js */
} pwk_endpoint;

/* Hooks pre_translate_name and translate_name: OK for exactly our URLs. */
int pwk_endpoints_claim(request_rec *r);
/* Hook map_to_storage: OK for claimed requests and for fragments of our pages: no directory walk, no .htaccess. */
int pwk_endpoints_map(request_rec *r);
/* Hook check_access_ex: OK for them, so that they are open under a paid <Location />. */
int pwk_endpoints_open(request_rec *r);
/* Hook handler, before mod_cache's and mod_proxy's. */
int pwk_endpoints_handle(request_rec *r);

#endif
