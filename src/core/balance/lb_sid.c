
/*
 * The index of servers by their ids.
 */


#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/core/balance/lb_sid.h"


uint64_t
lb_sid_hash(const void *sid, size_t length)
{
    uint64_t  hash;

    hash = XXH3_64bits(sid, length);

    return (hash != 0) ? hash : 1;
}


void
lb_sid_index(lb_roster_t *roster, uint16_t *index)
{
    uint32_t  i, k, mask, status, used;
    uint64_t  sid;

    mask = lb_roster_sids(roster->capacity) - 1;
    memset(index, 0, (mask + 1) * sizeof(uint16_t));

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        sid = gw_load_acquire(&lb_roster_server(roster, i)->sid);

        if (!(status & LB_USED) || (status & LB_REMOVED) || sid == 0) {
            continue;
        }

        for (k = sid & mask; index[k] != 0; k = (k + 1) & mask) {
            /* at most half of the entries are taken */
        }

        index[k] = (uint16_t) (i + 1);
    }
}


/*
 * An index that is being replaced meanwhile may show a slot that has another
 * server by now, or none: who takes it looks at the slot itself.
 */

uint32_t
lb_sid_find(lb_roster_t *roster, uint64_t sid, uint32_t *place)
{
    uint32_t           i, n, entry;
    uint64_t           generation;
    _Atomic uint16_t  *index;

    generation = lb_roster_generation(roster);

    n = atomic_load_explicit(&roster->view[generation & 1][0].sids,
                             memory_order_acquire);
    index = (_Atomic uint16_t *) ((unsigned char *) roster
                                  + roster->sids[generation & 1]);

    for (i = *place; i < n; i++) {
        entry = atomic_load_explicit(&index[((uint32_t) sid + i) & (n - 1)],
                                     memory_order_acquire);

        if (entry == 0) {
            break;
        }

        if (atomic_load_explicit(&lb_roster_server(roster, entry - 1)->sid,
                                 memory_order_relaxed)
            == sid)
        {
            *place = i + 1;
            return entry - 1;
        }
    }

    return LB_NONE;
}
