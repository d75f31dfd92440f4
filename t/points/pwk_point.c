/* The points of src/httpd/pwk_point.h in a test build. WHAT is one of
 *
 *     kill            the process ends by SIGKILL
 *     exit N          … or at once, with that status
 *     sleep N         milliseconds, then on
 *     hold            stands there until the order is gone
 *     gather N        stands there; the N-th that comes ends the process, so one crash is N cases */
#include "../../src/httpd/pwk_point.h"

#include <pthread.h>
#include <string.h>

#include "orders.h"

void pwk_point(const char *name);

/* How many stand at the point, this one included. */
static long arrive(unsigned long generation)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static unsigned long counted;
    static long arrived;
    long now;
    pthread_mutex_lock(&lock);
    arrived = counted == generation ? arrived + 1 : 1;
    counted = generation;
    now = arrived;
    pthread_mutex_unlock(&lock);
    return now;
}

static void stand(unsigned long generation)
{
    order_list orders;
    do {
        orders_sleep(20);
        orders_read(&orders);
    } while (orders.generation == generation);
}

void pwk_point(const char *name)
{
    order_list orders;
    const order_line *order;
    orders_read(&orders);
    order = orders_point(&orders, name);
    if (!order)
        return;
    orders_note(name);
    if (!strcmp(order->what, "kill") || (!strcmp(order->what, "gather") && arrive(orders.generation) >= order->n))
        orders_die(-1);
    if (!strcmp(order->what, "exit"))
        orders_die((int)order->n);
    if (!strcmp(order->what, "sleep"))
        orders_sleep(order->n);
    if (!strcmp(order->what, "hold") || !strcmp(order->what, "gather"))
        stand(orders.generation);
}
