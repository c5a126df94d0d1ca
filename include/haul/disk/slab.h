/* slab.h - the memory of all slots: one mapping, allocated and touched at the start.
 *
 * Huge pages matter: on a virtio disk, 1 MiB in scattered 4 KiB pages exceeds the device's segments
 * and is split; the same copy took 4.4-4.9 s with huge pages and 6.1-11 s without.
 * Without them (sysfs `never`, 32-bit lowmem, tiny cgroups) it runs all the same. */
#ifndef HAUL_SLAB_H
#define HAUL_SLAB_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
    uint8_t *base;       /* aligned to 2 MiB */
    size_t length_bytes; /* slots_count * slot_bytes, rounded up to a page */
    uint32_t slot_bytes;
    uint32_t slots_count;
    bool huge; /* all whole 2 MiB parts are backed by huge pages (smaps said so after the touch) */
    void *mapping; /* what munmap gets */
    size_t mapping_bytes;
};

/* Map, advise MADV_HUGEPAGE only on the whole 2 MiB parts, touch every page. slot_bytes is a
 * multiple of 4096. Not inherited by fork (MADV_DONTFORK). Errors: -ENOMEM, with words; nothing is
 * left mapped. */
int slab_open(struct slab *slab, uint32_t slots_count, uint32_t slot_bytes, struct error *err);
void slab_close(struct slab *slab);

/* The buffer of one slot, aligned to 4096 at least. */
uint8_t *slab_buffer(const struct slab *slab, uint32_t index);

/* Small ones beside it, aligned alike, of which no page is touched before it is used; to be freed.
 * NULL: there is no memory. */
uint8_t *slab_pockets(uint32_t count, uint32_t pocket_bytes);

#endif
