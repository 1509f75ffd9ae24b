
/*
 * The script that leases tokens, in C: bytes of a call in, bytes of a reply
 * out, with the time as an argument and the state in a struct.  Arithmetic
 * is in doubles, as in Lua, so that replies are the same bytes.
 */


#ifndef TB_LEASE_MODEL_H
#define TB_LEASE_MODEL_H


#include <math.h>
#include <string.h>

#include "src/core/tb_lease.h"


#define MODEL_HOLDERS  16
#define MODEL_BUCKETS  8

#define MODEL_MISSING  300000.0


typedef struct {
    unsigned char   id[TB_HOLDER_ID];
    unsigned char   tag[TB_HOLDER_TAG];
    double          seen, share, seq, absent;
    bool            away, nobody, gone;
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
} model_faults_t;


typedef struct {
    bool            there;
    double          last, age, clock, base, lag;
    unsigned        n;
    model_holder_t  holders[MODEL_HOLDERS];
} model_state_t;


typedef struct {
    model_faults_t  faults;
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
model_begin(model_t *m, unsigned flags, double wall)
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

    if ((flags & TB_LEASE_RETURNS) && !m->faults.generous) {
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
    unsigned  j;

    for (j = i + 1; j < m->state.n; j++) {
        if (!m->state.holders[j].gone
            && m->state.holders[j].seen + MODEL_MISSING >= now
            && memcmp(m->state.holders[i].tag, m->state.holders[j].tag, TB_HOLDER_TAG)
               == 0)
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
model_possible(const model_holder_t *h, double held, double full, double rate,
    double now)
{
    if (h->nobody) {
        return floor(full * fmin(1e6, h->share * 1.125) / 1e6);
    }

    return fmin(fmax(held, floor(full * h->share / 1e6)),
                held + floor(rate * h->share / 1e6
                             * (now - h->seen - MODEL_MISSING) / 864000) + 1);
}


static inline unsigned char *
model_part(model_t *m, model_holder_t *me, model_bucket_t *b,
    const unsigned char *p, double seq, double now, unsigned char *out)
{
    bool             settled;
    double           back, delta, done, earned, free, fresh, full, grant, has,
                     held, hold, limit, mine, most, rate, rivals, unit, want,
                     wanted, x;
    uint8_t          state;
    uint32_t         gen, met;
    unsigned         i, op;
    model_entry_t   *e, kept[MODEL_HOLDERS];
    model_bucket_t   next;
    model_holder_t  *h;

    op = p[0];
    gen = model_u32(p + 1);
    hold = model_f64(p + 5);
    back = model_f64(p + 13);
    want = model_f64(p + 21);
    unit = model_f64(p + 29);
    full = model_u32(p + 37) * 1e6;
    rate = model_f64(p + 41);

    next = *b;
    held = 0;
    mine = 0;
    done = 0;
    rivals = 1;
    wanted = 0;
    met = 0;
    next.n = 0;

    if (!b->there) {
        next.gen = 0;
        next.left = m->state.base >= 0 ? 0 : full;
        next.since = m->state.base >= 0 ? m->state.base : m->state.clock;

    } else {
        fresh = now - fmax(20000, fmin(250000, full * 432000 / rate));

        for (i = 0; i < b->n; i++) {
            e = &b->entries[i];
            h = model_find(m, e->id);

            if (h == me) {
                mine = e->held;
                done = e->seq;

            } else if (h != NULL) {
                kept[next.n++] = *e;
                has = e->held;

                if (h->away) {
                    met |= 1u << (h - m->state.holders);
                    has = model_possible(h, has, full, rate, now);
                }

                held += has;

                if (e->want > 0 && e->time > fresh) {
                    rivals++;
                    wanted += e->want;
                }
            }
        }
    }

    limit = me->away ? model_possible(me, mine, full, rate, now) : mine;

    for (i = 0; i < m->state.n; i++) {
        h = &m->state.holders[i];

        if (h->away && h != me && !(met & 1u << i)) {
            held += model_possible(h, 0, full, rate, now);
        }
    }

    x = rate * fmax(0, m->state.clock - next.since);
    earned = floor(x / 864000) - (x > 9007199254740992.0 ? 1 : 0);
    free = next.left + earned;
    settled = free >= full - held - limit;

    if (m->faults.uncapped) {
        settled = false;
    }

    if (settled) {
        free = fmax(0, full - held - limit);
    }

    state = 0;
    delta = 0;

    if (op == TB_LEASE_LOOK) {
        goto done;
    }

    if (op == TB_LEASE_TAKE && done >= seq) {
        state = TB_LEASE_STALE;
        goto done;
    }

    grant = 0;

    if (op == TB_LEASE_SET) {
        next.gen++;
        free = fmin(full, want);
        next.n = 0;
        settled = true;
        delta = -hold;
        hold = 0;
        want = 0;

    } else {
        if (gen != next.gen) {
            delta = -hold;
            hold = 0;
            back = 0;

        } else if (hold > limit) {
            delta = limit - hold;
            hold = limit;
        }

        back = fmin(back, limit - hold);
        free += back;

        if (want > 0) {
            most = hold + floor(fmin(want, fmax(free / rivals,
                                                free - wanted)));
            grant = most - fmod(most, unit) - hold;

            if (grant <= 0) {
                grant = unit - fmod(hold, unit);

                if (grant > free || grant > want) {
                    grant = 0;
                }
            }
        }

        free -= grant;
    }

    if (settled || grant > 0 || back > 0) {
        next.left = free;
        next.since = m->state.clock;
    }

    delta += grant;

    if (settled || want > 0 || back > 0 || mine != hold + grant) {
        memcpy(next.entries, kept, next.n * sizeof(model_entry_t));
        e = &next.entries[next.n++];
        memcpy(e->id, me->id, TB_HOLDER_ID);
        e->held = hold + grant;
        e->seq = seq;
        e->want = want;
        e->time = now;

        next.there = true;
        next.expires = m->state.last + (floor(full * 1728 / rate) + 60001) * 1000;
        *b = next;
    }

done:

    *out++ = state;
    out = model_put_u32(out, next.gen);
    out = model_put_f64(out, delta);

    return model_put_f64(out, free);
}


/*
 * A call about n buckets, of which which[] are the indices, at wall (us).
 * Returns the length of the reply.
 */

static inline size_t
model_call(model_t *m, const unsigned char *head, const unsigned char *parts,
    unsigned n, const unsigned *which, double wall, unsigned char *out)
{
    double           ack, belief, now, seq, shares;
    uint32_t         share;
    unsigned         flags, i, missing, status;
    unsigned char   *p;
    model_state_t    before;
    model_holder_t  *me;

    flags = head[10];
    seq = model_f64(head + 11);
    ack = model_f64(head + 19);
    belief = model_f64(head + 27);

    for (i = 0; i < MODEL_BUCKETS; i++) {
        if (m->buckets[i].there && m->buckets[i].expires <= wall) {
            m->buckets[i].there = false;
        }
    }

    before = m->state;

    if (!m->state.there && !(flags & TB_LEASE_JOINS)) {
        me = NULL;
        now = 0;

    } else {
        model_begin(m, flags, wall);
        model_clock(m, wall);
        now = m->state.age;
        model_forget(m, now);
        me = model_find(m, head);

        if (me == NULL && (flags & TB_LEASE_JOINS)) {
            me = model_join(m, head, now, belief);
            belief = 0;
        }

        m->state.there = true;
    }

    if (me == NULL) {
        m->state = before;
        *out = TB_LEASE_UNKNOWN;
        p = model_put_u32(out + 1, 0);
        p = model_put_u32(p, 0);
        p = model_put_u32(p, 0);
        p = model_put_f64(p, 0);

        return p - out;
    }

    status = 0;

    if (flags & TB_LEASE_BEATS) {
        status = seq > me->seq ? TB_LEASE_OK : TB_LEASE_STALE;
    }

    if ((flags & TB_LEASE_BEATS) && status == TB_LEASE_OK) {
        me->seq = seq;
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

        me->share = fmax(0, fmin(floor(1e6 / m->state.n), 1e6 - shares));
    }

    share = (uint32_t) me->share;

    if ((flags & TB_LEASE_BEATS) && status == TB_LEASE_OK) {
        me->share = fmax(me->share, belief);
    }

    missing = 0;

    for (i = 0; i < m->state.n; i++) {
        m->state.holders[i].away = m->state.holders[i].seen + MODEL_MISSING < now;
        missing += m->state.holders[i].away;
    }

    *out = (unsigned char) status;
    p = model_put_u32(out + 1, share);
    p = model_put_u32(p, m->state.n);
    p = model_put_u32(p, missing);
    p = model_put_f64(p, now);

    for (i = 0; i < n; i++) {
        p = model_part(m, me, &m->buckets[which[i]],
                       parts + i * TB_LEASE_PART, seq, now, p);
    }

    if (flags & TB_LEASE_LEAVES) {
        model_remove(m, (unsigned) (me - m->state.holders));
    }

    return p - out;
}


#endif /* TB_LEASE_MODEL_H */
