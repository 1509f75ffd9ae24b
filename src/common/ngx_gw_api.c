
/*
 * A location that is an API.
 */


#include "src/common/ngx_gw_api.h"
#include "src/common/ngx_gw_text.h"


static char *ngx_gw_api_refuse(ngx_conf_t *cf, const char *location,
    const char *what);


char *
ngx_gw_api_location(ngx_conf_t *cf, ngx_http_handler_pt handler,
    const char *what)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

#if (NGX_PCRE)
    if (clcf->regex) {
        return ngx_gw_api_refuse(cf, "location given by a regular expression",
                                 what);
    }
#endif

    if (clcf->named) {
        return ngx_gw_api_refuse(cf, "named location", what);
    }

    clcf->handler = handler;

    if (clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_gw_api_refuse(ngx_conf_t *cf, const char *location, const char *what)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" directive cannot be in a %s: "
                       "what follows the location's name is %s",
                       &value[0], location, what);

    return NGX_CONF_ERROR;
}


ngx_int_t
ngx_gw_api_headers(ngx_http_request_t *r)
{
    static ngx_str_t  cache = ngx_string("Cache-Control");
    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  options = ngx_string("X-Content-Type-Options");
    static ngx_str_t  nosniff = ngx_string("nosniff");

    if (ngx_gw_add_header(r, &cache, &no_store) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_gw_add_header(r, &options, &nosniff);
}


ngx_int_t
ngx_gw_api_path(ngx_http_request_t *r, ngx_str_t *rest)
{
    ngx_str_t                  name;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    name = clcf->name;

    if (name.len > 0 && name.data[name.len - 1] == '/') {
        name.len--;
    }

    if (r->uri.len < name.len
        || ngx_strncmp(r->uri.data, name.data, name.len) != 0)
    {
        return NGX_ERROR;
    }

    rest->data = r->uri.data + name.len;
    rest->len = r->uri.len - name.len;

    if (rest->len == 0) {
        return NGX_DECLINED;
    }

    if (rest->data[0] != '/') {
        return NGX_ERROR;
    }

    rest->data++;
    rest->len--;

    return rest->len ? NGX_OK : NGX_DECLINED;
}
