
/*
 * Headers of limited responses.
 */


#ifndef NGX_HTTP_TBUCKET_HEADERS_H
#define NGX_HTTP_TBUCKET_HEADERS_H


#include "src/tbucket/ngx_http_tbucket.h"


/* the name of a header and its length, for the functions below */
#define ngx_http_tbucket_name(name)  name, sizeof(name) - 1


/* Adds the headers of limited requests to every response there is. */

void ngx_http_tbucket_init_header_filter(void);

/* Adds a header with a value or a number; NULL without memory. */

ngx_table_elt_t *ngx_http_tbucket_add_value(ngx_http_request_t *r,
    const char *name, size_t len, u_char *begin, u_char *end);
ngx_table_elt_t *ngx_http_tbucket_add_number(ngx_http_request_t *r,
    const char *name, size_t len, uint64_t number);

/*
 * The RateLimit value up to the number of tokens that remain; an empty string
 * without memory.
 */

ngx_str_t ngx_http_tbucket_remaining_prefix(ngx_pool_t *pool,
    ngx_str_t *zone);


#endif /* NGX_HTTP_TBUCKET_HEADERS_H */
