
/*
 * The variables of the limiter.
 */


#ifndef NGX_HTTP_TBUCKET_VARS_H
#define NGX_HTTP_TBUCKET_VARS_H


#include "src/tbucket/ngx_http_tbucket.h"


ngx_int_t ngx_http_tbucket_add_variables(ngx_conf_t *cf);


#endif /* NGX_HTTP_TBUCKET_VARS_H */
