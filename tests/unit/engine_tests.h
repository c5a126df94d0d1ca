/* engine_tests.h - engines on real files, and scripted ones: what their tests share. */
#ifndef HAUL_TESTS_ENGINE_TESTS_H
#define HAUL_TESTS_ENGINE_TESTS_H

#include "in_child.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/engine.h"
#include "haul/disk/slab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK = 4096, DEPTH = 8, SLOT_BYTES = 64 * 1024 };

struct variant {
    const char *name;
    enum engine_kind kind;
    bool registered; /* the buffers lie in the slab that the engine knows */
};

/* In the order of what they need from the kernel. The tests run once for each. */
static struct variant variants[] __attribute__((unused)) = {
    {"sync", ENGINE_SYNC, false},
    {"threads", ENGINE_THREADS, false},
    {"uring", ENGINE_URING, false},
    {"uring, registered", ENGINE_URING, true},
};

struct fixture {
    const struct variant *variant;
    struct engine *engine;
    struct slab slab;
    char path[64];
    int fd;        /* the file, empty at first, on a disk; buffered */
    int fd_direct; /* the same file with O_DIRECT */
};

/* Submits one request and waits for it. */
static inline void run(struct engine *engine, struct request *request)
{
    struct request *out[DEPTH];
    request->owner = request;
    assert_int_equal(engine_submit(engine, request), 0);
    int count = 0;
    while (count == 0)
        count = engine_reap(engine, out, DEPTH, true);
    assert_int_equal(count, 1);
    assert_ptr_equal(out[0], request);
    assert_ptr_equal(request->owner, request);
    assert_int_equal(engine->inflight, 0);
}

static inline struct request transfer(enum request_kind kind, int fd, uint64_t offset, void *buffer,
                                      uint32_t length)
{
    return (struct request){.kind = kind,
                            .fd = fd,
                            .offset = offset,
                            .length = length,
                            .need = length,
                            .block = 1,
                            .buffer = buffer};
}

/* Whether the page at `offset` is in the page cache. */
static inline bool resident(int fd, uint64_t offset)
{
    void *page = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, num_off(offset));
    assert_ptr_not_equal(page, MAP_FAILED);
    unsigned char map = 0;
    assert_int_equal(mincore(page, BLOCK, &map), 0);
    munmap(page, BLOCK);
    return map & 1;
}

/* What the system is just busy with is missed by a drop: again then. What is outside of the range
 * that is dropped is missed by all of them. */
static inline void drop_until_gone(struct engine *engine, const struct request *drop, uint64_t page)
{
    for (int i = 0; i < 2000 && resident(drop->fd, page); i++) {
        struct request again = *drop;
        poll(NULL, 0, 1);
        run(engine, &again);
        assert_int_equal(again.result, 0);
    }
    assert_false(resident(drop->fd, page));
}

static inline void engine_writeback_then_drop_leaves_no_page(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *data = slab_buffer(&fixture->slab, 0);
    fill(data, SLOT_BYTES, 3);
    struct request request = transfer(REQUEST_WRITE, fixture->fd, 0, data, SLOT_BYTES);
    run(fixture->engine, &request);
    assert_int_equal(request.result, 0);
    assert_true(resident(fixture->fd, 0));
    static const enum request_kind kinds[] = {REQUEST_WRITEBACK_START, REQUEST_WRITEBACK_WAIT,
                                              REQUEST_DATASYNC, REQUEST_DROP};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        request = (struct request){.kind = kinds[i], .fd = fixture->fd, .length = SLOT_BYTES};
        run(fixture->engine, &request);
        assert_int_equal(request.result, 0);
    }
    const struct request drop = {.kind = REQUEST_DROP, .fd = fixture->fd, .length = SLOT_BYTES};
    for (uint32_t at = 0; at < SLOT_BYTES; at += BLOCK)
        drop_until_gone(fixture->engine, &drop, at);
}

/* More than 32 bits of length: pages at both sides and around each whole GiB are written and
 * dropped, and those outside stay. Starts in mid-GiB, at a page. */
static inline void engine_ranges_over_4_gib_all_of_it(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t start = GIB / 2 + 3 * BLOCK, end = 6 * GIB + 5 * BLOCK;
    /* Wherever an engine may divide it: at whole GiB of the file, or counted from the start. */
    const uint64_t inside[] = {start,
                               GIB - BLOCK,
                               GIB,
                               2 * GIB - BLOCK,
                               2 * GIB,
                               4 * GIB,
                               5 * GIB - BLOCK,
                               5 * GIB,
                               6 * GIB,
                               end - BLOCK,
                               start + GIB - BLOCK,
                               start + GIB,
                               start + 4 * GIB,
                               start + 4 * GIB - BLOCK};
    const uint64_t outside[] = {0, start - 64 * BLOCK, end + 64 * BLOCK};
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        assert_int_equal(pwrite(fixture->fd, "x", 1, num_off(inside[i])), 1);
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        assert_int_equal(pwrite(fixture->fd, "x", 1, num_off(outside[i])), 1);
    static const enum request_kind kinds[] = {REQUEST_WRITEBACK_START, REQUEST_WRITEBACK_WAIT,
                                              REQUEST_DROP};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct request request = {
            .kind = kinds[k], .fd = fixture->fd, .offset = start, .length = end - start};
        run(fixture->engine, &request);
        assert_int_equal(request.result, 0);
    }
    const struct request drop = {
        .kind = REQUEST_DROP, .fd = fixture->fd, .offset = start, .length = end - start};
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        drop_until_gone(fixture->engine, &drop, inside[i]);
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        assert_true(resident(fixture->fd, outside[i]));
}

static inline void engine_range_of_length_0_to_the_end(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(pwrite(fixture->fd, "x", 1, 0), 1);
    assert_int_equal(pwrite(fixture->fd, "x", 1, num_off(5 * GIB)), 1);
    static const enum request_kind kinds[] = {REQUEST_WRITEBACK_WAIT, REQUEST_DROP};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct request request = {.kind = kinds[k], .fd = fixture->fd, .offset = BLOCK * 64};
        run(fixture->engine, &request);
        assert_int_equal(request.result, 0);
    }
    const struct request drop = {.kind = REQUEST_DROP, .fd = fixture->fd, .offset = BLOCK * 64};
    assert_true(resident(fixture->fd, 0));
    drop_until_gone(fixture->engine, &drop, 5 * GIB);
}

/* What a call gets, and what it leaves. */
struct errand {
    int pipe_fd; /* -1, or nothing is returned before a byte comes from here */
    int returned;
    uint32_t runs;
    pthread_t thread;
};

static inline int run_errand(void *argument)
{
    struct errand *errand = argument;
    char byte;
    if (errand->pipe_fd >= 0 && read(errand->pipe_fd, &byte, 1) != 1)
        return -EIO;
    errand->thread = pthread_self();
    errand->runs++;
    return errand->returned;
}

static inline struct request call_of(struct errand *errand)
{
    return (struct request){.kind = REQUEST_CALL, .call = run_errand, .argument = errand};
}

static inline bool round_trip(struct engine *engine, const struct slab *slab, int fd)
{
    static const enum request_kind kinds[] = {REQUEST_WRITE, REQUEST_DATASYNC, REQUEST_READ,
                                              REQUEST_CALL};
    struct errand errand = {.pipe_fd = -1};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct request request =
            transfer(kinds[i], fd, 0, slab_buffer(slab, (uint32_t)i), SLOT_BYTES);
        struct request *out[1];
        request.call = run_errand;
        request.argument = &errand;
        int count = engine_submit(engine, &request);
        while (count == 0)
            count = engine_reap(engine, out, 1, true);
        if (count != 1 || request.result != 0)
            return false;
    }
    return errand.runs == 1 && memcmp(slab_buffer(slab, 0), slab_buffer(slab, 2), SLOT_BYTES) == 0;
}

/* Every depth that is allowed, and no descriptor left behind. */
static inline void engine_open_close_leaves_no_descriptor(void **state)
{
    (void)state;
    AUTO_CLOSE int before = dup(0);
    static const enum engine_kind kinds[] = {ENGINE_AUTO, ENGINE_THREADS, ENGINE_SYNC};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (uint32_t depth = 1; depth <= ENGINE_DEPTH_MAX; depth *= 4) {
            struct engine *engine;
            struct engine_config config = {.kind = kinds[i], .depth = depth};
            assert_int_equal(engine_open(&engine, &config, NULL), 0);
            engine_close(engine);
        }
    }
    int after = dup(0);
    assert_int_equal(after, before + 1);
    close(after);
    engine_close(NULL);
}

#endif
