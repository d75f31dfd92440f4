/* A purchase in words: what may be printed of it, what it means, what to do about it. */
#ifndef TOOL_PURCHASE_H
#define TOOL_PURCHASE_H

#include "../core/pwk_purchase.h"
#include "tool_print.h"

/* What may be printed, and what each means. What is sealed, and the token's hash, are not in it: nothing prints them. */
typedef struct {
    tool_column column;
    const char *meaning;
} tool_member;
enum { TOOL_MEMBERS = 29 };
extern const tool_member tool_members[TOOL_MEMBERS];

/* The text of tool_members[which]. */
const char *tool_purchase_value(const pwk_purchase *purchase, int which, apr_pool_t *p);

/* Whether it is under way, or needs somebody. */
int tool_purchase_is_open(const pwk_purchase *purchase);

/* An order is there although it failed (the reconciler's word). */
int tool_purchase_has_order(const pwk_purchase *purchase);

/* What its state means; what happens next without anybody, or "". */
const char *tool_purchase_meaning(const pwk_purchase *purchase);
const char *tool_purchase_next(const pwk_purchase *purchase, apr_time_t now, apr_pool_t *p);

/* What an operator does about it, in sentences; "" for nothing. */
const char *tool_purchase_advice(const pwk_purchase *purchase, apr_time_t now, apr_pool_t *p);

/* Until when Klarna's authorization could still be used: before that nobody can say that there will be no order. */
apr_time_t tool_purchase_dead(const pwk_purchase *purchase, apr_time_t now);

#endif
