
/*
 * Sessions that were learned: which server a client has, by the hash of what
 * its requests say.  A table of fixed size in shared memory: a session is in
 * one of two groups of entries that its hash chooses, where a new one takes the
 * place of that which was used last the longest ago.  Any process reads and
 * writes without a lock; one that dies leaves a session or none.
 */


#ifndef LB_LEARN_H
#define LB_LEARN_H


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


/* entries of a group */
#define LB_LEARN_GROUP  8


/* the key is cleared before the rest is changed, and set afterwards */

typedef struct {
    _Atomic uint64_t   key;          /* 0: unused */
    _Atomic uint64_t   sid;          /* lb_sid_hash() of the server */
    _Atomic uint64_t   used_at;      /* ms */
} lb_session_t;


typedef struct {
    uint64_t           groups;       /* a power of two */
    lb_session_t       sessions[];
} lb_learn_t;


/* The hash of what a request says; not 0. */
uint64_t lb_learn_key(const void *text, size_t length);

/* Makes an empty table of zeroed memory of that size, a group at least. */
void lb_learn_init(lb_learn_t *learn, size_t size);

/*
 * Takes the sessions of another table, the ones used last where there is no
 * room for all.
 */
void lb_learn_copy(lb_learn_t *learn, lb_learn_t *from);

/*
 * The id of a session's server, 0: there is none that was used within the
 * timeout (ms).  The session has been used now (ms).
 */
uint64_t lb_learn_find(lb_learn_t *learn, uint64_t key, uint64_t now,
    uint64_t timeout);

/* Makes the server with that id the one of a session, new or not. */
void lb_learn_set(lb_learn_t *learn, uint64_t key, uint64_t sid,
    uint64_t now);


#endif /* LB_LEARN_H */
