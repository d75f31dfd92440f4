/* What a test wants to go wrong, read anew from the file that PWK_ORDERS names whenever a point is passed or a watched
 * function is called. A line is
 *
 *     KIND NAME CALL WHAT N          point P4 - gather 6          file ledger.db-wal fdatasync EIO 1
 *
 * A test replaces the file by renaming; each file is a generation, and what is counted is counted within one. */
#ifndef ORDERS_H
#define ORDERS_H

enum { ORDERS_MAX = 16 };

typedef struct {
    char kind[8], name[64], call[16], what[16];
    long n;
} order_line;

typedef struct {
    unsigned long generation; /* 0: there is no file */
    int count;
    order_line line[ORDERS_MAX];
} order_list;

void orders_read(order_list *orders);

/* The line for the point `name`, or NULL. */
const order_line *orders_point(const order_list *orders, const char *name);

/* Says in the file beside the orders, NAME.log, that this process has come to `name`. */
void orders_note(const char *name);

/* Ends this process by SIGKILL, or at once with `status` when that is not negative. The orders are gone then: the next
 * process lives. */
void orders_die(int status);

void orders_sleep(long milliseconds);

#endif
