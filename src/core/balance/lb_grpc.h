
/*
 * Judging a gRPC server's answer to a health check, which is lb_grpc_ask.h's
 * request over HTTP/2, without sockets.  What has to be answered meanwhile
 * (SETTINGS and PING) is put into a few bytes.
 *
 * A pass is an answer with status 200, a message that says SERVING, and
 * grpc-status 0.  All of it is read in a fixed amount of memory; an answer
 * of more than LB_GRPC_MAX bytes fails.
 */


#ifndef LB_GRPC_H
#define LB_GRPC_H


#include "src/core/balance/lb_hpack.h"
#include "src/core/balance/lb_probe.h"


#define LB_GRPC_HEAD     9           /* bytes before the payload of a frame */
#define LB_GRPC_FRAME    16384       /* of a payload: HTTP/2's default */
#define LB_GRPC_BLOCK    8192        /* of a header block */
#define LB_GRPC_MESSAGE  1024
#define LB_GRPC_OUTPUT   256
#define LB_GRPC_MAX      65536


typedef struct {
    lb_verdict_t       verdict;
    uint32_t           received;
    bool               begun;        /* the first frame has been there */
    bool               continued;    /* a CONTINUATION has to be next */
    bool               last;         /* nothing follows the block */
    bool               told;         /* there was a grpc-status */
    uint32_t           status;       /* of the answer; 0: none yet */
    uint32_t           grpc_status;
    uint32_t           have;         /* bytes of the frame, with its head */
    uint32_t           block_length;
    uint32_t           message_length;
    uint32_t           output_length;
    unsigned char      head[LB_GRPC_HEAD];
    unsigned char      output[LB_GRPC_OUTPUT];
    unsigned char      message[LB_GRPC_MESSAGE];
    unsigned char      block[LB_GRPC_BLOCK];
    unsigned char      frame[LB_GRPC_FRAME];
    lb_hpack_t         hpack;
    char               reason[LB_PROBE_REASON_MAX];
} lb_grpc_t;


/* Starts on a new answer. */
void lb_grpc_start(lb_grpc_t *grpc);

/*
 * Takes the next bytes of the answer.  A verdict other than LB_PROBE_MORE
 * stays; after LB_PROBE_FAIL grpc->reason says why.
 */
lb_verdict_t lb_grpc_feed(lb_grpc_t *grpc, const unsigned char *data,
    size_t length);

/* The server has closed the connection: PASS or FAIL. */
lb_verdict_t lb_grpc_end(lb_grpc_t *grpc);

/* The first n bytes of grpc->output have been sent. */
void lb_grpc_sent(lb_grpc_t *grpc, size_t n);


#endif /* LB_GRPC_H */
