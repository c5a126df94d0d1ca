/* test_batch.c - small files of one local side, put and committed together: how many syncs that
 * takes, what they are before it, and who fails when something was lost. */
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

enum { FILES = 40, BYTES = 5000, CHUNK = 64 * 1024 };

/* ---- the C library's syncs, counted, and failing at will ---- */

static uint32_t shared_count, own_count, settled_count;
static int shared_fails; /* errno of the next */
static ino_t lost_inode; /* of the file whose data are lost; told by its own sync ... */
static bool lost_early;  /* ... or when its write-back is waited for */
static bool timed_early; /* a file had its source's time when its write-back was waited for */

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

int fsync(int fd)
{
    __atomic_add_fetch(&own_count, 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return is_lost(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags)
{
    struct stat st;
    bool waits = flags & SYNC_FILE_RANGE_WAIT_AFTER;
    if (waits) {
        __atomic_add_fetch(&settled_count, 1, __ATOMIC_SEQ_CST);
        timed_early |= fstat(fd, &st) == 0 && st.st_mtim.tv_sec == 1000000000;
    }
    errno = EIO;
    return waits && lost_early && is_lost(fd)
               ? -1
               : (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
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
    bool shares;          /* this file system tells what syncfs has lost */
    uint32_t syncs_count; /* of a batch: one more where no journal keeps times behind data */
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct error err = {.class = ERROR_NONE};
    struct statfs fs;
    struct stat st;
    if (!bench || posix_memalign((void **)&bench->memory, 4096, (size_t)FILES * CHUNK) != 0)
        return -1;
    *state = bench;
    strcpy(bench->folder, "/var/tmp/haul_batch_XXXXXX");
    if (!mkdtemp(bench->folder) || statfs(bench->folder, &fs) != 0 || stat(bench->folder, &st) != 0)
        return -1;
    uint32_t type = (uint32_t)fs.f_type;
    bench->shares =
        type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == 0x58465342 /* xfs */;
    bench->syncs_count = filesystem_orders(type, st.st_dev) ? 1 : 2;
    for (uint32_t i = 0; i < FILES; i++) {
        snprintf(bench->paths[i], sizeof(bench->paths[i]), "%s/%u", bench->folder, i);
        bench->jobs[i] = (struct job){
            .number = i,
            .source_path = "nowhere",
            .target_path = bench->paths[i],
            .chunk_bytes = CHUNK,
            .wish = {.journal = true, .session = 1},
            .facts[SIDE_SOURCE] = {.kind = FILE_REGULAR,
                                   .size_bytes = BYTES,
                                   .mode = 0644,
                                   .uid = geteuid(),
                                   .gid = getegid(),
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
        .slots_count = FILES + 1,
        .window_bytes = 2 * 1024 * 1024,
        .in_flight_bytes = (uint64_t)FILES * CHUNK,
        .jobs_max = FILES,
        .small_max = FILES,
    };
    shared_fails = 0;
    lost_inode = 0;
    lost_early = timed_early = false;
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
    shared_count = own_count = settled_count = 0;
    for (uint32_t i = 0; i < FILES; i++) {
        bench->slots[i].length = op == SIDE_PUT ? BYTES : 0;
        bench->slots[i].digest = digest_of(bench->slots[i].buffer, BYTES);
        side_start(bench->target, &bench->slots[i], op);
    }
}

static uint32_t all(struct bench *bench, enum side_op op)
{
    start_all(bench, op);
    return reap(bench, FILES);
}

/* COMMIT of all, and PRESS. */
static uint32_t commit_all(struct bench *bench)
{
    struct job none = {.number = UINT32_MAX, .source_path = "", .target_path = ""};
    struct error err = {.class = ERROR_NONE};
    struct slot press = {.index = FILES, .error = &err, .job = &none};
    start_all(bench, SIDE_COMMIT);
    side_start(bench->target, &press, SIDE_PRESS);
    return reap(bench, FILES + 1);
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
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(st.st_mtim.tv_sec == 1000000000, finished);
    fclose(file);
}

/* Skips the rest where this file system is none for small files as a whole. */
static void put_all(struct bench *bench)
{
    if (bench->shares) {
        assert_int_equal(all(bench, SIDE_PUT), 0);
        return;
    }
    assert_int_equal(all(bench, SIDE_PUT), FILES);
    for (uint32_t i = 0; i < FILES; i++) {
        assert_int_equal(bench->slots[i].result, -EOPNOTSUPP);
        assert_int_not_equal(access(bench->paths[i], F_OK), 0);
    }
    skip();
}

static void commit_small_files_together_take_one_sync(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(shared_count + own_count, 0);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, false);
    assert_int_equal(commit_all(bench), 0);
    assert_int_equal(shared_count, bench->syncs_count);
    assert_int_equal(own_count, 0);
    assert_int_equal(settled_count, FILES);
    assert_false(timed_early);
    for (uint32_t i = 0; i < FILES; i++) {
        const struct side_report *report = &bench->jobs[i].reports[SIDE_TARGET];
        is_there(bench, i, true);
        assert_int_equal(report->policy, POLICY_BATCH);
        assert_int_equal(report->resident_after_bytes, 0);
        assert_true(report->resident_peak_bytes >= BYTES);
    }
}

/* Nobody says that nothing else comes: they do not wait for ever. */
static void commit_without_press_ends(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(all(bench, SIDE_COMMIT), 0);
    assert_true(shared_count >= 1);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, true);
}

/* What was lost is told once, to all: each is then asked alone. */
static void commit_one_lost_by_the_sync_is_named(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    put_all(bench);
    assert_int_equal(stat(bench->paths[17], &st), 0);
    lost_inode = st.st_ino;
    shared_fails = EIO;
    assert_int_equal(commit_all(bench), 1);
    assert_int_equal(bench->slots[17].result, -EIO);
    assert_non_null(strstr(bench->slots[17].error->text, bench->paths[17]));
    assert_int_equal(shared_count, bench->syncs_count);
    assert_true(own_count >= FILES);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, i != 17);
}

static void commit_one_lost_by_its_write_back_is_named(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    put_all(bench);
    assert_int_equal(stat(bench->paths[17], &st), 0);
    lost_inode = st.st_ino;
    lost_early = true;
    assert_int_equal(commit_all(bench), 1);
    assert_int_equal(bench->slots[17].result, -EIO);
    assert_non_null(strstr(bench->slots[17].error->text, bench->paths[17]));
    assert_int_equal(shared_count, bench->syncs_count);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, i != 17);
}

static void commit_one_that_was_removed_or_cut_fails(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(unlink(bench->paths[3]), 0);
    assert_int_equal(truncate(bench->paths[4], 10), 0);
    assert_int_equal(commit_all(bench), 2);
    assert_int_equal(bench->slots[3].result, -ESTALE);
    assert_int_equal(bench->slots[4].result, -ESTALE);
    is_there(bench, 5, true);
}

static void abandon_leaves_what_is_not_finished(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(all(bench, SIDE_ABANDON), 0);
    assert_int_equal(shared_count, 0);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, false);
    assert_int_equal(all(bench, SIDE_PUT), FILES); /* they are there */
    assert_int_equal(bench->slots[0].result, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_small_files_together_take_one_sync, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_without_press_ends, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_lost_by_the_sync_is_named, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_lost_by_its_write_back_is_named, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_that_was_removed_or_cut_fails, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(abandon_leaves_what_is_not_finished, bench_setup,
                                        bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
