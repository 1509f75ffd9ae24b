
/*
 * Health by checks: rise successes in a row bring a server back, fall
 * failures in a row take it out.
 *
 * The state is one word a server in shared memory, written by the process
 * that makes the checks.  LB_UNHEALTHY of the server's status follows it: a
 * process killed between the two leaves the status behind, and the next
 * result makes up for that.
 */


#ifndef LB_HEALTH_H
#define LB_HEALTH_H


#include "src/core/balance/lb_roster.h"


#define LB_HEALTH_MAX      1000      /* largest rise and fall */

/* lb_server_t.health; zero: never checked, and up until it is */

#define LB_HEALTH_DOWN     0x80000000
#define LB_HEALTH_PENDING  0x40000000    /* down until the first pass */
#define LB_HEALTH_PASSING  0x20000000    /* what the row consists of */

/* of a server that is LB_UNHEALTHY from the start */
#define LB_HEALTH_NEW      (LB_HEALTH_DOWN | LB_HEALTH_PENDING)

#define lb_health_streak(word)   ((word) & 0xfff)           /* equal results */
#define lb_health_repair(word)  (((word) >> 12) & 0xfff)   /* see below */


typedef enum {
    LB_HEALTH_SAME = 0,
    LB_HEALTH_MOVED,                 /* the status only: it was and is out */
    LB_HEALTH_WENT_DOWN,
    LB_HEALTH_CAME_UP
} lb_health_t;


/*
 * The word after one more result.  repair: the server is out for failures of
 * requests (LB_FAILED), and this check began after the last of them; such
 * passes in a row are counted on their own.
 */
uint32_t lb_health_next(uint32_t word, bool passed, uint32_t rise,
    uint32_t fall, bool repair);

/*
 * Enters the result of a check that began at the given time (ms, the clock
 * of lb_passive_failed()).  rise passes in a row after the last failure of
 * a request also end LB_FAILED: the server has shown that it is back.
 * WENT_DOWN and CAME_UP are told once per change, whoever caused the
 * opposite one; all but SAME ask for a build.  A server that was
 * pending and fails is told of as going down after fall failures.
 * One process at a time.
 */
lb_health_t lb_health_enter(lb_server_t *server, bool passed, uint32_t rise,
    uint32_t fall, uint64_t began);

/*
 * Forgets what checks have found, for an upstream that has none any more.
 * Mutex; then a build.
 */
void lb_health_forget(lb_roster_t *roster);


#endif /* LB_HEALTH_H */
