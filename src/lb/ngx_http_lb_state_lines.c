
/*
 * Which servers an upstream has after a configuration was read: those of its
 * lines, of its state file, or those that it has already; and what tells the
 * lines from the list in force.
 */


#include "src/lb/ngx_http_lb_edit.h"


/* lines that differ and are named in the log */
#define NGX_HTTP_LB_STATE_TOLD   10


static ngx_uint_t ngx_http_lb_state_rules(ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_state_differs(ngx_http_lb_srv_conf_t *lcf,
    lb_line_t *line, uint32_t *hint, u_char *text, size_t size);


void
ngx_http_lb_state_seed(ngx_http_lb_srv_conf_t *lcf, lb_line_t **lines,
    uint32_t *n)
{
    if (lcf->state && lcf->state->found && !lcf->state->bad) {
        *lines = lcf->state->lines;
        *n = lcf->state->nlines;
        return;
    }

    *lines = lcf->lines;
    *n = lcf->nlines;
}


/* whether the servers in shared memory are the list, and not the lines */

static ngx_uint_t
ngx_http_lb_state_rules(ngx_http_lb_srv_conf_t *lcf)
{
    return lcf->state && lcf->state->found
           && atomic_load(&lcf->roster->kept) != 0;
}


void
ngx_http_lb_state_apply(ngx_http_lb_srv_conf_t *lcf)
{
    uint32_t    n;
    lb_line_t  *lines;

    if (ngx_http_lb_state_rules(lcf)) {
        ngx_http_lb_state_compare(lcf, ngx_cycle->log);
        return;
    }

    if (atomic_load(&lcf->roster->kept)) {
        lines = lcf->lines;
        n = lcf->nlines;

    } else {
        ngx_http_lb_state_seed(lcf, &lines, &n);
    }

    if (!lb_roster_sync(lcf->roster, lines, n, ngx_http_lb_log_member, lcf)) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "lb: no slot for some servers of upstream \"%V\": "
                      "removed ones are still busy", &lcf->upstream->host);
    }

    atomic_store(&lcf->roster->kept, lcf->state != NULL);
}


void
ngx_http_lb_state_compare(ngx_http_lb_srv_conf_t *lcf, ngx_log_t *log)
{
    u_char      text[128];
    uint32_t    i, hint;
    ngx_str_t   name;
    ngx_uint_t  n;

    n = 0;
    hint = 0;

    for (i = 0; i < lcf->nlines; i++) {

        if (!ngx_http_lb_state_differs(lcf, &lcf->lines[i], &hint, text,
                                       sizeof(text)))
        {
            continue;
        }

        if (n++ < NGX_HTTP_LB_STATE_TOLD) {
            name.len = lcf->lines[i].host_length;
            name.data = (u_char *) lcf->lines[i].host;

            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "lb: line of server %V in upstream \"%V\" differs "
                          "from the list in force: %s",
                          &name, &lcf->upstream->host, text);
        }
    }

    if (n > NGX_HTTP_LB_STATE_TOLD) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "lb: lines of %ui more servers in upstream \"%V\" "
                      "differ from the list in force",
                      n - NGX_HTTP_LB_STATE_TOLD, &lcf->upstream->host);
    }
}


static ngx_uint_t
ngx_http_lb_state_differs(ngx_http_lb_srv_conf_t *lcf, lb_line_t *line,
    uint32_t *hint, u_char *text, size_t size)
{
    uint32_t      i, index, status, used;
    lb_roster_t  *roster;
    lb_server_t  *server;

    roster = lcf->roster;
    used = atomic_load(&roster->used);
    server = NULL;
    status = 0;

    for (i = 0; i < used; i++) {
        index = (*hint + i) % used;
        status = lb_roster_status(roster, index);

        if ((status & LB_USED) && !(status & LB_REMOVED)
            && lb_roster_same(lb_roster_identity(roster, index), line))
        {
            server = lb_roster_server(roster, index);
            *hint = index + 1;
            break;
        }
    }

    if (server == NULL) {
        (void) ngx_snprintf(text, size, "there is no such server%Z");
        return 1;
    }

    status &= LB_BACKUP | LB_DISABLED;

    if (server->weight != line->weight) {
        (void) ngx_snprintf(text, size, "weight is %uD, not %uD%Z",
                            server->weight, line->weight);

    } else if (server->max_conns != line->max_conns) {
        (void) ngx_snprintf(text, size, "max_conns is %uD, not %uD%Z",
                            server->max_conns, line->max_conns);

    } else if (server->max_fails != line->max_fails) {
        (void) ngx_snprintf(text, size, "max_fails is %uD, not %uD%Z",
                            server->max_fails, line->max_fails);

    } else if (server->fail_timeout != line->fail_timeout) {
        (void) ngx_snprintf(text, size, "fail_timeout is %uLms, not %uLms%Z",
                            server->fail_timeout, line->fail_timeout);

    } else if (status != line->status) {
        (void) ngx_snprintf(text, size, "\"%s\" is not that of the server%Z",
                            ((status ^ line->status) & LB_BACKUP)
                            ? "backup" : "down");

    } else {
        return 0;
    }

    return 1;
}
