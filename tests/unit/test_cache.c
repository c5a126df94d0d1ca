/* test_cache.c - which policy is chosen and why; the windows, step by step, with an executor that
 * the test is; and on a real file, what is left in the cache. Other filesystems are left to
 * tests/cli. */
#include "haul/cache.h"
#include "haul/cleanup.h"
#include "haul/num.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { WINDOW = 2 * 1024 * 1024, CHUNK = 256 * 1024, PAGE = 4096 };

/* ---- choosing ---- */

struct place {
    char path[64];
    struct file file;
};

static int place_setup_in(void **state, const char *template)
{
    static uint8_t block[3 * PAGE];
    struct place *place = calloc(1, sizeof(*place));
    struct error err = {0};
    if (!place)
        return -1;
    *state = place;
    strcpy(place->path, template);
    int fd = mkstemp(place->path);
    if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block))
        return -1;
    close(fd);
    return file_open_source(&place->file, place->path, &err);
}

static int disk_setup(void **state)
{
    return place_setup_in(state, "/var/tmp/haul_policy_XXXXXX");
}

static int memory_setup(void **state)
{
    return place_setup_in(state, "/dev/shm/haul_policy_XXXXXX");
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    file_close(&place->file);
    unlink(place->path);
    free(place);
    return 0;
}

static void open_cache(struct cache *cache, struct cache_pool *pool, struct file *file,
                       enum policy_kind wish)
{
    struct error err = {.class = ERROR_NONE};
    const struct job job = {.chunk_bytes = CHUNK, .wish.cache = wish};
    const struct cache_need need = {.path = file->path, .size_bytes = file->facts.size_bytes};
    *pool = (struct cache_pool){.window_bytes = WINDOW};
    assert_int_equal(cache_open(cache, pool, file, &job, &need, &err), 0);
}

static bool is_direct(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

static void cache_open_disk_auto_is_direct(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_true(cache.block >= 4096 && is_power_of_two(cache.block));
    assert_true(is_direct(place->file.fd_direct));
    assert_false(is_direct(place->file.fd));
    assert_non_null(strstr(cache.why, "O_DIRECT"));
    assert_true(cache_idle(&cache));
}

static void cache_open_disk_window_wished_is_window(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_WINDOW);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(cache.block, 1);
    assert_int_equal(cache.window_bytes, WINDOW);
    /* Only to read around what others have cached, and only where statx vouches for it. */
    assert_int_equal(cache.around_block > 0, place->file.dio_known);
    assert_int_equal(place->file.fd_direct >= 0, place->file.dio_known);
    assert_true(cache.around_block == 0 || is_direct(place->file.fd_direct));
    assert_true(strlen(cache.why) > 0);
}

static void cache_open_disk_plain_wished_is_plain(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_PLAIN);
    assert_int_equal(cache.kind, POLICY_PLAIN);
    assert_int_equal(cache.block, 1);
}

/* statx says that direct I/O would be buffered silently: also the wish for it is refused. */
static void cache_open_alignment_zero_is_window(void **state)
{
    struct place *place = *state;
    static const enum policy_kind wishes[] = {POLICY_AUTO, POLICY_DIRECT};
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        struct cache_pool pool;
        struct cache cache;
        place->file.dio_known = true;
        place->file.dio_memory_bytes = place->file.dio_offset_bytes = 0;
        open_cache(&cache, &pool, &place->file, wishes[i]);
        assert_int_equal(cache.kind, POLICY_WINDOW);
        assert_int_equal(place->file.fd_direct, -1);
        assert_non_null(strstr(cache.why, "silently"));
    }
}

static void cache_open_larger_alignment_is_kept_to(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    place->file.dio_known = true;
    place->file.dio_memory_bytes = 512;
    place->file.dio_offset_bytes = 16384;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_int_equal(cache.block, 16384);
}

static void cache_open_statx_silent_tries_it(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    place->file.dio_known = false;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_non_null(strstr(cache.why, "tried"));
}

/* procfs refuses O_DIRECT at open, whatever the fixture says that the file is. */
static void cache_open_open_refused_is_window(void **state)
{
    (void)state;
    struct error err = {0};
    struct file file;
    struct cache_pool pool;
    struct cache cache;
    file_init(&file);
    file.fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    file.path = strdup("/proc/version");
    assert_true(file.fd >= 0 && file.path);
    assert_int_equal(file_facts(&file, &file.facts, &err), 0);
    open_cache(&cache, &pool, &file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(file.fd_direct, -1);
    assert_non_null(strstr(cache.why, "refused"));
    assert_non_null(strstr(cache.why, "Invalid argument"));
    file_close(&file);
}

static void cache_open_memory_filesystem_is_plain(void **state)
{
    struct place *place = *state;
    static const enum policy_kind wishes[] = {POLICY_AUTO, POLICY_DIRECT, POLICY_WINDOW,
                                              POLICY_PLAIN};
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        struct cache_pool pool;
        struct cache cache;
        open_cache(&cache, &pool, &place->file, wishes[i]);
        assert_int_equal(cache.kind, POLICY_PLAIN);
        assert_int_equal(place->file.fd_direct, -1);
        assert_true(strlen(cache.why) > 0);
    }
}

static void cache_open_range_writeback_only_where_it_works(void **state)
{
    struct place *place = *state;
    static const struct {
        uint64_t type;
        bool works;
    } rows[] = {
        {EXT4_SUPER_MAGIC, true},       {0x58465342 /* xfs */, true}, {BTRFS_SUPER_MAGIC, true},
        {OVERLAYFS_SUPER_MAGIC, false}, {FUSE_SUPER_MAGIC, false},    {0x12345678, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_pool pool;
        struct cache cache;
        place->file.filesystem = rows[i].type;
        open_cache(&cache, &pool, &place->file, POLICY_WINDOW);
        assert_int_equal(cache.range_writeback, rows[i].works);
    }
}

static void cache_refused_direct_becomes_window(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    struct cache_transfer transfer = {.length = CHUNK};
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_true(cache_begin(&cache, &transfer));
    assert_true(transfer.direct);
    int fd_direct = place->file.fd_direct;
    cache_refused(&cache, &transfer);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(cache.block, 1);
    assert_non_null(strstr(cache.why, "refused at work"));
    assert_int_equal(cache.window_bytes, WINDOW);
    assert_true(cache_begin(&cache, &transfer));
    assert_false(transfer.direct);
    cache_end(&cache, &transfer, true);
    /* Requests in flight stay as they are: their descriptor is still open. */
    assert_true(is_direct(fd_direct));
    cache_close(&cache);
}

static void policy_name_all_kinds_have_one(void **state)
{
    (void)state;
    assert_string_equal(policy_name(POLICY_AUTO), "auto");
    assert_string_equal(policy_name(POLICY_DIRECT), "direct");
    assert_string_equal(policy_name(POLICY_WINDOW), "window");
    assert_string_equal(policy_name(POLICY_PLAIN), "plain");
}

/* ---- windows, step by step ---- */

enum { MODEL_WINDOWS = 64, PENDING_MAX = CACHE_WINDOWS_MAX };

/* What the cache would hold, and what was done to it. */
struct model {
    struct cache_pool pool;
    struct cache cache;
    struct file file;
    struct cache_transfer transfers[64];
    bool dirty[MODEL_WINDOWS];  /* written since the last write-back that was waited for began */
    bool cached[MODEL_WINDOWS]; /* something of ours is in the cache */
    uint32_t inflight[MODEL_WINDOWS];
    struct request *pending[PENDING_MAX];
    uint32_t pending_count;
    uint32_t open_most;
};

static void model_start(struct model *model, uint64_t filesystem)
{
    memset(model, 0, sizeof(*model));
    file_init(&model->file);
    model->file.filesystem = filesystem;
    model->file.facts.kind = FILE_REGULAR;
    model->file.facts.size_bytes = (uint64_t)MODEL_WINDOWS * WINDOW;
    model->file.writable = model->file.readable = true;
    open_cache(&model->cache, &model->pool, &model->file, POLICY_WINDOW);
    assert_int_equal(model->cache.kind, POLICY_WINDOW);
}

static uint32_t model_open_count(struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CACHE_POOL_WINDOWS; i++)
        count += model->pool.windows[i].cache != NULL;
    if (count > model->open_most)
        model->open_most = count;
    return count;
}

static bool model_begin(struct model *model, uint64_t offset)
{
    struct cache_transfer *one = model->transfers;
    while (one->begun)
        one++;
    *one = (struct cache_transfer){.offset = offset, .length = CHUNK};
    bool begun = cache_begin(&model->cache, one);
    assert_true(model_open_count(model) <= model->cache.windows_limit);
    if (begun) {
        model->inflight[offset / WINDOW]++;
        model->cached[offset / WINDOW] = true;
    }
    return begun;
}

static void model_end(struct model *model, uint64_t offset, bool wrote)
{
    uint64_t number = offset / WINDOW;
    struct cache_transfer *one = model->transfers;
    while (!one->begun || one->offset != offset)
        one++;
    one->writes = wrote;
    cache_end(&model->cache, one, true);
    assert_true(model->inflight[number] > 0);
    model->inflight[number]--;
    if (wrote)
        model->dirty[number] = true;
}

/* The next request, checked against the rules, and kept as being executed. */
static struct request *model_next(struct model *model, enum cache_urgency urgency)
{
    struct request *request = cache_next(&model->cache, urgency);
    if (!request)
        return NULL;
    assert_true(model->pending_count < PENDING_MAX);
    for (uint32_t i = 0; i < model->pending_count; i++)
        assert_ptr_not_equal(model->pending[i], request);
    assert_int_equal(request->fd, model->file.fd);
    /* A drop may reach back; the window that it is for is the last one. */
    uint64_t last = request->offset + request->length - 1, number = last / WINDOW;
    assert_true(request->length > 0);
    assert_int_equal(request->offset % PAGE, 0);
    switch (request->kind) {
    case REQUEST_WRITEBACK_START:
        assert_true(model->cache.range_writeback);
        assert_true(model->dirty[number]);
        break;
    case REQUEST_WRITEBACK_WAIT:
        assert_true(model->cache.range_writeback);
        assert_int_equal(model->inflight[number], 0);
        assert_int_equal(request->offset, number * WINDOW);
        assert_int_equal(request->length, WINDOW);
        break;
    case REQUEST_DATASYNC:
        assert_false(model->cache.range_writeback);
        break;
    case REQUEST_DROP:
        assert_int_equal(model->inflight[number], 0);
        assert_false(model->dirty[number]);
        break;
    case REQUEST_READ:
    case REQUEST_WRITE:
    case REQUEST_SYNC:
    case REQUEST_CALL:
        fail_msg("a policy moves no data");
    }
    model->pending[model->pending_count++] = request;
    return request;
}

static void model_reap(struct model *model, uint32_t at, int result)
{
    struct request *request = model->pending[at];
    uint64_t number = (request->offset + request->length - 1) / WINDOW;
    enum request_kind kind = request->kind;
    uint64_t first = request->offset / WINDOW;
    model->pending[at] = model->pending[--model->pending_count];
    request->result = result;
    int answer = cache_reaped(&model->cache, request);
    assert_int_equal(answer, kind == REQUEST_DROP ? 0 : result);
    if (kind == REQUEST_WRITEBACK_WAIT || kind == REQUEST_DATASYNC) {
        assert_int_equal(model->inflight[number], 0); /* nothing is begun while it is waited for */
        model->dirty[number] = false;
    }
    for (uint64_t i = first; kind == REQUEST_DROP && i <= number; i++) {
        if (!model->dirty[i] && model->inflight[i] == 0)
            model->cached[i] = false;
    }
}

static void model_finish(struct model *model)
{
    for (uint32_t step = 0; step < 100 && !cache_idle(&model->cache); step++) {
        while (model_next(model, CACHE_FINISH))
            continue;
        if (model->pending_count > 0)
            model_reap(model, 0, 0);
    }
    assert_true(cache_idle(&model->cache));
    assert_null(model_next(model, CACHE_FINISH));
    for (uint32_t i = 0; i < MODEL_WINDOWS; i++) {
        assert_false(model->dirty[i]);
        assert_false(model->cached[i]);
    }
}

static void transfer(struct model *model, uint64_t offset, bool write)
{
    assert_true(model_begin(model, offset));
    model_end(model, offset, write);
}

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

enum { WARM_WINDOWS = 12, WARM_BYTES = WARM_WINDOWS * WINDOW, WARM_PAGES = WARM_BYTES / PAGE };

struct warm {
    char path[64];
    struct file file;
    struct cache_pool pool;
    struct cache cache;
    const volatile uint8_t *others; /* the file as somebody else has it mapped */
    uint8_t before[WARM_PAGES / 8]; /* resident before we came */
    uint32_t drops_count;
    uint32_t others_dropped; /* pages of others in drops */
};

static bool bit(const uint8_t *map, uint64_t index)
{
    return map[index / 8] >> (index % 8) & 1;
}

static int warm_setup(void **state)
{
    struct warm *warm = calloc(1, sizeof(*warm));
    uint8_t *block = malloc(WINDOW);
    struct error err = {0};
    if (!warm || !block)
        return -1;
    *state = warm;
    memset(block, 'h', WINDOW);
    strcpy(warm->path, "/var/tmp/haul_policy_XXXXXX");
    int fd = mkstemp(warm->path);
    if (fd < 0)
        return -1;
    for (int i = 0; i < WARM_WINDOWS; i++) {
        if (write(fd, block, WINDOW) != WINDOW)
            return -1;
    }
    if (fdatasync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        return -1;
    close(fd);
    free(block);
    return file_open_source(&warm->file, warm->path, &err);
}

static void warm_unmap(struct warm *warm)
{
    if (warm->others)
        munmap((void *)(uintptr_t)warm->others, WARM_BYTES);
    warm->others = NULL;
}

static int warm_teardown(void **state)
{
    struct warm *warm = *state;
    warm_unmap(warm);
    cache_close(&warm->cache);
    file_close(&warm->file);
    unlink(warm->path);
    free(warm);
    return 0;
}

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

/* Executes what the policy asks for, really; drops keep to what was not there before. */
static void warm_tend(struct warm *warm, enum cache_urgency urgency)
{
    struct request *request;
    while ((request = cache_next(&warm->cache, urgency))) {
        assert_int_equal(request->kind, REQUEST_DROP);
        assert_int_equal(request->offset % PAGE, 0);
        assert_int_equal(request->length % PAGE, 0);
        assert_true(request->length > 0);
        for (uint64_t i = 0; i < request->length / PAGE; i++)
            warm->others_dropped += bit(warm->before, request->offset / PAGE + i);
        warm->drops_count++;
        request->result = (int)engine_execute(request);
        assert_int_equal(cache_reaped(&warm->cache, request), 0);
    }
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

#define ON_DISK(test)   cmocka_unit_test_setup_teardown(test, disk_setup, place_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, memory_setup, place_teardown)
#define WARM(test)      cmocka_unit_test_setup_teardown(test, warm_setup, warm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(cache_open_disk_auto_is_direct),
        ON_DISK(cache_open_disk_window_wished_is_window),
        ON_DISK(cache_open_disk_plain_wished_is_plain),
        ON_DISK(cache_open_alignment_zero_is_window),
        ON_DISK(cache_open_larger_alignment_is_kept_to),
        ON_DISK(cache_open_statx_silent_tries_it),
        cmocka_unit_test(cache_open_open_refused_is_window),
        IN_MEMORY(cache_open_memory_filesystem_is_plain),
        ON_DISK(cache_open_range_writeback_only_where_it_works),
        ON_DISK(cache_refused_direct_becomes_window),
        cmocka_unit_test(policy_name_all_kinds_have_one),
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
        cmocka_unit_test(cache_windows_random_use_keeps_the_rules),
        cmocka_unit_test(cache_windows_sequential_use_needs_few_requests),
        WARM(cache_windows_nothing_warm_leaves_nothing),
        WARM(cache_windows_part_warm_is_spared),
        WARM(cache_windows_all_warm_drops_nothing),
        WARM(cache_windows_many_fragments_one_drop_for_each_run),
        WARM(cache_windows_late_chunk_between_fragments_is_dropped_too),
        WARM(cache_windows_backwards_and_again_leaves_nothing_of_ours),
        WARM(cache_windows_reader_from_behind_keeps_what_he_found),
        WARM(cache_windows_behind_what_was_left_are_dropped),
        WARM(cache_windows_random_order_leaves_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
