
/*
 * Bounds of replies.  hiredis makes room for as many elements as an array
 * says it has, keeps a string of any length, and asserts that every reply
 * was asked for.  Its reader lets others make the objects of a reply: what
 * is not to be is not made here, which it takes for a lack of memory.
 */


#include "src/redis/ngx_gw_redis_bound.h"


#define NGX_GW_REDIS_DEPTH  7       /* arrays in arrays */

#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_gw_redis_count_t;
#else
typedef int     ngx_gw_redis_count_t;
#endif


static ngx_int_t ngx_gw_redis_bound_add(const redisReadTask *task,
    size_t size);
static void *ngx_gw_redis_bound_string(const redisReadTask *task, char *str,
    size_t len);
static void *ngx_gw_redis_bound_array(const redisReadTask *task,
    ngx_gw_redis_count_t elements);
static void *ngx_gw_redis_bound_integer(const redisReadTask *task,
    long long value);
static void *ngx_gw_redis_bound_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_gw_redis_bound_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_gw_redis_bound_bool(const redisReadTask *task, int value);
#endif


/* hiredis' own functions, the same for all connections, and ours */

static redisReplyObjectFunctions  ngx_gw_redis_bound_theirs;
static redisReplyObjectFunctions  ngx_gw_redis_bound_ours;


void
ngx_gw_redis_bound(ngx_gw_redis_bound_t *bound, redisReader *reader)
{
    if (ngx_gw_redis_bound_theirs.createString == NULL) {
        ngx_gw_redis_bound_theirs = *reader->fn;
        ngx_gw_redis_bound_ours = *reader->fn;

        ngx_gw_redis_bound_ours.createString = ngx_gw_redis_bound_string;
        ngx_gw_redis_bound_ours.createArray = ngx_gw_redis_bound_array;
        ngx_gw_redis_bound_ours.createInteger = ngx_gw_redis_bound_integer;
        ngx_gw_redis_bound_ours.createNil = ngx_gw_redis_bound_nil;

#if (HIREDIS_MAJOR >= 1)
        ngx_gw_redis_bound_ours.createDouble = ngx_gw_redis_bound_double;
        ngx_gw_redis_bound_ours.createBool = ngx_gw_redis_bound_bool;
#endif
    }

    bound->most = NGX_GW_REDIS_REPLY;
    bound->size = 0;
    bound->error = NULL;

    reader->fn = &ngx_gw_redis_bound_ours;
    reader->privdata = bound;
}


ngx_int_t
ngx_gw_redis_bound_check(ngx_gw_redis_bound_t *bound, redisReader *reader)
{
    size_t  left, size;

    left = reader->len - reader->pos;

    /* between two replies nothing is there that counts */

    size = (reader->ridx >= 0) ? bound->size : 0;

    if (left > 0 && !bound->awaited) {
        bound->error = "reply to no command";

    } else if (left > bound->most || size > bound->most - left) {
        bound->error = "reply is too long";
    }

    return bound->error ? NGX_ERROR : NGX_OK;
}


/*
 * Counts another object of the reply.  An error that nobody asked for is no
 * reply, but the reason why the server is about to close.
 */

static ngx_int_t
ngx_gw_redis_bound_add(const redisReadTask *task, size_t size)
{
    ngx_uint_t             depth;
    ngx_gw_redis_bound_t  *bound;

    bound = task->privdata;

    if (task->parent == NULL) {
        bound->size = 0;

        if (!bound->awaited && task->type != REDIS_REPLY_ERROR) {
            bound->error = "reply to no command";
            return NGX_ERROR;
        }
    }

    for (depth = 0; task->parent != NULL; task = task->parent) {
        depth++;
    }

    if (depth > NGX_GW_REDIS_DEPTH) {
        bound->error = "reply is nested too deep";
        return NGX_ERROR;
    }

    size += sizeof(redisReply);

    if (size > bound->most || bound->size > bound->most - size) {
        bound->error = "reply is too long";
        return NGX_ERROR;
    }

    bound->size += size;

    return NGX_OK;
}


static void *
ngx_gw_redis_bound_string(const redisReadTask *task, char *str, size_t len)
{
    if (ngx_gw_redis_bound_add(task, len) != NGX_OK) {
        return NULL;
    }

    return ngx_gw_redis_bound_theirs.createString(task, str, len);
}


static void *
ngx_gw_redis_bound_array(const redisReadTask *task,
    ngx_gw_redis_count_t elements)
{
    size_t                 n;
    ngx_gw_redis_bound_t  *bound;

    n = (size_t) elements;
    bound = task->privdata;

    /* more would not be counted right */

    n = ngx_min(n, bound->most / sizeof(redisReply *) + 1);

    if (ngx_gw_redis_bound_add(task, n * sizeof(redisReply *)) != NGX_OK) {
        return NULL;
    }

    return ngx_gw_redis_bound_theirs.createArray(task, elements);
}


static void *
ngx_gw_redis_bound_integer(const redisReadTask *task, long long value)
{
    if (ngx_gw_redis_bound_add(task, 0) != NGX_OK) {
        return NULL;
    }

    return ngx_gw_redis_bound_theirs.createInteger(task, value);
}


static void *
ngx_gw_redis_bound_nil(const redisReadTask *task)
{
    if (ngx_gw_redis_bound_add(task, 0) != NGX_OK) {
        return NULL;
    }

    return ngx_gw_redis_bound_theirs.createNil(task);
}


#if (HIREDIS_MAJOR >= 1)

/* Types of RESP3, which is never asked for. */

static void *
ngx_gw_redis_bound_double(const redisReadTask *task, double value, char *str,
    size_t len)
{
    (void) task;
    (void) value;
    (void) str;
    (void) len;

    return NULL;
}


static void *
ngx_gw_redis_bound_bool(const redisReadTask *task, int value)
{
    (void) task;
    (void) value;

    return NULL;
}

#endif
