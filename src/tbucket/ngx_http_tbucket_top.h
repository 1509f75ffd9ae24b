
/*
 * Who is refused most in a zone, and who is seen most: counters of the last
 * minutes in the zone's memory, with the ids.
 */


#ifndef NGX_HTTP_TBUCKET_TOP_H
#define NGX_HTTP_TBUCKET_TOP_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/limit/tb_top.h"
#include "src/tbucket/ngx_http_tbucket.h"


/* keys go by their hash to so many parts, each with a lock of its own */
#define NGX_HTTP_TBUCKET_TOP_PARTS  4


typedef enum {
    NGX_HTTP_TBUCKET_TOP_REJECTED = 0,  /* refusals; beside: admissions */
    NGX_HTTP_TBUCKET_TOP_REQUESTS       /* all; beside: refusals */
} ngx_http_tbucket_top_e;


/* Admissions that this process lets pass until it counts one for them. */

extern ngx_uint_t  ngx_http_tbucket_top_pass;


/*
 * Bytes of a zone of that size for its counters: 1/32 of it, at most 128k, in
 * whole pages; 0 of one under 256k.
 */

size_t ngx_http_tbucket_top_size(size_t zone);

/* Makes counters of size bytes of memory. */

ngx_http_tbucket_top_t *ngx_http_tbucket_top_create(void *mem, size_t size);

/*
 * Counts a charge, if the zone has counters and it is somebody's; what is
 * below decides.
 */

void ngx_http_tbucket_top_count(ngx_http_tbucket_charge_t *charge);

/* Of admissions counts one of 64 on average, at random, for all of them. */

static ngx_inline void
ngx_http_tbucket_top_see_passed(ngx_http_tbucket_charge_t *charge)
{
    if (--ngx_http_tbucket_top_pass == 0) {
        ngx_http_tbucket_top_count(charge);
    }
}


/* The most rows that there can be of one kind. */

ngx_uint_t ngx_http_tbucket_top_rows(ngx_http_tbucket_top_t *top,
    ngx_http_tbucket_top_e kind);

/*
 * Adds those of part n to rows, of which there are *nrows: NGX_OK, or NGX_AGAIN
 * if somebody is at it, for some microseconds.
 */

ngx_int_t ngx_http_tbucket_top_read(ngx_http_tbucket_top_t *top,
    ngx_http_tbucket_top_e kind, ngx_uint_t n, tb_top_row_t *rows,
    size_t *nrows);

/*
 * The id of a client that is counted, by its hash.lo, put into TB_TOP_ID
 * bytes at id->data: NGX_OK, NGX_DECLINED, NGX_AGAIN.
 */

ngx_int_t ngx_http_tbucket_top_id(ngx_http_tbucket_top_t *top, uint64_t lo,
    ngx_str_t *id);

/*
 * Since when (unix time) a client that is refused evenly would have come to
 * its count.
 */

time_t ngx_http_tbucket_top_since(ngx_http_tbucket_top_t *top);


#endif /* NGX_HTTP_TBUCKET_TOP_H */
