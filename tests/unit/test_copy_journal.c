/* test_copy_journal.c - a resumed run whose journal changes while it is used. Whichever of its
 * readings meets the damage, the run ends in a target that is right, or says that it failed. */
#include "run_one.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/copy/copy.h"
#include "haul/disk/journal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNK = 64 * 1024, CHUNKS = 24, MODE = 0640, OPENS_MAX = 8 };

enum damage { DAMAGE_NONE, DAMAGE_BATCH, DAMAGE_CUT, DAMAGE_GONE, DAMAGE_KINDS };

/* ---- the journal is damaged as it is opened for the nth time ---- */

static struct {
    const char *path;
    enum damage damage;
    uint32_t at_open;
    uint32_t opens_count;
    bool done;
} rig;

static void damage_file(void)
{
    AUTO_CLOSE int fd = open(rig.path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    off_t at = JOURNAL_HEADER_BYTES + JOURNAL_BATCH_HEADER_BYTES + 40;
    if (fd < 0)
        return;
    rig.done = true;
    if (rig.damage == DAMAGE_GONE)
        assert_int_equal(unlink(rig.path), 0);
    if (rig.damage == DAMAGE_CUT)
        assert_int_equal(ftruncate(fd, JOURNAL_HEADER_BYTES), 0);
    if (rig.damage == DAMAGE_BATCH && pread(fd, &byte, 1, at) == 1) {
        byte ^= 0x55;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
}

/* The library reaches its journal by this call only; glibc calls it openat64 here. */
int openat(int fd, const char *path, int flags, ...)
{
    int (*real)(int, const char *, int, ...);
    mode_t mode = 0;
    *(void **)&real = dlsym(RTLD_NEXT, "openat64");
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "openat");
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (rig.path && strstr(path, ".target.haul") && ++rig.opens_count == rig.at_open)
        damage_file();
    return real(fd, path, flags, mode);
}

/* ---- files ---- */

struct place {
    char folder[64], source_path[128], target_path[128], journal_path[128];
    uint8_t *content;
    uint64_t size_bytes;
    uint32_t hole_first, hole_count; /* chunks */
};

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    if (!place)
        return -1;
    strcpy(place->folder, "/var/tmp/haul_journal_XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    snprintf(place->source_path, sizeof(place->source_path), "%s/source", place->folder);
    snprintf(place->target_path, sizeof(place->target_path), "%s/target", place->folder);
    snprintf(place->journal_path, sizeof(place->journal_path), "%s/.target.haul", place->folder);
    place->size_bytes = CHUNKS * CHUNK + 77;
    place->content = filled(place->size_bytes, 1);
    *state = place;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    rig.path = NULL;
    unlink(place->source_path);
    unlink(place->target_path);
    unlink(place->journal_path);
    int result = rmdir(place->folder);
    free(place->content);
    free(place);
    return result;
}

static void punch(const char *path, uint32_t first, uint32_t count)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (count == 0)
        return;
    assert_int_equal(fallocate(fd, mode, (off_t)first * CHUNK, (off_t)count * CHUNK), 0);
    const struct timespec times[2] = {{MTIME, 0}, {MTIME, MTIME_NS}};
    assert_int_equal(futimens(fd, times), 0);
}

/* Both files, with the hole; the target's second half was never written, and two chunks of its
 * first half are damaged. */
static void write_files(struct place *place)
{
    memset(place->content + (size_t)place->hole_first * CHUNK, 0,
           (size_t)place->hole_count * CHUNK);
    write_file(place->source_path, place->content, place->size_bytes, MODE);
    write_file(place->target_path, place->content, place->size_bytes, MODE);
    punch(place->source_path, place->hole_first, place->hole_count);
    punch(place->target_path, place->hole_first, place->hole_count);
    punch(place->target_path, CHUNKS / 2, CHUNKS / 2 + 1);
    AUTO_CLOSE int fd = open(place->target_path, O_WRONLY | O_CLOEXEC);
    for (uint64_t chunk = 1; chunk <= 9; chunk += 8)
        assert_int_equal(pwrite(fd, "damage", 6, (off_t)(chunk * CHUNK) + 5), 6);
    assert_int_equal(futimens(fd, NULL), 0);
}

/* A copy that was interrupted: the journal lists the first half, but for the hole. */
static void interrupted(struct place *place)
{
    struct journal *journal = NULL;
    struct facts source, target;
    write_files(place);
    assert_int_equal(file_describe(place->source_path, &source, NULL), 0);
    assert_int_equal(file_describe(place->target_path, &target, NULL), 0);
    const struct journal_header header = {
        .session = 7,
        .chunk_bytes = CHUNK,
        .size_bytes = place->size_bytes,
        .source = journal_identity_source(&source),
        .target = journal_identity_target(&target, place->size_bytes),
    };
    assert_int_equal(journal_open(&journal, &header, NULL), 0);
    assert_int_equal(journal_create(journal, AT_FDCWD, place->journal_path, NULL), 0);
    for (uint64_t chunk = 0; chunk < CHUNKS / 2; chunk++) {
        if (chunk >= place->hole_first && chunk < place->hole_first + place->hole_count)
            continue;
        struct digest digest = digest_of(place->content + chunk * CHUNK, CHUNK);
        assert_int_equal(journal_note(journal, chunk, &digest), 0);
    }
    struct request synced = {.kind = REQUEST_DATASYNC};
    const void *data;
    journal_seal(journal);
    struct journal_proof proof = journal_prove(journal, &synced);
    uint32_t length = journal_batch(journal, proof, &data);
    assert_int_equal(write(journal_fd(journal), data, length), length);
    journal_recorded(journal, proof, 0);
    journal_close(journal);
}

static int resume(struct place *place, const struct copy_wish *wish, struct receipt *receipt,
                  struct error *err)
{
    struct copy *copy = NULL;
    struct control control = {.stop = false};
    struct copy_wish wishes = *wish;
    wishes.chunk_bytes = CHUNK;
    wishes.memory_bytes = 8 * CHUNK;
    assert_int_equal(copy_open(&copy, &wishes, NULL, NULL, &control, err), 0);
    int result = run_one(copy, place->source_path, place->target_path, receipt, err);
    copy_close(copy);
    return result;
}

/* The one rule: 0 says that the target is right, and its digest, too; all else has words. */
static void check(struct place *place, int result, const struct receipt *receipt,
                  const struct error *err)
{
    assert_int_equal(result == 0, receipt_durable(receipt));
    assert_int_equal(result < 0, error_is_set(err));
    if (result < 0)
        return;
    assert_content(place->target_path, place->content, place->size_bytes);
    struct digest_fold *fold = digest_fold_open();
    for (uint64_t offset = 0; offset < place->size_bytes; offset += CHUNK) {
        struct digest digest =
            digest_of(place->content + offset, (size_t)min_u64(CHUNK, place->size_bytes - offset));
        digest_fold_add(fold, &digest);
    }
    struct digest whole = digest_fold_value(fold);
    digest_fold_close(fold);
    if (receipt->digest_known)
        assert_true(digest_equal(&receipt->digest, &whole));
}

static uint32_t resume_all(struct place *place, const struct copy_wish *wish)
{
    uint32_t damaged_count = 0;
    for (int damage = DAMAGE_NONE; damage < DAMAGE_KINDS; damage++) {
        for (uint32_t at_open = 1; at_open <= OPENS_MAX; at_open++) {
            struct receipt receipt;
            struct error err = {.class = ERROR_NONE};
            interrupted(place);
            rig.path = place->journal_path;
            rig.damage = (enum damage)damage;
            rig.at_open = at_open;
            rig.opens_count = 0;
            rig.done = false;
            int result = resume(place, wish, &receipt, &err);
            rig.path = NULL;
            damaged_count += rig.done && damage != DAMAGE_NONE;
            if (damage == DAMAGE_NONE)
                assert_int_equal(result, 0);
            check(place, result, &receipt, &err);
            unlink(place->journal_path);
            unlink(place->target_path);
        }
    }
    return damaged_count;
}

static void copy_collect_journal_damaged_at_any_reading_is_right_or_fails(void **state)
{
    assert_true(resume_all(*state, &(struct copy_wish){.file.resume = RESUME_AUTO}) > 8);
}

static void copy_collect_journal_damaged_append_verify_is_right_or_fails(void **state)
{
    assert_true(resume_all(*state, &(struct copy_wish){.file.resume = RESUME_APPEND_VERIFY}) > 8);
}

static void copy_collect_journal_damaged_sparse_is_right_or_fails(void **state)
{
    struct place *place = *state;
    place->hole_first = 3;
    place->hole_count = 4;
    assert_true(resume_all(place, &(struct copy_wish){.file.resume = RESUME_AUTO}) > 8);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(copy_collect_journal_damaged_at_any_reading_is_right_or_fails),
        IN_PLACE(copy_collect_journal_damaged_append_verify_is_right_or_fails),
        IN_PLACE(copy_collect_journal_damaged_sparse_is_right_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
