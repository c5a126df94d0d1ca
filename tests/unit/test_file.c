/* test_file.c - local files: describing and opening every kind, the lock. Runs as root; what only
 * others meet is run in a child. */
#include "file_tests.h"

#include "haul/disk/filesystem.h"

static int be_nobody(void)
{
    return setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? 0 : -1;
}

/* ---- describing ---- */

static void file_describe_missing_is_no_error(void **state)
{
    struct place *place = *state;
    struct facts facts;
    memset(&facts, 0xff, sizeof(facts));
    assert_int_equal(file_describe(place->path, &facts, &place->err), 0);
    assert_int_equal(facts.kind, FILE_NONE);
    assert_false(error_is_set(&place->err));
}

static void file_describe_every_kind(void **state)
{
    struct place *place = *state;
    struct facts facts;
    make_file(place->path, 5000, 0640);
    assert_int_equal(file_describe(place->path, &facts, &place->err), 0);
    struct stat st = stat_of(place->path);
    assert_int_equal(facts.kind, FILE_REGULAR);
    assert_int_equal(facts.size_bytes, 5000);
    assert_int_equal(facts.allocated_bytes, (uint64_t)st.st_blocks * 512);
    assert_int_equal(facts.mode, 0640);
    assert_int_equal(facts.uid, st.st_uid);
    assert_int_equal(facts.inode, st.st_ino);
    assert_int_equal(facts.device, st.st_dev);
    assert_int_equal(facts.mtime_seconds, st.st_mtim.tv_sec);
    assert_int_equal(facts.mtime_ns, st.st_mtim.tv_nsec);
    assert_int_equal(facts.ctime_ns, st.st_ctim.tv_nsec);

    assert_int_equal(symlink(place->path, place->other), 0); /* followed */
    assert_int_equal(file_describe(place->other, &facts, &place->err), 0);
    assert_int_equal(facts.kind, FILE_REGULAR);
    assert_int_equal(facts.size_bytes, 5000);

    assert_int_equal(file_describe(place->folder, &facts, &place->err), 0);
    assert_int_equal(facts.kind, FILE_FOLDER);
    assert_int_equal(file_describe("/dev/null", &facts, &place->err), 0);
    assert_int_equal(facts.kind, FILE_CHARACTER);
}

/* As large as filesystems in memory, XFS and Btrfs allow: positions are rounded up, and counted in
 * messages, that have no room for it. */
static void file_of_more_than_four_exbibytes_is_too_big(void **state)
{
    struct place *place = *state;
    struct facts facts;
    char path[] = "/dev/shm/haul-large-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    int most = ftruncate(fd, num_off(FILE_BYTES_MAX));
    int described = file_describe(path, &facts, &place->err);
    int larger = ftruncate(fd, num_off(FILE_BYTES_MAX + 1));
    int refused = file_describe(path, &facts, &place->err);
    struct error err = {.class = ERROR_NONE};
    int opened = file_open_source(&place->file, path, &err);
    close(fd);
    unlink(path);
    assert_int_equal(most + larger, 0);
    assert_int_equal(described, 0);
    assert_int_equal(refused, -EFBIG);
    assert_int_equal(opened, -EFBIG);
    assert_int_equal(err.class, ERROR_FILE);
    assert_non_null(strstr(err.text, path));
}

static void file_describe_path_through_a_file_is_an_error(void **state)
{
    struct place *place = *state;
    struct facts facts;
    char path[160];
    make_file(place->path, 1, 0600);
    snprintf(path, sizeof(path), "%s/x", place->path);
    assert_int_equal(file_describe(path, &facts, &place->err), -ENOTDIR);
    assert_non_null(strstr(place->err.text, path));
}

/* ---- sources ---- */

static void file_open_source_regular(void **state)
{
    struct place *place = *state;
    make_file(place->path, 5000, 0400);
    assert_int_equal(open_source(place), 0);
    assert_true(place->file.fd >= 0);
    assert_int_equal(place->file.fd_direct, -1);
    assert_int_equal(fcntl(place->file.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(place->file.readable);
    assert_false(place->file.writable);
    assert_false(place->file.created);
    assert_string_equal(place->file.path, place->path);
    assert_int_equal(place->file.facts.kind, FILE_REGULAR);
    assert_int_equal(place->file.facts.size_bytes, 5000);
    assert_int_equal(place->file.filesystem, EXT4_SUPER_MAGIC);
}

static void file_open_source_refused(void **state)
{
    struct place *place = *state;
    assert_refused(place, open_source(place), -ENOENT, ERROR_VANISHED);
    assert_int_equal(symlink("nowhere", place->path), 0);
    assert_refused(place, open_source(place), -ENOENT, ERROR_VANISHED);
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(symlink("file", place->path), 0);
    assert_refused(place, open_source(place), -ELOOP, ERROR_FILE);
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(mkdir(place->path, 0700), 0);
    assert_refused(place, open_source(place), -EISDIR, ERROR_FILE);
    assert_int_equal(rmdir(place->path), 0);
    assert_int_equal(mknod(place->path, S_IFCHR | 0600, makedev(1, 3)), 0); /* null */
    assert_refused(place, open_source(place), -EINVAL, ERROR_FILE);
}

static void file_open_source_socket_is_refused(void **state)
{
    struct place *place = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, place->path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(open_source(place) < 0);
    assert_true(open_target(place) < 0);
    assert_int_equal(place->file.fd, -1);
}

/* Nobody is at the other side, and nobody will be. */
static int body_fifo(struct place *place)
{
    CHECK(mkfifo(place->path, 0600) == 0);
    CHECK(open_source(place) == -EINVAL && place->err.class == ERROR_FILE);
    CHECK(open_target(place) == -EINVAL && place->err.class == ERROR_FILE);
    CHECK(be_nobody() == 0);
    CHECK(open_source(place) == -EACCES);
    CHECK(open_target(place) == -EACCES);
    return 0;
}

static void file_open_fifo_never_hangs(void **state)
{
    IN_CHILD(body_fifo(*state));
}

static int body_unreadable(struct place *place)
{
    CHECK(be_nobody() == 0);
    CHECK(open_source(place) == -EACCES);
    CHECK(place->err.class == ERROR_FILE && place->err.errnum == EACCES);
    CHECK(strstr(place->err.text, place->path) && place->file.fd == -1);
    return 0;
}

static void file_open_source_not_permitted(void **state)
{
    struct place *place = *state;
    make_file(place->path, 10, 0600);
    IN_CHILD(body_unreadable(place));
}

/* ---- targets ---- */

static void file_open_target_new_is_created_private(void **state)
{
    struct place *place = *state;
    mode_t old = umask(0);
    int result = open_target(place);
    umask(old);
    assert_int_equal(result, 0);
    assert_true(place->file.created && place->file.writable && place->file.readable);
    assert_true(place->file.fd_folder >= 0);
    assert_string_equal(place->file.name, "file");
    assert_int_equal(place->file.facts.size_bytes, 0);
    assert_int_equal(stat_of(place->path).st_mode & 07777, 0600);
}

static void file_open_target_old_is_not_truncated(void **state)
{
    struct place *place = *state;
    make_file(place->path, 5000, 0644);
    assert_int_equal(open_target(place), 0);
    assert_false(place->file.created);
    assert_true(place->file.writable && place->file.readable);
    assert_int_equal(place->file.facts.size_bytes, 5000);
    assert_int_equal(stat_of(place->path).st_size, 5000);
    assert_int_equal(stat_of(place->path).st_mode & 07777, 0644);
}

static void file_open_target_refused(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->path, 0700), 0);
    assert_refused(place, open_target(place), -EISDIR, ERROR_FILE);
    assert_int_equal(rmdir(place->path), 0);
    assert_int_equal(mknod(place->path, S_IFCHR | 0600, makedev(1, 3)), 0);
    assert_refused(place, open_target(place), -EINVAL, ERROR_FILE);
}

static void file_open_target_missing_folder(void **state)
{
    struct place *place = *state;
    snprintf(place->path, sizeof(place->path), "%s/nowhere/file", place->folder);
    assert_refused(place, open_target(place), -ENOENT, ERROR_FILE);
}

static void file_open_target_names_with_and_without_folder(void **state)
{
    struct place *place = *state;
    AUTO_CLOSE int before = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(place->folder), 0);
    const struct file_open_wish wish = {.join = false};
    int result = file_open_target(&place->file, "file", &wish, &place->err);
    assert_int_equal(fchdir(before), 0);
    assert_int_equal(result, 0);
    assert_string_equal(place->file.name, "file");
    struct stat folder, expected = stat_of(place->folder);
    assert_int_equal(fstat(place->file.fd_folder, &folder), 0);
    assert_int_equal(folder.st_ino, expected.st_ino);
    assert_true(is_there(place->path));
}

static int body_permissions(struct place *place)
{
    CHECK(chmod(place->folder, 0755) == 0 && be_nobody() == 0);
    CHECK(open_target(place) == -EACCES && !is_there(place->path)); /* may not be created */
    return 0;
}

static void file_open_target_not_permitted(void **state)
{
    IN_CHILD(body_permissions(*state));
}

static int body_write_only(struct place *place)
{
    make_file(place->path, 5000, 0222);
    CHECK(be_nobody() == 0);
    CHECK(open_target(place) == 0);
    CHECK(place->file.writable && !place->file.readable && !place->file.created);
    CHECK(pwrite(place->file.fd, "x", 1, 0) == 1);
    file_close(&place->file);
    return 0;
}

static void file_open_target_write_only_can_be_written(void **state)
{
    IN_CHILD(body_write_only(*state));
}

/* A folder that may be entered and written, but not listed: it cannot be opened for syncing. */
static int body_hidden_folder(struct place *place)
{
    CHECK(chmod(place->folder, 0333) == 0 && be_nobody() == 0);
    CHECK(open_target(place) == 0);
    CHECK(place->file.created);
    CHECK(file_sync_folder(&place->file, &place->err) == 0);
    file_close(&place->file);
    return 0;
}

static void file_open_target_folder_not_readable_works(void **state)
{
    IN_CHILD(body_hidden_folder(*state));
}

static void file_open_target_device_must_be_allowed(void **state)
{
    struct place *place = *state;
    struct loop_device loop;
    make_file(place->other, 64 * BLOCK, 0600);
    loop_open(&loop, place->other);
    struct file file;
    struct error refused = {0}, err = {0};
    const struct file_open_wish no = {.join = false}, yes = {.write_devices = true};
    int without = file_open_target(&file, loop.path, &no, &refused);
    int source = file_open_source(&file, loop.path, &err);
    struct facts facts = file.facts;
    file_close(&file);
    int with = file_open_target(&file, loop.path, &yes, &err);
    int fits = file_preallocate(&file, 64 * BLOCK, false, &err);
    int too_small = file_preallocate(&file, 64 * BLOCK + 1, false, &err);
    struct facts now = {0};
    int looked = file_facts(&file, &now, NULL);
    struct facts described = {0};
    int describing = file_describe(loop.path, &described, NULL);
    file_close(&file);
    loop_close(&loop);
    assert_int_equal(without, -EINVAL);
    assert_int_equal(refused.class, ERROR_USAGE);
    assert_non_null(strstr(refused.text, "--write-devices"));
    assert_int_equal(source, 0);
    assert_int_equal(facts.kind, FILE_DEVICE);
    assert_int_equal(facts.size_bytes, 64 * BLOCK); /* its capacity */
    assert_int_equal(with, 0);
    assert_int_equal(fits, 0);
    assert_int_equal(too_small, -ENOSPC);
    assert_int_equal(looked, 0);
    assert_int_equal(now.size_bytes, 64 * BLOCK);
    assert_int_equal(describing, 0);
    assert_int_equal(described.kind, FILE_DEVICE);
    assert_int_equal(described.size_bytes, 64 * BLOCK); /* without opening it */
}

/* ---- the lock ---- */

static int body_try_locked(struct place *place)
{
    struct file second;
    struct error err = {.class = ERROR_NONE};
    const struct file_open_wish wish = {.join = false}, join = {.join = true};
    CHECK(file_open_target(&second, place->path, &wish, &err) == -EBUSY);
    CHECK(err.class == ERROR_BUSY && strstr(err.text, place->path));
    CHECK(second.fd == -1);
    /* A further lane of the same transfer comes in; a source may always be read. */
    err.class = ERROR_NONE;
    CHECK(file_open_target(&second, place->path, &join, &err) == 0);
    file_close(&second);
    /* One of another does not. */
    const struct file_open_wish stranger = {.join = true, .session = 7};
    CHECK(file_open_target(&second, place->path, &stranger, &err) == -EBUSY);
    CHECK(err.class == ERROR_BUSY && strstr(err.text, "no lane of this copy"));
    CHECK(file_open_source(&second, place->path, &err) == 0);
    file_close(&second);
    return 0;
}

static void file_open_target_locked_by_another_process_is_busy(void **state)
{
    struct place *place = *state;
    assert_int_equal(open_target(place), 0);
    IN_CHILD(body_try_locked(place));
    /* The lane's joining and leaving has not taken our lock away. */
    IN_CHILD(body_try_locked(place));
    /* Nor has a refused attempt left anything: closed, it is free for others. */
    file_close(&place->file);
    assert_int_equal(open_target(place), 0);
}

static int body_lock_and_die(struct place *place)
{
    CHECK(open_target(place) == 0);
    return 0; /* without closing */
}

static void file_open_target_lock_ends_with_its_process(void **state)
{
    struct place *place = *state;
    IN_CHILD(body_lock_and_die(place));
    assert_int_equal(open_target(place), 0);
}

/* The ring of a killed process keeps its files a moment longer than the process lives. */
static void file_open_target_waits_for_a_lock_that_is_about_to_end(void **state)
{
    struct place *place = *state;
    const struct file_open_wish alone = {.join = false};
    struct file dead;
    int result = -EBUSY;
    for (int i = 0; i < 10 && result == -EBUSY; i++) { /* the child may have its turn too late */
        place->err.class = ERROR_NONE;
        assert_int_equal(file_open_target(&dead, place->path, &alone, &place->err), 0);
        pid_t child = fork();
        if (child == 0) { /* has inherited the lock */
            usleep(100 * 1000);
            _exit(0);
        }
        file_close(&dead);
        result = open_target(place);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    assert_int_equal(result, 0);
}

/* The first lane's server is gone, another lane still writes: no second copy comes between. */
static void file_open_target_is_busy_until_the_last_lane_is_gone(void **state)
{
    struct place *place = *state;
    const struct file_open_wish join = {.join = true}, alone = {.join = false};
    struct file first, second;
    assert_int_equal(file_open_target(&first, place->path, &alone, &place->err), 0);
    assert_int_equal(file_open_target(&second, place->path, &join, &place->err), 0);
    file_close(&first);
    assert_int_equal(open_target(place), -EBUSY);
    assert_int_equal(place->err.class, ERROR_BUSY);
    file_close(&second);
    assert_int_equal(open_target(place), 0);
}

/* Each lane marks the file for its session, and a lane of another one, or of none, is not let in.
 */
static void file_open_target_is_joined_by_lanes_of_its_session_only(void **state)
{
    static const uint64_t sessions[] = {0, 1, UINT64_MAX, UINT64_C(1) << 58, 12345678901234567};
    struct place *place = *state;
    struct file lanes[20], stranger;
    for (size_t i = 0; i < COUNT_OF(sessions); i++) {
        const struct file_open_wish lead = {.session = sessions[i]};
        const struct file_open_wish join = {.join = true, .session = sessions[i]};
        const struct file_open_wish other = {.join = true, .session = sessions[i] ^ 16};
        assert_int_equal(file_open_target(&lanes[0], place->path, &lead, &place->err), 0);
        for (size_t lane = 1; lane < COUNT_OF(lanes); lane++)
            assert_int_equal(file_open_target(&lanes[lane], place->path, &join, &place->err), 0);
        file_close(&lanes[0]);
        assert_int_equal(file_open_target(&stranger, place->path, &other, &place->err), -EBUSY);
        place->err.class = ERROR_NONE;
        assert_int_equal(file_open_target(&lanes[0], place->path, &join, &place->err), 0);
        for (size_t lane = 0; lane < COUNT_OF(lanes); lane++)
            file_close(&lanes[lane]);
        assert_int_equal(file_open_target(&stranger, place->path, &join, &place->err), -EBUSY);
        place->err.class = ERROR_NONE;
    }
}

/* ---- opened again ---- */

static void file_close_twice_and_never_opened(void **state)
{
    struct place *place = *state;
    file_close(&place->file); /* as file_init() left it */
    assert_int_equal(open_target(place), 0);
    int fd = place->file.fd;
    file_close(&place->file);
    file_close(&place->file);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(place->file.fd, -1);
}

/* ---- file systems ---- */

static void filesystem_name_known_and_unknown(void **state)
{
    (void)state;
    char name[32];
    assert_string_equal(filesystem_name(EXT4_SUPER_MAGIC, name, sizeof(name)), "ext4");
    assert_string_equal(filesystem_name(OVERLAYFS_SUPER_MAGIC, name, sizeof(name)), "overlayfs");
    assert_string_equal(filesystem_name(TMPFS_MAGIC, name, sizeof(name)), "tmpfs");
    assert_string_equal(filesystem_name(0xabc, name, sizeof(name)), "filesystem 0xabc");
    assert_true(filesystem_is_memory(TMPFS_MAGIC));
    assert_true(filesystem_is_memory(RAMFS_MAGIC));
    assert_false(filesystem_is_memory(EXT4_SUPER_MAGIC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(file_describe_missing_is_no_error),
        IN_PLACE(file_describe_every_kind),
        IN_PLACE(file_of_more_than_four_exbibytes_is_too_big),
        IN_PLACE(file_describe_path_through_a_file_is_an_error),
        IN_PLACE(file_open_source_regular),
        IN_PLACE(file_open_source_refused),
        IN_PLACE(file_open_source_socket_is_refused),
        IN_PLACE(file_open_fifo_never_hangs),
        IN_PLACE(file_open_source_not_permitted),
        IN_PLACE(file_open_target_new_is_created_private),
        IN_PLACE(file_open_target_old_is_not_truncated),
        IN_PLACE(file_open_target_refused),
        IN_PLACE(file_open_target_missing_folder),
        IN_PLACE(file_open_target_names_with_and_without_folder),
        IN_PLACE(file_open_target_not_permitted),
        IN_PLACE(file_open_target_write_only_can_be_written),
        IN_PLACE(file_open_target_folder_not_readable_works),
        IN_PLACE(file_open_target_device_must_be_allowed),
        IN_PLACE(file_open_target_locked_by_another_process_is_busy),
        IN_PLACE(file_open_target_lock_ends_with_its_process),
        IN_PLACE(file_open_target_waits_for_a_lock_that_is_about_to_end),
        IN_PLACE(file_open_target_is_busy_until_the_last_lane_is_gone),
        IN_PLACE(file_open_target_is_joined_by_lanes_of_its_session_only),
        IN_PLACE(file_close_twice_and_never_opened),
        cmocka_unit_test(filesystem_name_known_and_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
