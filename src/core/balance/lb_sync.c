
/*
 * Bringing a roster's servers in line with the server lines of a
 * configuration.
 */


#include <string.h>

#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_slot.h"
#include "src/core/balance/lb_sync.h"


typedef struct {
    lb_roster_t      *roster;
    const lb_line_t  *lines;
    uint32_t          n;
    uint32_t         *seen;          /* by slot: its line's number + 1, or 0 */
    bool              keep;          /* what was changed at runtime stays */
    bool              wait;          /* old servers wait for new ones */
    lb_note_pt        note;
    void             *data;
} lb_sync_t;


static void lb_sync_match(lb_sync_t *sync);
static void lb_sync_follow(lb_sync_t *sync);
static bool lb_sync_must_wait(lb_sync_t *sync);
static bool lb_sync_serves(lb_sync_t *sync, uint32_t index);
static bool lb_sync_waits(lb_sync_t *sync, uint32_t index);
static bool lb_sync_stays(lb_sync_t *sync, uint32_t index);
static bool lb_sync_add_new(lb_sync_t *sync);
static bool lb_sync_is_placed(lb_sync_t *sync, uint32_t k);
static bool lb_sync_is_host(const lb_identity_t *identity,
    const lb_line_t *line);
static uint32_t lb_sync_find(lb_roster_t *roster, const lb_line_t *line,
    uint32_t hint, const uint32_t *seen);
static void lb_sync_move(lb_sync_t *sync, uint32_t k);
static uint32_t lb_sync_left(lb_sync_t *sync, const lb_line_t *line);
static void lb_sync_replace(lb_sync_t *sync, uint32_t index, uint32_t k);
static void lb_sync_drop(lb_roster_t *roster, uint32_t index);
static bool lb_sync_deleted(lb_sync_t *sync, const lb_line_t *line);


bool
lb_sync_lines(lb_roster_t *roster, const lb_line_t *lines, uint32_t n,
    lb_note_pt note, void *data)
{
    uint32_t   k;
    lb_sync_t  sync;

    sync.roster = roster;
    sync.lines = lines;
    sync.n = n;
    sync.seen = lb_slot_space(roster);
    sync.keep = gw_load_acquire(&roster->kept);
    sync.note = note;
    sync.data = data;

    lb_sync_match(&sync);

    sync.wait = lb_sync_must_wait(&sync);

    for (k = 0; k < n; k++) {

        if (!lb_sync_is_placed(&sync, k)) {
            lb_sync_move(&sync, k);
        }
    }

    lb_sync_follow(&sync);
    lb_roster_sweep(roster, NULL, NULL);

    return lb_sync_add_new(&sync);
}


uint32_t
lb_sync_need(lb_roster_t *roster, const lb_line_t *lines, uint32_t n,
    uint32_t *seen)
{
    uint32_t  i, index, need, used;

    memset(seen, 0, roster->capacity * sizeof(uint32_t));

    used = lb_roster_used(roster);
    need = 0;

    for (i = 0; i < used; i++) {
        need += lb_slot_stands(roster, i);
    }

    index = LB_NONE;

    for (i = 0; i < n; i++) {
        index = lb_sync_find(roster, &lines[i], index + 1, seen);

        if (index == LB_NONE) {
            need++;

        } else {
            seen[index] = 1;
        }
    }

    return need;
}


/* a server keeps its slot; i is where the next match is likely */

static void
lb_sync_match(lb_sync_t *sync)
{
    uint32_t  i, k, index;

    i = 0;

    for (k = 0; k < sync->n; k++) {
        index = lb_sync_find(sync->roster, &sync->lines[k], i, sync->seen);

        if (index != LB_NONE) {
            sync->seen[index] = k + 1;
            i = index + 1;
        }
    }
}


/* applies lines that are there to their servers, and lets others go */

static void
lb_sync_follow(lb_sync_t *sync)
{
    uint32_t        i, status, used;
    lb_roster_t    *roster;
    lb_identity_t  *identity;

    roster = sync->roster;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);

        if (sync->seen[i] != 0) {

            if (!(status & (LB_TOMBSTONE | LB_REMOVED))) {
                gw_store_relaxed(&lb_roster_server(roster, i)->rank,
                                 sync->seen[i] - 1);
                lb_slot_follow(roster, i, &sync->lines[sync->seen[i] - 1]);
            }

            continue;
        }

        if (status & (LB_TOMBSTONE | LB_REMOVED)) {
            lb_slot_clear_tombstone(roster, i);
            continue;
        }

        if (!lb_slot_is_line(roster, i)) {
            continue;
        }

        if (lb_sync_stays(sync, i)) {
            identity->from_line = false;
            continue;
        }

        if (lb_sync_waits(sync, i)) {
            continue;
        }

        atomic_fetch_or_explicit(&lb_roster_server(roster, i)->status,
                                 LB_REMOVED, memory_order_seq_cst);

        if (sync->note) {
            sync->note(sync->data, identity, false);
        }
    }
}


/*
 * Whether nobody would be left to serve until a new server has passed a check,
 * or a name is resolved, and there is room for old and new ones.
 */

static bool
lb_sync_must_wait(lb_sync_t *sync)
{
    bool      pending;
    uint32_t  i, k, need, used;

    pending = (gw_load_acquire(&sync->roster->awaited) != 0);
    need = 0;

    for (k = 0; k < sync->n; k++) {

        if (!lb_sync_is_placed(sync, k)) {
            need++;
            pending |= (sync->lines[k].pending
                        && !(sync->lines[k].status & LB_DISABLED));
        }
    }

    used = lb_roster_used(sync->roster);

    for (i = 0; i < used; i++) {

        if (lb_sync_serves(sync, i)) {
            return false;
        }

        need += (lb_roster_status(sync->roster, i) != 0);
        pending |= (sync->seen[i] != 0
                    && (gw_load_relaxed(&lb_roster_server(sync->roster, i)
                                         ->health)
                        & LB_HEALTH_PENDING));
    }

    return pending && need <= sync->roster->capacity;
}


/* whether a server is usable and will be so */

static bool
lb_sync_serves(lb_sync_t *sync, uint32_t index)
{
    uint32_t  k, status;

    k = sync->seen[index];
    status = lb_roster_status(sync->roster, index);

    if (!(status & LB_USED) || (status & LB_UNUSABLE)) {
        return false;
    }

    if (k != 0) {
        return !(sync->lines[k - 1].status & LB_DISABLED);
    }

    return !(status & LB_REPLACED)
           && (!lb_slot_is_line(sync->roster, index)
               || lb_sync_stays(sync, index));
}


/*
 * The line of a server has gone: makes it LB_REPLACED if it has to serve until
 * another one can; false: it is to be removed.
 */

static bool
lb_sync_waits(lb_sync_t *sync, uint32_t index)
{
    lb_server_t  *server;

    server = lb_roster_server(sync->roster, index);

    if (!sync->wait || (gw_load_acquire(&server->status) & LB_UNUSABLE)) {
        return false;
    }

    lb_roster_identity(sync->roster, index)->from_line = false;
    atomic_fetch_or_explicit(&server->status, LB_REPLACED,
                             memory_order_acq_rel);

    return true;
}


/* a server that was changed at runtime, and whose line has gone altogether */

static bool
lb_sync_stays(lb_sync_t *sync, uint32_t index)
{
    uint32_t        k;
    lb_identity_t  *identity;

    identity = lb_roster_identity(sync->roster, index);

    if (!sync->keep
        || !lb_slot_is_changed(lb_roster_server(sync->roster, index),
                               identity))
    {
        return false;
    }

    for (k = 0; k < sync->n; k++) {

        if (lb_sync_is_host(identity, &sync->lines[k])) {
            return false;
        }
    }

    return true;
}


/* seen[] says which line a slot stands for; the other lines are new */

static bool
lb_sync_add_new(lb_sync_t *sync)
{
    uint32_t      k, index, from;
    lb_roster_t  *roster;

    roster = sync->roster;
    from = 0;

    for (k = 0; k < sync->n; k++) {

        if (lb_sync_is_placed(sync, k)) {
            continue;
        }

        index = lb_slot_take(roster, &sync->lines[k], &from);

        if (index == LB_NONE) {
            return false;
        }

        lb_slot_add(roster, index, &sync->lines[k], k);
        sync->seen[index] = k + 1;

        if (sync->note) {
            sync->note(sync->data, lb_roster_identity(roster, index), true);
        }
    }

    return true;
}


static bool
lb_sync_is_placed(lb_sync_t *sync, uint32_t k)
{
    uint32_t  i, used;

    used = lb_roster_used(sync->roster);

    for (i = 0; i < used; i++) {

        if (sync->seen[(k + i) % used] == k + 1) {
            return true;
        }
    }

    return false;
}


/* Whether it is one of the line's name, whatever its address. */

static bool
lb_sync_is_host(const lb_identity_t *identity, const lb_line_t *line)
{
    return identity->host_length == line->host_length
           && memcmp(identity->host, line->host, line->host_length) == 0;
}


static uint32_t
lb_sync_find(lb_roster_t *roster, const lb_line_t *line, uint32_t hint,
    const uint32_t *seen)
{
    uint32_t  i, index, used;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        index = (hint + i) % used;

        if (seen[index] == 0 && lb_slot_stands(roster, index)
            && lb_roster_same(lb_roster_identity(roster, index), line))
        {
            return index;
        }
    }

    return LB_NONE;
}


/*
 * Finds out whether line k, which stands for no slot, is one whose name has
 * another address than before: then its server gets the settings that the
 * one before was given at runtime, and is none if all of the name's servers
 * were deleted.
 */

static void
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
        lb_slot_set_tombstone(roster, index, line);
        sync->seen[index] = k + 1;
    }
}


/* a server of the line's name whose address that has no more */

static uint32_t
lb_sync_left(lb_sync_t *sync, const lb_line_t *line)
{
    uint32_t  i, used;

    used = lb_roster_used(sync->roster);

    for (i = 0; i < used; i++) {

        if (sync->seen[i] == 0 && lb_slot_is_line(sync->roster, i)
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

    atomic_fetch_or_explicit(&server->status, LB_REMOVED,
                             memory_order_seq_cst);

    if (gw_load_seq_cst(&load.active[index]) == 0) {
        atomic_fetch_add_explicit(&server->generation, 1,
                                  memory_order_acq_rel);
        gw_store_release(&server->status, 0);
    }
}


/* whether the line's name had servers, and all of them were deleted */

static bool
lb_sync_deleted(lb_sync_t *sync, const lb_line_t *line)
{
    bool      deleted;
    uint32_t  i, used;

    deleted = false;
    used = lb_roster_used(sync->roster);

    for (i = 0; i < used; i++) {

        if (!lb_slot_stands(sync->roster, i)
            || !lb_sync_is_host(lb_roster_identity(sync->roster, i), line))
        {
            continue;
        }

        if (lb_slot_is_line(sync->roster, i)) {
            return false;
        }

        deleted = true;
    }

    return deleted;
}
