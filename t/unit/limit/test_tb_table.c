
/*
 * The table of buckets, one process: who gets which bucket, what a sweep
 * frees, what registration changes.  Floods: test_tb_table_flood.c; deaths:
 * test_tb_table_kill.c; threads: race_tb_table.c.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/core/limit/tb_slot.h"
#include "t/unit/limit/tb_fixture.h"


#define R_SECOND  TB_STEPS_A_SECOND
#define NOW       UINT64_C(1000000)
#define DFLT      tb_limits(10, 10 * R_SECOND, 0)
#define OWN       tb_limits(50, R_SECOND, TB_LIMITS_REGISTERED)


static tb_result_t  res;


static tb_verdict_t
ask(tb_table_t *t, uint64_t key, uint64_t now, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return fixture_ask(t, &h, now, DFLT, tokens * TB_TOKEN, &res);
}


static uint64_t
tokens_of(tb_table_t *t, uint64_t key, uint64_t now)
{
    tb_hash_t    h;
    tb_result_t  result;

    h = fixture_key(key);

    if (tb_table_read(t, &h, now, DFLT, &result) != TB_PASS) {
        return UINT64_MAX;
    }

    return result.left;
}


static bool
put(tb_table_t *t, uint64_t key, tb_limits_t limits, uint64_t tokens)
{
    tb_hash_t  h;

    h = fixture_key(key);

    return tb_table_put(t, &h, NOW, DFLT, limits, tokens * TB_TOKEN);
}


static void
test_megabyte_zone_has_thirty_thousand_slots(void **state)
{
    size_t       size;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    assert_true(tb_table_slots(t) >= 30000);
    free(t);

    assert_true(tb_table_room(0) == 0);
    assert_true(tb_table_room(sizeof(tb_table_t)) == 0);

    for (size = 0; size < 100000; size += 37) {

        if (tb_table_room(size) == 0) {
            continue;
        }

        t = fixture_create(size);

        assert_true(t->slots + tb_table_slots(t) * sizeof(tb_slot_t)
                    <= size);
        assert_true(t->slots >= sizeof(tb_table_t) + t->nchunks);
        assert_true(t->slots % 64 == 0);

        free(t);
    }
}


static void
test_new_key_starts_full_and_is_charged_at_once(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(tb_table_take(t, &h, NOW, DFLT, TB_TOKEN, &res)
                == TB_ABSENT);
    assert_true(tb_table_insert(t, &h, NOW, DFLT, TB_TOKEN, &res)
                == TB_PASS);
    assert_true(res.left == 9 * TB_TOKEN);
    assert_false(res.evicted);
    assert_true(res.limits == DFLT);

    assert_true(tb_table_take(t, &h, NOW, DFLT, 9 * TB_TOKEN, &res)
                == TB_PASS);
    assert_true(tb_table_take(t, &h, NOW, DFLT, TB_COST_MIN, &res)
                == TB_REFUSE);
    assert_true(res.left == 0);
    assert_true(tb_word_wait(res.word, res.limits, NOW, TB_TOKEN) == 100);

    assert_true(tb_table_take(t, &h, NOW + 99, DFLT, TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tb_table_take(t, &h, NOW + 100, DFLT, TB_TOKEN, &res)
                == TB_PASS);

    /* an insert that comes second finds the bucket of the first */

    assert_true(tb_table_insert(t, &h, NOW + 100, DFLT, TB_TOKEN, &res)
                == TB_REFUSE);

    free(t);
}


static void
test_new_key_asking_for_more_than_the_capacity_is_refused(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(tb_table_take(t, &h, NOW, DFLT, 11 * TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tb_table_insert(t, &h, NOW, DFLT, 11 * TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tokens_of(t, 1, NOW) == UINT64_MAX);

    free(t);
}


static void
test_free_request_is_admitted_and_brings_no_key_in(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(tb_table_take(t, &h, NOW, DFLT, 0, &res) == TB_PASS);
    assert_true(res.left == 10 * TB_TOKEN);
    assert_true(tokens_of(t, 1, NOW) == UINT64_MAX);

    assert_true(ask(t, 1, NOW, 10) == TB_PASS);
    assert_true(tb_table_take(t, &h, NOW, DFLT, 0, &res) == TB_PASS);
    assert_true(res.left == 0);

    free(t);
}


static void
test_peek_tells_what_take_would_do_and_changes_nothing(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(tb_table_peek(t, &h, NOW, DFLT, TB_TOKEN, &res) == TB_PASS);
    assert_true(res.left == 9 * TB_TOKEN);
    assert_true(tb_table_peek(t, &h, NOW, DFLT, 11 * TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(tokens_of(t, 1, NOW) == UINT64_MAX);

    assert_true(ask(t, 1, NOW, 8) == TB_PASS);
    assert_true(tb_table_peek(t, &h, NOW, DFLT, 2 * TB_TOKEN, &res)
                == TB_PASS);
    assert_true(res.left == 0);
    assert_true(tb_table_peek(t, &h, NOW, DFLT, 3 * TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(res.left == 2 * TB_TOKEN);
    assert_true(tokens_of(t, 1, NOW) == 2 * TB_TOKEN);

    free(t);
}


static void
test_every_key_keeps_its_own_bucket(void **state)
{
    uint64_t     i, n;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    n = tb_table_slots(t) / 2;

    for (i = 0; i < n; i++) {
        assert_true(ask(t, i, NOW, 1 + i % 10) == TB_PASS);
    }

    assert_true(t->evictions == 0);

    for (i = 0; i < n; i++) {
        assert_true(tokens_of(t, i, NOW) == (9 - i % 10) * TB_TOKEN);
    }

    assert_true(fixture_sweep(t, NOW, DFLT).buckets == n);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_keys_that_share_a_tag_keep_their_own_buckets(void **state)
{
    tb_hash_t    a, b;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    a = fixture_key(1);
    b = a;
    b.hi++;

    assert_true(fixture_ask(t, &a, NOW, DFLT, 10 * TB_TOKEN, &res)
                == TB_PASS);
    assert_true(fixture_ask(t, &b, NOW, DFLT, 10 * TB_TOKEN, &res)
                == TB_PASS);
    assert_true(fixture_ask(t, &a, NOW, DFLT, TB_TOKEN, &res) == TB_REFUSE);
    assert_true(fixture_ask(t, &b, NOW, DFLT, TB_TOKEN, &res) == TB_REFUSE);
    assert_true(fixture_sweep(t, NOW, DFLT).buckets == 2);

    free(t);
}


static void
test_full_table_displaces_the_fullest_and_passes_its_tokens_on(void **state)
{
    uint64_t     i;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(ask(t, i, NOW, i == 5 ? 3 : 8) == TB_PASS);
    }

    /* 7 tokens in bucket 5, 2 in the others */

    assert_true(ask(t, 100, NOW, 8) == TB_REFUSE);
    assert_true(t->evictions == 0);
    assert_true(tokens_of(t, 5, NOW) == 7 * TB_TOKEN);

    assert_true(ask(t, 100, NOW, 4) == TB_PASS);
    assert_true(res.evicted);
    assert_true(res.left == 3 * TB_TOKEN);
    assert_true(t->evictions == 1);
    assert_true(tokens_of(t, 5, NOW) == UINT64_MAX);
    assert_true(tokens_of(t, 100, NOW) == 3 * TB_TOKEN);

    /* and the one that was displaced gets no fresh bucket either */

    assert_true(ask(t, 5, NOW, 4) == TB_REFUSE);
    assert_true(ask(t, 5, NOW, 3) == TB_PASS);
    assert_true(tokens_of(t, 100, NOW) == UINT64_MAX);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_displacement_with_one_stamp_for_all_never_reuses_a_word(void **state)
{
    uint64_t     i, word;
    tb_slot_t   *slot;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(put(t, i, i ? OWN : 0, 5));
    }

    for (slot = tb_table_slot(t, 0); slot->limits != 0; slot++) { /**/ }

    word = slot->word;

    for (i = 100; i < 105; i++) {
        assert_true(ask(t, i, NOW, 1) == TB_PASS);
        assert_true(tb_word_age((tb_word_t) word, slot->word) > 0);
        word = slot->word;
    }

    free(t);
}


static void
test_registered_clients_are_never_displaced(void **state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(2));

    for (i = 0; i < 20; i++) {
        assert_true(put(t, i, OWN, 50));
    }

    for (i = 1000; i < 11000; i++) {
        (void) ask(t, i, NOW + i, 1);

        if (i % 100 == 0) {
            (void) fixture_sweep(t, NOW + i, DFLT);
        }
    }

    for (i = 0; i < 20; i++) {
        h = fixture_key(i);
        assert_true(tb_table_is_registered(t, &h));
        assert_true(tokens_of(t, i, NOW + i) == 50 * TB_TOKEN);
    }

    assert_true(fixture_sweep(t, NOW, DFLT).registered == 20);
    assert_true(tb_table_check(t, NOW + 11000, DFLT) == 0);

    free(t);
}


static void
test_new_keys_share_one_bucket_where_all_are_registered(void **state)
{
    uint64_t     i, passed;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(put(t, i, OWN, 0));
    }

    assert_false(put(t, 50, OWN, 0));
    assert_false(put(t, 50, 0, 0));

    h = fixture_key(99);
    assert_true(tb_table_peek(t, &h, NOW, DFLT, TB_TOKEN, &res) == TB_PASS);
    assert_true(res.left == 9 * TB_TOKEN);

    for (passed = 0, i = 100; i < 200; i++) {
        passed += ask(t, i, NOW, 1) == TB_PASS;
    }

    assert_true(passed == 10);
    assert_true(tb_table_peek(t, &h, NOW, DFLT, TB_TOKEN, &res)
                == TB_REFUSE);

    for (passed = 0, i = 100; i < 200; i++) {
        (void) fixture_sweep(t, NOW + i - 99, DFLT);
        passed += ask(t, i, NOW + i - 99, 1) == TB_PASS;
    }

    assert_true(passed == 1);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_limits_change_and_the_tokens_stay(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_false(tb_table_set_limits(t, &h, NOW, DFLT, OWN));
    assert_false(tb_table_is_registered(t, &h));

    assert_true(ask(t, 1, NOW, 3) == TB_PASS);
    assert_true(tb_table_set_limits(t, &h, NOW, DFLT, OWN));
    assert_true(tb_table_is_registered(t, &h));
    assert_true(tokens_of(t, 1, NOW) == 7 * TB_TOKEN);

    /* its own rate from now on, what was earned before at the old one */

    assert_true(tokens_of(t, 1, NOW + 5000) == 12 * TB_TOKEN);

    assert_true(tb_table_set_limits(t, &h, NOW + 20000, DFLT, 0));
    assert_false(tb_table_is_registered(t, &h));
    assert_true(tokens_of(t, 1, NOW + 20000) == 10 * TB_TOKEN);

    assert_true(tb_table_set_limits(t, &h, NOW + 20000, DFLT,
                            tb_limits(2, R_SECOND, TB_LIMITS_REGISTERED)));
    assert_true(tokens_of(t, 1, NOW + 20000) == 2 * TB_TOKEN);
    assert_true(tb_table_set_limits(t, &h, NOW + 20000, DFLT, OWN));
    assert_true(tokens_of(t, 1, NOW + 20000) == 2 * TB_TOKEN);
    assert_true(tb_table_check(t, NOW + 20000, DFLT) == 0);

    free(t);
}


static void
test_put_sets_limits_and_tokens_of_new_and_known_keys(void **state)
{
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    assert_true(put(t, 1, OWN, 50));
    assert_true(tokens_of(t, 1, NOW) == 50 * TB_TOKEN);
    assert_true(put(t, 1, OWN, 3));
    assert_true(tokens_of(t, 1, NOW) == 3 * TB_TOKEN);
    assert_true(put(t, 1, OWN, 51));
    assert_true(tokens_of(t, 1, NOW) == 50 * TB_TOKEN);
    assert_true(put(t, 1, 0, 50));
    assert_true(tokens_of(t, 1, NOW) == 10 * TB_TOKEN);
    assert_true(put(t, 2, 0, 4));
    assert_true(tokens_of(t, 2, NOW) == 4 * TB_TOKEN);
    assert_true(fixture_sweep(t, NOW, DFLT).buckets == 2);

    free(t);
}


static void
test_put_displaces_only_a_fuller_bucket_unless_registered(void **state)
{
    uint64_t     i;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < TB_GROUP_SLOTS; i++) {
        assert_true(ask(t, i, NOW, i == 3 ? 5 : 6) == TB_PASS);
    }

    assert_false(put(t, 100, 0, 5));
    assert_true(put(t, 100, 0, 4));
    assert_true(tokens_of(t, 3, NOW) == UINT64_MAX);
    assert_true(tokens_of(t, 100, NOW) == 4 * TB_TOKEN);

    assert_true(put(t, 101, OWN, 50));
    assert_true(tokens_of(t, 101, NOW) == 50 * TB_TOKEN);
    assert_true(fixture_sweep(t, NOW, DFLT).buckets == TB_GROUP_SLOTS);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_tokens_are_set_and_given_up_to_the_capacity(void **state)
{
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_false(tb_table_set_tokens(t, &h, NOW, DFLT, TB_TOKEN));
    tb_table_give(t, &h, NOW, DFLT, TB_TOKEN);
    assert_true(tokens_of(t, 1, NOW) == UINT64_MAX);

    assert_true(ask(t, 1, NOW, 10) == TB_PASS);
    tb_table_give(t, &h, NOW, DFLT, 4 * TB_TOKEN);
    assert_true(tokens_of(t, 1, NOW) == 4 * TB_TOKEN);
    tb_table_give(t, &h, NOW, DFLT, 7 * TB_TOKEN);
    assert_true(tokens_of(t, 1, NOW) == 10 * TB_TOKEN);

    assert_true(tb_table_set_tokens(t, &h, NOW, DFLT, TB_TOKEN / 2));
    assert_true(tokens_of(t, 1, NOW) == TB_TOKEN / 2);
    assert_true(tb_table_set_tokens(t, &h, NOW, DFLT, 99 * TB_TOKEN));
    assert_true(tokens_of(t, 1, NOW) == 10 * TB_TOKEN);

    assert_true(tb_table_lower_tokens(t, &h, NOW, DFLT, 3 * TB_TOKEN));
    assert_true(tokens_of(t, 1, NOW) == 3 * TB_TOKEN);
    assert_true(tb_table_lower_tokens(t, &h, NOW, DFLT, 4 * TB_TOKEN));
    assert_true(tokens_of(t, 1, NOW) == 3 * TB_TOKEN);

    h = fixture_key(2);
    assert_false(tb_table_lower_tokens(t, &h, NOW, DFLT, 0));

    free(t);
}


static void
test_room_is_there_until_all_in_reach_are_registered(void **state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i < 100; i++) {
        h = fixture_key(i);
        assert_true(tb_table_has_room(t, &h, NOW, DFLT)
                    == put(t, i, OWN, 50));
        (void) ask(t, 1000 + i, NOW, 10);
    }

    assert_true(fixture_sweep(t, NOW, DFLT).registered == TB_GROUP_SLOTS);

    /* one who is there already needs none */

    h = fixture_key(0);
    assert_true(tb_table_has_room(t, &h, NOW, DFLT));

    free(t);
}


static void
test_only_a_full_bucket_of_nobody_registered_is_forgotten(void **state)
{
    uint64_t     i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    assert_true(put(t, 1, 0, 10));
    assert_true(put(t, 2, 0, 9));
    assert_true(put(t, 3, OWN, 50));

    for (i = 1; i <= 4; i++) {
        h = fixture_key(i);
        tb_table_forget(t, &h, NOW, DFLT, UINT64_MAX);
    }

    assert_true(tokens_of(t, 1, NOW) == UINT64_MAX);
    assert_true(tokens_of(t, 2, NOW) == 9 * TB_TOKEN);
    assert_true(tokens_of(t, 3, NOW) == 50 * TB_TOKEN);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    /* with as much as is asked for, or refilled by now */

    assert_true(put(t, 5, 0, 4));

    h = fixture_key(5);
    tb_table_forget(t, &h, NOW, DFLT, 4 * TB_TOKEN + 1);
    assert_true(tokens_of(t, 5, NOW) == 4 * TB_TOKEN);
    tb_table_forget(t, &h, NOW, DFLT, 4 * TB_TOKEN);
    assert_true(tokens_of(t, 5, NOW) == UINT64_MAX);

    h = fixture_key(2);
    tb_table_forget(t, &h, NOW + 100, DFLT, UINT64_MAX);
    assert_true(tokens_of(t, 2, NOW + 100) == UINT64_MAX);
    assert_true(ask(t, 2, NOW + 100, 10) == TB_PASS);

    free(t);
}


static void
test_sweep_frees_what_is_full_and_idle_and_nothing_else(void **state)
{
    uint64_t     now;
    tb_sweep_t   seen;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    assert_true(ask(t, 1, NOW, 5) == TB_PASS);          /* full in 500 ms */
    assert_true(put(t, 2, OWN, 50));

    for (now = NOW; now <= NOW + 1400; now += 100) {
        assert_true(fixture_sweep(t, now, DFLT).buckets == 2);
    }

    (void) fixture_sweep(t, NOW + 1500, DFLT);
    assert_true(tokens_of(t, 1, NOW + 1500) == UINT64_MAX);
    assert_true(tokens_of(t, 2, NOW + 1500) == 50 * TB_TOKEN);
    assert_true(tb_table_check(t, NOW + 1500, DFLT) == 0);

    /* the place itself is as new once the last stamp is of the past */

    (void) fixture_sweep(t, NOW + 5000, DFLT);
    seen = fixture_sweep(t, NOW + 5100, DFLT);

    assert_true(seen.buckets == 1);
    assert_true(seen.registered == 1);
    assert_true(seen.unclean == 0);

    free(t);
}


static void
test_bucket_that_is_not_full_outlives_the_wrap_of_the_stamp(void **state)
{
    uint64_t     now;
    tb_hash_t    h;
    tb_table_t  *t;
    tb_limits_t  slow;

    (void) state;

    t = fixture_create(fixture_size(1));
    h = fixture_key(1);
    slow = tb_limits(10, TB_RATE_MIN, 0);               /* 1r/d */

    assert_true(fixture_ask(t, &h, NOW, slow, 10 * TB_TOKEN, &res)
                == TB_PASS);

    for (now = NOW; now < NOW + 86400000; now += 1000000) {
        (void) fixture_sweep(t, now, slow);
    }

    assert_true(fixture_ask(t, &h, NOW + 86399999, slow, TB_TOKEN, &res)
                == TB_REFUSE);
    assert_true(fixture_ask(t, &h, NOW + 86400000, slow, TB_TOKEN, &res)
                == TB_PASS);

    free(t);
}


static void
test_registered_bucket_at_rest_stays_full_over_the_wrap(void **state)
{
    uint64_t     now;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    assert_true(put(t, 1, OWN, 50));

    for (now = NOW; now < NOW + 4 * TB_AGE_MAX; now += 500000) {
        (void) fixture_sweep(t, now, DFLT);
        assert_true(tokens_of(t, 1, now) == 50 * TB_TOKEN);
    }

    assert_true(ask(t, 1, now, 50) == TB_PASS);
    assert_true(tokens_of(t, 1, now + 1000) == TB_TOKEN);

    free(t);
}


static void
test_chunks_are_flagged_while_anything_is_in_them(void **state)
{
    uint32_t     chunk, i;
    tb_hash_t    h;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);

    for (i = 0; i < tb_table_slots(t); i += TB_CHUNK_SLOTS) {
        assert_false(tb_table_chunk_used(t, i));
    }

    assert_true(ask(t, 1, NOW, 5) == TB_PASS);

    h = fixture_key(1);
    chunk = (uint32_t) (tb_table_find(t, &h) - tb_table_slot(t, 0))
            / TB_CHUNK_SLOTS;

    for (i = 0; i < tb_table_slots(t); i += TB_CHUNK_SLOTS) {
        assert_true(tb_table_chunk_used(t, i)
                    == (i / TB_CHUNK_SLOTS == chunk));
    }

    for (i = 0; i < 10; i++) {
        (void) fixture_sweep(t, NOW + i * 1000, DFLT);
    }

    assert_false(tb_table_chunk_used(t, chunk * TB_CHUNK_SLOTS));
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


/* A slot in the state that a process leaves behind which dies midway. */

static void
leave(tb_slot_t *slot, const tb_hash_t *h, tb_word_t word,
    tb_limits_t limits)
{
    slot->tag = h ? h->lo : 0;
    slot->check = h ? h->hi : 0;
    slot->word = word;
    slot->limits = limits;
}


static void
test_key_whose_displacement_was_cut_short_has_its_tokens(void **state)
{
    tb_hash_t    h;
    tb_slot_t   *slot;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    assert_true(ask(t, 1, NOW, 9) == TB_PASS);

    h = fixture_key(1);
    slot = tb_table_find(t, &h);

    leave(slot, &h, tb_word_vacant(slot->word),
          tb_limits_hold(TB_TOKEN));

    assert_true(tb_table_check(t, NOW, DFLT) == 0);
    assert_true(ask(t, 1, NOW, 2) == TB_REFUSE);
    assert_true(ask(t, 1, NOW, 1) == TB_PASS);
    assert_true(slot->limits == 0);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


static void
test_tokens_without_an_owner_refuse_nobody_beside_an_empty_slot(void **state)
{
    uint32_t     i;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(fixture_size(1));

    for (i = 0; i + 1 < TB_GROUP_SLOTS; i++) {
        leave(tb_table_slot(t, i), NULL, tb_word(0, NOW), 0);
    }

    assert_true(ask(t, 1, NOW, 10) == TB_PASS);

    /* now there is no empty one: what is left over is what there is */

    assert_true(ask(t, 2, NOW, 1) == TB_REFUSE);
    assert_true(ask(t, 2, NOW + 100, 1) == TB_PASS);
    assert_false(res.evicted);
    assert_true(tokens_of(t, 2, NOW + 100) == 0);
    assert_true(tokens_of(t, 1, NOW) == 0);

    free(t);
}


static void
test_check_finds_each_kind_of_broken_slot(void **state)
{
    tb_hash_t    h;
    tb_slot_t   *slot;
    tb_table_t  *t;

    (void) state;

    t = fixture_create(FIXTURE_ZONE);
    h = fixture_key(1);

    assert_true(ask(t, 1, NOW, 1) == TB_PASS);
    slot = tb_table_find(t, &h);

    leave(slot, &h, 0, OWN);                    /* registered, no bucket */
    assert_true(tb_table_check(t, NOW, DFLT) == 1);

    leave(slot, &h, tb_word(TB_COST_MAX + 1, NOW), 0);
    assert_true(tb_table_check(t, NOW, DFLT) == 1);

    leave(slot, &h, tb_word(0, NOW), tb_limits(5, 5, 0));
    assert_true(tb_table_check(t, NOW, DFLT) == 1);

    leave(slot, &h, tb_word(0, NOW), tb_limits(5, 5, TB_LIMITS_HELD));
    assert_true(tb_table_check(t, NOW, DFLT) == 1);

    h.hi = ~h.hi;                               /* of other groups */
    leave(slot, &h, tb_word(0, NOW), 0);
    assert_true(tb_table_check(t, NOW, DFLT) == 1);

    leave(slot, NULL, 0, 0);
    assert_true(tb_table_check(t, NOW, DFLT) == 0);

    free(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_megabyte_zone_has_thirty_thousand_slots),
        cmocka_unit_test(test_new_key_starts_full_and_is_charged_at_once),
        cmocka_unit_test(
            test_new_key_asking_for_more_than_the_capacity_is_refused),
        cmocka_unit_test(test_free_request_is_admitted_and_brings_no_key_in),
        cmocka_unit_test(
            test_peek_tells_what_take_would_do_and_changes_nothing),
        cmocka_unit_test(test_every_key_keeps_its_own_bucket),
        cmocka_unit_test(test_keys_that_share_a_tag_keep_their_own_buckets),
        cmocka_unit_test(
            test_full_table_displaces_the_fullest_and_passes_its_tokens_on),
        cmocka_unit_test(
            test_displacement_with_one_stamp_for_all_never_reuses_a_word),
        cmocka_unit_test(test_registered_clients_are_never_displaced),
        cmocka_unit_test(test_room_is_there_until_all_in_reach_are_registered),
        cmocka_unit_test(
            test_only_a_full_bucket_of_nobody_registered_is_forgotten),
        cmocka_unit_test(
            test_new_keys_share_one_bucket_where_all_are_registered),
        cmocka_unit_test(test_limits_change_and_the_tokens_stay),
        cmocka_unit_test(
            test_put_sets_limits_and_tokens_of_new_and_known_keys),
        cmocka_unit_test(
            test_put_displaces_only_a_fuller_bucket_unless_registered),
        cmocka_unit_test(test_tokens_are_set_and_given_up_to_the_capacity),
        cmocka_unit_test(
            test_sweep_frees_what_is_full_and_idle_and_nothing_else),
        cmocka_unit_test(
            test_bucket_that_is_not_full_outlives_the_wrap_of_the_stamp),
        cmocka_unit_test(
            test_registered_bucket_at_rest_stays_full_over_the_wrap),
        cmocka_unit_test(test_chunks_are_flagged_while_anything_is_in_them),
        cmocka_unit_test(
            test_key_whose_displacement_was_cut_short_has_its_tokens),
        cmocka_unit_test(
            test_tokens_without_an_owner_refuse_nobody_beside_an_empty_slot),
        cmocka_unit_test(test_check_finds_each_kind_of_broken_slot)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
