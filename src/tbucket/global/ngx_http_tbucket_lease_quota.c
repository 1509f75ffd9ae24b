
/*
 * Quotas while there are no leases: no time earns tokens, so a node takes its
 * share of what there was, and remembers what there is.
 */


#include "src/tbucket/global/ngx_http_tbucket_lease_quota.h"
#include "src/core/lease/tb_lease_quota.h"
#include "src/core/limit/tb_take.h"


void
ngx_http_tbucket_lease_quota_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, uint64_t share, uint64_t most)
{
    int64_t                     known, part;
    uint64_t                    now;
    tb_slot_t                  *slot;
    tb_limits_t                 dflt;
    ngx_http_tbucket_global_t  *g;

    if (l->lease.alone != 0) {
        return;
    }

    g = zone->shared->global;
    dflt = ngx_http_tbucket_limits(zone, &now);

    known = tb_recall_left(limits,
                           tb_recall_window(tb_window_minute(l->lease.window)),
                           tb_recall_full(g->recall, g->nrecall, h));
    part = (int64_t) ngx_min(tb_lease_part(&l->lease, known, share), most);

    /* Redis is charged with it by the next call */

    (void) atomic_fetch_sub_explicit(&l->lease.refund, part,
                                     memory_order_seq_cst);

    l->lease.whole = false;
    l->lease.alone = (uint32_t) ngx_current_msec | 1;
    l->lease.credited = tb_word_tokens(word) + part;
    l->alone = ngx_current_msec;

    slot = tb_table_slot(zone->shared->table, (uint32_t) (l - g->leases));

    (void) tb_table_add(zone->shared->table, slot, h, now, dflt, part);
}


void
ngx_http_tbucket_lease_quota_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, ngx_uint_t careful)
{
    int64_t                     left;
    uint64_t                    full;
    ngx_http_tbucket_global_t  *g;

    g = zone->shared->global;

    if (l->lease.alone != 0) {
        left = careful ? tb_word_tokens(word) : 0;

    } else if (l->lease.warm) {
        left = tb_lease_known(&l->lease, tb_word_tokens(word));

    } else {
        return;
    }

    full = tb_recall_spent(limits,
                           tb_recall_window(tb_window_minute(l->lease.window)),
                           left);

    if (full == 0) {
        return;
    }

    tb_recall_note(g->recall, g->nrecall, h, full);

    if (careful) {
        gw_store_seq_cst(&g->caution, ngx_current_msec
                                      + ngx_http_tbucket_quota_left(zone));
    }
}
