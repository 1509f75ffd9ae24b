
/*
 * The format of a journal of single changes to clients, as bytes: what is
 * appended to a file so that one change costs O(1), and read back after a
 * crash.  Not here: files, and what a change does.
 *
 *     file     header, then records one after the other
 *     header   magic 8 | number 8 | owner 8 | checksum 8
 *     record   checksum 8 | length 4 | count 4 | at 8 | changes (length)
 *     change   kind 1 | id length 1 | [capacity 4 | rate 8] | [tokens 8] | id
 *
 * Integers are little-endian.  Checksums are XXH3 of all that follows in the
 * same header or record, for records seeded with owner + offset in the file:
 * bytes that are left from another journal, or stand at another place, are
 * no record.  A record is read whole or not at all, so the changes in it are
 * made all or none.  Changes say what a client is, not what to add to it, so
 * making them twice is making them once.
 */


#ifndef TB_JOURNAL_H
#define TB_JOURNAL_H


#include <stddef.h>

#include "src/core/tb_bucket.h"


#define TB_JOURNAL_HEADER_SIZE  32
#define TB_JOURNAL_RECORD_SIZE  24      /* of a record without changes */
#define TB_JOURNAL_CHANGE_SIZE  22      /* of a change at most, without id */

/* kinds, a bit each; REMOVE stands alone, TOKENS goes with SET */
#define TB_JOURNAL_SET     1u
#define TB_JOURNAL_REMOVE  2u
#define TB_JOURNAL_TOKENS  4u


typedef struct {
    unsigned              kind;
    uint32_t              capacity;     /* tokens */
    uint64_t              rate;         /* steps */
    uint64_t              tokens;       /* µtok, at most the capacity */
    const unsigned char  *id;           /* in the text that is read */
    size_t                len;          /* 1 .. 255 */
} tb_change_t;


typedef enum {
    TB_JOURNAL_OK = 0,
    TB_JOURNAL_END,        /* nothing follows */
    TB_JOURNAL_TORN        /* what follows is not a whole record */
} tb_journal_status_t;


/* Writes a header of TB_JOURNAL_HEADER_SIZE bytes. */

void tb_journal_write_header(unsigned char *p, uint64_t number,
    uint64_t owner);

/* Whether len bytes begin with a header; if so sets both. */

bool tb_journal_read_header(const unsigned char *p, size_t len,
    uint64_t *number, uint64_t *owner);


/*
 * Writing a record: room for TB_JOURNAL_RECORD_SIZE bytes is left at the
 * start, changes are put behind it with tb_journal_write_change(), which
 * returns the bytes it used, and tb_journal_write_record() completes the
 * record of size bytes, count changes among them, that is to stand at offset
 * of the file; at is in ms since 1970.
 */

size_t tb_journal_write_change(unsigned char *p, const tb_change_t *change);
void tb_journal_write_record(unsigned char *p, size_t size, uint32_t count,
    uint64_t at, uint64_t owner, uint64_t offset);


/* A journal that is read: text is all of the file. */

typedef struct {
    const unsigned char  *text;
    size_t                len;
    uint64_t              owner;
    size_t                offset;       /* of the next record */
    uint64_t              at;           /* of the record, ms since 1970 */
    uint32_t              count;        /* changes of it not yet given out */
    const unsigned char  *next;         /* where the next of them begins */
} tb_journal_t;


/* The header was found to be right; owner is from there. */

void tb_journal_init(tb_journal_t *j, const unsigned char *text, size_t len,
    uint64_t owner);

/* Goes to the next record and checks all of it. */

tb_journal_status_t tb_journal_next(tb_journal_t *j);

/* The next change of the record; false: there are no more. */

bool tb_journal_change(tb_journal_t *j, tb_change_t *change);


#endif /* TB_JOURNAL_H */
