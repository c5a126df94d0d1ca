/* file.c - local files: opening, facts, preallocation, metadata, holes. It deliberately moves no
 * data and does not know why a file is opened. */
#include "haul/disk/file.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/base/text.h"
#include "haul/disk/copy_up.h"
#include "haul/disk/device.h"
#include "haul/disk/filesystem.h"
#include "haul/disk/place.h"
#include "haul/disk/snapshot.h"
#include "haul/disk/spelling.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* statx(2) as the kernel lays it out. glibc 2.36 and older headers lack the direct-I/O fields
 * (Linux 6.1), so they are read at their fixed offsets: include/uapi/linux/stat.h,
 * stx_dio_mem_align at 0x98. */
enum {
    STATX_BYTES = 256,
    STATX_ATTRIBUTES_AT = 0x08,
    STATX_DIO_MEMORY_AT = 0x98,
    STATX_DIO_OFFSET_AT = 0x9c,
};
enum { STATX_WANT_DIOALIGN = 0x2000, STATX_WANT_BASIC = 0x7ff, STATX_ASK_THE_SERVER = 0x2000 };

void file_init(struct file *file)
{
    *file = (struct file){.fd = -1, .fd_direct = -1, .fd_folder = -1};
}

enum file_kind file_kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return FILE_REGULAR;
    case S_IFDIR:
        return FILE_FOLDER;
    case S_IFBLK:
        return FILE_DEVICE;
    case S_IFLNK:
        return FILE_LINK;
    case S_IFIFO:
        return FILE_FIFO;
    case S_IFSOCK:
        return FILE_SOCKET;
    case S_IFCHR:
        return FILE_CHARACTER;
    default:
        return FILE_OTHER;
    }
}

void file_facts_from_stat(struct facts *facts, const struct stat *st)
{
    *facts = (struct facts){
        .kind = file_kind_of(st->st_mode),
        .size_bytes = st->st_size > 0 ? (uint64_t)st->st_size : 0,
        .allocated_bytes = (uint64_t)st->st_blocks * 512,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime_seconds = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .ctime_seconds = st->st_ctim.tv_sec,
        .ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
        .device = st->st_dev,
        .inode = st->st_ino,
        .links = (uint32_t)st->st_nlink,
    };
    if (facts->kind == FILE_DEVICE || facts->kind == FILE_CHARACTER)
        facts->rdev = st->st_rdev;
}

bool file_is_unreadable(int result)
{
    return result == -EIO || result == -ENODATA || result == -EILSEQ || result == -EREMOTEIO;
}

/* What stands in the way of opening something, and would tell that it is there, or what it is. */
static bool file_tells_names(int errnum)
{
    static const int telling[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM,   EEXIST,
                                  EINVAL, ELOOP,   EXDEV,  ENXIO,  ETXTBSY, ENODEV};
    for (size_t i = 0; i < COUNT_OF(telling); i++) {
        if (telling[i] == errnum)
            return true;
    }
    return false;
}

/* `path` cannot be had; `doing` completes the sentence. */
static int file_refused(const struct place *place, const char *path, int errnum, const char *doing,
                        struct error *err)
{
    if (!place_may_read(place) && file_tells_names(errnum))
        return error_set_class(err, ERROR_FILE, EACCES, "%s: cannot be written there", path);
    bool tree = place && place->tree;
    if (place && errnum == EXDEV)
        return error_set_class(err, ERROR_FILE, EACCES, "%s: leads out of the folder that %s", path,
                               tree ? "is copied"
                                    : "haul is restricted to there, or through a link with an "
                                      "absolute path");
    if (place && errnum == ELOOP)
        return error_set_class(err, ERROR_FILE, EACCES, "%s: is %s", path,
                               tree ? "a symbolic link, or lies behind one, and haul follows none "
                                      "inside of a tree"
                                    : "a symbolic link, which haul is not allowed to follow there");
    if (errnum == EWOULDBLOCK)
        return error_set(err, errnum, "%s: %s, another program has a lease on it", path, doing);
    return error_set(err, errnum, "%s: %s", path, doing);
}

/* A device's capacity without opening it, which could wake a drive or wait for a medium: sysfs has
 * it, in sectors of 512 bytes whatever the device's own are. 0 where there is no sysfs. */
static uint64_t file_device_capacity(const struct stat *st)
{
    char name[64];
    uint64_t sectors = 0;
    snprintf(name, sizeof(name), "/sys/dev/block/%u:%u/size", major(st->st_rdev),
             minor(st->st_rdev));
    if (proc_figure(name, "", &sectors) != 0 || sectors > NUM_OFFSET_MAX / 512)
        return 0;
    return sectors * 512;
}

static int file_check_size(const char *path, const struct facts *facts, struct error *err)
{
    return facts->size_bytes <= FILE_BYTES_MAX ? 0 : error_set(err, EFBIG, "%s", path);
}

/* As the file is now. NFS and FUSE remember for a minute what it was, and whoever changed it from
 * elsewhere would go unseen: statx(2), AT_STATX_FORCE_SYNC (Linux 4.11), refreshes what they have.
 */
static int file_stat(int fd, struct stat *st)
{
    _Alignas(8) uint8_t raw[STATX_BYTES];
    (void)syscall(SYS_statx, fd, "", AT_EMPTY_PATH | STATX_ASK_THE_SERVER, STATX_WANT_BASIC, raw);
    return fstat(fd, st) == 0 ? 0 : -errno;
}

uint64_t file_marks(int fd, const char *name)
{
    _Alignas(8) uint8_t raw[STATX_BYTES] = {0};
    uint64_t marks;
    if (syscall(SYS_statx, fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, 0, raw) != 0)
        return 0;
    memcpy(&marks, raw + STATX_ATTRIBUTES_AT, sizeof(marks));
    return marks;
}

/* As the kernel's may_delete() (fs/namei.c), but for what only the attempt tells. */
int file_replaceable(int fd_folder, const char *name)
{
    struct stat folder, old;
    uint64_t marks = file_marks(fd_folder, name);
    if (marks & FILE_MARK_MOUNTED)
        return -EBUSY;
    if ((marks & (FILE_MARK_IMMUTABLE | FILE_MARK_APPEND)) ||
        file_marks(fd_folder, "") & FILE_MARK_APPEND)
        return -EPERM;
    bool others = geteuid() != 0 && fstat(fd_folder, &folder) == 0 && folder.st_mode & S_ISVTX &&
                  folder.st_uid != geteuid() &&
                  fstatat(fd_folder, name, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
                  old.st_uid != geteuid();
    return others ? -EPERM : 0;
}

const char *file_why_kept(enum file_kind old)
{
    return old == FILE_NONE ? "its folder may only grow, and nothing is renamed in it"
                            : "cannot be replaced";
}

int file_check_nodes(int fd_folder, const struct stat *there, const char *path, struct error *err)
{
    struct stat nodes, root, folder;
    bool among = stat("/dev", &nodes) == 0 && fstat(fd_folder, &folder) == 0 &&
                 folder.st_dev == nodes.st_dev && !(folder.st_mode & S_IWOTH) &&
                 (!there || there->st_dev == nodes.st_dev) && stat("/", &root) == 0 &&
                 root.st_dev != nodes.st_dev;
    return among ? error_set_class(err, ERROR_FILE, ENODEV,
                                   "%s: there is no such device, and what is written to a file in "
                                   "/dev is in memory only",
                                   path)
                 : 0;
}

/* What stands in the way of facts, as file_refused(); their size may. */
static int file_not_described(const struct place *place, const char *path, int result,
                              const struct facts *facts, struct error *err)
{
    AUTO_FREE char *shown = place_shown(place, path);
    if (shown)
        path = shown;
    if (result < 0 && result != -ENOENT)
        return file_refused(place, path, -result, "cannot be looked at", err);
    return file_check_size(path, facts, err);
}

int file_describe_in(const struct place *place, const char *path, struct facts *facts,
                     struct error *err)
{
    struct stat st;
    *facts = (struct facts){.kind = FILE_NONE};
    AUTO_CLOSE int fd = -1;
    int result = place_look_open(place, path, &st, &fd);
    if (result == 0)
        result = file_stat(fd, &st);
    if (!place_may_read(place)) {
        if (result == 0 && S_ISDIR(st.st_mode))
            facts->kind = FILE_FOLDER;
        return 0;
    }
    bool tree = place && place->tree;
    if (result == 0)
        file_facts_from_stat(facts, &st);
    if (facts->kind == FILE_DEVICE && !tree)
        facts->size_bytes = facts->allocated_bytes = file_device_capacity(&st);
    if (result == 0)
        evidence_take(facts, fd, &st);
    bool good = (result == 0 && facts->size_bytes <= FILE_BYTES_MAX) || result == -ENOENT;
    return good ? 0 : file_not_described(place, path, result, facts, err);
}

void file_recognise(const char *path, struct facts *facts)
{
    struct stat st;
    *facts = (struct facts){.kind = FILE_NONE};
    if (stat(path, &st) != 0)
        return;
    file_facts_from_stat(facts, &st);
    if (facts->kind == FILE_DEVICE)
        (void)file_describe(path, facts, NULL);
    else if (facts->kind == FILE_REGULAR)
        evidence_take_place(facts, &st);
}

int file_facts(const struct file *file, struct facts *facts, struct error *err)
{
    struct stat st;
    if (file->snapshot) { /* what was read at once cannot change */
        *facts = file->facts;
        return 0;
    }
    int result = file_stat(file->fd, &st);
    if (result < 0)
        return error_set(err, -result, "%s: cannot be looked at", file->path);
    file_facts_from_stat(facts, &st);
    if (facts->kind == FILE_DEVICE) {
        uint64_t capacity_bytes = 0;
        if (ioctl(file->fd, BLKGETSIZE64, &capacity_bytes) != 0)
            return error_set(err, errno, "%s: size of the device", file->path);
        facts->size_bytes = capacity_bytes;
        facts->allocated_bytes = capacity_bytes;
    }
    evidence_take(facts, file->fd, &st);
    return file_check_size(file->path, facts, err);
}

/* What statx says of direct I/O. ENOSYS (before 4.11) and kernels that do not answer leave
 * dio_known false. */
static void file_read_dio_alignment(struct file *file)
{
    _Alignas(8) uint8_t raw[STATX_BYTES] = {0};
    uint32_t mask;
    if (syscall(SYS_statx, file->fd, "", AT_EMPTY_PATH, STATX_WANT_DIOALIGN, raw) != 0)
        return;
    memcpy(&mask, raw, sizeof(mask));
    file->dio_known = (mask & STATX_WANT_DIOALIGN) != 0;
    if (file->dio_known) {
        memcpy(&file->dio_memory_bytes, raw + STATX_DIO_MEMORY_AT, sizeof(uint32_t));
        memcpy(&file->dio_offset_bytes, raw + STATX_DIO_OFFSET_AT, sizeof(uint32_t));
    }
}

/* Everything that is known of an open descriptor. */
static int file_learn(struct file *file, struct error *err)
{
    int result = file_facts(file, &file->facts, err);
    if (result < 0)
        return result;
    file->filesystem = filesystem_type(file->fd);
    file_read_dio_alignment(file);
    return 0;
}

static int file_keep_path(struct file *file, const struct place *place, const char *path,
                          struct error *err)
{
    file->path = place_shown(place, path);
    if (!file->path)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    file->reached = file->path + strlen(place_prefix(place));
    file->name = place_name(file->reached);
    return 0;
}

/* 0, or the refusal of what is no file to be copied. */
static int file_check_kind(const struct place *place, const char *path, enum file_kind kind,
                           struct error *err)
{
    if (kind == FILE_REGULAR || (kind == FILE_DEVICE && !place_restricts(place)))
        return 0;
    if (!place_may_read(place))
        return file_refused(place, path, EINVAL, "", err);
    if (kind == FILE_FOLDER)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", path);
    return error_set_class(err, ERROR_FILE, EINVAL, "%s: is %s", path,
                           place_restricts(place)
                               ? "not a regular file, and haul is restricted to those there"
                               : "neither a regular file nor a block device");
}

/* Opening a device may do something by itself (rewind a tape, start a watchdog): where haul is
 * restricted it is not even tried. The descriptor is checked all the same, another file may have
 * come between. */
static int file_check_before(const struct place *place, int looked, const struct stat *st,
                             const char *path, struct error *err)
{
    if (!place_restricts(place) || looked < 0) /* the open will tell why */
        return 0;
    return file_check_kind(place, path, file_kind_of(st->st_mode), err);
}

/* O_NONBLOCK: opening a FIFO must not hang. Nor does then what somebody has a lease on (fcntl(2),
 * F_SETLEASE: Samba, the NFS server): he is asked to let go of it, and has a moment for that. */
enum { FILE_FLAGS = O_CLOEXEC | O_NOCTTY | O_NONBLOCK };
enum { LEASE_WAIT_MS = 5000, LEASE_LOOK_MS = 20 };

/* After an open that has returned this: once more? */
static bool file_wait_for_lease(int errnum, int *waited_ms)
{
    if (errnum != EWOULDBLOCK || *waited_ms >= LEASE_WAIT_MS)
        return false;
    *waited_ms += LEASE_LOOK_MS;
    (void)poll(NULL, 0, LEASE_LOOK_MS);
    return true;
}

static int file_open_reading(struct file *file, const struct place *place, struct error *err)
{
    struct stat st = {0};
    int looked = place_restricts(place) ? place_look(place, file->reached, &st) : 0;
    int result = file_check_before(place, looked, &st, file->path, err);
    if (result < 0)
        return result;
    int waited_ms = 0;
    do
        result = place_reach(place, file->reached, O_RDONLY | FILE_FLAGS);
    while (result < 0 && file_wait_for_lease(-result, &waited_ms));
    if (result == -ENOENT)
        return error_set_class(err, ERROR_VANISHED, ENOENT, "%s: there is no such file",
                               file->path);
    if (result < 0)
        return file_refused(place, file->path, -result, "cannot be opened for reading", err);
    file->fd = result;
    file->readable = true;
    return 0;
}

/* Whatever changes the file from now on shall be seen at the end. One that is written all the time
 * does not come to rest: that will be seen, too. */
static int file_settle(struct file *file, struct error *err)
{
    /* What was written to a device and waits in the cache would be written, and counted, when it is
     * read. */
    if (file->facts.kind == FILE_DEVICE)
        (void)fsync(file->fd);
    bool settled = evidence_settle(&file->facts, EVIDENCE_PATIENCE_NS);
    int result = file_facts(file, &file->facts, err);
    if (!settled && file->facts.evidence.grade == EVIDENCE_STRONG)
        file->facts.evidence.grade = EVIDENCE_WEAK;
    return result;
}

/* /proc, /sys: what their files tell of their size is nothing, or room. */
static int file_snapshot(struct file *file, struct error *err)
{
    uint64_t size_bytes;
    int fd = snapshot_take(file->fd, file->path, &size_bytes, err);
    if (fd < 0)
        return fd;
    file->fd_named = file->fd;
    file->fd = fd;
    file->snapshot = true;
    file->facts.size_bytes = file->facts.allocated_bytes = size_bytes;
    file->filesystem = TMPFS_MAGIC;
    file->dio_known = false;
    return 0;
}

/* A size is believed when a read has said so, too. */
static int file_check_extent(struct file *file, struct error *err)
{
    const struct facts *facts = &file->facts;
    char byte;
    if (facts->kind == FILE_DEVICE && facts->size_bytes == 0)
        return error_set_class(err, ERROR_FILE, ENOMEDIUM,
                               "%s: there is no medium in it, or nothing behind it", file->path);
    if (facts->kind == FILE_DEVICE || facts->size_bytes > SNAPSHOT_BYTES_MAX)
        return 0;
    if (facts->evidence.grade == EVIDENCE_NONE)
        return file_snapshot(file, err);
    if (facts->size_bytes > 0)
        return 0;
    ssize_t got = pread(file->fd, &byte, 1, 0);
    if (got < 0)
        return error_set(err, errno, "%s: cannot be read", file->path);
    int result = got > 0 ? file_facts(file, &file->facts, err) : 0; /* perhaps it has just grown */
    return got > 0 && result == 0 && file->facts.size_bytes == 0 ? file_snapshot(file, err)
                                                                 : result;
}

int file_open_source_in(struct file *file, const struct place *place, const char *path,
                        struct error *err)
{
    file_init(file);
    if (!place_may_read(place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "%s: haul is restricted to writing there, nothing can be read",
                               path);
    file->restricted = place != NULL;
    int result = file_keep_path(file, place, path, err);
    if (result == 0)
        result = file_open_reading(file, place, err);
    if (result == 0)
        result = file_learn(file, err);
    if (result == 0)
        result = file_check_kind(place, path, file->facts.kind, err);
    if (result == 0)
        result = file_settle(file, err);
    if (result == 0)
        result = file_check_extent(file, err);
    if (result < 0)
        file_close(file);
    return result;
}

/* The folder that holds the target, for openat and for syncing the name. */
static int file_open_folder(struct file *file, const struct place *place, struct error *err)
{
    int fd = place_reach_folder(place, file->reached, O_RDONLY | O_DIRECTORY);
    /* A folder that may be entered but not listed cannot be opened for syncing; writing into it
     * still works. */
    if (fd == -EACCES)
        fd = place_reach_folder(place, file->reached, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return file_refused(place, file->path, -fd, "its folder cannot be opened", err);
    file->fd_folder = fd;
    return 0;
}

/* A lock, or a claim, may outlive a killed process for a moment. */
enum { LOCK_WAIT_MS = 1000, LOCK_LOOK_MS = 20 };
enum { LANE_MARKS = 16 }; /* of a session: see file_mark_of */

/* In a place: by one name in the folder that is open. */
static int file_open_here(const struct file *file, int flags, mode_t mode)
{
    int fd, waited_ms = 0;
    do
        fd = file->restricted || file->replaces[0]
                 ? openat(file->fd_folder, file->name, flags | FILE_FLAGS | O_NOFOLLOW, mode)
                 : open(file->path, flags | FILE_FLAGS, mode);
    while (fd < 0 && file_wait_for_lease(errno, &waited_ms));
    return fd;
}

static int file_create(struct file *file, const struct file_open_wish *wish, struct error *err)
{
    const struct place *place = wish->place;
    bool readable = place_may_read(place);
    mode_t mode = 0600 | (wish->create_mode & 0777); /* it must open again, to be resumed */
    file->fd = file_open_here(file, (readable ? O_RDWR : O_WRONLY) | O_CREAT | O_EXCL, mode);
    file->created = file->writable = file->fd >= 0;
    file->readable = file->created && readable;
    if (file->created)
        return 0;
    struct stat st;
    if (errno == EEXIST && !place && lstat(file->path, &st) == 0 && S_ISLNK(st.st_mode))
        return error_set_class(err, ERROR_FILE, EEXIST,
                               "%s: is a symbolic link to a file that is not there; remove the "
                               "link, or make the file",
                               file->path);
    if (errno == EEXIST) { /* somebody else was faster: the lock decides */
        file->fd = file_open_here(file, readable ? O_RDWR : O_WRONLY, 0);
        file->writable = file->fd >= 0;
        file->readable = file->writable && readable;
        if (file->writable)
            return 0;
    }
    return file_refused(
        place, file->path, errno,
        errno == ENOENT ? "cannot be created; does its folder exist?" : "cannot be created", err);
}

/* Somebody else has claimed it: who? */
static int file_device_busy(const struct file *file, dev_t device, struct error *err)
{
    char use[512];
    if (!device_use(device, use, sizeof(use)))
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: is in use by another program; nothing was written", file->path);
    return error_set_class(err, ERROR_BUSY, EBUSY, "%s: is %s; nothing was written", file->path,
                           use);
}

/* Claims it as mount does, open(2) O_EXCL. A killed copy may hold it for a moment. */
static int file_open_device(struct file *file, dev_t device, struct error *err)
{
    char use[512];
    for (int waited_ms = 0;; waited_ms += LOCK_LOOK_MS) {
        file->fd = file_open_here(file, O_RDWR | O_EXCL, 0);
        file->readable = file->fd >= 0;
        if (file->fd < 0 && errno == EACCES)
            file->fd = file_open_here(file, O_WRONLY | O_EXCL, 0);
        if (file->fd >= 0 || errno != EBUSY)
            break;
        if (waited_ms >= LOCK_WAIT_MS || device_use(device, use, sizeof(use)))
            return file_device_busy(file, device, err);
        (void)poll(NULL, 0, LOCK_LOOK_MS);
    }
    if (file->fd < 0)
        return error_set(err, errno, "%s: cannot be opened for writing", file->path);
    file->writable = file->exclusive = true;
    return 0;
}

static int file_refuse_device(const struct file *file, struct error *err)
{
    return error_set_class(err, ERROR_USAGE, EINVAL,
                           "%s: is a device; --write-devices allows writing to it", file->path);
}

/* On overlayfs this may copy the file up; what that leaves in the cache is dropped at once. */
static int file_open_existing(struct file *file, bool readable)
{
    struct copy_up *copy_up = NULL;
    int fd = -1;
    bool overlay = readable && filesystem_type(file->fd_folder) == OVERLAYFS_SUPER_MAGIC;
    if (overlay) {
        AUTO_CLOSE int before = file_open_here(file, O_RDONLY, 0);
        copy_up = before >= 0 ? copy_up_expect(before) : NULL;
    }
    errno = EACCES;
    if (readable)
        fd = file_open_here(file, O_RDWR, 0);
    file->readable = fd >= 0;
    if (fd < 0 && errno == EACCES) /* may be write-only: it can be written, not compared */
        fd = file_open_here(file, O_WRONLY, 0);
    int errnum = errno;
    file->copy_up = copy_up_finish(copy_up, fd, false);
    errno = errnum;
    return fd;
}

static int file_open_writable(struct file *file, const struct file_open_wish *wish,
                              struct error *err)
{
    const struct place *place = wish->place;
    struct stat st = {0};
    int looked = place || file->replaces[0]
                     ? fstatat(file->fd_folder, file->name, &st, AT_SYMLINK_NOFOLLOW)
                     : stat(file->path, &st);
    if (!place_restricts(place) && !wish->join && looked == 0 && S_ISBLK(st.st_mode))
        return wish->write_devices ? file_open_device(file, st.st_rdev, err)
                                   : file_refuse_device(file, err);
    int result = 0;
    if (!(place && place->tree) && (looked != 0 || S_ISREG(st.st_mode)))
        result = file_check_nodes(file->fd_folder, looked == 0 ? &st : NULL, file->path, err);
    if (result == 0 && looked == 0 && !S_ISLNK(st.st_mode))
        result = file_check_before(place, looked, &st, file->path, err);
    if (result < 0)
        return result;
    file->fd = file_open_existing(file, place_may_read(place));
    if (file->fd < 0 && errno == ENOENT)
        return file_create(file, wish, err);
    if (file->fd < 0)
        return file_refused(place, file->path, errno, "cannot be opened for writing", err);
    file->writable = true;
    return 0;
}

int file_flock(int fd, int how)
{
    for (int waited_ms = 0;; waited_ms += LOCK_LOOK_MS) {
        if (flock(fd, how | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK || waited_ms >= LOCK_WAIT_MS)
            return -errno;
        (void)poll(NULL, 0, LOCK_LOOK_MS);
    }
}

/* An advisory lock on the target itself: it works on every filesystem, needs no file of its own and
 * ends with the process, however it ends. A filesystem without locks (ENOLCK, EOPNOTSUPP) is used
 * without. */
static int file_lock(struct file *file, struct error *err)
{
    int result = file_flock(file->fd, LOCK_EX);
    if (result == 0) {
        /* Shared from now on with the lanes that join, so that it holds as long as one of them is
         * left. In between another copy may come first. NFS does not share what is not open for
         * reading: then it stays ours alone. */
        if (flock(file->fd, LOCK_SH | LOCK_NB) == 0)
            return 0;
        result = -errno;
        if (result != -EWOULDBLOCK) {
            (void)flock(file->fd, LOCK_EX | LOCK_NB);
            return 0;
        }
    }
    if (result == -ENOLCK || result == -EOPNOTSUPP || result == -ENOSYS)
        return 0;
    if (result == -EWOULDBLOCK)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: another transfer to it is running; wait for it or stop it",
                               file->path);
    return error_set(err, -result, "%s: cannot be locked", file->path);
}

/* Who writes a part of a file locks that part, and who writes the whole file says so all over it,
 * with locks that its lanes share: they belong to the open file (Linux 3.15, fcntl(2)), not to the
 * process, and so end with it. They are about what haul writes only. */
static struct flock file_part_lock(uint64_t start, uint64_t end, bool shared)
{
    return (struct flock){
        .l_type = shared ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = num_off(start),
        .l_len = num_off(end - start),
    };
}

/* Behind it is a byte that no file has: who locks it is about to give the file its size. */
#define FILE_PARTS_END (FILE_BYTES_MAX - 1)

bool file_lock_whole(int fd)
{
    struct flock lock = file_part_lock(0, FILE_PARTS_END, false);
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static int file_lock_part(const struct file *file, const struct file_open_wish *wish,
                          struct error *err)
{
    bool part = wish->part_end > 0;
    struct flock lock = part ? file_part_lock(wish->part_start, wish->part_end, false)
                             : file_part_lock(0, FILE_PARTS_END, file->readable);
    for (int waited_ms = 0;; waited_ms += LOCK_LOOK_MS) {
        if (fcntl(file->fd, F_OFD_SETLK, &lock) == 0)
            return 0;
        if (errno != EAGAIN && errno != EACCES) /* no such locks: as with file_lock() */
            return 0;
        if (waited_ms >= LOCK_WAIT_MS)
            break;
        (void)poll(NULL, 0, LOCK_LOOK_MS);
    }
    return error_set_class(err, ERROR_BUSY, EBUSY,
                           part ? "%s: another transfer writes to these bytes of it; wait for it "
                                  "or stop it"
                                : "%s: a transfer to a part of it is running; wait for it or stop "
                                  "it",
                           file->path);
}

/* Whose lanes have a file open is told by locks beyond every file's end: a session has a byte for
 * each of its lanes, at a place made of its number. They belong to the open file, and so end with
 * it. */
static struct flock file_mark_of(uint64_t session, uint64_t lane, uint64_t lanes_count)
{
    uint64_t place = session % (FILE_BYTES_MAX / LANE_MARKS) * LANE_MARKS;
    return (struct flock){
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = num_off(FILE_BYTES_MAX + place + lane),
        .l_len = num_off(lanes_count),
    };
}

/* Without such locks (Linux before 3.15, some filesystems) no lane can join: they say so. */
static void file_mark(const struct file *file, uint64_t session)
{
    for (uint64_t lane = 0; lane < LANE_MARKS; lane++) {
        struct flock mark = file_mark_of(session, lane, 1);
        if (fcntl(file->fd, F_OFD_SETLK, &mark) == 0 || (errno != EAGAIN && errno != EACCES))
            return;
    }
}

static bool file_is_marked(const struct file *file, uint64_t session)
{
    struct flock mark = file_mark_of(session, 0, LANE_MARKS);
    return fcntl(file->fd, F_OFD_GETLK, &mark) == 0 && mark.l_type != F_UNLCK;
}

int file_set_size(const struct file *file, uint64_t size_bytes, struct error *err)
{
    int result;
    do
        result = ftruncate(file->fd, num_off(size_bytes));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0
                       : error_set(err, errno, "%s: cannot be given its final size", file->path);
}

/* What may not be read back is written anew: so nothing can be learnt from what is left of it, not
 * even from its size, and no old bytes stay in the new file's holes. */
static int file_empty(struct file *file, struct error *err)
{
    if (file->facts.size_bytes == 0)
        return 0;
    file->facts.size_bytes = file->facts.allocated_bytes = 0;
    return file_set_size(file, 0, err);
}

/* A lane joins what its own session has open and locked, and nothing else: it would pass the lock
 * of another copy. And who may not read joins what was emptied; whoever says so of any other file
 * would learn what its old content tells: its size, at a commit, and how much of it is cached. */
static int file_check_joined(const struct file *file, const struct file_open_wish *wish,
                             struct error *err)
{
    bool told = place_may_read(wish->place);
    bool ours = file_is_marked(file, wish->session);
    if (ours && (told || file->facts.size_bytes == wish->size_bytes))
        return 0;
    if (file->created)
        (void)unlinkat(file->fd_folder, file->name, 0);
    if (!told)
        return file_refused(wish->place, file->path, EACCES, "", err);
    return error_set_class(err, ERROR_BUSY, EBUSY, "%s: no lane of this copy has it open",
                           file->path);
}

/* What was there has to be called so, and is not told where nothing may be. */
static int file_check_spelling(const struct file *file, const struct file_open_wish *wish,
                               struct error *err)
{
    bool told = place_may_read(wish->place), aside = file->replaces[0];
    if (!wish->spelled || wish->join)
        return 0;
    int result = spelling_check(file->fd_folder, file->name, told && !aside ? err : NULL);
    if (result == SPELLING_NOTHING) /* it is gone; a commit would see that, too */
        return error_set_class(err, ERROR_FILE, ESTALE,
                               "%s: was removed or replaced while it was opened; run it again",
                               file->path);
    if (result < 0 && aside)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: what is written beside another name lies there", file->path);
    return result == 0 || told ? result
                               : file_refused(wish->place, file->path, EEXIST, "is there", err);
}

/* The target is open and locked: may it be what it is? */
static int file_check_target(struct file *file, const struct file_open_wish *wish,
                             struct error *err)
{
    int result = file_check_kind(wish->place, file->path, file->facts.kind, err);
    if (result == 0 && !file->created)
        result = file_check_spelling(file, wish, err);
    if (result < 0)
        return result;
    if (file->facts.kind == FILE_DEVICE && !wish->write_devices)
        return file_refuse_device(file, err);
    if (file->facts.kind == FILE_DEVICE && !file->exclusive && !wish->join)
        return error_set_class(err, ERROR_FILE, ESTALE, "%s: has just become a device", file->path);
    if (wish->join)
        return file_check_joined(file, wish, err);
    if (place_may_read(wish->place))
        return 0;
    if (file->shared)
        return error_set_class(err, ERROR_FILE, EACCES,
                               "%s: a part of it cannot be written there, where haul is restricted "
                               "to writing: what nobody may read is emptied first",
                               file->path);
    return file_empty(file, err);
}

/* What is written to keeps no set-id bits, whoever opens it, and as what. A write clears them
 * anyway (unless it is root's), under a lock and once more for each: do it once, before. */
static void file_clear_set_id(struct file *file)
{
    if (file->facts.kind != FILE_REGULAR || !(file->facts.mode & (S_ISUID | S_ISGID)))
        return;
    /* The time of status change moves, and would say of an old copy that it was finished now. */
    (void)futimens(file->fd, NULL);
    (void)fchmod(file->fd, file->facts.mode & 01777);
}

/* Where others may make names, too: what is written there is nobody's but ours, or his whose file
 * is replaced. */
static bool file_is_ours(const struct file *file, const struct facts *facts)
{
    bool owned = facts->uid == geteuid() ||
                 (file->replaced.kind == FILE_REGULAR && facts->uid == file->replaced.uid);
    return facts->kind == FILE_REGULAR && facts->links == 1 && owned;
}

static int file_look_aside(struct file *file, const struct file_open_wish *wish, struct error *err)
{
    const struct place *place = wish->place;
    struct stat st;
    if (fstatat(file->fd_folder, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        file_facts_from_stat(&file->replaced, &st);
    else if (errno != ENOENT)
        return file_refused(place, file->path, errno, "cannot be looked at", err);
    if (file->replaced.kind == FILE_LINK)
        return file_refused(place, file->path, place ? ELOOP : EEXIST, "is a symbolic link", err);
    if (file->replaced.kind == FILE_NONE || file->replaced.kind == FILE_REGULAR) {
        int result = file_replaceable(file->fd_folder, file->name);
        if (result < 0)
            return file_refused(place, file->path, -result, file_why_kept(file->replaced.kind),
                                err);
        return file->replaced.kind == FILE_NONE ? 0 : file_check_spelling(file, wish, err);
    }
    if (!place_may_read(place))
        return file_refused(place, file->path, EINVAL, "", err);
    return error_set_class(err, ERROR_FILE, EINVAL,
                           "%s: is no regular file, and only those can be written anew beside "
                           "their name",
                           file->path);
}

/* From now on its name is another one in the same folder. What lies there and is not ours goes. */
static int file_go_aside(struct file *file, const struct file_open_wish *wish, struct error *err)
{
    struct stat st;
    struct facts facts;
    size_t prefix = (size_t)(file->reached - file->path);
    int folder = (int)(file->name - file->path);
    if (strlen(file->name) >= sizeof(file->replaces))
        return file_refused(wish->place, file->path, ENAMETOOLONG, "cannot be created", err);
    int result = file_look_aside(file, wish, err);
    if (result < 0)
        return result;
    size_t room = (size_t)folder + strlen(wish->aside) + 1;
    char *path = malloc(room);
    if (!path)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", file->path);
    snprintf(path, room, "%.*s%s", folder, file->path, wish->aside);
    snprintf(file->replaces, sizeof(file->replaces), "%s", file->name);
    free(file->path);
    file->path = path;
    file->reached = path + prefix;
    file->name = path + folder;
    if (wish->join || fstatat(file->fd_folder, file->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    file_facts_from_stat(&facts, &st);
    if (!file_is_ours(file, &facts) && unlinkat(file->fd_folder, file->name, 0) != 0)
        return file_refused(wish->place, file->path, errno, "is in the way", err);
    return 0;
}

/* As place_holds(). */
static int file_has_name(const struct file *file, int flags)
{
    return place_holds(file->fd_folder, file->name, flags, file->facts.device, file->facts.inode);
}

/* It is open and locked. Whoever had the lock before may just have finished it. */
static int file_check_aside(const struct file *file, struct error *err)
{
    if (file_has_name(file, AT_SYMLINK_NOFOLLOW) == 1 && file_is_ours(file, &file->facts))
        return 0;
    return error_set_class(err, ERROR_BUSY, EBUSY,
                           "%s: another transfer to %s has just used it; run it again", file->path,
                           file->replaces);
}

void file_inherit(const struct file *file)
{
    const struct facts *old = &file->replaced;
    if (old->kind != FILE_REGULAR)
        return;
    if (fchown(file->fd, old->uid, old->gid) != 0 && fchown(file->fd, (uid_t)-1, old->gid) != 0)
        log_verbose("%s: becomes another owner's: %s", file->path, strerror(errno));
    (void)fchmod(file->fd, old->mode & 01777);
}

/* Where nothing was, something that is called otherwise may be by now, and is not replaced. */
static int file_take_new_name(const struct file *file, struct error *err)
{
    if (file->replaced.kind != FILE_NONE)
        return 0;
    if (syscall(SYS_renameat2, file->fd_folder, file->name, file->fd_folder, file->replaces,
                RENAME_NOREPLACE) == 0)
        return 1;
    /* There is something; or it cannot be asked for, by this kernel or there. */
    int result = spelling_check(file->fd_folder, file->replaces, err);
    return result < 0 ? result : 0;
}

/* The next run is refused that name before it could go on with what is written aside. */
static void file_leave_aside(const struct file *file)
{
    if (file_has_name(file, AT_SYMLINK_NOFOLLOW) == 1)
        (void)unlinkat(file->fd_folder, file->name, 0);
}

int file_take_name(const struct file *file, struct error *err)
{
    int result = file_take_new_name(file, err);
    if (result == -ENOTUNIQ)
        file_leave_aside(file);
    if (result < 0)
        return result;
    if (result == 0 && renameat(file->fd_folder, file->name, file->fd_folder, file->replaces) != 0)
        return error_set(err, errno, "%s: cannot take the place of %s", file->path, file->replaces);
    return file_sync_folder(file, err);
}

int file_open_target(struct file *file, const char *path, const struct file_open_wish *wish,
                     struct error *err)
{
    file_init(file);
    if (!place_may_write(wish->place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "%s: haul is restricted to reading there, nothing can be written",
                               path);
    file->restricted = wish->place != NULL;
    int result = file_keep_path(file, wish->place, path, err);
    if (result == 0)
        result = file_open_folder(file, wish->place, err);
    if (result == 0 && wish->aside)
        result = file_go_aside(file, wish, err);
    if (result == 0)
        result = file_open_writable(file, wish, err);
    file->shared = wish->part_end > 0;
    if (result == 0 && !wish->join && !file->shared)
        result = file_lock(file, err);
    if (result == 0 && !wish->join)
        result = file_lock_part(file, wish, err);
    if (result == 0) /* under the lock: nobody else's copy changes it any more */
        result = file_learn(file, err);
    /* Somebody else has filled it, or may be about to. */
    file->created = file->created && file->facts.size_bytes == 0 && !file->shared;
    /* Beside the first lane's, see file_lock(); and before it is looked whether that is there: who
     * is marked has locked, and from now on nobody else can. */
    if (result == 0 && wish->join) {
        struct flock lock = file_part_lock(0, FILE_PARTS_END, true);
        (void)flock(file->fd, LOCK_SH | LOCK_NB);
        (void)fcntl(file->fd, F_OFD_SETLK, &lock);
    }
    if (result == 0 && wish->aside)
        result = file_check_aside(file, err);
    if (result == 0)
        result = file_check_target(file, wish, err);
    if (result == 0 && (wish->join || wish->place)) /* else when nothing can refuse it any more */
        file_clear_set_id(file);
    if (result == 0)
        file_mark(file, wish->session);
    if (result < 0)
        file_close(file);
    return result;
}

static int file_allocate(const struct file *file, uint64_t size_bytes)
{
    int result;
    do
        result = fallocate(file->fd, 0, 0, num_off(size_bytes));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

static int file_no_space(const struct file *file, uint64_t size_bytes, struct error *err)
{
    char need[TEXT_NUMBER_BYTES], left[TEXT_NUMBER_BYTES];
    struct statfs fs;
    uint64_t free_bytes = NUM_UNKNOWN;
    if (fstatfs(file->fd, &fs) == 0)
        free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    return error_set(err, ENOSPC, "%s: needs %s, free there: %s; make room and run it again",
                     file->path, text_size(need, size_bytes), text_size(left, free_bytes));
}

/* Certainly, as these file systems know what is free (btrfs estimates it). What fallocate(2) has
 * taken before it failed stays with a file that was there: all that was left, for nothing. */
static bool file_lacks_room(const struct file *file, uint64_t size_bytes)
{
    struct statfs fs;
    uint64_t there_bytes = min_u64(file->facts.allocated_bytes, size_bytes);
    bool knows = file->filesystem == EXT4_SUPER_MAGIC || file->filesystem == FILESYSTEM_XFS;
    return knows && file->facts.size_bytes > 0 && fstatfs(file->fd, &fs) == 0 &&
           size_bytes - there_bytes > (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize;
}

static int file_make_room(struct file *file, uint64_t size_bytes, bool sparse, struct error *err)
{
    if (file->facts.kind == FILE_DEVICE) {
        if (size_bytes <= file->facts.size_bytes)
            return 0;
        return error_set_class(err, ERROR_FILE, ENOSPC, "%s: the device is smaller than the source",
                               file->path);
    }
    if (size_bytes > NUM_OFFSET_MAX)
        return error_set(err, EFBIG, "%s", file->path);

    if (file->facts.size_bytes > size_bytes) {
        int result = file_set_size(file, size_bytes, err);
        if (result < 0)
            return result;
    }
    if (size_bytes > 0 && !sparse) {
        /* Direct writes that grow a file run one at a time (measured): 306-332 MB/s preallocated,
         * 89 growing. */
        int result = file_lacks_room(file, size_bytes) ? -ENOSPC : file_allocate(file, size_bytes);
        if (result == 0)
            return 0;
        bool supported = result != -EOPNOTSUPP && result != -ENOSYS && result != -EINVAL;
        if (supported) /* a part of it may have been reserved */
            (void)file_set_size(file, min_u64(file->facts.size_bytes, size_bytes), NULL);
        if (result == -ENOSPC)
            return file_no_space(file, size_bytes, err);
        if (supported)
            return error_set(err, -result, "%s: cannot be preallocated", file->path);
    }
    return file_set_size(file, size_bytes, err);
}

int file_preallocate(struct file *file, uint64_t size_bytes, bool sparse, struct error *err)
{
    int result = file_make_room(file, size_bytes, sparse, err);
    if (result == 0)
        file_clear_set_id(file);
    return result;
}

static int file_share(const struct file *file, const struct file *source)
{
    int result;
    do
        result = ioctl(file->fd, FICLONE, source->fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

int file_clone(struct file *file, const struct file *source, struct error *err)
{
    int result;
    bool files = file->facts.kind == FILE_REGULAR && source && !source->snapshot &&
                 source->facts.kind == FILE_REGULAR;
    if (!files)
        return error_set_class(err, ERROR_FILE, EINVAL,
                               "%s: only files of this machine can be had by reference",
                               file->path);
    result = file_share(file, source);
    /* A last block that is not whole can only be shared where the target ends, too. */
    if (result == -EINVAL && file->facts.size_bytes > source->facts.size_bytes &&
        file_set_size(file, source->facts.size_bytes, err) == 0)
        result = file_share(file, source);
    if (result < 0)
        return error_set(err, -result, "%s: cannot share the blocks of %s", file->path,
                         source->path);
    if (file->facts.size_bytes > source->facts.size_bytes)
        result = file_set_size(file, source->facts.size_bytes, err);
    if (result == 0)
        file_clear_set_id(file);
    return result;
}

int file_grow(struct file *file, uint64_t size_bytes, bool sparse, struct error *err)
{
    struct flock lock = file_part_lock(FILE_PARTS_END, FILE_BYTES_MAX, false);
    struct stat st;
    int result = 0;
    (void)fcntl(file->fd, F_OFD_SETLKW, &lock); /* no such locks: see file_lock_part() */
    if (fstat(file->fd, &st) != 0)
        result = error_set(err, errno, "%s: cannot be looked at", file->path);
    else if (file->facts.kind == FILE_REGULAR)
        file->facts.size_bytes = (uint64_t)st.st_size;
    if (result == 0 && (file->facts.kind == FILE_DEVICE || file->facts.size_bytes < size_bytes))
        result = file_preallocate(file, size_bytes, sparse, err);
    else if (result == 0)
        file_clear_set_id(file);
    lock.l_type = F_UNLCK;
    (void)fcntl(file->fd, F_OFD_SETLK, &lock);
    return result;
}

int file_reopen(const struct file *file, int flags)
{
    char link[TEXT_NUMBER_BYTES];
    int fd = open(text_fd_link(link, file->fd), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    int errnum = errno;
    /* /proc is there: this is the filesystem's answer */
    if ((errnum != ENOENT && errnum != ENOTDIR) || file->restricted)
        return -errnum;

    struct stat st;
    fd = open(file->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0 || st.st_dev != file->facts.device || st.st_ino != file->facts.inode) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

/* Nobody gets a lease on what somebody has open, or mapped, for writing (fcntl(2)). Who opens it in
 * that moment would send us SIGIO: SIGURG is ignored. */
bool file_is_written_unseen(const struct file *file)
{
    if (file->facts.kind != FILE_REGULAR || file->snapshot ||
        !filesystem_is_memory(file->filesystem))
        return false;
    (void)fcntl(file->fd, F_SETSIG, SIGURG);
    if (fcntl(file->fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN;
    (void)fcntl(file->fd, F_SETLEASE, F_UNLCK);
    return false;
}

/* Now: no time that its source can have, see evidence_settle_target(). */
void file_take_back(const struct file *file)
{
    if (file->facts.kind != FILE_REGULAR)
        return;
    /* Both times: whoever may write may do that, also to somebody else's file, and no file system
     * takes an omitted one for a time (libfuse 2 does). */
    if (futimens(file->fd, NULL) != 0)
        log_warning("%s: is not finished, and has the modification time of a finished file: %s",
                    file->path, strerror(errno));
    (void)fsync(file->fd); /* the disk may be what failed */
}

static int check_size(const struct file *file, const struct stat *st, uint64_t size_bytes,
                      struct error *err)
{
    uint64_t found_bytes = (uint64_t)st->st_size;
    if (found_bytes == size_bytes || (file->shared && found_bytes > size_bytes))
        return 0;
    return error_set_class(err, ERROR_FILE, ESTALE,
                           "%s: its size was changed while it was written, to %llu bytes; run "
                           "it again",
                           file->path, (unsigned long long)st->st_size);
}

int file_check_uncut(const struct file *file, uint64_t size_bytes, struct error *err)
{
    struct stat st;
    if (file->facts.kind != FILE_REGULAR)
        return 0;
    if (fstat(file->fd, &st) != 0)
        return error_set(err, errno, "%s: cannot be looked at", file->path);
    return check_size(file, &st, size_bytes, err);
}

int file_check_in_place(const struct file *file, uint64_t size_bytes, struct error *err)
{
    struct stat st;
    if (file->facts.kind != FILE_REGULAR)
        return 0;
    if (fstat(file->fd, &st) != 0)
        return error_set(err, errno, "%s: cannot be looked at", file->path);
    int there = file_has_name(file, file->restricted ? AT_SYMLINK_NOFOLLOW : 0);
    if (there == 0 || there == -ENOENT)
        return error_set_class(err, ERROR_FILE, ESTALE,
                               "%s: was removed or replaced while it was written; run it again",
                               file->path);
    return check_size(file, &st, size_bytes, err);
}

int file_sync(const struct file *file, struct error *err)
{
    return fsync(file->fd) == 0 ? 0 : error_set(err, errno, "%s: sync to the disk", file->path);
}

int file_sync_folder(const struct file *file, struct error *err)
{
    if (file->fd_folder < 0 || fsync(file->fd_folder) == 0)
        return 0;
    /* Filesystems whose folders cannot be synced; a folder that may not be listed (O_PATH). */
    if (errno == EINVAL || errno == EROFS || errno == EBADF)
        return 0;
    return error_set(err, errno, "%s: sync of its folder", file->path);
}

int file_next_data(const struct file *file, uint64_t offset, uint64_t *start, uint64_t *end,
                   struct error *err)
{
    uint64_t size_bytes = file->facts.size_bytes;
    *start = *end = size_bytes;
    if (offset >= size_bytes)
        return 0;
    off_t data = lseek(file->fd, num_off(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) /* a hole up to the end */
        return 0;
    if (data < 0 && errno == EINVAL) { /* no SEEK_DATA before Linux 3.1 and on some filesystems */
        *start = offset;
        return 0;
    }
    if (data < 0)
        return error_set(err, errno, "%s: search for holes", file->path);
    off_t hole = lseek(file->fd, data, SEEK_HOLE);
    if (hole < 0)
        return error_set(err, errno, "%s: search for holes", file->path);
    *start = min_u64((uint64_t)data, size_bytes);
    *end = min_u64((uint64_t)hole, size_bytes);
    return 0;
}

uint64_t file_data_end(const struct file *file, uint64_t start, uint64_t end)
{
    uint64_t offset = start, data_end = start, data, behind;
    while (offset < end) {
        if (file_next_data(file, offset, &data, &behind, NULL) < 0)
            return end;
        if (data >= end || data >= behind)
            break;
        data_end = min_u64(behind, end);
        offset = behind;
    }
    return data_end;
}

int file_punch(const struct file *file, uint64_t offset, uint64_t length)
{
    int result;
    do
        result = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, num_off(offset),
                           num_off(length));
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

void file_close(struct file *file)
{
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    if (file->fd >= 0)
        close(file->fd);
    if (file->snapshot)
        close(file->fd_named);
    if (file->fd_folder >= 0)
        close(file->fd_folder);
    free(file->path);
    file_init(file);
}
