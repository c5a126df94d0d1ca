/* engine_uring.c - requests through io_uring. The only file that knows liburing.
 *
 * A request becomes one submission queue entry at a time; a range longer than an entry can name
 * becomes several, one after the other. Entries are staged, and given to the kernel all at once by
 * the next reap. What io_uring has no operation for (REQUEST_CALL) goes to a few threads; the ring
 * watches their eventfd, so that there is one descriptor to wait for. What a kernel or container
 * refuses while the engine is opened is an error here; the choice of another engine is made in
 * engine.c. */
#include "engine_pool.h"

#include <errno.h>

#if WITH_URING

#include "haul/base/num.h"

#include <assert.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Most bytes one entry names. The length is 32 bits wide, and results are int; a multiple of every
 * block and page size. */
#define PART_BYTES_MAX GIB

/* Several calls at a time, so that one slow disk does not keep the files on another waiting. Of
 * small files each is one, which waits for the disk as often as not: of 3,000 with 16 threads 0.85
 * of the time with 4. */
enum { CALL_THREADS = 4, CALL_THREAD_SLOTS = 8 };

/* Completions without interrupting this thread (5.19), which is in a system call often enough; with
 * the flag that tells liburing when one is needed. Tried first, then nothing. */
#define SETUP_FLAGS_WANTED (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

/* One request in the ring. Entries carry its address; NULL is an entry whose completion nobody
 * waits for. */
struct part {
    struct request *request;
    uint64_t position; /* of the range kinds: up to here in the file it is done */
    uint64_t end;      /* position of the end of the part that is in the ring */
    struct part *next; /* in the list of free parts */
};

struct uring {
    struct engine engine; /* first: see engine.h */
    struct io_uring ring;
    bool ring_open;
    uint8_t *slab; /* registered as buffer 0; NULL: no registered buffer */
    size_t slab_bytes;
    uint32_t kernel_owned;    /* entries that the kernel took and has not completed */
    uint32_t flushes_failed;  /* one after the other, with nothing in flight */
    struct engine_pool *pool; /* for calls; opened for the first one. NULL: none, or no threads */
    bool pool_refused;
    uint32_t calls; /* in the pool */
    int failed;     /* -errno: nothing is given back any more */
    bool watching;  /* an entry waits for the pool's eventfd */
    struct part watch;
    struct part *free;
    struct part parts[]; /* engine.depth of them */
};

static bool in_slab(const struct uring *uring, const uint8_t *buffer, size_t length)
{
    uintptr_t start = (uintptr_t)uring->slab;
    uintptr_t from = (uintptr_t)buffer;
    return uring->slab && from >= start && length <= uring->slab_bytes &&
           from - start <= uring->slab_bytes - length;
}

static void prepare_transfer(const struct uring *uring, struct io_uring_sqe *sqe,
                             const struct request *request)
{
    uint8_t *buffer = (uint8_t *)request->buffer + request->done;
    uint64_t offset = request->offset + request->done;
    uint32_t length = num_u32(min_u64(request->length - request->done, PART_BYTES_MAX));
    bool fixed = in_slab(uring, buffer, length);
    if (request->kind == REQUEST_READ) {
        if (fixed)
            io_uring_prep_read_fixed(sqe, request->fd, buffer, length, offset, 0);
        else
            io_uring_prep_read(sqe, request->fd, buffer, length, offset);
    } else {
        if (fixed)
            io_uring_prep_write_fixed(sqe, request->fd, buffer, length, offset, 0);
        else
            io_uring_prep_write(sqe, request->fd, buffer, length, offset);
    }
}

/* Where a part from `position` on ends: at a whole GiB of the file, so that no page or large folio
 * lies across two parts (DONTNEED skips what it covers by half). */
static uint64_t part_end(const struct request *request, uint64_t position)
{
    uint64_t end = request->offset + request->length;
    return min_u64(end, align_down(position, PART_BYTES_MAX) + PART_BYTES_MAX);
}

/* The length of an entry is 32 bits (fadvise takes 64 since 6.8 only); 0 is to the end of the file,
 * as in the request. */
static void prepare_range(struct io_uring_sqe *sqe, struct part *part)
{
    const struct request *request = part->request;
    part->end = part_end(request, part->position);
    uint32_t length = num_u32(part->end - part->position);
    if (request->kind == REQUEST_DROP) {
        io_uring_prep_fadvise(sqe, request->fd, part->position, length, POSIX_FADV_DONTNEED);
        return;
    }
    unsigned flags = SYNC_FILE_RANGE_WRITE;
    if (request->kind == REQUEST_WRITEBACK_WAIT)
        flags |= SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;
    io_uring_prep_sync_file_range(sqe, request->fd, length, part->position, (int)flags);
}

static void prepare(const struct uring *uring, struct io_uring_sqe *sqe, struct part *part)
{
    switch (part->request->kind) {
    case REQUEST_READ:
    case REQUEST_WRITE:
        prepare_transfer(uring, sqe, part->request);
        break;
    case REQUEST_DATASYNC:
    case REQUEST_SYNC:
        io_uring_prep_fsync(sqe, part->request->fd,
                            part->request->kind == REQUEST_SYNC ? 0 : IORING_FSYNC_DATASYNC);
        break;
    case REQUEST_CALL: /* there are no threads: it is executed when this comes back */
        io_uring_prep_nop(sqe);
        break;
    case REQUEST_WRITEBACK_START:
    case REQUEST_WRITEBACK_WAIT:
    case REQUEST_DROP:
        prepare_range(sqe, part);
        break;
    }
    io_uring_sqe_set_data(sqe, part);
}

/* Gives the kernel every entry that it has not taken yet, and waits for a completion if that is
 * wanted. 0, or -errno when some remain or nothing was waited for. */
static int flush(struct uring *uring, bool wait)
{
    unsigned staged = io_uring_sq_ready(&uring->ring);
    if (staged == 0 && !wait)
        return 0;
    int taken = io_uring_submit_and_wait(&uring->ring, wait ? 1 : 0);
    if (taken > 0)
        uring->kernel_owned += (uint32_t)taken;
    if (taken < 0)
        return taken;
    return io_uring_sq_ready(&uring->ring) == 0 ? 0 : -EAGAIN;
}

/* A free entry. NULL: the queue is full of entries that the kernel does not take now. */
static struct io_uring_sqe *stage(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (!sqe && flush(uring, false) == 0)
        sqe = io_uring_get_sqe(&uring->ring);
    return sqe;
}

/* Stages the next part. -EAGAIN: there is no room. */
static int issue(struct uring *uring, struct part *part)
{
    struct io_uring_sqe *sqe = stage(uring);
    if (!sqe)
        return -EAGAIN;
    prepare(uring, sqe, part);
    return 0;
}

static void part_free(struct uring *uring, struct part *part)
{
    part->request = NULL;
    part->next = uring->free;
    uring->free = part;
}

/* false: there are no threads for calls, and none can be had. */
static bool has_pool(struct uring *uring)
{
    ERROR_UNSET(ignored);
    uint32_t most =
        num_u32(clamp_u64(uring->engine.depth / CALL_THREAD_SLOTS, CALL_THREADS, ENGINE_CALLS_MAX));
    if (!uring->pool && !uring->pool_refused)
        uring->pool_refused = engine_pool_open(&uring->pool, most, &ignored) < 0;
    return uring->pool != NULL;
}

/* Nothing is with the ring, or about to be. */
static bool only_calls(const struct uring *uring)
{
    return uring->calls > 0 && uring->kernel_owned == 0 && io_uring_sq_ready(&uring->ring) == 0;
}

/* While there are calls beside other requests the ring tells when one is over. Once: it is asked
 * again when that came. */
static void watch_pool(struct uring *uring)
{
    struct io_uring_sqe *sqe;
    if (uring->calls == 0 || uring->watching || only_calls(uring) || !(sqe = stage(uring)))
        return;
    io_uring_prep_poll_add(sqe, engine_pool_event_fd(uring->pool), POLLIN);
    io_uring_sqe_set_data(sqe, &uring->watch);
    uring->watching = true;
}

static int uring_submit(struct engine *engine, struct request *request)
{
    struct uring *uring = (struct uring *)engine;
    if (request->kind == REQUEST_CALL && has_pool(uring)) {
        engine_pool_submit(uring->pool, request);
        uring->calls++;
        return 0;
    }
    struct part *part = uring->free;
    assert(part);
    uring->free = part->next;
    *part = (struct part){.request = request, .position = request->offset};
    int status = issue(uring, part);
    if (status < 0)
        part_free(uring, part);
    return status;
}

/* Parts of a range remain, and the next one is on its way. */
static bool range_goes_on(struct uring *uring, struct part *part, int *result)
{
    const struct request *request = part->request;
    bool range = request->kind == REQUEST_WRITEBACK_START ||
                 request->kind == REQUEST_WRITEBACK_WAIT || request->kind == REQUEST_DROP;
    if (!range || *result < 0 || part->end >= request->offset + request->length)
        return false; /* also when the length is 0: there is one part, and it ends where it starts
                       */
    part->position = part->end;
    *result = issue(uring, part);
    return *result == 0;
}

/* The request that this completion finishes, with its raw result; NULL: none. */
static struct request *complete(struct uring *uring, struct part *part, int result)
{
    if (part == &uring->watch)
        uring->watching = false;
    if (!part || part == &uring->watch || range_goes_on(uring, part, &result))
        return NULL;
    struct request *request = part->request;
    part_free(uring, part);
    /* The kernel could not start a worker thread (RLIMIT_NPROC, a pids cgroup; seen on 6.18 with
     * fdatasync). The work itself is fine: it is done here. */
    if (result == -ECANCELED || request->kind == REQUEST_CALL)
        result = (int)engine_execute(request);
    request->result = result;
    return request;
}

/* Everything that is there, without waiting. *seen: completions, also those that finish nothing. */
static uint32_t collect(struct uring *uring, struct request **out, uint32_t max, uint32_t *seen)
{
    uint32_t count = 0;
    struct io_uring_cqe *cqe;
    *seen = 0;
    while (count < max && io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        struct part *part = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        assert(uring->kernel_owned > 0);
        uring->kernel_owned--;
        ++*seen;
        struct request *request = complete(uring, part, result);
        if (request)
            out[count++] = request;
    }
    /* Not before the ring has told, if it is to: so a watch that is set always ends, and none is
     * left at close. */
    if (uring->calls > 0 && !uring->watching && count < max) {
        uint32_t calls = engine_pool_collect(uring->pool, out + count, max - count);
        uring->calls -= calls;
        count += calls;
    }
    return count;
}

/* Until a call is over, or a signal came. */
static void wait_for_pool(const struct uring *uring)
{
    struct pollfd ready = {.fd = engine_pool_event_fd(uring->pool), .events = POLLIN};
    (void)poll(&ready, 1, -1);
}

/* What is staged goes to the kernel. One that is out of memory for the moment says so (EAGAIN,
 * EBUSY: io_uring_enter(2)): what is in flight comes back first, and with nothing in flight there
 * is patience for a while. */
static int flush_patiently(struct uring *uring, bool wait)
{
    watch_pool(uring);
    int status = flush(uring, wait);
    bool passing = status == -EINTR || status == -EAGAIN || status == -EBUSY;
    if (status == 0 || uring->kernel_owned > 0 || uring->calls > 0)
        uring->flushes_failed = 0;
    else
        uring->flushes_failed++;
    return passing && uring->flushes_failed <= ENGINE_ATTEMPTS_MAX ? 0 : status;
}

static int reap_some(struct uring *uring, struct request **out, uint32_t max, bool wait)
{
    uint32_t seen;
    int status = flush_patiently(uring, false);
    if (status < 0)
        return status;
    for (;;) { /* each turn takes at least one completion of at most kernel_owned, or returns */
        uint32_t count = collect(uring, out, max, &seen);
        if (count > 0 || !wait)
            return (int)count;
        bool calls = only_calls(uring);
        if (uring->kernel_owned == 0 && io_uring_sq_ready(&uring->ring) == 0 && !calls)
            return 0;
        if (calls)
            wait_for_pool(uring);
        else
            status = flush_patiently(uring, true);
        if (status < 0)
            return status;
        count = collect(uring, out, max, &seen);
        if (count > 0 || seen == 0) /* a signal: the caller wants to look at its flags */
            return (int)count;
    }
}

/* Who hears of a failure may free what the calls use: so they end first. */
static int uring_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct uring *uring = (struct uring *)engine;
    int count = uring->failed < 0 ? uring->failed : reap_some(uring, out, max, wait);
    if (count < 0 && uring->failed == 0) {
        uring->failed = count;
        engine_pool_close(uring->pool);
        uring->pool = NULL;
        uring->calls = 0;
    }
    return count;
}

static int uring_wait_fd(struct engine *engine)
{
    struct uring *uring = (struct uring *)engine;
    if (only_calls(uring))
        return engine_pool_event_fd(uring->pool);
    (void)flush_patiently(uring, false); /* what is wrong is said by the next reap */
    return uring->ring.ring_fd;
}

/* Until the kernel owns no buffer any more. If even waiting fails, completions still arrive. */
static void drain(struct uring *uring)
{
    while (uring->kernel_owned > 0) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe(&uring->ring, &cqe) == 0) {
            io_uring_cqe_seen(&uring->ring, cqe);
            uring->kernel_owned--;
        } else {
            struct pollfd ready = {.fd = uring->ring.ring_fd, .events = POLLIN};
            poll(&ready, 1, 10);
        }
    }
}

static void uring_close(struct engine *engine)
{
    struct uring *uring = (struct uring *)engine;
    /* Calls first: a watch that a failed engine left behind hears of the last one and ends. */
    engine_pool_close(uring->pool);
    if (uring->ring_open) {
        drain(uring);
        /* Closing the ring alone unpins the buffers some time later, in a kernel worker. */
        if (uring->slab)
            io_uring_unregister_buffers(&uring->ring);
        io_uring_queue_exit(&uring->ring);
    }
    free(uring);
}

static const struct engine_ops uring_ops = {
    .kind = ENGINE_URING,
    .submit = uring_submit,
    .reap = uring_reap,
    .wait_fd = uring_wait_fd,
    .close = uring_close,
};

/* -EINVAL is what a kernel says to flags that it does not know. */
static int open_ring(struct uring *uring)
{
    int status = io_uring_queue_init(uring->engine.depth, &uring->ring, SETUP_FLAGS_WANTED);
    if (status == -EINVAL)
        status = io_uring_queue_init(uring->engine.depth, &uring->ring, 0);
    uring->ring_open = status == 0;
    return status;
}

/* 5.6 is the first kernel with all of these, and the first that can be asked. */
static int check_operations(struct uring *uring)
{
    static const int needed[] = {
        IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,     IORING_OP_READ,    IORING_OP_WRITE,
        IORING_OP_FSYNC,      IORING_OP_SYNC_FILE_RANGE, IORING_OP_FADVISE, IORING_OP_POLL_ADD};
    struct io_uring_probe *probe = io_uring_get_probe_ring(&uring->ring);
    if (!probe)
        return -ENOSYS;
    int status = 0;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!io_uring_opcode_supported(probe, needed[i]))
            status = -ENOSYS;
    }
    io_uring_free_probe(probe);
    return status;
}

/* A filter may allow io_uring_setup(2) and refuse io_uring_enter(2): better known now. */
static int check_entering(struct uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    assert(sqe);
    io_uring_prep_nop(sqe);
    io_uring_sqe_set_data(sqe, NULL);
    int status = flush(uring, false);
    if (status == 0)
        drain(uring);
    return status;
}

/* Registered, the pages are pinned and looked up once. Without (RLIMIT_MEMLOCK, more than 1 GiB),
 * each transfer does it: 0.07-0.10 CPU seconds a GB instead of 0.03-0.06. */
static void register_slab(struct uring *uring, const struct engine_config *config)
{
    struct iovec buffer = {.iov_base = config->slab, .iov_len = config->slab_bytes};
    if (!config->slab || config->slab_bytes == 0)
        return;
    if (io_uring_register_buffers(&uring->ring, &buffer, 1) < 0)
        return;
    uring->slab = config->slab;
    uring->slab_bytes = config->slab_bytes;
}

int engine_uring_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    struct uring *uring = calloc(1, sizeof(*uring) + config->depth * sizeof(struct part));
    if (!uring)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the engine uring");
    uring->engine.ops = &uring_ops;
    uring->engine.depth = config->depth;
    for (uint32_t i = 0; i < config->depth; i++)
        part_free(uring, &uring->parts[i]);
    int status = open_ring(uring);
    if (status == 0)
        status = check_operations(uring);
    if (status == 0)
        status = check_entering(uring);
    if (status < 0) {
        uring_close(&uring->engine);
        return error_set(err, -status, "io_uring refused");
    }
    register_slab(uring, config);
    *out = &uring->engine;
    return 0;
}

#else

int engine_uring_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    (void)out;
    (void)config;
    /* Asked for on the command line; `auto` takes the next engine. */
    return error_set_class(err, ERROR_USAGE, ENOSYS,
                           "io_uring is not built in: leave out --engine=uring");
}

#endif
