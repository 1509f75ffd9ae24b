
/*
 * The parameters of a directive.
 */


#include "src/common/ngx_gw_param.h"


#define NGX_GW_PARAM_TEXT  512      /* bytes of what a message lists */


static char *ngx_gw_param_given(ngx_conf_t *cf, ngx_str_t *arg,
    const ngx_gw_param_t *table, void *conf, uint32_t *given);
static const ngx_gw_param_t *ngx_gw_param_find(const ngx_gw_param_t *table,
    ngx_str_t *arg);
static uint32_t ngx_gw_param_bit(const ngx_gw_param_t *table,
    const ngx_gw_param_t *param);
static ngx_str_t ngx_gw_param_name(const ngx_gw_param_t *param);
static char *ngx_gw_param_set(ngx_conf_t *cf, ngx_str_t *value,
    const ngx_gw_param_t *param, void *conf);
static ngx_int_t ngx_gw_param_number(const ngx_gw_param_t *param,
    ngx_str_t *value, void *field);
static ngx_int_t ngx_gw_param_word(const ngx_gw_param_t *param,
    ngx_str_t *value, void *field);
static ngx_int_t ngx_gw_param_string(const ngx_gw_param_t *param,
    ngx_str_t *value, ngx_str_t *field);
static void ngx_gw_param_store(const ngx_gw_param_t *param, void *field,
    ngx_int_t n);
static char *ngx_gw_param_unknown(ngx_conf_t *cf, ngx_str_t *arg,
    const ngx_gw_param_t *table);
static char *ngx_gw_param_wrong(ngx_conf_t *cf, ngx_str_t *value,
    const ngx_gw_param_t *param);
static u_char *ngx_gw_param_time(u_char *p, u_char *last, ngx_int_t ms);


const ngx_conf_enum_t  ngx_gw_param_switch[] = {
    { ngx_string("on"), 1 },
    { ngx_string("off"), 0 },
    { ngx_null_string, 0 }
};


char *
ngx_gw_params(ngx_conf_t *cf, ngx_uint_t from, const ngx_gw_param_t *table,
    void *conf, uint32_t *given)
{
    uint32_t               seen;
    ngx_str_t             *args, name;
    ngx_uint_t             i;
    const ngx_gw_param_t  *param;

    seen = 0;
    args = cf->args->elts;

    for (i = from; i < cf->args->nelts; i++) {

        if (ngx_gw_param_given(cf, &args[i], table, conf, &seen)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    for (param = table; param->name.len; param++) {

        if (param->required && !(seen & ngx_gw_param_bit(table, param))) {
            name = ngx_gw_param_name(param);

            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" must have \"%V\" parameter",
                               &args[0], &name);
            return NGX_CONF_ERROR;
        }
    }

    if (given) {
        *given = seen;
    }

    return NGX_CONF_OK;
}


char *
ngx_gw_param_argument(ngx_conf_t *cf, ngx_uint_t number,
    const ngx_gw_param_t *param, void *conf)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    return ngx_gw_param_set(cf, &args[number], param, conf);
}


static char *
ngx_gw_param_given(ngx_conf_t *cf, ngx_str_t *arg,
    const ngx_gw_param_t *table, void *conf, uint32_t *given)
{
    uint32_t               bit;
    ngx_str_t             *args, name, value;
    const ngx_gw_param_t  *param;

    param = ngx_gw_param_find(table, arg);

    if (param == NULL) {
        return ngx_gw_param_unknown(cf, arg, table);
    }

    bit = ngx_gw_param_bit(table, param);

    if ((*given & bit) && !param->repeated) {
        args = cf->args->elts;
        name = ngx_gw_param_name(param);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" directive has duplicate \"%V\" parameter",
                           &args[0], &name);
        return NGX_CONF_ERROR;
    }

    *given |= bit;

    value.data = arg->data + param->name.len;
    value.len = arg->len - param->name.len;

    return ngx_gw_param_set(cf, &value, param, conf);
}


static const ngx_gw_param_t *
ngx_gw_param_find(const ngx_gw_param_t *table, ngx_str_t *arg)
{
    size_t                 len;
    const ngx_gw_param_t  *param;

    for (param = table; param->name.len; param++) {
        len = param->name.len;

        if (arg->len >= len
            && ngx_strncmp(arg->data, param->name.data, len) == 0
            && (arg->len == len || param->name.data[len - 1] == '='))
        {
            return param;
        }
    }

    return NULL;
}


/* That of the first row with the same field. */

static uint32_t
ngx_gw_param_bit(const ngx_gw_param_t *table, const ngx_gw_param_t *param)
{
    ngx_uint_t  i;

    for (i = 0; table[i].offset != param->offset; i++) { /* void */ }

    return (uint32_t) 1 << i;
}


static ngx_str_t
ngx_gw_param_name(const ngx_gw_param_t *param)
{
    ngx_str_t  name;

    name = param->name;
    name.len -= (name.data[name.len - 1] == '=');

    return name;
}


static char *
ngx_gw_param_set(ngx_conf_t *cf, ngx_str_t *value,
    const ngx_gw_param_t *param, void *conf)
{
    void       *field;
    ngx_int_t   rc;

    field = (char *) conf + param->offset;

    switch (param->kind) {

    case NGX_GW_PARAM_FLAG:
        ngx_gw_param_store(param, field, param->min);
        rc = NGX_OK;
        break;

    case NGX_GW_PARAM_NUMBER:
    case NGX_GW_PARAM_TIME:
    case NGX_GW_PARAM_PERCENT:
        rc = ngx_gw_param_number(param, value, field);
        break;

    case NGX_GW_PARAM_WORD:
        rc = ngx_gw_param_word(param, value, field);
        break;

    case NGX_GW_PARAM_OWN:
        rc = param->set(cf, value, conf);
        break;

    default:
        rc = ngx_gw_param_string(param, value, field);

        if (rc == NGX_OK && param->kind == NGX_GW_PARAM_FILE) {
            rc = ngx_conf_full_name(cf->cycle, field, 1);
        }

        break;
    }

    if (rc == NGX_DECLINED) {
        return ngx_gw_param_wrong(cf, value, param);
    }

    return rc == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_gw_param_number(const ngx_gw_param_t *param, ngx_str_t *value,
    void *field)
{
    size_t     len;
    ngx_int_t  n;

    if (param->kind == NGX_GW_PARAM_TIME) {
        n = ngx_parse_time(value, 0);

    } else {
        len = value->len;

        if (param->kind == NGX_GW_PARAM_PERCENT && len
            && value->data[len - 1] == '%')
        {
            len--;
        }

        n = ngx_atoi(value->data, len);
    }

    if (n == NGX_ERROR || n < param->min || n > param->max) {
        return NGX_DECLINED;
    }

    ngx_gw_param_store(param, field, n * (param->scale ? param->scale : 1));

    return NGX_OK;
}


static ngx_int_t
ngx_gw_param_word(const ngx_gw_param_t *param, ngx_str_t *value, void *field)
{
    const ngx_conf_enum_t  *w;

    for (w = param->words; w->name.len; w++) {

        if (w->name.len == value->len
            && ngx_strncmp(w->name.data, value->data, value->len) == 0)
        {
            ngx_gw_param_store(param, field, w->value);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_gw_param_string(const ngx_gw_param_t *param, ngx_str_t *value,
    ngx_str_t *field)
{
    u_char  c;
    size_t  i;

    if (value->len == 0 || (param->max && value->len > (size_t) param->max)) {
        return NGX_DECLINED;
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (param->kind == NGX_GW_PARAM_VISIBLE && (c <= ' ' || c == 0x7f)) {
            return NGX_DECLINED;
        }

        if (param->kind == NGX_GW_PARAM_NAME
            && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z')
            && !(c >= '0' && c <= '9')
            && (c == '\0' || ngx_strchr(param->chars, c) == NULL))
        {
            return NGX_DECLINED;
        }
    }

    *field = *value;

    return NGX_OK;
}


static void
ngx_gw_param_store(const ngx_gw_param_t *param, void *field, ngx_int_t n)
{
    uint32_t  word;
    uint64_t  value;

    if (param->size == sizeof(uint32_t)) {
        word = n;
        ngx_memcpy(field, &word, sizeof(uint32_t));

    } else {
        value = n;
        ngx_memcpy(field, &value, sizeof(uint64_t));
    }
}


static char *
ngx_gw_param_unknown(ngx_conf_t *cf, ngx_str_t *arg,
    const ngx_gw_param_t *table)
{
    u_char                *p, *last, names[NGX_GW_PARAM_TEXT];
    ngx_str_t             *args;
    const ngx_gw_param_t  *param;

    args = cf->args->elts;

    p = names;
    last = names + sizeof(names);

    for (param = table; param->name.len; param++) {
        p = ngx_slprintf(p, last, "%s\"%V\"",
                         (param == table) ? ""
                         : param[1].name.len ? ", " : " or ", &param->name);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"%V\", it must be %*s",
                       arg, &args[0], (size_t) (p - names), names);

    return NGX_CONF_ERROR;
}


static char *
ngx_gw_param_wrong(ngx_conf_t *cf, ngx_str_t *value,
    const ngx_gw_param_t *param)
{
    u_char                 *p, *last, allowed[NGX_GW_PARAM_TEXT];
    ngx_str_t              *args, name;
    const ngx_conf_enum_t  *w;

    args = cf->args->elts;
    name = ngx_gw_param_name(param);

    p = allowed;
    last = allowed + sizeof(allowed);

    if (param->allowed) {
        p = ngx_slprintf(p, last, "%s", param->allowed);

    } else {

        switch (param->kind) {

        case NGX_GW_PARAM_TIME:
            p = ngx_slprintf(p, last, "from ");
            p = ngx_gw_param_time(p, last, param->min);
            p = ngx_slprintf(p, last, " to ");
            p = ngx_gw_param_time(p, last, param->max);
            break;

        case NGX_GW_PARAM_PERCENT:
            p = ngx_slprintf(p, last, "from %i%% to %i%%", param->min,
                             param->max);
            break;

        case NGX_GW_PARAM_WORD:

            for (w = param->words; w->name.len; w++) {
                p = ngx_slprintf(p, last, "%s\"%V\"",
                                 (w == param->words) ? ""
                                 : w[1].name.len ? ", " : " or ", &w->name);
            }

            break;

        case NGX_GW_PARAM_VISIBLE:
            p = ngx_slprintf(p, last, "from 1 to %i characters, without "
                             "spaces", param->max);
            break;

        case NGX_GW_PARAM_NAME:
            p = ngx_slprintf(p, last, "from 1 to %i letters, digits and "
                             "\"%s\"", param->max, param->chars);
            break;

        case NGX_GW_PARAM_NUMBER:
            p = ngx_slprintf(p, last, "from %i to %i", param->min,
                             param->max);
            break;

        default:
            p = ngx_slprintf(p, last, "at least one character");
            break;
        }
    }

    if (name.len == param->name.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid %V \"%V\" in \"%V\", it must be %*s",
                           &name, value, &args[0], (size_t) (p - allowed),
                           allowed);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"%V\" in \"%V\", "
                           "it must be %*s", value, &name, &args[0],
                           (size_t) (p - allowed), allowed);
    }

    return NGX_CONF_ERROR;
}


/* in the largest unit that has no rest */

static u_char *
ngx_gw_param_time(u_char *p, u_char *last, ngx_int_t ms)
{
    ngx_uint_t             i;
    static const struct {
        const char        *name;
        ngx_int_t          ms;
    } units[] = {
        { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
        { "ms", 1 }
    };

    for (i = 0; ms == 0 || ms % units[i].ms; i++) {

        if (ms == 0) {
            return ngx_slprintf(p, last, "0");
        }
    }

    return ngx_slprintf(p, last, "%i%s", ms / units[i].ms, units[i].name);
}


char *
ngx_gw_param_word_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_uint_t      *field;
    ngx_gw_param_t   param;

    field = (ngx_uint_t *) ((u_char *) conf + cmd->offset);

    if (*field != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    param = (ngx_gw_param_t) {
        .name = ngx_string("value"), .kind = NGX_GW_PARAM_WORD,
        .offset = cmd->offset, .size = sizeof(ngx_uint_t), .words = cmd->post
    };

    return ngx_gw_param_argument(cf, 1, &param, conf);
}


ngx_int_t
ngx_gw_param_value(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t *value)
{
    ngx_http_compile_complex_value_t  ccv;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = value;

    return ngx_http_compile_complex_value(&ccv);
}
