/* insertions.h - the account of what a process has brought into the page cache, file by file, from
 * the kernel's events (tracing.h).
 *
 * Pages that are in by us are remembered one by one, so that the eviction of a page that was there
 * before is not taken for that of ours. Memory grows with the files that were brought in, and with
 * what of them is in: this is no part of a copy but watches one from a process of its own. */
#ifndef HAUL_INSERTIONS_H
#define HAUL_INSERTIONS_H

#include "haul/disk/tracing.h"

#include <stdbool.h>
#include <stdint.h>

#define INSERTIONS_ANY_DEVICE UINT64_MAX

/* Of one file, or of all. Pages. */
struct insertions_figures {
    uint64_t entered;   /* by us, each time that it entered */
    uint64_t now;       /* of these in the cache */
    uint64_t most;      /* at once */
    uint64_t by_others; /* entered by other programs */
};

/* A table by hash, chained; its own business. */
struct insertions_entry;
struct insertions_table {
    struct insertions_entry **buckets;
    uint32_t count, room;
};

struct insertions {
    struct insertions_table files, pieces;
    struct insertions_figures
        all;           /* by us: other programs are counted only of files that we name */
    bool memory_short; /* some of it is not counted */
};

/* Nothing has entered yet. */
void insertions_open(struct insertions *insertions);

/* Take an event into account. */
void insertions_add(struct insertions *insertions, const struct tracing_event *event, bool ours);

/* What has entered of a file; zeros: nothing. device: as in the events, or ANY. */
struct insertions_figures insertions_of(const struct insertions *insertions, uint64_t device,
                                        uint64_t inode);

/* Back to nothing. */
void insertions_close(struct insertions *insertions);

/* A file's device and inode as the events name them. On overlayfs the pages are the lower file's,
 * which has the same number on a device that is not told: ANY. -EINVAL: no events are told of it
 * (devices, tmpfs); -errno: nobody knows. */
int insertions_name(const char *path, uint64_t *device, uint64_t *inode);

#endif
