
/*
 * Places in use by process, and their return after a process was killed.
 */


#include "src/core/limit/tb_ledger.h"
#include "src/core/limit/tb_ledger_count.h"
#include "src/core/limit/tb_table_overflow.h"


static const tb_hash_t  tb_ledger_overflow = TB_LEDGER_OVERFLOW;


static bool tb_ledger_find(tb_ledger_own_t *own);
static void tb_ledger_unshare(tb_ledger_own_t *own, tb_table_t *t,
    tb_ledger_row_t *from, uint32_t n, uint64_t now, tb_limits_t dflt);
TB_INLINE void tb_ledger_begin(tb_ledger_row_t *row, const tb_hash_t *h);
TB_INLINE void tb_ledger_end(tb_ledger_row_t *row);
static inline void tb_ledger_enter(tb_ledger_entry_t *e, const tb_hash_t *h);
TB_INLINE void tb_ledger_admit(tb_ledger_own_t *own, const tb_hash_t *h,
    uint32_t *entry);
static inline void tb_ledger_add(_Atomic uint32_t *number, uint32_t n);
TB_INLINE void tb_ledger_give(tb_ledger_row_t *row, tb_table_t *t,
    tb_ledger_entry_t *e, tb_slot_t *slot, uint64_t now, tb_limits_t dflt);
static TB_NOINLINE void tb_ledger_give_any(tb_table_t *t, tb_hash_t h,
    uint64_t now, tb_limits_t dflt);


size_t
tb_ledger_size(uint32_t nrows, uint32_t nblocks)
{
    return 64 + nrows * sizeof(tb_ledger_row_t)
           + nblocks * (TB_LEDGER_BLOCK * sizeof(tb_ledger_entry_t)
                        + sizeof(uint32_t));
}


tb_ledger_t *
tb_ledger_create(void *mem, uint32_t nrows, uint32_t nblocks)
{
    tb_ledger_t  *l;

    l = mem;
    l->nrows = nrows;
    l->nblocks = nblocks;

    return l;
}


bool
tb_ledger_claim(tb_ledger_t *l, tb_ledger_own_t *own, uint32_t owner,
    uint32_t slot, uint32_t *next)
{
    uint32_t          i;
    tb_ledger_row_t  *row;

    for (i = 0; i < l->nrows; i++) {
        row = tb_ledger_row(l, i);

        if (atomic_load_explicit(&row->owner, memory_order_relaxed) == 0) {
            atomic_store_explicit(&row->slot, slot, memory_order_relaxed);
            atomic_store_explicit(&row->owner, owner, memory_order_release);

            *own = (tb_ledger_own_t) { l, i, TB_LEDGER_NONE, next };

            return true;
        }
    }

    return false;
}


tb_verdict_t
tb_ledger_take(tb_ledger_own_t *own, tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, bool locked, tb_result_t *result,
    uint32_t *entry)
{
    tb_verdict_t      verdict;
    tb_ledger_row_t  *row;

    *entry = TB_LEDGER_NONE;

    if (own->free == TB_LEDGER_NONE && !tb_ledger_find(own)) {
        return tb_ledger_share(own, t, now, dflt, result, entry);
    }

    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_begin(row, h);

    verdict = locked
              ? tb_table_insert(t, h, now, dflt, TB_TOKEN, result)
              : tb_table_take(t, h, now, dflt, TB_TOKEN, result);

    if (verdict == TB_PASS && result->slot == NULL) {
        *entry = TB_LEDGER_SHARED;
        tb_ledger_add(&row->shared, 1);
        tb_ledger_add(&row->held, 1);

    } else if (verdict == TB_PASS) {
        tb_ledger_admit(own, h, entry);
    }

    tb_ledger_end(row);

    return verdict;
}


bool
tb_ledger_take_seen(tb_ledger_own_t *own, const tb_hash_t *h, uint64_t now,
    const tb_result_t *seen, uint32_t *entry)
{
    bool              taken;
    tb_ledger_row_t  *row;

    if (own->free == TB_LEDGER_NONE && !tb_ledger_find(own)) {
        return false;
    }

    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_begin(row, h);

    taken = tb_result_take(seen, now);

    if (taken) {
        tb_ledger_admit(own, h, entry);
    }

    tb_ledger_end(row);

    return taken;
}


tb_verdict_t
tb_ledger_take_leased(tb_ledger_own_t *own, tb_table_t *t, const tb_hash_t *h,
    uint64_t now, tb_limits_t dflt, tb_limits_t part, tb_result_t *result,
    uint32_t *entry)
{
    tb_verdict_t      verdict;
    tb_ledger_row_t  *row;

    *entry = TB_LEDGER_NONE;

    if (own->free == TB_LEDGER_NONE && !tb_ledger_find(own)) {
        return tb_ledger_share(own, t, now, part, result, entry);
    }

    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_begin(row, h);

    verdict = tb_table_take_known(t, h, now, dflt, TB_TOKEN, result);

    if (verdict == TB_PASS) {
        tb_ledger_admit(own, h, entry);
    }

    tb_ledger_end(row);

    return verdict;
}


void
tb_ledger_return(tb_ledger_own_t *own, tb_table_t *t, uint32_t entry,
    tb_slot_t *slot, uint64_t now, tb_limits_t dflt)
{
    tb_ledger_row_t  *row;

    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_add(&row->held, -1);

    if (entry == TB_LEDGER_SHARED) {
        tb_ledger_unshare(own, t, row, 1, now, dflt);
        return;
    }

    tb_ledger_give(row, t, tb_ledger_entry(own->ledger, entry), slot, now,
                   dflt);

    own->next[entry] = own->free;
    own->free = entry;
}


void
tb_ledger_leave(tb_ledger_own_t *own)
{
    uint32_t      i;
    tb_ledger_t  *l;

    l = own->ledger;

    for (i = 0; i < l->nblocks; i++) {
        if (atomic_load_explicit(tb_ledger_block(l, i), memory_order_relaxed)
            == own->row + 1)
        {
            atomic_store_explicit(tb_ledger_block(l, i), 0,
                                  memory_order_release);
        }
    }

    atomic_store_explicit(&tb_ledger_row(l, own->row)->owner, 0,
                          memory_order_release);
}


bool
tb_ledger_settle(tb_ledger_own_t *own, tb_table_t *t, uint32_t dead,
    uint32_t *at, uint32_t n, uint64_t now, tb_limits_t dflt)
{
    uint32_t            change, i;
    tb_hash_t           h;
    tb_ledger_t        *l;
    tb_ledger_row_t    *row;
    tb_ledger_entry_t  *e;

    l = own->ledger;
    row = tb_ledger_row(l, dead);

    atomic_store_explicit(&row->dead, 1, memory_order_release);

    tb_ledger_unshare(own, t, row,
                      atomic_load_explicit(&row->shared,
                                           memory_order_relaxed),
                      now, dflt);

    for ( /* void */ ; *at < l->nblocks && n > 0; (*at)++, n--) {

        if (atomic_load_explicit(tb_ledger_block(l, *at),
                                 memory_order_relaxed)
            != dead + 1)
        {
            continue;
        }

        for (i = 0; i < TB_LEDGER_BLOCK; i++) {
            e = tb_ledger_entry(l, *at * TB_LEDGER_BLOCK + i);

            if (atomic_load_explicit(&e->lo, memory_order_relaxed) != 0) {
                tb_ledger_give(tb_ledger_row(l, own->row), t, e, NULL, now,
                               dflt);
            }
        }
    }

    if (*at < l->nblocks) {
        return false;
    }

    change = atomic_load_explicit(&row->change, memory_order_acquire);

    if (change & 1) {
        h.lo = atomic_load_explicit(&row->lo, memory_order_relaxed);
        h.hi = atomic_load_explicit(&row->hi, memory_order_relaxed);

        /* a new key may have been about to use the overflow bucket */

        if (!tb_ledger_recount(l, t, &h, now, dflt)
            || !tb_ledger_recount(l, t, &tb_ledger_overflow, now, dflt))
        {
            return false;
        }

        atomic_store_explicit(&row->change, change + 1,
                              memory_order_release);
    }

    for (i = 0; i < l->nblocks; i++) {
        if (atomic_load_explicit(tb_ledger_block(l, i), memory_order_relaxed)
            == dead + 1)
        {
            atomic_store_explicit(tb_ledger_block(l, i), 0,
                                  memory_order_release);
        }
    }

    atomic_store_explicit(&row->held, 0, memory_order_relaxed);
    atomic_store_explicit(&row->dead, 0, memory_order_release);
    atomic_store_explicit(&row->owner, 0, memory_order_release);

    return true;
}


/* Claims a block; false: there is none. */

static bool
tb_ledger_find(tb_ledger_own_t *own)
{
    uint32_t      b, i, none;
    tb_ledger_t  *l;

    l = own->ledger;

    for (b = 0; b < l->nblocks; b++) {
        none = 0;

        if (!atomic_compare_exchange_strong_explicit(tb_ledger_block(l, b),
                                                     &none, own->row + 1,
                                                     memory_order_acq_rel,
                                                     memory_order_relaxed))
        {
            continue;
        }

        for (i = TB_LEDGER_BLOCK; i-- > 0; /* void */) {
            own->next[b * TB_LEDGER_BLOCK + i] = own->free;
            own->free = b * TB_LEDGER_BLOCK + i;
        }

        return true;
    }

    return false;
}


/*
 * A reader that sees a later store of the owner, all of which are at least
 * release, also sees change odd or moved on.
 */

TB_INLINE void
tb_ledger_begin(tb_ledger_row_t *row, const tb_hash_t *h)
{
    uint32_t  change;

    change = atomic_load_explicit(&row->change, memory_order_relaxed);

    atomic_store_explicit(&row->lo, h->lo, memory_order_relaxed);
    atomic_store_explicit(&row->hi, h->hi, memory_order_relaxed);
    atomic_store_explicit(&row->change, change + 1, memory_order_release);
}


TB_INLINE void
tb_ledger_end(tb_ledger_row_t *row)
{
    uint32_t  change;

    change = atomic_load_explicit(&row->change, memory_order_relaxed);

    atomic_store_explicit(&row->change, change + 1, memory_order_release);
}


/* Enters a request that has got its place, in the first free entry. */

TB_INLINE void
tb_ledger_admit(tb_ledger_own_t *own, const tb_hash_t *h, uint32_t *entry)
{
    *entry = own->free;
    own->free = own->next[*entry];

    tb_ledger_enter(tb_ledger_entry(own->ledger, *entry), h);
    tb_ledger_add(&tb_ledger_row(own->ledger, own->row)->held, 1);
}


static inline void
tb_ledger_enter(tb_ledger_entry_t *e, const tb_hash_t *h)
{
    atomic_store_explicit(&e->hi, h->hi, memory_order_release);
    atomic_store_explicit(&e->lo, h->lo, memory_order_release);
}


/* A number of a row, by its only writer. */

static inline void
tb_ledger_add(_Atomic uint32_t *number, uint32_t n)
{
    n += atomic_load_explicit(number, memory_order_relaxed);

    atomic_store_explicit(number, n, memory_order_release);
}


tb_verdict_t
tb_ledger_share(tb_ledger_own_t *own, tb_table_t *t, uint64_t now,
    tb_limits_t limits, tb_result_t *result, uint32_t *entry)
{
    tb_verdict_t      verdict;
    tb_ledger_row_t  *row;

    *entry = TB_LEDGER_NONE;
    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_begin(row, &tb_ledger_overflow);

    verdict = tb_table_take_overflow(t, now, limits, TB_TOKEN, result, true);
    result->slot = NULL;

    if (verdict == TB_PASS) {
        *entry = TB_LEDGER_SHARED;
        tb_ledger_add(&row->shared, 1);
        tb_ledger_add(&row->held, 1);
    }

    tb_ledger_end(row);

    return verdict;
}


/* Gives back n places of a row, as a change of the caller's. */

static void
tb_ledger_unshare(tb_ledger_own_t *own, tb_table_t *t, tb_ledger_row_t *from,
    uint32_t n, uint64_t now, tb_limits_t dflt)
{
    tb_ledger_row_t  *row;

    if (n == 0) {
        return;
    }

    row = tb_ledger_row(own->ledger, own->row);

    tb_ledger_begin(row, &tb_ledger_overflow);
    tb_ledger_add(&from->shared, -n);
    tb_table_give_overflow(t, now, dflt & ~TB_LIMITS_LEASED, n * TB_TOKEN);
    tb_ledger_end(row);
}


/* Frees the entry and gives its place back, as a change of that row's. */

TB_INLINE void
tb_ledger_give(tb_ledger_row_t *row, tb_table_t *t, tb_ledger_entry_t *e,
    tb_slot_t *slot, uint64_t now, tb_limits_t dflt)
{
    tb_hash_t  h;

    h.lo = atomic_load_explicit(&e->lo, memory_order_relaxed);
    h.hi = atomic_load_explicit(&e->hi, memory_order_relaxed);

    tb_ledger_begin(row, &h);

    atomic_store_explicit(&e->lo, 0, memory_order_release);

    if (slot == NULL
        || !tb_slot_adjust(t, slot, &h, now, dflt, TB_LIMITS_PLACES,
                           (int64_t) TB_TOKEN))
    {
        tb_ledger_give_any(t, h, now, dflt);
    }

    tb_ledger_end(row);
}


/* A function of its own, since it needs the hash to be in memory. */

static void
tb_ledger_give_any(tb_table_t *t, tb_hash_t h, uint64_t now, tb_limits_t dflt)
{
    (void) tb_table_give(t, &h, now, dflt, TB_TOKEN);
}
