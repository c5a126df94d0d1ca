/* many_files.h - forty files of one local target, and the C library's syncs, counted and failing at
 * will: what the tests of shared syncs share. */
#ifndef HAUL_TESTS_MANY_FILES_H
#define HAUL_TESTS_MANY_FILES_H

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/filesystem.h"
#include "haul/side/side.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = 40, BYTES = 5000, CHUNK = 64 * 1024, SOURCE_SECONDS = 1000000000 };

/* ---- syncs ---- */

static uint32_t shared_count, own_count;
static int shared_fails; /* errno of the next */
static ino_t lost_inode; /* of the file whose data are lost */

int syncfs(int fd)
{
    __atomic_add_fetch(&shared_count, 1, __ATOMIC_SEQ_CST);
    errno = __atomic_exchange_n(&shared_fails, 0, __ATOMIC_SEQ_CST);
    return errno ? -1 : (int)syscall(SYS_syncfs, fd);
}

static bool is_lost(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && lost_inode != 0 && st.st_ino == lost_inode;
}

static bool own_fails(int fd)
{
    __atomic_add_fetch(&own_count, 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return is_lost(fd);
}

int fsync(int fd)
{
    return own_fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return own_fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

/* ---- forty files ---- */

struct bench {
    char folder[64];
    char paths[FILES][128];
    struct job jobs[FILES];
    struct slot slots[FILES];
    struct error errors[FILES];
    uint8_t *memory;
    struct side *target;
    bool shares; /* this file system tells what syncfs has lost */
    bool orders; /* ... and keeps times behind data */
};

static void bench_fill(struct bench *bench, uint32_t i)
{
    snprintf(bench->paths[i], sizeof(bench->paths[i]), "%s/%u", bench->folder, i);
    bench->jobs[i] = (struct job){
        .number = i,
        .source_path = "nowhere",
        .target_path = bench->paths[i],
        .chunk_bytes = CHUNK,
        .wish = {.preallocate = true, .journal = true, .session = 1},
        .facts[SIDE_SOURCE] = {.kind = FILE_REGULAR,
                               .size_bytes = BYTES,
                               .mode = 0644,
                               .uid = geteuid(),
                               .gid = getegid(),
                               .mtime_seconds = SOURCE_SECONDS},
    };
    bench->slots[i] = (struct slot){
        .index = i,
        .error = &bench->errors[i],
        .buffer = bench->memory + (size_t)i * CHUNK,
        .capacity = CHUNK,
        .job = &bench->jobs[i],
    };
    memset(bench->slots[i].buffer, (int)i + 1, BYTES);
}

static int bench_open(struct bench *bench, struct side *source)
{
    struct error err = {.class = ERROR_NONE};
    const struct local_config config = {
        .role = SIDE_TARGET,
        .engine = {.kind = ENGINE_THREADS},
        .slots_count = FILES + 1,
        .window_bytes = 2 * 1024 * 1024,
        .in_flight_bytes = (uint64_t)FILES * CHUNK,
        .jobs_max = FILES,
        .small_max = FILES,
        .source = source,
    };
    return local_open(&bench->target, &config, &err);
}

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct statfs fs;
    struct stat st;
    if (!bench || posix_memalign((void **)&bench->memory, 4096, (size_t)FILES * CHUNK) != 0)
        return -1;
    *state = bench;
    strcpy(bench->folder, "/var/tmp/haul_many_XXXXXX");
    if (!mkdtemp(bench->folder) || statfs(bench->folder, &fs) != 0 || stat(bench->folder, &st) != 0)
        return -1;
    uint32_t type = (uint32_t)fs.f_type;
    bench->shares =
        type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == 0x58465342 /* xfs */;
    bench->orders = filesystem_orders(type, st.st_dev);
    for (uint32_t i = 0; i < FILES; i++)
        bench_fill(bench, i);
    shared_fails = 0;
    lost_inode = 0;
    return bench_open(bench, NULL);
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    side_close(bench->target);
    for (uint32_t i = 0; i < FILES; i++)
        unlink(bench->paths[i]);
    int result = rmdir(bench->folder); /* nothing else may have been left there */
    free(bench->memory);
    free(bench);
    return result;
}

/* Returns how many have failed. */
static uint32_t reap(struct bench *bench, uint32_t left)
{
    struct slot *done[FILES];
    uint32_t failed = 0;
    while (left > 0) {
        int count = side_reap(bench->target, done, FILES, true);
        assert_true(count >= 0 && (uint32_t)count <= left);
        left -= (uint32_t)count;
        for (int i = 0; i < count; i++)
            failed += done[i]->result < 0;
    }
    return failed;
}

static void start_all(struct bench *bench, enum side_op op)
{
    shared_count = own_count = 0;
    for (uint32_t i = 0; i < FILES; i++) {
        bench->slots[i].offset = 0;
        bench->slots[i].length = op == SIDE_STORE || op == SIDE_PUT ? BYTES : 0;
        bench->slots[i].digest = digest_of(bench->slots[i].buffer, BYTES);
        side_start(bench->target, &bench->slots[i], op);
    }
}

static uint32_t all(struct bench *bench, enum side_op op)
{
    start_all(bench, op);
    return reap(bench, FILES);
}

static void is_there(const struct bench *bench, uint32_t i, bool finished)
{
    uint8_t content[BYTES];
    struct stat st;
    FILE *file = fopen(bench->paths[i], "re");
    assert_non_null(file);
    assert_int_equal(fread(content, 1, BYTES, file), BYTES);
    assert_int_equal(fstat(fileno(file), &st), 0);
    assert_memory_equal(content, bench->slots[i].buffer, BYTES);
    assert_int_equal(st.st_size, BYTES);
    assert_int_equal(st.st_mtim.tv_sec == SOURCE_SECONDS, finished);
    fclose(file);
}

#endif
