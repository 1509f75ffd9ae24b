
/*
 * The leader: which one of the workers does a job for all of them.  Its term
 * ends by itself, so nothing has to be undone for a worker that died, and
 * the next one to claim the job takes it over.
 */


#ifndef NGX_GW_LEADER_H
#define NGX_GW_LEADER_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdatomic.h>


/*
 * In shared memory; zeroed memory is a job without a leader.  High half: the
 * leader's pid; low half: when its term ends, in ms modulo 2^32.  Written by
 * compare-and-swap only.
 */

typedef struct {
    _Atomic uint64_t  word;
} ngx_gw_leader_t;


/*
 * Makes this process the leader, or prolongs its term, for term ms (at most
 * 2^31) from ngx_current_msec; returns 1 if it is the leader now.  Another
 * one's claim stands until its term has ended or it does not exist any more.
 */

ngx_uint_t ngx_gw_leader_claim(ngx_gw_leader_t *leader, ngx_msec_t term);

/* Makes this process the leader for term ms, whoever is. */

void ngx_gw_leader_seize(ngx_gw_leader_t *leader, ngx_msec_t term);

/* Ends the term if this process is the leader. */

void ngx_gw_leader_resign(ngx_gw_leader_t *leader);

/* Whether this process should keep off the jobs of a leader. */

#define ngx_gw_is_leaving()  (ngx_exiting || ngx_terminate || ngx_quit)

/* Whether this process is one that serves requests. */

#define ngx_gw_is_worker()                                                   \
    (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE)


#endif /* NGX_GW_LEADER_H */
