/* test_probe.c - what would happen to a target, found out without touching it. The devices, mounts
 * and attributes are in tests/cli/27. */
#include "scratch.h"

#include "haul/disk/probe.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    char folder[64];
    struct error err;
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return -1;
    strcpy(bench->folder, "/var/tmp/haul_probe_XXXXXX");
    if (!mkdtemp(bench->folder) || chdir(bench->folder) != 0)
        return -1;
    *state = bench;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    static const char *const names[] = {"file", "pipe", "link", "folder"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)remove(names[i]);
    int result = chdir("/") == 0 ? rmdir(bench->folder) : -1;
    free(bench);
    return result;
}

static int probe(struct bench *bench, const char *path, uint64_t bytes)
{
    const struct probe_wish wish = {.size_bytes = bytes, .room_bytes = bytes};
    bench->err = (struct error){.class = ERROR_NONE};
    int result = probe_target(NULL, path, &wish, &bench->err);
    assert_int_equal(result < 0, error_is_set(&bench->err));
    if (result < 0)
        assert_non_null(strstr(bench->err.text, path));
    return result;
}

static void probe_target_what_can_be_written_is_left_as_it_is(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(probe(bench, "file", 1000), 0);
    assert_false(is_there("file"));
    write_filled("file", 100, 1);
    struct stat before = stat_of("file");
    assert_int_equal(probe(bench, "file", 1000), 0);
    struct stat after = stat_of("file");
    assert_int_equal(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
    assert_filled("file", 100, 1);
}

static void probe_target_what_is_in_the_way_is_said(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(symlink("nothing", "link"), 0);
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(probe(bench, "link", 0), -EEXIST);
    assert_int_equal(probe(bench, "folder", 0), -EISDIR);
    assert_int_equal(probe(bench, "nowhere/file", 0), -ENOENT);
}

static void probe_target_no_room_counts_what_is_there(void **state)
{
    struct bench *bench = *state;
    const uint64_t too_much = UINT64_C(1) << 61;
    assert_int_equal(probe(bench, "file", too_much), -ENOSPC);
    write_filled("file", 100000, 1);
    assert_int_equal(probe(bench, "file", too_much), -ENOSPC);
    const struct probe_wish holes = {.size_bytes = too_much, .room_bytes = 4096};
    bench->err = (struct error){.class = ERROR_NONE};
    assert_int_equal(probe_target(NULL, "file", &holes, &bench->err), 0);
}

static void probe_target_beside_a_transfer_is_busy(void **state)
{
    struct bench *bench = *state;
    write_filled("file", 100, 1);
    AUTO_CLOSE int fd = open("file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(probe(bench, "file", 100), -EBUSY);
    assert_int_equal(bench->err.class, ERROR_BUSY);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(probe(bench, "file", 100), 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* it has let go */
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(probe_target_what_can_be_written_is_left_as_it_is),
        ON_BENCH(probe_target_what_is_in_the_way_is_said),
        ON_BENCH(probe_target_no_room_counts_what_is_there),
        ON_BENCH(probe_target_beside_a_transfer_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
