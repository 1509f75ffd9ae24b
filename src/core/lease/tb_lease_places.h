
/*
 * What a node decides about a bucket of places for requests in flight
 * (tb_places.h): how many it asks for and when, how many it does without, and
 * how many it may use alone.
 *
 * A place that is in use is not spent: it is the node's until the request is
 * over, and then it is free on the same node.  So the node tells Redis how many
 * it has, and Redis has what all of them together leave of the limit; a node
 * that is forgotten frees its places by that.  Where Redis takes places away
 * that are in use, since the limit is a smaller one or others want their part,
 * more are in use than are leased: they are told as well, and count until the
 * requests are over.  What a node says is in use is so, whatever Redis knows.
 *
 * A node that is on its own has its share of the limit: if that is less than
 * what it has, at once; if it is more, TB_LEASE_GRACE ms later, by when Redis
 * has taken that much from others.  For a place cannot be taken from a request
 * that is under way, more than the limit may be in flight where requests last
 * for longer.
 */


#ifndef TB_LEASE_PLACES_H
#define TB_LEASE_PLACES_H


#include "src/core/lease/tb_lease.h"
#include "src/core/limit/tb_places.h"


#define TB_LEASE_GRACE     1000       /* ms */


/*
 * Whether a call about the bucket is due; period: of the zone, ms.  wanted: a
 * request has found no place since the last call.
 */

bool tb_lease_places_due(const tb_lease_t *l, tb_word_t word, bool wanted,
    uint32_t period, uint64_t now);

/* How many of the places that are free the node can do without. */

uint32_t tb_lease_places_spare(const tb_lease_t *l, tb_word_t word,
    uint32_t limit, uint64_t now);

/*
 * What to tell and to ask for, once the caller has taken that out of the word.
 * need: requests that wait.
 */

void tb_lease_places_plan(const tb_lease_t *l, tb_word_t word, uint32_t limit,
    uint32_t need, tb_lease_ask_t *ask);

/* As tb_lease_sent() and tb_lease_answered(); the result is in places. */

void tb_lease_places_sent(tb_lease_t *l, tb_word_t word,
    const tb_lease_ask_t *ask, uint64_t now);
int32_t tb_lease_places_answered(tb_lease_t *l, const tb_lease_ask_t *ask,
    const tb_lease_answer_t *answer, uint64_t now);

/* As tb_lease_is_over(), tb_lease_waits() and tb_lease_remainder(). */

bool tb_lease_places_over(const tb_lease_t *l, tb_word_t word, uint64_t now);
bool tb_lease_places_waits(const tb_lease_t *l, uint32_t period,
    uint64_t now);
uint64_t tb_lease_places_left(const tb_lease_t *l, uint64_t free,
    uint32_t limit);

/*
 * The places that a node has alone, since then, if it has so many now; share:
 * of the node, ppm.
 */

uint32_t tb_lease_places_alone(uint32_t leased, uint32_t limit,
    uint64_t share, uint64_t since, uint64_t now);


#endif /* TB_LEASE_PLACES_H */
