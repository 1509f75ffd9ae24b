
/*
 * Writing a state file.
 */


#ifndef NGX_HTTP_LB_STATE_SAVE_H
#define NGX_HTTP_LB_STATE_SAVE_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/*
 * Writes the file with the change in it, or reads it if memory may not be
 * what it says; says in save and its edit what has come of that.  For threads:
 * memory comes from malloc(), nothing is logged.
 */
void ngx_http_lb_state_save(ngx_http_lb_save_t *save);


#endif /* NGX_HTTP_LB_STATE_SAVE_H */
