
/*
 * Judging a server's answer: the body, by whichever means it is framed.
 */


#include "src/core/balance/lb_probe_body.h"

#include "src/core/balance/lb_probe_state.h"


static void lb_probe_chunk(lb_probe_t *probe, unsigned char ch);
static void lb_probe_size(lb_probe_t *probe, unsigned char ch);
static void lb_probe_size_end(lb_probe_t *probe);
static void lb_probe_trailer(lb_probe_t *probe, unsigned char ch);
static void lb_probe_look(lb_probe_t *probe, const unsigned char *data,
    size_t length);
static int lb_probe_hex(unsigned char ch);


size_t
lb_probe_body(lb_probe_t *probe, const unsigned char *data, size_t length)
{
    if (probe->state == LB_PROBE_UNTIL_CLOSE) {
        lb_probe_look(probe, data, length);
        return length;
    }

    if (probe->state != LB_PROBE_SIZED && probe->state != LB_PROBE_CHUNK) {
        lb_probe_chunk(probe, data[0]);
        return 1;
    }

    if (length > probe->left) {
        length = (size_t) probe->left;
    }

    lb_probe_look(probe, data, length);
    probe->left -= length;

    if (probe->left == 0) {

        if (probe->state == LB_PROBE_CHUNK) {
            probe->state = LB_PROBE_CHUNK_END;

        } else {
            lb_probe_fail(probe, "text is not in the body");
        }
    }

    return length;
}


/* what stands between the data of chunks, within the limit of the body */

static void
lb_probe_chunk(lb_probe_t *probe, unsigned char ch)
{
    if (++probe->body > LB_PROBE_BODY_MAX) {
        lb_probe_fail(probe, "invalid chunk");
        return;
    }

    switch (probe->state) {

    case LB_PROBE_TRAILER:
    case LB_PROBE_TRAILER_LINE:
        lb_probe_trailer(probe, ch);
        return;

    case LB_PROBE_CHUNK_END:

        if (ch == '\r') {
            probe->state = LB_PROBE_CHUNK_LF;
            return;
        }

        /* fall through */

    case LB_PROBE_CHUNK_LF:

        if (ch == '\n') {
            probe->state = LB_PROBE_SIZE;
            return;
        }

        break;

    case LB_PROBE_EXTENSION:

        if (ch == '\n') {
            lb_probe_size_end(probe);
        }

        return;

    default: /* LB_PROBE_SIZE, LB_PROBE_SIZE_MORE */
        lb_probe_size(probe, ch);
        return;
    }

    lb_probe_fail(probe, "invalid chunk");
}


static void
lb_probe_size(lb_probe_t *probe, unsigned char ch)
{
    int  digit;

    digit = lb_probe_hex(ch);

    if (probe->state == LB_PROBE_SIZE) {
        probe->left = 0;
        probe->at = 0;
    }

    if (digit >= 0 && probe->at < 15) {
        probe->at += (probe->left != 0 || digit != 0);
        probe->left = probe->left * 16 + (uint64_t) digit;
        probe->state = LB_PROBE_SIZE_MORE;
        return;
    }

    if (probe->state == LB_PROBE_SIZE_MORE && digit < 0) {

        if (ch == '\n') {
            lb_probe_size_end(probe);
            return;
        }

        if (ch == ';' || ch == ' ' || ch == '\t' || ch == '\r') {
            probe->state = LB_PROBE_EXTENSION;
            return;
        }
    }

    lb_probe_fail(probe, "invalid chunk");
}


static void
lb_probe_size_end(lb_probe_t *probe)
{
    if (probe->left == 0) {
        lb_probe_judge(probe, "text is not in the body");
        probe->state = LB_PROBE_TRAILER;
        return;
    }

    probe->state = LB_PROBE_CHUNK;
}


/* lines that nobody reads, and an empty one */

static void
lb_probe_trailer(lb_probe_t *probe, unsigned char ch)
{
    if (ch == '\n' && probe->state == LB_PROBE_TRAILER) {
        probe->state = LB_PROBE_OVER;

    } else if (ch == '\n') {
        probe->state = LB_PROBE_TRAILER;

    } else if (ch != '\r') {
        probe->state = LB_PROBE_TRAILER_LINE;
    }
}


static void
lb_probe_look(lb_probe_t *probe, const unsigned char *data, size_t length)
{
    if (length > LB_PROBE_BODY_MAX - probe->body) {
        length = LB_PROBE_BODY_MAX - probe->body;
    }

    probe->body += (uint32_t) length;

    if (probe->verdict == LB_PROBE_MORE
        && lb_expect_find(probe->expect, &probe->matched, data, length))
    {
        probe->verdict = LB_PROBE_PASS;
    }

    if (probe->body == LB_PROBE_BODY_MAX) {
        lb_probe_fail(probe, "text is not in the first 1M of the body");
    }
}


static int
lb_probe_hex(unsigned char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : -1;
}
