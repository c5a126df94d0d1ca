/* test_report.c - receipts added up: sums, peaks, and figures that nobody knows. */
#include "haul/base/num.h"
#include "haul/side/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct side_report some_side(uint64_t scale)
{
    return (struct side_report){
        .policy = POLICY_DIRECT,
        .engine = ENGINE_URING,
        .resident_before_bytes = 1 * scale,
        .resident_peak_bytes = 10 * scale,
        .resident_after_bytes = 2 * scale,
        .memory_peak_bytes = 100 * scale,
        .kernel_bytes = 50 * scale,
    };
}

static struct receipt some_receipt(uint64_t scale)
{
    return (struct receipt){
        .outcome = {.kind = OUTCOME_DURABLE},
        .files = 1,
        .bytes_total = 1000 * scale,
        .bytes_copied = 600 * scale,
        .bytes_kept = 300 * scale,
        .bytes_holes = 100 * scale,
        .bytes_referenced = 200 * scale,
        .bytes_repaired = 50 * scale,
        .chunks_repaired = 5 * scale,
        .bytes_verified = 600 * scale,
        .duration_ns = 7 * scale,
        .digest_known = true,
        .digest = digest_of(&scale, sizeof(scale)),
        .chunk_bytes = 65536,
        .lanes = 1,
        .memory_peak_bytes = 4000 * scale,
        .memory_budget_bytes = 8192,
        .wire_bytes_sent = 11 * scale,
        .wire_bytes_received = 13 * scale,
        .source_path = "source",
        .target_path = "target",
        .source = some_side(scale),
        .target = some_side(scale + 1),
        .words = {{.policy = "because"}, {.policy = "because"}},
    };
}

static void receipt_add_first_file_is_the_sum(void **state)
{
    (void)state;
    struct receipt sum = {0}, one = some_receipt(3);
    receipt_add(&sum, &one);
    assert_int_equal(sum.files, 1);
    assert_true(receipt_durable(&sum));
    assert_int_equal(sum.bytes_total, 3000);
    assert_true(sum.digest_known);
    assert_true(digest_equal(&sum.digest, &one.digest));
    assert_string_equal(sum.words[SIDE_SOURCE].policy, "because");
}

static void receipt_add_two_files_adds_counts(void **state)
{
    (void)state;
    struct receipt sum = {0}, first = some_receipt(1), second = some_receipt(2);
    receipt_add(&sum, &first);
    receipt_add(&sum, &second);
    assert_int_equal(sum.files, 2);
    assert_true(receipt_durable(&sum));
    assert_int_equal(sum.bytes_total, 3000);
    assert_int_equal(sum.bytes_copied, 1800);
    assert_int_equal(sum.bytes_kept, 900);
    assert_int_equal(sum.bytes_holes, 300);
    assert_int_equal(sum.bytes_referenced, 600);
    assert_int_equal(sum.bytes_repaired, 150);
    assert_int_equal(sum.chunks_repaired, 15);
    assert_int_equal(sum.bytes_verified, 1800);
    assert_int_equal(sum.duration_ns, 21);
    assert_int_equal(sum.wire_bytes_sent, 33);
    assert_int_equal(sum.wire_bytes_received, 39);
    assert_false(sum.digest_known); /* a digest of two files would be none of either */
}

static void receipt_add_two_files_takes_peaks(void **state)
{
    (void)state;
    struct receipt sum = {0}, first = some_receipt(9), second = some_receipt(2);
    second.lanes = 4;
    second.slots_halved_most = 2;
    second.pressure = "memory is scarce";
    receipt_add(&sum, &first);
    receipt_add(&sum, &second);
    assert_int_equal(sum.lanes, 4);
    assert_int_equal(sum.slots_halved_most, 2);
    assert_string_equal(sum.pressure, "memory is scarce");
    assert_int_equal(sum.memory_peak_bytes, 36000);
    assert_int_equal(sum.source.resident_peak_bytes, 90);
    assert_int_equal(sum.source.memory_peak_bytes, 900);
    assert_int_equal(sum.source.kernel_bytes, 450);
    second.source.resident_peak_bytes = 80; /* beside what the two before have left */
    receipt_add(&sum, &second);
    assert_int_equal(sum.source.resident_peak_bytes, 22 + 80);
    sum.source.resident_before_bytes -= 2, sum.source.resident_after_bytes -= 4;
    sum.target.resident_after_bytes -= 6;
    assert_int_equal(sum.source.resident_before_bytes, 11);
    assert_int_equal(sum.source.resident_after_bytes, 22);
    assert_int_equal(sum.target.resident_peak_bytes, 100);
    assert_int_equal(sum.target.resident_after_bytes, 26);
}

/* An unknown part makes the whole unknown, in either order, and it stays so. */
static void receipt_add_unknown_stays_unknown(void **state)
{
    (void)state;
    for (int unknown_first = 0; unknown_first < 2; unknown_first++) {
        struct receipt sum = {0}, known = some_receipt(1), unknown = some_receipt(1);
        unknown.source.resident_before_bytes = NUM_UNKNOWN;
        unknown.source.resident_peak_bytes = NUM_UNKNOWN;
        unknown.source.resident_after_bytes = NUM_UNKNOWN;
        unknown.source.memory_peak_bytes = NUM_UNKNOWN;
        unknown.memory_peak_bytes = NUM_UNKNOWN;
        receipt_add(&sum, unknown_first ? &unknown : &known);
        receipt_add(&sum, unknown_first ? &known : &unknown);
        receipt_add(&sum, &known);
        assert_int_equal(sum.files, 3);
        assert_true(sum.source.resident_before_bytes == NUM_UNKNOWN);
        assert_true(sum.source.resident_peak_bytes == NUM_UNKNOWN);
        assert_true(sum.source.resident_after_bytes == NUM_UNKNOWN);
        assert_true(sum.source.memory_peak_bytes == NUM_UNKNOWN);
        assert_true(sum.memory_peak_bytes == NUM_UNKNOWN);
        /* The other side's figures are not touched by it. */
        assert_int_equal(sum.target.resident_after_bytes, 3 * 4);
        assert_int_equal(sum.target.resident_peak_bytes, 2 * 4 + 20);
    }
}

static void receipt_add_of_what_was_up_to_date_makes_nothing_unknown(void **state)
{
    (void)state;
    struct receipt sum = {0}, copied = some_receipt(1), up_to_date = some_receipt(1);
    up_to_date.source = up_to_date.target = (struct side_report){
        .resident_before_bytes = NUM_UNKNOWN,
        .resident_peak_bytes = NUM_UNKNOWN,
        .resident_after_bytes = NUM_UNKNOWN,
        .memory_peak_bytes = NUM_UNKNOWN,
        .attributes_changed = 4,
    };
    receipt_add(&sum, &up_to_date);
    receipt_add(&sum, &copied);
    receipt_add(&sum, &up_to_date);
    assert_int_equal(sum.source.policy, POLICY_DIRECT);
    assert_int_equal(sum.source.resident_before_bytes, 1);
    assert_int_equal(sum.source.resident_peak_bytes, 10);
    assert_int_equal(sum.target.memory_peak_bytes, 200);
    assert_int_equal(sum.target.attributes_changed, 4);
}

/* A tree's folders and links come in a receipt of no file. */
static void receipt_add_counts_what_was_lost(void **state)
{
    (void)state;
    struct receipt sum = {0}, none = {0}, one = some_receipt(1);
    none.lost_counts[ATTRIBUTE_MODE] = 2;
    one.lost_counts[ATTRIBUTE_MODE] = one.lost_counts[ATTRIBUTE_ACLS] = 1;
    receipt_add(&sum, &none);
    receipt_add(&sum, &none);
    receipt_add(&sum, &one);
    receipt_add(&sum, &one);
    assert_int_equal(sum.lost_counts[ATTRIBUTE_MODE], 6);
    assert_int_equal(sum.lost_counts[ATTRIBUTE_ACLS], 2);
}

static void receipt_add_one_not_durable_none_is(void **state)
{
    (void)state;
    struct receipt sum = {0}, good = some_receipt(1), bad = some_receipt(1);
    bad.outcome = (struct outcome){.kind = OUTCOME_FAILED};
    receipt_add(&sum, &good);
    receipt_add(&sum, &bad);
    receipt_add(&sum, &good);
    assert_false(receipt_durable(&sum));
}

static void receipt_add_flags_are_combined(void **state)
{
    (void)state;
    struct receipt sum = {0}, one = some_receipt(1), other = some_receipt(1);
    one.outcome.kind = OUTCOME_UP_TO_DATE;
    other.resumed = true;
    receipt_add(&sum, &one);
    receipt_add(&sum, &other);
    assert_false(receipt_up_to_date(&sum)); /* only when all of them were */
    assert_true(sum.resumed);               /* when any was */
}

static void receipt_add_policy_and_reason_belong_together(void **state)
{
    (void)state;
    struct receipt sum = {0}, first = some_receipt(1), second = some_receipt(1);
    second.target.policy = POLICY_WINDOW;
    strcpy(second.words[SIDE_TARGET].policy, "another reason");
    receipt_add(&sum, &first);
    receipt_add(&sum, &second);
    assert_int_equal(sum.target.policy, POLICY_WINDOW);
    assert_string_equal(sum.words[SIDE_TARGET].policy, "another reason");
    assert_int_equal(sum.source.policy, POLICY_DIRECT);
    assert_string_equal(sum.words[SIDE_SOURCE].policy, "because");
}

static void phase_name_all_phases_have_one(void **state)
{
    (void)state;
    assert_string_equal(phase_name(PHASE_OPENING), "opening");
    assert_string_equal(phase_name(PHASE_AUDITING), "auditing");
    assert_string_equal(phase_name(PHASE_COPYING), "copying");
    assert_string_equal(phase_name(PHASE_VERIFYING), "verifying");
    assert_string_equal(phase_name(PHASE_SYNCING), "syncing");
    assert_string_equal(phase_name(PHASE_DONE), "done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receipt_add_first_file_is_the_sum),
        cmocka_unit_test(receipt_add_two_files_adds_counts),
        cmocka_unit_test(receipt_add_two_files_takes_peaks),
        cmocka_unit_test(receipt_add_unknown_stays_unknown),
        cmocka_unit_test(receipt_add_of_what_was_up_to_date_makes_nothing_unknown),
        cmocka_unit_test(receipt_add_counts_what_was_lost),
        cmocka_unit_test(receipt_add_one_not_durable_none_is),
        cmocka_unit_test(receipt_add_flags_are_combined),
        cmocka_unit_test(receipt_add_policy_and_reason_belong_together),
        cmocka_unit_test(phase_name_all_phases_have_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
