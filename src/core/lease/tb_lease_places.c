
/*
 * Leases of places for requests in flight.
 */


#include "src/core/lease/tb_lease_places.h"


/* with a limit of less than that nothing is leased that others do without */
#define TB_LEASE_SMALL  16

/* ms by which a call may seem to be of the future, to whoever is late */
#define TB_LEASE_AHEAD  3600000


static uint32_t tb_lease_places_keep(const tb_lease_t *l, uint32_t used,
    uint32_t limit);
static uint32_t tb_lease_places_over_by(tb_word_t word);
static uint32_t tb_lease_places_age(uint64_t now, uint32_t then);


bool
tb_lease_places_due(const tb_lease_t *l, tb_word_t word, bool wanted,
    uint32_t period, uint64_t now)
{
    uint32_t  age, leased, used;

    age = tb_lease_places_age(now, l->asked);

    if (age < TB_LEASE_PERIOD) {
        return false;
    }

    if (l->alone != 0) {
        return tb_lease_places_age(now, l->alone) >= TB_LEASE_DOUBT;
    }

    if (!l->warm) {

        /* what is in use is told to a Redis that does not know of it */

        return tb_places_used(word) > 0 && age >= period;
    }

    leased = tb_places_leased(word);
    used = tb_places_used(word);

    /* others may have what has become free */

    if (leased + tb_lease_places_over_by(word) < l->held / TB_TOKEN) {
        return age >= period / 4;
    }

    if (age < period) {
        return false;
    }

    return wanted || (leased + used > 0 && age >= TB_LEASE_IDLE);
}


uint32_t
tb_lease_places_spare(const tb_lease_t *l, tb_word_t word, uint32_t limit,
    uint64_t now)
{
    uint32_t  keep, leased, used;

    leased = tb_places_leased(word);
    used = tb_places_used(word);
    keep = used;

    if (used > 0 || tb_lease_places_age(now, l->used) < TB_LEASE_IDLE) {
        keep = tb_lease_places_keep(l, used, limit);
    }

    return leased > keep ? leased - keep : 0;
}


void
tb_lease_places_plan(const tb_lease_t *l, tb_word_t word, uint32_t limit,
    uint32_t need, tb_lease_ask_t *ask)
{
    int64_t   want;
    uint32_t  ahead;

    want = 0;

    if (need > 0) {
        ahead = l->warm ? tb_places_used(word) / 4 + 1 : limit / 12;
        ahead = ahead < limit / 4 ? ahead : limit / 4;

        if (limit < TB_LEASE_SMALL || (l->warm && l->rationed)) {
            ahead = 0;
        }

        want = (int64_t) need + ahead - tb_places_free(word);
        want = want < limit ? want : limit;
    }

    ask->op = TB_LEASE_PLACES;
    ask->limits = tb_limits(limit, 0, 0);
    ask->gen = l->gen;
    ask->unit = TB_TOKEN;
    ask->hold = tb_places_leased(word) * (int64_t) TB_TOKEN;
    ask->back = tb_lease_places_over_by(word) * (int64_t) TB_TOKEN;
    ask->refund = 0;
    ask->heard = 0;
    ask->over = 0;
    ask->want = want > 0 ? (uint64_t) want * TB_TOKEN : 0;
}


void
tb_lease_places_sent(tb_lease_t *l, tb_word_t word, const tb_lease_ask_t *ask,
    uint64_t now)
{
    uint32_t  used;

    used = tb_places_used(word);

    /* the most that were in use lately */

    l->pace = used > l->pace ? used : l->pace - (l->pace - used + 3) / 4;

    if (used > 0 || !l->warm) {
        l->used = (uint32_t) now;
    }

    l->held = (uint64_t) (ask->hold + ask->back);
    l->asked = (uint32_t) now;
}


int32_t
tb_lease_places_answered(tb_lease_t *l, const tb_lease_ask_t *ask,
    const tb_lease_answer_t *answer, uint64_t now)
{
    int64_t  delta;

    delta = answer->delta;

    if (l->alone != 0) {
        if (delta > 0 && (int32_t) (l->alone - l->asked) >= 0) {
            delta = 0;

        } else if ((int32_t) (l->asked - l->alone) >= TB_LEASE_DOUBT) {
            l->alone = 0;
        }
    }

    /* those that are taken away may be in use, and are to be reported first */

    l->held = (uint64_t) (ask->hold + ask->back + (delta > 0 ? delta : 0));
    l->left = answer->left;
    l->gen = answer->gen;
    l->answered = (uint32_t) now;
    l->rationed = answer->delta < 0 || (answer->delta == 0 && ask->want > 0);
    l->warm = true;

    return (int32_t) (delta / (int64_t) TB_TOKEN);
}


bool
tb_lease_places_over(const tb_lease_t *l, tb_word_t word, uint64_t now)
{
    return tb_places_leased(word) == 0 && tb_places_used(word) == 0
           && l->held == 0 && l->alone == 0
           && tb_lease_places_age(now, l->used) >= TB_LEASE_IDLE
           && tb_lease_places_age(now, l->asked) >= TB_LEASE_PERIOD;
}


bool
tb_lease_places_waits(const tb_lease_t *l, uint32_t period, uint64_t now)
{
    uint32_t  age;

    age = tb_lease_places_age(now, l->answered);

    return !l->warm || (age > 2 * period && age > TB_LEASE_MISSING)
           || (!l->rationed && l->left >= (int64_t) TB_TOKEN);
}


uint64_t
tb_lease_places_left(const tb_lease_t *l, uint64_t free, uint32_t limit)
{
    free += (uint64_t) l->left;

    return free < limit * TB_TOKEN ? free : limit * TB_TOKEN;
}


uint32_t
tb_lease_places_alone(uint32_t leased, uint32_t limit, uint64_t share,
    uint64_t since, uint64_t now)
{
    uint32_t  part;

    part = (uint32_t) (limit * share / TB_LEASE_ALL);

    /* nobody else has any */

    if (share == TB_LEASE_ALL) {
        return part;
    }

    return part < leased || now >= since + TB_LEASE_GRACE ? part : leased;
}


/* What the node is likely to need, and some more while nobody wants them. */

static uint32_t
tb_lease_places_keep(const tb_lease_t *l, uint32_t used, uint32_t limit)
{
    uint32_t  peak;

    peak = used > l->pace ? used : l->pace;

    if (limit < TB_LEASE_SMALL || l->left < (int64_t) TB_TOKEN) {
        return peak;
    }

    return peak + peak / 4 + 1;
}


/* How many more are in use than are leased. */

static uint32_t
tb_lease_places_over_by(tb_word_t word)
{
    int32_t  spare;

    spare = tb_places_free(word);

    return spare < 0 ? (uint32_t) -spare : 0;
}


static uint32_t
tb_lease_places_age(uint64_t now, uint32_t then)
{
    uint32_t  age;

    age = (uint32_t) now - then;

    return age <= UINT32_MAX - TB_LEASE_AHEAD ? age : 0;
}
