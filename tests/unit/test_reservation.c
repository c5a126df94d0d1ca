/* test_reservation.c - paths of one command that are one file, by whatever name. */
#include "scratch.h"

#include "haul/copy/reservation.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    char folder[64];
    struct reservation *reservation;
    struct error err;
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return -1;
    strcpy(bench->folder, "/var/tmp/haul_reservation_XXXXXX");
    if (!mkdtemp(bench->folder) || chdir(bench->folder) != 0)
        return -1;
    *state = bench;
    return reservation_open(&bench->reservation, &bench->err);
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    static const char *const names[] = {"a", "b", "hard", "soft", "other/a", "other"};
    reservation_close(bench->reservation);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)remove(names[i]);
    int result = chdir("/") == 0 ? rmdir(bench->folder) : -1;
    free(bench);
    return result;
}

static int add_at(struct bench *bench, enum reservation_use use, const char *path, uint32_t number,
                  uint32_t machine)
{
    struct reservation_entry entry = {
        .use = use, .path = path, .number = number, .machine = machine};
    bench->err = (struct error){.class = ERROR_NONE};
    if (machine == 0)
        assert_int_equal(file_describe(path, &entry.facts, &bench->err), 0);
    int result = reservation_add(bench->reservation, &entry, &bench->err);
    assert_int_equal(result < 0, error_is_set(&bench->err));
    if (result < 0)
        assert_int_equal(bench->err.class, ERROR_USAGE);
    return result;
}

static int add(struct bench *bench, enum reservation_use use, const char *path, uint32_t number)
{
    return add_at(bench, use, path, number, 0);
}

static void reservation_add_different_files_are_taken(void **state)
{
    struct bench *bench = *state;
    char name[16];
    write_filled("a", 10, 1);
    write_filled("b", 10, 1);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "a", 0), 0);
    assert_int_equal(add(bench, RESERVATION_TARGET, "b", 0), 0);
    for (uint32_t i = 1; i < 1000; i++) { /* beyond the first size of the table */
        snprintf(name, sizeof(name), "new%u", i);
        assert_int_equal(add(bench, RESERVATION_TARGET, name, i), 0);
    }
    assert_int_equal(add(bench, RESERVATION_TARGET, "new7", 2000), -EINVAL);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "b", 2000), -EINVAL);
}

static void reservation_add_one_file_by_any_name_is_refused(void **state)
{
    struct bench *bench = *state;
    write_filled("a", 10, 1);
    assert_int_equal(link("a", "hard"), 0);
    assert_int_equal(symlink("a", "soft"), 0);
    assert_int_equal(mkdir("other", 0700), 0);
    assert_int_equal(add(bench, RESERVATION_TARGET, "a", 0), 0);
    static const char *const names[] = {"a", "./a", "other/../a", "hard", "soft"};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(add(bench, RESERVATION_TARGET, names[i], 1 + i), -EINVAL);
        assert_int_equal(add(bench, RESERVATION_SOURCE, names[i], 1 + i), -EINVAL);
        assert_int_equal(add(bench, RESERVATION_OWN, names[i], 1 + i), -EINVAL);
        assert_non_null(strstr(bench->err.text, names[i]));
    }
    assert_int_equal(add(bench, RESERVATION_TARGET, "other/a", 9), 0); /* is not there */
}

static void reservation_add_what_is_only_read_may_be_one(void **state)
{
    struct bench *bench = *state;
    write_filled("a", 10, 1);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "a", 0), 0);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "a", 1), 0);
    assert_int_equal(add(bench, RESERVATION_COMPARED, "a", 2), 0);
    assert_int_equal(add(bench, RESERVATION_TARGET, "a", 3), -EINVAL);
}

static void reservation_add_a_journal_is_held_by_its_name(void **state)
{
    struct bench *bench = *state;
    struct reservation *held = bench->reservation;
    assert_int_equal(add(bench, RESERVATION_TARGET, "./b", 0), 0);
    assert_int_equal(reservation_add_beside(held, RESERVATION_JOURNAL, &bench->err), 0);
    assert_int_equal(reservation_add_beside(held, RESERVATION_ASIDE, &bench->err), 0);
    assert_int_equal(add(bench, RESERVATION_TARGET, ".b.haul", 1), -EINVAL);
    assert_non_null(strstr(bench->err.text, "./.b.haul (the journal of a target)"));
    assert_int_equal(add(bench, RESERVATION_OWN, ".b.haul", 0), -EINVAL);
    assert_int_equal(add(bench, RESERVATION_OWN, ".b.haul-new", 0), -EINVAL);
    assert_non_null(strstr(bench->err.text, "./.b.haul-new (what takes the place of a target)"));
    assert_int_equal(add(bench, RESERVATION_SOURCE, ".a.haul", 1), 0);
    assert_int_equal(add(bench, RESERVATION_TARGET, "a", 2), 0);
    assert_int_equal(reservation_add_beside(held, RESERVATION_JOURNAL, &bench->err), -EINVAL);
}

static void reservation_add_machines_are_apart(void **state)
{
    struct bench *bench = *state;
    write_filled("a", 10, 1);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "a", 0), 0);
    assert_int_equal(add_at(bench, RESERVATION_TARGET, "a", 0, 2), 0);
    assert_int_equal(add_at(bench, RESERVATION_TARGET, "a", 1, 1), 0);
    assert_int_equal(add_at(bench, RESERVATION_TARGET, "a", 2, 2), -EINVAL);
}

static void reservation_add_output_into_a_file_is_held(void **state)
{
    struct bench *bench = *state;
    write_filled("a", 10, 1);
    AUTO_CLOSE int fd = open("a", O_WRONLY | O_APPEND | O_CLOEXEC);
    AUTO_CLOSE int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(reservation_add_output(bench->reservation, fd, "1", &bench->err), 0);
    assert_int_equal(reservation_add_output(bench->reservation, fd, "2", &bench->err), 0);
    assert_int_equal(reservation_add_output(bench->reservation, nowhere, "2", &bench->err), 0);
    assert_int_equal(add(bench, RESERVATION_SOURCE, "a", 0), -EINVAL);
    assert_int_equal(add(bench, RESERVATION_TARGET, "b", 0), 0);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(reservation_add_different_files_are_taken),
        ON_BENCH(reservation_add_one_file_by_any_name_is_refused),
        ON_BENCH(reservation_add_what_is_only_read_may_be_one),
        ON_BENCH(reservation_add_a_journal_is_held_by_its_name),
        ON_BENCH(reservation_add_machines_are_apart),
        ON_BENCH(reservation_add_output_into_a_file_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
