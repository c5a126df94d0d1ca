/* test_removal.c - what is removed, what stays, and that nothing else is touched. */
#include "in_child.h"
#include "swapping.h"
#include "walk_tests.h"

#include "haul/disk/removal.h"

#include <grp.h>
#include <sys/resource.h>

static atomic_bool unwanted;
static const struct removal_leave for_ever = {.over = &unwanted};

static int removed(struct grove *grove, const char *path)
{
    grove->err.class = ERROR_NONE;
    int result = removal_of(&grove->root, path, &for_ever, &grove->err);
    assert_int_equal(result < 0, error_is_set(&grove->err));
    return result;
}

static void removal_of_anything_leaves_what_links_lead_to(void **state)
{
    struct grove *grove = *state;
    make_folder("outside");
    touch("outside/file");
    make_folder("root/folder");
    make_folder("root/folder/inner");
    touch("root/folder/inner/file");
    touch("root/folder/.hidden");
    assert_int_equal(symlink("../../outside", "root/folder/link"), 0);
    assert_int_equal(symlink("../outside", "root/link"), 0);
    assert_int_equal(mkfifo("root/folder/fifo", 0600), 0);
    touch("root/file");
    make_folder("root/empty");
    const char *const paths[] = {"folder", "link", "file", "empty", "none", "none/none"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        char path[32];
        snprintf(path, sizeof(path), "root/%s", paths[i]);
        assert_int_equal(removed(grove, paths[i]), 0);
        assert_false(is_there(path));
    }
    assert_true(is_there("outside/file"));
    assert_int_equal(rmdir("root"), 0);
}

static void removal_of_what_may_not_go_is_an_error(void **state)
{
    struct grove *grove = *state;
    make_folder("outside");
    touch("outside/file");
    assert_int_equal(symlink("../outside", "root/link"), 0);
    const char *const paths[] = {"", ".", "..", "link/file", "../outside", "link/", "/"};
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        assert_true(removed(grove, paths[i]) < 0);
    assert_true(is_there("outside/file") && is_there("root/link"));
}

/* Between two names; what is left goes the next time. */
static void removal_that_is_late_or_unwanted_stops(void **state)
{
    struct grove *grove = *state;
    atomic_bool over = true;
    const struct removal_leave late = {.over = &unwanted, .until_ns = 1};
    const struct removal_leave gone = {.over = &over};
    make_folder("root/folder");
    touch("root/folder/file");
    assert_int_equal(removal_of(&grove->root, "folder", &late, &grove->err), REMOVAL_LATE);
    assert_false(error_is_set(&grove->err));
    assert_true(is_there("root/folder/file"));
    assert_int_equal(removal_of(&grove->root, "folder", &gone, &grove->err), -ECANCELED);
    assert_true(is_there("root/folder/file"));
    assert_int_equal(removed(grove, "folder"), 0);
    assert_false(is_there("root/folder"));
}

static int probed(struct grove *grove, const char *path)
{
    grove->err.class = ERROR_NONE;
    int result = removal_probe(&grove->root, path, &grove->err);
    assert_int_equal(result < 0, error_is_set(&grove->err));
    return result;
}

static int probe_as_nobody(struct grove *grove)
{
    CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(probed(grove, "open/file") == 0);
    CHECK(probed(grove, "open/empty") == 0);
    CHECK(probed(grove, "open/none") == 0);
    CHECK(probed(grove, "open/full") == -EACCES);
    CHECK(probed(grove, "closed/file") == -EACCES);
    CHECK(probed(grove, "sticky/file") == -EPERM);
    return 0;
}

static void probe_of_what_may_not_go_says_so_and_changes_nothing(void **state)
{
    struct grove *grove = *state;
    const char *const folders[] = {"root/open", "root/closed", "root/sticky", "root/open/empty",
                                   "root/open/full"};
    const char *const files[] = {"root/open/file", "root/open/full/file", "root/closed/file",
                                 "root/sticky/file"};
    for (size_t i = 0; i < COUNT_OF(folders); i++)
        make_folder(folders[i]);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        touch(files[i]);
    assert_int_equal(chmod("root", 0755) | chmod("root/open", 0777) |
                         chmod("root/open/full", 0755) | chmod("root/closed", 0755) |
                         chmod("root/sticky", 01777),
                     0);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        assert_int_equal(probed(grove, files[i] + strlen("root/")), 0);
    if (geteuid() == 0)
        IN_CHILD(probe_as_nobody(grove));
    for (size_t i = 0; i < COUNT_OF(files); i++)
        assert_true(is_there(files[i]));
}

/* More than is read at once, in folders that are gone through again. */
static void removal_of_many_names_leaves_none(void **state)
{
    struct grove *grove = *state;
    char name[300];
    make_folder("root/many");
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "root/many/%0200d", i);
        if (i % 50 == 0)
            make_folder(name);
        else
            touch(name);
        snprintf(name, sizeof(name), "root/many/%0200d/file", i);
        if (i % 50 == 0)
            touch(name);
    }
    assert_int_equal(removed(grove, "many"), 0);
    assert_false(is_there("root/many"));
}

static void removal_of_many_levels_holds_some_of_them(void **state)
{
    struct grove *grove = *state;
    enum { LEVELS = 200 };
    AUTO_CLOSE int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir("root"), 0);
    for (int i = 0; i < LEVELS; i++) {
        make_folder("d");
        touch("file");
        make_folder("z");
        touch("z/file");
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(fchdir(fd), 0);
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = count_descriptors() + DESCENT_HELD_MAX + 8;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(removed(grove, "d"), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(is_there("root/d"));
}

static int removal_as_another_user(struct grove *grove)
{
    CHECK(setegid(4000) == 0 && seteuid(4000) == 0);
    CHECK(removed(grove, "folder") == -EACCES);
    CHECK(strstr(grove->err.text, "root/folder/theirs/file: cannot be removed"));
    CHECK(!is_there("root/folder/closed") && !is_there("root/folder/file"));
    return 0;
}

/* A folder of our own that is closed to us is opened; what is another's stays, and nothing else. */
static void removal_goes_on_behind_what_cannot_be_removed(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip(); /* chown(2) */
    make_folder("root/folder");
    make_folder("root/folder/theirs");
    touch("root/folder/theirs/file");
    make_folder("root/folder/closed");
    touch("root/folder/closed/file");
    touch("root/folder/file");
    const char *const ours[] = {"root", "root/folder", "root/folder/closed"};
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        assert_int_equal(chown(ours[i], 4000, 4000), 0);
    assert_int_equal(chmod("root/folder/closed", 0), 0);
    IN_CHILD(removal_as_another_user(grove));
    assert_true(is_there("root/folder/theirs/file"));
}

static int removal_beside_a_mount(struct grove *grove)
{
    CHECK(child_own_mounts());
    CHECK(mount("tmpfs", "root/folder/mounted", "tmpfs", 0, "size=64k") == 0);
    touch("root/folder/mounted/file");
    place_close(&grove->root); /* it was among other mounts */
    CHECK(place_open_tree(&grove->root, NULL, "root", &grove->err) == 0);
    CHECK(removed(grove, "folder") == -EBUSY);
    CHECK(strstr(grove->err.text, "root/folder/mounted: cannot be removed"));
    CHECK(is_there("root/folder/mounted/file") && !is_there("root/folder/file"));
    return 0;
}

static void removal_stays_on_its_file_system(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip();
    make_folder("root/folder");
    touch("root/folder/file");
    make_folder("root/folder/mounted");
    IN_CHILD(removal_beside_a_mount(grove));
}

/* The folder above, and one on the way, become links to what must stay. */
static void removal_in_a_race_touches_nothing_outside(void **state)
{
    struct grove *grove = *state;
    make_folder("outside");
    make_folder("outside/sub");
    touch("outside/sub/file");
    touch("outside/file");
    make_folder("root/a");
    assert_int_equal(symlink("../outside", "root/b"), 0);
    for (int way = 0; way < 2; way++) {
        struct swapping swapping;
        grove->root.walks_only = way;
        AUTO_CLOSE int fd = open("root/a", O_PATH | O_DIRECTORY | O_CLOEXEC);
        swapping_start(&swapping, "root/a", "root/b");
        while (swapping_goes_on(&swapping)) {
            (void)mkdirat(fd, "sub", 0700);
            AUTO_CLOSE int fd_file = openat(fd, "sub/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            assert_true(fd_file >= 0);
            struct error err = {.class = ERROR_NONE};
            swapping_saw(&swapping, removal_of(&grove->root, "a/sub", &for_ever, &err) == 0);
        }
        swapping_stop(&swapping);
        if (readlink("root/a", (char[8]){0}, 8) > 0)
            assert_int_equal(renameat2(AT_FDCWD, "root/a", AT_FDCWD, "root/b", RENAME_EXCHANGE), 0);
        assert_true(is_there("outside/sub/file") && is_there("outside/file"));
    }
}

#define IN_GROVE(test) cmocka_unit_test_setup_teardown(test, grove_setup, grove_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_GROVE(removal_of_anything_leaves_what_links_lead_to),
        IN_GROVE(removal_of_what_may_not_go_is_an_error),
        IN_GROVE(removal_that_is_late_or_unwanted_stops),
        IN_GROVE(probe_of_what_may_not_go_says_so_and_changes_nothing),
        IN_GROVE(removal_of_many_names_leaves_none),
        IN_GROVE(removal_of_many_levels_holds_some_of_them),
        IN_GROVE(removal_goes_on_behind_what_cannot_be_removed),
        IN_GROVE(removal_stays_on_its_file_system),
        IN_GROVE(removal_in_a_race_touches_nothing_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
