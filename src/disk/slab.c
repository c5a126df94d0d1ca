/* slab.c - one anonymous mapping for all slots, on huge pages where the kernel gives them.
 *
 * It knows nothing of budgets: the caller has decided how much. */
#include "haul/disk/slab.h"

#include "haul/base/num.h"
#include "haul/base/proc.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The size of a huge page on x86 and most others; where it is another, `huge` says no. */
#define HUGE_BYTES ((size_t)2 * 1024 * 1024)

enum { SLOT_ALIGNMENT = 4096 };

/* Maps `length` bytes at a 2 MiB boundary: maps more, then gives the sides back, so that they count
 * for neither RLIMIT_AS nor the 32-bit address space. false: errno is set. */
static bool map_aligned(struct slab *slab, size_t length)
{
    size_t wide = length + HUGE_BYTES;
    void *mapping = mmap(NULL, wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return false;
    uint8_t *start = mapping;
    size_t head = (size_t)(-(uintptr_t)start & (HUGE_BYTES - 1));
    size_t tail = wide - head - length;
    if (head > 0)
        munmap(start, head);
    if (tail > 0)
        munmap(start + head + length, tail);
    slab->base = start + head;
    slab->mapping = slab->base;
    slab->length_bytes = length;
    slab->mapping_bytes = length;
    return true;
}

/* Now or never: a cgroup's limit is met here, not in the middle of a copy. */
static void touch(struct slab *slab, size_t page_bytes)
{
    volatile uint8_t *byte = slab->base;
    for (size_t i = 0; i < slab->length_bytes; i += page_bytes)
        byte[i] = 0;
}

/* Bytes of [start, end) on huge pages. The range is a VMA of its own, or several: MADV_HUGEPAGE
 * and MADV_DONTFORK keep it from merging with others. 0 where /proc does not tell. */
static uint64_t huge_bytes_between(uintptr_t start, uintptr_t end)
{
    AUTO_PROC_LINES(lines, PROC_LINE_BYTES);
    if (proc_lines_open(&lines, "", "/proc/self/smaps") != 0)
        return 0;
    const char key[] = "AnonHugePages:", *line;
    uint64_t total = 0;
    bool inside = false;
    while ((line = proc_lines_next(&lines))) {
        const char *at = line;
        uint64_t from = num_take(&at, 16);
        if (*at++ == '-') {
            inside = from >= start && num_take(&at, 16) <= end && *at == ' ';
        } else if (inside && strncmp(line, key, sizeof(key) - 1) == 0) {
            for (at = line + sizeof(key) - 1; *at == ' '; at++)
                ;
            total += num_take(&at, 10) * KIB;
        }
    }
    return total;
}

int slab_open(struct slab *slab, uint32_t slots_count, uint32_t slot_bytes, struct error *err)
{
    assert(slots_count > 0 && slot_bytes > 0 && slot_bytes % SLOT_ALIGNMENT == 0);
    *slab = (struct slab){.slot_bytes = slot_bytes, .slots_count = slots_count};
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t wanted = align_up((uint64_t)slots_count * slot_bytes, page_bytes);
    bool fits = wanted <= SIZE_MAX - HUGE_BYTES;
    if (!fits)
        errno = ENOMEM;
    if (!fits || !map_aligned(slab, (size_t)wanted)) {
        int errnum = errno;
        *slab = (struct slab){0};
        return error_set_class(err, ERROR_MEMORY, errnum,
                               "no memory for %" PRIu32 " buffers of %" PRIu32 " KiB: %s",
                               slots_count, slot_bytes / 1024, strerror(errnum));
    }
    /* A child between fork and exec must not share pages that the kernel is writing into. */
    madvise(slab->base, slab->length_bytes, MADV_DONTFORK);
    size_t huge = (size_t)align_down(slab->length_bytes, HUGE_BYTES);
    if (huge > 0)
        madvise(slab->base, huge, MADV_HUGEPAGE); /* refused without THP: 4 KiB pages then */
    touch(slab, page_bytes);
    uintptr_t start = (uintptr_t)slab->base;
    slab->huge = huge > 0 && huge_bytes_between(start, start + huge) == huge;
    return 0;
}

uint8_t *slab_pockets(uint32_t count, uint32_t pocket_bytes)
{
    void *memory = NULL;
    size_t bytes = (size_t)max_u64(1, (uint64_t)count * pocket_bytes);
    return posix_memalign(&memory, SLOT_ALIGNMENT, bytes) == 0 ? memory : NULL;
}

void slab_close(struct slab *slab)
{
    if (!slab)
        return;
    if (slab->mapping)
        munmap(slab->mapping, slab->mapping_bytes);
    *slab = (struct slab){0};
}

uint8_t *slab_buffer(const struct slab *slab, uint32_t index)
{
    assert(index < slab->slots_count);
    return slab->base + (size_t)index * slab->slot_bytes;
}
