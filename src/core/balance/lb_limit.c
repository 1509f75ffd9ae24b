
/*
 * Finding a limit of requests in flight.
 */


#include "src/core/balance/lb_limit.h"


/* sixteenths */
#define LB_LIMIT_ONE       16

/* the ratio of latencies in 1/256: what it may be, and when it is steep */
#define LB_LIMIT_RATIO     256
#define LB_LIMIT_RATIO_MIN 128
#define LB_LIMIT_STEEP     180

/* windows of a steep fall after which the latency without load is in doubt */
#define LB_LIMIT_DOUBT     3

/* the second window of a probe has requests of that limit only */
#define LB_LIMIT_PROBING   2

/* a sample in lb_limit_t.samples */
#define LB_LIMIT_BITS      44


static uint32_t lb_limit_force(const lb_limit_state_t *state);
static void lb_limit_probe(lb_limit_state_t *state,
    const lb_limit_window_t *window, uint64_t now, uint32_t random);
static void lb_limit_move(lb_limit_state_t *state,
    const lb_limit_window_t *window);
static uint32_t lb_limit_root(uint32_t n);
static void lb_limit_close(lb_limit_t *limit, uint64_t now, uint32_t random);
static inline void lb_limit_pack(_Atomic uint64_t *pair, uint32_t high,
    uint32_t low);
static inline void lb_limit_unpack(_Atomic uint64_t *pair, uint32_t *high,
    uint32_t *low);


uint32_t
lb_limit_step(lb_limit_state_t *state, const lb_limit_window_t *window,
    uint64_t now, uint32_t random)
{
    if (state->limit == 0) {
        state->limit = LB_LIMIT_FIRST * LB_LIMIT_ONE;
    }

    if (state->base == 0) {
        state->base = window->mean;
        state->probe_at = now + LB_LIMIT_REPROBE;
    }

    if (state->probing != 0) {
        lb_limit_probe(state, window, now, random);
        return lb_limit_force(state);
    }

    if (window->mean < state->base) {
        state->base = window->mean;
    }

    lb_limit_move(state, window);

    if (now >= state->probe_at
        || (state->steep >= LB_LIMIT_DOUBT
            && now + LB_LIMIT_PROBE >= state->probe_at + LB_LIMIT_REPROBE))
    {
        state->probing = LB_LIMIT_PROBING;
    }

    return lb_limit_force(state);
}


static uint32_t
lb_limit_force(const lb_limit_state_t *state)
{
    uint32_t  limit;

    limit = state->limit / LB_LIMIT_ONE;

    if (state->probing != 0) {
        limit /= 2;
    }

    return (limit > LB_LIMIT_MIN) ? limit : LB_LIMIT_MIN;
}


static void
lb_limit_probe(lb_limit_state_t *state, const lb_limit_window_t *window,
    uint64_t now, uint32_t random)
{
    if (--state->probing != 0) {
        return;
    }

    state->base = window->mean;
    state->steep = 0;

    /* gateways that were started together do not probe together for long */

    state->probe_at = now + LB_LIMIT_PROBE + random % (LB_LIMIT_PROBE / 4);
}


/* a quarter above the latency without load is none that the limit makes */

static void
lb_limit_move(lb_limit_state_t *state, const lb_limit_window_t *window)
{
    uint32_t  limit, n, peak;
    uint64_t  ratio;

    n = state->limit;
    ratio = (uint64_t) state->base * LB_LIMIT_RATIO * 5 / 4;
    ratio = (window->mean != 0) ? ratio / window->mean : LB_LIMIT_RATIO;

    if (ratio > LB_LIMIT_RATIO) {
        ratio = LB_LIMIT_RATIO;
    }

    if (ratio < LB_LIMIT_RATIO_MIN) {
        ratio = LB_LIMIT_RATIO_MIN;
    }

    state->steep = (ratio < LB_LIMIT_STEEP) ? state->steep + 1 : 0;

    limit = (uint32_t) (n * ratio / LB_LIMIT_RATIO)
            + lb_limit_root(n * LB_LIMIT_ONE);

    /* one that nobody gets near to has shown nothing */

    peak = window->peak * LB_LIMIT_ONE;

    if (limit > n && peak < n / 4 * 3) {
        limit = n;
    }

    if (limit < LB_LIMIT_MIN * LB_LIMIT_ONE) {
        limit = LB_LIMIT_MIN * LB_LIMIT_ONE;
    }

    if (limit > LB_LIMIT_MAX * LB_LIMIT_ONE) {
        limit = LB_LIMIT_MAX * LB_LIMIT_ONE;
    }

    state->limit = limit;
}


static uint32_t
lb_limit_root(uint32_t n)
{
    uint32_t  bit, root;

    root = 0;

    for (bit = 1u << 15; bit != 0; bit /= 2) {

        if ((uint64_t) (root + bit) * (root + bit) <= n) {
            root += bit;
        }
    }

    return root;
}


void
lb_limit_enter(lb_limit_t *limit, uint32_t time, uint32_t in_flight,
    uint64_t now, uint32_t random)
{
    uint32_t  peak;
    uint64_t  until;

    time = (time < LB_LIMIT_TIME_MAX) ? time : LB_LIMIT_TIME_MAX;

    (void) atomic_fetch_add_explicit(&limit->samples,
                                     (UINT64_C(1) << LB_LIMIT_BITS) + time,
                                     memory_order_relaxed);

    peak = atomic_load_explicit(&limit->peak, memory_order_relaxed);

    if (in_flight > peak) {
        atomic_store_explicit(&limit->peak, in_flight, memory_order_relaxed);
    }

    until = atomic_load_explicit(&limit->until, memory_order_relaxed);

    if (now < until
        || atomic_load_explicit(&limit->samples, memory_order_relaxed)
               >> LB_LIMIT_BITS < LB_LIMIT_SAMPLES)
    {
        return;
    }

    /* the claim ends by itself, should whoever has it die */

    if (atomic_compare_exchange_strong_explicit(&limit->until, &until,
                                                now + LB_LIMIT_WINDOW,
                                                memory_order_acq_rel,
                                                memory_order_acquire))
    {
        lb_limit_close(limit, now, random);
    }
}


static void
lb_limit_close(lb_limit_t *limit, uint64_t now, uint32_t random)
{
    uint32_t           span;
    uint64_t           samples;
    lb_limit_state_t   state;
    lb_limit_window_t  window;

    samples = atomic_exchange_explicit(&limit->samples, 0,
                                       memory_order_acq_rel);

    window.samples = (uint32_t) (samples >> LB_LIMIT_BITS);

    if (window.samples == 0) {
        return;
    }

    window.mean = (uint32_t) ((samples & ((UINT64_C(1) << LB_LIMIT_BITS) - 1))
                              / window.samples);
    window.peak = atomic_exchange_explicit(&limit->peak, 0,
                                           memory_order_acq_rel);

    lb_limit_unpack(&limit->state[0], &state.probing, &state.limit);
    lb_limit_unpack(&limit->state[1], &state.steep, &state.base);
    state.probe_at = gw_load_acquire(&limit->state[2]);

    gw_store_release(&limit->limit,
                     lb_limit_step(&state, &window, now, random));

    lb_limit_pack(&limit->state[0], state.probing, state.limit);
    lb_limit_pack(&limit->state[1], state.steep, state.base);
    gw_store_release(&limit->state[2], state.probe_at);

    span = window.mean / 1000;
    span = (span < LB_LIMIT_LONGEST) ? span : LB_LIMIT_LONGEST;

    if (span > LB_LIMIT_WINDOW) {
        gw_store_release(&limit->until, now + span);
    }
}


uint32_t
lb_limit_base(lb_limit_t *limit)
{
    return (uint32_t) atomic_load_explicit(&limit->state[1],
                                           memory_order_relaxed);
}


static inline void
lb_limit_pack(_Atomic uint64_t *pair, uint32_t high, uint32_t low)
{
    gw_store_release(pair, (UINT64_C(1) << 32) * high + low);
}


static inline void
lb_limit_unpack(_Atomic uint64_t *pair, uint32_t *high, uint32_t *low)
{
    uint64_t  value;

    value = gw_load_acquire(pair);

    *high = (uint32_t) (value >> 32);
    *low = (uint32_t) value;
}
