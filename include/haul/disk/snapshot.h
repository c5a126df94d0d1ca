/* snapshot.h - files whose size does not say how much can be read (/proc, /sys, some of FUSE): read
 * once, whole, into memory. */
#ifndef HAUL_SNAPSHOT_H
#define HAUL_SNAPSHOT_H

#include "haul/base/error.h"

#include <stdint.h>

enum { SNAPSHOT_BYTES_MAX = 1024 * 1024 };

/* Read fd from its beginning to its end into a nameless file in memory. Returns its descriptor, or
 * -errno with words; -EFBIG: more than SNAPSHOT_BYTES_MAX. *size_bytes: how much it was. */
int snapshot_take(int fd, const char *path, uint64_t *size_bytes, struct error *err);

#endif
