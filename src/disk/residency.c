/* residency.c - what the page cache holds of a file, by cachestat or mincore. It knows
 * nothing of policies or copies. */
#include "haul/disk/residency.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/filesystem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* glibc 2.36 has no cachestat. The number is the same on every architecture but alpha, and both
 * structures go by pointer, so a 32-bit program passes 64-bit offsets without any splitting. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

enum { OVERLAYFS_MAGIC = 0x794c7630, AUFS_MAGIC = 0x61756673 };

/* mincore works through the range in mappings of this many pages (16 MiB of 4 KiB pages): small
 * enough for a 32-bit address space and for RLIMIT_AS, and the answers fit on the stack. */
enum { PIECE_PAGES = 4096, PEEK_PAGES = 8 };

/* What a view maps, around the place that is asked about: some of what is before it, and more of
 * what comes. Only 64-bit address spaces have room for one in each open file. */
enum { VIEW_BYTES = 256 * 1024 * 1024, VIEW_STEP_BYTES = 128 * 1024 * 1024 };

/* struct cachestat_range and struct cachestat of linux/mman.h, Linux 6.5. */
struct cache_range {
    uint64_t offset;
    uint64_t length; /* 0: to the end */
};

struct cache_counts {
    uint64_t cached;
    uint64_t dirty;
    uint64_t writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
};

/* Size of a regular file or block device. fstat gives 0 for a device, and lseek would move a
 * position that others may share. */
static int file_size(int fd, uint64_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (S_ISBLK(st.st_mode))
        return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
    if (!S_ISREG(st.st_mode))
        return -ENODATA;
    *bytes = (uint64_t)st.st_size;
    return *bytes > NUM_OFFSET_MAX ? -ENODATA : 0;
}

/* Filesystems whose files keep their pages in another filesystem's inode. cachestat looks at the
 * upper inode and sees nothing (Linux 6.18, overlayfs); a mapping is of the lower file, so mincore
 * is right. aufs maps the same way (its source; not to be had here). A device node on overlayfs is
 * not concerned: its pages are the device's own. */
static bool file_stacked(int fd)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return false;
    uint64_t type = filesystem_type(fd);
    return type == OVERLAYFS_MAGIC || type == AUFS_MAGIC;
}

static int cachestat_bytes(int fd, const struct cache_range *range, uint64_t page_bytes,
                           uint64_t *bytes)
{
    struct cache_counts counts = {0};
    if (syscall(SYS_cachestat, fd, range, &counts, 0))
        return -errno;
    return mul_u64(counts.cached, page_bytes, bytes) ? 0 : -ENODATA;
}

/* One mapping's worth. Without any access right (PROT_NONE) nothing can fault in. MAP_SHARED: a
 * private mapping of a FUSE direct_io file would invalidate its cached pages. */
static int mincore_piece(int fd, uint64_t offset, size_t length, uint8_t *resident)
{
    void *mapping = mmap(NULL, length, PROT_NONE, MAP_SHARED, fd, num_off(offset));
    if (mapping == MAP_FAILED)
        return -errno;
    int rc = mincore(mapping, length, resident) ? -errno : 0;
    munmap(mapping, length);
    return rc;
}

void residency_release(struct residency_view *view)
{
    if (view->mapping)
        munmap(view->mapping, VIEW_BYTES);
    view->mapping = NULL;
}

/* Where the range is in the view, which moves there if it must. NULL: there is none, map it. */
static uint8_t *view_at(const struct residency *residency, int fd, uint64_t offset, uint64_t length)
{
    struct residency_view *view = residency->view;
    if (!view || sizeof(void *) < 8 || length > VIEW_BYTES)
        return NULL;
    bool inside =
        view->mapping && offset >= view->offset && offset - view->offset <= VIEW_BYTES - length;
    if (!inside) {
        uint64_t start = align_down(offset, VIEW_STEP_BYTES);
        start -= min_u64(start, VIEW_STEP_BYTES / 2);
        if (offset - start > VIEW_BYTES - length)
            start = offset;
        residency_release(view);
        void *mapping = mmap(NULL, VIEW_BYTES, PROT_NONE, MAP_SHARED, fd, num_off(start));
        if (mapping == MAP_FAILED)
            return NULL;
        view->mapping = mapping;
        view->offset = start;
    }
    return view->mapping + (offset - view->offset);
}

/* mincore, by the view where there is one. */
static int mincore_ask(const struct residency *residency, int fd, uint64_t offset, size_t length,
                       uint8_t *resident)
{
    uint8_t *at = view_at(residency, fd, offset, length);
    if (!at)
        return mincore_piece(fd, offset, length, resident);
    return mincore(at, length, resident) ? -errno : 0;
}

/* Does mincore tell the truth about this file? Since Linux 5.2 it reports every page as resident
 * to those who neither own the file (nor have CAP_FOWNER) nor may write it; gVisor does so for
 * everybody. Rather than follow these rules through user namespaces and mapped mounts, ask for a
 * page that cannot be there: one behind the end of the file, and aligned so that no large folio of
 * the end reaches it (up to 512 MiB on arm64 with 64 KiB pages). Filesystems with a small limit on
 * file sizes refuse the first; the second is still behind every folio of 4 KiB-page machines. */
static bool mincore_honest(int fd, uint64_t page_bytes)
{
    static const uint64_t alignments[] = {512 * MIB, 2 * MIB};
    uint64_t size;
    if (file_size(fd, &size))
        return false;
    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        uint64_t behind = align_up(size, alignments[i]);
        uint8_t resident = 1;
        if (behind > NUM_OFFSET_MAX - page_bytes)
            continue;
        if (mincore_piece(fd, behind, (size_t)page_bytes, &resident) == 0)
            return (resident & 1) == 0;
    }
    return false;
}

/* Ask mincore about [offset, end), offset at a page. Counts into *pages_resident, and sets bits in
 * `map` unless it is NULL. A range with a hole in it cannot be the lie, so only a full one is
 * doubted. */
static int mincore_range(const struct residency *residency, int fd, const struct cache_range *range,
                         uint8_t *map, uint64_t *pages_resident)
{
    uint8_t resident[PIECE_PAGES];
    uint64_t page_bytes = residency->page_bytes;
    uint64_t pages = div_ceil(range->length, page_bytes);
    uint64_t found = 0;
    for (uint64_t first = 0; first < pages; first += PIECE_PAGES) {
        uint64_t count = min_u64(pages - first, PIECE_PAGES);
        if (mincore_ask(residency, fd, range->offset + first * page_bytes,
                        (size_t)(count * page_bytes), resident))
            return -ENODATA;
        for (uint64_t i = 0; i < count; i++) {
            if (!(resident[i] & 1))
                continue;
            found++;
            if (map)
                map[(first + i) / 8] |= (uint8_t)(1u << ((first + i) % 8));
        }
    }
    *pages_resident = found;
    return found == pages && pages > 0 && !mincore_honest(fd, page_bytes) ? -ENODATA : 0;
}

void residency_init(struct residency *residency, int fd)
{
    static const struct cache_range first_byte = {.offset = 0, .length = 1};
    uint64_t bytes;
    long page_bytes = sysconf(_SC_PAGESIZE);
    assert(page_bytes > 0);
    residency->page_bytes = (uint64_t)page_bytes;
    residency->method = RESIDENCY_NONE;
    residency->view = NULL;
    if (file_size(fd, &bytes))
        return;
    if (!file_stacked(fd) && cachestat_bytes(fd, &first_byte, residency->page_bytes, &bytes) == 0)
        residency->method = RESIDENCY_CACHESTAT;
    else if (mincore_honest(fd, residency->page_bytes))
        residency->method = RESIDENCY_MINCORE;
}

const char *residency_name(enum residency_method method)
{
    switch (method) {
    case RESIDENCY_NONE:
        return "none";
    case RESIDENCY_CACHESTAT:
        return "cachestat";
    case RESIDENCY_MINCORE:
        return "mincore";
    }
    assert(false);
    return "none";
}

/* The part of a range that lies within the file. */
static int range_clip(int fd, uint64_t offset, uint64_t length, struct cache_range *range)
{
    uint64_t size;
    if (file_size(fd, &size))
        return -ENODATA;
    range->offset = min_u64(offset, size);
    range->length = size - range->offset;
    if (length > 0)
        range->length = min_u64(range->length, length);
    return 0;
}

int residency_measure(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                      uint64_t *bytes)
{
    struct cache_range range = {.offset = offset, .length = length};
    uint64_t pages;
    if (residency->method == RESIDENCY_NONE)
        return -ENODATA;
    if (length > UINT64_MAX - offset)
        range.length = 0;
    /* The kernel clips the range itself: a direct copy asks some times for each chunk. */
    if (residency->method == RESIDENCY_CACHESTAT)
        return cachestat_bytes(fd, &range, residency->page_bytes, bytes) ? -ENODATA : 0;
    if (range_clip(fd, offset, length, &range))
        return -ENODATA;
    if (range.length == 0) { /* the page before it is another's */
        *bytes = 0;
        return 0;
    }
    uint64_t first = align_down(range.offset, residency->page_bytes);
    range.length += range.offset - first;
    range.offset = first;
    if (mincore_range(residency, fd, &range, NULL, &pages))
        return -ENODATA;
    *bytes = pages * residency->page_bytes;
    return 0;
}

int residency_map(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                  uint8_t *map, uint32_t map_bits)
{
    struct cache_range range;
    uint64_t pages;
    assert(offset % residency->page_bytes == 0);
    assert(div_ceil(length, residency->page_bytes) <= map_bits);
    size_t map_bytes = (size_t)div_ceil(map_bits, 8);
    memset(map, 0, map_bytes);
    if (residency->method == RESIDENCY_NONE)
        return -ENODATA;
    if (length == 0)
        return 0;
    if (range_clip(fd, offset, length, &range))
        return -ENODATA;
    if (mincore_range(residency, fd, &range, map, &pages)) {
        memset(map, 0, map_bytes);
        return -ENODATA;
    }
    return 0;
}

int residency_once(int fd, uint64_t length, uint64_t *bytes)
{
    struct residency residency;
    const struct cache_range range = {.offset = 0, .length = length};
    long page_bytes = sysconf(_SC_PAGESIZE);
    assert(page_bytes > 0);
    *bytes = 0;
    if (length == 0 || cachestat_bytes(fd, &range, (uint64_t)page_bytes, bytes) == 0)
        return 0;
    residency_init(&residency, fd);
    return residency_measure(&residency, fd, 0, length, bytes);
}

bool residency_untouched(int fd)
{
    struct residency residency;
    uint64_t bytes = 1;
    residency_init(&residency, fd);
    return residency_measure(&residency, fd, 0, 0, &bytes) == 0 && bytes == 0;
}

void residency_drop(int fd, uint64_t offset)
{
    long page_bytes = sysconf(_SC_PAGESIZE);
    assert(page_bytes > 0);
    (void)posix_fadvise(fd, num_off(align_down(offset, (uint64_t)page_bytes)), 0,
                        POSIX_FADV_DONTNEED);
}

/* The beginning, the middle and the end of the range. */
static bool mincore_finds_some(const struct residency *residency, int fd, uint64_t offset,
                               uint64_t length)
{
    uint8_t resident[PEEK_PAGES];
    uint64_t part = PEEK_PAGES * residency->page_bytes;
    bool found = false;
    const uint64_t places[] = {0, align_down(length / 2, residency->page_bytes),
                               align_down(length - part, residency->page_bytes)};
    for (size_t i = 0; i < COUNT_OF(places) && !found; i++) {
        found = mincore_ask(residency, fd, offset + places[i], (size_t)part, resident) != 0;
        for (size_t j = 0; j < PEEK_PAGES; j++)
            found |= resident[j] & 1;
    }
    return found;
}

int residency_measure_likely_none(const struct residency *residency, int fd, uint64_t offset,
                                  uint64_t length, uint64_t *bytes)
{
    bool dear = residency->method == RESIDENCY_MINCORE && offset % residency->page_bytes == 0 &&
                length % residency->page_bytes == 0 &&
                length >= 8 * PEEK_PAGES * residency->page_bytes && length <= 16 * MIB;
    if (!dear || mincore_finds_some(residency, fd, offset, length))
        return residency_measure(residency, fd, offset, length, bytes);
    *bytes = 0;
    return 0;
}
