
/*
 * Counters of who is refused and seen most, in parts by hash.
 *
 * Whoever counts, or reads, takes the part's lock for a microsecond.  A
 * worker never waits for it longer than that: what it cannot count then is
 * not counted.  The lock names its holder, so that of one who was killed with
 * it can be taken; the part then begins anew, since it may be half written.
 */


#include "src/tbucket/ngx_http_tbucket_top.h"


#define NGX_HTTP_TBUCKET_TOP_SHARE   32
#define NGX_HTTP_TBUCKET_TOP_MOST    (128 * 1024)
#define NGX_HTTP_TBUCKET_TOP_LEAST   (8 * 1024)

/* one of so many admissions is counted */
#define NGX_HTTP_TBUCKET_TOP_SAMPLE  64

/* ms after which counts are halved */
#define NGX_HTTP_TBUCKET_TOP_HALF    60000u

/* looks at a lock that somebody holds */
#define NGX_HTTP_TBUCKET_TOP_SPINS   200


typedef struct {

    /* pid and number of the process that is at the rest, or 0 */
    _Alignas(64) _Atomic uint64_t  holder;

    /* the holder's */
    uint32_t                       halved;     /* how often */
    tb_top_t                      *sets[2];

    /* written once, before the first worker starts */
    uint32_t                       sizes[2];   /* counters */
    uint32_t                       chunks[2];  /* for ids */
} ngx_http_tbucket_top_part_t;


struct ngx_http_tbucket_top_s {
    uint64_t                       begin;      /* ms; written once */
    ngx_http_tbucket_top_part_t    parts[NGX_HTTP_TBUCKET_TOP_PARTS];
};


static void ngx_http_tbucket_top_part(ngx_http_tbucket_top_part_t *part,
    u_char *mem, size_t size);
static ngx_http_tbucket_top_part_t *ngx_http_tbucket_top_lock(
    ngx_http_tbucket_top_t *top, ngx_uint_t n);
static void ngx_http_tbucket_top_fade(ngx_http_tbucket_top_part_t *part,
    uint32_t due);
static ngx_uint_t ngx_http_tbucket_top_is_dead(uint64_t holder);
static void ngx_http_tbucket_top_unlock(ngx_http_tbucket_top_part_t *part);
static void ngx_http_tbucket_top_begin(ngx_http_tbucket_top_part_t *part);
static uint32_t ngx_http_tbucket_top_halvings(ngx_http_tbucket_top_t *top);


ngx_uint_t  ngx_http_tbucket_top_pass = NGX_HTTP_TBUCKET_TOP_SAMPLE;


size_t
ngx_http_tbucket_top_size(size_t zone)
{
    size_t  size;

    size = zone / NGX_HTTP_TBUCKET_TOP_SHARE;
    size = ngx_min(size, NGX_HTTP_TBUCKET_TOP_MOST);
    size -= size % ngx_pagesize;

    return size < NGX_HTTP_TBUCKET_TOP_LEAST ? 0 : size;
}


ngx_http_tbucket_top_t *
ngx_http_tbucket_top_create(void *mem, size_t size)
{
    ngx_uint_t               i;
    ngx_http_tbucket_top_t  *top;

    top = mem;

    ngx_memzero(top, sizeof(ngx_http_tbucket_top_t));

    top->begin = ngx_current_msec;

    size = (size - sizeof(ngx_http_tbucket_top_t))
           / NGX_HTTP_TBUCKET_TOP_PARTS;
    size -= size % 8;

    for (i = 0; i < NGX_HTTP_TBUCKET_TOP_PARTS; i++) {
        ngx_http_tbucket_top_part(&top->parts[i],
                                  (u_char *) (top + 1) + i * size, size);
    }

    return top;
}


/*
 * A quarter as many counters for those seen as for those refused, and for
 * ids what is left: of 32 bytes the counters take 20.
 */

static void
ngx_http_tbucket_top_part(ngx_http_tbucket_top_part_t *part, u_char *mem,
    size_t size)
{
    size_t      left;
    uint32_t    chunks;
    ngx_uint_t  i;

    part->sizes[NGX_HTTP_TBUCKET_TOP_REJECTED] = (uint32_t) (size / 64);
    part->sizes[NGX_HTTP_TBUCKET_TOP_REQUESTS] = (uint32_t) (size / 256);

    left = size;

    for (i = 0; i < 2; i++) {
        left -= tb_top_size(part->sizes[i], 0);
    }

    chunks = (uint32_t) (left / sizeof(tb_top_chunk_t));

    part->chunks[NGX_HTTP_TBUCKET_TOP_REQUESTS] = chunks / 4;
    part->chunks[NGX_HTTP_TBUCKET_TOP_REJECTED] = chunks - chunks / 4;

    for (i = 0; i < 2; i++) {
        part->sets[i] = (tb_top_t *) mem;
        mem += tb_top_size(part->sizes[i], part->chunks[i]);
    }

    ngx_http_tbucket_top_begin(part);
}


static void
ngx_http_tbucket_top_begin(ngx_http_tbucket_top_part_t *part)
{
    ngx_uint_t  i;

    for (i = 0; i < 2; i++) {
        (void) tb_top_init(part->sets[i], part->sizes[i], part->chunks[i]);
    }
}


void
ngx_http_tbucket_top_count(ngx_http_tbucket_charge_t *charge)
{
    char                         *id;
    size_t                        len;
    uint64_t                      lo;
    ngx_uint_t                    passed;
    ngx_http_tbucket_top_t       *top;
    ngx_http_tbucket_top_part_t  *part;

    passed = (charge->verdict == TB_PASS);

    if (passed) {
        ngx_http_tbucket_top_pass = 1 + (ngx_uint_t) ngx_random()
                                    % (2 * NGX_HTTP_TBUCKET_TOP_SAMPLE - 1);
    }

    top = charge->zone->shared->top;

    if (top == NULL || charge->standing == NGX_HTTP_TBUCKET_NOBODY) {
        return;
    }

    lo = charge->hash.lo;
    id = (char *) charge->client.data;
    len = charge->client.len;

    part = ngx_http_tbucket_top_lock(top, lo >> 62);

    if (part == NULL) {
        return;
    }

    if (passed) {
        tb_top_beside(part->sets[NGX_HTTP_TBUCKET_TOP_REJECTED], lo,
                      NGX_HTTP_TBUCKET_TOP_SAMPLE);
        tb_top_count(part->sets[NGX_HTTP_TBUCKET_TOP_REQUESTS], lo, id, len,
                     NGX_HTTP_TBUCKET_TOP_SAMPLE);

    } else {
        tb_top_count(part->sets[NGX_HTTP_TBUCKET_TOP_REJECTED], lo, id, len,
                     1);
        tb_top_count(part->sets[NGX_HTTP_TBUCKET_TOP_REQUESTS], lo, id, len,
                     1);
        tb_top_beside(part->sets[NGX_HTTP_TBUCKET_TOP_REQUESTS], lo, 1);
    }

    ngx_http_tbucket_top_unlock(part);
}


ngx_uint_t
ngx_http_tbucket_top_rows(ngx_http_tbucket_top_t *top,
    ngx_http_tbucket_top_e kind)
{
    return NGX_HTTP_TBUCKET_TOP_PARTS * top->parts[0].sizes[kind];
}


ngx_int_t
ngx_http_tbucket_top_read(ngx_http_tbucket_top_t *top,
    ngx_http_tbucket_top_e kind, ngx_uint_t n, tb_top_row_t *rows,
    size_t *nrows)
{
    ngx_http_tbucket_top_part_t  *part;

    part = ngx_http_tbucket_top_lock(top, n);

    if (part == NULL) {
        return NGX_AGAIN;
    }

    *nrows = tb_top_read(part->sets[kind], rows, *nrows);

    ngx_http_tbucket_top_unlock(part);

    return NGX_OK;
}


ngx_int_t
ngx_http_tbucket_top_id(ngx_http_tbucket_top_t *top, uint64_t lo,
    ngx_str_t *id)
{
    ngx_uint_t                    i;
    ngx_http_tbucket_top_part_t  *part;

    part = ngx_http_tbucket_top_lock(top, lo >> 62);

    if (part == NULL) {
        return NGX_AGAIN;
    }

    id->len = 0;

    for (i = 0; i < 2 && id->len == 0; i++) {
        id->len = tb_top_id(part->sets[i], lo, (char *) id->data);
    }

    ngx_http_tbucket_top_unlock(part);

    return id->len ? NGX_OK : NGX_DECLINED;
}


/*
 * Halved k times, a count at an even rate is what came since the last time,
 * and of the time before as much as half of each 60 s, a quarter, ...
 */

time_t
ngx_http_tbucket_top_since(ngx_http_tbucket_top_t *top)
{
    uint32_t  k;
    uint64_t  since;

    k = ngx_http_tbucket_top_halvings(top);

    since = top->begin + (uint64_t) k * NGX_HTTP_TBUCKET_TOP_HALF
            - (NGX_HTTP_TBUCKET_TOP_HALF
               - (k < 32 ? NGX_HTTP_TBUCKET_TOP_HALF >> k : 0));

    return ngx_time() - (time_t) ((ngx_current_msec - since) / 1000);
}


static uint32_t
ngx_http_tbucket_top_halvings(ngx_http_tbucket_top_t *top)
{
    int64_t  ms;

    /* the clock of the process that made it may be a little ahead */

    ms = (int64_t) (ngx_current_msec - top->begin);

    return ms < 0 ? 0 : (uint32_t) (ms / NGX_HTTP_TBUCKET_TOP_HALF);
}


/* The part, with what has faded until now; NULL: somebody is at it. */

static ngx_http_tbucket_top_part_t *
ngx_http_tbucket_top_lock(ngx_http_tbucket_top_t *top, ngx_uint_t n)
{
    uint64_t                      holder, me;
    ngx_uint_t                    spins;
    ngx_http_tbucket_top_part_t  *part;

    part = &top->parts[n];
    me = (uint64_t) ngx_pid << 32 | (uint32_t) ngx_process_slot;
    spins = 0;

    for ( ;; ) {
        holder = 0;

        if (atomic_compare_exchange_weak_explicit(&part->holder, &holder, me,
                                                  memory_order_acquire,
                                                  memory_order_relaxed))
        {
            break;
        }

        if (spins++ < NGX_HTTP_TBUCKET_TOP_SPINS) {
            ngx_cpu_pause();
            continue;
        }

        if (holder == 0 || !ngx_http_tbucket_top_is_dead(holder)
            || !atomic_compare_exchange_strong_explicit(&part->holder,
                                                        &holder, me,
                                                        memory_order_acquire,
                                                        memory_order_relaxed))
        {
            return NULL;
        }

        ngx_http_tbucket_top_begin(part);
        break;
    }

    ngx_http_tbucket_top_fade(part, ngx_http_tbucket_top_halvings(top));

    return part;
}


/* Until it has been halved so often; somebody's clock may be ahead. */

static void
ngx_http_tbucket_top_fade(ngx_http_tbucket_top_part_t *part, uint32_t due)
{
    if (due > part->halved && due - part->halved > 32) {

        /* nothing is left of a number of 32 bits */

        part->halved = due - 32;
    }

    for ( /* void */ ; part->halved < due; part->halved++) {
        tb_top_halve(part->sets[NGX_HTTP_TBUCKET_TOP_REJECTED]);
        tb_top_halve(part->sets[NGX_HTTP_TBUCKET_TOP_REQUESTS]);
    }
}


/*
 * A process holds one lock at most, and one of a number is dead before the
 * next one of that number begins.
 */

static ngx_uint_t
ngx_http_tbucket_top_is_dead(uint64_t holder)
{
    ngx_pid_t  pid;

    pid = (ngx_pid_t) (holder >> 32);

    return pid == ngx_pid || (uint32_t) holder == (uint32_t) ngx_process_slot
           || (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH);
}


static void
ngx_http_tbucket_top_unlock(ngx_http_tbucket_top_part_t *part)
{
    atomic_store_explicit(&part->holder, 0, memory_order_release);
}
