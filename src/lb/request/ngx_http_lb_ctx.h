
/*
 * The state of a request on its way through an upstream.
 */


#ifndef NGX_HTTP_LB_CTX_H
#define NGX_HTTP_LB_CTX_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/balance/lb_passive.h"
#include "src/lb/ngx_http_lb.h"


#define NGX_HTTP_LB_TRIED          8


/*
 * A request on its way through an upstream, found again through the pool's
 * list of clean-ups.
 */

typedef struct {
    ngx_pool_cleanup_t            cleanup;
    ngx_http_request_t           *request;
    ngx_http_lb_srv_conf_t       *conf;
    ngx_http_lb_queue_t          *queue;      /* NULL: it does not wait */
    struct ngx_http_lb_parked_s  *parked;     /* NULL: it never had to wait */
    ngx_msec_t                    waited;
    lb_ask_t                      ask;

    uint64_t                      sid;        /* that it wants, or 0 */
    uint64_t                      picked;     /* of the last server */
    uint64_t                      session;    /* that was learned, or 0 */
    ngx_table_elt_t              *cookie;     /* of lb_sticky, or NULL */

    uint32_t                      index;      /* held now, or LB_NONE */
    uint32_t                      generation; /* of the slot */
    ngx_msec_t                    held_at;    /* the server, since when */
    lb_how_t                      how;
    uint32_t                      attempts;
    unsigned                      stale:27;   /* attempts that do not count */
    unsigned                      keyless:1;  /* of a method that has a key */
    unsigned                      fresh:1;    /* takes no kept connection */
    unsigned                      broken:1;   /* the response has no end */
    unsigned                      turn:1;     /* it is its turn to get one */
    unsigned                      total:1;    /* counted by lb_gate_take() */
    uint32_t                      failed_index;
    ngx_str_t                     name;       /* last picked; in r->pool */

    /* the failure that the next attempt follows, failed.len 0: none */
    ngx_str_t                     failed;

    ngx_http_lb_conn_key_t       *key;        /* of a kept connection */

    ngx_str_t                     reason;     /* as nginx has logged it */
    const char                   *error;      /* of RFC 9209, or NULL */
    u_char                       *text;       /* LB_REASON_MAX, or NULL */

    ngx_http_log_handler_pt       log_handler;
    void                        (*finalize)(ngx_http_request_t *r,
                                            ngx_int_t rc);
    uint16_t                      tried[NGX_HTTP_LB_TRIED];

    /* what nginx is told of the server of the first attempt */
    ngx_str_t                     first;
    u_char                        first_name[LB_NAME_MAX];
} ngx_http_lb_ctx_t;


/* The state of a request that holds no server yet, or NULL. */
ngx_http_lb_ctx_t *ngx_http_lb_ctx_create(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf);

/* The latest one of a request, or NULL. */
ngx_http_lb_ctx_t *ngx_http_lb_ctx_get(ngx_http_request_t *r);

/* The next one, from cln on, of the pool's clean-ups; *cln moves behind it. */
ngx_http_lb_ctx_t *ngx_http_lb_ctx_next(ngx_pool_cleanup_t **cln);

/* Gives the server back that it holds. */
void ngx_http_lb_ctx_release(ngx_http_lb_ctx_t *ctx);


/* The same if it holds one. */

static ngx_inline void
ngx_http_lb_ctx_drop(ngx_http_lb_ctx_t *ctx)
{
    if (ctx->index != LB_NONE) {
        ngx_http_lb_ctx_release(ctx);
    }
}


#endif /* NGX_HTTP_LB_CTX_H */
