
/*
 * A server as JSON says it: bodies of the API, and state files, which are
 * {"servers":[...],"lines":[...],"names":[...]} with one of these objects
 * for each server; the last two need not be there.  gw_record.h reads them by
 * the table of members that is here.
 */


#ifndef LB_ENTRY_H
#define LB_ENTRY_H


#include "src/core/text/gw_record.h"


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
#define LB_ENTRY_TIMEOUT       0x0200
#define LB_ENTRY_DRAIN_UNTIL   0x0400
#define LB_ENTRY_RESOLVED      0x0800

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
    bool               resolved;     /* it is one of the name's servers */
    uint32_t           weight;       /* 1 and up */
    uint32_t           max_conns;    /* 0: any */
    uint32_t           max_fails;    /* 0: never marked as failed */
    uint64_t           fail_timeout; /* ms */
    uint64_t           timeout;      /* s, of the drain that is to begin */
    uint64_t           drain_until;  /* Unix s; removed when idle, or then */
    uint64_t           id;           /* 1 .. LB_ENTRY_ID_MAX */
    size_t             address_length;
    size_t             name_length;
    char               address[LB_ENTRY_TEXT_MAX + 1];
    char               name[LB_ENTRY_TEXT_MAX + 1]; /* as in a server line */
} lb_entry_t;


/* the arrays of a state file, in the order in which they are written */

typedef enum {
    LB_ENTRY_SERVERS = 0,
    LB_ENTRY_LINES,                  /* server lines, as they were then */
    LB_ENTRY_NAMES,                  /* such that a person has put there */
    LB_ENTRY_ARRAYS
} lb_entry_array_t;

/* their names, which NULL follows */
extern const char *const  lb_entry_arrays[];

extern const gw_member_t  lb_entry_members[];

extern const gw_record_form_t  lb_entry_new;      /* a server to be added */
extern const gw_record_form_t  lb_entry_change;   /* settings to be changed */
extern const gw_record_form_t  lb_entry_file;     /* a state file */


#endif /* LB_ENTRY_H */
