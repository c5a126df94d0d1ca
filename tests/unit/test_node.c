/* Goal: each kind of entry is made, found right, and replaced by another without ever following
 * anything; a folder with content is in the way, and what cannot be linked is said so. */
#include "in_child.h"
#include "scratch.h"

#include "haul/disk/beside.h"
#include "haul/disk/node.h"

#include <errno.h>
#include <limits.h>

enum { NOBODY = 65534 };

struct rig {
    char path[64];
    int fd;
    struct node_made made;
};

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    strcpy(rig->path, "/var/tmp/haul-node-XXXXXX");
    if (!mkdtemp(rig->path))
        return -1;
    rig->fd = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = rig;
    return rig->fd >= 0 ? 0 : -1;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", rig->path);
    close(rig->fd);
    int result = system(command);
    free(rig);
    return result;
}

static char long_text[PATH_MAX];

/* One of each, devices by number (7:200, 1:3); the second of a kind is another one. */
static const struct node_wish wishes[] = {
    {.kind = FILE_FOLDER, .mode = 0700, .fd_leader_folder = -1},
    {.kind = FILE_LINK, .link_text = "nowhere/at all", .fd_leader_folder = -1},
    {.kind = FILE_LINK, .link_text = long_text, .fd_leader_folder = -1},
    {.kind = FILE_FIFO, .mode = 0600, .fd_leader_folder = -1},
    {.kind = FILE_SOCKET, .mode = 0600, .fd_leader_folder = -1},
    {.kind = FILE_DEVICE, .rdev = 0x7c8, .fd_leader_folder = -1},
    {.kind = FILE_DEVICE, .rdev = 0x7c9, .fd_leader_folder = -1},
    {.kind = FILE_CHARACTER, .rdev = 0x103, .fd_leader_folder = -1},
    {.kind = FILE_CHARACTER, .rdev = 0x105, .fd_leader_folder = -1},
};

static const struct node_wish room = {.kind = FILE_REGULAR, .fd_leader_folder = -1};

static struct stat look(const struct rig *rig, const char *name)
{
    struct stat st = {0};
    (void)fstatat(rig->fd, name, &st, AT_SYMLINK_NOFOLLOW);
    return st;
}

static int make(struct rig *rig, const char *name, const struct node_wish *wish)
{
    return node_make(rig->fd, name, wish, false, &rig->made);
}

static uint32_t names_count(const struct rig *rig)
{
    char command[128], line[32] = "";
    snprintf(command, sizeof(command), "ls -A %s | wc -l", rig->path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof(line), pipe));
    pclose(pipe);
    return (uint32_t)atoi(line);
}

static void assert_is(const struct rig *rig, const char *name, const struct node_wish *wish)
{
    char text[PATH_MAX] = "";
    struct stat st = look(rig, name);
    assert_int_equal(file_kind_of(st.st_mode), wish->kind);
    if (wish->kind == FILE_LINK) {
        assert_int_equal(readlinkat(rig->fd, name, text, sizeof(text)), strlen(wish->link_text));
        assert_memory_equal(text, wish->link_text, strlen(wish->link_text));
    }
    if (wish->kind == FILE_DEVICE || wish->kind == FILE_CHARACTER)
        assert_true(st.st_rdev == wish->rdev);
}

static void make_each_where_nothing_is_and_find_it_right(void **state)
{
    struct rig *rig = *state;
    char name[8];
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        snprintf(name, sizeof(name), "%zu", i);
        assert_int_equal(node_make(rig->fd, name, &wishes[i], true, &rig->made), 0);
        assert_true(rig->made.made == JOB_CREATED && look(rig, name).st_mode == 0); /* dry */
        assert_int_equal(make(rig, name, &wishes[i]), 0);
        assert_true(rig->made.made == JOB_CREATED && !rig->made.existed);
        assert_is(rig, name, &wishes[i]);
        struct stat before = look(rig, name);
        assert_int_equal(make(rig, name, &wishes[i]), 0);
        assert_true(rig->made.made == JOB_UNCHANGED && rig->made.existed);
        assert_true(rig->made.before.st_ino == before.st_ino);
        assert_true(look(rig, name).st_ino == before.st_ino);
    }
    assert_int_equal(names_count(rig), COUNT_OF(wishes));
}

/* Every kind in place of every other one; nothing temporary is left. */
static void make_each_in_place_of_each(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        for (size_t j = 0; j < COUNT_OF(wishes); j++) {
            if (i == j)
                continue;
            assert_int_equal(make(rig, "x", &wishes[i]), 0);
            struct stat before = look(rig, "x");
            assert_int_equal(node_make(rig->fd, "x", &wishes[j], true, &rig->made), 0);
            assert_int_equal(rig->made.made, JOB_CHANGED);
            assert_true(look(rig, "x").st_ino == before.st_ino);
            assert_int_equal(make(rig, "x", &wishes[j]), 0);
            assert_true(rig->made.made == JOB_CHANGED && rig->made.existed);
            assert_true(rig->made.before.st_ino == before.st_ino);
            assert_is(rig, "x", &wishes[j]);
            assert_int_equal(names_count(rig), 1);
        }
    }
}

static void make_in_place_of_a_regular_file(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        AUTO_CLOSE int fd = openat(rig->fd, "x", O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(make(rig, "x", &wishes[i]), 0);
        assert_is(rig, "x", &wishes[i]);
        /* And room for one again. */
        assert_int_equal(make(rig, "x", &room), 0);
        assert_int_equal(rig->made.made, JOB_CHANGED);
        assert_int_equal(names_count(rig), 0);
    }
}

static void room_is_there_where_nothing_or_a_regular_file_is(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(make(rig, "x", &room), 0);
    assert_int_equal(rig->made.made, JOB_UNCHANGED);
    AUTO_CLOSE int fd = openat(rig->fd, "x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(make(rig, "x", &room), 0);
    assert_int_equal(rig->made.made, JOB_UNCHANGED);
    assert_int_equal(names_count(rig), 1);
}

static void folder_with_content_is_in_the_way(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(mkdirat(rig->fd, "x", 0700), 0);
    assert_int_equal(mkdirat(rig->fd, "x/y", 0700), 0);
    for (size_t i = 1; i < COUNT_OF(wishes); i++) {
        assert_int_equal(make(rig, "x", &wishes[i]), -ENOTEMPTY);
        assert_int_equal(node_make(rig->fd, "x", &wishes[i], true, &rig->made), -ENOTEMPTY);
    }
    assert_int_equal(make(rig, "x", &room), -ENOTEMPTY);
    assert_true(S_ISDIR(look(rig, "x/y").st_mode));
    assert_int_equal(names_count(rig), 1);
}

/* Of a run that was killed before it renamed. */
static void temporary_name_that_is_left_is_used_again(void **state)
{
    struct rig *rig = *state;
    char left[BESIDE_NAME_BYTES];
    assert_int_equal(make(rig, "x", &wishes[3]), 0);
    beside_name(left, "x", BESIDE_NEW);
    assert_int_equal(symlinkat("/etc/passwd", rig->fd, left), 0);
    assert_int_equal(make(rig, "x", &wishes[4]), 0);
    assert_is(rig, "x", &wishes[4]);
    assert_int_equal(names_count(rig), 1);
    assert_int_equal(symlinkat("/etc/passwd", rig->fd, left), 0); /* now a file is wanted */
    assert_int_equal(make(rig, "x", &room), 0);
    assert_int_equal(names_count(rig), 0);
}

static void folder_that_its_owner_cannot_use(struct rig *rig, mode_t mode, const char *name)
{
    struct stat st;
    assert_int_equal(mkdirat(rig->fd, name, 0700), 0);
    assert_int_equal(fchmodat(rig->fd, name, mode, 0), 0);
    assert_int_equal(fchownat(rig->fd, name, NOBODY, NOBODY, 0), 0);
    assert_int_equal(fstatat(rig->fd, name, &st, 0), 0);
}

static int body_opens_up(struct rig *rig)
{
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(node_make(rig->fd, "mine", &wishes[0], false, &rig->made) == 0);
    CHECK(rig->made.made == JOB_UNCHANGED && (rig->made.before.st_mode & 07777) == 02055);
    CHECK((look(rig, "mine").st_mode & 07777) == 02755);
    return 0;
}

static void make_a_folder_ours_to_use(void **state)
{
    struct rig *rig = *state;
    folder_that_its_owner_cannot_use(rig, 02055, "mine");
    assert_int_equal(chmod(rig->path, 0755), 0);
    IN_CHILD(body_opens_up(rig));
}

static void make_hard_links_to_files_links_and_nodes(void **state)
{
    struct rig *rig = *state;
    const struct node_wish more = {
        .kind = FILE_REGULAR, .fd_leader_folder = rig->fd, .leader_name = "leader"};
    for (size_t i = 1; i < COUNT_OF(wishes); i++) {
        assert_int_equal(make(rig, "leader", &wishes[i]), 0);
        assert_int_equal(make(rig, "x", &more), 0); /* of the one before, too */
        assert_int_equal(rig->made.made, i == 1 ? JOB_CREATED : JOB_CHANGED);
        assert_true(look(rig, "x").st_ino == look(rig, "leader").st_ino);
        assert_int_equal(make(rig, "x", &more), 0);
        assert_int_equal(rig->made.made, JOB_UNCHANGED);
        assert_int_equal(names_count(rig), 2);
    }
}

static void hard_links_that_cannot_be(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int fd_shm = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct node_wish more = {
        .kind = FILE_REGULAR, .fd_leader_folder = rig->fd, .leader_name = "leader"};
    assert_int_equal(make(rig, "x", &more), -ENOENT);
    assert_int_equal(make(rig, "leader", &wishes[0]), 0);
    assert_int_equal(make(rig, "x", &more), -EPERM); /* to a folder */
    assert_int_equal(mkdirat(fd_shm, "haul-node", 0700), 0);
    more.fd_leader_folder = openat(fd_shm, "haul-node", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(symlinkat("x", more.fd_leader_folder, "leader"), 0);
    assert_int_equal(make(rig, "x", &more), -EXDEV);
    assert_int_equal(unlinkat(more.fd_leader_folder, "leader", 0), 0);
    assert_int_equal(unlinkat(fd_shm, "haul-node", AT_REMOVEDIR), 0);
    close(more.fd_leader_folder);
    assert_int_equal(names_count(rig), 1);
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(make_each_where_nothing_is_and_find_it_right),
        IN_RIG(make_each_in_place_of_each),
        IN_RIG(make_in_place_of_a_regular_file),
        IN_RIG(room_is_there_where_nothing_or_a_regular_file_is),
        IN_RIG(folder_with_content_is_in_the_way),
        IN_RIG(temporary_name_that_is_left_is_used_again),
        IN_RIG(make_a_folder_ours_to_use),
        IN_RIG(make_hard_links_to_files_links_and_nodes),
        IN_RIG(hard_links_that_cannot_be),
    };
    memset(long_text, 't', PATH_MAX - 1); /* the longest that there can be */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
