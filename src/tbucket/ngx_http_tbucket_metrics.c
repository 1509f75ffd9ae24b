
/*
 * tbucket_metrics: the limiter's counters and gauges for Prometheus.
 */


#include "src/tbucket/ngx_http_tbucket_metrics.h"

#include "src/common/ngx_gw_json.h"
#include "src/common/ngx_gw_prom.h"
#include "src/core/limit/tb_ledger_count.h"
#include "src/tbucket/ngx_http_tbucket_source.h"


/* What one zone has to say; numbers in the order they were looked up. */

typedef struct {
    uint64_t                       passed;
    uint64_t                       rejected;
    uint64_t                       dry_run;
    uint64_t                       delayed;
    uint64_t                       settled;
    uint64_t                       buckets;
    uint64_t                       clients;
    uint64_t                       evictions;
    uint64_t                       bytes;
} ngx_http_tbucket_figures_t;


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_tbucket_main_conf_t  *mcf;
    ngx_http_tbucket_figures_t    *figures;    /* of each zone */
} ngx_http_tbucket_metrics_t;


typedef struct {
    const char                    *name;
    const char                    *type;
    const char                    *help;
    size_t                         offset;     /* of the figure */
} ngx_http_tbucket_metric_t;


static ngx_int_t ngx_http_tbucket_metrics_handler(ngx_http_request_t *r);
static void ngx_http_tbucket_metrics_figures(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_figures_t *figures);
static ngx_int_t ngx_http_tbucket_metrics_send(
    ngx_http_tbucket_metrics_t *metrics);
static void ngx_http_tbucket_metrics_requests(ngx_gw_prom_t *prom,
    ngx_http_tbucket_metrics_t *metrics);
static void ngx_http_tbucket_metrics_zones(ngx_gw_prom_t *prom,
    ngx_http_tbucket_metrics_t *metrics);
static void ngx_http_tbucket_metrics_inflight(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf);
static void ngx_http_tbucket_metrics_leases(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf);
static void ngx_http_tbucket_metrics_store(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf);


static const ngx_http_tbucket_metric_t  ngx_http_tbucket_zone_metrics[] = {
    { "tbucket_buckets", "gauge",
      "Buckets in the table, those of registered clients included, when the "
      "refill ticker last came to its end.",
      offsetof(ngx_http_tbucket_figures_t, buckets) },
    { "tbucket_clients", "gauge",
      "Registered clients.",
      offsetof(ngx_http_tbucket_figures_t, clients) },
    { "tbucket_evictions_total", "counter",
      "Buckets displaced by new keys before they were full.",
      offsetof(ngx_http_tbucket_figures_t, evictions) },
    { "tbucket_delayed_total", "counter",
      "Requests that waited for their tokens.",
      offsetof(ngx_http_tbucket_figures_t, delayed) },
    { "tbucket_settled_total", "counter",
      "Requests whose true cost was charged.",
      offsetof(ngx_http_tbucket_figures_t, settled) },
    { "tbucket_zone_bytes", "gauge",
      "Shared memory of the zone.",
      offsetof(ngx_http_tbucket_figures_t, bytes) },
    { NULL, NULL, NULL, 0 }
};


char *
ngx_http_tbucket_conf_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tbucket_loc_conf_t  *lcf = conf;

    return ngx_gw_location_set(cf, &lcf->location,
                               ngx_http_tbucket_metrics_handler);
}


static ngx_int_t
ngx_http_tbucket_metrics_handler(ngx_http_request_t *r)
{
    ngx_uint_t                    i;
    ngx_http_tbucket_zone_t     **zones;
    ngx_http_tbucket_metrics_t    metrics;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_gw_json_not_allowed(r, "GET, HEAD");
    }

    metrics.request = r;
    metrics.mcf = ngx_http_get_module_main_conf(r, ngx_http_tbucket_module);

    metrics.figures = ngx_pcalloc(r->pool,
                                  (metrics.mcf->zones.nelts + 1)
                                  * sizeof(ngx_http_tbucket_figures_t));
    if (metrics.figures == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    zones = metrics.mcf->zones.elts;

    for (i = 0; i < metrics.mcf->zones.nelts; i++) {
        ngx_http_tbucket_metrics_figures(zones[i], &metrics.figures[i]);
    }

    return ngx_http_tbucket_metrics_send(&metrics);
}


static void
ngx_http_tbucket_metrics_figures(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_figures_t *figures)
{
    ngx_uint_t                    i;
    ngx_http_tbucket_counters_t  *counters;

    counters = zone->shared->counters;

    for (i = 0; i < NGX_HTTP_TBUCKET_COUNTERS; i++) {
        figures->passed += atomic_load_explicit(&counters[i].passed,
                                                memory_order_relaxed);
        figures->rejected += atomic_load_explicit(&counters[i].rejected,
                                                  memory_order_relaxed);
        figures->dry_run += atomic_load_explicit(&counters[i].dry_run,
                                                 memory_order_relaxed);
        figures->delayed += atomic_load_explicit(&counters[i].delayed,
                                                 memory_order_relaxed);
        figures->settled += atomic_load_explicit(&counters[i].settled,
                                                 memory_order_relaxed);
    }

    figures->buckets = atomic_load_explicit(&zone->shared->buckets,
                                            memory_order_relaxed);
    figures->clients = atomic_load_explicit(&zone->shared->registry->entries,
                                            memory_order_relaxed);
    figures->evictions = atomic_load_explicit(&zone->shared->table->evictions,
                                              memory_order_relaxed);
    figures->bytes = zone->shm_zone->shm.size;
}


static ngx_int_t
ngx_http_tbucket_metrics_send(ngx_http_tbucket_metrics_t *metrics)
{
    ngx_gw_prom_t  prom;

    ngx_gw_prom_init(&prom, metrics->request->pool);
    ngx_gw_prom_build(&prom, "tbucket_build_info");

    ngx_http_tbucket_metrics_requests(&prom, metrics);
    ngx_http_tbucket_metrics_zones(&prom, metrics);
    ngx_http_tbucket_metrics_inflight(&prom, metrics->mcf);
    ngx_http_tbucket_metrics_leases(&prom, metrics->mcf);
    ngx_http_tbucket_metrics_store(&prom, metrics->mcf);

    return ngx_gw_prom_send(&prom, metrics->request);
}


static void
ngx_http_tbucket_metrics_requests(ngx_gw_prom_t *prom,
    ngx_http_tbucket_metrics_t *metrics)
{
    ngx_uint_t                    i;
    ngx_gw_prom_label_t           labels[2];
    ngx_http_tbucket_zone_t     **zones;
    ngx_http_tbucket_figures_t   *f;

    zones = metrics->mcf->zones.elts;

    ngx_gw_prom_metric(prom, "tbucket_requests_total", "counter",
                       "Decisions on requests, by zone and result.");

    for (i = 0; i < metrics->mcf->zones.nelts; i++) {
        f = &metrics->figures[i];

        labels[0].name = "zone";
        labels[0].value = zones[i]->name;
        labels[1].name = "result";

        ngx_str_set(&labels[1].value, "passed");
        ngx_gw_prom_sample(prom, labels, 2, (int64_t) f->passed, 0);

        ngx_str_set(&labels[1].value, "rejected");
        ngx_gw_prom_sample(prom, labels, 2, (int64_t) f->rejected, 0);

        ngx_str_set(&labels[1].value, "dry_run");
        ngx_gw_prom_sample(prom, labels, 2, (int64_t) f->dry_run, 0);
    }
}


static void
ngx_http_tbucket_metrics_zones(ngx_gw_prom_t *prom,
    ngx_http_tbucket_metrics_t *metrics)
{
    char                              *figures;
    ngx_uint_t                         i;
    ngx_gw_prom_label_t                label;
    ngx_http_tbucket_zone_t          **zones;
    const ngx_http_tbucket_metric_t   *m;

    zones = metrics->mcf->zones.elts;

    for (m = ngx_http_tbucket_zone_metrics; m->name; m++) {
        ngx_gw_prom_metric(prom, m->name, m->type, m->help);

        for (i = 0; i < metrics->mcf->zones.nelts; i++) {
            figures = (char *) &metrics->figures[i];

            label.name = "zone";
            label.value = zones[i]->name;

            ngx_gw_prom_sample(prom, &label, 1,
                               *(int64_t *) (figures + m->offset), 0);
        }
    }
}


/* Of zones that limit requests in flight, if there are any. */

static void
ngx_http_tbucket_metrics_inflight(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf)
{
    uint64_t                   held;
    ngx_uint_t                 i, n;
    ngx_gw_prom_label_t        label;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;
    n = 0;

    for (i = 0; i < mcf->zones.nelts; i++) {

        if (zones[i]->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
            continue;
        }

        if (n++ == 0) {
            ngx_gw_prom_metric(prom, "tbucket_inflight", "gauge",
                               "Requests in flight.");
        }

        held = tb_ledger_held(zones[i]->shared->ledger);

        label.name = "zone";
        label.value = zones[i]->name;

        ngx_gw_prom_sample(prom, &label, 1, (int64_t) held, 0);
    }
}


/* Of zones of scope=global, if there are any. */

static void
ngx_http_tbucket_metrics_leases(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                   first, i, n;
    ngx_gw_prom_label_t          label;
    ngx_http_tbucket_zone_t    **zones;
    ngx_http_tbucket_lending_t   lending;

    static const struct {
        const char  *name;
        const char  *type;
        const char  *help;
        size_t       offset;
        uint64_t     unit;        /* what a thousandth of it is */
        ngx_uint_t   thousandths;
    } metrics[] = {
        { "tbucket_lease_asked_total", "counter",
          "Tokens that were asked for.",
          offsetof(ngx_http_tbucket_lending_t, asked), TB_TOKEN / 1000, 3 },
        { "tbucket_lease_granted_total", "counter",
          "Tokens that were leased.",
          offsetof(ngx_http_tbucket_lending_t, granted), TB_TOKEN / 1000, 3 },
        { "tbucket_lease_returned_total", "counter",
          "Leased tokens that were given back.",
          offsetof(ngx_http_tbucket_lending_t, returned), TB_TOKEN / 1000, 3 },
        { "tbucket_lease_calls_total", "counter",
          "Calls to Redis about leases.",
          offsetof(ngx_http_tbucket_lending_t, calls), 1, 0 },
        { "tbucket_degraded_seconds_total", "counter",
          "Time on a share of the limits, without leases.",
          offsetof(ngx_http_tbucket_lending_t, degraded), 1, 3 },
        { "tbucket_lease_nodes", "gauge",
          "Nodes that share the limits, as last seen.",
          offsetof(ngx_http_tbucket_lending_t, nodes), 1, 0 }
    };

    zones = mcf->zones.elts;

    for (first = 0; first < mcf->zones.nelts; first++) {
        if (zones[first]->source != NULL) {
            break;
        }
    }

    if (first == mcf->zones.nelts) {
        return;
    }

    for (n = 0; n < sizeof(metrics) / sizeof(metrics[0]); n++) {
        ngx_gw_prom_metric(prom, metrics[n].name, metrics[n].type,
                           metrics[n].help);

        for (i = first; i < mcf->zones.nelts; i++) {

            if (zones[i]->source == NULL) {
                continue;
            }

            zones[i]->source->figures(zones[i], &lending);

            label.name = "zone";
            label.value = zones[i]->name;

            ngx_gw_prom_sample(prom, &label, 1,
                               (int64_t) (*(uint64_t *) ((char *) &lending
                                                 + metrics[n].offset)
                                          / metrics[n].unit),
                               metrics[n].thousandths);
        }
    }
}


/*
 * The store as a whole: as bad as it is for the worst of the zones.  One that
 * has not agreed with it yet makes the time of all unknown.
 */

static void
ngx_http_tbucket_metrics_store(ngx_gw_prom_t *prom,
    ngx_http_tbucket_main_conf_t *mcf)
{
    int64_t                            age, oldest;
    uint64_t                           synced;
    ngx_uint_t                         down, i, unknown;
    ngx_http_tbucket_zone_t          **zones;
    ngx_http_tbucket_lending_t         lending;
    ngx_http_tbucket_store_status_t   *status;

    zones = mcf->zones.elts;
    unknown = (mcf->zones.nelts == 0);
    down = 0;
    oldest = 0;

    for (i = 0; i < mcf->zones.nelts; i++) {
        status = &zones[i]->shared->store;

        down |= atomic_load_explicit(&status->down, memory_order_relaxed);

        if (zones[i]->source != NULL) {
            zones[i]->source->figures(zones[i], &lending);
            down |= lending.alone;
        }

        synced = atomic_load_explicit(&status->synced, memory_order_relaxed);
        unknown |= (synced == 0);

        /* another worker's clock may be a little ahead */

        age = (int64_t) (ngx_current_msec - synced);
        oldest = ngx_max(oldest, age);
    }

    ngx_gw_prom_metric(prom, "tbucket_store_up", "gauge",
                       "Whether the store takes writes and grants leases; 1 "
                       "without one.");
    ngx_gw_prom_sample(prom, NULL, 0, down ? 0 : 1, 0);

    ngx_gw_prom_metric(prom, "tbucket_store_sync_seconds", "gauge",
                       "Time since shared memory and store last agreed; NaN "
                       "until the first time, and without a store.");

    if (unknown) {
        ngx_gw_prom_unknown(prom, NULL, 0);

    } else {
        ngx_gw_prom_sample(prom, NULL, 0, oldest, 3);
    }
}
