
/*
 * Smooth weighted round robin as a finite order: weights are reduced and
 * grouped once, then each step takes the group with the largest head.
 */


#include "src/core/balance/lb_order.h"


static uint64_t lb_order_sum(const uint32_t *weights, uint32_t n);
static void lb_order_reduce(uint32_t *weights, uint32_t n);
static void lb_order_scale(uint32_t *weights, uint32_t n, uint64_t sum,
    uint32_t max);
static lb_order_group_t *lb_order_group(lb_order_t *order, uint32_t weight);
static void lb_order_fill(lb_order_t *order, const uint32_t *weights,
    uint32_t *members, uint32_t n);


uint32_t
lb_order_init(lb_order_t *order, uint32_t *weights, uint32_t *members,
    uint32_t n, uint32_t max)
{
    uint64_t  sum;

    order->ngroups = 0;
    order->length = 0;
    order->members = members;

    if (n == 0) {
        return 0;
    }

    lb_order_reduce(weights, n);

    sum = lb_order_sum(weights, n);

    if (sum > max) {
        lb_order_scale(weights, n, sum, max);
        lb_order_reduce(weights, n);
    }

    lb_order_fill(order, weights, members, n);

    order->length = (uint32_t) lb_order_sum(weights, n);
    order->step = 0;

    return order->length;
}


uint32_t
lb_order_next(lb_order_t *order)
{
    int64_t            current, most;
    uint32_t           i, position, best_position;
    lb_order_group_t  *group, *best;

    order->step++;

    most = INT64_MIN;
    best = order->group;
    best_position = 0;

    for (i = 0; i < order->ngroups; i++) {
        group = &order->group[i];
        current = group->base + (int64_t) order->step * group->weight;

        if (current < most) {
            continue;
        }

        position = order->members[group->first + group->head];

        if (current > most || position < best_position) {
            most = current;
            best = group;
            best_position = position;
        }
    }

    /*
     * The rest of the group has not been taken in this round and keeps the
     * current weight; after the last one all of them have lost the sum.
     */

    if (++best->head == best->number) {
        best->head = 0;
        best->base -= order->length;
    }

    return best_position;
}


static uint64_t
lb_order_sum(const uint32_t *weights, uint32_t n)
{
    uint32_t  i;
    uint64_t  sum;

    sum = 0;

    for (i = 0; i < n; i++) {
        sum += weights[i];
    }

    return sum;
}


static void
lb_order_reduce(uint32_t *weights, uint32_t n)
{
    uint32_t  i, a, b, t, gcd;

    gcd = 0;

    for (i = 0; i < n && gcd != 1; i++) {
        a = weights[i];
        b = gcd;

        while (b != 0) {
            t = a % b;
            a = b;
            b = t;
        }

        gcd = a;
    }

    if (gcd <= 1) {
        return;
    }

    for (i = 0; i < n; i++) {
        weights[i] /= gcd;
    }
}


/*
 * Shares of less than one step are rounded up to one; where that would not
 * fit, every server gets one step and a share of the rest.
 */

static void
lb_order_scale(uint32_t *weights, uint32_t n, uint64_t sum, uint32_t max)
{
    uint32_t  i, share;
    uint64_t  scaled;

    scaled = 0;

    for (i = 0; i < n; i++) {
        share = (uint32_t) ((uint64_t) weights[i] * max / sum);
        scaled += (share == 0) ? 1 : share;
    }

    for (i = 0; i < n; i++) {

        if (scaled <= max) {
            share = (uint32_t) ((uint64_t) weights[i] * max / sum);
            weights[i] = (share == 0) ? 1 : share;

        } else {
            share = (uint32_t) ((uint64_t) weights[i] * (max - n) / sum);
            weights[i] = share + 1;
        }
    }
}


/* groups are sorted by weight while they are being collected */

static lb_order_group_t *
lb_order_group(lb_order_t *order, uint32_t weight)
{
    uint32_t  low, high, middle, i;

    low = 0;
    high = order->ngroups;

    while (low < high) {
        middle = (low + high) / 2;

        if (order->group[middle].weight < weight) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (low == order->ngroups || order->group[low].weight != weight) {

        for (i = order->ngroups; i > low; i--) {
            order->group[i] = order->group[i - 1];
        }

        order->group[low] = (lb_order_group_t) { .weight = weight };
        order->ngroups++;
    }

    return &order->group[low];
}


static void
lb_order_fill(lb_order_t *order, const uint32_t *weights, uint32_t *members,
    uint32_t n)
{
    uint32_t           i, first;
    lb_order_group_t  *group;

    for (i = 0; i < n; i++) {
        lb_order_group(order, weights[i])->number++;
    }

    first = 0;

    for (i = 0; i < order->ngroups; i++) {
        order->group[i].first = first;
        first += order->group[i].number;
    }

    for (i = 0; i < n; i++) {
        group = lb_order_group(order, weights[i]);
        members[group->first + group->head++] = i;
    }

    for (i = 0; i < order->ngroups; i++) {
        order->group[i].head = 0;
    }
}
