
/*
 * The ring of points: that of nginx and Cache::Memcached::Fast.
 */


#include "t/unit/balance/lb_fixture.h"

#include <cmocka.h>

#include "src/core/balance/lb_ketama.h"


/* bit by bit */

static uint32_t
crc32(const char *data, size_t length)
{
    int       bit;
    uint32_t  crc;

    crc = UINT32_MAX;

    while (length--) {
        crc ^= (unsigned char) *data++;

        for (bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? 0xedb88320 : 0);
        }
    }

    return crc ^ UINT32_MAX;
}


static lb_fixture_t *
fixture(uint32_t n, const char *const *hosts, const uint32_t *weights)
{
    uint32_t       k;
    lb_line_t     *line;
    lb_fixture_t  *f;

    f = calloc(1, sizeof(lb_fixture_t));
    assert_non_null(f);

    for (k = 0; k < n; k++) {
        line = lb_fixture_line(f, weights[k]);
        line->host = hosts[k];
        line->host_length = (uint32_t) strlen(hosts[k]);
    }

    lb_fixture_start(f);

    f->random = 42;

    return f;
}


static lb_ketama_t *
ring_of(lb_fixture_t *f, uint32_t max)
{
    lb_point_t   *spare;
    lb_ketama_t  *ring;

    ring = malloc(sizeof(lb_ketama_t) + max * sizeof(lb_point_t));
    spare = malloc(max * sizeof(lb_point_t));
    assert_true(ring && spare);

    lb_ketama_build(ring, f->roster, max, spare);
    free(spare);

    return ring;
}


/* the least point at or after the hash, else the least of all */

static uint32_t
owner(uint32_t n, const char *const *parts, const uint32_t *weights,
    uint32_t hash)
{
    char      text[64];
    size_t    length;
    uint32_t  i, k, point, previous, best, first, best_at, first_at;

    best = 0;
    first = 0;
    best_at = UINT32_MAX;
    first_at = UINT32_MAX;

    for (k = 0; k < n; k++) {
        previous = 0;
        length = strlen(parts[k]);
        memcpy(text, parts[k], length + 1);

        if (strchr(text, '|')) {
            *strchr(text, '|') = '\0';

        } else {
            length++;
        }

        for (i = 0; i < weights[k] * 160; i++) {
            text[length] = (char) previous;
            text[length + 1] = (char) (previous >> 8);
            text[length + 2] = (char) (previous >> 16);
            text[length + 3] = (char) (previous >> 24);

            point = crc32(text, length + 4);
            previous = point;

            if (point >= hash && point < best_at) {
                best_at = point;
                best = k;
            }

            if (point < first_at) {
                first_at = point;
                first = k;
            }
        }
    }

    return (best_at != UINT32_MAX) ? best : first;
}


static void
keys_are_where_the_points_say(void **state)
{
    int            length;
    char           key[16];
    uint32_t       i, index;
    lb_how_t       how;
    lb_ketama_t   *ring;
    lb_fixture_t  *f;
    static const uint32_t     weights[] = { 1, 2, 1, 3 };
    static const char *const  hosts[] = {
        "127.0.0.1:8001", "cache.example.com", "unix:/tmp/s", "[::1]:11211"
    };
    static const char *const  parts[] = {
        "127.0.0.1|8001", "cache.example.com", "/tmp/s", "[::1]|11211"
    };

    (void) state;

    assert_int_equal(lb_ketama_key("123456789", 9), 0xcbf43926);

    f = fixture(4, hosts, weights);
    assert_int_equal(lb_ketama_points(f->roster), 7 * 160);

    ring = ring_of(f, 7 * 160);
    f->ask.ring = ring;

    for (i = 0; i < 300; i++) {
        length = snprintf(key, sizeof(key), "key%u", i);
        f->ask.key = lb_ketama_key(key, (size_t) length);

        index = lb_pick(f->roster, lb_ketama, &f->ask, &how);
        lb_load_drop(&f->load, f->row, index);

        assert_int_equal(index, owner(4, parts, weights,
                                      (uint32_t) f->ask.key));
    }

    free(ring);
    lb_fixture_stop(f);
}


static void
only_keys_of_who_is_out_move(void **state)
{
    uint32_t       i, index, before[1000];
    uint64_t       members;
    lb_how_t       how;
    lb_ketama_t   *ring;
    lb_fixture_t  *f;
    static const uint32_t     weights[] = { 1, 1, 1 };
    static const char *const  hosts[] = { "a:1", "b:1", "c:1" };

    (void) state;

    f = fixture(3, hosts, weights);
    ring = ring_of(f, 480);
    f->ask.ring = ring;
    members = lb_ketama_members(f->roster);

    for (i = 0; i < 1000; i++) {
        f->ask.key = lb_ketama_key(&i, sizeof(i));
        before[i] = lb_pick(f->roster, lb_ketama, &f->ask, &how);
        lb_load_drop(&f->load, f->row, before[i]);
    }

    lb_roster_server(f->roster, 1)->status |= LB_FAILED;
    lb_fixture_build(f->roster);
    lb_roster_server(f->roster, 1)->retry_at = LB_NEVER;
    assert_int_equal(lb_ketama_members(f->roster), members);

    for (i = 0; i < 1000; i++) {
        f->ask.key = lb_ketama_key(&i, sizeof(i));
        index = lb_pick(f->roster, lb_ketama, &f->ask, &how);
        lb_load_drop(&f->load, f->row, index);

        assert_int_not_equal(index, 1);
        assert_true(index == before[i] || before[i] == 1);
    }

    free(ring);
    lb_fixture_stop(f);
}


static void
a_ring_that_would_be_too_large_is_scaled(void **state)
{
    uint32_t       i, count[3] = { 0, 0, 0 };
    lb_ketama_t   *ring;
    lb_fixture_t  *f;
    static const uint32_t     weights[] = { 1000000, 2000000, 1 };
    static const char *const  hosts[] = { "a:1", "b:1", "c:1" };

    (void) state;

    f = fixture(3, hosts, weights);
    assert_int_equal(lb_ketama_points(f->roster), LB_KETAMA_MAX);

    ring = ring_of(f, 30000);
    assert_true(ring->number <= 30000);

    for (i = 0; i < ring->number; i++) {
        count[ring->points[i].index]++;
        assert_true(i == 0
                    || ring->points[i - 1].hash < ring->points[i].hash);
    }

    assert_in_range(count[0], 9900, 10000);
    assert_in_range(count[1], 19900, 20000);

    free(ring);
    lb_fixture_stop(f);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(keys_are_where_the_points_say),
        cmocka_unit_test(only_keys_of_who_is_out_move),
        cmocka_unit_test(a_ring_that_would_be_too_large_is_scaled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
