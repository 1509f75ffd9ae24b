
/*
 * Strict JSON on top of yajl, for texts that nobody vouches for.
 *
 * yajl checks the grammar; what it would let pass is refused before it sees
 * it (gw_json_check.h).  Because lengths and nesting are bounded, so is the
 * memory of yajl, which does not survive a failed allocation: all of it is
 * part of the reader, and nothing is taken from the heap.  Texts come in
 * pieces of any size.
 */


#ifndef GW_JSON_H
#define GW_JSON_H


#include <stdarg.h>
#include <stddef.h>

#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "src/core/text/gw_json_check.h"


#define GW_JSON_ERROR_SIZE  512
#define GW_JSON_QUOTE_SIZE  200     /* enough for gw_json_quote() */

/*
 * What yajl takes for a reader: two buffers that grow from GW_JSON_SCALAR_MAX
 * to twice that, and less than 1 KB of bookkeeping; for a writer: a structure
 * of about 600 bytes.
 */
#define GW_JSON_READ_ARENA  (7 * GW_JSON_SCALAR_MAX)
#define GW_JSON_WRITE_ARENA 1024


/* Memory handed out from front to back; only the last piece can grow. */

typedef struct {
    unsigned char     *start;
    size_t             size;
    size_t             used;        /* bytes */
    size_t             last;        /* where the last piece begins */
    yajl_alloc_funcs   funcs;       /* what yajl is given */
} gw_json_arena_t;


typedef struct {
    yajl_handle        yajl;
    size_t             offset;      /* bytes fed before this piece */
    gw_json_check_t    check;
    gw_json_arena_t    arena;
    char               error[GW_JSON_ERROR_SIZE];   /* empty: none */
    union {
        long double    align;
        unsigned char  data[GW_JSON_READ_ARENA];
    } memory;
} gw_json_t;


/*
 * Prepares a reader of one JSON text, nested up to depth levels (at most 100;
 * an object of scalars has 1).  Callbacks get ctx; one
 * that says no calls gw_json_fail() and returns 0.  There is nothing to free;
 * a reader may be prepared again at any time.
 */

void gw_json_init(gw_json_t *json, const yajl_callbacks *callbacks, void *ctx,
    unsigned depth);

/*
 * Feeds len bytes; gw_json_finish() says that there are no more.  Both
 * return 0, or -1 with json->error set to a line that says what is wrong and
 * where.  After a -1 nothing but gw_json_init() may be called.
 */

int gw_json_feed(gw_json_t *json, const unsigned char *data, size_t len);
int gw_json_finish(gw_json_t *json);

/* Sets the error, unless there is one already. */

void gw_json_fail(gw_json_t *json, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void gw_json_vfail(gw_json_t *json, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

/*
 * Copies len bytes of valid UTF-8 as a C string to buf of GW_JSON_QUOTE_SIZE
 * bytes, for use in a message: control characters become "\u00XX", and
 * what is longer than 32 bytes is cut and ends in "...".  Returns buf.
 */

const char *gw_json_quote(char *buf, const void *data, size_t len);

/*
 * A yajl_gen that lives in memory of GW_JSON_WRITE_ARENA bytes (aligned for
 * any type), writes compact JSON through print and allocates nothing; it is
 * not freed.  NULL should yajl want more than that.
 */

yajl_gen gw_json_writer(gw_json_arena_t *arena, void *memory,
    yajl_print_t print, void *ctx);


#endif /* GW_JSON_H */
