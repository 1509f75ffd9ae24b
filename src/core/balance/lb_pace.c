
/*
 * When checks take place.
 */


#include "src/core/balance/lb_pace.h"


void
lb_pace_start(lb_pace_t *pace, uint64_t now, uint64_t last,
    uint64_t interval, uint32_t place, uint32_t n)
{
    uint64_t  share;

    pace->spread_at = 0;

    if (last != 0 && last <= now && now - last < interval) {
        pace->due = last + interval;
        return;
    }

    share = interval * place / n;

    if (share <= (uint64_t) place * LB_PACE_FIRST) {
        pace->due = now + share;
        return;
    }

    pace->due = now + (uint64_t) place * LB_PACE_FIRST;
    pace->spread_at = now + share;
}


void
lb_pace_step(lb_pace_t *pace, uint64_t now, uint64_t interval,
    uint32_t jitter, uint32_t random)
{
    uint64_t  span;

    if (pace->spread_at > now) {
        pace->due = pace->spread_at;
        pace->spread_at = 0;
        return;
    }

    pace->spread_at = 0;

    span = interval * jitter / 1000;
    pace->due += interval - span + random % (2 * span + 1);

    if (pace->due < now) {
        pace->due += (now - pace->due + interval - 1) / interval * interval;
    }
}


uint64_t
lb_pace_grace(uint64_t late, uint64_t lag)
{
    uint64_t  grace;

    grace = (late > lag) ? late : lag;

    return (grace > LB_PACE_SLACK) ? grace : 0;
}
