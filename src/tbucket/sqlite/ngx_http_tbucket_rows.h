
/*
 * What the processes of one nginx share about how a zone and the rows of its
 * database compare.  In the zone's shared memory, so that a reload keeps it and
 * a new zone begins with none of it.
 */


#ifndef NGX_HTTP_TBUCKET_ROWS_H
#define NGX_HTTP_TBUCKET_ROWS_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>

#include "src/common/ngx_gw_leader.h"


#define NGX_HTTP_TBUCKET_ROWS_EPOCH  40


/* Zeroed at first. */

typedef struct ngx_http_tbucket_rows_s {
    /* who looks for changes and saves; by compare-and-swap */
    _Alignas(64) ngx_gw_leader_t  leader;

    /*
     * Of the database that memory was last brought in line with, up to
     * which change; empty: with none.  By who holds the lock APPLY of that
     * database, under the zone's mutex.
     */
    char                         epoch[NGX_HTTP_TBUCKET_ROWS_EPOCH];
    _Atomic uint64_t             position;
} ngx_http_tbucket_rows_t;


static ngx_inline uint64_t
ngx_http_tbucket_rows_position(ngx_http_tbucket_rows_t *rows)
{
    return atomic_load_explicit(&rows->position, memory_order_acquire);
}


static ngx_inline void
ngx_http_tbucket_rows_advance(ngx_http_tbucket_rows_t *rows, uint64_t seq)
{
    atomic_store_explicit(&rows->position, seq, memory_order_release);
}


#endif /* NGX_HTTP_TBUCKET_ROWS_H */
