
/*
 * Processes that have died with requests under way.
 */


#include "src/lb/request/ngx_http_lb_dead.h"


static ngx_uint_t ngx_http_lb_dead_is(lb_row_t *row);


void
ngx_http_lb_dead_settle(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t   i, used;
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);
    used = gw_load_acquire(load.used);

    for (i = 0; i < used; i++) {

        if (ngx_http_lb_dead_is(&load.rows[i])) {
            (void) lb_load_settle(&load, &load.rows[i]);
        }
    }
}


void
ngx_http_lb_dead_look(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t   i, used;
    lb_load_t  load;

    load = lb_roster_load(lcf->roster);
    used = gw_load_acquire(load.used);

    for (i = 0; i < used; i++) {

        if (!ngx_http_lb_dead_is(&load.rows[i])) {
            continue;
        }

        if (ngx_shmtx_trylock(&lcf->shpool->mutex)) {
            ngx_http_lb_dead_settle(lcf);
            ngx_shmtx_unlock(&lcf->shpool->mutex);
        }

        return;
    }
}


/*
 * A process id may have been used again, but whoever has our process slot
 * has it after that process.
 */

static ngx_uint_t
ngx_http_lb_dead_is(lb_row_t *row)
{
    uint32_t  owner;

    owner = gw_load_acquire(&row->owner);

    if (owner == 0 || owner == (uint32_t) ngx_pid) {
        return 0;
    }

    return gw_load_acquire(&row->slot) == (uint32_t) ngx_process_slot
           || (kill((ngx_pid_t) owner, 0) == -1 && ngx_errno == NGX_ESRCH);
}
