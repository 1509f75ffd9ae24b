
/*
 * Decimal texts to integers, without floating point.
 */


#include "src/core/limit/tb_text.h"


#define TB_SCALE     UINT64_C(1000000000)       /* of a fraction */
#define TB_WHOLE_MAX UINT64_C(1000000000000000)


/* whole + fraction / TB_SCALE, and whether digits beyond were not 0 */

typedef struct {
    uint64_t  whole;       /* saturates above TB_WHOLE_MAX */
    uint64_t  fraction;
    bool      inexact;
} tb_decimal_t;


static size_t tb_decimal(const char *text, size_t len, tb_decimal_t *d);


tb_text_status_t
tb_text_rate(const char *text, size_t len, uint32_t unit, uint64_t *rate)
{
    size_t        n;
    uint64_t      per, steps;
    tb_decimal_t  d;

    n = tb_decimal(text, len, &d);

    if (n == 0 || len - n != 3 || text[n] != 'r' || text[n + 1] != '/') {
        return TB_TEXT_SYNTAX;
    }

    switch (text[n + 2]) {

    case 's':
        per = TB_STEPS_A_SECOND;
        break;

    case 'm':
        per = TB_STEPS_A_SECOND / 60;
        break;

    case 'h':
        per = TB_STEPS_A_SECOND / 3600;
        break;

    case 'd':
        per = TB_STEPS_A_DAY;
        break;

    default:
        return TB_TEXT_SYNTAX;
    }

    if (d.whole > TB_RATE_MAX / per * unit) {
        return TB_TEXT_RANGE;
    }

    /* the rest of whole steps, and the fraction, rounded together */

    steps = d.whole * per;
    steps = steps / unit
            + (steps % unit * TB_SCALE + d.fraction * per
               + unit * TB_SCALE / 2)
              / (unit * TB_SCALE);

    if (steps < (unit == 1 ? TB_RATE_MIN : 1) || steps > TB_RATE_MAX) {
        return TB_TEXT_RANGE;
    }

    *rate = steps;

    return TB_TEXT_OK;
}


tb_text_status_t
tb_text_capacity(const char *text, size_t len, uint32_t unit,
    uint32_t *capacity)
{
    size_t    i;
    uint64_t  most, value;

    most = (uint64_t) TB_CAPACITY_MAX * unit;

    if (len == 0) {
        return TB_TEXT_SYNTAX;
    }

    value = 0;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return TB_TEXT_SYNTAX;
        }

        if (value <= most) {
            value = value * 10 + (uint64_t) (text[i] - '0');
        }
    }

    if (value == 0 || value > most) {
        return TB_TEXT_RANGE;
    }

    if (value % unit != 0) {
        return TB_TEXT_STEP;
    }

    *capacity = (uint32_t) (value / unit);

    return TB_TEXT_OK;
}


tb_text_status_t
tb_text_cost(const char *text, size_t len, uint32_t unit, uint64_t *cost)
{
    uint64_t      scale, utok;
    tb_decimal_t  d;

    utok = tb_text_short_cost(text, len, unit);

    if (utok != UINT64_MAX) {
        *cost = utok;
        return TB_TEXT_OK;
    }

    if (len == 0 || tb_decimal(text, len, &d) != len) {
        return TB_TEXT_SYNTAX;
    }

    if (d.whole > (uint64_t) TB_CAPACITY_MAX * unit) {
        *cost = TB_COST_MAX;
        return TB_TEXT_LARGE;
    }

    scale = TB_SCALE / TB_TOKEN * unit;
    utok = d.whole * TB_SCALE + d.fraction + d.inexact;
    utok = utok / scale + (utok % scale != 0);

    if (utok != 0 && utok < TB_COST_MIN) {
        return TB_TEXT_RANGE;
    }

    if (utok > TB_COST_MAX) {
        *cost = TB_COST_MAX;
        return TB_TEXT_LARGE;
    }

    *cost = utok;

    return TB_TEXT_OK;
}


uint32_t
tb_rate_capacity(uint64_t rate)
{
    uint64_t  tokens;

    tokens = rate / TB_STEPS_A_SECOND;

    return tokens ? (uint32_t) tokens : 1;
}


/* Returns how many characters the number takes; 0: there is none. */

static size_t
tb_decimal(const char *text, size_t len, tb_decimal_t *d)
{
    size_t    i, digits;
    uint64_t  scale;

    d->whole = 0;
    d->fraction = 0;
    d->inexact = false;

    for (i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        if (d->whole <= TB_WHOLE_MAX) {
            d->whole = d->whole * 10 + (uint64_t) (text[i] - '0');
        }
    }

    if (i == 0 || i == len || text[i] != '.') {
        return i;
    }

    digits = 0;
    scale = TB_SCALE;

    for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++, digits++) {
        scale /= 10;
        d->fraction += (uint64_t) (text[i] - '0') * scale;
        d->inexact |= scale == 0 && text[i] != '0';
    }

    return digits ? i : 0;
}
