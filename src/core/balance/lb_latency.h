
/*
 * A server's time to header as a peak-sensitive moving average in one word:
 * a longer time counts at once, shorter ones bring the average down, and so
 * does time that passes without any, so that a server that was slow is
 * asked again some day.
 */


#ifndef LB_LATENCY_H
#define LB_LATENCY_H


#include <stdatomic.h>
#include <stdint.h>


/* ms in which an average without news loses half */
#define LB_LATENCY_HALF     7000

/* one over this is the least weight of a new time below the average */
#define LB_LATENCY_SAMPLES  8

/* a failure counts as no less than this, and never more than that (µs) */
#define LB_LATENCY_FAILED   100000
#define LB_LATENCY_MAX      60000000


/*
 * The average at now (ms) in µs; 0: nothing is known.  The word is zero at
 * first: µs in the upper half, ms modulo 2^32 in the lower.
 */
uint32_t lb_latency_read(_Atomic uint64_t *word, uint64_t now);

/* Enters a time in µs.  Lock-free. */
void lb_latency_enter(_Atomic uint64_t *word, uint64_t time, uint64_t now);

/*
 * Enters a failure after the given time: a server that fails looks twice as
 * slow with each one, however fast it does.  Lock-free.
 */
void lb_latency_fail(_Atomic uint64_t *word, uint64_t time, uint64_t now);


#endif /* LB_LATENCY_H */
