
/*
 * Bounds of replies.  hiredis makes room for as many elements as an array
 * says it has, keeps a string of any length, and asserts that every reply
 * was asked for.  Its reader lets others make the objects of a reply: what
 * is not to be is not made here, which it takes for a lack of memory.
 */


#include "src/core/text/gw_redis_bound.h"


#define GW_REDIS_DEPTH  7       /* arrays in arrays */

#if (HIREDIS_MAJOR >= 1)
typedef size_t  gw_redis_count_t;
#else
typedef int     gw_redis_count_t;
#endif


static redisReplyObjectFunctions *gw_redis_bound_theirs(
    const redisReadTask *task);
static bool gw_redis_bound_add(const redisReadTask *task,
    size_t size);
static void *gw_redis_bound_string(const redisReadTask *task, char *str,
    size_t len);
static void *gw_redis_bound_array(const redisReadTask *task,
    gw_redis_count_t elements);
static void *gw_redis_bound_integer(const redisReadTask *task,
    long long value);
static void *gw_redis_bound_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *gw_redis_bound_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *gw_redis_bound_bool(const redisReadTask *task, int value);
#endif


void
gw_redis_bound(gw_redis_bound_t *bound, redisReader *reader)
{
    bound->theirs = reader->fn;
    bound->ours = *reader->fn;

    bound->ours.createString = gw_redis_bound_string;
    bound->ours.createArray = gw_redis_bound_array;
    bound->ours.createInteger = gw_redis_bound_integer;
    bound->ours.createNil = gw_redis_bound_nil;

#if (HIREDIS_MAJOR >= 1)
    bound->ours.createDouble = gw_redis_bound_double;
    bound->ours.createBool = gw_redis_bound_bool;
#endif

    bound->most = GW_REDIS_REPLY;
    bound->size = 0;
    bound->error = NULL;

    reader->fn = &bound->ours;
    reader->privdata = bound;
}


bool
gw_redis_bound_reply(gw_redis_bound_t *bound, redisReader *reader,
    redisReply **reply)
{
    void    *object;
    size_t   left;

    object = NULL;
    *reply = NULL;

    if (redisReaderGetReply(reader, &object) != REDIS_OK) {
        if (bound->error == NULL) {
            bound->error = reader->errstr;
        }

        return false;
    }

    if (object != NULL) {

        /* it does not count for the next one, of which there may be nothing */

        bound->size = 0;
        *reply = object;

        return true;
    }

    left = reader->len - reader->pos;

    if (left > 0 && !bound->awaited) {
        bound->error = "reply to no command";

    } else if (left > bound->most || bound->size > bound->most - left) {
        bound->error = "reply is too long";
    }

    return bound->error == NULL;
}


static redisReplyObjectFunctions *
gw_redis_bound_theirs(const redisReadTask *task)
{
    gw_redis_bound_t  *bound = task->privdata;

    return bound->theirs;
}


/*
 * Counts another object of the reply.  An error that nobody asked for is no
 * reply, but the reason why the server is about to close.
 */

static bool
gw_redis_bound_add(const redisReadTask *task, size_t size)
{
    unsigned           depth;
    gw_redis_bound_t  *bound;

    bound = task->privdata;

    if (task->parent == NULL) {
        bound->size = 0;

        if (!bound->awaited && task->type != REDIS_REPLY_ERROR) {
            bound->error = "reply to no command";
            return false;
        }
    }

    for (depth = 0; task->parent != NULL; task = task->parent) {
        depth++;
    }

    if (depth > GW_REDIS_DEPTH) {
        bound->error = "reply is nested too deep";
        return false;
    }

    size += sizeof(redisReply);

    if (size > bound->most || bound->size > bound->most - size) {
        bound->error = "reply is too long";
        return false;
    }

    bound->size += size;

    return true;
}


static void *
gw_redis_bound_string(const redisReadTask *task, char *str, size_t len)
{
    if (!gw_redis_bound_add(task, len)) {
        return NULL;
    }

    return gw_redis_bound_theirs(task)->createString(task, str, len);
}


static void *
gw_redis_bound_array(const redisReadTask *task,
    gw_redis_count_t elements)
{
    size_t             n;
    gw_redis_bound_t  *bound;

    n = (size_t) elements;
    bound = task->privdata;

    /* more would not be counted right */

    if (n > bound->most / sizeof(redisReply *)) {
        n = bound->most / sizeof(redisReply *) + 1;
    }

    if (!gw_redis_bound_add(task, n * sizeof(redisReply *))) {
        return NULL;
    }

    return gw_redis_bound_theirs(task)->createArray(task, elements);
}


static void *
gw_redis_bound_integer(const redisReadTask *task, long long value)
{
    if (!gw_redis_bound_add(task, 0)) {
        return NULL;
    }

    return gw_redis_bound_theirs(task)->createInteger(task, value);
}


static void *
gw_redis_bound_nil(const redisReadTask *task)
{
    if (!gw_redis_bound_add(task, 0)) {
        return NULL;
    }

    return gw_redis_bound_theirs(task)->createNil(task);
}


#if (HIREDIS_MAJOR >= 1)

/* Types of RESP3, which is never asked for. */

static void *
gw_redis_bound_double(const redisReadTask *task, double value, char *str,
    size_t len)
{
    (void) task;
    (void) value;
    (void) str;
    (void) len;

    return NULL;
}


static void *
gw_redis_bound_bool(const redisReadTask *task, int value)
{
    (void) task;
    (void) value;

    return NULL;
}

#endif
