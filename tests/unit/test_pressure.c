/* test_pressure.c - when memory is called scarce, by files that look like those of many machines.
 */
#include "fake_root.h"

#include "haul/base/clock.h"
#include "haul/base/control.h"
#include "haul/disk/pressure.h"

#define V2 "/sys/fs/cgroup/a"
#define PSI                                                                                        \
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\nfull avg10=0.00 avg60=0.00 "               \
    "avg300=0.00 total=0\n"

static void put_stalled(const char *root, const char *path, unsigned long long us)
{
    char text[256];
    snprintf(text, sizeof text, PSI, us);
    put(root, path, text);
}

static void put_v2(const char *root, const char *events)
{
    machine(root, "0::/a\n", V2_MOUNT("/"));
    v2_level(root, V2, "max\n", "268435456\n", "200000000\n");
    put(root, V2 "/memory.events", events);
    put_stalled(root, V2 "/memory.pressure", 1000);
    put_stalled(root, "/proc/pressure/memory", 5000);
}

static void begin(struct pressure *pressure, const char *root)
{
    static struct cgroup cgroup;
    cgroup_find(&cgroup, root);
    pressure_open(pressure, &cgroup, 0);
}

/* A second later. */
static bool look(struct pressure *pressure)
{
    return pressure_look(pressure, 16 * MIB, pressure->looked_ns + NS_PER_SECOND);
}

static void look_without_a_sign_changes_nothing(void **state)
{
    struct pressure pressure;
    put_v2(*state, "low 0\nhigh 7\nmax 0\n");
    begin(&pressure, *state);
    for (int i = 0; i < 10; i++)
        assert_false(look(&pressure));
    assert_int_equal(pressure.halved, 0);
    assert_null(pressure.why);
    put_stalled(*state, V2 "/memory.pressure", 90 * 1000); /* less than a tenth of a second */
    assert_false(look(&pressure));
}

static void look_on_a_machine_that_tells_nothing_is_calm(void **state)
{
    struct pressure pressure;
    put(*state, "/proc/meminfo", MEMINFO);
    begin(&pressure, *state);
    assert_false(look(&pressure));
    assert_null(pressure.why);
}

static void look_too_early_is_none(void **state)
{
    struct pressure pressure;
    put_v2(*state, "high 7\n");
    begin(&pressure, *state);
    put(*state, V2 "/memory.events", "high 8\n");
    assert_false(pressure_look(&pressure, 16 * MIB, NS_PER_SECOND - 1));
    assert_true(pressure_look(&pressure, 16 * MIB, NS_PER_SECOND));
}

static void look_halves_thrice_at_most_and_comes_back(void **state)
{
    struct pressure pressure;
    unsigned long long us = 5000;
    put_v2(*state, "high 0\n");
    begin(&pressure, *state);
    for (uint32_t i = 1; i <= 5; i++) {
        put_stalled(*state, "/proc/pressure/memory", us += 100 * 1000);
        assert_int_equal(look(&pressure), i <= PRESSURE_HALVED_MAX);
        assert_int_equal(pressure.halved, i <= PRESSURE_HALVED_MAX ? i : PRESSURE_HALVED_MAX);
        assert_string_equal(pressure.why, "the machine waits for memory");
    }
    for (uint32_t i = 1; i <= 4 * PRESSURE_CALM_LOOKS; i++) {
        bool steps = i % PRESSURE_CALM_LOOKS == 0 && i <= 3 * PRESSURE_CALM_LOOKS;
        assert_int_equal(look(&pressure), steps);
    }
    assert_int_equal(pressure.halved, 0);
}

static void look_v2_hears_of_the_cgroup(void **state)
{
    struct pressure pressure;
    put_v2(*state, "low 0\nhigh 7\n");
    begin(&pressure, *state);
    put(*state, V2 "/memory.events", "low 0\nhigh 9\n");
    assert_true(look(&pressure));
    assert_string_equal(pressure.why, "memory.high holds our cgroup back");
    put_stalled(*state, V2 "/memory.pressure", 200 * 1000);
    assert_true(look(&pressure));
    assert_string_equal(pressure.why, "our cgroup waits for memory");
}

/* At its limit a cgroup is always, as soon as somebody reads files in it. */
static void look_v1_hits_count_only_where_little_can_be_reclaimed(void **state)
{
    struct pressure pressure;
    const char *folder = "/sys/fs/cgroup/memory/a";
    machine(*state, "4:memory:/a\n", V1_MOUNT("/"));
    v1_level(*state, folder, "268435456\n", "268435456\n",
             "hierarchical_memory_limit 268435456\ntotal_inactive_file 200000000\n");
    put(*state, "/sys/fs/cgroup/memory/a/memory.failcnt", "100\n");
    begin(&pressure, *state);
    assert_int_equal(pressure.cgroup->version, 1);
    put(*state, "/sys/fs/cgroup/memory/a/memory.failcnt", "5000\n");
    assert_false(look(&pressure));
    v1_level(*state, folder, "268435456\n", "268435456\n",
             "hierarchical_memory_limit 268435456\ntotal_inactive_file 1000000\n");
    assert_false(look(&pressure)); /* it is full, and was not hit */
    put(*state, "/sys/fs/cgroup/memory/a/memory.failcnt", "5001\n");
    assert_true(look(&pressure));
    assert_string_equal(pressure.why, "our cgroup runs into its limit");
}

static void look_low_memory_is_eight_times_what_is_in_flight(void **state)
{
    struct pressure pressure;
    put(*state, "/proc/meminfo", MEMINFO "LowTotal: 880000 kB\nLowFree: 131072 kB\n");
    begin(&pressure, *state);
    assert_false(look(&pressure));
    put(*state, "/proc/meminfo", MEMINFO "LowTotal: 880000 kB\nLowFree: 131071 kB\n");
    assert_true(look(&pressure));
    assert_string_equal(pressure.why, "low memory is scarce");
    assert_false(look(&pressure)); /* half of it is small enough */
    assert_int_equal(pressure.halved, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)
        TEST(look_without_a_sign_changes_nothing),
        TEST(look_on_a_machine_that_tells_nothing_is_calm),
        TEST(look_too_early_is_none),
        TEST(look_halves_thrice_at_most_and_comes_back),
        TEST(look_v2_hears_of_the_cgroup),
        TEST(look_v1_hits_count_only_where_little_can_be_reclaimed),
        TEST(look_low_memory_is_eight_times_what_is_in_flight),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
