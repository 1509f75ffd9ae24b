
/*
 * Which keys are counted most, of any number of keys in little memory: the
 * Space-Saving algorithm (A. Metwally, D. Agrawal, A. El Abbadi, "Efficient
 * computation of frequent and top-k elements in data streams", 2005).  A set
 * of n counters that have counted N has each key in it of which there were
 * more than N / n, and none of its counts is too low; how much one may be too
 * high, it says.
 *
 * A set has one writer, and any number of readers without a lock, who merge
 * several of them.  What a writer that died was about to count may be lost or
 * be half there until its successor starts the set anew.
 */


#ifndef TB_TOP_H
#define TB_TOP_H


#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/core/limit/tb_hash.h"


#define TB_TOP_ID     255          /* bytes of an id that are kept */
#define TB_TOP_WORDS  32           /* of 8 bytes: the id's length and the id */
#define TB_TOP_MAX    4096         /* counters in a set */


typedef struct {
    _Atomic uint32_t   version;    /* odd while the key is being replaced */
    _Atomic uint64_t   lo;         /* of the key; 0: none */
    _Atomic uint64_t   hi;
    _Atomic uint64_t   count;
    _Atomic uint64_t   error;      /* by which the count may be too high */
    _Atomic uint64_t   id[TB_TOP_WORDS];
} tb_top_counter_t;


/* All of it is the writer's but the counters. */

typedef struct {
    uint32_t           size;
    uint32_t           used;

    /*
     * What follows in memory: size counters; the heap of their numbers, the
     * least count on top; the place of each in the heap; and 2 * size numbers
     * by hash, plus 1, 0: free.
     */
} tb_top_t;


/* A key as a reader has it. */

typedef struct {
    tb_hash_t                hash;
    uint64_t                 count;
    uint64_t                 error;
    const tb_top_counter_t  *counter;    /* for its id */
} tb_top_row_t;


/* Bytes of a set of size (1 .. TB_TOP_MAX) counters. */

size_t tb_top_size(uint32_t size);

/* Starts a set; mem: tb_top_size(size) bytes, aligned to 8.  The writer. */

tb_top_t *tb_top_init(void *mem, uint32_t size);

/* Counts weight of a key with that id.  The writer. */

void tb_top_count(tb_top_t *top, const tb_hash_t *h, const void *id,
    size_t len, uint64_t weight);

/*
 * Halves all counts, so that what was long ago fades.  What comes to nothing
 * stays until its counter is needed.  The writer.
 */

void tb_top_halve(tb_top_t *top);

/*
 * Adds the keys of a set to rows of which there are n already, and returns how
 * many there are then; rows has room for all.
 */

size_t tb_top_read(const tb_top_t *top, tb_top_row_t *rows, size_t n);

/*
 * Makes one row of those of one key, and puts the highest counts first.
 * Returns how many rows are left.
 */

size_t tb_top_merge(tb_top_row_t *rows, size_t n);

/*
 * The id of a row: id has TB_TOP_ID bytes; its length is returned, or
 * SIZE_MAX if the counter is another key's by now.
 */

size_t tb_top_id(const tb_top_row_t *row, char *id);


#endif /* TB_TOP_H */
