
/*
 * Picks by all methods against everything that changes a roster: servers that
 * fail, are ejected, come back, are removed and replaced, rules that change,
 * and processes that die.  Run under ThreadSanitizer.  At the end the counts
 * must be exact.
 */


#include "t/unit/balance/lb_fixture.h"

#include <pthread.h>
#include <sched.h>

#include "src/core/balance/lb_latency.h"
#include "src/core/balance/lb_outlier.h"


#define PICKERS  3
#define SERVERS  12
#define ROUNDS   30000

#define check(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);       \
            abort();                                                         \
        }                                                                    \
    } while (0)


static const lb_method_pt  methods[] = {
    lb_method_round_robin, lb_least_conn, lb_method_random, lb_method_p2c,
    lb_method_least_time, lb_hash
};

static const lb_outlier_t  outlier = {
    .errors = 4, .max_ejected = 50, .window = 100, .ejection = 40
};

static lb_roster_t      *roster;
static pthread_mutex_t   mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t  now = 1000000;
static _Atomic uint32_t  running = PICKERS;
static _Atomic uint64_t  picked;


/* in steps, while others change servers and build, too */

static void
build(void)
{
    void        *memory;
    lb_build_t  *view;

    memory = aligned_alloc(LB_LINE, lb_build_size(roster));

    if (memory == NULL) {
        abort();
    }

    (void) pthread_mutex_lock(&mutex);
    view = lb_build_start(roster, memory);
    (void) pthread_mutex_unlock(&mutex);

    while (!lb_build_step(view, 10000)) {
        (void) sched_yield();
    }

    (void) pthread_mutex_lock(&mutex);
    (void) lb_build_publish(view);
    (void) pthread_mutex_unlock(&mutex);

    free(memory);
}


static void
attempt_over(uint32_t index, bool failed, lb_how_t how, uint64_t time)
{
    lb_server_t  *server;

    server = lb_roster_server(roster, index);

    if (!failed) {
        lb_latency_enter(&server->latency, time % 1000, time);

        if (lb_passive_passed(roster, index, how, time)) {
            build();
        }

        return;
    }

    lb_latency_fail(&server->latency, 0, time);

    if (lb_passive_failed(roster, index, time)) {
        build();
    }

    if (lb_outlier_error(roster, &outlier, index, time)) {

        (void) pthread_mutex_lock(&mutex);

        if (lb_outlier_eject(roster, &outlier, index, time)) {
            lb_fixture_build(roster);
        }

        (void) pthread_mutex_unlock(&mutex);
    }
}


/* a worker: requests of up to three attempts; one held over the next ones */

static void *
picker(void *data)
{
    lb_how_t    how;
    lb_ask_t    ask;
    uint16_t    tried[4];
    uint32_t    i, index, attempt, generation, late, n;
    uint64_t    random;
    lb_load_t   load;

    n = *(uint32_t *) data;
    load = lb_roster_load(roster);
    late = LB_NONE;

    random = n;

    ask = (lb_ask_t) {
        .tried = { .list = tried, .size = 4 },
        .random = &random
    };

    (void) pthread_mutex_lock(&mutex);
    ask.row = lb_load_claim(&load, n + 1, n);
    (void) pthread_mutex_unlock(&mutex);

    check(ask.row != NULL);

    for (i = 0; i < ROUNDS; i++) {
        ask.tried.number = 0;
        ask.last = 0;
        ask.now = atomic_fetch_add(&now, 1);

        for (attempt = 0; attempt < 3; attempt++) {
            ask.key = lb_random(&random);
            index = lb_pick(roster, methods[(i / 64 + n) % 6], &ask, &how);

            if (index == LB_NONE) {
                break;
            }

            check(index < SERVERS * 2);
            atomic_fetch_add(&picked, 1);
            generation = lb_roster_server(roster, index)->generation;
            tried[ask.tried.number++] = (uint16_t) index;

            attempt_over(index, (i + attempt) % 5 == 0, how, ask.now);

            /* the slot cannot have changed hands while it was held */

            check(lb_roster_server(roster, index)->generation == generation);
            check(lb_roster_identity(roster, index)->name[0] == 's');

            if (late == LB_NONE && i % 7 == 0) {
                late = index;

            } else {
                lb_load_drop(&load, ask.row, index);
            }
        }

        if (late != LB_NONE && i % 7 == 6) {
            lb_load_drop(&load, ask.row, late);
            late = LB_NONE;
        }
    }

    /* every second one dies with its request */

    if (late != LB_NONE && n % 2 == 0) {
        lb_load_drop(&load, ask.row, late);
    }

    (void) pthread_mutex_lock(&mutex);

    while (!lb_load_settle(&load, ask.row)) { /* void */ }

    (void) pthread_mutex_unlock(&mutex);

    atomic_fetch_sub(&running, 1);

    return NULL;
}


/* the operator: half of the servers leave, others come */

static void *
changer(void *data)
{
    uint32_t       i, k, from;
    uint64_t       next;
    lb_line_t      lines[SERVERS];
    lb_rules_t     rules;
    lb_fixture_t  *f = data;

    for (i = 0; atomic_load(&running) != 0; i++) {

        for (k = 0; k < SERVERS; k++) {
            lines[k] = f->lines[(i + k) % (SERVERS * 2)];
        }

        (void) pthread_mutex_lock(&mutex);
        (void) lb_sync_lines(roster, lines, SERVERS, NULL, NULL);

        rules = (lb_rules_t) {
            .slow_start = (i % 5 == 0) ? 0 : 30,
            .panic = (i % 3) * 40,
            .errors = outlier.errors,
            .cells = i / 16 % 2
        };

        lb_roster_rule(roster, &rules);

        if (lb_roster_stale(roster)) {
            lb_fixture_build(roster);
        }

        (void) pthread_mutex_unlock(&mutex);

        lb_passive_schedule(roster);

        from = 0;

        while (lb_outlier_return(roster, atomic_load(&now), &from, &next)
               != LB_NONE)
        {
            /* void */
        }
    }

    return NULL;
}


int
main(void)
{
    uint32_t       i, numbers[PICKERS];
    pthread_t      threads[PICKERS + 1];
    lb_load_t      load;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    check(f != NULL);

    for (i = 0; i < SERVERS * 2; i++) {
        lb_fixture_line(f, 1 + i % 3)->max_conns = (i % 4 == 0) ? 2 : 0;
        f->lines[i].fail_timeout = 50;
        f->lines[i].max_fails = 2;
        f->lines[i].status = (i % 5 == 4) ? LB_BACKUP : 0;
    }

    roster = lb_fixture_small(SERVERS * 2, PICKERS, 512);
    load = lb_roster_load(roster);

    check(lb_sync_lines(roster, f->lines, SERVERS, NULL, NULL));
    lb_fixture_build(roster);

    for (i = 0; i < PICKERS; i++) {
        numbers[i] = i;
        check(pthread_create(&threads[i], NULL, picker, &numbers[i]) == 0);
    }

    check(pthread_create(&threads[PICKERS], NULL, changer, f) == 0);

    for (i = 0; i <= PICKERS; i++) {
        check(pthread_join(threads[i], NULL) == 0);
    }

    for (i = 0; i < SERVERS * 2; i++) {
        check(lb_load_active(&load, i) == 0);
    }

    lb_roster_sweep(roster, NULL, NULL);
    check(lb_roster_count(roster).leaving == 0);
    check(picked > 0);

    printf("race_lb_roster: %llu picks, %llu generations\n",
           (unsigned long long) picked,
           (unsigned long long) lb_roster_generation(roster));

    free(roster);
    free(f);

    return 0;
}
