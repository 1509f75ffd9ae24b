
/*
 * One bucket for many machines: tokens are leased from Redis to holders (a
 * holder is a zone on a machine, in shared memory of its own), and requests
 * are decided on leased tokens alone.  Here: how much a holder asks for and
 * when, what it gives back, what it may do alone while Redis is away, and
 * what calls and replies look like in bytes.  Not here: the script that
 * serves the calls, connections, and where words and leases live.
 *
 * What makes the limit strict
 *
 *     Redis counts R + sum of recorded holds <= capacity.  A call says what
 *     the holder has left, not what it has spent, and a word never holds
 *     more than is recorded for it: it is recorded before it is granted, and
 *     a call that is lost loses its grant.  Of the calls about one bucket
 *     one is under way at a time, and Redis ignores what is older than
 *     what it has seen (seq), since a call that timed out may yet be
 *     executed.
 *
 *     A holder that has had no reply for TB_LEASE_ALONE ms, whatever keeps it
 *     from one, refills its words by the clock, with its share of the rate.
 *     The script does not refill that part from TB_LEASE_MISSING ms after the
 *     last reply that the holder is known to have got ("ack").  As the
 *     holder's clock starts when the reply has come, that is never later, and
 *     the difference of the two constants is for clocks that run apart.
 *     Shares are leased as tokens are: the sum of what holders may believe is
 *     at most 1.
 *
 *     A holder that may believe to have all of it may also use at once what
 *     Redis has, so that nobody else is granted anything as long as it may.
 *     What it does not know of may have been used up by others who have
 *     been there ("others"), or by itself long ago (tb_recall.h).
 *
 * All times are in ms of the machine's monotonic clock but for Redis' own,
 * in us, which a holder only passes back ("ack").
 */


#ifndef TB_LEASE_H
#define TB_LEASE_H


#include <stdatomic.h>
#include <stddef.h>

#include "src/core/limit/tb_bucket.h"


#define TB_LEASE_BATCH     500        /* buckets in a call */

#define TB_LEASE_BEAT      50         /* ms between calls with a head */
#define TB_LEASE_MISSING   300        /* ms; the script has it too */
#define TB_LEASE_ALONE     350
#define TB_LEASE_DOUBT     50         /* processes' clocks differ by less */

#define TB_LEASE_PERIOD    5          /* ms between calls about a bucket, and
                                         a holder's tick */
#define TB_LEASE_IDLE      300        /* ms without use: all goes back */

#define TB_LEASE_ALL       1000000    /* a share, in parts per million */

#define TB_HOLDER_ID       6          /* bytes */
#define TB_HOLDER_TAG      4


/*
 * A call.  KEYS: holders, then the key of each bucket.  ARGV[1]: the head;
 * ARGV[2]: one part for each bucket.  All numbers are little endian; "f8" is
 * an IEEE double that holds a whole number below 2^53.
 *
 *     head     id 6, tag 4, flags u1, seq f8, ack f8, share f8
 *     bucket   op u1, gen u4, hold f8, back f8, want f8, unit f8,
 *              capacity u4, rate f8
 *
 * The reply is a string, or an error of Redis':
 *
 *     head     status u1, share u4, holders u4, missing u4, time f8
 *     bucket   status u1, gen u4, delta f8, left f8
 */

#define TB_LEASE_HEAD      35
#define TB_LEASE_PART      49
#define TB_LEASE_CALL_MAX  (TB_LEASE_BATCH * TB_LEASE_PART)

#define TB_LEASE_REPLY_HEAD  21
#define TB_LEASE_REPLY_PART  21

/* flags */
#define TB_LEASE_BEATS     1     /* with seq, ack and share of the holder;
                                    one such call at a time */
#define TB_LEASE_JOINS     2     /* a holder that Redis may not know yet */
#define TB_LEASE_RETURNS   4     /* which has been one by another id, with
                                    that share */
#define TB_LEASE_LEAVES    8


typedef enum {
    TB_LEASE_OK = 0,
    TB_LEASE_STALE,              /* older than what Redis has seen: ignore */
    TB_LEASE_UNKNOWN             /* no such holder: tb_holder_reset(); only
                                    in a head, and no bucket follows */
} tb_lease_status_e;


typedef enum {
    TB_LEASE_TAKE = 0,           /* report, give back, ask */
    TB_LEASE_SET,                /* the bucket has "want" tokens now, and
                                    whoever holds some has none */
    TB_LEASE_LOOK,               /* change nothing; "delta" is what others
                                    hold, at most */
    TB_LEASE_CAP                 /* as TAKE, but Redis has no more left than
                                    "back", whatever it says */
} tb_lease_op_e;


/* Tokens in µtok. */

typedef struct {
    tb_limits_t        limits;
    uint64_t           hold;     /* what the word holds, without "back" */
    uint64_t           back;     /* taken out of the word, for others */
    uint64_t           want;     /* on top of hold; 0: none */
    uint64_t           unit;     /* less than this at once is of no use;
                                    at least 1 */
    uint32_t           gen;
    tb_lease_op_e      op;
} tb_lease_ask_t;


typedef struct {
    tb_lease_status_e  status;
    uint32_t           gen;      /* whose tokens "delta" are */
    int64_t            delta;    /* to add to the word, or to take out; or
                                    see TB_LEASE_LOOK */
    uint64_t           left;     /* in Redis after it */
} tb_lease_answer_t;


typedef struct {
    tb_lease_status_e  status;
    uint64_t           share;    /* parts per million */
    uint64_t           time;     /* Redis', us */
    uint32_t           holders;  /* that live or may */
    uint32_t           missing;  /* of these */
} tb_lease_reply_t;


/*
 * The holder.  Written by who sends the calls with a head, one process at
 * a time; "contact" and "share" are read by anybody.
 */

typedef struct {
    unsigned char      id[TB_HOLDER_ID];
    unsigned char      tag[TB_HOLDER_TAG];     /* of the node's name */
    uint64_t           seq;      /* of the last call with a head */
    uint64_t           ack;      /* Redis' time in the reply to confirm */
    _Atomic uint64_t   contact;  /* ms, of the last reply to a head; 0: is
                                    no holder (yet) */
    _Atomic uint64_t   sought;   /* ms, since when it wants to be one; 0: it
                                    does not yet; by anybody */
    _Atomic uint64_t   share;    /* parts per million: as told, by whatever
                                    id, or as it was begun with */
    _Atomic uint64_t   others;   /* ms, until when others may have taken any;
                                    0: there have been none */
    _Atomic uint32_t   joining;  /* 1: is told no share yet, which others
                                    are about to give up */
    _Atomic uint32_t returning; /* 1: has been alone, and Redis has not heard
                                    yet that all of that was reported */
    uint64_t           told;     /* ack of the last call with a head */
    uint64_t           gone;     /* ack as it was when that began */
    bool               lone;     /* was told of no others */
    bool               known;    /* has been a holder, by another id */
    bool               owing;    /* some words have refilled alone, and
                                    that has not been reported */
} tb_holder_t;


/*
 * What a holder knows of a bucket, beside the word.  Written by who has
 * set "seq" from 0 by a compare-and-swap, and as long as it is set; other
 * readers may see values of different calls, which is harmless: nothing
 * that the limit depends on is decided by them.  Times are the low 32 bits.
 */

typedef struct {
    _Atomic uint64_t   seq;      /* of the call under way; 0: none */
    uint64_t           held;     /* recorded in Redis, µtok, or less */
    uint64_t           left;     /* in Redis as last seen, µtok */
    uint32_t           asked;    /* when the last call was sent */
    uint32_t           answered; /* when it was answered */
    uint32_t           used;     /* when use was last seen */
    uint32_t           alone;    /* up to when the word refilled alone; any
                                    process, before it changes the word; 0:
                                    did not, or that has been reported */
    uint64_t           credited; /* what the word had at "alone"; under the
                                    lock that adds to it; µtok */
    uint64_t           full;     /* ms, when the bucket will be full at the
                                    latest, unless Redis knows better: for
                                    the first ask; 0: it does */
    uint32_t           pace;     /* use, µtok a ms, average */
    uint32_t           gen;
    bool               whole;    /* "alone" was with all of the limit: what
                                    Redis has is in the word */
    bool               warm;     /* an answer has been here */
    bool               rationed; /* it granted less than was wanted: what is
                                    left is for others */
} tb_lease_t;


/*
 * Nobody has heard of the holder.  share: what it may use if it finds itself
 * alone; all of it unless others are known of.
 */

void tb_holder_begin(tb_holder_t *h, uint64_t share);

/* The holder is needed from now on, if it was not before.  Lock-free. */

void tb_holder_seek(tb_holder_t *h, uint64_t now);

/*
 * A new holder by this id (random): what was leased before is void, and all
 * words are to be emptied and leases cleared before it asks for anything.
 */

void tb_holder_reset(tb_holder_t *h, const unsigned char *id, uint64_t now);

/*
 * The head of a call with this seq, into buf of TB_LEASE_HEAD bytes.  beat:
 * the call is the holder's own, and the only one under way.
 */

void tb_holder_call(tb_holder_t *h, uint64_t seq, bool beat, bool leave,
    unsigned char *buf);

/*
 * The reply to the call with that seq, if it was a beat.  Does nothing
 * for one that another call with a head has followed.  Where contact is 0
 * the caller has emptied all words that have refilled alone since the reset.
 */

void tb_holder_replied(tb_holder_t *h, uint64_t seq,
    const tb_lease_reply_t *reply, uint64_t now);

/*
 * All words that refilled alone have been reported: "alone" is 0 in each
 * lease.  To be called, where that is so, whenever h->owing is set and the
 * holder is not alone; until then the script goes on to reserve its share.
 */

void tb_holder_settled(tb_holder_t *h);

/*
 * The calls of one holder, of all its processes: one in TB_LEASE_PERIOD for
 * each TB_LEASE_BATCH buckets in use, or part of so many (the generic cell
 * rate algorithm of ITU-T I.371).  *turn is the time from which on the next
 * one may go, us of a clock that all share, 0 at first.
 *
 * tb_lease_rest(): us from now until then, 0 if it is now.  tb_lease_called():
 * a call goes now, and who goes before its turn makes later ones wait for
 * longer.  Atomic both; of two that look at once both may go.
 */

uint64_t tb_lease_rest(const _Atomic uint64_t *turn, uint64_t now);
void tb_lease_called(_Atomic uint64_t *turn, uint32_t buckets, uint64_t now);

/*
 * Whether the holder is on its own, and since when (*since, ms): there has
 * been no reply to a head for TB_LEASE_ALONE, or none since it was sought.
 * Words refill by tb_lease_alone() from then on, with h->share.
 */

bool tb_holder_is_alone(const tb_holder_t *h, uint64_t now, uint64_t *since);

/*
 * The tokens of a word that refills alone, from ms to now: with a share of
 * the rate, up to a share of the capacity or what it holds anyway.  It had
 * "before" at "from", and what is missing of that was taken at "spent" at
 * the latest; time in which it was full earns nothing.  from is the later
 * one of "since" and when this was last added.
 */

uint64_t tb_lease_alone(uint64_t before, uint64_t tokens, tb_limits_t limits,
    uint64_t share, uint64_t from, uint64_t spent, uint64_t now);

/*
 * The tokens of a bucket that a holder begins to use alone, having all of
 * the limit: those of the word, and those in Redis, of which a lease that
 * had no answer says nothing.  full: see tb_recall_full(); others: of the
 * holder.
 */

uint64_t tb_lease_whole(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens, uint64_t full, uint64_t others, uint64_t spent,
    uint64_t now);

/*
 * When a bucket that loses its lease will be full, to be remembered; 0: now,
 * or nothing is known of it.
 */

uint64_t tb_lease_full(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens, uint64_t now);

/*
 * Milliseconds between two calls about a bucket in use: a quarter of the
 * time in which it fills, in [TB_LEASE_PERIOD, refill]; spacing (ms) is
 * what all that is to be asked takes, and the period is not below it.
 */

uint32_t tb_lease_period(tb_limits_t limits, uint32_t refill,
    uint32_t spacing);

/*
 * Whether a call about the bucket is due.  tokens: what the word holds;
 * unit: what requests cost, at least.
 */

bool tb_lease_is_due(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t unit, uint32_t period, uint64_t now);

/*
 * What to ask for.  need: what requests wait for (all together); unit: what
 * the largest of them, or a usual one, costs.  If ask->back is not 0, the
 * caller takes it out of the word first, and plans anew if it cannot.
 */

void tb_lease_plan(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t need, uint64_t unit, uint32_t period, uint64_t now,
    tb_lease_ask_t *ask);

/*
 * The ask is sent; the caller has set l->seq.  If there is no answer, the
 * caller sets it to 0 again, and that is all.
 */

void tb_lease_sent(tb_lease_t *l, const tb_lease_ask_t *ask, uint64_t now);

/*
 * The answer to it.  Returns what to add to the word or, if negative, to
 * take out of it as far as it is there.  A grant is void if the word has
 * refilled alone since it was asked for: Redis could not know of both.  The
 * caller sets l->seq to 0 after that is done.
 */

int64_t tb_lease_answered(tb_lease_t *l, const tb_lease_ask_t *ask,
    const tb_lease_answer_t *answer, uint64_t now);

/*
 * Whether nothing is leased and nobody has asked for TB_LEASE_IDLE: what is
 * known of the bucket may go.
 */

bool tb_lease_is_over(const tb_lease_t *l, uint64_t tokens, uint64_t now);

/*
 * Whether a request that finds too few tokens is to wait for a lease; or
 * else it is refused: the bucket is empty everywhere, as far as is known.
 */

bool tb_lease_waits(const tb_lease_t *l, tb_limits_t limits, uint64_t tokens,
    uint64_t cost, uint32_t period, uint64_t now);

/* All tokens there are, as last seen; for headers.  µtok. */

uint64_t tb_lease_remainder(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens);

/*
 * Milliseconds until a refused request has a chance, rounded up; UINT64_MAX
 * for "never", as tb_word_wait().
 */

uint64_t tb_lease_wait(const tb_lease_t *l, tb_limits_t limits,
    uint64_t tokens, uint64_t cost, uint64_t now);

/* The same for a holder alone, with its share. */

uint64_t tb_lease_wait_alone(tb_limits_t limits, uint64_t share,
    uint64_t tokens, uint64_t cost);


/* tb_lease_wire.c */

/* Writes TB_LEASE_HEAD bytes; tb_holder_call() is what calls it. */

void tb_lease_put_head(unsigned char *buf, const unsigned char *id,
    const unsigned char *tag, unsigned flags, uint64_t seq, uint64_t ack,
    uint64_t share);

/* Writes TB_LEASE_PART bytes. */

void tb_lease_put(unsigned char *buf, const tb_lease_ask_t *ask);

/*
 * Reads a reply of len bytes to a call about n buckets; false: it is none.
 * answers has room for n, and is filled if reply->status is TB_LEASE_OK.
 */

bool tb_lease_read(const unsigned char *buf, size_t len, uint32_t n,
    tb_lease_reply_t *reply, tb_lease_answer_t *answers);


#endif /* TB_LEASE_H */
