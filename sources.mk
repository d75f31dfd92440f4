# What the module is made of: every source once. Makefile.am reads this file and t/00-build.t compares it with the tree,
# so that the build by configure and the one by apxs (README, which takes *.c) cannot drift apart.

core_sources = \
	src/core/pwk_cookie.c \
	src/core/pwk_facts.c \
	src/core/pwk_form.c \
	src/core/pwk_json.c \
	src/core/pwk_klarna.c \
	src/core/pwk_offer.c \
	src/core/pwk_order.c \
	src/core/pwk_outcome.c \
	src/core/pwk_payway.c \
	src/core/pwk_purchase.c \
	src/core/pwk_reader.c \
	src/core/pwk_result.c \
	src/core/pwk_sale.c \
	src/core/pwk_schedule.c \
	src/core/pwk_seal.c \
	src/core/pwk_sso2.c \
	src/core/pwk_text.c \
	src/core/pwk_url.c \
	src/core/pwk_verdict.c

core_headers = \
	src/core/pwk_cookie.h \
	src/core/pwk_facts.h \
	src/core/pwk_form.h \
	src/core/pwk_json.h \
	src/core/pwk_klarna.h \
	src/core/pwk_limits.h \
	src/core/pwk_offer.h \
	src/core/pwk_order.h \
	src/core/pwk_outcome.h \
	src/core/pwk_payway.h \
	src/core/pwk_purchase.h \
	src/core/pwk_reader.h \
	src/core/pwk_result.h \
	src/core/pwk_sale.h \
	src/core/pwk_schedule.h \
	src/core/pwk_seal.h \
	src/core/pwk_sso2.h \
	src/core/pwk_text.h \
	src/core/pwk_url.h \
	src/core/pwk_verdict.h

httpd_sources = \
	mod_payway_klarna.c \
	src/httpd/pwk_access.c \
	src/httpd/pwk_account.c \
	src/httpd/pwk_assets.c \
	src/httpd/pwk_authorize.c \
	src/httpd/pwk_buy.c \
	src/httpd/pwk_cache.c \
	src/httpd/pwk_check.c \
	src/httpd/pwk_checkout.c \
	src/httpd/pwk_config.c \
	src/httpd/pwk_database.c \
	src/httpd/pwk_directives.c \
	src/httpd/pwk_endpoints.c \
	src/httpd/pwk_grants.c \
	src/httpd/pwk_guard.c \
	src/httpd/pwk_identify.c \
	src/httpd/pwk_ledger.c \
	src/httpd/pwk_log.c \
	src/httpd/pwk_login.c \
	src/httpd/pwk_pages.c \
	src/httpd/pwk_post.c \
	src/httpd/pwk_prices.c \
	src/httpd/pwk_protect.c \
	src/httpd/pwk_purchases.c \
	src/httpd/pwk_reconcile.c \
	src/httpd/pwk_refresh.c \
	src/httpd/pwk_resume.c \
	src/httpd/pwk_secret.c \
	src/httpd/pwk_shared.c \
	src/httpd/pwk_table.c \
	src/httpd/pwk_upstream.c \
	src/httpd/pwk_visit.c \
	src/httpd/pwk_wall.c \
	src/httpd/pwk_watch.c

httpd_headers = \
	src/httpd/pwk_access.h \
	src/httpd/pwk_account.h \
	src/httpd/pwk_assets.h \
	src/httpd/pwk_authorize.h \
	src/httpd/pwk_buy.h \
	src/httpd/pwk_cache.h \
	src/httpd/pwk_check.h \
	src/httpd/pwk_checkout.h \
	src/httpd/pwk_config.h \
	src/httpd/pwk_database.h \
	src/httpd/pwk_directives.h \
	src/httpd/pwk_endpoints.h \
	src/httpd/pwk_grants.h \
	src/httpd/pwk_guard.h \
	src/httpd/pwk_identify.h \
	src/httpd/pwk_ledger.h \
	src/httpd/pwk_log.h \
	src/httpd/pwk_login.h \
	src/httpd/pwk_pages.h \
	src/httpd/pwk_point.h \
	src/httpd/pwk_post.h \
	src/httpd/pwk_prices.h \
	src/httpd/pwk_protect.h \
	src/httpd/pwk_purchases.h \
	src/httpd/pwk_reconcile.h \
	src/httpd/pwk_refresh.h \
	src/httpd/pwk_resume.h \
	src/httpd/pwk_secret.h \
	src/httpd/pwk_shared.h \
	src/httpd/pwk_table.h \
	src/httpd/pwk_upstream.h \
	src/httpd/pwk_visit.h \
	src/httpd/pwk_wall.h \
	src/httpd/pwk_watch.h

# The operator's tool, with what it has in common with the module: of httpd_sources, what knows no header of httpd.
tool_sources = \
	src/tool/payway_klarna.c \
	src/tool/tool_config.c \
	src/tool/tool_export.c \
	src/tool/tool_ledger.c \
	src/tool/tool_list.c \
	src/tool/tool_open.c \
	src/tool/tool_options.c \
	src/tool/tool_print.c \
	src/tool/tool_purchase.c \
	src/tool/tool_resolve.c \
	src/tool/tool_show.c \
	src/tool/tool_source.c \
	src/tool/tool_verify.c

tool_headers = \
	src/tool/tool_config.h \
	src/tool/tool_ledger.h \
	src/tool/tool_open.h \
	src/tool/tool_options.h \
	src/tool/tool_print.h \
	src/tool/tool_purchase.h \
	src/tool/tool_source.h

tool_shared = \
	src/httpd/pwk_database.c \
	src/httpd/pwk_guard.c \
	src/httpd/pwk_ledger.c \
	src/httpd/pwk_table.c

# Programs that speak TAP, each from the .c file of its name, linked with core and nothing of httpd.
unit_tests = \
	t/unit/config \
	t/unit/cookie \
	t/unit/form \
	t/unit/json \
	t/unit/klarna \
	t/unit/ledger \
	t/unit/money \
	t/unit/offer \
	t/unit/order \
	t/unit/outcome \
	t/unit/payway \
	t/unit/purchase \
	t/unit/reader \
	t/unit/result \
	t/unit/schedule \
	t/unit/seal \
	t/unit/sso2 \
	t/unit/text \
	t/unit/url \
	t/unit/verdict
unit_headers = \
	t/unit/unit.h

# What a test build is made of besides: places where it dies, and what is preloaded into httpd.
points_sources = \
	t/points/orders.c \
	t/points/pwk_point.c
shim_sources = \
	t/points/orders.c \
	t/points/pwk_point.c \
	t/points/shim.c
points_headers = \
	t/points/orders.h
