
/*
 * What a node decides about a bucket: how much to ask for, when, what to
 * give back, and what to make of a request that finds too little.
 */


#include "src/core/lease/tb_lease.h"
#include "src/core/limit/tb_recall.h"


/* ms by which a call may seem to be of the future, to whoever is late */
#define TB_LEASE_AHEAD  3600000

/* with a capacity of less than that many units nothing is leased ahead */
#define TB_LEASE_SMALL  4


static uint64_t tb_lease_earn(uint64_t tokens, tb_limits_t limits,
    uint64_t most, uint64_t ms);
static uint64_t tb_lease_ahead(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens, uint64_t unit, uint32_t period, uint64_t now);
static bool tb_lease_is_idle(const tb_lease_t *l, uint64_t tokens,
    uint32_t period, uint64_t now);
static uint64_t tb_lease_used(const tb_lease_t *l, uint64_t tokens);
static uint64_t tb_lease_earned(tb_limits_t limits, uint64_t ms);
static uint64_t tb_lease_estimate(const tb_lease_t *l, tb_limits_t limits,
    uint64_t now);
static uint32_t tb_lease_since(uint64_t now, uint32_t then);


uint32_t
tb_lease_period(tb_limits_t limits, uint32_t refill, uint32_t spacing)
{
    uint64_t  period;

    period = tb_limits_time(limits, tb_limits_full(limits)) / 4;

    if (period > refill) {
        period = refill;
    }

    if (period < TB_LEASE_PERIOD) {
        period = TB_LEASE_PERIOD;
    }

    return period > spacing ? (uint32_t) period : spacing;
}


bool
tb_lease_is_due(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t unit, uint32_t period, uint64_t now)
{
    uint32_t  age;
    uint64_t  quick;

    age = tb_lease_since(now, l->asked);

    if (age < TB_LEASE_PERIOD) {
        return false;
    }

    if (l->alone != 0) {
        return tb_lease_since(now, l->alone) >= TB_LEASE_DOUBT;
    }

    if (!l->warm) {
        return false;
    }

    if (age >= period) {
        return tokens < unit || tb_lease_used(l, tokens) > 0
               || tb_lease_is_idle(l, tokens, period, now);
    }

    if (tokens >= unit) {
        return false;
    }

    /* small buckets: what is spent makes room for refill once reported */

    quick = tb_limits_time(limits, tb_limits_full(limits)) / 20;

    return period <= 5 * quick && age >= quick
           && (tb_lease_used(l, tokens) > 0
               || tokens + tb_lease_estimate(l, limits, now) >= unit);
}


void
tb_lease_plan(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t need, uint64_t unit, uint32_t period, uint64_t now,
    tb_lease_ask_t *ask)
{
    uint64_t  ahead, full, want;

    full = tb_limits_full(limits);
    unit = (unit == 0) ? 1 : (unit < full ? unit : full);

    ask->op = TB_LEASE_TAKE;
    ask->limits = limits;
    ask->gen = l->gen;
    ask->unit = unit;
    ask->hold = tokens;
    ask->back = 0;
    ask->want = 0;

    ahead = (l->warm || need > 0)
            ? tb_lease_ahead(l, limits, tokens, unit, period, now) : 0;
    want = need + ahead;

    if (want > full) {
        want = full;
    }

    if (want > tokens) {
        ask->want = want - tokens;

        /* the least that would be of use */

        if (ask->want < unit - tokens % unit) {
            ask->want = unit - tokens % unit;
        }

    } else if (want == 0) {
        ask->back = tokens;

    } else if (tokens > 3 * want && tokens > full / 16) {
        ask->back = tokens - 2 * want;
    }

    if (l->alone != 0 && l->whole) {
        ask->op = TB_LEASE_CAP;
        ask->back = 0;
        return;
    }

    ask->hold -= ask->back;

    if (!l->warm && l->full > now) {
        ask->op = TB_LEASE_CAP;
        ask->back = tb_recall_tokens(limits, l->full, now);
    }
}


void
tb_lease_sent(tb_lease_t *l, const tb_lease_ask_t *ask, uint64_t now)
{
    uint32_t  age, pace;
    uint64_t  use;

    use = tb_lease_used(l, ask->op == TB_LEASE_CAP ? ask->hold
                           : ask->hold + ask->back);
    age = tb_lease_since(now, l->asked);

    if (l->warm) {
        use /= age ? age : 1;
        pace = use < UINT32_MAX ? (uint32_t) use : UINT32_MAX;
        l->pace = pace > l->pace ? pace : l->pace - (l->pace - pace) / 4;
    }

    if (use > 0 || !l->warm) {
        l->used = (uint32_t) now;
    }

    l->held = ask->hold;
    l->asked = (uint32_t) now;
}


int64_t
tb_lease_answered(tb_lease_t *l, const tb_lease_ask_t *ask,
    const tb_lease_answer_t *answer, uint64_t now)
{
    int64_t  delta, held;

    delta = answer->delta;

    if (l->alone != 0) {
        if (delta > 0 && (int32_t) (l->alone - l->asked) >= 0) {
            delta = 0;

        } else if ((int32_t) (l->asked - l->alone) >= TB_LEASE_DOUBT) {
            l->alone = 0;
        }
    }

    held = (int64_t) ask->hold + delta;

    l->held = held > 0 ? (uint64_t) held : 0;
    l->left = answer->left;
    l->gen = answer->gen;
    l->answered = (uint32_t) now;
    l->rationed = answer->delta + (int64_t) ask->unit <= (int64_t) ask->want;
    l->warm = true;

    return delta;
}


bool
tb_lease_is_over(const tb_lease_t *l, uint64_t tokens, uint64_t now)
{
    return tokens == 0 && l->held == 0 && l->alone == 0
           && tb_lease_since(now, l->used) >= TB_LEASE_IDLE
           && tb_lease_since(now, l->asked) >= TB_LEASE_PERIOD;
}


bool
tb_lease_waits(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t cost, uint32_t period, uint64_t now)
{
    uint32_t  age;
    uint64_t  left;

    age = tb_lease_since(now, l->answered);

    if (!l->warm || (age > 2 * period && age > TB_LEASE_MISSING)) {
        return true;
    }

    left = l->rationed ? 0 : l->left;

    /* until the next call it is as empty as it was, unless that is late */

    if (tb_lease_earned(limits, period) < cost || age >= period) {
        left += tb_lease_earned(limits, age);
    }

    return tokens + left >= cost;
}


uint64_t
tb_lease_remainder(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens)
{
    uint64_t  full;

    full = tb_limits_full(limits);
    tokens += l->left;

    return tokens < full ? tokens : full;
}


uint64_t
tb_lease_wait(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t cost, uint64_t now)
{
    uint64_t  ms;

    if (cost > tb_limits_full(limits)) {
        return UINT64_MAX;
    }

    tokens += tb_lease_estimate(l, limits, now);

    ms = tokens < cost ? tb_limits_time(limits, cost - tokens) : 0;

    return ms ? ms : 1;
}


uint64_t
tb_lease_wait_alone(tb_limits_t limits, uint64_t share, uint64_t tokens,
    uint64_t cost)
{
    uint64_t  ms, rate;

    if (tokens >= cost) {
        return 1;
    }

    rate = tb_limits_rate(limits) * share / TB_LEASE_ALL;

    /* without a share nobody knows better than with all of it */

    ms = tb_limits_time(tb_limits(0, rate ? rate : tb_limits_rate(limits), 0),
                        cost - tokens);

    return ms ? ms : 1;
}


uint64_t
tb_lease_whole(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t full, uint64_t others, uint64_t spent, uint64_t now)
{
    uint64_t  all, known, left;

    all = tb_limits_full(limits);
    known = now - tb_lease_since(now, l->answered);

    if (l->warm && others <= known) {
        left = l->left;

        if (left + tokens > all) {
            left = all > tokens ? all - tokens : 0;
        }

        return tb_lease_alone(l->held + left, tokens + left, limits,
                              TB_LEASE_ALL, known, spent, now);
    }

    /* since then nobody else was there; before that others were, or we */

    left = others ? tb_lease_earned(limits, now > others ? now - others : 0)
                  : all;

    if (l->warm) {
        return tb_lease_alone(l->held, tokens, limits, TB_LEASE_ALL, others,
                              spent, now);
    }

    known = tb_recall_tokens(limits, full, now);

    return left < known ? left : known;
}


uint64_t
tb_lease_full(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t now)
{
    uint64_t  full, ms;

    full = tb_limits_full(limits);

    if (l->alone == 0) {

        if (!l->warm) {
            return 0;
        }

        tokens += tb_lease_estimate(l, limits, now);
    }

    if (tokens >= full) {
        return 0;
    }

    ms = tb_limits_time(limits, full - tokens);

    return ms < UINT64_MAX - now ? now + ms : UINT64_MAX;
}


/* What is to be leased for the time until the next call. */

static uint64_t
tb_lease_ahead(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t unit, uint32_t period, uint64_t now)
{
    uint64_t  ahead, full, most, pace, use;

    full = tb_limits_full(limits);
    most = full / 4;

    if (full < TB_LEASE_SMALL * unit) {
        most = 0;
    }

    if (!l->warm) {
        most /= 3;
        return most - most % unit;
    }

    if (most < unit || tb_lease_is_idle(l, tokens, period, now)) {
        return 0;
    }

    use = tb_lease_used(l, tokens);
    pace = use / (tb_lease_since(now, l->asked) + 1);

    if (pace < l->pace) {
        pace = l->pace;
    }

    ahead = pace * period / 2 * 3;

    if (tokens < unit) {

        /* nobody knows how much more would have been used */

        if (ahead < 2 * use) {
            ahead = 2 * use;
        }

        if (ahead < unit) {
            ahead = unit;
        }
    }

    if (ahead > most) {
        ahead = most;
    }

    ahead += unit - 1;

    return ahead - ahead % unit;
}


static bool
tb_lease_is_idle(const tb_lease_t *l, uint64_t tokens, uint32_t period,
    uint64_t now)
{
    uint32_t  age;

    age = tb_lease_since(now, l->used);

    return tb_lease_used(l, tokens) == 0 && age >= TB_LEASE_IDLE
           && age / 3 >= period;
}


/* Since the last call, µtok. */

static uint64_t
tb_lease_used(const tb_lease_t *l, uint64_t tokens)
{
    return l->held > tokens ? l->held - tokens : 0;
}


/* In µtok, at most the capacity. */

static uint64_t
tb_lease_earned(tb_limits_t limits, uint64_t ms)
{
    return tb_rate_earned(tb_limits_rate(limits), ms, tb_limits_full(limits));
}


/* What may be in Redis by now, if nobody else takes any. */

static uint64_t
tb_lease_estimate(const tb_lease_t *l, tb_limits_t limits, uint64_t now)
{
    uint64_t  full, left;

    full = tb_limits_full(limits);
    left = l->left
           + tb_lease_earned(limits, tb_lease_since(now, l->answered));

    return left < full ? left : full;
}


static uint32_t
tb_lease_since(uint64_t now, uint32_t then)
{
    uint32_t  age;

    age = (uint32_t) now - then;

    return age <= UINT32_MAX - TB_LEASE_AHEAD ? age : 0;
}


uint64_t
tb_lease_alone(uint64_t before, uint64_t tokens, tb_limits_t limits,
    uint64_t share, uint64_t from, uint64_t spent, uint64_t now)
{
    uint64_t     full, gone, most;
    tb_limits_t  part;

    full = tb_limits_full(limits) / TB_LEASE_ALL * share;
    part = tb_limits(0, tb_limits_rate(limits) * share / TB_LEASE_ALL, 0);

    if (spent > now) {
        spent = now;
    }

    if (spent > from) {

        /* as if all of it had been taken just then: there was no more */

        gone = before > tokens ? before - tokens : 0;
        most = full > gone ? full - gone : 0;

        tokens = tb_lease_earn(tokens, part, most, spent - from);
        from = spent;
    }

    return now > from ? tb_lease_earn(tokens, part, full, now - from) : tokens;
}


/* Up to so many, or what there is anyway. */

static uint64_t
tb_lease_earn(uint64_t tokens, tb_limits_t limits, uint64_t most, uint64_t ms)
{
    if (tokens >= most) {
        return tokens;
    }

    return tokens + tb_rate_earned(tb_limits_rate(limits), ms, most - tokens);
}
