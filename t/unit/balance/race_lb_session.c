
/*
 * The cache of TLS sessions under ThreadSanitizer: whoever finds a session
 * finds all of it, whoever writes at the same time.
 */


#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/core/balance/lb_session.h"


#define THREADS  4
#define ROUNDS   20000
#define KEYS     12                  /* more than a set has slots */


static lb_sessions_t  sessions;
static _Atomic int    found;


static void *
work(void *arg)
{
    int            i, k;
    size_t         n;
    uint64_t       key[LB_SESSION_KEY] = { 0, 5, 6, 7 };
    unsigned char  data[LB_SESSION_MAX], expected[LB_SESSION_MAX];

    for (i = 0; i < ROUNDS; i++) {
        k = (i * 7 + *(int *) arg) % KEYS;
        key[0] = (uint64_t) k;

        if (i % 3 == 0) {
            memset(data, i & 0xff, (size_t) (100 + 16 * k));
            (void) lb_session_set(&sessions, key, 1, data,
                                  (size_t) (100 + 16 * k));
            continue;
        }

        n = lb_session_find(&sessions, key, 1, data);

        if (n == 0) {
            continue;
        }

        atomic_fetch_add(&found, 1);
        memset(expected, data[0], n);

        if (n != (size_t) (100 + 16 * k) || memcmp(data, expected, n) != 0) {
            fprintf(stderr, "a session of %zu bytes is torn\n", n);
            exit(1);
        }
    }

    return NULL;
}


int
main(void)
{
    int        i, number[THREADS];
    pthread_t  thread[THREADS];

    sessions.nslots = LB_SESSION_WAYS;
    sessions.slots = calloc(LB_SESSION_WAYS, sizeof(lb_session_slot_t));

    if (sessions.slots == NULL) {
        return 1;
    }

    for (i = 0; i < THREADS; i++) {
        number[i] = i;

        if (pthread_create(&thread[i], NULL, work, &number[i]) != 0) {
            return 1;
        }
    }

    for (i = 0; i < THREADS; i++) {
        (void) pthread_join(thread[i], NULL);
    }

    free(sessions.slots);

    /* none would be no test */

    return atomic_load(&found) == 0;
}
