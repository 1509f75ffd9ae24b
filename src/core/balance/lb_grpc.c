
/*
 * A health check of a gRPC server: frames of HTTP/2 (RFC 9113), as many of
 * their kinds as one request meets, and the message of the health service.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/balance/lb_grpc.h"


#define LB_GRPC_STREAM   1

/* flags of frames */
#define LB_GRPC_ACK          0x01
#define LB_GRPC_END_STREAM   0x01
#define LB_GRPC_END_HEADERS  0x04
#define LB_GRPC_PADDED       0x08
#define LB_GRPC_PRIORITY     0x20

/* bytes before a message: whether it is compressed, and its length */
#define LB_GRPC_PREFIX       5

#define LB_GRPC_SERVING      1


typedef enum {
    LB_GRPC_DATA = 0,
    LB_GRPC_HEADERS = 1,
    LB_GRPC_RST_STREAM = 3,
    LB_GRPC_SETTINGS = 4,
    LB_GRPC_PUSH_PROMISE = 5,
    LB_GRPC_PING = 6,
    LB_GRPC_GOAWAY = 7,
    LB_GRPC_CONTINUATION = 9
} lb_grpc_type_t;


typedef struct {
    unsigned              type;
    unsigned              flags;
    uint32_t              stream;
    uint32_t              length;
    const unsigned char  *payload;
} lb_grpc_frame_t;


static void lb_grpc_frame(lb_grpc_t *grpc, const lb_grpc_frame_t *frame);
static void lb_grpc_control(lb_grpc_t *grpc, const lb_grpc_frame_t *frame);
static void lb_grpc_goaway(lb_grpc_t *grpc, const lb_grpc_frame_t *frame);
static void lb_grpc_answer(lb_grpc_t *grpc, unsigned type,
    const unsigned char *payload, size_t n);
static bool lb_grpc_strip(lb_grpc_frame_t *frame);
static void lb_grpc_data(lb_grpc_t *grpc, const lb_grpc_frame_t *frame);
static void lb_grpc_headers(lb_grpc_t *grpc, const lb_grpc_frame_t *frame);
static void lb_grpc_field(void *data, const unsigned char *name,
    size_t name_length, const unsigned char *value, size_t value_length);
static uint32_t lb_grpc_digits(const unsigned char *text, size_t n);
static void lb_grpc_judge(lb_grpc_t *grpc);
static bool lb_grpc_health(lb_grpc_t *grpc, uint64_t *health);
static bool lb_grpc_varint(const unsigned char **p, const unsigned char *end,
    uint64_t *value);
static void lb_grpc_fail(lb_grpc_t *grpc, const char *reason);
static void lb_grpc_refuse(lb_grpc_t *grpc, const char *what,
    unsigned long number);


static const char  lb_grpc_malformed[] = "malformed HTTP/2";


void
lb_grpc_start(lb_grpc_t *grpc)
{
    grpc->verdict = LB_PROBE_MORE;
    grpc->received = 0;
    grpc->begun = false;
    grpc->continued = false;
    grpc->last = false;
    grpc->told = false;
    grpc->status = 0;
    grpc->grpc_status = 0;
    grpc->have = 0;
    grpc->block_length = 0;
    grpc->message_length = 0;
    grpc->output_length = 0;
    grpc->reason[0] = '\0';

    lb_hpack_init(&grpc->hpack);
}


lb_verdict_t
lb_grpc_feed(lb_grpc_t *grpc, const unsigned char *data, size_t length)
{
    size_t           n, i;
    unsigned char   *head;
    lb_grpc_frame_t  frame;

    head = grpc->head;

    for (i = 0; i < length && grpc->verdict == LB_PROBE_MORE; i += n) {
        n = 1;

        if (grpc->have < LB_GRPC_HEAD) {
            head[grpc->have] = data[i];

        } else {
            n = grpc->have - LB_GRPC_HEAD;
            n = (((size_t) head[0] << 16) | ((size_t) head[1] << 8) | head[2])
                - n;
            n = (n < length - i) ? n : length - i;

            memcpy(grpc->frame + grpc->have - LB_GRPC_HEAD, data + i, n);
        }

        grpc->have += (uint32_t) n;
        grpc->received += (uint32_t) n;

        if (grpc->have < LB_GRPC_HEAD) {
            continue;
        }

        frame.length = ((uint32_t) head[0] << 16) | ((uint32_t) head[1] << 8)
                       | head[2];
        frame.type = head[3];
        frame.flags = head[4];
        frame.stream = ((uint32_t) (head[5] & 0x7f) << 24)
                       | ((uint32_t) head[6] << 16)
                       | ((uint32_t) head[7] << 8) | head[8];
        frame.payload = grpc->frame;

        if (!grpc->begun && (frame.type != LB_GRPC_SETTINGS
                             || frame.stream != 0 || frame.length % 6 != 0))
        {
            lb_grpc_fail(grpc, "the server does not speak HTTP/2");

        } else if (frame.length > LB_GRPC_FRAME) {
            lb_grpc_refuse(grpc, "HTTP/2 frame of a size of", frame.length);

        } else if (grpc->received > LB_GRPC_MAX) {
            lb_grpc_refuse(grpc, "an answer of more bytes than", LB_GRPC_MAX);

        } else if (grpc->have == LB_GRPC_HEAD + frame.length) {
            grpc->begun = true;
            grpc->have = 0;
            lb_grpc_frame(grpc, &frame);
        }
    }

    return grpc->verdict;
}


lb_verdict_t
lb_grpc_end(lb_grpc_t *grpc)
{
    if (grpc->verdict == LB_PROBE_MORE) {
        lb_grpc_fail(grpc, "connection closed before the end of the answer");
    }

    return grpc->verdict;
}


void
lb_grpc_sent(lb_grpc_t *grpc, size_t n)
{
    grpc->output_length -= (uint32_t) n;
    memmove(grpc->output, grpc->output + n, grpc->output_length);
}


static void
lb_grpc_frame(lb_grpc_t *grpc, const lb_grpc_frame_t *frame)
{
    if (grpc->continued != (frame->type == LB_GRPC_CONTINUATION)) {
        lb_grpc_fail(grpc, lb_grpc_malformed);
        return;
    }

    switch (frame->type) {

    case LB_GRPC_DATA:
        lb_grpc_data(grpc, frame);
        break;

    case LB_GRPC_HEADERS:
    case LB_GRPC_CONTINUATION:
        lb_grpc_headers(grpc, frame);
        break;

    default:
        lb_grpc_control(grpc, frame);
    }
}


/* frames of kinds that are not known are for others */

static void
lb_grpc_control(lb_grpc_t *grpc, const lb_grpc_frame_t *frame)
{
    switch (frame->type) {

    case LB_GRPC_RST_STREAM:

        if (frame->length != 4) {
            lb_grpc_fail(grpc, lb_grpc_malformed);
            break;
        }

        lb_grpc_refuse(grpc, "the server has reset the stream: error",
                     frame->payload[3]);
        break;

    case LB_GRPC_SETTINGS:

        if (!(frame->flags & LB_GRPC_ACK)) {
            lb_grpc_answer(grpc, LB_GRPC_SETTINGS, NULL, 0);
        }

        break;

    case LB_GRPC_PUSH_PROMISE:
        lb_grpc_fail(grpc, lb_grpc_malformed);
        break;

    case LB_GRPC_PING:

        if (frame->length != 8) {
            lb_grpc_fail(grpc, lb_grpc_malformed);

        } else if (!(frame->flags & LB_GRPC_ACK)) {
            lb_grpc_answer(grpc, LB_GRPC_PING, frame->payload, 8);
        }

        break;

    case LB_GRPC_GOAWAY:
        lb_grpc_goaway(grpc, frame);
        break;
    }
}


/* a server that is about to stop may answer what it has been asked before */

static void
lb_grpc_goaway(lb_grpc_t *grpc, const lb_grpc_frame_t *frame)
{
    const unsigned char  *p = frame->payload;

    if (frame->length < 8) {
        lb_grpc_fail(grpc, lb_grpc_malformed);

    } else if ((p[0] & 0x7f) == 0 && p[1] == 0 && p[2] == 0
               && p[3] < LB_GRPC_STREAM)
    {
        lb_grpc_refuse(grpc, "the server has sent GOAWAY: error", p[7]);
    }
}


static void
lb_grpc_answer(lb_grpc_t *grpc, unsigned type, const unsigned char *payload,
    size_t n)
{
    unsigned char  *p;

    if (LB_GRPC_HEAD + n > LB_GRPC_OUTPUT - grpc->output_length) {
        lb_grpc_fail(grpc, "too many PING and SETTINGS");
        return;
    }

    p = grpc->output + grpc->output_length;

    memset(p, 0, LB_GRPC_HEAD);
    p[2] = (unsigned char) n;
    p[3] = (unsigned char) type;
    p[4] = LB_GRPC_ACK;

    if (n != 0) {
        memcpy(p + LB_GRPC_HEAD, payload, n);
    }

    grpc->output_length += (uint32_t) (LB_GRPC_HEAD + n);
}


/* Leaves what is neither padding nor priority; false: that is too much. */

static bool
lb_grpc_strip(lb_grpc_frame_t *frame)
{
    uint32_t  before, behind;

    before = 0;
    behind = 0;

    if (frame->flags & LB_GRPC_PADDED) {

        if (frame->length == 0) {
            return false;
        }

        before = 1;
        behind = frame->payload[0];
    }

    if (frame->type == LB_GRPC_HEADERS && (frame->flags & LB_GRPC_PRIORITY)) {
        before += 5;
    }

    if (before + behind > frame->length) {
        return false;
    }

    frame->payload += before;
    frame->length -= before + behind;

    return true;
}


static void
lb_grpc_data(lb_grpc_t *grpc, const lb_grpc_frame_t *frame)
{
    lb_grpc_frame_t  data = *frame;

    if (frame->stream != LB_GRPC_STREAM || grpc->status == 0
        || !lb_grpc_strip(&data))
    {
        lb_grpc_fail(grpc, lb_grpc_malformed);
        return;
    }

    if (data.length > LB_GRPC_MESSAGE - grpc->message_length) {
        lb_grpc_refuse(grpc, "a message of more bytes than", LB_GRPC_MESSAGE);
        return;
    }

    memcpy(grpc->message + grpc->message_length, data.payload, data.length);
    grpc->message_length += data.length;

    if (frame->flags & LB_GRPC_END_STREAM) {
        lb_grpc_judge(grpc);
    }
}


static void
lb_grpc_headers(lb_grpc_t *grpc, const lb_grpc_frame_t *frame)
{
    lb_grpc_frame_t  part = *frame;

    if (frame->type == LB_GRPC_CONTINUATION) {
        part.flags &= LB_GRPC_END_HEADERS;

    } else {
        grpc->block_length = 0;
        grpc->last = (frame->flags & LB_GRPC_END_STREAM) != 0;
    }

    if (frame->stream != LB_GRPC_STREAM || !lb_grpc_strip(&part)) {
        lb_grpc_fail(grpc, lb_grpc_malformed);
        return;
    }

    if (part.length > LB_GRPC_BLOCK - grpc->block_length) {
        lb_grpc_refuse(grpc, "headers of more bytes than", LB_GRPC_BLOCK);
        return;
    }

    memcpy(grpc->block + grpc->block_length, part.payload, part.length);
    grpc->block_length += part.length;
    grpc->continued = !(frame->flags & LB_GRPC_END_HEADERS);

    if (grpc->continued) {
        return;
    }

    /* an interim answer is followed by another one */

    if (grpc->status >= 100 && grpc->status < 200) {
        grpc->status = 0;
    }

    if (!lb_hpack_read(&grpc->hpack, grpc->block, grpc->block_length,
                       lb_grpc_field, grpc)
        || grpc->status == 0)
    {
        lb_grpc_fail(grpc, lb_grpc_malformed);

    } else if (grpc->status >= 200 && grpc->status != 200) {
        lb_grpc_refuse(grpc, "status", grpc->status);

    } else if (grpc->last) {
        lb_grpc_judge(grpc);
    }
}


static void
lb_grpc_field(void *data, const unsigned char *name, size_t name_length,
    const unsigned char *value, size_t value_length)
{
    lb_grpc_t  *grpc = data;

    if (name_length == 7 && memcmp(name, ":status", 7) == 0) {
        grpc->status = lb_grpc_digits(value, value_length);

    } else if (name_length == 11 && memcmp(name, "grpc-status", 11) == 0) {
        grpc->told = true;
        grpc->grpc_status = lb_grpc_digits(value, value_length);
    }
}


/* What is no number of at most three digits is 999. */

static uint32_t
lb_grpc_digits(const unsigned char *text, size_t n)
{
    size_t    i;
    uint32_t  number;

    number = 0;

    for (i = 0; i < n; i++) {

        if (text[i] < '0' || text[i] > '9' || i == 3) {
            return 999;
        }

        number = number * 10 + (text[i] - '0');
    }

    return n ? number : 999;
}


/* the stream has ended */

static void
lb_grpc_judge(lb_grpc_t *grpc)
{
    uint64_t  health;

    static const char *const  names[] = {
        "health status UNKNOWN", "", "health status NOT_SERVING",
        "health status SERVICE_UNKNOWN"
    };

    if (!grpc->told) {
        lb_grpc_fail(grpc, "no grpc-status");

    } else if (grpc->grpc_status != 0) {
        lb_grpc_refuse(grpc, "grpc-status", grpc->grpc_status);

    } else if (!lb_grpc_health(grpc, &health)) {
        lb_grpc_fail(grpc, "no message of the health service");

    } else if (health == LB_GRPC_SERVING) {
        grpc->verdict = LB_PROBE_PASS;

    } else if (health < sizeof(names) / sizeof(names[0])) {
        lb_grpc_fail(grpc, names[health]);

    } else {
        lb_grpc_refuse(grpc, "health status", (unsigned long) health);
    }
}


/* HealthCheckResponse: field 1 is the status; others are skipped */

static bool
lb_grpc_health(lb_grpc_t *grpc, uint64_t *health)
{
    uint64_t              key, value;
    const unsigned char  *p, *end;

    p = grpc->message;
    end = p + grpc->message_length;

    if (end - p < LB_GRPC_PREFIX || p[0] != 0 || p[1] != 0 || p[2] != 0
        || (p[3] << 8 | p[4]) != end - p - LB_GRPC_PREFIX)
    {
        return false;
    }

    *health = 0;

    for (p += LB_GRPC_PREFIX; p < end; /* void */) {

        if (!lb_grpc_varint(&p, end, &key)) {
            return false;
        }

        value = 0;

        switch (key & 7) {

        case 0:

            if (!lb_grpc_varint(&p, end, &value)) {
                return false;
            }

            if (key >> 3 == 1) {
                *health = value;
            }

            value = 0;
            break;

        case 1:
            value = 8;
            break;

        case 2:

            if (!lb_grpc_varint(&p, end, &value)) {
                return false;
            }

            break;

        case 5:
            value = 4;
            break;

        default:
            return false;
        }

        if (value > (uint64_t) (end - p)) {
            return false;
        }

        p += value;
    }

    return true;
}


static bool
lb_grpc_varint(const unsigned char **p, const unsigned char *end,
    uint64_t *value)
{
    unsigned  shift;

    *value = 0;

    for (shift = 0; *p < end && shift < 64; shift += 7) {
        *value |= (uint64_t) (**p & 127) << shift;

        if (!(*(*p)++ & 128)) {
            return true;
        }
    }

    return false;
}


static void
lb_grpc_fail(lb_grpc_t *grpc, const char *reason)
{
    grpc->verdict = LB_PROBE_FAIL;

    (void) snprintf(grpc->reason, LB_PROBE_REASON_MAX, "%s", reason);
}


static void
lb_grpc_refuse(lb_grpc_t *grpc, const char *what, unsigned long number)
{
    grpc->verdict = LB_PROBE_FAIL;

    (void) snprintf(grpc->reason, LB_PROBE_REASON_MAX, "%s %lu", what, number);
}
