/* policy.c - the choice how to keep one file out of the page cache, with its evidence. The windows
 * are in policy_window.c. */
#include "haul/policy.h"

#include "haul/num.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory, offset and length are aligned to this or more everywhere but the tail. */
enum { POLICY_BLOCK_BYTES = 4096, POLICY_BLOCK_BYTES_MAX = 65536 };

static void policy_because(struct policy *policy, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void policy_because(struct policy *policy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(policy->why, sizeof(policy->why), format, args);
    va_end(args);
}

/* sync_file_range starts and waits for write-back on these. On overlayfs it returns 0 and does
 * nothing, FUSE has no way to pass it on; of others nothing is known, so they get
 * fdatasync. */
static bool policy_range_writeback(uint64_t filesystem)
{
    return filesystem == EXT4_SUPER_MAGIC || filesystem == BTRFS_SUPER_MAGIC ||
           filesystem == 0x58465342 /* xfs */ || filesystem == F2FS_SUPER_MAGIC;
}

static int policy_open_direct(struct file *file, int access)
{
    int fd = file_reopen(file, access | O_DIRECT);
    if (fd < 0)
        return fd;
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    file->fd_direct = fd;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* should it be buffered after all */
    return 0;
}

static uint32_t policy_block_bytes(const struct file *file)
{
    uint64_t wanted = max_u64(file->dio_offset_bytes, file->dio_memory_bytes);
    if (!file->dio_known || !is_power_of_two(wanted) || wanted > POLICY_BLOCK_BYTES_MAX)
        return POLICY_BLOCK_BYTES;
    return (uint32_t)max_u64(POLICY_BLOCK_BYTES, wanted);
}

static void policy_be_window(struct policy *policy, const struct file *file)
{
    policy->kind = POLICY_WINDOW;
    policy->block = 1;
    policy->around_block = 0;
    /* Read-ahead would bring in pages beyond the window; nobody would drop them. */
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
}

/* Windows that were asked for: direct I/O, where statx vouches for it, reads what others have
 * cached, and what the cache must not answer. */
static void policy_read_around(struct policy *policy, struct file *file)
{
    bool vouched = file->dio_known && file->dio_memory_bytes > 0 && file->readable;
    if (vouched && policy_open_direct(file, O_RDONLY) == 0)
        policy->around_block = policy_block_bytes(file);
}

/* One real aligned read: the only way to know where statx does not tell. 0 or -errno. */
static int policy_probe_read(const struct file *file)
{
    void *buffer;
    if (!file->readable)
        return 0;
    if (posix_memalign(&buffer, POLICY_BLOCK_BYTES, POLICY_BLOCK_BYTES) != 0)
        return -ENOMEM;
    ssize_t got = pread(file->fd_direct, buffer, POLICY_BLOCK_BYTES, 0);
    int result = got < 0 ? -errno : 0;
    free(buffer);
    return result;
}

/* What is known before the first transfer (policy.h). 0: direct it is; else why is set. */
static int policy_try_direct(struct policy *policy, struct file *file)
{
    char name[32];
    file_filesystem_name(file->filesystem, name, sizeof(name));
    if (file->facts.kind == FILE_DEVICE)
        snprintf(name, sizeof(name), "block device");
    if (file->dio_known && file->dio_memory_bytes == 0) {
        policy_because(policy, "%s would silently buffer direct I/O (statx)", name);
        return -EOPNOTSUPP;
    }
    int access = file->writable ? (file->readable ? O_RDWR : O_WRONLY) : O_RDONLY;
    int result = policy_open_direct(file, access);
    if (result == 0 && !file->dio_known)
        result = policy_probe_read(file);
    if (result == 0) {
        policy->kind = POLICY_DIRECT;
        policy->block = policy_block_bytes(file);
        policy_because(policy, "O_DIRECT on %s, %s", name,
                       file->dio_known ? "alignment from statx" : "tried, and measured as it goes");
        return 0;
    }
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    file->fd_direct = -1;
    policy_because(policy, "O_DIRECT refused by %s: %s", name, strerror(-result));
    return result;
}

void policy_choose(struct policy *policy, struct file *file, enum policy_kind wish,
                   uint32_t window_bytes)
{
    *policy = (struct policy){
        .block = 1,
        .window_bytes = window_bytes,
        .size_bytes = file->facts.size_bytes,
        .windows_limit = 3,
        .range_writeback = policy_range_writeback(file->filesystem),
        .chain_number = NUM_UNKNOWN,
    };
    assert(is_power_of_two(window_bytes) && window_bytes <= POLICY_WINDOW_BYTES_MAX);
    if (wish == POLICY_PLAIN) {
        policy->kind = POLICY_PLAIN;
        policy_because(policy, "as asked for");
    } else if (file->facts.kind == FILE_REGULAR && file_is_memory_filesystem(file->filesystem)) {
        policy->kind = POLICY_PLAIN;
        policy_because(policy, "the filesystem is itself page cache");
    } else if (wish == POLICY_WINDOW) {
        policy_be_window(policy, file);
        policy_read_around(policy, file);
        policy_because(policy, "as asked for");
    } else if (policy_try_direct(policy, file) != 0) {
        policy_be_window(policy, file);
    }
}

void policy_switch(struct policy *policy, struct file *file, const char *why)
{
    policy_be_window(policy, file);
    policy_because(policy, "%s", why);
}

int policy_fd(const struct policy *policy, const struct file *file)
{
    return policy->kind == POLICY_DIRECT ? file->fd_direct : file->fd;
}

uint64_t policy_tail_offset(const struct policy *policy, uint64_t size_bytes)
{
    return policy->kind == POLICY_DIRECT ? align_down(size_bytes, policy->block) : size_bytes;
}

const char *policy_name(enum policy_kind kind)
{
    static const char *const names[] = {
        [POLICY_AUTO] = "auto",
        [POLICY_DIRECT] = "direct",
        [POLICY_WINDOW] = "window",
        [POLICY_PLAIN] = "plain",
    };
    return names[kind];
}
