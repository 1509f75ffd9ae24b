
/*
 * What is accepted of a server: a reply takes no more memory than what was
 * asked for may need, is nested no deeper than anything that is asked for,
 * and was asked for at all.  For both kinds of connections.
 */


#ifndef GW_REDIS_BOUND_H
#define GW_REDIS_BOUND_H


#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>


/* bytes of a reply to what is answered in a few words, or a few pages */
#define GW_REDIS_REPLY  65536

typedef struct {
    size_t                      most;       /* bytes of the reply to come */
    size_t                      size;       /* that it takes so far */
    const char                 *error;      /* why no more is read, or NULL */
    bool                        awaited;    /* a reply is */

    /* private: hiredis' own functions, and ours */
    redisReplyObjectFunctions  *theirs;
    redisReplyObjectFunctions   ours;
} gw_redis_bound_t;


/*
 * Has the reader heed the bounds, which have to live as long as it does.
 * Reading fails where they are not kept, with "error" set.
 */

void gw_redis_bound(gw_redis_bound_t *bound, redisReader *reader);

/*
 * To be asked whenever something was read: false, with "error" set, if what
 * is not a whole item yet is too long already, or was not asked for.
 */

bool gw_redis_bound_check(gw_redis_bound_t *bound, const redisReader *reader);


#endif /* GW_REDIS_BOUND_H */
