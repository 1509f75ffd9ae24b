
/*
 * Leases of places for requests in flight in shared memory: what is done with
 * them in another way than with those of tokens, since a bucket of which places
 * are in use keeps its slot and its lease.
 */


#ifndef NGX_HTTP_TBUCKET_LEASE_PLACES_H
#define NGX_HTTP_TBUCKET_LEASE_PLACES_H


#include "src/tbucket/global/ngx_http_tbucket_lease.h"


/*
 * What is leased of a shard is void: buckets are freed, and those of which
 * places are in use have none that is leased, and leases as new ones.
 */

void ngx_http_tbucket_places_clear(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard);

/* What is left of a shard has no name in Redis until there is a request. */

void ngx_http_tbucket_places_unname(ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shard);

/* With the mutex held: has room made for a new key; 0: there is none. */

ngx_uint_t ngx_http_tbucket_places_yield(ngx_http_tbucket_zone_t *zone,
    const tb_hash_t *h);

/*
 * With the mutex held: the places that a bucket has by now, if the node is
 * alone.
 */

void ngx_http_tbucket_places_credit(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_lease_t *l);

/*
 * The ticker's part where the node is alone: the same for all buckets; those
 * that it does not use are freed.
 */

void ngx_http_tbucket_places_sweep(ngx_http_tbucket_zone_t *zone);


#endif /* NGX_HTTP_TBUCKET_LEASE_PLACES_H */
