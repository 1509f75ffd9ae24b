
/*
 * The answers to writes of the APIs of clients and plans: what was made of the
 * client, or why nothing was.
 */


#ifndef NGX_HTTP_TBUCKET_WRITE_REPLY_H
#define NGX_HTTP_TBUCKET_WRITE_REPLY_H


#include "src/tbucket/clients/ngx_http_tbucket_write.h"


/*
 * Answers the write's request by its outcome, or says that it is unknown.
 * Returns what a content handler returns.
 */

ngx_int_t ngx_http_tbucket_write_reply(ngx_http_tbucket_write_t *write);
ngx_int_t ngx_http_tbucket_write_unknown(ngx_http_tbucket_write_t *write);


#endif /* NGX_HTTP_TBUCKET_WRITE_REPLY_H */
