
/*
 * The shared memory of a zone over its life.
 */


#ifndef NGX_HTTP_TBUCKET_ZONE_H
#define NGX_HTTP_TBUCKET_ZONE_H


#include "src/tbucket/ngx_http_tbucket.h"


ngx_int_t ngx_http_tbucket_init_zone(ngx_shm_zone_t *shm_zone, void *data);

/*
 * Carries over to a zone of this cycle what a zone of the same name but
 * another size held in the last one.  For init_module, when the new
 * configuration can no longer fail.
 */

void ngx_http_tbucket_inherit_zone(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone);


/* The zone of that name in the configuration that is in force; or NULL. */

ngx_http_tbucket_zone_t *ngx_http_tbucket_old_zone(
    ngx_http_tbucket_zone_t *zone);

/* Whether what one of them holds says nothing about the other. */

static ngx_inline ngx_uint_t
ngx_http_tbucket_zone_differs(ngx_http_tbucket_zone_t *a,
    ngx_http_tbucket_zone_t *b)
{
    return a->kind != b->kind || a->unit != b->unit
           || (a->kind == NGX_HTTP_TBUCKET_QUOTA
               && a->quota.period != b->quota.period);
}


#endif /* NGX_HTTP_TBUCKET_ZONE_H */
