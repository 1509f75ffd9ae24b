
/*
 * Which servers an upstream has after a configuration was read: those of its
 * lines, of its state file, or those that it has already; and what tells the
 * lines from the list in force.
 */


#include "src/lb/upstream/ngx_http_lb_state_lines.h"

#include "src/core/balance/lb_sync.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_line.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


#define ngx_http_lb_state_usable(lcf)                                        \
    ((lcf)->state && (lcf)->state->found && !(lcf)->state->bad)


/* lines that differ and are named in the log */
#define NGX_HTTP_LB_STATE_TOLD   10


static ngx_uint_t ngx_http_lb_state_has_host(lb_line_t *lines, ngx_uint_t n,
    lb_entry_t *entry);
static ngx_int_t ngx_http_lb_state_line(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, lb_entry_t *entry, ngx_array_t *lines);
static ngx_int_t ngx_http_lb_state_server(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, lb_entry_t *entry);
static void ngx_http_lb_state_list(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_file_t *list, lb_list_t *full);
static void ngx_http_lb_state_log(ngx_http_lb_srv_conf_t *lcf);
static ngx_uint_t ngx_http_lb_state_differs(ngx_http_lb_srv_conf_t *lcf,
    lb_line_t *line, uint32_t *hint, u_char *text, size_t size);


/*
 * A name that a person has put into the file is a server line more, unless
 * the configuration has one: then it says what the servers of that are to
 * be, if the file does not tell lines and servers apart.
 */

ngx_int_t
ngx_http_lb_state_names(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_int_t            rc;
    ngx_uint_t           i, n;
    ngx_array_t          lines;
    ngx_http_lb_file_t  *list;

    list = &lcf->state->list;

    if (list->nnames == 0) {
        return NGX_OK;
    }

    if (ngx_array_init(&lines, cf->pool, lcf->nlines + list->nnames,
                       sizeof(lb_line_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_array_push_n(&lines, lcf->nlines), lcf->lines,
               lcf->nlines * sizeof(lb_line_t));

    n = 0;

    for (i = 0; i < list->nnames; i++) {

        if (!ngx_http_lb_state_has_host(lcf->lines, lcf->nlines,
                                        &list->names[i]))
        {
            rc = ngx_http_lb_state_line(cf, lcf, &list->names[i], &lines);
            list->names[n++] = list->names[i];

        } else {
            rc = list->compared
                 ? NGX_OK
                 : ngx_http_lb_state_server(cf, lcf, &list->names[i]);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    list->nnames = n;

    lcf->lines = lines.elts;
    lcf->nlines = lines.nelts;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_lb_state_has_host(lb_line_t *lines, ngx_uint_t n, lb_entry_t *entry)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {

        if (lines[i].host_length == entry->address_length
            && ngx_memcmp(lines[i].host, entry->address,
                          entry->address_length)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_lb_state_line(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    lb_entry_t *entry, ngx_array_t *lines)
{
    ngx_url_t   u;
    ngx_uint_t  i;
    lb_line_t  *line;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.len = entry->address_length;
    u.url.data = ngx_pnalloc(cf->pool, u.url.len + 1);
    if (u.url.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(u.url.data, entry->address, u.url.len);
    u.url.data[u.url.len] = '\0';
    u.default_port = 80;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK
        || lines->nelts + u.naddrs > LB_SERVERS_MAX)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "state file \"%V\" of upstream \"%V\": address "
                      "\"%V\": %s in %s:%ui", &lcf->state->path,
                      &lcf->upstream->host, &u.url,
                      u.err ? u.err : "too many servers", lcf->file,
                      lcf->line);
        return NGX_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {
        line = ngx_array_push(lines);
        if (line == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(line, sizeof(lb_line_t));
        ngx_http_lb_line_entry(entry, line);

        if (ngx_http_lb_line_set(cf->pool, line, &u.addrs[i], NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        line->host = (char *) u.url.data;
        line->host_length = u.url.len;
        line->pending = ngx_http_lb_check_is_mandatory(lcf);
    }

    return NGX_OK;
}


/* servers of the list, from the addresses that their line has */

static ngx_int_t
ngx_http_lb_state_server(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    lb_entry_t *entry)
{
    uint64_t     id;
    uint32_t     i, n;
    lb_line_t   *servers;
    lb_list_t   *list;

    list = &lcf->state->list.list;

    servers = ngx_palloc(cf->pool, (list->nservers + lcf->nlines)
                                   * sizeof(lb_line_t));
    if (servers == NULL) {
        return NGX_ERROR;
    }

    n = list->nservers;
    id = 0;

    for (i = 0; i < n; i++) {
        servers[i] = list->servers[i];

        if (servers[i].id <= LB_ID_COUNTED) {
            id = ngx_max(id, servers[i].id);
        }
    }

    for (i = 0; i < lcf->nlines; i++) {

        if (!ngx_http_lb_state_has_host(&lcf->lines[i], 1, entry)) {
            continue;
        }

        servers[n] = lcf->lines[i];
        ngx_http_lb_line_entry(entry, &servers[n]);
        servers[n++].id = ++id;
    }

    list->servers = servers;
    list->nservers = n;

    return NGX_OK;
}


uint32_t
ngx_http_lb_state_need(ngx_http_lb_srv_conf_t *lcf)
{
    lb_list_t  list;

    if (!ngx_http_lb_state_usable(lcf)) {
        return lcf->nlines;
    }

    ngx_http_lb_state_list(lcf, &lcf->state->list, &list);

    return lb_adopt_need(&list, lcf->lines, lcf->nlines);
}


/* a file that a person has written knows of all lines that there are */

static void
ngx_http_lb_state_list(ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_file_t *list,
    lb_list_t *full)
{
    *full = list->list;

    if (!list->compared) {
        full->lines = lcf->lines;
        full->nlines = lcf->configured;
    }
}


ngx_int_t
ngx_http_lb_state_seed(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_int_t    rc;
    lb_list_t    list;
    lb_note_pt   note;

    rc = NGX_OK;
    note = NULL;

    if (lcf->state) {
        gw_store_release(&lcf->roster->kept, lcf->state->key);
    }

    if (ngx_http_lb_state_usable(lcf)) {
        ngx_http_lb_state_list(lcf, &lcf->state->list, &list);

        if (!lb_adopt_list(lcf->roster, &list, NULL, NULL)) {
            rc = NGX_ERROR;
        }

        gw_store_release(&lcf->roster->file, lcf->state->list.stamp);

        /* a line that is new is told of as at a reload */

        note = ngx_test_config ? NULL : ngx_http_lb_log_member;
    }

    lb_name_sync(lcf->roster, lcf->names, lcf->nnames);

    if (!lb_sync_lines(lcf->roster, lcf->lines, lcf->nlines, note, lcf)) {
        rc = NGX_ERROR;
    }

    return rc;
}


uint64_t
ngx_http_lb_state_key(ngx_http_lb_srv_conf_t *lcf)
{
    return lcf->state ? lcf->state->key : 0;
}


void
ngx_http_lb_state_apply(ngx_http_lb_srv_conf_t *lcf)
{
    uint64_t      key;
    lb_roster_t  *roster;

    roster = lcf->roster;
    key = ngx_http_lb_state_key(lcf);

    if (ngx_http_lb_state_usable(lcf)
        && gw_load_acquire(&roster->kept) != key)
    {

        /* there was no file, or another one, when servers were added */

        lcf->state->list.list.merge = true;
        gw_store_release(&roster->kept, key);
        ngx_http_lb_state_adopt(lcf, &lcf->state->list);
        return;
    }

    lb_name_sync(roster, lcf->names, lcf->nnames);

    if (!lb_sync_lines(roster, lcf->lines, lcf->nlines,
                        ngx_http_lb_log_member, lcf))
    {
        ngx_http_lb_state_log(lcf);
    }

    gw_store_release(&roster->kept, key);

    if (lcf->state) {
        ngx_http_lb_state_compare(lcf, ngx_cycle->log);
    }
}


void
ngx_http_lb_state_adopt(ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_file_t *list)
{
    bool       fits;
    lb_list_t  full;

    ngx_http_lb_state_list(lcf, list, &full);

    fits = lb_adopt_list(lcf->roster, &full, ngx_http_lb_log_read, lcf);

    lb_name_sync(lcf->roster, lcf->names, lcf->nnames);

    if (!lb_sync_lines(lcf->roster, lcf->lines, lcf->nlines,
                       ngx_http_lb_log_member, lcf)
        || !fits)
    {
        ngx_http_lb_state_log(lcf);
    }

    gw_store_release(&lcf->roster->file, list->stamp);

    ngx_http_lb_state_compare(lcf, ngx_cycle->log);
}


static void
ngx_http_lb_state_log(ngx_http_lb_srv_conf_t *lcf)
{
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "lb: no slot for some servers of upstream \"%V\": "
                  "removed ones are still busy", &lcf->upstream->host);
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
    lb_line_t     now;
    lb_roster_t  *roster;
    lb_server_t  *server;

    roster = lcf->roster;
    used = lb_roster_used(roster);
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

    now.weight = gw_load_relaxed(&server->weight);
    now.max_conns = gw_load_relaxed(&server->max_conns);
    now.max_fails = gw_load_relaxed(&server->max_fails);
    now.fail_timeout = gw_load_relaxed(&server->fail_timeout);

    if (now.weight != line->weight) {
        (void) ngx_snprintf(text, size, "weight is %uD, not %uD%Z",
                            now.weight, line->weight);

    } else if (now.max_conns != line->max_conns) {
        (void) ngx_snprintf(text, size, "max_conns is %uD, not %uD%Z",
                            now.max_conns, line->max_conns);

    } else if (now.max_fails != line->max_fails) {
        (void) ngx_snprintf(text, size, "max_fails is %uD, not %uD%Z",
                            now.max_fails, line->max_fails);

    } else if (now.fail_timeout != line->fail_timeout) {
        (void) ngx_snprintf(text, size, "fail_timeout is %uLms, not %uLms%Z",
                            now.fail_timeout, line->fail_timeout);

    } else if (status != line->status) {
        (void) ngx_snprintf(text, size, "\"%s\" is not that of the server%Z",
                            ((status ^ line->status) & LB_BACKUP)
                            ? "backup" : "down");

    } else {
        return 0;
    }

    return 1;
}
