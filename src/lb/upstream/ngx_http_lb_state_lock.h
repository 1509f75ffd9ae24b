
/*
 * Who may write a state file.
 */


#ifndef NGX_HTTP_LB_STATE_LOCK_H
#define NGX_HTTP_LB_STATE_LOCK_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/*
 * The master makes this nginx the owner: NGX_OK, NGX_DECLINED after having
 * logged why it is not, or NGX_ERROR.  state->owner is set.
 */
ngx_int_t ngx_http_lb_state_own(ngx_cycle_t *cycle,
    ngx_http_lb_srv_conf_t *lcf);

/* Takes that over from the last configuration. */
ngx_int_t ngx_http_lb_state_own_on(ngx_cycle_t *cycle,
    ngx_http_lb_state_t *state, ngx_http_lb_state_t *old);

/* For other processes: the lock is to end with the master. */
void ngx_http_lb_state_disown(ngx_http_lb_srv_conf_t *lcf);

/*
 * Keeps others from writing until *fd is closed, unless that is -1, and says
 * whose the file is.  Waits up to 2 s for others; for threads.
 */
ngx_http_lb_owner_e ngx_http_lb_state_enter(ngx_http_lb_state_t *state,
    ngx_fd_t *fd);

/* Becomes the owner again after NGX_HTTP_LB_OWNER_GONE. */
ngx_int_t ngx_http_lb_state_claim(ngx_http_lb_state_t *state, ngx_fd_t fd);

/*
 * Whether another nginx has taken the state file over, as far as is known: a
 * call has that looked at if it was not for a second.  Never waits.
 */
ngx_uint_t ngx_http_lb_state_lost(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_STATE_LOCK_H */
