/* kernel_memory.h - what the names and inodes that a copy touches cost the kernel, and, where a
 * memory cgroup is ours alone, how they are given back.
 *
 * About 1.3 KiB for each name and side. It is charged to our cgroup and can be reclaimed, but no
 * call drops one's own: the kernel does that when the cgroup's limit is hit. Shared cgroups are
 * never emptied: their pages are others'. But shortly before the limit, while names of ours are
 * what fills it, a little room is made, as the kernel would, from where it can.
 *
 * Any thread may call what is here. */
#ifndef HAUL_KERNEL_MEMORY_H
#define HAUL_KERNEL_MEMORY_H

#include "haul/base/error.h"
#include "haul/disk/cgroup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the figures are of; whoever shares it is in them. */
enum kernel_memory_of {
    KERNEL_MEMORY_UNKNOWN,
    KERNEL_MEMORY_SLAB,    /* v2: reclaimable slab of our cgroup */
    KERNEL_MEMORY_CGROUP,  /* v1: all kernel memory of our cgroup, stacks included */
    KERNEL_MEMORY_MACHINE, /* reclaimable slab of the machine */
};

/* What has come on top since kernel_memory_open(), at the most and now; LowFree before, and at its
 * least. NUM_UNKNOWN: not known; LowFree exists on 32-bit only. */
struct kernel_memory_told {
    enum kernel_memory_of of;
    uint64_t most_bytes, left_bytes;
    uint64_t low_before_bytes, low_least_bytes;
    uint32_t emptied_count; /* --own-cgroup: so many times */
    uint32_t rooms_count;   /* without: so many times room was made before the limit */
};

struct kernel_memory {
    struct cgroup cgroup;
    enum kernel_memory_of of;
    uint64_t before_bytes, low_before_bytes;
    _Atomic uint64_t most_bytes, now_bytes, low_least_bytes; /* whole figures */
    _Atomic uint64_t measured_ns;
    _Atomic uint32_t looks, usage_due; /* so far; from so many on its usage is read again */
    /* --own-cgroup */
    pthread_mutex_t lock;
    uint64_t limit_bytes;       /* of our cgroup; NUM_UNKNOWN: none */
    uint64_t base_bytes;        /* charged when it was emptied last */
    _Atomic uint64_t due_bytes; /* it is emptied from so many on; NUM_UNKNOWN: it is not ours */
    _Atomic uint32_t emptied_count;
    /* Without. */
    _Atomic uint64_t full_bytes; /* charged: room is made from so many on; NUM_UNKNOWN: it is not */
    uint32_t room_looks;         /* not before so many */
    _Atomic uint32_t rooms_count;
};

/* Find our cgroup (cgroup.h says below which root) and measure what there is before the copy. */
void kernel_memory_open(struct kernel_memory *memory, const char *root);

/* From now on the cgroup is emptied whenever half of its room (at most 64 MiB) has been filled.
 * -errno with words, and nothing is changed: there is none, others are in it or below it, or it
 * cannot be emptied by us. */
int kernel_memory_own(struct kernel_memory *memory, struct error *err);

/* A name is about to be touched: measure, empty the cgroup or make room when it is time. Costs next
 * to nothing otherwise. While one thread empties the cgroup the others wait. NULL is legal. */
void kernel_memory_look(struct kernel_memory *memory);

/* As it was a tenth of a second ago at most. NULL: unknown. */
struct kernel_memory_told kernel_memory_tell(struct kernel_memory *memory);

/* "slab of the cgroup" ..., for JSON and words; NULL: unknown. */
const char *kernel_memory_name(enum kernel_memory_of of);

/* Nobody looks any more. */
void kernel_memory_close(struct kernel_memory *memory);

#endif
