
/*
 * What a zone that was in use before it had its database gives to that.
 */


#ifndef NGX_HTTP_TBUCKET_SQLITE_GIVE_H
#define NGX_HTTP_TBUCKET_SQLITE_GIVE_H


#include "src/tbucket/clients/ngx_http_tbucket_clients.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_db.h"


/*
 * If the database does not know the zone yet: the clients and plans of that
 * become rows, but where there are rows of the same ids already, and the zone
 * is known from now on, with last as the change before it.  Blocks; the caller
 * has a transaction that writes.  NGX_OK, or NGX_ERROR with db->error set.
 */

ngx_int_t ngx_http_tbucket_sqlite_give(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t last);


#endif /* NGX_HTTP_TBUCKET_SQLITE_GIVE_H */
