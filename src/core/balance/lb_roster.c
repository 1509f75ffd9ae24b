
/*
 * The roster: its memory, the rules of an upstream, who is in it, who has left,
 * and by which number a view that is out of date is noticed.
 */


#include <string.h>

#include "src/core/balance/lb_health.h"
#include "src/core/balance/lb_roster.h"


#define LB_ORDER_MIN  1024

/* lb_server_t.since: the state, plus one, is above the time */
#define LB_SINCE_BITS  56


static uint64_t lb_roster_layout(lb_roster_t *roster, uint32_t capacity,
    uint32_t nrows, uint32_t order_max);
static uint64_t lb_roster_room(uint64_t *size, uint64_t bytes);


uint64_t
lb_roster_size(uint32_t capacity, uint32_t nrows, uint32_t order_max)
{
    lb_roster_t  roster;

    return lb_roster_layout(&roster, capacity, nrows, order_max);
}


/* orders take half of the room at most, a power of two */

uint32_t
lb_roster_fit(uint64_t size, uint32_t nrows, uint32_t *order_max)
{
    uint32_t  low, high, middle;

    *order_max = LB_ORDER_MAX;

    while (*order_max > LB_ORDER_MIN
           && *order_max * 4 * sizeof(uint16_t) > size / 2)
    {
        *order_max /= 2;
    }

    low = 0;
    high = (*order_max < LB_SERVERS_MAX) ? *order_max : LB_SERVERS_MAX;

    while (low < high) {
        middle = high - (high - low) / 2;

        if (lb_roster_size(middle, nrows, *order_max) <= size) {
            low = middle;

        } else {
            high = middle - 1;
        }
    }

    return low;
}


lb_roster_t *
lb_roster_init(void *block, uint32_t capacity, uint32_t nrows,
    uint32_t order_max)
{
    lb_load_t     load;
    lb_roster_t   layout;
    lb_roster_t  *roster = block;

    /* what follows the rows is written before it is read */

    (void) lb_roster_layout(&layout, capacity, nrows, order_max);

    memset(block, 0, layout.rows);

    roster->size = lb_roster_layout(roster, capacity, nrows, order_max);

    load = lb_roster_load(roster);
    lb_load_init(&load, roster->held - roster->rows);

    gw_store_release(&roster->trial_at[0], LB_NEVER);
    gw_store_release(&roster->trial_at[1], LB_NEVER);

    return roster;
}


lb_is_t
lb_roster_is(uint32_t status)
{
    if (status & LB_REMOVED) {
        return LB_IS_DRAINING;
    }

    if (status & LB_DISABLED) {
        return LB_IS_DISABLED;
    }

    if (status & LB_DRAINING) {
        return LB_IS_DRAINING;
    }

    if (status & (LB_FAILED | LB_UNHEALTHY)) {
        return LB_IS_DOWN;
    }

    return (status & LB_EJECTED) ? LB_IS_EJECTED : LB_IS_UP;
}


uint64_t
lb_roster_since(lb_roster_t *roster, uint32_t index, uint64_t now)
{
    uint64_t           is, word;
    _Atomic uint64_t  *since;

    since = &lb_roster_server(roster, index)->since;
    is = (uint64_t) lb_roster_is(lb_roster_status(roster, index)) + 1;
    word = atomic_load_explicit(since, memory_order_relaxed);

    if (word >> LB_SINCE_BITS == is) {
        return word & ((UINT64_C(1) << LB_SINCE_BITS) - 1);
    }

    /* whoever comes first is nearest to the truth */

    (void) atomic_compare_exchange_strong_explicit(since, &word,
                                                   is << LB_SINCE_BITS | now,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed);
    return now;
}


void
lb_roster_recount(lb_roster_t *roster)
{
    uint32_t   i, sum, used;
    lb_load_t  load;

    load = lb_roster_load(roster);
    used = lb_roster_used(roster);
    sum = 0;

    for (i = 0; i < used; i++) {
        sum += lb_load_active(&load, i);
    }

    gw_store_release(&roster->in_flight, sum);
}


lb_count_t
lb_roster_count(lb_roster_t *roster)
{
    uint32_t    i, status, used;
    lb_count_t  count;

    count.usable = 0;
    count.enabled = 0;
    count.total = 0;
    count.leaving = 0;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (status & LB_REMOVED) {
            count.leaving++;
            continue;
        }

        if (!(status & LB_USED)) {
            continue;
        }

        count.total++;
        count.enabled += !(status & LB_PANICKING);
        count.usable += !(status & LB_UNUSABLE);
    }

    return count;
}


uint32_t
lb_roster_against(lb_roster_t *roster)
{
    lb_count_t  count;

    count = lb_roster_count(roster);

    return ((uint64_t) count.usable * 100
            < (uint64_t) count.enabled * gw_load_acquire(&roster->panic))
           ? LB_PANICKING : LB_UNUSABLE;
}


static uint64_t
lb_roster_layout(lb_roster_t *roster, uint32_t capacity, uint32_t nrows,
    uint32_t order_max)
{
    uint32_t    i, counts;
    uint64_t    size;
    lb_tier_t  *tier;

    counts = capacity + LB_COUNTS;

    roster->capacity = capacity;
    roster->nrows = nrows;
    roster->order_max = order_max;

    size = 0;
    (void) lb_roster_room(&size, sizeof(lb_roster_t));

    roster->servers = lb_roster_room(&size,
                                     (uint64_t) capacity
                                     * sizeof(lb_server_t));
    roster->identities = lb_roster_room(&size,
                                        (uint64_t) capacity
                                        * sizeof(lb_identity_t));
    roster->active = lb_roster_room(&size,
                                    (uint64_t) counts * sizeof(uint32_t));
    roster->turns = lb_roster_room(&size,
                                   (uint64_t) nrows * sizeof(lb_turn_t));
    roster->rows = lb_roster_room(&size, (uint64_t) nrows * sizeof(lb_row_t));
    roster->held = lb_roster_room(&size,
                                  nrows * lb_load_held_size(counts));
    roster->seen = lb_roster_room(&size,
                                  (uint64_t) capacity * sizeof(uint32_t));

    for (i = 0; i < 2; i++) {
        roster->sids[i] = lb_roster_room(&size, lb_roster_sids(capacity)
                                                * sizeof(uint16_t));
    }

    for (i = 0; i < 4; i++) {
        tier = &roster->view[i / 2][i % 2];

        tier->set = lb_roster_room(&size,
                                   (uint64_t) capacity * sizeof(uint16_t));
        tier->order = lb_roster_room(&size,
                                     (uint64_t) order_max * sizeof(uint16_t));
        tier->units = lb_roster_room(&size,
                                     (uint64_t) capacity * sizeof(uint32_t));
        tier->hints = lb_roster_room(&size,
                                     (uint64_t) capacity * sizeof(uint32_t));
    }

    return size;
}


static uint64_t
lb_roster_room(uint64_t *size, uint64_t bytes)
{
    uint64_t  offset;

    offset = *size;
    *size += (bytes + LB_LINE - 1) / LB_LINE * LB_LINE;

    return offset;
}


void
lb_roster_rule(lb_roster_t *roster, const lb_rules_t *rules)
{
    bool          errors;
    uint32_t      i, used, gone;
    lb_server_t  *server;

    errors = (gw_load_acquire(&roster->errors) != rules->errors);
    gone = (rules->errors == 0 ? LB_EJECTED : 0)
           | (rules->slow_start == 0 ? LB_SLOW : 0);

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        if (errors) {
            lb_window_clear(&server->errors);
        }

        atomic_fetch_and_explicit(&server->status, ~gone,
                                  memory_order_acq_rel);
    }

    gw_store_release(&roster->slow_start, rules->slow_start);
    gw_store_release(&roster->panic, rules->panic);
    gw_store_release(&roster->errors, rules->errors);
    gw_store_release(&roster->cells, rules->cells);
    gw_store_release(&roster->sticky, rules->sticky);
}


void
lb_roster_retire(lb_roster_t *roster)
{
    bool            wait, usable;
    uint32_t        i, used, status;
    lb_server_t    *server;
    lb_identity_t  *identity;

    wait = (gw_load_acquire(&roster->awaited) != 0);
    usable = false;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & (LB_REPLACED | LB_PANICKING))) {
            continue;
        }

        usable |= !(status & LB_UNUSABLE);
        wait |= ((gw_load_acquire(&lb_roster_server(roster, i)->health)
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

            atomic_fetch_or_explicit(&server->status, LB_REMOVED,
                                     memory_order_seq_cst);
        }
    }
}


bool
lb_roster_stale(lb_roster_t *roster)
{
    return lb_roster_fingerprint(roster)
           != gw_load_acquire(&roster->fingerprint);
}


/* FNV-1a over what a view depends on */

uint64_t
lb_roster_fingerprint(lb_roster_t *roster)
{
    uint32_t      i, j, status, used;
    uint64_t      hash;
    uint64_t      part[4];
    lb_server_t  *server;

    hash = 0xcbf29ce484222325 ^ gw_load_relaxed(&roster->panic)
           ^ (uint64_t) gw_load_relaxed(&roster->cells) << 32
           ^ (uint64_t) gw_load_relaxed(&roster->sticky) << 33;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (status == 0) {
            continue;
        }

        part[0] = i;
        part[1] = (status & ~(uint32_t) LB_SLOW)
                  | (uint64_t) (gw_load_relaxed(&server->max_conns) != 0) << 32;
        part[2] = gw_load_relaxed(&server->weight)
                  ^ gw_load_relaxed(&server->sid);
        part[3] = (uint64_t) gw_load_relaxed(&server->generation) << 32
                  | gw_load_relaxed(&server->rank);

        for (j = 0; j < 4; j++) {
            hash = (hash ^ part[j]) * 0x100000001b3;
        }
    }

    return hash;
}


void
lb_roster_sweep(lb_roster_t *roster, lb_note_pt note, void *data)
{
    uint32_t        i, used;
    lb_load_t       load;
    lb_server_t    *server;
    lb_identity_t  *identity;

    load = lb_roster_load(roster);
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        /*
         * A pick counts itself in active[] before it looks at the status:
         * either it sees the mark and leaves, or it is seen here.
         */

        if ((gw_load_acquire(&server->status) & LB_REMOVED)
            && gw_load_seq_cst(&load.active[i]) == 0)
        {
            identity = lb_roster_identity(roster, i);

            if (note && identity->leaving) {
                note(data, identity, false);
            }

            atomic_fetch_add_explicit(&server->generation, 1,
                                      memory_order_acq_rel);
            gw_store_release(&server->status,
                             identity->tombstone ? LB_TOMBSTONE : 0);
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
