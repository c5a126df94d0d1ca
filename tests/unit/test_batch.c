/* test_batch.c - small files of one local side, put and committed together: how many syncs that
 * takes, what they are before it, and who fails when something was lost. */
#include "many_files.h"

/* ---- write-backs that are waited for ---- */

static uint32_t settled_count;
static bool lost_early;  /* what is lost is told by one of them */
static bool timed_early; /* a file had its source's time by then */

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags)
{
    struct stat st;
    bool waits = flags & SYNC_FILE_RANGE_WAIT_AFTER;
    if (waits) {
        __atomic_add_fetch(&settled_count, 1, __ATOMIC_SEQ_CST);
        timed_early |= fstat(fd, &st) == 0 && st.st_mtim.tv_sec == SOURCE_SECONDS;
    }
    errno = EIO;
    return waits && lost_early && is_lost(fd)
               ? -1
               : (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
}

static int batch_setup(void **state)
{
    settled_count = 0;
    lost_early = timed_early = false;
    return bench_setup(state);
}

/* ---- the tests ---- */

static uint32_t all_of_one(struct bench *bench, uint32_t i, enum side_op op)
{
    bench->slots[i].length = op == SIDE_PUT ? BYTES : CHUNK;
    side_start(bench->target, &bench->slots[i], op);
    return reap(bench, 1);
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

/* PUT has given it its mode already. */
static void is_put(const struct bench *bench, uint32_t i, bool finished)
{
    struct stat st;
    is_there(bench, i, finished);
    assert_int_equal(stat(bench->paths[i], &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

/* Of a batch: one more where no journal keeps times behind data. */
static uint32_t syncs_count(const struct bench *bench)
{
    return bench->orders ? 1 : 2;
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
        is_put(bench, i, false);
    assert_int_equal(commit_all(bench), 0);
    assert_int_equal(shared_count, syncs_count(bench));
    assert_int_equal(own_count, 0);
    assert_int_equal(settled_count, FILES);
    assert_false(timed_early);
    for (uint32_t i = 0; i < FILES; i++) {
        const struct side_report *report = &bench->jobs[i].reports[SIDE_TARGET];
        is_put(bench, i, true);
        assert_int_equal(report->policy, POLICY_BATCH);
        assert_int_equal(report->resident_after_bytes, 0);
        assert_true(report->resident_peak_bytes >= BYTES);
    }
}

/* A source for each, of another folder, which is a copy of what the slots have. */
static void make_sources(struct bench *bench, char folder[], char paths[FILES][64])
{
    assert_non_null(mkdtemp(folder));
    for (uint32_t i = 0; i < FILES; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%u", folder, i);
        AUTO_CLOSE int fd = open(paths[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, bench->slots[i].buffer, BYTES), BYTES);
        bench->jobs[i].source_path = paths[i];
        bench->slots[i].conditional = true;
        bench->slots[i].capacity = CHUNK;
    }
}

static void leave_file(const char *path, const char *content)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
}

/* The target with a source beside it. Skips the rest as put_all() does. */
static struct side *open_beside(struct bench *bench)
{
    struct side *source = NULL;
    struct error err = {.class = ERROR_NONE};
    const struct local_config config = {
        .role = SIDE_SOURCE,
        .engine = {.kind = ENGINE_SYNC},
        .slots_count = 1,
        .jobs_max = 1,
    };
    put_all(bench);
    for (uint32_t i = 0; i < FILES; i++) {
        assert_int_equal(all_of_one(bench, i, SIDE_ABANDON), 0);
        unlink(bench->paths[i]);
    }
    assert_int_equal(local_open(&source, &config, &err), 0);
    side_close(bench->target);
    assert_int_equal(bench_open(bench, source), 0);
    return source;
}

static void close_beside(struct bench *bench, struct side *source, const char *folder,
                         char paths[FILES][64])
{
    for (uint32_t i = 0; i < FILES; i++)
        unlink(paths[i]);
    rmdir(folder);
    side_close(bench->target);
    side_close(source);
    bench->target = NULL;
}

/* More at once than have a thread: each call has a buffer of its own. */
static void carry_without_buffers_of_slots_takes_the_sides(void **state)
{
    struct bench *bench = *state;
    char folder[] = "/var/tmp/haul_carry_XXXXXX", paths[FILES][64];
    uint8_t *buffers[FILES];
    struct side *source = open_beside(bench);
    make_sources(bench, folder, paths);
    assert_int_equal(truncate(paths[7], 32 * 1024), 0);
    for (uint32_t i = 0; i < FILES; i++) {
        buffers[i] = bench->slots[i].buffer;
        bench->slots[i].buffer = NULL;
        side_start(bench->target, &bench->slots[i], SIDE_CARRY);
    }
    assert_int_equal(reap(bench, FILES), 1);
    assert_int_equal(bench->slots[7].result, -EAGAIN);
    for (uint32_t i = 0; i < FILES; i++) {
        bench->slots[i].buffer = buffers[i];
        if (i == 7)
            continue;
        assert_int_equal(bench->slots[i].count, BYTES);
        is_there(bench, i, false);
        assert_int_equal(all_of_one(bench, i, SIDE_ABANDON), 0);
    }
    close_beside(bench, source, folder, paths);
}

static void carry_takes_and_puts_what_is_not_there(void **state)
{
    struct bench *bench = *state;
    char folder[] = "/var/tmp/haul_carry_XXXXXX", paths[FILES][64], journal[128];
    struct side *source = open_beside(bench);
    make_sources(bench, folder, paths);
    snprintf(journal, sizeof(journal), "%s/.%s.haul", bench->folder,
             strrchr(bench->paths[1], '/') + 1);
    leave_file(bench->paths[0], "old");
    leave_file(journal, "");
    assert_int_equal(truncate(paths[2], CHUNK + 1), 0);
    for (uint32_t i = 0; i < FILES; i++)
        (void)all_of_one(bench, i, SIDE_CARRY);
    assert_int_equal(bench->slots[0].result, -EEXIST);
    assert_int_equal(bench->slots[1].result, -EEXIST);
    assert_int_equal(bench->slots[2].result, -EAGAIN);
    for (uint32_t i = 3; i < FILES; i++) {
        assert_int_equal(bench->slots[i].result, 0);
        assert_int_equal(bench->slots[i].count, BYTES);
        assert_int_equal(bench->jobs[i].facts[SIDE_SOURCE].size_bytes, BYTES);
        is_there(bench, i, false);
        assert_int_equal(all_of_one(bench, i, SIDE_ABANDON), 0);
    }
    assert_int_not_equal(access(bench->paths[1], F_OK), 0);
    bench->jobs[1].unjournalled = true; /* then nobody looks */
    assert_int_equal(all_of_one(bench, 1, SIDE_CARRY), 0);
    assert_int_equal(all_of_one(bench, 1, SIDE_ABANDON), 0);
    unlink(journal);
    close_beside(bench, source, folder, paths);
}

/* Over files that are there: what is theirs stays until the new bytes are on the medium. */
static void commit_over_older_files_takes_one_sync(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    put_all(bench);
    assert_int_equal(commit_all(bench), 0);
    for (uint32_t i = 0; i < FILES; i++) {
        bench->slots[i].buffer[i < 20 ? 0 : BYTES - 1] ^= 0x55;
        bench->jobs[i].facts[SIDE_SOURCE].mode = 0600;
    }
    const struct timespec earlier[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(all(bench, SIDE_PUT), 0);
    assert_int_equal(shared_count + own_count, 0);
    for (uint32_t i = 0; i < FILES; i++) {
        is_put(bench, i, false);
        assert_int_equal(bench->jobs[i].kept_bytes, i < 20 ? BYTES - 4096 : 4096);
    }
    assert_int_equal(commit_all(bench), 0);
    assert_int_equal(shared_count, syncs_count(bench));
    assert_int_equal(own_count, 0);
    assert_false(timed_early);
    for (uint32_t i = 0; i < FILES; i++) {
        const struct side_report *report = &bench->jobs[i].reports[SIDE_TARGET];
        is_there(bench, i, true);
        assert_int_equal(stat(bench->paths[i], &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(report->attributes_changed, ATTRIBUTE_BIT(ATTRIBUTE_MODE));
        assert_int_equal(report->resident_after_bytes, 0);
    }
    /* Nothing differs but the time. */
    for (uint32_t i = 0; i < FILES; i++) {
        AUTO_CLOSE int fd = open(bench->paths[i], O_RDWR | O_CLOEXEC);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0); /* we have read it */
        assert_int_equal(futimens(fd, earlier), 0);
    }
    assert_int_equal(all(bench, SIDE_PUT), 0);
    assert_int_equal(bench->jobs[0].kept_bytes, BYTES);
    assert_int_equal(commit_all(bench), 0);
    is_there(bench, 0, true);
    /* What a journal says of it is more than its content. */
    char journal[128];
    snprintf(journal, sizeof(journal), "%s/.0.haul", bench->folder);
    leave_file(journal, "");
    assert_int_equal(all_of_one(bench, 0, SIDE_PUT), 1);
    assert_int_equal(bench->slots[0].result, -EAGAIN);
    unlink(journal);
    bench->slots[0].conditional = true; /* nobody has looked whether there is one */
    assert_int_equal(all_of_one(bench, 0, SIDE_PUT), 1);
    assert_int_equal(bench->slots[0].result, -EEXIST);
    is_there(bench, 0, true);
}

/* Nobody says that nothing else comes: they do not wait for ever. */
static void commit_without_press_ends(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(all(bench, SIDE_COMMIT), 0);
    assert_true(shared_count >= 1);
    for (uint32_t i = 0; i < FILES; i++)
        is_put(bench, i, true);
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
    assert_int_equal(shared_count, syncs_count(bench));
    assert_true(own_count >= FILES);
    for (uint32_t i = 0; i < FILES; i++)
        is_put(bench, i, i != 17);
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
    assert_int_equal(shared_count, syncs_count(bench));
    for (uint32_t i = 0; i < FILES; i++)
        is_put(bench, i, i != 17);
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
    is_put(bench, 5, true);
}

static void abandon_leaves_what_is_not_finished(void **state)
{
    struct bench *bench = *state;
    put_all(bench);
    assert_int_equal(all(bench, SIDE_ABANDON), 0);
    assert_int_equal(shared_count, 0);
    for (uint32_t i = 0; i < FILES; i++)
        is_put(bench, i, false);
    assert_int_equal(all(bench, SIDE_PUT), FILES); /* they are there */
    assert_int_equal(bench->slots[0].result, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_small_files_together_take_one_sync, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_over_older_files_takes_one_sync, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_without_press_ends, batch_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(carry_takes_and_puts_what_is_not_there, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(carry_without_buffers_of_slots_takes_the_sides, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_lost_by_the_sync_is_named, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_lost_by_its_write_back_is_named, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_one_that_was_removed_or_cut_fails, batch_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(abandon_leaves_what_is_not_finished, batch_setup,
                                        bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
