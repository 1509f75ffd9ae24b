
/*
 * Clients and plans as JSON: the bodies of the API and the values in Redis,
 * which gw_record.h reads by the tables of members that are made here for the
 * kind of limit that a zone has and for its unit.  Not here: what a client is
 * given as one word (tb_client_own.h), where clients are kept (tb_table.h), and
 * what changes them.
 *
 * Tokens are in µtok, rates in steps of 0.1r/d (see tb_bucket.h), both of the
 * table's tokens; people count in single units.  Numbers come from the decimal
 * text without a detour over doubles: a rate is rounded to the nearest step,
 * tokens are cut to µtok.
 */


#ifndef TB_CLIENT_H
#define TB_CLIENT_H


#include "src/core/limit/tb_bucket.h"
#include "src/core/limit/tb_plan.h"
#include "src/core/text/gw_id.h"
#include "src/core/text/gw_number.h"
#include "src/core/text/gw_record.h"


#define TB_CLIENT_AT_MAX       UINT64_C(253402300799999)   /* year 9999 */

/* enough for tb_client_print() and tb_client_print_state() */
#define TB_CLIENT_VALUE_SIZE   288

#define TB_PLAN_NAME_MAX       64      /* visible ASCII characters */

/* members of a client, or of a plan, a bit each */
#define TB_CLIENT_ID           0x001u
#define TB_CLIENT_PLAN         0x002u
#define TB_CLIENT_CAPACITY     0x004u
#define TB_CLIENT_RATE         0x008u
#define TB_CLIENT_QUOTA        0x010u
#define TB_CLIENT_INFLIGHT     0x020u
#define TB_CLIENT_USED         0x040u
#define TB_CLIENT_BLOCKED      0x080u
#define TB_CLIENT_UNLIMITED    0x100u
#define TB_CLIENT_TOKENS       0x200u
#define TB_CLIENT_AT           0x400u
#define TB_CLIENT_REGISTERED   0x800u

#define TB_CLIENT_ROWS         13      /* of the table, with its end */

/* what a client of any kind of zone may be given as limits of its own */
#define TB_CLIENT_LIMITS                                                      \
    (TB_CLIENT_CAPACITY | TB_CLIENT_RATE | TB_CLIENT_QUOTA                    \
     | TB_CLIENT_INFLIGHT)

/* and all that it may be given */
#define TB_CLIENT_GIVEN                                                       \
    (TB_CLIENT_LIMITS | TB_CLIENT_PLAN | TB_CLIENT_BLOCKED                    \
     | TB_CLIENT_UNLIMITED)


/* What limits the buckets of a zone. */

typedef enum {
    TB_KIND_RATE = 0,      /* capacity and rate */
    TB_KIND_QUOTA,         /* so many in each window */
    TB_KIND_INFLIGHT       /* so many requests at the same time */
} tb_kind_e;


typedef struct {
    unsigned           members;     /* which of these are set */
    bool               registered;
    bool               blocked;
    bool               unlimited;
    uint32_t           capacity;    /* tokens, 1 .. TB_CAPACITY_MAX */
    uint32_t           quota;       /* likewise */
    uint32_t           inflight;    /* requests, likewise */
    uint32_t           used;        /* of these places */
    uint64_t           rate;        /* steps, TB_RATE_MIN .. TB_RATE_MAX */
    int64_t            tokens;      /* µtok; < 0: debt */
    uint64_t           at;          /* ms since 1970, when tokens were so */
    size_t             plan_len;
    char               plan[TB_PLAN_NAME_MAX + 1];     /* with a NUL, both */
    size_t             id_len;
    char               id[GW_ID_MAX + 1];
} tb_client_t;


/* How clients and plans of a zone are read and written. */

typedef struct {
    tb_kind_e          kind;
    uint32_t           unit;
    unsigned           limits;      /* members that are limits here */

    gw_member_t        members[TB_CLIENT_ROWS];
    gw_member_t        states[TB_CLIENT_ROWS];  /* with debt */
    char               rates[GW_MEMBER_NAMES_SIZE];
    char               tokens[GW_MEMBER_NAMES_SIZE];

    gw_record_form_t   create;      /* id, and what it is given */
    gw_record_form_t   bulk;        /* one or an array of it */
    gw_record_form_t   replace;     /* as it was shown */
    gw_record_form_t   value;       /* what it is given */
    gw_record_form_t   change;      /* any of it, or tokens */
    gw_record_form_t   state;       /* tokens, at, quota, plan */
    gw_record_form_t   plan;        /* limits, and the name, as shown */
    gw_record_form_t   plan_value;  /* limits */
    gw_record_form_t   plan_change; /* any of these */
} tb_client_forms_t;


/* unit: 1 .. TB_UNIT_MAX.  What is made refers to itself: not to be moved. */

void tb_client_forms_init(tb_client_forms_t *forms, tb_kind_e kind,
    uint32_t unit);

/* Whether these bytes may be the name of a plan, and what that must be. */

bool tb_plan_is_name(const char *text, size_t len);

#define TB_PLAN_NAME_ALLOWED  "1 to 64 visible ASCII characters"

/*
 * Whether tokens (µtok) fit a capacity (of the table's tokens); for a change
 * that names only one of them.  If not, returns -1 and a message in buf of
 * size bytes.
 */

int tb_client_check_tokens(int64_t tokens, uint32_t capacity, uint32_t unit,
    char *buf, size_t size);

/*
 * Completes what a change does not name of what a client (or plan) is given,
 * by what that was.  limits: members that are limits here.  Returns 0, or the
 * first of the limits that it has to name as well, since there were none.
 */

unsigned tb_client_merge(tb_client_t *change, const tb_client_t *old,
    unsigned limits);

/*
 * Writes the shortest decimal of requests a second that reads back as the
 * same rate (steps); buf has GW_NUMBER_SIZE bytes.  Returns the length.
 */

size_t tb_client_print_rate(char *buf, uint64_t rate);

/* The same for tokens (µtok), exactly; those of an int64_t are debt. */

size_t tb_client_print_tokens(char *buf, int64_t tokens);

/*
 * What a client is given, such as {"capacity":100,"rate_per_sec":10} or
 * {"plan":"gold","blocked":true}, and {"tokens":97.5,"at":1700000000000}, into
 * buf of TB_CLIENT_VALUE_SIZE bytes, in single units; returns the length.
 * A state may have a plan, and a quota, which is in single units already.
 */

size_t tb_client_print(char *buf, const tb_client_t *c, uint32_t unit);
size_t tb_client_print_state(char *buf, const tb_client_t *c, uint32_t unit);


#endif /* TB_CLIENT_H */
