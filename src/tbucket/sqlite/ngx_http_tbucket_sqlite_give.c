
/*
 * Clients and plans of a zone in use become rows of a database that is new to
 * it; see ngx_http_tbucket_sqlite_give.h.
 */


#include "src/tbucket/sqlite/ngx_http_tbucket_sqlite_give.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/sqlite/ngx_http_tbucket_columns.h"


/* clients that are listed with the mutex held once */
#define NGX_HTTP_TBUCKET_GIVE_SLICE   64

/* empty chains of the registry that one look goes through */
#define NGX_HTTP_TBUCKET_GIVE_BUDGET  10000


static ngx_int_t ngx_http_tbucket_sqlite_give_plans(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_sqlite_give_slice(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, tb_registry_entry_t *entries, ngx_uint_t n);
static ngx_int_t ngx_http_tbucket_sqlite_give_one(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, ngx_str_t *id,
    const tb_client_t *given);


ngx_int_t
ngx_http_tbucket_sqlite_give(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, uint64_t last)
{
    bool                  end;
    size_t                n;
    uint64_t              after;
    ngx_int_t             rc;
    sqlite3_stmt         *stmt;
    tb_registry_entry_t   entries[NGX_HTTP_TBUCKET_GIVE_SLICE];

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_ZONE);
    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);

    rc = ngx_http_tbucket_db_next(db, stmt);
    (void) sqlite3_reset(stmt);

    if (rc != NGX_DONE) {
        return rc;
    }

    if (ngx_http_tbucket_sqlite_give_plans(db, zone) != NGX_OK) {
        return NGX_ERROR;
    }

    after = 0;

    do {
        ngx_shmtx_lock(&zone->shpool->mutex);

        n = tb_registry_list(zone->shared->registry, &after,
                             NGX_HTTP_TBUCKET_GIVE_BUDGET, entries,
                             sizeof(tb_registry_entry_t),
                             NGX_HTTP_TBUCKET_GIVE_SLICE, &end);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        rc = ngx_http_tbucket_sqlite_give_slice(db, zone, entries, n);

    } while (!end && rc != NGX_ERROR);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(db, NGX_HTTP_TBUCKET_DB_SET_ZONE);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    (void) sqlite3_bind_blob(stmt, 2, zone->shared->secret, TB_SECRET_SIZE,
                             SQLITE_STATIC);
    (void) sqlite3_bind_int64(stmt, 3, (int64_t) last);

    return ngx_http_tbucket_db_run(db, stmt);
}


static ngx_int_t
ngx_http_tbucket_sqlite_give_plans(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone)
{
    uint32_t     n;
    ngx_str_t    name;
    tb_client_t  plan;

    for (n = TB_PLAN_FIRST; n < zone->shared->plans->n; n++) {
        ngx_shmtx_lock(&zone->shpool->mutex);

        ngx_http_tbucket_plan_get(zone, n, &plan);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (!(plan.members & TB_CLIENT_LIMITS)) {
            continue;
        }

        name.data = (u_char *) plan.plan;
        name.len = plan.plan_len;

        if (ngx_http_tbucket_sqlite_give_one(db, zone, 1, &name, &plan)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tbucket_sqlite_give_slice(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, tb_registry_entry_t *entries, ngx_uint_t n)
{
    ngx_str_t    id;
    ngx_uint_t   i;
    tb_client_t  given;

    for (i = 0; i < n; i++) {
        id.data = (u_char *) entries[i].id;
        id.len = entries[i].len;

        ngx_shmtx_lock(&zone->shpool->mutex);

        ngx_http_tbucket_client_given(zone, entries[i].limits, &given);

        ngx_shmtx_unlock(&zone->shpool->mutex);

        if (ngx_http_tbucket_sqlite_give_one(db, zone, 0, &id, &given)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* A row, unless there is one. */

static ngx_int_t
ngx_http_tbucket_sqlite_give_one(ngx_http_tbucket_db_t *db,
    ngx_http_tbucket_zone_t *zone, ngx_uint_t plan, ngx_str_t *id,
    const tb_client_t *given)
{
    ngx_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ngx_http_tbucket_db_statement(db, plan
                                         ? NGX_HTTP_TBUCKET_DB_PLAN
                                         : NGX_HTTP_TBUCKET_DB_CLIENT);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    ngx_http_tbucket_db_bind_text(stmt, 2, id);

    rc = ngx_http_tbucket_db_next(db, stmt);
    (void) sqlite3_reset(stmt);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    stmt = ngx_http_tbucket_db_statement(db, plan
                                         ? NGX_HTTP_TBUCKET_DB_SET_PLAN
                                         : NGX_HTTP_TBUCKET_DB_SET);

    ngx_http_tbucket_db_bind_text(stmt, 1, &zone->name);
    ngx_http_tbucket_db_bind_text(stmt, 2, id);
    ngx_http_tbucket_columns_bind(stmt, 3, zone, plan, given);

    return ngx_http_tbucket_db_run(db, stmt);
}
