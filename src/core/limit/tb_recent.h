
/*
 * Which clients were changed lately, and by which entry of a stream of
 * changes: keeps what was read earlier from undoing a later change.  Not
 * here: where changes come from, and the lock.
 *
 * A ring of the last changes.  What falls out of it raises the floor: of a
 * view of the store from before the floor nobody can tell any more what in
 * it is out of date.
 */


#ifndef TB_RECENT_H
#define TB_RECENT_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define TB_RECENT_SLOTS    48
#define TB_STREAM_ID_SIZE  42      /* two numbers, "-", NUL */


/* The id of a stream's entry as Redis has it: "ms-seq". */

typedef struct {
    uint64_t          ms;
    uint64_t          seq;
} tb_stream_id_t;


typedef struct {
    uint64_t          key;         /* 0: not in use */
    tb_stream_id_t    id;
} tb_recent_slot_t;


/* All-zero memory is empty.  The caller holds the lock in all functions. */

typedef struct {
    tb_stream_id_t    floor;
    uint32_t          next;
    tb_recent_slot_t  slots[TB_RECENT_SLOTS];
} tb_recent_t;


/* Below 0, 0 or above 0, as a is before b, the same, or after it. */

static inline int
tb_stream_id_compare(const tb_stream_id_t *a, const tb_stream_id_t *b)
{
    if (a->ms != b->ms) {
        return a->ms < b->ms ? -1 : 1;
    }

    return a->seq < b->seq ? -1 : a->seq > b->seq;
}


/* Whether len bytes are an id, whole; *id is set if so. */

bool tb_stream_id_parse(tb_stream_id_t *id, const char *text, size_t len);

/* buf has TB_STREAM_ID_SIZE bytes; returns the length. */

size_t tb_stream_id_print(char *buf, const tb_stream_id_t *id);


/* Notes that the client key (not 0) was changed by the entry id. */

void tb_recent_note(tb_recent_t *recent, uint64_t key,
    const tb_stream_id_t *id);

/* Views from before id are out of date. */

void tb_recent_raise(tb_recent_t *recent, const tb_stream_id_t *id);

/* Whether a view as of the entry id can be judged. */

bool tb_recent_covers(const tb_recent_t *recent, const tb_stream_id_t *id);

/* Whether nothing later than id is known about key. */

bool tb_recent_allows(const tb_recent_t *recent, uint64_t key,
    const tb_stream_id_t *id);

/* Forgets all, for a stream that begins anew. */

void tb_recent_clear(tb_recent_t *recent);


#endif /* TB_RECENT_H */
