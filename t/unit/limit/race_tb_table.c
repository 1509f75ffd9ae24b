
/*
 * Four threads on one small table, to be run under ThreadSanitizer: first
 * in buckets that time does not refill, so that every token must be found
 * again, then against the clock, then in leased buckets.  A mutex stands for
 * the zone's.
 */


#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "src/core/limit/tb_slot.h"
#include "t/unit/limit/tb_fixture.h"


#define THREADS    4
#define GROUPS     4
#define KEYS       300         /* nearly five for a slot */
#define CLIENTS    8           /* of the keys, registered */
#define OPERATIONS 60000       /* a thread */
#define SECONDS    2

#define R_SECOND   TB_STEPS_A_SECOND
#define START      ((UINT64_C(3) << TB_STAMP_BITS) - 500)
#define OWN        tb_limits(100000, 0, TB_LIMITS_REGISTERED)
#define OWN_MORE   tb_limits(200000, 0, TB_LIMITS_REGISTERED)


typedef void *(*work_pt)(void *worker);

typedef struct {
    pthread_t      thread;
    tb_random_t    rnd;
    uint64_t       taken;                  /* µtok, less what went back */
    uint64_t       from_client[CLIENTS];   /* of that */
    uint64_t       leased;                 /* µtok, less what was returned */
    uint64_t       to_client[CLIENTS];     /* of that */
    uint64_t       last;                   /* when it asked, ms */
} worker_t;


static tb_table_t       *table;
static tb_limits_t       dflt;
static struct timespec   began;
static _Atomic uint64_t  frozen;       /* ms that all have stood still */
static pthread_mutex_t   lock = PTHREAD_MUTEX_INITIALIZER;


static uint64_t
clock_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return START + atomic_load(&frozen)
           + (uint64_t) ((ts.tv_sec - began.tv_sec) * 1000
                         + (ts.tv_nsec - began.tv_nsec) / 1000000);
}


/* For minutes to months, now and then; others are behind by that. */

static void
freeze(worker_t *w)
{
    if (tb_random_in(&w->rnd, 0, 1999) == 0) {
        (void) atomic_fetch_add(&frozen,
                                tb_random_scale(&w->rnd, 100000,
                                                UINT64_C(8000000000)));
    }
}


static void
check(bool good, const char *what)
{
    if (!good) {
        (void) fprintf(stderr, "race_tb_table: %s\n", what);
        exit(1);
    }
}


static tb_verdict_t
request(const tb_hash_t *h, uint64_t now, uint64_t cost)
{
    tb_result_t   result;
    tb_verdict_t  verdict;

    /* every other ms by what a look finds, as most decisions are made */

    if ((now & 1)
        && tb_table_look(table, h, now, dflt, 0, cost, &result) >= 0
        && tb_result_take(&result, now))
    {
        return TB_PASS;
    }

    verdict = tb_table_take(table, h, now, dflt, cost, &result);

    if (verdict == TB_ABSENT) {
        pthread_mutex_lock(&lock);
        verdict = tb_table_insert(table, h, now, dflt, cost, &result);
        pthread_mutex_unlock(&lock);
    }

    check(verdict != TB_ABSENT, "an insert did not decide");

    return verdict;
}


/* Every other ms to the slot that is known, as most are. */

static void
give(const tb_hash_t *h, uint64_t now, uint64_t cost)
{
    if (!(now & 1)
        || !tb_slot_adjust(table, tb_table_find(table, h), h, now, dflt, 0,
                           (int64_t) cost))
    {
        check(tb_table_give(table, h, now, dflt, cost),
              "a client is not there");
    }
}


static void
sweep(uint64_t now)
{
    tb_sweep_t  seen;

    memset(&seen, 0, sizeof(seen));
    tb_table_tick(table, 0, TB_CHUNK_SLOTS, now, dflt, &seen);

    pthread_mutex_lock(&lock);
    tb_table_collect(table, 0, TB_CHUNK_SLOTS, now, dflt);
    pthread_mutex_unlock(&lock);
}


/* Takes, and for clients also gives back and changes of limits. */

static void *
work_without_refill(void *data)
{
    int          i, key;
    uint64_t     cost, now;
    worker_t    *w;
    tb_hash_t    h;

    w = data;

    for (i = 0; i < OPERATIONS; i++) {
        key = (int) tb_random_in(&w->rnd, 0, KEYS - 1);
        cost = tb_random_scale(&w->rnd, TB_COST_MIN, TB_TOKEN);
        h = fixture_key((uint64_t) key);

        /* clocks of workers differ */

        freeze(w);
        now = clock_ms() - tb_random_in(&w->rnd, 0, 5);

        if (tb_random_in(&w->rnd, 0, 499) == 0) {
            sweep(now);
        }

        if (key < CLIENTS && tb_random_in(&w->rnd, 0, 3) == 0) {
            pthread_mutex_lock(&lock);
            check(tb_table_set_limits(table, &h, now, dflt,
                                      cost & 1 ? OWN : OWN_MORE),
                  "a client is not there");
            pthread_mutex_unlock(&lock);
        }

        if (request(&h, now, cost) == TB_REFUSE) {
            continue;
        }

        w->taken += cost;

        if (key < CLIENTS) {
            w->from_client[key] += cost;

            if (tb_random_in(&w->rnd, 0, 1) == 0) {
                give(&h, now, cost);
                w->taken -= cost;
                w->from_client[key] -= cost;
            }
        }
    }

    return NULL;
}


/* All at one client, while the rest of the table is in turmoil. */

static void *
work_with_refill(void *data)
{
    uint64_t   cost, now, until;
    worker_t  *w;
    tb_hash_t  h, hot;

    w = data;
    hot = fixture_key(0);
    until = START + SECONDS * 1000;

    while ((now = clock_ms()) < until) {

        w->last = now;

        if (request(&hot, now, TB_TOKEN) == TB_PASS) {
            w->from_client[0] += TB_TOKEN;
        }

        cost = tb_random_scale(&w->rnd, TB_COST_MIN, TB_TOKEN);
        h = fixture_key(tb_random_in(&w->rnd, 1, KEYS));

        if (request(&h, now - tb_random_in(&w->rnd, 0, 5), cost) == TB_PASS)
        {
            w->taken += cost;
        }

        if (tb_random_in(&w->rnd, 0, 499) == 0) {
            sweep(now);
        }
    }

    return NULL;
}


/* Takes, and leases and their return; new keys displace others. */

static void *
work_with_leases(void *data)
{
    int          i, key;
    int64_t      tokens;
    uint64_t     now;
    worker_t    *w;
    tb_hash_t    h;
    tb_slot_t   *slot;
    tb_result_t  result;

    w = data;

    for (i = 0; i < OPERATIONS; i++) {
        key = (int) tb_random_in(&w->rnd, 0, KEYS - 1);
        key = (i % 4 == 0) ? key : 0;
        h = fixture_key((uint64_t) key);

        freeze(w);
        now = clock_ms() - tb_random_in(&w->rnd, 0, 5);

        if (tb_random_in(&w->rnd, 0, 499) == 0) {
            sweep(now);
        }

        slot = tb_table_find(table, &h);

        if (slot == NULL) {
            pthread_mutex_lock(&lock);
            (void) tb_table_put(table, &h, now, dflt, 0, 0);
            pthread_mutex_unlock(&lock);

            continue;
        }

        tokens = (int64_t) tb_random_scale(&w->rnd, TB_COST_MIN, TB_TOKEN);

        if (tb_random_in(&w->rnd, 0, 2) == 0) {
            tokens = tb_table_add(table, slot, &h, now, dflt,
                                  (tokens & 1) ? tokens : -tokens);
            w->leased += (uint64_t) tokens;

            if (key < CLIENTS) {
                w->to_client[key] += (uint64_t) tokens;
            }

        } else if (tb_table_take_known(table, &h, now, dflt,
                                       (uint64_t) tokens, &result)
                   == TB_PASS)
        {
            w->taken += (uint64_t) tokens;

            if (key < CLIENTS) {
                w->from_client[key] += (uint64_t) tokens;
            }
        }
    }

    return NULL;
}


/* What all slots hold now; an empty one is a full bucket. */

static uint64_t
worth(void)
{
    uint32_t     i;
    uint64_t     sum;
    tb_slot_t   *slot;
    tb_limits_t  limits;

    sum = 0;

    for (i = 0; i < tb_table_slots(table); i++) {
        slot = tb_table_slot(table, i);
        limits = slot->limits;

        if (slot->tag != 0 && (limits & TB_LIMITS_REGISTERED)) {
            sum += tb_word_tokens(slot->word);

        } else {
            sum += tb_slot_left_over(slot->word, limits, START, dflt);
        }
    }

    return sum;
}


static void
start(void)
{
    table = fixture_create(fixture_size(GROUPS));
    check(table != NULL, "no memory");
    (void) clock_gettime(CLOCK_MONOTONIC, &began);
    atomic_store(&frozen, 0);
}


static void
run(worker_t *workers, work_pt work)
{
    int  i;

    memset(workers, 0, THREADS * sizeof(worker_t));

    for (i = 0; i < THREADS; i++) {
        workers[i].rnd.state = (uint64_t) i + 1;
        check(pthread_create(&workers[i].thread, NULL, work, &workers[i])
              == 0, "no thread");
    }

    for (i = 0; i < THREADS; i++) {
        check(pthread_join(workers[i].thread, NULL) == 0, "no thread");
    }

    check(tb_table_check(table, clock_ms(), dflt) == 0,
          "slots are broken");
}


static void
test_every_token_is_found_again(void)
{
    int          i, k;
    uint64_t     before, taken;
    tb_hash_t    h;
    worker_t     workers[THREADS];
    tb_result_t  result;

    start();
    dflt = tb_limits(5000, 0, 0);

    for (k = 0; k < CLIENTS; k++) {
        h = fixture_key((uint64_t) k);
        check(tb_table_put(table, &h, START, dflt, OWN, 100000 * TB_TOKEN),
              "no room for a client");
    }

    before = worth();
    run(workers, work_without_refill);

    for (taken = 0, i = 0; i < THREADS; i++) {
        taken += workers[i].taken;
    }

    check(taken + worth() == before, "tokens were created or lost");
    check(table->evictions > 1000, "too little happened");

    for (k = 0; k < CLIENTS; k++) {
        h = fixture_key((uint64_t) k);
        check(tb_table_read(table, &h, START, dflt, &result) == TB_PASS,
              "a client is gone");

        for (taken = 0, i = 0; i < THREADS; i++) {
            taken += workers[i].from_client[k];
        }

        check(result.left + taken == 100000 * TB_TOKEN,
              "a client paid for others, or they for it");
    }

    free(table);
}


static void
test_admits_what_time_refilled(void)
{
    int          i;
    uint64_t     due, hot, last, rest;
    tb_hash_t    h;
    worker_t     workers[THREADS];
    tb_limits_t  own;

    start();
    dflt = tb_limits(10, R_SECOND, 0);
    own = tb_limits(100000, 3000 * (uint64_t) R_SECOND,
                    TB_LIMITS_REGISTERED);

    h = fixture_key(0);
    check(tb_table_put(table, &h, START, dflt, own, 500 * TB_TOKEN),
          "no room for a client");

    run(workers, work_with_refill);

    for (hot = 0, rest = 0, last = 0, i = 0; i < THREADS; i++) {
        hot += workers[i].from_client[0];
        rest += workers[i].taken;
        last = workers[i].last > last ? workers[i].last : last;
    }

    /* it asks far more often than it earns; 3 ms for the last round */

    due = (500 + 3 * (last - START)) * TB_TOKEN;

    check(hot <= due, "the client was admitted too often");
    check(hot * 1000 >= (due - 9 * TB_TOKEN) * 999,
          "the client was refused too often");

    /* the overflow bucket has no part in it: not all are registered */

    due = tb_table_slots(table)
          * (10 * TB_TOKEN + (SECONDS + 1) * TB_TOKEN);

    check(rest <= due, "the others were admitted too often");

    free(table);
}


/* Displaced tokens are lost, those of registered clients are not. */

static void
test_no_lease_is_used_twice(void)
{
    int          i, k;
    uint64_t     leased, taken;
    tb_hash_t    h;
    worker_t     workers[THREADS];
    tb_result_t  result;

    start();
    dflt = tb_limits(5000, R_SECOND, TB_LIMITS_LEASED);

    for (k = 0; k < CLIENTS; k++) {
        h = fixture_key((uint64_t) k);
        check(tb_table_put(table, &h, START, dflt, OWN, 0),
              "no room for a client");
    }

    run(workers, work_with_leases);

    for (leased = 0, taken = 0, i = 0; i < THREADS; i++) {
        leased += workers[i].leased;
        taken += workers[i].taken;
    }

    check(taken + worth() <= leased, "tokens were created");
    check(taken > 0 && table->evictions > 1000, "too little happened");

    for (k = 0; k < CLIENTS; k++) {
        h = fixture_key((uint64_t) k);
        check(tb_table_read(table, &h, START, dflt, &result) == TB_PASS,
              "a client is gone");

        for (leased = 0, taken = 0, i = 0; i < THREADS; i++) {
            leased += workers[i].to_client[k];
            taken += workers[i].from_client[k];
        }

        check(result.left + taken == leased,
              "a client has other tokens than were leased to it");
    }

    free(table);
}


int
main(void)
{
    test_every_token_is_found_again();
    test_admits_what_time_refilled();
    test_no_lease_is_used_twice();

    return 0;
}
