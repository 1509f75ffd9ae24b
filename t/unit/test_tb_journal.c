
/*
 * Journals: what was written is read, cut anywhere it is read up to there,
 * and bytes that are changed or moved are no record.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/core/tb_journal.h"


#define OWNER    UINT64_C(0x1122334455667788)
#define RECORDS  5


static unsigned char  text[8192];
static size_t         size;
static size_t         ends[RECORDS + 1];   /* of the header, of records */


static void
add_change(unsigned char *record, size_t *len, unsigned kind, const char *id)
{
    tb_change_t  change;

    memset(&change, 0, sizeof(change));

    change.kind = kind;
    change.capacity = TB_CAPACITY_MAX;
    change.rate = TB_RATE_MAX;
    change.tokens = 5 * TB_TOKEN;
    change.id = (const unsigned char *) id;
    change.len = strlen(id);

    *len += tb_journal_write_change(record + *len, &change);
}


/* Record i has i + 1 changes. */

static void
write_journal(void)
{
    char      id[256];
    size_t    len;
    uint32_t  i, n;

    tb_journal_write_header(text, 7, OWNER);
    size = TB_JOURNAL_HEADER_SIZE;
    ends[0] = size;

    for (i = 0; i < RECORDS; i++) {
        len = TB_JOURNAL_RECORD_SIZE;

        for (n = 0; n <= i; n++) {
            memset(id, 'a' + (int) n, sizeof(id));
            id[n == 3 ? 255 : n + 1] = '\0';

            add_change(text + size, &len,
                       n % 3 == 0 ? TB_JOURNAL_SET
                       : n % 3 == 1 ? TB_JOURNAL_SET|TB_JOURNAL_TOKENS
                       : TB_JOURNAL_REMOVE, id);
        }

        tb_journal_write_record(text + size, len, i + 1, 1000 + i, OWNER,
                                size);
        size += len;
        ends[i + 1] = size;
    }
}


/* Reads a copy of exactly len bytes; returns the whole records in it. */

static unsigned
read_journal(size_t len, tb_journal_status_t *status)
{
    unsigned        n, changes;
    tb_change_t     change;
    tb_journal_t    j;
    unsigned char  *copy;

    copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);

    tb_journal_init(&j, copy, len, OWNER);
    n = 0;

    while ((*status = tb_journal_next(&j)) == TB_JOURNAL_OK) {
        assert_int_equal(j.at, 1000 + n);
        assert_int_equal(j.offset, ends[n + 1]);

        for (changes = 0; tb_journal_change(&j, &change); changes++) {
            assert_int_equal(change.len, changes == 3 ? 255 : changes + 1);
            assert_int_equal(change.id[0], 'a' + changes);

            if (change.kind & TB_JOURNAL_SET) {
                assert_int_equal(change.capacity, TB_CAPACITY_MAX);
                assert_int_equal(change.rate, TB_RATE_MAX);
            }

            if (change.kind & TB_JOURNAL_TOKENS) {
                assert_int_equal(change.tokens, 5 * TB_TOKEN);
            }
        }

        assert_int_equal(changes, n + 1);
        n++;
    }

    free(copy);

    return n;
}


static void
reads_what_was_written(void **state)
{
    uint64_t             number, owner;
    tb_journal_status_t  status;

    (void) state;

    write_journal();

    assert_true(tb_journal_read_header(text, size, &number, &owner));
    assert_int_equal(number, 7);
    assert_int_equal(owner, OWNER);
    assert_int_equal(read_journal(size, &status), RECORDS);
    assert_int_equal(status, TB_JOURNAL_END);
}


static void
cut_anywhere_has_the_records_before(void **state)
{
    size_t               len;
    unsigned             n;
    tb_journal_status_t  status;

    (void) state;

    write_journal();

    for (len = ends[0]; len <= size; len++) {
        for (n = 0; n < RECORDS && ends[n + 1] <= len; n++) { /* void */ }

        assert_int_equal(read_journal(len, &status), n);
        assert_int_equal(status, len == ends[n] ? TB_JOURNAL_END
                                                : TB_JOURNAL_TORN);
    }
}


static void
a_changed_bit_ends_it_there(void **state)
{
    size_t               i;
    unsigned             n;
    uint64_t             number, owner;
    tb_journal_status_t  status;

    (void) state;

    write_journal();

    for (i = 0; i < size * 8; i++) {
        text[i / 8] ^= (unsigned char) (1 << i % 8);

        if (i / 8 < ends[0]) {
            assert_false(tb_journal_read_header(text, size, &number, &owner));

        } else {
            for (n = 0; ends[n + 1] <= i / 8; n++) { /* void */ }

            assert_int_equal(read_journal(size, &status), n);
            assert_int_equal(status, TB_JOURNAL_TORN);
        }

        text[i / 8] ^= (unsigned char) (1 << i % 8);
    }
}


static void
records_of_another_place_or_journal_are_none(void **state)
{
    size_t               len;
    tb_journal_t         j;
    tb_journal_status_t  status;

    (void) state;

    write_journal();

    len = ends[2] - ends[1];
    memmove(text + ends[0], text + ends[1], len);
    assert_int_equal(read_journal(ends[0] + len, &status), 0);
    assert_int_equal(status, TB_JOURNAL_TORN);

    write_journal();
    tb_journal_init(&j, text, size, OWNER + 1);
    assert_int_equal(tb_journal_next(&j), TB_JOURNAL_TORN);
}


/* The checksum is right, the change is none. */

static void
what_no_writer_writes_is_refused(void **state)
{
    size_t       i, len;
    tb_change_t  change;

    static const tb_change_t  wrong[] = {
        { 0, 1, TB_RATE_MIN, 0, (const unsigned char *) "a", 1 },
        { 3, 1, TB_RATE_MIN, 0, (const unsigned char *) "a", 1 },
        { 4, 1, TB_RATE_MIN, 0, (const unsigned char *) "a", 1 },
        { 1, 0, TB_RATE_MIN, 0, (const unsigned char *) "a", 1 },
        { 1, TB_CAPACITY_MAX + 1, TB_RATE_MIN, 0,
          (const unsigned char *) "a", 1 },
        { 1, 1, TB_RATE_MIN - 1, 0, (const unsigned char *) "a", 1 },
        { 1, 1, TB_RATE_MAX + 1, 0, (const unsigned char *) "a", 1 },
        { 5, 1, TB_RATE_MIN, TB_TOKEN + 1, (const unsigned char *) "a", 1 },
        { 1, 1, TB_RATE_MIN, 0, (const unsigned char *) "", 0 },
        { 1, 1, TB_RATE_MIN, 0, (const unsigned char *) "\xff", 1 },
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tb_journal_t  j;

        change = wrong[i];
        len = TB_JOURNAL_RECORD_SIZE;
        len += tb_journal_write_change(text + ends[0] + len, &change);
        tb_journal_write_record(text + ends[0], len, 1, 0, OWNER, ends[0]);

        tb_journal_init(&j, text, ends[0] + len, OWNER);
        assert_int_equal(tb_journal_next(&j), TB_JOURNAL_TORN);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(cut_anywhere_has_the_records_before),
        cmocka_unit_test(a_changed_bit_ends_it_there),
        cmocka_unit_test(records_of_another_place_or_journal_are_none),
        cmocka_unit_test(what_no_writer_writes_is_refused)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
