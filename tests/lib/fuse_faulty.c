/* fuse_faulty - a FUSE filesystem that shows a folder, with faults.
 *
 *   fuse_faulty [FAULTS] FOLDER MOUNTPOINT      returns when it is mounted; ends by umount
 *
 *   --file=NAME           faults of reading and writing apply to files of this name only
 *   --read-eio=OFFSET     a read that covers this byte fails with EIO
 *   --bad=FILE            the bad places: lines OFFSET LENGTH [ERRNO]. A read that covers a byte of
 * one fails with that errno, else EIO. FILE is read anew for each read: emptied, the disk is
 * mended. Each read that failed so is a line OFFSET LENGTH at the end of FILE.tried
 *   --fails=FILE          while FILE is there, what it says, ERRNO WHAT, fails with this errno:
 *                         changes (whatever writes), all (also what reads), or sync (the next
 *                         sync, which removes FILE: the kernel tells of a lost page once)
 *   --write-eio=BYTES     writing beyond this offset fails with EIO
 *   --write-enospc=BYTES  writing beyond this offset fails with ENOSPC (the whole request does:
 *                         Linux makes EIO of a short answer to a direct write)
 *   --lose-write=OFFSET   the byte at this offset is written wrongly, and success reported
 *   --fsync-eio           fsync and fdatasync fail with EIO
 *   --no-fallocate        fallocate fails with EOPNOTSUPP
 *   --no-direct           open with O_DIRECT fails with EINVAL
 *   --uncached            FOPEN_DIRECT_IO: every read and write reaches this program as it is
 *   --short-reads         at most one block, and never more than half of what was asked (implies
 *                         --uncached: the kernel takes a short answer for the end of file
 * otherwise)
 *   --chmod-deny          chmod fails with EPERM, as bindfs --chmod-deny and SMB do
 *   --chown-deny          chown fails with EPERM
 *   --utimens-deny        utimens fails with EPERM
 *   --chmod-ignore        chmod says yes and does nothing, as some FAT drivers do
 *   --utimens-ignore      utimens says yes and does nothing
 *   --omit-is-zero        UTIME_OMIT is taken for the time 0, and yes is said: libfuse 2
 *   --time-unit=NS        times are kept rounded down to multiples of this
 *   --no-change-time      the time of status change is the modification time, as on FAT; both are
 *                         told as coarsely as --time-unit says
 *   --remember=SECONDS    the kernel may remember for so long what a file was, as of NFS
 *   --fold-case           a folder has a name in one spelling only: what is asked for with letters
 *                         of another case is found, as on FAT and in casefold folders of ext4
 *   --slow=MS             each read and write takes so many milliseconds longer
 *   --slow-read=US        each read takes so many microseconds longer, many at a time: a disk
 *   --slow-sync=US        and each fsync and fdatasync
 *
 * Otherwise a plain passthrough by path. Its own files are read through the page cache: cgroup
 * figures of the program under test do not contain them, because this is another process. */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct faults {
    char *file, *bad, *fails;
    long long read_eio, write_eio, write_enospc, lose_write;
    int chmod_deny, chown_deny, utimens_deny, chmod_ignore, utimens_ignore, omit_is_zero,
        no_change_time;
    long long time_unit;
    int remember, fold_case;
    int fsync_eio, no_fallocate, no_direct, uncached, short_reads, slow_ms, slow_read_us,
        slow_sync_us;
    char *folder;
    int folder_fd; /* paths are resolved below it: the mount may cover the folder itself */
};

enum { SHORT_READ_OVER = 8192, SHORT_READ_ODD = 100, DIRECT_READS_MAX = 64 };

static const struct faults *faults(void)
{
    return fuse_get_context()->private_data;
}

static int top(void)
{
    return faults()->folder_fd;
}

/* ---- names ---- */

/* --fold-case: a name is looked for before something is done with it, and nobody else makes it or
 * takes it away meanwhile. */
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

static void naming_begin(void)
{
    if (faults()->fold_case) {
        pthread_mutex_lock(&naming);
    }
}

static int naming_end(int code)
{
    if (faults()->fold_case) {
        pthread_mutex_unlock(&naming);
    }
    return code;
}

/* The last part of `path`, whose folder is spelled as it is there, becomes so, too. */
static void spell(char *path)
{
    char *slash = strrchr(path, '/');
    char *name = slash ? slash + 1 : path;
    struct stat facts;
    if (fstatat(top(), path, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
        return;
    }
    if (slash) {
        *slash = '\0';
    }
    int fd = openat(top(), slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) {
        *slash = '/';
    }
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        if (strcasecmp(entry->d_name, name) == 0) {
            strcpy(name, entry->d_name);
            break;
        }
    }
    if (folder) {
        closedir(folder);
    }
}

/* "/a/b" below the folder's descriptor: "a/b", or "." for the top. What comes out is good until
 * the thread asks twice more. */
static const char *below(const char *path)
{
    static _Thread_local char rooms[2][PATH_MAX];
    static _Thread_local int turn;
    char *room = rooms[turn = 1 - turn];
    if (!path[1]) {
        return ".";
    }
    if (!faults()->fold_case || strlen(path) >= PATH_MAX) {
        return path + 1;
    }
    strcpy(room, path + 1);
    for (char *slash = strchr(room, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        spell(room);
        *slash = '/';
    }
    spell(room);
    return room;
}

static int result(int rc)
{
    return rc < 0 ? -errno : 0;
}

enum doing { READING, CHANGING, SYNCING };

/* What becomes of an operation by --fails, 0 or -errno. */
static int fails_now(enum doing doing)
{
    const char *path = faults()->fails;
    FILE *file = path ? fopen(path, "re") : NULL;
    char what[16] = "";
    int errnum = 0;
    if (!file) {
        return 0;
    }
    bool read = fscanf(file, "%d %15s", &errnum, what) == 2;
    fclose(file);
    if (read && strcmp(what, "sync") == 0 && doing == SYNCING) {
        unlink(path);
        return -errnum;
    }
    bool fails = strcmp(what, "all") == 0 || (strcmp(what, "changes") == 0 && doing != READING);
    return read && fails ? -errnum : 0;
}

#define FAIL_NOW(doing)                                                                            \
    do {                                                                                           \
        int failed = fails_now(doing);                                                             \
        if (failed < 0) {                                                                          \
            return failed;                                                                         \
        }                                                                                          \
    } while (0)

static bool afflicted(const char *path)
{
    const char *file = faults()->file;
    const char *name = strrchr(path, '/');
    return !file || strcmp(name ? name + 1 : path, file) == 0;
}

static void delay(int ms, int us)
{
    if (ms > 0 || us > 0) {
        usleep((unsigned)ms * 1000 + (unsigned)us);
    }
}

static void *faulty_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    connection->max_background = DIRECT_READS_MAX;
    config->use_ino = 1;
    config->nullpath_ok = 0;
    /* Without --remember changes made behind the mount (a source that shrinks) show at once. */
    config->attr_timeout = config->entry_timeout = faults()->remember;
    return fuse_get_context()->private_data;
}

static struct timespec kept_time(struct timespec time)
{
    const struct faults *f = faults();
    if (time.tv_nsec == UTIME_OMIT && f->omit_is_zero) {
        return (struct timespec){0, 0};
    }
    if (f->time_unit > 0 && time.tv_nsec < 1000000000) {
        long long ns = time.tv_sec * 1000000000LL + time.tv_nsec;
        ns -= ns % f->time_unit;
        return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    }
    return time;
}

static int faulty_getattr(const char *path, struct stat *facts, struct fuse_file_info *info)
{
    FAIL_NOW(READING);
    naming_begin();
    int code = naming_end(result(info ? fstat((int)info->fh, facts)
                                      : fstatat(top(), below(path), facts, AT_SYMLINK_NOFOLLOW)));
    if (code == 0 && faults()->no_change_time) {
        facts->st_mtim = facts->st_ctim = kept_time(facts->st_mtim);
    }
    return code;
}

static int faulty_readlink(const char *path, char *out, size_t capacity)
{
    naming_begin();
    ssize_t length = readlinkat(top(), below(path), out, capacity - 1);
    if (length >= 0) {
        out[length] = '\0';
    }
    return naming_end(length < 0 ? -errno : 0);
}

static int faulty_readdir(const char *path, void *buffer, fuse_fill_dir_t add, off_t offset,
                          struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)offset;
    (void)info;
    (void)flags;
    FAIL_NOW(READING);
    naming_begin();
    int fd = openat(top(), below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    int code = naming_end(folder ? 0 : -errno);
    if (!folder) {
        return code;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        struct stat facts = {.st_ino = entry->d_ino, .st_mode = (mode_t)(entry->d_type << 12)};
        add(buffer, entry->d_name, &facts, 0, 0);
    }
    closedir(folder);
    return 0;
}

static int faulty_mkdir(const char *path, mode_t mode)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(mkdirat(top(), below(path), mode)));
}

static int faulty_unlink(const char *path)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(unlinkat(top(), below(path), 0)));
}

static int faulty_rmdir(const char *path)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(unlinkat(top(), below(path), AT_REMOVEDIR)));
}

static int faulty_symlink(const char *to, const char *path)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(symlinkat(to, top(), below(path))));
}

static int faulty_rename(const char *from, const char *to, unsigned flags)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(renameat2(top(), below(from), top(), below(to), flags)));
}

static int faulty_link(const char *from, const char *to)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(result(linkat(top(), below(from), top(), below(to), 0)));
}

static int faulty_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    if (faults()->chmod_deny) {
        return -EPERM;
    }
    if (faults()->chmod_ignore) {
        return 0;
    }
    naming_begin();
    return naming_end(
        result(info ? fchmod((int)info->fh, mode) : fchmodat(top(), below(path), mode, 0)));
}

static int faulty_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    if (faults()->chown_deny) {
        return -EPERM;
    }
    naming_begin();
    return naming_end(result(info
                                 ? fchown((int)info->fh, user, group)
                                 : fchownat(top(), below(path), user, group, AT_SYMLINK_NOFOLLOW)));
}

static int faulty_utimens(const char *path, const struct timespec wanted[2],
                          struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    const struct timespec times[2] = {kept_time(wanted[0]), kept_time(wanted[1])};
    if (faults()->utimens_deny) {
        return -EPERM;
    }
    if (faults()->utimens_ignore) {
        return 0;
    }
    naming_begin();
    return naming_end(result(info ? futimens((int)info->fh, times)
                                  : utimensat(top(), below(path), times, AT_SYMLINK_NOFOLLOW)));
}

static int faulty_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    if (info) {
        return result(ftruncate((int)info->fh, size));
    }
    naming_begin();
    int fd = openat(top(), below(path), O_WRONLY | O_CLOEXEC);
    int rc = naming_end(fd < 0 ? -errno : result(ftruncate(fd, size)));
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int open_below(const char *path, struct fuse_file_info *info, int flags, mode_t mode)
{
    const struct faults *f = faults();
    if ((info->flags & O_DIRECT) && f->no_direct) {
        return -EINVAL;
    }
    /* The buffers of FUSE are not aligned: the backing file is opened without O_DIRECT. A writer
     * may need to read too (the kernel reads a page that a write covers in part). */
    flags = (flags & ~(O_DIRECT | O_APPEND)) | O_CLOEXEC;
    int fd = openat(top(), below(path), flags, mode);
    if (fd < 0) {
        return -errno;
    }
    info->fh = (uint64_t)fd;
    info->direct_io = f->uncached || f->short_reads;
    return 0;
}

static int faulty_open(const char *path, struct fuse_file_info *info)
{
    naming_begin();
    return naming_end(open_below(path, info, info->flags, 0));
}

static int faulty_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    naming_begin();
    return naming_end(open_below(path, info, info->flags | O_CREAT, mode));
}

static int faulty_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    close((int)info->fh);
    return 0;
}

/* What becomes of a read by the list of bad places, 0 or -errno. */
static int bad_place(off_t offset, size_t length)
{
    const char *path = faults()->bad;
    FILE *list = path ? fopen(path, "re") : NULL;
    char line[80];
    int found = 0;
    while (list && found == 0 && fgets(line, sizeof(line), list)) {
        long long start = 0, bytes = 0;
        int errnum = EIO;
        if (sscanf(line, "%lld %lld %d", &start, &bytes, &errnum) >= 2 &&
            start < offset + (off_t)length && start + bytes > offset) {
            found = errnum;
        }
    }
    if (list) {
        fclose(list);
    }
    char name[4096];
    snprintf(name, sizeof(name), "%s.tried", path ? path : "");
    FILE *tried = found ? fopen(name, "ae") : NULL;
    if (tried) {
        fprintf(tried, "%lld %zu\n", (long long)offset, length);
        fclose(tried);
    }
    return -found;
}

static int faulty_read(const char *path, char *buffer, size_t length, off_t offset,
                       struct fuse_file_info *info)
{
    FAIL_NOW(READING);
    const struct faults *f = faults();
    delay(f->slow_ms, f->slow_read_us);
    if (afflicted(path)) {
        if (f->read_eio >= offset && f->read_eio < offset + (off_t)length) {
            return -EIO;
        }
        int bad = bad_place(offset, length);
        if (bad < 0) {
            return bad;
        }
        if (f->short_reads && length > SHORT_READ_OVER) {
            length = length / 2 + SHORT_READ_ODD;
        }
    }
    ssize_t got = pread((int)info->fh, buffer, length, offset);
    return got < 0 ? -errno : (int)got;
}

static int faulty_write(const char *path, const char *buffer, size_t length, off_t offset,
                        struct fuse_file_info *info)
{
    FAIL_NOW(CHANGING);
    const struct faults *f = faults();
    delay(f->slow_ms, 0);
    if (afflicted(path)) {
        off_t end = offset + (off_t)length;
        if (f->write_eio >= 0 && end > f->write_eio) {
            return -EIO;
        }
        if (f->write_enospc >= 0 && end > f->write_enospc) {
            return -ENOSPC;
        }
    }
    ssize_t put = pwrite((int)info->fh, buffer, length, offset);
    if (put > 0 && afflicted(path) && f->lose_write >= offset && f->lose_write < offset + put) {
        char wrong = (char)~buffer[f->lose_write - offset];
        put = pwrite((int)info->fh, &wrong, 1, f->lose_write) == 1 ? put : -1;
    }
    return put < 0 ? -errno : (int)put;
}

static int faulty_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    FAIL_NOW(SYNCING);
    delay(0, faults()->slow_sync_us);
    if (faults()->fsync_eio && afflicted(path)) {
        return -EIO;
    }
    return result(data_only ? fdatasync((int)info->fh) : fsync((int)info->fh));
}

static int faulty_fallocate(const char *path, int mode, off_t offset, off_t length,
                            struct fuse_file_info *info)
{
    (void)path;
    FAIL_NOW(CHANGING);
    if (faults()->no_fallocate) {
        return -EOPNOTSUPP;
    }
    return result(fallocate((int)info->fh, mode, offset, length));
}

static int faulty_statfs(const char *path, struct statvfs *facts)
{
    (void)path;
    return result(fstatvfs(top(), facts));
}

static off_t faulty_lseek(const char *path, off_t offset, int whence, struct fuse_file_info *info)
{
    (void)path;
    off_t at = lseek((int)info->fh, offset, whence);
    return at < 0 ? -errno : at;
}

static const struct fuse_operations operations = {
    .init = faulty_init,
    .getattr = faulty_getattr,
    .readlink = faulty_readlink,
    .readdir = faulty_readdir,
    .mkdir = faulty_mkdir,
    .unlink = faulty_unlink,
    .rmdir = faulty_rmdir,
    .symlink = faulty_symlink,
    .rename = faulty_rename,
    .link = faulty_link,
    .chmod = faulty_chmod,
    .chown = faulty_chown,
    .utimens = faulty_utimens,
    .truncate = faulty_truncate,
    .open = faulty_open,
    .create = faulty_create,
    .release = faulty_release,
    .read = faulty_read,
    .write = faulty_write,
    .fsync = faulty_fsync,
    .fallocate = faulty_fallocate,
    .statfs = faulty_statfs,
    .lseek = faulty_lseek,
};

#define FAULT(text, field)                                                                         \
    {                                                                                              \
        text, offsetof(struct faults, field), 1                                                    \
    }

static const struct fuse_opt options[] = {
    FAULT("--file=%s", file),
    FAULT("--read-eio=%lld", read_eio),
    FAULT("--bad=%s", bad),
    FAULT("--fails=%s", fails),
    FAULT("--write-eio=%lld", write_eio),
    FAULT("--write-enospc=%lld", write_enospc),
    FAULT("--lose-write=%lld", lose_write),
    FAULT("--fsync-eio", fsync_eio),
    FAULT("--no-fallocate", no_fallocate),
    FAULT("--no-direct", no_direct),
    FAULT("--uncached", uncached),
    FAULT("--short-reads", short_reads),
    FAULT("--chmod-deny", chmod_deny),
    FAULT("--chown-deny", chown_deny),
    FAULT("--utimens-deny", utimens_deny),
    FAULT("--chmod-ignore", chmod_ignore),
    FAULT("--utimens-ignore", utimens_ignore),
    FAULT("--omit-is-zero", omit_is_zero),
    FAULT("--time-unit=%lld", time_unit),
    FAULT("--remember=%d", remember),
    FAULT("--no-change-time", no_change_time),
    FAULT("--fold-case", fold_case),
    FAULT("--slow=%d", slow_ms),
    FAULT("--slow-read=%d", slow_read_us),
    FAULT("--slow-sync=%d", slow_sync_us),
    FUSE_OPT_END,
};

/* The first bare word is the folder; the mountpoint stays for libfuse. */
static int take_folder(void *data, const char *argument, int key, struct fuse_args *arguments)
{
    struct faults *f = data;
    (void)arguments;
    if (key == FUSE_OPT_KEY_NONOPT && !f->folder) {
        f->folder = strdup(argument);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
    struct faults f = {
        .read_eio = -1, .write_eio = -1, .write_enospc = -1, .lose_write = -1, .folder_fd = -1};
    if (fuse_opt_parse(&arguments, &f, options, take_folder) != 0 || !f.folder) {
        fputs("usage: fuse_faulty [FAULTS] FOLDER MOUNTPOINT [-o OPTIONS]\n", stderr);
        return 2;
    }
    f.folder_fd = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.folder_fd < 0) {
        fprintf(stderr, "fuse_faulty: %s: %s\n", f.folder, strerror(errno));
        return 1;
    }
    umask(0); /* the kernel has applied the caller's already */
    int rc = fuse_main(arguments.argc, arguments.argv, &operations, &f);
    fuse_opt_free_args(&arguments);
    return rc;
}
