/* Goal: everything that a tree has gets its owner, its details, its mode and its times, in the
 * order in which none takes back what another gave, and without being followed or opened. */
#include "in_child.h"
#include "scratch.h"

#include "haul/base/bytes.h"
#include "haul/disk/attributes.h"

#include <errno.h>
#include <sys/xattr.h>

enum { NOBODY = 65534 };

#define ACCESS_NAME "system.posix_acl_access"

struct rig {
    char path[64];
    int fd_folder;
    uint8_t room[1024];
    struct bytes packed;
    struct details details;
    struct attributes wanted;
    struct attributes_outcome outcome;
    struct error err;
};

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    strcpy(rig->path, "/var/tmp/haul-kinds-XXXXXX");
    if (!mkdtemp(rig->path))
        return -1;
    rig->fd_folder = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rig->packed = bytes_writer(rig->room, sizeof(rig->room));
    rig->wanted.facts = (struct facts){
        .uid = 1234, .gid = 4321, .mode = 0751, .mtime_seconds = -5, .mtime_ns = 123456789};
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        rig->wanted.wish[i] = ATTRIBUTE_ARCHIVE;
    *state = rig;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", rig->path);
    close(rig->fd_folder);
    int result = system(command);
    free(rig);
    return result;
}

static int made(const struct rig *rig, const char *name, mode_t type)
{
    if (type == S_IFDIR)
        assert_int_equal(mkdirat(rig->fd_folder, name, 0700), 0);
    else if (type == S_IFLNK)
        assert_int_equal(symlinkat("/var/tmp", rig->fd_folder, name), 0);
    else
        assert_int_equal(mknodat(rig->fd_folder, name, type | 0600, 0x103), 0);
    int fd = openat(rig->fd_folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static const char *link_of(int fd)
{
    static char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return link;
}

static int apply(struct rig *rig, int fd)
{
    rig->details = (struct details){rig->room, (uint32_t)rig->packed.length, NULL, false};
    rig->wanted.details = &rig->details;
    return attributes_apply(fd, "x", &rig->wanted, false, &rig->outcome, &rig->err);
}

static void want_xattr(struct rig *rig, const char *name, const void *value, uint32_t length)
{
    bytes_put_u8(&rig->packed, DETAIL_XATTR);
    bytes_put_string(&rig->packed, name);
    bytes_put_u32(&rig->packed, length);
    bytes_put_raw(&rig->packed, value, length);
}

/* user::rwx user:77:rw- group::r-- mask::rw- other::--x */
static void want_list(struct rig *rig)
{
    const uint32_t entries[][3] = {{1, 7, UINT32_MAX},
                                   {2, 6, 77},
                                   {4, 4, UINT32_MAX},
                                   {16, 6, UINT32_MAX},
                                   {32, 1, UINT32_MAX}};
    bytes_put_u8(&rig->packed, DETAIL_ACCESS);
    bytes_put_u16(&rig->packed, COUNT_OF(entries));
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        bytes_put_u16(&rig->packed, (uint16_t)entries[i][0]);
        bytes_put_u16(&rig->packed, (uint16_t)entries[i][1]);
        bytes_put_u32(&rig->packed, entries[i][2]);
        bytes_put_string(&rig->packed, "");
    }
}

static void apply_to_every_kind(void **state)
{
    static const struct {
        enum file_kind kind;
        mode_t type;
    } kinds[] = {{FILE_REGULAR, S_IFREG}, {FILE_FOLDER, S_IFDIR},  {FILE_LINK, S_IFLNK},
                 {FILE_FIFO, S_IFIFO},    {FILE_SOCKET, S_IFSOCK}, {FILE_CHARACTER, S_IFCHR},
                 {FILE_DEVICE, S_IFBLK}};
    struct rig *rig = *state;
    struct stat before = stat_of("/var/tmp"), st;
    char name[8];
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        snprintf(name, sizeof(name), "%zu", i);
        AUTO_CLOSE int fd = made(rig, name, kinds[i].type);
        rig->wanted.facts.kind = kinds[i].kind;
        assert_int_equal(apply(rig, fd), 0);
        assert_int_equal(rig->outcome.lost, 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_uid == 1234 && st.st_gid == 4321);
        assert_true(st.st_mtim.tv_sec == -5 && st.st_mtim.tv_nsec == 123456789);
        assert_int_equal(st.st_mode & 07777, kinds[i].type == S_IFLNK ? 0777 : 0751);
        assert_int_equal(apply(rig, fd), 0);
        assert_int_equal(rig->outcome.changed | rig->outcome.lost, 0);
    }
    /* What the link leads to. */
    st = stat_of("/var/tmp");
    assert_true(st.st_uid == before.st_uid && st.st_mode == before.st_mode);
    assert_true(st.st_mtim.tv_sec != -5);
}

/* Another kind has come there meanwhile. */
static void apply_to_another_kind_does_nothing(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    AUTO_CLOSE int fd = made(rig, "x", S_IFIFO);
    rig->wanted.facts.kind = FILE_REGULAR;
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_uid == 0 && (st.st_mode & 07777) == 0600);
}

/* A change of owner takes capabilities, a list changes the mode, and both the time. */
static void apply_keeps_the_one_right_order(void **state)
{
    static const uint8_t capability[20] = {0, 0, 0, 2, 1};
    struct rig *rig = *state;
    struct stat st;
    uint8_t found[64];
    AUTO_CLOSE int fd = made(rig, "x", S_IFREG);
    rig->wanted.facts.kind = FILE_REGULAR;
    rig->wanted.facts.mode = 04761;
    rig->wanted.set_id = true;
    want_xattr(rig, "security.capability", capability, sizeof(capability));
    want_list(rig);
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(rig->outcome.lost, 0);
    assert_int_equal(rig->outcome.changed, (1 << ATTRIBUTES_COUNT) - 1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 04761);
    assert_true(st.st_mtim.tv_sec == -5);
    assert_int_equal(getxattr(link_of(fd), "security.capability", found, sizeof(found)), 20);
    assert_int_equal(getxattr(link_of(fd), ACCESS_NAME, found, sizeof(found)), 44);
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(rig->outcome.changed | rig->outcome.lost, 0);
}

/* --chmod: the mode's part of the list is its mask, and the mode comes last. */
static void apply_another_mode_over_a_list(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    uint8_t found[64];
    AUTO_CLOSE int fd = made(rig, "x", S_IFDIR);
    rig->wanted.facts.kind = FILE_FOLDER;
    rig->wanted.facts.mode = 0700;
    want_list(rig);
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(getxattr(link_of(fd), ACCESS_NAME, found, sizeof(found)), 44);
}

static void details_are_left_unless_asked_for(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int fd = made(rig, "x", S_IFREG);
    rig->wanted.facts.kind = FILE_REGULAR;
    rig->wanted.wish[ATTRIBUTE_XATTRS] = rig->wanted.wish[ATTRIBUTE_ACLS] = ATTRIBUTE_DEFAULT;
    want_xattr(rig, "user.x", "x", 1);
    want_list(rig);
    assert_int_equal(setxattr(link_of(fd), "user.y", "y", 1, 0), 0);
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(getxattr(link_of(fd), "user.y", NULL, 0), 1);
    assert_true(getxattr(link_of(fd), "user.x", NULL, 0) < 0 && errno == ENODATA);
    assert_true(getxattr(link_of(fd), ACCESS_NAME, NULL, 0) < 0 && errno == ENODATA);
}

static void details_that_cannot_be_are_asked_for(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int fd = made(rig, "x", S_IFREG);
    rig->wanted.facts.kind = FILE_REGULAR;
    want_xattr(rig, "nowhere.x", "x", 1);
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(rig->outcome.lost, ATTRIBUTE_BIT(ATTRIBUTE_XATTRS));
    assert_int_equal(rig->outcome.asked, ATTRIBUTE_BIT(ATTRIBUTE_XATTRS));
    assert_int_equal(rig->outcome.errnum, EOPNOTSUPP);
}

/* A folder's set-group-ID bit is nobody's right: it says whose what is made in it becomes. */
static void apply_a_folder_keeps_its_set_id_bits(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    AUTO_CLOSE int fd = made(rig, "x", S_IFDIR);
    rig->wanted.facts.kind = FILE_FOLDER;
    rig->wanted.facts.mode = 03775;
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(rig->outcome.lost, 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 03775);
}

static int body_read_only(struct rig *rig, int fd)
{
    struct stat st;
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(apply(rig, fd) == 0);
    CHECK(rig->outcome.lost == 0);
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0444);
    CHECK(getxattr(link_of(fd), "user.x", NULL, 0) == 1);
    return 0;
}

static void apply_details_to_what_its_owner_may_not_write(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int fd = made(rig, "x", S_IFREG);
    assert_int_equal(fchmodat(rig->fd_folder, "x", 0444, 0), 0);
    assert_int_equal(fchownat(rig->fd_folder, "x", NOBODY, NOBODY, 0), 0);
    rig->wanted.facts.kind = FILE_REGULAR;
    rig->wanted.facts.uid = rig->wanted.facts.gid = NOBODY;
    rig->wanted.wish[ATTRIBUTE_MODE] = ATTRIBUTE_LEAVE;
    want_xattr(rig, "user.x", "x", 1);
    IN_CHILD(body_read_only(rig, fd));
}

static void apply_maps_owners_by_name(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    struct owners *owners = owners_open();
    const struct owner_names names = {{"nobody", "nobody-is-called-so"}};
    AUTO_CLOSE int fd = made(rig, "x", S_IFREG);
    rig->wanted.facts.kind = FILE_REGULAR;
    rig->wanted.names = &names;
    rig->wanted.owners = owners;
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_uid == NOBODY && st.st_gid == 4321);
    rig->wanted.chown = "9"; /* goes before */
    assert_int_equal(apply(rig, fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_uid == 9 && st.st_gid == 4321);
    owners_close(owners);
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(apply_to_every_kind),
        IN_RIG(apply_to_another_kind_does_nothing),
        IN_RIG(apply_keeps_the_one_right_order),
        IN_RIG(apply_another_mode_over_a_list),
        IN_RIG(details_are_left_unless_asked_for),
        IN_RIG(details_that_cannot_be_are_asked_for),
        IN_RIG(apply_a_folder_keeps_its_set_id_bits),
        IN_RIG(apply_details_to_what_its_owner_may_not_write),
        IN_RIG(apply_maps_owners_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
