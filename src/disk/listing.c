/* listing.c - names in a folder, by getdents64(2): unlike readdir(3) it allocates nothing, and what
 * was not taken can be read again from any name on. */
#include "haul/disk/listing.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct linux_dirent64 of the kernel, not in the headers of all C libraries. */
struct record {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

int listing_seek(struct listing *listing, int fd, uint64_t cookie)
{
    listing_reset(listing);
    /* A cookie is a signed number to the kernel, and may be any (ext4: a hash). */
    errno = 0;
    return lseek(fd, (off_t)cookie, SEEK_SET) == (off_t)-1 ? -errno : 0;
}

static enum file_kind listing_kind(uint8_t type)
{
    switch (type) {
    case DT_REG:
        return FILE_REGULAR;
    case DT_DIR:
        return FILE_FOLDER;
    case DT_LNK:
        return FILE_LINK;
    case DT_BLK:
        return FILE_DEVICE;
    case DT_CHR:
        return FILE_CHARACTER;
    case DT_FIFO:
        return FILE_FIFO;
    case DT_SOCK:
        return FILE_SOCKET;
    default:
        return FILE_NONE;
    }
}

static int listing_fill(struct listing *listing, int fd)
{
    long got;
    do
        got = syscall(SYS_getdents64, fd, listing->buffer, (size_t)listing->capacity);
    while (got < 0 && errno == EINTR);
    listing_reset(listing);
    if (got > 0)
        listing->length = num_u32((uint64_t)got);
    return got < 0 ? -errno : got > 0;
}

int listing_next(struct listing *listing, int fd, struct listing_name *out)
{
    for (;;) {
        int result = listing->at < listing->length ? 1 : listing_fill(listing, fd);
        if (result <= 0)
            return result;
        const struct record *record = (const void *)(listing->buffer + listing->at);
        listing->at += record->length;
        if (strcmp(record->name, ".") == 0 || strcmp(record->name, "..") == 0)
            continue;
        *out = (struct listing_name){
            .name = record->name,
            .inode = record->inode,
            .cookie = (uint64_t)record->offset,
            .kind = listing_kind(record->type),
        };
        return 1;
    }
}
