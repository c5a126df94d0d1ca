/* residency.h - how much of a file is in the page cache, asked of the kernel and never assumed.
 *
 * cachestat(2) (syscall 451, Linux 6.5) where it tells the truth; mincore(2) on overlayfs, where
 * cachestat always reads 0, and on older kernels. cachestat gives EPERM to somebody who neither
 * owns the file nor may write it, and mincore then claims that everything is resident: that is
 * "unknown", not an answer (field.md 3). None of these reads data or brings anything into the
 * cache. They do not sleep on I/O. */
#ifndef HAUL_RESIDENCY_H
#define HAUL_RESIDENCY_H

#include <stdbool.h>
#include <stdint.h>

enum residency_method { RESIDENCY_NONE, RESIDENCY_CACHESTAT, RESIDENCY_MINCORE, RESIDENCY_CGROUP };

struct residency {
    enum residency_method method;
    uint64_t page_bytes;
};

/* Choose the method for an open file. RESIDENCY_NONE is a valid outcome (the figures will be
 * unknown). */
void residency_init(struct residency *residency, int fd);

/* Force RESIDENCY_CGROUP or NONE from outside is done by setting the field; "cachestat", "mincore",
 * "cgroup", "none".
 */
const char *residency_name(enum residency_method method);

/* Resident bytes of fd in [offset, offset + length); length 0: to the end of the file.
 * 0 and *bytes, or -ENODATA when it can not be known. CGROUP gives the cache of our own memory
 * cgroup, whatever the range: only differences of it mean anything. */
int residency_measure(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                      uint64_t *bytes);

/* Which pages of [offset, offset + length) are resident: bit i of `map` (least significant bit
 * first) is page i of the range. offset is a multiple of the page size; map holds map_bits bits;
 * the range may not be longer. 0, or -ENODATA when it can not be known (map is then all zeros).
 * Uses mincore on a mapping of this range only (never of the whole file: 32-bit address space). */
int residency_map(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                  uint8_t *map, uint32_t map_bits);

#endif
