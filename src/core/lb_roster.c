
/*
 * The roster's memory and its views: laying out the block, building the view
 * of the servers usable now, and noticing that it is out of date.
 */


#include <string.h>

#include "lb_roster.h"


#define LB_ORDER_MIN  1024


static uint64_t lb_roster_layout(lb_roster_t *roster, uint32_t capacity,
    uint32_t nrows, uint32_t order_max);
static uint64_t lb_roster_room(uint64_t *size, uint64_t bytes);
static uint32_t lb_roster_collect(lb_roster_t *roster, uint32_t tier,
    _Atomic uint16_t *set);
static void lb_roster_build_tier(lb_roster_t *roster, uint64_t generation,
    uint32_t tier);
static uint64_t lb_roster_fingerprint(lb_roster_t *roster);


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

    atomic_store(&roster->trial_at[0], LB_NEVER);
    atomic_store(&roster->trial_at[1], LB_NEVER);

    return roster;
}


void
lb_roster_build(lb_roster_t *roster)
{
    uint32_t      i, enabled, status, used;
    uint64_t      generation, fingerprint;

    generation = lb_roster_generation(roster) + 1;
    fingerprint = lb_roster_fingerprint(roster);

    lb_roster_build_tier(roster, generation, 0);
    lb_roster_build_tier(roster, generation, 1);

    enabled = 0;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if ((status & LB_USED)
            && !(status & (LB_DISABLED | LB_DRAINING | LB_REMOVED)))
        {
            enabled++;
        }
    }

    atomic_store(&roster->enabled, enabled);
    atomic_store(&roster->fingerprint, fingerprint);
    atomic_store(&roster->generation, generation);
}


bool
lb_roster_stale(lb_roster_t *roster)
{
    return lb_roster_fingerprint(roster)
           != atomic_load(&roster->fingerprint);
}


lb_count_t
lb_roster_count(lb_roster_t *roster)
{
    uint32_t    i, status, used;
    lb_count_t  count;

    count.usable = 0;
    count.total = 0;
    count.leaving = 0;

    used = atomic_load(&roster->used);

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

        if (!(status & LB_UNUSABLE)) {
            count.usable++;
        }
    }

    return count;
}


static uint64_t
lb_roster_layout(lb_roster_t *roster, uint32_t capacity, uint32_t nrows,
    uint32_t order_max)
{
    uint32_t    i;
    uint64_t    size;
    lb_tier_t  *tier;

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
                                    (uint64_t) capacity * sizeof(uint32_t));
    roster->rows = lb_roster_room(&size, (uint64_t) nrows * sizeof(lb_row_t));
    roster->held = lb_roster_room(&size,
                                  nrows * lb_load_held_size(capacity));
    roster->weights = lb_roster_room(&size,
                                     (uint64_t) capacity * sizeof(uint32_t));
    roster->members = lb_roster_room(&size,
                                     (uint64_t) capacity * sizeof(uint32_t));

    for (i = 0; i < 4; i++) {
        tier = &roster->view[i / 2][i % 2];

        tier->set = lb_roster_room(&size,
                                   (uint64_t) capacity * sizeof(uint16_t));
        tier->order = lb_roster_room(&size,
                                     (uint64_t) order_max * sizeof(uint16_t));
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


/*
 * The order of lines is the order of ranks.  Slots mostly are in that order
 * already, so insertion is linear unless a reload has shuffled the lines.
 */

static uint32_t
lb_roster_collect(lb_roster_t *roster, uint32_t tier, _Atomic uint16_t *set)
{
    uint16_t  index;
    uint32_t  i, j, n, rank, status, used;

    n = 0;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & LB_UNUSABLE)
            || !!(status & LB_BACKUP) != tier)
        {
            continue;
        }

        rank = lb_roster_server(roster, i)->rank;

        for (j = n; j > 0; j--) {
            index = atomic_load_explicit(&set[j - 1], memory_order_relaxed);

            if (lb_roster_server(roster, index)->rank <= rank) {
                break;
            }

            atomic_store_explicit(&set[j], index, memory_order_release);
        }

        atomic_store_explicit(&set[j], (uint16_t) i, memory_order_release);
        n++;
    }

    return n;
}


/*
 * The view that is being filled was in force a generation ago; a late reader
 * that sees one of these stores sees that generation has moved on, too.
 */

static void
lb_roster_build_tier(lb_roster_t *roster, uint64_t generation, uint32_t tier)
{
    uint16_t           index;
    uint32_t           i, n, length, old_length, position;
    uint32_t          *weights, *members;
    uint64_t           cursor;
    lb_tier_t         *t, *old;
    lb_order_t         order;
    unsigned char     *block;
    _Atomic uint16_t  *set, *steps;

    block = (unsigned char *) roster;
    t = &roster->view[generation & 1][tier];
    old = &roster->view[(generation - 1) & 1][tier];

    set = (_Atomic uint16_t *) (block + t->set);
    steps = (_Atomic uint16_t *) (block + t->order);
    weights = (uint32_t *) (block + roster->weights);
    members = (uint32_t *) (block + roster->members);

    n = lb_roster_collect(roster, tier, set);

    for (i = 0; i < n; i++) {
        index = atomic_load_explicit(&set[i], memory_order_relaxed);
        weights[i] = lb_roster_server(roster, index)->weight;
    }

    length = lb_order_init(&order, weights, members, n, roster->order_max);

    for (i = 0; i < length; i++) {
        position = lb_order_next(&order);
        index = atomic_load_explicit(&set[position], memory_order_relaxed);
        atomic_store_explicit(&steps[i], index, memory_order_release);
    }

    /* go on at the same part of the order: who is first gains nothing */

    cursor = 0;
    old_length = atomic_load(&old->order_length);

    if (old_length != 0) {
        cursor = atomic_load(&old->cursor) % old_length * length / old_length;
    }

    atomic_store(&t->cursor, cursor);
    atomic_store(&t->set_length, n);
    atomic_store(&t->order_length, length);
}


/* FNV-1a over what a view depends on */

static uint64_t
lb_roster_fingerprint(lb_roster_t *roster)
{
    uint32_t      i, j, status, used;
    uint64_t      hash;
    uint64_t      part[4];
    lb_server_t  *server;

    hash = 0xcbf29ce484222325;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (status == 0) {
            continue;
        }

        part[0] = i;
        part[1] = status;
        part[2] = server->weight;
        part[3] = ((uint64_t) server->generation << 32) | server->rank;

        for (j = 0; j < 4; j++) {
            hash = (hash ^ part[j]) * 0x100000001b3;
        }
    }

    return hash;
}
