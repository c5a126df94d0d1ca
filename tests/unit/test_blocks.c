/* test_blocks.c - sets of blocks, and what of a chunk is in them. */
#include "haul/base/blocks.h"

#include "haul/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS = 41, LENGTH = 40 * BLOCKS_SIZE + 9 };

static void blocks_of_a_chunk_are_counted(void **state)
{
    (void)state;
    assert_int_equal(blocks_count(1), 1);
    assert_int_equal(blocks_count(BLOCKS_SIZE), 1);
    assert_int_equal(blocks_count(BLOCKS_SIZE + 1), 2);
    assert_int_equal(blocks_count(LENGTH), BLOCKS);
    assert_int_equal(blocks_count(BLOCKS_CHUNK_BYTES_MAX), 8 * BLOCKS_SET_BYTES);
}

/* Against the plainest way to say it, for random changes. */
static void blocks_that_differ_are_found_and_no_others(void **state)
{
    static uint8_t old[LENGTH], new[LENGTH], made[LENGTH];
    uint8_t digests[BLOCKS * BLOCKS_DIGEST_BYTES], set[BLOCKS_SET_BYTES];
    (void)state;
    srandom(7);
    for (int round = 0; round < 300; round++) {
        uint32_t changed = 0, start, end, at = 0, bytes = 0;
        for (size_t i = 0; i < LENGTH; i++)
            old[i] = (uint8_t)random();
        memcpy(new, old, LENGTH);
        for (uint32_t block = 0; block < BLOCKS; block++) {
            uint32_t length = block == BLOCKS - 1 ? 9 : BLOCKS_SIZE;
            if (random() % 100 >= round % 101)
                continue;
            new[block * BLOCKS_SIZE + (uint32_t)random() % length] ^= 1;
            changed += length;
        }
        blocks_digest(digests, old, LENGTH);
        assert_int_equal(blocks_compare(set, digests, new, LENGTH), changed);
        assert_int_equal(blocks_bytes(set, LENGTH), changed);
        memcpy(made, old, LENGTH);
        while (blocks_next(set, LENGTH, at, &start, &end)) {
            assert_true(start >= at && end > start && end <= LENGTH);
            memcpy(made + start, new + start, end - start);
            bytes += end - start;
            at = end;
        }
        assert_int_equal(bytes, changed);
        assert_memory_equal(made, new, LENGTH);
    }
}

static void blocks_next_goes_on_within_a_run(void **state)
{
    uint8_t set[BLOCKS_SET_BYTES] = {0x0c};
    uint32_t start, end;
    (void)state;
    assert_true(blocks_next(set, LENGTH, 3 * BLOCKS_SIZE + 5, &start, &end));
    assert_int_equal(start, 3 * BLOCKS_SIZE + 5);
    assert_int_equal(end, 4 * BLOCKS_SIZE);
    assert_false(blocks_next(set, LENGTH, 4 * BLOCKS_SIZE, &start, &end));
}

static void blocks_added_are_in_the_set_and_the_others_are_missing(void **state)
{
    uint8_t set[BLOCKS_SET_BYTES] = {0};
    uint32_t start, end;
    (void)state;
    assert_true(blocks_next_missing(set, LENGTH, 0, &start, &end));
    assert_true(start == 0 && end == LENGTH);
    blocks_add(set, BLOCKS_SIZE, 3 * BLOCKS_SIZE);
    blocks_add(set, 4 * BLOCKS_SIZE, LENGTH); /* whose last block is short */
    assert_int_equal(blocks_bytes(set, LENGTH), LENGTH - 2 * BLOCKS_SIZE);
    assert_true(blocks_next_missing(set, LENGTH, 0, &start, &end));
    assert_true(start == 0 && end == BLOCKS_SIZE);
    assert_true(blocks_next_missing(set, LENGTH, end, &start, &end));
    assert_true(start == 3 * BLOCKS_SIZE && end == 4 * BLOCKS_SIZE);
    assert_false(blocks_next_missing(set, LENGTH, end, &start, &end));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_a_chunk_are_counted),
        cmocka_unit_test(blocks_that_differ_are_found_and_no_others),
        cmocka_unit_test(blocks_next_goes_on_within_a_run),
        cmocka_unit_test(blocks_added_are_in_the_set_and_the_others_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
