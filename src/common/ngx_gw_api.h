
/*
 * What the HTTP APIs of both modules are at their location: which locations
 * will do, where in it a request is, and what browsers are told.
 */


#ifndef NGX_GW_API_H
#define NGX_GW_API_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Makes handler the content handler of the location being configured.  What
 * follows the location's name in a URI is "what" ("a client's id"), so it
 * must be given by a prefix: returns NGX_CONF_OK, or what is wrong.
 */

char *ngx_gw_api_location(ngx_conf_t *cf, ngx_http_handler_pt handler,
    const char *what);

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


#endif /* NGX_GW_API_H */
