
/*
 * The texts that say how much: rates, capacities and costs, parsed exactly
 * in integers.
 *
 * People count in single units, a table in tokens of unit (1 .. TB_UNIT_MAX)
 * of these.  All that is read or shown is converted here.
 */


#ifndef TB_TEXT_H
#define TB_TEXT_H


#include <stddef.h>

#include "src/core/limit/tb_bucket.h"


#define TB_UNIT_MAX  1000


typedef enum {
    TB_TEXT_OK = 0,
    TB_TEXT_SYNTAX,        /* not of the form at all */
    TB_TEXT_RANGE,         /* of the form, but out of range */
    TB_TEXT_LARGE,         /* a cost above the range */
    TB_TEXT_STEP           /* a capacity that is no multiple of unit */
} tb_text_status_t;


/*
 * A rate such as "5r/s", "90r/m", "0.5r/s", "1000r/h" or "100r/d": digits,
 * optionally a dot and digits, "r/" and the time.  *rate is set to steps of
 * 0.1r/d of the table's tokens, rounded to the nearest; TB_RATE_MIN (or 1,
 * with a unit above 1) .. TB_RATE_MAX or TB_TEXT_RANGE.
 */

tb_text_status_t tb_text_rate(const char *text, size_t len, uint32_t unit,
    uint64_t *rate);

/*
 * A whole number, a multiple of unit: *capacity is set to the table's tokens,
 * 1 .. TB_CAPACITY_MAX.
 */

tb_text_status_t tb_text_capacity(const char *text, size_t len,
    uint32_t unit, uint32_t *capacity);

/*
 * A number: 0, or TB_COST_MIN .. TB_COST_MAX once it is in µtok of the table,
 * what *cost is set to.  What is less than one of these counts as one more.
 * TB_TEXT_LARGE, with *cost the end of the range, for a larger one.
 */

tb_text_status_t tb_text_cost(const char *text, size_t len, uint32_t unit,
    uint64_t *cost);


/*
 * The same of a whole number of up to six digits, as most are, and UINT64_MAX
 * of all others.
 */

static inline uint64_t
tb_text_short_cost(const char *text, size_t len, uint32_t unit)
{
    size_t    i;
    uint64_t  number;

    for (i = 0, number = 0; i < len && i < 6 && text[i] >= '0'
         && text[i] <= '9'; i++)
    {
        number = number * 10 + (uint64_t) (text[i] - '0');
    }

    return (i == len && len != 0) ? (number * TB_TOKEN + unit - 1) / unit
                                  : UINT64_MAX;
}


/*
 * What a table's capacity, rate (steps) and tokens (µtok) are in single
 * units, to be shown, and back; exact but for what is less than 1 µtok, which
 * a number of tokens loses.
 */

static inline uint64_t
tb_unit_capacity(tb_limits_t limits, uint32_t unit)
{
    return (uint64_t) tb_limits_capacity(limits) * unit;
}


static inline uint64_t
tb_unit_rate(tb_limits_t limits, uint32_t unit)
{
    return tb_limits_rate(limits) * unit;
}


static inline int64_t
tb_unit_tokens(int64_t tokens, uint32_t unit)
{
    return tokens * (int64_t) unit;
}


static inline int64_t
tb_unit_tokens_of(int64_t shown, uint32_t unit)
{
    return shown / (int64_t) unit - (shown % (int64_t) unit < 0);
}


/* What a rate earns in one second, in whole tokens, at least 1. */

uint32_t tb_rate_capacity(uint64_t rate);


#endif /* TB_TEXT_H */
