
/*
 * The names of plans (tb_plan.h), in memory that several processes share: a
 * name has a number as long as there is such a plan, or a client that names it,
 * and keeps it beyond that until another name needs the number.
 *
 * Memory
 *
 *     tb_plan_names_t header, then nheads chain heads (16 bits each), padded
 *     to 8 bytes, then one entry for each number up to max.  All-zero memory
 *     has no names.
 *
 * A request finds the number of a name without the lock: chains are changed by
 * one store each, and what is compared is the hash.  Whoever reads an entry
 * while its number passes to another name, which takes all numbers to be in
 * use, may once be told that number.
 */


#ifndef TB_PLAN_NAMES_H
#define TB_PLAN_NAMES_H


#include <stdatomic.h>
#include <stddef.h>

#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_hash.h"
#include "src/core/limit/tb_plan.h"


typedef struct {
    uint32_t          nheads;      /* a power of two */
    uint32_t          max;         /* numbers are below it, as tb_plans_t.n */
    size_t            entries;     /* bytes from the header to the entries */

    uint32_t          used;        /* numbers below it had a name; the lock */
    uint32_t          next;        /* to be looked at for reuse; the lock */
} tb_plan_names_t;


/* Bytes for the names of n plans, as many as tb_plan_init() has. */

size_t tb_plan_names_size(uint32_t n);

/* Makes so many bytes of zeroed memory, aligned to 8, names. */

void tb_plan_names_init(tb_plan_names_t *names, uint32_t n);

/* The number of the name with that hash, or TB_PLAN_NONE.  Lock-free. */

uint32_t tb_plan_names_find(const tb_plan_names_t *names, const tb_hash_t *h);

/*
 * The same, and a name that has none gets a number; TB_PLAN_NONE: all are in
 * use.  text is tb_plan_is_name().  The lock.
 */

uint32_t tb_plan_names_reserve(tb_plan_names_t *names,
    const tb_plans_t *plans, const tb_hash_t *h, const char *text,
    size_t len);

/* Whether a name that has no number would get one.  The lock. */

bool tb_plan_names_has_room(const tb_plan_names_t *names,
    const tb_plans_t *plans);

/*
 * The name with that number into buf of TB_PLAN_NAME_MAX bytes; returns its
 * length, 0: there is none.  The lock.
 */

size_t tb_plan_names_get(const tb_plan_names_t *names, uint32_t n,
    char *buf);


#endif /* TB_PLAN_NAMES_H */
