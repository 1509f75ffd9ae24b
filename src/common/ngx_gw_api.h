
/*
 * Locations that one of our modules answers for: that nobody else does, and,
 * for the HTTP APIs, which will do, where in it a request is, and what
 * browsers are told.
 */


#ifndef NGX_GW_API_H
#define NGX_GW_API_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Who answers for a location: the first member of the location configuration
 * of a module that ends with NGX_GW_MODULE_PADDING, by which one of ours finds
 * the other's.
 */

typedef struct {
    ngx_http_handler_pt   handler;     /* NULL: none of this module */
    ngx_str_t             name;        /* of its directive */
    u_char               *file;
    ngx_uint_t            line;
} ngx_gw_location_t;

#define NGX_GW_LOCATION_MARK   0x67774c6f63

#define NGX_GW_MODULE_PADDING  NGX_GW_LOCATION_MARK, 0, 0, 0, 0, 0, 0, 0


/*
 * For a directive: makes handler the content handler of the location being
 * configured, unless it has one.  NGX_CONF_OK, or what is wrong.
 */

char *ngx_gw_location_set(ngx_conf_t *cf, ngx_gw_location_t *location,
    ngx_http_handler_pt handler);

/*
 * For the merging of a location with the one around it: "if" and
 * "limit_except" have its handler unless they have their own.  NGX_CONF_OK, or
 * NGX_CONF_ERROR if a later directive has taken the location over.
 */

char *ngx_gw_location_merge(ngx_conf_t *cf, ngx_gw_location_t *prev,
    ngx_gw_location_t *conf);

/*
 * The first for an API.  What follows the location's name in a URI is "what"
 * ("a client's id"), so it must be given by a prefix.
 */

char *ngx_gw_api_location(ngx_conf_t *cf, ngx_gw_location_t *location,
    ngx_http_handler_pt handler, const char *what);

/*
 * Adds the headers that every answer of an API has, whatever it will be:
 * not to be stored, not to be guessed at.  NGX_OK or NGX_ERROR.
 */

ngx_int_t ngx_gw_api_headers(ngx_http_request_t *r);

/*
 * Where the request is below its location: *rest is what follows the
 * location's name and the "/" after it; NGX_DECLINED if it is the location
 * itself.  NGX_ERROR if the URI merely begins with the same letters.
 * The URI is the normalised one, percent-decoded.
 */

ngx_int_t ngx_gw_api_path(ngx_http_request_t *r, ngx_str_t *rest);

/*
 * Whether the request has only arguments of these names, which end with NULL,
 * each once and with "=": NGX_OK, or NGX_DECLINED and the name of the first
 * other one.
 */

ngx_int_t ngx_gw_api_args(ngx_http_request_t *r, const char *const *names,
    ngx_str_t *other);


#endif /* NGX_GW_API_H */
