
/*
 * What a language model's answer says that it has used.
 */


#ifndef NGX_HTTP_TBUCKET_USAGE_H
#define NGX_HTTP_TBUCKET_USAGE_H


#include "src/tbucket/ngx_http_tbucket.h"


/* A module of its own, for its place among the filters of bodies. */

extern ngx_module_t  ngx_http_tbucket_usage_filter_module;

/* Notes in the main configuration that responses are read somewhere. */

char *ngx_http_tbucket_note_usage(ngx_conf_t *cf, void *post, void *data);

/* One of the $tbucket_usage_* variables; data: a tb_usage_number_t. */

ngx_int_t ngx_http_tbucket_used_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


#endif /* NGX_HTTP_TBUCKET_USAGE_H */
