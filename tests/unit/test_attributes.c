/* Goal: a file gets the owner, group, mode and times that are wanted, nothing is attempted that is
 * right, what cannot be had is no failure of the copy and is told, and chmod's language means what
 * it means to chmod. */
#include "in_child.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/disk/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NOBODY = 65534,
    ALL = ATTRIBUTE_BIT(ATTRIBUTE_OWNER) | ATTRIBUTE_BIT(ATTRIBUTE_GROUP) |
          ATTRIBUTE_BIT(ATTRIBUTE_MODE) | ATTRIBUTE_BIT(ATTRIBUTE_TIMES)
};

struct rig {
    char path[64];
    int fd;
    struct attributes wanted;
    struct attributes_outcome outcome;
    struct error err;
};

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    strcpy(rig->path, "/var/tmp/haul-attributes-XXXXXX");
    rig->fd = mkstemp(rig->path);
    rig->wanted.facts = (struct facts){
        .kind = FILE_REGULAR,
        .uid = 1234,
        .gid = 4321,
        .mode = 0651,
        .mtime_seconds = -5,
        .mtime_ns = 123456789,
    };
    *state = rig;
    return rig->fd >= 0 ? 0 : -1;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;
    close(rig->fd);
    unlink(rig->path);
    free(rig);
    return 0;
}

static int apply(struct rig *rig)
{
    return attributes_apply(rig->fd, rig->path, &rig->wanted, false, &rig->outcome, &rig->err);
}

static int be_nobody(void)
{
    return setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? 0 : -1;
}

static void apply_all_or_those_that_are_not_left(void **state)
{
    struct rig *rig = *state;
    for (uint8_t set = 0; set <= ALL; set++) {
        if (set & ~ALL) /* the details come by test_details */
            continue;
        const struct timespec old[2] = {{7, 70}, {9, 90}};
        assert_int_equal(fchown(rig->fd, 0, 0), 0);
        assert_int_equal(fchmod(rig->fd, 0600), 0);
        assert_int_equal(futimens(rig->fd, old), 0);
        for (int i = 0; i < ATTRIBUTES_COUNT; i++)
            rig->wanted.wish[i] = set & ATTRIBUTE_BIT(i) ? ATTRIBUTE_DEFAULT : ATTRIBUTE_LEAVE;
        assert_int_equal(apply(rig), 0);
        struct stat st = stat_of(rig->path);
        assert_int_equal(st.st_uid, set & ATTRIBUTE_BIT(ATTRIBUTE_OWNER) ? 1234 : 0);
        assert_int_equal(st.st_gid, set & ATTRIBUTE_BIT(ATTRIBUTE_GROUP) ? 4321 : 0);
        assert_int_equal(st.st_mode & 07777, set & ATTRIBUTE_BIT(ATTRIBUTE_MODE) ? 0651 : 0600);
        bool times = set & ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
        assert_true(st.st_mtim.tv_sec == (times ? -5 : 9));
        assert_int_equal(st.st_mtim.tv_nsec, times ? 123456789 : 90);
        assert_true(st.st_atim.tv_sec == 7 && st.st_atim.tv_nsec == 70); /* never the access time */
        assert_int_equal(rig->outcome.changed, set);
        assert_int_equal(rig->outcome.lost, 0);
    }
}

static void apply_look_changes_nothing_and_says_what_would_be(void **state)
{
    struct rig *rig = *state;
    struct stat before = stat_of(rig->path);
    assert_int_equal(
        attributes_apply(rig->fd, rig->path, &rig->wanted, true, &rig->outcome, &rig->err), 0);
    struct stat after = stat_of(rig->path);
    assert_int_equal(rig->outcome.changed, ALL);
    assert_true(before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
                before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
}

/* Nothing is attempted: not even the time of the status change moves. */
static void apply_right_already_attempts_nothing(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(apply(rig), 0);
    struct stat before = stat_of(rig->path);
    usleep(20 * 1000);
    assert_int_equal(apply(rig), 0);
    struct stat after = stat_of(rig->path);
    assert_int_equal(rig->outcome.changed | rig->outcome.lost, 0);
    assert_true(before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
                before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
}

/* The owner first: a change of owner clears these bits. */
static void apply_set_id_bits_survive_the_change_of_owner(void **state)
{
    struct rig *rig = *state;
    rig->wanted.facts.mode = 06755;
    rig->wanted.set_id = true;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 06755);
    assert_int_equal(rig->outcome.lost, 0);
}

static void apply_set_id_bits_that_may_not_be_set_are_lost(void **state)
{
    struct rig *rig = *state;
    rig->wanted.facts.mode = 06755;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 0755);
    assert_int_equal(rig->outcome.lost, ATTRIBUTE_BIT(ATTRIBUTE_MODE));
    assert_int_equal(rig->outcome.asked, 0);
    rig->wanted.wish[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED; /* by --chmod, say: not for these bits */
    assert_int_equal(apply(rig), 0);
    assert_int_equal(rig->outcome.asked, 0);
    rig->wanted.set_id_asked = true;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(rig->outcome.asked, ATTRIBUTE_BIT(ATTRIBUTE_MODE));
    /* What is there already gives nothing away, and is not taken. */
    assert_int_equal(fchmod(rig->fd, 04755), 0);
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 04755);
}

static void apply_set_id_bits_never_without_the_owner_unless_asked_for(void **state)
{
    struct rig *rig = *state;
    rig->wanted.facts.mode = 04755;
    rig->wanted.set_id = true;
    rig->wanted.wish[ATTRIBUTE_OWNER] = ATTRIBUTE_LEAVE;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 0755);
    assert_int_equal(rig->outcome.lost, ATTRIBUTE_BIT(ATTRIBUTE_MODE));
    rig->wanted.wish[ATTRIBUTE_MODE] = ATTRIBUTE_ARCHIVE;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 04755);
}

/* A file of somebody else: writable, but not ours to change. */
static int body_of_another(struct rig *rig)
{
    const uint8_t lost = ATTRIBUTE_BIT(ATTRIBUTE_MODE) | ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
    CHECK(fchmod(rig->fd, 0666) == 0);
    CHECK(be_nobody() == 0);
    CHECK(apply(rig) == 0);
    CHECK(rig->outcome.lost == lost && rig->outcome.errnum == EPERM); /* owner: not attempted */
    CHECK(rig->outcome.changed == 0 && rig->outcome.asked == 0);
    rig->wanted.facts.mode = 0666; /* right already */
    rig->wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE;
    rig->wanted.wish[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED;
    CHECK(apply(rig) == 0);
    CHECK(rig->outcome.lost == 0);
    rig->wanted.facts.mode = 0600;
    CHECK(apply(rig) == 0);
    CHECK(rig->outcome.asked == ATTRIBUTE_BIT(ATTRIBUTE_MODE));
    return 0;
}

static void apply_to_a_file_of_another_user_loses_mode_and_times(void **state)
{
    IN_CHILD(body_of_another(*state));
}

static int body_as_nobody(struct rig *rig)
{
    CHECK(fchown(rig->fd, NOBODY, NOBODY) == 0);
    CHECK(be_nobody() == 0);
    CHECK(apply(rig) == 0);
    CHECK(rig->outcome.lost == 0); /* as with cp and rsync: not attempted */
    rig->wanted.wish[ATTRIBUTE_OWNER] = ATTRIBUTE_ARCHIVE;
    CHECK(apply(rig) == 0 && rig->outcome.lost == 0);
    rig->wanted.wish[ATTRIBUTE_OWNER] = ATTRIBUTE_ASKED;
    CHECK(apply(rig) == 0);
    CHECK(rig->outcome.asked == ATTRIBUTE_BIT(ATTRIBUTE_OWNER) && rig->outcome.errnum == EPERM);
    return 0;
}

static void apply_not_root_gives_nothing_away(void **state)
{
    IN_CHILD(body_as_nobody(*state));
}

static int body_own_group(struct rig *rig)
{
    const gid_t groups[] = {4321, 77};
    CHECK(fchown(rig->fd, NOBODY, NOBODY) == 0);
    CHECK(setgroups(2, groups) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(apply(rig) == 0);
    CHECK(stat_of(rig->path).st_gid == NOBODY); /* by default the folder's, as with cp */
    rig->wanted.wish[ATTRIBUTE_GROUP] = ATTRIBUTE_ARCHIVE;
    CHECK(apply(rig) == 0);
    CHECK(stat_of(rig->path).st_gid == 4321);
    return 0;
}

static void apply_not_root_gives_to_an_own_group(void **state)
{
    IN_CHILD(body_own_group(*state));
}

static void apply_chown_is_asked_for_and_goes_before_the_source(void **state)
{
    struct rig *rig = *state;
    rig->wanted.chown = "77:root";
    rig->wanted.wish[ATTRIBUTE_OWNER] = ATTRIBUTE_LEAVE;
    assert_int_equal(apply(rig), 0);
    assert_int_equal(stat_of(rig->path).st_uid, 77);
    assert_int_equal(stat_of(rig->path).st_gid, 0);
    rig->wanted.chown = "no-such-user-here";
    assert_int_equal(apply(rig), -EINVAL);
    assert_true(rig->err.class == ERROR_USAGE && strstr(rig->err.text, "no user"));
}

static void apply_by_a_path_descriptor_works_on_what_cannot_be_opened(void **state)
{
    struct rig *rig = *state;
    close(rig->fd);
    rig->fd = open(rig->path, O_PATH | O_CLOEXEC);
    assert_int_equal(apply(rig), 0);
    assert_int_equal(rig->outcome.changed, ALL);
    assert_int_equal(stat_of(rig->path).st_mode & 07777, 0651);
    assert_true(stat_of(rig->path).st_mtim.tv_sec == -5);
}

/* What chmod(1) makes of the same, by hand; the umask is 022. */
static void changes_as_chmod_and_rsync(void **state)
{
    static const struct {
        const char *text;
        uint32_t before, after; /* after 0xffff: refused */
    } cases[] = {
        {"644", 0600, 0644},
        {"4755", 0600, 04755},
        {"0", 06777, 0},
        {"u+x", 0644, 0744},
        {"+x", 0644, 0755},
        {"+w", 0444, 0644},
        {"a+w", 0444, 0666},
        {"go-rwx", 0777, 0700},
        {"u=rw,go=r", 0777, 0644},
        {"g=u", 0640, 0660},
        {"o=g-w", 0660, 0664},
        {"a+X", 0644, 0644},
        {"a+X", 0744, 0755},
        {"u+s,g+s", 0755, 06755},
        {"ug-s", 06755, 0755},
        {"+t", 0755, 01755},
        {"a=", 0777, 0},
        {"D755,F644", 0600, 0644},
        {"Dg+s,ug+w,Fo-w,+X", 0662, 0660},
        {"F600", 0644, 0600},
        {"D700", 0644, 0644},
        {"u=rwx,g=rx,o=", 0, 0750},
        {"u+r-x", 0700, 0600},
        {"888", 0, 0xffff},
        {"u", 0, 0xffff},
        {"", 0, 0xffff},
        {"u+q", 0, 0xffff},
        {"77777", 0, 0xffff},
        {"u+x,", 0, 0xffff},
        {"z+x", 0, 0xffff},
        {"D", 0, 0xffff},
        {"F", 0, 0xffff},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct mode_changes changes = {.count = 0};
        bool good = mode_changes_parse(&changes, cases[i].text);
        if (good != (cases[i].after != 0xffff))
            fail_msg("%s: %s", cases[i].text, good ? "taken" : "refused");
        uint32_t after = mode_changes_apply(&changes, cases[i].before, 022, false);
        if (good && after != cases[i].after)
            fail_msg("%s of %o: %o, expected %o", cases[i].text, cases[i].before, after,
                     cases[i].after);
    }
}

static void changes_of_folders_and_of_the_rest(void **state)
{
    static const struct {
        const char *text;
        uint32_t before, file, folder;
    } cases[] = {
        {"D755,F644", 0600, 0644, 0755}, {"Dg+s", 0750, 0750, 02750}, {"a+X", 0640, 0640, 0751},
        {"go-rwx", 0755, 0700, 0700},    {"Fo-x", 0755, 0754, 0755},  {"700", 0644, 0700, 0700},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct mode_changes changes = {.count = 0};
        assert_true(mode_changes_parse(&changes, cases[i].text));
        assert_int_equal(mode_changes_apply(&changes, cases[i].before, 022, false), cases[i].file);
        assert_int_equal(mode_changes_apply(&changes, cases[i].before, 022, true), cases[i].folder);
    }
}

static void changes_too_many_are_refused(void **state)
{
    struct mode_changes changes = {.count = 0};
    (void)state;
    for (int i = 0; i < MODE_CHANGES_MAX; i++)
        assert_true(mode_changes_parse(&changes, "u+x"));
    assert_false(mode_changes_parse(&changes, "u+x"));
    assert_int_equal(changes.count, MODE_CHANGES_MAX);
}

static void text_of_a_set_fits(void **state)
{
    char text[ATTRIBUTES_TEXT_BYTES];
    (void)state;
    assert_string_equal(attributes_text(text, ALL), "owner, group, permissions, modification time");
    assert_string_equal(attributes_text(text, 0), "");
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_RIG(apply_all_or_those_that_are_not_left),
        IN_RIG(apply_look_changes_nothing_and_says_what_would_be),
        IN_RIG(apply_right_already_attempts_nothing),
        IN_RIG(apply_set_id_bits_survive_the_change_of_owner),
        IN_RIG(apply_set_id_bits_that_may_not_be_set_are_lost),
        IN_RIG(apply_set_id_bits_never_without_the_owner_unless_asked_for),
        IN_RIG(apply_to_a_file_of_another_user_loses_mode_and_times),
        IN_RIG(apply_not_root_gives_nothing_away),
        IN_RIG(apply_not_root_gives_to_an_own_group),
        IN_RIG(apply_chown_is_asked_for_and_goes_before_the_source),
        IN_RIG(apply_by_a_path_descriptor_works_on_what_cannot_be_opened),
        cmocka_unit_test(changes_as_chmod_and_rsync),
        cmocka_unit_test(changes_of_folders_and_of_the_rest),
        cmocka_unit_test(changes_too_many_are_refused),
        cmocka_unit_test(text_of_a_set_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
