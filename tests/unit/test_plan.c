/* test_plan.c - which chunk comes next, and what with it; the digest of digests out of order. */
#include "haul/cleanup.h"
#include "haul/num.h"
#include "haul/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CHUNK = 65536 };

struct fixture {
    struct plan *plan;
    struct progress progress;
    struct control control;
};

static void start(struct fixture *fixture, const struct plan_config *config)
{
    struct error err = {0};
    memset(&fixture->progress, 0, sizeof(fixture->progress));
    memset(&fixture->control, 0, sizeof(fixture->control));
    assert_int_equal(plan_open(&fixture->plan, config, &fixture->progress, &fixture->control, &err),
                     0);
}

static struct plan_config config_of(uint64_t chunks)
{
    return (struct plan_config){.size_bytes = chunks * CHUNK, .chunk_bytes = CHUNK};
}

/* Any digest that depends on the chunk's number. */
static struct digest digest_for(uint64_t chunk)
{
    return digest_of(&chunk, sizeof(chunk));
}

static void copied(struct plan *plan, const struct plan_item *item)
{
    struct digest digest = digest_for(item->chunk);
    plan_copied(plan, item, &digest);
}

static void kept(struct plan *plan, const struct plan_item *item)
{
    struct digest digest = digest_for(item->chunk);
    plan_kept(plan, item, &digest);
}

static struct plan_item next(struct plan *plan)
{
    struct plan_item item;
    assert_int_equal(plan_next(plan, &item), PLAN_ITEM);
    return item;
}

static void assert_answer(struct plan *plan, enum plan_answer answer)
{
    struct plan_item item;
    assert_int_equal(plan_next(plan, &item), answer);
}

static void assert_item(const struct plan_item *item, enum plan_action action, uint64_t chunk)
{
    assert_int_equal(item->action, action);
    assert_int_equal(item->chunk, chunk);
    assert_int_equal(item->offset, chunk * CHUNK);
}

static struct digest folded(uint64_t chunks)
{
    struct digest_fold *fold = digest_fold_open();
    assert_non_null(fold);
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        struct digest digest = digest_for(chunk);
        digest_fold_add(fold, &digest);
    }
    struct digest value = digest_fold_value(fold);
    digest_fold_close(fold);
    return value;
}

static void assert_digest(struct plan *plan, const struct digest *expected)
{
    struct digest digest;
    assert_true(plan_digest(plan, &digest));
    assert_true(digest_equal(&digest, expected));
}

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

static void plan_next_alone_leaves_the_work_to_whoever_has_some(void **state)
{
    (void)state;
    struct fixture f;
    struct plan_config config = config_of(3);
    struct plan_item item;
    start(&f, &config);
    struct plan_item first = next(f.plan);
    assert_int_equal(plan_next_alone(f.plan, &item), PLAN_LATER);
    copied(f.plan, &first);
    assert_int_equal(plan_next_alone(f.plan, &item), PLAN_ITEM);
    assert_item(&item, PLAN_COPY, 1);
    copied(f.plan, &item);
    struct plan_item last = next(f.plan);
    assert_int_equal(plan_next_alone(f.plan, &item), PLAN_LATER);
    plan_returned(f.plan, &last); /* that lane was lost */
    assert_int_equal(plan_next_alone(f.plan, &item), PLAN_ITEM);
    assert_item(&item, PLAN_COPY, 2);
    assert_int_equal(plan_next_alone(f.plan, &last), PLAN_LATER);
    plan_cancel(f.plan);
    assert_int_equal(plan_next_alone(f.plan, &last), PLAN_END);
    plan_close(f.plan);
}

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

/* Random extents: every chunk with a byte of data is copied, every other one is a hole. */
static void plan_next_random_extents_cover_all_data(void **state)
{
    (void)state;
    enum { CHUNKS = 300 };
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct fixture f;
        bool data[CHUNKS] = {false}, done[CHUNKS] = {false};
        uint64_t starts[64], ends[64], position = 0, data_chunks = 0;
        uint32_t extents = 0;
        srandom(seed);
        while (extents < 64) {
            uint64_t start_bytes = position + (uint64_t)random() % (10 * CHUNK);
            uint64_t end_bytes = start_bytes + 1 + (uint64_t)random() % (4 * CHUNK);
            if (end_bytes > CHUNKS * CHUNK)
                break;
            starts[extents] = start_bytes;
            ends[extents++] = end_bytes;
            for (uint64_t chunk = start_bytes / CHUNK; chunk <= (end_bytes - 1) / CHUNK; chunk++)
                data[chunk] = true;
            position = end_bytes + 1;
        }
        struct plan_config config = config_of(CHUNKS);
        config.sparse = config.blank = true;
        start(&f, &config);
        struct plan_item item;
        while (plan_next(f.plan, &item) == PLAN_ITEM) {
            if (item.action == PLAN_MAP) {
                uint64_t from = CHUNKS * CHUNK, to = from;
                for (uint32_t i = extents; i-- > 0;) {
                    if (ends[i] > item.offset) {
                        from = max_u64(starts[i], item.offset);
                        to = ends[i];
                    }
                }
                plan_mapped(f.plan, &item, from, to);
                continue;
            }
            assert_int_equal(item.action, PLAN_COPY);
            assert_false(done[item.chunk]);
            done[item.chunk] = true;
            copied(f.plan, &item);
        }
        assert_true(plan_complete(f.plan));
        for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
            assert_int_equal(done[chunk], data[chunk]);
            data_chunks += data[chunk];
        }
        assert_int_equal(f.progress.bytes_copied, data_chunks * CHUNK);
        assert_int_equal(f.progress.bytes_holes, (CHUNKS - data_chunks) * CHUNK);
        plan_close(f.plan);
    }
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

static void plan_next_verify_stays_behind_by_the_lag(void **state)
{
    (void)state;
    static const uint32_t lags[] = {0, 1, 7, 100};
    for (size_t i = 0; i < sizeof(lags) / sizeof(lags[0]); i++) {
        enum { CHUNKS = 400 };
        struct fixture f;
        struct plan_config config = config_of(CHUNKS);
        config.verify = true;
        config.verify_lag = lags[i];
        start(&f, &config);
        uint64_t written = 0, verified = 0;
        struct plan_item item;
        while (plan_next(f.plan, &item) == PLAN_ITEM) {
            if (item.action == PLAN_VERIFY) {
                struct digest expected = digest_for(item.chunk);
                assert_int_equal(item.chunk, verified); /* the oldest first */
                assert_true(digest_equal(&item.expected, &expected));
                assert_true(written - verified > lags[i] || written == CHUNKS);
                verified++;
                plan_verified(f.plan, &item);
            } else {
                assert_item(&item, PLAN_COPY, written);
                assert_true(written - verified <= lags[i]);
                written++;
                copied(f.plan, &item);
            }
        }
        assert_int_equal(written, CHUNKS);
        assert_int_equal(verified, CHUNKS);
        assert_true(plan_complete(f.plan));
        assert_int_equal(f.progress.bytes_verified, CHUNKS * CHUNK);
        plan_close(f.plan);
    }
}

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

/* Sixteen slots at work and a large lag: nothing written is forgotten, nothing read twice. */
static void plan_next_verify_many_out_at_once_reads_each_once(void **state)
{
    (void)state;
    enum { CHUNKS = 2000, SLOTS = 16 };
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        struct plan_item out[SLOTS];
        uint32_t out_count = 0;
        static uint8_t seen[CHUNKS];
        memset(seen, 0, sizeof(seen));
        srandom(seed);
        struct plan_config config = config_of(CHUNKS);
        config.verify = true;
        config.verify_lag = (uint32_t)random() % 127;
        start(&f, &config);
        for (;;) {
            enum plan_answer answer = PLAN_LATER;
            if (out_count < SLOTS && random() % 2)
                answer = plan_next(f.plan, &out[out_count]);
            if (answer == PLAN_ITEM) {
                out_count++;
                continue;
            }
            if (out_count == 0) {
                if (answer == PLAN_END)
                    break;
                continue;
            }
            uint32_t at = (uint32_t)random() % out_count;
            struct plan_item item = out[at];
            out[at] = out[--out_count];
            if (item.action == PLAN_VERIFY) {
                struct digest expected = digest_for(item.chunk);
                assert_true(digest_equal(&item.expected, &expected));
                assert_int_equal(seen[item.chunk]++, 1);
                plan_verified(f.plan, &item);
            } else {
                assert_int_equal(seen[item.chunk]++, 0);
                copied(f.plan, &item);
            }
        }
        assert_true(plan_complete(f.plan));
        struct digest expected = folded(CHUNKS);
        assert_digest(f.plan, &expected);
        plan_close(f.plan);
    }
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

static void plan_digest_out_of_order_equals_in_order(void **state)
{
    (void)state;
    enum { CHUNKS = 1500, OUT = 100 };
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct fixture f;
        struct plan_config config = config_of(CHUNKS);
        struct plan_item out[OUT];
        uint32_t out_count = 0;
        struct digest digest;
        srandom(seed);
        start(&f, &config);
        for (uint64_t done = 0; done < CHUNKS; done++) {
            assert_false(plan_digest(f.plan, &digest));
            while (out_count < OUT && plan_next(f.plan, &out[out_count]) == PLAN_ITEM)
                out_count++;
            uint32_t at = (uint32_t)random() % out_count;
            copied(f.plan, &out[at]);
            out[at] = out[--out_count];
        }
        struct digest expected = folded(CHUNKS);
        assert_digest(f.plan, &expected);
        plan_close(f.plan);
    }
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
        cmocka_unit_test(plan_next_fresh_file_copies_in_order),
        cmocka_unit_test(plan_next_empty_file_ends_at_once),
        cmocka_unit_test(plan_next_item_out_says_later_then_ends),
        cmocka_unit_test(plan_complete_not_all_yielded_is_false),
        cmocka_unit_test(plan_close_null_is_legal),
        cmocka_unit_test(plan_next_alone_leaves_the_work_to_whoever_has_some),
        cmocka_unit_test(plan_next_old_content_is_checked_up_to_its_end),
        cmocka_unit_test(plan_next_rewrite_never_checks),
        cmocka_unit_test(plan_next_sparse_source_is_mapped_first),
        cmocka_unit_test(plan_digest_holes_count_as_zeros),
        cmocka_unit_test(plan_next_holes_end_at_once_when_asked_to_stop),
        cmocka_unit_test(plan_next_hole_over_old_data_is_erased),
        cmocka_unit_test(plan_next_hole_where_nothing_is_blank_is_erased),
        cmocka_unit_test(plan_next_blank_is_said_for_each_range),
        cmocka_unit_test(plan_next_in_a_hole_without_end_comes_back),
        cmocka_unit_test(plan_returned_map_is_asked_again),
        cmocka_unit_test(plan_next_random_extents_cover_all_data),
        cmocka_unit_test(plan_returned_item_comes_again),
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
