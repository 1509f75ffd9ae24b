
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

    gw_store_relaxed(&roster->saving, gw_load_acquire(&old->saving));

    from = 0;
    used = gw_load_acquire(&old->used);

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

        gw_store_release(&server->status,
                         lb_inherit_status(roster, server, status));
    }

    gw_store_relaxed(&roster->id_next, gw_load_acquire(&old->id_next));
    gw_store_relaxed(&roster->kept, gw_load_acquire(&old->kept));
    gw_store_relaxed(&roster->file, gw_load_acquire(&old->file));
    gw_store_relaxed(&roster->retries, gw_load_acquire(&old->retries));
    gw_store_relaxed(&roster->denied, gw_load_acquire(&old->denied));
    gw_store_relaxed(&roster->drains, gw_load_acquire(&old->drains));

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

    gw_store_relaxed(&server->weight, gw_load_relaxed(&old->weight));
    gw_store_relaxed(&server->max_conns, gw_load_relaxed(&old->max_conns));
    gw_store_relaxed(&server->rank, gw_load_relaxed(&old->rank));
    gw_store_relaxed(&server->max_fails, gw_load_relaxed(&old->max_fails));
    gw_store_relaxed(&server->fail_timeout,
                     gw_load_relaxed(&old->fail_timeout));
    gw_store_relaxed(&server->seed, gw_load_relaxed(&old->seed));
    gw_store_relaxed(&server->sid, gw_load_relaxed(&old->sid));
    gw_store_relaxed(&server->listed, gw_load_relaxed(&old->listed));
    gw_store_relaxed(&server->reported_at, 0);

    gw_store_relaxed(&server->requests, gw_load_relaxed(&old->requests));
    gw_store_relaxed(&server->failures, gw_load_relaxed(&old->failures));
    gw_store_relaxed(&server->retry_at, gw_load_relaxed(&old->retry_at));
    gw_store_relaxed(&server->failed_at, gw_load_relaxed(&old->failed_at));
    gw_store_relaxed(&server->latency, gw_load_relaxed(&old->latency));
    gw_store_relaxed(&server->since, gw_load_relaxed(&old->since));
    gw_store_relaxed(&server->slow_from, gw_load_relaxed(&old->slow_from));
    gw_store_relaxed(&server->drain_until, gw_load_relaxed(&old->drain_until));
    gw_store_relaxed(&server->ejections, gw_load_relaxed(&old->ejections));
    gw_store_relaxed(&server->ejected_until,
                     gw_load_relaxed(&old->ejected_until));

    for (i = 0; i < LB_WINDOW_MARKS; i++) {
        gw_store_relaxed(&server->fails.at[i],
                         gw_load_relaxed(&old->fails.at[i]));
    }

    gw_store_relaxed(&server->fails.count, gw_load_relaxed(&old->fails.count));

    gw_store_relaxed(&server->health, gw_load_relaxed(&old->health));
    gw_store_relaxed(&server->check_time, gw_load_relaxed(&old->check_time));
    gw_store_relaxed(&server->check_began, gw_load_relaxed(&old->check_began));
    gw_store_relaxed(&server->checked_at, gw_load_relaxed(&old->checked_at));
    gw_store_relaxed(&server->checks[false],
                     gw_load_relaxed(&old->checks[false]));
    gw_store_relaxed(&server->checks[true],
                     gw_load_relaxed(&old->checks[true]));

    lb_window_clear(&server->errors);

    for (i = 0; i < LB_ANSWERS; i++) {
        gw_store_relaxed(&server->answers[i],
                         gw_load_relaxed(&old->answers[i]));
    }
}


/* what the new roster's rules know nothing of does not stay */

static uint32_t
lb_inherit_status(lb_roster_t *roster, lb_server_t *server, uint32_t status)
{
    if (status & (LB_REMOVED | LB_TOMBSTONE)) {
        return LB_TOMBSTONE;
    }

    if (gw_load_relaxed(&server->max_fails) == 0
        || gw_load_relaxed(&server->fail_timeout) == 0)
    {
        status &= ~(uint32_t) LB_FAILED;
    }

    if (gw_load_acquire(&roster->errors) == 0) {
        status &= ~(uint32_t) LB_EJECTED;
    }

    if (gw_load_acquire(&roster->slow_start) == 0) {
        status &= ~(uint32_t) LB_SLOW;
    }

    return status;
}
