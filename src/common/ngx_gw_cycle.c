
/*
 * Reloads.
 */


#include "src/common/ngx_gw_cycle.h"


ngx_int_t
ngx_gw_cycle_check(ngx_conf_t *cf, const char *module)
{
    /* a start has no process yet, and replaces what has no configuration */

    if (ngx_process != NGX_PROCESS_SINGLE
        || ngx_is_init_cycle(cf->cycle->old_cycle))
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "%s: with \"master_process off\" the configuration cannot "
                  "be reloaded, the old one stays: stop nginx and start it "
                  "again", module);

    return NGX_ERROR;
}
