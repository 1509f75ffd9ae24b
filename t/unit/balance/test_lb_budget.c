
/*
 * Retries are at most a share of the requests of a sliding window, and so many
 * a second more.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/core/balance/lb_budget.h"

#include <cmocka.h>


/* tries one retry for each of n requests, a ms apart; how many were allowed */

static uint32_t
storm(lb_spent_t *spent, const lb_budget_t *budget, uint64_t *now, uint32_t n)
{
    uint32_t  i, retries;

    retries = 0;

    for (i = 0; i < n; i++) {
        *now += 1;
        lb_budget_request(spent, budget, *now);

        if (lb_budget_allows(spent, budget, *now)) {
            lb_budget_retry(spent, budget, *now);
            retries++;
        }
    }

    return retries;
}


static void
retries_are_a_share_of_requests(void **state)
{
    uint32_t     percent, retries;
    uint64_t     now;
    lb_spent_t   spent;
    lb_budget_t  budget = { .window = 10000 };

    (void) state;

    for (percent = 0; percent <= 100; percent += 10) {
        memset(&spent, 0, sizeof(spent));
        now = 123456;
        budget.percent = percent;

        retries = storm(&spent, &budget, &now, 100000);

        assert_true(retries <= 100000 / 100 * percent);
        assert_true(retries + 2 >= 100000 / 100 * percent * 99 / 100);
    }
}


static void
so_many_a_second_are_allowed_in_any_case(void **state)
{
    uint32_t     retries;
    uint64_t     now;
    lb_spent_t   spent;
    lb_budget_t  budget = { .min = 5, .window = 10000 };

    (void) state;

    memset(&spent, 0, sizeof(spent));
    now = 1000000;

    retries = storm(&spent, &budget, &now, 10000);
    assert_in_range(retries, 50, 54);

    retries += storm(&spent, &budget, &now, 90000);
    assert_in_range(retries, 450, 550);
}


static void
what_was_not_spent_is_gone_after_a_window(void **state)
{
    uint64_t     now;
    lb_spent_t   spent;
    lb_budget_t  budget = { .percent = 20, .window = 2000 };

    (void) state;

    memset(&spent, 0, sizeof(spent));

    for (now = 5000; now < 6000; now++) {
        lb_budget_request(&spent, &budget, now);
    }

    assert_true(lb_budget_allows(&spent, &budget, now));
    assert_true(lb_budget_allows(&spent, &budget, now + 800));
    assert_false(lb_budget_allows(&spent, &budget, now + 2000));
    assert_false(lb_budget_allows(&spent, &budget, now + 200000000));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(retries_are_a_share_of_requests),
        cmocka_unit_test(so_many_a_second_are_allowed_in_any_case),
        cmocka_unit_test(what_was_not_spent_is_gone_after_a_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
