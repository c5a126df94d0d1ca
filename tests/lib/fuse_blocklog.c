/*
 * fuse_blocklog: a disk with a volatile write cache that remembers everything it was told.
 *
 *   fuse_blocklog MOUNTPOINT BACKING LOG SIZE_BYTES [JITTER_US]
 *
 * Mounts a FUSE file system of two files. `disk` has SIZE_BYTES; put a loop device with direct I/O
 * on it. `mark` takes a name, which lands in the log between the writes around it. Every write and
 * every flush is appended to LOG, and replay(1) rebuilds from it what a power cut would have left.
 *
 * Order is what the log is about: a flush promises the writes that were *answered* before it came,
 * no others. So a flush is logged when it arrives and a write when it is answered; requests are
 * served by several threads, and JITTER_US delays each write by up to that much, so that a program
 * that flushes before its writes have completed is seen. It knows nothing of file systems or haul.
 */
#define FUSE_USE_VERSION 31
#include "blocklog.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct disk {
    pthread_mutex_t lock; /* One at a time: the order of the log is the order of the disk. */
    int backing_fd;
    int log_fd;
    uint64_t size_bytes;
    uint32_t jitter_us_max;
    uint64_t random_state;
};

static struct disk *disk_here(void)
{
    return fuse_get_context()->private_data;
}

static bool is_disk(const char *path)
{
    return strcmp(path, "/disk") == 0;
}

static bool is_mark(const char *path)
{
    return strcmp(path, "/mark") == 0;
}

/* Appends one record under the lock. A short write of the log would silently change history. */
static int log_append(struct disk *disk, enum blocklog_kind kind, uint64_t offset_bytes,
                      const char *data, size_t length_bytes)
{
    struct blocklog_record record = {.magic = BLOCKLOG_RECORD_MAGIC,
                                     .kind = kind,
                                     .offset_bytes = offset_bytes,
                                     .length_bytes = length_bytes};
    struct iovec parts[2] = {
        {.iov_base = &record, .iov_len = sizeof(record)},
        {.iov_base = (char *)(uintptr_t)data, .iov_len = data == NULL ? 0 : length_bytes}};
    size_t total_bytes = parts[0].iov_len + parts[1].iov_len;

    ssize_t done = writev(disk->log_fd, parts, 2);
    if (done < 0)
        return -errno;
    return (size_t)done == total_bytes ? 0 : -EIO;
}

static bool all_zero(const char *data, size_t length_bytes)
{
    return length_bytes > 0 && data[0] == 0 && memcmp(data, data + 1, length_bytes - 1) == 0;
}

/* Keeps this request back for a while, outside the lock, so that others overtake it. */
static void jitter(struct disk *disk)
{
    if (disk->jitter_us_max == 0)
        return;
    uint64_t step =
        __atomic_add_fetch(&disk->random_state, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);
    step = (step ^ (step >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    step ^= step >> 27;
    usleep((useconds_t)(step % disk->jitter_us_max));
}

static int disk_write(struct disk *disk, const char *data, size_t length_bytes, uint64_t offset)
{
    if (offset > disk->size_bytes || length_bytes > disk->size_bytes - offset)
        return -ENOSPC;
    if (length_bytes > BLOCKLOG_WRITE_BYTES_MAX)
        return -EINVAL;
    jitter(disk);
    bool zeros = all_zero(data, length_bytes);

    pthread_mutex_lock(&disk->lock);
    ssize_t done = pwrite(disk->backing_fd, data, length_bytes, (off_t)offset);
    int result = done == (ssize_t)length_bytes ? 0 : -EIO;
    if (result == 0)
        result = log_append(disk, zeros ? BLOCKLOG_ZERO : BLOCKLOG_WRITE, offset,
                            zeros ? NULL : data, length_bytes);
    pthread_mutex_unlock(&disk->lock);
    return result == 0 ? (int)length_bytes : result;
}

static int mark_write(struct disk *disk, const char *data, size_t length_bytes)
{
    if (length_bytes == 0 || length_bytes > BLOCKLOG_MARK_BYTES_MAX)
        return -EINVAL;
    pthread_mutex_lock(&disk->lock);
    int result = log_append(disk, BLOCKLOG_MARK, 0, data, length_bytes);
    pthread_mutex_unlock(&disk->lock);
    return result == 0 ? (int)length_bytes : result;
}

static int blocklog_write(const char *path, const char *data, size_t length_bytes, off_t offset,
                          struct fuse_file_info *info)
{
    (void)info;
    if (is_mark(path))
        return mark_write(disk_here(), data, length_bytes);
    return is_disk(path) ? disk_write(disk_here(), data, length_bytes, (uint64_t)offset) : -EACCES;
}

static int blocklog_read(const char *path, char *data, size_t length_bytes, off_t offset,
                         struct fuse_file_info *info)
{
    (void)info;
    if (!is_disk(path))
        return 0;
    ssize_t done = pread(disk_here()->backing_fd, data, length_bytes, offset);
    return done < 0 ? -errno : (int)done;
}

static int blocklog_fsync(const char *path, int datasync, struct fuse_file_info *info)
{
    (void)datasync;
    (void)info;
    struct disk *disk = disk_here();
    if (!is_disk(path))
        return 0;
    pthread_mutex_lock(&disk->lock);
    int result = log_append(disk, BLOCKLOG_FLUSH, 0, NULL, 0);
    pthread_mutex_unlock(&disk->lock);
    return result;
}

static int blocklog_getattr(const char *path, struct stat *stat, struct fuse_file_info *info)
{
    (void)info;
    *stat = (struct stat){.st_nlink = 1, .st_uid = getuid(), .st_gid = getgid()};
    if (strcmp(path, "/") == 0) {
        stat->st_mode = S_IFDIR | 0700;
        stat->st_nlink = 2;
    } else if (is_disk(path)) {
        stat->st_mode = S_IFREG | 0600;
        stat->st_size = (off_t)disk_here()->size_bytes;
        stat->st_blocks = stat->st_size / 512;
    } else if (is_mark(path)) {
        stat->st_mode = S_IFREG | 0200;
    } else {
        return -ENOENT;
    }
    return 0;
}

static int blocklog_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                            struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)offset;
    (void)info;
    (void)flags;
    if (strcmp(path, "/") != 0)
        return -ENOTDIR;
    const char *names[] = {".", "..", "disk", "mark"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fill(buffer, names[i], NULL, 0, 0);
    return 0;
}

/* direct_io: no page of the disk may stay in the kernel, or writes would reach us late and merged.
 */
static int blocklog_open(const char *path, struct fuse_file_info *info)
{
    if (!is_disk(path) && !is_mark(path))
        return -ENOENT;
    info->direct_io = 1;
    return 0;
}

/* A shell opens `mark` with O_TRUNC; the disk keeps its size. */
static int blocklog_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    (void)size;
    (void)info;
    return is_mark(path) ? 0 : -EPERM;
}

/* The loop device turns discards and zeroing into fallocate; refused, they come as plain writes. */
static int blocklog_fallocate(const char *path, int mode, off_t offset, off_t length,
                              struct fuse_file_info *info)
{
    (void)path;
    (void)mode;
    (void)offset;
    (void)length;
    (void)info;
    return -EOPNOTSUPP;
}

static const struct fuse_operations operations = {
    .getattr = blocklog_getattr,
    .readdir = blocklog_readdir,
    .open = blocklog_open,
    .truncate = blocklog_truncate,
    .read = blocklog_read,
    .write = blocklog_write,
    .fsync = blocklog_fsync,
    .fallocate = blocklog_fallocate,
};

/* Opens the backing file and the log, and writes the log's header. 0, or 1 after a message. */
static int disk_open(struct disk *disk, const char *backing, const char *log)
{
    disk->backing_fd = open(backing, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (disk->backing_fd < 0 || ftruncate(disk->backing_fd, (off_t)disk->size_bytes) != 0) {
        perror(backing);
        return 1;
    }
    struct blocklog_header header = {.magic = BLOCKLOG_MAGIC, .disk_bytes = disk->size_bytes};
    disk->log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (disk->log_fd < 0 || write(disk->log_fd, &header, sizeof(header)) != sizeof(header)) {
        perror(log);
        return 1;
    }
    return 0;
}

int main(int count, char **arguments)
{
    if (count < 5 || count > 6) {
        fputs("usage: fuse_blocklog MOUNTPOINT BACKING LOG SIZE_BYTES [JITTER_US]\n", stderr);
        return 2;
    }
    struct disk disk = {.lock = PTHREAD_MUTEX_INITIALIZER,
                        .size_bytes = strtoull(arguments[4], NULL, 10),
                        .jitter_us_max = count > 5 ? (uint32_t)strtoul(arguments[5], NULL, 10) : 0};
    if (disk.size_bytes == 0 || disk.size_bytes % 4096 != 0 || disk.jitter_us_max > 1000000) {
        fputs("fuse_blocklog: SIZE_BYTES must be blocks of 4096, JITTER_US at most 1000000\n",
              stderr);
        return 2;
    }
    if (disk_open(&disk, arguments[2], arguments[3]) != 0)
        return 1;
    char options[] = "-osubtype=blocklog,allow_root";
    char *fuse_arguments[] = {arguments[0], options, arguments[1], NULL};
    return fuse_main(3, fuse_arguments, &operations, &disk);
}
