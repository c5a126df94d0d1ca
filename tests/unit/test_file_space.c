/* test_file_space.c - local files: final size, holes, opened again, and what is left when something
 * is refused. */
#include "file_tests.h"

/* ---- final size ---- */

static void file_preallocate_fresh_has_all_its_blocks(void **state)
{
    struct place *place = *state;
    assert_int_equal(open_target(place), 0);
    assert_int_equal(file_preallocate(&place->file, MIB + 1, false, &place->err), 0);
    struct stat st = stat_of(place->path);
    assert_int_equal(st.st_size, MIB + 1);
    assert_true((uint64_t)st.st_blocks * 512 >= MIB + 1);
}

static void file_preallocate_sparse_has_none(void **state)
{
    struct place *place = *state;
    assert_int_equal(open_target(place), 0);
    assert_int_equal(file_preallocate(&place->file, GIB, true, &place->err), 0);
    struct stat st = stat_of(place->path);
    assert_int_equal(st.st_size, GIB);
    assert_int_equal(st.st_blocks, 0);
}

static void file_preallocate_longer_is_cut_shorter_is_extended(void **state)
{
    struct place *place = *state;
    static const uint64_t sizes[] = {0, 1, 4999, 5000, 5001, 100000};
    for (int sparse = 0; sparse < 2; sparse++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            uint8_t first = 0;
            make_file(place->path, 5000, 0600);
            assert_int_equal(open_target(place), 0);
            assert_int_equal(file_preallocate(&place->file, sizes[i], sparse, &place->err), 0);
            assert_int_equal(stat_of(place->path).st_size, sizes[i]);
            assert_int_equal(pread(place->file.fd, &first, 1, 0), sizes[i] > 0);
            assert_int_equal(first, sizes[i] > 0); /* the content stays */
            file_close(&place->file);
        }
    }
}

static void file_preallocate_set_id_bits_are_cleared_first(void **state)
{
    struct place *place = *state;
    make_file(place->path, 10, 06755);
    assert_int_equal(open_target(place), 0);
    assert_int_equal(file_preallocate(&place->file, 20, false, &place->err), 0);
    assert_int_equal(stat_of(place->path).st_mode & 07777, 0755);
}

static void file_preallocate_beyond_all_limits_is_too_big(void **state)
{
    struct place *place = *state;
    assert_int_equal(open_target(place), 0);
    assert_int_equal(file_preallocate(&place->file, UINT64_MAX, false, &place->err), -EFBIG);
    place->err.class = ERROR_NONE;
    assert_int_equal(file_preallocate(&place->file, INT64_MAX, false, &place->err), -EFBIG);
    assert_int_equal(stat_of(place->path).st_size, 0);
}

/* A tmpfs of 1 MiB, in a mount namespace of the child's own. */
static int body_no_space(struct place *place)
{
    struct stat st;
    CHECK(child_own_mounts());
    CHECK(mount("tmpfs", "/mnt", "tmpfs", 0, "size=1m") == 0);
    strcpy(place->path, "/mnt/file");
    for (uint64_t old = 0; old <= 100000; old += 50000) {
        make_file(place->path, old, 0600);
        struct stat before = stat_of(place->path);
        CHECK(open_target(place) == 0);
        CHECK(place->file.filesystem == TMPFS_MAGIC);
        CHECK(file_preallocate(&place->file, 3 * MIB, false, &place->err) == -ENOSPC);
        CHECK(place->err.errnum == ENOSPC);
        CHECK(strstr(place->err.text, "3.00 MiB") && strstr(place->err.text, "free"));
        file_close(&place->file);
        CHECK(stat(place->path, &st) == 0);
        CHECK(st.st_size == before.st_size && st.st_blocks == before.st_blocks);
        /* What is free can be used: nothing is held back. */
        CHECK(open_target(place) == 0);
        place->err.class = ERROR_NONE;
        CHECK(file_preallocate(&place->file, 900 * KIB, false, &place->err) == 0);
        file_close(&place->file);
        CHECK(unlink(place->path) == 0);
    }
    return 0;
}

static void file_preallocate_no_space_leaves_all_as_before(void **state)
{
    IN_CHILD(body_no_space(*state));
}

static void file_sync_file_and_folder(void **state)
{
    struct place *place = *state;
    assert_int_equal(open_target(place), 0);
    assert_int_equal(file_sync(&place->file, &place->err), 0);
    assert_int_equal(file_sync_folder(&place->file, &place->err), 0);
    file_close(&place->file);
    assert_int_equal(open_source(place), 0); /* a source has no folder to sync */
    assert_int_equal(file_sync_folder(&place->file, &place->err), 0);
}

/* ---- holes ---- */

static void assert_data(struct place *place, uint64_t offset, uint64_t start, uint64_t end)
{
    uint64_t found_start = 1, found_end = 1;
    assert_int_equal(file_next_data(&place->file, offset, &found_start, &found_end, &place->err),
                     0);
    assert_int_equal(found_start, start);
    assert_int_equal(found_end, end);
}

static void file_next_data_between_holes(void **state)
{
    struct place *place = *state;
    uint64_t size_bytes = 100 * BLOCK + 10;
    make_file(place->path, 0, 0600);
    AUTO_CLOSE int fd = open(place->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, num_off(size_bytes)), 0);
    static const uint8_t data[2 * BLOCK] = {1};
    assert_int_equal(pwrite(fd, data, 2 * BLOCK, 10 * BLOCK), 2 * BLOCK);
    assert_int_equal(pwrite(fd, data, BLOCK, 50 * BLOCK), BLOCK);
    assert_int_equal(pwrite(fd, data, 10, 100 * BLOCK), 10); /* the tail */
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(open_source(place), 0);
    assert_data(place, 0, 10 * BLOCK, 12 * BLOCK);
    assert_data(place, 10 * BLOCK, 10 * BLOCK, 12 * BLOCK);
    assert_data(place, 11 * BLOCK + 7, 11 * BLOCK + 7, 12 * BLOCK);
    assert_data(place, 12 * BLOCK, 50 * BLOCK, 51 * BLOCK);
    assert_data(place, 51 * BLOCK, 100 * BLOCK, size_bytes);
    assert_data(place, size_bytes - 1, size_bytes - 1, size_bytes);
    assert_data(place, size_bytes, size_bytes, size_bytes);
    assert_data(place, size_bytes + 5, size_bytes, size_bytes);
}

static void file_next_data_no_data_and_no_holes(void **state)
{
    struct place *place = *state;
    make_file(place->path, 0, 0600);
    assert_int_equal(open_source(place), 0);
    assert_data(place, 0, 0, 0);
    file_close(&place->file);
    assert_int_equal(truncate(place->path, 5 * BLOCK), 0);
    assert_int_equal(open_source(place), 0);
    assert_data(place, 0, 5 * BLOCK, 5 * BLOCK);
    file_close(&place->file);
    make_file(place->path, 5 * BLOCK + 1, 0600);
    assert_int_equal(open_source(place), 0);
    assert_data(place, 0, 0, 5 * BLOCK + 1);
    assert_data(place, BLOCK, BLOCK, 5 * BLOCK + 1);
}

/* What came after it was opened is not part of it. */
static void file_next_data_file_grown_since_ends_at_the_old_size(void **state)
{
    struct place *place = *state;
    make_file(place->path, 2 * BLOCK, 0600);
    assert_int_equal(open_source(place), 0);
    make_file(place->path, 9 * BLOCK, 0600);
    assert_data(place, 0, 0, 2 * BLOCK);
    assert_data(place, 3 * BLOCK, 2 * BLOCK, 2 * BLOCK);
}

/* Whatever is asked for: it took as long as there are bytes, which no test would have seen the end
 * of. */
static void file_data_end_of_what_is_not_there_is_found_at_once(void **state)
{
    struct place *place = *state;
    make_file(place->path, 0, 0600);
    assert_int_equal(open_source(place), 0);
    assert_int_equal(file_data_end(&place->file, 0, UINT64_C(1) << 61), 0);
    assert_int_equal(file_data_end(&place->file, UINT64_C(1) << 60, UINT64_C(1) << 61), UINT64_C(1)
                                                                                            << 60);
    file_close(&place->file);
    assert_int_equal(truncate(place->path, 5 * BLOCK), 0);
    assert_int_equal(open_source(place), 0);
    assert_int_equal(file_data_end(&place->file, BLOCK, UINT64_C(1) << 61), BLOCK);
    file_close(&place->file);
    make_file(place->path, 5 * BLOCK, 0600);
    assert_int_equal(open_source(place), 0);
    assert_int_equal(file_data_end(&place->file, BLOCK, UINT64_C(1) << 61), 5 * BLOCK);
    assert_int_equal(file_data_end(&place->file, BLOCK, 2 * BLOCK), 2 * BLOCK);
}

static void file_punch_reads_as_zeros_and_frees(void **state)
{
    struct place *place = *state;
    static uint8_t found[8 * BLOCK];
    make_file(place->path, 8 * BLOCK, 0600);
    assert_int_equal(open_target(place), 0);
    assert_int_equal(fsync(place->file.fd), 0);
    struct stat before = stat_of(place->path);
    assert_int_equal(file_punch(&place->file, 2 * BLOCK, 3 * BLOCK), 0);
    assert_int_equal(pread(place->file.fd, found, sizeof(found), 0), sizeof(found));
    for (int i = 0; i < 8; i++)
        assert_int_equal(found[i * BLOCK], i < 2 || i > 4);
    struct stat st = stat_of(place->path);
    assert_int_equal(st.st_size, 8 * BLOCK);
    assert_int_equal(st.st_blocks, before.st_blocks - 3 * BLOCK / 512);
    /* To the end and beyond: the size stays. */
    assert_int_equal(file_punch(&place->file, 7 * BLOCK, 3 * BLOCK), 0);
    assert_int_equal(stat_of(place->path).st_size, 8 * BLOCK);
}

static void file_punch_not_writable_is_an_error(void **state)
{
    struct place *place = *state;
    make_file(place->path, BLOCK, 0600);
    assert_int_equal(open_source(place), 0);
    assert_int_equal(file_punch(&place->file, 0, BLOCK), -EBADF);
}

/* ---- opened again ---- */

static void file_reopen_other_flags_same_file(void **state)
{
    struct place *place = *state;
    make_file(place->path, BLOCK, 0600);
    assert_int_equal(open_source(place), 0);
    /* Renamed and another one put there: it is still the same file. */
    assert_int_equal(rename(place->path, place->other), 0);
    make_file(place->path, 1, 0600);
    AUTO_CLOSE int fd = file_reopen(&place->file, O_RDONLY | O_DIRECT);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_ino, place->file.facts.inode);
    assert_true(fcntl(fd, F_GETFL) & O_DIRECT);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_false(fcntl(place->file.fd, F_GETFL) & O_DIRECT);
    /* Unlinked, too. */
    assert_int_equal(unlink(place->other), 0);
    AUTO_CLOSE int again = file_reopen(&place->file, O_RDONLY);
    assert_true(again >= 0);
}

static void file_reopen_refused_gives_the_filesystems_answer(void **state)
{
    struct place *place = *state;
    place->file.fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    assert_true(place->file.fd >= 0);
    assert_int_equal(file_reopen(&place->file, O_RDONLY | O_DIRECT), -EINVAL);
}

/* Without /proc: by path, but only when that still is the same file. */
static int body_reopen_without_proc(struct place *place)
{
    make_file(place->path, BLOCK, 0600);
    CHECK(open_source(place) == 0);
    CHECK(child_own_mounts());
    CHECK(mount("tmpfs", "/proc", "tmpfs", 0, "size=1m") == 0);
    int fd = file_reopen(&place->file, O_RDONLY | O_DIRECT);
    CHECK(fd >= 0 && fcntl(fd, F_GETFL) & O_DIRECT);
    close(fd);
    CHECK(rename(place->path, place->other) == 0);
    CHECK(file_reopen(&place->file, O_RDONLY) == -ENOENT);
    make_file(place->path, BLOCK, 0600);
    CHECK(file_reopen(&place->file, O_RDONLY) == -ESTALE);
    file_close(&place->file);
    return 0;
}

static void file_reopen_without_proc_never_another_file(void **state)
{
    IN_CHILD(body_reopen_without_proc(*state));
}

static void file_facts_are_those_of_now(void **state)
{
    struct place *place = *state;
    struct facts facts;
    make_file(place->path, 100, 0600);
    assert_int_equal(open_source(place), 0);
    assert_int_equal(truncate(place->path, 50), 0);
    assert_int_equal(file_facts(&place->file, &facts, &place->err), 0);
    assert_int_equal(facts.size_bytes, 50);
    assert_int_equal(place->file.facts.size_bytes, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(file_preallocate_fresh_has_all_its_blocks),
        IN_PLACE(file_preallocate_sparse_has_none),
        IN_PLACE(file_preallocate_longer_is_cut_shorter_is_extended),
        IN_PLACE(file_preallocate_set_id_bits_are_cleared_first),
        IN_PLACE(file_preallocate_beyond_all_limits_is_too_big),
        IN_PLACE(file_preallocate_no_space_leaves_all_as_before),
        IN_PLACE(file_sync_file_and_folder),
        IN_PLACE(file_next_data_between_holes),
        IN_PLACE(file_next_data_no_data_and_no_holes),
        IN_PLACE(file_next_data_file_grown_since_ends_at_the_old_size),
        IN_PLACE(file_data_end_of_what_is_not_there_is_found_at_once),
        IN_PLACE(file_punch_reads_as_zeros_and_frees),
        IN_PLACE(file_punch_not_writable_is_an_error),
        IN_PLACE(file_reopen_other_flags_same_file),
        IN_PLACE(file_reopen_refused_gives_the_filesystems_answer),
        IN_PLACE(file_reopen_without_proc_never_another_file),
        IN_PLACE(file_facts_are_those_of_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
