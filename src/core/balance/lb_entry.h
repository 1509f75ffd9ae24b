
/*
 * A server as JSON says it: bodies of the API, and state files, which are
 * {"servers":[...],"lines":[...],"names":[...]} with one of these objects
 * for each server; the last two need not be there.  The reader is strict:
 * what it does not know it refuses, and says where and why.
 */


#ifndef LB_ENTRY_H
#define LB_ENTRY_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/core/text/gw_json.h"


#define LB_ENTRY_TEXT_MAX   264          /* bytes of an address or name */
#define LB_ENTRY_TIME_MAX   2147483647   /* seconds of a fail_timeout */
#define LB_ENTRY_ID_MAX     9007199254740991

/* lb_entry_t.members */

#define LB_ENTRY_ADDRESS       0x0001
#define LB_ENTRY_NAME          0x0002
#define LB_ENTRY_ID            0x0004
#define LB_ENTRY_WEIGHT        0x0008
#define LB_ENTRY_MAX_CONNS     0x0010
#define LB_ENTRY_MAX_FAILS     0x0020
#define LB_ENTRY_FAIL_TIMEOUT  0x0040
#define LB_ENTRY_BACKUP        0x0080
#define LB_ENTRY_STATE         0x0100

#define LB_ENTRY_SETTINGS  (LB_ENTRY_WEIGHT | LB_ENTRY_MAX_CONNS             \
                            | LB_ENTRY_MAX_FAILS | LB_ENTRY_FAIL_TIMEOUT     \
                            | LB_ENTRY_BACKUP | LB_ENTRY_STATE)


/* what an operator wants of a server */

typedef enum {
    LB_ENTRY_UP = 0,
    LB_ENTRY_DRAIN,                  /* no new requests */
    LB_ENTRY_DISABLED                /* out, as by "down" */
} lb_entry_state_t;


typedef struct {
    unsigned           members;      /* LB_ENTRY_ADDRESS ...: which are set */
    lb_entry_state_t   state;
    bool               backup;
    uint32_t           weight;       /* 1 and up */
    uint32_t           max_conns;    /* 0: any */
    uint32_t           max_fails;    /* 0: never marked as failed */
    uint64_t           fail_timeout; /* ms */
    uint64_t           id;           /* 1 .. LB_ENTRY_ID_MAX */
    size_t             address_length;
    size_t             name_length;
    char               address[LB_ENTRY_TEXT_MAX];
    char               name[LB_ENTRY_TEXT_MAX];     /* as in a server line */
} lb_entry_t;


/* what a text may hold */

typedef struct {
    unsigned           accept;       /* members that are known */
    unsigned           require;      /* of those, the ones that must be */
    bool               some;         /* at least one must be */
    bool               list;         /* lb_entry_array_t */
} lb_entry_form_t;


/* the arrays of a state file, in the order in which they are written */

typedef enum {
    LB_ENTRY_SERVERS = 0,
    LB_ENTRY_LINES,                  /* server lines, as they were then */
    LB_ENTRY_NAMES,                  /* such that a person has put there */
    LB_ENTRY_ARRAYS
} lb_entry_array_t;

/* their names */
extern const char *const  lb_entry_arrays[LB_ENTRY_ARRAYS];

extern const lb_entry_form_t  lb_entry_new;      /* a server to be added */
extern const lb_entry_form_t  lb_entry_change;   /* settings to be changed */
extern const lb_entry_form_t  lb_entry_file;     /* a state file */


typedef struct lb_entry_reader_s  lb_entry_reader_t;

/*
 * Takes reader->entry over; 0, or -1 after lb_entry_fail().
 */
typedef int (*lb_entry_each_pt)(lb_entry_reader_t *reader, void *data);

struct lb_entry_reader_s {
    const lb_entry_form_t  *form;
    lb_entry_each_pt        each;    /* NULL: what was read is in entry */
    void                   *data;
    unsigned                level;   /* of the object or array */
    unsigned                member;  /* whose value comes next */
    lb_entry_array_t        array;   /* that is being read */
    unsigned                listed;  /* arrays that have been there, as bits */
    size_t                  count;   /* objects of it that have ended */
    lb_entry_t              entry;   /* the object that is being read */
    gw_json_t               json;    /* json.error: what is wrong */
};


void lb_entry_init(lb_entry_reader_t *reader, const lb_entry_form_t *form,
    lb_entry_each_pt each, void *data);

/* The next bytes, and the end; 0, or -1 with reader->json.error set. */
int lb_entry_feed(lb_entry_reader_t *reader, const void *text, size_t len);
int lb_entry_finish(lb_entry_reader_t *reader);

/* Sets the error, with the number of the server if there are several. */
void lb_entry_fail(lb_entry_reader_t *reader, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the members that are set as one object. */
void lb_entry_write(yajl_gen gen, const lb_entry_t *entry);

/* The same, as members of an object that the caller has open. */
void lb_entry_write_members(yajl_gen gen, const lb_entry_t *entry);

/*
 * Reads a time as nginx spells it, "10s", "500ms", "1h30m", or a number of
 * seconds; *ms is set unless -1 is returned.
 */
int lb_entry_time(const char *text, size_t len, uint64_t *ms);


#endif /* LB_ENTRY_H */
