
/*
 * Reading a state file.
 */


#ifndef NGX_HTTP_LB_STATE_READ_H
#define NGX_HTTP_LB_STATE_READ_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/*
 * Reads a state file into memory of pool; nothing is logged, no name is
 * looked up.  pending: of servers that are not there yet.  NGX_DECLINED: it
 * is no list of servers, list->error says why; NGX_ERROR: ngx_errno.
 */
ngx_int_t ngx_http_lb_state_read(ngx_http_lb_file_t *list, ngx_pool_t *pool,
    ngx_fd_t fd, ngx_uint_t pending);

/* What tells one file from the one that replaces it; not 0. */
uint64_t ngx_http_lb_state_stamp(const struct stat *st);


#endif /* NGX_HTTP_LB_STATE_READ_H */
