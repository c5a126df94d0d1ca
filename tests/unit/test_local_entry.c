/* Goal: a local side makes what a tree has besides regular files, tells what was there, and gives
 * everything its owner, details, mode and times, beneath the root only. */
#include "local_tests.h"

#include <sys/xattr.h>

enum { NOBODY = 65534 };

static struct facts wanted(enum file_kind kind)
{
    return (struct facts){.kind = kind,
                          .mode = 0751,
                          .uid = 1234,
                          .gid = 4321,
                          .mtime_seconds = -5,
                          .mtime_ns = 123456789,
                          .rdev = 0x103};
}

/* Source and target beneath the same root. */
static int setup(void **state)
{
    int result = bench_setup(state);
    struct bench *bench = *state;
    if (result < 0)
        return result;
    bench->source = bench_open_end(bench, SIDE_SOURCE, ENGINE_THREADS, NULL);
    bench->target = bench_open_end(bench, SIDE_TARGET, ENGINE_THREADS, NULL);
    for (int role = 0; role < 2; role++)
        bench->job.roots[role] = (struct job_root){.number = 1, .path = bench->folder};
    bench->job.source_path = "source";
    bench->job.target_path = "target";
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        bench->job.wish.attributes[i] = ATTRIBUTE_ARCHIVE;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    rmdir(bench->target_path);
    rmdir(bench->source_path);
    return bench_teardown(state);
}

static void make(struct bench *bench, enum file_kind kind)
{
    bench->job.facts[SIDE_SOURCE] = wanted(kind);
    must(bench, bench->target, control(bench), SIDE_MAKE);
}

static struct stat look(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static void make_and_adjust_every_kind(void **state)
{
    static const enum file_kind kinds[] = {FILE_LINK,   FILE_FIFO,   FILE_SOCKET, FILE_CHARACTER,
                                           FILE_DEVICE, FILE_FOLDER, FILE_REGULAR};
    struct bench *bench = *state;
    bench->job.link_text = "somewhere";
    for (size_t i = 0; i + 1 < COUNT_OF(kinds); i++) {
        make(bench, kinds[i]);
        assert_int_equal(bench->job.made, i == 0 ? JOB_CREATED : JOB_CHANGED);
        assert_int_equal(bench->job.facts[SIDE_TARGET].kind, i == 0 ? FILE_NONE : kinds[i - 1]);
        must(bench, bench->target, control(bench), SIDE_ADJUST);
        struct stat st = look(bench->target_path);
        assert_true(st.st_uid == 1234 && st.st_gid == 4321 && st.st_mtim.tv_sec == -5);
        if (kinds[i] != FILE_LINK)
            assert_int_equal(st.st_mode & 07777, 0751);
        make(bench, kinds[i]);
        assert_int_equal(bench->job.made, JOB_UNCHANGED);
        assert_int_equal(bench->job.facts[SIDE_TARGET].uid, 1234);
        must(bench, bench->target, control(bench), SIDE_ADJUST);
        assert_int_equal(bench->job.reports[SIDE_TARGET].attributes_changed, 0);
    }
    make(bench, FILE_REGULAR); /* room for one */
    assert_int_equal(bench->job.made, JOB_CHANGED);
    assert_false(is_there(bench->target_path));
}

static void make_dry_only_says_so(void **state)
{
    struct bench *bench = *state;
    bench->job.wish.dry = true;
    make(bench, FILE_FIFO);
    assert_int_equal(bench->job.made, JOB_CREATED);
    assert_false(is_there(bench->target_path));
}

static void make_the_root_is_that_it_is_there(void **state)
{
    struct bench *bench = *state;
    bench->job.target_path = "";
    make(bench, FILE_FOLDER);
    assert_int_equal(bench->job.made, JOB_UNCHANGED);
    assert_int_equal(bench->job.facts[SIDE_TARGET].inode, look(bench->folder).st_ino);
    bench->job.facts[SIDE_SOURCE] = wanted(FILE_FIFO);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_MAKE), -EISDIR);
}

static void make_without_a_root_by_the_path(void **state)
{
    struct bench *bench = *state;
    bench->job.roots[SIDE_TARGET].number = 0;
    bench->job.target_path = bench->target_path;
    make(bench, FILE_FOLDER);
    assert_int_equal(bench->job.made, JOB_CREATED);
    assert_true(S_ISDIR(look(bench->target_path).st_mode));
}

/* --no-perms: what a folder would keep is told, though it is ours to use for now. */
static void make_a_folder_tells_the_mode_that_it_may_keep(void **state)
{
    struct bench *bench = *state;
    mode_t before = umask(027);
    bench->job.wish.attributes[ATTRIBUTE_MODE] = ATTRIBUTE_LEAVE;
    bench->job.facts[SIDE_SOURCE] = wanted(FILE_FOLDER);
    bench->job.facts[SIDE_SOURCE].mode = 0577;
    must(bench, bench->target, control(bench), SIDE_MAKE);
    umask(before);
    assert_int_equal(look(bench->target_path).st_mode & 07777, 0750);
    assert_int_equal(bench->job.facts[SIDE_TARGET].kind, FILE_NONE);
    assert_int_equal(bench->job.facts[SIDE_TARGET].mode, 0550);
}

static void make_a_hard_link_beneath_the_root(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 10);
    bench->job.hard_link = true;
    bench->job.link_text = "source";
    make(bench, FILE_REGULAR);
    assert_int_equal(bench->job.made, JOB_CREATED);
    assert_int_equal(look(bench->target_path).st_ino, look(bench->source_path).st_ino);
    make(bench, FILE_REGULAR);
    assert_int_equal(bench->job.made, JOB_UNCHANGED);
    bench->job.link_text = "../../etc/passwd";
    bench->job.facts[SIDE_SOURCE] = wanted(FILE_REGULAR);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_MAKE), -EXDEV);
}

static void make_in_the_place_of_a_folder_with_content_is_refused(void **state)
{
    struct bench *bench = *state;
    char inner[256];
    snprintf(inner, sizeof(inner), "%s/x", bench->target_path);
    assert_int_equal(mkdir(bench->target_path, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    bench->job.facts[SIDE_SOURCE] = wanted(FILE_FIFO);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_MAKE), -ENOTEMPTY);
    assert_non_null(strstr(bench->err.text, "not empty"));
    assert_int_equal(rmdir(inner), 0);
}

static void make_in_the_place_of_an_unfinished_file_ends_its_journal(void **state)
{
    struct bench *bench = *state;
    char journal[128];
    snprintf(journal, sizeof(journal), "%s/.target.haul", bench->folder);
    write_filled(bench->target_path, 10, 1);
    write_filled(journal, 0, 1);
    make(bench, FILE_FIFO);
    assert_int_equal(bench->job.facts[SIDE_TARGET].kind, FILE_REGULAR);
    assert_false(is_there(journal));
}

/* Something else has come there since it was made. */
static void adjust_of_another_kind_is_refused(void **state)
{
    struct bench *bench = *state;
    make(bench, FILE_FIFO);
    bench->job.facts[SIDE_SOURCE] = wanted(FILE_FOLDER);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_ADJUST), -ESTALE);
    assert_int_equal(look(bench->target_path).st_uid, 0);
}

/* What a link of the same name leads to stays as it is. */
static void adjust_follows_nothing(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 10);
    struct stat before = look(bench->source_path);
    bench->job.link_text = "source";
    make(bench, FILE_LINK);
    must(bench, bench->target, control(bench), SIDE_ADJUST);
    struct stat after = look(bench->source_path);
    assert_true(after.st_uid == before.st_uid && after.st_mtim.tv_sec == before.st_mtim.tv_sec);
    assert_int_equal(look(bench->target_path).st_uid, 1234);
}

static void put(const char *path, const char *name, const char *value)
{
    assert_int_equal(lsetxattr(path, name, value, strlen(value), 0), 0);
}

static bool has(const char *path, const char *name, const char *value)
{
    char found[64];
    ssize_t length = lgetxattr(path, name, found, sizeof(found));
    return length == (ssize_t)strlen(value) && memcmp(found, value, strlen(value)) == 0;
}

static struct slot *detail(struct bench *bench)
{
    struct slot *slot = &bench->slots[0];
    slot->length = slot->capacity;
    must(bench, bench->source, slot, SIDE_DETAIL);
    slot->length = slot->count;
    return slot;
}

static void dress_what_is_not_open_does_everything(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(mkdir(bench->source_path, 0700), 0);
    put(bench->source_path, "user.a", "x");
    put(bench->source_path, "trusted.b", "y");
    make(bench, FILE_FOLDER);
    put(bench->target_path, "user.surplus", "z");
    must(bench, bench->target, detail(bench), SIDE_DRESS);
    assert_true(has(bench->target_path, "user.a", "x") &&
                has(bench->target_path, "trusted.b", "y"));
    assert_true(lgetxattr(bench->target_path, "user.surplus", NULL, 0) < 0);
    struct stat st = look(bench->target_path);
    assert_true(st.st_uid == 1234 && (st.st_mode & 07777) == 0751 && st.st_mtim.tv_sec == -5);
    must(bench, bench->target, detail(bench), SIDE_DRESS);
    assert_int_equal(bench->job.reports[SIDE_TARGET].attributes_changed, 0);
}

static void detail_and_dress_of_a_file_that_is_open(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    put(bench->source_path, "user.a", "x");
    bench_open_files(bench);
    copy_all(bench);
    must(bench, bench->target, detail(bench), SIDE_DRESS);
    struct stat st = look(bench->target_path);
    assert_true(has(bench->target_path, "user.a", "x") && st.st_mtim.tv_sec != MTIME);
    commit(bench);
    /* Of a new file everything is new. */
    assert_int_equal(bench->job.reports[SIDE_TARGET].attributes_changed, 0);
    assert_int_equal(bench->job.reports[SIDE_TARGET].attributes_lost, 0);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
    assert_int_equal(look(bench->target_path).st_mtim.tv_sec, MTIME);
}

static void detail_that_is_not_asked_for_is_nothing(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(mkdir(bench->source_path, 0700), 0);
    put(bench->source_path, "user.a", "x");
    bench->job.wish.attributes[ATTRIBUTE_XATTRS] = ATTRIBUTE_DEFAULT;
    assert_int_equal(detail(bench)->count, 0);
}

static void detail_that_does_not_fit_is_said(void **state)
{
    struct bench *bench = *state;
    struct slot *slot = &bench->slots[0];
    assert_int_equal(mkdir(bench->source_path, 0700), 0);
    put(bench->source_path, "user.a", "0123456789");
    slot->length = 16;
    assert_int_equal(call(bench, bench->source, slot, SIDE_DETAIL), -E2BIG);
    assert_non_null(strstr(bench->err.text, "--chunk-size"));
}

static void dress_by_a_liar_is_refused(void **state)
{
    struct bench *bench = *state;
    struct slot *slot = &bench->slots[0];
    make(bench, FILE_FOLDER);
    memset(slot->buffer, 0xff, 64);
    slot->length = 64;
    assert_int_equal(call(bench, bench->target, slot, SIDE_DRESS), -EBADMSG);
    assert_int_equal(look(bench->target_path).st_uid, 0);
}

static void names_of_the_owner_are_told_and_mapped(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 10);
    assert_int_equal(chown(bench->source_path, NOBODY, NOBODY), 0);
    must(bench, bench->source, control(bench), SIDE_DESCRIBE);
    assert_string_equal(bench->job.names[SIDE_SOURCE].of[OWNERS_USER], "nobody");
    make(bench, FILE_FIFO);
    must(bench, bench->target, control(bench), SIDE_ADJUST);
    assert_int_equal(look(bench->target_path).st_uid, NOBODY); /* whatever its number was there */
    bench->job.wish.numeric_ids = true;
    must(bench, bench->target, control(bench), SIDE_ADJUST);
    assert_int_equal(look(bench->target_path).st_uid, 1234);
}

#define IN_BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BENCH(make_and_adjust_every_kind),
        IN_BENCH(make_dry_only_says_so),
        IN_BENCH(make_the_root_is_that_it_is_there),
        IN_BENCH(make_without_a_root_by_the_path),
        IN_BENCH(make_a_folder_tells_the_mode_that_it_may_keep),
        IN_BENCH(make_a_hard_link_beneath_the_root),
        IN_BENCH(make_in_the_place_of_a_folder_with_content_is_refused),
        IN_BENCH(make_in_the_place_of_an_unfinished_file_ends_its_journal),
        IN_BENCH(adjust_of_another_kind_is_refused),
        IN_BENCH(adjust_follows_nothing),
        IN_BENCH(dress_what_is_not_open_does_everything),
        IN_BENCH(detail_and_dress_of_a_file_that_is_open),
        IN_BENCH(detail_that_is_not_asked_for_is_nothing),
        IN_BENCH(detail_that_does_not_fit_is_said),
        IN_BENCH(dress_by_a_liar_is_refused),
        IN_BENCH(names_of_the_owner_are_told_and_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
