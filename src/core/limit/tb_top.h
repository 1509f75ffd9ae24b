
/*
 * Which keys are counted most, of any number of keys in little memory: the
 * Space-Saving algorithm (A. Metwally, D. Agrawal, A. El Abbadi, "Efficient
 * computation of frequent and top-k elements in data streams", 2005).  A set
 * of n counters that have counted N has each key in it of which there were
 * more than N / n, and none of its counts is too low; how much one may be too
 * high, it says.
 *
 * Ids take more memory than counters, and most keys are seen once: there is
 * room for some ids, and where that runs out those of which less was seen for
 * certain lose theirs.
 *
 * Plain memory: the caller sees to it that nobody else is at the set.
 */


#ifndef TB_TOP_H
#define TB_TOP_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/core/limit/tb_top_ids.h"


#define TB_TOP_MAX    4096         /* counters in a set */


typedef struct {
    uint64_t           lo;         /* of the key's hash; never 0 */
    uint32_t           count;      /* stops at its end, as the others do */
    uint32_t           error;      /* by which the count may be too high */
    uint32_t           beside;     /* what else came while it was in the set */
    tb_top_id_t        id;
} tb_top_counter_t;


typedef struct {
    _Alignas(8)
    uint32_t           size;
    uint32_t           used;
    uint32_t           nchunks;
    uint32_t           hand;       /* who is asked next to give up its id */
    tb_top_ids_t       ids;

    /*
     * What follows in memory: size counters; nchunks chunks of ids; the heap
     * of the counters' numbers, the least count on top; the place of each in
     * the heap; and 2 * size numbers by hash, plus 1, 0: free.
     */
} tb_top_t;


/* A key as a reader has it. */

typedef struct {
    uint64_t           lo;
    uint32_t           count;
    uint32_t           error;
    uint32_t           beside;
} tb_top_row_t;


/* Bytes of a set: size is 1 .. TB_TOP_MAX, chunks at most TB_TOP_CHUNKS. */

size_t tb_top_size(uint32_t size, uint32_t nchunks);

/* Starts a set; mem: tb_top_size() bytes, aligned to 8. */

tb_top_t *tb_top_init(void *mem, uint32_t size, uint32_t nchunks);

/* Counts weight of a key with that id, of which TB_TOP_ID bytes are kept. */

void tb_top_count(tb_top_t *top, uint64_t lo, const char *id, size_t len,
    uint32_t weight);

/* Counts weight beside, if the key is in the set. */

void tb_top_beside(tb_top_t *top, uint64_t lo, uint32_t weight);

/*
 * Halves all counts, so that what was long ago fades.  What comes to nothing
 * stays until its counter is needed.
 */

void tb_top_halve(tb_top_t *top);

/*
 * Adds the keys of a set to rows, of which there are n already and which has
 * room for all, and returns how many there are then.
 */

size_t tb_top_read(const tb_top_t *top, tb_top_row_t *rows, size_t n);

/* Puts the highest counts first. */

void tb_top_sort(tb_top_row_t *rows, size_t n);

/*
 * The id of a key: id has TB_TOP_ID bytes; its length is returned, or 0 if
 * it is not kept.
 */

size_t tb_top_id(const tb_top_t *top, uint64_t lo, char *id);


#endif /* TB_TOP_H */
