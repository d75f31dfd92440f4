/* A deadline for calls of a library that has none: libpq waits for its server in poll() for ever, and statement_timeout
 * is the server's own. While a call is under way a thread of the process shuts the socket of its connection down when
 * the time is up; the call then fails and goes its ordinary way out. Knows no httpd header, so that a test links it
 * alone. */
#ifndef PWK_GUARD_H
#define PWK_GUARD_H

#include <apr_dbd.h>
#include <apr_pools.h>
#include <apr_time.h>

typedef struct pwk_guard pwk_guard;

/* A connection under guard, in the memory of whoever made it; `fd` is -1 while there is none. */
typedef struct pwk_guarded {
    int fd;              /* a duplicate of ours: whatever becomes of the library's, no other socket is ever shut */
    apr_time_t deadline; /* of a clock that nobody sets */
    int is_cut;
    struct pwk_guarded *next;
} pwk_guarded;

/* A guard of connections of this driver ("pgsql"), which gives each call `patience`. It has no thread yet, and may be
 * made before a fork; it stays as long as `p`. APR_ENOTIMPL: the driver's library does not tell its sockets, and there
 * is no guard. */
apr_status_t pwk_guard_create(pwk_guard **guard, const apr_dbd_driver_t *driver, apr_interval_time_t patience,
                              apr_pool_t *p);

/* What follows may be called by all threads, for a connection that is one thread's at a time; without a guard (NULL) it
 * does nothing. */

/* Takes an open connection under guard; the first one starts the thread. Any failure: this one has none. */
apr_status_t pwk_guard_take(pwk_guard *guard, pwk_guarded *guarded, apr_dbd_t *handle);

/* Lets go of a connection, which is not in a call, after it was closed. */
void pwk_guard_drop(pwk_guarded *guarded);

/* A call begins, and has returned: whether it was cut off meanwhile. Then the connection is of no use any more. */
void pwk_guard_begin(pwk_guard *guard, pwk_guarded *guarded);
int pwk_guard_end(pwk_guard *guard, pwk_guarded *guarded);

/* Ends the thread; from now on calls have no deadline. */
void pwk_guard_dismiss(pwk_guard *guard);

#endif
