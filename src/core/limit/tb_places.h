
/*
 * The word of a bucket whose tokens are places for requests in flight that are
 * leased (TB_LIMITS_PLACES and TB_LIMITS_LEASED): how many there are and how
 * many of them are in use, so that the one cannot change without regard to the
 * other.
 *
 *      63                   44 43                 24 23                 0
 *     +-----------------------+---------------------+--------------------+
 *     | leased                | in use, plus 1      | stamp, ms mod 2^24 |
 *     +-----------------------+---------------------+--------------------+
 *
 * Each of the two numbers is at most TB_CAPACITY_MAX; both make one number of
 * 40 bits, of which the 1 keeps the word from being vacant.  More may be in
 * use than are leased, where places were taken away: nothing is admitted until
 * so many requests are over.
 */


#ifndef TB_PLACES_H
#define TB_PLACES_H


#include "src/core/limit/tb_bucket.h"


#define TB_PLACES_BITS  20
#define TB_PLACES_MASK  ((UINT32_C(1) << TB_PLACES_BITS) - 1)


/* Whether words of these limits are such words. */

static inline bool
tb_limits_are_places(tb_limits_t limits)
{
    return (limits & TB_LIMITS_PLACES) && (limits & TB_LIMITS_LEASED);
}


static inline uint32_t
tb_places_used(tb_word_t word)
{
    return (uint32_t) ((word >> TB_STAMP_BITS) - 1) & TB_PLACES_MASK;
}


static inline uint32_t
tb_places_leased(tb_word_t word)
{
    return (uint32_t) (((word >> TB_STAMP_BITS) - 1) >> TB_PLACES_BITS);
}


/* Less than 0: so many more are in use than are leased. */

static inline int32_t
tb_places_free(tb_word_t word)
{
    return (int32_t) tb_places_leased(word) - (int32_t) tb_places_used(word);
}


static inline tb_word_t
tb_places_word(uint32_t leased, uint32_t used, uint64_t stamp)
{
    return (((uint64_t) leased << TB_PLACES_BITS | used) + 1) << TB_STAMP_BITS
           | (stamp & TB_STAMP_MASK);
}


/* What such a word says in tokens if nothing is leased, nor in use. */

#define TB_PLACES_NONE  (-TB_DEBT_MAX)


/* The tokens (µtok) of a leased bucket that has nothing. */

static inline int64_t
tb_limits_nothing(tb_limits_t limits)
{
    return (limits & TB_LIMITS_PLACES) ? TB_PLACES_NONE : 0;
}


#endif /* TB_PLACES_H */
