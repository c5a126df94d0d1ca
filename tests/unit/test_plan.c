/* test_plan.c - what is to be done with each chunk of a file. */
#include "plan_tests.h"

#include <errno.h>

/* ---- order and lengths ---- */

static void plan_next_fresh_file_copies_in_order(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(5);
    config.size_bytes -= 100; /* the last chunk is shorter */
    start(&f, &config);
    for (uint64_t chunk = 0; chunk < 5; chunk++) {
        struct plan_item item = next(f.plan);
        assert_item(&item, PLAN_COPY, chunk);
        assert_int_equal(item.length, chunk == 4 ? CHUNK - 100 : CHUNK);
        copied(f.plan, &item);
    }
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_copied, 5 * CHUNK - 100);
    assert_int_equal(f.progress.bytes_kept, 0);
    plan_close(f.plan);
}

/* The grid is that of the whole file; what of the first and the last chunk lies in the part is
 * copied. */
static void plan_next_part_copies_what_lies_in_it(void **state)
{
    (void)state;
    struct fixture fixture;
    struct plan_config config = config_of(4);
    config.start_bytes = CHUNK + 100;
    config.size_bytes = 3 * CHUNK + 1;
    config.compare_bytes = 2 * CHUNK;
    start(&fixture, &config);
    const struct {
        uint64_t offset;
        uint32_t length;
        enum plan_action action;
    } wanted[] = {{CHUNK + 100, CHUNK - 100, PLAN_CHECK},
                  {2 * CHUNK, CHUNK, PLAN_COPY},
                  {3 * CHUNK, 1, PLAN_COPY}};
    struct digest digest;
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        struct plan_item item = next(fixture.plan);
        assert_int_equal(item.chunk, i + 1);
        assert_int_equal(item.offset, wanted[i].offset);
        assert_int_equal(item.length, wanted[i].length);
        assert_int_equal(item.action, wanted[i].action);
        assert_false(plan_complete(fixture.plan));
        copied(fixture.plan, &item);
    }
    assert_true(plan_complete(fixture.plan));
    assert_true(plan_digest(fixture.plan, &digest));
    assert_int_equal(fixture.progress.bytes_copied, 2 * CHUNK - 99);
    plan_close(fixture.plan);
}

static void plan_listed_chunk_outside_of_the_part_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    struct plan_config config = config_of(4);
    struct error err = {0};
    config.start_bytes = CHUNK;
    config.size_bytes = 3 * CHUNK;
    config.resume = true;
    start(&fixture, &config);
    const struct journal_entry inside = {.chunk = 2}, before = {.chunk = 0}, behind = {.chunk = 3};
    assert_int_equal(plan_listed(fixture.plan, &inside, 1, &err), 0);
    assert_int_equal(plan_listed(fixture.plan, &before, 1, &err), -EPROTO);
    err = (struct error){0};
    assert_int_equal(plan_listed(fixture.plan, &behind, 1, &err), -EPROTO);
    plan_close(fixture.plan);
}

static void plan_next_empty_file_ends_at_once(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(0);
    start(&f, &config);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    struct digest none = digest_of("", 0);
    assert_digest(f.plan, &none);
    plan_close(f.plan);
}

static void plan_next_item_out_says_later_then_ends(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(2);
    start(&f, &config);
    struct plan_item first = next(f.plan), second = next(f.plan);
    assert_answer(f.plan, PLAN_LATER); /* one could still be returned */
    assert_false(plan_complete(f.plan));
    copied(f.plan, &first);
    assert_answer(f.plan, PLAN_LATER);
    copied(f.plan, &second);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    plan_close(f.plan);
}

static void plan_complete_not_all_yielded_is_false(void **state)
{
    (void)state;
    struct fixture f;
    struct digest digest;
    struct plan_config config = config_of(2);
    start(&f, &config);
    assert_false(plan_complete(f.plan));
    struct plan_item item = next(f.plan);
    copied(f.plan, &item);
    assert_false(plan_complete(f.plan));
    assert_false(plan_digest(f.plan, &digest));
    plan_close(f.plan);
}

static void plan_close_null_is_legal(void **state)
{
    (void)state;
    plan_close(NULL);
}

/* ---- old content ---- */

static void plan_next_old_content_is_checked_up_to_its_end(void **state)
{
    (void)state;
    /* compare_bytes, and the number of chunks that begin below it. */
    static const struct {
        uint64_t compare_bytes, checked;
    } rows[] = {
        {0, 0},         {1, 1},         {CHUNK - 1, 1}, {CHUNK, 1},
        {CHUNK + 1, 2}, {2 * CHUNK, 2}, {4 * CHUNK, 4}, {UINT64_MAX, 4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct plan_config config = config_of(4);
        config.compare_bytes = rows[i].compare_bytes;
        start(&f, &config);
        for (uint64_t chunk = 0; chunk < 4; chunk++) {
            struct plan_item item = next(f.plan);
            assert_item(&item, chunk < rows[i].checked ? PLAN_CHECK : PLAN_COPY, chunk);
            if (item.action == PLAN_CHECK && chunk % 2 == 0)
                kept(f.plan, &item);
            else
                copied(f.plan, &item);
        }
        assert_answer(f.plan, PLAN_END);
        assert_int_equal(f.progress.bytes_kept, div_ceil(rows[i].checked, 2) * CHUNK);
        assert_int_equal(f.progress.bytes_copied + f.progress.bytes_kept, 4 * CHUNK);
        struct digest expected = folded(4);
        assert_digest(f.plan, &expected);
        plan_close(f.plan);
    }
}

static void plan_next_rewrite_never_checks(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(3);
    config.compare_bytes = 3 * CHUNK;
    config.rewrite = true;
    start(&f, &config);
    for (uint64_t chunk = 0; chunk < 3; chunk++) {
        struct plan_item item = next(f.plan);
        assert_item(&item, PLAN_COPY, chunk);
        copied(f.plan, &item);
    }
    assert_answer(f.plan, PLAN_END);
    plan_close(f.plan);
}

/* ---- holes ---- */

static void plan_next_sparse_source_is_mapped_first(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(8);
    config.sparse = config.blank = true;
    start(&f, &config);

    struct plan_item map = next(f.plan);
    assert_item(&map, PLAN_MAP, 0);
    assert_answer(f.plan, PLAN_LATER); /* nothing is known before the answer */
    /* Data from the middle of chunk 2 to the middle of chunk 3. */
    plan_mapped(f.plan, &map, 2 * CHUNK + 100, 3 * CHUNK + 100);
    struct plan_item second = next(f.plan), third = next(f.plan);
    assert_item(&second, PLAN_COPY, 2);
    assert_item(&third, PLAN_COPY, 3);
    assert_int_equal(f.progress.bytes_holes, 2 * CHUNK);

    map = next(f.plan);
    assert_int_equal(map.action, PLAN_MAP);
    assert_true(map.offset >= 3 * CHUNK + 100 && map.offset <= 4 * CHUNK);
    plan_mapped(f.plan, &map, 8 * CHUNK, 8 * CHUNK); /* no more data */
    assert_answer(f.plan, PLAN_LATER);
    copied(f.plan, &third);
    copied(f.plan, &second);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_holes, 6 * CHUNK);
    assert_int_equal(f.progress.bytes_copied, 2 * CHUNK);
    plan_close(f.plan);
}

static void plan_digest_holes_count_as_zeros(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = {
        .size_bytes = 3 * CHUNK - 5, .chunk_bytes = CHUNK, .sparse = true, .blank = true};
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, config.size_bytes, config.size_bytes);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_holes, config.size_bytes);

    struct digest_fold *fold = digest_fold_open();
    struct digest whole = digest_of_zeros(CHUNK), last = digest_of_zeros(CHUNK - 5);
    digest_fold_add(fold, &whole);
    digest_fold_add(fold, &whole);
    digest_fold_add(fold, &last);
    struct digest expected = digest_fold_value(fold);
    digest_fold_close(fold);
    assert_digest(f.plan, &expected);
    plan_close(f.plan);
}

/* 4 PiB are a minute of holes, in one call. */
static void plan_next_holes_end_at_once_when_asked_to_stop(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(100);
    config.sparse = config.blank = true;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, config.size_bytes, config.size_bytes);
    f.control.stop = true;
    assert_answer(f.plan, PLAN_LATER);
    assert_int_equal(f.progress.bytes_holes, 0);
    f.control.stop = false;
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    plan_close(f.plan);
}

static void plan_next_hole_over_old_data_is_erased(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(4);
    config.sparse = config.blank = true;
    config.compare_bytes = 2 * CHUNK;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, CHUNK, 2 * CHUNK);
    struct plan_item erase = next(f.plan), check = next(f.plan);
    assert_item(&erase, PLAN_ERASE, 0);
    assert_item(&check, PLAN_CHECK, 1);
    map = next(f.plan);
    assert_int_equal(map.action, PLAN_MAP);
    plan_mapped(f.plan, &map, 4 * CHUNK, 4 * CHUNK);
    assert_answer(f.plan, PLAN_LATER);
    kept(f.plan, &check);
    plan_erased(f.plan, &erase);
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_holes, 3 * CHUNK);
    assert_int_equal(f.progress.bytes_kept, CHUNK);
    plan_close(f.plan);
}

/* A device reads as anything behind its old content, too. */
static void plan_next_hole_where_nothing_is_blank_is_erased(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(3);
    config.sparse = true;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, CHUNK, 2 * CHUNK);
    struct plan_item erase = next(f.plan), copy = next(f.plan);
    assert_item(&erase, PLAN_ERASE, 0);
    assert_item(&copy, PLAN_COPY, 1);
    assert_false(copy.blank);
    plan_erased(f.plan, &erase);
    copied(f.plan, &copy);
    map = next(f.plan);
    plan_mapped(f.plan, &map, 3 * CHUNK, 3 * CHUNK);
    erase = next(f.plan);
    assert_item(&erase, PLAN_ERASE, 2);
    plan_erased(f.plan, &erase);
    assert_true(plan_complete(f.plan));
    plan_close(f.plan);
}

/* As many chunks as lie in a row, but not beyond what may be ahead; and one by one where a target
 * cannot do that. */
static void plan_next_hole_of_many_chunks_is_erased_at_once(void **state)
{
    (void)state;
    struct fixture f;
    enum { CHUNKS = PLAN_REORDER + 10 };
    struct plan_config config = config_of(CHUNKS);
    config.size_bytes -= 100;
    config.sparse = config.blank = true;
    config.compare_bytes = (CHUNKS - 2) * (uint64_t)CHUNK;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_mapped(f.plan, &map, config.size_bytes, config.size_bytes);
    struct plan_item erase = next(f.plan);
    assert_item(&erase, PLAN_ERASE, 0);
    assert_int_equal(erase.length, PLAN_REORDER * (uint64_t)CHUNK);
    assert_answer(f.plan, PLAN_LATER);
    plan_erases_alone(f.plan, &erase);
    for (uint64_t chunk = 0; chunk < CHUNKS - 2; chunk++) {
        erase = next(f.plan);
        assert_item(&erase, PLAN_ERASE, chunk);
        assert_int_equal(erase.length, CHUNK);
        plan_erased(f.plan, &erase);
    }
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_holes, config.size_bytes);
    plan_close(f.plan);
}

/* --base-manifest: what is told of a chunk stands for reading it; what is not told is read. */
static void plan_next_known_chunks_are_not_examined(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(5);
    config.compare_bytes = 4 * CHUNK;
    start(&f, &config);
    assert_true(plan_use_base(f.plan));
    assert_false(plan_wants_base(f.plan));
    assert_answer(f.plan, PLAN_LATER);
    assert_true(plan_wants_base(f.plan));
    const struct journal_entry entries[] = {{0, digest_for(0)}, {2, digest_for(2)}};
    plan_based(f.plan, entries, COUNT_OF(entries));
    assert_false(plan_wants_base(f.plan));
    struct plan_item first = next(f.plan), second = next(f.plan), third = next(f.plan);
    assert_item(&first, PLAN_BASE, 0);
    assert_true(digest_equal(&first.expected, &entries[0].digest));
    assert_item(&second, PLAN_CHECK, 1);
    assert_item(&third, PLAN_BASE, 2);
    assert_answer(f.plan, PLAN_LATER);
    plan_based(f.plan, NULL, 0);
    struct plan_item fourth = next(f.plan), last = next(f.plan);
    assert_item(&fourth, PLAN_CHECK, 3);
    assert_item(&last, PLAN_COPY, 4);
    kept(f.plan, &first);
    kept(f.plan, &second);
    copied(f.plan, &third);
    kept(f.plan, &fourth);
    copied(f.plan, &last);
    assert_true(plan_complete(f.plan));
    assert_int_equal(f.progress.bytes_kept, 3 * CHUNK);
    assert_int_equal(f.progress.bytes_unread, CHUNK);
    plan_close(f.plan);
}

/* Zeros may be left out where the target reads as zeros, and nowhere else: not in the chunk in
 * which the old content ends, not in what is checked, not where a lane that was lost has been. */
static void plan_next_blank_is_said_for_each_range(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(6);
    config.blank = true;
    config.compare_bytes = CHUNK + 1;
    start(&f, &config);
    for (uint64_t i = 0; i < 4; i++) {
        struct plan_item item = next(f.plan);
        assert_item(&item, i < 2 ? PLAN_CHECK : PLAN_COPY, i);
        assert_int_equal(item.blank, i >= 2);
        if (i == 3)
            plan_returned(f.plan, &item);
        else
            copied(f.plan, &item);
    }
    struct plan_item again = next(f.plan), last = next(f.plan);
    assert_item(&again, PLAN_COPY, 3);
    assert_false(again.blank);
    assert_item(&last, PLAN_COPY, 4);
    assert_true(last.blank);
    plan_returned(f.plan, &again);
    plan_returned(f.plan, &last);
    plan_close(f.plan);

    config.rewrite = true;
    start(&f, &config);
    for (uint64_t i = 0; i < 3; i++) {
        struct plan_item item = next(f.plan);
        assert_item(&item, PLAN_COPY, i);
        assert_int_equal(item.blank, i >= 2);
        copied(f.plan, &item);
    }
    plan_close(f.plan);
}

/* 4 EiB, as a source over there may claim: days of counting. */
static void plan_next_in_a_hole_without_end_comes_back(void **state)
{
    struct fixture f;
    struct plan_config config = config_of((uint64_t)1 << 46);
    struct plan_item item;
    (void)state;
    config.sparse = config.blank = true;
    start(&f, &config);
    item = next(f.plan);
    plan_mapped(f.plan, &item, config.size_bytes, config.size_bytes);
    for (int i = 0; i < 3; i++)
        assert_answer(f.plan, PLAN_LATER);
    assert_true(f.progress.bytes_holes > 0 && f.progress.bytes_holes < config.size_bytes);
    plan_close(f.plan);
}

static void plan_returned_map_is_asked_again(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(2);
    config.sparse = config.blank = true;
    start(&f, &config);
    struct plan_item map = next(f.plan);
    plan_returned(f.plan, &map);
    struct plan_item again = next(f.plan);
    assert_item(&again, PLAN_MAP, 0);
    plan_mapped(f.plan, &again, 0, 2 * CHUNK);
    struct plan_item item = next(f.plan);
    assert_item(&item, PLAN_COPY, 0);
    plan_returned(f.plan, &item);
    plan_close(f.plan);
}

/* ---- returned items ---- */

static void plan_returned_item_comes_again(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(3);
    config.compare_bytes = 3 * CHUNK;
    start(&f, &config);
    struct plan_item items[3];
    bool seen[3] = {false};
    for (int i = 0; i < 3; i++)
        items[i] = next(f.plan);
    plan_returned(f.plan, &items[0]);
    plan_returned(f.plan, &items[2]);
    assert_false(plan_complete(f.plan));
    kept(f.plan, &items[1]);
    assert_false(plan_complete(f.plan));
    for (int i = 0; i < 2; i++) {
        struct plan_item item = next(f.plan);
        assert_item(&item, PLAN_CHECK, item.chunk);
        assert_true(item.chunk == 0 || item.chunk == 2);
        assert_false(seen[item.chunk]);
        seen[item.chunk] = true;
        copied(f.plan, &item);
    }
    assert_answer(f.plan, PLAN_END);
    assert_true(plan_complete(f.plan));
    struct digest expected = folded(3);
    assert_digest(f.plan, &expected);
    /* What was returned is counted once, when it was done. */
    assert_int_equal(f.progress.bytes_copied, 2 * CHUNK);
    assert_int_equal(f.progress.bytes_kept, CHUNK);
    plan_close(f.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_next_fresh_file_copies_in_order),
        cmocka_unit_test(plan_next_empty_file_ends_at_once),
        cmocka_unit_test(plan_next_part_copies_what_lies_in_it),
        cmocka_unit_test(plan_listed_chunk_outside_of_the_part_is_refused),
        cmocka_unit_test(plan_next_item_out_says_later_then_ends),
        cmocka_unit_test(plan_complete_not_all_yielded_is_false),
        cmocka_unit_test(plan_close_null_is_legal),
        cmocka_unit_test(plan_next_old_content_is_checked_up_to_its_end),
        cmocka_unit_test(plan_next_rewrite_never_checks),
        cmocka_unit_test(plan_next_sparse_source_is_mapped_first),
        cmocka_unit_test(plan_digest_holes_count_as_zeros),
        cmocka_unit_test(plan_next_holes_end_at_once_when_asked_to_stop),
        cmocka_unit_test(plan_next_hole_over_old_data_is_erased),
        cmocka_unit_test(plan_next_hole_where_nothing_is_blank_is_erased),
        cmocka_unit_test(plan_next_hole_of_many_chunks_is_erased_at_once),
        cmocka_unit_test(plan_next_known_chunks_are_not_examined),
        cmocka_unit_test(plan_next_blank_is_said_for_each_range),
        cmocka_unit_test(plan_next_in_a_hole_without_end_comes_back),
        cmocka_unit_test(plan_returned_map_is_asked_again),
        cmocka_unit_test(plan_next_random_extents_cover_all_data),
        cmocka_unit_test(plan_returned_item_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
