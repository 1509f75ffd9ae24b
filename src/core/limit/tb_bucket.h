
/*
 * One token bucket in one 64-bit word, and the pure arithmetic on it:
 * refill, check, take, and debt.  Not here: where words live, who may change
 * them (tb_table.h), and what the time is.
 *
 * Token bucket: J. Turner, "New directions in communications", IEEE
 * Communications Magazine 24(10), 1986; equal to GCRA, ITU-T I.371.
 *
 *      63                              24 23                 0
 *     +----------------------------------+--------------------+
 *     | tokens + TB_WORD_ZERO, in 1e-6   | stamp, ms mod 2^24 |
 *     | token (µtok)                     |                    |
 *     +----------------------------------+--------------------+
 *
 * tokens   -TB_DEBT_MAX .. capacity, at most 1e12 µtok.  Less than 0 is debt,
 *          which has to refill before the bucket admits anything.  A field of
 *          0 says that the word is vacant: it holds no bucket.  An all-zero
 *          word is vacant, so fresh memory needs no set-up.
 * stamp    up to when the refill has been credited.  An age of 2^23 ms
 *          (2.3 hours) or more reads as "written by a clock ahead of ours":
 *          nothing is credited and the stamp stays.  Whoever owns the words
 *          sees to it that none is older when it is used (tb_table_epoch.c).
 *
 * Rates are integers in steps of 0.1 request a day, so that R steps earn
 * R / 864 µtok a millisecond, an integer number in any multiple of
 * 864 / gcd(R, 864) ms.
 */


#ifndef TB_BUCKET_H
#define TB_BUCKET_H


#include <stdbool.h>
#include <stdint.h>


#define TB_TOKEN           UINT64_C(1000000)        /* µtok in a token */

#define TB_CAPACITY_MAX    1000000                  /* tokens */
#define TB_COST_MIN        (TB_TOKEN / 1000)        /* µtok */
#define TB_COST_MAX        (TB_CAPACITY_MAX * TB_TOKEN)

/* the most debt, in tokens, of which 40 bits have room beside the capacity */
#define TB_DEBT_TOKENS     99511
#define TB_DEBT_MAX        (TB_DEBT_TOKENS * INT64_C(1000000))    /* µtok */

/* the field of a bucket that holds nothing */
#define TB_WORD_ZERO       (TB_DEBT_MAX + 1)

#define TB_STEPS_A_DAY     10                       /* 1r/d in steps */
#define TB_STEPS_A_SECOND  864000                   /* 1r/s in steps */
#define TB_RATE_MIN        TB_STEPS_A_DAY
#define TB_RATE_MAX        (UINT64_C(1000000) * TB_STEPS_A_SECOND)

/* steps that earn 1 µtok a ms, and ms in which any rate earns whole µtok */
#define TB_STEPS_A_UTOK    864

#define TB_RATE_MASK       ((UINT64_C(1) << 40) - 1)

#define TB_STAMP_BITS      24
#define TB_STAMP_MASK      ((UINT64_C(1) << TB_STAMP_BITS) - 1)
#define TB_AGE_MAX         (UINT64_C(1) << (TB_STAMP_BITS - 1))


typedef uint64_t  tb_word_t;


/*
 * What limits a bucket, in one word so that it is read and changed whole:
 *
 *      63                    24 23            4 3     0
 *     +------------------------+---------------+-------+
 *     | rate, steps (0.1r/d)   | capacity, tok | flags |
 *     +------------------------+---------------+-------+
 *
 * A slot of a table may have limits of its own, and there are those that are
 * in force for a bucket; some flags are for the one or the other alone.
 */

typedef uint64_t  tb_limits_t;

#define TB_LIMITS_REGISTERED  UINT64_C(1)     /* a client with own limits */

/* of a slot: see tb_table.h, tb_plan.h */
#define TB_LIMITS_HELD        UINT64_C(2)
#define TB_LIMITS_PLAN        UINT64_C(8)

/*
 * In force: all tokens come with a new window, and the rate is since when
 * this one has been in force, in ms mod 2^40 (tb_window.h); time earns nothing,
 * since tokens are leased (tb_lease.h); or since they are places for requests
 * in flight: then the capacity is TB_CAPACITY_MAX whatever the limit, which is
 * in the rate.
 *
 * Of places and of a window, unless it is leased, a word is full with
 * TB_CAPACITY_MAX tokens, and what is missing to that has been used, whatever
 * the limit: so it stays the same when limits change.
 */
#define TB_LIMITS_WINDOW      UINT64_C(2)
#define TB_LIMITS_LEASED      UINT64_C(4)
#define TB_LIMITS_PLACES      UINT64_C(8)

#define TB_LIMITS_TIMELESS                                                    \
    (TB_LIMITS_WINDOW | TB_LIMITS_LEASED | TB_LIMITS_PLACES)
#define TB_LIMITS_FLAGS       UINT64_C(15)


typedef enum {
    TB_PASS = 0,       /* enough tokens; they are taken, or would be */
    TB_REFUSE,         /* too few tokens; nothing is changed */
    TB_ABSENT          /* no such bucket (tables only) */
} tb_verdict_t;


/*
 * capacity: 1 .. TB_CAPACITY_MAX tokens; rate: TB_RATE_MIN .. TB_RATE_MAX
 * steps, or 0 for a bucket that time does not refill; flags: TB_LIMITS_*.
 */

static inline tb_limits_t
tb_limits(uint32_t capacity, uint64_t rate, uint64_t flags)
{
    return rate << 24 | (uint64_t) capacity << 4 | flags;
}


static inline uint32_t
tb_limits_capacity(tb_limits_t limits)
{
    return (uint32_t) (limits >> 4) & 0xfffff;
}


static inline uint64_t
tb_limits_rate(tb_limits_t limits)
{
    return limits >> 24;
}


/* The capacity in µtok, or what a word has room for: of tb_plan.h's two. */

static inline uint64_t
tb_limits_full(tb_limits_t limits)
{
    uint32_t  capacity;

    capacity = tb_limits_capacity(limits);

    return (capacity < TB_CAPACITY_MAX ? capacity : TB_CAPACITY_MAX)
           * TB_TOKEN;
}


/* Whether the limits are those of a quota that is this table's alone. */

static inline bool
tb_limits_are_quota(tb_limits_t limits)
{
    return (limits & (TB_LIMITS_WINDOW | TB_LIMITS_LEASED))
           == TB_LIMITS_WINDOW;
}


/* What a word holds at most, µtok. */

static inline uint64_t
tb_limits_room(tb_limits_t limits)
{
    return ((limits & TB_LIMITS_PLACES) || tb_limits_are_quota(limits))
           ? TB_COST_MAX : tb_limits_full(limits);
}


/*
 * What a take has to leave, µtok: of places and quotas what is more than the
 * limit.  Tokens above that are those that are left.  Of leased places
 * (tb_places.h) only those that may be taken are there.
 */

static inline int64_t
tb_limits_lowest(tb_limits_t limits)
{
    if ((limits & (TB_LIMITS_PLACES | TB_LIMITS_LEASED)) == TB_LIMITS_PLACES) {
        return (int64_t) (tb_limits_room(limits)
                          - tb_limits_rate(limits) * TB_TOKEN);
    }

    return tb_limits_are_quota(limits)
           ? (int64_t) (TB_COST_MAX - tb_limits_full(limits)) : 0;
}


/*
 * Tokens of a word (µtok) as those of one with other limits of which as many
 * are left, at most all.
 */

static inline int64_t
tb_limits_convert(tb_limits_t from, tb_limits_t to, int64_t tokens)
{
    if (tb_limits_are_quota(from)) {
        tokens += tb_limits_lowest(to) - tb_limits_lowest(from);
    }

    return tokens < (int64_t) tb_limits_room(to)
           ? tokens : (int64_t) tb_limits_room(to);
}


/* Whether so many tokens (µtok) are all that the bucket holds. */

static inline bool
tb_limits_is_full(tb_limits_t limits, int64_t tokens)
{
    return tokens >= (int64_t) tb_limits_room(limits);
}


static inline tb_word_t
tb_word(int64_t tokens, uint64_t stamp)
{
    return (uint64_t) (tokens + TB_WORD_ZERO) << TB_STAMP_BITS
           | (stamp & TB_STAMP_MASK);
}


/*
 * A word without a bucket that remembers when it was last written: never
 * 0, which is for memory whose last words nobody can still remember.
 */

static inline tb_word_t
tb_word_vacant(uint64_t stamp)
{
    stamp &= TB_STAMP_MASK;

    return stamp ? stamp : 1;
}


static inline bool
tb_word_is_vacant(tb_word_t word)
{
    return word >> TB_STAMP_BITS == 0;
}


/* Tokens as last written, in µtok; the word must not be vacant. */

static inline int64_t
tb_word_tokens(tb_word_t word)
{
    return (int64_t) (word >> TB_STAMP_BITS) - TB_WORD_ZERO;
}


/* Milliseconds from the stamp to now; TB_AGE_MAX or more: now is behind. */

static inline uint64_t
tb_word_age(tb_word_t word, uint64_t now)
{
    return (now - word) & TB_STAMP_MASK;
}


/*
 * The stamp for a word that succeeds another one in the same place: now,
 * or one later than the last where now is not ahead of it.  Stamps of one
 * place thus never repeat within TB_AGE_MAX ms, whoever owns the place.
 */

static inline uint64_t
tb_word_next_stamp(tb_word_t last, uint64_t now)
{
    uint64_t  age;

    if (last == 0) {
        return now;
    }

    age = tb_word_age(last, now);

    return (age != 0 && age < TB_AGE_MAX) ? now : (last + 1) & TB_STAMP_MASK;
}


/*
 * What a bucket of limits that are timeless holds at now, age ms after it
 * held tokens: with a new window what is leased ends, and all else is full.
 */

static inline int64_t
tb_limits_renewed(tb_limits_t limits, uint64_t now, uint64_t age,
    int64_t tokens)
{
    if (!(limits & TB_LIMITS_WINDOW)
        || age <= ((now - tb_limits_rate(limits)) & TB_RATE_MASK))
    {
        return tokens;
    }

    return (limits & TB_LIMITS_LEASED) ? 0 : (int64_t) TB_COST_MAX;
}


/*
 * The tokens where time refills at a rate: tokens + floor(rate * age / 864), at
 * most full (µtok); and the stamp that goes with them.  Tokens above that are
 * cut to it.  A word stamped ahead of now earns nothing and keeps its stamp.
 * The product is at most TB_RATE_MAX * TB_AGE_MAX < 2^63.
 */

static inline int64_t
tb_word_refilled(tb_word_t word, uint64_t rate, uint64_t full, uint64_t now,
    uint64_t *stamp)
{
    int64_t   tokens;
    uint64_t  age;

    age = tb_word_age(word, now);
    tokens = tb_word_tokens(word);
    *stamp = word;

    if (age < TB_AGE_MAX) {
        *stamp = now;
        tokens += (int64_t) (rate * age / TB_STEPS_A_UTOK);
    }

    return tokens < (int64_t) full ? tokens : (int64_t) full;
}


/* The tokens with the refill up to now, of any limits. */

static inline int64_t
tb_word_tokens_at(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t *stamp)
{
    int64_t   tokens;
    uint64_t  age, full;

    full = tb_limits_room(limits);

    if (!(limits & TB_LIMITS_TIMELESS)) {
        return tb_word_refilled(word, tb_limits_rate(limits), full, now,
                                stamp);
    }

    age = tb_word_age(word, now);
    tokens = tb_word_tokens(word);
    *stamp = word;

    if (age < TB_AGE_MAX) {
        *stamp = now;
        tokens = tb_limits_renewed(limits, now, age, tokens);
    }

    return tokens < (int64_t) full ? tokens : (int64_t) full;
}


/* The word with the refill up to now credited. */

static inline tb_word_t
tb_word_settle(tb_word_t word, tb_limits_t limits, uint64_t now)
{
    int64_t   tokens;
    uint64_t  stamp;

    tokens = tb_word_tokens_at(word, limits, now, &stamp);

    return tb_word(tokens, stamp);
}


/*
 * The decision, with a floor: settles *word to now and takes cost (µtok) from
 * it, unless it would hold less than floor (at least -TB_DEBT_MAX) then.  On
 * TB_PASS *word is the new word; it has lost less than 1 µtok to rounding.
 * On TB_REFUSE *word is as it was.  *left is set to the tokens after it, in
 * µtok.
 */

static inline tb_verdict_t
tb_word_take_to(tb_word_t *word, tb_limits_t limits, uint64_t now,
    uint64_t cost, int64_t floor, int64_t *left)
{
    int64_t   tokens;
    uint64_t  stamp;

    tokens = tb_word_tokens_at(*word, limits, now, &stamp);

    if (tokens - floor < (int64_t) cost) {
        *left = tokens;
        return TB_REFUSE;
    }

    *left = tokens - (int64_t) cost;
    *word = tb_word(*left, stamp);

    return TB_PASS;
}


/* The decision as most are made: nothing is lent. */

static inline tb_verdict_t
tb_word_take(tb_word_t *word, tb_limits_t limits, uint64_t now, uint64_t cost,
    int64_t *left)
{
    return tb_word_take_to(word, limits, now, cost, tb_limits_lowest(limits),
                           left);
}


/*
 * Credits the refill and loses nothing, however often it is called: the
 * stamp advances only by times in which the rate earns whole µtok, and to
 * now when the bucket is full.  Returns the word as it is when less than
 * such a time has passed.
 */

tb_word_t tb_word_tick(tb_word_t word, tb_limits_t limits, uint64_t now);

/*
 * The same for a word whose age is known from elsewhere, however old it is.
 */

tb_word_t tb_word_tick_age(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t age);

/*
 * Takes cost (µtok) from a word, whatever that holds, but no more than down
 * to floor (-TB_DEBT_MAX .. 0) of what is left.  *charged is set to what was
 * taken.  Loses nothing to rounding, unless the debt would be too much for a
 * word.
 */

tb_word_t tb_word_charge(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t cost, int64_t floor, uint64_t *charged);

/*
 * How far below 0 a take may go that waits ms for its tokens, at most: the
 * negative of what comes in meanwhile, -TB_DEBT_MAX at least.
 */

int64_t tb_limits_floor(tb_limits_t limits, uint64_t ms);

/*
 * Puts tokens (µtok) into a word, up to the capacity.  Loses nothing.  Of
 * leased places so many are not in use any more.
 */

tb_word_t tb_word_give(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens);

/*
 * Milliseconds from now until the bucket holds tokens (µtok), rounded up;
 * 0 if it does.  At most 864e11, or UINT64_MAX for "never": more than the
 * capacity, or with a rate of 0.
 */

uint64_t tb_word_wait(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens);

/*
 * Milliseconds until a bucket that holds left µtok has one whole token
 * more, or one at all, rounded up; 0 if it is full.
 */

uint64_t tb_bucket_next(tb_limits_t limits, int64_t left);

/*
 * What comes in at a rate (steps) in so many ms, µtok rounded down, or most
 * (at most TB_COST_MAX) if that is less.
 */

uint64_t tb_rate_earned(uint64_t rate, uint64_t ms, uint64_t most);

/*
 * Milliseconds in which so many µtok come in at that rate, rounded up;
 * UINT64_MAX if the rate is 0, or the limits have none.
 */

uint64_t tb_limits_time(tb_limits_t limits, uint64_t tokens);

/* Seconds from empty to full, rounded up; UINT64_MAX if time earns nothing. */

uint64_t tb_bucket_window(tb_limits_t limits);


/*
 * Seconds in which a client that uses so many tokens (whole ones, at most
 * 2^44) stays within a rate (steps, not 0), rounded up; at least 1.
 */

static inline uint64_t
tb_spend_seconds(uint64_t tokens, uint64_t rate)
{
    uint64_t  seconds;

    seconds = (tokens * TB_STEPS_A_SECOND + rate - 1) / rate;

    return seconds + (seconds == 0);
}


#endif /* TB_BUCKET_H */
