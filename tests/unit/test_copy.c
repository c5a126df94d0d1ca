/* test_copy.c - whole runs through copy.h on real local files: what is done, what is refused, and
 * whether the receipt says the truth about it. */
#include "in_child.h"
#include "run_one.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/copy/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    CHUNK = 64 * 1024,
    MODE = 0640,
    NOBODY = 65534,
};

struct place {
    char folder[64], source_path[128], target_path[128];
    uint8_t *content;
    uint64_t size_bytes;
    struct copy_wish wish;
    struct copy *copy;
    struct control control;
    struct receipt receipt;
    struct error err;
};

/* ---- files ---- */

static void set_mtime(const char *path, int64_t seconds)
{
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Nothing but what is expected: no journal, no temporary file. */
static uint32_t count_files(const char *folder)
{
    uint32_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* ---- place and runs ---- */

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    if (!place)
        return -1;
    strcpy(place->folder, "/var/tmp/haul_copy_XXXXXX");
    if (!mkdtemp(place->folder) || chmod(place->folder, 0777) != 0)
        return -1;
    snprintf(place->source_path, sizeof(place->source_path), "%s/source", place->folder);
    snprintf(place->target_path, sizeof(place->target_path), "%s/target", place->folder);
    place->wish = (struct copy_wish){.chunk_bytes = CHUNK, .memory_bytes = 8 * CHUNK};
    *state = place;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    copy_close(place->copy);
    unlink(place->source_path);
    unlink(place->target_path);
    int result = rmdir(place->folder);
    free(place->content);
    free(place);
    return result;
}

static void place_source(struct place *place, uint64_t size_bytes)
{
    free(place->content);
    place->size_bytes = size_bytes;
    place->content = filled(size_bytes, 1);
    write_file(place->source_path, place->content, size_bytes, MODE);
}

static int run_paths(struct place *place, const char *source, const char *target)
{
    place->err = (struct error){.class = ERROR_NONE};
    if (!place->copy)
        assert_int_equal(
            copy_open(&place->copy, &place->wish, NULL, NULL, &place->control, &place->err), 0);
    int result = run_one(place->copy, source, target, &place->receipt, &place->err);
    assert_int_equal(result < 0, error_is_set(&place->err));
    if (result < 0)
        assert_false(receipt_durable(&place->receipt));
    return result;
}

static int run(struct place *place)
{
    return run_paths(place, place->source_path, place->target_path);
}

static void must_run(struct place *place)
{
    int result = run(place);
    if (result < 0)
        print_message("%s\n", place->err.text);
    assert_int_equal(result, 0);
}

/* With other wishes: a run of its own. */
static void reopen(struct place *place, const struct copy_wish *wish)
{
    copy_close(place->copy);
    place->copy = NULL;
    place->wish = *wish;
    place->wish.chunk_bytes = CHUNK;
    place->wish.memory_bytes = 8 * CHUNK;
}

static void assert_metadata(const struct place *place)
{
    struct stat st = stat_of(place->target_path);
    assert_int_equal(st.st_size, place->size_bytes);
    assert_int_equal(st.st_mode & 07777, MODE);
    assert_int_equal(st.st_mtim.tv_sec, MTIME);
    assert_int_equal(st.st_mtim.tv_nsec, MTIME_NS);
}

static struct digest digest_of_digests(const struct place *place)
{
    struct digest_fold *fold = digest_fold_open();
    assert_non_null(fold);
    for (uint64_t offset = 0; offset < place->size_bytes; offset += CHUNK) {
        struct digest digest =
            digest_of(place->content + offset, (size_t)min_u64(CHUNK, place->size_bytes - offset));
        digest_fold_add(fold, &digest);
    }
    struct digest value = digest_fold_value(fold);
    digest_fold_close(fold);
    return value;
}

/* ---- what is copied ---- */

static void copy_collect_fresh_target_is_equal_and_the_receipt_says_so(void **state)
{
    struct place *place = *state;
    place_source(place, 40 * CHUNK + 4097);
    must_run(place);
    assert_content(place->target_path, place->content, place->size_bytes);
    assert_metadata(place);
    assert_int_equal(count_files(place->folder), 2);

    const struct receipt *receipt = &place->receipt;
    struct digest expected = digest_of_digests(place);
    assert_true(receipt_durable(receipt));
    assert_false(receipt_up_to_date(receipt) || receipt->resumed || receipt->dry_run);
    assert_int_equal(receipt->files, 1);
    assert_int_equal(receipt->bytes_total, place->size_bytes);
    assert_int_equal(receipt->bytes_copied, place->size_bytes);
    assert_int_equal(receipt->bytes_kept + receipt->bytes_holes + receipt->bytes_repaired, 0);
    assert_int_equal(receipt->bytes_verified, 0);
    assert_int_equal(receipt->chunk_bytes, CHUNK);
    assert_int_equal(receipt->lanes, 1);
    assert_true(receipt->digest_known);
    assert_true(digest_equal(&receipt->digest, &expected));
    assert_string_equal(receipt->source_path, place->source_path);
    assert_string_equal(receipt->target_path, place->target_path);
    assert_null(receipt->source_host);
    assert_null(receipt->target_host);
    assert_int_equal(receipt->wire_bytes_sent + receipt->wire_bytes_received, 0);
    assert_true(receipt->memory_budget_bytes > 0);
    assert_true(receipt->memory_budget_bytes <= 8 * CHUNK);
    assert_int_equal(receipt->source.policy, POLICY_DIRECT);
    assert_int_equal(receipt->target.policy, POLICY_DIRECT);
    assert_int_equal(receipt->source.resident_before_bytes, 0);
    assert_int_equal(receipt->source.resident_after_bytes, 0);
    assert_int_equal(receipt->target.resident_after_bytes, 0);

    const struct progress *progress = copy_progress(place->copy);
    assert_int_equal(progress->phase, PHASE_DONE);
    assert_int_equal(progress->bytes_total, place->size_bytes);
    assert_int_equal(progress->bytes_durable, place->size_bytes);
    assert_false(copy_broken(place->copy));
    assert_int_equal(receipt->chunk_bytes, CHUNK);
}

static void copy_collect_every_way_gives_the_same_digest(void **state)
{
    struct place *place = *state;
    static const struct copy_wish wishes[] = {
        {.engine = ENGINE_SYNC},
        {.engine = ENGINE_THREADS},
        {.engine = ENGINE_URING},
        {.file.cache = POLICY_WINDOW},
        {.file.cache = POLICY_PLAIN},
        {.verify = true},
        {.no_preallocate = true},
        {.sparse = true},
        {.sync_every_set = true},
        {.bandwidth_bytes = GIB},
        {.file.resume = RESUME_RESTART},
        {.file.strict = true},
        {.sync_every_bytes = CHUNK, .sync_every_set = true},
    };
    place_source(place, 30 * CHUNK + 77);
    struct digest expected = digest_of_digests(place);
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        reopen(place, &wishes[i]);
        must_run(place);
        assert_content(place->target_path, place->content, place->size_bytes);
        assert_metadata(place);
        assert_int_equal(count_files(place->folder), 2); /* checkpoints' journal is gone, too */
        assert_true(receipt_durable(&place->receipt));
        assert_int_equal(place->receipt.bytes_copied, place->size_bytes);
        assert_true(digest_equal(&place->receipt.digest, &expected));
        assert_int_equal(place->receipt.bytes_verified, wishes[i].verify ? place->size_bytes : 0);
        if (wishes[i].engine != ENGINE_AUTO)
            assert_int_equal(place->receipt.target.engine, wishes[i].engine);
        if (wishes[i].file.cache != POLICY_AUTO)
            assert_int_equal(place->receipt.source.policy, wishes[i].file.cache);
        assert_int_equal(unlink(place->target_path), 0);
    }
}

static void copy_collect_small_sizes_are_equal(void **state)
{
    struct place *place = *state;
    static const uint64_t sizes[] = {0, 1, 511, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        place_source(place, sizes[i]);
        must_run(place);
        assert_content(place->target_path, place->content, sizes[i]);
        assert_metadata(place);
        assert_true(receipt_durable(&place->receipt));
        assert_int_equal(place->receipt.bytes_total, sizes[i]);
        assert_int_equal(place->receipt.bytes_copied, sizes[i]);
        assert_int_equal(unlink(place->target_path), 0);
    }
}

static void copy_collect_sparse_source_keeps_its_holes(void **state)
{
    struct place *place = *state;
    place_source(place, 0);
    uint64_t size_bytes = 100 * CHUNK + 10;
    AUTO_CLOSE int fd = open(place->source_path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, num_off(size_bytes)), 0);
    assert_int_equal(pwrite(fd, "data", 4, 50 * CHUNK), 4);
    assert_int_equal(fsync(fd), 0);
    must_run(place);
    assert_int_equal(place->receipt.bytes_copied, CHUNK);
    assert_int_equal(place->receipt.bytes_holes, size_bytes - CHUNK);
    assert_int_equal(place->receipt.bytes_total, size_bytes);
    struct stat st = stat_of(place->target_path);
    assert_int_equal(st.st_size, size_bytes);
    assert_true((uint64_t)st.st_blocks * 512 <= CHUNK);
    uint8_t *content = calloc(1, (size_t)size_bytes);
    assert_non_null(content);
    memcpy(content + 50 * CHUNK, "data", 4);
    assert_content(place->target_path, content, size_bytes);
    free(content);
}

static void copy_collect_device_is_copied_whole(void **state)
{
    struct place *place = *state;
    struct loop_device loop;
    place_source(place, 20 * CHUNK);
    loop_open(&loop, place->source_path);
    int result = run_paths(place, loop.path, place->target_path);
    loop_close(&loop);
    assert_int_equal(result, 0);
    assert_content(place->target_path, place->content, place->size_bytes);
    assert_int_equal(place->receipt.bytes_copied, place->size_bytes);
    assert_int_equal(place->receipt.bytes_total, place->size_bytes);
}

/* ---- old targets ---- */

static void copy_collect_in_place_writes_only_what_differs(void **state)
{
    struct place *place = *state;
    place_source(place, 40 * CHUNK + 5);
    write_file(place->target_path, place->content, place->size_bytes, MODE);
    set_mtime(place->target_path, MTIME - 1);
    place->content[7 * CHUNK + 3] ^= 1;
    place->content[40 * CHUNK] ^= 1; /* in the tail */
    write_file(place->source_path, place->content, place->size_bytes, MODE);
    uint64_t inode = stat_of(place->target_path).st_ino;
    must_run(place);
    assert_content(place->target_path, place->content, place->size_bytes);
    assert_metadata(place);
    assert_int_equal(stat_of(place->target_path).st_ino, inode);
    assert_int_equal(place->receipt.bytes_copied, BLOCKS_SIZE + 5);
    assert_int_equal(place->receipt.bytes_kept, 40 * CHUNK - BLOCKS_SIZE);
    assert_int_equal(place->receipt.bytes_total, place->size_bytes);
    struct digest expected = digest_of_digests(place);
    assert_true(digest_equal(&place->receipt.digest, &expected));
    assert_int_equal(count_files(place->folder), 2);
}

static void copy_collect_shorter_and_longer_targets_end_equal(void **state)
{
    struct place *place = *state;
    static const uint64_t old_sizes[] = {1, CHUNK - 1, 5 * CHUNK, 5 * CHUNK + 100, 30 * CHUNK};
    for (size_t i = 0; i < COUNT_OF(old_sizes); i++) {
        place_source(place, 10 * CHUNK + 100);
        uint8_t *old = filled(old_sizes[i], 1); /* begins as the source does */
        write_file(place->target_path, old, old_sizes[i], MODE);
        set_mtime(place->target_path, MTIME - 1);
        free(old);
        must_run(place);
        assert_content(place->target_path, place->content, place->size_bytes);
        assert_metadata(place);
        assert_int_equal(place->receipt.bytes_copied + place->receipt.bytes_kept,
                         place->size_bytes);
        uint64_t right = min_u64(old_sizes[i], place->size_bytes) / CHUNK * CHUNK;
        assert_true(place->receipt.bytes_kept >= right);
    }
}

static void copy_collect_hole_over_old_data_becomes_zeros(void **state)
{
    struct place *place = *state;
    place_source(place, 10 * CHUNK);
    write_file(place->target_path, place->content, place->size_bytes, MODE);
    memset(place->content, 0, 10 * CHUNK);
    assert_int_equal(truncate(place->source_path, 0), 0);
    assert_int_equal(truncate(place->source_path, 10 * CHUNK), 0);
    must_run(place);
    assert_content(place->target_path, place->content, place->size_bytes);
    assert_int_equal(place->receipt.bytes_holes, place->size_bytes);
    assert_true((uint64_t)stat_of(place->target_path).st_blocks * 512 < CHUNK);
}

static void copy_collect_up_to_date_is_skipped_unless_overridden(void **state)
{
    struct place *place = *state;
    static const struct {
        struct copy_wish wish;
        bool skipped;
    } rows[] = {
        {{.no_preallocate = true}, true},         {{.verify = true}, false},
        {{.ignore_times = true}, false},          {{.checksum = true}, false},
        {{.file.resume = RESUME_RESTART}, false},
    };
    place_source(place, 10 * CHUNK);
    must_run(place);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct stat before = stat_of(place->target_path);
        reopen(place, &rows[i].wish);
        must_run(place);
        assert_int_equal(receipt_up_to_date(&place->receipt), rows[i].skipped);
        assert_int_equal(place->receipt.bytes_verified,
                         rows[i].wish.verify ? place->size_bytes : 0);
        assert_int_equal(place->receipt.bytes_total, place->size_bytes);
        bool all_again = rows[i].wish.file.resume == RESUME_RESTART;
        assert_int_equal(place->receipt.bytes_kept, all_again ? 0 : place->size_bytes);
        assert_int_equal(place->receipt.bytes_copied, all_again ? place->size_bytes : 0);
        if (rows[i].skipped)
            assert_int_equal(stat_of(place->target_path).st_ctim.tv_nsec, before.st_ctim.tv_nsec);
        else
            assert_true(receipt_durable(&place->receipt));
        assert_content(place->target_path, place->content, place->size_bytes);
    }
}

static void copy_collect_dry_changes_nothing(void **state)
{
    struct place *place = *state;
    place->wish.dry_run = true;
    place_source(place, 10 * CHUNK);
    must_run(place);
    assert_true(place->receipt.dry_run);
    assert_false(receipt_durable(&place->receipt));
    assert_false(is_there(place->target_path));
    assert_int_equal(place->receipt.bytes_total, place->size_bytes);
    assert_int_equal(place->receipt.bytes_copied, 0);

    write_file(place->target_path, (const uint8_t *)"old", 3, MODE);
    struct stat before = stat_of(place->target_path);
    must_run(place);
    assert_content(place->target_path, (const uint8_t *)"old", 3);
    assert_int_equal(stat_of(place->target_path).st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    assert_int_equal(count_files(place->folder), 2);
}

/* ---- refused ---- */

static void copy_collect_same_file_by_any_name_is_refused(void **state)
{
    struct place *place = *state;
    place_source(place, 3 * CHUNK);
    assert_int_equal(run_paths(place, place->source_path, place->source_path), -EINVAL);
    assert_int_equal(place->err.class, ERROR_USAGE);
    assert_non_null(strstr(place->err.text, "same file"));
    assert_int_equal(link(place->source_path, place->target_path), 0);
    assert_true(run(place) < 0);
    assert_int_equal(place->err.class, ERROR_USAGE);
    assert_int_equal(unlink(place->target_path), 0);
    assert_int_equal(symlink(place->source_path, place->target_path), 0);
    assert_true(run(place) < 0);
    assert_int_equal(place->err.class, ERROR_USAGE);
    assert_content(place->source_path, place->content, place->size_bytes);
}

static void copy_collect_missing_source_vanished_and_the_target_stays(void **state)
{
    struct place *place = *state;
    assert_int_equal(run(place), -ENOENT);
    assert_int_equal(place->err.class, ERROR_VANISHED);
    assert_non_null(strstr(place->err.text, place->source_path));
    assert_false(is_there(place->target_path));
    write_file(place->target_path, (const uint8_t *)"old", 3, MODE);
    assert_int_equal(run(place), -ENOENT);
    assert_content(place->target_path, (const uint8_t *)"old", 3);
}

static void copy_collect_folders_are_refused(void **state)
{
    struct place *place = *state;
    place_source(place, 10);
    assert_int_equal(run_paths(place, place->folder, place->target_path), -EISDIR);
    assert_non_null(strstr(place->err.text, place->folder));
    assert_int_equal(run_paths(place, place->source_path, place->folder), -EISDIR);
    assert_false(is_there(place->target_path));
}

static void copy_collect_other_kinds_are_refused(void **state)
{
    struct place *place = *state;
    place_source(place, 10);
    assert_int_equal(run_paths(place, "/dev/zero", place->target_path), -EINVAL); /* never ends */
    assert_int_equal(place->err.class, ERROR_USAGE);
    assert_false(is_there(place->target_path));
    assert_int_equal(run_paths(place, place->source_path, "/dev/urandom"), -EINVAL);
    assert_content(place->source_path, place->content, 10);
}

static void copy_collect_missing_folder_of_the_target_is_said(void **state)
{
    struct place *place = *state;
    char path[160];
    place_source(place, 10);
    snprintf(path, sizeof(path), "%s/nothing/target", place->folder);
    assert_int_equal(run_paths(place, place->source_path, path), -ENOENT);
    assert_int_equal(place->err.class, ERROR_FILE);
    assert_non_null(strstr(place->err.text, path));
}

static void copy_collect_strict_memory_filesystem_is_refused(void **state)
{
    struct place *place = *state;
    char path[] = "/dev/shm/haul_copy_XXXXXX";
    close(mkstemp(path));
    unlink(path);
    place_source(place, 10 * CHUNK);
    reopen(place, &(struct copy_wish){.file = {.strict = true, .cache_max_set = true}});
    assert_true(run_paths(place, place->source_path, path) < 0);
    assert_int_equal(place->err.class, ERROR_CACHE);
    assert_false(is_there(path));
}

static void copy_open_too_little_memory_is_refused(void **state)
{
    struct place *place = *state;
    place->wish = (struct copy_wish){.memory_bytes = 4096};
    assert_int_equal(
        copy_open(&place->copy, &place->wish, NULL, NULL, &place->control, &place->err), -ENOMEM);
    assert_int_equal(place->err.class, ERROR_MEMORY);
    assert_null(place->copy);
    copy_close(NULL);
}

/* ---- interrupted, failed, and the next file ---- */

static void copy_collect_stopped_says_so_and_the_next_run_ends_it(void **state)
{
    struct place *place = *state;
    place_source(place, 20 * CHUNK);
    must_run(place); /* opens the run */
    assert_int_equal(unlink(place->target_path), 0);
    place->control.stop = true;
    assert_int_equal(run(place), -EINTR);
    assert_int_equal(place->err.class, ERROR_INTERRUPTED);
    struct stat st = stat_of(place->target_path);
    assert_true(st.st_mtim.tv_sec != MTIME); /* it must not look finished */
    place->control.stop = false;
    must_run(place);
    assert_content(place->target_path, place->content, place->size_bytes);
    assert_metadata(place);
    assert_int_equal(count_files(place->folder), 2);
}

static void copy_collect_many_files_of_one_run_are_apart(void **state)
{
    struct place *place = *state;
    for (uint64_t i = 0; i < 20; i++) {
        place_source(place, i * 3000);
        must_run(place);
        assert_content(place->target_path, place->content, place->size_bytes);
        assert_int_equal(place->receipt.bytes_total, place->size_bytes);
        assert_int_equal(place->receipt.files, 1);
        assert_int_equal(copy_progress(place->copy)->bytes_copied, place->receipt.bytes_copied);
        if (i % 5 == 3) /* a failure in between changes nothing */
            assert_true(run_paths(place, place->folder, place->target_path) < 0);
        assert_int_equal(unlink(place->target_path), 0);
    }
}

enum { TOGETHER = 90 }; /* more than may be begun at a time */

/* The nth file of several; the 7th of them has no source. */
static void place_paths(const struct place *place, uint32_t number, char source[128],
                        char target[128])
{
    snprintf(source, 128, "%s/s%u", place->folder, number);
    snprintf(target, 128, "%s/t%u", place->folder, number);
}

static void copy_collect_of_many_gives_each_its_own_outcome_in_their_order(void **state)
{
    struct place *place = *state;
    static char sources[TOGETHER][128], targets[TOGETHER][128];
    uint32_t begun = 0;
    place_source(place, 300000);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        place_paths(place, i, sources[i], targets[i]);
        write_file(sources[i], place->content, 100 + i * (i % 10 == 3 ? 3000 : 50), MODE);
    }
    assert_int_equal(unlink(sources[7]), 0);
    assert_int_equal(
        copy_open(&place->copy, &place->wish, NULL, NULL, &place->control, &place->err), 0);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        while (begun < TOGETHER && copy_begin(place->copy, false, sources[begun], targets[begun]))
            begun++;
        assert_true(begun > i && begun <= i + COPY_FILES_MAX);
        place->err.class = ERROR_NONE;
        int result = copy_collect(place->copy, &place->receipt, &place->err);
        assert_int_equal(result < 0, i == 7);
        assert_int_equal(place->err.class, i == 7 ? ERROR_VANISHED : ERROR_NONE);
        assert_int_equal(receipt_durable(&place->receipt), i != 7);
        assert_string_equal(place->receipt.target_path, targets[i]);
        if (i == 7)
            continue;
        uint64_t size_bytes = 100 + i * (i % 10 == 3 ? 3000 : 50);
        assert_int_equal(place->receipt.bytes_copied, size_bytes);
        assert_content(targets[i], place->content, size_bytes);
        assert_int_equal(unlink(sources[i]), 0);
        assert_int_equal(unlink(targets[i]), 0);
    }
    write_file(place->target_path, place->content, 1, MODE); /* teardown takes it away */
}

static int child_run(struct place *place, const char *source, const char *target)
{
    place->err = (struct error){.class = ERROR_NONE};
    if (!place->copy &&
        copy_open(&place->copy, &place->wish, NULL, NULL, &place->control, &place->err) < 0)
        return -1;
    return run_one(place->copy, source, target, &place->receipt, &place->err);
}

/* In a mount namespace of its own: a tmpfs of 1 MiB at the target. */
static int body_no_space(struct place *place)
{
    char target[160], nowhere[160];
    CHECK(child_own_mounts());
    CHECK(mount("tmpfs", "/mnt", "tmpfs", 0, "size=1m") == 0);
    snprintf(target, sizeof(target), "/mnt/target");
    snprintf(nowhere, sizeof(nowhere), "/mnt/nowhere/target");
    for (int i = 0; i < 2; i++) {
        place->wish.no_preallocate = i == 1; /* found early; found by a write */
        copy_close(place->copy);
        place->copy = NULL;
        CHECK(child_run(place, place->source_path, target) == -ENOSPC);
        CHECK(strstr(place->err.text, target) && strstr(place->err.text, "make room"));
        CHECK(!receipt_durable(&place->receipt));
        CHECK(i == 1 || count_files("/mnt") == 0); /* nothing is left of what never began */
        /* The next failure's words are its own. */
        CHECK(child_run(place, place->source_path, nowhere) == -ENOENT);
        CHECK(place->err.errnum == ENOENT && strstr(place->err.text, nowhere));
        CHECK(!strstr(place->err.text, "make room"));
        /* And a file that fits is copied, by the same run. */
        CHECK(truncate(place->source_path, 100 * 1000) == 0);
        unlink(target);
        CHECK(child_run(place, place->source_path, target) == 0);
        CHECK(receipt_durable(&place->receipt) && stat_of(target).st_size == 100 * 1000);
        unlink(target);
        write_file(place->source_path, place->content, place->size_bytes, MODE);
    }
    copy_close(place->copy);
    return 0;
}

static void copy_collect_no_space_is_said_and_the_next_file_goes_on(void **state)
{
    struct place *place = *state;
    place_source(place, 3 * MIB);
    IN_CHILD(body_no_space(place));
}

/* Somebody else's file that may be written but not be given permissions or times: all data are
 * there, and durable. */
static int body_of_another(struct place *place)
{
    char other[160];
    snprintf(other, sizeof(other), "%s/other", place->folder);
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    const uint8_t lost = ATTRIBUTE_BIT(ATTRIBUTE_MODE) | ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
    CHECK(child_run(place, place->source_path, place->target_path) == 0);
    CHECK(receipt_durable(&place->receipt) && !place->receipt.outcome.lacking);
    CHECK(place->receipt.target.attributes_lost == lost);
    CHECK(child_run(place, place->source_path, other) == 0);
    CHECK(receipt_durable(&place->receipt) && place->receipt.target.attributes_lost == 0);
    copy_close(place->copy);
    CHECK(unlink(other) == 0);
    return 0;
}

static void copy_collect_onto_a_file_of_another_user_is_durable_and_says_what_is_lost(void **state)
{
    struct place *place = *state;
    place_source(place, 3 * CHUNK);
    write_file(place->target_path, (const uint8_t *)"old", 3, MODE);
    assert_int_equal(chmod(place->source_path, 0644), 0);
    assert_int_equal(chmod(place->target_path, 0666), 0);
    IN_CHILD(body_of_another(place));
}

/* Not readable, or not writable: said, and nothing is made. */
static int body_no_permission(struct place *place)
{
    char nowhere[] = "/haul_test_copy_target";
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(child_run(place, place->source_path, place->target_path) == -EACCES);
    CHECK(strstr(place->err.text, place->source_path));
    CHECK(!is_there(place->target_path));
    CHECK(child_run(place, "/proc/version", nowhere) == -EACCES);
    CHECK(strstr(place->err.text, nowhere));
    copy_close(place->copy);
    return 0;
}

static void copy_collect_no_permission_is_said(void **state)
{
    struct place *place = *state;
    place_source(place, 3 * CHUNK);
    assert_int_equal(chmod(place->source_path, 0600), 0);
    IN_CHILD(body_no_permission(place));
}

static void copy_describe_gives_facts_of_either_side(void **state)
{
    struct place *place = *state;
    struct facts facts;
    place_source(place, 777);
    must_run(place);
    for (int target = 0; target < 2; target++) {
        assert_int_equal(
            copy_describe(place->copy, target, place->source_path, &facts, &place->err), 0);
        assert_int_equal(facts.kind, FILE_REGULAR);
        assert_int_equal(facts.size_bytes, 777);
        assert_int_equal(copy_describe(place->copy, target, place->folder, &facts, &place->err), 0);
        assert_int_equal(facts.kind, FILE_FOLDER);
        assert_int_equal(copy_describe(place->copy, target, "/nowhere", &facts, &place->err), 0);
        assert_int_equal(facts.kind, FILE_NONE);
    }
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(copy_collect_fresh_target_is_equal_and_the_receipt_says_so),
        IN_PLACE(copy_collect_every_way_gives_the_same_digest),
        IN_PLACE(copy_collect_small_sizes_are_equal),
        IN_PLACE(copy_collect_sparse_source_keeps_its_holes),
        IN_PLACE(copy_collect_device_is_copied_whole),
        IN_PLACE(copy_collect_in_place_writes_only_what_differs),
        IN_PLACE(copy_collect_shorter_and_longer_targets_end_equal),
        IN_PLACE(copy_collect_hole_over_old_data_becomes_zeros),
        IN_PLACE(copy_collect_up_to_date_is_skipped_unless_overridden),
        IN_PLACE(copy_collect_dry_changes_nothing),
        IN_PLACE(copy_collect_same_file_by_any_name_is_refused),
        IN_PLACE(copy_collect_missing_source_vanished_and_the_target_stays),
        IN_PLACE(copy_collect_folders_are_refused),
        IN_PLACE(copy_collect_other_kinds_are_refused),
        IN_PLACE(copy_collect_missing_folder_of_the_target_is_said),
        IN_PLACE(copy_collect_strict_memory_filesystem_is_refused),
        IN_PLACE(copy_open_too_little_memory_is_refused),
        IN_PLACE(copy_collect_stopped_says_so_and_the_next_run_ends_it),
        IN_PLACE(copy_collect_many_files_of_one_run_are_apart),
        IN_PLACE(copy_collect_of_many_gives_each_its_own_outcome_in_their_order),
        IN_PLACE(copy_collect_no_space_is_said_and_the_next_file_goes_on),
        IN_PLACE(copy_collect_onto_a_file_of_another_user_is_durable_and_says_what_is_lost),
        IN_PLACE(copy_collect_no_permission_is_said),
        IN_PLACE(copy_describe_gives_facts_of_either_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
