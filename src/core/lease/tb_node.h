
/*
 * The node that leases: when it calls, what its calls say of it, what it
 * learns from replies, and when it is on its own.  See tb_lease.h for the
 * whole of it.
 */


#ifndef TB_NODE_H
#define TB_NODE_H


#include "src/core/gw_atomic.h"
#include "src/core/lease/tb_lease_wire.h"


#define TB_LEASE_BEAT      50         /* ms between calls with a head */
#define TB_LEASE_MISSING   300        /* ms; the script has it too */
#define TB_LEASE_ALONE     350
#define TB_LEASE_DOUBT     50         /* processes' clocks differ by less */

#define TB_LEASE_PERIOD    5          /* ms between calls about a bucket, and
                                         a node's tick */


/*
 * The node.  Written by who sends the calls with a head, one process at
 * a time; "contact" and "share" are read by anybody.
 */

typedef struct {
    unsigned char      id[TB_NODE_ID];
    unsigned char      tag[TB_NODE_TAG];       /* of the node's name */
    uint64_t           seq;      /* of the last call with a head */
    uint64_t           ack;      /* Redis' time in the reply to confirm */
    _Atomic uint64_t   contact;  /* ms, of the last reply to a head; 0: Redis
                                    does not know it (yet) */
    _Atomic uint64_t   sought;   /* ms, since when it wants to be known; 0:
                                    it does not yet; by anybody */
    _Atomic uint64_t   share;    /* parts per million: as told, by whatever
                                    id, or as it was begun with */
    _Atomic uint64_t   others;   /* ms, until when others may have taken any;
                                    0: there have been none */
    _Atomic uint32_t   joining;  /* 1: is told no share yet, which others
                                    are about to give up */
    _Atomic uint32_t   returning; /* 1: has been alone, and Redis has not heard
                                    yet that all of that was reported */
    uint64_t           told;     /* ack of the last call with a head */
    uint64_t           gone;     /* ack as it was when that began */
    bool               lone;     /* was told of no others */
    bool               known;    /* has been known, by another id */
    bool               unreported;  /* some words have refilled alone, and
                                    that has not been reported */
} tb_node_t;


/*
 * Nobody has heard of the node.  share: what it may use if it finds itself
 * alone; all of it unless others are known of.
 */

void tb_node_begin(tb_node_t *h, uint64_t share);

/* The node is needed from now on, if it was not before.  Lock-free. */

void tb_node_seek(tb_node_t *h, uint64_t now);

/*
 * A new node by this id (random): what was leased before is void, and all
 * words are to be emptied and leases cleared before it asks for anything.
 */

void tb_node_reset(tb_node_t *h, const unsigned char *id, uint64_t now);

/*
 * The head of a call with this seq, into buf of TB_LEASE_HEAD bytes.  beat:
 * the call is the node's own, and the only one under way.
 */

void tb_node_call(tb_node_t *h, uint64_t seq, bool beat, bool leave,
    unsigned char *buf);

/*
 * The reply to the call with that seq, if it was a beat.  Does nothing
 * for one that another call with a head has followed.  Where contact is 0
 * the caller has emptied all words that have refilled alone since the reset.
 */

void tb_node_replied(tb_node_t *h, uint64_t seq,
    const tb_lease_reply_t *reply, uint64_t now);

/*
 * All words that refilled alone have been reported: "alone" is 0 in each
 * lease.  To be called, where that is so, whenever h->unreported is set and the
 * node is not alone; until then the script goes on to reserve its share.
 */

void tb_node_settled(tb_node_t *h);

/*
 * The calls of one node, of all its processes: one in TB_LEASE_PERIOD for
 * each TB_LEASE_BATCH buckets in use, or part of so many (the generic cell
 * rate algorithm of ITU-T I.371).  *turn is the time from which on the next
 * one may go, us of a clock that all share, 0 at first.
 *
 * tb_node_rest(): us from now until then, 0 if it is now.  tb_node_called():
 * a call goes now, and who goes before its turn makes later ones wait for
 * longer.  Atomic both; of two that look at once both may go.
 */

uint64_t tb_node_rest(const _Atomic uint64_t *turn, uint64_t now);
void tb_node_called(_Atomic uint64_t *turn, uint32_t buckets, uint64_t now);

/*
 * Whether the node is on its own, and since when (*since, ms): there has
 * been no reply to a head for TB_LEASE_ALONE, or none since it was sought.
 * Words refill by tb_lease_alone() from then on, with h->share.
 */

bool tb_node_is_alone(const tb_node_t *h, uint64_t now, uint64_t *since);


#endif /* TB_NODE_H */
