
/*
 * The keyed hash that stands for a client's id in the table: 128 bits of
 * XXH3 under a secret that is random per zone, so that nobody outside can
 * aim ids at one group of slots, nor at somebody else's bucket.
 */


#ifndef TB_HASH_H
#define TB_HASH_H


#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define TB_SECRET_SIZE  192        /* bytes; XXH3_SECRET_SIZE_MIN is 136 */


typedef struct {
    uint64_t  lo;                  /* what readers look for; never 0 */
    uint64_t  hi;                  /* the check, and the choice of groups */
} tb_hash_t;


/*
 * Inlines what it calls, which of a library's inline function the compiler
 * would do only where it is small.
 */

#if defined(__GNUC__)
#define TB_FLAT         __attribute__((flatten))
#define TB_UNREACHABLE  __builtin_unreachable()
#else
#define TB_FLAT
#define TB_UNREACHABLE  (void) 0
#endif


/*
 * The hash of at most 16 bytes, as most ids are; without the rest of the
 * function it takes few registers and no stack.
 */

static inline TB_FLAT XXH128_hash_t
tb_hash_short(const void *id, size_t len, const uint8_t *secret)
{
    if (len > 16) {
        TB_UNREACHABLE;
    }

    return XXH3_128bits_withSecret(id, len, secret, TB_SECRET_SIZE);
}


/*
 * id: any bytes; secret: TB_SECRET_SIZE random bytes, the same for the
 * table's life.
 */

static inline tb_hash_t
tb_hash(const void *id, size_t len, const uint8_t *secret)
{
    tb_hash_t      hash;
    XXH128_hash_t  h;

    h = len <= 16 ? tb_hash_short(id, len, secret)
                  : XXH3_128bits_withSecret(id, len, secret, TB_SECRET_SIZE);

    hash.lo = h.low64 | (h.low64 == 0);
    hash.hi = h.high64;

    return hash;
}


#endif /* TB_HASH_H */
