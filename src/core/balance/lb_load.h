
/*
 * How many requests each server is busy with, kept right when a process is
 * killed at any instruction.
 *
 *   active[index]          what balancing reads: the sum over all processes
 *   held[process][index]   what one process holds, so that it can be taken
 *                          back from active[] once the process is dead
 *   row[process]           whose held[] it is; change is odd while held[]
 *                          and active[] may disagree about a server, because
 *                          the owner is between the two
 *
 * A row and its held[] are written by the owner only.  Whoever finds a dead
 * one makes active[] the sum of the others again, which is safe to repeat.
 * Others that died in a change, and are known to be dead, count with what
 * their held[] says: that is final, and what active[] had of them beside it
 * goes with the same sum.
 */


#ifndef LB_LOAD_H
#define LB_LOAD_H


#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/core/gw_atomic.h"


#define LB_LINE  64


typedef struct {
    alignas(LB_LINE)
    _Atomic uint32_t   owner;      /* process id, 0: free; mutex */
    _Atomic uint32_t   slot;       /* the owner's process slot */
    _Atomic uint32_t   change;     /* one up before and after each change */
    _Atomic uint32_t   index;      /* the server of the last change */
    _Atomic uint32_t   dead;       /* the owner changes nothing more; mutex */
    uint64_t           held;       /* offset of held[] from the row */
} lb_row_t;


typedef struct {
    _Atomic uint32_t  *active;     /* capacity */
    _Atomic uint32_t  *used;       /* rows below it may be in use; mutex */
    lb_row_t          *rows;       /* nrows */
    uint32_t           nrows;
    uint32_t           capacity;   /* servers */
} lb_load_t;


/* bytes of a held[] for so many servers, whole lines */
uint64_t lb_load_held_size(uint32_t capacity);

/*
 * Makes nrows free rows; held is the offset of the first held[], of
 * lb_load_held_size() bytes each, from the first row.
 */
void lb_load_init(const lb_load_t *load, uint64_t held);

/*
 * Claims a free row for a process; slot is any number that no two living
 * processes share.  NULL: no row is free.  Mutex.
 */
lb_row_t *lb_load_claim(const lb_load_t *load, uint32_t owner, uint32_t slot);

/*
 * Gives back what the dead owner of a row held and frees the row.  Mutex.
 * false: a living process was caught in the middle of a change each time;
 * nothing is lost, call again later.
 */
bool lb_load_settle(const lb_load_t *load, lb_row_t *dead);


static inline uint32_t
lb_load_active(const lb_load_t *load, uint32_t index)
{
    return atomic_load_explicit(&load->active[index], memory_order_relaxed);
}


static inline _Atomic uint32_t *
lb_load_counters(const lb_row_t *row)
{
    return (_Atomic uint32_t *) ((uintptr_t) row + row->held);
}


/*
 * A reader that sees a later store of the owner (all are at least release)
 * also sees change odd or moved on, so its two looks at change differ.
 */

static inline void
lb_load_begin(lb_row_t *row, uint32_t index)
{
    uint32_t  change;

    change = atomic_load_explicit(&row->change, memory_order_relaxed);

    atomic_store_explicit(&row->index, index, memory_order_relaxed);
    atomic_store_explicit(&row->change, change + 1, memory_order_release);
}


static inline void
lb_load_end(lb_row_t *row)
{
    uint32_t  change;

    change = atomic_load_explicit(&row->change, memory_order_relaxed);

    atomic_store_explicit(&row->change, change + 1, memory_order_release);
}


/*
 * Counts a request on a server, unless max (0: none) are there already.
 * Exact: never more than max at a time.  Lock-free.
 */

static inline bool
lb_load_take(const lb_load_t *load, lb_row_t *row, uint32_t index,
    uint32_t max)
{
    bool               taken;
    uint32_t           n;
    _Atomic uint32_t  *held;

    taken = true;
    held = &lb_load_counters(row)[index];

    lb_load_begin(row, index);

    if (max == 0) {
        atomic_fetch_add_explicit(&load->active[index], 1,
                                  memory_order_seq_cst);

    } else {
        n = atomic_load_explicit(&load->active[index], memory_order_relaxed);

        do {
            if (n >= max) {
                taken = false;
                break;
            }

        } while (!atomic_compare_exchange_weak_explicit(&load->active[index],
                                                        &n, n + 1,
                                                        memory_order_seq_cst,
                                                        memory_order_seq_cst));
    }

    if (taken) {
        n = atomic_load_explicit(held, memory_order_relaxed);
        atomic_store_explicit(held, n + 1, memory_order_release);
    }

    lb_load_end(row);

    return taken;
}


/* Takes back one lb_load_take() of the same row.  Lock-free. */

static inline void
lb_load_drop(const lb_load_t *load, lb_row_t *row, uint32_t index)
{
    uint32_t           n;
    _Atomic uint32_t  *held;

    held = &lb_load_counters(row)[index];

    lb_load_begin(row, index);

    n = atomic_load_explicit(held, memory_order_relaxed);
    atomic_store_explicit(held, n - 1, memory_order_release);

    atomic_fetch_sub_explicit(&load->active[index], 1, memory_order_seq_cst);

    lb_load_end(row);
}


#endif /* LB_LOAD_H */
