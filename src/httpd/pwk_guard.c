#include "pwk_guard.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef int socket_of(const void *connection); /* libpq's PQsocket */

/* pthread and not APR: APR's conditions wait by the clock on the wall, and stay asleep when it is set back. */
struct pwk_guard {
    pthread_mutex_t mutex;
    pthread_cond_t news;
    pthread_t thread;
    int is_standing; /* there is a thread */
    int is_idle;     /* it waits without a deadline of its own, and must be woken */
    int is_dismissed;
    pwk_guarded *first; /* calls under way, in the order of their deadlines */
    apr_interval_time_t patience;
    const apr_dbd_driver_t *driver;
    socket_of *socket;
};

static apr_time_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
}

/* We do not link libpq; whoever loads the driver has it. The driver's object leads to the very one that it uses. */
static socket_of *find_socket_of(const apr_dbd_driver_t *driver)
{
    Dl_info info;
    void *object = dladdr(driver, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    return object ? (socket_of *)dlsym(object, "PQsocket") : NULL;
}

apr_status_t pwk_guard_create(pwk_guard **guard, const apr_dbd_driver_t *driver, apr_interval_time_t patience,
                              apr_pool_t *p)
{
    socket_of *socket = find_socket_of(driver);
    pthread_condattr_t attributes;
    pwk_guard *made;
    *guard = NULL;
    if (!socket)
        return APR_ENOTIMPL;
    made = apr_pcalloc(p, sizeof(*made));
    made->patience = patience;
    made->driver = driver;
    made->socket = socket;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->news, &attributes);
    pthread_condattr_destroy(&attributes);
    *guard = made;
    return APR_SUCCESS;
}

/* --- the thread --- */

static void *stand(void *data)
{
    pwk_guard *guard = data;
    pthread_mutex_lock(&guard->mutex);
    while (!guard->is_dismissed) {
        apr_time_t now = monotonic();
        for (; guard->first && guard->first->deadline <= now; guard->first = guard->first->next) {
            guard->first->is_cut = 1;
            shutdown(guard->first->fd, SHUT_RDWR);
        }
        if (guard->first) {
            struct timespec until = {.tv_sec = apr_time_sec(guard->first->deadline),
                                     .tv_nsec = apr_time_usec(guard->first->deadline) * 1000L};
            pthread_cond_timedwait(&guard->news, &guard->mutex, &until);
        } else {
            guard->is_idle = 1;
            pthread_cond_wait(&guard->news, &guard->mutex);
            guard->is_idle = 0;
        }
    }
    pthread_mutex_unlock(&guard->mutex);
    return NULL;
}

/* A signal that the process is to handle must not be handled here: prefork ends the child in its handler, and that
 * waits for this thread. */
static int start(pwk_guard *guard)
{
    sigset_t all, before;
    int failed;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&guard->thread, NULL, stand, guard);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    guard->is_standing = !failed;
    return failed;
}

/* --- connections --- */

apr_status_t pwk_guard_take(pwk_guard *guard, pwk_guarded *guarded, apr_dbd_t *handle)
{
    int failed = 0;
    if (!guard)
        return APR_SUCCESS;
    pthread_mutex_lock(&guard->mutex);
    if (!guard->is_standing && !guard->is_dismissed)
        failed = start(guard);
    pthread_mutex_unlock(&guard->mutex);
    if (!failed) {
        guarded->fd = fcntl(guard->socket(apr_dbd_native_handle(guard->driver, handle)), F_DUPFD_CLOEXEC, 0);
        failed = guarded->fd < 0 ? errno : 0;
    }
    return failed;
}

void pwk_guard_drop(pwk_guarded *guarded)
{
    if (guarded->fd >= 0)
        close(guarded->fd);
    guarded->fd = -1;
    guarded->is_cut = 0;
}

/* --- calls --- */

void pwk_guard_begin(pwk_guard *guard, pwk_guarded *guarded)
{
    pwk_guarded **last;
    if (!guard || guarded->fd < 0)
        return;
    pthread_mutex_lock(&guard->mutex);
    guarded->deadline = monotonic() + guard->patience;
    guarded->is_cut = 0;
    guarded->next = NULL;
    for (last = &guard->first; *last; last = &(*last)->next)
        continue;
    *last = guarded;
    if (guard->is_idle)
        pthread_cond_signal(&guard->news);
    pthread_mutex_unlock(&guard->mutex);
}

int pwk_guard_end(pwk_guard *guard, pwk_guarded *guarded)
{
    pwk_guarded **at;
    int is_cut;
    if (!guard || guarded->fd < 0)
        return 0;
    pthread_mutex_lock(&guard->mutex);
    is_cut = guarded->is_cut;
    for (at = &guard->first; *at && *at != guarded; at = &(*at)->next)
        continue;
    if (*at)
        *at = guarded->next;
    pthread_mutex_unlock(&guard->mutex);
    return is_cut;
}

void pwk_guard_dismiss(pwk_guard *guard)
{
    int was_standing;
    if (!guard)
        return;
    pthread_mutex_lock(&guard->mutex);
    was_standing = guard->is_standing;
    guard->is_standing = 0;
    guard->is_dismissed = 1;
    pthread_cond_signal(&guard->news);
    pthread_mutex_unlock(&guard->mutex);
    if (was_standing)
        pthread_join(guard->thread, NULL);
}
