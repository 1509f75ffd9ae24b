
/*
 * The race for cells, in rounds: a round's winners are final, so a later one
 * only looks at the cells that are left.
 */


#include <float.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/core/balance/lb_cells.h"
#include "src/core/balance/lb_random.h"


/* in a round all servers together take 1.5 times as many cells as exist */
#define LB_CELLS_ROUND   1.5

/* the time of a cell that a former round has given away */
#define LB_CELLS_GONE  (-1.0f)


/* work of looking at so many cells that are left is 1 */
#define LB_CELLS_LOOK  8


static bool lb_cells_run(lb_cells_t *cells, uint64_t *work, uint64_t limit);
static uint32_t lb_cells_close(float *times, uint32_t ncells);


uint64_t
lb_cells_seed(const void *name, size_t name_length, const void *host,
    size_t host_length)
{
    return XXH3_64bits_withSeed(name, name_length,
                                XXH3_64bits(host, host_length));
}


uint64_t
lb_cells_key(const void *key, size_t length)
{
    return XXH3_64bits(key, length);
}


uint32_t
lb_cells_number(const lb_roster_t *roster)
{
    uint32_t  n;

    n = 1;

    while (n * 2 <= roster->order_max
           && n < (uint64_t) roster->capacity * LB_CELLS_EACH)
    {
        n *= 2;
    }

    return n;
}


void
lb_cells_part(lb_roster_t *roster, const uint16_t *set, uint64_t *seeds,
    uint32_t n, uint32_t *table)
{
    uint32_t  i, k, ncells;

    ncells = lb_cells_number(roster);
    memset(table, 0, ncells * sizeof(uint32_t));

    for (i = 0; i < n; i++) {

        for (k = seeds[i] % ncells; table[k] != 0; k = (k + 1) % ncells) {

            if (seeds[table[k] - 1] == seeds[i]) {
                seeds[i] = lb_mix(seeds[i] + 1);
                k = (seeds[i] - 1) % ncells;
            }
        }

        table[k] = i + 1;
        gw_store_release(&lb_roster_server(roster, set[i])->seed, seeds[i]);
    }
}


void
lb_cells_start(lb_cells_t *cells)
{
    uint32_t  i;
    uint64_t  weights;

    weights = 0;

    for (i = 0; i < cells->number; i++) {
        weights += cells->weights[i];
        cells->steps[i] = 0;
    }

    for (i = 0; i < cells->ncells; i++) {
        cells->times[i] = FLT_MAX;
    }

    cells->shift = 64;

    while (cells->ncells >> (64 - cells->shift) != 1) {
        cells->shift--;
    }

    cells->turn = 0;
    cells->round = LB_CELLS_ROUND * cells->ncells
                 / (double) (weights ? weights : 1);
    cells->end = cells->round;
}


bool
lb_cells_step(lb_cells_t *cells, uint64_t *work, uint64_t limit)
{
    uint32_t  i;

    if (cells->number <= 1) {

        for (i = 0; i < cells->ncells && cells->number == 1; i++) {
            cells->cells[i] = cells->set[0];
        }

        return true;
    }

    while (*work < limit) {

        if (cells->turn < cells->number) {
            cells->turn += lb_cells_run(cells, work, limit);
            continue;
        }

        *work += cells->ncells / LB_CELLS_LOOK;

        if (lb_cells_close(cells->times, cells->ncells) == 0) {
            return true;
        }

        cells->turn = 0;
        cells->end += cells->round;
    }

    return false;
}


/*
 * Takes the cells that the runner whose turn it is reaches before the round
 * ends; false: before that, the limit was reached.
 */

static bool
lb_cells_run(lb_cells_t *cells, uint64_t *work, uint64_t limit)
{
    float     time;
    double    at, pace, end;
    uint16_t  index;
    uint32_t  cell, step, stop;
    uint64_t  number, seed;

    index = cells->set[cells->turn];
    seed = cells->seeds[cells->turn];
    step = cells->steps[cells->turn];
    pace = 1.0 / cells->weights[cells->turn];
    end = cells->end;

    stop = (limit - *work < UINT32_MAX - step)
           ? step + (uint32_t) (limit - *work) : UINT32_MAX;

    *work += 1;

    for ( ;; ) {
        number = lb_mix(seed + step * 0x9e3779b97f4a7c15);

        /* low bits: when within the step, high bits: where */

        at = (step + (number & 0xffffffff) * 0x1p-32) * pace;

        if (at >= end || step == stop) {
            break;
        }

        step++;

        time = (float) at;
        cell = (uint32_t) (number >> cells->shift);

        if (time < cells->times[cell]) {
            cells->times[cell] = time;
            cells->cells[cell] = index;
        }
    }

    *work += step - cells->steps[cells->turn];
    cells->steps[cells->turn] = step;

    return at >= end;
}


/* Makes the winners final; returns how many cells are left. */

static uint32_t
lb_cells_close(float *times, uint32_t ncells)
{
    uint32_t  i, left;

    left = 0;

    for (i = 0; i < ncells; i++) {

        if (times[i] == FLT_MAX) {
            left++;

        } else {
            times[i] = LB_CELLS_GONE;
        }
    }

    return left;
}
