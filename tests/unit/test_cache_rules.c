/* test_cache_rules.c - which request comes next, as windows fill, close and fail. */
#include "cache_tests.h"

/* ---- windows, step by step ---- */

static void cache_next_nothing_open_gives_nothing(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    assert_true(cache_idle(&model.cache));
    assert_null(cache_next(&model.cache, CACHE_RELAXED));
    assert_null(cache_next(&model.cache, CACHE_PRESSED));
    assert_null(cache_next(&model.cache, CACHE_FINISH));
}

static void cache_next_only_window_is_left_alone(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    transfer(&model, 0, true);
    transfer(&model, CHUNK, true);
    assert_null(model_next(&model, CACHE_RELAXED)); /* more may come into it */
    assert_false(cache_idle(&model.cache));
    model_finish(&model);
}

static void cache_next_clean_windows_are_dropped_behind_the_reader(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    for (uint64_t offset = 0; offset < 20 * (uint64_t)WINDOW; offset += CHUNK) {
        transfer(&model, offset, false);
        struct request *request = model_next(&model, CACHE_RELAXED);
        assert_int_equal(request != NULL, offset > 0 && offset % WINDOW == 0);
        if (!request)
            continue;
        assert_int_equal(request->kind, REQUEST_DROP);
        assert_int_equal(request->offset + request->length, offset); /* up to where we are */
        model_reap(&model, 0, 0);
    }
    assert_true(model.open_most <= 2);
    model_finish(&model);
}

/* Start the write-back of k when k+1 is open, wait for it when k+1 is started, then drop it. */
static void cache_next_dirty_windows_lag_behind_the_writer(void **state)
{
    (void)state;
    struct model model;
    struct request *request;
    model_start(&model, EXT4_SUPER_MAGIC);

    transfer(&model, 0 * WINDOW, true);
    transfer(&model, 1 * WINDOW, true);
    request = model_next(&model, CACHE_RELAXED);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_WRITEBACK_START);
    assert_int_equal(request->offset, 0);
    assert_int_equal(request->length, WINDOW);
    assert_null(model_next(&model, CACHE_RELAXED));
    model_reap(&model, 0, 0);
    assert_null(model_next(&model, CACHE_RELAXED)); /* window 1 is not started yet */

    transfer(&model, 2 * WINDOW, true);
    bool started = false, waited = false, dropped = false;
    while ((request = model_next(&model, CACHE_RELAXED))) {
        started |= request->kind == REQUEST_WRITEBACK_START && request->offset == WINDOW;
        waited |= request->kind == REQUEST_WRITEBACK_WAIT && request->offset == 0;
        dropped |= request->kind == REQUEST_DROP;
        model_reap(&model, 0, 0);
    }
    assert_true(started);
    assert_true(waited);
    assert_true(dropped);
    assert_false(model.cached[0]);
    assert_true(model.cached[1]);
    model_finish(&model);
}

static void cache_next_without_range_writeback_syncs_data(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, OVERLAYFS_SUPER_MAGIC);
    transfer(&model, 0, true);
    transfer(&model, WINDOW, true);
    struct request *request = model_next(&model, CACHE_RELAXED);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_DATASYNC);
    model_reap(&model, 0, 0);
    request = model_next(&model, CACHE_RELAXED);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_DROP);
    model_reap(&model, 0, 0);
    assert_null(model_next(&model, CACHE_RELAXED));
    model_finish(&model);
}

static void cache_begin_too_many_windows_is_refused_until_one_closes(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    uint64_t limit = model.cache.windows_limit;
    assert_true(limit >= 2);
    for (uint64_t i = 0; i < limit; i++)
        assert_true(model_begin(&model, i * WINDOW));
    assert_false(model_begin(&model, limit * WINDOW));
    /* Into an open window, more always fits. */
    assert_true(model_begin(&model, CHUNK));
    model_end(&model, CHUNK, false);
    /* All are in use: nothing may be dropped, however urgent. */
    assert_null(model_next(&model, CACHE_PRESSED));
    model_end(&model, 0, false);
    struct request *request = model_next(&model, CACHE_PRESSED);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_DROP);
    assert_false(model_begin(&model, limit * WINDOW)); /* not before it is done */
    model_reap(&model, 0, 0);
    assert_true(model_begin(&model, limit * WINDOW));
    model_end(&model, limit * WINDOW, false);
    for (uint64_t i = 1; i < limit; i++)
        model_end(&model, i * WINDOW, false);
    model_finish(&model);
}

/* However many files are open, what one may have in windows is what all may have. */
static void cache_begin_many_files_share_what_one_may_have(void **state)
{
    (void)state;
    enum { FILES = 12 };
    static struct cache_pool pool;
    static struct cache caches[FILES];
    struct model model;
    struct cache_transfer transfers[FILES] = {{.length = 0}};
    struct request *request;
    model_start(&model, EXT4_SUPER_MAGIC);
    for (int small = 0; small < 2; small++) {
        uint32_t begun = 0;
        model.file.facts.size_bytes = small ? PAGE : 2 * WINDOW;
        for (uint32_t i = 0; i < FILES; i++) {
            struct cache_pool fresh;
            open_cache(&caches[i], &fresh, &model.file, POLICY_WINDOW);
            caches[i].pool = &pool;
        }
        pool = (struct cache_pool){.window_bytes = WINDOW};
        for (uint32_t i = 0; i < FILES; i++) {
            transfers[i] = (struct cache_transfer){.length = PAGE};
            begun += cache_begin(&caches[i], &transfers[i]);
            assert_true(pool.open_bytes <= caches[i].windows_limit * (uint64_t)WINDOW);
        }
        assert_int_equal(begun, small ? FILES : caches[0].windows_limit);
        /* Others' windows go for the one that is held. */
        cache_end(&caches[0], &transfers[0], true);
        assert_null(cache_next(&caches[0], CACHE_RELAXED));
        assert_non_null(request = cache_next(&caches[0], CACHE_PRESSED));
        assert_int_equal(cache_reaped(&caches[0], request), 0);
        assert_true(cache_idle(&caches[0]));
        assert_true(small || cache_begin(&caches[FILES - 1], &transfers[FILES - 1]));
        for (uint32_t i = 0; i < FILES; i++)
            cache_close(&caches[i]);
        assert_int_equal(pool.open_bytes, 0);
    }
    cache_close(&model.cache);
}

/* What drops have missed keeps nobody from his window, even where no file has any other left. */
static void cache_begin_pool_full_of_lingering_windows_gets_one(void **state)
{
    (void)state;
    static struct cache_pool pool;
    static struct cache caches[CACHE_POOL_WINDOWS + 1];
    struct model model;
    struct request *request;
    struct cache_transfer transfer;
    model_start(&model, EXT4_SUPER_MAGIC);
    for (uint32_t i = 0; i <= CACHE_POOL_WINDOWS; i++)
        open_cache(&caches[i], &pool, &model.file, POLICY_WINDOW);
    for (uint32_t i = 0; i < CACHE_POOL_WINDOWS; i++) {
        transfer = (struct cache_transfer){.length = PAGE};
        pool.most_bytes = UINT64_MAX;
        assert_true(cache_begin(&caches[i], &transfer));
        cache_end(&caches[i], &transfer, true);
        pool.windows[i].lingering = true;
        pool.windows[i].again_after = 1;
    }
    transfer = (struct cache_transfer){.length = PAGE};
    assert_false(cache_begin(&caches[CACHE_POOL_WINDOWS], &transfer));
    assert_non_null(request = cache_next(&caches[3], CACHE_PRESSED));
    (void)cache_reaped(&caches[3], request);
    assert_true(cache_begin(&caches[CACHE_POOL_WINDOWS], &transfer));
    for (uint32_t i = 0; i <= CACHE_POOL_WINDOWS; i++)
        cache_close(&caches[i]);
    assert_int_equal(pool.windows_open, 0);
    cache_close(&model.cache);
}

static void cache_begin_window_being_closed_opens_anew_afterwards(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    transfer(&model, 0, false);
    assert_non_null(model_next(&model, CACHE_FINISH));
    assert_false(model_begin(&model, CHUNK)); /* its pages could be lost half read */
    model_reap(&model, 0, 0);
    assert_true(cache_idle(&model.cache));
    transfer(&model, CHUNK, false);
    assert_false(cache_idle(&model.cache));
    model_finish(&model);
}

static void cache_end_written_while_started_is_waited_for_too(void **state)
{
    (void)state;
    struct model model;
    struct request *request;
    model_start(&model, EXT4_SUPER_MAGIC);
    transfer(&model, 0, true);
    transfer(&model, WINDOW, true);
    request = model_next(&model, CACHE_RELAXED);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_WRITEBACK_START);
    transfer(&model, CHUNK, true); /* a late chunk, while window 0 is being written back */
    model_reap(&model, 0, 0);
    model_finish(&model); /* checks that nothing dirty was dropped */
}

static void cache_reaped_failed_writeback_is_told_and_the_windows_go_on(void **state)
{
    (void)state;
    static const uint64_t types[] = {EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct model model;
        bool failed = false;
        model_start(&model, types[i]);
        transfer(&model, 0, true);
        for (uint32_t step = 0; step < 20 && !cache_idle(&model.cache); step++) {
            struct request *request = model_next(&model, CACHE_FINISH);
            assert_non_null(request);
            bool waits =
                request->kind == REQUEST_WRITEBACK_WAIT || request->kind == REQUEST_DATASYNC;
            model_reap(&model, 0, waits && !failed ? -EIO : 0); /* asserts what is returned */
            failed |= waits;
        }
        assert_true(failed);
        model_finish(&model);
    }
}

static void cache_reaped_failed_drop_is_no_error(void **state)
{
    (void)state;
    struct model model;
    model_start(&model, EXT4_SUPER_MAGIC);
    transfer(&model, 0, false);
    assert_non_null(model_next(&model, CACHE_FINISH));
    model_reap(&model, 0, -EINVAL); /* asserts 0: data is not lost */
    model_finish(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_next_nothing_open_gives_nothing),
        cmocka_unit_test(cache_next_only_window_is_left_alone),
        cmocka_unit_test(cache_next_clean_windows_are_dropped_behind_the_reader),
        cmocka_unit_test(cache_next_dirty_windows_lag_behind_the_writer),
        cmocka_unit_test(cache_next_without_range_writeback_syncs_data),
        cmocka_unit_test(cache_begin_too_many_windows_is_refused_until_one_closes),
        cmocka_unit_test(cache_begin_many_files_share_what_one_may_have),
        cmocka_unit_test(cache_begin_pool_full_of_lingering_windows_gets_one),
        cmocka_unit_test(cache_begin_window_being_closed_opens_anew_afterwards),
        cmocka_unit_test(cache_end_written_while_started_is_waited_for_too),
        cmocka_unit_test(cache_reaped_failed_writeback_is_told_and_the_windows_go_on),
        cmocka_unit_test(cache_reaped_failed_drop_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
