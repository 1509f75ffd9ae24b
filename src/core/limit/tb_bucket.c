
/*
 * The arithmetic of a bucket that no request waits for: exact ticks, and
 * times until a number of tokens is there.
 */


#include "src/core/limit/tb_places.h"


static tb_word_t tb_places_give(tb_word_t word, uint64_t stamp, uint64_t n);
static uint64_t tb_rate_period(uint64_t rate);


tb_word_t
tb_word_tick(tb_word_t word, tb_limits_t limits, uint64_t now)
{
    int64_t   full;
    uint64_t  age;

    age = tb_word_age(word, now);

    if (age < TB_AGE_MAX) {
        return tb_word_tick_age(word, limits, now, age);
    }

    full = (int64_t) tb_limits_room(limits);

    return tb_word_tokens(word) > full ? tb_word(full, word) : word;
}


tb_word_t
tb_word_tick_age(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t age)
{
    int64_t   full, tokens;
    uint64_t  missing, rate;

    full = (int64_t) tb_limits_room(limits);
    rate = tb_limits_rate(limits);
    tokens = tb_word_tokens(word);

    if (limits & TB_LIMITS_TIMELESS) {
        rate = 0;
        tokens = tb_limits_renewed(limits, now, age, tokens);
    }

    missing = tokens < full ? (uint64_t) (full - tokens) : 0;

    if (tb_rate_earned(rate, age, missing) == missing) {
        return tb_word(full, word + age);
    }

    if (rate == 0) {
        return tb_word(tokens, word + age);
    }

    age -= age % tb_rate_period(rate);

    return tb_word(tokens + (int64_t) (rate * age / TB_STEPS_A_UTOK),
                   word + age);
}


tb_word_t
tb_word_give(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens)
{
    int64_t   full, have, settled;
    uint64_t  stamp;

    full = (int64_t) tb_limits_room(limits);
    have = tb_word_tokens(word);
    settled = tb_word_tokens_at(word, limits, now, &stamp);

    if (tb_limits_are_places(limits)) {
        return tb_places_give(word, stamp, tokens / TB_TOKEN);
    }

    if (limits & TB_LIMITS_TIMELESS) {
        have = settled;
    }

    if (settled == full || full - have < (int64_t) tokens) {
        return tb_word(full, stamp);
    }

    if (limits & TB_LIMITS_TIMELESS) {
        return tb_word(have + (int64_t) tokens, stamp);
    }

    /* the refill is left to come: it counts up to the capacity then */

    return tb_word(have + (int64_t) tokens, word);
}


static tb_word_t
tb_places_give(tb_word_t word, uint64_t stamp, uint64_t n)
{
    uint32_t  used;

    used = tb_places_used(word);

    return tb_places_word(tb_places_leased(word),
                          used > n ? used - (uint32_t) n : 0, stamp);
}


tb_word_t
tb_word_charge(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t cost, int64_t floor, uint64_t *charged)
{
    int64_t   have, settled, taken;
    uint64_t  stamp;

    have = tb_word_tokens(word);
    settled = tb_word_tokens_at(word, limits, now, &stamp);
    floor += tb_limits_lowest(limits);

    taken = settled > floor ? settled - floor : 0;
    taken = taken < (int64_t) cost ? taken : (int64_t) cost;
    *charged = (uint64_t) taken;

    /* what was cut at the capacity is lost; else the refill is left to come */

    if (tb_limits_is_full(limits, settled) || have - taken < -TB_DEBT_MAX
        || (limits & TB_LIMITS_TIMELESS))
    {
        return tb_word(settled - taken, stamp);
    }

    return tb_word(have - taken, word);
}


int64_t
tb_limits_floor(tb_limits_t limits, uint64_t ms)
{
    if (limits & (TB_LIMITS_WINDOW | TB_LIMITS_PLACES)) {
        return tb_limits_lowest(limits);
    }

    return -(int64_t) tb_rate_earned(tb_limits_rate(limits), ms,
                                     (uint64_t) TB_DEBT_MAX);
}


uint64_t
tb_word_wait(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens)
{
    int64_t   missing;
    uint64_t  age, wait;

    missing = (int64_t) tokens - tb_word_tokens(word);

    if (tokens > tb_limits_full(limits)) {
        return UINT64_MAX;
    }

    if (missing <= 0) {
        return 0;
    }

    wait = tb_limits_time(limits, (uint64_t) missing);

    if (wait == UINT64_MAX) {
        return wait;
    }

    age = tb_word_age(word, now);

    if (age >= TB_AGE_MAX) {
        return wait + (TB_STAMP_MASK + 1 - age);
    }

    return wait > age ? wait - age : 0;
}


uint64_t
tb_bucket_next(tb_limits_t limits, int64_t left)
{
    int64_t  next, token;

    token = (int64_t) TB_TOKEN;
    next = left < 0 ? token : left - left % token + token;

    if (next > (int64_t) tb_limits_room(limits)) {
        return 0;
    }

    return tb_limits_time(limits, (uint64_t) (next - left));
}


uint64_t
tb_bucket_window(tb_limits_t limits)
{
    if (tb_limits_rate(limits) == 0
        || (limits & (TB_LIMITS_WINDOW | TB_LIMITS_PLACES)))
    {
        return UINT64_MAX;
    }

    return tb_spend_seconds(tb_limits_capacity(limits),
                            tb_limits_rate(limits));
}


uint64_t
tb_rate_earned(uint64_t rate, uint64_t ms, uint64_t most)
{
    /* compared first, so that the product cannot overflow */

    if (rate != 0 && ms > most * TB_STEPS_A_UTOK / rate) {
        return most;
    }

    return rate * ms / TB_STEPS_A_UTOK;
}


/* The shortest time, in ms, in which the rate earns whole µtok. */

static uint64_t
tb_rate_period(uint64_t rate)
{
    uint64_t  a, b, r;

    a = rate;
    b = TB_STEPS_A_UTOK;

    while (b != 0) {
        r = a % b;
        a = b;
        b = r;
    }

    return TB_STEPS_A_UTOK / a;
}


/* Less than 2^41 µtok are ever missing, so the product fits. */

uint64_t
tb_limits_time(tb_limits_t limits, uint64_t tokens)
{
    uint64_t  rate;

    rate = tb_limits_rate(limits);

    if (rate == 0 || (limits & (TB_LIMITS_WINDOW | TB_LIMITS_PLACES))) {
        return UINT64_MAX;
    }

    return (tokens * TB_STEPS_A_UTOK + rate - 1) / rate;
}
