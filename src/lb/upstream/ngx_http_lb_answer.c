
/*
 * What becomes of an upstream's servers when a name has other addresses.
 */


#include "src/lb/upstream/ngx_http_lb_answer.h"

#include "src/core/balance/lb_edit.h"
#include "src/lb/upstream/ngx_http_lb_check_conf.h"
#include "src/lb/upstream/ngx_http_lb_log.h"


static uint32_t ngx_http_lb_answer_add(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_answer_t *answer);
static void ngx_http_lb_answer_retire(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_answer_t *answer);


void
ngx_http_lb_answer(ngx_http_lb_srv_conf_t *lcf, ngx_http_lb_answer_t *answer)
{
    uint32_t    i;
    ngx_uint_t  pending;

    pending = lcf->check
              && (ngx_http_lb_check_is_mandatory(lcf)
                  || lb_name_is_known(lcf->roster, answer->answer.name));

    for (i = 0; i < answer->answer.n; i++) {
        answer->lines[i].pending = pending;
    }

    lb_name_follow(lcf->roster, &answer->answer);

    /* where there is no room for both, the old ones make it */

    lb_roster_sweep(lcf->roster, ngx_http_lb_log_gone, lcf);

    answer->left = ngx_http_lb_answer_add(lcf, answer);

    ngx_http_lb_answer_retire(lcf, answer);

    if (answer->left) {
        answer->left = ngx_http_lb_answer_add(lcf, answer);
    }
}


/* how many are not in, as there is no slot for them */

static uint32_t
ngx_http_lb_answer_add(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_answer_t *answer)
{
    uint32_t      i, index, left;
    lb_line_t    *line;
    lb_roster_t  *roster;

    roster = lcf->roster;
    left = 0;

    for (i = 0; i < answer->answer.n; i++) {
        line = &answer->lines[i];

        if (lb_name_find(roster, line) != LB_NONE) {
            continue;
        }

        index = lb_edit_returns(roster, line);

        if (index != LB_NONE) {
            ngx_http_lb_log_gone(lcf, lb_roster_identity(roster, index), 0);
        }

        index = lb_edit_add(roster, line);

        if (index == LB_NONE) {
            left++;
            continue;
        }

        ngx_http_lb_log_edit(lcf, index, "added", NGX_HTTP_LB_LOG_FOUND);
    }

    return left;
}


static void
ngx_http_lb_answer_retire(ngx_http_lb_srv_conf_t *lcf,
    ngx_http_lb_answer_t *answer)
{
    uint32_t      i, used, status;
    lb_load_t     load;
    lb_roster_t  *roster;

    roster = lcf->roster;
    load = lb_roster_load(roster);
    used = lb_roster_used(roster);

    lb_roster_retire(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if ((status & LB_REPLACED) && (status & LB_REMOVED)
            && lb_roster_identity(roster, i)->resolved
            && lb_load_active(&load, i) != 0)
        {
            atomic_fetch_and_explicit(&lb_roster_server(roster, i)->status,
                                      ~(uint32_t) LB_REPLACED,
                                      memory_order_acq_rel);
            ngx_http_lb_log_edit(lcf, i, "draining", NGX_HTTP_LB_LOG_LOST);
        }
    }

    lb_roster_sweep(roster, ngx_http_lb_log_gone, lcf);
}
