
/*
 * What a new configuration may take the place of.
 */


#ifndef NGX_GW_CYCLE_H
#define NGX_GW_CYCLE_H


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * For the end of a configuration: NGX_ERROR, and a message that names the
 * module, if it would replace one in the same process ("master_process off"
 * and a reload).  nginx neither ends nor begins a process then: it takes no
 * more connections, and our timers would outlive the memory they are in.
 */

ngx_int_t ngx_gw_cycle_check(ngx_conf_t *cf, const char *module);


#endif /* NGX_GW_CYCLE_H */
