
/*
 * What the configuration says about a Redis store: its URL and parameters,
 * and the passwords, which are read again for each connection.
 */


#ifndef NGX_GW_REDIS_CONF_H
#define NGX_GW_REDIS_CONF_H


#include <ngx_config.h>
#include <ngx_core.h>

#include "src/core/text/gw_redis_url.h"
#include "src/core/text/gw_redis_bound.h"
#include "src/redis/ngx_gw_redis_tls.h"


#define NGX_GW_REDIS_REASON  160    /* bytes, with the NUL */


/* A server, as it is told: a name or an address, or a unix socket's path. */

typedef struct {
    char                   name[GW_REDIS_NAME_MAX + 1];
    ngx_uint_t             port;        /* 0: it is a path */
} ngx_gw_redis_host_t;


/* Strings also end in NUL; of len 0 there is none. */

typedef struct {
    ngx_str_t              user;
    ngx_str_t              file;        /* full name */
    char                   password[GW_REDIS_SECRET_MAX + 1];
} ngx_gw_redis_login_t;


typedef struct {
    ngx_str_t              text;
    char                   sha1[40];
} ngx_gw_redis_script_t;


/* The parameters of a store that are of its connections. */

typedef struct {
    ngx_str_t              password_file;
    ngx_str_t              sentinel_user;
    ngx_str_t              sentinel_password_file;
    ngx_str_t              tls_ca;
    ngx_str_t              tls_cert;
    ngx_str_t              tls_key;
    ngx_str_t              tls_name;
    ngx_str_t              tls_verify;  /* "on", "off" */
} ngx_gw_redis_params_t;


typedef struct {
    gw_redis_kind_t        kind;
    ngx_str_t              name;        /* for messages, without secrets */
    ngx_gw_redis_login_t   login;
    ngx_gw_redis_login_t   sentinel;    /* of Sentinels */
    ngx_str_t              master;      /* its name, for Sentinels */
    ngx_uint_t             db;
    ngx_gw_redis_host_t   *hosts;       /* servers, Sentinels, or seeds */
    ngx_uint_t             nhosts;
    ngx_gw_redis_tls_t    *tls;         /* NULL: none */

    /* the owner's */
    ngx_resolver_t       **resolver;    /* where it will be; may be NULL */
    ngx_msec_t             timeout;     /* to connect, and of a command */
    ngx_gw_redis_script_t *scripts;     /* that each connection loads */
    ngx_uint_t             nscripts;
} ngx_gw_redis_conf_t;


/*
 * Takes a parameter "name=value" that is one of these.  NGX_DECLINED: it is
 * not; NGX_ERROR after an [emerg].
 */

ngx_int_t ngx_gw_redis_param(ngx_conf_t *cf, ngx_gw_redis_params_t *params,
    ngx_str_t *arg);

/*
 * Takes apart and checks the URL of a store, reads certificates and makes
 * sure that passwords can be read.  No name is looked up.  NGX_CONF_ERROR
 * after an [emerg] that names directive and reason, but no secret.  What is
 * the owner's is left alone.
 */

char *ngx_gw_redis_configure(ngx_conf_t *cf, ngx_gw_redis_conf_t *conf,
    ngx_str_t *url, ngx_gw_redis_params_t *params);

/* Whether a host is an address, or a path, and not a name. */

ngx_uint_t ngx_gw_redis_is_literal(ngx_gw_redis_host_t *host);

/*
 * Reads the password again, if it is in a file.  One that cannot be read any
 * more, which the workers' user need not be able to, stays as it was.
 */

void ngx_gw_redis_login_read(ngx_gw_redis_login_t *login, ngx_log_t *log);

/*
 * What may be told of a reply that was not what was to come, in reason of
 * NGX_GW_REDIS_REASON bytes.
 */

void ngx_gw_redis_told(ngx_gw_redis_conf_t *conf, redisReply *reply,
    char *reason);

/* Sets a reason, cut if it is too long. */

#define ngx_gw_redis_reason(dst, src)                                        \
    (void) ngx_cpystrn((u_char *) (dst), (u_char *) (src),                   \
                       NGX_GW_REDIS_REASON)


#endif /* NGX_GW_REDIS_CONF_H */
