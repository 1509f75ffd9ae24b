
/*
 * The request of a health check to a gRPC server.
 */


#include <stdint.h>
#include <string.h>

#include "src/core/balance/lb_grpc_ask.h"


#define LB_GRPC_PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define LB_GRPC_PATH     "/grpc.health.v1.Health/Check"
#define LB_GRPC_AGENT    "nginx (health check)"
#define LB_GRPC_TYPE     "application/grpc"

/* bytes before a payload, and of a payload: HTTP/2's default */
#define LB_GRPC_HEAD     9
#define LB_GRPC_PAYLOAD  16384

/* bytes before a message: whether it is compressed, and its length */
#define LB_GRPC_PREFIX   5

/* types and flags of frames */
#define LB_GRPC_DATA         0
#define LB_GRPC_HEADERS      1
#define LB_GRPC_SETTINGS     4
#define LB_GRPC_END_STREAM   0x01
#define LB_GRPC_END_HEADERS  0x04

#define LB_GRPC_STREAM   1


typedef struct {
    unsigned char        *p;
    unsigned char        *end;
    bool                  full;
} lb_grpc_buf_t;


static void lb_grpc_put(lb_grpc_buf_t *buf, const void *data, size_t n);
static void lb_grpc_byte(lb_grpc_buf_t *buf, unsigned byte);
static void lb_grpc_head(lb_grpc_buf_t *buf, size_t length, unsigned type,
    unsigned flags, uint32_t stream);
static void lb_grpc_text(lb_grpc_buf_t *buf, const char *text, size_t n);
static void lb_grpc_fields(lb_grpc_buf_t *buf,
    const lb_grpc_request_t *request);
static void lb_grpc_message(lb_grpc_buf_t *buf,
    const lb_grpc_request_t *request);


size_t
lb_grpc_ask(unsigned char *buf, size_t size,
    const lb_grpc_request_t *request)
{
    unsigned char  *fields;
    lb_grpc_buf_t   b = { buf, buf + size, false };

    static const unsigned char  settings[] = {
        0, 2, 0, 0, 0, 0,            /* no PUSH_PROMISE */
        0, 6, 0, 0, 0x20, 0          /* header lists of 8192 bytes */
    };

    lb_grpc_put(&b, LB_GRPC_PREFACE, sizeof(LB_GRPC_PREFACE) - 1);

    lb_grpc_head(&b, sizeof(settings), LB_GRPC_SETTINGS, 0, 0);
    lb_grpc_put(&b, settings, sizeof(settings));

    fields = b.p;

    lb_grpc_head(&b, 0, LB_GRPC_HEADERS, LB_GRPC_END_HEADERS, LB_GRPC_STREAM);
    lb_grpc_fields(&b, request);

    if (b.full || b.p - fields > LB_GRPC_PAYLOAD) {
        return 0;
    }

    fields[1] = (unsigned char) ((b.p - fields - LB_GRPC_HEAD) >> 8);
    fields[2] = (unsigned char) (b.p - fields - LB_GRPC_HEAD);

    lb_grpc_message(&b, request);

    return b.full ? 0 : (size_t) (b.p - buf);
}


static void
lb_grpc_put(lb_grpc_buf_t *buf, const void *data, size_t n)
{
    if (n > (size_t) (buf->end - buf->p)) {
        buf->full = true;
        return;
    }

    memcpy(buf->p, data, n);
    buf->p += n;
}


static void
lb_grpc_byte(lb_grpc_buf_t *buf, unsigned byte)
{
    unsigned char  c = (unsigned char) byte;

    lb_grpc_put(buf, &c, 1);
}


static void
lb_grpc_head(lb_grpc_buf_t *buf, size_t length, unsigned type, unsigned flags,
    uint32_t stream)
{
    unsigned char  head[LB_GRPC_HEAD] = {
        (unsigned char) (length >> 16), (unsigned char) (length >> 8),
        (unsigned char) length, (unsigned char) type, (unsigned char) flags,
        0, 0, 0, (unsigned char) stream
    };

    lb_grpc_put(buf, head, LB_GRPC_HEAD);
}


/* as it is, its length before it */

static void
lb_grpc_text(lb_grpc_buf_t *buf, const char *text, size_t n)
{
    size_t  rest;

    if (n < 127) {
        lb_grpc_byte(buf, (unsigned) n);

    } else {
        lb_grpc_byte(buf, 127);

        for (rest = n - 127; rest > 127; rest >>= 7) {
            lb_grpc_byte(buf, (unsigned) (rest & 127) | 128);
        }

        lb_grpc_byte(buf, (unsigned) rest);
    }

    lb_grpc_put(buf, text, n);
}


/* literal fields that no table keeps, most of them with an indexed name */

static void
lb_grpc_fields(lb_grpc_buf_t *buf, const lb_grpc_request_t *request)
{
    bool    agent;
    size_t  i;

    agent = false;

    lb_grpc_byte(buf, 0x83);                          /* :method POST */
    lb_grpc_byte(buf, request->tls ? 0x87 : 0x86);    /* :scheme */
    lb_grpc_byte(buf, 0x04);                          /* :path */
    lb_grpc_text(buf, LB_GRPC_PATH, sizeof(LB_GRPC_PATH) - 1);
    lb_grpc_byte(buf, 0x01);                          /* :authority */
    lb_grpc_text(buf, request->authority, request->authority_length);
    lb_grpc_put(buf, "\x0f\x10", 2);                  /* content-type */
    lb_grpc_text(buf, LB_GRPC_TYPE, sizeof(LB_GRPC_TYPE) - 1);
    lb_grpc_byte(buf, 0);
    lb_grpc_text(buf, "te", 2);
    lb_grpc_text(buf, "trailers", 8);

    for (i = 0; i < request->nheaders; i++) {
        lb_grpc_byte(buf, 0);
        lb_grpc_text(buf, request->headers[i].name,
                     request->headers[i].name_length);
        lb_grpc_text(buf, request->headers[i].value,
                     request->headers[i].value_length);

        agent |= (request->headers[i].name_length == 10
                  && memcmp(request->headers[i].name, "user-agent", 10) == 0);
    }

    if (!agent) {
        lb_grpc_put(buf, "\x0f\x2b", 2);              /* user-agent */
        lb_grpc_text(buf, LB_GRPC_AGENT, sizeof(LB_GRPC_AGENT) - 1);
    }
}


/* HealthCheckRequest: field 1 is the service, which need not be there */

static void
lb_grpc_message(lb_grpc_buf_t *buf, const lb_grpc_request_t *request)
{
    size_t         length, n;
    unsigned char  field[3] = { 0x0a };

    n = request->service_length;
    length = 0;

    if (n != 0) {
        field[1] = (unsigned char) (n < 128 ? n : (n & 127) | 128);
        field[2] = (unsigned char) (n >> 7);
        length = (n < 128 ? 2 : 3) + n;
    }

    lb_grpc_head(buf, LB_GRPC_PREFIX + length, LB_GRPC_DATA,
                 LB_GRPC_END_STREAM, LB_GRPC_STREAM);

    lb_grpc_put(buf, "\0\0\0", 3);
    lb_grpc_byte(buf, (unsigned) (length >> 8));
    lb_grpc_byte(buf, (unsigned) (length & 255));

    if (n != 0) {
        lb_grpc_put(buf, field, length - n);
        lb_grpc_put(buf, request->service, n);
    }
}
