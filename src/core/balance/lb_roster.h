
/*
 * The roster: the servers of one upstream and the order in which picks visit
 * them, in one block of memory that all processes share.
 *
 *   lb_roster_t     sizes, generation, figures of the whole upstream
 *   view 0, view 1  what picks read: per tier (main, backup) the smooth
 *                   weighted order and the set of usable servers, as indices
 *   servers         one lb_server_t per slot: atomics, read and written by
 *                   everyone
 *   identities      one lb_identity_t per slot: address, names, texts
 *   turns           one lb_turn_t per process
 *   active, rows    requests in flight (lb_load.h): of each slot, and then of
 *                   all of them, and those that wait for a place
 *
 * A view is built in memory of the builder's own (lb_build.h); with the
 * zone's mutex it is then copied to where the one before the last was, and
 * published by adding one to the generation.  Readers take no lock: every
 * value found in a view is the index of some slot at any time, and a pick
 * checks the slot itself after it has counted its request there.  A builder
 * that dies leaves the old view in force; lb_roster_stale() tells the next
 * one that there is work to do.
 *
 * A slot is reused when its server has been removed and no request is left
 * on it; its generation changes then.
 */


#ifndef LB_ROSTER_H
#define LB_ROSTER_H


#include <stddef.h>

#include "src/core/balance/lb_budget.h"
#include "src/core/balance/lb_limit.h"
#include "src/core/balance/lb_line.h"
#include "src/core/balance/lb_load.h"
#include "src/core/balance/lb_meter.h"
#include "src/core/balance/lb_order.h"
#include "src/core/balance/lb_turn.h"
#include "src/core/balance/lb_waiters.h"
#include "src/core/balance/lb_window.h"


#define LB_NONE          UINT32_MAX
#define LB_NEVER         UINT64_MAX

/* slots of a roster; indices in a view are 16 bits */
#define LB_SERVERS_MAX   65535

#define LB_ADDRESS_MAX   128         /* bytes of a binary address */
#define LB_NAME_MAX      128         /* an address as text */
#define LB_HOST_MAX      264         /* the name in the server line */
#define LB_REASON_MAX    96
#define LB_SID_MAX       32          /* the id that a sticky client has */

#define LB_ANSWERS       6           /* classes of status */

/* counts of lb_load.h behind those of the slots: lb_gate.h */
#define LB_COUNTS        2


/* lb_server_t.status: a server takes requests if it is LB_USED only */

#define LB_USED          0x0001
#define LB_BACKUP        0x0002      /* of the second tier, still usable */
#define LB_DISABLED      0x0004      /* "down", or by an operator */
#define LB_FAILED        0x0008      /* max_fails reached, tried at retry_at */
#define LB_DRAINING      0x0010      /* no new requests */
#define LB_UNHEALTHY     0x0020      /* by probes */
#define LB_EJECTED       0x0040      /* as an outlier */
#define LB_REMOVED       0x0080      /* slot is freed when active is 0 */
#define LB_SLOW          0x0100      /* usable, and in its slow start */

/* the slot of a server line whose server was deleted at runtime */
#define LB_TOMBSTONE        0x0200

/* its line has gone, but those that replace it have to pass a check first */
#define LB_REPLACED      0x0400

#define LB_UNUSABLE      (LB_DISABLED | LB_FAILED | LB_DRAINING              \
                          | LB_UNHEALTHY | LB_EJECTED | LB_REMOVED)

/* what still stands against a server when all are used for want of better */
#define LB_PANICKING     (LB_DISABLED | LB_DRAINING | LB_REMOVED)

/* a request on a server of weight w loads it by 2^LB_UNIT_BITS / w */
#define LB_UNIT_BITS     24
#define lb_unit(weight)  ((((uint32_t) 1 << LB_UNIT_BITS) - 1) / (weight) + 1)


/* the first line is read by every pick, the second written by most requests */

typedef struct {
    alignas(LB_LINE)
    _Atomic uint32_t   status;       /* LB_USED ...; bits by any process */
    _Atomic uint32_t   generation;   /* of the slot; mutex */
    _Atomic uint32_t   max_conns;    /* 0: any; mutex */
    _Atomic uint32_t   weight;       /* 1 and up; mutex */
    _Atomic uint32_t   rank;         /* place among the servers; mutex */
    _Atomic uint32_t   max_fails;    /* 0: never marked as failed; mutex */
    _Atomic uint64_t   fail_timeout; /* ms, 0: as max_fails 0; mutex */
    _Atomic uint64_t   retry_at;     /* ms; if LB_FAILED, the next trial */
    _Atomic uint64_t   failed_at;    /* ms; since when LB_FAILED */
    _Atomic uint64_t   reported_at;  /* s; the last retry line in the log */
    _Atomic uint64_t   slow_from;    /* ms; if LB_SLOW, 0: from next pick on */

    alignas(LB_LINE)
    _Atomic uint64_t   requests;     /* attempts; any process */
    _Atomic uint64_t   failures;     /* failed ones; any process */
    _Atomic uint64_t   latency;      /* lb_latency.h; any process */
    lb_window_t        fails;        /* failed ones within fail_timeout */

    alignas(LB_LINE)
    lb_window_t        errors;       /* lb_outlier.h; any process */
    _Atomic uint32_t   ejections;    /* without a break; mutex */
    _Atomic uint32_t   listed;       /* LB_LISTED ...; mutex */
    _Atomic uint64_t   ejected_until;   /* ms; mutex */
    _Atomic uint64_t   absences;     /* times it left the view; mutex */
    _Atomic uint64_t   seed;         /* of name and host; mutex */
    _Atomic uint64_t   sid;          /* lb_sid_hash(), 0: none; mutex */
    _Atomic uint64_t   since;        /* lb_roster_since(); any process */
    _Atomic uint64_t   drain_until;  /* Unix s, of LB_DRAINING; 0: no end */

    /* answers by status / 100, 0: of no known class; any process */
    alignas(LB_LINE)
    _Atomic uint64_t   answers[LB_ANSWERS];

    /* by the process that makes the checks */
    alignas(LB_LINE)
    _Atomic uint32_t   health;       /* lb_health.h */
    _Atomic uint32_t   check_time;   /* ms that the last check took */
    _Atomic uint64_t   check_began;  /* ms; the last check, 0: none */
    _Atomic uint64_t   checked_at;   /* Unix ms, its result; 0: none */
    _Atomic uint64_t   checks[2];    /* that failed, that passed */
} lb_server_t;


/* what an operator is told of a server */

typedef enum {
    LB_IS_UP = 0,
    LB_IS_DOWN,                      /* by requests or checks */
    LB_IS_EJECTED,
    LB_IS_DRAINING,                  /* by an operator, or to be removed */
    LB_IS_DISABLED,
    LB_IS_STATES
} lb_is_t;


/* lb_server_t.listed: whether the last build has found the server usable */

#define LB_UNLISTED      0           /* it is new */
#define LB_LISTED        1
#define LB_MISSED        2


/* written under the mutex only; valid as long as the slot's generation */

typedef struct {
    unsigned char      address[LB_ADDRESS_MAX];
    uint16_t           address_length;
    uint16_t           name_length;
    uint16_t           host_length;
    uint16_t           reason_length;
    uint16_t           sid_length;
    char               sid[LB_SID_MAX];
    char               name[LB_NAME_MAX];
    char               host[LB_HOST_MAX];
    char               reason[LB_REASON_MAX];  /* of the last change */
    uint32_t           reason_status;          /* what the reason is for */
    uint64_t           id;           /* of the server, never used again */

    /* the settings of the line, to tell a changed line from a changed server */
    bool               from_line;
    bool               resolved;     /* its line is that of a name */
    bool               tombstone;    /* if LB_REMOVED: leaves one behind */
    bool               leaving;      /* to be told of when it has gone */
    bool               replaced;     /* and why: it was LB_REPLACED */
    bool               drained;      /* or its drain was over */
    uint32_t           weight;
    uint32_t           max_conns;
    uint32_t           max_fails;
    uint32_t           status;
    uint64_t           fail_timeout;
} lb_identity_t;


typedef struct {
    alignas(LB_LINE)
    _Atomic uint64_t   cursor;       /* written by picks: its own line */

    alignas(LB_LINE)
    _Atomic uint32_t   order_length; /* 0: no usable server */
    _Atomic uint32_t   set_length;
    _Atomic uint32_t   against;      /* status of servers that are not in */
    _Atomic uint32_t   cells;        /* whether the order is lb_cells.h */
    _Atomic uint32_t   sids;         /* entries of the index of ids, or 0 */
    _Atomic uint64_t   weights;      /* sum of those of the set */
    uint64_t           order;        /* offsets in the block; uint16_t each */
    uint64_t           set;
    uint64_t           units;        /* lb_unit() of the set; uint32_t each */
    uint64_t           hints;        /* or turns, if cells is set; uint32_t */
} lb_tier_t;


/* the queue in front of the servers, see lb_gate.h; any process */

typedef struct {
    alignas(LB_LINE)
    _Atomic uint64_t   looked;       /* ms; when somebody waited last */
    _Atomic uint64_t   searched;     /* ms; for processes that have died */
    _Atomic uint64_t   service;      /* us of a server a request takes */
    _Atomic uint64_t   refused_at;   /* s; the last line about that */
    _Atomic uint64_t   refused[LB_PRIORITIES];

    lb_limit_t         limit;        /* of all requests, if it is asked for */
    lb_meter_t         waits[LB_METERS];    /* of requests that had to */
} lb_gate_t;


/* what a configuration asks of all servers of an upstream */

typedef struct {
    uint64_t           slow_start;   /* ms, 0: off */
    uint32_t           panic;        /* per cent, 0: off */
    uint32_t           errors;       /* lb_outlier.h, 0: off */
    bool               cells;        /* keys are hashed, see lb_cells.h */
    bool               sticky;       /* servers are found by lb_sid.h */
} lb_rules_t;


typedef struct {
    uint64_t           size;         /* bytes of the block */
    uint32_t           capacity;     /* slots */
    uint32_t           nrows;        /* processes */
    uint32_t           order_max;
    uint64_t           servers;      /* offsets in the block */
    uint64_t           identities;
    uint64_t           active;
    uint64_t           turns;
    uint64_t           rows;
    uint64_t           held;
    uint64_t           seen;         /* working space of a sync; mutex */
    uint64_t           sids[2];      /* indices of ids; uint16_t each */

    alignas(LB_LINE)
    _Atomic uint64_t   generation;   /* view[generation & 1] is in force */
    _Atomic uint32_t   used;         /* slots below it may be in use */
    _Atomic uint32_t   pickable;     /* servers in the view */
    _Atomic uint32_t   limited;      /* some server has max_conns */
    _Atomic uint64_t   trial_at[2];  /* ms; earliest retry_at of the tier */
    _Atomic uint64_t   fingerprint;  /* what the view in force is built of */
    _Atomic uint64_t   config;       /* the last configuration applied */
    _Atomic uint32_t   rows_used;    /* lb_load.h */

    /* lb_rules_t; mutex */
    alignas(LB_LINE)
    _Atomic uint64_t   slow_start;
    _Atomic uint32_t   panic;
    _Atomic uint32_t   errors;
    _Atomic uint32_t   cells;
    _Atomic uint32_t   sticky;
    _Atomic uint32_t   panicking;    /* all are used; mutex */
    _Atomic uint32_t   panic_reported;   /* what the log says; any process */

    alignas(LB_LINE)
    _Atomic uint64_t   config_next;  /* numbers configurations */
    _Atomic uint64_t   id_next;      /* the last id given; mutex */
    _Atomic uint64_t   editor;       /* leader: who changes servers */
    _Atomic uint64_t   builder;      /* leader: who builds a view */
    _Atomic uint64_t   kept;         /* the state file, 0: there is none */
    _Atomic uint64_t   awaited;      /* a name had no server at the reload */
    _Atomic uint64_t   file;         /* which one it was last; mutex */
    _Atomic uint32_t   drains;       /* some have an end; mutex */
    _Atomic uint32_t   in_flight;    /* requests, see lb_roster_recount() */
    _Atomic uint32_t   saving;       /* it may have what is not here; mutex */
    _Atomic uint32_t   superseded;   /* by another roster: is not changed */
    _Atomic uint64_t   retries;
    _Atomic uint64_t   denied;       /* retries, for want of a budget */
    _Atomic uint64_t   denied_at;    /* s; the last line about that */
    _Atomic uint64_t   empty_at;     /* s; the last "no live servers" line */

    alignas(LB_LINE)
    lb_spent_t         spent;        /* of the budget of retries */

    lb_meter_t         meters[LB_METERS];   /* times to header */
    lb_gate_t          gate;

    lb_tier_t          view[2][2];   /* [generation & 1][tier] */
} lb_roster_t;


/* one tier of the view in force, as picking methods see it */

typedef struct {
    lb_tier_t               *tier;
    const _Atomic uint16_t  *order;
    const _Atomic uint16_t  *set;
    const _Atomic uint32_t  *units;

    union {
        _Atomic uint32_t    *hints;      /* of lb_least_conn() */
        _Atomic uint32_t    *turns;      /* of lb_hash_keyless() */
    };

    uint32_t                 order_length;
    uint32_t                 set_length;
    uint32_t                 against;
} lb_view_t;


typedef struct {
    uint32_t           usable;
    uint32_t           enabled;      /* what a request may try in a panic */
    uint32_t           total;        /* without those leaving */
    uint32_t           leaving;      /* removed, slot not free yet */
} lb_count_t;


/* told of each server that is added or removed, while its slot is valid */
typedef void (*lb_note_pt)(void *data, const lb_identity_t *identity,
    bool added);


/* Bytes for a roster; order_max is at most LB_ORDER_MAX and >= capacity. */
uint64_t lb_roster_size(uint32_t capacity, uint32_t nrows,
    uint32_t order_max);

/*
 * The largest roster that fits into size bytes: sets the length of its
 * orders and returns its number of slots, 0 if there is no room.
 */
uint32_t lb_roster_fit(uint64_t size, uint32_t nrows, uint32_t *order_max);

/*
 * Makes an empty roster of a block of lb_roster_size() bytes, aligned to
 * LB_LINE.  The block may be mapped anywhere.
 */
lb_roster_t *lb_roster_init(void *block, uint32_t capacity, uint32_t nrows,
    uint32_t order_max);

/* Sets the rules.  Mutex, or nobody has the roster; then a build. */
void lb_roster_rule(lb_roster_t *roster, const lb_rules_t *rules);

/*
 * Frees the slots of removed servers without requests, and tells of those
 * that lb_edit_remove() has removed.  Mutex.
 */
void lb_roster_sweep(lb_roster_t *roster, lb_note_pt note, void *data);

/*
 * Removes servers whose lines have gone (LB_REPLACED) when another one can
 * serve, or when there is none to wait for.  Mutex; then a build.
 */
void lb_roster_retire(lb_roster_t *roster);

/* What a view depends on, as one number.  No lock. */
uint64_t lb_roster_fingerprint(lb_roster_t *roster);

/* Whether the view in force differs from what is usable.  No lock. */
bool lb_roster_stale(lb_roster_t *roster);

/*
 * Makes in_flight the number of requests that servers are busy with.  It is
 * kept by those who need it; this makes up for what killed processes leave.
 */
void lb_roster_recount(lb_roster_t *roster);

/* The state that a status amounts to. */
lb_is_t lb_roster_is(uint32_t status);

/*
 * Since when (Unix s) a server has been in its state, as far as is known: it is
 * noted by calls of this, of which there are some a second.  Lock-free.
 */
uint64_t lb_roster_since(lb_roster_t *roster, uint32_t index, uint64_t now);

/* Counts servers.  No lock. */
lb_count_t lb_roster_count(lb_roster_t *roster);

/*
 * The status that stands against a server now: LB_UNUSABLE, or with less
 * than the share of lb_panic usable LB_PANICKING.  No lock.
 */
uint32_t lb_roster_against(lb_roster_t *roster);

/* Whether the slot is that of the line's server. */
bool lb_roster_same(const lb_identity_t *identity, const lb_line_t *line);


/* Entries of an index of ids, a power of two. */

static inline uint32_t
lb_roster_sids(uint32_t capacity)
{
    uint32_t  n;

    for (n = 2; n < 2 * capacity; n *= 2) { /* void */ }

    return n;
}


static inline lb_server_t *
lb_roster_server(lb_roster_t *roster, uint32_t index)
{
    return (lb_server_t *) ((unsigned char *) roster + roster->servers)
           + index;
}


static inline lb_identity_t *
lb_roster_identity(lb_roster_t *roster, uint32_t index)
{
    return (lb_identity_t *) ((unsigned char *) roster + roster->identities)
           + index;
}


static inline lb_load_t
lb_roster_load(lb_roster_t *roster)
{
    unsigned char  *block = (unsigned char *) roster;

    return (lb_load_t) {
        .active = (_Atomic uint32_t *) (block + roster->active),
        .used = &roster->rows_used,
        .rows = (lb_row_t *) (block + roster->rows),
        .nrows = roster->nrows,
        .capacity = roster->capacity + LB_COUNTS
    };
}


static inline uint32_t
lb_roster_status(lb_roster_t *roster, uint32_t index)
{
    return atomic_load_explicit(&lb_roster_server(roster, index)->status,
                                memory_order_acquire);
}


/* Slots below this number may be in use. */

static inline uint32_t
lb_roster_used(const lb_roster_t *roster)
{
    return gw_load_acquire(&roster->used);
}


/*
 * The given tier, 0 or 1, of the view in force.  Returns the generation it
 * belongs to: as long as lb_roster_generation() still is the same, what was
 * read of the view was consistent.
 */

static inline uint64_t
lb_roster_view(lb_roster_t *roster, uint32_t tier, lb_view_t *view)
{
    uint64_t        generation;
    lb_tier_t      *t;
    unsigned char  *block = (unsigned char *) roster;

    generation = atomic_load_explicit(&roster->generation,
                                      memory_order_acquire);
    t = &roster->view[generation & 1][tier];

    view->tier = t;
    view->order = (_Atomic uint16_t *) (block + t->order);
    view->set = (_Atomic uint16_t *) (block + t->set);
    view->units = (_Atomic uint32_t *) (block + t->units);
    view->hints = (_Atomic uint32_t *) (block + t->hints);
    view->against = atomic_load_explicit(&t->against, memory_order_relaxed);
    view->order_length = atomic_load_explicit(&t->order_length,
                                              memory_order_acquire);
    view->set_length = atomic_load_explicit(&t->set_length,
                                            memory_order_acquire);

    return generation;
}


static inline uint64_t
lb_roster_generation(lb_roster_t *roster)
{
    return atomic_load_explicit(&roster->generation, memory_order_acquire);
}


#endif /* LB_ROSTER_H */
