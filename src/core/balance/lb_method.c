
/*
 * Methods that look at one or two steps of the order.
 */


#include "src/core/balance/lb_latency.h"
#include "src/core/balance/lb_method.h"


/* us, and a share of the shorter one, by which times may differ by chance */
#define LB_TIME_STEP   1000
#define LB_TIME_SHARE  4

/* a server that is so much slower, in 16ths, is never preferred */
#define LB_TIME_RATIO  4096


static uint64_t lb_method_time(lb_roster_t *roster, const lb_ask_t *ask,
    uint32_t index);
static bool lb_method_is_close(uint64_t one, uint64_t two);
static uint32_t lb_method_likely(const lb_ask_t *ask, uint32_t better,
    uint32_t other, uint64_t ratio);


uint32_t
lb_method_round_robin(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, index;
    uint64_t  step;

    step = 0;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        step = atomic_fetch_add_explicit(&view->tier->cursor, 1,
                                         memory_order_relaxed);

        index = atomic_load_explicit(&view->order[step % view->order_length],
                                     memory_order_acquire);

        if (lb_candidate_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return (view->set_length != 0)
           ? lb_candidate_scan(roster, view, ask, step % view->set_length)
           : LB_NONE;
}


uint32_t
lb_method_random(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, index;

    for (i = 0; i < LB_MISSES_MAX; i++) {
        index = lb_draw(ask->random, view->order_length);
        index = atomic_load_explicit(&view->order[index],
                                     memory_order_acquire);

        if (lb_candidate_fits(roster, view, ask, index)) {
            return index;
        }
    }

    return lb_candidate_scan(roster, view, ask,
                             (uint32_t) lb_random(ask->random));
}


uint32_t
lb_method_p2c(lb_roster_t *roster, const lb_view_t *view, const lb_ask_t *ask)
{
    uint32_t  n;
    uint32_t  found[2];

    n = lb_candidate_two(roster, view, ask, found);

    if (n == 0) {
        return lb_candidate_scan(roster, view, ask,
                            (uint32_t) lb_random(ask->random));
    }

    if (n == 1) {
        return found[0];
    }

    return (lb_candidate_part(roster, ask, found[1])
            < lb_candidate_part(roster, ask, found[0]))
           ? found[1] : found[0];
}


uint32_t
lb_method_least_time(lb_roster_t *roster, const lb_view_t *view,
    const lb_ask_t *ask)
{
    uint32_t  i, n;
    uint32_t  found[2];
    uint64_t  busy[2], time[2];

    n = lb_candidate_two(roster, view, ask, found);

    if (n == 0) {
        return lb_candidate_scan(roster, view, ask,
                            (uint32_t) lb_random(ask->random));
    }

    if (n == 1) {
        return found[0];
    }

    for (i = 0; i < 2; i++) {
        busy[i] = (uint64_t) lb_candidate_part(roster, ask, found[i]) + 1;
        time[i] = lb_method_time(roster, ask, found[i]);
    }

    /* of whom nothing is known is expected to be like the other */

    if (time[0] == 0 || time[1] == 0
        || lb_method_is_close(time[0], time[1]))
    {
        return (busy[1] < busy[0]) ? found[1] : found[0];
    }

    return (time[1] * busy[1] < time[0] * busy[0])
           ? lb_method_likely(ask, found[1], found[0],
                              time[0] * busy[0] * 16 / (time[1] * busy[1]))
           : lb_method_likely(ask, found[0], found[1],
                              time[1] * busy[1] * 16 / (time[0] * busy[0]));
}


/*
 * The average time of a server in us, or what those requests have waited so
 * far that it is busy with, if that is longer.
 */

static uint64_t
lb_method_time(lb_roster_t *roster, const lb_ask_t *ask, uint32_t index)
{
    uint64_t         time, waited;
    const lb_age_t  *age;

    time = lb_latency_read(&lb_roster_server(roster, index)->latency,
                           ask->now);

    if (ask->ages == NULL || ask->ages[index].number == 0) {
        return time;
    }

    age = &ask->ages[index];
    waited = (ask->now - age->began / age->number) * 1000;

    return (waited > time) ? waited : time;
}


/* Whether times tell no server from the other: they are whole ms, and vary. */

static bool
lb_method_is_close(uint64_t one, uint64_t two)
{
    uint64_t  least, most;

    least = (one < two) ? one : two;
    most = (one < two) ? two : one;

    return most - least <= LB_TIME_STEP + least / LB_TIME_SHARE;
}


/*
 * The better one, but for one of so many times that are the square of the
 * ratio (in 16ths): an average that was high for once has to become right.
 */

static uint32_t
lb_method_likely(const lb_ask_t *ask, uint32_t better, uint32_t other,
    uint64_t ratio)
{
    uint32_t  square;

    if (ratio >= LB_TIME_RATIO) {
        return better;
    }

    square = (uint32_t) (ratio * ratio);

    return (lb_draw(ask->random, square + 256) < 256) ? other : better;
}
