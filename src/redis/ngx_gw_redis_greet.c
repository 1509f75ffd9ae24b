
/*
 * Greetings; see ngx_gw_redis_greet.h.
 */


#include "src/redis/ngx_gw_redis_greet.h"
#include "src/core/text/gw_redis_reason.h"


/* PING is refused while Redis loads its data, or wants a password. */

enum {
    NGX_GW_REDIS_AUTH = 0,
    NGX_GW_REDIS_SELECT,
    NGX_GW_REDIS_ROLE,
    NGX_GW_REDIS_PING,
    NGX_GW_REDIS_LOAD           /* and the number of the script */
};


static ngx_uint_t ngx_gw_redis_is_master(redisReply *reply, char *reason);


void
ngx_gw_redis_greet(ngx_gw_redis_greet_t *greet, ngx_gw_redis_conf_t *conf,
    ngx_gw_redis_greet_e kind, ngx_log_t *log)
{
    ngx_uint_t             i;
    ngx_gw_redis_login_t  *login;

    greet->conf = conf;
    greet->kind = kind;
    greet->n = 0;

    login = (kind == NGX_GW_REDIS_SENTINEL) ? &conf->sentinel : &conf->login;

    ngx_gw_redis_login_read(login, log);

    if (login->password[0] != '\0') {
        greet->what[greet->n++] = NGX_GW_REDIS_AUTH;
    }

    if (kind != NGX_GW_REDIS_SERVER) {
        greet->what[greet->n++] = NGX_GW_REDIS_PING;
        return;
    }

    if (conf->db) {
        greet->what[greet->n++] = NGX_GW_REDIS_SELECT;
    }

    greet->what[greet->n++] = NGX_GW_REDIS_ROLE;
    greet->what[greet->n++] = NGX_GW_REDIS_PING;

    for (i = 0; i < conf->nscripts && i < NGX_GW_REDIS_SCRIPTS; i++) {
        greet->what[greet->n++] = NGX_GW_REDIS_LOAD + i;
    }
}


int
ngx_gw_redis_greet_format(ngx_gw_redis_greet_t *greet, ngx_uint_t i,
    char **bytes)
{
    int                    n;
    char                   db[NGX_INT_T_LEN + 1];
    size_t                 len[3];
    ngx_str_t             *text;
    const char            *argv[3];
    ngx_gw_redis_login_t  *login;

    static const char  *words[] = { "AUTH", "SELECT", "ROLE", "PING" };

    n = 0;

    if (greet->what[i] < NGX_GW_REDIS_LOAD) {
        argv[n++] = words[greet->what[i]];
    }

    switch (greet->what[i]) {

    case NGX_GW_REDIS_AUTH:
        login = (greet->kind == NGX_GW_REDIS_SENTINEL)
                ? &greet->conf->sentinel : &greet->conf->login;

        if (login->user.len) {
            argv[n++] = (char *) login->user.data;
        }

        argv[n++] = login->password;
        break;

    case NGX_GW_REDIS_SELECT:
        *ngx_sprintf((u_char *) db, "%ui", greet->conf->db) = '\0';
        argv[n++] = db;
        break;

    case NGX_GW_REDIS_ROLE:
    case NGX_GW_REDIS_PING:
        break;

    default:
        text = &greet->conf->scripts[greet->what[i]
                                     - NGX_GW_REDIS_LOAD].text;
        argv[n++] = "SCRIPT";
        argv[n++] = "LOAD";
        argv[n++] = (char *) text->data;
    }

    for (i = 0; i < (ngx_uint_t) n; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    return redisFormatCommandArgv(bytes, n, argv, len);
}


/* A password may be among them. */

void
ngx_gw_redis_greet_free(char *bytes, int len)
{
    ngx_explicit_memzero(bytes, len);
    redisFreeCommand(bytes);
}


ngx_int_t
ngx_gw_redis_greet_check(ngx_gw_redis_greet_t *greet, ngx_uint_t i,
    redisReply *reply, char *reason)
{
    const char  *expected;

    expected = "OK";

    switch (greet->what[i]) {

    case NGX_GW_REDIS_AUTH:

        /* the text may repeat the password */

        if (reply->type == REDIS_REPLY_ERROR) {
            ngx_gw_redis_reason(reason, gw_redis_reason_auth(reply->str,
                                                             reply->len));
            return NGX_ERROR;
        }

        break;

    case NGX_GW_REDIS_SELECT:
        break;

    case NGX_GW_REDIS_ROLE:
        return ngx_gw_redis_is_master(reply, reason) ? NGX_OK : NGX_ERROR;

    case NGX_GW_REDIS_PING:
        expected = "PONG";
        break;

    default:
        if (reply->type == REDIS_REPLY_STRING) {
            return NGX_OK;
        }
    }

    if (reply->type != REDIS_REPLY_STATUS
        || ngx_strcmp(reply->str, expected) != 0)
    {
        ngx_gw_redis_told(greet->conf, reply, reason);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* A server that does not tell its role is taken for a master. */

static ngx_uint_t
ngx_gw_redis_is_master(redisReply *reply, char *reason)
{
    u_char  *p;
    char     role[32];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0
        || reply->element[0]->type != REDIS_REPLY_STRING
        || ngx_strcmp(reply->element[0]->str, "master") == 0)
    {
        return 1;
    }

    gw_redis_reason(role, sizeof(role), reply->element[0]->str,
                    reply->element[0]->len);

    p = ngx_snprintf((u_char *) reason, NGX_GW_REDIS_REASON - 1,
                     "%sits role is \"%s\", not \"master\"",
                     ngx_strcmp(role, "slave") == 0 ? "READONLY: " : "",
                     role);
    *p = '\0';

    return 0;
}
