
/*
 * Smooth weighted round robin as a finite order: weights are reduced and
 * grouped once, then each step takes the group with the largest head, of
 * those above the bar.
 */


#include "src/core/balance/lb_order.h"


/* no group; the end of a slot of the wheel */
#define LB_ORDER_NOBODY  UINT16_MAX

/* steps after which the bar may be raised */
#define LB_ORDER_PERIOD  64

/* the bar is a 64th of the sum below the least that was taken lately */
#define LB_ORDER_MARGIN  64


static void lb_order_wake(lb_order_t *order);
static void lb_order_raise(lb_order_t *order);
static void lb_order_wake_all(lb_order_t *order);
static void lb_order_sleep(lb_order_t *order, uint32_t number);
static uint32_t lb_order_best(lb_order_t *order, int64_t *most);
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

    lb_order_wake_all(order);

    return order->length;
}


uint32_t
lb_order_next(lb_order_t *order)
{
    int64_t            current;
    uint32_t           number, position;
    lb_order_group_t  *group;

    order->step++;

    lb_order_wake(order);

    number = lb_order_best(order, &current);

    if (number == LB_ORDER_NOBODY) {
        lb_order_wake_all(order);
        number = lb_order_best(order, &current);
        order->bar = current - order->length / LB_ORDER_MARGIN;
        order->least = INT64_MAX;
    }

    if (current < order->least) {
        order->least = current;
    }

    if (order->step % LB_ORDER_PERIOD == 0) {
        lb_order_raise(order);
    }

    group = &order->group[number];
    position = order->members[group->first + group->head];

    /*
     * The rest of the group has not been taken in this round and keeps the
     * current weight; after the last one all of them have lost the sum.
     */

    if (++group->head == group->number) {
        group->head = 0;
        group->base -= order->length;
    }

    return position;
}


/* Those whose step it is; others in the slot are due in another round. */

static void
lb_order_wake(lb_order_t *order)
{
    uint16_t           number, *link;
    lb_order_group_t  *group;

    link = &order->wheel[order->step % LB_ORDER_WHEEL];

    while (*link != LB_ORDER_NOBODY) {
        number = *link;
        group = &order->group[number];

        if (group->wake != order->step) {
            link = &group->next;
            continue;
        }

        *link = group->next;
        order->awake[order->nawake++] = number;
    }
}


/* The largest of those awake; the others below the bar fall asleep. */

static uint32_t
lb_order_best(lb_order_t *order, int64_t *most)
{
    int64_t            current;
    uint32_t           i, n, number, best, position, best_position;
    lb_order_group_t  *group;

    n = 0;
    best = LB_ORDER_NOBODY;
    best_position = 0;
    *most = INT64_MIN;

    for (i = 0; i < order->nawake; i++) {
        number = order->awake[i];
        group = &order->group[number];
        current = group->base + (int64_t) order->step * group->weight;

        if (current < order->bar) {
            lb_order_sleep(order, number);
            continue;
        }

        order->awake[n++] = (uint16_t) number;

        if (current < *most) {
            continue;
        }

        position = order->members[group->first + group->head];

        if (current > *most || position < best_position) {
            *most = current;
            best = number;
            best_position = position;
        }
    }

    order->nawake = n;

    return best;
}


static void
lb_order_raise(lb_order_t *order)
{
    int64_t  bar;

    bar = order->least - order->length / LB_ORDER_MARGIN;

    if (order->bar < bar) {
        order->bar = bar;
    }

    order->least = INT64_MAX;
}


/* Until the step at which it reaches the bar. */

static void
lb_order_sleep(lb_order_t *order, uint32_t number)
{
    uint16_t          *slot;
    lb_order_group_t  *group;

    group = &order->group[number];

    group->wake = (uint32_t) ((order->bar - group->base + group->weight - 1)
                              / group->weight);

    slot = &order->wheel[group->wake % LB_ORDER_WHEEL];

    group->next = *slot;
    *slot = (uint16_t) number;
}


/* With a bar that all are above. */

static void
lb_order_wake_all(lb_order_t *order)
{
    uint32_t  i;

    for (i = 0; i < LB_ORDER_WHEEL; i++) {
        order->wheel[i] = LB_ORDER_NOBODY;
    }

    for (i = 0; i < order->ngroups; i++) {
        order->awake[i] = (uint16_t) i;
    }

    order->nawake = order->ngroups;
    order->bar = INT64_MIN;
    order->least = INT64_MAX;
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
