/* test_plan_again.c - what is looked at again: verify, audits, and how far a plan runs ahead. */
#include "plan_tests.h"

/* ---- returned items ---- */

static void plan_returned_verify_item_keeps_its_digest(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(1);
    config.verify = true;
    start(&f, &config);
    struct plan_item item = next(f.plan);
    copied(f.plan, &item);
    struct plan_item verify = next(f.plan);
    plan_returned(f.plan, &verify);
    struct plan_item again = next(f.plan);
    struct digest expected = digest_for(0);
    assert_item(&again, PLAN_VERIFY, 0);
    assert_true(digest_equal(&again.expected, &expected));
    plan_verified(f.plan, &again);
    assert_true(plan_complete(f.plan));
    plan_close(f.plan);
}

/* ---- verification behind the writer ---- */

/* What was not written now is not read again: it was read to be compared. */
static void plan_next_verify_kept_and_erased_chunks_are_not_read_again(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(2);
    config.compare_bytes = 2 * CHUNK;
    config.verify = true;
    config.sparse = config.blank = true;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, CHUNK, 2 * CHUNK);
    struct plan_item erase = next(f.plan), check = next(f.plan);
    plan_erased(f.plan, &erase);
    kept(f.plan, &check);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_verified, CHUNK); /* when it was found right */
    plan_close(f.plan);
}

/* ---- out of order ---- */

static void plan_next_one_chunk_missing_stops_at_the_reorder_bound(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(PLAN_REORDER + 10);
    start(&f, &config);
    struct plan_item oldest = next(f.plan), item;
    uint64_t most = 0;
    while (plan_next(f.plan, &item) == PLAN_ITEM) {
        most = item.chunk;
        copied(f.plan, &item);
    }
    assert_int_equal(most, PLAN_REORDER - 1);
    assert_answer(f.plan, PLAN_LATER);
    copied(f.plan, &oldest);
    for (uint64_t chunk = PLAN_REORDER; chunk < PLAN_REORDER + 10; chunk++) {
        item = next(f.plan);
        assert_item(&item, PLAN_COPY, chunk);
        copied(f.plan, &item);
    }
    assert_answer(f.plan, PLAN_END);
    struct digest expected = folded(PLAN_REORDER + 10);
    assert_digest(f.plan, &expected);
    plan_close(f.plan);
}

/* Holes need no slot, but they may not run away from an old chunk either. */
static void plan_next_holes_behind_a_missing_chunk_stop_at_the_reorder_bound(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t chunks = 3 * PLAN_REORDER;
    struct plan_config config = config_of(chunks);
    config.sparse = config.blank = true;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, 0, CHUNK);
    struct plan_item oldest = next(f.plan);
    map = next(f.plan);
    plan_mapped(f.plan, &map, chunks * CHUNK, chunks * CHUNK);
    assert_answer(f.plan, PLAN_LATER);
    assert_int_equal(f.progress.bytes_holes, (uint64_t)(PLAN_REORDER - 1) * CHUNK);
    copied(f.plan, &oldest);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_holes, (chunks - 1) * CHUNK);
    plan_close(f.plan);
}

/* ---- repairs ---- */

static void plan_copied_audited_chunk_counts_as_repaired(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(1);
    start(&f, &config);
    struct plan_item item = next(f.plan);
    item.action = PLAN_AUDIT; /* as a resumed copy would have yielded it */
    copied(f.plan, &item);
    assert_int_equal(f.progress.bytes_repaired, CHUNK);
    assert_int_equal(f.progress.chunks_repaired, 1);
    assert_int_equal(f.progress.bytes_copied, CHUNK);
    plan_close(f.plan);
}

/* The journal lists chunks 0 to 3 when the copy begins; read again it tells of those in `again`. */
static void recalled_as(struct fixture *f, const uint64_t *again, uint32_t again_count)
{
    struct plan_config config = config_of(4);
    struct journal_entry entries[4], told[4];
    struct error err = {0};
    config.resume = true;
    start(f, &config);
    for (uint64_t chunk = 0; chunk < 4; chunk++)
        entries[chunk] = (struct journal_entry){.chunk = chunk, .digest = digest_for(chunk)};
    for (uint32_t i = 0; i < again_count; i++)
        told[i] = entries[again[i]];
    assert_int_equal(plan_listed(f->plan, entries, 4, &err), 0);
    struct plan_item item = next(f->plan);
    assert_int_equal(item.action, PLAN_RECALL);
    plan_recalled(f->plan, &item, told, again_count, 0);
}

static void plan_next_chunks_that_the_journal_forgets_are_compared_with_the_source(void **state)
{
    (void)state;
    static const uint64_t again[] = {2, 0, 2};
    for (uint32_t told = 0; told <= COUNT_OF(again); told++) {
        struct fixture f;
        bool seen[4] = {false};
        recalled_as(&f, again, told);
        for (int i = 0; i < 4; i++) {
            assert_false(plan_complete(f.plan));
            struct plan_item item = next(f.plan);
            struct digest journalled = digest_for(item.chunk);
            bool as_told = (item.chunk == 2 && told > 0) || (item.chunk == 0 && told > 1);
            assert_int_equal(item.action, PLAN_AUDIT);
            assert_false(seen[item.chunk]);
            assert_int_equal(item.against_source, !as_told);
            assert_int_equal(digest_equal(&item.expected, &journalled), as_told);
            seen[item.chunk] = true;
            kept(f.plan, &item);
        }
        assert_answer(f.plan, PLAN_END);
        assert_true(plan_complete(f.plan));
        plan_close(f.plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_returned_verify_item_keeps_its_digest),
        cmocka_unit_test(plan_next_verify_stays_behind_by_the_lag),
        cmocka_unit_test(plan_next_verify_kept_and_erased_chunks_are_not_read_again),
        cmocka_unit_test(plan_next_verify_many_out_at_once_reads_each_once),
        cmocka_unit_test(plan_next_one_chunk_missing_stops_at_the_reorder_bound),
        cmocka_unit_test(plan_next_holes_behind_a_missing_chunk_stop_at_the_reorder_bound),
        cmocka_unit_test(plan_digest_out_of_order_equals_in_order),
        cmocka_unit_test(plan_copied_audited_chunk_counts_as_repaired),
        cmocka_unit_test(plan_next_chunks_that_the_journal_forgets_are_compared_with_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
