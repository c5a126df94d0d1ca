/* fake_root.h - a folder with proc/ and sys/ that looks like another machine. */
#ifndef HAUL_TESTS_FAKE_ROOT_H
#define HAUL_TESTS_FAKE_ROOT_H

#include "budget_tests.h"

#define V1_MOUNT(root)                                                                             \
    "35 31 0:32 " root " /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
#define V2_MOUNT(root) "41 31 0:38 " root " /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
#define MEMINFO                                                                                    \
    "MemTotal:       24683672 kB\nMemFree:        20000000 kB\nMemAvailable:   22000000 kB\n"      \
    "Cached:           226072 kB\n"
#define V1_UNLIMITED "9223372036854771712\n"

/* A tree of files in a new folder; its path is the test's state. */
static inline int tree_setup(void **state)
{
    char *root = strdup("/tmp/haul_budget_XXXXXX");
    *state = root;
    return root && mkdtemp(root) ? 0 : -1;
}

static inline int tree_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline int tree_teardown(void **state)
{
    int rc = nftw(*state, tree_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return rc;
}

static inline void put(const char *root, const char *path, const char *text)
{
    char full[PATH_MAX];
    assert_true(snprintf(full, sizeof full, "%s%s", root, path) < PATH_MAX);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The three files every machine has. */
static inline void machine(const char *root, const char *cgroup, const char *mounts)
{
    char text[32768];
    put(root, "/proc/self/cgroup", cgroup);
    assert_true(snprintf(text, sizeof text,
                         "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
                         "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n%s",
                         mounts) < (int)sizeof text);
    put(root, "/proc/self/mountinfo", text);
    put(root, "/proc/meminfo", MEMINFO);
}

/* One v1 cgroup; hierarchical NULL: not told. */
static inline void v1_level(const char *root, const char *folder, const char *limit,
                            const char *usage, const char *stat)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    put(root, path, limit);
    snprintf(path, sizeof path, "%s/memory.usage_in_bytes", folder);
    put(root, path, usage);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    put(root, path, stat);
}

static inline void v2_level(const char *root, const char *folder, const char *max, const char *high,
                            const char *current)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/memory.max", folder);
    put(root, path, max);
    snprintf(path, sizeof path, "%s/memory.high", folder);
    put(root, path, high);
    snprintf(path, sizeof path, "%s/memory.current", folder);
    put(root, path, current);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    put(root, path, "anon 4096\nfile 1048576\ninactive_file 524288\nactive_file 524288\n");
}

#endif
