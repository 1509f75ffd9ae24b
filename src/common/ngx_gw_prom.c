
/*
 * Metrics in the text format of Prometheus.
 */


#include "src/common/ngx_gw_prom.h"
#include "src/core/text/gw_id.h"
#include "src/core/text/gw_number.h"


static void ngx_gw_prom_line(ngx_gw_prom_t *prom, const char *suffix,
    const ngx_gw_prom_label_t *labels, ngx_uint_t n, const char *le,
    const char *value);
static void ngx_gw_prom_value(ngx_gw_prom_t *prom, const ngx_str_t *value);


static ngx_str_t  ngx_gw_prom_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");


void
ngx_gw_prom_init(ngx_gw_prom_t *prom, ngx_pool_t *pool)
{
    ngx_gw_text_init(&prom->text, pool);
    prom->name = "";
}


void
ngx_gw_prom_metric(ngx_gw_prom_t *prom, const char *name, const char *type,
    const char *help)
{
    prom->name = name;

    ngx_gw_text_printf(&prom->text, "# HELP %s %s\n# TYPE %s %s\n",
                       name, help, name, type);
}


void
ngx_gw_prom_sample(ngx_gw_prom_t *prom, const ngx_gw_prom_label_t *labels,
    ngx_uint_t n, int64_t value, ngx_uint_t decimals)
{
    char  *p, number[1 + GW_NUMBER_SIZE];

    p = number;

    if (value < 0) {
        *p++ = '-';
    }

    (void) gw_number_print(p, value < 0 ? -(uint64_t) value
                                        : (uint64_t) value, decimals);

    ngx_gw_prom_line(prom, "", labels, n, NULL, number);
}


void
ngx_gw_prom_unknown(ngx_gw_prom_t *prom, const ngx_gw_prom_label_t *labels,
    ngx_uint_t n)
{
    ngx_gw_prom_line(prom, "", labels, n, NULL, "NaN");
}


void
ngx_gw_prom_build(ngx_gw_prom_t *prom, const char *name)
{
    ngx_gw_prom_label_t  version = {
        "version", ngx_string(NGX_GW_VERSION)
    };

    ngx_gw_prom_metric(prom, name, "gauge", "The version that runs.");
    ngx_gw_prom_sample(prom, &version, 1, 1, 0);
}


void
ngx_gw_prom_histogram(ngx_gw_prom_t *prom, const ngx_gw_prom_label_t *labels,
    ngx_uint_t n, const uint64_t *bounds, const uint64_t *counts,
    ngx_uint_t nbounds, uint64_t sum, ngx_uint_t decimals)
{
    char        le[GW_NUMBER_SIZE], number[GW_NUMBER_SIZE];
    uint64_t    count;
    ngx_uint_t  i;

    count = 0;

    for (i = 0; i < nbounds; i++) {
        count += counts[i];

        (void) gw_number_print(le, bounds[i], decimals);
        (void) gw_number_print(number, count, 0);
        ngx_gw_prom_line(prom, "_bucket", labels, n, le, number);
    }

    (void) gw_number_print(number, count + counts[nbounds], 0);
    ngx_gw_prom_line(prom, "_bucket", labels, n, "+Inf", number);
    ngx_gw_prom_line(prom, "_count", labels, n, NULL, number);

    (void) gw_number_print(number, sum, decimals);
    ngx_gw_prom_line(prom, "_sum", labels, n, NULL, number);
}


ngx_int_t
ngx_gw_prom_send(ngx_gw_prom_t *prom, ngx_http_request_t *r)
{
    return ngx_gw_text_send(&prom->text, r, NGX_HTTP_OK, &ngx_gw_prom_type);
}


static void
ngx_gw_prom_line(ngx_gw_prom_t *prom, const char *suffix,
    const ngx_gw_prom_label_t *labels, ngx_uint_t n, const char *le,
    const char *value)
{
    ngx_uint_t      i;
    ngx_gw_text_t  *text;

    text = &prom->text;

    ngx_gw_text_printf(text, "%s%s", prom->name, suffix);

    for (i = 0; i < n; i++) {
        ngx_gw_text_printf(text, "%s%s=\"", i ? "," : "{", labels[i].name);
        ngx_gw_prom_value(prom, &labels[i].value);
        ngx_gw_text_literal(text, "\"");
    }

    if (le != NULL) {
        ngx_gw_text_printf(text, "%sle=\"%s\"", n ? "," : "{", le);
    }

    ngx_gw_text_printf(text, "%s %s\n", (n || le) ? "}" : "", value);
}


/* Bytes that are not UTF-8 become U+FFFD: the format is UTF-8. */

static void
ngx_gw_prom_value(ngx_gw_prom_t *prom, const ngx_str_t *value)
{
    int             n;
    size_t          i;
    ngx_gw_text_t  *text;

    text = &prom->text;

    for (i = 0; i < value->len; i += n) {
        n = gw_utf8_sequence(value->data + i, value->len - i);

        if (n <= 0) {
            n = 1;
            ngx_gw_text_literal(text, "\xef\xbf\xbd");
            continue;
        }

        switch (value->data[i]) {

        case '\\':
        case '"':
            ngx_gw_text_literal(text, "\\");
            ngx_gw_text_append(text, value->data + i, 1);
            break;

        case '\n':
            ngx_gw_text_literal(text, "\\n");
            break;

        default:
            ngx_gw_text_append(text, value->data + i, n);
        }
    }
}
