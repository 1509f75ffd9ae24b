
/*
 * The roster's memory: laying out the block, the largest one that fits, and
 * counting who is in it.
 */


#include <string.h>

#include "src/core/balance/lb_roster.h"


#define LB_ORDER_MIN  1024


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

    atomic_store(&roster->trial_at[0], LB_NEVER);
    atomic_store(&roster->trial_at[1], LB_NEVER);

    return roster;
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
            < (uint64_t) count.enabled * atomic_load(&roster->panic))
           ? LB_PANICKING : LB_UNUSABLE;
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
    roster->seen = lb_roster_room(&size,
                                  (uint64_t) capacity * sizeof(uint32_t));

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
