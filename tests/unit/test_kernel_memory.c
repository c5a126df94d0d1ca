/* test_kernel_memory.c - what names cost, by files that look like those of many machines; and when
 * a cgroup is emptied, and when never. */
#include "fake_root.h"

#include "haul/base/proc.h"
#include "haul/disk/kernel_memory.h"

#include <pthread.h>
#include <sys/mman.h>

#define V1 "/sys/fs/cgroup/memory/a"
#define V2 "/sys/fs/cgroup/a"

enum { LOOKS = 1024 }; /* some of them measure, some ask what is charged */

static void put_number(const char *root, const char *path, unsigned long long number)
{
    char text[64];
    snprintf(text, sizeof text, "%llu\n", number);
    put(root, path, text);
}

static void put_ours(const char *root, const char *path)
{
    put_number(root, path, (unsigned long long)getpid());
}

static void put_v1(const char *root)
{
    machine(root, "4:memory:/a\n", V1_MOUNT("/"));
    put_number(root, V1 "/memory.limit_in_bytes", 16 * MIB);
    put_number(root, V1 "/memory.usage_in_bytes", 4 * MIB);
    put_number(root, V1 "/memory.kmem.usage_in_bytes", 1 * MIB);
    put(root, V1 "/memory.force_empty", "");
    put_ours(root, V1 "/cgroup.procs");
}

static void put_v2(const char *root)
{
    machine(root, "0::/a\n", V2_MOUNT("/"));
    put(root, V2 "/memory.max", "max\n");
    put(root, V2 "/memory.high", "max\n");
    put_number(root, V2 "/memory.current", 4 * MIB);
    put(root, V2 "/memory.stat", "anon 5\nslab_reclaimable 1000000\nslab 2000000\n");
    put(root, V2 "/memory.reclaim", "");
    put_ours(root, V2 "/cgroup.procs");
}

static void look_often(struct kernel_memory *memory)
{
    for (int i = 0; i < LOOKS; i++)
        kernel_memory_look(memory);
}

static void tell_of_v2_is_its_slab(void **state)
{
    struct kernel_memory memory;
    put_v2(*state);
    kernel_memory_open(&memory, *state);
    put(*state, V2 "/memory.stat", "slab_reclaimable 5000000\n");
    look_often(&memory);
    put(*state, V2 "/memory.stat", "slab_reclaimable 3000000\n");
    memory.measured_ns = 0;
    struct kernel_memory_told told = kernel_memory_tell(&memory);
    assert_int_equal(told.of, KERNEL_MEMORY_SLAB);
    assert_int_equal(told.most_bytes, 4000000);
    assert_int_equal(told.left_bytes, 2000000);
    assert_true(told.low_before_bytes == NUM_UNKNOWN);
    assert_int_equal(told.emptied_count, 0);
    kernel_memory_close(&memory);
}

static void tell_of_v1_is_all_its_kernel_memory(void **state)
{
    struct kernel_memory memory;
    put_v1(*state);
    kernel_memory_open(&memory, *state);
    put_number(*state, V1 "/memory.kmem.usage_in_bytes", 3 * MIB);
    look_often(&memory);
    assert_int_equal(kernel_memory_tell(&memory).of, KERNEL_MEMORY_CGROUP);
    assert_int_equal(kernel_memory_tell(&memory).most_bytes, 2 * MIB);
    kernel_memory_close(&memory);
}

static void tell_of_a_machine_without_cgroups_has_low_memory(void **state)
{
    struct kernel_memory memory;
    put(*state, "/proc/meminfo", MEMINFO "SReclaimable: 1000 kB\nLowFree: 5000 kB\n");
    kernel_memory_open(&memory, *state);
    put(*state, "/proc/meminfo", MEMINFO "SReclaimable: 3000 kB\nLowFree: 2000 kB\n");
    look_often(&memory);
    put(*state, "/proc/meminfo", MEMINFO "SReclaimable: 500 kB\nLowFree: 5500 kB\n");
    memory.measured_ns = 0;
    struct kernel_memory_told told = kernel_memory_tell(&memory);
    assert_int_equal(told.of, KERNEL_MEMORY_MACHINE);
    assert_int_equal(told.most_bytes, 2000 * KIB);
    assert_int_equal(told.left_bytes, 0);
    assert_int_equal(told.low_before_bytes, 5000 * KIB);
    assert_int_equal(told.low_least_bytes, 2000 * KIB);
    kernel_memory_close(&memory);
}

static void tell_of_nothing_is_unknown(void **state)
{
    struct kernel_memory memory;
    kernel_memory_open(&memory, *state);
    look_often(&memory);
    assert_int_equal(kernel_memory_tell(&memory).of, KERNEL_MEMORY_UNKNOWN);
    assert_true(kernel_memory_tell(&memory).most_bytes == NUM_UNKNOWN);
    assert_true(kernel_memory_tell(NULL).most_bytes == NUM_UNKNOWN);
    kernel_memory_close(&memory);
}

static uint64_t written(const char *root, const char *path)
{
    char full[PATH_MAX];
    uint64_t value = NUM_UNKNOWN;
    snprintf(full, sizeof full, "%s%s", root, path);
    (void)proc_figure(full, "", &value);
    return value;
}

static void own_empties_at_half_of_the_room(void **state)
{
    struct kernel_memory memory;
    put_v1(*state);
    kernel_memory_open(&memory, *state);
    assert_int_equal(kernel_memory_own(&memory, NULL), 0);
    put(*state, V1 "/memory.force_empty", "");
    put_number(*state, V1 "/memory.usage_in_bytes", 10 * MIB - 1);
    look_often(&memory);
    assert_int_equal(kernel_memory_tell(&memory).emptied_count, 0);
    assert_true(written(*state, V1 "/memory.force_empty") == NUM_UNKNOWN);
    put_number(*state, V1 "/memory.usage_in_bytes", 10 * MIB);
    look_often(&memory);
    assert_int_equal(written(*state, V1 "/memory.force_empty"), 0);
    assert_int_equal(kernel_memory_tell(&memory).emptied_count, 1); /* the next at 13 MiB */
    put_number(*state, V1 "/memory.usage_in_bytes", 13 * MIB);
    look_often(&memory);
    assert_int_equal(kernel_memory_tell(&memory).emptied_count, 2);
    kernel_memory_close(&memory);
}

static void own_of_v2_asks_for_what_has_come(void **state)
{
    struct kernel_memory memory;
    put_v2(*state);
    kernel_memory_open(&memory, *state);
    assert_int_equal(kernel_memory_own(&memory, NULL), 0);
    put_number(*state, V2 "/memory.current", 68 * MIB); /* 64 MiB, where there is no limit */
    look_often(&memory);
    assert_int_equal(written(*state, V2 "/memory.reclaim"), 64 * MIB);
    kernel_memory_close(&memory);
}

static void own_is_refused_where_others_are(void **state)
{
    struct kernel_memory memory;
    struct error err = {.class = ERROR_NONE};
    put_v2(*state);
    put(*state, V2 "/cgroup.procs", "77\n");
    put(*state, "/proc/77/status", "Name: x\nPPid:\t1\n");
    kernel_memory_open(&memory, *state);
    assert_int_equal(kernel_memory_own(&memory, &err), -EBUSY);
    assert_non_null(strstr(err.text, "process 77 is in our memory cgroup"));
    char text[64];
    snprintf(text, sizeof text, "PPid:\t%d\n", (int)getpid());
    put(*state, "/proc/77/status", text); /* an ssh of ours */
    assert_int_equal(kernel_memory_own(&memory, NULL), 0);
    put(*state, V2 "/cgroup.procs", "0\n"); /* who is that? */
    assert_int_equal(kernel_memory_own(&memory, NULL), -EBUSY);
    put_ours(*state, V2 "/cgroup.procs");
    put_ours(*state, V2 "/below/cgroup.procs");
    struct stat st;
    snprintf(text, sizeof text, "%s" V2, (const char *)*state);
    assert_int_equal(stat(text, &st), 0);
    if (st.st_nlink > 2) /* btrfs does not count */
        assert_int_equal(kernel_memory_own(&memory, NULL), -EBUSY);
    kernel_memory_close(&memory);
}

static void own_ends_when_others_come(void **state)
{
    struct kernel_memory memory;
    put_v1(*state);
    kernel_memory_open(&memory, *state);
    assert_int_equal(kernel_memory_own(&memory, NULL), 0);
    put(*state, V1 "/memory.force_empty", "");
    put(*state, V1 "/cgroup.procs", "77\n");
    put_number(*state, V1 "/memory.usage_in_bytes", 15 * MIB);
    look_often(&memory);
    put_ours(*state, V1 "/cgroup.procs");
    look_often(&memory);
    assert_int_equal(kernel_memory_tell(&memory).emptied_count, 0);
    assert_true(written(*state, V1 "/memory.force_empty") == NUM_UNKNOWN);
    kernel_memory_close(&memory);
}

static void own_is_refused_without_a_cgroup_or_a_way(void **state)
{
    struct kernel_memory memory;
    struct error err = {.class = ERROR_NONE};
    char path[PATH_MAX];
    put(*state, "/proc/meminfo", MEMINFO);
    kernel_memory_open(&memory, *state);
    assert_int_equal(kernel_memory_own(&memory, &err), -EBUSY);
    kernel_memory_close(&memory);
    put_v2(*state);
    snprintf(path, sizeof path, "%s" V2 "/memory.reclaim", (const char *)*state);
    assert_int_equal(unlink(path), 0);
    kernel_memory_open(&memory, *state);
    error_clear(&err);
    assert_int_equal(kernel_memory_own(&memory, &err), -ENOENT);
    assert_non_null(strstr(err.text, "cannot be emptied"));
    kernel_memory_close(&memory);
}

static uint32_t rooms_when(const char *root, uint64_t usage_bytes, uint64_t kernel_bytes)
{
    struct kernel_memory memory;
    put_v1(root);
    kernel_memory_open(&memory, root);
    put_number(root, V1 "/memory.usage_in_bytes", usage_bytes);
    put_number(root, V1 "/memory.kmem.usage_in_bytes", kernel_bytes);
    look_often(&memory);
    uint32_t count = kernel_memory_tell(&memory).rooms_count;
    kernel_memory_close(&memory);
    return count;
}

static void assert_few(uint32_t rooms)
{
    assert_true(rooms >= 1 && rooms <= LOOKS / 256);
}

/* It never helps here, since what is charged is a file's word; so it is not tried often. */
static void room_is_made_while_names_fill_the_cgroup(void **state)
{
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
        skip();
    assert_int_equal(rooms_when(*state, 15 * MIB - 1, 8 * MIB), 0);
    assert_few(rooms_when(*state, 15 * MIB + 1, 8 * MIB));
    /* What fills it are others, and not names. */
    assert_int_equal(rooms_when(*state, 15 * MIB + 1, 2 * MIB), 0);
}

/* What is charged is asked seldom while there is much room, and found out all the same. */
static void room_is_made_in_a_large_cgroup_that_fills(void **state)
{
    struct kernel_memory memory;
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0)
        skip();
    put_v1(*state);
    put_number(*state, V1 "/memory.limit_in_bytes", 1024 * MIB);
    kernel_memory_open(&memory, *state);
    kernel_memory_look(&memory);
    put_number(*state, V1 "/memory.usage_in_bytes", 1024 * MIB);
    put_number(*state, V1 "/memory.kmem.usage_in_bytes", 512 * MIB);
    look_often(&memory);
    assert_few(kernel_memory_tell(&memory).rooms_count);
    kernel_memory_close(&memory);
}

enum { STACK_BYTES = 256 * 1024, DEEP_BYTES = 16 * 1024, FRAME_BYTES = 1024, PAINT = 0xa5 };

struct look {
    struct kernel_memory *memory; /* NULL: something deep instead */
    uint8_t *stack;
    size_t taken_bytes;
};

static void __attribute__((noinline)) go_deep(void)
{
    uint8_t deep[DEEP_BYTES];
    memset(deep, 0, sizeof(deep));
    __asm__ volatile("" : : "r"(deep) : "memory"); /* somebody may read it */
}

/* How the thread itself begins and ends is the C library's matter (that of 2.41 takes 6 KiB), so
 * what is below this frame is painted here, and looked at here. */
static void *look_in_thread(void *arg)
{
    struct look *look = arg;
    uint8_t *frame = (uint8_t *)__builtin_frame_address(0) - FRAME_BYTES, *untouched = look->stack;
    memset(look->stack, PAINT, (size_t)(frame - look->stack));
    if (look->memory)
        look_often(look->memory);
    else
        go_deep();
    while (untouched < frame && *untouched == PAINT)
        untouched++;
    look->taken_bytes = (size_t)(frame - untouched) + FRAME_BYTES;
    return NULL;
}

/* Bytes of a thread's stack that it touches, or FRAME_BYTES where it is less. */
static size_t stack_taken(struct kernel_memory *memory)
{
    pthread_attr_t attributes;
    pthread_t thread;
    struct look look = {.memory = memory};
    look.stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    assert_true(look.stack != MAP_FAILED);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, look.stack, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, look_in_thread, &look), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    munmap(look.stack, STACK_BYTES);
    return look.taken_bytes;
}

/* Each thread that copies small files looks. */
static void a_look_takes_little_of_the_stack(void **state)
{
    struct kernel_memory memory;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* their frames are larger */
    skip();
#endif
    put_v2(*state);
    put_number(*state, V2 "/memory.max", 16 * MIB);
    kernel_memory_open(&memory, *state);
    look_often(&memory); /* names of functions are looked up, once */
    assert_true(stack_taken(NULL) > DEEP_BYTES);
    assert_true(stack_taken(&memory) < 4096);
    kernel_memory_close(&memory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)
    const struct CMUnitTest tests[] = {
        TEST(tell_of_v2_is_its_slab),
        TEST(tell_of_v1_is_all_its_kernel_memory),
        TEST(tell_of_a_machine_without_cgroups_has_low_memory),
        TEST(tell_of_nothing_is_unknown),
        TEST(own_empties_at_half_of_the_room),
        TEST(own_of_v2_asks_for_what_has_come),
        TEST(own_is_refused_where_others_are),
        TEST(own_ends_when_others_come),
        TEST(own_is_refused_without_a_cgroup_or_a_way),
        TEST(room_is_made_while_names_fill_the_cgroup),
        TEST(room_is_made_in_a_large_cgroup_that_fills),
        TEST(a_look_takes_little_of_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
