
/*
 * Judging a server's answer: status line and header lines.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/balance/lb_probe_body.h"
#include "src/core/balance/lb_probe_state.h"


#define LB_PROBE_NAMELESS  0xff

/* the largest number of a version that nginx takes */
#define LB_PROBE_VERSION_MAX  99


static void lb_probe_response(lb_probe_t *probe);
static void lb_probe_status(lb_probe_t *probe, unsigned char ch);
static bool lb_probe_version(lb_probe_t *probe, unsigned char ch);
static bool lb_probe_code(lb_probe_t *probe, unsigned char ch);
static bool lb_probe_number(lb_probe_t *probe, unsigned char ch);
static void lb_probe_bare(lb_probe_t *probe);
static void lb_probe_field(lb_probe_t *probe, unsigned char ch);
static void lb_probe_name(lb_probe_t *probe, unsigned char ch);
static void lb_probe_name_end(lb_probe_t *probe);
static void lb_probe_value(lb_probe_t *probe, unsigned char ch);
static void lb_probe_digit(lb_probe_t *probe, unsigned char ch);
static void lb_probe_coding(lb_probe_t *probe, unsigned char ch);
static void lb_probe_value_end(lb_probe_t *probe);
static void lb_probe_header_end(lb_probe_t *probe);
static bool lb_probe_accepts(lb_probe_t *probe);
static bool lb_probe_is(const lb_probe_t *probe, const char *name,
    size_t length);
static unsigned char lb_probe_lower(unsigned char ch);


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

    while (i < length && probe->state != LB_PROBE_OVER) {

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


bool
lb_probe_over(const lb_probe_t *probe)
{
    return probe->state == LB_PROBE_OVER;
}


/* interim responses count into the same limit of the header */

static void
lb_probe_response(lb_probe_t *probe)
{
    probe->state = LB_PROBE_PROTOCOL;
    probe->at = 0;
    probe->status = 0;
    probe->chunked = false;
    probe->sized = false;
    probe->length = 0;
    probe->matched = 0;
}


/* as long as this may be a body, the text is looked for in it */

static void
lb_probe_status(lb_probe_t *probe, unsigned char ch)
{
    bool  valid;

    if (probe->expect->length != 0) {
        (void) lb_expect_find(probe->expect, &probe->matched, &ch, 1);
    }

    valid = (probe->state < LB_PROBE_CODE) ? lb_probe_version(probe, ch)
                                           : lb_probe_code(probe, ch);

    if (!valid) {
        lb_probe_bare(probe);
    }
}


static bool
lb_probe_version(lb_probe_t *probe, unsigned char ch)
{
    static const char  protocol[] = "HTTP/";

    switch (probe->state) {

    case LB_PROBE_PROTOCOL:

        if (ch != (unsigned char) protocol[probe->at]) {
            return false;
        }

        if (protocol[++probe->at] == '\0') {
            probe->state = LB_PROBE_MAJOR;
            probe->version = 0;
        }

        return true;

    case LB_PROBE_MAJOR:
        probe->state = LB_PROBE_MAJOR_MORE;
        return ch != '0' && lb_probe_number(probe, ch);

    case LB_PROBE_MAJOR_MORE:

        if (ch == '.') {
            probe->state = LB_PROBE_MINOR;
            probe->version = 0;
            return true;
        }

        return lb_probe_number(probe, ch);

    case LB_PROBE_MINOR:
        probe->state = LB_PROBE_MINOR_MORE;
        return lb_probe_number(probe, ch);

    default: /* LB_PROBE_MINOR_MORE */

        if (ch == ' ') {
            probe->state = LB_PROBE_CODE;
            probe->at = 0;
            return true;
        }

        return lb_probe_number(probe, ch);
    }
}


static bool
lb_probe_code(lb_probe_t *probe, unsigned char ch)
{
    switch (probe->state) {

    case LB_PROBE_CODE:

        if (ch == ' ') {
            return true;
        }

        if (ch < '0' || ch > '9') {
            return false;
        }

        probe->status = (uint16_t) (probe->status * 10 + (ch - '0'));

        if (++probe->at == 3) {
            probe->state = LB_PROBE_CODE_END;
        }

        return true;

    case LB_PROBE_STATUS_LF:
        probe->state = LB_PROBE_LINE;
        return ch == '\n';

    case LB_PROBE_CODE_END:

        /* IIS sends codes as 403.1 */

        if (ch != ' ' && ch != '.' && ch != '\r' && ch != '\n') {
            return false;
        }

        /* fall through */

    default: /* LB_PROBE_PHRASE */

        probe->state = (ch == '\n') ? LB_PROBE_LINE
                       : (ch == '\r') ? LB_PROBE_STATUS_LF : LB_PROBE_PHRASE;
        return true;
    }
}


static bool
lb_probe_number(lb_probe_t *probe, unsigned char ch)
{
    if (ch < '0' || ch > '9') {
        return false;
    }

    probe->version = probe->version * 10 + (ch - '0');

    return probe->version <= LB_PROBE_VERSION_MAX;
}


/* all that has come and will come is the body */

static void
lb_probe_bare(lb_probe_t *probe)
{
    probe->status = 200;
    probe->body = probe->header;
    probe->state = LB_PROBE_UNTIL_CLOSE;

    if (lb_probe_accepts(probe)
        && probe->matched == probe->expect->length)
    {
        probe->verdict = LB_PROBE_PASS;
    }
}


static void
lb_probe_field(lb_probe_t *probe, unsigned char ch)
{
    switch (probe->state) {

    case LB_PROBE_LINE:

        if (ch == '\r') {
            probe->state = LB_PROBE_LAST_LF;
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

    case LB_PROBE_LAST_LF:

        if (ch == '\n') {
            lb_probe_header_end(probe);
            return;
        }

        break;

    case LB_PROBE_NAME:
        lb_probe_name(probe, ch);
        return;

    case LB_PROBE_VALUE:
        lb_probe_value(probe, ch);
        return;

    case LB_PROBE_VALUE_LF:

        if (ch == '\r') {
            return;
        }

        if (ch == '\n') {
            lb_probe_value_end(probe);
            return;
        }

        break;

    default: /* LB_PROBE_IGNORED */

        if (ch == '\n') {
            probe->state = LB_PROBE_LINE;
        }

        return;
    }

    lb_probe_fail(probe, "invalid header line");
}


/* a name that does not fit is none of those that matter */

static void
lb_probe_name(lb_probe_t *probe, unsigned char ch)
{
    if (probe->name_length != 0 && (ch == ':' || ch == '\r' || ch == '\n')) {
        lb_probe_name_end(probe);

        if (ch != ':') {
            lb_probe_value(probe, ch);
        }

        return;
    }

    /* IIS sends the status line twice */

    if (ch == '/' && probe->name_length == 4
        && memcmp(probe->name, "HTTP", 4) == 0)
    {
        probe->state = LB_PROBE_IGNORED;
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

    probe->name[probe->name_length++] = (char) ch;
}


static void
lb_probe_name_end(lb_probe_t *probe)
{
    probe->state = LB_PROBE_VALUE;
    probe->field = lb_probe_is(probe, "content-length", 14) ? LB_PROBE_LENGTH
                   : lb_probe_is(probe, "transfer-encoding", 17)
                     ? LB_PROBE_CODING : LB_PROBE_OTHER;
    probe->at = 0;

    if (probe->field == LB_PROBE_LENGTH) {
        probe->ended = false;
        probe->invalid = false;
        probe->length = 0;
    }
}


static void
lb_probe_value(lb_probe_t *probe, unsigned char ch)
{
    if (ch == '\n') {
        lb_probe_value_end(probe);

    } else if (ch == '\r') {
        probe->state = LB_PROBE_VALUE_LF;

    } else if (ch == '\0') {
        lb_probe_fail(probe, "invalid header line");

    } else if (probe->field == LB_PROBE_LENGTH) {
        lb_probe_digit(probe, ch);

    } else if (probe->field == LB_PROBE_CODING) {
        lb_probe_coding(probe, ch);
    }
}


static void
lb_probe_digit(lb_probe_t *probe, unsigned char ch)
{
    if (ch == ' ') {
        probe->ended = (probe->at != 0);
        return;
    }

    if (ch < '0' || ch > '9' || probe->ended
        || probe->length > (INT64_MAX - 9) / 10)
    {
        probe->invalid = true;
        return;
    }

    probe->at = 1;
    probe->length = probe->length * 10 + (ch - '0');
}


/* the word may stand among others */

static void
lb_probe_coding(lb_probe_t *probe, unsigned char ch)
{
    static const char  chunked[] = "chunked";

    ch = lb_probe_lower(ch);

    if (ch != (unsigned char) chunked[probe->at]) {
        probe->at = 0;
    }

    if (ch == (unsigned char) chunked[probe->at]
        && chunked[++probe->at] == '\0')
    {
        probe->chunked = true;
        probe->at = 0;
    }
}


static void
lb_probe_value_end(lb_probe_t *probe)
{
    probe->state = LB_PROBE_LINE;

    if (probe->field == LB_PROBE_LENGTH) {
        probe->sized = (probe->at != 0 && !probe->invalid);
    }
}


static void
lb_probe_header_end(lb_probe_t *probe)
{
    if (probe->status >= 100 && probe->status < 200 && probe->status != 101) {
        lb_probe_response(probe);
        return;
    }

    probe->matched = 0;
    probe->left = probe->length;

    if (lb_probe_accepts(probe) && probe->expect->length == 0) {
        probe->verdict = LB_PROBE_PASS;
    }

    if (probe->expect->head || probe->status == 204 || probe->status == 304
        || (!probe->chunked && probe->sized && probe->length == 0))
    {
        lb_probe_fail(probe, "text is not in the body");

    } else if (probe->chunked) {
        probe->state = LB_PROBE_SIZE;

    } else {
        probe->state = probe->sized ? LB_PROBE_SIZED : LB_PROBE_UNTIL_CLOSE;
    }
}


static bool
lb_probe_accepts(lb_probe_t *probe)
{
    char  failure[LB_PROBE_REASON_MAX];

    if (lb_expect_accepts(probe->expect, probe->status)) {
        return true;
    }

    (void) snprintf(failure, sizeof(failure), "status %03u",
                    (unsigned) probe->status);
    lb_probe_judge(probe, failure);

    return false;
}


/* name is in lower case */

static bool
lb_probe_is(const lb_probe_t *probe, const char *name, size_t length)
{
    size_t  i;

    for (i = 0; i < length && probe->name_length == length; i++) {

        if (lb_probe_lower((unsigned char) probe->name[i])
            != (unsigned char) name[i])
        {
            return false;
        }
    }

    return probe->name_length == length;
}


static unsigned char
lb_probe_lower(unsigned char ch)
{
    return (ch >= 'A' && ch <= 'Z') ? ch - 'A' + 'a' : ch;
}
