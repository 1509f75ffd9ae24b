
/*
 * What the HTTP APIs of both modules say and read: replies and errors in
 * JSON, and the request's body in pieces.
 */


#ifndef NGX_GW_JSON_H
#define NGX_GW_JSON_H


#include "src/common/ngx_gw_text.h"
#include "src/core/text/gw_record.h"


/*
 * A reply that is being written: yajl_gen_*() calls on json->gen go to the
 * text.  Their results need no check: depth and types are ours, strings
 * that are not UTF-8 are refused as a whole (see ngx_gw_json_string()), and
 * a lack of memory shows when the reply is sent.
 */

typedef struct {
    yajl_gen          gen;
    ngx_gw_text_t     text;
    gw_json_arena_t   arena;
} ngx_gw_json_t;


/* A reply in memory of pool, or NULL. */

ngx_gw_json_t *ngx_gw_json_create(ngx_pool_t *pool);

/*
 * Strings for json->gen: a name or value that is a literal; and any bytes,
 * of which those that are not UTF-8 become U+FFFD.
 */

#define ngx_gw_json_literal(json, s)                                         \
    (void) yajl_gen_string((json)->gen, (const u_char *) s, sizeof(s) - 1)

void ngx_gw_json_string(ngx_gw_json_t *json, const u_char *data, size_t len);

/* Sends the reply; returns as ngx_gw_text_send() does. */

ngx_int_t ngx_gw_json_send(ngx_gw_json_t *json, ngx_http_request_t *r,
    ngx_uint_t status);

/* A reply without a body, such as 204. */

#define ngx_gw_json_send_empty(r, status)                                    \
    ngx_gw_text_send(NULL, r, status, NULL)

/*
 * {"code":STATUS,"message":"..."}, formatted as nginx's logger formats
 * (%V, %ui, ...), cut at 1024 bytes.  The response is complete: error_page
 * does not see it.  Returns as ngx_gw_text_send() does.
 */

ngx_int_t ngx_gw_json_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...);

/* 405 with "Allow: METHODS", a C string such as "GET, HEAD, POST". */

ngx_int_t ngx_gw_json_not_allowed(ngx_http_request_t *r, const char *methods);


/*
 * Whether the request's body is declared to be application/json, with or
 * without parameters.
 */

ngx_uint_t ngx_gw_json_is_declared(ngx_http_request_t *r);


/*
 * The body that ngx_http_read_client_request_body() has read, in pieces, be
 * it in memory or in a file; may be started again from the front.
 */

typedef struct {
    ngx_http_request_t  *request;
    ngx_chain_t         *in;        /* the buffer to go on with */
    off_t                offset;    /* of the file, if that is in one */
    u_char              *buf;       /* for what is read from files */
} ngx_gw_body_t;

#define NGX_GW_BODY_PIECE   16384   /* bytes a piece at most */
#define NGX_GW_BODY_PIECES  4       /* a pass, about a millisecond */

void ngx_gw_body_start(ngx_gw_body_t *body, ngx_http_request_t *r);

/*
 * NGX_OK and the next piece, of 1 .. NGX_GW_BODY_PIECE bytes, which is there
 * until the next call; NGX_DONE after the last; NGX_ERROR.
 */

ngx_int_t ngx_gw_body_next(ngx_gw_body_t *body, ngx_str_t *piece);

/*
 * Feeds a reader as many pieces as one pass of the event loop should take:
 * NGX_AGAIN, there are more; NGX_DONE, that was the last; NGX_DECLINED, the
 * reader has an error; NGX_ERROR.
 */

ngx_int_t ngx_gw_body_feed(ngx_gw_body_t *body, gw_record_t *reader);

/*
 * Whether nginx would answer this status with a page of "error_page", as
 * ngx_http_special_response_handler() decides it: then no body of ours.
 */

ngx_uint_t ngx_gw_json_has_page(ngx_http_request_t *r, ngx_uint_t status);


#endif /* NGX_GW_JSON_H */
