
/*
 * What a client is told for whom there is no place.
 */


#ifndef NGX_HTTP_LB_REFUSE_H
#define NGX_HTTP_LB_REFUSE_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Sends 503 with Retry-After in so many seconds and a body in JSON, unless an
 * error_page is there for it.  Returns what ngx_http_finalize_request() is
 * to be given.
 */
ngx_int_t ngx_http_lb_refuse(ngx_http_request_t *r, ngx_uint_t seconds);

#if (NGX_HTTP_CACHE)

/*
 * Whether the request is to be answered with what there is in the cache, by
 * proxy_cache_use_stale and its like, instead of this status: that of a
 * refusal, or 502.
 */
ngx_uint_t ngx_http_lb_refuse_is_stale(ngx_http_request_t *r, ngx_int_t rc);

#endif


#endif /* NGX_HTTP_LB_REFUSE_H */
