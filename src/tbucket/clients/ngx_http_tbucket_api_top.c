
/*
 * The clients that are refused, or seen, most: what the zone's counters have,
 * the highest first, without those whose id they do not have.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_top.h"

#include "src/common/ngx_gw_clock.h"
#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_task.h"
#include "src/tbucket/clients/ngx_http_tbucket_api_list.h"
#include "src/tbucket/ngx_http_tbucket_top.h"


typedef struct {
    ngx_gw_task_t            task;
    ngx_http_tbucket_top_t  *top;
    ngx_http_tbucket_top_e   kind;
    ngx_uint_t               limit;
    ngx_uint_t               part;       /* to be read next */
    tb_top_row_t            *rows;
    size_t                   nrows;
    size_t                   next;       /* row to be shown */
    ngx_uint_t               shown;
    ngx_gw_json_t           *json;
} ngx_http_tbucket_listing_t;


static void ngx_http_tbucket_top_step(ngx_gw_task_t *task);
static ngx_int_t ngx_http_tbucket_top_collect(
    ngx_http_tbucket_listing_t *listing);
static ngx_int_t ngx_http_tbucket_top_show(
    ngx_http_tbucket_listing_t *listing);
static void ngx_http_tbucket_top_row(ngx_http_tbucket_listing_t *listing,
    tb_top_row_t *row, ngx_str_t *id);
static ngx_int_t ngx_http_tbucket_top_send(
    ngx_http_tbucket_listing_t *listing);


ngx_int_t
ngx_http_tbucket_list_top(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *kind)
{
    ngx_int_t                    rc;
    ngx_http_tbucket_listing_t  *listing;

    listing = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_listing_t));
    if (listing == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (kind->len == sizeof("rejected") - 1
        && ngx_strncmp(kind->data, "rejected", kind->len) == 0)
    {
        listing->kind = NGX_HTTP_TBUCKET_TOP_REJECTED;

    } else if (kind->len == sizeof("requests") - 1
               && ngx_strncmp(kind->data, "requests", kind->len) == 0)
    {
        listing->kind = NGX_HTTP_TBUCKET_TOP_REQUESTS;

    } else {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "top is \"%V\", must be \"rejected\" or "
                                 "\"requests\"", kind);
    }

    rc = ngx_http_tbucket_list_limit(r, &listing->limit);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    listing->top = zone->shared->top;

    if (listing->top == NULL) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "zone \"%V\" has %uz bytes, and counts who "
                                 "is refused most from 256k on", &zone->name,
                                 zone->shm_zone->shm.size);
    }

    listing->rows = ngx_palloc(r->pool,
                               ngx_http_tbucket_top_rows(listing->top,
                                                         listing->kind)
                               * sizeof(tb_top_row_t));
    listing->json = ngx_gw_json_create(r->pool);

    if (listing->rows == NULL || listing->json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(listing->json->gen);
    ngx_gw_json_literal(listing->json, "top");
    (void) yajl_gen_array_open(listing->json->gen);

    listing->task.step = ngx_http_tbucket_top_step;

    return ngx_gw_task_run(&listing->task, r);
}


static void
ngx_http_tbucket_top_step(ngx_gw_task_t *task)
{
    ngx_http_tbucket_listing_t  *listing;

    listing = ngx_gw_task_data(task, ngx_http_tbucket_listing_t, task);

    if (ngx_http_tbucket_top_collect(listing) == NGX_AGAIN
        || ngx_http_tbucket_top_show(listing) == NGX_AGAIN)
    {
        ngx_gw_task_again(task);
        return;
    }

    ngx_gw_task_end(task, ngx_http_tbucket_top_send(listing));
}


/* All rows, in order. */

static ngx_int_t
ngx_http_tbucket_top_collect(ngx_http_tbucket_listing_t *listing)
{
    if (listing->part == NGX_HTTP_TBUCKET_TOP_PARTS) {
        return NGX_OK;
    }

    for ( /* void */ ; listing->part < NGX_HTTP_TBUCKET_TOP_PARTS;
         listing->part++)
    {
        if (ngx_http_tbucket_top_read(listing->top, listing->kind,
                                      listing->part, listing->rows,
                                      &listing->nrows)
            != NGX_OK)
        {
            return NGX_AGAIN;
        }
    }

    tb_top_sort(listing->rows, listing->nrows);

    return NGX_OK;
}


/* One whose id has gone, or was never there, is left out. */

static ngx_int_t
ngx_http_tbucket_top_show(ngx_http_tbucket_listing_t *listing)
{
    u_char     text[TB_TOP_ID];
    uint64_t   until;
    ngx_int_t  rc;
    ngx_str_t  id;

    id.data = text;
    until = ngx_gw_usec() + NGX_GW_TASK_TIME;

    for ( /* void */ ;
         listing->next < listing->nrows && listing->shown < listing->limit;
         listing->next++)
    {
        rc = ngx_http_tbucket_top_id(listing->top,
                                     listing->rows[listing->next].lo, &id);

        if (rc == NGX_AGAIN || ngx_gw_usec() > until) {
            return NGX_AGAIN;
        }

        if (rc == NGX_OK) {
            ngx_http_tbucket_top_row(listing, &listing->rows[listing->next],
                                     &id);
            listing->shown++;
        }
    }

    return NGX_OK;
}


static void
ngx_http_tbucket_top_row(ngx_http_tbucket_listing_t *listing,
    tb_top_row_t *row, ngx_str_t *id)
{
    uint64_t        rejected, requests;
    ngx_gw_json_t  *json;

    json = listing->json;

    if (listing->kind == NGX_HTTP_TBUCKET_TOP_REJECTED) {
        rejected = row->count;
        requests = (uint64_t) row->count + row->beside;

    } else {
        rejected = row->beside;
        requests = row->count;
    }

    (void) yajl_gen_map_open(json->gen);

    ngx_gw_json_literal(json, "client_id");
    ngx_gw_json_string(json, id->data, id->len);
    ngx_gw_json_literal(json, "rejected");
    (void) yajl_gen_integer(json->gen, (long long) rejected);
    ngx_gw_json_literal(json, "requests");
    (void) yajl_gen_integer(json->gen, (long long) requests);
    ngx_gw_json_literal(json, "error");
    (void) yajl_gen_integer(json->gen, row->error);

    (void) yajl_gen_map_close(json->gen);
}


static ngx_int_t
ngx_http_tbucket_top_send(ngx_http_tbucket_listing_t *listing)
{
    ngx_gw_json_t  *json;

    json = listing->json;

    (void) yajl_gen_array_close(json->gen);
    ngx_gw_json_literal(json, "since");
    (void) yajl_gen_integer(json->gen,
                            ngx_http_tbucket_top_since(listing->top));
    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, listing->task.request, NGX_HTTP_OK);
}
