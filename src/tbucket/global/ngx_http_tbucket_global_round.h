
/*
 * What goes into a call to Redis.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_ROUND_H
#define NGX_HTTP_TBUCKET_GLOBAL_ROUND_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


/* Begins a round when one is due: as often as the smallest bucket needs. */

void ngx_http_tbucket_global_plan(ngx_http_tbucket_asking_t *a);

/*
 * These add to the call: what requests wait for, here and in other workers;
 * what displaced buckets held, which is nobody's; what is due, as far as the
 * round gets in one pass.
 */

void ngx_http_tbucket_global_askers(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_told(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_dropped(ngx_http_tbucket_asking_t *a);
void ngx_http_tbucket_global_round(ngx_http_tbucket_asking_t *a);

/*
 * Whether a beat may go: where calls about buckets are refused, one without
 * any would say nothing about leases, so that it gets one; 0: none is free.
 */

ngx_uint_t ngx_http_tbucket_global_proves(ngx_http_tbucket_asking_t *a);

/*
 * Prints the bucket's key in Redis; h is the client's keyed hash.  Where there
 * are quotas each window has a bucket of its own, which is named by the second
 * that its first minute began.  The length is that for each.
 */

#define ngx_http_tbucket_global_key_len(rz)                                  \
    ((rz)->bucket.len + 1 + 32                                               \
     + ((rz)->zone->kind == NGX_HTTP_TBUCKET_QUOTA ? 1 + 12 : 0))

void ngx_http_tbucket_global_key(ngx_http_tbucket_rzone_t *rz, u_char *key,
    const tb_hash_t *h, uint64_t window);

/* Puts into the head of a call which window is in force, if there are any. */

void ngx_http_tbucket_global_window(ngx_http_tbucket_zone_t *zone,
    unsigned char *head);

/* The arguments of a call about entries [0, n); leave: and the last one. */

void ngx_http_tbucket_global_args(ngx_http_tbucket_asking_t *a,
    ngx_uint_t leave);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_ROUND_H */
