
/*
 * lb_metrics: the balancer's counters and gauges for Prometheus, and the
 * counting of answers.
 *
 * The figures of all servers are copied first and printed then, a thousand
 * servers in one pass of the event loop.
 */


#include "src/lb/api/ngx_http_lb_metrics.h"

#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_prom.h"
#include "src/common/ngx_gw_task.h"
#include "src/core/balance/lb_gate.h"
#include "src/lb/api/ngx_http_lb_show.h"


#define NGX_HTTP_LB_METRICS_PASS   1000
#define NGX_HTTP_LB_METRICS_SLICE  32


/* of one server */

typedef struct {
    ngx_uint_t                 upstream;    /* number of its upstream */
    size_t                     length;
    u_char                     name[LB_NAME_MAX + sizeof("#")
                                    + NGX_INT64_LEN];
    uint64_t                   id;
    uint64_t                   answers[LB_ANSWERS];
    uint64_t                   failures;
    uint64_t                   active;
    uint32_t                   status;
    uint64_t                   checks[2];
} ngx_http_lb_figures_t;


typedef struct {
    ngx_gw_task_t              task;
    ngx_gw_prom_t              prom;
    ngx_http_lb_srv_conf_t   **lcfp;
    ngx_uint_t                 upstreams;
    ngx_uint_t                 upstream;    /* that is copied */
    uint32_t                   slot;        /* that is next */
    ngx_uint_t                 family;      /* that is printed */
    ngx_uint_t                 next;        /* row of it */
    ngx_http_lb_figures_t     *rows;
    ngx_uint_t                 nrows;
    ngx_uint_t                 max;
    uint32_t                  *seen;        /* rows + 1 by hash of the name */
    ngx_uint_t                 mask;
} ngx_http_lb_metrics_t;


typedef struct {
    const char                *name;
    const char                *type;
    const char                *help;
    void                     (*print)(ngx_http_lb_metrics_t *m,
                                      ngx_http_lb_figures_t *row);
} ngx_http_lb_family_t;


static ngx_int_t ngx_http_lb_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_lb_metrics_room(ngx_http_lb_metrics_t *m,
    ngx_pool_t *pool);
static void ngx_http_lb_metrics_step(ngx_gw_task_t *task);
static void ngx_http_lb_metrics_copy(ngx_http_lb_metrics_t *m);
static void ngx_http_lb_metrics_row(ngx_http_lb_metrics_t *m, uint32_t index);
static void ngx_http_lb_metrics_name(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_print(ngx_http_lb_metrics_t *m);
static void ngx_http_lb_metrics_sample(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row, const char *label, const char *value,
    uint64_t figure);
static void ngx_http_lb_metrics_requests(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_failures(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_up(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_state(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_active(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_checks(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row);
static void ngx_http_lb_metrics_upstreams(ngx_http_lb_metrics_t *m);
static void ngx_http_lb_metrics_times(ngx_http_lb_metrics_t *m,
    const char *name, const char *help, ngx_uint_t waits);
static void ngx_http_lb_metrics_queues(ngx_http_lb_metrics_t *m);
static void ngx_http_lb_metrics_refused(ngx_http_lb_metrics_t *m);


static const ngx_http_lb_family_t  ngx_http_lb_families[] = {

    { "lb_requests_total", "counter",
      "Answers of servers, by class of status.",
      ngx_http_lb_metrics_requests },

    { "lb_failures_total", "counter",
      "Failed attempts to get an answer.",
      ngx_http_lb_metrics_failures },

    { "lb_server_up", "gauge",
      "Whether the server takes requests.",
      ngx_http_lb_metrics_up },

    { "lb_server_state", "gauge",
      "Whether the server is in that state.",
      ngx_http_lb_metrics_state },

    { "lb_active", "gauge",
      "Requests that the server is busy with.",
      ngx_http_lb_metrics_active },

    { "lb_checks_total", "counter",
      "Health checks, by result.",
      ngx_http_lb_metrics_checks },

    { NULL, NULL, NULL, NULL }
};


char *
ngx_http_lb_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_lb_loc_conf_t  *llcf = conf;

    return ngx_gw_location_set(cf, &llcf->location,
                               ngx_http_lb_metrics_handler);
}


static ngx_int_t
ngx_http_lb_metrics_handler(ngx_http_request_t *r)
{
    ngx_http_lb_metrics_t    *m;
    ngx_http_lb_main_conf_t  *lmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    m = ngx_pcalloc(r->pool, sizeof(ngx_http_lb_metrics_t));
    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_lb_upstream_module);

    m->lcfp = lmcf->upstreams.elts;
    m->upstreams = lmcf->upstreams.nelts;

    if (ngx_http_lb_metrics_room(m, r->pool) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_gw_prom_init(&m->prom, r->pool);
    ngx_gw_prom_build(&m->prom, "lb_build_info");

    m->task.step = ngx_http_lb_metrics_step;

    return ngx_gw_task_run(&m->task, r);
}


static ngx_int_t
ngx_http_lb_metrics_room(ngx_http_lb_metrics_t *m, ngx_pool_t *pool)
{
    ngx_uint_t  i, size;

    for (i = 0; i < m->upstreams; i++) {
        m->max += lb_roster_used(m->lcfp[i]->roster);
    }

    for (size = 8; size < 2 * m->max; size *= 2) { /* void */ }

    m->mask = size - 1;
    m->seen = ngx_pcalloc(pool, size * sizeof(uint32_t));
    m->rows = ngx_palloc(pool, (m->max + 1) * sizeof(ngx_http_lb_figures_t));

    return (m->seen && m->rows) ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_lb_metrics_step(ngx_gw_task_t *task)
{
    ngx_int_t               rc;
    ngx_http_lb_metrics_t  *m;

    m = (ngx_http_lb_metrics_t *) task;

    if (m->upstream < m->upstreams) {
        ngx_http_lb_metrics_copy(m);
    }

    if (m->upstream == m->upstreams) {
        ngx_http_lb_metrics_print(m);
    }

    if (ngx_http_lb_families[m->family].name) {
        ngx_gw_task_again(task);
        return;
    }

    ngx_http_lb_metrics_upstreams(m);
    ngx_http_lb_metrics_times(m, "lb_response_seconds",
                              "Time until the header of a server's answer.",
                              0);
    ngx_http_lb_metrics_queues(m);

    rc = ngx_gw_prom_send(&m->prom, task->request);

    ngx_gw_task_end(task, rc);
}


static void
ngx_http_lb_metrics_copy(ngx_http_lb_metrics_t *m)
{
    uint32_t                 used;
    ngx_uint_t               i, n;
    ngx_http_lb_srv_conf_t  *lcf;

    for (n = 0; n < NGX_HTTP_LB_METRICS_PASS; n += NGX_HTTP_LB_METRICS_SLICE) {

        if (m->upstream == m->upstreams) {
            return;
        }

        lcf = m->lcfp[m->upstream];

        ngx_shmtx_lock(&lcf->shpool->mutex);

        used = lb_roster_used(lcf->roster);

        for (i = 0; i < NGX_HTTP_LB_METRICS_SLICE && m->slot < used; i++) {
            ngx_http_lb_metrics_row(m, m->slot++);
        }

        ngx_shmtx_unlock(&lcf->shpool->mutex);

        if (m->slot >= used) {
            m->upstream++;
            m->slot = 0;
        }
    }
}


static void
ngx_http_lb_metrics_row(ngx_http_lb_metrics_t *m, uint32_t index)
{
    uint32_t                i, status;
    lb_load_t               load;
    lb_roster_t            *roster;
    lb_server_t            *server;
    lb_identity_t          *identity;
    ngx_http_lb_figures_t  *row;

    roster = m->lcfp[m->upstream]->roster;
    status = lb_roster_status(roster, index);

    if (!(status & LB_USED) || (status & LB_REMOVED) || m->nrows == m->max) {
        return;
    }

    load = lb_roster_load(roster);
    server = lb_roster_server(roster, index);
    identity = lb_roster_identity(roster, index);
    row = &m->rows[m->nrows];

    row->upstream = m->upstream;
    row->id = identity->id;
    row->length = identity->name_length;
    ngx_memcpy(row->name, identity->name, row->length);

    for (i = 0; i < LB_ANSWERS; i++) {
        row->answers[i] = gw_load_acquire(&server->answers[i]);
    }

    row->failures = gw_load_acquire(&server->failures);
    row->active = lb_load_active(&load, index);
    row->status = status;
    row->checks[0] = gw_load_acquire(&server->checks[0]);
    row->checks[1] = gw_load_acquire(&server->checks[1]);

    ngx_http_lb_metrics_name(m, row);

    m->nrows++;
}


/* labels have to be unique, but an address may be listed twice */

static void
ngx_http_lb_metrics_name(ngx_http_lb_metrics_t *m, ngx_http_lb_figures_t *row)
{
    ngx_uint_t              i;
    ngx_http_lb_figures_t  *other;

    i = ngx_murmur_hash2(row->name, row->length) + row->upstream;

    for (i &= m->mask; m->seen[i]; i = (i + 1) & m->mask) {
        other = &m->rows[m->seen[i] - 1];

        if (other->upstream == row->upstream && other->length == row->length
            && ngx_memcmp(other->name, row->name, row->length) == 0)
        {
            row->length = ngx_sprintf(row->name + row->length, "#%uL",
                                      row->id)
                          - row->name;
            return;
        }
    }

    m->seen[i] = (uint32_t) m->nrows + 1;
}


static void
ngx_http_lb_metrics_print(ngx_http_lb_metrics_t *m)
{
    ngx_uint_t                   n;
    const ngx_http_lb_family_t  *family;

    for (n = 0; n < NGX_HTTP_LB_METRICS_PASS; n++) {
        family = &ngx_http_lb_families[m->family];

        if (family->name == NULL) {
            return;
        }

        if (m->next == 0) {
            ngx_gw_prom_metric(&m->prom, family->name, family->type,
                               family->help);
        }

        if (m->next < m->nrows) {
            family->print(m, &m->rows[m->next++]);
        }

        if (m->next >= m->nrows) {
            m->family++;
            m->next = 0;
        }
    }
}


static void
ngx_http_lb_metrics_sample(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row, const char *label, const char *value,
    uint64_t figure)
{
    ngx_gw_prom_label_t  labels[3];

    labels[0].name = "upstream";
    labels[0].value = m->lcfp[row->upstream]->upstream->host;
    labels[1].name = "server";
    labels[1].value.len = row->length;
    labels[1].value.data = row->name;

    if (label) {
        labels[2].name = label;
        labels[2].value.len = ngx_strlen(value);
        labels[2].value.data = (u_char *) value;
    }

    ngx_gw_prom_sample(&m->prom, labels, label ? 3 : 2, (int64_t) figure, 0);
}


static void
ngx_http_lb_metrics_requests(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row)
{
    ngx_uint_t                 i;
    static const char *const  codes[LB_ANSWERS] = {
        "other", "1xx", "2xx", "3xx", "4xx", "5xx"
    };

    for (i = 0; i < LB_ANSWERS; i++) {

        if (i >= 2 || row->answers[i]) {
            ngx_http_lb_metrics_sample(m, row, "code", codes[i],
                                       row->answers[i]);
        }
    }
}


static void
ngx_http_lb_metrics_failures(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row)
{
    ngx_http_lb_metrics_sample(m, row, NULL, NULL, row->failures);
}


static void
ngx_http_lb_metrics_up(ngx_http_lb_metrics_t *m, ngx_http_lb_figures_t *row)
{
    ngx_http_lb_metrics_sample(m, row, NULL, NULL,
                               !(row->status & LB_UNUSABLE));
}


static void
ngx_http_lb_metrics_state(ngx_http_lb_metrics_t *m, ngx_http_lb_figures_t *row)
{
    ngx_uint_t                i;
    const char               *state;
    static const char *const  states[] = {
        "up", "down", "ejected", "draining", "disabled"
    };

    state = ngx_http_lb_show_state(row->status);

    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        ngx_http_lb_metrics_sample(m, row, "state", states[i],
                                   ngx_strcmp(state, states[i]) == 0);
    }
}


static void
ngx_http_lb_metrics_active(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row)
{
    ngx_http_lb_metrics_sample(m, row, NULL, NULL, row->active);
}


static void
ngx_http_lb_metrics_checks(ngx_http_lb_metrics_t *m,
    ngx_http_lb_figures_t *row)
{
    ngx_http_lb_metrics_sample(m, row, "result", "passed", row->checks[1]);
    ngx_http_lb_metrics_sample(m, row, "result", "failed", row->checks[0]);
}


static void
ngx_http_lb_metrics_upstreams(ngx_http_lb_metrics_t *m)
{
    ngx_uint_t           i;
    lb_count_t           count;
    ngx_gw_prom_label_t  label;

    label.name = "upstream";

    ngx_gw_prom_metric(&m->prom, "lb_retries_total", "counter",
                       "Attempts after a failed one of the same request.");

    for (i = 0; i < m->upstreams; i++) {
        label.value = m->lcfp[i]->upstream->host;

        ngx_gw_prom_sample(&m->prom, &label, 1,
                           gw_load_acquire(&m->lcfp[i]->roster->retries), 0);
    }

    ngx_gw_prom_metric(&m->prom, "lb_retries_denied_total", "counter",
                       "Retries that the budget had no room for.");

    for (i = 0; i < m->upstreams; i++) {
        label.value = m->lcfp[i]->upstream->host;

        ngx_gw_prom_sample(&m->prom, &label, 1,
                           gw_load_acquire(&m->lcfp[i]->roster->denied), 0);
    }

    ngx_gw_prom_metric(&m->prom, "lb_servers", "gauge",
                       "Servers of the upstream.");

    for (i = 0; i < m->upstreams; i++) {
        label.value = m->lcfp[i]->upstream->host;
        count = lb_roster_count(m->lcfp[i]->roster);

        ngx_gw_prom_sample(&m->prom, &label, 1, count.total, 0);
    }

    ngx_gw_prom_metric(&m->prom, "lb_servers_usable", "gauge",
                       "Servers of the upstream that take requests.");

    for (i = 0; i < m->upstreams; i++) {
        label.value = m->lcfp[i]->upstream->host;
        count = lb_roster_count(m->lcfp[i]->roster);

        ngx_gw_prom_sample(&m->prom, &label, 1, count.usable, 0);
    }
}


static void
ngx_http_lb_metrics_times(ngx_http_lb_metrics_t *m, const char *name,
    const char *help, ngx_uint_t waits)
{
    uint64_t              sum;
    uint64_t              counts[LB_METER_BOUNDS + 1];
    ngx_uint_t            i;
    lb_roster_t          *roster;
    ngx_gw_prom_label_t   label;

    ngx_gw_prom_metric(&m->prom, name, "histogram", help);

    for (i = 0; i < m->upstreams; i++) {

        if (waits && !m->lcfp[i]->queued) {
            continue;
        }

        roster = m->lcfp[i]->roster;
        sum = lb_meter_read(waits ? roster->gate.waits : roster->meters,
                            counts);

        label.name = "upstream";
        label.value = m->lcfp[i]->upstream->host;

        ngx_gw_prom_histogram(&m->prom, &label, 1, lb_meter_bounds, counts,
                              LB_METER_BOUNDS, sum, 3);
    }
}


/* of the upstreams that have one */

static void
ngx_http_lb_metrics_queues(ngx_http_lb_metrics_t *m)
{
    ngx_uint_t           i, queued, automatic;
    ngx_gw_prom_label_t  label;

    queued = 0;
    automatic = 0;

    for (i = 0; i < m->upstreams; i++) {
        queued |= m->lcfp[i]->queued;
        automatic |= m->lcfp[i]->automatic;
    }

    if (!queued) {
        return;
    }

    label.name = "upstream";

    ngx_gw_prom_metric(&m->prom, "lb_queued", "gauge",
                       "Requests that wait for a place of the upstream.");

    for (i = 0; i < m->upstreams; i++) {

        if (m->lcfp[i]->queued) {
            label.value = m->lcfp[i]->upstream->host;
            ngx_gw_prom_sample(&m->prom, &label, 1,
                               lb_gate_waiting(m->lcfp[i]->roster), 0);
        }
    }

    ngx_http_lb_metrics_times(m, "lb_queue_seconds",
                              "How long requests have waited that had to.", 1);
    ngx_http_lb_metrics_refused(m);

    if (!automatic) {
        return;
    }

    ngx_gw_prom_metric(&m->prom, "lb_queue_limit", "gauge",
                       "Requests that the automatic limit lets through.");

    for (i = 0; i < m->upstreams; i++) {

        if (m->lcfp[i]->automatic) {
            label.value = m->lcfp[i]->upstream->host;
            ngx_gw_prom_sample(&m->prom, &label, 1,
                               lb_limit_read(&m->lcfp[i]->roster->gate.limit),
                               0);
        }
    }
}


static void
ngx_http_lb_metrics_refused(ngx_http_lb_metrics_t *m)
{
    u_char               digit;
    uint64_t             n;
    ngx_uint_t           i, k;
    ngx_gw_prom_label_t  labels[2];

    ngx_gw_prom_metric(&m->prom, "lb_shed_total", "counter",
                       "Requests refused by the queue, by priority.");

    labels[0].name = "upstream";
    labels[1].name = "priority";
    labels[1].value.data = &digit;
    labels[1].value.len = 1;

    for (i = 0; i < m->upstreams; i++) {

        for (k = 0; k < LB_PRIORITIES && m->lcfp[i]->queued; k++) {
            n = gw_load_acquire(&m->lcfp[i]->roster->gate.refused[k]);

            /* most have few priorities; the lowest is that of the others */

            if (k == 0 || n != 0) {
                labels[0].value = m->lcfp[i]->upstream->host;
                digit = (u_char) ('0' + k);
                ngx_gw_prom_sample(&m->prom, labels, 2, (int64_t) n, 0);
            }
        }
    }
}
