/* Preloaded into a httpd under test: files that fail, a connection that ends in the middle of an order, and a clock that
 * is wrong. For 64-bit Linux. WHAT of a `file` line, for a CALL (write, pwrite, fsync, fdatasync, ftruncate, or `any`) on a
 * file whose path contains NAME:
 *
 *     EIO, ENOSPC, EROFS     from the N-th call on it fails; with -N that call alone
 *     kill, killafter        the process ends before, or after, the N-th call
 *     half                   … after half of what the N-th call was to write
 *     sleep N                milliseconds, then on
 *
 * Points of the connection that takes an order (place_order, place_trial_order): P5, nothing sent; P6, half of it; P7, all;
 * P8, the beginning of the answer was read.
 *
 * PWK_CLOCK names a file of 8 bytes, a signed number of seconds in the machine's byte order: added to the time of day, and
 * to no monotonic clock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "orders.h"

void pwk_point(const char *name);

/* ---- files ---- */

typedef enum { PASS, FAIL, HALF, KILL_AFTER } verdict;

/* The number of this call under the order `i`. */
static long count(unsigned long generation, int i)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static unsigned long counted;
    static long calls[ORDERS_MAX];
    long now;
    pthread_mutex_lock(&lock);
    if (counted != generation)
        memset(calls, 0, sizeof(calls));
    counted = generation;
    now = ++calls[i];
    pthread_mutex_unlock(&lock);
    return now;
}

static int is_at(int fd, const char *part)
{
    char link[64], path[4096];
    ssize_t len;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    if (len <= 0)
        return 0;
    path[len] = '\0';
    return strstr(path, part) != NULL;
}

static verdict carry_out(const order_line *order, long n)
{
    static const struct {
        const char *word;
        int number;
    } errors[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        if (!strcmp(order->what, errors[i].word) && (order->n < 0 ? n == -order->n : n >= order->n)) {
            errno = errors[i].number;
            return FAIL;
        }
    }
    if (!strcmp(order->what, "sleep"))
        orders_sleep(order->n);
    if (n != order->n)
        return PASS;
    if (!strcmp(order->what, "kill")) {
        orders_note(order->call);
        orders_die(-1);
    }
    return !strcmp(order->what, "half") ? HALF : !strcmp(order->what, "killafter") ? KILL_AFTER : PASS;
}

static verdict judge(const char *call, int fd)
{
    order_list orders;
    orders_read(&orders);
    for (int i = 0; i < orders.count; i++) {
        const order_line *order = &orders.line[i];
        if (strcmp(order->kind, "file") || (strcmp(order->call, call) && strcmp(order->call, "any"))
            || !is_at(fd, order->name))
            continue;
        return carry_out(order, count(orders.generation, i));
    }
    return PASS;
}

static long end_after(verdict is, const char *call, long rv)
{
    if (is == KILL_AFTER || is == HALF) {
        orders_note(call);
        orders_die(-1);
    }
    return rv;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    verdict is = judge("write", fd);
    return is == FAIL ? -1 : end_after(is, "write", syscall(SYS_write, fd, bytes, is == HALF ? len / 2 : len));
}

static ssize_t write_at(int fd, const void *bytes, size_t len, off_t at)
{
    verdict is = judge("pwrite", fd);
    return is == FAIL ? -1 : end_after(is, "pwrite", syscall(SYS_pwrite64, fd, bytes, is == HALF ? len / 2 : len, at));
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return write_at(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return write_at(fd, bytes, len, at);
}

int fsync(int fd)
{
    verdict is = judge("fsync", fd);
    return is == FAIL ? -1 : (int)end_after(is, "fsync", syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    verdict is = judge("fdatasync", fd);
    return is == FAIL ? -1 : (int)end_after(is, "fdatasync", syscall(SYS_fdatasync, fd));
}

static int truncate_at(int fd, off_t len)
{
    verdict is = judge("ftruncate", fd);
    return is == FAIL ? -1 : (int)end_after(is, "ftruncate", syscall(SYS_ftruncate, fd, len));
}

int ftruncate(int fd, off_t len)
{
    return truncate_at(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return truncate_at(fd, len);
}

/* ---- the connection of an order ---- */

enum { FDS_MAX = 4096, BEGINNING = 32, SENT = 1, BEGUN = 2 };
static atomic_uchar on_way[FDS_MAX];

static int is_ordered(const char *name)
{
    order_list orders;
    orders_read(&orders);
    return orders_point(&orders, name) != NULL;
}

static ssize_t really_send(int fd, const char *bytes, size_t len, int flags)
{
    return syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    ssize_t first = 0, rest;
    int is_order = len > 5 && !memcmp(bytes, "POST ", 5) && memmem(bytes, len < 200 ? len : 200, "/place_", 7);
    if (fd < 0 || fd >= FDS_MAX)
        return really_send(fd, bytes, len, flags);
    on_way[fd] = is_order ? SENT : 0;
    if (!is_order)
        return really_send(fd, bytes, len, flags);
    pwk_point("P5");
    if (is_ordered("P6")) {
        first = really_send(fd, bytes, len / 2, flags);
        if (first < 0)
            return first;
        pwk_point("P6");
    }
    rest = really_send(fd, (const char *)bytes + first, len - (size_t)first, flags);
    pwk_point("P7");
    return rest < 0 ? rest : first + rest;
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    ssize_t got;
    if (fd < 0 || fd >= FDS_MAX || !on_way[fd] || !is_ordered("P8"))
        return syscall(SYS_recvfrom, fd, bytes, len, flags, NULL, NULL);
    if (on_way[fd] == BEGUN)
        pwk_point("P8");
    got = syscall(SYS_recvfrom, fd, bytes, on_way[fd] == SENT && len > BEGINNING ? BEGINNING : len, flags, NULL, NULL);
    if (got > 0)
        on_way[fd] = BEGUN;
    return got;
}

/* ---- the clock ---- */

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("PWK_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        offset = at;
    if (fd >= 0)
        close(fd);
}

static time_t shift(void)
{
    return offset ? (time_t)*offset : 0;
}

int clock_gettime(clockid_t id, struct timespec *to)
{
    int rv = (int)syscall(SYS_clock_gettime, id, to);
    if (!rv && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        to->tv_sec += shift();
    return rv;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    struct timespec now;
    int rv = clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return rv;
}

time_t time(time_t *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

/* APR waits until a time of day, which it makes from the clock above; the kernel has the right one. No monotonic clock has
 * come as far as `LEAST`. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    enum { LEAST = 1000000000 };
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec right = *until;
    if (!next) {
        void *at = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (!at)
            at = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        memcpy(&next, &at, sizeof(at));
    }
    if (right.tv_sec > LEAST)
        right.tv_sec -= shift();
    return next(cond, mutex, &right);
}
