
/*
 * What a client, or a plan, is given, in the columns of its row.  Not here:
 * which rows there are.
 */


#ifndef NGX_HTTP_TBUCKET_COLUMNS_H
#define NGX_HTTP_TBUCKET_COLUMNS_H


#include "src/tbucket/ngx_http_tbucket.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"


/*
 * capacity, rate_per_sec, quota and inflight from column n on, and for a
 * client plan, blocked and unlimited after them, as members of *c, whose id
 * stays: NGX_OK, or NGX_ERROR if the zone's API would refuse them.
 */

ngx_int_t ngx_http_tbucket_columns_read(sqlite3_stmt *stmt, int n,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, tb_client_t *c);

/* Binds the same as parameters from n on. */

void ngx_http_tbucket_columns_bind(sqlite3_stmt *stmt, int n,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, const tb_client_t *c);


#endif /* NGX_HTTP_TBUCKET_COLUMNS_H */
