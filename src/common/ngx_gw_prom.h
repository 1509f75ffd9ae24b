
/*
 * Metrics in the text format of Prometheus, version 0.0.4.
 */


#ifndef NGX_GW_PROM_H
#define NGX_GW_PROM_H


#include "src/common/ngx_gw_text.h"


/* of both modules */

#define NGX_GW_VERSION  "1.0.0"


typedef struct {
    const char        *name;
    ngx_str_t          value;       /* any bytes */
} ngx_gw_prom_label_t;


typedef struct {
    ngx_gw_text_t      text;
    const char        *name;        /* of the metric that is being written */
} ngx_gw_prom_t;


void ngx_gw_prom_init(ngx_gw_prom_t *prom, ngx_pool_t *pool);

/*
 * Begins a metric: its HELP and TYPE ("counter", "gauge", "histogram") lines.
 * All of its samples follow before the next metric begins.
 */

void ngx_gw_prom_metric(ngx_gw_prom_t *prom, const char *name,
    const char *type, const char *help);

/*
 * One sample, with n labels: value / 10^decimals, so that integers in ms
 * (decimals 3) or µs (6) come out in seconds.
 */

void ngx_gw_prom_sample(ngx_gw_prom_t *prom,
    const ngx_gw_prom_label_t *labels, ngx_uint_t n, int64_t value,
    ngx_uint_t decimals);

/* Likewise of a value that is not known: NaN. */

void ngx_gw_prom_unknown(ngx_gw_prom_t *prom,
    const ngx_gw_prom_label_t *labels, ngx_uint_t n);

/* The metric NAME{version="..."} 1, by which versions are told apart. */

void ngx_gw_prom_build(ngx_gw_prom_t *prom, const char *name);

/*
 * One histogram: nbounds upper bounds and sum in units of 10^-decimals, and
 * nbounds + 1 counts, one of each bucket (not added up), the last one of
 * what is above all bounds.
 */

void ngx_gw_prom_histogram(ngx_gw_prom_t *prom,
    const ngx_gw_prom_label_t *labels, ngx_uint_t n, const uint64_t *bounds,
    const uint64_t *counts, ngx_uint_t nbounds, uint64_t sum,
    ngx_uint_t decimals);

/* Sends it all; returns as ngx_gw_text_send() does. */

ngx_int_t ngx_gw_prom_send(ngx_gw_prom_t *prom, ngx_http_request_t *r);


#endif /* NGX_GW_PROM_H */
