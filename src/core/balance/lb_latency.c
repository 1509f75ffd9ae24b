
/*
 * Peak-sensitive moving averages of times.
 */


#include "src/core/balance/lb_latency.h"


static uint32_t lb_latency_faded(uint64_t word, uint64_t now);
static void lb_latency_change(_Atomic uint64_t *word, uint64_t time,
    uint32_t factor, uint64_t now);


uint32_t
lb_latency_read(_Atomic uint64_t *word, uint64_t now)
{
    return lb_latency_faded(atomic_load_explicit(word, memory_order_relaxed),
                            now);
}


void
lb_latency_enter(_Atomic uint64_t *word, uint64_t time, uint64_t now)
{
    lb_latency_change(word, time, 0, now);
}


void
lb_latency_fail(_Atomic uint64_t *word, uint64_t time, uint64_t now)
{
    lb_latency_change(word,
                      (time < LB_LATENCY_FAILED) ? LB_LATENCY_FAILED : time,
                      2, now);
}


/* halves are exact, what is between them lies on a straight line */

static uint32_t
lb_latency_faded(uint64_t word, uint64_t now)
{
    uint32_t  age, halves;
    uint64_t  average;

    average = word >> 32;

    if (average == 0) {
        return 0;
    }

    age = (uint32_t) now - (uint32_t) word;

    if (age > UINT32_MAX / 2) {

        /* the clock of whoever wrote it is ahead */

        age = 0;
    }

    halves = age / LB_LATENCY_HALF;

    if (halves > 31) {
        return 1;
    }

    average >>= halves;
    average -= average * (age % LB_LATENCY_HALF) / (2 * LB_LATENCY_HALF);

    return (average == 0) ? 1 : (uint32_t) average;
}


/*
 * factor: the time is at least so many times the average.  A time below the
 * average takes it down to what has faded, or else by its least weight.
 */

static void
lb_latency_change(_Atomic uint64_t *word, uint64_t time, uint32_t factor,
    uint64_t now)
{
    uint32_t  faded;
    uint64_t  old, full, next, above;

    old = atomic_load_explicit(word, memory_order_relaxed);

    do {
        full = old >> 32;
        faded = lb_latency_faded(old, now);

        next = (uint64_t) faded * factor;
        next = (time > next) ? time : next;

        if (next < full) {
            above = full - (full - next) / LB_LATENCY_SAMPLES;
            next = (faded > next) ? faded : next;
            next = (above < next) ? above : next;
        }

        next = (next < LB_LATENCY_MAX) ? next : LB_LATENCY_MAX;
        next = (next != 0) ? next : 1;

    } while (!atomic_compare_exchange_weak_explicit(word, &old,
                                                    next << 32 | (uint32_t) now,
                                                    memory_order_acq_rel,
                                                    memory_order_acquire));
}
