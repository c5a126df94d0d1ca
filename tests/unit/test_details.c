/* Goal: extended attributes and access control lists go from one file to another of any kind as
 * they are, and nothing else is left there; names decide where two machines differ; what a peer
 * packed is looked at before it is used. */
#include "in_child.h"
#include "scratch.h"

#include "haul/base/bytes.h"
#include "haul/disk/details.h"

#include <errno.h>
#include <sys/xattr.h>

enum { NOBODY = 65534, ROOM = 256 * 1024 };

#define ACCESS_NAME  "system.posix_acl_access"
#define DEFAULT_NAME "system.posix_acl_default"

struct rig {
    char path[64];
    int fd_folder;
    struct owners *owners;
    uint8_t room[ROOM];
    struct bytes packed;
};

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    strcpy(rig->path, "/var/tmp/haul-details-XXXXXX");
    if (!mkdtemp(rig->path))
        return -1;
    rig->fd_folder = open(rig->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rig->owners = owners_open();
    *state = rig;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", rig->path);
    close(rig->fd_folder);
    owners_close(rig->owners);
    int result = system(command);
    free(rig);
    return result;
}

/* Of that type, by O_PATH. */
static int made(const struct rig *rig, const char *name, mode_t type)
{
    if (type == S_IFDIR)
        assert_int_equal(mkdirat(rig->fd_folder, name, 0750), 0);
    else if (type == S_IFLNK)
        assert_int_equal(symlinkat("nowhere", rig->fd_folder, name), 0);
    else
        assert_int_equal(mknodat(rig->fd_folder, name, type | 0640, 0x103), 0);
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

static void put(int fd, const char *name, const void *value, size_t length)
{
    assert_int_equal(setxattr(link_of(fd), name, value, length, 0), 0);
}

static void assert_has(int fd, const char *name, const void *value, size_t length)
{
    uint8_t found[8192];
    assert_int_equal(getxattr(link_of(fd), name, found, sizeof(found)), (ssize_t)length);
    assert_memory_equal(found, value, length);
}

static void assert_has_none(int fd, const char *name)
{
    assert_true(getxattr(link_of(fd), name, NULL, 0) < 0 && errno == ENODATA);
}

/* user::rw- user:USER:r-- group::r-- mask::r-- other::--- */
static size_t acl(uint8_t out[44], uint32_t user)
{
    struct bytes bytes = bytes_writer(out, 44);
    const uint32_t entries[][3] = {{1, 6, UINT32_MAX},
                                   {2, 4, user},
                                   {4, 4, UINT32_MAX},
                                   {16, 4, UINT32_MAX},
                                   {32, 0, UINT32_MAX}};
    bytes_put_u32(&bytes, 2);
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        bytes_put_u16(&bytes, (uint16_t)entries[i][0]);
        bytes_put_u16(&bytes, (uint16_t)entries[i][1]);
        bytes_put_u32(&bytes, entries[i][2]);
    }
    return bytes.length;
}

static int pack(struct rig *rig, int fd, unsigned sets, struct owners *owners)
{
    struct stat st;
    rig->packed = bytes_writer(rig->room, sizeof(rig->room));
    assert_int_equal(fstat(fd, &st), 0);
    struct details_wish wish = {.sets = sets, .owners = owners};
    int result = details_read(fd, st.st_mode, &wish, &rig->packed);
    assert_true(result < 0 || wish.position == 0);
    return result;
}

static struct details packed(const struct rig *rig)
{
    return (struct details){.packed = rig->room, .packed_bytes = (uint32_t)rig->packed.length};
}

/* Both sets, from one to the other; says what was wrong before. */
static unsigned carry_over(struct rig *rig, int from, int to)
{
    static const enum details_set sets[] = {DETAILS_XATTRS, DETAILS_ACLS};
    struct stat st;
    unsigned wrong = 0;
    assert_int_equal(fstat(to, &st), 0);
    assert_int_equal(pack(rig, from, DETAILS_XATTRS | DETAILS_ACLS, NULL), 0);
    assert_true(details_good(rig->room, (uint32_t)rig->packed.length));
    const struct details wanted = packed(rig);
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        wrong |= details_right(to, st.st_mode, sets[i], &wanted) ? 0 : sets[i];
        assert_int_equal(details_set(to, st.st_mode, sets[i], &wanted), 0);
        assert_true(details_right(to, st.st_mode, sets[i], &wanted));
    }
    return wrong;
}

/* Links have no list, and nobody's attributes but root's. */
static void both_of_every_kind(void **state)
{
    static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
    struct rig *rig = *state;
    uint8_t list[44];
    size_t length = acl(list, 1234);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        bool users = types[i] == S_IFREG || types[i] == S_IFDIR, lists = types[i] != S_IFLNK;
        AUTO_CLOSE int from = made(rig, "from", types[i]);
        AUTO_CLOSE int to = made(rig, "to", types[i]);
        put(from, "trusted.haul", "a\0b", 3);
        put(to, "trusted.surplus", "x", 1);
        if (users) {
            put(from, "user.empty", "", 0);
            put(to, "user.empty", "not", 3);
        }
        if (lists)
            put(from, ACCESS_NAME, list, length);
        if (types[i] == S_IFDIR)
            put(from, DEFAULT_NAME, list, length);
        assert_int_equal(carry_over(rig, from, to), DETAILS_XATTRS | (lists ? DETAILS_ACLS : 0u));
        assert_has(to, "trusted.haul", "a\0b", 3);
        assert_has_none(to, "trusted.surplus");
        if (users)
            assert_has(to, "user.empty", "", 0);
        if (lists)
            assert_has(to, ACCESS_NAME, list, length);
        if (types[i] == S_IFDIR)
            assert_has(to, DEFAULT_NAME, list, length);
        assert_int_equal(carry_over(rig, from, to), 0);
        assert_int_equal(unlinkat(rig->fd_folder, "from", types[i] == S_IFDIR ? AT_REMOVEDIR : 0),
                         0);
        assert_int_equal(unlinkat(rig->fd_folder, "to", types[i] == S_IFDIR ? AT_REMOVEDIR : 0), 0);
    }
}

static void nothing_takes_away_what_is_there(void **state)
{
    struct rig *rig = *state;
    uint8_t list[44];
    size_t length = acl(list, 1234);
    AUTO_CLOSE int from = made(rig, "from", S_IFDIR);
    AUTO_CLOSE int to = made(rig, "to", S_IFDIR);
    put(to, ACCESS_NAME, list, length);
    put(to, DEFAULT_NAME, list, length);
    put(to, "user.x", "x", 1);
    assert_int_equal(carry_over(rig, from, to), DETAILS_XATTRS | DETAILS_ACLS);
    assert_int_equal(rig->packed.length, 0);
    assert_has_none(to, ACCESS_NAME);
    assert_has_none(to, DEFAULT_NAME);
    assert_has_none(to, "user.x");
}

static void one_set_leaves_the_other_alone(void **state)
{
    struct rig *rig = *state;
    uint8_t list[44];
    size_t length = acl(list, 1234);
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    put(from, ACCESS_NAME, list, length);
    put(from, "user.x", "x", 1);
    assert_int_equal(pack(rig, from, DETAILS_XATTRS, NULL), 0);
    struct details wanted = packed(rig);
    assert_int_equal(details_set(to, S_IFREG, DETAILS_XATTRS, &wanted), 0);
    assert_has(to, "user.x", "x", 1);
    assert_has_none(to, ACCESS_NAME);
    assert_int_equal(pack(rig, from, DETAILS_ACLS, NULL), 0);
    wanted = packed(rig);
    put(to, "user.y", "y", 1);
    assert_int_equal(details_set(to, S_IFREG, DETAILS_ACLS, &wanted), 0);
    assert_has(to, ACCESS_NAME, list, length);
    assert_has(to, "user.y", "y", 1);
}

/* More of them than a first look has room for. */
static void many_and_large(void **state)
{
    struct rig *rig = *state;
    char name[64];
    uint8_t large[3000];
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    fill(large, sizeof(large), 1);
    put(from, "user.large", large, sizeof(large));
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "user.a-name-that-is-not-so-short-%d", i);
        if (setxattr(link_of(from), name, "", 0, 0) != 0)
            break; /* the block of this filesystem is full */
    }
    assert_int_equal(carry_over(rig, from, to), DETAILS_XATTRS);
    assert_has(to, "user.large", large, sizeof(large));
}

/* The next piece in a buffer of that size, given to `to`; 0: that was the last one. */
static uint64_t carry_piece(int from, int to, mode_t mode, size_t room, uint64_t position,
                            struct details_row *row)
{
    const unsigned about = PIECE_XATTRS | PIECE_ACCESS | PIECE_DEFAULT;
    struct details_wish wish = {.sets = DETAILS_XATTRS | DETAILS_ACLS, .position = position};
    uint8_t *small = malloc(room + 1); /* the sanitizer watches its end */
    struct bytes out = bytes_writer(small, room);
    assert_int_equal(details_read(from, mode, &wish, &out), 0);
    const struct details piece = {.packed = small, .packed_bytes = (uint32_t)out.length};
    assert_true(details_good(small, (uint32_t)out.length));
    assert_int_equal(details_go_on(small, (uint32_t)out.length), wish.position > 0);
    assert_true(details_follow(row, about, small, (uint32_t)out.length));
    struct details_row again_row = *row; /* never twice */
    assert_false(details_follow(&again_row, about, small, (uint32_t)out.length));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(details_set(to, mode, DETAILS_XATTRS, &piece), 0);
        assert_int_equal(details_set(to, mode, DETAILS_ACLS, &piece), 0);
        assert_true(details_right(to, mode, DETAILS_XATTRS, &piece));
        assert_true(details_right(to, mode, DETAILS_ACLS, &piece));
    }
    free(small);
    return wish.position;
}

/* Any one of them, by a source that goes on behind it; or the last ones. */
static void assert_none_may_be_left_out(int fd, mode_t mode, size_t room, uint32_t count)
{
    const unsigned about = PIECE_XATTRS | PIECE_ACCESS | PIECE_DEFAULT;
    uint8_t *small = malloc(room + 1);
    for (uint32_t left_out = 0; left_out < count; left_out++) {
        struct details_wish wish = {.sets = DETAILS_XATTRS | DETAILS_ACLS};
        struct details_row row = {.next = 0};
        bool follows = true;
        for (uint32_t i = 0; i < count; i++) {
            struct bytes out = bytes_writer(small, room);
            assert_int_equal(details_read(fd, mode, &wish, &out), 0);
            if (i != left_out)
                follows = follows && details_follow(&row, about, small, (uint32_t)out.length);
        }
        assert_true(left_out + 1 == count ? follows : !follows); /* the last one is asked for */
    }
    free(small);
}

/* Whatever fits into one, with what was there before: other values, surplus between, before and
 * behind. */
static void in_pieces(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    uint8_t large[1900], list[44];
    char name[64];
    AUTO_CLOSE int from = made(rig, "from", S_IFDIR);
    fill(large, sizeof(large), 1);
    put(from, "user.large", large, sizeof(large));
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof(name), "user.a-name-%d", i);
        put(from, name, large, 40);
    }
    put(from, "user.z", "", 0);
    put(from, ACCESS_NAME, list, acl(list, 7));
    put(from, DEFAULT_NAME, list, acl(list, 8));
    assert_int_equal(fstat(from, &st), 0);
    for (size_t room = 0; room < 640; room += 7) { /* too little for all of it, or for anything */
        struct details_wish wish = {.sets = DETAILS_XATTRS | DETAILS_ACLS};
        uint8_t *small = malloc(room + 1);
        struct bytes out = bytes_writer(small, room);
        int result = details_read(from, st.st_mode, &wish, &out);
        assert_true(result == -E2BIG || (result == 0 && wish.position > 0));
        assert_true(result < 0 || details_go_on(small, (uint32_t)out.length));
        free(small);
    }
    for (size_t room = 640; room < 3600; room += 97) {
        int count = 0;
        snprintf(name, sizeof(name), "to-%zu", room);
        AUTO_CLOSE int to = made(rig, name, S_IFDIR);
        put(to, "user.a", "surplus", 7);
        put(to, "user.a-name-10-more", "surplus", 7);
        put(to, "user.a-name-3", large, 50);
        put(to, "user.large", large, 700);
        put(to, "user.zz", "surplus", 7);
        uint64_t position = 0;
        struct details_row row = {.next = 0};
        do
            position = carry_piece(from, to, st.st_mode, room, position, &row);
        while (position > 0 && ++count < 100);
        assert_none_may_be_left_out(from, st.st_mode, room, (uint32_t)count + 1);
        assert_true(room > 2500 || count > 0);
        assert_int_equal(carry_over(rig, from, to), 0);
    }
}

static void next_to_nothing_fits(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    put(from, "user.a", "value", 5);
    assert_int_equal(pack(rig, from, DETAILS_XATTRS, NULL), 0);
    assert_int_equal(fstat(from, &st), 0);
    for (size_t room = 0; room < rig->packed.length; room++) {
        uint8_t *small = malloc(room + 1);
        struct bytes out = bytes_writer(small, room);
        struct details_wish wish = {.sets = DETAILS_XATTRS};
        assert_int_equal(details_read(from, st.st_mode, &wish, &out), -E2BIG);
        free(small);
    }
}

/* A part that belongs behind others of its value is refused where these are not there. */
static void a_part_without_what_is_before_it(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    rig->packed = bytes_writer(rig->room, sizeof(rig->room));
    bytes_put_u8(&rig->packed, DETAIL_PART);
    bytes_put_string(&rig->packed, "user.a");
    bytes_put_u32(&rig->packed, 10);
    bytes_put_u32(&rig->packed, 4);
    bytes_put_u32(&rig->packed, 6);
    bytes_put_raw(&rig->packed, "bottom", 6);
    const struct details wanted = packed(rig);
    assert_true(details_good(rig->room, (uint32_t)rig->packed.length));
    assert_int_equal(details_set(to, S_IFREG, DETAILS_XATTRS, &wanted), -ESTALE);
    assert_has_none(to, "user.a");
    put(to, "user.a", "beginning", 9);
    assert_int_equal(details_set(to, S_IFREG, DETAILS_XATTRS, &wanted), 0);
    assert_has(to, "user.a", "begibottom", 10);
}

static void by_name_where_there_is_one(void **state)
{
    struct rig *rig = *state;
    uint8_t list[44], right[44];
    size_t length = acl(list, NOBODY);
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    put(from, ACCESS_NAME, list, length);
    assert_int_equal(pack(rig, from, DETAILS_ACLS, rig->owners), 0);
    /* As from a machine on which nobody is 7. */
    struct details wanted = packed(rig);
    uint8_t *number = memmem(rig->room, rig->packed.length, "\xfe\xff\0\0", 4);
    assert_non_null(number);
    memcpy(number, "\7\0\0\0", 4);
    assert_int_equal(details_set(to, S_IFREG, DETAILS_ACLS, &wanted), 0);
    length = acl(right, 7);
    assert_has(to, ACCESS_NAME, right, length); /* numbers were asked for */
    wanted.owners = rig->owners;
    assert_false(details_right(to, S_IFREG, DETAILS_ACLS, &wanted));
    assert_int_equal(details_set(to, S_IFREG, DETAILS_ACLS, &wanted), 0);
    assert_has(to, ACCESS_NAME, list, length);
}

/* Longer than most. */
static void a_list_of_many_users(void **state)
{
    struct rig *rig = *state;
    static const uint16_t last[] = {4, 16, 32};
    uint8_t list[4 + 8 * 204];
    struct bytes bytes = bytes_writer(list, sizeof(list));
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    bytes_put_u32(&bytes, 2);
    for (uint32_t i = 0; i < 204; i++) {
        bytes_put_u16(&bytes, i == 0 ? 1 : i <= 200 ? 2 : last[i - 201]);
        bytes_put_u16(&bytes, 4);
        bytes_put_u32(&bytes, i > 0 && i <= 200 ? 1000 + i : UINT32_MAX);
    }
    put(from, ACCESS_NAME, list, bytes.length);
    assert_int_equal(pack(rig, from, DETAILS_ACLS, NULL), 0);
    struct details wanted = packed(rig);
    assert_false(details_right(to, S_IFREG, DETAILS_ACLS, &wanted));
    assert_int_equal(details_set(to, S_IFREG, DETAILS_ACLS, &wanted), 0);
    assert_has(to, ACCESS_NAME, list, bytes.length);
    assert_true(details_right(to, S_IFREG, DETAILS_ACLS, &wanted));
}

/* What modules write by themselves, as SELinux its label, is no surplus; capabilities are. */
static void labels_are_set_and_not_removed(void **state)
{
    struct rig *rig = *state;
    static const uint8_t capability[20] = {0, 0, 0, 2, 1};
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    put(to, "security.haul", "label", 5);
    put(to, "security.capability", capability, sizeof(capability));
    assert_int_equal(carry_over(rig, from, to), DETAILS_XATTRS);
    assert_has(to, "security.haul", "label", 5);
    assert_has_none(to, "security.capability");
    put(from, "security.haul", "other", 5);
    assert_int_equal(carry_over(rig, from, to), DETAILS_XATTRS);
    assert_has(to, "security.haul", "other", 5);
}

static int body_not_root(struct rig *rig, int from, int to)
{
    CHECK(pack(rig, from, DETAILS_XATTRS, NULL) == 0); /* as root has packed it */
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    const struct details wanted = packed(rig);
    CHECK(!details_right(to, S_IFREG, DETAILS_XATTRS, &wanted));
    CHECK(details_set(to, S_IFREG, DETAILS_XATTRS, &wanted) == 0);
    CHECK(details_right(to, S_IFREG, DETAILS_XATTRS, &wanted));
    CHECK(getxattr(link_of(to), "user.x", NULL, 0) == 1);
    return 0;
}

static void not_root_sets_those_of_users(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int from = made(rig, "from", S_IFREG);
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    put(from, "trusted.x", "x", 1);
    put(from, "security.x", "x", 1);
    put(from, "user.x", "x", 1);
    put(to, "security.y", "y", 1);
    assert_int_equal(fchownat(rig->fd_folder, "to", NOBODY, NOBODY, 0), 0);
    IN_CHILD(body_not_root(rig, from, to));
    assert_has(to, "security.y", "y", 1);
}

/* One that cannot be set keeps nothing from the others. */
static void what_cannot_be_is_told_and_the_rest_is_set(void **state)
{
    struct rig *rig = *state;
    AUTO_CLOSE int to = made(rig, "to", S_IFREG);
    rig->packed = bytes_writer(rig->room, sizeof(rig->room));
    static const char *const names[] = {"user.a", "nowhere.b", "user.c"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bytes_put_u8(&rig->packed, DETAIL_XATTR);
        bytes_put_string(&rig->packed, names[i]);
        bytes_put_u32(&rig->packed, 1);
        bytes_put_u8(&rig->packed, 'x');
    }
    const struct details wanted = packed(rig);
    assert_int_equal(details_set(to, S_IFREG, DETAILS_XATTRS, &wanted), -EOPNOTSUPP);
    assert_false(details_right(to, S_IFREG, DETAILS_XATTRS, &wanted));
    assert_has(to, "user.a", "x", 1);
    assert_has(to, "user.c", "x", 1);
}

static void where_there_are_none_nothing_is_wrong(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    AUTO_CLOSE int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pack(rig, fd, DETAILS_XATTRS | DETAILS_ACLS, NULL), 0);
    assert_int_equal(rig->packed.length, 0);
    const struct details wanted = packed(rig);
    assert_true(details_right(fd, st.st_mode, DETAILS_ACLS, &wanted));
}

static void packed_by_a_liar_is_not_good(void **state)
{
    struct rig *rig = *state;
    uint8_t list[44];
    AUTO_CLOSE int from = made(rig, "from", S_IFDIR);
    put(from, "user.x", "0123456789", 10);
    put(from, ACCESS_NAME, list, acl(list, NOBODY));
    put(from, DEFAULT_NAME, list, acl(list, NOBODY));
    assert_int_equal(pack(rig, from, DETAILS_XATTRS | DETAILS_ACLS, rig->owners), 0);
    uint32_t length = (uint32_t)rig->packed.length, good = 0;
    for (uint32_t part = 0; part <= length; part++) {
        uint8_t *copy = malloc(part + 1); /* the sanitizer watches its end */
        memcpy(copy, rig->room, part);
        good += details_good(copy, part);
        free(copy);
    }
    assert_int_equal(good, 4);                 /* nothing, and each whole record */
    for (uint32_t at = 0; at < length; at++) { /* whatever it then is, it stays within its bytes */
        uint8_t *copy = malloc(length);
        memcpy(copy, rig->room, length);
        copy[at] ^= 0xff;
        if (details_good(copy, length)) {
            const struct details wanted = {.packed = copy, .packed_bytes = length};
            (void)details_right(from, S_IFDIR, DETAILS_XATTRS, &wanted);
            (void)details_right(from, S_IFDIR, DETAILS_ACLS, &wanted);
        }
        free(copy);
    }
    assert_false(details_good("\3", 1));
    assert_false(details_good("\4\20\0\0\0\0", 6)); /* a piece of what nobody knows */
    assert_true(details_good("\4\17\0\0\0\0", 6));
    assert_false(details_good("\0\0\0\0\0\0\0", 7)); /* no name */
    assert_false(details_good("\1\0\0", 3));         /* a list of nothing */
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(both_of_every_kind),
        IN_RIG(nothing_takes_away_what_is_there),
        IN_RIG(one_set_leaves_the_other_alone),
        IN_RIG(many_and_large),
        IN_RIG(in_pieces),
        IN_RIG(next_to_nothing_fits),
        IN_RIG(a_part_without_what_is_before_it),
        IN_RIG(by_name_where_there_is_one),
        IN_RIG(a_list_of_many_users),
        IN_RIG(labels_are_set_and_not_removed),
        IN_RIG(not_root_sets_those_of_users),
        IN_RIG(what_cannot_be_is_told_and_the_rest_is_set),
        IN_RIG(where_there_are_none_nothing_is_wrong),
        IN_RIG(packed_by_a_liar_is_not_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
