
/*
 * The members that a record of JSON may have, as a table with a row for each
 * of them: how they are read, refused and written.  A record is a structure
 * that begins with an unsigned, in which each member that is set has a bit.
 */


#ifndef GW_MEMBER_H
#define GW_MEMBER_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_gen.h>


#define GW_MEMBER_NAMES_SIZE  256   /* enough for gw_member_names() */


typedef enum {
    GW_MEMBER_INTEGER = 0,
    GW_MEMBER_FLOOR,        /* a number, cut to an integer of the scale */
    GW_MEMBER_NEAREST,      /* rounded to the nearest one */
    GW_MEMBER_TIME,         /* a number of seconds, or as gw_time.h has it */
    GW_MEMBER_FLAG,         /* true or false */
    GW_MEMBER_WORD,         /* one of a few strings */
    GW_MEMBER_ID,           /* a string as gw_id.h has it */
    GW_MEMBER_TEXT          /* a string of visible characters */
} gw_member_kind_t;


/* a word, and the number that stands for it */

typedef struct {
    const char          *word;      /* NULL: the end of the list */
    unsigned             value;
} gw_word_t;


typedef struct {
    const char          *name;      /* NULL: the end of the table */
    unsigned             bit;
    gw_member_kind_t     kind;

    size_t               offset;    /* of the field in the record ... */
    size_t               size;      /* ... and its bytes */
    size_t               length;    /* offset of the size_t with the length */

    uint64_t             scale;     /* what 1 is in units of the field, or 0 */
    uint64_t             unit;      /* the field counts in so many; 0: 1 */
    uint64_t             min;       /* as the field has it */
    uint64_t             max;
    uint64_t             debt;      /* as much below 0 may be, for a field in
                                       two's complement */

    const gw_word_t     *words;     /* the first of each value is written */

    /* writes the field's value times its unit; NULL: as an integer */
    size_t             (*print)(char *buf, uint64_t value);

    const char          *allowed;   /* follows "must be"; NULL: as the kind */
    const char          *absent;    /* why a form may not have it, or NULL */
} gw_member_t;

/*
 * Where a member is: a number (of 4 or 8 bytes), flag (bool) or word (an
 * enum), or a string, of one byte less than its field at most, with a NUL.
 */

#define gw_member_field(type, field)                                         \
    .offset = offsetof(type, field), .size = sizeof(((type *) 0)->field)

#define gw_member_string(type, field, len)                                   \
    gw_member_field(type, field), .length = offsetof(type, len)


/* The row of that name, or NULL. */

const gw_member_t *gw_member_named(const gw_member_t *table,
    const char *name, size_t len);

/* The names of the members with these bits, separated by commas. */

const char *gw_member_names(char buf[GW_MEMBER_NAMES_SIZE],
    const gw_member_t *table, unsigned bits);

/* What a member must be; buf may be used for it. */

const char *gw_member_allowed(char buf[GW_MEMBER_NAMES_SIZE],
    const gw_member_t *m);

/* Set a member; false if it has to be something else. */

bool gw_member_set_flag(const gw_member_t *m, void *record, bool value);
bool gw_member_set_number(const gw_member_t *m, void *record,
    const char *text, size_t len);
bool gw_member_set_string(const gw_member_t *m, void *record,
    const char *text, size_t len);

/* Writes the members that are set into the object that the caller has open. */

void gw_member_write(yajl_gen gen, const gw_member_t *table,
    const void *record);


#endif /* GW_MEMBER_H */
