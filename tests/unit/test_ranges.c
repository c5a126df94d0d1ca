/* test_ranges.c - a few ranges of a file, against a plain array of what was added. */
#include "haul/base/cleanup.h"
#include "haul/base/ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNITS = 512 };

static void ranges_add_touching_become_one(void **state)
{
    struct ranges ranges = {0};
    (void)state;
    assert_true(ranges_add(&ranges, 10, 20));
    assert_true(ranges_add(&ranges, 30, 40));
    assert_true(ranges_add(&ranges, 20, 30));
    assert_int_equal(ranges.count, 1);
    assert_true(ranges_hold(&ranges, 10, 40));
    assert_false(ranges_hold(&ranges, 9, 11));
    assert_false(ranges_hold(&ranges, 39, 41));
}

static void ranges_add_without_room_adds_nothing(void **state)
{
    struct ranges ranges = {0};
    (void)state;
    for (uint64_t i = 0; i < RANGES_MAX; i++)
        assert_true(ranges_add(&ranges, 10 * i, 10 * i + 5));
    assert_false(ranges_add(&ranges, 1000, 1001));
    assert_false(ranges_hold(&ranges, 1000, 1001));
    assert_true(ranges_add(&ranges, 5, 10)); /* closes a gap */
    assert_true(ranges_add(&ranges, 1000, 1001));
}

static void ranges_add_blurred_closes_the_least_gap(void **state)
{
    struct ranges ranges = {0};
    (void)state;
    for (uint64_t i = 0; i < RANGES_MAX; i++)
        ranges_add_blurred(&ranges, 10 * i, 10 * i + (i == 7 ? 6 : 5));
    ranges_add_blurred(&ranges, 1000, 1001);
    assert_int_equal(ranges.count, RANGES_MAX);
    assert_true(ranges_hold(&ranges, 70, 85)); /* 76 to 80 was the least */
    assert_true(ranges_hold(&ranges, 1000, 1001));
    assert_false(ranges_hold(&ranges, 60, 75));
}

/* All that was added and taken is held, and nothing else; the ranges stay in order. */
static void ranges_random_use_is_as_an_array(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct ranges ranges = {0};
        bool held[UNITS] = {false};
        srandom(seed);
        for (int step = 0; step < 60; step++) {
            uint64_t start = (uint64_t)random() % (UNITS - 1);
            uint64_t end = start + 1 + (uint64_t)random() % 12;
            end = end > UNITS ? UNITS : end;
            if (ranges_add(&ranges, start, end))
                memset(held + start, true, (size_t)(end - start));
        }
        for (uint64_t i = 0; i < UNITS; i++)
            assert_int_equal(ranges_hold(&ranges, i, i + 1), held[i]);
        for (uint32_t i = 1; i < ranges.count; i++)
            assert_true(ranges.all[i - 1].end < ranges.all[i].start);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_add_touching_become_one),
        cmocka_unit_test(ranges_add_without_room_adds_nothing),
        cmocka_unit_test(ranges_add_blurred_closes_the_least_gap),
        cmocka_unit_test(ranges_random_use_is_as_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
