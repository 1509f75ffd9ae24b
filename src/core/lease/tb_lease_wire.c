
/*
 * Calls and replies about leases, as bytes: what Redis' struct library packs
 * with "<".
 */


#include <string.h>

#include "src/core/lease/tb_lease_wire.h"


/* where it is in a head */
#define TB_LEASE_WINDOW  35


static unsigned char *tb_lease_put_u32(unsigned char *p, uint32_t n);
static unsigned char *tb_lease_put_f64(unsigned char *p, int64_t n);
static const unsigned char *tb_lease_get_u32(const unsigned char *p,
    uint32_t *n);
static const unsigned char *tb_lease_get_f64(const unsigned char *p,
    int64_t *n);
static bool tb_lease_read_answer(const unsigned char *p,
    tb_lease_answer_t *answer);


void
tb_lease_put(unsigned char *buf, const tb_lease_ask_t *ask)
{
    unsigned char  *p;

    p = buf;
    *p++ = (unsigned char) ask->op;
    p = tb_lease_put_u32(p, ask->gen);
    p = tb_lease_put_f64(p, ask->hold);
    p = tb_lease_put_f64(p, ask->back);
    p = tb_lease_put_f64(p, (int64_t) ask->want);
    p = tb_lease_put_f64(p, (int64_t) ask->unit);
    p = tb_lease_put_f64(p, ask->refund);
    p = tb_lease_put_f64(p, (int64_t) ask->heard);
    p = tb_lease_put_u32(p, tb_limits_capacity(ask->limits));

    (void) tb_lease_put_f64(p, (int64_t) tb_limits_rate(ask->limits));
}


void
tb_lease_put_head(unsigned char *buf, const unsigned char *id,
    const unsigned char *tag, unsigned flags, uint64_t seq, uint64_t ack,
    uint64_t share)
{
    unsigned char  *p;

    memcpy(buf, id, TB_NODE_ID);
    memcpy(buf + TB_NODE_ID, tag, TB_NODE_TAG);

    p = buf + TB_NODE_ID + TB_NODE_TAG;
    *p++ = (unsigned char) flags;
    p = tb_lease_put_f64(p, (int64_t) seq);
    p = tb_lease_put_f64(p, (int64_t) ack);

    (void) tb_lease_put_f64(p, (int64_t) share);

    tb_lease_put_window(buf, 0, 0);
}


void
tb_lease_put_window(unsigned char *head, uint64_t past, uint64_t ahead)
{
    unsigned char  *p;

    p = tb_lease_put_f64(head + TB_LEASE_WINDOW, (int64_t) past);

    (void) tb_lease_put_f64(p, (int64_t) ahead);
}


bool
tb_lease_read(const unsigned char *buf, size_t len, uint32_t n,
    tb_lease_reply_t *reply, tb_lease_answer_t *answers)
{
    int64_t               time;
    uint32_t              i, share;
    const unsigned char  *p;

    if (len < TB_LEASE_REPLY_HEAD || buf[0] > TB_LEASE_UNKNOWN) {
        return false;
    }

    reply->status = (tb_lease_status_e) buf[0];

    p = tb_lease_get_u32(buf + 1, &share);
    p = tb_lease_get_u32(p, &reply->nodes);
    p = tb_lease_get_u32(p, &reply->missing);
    p = tb_lease_get_f64(p, &time);

    if (share > TB_LEASE_ALL || time < 0) {
        return false;
    }

    reply->share = share;
    reply->time = (uint64_t) time;

    if (reply->status == TB_LEASE_UNKNOWN) {
        return true;
    }

    if (len != TB_LEASE_REPLY_HEAD + (size_t) n * TB_LEASE_REPLY_PART) {
        return false;
    }

    for (i = 0; i < n; i++) {
        if (!tb_lease_read_answer(p, &answers[i])) {
            return false;
        }

        p += TB_LEASE_REPLY_PART;
    }

    return true;
}


static bool
tb_lease_read_answer(const unsigned char *p, tb_lease_answer_t *answer)
{
    if (p[0] > TB_LEASE_STALE) {
        return false;
    }

    answer->status = (tb_lease_status_e) p[0];

    p = tb_lease_get_u32(p + 1, &answer->gen);
    p = tb_lease_get_f64(p, &answer->delta);

    (void) tb_lease_get_f64(p, &answer->left);

    return answer->delta <= (int64_t) TB_COST_MAX + TB_DEBT_MAX
           && answer->delta >= -(int64_t) TB_COST_MAX
           && answer->left <= (int64_t) TB_COST_MAX
           && answer->left >= -TB_DEBT_MAX;
}


static unsigned char *
tb_lease_put_u32(unsigned char *p, uint32_t n)
{
    int  i;

    for (i = 0; i < 4; i++) {
        *p++ = (unsigned char) (n >> 8 * i);
    }

    return p;
}


static unsigned char *
tb_lease_put_f64(unsigned char *p, int64_t n)
{
    int       i;
    double    d;
    uint64_t  bits;

    d = (double) n;
    memcpy(&bits, &d, sizeof(bits));

    for (i = 0; i < 8; i++) {
        *p++ = (unsigned char) (bits >> 8 * i);
    }

    return p;
}


static const unsigned char *
tb_lease_get_u32(const unsigned char *p, uint32_t *n)
{
    int  i;

    *n = 0;

    for (i = 0; i < 4; i++) {
        *n |= (uint32_t) *p++ << 8 * i;
    }

    return p;
}


/* What is no number that anybody has packed reads as INT64_MIN. */

static const unsigned char *
tb_lease_get_f64(const unsigned char *p, int64_t *n)
{
    int       i;
    double    d;
    uint64_t  bits;

    bits = 0;

    for (i = 0; i < 8; i++) {
        bits |= (uint64_t) *p++ << 8 * i;
    }

    memcpy(&d, &bits, sizeof(d));

    *n = (d >= -9007199254740992.0 && d <= 9007199254740992.0) ? (int64_t) d
                                                               : INT64_MIN;

    return p;
}
