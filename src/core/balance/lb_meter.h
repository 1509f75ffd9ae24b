
/*
 * How long an upstream's answers take: a histogram in shared memory, in
 * several copies that are added up when it is read, so that processes seldom
 * write to the same cache line.
 */


#ifndef LB_METER_H
#define LB_METER_H


#include <stdatomic.h>
#include <stdint.h>

#include "src/core/balance/lb_load.h"


#define LB_METERS         8          /* copies; by process slot */
#define LB_METER_BOUNDS   14


/* counts[i]: above bound i - 1, up to bound i; the last: above all bounds */

typedef struct {
    alignas(LB_LINE)
    _Atomic uint64_t   counts[LB_METER_BOUNDS + 1];
    _Atomic uint64_t   sum;          /* ms */
} lb_meter_t;


/* upper bounds in ms, ascending */
extern const uint64_t  lb_meter_bounds[LB_METER_BOUNDS];

/* Counts one time in ms, in the copy of the given process.  Lock-free. */
void lb_meter_count(lb_meter_t meters[LB_METERS], uint32_t process,
    uint64_t time);

/* Adds the copies up; returns the sum of all times in ms. */
uint64_t lb_meter_read(lb_meter_t meters[LB_METERS],
    uint64_t counts[LB_METER_BOUNDS + 1]);


#endif /* LB_METER_H */
