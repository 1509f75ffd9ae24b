
/*
 * Telling overload from a burst.
 */


#include "src/core/balance/lb_overload.h"


uint64_t
lb_overload_target(uint64_t service, uint64_t timeout)
{
    uint64_t  target;

    target = service / 2000;
    target = (target < timeout / 2) ? target : timeout / 2;

    return (target > LB_OVERLOAD_TARGET) ? target : LB_OVERLOAD_TARGET;
}


bool
lb_overload_judge(lb_overload_t *overload, uint64_t now, uint64_t age,
    uint64_t target, uint64_t interval)
{
    if (age > target) {

        if (overload->above_since == 0) {
            overload->above_since = now;
        }

        overload->above_last = now;

        if (now - overload->above_since >= interval) {
            overload->on = true;
        }

        return overload->on;
    }

    overload->above_since = 0;

    if (overload->on && now - overload->above_last >= interval) {
        overload->on = false;
    }

    return overload->on;
}
