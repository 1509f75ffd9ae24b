
/*
 * Writes through the clients API: the body is read into changes, slice by
 * slice; the store makes them safe; the outcome is told.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api.h"
#include "src/tbucket/ngx_http_tbucket_pages.h"


/* the text of the shortest client in an array, with its comma */
#define NGX_HTTP_TBUCKET_CLIENT_MIN                                          \
    (sizeof("{\"client_id\":\"a\",\"capacity\":1,\"rate_per_sec\":1},") - 1)

/* what a write takes besides large bodies, bytes */
#define NGX_HTTP_TBUCKET_WRITE_POOL  1024


typedef enum {
    NGX_HTTP_TBUCKET_BODY_START = 0,
    NGX_HTTP_TBUCKET_BODY_READ,
    NGX_HTTP_TBUCKET_BODY_WRITE,
    NGX_HTTP_TBUCKET_BODY_LATE,
    NGX_HTTP_TBUCKET_BODY_ANSWER
} ngx_http_tbucket_body_e;


/* Lives as long as the request; a write that the store has may outlive it. */

typedef struct {
    ngx_gw_task_t               task;
    ngx_http_tbucket_body_e     state;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_store_t   *store;
    ngx_str_t                   id;        /* of the URI; empty: none */

    ngx_gw_body_t               body;
    gw_record_t                *reader;
    tb_client_t                 client;    /* that is being read */
    ngx_uint_t                  max;       /* changes there is room for */
    u_char                     *ids;       /* where the next id goes */

    /*
     * The numbers + 1 of changes by the hash of their id, to find ids that
     * are there twice; as many as mask + 1, a power of 2.
     */
    uint32_t                   *seen;
    uint32_t                    mask;
} ngx_http_tbucket_body_t;


static ngx_http_tbucket_body_t *ngx_http_tbucket_body_create(
    ngx_http_request_t *r, ngx_http_tbucket_zone_t *zone, ngx_str_t *id);
static void ngx_http_tbucket_body_step(ngx_gw_task_t *task);
static ngx_int_t ngx_http_tbucket_body_start(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_body_room(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_body_seen(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_body_read(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_body_submit(ngx_http_tbucket_body_t *body);
static int ngx_http_tbucket_body_each(gw_record_t *reader, void *data);
static int ngx_http_tbucket_body_named(ngx_http_tbucket_body_t *body);
static int ngx_http_tbucket_body_unique(ngx_http_tbucket_body_t *body,
    ngx_http_tbucket_change_t *change);
static void ngx_http_tbucket_body_gone(ngx_gw_task_t *task);

static void ngx_http_tbucket_write_finish(ngx_http_tbucket_write_t *write);
static void ngx_http_tbucket_write_late(ngx_http_tbucket_write_t *write);
static ngx_int_t ngx_http_tbucket_write_reply(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_write_unknown(
    ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_write_shown(ngx_http_tbucket_body_t *body,
    ngx_uint_t status);
static ngx_int_t ngx_http_tbucket_write_counts(ngx_http_tbucket_body_t *body);
static ngx_int_t ngx_http_tbucket_write_range(ngx_http_tbucket_body_t *body);


ngx_int_t
ngx_http_tbucket_api_write(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    ngx_http_tbucket_body_t  *body;

    if (!(r->method & NGX_HTTP_DELETE) && !ngx_gw_json_is_declared(r)) {
        return ngx_gw_json_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "the body must be declared as "
                                 "\"Content-Type: application/json\"");
    }

    body = ngx_http_tbucket_body_create(r, zone, id);
    if (body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return (r->method & NGX_HTTP_DELETE) ? ngx_gw_task_run(&body->task, r)
                                         : ngx_gw_task_read(&body->task, r);
}


static ngx_http_tbucket_body_t *
ngx_http_tbucket_body_create(ngx_http_request_t *r,
    ngx_http_tbucket_zone_t *zone, ngx_str_t *id)
{
    ngx_pool_t                    *pool;
    ngx_http_tbucket_body_t       *body;
    ngx_http_tbucket_write_t      *write;
    ngx_http_tbucket_main_conf_t  *mcf;

    body = ngx_pcalloc(r->pool, sizeof(ngx_http_tbucket_body_t));
    if (body == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(NGX_HTTP_TBUCKET_WRITE_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    write = ngx_pcalloc(pool, sizeof(ngx_http_tbucket_write_t));
    if (write == NULL) {
        goto failed;
    }

    write->pool = pool;
    write->log = ngx_cycle->log;
    write->zone = zone;
    write->finish = ngx_http_tbucket_write_finish;
    write->late = ngx_http_tbucket_write_late;
    write->data = body;

    if (id != NULL) {
        write->n = 1;
        write->changes = ngx_pcalloc(pool, sizeof(ngx_http_tbucket_change_t));

        if (write->changes == NULL) {
            goto failed;
        }

        write->changes->id.len = id->len;
        write->changes->id.data = ngx_pstrdup(pool, id);

        if (write->changes->id.data == NULL) {
            goto failed;
        }

        body->id = write->changes->id;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_tbucket_module);

    body->store = mcf->store;
    body->write = write;
    body->task.step = ngx_http_tbucket_body_step;
    body->task.gone = ngx_http_tbucket_body_gone;

    return body;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static void
ngx_http_tbucket_body_step(ngx_gw_task_t *task)
{
    ngx_int_t                 rc;
    ngx_http_tbucket_body_t  *body;

    body = (ngx_http_tbucket_body_t *) task;

    switch (body->state) {

    case NGX_HTTP_TBUCKET_BODY_START:
        rc = ngx_http_tbucket_body_start(body);
        break;

    case NGX_HTTP_TBUCKET_BODY_READ:
        rc = ngx_http_tbucket_body_read(body);
        break;

    case NGX_HTTP_TBUCKET_BODY_LATE:

        /* the write goes on without the request */

        rc = ngx_http_tbucket_write_unknown(body);
        body->write->data = NULL;

        ngx_gw_task_end(task, rc);
        return;

    default: /* NGX_HTTP_TBUCKET_BODY_ANSWER */
        rc = ngx_http_tbucket_write_reply(body);
        break;
    }

    if (rc == NGX_DONE) {
        return;
    }

    ngx_destroy_pool(body->write->pool);

    ngx_gw_task_end(task, rc);
}


/*
 * What a state comes to is NGX_DONE if the task goes on, or else what became
 * of the answer.
 */

static ngx_int_t
ngx_http_tbucket_body_start(ngx_http_tbucket_body_t *body)
{
    ngx_http_request_t      *r;
    const gw_record_form_t  *form;

    r = body->task.request;

    body->reader = ngx_palloc(r->pool, sizeof(gw_record_t));
    if (body->reader == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (r->method) {

    case NGX_HTTP_DELETE:
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_REMOVE;
        return ngx_http_tbucket_body_submit(body);

    case NGX_HTTP_POST:
        form = &tb_client_bulk;
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_CREATE;
        break;

    case NGX_HTTP_PUT:
        form = &tb_client_replace;
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_REPLACE;
        break;

    default: /* NGX_HTTP_PATCH */
        form = &tb_client_change;
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_CHANGE;
        break;
    }

    if (body->id.len == 0 && ngx_http_tbucket_body_room(body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    gw_record_init(body->reader, form, &body->client,
                   ngx_http_tbucket_body_each, body);
    ngx_gw_body_start(&body->body, r);

    body->state = NGX_HTTP_TBUCKET_BODY_READ;

    if (body->max > NGX_HTTP_TBUCKET_WRITE_SMALL) {

        /* to get so much has taken its share of this pass */

        ngx_gw_task_again(&body->task);

        return NGX_DONE;
    }

    return ngx_http_tbucket_body_read(body);
}


/*
 * All that a body of this size can name, at once: it is not touched before
 * it is used, and nothing has to be moved when it turns out to be much.
 */

static ngx_int_t
ngx_http_tbucket_body_room(ngx_http_tbucket_body_t *body)
{
    off_t                      size;
    ngx_chain_t               *cl;
    ngx_http_request_t        *r;
    ngx_http_tbucket_write_t  *write;

    r = body->task.request;
    write = body->write;
    size = 0;

    if (r->request_body) {
        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            size += ngx_buf_size(cl->buf);
        }
    }

    body->max = size / NGX_HTTP_TBUCKET_CLIENT_MIN + 1;

    if (body->max > NGX_MAX_UINT32_VALUE / 4) {
        return NGX_ERROR;
    }

    write->changes = ngx_http_tbucket_pages_alloc(write->pool, body->max
                                         * sizeof(ngx_http_tbucket_change_t));
    if (write->changes == NULL) {
        return NGX_ERROR;
    }

    body->ids = ngx_http_tbucket_pages_alloc(write->pool, size + 1);

    return body->ids ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_body_read(ngx_http_tbucket_body_t *body)
{
    ngx_int_t  rc;

    rc = ngx_gw_body_feed(&body->body, body->reader);

    if (rc == NGX_AGAIN) {
        ngx_gw_task_again(&body->task);
        return NGX_DONE;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || gw_record_finish(body->reader) != 0) {
        return ngx_gw_json_error(body->task.request, NGX_HTTP_BAD_REQUEST,
                                 "%s", body->reader->json.error);
    }

    if (body->reader->is_array) {
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_BULK;

        if (body->write->n == 0) {

            /* nothing that a store would have to be asked about */

            return ngx_http_tbucket_write_counts(body);
        }
    }

    return ngx_http_tbucket_body_submit(body);
}


static ngx_int_t
ngx_http_tbucket_body_submit(ngx_http_tbucket_body_t *body)
{
    body->state = NGX_HTTP_TBUCKET_BODY_WRITE;

    ngx_gw_task_wait(&body->task);
    ngx_http_tbucket_write_submit(body->store, body->write);

    return NGX_DONE;
}


/* One client has been read; takes it over as a change. */

static int
ngx_http_tbucket_body_each(gw_record_t *reader, void *data)
{
    ngx_http_tbucket_body_t *body = data;

    tb_client_t                *client;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_change_t  *change;

    client = &body->client;
    write = body->write;

    if (body->id.len) {
        change = write->changes;

        if (ngx_http_tbucket_body_named(body) != 0) {
            return -1;
        }

    } else {
        if (write->n == body->max) {
            gw_record_fail(reader, "more clients than a body can hold");
            return -1;
        }

        change = &write->changes[write->n];

        change->id.len = client->id_len;
        change->id.data = body->ids;

        body->ids = ngx_cpymem(body->ids, client->id, client->id_len);
    }

    change->members = client->members;
    change->capacity = client->capacity;
    change->rate = client->rate;
    change->tokens = client->tokens;

    if (body->id.len) {
        return 0;
    }

    if (reader->is_array && ngx_http_tbucket_body_unique(body, change) != 0) {
        return -1;
    }

    write->n++;

    return 0;
}


/* A client that was shown comes back with its id, which is that of the URI. */

static int
ngx_http_tbucket_body_named(ngx_http_tbucket_body_t *body)
{
    char          quoted[GW_JSON_QUOTE_SIZE], named[GW_JSON_QUOTE_SIZE];
    tb_client_t  *client;

    client = &body->client;

    if (!(client->members & TB_CLIENT_ID)
        || (client->id_len == body->id.len
            && ngx_memcmp(client->id, body->id.data, body->id.len) == 0))
    {
        return 0;
    }

    gw_record_fail(body->reader,
                   "client_id is \"%s\", must be that of the URI, \"%s\"",
                   gw_json_quote(quoted, client->id, client->id_len),
                   gw_json_quote(named, body->id.data, body->id.len));

    return -1;
}


static int
ngx_http_tbucket_body_unique(ngx_http_tbucket_body_t *body,
    ngx_http_tbucket_change_t *change)
{
    char                        quoted[GW_JSON_QUOTE_SIZE];
    uint32_t                    i, n;
    tb_hash_t                   h;
    ngx_http_tbucket_change_t  *other;

    if (body->seen == NULL && ngx_http_tbucket_body_seen(body) != NGX_OK) {
        gw_record_fail(body->reader, "no memory for so many clients");
        return -1;
    }

    h = tb_hash(change->id.data, change->id.len,
                body->write->zone->shared->secret);

    for (i = h.lo & body->mask; body->seen[i]; i = (i + 1) & body->mask) {
        n = body->seen[i] - 1;
        other = &body->write->changes[n];

        if (other->id.len == change->id.len
            && ngx_memcmp(other->id.data, change->id.data, change->id.len)
               == 0)
        {
            gw_record_fail(body->reader,
                           "client_id \"%s\" is there twice, see [%u]",
                           gw_json_quote(quoted, change->id.data,
                                         change->id.len),
                           (unsigned) n);
            return -1;
        }
    }

    body->seen[i] = (uint32_t) (body->write->n + 1);

    return 0;
}


static ngx_int_t
ngx_http_tbucket_body_seen(ngx_http_tbucket_body_t *body)
{
    size_t  size;

    for (size = 8; size < 2 * body->max; size *= 2) { /* void */ }

    body->mask = (uint32_t) (size - 1);
    body->seen = ngx_http_tbucket_pages_alloc(body->write->pool,
                                              size * sizeof(uint32_t));

    return body->seen ? NGX_OK : NGX_ERROR;
}


/* A write that the store has got goes on without the request. */

static void
ngx_http_tbucket_body_gone(ngx_gw_task_t *task)
{
    ngx_http_tbucket_body_t  *body;

    body = (ngx_http_tbucket_body_t *) task;

    if (body->state == NGX_HTTP_TBUCKET_BODY_WRITE
        || body->state == NGX_HTTP_TBUCKET_BODY_LATE)
    {
        body->write->data = NULL;
        return;
    }

    ngx_destroy_pool(body->write->pool);
}


static void
ngx_http_tbucket_write_finish(ngx_http_tbucket_write_t *write)
{
    ngx_http_tbucket_body_t  *body;

    body = write->data;

    if (body == NULL) {
        ngx_log_error(NGX_LOG_INFO, write->log, 0,
                      "tbucket: write to zone \"%V\" is done, but its "
                      "client has gone", &write->zone->name);
        ngx_destroy_pool(write->pool);
        return;
    }

    body->state = NGX_HTTP_TBUCKET_BODY_ANSWER;

    ngx_gw_task_wake(&body->task);
}


static void
ngx_http_tbucket_write_late(ngx_http_tbucket_write_t *write)
{
    ngx_http_tbucket_body_t  *body;

    body = write->data;

    if (body != NULL) {
        body->state = NGX_HTTP_TBUCKET_BODY_LATE;
        ngx_gw_task_wake(&body->task);
    }
}


static ngx_int_t
ngx_http_tbucket_write_reply(ngx_http_tbucket_body_t *body)
{
    ngx_http_request_t        *r;
    ngx_http_tbucket_write_t  *write;

    r = body->task.request;
    write = body->write;

    switch (write->outcome) {

    case NGX_HTTP_TBUCKET_CREATED:
    case NGX_HTTP_TBUCKET_UPDATED:

        if (write->kind == NGX_HTTP_TBUCKET_WRITE_BULK) {
            return ngx_http_tbucket_write_counts(body);
        }

        if (write->outcome == NGX_HTTP_TBUCKET_UPDATED) {
            return ngx_http_tbucket_write_shown(body, NGX_HTTP_OK);
        }

        if (ngx_http_tbucket_api_location(r, &write->changes->id) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_tbucket_write_shown(body, NGX_HTTP_CREATED);

    case NGX_HTTP_TBUCKET_REMOVED:
        return ngx_gw_json_send_empty(r, NGX_HTTP_NO_CONTENT);

    case NGX_HTTP_TBUCKET_EXISTS:
        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "client_id \"%V\" is registered already",
                                 &write->changes->id);

    case NGX_HTTP_TBUCKET_MISSING:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "client_id \"%V\" is not registered",
                                 &write->changes->id);

    case NGX_HTTP_TBUCKET_TOKENS_RANGE:
        return ngx_http_tbucket_write_range(body);

    case NGX_HTTP_TBUCKET_NO_ROOM:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "zone \"%V\" has no room for more clients, "
                                 "nothing was changed: enlarge the zone",
                                 &write->zone->name);

    case NGX_HTTP_TBUCKET_SUPERSEDED:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "zone \"%V\" is being replaced by a reload, "
                                 "nothing was changed: try again",
                                 &write->zone->name);

    case NGX_HTTP_TBUCKET_STORE_DOWN:

        if (write->reason.len) {
            return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "the store takes no writes, nothing was "
                                     "changed: %V", &write->reason);
        }

        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "the store is unreachable, nothing was "
                                 "changed");

    case NGX_HTTP_TBUCKET_STORE_UNKNOWN:
        return ngx_http_tbucket_write_unknown(body);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_tbucket_write_unknown(ngx_http_tbucket_body_t *body)
{
    ngx_str_t  *reason;

    reason = &body->write->reason;

    return ngx_gw_json_error(body->task.request, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "the store did not answer, the outcome is "
                             "unknown%s%V", reason->len ? ": " : "", reason);
}


/* The client as it is now; if it has gone since, as it was made. */

static ngx_int_t
ngx_http_tbucket_write_shown(ngx_http_tbucket_body_t *body,
    ngx_uint_t status)
{
    ngx_str_t                  *id;
    ngx_http_tbucket_change_t  *change;
    ngx_http_tbucket_client_t   client;

    change = body->write->changes;
    id = &change->id;

    if (ngx_http_tbucket_client_get(body->write->zone, id, &client)
        != NGX_OK)
    {
        client.entry.limits = tb_limits(change->capacity, change->rate,
                                        TB_LIMITS_REGISTERED);
        client.entry.len = id->len;
        ngx_memcpy(client.entry.id, id->data, id->len);

        client.tokens = (change->members & TB_CLIENT_TOKENS)
                        ? change->tokens
                        : tb_limits_full(client.entry.limits);
        client.registered = 1;

    } else if (body->write->zone->global
               && (change->members & TB_CLIENT_TOKENS))
    {
        client.tokens = change->tokens;
    }

    return ngx_http_tbucket_api_send_client(body->task.request, status,
                                            &client);
}


static ngx_int_t
ngx_http_tbucket_write_counts(ngx_http_tbucket_body_t *body)
{
    ngx_gw_json_t  *json;

    json = ngx_gw_json_create(body->task.request->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) yajl_gen_map_open(json->gen);
    ngx_gw_json_literal(json, "created");
    (void) yajl_gen_integer(json->gen, body->write->created);
    ngx_gw_json_literal(json, "updated");
    (void) yajl_gen_integer(json->gen, body->write->updated);
    (void) yajl_gen_map_close(json->gen);

    return ngx_gw_json_send(json, body->task.request, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_tbucket_write_range(ngx_http_tbucket_body_t *body)
{
    char                        text[GW_JSON_ERROR_SIZE];
    ngx_http_tbucket_change_t  *change;

    change = body->write->changes;

    (void) tb_client_check_tokens(change->tokens, change->capacity, text,
                                  sizeof(text));

    return ngx_gw_json_error(body->task.request, NGX_HTTP_BAD_REQUEST, "%s",
                             text);
}
