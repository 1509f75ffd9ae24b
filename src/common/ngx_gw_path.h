
/*
 * Whose a path is.  What only root can have put somewhere is used as it is;
 * what others can is not to be followed with root's rights.
 */


#ifndef NGX_GW_PATH_H
#define NGX_GW_PATH_H


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Whether root and this process' user alone can change what is found under
 * an absolute path: the folder, those above it, and links on the way.
 */

ngx_uint_t ngx_gw_path_is_ours(const char *path);


#endif /* NGX_GW_PATH_H */
