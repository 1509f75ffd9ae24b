
/*
 * One compare-and-swap over (pid of the leader, end of its term).
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/common/ngx_gw_leader.h"


static uint64_t ngx_gw_leader_word(ngx_msec_t term);
static ngx_uint_t ngx_gw_leader_is_present(uint64_t word);


ngx_uint_t
ngx_gw_leader_claim(ngx_gw_leader_t *leader, ngx_msec_t term)
{
    uint64_t  next, word;

    word = atomic_load_explicit(&leader->word, memory_order_acquire);

    if ((ngx_pid_t) (word >> 32) != ngx_pid && ngx_gw_leader_is_present(word)) {
        return 0;
    }

    next = ngx_gw_leader_word(term);

    return atomic_compare_exchange_strong_explicit(&leader->word, &word, next,
                                                   memory_order_acq_rel,
                                                   memory_order_relaxed);
}


void
ngx_gw_leader_seize(ngx_gw_leader_t *leader, ngx_msec_t term)
{
    atomic_store_explicit(&leader->word, ngx_gw_leader_word(term),
                          memory_order_release);
}


void
ngx_gw_leader_resign(ngx_gw_leader_t *leader)
{
    uint64_t  word;

    word = atomic_load_explicit(&leader->word, memory_order_acquire);

    if ((ngx_pid_t) (word >> 32) == ngx_pid) {
        (void) atomic_compare_exchange_strong_explicit(&leader->word, &word, 0,
                                                       memory_order_acq_rel,
                                                       memory_order_relaxed);
    }
}


static uint64_t
ngx_gw_leader_word(ngx_msec_t term)
{
    return (uint64_t) ngx_pid << 32 | (uint32_t) (ngx_current_msec + term);
}


static ngx_uint_t
ngx_gw_leader_is_present(uint64_t word)
{
    ngx_pid_t  pid;

    pid = (ngx_pid_t) (word >> 32);

    if (pid == 0 || (int32_t) ((uint32_t) word - (uint32_t) ngx_current_msec)
                    <= 0)
    {
        return 0;
    }

    return kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}
