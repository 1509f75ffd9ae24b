
/*
 * What a view depends on: the rules of the upstream, and a fingerprint of the
 * servers by which one that is out of date is noticed.
 */


#include "src/core/balance/lb_health.h"


bool
lb_roster_stale(lb_roster_t *roster)
{
    return lb_roster_fingerprint(roster)
           != atomic_load(&roster->fingerprint);
}


void
lb_roster_rule(lb_roster_t *roster, const lb_rules_t *rules)
{
    bool          errors;
    uint32_t      i, used, gone;
    lb_server_t  *server;

    errors = (atomic_load(&roster->errors) != rules->errors);
    gone = (rules->errors == 0 ? LB_EJECTED : 0)
           | (rules->slow_start == 0 ? LB_SLOW : 0);

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        if (errors) {
            lb_window_clear(&server->errors);
        }

        atomic_fetch_and(&server->status, ~gone);
    }

    atomic_store(&roster->slow_start, rules->slow_start);
    atomic_store(&roster->panic, rules->panic);
    atomic_store(&roster->errors, rules->errors);
    atomic_store(&roster->cells, rules->cells);
}


void
lb_roster_retire(lb_roster_t *roster)
{
    bool            wait, usable;
    uint32_t        i, used, status;
    lb_server_t    *server;
    lb_identity_t  *identity;

    wait = false;
    usable = false;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & (LB_REPLACED | LB_PANICKING))) {
            continue;
        }

        usable |= !(status & LB_UNUSABLE);
        wait |= ((atomic_load(&lb_roster_server(roster, i)->health)
                  & LB_HEALTH_PENDING) != 0);
    }

    if (wait && !usable) {
        return;
    }

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if ((status & LB_REPLACED) && !(status & LB_REMOVED)) {
            identity = lb_roster_identity(roster, i);
            identity->leaving = true;
            identity->replaced = true;

            atomic_fetch_or(&server->status, LB_REMOVED);
        }
    }
}


/* FNV-1a over what a view depends on */

uint64_t
lb_roster_fingerprint(lb_roster_t *roster)
{
    uint32_t      i, j, status, used;
    uint64_t      hash;
    uint64_t      part[4];
    lb_server_t  *server;

    hash = 0xcbf29ce484222325 ^ roster->panic ^ (uint64_t) roster->cells << 32;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (status == 0) {
            continue;
        }

        part[0] = i;
        part[1] = (status & ~(uint32_t) LB_SLOW)
                  | (uint64_t) (server->max_conns != 0) << 32;
        part[2] = server->weight;
        part[3] = ((uint64_t) server->generation << 32) | server->rank;

        for (j = 0; j < 4; j++) {
            hash = (hash ^ part[j]) * 0x100000001b3;
        }
    }

    return hash;
}
