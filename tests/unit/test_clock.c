/* Unit tests of clock.c. No test judges how long anything took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "haul/base/clock.h"
#include "haul/base/num.h"

static void clock_now_read_often_never_goes_back(void **state)
{
    uint64_t before = clock_now_ns();

    (void)state;
    assert_true(before > 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void clock_now_between_two_readings_of_the_kernel_lies_between(void **state)
{
    struct timespec first, last;

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &first), 0);
    uint64_t now = clock_now_ns();
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &last), 0);
    assert_true(now >= (uint64_t)first.tv_sec * NS_PER_SECOND + (uint64_t)first.tv_nsec);
    assert_true(now <= (uint64_t)last.tv_sec * NS_PER_SECOND + (uint64_t)last.tv_nsec);
}

static void rate_of_common_figures_is_exact(void **state)
{
    (void)state;
    assert_true(clock_rate(GIB, NS_PER_SECOND) == GIB);
    assert_true(clock_rate(1, NS_PER_SECOND) == 1);
    assert_true(clock_rate(1, 3 * NS_PER_SECOND) == 0);
    assert_true(clock_rate(10, 3 * NS_PER_SECOND) == 3);
    assert_true(clock_rate(MIB, NS_PER_MS) == 1000 * MIB);
    assert_true(clock_rate(0, 5) == 0);
    assert_true(clock_rate(1, 1) == NS_PER_SECOND);
}

static void rate_of_terabytes_over_days_is_exact(void **state)
{
    (void)state;
    /* bytes * 10^9 does not fit 64 bits in any of these. */
    assert_true(clock_rate(1024 * 1024 * GIB, 86400 * NS_PER_SECOND) == 13031248921u);
    assert_true(clock_rate(NUM_OFFSET_MAX, 1000000 * NS_PER_SECOND) == 9223372036854u);
    assert_true(clock_rate(UINT64_MAX, NS_PER_SECOND) == UINT64_MAX);
}

static void rate_over_no_time_is_zero(void **state)
{
    (void)state;
    assert_true(clock_rate(GIB, 0) == 0);
    assert_true(clock_rate(0, 0) == 0);
}

static void rate_at_the_ends_of_the_range_does_not_overflow(void **state)
{
    (void)state;
    assert_true(clock_rate(UINT64_MAX, 1) == NUM_UNKNOWN);
    assert_true(clock_rate(UINT64_MAX, NS_PER_SECOND - 1) == NUM_UNKNOWN);
    assert_true(clock_rate(UINT64_MAX, UINT64_MAX) == NS_PER_SECOND);
    assert_true(clock_rate(1, UINT64_MAX) == 0);
    assert_true(clock_rate(UINT64_MAX, UINT64_MAX / 10) >= 10 * NS_PER_SECOND);
    assert_true(clock_rate(UINT64_MAX, UINT64_MAX / 10 + 1) <= 10 * NS_PER_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_now_read_often_never_goes_back),
        cmocka_unit_test(clock_now_between_two_readings_of_the_kernel_lies_between),
        cmocka_unit_test(rate_of_common_figures_is_exact),
        cmocka_unit_test(rate_of_terabytes_over_days_is_exact),
        cmocka_unit_test(rate_over_no_time_is_zero),
        cmocka_unit_test(rate_at_the_ends_of_the_range_does_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
