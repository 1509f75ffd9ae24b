
/*
 * Addresses of clients go where nginx's ip_hash has them.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_ip_hash.h"


#define SERVERS  5


static const uint32_t  weights[SERVERS] = { 1, 3, 1, 10, 2 };


static lb_fixture_t *
fixture(uint32_t n)
{
    uint32_t       k;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (k = 0; k < n; k++) {
        (void) lb_fixture_line(f, weights[k]);
    }

    lb_fixture_start(f);

    f->random = 42;

    return f;
}


static lb_ketama_t *
ring_of(lb_fixture_t *f)
{
    lb_point_t    spare[SERVERS];
    lb_ketama_t  *ring;

    ring = malloc(sizeof(lb_ketama_t) + SERVERS * sizeof(lb_point_t));
    assert_non_null(ring);

    lb_ip_hash_build(ring, f->roster, SERVERS, spare);

    return ring;
}


/* step by step, byte by byte; out: bits of servers that are not usable */

static uint32_t
owner(const unsigned char *address, size_t length, uint32_t n, uint32_t out)
{
    size_t    i;
    uint32_t  k, hash, place, tries, total;

    for (k = 0, total = 0; k < n; k++) {
        total += weights[k];
    }

    hash = 89;

    for (tries = 0; tries < 20; tries++) {

        for (i = 0; i < length; i++) {
            hash = (hash * 113 + address[i]) % 6271;
        }

        place = hash % total;

        for (k = 0; place >= weights[k]; k++) {
            place -= weights[k];
        }

        if (!(out >> k & 1)) {
            return k;
        }
    }

    return LB_NONE;
}


static void
check(lb_fixture_t *f, size_t length, uint32_t n, uint32_t out)
{
    size_t         i;
    uint32_t       k, index, expected;
    lb_how_t       how;
    unsigned char  address[16];

    for (k = 0; k < 2000; k++) {

        for (i = 0; i < length; i++) {
            address[i] = (unsigned char) lb_random(&f->random);
        }

        expected = owner(address, length, n, out);

        f->ask.key = lb_ip_hash_key(address, length);
        index = lb_pick(f->roster, lb_ip_hash, &f->ask, &how);

        assert_int_not_equal(index, LB_NONE);
        lb_load_drop(&f->load, f->row, index);

        if (expected != LB_NONE) {
            assert_int_equal(index, expected);
        }
    }
}


static void
addresses_go_where_nginx_has_them(void **state)
{
    uint32_t       k;
    lb_ketama_t   *ring;
    lb_fixture_t  *f = fixture(SERVERS);

    (void) state;

    f->ask.ring = ring = ring_of(f);

    check(f, 3, SERVERS, 0);
    check(f, 16, SERVERS, 0);

    /* of a server that is out the clients move, and no others */

    for (k = 0; k < SERVERS; k++) {
        lb_roster_server(f->roster, k)->status |= LB_FAILED;
        lb_fixture_build(f->roster);

        assert_int_equal(lb_ketama_members(f->roster), ring->members);
        check(f, 3, SERVERS, 1u << k);

        lb_roster_server(f->roster, k)->status &= ~(uint32_t) LB_FAILED;
    }

    free(ring);
    lb_fixture_stop(f);
}


static void
the_order_is_that_of_the_lines_and_backups_have_no_share(void **state)
{
    uint32_t       k;
    uint64_t       before;
    lb_ketama_t   *ring;
    lb_fixture_t  *f = fixture(SERVERS);

    (void) state;

    before = lb_ketama_members(f->roster);

    for (k = 0; k < SERVERS; k++) {
        lb_roster_server(f->roster, k)->rank = SERVERS - k;
    }

    assert_int_not_equal(lb_ketama_members(f->roster), before);

    lb_roster_server(f->roster, 1)->status |= LB_BACKUP;
    ring = ring_of(f);

    assert_int_equal(ring->number, SERVERS - 1);
    assert_int_equal(ring->points[0].index, 4);
    assert_int_equal(ring->points[0].hash, 1);
    assert_int_equal(ring->points[1].index, 3);
    assert_int_equal(ring->points[1].hash, 11);
    assert_int_equal(ring->points[3].index, 0);
    assert_int_equal(ring->points[3].hash, 13);

    free(ring);
    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(addresses_go_where_nginx_has_them),
        cmocka_unit_test(
            the_order_is_that_of_the_lines_and_backups_have_no_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
