
/*
 * Carrying servers over to a new roster, as when the zone of an upstream has
 * changed its size.
 */


#include <string.h>

#include "src/core/balance/lb_inherit.h"
#include "src/core/balance/lb_slot.h"


static void lb_inherit_identity(lb_identity_t *identity,
    const lb_identity_t *old);
static void lb_inherit_copy(lb_server_t *server, lb_server_t *old);
static uint32_t lb_inherit_status(lb_roster_t *roster, lb_server_t *server,
    uint32_t status);


bool
lb_inherit_servers(lb_roster_t *roster, lb_roster_t *old)
{
    uint32_t        i, index, from, status, used;
    lb_server_t    *server;
    lb_identity_t  *identity;

    /* a change that is being saved is either here or noted as missing */

    roster->saving = atomic_load(&old->saving);

    from = 0;
    used = atomic_load(&old->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(old, i);
        identity = lb_roster_identity(old, i);

        if (status == 0 || ((status & LB_REMOVED) && !identity->tombstone)) {
            continue;
        }

        index = lb_slot_next(roster, &from);

        if (index == LB_NONE) {
            return false;
        }

        server = lb_roster_server(roster, index);

        lb_inherit_identity(lb_roster_identity(roster, index), identity);
        lb_inherit_copy(server, lb_roster_server(old, i));

        atomic_store(&server->status,
                     lb_inherit_status(roster, server, status));
    }

    roster->id_next = atomic_load(&old->id_next);
    roster->kept = atomic_load(&old->kept);
    roster->file = atomic_load(&old->file);
    roster->retries = atomic_load(&old->retries);
    roster->denied = atomic_load(&old->denied);
    roster->drains = atomic_load(&old->drains);

    return true;
}


/* the old one may change under us: lengths at least must be right */

static void
lb_inherit_identity(lb_identity_t *identity, const lb_identity_t *old)
{
    *identity = *old;

    if (identity->address_length > LB_ADDRESS_MAX) {
        identity->address_length = LB_ADDRESS_MAX;
    }

    if (identity->name_length > LB_NAME_MAX) {
        identity->name_length = LB_NAME_MAX;
    }

    if (identity->host_length > LB_HOST_MAX) {
        identity->host_length = LB_HOST_MAX;
    }

    if (identity->sid_length > LB_SID_MAX) {
        identity->sid_length = 0;
    }

    if (identity->reason_length > LB_REASON_MAX) {
        identity->reason_length = 0;
    }
}


static void
lb_inherit_copy(lb_server_t *server, lb_server_t *old)
{
    uint32_t  i;

    server->weight = old->weight;
    server->max_conns = old->max_conns;
    server->rank = old->rank;
    server->max_fails = old->max_fails;
    server->fail_timeout = old->fail_timeout;
    server->seed = old->seed;
    server->sid = old->sid;
    server->listed = old->listed;
    server->reported_at = 0;

    server->requests = old->requests;
    server->failures = old->failures;
    server->retry_at = old->retry_at;
    server->failed_at = old->failed_at;
    server->latency = old->latency;
    server->since = old->since;
    server->slow_from = old->slow_from;
    server->drain_until = old->drain_until;
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

    lb_window_clear(&server->errors);

    for (i = 0; i < LB_ANSWERS; i++) {
        server->answers[i] = old->answers[i];
    }
}


/* what the new roster's rules know nothing of does not stay */

static uint32_t
lb_inherit_status(lb_roster_t *roster, lb_server_t *server, uint32_t status)
{
    if (status & (LB_REMOVED | LB_TOMBSTONE)) {
        return LB_TOMBSTONE;
    }

    if (server->max_fails == 0 || server->fail_timeout == 0) {
        status &= ~(uint32_t) LB_FAILED;
    }

    if (atomic_load(&roster->errors) == 0) {
        status &= ~(uint32_t) LB_EJECTED;
    }

    if (atomic_load(&roster->slow_start) == 0) {
        status &= ~(uint32_t) LB_SLOW;
    }

    return status;
}
