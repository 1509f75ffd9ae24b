
/*
 * The views of a roster: building the one of the servers usable now, and
 * noticing that the one in force is out of date.
 */


#include "lb_cells.h"


static uint32_t lb_view_survey(lb_roster_t *roster);
static void lb_view_list(lb_roster_t *roster, lb_server_t *server,
    bool usable, bool first);
static uint32_t lb_view_collect(lb_roster_t *roster, uint32_t tier,
    uint32_t against, _Atomic uint16_t *set);
static uint32_t lb_view_order(lb_roster_t *roster, const lb_tier_t *tier,
    uint32_t n);
static void lb_view_tier(lb_roster_t *roster, uint64_t generation,
    uint32_t tier, uint32_t against);
static uint64_t lb_view_fingerprint(lb_roster_t *roster);


void
lb_roster_build(lb_roster_t *roster)
{
    uint32_t  against;
    uint64_t  generation, fingerprint;

    generation = lb_roster_generation(roster) + 1;
    fingerprint = lb_view_fingerprint(roster);

    against = lb_view_survey(roster);

    lb_view_tier(roster, generation, 0, against);
    lb_view_tier(roster, generation, 1, against);

    atomic_store(&roster->panicking, against != LB_UNUSABLE);
    atomic_store(&roster->fingerprint, fingerprint);
    atomic_store(&roster->generation, generation);
}


bool
lb_roster_stale(lb_roster_t *roster)
{
    return lb_view_fingerprint(roster)
           != atomic_load(&roster->fingerprint);
}


void
lb_roster_rule(lb_roster_t *roster, const lb_rules_t *rules)
{
    bool          errors;
    uint32_t      i, used, gone;
    lb_server_t  *server;

    errors = (atomic_load(&roster->errors) != rules->errors);
    gone = (rules->errors == 0 ? LB_EJECTED : 0)
           | (rules->slow_start == 0 ? LB_SLOW : 0);

    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);

        if (errors) {
            lb_window_clear(&server->errors);
        }

        atomic_fetch_and(&server->status, ~gone);
    }

    atomic_store(&roster->slow_start, rules->slow_start);
    atomic_store(&roster->panic, rules->panic);
    atomic_store(&roster->errors, rules->errors);
    atomic_store(&roster->cells, rules->cells);
}


/*
 * Counts the servers, marks those that have come back, and tells what stands
 * against a server in this view.
 */

static uint32_t
lb_view_survey(lb_roster_t *roster)
{
    bool          first, limited;
    uint32_t      i, used, status, against, enabled, usable;
    lb_server_t  *server;

    enabled = 0;
    usable = 0;
    limited = false;
    used = atomic_load(&roster->used);
    first = (lb_roster_generation(roster) == 0);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED)) {
            continue;
        }

        lb_view_list(roster, server, !(status & LB_UNUSABLE), first);

        enabled += !(status & LB_PANICKING);
        usable += !(status & LB_UNUSABLE);
        limited |= (server->max_conns != 0);
    }

    against = ((uint64_t) usable * 100
               < (uint64_t) enabled * atomic_load(&roster->panic))
              ? LB_PANICKING : LB_UNUSABLE;

    atomic_store(&roster->pickable,
                 (against == LB_PANICKING) ? enabled : usable);
    atomic_store(&roster->limited, limited);

    return against;
}


/* who is there from the start does not come back */

static void
lb_view_list(lb_roster_t *roster, lb_server_t *server, bool usable,
    bool first)
{
    if (!usable) {
        atomic_fetch_and(&server->status, ~(uint32_t) LB_SLOW);
        atomic_store(&server->listed, LB_MISSED);
        return;
    }

    if (!first && atomic_load(&server->listed) != LB_LISTED
        && atomic_load(&roster->slow_start) != 0)
    {
        atomic_store(&server->slow_from, 0);
        atomic_fetch_or(&server->status, LB_SLOW);
    }

    atomic_store(&server->listed, LB_LISTED);
}

/*
 * The order of lines is the order of ranks.  Slots mostly are in that order
 * already, so insertion is linear unless a reload has shuffled the lines.
 */

static uint32_t
lb_view_collect(lb_roster_t *roster, uint32_t tier, uint32_t against,
    _Atomic uint16_t *set)
{
    uint16_t  index;
    uint32_t  i, j, n, rank, status, used;

    n = 0;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & against)
            || !!(status & LB_BACKUP) != tier)
        {
            continue;
        }

        rank = lb_roster_server(roster, i)->rank;

        for (j = n; j > 0; j--) {
            index = atomic_load_explicit(&set[j - 1], memory_order_relaxed);

            if (lb_roster_server(roster, index)->rank <= rank) {
                break;
            }

            atomic_store_explicit(&set[j], index, memory_order_release);
        }

        atomic_store_explicit(&set[j], (uint16_t) i, memory_order_release);
        n++;
    }

    return n;
}


/*
 * The view that is being filled was in force a generation ago; a late reader
 * that sees one of these stores sees that generation has moved on, too.
 */

static void
lb_view_tier(lb_roster_t *roster, uint64_t generation, uint32_t tier,
    uint32_t against)
{
    uint16_t           index;
    uint32_t           i, n, cells, length, old_length;
    uint64_t           cursor;
    lb_tier_t         *t, *old;
    unsigned char     *block;
    _Atomic uint16_t  *set;
    _Atomic uint32_t  *units, *hints;

    block = (unsigned char *) roster;
    t = &roster->view[generation & 1][tier];
    old = &roster->view[(generation - 1) & 1][tier];

    set = (_Atomic uint16_t *) (block + t->set);
    units = (_Atomic uint32_t *) (block + t->units);
    hints = (_Atomic uint32_t *) (block + t->hints);

    n = lb_view_collect(roster, tier, against, set);

    for (i = 0; i < n; i++) {
        index = atomic_load_explicit(&set[i], memory_order_relaxed);
        atomic_store_explicit(&units[i],
                              lb_unit(lb_roster_server(roster, index)->weight),
                              memory_order_release);
        atomic_store_explicit(&hints[i], 0, memory_order_release);
    }

    cells = atomic_load(&roster->cells);
    length = cells ? lb_cells_build(roster, t, n) : lb_view_order(roster, t, n);

    /* go on at the same part of the order: who is first gains nothing */

    cursor = 0;
    old_length = atomic_load(&old->order_length);

    if (old_length != 0) {
        cursor = atomic_load(&old->cursor) % old_length * length / old_length;
    }

    atomic_store(&t->cursor, cursor);
    atomic_store(&t->against, against);
    atomic_store(&t->cells, cells);
    atomic_store(&t->set_length, n);
    atomic_store(&t->order_length, length);
}


/* the smooth weighted order; returns its length */

static uint32_t
lb_view_order(lb_roster_t *roster, const lb_tier_t *tier, uint32_t n)
{
    uint16_t           index;
    uint32_t           i, length, position;
    uint32_t          *weights, *members;
    lb_order_t         order;
    unsigned char     *block;
    _Atomic uint16_t  *set, *steps;

    block = (unsigned char *) roster;

    set = (_Atomic uint16_t *) (block + tier->set);
    steps = (_Atomic uint16_t *) (block + tier->order);
    weights = (uint32_t *) (block + roster->weights);
    members = (uint32_t *) (block + roster->members);

    for (i = 0; i < n; i++) {
        index = atomic_load_explicit(&set[i], memory_order_relaxed);
        weights[i] = lb_roster_server(roster, index)->weight;
    }

    length = lb_order_init(&order, weights, members, n, roster->order_max);

    for (i = 0; i < length; i++) {
        position = lb_order_next(&order);
        index = atomic_load_explicit(&set[position], memory_order_relaxed);
        atomic_store_explicit(&steps[i], index, memory_order_release);
    }

    return length;
}


/* FNV-1a over what a view depends on */

static uint64_t
lb_view_fingerprint(lb_roster_t *roster)
{
    uint32_t      i, j, status, used;
    uint64_t      hash;
    uint64_t      part[4];
    lb_server_t  *server;

    hash = 0xcbf29ce484222325 ^ roster->panic ^ (uint64_t) roster->cells << 32;
    used = atomic_load(&roster->used);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (status == 0) {
            continue;
        }

        part[0] = i;
        part[1] = (status & ~(uint32_t) LB_SLOW)
                  | (uint64_t) (server->max_conns != 0) << 32;
        part[2] = server->weight;
        part[3] = ((uint64_t) server->generation << 32) | server->rank;

        for (j = 0; j < 4; j++) {
            hash = (hash ^ part[j]) * 0x100000001b3;
        }
    }

    return hash;
}
