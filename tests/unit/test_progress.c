/* test_progress.c - what is shown of a copy under way; the time is given, no clock is read. */
#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/progress.h"

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

static void progress_percent_counts_what_is_written(void **state)
{
    (void)state;
    struct progress_view view = view_of(1000, 0, 250);
    assert_int_equal(progress_percent(&view), 25);
    view.bytes_holes = 500;
    assert_int_equal(progress_percent(&view), 75);
    view.bytes_written = 500;
    assert_int_equal(progress_percent(&view), 99);
    view.phase = PHASE_DONE;
    assert_int_equal(progress_percent(&view), 100);
    view = view_of(1000, 600, 100); /* a resume that has audited little so far */
    assert_int_equal(progress_percent(&view), 60);
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
    view = view_of(UINT64_MAX - 1, 0, UINT64_MAX / 2); /* no overflow on the way */
    uint32_t percent = progress_percent(&view);
    assert_true(percent == 49 || percent == 50);
}

/* `copied` more by now. */
static void go_on(struct progress_meter *meter, struct progress_view *view, uint64_t copied,
                  uint64_t now_ns)
{
    view->bytes_copied += copied;
    view->bytes_written += copied;
    progress_measure(meter, view, now_ns);
}

static void progress_measure_steady_copy_gives_rate_and_time_left(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(100 * MIB, 0, 0);
    progress_measure(&meter, &view, 5);
    assert_int_equal(meter.rate, NUM_UNKNOWN); /* too early to say */
    assert_int_equal(meter.left_ns, NUM_UNKNOWN);
    for (uint64_t second = 1; second <= 40; second++)
        go_on(&meter, &view, MIB, 5 + second * NS_PER_SECOND);
    assert_int_equal(meter.rate, MIB);
    assert_int_equal(meter.left_ns, 60 * NS_PER_SECOND);
    assert_int_equal(meter.phase, PHASE_COPYING);
}

static void progress_measure_speed_that_changed_is_forgotten(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(GIB, 0, 0);
    uint64_t now_ns = 0;
    for (int i = 0; i < 30; i++, now_ns += NS_PER_SECOND)
        go_on(&meter, &view, 10 * MIB, now_ns);
    assert_int_equal(meter.rate, 10 * MIB);
    for (int i = 0; i < PROGRESS_SAMPLES + 1; i++, now_ns += NS_PER_SECOND)
        go_on(&meter, &view, MIB, now_ns);
    assert_int_equal(meter.rate, MIB);
    for (int i = 0; i < PROGRESS_SAMPLES + 1; i++, now_ns += NS_PER_SECOND)
        go_on(&meter, &view, 0, now_ns);
    assert_int_equal(meter.rate, NUM_UNKNOWN); /* a stall is not hidden */
}

/* What a resume finds is no speed, and what it audits is none while it writes. */
static void progress_measure_a_resume_counts_what_is_written_now(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    view.phase = PHASE_OPENING;
    progress_measure(&meter, &view, 0);
    assert_int_equal(meter.phase, PHASE_OPENING);
    view.phase = PHASE_COPYING;
    view.bytes_kept = view.bytes_written = 500 * MIB;
    progress_measure(&meter, &view, NS_PER_SECOND);
    assert_int_equal(meter.rate, NUM_UNKNOWN);
    view.bytes_kept += 300 * MIB;
    view.bytes_written += 300 * MIB;
    go_on(&meter, &view, 10 * MIB, 2 * NS_PER_SECOND);
    assert_int_equal(meter.rate, 10 * MIB);
    assert_int_equal(meter.left_ns, 19 * NS_PER_SECOND);
    assert_int_equal(meter.phase, PHASE_COPYING);
}

/* As long as a copy only finds what is there right, it compares, and at that speed. */
static void progress_measure_a_copy_that_writes_nothing_is_comparing(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    progress_measure(&meter, &view, 0);
    view.bytes_kept = view.bytes_written = 200 * MIB;
    progress_measure(&meter, &view, NS_PER_SECOND);
    assert_int_equal(meter.phase, PHASE_COMPARING);
    assert_int_equal(meter.rate, 200 * MIB);
    assert_int_equal(meter.left_ns, 4 * NS_PER_SECOND);
    go_on(&meter, &view, 10 * MIB, 2 * NS_PER_SECOND);
    assert_int_equal(meter.phase, PHASE_COPYING);
    view.phase = PHASE_AUDITING; /* the plan knows better */
    progress_measure(&meter, &view, 3 * NS_PER_SECOND);
    assert_int_equal(meter.phase, PHASE_AUDITING);
}

static void progress_measure_next_file_starts_anew(void **state)
{
    (void)state;
    struct progress_meter meter = {0};
    struct progress_view view = view_of(1000 * MIB, 0, 0);
    progress_measure(&meter, &view, 0);
    go_on(&meter, &view, 1000 * MIB, NS_PER_SECOND);
    assert_int_equal(meter.rate, 1000 * MIB);
    view.bytes_copied = view.bytes_written = 0;
    progress_measure(&meter, &view, 2 * NS_PER_SECOND);
    assert_int_equal(meter.rate, NUM_UNKNOWN);
    assert_int_equal(meter.samples_count, 1);
}

/* A copy in its middle: 2 of 4 GiB written, 1 durable. */
static struct progress_view view_in_the_middle(void)
{
    struct progress_view view = view_of(4 * GIB, GIB, 2 * GIB);
    view.name = "disk.img";
    view.number = view.count = 1;
    return view;
}

static const struct progress_meter meter_in_the_middle = {
    .phase = PHASE_COPYING, .rate = 512 * MIB, .left_ns = 11 * NS_PER_SECOND};

static void expect_line(const struct progress_view *view, uint32_t columns, const char *expected)
{
    char line[PROGRESS_LINE_BYTES];
    assert_string_equal(progress_line(line, view, &meter_in_the_middle, columns), expected);
}

/* The bar takes what is left, and is the first to give way. */
static void progress_line_at_40_80_and_200_columns(void **state)
{
    (void)state;
    struct progress_view view = view_in_the_middle();
    expect_line(&view, 39, "dis~mg copying 50% 2.0/4.0G 512M/s 0:11");
    expect_line(&view, 79,
                "disk.img copying  50% [==>---       ] 2.00/4.00G 512M/s 0:11 left 1.00G durable");
    expect_line(&view, 199,
                "disk.img copying  50% "
                "[===========================>-----------------------------"
                "                                                         ] "
                "2.00 GiB of 4.00 GiB, 512 MiB/s, 0:11 left, 1.00 GiB durable");
    view.number = 2;
    view.count = 3;
    expect_line(&view, 39, "2/3 disk.img copying 50% 512M/s 0:11");
    expect_line(&view, 20, "2/3 copying 50% 0:11");
    expect_line(&view, 5, "copyi");
    expect_line(&view, 0,
                "2/3 disk.img: copying: 50 %, 2.00 GiB of 4.00 GiB, 512 MiB/s, 0:11 left, 1.00 GiB "
                "durable");
}

static void progress_line_of_a_comparison_says_nothing_of_durable(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_in_the_middle();
    struct progress_meter meter = meter_in_the_middle;
    view.phase = meter.phase = PHASE_COMPARING;
    assert_string_equal(
        progress_line(line, &view, &meter, 79),
        "disk.img comparing  50% [====>     ] 2.00 GiB of 4.00 GiB, 512 MiB/s, 0:11 left");
}

static void progress_line_unknown_figures_are_left_out(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_of(NUM_UNKNOWN, MIB, MIB);
    struct progress_meter meter = {
        .phase = PHASE_AUDITING, .rate = NUM_UNKNOWN, .left_ns = NUM_UNKNOWN};
    assert_string_equal(progress_line(line, &view, &meter, 0),
                        "auditing: 1.00 MiB, 1.00 MiB durable");
}

static void progress_line_more_than_one_lane_is_said_where_there_is_room(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    struct progress_view view = view_in_the_middle();
    view.lanes = 3;
    progress_line(line, &view, &meter_in_the_middle, 120);
    assert_non_null(strstr(line, "3 lanes"));
    progress_line(line, &view, &meter_in_the_middle, 79);
    assert_null(strstr(line, "lanes"));
}

static void progress_line_names_are_escaped_and_fit(void **state)
{
    (void)state;
    struct progress_view view = view_in_the_middle();
    view.name = "a\033[31m\nb\233"; /* escape, newline, and a C1 byte that is CSI */
    expect_line(
        &view, 79,
        "a\\03...\\233 copying  50% [=>---     ] 2.00/4.00G 512M/s 0:11 left 1.00G durable");
    view.name = "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"; /* three wide characters, six columns */
    expect_line(&view, 39, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e copying 50% 2.0/4.0G 512M/s 0:11");
}

/* Any name, any width, any count: never wider, and as wide as it can be with a bar. */
static void progress_line_is_never_wider_than_the_terminal(void **state)
{
    (void)state;
    char line[PROGRESS_LINE_BYTES];
    static const char *const names[] = {
        NULL,
        "a",
        "disk.img",
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.img",
        "a name that is longer than any terminal should have to show, but some people do make "
        "them, and then there is a date at its end 2026-11-28.img",
        "e\xcc\x81\xcc\x81.img",
        "\033\033\033\033\033\033\033\033\033"};
    struct progress_meter meter = {
        .phase = PHASE_VERIFYING, .rate = 1023 * MIB, .left_ns = 359999 * NS_PER_SECOND};
    for (uint32_t columns = 1; columns < 600; columns++) {
        for (uint64_t i = 0; i < 70; i++) {
            struct progress_view view = view_of(1023 * MIB, i * 8183808, i * 16367616);
            view.name = names[i % COUNT_OF(names)];
            view.number = (uint32_t)i;
            view.count = i % 2 ? 1 : 12345;
            view.lanes = (uint32_t)i % 5;
            progress_line(line, &view, &meter, columns);
            assert_true(text_columns(line) <= columns);
            if (strchr(line, ']') && columns <= PROGRESS_COLUMNS_MAX)
                assert_int_equal(text_columns(line), columns);
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
    struct progress_meter meter = {
        .phase = PHASE_COPYING, .rate = NUM_UNKNOWN, .left_ns = NUM_UNKNOWN};
    progress_json(out, &view, &meter);
    meter = (struct progress_meter){.phase = PHASE_COPYING, .rate = 7, .left_ns = 1500000000};
    progress_json(out, &view, &meter);
    fclose(out);
    assert_string_equal(
        text, "{\"v\":1,\"event\":\"progress\",\"phase\":\"copying\",\"name\":null,\"file\":0,"
              "\"files\":0,\"bytes_total\":100,"
              "\"bytes_durable\":40,\"bytes_copied\":60,\"bytes_kept\":0,\"bytes_holes\":0,"
              "\"bytes_repaired\":0,\"bytes_verified\":0,\"bytes_per_second\":null,"
              "\"seconds_left\":null,\"lanes\":1,\"slots_halved\":0}\n"
              "{\"v\":1,\"event\":\"progress\",\"phase\":\"copying\",\"name\":null,\"file\":0,"
              "\"files\":0,\"bytes_total\":100,"
              "\"bytes_durable\":40,\"bytes_copied\":60,\"bytes_kept\":0,\"bytes_holes\":0,"
              "\"bytes_repaired\":0,\"bytes_verified\":0,\"bytes_per_second\":7,"
              "\"seconds_left\":1.500000,\"lanes\":1,\"slots_halved\":0}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_read_takes_every_counter),
        cmocka_unit_test(progress_percent_counts_what_is_written),
        cmocka_unit_test(progress_percent_at_the_borders_is_honest),
        cmocka_unit_test(progress_measure_steady_copy_gives_rate_and_time_left),
        cmocka_unit_test(progress_measure_speed_that_changed_is_forgotten),
        cmocka_unit_test(progress_measure_a_resume_counts_what_is_written_now),
        cmocka_unit_test(progress_measure_a_copy_that_writes_nothing_is_comparing),
        cmocka_unit_test(progress_measure_next_file_starts_anew),
        cmocka_unit_test(progress_line_at_40_80_and_200_columns),
        cmocka_unit_test(progress_line_of_a_comparison_says_nothing_of_durable),
        cmocka_unit_test(progress_line_unknown_figures_are_left_out),
        cmocka_unit_test(progress_line_more_than_one_lane_is_said_where_there_is_room),
        cmocka_unit_test(progress_line_names_are_escaped_and_fit),
        cmocka_unit_test(progress_line_is_never_wider_than_the_terminal),
        cmocka_unit_test(progress_json_is_one_line_with_null_for_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
