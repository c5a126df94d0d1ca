/* test_budget_read.c - finds the limits in trees of files that look like many machines, and asks
 * the real kernel through a cgroup of its own. */
#include "budget_tests.h"
#include "fake_root.h"

static struct budget_facts facts_of(const char *root)
{
    struct cgroup cgroup;
    struct budget_facts facts;
    memset(&cgroup, 0xa5, sizeof cgroup);
    memset(&facts, 0xa5, sizeof facts);
    cgroup_find(&cgroup, root);
    budget_read(&facts, &cgroup);
    return facts;
}

#define assert_cgroup(root, limit, usage, by)                                                      \
    do {                                                                                           \
        struct budget_facts facts_ = facts_of(root);                                               \
        assert_int_equal(facts_.cgroup_limit_bytes, limit);                                        \
        assert_int_equal(facts_.cgroup_usage_bytes, usage);                                        \
        assert_string_equal(facts_.limited_by, by);                                                \
    } while (0)

#define assert_no_cgroup(root) assert_cgroup(root, NUM_UNKNOWN, 0, "MemAvailable")

static void read_v1_takes_limit_and_usage_without_inactive(void **state)
{
    machine(*state, "5:devices:/x\n4:cpu,memory:/a/b\n0::/\n", V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory/a/b", "33554432\n", "9000000\n",
             "cache 100\ninactive_file 7\nhierarchical_memory_limit 33554432\ntotal_cache 200\n"
             "total_inactive_file 1000000\n");
    assert_cgroup(*state, 33554432, 8000000, "cgroup /a/b");
    assert_int_equal(facts_of(*state).available_bytes, 22000000 * KIB);
    assert_int_equal(facts_of(*state).low_free_bytes, NUM_UNKNOWN);
}

static void read_v1_finds_parent_with_less_room(void **state)
{
    const char *stat = "hierarchical_memory_limit 20000000\n";
    machine(*state, "4:memory:/a/b\n", V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory", V1_UNLIMITED, "900000000\n",
             "hierarchical_memory_limit " V1_UNLIMITED);
    v1_level(*state, "/sys/fs/cgroup/memory/a", "40000000\n", "38000000\n", stat);
    v1_level(*state, "/sys/fs/cgroup/memory/a/b", "20000000\n", "1000000\n", stat);
    assert_cgroup(*state, 40000000, 38000000, "cgroup /a");
}

static void read_v1_hidden_ancestor_limits(void **state)
{
    /* A container sees its own cgroup as the mount; the pod above it has the limit. */
    machine(*state, "4:memory:/pod/c\n", V1_MOUNT("/pod/c"));
    v1_level(*state, "/sys/fs/cgroup/memory", V1_UNLIMITED, "5000000\n",
             "hierarchical_memory_limit 30000000\ntotal_inactive_file 1000000\n");
    assert_cgroup(*state, 30000000, 4000000, "cgroup above /");
}

static void read_v1_unlimited_is_no_limit(void **state)
{
    machine(*state, "4:memory:/\n", V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory", V1_UNLIMITED, "5000000\n",
             "cache 0\nhierarchical_memory_limit " V1_UNLIMITED);
    assert_no_cgroup(*state);
    /* The same on a 32-bit kernel. */
    v1_level(*state, "/sys/fs/cgroup/memory", "8796093018112\n", "5000000\n",
             "hierarchical_memory_limit 8796093018112\n");
    assert_no_cgroup(*state);
}

static void read_v1_without_hierarchy_ignores_parent(void **state)
{
    machine(*state, "4:memory:/a/b\n", V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory/a", "1000000\n", "900000\n",
             "hierarchical_memory_limit 1000000\n");
    v1_level(*state, "/sys/fs/cgroup/memory/a/b", "20000000\n", "1000000\n",
             "hierarchical_memory_limit 20000000\n");
    assert_cgroup(*state, 20000000, 1000000, "cgroup /a/b");
}

static void read_v1_without_stat_walks_up(void **state)
{
    machine(*state, "4:memory:/a/b\n", V1_MOUNT("/"));
    put(*state, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "90000000\n");
    put(*state, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "30000000\n");
    put(*state, "/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "10\n");
    assert_cgroup(*state, 30000000, 10, "cgroup /a");
}

static void read_v1_own_folder_hidden_asks_the_nearest(void **state)
{
    machine(*state, "4:memory:/a/hidden/deep\n", V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory/a", V1_UNLIMITED, "1000\n",
             "hierarchical_memory_limit 25000000\n");
    assert_cgroup(*state, 25000000, 0, "cgroup above /");
}

static void read_v2_takes_least_of_max_and_high_of_all(void **state)
{
    machine(*state, "0::/s.slice/x.service\n", V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/cgroup/s.slice", "max\n", "60000000\n", "1048576\n");
    v2_level(*state, "/sys/fs/cgroup/s.slice/x.service", "max\n", "max\n", "700000\n");
    assert_cgroup(*state, 60000000, 524288, "cgroup /s.slice");
    v2_level(*state, "/sys/fs/cgroup/s.slice/x.service", "50000000\n", "40000000\n", "700000\n");
    assert_cgroup(*state, 40000000, 700000 - 524288, "cgroup /s.slice/x.service");
}

static void read_v2_usage_below_inactive_is_none(void **state)
{
    machine(*state, "0::/a\n", V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/cgroup/a", "50000000\n", "max\n", "100\n");
    assert_cgroup(*state, 50000000, 0, "cgroup /a");
}

static void read_v2_namespace_root_is_the_mount(void **state)
{
    machine(*state, "0::/\n", V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/cgroup", "50000000\n", "max\n", "524288\n");
    assert_cgroup(*state, 50000000, 0, "cgroup /");
}

static void read_docker_path_equals_mount_root(void **state)
{
    machine(*state, "4:memory:/docker/0123/in\n", V1_MOUNT("/docker/0123"));
    v1_level(*state, "/sys/fs/cgroup/memory/in", "70000000\n", "1\n",
             "hierarchical_memory_limit 70000000\n");
    assert_cgroup(*state, 70000000, 1, "cgroup /in");
}

static void read_mount_root_prefix_of_a_name_is_not_ours(void **state)
{
    machine(*state, "4:memory:/docker/01234\n", V1_MOUNT("/docker/0123"));
    v1_level(*state, "/sys/fs/cgroup/memory", "70000000\n", "1\n", "");
    v1_level(*state, "/sys/fs/cgroup/memory/4", "70000000\n", "1\n", "");
    assert_no_cgroup(*state);
}

static void read_mount_of_a_sibling_is_not_ours(void **state)
{
    machine(*state, "0::/mine\n", V2_MOUNT("/theirs"));
    v2_level(*state, "/sys/fs/cgroup", "50000000\n", "max\n", "1\n");
    v2_level(*state, "/sys/fs/cgroup/mine", "50000000\n", "max\n", "1\n");
    assert_no_cgroup(*state);
}

static void read_mount_above_namespace_is_an_ancestor(void **state)
{
    /* The mount came from outside our namespace: its limit is ours too. */
    machine(*state, "0::/job\n", V2_MOUNT("/../.."));
    v2_level(*state, "/sys/fs/cgroup", "50000000\n", "max\n", "524289\n");
    v2_level(*state, "/sys/fs/cgroup/job", "1000000\n", "max\n", "1\n");
    assert_cgroup(*state, 50000000, 1, "cgroup /");
}

static void read_path_outside_namespace_is_never_walked(void **state)
{
    machine(*state, "0::/../other\n", V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/other", "50000000\n", "max\n", "1\n");
    v2_level(*state, "/sys/fs/cgroup", "50000000\n", "max\n", "1\n");
    assert_no_cgroup(*state);
    machine(*state, "0::/../other\n", V2_MOUNT("/.."));
    v2_level(*state, "/sys/fs/cgroup/other", "40000000\n", "max\n", "524288\n");
    assert_cgroup(*state, 40000000, 0, "cgroup /other");
}

static void read_prefers_mount_that_shows_more_ancestors(void **state)
{
    machine(*state, "0::/a/b\n",
            "51 1 0:38 / /outer rw - cgroup2 cgroup2 rw\n"
            "50 1 0:38 /a/b /inner rw - cgroup2 cgroup2 rw\n"
            "52 1 0:38 /.. /above rw - cgroup2 cgroup2 rw\n");
    v2_level(*state, "/inner", "max\n", "max\n", "1\n");
    v2_level(*state, "/outer/a", "30000000\n", "max\n", "524288\n");
    assert_cgroup(*state, 30000000, 0, "cgroup /a");
}

static void read_escaped_spaces_and_colons_in_names(void **state)
{
    machine(*state, "4:memory:/my box/a:b:c\n",
            "35 31 0:32 /my\\040box /mnt/c\\040g\\134x rw - cgroup none rw,memory\n");
    v1_level(*state, "/mnt/c g\\x/a:b:c", "30000000\n", "10\n", "");
    assert_cgroup(*state, 30000000, 10, "cgroup /a:b:c");
}

static void read_hybrid_uses_the_hierarchy_with_memory(void **state)
{
    machine(*state, "9:name=memory:/wrong\n4:memory:/v1\n0::/v2\n",
            "40 31 0:9 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=memory\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" V1_MOUNT("/"));
    v1_level(*state, "/sys/fs/cgroup/memory/v1", "30000000\n", "10\n", "");
    v2_level(*state, "/sys/fs/cgroup/unified/v2", "20000000\n", "max\n", "10\n");
    v1_level(*state, "/sys/fs/cgroup/systemd/wrong", "10000000\n", "10\n", "");
    assert_cgroup(*state, 30000000, 10, "cgroup /v1");
}

static void read_hybrid_with_memory_in_v2(void **state)
{
    machine(*state, "4:cpu:/v1\n0::/v2\n",
            "40 31 0:9 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/cgroup/v2", "20000000\n", "max\n", "524298\n");
    assert_cgroup(*state, 20000000, 10, "cgroup /v2");
}

static void read_long_mountinfo_line_is_passed_over(void **state)
{
    char mounts[30000];
    memset(mounts, 'x', sizeof mounts);
    memcpy(mounts, "30 1 0:3 / /", 12);
    snprintf(mounts + 20000, sizeof mounts - 20000, " - overlay overlay rw\n%s", V2_MOUNT("/"));
    machine(*state, "0::/v2\n", mounts);
    v2_level(*state, "/sys/fs/cgroup/v2", "20000000\n", "max\n", "524298\n");
    assert_cgroup(*state, 20000000, 10, "cgroup /v2");
}

static void read_without_final_newline_works(void **state)
{
    machine(*state, "0::/v2", V2_MOUNT("/"));
    v2_level(*state, "/sys/fs/cgroup/v2", "20000000", "max", "524298");
    assert_cgroup(*state, 20000000, 10, "cgroup /v2");
}

static void read_garbage_is_unknown(void **state)
{
    static const char *const cgroups[] = {"",
                                          "\n",
                                          ":",
                                          "::",
                                          "0:",
                                          "0::",
                                          "0::x\n",
                                          "4:memory\n",
                                          "4:memory:\n",
                                          ":::/\n",
                                          "\x80\xff:memory"};
    for (size_t i = 0; i < sizeof cgroups / sizeof cgroups[0]; i++) {
        machine(*state, cgroups[i], V1_MOUNT("/") V2_MOUNT("/"));
        v1_level(*state, "/sys/fs/cgroup/memory", "1000\n", "1\n", "");
        v2_level(*state, "/sys/fs/cgroup", "1000\n", "max\n", "1\n");
        assert_no_cgroup(*state);
    }
    static const char *const mounts[] = {"",
                                         "1\n",
                                         "1 2 3\n",
                                         "1 2 3 / /m\n",
                                         "1 2 3 / /m rw -\n",
                                         "1 2 3 / /m rw - cgroup\n",
                                         "1 2 3 / /m rw - cgroup a\n",
                                         "- - - - cgroup2 - cgroup2\n"};
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        machine(*state, "4:memory:/\n0::/\n", mounts[i]);
        assert_no_cgroup(*state);
    }
    static const char *const limits[] = {
        "", "\n", "-1\n", "abc\n", "0x10\n", "10q\n", "99999999999999999999999\n"};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        machine(*state, "4:memory:/\n", V1_MOUNT("/"));
        v1_level(*state, "/sys/fs/cgroup/memory", limits[i], "x", "hierarchical_memory_limit z\n");
        assert_no_cgroup(*state);
    }
}

static void read_empty_tree_knows_nothing(void **state)
{
    struct budget_facts facts = facts_of(*state);
    assert_int_equal(facts.cgroup_limit_bytes, NUM_UNKNOWN);
    assert_int_equal(facts.available_bytes, NUM_UNKNOWN);
    assert_int_equal(facts.low_free_bytes, NUM_UNKNOWN);
    assert_string_equal(facts.limited_by, "nothing that is known");
}

static void read_old_kernel_adds_free_and_cached(void **state)
{
    put(*state, "/proc/meminfo",
        "MemTotal:  33000000 kB\nMemFree:  1000000 kB\nBuffers: 5 kB\nCached:  31000000 kB\n"
        "SwapCached: 1 kB\nHighFree:  900000 kB\nLowTotal:  890000 kB\nLowFree:     16384 kB\n");
    struct budget_facts facts = facts_of(*state);
    assert_int_equal(facts.available_bytes, 32000000 * KIB);
    assert_int_equal(facts.low_free_bytes, 16 * MIB);
    assert_string_equal(facts.limited_by, "LowFree");
    put(*state, "/proc/meminfo", "MemFree: 1000 kB\nCached: 500 kB\nShmem: 400 kB\n");
    assert_int_equal(facts_of(*state).available_bytes, 1100 * KIB);
    put(*state, "/proc/meminfo", "MemFree: 1000 kB\n");
    assert_int_equal(facts_of(*state).available_bytes, 1000 * KIB);
    put(*state, "/proc/meminfo", "MemAvailable: 18446744073709551615 kB\nMemFree: 7 kB\n");
    assert_int_equal(facts_of(*state).available_bytes, 7 * KIB);
}

static void read_root_too_long_tells_nothing(void **state)
{
    (void)state;
    char *root = malloc(PATH_MAX + 100);
    assert_non_null(root);
    memset(root, 'a', PATH_MAX + 99);
    root[PATH_MAX + 99] = '\0';
    struct budget_facts facts = facts_of(root);
    assert_int_equal(facts.available_bytes, NUM_UNKNOWN);
    assert_int_equal(facts.cgroup_limit_bytes, NUM_UNKNOWN);
    free(root);
}

static int rlimit_is_read(const char *root)
{
    const struct rlimit data = {.rlim_cur = 3 * GIB, .rlim_max = RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_DATA, &data) == 0);
    CHECK(facts_of(root).address_space_bytes == 3 * GIB);
    return 0;
}

static void read_rlimits_are_our_own(void **state)
{
    IN_CHILD(rlimit_is_read(*state));
}

/* --- the real machine ---------------------------------------------------------------------- */

static void read_this_machine_is_plausible(void **state)
{
    (void)state;
    struct budget_facts facts = facts_of("/");
    assert_true(facts.available_bytes > 16 * MIB && facts.available_bytes != NUM_UNKNOWN);
    assert_true(facts.limited_by[0] != '\0');
    struct budget_facts same = facts_of("");
    assert_int_equal(same.cgroup_limit_bytes, facts.cgroup_limit_bytes);
}

static bool write_text(const char *folder, const char *file, const char *text)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s", folder, file) >= PATH_MAX)
        return false;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* In a child that has joined the cgroup: the limit is seen there, and a limit on
 * the parent is found from a cgroup below. Returns the line that failed, 0 for success. */
static int limited_child(const char *folder, const char *inner)
{
    struct budget_facts facts;
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    CHECK(write_text(folder, "/cgroup.procs", pid));
    facts = facts_of("/");
    CHECK(facts.cgroup_limit_bytes == 48 * MIB);
    CHECK(facts.cgroup_usage_bytes <= 48 * MIB && strncmp(facts.limited_by, "cgroup /", 8) == 0);
    CHECK(write_text(inner, "/memory.limit_in_bytes", "40M"));
    CHECK(write_text(inner, "/cgroup.procs", pid));
    CHECK(facts_of("/").cgroup_limit_bytes == 40 * MIB);
    CHECK(write_text(inner, "/memory.limit_in_bytes", "100M"));
    CHECK(facts_of("/").cgroup_limit_bytes == 48 * MIB);
    return 0;
}

static void read_real_cgroup_sees_its_limit(void **state)
{
    (void)state;
    struct cgroup ours;
    char folder[PATH_MAX + 64], inner[PATH_MAX + 80];
    cgroup_find(&ours, "/");
    if (ours.version != 1 || !ours.own) {
        print_message("skipped: no v1 memory cgroup is mounted here\n");
        skip();
    }
    snprintf(folder, sizeof folder, "%s/haul_budget_%d", ours.path, (int)getpid());
    snprintf(inner, sizeof inner, "%s/inner", folder);
    if (mkdir(folder, 0755)) {
        print_message("skipped: mkdir %s: %s\n", folder, strerror(errno));
        skip();
    }
    bool ready = mkdir(inner, 0755) == 0 && write_text(folder, "/memory.limit_in_bytes", "48M");
    pid_t child = ready ? child_start() : -1;
    if (child == 0)
        child_end(limited_child(folder, inner));
    int status = child_wait(child);
    rmdir(inner);
    int removed = rmdir(folder);
    assert_true(ready);
    assert_int_equal(status, 0);
    assert_int_equal(removed, 0);
}

static void files_follow_the_limit_on_descriptors(void **state)
{
    static const struct {
        rlim_t descriptors;
        bool far;
        struct budget_files files;
    } rows[] = {{20, false, {1, 0}},      {64, false, {1, 0}}, {128, false, {5, 21}},
                {1024, false, {80, 320}}, {20, true, {1, 0}},  {128, true, {6, 38}},
                {1024, true, {96, 576}}};
    struct rlimit before, limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        limit = (struct rlimit){rows[i].descriptors, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        struct budget_files files = budget_files(rows[i].far);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(files.open, rows[i].files.open);
        assert_int_equal(files.small, rows[i].files.small);
    }
}

#define TREE_TEST(function) cmocka_unit_test_setup_teardown(function, tree_setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(read_v1_takes_limit_and_usage_without_inactive),
        TREE_TEST(read_v1_finds_parent_with_less_room),
        TREE_TEST(read_v1_hidden_ancestor_limits),
        TREE_TEST(read_v1_unlimited_is_no_limit),
        TREE_TEST(read_v1_without_hierarchy_ignores_parent),
        TREE_TEST(read_v1_without_stat_walks_up),
        TREE_TEST(read_v1_own_folder_hidden_asks_the_nearest),
        TREE_TEST(read_v2_takes_least_of_max_and_high_of_all),
        TREE_TEST(read_v2_usage_below_inactive_is_none),
        TREE_TEST(read_v2_namespace_root_is_the_mount),
        TREE_TEST(read_docker_path_equals_mount_root),
        TREE_TEST(read_mount_root_prefix_of_a_name_is_not_ours),
        TREE_TEST(read_mount_of_a_sibling_is_not_ours),
        TREE_TEST(read_mount_above_namespace_is_an_ancestor),
        TREE_TEST(read_path_outside_namespace_is_never_walked),
        TREE_TEST(read_prefers_mount_that_shows_more_ancestors),
        TREE_TEST(read_escaped_spaces_and_colons_in_names),
        TREE_TEST(read_hybrid_uses_the_hierarchy_with_memory),
        TREE_TEST(read_hybrid_with_memory_in_v2),
        TREE_TEST(read_long_mountinfo_line_is_passed_over),
        TREE_TEST(read_without_final_newline_works),
        TREE_TEST(read_garbage_is_unknown),
        TREE_TEST(read_empty_tree_knows_nothing),
        TREE_TEST(read_old_kernel_adds_free_and_cached),
        TREE_TEST(read_rlimits_are_our_own),
        cmocka_unit_test(files_follow_the_limit_on_descriptors),
        cmocka_unit_test(read_root_too_long_tells_nothing),
        cmocka_unit_test(read_this_machine_is_plausible),
        cmocka_unit_test(read_real_cgroup_sees_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
