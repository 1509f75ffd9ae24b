
/*
 * Repeatable random numbers for the tests of the limiter's core: a test
 * that fails does so again.
 */


#ifndef TB_RANDOM_H
#define TB_RANDOM_H


#include <stdint.h>


typedef struct {
    uint64_t  state;
} tb_random_t;


/* SplitMix64 (Steele, Lea, Flood, 2014). */

static inline uint64_t
tb_random(tb_random_t *rnd)
{
    uint64_t  z;

    z = rnd->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);

    return z ^ z >> 31;
}


/* Uniform enough in [from, to]. */

static inline uint64_t
tb_random_in(tb_random_t *rnd, uint64_t from, uint64_t to)
{
    return from + tb_random(rnd) % (to - from + 1);
}


/* From [from, to], each order of magnitude as likely as the others. */

static inline uint64_t
tb_random_scale(tb_random_t *rnd, uint64_t from, uint64_t to)
{
    uint64_t  top;

    top = from;

    while (top < to && tb_random(rnd) % 16 != 0) {
        top = top > to / 3 ? to : top * 3;
    }

    return tb_random_in(rnd, from, top);
}


#endif /* TB_RANDOM_H */
