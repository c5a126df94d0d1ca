/* test_walk.c - what a walk tells, in which order, with how much memory; and of what is not there
 * any more, or something else. */
#include "facts_tests.h"
#include "in_child.h"
#include "swapping.h"
#include "walk_tests.h"

#include "haul/disk/evidence.h"

#include <malloc.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

enum { ONE_ENTRY = 200 }; /* room for one with a short name */

static void walk_tells_files_first_then_folders_with_all_in_them(void **state)
{
    struct grove *grove = *state;
    make_folder("root/a");
    make_folder("root/a/inner");
    touch("root/a/inner/file");
    touch("root/file");
    assert_int_equal(symlink("a", "root/link"), 0);
    const size_t rooms[] = {ONE_ENTRY, 3 * ONE_ENTRY, MIB};
    for (size_t i = 0; i < COUNT_OF(rooms); i++) {
        grove->room = rooms[i];
        const char *lines = walk_all(grove, "");
        const char *one = "/\n/file\n/link\n/a/\n/a/inner/\n/a/inner/file\n-/a/inner/\n-/a/\n-/\n";
        const char *other =
            "/\n/link\n/file\n/a/\n/a/inner/\n/a/inner/file\n-/a/inner/\n-/a/\n-/\n";
        if (strcmp(lines, other) != 0) /* by inode, whichever is lower */
            assert_string_equal(lines, one);
    }
}

static void walk_begins_at_any_path(void **state)
{
    struct grove *grove = *state;
    make_folder("root/a");
    make_folder("root/a/b");
    touch("root/a/b/file");
    assert_int_equal(symlink("b", "root/a/link"), 0);
    assert_string_equal(walk_all(grove, "a/b"), "b/\nb/file\n-b/\n");
    assert_string_equal(walk_all(grove, "a/b/file"), "file\n");
    assert_int_equal(grove->facts.kind, FILE_REGULAR);
    assert_string_equal(walk_all(grove, "a/link"), "link\n"); /* itself */
    assert_int_equal(grove->facts.kind, FILE_LINK);
    grove->wish.recursive = false;
    assert_string_equal(walk_all(grove, "a"), "~a\n");
    assert_string_equal(walk_all(grove, ""), "~\n");
}

static void walk_of_nothing_is_an_error(void **state)
{
    struct grove *grove = *state;
    static const struct {
        const char *path;
        int result;
    } rows[] = {{"none", -ENOENT}, {"link/x", -ELOOP}, {"../root", -EXDEV}, {"file/x", -ENOTDIR}};
    touch("root/file");
    assert_int_equal(symlink(".", "root/link"), 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(walk_open(&grove->walk, &grove->wish, &grove->root, rows[i].path, &err),
                         rows[i].result);
        assert_null(grove->walk);
        assert_int_equal(err.class, i == 0 ? ERROR_VANISHED : ERROR_FILE);
        assert_non_null(strstr(err.text, rows[i].path));
    }
}

static void make_kinds(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "root/socket"};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(mkfifo("root/fifo", 0600), 0);
    assert_int_equal(symlink("somewhere else", "root/link"), 0);
    assert_int_equal(mknod("root/block", S_IFBLK | 0600, makedev(7, 300)), 0);
    assert_int_equal(mknod("root/character", S_IFCHR | 0600, makedev(1, 3)), 0);
}

static void walk_tells_every_kind_or_leaves_it_out(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip(); /* mknod(2) */
    make_kinds();
    const struct {
        const char *name;
        enum file_kind kind;
        uint64_t rdev;
    } rows[] = {{"fifo", FILE_FIFO, 0},
                {"socket", FILE_SOCKET, 0},
                {"link", FILE_LINK, 0},
                {"block", FILE_DEVICE, makedev(7, 300)},
                {"character", FILE_CHARACTER, makedev(1, 3)}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char past[32];
        grove->wish = (struct walk_wish){.links = true, .devices = true, .specials = true};
        walk_all(grove, rows[i].name);
        assert_int_equal(grove->facts.kind, rows[i].kind);
        assert_int_equal(grove->facts.rdev, rows[i].rdev);
        assert_int_equal(grove->facts.links, 1);
        grove->wish = (struct walk_wish){.links = rows[i].kind != FILE_LINK,
                                         .devices = rows[i].rdev == 0,
                                         .specials = rows[i].kind == FILE_LINK || rows[i].rdev};
        snprintf(past, sizeof(past), "~%s\n", rows[i].name);
        assert_string_equal(walk_all(grove, rows[i].name), past);
        assert_int_equal(grove->facts.kind, rows[i].kind);
    }
}

/* What DESCRIBE would say of it, so that nobody has to ask again. */
static void walk_tells_the_facts(void **state)
{
    struct grove *grove = *state;
    struct facts facts;
    write_filled("root/file", 12345, 1);
    assert_int_equal(chmod("root/file", 04751), 0);
    assert_int_equal(link("root/file", "root/again"), 0);
    walk_all(grove, "file");
    assert_int_equal(file_describe_in(&grove->root, "file", &facts, &grove->err), 0);
    facts.evidence.seen_ns = grove->facts.evidence.seen_ns;
    assert_int_equal(grove->facts.links, 2);
    assert_same_facts(&grove->facts, &facts);
}

static void walk_in_a_folder_tells_the_same_evidence(void **state)
{
    struct grove *grove = *state;
    struct facts facts;
    write_filled("root/file", 1234, 1);
    walk_from(grove, "");
    grove->room = ONE_ENTRY;
    walk_until(grove, "/file\n");
    assert_int_equal(file_describe_in(&grove->root, "file", &facts, &grove->err), 0);
    facts.evidence.seen_ns = grove->facts.evidence.seen_ns;
    assert_same_facts(&grove->facts, &facts);
}

static void walk_tells_names_of_owners_once(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip(); /* chown(2) */
    struct owners *owners = owners_open();
    grove->wish.owners = owners;
    touch("root/one");
    touch("root/two");
    make_folder("root/sub");
    touch("root/sub/three");
    assert_int_equal(chown("root/one", 1, 1), 0); /* daemon */
    assert_int_equal(chown("root/two", 1, 1), 0);
    assert_int_equal(chown("root/sub/three", 54321, 54321), 0); /* nobody's */
    const char *lines = walk_all(grove, "");
    const char *user = strstr(lines, "user 1 "), *group = strstr(lines, "group 1 ");
    assert_true(user && user < strstr(lines, "/one\n") && user < strstr(lines, "/two\n"));
    assert_true(group && group < strstr(lines, "/one\n"));
    assert_null(strstr(user + 1, "user 1 "));
    assert_null(strstr(lines, "54321"));
    owners_close(owners);
}

static void walk_leaves_out_what_rules_hide(void **state)
{
    struct grove *grove = *state;
    struct rules *rules = rules_open(false);
    struct rules_merge merge;
    assert_int_equal(rules_parse(rules, "- *.o", RULES_FILTER, &merge, &grove->err), 0);
    assert_int_equal(rules_parse(rules, "- /cache/", RULES_FILTER, &merge, &grove->err), 0);
    grove->wish.rules = rules;
    make_folder("root/cache");
    touch("root/cache/file");
    make_folder("root/sub");
    make_folder("root/sub/cache");
    touch("root/sub/cache/keep");
    touch("root/sub/cache/x.o");
    touch("root/y.o");
    const char *lines = "/\n/sub/\n/sub/cache/\n/sub/cache/keep\n-/sub/cache/\n-/sub/\n-/\n";
    assert_string_equal(walk_all(grove, ""), lines);
    assert_string_equal(walk_all(grove, "y.o"), "");
    rules_close(rules);
}

/* ---- order and windows ---- */

enum { MANY = 3 * WALK_WINDOW_MAX - 100 };

static void walk_of_a_huge_folder_goes_by_windows_sorted_by_inode(void **state)
{
    struct grove *grove = *state;
    static uint8_t seen[MANY];
    char name[64];
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "root/file%u", i * 7919 % MANY);
        touch(name);
    }
    const char *at = walk_all(grove, "");
    memset(seen, 0, sizeof(seen));
    for (; (at = strstr(at, "/file")); at++)
        seen[strtoul(at + 5, NULL, 10)]++;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(grove->inode_falls, 2); /* three windows */
}

/* In tmpfs inodes are numbered as they are made: so the folder that has all the rest is entered
 * while the others of each level wait. */
enum { CHAIN_LEVELS = 40, CHAIN_WIDTH = 300, CHAIN_NAME = 200 };

static int grove_setup_in_memory(void **state)
{
    return grove_setup_in(state, "/dev/shm");
}

static void make_chain(void)
{
    char name[CHAIN_NAME + 1];
    AUTO_CLOSE int fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int level = 0; level < CHAIN_LEVELS; level++) {
        assert_int_equal(mkdirat(fd, "chain", 0700), 0);
        for (int i = 0; i < CHAIN_WIDTH; i++) {
            memset(name, 'x', sizeof(name) - 1);
            name[CHAIN_NAME] = '\0';
            name[0] = (char)('a' + i / 26);
            name[1] = (char)('a' + i % 26);
            assert_int_equal(mkdirat(fd, name, 0700), 0);
        }
        int next = openat(fd, "chain", O_PATH | O_DIRECTORY | O_CLOEXEC);
        cleanup_close(&fd);
        fd = next;
    }
}

static size_t allocated_bytes(void)
{
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

static void walk_of_wide_and_deep_folders_needs_no_more_memory(void **state)
{
    struct grove *grove = *state;
    make_chain();
    walk_from(grove, "");
    size_t before = allocated_bytes();
    while (!grove->over)
        walk_on(grove);
    assert_true(allocated_bytes() <= before);
    assert_int_equal(grove->depth_max, CHAIN_LEVELS + 1);
    assert_int_equal(grove->entries_count, 2 * (CHAIN_LEVELS * (CHAIN_WIDTH + 1) + 1));
    assert_null(strstr(grove->lines, "?"));
    assert_null(strstr(grove->lines, "!"));
}

/* ---- depth ---- */

/* Folders of that name in folders, in each of which "z" is made, too; "end" in the last. */
static void make_deep(const char *name, int levels, void (*make)(const char *path))
{
    AUTO_CLOSE int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir("root"), 0);
    for (int i = 0; i < levels; i++) {
        make_folder(name);
        make("z");
        assert_int_equal(chdir(name), 0);
    }
    touch("end");
    assert_int_equal(fchdir(fd), 0);
}

static void walk_of_many_levels_holds_some_of_them(void **state)
{
    struct grove *grove = *state;
    enum { LEVELS = 300 };
    make_deep("d", LEVELS, make_folder);
    for (int way = 0; way < 2; way++) {
        grove->root.walks_only = way;
        grove->room = ONE_ENTRY;
        uint32_t most = 0;
        walk_from(grove, "");
        uint32_t before = count_descriptors();
        while (!grove->over) {
            walk_on(grove);
            most = (uint32_t)max_u64(most, count_descriptors() - before);
        }
        assert_int_equal(most, DESCENT_HELD_MAX);
        assert_int_equal(grove->entries_count, 2 * (2 * LEVELS + 1) + 1);
        assert_null(strstr(grove->lines, "?"));
        assert_null(strstr(grove->lines, "!"));
    }
}

static void walk_beyond_path_max_goes_on_to_its_own_limit(void **state)
{
    struct grove *grove = *state;
    enum { LEVELS = DESCENT_PATH_BYTES / 201 + 3, TOLD = (DESCENT_PATH_BYTES - 1) / 201 };
    char name[201];
    memset(name, 'n', sizeof(name));
    name[200] = '\0';
    make_deep(name, LEVELS, touch);
    walk_all(grove, "");
    assert_int_equal(grove->depth_max, TOLD + 1);
    assert_null(strstr(grove->lines, "/end\n"));
    assert_int_equal(grove->entries_count, 2 * (TOLD + 1) + TOLD + 1 + 1);
    const char *error = strstr(grove->lines, "?");
    assert_non_null(error);
    assert_null(strstr(error + 1, "?"));
    assert_memory_equal(strchr(error, '\n') - 3, " 36", 3); /* ENAMETOOLONG */
    assert_non_null(strstr(grove->lines, "\n-/\n"));
}

/* ---- what changes meanwhile ---- */

static void walk_tells_what_vanished_and_goes_on(void **state)
{
    struct grove *grove = *state;
    char name[32], gone[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "root/file%02d", i);
        touch(name);
    }
    make_folder("root/sub");
    grove->room = ONE_ENTRY;
    walk_from(grove, "");
    walk_until(grove, "/file"); /* the window is read */
    assert_int_equal(rmdir("root/sub"), 0);
    int count = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(gone, sizeof(gone), "\n/file%02d\n", i);
        snprintf(name, sizeof(name), "root/file%02d", i);
        if (!strstr(grove->lines, gone)) {
            assert_int_equal(unlink(name), 0);
            count++;
        }
    }
    walk_rest(grove);
    for (const char *at = grove->lines; (at = strstr(at, "?/file")); at++, count--)
        assert_int_equal(strtol(at + 9, NULL, 10), ENOENT);
    assert_int_equal(count, 1); /* which had been looked at, and waited for room */
    assert_non_null(strstr(grove->lines, "?/sub 2\n"));
    assert_non_null(strstr(grove->lines, "\n-/\n")); /* nothing is missing that is there */
}

static void walk_of_a_folder_that_became_a_link_tells_of_neither(void **state)
{
    struct grove *grove = *state;
    touch("root/file");
    make_folder("root/sub");
    touch("root/sub/inside");
    make_folder("outside");
    touch("outside/secret");
    grove->room = ONE_ENTRY;
    walk_from(grove, "");
    walk_until(grove, "/\n");
    assert_null(strstr(grove->lines, "/sub/"));
    assert_int_equal(rename("root/sub", "moved"), 0);
    assert_int_equal(symlink("../outside", "root/sub"), 0);
    walk_rest(grove);
    assert_null(strstr(grove->lines, "secret"));
    assert_null(strstr(grove->lines, "/sub/"));
    assert_non_null(strstr(grove->lines, "?/sub "));
    assert_non_null(strstr(grove->lines, "\n!/\n"));
}

/* One that was let go of, because it is far above, and is another one when it is needed again: "z"
 * waits in it. */
static void walk_back_to_another_folder_does_not_enter_it(void **state)
{
    struct grove *grove = *state;
    make_deep("d", DESCENT_HELD_MAX + 10, make_folder);
    make_folder("outside");
    make_folder("outside/secret");
    grove->room = ONE_ENTRY;
    for (int i = 0; i < 4; i++) {
        grove->root.walks_only = i / 2;
        walk_from(grove, "");
        walk_until(grove, "/end\n");
        assert_int_equal(rename("root/d/d", "moved"), 0);
        if (i % 2)
            assert_int_equal(symlink("../../outside", "root/d/d"), 0);
        else
            assert_int_equal(rename("outside", "root/d/d"), 0);
        walk_rest(grove);
        assert_null(strstr(grove->lines, "secret"));
        assert_null(strstr(grove->lines, "\n/d/d/z/\n"));
        assert_non_null(strstr(grove->lines, i % 2 ? "?/d/d/d/ 40\n" : "?/d/d/ 116\n"));
        assert_non_null(strstr(grove->lines, "\n!/d/d/\n"));
        assert_non_null(strstr(grove->lines, "\n/d/z/\n")); /* above it all goes on */
        assert_non_null(strstr(grove->lines, "\n-/d/\n"));
        assert_int_equal(i % 2 ? unlink("root/d/d") : rename("root/d/d", "outside"), 0);
        assert_int_equal(rename("moved", "root/d/d"), 0);
    }
}

static void walk_in_a_race_never_leaves_the_tree(void **state)
{
    struct grove *grove = *state;
    make_folder("root/a");
    make_folder("root/a/sub");
    touch("root/a/sub/inside");
    make_folder("outside");
    make_folder("outside/sub");
    touch("outside/sub/secret");
    touch("outside/secret");
    assert_int_equal(symlink("../outside", "root/b"), 0);
    struct swapping swapping;
    swapping_start(&swapping, "root/a", "root/b");
    while (swapping_goes_on(&swapping)) {
        const char *lines = walk_all(grove, "");
        if (strstr(lines, "secret"))
            fail_msg("%s", lines);
        swapping_saw(&swapping, strstr(lines, "inside") != NULL);
        grove->err.class = ERROR_NONE;
        walk_close(grove->walk);
        grove->walk = NULL;
        if (walk_open(&grove->walk, &grove->wish, &grove->root, "a/sub", &grove->err) != 0)
            continue;
        grove->over = false;
        grove->lines[grove->lines_length = 0] = '\0';
        walk_rest(grove);
        if (strstr(grove->lines, "secret"))
            fail_msg("%s", grove->lines);
    }
    swapping_stop(&swapping);
}

/* ---- folders that cannot be read, and other file systems ---- */

static int walk_as_another_user(struct grove *grove)
{
    CHECK(seteuid(4000) == 0);
    const char *lines = walk_all(grove, "");
    CHECK(strstr(lines, "/closed/\n?/closed/ 13\n!/closed/\n"));
    CHECK(strstr(lines, "/half/\n?/half/file 13\n!/half/\n"));
    CHECK(strstr(lines, "\n/open/file\n"));
    CHECK(strstr(lines, "\n-/\n")); /* all of its own names were told */
    return 0;
}

static void walk_of_an_unreadable_folder_goes_on(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip();
    make_folder("root/closed");
    touch("root/closed/file");
    make_folder("root/half");
    touch("root/half/file");
    make_folder("root/open");
    touch("root/open/file");
    assert_int_equal(chmod("root/closed", 0700), 0);
    assert_int_equal(chmod("root/half", 0744), 0);
    IN_CHILD(walk_as_another_user(grove));
}

static int walk_with_mounts(struct grove *grove)
{
    CHECK(child_own_mounts());
    CHECK(mount("tmpfs", "root/other", "tmpfs", 0, "size=64k") == 0);
    touch("root/other/file");
    CHECK(mount("root/sub", "root/again", NULL, MS_BIND, NULL) == 0);
    place_close(&grove->root); /* it was among other mounts */
    CHECK(place_open_tree(&grove->root, NULL, "root", &grove->err) == 0);
    CHECK(strstr(walk_all(grove, ""), "/other/file\n"));
    CHECK(strstr(grove->lines, "/again/file\n"));
    grove->wish.one_filesystem = true;
    CHECK(!strstr(walk_all(grove, ""), "/other/file\n"));
    CHECK(!strstr(grove->lines, "/again/file\n"));
    CHECK(strstr(grove->lines, "/sub/file\n"));
    CHECK(strstr(grove->lines, "/other/\n!/other/\n"));
    CHECK(strstr(grove->lines, "/again/\n!/again/\n"));
    CHECK(strstr(grove->lines, "\n-/\n"));
    CHECK(strstr(walk_all(grove, "other"), "other/file\n")); /* it begins there */
    return 0;
}

static void walk_on_one_file_system_stays_there(void **state)
{
    struct grove *grove = *state;
    if (geteuid() != 0)
        skip();
    make_folder("root/sub");
    touch("root/sub/file");
    make_folder("root/other");
    make_folder("root/again");
    IN_CHILD(walk_with_mounts(grove));
}

#define IN_GROVE(test) cmocka_unit_test_setup_teardown(test, grove_setup, grove_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_GROVE(walk_tells_files_first_then_folders_with_all_in_them),
        IN_GROVE(walk_begins_at_any_path),
        IN_GROVE(walk_of_nothing_is_an_error),
        IN_GROVE(walk_tells_every_kind_or_leaves_it_out),
        IN_GROVE(walk_tells_the_facts),
        IN_GROVE(walk_in_a_folder_tells_the_same_evidence),
        IN_GROVE(walk_tells_names_of_owners_once),
        IN_GROVE(walk_leaves_out_what_rules_hide),
        IN_GROVE(walk_of_a_huge_folder_goes_by_windows_sorted_by_inode),
        cmocka_unit_test_setup_teardown(walk_of_wide_and_deep_folders_needs_no_more_memory,
                                        grove_setup_in_memory, grove_teardown),
        IN_GROVE(walk_of_many_levels_holds_some_of_them),
        IN_GROVE(walk_beyond_path_max_goes_on_to_its_own_limit),
        IN_GROVE(walk_tells_what_vanished_and_goes_on),
        IN_GROVE(walk_of_a_folder_that_became_a_link_tells_of_neither),
        cmocka_unit_test_setup_teardown(walk_back_to_another_folder_does_not_enter_it,
                                        grove_setup_in_memory, grove_teardown),
        IN_GROVE(walk_in_a_race_never_leaves_the_tree),
        IN_GROVE(walk_of_an_unreadable_folder_goes_on),
        IN_GROVE(walk_on_one_file_system_stays_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
