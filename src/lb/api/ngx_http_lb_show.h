
/*
 * A server as the API shows it.
 */


#ifndef NGX_HTTP_LB_SHOW_H
#define NGX_HTTP_LB_SHOW_H


#include "src/common/ngx_gw_json.h"
#include "src/core/balance/lb_entry.h"
#include "src/lb/ngx_http_lb.h"


/* a server as it is at one moment */

typedef struct {
    uint32_t                  status;
    uint64_t                  since;       /* Unix s, of the state */
    uint32_t                  active;
    uint64_t                  requests;
    uint64_t                  failures;
    uint64_t                  latency;     /* us */
    uint32_t                  health;
    uint32_t                  check_time;  /* ms */
    uint64_t                  checked_at;  /* Unix ms; 0: never */
    uint64_t                  checks[2];   /* that failed, that passed */
    lb_entry_t                entry;
    size_t                    reason_length;
    char                      reason[LB_REASON_MAX];
} ngx_http_lb_shown_t;


/* Copies what there is to show of a slot; NGX_DECLINED if it is not used. */
ngx_int_t ngx_http_lb_show_copy(ngx_http_lb_srv_conf_t *lcf, uint32_t index,
    ngx_http_lb_shown_t *shown);

/* What a server is, by its status: "up", "down", ... */
const char *ngx_http_lb_show_state(uint32_t status);

/* Writes it as a JSON object. */
void ngx_http_lb_show_write(ngx_gw_json_t *json, ngx_http_lb_shown_t *shown);


#endif /* NGX_HTTP_LB_SHOW_H */
