
/*
 * Idle connections to servers, per worker: a stack for each slot, so that
 * keeping one and getting the most recently used one back take a time that
 * depends on neither the number of servers nor that of connections.
 *
 * A connection is of no use if the server has been out since, by whatever
 * reason: it may be another process, or another machine, now.
 *
 * All have the same time to live, so that the oldest is the next to close:
 * one timer for an upstream serves them all, and no request touches it.
 */


#ifndef NGX_HTTP_LB_IDLE_H
#define NGX_HTTP_LB_IDLE_H


#include "src/lb/ngx_http_lb.h"


typedef struct {
    ngx_queue_t                queue;    /* in its stack, or among the free */
    ngx_queue_t                age;      /* among all of the upstream */
    ngx_msec_t                 expires;
    ngx_connection_t          *connection;
    ngx_http_lb_srv_conf_t    *conf;
    ngx_http_lb_stack_t       *stack;
    ngx_http_lb_conn_key_t    *key;          /* in the connection's pool */
    uint32_t                   generation;   /* of the slot */
    uint64_t                   absences;     /* of the server */
} ngx_http_lb_idle_t;


/* Makes the stacks of a process, if connections are to be kept. */
ngx_int_t ngx_http_lb_idle_init(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);

/*
 * If connections are kept: closes the idle ones to servers that have left the
 * view since the last call.
 */
void ngx_http_lb_idle_sweep(ngx_http_lb_srv_conf_t *lcf);

/*
 * Keeps a connection to the server with the given index and generation, for
 * those that want one with the key.  NGX_ERROR: there is no memory.
 */
ngx_int_t ngx_http_lb_idle_add(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t generation, ngx_connection_t *c, ngx_http_lb_conn_key_t *key);

/* Takes a connection out, and closes it. */
void ngx_http_lb_idle_remove(ngx_http_lb_idle_t *idle);
void ngx_http_lb_idle_close(ngx_http_lb_idle_t *idle);

/* Whether its server has been replaced, or out, since it was last used. */
ngx_uint_t ngx_http_lb_idle_is_stale(ngx_http_lb_idle_t *idle,
    lb_server_t *server);

/* Whether the server has closed the connection, or says something unasked. */
ngx_uint_t ngx_http_lb_idle_is_closed(ngx_connection_t *c);

/* Whether requests do not go to the server, be it in a panic. */
ngx_uint_t ngx_http_lb_idle_is_out(ngx_http_lb_srv_conf_t *lcf,
    uint32_t index);


#endif /* NGX_HTTP_LB_IDLE_H */
