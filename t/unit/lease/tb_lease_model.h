
/*
 * The script that leases tokens, in C: bytes of a call in, bytes of a reply
 * out, with the time as an argument and the state in a struct.  Arithmetic
 * is in doubles, as in Lua, so that replies are the same bytes.
 */


#ifndef TB_LEASE_MODEL_H
#define TB_LEASE_MODEL_H


#include <math.h>
#include <string.h>

#include "src/core/lease/tb_lease.h"


#define MODEL_HOLDERS  16
#define MODEL_BUCKETS  8

#define MODEL_MISSING  300000.0


typedef struct {
    unsigned char   id[TB_HOLDER_ID];
    unsigned char   tag[TB_HOLDER_TAG];
    double          seen, share, seq, absent;
    bool            away, nobody, gone, whole;
} model_holder_t;


typedef struct {
    unsigned char   id[TB_HOLDER_ID];
    double          held, seq, want, time;
} model_entry_t;


typedef struct {
    bool            there;
    uint32_t        gen;
    double          left, since;
    unsigned        n;
    model_entry_t   entries[MODEL_HOLDERS];
    double          expires;      /* us */
} model_bucket_t;


/* What breaks the protocol on purpose, to see that it is found. */

typedef struct {
    bool            uncapped;     /* refill may exceed the capacity */
    bool            unreserved;   /* missing holders are refilled for */
    bool            generous;     /* an empty Redis has full buckets */
    bool            careless;     /* grants what another may use alone */
    bool            forgetful;    /* nobody caps a bucket he has used alone */
} model_faults_t;


typedef struct {
    bool            there;
    double          last, age, clock, base, lag;
    unsigned        n;
    model_holder_t  holders[MODEL_HOLDERS];
} model_state_t;


typedef struct {
    model_faults_t  faults;
    bool            alone;        /* another than the caller may be */
    model_state_t   state;
    model_bucket_t  buckets[MODEL_BUCKETS];
} model_t;


static inline uint32_t
model_u32(const unsigned char *p)
{
    return p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16
           | (uint32_t) p[3] << 24;
}


static inline double
model_f64(const unsigned char *p)
{
    double  d;

    memcpy(&d, p, sizeof(d));

    return d;
}


static inline unsigned char *
model_put(unsigned char *p, const void *value, size_t len)
{
    memcpy(p, value, len);

    return p + len;
}


static inline unsigned char *
model_put_u32(unsigned char *p, uint32_t n)
{
    return model_put(p, &n, sizeof(n));
}


static inline unsigned char *
model_put_f64(unsigned char *p, double d)
{
    return model_put(p, &d, sizeof(d));
}


/* Redis loses everything. */

static inline void
model_flush(model_t *m)
{
    model_faults_t  faults;

    faults = m->faults;
    memset(m, 0, sizeof(model_t));
    m->faults = faults;
}


static inline void
model_begin(model_t *m, unsigned flags, double belief, double wall)
{
    model_holder_t  *h;

    if (m->state.there) {
        return;
    }

    m->state.last = wall;
    m->state.age = 0;
    m->state.clock = 0;
    m->state.base = -1;
    m->state.lag = 0;
    m->state.n = 0;

    if ((flags & TB_LEASE_RETURNS) && belief < 1e6 && !m->faults.generous) {
        m->state.base = 0;
        h = &m->state.holders[m->state.n++];
        memset(h, 0, sizeof(*h));
        memset(h->tag, '0', TB_HOLDER_TAG);
        h->seen = -MODEL_MISSING - 1;
        h->share = TB_LEASE_ALL;
        h->nobody = true;
    }
}


static inline void
model_clock(model_t *m, double wall)
{
    double           missing, now, reserved, step;
    unsigned         i;
    model_holder_t  *h;

    step = fmax(0, wall - m->state.last);
    now = m->state.age + step;
    reserved = 0;

    if (step > 3600e6) {
        m->state.n = 0;
        m->state.base = -1;
        m->state.lag = 0;
    }

    for (i = 0; i < m->state.n; i++) {
        h = &m->state.holders[i];
        missing = now - fmax(h->seen + MODEL_MISSING, m->state.age);

        if (missing > 0) {
            reserved += missing * h->share;

            if (step <= 1e6) {
                h->absent += missing;
            }
        }
    }

    reserved = fmin(step, ceil(reserved / 1e6));

    if (m->faults.unreserved) {
        reserved = 0;
    }

    m->state.clock += step - reserved;
    m->state.lag = fmax(0, m->state.lag + reserved - floor(step / 2));

    if (m->state.lag > 30e6) {
        m->state.base = m->state.clock;
        m->state.lag = 0;
    }

    m->state.last = wall;
    m->state.age = now;
}


static inline bool
model_succeeded(const model_t *m, unsigned i, double now)
{
    unsigned               j;
    const model_holder_t  *h;

    for (j = i + 1; j < m->state.n; j++) {
        h = &m->state.holders[j];

        if (!h->gone && h->seen + MODEL_MISSING >= now
            && memcmp(h->tag, m->state.holders[i].tag, TB_HOLDER_TAG) == 0)
        {
            return true;
        }
    }

    return false;
}


static inline void
model_remove(model_t *m, unsigned i)
{
    memmove(&m->state.holders[i], &m->state.holders[i + 1],
            (m->state.n - i - 1) * sizeof(model_holder_t));
    m->state.n--;
}


static inline void
model_forget(model_t *m, double now)
{
    unsigned         i;
    model_holder_t  *h;

    for (i = m->state.n; i-- > 0; /* void */) {
        h = &m->state.holders[i];
        h->gone = h->absent > 60e6
                  || (h->absent > 2e6 && model_succeeded(m, i, now));
    }

    for (i = m->state.n; i-- > 0; /* void */) {
        if (m->state.holders[i].gone) {
            model_remove(m, i);
        }
    }
}


static inline model_holder_t *
model_find(model_t *m, const unsigned char *id)
{
    unsigned  i;

    for (i = 0; i < m->state.n; i++) {
        if (memcmp(m->state.holders[i].id, id, TB_HOLDER_ID) == 0) {
            return &m->state.holders[i];
        }
    }

    return NULL;
}


static inline model_holder_t *
model_join(model_t *m, const unsigned char *head, double now, double belief)
{
    model_holder_t  *h;

    h = m->state.holders;

    if ((head[10] & TB_LEASE_RETURNS) && m->state.n > 0 && h->nobody) {
        h->share -= fmin(belief, h->share);

        if (h->share < 1000) {
            model_remove(m, 0);
        }
    }

    h = &m->state.holders[m->state.n++];
    memset(h, 0, sizeof(*h));
    memcpy(h->id, head, TB_HOLDER_ID);
    memcpy(h->tag, head + TB_HOLDER_ID, TB_HOLDER_TAG);
    h->seen = now;

    return h;
}


/* What a holder may have in a bucket of that size. */

static inline double
model_possible(const model_holder_t *h, double held, double full,
    double rate, double now, bool whole)
{
    if (h->nobody) {
        return floor(full * fmin(1e6, h->share * 1.125) / 1e6);
    }

    if (whole) {
        return full;
    }

    return fmin(fmax(held, floor(full * h->share / 1e6)),
                held + floor(rate * h->share / 1e6
                             * (now - h->seen - MODEL_MISSING) / 864000) + 1);
}


/* What a call wants of a bucket, and what has been made of it so far. */

typedef struct {
    unsigned        op;
    uint32_t        gen;
    double          hold, back, want, unit, full, rate;

    double          held, limit;      /* by others; by the caller, at most */
    double          mine, done;       /* recorded for the caller */
    double          rivals, wanted;
    double          free, delta, grant;
    bool            settled;
    model_bucket_t  next;
} model_ask_t;


static inline void
model_read(model_ask_t *a, const unsigned char *p)
{
    memset(a, 0, sizeof(*a));

    a->op = p[0];
    a->gen = model_u32(p + 1);
    a->hold = model_f64(p + 5);
    a->back = model_f64(p + 13);
    a->want = model_f64(p + 21);
    a->unit = model_f64(p + 29);
    a->full = model_u32(p + 37) * 1e6;
    a->rate = model_f64(p + 41);
    a->rivals = 1;
}


/* What the others hold and want. */

static inline void
model_others(model_t *m, const model_holder_t *me, const model_bucket_t *b,
    model_ask_t *a, double now)
{
    double                has, fresh;
    uint32_t              met;
    unsigned              i;
    const model_entry_t   *e;
    const model_holder_t  *h;

    met = 0;
    fresh = now - fmax(20000, fmin(250000, a->full * 432000 / a->rate));

    for (i = 0; b->there && i < b->n; i++) {
        e = &b->entries[i];
        h = model_find(m, e->id);

        if (h == me) {
            a->mine = e->held;
            a->done = e->seq;
            continue;
        }

        if (h == NULL) {
            continue;
        }

        a->next.entries[a->next.n++] = *e;
        has = e->held;

        if (h->away) {
            met |= 1u << (h - m->state.holders);
            has = model_possible(h, has, a->full, a->rate, now, h->whole);
        }

        a->held += has;

        if (e->want > 0 && e->time > fresh) {
            a->rivals++;
            a->wanted += e->want;
        }
    }

    a->limit = me->away
               ? model_possible(me, a->mine, a->full, a->rate, now,
                                me->whole && a->op == TB_LEASE_CAP)
               : a->mine;

    for (i = 0; i < m->state.n; i++) {
        h = &m->state.holders[i];

        if (h->away && h != me && !(met & 1u << i)) {
            a->held += model_possible(h, 0, a->full, a->rate, now,
                                      h->whole);
        }
    }
}


static inline void
model_settle(const model_t *m, model_ask_t *a)
{
    double  earned, room;

    earned = a->rate * fmax(0, m->state.clock - a->next.since);
    a->free = a->next.left + floor(earned / 864000);

    if (earned > 9007199254740992.0) {
        a->free--;
    }

    room = a->full - a->held - a->limit;
    a->settled = a->free >= room && !m->faults.uncapped;

    if (a->settled) {
        a->free = fmax(0, room);
    }
}


static inline void
model_set(model_ask_t *a)
{
    a->next.gen++;
    a->next.n = 0;
    a->free = fmin(a->full, a->want);
    a->settled = true;
    a->delta = 0 - a->hold;      /* no -0 */
    a->hold = 0;
    a->want = 0;
}


static inline void
model_take(model_ask_t *a)
{
    double  most;

    if (a->op == TB_LEASE_CAP) {
        a->free = fmin(a->free, a->back);
        a->back = 0;
        a->settled = true;
    }

    if (a->gen != a->next.gen) {
        a->delta = -a->hold;
        a->hold = 0;
        a->back = 0;

    } else if (a->hold > a->limit) {
        a->delta = a->limit - a->hold;
        a->hold = a->limit;
    }

    a->back = fmin(a->back, a->limit - a->hold);
    a->free += a->back;

    if (a->want > 0) {
        most = a->hold + floor(fmin(a->want, fmax(a->free / a->rivals,
                                                  a->free - a->wanted)));
        a->grant = most - fmod(most, a->unit) - a->hold;

        if (a->grant <= 0) {
            a->grant = a->unit - fmod(a->hold, a->unit);

            if (a->grant > a->free || a->grant > a->want) {
                a->grant = 0;
            }
        }
    }

    a->free -= a->grant;
    a->delta += a->grant;
}


static inline void
model_store(const model_t *m, const model_holder_t *me, model_bucket_t *b,
    model_ask_t *a, double seq)
{
    model_entry_t  *e;

    if (a->settled || a->grant > 0 || a->back > 0) {
        a->next.left = a->free;
        a->next.since = m->state.clock;

    } else if (a->want <= 0 && a->mine == a->hold) {
        return;
    }

    e = &a->next.entries[a->next.n++];
    memcpy(e->id, me->id, TB_HOLDER_ID);
    e->held = a->hold + a->grant;
    e->seq = seq;
    e->want = a->want;
    e->time = m->state.age;

    a->next.there = true;
    a->next.expires = m->state.last
                      + (floor(a->full * 1728 / a->rate) + 60001) * 1000;
    *b = a->next;
}


static inline unsigned char *
model_part(model_t *m, model_holder_t *me, model_bucket_t *b,
    const unsigned char *p, double seq, unsigned char *out)
{
    uint8_t      state;
    model_ask_t  a;

    model_read(&a, p);

    if (b->there) {
        a.next.gen = b->gen;
        a.next.left = b->left;
        a.next.since = b->since;

    } else {
        a.next.left = m->state.base >= 0 ? 0 : a.full;
        a.next.since = m->state.base >= 0 ? m->state.base : m->state.clock;
    }

    model_others(m, me, b, &a, m->state.age);
    model_settle(m, &a);

    state = TB_LEASE_OK;

    if (a.op == TB_LEASE_LOOK) {
        a.delta = fmin(a.held, a.full);

    } else if (a.op != TB_LEASE_SET && a.done >= seq) {
        state = TB_LEASE_STALE;

    } else if (a.op != TB_LEASE_SET && m->alone) {
        a.delta = 0 - a.hold;
        a.free = 0;

    } else {

        if (a.op == TB_LEASE_SET) {
            model_set(&a);

        } else {
            model_take(&a);
        }

        model_store(m, me, b, &a, seq);
    }

    *out++ = state;
    out = model_put_u32(out, a.next.gen);
    out = model_put_f64(out, a.delta);

    return model_put_f64(out, a.free);
}


/* A reply's head: the status, a share, and who there is. */

static inline unsigned char *
model_reply(const model_t *m, unsigned status, double share, double now,
    unsigned char *out)
{
    unsigned  i, missing;

    missing = 0;

    for (i = 0; i < m->state.n; i++) {
        missing += m->state.holders[i].away;
    }

    *out = (unsigned char) status;
    out = model_put_u32(out + 1, (uint32_t) share);
    out = model_put_u32(out, status == TB_LEASE_UNKNOWN ? 0 : m->state.n);
    out = model_put_u32(out, status == TB_LEASE_UNKNOWN ? 0 : missing);

    return model_put_f64(out, now);
}


/* The caller's word about itself; returns the share that it is told. */

static inline double
model_beat(model_t *m, model_holder_t *me, const unsigned char *head,
    double belief)
{
    double    ack, now, shares, told;
    unsigned  i;

    ack = model_f64(head + 19);
    now = m->state.age;

    me->seq = model_f64(head + 11);
    me->seen = fmax(me->seen, fmin(ack, now));

    if (me->seen + MODEL_MISSING >= now) {
        me->absent = 0;
    }

    shares = 0;

    for (i = 0; i < m->state.n; i++) {
        if (&m->state.holders[i] != me) {
            shares += m->state.holders[i].share;
        }
    }

    told = fmax(0, fmin(floor(1e6 / m->state.n), 1e6 - shares));
    me->share = fmax(told, belief);

    return told;
}


/* The caller, after all that time has done; NULL: unknown. */

static inline model_holder_t *
model_caller(model_t *m, const unsigned char *head, double wall,
    double *belief)
{
    unsigned         flags, i;
    model_holder_t  *me;

    flags = head[10];

    for (i = 0; i < MODEL_BUCKETS; i++) {
        if (m->buckets[i].there && m->buckets[i].expires <= wall) {
            m->buckets[i].there = false;
        }
    }

    if (!m->state.there && !(flags & TB_LEASE_JOINS)) {
        return NULL;
    }

    model_begin(m, flags, *belief, wall);
    model_clock(m, wall);
    model_forget(m, m->state.age);

    me = model_find(m, head);

    if (me == NULL && (flags & TB_LEASE_JOINS)) {
        me = model_join(m, head, m->state.age, *belief);
        *belief = 0;
    }

    m->state.there = true;

    return me;
}


/* Who is missing, and who may be using all of the limit. */

static inline void
model_away(model_t *m, const model_holder_t *me)
{
    unsigned         i;
    model_holder_t  *h;

    m->alone = false;

    for (i = 0; i < m->state.n; i++) {
        h = &m->state.holders[i];
        h->away = h->seen + MODEL_MISSING < m->state.age;
        h->whole = h->share >= 1e6 && !m->faults.careless
                   && (h == me || !h->away
                       || memcmp(h->tag, me->tag, TB_HOLDER_TAG) != 0);
        m->alone |= h != me && !h->nobody && h->whole;
    }
}


/*
 * A call about n buckets, of which which[] are the indices, at wall (us).
 * Returns the length of the reply.
 */

static inline size_t
model_call(model_t *m, const unsigned char *head, const unsigned char *parts,
    unsigned n, const unsigned *which, double wall, unsigned char *out)
{
    double           belief, seq, told;
    unsigned         i, status;
    unsigned char   *p;
    model_state_t    before;
    model_holder_t  *me;

    seq = model_f64(head + 11);
    belief = model_f64(head + 27);
    before = m->state;

    me = model_caller(m, head, wall, &belief);

    if (me == NULL) {
        m->state = before;

        return model_reply(m, TB_LEASE_UNKNOWN, 0, 0, out) - out;
    }

    status = TB_LEASE_OK;
    told = me->share;

    if (head[10] & TB_LEASE_BEATS) {

        if (seq > me->seq) {
            told = model_beat(m, me, head, belief);

        } else {
            status = TB_LEASE_STALE;
        }
    }

    model_away(m, me);

    p = model_reply(m, status, told, m->state.age, out);

    for (i = 0; i < n; i++) {
        p = model_part(m, me, &m->buckets[which[i]],
                       parts + i * TB_LEASE_PART, seq, p);
    }

    if (head[10] & TB_LEASE_LEAVES) {
        model_remove(m, (unsigned) (me - m->state.holders));
    }

    return p - out;
}


#endif /* TB_LEASE_MODEL_H */
