
/*
 * When buckets without a slot will be full: a maximum in each of two cells
 * of a hash, of which the lesser one counts.
 */


#include "src/core/limit/tb_recall.h"


/* ms for all of a quota; windows last longer, also where clocks change */
#define TB_RECALL_SPAN  UINT64_C(1000000)

#define TB_RECALL_MINUTES  ((UINT64_C(1) << 20) - 1)


static inline uint32_t tb_recall_cell(uint64_t half, uint32_t n);


void
tb_recall_note(_Atomic uint32_t *cells, uint32_t n, const tb_hash_t *h,
    uint64_t full)
{
    uint32_t           i, old, step;
    _Atomic uint32_t  *cell;

    full = full / TB_RECALL_STEP + 1;
    step = full < UINT32_MAX ? (uint32_t) full : UINT32_MAX;

    for (i = 0; i < 2; i++) {
        cell = &cells[tb_recall_cell(i ? h->hi : h->hi >> 32, n)];
        old = atomic_load_explicit(cell, memory_order_relaxed);

        while (old < step
               && !atomic_compare_exchange_weak_explicit(cell, &old, step,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed))
        {
            /* somebody else has noted another one */
        }
    }
}


uint64_t
tb_recall_full(const _Atomic uint32_t *cells, uint32_t n, const tb_hash_t *h)
{
    uint32_t  a, b;

    a = atomic_load_explicit(&cells[tb_recall_cell(h->hi >> 32, n)],
                             memory_order_relaxed);
    b = atomic_load_explicit(&cells[tb_recall_cell(h->hi, n)],
                             memory_order_relaxed);

    return (uint64_t) (a < b ? a : b) * TB_RECALL_STEP;
}


int64_t
tb_recall_tokens(tb_limits_t limits, uint64_t full, uint64_t now)
{
    uint64_t  missing, most, rate, tokens;

    tokens = tb_limits_full(limits);

    if (full <= now) {
        return (int64_t) tokens;
    }

    rate = tb_limits_rate(limits);

    if (rate == 0) {
        return 0;
    }

    most = tokens + (uint64_t) TB_DEBT_MAX;

    if (full - now >= tb_limits_time(limits, most)) {
        return -TB_DEBT_MAX;
    }

    missing = (rate * (full - now) + TB_STEPS_A_UTOK - 1) / TB_STEPS_A_UTOK;

    return (int64_t) tokens - (int64_t) (missing < most ? missing : most);
}


uint64_t
tb_recall_window(uint64_t minute)
{
    /* cells have room for two years, and those before are forgotten by then */

    return minute ? (minute & TB_RECALL_MINUTES) * 60000 + 1 : 0;
}


uint64_t
tb_recall_spent(tb_limits_t limits, uint64_t since, int64_t left)
{
    int64_t   full;
    uint64_t  spent;

    full = (int64_t) tb_limits_full(limits);
    left = left > 0 ? left : 0;

    if (left >= full) {
        return 0;
    }

    spent = (uint64_t) (full - left);

    return since + (spent * TB_RECALL_SPAN + (uint64_t) full - 1)
                   / (uint64_t) full;
}


int64_t
tb_recall_left(tb_limits_t limits, uint64_t since, uint64_t full)
{
    uint64_t  spent;

    spent = full > since ? full - since : 0;
    spent = spent < TB_RECALL_SPAN ? spent : TB_RECALL_SPAN;

    return (int64_t) (tb_limits_full(limits)
                      * (TB_RECALL_SPAN - spent) / TB_RECALL_SPAN);
}


static inline uint32_t
tb_recall_cell(uint64_t half, uint32_t n)
{
    return (uint32_t) ((half & UINT32_MAX) * n >> 32);
}
