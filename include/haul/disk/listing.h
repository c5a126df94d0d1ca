/* listing.h - the names in an open folder, one after another, from any point on. Calls block on the
 * filesystem. */
#ifndef HAUL_LISTING_H
#define HAUL_LISTING_H

#include "haul/disk/file.h"

#include <stdint.h>

enum { LISTING_BYTES = 32 * 1024, LISTING_BYTES_MIN = 2 * 1024 };

/* `buffer` is the owner's, 8-aligned, at least LISTING_BYTES_MIN. */
struct listing {
    uint8_t *buffer;
    uint32_t capacity;
    uint32_t length, at; /* what the kernel has told, and how far it was taken */
};

/* One name, as long as the listing is not asked again. */
struct listing_name {
    const char *name;
    uint64_t inode;      /* of what is below, where something is mounted */
    uint64_t cookie;     /* where the next name is, for listing_seek() */
    enum file_kind kind; /* FILE_NONE: it has to be looked at */
};

/* What it had is forgotten: another folder follows, or another point in this one. */
static inline void listing_reset(struct listing *listing)
{
    listing->length = listing->at = 0;
}

/* Go on in the folder where a name's cookie says; 0: at its beginning. 0 or -errno. */
int listing_seek(struct listing *listing, int fd, uint64_t cookie);

/* The next name, but for "." and "..": 1; 0: that was the last; -errno. */
int listing_next(struct listing *listing, int fd, struct listing_name *out);

#endif
