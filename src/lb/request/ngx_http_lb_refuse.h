
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


#endif /* NGX_HTTP_LB_REFUSE_H */
