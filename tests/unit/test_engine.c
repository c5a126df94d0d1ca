/* test_engine.c - every engine against the engine sync, on real files. */
#include "engine_tests.h"

/* engine_pool.c has so many threads at most, and io_uring has them with such a depth. */
enum { WIDE_THREADS = 16, WIDE_DEPTH = 128 };

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
        assert_true(count >= 0 && count <= 3);
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
            assert_true(count >= 0 && count <= 1);
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
            assert_true(count >= 0 && count <= 1);
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

static void *write_later(void *pipe_fd)
{
    const struct timespec moment = {.tv_nsec = 100 * 1000 * 1000};
    nanosleep(&moment, NULL);
    assert_int_equal(write(*(int *)pipe_fd, "x", 1), 1);
    return NULL;
}

/* Whoever has heard of it frees what the call uses. */
static void engine_reap_that_fails_calls_in_flight_are_finished(void **state)
{
    struct fixture *fixture = *state;
    int pipe_fds[2], ring_fd = engine_wait_fd(fixture->engine), kept_fd;
    pthread_t writer;
    if (fixture->variant->kind != ENGINE_URING)
        return; /* no other reap fails */
    assert_int_equal(pipe(pipe_fds), 0);
    struct errand slow = {.pipe_fd = pipe_fds[0]};
    struct request *out[2], call = call_of(&slow);
    struct request write_request =
        transfer(REQUEST_WRITE, fixture->fd, 0, slab_buffer(&fixture->slab, 0), BLOCK);
    kept_fd = dup(ring_fd);
    assert_int_equal(dup2(pipe_fds[0], ring_fd), ring_fd);
    assert_int_equal(engine_submit(fixture->engine, &call), 0);
    assert_int_equal(engine_submit(fixture->engine, &write_request), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_later, &pipe_fds[1]), 0);
    assert_true(engine_reap(fixture->engine, out, 2, false) < 0);
    assert_int_equal(slow.runs, 1);
    pthread_join(writer, NULL);
    assert_int_equal(dup2(kept_fd, ring_fd), ring_fd);
    close(kept_fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* As many threads as there can be. */
static struct engine *open_wide(const struct fixture *fixture)
{
    struct engine *engine = NULL;
    struct engine_config config = {.kind = fixture->variant->kind, .depth = WIDE_DEPTH};
    assert_int_equal(engine_open(&engine, &config, NULL), 0);
    return engine;
}

static void reap_all(struct engine *engine)
{
    struct request *out[DEPTH];
    while (engine->inflight > 0) {
        assert_true(readable(engine_wait_fd(engine), 60000));
        assert_true(engine_reap(engine, out, DEPTH, false) >= 0);
    }
}

/* Behind none of all that wait, be it the last thread that takes it; and there are no more. */
static void engine_call_that_all_but_one_thread_could_not_take_runs(void **state)
{
    static const uint32_t waiting_counts[] = {1, 3, 4, 5, 8, WIDE_THREADS - 1, 2, WIDE_THREADS - 1};
    struct fixture *fixture = *state;
    struct errand waiting[WIDE_THREADS], quick;
    struct request requests[WIDE_THREADS], *out[1];
    int pipe_fds[2];
    if (fixture->variant->kind == ENGINE_SYNC)
        return; /* does everything in order, and waits */
    assert_int_equal(pipe(pipe_fds), 0);
    struct engine *engine = open_wide(fixture);
    for (size_t row = 0; row < COUNT_OF(waiting_counts); row++) {
        uint32_t count = waiting_counts[row];
        for (uint32_t i = 0; i < count; i++) {
            waiting[i] = (struct errand){.pipe_fd = pipe_fds[0]};
            requests[i] = call_of(&waiting[i]);
            assert_int_equal(engine_submit(engine, &requests[i]), 0);
        }
        for (int round = 0; round < 50; round++) {
            quick = (struct errand){.pipe_fd = -1};
            requests[count] = call_of(&quick);
            assert_int_equal(engine_submit(engine, &requests[count]), 0);
            int got = 0;
            while (got == 0) {
                assert_true(readable(engine_wait_fd(engine), 60000));
                got = engine_reap(engine, out, 1, false);
            }
            assert_int_equal(got, 1);
            assert_ptr_equal(out[0], &requests[count]);
        }
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(write(pipe_fds[1], "x", 1), 1);
        reap_all(engine);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(waiting[i].runs, 1);
    }
    engine_close(engine);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* What is done is told, also where the thread that did it went on with a call that does not return,
 * all others have one, too, more are waiting, and those before were so short that several would
 * have been told at once. */
static void engine_call_done_before_all_threads_wait_is_told(void **state)
{
    enum { SHORT = 2, LONG = WIDE_THREADS + 1, ALL = SHORT + LONG, WARM = 40, TURNS = 20 };
    struct fixture *fixture = *state;
    struct errand errands[ALL];
    struct request requests[ALL], *out[ALL];
    int short_fds[2], long_fds[2];
    if (fixture->variant->kind == ENGINE_SYNC)
        return; /* does everything in order, and waits */
    assert_int_equal(pipe(short_fds), 0);
    assert_int_equal(pipe(long_fds), 0);
    struct engine *engine = open_wide(fixture);
    for (int turn = 0; turn < TURNS; turn++) {
        for (uint32_t i = 0; i < WARM; i++) {
            errands[0] = (struct errand){.pipe_fd = -1};
            requests[0] = call_of(&errands[0]);
            assert_int_equal(engine_submit(engine, &requests[0]), 0);
            reap_all(engine);
        }
        /* The short ones come when one thread is left, the first of them waits until all are there;
         * behind it that thread takes a long one, and another is left over. */
        for (uint32_t i = 0; i < ALL; i++) {
            uint32_t first = WIDE_THREADS - 1;
            int fd = i == first ? short_fds[0] : i == first + 1 ? -1 : long_fds[0];
            errands[i] = (struct errand){.pipe_fd = fd};
            requests[i] = call_of(&errands[i]);
            assert_int_equal(engine_submit(engine, &requests[i]), 0);
        }
        assert_int_equal(write(short_fds[1], "x", 1), 1);
        while (engine->inflight > LONG) {
            assert_true(readable(engine_wait_fd(engine), 20000));
            assert_true(engine_reap(engine, out, ALL, false) >= 0);
        }
        for (uint32_t i = 0; i < LONG; i++)
            assert_int_equal(write(long_fds[1], "x", 1), 1);
        reap_all(engine);
    }
    engine_close(engine);
    for (int i = 0; i < 2; i++) {
        close(short_fds[i]);
        close(long_fds[i]);
    }
}

/* Threads are being started then, by it and by each other. */
static void engine_close_at_once_calls_are_finished(void **state)
{
    struct fixture *fixture = *state;
    static struct errand errands[WIDE_DEPTH];
    static struct request requests[WIDE_DEPTH];
    for (uint32_t count = 1; count <= WIDE_DEPTH; count++) {
        struct engine *engine = open_wide(fixture);
        for (uint32_t i = 0; i < count; i++) {
            errands[i] = (struct errand){.pipe_fd = -1};
            requests[i] = call_of(&errands[i]);
            assert_int_equal(engine_submit(engine, &requests[i]), 0);
        }
        engine_close(engine);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(errands[i].runs, 1);
    }
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
            assert_true(count >= 0 && count <= DEPTH);
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
        EACH(engine_reap_that_fails_calls_in_flight_are_finished),
        EACH(engine_call_that_all_but_one_thread_could_not_take_runs),
        EACH(engine_call_done_before_all_threads_wait_is_told),
        EACH(engine_close_at_once_calls_are_finished),
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
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (WITH_URING || variants[i].kind != ENGINE_URING)
            failed += run_each(&variants[i]);
    }
    return failed;
}
