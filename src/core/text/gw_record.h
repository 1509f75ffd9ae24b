
/*
 * The one reader of JSON that comes from outside: records, which are objects
 * of scalars, driven by a table of their members (gw_member.h).  A text is a
 * record, an array of records, or an object of such arrays; what the form
 * does not know is refused, with what is wrong and where.
 */


#ifndef GW_RECORD_H
#define GW_RECORD_H


#include "src/core/text/gw_json.h"
#include "src/core/text/gw_member.h"


typedef struct gw_record_s  gw_record_t;

/* 0 to go on; or -1 to stop, after gw_record_fail(). */

typedef int (*gw_record_each_pt)(gw_record_t *reader, void *data);


/* What a text may be. */

typedef struct {
    const gw_member_t  *table;
    size_t              size;       /* of a record, bytes */
    unsigned            accept;     /* members that may be there */
    unsigned            require;    /* of those, the ones that must be */
    unsigned            ignore;     /* may be there, and are not set */
    bool                some;       /* at least one must be set */
    bool                array;      /* an array of records will do too */

    /* names of the arrays of records in an object, the first required */
    const char *const  *arrays;

    /* called as a record ends, before the caller's */
    int               (*check)(gw_record_t *reader);
} gw_record_form_t;


struct gw_record_s {
    void                    *record;    /* that is read, or was last */
    size_t                   count;     /* of the array, that have ended */
    unsigned                 array;     /* which one of form->arrays */
    unsigned                 arrays;    /* have been there, as bits */
    bool                     is_array;  /* records are in an array */

    const gw_record_form_t  *form;
    gw_record_each_pt        each;
    void                    *data;
    unsigned                 place;     /* in the text */
    unsigned                 named;     /* members that have been there */
    const gw_member_t       *member;    /* whose value comes next */
    gw_json_t                json;      /* json.error is the error */
};


/*
 * Reads a text in pieces; memory does not grow with it.  Every record is put
 * at "record", zeroed before, and handed to each() as it ends, which may be
 * NULL.  gw_record_feed() and gw_record_finish() return 0, or -1 with a
 * message in reader->json.error that names the member, its value, what is
 * allowed and, in an array, the index; what was handed to each() before is
 * for the caller to undo.
 */

void gw_record_init(gw_record_t *reader, const gw_record_form_t *form,
    void *record, gw_record_each_pt each, void *data);
int gw_record_feed(gw_record_t *reader, const void *text, size_t len);
int gw_record_finish(gw_record_t *reader);

/* All three at once, for a text that is one record in one piece. */

int gw_record_read(gw_record_t *reader, const gw_record_form_t *form,
    void *record, const void *text, size_t len);

/*
 * Sets the error, unless there is one; the array and the index in it are put
 * in front.
 */

void gw_record_fail(gw_record_t *reader, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


#endif /* GW_RECORD_H */
