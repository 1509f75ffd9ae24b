
/*
 * A bucket beside an exact one: a fluid bucket that counts in 1/864 µtok and
 * so never rounds.  After cmocka.h.
 */


#ifndef TB_FLUID_H
#define TB_FLUID_H


#include "src/core/limit/tb_bucket.h"
#include "t/unit/tb_random.h"


/* the stamp wraps 5 s after this time */
#define WRAPPING  ((UINT64_C(77) << TB_STAMP_BITS) - 5000)


typedef struct {
    int64_t       full;        /* 1/864 µtok */
    int64_t       level;
    uint64_t      at;          /* ms */
    uint64_t      rate;        /* steps: 1/864 µtok a ms */
} fluid_t;


typedef struct {
    tb_word_t     word;
    tb_limits_t   limits;
    uint64_t      tick;        /* ms between ticks */
    uint64_t      ticked;      /* when the last one was */
    uint64_t      taken;       /* µtok */
    fluid_t       fluid;
} bucket_t;


static inline void
fluid_advance(fluid_t *f, uint64_t now)
{
    __int128  level;

    if (now <= f->at) {
        return;
    }

    level = (__int128) (now - f->at) * (__int128) f->rate + f->level;

    f->level = level < f->full ? (int64_t) level : f->full;
    f->at = now;
}


static inline void
bucket_start(bucket_t *b, uint32_t capacity, uint64_t rate, uint64_t tick,
    uint64_t now)
{
    b->limits = tb_limits(capacity, rate, 0);
    b->word = tb_word(tb_limits_full(b->limits), now);
    b->tick = tick;
    b->ticked = now;
    b->taken = 0;

    b->fluid.full = (int64_t) tb_limits_full(b->limits) * TB_STEPS_A_UTOK;
    b->fluid.level = b->fluid.full;
    b->fluid.at = now;
    b->fluid.rate = rate;
}


/* Never above the capacity, and never above what is exact. */

static inline void
bucket_check(bucket_t *b)
{
    int64_t  tokens;

    tokens = tb_word_tokens(b->word);

    assert_true(tokens >= -TB_DEBT_MAX);
    assert_true(tokens <= (int64_t) tb_limits_full(b->limits));
    assert_true(tokens * TB_STEPS_A_UTOK <= b->fluid.level);
}


/* Ticks that are due up to now, each at its time. */

static inline void
bucket_pass_time(bucket_t *b, uint64_t now)
{
    while (b->tick && b->ticked + b->tick <= now) {
        b->ticked += b->tick;
        fluid_advance(&b->fluid, b->ticked);
        b->word = tb_word_tick(b->word, b->limits, b->ticked);
        bucket_check(b);
    }

    fluid_advance(&b->fluid, now);
}


static inline tb_verdict_t
bucket_take(bucket_t *b, uint64_t now, uint64_t cost)
{
    int64_t       left;
    tb_word_t     before;
    tb_verdict_t  verdict;

    bucket_pass_time(b, now);

    before = b->word;
    verdict = tb_word_take(&b->word, b->limits, now, cost, &left);

    if (verdict == TB_REFUSE) {
        assert_true(b->word == before);
        assert_true(left < (int64_t) cost);
        return verdict;
    }

    assert_true(verdict == TB_PASS);
    assert_true(left == tb_word_tokens(b->word));
    assert_true(b->fluid.level >= (int64_t) cost * TB_STEPS_A_UTOK);

    b->fluid.level -= (int64_t) cost * TB_STEPS_A_UTOK;
    b->taken += cost;
    bucket_check(b);

    return verdict;
}


/* What a bucket may hold, every other time less than nothing. */

static inline int64_t
anything(tb_random_t *rnd, uint64_t full)
{
    return tb_random_in(rnd, 0, 1)
           ? (int64_t) tb_random_in(rnd, 0, full)
           : -(int64_t) tb_random_scale(rnd, 1, TB_DEBT_MAX);
}


#endif /* TB_FLUID_H */
