
/*
 * A cache of TLS sessions that all processes share: a table of slots of one
 * size, in sets of LB_SESSION_WAYS.  A key has a slot of its set, and the one
 * used least lately gives way.
 *
 * Nothing waits and nothing has to be undone: a slot has a word, of which the
 * high half counts its contents, and the low half is the time (s) at which a
 * writer has begun, 0 if nobody writes.  A reader copies the slot and takes the
 * copy if the word was the same before and after, and nobody wrote.  A writer
 * that finds another one leaves the session out, unless that has begun
 * LB_SESSION_WRITE seconds ago: it was killed then, or stopped.  What one
 * writes that comes back after that long is told by a checksum.
 *
 * Memory that is all zeros is an empty cache.
 */


#ifndef LB_SESSION_H
#define LB_SESSION_H


#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define LB_SESSION_KEY    4          /* words of a key, which is a digest */
#define LB_SESSION_MAX    4032       /* bytes of a session */
#define LB_SESSION_WORDS  (LB_SESSION_MAX / 8)
#define LB_SESSION_WAYS   8
#define LB_SESSION_WRITE  2          /* s that a writer has at most */


typedef struct {
    _Atomic uint64_t   word;         /* any process, see above */
    _Atomic uint64_t   used_at;      /* s; any process */

    /* by the writer; read by anybody, see above */
    _Atomic uint64_t   key[LB_SESSION_KEY];
    _Atomic uint64_t   length;       /* of the session; 0: there is none */
    _Atomic uint64_t   sum;          /* of key, length and session */
    _Atomic uint64_t   data[LB_SESSION_WORDS];
} lb_session_slot_t;


/* of one process */

typedef struct {
    lb_session_slot_t  *slots;
    uint32_t            nslots;      /* a multiple of LB_SESSION_WAYS */
} lb_sessions_t;


/*
 * Copies the session with the key into data, of LB_SESSION_MAX bytes; returns
 * its length, 0: there is none.  now is the time in s.  Lock-free.
 */
size_t lb_session_find(lb_sessions_t *sessions,
    const uint64_t key[LB_SESSION_KEY], uint32_t now, unsigned char *data);

/*
 * Makes it the session with the key; false: it is too long, or somebody else
 * is just writing there.  now is not 0.  Lock-free.
 */
bool lb_session_set(lb_sessions_t *sessions,
    const uint64_t key[LB_SESSION_KEY], uint32_t now,
    const unsigned char *data, size_t length);


#endif /* LB_SESSION_H */
