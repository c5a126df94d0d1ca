/* filesystem.c - kinds of file systems, by the numbers of statfs(2). */
#include "haul/disk/filesystem.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct {
    uint64_t type;
    const char *name;
} filesystem_names[] = {
    {EXT4_SUPER_MAGIC, "ext4"},   {FILESYSTEM_XFS, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"}, {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
    {TMPFS_MAGIC, "tmpfs"},       {RAMFS_MAGIC, "ramfs"},
    {FUSE_SUPER_MAGIC, "FUSE"},   {NFS_SUPER_MAGIC, "NFS"},
    {F2FS_SUPER_MAGIC, "f2fs"},   {0x2fc12fc1, "ZFS"},
    {0x61756673, "AUFS"},         {MSDOS_SUPER_MAGIC, "FAT"},
    {0x62646576, "block device"},
};

/* The field has a sign, and as many bits as a long. */
uint64_t filesystem_type(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 ? (uint64_t)fs.f_type & UINT32_MAX : 0;
}

const char *filesystem_name(uint64_t type, char *out, uint32_t capacity)
{
    for (size_t i = 0; i < COUNT_OF(filesystem_names); i++) {
        if (filesystem_names[i].type == type) {
            snprintf(out, capacity, "%s", filesystem_names[i].name);
            return out;
        }
    }
    snprintf(out, capacity, "filesystem 0x%llx", (unsigned long long)type);
    return out;
}

bool filesystem_is_memory(uint64_t type)
{
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

bool filesystem_overreads(uint64_t type)
{
    return type == SQUASHFS_MAGIC || type == EROFS_SUPER_MAGIC_V1;
}

bool filesystem_tells(uint64_t type)
{
    return type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == FILESYSTEM_XFS;
}

/* It says which thread commits the journal; "<none>" where there is none. */
static bool ext4_has_journal(uint64_t device)
{
    char path[PATH_MAX], disk[PATH_MAX], thread = '<';
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major((dev_t)device),
             minor((dev_t)device));
    ssize_t length = readlink(path, disk, sizeof(disk) - 1);
    if (length <= 0)
        return false;
    disk[length] = '\0';
    const char *slash = strrchr(disk, '/');
    snprintf(path, sizeof(path), "/sys/fs/ext4/%.255s/journal_task", slash ? slash + 1 : disk);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, &thread, 1) == 1 && thread >= '0' && thread <= '9';
}

bool filesystem_orders(uint64_t type, uint64_t device)
{
    return filesystem_tells(type) && (type != EXT4_SUPER_MAGIC || ext4_has_journal(device));
}

static bool kernel_is_since(uint64_t major, uint64_t minor)
{
    struct utsname name;
    const char *at = name.release;
    if (uname(&name) != 0)
        return false;
    uint64_t number = num_take(&at, 10);
    if (*at++ != '.')
        return false;
    return number > major || (number == major && num_take(&at, 10) >= minor);
}

bool filesystem_kernel_tells(void)
{
    return kernel_is_since(5, 8);
}

bool filesystem_kernel_drops(void)
{
    return kernel_is_since(6, 16);
}
