
/*
 * What a check expects: reading the list of status codes, finding the text.
 */


#include <string.h>

#include "src/core/balance/lb_expect.h"


static bool lb_expect_code(const char **p, const char *end, uint16_t *code);


bool
lb_expect_status(lb_expect_t *expect, const char *list, size_t length)
{
    const char  *p, *end;
    lb_range_t  *range;

    p = list;
    end = list + length;

    expect->nranges = 0;

    for ( ;; ) {

        if (expect->nranges == LB_EXPECT_RANGES) {
            return false;
        }

        range = &expect->ranges[expect->nranges++];

        if (!lb_expect_code(&p, end, &range->first)) {
            return false;
        }

        range->last = range->first;

        if (p < end && *p == '-') {
            p++;

            if (!lb_expect_code(&p, end, &range->last)
                || range->last < range->first)
            {
                return false;
            }
        }

        if (p == end) {
            return true;
        }

        if (*p++ != ',') {
            return false;
        }
    }
}


bool
lb_expect_text(lb_expect_t *expect, const char *text, size_t length)
{
    uint8_t   k;
    uint32_t  i;

    if (length == 0 || length > LB_EXPECT_TEXT) {
        return false;
    }

    memcpy(expect->text, text, length);

    expect->length = (uint32_t) length;
    expect->border[0] = 0;
    k = 0;

    for (i = 1; i < length; i++) {

        while (k > 0 && expect->text[k] != expect->text[i]) {
            k = expect->border[k - 1];
        }

        if (expect->text[k] == expect->text[i]) {
            k++;
        }

        expect->border[i] = k;
    }

    return true;
}


bool
lb_expect_accepts(const lb_expect_t *expect, uint32_t status)
{
    uint32_t  i;

    for (i = 0; i < expect->nranges; i++) {

        if (status >= expect->ranges[i].first
            && status <= expect->ranges[i].last)
        {
            return true;
        }
    }

    return false;
}


bool
lb_expect_find(const lb_expect_t *expect, uint32_t *matched,
    const unsigned char *data, size_t length)
{
    size_t    i;
    uint32_t  k;

    k = *matched;

    for (i = 0; i < length && k < expect->length; i++) {

        while (k > 0 && expect->text[k] != data[i]) {
            k = expect->border[k - 1];
        }

        if (expect->text[k] == data[i]) {
            k++;
        }
    }

    *matched = k;

    return k == expect->length;
}


static bool
lb_expect_code(const char **p, const char *end, uint16_t *code)
{
    int          i;
    const char  *s;

    s = *p;

    if (end - s < 3 || s[0] < '1' || s[0] > '5') {
        return false;
    }

    *code = 0;

    for (i = 0; i < 3; i++) {

        if (s[i] < '0' || s[i] > '9') {
            return false;
        }

        *code = (uint16_t) (*code * 10 + (s[i] - '0'));
    }

    *p = s + 3;

    return true;
}
