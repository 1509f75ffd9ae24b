
/*
 * Large memory of a pool that goes back to the system bit by bit: to unmap
 * tens of megabytes at once would hold up the event loop.
 */


#ifndef NGX_HTTP_TBUCKET_PAGES_H
#define NGX_HTTP_TBUCKET_PAGES_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * size bytes of zeroed memory that lasts as long as the pool, or NULL.  What
 * is not used of it is not touched, so it may well be too much.
 */

void *ngx_http_tbucket_pages_alloc(ngx_pool_t *pool, size_t size);


#endif /* NGX_HTTP_TBUCKET_PAGES_H */
