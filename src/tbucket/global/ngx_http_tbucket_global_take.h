
/*
 * Decisions about leased buckets; see ngx_http_tbucket_source_t, of which all
 * of these are operations.
 */


#ifndef NGX_HTTP_TBUCKET_GLOBAL_TAKE_H
#define NGX_HTTP_TBUCKET_GLOBAL_TAKE_H


#include "src/tbucket/global/ngx_http_tbucket_global.h"


ngx_int_t ngx_http_tbucket_global_take(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx);
ngx_int_t ngx_http_tbucket_global_peek(ngx_http_tbucket_charge_t *c,
    ngx_http_tbucket_ctx_t *ctx);
uint64_t ngx_http_tbucket_global_charge(ngx_http_tbucket_charge_t *c,
    uint64_t utok, tb_result_t *result);
void ngx_http_tbucket_global_give(ngx_http_tbucket_charge_t *c,
    uint64_t utok);
ngx_uint_t ngx_http_tbucket_global_lend(ngx_http_tbucket_charge_t *c);
uint64_t ngx_http_tbucket_global_turn(ngx_http_tbucket_charge_t *c);
uint64_t ngx_http_tbucket_global_left(ngx_http_tbucket_charge_t *c);
uint64_t ngx_http_tbucket_global_retry(ngx_http_tbucket_charge_t *c);
int64_t ngx_http_tbucket_global_tokens(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h, const tb_result_t *bucket);
void ngx_http_tbucket_global_refill(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_GLOBAL_TAKE_H */
