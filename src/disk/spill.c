/* spill.c - records one behind the other in a file, those of one bucket chained from the newest to
 * the oldest. */
#include "haul/disk/spill.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

enum {
    BUCKETS = 128 * 1024,
    FILTER_BITS = 4 * 1024 * 1024, /* a key that was never put is known by them, most often */
    FILTER_HASHES = 3,
    UNIT_BYTES = 8, /* records begin at multiples of it: 32 GiB of them can be told apart */
    PAGE_BYTES = 4096,
};

/* So much is written, or brought back into the page cache, before it is dropped. */
static const uint64_t cached_bytes_max = 4 * MIB;

struct record {
    uint64_t key[2];
    uint32_t older; /* in units; 0: none */
    uint32_t length;
};

struct spill {
    int fd; /* -1: nothing was put yet */
    uint64_t end_bytes, cached_bytes;
    uint64_t begun_bytes;    /* the write-back of what lies before was begun */
    uint64_t page_read;      /* the last one */
    uint32_t heads[BUCKETS]; /* as record.older */
    uint8_t filter[FILTER_BITS / 8];
};

struct spill *spill_open(void)
{
    struct spill *spill = calloc(1, sizeof(*spill)); /* no page before it is used */
    if (!spill)
        return NULL;
    spill->fd = -1;
    spill->end_bytes = UNIT_BYTES;
    return spill;
}

static int make_file(struct spill *spill)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || folder[0] != '/')
        folder = "/var/tmp";
    spill->fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600); /* Linux 3.11 */
    if (spill->fd < 0)
        return -errno;
    (void)posix_fadvise(spill->fd, 0, 0, POSIX_FADV_RANDOM);
    return 0;
}

void spill_close(struct spill *spill)
{
    if (spill)
        cleanup_close(&spill->fd);
    free(spill);
}

static uint64_t mix(const uint64_t key[2])
{
    uint64_t mixed = (key[0] ^ key[1] << 32 ^ key[1] >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 29;
    return mixed * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Neighbours by the second number share a bucket: who puts and asks in its order finds a chain, and
 * what comes next, in the page that was read last. */
static uint32_t *head_of(struct spill *spill, const uint64_t key[2])
{
    enum { NEIGHBOURS = 4 };
    return &spill->heads[(key[1] / NEIGHBOURS + key[0] * UINT64_C(0x9e3779b97f4a7c15)) % BUCKETS];
}

/* Its bits in the filter; true: all of them were set before. */
static bool filter_has(struct spill *spill, uint64_t mixed, bool set)
{
    bool all = true;
    for (uint32_t i = 0; i < FILTER_HASHES; i++) {
        uint32_t bit = (uint32_t)(mixed >> 21 * i) % FILTER_BITS;
        uint8_t mask = (uint8_t)(1u << bit % 8);
        all &= (spill->filter[bit / 8] & mask) != 0;
        if (set)
            spill->filter[bit / 8] |= mask;
    }
    return all;
}

/* What is clean goes from the page cache, which is somebody's memory, too. Who puts waits for what
 * was begun the last time, which is most often written. */
static void tend(struct spill *spill, uint64_t bytes)
{
    spill->cached_bytes += bytes;
    if (spill->cached_bytes < cached_bytes_max)
        return;
    spill->cached_bytes = 0;
    if (spill->begun_bytes > 0)
        (void)sync_file_range(spill->fd, 0, num_off(spill->begun_bytes),
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
    (void)posix_fadvise(spill->fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)sync_file_range(spill->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    spill->begun_bytes = spill->end_bytes;
}

int spill_put(struct spill *spill, const uint64_t key[2], const void *bytes, uint32_t length)
{
    uint32_t *head = head_of(spill, key);
    struct record record = {.key = {key[0], key[1]}, .older = *head, .length = length};
    struct iovec parts[2] = {{&record, sizeof(record)}, {(void *)(uintptr_t)bytes, length}};
    uint64_t whole_bytes = sizeof(record) + length;
    assert(length <= SPILL_BYTES_MAX);
    if (spill->end_bytes / UNIT_BYTES > UINT32_MAX)
        return -EFBIG;
    int result = spill->fd < 0 ? make_file(spill) : 0;
    if (result < 0)
        return result;
    ssize_t put = pwritev(spill->fd, parts, 2, num_off(spill->end_bytes));
    if (put != (ssize_t)whole_bytes)
        return put < 0 ? -errno : -ENOSPC;
    *head = (uint32_t)(spill->end_bytes / UNIT_BYTES);
    spill->end_bytes += align_up(whole_bytes, UNIT_BYTES);
    (void)filter_has(spill, mix(key), true);
    tend(spill, whole_bytes);
    return 0;
}

/* The chain only ever goes back, so it ends. */
int spill_get(struct spill *spill, const uint64_t key[2], void *bytes, uint32_t room)
{
    bool perhaps = spill->fd >= 0 && filter_has(spill, mix(key), false);
    uint32_t at = perhaps ? *head_of(spill, key) : 0;
    while (at > 0) {
        struct record record;
        struct iovec parts[2] = {{&record, sizeof(record)}, {bytes, room}};
        ssize_t got = preadv(spill->fd, parts, 2, num_off((uint64_t)at * UNIT_BYTES));
        if (got < (ssize_t)sizeof(record) || record.older >= at)
            return got < 0 ? -errno : -EIO;
        uint64_t page = (uint64_t)at * UNIT_BYTES / PAGE_BYTES;
        tend(spill, page == spill->page_read ? 0 : PAGE_BYTES);
        spill->page_read = page;
        if (record.key[0] != key[0] || record.key[1] != key[1]) {
            at = record.older;
            continue;
        }
        if (record.length > room)
            return -EMSGSIZE;
        return (size_t)got < sizeof(record) + record.length ? -EIO : (int)record.length;
    }
    return 0;
}
