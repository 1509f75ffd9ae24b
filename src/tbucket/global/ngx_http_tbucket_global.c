
/*
 * Zones of scope=global as a source of tokens.
 */


#include "src/tbucket/global/ngx_http_tbucket_global.h"
#include "src/tbucket/global/ngx_http_tbucket_global_call.h"
#include "src/tbucket/global/ngx_http_tbucket_global_client.h"
#include "src/tbucket/global/ngx_http_tbucket_global_join.h"
#include "src/tbucket/global/ngx_http_tbucket_global_take.h"
#include "src/tbucket/global/ngx_http_tbucket_global_wait.h"


static void ngx_http_tbucket_global_figures(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lending_t *lending);
static uint8_t *ngx_http_tbucket_global_secret(
    ngx_http_tbucket_zone_t *zone);


ngx_http_tbucket_source_t  ngx_http_tbucket_global = {
    NGX_HTTP_TBUCKET_LEASE_SIZE,
    ngx_http_tbucket_lease_create_zone,
    ngx_http_tbucket_lease_init_zone,
    ngx_http_tbucket_global_take,
    ngx_http_tbucket_global_peek,
    ngx_http_tbucket_global_wait,
    ngx_http_tbucket_global_charge,
    ngx_http_tbucket_global_give,
    ngx_http_tbucket_global_lend,
    ngx_http_tbucket_global_turn,
    ngx_http_tbucket_global_left,
    ngx_http_tbucket_global_retry,
    ngx_http_tbucket_global_refill,
    ngx_http_tbucket_global_tokens,
    ngx_http_tbucket_global_ask,
    ngx_http_tbucket_global_forget,
    ngx_http_tbucket_global_write,
    ngx_http_tbucket_global_figures,
    ngx_http_tbucket_global_create,
    ngx_http_tbucket_global_joined,
    ngx_http_tbucket_global_stop,
    ngx_http_tbucket_global_finish,
    ngx_http_tbucket_lease_anew,
    ngx_http_tbucket_global_secret
};


static void
ngx_http_tbucket_global_figures(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lending_t *lending)
{
    uint64_t                    degraded, nodes, share, since;
    ngx_uint_t                  i;
    ngx_http_tbucket_global_t  *g;

    ngx_memzero(lending, sizeof(ngx_http_tbucket_lending_t));

    for (i = 0; i < zone->shards; i++) {
        g = &zone->shared->global[i];

        lending->asked += atomic_load_explicit(&g->asked,
                                               memory_order_relaxed);
        lending->granted += atomic_load_explicit(&g->granted,
                                                 memory_order_relaxed);
        lending->returned += atomic_load_explicit(&g->returned,
                                                  memory_order_relaxed);
        lending->calls += atomic_load_explicit(&g->calls,
                                               memory_order_relaxed);

        degraded = atomic_load_explicit(&g->degraded, memory_order_relaxed);
        nodes = atomic_load_explicit(&g->nodes, memory_order_relaxed);

        lending->degraded = ngx_max(lending->degraded, degraded);
        lending->nodes = ngx_max(lending->nodes, nodes);

        lending->alone |= ngx_http_tbucket_lease_alone(zone, i, &share,
                                                       &since);
    }
}


static uint8_t *
ngx_http_tbucket_global_secret(ngx_http_tbucket_zone_t *zone)
{
    return zone->shared->global->secret;
}
