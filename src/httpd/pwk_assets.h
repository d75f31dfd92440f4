/* Style sheets, scripts and images of our pages, from PaywayPages. */
#ifndef PWK_ASSETS_H
#define PWK_ASSETS_H

#include "pwk_visit.h"

int pwk_assets_handler(request_rec *r, pwk_visit *visit);

#endif
