
/*
 * What a check expects of a server's answer: ranges of status codes, and a
 * text somewhere in the body that is looked for byte by byte.
 */


#ifndef LB_EXPECT_H
#define LB_EXPECT_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


#define LB_EXPECT_RANGES  16
#define LB_EXPECT_TEXT    255


typedef struct {
    uint16_t         first;
    uint16_t         last;
} lb_range_t;


/* does not change once it is made, so that many probes may share it */

typedef struct {
    lb_range_t       ranges[LB_EXPECT_RANGES];
    uint32_t         nranges;
    bool             head;             /* answers have no body, as to HEAD */

    /* border[i]: how much of text ends and begins text[0 .. i] */
    uint32_t         length;           /* 0: any body will do */
    unsigned char    text[LB_EXPECT_TEXT];
    uint8_t          border[LB_EXPECT_TEXT];
} lb_expect_t;


/*
 * Reads a list of codes and ranges, "200-399" or "200,204,301-302", each
 * from 100 to 599.  false: it is not such a list, or has more than
 * LB_EXPECT_RANGES members.
 */
bool lb_expect_status(lb_expect_t *expect, const char *list, size_t length);

/* Sets the text; false: it is empty or longer than LB_EXPECT_TEXT. */
bool lb_expect_text(lb_expect_t *expect, const char *text, size_t length);

/* Whether the status is in one of the ranges. */
bool lb_expect_accepts(const lb_expect_t *expect, uint32_t status);

/*
 * Goes through a piece of a body.  *matched is how much of the text the
 * pieces so far ended with, 0 at first.  true: the text has been found, and
 * no more is to be asked.  Knuth, Morris and Pratt's method: linear, and no
 * byte of a piece has to be kept.
 */
bool lb_expect_find(const lb_expect_t *expect, uint32_t *matched,
    const unsigned char *data, size_t length);


#endif /* LB_EXPECT_H */
