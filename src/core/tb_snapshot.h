
/*
 * The format of a file of clients: JSON that a person can read and edit.
 *
 *     {"zone":"clients","journal":7,"clients":[
 *     {"client_id":"user1","capacity":100,"rate_per_sec":10},
 *     {"client_id":"user2","capacity":20,"rate_per_sec":0.5}
 *     ]}
 *
 * Only "clients" must be there; white space and order are free.  "journal"
 * is the number of the first journal whose changes are not all in the file.
 * Entries are taken as strictly as from the API, but one that is wrong does
 * not end the reading: whoever reads is told of it.
 */


#ifndef TB_SNAPSHOT_H
#define TB_SNAPSHOT_H


#include "src/core/tb_client.h"


#define TB_SNAPSHOT_ZONE_MAX  255

/* enough for tb_snapshot_write_client() and for tb_snapshot_write_begin() */
#define TB_SNAPSHOT_LINE_SIZE (6 * TB_SNAPSHOT_ZONE_MAX + 160)


typedef struct tb_snapshot_s  tb_snapshot_t;

/*
 * Is given every entry as it ends: s->client, or what is wrong with it in
 * s->wrong, which is an empty string otherwise; s->line is where it ends.
 */

typedef void (*tb_snapshot_each_pt)(tb_snapshot_t *s, void *data);

struct tb_snapshot_s {
    tb_client_t          client;
    char                 wrong[GW_JSON_ERROR_SIZE];
    size_t               line;          /* from 1 */
    size_t               count;         /* of entries that have ended */
    uint64_t             journal;       /* 0: not said */
    size_t               zone_len;      /* 0: not said */
    char                 zone[TB_SNAPSHOT_ZONE_MAX];

    unsigned             place;         /* what the next value belongs to */
    unsigned             seen;          /* members that have been there */
    unsigned             member;        /* of the entry, TB_CLIENT_* */
    unsigned             nested;        /* levels inside a wrong value */
    tb_snapshot_each_pt  each;
    void                *data;
    gw_json_t            json;          /* json.error is the error */
};


/*
 * Reads a text in pieces.  tb_snapshot_feed() and tb_snapshot_finish()
 * return 0, or -1 if it is not such a file: then json.error says why, and
 * line where.
 */

void tb_snapshot_init(tb_snapshot_t *s, tb_snapshot_each_pt each, void *data);
int tb_snapshot_feed(tb_snapshot_t *s, const char *text, size_t len);
int tb_snapshot_finish(tb_snapshot_t *s);


/*
 * Writing: begin, clients (the first of them not preceded by another one),
 * end; each returns the bytes it put into buf of TB_SNAPSHOT_LINE_SIZE.  zone
 * is UTF-8, and left out with a len of 0.
 */

size_t tb_snapshot_write_begin(char *buf, const char *zone, size_t len,
    uint64_t journal);
size_t tb_snapshot_write_client(char *buf, const char *id, size_t len,
    uint32_t capacity, uint64_t rate, bool first);
size_t tb_snapshot_write_end(char *buf);


#endif /* TB_SNAPSHOT_H */
