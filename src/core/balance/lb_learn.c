
/*
 * The table of sessions.
 */


#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/core/balance/lb_learn.h"


static lb_session_t *lb_learn_at(lb_learn_t *learn, uint64_t key);
static lb_session_t *lb_learn_oldest(lb_learn_t *learn, uint64_t key);
static lb_session_t *lb_learn_group(lb_learn_t *learn, uint64_t key,
    uint32_t which);


uint64_t
lb_learn_key(const void *text, size_t length)
{
    uint64_t  key;

    key = XXH3_64bits(text, length);

    return (key != 0) ? key : 1;
}


void
lb_learn_init(lb_learn_t *learn, size_t size)
{
    size_t  n;

    n = (size - sizeof(lb_learn_t)) / sizeof(lb_session_t) / LB_LEARN_GROUP;

    learn->groups = 1;

    while (learn->groups * 2 <= n) {
        learn->groups *= 2;
    }
}


void
lb_learn_copy(lb_learn_t *learn, lb_learn_t *from)
{
    uint64_t       i, key, sid, used_at;
    lb_session_t  *session;

    for (i = 0; i < from->groups * LB_LEARN_GROUP; i++) {
        key = atomic_load_explicit(&from->sessions[i].key,
                                   memory_order_acquire);
        sid = atomic_load_explicit(&from->sessions[i].sid,
                                   memory_order_relaxed);
        used_at = atomic_load_explicit(&from->sessions[i].used_at,
                                       memory_order_relaxed);

        if (key == 0) {
            continue;
        }

        session = lb_learn_oldest(learn, key);

        if (atomic_load_explicit(&session->key, memory_order_relaxed) == 0
            || atomic_load_explicit(&session->used_at, memory_order_relaxed)
               < used_at)
        {
            lb_learn_set(learn, key, sid, used_at);
        }
    }
}


uint64_t
lb_learn_find(lb_learn_t *learn, uint64_t key, uint64_t now,
    uint64_t timeout)
{
    uint64_t       sid, used_at;
    lb_session_t  *session;

    session = lb_learn_at(learn, key);

    if (session == NULL) {
        return 0;
    }

    sid = atomic_load_explicit(&session->sid, memory_order_acquire);
    used_at = atomic_load_explicit(&session->used_at, memory_order_acquire);

    /* the entry may have been given to another session meanwhile */

    if (atomic_load_explicit(&session->key, memory_order_relaxed) != key
        || (now > used_at && now - used_at > timeout))
    {
        return 0;
    }

    atomic_store_explicit(&session->used_at, now, memory_order_relaxed);

    return sid;
}


void
lb_learn_set(lb_learn_t *learn, uint64_t key, uint64_t sid, uint64_t now)
{
    lb_session_t  *session;

    session = lb_learn_at(learn, key);

    if (session == NULL) {
        session = lb_learn_oldest(learn, key);
    }

    /*
     * Of two that write to one entry at the same time the later one's key
     * stays, maybe with the other's server: a client like any other there.
     */

    atomic_store_explicit(&session->key, 0, memory_order_relaxed);
    atomic_store_explicit(&session->sid, sid, memory_order_release);
    atomic_store_explicit(&session->used_at, now, memory_order_release);
    atomic_store_explicit(&session->key, key, memory_order_release);
}


/* Where the session is, or NULL. */

static lb_session_t *
lb_learn_at(lb_learn_t *learn, uint64_t key)
{
    uint32_t       i, k;
    lb_session_t  *group;

    for (k = 0; k < 2; k++) {
        group = lb_learn_group(learn, key, k);

        for (i = 0; i < LB_LEARN_GROUP; i++) {

            if (atomic_load_explicit(&group[i].key, memory_order_acquire)
                == key)
            {
                return &group[i];
            }
        }
    }

    return NULL;
}


/* An unused entry, of the group that has more of them, or the oldest. */

static lb_session_t *
lb_learn_oldest(lb_learn_t *learn, uint64_t key)
{
    uint32_t       i, k, unused, most;
    uint64_t       used_at, least;
    lb_session_t  *group, *found, *oldest;

    oldest = lb_learn_group(learn, key, 0);
    least = UINT64_MAX;
    found = NULL;
    most = 0;

    for (k = 0; k < 2; k++) {
        group = lb_learn_group(learn, key, k);
        unused = 0;

        for (i = 0; i < LB_LEARN_GROUP; i++) {

            if (atomic_load_explicit(&group[i].key, memory_order_relaxed)
                == 0)
            {
                if (++unused > most) {
                    most = unused;
                    found = &group[i];
                }

                continue;
            }

            used_at = atomic_load_explicit(&group[i].used_at,
                                           memory_order_relaxed);

            if (used_at < least) {
                least = used_at;
                oldest = &group[i];
            }
        }
    }

    return found ? found : oldest;
}


static lb_session_t *
lb_learn_group(lb_learn_t *learn, uint64_t key, uint32_t which)
{
    uint64_t  group;

    group = (which ? key >> 32 : key) & (learn->groups - 1);

    return &learn->sessions[group * LB_LEARN_GROUP];
}
