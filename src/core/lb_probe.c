
/*
 * Judging a server's answer: status line and header lines.
 */


#include <stdio.h>
#include <string.h>

#include "lb_probe_body.h"


#define LB_PROBE_NAMELESS  0xff


static void lb_probe_response(lb_probe_t *probe);
static void lb_probe_status(lb_probe_t *probe, unsigned char ch);
static void lb_probe_field(lb_probe_t *probe, unsigned char ch);
static void lb_probe_name(lb_probe_t *probe, unsigned char ch);
static void lb_probe_value(lb_probe_t *probe, unsigned char ch);
static void lb_probe_digit(lb_probe_t *probe, unsigned char ch);
static void lb_probe_value_end(lb_probe_t *probe);
static void lb_probe_header_end(lb_probe_t *probe);
static lb_probe_field_t lb_probe_which(const lb_probe_t *probe);


void
lb_probe_start(lb_probe_t *probe, const lb_expect_t *expect)
{
    memset(probe, 0, sizeof(lb_probe_t));

    probe->expect = expect;

    lb_probe_response(probe);
}


lb_verdict_t
lb_probe_feed(lb_probe_t *probe, const unsigned char *data, size_t length)
{
    size_t  i;

    i = 0;

    while (i < length && probe->verdict == LB_PROBE_MORE) {

        if (probe->state >= LB_PROBE_SIZED) {
            i += lb_probe_body(probe, data + i, length - i);
            continue;
        }

        if (probe->header++ == LB_PROBE_HEADER_MAX) {
            lb_probe_fail(probe, "header is too long");

        } else if (probe->state < LB_PROBE_LINE) {
            lb_probe_status(probe, data[i++]);

        } else {
            lb_probe_field(probe, data[i++]);
        }
    }

    return probe->verdict;
}


lb_verdict_t
lb_probe_end(lb_probe_t *probe)
{
    if (probe->verdict != LB_PROBE_MORE) {
        return probe->verdict;
    }

    if (probe->state == LB_PROBE_UNTIL_CLOSE) {
        lb_probe_fail(probe, "text is not in the body");

    } else if (probe->state >= LB_PROBE_SIZED) {
        lb_probe_fail(probe, "connection closed within the body");

    } else if (probe->header == 0) {
        lb_probe_fail(probe, "connection closed without a response");

    } else {
        lb_probe_fail(probe, "connection closed within the header");
    }

    return probe->verdict;
}


/* interim responses count into the same limit of the header */

static void
lb_probe_response(lb_probe_t *probe)
{
    probe->state = LB_PROBE_VERSION;
    probe->at = 0;
    probe->status = 0;
    probe->chunked = false;
    probe->sized = false;
    probe->length = 0;
}


static void
lb_probe_status(lb_probe_t *probe, unsigned char ch)
{
    static const char  version[] = "HTTP/1.";

    switch (probe->state) {

    case LB_PROBE_VERSION:

        if (ch != (unsigned char) version[probe->at]) {
            break;
        }

        if (version[++probe->at] == '\0') {
            probe->state = LB_PROBE_MINOR;
        }

        return;

    case LB_PROBE_MINOR:

        if (ch < '0' || ch > '9') {
            break;
        }

        probe->state = LB_PROBE_SPACE;
        return;

    case LB_PROBE_SPACE:

        if (ch != ' ') {
            break;
        }

        probe->at = 0;
        probe->state = LB_PROBE_CODE;
        return;

    case LB_PROBE_CODE:

        if (ch < '0' || ch > '9') {
            break;
        }

        probe->status = (uint16_t) (probe->status * 10 + (ch - '0'));

        if (++probe->at == 3) {
            probe->state = LB_PROBE_CODE_END;
        }

        return;

    case LB_PROBE_CODE_END:

        if (ch != ' ' && ch != '\r' && ch != '\n') {
            break;
        }

        /* fall through */

    default: /* LB_PROBE_PHRASE */

        probe->state = (ch == '\n') ? LB_PROBE_LINE : LB_PROBE_PHRASE;
        return;
    }

    lb_probe_fail(probe, "no HTTP status line");
}


static void
lb_probe_field(lb_probe_t *probe, unsigned char ch)
{
    switch (probe->state) {

    case LB_PROBE_LINE:

        if (ch == '\r') {
            probe->state = LB_PROBE_LAST_LINE;
            return;
        }

        if (ch == '\n') {
            lb_probe_header_end(probe);
            return;
        }

        probe->state = LB_PROBE_NAME;
        probe->name_length = 0;
        lb_probe_name(probe, ch);
        return;

    case LB_PROBE_LAST_LINE:

        if (ch != '\n') {
            lb_probe_fail(probe, "invalid header line");
            return;
        }

        lb_probe_header_end(probe);
        return;

    case LB_PROBE_NAME:
        lb_probe_name(probe, ch);
        return;

    default: /* LB_PROBE_VALUE */

        if (ch != '\n') {
            lb_probe_value(probe, ch);
            return;
        }

        lb_probe_value_end(probe);
        probe->state = LB_PROBE_LINE;
    }
}


/* a name that does not fit is none of those that matter */

static void
lb_probe_name(lb_probe_t *probe, unsigned char ch)
{
    if (ch == ':' && probe->name_length != 0) {
        probe->state = LB_PROBE_VALUE;
        probe->field = (uint8_t) lb_probe_which(probe);
        probe->other = 0;
        probe->at = 0;
        probe->ended = false;

        memset(probe->tail, 0, sizeof(probe->tail));
        return;
    }

    if (ch <= ' ' || ch == 0x7f || ch == ':') {
        lb_probe_fail(probe, "invalid header line");
        return;
    }

    if (probe->name_length >= LB_PROBE_NAME_MAX) {
        probe->name_length = LB_PROBE_NAMELESS;
        return;
    }

    if (ch >= 'A' && ch <= 'Z') {
        ch = ch - 'A' + 'a';
    }

    probe->name[probe->name_length++] = (char) ch;
}


static void
lb_probe_value(lb_probe_t *probe, unsigned char ch)
{
    if (ch == '\0') {
        lb_probe_fail(probe, "invalid header line");
        return;
    }

    if (probe->field == LB_PROBE_LENGTH) {
        lb_probe_digit(probe, ch);
        return;
    }

    if (probe->field == LB_PROBE_OTHER
        || ch == ' ' || ch == '\t' || ch == '\r') {
        return;
    }

    /* the last coding is what frames the body */

    memmove(probe->tail, probe->tail + 1, sizeof(probe->tail) - 1);

    if (ch >= 'A' && ch <= 'Z') {
        ch = ch - 'A' + 'a';
    }

    probe->tail[sizeof(probe->tail) - 1] = (char) ch;
}


static void
lb_probe_digit(lb_probe_t *probe, unsigned char ch)
{
    if (ch == ' ' || ch == '\t' || ch == '\r') {
        probe->ended = (probe->at != 0);
        return;
    }

    if (ch < '0' || ch > '9' || probe->ended
        || probe->other > (INT64_MAX - 9) / 10)
    {
        lb_probe_fail(probe, "invalid Content-Length");
        return;
    }

    probe->at = 1;
    probe->other = probe->other * 10 + (ch - '0');
}


static void
lb_probe_value_end(lb_probe_t *probe)
{
    if (probe->field == LB_PROBE_LENGTH) {

        if (probe->at == 0 || (probe->sized && probe->other != probe->length))
        {
            lb_probe_fail(probe, "invalid Content-Length");
            return;
        }

        probe->sized = true;
        probe->length = probe->other;

    } else if (probe->field == LB_PROBE_CODING) {
        probe->chunked = (memcmp(probe->tail, "\0chunked", 8) == 0
                          || memcmp(probe->tail, ",chunked", 8) == 0);
    }
}


static void
lb_probe_header_end(lb_probe_t *probe)
{
    const lb_expect_t  *expect;

    expect = probe->expect;

    if (probe->status >= 100 && probe->status < 200 && probe->status != 101) {
        lb_probe_response(probe);
        return;
    }

    if (!lb_expect_accepts(expect, probe->status)) {
        probe->verdict = LB_PROBE_FAIL;
        (void) snprintf(probe->reason, LB_PROBE_REASON_MAX, "status %03u",
                        (unsigned) probe->status);
        return;
    }

    if (expect->length == 0) {
        probe->verdict = LB_PROBE_PASS;
        return;
    }

    probe->matched = 0;
    probe->left = probe->length;

    if (expect->head || probe->status == 204 || probe->status == 304
        || (!probe->chunked && probe->sized && probe->length == 0))
    {
        lb_probe_fail(probe, "text is not in the body");

    } else if (probe->chunked) {
        probe->state = LB_PROBE_SIZE;

    } else {
        probe->state = probe->sized ? LB_PROBE_SIZED : LB_PROBE_UNTIL_CLOSE;
    }
}


static lb_probe_field_t
lb_probe_which(const lb_probe_t *probe)
{
    if (probe->name_length == 14
        && memcmp(probe->name, "content-length", 14) == 0)
    {
        return LB_PROBE_LENGTH;
    }

    if (probe->name_length == 17
        && memcmp(probe->name, "transfer-encoding", 17) == 0)
    {
        return LB_PROBE_CODING;
    }

    return LB_PROBE_OTHER;
}


void
lb_probe_fail(lb_probe_t *probe, const char *reason)
{
    probe->verdict = LB_PROBE_FAIL;

    (void) snprintf(probe->reason, LB_PROBE_REASON_MAX, "%s", reason);
}
