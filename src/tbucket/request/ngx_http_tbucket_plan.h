
/*
 * "plan=VALUE" of a limit: the plan that a request brings along.
 */


#ifndef NGX_HTTP_TBUCKET_PLAN_H
#define NGX_HTTP_TBUCKET_PLAN_H


#include "src/tbucket/ngx_http_tbucket.h"


/*
 * Gives the bucket of a charge the plan that the request has, unless its client
 * has limits or a plan of its own.  An empty or unknown one is none.
 */

void ngx_http_tbucket_plan(ngx_http_request_t *r,
    ngx_http_tbucket_charge_t *charge);

/*
 * The name of the plan that limits the bucket, into TB_PLAN_NAME_MAX bytes at
 * buf; returns what follows it.
 */

u_char *ngx_http_tbucket_plan_print(u_char *buf,
    ngx_http_tbucket_charge_t *charge);


#endif /* NGX_HTTP_TBUCKET_PLAN_H */
