/* test_engine.c - every engine against the engine sync, on real files; the short-transfer rules
 * against a scripted engine; and what is left when the kernel refuses io_uring. */
#include "in_child.h"
#include "scratch.h"

#include "haul/cleanup.h"
#include "haul/engine.h"
#include "haul/num.h"
#include "haul/slab.h"

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
static struct variant variants[] = {
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

/* ---- helpers ---- */

static int open_file(char *path, size_t capacity, int *direct)
{
    snprintf(path, capacity, "/var/tmp/haul_engine_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    *direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    assert_true(*direct >= 0);
    return fd;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->variant = *state;
    assert_int_equal(slab_open(&fixture->slab, DEPTH, SLOT_BYTES, NULL), 0);
    fixture->fd = open_file(fixture->path, sizeof(fixture->path), &fixture->fd_direct);
    struct engine_config config = {.kind = fixture->variant->kind, .depth = DEPTH};
    if (fixture->variant->registered) {
        config.slab = fixture->slab.base;
        config.slab_bytes = fixture->slab.length_bytes;
    }
    struct error err = {0};
    int status = engine_open(&fixture->engine, &config, &err);
    if (status < 0)
        print_message("engine %s: %s\n", fixture->variant->name, err.text);
    assert_int_equal(status, 0);
    assert_int_equal(fixture->engine->ops->kind, config.kind);
    assert_string_equal(fixture->engine->why, "");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    engine_close(fixture->engine);
    close(fixture->fd);
    close(fixture->fd_direct);
    unlink(fixture->path);
    slab_close(&fixture->slab);
    free(fixture);
    return 0;
}

/* Submits one request and waits for it. */
static void run(struct engine *engine, struct request *request)
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

static struct request transfer(enum request_kind kind, int fd, uint64_t offset, void *buffer,
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
static bool resident(int fd, uint64_t offset)
{
    void *page = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, num_off(offset));
    assert_ptr_not_equal(page, MAP_FAILED);
    unsigned char map = 0;
    assert_int_equal(mincore(page, BLOCK, &map), 0);
    munmap(page, BLOCK);
    return map & 1;
}

/* ---- every engine ---- */

enum { FILE_BLOCKS = 512, ROUNDS = 60, ORACLE_BLOCKS_MAX = SLOT_BYTES / BLOCK };

/* One random transfer, inside its own stretch of the file so that those of a batch do not overlap.
 * Direct ones are whole blocks, with a need that is not; reads may go over the end of the file. */
static struct request random_transfer(uint32_t index, unsigned *seed)
{
    uint32_t stretch = FILE_BLOCKS / DEPTH;
    uint32_t blocks = 1 + (uint32_t)rand_r(seed) % ORACLE_BLOCKS_MAX;
    uint64_t start = (uint64_t)index * stretch + (uint32_t)rand_r(seed) % (stretch - blocks);
    bool direct = rand_r(seed) & 1;
    struct request request = {
        .kind = rand_r(seed) & 1 ? REQUEST_WRITE : REQUEST_READ,
        .offset = start * BLOCK,
        .length = (uint64_t)blocks * BLOCK,
        .block = direct ? BLOCK : 1,
    };
    if (!direct)
        request.length -= (uint32_t)rand_r(seed) % BLOCK;
    request.need = (uint32_t)request.length - (direct ? (uint32_t)rand_r(seed) % BLOCK : 0);
    return request;
}

/* What is compared of each transfer. */
struct outcome {
    int result;
    uint32_t done;
    uint8_t data[SLOT_BYTES];
};

static void run_batch(struct engine *engine, const struct slab *slab, const int fds[2],
                      unsigned seed, struct outcome *outcomes)
{
    struct request requests[DEPTH];
    struct request *out[3]; /* fewer than there are: several calls */
    for (uint32_t i = 0; i < DEPTH; i++) {
        requests[i] = random_transfer(i, &seed);
        requests[i].fd = fds[requests[i].block > 1];
        requests[i].buffer = slab_buffer(slab, i);
        requests[i].owner = &outcomes[i];
        fill(requests[i].buffer, SLOT_BYTES, seed);
        assert_int_equal(engine_submit(engine, &requests[i]), 0);
    }
    for (uint32_t finished = 0; finished < DEPTH;) {
        int count = engine_reap(engine, out, 3, true);
        assert_in_range(count, 0, 3);
        for (int i = 0; i < count; i++) {
            struct outcome *outcome = out[i]->owner;
            outcome->result = out[i]->result;
            outcome->done = out[i]->done;
            memset(outcome->data, 0, SLOT_BYTES);
            memcpy(outcome->data, out[i]->buffer, out[i]->done);
        }
        finished += (uint32_t)count;
    }
    assert_int_equal(engine->inflight, 0);
}

static void compare_files(int a, int b)
{
    struct stat facts_a, facts_b;
    assert_int_equal(fstat(a, &facts_a), 0);
    assert_int_equal(fstat(b, &facts_b), 0);
    assert_int_equal(facts_a.st_size, facts_b.st_size);
    static uint8_t data_a[SLOT_BYTES], data_b[SLOT_BYTES];
    for (off_t at = 0; at < facts_a.st_size; at += SLOT_BYTES) {
        ssize_t length = pread(a, data_a, SLOT_BYTES, at);
        assert_int_equal(pread(b, data_b, SLOT_BYTES, at), length);
        assert_memory_equal(data_a, data_b, (size_t)length);
    }
}

static void engine_random_batches_same_as_sync(void **state)
{
    struct fixture *fixture = *state;
    struct engine *oracle;
    struct engine_config config = {.kind = ENGINE_SYNC, .depth = DEPTH};
    assert_int_equal(engine_open(&oracle, &config, NULL), 0);
    char path[64];
    int fds_oracle[2];
    fds_oracle[0] = open_file(path, sizeof(path), &fds_oracle[1]);
    int fds[2] = {fixture->fd, fixture->fd_direct};
    static struct outcome got[DEPTH], expected[DEPTH];
    /* Not whole blocks, and shorter than the stretches: some reads meet the end. */
    off_t size = (off_t)(FILE_BLOCKS - 10) * BLOCK + 777;
    for (unsigned seed = 1; seed <= ROUNDS; seed++) {
        assert_int_equal(ftruncate(fds[0], size), 0);
        assert_int_equal(ftruncate(fds_oracle[0], size), 0);
        run_batch(oracle, &fixture->slab, fds_oracle, seed, expected);
        run_batch(fixture->engine, &fixture->slab, fds, seed, got);
        for (uint32_t i = 0; i < DEPTH; i++) {
            assert_int_equal(got[i].result, expected[i].result);
            assert_int_equal(got[i].result, 0);
            assert_int_equal(got[i].done, expected[i].done);
            assert_memory_equal(got[i].data, expected[i].data, SLOT_BYTES);
        }
        compare_files(fds[0], fds_oracle[0]);
    }
    engine_close(oracle);
    close(fds_oracle[0]);
    close(fds_oracle[1]);
    unlink(path);
}

/* A file of three blocks and a hundred bytes, in the buffer of slot 1 and on disk. */
static const uint8_t *write_tailed(struct fixture *fixture)
{
    uint8_t *data = slab_buffer(&fixture->slab, 1);
    fill(data, 3 * BLOCK + 100, 7);
    assert_int_equal(pwrite(fixture->fd, data, 3 * BLOCK + 100, 0), 3 * BLOCK + 100);
    assert_int_equal(fdatasync(fixture->fd), 0);
    return data;
}

static void engine_read_tail_direct_need_met(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t *data = write_tailed(fixture);
    struct request request =
        transfer(REQUEST_READ, fixture->fd_direct, 0, slab_buffer(&fixture->slab, 0), 4 * BLOCK);
    request.block = BLOCK;
    request.need = 3 * BLOCK + 100;
    run(fixture->engine, &request);
    assert_int_equal(request.result, 0);
    assert_int_equal(request.done, 3 * BLOCK + 100);
    assert_memory_equal(request.buffer, data, request.done);
}

static void engine_read_over_end_short(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t *data = write_tailed(fixture);
    for (int direct = 0; direct < 2; direct++) {
        int fd = direct ? fixture->fd_direct : fixture->fd;
        struct request request =
            transfer(REQUEST_READ, fd, BLOCK, slab_buffer(&fixture->slab, 0), 4 * BLOCK);
        request.block = direct ? BLOCK : 1;
        run(fixture->engine, &request);
        assert_int_equal(request.result, 0);
        assert_int_equal(request.done, 2 * BLOCK + 100);
        assert_memory_equal(request.buffer, data + BLOCK, request.done);
        request.offset = 8 * BLOCK;
        run(fixture->engine, &request);
        assert_int_equal(request.result, 0);
        assert_int_equal(request.done, 0);
    }
}

/* More than one system call moves, so that it takes two; from the zero page to /dev/null it costs
 * no memory. */
static void engine_write_over_a_gib_goes_on(void **state)
{
    struct fixture *fixture = *state;
    uint32_t length = 3u << 29;
    void *zeros = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(zeros, MAP_FAILED);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct request request = transfer(REQUEST_WRITE, fd, 0, zeros, length);
    run(fixture->engine, &request);
    assert_int_equal(request.result, 0);
    assert_int_equal(request.done, length);
    close(fd);
    munmap(zeros, length);
}

static void engine_bad_descriptor_every_kind_ebadf(void **state)
{
    struct fixture *fixture = *state;
    for (int kind = REQUEST_READ; kind <= REQUEST_SYNC; kind++) {
        struct request request =
            transfer((enum request_kind)kind, 987654, 0, slab_buffer(&fixture->slab, 0), BLOCK);
        run(fixture->engine, &request);
        assert_int_equal(request.result, -EBADF);
    }
}

static void engine_direct_unaligned_einval(void **state)
{
    struct fixture *fixture = *state;
    write_tailed(fixture);
    struct request request =
        transfer(REQUEST_READ, fixture->fd_direct, 100, slab_buffer(&fixture->slab, 0), BLOCK);
    run(fixture->engine, &request);
    assert_int_equal(request.result, -EINVAL);
}

static void engine_write_full_device_enospc(void **state)
{
    struct fixture *fixture = *state;
    AUTO_CLOSE int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct request request =
        transfer(REQUEST_WRITE, fd, 0, slab_buffer(&fixture->slab, 0), SLOT_BYTES);
    run(fixture->engine, &request);
    assert_int_equal(request.result, -ENOSPC);
}

static void engine_writeback_then_drop_leaves_no_page(void **state)
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
    for (uint32_t at = 0; at < SLOT_BYTES; at += BLOCK)
        assert_false(resident(fixture->fd, at));
}

/* More than 32 bits of length: pages at both ends and around each whole GiB are written and
 * dropped, and those outside stay. Starts in mid-GiB, at a page. */
static void engine_ranges_over_4_gib_all_of_it(void **state)
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
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        assert_false(resident(fixture->fd, inside[i]));
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        assert_true(resident(fixture->fd, outside[i]));
}

static void engine_range_of_length_0_to_the_end(void **state)
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
    assert_true(resident(fixture->fd, 0));
    assert_false(resident(fixture->fd, 5 * GIB));
}

static void engine_close_in_flight_drains(void **state)
{
    struct fixture *fixture = *state;
    struct request requests[DEPTH];
    for (uint32_t i = 0; i < DEPTH; i++) {
        uint8_t *data = slab_buffer(&fixture->slab, i);
        fill(data, SLOT_BYTES, i);
        requests[i] =
            transfer(REQUEST_WRITE, fixture->fd_direct, (uint64_t)i * SLOT_BYTES, data, SLOT_BYTES);
        requests[i].block = BLOCK;
        assert_int_equal(engine_submit(fixture->engine, &requests[i]), 0);
    }
    engine_close(fixture->engine);
    fixture->engine = NULL; /* closed once more in teardown: legal */
    static uint8_t stored[SLOT_BYTES];
    for (uint32_t i = 0; i < DEPTH; i++) {
        assert_int_equal(pread(fixture->fd, stored, SLOT_BYTES, (off_t)i * SLOT_BYTES), SLOT_BYTES);
        assert_memory_equal(stored, slab_buffer(&fixture->slab, i), SLOT_BYTES);
    }
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1;
}

static void engine_wait_fd_readable_while_something_is_finished(void **state)
{
    struct fixture *fixture = *state;
    int fd = engine_wait_fd(fixture->engine);
    if (fixture->variant->kind == ENGINE_SYNC) {
        assert_int_equal(fd, -1);
        return;
    }
    for (int round = 0; round < 20; round++) {
        assert_false(readable(fd, 0));
        struct request requests[2], *out[1];
        for (uint32_t i = 0; i < 2; i++) {
            requests[i] = transfer(REQUEST_WRITE, fixture->fd, (uint64_t)i * BLOCK,
                                   slab_buffer(&fixture->slab, i), BLOCK);
            assert_int_equal(engine_submit(fixture->engine, &requests[i]), 0);
        }
        for (uint32_t reaped = 0; reaped < 2;) { /* one at a time: stays readable for the other */
            assert_true(readable(engine_wait_fd(fixture->engine), 60000));
            int count = engine_reap(fixture->engine, out, 1, false);
            assert_in_range(count, 0, 1);
            reaped += (uint32_t)count;
        }
        assert_int_equal(engine_reap(fixture->engine, out, 1, false), 0);
    }
}

static void engine_reap_nothing_in_flight_0_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct request *out[1];
    assert_int_equal(engine_reap(fixture->engine, out, 1, true), 0);
    assert_int_equal(engine_reap(fixture->engine, out, 1, false), 0);
}

/* ---- calls ---- */

/* What a call gets, and what it leaves. */
struct errand {
    int pipe_fd; /* -1, or nothing is returned before a byte comes from here */
    int returned;
    uint32_t runs;
    pthread_t thread;
};

static int run_errand(void *argument)
{
    struct errand *errand = argument;
    char byte;
    if (errand->pipe_fd >= 0 && read(errand->pipe_fd, &byte, 1) != 1)
        return -EIO;
    errand->thread = pthread_self();
    errand->runs++;
    return errand->returned;
}

static struct request call_of(struct errand *errand)
{
    return (struct request){.kind = REQUEST_CALL, .call = run_errand, .argument = errand};
}

/* Its result is what it returned, whatever that is, and it is not run again for it. */
static void engine_call_any_result_runs_once(void **state)
{
    static const int results[] = {0, -ENOSPC, -EINTR, -EAGAIN, -ECANCELED};
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < COUNT_OF(results); i++) {
        struct errand errand = {.pipe_fd = -1, .returned = results[i]};
        struct request request = call_of(&errand);
        run(fixture->engine, &request);
        assert_int_equal(request.result, results[i]);
        assert_int_equal(errand.runs, 1);
        bool own = pthread_equal(errand.thread, pthread_self()) != 0;
        assert_int_equal(own, fixture->variant->kind == ENGINE_SYNC);
    }
}

/* One that waits keeps neither transfers nor other calls from being done, and its end is told by
 * the same descriptor. */
static void engine_call_that_waits_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    struct engine *engine = fixture->engine;
    int pipe_fds[2];
    if (fixture->variant->kind == ENGINE_SYNC)
        return; /* does everything in order, and waits */
    assert_int_equal(pipe(pipe_fds), 0);
    for (int round = 0; round < 20; round++) {
        struct errand slow = {.pipe_fd = pipe_fds[0]}, quick = {.pipe_fd = -1};
        struct request requests[3] = {
            call_of(&slow), call_of(&quick),
            transfer(REQUEST_WRITE, fixture->fd, 0, slab_buffer(&fixture->slab, 0), BLOCK)};
        struct request *out[3];
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(engine_submit(engine, &requests[i]), 0);
        for (uint32_t reaped = 0; reaped < 2;) {
            assert_true(readable(engine_wait_fd(engine), 60000));
            int count = engine_reap(engine, out, 1, false);
            assert_in_range(count, 0, 1);
            assert_true(count == 0 || out[0] != &requests[0]);
            reaped += (uint32_t)count;
        }
        assert_int_equal(engine_reap(engine, out, 3, false), 0);
        assert_int_equal(write(pipe_fds[1], "x", 1), 1);
        while (engine->inflight > 0) {
            assert_true(readable(engine_wait_fd(engine), 60000));
            (void)engine_reap(engine, out, 3, false);
        }
        assert_int_equal(slow.runs, 1);
    }
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void engine_call_as_many_as_the_depth_all_run(void **state)
{
    struct fixture *fixture = *state;
    struct errand errands[DEPTH];
    struct request requests[DEPTH], *out[DEPTH];
    for (int round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < DEPTH; i++) {
            errands[i] = (struct errand){.pipe_fd = -1, .returned = -(int)(i + 1)};
            requests[i] = call_of(&errands[i]);
            assert_int_equal(engine_submit(fixture->engine, &requests[i]), 0);
        }
        while (fixture->engine->inflight > 0)
            assert_true(engine_reap(fixture->engine, out, DEPTH, true) >= 0);
        for (uint32_t i = 0; i < DEPTH; i++) {
            assert_int_equal(errands[i].runs, 1);
            assert_int_equal(requests[i].result, -(int)(i + 1));
        }
    }
}

static void engine_close_calls_in_flight_are_finished(void **state)
{
    struct fixture *fixture = *state;
    struct errand errands[DEPTH];
    struct request requests[DEPTH];
    for (uint32_t i = 0; i < DEPTH; i++) {
        errands[i] = (struct errand){.pipe_fd = -1};
        requests[i] = call_of(&errands[i]);
        assert_int_equal(engine_submit(fixture->engine, &requests[i]), 0);
    }
    engine_close(fixture->engine);
    fixture->engine = NULL;
    for (uint32_t i = 0; i < DEPTH; i++)
        assert_int_equal(errands[i].runs, 1);
}

/* ---- signals ---- */

static void on_alarm(int number)
{
    (void)number;
}

/* A signal every millisecond, without SA_RESTART; 0: no more. */
static void alarms(suseconds_t interval_us)
{
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, interval_us}, {0, interval_us}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void engine_reap_among_signals_nothing_lost(void **state)
{
    struct fixture *fixture = *state;
    uint32_t finished = 0;
    alarms(1000);
    for (uint32_t round = 0; round < 100; round++) {
        struct request requests[DEPTH], *out[DEPTH];
        for (uint32_t i = 0; i < DEPTH; i++) {
            requests[i] = transfer(REQUEST_WRITE, fixture->fd_direct, (uint64_t)i * SLOT_BYTES,
                                   slab_buffer(&fixture->slab, i), SLOT_BYTES);
            requests[i].block = BLOCK;
            assert_int_equal(engine_submit(fixture->engine, &requests[i]), 0);
        }
        while (fixture->engine->inflight > 0) {
            int count = engine_reap(fixture->engine, out, DEPTH, true);
            assert_in_range(count, 0, DEPTH);
            for (int i = 0; i < count; i++)
                assert_int_equal(out[i]->result, 0);
            finished += (uint32_t)count;
        }
    }
    alarms(0);
    assert_int_equal(finished, 100 * DEPTH);
}

/* A request that does not finish until we let it: for io_uring a read of an eventfd, for a thread a
 * read into a page that userfaultfd holds back. */
struct stuck {
    struct request request;
    int fd;
    void *page;
};

static void stuck_init(struct stuck *stuck, const struct fixture *fixture)
{
    stuck->page = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stuck->page, MAP_FAILED);
    stuck->request = transfer(REQUEST_READ, fixture->fd, 0, stuck->page, 8);
    if (fixture->variant->kind == ENGINE_URING) {
        stuck->fd = eventfd(0, EFD_CLOEXEC);
        stuck->request.fd = stuck->fd;
        return;
    }
    assert_int_equal(pwrite(fixture->fd, "12345678", 8, 0), 8);
    stuck->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    assert_true(stuck->fd >= 0);
    struct uffdio_api api = {.api = UFFD_API};
    assert_int_equal(ioctl(stuck->fd, UFFDIO_API, &api), 0);
    struct uffdio_register range = {.range = {(uintptr_t)stuck->page, BLOCK},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    assert_int_equal(ioctl(stuck->fd, UFFDIO_REGISTER, &range), 0);
}

static void stuck_release(struct stuck *stuck, const struct fixture *fixture)
{
    uint64_t one = 1;
    if (fixture->variant->kind == ENGINE_URING) {
        assert_int_equal(write(stuck->fd, &one, sizeof(one)), sizeof(one));
        return;
    }
    struct uffdio_zeropage zero = {.range = {(uintptr_t)stuck->page, BLOCK}};
    assert_int_equal(ioctl(stuck->fd, UFFDIO_ZEROPAGE, &zero), 0);
}

static void engine_reap_waiting_returns_on_a_signal(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->variant->kind == ENGINE_SYNC)
        return; /* executes in reap: there is no waiting */
    struct stuck stuck;
    stuck_init(&stuck, fixture);
    struct request *out[1];
    assert_int_equal(engine_submit(fixture->engine, &stuck.request), 0);
    alarms(1000);
    /* Would hang here if a signal did not end it. */
    assert_int_equal(engine_reap(fixture->engine, out, 1, true), 0);
    assert_int_equal(engine_reap(fixture->engine, out, 1, true), 0);
    alarms(0);
    assert_int_equal(fixture->engine->inflight, 1);
    assert_false(readable(engine_wait_fd(fixture->engine), 0));
    stuck_release(&stuck, fixture);
    int count = 0;
    while (count == 0)
        count = engine_reap(fixture->engine, out, 1, true);
    assert_int_equal(count, 1);
    assert_int_equal(out[0]->result, 0);
    assert_int_equal(out[0]->done, 8);
    close(stuck.fd);
    munmap(stuck.page, BLOCK);
}

/* A real short write: the first 16 KiB fit, the rest is tried and refused. */
static int write_to_a_small_filesystem(const struct variant *variant)
{
    uint8_t *data = calloc(1, SLOT_BYTES);
    if (!child_own_mounts() || mount("none", "/var/tmp", "tmpfs", 0, "size=16k") < 0)
        return 2;
    AUTO_CLOSE int fd = open("/var/tmp/small", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct engine *engine;
    struct engine_config config = {.kind = variant->kind, .depth = DEPTH};
    if (!data || fd < 0 || engine_open(&engine, &config, NULL) < 0)
        return 3;
    struct request request = transfer(REQUEST_WRITE, fd, 0, data, SLOT_BYTES), *out[1];
    int count = engine_submit(engine, &request);
    while (count == 0)
        count = engine_reap(engine, out, 1, true);
    struct stat facts;
    bool right =
        count == 1 && request.result == -ENOSPC && fstat(fd, &facts) == 0 && facts.st_size == 16384;
    engine_close(engine);
    free(data);
    return right ? 0 : 4;
}

static void engine_write_filesystem_fills_enospc(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: mounting a tmpfs needs root\n");
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (WITH_URING || variants[i].kind != ENGINE_URING)
            IN_CHILD(write_to_a_small_filesystem(&variants[i]));
    }
}

/* ---- the rules, against a script ---- */

enum { SCRIPT_MAX = 2 * ENGINE_ATTEMPTS_MAX + 8 };

/* Answers with the results of the script, one a call, and keeps what it was asked. */
struct scripted {
    struct engine engine;
    const int *script;
    uint32_t script_count;
    int repeated;     /* what it answers after the script */
    int submit_error; /* what submit returns, submit_errors_count times */
    uint32_t submit_errors_count;
    uint32_t calls;
    uint64_t offsets[SCRIPT_MAX];
    uint64_t lengths[SCRIPT_MAX];
    struct request *pending;
    bool closed;
};

static int scripted_submit(struct engine *engine, struct request *request)
{
    struct scripted *scripted = (struct scripted *)engine;
    if (scripted->submit_errors_count > 0) {
        scripted->submit_errors_count--;
        return scripted->submit_error;
    }
    assert_null(scripted->pending);
    assert_true(scripted->calls < SCRIPT_MAX);
    scripted->offsets[scripted->calls] = request->offset + request->done;
    scripted->lengths[scripted->calls] = request->length - request->done;
    scripted->pending = request;
    return 0;
}

static int scripted_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    (void)max;
    (void)wait;
    struct scripted *scripted = (struct scripted *)engine;
    uint32_t call = scripted->calls++;
    out[0] = scripted->pending;
    out[0]->result = call < scripted->script_count ? scripted->script[call] : scripted->repeated;
    scripted->pending = NULL;
    return 1;
}

static int scripted_wait_fd(struct engine *engine)
{
    (void)engine;
    return -1;
}

static void scripted_close(struct engine *engine)
{
    struct scripted *scripted = (struct scripted *)engine;
    assert_null(scripted->pending);
    scripted->closed = true;
}

static const struct engine_ops scripted_ops = {
    .kind = ENGINE_SIM,
    .submit = scripted_submit,
    .reap = scripted_reap,
    .wait_fd = scripted_wait_fd,
    .close = scripted_close,
};

static void scripted_init(struct scripted *scripted, const int *script, uint32_t count,
                          int repeated)
{
    memset(scripted, 0, sizeof(*scripted));
    scripted->engine.ops = &scripted_ops;
    scripted->engine.depth = 1;
    scripted->script = script;
    scripted->script_count = count;
    scripted->repeated = repeated;
}

/* One row: a request, what the system calls answer, what the caller gets. A call too many answers
 * EDOM. */
struct rule {
    const char *name;
    enum request_kind kind;
    uint32_t length, need, block;
    int script[6];
    uint32_t script_count;
    int result;
    uint32_t done;
    uint32_t last_offset; /* of the last call, relative to the request */
};

static const struct rule rules[] = {
    {"whole", REQUEST_READ, 8192, 8192, 4096, {8192}, 1, 0, 8192, 0},
    {"more than needed", REQUEST_READ, 8192, 5000, 4096, {8192}, 1, 0, 5000, 0},
    {"the tail, unaligned", REQUEST_READ, 8192, 5000, 4096, {5000}, 1, 0, 5000, 0},
    {"enough, less than all", REQUEST_WRITE, 8192, 5000, 4096, {6000}, 1, 0, 5000, 0},
    {"goes on at the block", REQUEST_READ, 16384, 16384, 4096, {5000, 12288}, 2, 0, 16384, 4096},
    {"goes on twice", REQUEST_WRITE, 16384, 16384, 4096, {4097, 8191, 8192}, 3, 0, 16384, 8192},
    {"end at a block", REQUEST_READ, 16384, 16384, 4096, {8192, 0}, 2, 0, 8192, 8192},
    {"end inside a block", REQUEST_READ, 16384, 16384, 4096, {5000, 904}, 2, 0, 5000, 4096},
    {"end inside the first block", REQUEST_READ, 8192, 8192, 4096, {100}, 1, 0, 100, 0},
    {"end at once", REQUEST_READ, 8192, 8192, 4096, {0}, 1, 0, 0, 0},
    {"bytes count when buffered", REQUEST_READ, 1000, 1000, 1, {1, 998, 1}, 3, 0, 1000, 999},
    {"end when buffered", REQUEST_READ, 1000, 1000, 1, {10, 0}, 2, 0, 10, 10},
    {"write without progress", REQUEST_WRITE, 8192, 8192, 4096, {0}, 1, -EIO, 0, 0},
    {"write of half a block", REQUEST_WRITE, 8192, 8192, 4096, {4096, 512}, 2, -EIO, 4608, 4096},
    {"an error", REQUEST_READ, 8192, 8192, 4096, {-EIO}, 1, -EIO, 0, 0},
    {"an error later", REQUEST_WRITE, 8192, 8192, 4096, {4096, -ENOSPC}, 2, -ENOSPC, 4096, 4096},
    {"interrupted", REQUEST_READ, 4096, 4096, 4096, {-EINTR, -EAGAIN, 4096}, 3, 0, 4096, 0},
    {"interrupted half way", REQUEST_WRITE, 8192, 8192, 1, {99, -EINTR, 8093}, 3, 0, 8192, 99},
    {"nothing needed", REQUEST_READ, 4096, 0, 4096, {0}, 1, 0, 0, 0},
    {"sync interrupted", REQUEST_DATASYNC, 0, 0, 0, {-EINTR, 0}, 2, 0, 0, 0},
    {"sync failed", REQUEST_DATASYNC, 0, 0, 0, {-EIO}, 1, -EIO, 0, 0},
    {"range", REQUEST_WRITEBACK_WAIT, 8192, 0, 0, {-EAGAIN, 0}, 2, 0, 0, 0},
};

static void engine_reap_every_rule_as_designed(void **state)
{
    (void)state;
    static uint8_t buffer[16384];
    static struct scripted scripted;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        const struct rule *rule = &rules[i];
        scripted_init(&scripted, rule->script, rule->script_count, -EDOM);
        struct request request = {.kind = rule->kind,
                                  .offset = 1 * MIB,
                                  .length = rule->length,
                                  .need = rule->need,
                                  .block = rule->block,
                                  .buffer = buffer,
                                  .done = 77, /* left from another use */
                                  .attempts = 5000};
        run(&scripted.engine, &request);
        uint32_t last = rule->script_count - 1;
        if (request.result != rule->result || request.done != rule->done ||
            scripted.calls != rule->script_count ||
            scripted.offsets[last] != 1 * MIB + rule->last_offset ||
            scripted.lengths[last] != rule->length - rule->last_offset)
            fail_msg("rule \"%s\": result %d, done %u, %u calls, the last at %ju", rule->name,
                     request.result, request.done, scripted.calls,
                     (uintmax_t)scripted.offsets[last]);
    }
}

/* With wait or without: a storm of interruptions ends in the error, and does not last. */
static void engine_reap_interrupted_for_ever_gives_up(void **state)
{
    (void)state;
    static const int storms[] = {-EINTR, -EAGAIN};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    for (size_t i = 0; i < COUNT_OF(storms); i++) {
        scripted_init(&scripted, NULL, 0, storms[i]);
        struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
        run(&scripted.engine, &request);
        assert_int_equal(request.result, storms[i]);
        assert_int_equal(scripted.calls, ENGINE_ATTEMPTS_MAX + 1);
    }
}

/* Attempts are counted without progress: a byte in between starts them again. */
static void engine_reap_progress_between_storms_counts_anew(void **state)
{
    (void)state;
    static int script[SCRIPT_MAX];
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    for (uint32_t i = 0; i < SCRIPT_MAX; i++)
        script[i] = -EINTR;
    script[ENGINE_ATTEMPTS_MAX] = 1;
    script[2 * ENGINE_ATTEMPTS_MAX + 1] = BLOCK - 1;
    scripted_init(&scripted, script, SCRIPT_MAX, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
    run(&scripted.engine, &request);
    assert_int_equal(request.result, 0);
    assert_int_equal(request.done, BLOCK);
    assert_int_equal(scripted.calls, 2 * ENGINE_ATTEMPTS_MAX + 2);
}

static void engine_reap_without_wait_going_on_0(void **state)
{
    (void)state;
    static const int script[] = {-EINTR, 10, BLOCK - 10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 3, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK), *out[1];
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 0);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 0);
    assert_int_equal(scripted.engine.inflight, 1);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 1);
    assert_int_equal(request.done, BLOCK);
}

static void engine_submit_refused_stays_the_callers(void **state)
{
    (void)state;
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
    scripted_init(&scripted, NULL, 0, BLOCK);
    scripted.submit_error = -EFAULT;
    scripted.submit_errors_count = 1;
    assert_int_equal(engine_submit(&scripted.engine, &request), -EFAULT);
    assert_int_equal(scripted.engine.inflight, 0);
    scripted.submit_error = -EAGAIN;
    scripted.submit_errors_count = UINT32_MAX;
    assert_int_equal(engine_submit(&scripted.engine, &request), -EAGAIN);
    scripted.submit_errors_count = 3; /* passes */
    run(&scripted.engine, &request);
    assert_int_equal(request.result, 0);
}

static void engine_reap_going_on_refused_is_the_result(void **state)
{
    (void)state;
    static const int script[] = {10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 1, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK), *out[1];
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    scripted.submit_error = -ENOMEM;
    scripted.submit_errors_count = 1;
    assert_int_equal(engine_reap(&scripted.engine, out, 1, true), 1);
    assert_int_equal(request.result, -ENOMEM);
    assert_int_equal(scripted.engine.inflight, 0);
}

static void engine_close_finishes_what_is_short(void **state)
{
    (void)state;
    static const int script[] = {-EINTR, 10, BLOCK - 10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 3, -EDOM);
    struct request request = transfer(REQUEST_WRITE, -1, 0, buffer, BLOCK);
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    engine_close(&scripted.engine);
    assert_true(scripted.closed);
    assert_int_equal(scripted.calls, 3);
}

/* ---- refusals ---- */

struct wish {
    enum engine_kind asked;
    enum engine_kind expected; /* AUTO: uring, or threads and a reason */
    const char *why;
    uint32_t system_call; /* refused by a filter with `errnum`; 0: none */
    uint32_t errnum;
};

static bool round_trip(struct engine *engine, const struct slab *slab, int fd)
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

/* Writes and reads back through whatever opens; 0 when that works and it is what was expected. */
static int use_engine(const struct wish *wish, int fd)
{
    struct slab slab;
    struct engine *engine;
    static struct error err;
    if (slab_open(&slab, DEPTH, SLOT_BYTES, &err) < 0)
        return 2;
    fill(slab_buffer(&slab, 0), SLOT_BYTES, 5);
    struct engine_config config = {wish->asked, DEPTH, slab.base, slab.length_bytes};
    if (engine_open(&engine, &config, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    bool right = engine->ops->kind == wish->expected && strcmp(engine->why, wish->why) == 0;
    if (wish->expected == ENGINE_AUTO)
        right = (engine->ops->kind == ENGINE_URING) == (engine->why[0] == '\0');
    if (!right)
        fprintf(stderr, "%s: %s\n", engine_name(engine->ops->kind), engine->why);
    bool works = round_trip(engine, &slab, fd);
    engine_close(engine);
    slab_close(&slab);
    return !right ? 4 : !works ? 5 : 0;
}

static int refuse(uint32_t system_call, uint32_t errnum)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT_OF(filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int open_refused(const struct wish *wish)
{
    AUTO_CLOSE int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 || refuse(wish->system_call, wish->errnum) < 0)
        return 10;
    return use_engine(wish, fd);
}

static void engine_open_auto_refused_threads_and_why(void **state)
{
    (void)state;
    static struct wish wishes[] = {
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Operation not permitted",
         SYS_io_uring_setup, EPERM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Function not implemented",
         SYS_io_uring_setup, ENOSYS},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Cannot allocate memory",
         SYS_io_uring_setup, ENOMEM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Invalid argument", SYS_io_uring_setup,
         EINVAL},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Operation not permitted",
         SYS_io_uring_enter, EPERM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Function not implemented",
         SYS_io_uring_register, EPERM},
    };
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        if (!WITH_URING)
            wishes[i].why = "io_uring is not built in";
        IN_CHILD(open_refused(&wishes[i]));
    }
}

static int open_uring_refused(void)
{
    struct engine *engine = NULL;
    static struct error err;
    struct engine_config config = {.kind = ENGINE_URING, .depth = DEPTH};
    if (refuse(SYS_io_uring_setup, EPERM) < 0)
        return 10;
    int status = engine_open(&engine, &config, &err);
    int expected = WITH_URING ? -EPERM : -ENOSYS;
    const char *text =
        WITH_URING ? "io_uring refused: Operation not permitted" : "io_uring is not built in";
    return status == expected && !engine && err.errnum == -expected && strcmp(err.text, text) == 0
               ? 0
               : 1;
}

static void engine_open_uring_refused_error(void **state)
{
    (void)state;
    IN_CHILD(open_uring_refused());
}

struct limited {
    struct wish wish;
    bool processes; /* RLIMIT_NPROC, else RLIMIT_MEMLOCK */
    rlim_t limit;
};

static int open_limited_as_nobody(const struct limited *limited)
{
    struct rlimit limit = {limited->limit, limited->limit};
    AUTO_CLOSE int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int status =
        limited->processes ? setrlimit(RLIMIT_NPROC, &limit) : setrlimit(RLIMIT_MEMLOCK, &limit);
    if (fd < 0 || status < 0 || setgid(65534) < 0 || setuid(65534) < 0)
        return 10;
    return use_engine(&limited->wish, fd);
}

static struct wish auto_wish(void)
{
    struct wish wish = {ENGINE_AUTO, ENGINE_URING, "", 0, 0};
    if (!WITH_URING) {
        wish.expected = ENGINE_THREADS;
        wish.why = "io_uring is not built in";
    }
    return wish;
}

static void engine_open_unprivileged_without_memlock_works(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    /* Enough for the ring, not for the buffers. */
    struct limited limited = {auto_wish(), false, 64 * 1024};
    IN_CHILD(open_limited_as_nobody(&limited));
    /* Not enough for the ring either: 6.18 refuses it. */
    limited.limit = 0;
    limited.wish.expected = ENGINE_AUTO;
    IN_CHILD(open_limited_as_nobody(&limited));
    limited.wish = (struct wish){ENGINE_THREADS, ENGINE_THREADS, "", 0, 0};
    IN_CHILD(open_limited_as_nobody(&limited));
}

/* Linux then has no worker thread for what io_uring cannot do at once, and cancels it. */
static void engine_uring_no_worker_threads_does_it_itself(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    if (!WITH_URING)
        return; /* threads do need one */
    struct limited limited = {auto_wish(), true, 0};
    IN_CHILD(open_limited_as_nobody(&limited));
}

static int open_threads_without_processes(void)
{
    struct rlimit none = {0, 0};
    struct engine *engine = NULL;
    static struct error err;
    struct engine_config config = {.kind = ENGINE_THREADS, .depth = DEPTH};
    if (setrlimit(RLIMIT_NPROC, &none) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
        return 10;
    int status = engine_open(&engine, &config, &err);
    return status == -EAGAIN && !engine && err.errnum == EAGAIN ? 0 : 1;
}

static void engine_open_threads_without_a_thread_error(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    IN_CHILD(open_threads_without_processes());
}

static void engine_open_sim_refused(void **state)
{
    (void)state;
    struct engine *engine;
    struct error err = {0};
    struct engine_config config = {.kind = ENGINE_SIM, .depth = 1};
    assert_int_equal(engine_open(&engine, &config, &err), -ENOTSUP);
    assert_true(error_is_set(&err));
}

/* Every depth that is allowed, and no descriptor left behind. */
static void engine_open_close_leaves_no_descriptor(void **state)
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

static void engine_name_every_kind_its_word(void **state)
{
    (void)state;
    assert_string_equal(engine_name(ENGINE_AUTO), "auto");
    assert_string_equal(engine_name(ENGINE_URING), "uring");
    assert_string_equal(engine_name(ENGINE_THREADS), "threads");
    assert_string_equal(engine_name(ENGINE_SYNC), "sync");
    assert_string_equal(engine_name(ENGINE_SIM), "sim");
}

/* ---- */

#define EACH(test)                                                                                 \
    {                                                                                              \
#test, test, setup, teardown, NULL                                                         \
    }

static int run_each(struct variant *variant)
{
    struct CMUnitTest tests[] = {
        EACH(engine_random_batches_same_as_sync),
        EACH(engine_read_tail_direct_need_met),
        EACH(engine_read_over_end_short),
        EACH(engine_write_over_a_gib_goes_on),
        EACH(engine_bad_descriptor_every_kind_ebadf),
        EACH(engine_direct_unaligned_einval),
        EACH(engine_write_full_device_enospc),
        EACH(engine_writeback_then_drop_leaves_no_page),
        EACH(engine_ranges_over_4_gib_all_of_it),
        EACH(engine_range_of_length_0_to_the_end),
        EACH(engine_close_in_flight_drains),
        EACH(engine_wait_fd_readable_while_something_is_finished),
        EACH(engine_reap_nothing_in_flight_0_at_once),
        EACH(engine_call_any_result_runs_once),
        EACH(engine_call_that_waits_holds_nobody_up),
        EACH(engine_call_as_many_as_the_depth_all_run),
        EACH(engine_close_calls_in_flight_are_finished),
        EACH(engine_reap_among_signals_nothing_lost),
        EACH(engine_reap_waiting_returns_on_a_signal),
    };
    for (size_t i = 0; i < COUNT_OF(tests); i++)
        tests[i].initial_state = variant;
    print_message("engine %s\n", variant->name);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_reap_every_rule_as_designed),
        cmocka_unit_test(engine_reap_interrupted_for_ever_gives_up),
        cmocka_unit_test(engine_reap_progress_between_storms_counts_anew),
        cmocka_unit_test(engine_reap_without_wait_going_on_0),
        cmocka_unit_test(engine_submit_refused_stays_the_callers),
        cmocka_unit_test(engine_reap_going_on_refused_is_the_result),
        cmocka_unit_test(engine_close_finishes_what_is_short),
        cmocka_unit_test(engine_open_auto_refused_threads_and_why),
        cmocka_unit_test(engine_open_uring_refused_error),
        cmocka_unit_test(engine_open_unprivileged_without_memlock_works),
        cmocka_unit_test(engine_uring_no_worker_threads_does_it_itself),
        cmocka_unit_test(engine_open_threads_without_a_thread_error),
        cmocka_unit_test(engine_write_filesystem_fills_enospc),
        cmocka_unit_test(engine_open_sim_refused),
        cmocka_unit_test(engine_open_close_leaves_no_descriptor),
        cmocka_unit_test(engine_name_every_kind_its_word),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (WITH_URING || variants[i].kind != ENGINE_URING)
            failed += run_each(&variants[i]);
    }
    return failed;
}
