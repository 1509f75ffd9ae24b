
/*
 * A zone of requests in flight whose size has changed: old workers go on with
 * the memory that they have, and give places back to that.  The master keeps
 * it mapped for the new ones, of whom one counts these requests as its own
 * until they are over (tb_guests.h).
 */


#ifndef NGX_HTTP_TBUCKET_GUESTS_H
#define NGX_HTTP_TBUCKET_GUESTS_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * In the master, when a reload has succeeded: old is the zone of the cycle
 * before, with other memory or with the same.
 */

void ngx_http_tbucket_guests_inherit(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone, ngx_http_tbucket_zone_t *old);

/*
 * For a worker that has a row in the zone's ledger, when it begins and at each
 * tick: goes on with the guests, or takes over from a worker that has gone,
 * as much as can be done until then (us), 0: all.
 */

void ngx_http_tbucket_guests_follow(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own, uint64_t until);

/* For a worker that exits: another one may take over. */

void ngx_http_tbucket_guests_leave(ngx_http_tbucket_zone_t *zone,
    tb_ledger_own_t *own);


#endif /* NGX_HTTP_TBUCKET_GUESTS_H */
