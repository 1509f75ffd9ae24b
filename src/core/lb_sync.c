
/*
 * Bringing a roster's servers in line with the server lines of a
 * configuration.
 */


#include <string.h>

#include "lb_cells.h"
#include "lb_health.h"
#include "lb_sync.h"


static uint32_t lb_sync_find(lb_roster_t *roster, const lb_line_t *line,
    uint32_t hint, const uint32_t *seen);
static void lb_sync_apply(lb_roster_t *roster, uint32_t index,
    const lb_line_t *line, uint32_t rank);
static bool lb_sync_stands(lb_roster_t *roster, uint32_t index);
static void lb_sync_unearth(lb_roster_t *roster, uint32_t index);


bool
lb_roster_sync(lb_roster_t *roster, const lb_line_t *lines, uint32_t n,
    lb_note_pt note, void *data)
{
    bool            complete;
    uint32_t        i, k, index, used, status, from;
    uint32_t       *seen;
    lb_identity_t  *identity;

    seen = (uint32_t *) ((unsigned char *) roster + roster->members);
    memset(seen, 0, roster->capacity * sizeof(uint32_t));

    /* a server keeps its slot; i is where the next match is likely */

    i = 0;
    used = atomic_load(&roster->used);

    for (k = 0; k < n; k++) {
        index = lb_sync_find(roster, &lines[k], i, seen);

        if (index != LB_NONE) {
            seen[index] = k + 1;
            i = index + 1;
        }
    }

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);

        if (seen[i] != 0) {

            if (status & (LB_BURIED | LB_REMOVED)) {
                continue;
            }

            lb_sync_apply(roster, i, &lines[seen[i] - 1], seen[i] - 1);
            continue;
        }

        if (status & (LB_BURIED | LB_REMOVED)) {
            lb_sync_unearth(roster, i);
            continue;
        }

        if (!(status & LB_USED) || !identity->from_line) {
            continue;
        }

        atomic_fetch_or(&lb_roster_server(roster, i)->status, LB_REMOVED);

        if (note) {
            note(data, identity, false);
        }
    }

    lb_roster_sweep(roster, NULL, NULL);

    /* seen[] says which line a slot stands for; the other lines are new */

    complete = true;
    from = 0;

    for (k = 0; k < n; k++) {

        for (i = 0; i < used && seen[(k + i) % used] != k + 1; i++) {
            /* void */
        }

        if (i < used) {
            continue;
        }

        index = lb_sync_slot(roster, &from);

        if (index == LB_NONE) {
            complete = false;
            break;
        }

        lb_sync_add(roster, index, &lines[k], k);

        if (note) {
            note(data, lb_roster_identity(roster, index), true);
        }
    }

    return complete;
}


void
lb_roster_sweep(lb_roster_t *roster, lb_note_pt note, void *data)
{
    uint32_t        i, used;
    lb_load_t       load;
    lb_server_t    *server;
    lb_identity_t  *identity;

    load = lb_roster_load(roster);
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        /*
         * A pick counts itself in active[] before it looks at the status:
         * either it sees the mark and leaves, or it is seen here.
         */

        if ((atomic_load(&server->status) & LB_REMOVED)
            && atomic_load(&load.active[i]) == 0)
        {
            identity = lb_roster_identity(roster, i);

            if (note && identity->leaving) {
                note(data, identity, false);
            }

            atomic_fetch_add(&server->generation, 1);
            atomic_store(&server->status,
                         identity->buried ? LB_BURIED : 0);
        }
    }
}


bool
lb_roster_same(const lb_identity_t *identity, const lb_line_t *line)
{
    return identity->host_length == line->host_length
           && identity->address_length == line->address_length
           && memcmp(identity->host, line->host, line->host_length) == 0
           && memcmp(identity->address, line->address, line->address_length)
              == 0;
}


/* a server that was deleted at runtime still stands for its line */

static bool
lb_sync_stands(lb_roster_t *roster, uint32_t index)
{
    uint32_t  status;

    status = lb_roster_status(roster, index);

    if (status & LB_REMOVED) {
        return lb_roster_identity(roster, index)->buried;
    }

    return (status & (LB_USED | LB_BURIED)) != 0;
}


/* its line has gone, too */

static void
lb_sync_unearth(lb_roster_t *roster, uint32_t index)
{
    lb_roster_identity(roster, index)->buried = false;

    if (lb_roster_status(roster, index) & LB_BURIED) {
        atomic_store(&lb_roster_server(roster, index)->status, 0);
    }
}


static uint32_t
lb_sync_find(lb_roster_t *roster, const lb_line_t *line, uint32_t hint,
    const uint32_t *seen)
{
    uint32_t  i, index, used;

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        index = (hint + i) % used;

        if (seen[index] == 0 && lb_sync_stands(roster, index)
            && lb_roster_same(lb_roster_identity(roster, index), line))
        {
            return index;
        }
    }

    return LB_NONE;
}


/* the first free slot from the given one on, which is moved behind it */

uint32_t
lb_sync_slot(lb_roster_t *roster, uint32_t *from)
{
    uint32_t  i, used;

    used = atomic_load(&roster->used);

    for (i = *from; i < used; i++) {

        if (lb_roster_status(roster, i) == 0) {
            *from = i + 1;
            return i;
        }
    }

    if (used == roster->capacity) {
        return LB_NONE;
    }

    atomic_store(&roster->used, used + 1);

    *from = used + 1;

    return used;
}


/* a setting changed at runtime stays until its line says something new */

static void
lb_sync_apply(lb_roster_t *roster, uint32_t index, const lb_line_t *line,
    uint32_t rank)
{
    uint32_t        changed;
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    server->rank = rank;

    if (identity->weight != line->weight) {
        server->weight = line->weight;
    }

    if (identity->max_conns != line->max_conns) {
        server->max_conns = line->max_conns;
    }

    if (identity->max_fails != line->max_fails
        || identity->fail_timeout != line->fail_timeout)
    {
        lb_window_clear(&server->fails);
        server->max_fails = line->max_fails;
        server->fail_timeout = line->fail_timeout;

        if (line->max_fails == 0 || line->fail_timeout == 0) {
            atomic_fetch_and(&server->status, ~(uint32_t) LB_FAILED);
        }
    }

    changed = identity->status ^ line->status;

    atomic_fetch_or(&server->status, changed & line->status);
    atomic_fetch_and(&server->status, ~(changed & ~line->status));

    identity->from_line = true;
    identity->weight = line->weight;
    identity->max_conns = line->max_conns;
    identity->max_fails = line->max_fails;
    identity->fail_timeout = line->fail_timeout;
    identity->status = line->status;
}


/* the slot is free until its status is written, last */

void
lb_sync_add(lb_roster_t *roster, uint32_t index, const lb_line_t *line,
    uint32_t rank)
{
    uint32_t        i;
    lb_server_t    *server;
    lb_identity_t  *identity;

    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);

    memset(identity, 0, sizeof(lb_identity_t));

    identity->address_length = (uint16_t) line->address_length;
    identity->name_length = (uint16_t) line->name_length;
    identity->host_length = (uint16_t) line->host_length;
    identity->id = line->id;
    identity->from_line = true;
    identity->weight = line->weight;
    identity->max_conns = line->max_conns;
    identity->max_fails = line->max_fails;
    identity->fail_timeout = line->fail_timeout;
    identity->status = line->status;

    if (line->id == 0) {
        identity->id = atomic_fetch_add(&roster->id_next, 1) + 1;

    } else if (line->id > atomic_load(&roster->id_next)) {
        atomic_store(&roster->id_next, line->id);
    }

    memcpy(identity->address, line->address, line->address_length);
    memcpy(identity->name, line->name, line->name_length);
    memcpy(identity->host, line->host, line->host_length);

    server->weight = line->weight;
    server->max_conns = line->max_conns;
    server->max_fails = line->max_fails;
    server->fail_timeout = line->fail_timeout;
    server->rank = rank;
    server->retry_at = 0;
    server->failed_at = 0;
    server->told_at = 0;
    server->requests = 0;
    server->failures = 0;
    server->latency = 0;
    server->slow_from = 0;
    server->ejections = 0;
    server->ejected_until = 0;
    server->listed = LB_UNLISTED;
    server->seed = lb_cells_seed(line->name, line->name_length,
                                 line->host, line->host_length);

    lb_window_clear(&server->fails);
    lb_window_clear(&server->errors);

    for (i = 0; i < LB_ANSWERS; i++) {
        server->answers[i] = 0;
    }

    server->health = line->pending ? LB_HEALTH_NEW : 0;
    server->check_time = 0;
    server->check_began = 0;
    server->checked_at = 0;
    server->checks[false] = 0;
    server->checks[true] = 0;

    atomic_store(&server->status, LB_USED | line->status
                                  | (line->pending ? LB_UNHEALTHY : 0));
}
