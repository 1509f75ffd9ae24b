
/*
 * What the log says about servers.
 */


#ifndef NGX_HTTP_LB_LOG_H
#define NGX_HTTP_LB_LOG_H


#include "src/lb/ngx_http_lb.h"


/* reasons of changes */
#define NGX_HTTP_LB_LOG_API    "through the API"
#define NGX_HTTP_LB_LOG_FOUND  "its name has the address"
#define NGX_HTTP_LB_LOG_LOST   "its name has the address no more"


/* Whether the caller is the first within this second, of all processes. */
ngx_uint_t ngx_http_lb_log_once(_Atomic uint64_t *last);

/* Logs that a panic has begun or is over, once. */
void ngx_http_lb_log_panic(ngx_http_lb_srv_conf_t *lcf);

/* Logs that there is no server left. */
void ngx_http_lb_log_empty(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log);

/* Logs that a server was added or removed; lb_note_pt, data is the upstream. */
void ngx_http_lb_log_member(void *data, const lb_identity_t *identity,
    bool added);

/* The same, because of what is in the state file. */
void ngx_http_lb_log_read(void *data, const lb_identity_t *identity,
    bool added);

/* The same of one that was removed at runtime and has no requests left. */
void ngx_http_lb_log_gone(void *data, const lb_identity_t *identity,
    bool added);

/* Logs that a server is ADDED or DRAINING, and why.  Mutex. */
void ngx_http_lb_log_edit(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    const char *what, const char *reason);

/* Logs what the API has changed, given the status before.  Mutex. */
void ngx_http_lb_log_change(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t before);

/*
 * Keeps the reason for one or more bits of a server's status, to be shown.
 * Never waits: if the mutex is taken, there is none.
 */
void ngx_http_lb_log_reason(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    uint32_t bits, ngx_str_t *reason);


#endif /* NGX_HTTP_LB_LOG_H */
