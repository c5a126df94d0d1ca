/* test_sync_group.c - many files of one local side, committed at the same time: how many syncs that
 * takes, and who fails when the shared one tells of a loss. */
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/side/side.h"

#include <errno.h>
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

enum { FILES = 40, BYTES = 4096, CHUNK = 64 * 1024 };

/* ---- the C library's syncs, counted, and failing at will ---- */

static uint32_t shared_count, own_count;
static int shared_fails; /* errno of the next */
static ino_t lost_inode; /* of the file whose data are lost */

int syncfs(int fd)
{
    __atomic_add_fetch(&shared_count, 1, __ATOMIC_SEQ_CST);
    errno = __atomic_exchange_n(&shared_fails, 0, __ATOMIC_SEQ_CST);
    return errno ? -1 : (int)syscall(SYS_syncfs, fd);
}

static int own(int fd)
{
    struct stat st;
    __atomic_add_fetch(&own_count, 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return fstat(fd, &st) == 0 && lost_inode != 0 && st.st_ino == lost_inode ? -1 : 0;
}

int fsync(int fd)
{
    return own(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return own(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
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
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct error err;
    struct statfs fs;
    if (!bench || posix_memalign((void **)&bench->memory, 4096, (size_t)FILES * CHUNK) != 0)
        return -1;
    *state = bench;
    strcpy(bench->folder, "/var/tmp/haul_group_XXXXXX");
    if (!mkdtemp(bench->folder) || statfs(bench->folder, &fs) != 0)
        return -1;
    uint32_t type = (uint32_t)fs.f_type;
    bench->shares =
        type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == 0x58465342 /* xfs */;
    for (uint32_t i = 0; i < FILES; i++) {
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
                                   .mtime_seconds = 1000000000},
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
    const struct local_config config = {
        .role = SIDE_TARGET,
        .engine = {.kind = ENGINE_THREADS},
        .slots_count = FILES,
        .window_bytes = 2 * 1024 * 1024,
        .in_flight_bytes = (uint64_t)FILES * CHUNK,
        .jobs_max = FILES,
    };
    shared_fails = 0;
    lost_inode = 0;
    return local_open(&bench->target, &config, &err);
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

/* With all slots; returns how many have failed. */
static uint32_t all(struct bench *bench, enum side_op op, uint64_t length)
{
    struct slot *done[FILES];
    uint32_t failed = 0;
    shared_count = own_count = 0;
    for (uint32_t i = 0; i < FILES; i++) {
        bench->slots[i].offset = 0;
        bench->slots[i].length = num_u32(length);
        bench->slots[i].digest = digest_of(bench->slots[i].buffer, BYTES);
        bench->slots[i].error->class = ERROR_NONE;
        side_start(bench->target, &bench->slots[i], op);
    }
    for (uint32_t left = FILES; left > 0;) {
        int count = side_reap(bench->target, done, FILES, true);
        assert_true(count >= 0);
        left -= (uint32_t)count;
        for (int i = 0; i < count; i++)
            failed += done[i]->result < 0;
    }
    return failed;
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
    assert_int_equal(st.st_mtim.tv_sec == 1000000000, finished);
    fclose(file);
}

static void commit_many_files_share_their_syncs(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(all(bench, SIDE_OPEN, 0), 0);
    assert_int_equal(own_count, 0); /* no folder for each */
    assert_int_equal(all(bench, SIDE_STORE, BYTES), 0);
    assert_int_equal(all(bench, SIDE_COMMIT, 0), 0);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, true);
    if (!bench->shares)
        skip();
    /* The last one has no company any more. */
    assert_true(shared_count >= 1 && shared_count <= 8);
    assert_true(own_count <= 4);
}

/* What was lost is told once, to all: each file then finds out for itself. */
static void commit_many_files_one_lost_is_named(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    assert_int_equal(all(bench, SIDE_OPEN, 0), 0);
    assert_int_equal(all(bench, SIDE_STORE, BYTES), 0);
    assert_int_equal(stat(bench->paths[17], &st), 0);
    lost_inode = st.st_ino;
    shared_fails = EIO;
    assert_int_equal(all(bench, SIDE_COMMIT, 0), 1);
    assert_int_equal(bench->slots[17].result, -EIO);
    assert_non_null(strstr(bench->slots[17].error->text, bench->paths[17]));
    assert_int_equal(shared_count, bench->shares);
    assert_true(own_count >= 3 * FILES - 2); /* data, file, folder */
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, i != 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_many_files_share_their_syncs, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_many_files_one_lost_is_named, bench_setup,
                                        bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
