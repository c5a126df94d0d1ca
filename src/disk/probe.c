/* probe.c - what could be done with a path, found out without doing it. */
#include "haul/disk/probe.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/device.h"
#include "haul/disk/pipe.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* One target while it is looked at. */
struct probe {
    const struct place *place;
    const char *path;    /* for messages */
    const char *reached; /* what the place is asked for */
    const struct probe_wish *wish;
    int fd_folder;
    struct stat st; /* of what is there */
};

static int reach_folder(const struct probe *probe, struct error *err)
{
    int fd = place_reach_folder(probe->place, probe->reached, O_PATH | O_DIRECTORY);
    return fd >= 0 ? fd : error_set(err, -fd, "%s: its folder cannot be opened", probe->path);
}

/* Says EROFS and, of an immutable folder, EPERM also to root (fs/namei.c, inode_permission). */
static int folder_writable(int fd, const char *path, struct error *err)
{
    if (faccessat(fd, ".", W_OK | X_OK, 0) == 0)
        return 0;
    return error_set(err, errno, "%s: cannot be created", path);
}

static int folder_replaces(int fd, const struct probe *probe, enum file_kind old, struct error *err)
{
    int result = folder_writable(fd, probe->path, err);
    if (result == 0 && (result = file_replaceable(fd, place_name(probe->reached))) < 0)
        error_set(err, -result, "%s: %s", probe->path, file_why_kept(old));
    return result;
}

int probe_folder(const struct place *place, const char *path, struct error *err)
{
    const struct probe probe = {.place = place, .path = path, .reached = path};
    AUTO_CLOSE int fd = reach_folder(&probe, err);
    return fd < 0 ? fd : folder_replaces(fd, &probe, FILE_REGULAR, err);
}

/* A limit of this process, setrlimit(2). */
static int check_limit(const struct probe *probe, struct error *err)
{
    struct rlimit limit;
    uint64_t size_bytes = probe->wish->size_bytes;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        size_bytes <= limit.rlim_cur)
        return 0;
    return error_set(err, EFBIG, "%s: cannot be preallocated", probe->path);
}

/* Root may use what is reserved for it. A filesystem without figures says nothing. */
static int check_room(const struct probe *probe, uint64_t there_bytes, struct error *err)
{
    char need[TEXT_NUMBER_BYTES], left[TEXT_NUMBER_BYTES];
    struct statfs fs;
    uint64_t room_bytes = probe->wish->room_bytes;
    int result = check_limit(probe, err);
    if (result < 0)
        return result;
    AUTO_CLOSE int fd = openat(probe->fd_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if ((fd >= 0 ? fstatfs(fd, &fs) : fstatfs(probe->fd_folder, &fs)) != 0 || fs.f_blocks == 0)
        return 0;
    uint64_t blocks = geteuid() == 0 ? fs.f_bfree : fs.f_bavail, free_bytes;
    if (!mul_u64(blocks, (uint64_t)fs.f_bsize, &free_bytes) || there_bytes >= room_bytes ||
        room_bytes - there_bytes <= free_bytes)
        return 0;
    return error_set(err, ENOSPC, "%s: needs %s, free there: %s; make room and run it again",
                     probe->path, text_size(need, room_bytes - there_bytes),
                     text_size(left, free_bytes));
}

/* Of file systems that count them: is there an inode left? */
static int check_inodes(const struct probe *probe, struct error *err)
{
    struct statfs fs;
    if (fstatfs(probe->fd_folder, &fs) != 0 || fs.f_files == 0 || fs.f_ffree > 0)
        return 0;
    return error_set(err, ENOSPC, "%s: cannot be created, no inode is free there", probe->path);
}

static int probe_new(const struct probe *probe, struct error *err)
{
    struct stat st;
    const char *name = place_name(probe->reached);
    if (fstatat(probe->fd_folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return error_set_class(err, ERROR_FILE, EEXIST,
                               "%s: is a symbolic link to a file that is not there; remove the "
                               "link, or make the file",
                               probe->path);
    int result = probe->wish->aside ? folder_replaces(probe->fd_folder, probe, FILE_NONE, err)
                                    : folder_writable(probe->fd_folder, probe->path, err);
    if (result == 0)
        result = check_inodes(probe, err);
    return result < 0 ? result : check_room(probe, 0, err);
}

static int check_kind(const struct probe *probe, struct error *err)
{
    mode_t mode = probe->st.st_mode;
    bool restricted = place_restricts(probe->place);
    bool pipe = S_ISFIFO(mode) || S_ISCHR(mode) || S_ISSOCK(mode);
    if (S_ISREG(mode) || (pipe && !restricted) ||
        (S_ISBLK(mode) && !restricted && probe->wish->write_devices))
        return 0;
    if (S_ISDIR(mode))
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", probe->path);
    if (S_ISBLK(mode) && !restricted)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: is a device; --write-devices allows writing to it",
                               probe->path);
    return error_set_class(err, ERROR_FILE, EINVAL, "%s: is %s", probe->path,
                           restricted ? "not a regular file, and haul is restricted to those there"
                                      : "neither a regular file nor a block device");
}

/* By the descriptor: of this very file, whatever its name is now. */
static int check_writable(const struct probe *probe, int fd, struct error *err)
{
    char link[TEXT_NUMBER_BYTES];
    if (faccessat(AT_FDCWD, text_fd_link(link, fd), W_OK, 0) != 0 && errno != ENOENT)
        return error_set(err, errno, "%s: cannot be opened for writing", probe->path);
    if (file_marks(fd, "") & FILE_MARK_APPEND)
        return error_set(err, EPERM, "%s: cannot be opened for writing", probe->path);
    return 0;
}

/* Opened for reading: to open it for writing would start whoever watches for that (udev). */
static int probe_device(const struct probe *probe, struct error *err)
{
    uint64_t capacity_bytes = 0;
    int read_only = 0;
    char use[512];
    AUTO_CLOSE int fd = place_reach(probe->place, probe->reached, O_RDONLY | O_EXCL | O_NONBLOCK);
    if (fd == -EBUSY)
        return error_set_class(
            err, ERROR_BUSY, EBUSY, "%s: is %s", probe->path,
            device_use(probe->st.st_rdev, use, sizeof(use)) ? use : "in use by another program");
    if (fd < 0)
        return error_set(err, -fd, "%s: cannot be opened for writing", probe->path);
    if (ioctl(fd, BLKROGET, &read_only) == 0 && read_only)
        return error_set(err, EROFS, "%s: cannot be opened for writing", probe->path);
    if (ioctl(fd, BLKGETSIZE64, &capacity_bytes) == 0 && probe->wish->size_bytes > capacity_bytes)
        return error_set_class(err, ERROR_FILE, ENOSPC, "%s: the device is smaller than the source",
                               probe->path);
    return 0;
}

/* The lock is let go of at once. Who may not read the file does not learn of it. */
static int probe_regular(const struct probe *probe, struct error *err)
{
    AUTO_CLOSE int fd = place_reach(probe->place, probe->reached, O_RDONLY | O_NONBLOCK);
    if (fd >= 0 && file_flock(fd, LOCK_EX) == -EWOULDBLOCK)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: another transfer to it is running; wait for it or stop it",
                               probe->path);
    return check_room(probe, (uint64_t)probe->st.st_blocks * 512, err);
}

static int probe_old(const struct probe *probe, struct error *err)
{
    int result = check_kind(probe, err);
    bool given = pipe_descriptor(probe->path) >= 0;
    if (result == 0 && S_ISSOCK(probe->st.st_mode) && !given) /* whoever listens speaks otherwise */
        return error_set(err, ENXIO, "%s: nobody reads it", probe->path);
    if (result < 0 || (!S_ISREG(probe->st.st_mode) && !S_ISBLK(probe->st.st_mode)))
        return result; /* a pipe is opened when it is written to */
    if (probe->wish->aside &&
        (result = folder_replaces(probe->fd_folder, probe, FILE_REGULAR, err)) == 0)
        return check_room(probe, 0, err);
    if (result < 0)
        return result;
    AUTO_CLOSE int fd = place_reach(probe->place, probe->reached, O_PATH);
    result = fd < 0 ? error_set(err, -fd, "%s: cannot be opened for writing", probe->path)
                    : check_writable(probe, fd, err);
    if (result < 0)
        return result;
    return S_ISBLK(probe->st.st_mode) ? probe_device(probe, err) : probe_regular(probe, err);
}

static int probe_any(struct probe *probe, struct error *err)
{
    const struct place *place = probe->place;
    const char *name = place_name(probe->reached);
    if (place && fstatat(probe->fd_folder, name, &probe->st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(probe->st.st_mode))
        return error_set_class(
            err, ERROR_FILE, EACCES, "%s: is a symbolic link, which haul %s", probe->path,
            place->tree ? "does not follow inside of a tree" : "is not allowed to follow there");
    int looked = place_look(place, probe->reached, &probe->st), result = 0;
    if (!(place && place->tree) && (looked == -ENOENT || S_ISREG(probe->st.st_mode)))
        result =
            file_check_nodes(probe->fd_folder, looked == 0 ? &probe->st : NULL, probe->path, err);
    if (result < 0)
        return result;
    if (looked == -ENOENT)
        return probe_new(probe, err);
    if (looked < 0)
        return error_set(err, -looked, "%s: cannot be opened for writing", probe->path);
    return probe_old(probe, err);
}

int probe_target(const struct place *place, const char *path, const struct probe_wish *wish,
                 struct error *err)
{
    AUTO_FREE char *shown = place_shown(place, path);
    struct probe probe = {
        .place = place, .path = shown ? shown : path, .reached = path, .wish = wish};
    if (!place_may_write(place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "%s: haul is restricted to reading there, nothing can be written",
                               probe.path);
    AUTO_CLOSE int fd = reach_folder(&probe, err);
    if (fd < 0 || !place_may_read(place))
        return fd < 0 ? fd : 0;
    probe.fd_folder = fd;
    return probe_any(&probe, err);
}
