/* test_place_tree.c - the root of a tree: nothing beneath it is reached through a symbolic link,
 * whatever its depth and whoever swaps what; of the operator's own path those of root and ours are
 * followed. Both with openat2(2) and by the walk. And the table of roots that a side holds. */
#include "in_child.h"
#include "scratch.h"
#include "swapping.h"

#include "haul/base/cleanup.h"
#include "haul/disk/file.h"
#include "haul/disk/place.h"
#include "haul/disk/roots.h"

#include <limits.h>
#include <sys/sysmacros.h>

static bool by_kernel = false, by_walk = true;

/* The working folder is one of our own: "root" is the tree, "outside" must not be touched. */
struct rig {
    char base[32];
    int fd_before;
    struct place place;
    struct error err;
};

static void make_text(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    write_all(fd, (const uint8_t *)text, strlen(text));
}

static const char *text_of(int fd)
{
    static char text[32];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(got >= 0);
    text[got] = '\0';
    return text;
}

static int rig_open(void **state)
{
    bool walks = *(const bool *)*state;
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->base, "/var/tmp/haul-tree-XXXXXX");
    rig->fd_before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_non_null(mkdtemp(rig->base));
    assert_int_equal(chdir(rig->base), 0);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(mkdir("root", 0755), 0);
    assert_int_equal(mkdir("root/sub", 0755), 0);
    assert_int_equal(mkdir("root/sub/deeper", 0755), 0);
    assert_int_equal(mkdir("outside", 0755), 0);
    assert_int_equal(mkdir("outside/deeper", 0755), 0);
    make_text("root/file", "inside");
    make_text("root/sub/deeper/file", "inside");
    make_text("outside/deeper/file", "secret");
    assert_int_equal(symlink("../outside", "root/link"), 0);
    assert_int_equal(symlink("sub", "root/within"), 0);
    assert_int_equal(symlink("file", "root/near"), 0);
    assert_int_equal(place_open_tree(&rig->place, NULL, "root", &rig->err), 0);
    assert_false(rig->place.walks_only);
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
    assert_int_equal(fchdir(rig->fd_before), 0);
    close(rig->fd_before);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

/* ---- paths ---- */

static void reach_beneath_opens(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"file", "./file", "sub/deeper/file", "sub//deeper/./file"};
    struct stat st, root = stat_of("root");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO_CLOSE int fd = place_reach(&rig->place, names[i], O_RDONLY);
        assert_true(fd >= 0);
        assert_string_equal(text_of(fd), "inside");
        AUTO_CLOSE int folder = place_reach_folder(&rig->place, names[i], O_PATH);
        assert_true(folder >= 0);
        assert_int_equal(fstatat(folder, place_name(names[i]), &st, AT_SYMLINK_NOFOLLOW), 0);
    }
    assert_int_equal(place_look(&rig->place, "", &st), 0);
    assert_int_equal(st.st_ino, root.st_ino);
    assert_int_equal(place_reach_folder(&rig->place, "", O_PATH), -EISDIR);
}

static void reach_through_a_link_is_refused(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {
        "link/deeper/file", "within/deeper/file", "link/", "within/", "near", "link",
        "link/deeper/"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(place_reach(&rig->place, names[i], O_RDONLY), -ELOOP);
        assert_true(place_reach(&rig->place, names[i], O_RDONLY | O_DIRECTORY) < 0);
    }
    assert_int_equal(place_reach_folder(&rig->place, "link/deeper/file", O_PATH), -ELOOP);
    assert_int_equal(place_reach_folder(&rig->place, "within/new", O_PATH), -ELOOP);
    assert_int_equal(place_reach(&rig->place, "file/x", O_RDONLY), -ENOTDIR);
}

static void reach_outside_is_refused(void **state)
{
    struct rig *rig = *state;
    const char *const names[] = {"../outside/deeper/file", "..", "sub/../file", "/etc/passwd", "/",
                                 "sub/../../outside"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(place_reach(&rig->place, names[i], O_RDONLY), -EXDEV);
    assert_int_equal(place_reach_folder(&rig->place, "../new", O_PATH), -EXDEV);
    assert_int_equal(place_reach_folder(&rig->place, "/new", O_PATH), -EXDEV);
}

/* A link is looked at, not what it leads to. */
static void look_at_a_link_tells_of_the_link(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    assert_int_equal(place_look(&rig->place, "link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    AUTO_CLOSE int fd = place_reach(&rig->place, "link", O_PATH);
    char text[16] = "";
    assert_int_equal(readlinkat(fd, "", text, sizeof(text) - 1), strlen("../outside"));
    assert_string_equal(text, "../outside");
}

enum { LEVELS = 60, LEVEL_BYTES = 200 };

static void reach_beyond_path_max_opens(void **state)
{
    struct rig *rig = *state;
    static char path[LEVELS * (LEVEL_BYTES + 1) + 16];
    size_t used = 0;
    memset(path, 0, sizeof(path));
    AUTO_CLOSE int fd = place_reach(&rig->place, "", O_PATH | O_DIRECTORY);
    for (int level = 0; level < LEVELS; level++) {
        char *name = path + used;
        memset(name, 'a' + level % 26, LEVEL_BYTES);
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int next = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        cleanup_close(&fd);
        fd = next;
        used += LEVEL_BYTES;
        path[used++] = '/';
    }
    strcpy(path + used, "file");
    const struct file_open_wish wish = {.place = &rig->place};
    struct file file;
    struct facts facts;
    assert_int_equal(file_open_target(&file, path, &wish, &rig->err), 0);
    assert_true(file.created);
    assert_int_equal(write(file.fd, "deep", 4), 4);
    file_close(&file);
    assert_int_equal(file_describe_in(&rig->place, path, &facts, &rig->err), 0);
    assert_int_equal(facts.size_bytes, 4);
    assert_int_equal(file_open_source_in(&file, &rig->place, path, &rig->err), 0);
    assert_string_equal(text_of(file.fd), "deep");
    file_close(&file);
    assert_int_equal(fstatat(fd, "file", &(struct stat){0}, 0), 0);
    path[used - 3] = '/'; /* another name at the end */
    assert_int_equal(place_reach(&rig->place, path, O_RDONLY), -ENOENT);
    path[used - 3] = 'h';
    assert_int_equal(symlinkat(".", fd, "link"), 0);
    strcpy(path + used, "link/file");
    assert_int_equal(place_reach(&rig->place, path, O_RDONLY), -ELOOP);
}

/* ---- files ---- */

static void file_in_a_tree_is_called_by_its_whole_path(void **state)
{
    struct rig *rig = *state;
    struct file file;
    struct facts facts;
    const struct file_open_wish wish = {.place = &rig->place};
    static const struct {
        const char *path, *words;
    } rows[] = {
        {"near", "root/near: is a symbolic link, or lies behind one"},
        {"link/deeper/file", "root/link/deeper/file: is a symbolic link, or lies behind one"},
        {"file/x", "root/file/x: "},
        {"../outside/deeper/file", "root/../outside/deeper/file: leads out of the folder"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = {.class = ERROR_NONE};
        assert_true(file_open_source_in(&file, &rig->place, rows[i].path, &err) < 0);
        assert_memory_equal(err.text, rows[i].words, strlen(rows[i].words));
        err.class = ERROR_NONE;
        assert_true(file_open_target(&file, rows[i].path, &wish, &err) < 0);
        assert_memory_equal(err.text, rows[i].words, strlen(rows[i].words));
        err.class = ERROR_NONE;
        if (i > 0 && file_describe_in(&rig->place, rows[i].path, &facts, &err) < 0)
            assert_memory_equal(err.text, rows[i].words, strlen(rows[i].words));
        else
            assert_true(i == 0);
    }
    assert_int_equal(file_open_source_in(&file, &rig->place, "sub/deeper/file", &rig->err), 0);
    assert_string_equal(file.path, "root/sub/deeper/file");
    assert_string_equal(file.name, "file");
    file_close(&file);
}

/* It limits nobody: what a device is, is told by the device, not by the place. */
static void file_that_is_a_device_is_as_without_a_place(void **state)
{
    struct rig *rig = *state;
    struct file file;
    struct error err = {.class = ERROR_NONE};
    if (geteuid() != 0)
        skip(); /* mknod(2) */
    assert_int_equal(mknod("root/block", S_IFBLK | 0600, makedev(4000, 0)), 0);
    const struct file_open_wish wish = {.place = &rig->place};
    assert_int_equal(file_open_target(&file, "block", &wish, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--write-devices"));
    err.class = ERROR_NONE;
    assert_int_equal(file_open_source_in(&file, &rig->place, "block", &err), -ENXIO);
}

/* ---- the race ---- */

static bool race_read(struct rig *rig)
{
    struct file file;
    struct error err = {.class = ERROR_NONE};
    if (file_open_source_in(&file, &rig->place, "sub/deeper/file", &err) < 0)
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
    if (file_open_target(&file, "sub/deeper/new", &wish, &err) < 0)
        return false;
    assert_int_equal(unlinkat(file.fd_folder, "new", 0), 0);
    file_close(&file);
    return true;
}

static bool race_describe(struct rig *rig)
{
    struct facts facts;
    struct error err = {.class = ERROR_NONE};
    if (file_describe_in(&rig->place, "sub/deeper/file", &facts, &err) < 0)
        return false;
    assert_int_equal(facts.inode, stat_of("inode").st_ino);
    return true;
}

/* The folder that is meant keeps its inode, whatever its name is at the moment. */
static void race_between_folder_and_link_stays_inside(void **state)
{
    struct rig *rig = *state;
    bool (*const rounds[])(struct rig *) = {race_read, race_write, race_describe};
    struct stat before = stat_of("outside/deeper");
    assert_int_equal(link("root/sub/deeper/file", "inode"), 0);
    assert_int_equal(symlink("../outside", "root/other"), 0);
    for (size_t i = 0; i < COUNT_OF(rounds); i++) {
        struct swapping swapping;
        swapping_start(&swapping, "root/sub", "root/other");
        while (swapping_goes_on(&swapping))
            swapping_saw(&swapping, rounds[i](rig));
        swapping_stop(&swapping);
    }
    struct stat after = stat_of("outside/deeper"); /* nothing was made there */
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

/* ---- the operator's own path ---- */

static void assert_is_root(const char *path)
{
    struct place place;
    struct error err = {.class = ERROR_NONE};
    struct stat st, root = stat_of("root");
    if (place_open_tree(&place, NULL, path, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(fstat(place.fd, &st), 0);
    assert_int_equal(st.st_ino, root.st_ino);
    place_close(&place);
}

static void open_follows_links_of_ones_own(void **state)
{
    struct rig *rig = *state;
    char path[96];
    assert_int_equal(symlink("root", "a"), 0);
    assert_int_equal(symlink("./a//", "b"), 0);
    assert_int_equal(symlink("outside/../b/sub/..", "c"), 0);
    snprintf(path, sizeof(path), "/%s/c/", rig->base);
    assert_int_equal(symlink(path, "d"), 0);
    const char *const names[] = {"root", "root/",    "./root",           "a",  "b",     "c", "d",
                                 "d/.",  "d/sub/..", "root/sub/../../d", path, path + 1};
    for (size_t i = 0; i < COUNT_OF(names) - 1; i++)
        assert_is_root(names[i]);
    AUTO_CLOSE int fd = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_is_root(path);
    snprintf(path, sizeof(path), "/dev/fd/%d/sub/..", fd);
    assert_is_root(path);
    assert_is_root("/proc/self/cwd/root");
}

static void open_of_no_folder_is_an_error(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *path;
        int result;
    } rows[] = {{"", -ENOENT},        {"none", -ENOENT},        {"root/file", -ENOTDIR},
                {"loop", -ELOOP},     {"root/file/", -ENOTDIR}, {"root/file/x", -ENOTDIR},
                {"dangling", -ENOENT}};
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(symlink("none", "dangling"), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct place place;
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(place_open_tree(&place, NULL, rows[i].path, &err), rows[i].result);
        assert_memory_equal(err.text, rows[i].path, strlen(rows[i].path));
        assert_int_equal(place.fd, -1);
    }
    (void)rig;
}

static int refused(const char *path)
{
    struct place place;
    struct error err = {.class = ERROR_NONE};
    CHECK(place_open_tree(&place, NULL, path, &err) == -ELOOP);
    CHECK(strstr(err.text, "symbolic link of another user"));
    return 0;
}

static int followed(const char *path)
{
    struct place place;
    struct error err = {.class = ERROR_NONE};
    CHECK(place_open_tree(&place, NULL, path, &err) == 0);
    place_close(&place);
    return 0;
}

static int as_another_user(void)
{
    CHECK(seteuid(4000) == 0);
    CHECK(followed("roots") == 0 && followed("mine/") == 0);
    CHECK(refused("theirs") == 0);
    return 0;
}

/* root's: whoever could make it could do anything. */
static void open_refuses_links_of_others(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* lchown(2) */
    assert_int_equal(symlink("root", "roots"), 0);
    assert_int_equal(symlink("root", "mine"), 0);
    assert_int_equal(symlink("root", "theirs"), 0);
    assert_int_equal(symlink("theirs/sub", "through"), 0);
    assert_int_equal(lchown("mine", 4000, 4000), 0);
    assert_int_equal(lchown("theirs", 4001, 4001), 0);
    const char *const others[] = {"mine",       "theirs",  "mine/",
                                  "theirs/sub", "through", "root/../theirs/sub"};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(refused(others[i]), 0);
    IN_CHILD(as_another_user());
}

/* ---- a tree in a --restrict place ---- */

static void open_within_a_place_stays_beneath_it(void **state)
{
    struct rig *rig = *state;
    char text[48], path[64];
    struct place within, tree;
    const char *const outside[] = {"link", "../outside", "/", rig->base};
    snprintf(text, sizeof(text), "%s/root,ro", rig->base);
    snprintf(path, sizeof(path), "%s/root/sub", rig->base);
    assert_int_equal(place_open(&within, text, &rig->err), 0);
    within.walks_only = rig->place.walks_only;
    assert_true(place_restricts(&within) && !place_restricts(&rig->place));
    for (size_t i = 0; i < COUNT_OF(outside); i++) {
        struct error err = {.class = ERROR_NONE};
        assert_true(place_open_tree(&tree, &within, outside[i], &err) < 0);
        assert_true(error_is_set(&err));
    }
    const char *const inside[] = {"sub", path};
    for (size_t i = 0; i < COUNT_OF(inside); i++) {
        assert_int_equal(place_open_tree(&tree, &within, inside[i], &rig->err), 0);
        assert_true(tree.may_read && !tree.may_write && place_restricts(&tree));
        assert_int_equal(tree.walks_only, within.walks_only);
        AUTO_CLOSE int fd = place_reach(&tree, "deeper/file", O_RDONLY);
        assert_true(fd >= 0);
        place_close(&tree);
    }
    place_close(&within);
}

static void open_within_a_place_for_writing_tells_nothing(void **state)
{
    struct rig *rig = *state;
    struct place within, tree;
    const char *const names[] = {"none", "file", "link", "../outside"};
    assert_int_equal(place_open(&within, "root,wo", &rig->err), 0);
    within.walks_only = rig->place.walks_only;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(place_open_tree(&tree, &within, names[i], &err), -EACCES);
        assert_string_equal(err.text + strlen(names[i]), ": cannot be written there");
    }
    assert_int_equal(place_open_tree(&tree, &within, "sub", &rig->err), 0);
    assert_true(!tree.may_read && tree.may_write);
    place_close(&tree);
    place_close(&within);
}

/* ---- the table ---- */

static void roots_hold_gives_the_same_place_again(void **state)
{
    struct rig *rig = *state;
    static struct roots roots;
    const struct place *first, *second, *none;
    roots_init(&roots, NULL);
    const struct job_root root = {.number = 1, .path = "root"};
    assert_int_equal(roots_hold(&roots, &(struct job_root){.number = 0}, &none, &rig->err), 0);
    assert_null(none);
    assert_int_equal(roots_hold(&roots, &root, &first, &rig->err), 0);
    assert_int_equal(rename("root", "moved"), 0); /* it is held: the name does not matter */
    assert_int_equal(roots_hold(&roots, &root, &second, &rig->err), 0);
    assert_ptr_equal(first, second);
    AUTO_CLOSE int fd = place_reach(second, "file", O_RDONLY);
    assert_true(fd >= 0);
    roots_release(&roots, first);
    roots_release(&roots, second);
    roots_release(&roots, none);
    roots_close(&roots);
}

static void hold_others(struct roots *roots, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct place *place;
        struct error err = {.class = ERROR_NONE};
        const struct job_root root = {.number = first + i, .path = "outside"};
        assert_int_equal(roots_hold(roots, &root, &place, &err), 0);
        roots_release(roots, place);
    }
}

static uint32_t count_open(const struct roots *roots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roots->known_count; i++)
        count += roots->known[i].place.fd >= 0;
    return count;
}

static void roots_hold_another_folder_by_that_name_is_stale(void **state)
{
    struct rig *rig = *state;
    static struct roots roots;
    const struct place *place;
    const struct job_root root = {.number = 7, .path = "root"};
    roots_init(&roots, NULL);
    assert_int_equal(roots_hold(&roots, &root, &place, &rig->err), 0);
    roots_release(&roots, place);
    hold_others(&roots, 100, 2 * ROOTS_OPEN_MAX);
    assert_int_equal(count_open(&roots), ROOTS_OPEN_MAX);
    assert_int_equal(rename("root", "moved"), 0);
    assert_int_equal(mkdir("root", 0700), 0);
    assert_int_equal(roots_hold(&roots, &root, &place, &rig->err), -ESTALE);
    assert_int_equal(rmdir("root"), 0);
    assert_int_equal(rename("moved", "root"), 0);
    assert_int_equal(roots_hold(&roots, &root, &place, &rig->err), 0);
    hold_others(&roots, 500, 2 * ROOTS_KNOWN_MAX); /* what is in use stays */
    AUTO_CLOSE int fd = place_reach(place, "file", O_RDONLY);
    assert_true(fd >= 0);
    roots_release(&roots, place);
    roots_close(&roots);
}

struct hold {
    struct roots *roots;
    uint32_t first;
};

static void *hold_many(void *argument)
{
    const struct hold *hold = argument;
    for (uint32_t i = 0; i < 2000; i++) {
        const struct place *place;
        struct error err = {.class = ERROR_NONE};
        const struct job_root root = {.number = 1 + (hold->first + i) % 80,
                                      .path = (hold->first + i) % 80 % 2 ? "root" : "outside"};
        struct stat st;
        if (roots_hold(hold->roots, &root, &place, &err) != 0 ||
            place_look(place, "deeper", &st) != ((hold->first + i) % 80 % 2 ? -ENOENT : 0))
            return argument;
        roots_release(hold->roots, place);
    }
    return NULL;
}

static void roots_hold_in_many_threads_gives_each_its_own(void **state)
{
    static struct roots roots;
    pthread_t threads[4];
    struct hold holds[COUNT_OF(threads)];
    (void)state;
    roots_init(&roots, NULL);
    for (uint32_t i = 0; i < COUNT_OF(threads); i++) {
        holds[i] = (struct hold){&roots, i * 17};
        assert_int_equal(pthread_create(&threads[i], NULL, hold_many, &holds[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    roots_close(&roots);
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
        BOTH(reach_through_a_link_is_refused),
        BOTH(reach_outside_is_refused),
        BOTH(look_at_a_link_tells_of_the_link),
        BOTH(reach_beyond_path_max_opens),
        BOTH(file_in_a_tree_is_called_by_its_whole_path),
        BOTH(file_that_is_a_device_is_as_without_a_place),
        BOTH(race_between_folder_and_link_stays_inside),
        WITH(open_follows_links_of_ones_own, by_kernel),
        WITH(open_of_no_folder_is_an_error, by_kernel),
        WITH(open_refuses_links_of_others, by_kernel),
        BOTH(open_within_a_place_stays_beneath_it),
        BOTH(open_within_a_place_for_writing_tells_nothing),
        WITH(roots_hold_gives_the_same_place_again, by_kernel),
        WITH(roots_hold_another_folder_by_that_name_is_stale, by_kernel),
        WITH(roots_hold_in_many_threads_gives_each_its_own, by_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
