
/*
 * tbucket_zone, the bounds of other directives, and which lines are of which
 * zone.
 */


#include "src/tbucket/ngx_http_tbucket_conf.h"

#include "src/common/ngx_gw_param.h"
#include "src/core/limit/tb_text.h"
#include "src/tbucket/clients/ngx_http_tbucket_store.h"
#include "src/tbucket/ngx_http_tbucket_limit_conf.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_zone.h"
#include "src/tbucket/request/ngx_http_tbucket_headers.h"
#include "src/tbucket/request/ngx_http_tbucket_key.h"
#include "src/tbucket/request/ngx_http_tbucket_policy.h"


typedef struct {
    ngx_str_t    name;
    size_t       size;
    ngx_str_t    rate;
    ngx_str_t    capacity;
    ngx_str_t    quota;
    ngx_str_t    tz;
    uint32_t     inflight;
    uint32_t     unit;
    ngx_str_t   *key;
    ngx_str_t    fallback;
    ngx_flag_t   known;
    ngx_flag_t   global;
} ngx_http_tbucket_zone_args_t;


static ngx_int_t ngx_http_tbucket_zone_arg(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);
static ngx_int_t ngx_http_tbucket_zone_limits(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args, ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_zone_goes(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args);
static ngx_int_t ngx_http_tbucket_zone_rate(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args, ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_zone_quota(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args, ngx_http_tbucket_zone_t *zone);
static char *ngx_http_tbucket_add_zone(ngx_conf_t *cf,
    ngx_http_tbucket_main_conf_t *mcf, ngx_http_tbucket_zone_args_t *args);
static void ngx_http_tbucket_number_key(ngx_http_tbucket_main_conf_t *mcf,
    ngx_http_tbucket_key_t *key);
static ngx_int_t ngx_http_tbucket_is_name(ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_set_shards(ngx_conf_t *cf,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t shards);
static ngx_http_tbucket_zone_t *ngx_http_tbucket_find_zone(
    ngx_http_tbucket_main_conf_t *mcf, ngx_str_t *name);
static ngx_int_t ngx_http_tbucket_no_zone(ngx_conf_t *cf,
    const char *directive, ngx_str_t *name, u_char *file, ngx_uint_t line);


static const ngx_conf_enum_t  ngx_http_tbucket_scopes[] = {
    { ngx_string("node"), 0 },
    { ngx_string("global"), 1 },
    { ngx_null_string, 0 }
};


static const ngx_conf_enum_t  ngx_http_tbucket_known[] = {
    { ngx_string("required"), 1 },
    { ngx_null_string, 0 }
};


static const ngx_gw_param_t  ngx_http_tbucket_zone_params[] = {

    { .name = ngx_string("zone="), .kind = NGX_GW_PARAM_OWN,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, name),
      .set = ngx_http_tbucket_zone_arg, .required = 1 },

    { .name = ngx_string("rate="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, rate),
      .allowed = "a number followed by r/s, r/m, r/h or r/d, from 1r/d to "
                 "1000000r/s" },

    { .name = ngx_string("capacity="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, capacity),
      .allowed = "from 1 to 1000000" },

    { .name = ngx_string("quota="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, quota),
      .allowed = "a number from 1 to 1000000, followed by /hour, /day, "
                 "/week or /month" },

    { .name = ngx_string("tz="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, tz),
      .allowed = "a time zone such as \"Europe/Berlin\"" },

    { .name = ngx_string("inflight="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, inflight),
      .min = 1, .max = TB_CAPACITY_MAX },

    { .name = ngx_string("fallback="), .kind = NGX_GW_PARAM_STRING,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, fallback) },

    { .name = ngx_string("known="), .kind = NGX_GW_PARAM_WORD,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, known),
      .words = ngx_http_tbucket_known },

    { .name = ngx_string("unit="), .kind = NGX_GW_PARAM_NUMBER,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, unit),
      .min = 1, .max = TB_UNIT_MAX },

    { .name = ngx_string("scope="), .kind = NGX_GW_PARAM_WORD,
      ngx_gw_param_field(ngx_http_tbucket_zone_args_t, global),
      .words = ngx_http_tbucket_scopes },

    { .name = ngx_null_string }
};


char *
ngx_http_tbucket_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                     *value;
    ngx_http_tbucket_zone_args_t   args;

    value = cf->args->elts;

    ngx_memzero(&args, sizeof(ngx_http_tbucket_zone_args_t));

    args.key = &value[1];

    if (args.key->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the key is empty");
        return NGX_CONF_ERROR;
    }

    if (ngx_gw_params(cf, 2, ngx_http_tbucket_zone_params, &args, NULL)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_tbucket_add_zone(cf, conf, &args);
}


static ngx_int_t
ngx_http_tbucket_zone_arg(ngx_conf_t *cf, ngx_str_t *value, void *conf)
{
    ngx_http_tbucket_zone_args_t  *args = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t   s;

    p = ngx_strlchr(value->data, value->data + value->len, ':');

    if (p == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\": NAME:SIZE is expected",
                           value);
        return NGX_ERROR;
    }

    args->name.data = value->data;
    args->name.len = p - value->data;

    if (!ngx_http_tbucket_is_name(&args->name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone name \"%V\": 1 to 64 letters, "
                           "digits and \"._-\" are allowed", &args->name);
        return NGX_ERROR;
    }

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\"", value);
        return NGX_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, the minimum is %uz "
                           "bytes", value, 8 * ngx_pagesize);
        return NGX_ERROR;
    }

    args->size = size;

    return NGX_OK;
}


/* What the zone limits, once all parameters are known. */

static ngx_int_t
ngx_http_tbucket_zone_limits(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args, ngx_http_tbucket_zone_t *zone)
{
    if (ngx_http_tbucket_zone_goes(cf, args) != NGX_OK) {
        return NGX_ERROR;
    }

    zone->unit = args->unit ? args->unit : 1;

    if (args->quota.len) {
        zone->kind = NGX_HTTP_TBUCKET_QUOTA;
        return ngx_http_tbucket_zone_quota(cf, args, zone);
    }

    if (args->inflight) {
        zone->kind = NGX_HTTP_TBUCKET_INFLIGHT;
        zone->limits = tb_limits(TB_CAPACITY_MAX, args->inflight,
                                 TB_LIMITS_PLACES
                                 | (args->global ? TB_LIMITS_LEASED : 0));
        return NGX_OK;
    }

    return ngx_http_tbucket_zone_rate(cf, args, zone);
}


/* One limit, and what goes with that. */

static ngx_int_t
ngx_http_tbucket_zone_goes(ngx_conf_t *cf, ngx_http_tbucket_zone_args_t *args)
{
    const char  *name, *with;

    if ((args->rate.len != 0) + (args->quota.len != 0) + (args->inflight != 0)
        != 1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tbucket_zone\" must have one of \"rate\", "
                           "\"quota\" and \"inflight\" parameters");
        return NGX_ERROR;
    }

    name = NULL;
    with = NULL;

    if (args->capacity.len && args->rate.len == 0) {
        name = "capacity";
        with = "\"rate\"";

    } else if (args->tz.len && args->quota.len == 0) {
        name = "tz";
        with = "\"quota\"";

    } else if (args->unit && args->inflight) {
        name = "unit";
        with = "\"rate\" or \"quota\"";
    }

    if (name == NULL) {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" in \"tbucket_zone\" goes with %s only",
                       name, with);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_tbucket_zone_rate(ngx_conf_t *cf, ngx_http_tbucket_zone_args_t *args,
    ngx_http_tbucket_zone_t *zone)
{
    uint32_t  capacity, unit;
    uint64_t  rate;

    unit = zone->unit;

    if (tb_text_rate((char *) args->rate.data, args->rate.len, unit, &rate)
        != TB_TEXT_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"rate\" in "
                           "\"tbucket_zone\", it must be a number followed by "
                           "r/s, r/m, r/h or r/d, from %uDr/d to %uDr/s",
                           &args->rate, unit > 10 ? unit / 10 : 1,
                           TB_CAPACITY_MAX * unit);
        return NGX_ERROR;
    }

    capacity = tb_rate_capacity(rate);

    if (args->capacity.len
        && tb_text_capacity((char *) args->capacity.data, args->capacity.len,
                            unit, &capacity)
           != TB_TEXT_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"capacity\" in "
                           "\"tbucket_zone\", it must be from %uD to %uD%s",
                           &args->capacity, unit, TB_CAPACITY_MAX * unit,
                           unit > 1 ? ", a multiple of \"unit\"" : "");
        return NGX_ERROR;
    }

    zone->limits = tb_limits(capacity, rate,
                             args->global ? TB_LIMITS_LEASED : 0);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_zone_quota(ngx_conf_t *cf,
    ngx_http_tbucket_zone_args_t *args, ngx_http_tbucket_zone_t *zone)
{
    uint32_t  unit;

    unit = zone->unit;

    if (ngx_http_tbucket_quota_parse(zone, &args->quota) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"quota\" in "
                           "\"tbucket_zone\", it must be a number from %uD to "
                           "%uD%s, followed by /hour, /day, /week or /month",
                           &args->quota, unit, TB_CAPACITY_MAX * unit,
                           unit > 1 ? ", a multiple of \"unit\"" : "");
        return NGX_ERROR;
    }

    zone->limits |= args->global ? TB_LIMITS_LEASED : 0;

    return ngx_http_tbucket_quota_tz(cf, zone, &args->tz);
}


static char *
ngx_http_tbucket_add_zone(ngx_conf_t *cf, ngx_http_tbucket_main_conf_t *mcf,
    ngx_http_tbucket_zone_args_t *args)
{
    size_t                     least;
    ngx_shm_zone_t            *shm_zone;
    ngx_http_tbucket_zone_t   *old, *zone, **slot;

    least = (args->global && args->inflight ? 32 : 16) * ngx_pagesize;

    if ((args->global || args->inflight) && args->size < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, the minimum for \"%s\" "
                           "is %uz bytes", &args->name,
                           args->global ? "scope=global" : "inflight", least);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &args->name, args->size,
                                     &ngx_http_tbucket_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already declared", &args->name);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_tbucket_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->name = args->name;
    zone->source = args->global ? mcf->shared : NULL;
    zone->file = cf->conf_file->file.name.data;
    zone->line = cf->conf_file->line;
    zone->known = args->known;

    if (ngx_http_tbucket_zone_limits(cf, args, zone) != NGX_OK) {
        return NGX_CONF_ERROR;
    }


    tb_client_forms_init(&zone->forms, (tb_kind_e) zone->kind, zone->unit);

    zone->remaining = ngx_http_tbucket_remaining_prefix(cf->pool, &zone->name);

    zone->brief = (zone->kind == NGX_HTTP_TBUCKET_RATE && zone->source == NULL
                   && zone->remaining.len <= NGX_HTTP_TBUCKET_PREFIX);

    if (zone->remaining.data == NULL
        || ngx_http_tbucket_init_policies(cf->pool, zone) != NGX_OK
        || ngx_http_tbucket_key_compile(cf, args->key, &zone->key) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (args->fallback.len) {
        zone->has_fallback = 1;

        if (ngx_http_tbucket_key_compile(cf, &args->fallback, &zone->fallback)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    zone->shm_zone = shm_zone;

    old = ngx_http_tbucket_old_zone(zone);
    shm_zone->noreuse = (old != NULL && (ngx_http_tbucket_zone_differs(zone,
                                                                      old)
                                         || (old->source == NULL)
                                            != (zone->source == NULL)));

    shm_zone->data = zone;
    shm_zone->init = ngx_http_tbucket_init_zone;

    ngx_http_tbucket_number_key(mcf, &zone->key);

    slot = ngx_array_push(&mcf->zones);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = zone;

    return NGX_CONF_OK;
}


/* The number of a new zone's key is that of the first zone with the same. */

static void
ngx_http_tbucket_number_key(ngx_http_tbucket_main_conf_t *mcf,
    ngx_http_tbucket_key_t *key)
{
    ngx_uint_t                 i;
    ngx_str_t                 *text;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        text = &zones[i]->key.value.value;

        if (text->len == key->value.value.len
            && ngx_memcmp(text->data, key->value.value.data, text->len) == 0)
        {
            break;
        }
    }

    key->number = i;
}


/* Their number says where each client is in the store, so it stays. */

static ngx_int_t
ngx_http_tbucket_set_shards(ngx_conf_t *cf, ngx_http_tbucket_zone_t *zone,
    ngx_uint_t shards)
{
    ngx_http_tbucket_zone_t  *old;

    zone->shards = shards;
    old = ngx_http_tbucket_old_zone(zone);

    if (old == NULL || old->shared == NULL || old->shards == shards) {
        return NGX_OK;
    }

    if (atomic_load_explicit(&old->shared->registry->entries,
                             memory_order_relaxed)
        != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"shards=%ui\" of \"tbucket_store\" cannot take the "
                      "place of \"shards=%ui\" as long as zone \"%V\" has "
                      "clients in %s:%ui", shards, old->shards, &zone->name,
                      zone->file, zone->line);
        return NGX_ERROR;
    }

    /* what is shared about each of them is of another size */

    zone->shm_zone->noreuse = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_bind_limits(ngx_conf_t *cf,
    ngx_http_tbucket_main_conf_t *mcf)
{
    ngx_uint_t                   i;
    ngx_http_tbucket_api_t     **apis;
    ngx_http_tbucket_zone_t    **zones;
    ngx_http_tbucket_limit_t   **limits;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {
        zones[i]->refill = mcf->refill;

        if (ngx_http_tbucket_set_shards(cf, zones[i], mcf->store->shards)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (zones[i]->source != NULL && !mcf->store->ops->is_shared) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"scope=global\" of zone \"%V\" needs a "
                          "\"tbucket_store\" of Redis in %s:%ui",
                          &zones[i]->name, zones[i]->file, zones[i]->line);
            return NGX_ERROR;
        }
    }

    limits = mcf->limits.elts;

    for (i = 0; i < mcf->limits.nelts; i++) {
        limits[i]->zone = ngx_http_tbucket_find_zone(mcf, &limits[i]->name);

        if (limits[i]->zone == NULL) {
            return ngx_http_tbucket_no_zone(cf, "tbucket", &limits[i]->name,
                                            limits[i]->file, limits[i]->line);
        }

        if (ngx_http_tbucket_bind_limit(cf, limits[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    apis = mcf->apis.elts;

    for (i = 0; i < mcf->apis.nelts; i++) {
        apis[i]->zone = ngx_http_tbucket_find_zone(mcf, &apis[i]->name);

        if (apis[i]->zone == NULL) {
            return ngx_http_tbucket_no_zone(cf, "tbucket_api", &apis[i]->name,
                                            apis[i]->file, apis[i]->line);
        }
    }

    return NGX_OK;
}


static ngx_http_tbucket_zone_t *
ngx_http_tbucket_find_zone(ngx_http_tbucket_main_conf_t *mcf,
    ngx_str_t *name)
{
    ngx_uint_t                 i;
    ngx_http_tbucket_zone_t  **zones;

    zones = mcf->zones.elts;

    for (i = 0; i < mcf->zones.nelts; i++) {

        if (zones[i]->name.len == name->len
            && ngx_strncmp(zones[i]->name.data, name->data, name->len) == 0)
        {
            return zones[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_tbucket_no_zone(ngx_conf_t *cf, const char *directive,
    ngx_str_t *name, u_char *file, ngx_uint_t line)
{
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "unknown zone \"%V\" in \"%s\": no \"tbucket_zone\" "
                  "declares it in %s:%ui", name, directive, file, line);

    return NGX_ERROR;
}


char *
ngx_http_tbucket_check_status(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t  *status = data;

    if (*status >= 400 && *status <= 599 && *status != 408 && *status != 444
        && (*status < 494 || *status > 499))
    {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "status %i is not allowed, it must be 400 to 599 "
                       "and not 408, 444 or 494 to 499", *status);

    return NGX_CONF_ERROR;
}


char *
ngx_http_tbucket_check_refill(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *refill = data;

    if (*refill >= 10 && *refill <= 10000) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "refill time %Mms is out of range, "
                       "10ms to 10s is allowed", *refill);

    return NGX_CONF_ERROR;
}


/*
 * Zone names stand in headers, metrics and Redis keys, where other
 * characters would have to be escaped, each time in another way.
 */

static ngx_int_t
ngx_http_tbucket_is_name(ngx_str_t *name)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.')
        {
            return 0;
        }
    }

    return name->len >= 1 && name->len <= 64;
}
