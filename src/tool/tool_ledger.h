/* payway-klarna ledger: its subcommands, each in its file. They return an exit status. */
#ifndef TOOL_LEDGER_H
#define TOOL_LEDGER_H

#include "tool_open.h"
#include "tool_options.h"

/* argv[0] is "ledger". */
int tool_ledger(int argc, const char *const *argv, apr_pool_t *p);

int tool_list(tool_opened *opened, const tool_request *request);
int tool_show(tool_opened *opened, const tool_request *request);
int tool_resolve(tool_opened *opened, const tool_request *request);
int tool_verify(tool_opened *opened, const tool_request *request);
int tool_export(tool_opened *opened, const tool_request *request);

#endif
