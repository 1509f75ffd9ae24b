
/*
 * Values of parameters, for the directives of upstreams.
 */


#ifndef NGX_HTTP_LB_VALUE_H
#define NGX_HTTP_LB_VALUE_H


#include <ngx_config.h>
#include <ngx_core.h>


/* A time of at most a day in ms: NGX_OK, or NGX_ERROR. */
ngx_int_t ngx_http_lb_value_time(ngx_str_t *s, uint64_t *time);

/* A percentage of at most 100, with or without the sign. */
ngx_int_t ngx_http_lb_value_percent(ngx_str_t *s, uint32_t *percent);


#endif /* NGX_HTTP_LB_VALUE_H */
