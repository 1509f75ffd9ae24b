
/*
 * max_fails and fail_timeout: counting failures, marking servers as failed,
 * and letting single requests try them again.
 */


#include "src/core/balance/lb_passive.h"


static inline bool lb_passive_waits(uint32_t status, uint32_t tier);
static void lb_passive_due(lb_roster_t *roster, uint32_t tier, uint64_t at);


bool
lb_passive_failed(lb_roster_t *roster, uint32_t index, uint64_t now)
{
    uint32_t      limit, status;
    uint64_t      span;
    lb_server_t  *server;

    server = lb_roster_server(roster, index);

    atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);

    limit = atomic_load_explicit(&server->max_fails, memory_order_relaxed);
    span = atomic_load_explicit(&server->fail_timeout, memory_order_relaxed);

    if (limit == 0 || span == 0) {
        return false;
    }

    status = lb_roster_status(roster, index);

    if (status & LB_FAILED) {
        gw_store_release(&server->retry_at, now + span);
        return false;
    }

    if (!lb_window_hit(&server->fails, limit, span, now)) {
        return false;
    }

    gw_store_release(&server->retry_at, now + span);
    gw_store_release(&server->failed_at, now);

    if (atomic_fetch_or_explicit(&server->status, LB_FAILED,
                                 memory_order_acq_rel)
        & LB_FAILED)
    {
        return false;
    }

    /* were this process killed here, lb_passive_schedule() would make up */

    lb_passive_due(roster, !!(status & LB_BACKUP), now + span);

    return true;
}


bool
lb_passive_passed(lb_roster_t *roster, uint32_t index, lb_how_t how,
    uint64_t now)
{
    lb_server_t  *server;

    if (how == LB_USUAL) {
        return false;
    }

    server = lb_roster_server(roster, index);

    if (!(lb_roster_status(roster, index) & LB_FAILED)) {
        return false;
    }

    if (how == LB_LAST
        && now < gw_load_acquire(&server->failed_at) + LB_FAILED_MIN)
    {
        return false;
    }

    lb_window_clear(&server->fails);

    return atomic_fetch_and_explicit(&server->status, ~(uint32_t) LB_FAILED,
                                     memory_order_acq_rel)
           & LB_FAILED;
}


uint32_t
lb_passive_trial(lb_roster_t *roster, uint32_t tier, const lb_tried_t *tried,
    uint64_t now)
{
    uint32_t      i, used, found;
    uint64_t      due, at, first, next;
    lb_server_t  *server;

    due = atomic_load_explicit(&roster->trial_at[tier],
                               memory_order_relaxed);

    if (now < due) {
        return LB_NONE;
    }

    found = LB_NONE;
    first = LB_NEVER;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_passive_waits(lb_roster_status(roster, i), tier)) {
            continue;
        }

        server = lb_roster_server(roster, i);
        at = gw_load_acquire(&server->retry_at);
        next = now + gw_load_relaxed(&server->fail_timeout);

        if (found == LB_NONE && at <= now && !lb_tried(tried, i)
            && atomic_compare_exchange_strong_explicit(&server->retry_at, &at,
                                                       next,
                                                       memory_order_acq_rel,
                                                       memory_order_acquire))
        {
            found = i;
            at = next;
        }

        if (at < first) {
            first = at;
        }
    }

    /* lost if someone has put an earlier time there: then it is looked again */

    (void) atomic_compare_exchange_strong_explicit(&roster->trial_at[tier],
                                                   &due, first,
                                                   memory_order_acq_rel,
                                                   memory_order_acquire);

    return found;
}


uint32_t
lb_passive_last(lb_roster_t *roster, uint32_t tier, const lb_tried_t *tried)
{
    uint32_t  i, used, found;
    uint64_t  at, first;

    found = LB_NONE;
    first = LB_NEVER;
    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {

        if (!lb_passive_waits(lb_roster_status(roster, i), tier)
            || lb_tried(tried, i))
        {
            continue;
        }

        at = gw_load_acquire(&lb_roster_server(roster, i)->retry_at);

        if (at < first) {
            first = at;
            found = i;
        }
    }

    return found;
}


void
lb_passive_schedule(lb_roster_t *roster)
{
    uint32_t  i, status, used;
    uint64_t  at;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);

        if (status & LB_FAILED) {
            at = gw_load_relaxed(&lb_roster_server(roster, i)->retry_at);
            lb_passive_due(roster, !!(status & LB_BACKUP), at);
        }
    }
}


/* failed, and nothing else stands against it */

static inline bool
lb_passive_waits(uint32_t status, uint32_t tier)
{
    return (status & (LB_USED | LB_UNUSABLE)) == (LB_USED | LB_FAILED)
           && !!(status & LB_BACKUP) == tier;
}


static void
lb_passive_due(lb_roster_t *roster, uint32_t tier, uint64_t at)
{
    uint64_t  due;

    due = gw_load_acquire(&roster->trial_at[tier]);

    while (at < due
           && !atomic_compare_exchange_weak_explicit(&roster->trial_at[tier],
                                                     &due, at,
                                                     memory_order_acq_rel,
                                                     memory_order_acquire))
    {
        /* void */
    }
}
