
/*
 * One bucket for many machines: tokens are leased from Redis to nodes (a
 * node is a zone on a machine, in shared memory of its own), and requests
 * are decided on leased tokens alone.  Here: how much a node asks for and
 * when, what it gives back, and what it may do alone while Redis is away.
 * Not here: the node itself (tb_node.h), bytes of calls and replies
 * (tb_lease_wire.h), the script that serves them (src/redis/lease.lua),
 * connections, and where words and leases live.
 *
 * What makes the limit strict
 *
 *     Redis counts R + sum of recorded holds <= capacity.  A call says what
 *     the node has left, not what it has spent, and a word never holds
 *     more than is recorded for it: it is recorded before it is granted, and
 *     a call that is lost loses its grant.  Of the calls about one bucket
 *     one is under way at a time, and Redis ignores what is older than
 *     what it has seen (seq), since a call that timed out may yet be
 *     executed.
 *
 *     A word may owe tokens.  The next call says how many, Redis takes them
 *     out of R, which may be less than nothing then, and the answer puts
 *     them into the word.  What is given back to a bucket goes along with
 *     that call as well ("refund"), since a word may not hold more than is
 *     recorded.  Both are what there has been since the last call whose answer
 *     has come ("heard"), and Redis records how much of it has been charged
 *     in calls since: so they count once, whatever is lost.
 *
 *     A node that has had no reply for TB_LEASE_ALONE ms, whatever keeps it
 *     from one, refills its words by the clock, with its share of the rate.
 *     The script does not refill that part from TB_LEASE_MISSING ms after the
 *     last reply that the node is known to have got ("ack").  As the
 *     node's clock starts when the reply has come, that is never later, and
 *     the difference of the two constants is for clocks that run apart.
 *     Shares are leased as tokens are: the sum of what nodes may believe is
 *     at most 1.
 *
 *     A node that may believe to have all of it may also use at once what
 *     Redis has, so that nobody else is granted anything as long as it may.
 *     What it does not know of may have been used up by others who have
 *     been there ("others"), or by itself long ago (tb_recall.h).
 *
 *     A quota is not refilled, but is another bucket with each window of the
 *     calendar, whose leases end with it.  Limits have a rate of 0 then.  A
 *     node on its own takes its share of what was left in Redis, as last seen,
 *     once; Redis is charged with it by the next call ("refund" is less by it),
 *     and keeps as much from others as long as the node is missing.
 *
 * All times are in ms of the machine's monotonic clock but for Redis' own,
 * in us, which a node only passes back ("ack").
 */


#ifndef TB_LEASE_H
#define TB_LEASE_H


#include "src/core/lease/tb_node.h"


#define TB_LEASE_IDLE      300        /* ms without use: all goes back */


/*
 * What a node knows of a bucket, beside the word.  Written by who has
 * set "seq" from 0 by a compare-and-swap, and as long as it is set; other
 * readers may see values of different calls, which is harmless: nothing
 * that the limit depends on is decided by them.  Times are the low 32 bits.
 */

typedef struct {
    _Atomic uint64_t   seq;      /* of the call under way; 0: none */
    uint64_t           heard;    /* seq of the last call that was answered,
                                    or that there was when this began */
    uint64_t           held;     /* recorded in Redis, µtok, or less */
    int64_t            left;     /* in Redis as last seen, µtok; < 0: debt */
    _Atomic int64_t    refund;   /* given back since "heard", less what was
                                    taken of a quota alone, µtok; added to by
                                    anybody */
    _Atomic uint64_t   lent;     /* µtok that requests have taken which wait
                                    for them: their sum, by anybody */
    _Atomic uint64_t   paid;     /* of these, what was in the last call that was
                                    answered; written after "left" */
    uint32_t           asked;    /* when the last call was sent */
    uint32_t           answered; /* when it was answered */
    uint32_t           used;     /* when use was last seen */
    uint32_t           alone;    /* up to when the word refilled alone; any
                                    process, before it changes the word; 0:
                                    did not, or that has been reported */
    int64_t            credited; /* what the word had at "alone"; under the
                                    lock that adds to it; µtok */
    uint64_t           over;     /* of "refund", what the word has taken over of
                                    a debt; likewise */
    uint64_t           full;     /* ms, when the bucket will be full at the
                                    latest (tb_recall.h), unless Redis knows
                                    better: for the first ask; 0: it does */
    uint64_t           window;   /* of a quota, a word of tb_window.h; or 0 */
    uint32_t           pace;     /* use, µtok a ms, average */
    uint32_t           gen;
    bool               whole;    /* "alone" was with all of the limit: what
                                    Redis has is in the word */
    bool               warm;     /* an answer has been here */
    bool               rationed; /* it granted less than was wanted: what is
                                    left is for others */
} tb_lease_t;


/*
 * The tokens of a word that refills alone, from ms to now: with a share of
 * the rate, up to a share of the capacity or what it holds anyway.  It had
 * "before" at "from", and what is missing of that was taken at "spent" at
 * the latest; time in which it was full earns nothing.  from is the later
 * one of "since" and when this was last added.
 */

int64_t tb_lease_alone(int64_t before, int64_t tokens, tb_limits_t limits,
    uint64_t share, uint64_t from, uint64_t spent, uint64_t now);

/*
 * What a word that begins to refill alone, with that share, takes over of the
 * debt in Redis, µtok.  It counts in what tb_lease_alone() is asked about;
 * where the word is changed, the caller adds it to "over" and "refund".
 */

uint64_t tb_lease_taken_over(const tb_lease_t *l, uint64_t share);

/*
 * The tokens of a bucket that a node begins to use alone, having all of
 * the limit: those of the word, less what that takes over of a debt, and
 * those in Redis, of which a lease that had no answer says nothing.  full: see
 * tb_recall_full(); others: of the node.
 */

int64_t tb_lease_whole(const tb_lease_t *l, tb_limits_t limits,
    int64_t tokens, uint64_t full, uint64_t others, uint64_t spent,
    uint64_t now);

/*
 * When a bucket that loses its lease will be full, to be remembered; 0: now,
 * or nothing is known of it.
 */

uint64_t tb_lease_full(const tb_lease_t *l, tb_limits_t limits,
    int64_t tokens, uint64_t now);

/*
 * Milliseconds between two calls about a bucket in use: a quarter of the
 * time in which it fills, in [TB_LEASE_PERIOD, refill]; spacing (ms) is
 * what all that is to be asked takes, and the period is not below it.
 */

uint32_t tb_lease_period(tb_limits_t limits, uint32_t refill,
    uint32_t spacing);

/*
 * Whether a call about the bucket is due.  tokens: what the word holds, or
 * owes; unit: what requests cost, at least.
 */

bool tb_lease_is_due(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t unit, uint32_t period, uint64_t now);

/*
 * What to ask for.  need: what requests wait for (all together); unit: what
 * the largest of them, or a usual one, costs.  If ask->back is not 0, the
 * caller takes it out of the word first, and plans anew if it cannot.
 */

void tb_lease_plan(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
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
 * Whether nothing is leased or to be paid, and nobody has asked for
 * TB_LEASE_IDLE: what is known of the bucket may go.
 */

bool tb_lease_is_over(const tb_lease_t *l, int64_t tokens, uint64_t now);

/*
 * Whether a request that finds too few tokens is to wait for a lease; or
 * else it is refused: the bucket is empty everywhere, as far as is known.
 */

bool tb_lease_waits(const tb_lease_t *l, tb_limits_t limits, int64_t tokens,
    uint64_t cost, uint32_t period, uint64_t now);

/* All tokens there are, as last seen, µtok; < 0: debt. */

int64_t tb_lease_remainder(const tb_lease_t *l, tb_limits_t limits,
    int64_t tokens);

/*
 * Milliseconds until a refused request has a chance, rounded up; UINT64_MAX
 * for "never", as tb_word_wait().
 */

uint64_t tb_lease_wait(const tb_lease_t *l, tb_limits_t limits,
    int64_t tokens, uint64_t cost, uint64_t now);

/*
 * A request that waits has taken its tokens from the word, into debt, and then
 * added them to "lent", which is its ticket from then on.  Once Redis has been
 * told of that debt ("paid"), the answer says what was left with it, and so
 * when as much has refilled.  Returns false before; *ms: from now.  A lease
 * that has ended meanwhile knows of no turns: *ms is 0.
 */

bool tb_lease_turn(const tb_lease_t *l, tb_limits_t limits, uint64_t ticket,
    uint64_t now, uint64_t *ms);

/* tb_lease_wait() for a node alone, with its share. */

uint64_t tb_lease_wait_alone(tb_limits_t limits, uint64_t share,
    int64_t tokens, uint64_t cost);


#endif /* TB_LEASE_H */
