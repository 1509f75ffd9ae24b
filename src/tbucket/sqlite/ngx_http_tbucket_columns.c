
/*
 * From columns to members and back, in single units there and in those of the
 * zone's table here.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_columns.h"

#include <math.h>


static ngx_int_t ngx_http_tbucket_columns_integer(sqlite3_stmt *stmt, int n,
    uint32_t unit, unsigned bit, tb_client_t *c, uint32_t *value);
static ngx_int_t ngx_http_tbucket_columns_rate(sqlite3_stmt *stmt, int n,
    uint32_t unit, tb_client_t *c);
static ngx_int_t ngx_http_tbucket_columns_plan(sqlite3_stmt *stmt, int n,
    tb_client_t *c);
static ngx_int_t ngx_http_tbucket_columns_flag(sqlite3_stmt *stmt, int n,
    unsigned bit, tb_client_t *c, bool *value);


ngx_int_t
ngx_http_tbucket_columns_read(sqlite3_stmt *stmt, int n,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, tb_client_t *c)
{
    uint32_t  unit;
    unsigned  limits;

    unit = zone->unit;
    c->members = 0;

    if (ngx_http_tbucket_columns_integer(stmt, n, unit, TB_CLIENT_CAPACITY, c,
                                         &c->capacity)
        != NGX_OK
        || ngx_http_tbucket_columns_rate(stmt, n + 1, unit, c) != NGX_OK
        || ngx_http_tbucket_columns_integer(stmt, n + 2, unit,
                                            TB_CLIENT_QUOTA, c, &c->quota)
           != NGX_OK
        || ngx_http_tbucket_columns_integer(stmt, n + 3, 1,
                                            TB_CLIENT_INFLIGHT, c,
                                            &c->inflight)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    limits = c->members;

    if (plan) {
        return limits == zone->forms.limits ? NGX_OK : NGX_ERROR;
    }

    if (ngx_http_tbucket_columns_plan(stmt, n + 4, c) != NGX_OK
        || ngx_http_tbucket_columns_flag(stmt, n + 5, TB_CLIENT_BLOCKED, c,
                                         &c->blocked)
           != NGX_OK
        || ngx_http_tbucket_columns_flag(stmt, n + 6, TB_CLIENT_UNLIMITED, c,
                                         &c->unlimited)
           != NGX_OK
        || (limits != 0 && ((c->members & TB_CLIENT_PLAN)
                            || limits != zone->forms.limits)))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_columns_integer(sqlite3_stmt *stmt, int n, uint32_t unit,
    unsigned bit, tb_client_t *c, uint32_t *value)
{
    int64_t  number;

    *value = 0;

    if (sqlite3_column_type(stmt, n) == SQLITE_NULL) {
        return NGX_OK;
    }

    number = sqlite3_column_int64(stmt, n);

    if (sqlite3_column_type(stmt, n) != SQLITE_INTEGER
        || number < 1 || number > (int64_t) TB_CAPACITY_MAX * unit
        || number % unit != 0)
    {
        return NGX_ERROR;
    }

    *value = (uint32_t) (number / unit);
    c->members |= bit;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_columns_rate(sqlite3_stmt *stmt, int n, uint32_t unit,
    tb_client_t *c)
{
    int     type;
    double  steps;

    c->rate = 0;
    type = sqlite3_column_type(stmt, n);

    if (type == SQLITE_NULL) {
        return NGX_OK;
    }

    steps = round(sqlite3_column_double(stmt, n) * TB_STEPS_A_SECOND / unit);

    if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT)
        || !(steps >= (unit == 1 ? TB_RATE_MIN : 1) && steps <= TB_RATE_MAX))
    {
        return NGX_ERROR;
    }

    c->rate = (uint64_t) steps;
    c->members |= TB_CLIENT_RATE;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_columns_plan(sqlite3_stmt *stmt, int n, tb_client_t *c)
{
    size_t       len;
    const char  *name;

    c->plan_len = 0;
    c->plan[0] = '\0';

    if (sqlite3_column_type(stmt, n) == SQLITE_NULL) {
        return NGX_OK;
    }

    name = (const char *) sqlite3_column_text(stmt, n);
    len = (size_t) sqlite3_column_bytes(stmt, n);

    if (name == NULL || !tb_plan_is_name(name, len)) {
        return NGX_ERROR;
    }

    ngx_memcpy(c->plan, name, len);
    c->plan[len] = '\0';
    c->plan_len = len;
    c->members |= TB_CLIENT_PLAN;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_columns_flag(sqlite3_stmt *stmt, int n, unsigned bit,
    tb_client_t *c, bool *value)
{
    int64_t  flag;

    *value = false;

    if (sqlite3_column_type(stmt, n) == SQLITE_NULL) {
        return NGX_OK;
    }

    flag = sqlite3_column_int64(stmt, n);

    if (sqlite3_column_type(stmt, n) != SQLITE_INTEGER
        || flag < 0 || flag > 1)
    {
        return NGX_ERROR;
    }

    *value = (flag == 1);
    c->members |= bit;

    return NGX_OK;
}


/* The rate as the shortest decimal that is the same in steps. */

void
ngx_http_tbucket_columns_bind(sqlite3_stmt *stmt, int n,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, const tb_client_t *c)
{
    char      text[GW_NUMBER_SIZE];
    uint32_t  unit;

    unit = zone->unit;

    /* what is not bound is NULL */

    if (c->members & TB_CLIENT_CAPACITY) {
        (void) sqlite3_bind_int64(stmt, n, (int64_t) c->capacity * unit);
    }

    if (c->members & TB_CLIENT_RATE) {
        (void) tb_client_print_rate(text, c->rate * unit);
        (void) sqlite3_bind_double(stmt, n + 1, strtod(text, NULL));
    }

    if (c->members & TB_CLIENT_QUOTA) {
        (void) sqlite3_bind_int64(stmt, n + 2, (int64_t) c->quota * unit);
    }

    if (c->members & TB_CLIENT_INFLIGHT) {
        (void) sqlite3_bind_int64(stmt, n + 3, c->inflight);
    }

    if (plan) {
        return;
    }

    if (c->members & TB_CLIENT_PLAN) {
        (void) sqlite3_bind_text(stmt, n + 4, c->plan, (int) c->plan_len,
                                 SQLITE_STATIC);
    }

    (void) sqlite3_bind_int64(stmt, n + 5,
                              (c->members & TB_CLIENT_BLOCKED) && c->blocked);
    (void) sqlite3_bind_int64(stmt, n + 6, (c->members & TB_CLIENT_UNLIMITED)
                                           && c->unlimited);
}
