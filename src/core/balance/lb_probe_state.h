
/*
 * Where in an answer a probe is, for the halves of the parser.  Of no use to
 * others.
 */


#ifndef LB_PROBE_STATE_H
#define LB_PROBE_STATE_H


#include <stdio.h>

#include "src/core/balance/lb_probe.h"


typedef enum {
    LB_PROBE_PROTOCOL = 0,
    LB_PROBE_MAJOR,
    LB_PROBE_MAJOR_MORE,
    LB_PROBE_MINOR,
    LB_PROBE_MINOR_MORE,
    LB_PROBE_CODE,
    LB_PROBE_CODE_END,
    LB_PROBE_PHRASE,
    LB_PROBE_STATUS_LF,

    LB_PROBE_LINE,
    LB_PROBE_LAST_LF,
    LB_PROBE_NAME,
    LB_PROBE_VALUE,
    LB_PROBE_VALUE_LF,
    LB_PROBE_IGNORED,

    LB_PROBE_SIZED,
    LB_PROBE_UNTIL_CLOSE,
    LB_PROBE_SIZE,
    LB_PROBE_SIZE_MORE,
    LB_PROBE_EXTENSION,
    LB_PROBE_CHUNK,
    LB_PROBE_CHUNK_END,
    LB_PROBE_CHUNK_LF,
    LB_PROBE_TRAILER,
    LB_PROBE_TRAILER_LINE,

    LB_PROBE_OVER
} lb_probe_state_t;


typedef enum {
    LB_PROBE_OTHER = 0,
    LB_PROBE_LENGTH,
    LB_PROBE_CODING
} lb_probe_field_t;


/* The verdict, if there is none yet; the answer goes on. */

static inline void
lb_probe_judge(lb_probe_t *probe, const char *failure)
{
    if (probe->verdict != LB_PROBE_MORE) {
        return;
    }

    probe->verdict = LB_PROBE_FAIL;

    (void) snprintf(probe->reason, LB_PROBE_REASON_MAX, "%s", failure);
}


/* The answer is over; if there is no verdict yet, it has failed. */

static inline void
lb_probe_fail(lb_probe_t *probe, const char *failure)
{
    lb_probe_judge(probe, failure);

    probe->state = LB_PROBE_OVER;
}


#endif /* LB_PROBE_STATE_H */
