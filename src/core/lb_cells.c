
/*
 * The race for cells, in laps: a lap's winners are final, so a later one
 * only looks at the cells that are left.
 */


#include <float.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lb_cells.h"
#include "lb_random.h"


/* a lap in which all servers together take 1.5 times as many cells as exist */
#define LB_CELLS_LAP   1.5

/* the time of a cell that a former lap has given away */
#define LB_CELLS_GONE  (-1.0f)


/* a runner: where it is in its sequence */

typedef struct {
    uint64_t  seed;
    double    pace;              /* time from one cell to the next */
    uint32_t  step;
    uint16_t  index;             /* of the server */
} lb_cells_runner_t;


static uint32_t lb_cells_number(const lb_roster_t *roster);
static void lb_cells_part(lb_roster_t *roster, const _Atomic uint16_t *set,
    uint32_t n, uint32_t ncells);
static void lb_cells_run(lb_cells_runner_t *runner, double end, float *times,
    _Atomic uint16_t *cells, uint32_t shift);
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
lb_cells_build(lb_roster_t *roster, const lb_tier_t *tier, uint32_t n)
{
    float              *times;
    double              end, lap;
    uint32_t            i, ncells, left, shift;
    uint32_t           *steps;
    uint64_t            weights;
    unsigned char      *block;
    lb_server_t        *server;
    lb_cells_runner_t   runner;
    _Atomic uint16_t   *set, *cells;

    if (n == 0) {
        return 0;
    }

    block = (unsigned char *) roster;
    set = (_Atomic uint16_t *) (block + tier->set);
    cells = (_Atomic uint16_t *) (block + tier->order);
    times = (void *) (block + roster->times);
    steps = (uint32_t *) (block + roster->members);

    ncells = lb_cells_number(roster);
    weights = 0;

    lb_cells_part(roster, set, n, ncells);

    for (shift = 64; ncells >> (64 - shift) != 1; shift--) { /* void */ }

    for (i = 0; i < n; i++) {
        weights += lb_roster_server(roster, set[i])->weight;
        steps[i] = 0;
    }

    for (i = 0; i < ncells; i++) {
        times[i] = FLT_MAX;
    }

    lap = LB_CELLS_LAP * ncells / (double) weights;
    end = lap;

    for (left = ncells; left != 0; end += lap) {

        for (i = 0; i < n; i++) {
            server = lb_roster_server(roster, set[i]);

            runner.seed = server->seed;
            runner.pace = 1.0 / server->weight;
            runner.step = steps[i];
            runner.index = set[i];

            lb_cells_run(&runner, end, times, cells, shift);

            steps[i] = runner.step;
        }

        left = lb_cells_close(times, ncells);
    }

    return ncells;
}


static uint32_t
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


/*
 * An address listed twice is two servers with one seed: the second gets
 * another.  The times are not in use yet and serve as the hash table.
 */

static void
lb_cells_part(lb_roster_t *roster, const _Atomic uint16_t *set, uint32_t n,
    uint32_t ncells)
{
    uint32_t      i, k, there;
    uint32_t     *table;
    uint64_t      seed;
    lb_server_t  *server;

    table = (uint32_t *) ((unsigned char *) roster + roster->times);
    memset(table, 0, ncells * sizeof(uint32_t));

    for (i = 0; i < n; i++) {
        server = lb_roster_server(roster, set[i]);
        seed = atomic_load(&server->seed);

        for (k = seed % ncells; table[k] != 0; k = (k + 1) % ncells) {
            there = set[table[k] - 1];

            if (lb_roster_server(roster, there)->seed == seed) {
                seed = lb_mix(seed + 1);
                k = (seed - 1) % ncells;
            }
        }

        table[k] = i + 1;
        atomic_store(&server->seed, seed);
    }
}


/* takes the cells that the runner reaches before the lap ends */

static void
lb_cells_run(lb_cells_runner_t *runner, double end, float *times,
    _Atomic uint16_t *cells, uint32_t shift)
{
    float     time;
    double    at;
    uint32_t  cell;
    uint64_t  number, state;

    for ( ;; ) {
        state = runner->seed + runner->step * 0x9e3779b97f4a7c15;
        number = lb_mix(state);

        /* low bits: when within the step, high bits: where */

        at = (runner->step + (number & 0xffffffff) * 0x1p-32) * runner->pace;

        if (at >= end) {
            return;
        }

        runner->step++;

        time = (float) at;
        cell = (uint32_t) (number >> shift);

        if (time < times[cell]) {
            times[cell] = time;
            atomic_store_explicit(&cells[cell], runner->index,
                                  memory_order_release);
        }
    }
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
