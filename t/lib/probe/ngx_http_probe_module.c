
/*
 * What src/common has, within reach of HTTP requests: for tests only.
 *
 *   redis_probe URL [timeout=TIME] [parameters of tbucket_store]   (http)
 *   probe_redis      GET ?GET+key: sends the words to Redis, shows the reply
 *   probe_clients    POST: reads clients, answers with their number
 *   probe_metrics    a counter, a gauge and a histogram, labelled ?...
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "src/common/ngx_gw_api.h"
#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_prom.h"
#include "src/redis/ngx_gw_redis.h"
#include "src/core/limit/tb_client.h"


#define NGX_HTTP_PROBE_WORDS  64


typedef struct {
    ngx_gw_redis_conf_t   redis;
    ngx_uint_t            configured;
} ngx_http_probe_main_conf_t;


static ngx_int_t ngx_http_probe_redis(ngx_http_request_t *r);
static void ngx_http_probe_reply(ngx_gw_redis_t *redis, redisReply *reply,
    void *data);
static void ngx_http_probe_write_reply(yajl_gen gen, redisReply *reply);
static void ngx_http_probe_forget(void *data);
static ngx_int_t ngx_http_probe_clients(ngx_http_request_t *r);
static void ngx_http_probe_clients_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_clients_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_probe_metrics(ngx_http_request_t *r);

static void ngx_http_probe_on_up(ngx_gw_redis_t *redis);
static void ngx_http_probe_on_down(ngx_gw_redis_t *redis);
static void ngx_http_probe_on_leave(ngx_gw_redis_t *redis);

static char *ngx_http_probe_set_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_probe_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void *ngx_http_probe_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_probe_init_process(ngx_cycle_t *cycle);
static void ngx_http_probe_exit_process(ngx_cycle_t *cycle);


static ngx_gw_redis_t  *ngx_http_probe_connection;


static ngx_command_t  ngx_http_probe_commands[] = {

    { ngx_string("redis_probe"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_probe_set_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("probe_redis"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_probe_set,
      0,
      0,
      (void *) ngx_http_probe_redis },

    { ngx_string("probe_clients"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_probe_set,
      0,
      0,
      (void *) ngx_http_probe_clients },

    { ngx_string("probe_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_probe_set,
      0,
      0,
      (void *) ngx_http_probe_metrics },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_probe_create_main_conf,       /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_probe_module = {
    NGX_MODULE_V1,
    &ngx_http_probe_module_ctx,            /* module context */
    ngx_http_probe_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_probe_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_probe_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_probe_redis(ngx_http_request_t *r)
{
    size_t               len[NGX_HTTP_PROBE_WORDS];
    u_char              *p, *last, *dst, *src;
    const char          *word[NGX_HTTP_PROBE_WORDS];
    ngx_uint_t           n;
    ngx_pool_cleanup_t  *cln;

    p = ngx_pnalloc(r->pool, r->args.len + 1);

    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    dst = p;
    src = r->args.data;
    ngx_unescape_uri(&dst, &src, r->args.len, 0);
    last = dst;

    for (n = 0; p <= last && n < NGX_HTTP_PROBE_WORDS; n++) {
        dst = ngx_strlchr(p, last, '+');

        if (dst == NULL) {
            dst = last;
        }

        word[n] = (char *) p;
        len[n] = dst - p;
        p = dst + 1;
    }

    if (ngx_gw_redis_command(ngx_http_probe_connection, ngx_http_probe_reply,
                             r, n, word, len)
        != NGX_OK)
    {
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE, "down: %s",
                                 ngx_http_probe_connection->reason);
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_probe_forget;
    cln->data = r;

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_probe_reply(ngx_gw_redis_t *redis, redisReply *reply, void *data)
{
    ngx_int_t            rc;
    ngx_gw_json_t       *json;
    ngx_connection_t    *c;
    ngx_http_request_t  *r = data;

    c = r->connection;

    if (reply == NULL) {
        rc = ngx_gw_json_error(r, NGX_HTTP_GATEWAY_TIME_OUT, "%s",
                               redis->reason);

    } else {
        json = ngx_gw_json_create(r->pool);
        rc = NGX_ERROR;

        if (json != NULL) {
            ngx_http_probe_write_reply(json->gen, reply);
            rc = ngx_gw_json_send(json, r, NGX_HTTP_OK);
        }
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_probe_write_reply(yajl_gen gen, redisReply *reply)
{
    size_t  i;

    switch (reply->type) {

    case REDIS_REPLY_ARRAY:
        (void) yajl_gen_array_open(gen);

        for (i = 0; i < reply->elements; i++) {
            ngx_http_probe_write_reply(gen, reply->element[i]);
        }

        (void) yajl_gen_array_close(gen);
        break;

    case REDIS_REPLY_INTEGER:
        (void) yajl_gen_integer(gen, reply->integer);
        break;

    case REDIS_REPLY_NIL:
        (void) yajl_gen_null(gen);
        break;

    default:
        (void) yajl_gen_string(gen, (u_char *) reply->str, reply->len);
    }
}


static void
ngx_http_probe_forget(void *data)
{
    ngx_gw_redis_forget(ngx_http_probe_connection, data);
}


static ngx_int_t
ngx_http_probe_clients(ngx_http_request_t *r)
{
    ngx_int_t  rc;
    ngx_str_t  rest;

    if (ngx_gw_api_path(r, &rest) == NGX_OK) {
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND, "no \"%V\" here",
                                 &rest);
    }

    if (r->method != NGX_HTTP_POST) {
        return ngx_gw_json_not_allowed(r, "POST");
    }

    if (!ngx_gw_json_is_declared(r)) {
        return ngx_gw_json_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "body must be application/json");
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_probe_clients_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_probe_clients_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_probe_clients_read(r));
}


static ngx_int_t
ngx_http_probe_clients_read(ngx_http_request_t *r)
{
    ngx_int_t       rc;
    ngx_str_t       piece;
    tb_client_t     client;
    gw_record_t    *reader;
    ngx_gw_body_t   body;
    ngx_gw_json_t  *json;

    static tb_client_forms_t  forms;

    tb_client_forms_init(&forms, TB_KIND_RATE, 1);

    json = ngx_gw_json_create(r->pool);
    reader = ngx_palloc(r->pool, sizeof(gw_record_t));

    if (json == NULL || reader == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    gw_record_init(reader, &forms.bulk, &client, NULL, NULL);
    ngx_gw_body_start(&body, r);

    while ((rc = ngx_gw_body_next(&body, &piece)) == NGX_OK) {
        if (gw_record_feed(reader, piece.data, piece.len) != 0) {
            break;
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK || gw_record_finish(reader) != 0) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "%s",
                                 reader->json.error);
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "clients");
    (void) yajl_gen_integer(json->gen, reader->count);
    ngx_gw_json_literal(json, "last");

    if (reader->count) {
        client.registered = 1;
        client.members |= TB_CLIENT_REGISTERED;

        (void) yajl_gen_map_open(json->gen);
        gw_member_write(json->gen, forms.members, &client);
        (void) yajl_gen_map_close(json->gen);

    } else {
        (void) yajl_gen_null(json->gen);
    }

    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, r, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_probe_metrics(ngx_http_request_t *r)
{
    ngx_gw_prom_t         prom;
    ngx_gw_prom_label_t   labels[2];
    static uint64_t       bounds[] = { 5, 10, 2500 };
    static uint64_t       counts[] = { 1, 2, 3, 4 };

    labels[0].name = "zone";
    labels[0].value = r->args;
    ngx_str_set(&labels[1].value, "a\\b\"c\nd\xff");
    labels[1].name = "odd";

    ngx_gw_prom_init(&prom, r->pool);

    ngx_gw_prom_metric(&prom, "probe_requests_total", "counter",
                       "Requests seen.");
    ngx_gw_prom_sample(&prom, labels, 2, 12345678901, 0);

    ngx_gw_prom_metric(&prom, "probe_drift_seconds", "gauge", "A gauge.");
    ngx_gw_prom_sample(&prom, NULL, 0, -1500, 3);

    ngx_gw_prom_metric(&prom, "probe_seconds", "histogram", "Times.");
    ngx_gw_prom_histogram(&prom, labels, 1, bounds, counts, 3, 12345, 3);

    return ngx_gw_prom_send(&prom, r);
}


static void
ngx_http_probe_on_up(ngx_gw_redis_t *redis)
{
    ngx_log_error(NGX_LOG_NOTICE, redis->log, 0, "probe: up");
}


static void
ngx_http_probe_on_down(ngx_gw_redis_t *redis)
{
    ngx_log_error(NGX_LOG_NOTICE, redis->log, 0, "probe: down: %s",
                  redis->reason);
}


/* The last words of a worker. */

static void
ngx_http_probe_on_leave(ngx_gw_redis_t *redis)
{
    static size_t       len[] = { 4, 4 };
    static const char  *word[] = { "INCR", "left" };

    ngx_log_error(NGX_LOG_NOTICE, redis->log, 0, "probe: leaving");

    (void) ngx_gw_redis_command(redis, NULL, NULL, 2, word, len);
}


static char *
ngx_http_probe_set_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_probe_main_conf_t  *pmcf = conf;

    ngx_str_t                 *value, s;
    ngx_uint_t                 i;
    ngx_gw_redis_params_t      params;
    ngx_http_core_loc_conf_t  *clcf;

    (void) cmd;

    value = cf->args->elts;
    ngx_memzero(&params, sizeof(ngx_gw_redis_params_t));

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pmcf->redis.resolver = &clcf->resolver;
    pmcf->redis.timeout = 1000;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;
            pmcf->redis.timeout = ngx_parse_time(&s, 0);
            continue;
        }

        if (ngx_gw_redis_param(cf, &params, &value[i]) == NGX_OK) {
            continue;
        }

        return "has an unknown parameter";
    }

    pmcf->configured = 1;

    return ngx_gw_redis_configure(cf, &pmcf->redis, &value[1], &params);
}


static char *
ngx_http_probe_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    (void) conf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = (ngx_http_handler_pt) cmd->post;

    return NGX_CONF_OK;
}


static void *
ngx_http_probe_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_probe_main_conf_t));
}


static ngx_int_t
ngx_http_probe_init_process(ngx_cycle_t *cycle)
{
    ngx_gw_redis_t              *redis;
    ngx_http_probe_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_probe_module);

    if (pmcf == NULL || !pmcf->configured) {
        return NGX_OK;
    }

    redis = ngx_gw_redis_create(cycle->pool, &pmcf->redis, cycle->log);

    if (redis == NULL) {
        return NGX_ERROR;
    }

    redis->on_up = ngx_http_probe_on_up;
    redis->on_down = ngx_http_probe_on_down;
    redis->on_leave = ngx_http_probe_on_leave;

    ngx_http_probe_connection = redis;

    ngx_gw_redis_start(redis);

    return NGX_OK;
}


static void
ngx_http_probe_exit_process(ngx_cycle_t *cycle)
{
    (void) cycle;

    if (ngx_http_probe_connection != NULL) {
        ngx_gw_redis_close(ngx_http_probe_connection);
    }
}
