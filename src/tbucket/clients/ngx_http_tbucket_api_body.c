
/*
 * Bodies of the clients API.  A body is read before anything is done, and
 * refused as a whole: an array has a bounded number of clients, no two of
 * which may be the same.
 */


#include "src/tbucket/clients/ngx_http_tbucket_api_body.h"
#include "src/common/ngx_gw_json.h"
#include "src/core/limit/tb_client.h"


/* a power of two, twice as many as there can be clients */
#define NGX_HTTP_TBUCKET_BODY_SEEN  2048


struct ngx_http_tbucket_body_s {
    ngx_http_tbucket_write_t    *write;
    ngx_gw_body_t                body;
    gw_record_t                  reader;
    tb_client_t                  client;    /* that is being read */

    ngx_array_t                  changes;   /* of a POST */

    /* numbers + 1 of changes by the hash of their id; of an array only */
    uint16_t                    *seen;
};


static int ngx_http_tbucket_body_each(gw_record_t *reader, void *data);
static int ngx_http_tbucket_body_named(ngx_http_tbucket_body_t *body);
static int ngx_http_tbucket_body_add(ngx_http_tbucket_body_t *body);
static ngx_uint_t ngx_http_tbucket_body_find(ngx_http_tbucket_body_t *body);


_Static_assert(NGX_HTTP_TBUCKET_BODY_SEEN >= 2 * NGX_HTTP_TBUCKET_WRITE_MAX,
               "ids of an array are found in few steps");


ngx_http_tbucket_body_t *
ngx_http_tbucket_body_create(ngx_http_request_t *r,
    ngx_http_tbucket_write_t *write)
{
    const gw_record_form_t   *form;
    const tb_client_forms_t  *forms;
    ngx_http_tbucket_body_t  *body;

    body = ngx_palloc(r->pool, sizeof(ngx_http_tbucket_body_t));
    if (body == NULL) {
        return NULL;
    }

    body->write = write;
    body->seen = NULL;

    forms = &write->zone->forms;

    switch (write->kind) {

    case NGX_HTTP_TBUCKET_WRITE_REPLACE:
        form = write->plans ? &forms->plan : &forms->replace;
        break;

    case NGX_HTTP_TBUCKET_WRITE_CHANGE:
        form = write->plans ? &forms->plan_change : &forms->change;
        break;

    default: /* NGX_HTTP_TBUCKET_WRITE_CREATE */
        form = &forms->bulk;

        if (ngx_array_init(&body->changes, write->pool, 4,
                           sizeof(ngx_http_tbucket_change_t))
            != NGX_OK)
        {
            return NULL;
        }
    }

    gw_record_init(&body->reader, form, &body->client,
                   ngx_http_tbucket_body_each, body);
    ngx_gw_body_start(&body->body, r);

    return body;
}


ngx_int_t
ngx_http_tbucket_body_read(ngx_http_tbucket_body_t *body)
{
    ngx_int_t  rc;

    rc = ngx_gw_body_feed(&body->body, &body->reader);

    if (rc != NGX_DONE) {
        return rc;
    }

    if (gw_record_finish(&body->reader) != 0) {
        return NGX_DECLINED;
    }

    if (body->reader.is_array) {
        body->write->kind = NGX_HTTP_TBUCKET_WRITE_BULK;
    }

    return NGX_OK;
}


const char *
ngx_http_tbucket_body_error(ngx_http_tbucket_body_t *body)
{
    return body->reader.json.error;
}


/* One client has been read; takes it over as a change. */

static int
ngx_http_tbucket_body_each(gw_record_t *reader, void *data)
{
    ngx_http_tbucket_body_t  *body = data;

    ngx_http_tbucket_write_t  *write;

    (void) reader;

    write = body->write;

    if ((write->kind == NGX_HTTP_TBUCKET_WRITE_CREATE
         ? ngx_http_tbucket_body_add(body)
         : ngx_http_tbucket_body_named(body))
        != 0)
    {
        return -1;
    }

    write->changes[write->n - 1].client = body->client;

    return 0;
}


/*
 * A client that was shown comes back with its id, and a plan with its name,
 * which is that of the URI.
 */

static int
ngx_http_tbucket_body_named(ngx_http_tbucket_body_t *body)
{
    char          quoted[GW_JSON_QUOTE_SIZE], named[GW_JSON_QUOTE_SIZE];
    size_t        len;
    unsigned      bit;
    ngx_str_t    *id;
    const char   *name;
    tb_client_t  *client;

    id = &body->write->changes->id;
    client = &body->client;

    bit = body->write->plans ? TB_CLIENT_PLAN : TB_CLIENT_ID;
    name = body->write->plans ? client->plan : client->id;
    len = body->write->plans ? client->plan_len : client->id_len;

    if (!(client->members & bit)
        || (len == id->len && ngx_memcmp(name, id->data, id->len) == 0))
    {
        client->members &= ~bit;
        return 0;
    }

    gw_record_fail(&body->reader, "%s is \"%s\", must be that of the URI, "
                   "\"%s\"", body->write->plans ? "plan" : "client_id",
                   gw_json_quote(quoted, name, len),
                   gw_json_quote(named, (char *) id->data, id->len));

    return -1;
}


/* Adds a change for a client that is named in the body. */

static int
ngx_http_tbucket_body_add(ngx_http_tbucket_body_t *body)
{
    char                        quoted[GW_JSON_QUOTE_SIZE];
    ngx_str_t                   id;
    ngx_uint_t                  other;
    gw_record_t                *reader;
    ngx_http_tbucket_write_t   *write;
    ngx_http_tbucket_change_t  *change;

    write = body->write;
    reader = &body->reader;

    if (write->n == NGX_HTTP_TBUCKET_WRITE_MAX) {
        gw_record_fail(reader, "is one too many, an array has at most %d "
                       "clients", NGX_HTTP_TBUCKET_WRITE_MAX);
        return -1;
    }

    if (reader->is_array && body->seen == NULL) {
        body->seen = ngx_pcalloc(write->pool, NGX_HTTP_TBUCKET_BODY_SEEN
                                              * sizeof(uint16_t));
    }

    id.data = (u_char *) body->client.id;
    id.len = body->client.id_len;

    change = ngx_array_push(&body->changes);

    if (change == NULL || (reader->is_array && body->seen == NULL)) {
        gw_record_fail(reader, "there is no memory for the client");
        return -1;
    }

    change->id.len = id.len;
    change->id.data = ngx_pstrdup(write->pool, &id);

    if (change->id.data == NULL) {
        gw_record_fail(reader, "there is no memory for the client");
        return -1;
    }

    write->changes = body->changes.elts;
    write->n = body->changes.nelts;

    other = reader->is_array ? ngx_http_tbucket_body_find(body) : 0;

    if (other) {
        gw_record_fail(reader, "client_id \"%s\" is there twice, see [%u]",
                       gw_json_quote(quoted, (char *) id.data, id.len),
                       (unsigned) other - 1);
        return -1;
    }

    return 0;
}


/* Notes the last change; returns the number + 1 of one with the same id. */

static ngx_uint_t
ngx_http_tbucket_body_find(ngx_http_tbucket_body_t *body)
{
    ngx_str_t                 *id, *other;
    tb_hash_t                  h;
    ngx_uint_t                 i;
    ngx_http_tbucket_write_t  *write;

    write = body->write;
    id = &write->changes[write->n - 1].id;

    h = tb_hash(id->data, id->len, write->zone->shared->secret);

    for (i = h.lo % NGX_HTTP_TBUCKET_BODY_SEEN;
         body->seen[i];
         i = (i + 1) % NGX_HTTP_TBUCKET_BODY_SEEN)
    {
        other = &write->changes[body->seen[i] - 1].id;

        if (other->len == id->len
            && ngx_memcmp(other->data, id->data, id->len) == 0)
        {
            return body->seen[i];
        }
    }

    body->seen[i] = (uint16_t) write->n;

    return 0;
}
