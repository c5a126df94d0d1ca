/* test_small.c - small files as a whole: which are taken, what is known of them, and what is left
 * of them in the page cache; which are put. */
#include "haul/disk/small.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/residency.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROOM = 64 * 1024 };

static char folder[64], path[128];
static uint8_t data[ROOM + 4096];
_Alignas(4096) static uint8_t buffer[ROOM];
static uint32_t filesystem;

/* ---- a file system that opens nothing for direct I/O ---- */

#ifdef SYS_fcntl64
enum { SYS_FCNTL = SYS_fcntl64 };
#else
enum { SYS_FCNTL = SYS_fcntl };
#endif

static bool refuses_direct;
static uint32_t refused_count;

int open(const char *name, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (refuses_direct && flags & O_DIRECT) {
        refused_count++;
        errno = EINVAL;
        return -1;
    }
    return openat(AT_FDCWD, name, flags, mode);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (refuses_direct && command == F_SETFL && argument & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_FCNTL, fd, command, argument);
}

static int folder_setup(void **state)
{
    (void)state;
    refuses_direct = false;
    refused_count = 0;
    strcpy(folder, "/var/tmp/haul_small_XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/file", folder);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 251 + 1);
    return 0;
}

static int folder_teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void require_told(void)
{
    struct statfs fs;
    assert_int_equal(statfs(folder, &fs), 0);
    filesystem = (uint32_t)fs.f_type;
    if (filesystem != EXT4_SUPER_MAGIC && filesystem != BTRFS_SUPER_MAGIC &&
        filesystem != 0x58465342 /* xfs */)
        skip();
}

/* What the system is just busy with is missed by a drop. */
static void drop_all(int fd, uint64_t size)
{
    uint64_t bytes = 1;
    for (int i = 0; i < 1000 && bytes > 0; i++) {
        residency_drop(fd, 0);
        assert_int_equal(residency_once(fd, size, &bytes), 0);
        poll(NULL, 0, bytes > 0);
    }
}

/* A file of that size, on the medium; in the page cache or not. */
static void make(uint32_t size, bool cached)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(fsync(fd), 0);
    if (!cached)
        drop_all(fd, size);
}

static uint64_t cached_bytes(void)
{
    uint64_t bytes = 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(residency_once(fd, (uint64_t)st.st_size, &bytes), 0);
    return bytes;
}

/* One for all tests, as for all files of a run. */
static struct small_known known;

static int take(struct small_taken *taken, const char *name)
{
    return small_take(
        taken,
        &(struct small_source){.path = name, .buffer = buffer, .capacity = ROOM, .known = &known});
}

static void take_whole_files_of_every_size(void **state)
{
    static const uint32_t sizes[] = {0, 1, 4095, 4096, 4097, ROOM - 1, ROOM};
    struct small_taken taken;
    (void)state;
    require_told();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        make(sizes[i], false);
        memset(buffer, 0, sizeof(buffer));
        assert_int_equal(take(&taken, path), 0);
        assert_int_equal(taken.bytes, sizes[i]);
        assert_memory_equal(buffer, data, sizes[i]);
        assert_int_equal(taken.facts.kind, FILE_REGULAR);
        assert_int_equal(taken.facts.size_bytes, sizes[i]);
        assert_int_equal(taken.facts.mode, 0640);
        assert_int_equal(taken.before_bytes, 0);
        /* Past the cache, where whole blocks have room. */
        if (sizes[i] + 4096 <= ROOM && filesystem != BTRFS_SUPER_MAGIC)
            assert_int_equal(taken.peak_bytes, 0);
        assert_int_equal(taken.after_bytes, 0);
        assert_int_equal(cached_bytes(), 0);
    }
}

static void take_what_is_cached_leaves_it_there(void **state)
{
    struct small_taken taken;
    (void)state;
    require_told();
    make(10000, true);
    assert_int_equal(take(&taken, path), 0);
    assert_memory_equal(buffer, data, 10000);
    assert_int_equal(taken.before_bytes, 12288);
    assert_int_equal(taken.after_bytes, 12288);
    assert_int_equal(cached_bytes(), 12288);
}

/* Each is opened as the one before was read, and is read as it should be all the same. */
static void take_after_others_is_as_it_is(void **state)
{
    static const bool cached[] = {false, true, true, false, false, true};
    struct small_taken taken;
    (void)state;
    require_told();
    known = (struct small_known){.type = 0};
    for (size_t i = 0; i < COUNT_OF(cached); i++) {
        make(10000, cached[i]);
        memset(buffer, 0, sizeof(buffer));
        assert_int_equal(take(&taken, path), 0);
        assert_memory_equal(buffer, data, 10000);
        assert_int_equal(taken.before_bytes, cached[i] ? 12288 : 0);
        assert_int_equal(taken.after_bytes, cached[i] ? 12288 : 0);
        assert_int_equal(cached_bytes(), cached[i] ? 12288 : 0);
        if (cached[i])
            assert_true(known.buffered);
        else if (filesystem != BTRFS_SUPER_MAGIC) /* which may read them through the cache */
            assert_false(known.buffered);
    }
}

/* It is asked again for none of those that follow. */
static void take_where_nothing_is_opened_direct(void **state)
{
    struct small_taken taken;
    (void)state;
    require_told();
    known = (struct small_known){.type = 0};
    for (uint32_t i = 0; i < 4; i++) {
        make(10000, i == 2);
        refuses_direct = true;
        memset(buffer, 0, sizeof(buffer));
        assert_int_equal(take(&taken, path), 0);
        assert_memory_equal(buffer, data, 10000);
        assert_int_equal(taken.after_bytes, i == 2 ? 12288 : 0);
        assert_int_equal(cached_bytes(), i == 2 ? 12288 : 0);
    }
    assert_int_equal(refused_count, 1);
}

static void take_refuses_what_is_not_small(void **state)
{
    struct small_taken taken;
    char fifo[128];
    (void)state;
    require_told();
    make(ROOM + 1, false);
    assert_int_equal(take(&taken, path), -EAGAIN);
    make(100, false);
    assert_int_equal(truncate(path, 20000), 0); /* a hole */
    assert_int_equal(take(&taken, path), -EAGAIN);
    assert_int_equal(take(&taken, folder), -EAGAIN);
    assert_int_equal(take(&taken, "/var/tmp/not/there"), -EAGAIN);
    assert_int_equal(take(&taken, "/proc/version"), -EAGAIN);
    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(take(&taken, fifo), -EAGAIN);
    unlink(fifo);
}

static const struct facts source = {.kind = FILE_REGULAR, .mtime_seconds = 1000000000};

static struct small_wish wish_of(const uint8_t *bytes, uint32_t count)
{
    static struct stat seen;
    return (struct small_wish){
        .path = path,
        .shown = path,
        .data = bytes,
        .bytes = count,
        .source = &source,
        .known = &known,
        .seen = &seen,
    };
}

static int put(struct small_file *file, uint32_t bytes, struct error *err)
{
    const struct small_wish wish = wish_of(data, bytes);
    err->class = ERROR_NONE;
    return small_put(file, &wish, err);
}

static void put_makes_a_new_file_and_locks_it(void **state)
{
    struct small_file file;
    struct error err;
    struct stat st;
    (void)state;
    require_told();
    assert_int_equal(put(&file, 5000, &err), 0);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 5000);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(pread(fd, buffer, ROOM, 0), 5000);
    assert_memory_equal(buffer, data, 5000);
    assert_int_equal(small_settle(&file, path, &st, &err), 0);
    assert_int_equal(st.st_size, 5000);
    small_drop(&file);
    assert_int_equal(file.left_bytes, 0);
    small_close(&file);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
}

/* Whether the kernel drops what was written, or nobody but we. */
static void put_is_the_same_whoever_drops_it(void **state)
{
    static const uint32_t sizes[] = {0, 1, 4096, 5000, ROOM};
    struct small_file file;
    struct error err;
    struct stat st;
    (void)state;
    require_told();
    for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        const uint32_t size = sizes[i / 2];
        known = (struct small_known){.drops = i % 2 == 0 ? 0 : SMALL_DROPS_NOTHING};
        assert_int_equal(put(&file, size, &err), 0);
        if (i % 2 == 1)
            assert_false(file.dropped);
        else if (size > 0)
            assert_true(file.dropped == (known.drops == SMALL_DROPS_WRITES));
        assert_int_equal(small_settle(&file, path, &st, &err), 0);
        small_drop(&file);
        assert_int_equal(file.left_bytes, 0);
        small_close(&file);
        assert_int_equal(cached_bytes(), 0);
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(pread(fd, buffer, ROOM, 0), size);
        assert_memory_equal(buffer, data, size);
        assert_int_equal(unlink(path), 0);
    }
}

static void put_leaves_alone_what_is_there(void **state)
{
    struct small_file file;
    struct error err;
    struct stat st;
    (void)state;
    make(3, true);
    assert_int_equal(put(&file, 5000, &err), -EEXIST);
    assert_int_equal(file.fd, -1);
    assert_false(error_is_set(&err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
    unlink(path);
    assert_int_equal(symlink("/var/tmp/haul-nowhere", path), 0);
    assert_int_equal(put(&file, 5000, &err), -EEXIST);
    assert_int_not_equal(access("/var/tmp/haul-nowhere", F_OK), 0);
}

/* It is made, or locked, and changed no more before somebody says so. */
static void late_ones_are_held_and_go_on_or_are_let_go_of(void **state)
{
    (void)state;
    require_told();
    for (int i = 0; i < 4; i++) {
        bool old = i & 1, goes_on = i & 2;
        struct small_file file;
        struct error err = {.class = ERROR_NONE};
        struct stat st;
        struct small_wish wish = wish_of(data, 5000);
        wish.until_ns = 1;
        if (old)
            make(3, false);
        int result = old ? small_replace(&file, &wish, &err) : small_put(&file, &wish, &err);
        assert_int_equal(result, SMALL_LATE);
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, old ? 3 : 0);
        if (goes_on)
            assert_int_equal(small_go_on(&file, &wish, &err), 0);
        else
            small_let_go(&file, &wish);
        assert_int_equal(stat(path, &st) == 0, old || goes_on);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, goes_on ? 5000 : old ? 3 : 0);
        if (goes_on)
            small_close(&file);
        assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
        unlink(path);
    }
}

/* Nor is what somebody else writes meanwhile, into it or in its place. */
static void what_others_write_into_a_late_one_stays(void **state)
{
    (void)state;
    require_told();
    for (int i = 0; i < 4; i++) {
        bool in_its_place = i & 1, goes_on = i & 2;
        struct small_file file;
        struct error err = {.class = ERROR_NONE};
        struct small_wish wish = wish_of(data, 5000);
        char theirs[16] = "";
        wish.until_ns = 1;
        assert_int_equal(small_put(&file, &wish, &err), SMALL_LATE);
        if (in_its_place)
            assert_int_equal(unlink(path), 0);
        AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "theirs", 6), 6);
        if (!goes_on)
            small_let_go(&file, &wish);
        else /* it is missed at the commit */
            assert_int_equal(small_go_on(&file, &wish, &err), in_its_place ? 0 : -EAGAIN);
        small_close(&file);
        AUTO_CLOSE int again = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(again, theirs, sizeof(theirs)), 6);
        assert_string_equal(theirs, "theirs");
        unlink(path);
    }
}

/* Over what is there; data with one byte in every `stride` another one, from `first` on. */
static int replace(struct small_file *file, uint32_t bytes, uint32_t first, uint32_t stride)
{
    struct error err = {.class = ERROR_NONE};
    const struct small_wish wish = wish_of(buffer, bytes);
    memcpy(buffer, data, ROOM);
    for (uint32_t i = first; i < ROOM; i += stride)
        buffer[i] ^= 0x55;
    return small_replace(file, &wish, &err);
}

static void replace_writes_only_what_differs(void **state)
{
    static const struct {
        uint32_t old, new, first, stride, kept;
    } cases[] = {
        {10000, 10000, 5000, ROOM, 4096 + 1808}, /* the block in the middle */
        {10000, 10000, 0, ROOM, 4096 + 1808},
        {10000, 10000, 9999, ROOM, 8192},
        {10000, 10000, ROOM - 1, ROOM, 10000}, /* nothing */
        {10000, 10000, 0, 100, 0},
        {10000, 20000, 5000, ROOM, 4096}, /* its last block is another one: it goes on */
        {20000, 10000, 5000, ROOM, 4096 + 1808},
        {4096, 8192, ROOM - 1, ROOM, 4096},
        {0, 5000, 0, 100, 0},
        {5000, 0, 0, 100, 0},
        {ROOM, ROOM, 40000, ROOM, ROOM - 4096},
    };
    (void)state;
    require_told();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static uint8_t now[ROOM + 1];
        struct small_file file;
        struct error err = {.class = ERROR_NONE};
        struct stat st;
        make(cases[i].old, false);
        assert_int_equal(put(&file, 5000, &err), -EEXIST);
        assert_int_equal(replace(&file, cases[i].new, cases[i].first, cases[i].stride), 0);
        assert_true(file.replaced);
        assert_int_equal(file.kept_bytes, cases[i].kept);
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
        assert_int_equal(pread(fd, now, sizeof(now), 0), cases[i].new);
        assert_memory_equal(now, buffer, cases[i].new);
        assert_int_equal(small_settle(&file, path, &st, &err), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        small_drop(&file);
        if (file.left_bytes > 0)
            drop_all(file.fd, cases[i].new);
        assert_int_equal(cached_bytes(), 0);
        small_close(&file);
    }
}

static void assert_is_left_alone(void)
{
    struct small_file file;
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(replace(&file, 5000, 0, 100), -EAGAIN);
    assert_int_equal(file.fd, -1);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
    assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

static void replace_leaves_alone_what_is_not_just_a_small_file(void **state)
{
    const struct flock part = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
    (void)state;
    require_told();
    make(10000, true); /* somebody's pages */
    assert_is_left_alone();
    assert_int_equal(cached_bytes(), 12288);
    make(10000, false);
    assert_int_equal(chmod(path, 04755), 0);
    assert_is_left_alone();
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(truncate(path, 40000), 0); /* a hole */
    assert_is_left_alone();
    make(10000, false);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_is_left_alone();
    assert_int_equal(flock(fd, LOCK_UN), 0);
    struct flock own = part; /* a copy of a part of it */
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &own), 0);
    assert_is_left_alone();
    own.l_type = F_UNLCK;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &own), 0);
    assert_int_equal(fallocate(fd, 0, 0, SMALL_BYTES_MAX + 1), 0);
    assert_is_left_alone();
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_is_left_alone();
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(take_whole_files_of_every_size, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(take_what_is_cached_leaves_it_there, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(take_after_others_is_as_it_is, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(take_where_nothing_is_opened_direct, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(take_refuses_what_is_not_small, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(put_makes_a_new_file_and_locks_it, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(put_is_the_same_whoever_drops_it, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(put_leaves_alone_what_is_there, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(what_others_write_into_a_late_one_stays, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(late_ones_are_held_and_go_on_or_are_let_go_of, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(replace_writes_only_what_differs, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(replace_leaves_alone_what_is_not_just_a_small_file,
                                        folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
