
/*
 * Clients that each have one request under way, all the time, and servers
 * that answer after a random time: what picks do to the shares of servers.
 */


#ifndef LB_SIMULATION_H
#define LB_SIMULATION_H


#include "t/unit/balance/lb_fixture.h"
#include "src/core/balance/lb_latency.h"

#include <math.h>


#define LB_CLIENTS  256


typedef struct {
    lb_method_pt  method;
    uint32_t      clients;
    uint32_t      requests;
    double        time[LB_FIXTURE_LINES];    /* mean to answer, ms */

    /* found out */
    uint32_t      count[LB_FIXTURE_LINES];
    double        excess;    /* mean of most busy / mean of all, at a pick */
} lb_simulation_t;


static inline double
lb_simulation_time(double mean, uint64_t *random)
{
    return -mean * log((double) ((lb_random(random) >> 11) + 1) * 0x1p-53);
}


static inline void
lb_simulate(lb_fixture_t *f, lb_simulation_t *s)
{
    double    at, end[LB_CLIENTS], began[LB_CLIENTS];
    uint32_t  i, k, n, active, most, total, server[LB_CLIENTS];
    uint64_t  random;
    lb_how_t  how;

    random = 1;
    at = (double) f->ask.now;
    memset(s->count, 0, sizeof(s->count));
    s->excess = 0;

    for (i = 0; i < s->clients; i++) {
        end[i] = at;
        server[i] = LB_NONE;
    }

    for (n = 0; n < s->requests; n++) {
        k = 0;

        for (i = 1; i < s->clients; i++) {
            k = (end[i] < end[k]) ? i : k;
        }

        at = end[k];
        f->ask.now = (uint64_t) at;

        if (server[k] != LB_NONE) {
            lb_load_drop(&f->load, f->row, server[k]);
            lb_latency_enter(&lb_roster_server(f->roster, server[k])->latency,
                             (uint64_t) ((at - began[k]) * 1000),
                             f->ask.now);
        }

        f->ask.tried.number = 0;
        f->ask.last = 0;
        f->ask.key = lb_random(&random);

        server[k] = lb_pick(f->roster, s->method, &f->ask, &how);

        if (server[k] == LB_NONE) {
            abort();
        }

        began[k] = at;
        end[k] = at + lb_simulation_time(s->time[server[k]], &random);
        s->count[server[k]]++;

        most = 0;
        total = 0;

        for (i = 0; i < f->nlines; i++) {
            active = lb_load_active(&f->load, i);
            most = (active > most) ? active : most;
            total += active;
        }

        s->excess += (double) most * f->nlines / total / s->requests;
    }

    for (i = 0; i < s->clients; i++) {

        if (server[i] != LB_NONE) {
            lb_load_drop(&f->load, f->row, server[i]);
        }
    }
}


#endif /* LB_SIMULATION_H */
