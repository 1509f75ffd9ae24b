
/*
 * What a node decides about a bucket: how much to ask for, when, what to
 * give back, and what to make of a request that finds too little.
 */


#include "src/core/lease/tb_lease.h"
#include "src/core/limit/tb_recall.h"
#include "src/core/limit/tb_window.h"


/* ms by which a call may seem to be of the future, to whoever is late */
#define TB_LEASE_AHEAD  3600000

/* with a capacity of less than that many units nothing is leased ahead */
#define TB_LEASE_SMALL  4


static int64_t tb_lease_earn(int64_t tokens, tb_limits_t limits,
    int64_t most, uint64_t ms);
static uint64_t tb_lease_ahead(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens, uint64_t unit, uint32_t period, uint64_t now);
static bool tb_lease_is_idle(const tb_lease_t *l, uint64_t tokens,
    uint32_t period, uint64_t now);
static uint64_t tb_lease_used(const tb_lease_t *l, uint64_t tokens);
static uint64_t tb_lease_earned(tb_limits_t limits, uint64_t ms);
static int64_t tb_lease_estimate(const tb_lease_t *l, tb_limits_t limits,
    uint64_t now);
static inline uint64_t tb_lease_have(int64_t tokens);
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
tb_lease_is_due(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t unit, uint32_t period, uint64_t now)
{
    bool      owes;
    uint32_t  age;
    uint64_t  have, quick;

    age = tb_lease_since(now, l->asked);
    have = tb_lease_have(tokens);
    owes = tokens < 0 || gw_load_seq_cst(&l->refund) != 0
           || (l->left < 0 && have > 0);

    if (age < TB_LEASE_PERIOD) {
        return false;
    }

    if (l->alone != 0) {
        return tb_lease_since(now, l->alone) >= TB_LEASE_DOUBT;
    }

    if (!l->warm) {
        return owes && age >= period;
    }

    if (age >= period) {
        return have < unit || tb_lease_used(l, have) > 0 || owes
               || tb_lease_is_idle(l, have, period, now);
    }

    if (have >= unit) {
        return false;
    }

    /* small buckets: what is spent makes room for refill once reported */

    quick = tb_limits_time(limits, tb_limits_full(limits)) / 20;

    return period <= 5 * quick && age >= quick
           && (tb_lease_used(l, have) > 0
               || tokens + tb_lease_estimate(l, limits, now)
                  >= (int64_t) unit);
}


void
tb_lease_plan(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t need, uint64_t unit, uint32_t period, uint64_t now,
    tb_lease_ask_t *ask)
{
    uint64_t  ahead, full, have, since, want;

    full = tb_limits_full(limits);
    unit = (unit == 0) ? 1 : (unit < full ? unit : full);
    have = tb_lease_have(tokens);

    ask->op = TB_LEASE_TAKE;
    ask->limits = limits;
    ask->unit = unit;
    ask->hold = tokens;
    ask->back = 0;
    ask->want = 0;
    ask->refund = gw_load_seq_cst(&l->refund);
    ask->gen = (l->warm || (tokens > 0 && ask->refund >= 0))
               ? l->gen : TB_LEASE_ANY_GEN;
    ask->heard = l->heard;
    ask->over = l->over;
    ask->lent = 0;

    ahead = (l->warm || need > 0)
            ? tb_lease_ahead(l, limits, have, unit, period, now) : 0;
    want = need + ahead;

    if (want > full) {
        want = full;
    }

    if (want > have) {
        ask->want = want - have;

        /* the least that would be of use */

        if (ask->want < unit - have % unit) {
            ask->want = unit - have % unit;
        }

    } else if (l->alone != 0 && l->window != 0) {

        /* what it took alone does not come again, if the call is lost */

    } else if (want == 0) {
        ask->back = (int64_t) have;

    } else if (have > 3 * want && have > full / 16) {
        ask->back = (int64_t) (have - 2 * want);
    }

    if (l->alone != 0 && l->whole) {
        ask->op = TB_LEASE_CAP;
        ask->back = -(int64_t) l->over;
        return;
    }

    ask->hold -= ask->back;

    since = tb_recall_window(tb_window_minute(l->window));

    if (!l->warm && l->full > (since ? since : now)) {
        ask->op = TB_LEASE_CAP;
        ask->back = since ? tb_recall_left(limits, since, l->full)
                          : tb_recall_tokens(limits, l->full, now);
    }
}


void
tb_lease_sent(tb_lease_t *l, const tb_lease_ask_t *ask, uint64_t now)
{
    uint32_t  age, pace;
    uint64_t  use;

    use = tb_lease_used(l, tb_lease_have(ask->op == TB_LEASE_CAP
                                         ? ask->hold
                                         : ask->hold + ask->back));
    age = tb_lease_since(now, l->asked);

    if (l->warm) {
        use /= age ? age : 1;
        pace = use < UINT32_MAX ? (uint32_t) use : UINT32_MAX;
        l->pace = pace > l->pace ? pace : l->pace - (l->pace - pace) / 4;
    }

    /* who waits learns from this lease when the turn is */

    if (use > 0 || !l->warm || ask->hold < 0) {
        l->used = (uint32_t) now;
    }

    l->held = tb_lease_have(ask->hold);
    l->asked = (uint32_t) now;
}


int64_t
tb_lease_answered(tb_lease_t *l, const tb_lease_ask_t *ask,
    const tb_lease_answer_t *answer, uint64_t now)
{
    int64_t  delta, paid;

    delta = answer->delta;
    paid = ask->hold < 0 ? -ask->hold : 0;

    if (l->alone != 0) {
        if (delta > paid && (int32_t) (l->alone - l->asked) >= 0) {
            delta = paid;

        } else if ((int32_t) (l->asked - l->alone) >= TB_LEASE_DOUBT) {
            l->alone = 0;
        }
    }

    (void) atomic_fetch_sub_explicit(&l->refund, ask->refund,
                                     memory_order_seq_cst);

    l->over -= ask->over;
    l->heard = gw_load_seq_cst(&l->seq);
    l->held = tb_lease_have(ask->hold + delta);
    l->gen = answer->gen;
    l->answered = (uint32_t) now;
    l->left = answer->left;

    if (ask->lent != 0) {
        gw_store_seq_cst(&l->paid, ask->lent);
    }
    l->rationed = answer->delta - paid + (int64_t) ask->unit
                  <= (int64_t) ask->want;
    l->warm = true;

    return delta;
}


bool
tb_lease_is_over(const tb_lease_t *l, int64_t tokens, uint64_t now)
{
    return tokens == 0 && l->held == 0 && l->alone == 0
           && gw_load_seq_cst(&l->refund) == 0
           && tb_lease_since(now, l->used) >= TB_LEASE_IDLE
           && tb_lease_since(now, l->asked) >= TB_LEASE_PERIOD;
}


bool
tb_lease_waits(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t cost, uint32_t period, uint64_t now)
{
    int64_t   left;
    uint32_t  age;

    age = tb_lease_since(now, l->answered);

    if (!l->warm || (age > 2 * period && age > TB_LEASE_MISSING)) {
        return true;
    }

    left = (l->rationed && l->left > 0) ? 0 : l->left;
    left += gw_load_seq_cst(&l->refund);

    /* until the next call it is as empty as it was, unless that is late */

    if (tb_lease_earned(limits, period) < cost || age >= period) {
        left += (int64_t) tb_lease_earned(limits, age);
    }

    return tokens + left >= (int64_t) cost;
}


int64_t
tb_lease_remainder(const tb_lease_t *l, tb_limits_t limits, int64_t tokens)
{
    int64_t  full;

    full = (int64_t) tb_limits_full(limits);
    tokens += l->left + gw_load_seq_cst(&l->refund);

    return tokens < full ? tokens : full;
}


uint64_t
tb_lease_wait(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t cost, uint64_t now)
{
    uint64_t  ms;

    if (cost > tb_limits_full(limits)) {
        return UINT64_MAX;
    }

    tokens += tb_lease_estimate(l, limits, now);

    ms = tokens < (int64_t) cost
         ? tb_limits_time(limits, (uint64_t) ((int64_t) cost - tokens)) : 0;

    return ms ? ms : 1;
}


bool
tb_lease_turn(const tb_lease_t *l, tb_limits_t limits, uint64_t ticket,
    uint64_t now, uint64_t *ms)
{
    int64_t   left;
    uint32_t  age;
    uint64_t  paid;

    paid = gw_load_seq_cst(&l->paid);

    if (paid < ticket) {

        /* the lease is another one by now, which knows nothing of it */

        *ms = 0;

        return gw_load_seq_cst(&l->lent) < ticket;
    }

    /* those that came after it are behind it */

    left = l->left + (int64_t) (paid - ticket);
    age = tb_lease_since(now, l->answered);

    *ms = left < 0 ? tb_limits_time(limits, (uint64_t) -left) : 0;
    *ms = *ms > age ? *ms - age : 0;

    return true;
}


uint64_t
tb_lease_wait_alone(tb_limits_t limits, uint64_t share, int64_t tokens,
    uint64_t cost)
{
    uint64_t  ms, rate;

    if (tokens >= (int64_t) cost) {
        return 1;
    }

    rate = tb_limits_rate(limits) * share / TB_LEASE_ALL;

    /* without a share nobody knows better than with all of it */

    ms = tb_limits_time(tb_limits(0, rate ? rate : tb_limits_rate(limits), 0),
                        (uint64_t) ((int64_t) cost - tokens));

    return ms ? ms : 1;
}


uint64_t
tb_lease_taken_over(const tb_lease_t *l, uint64_t share)
{
    if (!l->warm || l->alone != 0 || l->left >= 0) {
        return 0;
    }

    return (uint64_t) -l->left * share / TB_LEASE_ALL;
}


int64_t
tb_lease_whole(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t full, uint64_t others, uint64_t spent, uint64_t now)
{
    int64_t   all, left, recalled;
    uint64_t  known;

    all = (int64_t) tb_limits_full(limits);
    known = now - tb_lease_since(now, l->answered);

    if (l->warm && others <= known) {
        left = l->left;

        if (left + tokens > all) {
            left = all > tokens ? all - tokens : 0;
        }

        return tb_lease_alone((int64_t) l->held + left, tokens + left,
                              limits, TB_LEASE_ALL, known, spent, now);
    }

    /* since then nobody else was there; before that others were, or we */

    left = others
           ? (int64_t) tb_lease_earned(limits,
                                       now > others ? now - others : 0)
           : all;

    if (l->warm) {
        return tb_lease_alone((int64_t) l->held,
                              tokens + (l->left < 0 ? l->left : 0), limits,
                              TB_LEASE_ALL, others, spent, now);
    }

    recalled = tb_recall_tokens(limits, full, now);
    left = left < recalled ? left : recalled;

    return left + (tokens < 0 ? tokens : 0);
}


uint64_t
tb_lease_full(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t now)
{
    int64_t   full;
    uint64_t  ms;

    full = (int64_t) tb_limits_full(limits);

    if (l->alone == 0) {

        if (!l->warm && tokens >= 0) {
            return 0;
        }

        tokens += l->warm ? tb_lease_estimate(l, limits, now) : 0;
    }

    if (tokens >= full) {
        return 0;
    }

    ms = tb_limits_time(limits, (uint64_t) (full - tokens));

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

    /* in debt: what the word has is for paying it */

    if (most < unit || l->left < 0
        || tb_lease_is_idle(l, tokens, period, now))
    {
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


/* What may be in Redis by now, if nobody else takes any; < 0: debt. */

static int64_t
tb_lease_estimate(const tb_lease_t *l, tb_limits_t limits, uint64_t now)
{
    int64_t  full, left;

    full = (int64_t) tb_limits_full(limits);
    left = l->left + gw_load_seq_cst(&l->refund);

    return tb_lease_earn(left, limits, full,
                         tb_lease_since(now, l->answered));
}


/* The tokens of a word that may owe some. */

static inline uint64_t
tb_lease_have(int64_t tokens)
{
    return tokens > 0 ? (uint64_t) tokens : 0;
}


static uint32_t
tb_lease_since(uint64_t now, uint32_t then)
{
    uint32_t  age;

    age = (uint32_t) now - then;

    return age <= UINT32_MAX - TB_LEASE_AHEAD ? age : 0;
}


int64_t
tb_lease_alone(int64_t before, int64_t tokens, tb_limits_t limits,
    uint64_t share, uint64_t from, uint64_t spent, uint64_t now)
{
    int64_t      full, gone, most;
    tb_limits_t  part;

    full = (int64_t) (tb_limits_full(limits) / TB_LEASE_ALL * share);
    part = tb_limits(0, tb_limits_rate(limits) * share / TB_LEASE_ALL, 0);

    if (spent > now) {
        spent = now;
    }

    if (spent > from) {

        /* as if all of it had been taken just then: there was no more */

        gone = before > tokens ? before - tokens : 0;
        most = full - gone;

        tokens = tb_lease_earn(tokens, part, most, spent - from);
        from = spent;
    }

    return now > from ? tb_lease_earn(tokens, part, full, now - from) : tokens;
}


/* Up to so many, or what there is anyway. */

static int64_t
tb_lease_earn(int64_t tokens, tb_limits_t limits, int64_t most, uint64_t ms)
{
    if (tokens >= most) {
        return tokens;
    }

    return tokens + (int64_t) tb_rate_earned(tb_limits_rate(limits), ms,
                                             (uint64_t) (most - tokens));
}
