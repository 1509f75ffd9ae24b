
/*
 * The arithmetic of a bucket that no request waits for: exact ticks, and
 * times until a number of tokens is there.
 */


#include "src/core/limit/tb_bucket.h"


static uint64_t tb_rate_period(uint64_t rate);


tb_word_t
tb_word_tick(tb_word_t word, tb_limits_t limits, uint64_t now)
{
    uint64_t  age, full;

    age = tb_word_age(word, now);

    if (age < TB_AGE_MAX) {
        return tb_word_tick_age(word, limits, age);
    }

    full = tb_limits_full(limits);

    return tb_word_tokens(word) > full ? tb_word(full, word) : word;
}


tb_word_t
tb_word_tick_age(tb_word_t word, tb_limits_t limits, uint64_t age)
{
    uint64_t  full, rate, tokens;

    full = tb_limits_full(limits);
    rate = tb_limits_refill(limits);
    tokens = tb_word_tokens(word);

    if (tokens >= full
        || tb_rate_earned(rate, age, full - tokens) == full - tokens)
    {
        return tb_word(full, word + age);
    }

    if (rate == 0) {
        return tb_word(tokens, word + age);
    }

    age -= age % tb_rate_period(rate);

    return tb_word(tokens + rate * age / TB_STEPS_A_UTOK, word + age);
}


tb_word_t
tb_word_give(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens)
{
    uint64_t   full, sum;
    tb_word_t  settled;

    settled = tb_word_tick(word, limits, now);
    full = tb_limits_full(limits);
    sum = tb_word_tokens(settled);

    sum = (full - sum < tokens) ? full : sum + tokens;

    return tb_word(sum, settled);
}


uint64_t
tb_word_wait(tb_word_t word, tb_limits_t limits, uint64_t now,
    uint64_t tokens)
{
    uint64_t  age, have, wait;

    have = tb_word_tokens(word);

    if (tokens > tb_limits_full(limits)) {
        return UINT64_MAX;
    }

    if (have >= tokens) {
        return 0;
    }

    wait = tb_limits_time(limits, tokens - have);

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
tb_bucket_next(tb_limits_t limits, uint64_t left)
{
    uint64_t  next;

    next = left - left % TB_TOKEN + TB_TOKEN;

    if (next > tb_limits_full(limits)) {
        return 0;
    }

    return tb_limits_time(limits, next - left);
}


uint64_t
tb_bucket_spend_time(tb_limits_t limits, uint64_t tokens)
{
    uint64_t  rate;

    rate = tb_limits_rate(limits);

    if (rate == 0) {
        return UINT64_MAX;
    }

    return tokens == 0 ? 1 : (tokens * TB_STEPS_A_SECOND + rate - 1) / rate;
}


uint64_t
tb_bucket_window(tb_limits_t limits)
{
    uint64_t  ms;

    ms = tb_limits_time(limits, tb_limits_full(limits));

    return ms == UINT64_MAX ? ms : (ms + 999) / 1000;
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


/* At most 1e12 µtok are ever missing, so the product fits. */

uint64_t
tb_limits_time(tb_limits_t limits, uint64_t tokens)
{
    uint64_t  rate;

    rate = tb_limits_rate(limits);

    if (rate == 0) {
        return UINT64_MAX;
    }

    return (tokens * TB_STEPS_A_UTOK + rate - 1) / rate;
}
