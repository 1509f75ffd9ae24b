
/*
 * A zone's shared memory over its life: created, kept by a reload, carried
 * over when its size changes.
 */


#include "src/tbucket/ngx_http_tbucket_zone.h"

#include <sys/random.h>

#include "src/core/limit/tb_client_own.h"
#include "src/tbucket/ngx_http_tbucket_guests.h"
#include "src/tbucket/ngx_http_tbucket_inflight.h"
#include "src/tbucket/ngx_http_tbucket_plans.h"
#include "src/tbucket/ngx_http_tbucket_quota.h"
#include "src/tbucket/ngx_http_tbucket_source.h"
#include "src/tbucket/ngx_http_tbucket_store_conf.h"
#include "src/tbucket/ngx_http_tbucket_top.h"


/*
 * The parts of a zone that go to the table, the rest being for the registry:
 * 3/4 of the first megabyte, half of all beyond.
 */

#define NGX_HTTP_TBUCKET_SMALL  (1024 * 1024)

/* clients that are copied with the old zone's mutex held once */
#define NGX_HTTP_TBUCKET_COPY   64


typedef struct {
    ngx_uint_t  kept;
    ngx_uint_t  lost;
} ngx_http_tbucket_copied_t;


static void ngx_http_tbucket_supersede(ngx_http_tbucket_zone_t *old);
static ngx_int_t ngx_http_tbucket_lay_out(ngx_http_tbucket_zone_t *zone);
static ngx_int_t ngx_http_tbucket_create_top(ngx_http_tbucket_zone_t *zone);
static size_t ngx_http_tbucket_table_size(ngx_slab_pool_t *shpool,
    size_t beside);
static void ngx_http_tbucket_copy_clients(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, ngx_http_tbucket_copied_t *clients);
static ngx_uint_t ngx_http_tbucket_copy_client(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, tb_registry_entry_t *entry);
static void ngx_http_tbucket_copy_slots(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, ngx_http_tbucket_copied_t *buckets);
static void ngx_http_tbucket_copy_slot(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, uint32_t i,
    ngx_http_tbucket_copied_t *buckets);


ngx_int_t
ngx_http_tbucket_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_tbucket_zone_t  *old = data;

    size_t                      len;
    ngx_slab_pool_t            *shpool;
    ngx_http_tbucket_zone_t    *zone;
    ngx_http_tbucket_shared_t  *shared;

    zone = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->shpool = shpool;

    /* since 1.28 nginx tells of the old zone also when the memory is new */

    if (old && !shm_zone->noreuse) {
        zone->shared = old->shared;
        return NGX_OK;
    }

    if (shm_zone->shm.exists) {
        zone->shared = shpool->data;
        return NGX_OK;
    }

    len = sizeof(" in tbucket zone \"\"") + shm_zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in tbucket zone \"%V\"%Z",
                &shm_zone->shm.name);

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_tbucket_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    if (getrandom(shared->secret, TB_SECRET_SIZE, 0) != TB_SECRET_SIZE) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                      "getrandom() failed in tbucket zone \"%V\"",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    zone->shared = shared;

    if (ngx_http_tbucket_lay_out(zone) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" of %uz bytes is too small for "
                      "\"shards=%ui\" of \"tbucket_store\" in %s:%ui",
                      &zone->name, shm_zone->shm.size, zone->shards,
                      zone->file, zone->line);
        return NGX_ERROR;
    }

    shpool->data = shared;

    return NGX_OK;
}


/* Where everything is in a new zone; NGX_ERROR: there is not enough room. */

static ngx_int_t
ngx_http_tbucket_lay_out(ngx_http_tbucket_zone_t *zone)
{
    void                       *mem;
    size_t                      beside, size;
    ngx_slab_pool_t            *shpool;
    ngx_http_tbucket_shared_t  *shared;

    shpool = zone->shpool;
    shared = zone->shared;

    if (ngx_http_tbucket_store_create_zone(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    if (zone->source != NULL && zone->source->create_zone(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    beside = zone->source ? zone->source->beside : 0;
    beside += zone->kind == NGX_HTTP_TBUCKET_INFLIGHT ? sizeof(tb_slot_t) : 0;

    size = ngx_http_tbucket_table_size(shpool, beside);

    if (ngx_http_tbucket_plans_create(zone) != NGX_OK
        || size == 0 || shpool->pfree < 2)
    {
        return NGX_ERROR;
    }

    /* of the smallest zones, a page is for the registry */

    size = ngx_min(size, (shpool->pfree - 1) * ngx_pagesize);

    if (zone->kind == NGX_HTTP_TBUCKET_INFLIGHT
        && ngx_http_tbucket_inflight_create(zone, size) != NGX_OK)
    {
        return NGX_ERROR;
    }

    mem = ngx_slab_alloc(shpool, size);
    if (mem == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    /* otherwise the pages come fresh from the system, and are not touched */
    ngx_memzero(mem, size);
#endif

    shared->table = tb_table_create(mem, size);
    if (shared->table == NULL) {
        return NGX_ERROR;
    }

    tb_table_use_plans(shared->table, shared->plans);

    if (zone->source != NULL && zone->source->init_zone(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_tbucket_create_top(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    size = shpool->pfree * ngx_pagesize;

    mem = ngx_slab_alloc(shpool, size);
    if (mem == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(mem, size);
#endif

    shared->registry = tb_registry_create(mem, size);

    return shared->registry ? NGX_OK : NGX_ERROR;
}


/* From the registry's part: the table's is what users have to rely on. */

static ngx_int_t
ngx_http_tbucket_create_top(ngx_http_tbucket_zone_t *zone)
{
    void    *mem;
    size_t   size;

    size = ngx_http_tbucket_top_size(zone->shm_zone->shm.size);

    if (size == 0) {
        return NGX_OK;
    }

    mem = ngx_slab_alloc(zone->shpool, size);
    if (mem == NULL) {
        return NGX_ERROR;
    }

    zone->shared->top = ngx_http_tbucket_top_create(mem, size);

    return NGX_OK;
}


static size_t
ngx_http_tbucket_table_size(ngx_slab_pool_t *shpool, size_t beside)
{
    size_t  size, small;

    size = shpool->pfree * ngx_pagesize;
    small = ngx_min(size, NGX_HTTP_TBUCKET_SMALL);

    size = small / 4 * 3 + (size - small) / 2;

    /* what is beside the slots begins with pages of its own */

    size -= beside ? ngx_min(size, 2 * ngx_pagesize) : 0;
    size = size / (sizeof(tb_slot_t) + beside) * sizeof(tb_slot_t);

    /* the slab pool gives whole pages; of the smallest zones there is one */

    return size > ngx_pagesize ? size - size % ngx_pagesize : size;
}


void
ngx_http_tbucket_inherit_zone(ngx_cycle_t *cycle,
    ngx_http_tbucket_zone_t *zone)
{
    ngx_uint_t                  level, plans;
    ngx_http_tbucket_zone_t    *old;
    ngx_http_tbucket_copied_t   buckets, clients;

    old = ngx_http_tbucket_old_zone(zone);

    if (old == NULL) {
        return;
    }

    if (old->shared == zone->shared) {
        ngx_http_tbucket_guests_inherit(cycle, zone, old);
        return;
    }

    if (zone->shm_zone->noreuse) {

        /* the scope or the kind has changed: nginx frees what is so marked as
           an old zone, so the mark goes to that one */

        zone->shm_zone->noreuse = 0;
        old->shm_zone->noreuse = 1;
    }

    if (ngx_http_tbucket_zone_differs(zone, old)) {
        ngx_http_tbucket_supersede(old);

        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "tbucket: zone \"%V\" limits in another way and begins "
                      "anew", &zone->name);
        return;
    }

    ngx_time_update();
    ngx_http_tbucket_supersede(old);

    ngx_memcpy(zone->shared->secret, old->shared->secret, TB_SECRET_SIZE);

    ngx_shmtx_lock(&old->shpool->mutex);

    plans = ngx_http_tbucket_plans_copy(zone, old);

    ngx_shmtx_unlock(&old->shpool->mutex);

    if (plans) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "tbucket: zone \"%V\" has no room for %ui of its plans",
                      &zone->name, plans);
    }

    /* clients with own limits first, so that the others cannot crowd them */

    ngx_http_tbucket_copy_clients(zone, old, &clients);

    ngx_memzero(&buckets, sizeof(ngx_http_tbucket_copied_t));

    /* places in use are given back to the old zone: they become guests */

    if (zone->source == NULL && zone->kind != NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_copy_slots(zone, old, &buckets);
    }

    level = clients.lost ? NGX_LOG_ERR : NGX_LOG_NOTICE;

    ngx_log_error(level, cycle->log, 0,
                  "tbucket: zone \"%V\" changed its size from %uz to %uz "
                  "bytes, %ui clients kept, %ui lost, %ui other buckets kept, "
                  "%ui lost", &zone->name,
                  old->shm_zone->shm.size, zone->shm_zone->shm.size,
                  clients.kept, clients.lost, buckets.kept, buckets.lost);

    if (zone->source == NULL && zone->kind == NGX_HTTP_TBUCKET_INFLIGHT) {
        ngx_http_tbucket_guests_inherit(cycle, zone, old);
    }
}


/*
 * Old workers go on for a while, with the old zone.  A change that they make
 * before this is copied, one that they would make after it is refused.
 */

static void
ngx_http_tbucket_supersede(ngx_http_tbucket_zone_t *old)
{
    ngx_shmtx_lock(&old->shpool->mutex);

    atomic_store_explicit(&old->shared->superseded, 1, memory_order_relaxed);

    ngx_shmtx_unlock(&old->shpool->mutex);
}


ngx_http_tbucket_zone_t *
ngx_http_tbucket_old_zone(ngx_http_tbucket_zone_t *zone)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *shm_zone;

    if (ngx_cycle == NULL) {
        return NULL;
    }

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    shm_zone = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            shm_zone = part->elts;
            i = 0;
        }

        if (shm_zone[i].tag == &ngx_http_tbucket_module
            && shm_zone[i].shm.name.len == zone->name.len
            && ngx_strncmp(shm_zone[i].shm.name.data, zone->name.data,
                           zone->name.len)
               == 0)
        {
            return shm_zone[i].data;
        }
    }
}


/* The old registry is still in use, so it is read under its mutex. */

static void
ngx_http_tbucket_copy_clients(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, ngx_http_tbucket_copied_t *clients)
{
    bool                 end;
    size_t               i, n;
    uint64_t             after;
    tb_registry_entry_t  entries[NGX_HTTP_TBUCKET_COPY];

    clients->kept = 0;
    clients->lost = 0;

    after = 0;

    do {
        ngx_shmtx_lock(&old->shpool->mutex);

        n = tb_registry_list(old->shared->registry, &after, UINT32_MAX,
                             entries, sizeof(tb_registry_entry_t),
                             NGX_HTTP_TBUCKET_COPY, &end);

        ngx_shmtx_unlock(&old->shpool->mutex);

        for (i = 0; i < n; i++) {
            if (ngx_http_tbucket_copy_client(zone, old, &entries[i])) {
                clients->kept++;

            } else {
                clients->lost++;
            }
        }

    } while (!end);
}


static ngx_uint_t
ngx_http_tbucket_copy_client(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, tb_registry_entry_t *entry)
{
    int64_t         tokens;
    uint32_t        plan;
    uint64_t        now;
    tb_limits_t     dflt, slot;
    tb_result_t     bucket;
    tb_table_t     *table;
    tb_registry_t  *registry;

    table = zone->shared->table;
    registry = zone->shared->registry;

    entry->limits = ngx_http_tbucket_plans_own(zone, old, entry->limits);

    if (tb_registry_set(registry, &entry->hash, entry->id, entry->len,
                        entry->limits)
        == TB_REGISTRY_FULL)
    {
        return 0;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);
    slot = tb_own_slot(entry->limits);
    tokens = (int64_t) tb_limits_room(tb_table_limits(table, slot, dflt));

    dflt = ngx_http_tbucket_limits(old, &now);

    if (zone->kind != NGX_HTTP_TBUCKET_INFLIGHT
        && tb_table_read(old->shared->table, &entry->hash, now, dflt, &bucket)
           == TB_PASS)
    {
        tokens = bucket.left;
    }

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (tb_table_put(table, &entry->hash, now, dflt, slot, tokens)) {
        plan = tb_plan_number(entry->limits);

        if (plan != TB_PLAN_NONE) {
            tb_plan_join(zone->shared->plans, plan);
        }

        return 1;
    }

    (void) tb_registry_remove(registry, &entry->hash);

    return 0;
}


/*
 * Buckets of all others, and of clients that found no room: these are still
 * limited, as everybody is.  The old table is still in use, so each slot is
 * read as a request would.
 */

static void
ngx_http_tbucket_copy_slots(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, ngx_http_tbucket_copied_t *buckets)
{
    uint32_t      i, n;
    tb_table_t   *from;

    buckets->kept = 0;
    buckets->lost = 0;

    from = old->shared->table;

    for (i = 0; tb_table_each(from, &i, &n); /* void */) {
        for ( /* void */ ; n > 0; n--) {
            ngx_http_tbucket_copy_slot(zone, old, i++, buckets);
        }
    }
}


static void
ngx_http_tbucket_copy_slot(ngx_http_tbucket_zone_t *zone,
    ngx_http_tbucket_zone_t *old, uint32_t i,
    ngx_http_tbucket_copied_t *buckets)
{
    int64_t       tokens;
    uint64_t      now;
    tb_hash_t     h;
    tb_table_t   *to;
    tb_limits_t   dflt, limits, own;
    tb_result_t   copy;

    dflt = ngx_http_tbucket_limits(old, &now);
    to = zone->shared->table;

    if (!tb_table_bucket(old->shared->table, i, &now, dflt, &h, &limits,
                         &tokens)
        || tb_limits_is_full(limits, tokens))
    {
        return;
    }

    own = tb_table_own_limits(old->shared->table, &h);
    own = (own & TB_LIMITS_REGISTERED)
          ? 0 : ngx_http_tbucket_plans_own(zone, old, own);

    dflt = ngx_http_tbucket_limits(zone, &now);

    if (tb_table_read(to, &h, now, dflt, &copy) == TB_PASS) {
        return;
    }

    if (tb_table_put(to, &h, now, dflt, own, tokens)) {
        buckets->kept++;

    } else {
        buckets->lost++;
    }
}
