/* What facts prove: "up to date", "changed meanwhile", "the same file", the seal of a journal. */
#include "haul/base/clock.h"
#include "haul/disk/evidence.h"
#include "haul/disk/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct facts some_facts(void)
{
    return (struct facts){
        .kind = FILE_REGULAR,
        .size_bytes = 1000,
        .mode = 0644,
        .mtime_seconds = 100,
        .mtime_ns = 5,
        .ctime_seconds = 200,
        .ctime_ns = 6,
        .device = 1,
        .inode = 77,
        .evidence = {.grade = EVIDENCE_STRONG,
                     .identity = 11,
                     .change = 12,
                     .granularity_ns = 1,
                     .keeps_change = true,
                     .machine = 13,
                     .seen_ns = (int64_t)1000 * (int64_t)NS_PER_SECOND,
                     .medium_device = 1,
                     .medium_inode = 77},
    };
}

/* A copy of it that was finished a moment after its last change. */
static struct facts finished_facts(void)
{
    struct facts facts = some_facts();
    facts.ctime_ns++;
    return facts;
}

static enum evidence_grade up_to_date(const struct facts *source, const struct facts *target)
{
    const char *why = NULL;
    enum evidence_grade grade = evidence_up_to_date(source, target, 0, &why);
    assert_true((why != NULL) == (grade == EVIDENCE_WEAK));
    return grade;
}

static void up_to_date_needs_size_and_exact_time_of_two_files(void **state)
{
    (void)state;
    struct facts source = some_facts(), target = finished_facts();
    target.inode = 5;
    target.device = 9;
    target.mode = 0600;
    target.ctime_seconds = 300;
    const struct facts good = target;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
    target.mtime_ns = 6;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    target.mtime_ns = 0; /* its file system would have kept the 5 */
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    target = good;
    target.mtime_seconds--;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    target = good;
    target.size_bytes--;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    target = good;
    target.kind = FILE_NONE;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    target.kind = FILE_DEVICE;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
    source.kind = FILE_DEVICE; /* of the node, which does not move when the disk is written */
    assert_int_equal(up_to_date(&source, &good), EVIDENCE_NONE);
    source = some_facts();
    source.evidence.grade = EVIDENCE_NONE; /* a file of /proc */
    assert_int_equal(up_to_date(&source, &good), EVIDENCE_NONE);
}

static void up_to_date_is_weak_when_the_source_changed_behind_the_target(void **state)
{
    (void)state;
    struct facts source = some_facts(), target = finished_facts();
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
    source.ctime_ns = target.ctime_ns; /* within one tick, before it or behind it */
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
    source.ctime_ns++; /* written, and its time put back */
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
    /* Whole seconds: what was changed within that of the target's end may have been changed since.
     */
    source.evidence.granularity_ns = 1000000000;
    source.ctime_ns = target.mtime_ns = source.mtime_ns = 0;
    target.ctime_ns = 999999999;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
    target.ctime_seconds++;
    target.ctime_ns = 0;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
}

/* Nobody gave it the source's time: both were written at once. */
static void up_to_date_is_weak_when_the_time_is_that_of_a_write(void **state)
{
    (void)state;
    struct facts source = some_facts(), target = finished_facts();
    source.ctime_seconds = target.ctime_seconds = target.mtime_seconds;
    target.ctime_ns = target.mtime_ns;
    source.ctime_ns = 0;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
    target.ctime_ns++;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
}

static void up_to_date_asks_clocks_of_two_machines_for_ages(void **state)
{
    (void)state;
    struct facts source = some_facts(), target = finished_facts();
    target.evidence.machine = 99;
    target.evidence.seen_ns += (int64_t)500 * (int64_t)NS_PER_SECOND; /* its clock is ahead */
    target.ctime_seconds += 500;
    target.ctime_ns += 1;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
    target.ctime_seconds -= 1;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
}

static void up_to_date_compares_as_coarse_as_the_target_keeps_times(void **state)
{
    (void)state;
    static const struct {
        uint32_t granularity_ns;
        int64_t seconds;
        uint32_t ns;
        enum evidence_grade grade;
    } rows[] = {
        {100, 101, 123456700, EVIDENCE_STRONG},
        {100, 101, 123456600, EVIDENCE_NONE},
        {1000000000, 101, 0, EVIDENCE_STRONG},
        {1000000000, 102, 0, EVIDENCE_NONE},
        {1000000000, 100, 0, EVIDENCE_NONE},
        {2000000000, 100, 0, EVIDENCE_STRONG},
        {2000000000, 102, 0, EVIDENCE_NONE},
        {0, 101, 123456789, EVIDENCE_STRONG}, /* not told: as the time looks */
        {0, 101, 123456700, EVIDENCE_STRONG},
        {0, 101, 120000000, EVIDENCE_STRONG},
        {0, 101, 123456600, EVIDENCE_NONE},
        {0, 101, 0, EVIDENCE_STRONG},
        {0, 100, 0, EVIDENCE_STRONG},
        {0, 99, 0, EVIDENCE_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct facts source = some_facts(), target = finished_facts();
        source.mtime_seconds = 101;
        source.mtime_ns = 123456789;
        target.ctime_seconds = 900;
        target.evidence.granularity_ns = rows[i].granularity_ns;
        target.mtime_seconds = rows[i].seconds;
        target.mtime_ns = rows[i].ns;
        assert_int_equal(up_to_date(&source, &target), rows[i].grade);
    }
}

static void up_to_date_within_a_window_of_whole_seconds(void **state)
{
    (void)state;
    struct facts source = some_facts(), target = finished_facts();
    const char *why;
    target.ctime_seconds = 900;
    target.mtime_seconds = 103;
    assert_int_equal(evidence_up_to_date(&source, &target, 2 * NS_PER_SECOND, &why), EVIDENCE_NONE);
    assert_int_equal(evidence_up_to_date(&source, &target, 3 * NS_PER_SECOND, &why),
                     EVIDENCE_STRONG);
    target.mtime_seconds = 97;
    assert_int_equal(evidence_up_to_date(&source, &target, 3 * NS_PER_SECOND, &why),
                     EVIDENCE_STRONG);
    target.ctime_seconds = target.mtime_seconds = 103; /* written then, and not given that time */
    target.ctime_ns = target.mtime_ns;
    assert_int_equal(evidence_up_to_date(&source, &target, 3 * NS_PER_SECOND, &why), EVIDENCE_WEAK);
    target.ctime_seconds = 900;
    target.evidence.keeps_change = false;
    assert_int_equal(evidence_up_to_date(&source, &target, 3 * NS_PER_SECOND, &why), EVIDENCE_WEAK);
    source.mtime_seconds = INT64_MIN;
    target.mtime_seconds = INT64_MAX;
    assert_int_equal(evidence_up_to_date(&source, &target, 3 * NS_PER_SECOND, &why), EVIDENCE_NONE);
}

static void floor_of_times_before_1970_and_at_the_ends(void **state)
{
    (void)state;
    assert_int_equal(evidence_floor(-1, 100), -100);
    assert_int_equal(evidence_floor(-100, 100), -100);
    assert_int_equal(evidence_floor(199, 100), 100);
    assert_int_equal(evidence_floor(199, 1), 199);
    assert_int_equal(evidence_floor(INT64_MIN, 1000000000), INT64_MIN);
}

/* ns since 1970 end in 2262 and begin in 1677; file systems keep years far beyond both. */
static void times_of_far_years_are_told_apart(void **state)
{
    (void)state;
    static const int64_t far[] = {INT64_MIN, -10000000000, 10000000000, 15032385535, INT64_MAX - 3};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        struct facts source = some_facts(), target = finished_facts();
        source.mtime_seconds = target.mtime_seconds = far[i];
        assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
        assert_int_equal(evidence_compare(&source, &target), EVIDENCE_UNCHANGED);
        target.mtime_ns++;
        assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
        target.mtime_ns--;
        target.mtime_seconds += 3;
        assert_int_equal(up_to_date(&source, &target), EVIDENCE_NONE);
        assert_int_equal(evidence_compare(&source, &target), EVIDENCE_CHANGED);
        target.mtime_seconds = far[i] & ~INT64_C(1); /* as FAT keeps it */
        target.mtime_ns = 0;
        target.evidence.granularity_ns = 0;
        assert_int_equal(up_to_date(&source, &target), EVIDENCE_STRONG);
    }
    struct facts source = some_facts(), target = finished_facts();
    source.ctime_seconds = target.ctime_seconds = 10000000000; /* which was first, nobody counts */
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
    target.ctime_seconds = target.mtime_seconds = source.mtime_seconds = 10000000001;
    assert_int_equal(up_to_date(&source, &target), EVIDENCE_WEAK);
}

static void compare_tells_writes_from_touches(void **state)
{
    (void)state;
    struct facts a = some_facts(), b = some_facts();
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_UNCHANGED);
    b.allocated_bytes = 4096; /* write-back allocates late */
    b.evidence.seen_ns++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_UNCHANGED);
    b.evidence.change++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_TOUCHED);
    b = some_facts();
    b.size_bytes++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
    b = some_facts();
    b.mtime_ns = 0; /* a whole second is another time, here */
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
    b = some_facts();
    b.inode++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
    b = some_facts();
    b.evidence.identity++; /* the number was used again */
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
    b = some_facts();
    b.kind = FILE_DEVICE;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
}

static void compare_devices_by_their_counters_not_their_nodes(void **state)
{
    (void)state;
    struct facts a = some_facts(), b;
    a.kind = FILE_DEVICE;
    a.evidence.grade = EVIDENCE_NONE;
    b = a;
    b.inode++;
    b.mtime_seconds++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_UNCHANGED);
    b.evidence.change++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
    b.evidence.change = 0; /* nobody counts */
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_UNSEEN);
    b.evidence.identity++;
    assert_int_equal(evidence_compare(&a, &b), EVIDENCE_CHANGED);
}

static void seal_only_of_what_is_recognised_and_shows_changes(void **state)
{
    (void)state;
    struct facts a = some_facts(), b = some_facts();
    assert_true(evidence_seal(&a) != 0);
    b.inode++; /* the identity counts */
    b.mtime_seconds++;
    assert_true(evidence_seal(&a) == evidence_seal(&b));
    b.evidence.identity++;
    assert_true(evidence_seal(&a) != evidence_seal(&b));
    b = some_facts();
    b.evidence.change++;
    assert_true(evidence_seal(&a) != evidence_seal(&b));
    b.evidence.change = 0;
    assert_true(evidence_seal(&b) == 0);
    b = some_facts();
    b.evidence.identity = 0;
    assert_true(evidence_seal(&b) == 0);
    b = some_facts();
    b.evidence.grade = EVIDENCE_WEAK;
    assert_true(evidence_seal(&b) == 0);
}

static void overlap_of_files_disks_and_what_lies_behind_them(void **state)
{
    (void)state;
    struct facts file = some_facts(), other = some_facts(), disk = some_facts(), part;
    assert_true(evidence_overlap(&file, &other)); /* hard links */
    other.evidence.machine++;
    assert_false(evidence_overlap(&file, &other));
    other = some_facts();
    other.evidence.medium_inode++;
    assert_false(evidence_overlap(&file, &other));
    disk.kind = FILE_DEVICE;
    disk.size_bytes = 100;
    disk.evidence.medium_offset = 4096;
    assert_true(evidence_overlap(&file, &disk)); /* a loop device and its file */
    part = disk;
    part.size_bytes = 10;
    part.evidence.medium_offset += 90;
    assert_true(evidence_overlap(&disk, &part));
    part.evidence.medium_offset += 10;
    assert_false(evidence_overlap(&disk, &part)); /* two parts of one disk */
    file = other = (struct facts){.kind = FILE_REGULAR};
    assert_false(evidence_overlap(&file, &other)); /* nothing is known */
}

/* ---- real files ---- */

struct place {
    char folder[64];
    char path[128];
};

static int open_place(void **state)
{
    static struct place place;
    strcpy(place.folder, "/var/tmp/haul_evidence_XXXXXX");
    if (!mkdtemp(place.folder))
        return -1;
    snprintf(place.path, sizeof(place.path), "%s/file", place.folder);
    FILE *file = fopen(place.path, "w");
    if (!file || fputs("content", file) < 0 || fclose(file) != 0)
        return -1;
    *state = &place;
    return 0;
}

static int close_place(void **state)
{
    struct place *place = *state;
    unlink(place->path);
    return rmdir(place->folder);
}

static struct facts opened(const char *path)
{
    struct file file;
    struct error err = {.class = ERROR_NONE};
    assert_int_equal(file_open_source(&file, path, &err), 0);
    struct facts facts = file.facts;
    file_close(&file);
    return facts;
}

static void a_file_is_recognised_and_its_changes_are_seen(void **state)
{
    const struct place *place = *state;
    struct error err = {.class = ERROR_NONE};
    struct facts before = opened(place->path), described;
    assert_int_equal(before.evidence.grade, EVIDENCE_STRONG);
    assert_true(before.evidence.identity != 0 && before.evidence.machine != 0);
    assert_true(evidence_seal(&before) != 0);
    assert_int_equal(file_describe(place->path, &described, &err), 0);
    assert_int_equal(described.evidence.grade, EVIDENCE_STRONG);
    assert_true(described.evidence.medium_inode == before.inode);
    assert_int_equal(evidence_compare(&described, &before), EVIDENCE_UNCHANGED);
    assert_true(evidence_overlap(&described, &before));

    struct facts again = opened(place->path);
    assert_true(evidence_seal(&before) == evidence_seal(&again));
    /* Written at once, and its time put back: it was opened, so the stamp must be another one. */
    int fd = open(place->path, O_WRONLY);
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = (time_t)before.mtime_seconds, .tv_nsec = (long)before.mtime_ns}};
    assert_int_equal(pwrite(fd, "C", 1, 0), 1);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    again = opened(place->path);
    assert_int_equal(again.mtime_ns, before.mtime_ns);
    assert_int_equal(evidence_compare(&before, &again), EVIDENCE_TOUCHED);
    assert_true(evidence_seal(&before) != evidence_seal(&again));
    assert_true(before.evidence.identity == again.evidence.identity);
}

static void a_new_file_in_the_place_of_another_is_another(void **state)
{
    const struct place *place = *state;
    struct facts before = opened(place->path);
    assert_int_equal(unlink(place->path), 0); /* most file systems use the inode again */
    int fd = open(place->path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, "content", 7, 0), 7);
    close(fd);
    struct facts after = opened(place->path);
    assert_true(before.evidence.identity != after.evidence.identity);
}

static void files_of_proc_prove_nothing(void **state)
{
    (void)state;
    struct facts facts;
    struct error err = {.class = ERROR_NONE};
    assert_int_equal(file_describe("/proc/cpuinfo", &facts, &err), 0);
    assert_int_equal(facts.evidence.grade, EVIDENCE_NONE);
    assert_true(evidence_seal(&facts) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_to_date_needs_size_and_exact_time_of_two_files),
        cmocka_unit_test(up_to_date_is_weak_when_the_source_changed_behind_the_target),
        cmocka_unit_test(up_to_date_is_weak_when_the_time_is_that_of_a_write),
        cmocka_unit_test(up_to_date_asks_clocks_of_two_machines_for_ages),
        cmocka_unit_test(up_to_date_compares_as_coarse_as_the_target_keeps_times),
        cmocka_unit_test(up_to_date_within_a_window_of_whole_seconds),
        cmocka_unit_test(floor_of_times_before_1970_and_at_the_ends),
        cmocka_unit_test(times_of_far_years_are_told_apart),
        cmocka_unit_test(compare_tells_writes_from_touches),
        cmocka_unit_test(compare_devices_by_their_counters_not_their_nodes),
        cmocka_unit_test(seal_only_of_what_is_recognised_and_shows_changes),
        cmocka_unit_test(overlap_of_files_disks_and_what_lies_behind_them),
        cmocka_unit_test_setup_teardown(a_file_is_recognised_and_its_changes_are_seen, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(a_new_file_in_the_place_of_another_is_another, open_place,
                                        close_place),
        cmocka_unit_test(files_of_proc_prove_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
