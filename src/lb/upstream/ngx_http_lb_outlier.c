
/*
 * Ejections: making one, and ending those whose time is over, by a timer that
 * each worker has.
 */


#include "src/lb/upstream/ngx_http_lb_outlier.h"

#include "src/common/ngx_gw_leader.h"
#include "src/lb/upstream/ngx_http_lb_build.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


/* ms between two looks at ejections that other processes have made */
#define NGX_HTTP_LB_OUTLIER_LOOK  1000


/* of the process, not of a configuration that may be freed under it */

static ngx_event_t       ngx_http_lb_outlier_event;
static ngx_connection_t  ngx_http_lb_outlier_dummy;


static ngx_uint_t ngx_http_lb_outlier_wanted(ngx_http_lb_main_conf_t *lmcf);
static void ngx_http_lb_outlier_timer(ngx_event_t *ev);
static ngx_msec_t ngx_http_lb_outlier_return(ngx_http_lb_srv_conf_t *lcf,
    ngx_msec_t max);


void
ngx_http_lb_outlier_init(ngx_cycle_t *cycle, ngx_http_lb_main_conf_t *lmcf)
{
    ngx_event_t  *ev;

    ev = &ngx_http_lb_outlier_event;

    ngx_http_lb_outlier_dummy.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_lb_outlier_timer;
    ev->data = &ngx_http_lb_outlier_dummy;
    ev->log = cycle->log;
    ev->cancelable = 1;

    if (ngx_http_lb_outlier_wanted(lmcf)) {
        ngx_add_timer(ev, NGX_HTTP_LB_OUTLIER_LOOK);
    }
}


static ngx_uint_t
ngx_http_lb_outlier_wanted(ngx_http_lb_main_conf_t *lmcf)
{
    ngx_uint_t                i;
    ngx_http_lb_srv_conf_t  **lcfp;

    lcfp = lmcf->upstreams.elts;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {

        if (lcfp[i]->outlier.errors != 0) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_lb_outlier_eject(ngx_http_lb_srv_conf_t *lcf, uint32_t index)
{
    ngx_uint_t  ejected;

    if (!ngx_shmtx_trylock(&lcf->shpool->mutex)) {
        return NGX_DECLINED;
    }

    ejected = lb_outlier_eject(lcf->roster, &lcf->outlier, index,
                               ngx_current_msec);

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    if (!ejected) {
        return NGX_DECLINED;
    }

    ngx_http_lb_build(lcf);

    if (lcf->outlier.ejection < NGX_HTTP_LB_OUTLIER_LOOK) {
        ngx_add_timer(&ngx_http_lb_outlier_event, lcf->outlier.ejection);
    }

    return NGX_OK;
}


static void
ngx_http_lb_outlier_timer(ngx_event_t *ev)
{
    ngx_uint_t                i;
    ngx_msec_t                next;
    ngx_http_lb_main_conf_t  *lmcf;
    ngx_http_lb_srv_conf_t  **lcfp;

    lmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_lb_upstream_module);
    if (lmcf == NULL) {
        return;
    }

    lcfp = lmcf->upstreams.elts;
    next = NGX_HTTP_LB_OUTLIER_LOOK;

    for (i = 0; i < lmcf->upstreams.nelts; i++) {
        next = ngx_http_lb_outlier_return(lcfp[i], next);
    }

    if (!ngx_gw_is_leaving()) {
        ngx_add_timer(ev, next);
    }
}


/* Ends those that are over; the ms to the next end, at most max. */

static ngx_msec_t
ngx_http_lb_outlier_return(ngx_http_lb_srv_conf_t *lcf, ngx_msec_t max)
{
    uint32_t        index, from;
    uint64_t        next;
    ngx_str_t       name;
    lb_count_t      left;
    lb_identity_t  *identity;

    if (lcf->outlier.errors == 0) {
        return max;
    }

    from = 0;

    for ( ;; ) {
        index = lb_outlier_return(lcf->roster, ngx_current_msec, &from, &next);

        if (index == LB_NONE) {
            break;
        }

        ngx_http_lb_build(lcf);

        left = lb_roster_count(lcf->roster);
        identity = lb_roster_identity(lcf->roster, index);

        name.len = identity->name_length;
        name.data = (u_char *) identity->name;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "lb: server %V in upstream \"%V\" is up: "
                      "its ejection is over; %uD of %uD servers left",
                      &name, &lcf->upstream->host, left.usable, left.total);
    }

    if (next >= ngx_current_msec + max) {
        return max;
    }

    return ngx_max(next - ngx_current_msec, 1);
}
