
/*
 * A connection to Redis that blocks.
 */


#include "src/common/ngx_gw_redis_sync.h"


#define NGX_GW_REDIS_SYNC_ELEMENTS  1000000     /* of one array */

#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_gw_redis_sync_count_t;
#else
typedef int     ngx_gw_redis_sync_count_t;
#endif


/* An attempt, which all its steps have to share the time of. */

typedef struct {
    ngx_gw_redis_conf_t  *conf;
    uint64_t              end;         /* ms, monotonic */
    char                 *reason;
} ngx_gw_redis_attempt_t;


static redisContext *ngx_gw_redis_sync_connect(
    ngx_gw_redis_attempt_t *attempt, ngx_sockaddr_t *sockaddr,
    socklen_t socklen);
static redisContext *ngx_gw_redis_sync_greet(ngx_gw_redis_attempt_t *attempt,
    redisContext *context);
static ngx_int_t ngx_gw_redis_sync_expect(ngx_gw_redis_attempt_t *attempt,
    redisContext *context, const char *expected, ngx_uint_t argc,
    const char **argv, const size_t *argvlen);
static redisContext *ngx_gw_redis_sync_master(
    ngx_gw_redis_attempt_t *attempt, ngx_addr_t *sentinel);
static void ngx_gw_redis_sync_reason(ngx_gw_redis_attempt_t *attempt,
    const char *reason);
static uint64_t ngx_gw_redis_sync_now(void);
static void *ngx_gw_redis_sync_array(const redisReadTask *task,
    ngx_gw_redis_sync_count_t elements);


static redisReplyObjectFunctions  ngx_gw_redis_sync_theirs;
static redisReplyObjectFunctions  ngx_gw_redis_sync_ours;


redisContext *
ngx_gw_redis_sync_open(ngx_gw_redis_conf_t *conf, ngx_msec_t limit, char *buf)
{
    ngx_uint_t               i;
    ngx_addr_t              *addr;
    redisContext            *context;
    ngx_sockaddr_t           sockaddr;
    ngx_gw_redis_attempt_t   attempt;

    attempt.conf = conf;
    attempt.end = ngx_gw_redis_sync_now() + limit;
    attempt.reason = buf;

    ngx_gw_redis_sync_reason(&attempt, "timed out");

    for (i = 0; i < conf->naddrs; i++) {
        addr = &conf->addrs[i];

        if (conf->master.len) {
            context = ngx_gw_redis_sync_master(&attempt, addr);

        } else {
            ngx_memcpy(&sockaddr, addr->sockaddr, addr->socklen);
            context = ngx_gw_redis_sync_connect(&attempt, &sockaddr,
                                                addr->socklen);
            context = ngx_gw_redis_sync_greet(&attempt, context);
        }

        if (context != NULL || ngx_gw_redis_sync_now() >= attempt.end) {
            return context;
        }
    }

    return NULL;
}


redisReply *
ngx_gw_redis_sync_command(redisContext *context, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    return redisCommandArgv(context, (int) argc, argv, argvlen);
}


/* The time that is left for a step is its timeout. */

static redisContext *
ngx_gw_redis_sync_connect(ngx_gw_redis_attempt_t *attempt,
    ngx_sockaddr_t *sockaddr, socklen_t socklen)
{
    size_t           len;
    u_char           text[NGX_SOCKADDR_STRLEN + 1];
    uint64_t         left, now;
    redisContext    *context;
    struct timeval   tv;

    now = ngx_gw_redis_sync_now();
    left = (now < attempt->end) ? attempt->end - now : 1;
    left = ngx_min(left, attempt->conf->timeout);

    tv.tv_sec = (time_t) (left / 1000);
    tv.tv_usec = (suseconds_t) (left % 1000 * 1000);

    if (sockaddr->sockaddr.sa_family == AF_UNIX) {
        context = redisConnectUnixWithTimeout(
                                          sockaddr->sockaddr_un.sun_path, tv);

    } else {
        len = ngx_sock_ntop(&sockaddr->sockaddr, socklen, text,
                            NGX_SOCKADDR_STRLEN, 0);
        text[len] = '\0';

        context = redisConnectWithTimeout((char *) text,
                            ngx_inet_get_port(&sockaddr->sockaddr), tv);
    }

    if (context == NULL) {
        ngx_gw_redis_sync_reason(attempt, "out of memory");
        return NULL;
    }

    if (context->err || redisSetTimeout(context, tv) != REDIS_OK) {
        ngx_gw_redis_sync_reason(attempt, context->errstr);
        redisFree(context);
        return NULL;
    }

    if (ngx_gw_redis_sync_theirs.createArray == NULL) {
        ngx_gw_redis_sync_theirs = *context->reader->fn;
        ngx_gw_redis_sync_ours = *context->reader->fn;
        ngx_gw_redis_sync_ours.createArray = ngx_gw_redis_sync_array;
    }

    context->reader->fn = &ngx_gw_redis_sync_ours;

    return context;
}


/* Takes the connection over: returns it, or NULL after closing it. */

static redisContext *
ngx_gw_redis_sync_greet(ngx_gw_redis_attempt_t *attempt,
    redisContext *context)
{
    char                  db[NGX_INT_T_LEN + 1];
    size_t                len[3];
    ngx_int_t             rc;
    ngx_uint_t            n;
    const char           *argv[3];
    struct timeval        tv;
    ngx_gw_redis_conf_t  *conf;

    if (context == NULL) {
        return NULL;
    }

    conf = attempt->conf;
    rc = NGX_OK;

    if (conf->password.len) {
        n = 0;
        argv[n] = "AUTH";
        len[n++] = 4;

        if (conf->user.len) {
            argv[n] = (char *) conf->user.data;
            len[n++] = conf->user.len;
        }

        argv[n] = (char *) conf->password.data;
        len[n++] = conf->password.len;

        rc = ngx_gw_redis_sync_expect(attempt, context, "OK", n, argv, len);
    }

    if (rc == NGX_OK && conf->db) {
        argv[0] = "SELECT";
        len[0] = 6;
        argv[1] = db;
        len[1] = ngx_sprintf((u_char *) db, "%ui", conf->db) - (u_char *) db;

        rc = ngx_gw_redis_sync_expect(attempt, context, "OK", 2, argv, len);
    }

    argv[0] = "PING";
    len[0] = 4;

    if (rc == NGX_OK) {
        rc = ngx_gw_redis_sync_expect(attempt, context, "PONG", 1, argv, len);
    }

    tv.tv_sec = (time_t) (conf->timeout / 1000);
    tv.tv_usec = (suseconds_t) (conf->timeout % 1000 * 1000);

    if (rc != NGX_OK || redisSetTimeout(context, tv) != REDIS_OK) {
        redisFree(context);
        return NULL;
    }

    return context;
}


static ngx_int_t
ngx_gw_redis_sync_expect(ngx_gw_redis_attempt_t *attempt,
    redisContext *context, const char *expected, ngx_uint_t argc,
    const char **argv, const size_t *argvlen)
{
    ngx_int_t    rc;
    redisReply  *reply;

    reply = ngx_gw_redis_sync_command(context, argc, argv, argvlen);

    if (reply == NULL) {
        ngx_gw_redis_sync_reason(attempt,
                                 (context->err == REDIS_ERR_IO
                                  && errno == EAGAIN)
                                 ? "timed out" : context->errstr);
        return NGX_ERROR;
    }

    rc = NGX_OK;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_gw_redis_sync_reason(attempt, reply->str);
        rc = NGX_ERROR;

    } else if (reply->type != REDIS_REPLY_STATUS
               || ngx_strcmp(reply->str, expected) != 0)
    {
        ngx_gw_redis_sync_reason(attempt, "answers to the greeting make no "
                                 "sense");
        rc = NGX_ERROR;
    }

    freeReplyObject(reply);

    return rc;
}


/* Asks one Sentinel, and connects to the master that it names. */

static redisContext *
ngx_gw_redis_sync_master(ngx_gw_redis_attempt_t *attempt,
    ngx_addr_t *sentinel)
{
    size_t           len[3];
    ngx_int_t        rc;
    socklen_t        socklen;
    redisReply      *reply;
    const char      *argv[3];
    redisContext    *context;
    ngx_sockaddr_t   sockaddr;

    ngx_memcpy(&sockaddr, sentinel->sockaddr, sentinel->socklen);

    context = ngx_gw_redis_sync_connect(attempt, &sockaddr,
                                        sentinel->socklen);
    if (context == NULL) {
        return NULL;
    }

    argv[0] = "SENTINEL";
    len[0] = 8;
    argv[1] = "get-master-addr-by-name";
    len[1] = 23;
    argv[2] = (char *) attempt->conf->master.data;
    len[2] = attempt->conf->master.len;

    reply = ngx_gw_redis_sync_command(context, 3, argv, len);

    if (reply == NULL) {
        ngx_gw_redis_sync_reason(attempt, context->errstr);
        redisFree(context);
        return NULL;
    }

    rc = ngx_gw_redis_sentinel_parse(reply, ngx_cycle->log, &sockaddr,
                                     &socklen);

    if (rc != NGX_OK) {
        ngx_gw_redis_sync_reason(attempt, reply->type == REDIS_REPLY_ERROR
                                 ? reply->str
                                 : "Sentinel does not know the master");
    }

    freeReplyObject(reply);
    redisFree(context);

    if (rc != NGX_OK) {
        return NULL;
    }

    context = ngx_gw_redis_sync_connect(attempt, &sockaddr, socklen);

    return ngx_gw_redis_sync_greet(attempt, context);
}


static void
ngx_gw_redis_sync_reason(ngx_gw_redis_attempt_t *attempt, const char *reason)
{
    (void) ngx_cpystrn((u_char *) attempt->reason, (u_char *) reason,
                       NGX_GW_REDIS_REASON);
}


static uint64_t
ngx_gw_redis_sync_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


/* hiredis makes room for as many elements as an array says it has. */

static void *
ngx_gw_redis_sync_array(const redisReadTask *task,
    ngx_gw_redis_sync_count_t elements)
{
    if (elements > NGX_GW_REDIS_SYNC_ELEMENTS) {
        return NULL;
    }

    return ngx_gw_redis_sync_theirs.createArray(task, elements);
}
