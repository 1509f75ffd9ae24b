
/*
 * Server lines as the core wants them: made of the configuration's, of an
 * address as text, of what JSON says.
 */


#include "src/lb/upstream/ngx_http_lb_line.h"

#include "src/common/ngx_gw_compat.h"
#include "src/core/balance/lb_edit.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_resolve_conf.h"

#include <ngx_md5.h>


static ngx_int_t ngx_http_lb_line_add(ngx_conf_t *cf,
    ngx_http_lb_srv_conf_t *lcf, ngx_http_upstream_server_t *server);


ngx_int_t
ngx_http_lb_line_init(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf)
{
    ngx_uint_t                   i, n, backup;
    ngx_http_lb_name_t          *name;
    ngx_http_upstream_server_t  *server;

    server = lcf->upstream->servers->elts;
    n = 0;
    backup = 0;

    for (i = 0; i < lcf->upstream->servers->nelts; i++) {
        n += server[i].naddrs;
        backup += server[i].backup ? server[i].naddrs : 0;
    }

    /* a name is one, whatever it comes to */

    name = lcf->resolve ? lcf->resolve->elts : NULL;

    for (i = 0; lcf->resolve && i < lcf->resolve->nelts; i++) {
        n++;
        backup += name[i].backup ? 1 : 0;
    }

    if (n == backup || n > LB_SERVERS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%ui servers, %ui of them backup, in upstream \"%V\", "
                      "there must be one that is not and at most %d "
                      "in %s:%ui",
                      n, backup, &lcf->upstream->host, LB_SERVERS_MAX,
                      lcf->file, lcf->line);
        return NGX_ERROR;
    }

    lcf->lines = ngx_pcalloc(cf->pool, n * sizeof(lb_line_t));
    if (lcf->lines == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < lcf->upstream->servers->nelts; i++) {

        if (ngx_http_lb_line_add(cf, lcf, &server[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one line of ours for each address of the server */

static ngx_int_t
ngx_http_lb_line_add(ngx_conf_t *cf, ngx_http_lb_srv_conf_t *lcf,
    ngx_http_upstream_server_t *server)
{
    ngx_str_t   *host;
    ngx_uint_t   j;
    ngx_addr_t  *addr;
    lb_line_t   *line;

    /* a name that is looked up later is no line of ours */

    host = ngx_gw_server_host(server);

    if (host && host->len) {
        return NGX_OK;
    }

    for (j = 0; j < server->naddrs; j++) {
        addr = &server->addrs[j];

        if (server->name.len > LB_HOST_MAX || addr->name.len > LB_NAME_MAX
            || addr->socklen > LB_ADDRESS_MAX)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "name of server \"%V\" in upstream \"%V\" is "
                          "longer than %d characters in %s:%ui",
                          &server->name, &lcf->upstream->host, LB_HOST_MAX,
                          lcf->file, lcf->line);
            return NGX_ERROR;
        }

        line = &lcf->lines[lcf->nlines++];

        if (ngx_http_lb_line_set(cf->pool, line, addr,
                                 ngx_gw_server_route(server))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        line->host = (char *) server->name.data;
        line->host_length = server->name.len;
        line->pending = ngx_http_lb_check_is_mandatory(lcf);

        ngx_http_lb_line_settings(server, line);
    }

    return NGX_OK;
}


void
ngx_http_lb_line_settings(ngx_http_upstream_server_t *server, lb_line_t *line)
{
    line->weight = ngx_min(server->weight, UINT32_MAX);
    line->max_conns = ngx_min(server->max_conns, UINT32_MAX);
    line->max_fails = ngx_min(server->max_fails, INT32_MAX);
    line->fail_timeout = (uint64_t) server->fail_timeout * 1000;
    line->status = server->backup ? LB_BACKUP : 0;

    if (server->down) {
        line->status |= ngx_gw_server_drains(server) ? LB_DRAINING
                                                     : LB_DISABLED;
    }
}


ngx_int_t
ngx_http_lb_line_set(ngx_pool_t *pool, lb_line_t *line, ngx_addr_t *addr,
    ngx_str_t *route)
{
    u_char    *p, md5[16];
    ngx_md5_t  ctx;

    line->name = (char *) addr->name.data;
    line->name_length = addr->name.len;
    line->address = addr->sockaddr;
    line->address_length = addr->socklen;

    if (route && route->len) {
        line->sid = (char *) route->data;
        line->sid_length = ngx_min(route->len, LB_SID_MAX);

        return NGX_OK;
    }

    p = ngx_pnalloc(pool, LB_SID_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_md5_init(&ctx);
    ngx_md5_update(&ctx, addr->name.data, addr->name.len);
    ngx_md5_final(md5, &ctx);

    (void) ngx_hex_dump(p, md5, sizeof(md5));

    line->sid = (char *) p;
    line->sid_length = LB_SID_MAX;

    return NGX_OK;
}


ngx_int_t
ngx_http_lb_line_address(ngx_pool_t *pool, ngx_str_t *text, lb_line_t *line,
    const char **reason)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = 80;
    u.no_resolve = 1;

    if (ngx_parse_url(pool, &u) != NGX_OK) {
        *reason = u.err ? u.err : "no memory";
        return NGX_DECLINED;
    }

    if (u.naddrs == 0) {
        *reason = "names are looked up in server lines only";
        return NGX_DECLINED;
    }

    if (u.naddrs > 1) {
        *reason = "more than one address";
        return NGX_DECLINED;
    }

    if (u.addrs->name.len > LB_NAME_MAX
        || u.addrs->socklen > LB_ADDRESS_MAX)
    {
        *reason = "too long";
        return NGX_DECLINED;
    }

    if (ngx_http_lb_line_set(pool, line, u.addrs, NULL) != NGX_OK) {
        *reason = "no memory";
        return NGX_DECLINED;
    }

    line->host = line->name;
    line->host_length = line->name_length;

    return NGX_OK;
}


/* nginx's defaults for what was not said */

void
ngx_http_lb_line_entry(const lb_entry_t *entry, lb_line_t *line)
{
    unsigned  members;

    members = entry->members;

    line->weight = (members & LB_ENTRY_WEIGHT) ? entry->weight : 1;
    line->max_conns = (members & LB_ENTRY_MAX_CONNS) ? entry->max_conns : 0;
    line->max_fails = (members & LB_ENTRY_MAX_FAILS) ? entry->max_fails : 1;
    line->fail_timeout = (members & LB_ENTRY_FAIL_TIMEOUT)
                         ? entry->fail_timeout : 10000;
    line->status = lb_edit_status(entry);
    line->drain_until = (members & LB_ENTRY_DRAIN_UNTIL) ? entry->drain_until
                                                         : 0;
    line->id = entry->id;
}
