/* test_place.c - nothing outside of the folder is reached, by any path, link or race; both with
 * openat2(2) and by the walk that stands in for it. And what file.c makes of a place. */
#include "facts_tests.h"
#include "in_child.h"
#include "swapping.h"

#include "haul/disk/place.h"

#include "haul/base/cleanup.h"
#include "haul/disk/file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

enum { NAME_BYTES = 160 };

/* The way that paths are resolved, in a test's initial state. */
static bool by_kernel = false, by_walk = true;

/* BASE/jail is the place, BASE/outside must not be seen. */
struct rig {
    char base[32], jail[48], outside[48];
    struct place place;
    struct error error;
};

/* ---- the rig ---- */

static const char *in(const char *folder, const char *name)
{
    static char paths[32][NAME_BYTES];
    static unsigned int next;
    char *path = paths[next++ % COUNT_OF(paths)];
    snprintf(path, NAME_BYTES, "%s/%s", folder, name);
    return path;
}

static void make_file(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Its text, at most capacity - 1 bytes. */
static const char *text_of(int fd)
{
    static char text[64];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(got >= 0);
    text[got] = '\0';
    return text;
}

static void assert_text(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_string_equal(text_of(fd), text);
}

static void rig_files(const struct rig *rig)
{
    assert_int_equal(mkdir(rig->jail, 0700), 0);
    assert_int_equal(mkdir(rig->outside, 0700), 0);
    assert_int_equal(mkdir(in(rig->base, "jailbreak"), 0700), 0);
    assert_int_equal(mkdir(in(rig->jail, "sub"), 0700), 0);
    assert_int_equal(mkdir(in(rig->jail, "sub/deeper"), 0700), 0);
    make_file(in(rig->jail, "file"), "inside");
    make_file(in(rig->jail, "sub/inner"), "inside");
    make_file(in(rig->jail, "sub/deeper/inner"), "inside");
    make_file(in(rig->jail, "sub/..inner"), "inside");
    assert_int_equal(mkdir(in(rig->jail, "break"), 0700), 0);
    make_file(in(rig->jail, "break/secret"), "inside"); /* what jailbreak/secret is not */
    make_file(in(rig->outside, "secret"), "secret");
    make_file(in(rig->base, "jailbreak/secret"), "secret");
    assert_int_equal(symlink("jail", in(rig->base, "alias")), 0);
}

static void rig_links(const struct rig *rig)
{
    const char *const links[][2] = {
        {"../outside", "link"},          {rig->outside, "absolute"},
        {"../outside/secret", "secret"}, {in(rig->outside, "new"), "new"},
        {"/proc/self/root", "root"},     {"..", "up"},
        {"../../outside", "sub/link"},   {"sub/../../outside", "winding"},
        {"/proc/self/cwd", "sub/magic"}, {"loop", "loop"},
    };
    for (size_t i = 0; i < COUNT_OF(links); i++)
        assert_int_equal(symlink(links[i][0], in(rig->jail, links[i][1])), 0);
    assert_int_equal(symlink("sub", in(rig->jail, "within")), 0);
    assert_int_equal(symlink("sub/inner", in(rig->jail, "inner")), 0);
    assert_int_equal(symlink("../file", in(rig->jail, "sub/above")), 0);
}

static int rig_open(void **state)
{
    bool walks = *(const bool *)*state;
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->base, "/var/tmp/haul-place-XXXXXX");
    assert_non_null(mkdtemp(rig->base));
    snprintf(rig->jail, sizeof(rig->jail), "%s/jail", rig->base);
    snprintf(rig->outside, sizeof(rig->outside), "%s/outside", rig->base);
    rig_files(rig);
    rig_links(rig);
    assert_int_equal(place_open(&rig->place, rig->jail, &rig->error), 0);
    assert_false(rig->place.walks_only); /* Linux 5.6 or later, and no old filter around us */
    rig->place.walks_only = walks;
    *state = rig;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    char command[64];
    place_close(&rig->place);
    snprintf(command, sizeof(command), "rm -rf '%s'", rig->base);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

static void assert_outside_untouched(const struct rig *rig)
{
    struct stat st;
    assert_text(in(rig->outside, "secret"), "secret");
    assert_text(in(rig->base, "jailbreak/secret"), "secret");
    assert_int_equal(stat(in(rig->outside, "new"), &st), -1);
    assert_int_equal(stat(in(rig->base, "jailbreak/new"), &st), -1);
    assert_int_equal(stat(in(rig->base, "new"), &st), -1);
}

/* ---- paths ---- */

static void assert_reached(const struct place *place, const char *path)
{
    struct stat st;
    AUTO_CLOSE int fd = place_reach(place, path, O_RDONLY);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(-fd));
    assert_string_equal(text_of(fd), "inside");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(place_look(place, path, &st), 0);
    assert_int_equal(st.st_size, (off_t)strlen("inside"));
}

static void reach_beneath_opens(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"file",        "./file",           "sub/inner",  "sub//inner",
                                 "sub/./inner", "sub/deeper/inner", "sub/..inner"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_reached(&rig->place, names[i]);
        assert_reached(&rig->place, in(rig->jail, names[i]));
    }
    AUTO_CLOSE int fd = place_reach(&rig->place, rig->jail, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(place_reach(&rig->place, "missing", O_RDONLY), -ENOENT);
    assert_int_equal(place_reach(&rig->place, "missing/file", O_RDONLY), -ENOENT);
    assert_int_equal(place_reach(&rig->place, "file/inner", O_RDONLY), -ENOTDIR);
    assert_int_equal(place_reach(&rig->place, "file/", O_RDONLY), -ENOTDIR);
}

/* DIR was named by a symbolic link: its absolute paths are understood in both spellings. */
static void reach_below_an_alias_opens(void **state)
{
    struct rig *rig = *state;
    struct place place;
    char alias[NAME_BYTES];
    snprintf(alias, sizeof(alias), "%s/alias/", rig->base);
    assert_int_equal(place_open(&place, alias, &rig->error), 0);
    place.walks_only = rig->place.walks_only;
    assert_reached(&place, in(rig->base, "alias/file"));
    assert_reached(&place, in(rig->jail, "sub/inner"));
    place_close(&place);
}

/* Everything is below "/"; a link's absolute target is outside all the same. */
static void reach_below_the_root_opens(void **state)
{
    struct rig *rig = *state;
    struct place place;
    assert_int_equal(place_open(&place, "/", &rig->error), 0);
    place.walks_only = rig->place.walks_only;
    assert_reached(&place, in(rig->jail, "file"));
    assert_reached(&place, in(rig->jail, "file") + 1);
    assert_true(place_reach(&place, in(rig->jail, "root/etc/passwd"), O_RDONLY) < 0);
    assert_true(place_reach(&place, in(rig->jail, "../jail/file"), O_RDONLY) < 0);
    place_close(&place);
}

static void reach_without_a_place_is_open(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    AUTO_CLOSE int fd = place_reach(NULL, in(rig->jail, "link/secret"), O_RDONLY);
    assert_true(fd >= 0);
    assert_string_equal(text_of(fd), "secret");
    assert_int_equal(place_look(NULL, in(rig->jail, "sub/../file"), &st), 0);
    assert_int_equal(place_look(NULL, in(rig->jail, "none"), &st), -ENOENT);
    AUTO_CLOSE int folder = place_reach_folder(NULL, "/none", O_RDONLY);
    assert_true(folder >= 0);
}

/* Every name for something outside. {} stands for BASE. */
static const char *const outside_names[] = {
    "../outside/secret",
    "..",
    "../",
    "./../outside/secret",
    "sub/../../outside/secret",
    "sub/deeper/../../../outside/secret",
    "sub/../file", /* it would be inside; ".." is not looked into */
    "missing/../../outside/secret",
    "{}/outside/secret",
    "{}/jail/../outside/secret",
    "{}/jail/sub/../../outside/secret",
    "{}/jailbreak/secret", /* begins with the same letters */
    "{}/jai",
    "{}",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/root/etc/passwd",
    "link/secret",
    "absolute/secret",
    "secret",
    "new",
    "up/outside/secret",
    "up",
    "winding/secret",
    "sub/link/secret",
    "sub/magic/secret",
    "root/etc/passwd",
    "root",
    "loop",
};

static const char *outside_name(const struct rig *rig, size_t index)
{
    static char name[NAME_BYTES];
    const char *text = outside_names[index];
    bool absolute = strncmp(text, "{}", 2) == 0;
    snprintf(name, sizeof(name), "%s%s", absolute ? rig->base : "", text + (absolute ? 2 : 0));
    return name;
}

static void reach_outside_is_refused(void **state)
{
    struct rig *rig = *state;
    const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_DIRECTORY,
                         O_PATH | O_DIRECTORY};
    for (size_t i = 0; i < COUNT_OF(outside_names); i++) {
        const char *name = outside_name(rig, i);
        struct stat st;
        for (size_t f = 0; f < COUNT_OF(flags); f++) {
            AUTO_CLOSE int fd = place_reach(&rig->place, name, flags[f]);
            if (fd >= 0)
                fail_msg("%s was opened", name);
        }
        if (place_look(&rig->place, name, &st) == 0)
            fail_msg("%s was looked at", name);
    }
    assert_outside_untouched(rig);
}

static void reach_by_a_link_within_follows_only_with_openat2(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"within/inner", "inner", "sub/above"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (rig->place.walks_only)
            assert_true(place_reach(&rig->place, names[i], O_RDONLY) < 0);
        else
            assert_reached(&rig->place, names[i]);
    }
}

static void reach_folder_gives_the_folder_of_the_last_name(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"sub/inner", "sub//inner", "sub/deeper/inner", "file"};
    const char *const no_names[] = {"sub/", ".", "..", "sub/.", "sub/..", "", "/"};
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO_CLOSE int fd = place_reach_folder(&rig->place, names[i], O_PATH);
        assert_true(fd >= 0);
        assert_int_equal(fstatat(fd, place_name(names[i]), &st, AT_SYMLINK_NOFOLLOW), 0);
    }
    for (size_t i = 0; i < COUNT_OF(no_names); i++)
        assert_int_equal(place_reach_folder(&rig->place, no_names[i], O_PATH), -EISDIR);
    assert_int_equal(place_reach_folder(&rig->place, rig->jail, O_PATH), -EXDEV);
    assert_int_equal(place_reach_folder(&rig->place, "../outside/new", O_PATH), -EXDEV);
    assert_true(place_reach_folder(&rig->place, "link/new", O_PATH) < 0);
    assert_int_equal(place_reach_folder(&rig->place, "file/new", O_PATH), -ENOTDIR);
}

static void create_makes_what_is_not_there_and_follows_no_link(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"made", "sub/made", "sub//deeper/made"};
    const char *const there[] = {"file", "sub", "sub/inner", "new"};
    const char *const no_names[] = {"sub/", ".", "..", "sub/.", "", "/"};
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO_CLOSE int fd = place_create(&rig->place, names[i], O_RDWR, 0640);
        assert_true(fd >= 0);
        assert_int_equal(stat(in(rig->jail, names[i]), &st), 0);
        assert_true(S_ISREG(st.st_mode) && (st.st_mode & 07000) == 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(place_create(&rig->place, names[i], O_RDWR, 0640), -EEXIST);
    }
    for (size_t i = 0; i < COUNT_OF(there); i++)
        assert_int_equal(place_create(&rig->place, there[i], O_RDWR, 0600), -EEXIST);
    for (size_t i = 0; i < COUNT_OF(no_names); i++)
        assert_int_equal(place_create(&rig->place, no_names[i], O_RDWR, 0600), -EISDIR);
    assert_int_equal(place_create(&rig->place, rig->jail, O_RDWR, 0600), -EXDEV);
    assert_int_equal(place_create(&rig->place, "file/made", O_RDWR, 0600), -ENOTDIR);
    for (size_t i = 0; i < COUNT_OF(outside_names); i++)
        assert_true(place_create(&rig->place, outside_name(rig, i), O_RDWR, 0600) < 0);
    assert_outside_untouched(rig);
}

static void reach_by_a_long_name_is_an_error(void **state)
{
    struct rig *rig = *state;
    char name[2 * PATH_MAX];
    const size_t lengths[] = {NAME_MAX + 1, PATH_MAX - 2, PATH_MAX - 1,
                              PATH_MAX,     PATH_MAX + 1, 2 * PATH_MAX - 1};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        memset(name, 'a', sizeof(name));
        name[lengths[i]] = '\0';
        assert_int_equal(place_reach(&rig->place, name, O_RDONLY), -ENAMETOOLONG);
        name[lengths[i] - 2] = '/';
        assert_int_equal(place_reach_folder(&rig->place, name, O_PATH),
                         i == 0 ? -ENOENT : -ENAMETOOLONG);
    }
}

/* Of pieces that end before, in and behind a run of slashes. */
static void reach_by_a_long_path_goes_in_pieces(void **state)
{
    struct rig *rig = *state;
    char path[3 * PATH_MAX];
    for (size_t first = 1; first < 9; first++) {
        size_t used = 1 + first;
        memset(path, '/', sizeof(path));
        path[0] = '.';
        for (; used < 2 * PATH_MAX; used += 1 + used % 5 + 1)
            path[used] = '.';
        strcpy(path + used, "sub/inner");
        assert_reached(&rig->place, path);
    }
}

/* ---- the race ---- */

/* One round; true: it was opened. Fails the test when that was something outside. */
typedef bool race_round(struct rig *rig);

static void race_run(struct rig *rig, const char *one, const char *other, race_round *round)
{
    struct swapping swapping;
    swapping_start(&swapping, one, other);
    while (swapping_goes_on(&swapping))
        swapping_saw(&swapping, round(rig));
    swapping_stop(&swapping);
    assert_outside_untouched(rig);
}

static bool race_read(struct rig *rig)
{
    struct file file;
    struct error err = {.class = ERROR_NONE};
    if (file_open_source_in(&file, &rig->place, "race/secret", &err) < 0)
        return false;
    assert_string_equal(text_of(file.fd), "inside");
    file_close(&file);
    return true;
}

static bool race_write(struct rig *rig)
{
    struct file file;
    struct error err = {.class = ERROR_NONE};
    const struct file_open_wish wish = {.place = &rig->place};
    if (file_open_target(&file, "race/new", &wish, &err) < 0)
        return false;
    struct stat st;
    bool inside = fstatat(file.fd_folder, "mark", &st, 0) == 0;
    assert_true(inside);
    assert_int_equal(unlinkat(file.fd_folder, "new", 0), 0);
    file_close(&file);
    return true;
}

static bool race_last(struct rig *rig)
{
    struct file file;
    struct error err = {.class = ERROR_NONE};
    const struct file_open_wish wish = {.place = &rig->place};
    if (file_open_target(&file, "sub/last", &wish, &err) < 0)
        return false;
    assert_string_equal(text_of(file.fd), "inside");
    file_close(&file);
    return true;
}

static void race_between_folder_and_link_stays_inside(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(mkdir(in(rig->jail, "race"), 0700), 0);
    make_file(in(rig->jail, "race/secret"), "inside");
    make_file(in(rig->jail, "race/mark"), "inside");
    assert_int_equal(symlink("../outside", in(rig->jail, "other")), 0);
    char one[NAME_BYTES], other[NAME_BYTES];
    strcpy(one, in(rig->jail, "race"));
    strcpy(other, in(rig->jail, "other"));
    race_run(rig, one, other, race_read);
    race_run(rig, one, other, race_write);
}

static void race_of_the_last_name_stays_inside(void **state)
{
    struct rig *rig = *state;
    make_file(in(rig->jail, "sub/last"), "inside");
    assert_int_equal(symlink("../../outside/secret", in(rig->jail, "sub/other")), 0);
    char one[NAME_BYTES], other[NAME_BYTES];
    strcpy(one, in(rig->jail, "sub/last"));
    strcpy(other, in(rig->jail, "sub/other"));
    race_run(rig, one, other, race_last);
}

/* ---- files in a place ---- */

static void file_outside_is_refused(void **state)
{
    struct rig *rig = *state;
    const struct file_open_wish wish = {.place = &rig->place};
    for (size_t i = 0; i < COUNT_OF(outside_names); i++) {
        const char *name = outside_name(rig, i);
        struct file file;
        struct facts facts;
        struct error err = {.class = ERROR_NONE};
        if (file_describe_in(&rig->place, name, &facts, &err) == 0 && facts.kind != FILE_NONE)
            fail_msg("%s was described", name);
        err.class = ERROR_NONE;
        assert_true(file_open_source_in(&file, &rig->place, name, &err) < 0);
        assert_true(error_is_set(&err));
        err.class = ERROR_NONE;
        assert_true(file_open_target(&file, name, &wish, &err) < 0);
        assert_true(error_is_set(&err));
    }
    assert_outside_untouched(rig);
}

static void file_beneath_is_read_and_written(void **state)
{
    struct rig *rig = *state;
    const struct file_open_wish wish = {.place = &rig->place};
    struct file file;
    assert_int_equal(file_open_source_in(&file, &rig->place, "sub/inner", &rig->error), 0);
    assert_string_equal(text_of(file.fd), "inside");
    AUTO_CLOSE int again = file_reopen(&file, O_RDONLY);
    assert_true(again >= 0);
    file_close(&file);
    assert_int_equal(file_open_target(&file, "sub/new", &wish, &rig->error), 0);
    assert_true(file.created && file.readable && file.writable);
    assert_int_equal(write(file.fd, "new", 3), 3);
    file_close(&file);
    assert_text(in(rig->jail, "sub/new"), "new");
    assert_int_equal(file_open_target(&file, in(rig->jail, "sub/new"), &wish, &rig->error), 0);
    assert_false(file.created);
    assert_string_equal(text_of(file.fd), "new");
    file_close(&file);
}

static void file_that_is_none_is_refused(void **state)
{
    struct rig *rig = *state;
    const struct file_open_wish wish = {.place = &rig->place, .write_devices = true};
    const char *const names[] = {"fifo", "block", "character", "driverless", "sub"};
    assert_int_equal(mkfifo(in(rig->jail, "fifo"), 0600), 0);
    if (geteuid() != 0)
        skip(); /* needs root for mknod */
    assert_int_equal(mknod(in(rig->jail, "block"), S_IFBLK | 0600, makedev(7, 0)), 0);
    assert_int_equal(mknod(in(rig->jail, "character"), S_IFCHR | 0600, makedev(1, 3)), 0);
    /* Nobody has such a device: only opening it would tell (ENXIO). */
    assert_int_equal(mknod(in(rig->jail, "driverless"), S_IFCHR | 0600, makedev(4000, 0)), 0);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct file file;
        struct error err = {.class = ERROR_NONE};
        assert_true(file_open_source_in(&file, &rig->place, names[i], &err) < 0);
        assert_int_equal(err.class, ERROR_FILE);
        assert_int_not_equal(err.errnum, ENXIO);
        err.class = ERROR_NONE;
        assert_true(file_open_target(&file, names[i], &wish, &err) < 0);
        assert_int_equal(err.class, ERROR_FILE);
        assert_int_not_equal(err.errnum, ENXIO);
    }
}

static void file_under_ro_is_never_written(void **state)
{
    struct rig *rig = *state;
    struct file file;
    struct stat st;
    rig->place.may_write = false;
    const struct file_open_wish wish = {.place = &rig->place};
    assert_int_equal(file_open_target(&file, "sub/new", &wish, &rig->error), -EACCES);
    assert_int_equal(stat(in(rig->jail, "sub/new"), &st), -1);
    assert_int_equal(file_open_target(&file, "file", &wish, &rig->error), -EACCES);
    assert_int_equal(file_open_source_in(&file, &rig->place, "file", &rig->error), 0);
    file_close(&file);
}

/* The words of a refusal, but for the name. */
static void assert_same_refusal(const struct rig *rig, const char *const *names, size_t count)
{
    const struct file_open_wish wish = {.place = &rig->place, .write_devices = true};
    char first[ERROR_TEXT_BYTES] = "";
    for (size_t i = 0; i < count; i++) {
        struct file file;
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(file_open_target(&file, names[i], &wish, &err), -EACCES);
        assert_int_equal(err.class, ERROR_FILE);
        assert_int_equal(err.errnum, EACCES);
        assert_memory_equal(err.text, names[i], strlen(names[i]));
        if (i == 0)
            strcpy(first, err.text + strlen(names[i]));
        assert_string_equal(err.text + strlen(names[i]), first);
    }
}

static void file_under_wo_tells_nothing(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"missing/new", "file/new", "link/new", "secret", "loop", "sub",
                                 "fifo",        "loop/new", "up/new",   "sub/",   ".."};
    const char *const silent[] = {"file", "missing", "secret", "link/secret", "file/x", "fifo"};
    struct facts facts;
    struct file file;
    rig->place.may_read = false;
    assert_int_equal(mkfifo(in(rig->jail, "fifo"), 0600), 0);
    assert_same_refusal(rig, names, COUNT_OF(names));
    for (size_t i = 0; i < COUNT_OF(silent); i++) {
        assert_int_equal(file_describe_in(&rig->place, silent[i], &facts, &rig->error), 0);
        const struct facts nothing = {.kind = FILE_NONE};
        assert_same_facts(&facts, &nothing);
    }
    assert_int_equal(file_describe_in(&rig->place, "sub", &facts, &rig->error), 0);
    const struct facts folder = {.kind = FILE_FOLDER};
    assert_same_facts(&facts, &folder);
    assert_int_equal(file_open_source_in(&file, &rig->place, "file", &rig->error), -EACCES);
}

static void file_under_wo_begins_empty_and_can_not_be_read(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"file", "sub/created"};
    const struct file_open_wish wish = {.place = &rig->place};
    rig->place.may_read = false;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct file file;
        struct stat st;
        char byte;
        assert_int_equal(file_open_target(&file, names[i], &wish, &rig->error), 0);
        assert_true(file.writable && !file.readable);
        assert_int_equal(file.facts.size_bytes, 0);
        assert_int_equal(fstat(file.fd, &st), 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(read(file.fd, &byte, 1), -1);
        assert_int_equal(errno, EBADF);
        assert_int_equal(write(file.fd, "new", 3), 3);
        struct file other;
        const struct file_open_wish join = {
            .place = &rig->place, .join = true, .size_bytes = strlen("new")};
        assert_int_equal(file_open_target(&other, names[i], &join, &rig->error), 0);
        file_close(&other);
        file_close(&file);
        assert_text(in(rig->jail, names[i]), "new");
    }
}

/* ---- the place itself ---- */

static void open_reads_the_rights(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *suffix;
        bool may_read, may_write;
    } cases[] = {{"", true, true},       {",ro", true, false},     {",wo", false, true},
                 {",odd", true, true},   {",odd,ro", true, false}, {",odd,wo", false, true},
                 {",ro,wo", false, true}};
    char odd[NAME_BYTES], ro[NAME_BYTES], text[NAME_BYTES];
    snprintf(odd, sizeof(odd), "%s,odd", rig->jail);
    snprintf(ro, sizeof(ro), "%s,ro", rig->jail);
    assert_int_equal(mkdir(odd, 0700), 0);
    assert_int_equal(mkdir(ro, 0700), 0); /* can be named only with a right behind it */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct place place;
        snprintf(text, sizeof(text), "%s%s", rig->jail, cases[i].suffix);
        assert_int_equal(place_open(&place, text, &rig->error), 0);
        assert_int_equal(place_may_read(&place), cases[i].may_read);
        assert_int_equal(place_may_write(&place), cases[i].may_write);
        place_close(&place);
    }
    assert_true(place_may_read(NULL) && place_may_write(NULL));
}

static void open_of_no_folder_is_an_error(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"none", "file", "none,ro", "sub,rw", "sub,r", "sub,", "sub,ro,"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct place place;
        struct error err = {.class = ERROR_NONE};
        assert_true(place_open(&place, in(rig->jail, names[i]), &err) < 0);
        assert_non_null(strstr(err.text, "--restrict="));
        assert_int_equal(place.fd, -1);
    }
    struct place place;
    assert_true(place_open(&place, "", &rig->error) < 0);
    assert_true(place_open(&place, ",ro", &rig->error) < 0);
}

/* In a process whose openat2(2) fails as on an old kernel, or under an old container's filter. */
static int in_old_surroundings(const struct rig *rig, int errnum)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned int)errnum & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = COUNT_OF(code), .filter = code};
    struct place place;
    struct error err = {.class = ERROR_NONE};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 2;
    if (place_open(&place, rig->jail, &err) != 0 || !place.walks_only)
        return 3;
    AUTO_CLOSE int inside = place_reach(&place, "sub/inner", O_RDONLY);
    AUTO_CLOSE int outside = place_reach(&place, "link/secret", O_RDONLY);
    place_close(&place);
    return inside >= 0 && outside < 0 ? 0 : 4;
}

static void open_without_openat2_walks(void **state)
{
    struct rig *rig = *state;
    const int reasons[] = {ENOSYS, EPERM};
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        IN_CHILD(in_old_surroundings(rig, reasons[i]));
}

#define WITH(test, way)                                                                            \
    {                                                                                              \
#test ", " #way, test, rig_open, rig_close, &(way)                                         \
    }
#define BOTH(test) WITH(test, by_kernel), WITH(test, by_walk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(reach_beneath_opens),
        BOTH(reach_below_an_alias_opens),
        BOTH(reach_below_the_root_opens),
        WITH(reach_without_a_place_is_open, by_kernel),
        BOTH(reach_outside_is_refused),
        BOTH(reach_by_a_link_within_follows_only_with_openat2),
        BOTH(reach_folder_gives_the_folder_of_the_last_name),
        BOTH(create_makes_what_is_not_there_and_follows_no_link),
        BOTH(reach_by_a_long_name_is_an_error),
        BOTH(reach_by_a_long_path_goes_in_pieces),
        BOTH(race_between_folder_and_link_stays_inside),
        BOTH(race_of_the_last_name_stays_inside),
        BOTH(file_outside_is_refused),
        BOTH(file_beneath_is_read_and_written),
        BOTH(file_that_is_none_is_refused),
        BOTH(file_under_ro_is_never_written),
        BOTH(file_under_wo_tells_nothing),
        BOTH(file_under_wo_begins_empty_and_can_not_be_read),
        WITH(open_reads_the_rights, by_kernel),
        WITH(open_of_no_folder_is_an_error, by_kernel),
        WITH(open_without_openat2_walks, by_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
