
/*
 * A cache of TLS sessions that all processes share.
 */


#include <string.h>

#include "src/core/balance/lb_session.h"


/* a copy of a slot */

typedef struct {
    uint64_t           key[LB_SESSION_KEY];
    uint64_t           length;
    uint64_t           sum;
    uint64_t           data[LB_SESSION_WORDS];
} lb_session_copy_t;


static lb_session_slot_t *lb_session_set_of(lb_sessions_t *sessions,
    const uint64_t *key);
static bool lb_session_is(lb_session_slot_t *slot, const uint64_t *key);
static size_t lb_session_read(lb_session_slot_t *slot, const uint64_t *key,
    unsigned char *data);
static lb_session_slot_t *lb_session_choose(lb_sessions_t *sessions,
    const uint64_t *key);
static uint64_t lb_session_sum(const lb_session_copy_t *copy);
static uint32_t lb_session_words(uint64_t length);


size_t
lb_session_find(lb_sessions_t *sessions, const uint64_t key[LB_SESSION_KEY],
    uint32_t now, unsigned char *data)
{
    size_t              length;
    uint32_t            i;
    lb_session_slot_t  *slot;

    slot = lb_session_set_of(sessions, key);

    for (i = 0; i < LB_SESSION_WAYS; i++, slot++) {

        if (!lb_session_is(slot, key)) {
            continue;
        }

        length = lb_session_read(slot, key, data);

        if (length != 0) {
            atomic_store_explicit(&slot->used_at, now, memory_order_relaxed);
            return length;
        }
    }

    return 0;
}


static lb_session_slot_t *
lb_session_set_of(lb_sessions_t *sessions, const uint64_t *key)
{
    uint64_t  nsets;

    nsets = sessions->nslots / LB_SESSION_WAYS;

    return &sessions->slots[key[0] % nsets * LB_SESSION_WAYS];
}


static bool
lb_session_is(lb_session_slot_t *slot, const uint64_t *key)
{
    uint32_t  i;

    for (i = 0; i < LB_SESSION_KEY; i++) {

        if (atomic_load_explicit(&slot->key[i], memory_order_relaxed)
            != key[i])
        {
            return false;
        }
    }

    return true;
}


/* 0: it is another one's by now, or is being written, or was half written */

static size_t
lb_session_read(lb_session_slot_t *slot, const uint64_t *key,
    unsigned char *data)
{
    uint32_t           i, n;
    uint64_t           word;
    lb_session_copy_t  copy;

    word = atomic_load_explicit(&slot->word, memory_order_acquire);

    copy.length = atomic_load_explicit(&slot->length, memory_order_relaxed);
    copy.sum = atomic_load_explicit(&slot->sum, memory_order_relaxed);

    if ((uint32_t) word != 0 || copy.length == 0
        || copy.length > LB_SESSION_MAX)
    {
        return 0;
    }

    for (i = 0; i < LB_SESSION_KEY; i++) {
        copy.key[i] = atomic_load_explicit(&slot->key[i],
                                           memory_order_relaxed);
    }

    n = lb_session_words(copy.length);

    for (i = 0; i < n; i++) {
        copy.data[i] = atomic_load_explicit(&slot->data[i],
                                            memory_order_relaxed);
    }

    atomic_thread_fence(memory_order_acquire);

    if (atomic_load_explicit(&slot->word, memory_order_relaxed) != word
        || memcmp(copy.key, key, sizeof(copy.key)) != 0
        || lb_session_sum(&copy) != copy.sum)
    {
        return 0;
    }

    memcpy(data, copy.data, copy.length);

    return copy.length;
}


bool
lb_session_set(lb_sessions_t *sessions, const uint64_t key[LB_SESSION_KEY],
    uint32_t now, const unsigned char *data, size_t length)
{
    uint32_t            i, n, began;
    uint64_t            word, writing;
    lb_session_copy_t   copy;
    lb_session_slot_t  *slot;

    if (length == 0 || length > LB_SESSION_MAX) {
        return false;
    }

    slot = lb_session_choose(sessions, key);

    n = lb_session_words(length);

    memcpy(copy.key, key, sizeof(copy.key));
    copy.length = length;
    copy.data[n - 1] = 0;
    memcpy(copy.data, data, length);
    copy.sum = lb_session_sum(&copy);

    word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    began = (uint32_t) word;

    if (began != 0 && now - began < LB_SESSION_WRITE) {
        return false;
    }

    writing = ((word >> 32) + 1) << 32 | now;

    if (!atomic_compare_exchange_strong_explicit(&slot->word, &word, writing,
                                                 memory_order_acquire,
                                                 memory_order_relaxed))
    {
        return false;
    }

    /* whoever reads what follows sees the word as well */

    atomic_thread_fence(memory_order_release);

    for (i = 0; i < LB_SESSION_KEY; i++) {
        atomic_store_explicit(&slot->key[i], key[i], memory_order_relaxed);
    }

    atomic_store_explicit(&slot->length, length, memory_order_relaxed);
    atomic_store_explicit(&slot->sum, copy.sum, memory_order_relaxed);

    for (i = 0; i < n; i++) {
        atomic_store_explicit(&slot->data[i], copy.data[i],
                              memory_order_relaxed);
    }

    atomic_store_explicit(&slot->used_at, now, memory_order_relaxed);

    return atomic_compare_exchange_strong_explicit(&slot->word, &writing,
                                                   writing >> 32 << 32,
                                                   memory_order_release,
                                                   memory_order_relaxed);
}


/* the one that it has, or the one used least lately */

static lb_session_slot_t *
lb_session_choose(lb_sessions_t *sessions, const uint64_t *key)
{
    uint32_t            i;
    uint64_t            used_at, least;
    lb_session_slot_t  *slot, *chosen;

    slot = lb_session_set_of(sessions, key);
    chosen = slot;
    least = UINT64_MAX;

    for (i = 0; i < LB_SESSION_WAYS; i++, slot++) {

        if (lb_session_is(slot, key)) {
            return slot;
        }

        used_at = atomic_load_explicit(&slot->used_at, memory_order_relaxed);

        if (used_at < least) {
            least = used_at;
            chosen = slot;
        }
    }

    return chosen;
}


/* no secret: it tells apart what was written at once and what was not */

static uint64_t
lb_session_sum(const lb_session_copy_t *copy)
{
    uint32_t  i, n;
    uint64_t  sum;

    sum = copy->length;
    n = lb_session_words(copy->length);

    for (i = 0; i < LB_SESSION_KEY; i++) {
        sum = (sum ^ copy->key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }

    for (i = 0; i < n; i++) {
        sum = (sum ^ copy->data[i]) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }

    return sum;
}


static uint32_t
lb_session_words(uint64_t length)
{
    return (uint32_t) ((length + 7) / 8);
}
