
/*
 * The directive "tbucket", and those that go with its lines.
 */


#ifndef NGX_HTTP_TBUCKET_LIMIT_CONF_H
#define NGX_HTTP_TBUCKET_LIMIT_CONF_H


#include "src/tbucket/ngx_http_tbucket.h"


char *ngx_http_tbucket_conf_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Reads the line's numbers, once its zone is known, and warns of variables
 * that come too late.  NGX_OK, or NGX_ERROR after a line in the log about what
 * does not go with the zone.
 */

ngx_int_t ngx_http_tbucket_bind_limit(ngx_conf_t *cf,
    ngx_http_tbucket_limit_t *limit);

/* Notes in the main configuration that subrequests are limited somewhere. */

char *ngx_http_tbucket_note_subrequests(ngx_conf_t *cf, void *post,
    void *data);


#endif /* NGX_HTTP_TBUCKET_LIMIT_CONF_H */
