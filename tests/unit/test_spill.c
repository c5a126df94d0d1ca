/* test_spill.c - a table in a temporary file: what was put last is there, what was not is not, and
 * memory and page cache do not grow with it. */
#include "haul/disk/spill.h"

#include "haul/base/num.h"
#include "haul/disk/budget.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 300 * 1000 };

static int setup(void **state)
{
    *state = spill_open();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    spill_close(*state);
    return 0;
}

static void get_has_what_was_put_last(void **state)
{
    const uint64_t one[2] = {1, 2}, other[2] = {2, 1}, none[2] = {3, 3};
    char bytes[64] = "";
    assert_int_equal(spill_get(*state, one, bytes, sizeof(bytes)), 0);
    assert_int_equal(spill_put(*state, one, "first", 6), 0);
    assert_int_equal(spill_put(*state, other, "other", 6), 0);
    assert_int_equal(spill_put(*state, one, "later on", 9), 0);
    assert_int_equal(spill_get(*state, one, bytes, sizeof(bytes)), 9);
    assert_string_equal(bytes, "later on");
    assert_int_equal(spill_get(*state, other, bytes, sizeof(bytes)), 6);
    assert_string_equal(bytes, "other");
    assert_int_equal(spill_get(*state, none, bytes, sizeof(bytes)), 0);
    assert_int_equal(spill_get(*state, one, bytes, 8), -EMSGSIZE);
    assert_int_equal(spill_put(*state, one, NULL, 0), 0);
    assert_int_equal(spill_get(*state, one, bytes, sizeof(bytes)), 0);
}

static void put_without_a_folder_fails_and_nothing_is_there(void **state)
{
    const uint64_t key[2] = {1, 2};
    char bytes[8];
    assert_int_equal(setenv("TMPDIR", "/proc/there/is/none", true), 0);
    assert_int_equal(spill_put(*state, key, "first", 6), -ENOENT);
    assert_int_equal(spill_get(*state, key, bytes, sizeof(bytes)), 0);
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_int_equal(spill_put(*state, key, "first", 6), 0);
    assert_int_equal(spill_get(*state, key, bytes, sizeof(bytes)), 6);
}

static void put_a_long_one(void **state)
{
    static uint8_t bytes[SPILL_BYTES_MAX], back[SPILL_BYTES_MAX];
    const uint64_t key[2] = {9, 9};
    memset(bytes, 7, sizeof(bytes));
    assert_int_equal(spill_put(*state, key, bytes, sizeof(bytes)), 0);
    assert_int_equal(spill_get(*state, key, back, sizeof(back)), SPILL_BYTES_MAX);
    assert_memory_equal(bytes, back, sizeof(bytes));
}

static int entry(char text[128], uint64_t number)
{
    return snprintf(text, 128, "a folder/with a name of some length/%llu",
                    (unsigned long long)number);
}

static void many_take_no_more_memory_than_few(void **state)
{
    char text[128], back[128];
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(spill_put(*state, (uint64_t[2]){64, i}, text, (uint32_t)entry(text, i)),
                         0);
    uint64_t before_bytes = budget_memory_peak();
    for (uint64_t i = 1000; i < MANY; i++)
        assert_int_equal(spill_put(*state, (uint64_t[2]){64, i}, text, (uint32_t)entry(text, i)),
                         0);
    for (uint64_t i = 0; i < MANY; i++) {
        int length = entry(text, i);
        assert_int_equal(spill_get(*state, (uint64_t[2]){64, i}, back, sizeof(back)), length);
        assert_memory_equal(text, back, (size_t)length);
        assert_int_equal(spill_get(*state, (uint64_t[2]){65, i}, back, sizeof(back)), 0);
    }
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* they have memory of their own */
    if (before_bytes != NUM_UNKNOWN)
        assert_true(budget_memory_peak() - before_bytes < 2 * MIB);
#else
    (void)before_bytes;
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_has_what_was_put_last, setup, teardown),
        cmocka_unit_test_setup_teardown(put_without_a_folder_fails_and_nothing_is_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(put_a_long_one, setup, teardown),
        cmocka_unit_test_setup_teardown(many_take_no_more_memory_than_few, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
