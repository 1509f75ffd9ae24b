
/*
 * Calls about leases and their replies, as bytes.
 */


#ifndef TB_LEASE_WIRE_H
#define TB_LEASE_WIRE_H


#include <stddef.h>

#include "src/core/limit/tb_bucket.h"


#define TB_LEASE_BATCH     500        /* buckets in a call */

#define TB_LEASE_ALL       1000000    /* a share, in parts per million */

#define TB_NODE_ID       6          /* bytes */
#define TB_NODE_TAG      4


/*
 * A call.  KEYS: nodes, then the key of each bucket.  ARGV[1]: the head;
 * ARGV[2]: one part for each bucket.  All numbers are little endian; "f8" is
 * an IEEE double that holds a whole number below 2^53.
 *
 *     head     id 6, tag 4, flags u1, seq f8, ack f8, share f8,
 *              past f8, ahead f8
 *     bucket   op u1, gen u4, hold f8, back f8, want f8, unit f8,
 *              refund f8, heard f8, capacity u4, rate f8
 *
 * past and ahead are us since the calendar's window has begun that the buckets
 * are of, and until it ends; 0: they are of none.  A bucket of a window has a
 * key of its own, and a rate of 0.
 *
 * The reply is a string, or an error of Redis':
 *
 *     head     status u1, share u4, nodes u4, missing u4, time f8
 *     bucket   status u1, gen u4, delta f8, left f8
 */

#define TB_LEASE_HEAD      51
#define TB_LEASE_PART      65
#define TB_LEASE_CALL_MAX  (TB_LEASE_BATCH * TB_LEASE_PART)

/* of who knows of none, and has a debt to report all the same */
#define TB_LEASE_ANY_GEN   UINT32_MAX

#define TB_LEASE_REPLY_HEAD  21
#define TB_LEASE_REPLY_PART  21

/* flags */
#define TB_LEASE_BEATS     1     /* with seq, ack and share of the node;
                                    one such call at a time */
#define TB_LEASE_JOINS     2     /* a node that Redis may not know yet */
#define TB_LEASE_RETURNS   4     /* which has been one by another id, with
                                    that share */
#define TB_LEASE_LEAVES    8


typedef enum {
    TB_LEASE_OK = 0,
    TB_LEASE_STALE,              /* older than what Redis has seen: ignore */
    TB_LEASE_UNKNOWN             /* no such node: tb_node_reset(); only
                                    in a head, and no bucket follows */
} tb_lease_status_e;


typedef enum {
    TB_LEASE_TAKE = 0,           /* report, give back, pay, ask */
    TB_LEASE_SET,                /* the bucket has "want" tokens now, and
                                    whoever holds some has none */
    TB_LEASE_PEEK,               /* change nothing; "delta" is what others
                                    hold, at most */
    TB_LEASE_CAP,                /* as TAKE, but Redis has no more left than
                                    "back", whatever it says */
    TB_LEASE_PLACES              /* of requests in flight: has "hold", and
                                    "back" more are in use; asks */
} tb_lease_op_e;


/* Tokens in µtok. */

typedef struct {
    tb_limits_t        limits;
    int64_t            hold;     /* what the word holds, without "back"; < 0:
                                    what it owes, and is to be paid */
    int64_t            back;     /* taken out of the word, for others; or see
                                    _CAP, where it may be < 0,
                                    and _PLACES */
    uint64_t           want;     /* on top of hold; 0: none */
    uint64_t           unit;     /* less than this at once is of no use;
                                    at least 1 */
    int64_t            refund;   /* given back by who had taken too much; less
                                    what was taken of a quota alone */
    uint64_t           heard;    /* seq of the last call whose answer counts in
                                    hold and refund, which are since then */
    uint64_t           over;     /* of refund, what was a debt in Redis */
    uint64_t           lent;     /* of the lease, before hold was read */
    uint32_t           gen;
    tb_lease_op_e      op;
} tb_lease_ask_t;


typedef struct {
    tb_lease_status_e  status;
    uint32_t           gen;      /* whose tokens "delta" are */
    int64_t            delta;    /* to add to the word, or to take out; or
                                    see TB_LEASE_PEEK */
    int64_t            left;     /* in Redis after it; < 0: debt */
} tb_lease_answer_t;


typedef struct {
    tb_lease_status_e  status;
    uint64_t           share;    /* parts per million */
    uint64_t           time;     /* Redis', us */
    uint32_t           nodes;    /* that live or may */
    uint32_t           missing;  /* of these */
} tb_lease_reply_t;


/* Writes TB_LEASE_HEAD bytes; tb_node_call() is what calls it. */

void tb_lease_put_head(unsigned char *buf, const unsigned char *id,
    const unsigned char *tag, unsigned flags, uint64_t seq, uint64_t ack,
    uint64_t share);

/* Puts the window into a head that has none, us. */

void tb_lease_put_window(unsigned char *head, uint64_t past, uint64_t ahead);

/* Writes TB_LEASE_PART bytes. */

void tb_lease_put(unsigned char *buf, const tb_lease_ask_t *ask);

/*
 * Reads a reply of len bytes to a call about n buckets; false: it is none.
 * answers has room for n, and is filled if reply->status is TB_LEASE_OK.
 */

bool tb_lease_read(const unsigned char *buf, size_t len, uint32_t n,
    tb_lease_reply_t *reply, tb_lease_answer_t *answers);


#endif /* TB_LEASE_WIRE_H */
