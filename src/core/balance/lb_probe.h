
/*
 * Judging a server's answer to a check.  The bytes of an HTTP response are
 * fed as they come, in pieces of any size, and are not kept: what has been
 * read is in a few counters, so a probe is small whatever the server sends.
 *
 *   status line -> header lines -> body      and back to the status line
 *                                            after an interim response (1xx)
 *
 * What is taken for a response is what nginx's proxy takes for one, so that
 * no server fails its checks whose answers clients would get: an answer
 * without a status line is a body with status 200 (HTTP/0.9), a length that
 * is no number is none.
 *
 * The body is framed by chunks, by Content-Length or by the end of the
 * connection.  The verdict falls at the end of the header, or if a text is
 * expected, where it has been found; the rest is gone through for its end.
 */


#ifndef LB_PROBE_H
#define LB_PROBE_H


#include "src/core/balance/lb_expect.h"


/* bytes of status lines and headers together, and of a body */
#define LB_PROBE_HEADER_MAX  1048576
#define LB_PROBE_BODY_MAX    1048576

#define LB_PROBE_NAME_MAX    20
#define LB_PROBE_REASON_MAX  80


typedef enum {
    LB_PROBE_MORE = 0,                 /* it is not known yet */
    LB_PROBE_PASS,
    LB_PROBE_FAIL
} lb_verdict_t;


typedef struct {
    const lb_expect_t  *expect;
    lb_verdict_t        verdict;
    uint8_t             state;
    uint8_t             field;         /* what the value is of */
    uint8_t             at;            /* place within a short token */
    uint8_t             name_length;   /* 0xff: no name that matters */
    bool                chunked;
    bool                sized;         /* there was a Content-Length */
    bool                ended;         /* the length's digits have ended */
    bool                invalid;       /* the length is no number */
    uint16_t            status;
    uint32_t            header;        /* bytes so far */
    uint32_t            body;          /* bytes looked at so far */
    uint32_t            matched;       /* see lb_expect_find() */
    uint32_t            version;       /* a part of it */
    uint64_t            length;        /* Content-Length */
    uint64_t            left;          /* of the body, or of the chunk */
    char                name[LB_PROBE_NAME_MAX];
    char                reason[LB_PROBE_REASON_MAX];
} lb_probe_t;


/* Starts on a new answer. */
void lb_probe_start(lb_probe_t *probe, const lb_expect_t *expect);

/*
 * Takes the next bytes of the answer.  A verdict other than LB_PROBE_MORE
 * stays; after LB_PROBE_FAIL lb_probe_reason() says why.
 */
lb_verdict_t lb_probe_feed(lb_probe_t *probe, const unsigned char *data,
    size_t length);

/* The server has closed the connection: PASS or FAIL. */
lb_verdict_t lb_probe_end(lb_probe_t *probe);


/* Whether the answer has ended, or is not gone through any further. */
bool lb_probe_over(const lb_probe_t *probe);


/* Why it failed, a short text; valid as long as the probe. */

static inline const char *
lb_probe_reason(const lb_probe_t *probe)
{
    return probe->reason;
}


#endif /* LB_PROBE_H */
