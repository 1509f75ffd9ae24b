
/*
 * A histogram of times in shared memory.
 */


#include "src/core/balance/lb_meter.h"


const uint64_t  lb_meter_bounds[LB_METER_BOUNDS] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000
};


void
lb_meter_count(lb_meter_t meters[LB_METERS], uint32_t process, uint64_t time)
{
    unsigned     i;
    lb_meter_t  *meter;

    meter = &meters[process % LB_METERS];

    for (i = 0; i < LB_METER_BOUNDS && time > lb_meter_bounds[i]; i++) {
        /* few steps: most answers are fast */
    }

    atomic_fetch_add_explicit(&meter->counts[i], 1, memory_order_relaxed);

    if (time != 0) {
        atomic_fetch_add_explicit(&meter->sum, time, memory_order_relaxed);
    }
}


uint64_t
lb_meter_read(lb_meter_t meters[LB_METERS],
    uint64_t counts[LB_METER_BOUNDS + 1])
{
    unsigned  i, k;
    uint64_t  sum;

    sum = 0;

    for (i = 0; i <= LB_METER_BOUNDS; i++) {
        counts[i] = 0;
    }

    for (k = 0; k < LB_METERS; k++) {
        sum += atomic_load_explicit(&meters[k].sum, memory_order_relaxed);

        for (i = 0; i <= LB_METER_BOUNDS; i++) {
            counts[i] += atomic_load_explicit(&meters[k].counts[i],
                                              memory_order_relaxed);
        }
    }

    return sum;
}
