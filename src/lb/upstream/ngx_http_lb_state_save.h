
/*
 * Writing a state file.
 */


#ifndef NGX_HTTP_LB_STATE_SAVE_H
#define NGX_HTTP_LB_STATE_SAVE_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/*
 * Writes the file with the change in it, or reads it if memory may not be
 * what it says; state->save.done() is called.
 */
void ngx_http_lb_state_save(ngx_http_lb_srv_conf_t *lcf);


#endif /* NGX_HTTP_LB_STATE_SAVE_H */
