/* cache_tests.h - files whose pages are counted: what the tests of the cache share. */
#ifndef HAUL_TESTS_CACHE_TESTS_H
#define HAUL_TESTS_CACHE_TESTS_H

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/cache.h"

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

struct place {
    char path[64];
    struct file file;
};

static inline int place_setup_in(void **state, const char *template)
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

static inline int disk_setup(void **state)
{
    return place_setup_in(state, "/var/tmp/haul_policy_XXXXXX");
}

static inline int memory_setup(void **state)
{
    return place_setup_in(state, "/dev/shm/haul_policy_XXXXXX");
}

static inline int place_teardown(void **state)
{
    struct place *place = *state;
    file_close(&place->file);
    unlink(place->path);
    free(place);
    return 0;
}

static inline void open_cache(struct cache *cache, struct cache_pool *pool, struct file *file,
                              enum policy_kind wish)
{
    struct error err = {.class = ERROR_NONE};
    const struct job job = {.chunk_bytes = CHUNK, .wish.cache = wish};
    const struct cache_need need = {.path = file->path, .size_bytes = file->facts.size_bytes};
    *pool = (struct cache_pool){.window_bytes = WINDOW};
    assert_int_equal(cache_open(cache, pool, file, &job, &need, &err), 0);
}

/* statx says that direct I/O would be buffered silently: also the wish for it is refused. */
static inline void cache_open_alignment_zero_is_window(void **state)
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

static inline void cache_open_memory_filesystem_is_plain(void **state)
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

static inline void model_start(struct model *model, uint64_t filesystem)
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

static inline uint32_t model_open_count(struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CACHE_POOL_WINDOWS; i++)
        count += model->pool.windows[i].cache != NULL;
    if (count > model->open_most)
        model->open_most = count;
    return count;
}

static inline bool model_begin(struct model *model, uint64_t offset)
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

static inline void model_end(struct model *model, uint64_t offset, bool wrote)
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
static inline struct request *model_next(struct model *model, enum cache_urgency urgency)
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

static inline void model_reap(struct model *model, uint32_t at, int result)
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

static inline void model_finish(struct model *model)
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

static inline void transfer(struct model *model, uint64_t offset, bool write)
{
    assert_true(model_begin(model, offset));
    model_end(model, offset, write);
}

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

static inline bool bit(const uint8_t *map, uint64_t index)
{
    return map[index / 8] >> (index % 8) & 1;
}

static inline int warm_setup(void **state)
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

static inline void warm_unmap(struct warm *warm)
{
    if (warm->others)
        munmap((void *)(uintptr_t)warm->others, WARM_BYTES);
    warm->others = NULL;
}

static inline int warm_teardown(void **state)
{
    struct warm *warm = *state;
    warm_unmap(warm);
    cache_close(&warm->cache);
    file_close(&warm->file);
    unlink(warm->path);
    free(warm);
    return 0;
}

/* Executes what the policy asks for, really; drops keep to what was not there before. */
static inline void warm_tend(struct warm *warm, enum cache_urgency urgency)
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

#define ON_DISK(test)   cmocka_unit_test_setup_teardown(test, disk_setup, place_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, memory_setup, place_teardown)
#define WARM(test)      cmocka_unit_test_setup_teardown(test, warm_setup, warm_teardown)

#endif
