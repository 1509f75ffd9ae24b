
/*
 * Counts of requests in flight, per server and per process, and their
 * repair after a process was killed.
 */


#include "src/core/balance/lb_load.h"


/* how often a settling process looks again at a busy row */
#define LB_LOAD_LOOKS  1000


static bool lb_load_settle_server(const lb_load_t *load, const lb_row_t *dead,
    uint32_t index);
static bool lb_load_sum(const lb_load_t *load, const lb_row_t *dead,
    uint32_t index, uint32_t *sum, uint32_t *active);


uint64_t
lb_load_held_size(uint32_t capacity)
{
    uint64_t  size;

    size = (uint64_t) capacity * sizeof(uint32_t);

    return (size + LB_LINE - 1) / LB_LINE * LB_LINE;
}


void
lb_load_init(const lb_load_t *load, uint64_t held)
{
    uint32_t  i;

    for (i = 0; i < load->nrows; i++) {
        load->rows[i] = (lb_row_t) {
            .held = held + i * lb_load_held_size(load->capacity)
                    - i * sizeof(lb_row_t)
        };
    }
}


lb_row_t *
lb_load_claim(const lb_load_t *load, uint32_t owner, uint32_t slot)
{
    uint32_t           i, k;
    lb_row_t          *row;
    _Atomic uint32_t  *held;

    for (i = 0; i < load->nrows; i++) {
        row = &load->rows[i];

        if (gw_load_acquire(&row->owner) != 0) {
            continue;
        }

        held = lb_load_counters(row);

        for (k = 0; k < load->capacity; k++) {
            atomic_store_explicit(&held[k], 0, memory_order_relaxed);
        }

        if (i >= gw_load_acquire(load->used)) {
            gw_store_release(load->used, i + 1);
        }

        gw_store_release(&row->dead, 0);
        gw_store_release(&row->slot, slot);
        gw_store_release(&row->owner, owner);

        return row;
    }

    return NULL;
}


bool
lb_load_settle(const lb_load_t *load, lb_row_t *dead)
{
    uint32_t           i, change;
    _Atomic uint32_t  *held;

    held = lb_load_counters(dead);

    gw_store_release(&dead->dead, 1);

    for (i = 0; i < load->capacity; i++) {

        if (gw_load_acquire(&held[i]) == 0) {
            continue;
        }

        if (!lb_load_settle_server(load, dead, i)) {
            return false;
        }

        gw_store_release(&held[i], 0);
    }

    change = gw_load_acquire(&dead->change);

    if (change & 1) {

        /* held[] is all zero by now, active[] may still count one request */

        i = gw_load_acquire(&dead->index);

        if (!lb_load_settle_server(load, dead, i)) {
            return false;
        }

        gw_store_release(&dead->change, change + 1);
    }

    gw_store_release(&dead->owner, 0);

    return true;
}


/*
 * The sum was consistent when it was taken.  If active[] has the same value
 * at the exchange, then changes since have cancelled out in active[]; what
 * a living process has added to its row only, it is about to add to
 * active[] itself.
 */

static bool
lb_load_settle_server(const lb_load_t *load, const lb_row_t *dead,
    uint32_t index)
{
    uint32_t  i, sum, active;

    for (i = 0; i < LB_LOAD_LOOKS; i++) {

        if (!lb_load_sum(load, dead, index, &sum, &active)) {
            continue;
        }

        if (active == sum
            || atomic_compare_exchange_strong_explicit(&load->active[index],
                                                       &active, sum,
                                                       memory_order_seq_cst,
                                                       memory_order_seq_cst))
        {
            return true;
        }
    }

    return false;
}


/*
 * Adds up the rows of all but the dead process; false if a living owner changed
 * its row meanwhile.  None is claimed or freed under the mutex.
 */

static bool
lb_load_sum(const lb_load_t *load, const lb_row_t *dead, uint32_t index,
    uint32_t *sum, uint32_t *active)
{
    uint32_t         i, used, total, changes;
    const lb_row_t  *row;

    changes = 0;
    used = gw_load_acquire(load->used);

    for (i = 0; i < used; i++) {
        row = &load->rows[i];

        if (row == dead || gw_load_acquire(&row->owner) == 0) {
            continue;
        }

        total = atomic_load_explicit(&row->change, memory_order_acquire);

        if ((total & 1) && !gw_load_acquire(&row->dead)) {
            return false;
        }

        changes += total;
    }

    total = 0;

    for (i = 0; i < used; i++) {
        row = &load->rows[i];

        if (row != dead && gw_load_acquire(&row->owner) != 0) {
            total += atomic_load_explicit(&lb_load_counters(row)[index],
                                          memory_order_acquire);
        }
    }

    *sum = total;
    *active = atomic_load_explicit(&load->active[index],
                                   memory_order_acquire);

    for (i = 0; i < used; i++) {
        row = &load->rows[i];

        if (row != dead && gw_load_acquire(&row->owner) != 0) {
            changes -= atomic_load_explicit(&row->change,
                                            memory_order_acquire);
        }
    }

    return changes == 0;
}
