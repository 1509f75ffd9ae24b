
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
 */

void gw_redis_bound(gw_redis_bound_t *bound, redisReader *reader);

/*
 * The next reply of what the reader was fed with; NULL: there is no whole one
 * yet.  Returns false, with "error" set, if the bounds are not kept, also by
 * what is not a whole one yet, or if it makes no sense.
 */

bool gw_redis_bound_reply(gw_redis_bound_t *bound, redisReader *reader,
    redisReply **reply);


#endif /* GW_REDIS_BOUND_H */
