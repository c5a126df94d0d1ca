/* test_slab.c - the memory of the slots: where it lies, that it is there, and what refusal says. */
#include "in_child.h"

#include "haul/base/num.h"
#include "haul/disk/slab.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool all_resident(const struct slab *slab)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = slab->length_bytes / page;
    unsigned char *map = calloc(pages, 1);
    assert_non_null(map);
    assert_int_equal(mincore(slab->base, slab->length_bytes, map), 0);
    size_t resident = 0;
    for (size_t i = 0; i < pages; i++)
        resident += map[i] & 1;
    free(map);
    return resident == pages;
}

/* The one of "always [madvise] never" that is in force; "never" where there is no such file. */
static bool huge_pages_possible(void)
{
    char line[128] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (!file)
        return false;
    bool read = fgets(line, sizeof(line), file);
    fclose(file);
    return read && !strstr(line, "[never]");
}

static void slab_open_many_sizes_aligned_and_touched(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, bytes;
    } sizes[] = {{1, 4096}, {2, 65536}, {3, 4096 * 5}, {2, 1048576}, {16, 1048576}, {3, 3 << 20}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct slab slab;
        struct error err = {0};
        assert_int_equal(slab_open(&slab, sizes[i].count, sizes[i].bytes, &err), 0);
        assert_false(error_is_set(&err));
        assert_int_equal((uintptr_t)slab.base % (2 * MIB), 0);
        assert_int_equal(slab.length_bytes, (uint64_t)sizes[i].count * sizes[i].bytes);
        assert_true(all_resident(&slab));
        for (uint32_t slot = 0; slot < sizes[i].count; slot++) {
            uint8_t *buffer = slab_buffer(&slab, slot);
            assert_int_equal((uintptr_t)buffer % 4096, 0);
            assert_ptr_equal(buffer, slab.base + (size_t)slot * sizes[i].bytes);
            memset(buffer, 0xab, sizes[i].bytes);
        }
        slab_close(&slab);
        assert_null(slab.base);
    }
}

static void slab_open_whole_huge_pages_flag_is_true(void **state)
{
    (void)state;
    if (!huge_pages_possible()) {
        print_message("skipped: this kernel has no transparent huge pages\n");
        skip();
    }
    struct slab slab;
    assert_int_equal(slab_open(&slab, 16, 1048576, NULL), 0);
    assert_true(slab.huge);
    slab_close(&slab);
}

static void slab_open_less_than_a_huge_page_flag_is_false(void **state)
{
    (void)state;
    struct slab slab;
    assert_int_equal(slab_open(&slab, 4, 65536, NULL), 0);
    assert_false(slab.huge);
    slab_close(&slab);
}

/* Address space of this process, bytes. Without stdio, which allocates. */
static uint64_t address_space_bytes(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The 2 MiB that were mapped to find an aligned place do not stay, and closing leaves nothing. */
static void slab_open_ends_are_given_back(void **state)
{
    (void)state;
    struct slab slab;
    assert_int_equal(slab_open(&slab, 4, 1048576, NULL), 0); /* what stdio needs is there now */
    slab_close(&slab);
    uint64_t before = address_space_bytes();
    assert_int_equal(slab_open(&slab, 4, 1048576, NULL), 0);
    uint64_t grown = address_space_bytes() - before;
    assert_true(grown >= 4 * MIB && grown <= 5 * MIB);
    slab_close(&slab);
    assert_true(address_space_bytes() - before <= MIB);
}

static int touch_in_grandchild(void)
{
    struct slab slab;
    if (slab_open(&slab, 2, 65536, NULL) < 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        unsigned char map[1];
        _exit(mincore(slab.base, 4096, map) == -1 && errno == ENOMEM ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status != 0;
}

static void slab_open_then_fork_child_has_none(void **state)
{
    (void)state;
    IN_CHILD(touch_in_grandchild());
}

/* RLIMIT_DATA counts private writable mappings as RLIMIT_AS does (Linux 4.7). */
static const struct rlimit limit_of_64_mib = {.rlim_cur = 64 * MIB, .rlim_max = 64 * MIB};

static int open_over_the_limit(void)
{
    struct slab slab;
    struct error *err = calloc(1, sizeof(*err));
    if (!err)
        return 3;
    int status = slab_open(&slab, 16, 16 << 20, err);
    bool right = status == -ENOMEM && err->class == ERROR_MEMORY && err->errnum == ENOMEM &&
                 !slab.mapping && strstr(err->text, "16 buffers of 16384 KiB") &&
                 strstr(err->text, strerror(ENOMEM));
    free(err);
    return right ? 0 : 1;
}

static int open_over_address_space(void)
{
    return setrlimit(RLIMIT_AS, &limit_of_64_mib) < 0 ? 2 : open_over_the_limit();
}

static int open_over_data(void)
{
    return setrlimit(RLIMIT_DATA, &limit_of_64_mib) < 0 ? 2 : open_over_the_limit();
}

static void slab_open_over_the_limit_says_how_much(void **state)
{
    (void)state;
    IN_CHILD(open_over_address_space());
    IN_CHILD(open_over_data());
}

static void slab_open_more_than_the_address_space_refused(void **state)
{
    (void)state;
    struct slab slab;
    struct error err = {0};
    assert_int_equal(slab_open(&slab, UINT32_MAX, UINT32_MAX - 4095, &err), -ENOMEM);
    assert_int_equal(err.class, ERROR_MEMORY);
    assert_null(slab.mapping);
}

static void slab_close_nothing_open_harmless(void **state)
{
    (void)state;
    struct slab slab = {0};
    slab_close(&slab);
    slab_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slab_open_many_sizes_aligned_and_touched),
        cmocka_unit_test(slab_open_whole_huge_pages_flag_is_true),
        cmocka_unit_test(slab_open_less_than_a_huge_page_flag_is_false),
        cmocka_unit_test(slab_open_ends_are_given_back),
        cmocka_unit_test(slab_open_then_fork_child_has_none),
        cmocka_unit_test(slab_open_over_the_limit_says_how_much),
        cmocka_unit_test(slab_open_more_than_the_address_space_refused),
        cmocka_unit_test(slab_close_nothing_open_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
