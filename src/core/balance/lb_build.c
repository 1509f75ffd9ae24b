
/*
 * Building views: noting what is usable, computing orders in steps, putting
 * them in force.
 */


#include <string.h>

#include "src/core/balance/lb_build.h"
#include "src/core/balance/lb_sid.h"


/* work of one step of an order, and groups of it that are 1; a cell is 1 */
#define LB_BUILD_STEP    8
#define LB_BUILD_GROUPS  8

/* marks the index of a backup; indices have 16 bits */
#define LB_BUILD_BACKUP  0x80000000


typedef struct lb_build_key_s {
    uint32_t           rank;
    uint32_t           index;
} lb_build_key_t;


static uint64_t lb_build_layout(lb_build_t *build, const lb_roster_t *roster);
static uint64_t lb_build_room(uint64_t *size, uint64_t bytes);
static void lb_build_survey(lb_build_t *build);
static void lb_build_list(lb_roster_t *roster, lb_server_t *server,
    bool usable, bool first);
static void lb_build_collect(lb_build_t *build, lb_build_key_t *keys,
    lb_build_key_t *spare);
static lb_build_key_t *lb_build_sort(lb_build_key_t *keys,
    lb_build_key_t *spare, uint32_t n);
static void lb_build_add(lb_build_t *build, lb_build_tier_t *tier,
    uint32_t index);
static void lb_build_tier(lb_build_t *build);
static void lb_build_order(lb_build_t *build, uint64_t limit);
static void lb_build_put(lb_build_t *build, uint32_t tier);
static void lb_build_sids(lb_build_t *build);
static void lb_build_turns(const lb_build_tier_t *built,
    _Atomic uint32_t *hints);
static uint32_t lb_build_divisor(uint32_t a, uint32_t b);


uint64_t
lb_build_size(const lb_roster_t *roster)
{
    lb_build_t  build;

    return lb_build_layout(&build, roster);
}


lb_build_t *
lb_build_start(lb_roster_t *roster, void *memory)
{
    uint32_t     i;
    lb_build_t  *build = memory;

    (void) lb_build_layout(build, roster);

    lb_roster_retire(roster);

    build->roster = roster;
    build->generation = lb_roster_generation(roster);
    build->fingerprint = lb_roster_fingerprint(roster);
    build->hashed = gw_load_acquire(&roster->cells);
    build->sticky = gw_load_acquire(&roster->sticky);
    build->state = LB_BUILD_TIER;
    build->tier = 0;

    lb_build_survey(build);

    lb_build_collect(build, build->keys, build->keys + roster->capacity);

    for (i = 0; i < 2 && build->hashed; i++) {
        lb_cells_part(roster, build->tiers[i].set, build->tiers[i].seeds,
                      build->tiers[i].number, build->table);
    }

    build->work = 4 * lb_roster_used(roster);

    if (build->sticky) {
        lb_sid_index(roster, build->sids);
    }

    return build;
}


bool
lb_build_step(lb_build_t *build, uint32_t work)
{
    uint64_t  limit;

    limit = build->work + work;

    while (build->state != LB_BUILD_DONE && build->work < limit) {

        switch (build->state) {

        case LB_BUILD_ORDER:
            lb_build_order(build, limit);
            break;

        case LB_BUILD_CELLS:

            if (lb_cells_step(&build->cells, &build->work, limit)) {
                build->tier++;
                build->state = LB_BUILD_TIER;
            }

            break;

        default: /* LB_BUILD_TIER */
            lb_build_tier(build);
            break;
        }
    }

    return build->state == LB_BUILD_DONE;
}


bool
lb_build_publish(lb_build_t *build)
{
    lb_roster_t  *roster;

    roster = build->roster;

    if (build->generation != lb_roster_generation(roster)) {
        return false;
    }

    lb_build_put(build, 0);
    lb_build_put(build, 1);
    lb_build_sids(build);

    gw_store_release(&roster->panicking, build->against != LB_UNUSABLE);
    gw_store_release(&roster->fingerprint, build->fingerprint);
    gw_store_release(&roster->generation, build->generation + 1);

    return true;
}


void
lb_build_whole(lb_roster_t *roster, void *memory)
{
    lb_build_t  *build;

    build = lb_build_start(roster, memory);

    while (!lb_build_step(build, UINT32_MAX)) { /* void */ }

    (void) lb_build_publish(build);
}


static uint64_t
lb_build_layout(lb_build_t *build, const lb_roster_t *roster)
{
    uint32_t        i;
    uint64_t        size, capacity, order, times;
    uint64_t        at[8];
    unsigned char  *block = (unsigned char *) build;

    capacity = roster->capacity;
    order = roster->order_max;

    times = order * sizeof(float);

    if (times < 2 * capacity * sizeof(lb_build_key_t)) {
        times = 2 * capacity * sizeof(lb_build_key_t);
    }

    size = 0;
    (void) lb_build_room(&size, sizeof(lb_build_t));

    at[0] = lb_build_room(&size, capacity * sizeof(uint16_t));
    at[1] = lb_build_room(&size, capacity * sizeof(uint32_t));
    at[2] = lb_build_room(&size, capacity * sizeof(uint32_t));
    at[3] = lb_build_room(&size, capacity * sizeof(uint64_t));
    at[4] = lb_build_room(&size, capacity * sizeof(uint32_t));
    at[5] = lb_build_room(&size, 2 * order * sizeof(uint16_t));
    at[6] = lb_build_room(&size, times);
    at[7] = lb_build_room(&size, lb_roster_sids(roster->capacity)
                                 * sizeof(uint16_t));

    for (i = 0; i < 2; i++) {
        build->tiers[i] = (lb_build_tier_t) {
            .set = (uint16_t *) (block + at[0]),
            .units = (uint32_t *) (block + at[1]),
            .weights = (uint32_t *) (block + at[2]),
            .seeds = (uint64_t *) (block + at[3]),
            .order = (uint16_t *) (block + at[5]) + i * order
        };
    }

    build->members = (uint32_t *) (block + at[4]);
    build->space = block + at[6];
    build->sids = (uint16_t *) (block + at[7]);

    return size;
}


static uint64_t
lb_build_room(uint64_t *size, uint64_t bytes)
{
    uint64_t  offset;

    offset = *size;
    *size += (bytes + LB_LINE - 1) / LB_LINE * LB_LINE;

    return offset;
}


/* marks the servers that have come back, and tells what stands against one */

static void
lb_build_survey(lb_build_t *build)
{
    bool          first, limited;
    uint32_t      i, used, status;
    lb_count_t    count;
    lb_roster_t  *roster;
    lb_server_t  *server;

    roster = build->roster;
    limited = false;
    used = lb_roster_used(roster);
    first = (lb_roster_generation(roster) == 0);

    for (i = 0; i < used; i++) {
        server = lb_roster_server(roster, i);
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED)) {
            continue;
        }

        lb_build_list(roster, server, !(status & LB_UNUSABLE), first);

        limited |= (gw_load_relaxed(&server->max_conns) != 0);
    }

    count = lb_roster_count(roster);
    build->against = lb_roster_against(roster);

    gw_store_release(&roster->pickable,
                     (build->against == LB_PANICKING) ? count.enabled
                                                      : count.usable);
    gw_store_release(&roster->limited, limited);
}


/* who is there from the start does not come back */

static void
lb_build_list(lb_roster_t *roster, lb_server_t *server, bool usable,
    bool first)
{
    if (!usable) {
        atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_SLOW,
                                  memory_order_acq_rel);

        if (gw_load_acquire(&server->listed) == LB_LISTED) {
            atomic_fetch_add_explicit(&server->absences, 1,
                                      memory_order_acq_rel);
        }

        gw_store_release(&server->listed, LB_MISSED);
        return;
    }

    if (!first && gw_load_acquire(&server->listed) != LB_LISTED
        && gw_load_acquire(&roster->slow_start) != 0)
    {
        gw_store_release(&server->slow_from, 0);
        atomic_fetch_or_explicit(&server->status, LB_SLOW,
                                 memory_order_acq_rel);
    }

    gw_store_release(&server->listed, LB_LISTED);
}


/* the sets, in the order of lines, which is that of ranks */

static void
lb_build_collect(lb_build_t *build, lb_build_key_t *keys,
    lb_build_key_t *spare)
{
    uint32_t          i, n, status, used;
    lb_roster_t      *roster;
    lb_build_tier_t  *main, *backup;

    roster = build->roster;
    main = &build->tiers[0];
    backup = &build->tiers[1];

    n = 0;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (!(status & LB_USED) || (status & build->against)) {
            continue;
        }

        keys[n].rank = gw_load_relaxed(&lb_roster_server(roster, i)->rank);
        keys[n++].index = (status & LB_BACKUP) ? i | LB_BUILD_BACKUP : i;
    }

    keys = lb_build_sort(keys, spare, n);

    for (i = 0; i < n; i++) {

        if (!(keys[i].index & LB_BUILD_BACKUP)) {
            lb_build_add(build, main, keys[i].index);
        }
    }

    /* the backups come behind them in the same memory */

    backup->set = main->set + main->number;
    backup->units = main->units + main->number;
    backup->weights = main->weights + main->number;
    backup->seeds = main->seeds + main->number;

    for (i = 0; i < n; i++) {

        if (keys[i].index & LB_BUILD_BACKUP) {
            lb_build_add(build, backup, keys[i].index & ~LB_BUILD_BACKUP);
        }
    }
}


static void
lb_build_add(lb_build_t *build, lb_build_tier_t *tier, uint32_t index)
{
    uint32_t      n;
    lb_server_t  *server;

    n = tier->number++;
    server = lb_roster_server(build->roster, index);

    tier->set[n] = (uint16_t) index;
    tier->weights[n] = gw_load_acquire(&server->weight);
    tier->units[n] = lb_unit(tier->weights[n]);
    tier->sum += tier->weights[n];
    tier->seeds[n] = gw_load_acquire(&server->seed);
}


/* by digits of the rank; mostly they are in order already */

static lb_build_key_t *
lb_build_sort(lb_build_key_t *keys, lb_build_key_t *spare, uint32_t n)
{
    uint32_t         i, shift;
    uint32_t         at[257];
    lb_build_key_t  *swap;

    for (i = 1; i < n && keys[i - 1].rank <= keys[i].rank; i++) { /* void */ }

    for (shift = 0; i < n && shift < 32; shift += 8) {
        memset(at, 0, sizeof(at));

        for (i = 0; i < n; i++) {
            at[(keys[i].rank >> shift & 0xff) + 1]++;
        }

        for (i = 1; i < 257; i++) {
            at[i] += at[i - 1];
        }

        for (i = 0; i < n; i++) {
            spare[at[keys[i].rank >> shift & 0xff]++] = keys[i];
        }

        swap = keys;
        keys = spare;
        spare = swap;
        i = 0;
    }

    return keys;
}


static void
lb_build_tier(lb_build_t *build)
{
    lb_build_tier_t  *tier;

    if (build->tier == 2) {
        build->state = LB_BUILD_DONE;
        return;
    }

    tier = &build->tiers[build->tier];
    build->at = 0;

    if (build->hashed) {
        build->cells = (lb_cells_t) {
            .cells = tier->order,
            .set = tier->set,
            .weights = tier->weights,
            .seeds = tier->seeds,
            .steps = build->steps,
            .times = build->times,
            .number = tier->number,
            .ncells = lb_cells_number(build->roster)
        };

        lb_cells_start(&build->cells);

        tier->length = tier->number ? build->cells.ncells : 0;
        build->work += build->cells.ncells / LB_BUILD_STEP;
        build->state = LB_BUILD_CELLS;
        return;
    }

    tier->length = lb_order_init(&build->order, tier->weights,
                                 build->members, tier->number,
                                 build->roster->order_max);

    build->work += 4 * tier->number;
    build->state = LB_BUILD_ORDER;
}


static void
lb_build_order(lb_build_t *build, uint64_t limit)
{
    lb_build_tier_t  *tier;

    tier = &build->tiers[build->tier];

    while (build->at < tier->length && build->work < limit) {
        tier->order[build->at++] = tier->set[lb_order_next(&build->order)];
        build->work += LB_BUILD_STEP + build->order.ngroups / LB_BUILD_GROUPS;
    }

    if (build->at == tier->length) {
        build->tier++;
        build->state = LB_BUILD_TIER;
    }
}


/*
 * The view that is being filled was in force a generation ago; a late reader
 * that sees one of these stores sees that generation has moved on, too.
 */

static void
lb_build_put(lb_build_t *build, uint32_t tier)
{
    uint32_t           i, length;
    uint64_t           cursor;
    lb_tier_t         *t, *old;
    lb_roster_t       *roster;
    unsigned char     *block;
    lb_build_tier_t   *built;
    _Atomic uint16_t  *set, *order;
    _Atomic uint32_t  *units, *hints;

    roster = build->roster;
    block = (unsigned char *) roster;
    built = &build->tiers[tier];

    t = &roster->view[(build->generation + 1) & 1][tier];
    old = &roster->view[build->generation & 1][tier];

    set = (_Atomic uint16_t *) (block + t->set);
    order = (_Atomic uint16_t *) (block + t->order);
    units = (_Atomic uint32_t *) (block + t->units);
    hints = (_Atomic uint32_t *) (block + t->hints);

    for (i = 0; i < built->number; i++) {
        atomic_store_explicit(&set[i], built->set[i], memory_order_release);
        atomic_store_explicit(&units[i], built->units[i],
                              memory_order_release);
        atomic_store_explicit(&hints[i], 0, memory_order_release);
    }

    for (i = 0; i < built->length; i++) {
        atomic_store_explicit(&order[i], built->order[i],
                              memory_order_release);
    }

    if (build->hashed) {
        lb_build_turns(built, hints);
    }

    /* go on at the same part of the order: who is first gains nothing */

    cursor = 0;
    length = gw_load_acquire(&old->order_length);

    if (length != 0) {
        cursor = gw_load_acquire(&old->cursor) % length * built->length
                 / length;
    }

    gw_store_release(&t->cursor, cursor);
    gw_store_release(&t->against, build->against);
    gw_store_release(&t->cells, build->hashed);
    gw_store_release(&t->weights, built->sum);
    gw_store_release(&t->set_length, built->number);
    gw_store_release(&t->order_length, built->length);
}


static void
lb_build_sids(lb_build_t *build)
{
    uint32_t           i, n, view;
    lb_roster_t       *roster;
    _Atomic uint16_t  *index;

    roster = build->roster;
    view = (build->generation + 1) & 1;
    n = build->sticky ? lb_roster_sids(roster->capacity) : 0;

    index = (_Atomic uint16_t *) ((unsigned char *) roster
                                  + roster->sids[view]);

    for (i = 0; i < n; i++) {
        atomic_store_explicit(&index[i], build->sids[i],
                              memory_order_release);
    }

    atomic_store_explicit(&roster->view[view][0].sids, n,
                          memory_order_release);
}


/*
 * What lb_hash_keyless() looks at: each entry is the sum of the weights up to
 * its server, in the smallest whole numbers.
 */

static void
lb_build_turns(const lb_build_tier_t *built, _Atomic uint32_t *hints)
{
    uint32_t  i, divisor;
    uint64_t  sum;

    divisor = 0;
    sum = 0;

    for (i = 0; i < built->number; i++) {
        divisor = lb_build_divisor(built->weights[i], divisor);
    }

    for (i = 0; i < built->number; i++) {
        sum += built->weights[i] / divisor;

        atomic_store_explicit(&hints[i],
                              (sum < UINT32_MAX) ? (uint32_t) sum : UINT32_MAX,
                              memory_order_release);
    }
}


/* the greatest common divisor; a if b is 0 */

static uint32_t
lb_build_divisor(uint32_t a, uint32_t b)
{
    uint32_t  rest;

    while (b != 0) {
        rest = a % b;
        a = b;
        b = rest;
    }

    return a;
}
