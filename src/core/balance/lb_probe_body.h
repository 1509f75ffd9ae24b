
/*
 * What the halves of the response parser know of each other: where in an
 * answer a probe is.  Of no use to others.
 */


#ifndef LB_PROBE_BODY_H
#define LB_PROBE_BODY_H


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


/*
 * Takes bytes of the body, length of them at most, and says how many; at
 * least one.
 */
size_t lb_probe_body(lb_probe_t *probe, const unsigned char *data,
    size_t length);

/* The verdict, if there is none yet; the answer goes on. */
void lb_probe_judge(lb_probe_t *probe, const char *failure);

/* The answer is over; if there is no verdict yet, it has failed. */
void lb_probe_fail(lb_probe_t *probe, const char *failure);


#endif /* LB_PROBE_BODY_H */
