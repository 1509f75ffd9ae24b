
/*
 * A lease in shared memory: which one of the workers does a periodic job.
 * It ends by itself, so nothing has to be undone for a worker that died,
 * and the next one to ask takes it over.
 */


#ifndef NGX_GW_LEASE_H
#define NGX_GW_LEASE_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>


/*
 * Zeroed memory is a lease nobody holds.  High half: the holder's pid; low
 * half: when it ends, in ms modulo 2^32.  Written by compare-and-swap only.
 */

typedef struct {
    _Atomic uint64_t  word;
} ngx_gw_lease_t;


/*
 * Takes the lease for this process, or renews it, for term ms (at most
 * 2^31) from ngx_current_msec; returns 1 if this process holds it now.  It
 * is free for taking when it has ended or its holder does not exist.
 */

ngx_uint_t ngx_gw_lease_hold(ngx_gw_lease_t *lease, ngx_msec_t term);

/* Takes the lease for term ms, whoever holds it. */

void ngx_gw_lease_seize(ngx_gw_lease_t *lease, ngx_msec_t term);

/* Whether nobody holds the lease, this process included. */

ngx_uint_t ngx_gw_lease_is_free(ngx_gw_lease_t *lease);

/* Gives the lease up if this process holds it. */

void ngx_gw_lease_release(ngx_gw_lease_t *lease);

/* Whether this process should keep off jobs done under a lease. */

#define ngx_gw_is_leaving()  (ngx_exiting || ngx_terminate || ngx_quit)

/* Whether this process is one that serves requests. */

#define ngx_gw_is_worker()                                                   \
    (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE)


#endif /* NGX_GW_LEASE_H */
