
/*
 * The SQLite store in the master: loading, and the last save.
 */


#ifndef NGX_HTTP_TBUCKET_SQLITE_LOAD_H
#define NGX_HTTP_TBUCKET_SQLITE_LOAD_H


#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite.h"


/*
 * In the master: has a child that has the rights of the workers' user load
 * all zones that are new, or save the states of tokens; waits for it as long
 * as it goes on.  NGX_OK, or NGX_ERROR after a log line.
 */

ngx_int_t ngx_http_tbucket_sqlite_load(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);
void ngx_http_tbucket_sqlite_finish(ngx_http_tbucket_store_t *store,
    ngx_cycle_t *cycle);


#endif /* NGX_HTTP_TBUCKET_SQLITE_LOAD_H */
