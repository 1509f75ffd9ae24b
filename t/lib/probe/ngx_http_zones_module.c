
/*
 * Whether what is in shared memory is sound, within reach of HTTP requests:
 * for tests only.
 *
 *   zones_check    GET ?tbucket=ZONE or ?lb=UPSTREAM, with &quiet=1 when no
 *                  request is under way: "sound", or what is not
 *
 * A zone is copied with its mutex held and looked at in the copy, by the
 * checkers of src/core where they have one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "src/core/balance/lb_roster.h"
#include "src/tbucket/ngx_http_tbucket.h"
#include "t/unit/limit/tb_table_check.h"


static ngx_int_t ngx_http_zones_handler(ngx_http_request_t *r);
static ngx_shm_zone_t *ngx_http_zones_find(ngx_str_t *name);
static void *ngx_http_zones_copy(ngx_http_request_t *r,
    const void *block, size_t size);
static u_char *ngx_http_zones_table(ngx_http_request_t *r,
    ngx_shm_zone_t *shm_zone, u_char *p, u_char *last);
static u_char *ngx_http_zones_roster(ngx_http_request_t *r,
    ngx_shm_zone_t *shm_zone, ngx_uint_t quiet, u_char *p, u_char *last);
static u_char *ngx_http_zones_view(lb_roster_t *roster, ngx_uint_t tier,
    u_char *p, u_char *last);
static u_char *ngx_http_zones_load(lb_roster_t *roster, u_char *p,
    u_char *last);
static char *ngx_http_zones_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_zones_commands[] = {

    { ngx_string("zones_check"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_zones_set,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_zones_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_zones_module = {
    NGX_MODULE_V1,
    &ngx_http_zones_module_ctx,            /* module context */
    ngx_http_zones_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_zones_handler(ngx_http_request_t *r)
{
    u_char                   *p, *last, text[512];
    ngx_int_t                 rc;
    ngx_str_t                 name, quiet;
    ngx_uint_t                table;
    ngx_shm_zone_t           *shm_zone;
    ngx_http_complex_value_t  cv;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    table = (ngx_http_arg(r, (u_char *) "tbucket", 7, &name) == NGX_OK);

    if (!table && ngx_http_arg(r, (u_char *) "lb", 2, &name) != NGX_OK) {
        return NGX_HTTP_BAD_REQUEST;
    }

    shm_zone = ngx_http_zones_find(&name);

    if (shm_zone == NULL) {
        return NGX_HTTP_NOT_FOUND;
    }

    p = text;
    last = text + sizeof(text);

    if (table) {
        p = ngx_http_zones_table(r, shm_zone, p, last);

    } else {
        p = ngx_http_zones_roster(r, shm_zone,
                                  ngx_http_arg(r, (u_char *) "quiet", 5,
                                               &quiet) == NGX_OK,
                                  p, last);
    }

    if (p == text) {
        p = ngx_slprintf(p, last, "sound");
    }

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    cv.value.len = p - text;
    cv.value.data = ngx_pnalloc(r->pool, cv.value.len);

    if (cv.value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(cv.value.data, text, cv.value.len);

    ngx_str_set(&name, "text/plain");

    return ngx_http_send_response(r, NGX_HTTP_OK, &name, &cv);
}


static ngx_shm_zone_t *
ngx_http_zones_find(ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zones;
    ngx_list_part_t  *part;

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;

    for (; part; part = part->next) {
        zones = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (zones[i].shm.name.len == name->len
                && ngx_memcmp(zones[i].shm.name.data, name->data, name->len)
                   == 0)
            {
                return &zones[i];
            }
        }
    }

    return NULL;
}


/* A copy with the alignment that the structures of src/core ask for. */

static void *
ngx_http_zones_copy(ngx_http_request_t *r, const void *block, size_t size)
{
    void  *copy;

    copy = ngx_pmemalign(r->pool, size, LB_LINE);

    if (copy) {
        ngx_memcpy(copy, block, size);
    }

    return copy;
}


static u_char *
ngx_http_zones_table(ngx_http_request_t *r, ngx_shm_zone_t *shm_zone,
    u_char *p, u_char *last)
{
    size_t                      size;
    uint32_t                    broken, entries, i, registered;
    uint64_t                    limits;
    tb_table_t                 *table;
    ngx_slab_pool_t            *shpool;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    shared = shpool->data;
    zone = shm_zone->data;

    size = shared->table->slots
           + (size_t) tb_table_slots(shared->table) * sizeof(tb_slot_t);

    ngx_shmtx_lock(&shpool->mutex);

    table = ngx_http_zones_copy(r, shared->table, size);
    entries = shared->registry->entries;

    /* whoever was killed while it changed a client has left a note */

    if (shared->edited_lo) {
        entries = NGX_MAX_UINT32_VALUE;
    }

    ngx_shmtx_unlock(&shpool->mutex);

    if (table == NULL) {
        return ngx_slprintf(p, last, "no memory");
    }

    ngx_time_update();

    broken = tb_table_check(table, ngx_current_msec, zone->limits);

    if (broken) {
        p = ngx_slprintf(p, last, "%uD slots are broken; ", broken);
    }

    registered = 0;

    for (i = 0; i < tb_table_slots(table); i++) {
        limits = tb_table_slot(table, i)->limits;

        if (tb_table_slot(table, i)->tag && limits & TB_LIMITS_REGISTERED) {
            registered++;
        }
    }

    if (entries != NGX_MAX_UINT32_VALUE && registered != entries) {
        p = ngx_slprintf(p, last, "%uD clients in %uD pinned slots; ",
                         entries, registered);
    }

    return p;
}


static u_char *
ngx_http_zones_roster(ngx_http_request_t *r, ngx_shm_zone_t *shm_zone,
    ngx_uint_t quiet, u_char *p, u_char *last)
{
    size_t            size;
    lb_roster_t      *roster;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    roster = shpool->data;
    size = roster->size;

    if (size > shm_zone->shm.size) {
        return ngx_slprintf(p, last, "a roster of %uz bytes", size);
    }

    ngx_shmtx_lock(&shpool->mutex);
    roster = ngx_http_zones_copy(r, roster, size);
    ngx_shmtx_unlock(&shpool->mutex);

    if (roster == NULL) {
        return ngx_slprintf(p, last, "no memory");
    }

    if (roster->used > roster->capacity) {
        return ngx_slprintf(p, last, "%uD slots used of %uD",
                            roster->used, roster->capacity);
    }

    p = ngx_http_zones_view(roster, 0, p, last);
    p = ngx_http_zones_view(roster, 1, p, last);

    if (quiet) {
        p = ngx_http_zones_load(roster, p, last);
    }

    return p;
}


/* Whatever is in a view is a slot, and a set has no server twice. */

static u_char *
ngx_http_zones_view(lb_roster_t *roster, ngx_uint_t tier, u_char *p,
    u_char *last)
{
    uint32_t   i, j;
    lb_view_t  view;

    (void) lb_roster_view(roster, tier, &view);

    if (view.order_length > roster->order_max
        || view.set_length > roster->capacity)
    {
        return ngx_slprintf(p, last, "tier %ui: %uD steps, %uD servers; ",
                            tier, view.order_length, view.set_length);
    }

    for (i = 0; i < view.order_length; i++) {

        if (view.order[i] >= roster->used) {
            return ngx_slprintf(p, last, "tier %ui: step %uD is no slot; ",
                                tier, i);
        }
    }

    for (i = 0; i < view.set_length; i++) {

        if (view.set[i] >= roster->used) {
            return ngx_slprintf(p, last, "tier %ui: member %uD is no slot; ",
                                tier, i);
        }

        for (j = 0; j < i; j++) {

            if (view.set[j] == view.set[i]) {
                return ngx_slprintf(p, last, "tier %ui: %uD twice; ", tier,
                                    (uint32_t) view.set[i]);
            }
        }
    }

    return p;
}


/* Without requests no server has any, and no process holds one. */

static u_char *
ngx_http_zones_load(lb_roster_t *roster, u_char *p, u_char *last)
{
    uint32_t   i, n, held;
    lb_load_t  load;

    load = lb_roster_load(roster);

    for (i = 0; i < roster->used; i++) {

        if (lb_load_active(&load, i) != 0) {
            p = ngx_slprintf(p, last, "slot %uD has %uD requests; ", i,
                             lb_load_active(&load, i));
        }

        for (n = 0; n < load.nrows; n++) {

            held = ((_Atomic uint32_t *) ((uintptr_t) &load.rows[n]
                                          + load.rows[n].held))[i];

            if (load.rows[n].owner && held) {
                p = ngx_slprintf(p, last, "%uD holds %uD of slot %uD; ",
                                 load.rows[n].owner, held, i);
            }
        }
    }

    return p;
}


static char *
ngx_http_zones_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_zones_handler;

    return NGX_CONF_OK;
}
