
/*
 * Changes through the upstreams API: the body is read into a change, slice
 * by slice; the change is made; the outcome is told.
 */


#include "src/lb/api/ngx_http_lb_api_write.h"

#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_task.h"
#include "src/lb/api/ngx_http_lb_show.h"
#include "src/lb/upstream/ngx_http_lb_edit.h"
#include "src/lb/upstream/ngx_http_lb_line.h"


typedef enum {
    NGX_HTTP_LB_WRITE_READ = 0,
    NGX_HTTP_LB_WRITE_MAKE,
    NGX_HTTP_LB_WRITE_ANSWER
} ngx_http_lb_write_e;


/* Lives as long as the request; a change that is being made may outlive it. */

typedef struct {
    ngx_gw_task_t         task;
    ngx_http_lb_write_e   state;
    ngx_http_lb_edit_t   *edit;
    ngx_gw_body_t         body;
    gw_record_t           reader;
} ngx_http_lb_write_t;


static ngx_http_lb_write_t *ngx_http_lb_write_create(ngx_http_request_t *r,
    ngx_http_lb_srv_conf_t *lcf, uint64_t id);
static void ngx_http_lb_write_step(ngx_gw_task_t *task);
static ngx_int_t ngx_http_lb_write_read(ngx_http_lb_write_t *write);
static ngx_int_t ngx_http_lb_write_timeout(lb_entry_t *entry);
static ngx_int_t ngx_http_lb_write_line(ngx_http_lb_write_t *write);
static ngx_int_t ngx_http_lb_write_submit(ngx_http_lb_write_t *write);
static void ngx_http_lb_write_gone(ngx_gw_task_t *task);
static void ngx_http_lb_write_finish(ngx_http_lb_edit_t *edit);
static ngx_int_t ngx_http_lb_write_reply(ngx_http_lb_write_t *write);
static ngx_int_t ngx_http_lb_write_failed(ngx_http_lb_write_t *write,
    const char *rest);
static ngx_int_t ngx_http_lb_write_server(ngx_http_lb_write_t *write,
    ngx_uint_t status);
static ngx_int_t ngx_http_lb_write_location(ngx_http_lb_write_t *write);


ngx_int_t
ngx_http_lb_api_write(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    uint64_t id)
{
    ngx_http_lb_write_t  *write;

    if (!(r->method & NGX_HTTP_DELETE) && !ngx_gw_json_is_declared(r)) {
        return ngx_gw_json_error(r, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "the body must be declared as "
                                 "\"Content-Type: application/json\"");
    }

    write = ngx_http_lb_write_create(r, lcf, id);
    if (write == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return (write->edit->kind == NGX_HTTP_LB_REMOVE)
           ? ngx_gw_task_run(&write->task, r)
           : ngx_gw_task_read(&write->task, r);
}


static ngx_http_lb_write_t *
ngx_http_lb_write_create(ngx_http_request_t *r, ngx_http_lb_srv_conf_t *lcf,
    uint64_t id)
{
    ngx_http_lb_kind_e    kind;
    ngx_http_lb_write_t  *write;

    write = ngx_pcalloc(r->pool, sizeof(ngx_http_lb_write_t));
    if (write == NULL) {
        return NULL;
    }

    switch (r->method) {

    case NGX_HTTP_POST:
        kind = NGX_HTTP_LB_ADD;
        break;

    case NGX_HTTP_PATCH:
        kind = NGX_HTTP_LB_CHANGE;
        break;

    default: /* NGX_HTTP_DELETE */
        kind = NGX_HTTP_LB_REMOVE;
        break;
    }

    write->edit = ngx_http_lb_edit_create(lcf, kind);
    if (write->edit == NULL) {
        return NULL;
    }

    write->edit->id = id;
    write->edit->finish = ngx_http_lb_write_finish;
    write->edit->data = write;

    write->task.step = ngx_http_lb_write_step;
    write->task.gone = ngx_http_lb_write_gone;

    gw_record_init(&write->reader, kind == NGX_HTTP_LB_ADD ? &lb_entry_new
                                                           : &lb_entry_change,
                   &write->edit->entry, NULL, NULL);

    return write;
}


static void
ngx_http_lb_write_step(ngx_gw_task_t *task)
{
    ngx_int_t             rc;
    ngx_http_lb_write_t  *write;

    write = (ngx_http_lb_write_t *) task;

    if (write->state == NGX_HTTP_LB_WRITE_READ) {
        rc = (write->edit->kind == NGX_HTTP_LB_REMOVE)
             ? ngx_http_lb_write_submit(write)
             : ngx_http_lb_write_read(write);

    } else {
        rc = ngx_http_lb_write_reply(write);
    }

    if (rc == NGX_DONE) {
        return;
    }

    ngx_destroy_pool(write->edit->pool);

    ngx_gw_task_end(task, rc);
}


/*
 * What a state comes to is NGX_DONE if the task goes on, or else what became
 * of the answer.
 */

static ngx_int_t
ngx_http_lb_write_read(ngx_http_lb_write_t *write)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = write->task.request;

    if (write->body.request == NULL) {
        ngx_gw_body_start(&write->body, r);
    }

    rc = ngx_gw_body_feed(&write->body, &write->reader);

    if (rc == NGX_AGAIN) {
        ngx_gw_task_again(&write->task);
        return NGX_DONE;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || gw_record_finish(&write->reader) != 0) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST, "%s",
                                 write->reader.json.error);
    }

    if (write->edit->kind == NGX_HTTP_LB_ADD) {
        return ngx_http_lb_write_line(write);
    }

    if (ngx_http_lb_write_timeout(&write->edit->entry) != NGX_OK) {
        return ngx_gw_json_error(r, NGX_HTTP_BAD_REQUEST,
                                 "timeout is that of a drain, \"state\" must "
                                 "be \"draining\"");
    }

    return ngx_http_lb_write_submit(write);
}


/* Makes an end of it. */

static ngx_int_t
ngx_http_lb_write_timeout(lb_entry_t *entry)
{
    if (!(entry->members & LB_ENTRY_TIMEOUT)) {
        return NGX_OK;
    }

    if (!(entry->members & LB_ENTRY_STATE) || entry->state != LB_ENTRY_DRAIN) {
        return NGX_DECLINED;
    }

    entry->drain_until = ngx_time() + entry->timeout;
    entry->members &= ~LB_ENTRY_TIMEOUT;
    entry->members |= LB_ENTRY_DRAIN_UNTIL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_lb_write_line(ngx_http_lb_write_t *write)
{
    ngx_str_t            text;
    const char          *reason;
    ngx_http_lb_edit_t  *edit;

    edit = write->edit;

    text.len = edit->entry.address_length;
    text.data = ngx_pnalloc(edit->pool, text.len + 1);

    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(text.data, edit->entry.address, text.len);
    text.data[text.len] = '\0';

    if (ngx_http_lb_line_address(edit->pool, &text, &edit->line, &reason)
        != NGX_OK)
    {
        return ngx_gw_json_error(write->task.request, NGX_HTTP_BAD_REQUEST,
                                 "address is \"%V\", must be an IP address "
                                 "and a port, such as \"10.0.0.7:8080\", or "
                                 "\"unix:/path\": %s", &text, reason);
    }

    ngx_http_lb_line_entry(&edit->entry, &edit->line);

    /* a server that nobody has asked yet is down until it has answered */

    edit->line.pending = (edit->conf->check != NULL);

    return ngx_http_lb_write_submit(write);
}


static ngx_int_t
ngx_http_lb_write_submit(ngx_http_lb_write_t *write)
{
    write->state = NGX_HTTP_LB_WRITE_MAKE;

    ngx_gw_task_wait(&write->task);
    ngx_http_lb_edit_submit(write->edit);

    return NGX_DONE;
}


/* A change that is under way goes on without the request. */

static void
ngx_http_lb_write_gone(ngx_gw_task_t *task)
{
    ngx_http_lb_write_t  *write;

    write = (ngx_http_lb_write_t *) task;

    if (write->state == NGX_HTTP_LB_WRITE_MAKE) {
        write->edit->data = NULL;
        return;
    }

    ngx_destroy_pool(write->edit->pool);
}


static void
ngx_http_lb_write_finish(ngx_http_lb_edit_t *edit)
{
    ngx_http_lb_write_t  *write;

    write = edit->data;

    if (write == NULL) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "lb: change of upstream \"%V\" is done, but its client "
                      "has gone", &edit->conf->upstream->host);
        ngx_destroy_pool(edit->pool);
        return;
    }

    write->state = NGX_HTTP_LB_WRITE_ANSWER;

    ngx_gw_task_wake(&write->task);
}


static ngx_int_t
ngx_http_lb_write_reply(ngx_http_lb_write_t *write)
{
    ngx_str_t            *host, name;
    ngx_http_lb_edit_t   *edit;
    ngx_http_request_t   *r;

    r = write->task.request;
    edit = write->edit;
    host = &edit->conf->upstream->host;

    switch (edit->outcome) {

    case NGX_HTTP_LB_DONE:

        if (edit->kind == NGX_HTTP_LB_REMOVE) {
            return ngx_gw_json_send_empty(r, NGX_HTTP_NO_CONTENT);
        }

        if (edit->kind == NGX_HTTP_LB_CHANGE) {
            return ngx_http_lb_write_server(write, NGX_HTTP_OK);
        }

        if (ngx_http_lb_write_location(write) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_lb_write_server(write, NGX_HTTP_CREATED);

    case NGX_HTTP_LB_EXISTS:
        name.len = edit->line.name_length;
        name.data = (u_char *) edit->line.name;

        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "server %V is in upstream \"%V\" already",
                                 &name, host);

    case NGX_HTTP_LB_MISSING:
        return ngx_gw_json_error(r, NGX_HTTP_NOT_FOUND,
                                 "there is no such server in upstream "
                                 "\"%V\"", host);

    case NGX_HTTP_LB_LEAVING:

        if (edit->kind == NGX_HTTP_LB_REMOVE) {
            return ngx_gw_json_send_empty(r, NGX_HTTP_NO_CONTENT);
        }

        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "the server is being removed from upstream "
                                 "\"%V\"", host);

    case NGX_HTTP_LB_RESOLVED:
        return ngx_gw_json_error(r, NGX_HTTP_CONFLICT,
                                 "the server is an address of a name in "
                                 "upstream \"%V\", and would come back: "
                                 "drain it without \"timeout\", or disable "
                                 "it", host);

    case NGX_HTTP_LB_NO_ROOM:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "upstream \"%V\" has room for %uD servers, "
                                 "see \"lb_zone\"; nothing was changed",
                                 host, edit->conf->roster->capacity);

    case NGX_HTTP_LB_NOT_SAVED:
        return ngx_http_lb_write_failed(write, "nothing was changed");

    case NGX_HTTP_LB_UNKNOWN:
        return ngx_http_lb_write_failed(write,
                                        "whether it has the change is "
                                        "unknown");

    case NGX_HTTP_LB_NOT_OURS:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "the state file of upstream \"%V\" is in "
                                 "use by another nginx, nothing was changed",
                                 host);

    case NGX_HTTP_LB_SUPERSEDED:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "upstream \"%V\" is being replaced by a "
                                 "reload, nothing was changed: try again",
                                 host);

    case NGX_HTTP_LB_BUSY:
        return ngx_gw_json_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "another change of upstream \"%V\" takes "
                                 "too long, nothing was changed", host);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/* The file, the call that has failed, and the words of the system. */

static ngx_int_t
ngx_http_lb_write_failed(ngx_http_lb_write_t *write, const char *rest)
{
    u_char               *p, *last;
    u_char                text[NGX_MAX_ERROR_STR];
    ngx_str_t             reason;
    ngx_http_lb_edit_t   *edit;

    edit = write->edit;
    reason.data = text;
    reason.len = 0;

    if (edit->err) {
        last = text + sizeof(text) - 1;

        p = ngx_snprintf(text, sizeof(text) - 1, " (%d: ", edit->err);
        p = ngx_strerror(edit->err, p, last - p);
        *p++ = ')';

        reason.len = p - text;
    }

    return ngx_gw_json_error(write->task.request,
                             NGX_HTTP_SERVICE_UNAVAILABLE,
                             "state file \"%V\" cannot be written: %s "
                             "failed%V; %s", edit->path,
                             edit->failed, &reason, rest);
}


static ngx_int_t
ngx_http_lb_write_server(ngx_http_lb_write_t *write, ngx_uint_t status)
{
    uint32_t                 index;
    ngx_int_t                rc;
    ngx_gw_json_t           *json;
    ngx_http_lb_shown_t      shown;
    ngx_http_lb_srv_conf_t  *lcf;

    lcf = write->edit->conf;
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&lcf->shpool->mutex);

    index = lb_edit_find(lcf->roster, write->edit->id);

    if (index != LB_NONE) {
        rc = ngx_http_lb_show_copy(lcf, index, &shown);
    }

    ngx_shmtx_unlock(&lcf->shpool->mutex);

    if (rc != NGX_OK) {
        return ngx_gw_json_error(write->task.request, NGX_HTTP_CONFLICT,
                                 "the change was made, and the server has "
                                 "been removed since");
    }

    json = ngx_gw_json_create(write->task.request->pool);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_lb_show_write(json, &shown);

    return ngx_gw_json_send(json, write->task.request, status);
}


/* the URI that was posted to, and the id */

static ngx_int_t
ngx_http_lb_write_location(ngx_http_lb_write_t *write)
{
    u_char              *p;
    ngx_str_t            base, value;
    ngx_http_request_t  *r;

    static ngx_str_t  name = ngx_string("Location");

    r = write->task.request;
    base = r->uri;

    if (base.data[base.len - 1] == '/') {
        base.len--;
    }

    value.data = ngx_pnalloc(r->pool, 3 * base.len + 1 + NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) ngx_escape_uri(value.data, base.data, base.len,
                                  NGX_ESCAPE_URI);
    p = ngx_sprintf(p, "/%uL", write->edit->id);

    value.len = p - value.data;

    return ngx_gw_add_header(r, &name, &value);
}
