
/*
 * A client as JSON: the bodies of the API and the values in Redis, which
 * gw_record.h reads by the table of members that is here.  Not here: where
 * clients are kept (tb_table.h), and what changes them.
 *
 * Tokens are in µtok, rates in steps of 0.1r/d (see tb_bucket.h).  Both come
 * from the decimal text without a detour over doubles: a rate is rounded to
 * the nearest step, tokens are cut to µtok.
 */


#ifndef TB_CLIENT_H
#define TB_CLIENT_H


#include "src/core/limit/tb_bucket.h"
#include "src/core/text/gw_id.h"
#include "src/core/text/gw_number.h"
#include "src/core/text/gw_record.h"


#define TB_CLIENT_AT_MAX       UINT64_C(253402300799999)   /* year 9999 */

/* enough for tb_client_print_limits() and tb_client_print_state() */
#define TB_CLIENT_VALUE_SIZE   96

/* members of a client, a bit each */
#define TB_CLIENT_ID           0x01u
#define TB_CLIENT_CAPACITY     0x02u
#define TB_CLIENT_RATE         0x04u
#define TB_CLIENT_TOKENS       0x08u
#define TB_CLIENT_AT           0x10u
#define TB_CLIENT_REGISTERED   0x20u


typedef struct {
    unsigned           members;     /* which of these are set */
    bool               registered;
    uint32_t           capacity;    /* tokens, 1 .. TB_CAPACITY_MAX */
    uint64_t           rate;        /* steps, TB_RATE_MIN .. TB_RATE_MAX */
    uint64_t           tokens;      /* µtok, 0 .. capacity */
    uint64_t           at;          /* ms since 1970, when tokens were so */
    size_t             id_len;
    char               id[GW_ID_MAX + 1];      /* NUL-terminated as well */
} tb_client_t;

extern const gw_member_t  tb_client_members[];

extern const gw_record_form_t  tb_client_create;   /* id, capacity, rate */
extern const gw_record_form_t  tb_client_bulk;     /* one or an array of it */
extern const gw_record_form_t  tb_client_replace;  /* as it was shown */
extern const gw_record_form_t  tb_client_limits;   /* capacity, rate */
extern const gw_record_form_t  tb_client_change;   /* any of it, or tokens */
extern const gw_record_form_t  tb_client_state;    /* tokens, at */


/*
 * Whether tokens (µtok) fit a capacity; for a change that names only one of
 * them.  If not, returns -1 and a message in buf of size bytes.
 */

int tb_client_check_tokens(uint64_t tokens, uint32_t capacity, char *buf,
    size_t size);


/*
 * Writes the shortest decimal of requests a second that reads back as the
 * same rate (steps); buf has GW_NUMBER_SIZE bytes.  Returns the length.
 */

size_t tb_client_print_rate(char *buf, uint64_t rate);

/* The same for tokens (µtok), exactly; those of an int64_t are debt. */

size_t tb_client_print_tokens(char *buf, uint64_t tokens);

/*
 * {"capacity":100,"rate_per_sec":10} and {"tokens":97.5,"at":1700000000000}
 * into buf of TB_CLIENT_VALUE_SIZE bytes; returns the length.
 */

size_t tb_client_print_limits(char *buf, uint32_t capacity, uint64_t rate);
size_t tb_client_print_state(char *buf, uint64_t tokens, uint64_t at);


#endif /* TB_CLIENT_H */
