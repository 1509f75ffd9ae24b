
/*
 * Refusals in the terms of gRPC, whose clients look at no status of HTTP.
 */


#ifndef NGX_GW_GRPC_H
#define NGX_GW_GRPC_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* status codes of gRPC */
#define NGX_GW_GRPC_DENIED           7
#define NGX_GW_GRPC_EXHAUSTED        8
#define NGX_GW_GRPC_UNAVAILABLE      14
#define NGX_GW_GRPC_UNAUTHENTICATED  16


/* application/grpc, application/grpc+proto, application/grpc-web, ... */

ngx_uint_t ngx_gw_grpc_is_declared(ngx_http_request_t *r);

/*
 * Sends headers alone, with the status that gRPC has in the trailers of other
 * responses: "Trailers-Only" of the gRPC protocol over HTTP/2.  The client may
 * try again after "pushback" ms; below 0, never.  Returns as
 * ngx_http_send_header() does.
 */

ngx_int_t ngx_gw_grpc_send(ngx_http_request_t *r, ngx_uint_t status,
    const char *message, int64_t pushback);


#endif /* NGX_GW_GRPC_H */
