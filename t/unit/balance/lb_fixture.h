
/*
 * A roster in ordinary memory with made-up servers, for the tests of the
 * balancer's core.
 */


#ifndef LB_FIXTURE_H
#define LB_FIXTURE_H


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/balance/lb_build.h"
#include "src/core/balance/lb_hash.h"
#include "src/core/balance/lb_inherit.h"
#include "src/core/balance/lb_least_conn.h"
#include "src/core/balance/lb_method.h"
#include "src/core/balance/lb_passive.h"
#include "src/core/balance/lb_pick.h"
#include "src/core/balance/lb_sync.h"


#define LB_FIXTURE_LINES  128


typedef struct {
    lb_roster_t  *roster;
    lb_load_t     load;
    lb_row_t     *row;
    lb_line_t     lines[LB_FIXTURE_LINES];
    uint32_t      nlines;
    char          names[LB_FIXTURE_LINES][8];

    lb_ask_t      ask;
    uint16_t      tried[LB_FIXTURE_LINES];
    uint64_t      random;
} lb_fixture_t;


static inline lb_roster_t *
lb_fixture_small(uint32_t capacity, uint32_t nrows, uint32_t order_max)
{
    void      *block;
    uint64_t   size;

    size = lb_roster_size(capacity, nrows, order_max);
    block = aligned_alloc(LB_LINE, size);

    if (block == NULL) {
        abort();
    }

    memset(block, 0xa5, size);

    return lb_roster_init(block, capacity, nrows, order_max);
}


static inline lb_roster_t *
lb_fixture_roster(uint32_t capacity, uint32_t nrows)
{
    return lb_fixture_small(capacity, nrows, LB_ORDER_MAX);
}


static inline void
lb_fixture_build(lb_roster_t *roster)
{
    void  *memory;

    memory = aligned_alloc(LB_LINE, lb_build_size(roster));

    if (memory == NULL) {
        abort();
    }

    lb_build_whole(roster, memory);

    free(memory);
}


/* a server line "s1", "s2", ... with nginx's default settings */

static inline lb_line_t *
lb_fixture_line(lb_fixture_t *f, uint32_t weight)
{
    int         n;
    lb_line_t  *line;

    line = &f->lines[f->nlines];

    n = snprintf(f->names[f->nlines], sizeof(f->names[0]), "s%u",
                 f->nlines + 1);

    *line = (lb_line_t) {
        .host = f->names[f->nlines],
        .host_length = (uint32_t) n,
        .name = f->names[f->nlines],
        .name_length = (uint32_t) n,
        .address = f->names[f->nlines],
        .address_length = (uint32_t) n,
        .weight = weight,
        .max_fails = 1,
        .fail_timeout = 10000
    };

    f->nlines++;

    return line;
}


static inline void
lb_fixture_start(lb_fixture_t *f)
{
    f->roster = lb_fixture_roster(LB_FIXTURE_LINES, 4);
    f->load = lb_roster_load(f->roster);
    f->row = lb_load_claim(&f->load, 1, 0);

    f->ask = (lb_ask_t) {
        .row = f->row,
        .tried = { .list = f->tried, .size = LB_FIXTURE_LINES },
        .now = 1000000,
        .random = &f->random
    };

    (void) lb_sync_lines(f->roster, f->lines, f->nlines, NULL, NULL);
    lb_fixture_build(f->roster);
}


static inline void
lb_fixture_stop(lb_fixture_t *f)
{
    free(f->roster);
    free(f);
}


/* a request's next attempt; it stays on the server */

static inline uint32_t
lb_fixture_try(lb_fixture_t *f, lb_how_t *how)
{
    uint32_t  index;
    lb_how_t  ignored;

    index = lb_pick(f->roster, lb_method_round_robin, &f->ask,
                    how ? how : &ignored);

    if (index != LB_NONE) {
        f->tried[f->ask.tried.number++] = (uint16_t) index;
    }

    return index;
}


/* a request of one attempt, finished at once */

static inline uint32_t
lb_fixture_request(lb_fixture_t *f)
{
    uint32_t  index;

    f->ask.tried.number = 0;
    f->ask.last = 0;

    index = lb_fixture_try(f, NULL);

    if (index != LB_NONE) {
        lb_load_drop(&f->load, f->row, index);
    }

    f->ask.tried.number = 0;

    return index;
}


static inline void
lb_fixture_fail(lb_fixture_t *f, uint32_t index)
{
    if (lb_passive_failed(f->roster, index, f->ask.now)) {
        lb_fixture_build(f->roster);
    }
}


#endif /* LB_FIXTURE_H */
