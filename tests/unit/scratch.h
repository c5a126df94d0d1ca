/* scratch.h - files that tests make, look at and compare; and a block device of one. */
#ifndef HAUL_TESTS_SCRATCH_H
#define HAUL_TESTS_SCRATCH_H

#include "haul/base/cleanup.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

/* What write_file() sets. */
enum { MTIME = 1234567890, MTIME_NS = 123456789 };

/* Content that neither repeats nor shrinks, the same for the same seed. */
static inline void fill(void *data, uint64_t length, uint64_t seed)
{
    uint8_t *bytes = data;
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint64_t i = 0; i < length; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(state >> 56);
    }
}

/* The same in memory of its own. */
static inline uint8_t *filled(uint64_t length, uint64_t seed)
{
    uint8_t *data = malloc((size_t)length + 1);
    assert_non_null(data);
    fill(data, length, seed);
    return data;
}

static inline void write_all(int fd, const uint8_t *data, uint64_t length)
{
    for (uint64_t done = 0; done < length;) {
        ssize_t wrote = write(fd, data + done, (size_t)(length - done));
        assert_true(wrote > 0);
        done += (uint64_t)wrote;
    }
}

/* How many pages of the first `length` bytes are in the page cache. */
static inline uint32_t pages_count(int fd, uint64_t length)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t count = ((size_t)length + page - 1) / page;
    uint32_t resident = 0;
    void *mapping = mmap(NULL, count * page, PROT_READ, MAP_SHARED, fd, 0);
    AUTO_FREE unsigned char *map = malloc(count);
    assert_true(mapping != MAP_FAILED && map);
    assert_int_equal(mincore(mapping, count * page, map), 0);
    for (size_t i = 0; i < count; i++)
        resident += map[i] & 1;
    munmap(mapping, count * page);
    return resident;
}

/* What the system is just busy with is missed by a drop: again then, where pages can go at all.
 * Whoever needs them to be gone asks by himself. */
static inline void drop_pages(int fd, uint64_t length)
{
    enum { TMPFS = 0x01021994 };
    struct statfs system;
    assert_int_equal(fstatfs(fd, &system), 0);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        if (length == 0 || system.f_type == TMPFS || pages_count(fd, length) == 0)
            return;
        poll(NULL, 0, 1);
    }
}

/* On the disk, not in the cache, and old. */
static inline void write_file(const char *path, const uint8_t *data, uint64_t length, mode_t mode)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    write_all(fd, data, length);
    assert_int_equal(fchmod(fd, mode), 0);
    const struct timespec times[2] = {{MTIME, 0}, {MTIME, MTIME_NS}};
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(fsync(fd), 0);
    drop_pages(fd, length);
}

/* Just written, with the content of that seed. */
static inline void write_filled(const char *path, uint64_t length, uint64_t seed)
{
    AUTO_FREE uint8_t *data = filled(length, seed);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    write_all(fd, data, length);
}

static inline void assert_content(const char *path, const uint8_t *content, uint64_t length)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    AUTO_FREE uint8_t *found = malloc((size_t)length + 1);
    assert_non_null(found);
    assert_int_equal(read(fd, found, (size_t)length + 1), (ssize_t)length);
    assert_true(memcmp(found, content, (size_t)length) == 0); /* without a list of all bytes */
}

static inline void assert_filled(const char *path, uint64_t length, uint64_t seed)
{
    AUTO_FREE uint8_t *data = filled(length, seed);
    assert_content(path, data, length);
}

static inline struct stat stat_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st;
}

/* Symbolic links are followed. */
static inline bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

struct loop_device {
    int fd;
    char path[32];
};

/* A block device whose content is the file. Between this and loop_close() nothing may fail. */
static inline void loop_open(struct loop_device *loop, const char *file)
{
    AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    AUTO_CLOSE int backing = open(file, O_RDWR | O_CLOEXEC);
    assert_true(control >= 0 && backing >= 0);
    for (int attempt = 0; attempt < 20; attempt++) { /* others take them, too */
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", number);
        loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
        assert_true(loop->fd >= 0);
        if (ioctl(loop->fd, LOOP_SET_FD, backing) == 0)
            return;
        close(loop->fd);
    }
    fail_msg("no loop device");
}

static inline void loop_close(const struct loop_device *loop)
{
    ioctl(loop->fd, LOOP_CLR_FD, 0);
    close(loop->fd);
}

#endif
