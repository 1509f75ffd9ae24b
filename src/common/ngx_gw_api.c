
/*
 * A location that one of our modules answers for.
 */


#include "src/common/ngx_gw_api.h"
#include "src/common/ngx_gw_text.h"


static ngx_gw_location_t *ngx_gw_location_owner(ngx_conf_t *cf,
    ngx_http_handler_pt handler);
static char *ngx_gw_api_refuse(ngx_conf_t *cf, const char *location,
    const char *what);


char *
ngx_gw_location_set(ngx_conf_t *cf, ngx_gw_location_t *location,
    ngx_http_handler_pt handler)
{
    ngx_str_t                 *value;
    ngx_gw_location_t         *owner;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    value = cf->args->elts;

    if (clcf->handler == NULL) {
        clcf->handler = handler;

        location->handler = handler;
        location->name = value[0];
        location->file = cf->conf_file->file.name.data;
        location->line = cf->conf_file->line;

        return NGX_CONF_OK;
    }

    if (clcf->handler == handler) {
        return "is duplicate";
    }

    owner = ngx_gw_location_owner(cf, clcf->handler);

    if (owner != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" and \"%V\" cannot be in one location",
                           &value[0], &owner->name);
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" cannot be in one location with another "
                           "directive that answers requests, such as "
                           "\"proxy_pass\"", &value[0]);
    }

    return NGX_CONF_ERROR;
}


static ngx_gw_location_t *
ngx_gw_location_owner(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_uint_t            i;
    ngx_module_t        **modules;
    ngx_gw_location_t    *location;
    ngx_http_conf_ctx_t  *ctx;

    ctx = cf->ctx;
    modules = cf->cycle->modules;

    for (i = 0; modules[i]; i++) {

        if (modules[i]->spare_hook0 != NGX_GW_LOCATION_MARK) {
            continue;
        }

        location = ctx->loc_conf[modules[i]->ctx_index];

        if (location->handler == handler) {
            return location;
        }
    }

    return NULL;
}


char *
ngx_gw_location_merge(ngx_conf_t *cf, ngx_gw_location_t *prev,
    ngx_gw_location_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->handler == NULL) {

        if (clcf->noname && clcf->handler == NULL && prev->handler != NULL) {
            *conf = *prev;
            clcf->handler = conf->handler;
        }

        return NGX_CONF_OK;
    }

    if (clcf->handler != conf->handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" cannot be in one location with another "
                      "directive that answers requests, such as "
                      "\"proxy_pass\", in %s:%ui",
                      &conf->name, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_gw_api_location(ngx_conf_t *cf, ngx_gw_location_t *location,
    ngx_http_handler_pt handler, const char *what)
{
    char                      *rv;
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

    rv = ngx_gw_location_set(cf, location, handler);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

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


ngx_int_t
ngx_gw_api_args(ngx_http_request_t *r, const char *const *names,
    ngx_str_t *other)
{
    u_char      *p, *last, *end, *equal;
    uint32_t     seen;
    ngx_uint_t   i;

    seen = 0;
    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = end + 1) {
        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if (end == p) {
            continue;
        }

        equal = ngx_strlchr(p, end, '=');

        other->data = p;
        other->len = (equal ? equal : end) - p;

        for (i = 0; names[i] != NULL; i++) {
            if (ngx_strlen(names[i]) == other->len
                && ngx_strncmp(names[i], p, other->len) == 0)
            {
                break;
            }
        }

        if (names[i] == NULL || equal == NULL || (seen & (1u << i))) {
            return NGX_DECLINED;
        }

        seen |= 1u << i;
    }

    return NGX_OK;
}
