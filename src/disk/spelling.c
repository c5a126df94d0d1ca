/* spelling.c - which name a folder lists what is found by another one. Where names are compared
 * byte by byte that is not asked; where nobody says how they are, a name that is not there in
 * capitals either is the only one of its kind. */
#include "haul/disk/spelling.h"

#include "haul/base/cleanup.h"
#include "haul/disk/filesystem.h"
#include "haul/disk/listing.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FS_CASEFOLD_FL
#define FS_CASEFOLD_FL 0x40000000 /* Linux 5.4 */
#endif

enum { ZFS_MAGIC = 0x2fc12fc1, HFS_PLUS_MAGIC = 0x482b, XFS_FOLDS_ASCII = 1 << 12 };

/* struct xfs_fsop_geom_v1 of the kernel, as far as its flags; no header of the C library has it. */
struct xfs_geometry {
    uint32_t sizes[8];
    uint64_t counts[4];
    uint8_t uuid[16];
    uint32_t stripe[2];
    int32_t version;
    uint32_t flags;
    uint32_t more[3];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

static bool is_casefold(int fd)
{
    unsigned long flags = 0; /* the kernel writes an int */
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL);
}

static bool xfs_folds(int fd)
{
    struct xfs_geometry geometry = {.flags = 0};
    return ioctl(fd, XFS_GEOMETRY, &geometry) == 0 && (geometry.flags & XFS_FOLDS_ASCII);
}

static int open_again(int fd_folder)
{
    return openat(fd_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool spelling_folds(int fd_folder)
{
    uint64_t type = filesystem_type(fd_folder);
    bool asks = type == EXT4_SUPER_MAGIC || type == F2FS_SUPER_MAGIC || type == TMPFS_MAGIC ||
                type == RAMFS_MAGIC || type == FILESYSTEM_XFS;
    if (!asks)
        return type != BTRFS_SUPER_MAGIC;
    AUTO_CLOSE int fd = open_again(fd_folder);
    if (fd < 0)
        return true;
    return type == FILESYSTEM_XFS ? xfs_folds(fd) : is_casefold(fd);
}

/* With capitals for small letters, and the other way round. false: it has none. */
static bool swap_case(const char *name, char out[SPELLING_BYTES])
{
    bool any = false;
    size_t length = strlen(name);
    if (length >= SPELLING_BYTES)
        return false;
    for (size_t i = 0; i <= length; i++) {
        unsigned char c = (unsigned char)name[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        out[i] = (char)(letter ? c ^ 0x20 : c);
        any |= letter;
    }
    return any;
}

static bool has_odd(const char *name)
{
    size_t length = strlen(name);
    bool odd = length > 0 && (name[length - 1] == '.' || name[length - 1] == ' '); /* FAT cuts it */
    for (size_t i = 0; i < length; i++)
        odd |= (unsigned char)name[i] >= 0x80;
    return odd;
}

/* Could another name find it, too? A folder that folds does so with all letters, or with those that
 * are composed. */
static bool may_have_another(int fd_folder, const char *name)
{
    char swapped[SPELLING_BYTES];
    struct stat other;
    uint64_t type = filesystem_type(fd_folder);
    bool composes = type == ZFS_MAGIC || type == HFS_PLUS_MAGIC;
    if (!swap_case(name, swapped) || (composes && has_odd(name)))
        return has_odd(name);
    return fstatat(fd_folder, swapped, &other, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* 1: it lists that name; 0: it does not, and perhaps `listed`; -errno. */
static int find_listed(int fd, const char *name, const struct stat *found,
                       char listed[SPELLING_BYTES])
{
    struct listing listing = {.capacity = LISTING_BYTES};
    struct listing_name entry;
    AUTO_FREE uint8_t *buffer = malloc(LISTING_BYTES);
    int result = buffer ? 1 : -ENOMEM;
    listing.buffer = buffer;
    listed[0] = '\0';
    while (result > 0 && (result = listing_next(&listing, fd, &entry)) > 0) {
        if (strcmp(entry.name, name) == 0)
            return 1;
        bool same = entry.inode == found->st_ino || strcasecmp(entry.name, name) == 0;
        if (same && strlen(entry.name) < SPELLING_BYTES)
            strcpy(listed, entry.name);
    }
    return result;
}

/* Is it what it was before that was asked? */
static bool is_there_still(int fd_folder, const char *name, const struct stat *before)
{
    return place_holds(fd_folder, name, AT_SYMLINK_NOFOLLOW, before->st_dev, before->st_ino) == 1;
}

int spelling_check(int fd_folder, const char *name, struct error *err)
{
    char listed[SPELLING_BYTES];
    struct stat found;
    if (!spelling_folds(fd_folder))
        return 0;
    /* Whatever else keeps it from being found, the caller meets it, too. */
    if (fstatat(fd_folder, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SPELLING_NOTHING : 0;
    if (!may_have_another(fd_folder, name))
        return is_there_still(fd_folder, name, &found) ? 0 : SPELLING_NOTHING;
    AUTO_CLOSE int fd = open_again(fd_folder);
    int result = fd < 0 ? -errno : find_listed(fd, name, &found, listed);
    if (result > 0)
        return 0;
    if (!is_there_still(fd_folder, name, &found))
        return SPELLING_NOTHING;
    if (result < 0)
        return error_set(err, -result,
                         "%s: whether it is called so in its folder, which cannot be listed, is "
                         "not known",
                         name);
    return error_set_class(err, ERROR_FILE, ENOTUNIQ, "%s", listed);
}
