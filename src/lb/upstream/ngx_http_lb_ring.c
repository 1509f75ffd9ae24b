
/*
 * The ring of an upstream with "lb hash KEY ketama" or "lb ip_hash".  It
 * depends on which servers there are and not on which are usable, so it is
 * seldom made.
 */


#include "src/lb/upstream/ngx_http_lb_ring.h"

#include "src/core/balance/lb_ip_hash.h"
#include "src/core/balance/lb_ketama.h"


void
ngx_http_lb_ring(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t      n;
    uint64_t      generation, members;
    lb_point_t   *spare;
    lb_ketama_t  *ring;

    generation = lb_roster_generation(lcf->roster);

    if (lcf->ring && lcf->ringed == generation) {
        return;
    }

    members = lb_ketama_members(lcf->roster);

    if (lcf->ring && lcf->ring->members == members) {
        lcf->ringed = generation;
        return;
    }

    n = lcf->ip_hash ? lb_roster_used(lcf->roster)
                     : lb_ketama_points(lcf->roster);

    ring = ngx_alloc(sizeof(lb_ketama_t) + n * sizeof(lb_point_t),
                     ngx_cycle->log);
    spare = ngx_alloc((n + 1) * sizeof(lb_point_t), ngx_cycle->log);

    if (ring && spare) {

        if (lcf->ip_hash) {
            lb_ip_hash_build(ring, lcf->roster, n, spare);

        } else {
            lb_ketama_build(ring, lcf->roster, n, spare);
        }

        if (lcf->ring) {
            ngx_free(lcf->ring);
        }

        lcf->ring = ring;
        lcf->ringed = generation;

    } else if (ring) {
        ngx_free(ring);
    }

    if (spare) {
        ngx_free(spare);
    }
}
