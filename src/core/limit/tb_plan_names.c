
/*
 * Chains of entries by hash; see tb_plan_names.h.
 */


#include <string.h>

#include "src/core/limit/tb_plan_names.h"


typedef struct {
    _Atomic uint64_t  lo;
    _Atomic uint64_t  hi;
    _Atomic uint16_t  next;        /* number of the next one; 0: none */
    uint8_t           len;         /* 0: never in use */
    char              text[TB_PLAN_NAME_MAX];
} tb_plan_name_t;


static inline _Atomic uint16_t *
tb_plan_names_head(const tb_plan_names_t *names, const tb_hash_t *h)
{
    return (_Atomic uint16_t *) (names + 1) + (h->lo & (names->nheads - 1));
}


static inline tb_plan_name_t *
tb_plan_names_entry(const tb_plan_names_t *names, uint32_t n)
{
    return (tb_plan_name_t *) ((char *) names + names->entries)
           + (n - TB_PLAN_FIRST);
}


static size_t tb_plan_names_before(uint32_t nheads);
static uint32_t tb_plan_names_heads(uint32_t n);
static uint32_t tb_plan_names_vacant(tb_plan_names_t *names,
    const tb_plans_t *plans);
static void tb_plan_names_unlink(tb_plan_names_t *names, uint32_t n);


size_t
tb_plan_names_size(uint32_t n)
{
    return tb_plan_names_before(tb_plan_names_heads(n))
           + (n - TB_PLAN_FIRST) * sizeof(tb_plan_name_t);
}


void
tb_plan_names_init(tb_plan_names_t *names, uint32_t n)
{
    names->nheads = tb_plan_names_heads(n);
    names->max = n;
    names->entries = tb_plan_names_before(names->nheads);
    names->used = TB_PLAN_FIRST;
    names->next = TB_PLAN_FIRST;
}


uint32_t
tb_plan_names_find(const tb_plan_names_t *names, const tb_hash_t *h)
{
    uint32_t               i, n;
    const tb_plan_name_t  *entry;

    n = atomic_load_explicit(tb_plan_names_head(names, h),
                             memory_order_acquire);

    /* a chain that is changed meanwhile may lead round */

    for (i = 0; n != 0 && i < names->max; i++) {
        entry = tb_plan_names_entry(names, n);

        if (atomic_load_explicit(&entry->lo, memory_order_relaxed) == h->lo
            && atomic_load_explicit(&entry->hi, memory_order_relaxed)
               == h->hi)
        {
            return n;
        }

        n = atomic_load_explicit(&entry->next, memory_order_acquire);
    }

    return TB_PLAN_NONE;
}


uint32_t
tb_plan_names_reserve(tb_plan_names_t *names, const tb_plans_t *plans,
    const tb_hash_t *h, const char *text, size_t len)
{
    uint32_t           n;
    tb_plan_name_t    *entry;
    _Atomic uint16_t  *head;

    n = tb_plan_names_find(names, h);

    if (n != TB_PLAN_NONE) {
        return n;
    }

    n = tb_plan_names_vacant(names, plans);

    if (n == TB_PLAN_NONE) {
        return TB_PLAN_NONE;
    }

    entry = tb_plan_names_entry(names, n);
    head = tb_plan_names_head(names, h);

    entry->len = (uint8_t) len;
    memcpy(entry->text, text, len);

    atomic_store_explicit(&entry->lo, h->lo, memory_order_relaxed);
    atomic_store_explicit(&entry->hi, h->hi, memory_order_relaxed);
    atomic_store_explicit(&entry->next,
                          atomic_load_explicit(head, memory_order_relaxed),
                          memory_order_release);
    atomic_store_explicit(head, (uint16_t) n, memory_order_release);

    return n;
}


bool
tb_plan_names_has_room(const tb_plan_names_t *names, const tb_plans_t *plans)
{
    return names->used < names->max || tb_plan_free(plans) != TB_PLAN_NONE;
}


size_t
tb_plan_names_get(const tb_plan_names_t *names, uint32_t n, char *buf)
{
    const tb_plan_name_t  *entry;

    if (n < TB_PLAN_FIRST || n >= names->used) {
        return 0;
    }

    entry = tb_plan_names_entry(names, n);

    memcpy(buf, entry->text, entry->len);

    return entry->len;
}


/* Bytes before the entries. */

static size_t
tb_plan_names_before(uint32_t nheads)
{
    return (sizeof(tb_plan_names_t) + nheads * sizeof(uint16_t) + 7)
           & ~(size_t) 7;
}


/* A chain for a plan, about. */

static uint32_t
tb_plan_names_heads(uint32_t n)
{
    uint32_t  nheads;

    for (nheads = 1; nheads < n; nheads *= 2) { /* void */ }

    return nheads;
}


/* A number that had no name, as long as there is one; else one not in use. */

static uint32_t
tb_plan_names_vacant(tb_plan_names_t *names, const tb_plans_t *plans)
{
    uint32_t  i, n;

    if (names->used < names->max) {
        return names->used++;
    }

    for (i = TB_PLAN_FIRST; i < names->max; i++) {
        n = names->next;
        names->next = (n + 1 < names->max) ? n + 1 : TB_PLAN_FIRST;

        if (tb_plan_is_free(plans, n)) {
            tb_plan_names_unlink(names, n);
            return n;
        }
    }

    return TB_PLAN_NONE;
}


static void
tb_plan_names_unlink(tb_plan_names_t *names, uint32_t n)
{
    uint32_t           other;
    tb_hash_t          h;
    tb_plan_name_t    *entry;
    _Atomic uint16_t  *link;

    entry = tb_plan_names_entry(names, n);

    h.lo = atomic_load_explicit(&entry->lo, memory_order_relaxed);
    h.hi = atomic_load_explicit(&entry->hi, memory_order_relaxed);

    link = tb_plan_names_head(names, &h);

    for ( ;; ) {
        other = atomic_load_explicit(link, memory_order_relaxed);

        if (other == 0) {

            /* who was to put it in died before that */

            return;
        }

        if (other == n) {
            atomic_store_explicit(link,
                                  atomic_load_explicit(&entry->next,
                                                       memory_order_relaxed),
                                  memory_order_release);
            return;
        }

        link = &tb_plan_names_entry(names, other)->next;
    }
}
