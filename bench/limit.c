/* limit.c - how fast this disk can copy a file at all: the yardstick that `make bench` holds every
 * program against.
 *
 * Reads of the source and writes of the same bytes, at the same time, and one fdatasync at the end.
 * Everything known to help is done and nothing else: both files O_DIRECT, the target preallocated
 * to its full size (direct writes that grow a file run one at a time), 16 requests of 1 MiB in
 * flight, buffers on huge pages (physically scattered 4 KiB pages exceed the segments of one device
 * request and are split). It deliberately shares no line with haul, hashes nothing, keeps no
 * metadata and accepts only sizes that are a multiple of 4096.
 *
 * Two loops, because it is not known beforehand which is faster on a machine: raw io_uring calls,
 * and one thread per buffer with pread and pwrite. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 256, ALIGNMENT = 4096, HUGE_PAGE_BYTES = 2 * 1024 * 1024 };

struct copy {
    int source;
    int target;
    uint64_t size_bytes;
    uint32_t block_bytes;
    uint32_t depth;
    uint8_t *slab; /* depth buffers of block_bytes */
    _Atomic uint64_t offset_next;
};

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
    va_list arguments;
    fputs("limit: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The next chunk that nobody has taken: its length, 0 when there is none. */
static uint32_t copy_take(struct copy *copy, uint64_t *offset)
{
    *offset = atomic_fetch_add(&copy->offset_next, copy->block_bytes);
    if (*offset >= copy->size_bytes)
        return 0;
    uint64_t left = copy->size_bytes - *offset;
    return left < copy->block_bytes ? (uint32_t)left : copy->block_bytes;
}

/* ---- one thread per buffer ---- */

struct worker {
    struct copy *copy;
    uint8_t *buffer;
    pthread_t thread;
};

static void transfer(const struct copy *copy, uint8_t *buffer, uint32_t length, uint64_t offset,
                     bool writing)
{
    for (uint32_t done = 0; done < length;) {
        off_t at = (off_t)(offset + done);
        ssize_t got = writing ? pwrite(copy->target, buffer + done, length - done, at)
                              : pread(copy->source, buffer + done, length - done, at);
        if (got < 0 && errno != EINTR)
            die("%s at %jd: %s", writing ? "write" : "read", (intmax_t)at, strerror(errno));
        if (got == 0)
            die("the source ends at %jd", (intmax_t)at);
        if (got > 0)
            done += (uint32_t)got;
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    uint64_t offset = 0;
    for (uint32_t length; (length = copy_take(worker->copy, &offset)) > 0;) {
        transfer(worker->copy, worker->buffer, length, offset, false);
        transfer(worker->copy, worker->buffer, length, offset, true);
    }
    return NULL;
}

static void run_threads(struct copy *copy)
{
    struct worker workers[DEPTH_MAX];
    for (uint32_t i = 0; i < copy->depth; i++) {
        workers[i].copy = copy;
        workers[i].buffer = copy->slab + (size_t)i * copy->block_bytes;
        int failed = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
        if (failed)
            die("cannot start a thread: %s", strerror(failed));
    }
    for (uint32_t i = 0; i < copy->depth; i++)
        pthread_join(workers[i].thread, NULL);
}

/* ---- io_uring, by system calls: no library, hence no library's cost ---- */

struct slot {
    uint8_t *buffer;
    uint64_t offset;
    uint32_t length; /* 0: nothing left to do */
    uint32_t done;
    bool writing;
};

struct ring {
    int fd;
    uint32_t pending; /* prepared, not yet told to the kernel */
    uint32_t *sq_tail, *sq_mask, *sq_array;
    uint32_t *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

static void *ring_map(int fd, size_t length, uint64_t what)
{
    void *area =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)what);
    if (area == MAP_FAILED)
        die("cannot map the ring: %s", strerror(errno));
    return area;
}

/* False when the kernel refuses io_uring (sysctl, seccomp, age). */
static bool ring_open(struct ring *ring, uint32_t depth)
{
    struct io_uring_params params = {0};
    ring->pending = 0;
    ring->fd = (int)syscall(SYS_io_uring_setup, depth, &params);
    if (ring->fd < 0)
        return false;
    if (!(params.features & IORING_FEAT_SINGLE_MMAP))
        die("this kernel's io_uring is older than 5.4");

    size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    uint8_t *area =
        ring_map(ring->fd, sq_bytes > cq_bytes ? sq_bytes : cq_bytes, IORING_OFF_SQ_RING);
    ring->sq_tail = (void *)(area + params.sq_off.tail);
    ring->sq_mask = (void *)(area + params.sq_off.ring_mask);
    ring->sq_array = (void *)(area + params.sq_off.array);
    ring->cq_head = (void *)(area + params.cq_off.head);
    ring->cq_tail = (void *)(area + params.cq_off.tail);
    ring->cq_mask = (void *)(area + params.cq_off.ring_mask);
    ring->cqes = (void *)(area + params.cq_off.cqes);
    ring->sqes =
        ring_map(ring->fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    return true;
}

/* The rest of the slot's read or write. There are as many entries as slots: one is always free. */
static void ring_prepare(struct ring *ring, const struct copy *copy, struct slot *slot)
{
    uint32_t tail = *ring->sq_tail;
    uint32_t index = tail & *ring->sq_mask;
    ring->sqes[index] = (struct io_uring_sqe){
        .opcode = slot->writing ? IORING_OP_WRITE : IORING_OP_READ,
        .fd = slot->writing ? copy->target : copy->source,
        .off = slot->offset + slot->done,
        .addr = (uintptr_t)(slot->buffer + slot->done),
        .len = slot->length - slot->done,
        .user_data = (uintptr_t)slot,
    };
    ring->sq_array[index] = index;
    __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
    ring->pending++;
}

/* Gives the kernel what was prepared and waits until at least one request is done. */
static void ring_enter(struct ring *ring)
{
    long taken =
        syscall(SYS_io_uring_enter, ring->fd, ring->pending, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    if (taken < 0 && errno != EINTR && errno != EAGAIN)
        die("io_uring_enter: %s", strerror(errno));
    if (taken > 0)
        ring->pending -= (uint32_t)taken;
}

/* A finished request: the rest of it, the write that follows a read, or the next chunk's read.
 * False when there is nothing left for this slot. */
static bool slot_advance(struct slot *slot, struct copy *copy, int32_t result)
{
    if (result < 0 && result != -EAGAIN && result != -EINTR)
        die("%s at %ju: %s", slot->writing ? "write" : "read", (uintmax_t)slot->offset,
            strerror(-result));
    if (result == 0)
        die("the source ends at %ju", (uintmax_t)(slot->offset + slot->done));
    if (result > 0)
        slot->done += (uint32_t)result;
    if (slot->done < slot->length)
        return true;
    slot->done = 0;
    if (slot->writing)
        slot->length = copy_take(copy, &slot->offset);
    slot->writing = !slot->writing;
    return slot->length > 0;
}

static void run_uring(struct copy *copy, struct ring *ring)
{
    struct slot slots[DEPTH_MAX];
    uint32_t inflight = 0;
    for (uint32_t i = 0; i < copy->depth; i++) {
        slots[i] = (struct slot){.buffer = copy->slab + (size_t)i * copy->block_bytes};
        slots[i].length = copy_take(copy, &slots[i].offset);
        if (slots[i].length == 0)
            break;
        ring_prepare(ring, copy, &slots[i]);
        inflight++;
    }
    while (inflight > 0) {
        ring_enter(ring);
        uint32_t head = *ring->cq_head;
        for (; head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); head++) {
            const struct io_uring_cqe *cqe = &ring->cqes[head & *ring->cq_mask];
            struct slot *slot = (void *)(uintptr_t)cqe->user_data;
            if (slot_advance(slot, copy, cqe->res))
                ring_prepare(ring, copy, slot);
            else
                inflight--;
        }
        __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    }
}

/* ---- set-up ---- */

/* One mapping on huge pages where there are any, touched so that no fault falls into the copy. */
static uint8_t *slab_map(size_t length)
{
    uint8_t *area = mmap(NULL, length + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        die("no memory for %zu bytes of buffers", length);
    area += (HUGE_PAGE_BYTES - (uintptr_t)area % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    madvise(area, length, MADV_HUGEPAGE); /* refused without THP: small pages then */
    for (size_t i = 0; i < length; i += ALIGNMENT)
        *(volatile uint8_t *)(area + i) = 0;
    return area;
}

static void copy_open(struct copy *copy, const char *source, const char *target)
{
    struct stat facts;
    copy->source = open(source, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (copy->source < 0 || fstat(copy->source, &facts) != 0)
        die("%s: %s", source, strerror(errno));
    if (facts.st_size == 0 || facts.st_size % ALIGNMENT != 0)
        die("%s: its size is not a multiple of %d", source, ALIGNMENT);
    copy->size_bytes = (uint64_t)facts.st_size;
    copy->target = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (copy->target < 0)
        die("%s: %s", target, strerror(errno));
    if (fallocate(copy->target, 0, 0, facts.st_size) != 0 &&
        ftruncate(copy->target, facts.st_size) != 0)
        die("%s: %s", target, strerror(errno));
    copy->slab = slab_map((size_t)copy->depth * copy->block_bytes);
}

static uint32_t number_of(const char *text, uint32_t max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || value == 0 || value > max)
        die("%s: a number from 1 to %u is needed", text, max);
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    struct copy copy = {.depth = 16, .block_bytes = 1024 * 1024};
    bool threads = false;
    for (int option; (option = getopt(argc, argv, "d:b:t")) != -1;) {
        if (option == 'd')
            copy.depth = number_of(optarg, DEPTH_MAX);
        else if (option == 'b')
            copy.block_bytes = number_of(optarg, 64 * 1024) * 1024;
        else if (option == 't')
            threads = true;
        else
            optind = argc;
    }
    if (argc - optind != 2 || copy.block_bytes % ALIGNMENT != 0) {
        fputs("usage: limit [-d DEPTH] [-b KIB] [-t] SOURCE TARGET\n"
              "Copies as fast as the disk can and prints the seconds. -t: threads, not io_uring\n",
              stderr);
        return 1;
    }

    double start = seconds_now();
    struct ring ring;
    copy_open(&copy, argv[optind], argv[optind + 1]);
    if (!threads && ring_open(&ring, copy.depth))
        run_uring(&copy, &ring);
    else
        run_threads(&copy);
    if (fdatasync(copy.target) != 0)
        die("%s: %s", argv[optind + 1], strerror(errno));
    printf("%.3f\n", seconds_now() - start);
    return 0;
}
