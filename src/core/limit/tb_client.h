
/*
 * A client as JSON: the bodies of the API and the values in Redis.  One
 * strict reader for all of them, and the printing.  Not here: where clients
 * are kept (tb_table.h), and what changes them.
 *
 * Tokens are in µtok, rates in steps of 0.1r/d (see tb_bucket.h).  Both come
 * from the decimal text without a detour over doubles: a rate is rounded to
 * the nearest step, tokens are cut to µtok.
 */


#ifndef TB_CLIENT_H
#define TB_CLIENT_H


#include "src/core/limit/tb_bucket.h"
#include "src/core/text/gw_id.h"
#include "src/core/text/gw_json.h"
#include "src/core/text/gw_number.h"


#define TB_CLIENT_AT_MAX       UINT64_C(253402300799999)   /* year 9999 */

/* enough for tb_client_print_limits() and tb_client_print_state() */
#define TB_CLIENT_VALUE_SIZE   96

/* members of a client, a bit each */
#define TB_CLIENT_ID           0x01u
#define TB_CLIENT_CAPACITY     0x02u
#define TB_CLIENT_RATE         0x04u
#define TB_CLIENT_TOKENS       0x08u
#define TB_CLIENT_AT           0x10u


typedef struct {
    unsigned           members;     /* which of these are set */
    uint32_t           capacity;    /* tokens, 1 .. TB_CAPACITY_MAX */
    uint64_t           rate;        /* steps, TB_RATE_MIN .. TB_RATE_MAX */
    uint64_t           tokens;      /* µtok, 0 .. capacity */
    uint64_t           at;          /* ms since 1970, when tokens were so */
    size_t             id_len;
    char               id[GW_ID_MAX + 1];      /* NUL-terminated as well */
} tb_client_t;


/* What a text may be. */

typedef struct {
    unsigned           accept;      /* members that may be there */
    unsigned           require;     /* members that must be there */
    unsigned           array:1;     /* an array of such objects will do too */
    unsigned           some:1;      /* at least one member */
} tb_client_form_t;

extern const tb_client_form_t  tb_client_create;   /* id, capacity, rate */
extern const tb_client_form_t  tb_client_bulk;     /* one or an array of it */
extern const tb_client_form_t  tb_client_limits;   /* capacity, rate */
extern const tb_client_form_t  tb_client_change;   /* any of it, or tokens */
extern const tb_client_form_t  tb_client_state;    /* tokens, at */


typedef struct tb_client_reader_s  tb_client_reader_t;

/*
 * Gets every object as it ends, in reader->client; reader->index counts them
 * from 0.  Returns 0 to go on; or -1 to stop, after tb_client_fail().
 */

typedef int (*tb_client_each_pt)(tb_client_reader_t *reader, void *data);

struct tb_client_reader_s {
    tb_client_t              client;
    size_t                   index;     /* of the object */
    size_t                   count;     /* of objects that have ended */
    unsigned                 is_array:1;

    unsigned                 in_object:1;
    unsigned                 member;    /* the bit of the last name */
    const tb_client_form_t  *form;
    tb_client_each_pt        each;
    void                    *data;
    gw_json_t                json;      /* json.error is the error */
};


/*
 * Reads a text in pieces; memory does not grow with it.  "each" may be NULL
 * if only one object is expected: it is in reader->client at the end, its
 * "members" telling what was there.  tb_client_feed() and tb_client_finish()
 * return 0, or -1 with a message in reader->json.error that names the
 * member, its value, what is allowed and, in an array, the index; what was
 * handed to "each" before is for the caller to undo.
 */

void tb_client_init(tb_client_reader_t *reader, const tb_client_form_t *form,
    tb_client_each_pt each, void *data);
int tb_client_feed(tb_client_reader_t *reader, const void *text, size_t len);
int tb_client_finish(tb_client_reader_t *reader);

/* All three at once, for a text that is one object in one piece. */

int tb_client_read(tb_client_reader_t *reader, const tb_client_form_t *form,
    const void *text, size_t len);

/*
 * Sets the error, unless there is one; the index in an array is put in
 * front.
 */

void tb_client_fail(tb_client_reader_t *reader, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

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

/* The same for tokens (µtok), exactly. */

size_t tb_client_print_tokens(char *buf, uint64_t tokens);

/*
 * {"capacity":100,"rate_per_sec":10} and {"tokens":97.5,"at":1700000000000}
 * into buf of TB_CLIENT_VALUE_SIZE bytes; returns the length.
 */

size_t tb_client_print_limits(char *buf, uint32_t capacity, uint64_t rate);
size_t tb_client_print_state(char *buf, uint64_t tokens, uint64_t at);

/*
 * Writes the members of client that are set, in the order of the API, as one
 * object; "registered" (0 or 1) follows unless it is negative.  Returns
 * what yajl says.
 */

yajl_gen_status tb_client_write(yajl_gen gen, const tb_client_t *client,
    int registered);


#endif /* TB_CLIENT_H */
