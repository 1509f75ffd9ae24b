
/*
 * What came of a request's decision hangs on its pool as a clean-up, since
 * internal redirects clear the contexts of modules.
 */


#include "src/tbucket/request/ngx_http_tbucket_ctx.h"


ngx_http_tbucket_ctx_t *
ngx_http_tbucket_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_tbucket_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


void
ngx_http_tbucket_cleanup(void *data)
{
    return;
}
