
/*
 * Server lines whose name has another address than before.
 */


#include <string.h>

#include "src/core/balance/lb_slot.h"
#include "src/core/balance/lb_sync.h"


static uint32_t lb_sync_left(lb_sync_t *sync, const lb_line_t *line);
static void lb_sync_replace(lb_sync_t *sync, uint32_t index, uint32_t k);
static void lb_sync_drop(lb_roster_t *roster, uint32_t index);
static bool lb_sync_deleted(lb_sync_t *sync, const lb_line_t *line);


void
lb_sync_move(lb_sync_t *sync, uint32_t k)
{
    uint32_t          from, index;
    lb_roster_t      *roster;
    const lb_line_t  *line;

    roster = sync->roster;
    line = &sync->lines[k];

    index = lb_sync_left(sync, line);

    if (index != LB_NONE) {
        lb_sync_replace(sync, index, k);
        return;
    }

    if (!lb_sync_deleted(sync, line)) {
        return;
    }

    from = 0;
    index = lb_slot_next(roster, &from);

    if (index != LB_NONE) {
        lb_slot_bury(roster, index, line);
        sync->seen[index] = k + 1;
    }
}


/* a server of the line's name whose address that has no more */

static uint32_t
lb_sync_left(lb_sync_t *sync, const lb_line_t *line)
{
    uint32_t  i, used;

    used = atomic_load(&sync->roster->used);

    for (i = 0; i < used; i++) {

        if (sync->seen[i] == 0 && lb_sync_is_line(sync->roster, i)
            && lb_sync_is_host(lb_roster_identity(sync->roster, i), line))
        {
            return i;
        }
    }

    return LB_NONE;
}


/* in the same slot if it is free at once, so that this needs no room */

static void
lb_sync_replace(lb_sync_t *sync, uint32_t index, uint32_t k)
{
    uint32_t         from, to;
    lb_line_t        line;
    lb_roster_t     *roster;
    lb_server_t     *server;
    lb_identity_t   *identity;

    roster = sync->roster;
    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    line = sync->lines[k];
    lb_slot_keep(server, identity, &line);

    if (!lb_sync_waits(sync, index)) {

        if (sync->note) {
            sync->note(sync->data, identity, false);
        }

        lb_sync_drop(roster, index);
    }

    to = index;

    if (lb_roster_status(roster, index) != 0) {
        from = 0;
        to = lb_slot_next(roster, &from);

        if (to == LB_NONE) {
            return;
        }
    }

    lb_slot_add(roster, to, &line, k);
    lb_slot_line(roster, to, &sync->lines[k]);

    sync->seen[to] = k + 1;

    if (sync->note) {
        sync->note(sync->data, lb_roster_identity(roster, to), true);
    }
}


/* sets REMOVED, and frees the slot if it has no requests */

static void
lb_sync_drop(lb_roster_t *roster, uint32_t index)
{
    lb_load_t     load;
    lb_server_t  *server;

    load = lb_roster_load(roster);
    server = lb_roster_server(roster, index);

    atomic_fetch_or(&server->status, LB_REMOVED);

    if (atomic_load(&load.active[index]) == 0) {
        atomic_fetch_add(&server->generation, 1);
        atomic_store(&server->status, 0);
    }
}


/* whether the line's name had servers, and all of them were deleted */

static bool
lb_sync_deleted(lb_sync_t *sync, const lb_line_t *line)
{
    bool      deleted;
    uint32_t  i, used;

    deleted = false;
    used = atomic_load(&sync->roster->used);

    for (i = 0; i < used; i++) {

        if (!lb_sync_stands(sync->roster, i)
            || !lb_sync_is_host(lb_roster_identity(sync->roster, i), line))
        {
            continue;
        }

        if (lb_sync_is_line(sync->roster, i)) {
            return false;
        }

        deleted = true;
    }

    return deleted;
}
