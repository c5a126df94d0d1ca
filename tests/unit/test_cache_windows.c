/* test_cache_windows.c - windows among pages of others. */
#include "cache_tests.h"

/* ---- random use ---- */

enum { SLOTS = 12, STEPS = 3000 };

struct user {
    bool active, held;
    bool write;
    uint64_t offset;
};

/* Streams with late chunks, as the pump makes them; for every fourth seed, anywhere at all. */
static uint64_t user_offset(unsigned seed, uint64_t streams[3])
{
    if (seed % 4 == 0 || random() % 50 == 0)
        return (uint64_t)random() % (MODEL_WINDOWS * (WINDOW / CHUNK)) * CHUNK;
    uint64_t *stream = &streams[(uint32_t)random() % (seed % 3 + 1)];
    *stream = (*stream + CHUNK) % ((uint64_t)MODEL_WINDOWS * WINDOW);
    return *stream;
}

static void users_retry_held(struct model *model, struct user *users, uint64_t *patience)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (users[i].held && model_begin(model, users[i].offset)) {
            users[i].held = false;
            *patience = 0;
        }
    }
}

static void user_step(struct model *model, struct user *user, unsigned seed, uint64_t streams[3])
{
    if (user->active && !user->held) {
        model_end(model, user->offset, user->write);
        user->active = false;
    } else if (!user->active) {
        *user = (struct user){
            .active = true,
            .write = seed % 2 == 0 || random() % 3 == 0,
            .offset = user_offset(seed, streams),
        };
        user->held = !model_begin(model, user->offset);
    }
}

static void random_use(unsigned seed)
{
    struct model model;
    struct user users[SLOTS] = {{0}};
    uint64_t streams[3] = {0, 20 * (uint64_t)WINDOW, 40 * (uint64_t)WINDOW};
    srandom(seed);
    model_start(&model, seed % 5 == 0 ? OVERLAYFS_SUPER_MAGIC : EXT4_SUPER_MAGIC);
    model.cache.windows_limit = 2 + seed % (CACHE_WINDOWS_MAX - 1);
    uint64_t patience = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        bool held = false;
        uint32_t at = (uint32_t)random() % SLOTS;
        for (uint32_t i = 0; i < SLOTS; i++)
            held |= users[i].held;
        user_step(&model, &users[at], seed, streams);
        if (model.pending_count > 0 && random() % 2)
            model_reap(&model, (uint32_t)random() % model.pending_count, 0);
        while (model_next(&model, held ? CACHE_PRESSED : CACHE_RELAXED))
            continue;
        users_retry_held(&model, users, &patience);
        /* Held slots get in: not in this step, but before everybody has had many turns. */
        patience = held ? patience + 1 : 0;
        assert_true(patience < 40 * SLOTS);
    }
    /* The end of a file: what is under way ends, what is held gets in and ends. */
    for (uint32_t step = 0; step < 40 * SLOTS; step++) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (users[i].active && !users[i].held) {
                model_end(&model, users[i].offset, users[i].write);
                users[i].active = false;
            }
        }
        while (model_next(&model, CACHE_PRESSED))
            continue;
        if (model.pending_count > 0)
            model_reap(&model, (uint32_t)random() % model.pending_count, 0);
        users_retry_held(&model, users, &patience);
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        assert_false(users[i].active);
    model_finish(&model);
}

static void cache_windows_random_use_keeps_the_rules(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++)
        random_use(seed);
}

/* Sequential use with a limit of three never holds more than three windows, and drops each once. */
static void cache_windows_sequential_use_needs_few_requests(void **state)
{
    (void)state;
    struct model model;
    uint32_t drops = 0;
    model_start(&model, EXT4_SUPER_MAGIC);
    for (uint64_t offset = 0; offset < (uint64_t)MODEL_WINDOWS * WINDOW; offset += CHUNK) {
        transfer(&model, offset, true);
        struct request *request;
        while ((request = model_next(&model, CACHE_RELAXED))) {
            drops += request->kind == REQUEST_DROP;
            model_reap(&model, 0, 0);
        }
    }
    assert_true(model.open_most <= 3);
    assert_true(drops <= MODEL_WINDOWS && drops >= MODEL_WINDOWS - 3);
    model_finish(&model);
}

/* ---- pages of others, on a real file ---- */

static void warm_map(const struct warm *warm, uint8_t map[WARM_PAGES / 8])
{
    assert_int_equal(residency_map(&warm->cache.residency, warm->file.fd, 0,
                                   (uint64_t)WARM_WINDOWS * WINDOW, map, WARM_PAGES),
                     0);
}

/* Somebody else reads the first `pages` pages out of every `period`, and nothing around them.
 * Through a mapping, which stays: the kernel may take an unmapped clean page at any moment (DAMON's
 * pageout scheme does so on the development machine every 5 s), and one that went before its window
 * is opened is ours afterwards. What a drop would do to it is seen in the drop. */
static void warm_read_some(struct warm *warm, uint64_t first, uint64_t end, uint64_t pages,
                           uint64_t period)
{
    assert_true(pages <= period && period <= WINDOW / PAGE);
    if (!warm->others) {
        void *at = mmap(NULL, WARM_BYTES, PROT_READ, MAP_SHARED, warm->file.fd, 0);
        assert_true(at != MAP_FAILED);
        warm->others = at;
        assert_int_equal(madvise(at, WARM_BYTES, MADV_RANDOM), 0);
    }
    for (uint64_t i = first; i < end; i += period) {
        for (uint64_t page = i; page < min_u64(i + pages, end); page++)
            assert_int_equal(warm->others[page * PAGE], 'h');
    }
}

static void warm_begin(struct warm *warm)
{
    open_cache(&warm->cache, &warm->pool, &warm->file, POLICY_WINDOW);
    assert_true(warm->cache.residency.method == RESIDENCY_CACHESTAT ||
                warm->cache.residency.method == RESIDENCY_MINCORE);
    warm->others_dropped = 0;
    warm_map(warm, warm->before);
}

static void warm_read_window(struct warm *warm, uint64_t number)
{
    static _Alignas(PAGE) uint8_t buffer[CHUNK];
    for (uint64_t offset = number * WINDOW; offset < (number + 1) * WINDOW; offset += CHUNK) {
        struct cache_transfer one = {.offset = offset, .length = CHUNK};
        bool begun = false;
        for (int turn = 0; turn < 10 && !begun; turn++) {
            begun = cache_begin(&warm->cache, &one);
            if (!begun)
                warm_tend(warm, CACHE_PRESSED);
        }
        assert_true(begun);
        int fd = one.direct ? warm->file.fd_direct : warm->file.fd;
        assert_int_equal(pread(fd, buffer, CHUNK, num_off(offset)), CHUNK);
        cache_end(&warm->cache, &one, true);
        warm_tend(warm, CACHE_RELAXED);
    }
}

/* All that was there before is there, and nothing else; nobody asked to drop any of it. */
static void warm_assert_as_before(struct warm *warm)
{
    uint8_t after[WARM_PAGES / 8];
    uint32_t lost = 0, left = 0;
    warm_map(warm, after);
    for (uint64_t i = 0; i < WARM_PAGES; i++) {
        lost += bit(warm->before, i) && !bit(after, i);
        left += !bit(warm->before, i) && bit(after, i);
    }
    assert_int_equal(warm->others_dropped, 0);
    assert_int_equal(left, 0);
    assert_int_equal(lost, 0);
}

static void cache_windows_nothing_warm_leaves_nothing(void **state)
{
    struct warm *warm = *state;
    warm_begin(warm);
    for (uint64_t i = 0; i < WARM_WINDOWS; i++)
        warm_read_window(warm, i);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    warm_assert_as_before(warm);
}

static void cache_windows_part_warm_is_spared(void **state)
{
    struct warm *warm = *state;
    /* All of window 1, the middle of 3, the last page of 4 and the first of 5. */
    warm_read_some(warm, 512, 1024, 512, 512);
    warm_read_some(warm, 3 * 512 + 100, 3 * 512 + 200, 100, 100);
    warm_read_some(warm, 5 * 512 - 1, 5 * 512 + 1, 2, 2);
    warm_begin(warm);
    for (uint64_t i = 0; i < WARM_WINDOWS; i++)
        warm_read_window(warm, i);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    assert_true(bit(warm->before, 512) && bit(warm->before, 1023));
    warm_assert_as_before(warm);
}

static void cache_windows_all_warm_drops_nothing(void **state)
{
    struct warm *warm = *state;
    warm_read_some(warm, 0, WARM_PAGES, 512, 512);
    warm_begin(warm);
    for (uint64_t i = 0; i < WARM_WINDOWS; i++)
        warm_read_window(warm, i);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    warm_assert_as_before(warm);
}

/* Every second page is somebody's: one request for each run of ours, and no more. */
static void cache_windows_many_fragments_one_drop_for_each_run(void **state)
{
    struct warm *warm = *state;
    uint32_t runs = 0;
    warm_read_some(warm, 0, 2 * 512, 1, 2);
    warm_begin(warm);
    for (uint64_t i = 0; i < 2 * 512; i++)
        runs += !bit(warm->before, i) && (i % 512 == 0 || bit(warm->before, i - 1));
    assert_true(runs >= 500);
    for (uint64_t i = 0; i < 2; i++)
        warm_read_window(warm, i);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    assert_true(warm->drops_count <= runs);
    warm_assert_as_before(warm);
}

/* What is gone does not count as in the cache any more, although its window stays. */
static void cache_windows_drop_that_misses_half_leaves_half_in_the_account(void **state)
{
    struct warm *warm = *state;
    const uint64_t *ours_bytes = &warm->cache.account.ours_bytes;
    warm_begin(warm);
    warm_read_window(warm, 0);
    assert_int_equal(*ours_bytes, WINDOW);
    struct request *request = cache_next(&warm->cache, CACHE_FINISH);
    assert_non_null(request);
    assert_int_equal(request->kind, REQUEST_DROP);
    assert_int_equal(posix_fadvise(request->fd, 0, WINDOW / 2, POSIX_FADV_DONTNEED), 0);
    request->result = 0;
    assert_int_equal(cache_reaped(&warm->cache, request), 0);
    request = cache_next(&warm->cache, CACHE_FINISH); /* what was missed, once more */
    assert_non_null(request);
    assert_true(*ours_bytes > 0 && *ours_bytes <= WINDOW / 2);
    request->result = (int)engine_execute(request);
    assert_int_equal(cache_reaped(&warm->cache, request), 0);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    assert_int_equal(*ours_bytes, 0);
    assert_int_equal(warm->cache.account.ours_peak_bytes, WINDOW);
    warm_assert_as_before(warm);
}

/* Somebody holds pages of ours for longer than a window's drops take, and not for ever. */
static void cache_windows_pages_held_while_windows_close_go_at_the_end(void **state)
{
    struct warm *warm = *state;
    warm_begin(warm);
    warm_read_window(warm, 0);
    warm_read_some(warm, 7, 9, 2, 2);
    warm_read_some(warm, 300, 301, 1, 1);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    struct side_report report;
    cache_report(&warm->cache, &report);
    assert_true(report.resident_after_bytes >= 3 * PAGE);
    warm_unmap(warm);
    cache_finish(&warm->cache);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    cache_report(&warm->cache, &report);
    assert_int_equal(report.resident_after_bytes, 0);
    warm_assert_as_before(warm);
}

/* A late chunk comes into a window whose dropping is half done. */
static void cache_windows_late_chunk_between_fragments_is_dropped_too(void **state)
{
    struct warm *warm = *state;
    warm_read_some(warm, 0, 512, 16, 32);
    warm_begin(warm);
    warm_read_window(warm, 0);
    struct request *request = cache_next(&warm->cache, CACHE_FINISH);
    for (int i = 0; i < 8; i++) {
        assert_non_null(request);
        request->result = (int)engine_execute(request);
        assert_int_equal(cache_reaped(&warm->cache, request), 0);
        request = i < 7 ? cache_next(&warm->cache, CACHE_FINISH) : NULL;
    }
    assert_false(cache_idle(&warm->cache));
    warm_read_window(warm, 0);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    warm_assert_as_before(warm);
}

/* Chunks that come late, and a second stream behind the first (verification): our own pages are
 * never taken for somebody else's. */
static void cache_windows_backwards_and_again_leaves_nothing_of_ours(void **state)
{
    struct warm *warm = *state;
    warm_read_some(warm, 0, 64, 64, 64); /* somebody's */
    warm_begin(warm);
    static const uint64_t order[] = {0, 2, 1, 3, 4, 2, 1, 5, 0, 7, 6, 5, 7, 3};
    for (size_t i = 0; i < COUNT_OF(order); i++)
        warm_read_window(warm, order[i]);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    warm_assert_as_before(warm);
}

static void cache_windows_random_order_leaves_what_was_there(void **state)
{
    struct warm *warm = *state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        srandom(seed);
        warm_unmap(warm);
        assert_int_equal(posix_fadvise(warm->file.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        warm_read_some(warm, (uint64_t)random() % WARM_PAGES, WARM_PAGES,
                       1 + (uint64_t)random() % 40, 40 + (uint64_t)random() % 400);
        warm_begin(warm);
        for (int i = 0; i < 16; i++)
            warm_read_window(warm, (uint64_t)random() % WARM_WINDOWS);
        warm_tend(warm, CACHE_FINISH);
        assert_true(cache_idle(&warm->cache));
        warm_assert_as_before(warm);
    }
}

/* Somebody reads through windows that we have emptied, and on through those that we have open: they
 * are his now, although nobody opens a window behind him. */
static void cache_windows_reader_from_behind_keeps_what_he_found(void **state)
{
    struct warm *warm = *state;
    uint8_t after[WARM_PAGES / 8];
    warm_begin(warm);
    for (uint64_t i = 0; i < 5; i++)
        warm_read_window(warm, i);
    warm_map(warm, after);
    assert_false(bit(after, 2 * 512));
    assert_true(bit(after, 4 * 512));
    warm_read_some(warm, 512, 5 * 512, 512, 512);
    for (uint64_t i = 5; i < 7; i++) { /* he keeps step with us */
        warm_read_window(warm, i);
        warm_read_some(warm, i * 512, (i + 1) * 512, 512, 512);
    }
    warm_map(warm, warm->before);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    assert_true(warm->cache.account.others_bytes > 0);
    warm_assert_as_before(warm);
}

/* A reader who was met is followed for a while; but of what was left to him nothing follows for the
 * rest of the file. */
static void cache_windows_behind_what_was_left_are_dropped(void **state)
{
    struct warm *warm = *state;
    warm_begin(warm);
    for (uint64_t i = 0; i < 3; i++)
        warm_read_window(warm, i);
    warm_read_some(warm, 0, 3 * 512, 512, 512);
    for (uint64_t i = 3; i < WARM_WINDOWS; i++)
        warm_read_window(warm, i);
    warm_tend(warm, CACHE_FINISH);
    assert_true(cache_idle(&warm->cache));
    uint8_t after[WARM_PAGES / 8];
    warm_map(warm, after);
    for (uint64_t i = 8 * 512; i < WARM_PAGES; i++)
        assert_false(bit(after, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_windows_random_use_keeps_the_rules),
        cmocka_unit_test(cache_windows_sequential_use_needs_few_requests),
        WARM(cache_windows_nothing_warm_leaves_nothing),
        WARM(cache_windows_part_warm_is_spared),
        WARM(cache_windows_all_warm_drops_nothing),
        WARM(cache_windows_many_fragments_one_drop_for_each_run),
        WARM(cache_windows_drop_that_misses_half_leaves_half_in_the_account),
        WARM(cache_windows_pages_held_while_windows_close_go_at_the_end),
        WARM(cache_windows_late_chunk_between_fragments_is_dropped_too),
        WARM(cache_windows_backwards_and_again_leaves_nothing_of_ours),
        WARM(cache_windows_reader_from_behind_keeps_what_he_found),
        WARM(cache_windows_behind_what_was_left_are_dropped),
        WARM(cache_windows_random_order_leaves_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
