/* residency.h - how much of a file is in the page cache, asked of the kernel and never assumed.
 *
 * cachestat(2) (syscall 451, Linux 6.5) where it tells the truth; mincore(2) on overlayfs, where
 * cachestat always reads 0, and on older kernels. cachestat gives EPERM to somebody who neither
 * owns the file nor may write it, and mincore then claims that everything is resident: that is
 * "unknown", not an answer; what our cgroup holds would be everybody's pages. None of these reads
 * data or brings anything into the cache. They do not sleep on I/O. mincore costs 42 ns for each
 * page that is asked about: ask for ranges that were moved, never for a file. The file may be a
 * regular one or a block device (a device's cache lives only while somebody has it open). mincore
 * needs a descriptor that may be read: open the target O_RDWR, not O_WRONLY, where it matters. */
#ifndef HAUL_RESIDENCY_H
#define HAUL_RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum residency_method { RESIDENCY_NONE, RESIDENCY_CACHESTAT, RESIDENCY_MINCORE };

/* A stretch of one file that stays mapped, without any access right, so that mincore can be asked
 * about it again and again: mapping costs more than the question about a few pages. It holds the
 * open file description, and its locks, until it is released. */
struct residency_view {
    uint8_t *mapping; /* NULL: none yet */
    uint64_t offset;
};

struct residency {
    enum residency_method method;
    uint64_t page_bytes;
    struct residency_view *view; /* of whoever keeps the file open; NULL: each look maps anew */
};

/* Before the file is closed. */
void residency_release(struct residency_view *view);

/* Choose the method for an open file. RESIDENCY_NONE is a valid outcome (the figures will be
 * unknown). */
void residency_init(struct residency *residency, int fd);

/* "cachestat", "mincore", "none". Whoever wants another method than the chosen one sets
 * the field. */
const char *residency_name(enum residency_method method);

/* Resident bytes of fd in [offset, offset + length); length 0: to the end of the file.
 * Counted in whole pages, so it may exceed a length that is not a multiple of them.
 * 0 and *bytes, or -ENODATA when it cannot be known. */
int residency_measure(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                      uint64_t *bytes);

/* Which pages of [offset, offset + length) are resident: bit i of `map` (least significant bit
 * first) is page i of the range. offset is a multiple of the page size; map holds map_bits bits;
 * the range may not be longer. 0, or -ENODATA when it cannot be known (map is then all zeros).
 * Uses mincore on a mapping of this range only (never of the whole file: 32-bit address space). */
int residency_map(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                  uint8_t *map, uint32_t map_bits);

/* The same for a range that is most likely not cached: where asking is dear (mincore) a few pages
 * of it are looked at first, and all of it only if one of them is there. */
int residency_measure_likely_none(const struct residency *residency, int fd, uint64_t offset,
                                  uint64_t length, uint64_t *bytes);

/* The same of the first `length` bytes of a file that is looked at once or twice, on a file system
 * that is not stacked on another: without a residency_init() where cachestat(2) answers. */
int residency_once(int fd, uint64_t length, uint64_t *bytes);

/* For small files that are read or written beside the copy: is nothing of it cached? false also
 * where nobody can tell. */
bool residency_untouched(int fd);

/* Drop what is clean from `offset` on (of the whole last page, too): only of files, or parts of
 * them, that were untouched or written by us. */
void residency_drop(int fd, uint64_t offset);

#endif
