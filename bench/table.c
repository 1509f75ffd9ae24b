/*
 * The table of buckets by itself: decisions a second of 1, 2 and 4 processes
 * on one key and on many, against the manner of limit_req (one mutex a zone,
 * held while a state of 128 bytes is looked up in a tree, moved to the head of
 * a queue, and changed); bytes a client; and how much of a processor's time a
 * pass of the ticker takes that goes over a million drained buckets.
 *
 * Prints figures, one "name value" a line, for table.pl.
 */


#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/core/limit/tb_table_edit.h"
#include "src/core/limit/tb_table_sweep.h"


#define PROCESSES  4
#define KEYS       100000
#define MILLION    1000000
#define SPAN       500000          /* us of a run */
#define SLICE      500             /* us of a tick, as in the module */


typedef struct state_s  state_t;

struct state_s {
    uint64_t          key;
    state_t          *left;
    state_t          *right;
    state_t          *prev;
    state_t          *next;
    uint64_t          excess;
    uint64_t          last;
    unsigned char     rest[72];
};


typedef struct {
    pthread_mutex_t   mutex;
    state_t          *root;
    state_t           queue;
    state_t           states[KEYS];
} rival_t;


typedef struct {
    _Atomic int       go;
    uint64_t          done[PROCESSES];
} control_t;


static control_t    *control;
static rival_t      *rival;
static tb_table_t   *table;
static tb_hash_t     hashes[KEYS];
static tb_limits_t   dflt;


static void *share(size_t size);
static uint64_t usec(clockid_t clock);
static tb_hash_t name(uint32_t i);
static void fill(tb_table_t *t, uint32_t n, uint64_t now);
static int by_key(const void *one, const void *two);
static state_t *grow(state_t *from, uint32_t n);
static void decide(uint32_t i, uint64_t now);
static void decide_as_rival(uint32_t i, uint64_t now);
static double run(int n, uint32_t keys, void (*one)(uint32_t, uint64_t));
static void work(int number, uint32_t keys, void (*one)(uint32_t, uint64_t));
static void contention(void);
static void memory(void);
static void ticker(void);


int
main(void)
{
    dflt = tb_limits(1000000, 864000000, 0);
    control = share(sizeof(control_t));

    contention();
    memory();
    ticker();

    return 0;
}


static void *
share(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }

    return p;
}


static uint64_t
usec(clockid_t clock)
{
    struct timespec  ts;

    (void) clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}


static tb_hash_t
name(uint32_t i)
{
    static const uint8_t  secret[TB_SECRET_SIZE] = { 1, 2, 3 };

    return tb_hash(&i, sizeof(i), secret);
}


static void
fill(tb_table_t *t, uint32_t n, uint64_t now)
{
    uint32_t     i;
    tb_hash_t    h;
    tb_result_t  result;

    for (i = 0; i < n; i++) {
        h = name(i);
        (void) tb_table_insert(t, &h, now, dflt, TB_TOKEN, &result);
    }
}


static void
decide(uint32_t i, uint64_t now)
{
    tb_result_t  result;

    (void) tb_table_take(table, &hashes[i], now, dflt, TB_TOKEN, &result);
}


static int
by_key(const void *one, const void *two)
{
    uint64_t  a = ((const state_t *) one)->key;
    uint64_t  b = ((const state_t *) two)->key;

    return (a > b) - (a < b);
}


/* A balanced tree of n states that are in order, all of them in the queue. */

static state_t *
grow(state_t *from, uint32_t n)
{
    state_t  *root;

    if (n == 0) {
        return NULL;
    }

    root = &from[n / 2];
    root->left = grow(from, n / 2);
    root->right = grow(root + 1, n - n / 2 - 1);

    root->next = rival->queue.next;
    root->prev = &rival->queue;
    root->next->prev = root;
    rival->queue.next = root;

    return root;
}


static void
decide_as_rival(uint32_t i, uint64_t now)
{
    state_t   *state;
    uint64_t   earned, key;

    key = hashes[i].lo;

    (void) pthread_mutex_lock(&rival->mutex);

    state = rival->root;

    while (state->key != key) {
        state = key < state->key ? state->left : state->right;
    }

    state->prev->next = state->next;
    state->next->prev = state->prev;
    state->next = rival->queue.next;
    state->prev = &rival->queue;
    state->next->prev = state;
    rival->queue.next = state;

    earned = (now - state->last) * 1000;
    state->excess = state->excess > earned ? state->excess - earned + 1000
                                           : 1000;
    state->last = now;

    (void) pthread_mutex_unlock(&rival->mutex);
}


static void
work(int number, uint32_t keys, void (*one)(uint32_t, uint64_t))
{
    uint32_t  i, k;
    uint64_t  end, n, now;

    while (!atomic_load(&control->go)) { /* wait */ }

    k = (uint32_t) number * 7919;
    n = 0;
    now = usec(CLOCK_MONOTONIC);
    end = now + SPAN;

    do {
        for (i = 0; i < 256; i++) {
            k = (k + 7919) % KEYS;
            one(keys == 1 ? 0 : k, now / 1000);
        }

        n += 256;
        now = usec(CLOCK_MONOTONIC);

    } while (now < end);

    control->done[number] = n;
}


/* Decisions a second of n processes together. */

static double
run(int n, uint32_t keys, void (*one)(uint32_t, uint64_t))
{
    int       i;
    pid_t     pids[PROCESSES];
    uint64_t  sum;

    atomic_store(&control->go, 0);

    for (i = 0; i < n; i++) {
        pids[i] = fork();

        if (pids[i] == 0) {
            work(i, keys, one);
            _exit(0);
        }
    }

    atomic_store(&control->go, 1);
    sum = 0;

    for (i = 0; i < n; i++) {
        (void) waitpid(pids[i], NULL, 0);
        sum += control->done[i];
    }

    return (double) sum * 1000000 / SPAN;
}


static void
contention(void)
{
    int                  n, round;
    void                *mem;
    size_t               size;
    uint32_t             i, keys;
    pthread_mutexattr_t  attr;

    size = (size_t) KEYS * sizeof(tb_slot_t) * 2;
    mem = share(size);
    table = tb_table_create(mem, size);
    rival = share(sizeof(rival_t));

    (void) pthread_mutexattr_init(&attr);
    (void) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    (void) pthread_mutex_init(&rival->mutex, &attr);

    for (i = 0; i < KEYS; i++) {
        hashes[i] = name(i);
        rival->states[i].key = hashes[i].lo;
    }

    rival->queue.next = &rival->queue;
    rival->queue.prev = &rival->queue;

    qsort(rival->states, KEYS, sizeof(state_t), by_key);
    rival->root = grow(rival->states, KEYS);

    fill(table, KEYS, usec(CLOCK_MONOTONIC) / 1000);

    for (keys = 1; keys <= KEYS; keys += KEYS - 1) {
        for (n = 1; n <= PROCESSES; n *= 2) {
            for (round = 0; round < 5; round++) {
                printf("rival-%u-%d %.0f\n", keys, n,
                       run(n, keys, decide_as_rival));
                printf("table-%u-%d %.0f\n", keys, n, run(n, keys, decide));
            }
        }
    }

    (void) munmap(mem, size);
    (void) munmap(rival, sizeof(rival_t));
}


/* A zone's table has 15/16 of the first megabyte, 3/4 of the others. */

static void
memory(void)
{
    printf("slot-bytes %zu\n", sizeof(tb_slot_t));
    printf("first-megabyte %u\n", tb_table_room(1024 * 1024 * 15 / 16));
    printf("next-megabyte %u\n", tb_table_room(1024 * 1024 * 3 / 4));
}


/* The ticks of the module, on buckets of which none is full. */

static void
ticker(void)
{
    void        *mem;
    size_t       size;
    uint32_t     i, slots;
    uint64_t     begin, end, longest, now, sum, ticks;
    tb_sweep_t   seen;

    size = (size_t) MILLION * sizeof(tb_slot_t) * 5 / 4;
    mem = share(size);
    table = tb_table_create(mem, size);
    slots = tb_table_slots(table);
    now = usec(CLOCK_MONOTONIC) / 1000;
    dflt = tb_limits(1000000, 1, 0);

    fill(table, MILLION, now);

    longest = 0;
    sum = 0;
    ticks = 0;
    seen = (tb_sweep_t) { 0 };

    for (i = 0; i < slots; ticks++) {
        begin = usec(CLOCK_PROCESS_CPUTIME_ID);

        do {
            tb_table_tick(table, i, TB_CHUNK_SLOTS, now + i / 100, dflt,
                          &seen);
            i += TB_CHUNK_SLOTS;
            end = usec(CLOCK_PROCESS_CPUTIME_ID);
        } while (i < slots && end < begin + SLICE);

        sum += end - begin;
        longest = end - begin > longest ? end - begin : longest;
    }

    printf("tick-buckets %llu\n", (unsigned long long) seen.buckets);
    printf("tick-number %llu\n", (unsigned long long) ticks);
    printf("tick-sum %llu\n", (unsigned long long) sum);
    printf("tick-longest %llu\n", (unsigned long long) longest);

    (void) munmap(mem, size);
}
