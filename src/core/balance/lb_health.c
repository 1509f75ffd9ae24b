
/*
 * Health by checks: rise, fall, and what they do to a server's status.
 */


#include "src/core/balance/lb_health.h"


#define LB_HEALTH_OUT  (LB_UNHEALTHY | LB_FAILED)


static lb_health_t lb_health_fall(lb_server_t *server, uint32_t word,
    uint32_t fall);
static lb_health_t lb_health_rise(lb_server_t *server, uint32_t word,
    uint32_t rise);
static uint32_t lb_health_more(uint32_t n);


uint32_t
lb_health_next(uint32_t word, bool passed, uint32_t rise, uint32_t fall,
    bool repair)
{
    uint32_t  row, repaired, flags;

    flags = word & (LB_HEALTH_DOWN | LB_HEALTH_PENDING);

    row = (passed == !!(word & LB_HEALTH_PASSING)) ? lb_health_streak(word) : 0;
    row = lb_health_more(row);

    repaired = (passed && repair) ? lb_health_more(lb_health_repair(word)) : 0;

    if (passed) {

        if (row >= rise || (flags & LB_HEALTH_PENDING)) {
            flags = 0;
        }

        flags |= LB_HEALTH_PASSING;

    } else if (row >= fall) {
        flags |= LB_HEALTH_DOWN;
    }

    return flags | repaired << 12 | row;
}


lb_health_t
lb_health_enter(lb_server_t *server, bool passed, uint32_t rise,
    uint32_t fall, uint64_t began)
{
    bool      repair;
    uint32_t  word;

    repair = (gw_load_acquire(&server->status) & LB_FAILED)
           && began >= gw_load_acquire(&server->failed_at);

    word = lb_health_next(gw_load_acquire(&server->health), passed, rise, fall,
                          repair);

    gw_store_release(&server->health, word);

    return passed ? lb_health_rise(server, word, rise)
                  : lb_health_fall(server, word, fall);
}


void
lb_health_forget(lb_roster_t *roster)
{
    uint32_t      i, used;
    lb_server_t  *server;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        gw_store_release(&server->health, 0);
        atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_UNHEALTHY,
                                  memory_order_acq_rel);
    }
}


static lb_health_t
lb_health_fall(lb_server_t *server, uint32_t word, uint32_t fall)
{
    uint32_t  old;

    if (!(word & LB_HEALTH_DOWN)) {
        return LB_HEALTH_SAME;
    }

    old = atomic_fetch_or_explicit(&server->status, LB_UNHEALTHY,
                                   memory_order_acq_rel);

    if (word & LB_HEALTH_PENDING) {
        return (lb_health_streak(word) == fall) ? LB_HEALTH_WENT_DOWN
                                             : LB_HEALTH_SAME;
    }

    if (old & LB_UNHEALTHY) {
        return LB_HEALTH_SAME;
    }

    return (old & LB_FAILED) ? LB_HEALTH_MOVED : LB_HEALTH_WENT_DOWN;
}


static lb_health_t
lb_health_rise(lb_server_t *server, uint32_t word, uint32_t rise)
{
    uint32_t  old, gone;

    gone = (word & LB_HEALTH_DOWN) ? 0 : LB_UNHEALTHY;

    if (lb_health_repair(word) >= rise) {
        gone |= LB_FAILED;
        lb_window_clear(&server->fails);
    }

    old = atomic_fetch_and_explicit(&server->status, ~gone,
                                    memory_order_acq_rel);

    if (!(old & gone)) {
        return LB_HEALTH_SAME;
    }

    return (old & ~gone & LB_HEALTH_OUT) ? LB_HEALTH_MOVED
                                         : LB_HEALTH_CAME_UP;
}


static uint32_t
lb_health_more(uint32_t n)
{
    return (n == 0xfff) ? n : n + 1;
}
