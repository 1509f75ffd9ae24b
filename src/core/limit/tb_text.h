
/*
 * The texts that say how much: rates, capacities and costs, parsed exactly
 * in integers.
 */


#ifndef TB_TEXT_H
#define TB_TEXT_H


#include <stddef.h>

#include "src/core/limit/tb_bucket.h"


typedef enum {
    TB_TEXT_OK = 0,
    TB_TEXT_SYNTAX,        /* not of the form at all */
    TB_TEXT_RANGE,         /* of the form, but out of range */
    TB_TEXT_LARGE          /* a cost above the range */
} tb_text_status_t;


/*
 * A rate such as "5r/s", "90r/m", "0.5r/s", "1000r/h" or "100r/d": digits,
 * optionally a dot and digits, "r/" and the unit.  *rate is set to steps of
 * 0.1r/d, rounded to the nearest; TB_RATE_MIN .. TB_RATE_MAX or
 * TB_TEXT_RANGE.
 */

tb_text_status_t tb_text_rate(const char *text, size_t len, uint64_t *rate);

/* A whole number of tokens, 1 .. TB_CAPACITY_MAX. */

tb_text_status_t tb_text_capacity(const char *text, size_t len,
    uint32_t *capacity);

/*
 * A number of tokens: 0, or TB_COST_MIN .. TB_COST_MAX once it is in µtok,
 * what *cost is set to.  Decimals beyond the sixth count as one more µtok
 * if they are not zero.  TB_TEXT_LARGE, with *cost the end of the range, for
 * a larger one.
 */

tb_text_status_t tb_text_cost(const char *text, size_t len, uint64_t *cost);

/* What a rate earns in one second, in whole tokens, at least 1. */

uint32_t tb_rate_capacity(uint64_t rate);


#endif /* TB_TEXT_H */
