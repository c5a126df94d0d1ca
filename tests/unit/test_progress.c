/* test_progress.c - what is shown of a copy under way; the time is given, no clock is read. */
#include "haul/clock.h"
#include "haul/num.h"
#include "haul/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct progress_view view_of(uint64_t total, uint64_t durable, uint64_t written)
{
    return (struct progress_view){.phase = PHASE_COPYING,
                                  .bytes_total = total,
                                  .bytes_durable = durable,
                                  .bytes_written = written,
                                  .bytes_copied = written,
                                  .lanes = 1};
}

static void progress_read_takes_every_counter(void **state)
{
    (void)state;
    struct progress progress = {.phase = PHASE_SYNCING,
                                .bytes_total = 100,
                                .bytes_copied = 30,
                                .bytes_kept = 40,
                                .bytes_holes = 5,
                                .bytes_repaired = 6,
                                .bytes_durable = 50,
                                .bytes_verified = 7,
                                .lanes = 3};
    struct progress_view view;
    progress_read(&view, &progress);
    assert_int_equal(view.phase, PHASE_SYNCING);
    assert_int_equal(view.bytes_total, 100);
    assert_int_equal(view.bytes_written, 70);
    assert_int_equal(view.bytes_holes, 5);
    assert_int_equal(view.bytes_repaired, 6);
    assert_int_equal(view.bytes_durable, 50);
    assert_int_equal(view.bytes_verified, 7);
    assert_int_equal(view.lanes, 3);
}

static void progress_percent_counts_durable_bytes_only(void **state)
{
    (void)state;
    struct progress_view view = view_of(1000, 250, 1000);
    assert_int_equal(progress_percent(&view), 25);
    view.bytes_holes = 500;
    assert_int_equal(progress_percent(&view), 75);
    view.bytes_durable = 500;
    assert_int_equal(progress_percent(&view), 99);
    view.phase = PHASE_DONE;
    assert_int_equal(progress_percent(&view), 100);
}

static void progress_percent_at_the_borders_is_honest(void **state)
{
    (void)state;
    struct progress_view view = view_of(0, 0, 0);
    assert_int_equal(progress_percent(&view), 0);
    view.phase = PHASE_DONE;
    assert_int_equal(progress_percent(&view), 100);
    view = view_of(NUM_UNKNOWN, 5, 5);
    assert_int_equal(progress_percent(&view), UINT32_MAX);
    view = view_of(UINT64_MAX - 1, UINT64_MAX / 2, 0); /* no overflow on the way */
    assert_in_range(progress_percent(&view), 49, 50);
}

static void progress_measure_steady_copy_gives_rate_and_time_left(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(100 * MIB, 0, 0);
    for (uint64_t second = 0; second <= 40; second++) {
        view.bytes_durable = second * MIB;
        progress_measure(&meter, &view, 5 + second * NS_PER_SECOND);
    }
    assert_int_equal(meter.rate, MIB);
    assert_int_equal(meter.left_ns, 60 * NS_PER_SECOND);
}

static void progress_measure_speed_that_changed_is_forgotten(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(GIB, 0, 0);
    uint64_t now_ns = 0;
    for (int i = 0; i < 30; i++, now_ns += NS_PER_SECOND, view.bytes_durable += 10 * MIB)
        progress_measure(&meter, &view, now_ns);
    assert_int_equal(meter.rate, 10 * MIB);
    for (int i = 0; i < PROGRESS_SAMPLES + 1;
         i++, now_ns += NS_PER_SECOND, view.bytes_durable += MIB)
        progress_measure(&meter, &view, now_ns);
    assert_int_equal(meter.rate, MIB);
}

static void progress_measure_between_steps_rate_does_not_sag(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    progress_measure(&meter, &view, 0);
    assert_int_equal(meter.rate, NUM_UNKNOWN); /* too early to say */
    assert_int_equal(meter.left_ns, NUM_UNKNOWN);
    view.bytes_durable = 100 * MIB;
    progress_measure(&meter, &view, 5 * NS_PER_SECOND);
    assert_int_equal(meter.rate, 20 * MIB);
    assert_int_equal(meter.left_ns, 45 * NS_PER_SECOND);
    progress_measure(&meter, &view, 9 * NS_PER_SECOND);
    assert_int_equal(meter.rate, 20 * MIB);
    assert_int_equal(meter.left_ns, 41 * NS_PER_SECOND);
    progress_measure(&meter, &view, 20 * NS_PER_SECOND); /* a stall is not hidden */
    assert_int_equal(meter.rate, 5 * MIB);
}

static void progress_measure_what_a_resume_finds_is_not_speed(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    view.phase = PHASE_OPENING;
    progress_measure(&meter, &view, 0);
    view.phase = PHASE_COPYING;
    view.bytes_durable = 900 * MIB;
    progress_measure(&meter, &view, NS_PER_SECOND);
    assert_int_equal(meter.rate, NUM_UNKNOWN);
    view.bytes_durable = 910 * MIB;
    progress_measure(&meter, &view, 2 * NS_PER_SECOND);
    assert_int_equal(meter.rate, 10 * MIB);
    assert_int_equal(meter.left_ns, 9 * NS_PER_SECOND);
}

static void progress_measure_next_file_starts_anew(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    progress_measure(&meter, &view, 0);
    view.bytes_durable = 1000 * MIB;
    progress_measure(&meter, &view, NS_PER_SECOND);
    assert_int_equal(meter.rate, 1000 * MIB);
    view.bytes_durable = 0;
    progress_measure(&meter, &view, 2 * NS_PER_SECOND);
    assert_int_equal(meter.rate, NUM_UNKNOWN);
    assert_int_equal(meter.samples_count, 1);
}

static void progress_line_says_phase_bar_and_figures(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_of(4 * GIB, GIB, 2 * GIB);
    struct progress_meter meter = {.rate = 512 * MIB, .left_ns = 6 * NS_PER_SECOND};
    assert_string_equal(progress_line(line, &view, &meter, 200),
                        "copying    25 % [====>-----          ] 1.00 GiB of 4.00 GiB durable, 512 "
                        "MiB/s, 6.0 s left");
    assert_string_equal(
        progress_line(line, &view, &meter, 0),
        "copying: 25 %, 1.00 GiB of 4.00 GiB durable, 2.00 GiB written, 512 MiB/s, 6.0 s left");
}

static void progress_line_unknown_figures_are_left_out(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_of(NUM_UNKNOWN, MIB, MIB);
    struct progress_meter meter = {.rate = NUM_UNKNOWN, .left_ns = NUM_UNKNOWN};
    view.phase = PHASE_AUDITING;
    assert_string_equal(progress_line(line, &view, &meter, 0), "auditing: 1.00 MiB durable");
}

static void progress_line_more_than_one_lane_is_said(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_of(4 * GIB, GIB, GIB);
    struct progress_meter meter = {.rate = 512 * MIB, .left_ns = 6 * NS_PER_SECOND};
    view.lanes = 3;
    assert_string_equal(
        progress_line(line, &view, &meter, 0),
        "copying: 25 %, 1.00 GiB of 4.00 GiB durable, 512 MiB/s, 6.0 s left, 3 lanes");
}

static void progress_line_is_never_wider_than_the_terminal(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_meter meter = {.rate = 1023 * MIB, .left_ns = 359999 * NS_PER_SECOND};
    for (uint32_t columns = 1; columns < 600; columns++) {
        for (uint64_t durable = 0; durable <= 64; durable++) {
            struct progress_view view = view_of(1023 * MIB, durable * 16367616, 512 * MIB);
            view.phase = PHASE_VERIFYING;
            assert_true(strlen(progress_line(line, &view, &meter, columns)) <= columns);
        }
    }
}

static void progress_json_is_one_line_with_null_for_unknown(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    struct progress_view view = view_of(100, 40, 60);
    struct progress_meter meter = {.rate = NUM_UNKNOWN, .left_ns = NUM_UNKNOWN};
    progress_json(out, &view, &meter);
    meter = (struct progress_meter){.rate = 7, .left_ns = 1500000000};
    progress_json(out, &view, &meter);
    fclose(out);
    assert_string_equal(
        text, "{\"v\":1,\"event\":\"progress\",\"phase\":\"copying\",\"bytes_total\":100,"
              "\"bytes_durable\":40,\"bytes_copied\":60,\"bytes_kept\":0,\"bytes_holes\":0,"
              "\"bytes_repaired\":0,\"bytes_verified\":0,\"bytes_per_second\":null,"
              "\"seconds_left\":null,\"lanes\":1}\n"
              "{\"v\":1,\"event\":\"progress\",\"phase\":\"copying\",\"bytes_total\":100,"
              "\"bytes_durable\":40,\"bytes_copied\":60,\"bytes_kept\":0,\"bytes_holes\":0,"
              "\"bytes_repaired\":0,\"bytes_verified\":0,\"bytes_per_second\":7,"
              "\"seconds_left\":1.500000,\"lanes\":1}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_read_takes_every_counter),
        cmocka_unit_test(progress_percent_counts_durable_bytes_only),
        cmocka_unit_test(progress_percent_at_the_borders_is_honest),
        cmocka_unit_test(progress_measure_steady_copy_gives_rate_and_time_left),
        cmocka_unit_test(progress_measure_speed_that_changed_is_forgotten),
        cmocka_unit_test(progress_measure_between_steps_rate_does_not_sag),
        cmocka_unit_test(progress_measure_what_a_resume_finds_is_not_speed),
        cmocka_unit_test(progress_measure_next_file_starts_anew),
        cmocka_unit_test(progress_line_says_phase_bar_and_figures),
        cmocka_unit_test(progress_line_unknown_figures_are_left_out),
        cmocka_unit_test(progress_line_more_than_one_lane_is_said),
        cmocka_unit_test(progress_line_is_never_wider_than_the_terminal),
        cmocka_unit_test(progress_json_is_one_line_with_null_for_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
