
/*
 * A text of unknown length that grows in a chain of buffers, to be sent as a
 * response.  JSON and Prometheus replies are written on top of it.
 */


#ifndef NGX_GW_TEXT_H
#define NGX_GW_TEXT_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* An allocation that fails is remembered; the text is refused when sent. */

typedef struct {
    ngx_pool_t    *pool;
    ngx_chain_t   *out;
    ngx_chain_t  **last_out;
    ngx_buf_t     *buf;             /* the last one */
    off_t          size;            /* bytes in all of them */
    unsigned       failed:1;
} ngx_gw_text_t;


void ngx_gw_text_init(ngx_gw_text_t *text, ngx_pool_t *pool);
void ngx_gw_text_append(ngx_gw_text_t *text, const void *data, size_t len);
void ngx_gw_text_printf(ngx_gw_text_t *text, const char *fmt, ...);

#define ngx_gw_text_literal(text, s)                                         \
    ngx_gw_text_append(text, s, sizeof(s) - 1)

/*
 * Sends the text as the response, with that status and type ("text" may be
 * NULL: no body and no type).  What there still is of the request's body
 * is discarded.  Conditions of the request (If-Match, ...) are ignored, as
 * the text has no validators.  Returns what a content handler returns, or
 * what ngx_http_finalize_request() is to be given by a body handler.
 */

ngx_int_t ngx_gw_text_send(ngx_gw_text_t *text, ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type);

/* Adds a header to the response; the strings have to live as long as r. */

ngx_int_t ngx_gw_add_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);


#endif /* NGX_GW_TEXT_H */
