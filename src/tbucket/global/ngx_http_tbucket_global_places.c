
/*
 * Places for requests in flight in calls to Redis.
 */


#include "src/tbucket/global/ngx_http_tbucket_global_places.h"
#include "src/core/lease/tb_lease_places.h"
#include "src/core/limit/tb_table_lease.h"


void
ngx_http_tbucket_global_places_trim(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t *word,
    uint32_t limit)
{
    int32_t                   n;
    ngx_http_tbucket_zone_t  *zone;

    zone = a->rz->zone;
    n = (int32_t) limit - (int32_t) tb_places_leased(*word);

    if (n < 0) {
        (void) tb_table_lease(zone->shared->table,
                              ngx_http_tbucket_lease_slot(zone, l), h,
                              ngx_current_msec, zone->limits, n);

        *word = tb_places_word(limit, tb_places_used(*word), *word);
    }
}


void
ngx_http_tbucket_global_places_plan(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_lease_t *l, ngx_http_tbucket_entry_t *e, uint64_t need)
{
    uint32_t                  limit, spare;
    tb_hash_t                 h;
    tb_word_t                 word;
    tb_limits_t               limits;
    ngx_http_tbucket_zone_t  *zone;

    zone = a->rz->zone;
    need /= TB_TOKEN;

    if (gw_load_seq_cst(&l->wanted) && need == 0) {
        need = 1;
    }

    if (!ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)) {
        ngx_http_tbucket_global_places_none(e, zone->limits);
        return;
    }

    limit = ngx_http_tbucket_places_limit(limits);
    spare = need ? 0 : tb_lease_places_spare(&l->lease, word, limit,
                                             ngx_current_msec);

    if (spare > 0) {
        spare = tb_table_unlease(zone->shared->table,
                                 ngx_http_tbucket_lease_slot(zone, l), &h,
                                 ngx_current_msec, zone->limits, spare);

        (void) atomic_fetch_add_explicit(&a->global->returned,
                                         spare * TB_TOKEN,
                                         memory_order_relaxed);

        if (!ngx_http_tbucket_lease_read(zone, l, &h, &word, &limits)) {
            ngx_http_tbucket_global_places_none(e, zone->limits);
            return;
        }
    }

    tb_lease_places_plan(&l->lease, word, limit, (uint32_t) need, &e->ask);
    tb_lease_places_sent(&l->lease, word, &e->ask, ngx_current_msec);
}


uint64_t
ngx_http_tbucket_global_places_answered(ngx_http_tbucket_asking_t *a,
    ngx_http_tbucket_entry_t *e, tb_lease_answer_t *answer)
{
    int32_t                    n;
    ngx_http_tbucket_zone_t   *zone;
    ngx_http_tbucket_lease_t  *l;

    l = e->lease;
    zone = a->rz->zone;

    n = tb_lease_places_answered(&l->lease, &e->ask, answer,
                                 ngx_current_msec);

    if (n != 0) {
        n = tb_table_lease(zone->shared->table,
                           ngx_http_tbucket_lease_slot(zone, l), &e->hash,
                           ngx_current_msec, zone->limits, n);
    }

    return n > 0 ? (uint32_t) n * TB_TOKEN : 0;
}


void
ngx_http_tbucket_global_places_none(ngx_http_tbucket_entry_t *e,
    tb_limits_t limits)
{
    ngx_memzero(&e->ask, sizeof(tb_lease_ask_t));

    e->ask.op = TB_LEASE_PLACES;
    e->ask.limits = tb_limits(ngx_http_tbucket_places_limit(limits), 0, 0);
    e->ask.unit = TB_TOKEN;
}
