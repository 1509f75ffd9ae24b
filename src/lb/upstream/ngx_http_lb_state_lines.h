
/*
 * Server lines, and what a state file says.
 */


#ifndef NGX_HTTP_LB_STATE_LINES_H
#define NGX_HTTP_LB_STATE_LINES_H


#include "src/lb/upstream/ngx_http_lb_state.h"


/* How many slots a new roster needs for the lines and the state file. */
uint32_t ngx_http_lb_state_need(ngx_http_lb_srv_conf_t *lcf);

/*
 * Puts into a new roster what it begins with: the list of the file, if there
 * is one, and the lines.  NGX_ERROR: there is not enough room.
 */
ngx_int_t ngx_http_lb_state_seed(ngx_http_lb_srv_conf_t *lcf);

/*
 * Brings servers in line with a new configuration, and logs which lines
 * differ from what a state file keeps.  Mutex; then a build.
 */
void ngx_http_lb_state_apply(ngx_http_lb_srv_conf_t *lcf);

/* Logs which server lines differ from the list in force. */
void ngx_http_lb_state_compare(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log);

/* roster->kept of an upstream with this configuration */
uint64_t ngx_http_lb_state_key(ngx_http_lb_srv_conf_t *lcf);

/* Adds what the file has as names to the lines; looks names up. */
ngx_int_t ngx_http_lb_state_names(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf);

/*
 * Makes servers those of a file that was read, and then brings them in line
 * with the lines.  Mutex; then a build.
 */
void ngx_http_lb_state_adopt(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_file_t *list);


#endif /* NGX_HTTP_LB_STATE_LINES_H */
