
/*
 * The life of a node: a few atomic words that its processes share.
 */


#include <string.h>

#include "src/core/lease/tb_node.h"


void
tb_node_begin(tb_node_t *h, uint64_t share)
{
    memset(h, 0, sizeof(tb_node_t));
    gw_store_seq_cst(&h->share, share);
}


void
tb_node_seek(tb_node_t *h, uint64_t now)
{
    uint64_t  none;

    none = 0;

    if (atomic_load_explicit(&h->sought, memory_order_relaxed) == 0) {
        (void) atomic_compare_exchange_strong_explicit(&h->sought, &none,
                                                       now ? now : 1,
                                                       memory_order_seq_cst,
                                                       memory_order_seq_cst);
    }
}


void
tb_node_reset(tb_node_t *h, const unsigned char *id, uint64_t now)
{
    if (gw_load_seq_cst(&h->contact) != 0) {
        h->known = true;
        gw_store_seq_cst(&h->sought, now ? now : 1);
    }

    gw_store_seq_cst(&h->contact, 0);

    memcpy(h->id, id, TB_NODE_ID);

    h->ack = 0;
    h->unreported = false;
    gw_store_seq_cst(&h->returning, 0);
}


void
tb_node_call(tb_node_t *h, uint64_t seq, bool beat, bool leave,
    unsigned char *buf)
{
    uint64_t  share;
    unsigned  flags;

    share = gw_load_seq_cst(&h->share);
    flags = leave ? TB_LEASE_LEAVES : 0;

    if (beat) {
        h->seq = seq;
        h->told = h->ack;
        flags |= TB_LEASE_BEATS;

        if (gw_load_seq_cst(&h->contact) == 0) {
            flags |= TB_LEASE_JOINS | (h->known ? TB_LEASE_RETURNS : 0);
            share = h->known ? share : 0;
        }
    }

    tb_lease_put_head(buf, h->id, h->tag, flags, seq, h->ack, share);
}


void
tb_node_replied(tb_node_t *h, uint64_t seq,
    const tb_lease_reply_t *reply, uint64_t now)
{
    uint64_t  contact;

    if (seq != h->seq || reply->status != TB_LEASE_OK) {
        return;
    }

    contact = gw_load_seq_cst(&h->contact);

    if (contact != 0 && now >= contact + TB_LEASE_ALONE - TB_LEASE_DOUBT) {
        h->gone = h->unreported ? h->gone : h->ack;
        h->unreported = true;
        gw_store_seq_cst(&h->returning, 1);
    }

    if (!h->unreported) {

        if (h->told != h->gone) {
            gw_store_seq_cst(&h->returning, 0);
        }

        h->ack = reply->time;
    }

    /*
     * Those of whom the last reply told may have taken some since; and so may
     * those who have been there before this one.
     */

    if (reply->nodes > 1 || (contact == 0 ? reply->time != 0 : !h->lone)) {
        gw_store_seq_cst(&h->others, now ? now : 1);
    }

    h->lone = (reply->nodes <= 1);

    gw_store_seq_cst(&h->joining, reply->share == 0 && reply->missing == 0);
    gw_store_seq_cst(&h->share, reply->share);
    gw_store_seq_cst(&h->contact, now ? now : 1);
}


void
tb_node_settled(tb_node_t *h)
{
    h->unreported = false;
}


bool
tb_node_is_alone(const tb_node_t *h, uint64_t now, uint64_t *since)
{
    uint64_t  last;

    last = gw_load_seq_cst(&h->contact);

    if (last == 0) {
        last = gw_load_seq_cst(&h->sought);
    }

    if (last == 0 || now <= last + TB_LEASE_ALONE) {
        return false;
    }

    *since = last + TB_LEASE_ALONE;

    return true;
}


uint64_t
tb_node_rest(const _Atomic uint64_t *turn, uint64_t now)
{
    uint64_t  next;

    next = atomic_load_explicit(turn, memory_order_relaxed);

    return next > now ? next - now : 0;
}


void
tb_node_called(_Atomic uint64_t *turn, uint32_t buckets, uint64_t now)
{
    uint64_t  begin, next, slack, spacing;

    spacing = TB_LEASE_PERIOD * 1000 / (1 + buckets / TB_LEASE_BATCH);

    /* what a tick has room for may go at any time of it */

    slack = TB_LEASE_PERIOD * 1000 - spacing;
    begin = now > slack ? now - slack : 0;

    next = atomic_load_explicit(turn, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(turn, &next,
                                       (next > begin ? next : begin) + spacing,
                                       memory_order_relaxed,
                                       memory_order_relaxed))
    {
        /* another process calls as well */
    }
}
