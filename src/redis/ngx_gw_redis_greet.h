
/*
 * What a server is told and asked before anything else: AUTH, SELECT, ROLE,
 * PING, SCRIPT LOAD.  The same for workers and for the master.
 */


#ifndef NGX_GW_REDIS_GREET_H
#define NGX_GW_REDIS_GREET_H


#include "src/redis/ngx_gw_redis_conf.h"


#define NGX_GW_REDIS_GREETINGS  16
#define NGX_GW_REDIS_SCRIPTS    (NGX_GW_REDIS_GREETINGS - 4)


typedef enum {
    NGX_GW_REDIS_SERVER = 0,    /* has to be a master */
    NGX_GW_REDIS_SEED,          /* any node of a cluster */
    NGX_GW_REDIS_SENTINEL
} ngx_gw_redis_greet_e;


typedef struct {
    ngx_gw_redis_conf_t  *conf;
    ngx_gw_redis_greet_e  kind;
    ngx_uint_t            n;    /* commands */
    ngx_uint_t            what[NGX_GW_REDIS_GREETINGS];
} ngx_gw_redis_greet_t;


/* Finds out what is to be said, in greet->n commands; reads passwords. */

void ngx_gw_redis_greet(ngx_gw_redis_greet_t *greet,
    ngx_gw_redis_conf_t *conf, ngx_gw_redis_greet_e kind, ngx_log_t *log);

/*
 * Command i as bytes, for ngx_gw_redis_greet_free(), and their number; or -1
 * if out of memory.
 */

int ngx_gw_redis_greet_format(ngx_gw_redis_greet_t *greet, ngx_uint_t i,
    char **bytes);
void ngx_gw_redis_greet_free(char *bytes, int len);

/* NGX_ERROR, with the reason, if the reply to command i is not as it must. */

ngx_int_t ngx_gw_redis_greet_check(ngx_gw_redis_greet_t *greet, ngx_uint_t i,
    redisReply *reply, char *reason);


#endif /* NGX_GW_REDIS_GREET_H */
