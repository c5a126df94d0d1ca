/* Unit tests of num.h: arithmetic at its borders, and decimal numbers from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "haul/base/num.h"

static void div_ceil_at_borders_rounds_up_without_overflow(void **state)
{
    (void)state;
    assert_true(div_ceil(0, 7) == 0);
    assert_true(div_ceil(1, 7) == 1);
    assert_true(div_ceil(7, 7) == 1);
    assert_true(div_ceil(8, 7) == 2);
    assert_true(div_ceil(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(div_ceil(UINT64_MAX, MIB) == (uint64_t)1 << 44);
    assert_true(div_ceil(UINT64_MAX, UINT64_MAX) == 1);
}

static void is_power_of_two_over_all_bits_accepts_only_single_bits(void **state)
{
    (void)state;
    assert_false(is_power_of_two(0));
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t value = (uint64_t)1 << bit;
        assert_true(is_power_of_two(value));
        assert_false(is_power_of_two(value | value << 1 | 4 | 8));
    }
}

static void align_at_borders_keeps_aligned_values(void **state)
{
    (void)state;
    assert_true(align_down(4095, 4096) == 0);
    assert_true(align_down(4096, 4096) == 4096);
    assert_true(align_down(UINT64_MAX, 4096) == UINT64_MAX - 4095);
    assert_true(align_up(0, 4096) == 0);
    assert_true(align_up(1, 4096) == 4096);
    assert_true(align_up(4096, 4096) == 4096);
    assert_true(align_up(UINT64_MAX - 4095, 4096) == UINT64_MAX - 4095);
    assert_true(align_up(UINT64_MAX, 1) == UINT64_MAX);
}

static void clamp_outside_the_range_gives_the_nearest_end(void **state)
{
    (void)state;
    assert_true(clamp_u64(1, 2, 5) == 2);
    assert_true(clamp_u64(3, 2, 5) == 3);
    assert_true(clamp_u64(9, 2, 5) == 5);
    assert_true(clamp_u64(9, 4, 4) == 4);
    assert_true(min_u64(0, UINT64_MAX) == 0);
    assert_true(max_u64(0, UINT64_MAX) == UINT64_MAX);
}

static void add_and_mul_on_overflow_refuse(void **state)
{
    uint64_t out = 0;

    (void)state;
    assert_true(add_u64(UINT64_MAX - 1, 1, &out));
    assert_true(out == UINT64_MAX);
    assert_false(add_u64(UINT64_MAX, 1, &out));
    assert_true(mul_u64((uint64_t)1 << 32, UINT32_MAX, &out));
    assert_true(out == (uint64_t)UINT32_MAX << 32);
    assert_false(mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &out));
    assert_true(mul_u64(UINT64_MAX, 0, &out));
    assert_true(out == 0);
}

static void num_conversions_at_their_largest_keep_the_value(void **state)
{
    (void)state;
    assert_true(num_off(NUM_OFFSET_MAX) == INT64_MAX);
    assert_true(num_off(0) == 0);
    assert_true(num_u32(UINT32_MAX) == UINT32_MAX);
}

static void parse_of_whole_decimals_gives_their_value(void **state)
{
    uint64_t out = 1;

    (void)state;
    assert_true(num_parse_u64("0", &out));
    assert_true(out == 0);
    assert_true(num_parse_u64("007", &out));
    assert_true(out == 7);
    assert_true(num_parse_u64("18446744073709551615", &out));
    assert_true(out == UINT64_MAX);
    assert_true(num_parse_u64("0000000000000000000000000000018446744073709551615", &out));
    assert_true(out == UINT64_MAX);
}

static void parse_of_anything_else_refuses_and_keeps_out(void **state)
{
    static const char *const wrong[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x10",
        "1.0",
        "1k",
        "1\n",
        "1e3",
        "1,0",
        "\xb2",
        "18446744073709551616",
        "99999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t out = 42;
        if (num_parse_u64(wrong[i], &out) || out != 42)
            fail_msg("'%s' was accepted or changed out", wrong[i]);
    }
}

static void takes_digits_and_stops_behind_them(void **state)
{
    static const struct {
        const char *text;
        uint32_t base;
        uint64_t value;
        const char *rest;
    } cases[] = {
        {"", 10, 0, ""},
        {"x1", 10, 0, "x1"},
        {"12.3", 10, 12, ".3"},
        {"12a", 10, 12, "a"},
        {"7f0fd5-80", 16, 0x7f0fd5, "-80"},
        {"Anon", 16, 0, "Anon"},
        {"fg", 16, 15, "g"},
        {"18446744073709551614 kB", 10, UINT64_MAX - 1, " kB"},
        {"18446744073709551616 kB", 10, NUM_UNKNOWN, " kB"},
        {"fffffffffffffffff0", 16, NUM_UNKNOWN, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = cases[i].text;
        assert_int_equal(num_take(&at, cases[i].base), cases[i].value);
        assert_string_equal(at, cases[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(div_ceil_at_borders_rounds_up_without_overflow),
        cmocka_unit_test(is_power_of_two_over_all_bits_accepts_only_single_bits),
        cmocka_unit_test(align_at_borders_keeps_aligned_values),
        cmocka_unit_test(clamp_outside_the_range_gives_the_nearest_end),
        cmocka_unit_test(add_and_mul_on_overflow_refuse),
        cmocka_unit_test(num_conversions_at_their_largest_keep_the_value),
        cmocka_unit_test(parse_of_whole_decimals_gives_their_value),
        cmocka_unit_test(parse_of_anything_else_refuses_and_keeps_out),
        cmocka_unit_test(takes_digits_and_stops_behind_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
