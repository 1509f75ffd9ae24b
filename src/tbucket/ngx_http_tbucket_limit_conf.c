
/*
 * A "tbucket" line: its grammar, and what its numbers come to in its zone.
 */


#include "src/tbucket/ngx_http_tbucket_limit_conf.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/limit/tb_text.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"


static char *ngx_http_tbucket_add_limit(ngx_conf_t *cf,
    ngx_http_tbucket_loc_conf_t *lcf);
static ngx_uint_t ngx_http_tbucket_has_limit(ngx_array_t *limits,
    ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_cost_arg(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_tbucket_settle_arg(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_tbucket_penalty_arg(ngx_conf_t *cf,
    ngx_str_t *value, void *conf);
static ngx_int_t ngx_http_tbucket_plan_arg(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_tbucket_value_arg(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **cv);
static ngx_int_t ngx_http_tbucket_bind_costs(ngx_conf_t *cf,
    ngx_http_tbucket_limit_t *limit);
static ngx_int_t ngx_http_tbucket_bind_tokens(ngx_conf_t *cf,
    ngx_http_tbucket_limit_t *limit, const char *what, ngx_str_t *text,
    uint64_t *utok);
static ngx_int_t ngx_http_tbucket_bind_charges(ngx_conf_t *cf,
    ngx_http_tbucket_limit_t *limit);


static const ngx_conf_enum_t  ngx_http_tbucket_phases[] = {
    { ngx_string("access"), 1 },
    { ngx_null_string, 0 }
};


static const ngx_gw_param_t  ngx_http_tbucket_limit_params[] = {

    { .name = ngx_string("zone="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, name), .required = 1 },

    { .name = ngx_string("cost="), .kind = NGX_GW_PARAM_OWN,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, cost),
      .set = ngx_http_tbucket_cost_arg },

    { .name = ngx_string("settle="), .kind = NGX_GW_PARAM_OWN,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, settle),
      .set = ngx_http_tbucket_settle_arg },

    { .name = ngx_string("wait="), .kind = NGX_GW_PARAM_TIME,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, wait),
      .min = 1, .max = 3600000 },

    { .name = ngx_string("penalty="), .kind = NGX_GW_PARAM_OWN,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, fine),
      .set = ngx_http_tbucket_penalty_arg },

    { .name = ngx_string("plan="), .kind = NGX_GW_PARAM_OWN,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, plan),
      .set = ngx_http_tbucket_plan_arg },

    { .name = ngx_string("after="), .kind = NGX_GW_PARAM_WORD,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, after),
      .words = ngx_http_tbucket_phases },

    { .name = ngx_string("dry_run"), .kind = NGX_GW_PARAM_FLAG,
      ngx_gw_param_field(ngx_http_tbucket_limit_t, dry_run), .min = 1 },

    { .name = ngx_null_string }
};


char *
ngx_http_tbucket_conf_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tbucket_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {

        if (cf->args->nelts != 2) {
            return "takes no more parameters after \"off\"";
        }

        if (lcf->off != NGX_CONF_UNSET) {
            return "is duplicate: \"off\" goes with no other line";
        }

        lcf->off = 1;

        return NGX_CONF_OK;
    }

    if (lcf->off == 1) {
        return "is duplicate: \"off\" goes with no other line";
    }

    lcf->off = 0;

    return ngx_http_tbucket_add_limit(cf, lcf);
}


static char *
ngx_http_tbucket_add_limit(ngx_conf_t *cf, ngx_http_tbucket_loc_conf_t *lcf)
{
    ngx_array_t                   **limits;
    ngx_http_tbucket_limit_t       *limit, **slot;
    ngx_http_tbucket_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    limit = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_limit_t));
    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }

    limit->file = cf->conf_file->file.name.data;
    limit->line = cf->conf_file->line;

    if (ngx_gw_params(cf, 1, ngx_http_tbucket_limit_params, limit, NULL)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_tbucket_has_limit(lcf->limits, &limit->name)
        || ngx_http_tbucket_has_limit(lcf->late, &limit->name))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tbucket zone=%V\" is duplicate",
                           &limit->name);
        return NGX_CONF_ERROR;
    }

    limits = limit->after ? &lcf->late : &lcf->limits;

    if (*limits == NULL) {
        *limits = ngx_array_create(cf->pool, 2,
                                   sizeof(ngx_http_tbucket_limit_t *));
        if (*limits == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    slot = ngx_array_push(*limits);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = limit;

    slot = ngx_array_push(&mcf->limits);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = limit;

    mcf->has_late |= limit->after;
    mcf->has_settle |= (limit->settle != NULL);

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_tbucket_has_limit(ngx_array_t *limits, ngx_str_t *name)
{
    ngx_uint_t                  i;
    ngx_http_tbucket_limit_t  **limit;

    if (limits == NULL) {
        return 0;
    }

    limit = limits->elts;

    for (i = 0; i < limits->nelts; i++) {

        if (limit[i]->name.len == name->len
            && ngx_strncmp(limit[i]->name.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_tbucket_cost_arg(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_tbucket_limit_t *limit = conf;

    return ngx_http_tbucket_value_arg(cf, value, &limit->cost);
}


static ngx_int_t
ngx_http_tbucket_settle_arg(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_tbucket_limit_t *limit = conf;

    ngx_str_t  name;

    if (ngx_http_tbucket_value_arg(cf, value, &limit->settle) != NGX_OK) {
        return NGX_ERROR;
    }

    limit->measure = -1;

    if (value->data[0] != '$') {
        return NGX_OK;
    }

    name.data = value->data + 1;
    name.len = value->len - 1;

    if (ngx_http_tbucket_is_variable(&name)) {
        limit->measure = ngx_http_get_variable_index(cf, &name);

        if (limit->measure == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_penalty_arg(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_tbucket_limit_t *limit = conf;

    return ngx_http_tbucket_value_arg(cf, value, &limit->fine);
}


static ngx_int_t
ngx_http_tbucket_plan_arg(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_tbucket_limit_t *limit = conf;

    if (ngx_http_tbucket_value_arg(cf, value, &limit->plan) != NGX_OK) {
        return NGX_ERROR;
    }

    if (limit->plan->lengths == NULL
        && !tb_plan_is_name((char *) value->data, value->len))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"plan\" in \"tbucket\", "
                           "it must be " TB_PLAN_NAME_ALLOWED
                           ", or have variables", value);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Numbers are read when the unit of the zone is known. */

static ngx_int_t
ngx_http_tbucket_value_arg(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **cv)
{
    *cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*cv == NULL) {
        return NGX_ERROR;
    }

    return ngx_gw_param_value(cf, value, *cv);
}


ngx_int_t
ngx_http_tbucket_bind_limit(ngx_conf_t *cf, ngx_http_tbucket_limit_t *limit)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = limit->zone;

    if (ngx_http_tbucket_bind_costs(cf, limit) != NGX_OK
        || ngx_http_tbucket_bind_charges(cf, limit) != NGX_OK)
    {
        return NGX_ERROR;
    }

    limit->constant = (limit->cost == NULL && limit->utok != 0
                       && limit->plan == NULL && zone->source == NULL);
    limit->plain = (limit->constant && !zone->known
                    && zone->kind == NGX_HTTP_TBUCKET_RATE);

    ngx_http_tbucket_warn_late(cf, limit, "key", &zone->key.value.value);

    if (zone->has_fallback) {
        ngx_http_tbucket_warn_late(cf, limit, "key",
                                   &zone->fallback.value.value);
    }

    if (limit->cost != NULL) {
        ngx_http_tbucket_warn_late(cf, limit, "cost", &limit->cost->value);
    }

    return NGX_OK;
}


/* What the numbers of a line come to in its zone. */

static ngx_int_t
ngx_http_tbucket_bind_costs(ngx_conf_t *cf, ngx_http_tbucket_limit_t *limit)
{
    ngx_http_tbucket_zone_t  *zone;

    zone = limit->zone;

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {

        if (limit->cost != NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"cost\" does not go with zone \"%V\", which "
                          "limits requests in flight, in %s:%ui",
                          &zone->name, limit->file, limit->line);
            return NGX_ERROR;
        }

        limit->utok = TB_TOKEN;

        return NGX_OK;
    }

    /* a single unit, also where the value of a variable is invalid */

    limit->utok = (TB_TOKEN + zone->unit - 1) / zone->unit;

    if (limit->cost != NULL && limit->cost->lengths == NULL) {

        if (ngx_http_tbucket_bind_tokens(cf, limit, "cost",
                                         &limit->cost->value, &limit->utok)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        limit->cost = NULL;
    }

    if (limit->cost == NULL && limit->utok > tb_limits_full(zone->limits)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "the \"cost\" is above the %s of zone \"%V\", %uL: only "
                      "clients with a larger one of their own will ever pass "
                      "in %s:%ui",
                      zone->kind == NGX_HTTP_TBUCKET_QUOTA ? "quota"
                                                           : "capacity",
                      &zone->name, tb_unit_capacity(zone->limits, zone->unit),
                      limit->file, limit->line);
    }

    if (limit->settle != NULL && limit->settle->lengths == NULL
        && ngx_http_tbucket_bind_tokens(cf, limit, "settle",
                                        &limit->settle->value,
                                        &limit->settled)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (limit->fine != NULL) {
        return ngx_http_tbucket_bind_tokens(cf, limit, "penalty",
                                            &limit->fine->value,
                                            &limit->penalty);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_bind_tokens(ngx_conf_t *cf, ngx_http_tbucket_limit_t *limit,
    const char *what, ngx_str_t *text, uint64_t *utok)
{
    uint32_t  unit;

    unit = limit->zone->unit;

    if (tb_text_cost((char *) text->data, text->len, unit, utok)
        == TB_TEXT_OK)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "invalid value \"%V\" of \"%s\" in \"tbucket\", it must be "
                  "0 or a number from %uD.%03uD to %uL in %s:%ui", text, what,
                  unit / 1000, unit % 1000, (uint64_t) TB_CAPACITY_MAX * unit,
                  limit->file, limit->line);

    return NGX_ERROR;
}


/* What is charged beside a decision does not go with every kind of zone. */

static ngx_int_t
ngx_http_tbucket_bind_charges(ngx_conf_t *cf, ngx_http_tbucket_limit_t *limit)
{
    const char               *kind, *what;
    ngx_http_tbucket_zone_t  *zone;

    zone = limit->zone;

    what = limit->settle ? "settle" : limit->wait ? "wait"
           : limit->fine ? "penalty" : NULL;

    if (what == NULL) {
        return NGX_OK;
    }

    kind = zone->kind == NGX_HTTP_TBUCKET_INFLIGHT ? "inflight" : NULL;

    if (kind == NULL && limit->wait
        && zone->kind == NGX_HTTP_TBUCKET_QUOTA)
    {
        kind = "quota";
        what = "wait";
    }

    if (kind == NULL) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%s\" does not go with \"%s\" of zone \"%V\" in %s:%ui",
                  what, kind, &limit->name, limit->file, limit->line);

    return NGX_ERROR;
}


char *
ngx_http_tbucket_note_subrequests(ngx_conf_t *cf, void *post, void *data)
{
    ngx_flag_t  *subrequests = data;

    ngx_http_tbucket_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tbucket_module);

    mcf->has_subrequests |= *subrequests;

    return NGX_CONF_OK;
}
