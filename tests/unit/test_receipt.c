/* test_receipt.c - the receipt in words and as JSON: exact, and honest about what is not known. */
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/cli/exit.h"
#include "haul/cli/receipt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct side_report side_of(enum policy_kind policy)
{
    return (struct side_report){.policy = policy,
                                .engine = ENGINE_URING,
                                .resident_before_bytes = 0,
                                .resident_peak_bytes = 4096,
                                .resident_after_bytes = 0,
                                .memory_peak_bytes = 18 * MIB,
                                .kernel_bytes = 2 * MIB};
}

/* A copy of 4 GiB as it should be. */
static struct receipt good(void)
{
    struct receipt receipt;
    receipt_init(&receipt);
    receipt.outcome.kind = OUTCOME_DURABLE;
    receipt.files = 1;
    receipt.bytes_total = 4 * GIB;
    receipt.bytes_copied = 4 * GIB;
    receipt.bytes_durable = 4 * GIB;
    receipt.duration_ns = 8 * NS_PER_SECOND;
    receipt.digest_known = true;
    memset(receipt.digest.bytes, 0xab, sizeof(receipt.digest.bytes));
    receipt.chunk_bytes = 1048576;
    receipt.memory_peak_bytes = 18 * MIB;
    receipt.memory_budget_bytes = 16 * MIB;
    receipt.source_path = "disk.img";
    receipt.target_path = "/mnt/disk.img";
    receipt.source = receipt.target = side_of(POLICY_DIRECT);
    strcpy(receipt.words[SIDE_SOURCE].policy, "alignment from statx");
    strcpy(receipt.words[SIDE_TARGET].policy, "alignment from statx");
    return receipt;
}

enum { TEXT_BYTES = 8192 };

static const char *words(char out[TEXT_BYTES], const struct receipt *receipt, bool full)
{
    FILE *stream = fmemopen(out, TEXT_BYTES, "w");
    assert_non_null(stream);
    receipt_words(stream, receipt, full);
    fclose(stream);
    return out;
}

static const char *json_exit(char out[TEXT_BYTES], const struct receipt *receipt, int exit_code,
                             const char *error)
{
    FILE *stream = fmemopen(out, TEXT_BYTES, "w");
    assert_non_null(stream);
    receipt_json(stream, receipt, "receipt", exit_code, error);
    fclose(stream);
    return out;
}

static const char *json(char out[TEXT_BYTES], const struct receipt *receipt, const char *error)
{
    return json_exit(out, receipt, error ? 11 : 0, error);
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        print_error("'%s' is not in:\n%s", part, text);
    assert_non_null(strstr(text, part));
}

/* As of a tree, when a signal came after its last name: nothing of it has failed. */
static void receipt_json_fails_with_words_always(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    uint32_t rows_count;
    const struct exit_row *rows = exit_table(&rows_count);
    for (uint32_t i = 0; i < rows_count; i++) {
        char error[256];
        (void)json_exit(out, &receipt, rows[i].code, NULL);
        snprintf(error, sizeof(error),
                 rows[i].code == 0 ? "\"error\":null,\"outcome\"" : "\"error\":\"%s\",\"outcome\"",
                 rows[i].text);
        assert_says(out, error);
    }
    assert_says(json_exit(out, &receipt, 20, "interrupted"), "\"error\":\"interrupted\",");
}

static void receipt_words_good_copy_is_two_lines(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    assert_string_equal(words(out, &receipt, false),
                        "disk.img: 4.00 GiB copied, durable after 8.0 s, 512 MiB/s\n"
                        "cache: source direct, nothing left; target direct, nothing left\n");
}

static void receipt_words_full_says_everything(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.bytes_copied = 3 * GIB;
    receipt.bytes_kept = GIB - MIB;
    receipt.bytes_holes = MIB;
    receipt.bytes_repaired = 2 * MIB;
    receipt.chunks_repaired = 2;
    receipt.bytes_verified = 4 * GIB;
    receipt.resumed = true;
    assert_string_equal(
        words(out, &receipt, true),
        "disk.img -> /mnt/disk.img\n"
        "copied    3.00 GiB of 4.00 GiB (resumed), 1023 MiB kept, 2.00 MiB of it repaired in 2 "
        "chunks, 1.00 MiB holes, 4.00 GiB read back from the medium\n"
        "result    durable after 8.0 s, 384 MiB/s\n"
        "source    direct (alignment from statx), uring; cached 0 B before, 4.00 KiB peak, 0 B "
        "after\n"
        "target    direct (alignment from statx), uring; cached 0 B before, 4.00 KiB peak, 0 B "
        "after\n"
        "memory    18.0 MiB peak, budget 16.0 MiB, chunks of 1.00 MiB\n"
        "names     what they cost the kernel is unknown\n"
        "digest    abababababababababababababababab\n");
}

static void receipt_words_leftover_fallback_and_engine_are_always_said(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.target = side_of(POLICY_WINDOW);
    strcpy(receipt.words[SIDE_TARGET].policy, "O_DIRECT refused on fuse");
    receipt.target.resident_before_bytes = MIB;
    receipt.target.resident_after_bytes = 3 * MIB;
    receipt.source.engine = ENGINE_THREADS;
    strcpy(receipt.words[SIDE_SOURCE].engine, "io_uring: EPERM");
    words(out, &receipt, false);
    assert_says(out, "target window (O_DIRECT refused on fuse), 2.00 MiB left\n");
    assert_says(out, "engine: threads (io_uring: EPERM)\n");
}

static void receipt_words_not_durable_is_always_said(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.outcome.kind = OUTCOME_FAILED;
    assert_says(words(out, &receipt, false), "NOT durable");
    assert_says(words(out, &receipt, true), "NOT durable");
}

static void receipt_words_unknown_residency_is_not_nothing(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.source.resident_after_bytes = NUM_UNKNOWN;
    receipt.target.resident_before_bytes = NUM_UNKNOWN;
    receipt.target.resident_after_bytes = MIB;
    words(out, &receipt, false);
    assert_says(out, "source direct, what is left is unknown;");
    assert_says(out, "target direct, 1.00 MiB left\n");
    assert_says(words(out, &receipt, true), "unknown after");
}

static void receipt_words_odd_name_can_not_touch_the_terminal(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.source_path = "a\n\033[2Jb";
    assert_says(words(out, &receipt, false), "a\\n\\033[2Jb: 4.00 GiB");
}

static void receipt_words_nothing_done_is_said_so(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.dry_run = true;
    receipt.would = "be created";
    receipt.outcome.kind = OUTCOME_DRY;
    assert_string_equal(words(out, &receipt, true),
                        "disk.img -> /mnt/disk.img: would be created, 4.00 GiB (dry run)\n");
    receipt.outcome.kind = OUTCOME_UP_TO_DATE;
    assert_string_equal(words(out, &receipt, true), "disk.img: up to date\n");
}

static void receipt_json_has_the_fields_of_the_contract_in_one_line(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.source_path = "a\"b\xff";
    assert_string_equal(
        json(out, &receipt, NULL),
        "{\"v\":1,\"event\":\"receipt\",\"exit\":0,\"error\":null,\"outcome\":\"durable\","
        "\"durable\":true,"
        "\"bytes_durable\":4294967296,\"compared\":false,\"bytes_differing\":0,\"dry_run\":false,"
        "\"would\":null,\"changes\":null,"
        "\"up_to_date\":false,\"skipped\":null,"
        "\"resumed\":false,\"source_changed\":false,\"part_offset\":null,\"part_length\":null,"
        "\"files\":1,"
        "\"bytes_total\":4294967296,\"bytes_copied\":4294967296,\"bytes_kept\":0,"
        "\"bytes_unread\":0,"
        "\"bytes_holes\":0,\"bytes_referenced\":0,\"bytes_repaired\":0,\"chunks_repaired\":0,"
        "\"bytes_verified\":0,"
        "\"bytes_unreadable\":0,"
        "\"seconds\":8.000000,\"digest\":\"abababababababababababababababab\","
        "\"sha256\":null,\"xxh128\":null,"
        "\"chunk_bytes\":1048576,\"lanes\":1,\"memory_peak_bytes\":18874368,"
        "\"memory_budget_bytes\":16777216,\"slots_halved_most\":0,\"pressure\":null,"
        "\"kernel_memory_of\":null,\"kernel_memory_most_bytes\":null,"
        "\"kernel_memory_left_bytes\":null,\"low_free_before_bytes\":null,"
        "\"low_free_least_bytes\":null,\"cgroup_emptied\":0,"
        "\"wire_bytes_sent\":0,\"wire_bytes_received\":0,"
        "\"attributes_changed\":[],\"attributes_lost\":[],"
        "\"attributes_lost_counts\":{\"owner\":0,\"group\":0,\"xattrs\":0,\"acls\":0,"
        "\"mode\":0,\"mtime\":0},"
        "\"source\":{\"path\":\"a\\\"b\\u00ff\",\"host\":null,\"policy\":\"direct\","
        "\"why\":\"alignment from statx\",\"engine\":\"uring\",\"engine_why\":null,"
        "\"resident_before_bytes\":0,\"resident_peak_bytes\":4096,\"resident_after_bytes\":0,"
        "\"memory_peak_bytes\":18874368,\"kernel_memory_most_bytes\":2097152,"
        "\"reread_cached_bytes\":0},"
        "\"target\":{\"path\":\"/mnt/disk.img\",\"host\":null,\"policy\":\"direct\","
        "\"why\":\"alignment from statx\",\"engine\":\"uring\",\"engine_why\":null,"
        "\"resident_before_bytes\":0,\"resident_peak_bytes\":4096,\"resident_after_bytes\":0,"
        "\"memory_peak_bytes\":18874368,\"kernel_memory_most_bytes\":2097152,"
        "\"reread_cached_bytes\":0}}\n");
}

static void receipt_json_unknown_is_null_never_zero(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt;
    receipt_init(&receipt);
    json(out, &receipt, "open x: No such file or directory");
    assert_says(out, "\"exit\":11,\"error\":\"open x: No such file or directory\"");
    assert_says(out, "\"durable\":false");
    assert_says(out, "\"bytes_total\":null");
    assert_says(out, "\"bytes_copied\":0");
    assert_says(out, "\"xxh128\":null,\"chunk_bytes\":null");
    assert_says(out, "\"memory_peak_bytes\":null,\"memory_budget_bytes\":null");
    assert_says(out, "\"source\":{\"path\":null,\"host\":null,\"policy\":null,");
    assert_says(out, "\"engine\":null");
    assert_says(out, "\"resident_after_bytes\":null");
}

static void receipt_words_sum_counts_failures(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.files = 3;
    FILE *stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt, &(struct receipt_tally){.failed_count = 2}, false);
    fclose(stream);
    assert_string_equal(out,
                        "3 files and 2 failed: 4.00 GiB copied, durable after 8.0 s, 512 MiB/s\n");
}

static void receipt_words_sum_tells_of_how_many_something_was_lost(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.files = 3;
    receipt.lost_counts[ATTRIBUTE_OWNER] = 3;
    receipt.lost_counts[ATTRIBUTE_MODE] = 14000;
    FILE *stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt, &(struct receipt_tally){.failed_count = 0}, false);
    fclose(stream);
    assert_string_equal(out, "3 files: 4.00 GiB copied, durable after 8.0 s, 512 MiB/s\n"
                             "not kept: owner of 3, permissions of 14000\n");
}

static void receipt_words_sum_tells_what_all_files_left_in_the_cache(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.files = 3;
    receipt.source.resident_before_bytes = receipt.source.resident_after_bytes = 8 * MIB;
    receipt.target.resident_before_bytes = MIB;
    receipt.target.resident_after_bytes = 3 * MIB;
    FILE *stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt, &(struct receipt_tally){.failed_count = 0}, true);
    fclose(stream);
    assert_says(out, "\ncache     source: nothing left; target: 2.00 MiB left\n");
    receipt.target.resident_after_bytes = NUM_UNKNOWN;
    stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt, &(struct receipt_tally){.failed_count = 0}, true);
    fclose(stream);
    assert_says(out, "; target: what is left is unknown\n");
}

static void receipt_words_sum_files_that_were_up_to_date_are_no_speed(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.files = 3;
    receipt.bytes_kept = 300 * GIB + GIB;
    FILE *stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt,
                      &(struct receipt_tally){.up_to_date_count = 2, .bytes_up_to_date = 300 * GIB},
                      false);
    fclose(stream);
    assert_string_equal(out, "3 files, 2 up to date: 4.00 GiB copied, 1.00 GiB kept, durable after "
                             "8.0 s, 512 MiB/s\n");
}

static void receipt_words_tell_what_names_cost_where_it_matters(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    words(out, &receipt, true);
    assert_says(out, "names     what they cost the kernel is unknown\n");
    receipt.kernel = (struct kernel_memory_told){
        .of = KERNEL_MEMORY_SLAB,
        .most_bytes = 7 * MIB,
        .left_bytes = 3 * MIB,
        .low_before_bytes = NUM_UNKNOWN,
    };
    words(out, &receipt, true);
    assert_says(out, "names     7.00 MiB peak, 3.00 MiB now (reclaimable slab of the cgroup)\n");
    receipt.kernel.low_before_bytes = 144 * MIB;
    receipt.kernel.low_least_bytes = 140 * MIB;
    receipt.kernel.emptied_count = 5;
    receipt.target_host = "store";
    FILE *stream = fmemopen(out, sizeof(out), "w");
    receipt_words_sum(stream, &receipt, &(struct receipt_tally){.failed_count = 0}, false);
    fclose(stream);
    assert_says(out, "names     7.00 MiB peak, 3.00 MiB now (reclaimable slab of the cgroup); "
                     "LowFree 144 MiB before, 140 MiB at least; emptied 5 times; 2.00 MiB peak on "
                     "store\n");
}

static void receipt_words_other_machine_has_its_own_figures(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.target_host = "store";
    receipt.target.memory_peak_bytes = 12 * MIB;
    receipt.wire_bytes_sent = 4 * GIB;
    receipt.wire_bytes_received = 64 * 1024;
    receipt.lanes = 3;
    words(out, &receipt, true);
    assert_says(out, "disk.img -> store:/mnt/disk.img\n");
    assert_says(out,
                "memory    18.0 MiB peak, budget 16.0 MiB, chunks of 1.00 MiB; 12.0 MiB peak on "
                "store\n"
                "link      4.00 GiB sent, 64.0 KiB received, 3 lanes\n");
    receipt.source_host = "2001:db8::1";
    receipt.lanes = 1;
    words(out, &receipt, true);
    assert_says(out, "[2001:db8::1]:disk.img -> store:/mnt/disk.img\n");
    assert_says(out, "; 18.0 MiB peak on 2001:db8::1; 12.0 MiB peak on store\n");
    assert_says(out, "received, 1 lane\n");
}

static void receipt_json_other_machine_is_named(void **state)
{
    (void)state;
    char out[TEXT_BYTES];
    struct receipt receipt = good();
    receipt.source_host = "store";
    json(out, &receipt, NULL);
    assert_says(out, "\"source\":{\"path\":\"disk.img\",\"host\":\"store\"");
    assert_says(out, "\"target\":{\"path\":\"/mnt/disk.img\",\"host\":null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receipt_json_fails_with_words_always),
        cmocka_unit_test(receipt_words_good_copy_is_two_lines),
        cmocka_unit_test(receipt_words_full_says_everything),
        cmocka_unit_test(receipt_words_leftover_fallback_and_engine_are_always_said),
        cmocka_unit_test(receipt_words_not_durable_is_always_said),
        cmocka_unit_test(receipt_words_unknown_residency_is_not_nothing),
        cmocka_unit_test(receipt_words_odd_name_can_not_touch_the_terminal),
        cmocka_unit_test(receipt_words_nothing_done_is_said_so),
        cmocka_unit_test(receipt_json_has_the_fields_of_the_contract_in_one_line),
        cmocka_unit_test(receipt_json_unknown_is_null_never_zero),
        cmocka_unit_test(receipt_words_sum_counts_failures),
        cmocka_unit_test(receipt_words_tell_what_names_cost_where_it_matters),
        cmocka_unit_test(receipt_words_sum_tells_of_how_many_something_was_lost),
        cmocka_unit_test(receipt_words_sum_tells_what_all_files_left_in_the_cache),
        cmocka_unit_test(receipt_words_sum_files_that_were_up_to_date_are_no_speed),
        cmocka_unit_test(receipt_words_other_machine_has_its_own_figures),
        cmocka_unit_test(receipt_json_other_machine_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
