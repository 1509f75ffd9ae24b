
/*
 * The decision as most requests with several limits need it, or with one that
 * is not a rate.
 */


#ifndef NGX_HTTP_TBUCKET_FAST_H
#define NGX_HTTP_TBUCKET_FAST_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * As ngx_http_tbucket_decide() where all limits admit, each bucket is found
 * where a search begins, and nobody changes one meanwhile: NGX_OK.
 * NGX_DECLINED: something is not like that, nothing is charged or counted, and
 * all is to be decided from the start.
 */

ngx_gw_noinline ngx_int_t ngx_http_tbucket_decide_fast(ngx_http_request_t *r,
    ngx_array_t *limits, ngx_http_tbucket_ctx_t *ctx);


#endif /* NGX_HTTP_TBUCKET_FAST_H */
