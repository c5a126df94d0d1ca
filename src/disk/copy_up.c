/* copy_up.c - drops what a copy-up of overlayfs has left in the page cache. The lower file's pages
 * go by MADV_PAGEOUT (Linux 5.4) on the old mapping: reclaim of exactly these, if clean and ours.
 */
#include "haul/disk/copy_up.h"

#include "haul/base/num.h"
#include "haul/disk/evidence.h"
#include "haul/disk/filesystem.h"
#include "haul/disk/residency.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum {
    PIECE_BYTES = 2 * 1024 * 1024, /* asked about at a time */
    PIECE_PAGES_MAX = PIECE_BYTES / 4096,
    UNITS_MAX = 524288, /* so the memory is the same for any file, 64 KiB; a page up to 2 GiB */
    /* The first makes a page inactive that was read more than once, the second takes it. */
    PASSES_MAX = 4,
};

struct copy_up {
    struct timespec changed;
    bool born_known;
    uint8_t born[EVIDENCE_BIRTH_BYTES];
    uint64_t before_bytes;
    uint64_t size_bytes;
    size_t page_bytes;
    uint8_t *mapping; /* of the lower file; NULL: there is no address space for it */
    uint64_t unit_bytes;
    uint8_t others[UNITS_MAX / 8 + 1]; /* units with a page that was cached before */
};

/* Which pages of a piece are resident. Their number. */
static size_t copy_up_look(const struct copy_up *copy_up, uint64_t offset,
                           uint8_t pages[PIECE_PAGES_MAX])
{
    size_t length = (size_t)min_u64(PIECE_BYTES, copy_up->size_bytes - offset);
    size_t count = (size_t)div_ceil(length, copy_up->page_bytes);
    if (mincore(copy_up->mapping + offset, length, pages) != 0)
        memset(pages, 1, count);
    return count;
}

static void copy_up_note_others(struct copy_up *copy_up)
{
    uint8_t pages[PIECE_PAGES_MAX];
    for (uint64_t offset = 0; offset < copy_up->size_bytes; offset += PIECE_BYTES) {
        size_t count = copy_up_look(copy_up, offset, pages);
        for (size_t i = 0; i < count; i++) {
            uint64_t unit = (offset + i * copy_up->page_bytes) / copy_up->unit_bytes;
            if (!(pages[i] & 1))
                continue;
            copy_up->others[unit / 8] |= (uint8_t)(1u << unit % 8);
            copy_up->before_bytes += copy_up->page_bytes;
        }
    }
}

struct copy_up *copy_up_expect(int fd)
{
    struct stat st;
    if (filesystem_type(fd) != OVERLAYFS_SUPER_MAGIC || fstat(fd, &st) != 0 ||
        !S_ISREG(st.st_mode) || st.st_size <= 0)
        return NULL;
    struct copy_up *copy_up = calloc(1, sizeof(*copy_up));
    if (!copy_up)
        return NULL;
    copy_up->changed = st.st_ctim;
    copy_up->born_known = evidence_birth(fd, copy_up->born);
    copy_up->size_bytes = (uint64_t)st.st_size;
    copy_up->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    copy_up->unit_bytes = copy_up->page_bytes;
    while (div_ceil(copy_up->size_bytes, copy_up->unit_bytes) > UNITS_MAX)
        copy_up->unit_bytes *= 2;
    void *mapping = MAP_FAILED;
    if (copy_up->size_bytes <= SIZE_MAX / 4)
        mapping = mmap(NULL, (size_t)copy_up->size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    copy_up->mapping = mapping == MAP_FAILED ? NULL : mapping;
    if (copy_up->mapping)
        copy_up_note_others(copy_up);
    return copy_up;
}

/* Take [first, end) of the pages at `base`. Only mapped ones can be taken: touch those that are
 * there. Nothing is read for it; a lower layer may not be changed while it is mounted
 * (overlayfs.rst), so nothing vanishes either. */
static void copy_up_drop(const struct copy_up *copy_up, uint8_t *base, const uint8_t *pages,
                         size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        if (pages[i] & 1)
            (void)((const volatile uint8_t *)base)[i * copy_up->page_bytes];
    }
    (void)madvise(base + first * copy_up->page_bytes, (end - first) * copy_up->page_bytes,
                  MADV_PAGEOUT);
}

/* One pass over what is ours of a piece, in runs, dropping it or only looking. Bytes that were
 * there. */
static uint64_t copy_up_piece(const struct copy_up *copy_up, uint64_t offset, bool drop)
{
    uint8_t pages[PIECE_PAGES_MAX];
    size_t count = copy_up_look(copy_up, offset, pages), first = 0, resident = 0;
    for (size_t i = 0; i <= count; i++) {
        uint64_t unit = (offset + i * copy_up->page_bytes) / copy_up->unit_bytes;
        bool ours = i < count && !(copy_up->others[unit / 8] >> (unit % 8) & 1);
        resident += ours && (pages[i] & 1);
        if (ours)
            continue;
        if (drop && first < i)
            copy_up_drop(copy_up, copy_up->mapping + offset, pages, first, i);
        first = i + 1;
    }
    return resident * copy_up->page_bytes;
}

static uint64_t copy_up_pass(const struct copy_up *copy_up, bool drop)
{
    uint64_t sum_bytes = 0;
    for (uint64_t offset = 0; offset < copy_up->size_bytes; offset += PIECE_BYTES)
        sum_bytes += copy_up_piece(copy_up, offset, drop);
    return sum_bytes;
}

/* The upper file is new: all that is cached of it is ours. */
static uint64_t copy_up_drop_upper(int fd)
{
    struct residency residency;
    uint64_t bytes = 0;
    residency_init(&residency, fd);
    (void)residency_measure(&residency, fd, 0, 0, &bytes);
    (void)fdatasync(fd); /* with the mount option "volatile" it is dirty still */
    residency_drop(fd, 0);
    return bytes;
}

/* A copy-up makes a new inode: born now, and its status changed now. 0: it is the same; -ENODATA:
 * nobody can tell. */
static int copy_up_happened(const struct copy_up *copy_up, int fd, bool touched)
{
    struct stat st;
    uint8_t born[EVIDENCE_BIRTH_BYTES];
    bool born_known = evidence_birth(fd, born);
    if (born_known || copy_up->born_known)
        return born_known != copy_up->born_known || memcmp(born, copy_up->born, sizeof(born)) != 0;
    if (fstat(fd, &st) != 0 || (st.st_ctim.tv_sec == copy_up->changed.tv_sec &&
                                st.st_ctim.tv_nsec == copy_up->changed.tv_nsec))
        return 0;
    return touched ? -ENODATA : 1;
}

struct copy_up_left copy_up_finish(struct copy_up *copy_up, int fd, bool touched)
{
    struct copy_up_left left = {0};
    int happened = copy_up && fd >= 0 ? copy_up_happened(copy_up, fd, touched) : 0;
    if (happened > 0) {
        left.before_bytes = copy_up->before_bytes;
        left.peak_bytes = copy_up_drop_upper(fd);
        left.left_bytes = copy_up->mapping ? copy_up_pass(copy_up, true) : NUM_UNKNOWN;
        left.peak_bytes += copy_up->mapping ? left.left_bytes : copy_up->size_bytes;
        for (int i = 1; copy_up->mapping && left.left_bytes > 0 && i <= PASSES_MAX; i++)
            left.left_bytes = copy_up_pass(copy_up, i < PASSES_MAX);
    } else if (happened < 0) {
        left.left_bytes = NUM_UNKNOWN;
    }
    if (copy_up && copy_up->mapping)
        munmap(copy_up->mapping, (size_t)copy_up->size_bytes);
    free(copy_up);
    return left;
}
