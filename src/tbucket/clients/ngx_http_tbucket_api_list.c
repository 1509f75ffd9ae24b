
/*
 * The list of registered clients, a page at a time.  A cursor is the hash
 * that the page before ended with, so a client that comes or goes meanwhile
 * shifts nobody.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_list.h"
#include "src/common/ngx_gw_clock.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/text/gw_piece.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_show.h"


#define NGX_HTTP_TBUCKET_LIST_DEFAULT  100
#define NGX_HTTP_TBUCKET_LIST_MAX      1000

/* clients that are copied with the mutex held once */
#define NGX_HTTP_TBUCKET_LIST_SLICE    32


typedef struct {
    ngx_gw_task_t               task;
    ngx_http_tbucket_zone_t    *zone;
    ngx_gw_json_t              *json;
    ngx_uint_t                  left;      /* clients that the page holds */
    uint64_t                    after;     /* the hash to go on after */
    uint64_t                    cursor;    /* where the next page begins */
    ngx_http_tbucket_client_t   clients[NGX_HTTP_TBUCKET_LIST_SLICE];
} ngx_http_tbucket_list_t;


static void ngx_http_tbucket_list_step(ngx_gw_task_t *task);
static ngx_int_t ngx_http_tbucket_list_some(ngx_http_tbucket_list_t *list);
static ngx_int_t ngx_http_tbucket_list_more(ngx_http_tbucket_list_t *list);
static void ngx_http_tbucket_list_end(ngx_http_tbucket_list_t *list,
    ngx_uint_t more);


ngx_int_t
ngx_http_tbucket_list(ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone)
{
    ngx_int_t                 rc;
    ngx_http_tbucket_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_list_t));
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_tbucket_list_args(r, &list->left, &list->after);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    list->zone = zone;

    list->json = ngx_gw_json_create(r->pool);
    if (list->json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(list->json->gen);
    ngx_gw_json_literal(list->json, "clients");
    (void) yajl_gen_array_open(list->json->gen);

    list->task.step = ngx_http_tbucket_list_step;

    return ngx_gw_task_run(&list->task, r);
}


ngx_int_t
ngx_http_tbucket_list_args(ngx_http_request_t *r, ngx_uint_t *limit,
    uint64_t *cursor)
{
    ngx_int_t  rc;
    ngx_str_t  arg;

    *cursor = 0;

    rc = ngx_http_tbucket_list_limit(r, limit);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_arg(r, (u_char *) "cursor", 6, &arg) == NGX_OK
        && !gw_hex64((char *) arg.data, arg.len, cursor))
    {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "cursor is \"%V\", must be the \"next\" of "
                                 "a list", &arg);
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_tbucket_list_limit(ngx_http_request_t *r, ngx_uint_t *n)
{
    ngx_int_t  limit;
    ngx_str_t  arg;

    *n = NGX_HTTP_TBUCKET_LIST_DEFAULT;

    if (ngx_http_arg(r, (u_char *) "limit", 5, &arg) != NGX_OK) {
        return NGX_DECLINED;
    }

    limit = ngx_atoi(arg.data, arg.len);

    if (limit < 1 || limit > NGX_HTTP_TBUCKET_LIST_MAX) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "limit is \"%V\", must be a whole number "
                                 "from 1 to %d", &arg,
                                 NGX_HTTP_TBUCKET_LIST_MAX);
    }

    *n = limit;

    return NGX_DECLINED;
}


static void
ngx_http_tbucket_list_step(ngx_gw_task_t *task)
{
    uint64_t                  until;
    ngx_int_t                 rc;
    ngx_http_tbucket_list_t  *list;

    list = (ngx_http_tbucket_list_t *) task;
    until = ngx_gw_usec() + NGX_GW_TASK_TIME;

    do {
        rc = list->left ? ngx_http_tbucket_list_some(list)
                        : ngx_http_tbucket_list_more(list);

        if (rc != NGX_AGAIN) {
            ngx_http_tbucket_list_end(list, rc == NGX_OK);
            return;
        }

    } while (ngx_gw_usec() < until);

    ngx_gw_task_again(task);
}


/* NGX_DONE at the end of all clients, else NGX_AGAIN. */

static ngx_int_t
ngx_http_tbucket_list_some(ngx_http_tbucket_list_t *list)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    n = ngx_min(list->left, NGX_HTTP_TBUCKET_LIST_SLICE);

    rc = ngx_http_tbucket_client_list(list->zone, &list->after, list->clients,
                                      &n);

    for (i = 0; i < n; i++) {
        ngx_http_tbucket_show_client(list->json, list->zone,
                                     &list->clients[i]);
    }

    list->left -= n;
    list->cursor = list->after;

    return rc == NGX_DONE ? NGX_DONE : NGX_AGAIN;
}


/* The page is full: NGX_OK if there is another one, NGX_DONE, NGX_AGAIN. */

static ngx_int_t
ngx_http_tbucket_list_more(ngx_http_tbucket_list_t *list)
{
    ngx_uint_t  n;

    n = 1;

    return ngx_http_tbucket_client_list(list->zone, &list->after,
                                        list->clients, &n);
}


static void
ngx_http_tbucket_list_end(ngx_http_tbucket_list_t *list, ngx_uint_t more)
{
    ngx_int_t  rc;

    rc = ngx_http_tbucket_list_send(list->json, list->task.request, more,
                                    list->cursor);

    ngx_gw_task_end(&list->task, rc);
}


ngx_int_t
ngx_http_tbucket_list_send(ngx_gw_json_t *json, ngx_http_request_t *r,
    ngx_uint_t more, uint64_t cursor)
{
    u_char  text[16];

    (void) yajl_gen_array_close(json->gen);
    ngx_gw_json_literal(json, "next");

    if (more) {
        (void) ngx_sprintf(text, "%016xL", cursor);
        (void) yajl_gen_string(json->gen, text, sizeof(text));

    } else {
        (void) yajl_gen_null(json->gen);
    }

    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, r, NGX_HTTP_OK);
}
