/* plan_tests.h - a plan and who works by it: what the tests of plans share. */
#ifndef HAUL_TESTS_PLAN_TESTS_H
#define HAUL_TESTS_PLAN_TESTS_H

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/copy/plan.h"

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

static inline void start(struct fixture *fixture, const struct plan_config *config)
{
    struct error err = {0};
    memset(&fixture->progress, 0, sizeof(fixture->progress));
    memset(&fixture->control, 0, sizeof(fixture->control));
    assert_int_equal(plan_open(&fixture->plan, config, &fixture->progress, &fixture->control, &err),
                     0);
}

static inline struct plan_config config_of(uint64_t chunks)
{
    return (struct plan_config){.size_bytes = chunks * CHUNK, .chunk_bytes = CHUNK};
}

/* Any digest that depends on the chunk's number. */
static inline struct digest digest_for(uint64_t chunk)
{
    return digest_of(&chunk, sizeof(chunk));
}

static inline void copied(struct plan *plan, const struct plan_item *item)
{
    struct digest digest = digest_for(item->chunk);
    plan_copied(plan, item, &digest, item->length);
}

static inline void kept(struct plan *plan, const struct plan_item *item)
{
    struct digest digest = digest_for(item->chunk);
    plan_kept(plan, item, &digest);
}

static inline struct plan_item next(struct plan *plan)
{
    struct plan_item item;
    assert_int_equal(plan_next(plan, &item), PLAN_ITEM);
    return item;
}

static inline void assert_answer(struct plan *plan, enum plan_answer answer)
{
    struct plan_item item;
    assert_int_equal(plan_next(plan, &item), answer);
}

static inline void assert_item(const struct plan_item *item, enum plan_action action,
                               uint64_t chunk)
{
    assert_int_equal(item->action, action);
    assert_int_equal(item->chunk, chunk);
    assert_int_equal(item->offset, chunk * CHUNK);
}

static inline struct digest folded(uint64_t chunks)
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

static inline void assert_digest(struct plan *plan, const struct digest *expected)
{
    struct digest digest;
    assert_true(plan_digest(plan, &digest));
    assert_true(digest_equal(&digest, expected));
}

/* Random extents: every chunk with a byte of data is copied, every other one is a hole. */
static inline void plan_next_random_extents_cover_all_data(void **state)
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

static inline void plan_next_verify_stays_behind_by_the_lag(void **state)
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

/* Sixteen slots at work and a large lag: nothing written is forgotten, nothing read twice. */
static inline void plan_next_verify_many_out_at_once_reads_each_once(void **state)
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

static inline void plan_digest_out_of_order_equals_in_order(void **state)
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

#endif
