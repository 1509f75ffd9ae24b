
/*
 * Loads and stores of atomics, with the order in the name.  Read-modify-writes
 * are those of stdatomic.h, with theirs as an argument.
 *
 *     relaxed    a value by itself: a counter, or what a lock or another
 *                variable orders
 *     acquire    what was written before the release that is seen is seen
 *     seq_cst    two that look at each other's: one of them sees the other
 */


#ifndef GW_ATOMIC_H
#define GW_ATOMIC_H


#include <stdatomic.h>


#define gw_load_relaxed(p)       atomic_load_explicit(p, memory_order_relaxed)
#define gw_load_acquire(p)       atomic_load_explicit(p, memory_order_acquire)
#define gw_load_seq_cst(p)       atomic_load_explicit(p, memory_order_seq_cst)

#define gw_store_relaxed(p, v)                                               \
    atomic_store_explicit(p, v, memory_order_relaxed)

#define gw_store_release(p, v)                                               \
    atomic_store_explicit(p, v, memory_order_release)

#define gw_store_seq_cst(p, v)                                               \
    atomic_store_explicit(p, v, memory_order_seq_cst)


#endif /* GW_ATOMIC_H */
