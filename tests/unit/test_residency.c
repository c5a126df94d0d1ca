/* test_residency.c - what is said of the page cache, against pages that the test itself brought in
 * or kept out, on real filesystems: ext4 in /var/tmp, tmpfs, overlayfs, a loop device. */
#include "in_child.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/disk/cgroup.h"
#include "haul/disk/residency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_BYTES = 20 * 1024 * 1024 + 100, NOBODY = 65534 };

/* A folder on a real disk, removed with what the tests name in it. */
struct place {
    char folder[64];
    char file[128]; /* FILE_BYTES, on disk, none of it cached; mode 0644, owned by us */
};

static void uncache(int fd)
{
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static int create_file(const char *path, size_t bytes)
{
    static char block[65536];
    memset(block, 'h', sizeof block);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < sizeof block ? bytes - done : sizeof block;
        assert_int_equal(write(fd, block, part), part);
        done += part;
    }
    uncache(fd);
    /* Reads bring in what they ask for and nothing around it. */
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    return fd;
}

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    *state = place;
    if (!place)
        return -1;
    strcpy(place->folder, "/var/tmp/haul_residency_XXXXXX");
    if (!mkdtemp(place->folder) || chmod(place->folder, 0755))
        return -1;
    snprintf(place->file, sizeof place->file, "%s/file", place->folder);
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    unlink(place->file);
    int rc = rmdir(place->folder);
    free(place);
    return rc;
}

/* Pages that are resident and stay so: locked, because the kernel may take clean pages back at any
 * moment. On the development machine (Linux 6.18, much free memory) a few of 5,120 were gone right
 * after reading in about one run of five: DAMON's pageout scheme takes unmapped pages every 5 s. */
struct hold {
    void *at;
    size_t length;
};

static void hold_release(struct hold *hold)
{
    if (hold->at)
        munmap(hold->at, hold->length);
    hold->at = NULL;
}

#define AUTO_HOLD __attribute__((cleanup(hold_release))) struct hold

/* Brings in these pages and, with MADV_RANDOM, none around them. offset is at a page. A raw system
 * call, because the sanitizers make mlock() do nothing. */
static bool hold_pages(struct hold *hold, int fd, uint64_t offset, size_t pages)
{
    hold->length = pages * (size_t)sysconf(_SC_PAGESIZE);
    hold->at = mmap(NULL, hold->length, PROT_READ, MAP_SHARED, fd, num_off(offset));
    if (hold->at == MAP_FAILED) {
        hold->at = NULL;
        return false;
    }
    return madvise(hold->at, hold->length, MADV_RANDOM) == 0 &&
           syscall(SYS_mlock, hold->at, hold->length) == 0;
}

static uint64_t measured(enum residency_method method, int fd, uint64_t offset, uint64_t length)
{
    struct residency residency = {.method = method, .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
    uint64_t bytes = 12345;
    assert_int_equal(residency_measure(&residency, fd, offset, length, &bytes), 0);
    return bytes;
}

/* Run `test` in a child and pass on the line that failed there. */
static void in_child(int (*test)(const struct place *), const struct place *place)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int line = test(place);
        if (line)
            fprintf(stderr, "%s:%d: failed in the child (%s)\n", __FILE__, line, strerror(errno));
        _exit(line ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void init_ext4_uses_cachestat(void **state)
{
    const struct place *place = *state;
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    struct residency residency;
    residency_init(&residency, fd);
    assert_int_equal(residency.method, RESIDENCY_CACHESTAT);
    assert_int_equal(residency.page_bytes, sysconf(_SC_PAGESIZE));
    AUTO_CLOSE int write_only = open(place->file, O_WRONLY | O_CLOEXEC);
    residency_init(&residency, write_only);
    assert_int_equal(residency.method, RESIDENCY_CACHESTAT);
}

static void measure_both_methods_see_the_touched_pages(void **state)
{
    const struct place *place = *state;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), 0);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), 0);
    AUTO_HOLD first = {NULL, 0};
    assert_true(hold_pages(&first, fd, 3 * MIB, 5));
    AUTO_HOLD second = {NULL, 0};
    assert_true(hold_pages(&second, fd, 17 * MIB, 2)); /* in mincore's second piece */
    for (enum residency_method m = RESIDENCY_CACHESTAT; m <= RESIDENCY_MINCORE; m++) {
        assert_int_equal(measured(m, fd, 0, 0), 7 * page_bytes);
        assert_int_equal(measured(m, fd, 0, 3 * MIB), 0);
        assert_int_equal(measured(m, fd, 0, 3 * MIB + 1), page_bytes);
        assert_int_equal(measured(m, fd, 3 * MIB + 1, 1), page_bytes);
        assert_int_equal(measured(m, fd, 3 * MIB + page_bytes - 1, 2), 2 * page_bytes);
        assert_int_equal(measured(m, fd, 4 * MIB, UINT64_MAX), 2 * page_bytes);
        assert_int_equal(measured(m, fd, FILE_BYTES, 0), 0);
        assert_int_equal(measured(m, fd, FILE_BYTES + GIB, 5), 0);
    }
}

static void measure_fully_cached_file_is_believed(void **state)
{
    enum { CACHED_BYTES = 4 * 1024 * 1024 + 100 }; /* below the usual RLIMIT_MEMLOCK of 8 MiB */
    const struct place *place = *state;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    AUTO_CLOSE int fd = create_file(place->file, CACHED_BYTES);
    AUTO_HOLD hold = {NULL, 0};
    assert_true(hold_pages(&hold, fd, 0, (size_t)div_ceil(CACHED_BYTES, page_bytes)));
    uint64_t all = align_up(CACHED_BYTES, page_bytes);
    assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), all);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), all);
    hold_release(&hold);
    uncache(fd);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), 0);
}

static void measure_brings_nothing_in(void **state)
{
    const struct place *place = *state;
    uint8_t map[128];
    struct residency residency;
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    residency_init(&residency, fd);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), 0);
        assert_int_equal(residency_map(&residency, fd, 0, 2 * MIB, map, 1024), 0);
        assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), 0);
    }
}

static void measure_empty_file_is_zero(void **state)
{
    const struct place *place = *state;
    AUTO_CLOSE int fd = create_file(place->file, 0);
    struct residency residency;
    residency_init(&residency, fd);
    assert_int_equal(residency.method, RESIDENCY_CACHESTAT);
    assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), 0);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), 0);
}

static void measure_sparse_2_tib_range_works(void **state)
{
    const struct place *place = *state;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    AUTO_CLOSE int fd = create_file(place->file, 0);
    assert_int_equal(ftruncate(fd, num_off(2048 * GIB)), 0);
    AUTO_HOLD hold = {NULL, 0};
    assert_true(hold_pages(&hold, fd, 2047 * GIB, 3));
    assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), 3 * page_bytes);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 2047 * GIB - MIB, 2 * MIB), 3 * page_bytes);
}

static void measure_without_method_is_unknown(void **state)
{
    const struct place *place = *state;
    uint64_t bytes = 7;
    uint8_t map[1] = {0xff};
    AUTO_CLOSE int fd = create_file(place->file, 4096);
    struct residency residency = {.method = RESIDENCY_NONE, .page_bytes = 4096};
    assert_int_equal(residency_measure(&residency, fd, 0, 0, &bytes), -ENODATA);
    assert_int_equal(bytes, 7);
    assert_int_equal(residency_map(&residency, fd, 0, 4096, map, 8), -ENODATA);
    assert_int_equal(map[0], 0);
}

static void measure_write_only_by_mincore_is_unknown(void **state)
{
    const struct place *place = *state;
    uint64_t bytes = 7;
    uint8_t map[1] = {0xff};
    assert_int_equal(close(create_file(place->file, 4096)), 0);
    AUTO_CLOSE int write_only = open(place->file, O_WRONLY | O_CLOEXEC);
    struct residency residency = {.method = RESIDENCY_MINCORE, .page_bytes = 4096};
    assert_int_equal(residency_measure(&residency, write_only, 0, 0, &bytes), -ENODATA);
    assert_int_equal(bytes, 7);
    assert_int_equal(residency_map(&residency, write_only, 0, 4096, map, 8), -ENODATA);
    assert_int_equal(map[0], 0);
}

static void init_pipe_and_folder_are_none(void **state)
{
    const struct place *place = *state;
    struct residency residency;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    residency_init(&residency, ends[0]);
    assert_int_equal(residency.method, RESIDENCY_NONE);
    close(ends[0]);
    close(ends[1]);
    AUTO_CLOSE int folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    residency_init(&residency, folder);
    assert_int_equal(residency.method, RESIDENCY_NONE);
}

static void map_bits_are_the_touched_pages(void **state)
{
    const struct place *place = *state;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint32_t pages = num_u32(div_ceil(FILE_BYTES, page_bytes));
    uint8_t *map = malloc(pages / 8 + 1);
    assert_non_null(map);
    memset(map, 0xff, pages / 8 + 1);
    struct residency residency;
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    residency_init(&residency, fd);
    AUTO_HOLD first = {NULL, 0};
    assert_true(hold_pages(&first, fd, 5 * page_bytes, 2));
    AUTO_HOLD second = {NULL, 0};
    assert_true(hold_pages(&second, fd, 17 * MIB, 1));
    AUTO_HOLD tail = {NULL, 0};
    assert_true(hold_pages(&tail, fd, (pages - 1) * page_bytes, 1)); /* the half page at the end */
    assert_int_equal(residency_map(&residency, fd, 0, FILE_BYTES, map, pages), 0);
    for (uint32_t i = 0; i < pages; i++) {
        bool touched = i == 5 || i == 6 || i == 17 * MIB / page_bytes || i == pages - 1;
        assert_int_equal((map[i / 8] >> (i % 8)) & 1, touched);
    }
    /* A range that begins inside and ends behind the file. */
    memset(map, 0xff, 8);
    uint64_t last = (pages - 1) * page_bytes;
    assert_int_equal(residency_map(&residency, fd, last, 64 * page_bytes, map, 64), 0);
    static const uint8_t first_only[8] = {1};
    assert_memory_equal(map, first_only, 8);
    assert_int_equal(residency_map(&residency, fd, 6 * page_bytes, 8 * page_bytes, map, 8), 0);
    assert_int_equal(map[0], 1);
    assert_int_equal(residency_map(&residency, fd, 0, 0, map, 8), 0);
    assert_int_equal(map[0], 0);
    free(map);
}

/* Neither owner nor writer: cachestat refuses and mincore would say "everything". */
static int stranger(const struct place *place)
{
    uint64_t bytes = 7;
    uint8_t map[2] = {0xff, 0xff};
    struct residency residency;
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    int fd = open(place->file, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    residency_init(&residency, fd);
    CHECK(residency.method == RESIDENCY_NONE); /* the cgroup's figure is everybody's */
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == -ENODATA && bytes == 7);
    CHECK(residency_map(&residency, fd, 0, 65536, map, 16) == -ENODATA);
    CHECK(map[0] == 0 && map[1] == 0);
    bytes = 7;
    residency.method = RESIDENCY_MINCORE;
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == -ENODATA && bytes == 7);
    CHECK(residency_measure(&residency, fd, 4096, 1, &bytes) == -ENODATA && bytes == 7);
    CHECK(residency_map(&residency, fd, 0, 65536, map, 16) == -ENODATA && map[0] == 0);
    residency.method = RESIDENCY_CACHESTAT;
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == -ENODATA && bytes == 7);
    return 0;
}

static void measure_stranger_is_not_lied_to(void **state)
{
    const struct place *place = *state;
    assert_int_equal(close(create_file(place->file, FILE_BYTES)), 0);
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody else\n");
        skip();
    }
    in_child(stranger, place);
}

/* May write, through the mode, though not owner: both methods answer. */
static int writer(const struct place *place)
{
    struct residency residency;
    uint64_t bytes;
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    int fd = open(place->file, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    residency_init(&residency, fd);
    CHECK(residency.method == RESIDENCY_CACHESTAT);
    residency.method = RESIDENCY_MINCORE;
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == 0 && bytes == residency.page_bytes);
    CHECK(residency_measure(&residency, fd, 0, 1, &bytes) == 0 && bytes == residency.page_bytes);
    return 0;
}

static void measure_writer_is_told(void **state)
{
    const struct place *place = *state;
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    AUTO_HOLD hold = {NULL, 0};
    assert_true(hold_pages(&hold, fd, 0, 1));
    assert_int_equal(fchmod(fd, 0666), 0);
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody else\n");
        skip();
    }
    in_child(writer, place);
}

enum { LARGE_BYTES = 40 * MIB };

/* By one question about all of the file at once. */
static uint64_t mapped_at_once(int fd)
{
    static unsigned char pages[LARGE_BYTES / 4096];
    uint64_t bytes = 0;
    void *at = mmap(NULL, LARGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED || mincore(at, LARGE_BYTES, pages) != 0)
        return 0;
    munmap(at, LARGE_BYTES);
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        bytes += pages[i] & 1 ? 4096 : 0;
    return bytes;
}

static int little_address_space(const struct place *place)
{
    struct residency residency = {.method = RESIDENCY_MINCORE, .page_bytes = 4096};
    struct rlimit limit;
    uint64_t bytes = 7, size_pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm && fscanf(statm, "%ju", &size_pages) == 1);
    fclose(statm);
    limit.rlim_cur = limit.rlim_max = size_pages * 4096 + 17 * MIB;
    int fd = open(place->file, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    /* Those that are held; on a busy machine others may not have let themselves be dropped yet. */
    uint64_t most_bytes = mapped_at_once(fd);
    CHECK(most_bytes >= 3 * 4096);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == 0);
    CHECK(bytes >= 3 * 4096 && bytes <= most_bytes);
    return 0;
}

static void measure_needs_little_address_space(void **state)
{
    const struct place *place = *state;
    AUTO_CLOSE int fd = create_file(place->file, LARGE_BYTES);
    AUTO_HOLD first = {NULL, 0}, middle = {NULL, 0}, last = {NULL, 0};
    assert_true(hold_pages(&first, fd, 0, 1));
    assert_true(hold_pages(&middle, fd, LARGE_BYTES / 2 + 4096, 1));
    assert_true(hold_pages(&last, fd, LARGE_BYTES - 4096, 1));
    in_child(little_address_space, place);
}

/* What stays mapped moves with the questions, and answers as if each were mapped for itself, as is
 * done where addresses are few. */
static void measure_with_view_is_the_same(void **state)
{
    const struct place *place = *state;
    static const uint64_t at[] = {0, 63 * MIB + 4096, 64 * MIB, 4096, 130 * MIB, 199 * MIB};
    AUTO_CLOSE int fd = create_file(place->file, MIB);
    struct residency_view view = {0};
    struct residency residency;
    residency_init(&residency, fd);
    assert_null(residency.view);
    residency.method = RESIDENCY_MINCORE;
    residency.view = &view;
    uint64_t bytes;
    assert_int_equal(residency_measure(&residency, fd, 0, 0, &bytes), 0);
    assert_int_equal(bytes, measured(RESIDENCY_MINCORE, fd, 0, 0));
    assert_int_equal(view.mapping != NULL, sizeof(void *) >= 8);
    assert_int_equal(ftruncate(fd, 200 * MIB), 0); /* it grows under the mapping */
    for (size_t i = 0; i < COUNT_OF(at); i++) {
        char byte;
        assert_int_equal(pread(fd, &byte, 1, num_off(at[i] + MIB / 2)), 1);
        assert_int_equal(residency_measure(&residency, fd, at[i], 2 * MIB, &bytes), 0);
        assert_true(bytes > 0);
        assert_int_equal(bytes, measured(RESIDENCY_MINCORE, fd, at[i], 2 * MIB));
        assert_int_equal(residency_measure_likely_none(&residency, fd, at[i], MIB, &bytes), 0);
        assert_int_equal(bytes, measured(RESIDENCY_MINCORE, fd, at[i], MIB));
    }
    residency_release(&view);
    assert_null(view.mapping);
    residency_release(&view);
}

/* Nothing there: a few pages are asked about. Something there: the figure is that of all pages. */
static void measure_likely_none_is_exact_where_it_finds_some(void **state)
{
    const struct place *place = *state;
    AUTO_CLOSE int fd = create_file(place->file, FILE_BYTES);
    static const enum residency_method methods[] = {RESIDENCY_CACHESTAT, RESIDENCY_MINCORE};
    struct residency residency;
    residency_init(&residency, fd);
    uint64_t length = 8 * MIB, bytes, all;
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        char data[4];
        residency.method = methods[i];
        assert_int_equal(fdatasync(fd), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        assert_int_equal(residency_measure_likely_none(&residency, fd, 0, length, &bytes), 0);
        assert_int_equal(bytes, measured(methods[i], fd, 0, length));
        assert_int_equal(pread(fd, data, sizeof data, num_off(length / 2)), sizeof data);
        all = measured(methods[i], fd, 0, length);
        assert_true(all > 0);
        assert_int_equal(residency_measure_likely_none(&residency, fd, 0, length, &bytes), 0);
        assert_int_equal(bytes, all);
    }
}

static void init_tmpfs_uses_cachestat(void **state)
{
    (void)state;
    char path[] = "/dev/shm/haul_residency_XXXXXX";
    AUTO_CLOSE int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    struct residency residency;
    residency_init(&residency, fd);
    assert_int_equal(residency.method, RESIDENCY_CACHESTAT);
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    assert_int_equal(measured(RESIDENCY_CACHESTAT, fd, 0, 0), residency.page_bytes);
    assert_int_equal(measured(RESIDENCY_MINCORE, fd, 0, 0), residency.page_bytes);
}

/* An overlay in a mount namespace of our own: it goes when the child does. */
static int overlay_mount(const struct place *place, char merged[192])
{
    char options[512], folder[192];
    static const char *const names[] = {"lower", "upper", "work", "merged"};
    CHECK(child_own_mounts());

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(folder, sizeof folder, "%s/%s", place->folder, names[i]);
        CHECK(mkdir(folder, 0755) == 0);
    }
    snprintf(folder, sizeof folder, "%s/lower/file", place->folder);
    CHECK(rename(place->file, folder) == 0);
    snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
             place->folder, place->folder, place->folder);
    snprintf(merged, 192, "%s/merged", place->folder);
    CHECK(mount("overlay", merged, "overlay", 0, options) == 0);
    return 0;
}

static int overlay_file_check(const char *path, int flags)
{
    struct residency residency;
    uint64_t bytes = 7;
    uint8_t map[2];
    int fd = open(path, flags | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
    residency_init(&residency, fd);
    CHECK(residency.method == RESIDENCY_MINCORE);
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == 0 && bytes == 0);
    AUTO_HOLD hold = {NULL, 0};
    CHECK(hold_pages(&hold, fd, 3 * residency.page_bytes, 1));
    CHECK(residency_measure(&residency, fd, 0, 0, &bytes) == 0 && bytes == residency.page_bytes);
    CHECK(residency_map(&residency, fd, 0, 16 * residency.page_bytes, map, 16) == 0);
    CHECK(map[0] == 1u << 3 && map[1] == 0);
    close(fd);
    return 0;
}

static int overlay_checks(const char *merged)
{
    struct residency residency;
    char path[256];
    snprintf(path, sizeof path, "%s/file", merged);
    int line = overlay_file_check(path, O_RDONLY); /* the lower file */
    if (line)
        return line;
    CHECK(chmod(path, 0644) == 0); /* copied up */
    line = overlay_file_check(path, O_RDWR);
    if (line)
        return line;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    residency_init(&residency, fd); /* cachestat would answer here, with 0, always */
    CHECK(residency.method == RESIDENCY_NONE);
    close(fd);
    CHECK(seteuid(NOBODY) == 0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    residency_init(&residency, fd);
    CHECK(residency.method == RESIDENCY_NONE);
    close(fd);
    CHECK(seteuid(0) == 0);
    return 0;
}

static int overlay(const struct place *place)
{
    char merged[192], path[256];
    static const char *const leftovers[] = {"upper/file", "lower/file", "work/work", "merged",
                                            "upper",      "lower",      "work"};
    int line = overlay_mount(place, merged);
    if (line == 0) {
        line = overlay_checks(merged);
        if (seteuid(0) && line == 0) /* a check that failed may have left us somebody else */
            line = __LINE__;
        if (umount2(merged, MNT_DETACH) && line == 0)
            line = __LINE__;
    }
    for (size_t i = 0; i < COUNT_OF(leftovers); i++) {
        snprintf(path, sizeof path, "%s/%s", place->folder, leftovers[i]);
        remove(path);
    }
    return line;
}

static void init_overlay_uses_mincore(void **state)
{
    const struct place *place = *state;
    assert_int_equal(close(create_file(place->file, FILE_BYTES)), 0);
    if (geteuid() != 0) {
        print_message("skipped: only root can mount an overlay\n");
        skip();
    }
    in_child(overlay, place);
}

/* A block device's pages are its own, whatever filesystem its node is on. */
static void measure_block_device_by_both_methods(void **state)
{
    const struct place *place = *state;
    char path[64];
    AUTO_CLOSE int file = create_file(place->file, 8 * MIB);
    AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {.fd = (uint32_t)file,
                                 .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO};
    int fd = -1, rc = -1;
    for (int i = 0; control >= 0 && rc && i < 16; i++) { /* others take loop devices as well */
        cleanup_close(&fd);
        snprintf(path, sizeof path, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
        fd = open(path, O_RDWR | O_CLOEXEC);
        rc = fd < 0 ? -1 : ioctl(fd, LOOP_CONFIGURE, &config);
    }
    if (rc) {
        print_message("skipped: no loop device: %s\n", strerror(errno));
        cleanup_close(&fd);
        skip();
    }
    struct residency residency;
    residency_init(&residency, fd);
    enum residency_method method = residency.method;
    int advised = posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    int dropped = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t bytes[4] = {7, 7, 7, 7};
    AUTO_HOLD hold = {NULL, 0};
    residency_measure(&residency, fd, 0, 0, &bytes[0]);
    bool held = hold_pages(&hold, fd, 5 * MIB, 1);
    residency_measure(&residency, fd, 5 * MIB, 4096, &bytes[1]);
    residency_measure(&residency, fd, 0, 0, &bytes[2]);
    residency.method = RESIDENCY_MINCORE;
    residency_measure(&residency, fd, 0, 0, &bytes[3]);
    hold_release(&hold);
    close(fd); /* autoclear: before any assertion can leave it behind */
    assert_int_equal(method, RESIDENCY_CACHESTAT);
    assert_int_equal(advised, 0);
    assert_int_equal(dropped, 0);
    assert_true(held);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[1], residency.page_bytes);
    assert_int_equal(bytes[2], residency.page_bytes);
    assert_int_equal(bytes[3], residency.page_bytes);
}

static void name_is_the_word(void **state)
{
    (void)state;
    assert_string_equal(residency_name(RESIDENCY_NONE), "none");
    assert_string_equal(residency_name(RESIDENCY_CACHESTAT), "cachestat");
    assert_string_equal(residency_name(RESIDENCY_MINCORE), "mincore");
}

static void figure_reads_one_number(void **state)
{
    const struct place *place = *state;
    uint64_t value = 7;
    int fd = create_file(place->file, 0);
    static const char text[] = "12\nfile_x 3\nfile 45 kB\nlimit\tmax\nbad abc\nnone\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_int_equal(proc_figure(place->file, "bad ", &value), -EINVAL);
    assert_true(proc_idle_ns(place->file) == NUM_UNKNOWN);
    assert_true(proc_idle_ns("") != NUM_UNKNOWN && proc_idle_ns("") > 0);
    assert_int_equal(proc_figure(place->file, "none", &value), -EINVAL);
    assert_int_equal(proc_figure(place->file, "missing", &value), -ENODATA);
    assert_int_equal(proc_figure("/nonexistent/file", "", &value), -ENOENT);
    assert_int_equal(value, 7);
    assert_int_equal(proc_figure(place->file, "", &value), 0);
    assert_int_equal(value, 12);
    assert_int_equal(proc_figure(place->file, "file ", &value), 0);
    assert_int_equal(value, 45);
    assert_int_equal(proc_figure(place->file, "limit", &value), 0);
    assert_int_equal(value, NUM_UNKNOWN);
    assert_int_equal(proc_figure_in("/", place->file, "file ", 3), 45);
    assert_int_equal(proc_figure_in("/", place->file, "bad ", 3), 3);
    assert_int_equal(proc_figure_in("/nonexistent", place->file, "file ", 3), 3);
    assert_int_equal(proc_figure_kb("", place->file, "file "), 45 * 1024);
    assert_int_equal(proc_figure_kb("", place->file, "limit"), NUM_UNKNOWN);
    assert_int_equal(proc_figure_kb("", place->file, "missing"), NUM_UNKNOWN);
}

#define PLACE_TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(init_ext4_uses_cachestat),
        PLACE_TEST(measure_both_methods_see_the_touched_pages),
        PLACE_TEST(measure_fully_cached_file_is_believed),
        PLACE_TEST(measure_brings_nothing_in),
        PLACE_TEST(measure_empty_file_is_zero),
        PLACE_TEST(measure_sparse_2_tib_range_works),
        PLACE_TEST(measure_without_method_is_unknown),
        PLACE_TEST(measure_write_only_by_mincore_is_unknown),
        PLACE_TEST(init_pipe_and_folder_are_none),
        PLACE_TEST(map_bits_are_the_touched_pages),
        PLACE_TEST(measure_stranger_is_not_lied_to),
        PLACE_TEST(measure_writer_is_told),
        PLACE_TEST(measure_needs_little_address_space),
        PLACE_TEST(measure_with_view_is_the_same),
        PLACE_TEST(measure_likely_none_is_exact_where_it_finds_some),
        cmocka_unit_test(init_tmpfs_uses_cachestat),
        PLACE_TEST(init_overlay_uses_mincore),
        PLACE_TEST(measure_block_device_by_both_methods),
        cmocka_unit_test(name_is_the_word),
        PLACE_TEST(figure_reads_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
