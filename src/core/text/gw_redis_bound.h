
/*
 * What is accepted of a server: a reply takes no more memory than what was
 * asked for may need, is nested no deeper than anything that is asked for,
 * and was asked for at all.  For both kinds of connections.
 */


#ifndef NGX_GW_REDIS_BOUND_H
#define NGX_GW_REDIS_BOUND_H


#include <ngx_config.h>
#include <ngx_core.h>

#include <hiredis/hiredis.h>


/* bytes of a reply to what is answered in a few words, or a few pages */
#define NGX_GW_REDIS_REPLY  65536

typedef struct {
    size_t       most;          /* bytes of the reply to come */
    size_t       size;          /* that it takes so far */
    const char  *error;         /* why no more is read, or NULL */
    unsigned     awaited:1;     /* a reply is */
} ngx_gw_redis_bound_t;


/*
 * Has the reader heed the bounds, which have to live as long as it does.
 * Reading fails where they are not kept, with "error" set.
 */

void ngx_gw_redis_bound(ngx_gw_redis_bound_t *bound, redisReader *reader);

/*
 * To be asked whenever something was read: NGX_ERROR, with "error" set, if
 * what is not a whole item yet is too long already, or was not asked for.
 */

ngx_int_t ngx_gw_redis_bound_check(ngx_gw_redis_bound_t *bound,
    redisReader *reader);


#endif /* NGX_GW_REDIS_BOUND_H */
