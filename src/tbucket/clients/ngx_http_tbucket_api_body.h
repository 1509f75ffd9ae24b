
/*
 * The body of a POST, PUT or PATCH as the changes of a write.
 */


#ifndef NGX_HTTP_TBUCKET_API_BODY_H
#define NGX_HTTP_TBUCKET_API_BODY_H


#include "src/tbucket/clients/ngx_http_tbucket_write.h"


/* For a body that nginx has read, in memory of r->pool; or NULL. */

ngx_http_tbucket_body_t *ngx_http_tbucket_body_create(ngx_http_request_t *r,
    ngx_http_tbucket_write_t *write);

/*
 * Reads what one pass of the event loop should take into write->changes;
 * makes the write a BULK if it is an array.  NGX_OK: that was all; NGX_AGAIN;
 * NGX_DECLINED: it is not what it has to be; NGX_ERROR.
 */

ngx_int_t ngx_http_tbucket_body_read(ngx_http_tbucket_body_t *body);

/* What is wrong and where, after NGX_DECLINED. */

const char *ngx_http_tbucket_body_error(ngx_http_tbucket_body_t *body);


#endif /* NGX_HTTP_TBUCKET_API_BODY_H */
