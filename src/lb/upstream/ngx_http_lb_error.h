
/*
 * Errors that say nothing about a server.
 */


#ifndef NGX_HTTP_LB_ERROR_H
#define NGX_HTTP_LB_ERROR_H


#include <ngx_config.h>
#include <ngx_core.h>


/* Whether an error of a connection is for want of something here. */

static ngx_inline ngx_uint_t
ngx_http_lb_error_is_local(ngx_err_t err)
{
    switch (err) {

    case EADDRNOTAVAIL:
    case NGX_EADDRINUSE:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case NGX_ENOMEM:
        return 1;

    default:
        return 0;
    }
}


#endif /* NGX_HTTP_LB_ERROR_H */
