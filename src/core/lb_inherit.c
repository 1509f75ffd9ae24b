
/*
 * Carrying health and counters over to a new roster, as when the zone of an
 * upstream has changed its size.
 */


#include <string.h>

#include "lb_health.h"


static bool lb_inherit_pair(const lb_identity_t *a, const lb_identity_t *b);
static void lb_inherit_copy(lb_roster_t *roster, lb_server_t *server,
    lb_server_t *old);


void
lb_roster_inherit(lb_roster_t *roster, lb_roster_t *old, lb_note_pt note,
    void *data)
{
    uint32_t        i, j, k, used, old_used;
    uint32_t       *taken;
    lb_identity_t  *identity;

    taken = (uint32_t *) ((unsigned char *) roster + roster->members);
    memset(taken, 0, roster->capacity * sizeof(uint32_t));

    used = atomic_load(&roster->used);
    old_used = atomic_load(&old->used);
    k = 0;

    for (i = 0; i < old_used; i++) {

        if ((lb_roster_status(old, i) & (LB_USED | LB_REMOVED)) != LB_USED) {
            continue;
        }

        identity = lb_roster_identity(old, i);

        for (j = 0; j < used; j++, k++) {
            k = (k < used) ? k : 0;

            if (!taken[k]
                && lb_inherit_pair(lb_roster_identity(roster, k), identity))
            {
                break;
            }
        }

        if (j == used) {

            if (note) {
                note(data, identity, false);
            }

            continue;
        }

        taken[k] = 1;
        lb_inherit_copy(roster, lb_roster_server(roster, k),
                        lb_roster_server(old, i));

        k++;
    }

    for (i = 0; i < used && note; i++) {

        if (!taken[i]) {
            note(data, lb_roster_identity(roster, i), true);
        }
    }
}


static bool
lb_inherit_pair(const lb_identity_t *a, const lb_identity_t *b)
{
    return a->host_length == b->host_length
           && a->host_length <= LB_HOST_MAX
           && a->address_length == b->address_length
           && a->address_length <= LB_ADDRESS_MAX
           && memcmp(a->host, b->host, a->host_length) == 0
           && memcmp(a->address, b->address, a->address_length) == 0;
}


static void
lb_inherit_copy(lb_roster_t *roster, lb_server_t *server, lb_server_t *old)
{
    uint32_t  i, status;

    server->requests = old->requests;
    server->failures = old->failures;
    server->retry_at = old->retry_at;
    server->failed_at = old->failed_at;
    server->latency = old->latency;
    server->slow_from = old->slow_from;
    server->ejections = old->ejections;
    server->ejected_until = old->ejected_until;

    for (i = 0; i < LB_WINDOW_MARKS; i++) {
        server->fails.at[i] = old->fails.at[i];
    }

    server->fails.count = old->fails.count;

    server->health = old->health;
    server->check_time = old->check_time;
    server->check_began = old->check_began;
    server->checked_at = old->checked_at;
    server->checks[false] = old->checks[false];
    server->checks[true] = old->checks[true];

    atomic_fetch_and(&server->status, ~(uint32_t) LB_UNHEALTHY);

    status = old->status & (LB_FAILED | LB_UNHEALTHY | LB_EJECTED | LB_SLOW);

    if (server->max_fails == 0 || server->fail_timeout == 0) {
        status &= ~(uint32_t) LB_FAILED;
    }

    if (atomic_load(&roster->errors) == 0) {
        status &= ~(uint32_t) LB_EJECTED;
    }

    if (atomic_load(&roster->slow_start) == 0) {
        status &= ~(uint32_t) LB_SLOW;
    }

    atomic_fetch_or(&server->status, status);
}
