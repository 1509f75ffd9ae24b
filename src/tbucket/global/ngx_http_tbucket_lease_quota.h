
/*
 * Leases of quotas; mutex held.  word and limits: as
 * ngx_http_tbucket_lease_read() has them.
 */


#ifndef NGX_HTTP_TBUCKET_LEASE_QUOTA_H
#define NGX_HTTP_TBUCKET_LEASE_QUOTA_H


#include "src/tbucket/global/ngx_http_tbucket_lease.h"


/* Adds to the word what it gets while the node is alone: once, most µtok. */

void ngx_http_tbucket_lease_quota_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, uint64_t share, uint64_t most);

/*
 * Remembers what is left, before the lease goes: nothing to be taken alone, if
 * that has been done.  careful: Redis does not know what has been used.
 */

void ngx_http_tbucket_lease_quota_note(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits, ngx_uint_t careful);


#endif /* NGX_HTTP_TBUCKET_LEASE_QUOTA_H */
