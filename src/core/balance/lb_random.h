
/*
 * Random numbers for picks: a 64-bit counter through a mixing function
 * (SplitMix64; Steele, Lea and Flood, 2014).  Fast, and no secret.
 */


#ifndef LB_RANDOM_H
#define LB_RANDOM_H


#include <stdint.h>


/* a one-to-one mapping under which close numbers end up far apart */

static inline uint64_t
lb_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;

    return x ^ (x >> 31);
}


/* the next number; state may start anywhere */

static inline uint64_t
lb_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;

    return lb_mix(*state);
}


/* a number from 0 to n - 1, n >= 1 */

static inline uint32_t
lb_draw(uint64_t *state, uint32_t n)
{
    return (uint32_t) ((lb_random(state) >> 32) * n >> 32);
}


#endif /* LB_RANDOM_H */
