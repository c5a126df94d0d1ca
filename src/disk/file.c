/* file.c - local files: opening, facts, preallocation, metadata, holes. It deliberately moves no
 * data and does not know why a file is opened. */
#include "haul/file.h"

#include "haul/cleanup.h"
#include "haul/num.h"
#include "haul/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* statx(2) as the kernel lays it out. glibc 2.36 and older headers lack the direct-I/O fields
 * (Linux 6.1), so they are read at their fixed offsets: include/uapi/linux/stat.h,
 * stx_dio_mem_align at 0x98. */
enum { STATX_BYTES = 256, STATX_DIO_MEMORY_AT = 0x98, STATX_DIO_OFFSET_AT = 0x9c };
enum { STATX_WANT_DIOALIGN = 0x2000 };

void file_init(struct file *file)
{
    *file = (struct file){.fd = -1, .fd_direct = -1, .fd_folder = -1};
}

static enum file_kind file_kind_of(mode_t mode)
{
    if (S_ISREG(mode))
        return FILE_REGULAR;
    if (S_ISDIR(mode))
        return FILE_FOLDER;
    return S_ISBLK(mode) ? FILE_DEVICE : FILE_OTHER;
}

static void file_facts_from_stat(struct facts *facts, const struct stat *st)
{
    *facts = (struct facts){
        .kind = file_kind_of(st->st_mode),
        .size_bytes = st->st_size > 0 ? (uint64_t)st->st_size : 0,
        .allocated_bytes = (uint64_t)st->st_blocks * 512,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_seconds = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .ctime_seconds = st->st_ctim.tv_sec,
        .ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
        .device = st->st_dev,
        .inode = st->st_ino,
    };
}

int file_describe(const char *path, struct facts *facts, struct error *err)
{
    struct stat st;
    *facts = (struct facts){.kind = FILE_NONE};
    if (stat(path, &st) == 0) {
        file_facts_from_stat(facts, &st);
        return 0;
    }
    return errno == ENOENT ? 0 : error_set(err, errno, "%s: can not be looked at", path);
}

int file_facts(const struct file *file, struct facts *facts, struct error *err)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return error_set(err, errno, "%s: can not be looked at", file->path);
    file_facts_from_stat(facts, &st);
    if (facts->kind == FILE_DEVICE) {
        uint64_t capacity_bytes = 0;
        if (ioctl(file->fd, BLKGETSIZE64, &capacity_bytes) != 0)
            return error_set(err, errno, "%s: size of the device", file->path);
        facts->size_bytes = capacity_bytes;
        facts->allocated_bytes = capacity_bytes;
    }
    return 0;
}

/* What statx says of direct I/O. ENOSYS (before 4.11) and kernels that do not answer leave
 * dio_known false. */
static void file_read_dio_alignment(struct file *file)
{
    _Alignas(8) uint8_t raw[STATX_BYTES] = {0};
    uint32_t mask;
    if (syscall(SYS_statx, file->fd, "", AT_EMPTY_PATH, STATX_WANT_DIOALIGN, raw) != 0)
        return;
    memcpy(&mask, raw, sizeof(mask));
    file->dio_known = (mask & STATX_WANT_DIOALIGN) != 0;
    if (file->dio_known) {
        memcpy(&file->dio_memory_bytes, raw + STATX_DIO_MEMORY_AT, sizeof(uint32_t));
        memcpy(&file->dio_offset_bytes, raw + STATX_DIO_OFFSET_AT, sizeof(uint32_t));
    }
}

/* Everything that is known of an open descriptor. */
static int file_learn(struct file *file, struct error *err)
{
    struct statfs fs;
    int result = file_facts(file, &file->facts, err);
    if (result < 0)
        return result;
    if (fstatfs(file->fd, &fs) == 0)
        file->filesystem = (uint64_t)fs.f_type & UINT32_MAX;
    file_read_dio_alignment(file);
    return 0;
}

static int file_keep_path(struct file *file, const char *path, struct error *err)
{
    file->path = strdup(path);
    if (!file->path)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    const char *slash = strrchr(file->path, '/');
    file->name = slash ? slash + 1 : file->path;
    return 0;
}

static int file_refuse_kind(const struct file *file, struct error *err)
{
    if (file->facts.kind == FILE_FOLDER)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", file->path);
    return error_set_class(err, ERROR_FILE, EINVAL,
                           "%s: is neither a regular file nor a block device", file->path);
}

int file_open_source(struct file *file, const char *path, struct error *err)
{
    file_init(file);
    int result = file_keep_path(file, path, err);
    if (result < 0)
        return result;
    /* O_NONBLOCK: opening a FIFO must not hang; it changes nothing for regular files. */
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0) {
        int errnum = errno;
        result =
            errnum == ENOENT
                ? error_set_class(err, ERROR_VANISHED, errnum, "%s: there is no such file", path)
                : error_set(err, errnum, "%s: can not be opened for reading", path);
        goto fail;
    }
    file->readable = true;
    result = file_learn(file, err);
    if (result < 0)
        goto fail;
    if (file->facts.kind != FILE_REGULAR && file->facts.kind != FILE_DEVICE) {
        result = file_refuse_kind(file, err);
        goto fail;
    }
    return 0;
fail:
    file_close(file);
    return result;
}

/* The folder that holds the target, for openat and for syncing the name. */
static int file_open_folder(struct file *file, struct error *err)
{
    AUTO_FREE char *folder = strdup(file->path);
    if (!folder)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", file->path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else if (slash == folder)
        slash[1] = '\0';
    else
        *slash = '\0';
    file->fd_folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->fd_folder >= 0)
        return 0;
    /* A folder that may be entered but not listed can not be opened for syncing; writing into it
     * still works. */
    if (errno == EACCES)
        file->fd_folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (file->fd_folder >= 0)
        return 0;
    return error_set(err, errno, "%s: its folder can not be opened", file->path);
}

static int file_create(struct file *file, const char *path, int flags, struct error *err)
{
    file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    file->created = file->readable = file->writable = file->fd >= 0;
    if (file->created)
        return 0;
    if (errno == ENOENT)
        return error_set(err, ENOENT, "%s: can not be created; does its folder exist?", path);
    return error_set(err, errno, "%s: can not be created", path);
}

static int file_open_writable(struct file *file, const char *path, struct error *err)
{
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    file->fd = open(path, O_RDWR | flags);
    if (file->fd < 0 && errno == ENOENT)
        return file_create(file, path, flags, err);
    file->readable = file->fd >= 0;
    if (file->fd < 0 && errno == EACCES) /* may be write-only: it can be written, not compared */
        file->fd = open(path, O_WRONLY | flags);
    if (file->fd < 0)
        return error_set(err, errno, "%s: can not be opened for writing", path);
    file->writable = true;
    return 0;
}

/* An advisory lock on the target itself: it works on every filesystem, needs no file of its own and
 * ends with the process, however it ends. A filesystem without locks (ENOLCK, EOPNOTSUPP) is used
 * without. */
static int file_lock(struct file *file, struct error *err)
{
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK || errno == EOPNOTSUPP ||
        errno == ENOSYS)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: another transfer to it is running; wait for it or stop it",
                               file->path);
    return error_set(err, errno, "%s: can not be locked", file->path);
}

int file_open_target(struct file *file, const char *path, const struct file_open_wish *wish,
                     struct error *err)
{
    file_init(file);
    int result = file_keep_path(file, path, err);
    if (result == 0)
        result = file_open_folder(file, err);
    if (result == 0)
        result = file_open_writable(file, path, err);
    if (result == 0)
        result = file_learn(file, err);
    if (result == 0 && !wish->join)
        result = file_lock(file, err);
    if (result < 0)
        goto fail;
    if (file->facts.kind == FILE_DEVICE && !wish->write_devices) {
        result = error_set_class(err, ERROR_USAGE, EINVAL,
                                 "%s: is a device; --write-devices allows writing to it", path);
        goto fail;
    }
    if (file->facts.kind != FILE_REGULAR && file->facts.kind != FILE_DEVICE) {
        result = file_refuse_kind(file, err);
        goto fail;
    }
    result = file->created ? file_sync_folder(file, err) : 0;
    if (result == 0)
        return 0;
fail:
    file_close(file);
    return result;
}

static int file_allocate(const struct file *file, uint64_t size_bytes)
{
    int result;
    do
        result = fallocate(file->fd, 0, 0, num_off(size_bytes));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

static int file_no_space(const struct file *file, uint64_t size_bytes, struct error *err)
{
    char need[TEXT_NUMBER_BYTES], left[TEXT_NUMBER_BYTES];
    struct statfs fs;
    uint64_t free_bytes = NUM_UNKNOWN;
    if (fstatfs(file->fd, &fs) == 0)
        free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    return error_set(err, ENOSPC, "%s: needs %s, free there: %s; make room and run it again",
                     file->path, text_size(need, size_bytes), text_size(left, free_bytes));
}

static int file_set_size(const struct file *file, uint64_t size_bytes, struct error *err)
{
    int result;
    do
        result = ftruncate(file->fd, num_off(size_bytes));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0
                       : error_set(err, errno, "%s: can not be given its final size", file->path);
}

int file_preallocate(struct file *file, uint64_t size_bytes, bool sparse, struct error *err)
{
    if (file->facts.kind == FILE_DEVICE) {
        if (size_bytes <= file->facts.size_bytes)
            return 0;
        return error_set_class(err, ERROR_FILE, ENOSPC, "%s: the device is smaller than the source",
                               file->path);
    }
    if (size_bytes > NUM_OFFSET_MAX)
        return error_set(err, EFBIG, "%s", file->path);
    /* A write clears set-id bits anyway, under a lock and once more for each; do it once, before.
     */
    if (file->facts.mode & (S_ISUID | S_ISGID))
        (void)fchmod(file->fd, file->facts.mode & 0777);

    if (file->facts.size_bytes > size_bytes) {
        int result = file_set_size(file, size_bytes, err);
        if (result < 0)
            return result;
    }
    if (size_bytes > 0 && !sparse) {
        /* Direct writes that grow a file run one at a time (field.md 4): 306-332 MB/s preallocated,
         * 89 growing. */
        int result = file_allocate(file, size_bytes);
        if (result == 0)
            return 0;
        if (result == -ENOSPC) {
            (void)ftruncate(file->fd, num_off(min_u64(file->facts.size_bytes, size_bytes)));
            return file_no_space(file, size_bytes, err);
        }
        if (result != -EOPNOTSUPP && result != -ENOSYS && result != -EINVAL)
            return error_set(err, -result, "%s: can not be preallocated", file->path);
    }
    return file_set_size(file, size_bytes, err);
}

int file_reopen(const struct file *file, int flags)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    int fd = open(link, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    int errnum = errno;
    if (errnum != ENOENT && errnum != ENOTDIR) /* /proc is there: this is the filesystem's answer */
        return -errnum;

    struct stat st;
    fd = open(file->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0 || st.st_dev != file->facts.device || st.st_ino != file->facts.inode) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

int file_set_metadata(const struct file *file, const struct file_metadata *metadata,
                      struct error *err)
{
    const struct facts *facts = &metadata->facts;
    if (file->facts.kind != FILE_REGULAR)
        return 0;
    bool owned = file->facts.uid == facts->uid && file->facts.gid == facts->gid;
    if (metadata->owner && geteuid() == 0) {
        if (fchown(file->fd, facts->uid, facts->gid) != 0)
            return error_set(err, errno, "%s: owner can not be set", file->path);
        owned = true;
    }
    /* Set-id bits mean another owner's rights: as cp -p, never without the owner. */
    uint32_t mode = owned ? facts->mode : facts->mode & 01777;
    if (metadata->mode && fchmod(file->fd, mode) != 0)
        return error_set(err, errno, "%s: permissions can not be set", file->path);
    if (metadata->times) {
        struct timespec times[2] = {
            {.tv_sec = 0, .tv_nsec = UTIME_OMIT},
            {.tv_sec = (time_t)facts->mtime_seconds, .tv_nsec = (long)facts->mtime_ns},
        };
        if (futimens(file->fd, times) != 0)
            return error_set(err, errno, "%s: modification time can not be set", file->path);
    }
    return 0;
}

int file_sync(const struct file *file, struct error *err)
{
    return fsync(file->fd) == 0 ? 0 : error_set(err, errno, "%s: sync to the disk", file->path);
}

int file_sync_folder(const struct file *file, struct error *err)
{
    if (file->fd_folder < 0 || fsync(file->fd_folder) == 0)
        return 0;
    /* Filesystems whose folders can not be synced; a folder that may not be listed (O_PATH). */
    if (errno == EINVAL || errno == EROFS || errno == EBADF)
        return 0;
    return error_set(err, errno, "%s: sync of its folder", file->path);
}

int file_next_data(const struct file *file, uint64_t offset, uint64_t *start, uint64_t *end,
                   struct error *err)
{
    uint64_t size_bytes = file->facts.size_bytes;
    *start = *end = size_bytes;
    if (offset >= size_bytes)
        return 0;
    off_t data = lseek(file->fd, num_off(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) /* a hole up to the end */
        return 0;
    if (data < 0 && errno == EINVAL) { /* no SEEK_DATA before Linux 3.1 and on some filesystems */
        *start = offset;
        return 0;
    }
    if (data < 0)
        return error_set(err, errno, "%s: search for holes", file->path);
    off_t hole = lseek(file->fd, data, SEEK_HOLE);
    if (hole < 0)
        return error_set(err, errno, "%s: search for holes", file->path);
    *start = min_u64((uint64_t)data, size_bytes);
    *end = min_u64((uint64_t)hole, size_bytes);
    return 0;
}

int file_punch(const struct file *file, uint64_t offset, uint64_t length)
{
    int result;
    do
        result = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, num_off(offset),
                           num_off(length));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

static bool facts_same_mtime(const struct facts *a, const struct facts *b)
{
    /* Filesystems with whole seconds show 0 ns: compare what both have. */
    return a->mtime_seconds == b->mtime_seconds &&
           (a->mtime_ns == b->mtime_ns || a->mtime_ns == 0 || b->mtime_ns == 0);
}

bool facts_unchanged(const struct facts *a, const struct facts *b)
{
    return a->kind == b->kind && a->size_bytes == b->size_bytes && a->inode == b->inode &&
           a->mtime_seconds == b->mtime_seconds && a->mtime_ns == b->mtime_ns;
}

bool facts_up_to_date(const struct facts *source, const struct facts *target)
{
    return target->kind == FILE_REGULAR && source->size_bytes == target->size_bytes &&
           facts_same_mtime(source, target);
}

static const struct {
    uint64_t type;
    const char *name;
} filesystem_names[] = {
    {EXT4_SUPER_MAGIC, "ext4"},   {0x58465342, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"}, {OVERLAYFS_SUPER_MAGIC, "overlayfs"},
    {TMPFS_MAGIC, "tmpfs"},       {RAMFS_MAGIC, "ramfs"},
    {FUSE_SUPER_MAGIC, "FUSE"},   {NFS_SUPER_MAGIC, "NFS"},
    {F2FS_SUPER_MAGIC, "f2fs"},   {0x2fc12fc1, "ZFS"},
    {0x61756673, "AUFS"},         {MSDOS_SUPER_MAGIC, "FAT"},
    {0x62646576, "block device"},
};

const char *file_filesystem_name(uint64_t type, char *out, uint32_t capacity)
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

bool file_is_memory_filesystem(uint64_t type)
{
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

void file_close(struct file *file)
{
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    if (file->fd >= 0)
        close(file->fd);
    if (file->fd_folder >= 0)
        close(file->fd_folder);
    free(file->path);
    file_init(file);
}
