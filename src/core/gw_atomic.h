
/*
 * Loads and stores of atomics, with the order in the name.  Read-modify-writes
 * and what has to be sequentially consistent are those of stdatomic.h, with
 * theirs as an argument.
 *
 *     relaxed    a value by itself: a counter, or what a lock or another
 *                variable orders
 *     acquire    what was written before the release that is seen is seen
 */


#ifndef GW_ATOMIC_H
#define GW_ATOMIC_H


#include <stdatomic.h>


#define gw_load_relaxed(p)       atomic_load_explicit(p, memory_order_relaxed)
#define gw_load_acquire(p)       atomic_load_explicit(p, memory_order_acquire)

#define gw_store_relaxed(p, v)                                               \
    atomic_store_explicit(p, v, memory_order_relaxed)

#define gw_store_release(p, v)                                               \
    atomic_store_explicit(p, v, memory_order_release)


#endif /* GW_ATOMIC_H */
