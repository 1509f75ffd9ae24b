
/*
 * Names and values in a file of clients, and what is wrong with them.
 * Private to tb_snapshot*.c.
 */


#ifndef TB_SNAPSHOT_VALUE_H
#define TB_SNAPSHOT_VALUE_H


#include "src/core/tb_client_member.h"
#include "src/core/tb_snapshot.h"


/* what the next value belongs to, and as bits what has been there */
#define TB_SNAPSHOT_TOP      0u
#define TB_SNAPSHOT_ZONE     1u
#define TB_SNAPSHOT_JOURNAL  2u
#define TB_SNAPSHOT_CLIENTS  4u
#define TB_SNAPSHOT_LIST     8u         /* the entries */
#define TB_SNAPSHOT_ENTRY    16u        /* a member of an entry */
#define TB_SNAPSHOT_MEMBER   32u        /* a name in the outer object */

#define TB_SNAPSHOT_MEMBERS  (TB_CLIENT_ID|TB_CLIENT_CAPACITY|TB_CLIENT_RATE)


/* Notes the first thing that is wrong with an entry. */

void tb_snapshot_wrong(tb_snapshot_t *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A value, in words, that cannot be right where it stands; 1: go on. */

int tb_snapshot_scalar(tb_snapshot_t *s, const char *value);

/* A name in the outer object; 0: it cannot be there. */

int tb_snapshot_name(tb_snapshot_t *s, const char *name, size_t len);

/* The id of the entry. */

void tb_snapshot_id(tb_snapshot_t *s, const char *id, size_t len);

/* The entry has ended. */

void tb_snapshot_entry(tb_snapshot_t *s);


#endif /* TB_SNAPSHOT_VALUE_H */
