/* file.h - local files: open, facts, preallocate, metadata, holes.
 *
 * No data passes here; that is the engines' work. All calls may block on the filesystem. */
#ifndef HAUL_FILE_H
#define HAUL_FILE_H

#include "haul/base/error.h"
#include "haul/disk/copy_up.h"
#include "haul/disk/evidence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;
struct place; /* place.h: where paths are resolved; NULL: on the whole machine */

enum file_kind {
    FILE_NONE,
    FILE_REGULAR,
    FILE_FOLDER,
    FILE_DEVICE, /* a block device */
    FILE_OTHER,  /* none of these: no such thing can be made */
    FILE_LINK, /* told only of what is looked at beneath a root (job.h), where it is not followed */
    FILE_FIFO,
    FILE_SOCKET,
    FILE_CHARACTER,
};

/* What both sides need to know of a file; it travels over the wire as it is. */
struct facts {
    enum file_kind kind; /* FILE_NONE: there is no such file */
    uint64_t size_bytes; /* of a block device: its capacity; of a pipe: what is expected, or 0 */
    uint64_t allocated_bytes;
    uint32_t mode; /* permission bits only */
    uint32_t uid;
    uint32_t gid;
    int64_t mtime_seconds;
    uint32_t mtime_ns;
    int64_t ctime_seconds;
    uint32_t ctime_ns;
    uint64_t device;
    uint64_t inode;
    uint64_t rdev;            /* of a device beneath a root: which; else 0 */
    uint32_t links;           /* names that it has; 0: not known */
    struct evidence evidence; /* what all this proves */
};

/* The very same modification time, in any year: both numbers, since ns in 64 bits end in 2262. */
static inline bool facts_same_mtime(const struct facts *a, const struct facts *b)
{
    return a->mtime_seconds == b->mtime_seconds && a->mtime_ns == b->mtime_ns;
}

/* Written last, or it has but one of the two times: that of its status is the same. */
static inline bool facts_mtime_is_ctime(const struct facts *facts)
{
    return facts->mtime_seconds == facts->ctime_seconds && facts->mtime_ns == facts->ctime_ns;
}

enum { FILE_NAME_BYTES = 256 }; /* with its NUL */

/* An open file. fd is buffered; fd_direct is the same file with O_DIRECT, or -1. */
struct file {
    int fd;
    int fd_direct;
    int fd_named;        /* of a snapshot: the file itself */
    int fd_folder;       /* targets: the folder, to sync it; else -1 */
    char *path;          /* owned; for messages */
    const char *reached; /* the part of it that its place was asked for */
    const char *name;    /* the last part of path */
    struct facts facts;  /* at open */
    uint64_t filesystem; /* statfs f_type */
    bool writable;
    bool readable;
    bool created;                   /* by this open */
    char replaces[FILE_NAME_BYTES]; /* the name in its folder that it takes at the end; "": it has
                                       its own */
    struct facts replaced;          /* what was there when it was opened */
    bool exclusive;  /* a device that nobody else has claimed, or may as long as this is open */
    bool snapshot;   /* fd is a copy in memory, see snapshot.h: facts stay as they are */
    bool restricted; /* to a place or a tree: its path is not used again */
    bool shared;     /* only a part of it is ours: others write other parts, and it may be larger */
    struct copy_up_left copy_up; /* by this open */
    bool dio_known;              /* statx said something about direct I/O */
    uint32_t dio_memory_bytes;   /* alignment; 0 with dio_known: the kernel would silently buffer */
    uint32_t dio_offset_bytes;
};

/* Whatever is larger is refused (-EFBIG): positions in it could not be rounded up to a block, nor
 * said to a peer. */
#define FILE_BYTES_MAX ((uint64_t)1 << 62)

/* All fields to "nothing is open". */
void file_init(struct file *file);

/* What has its extended attributes and lists. */
static inline int file_itself(const struct file *file)
{
    return file->snapshot ? file->fd_named : file->fd;
}

/* FILE_OTHER: none that has a name here. */
enum file_kind file_kind_of(mode_t mode);

/* The facts that stat(2) tells, without evidence: a node of a device is a node, of no size. */
struct stat;
void file_facts_from_stat(struct facts *facts, const struct stat *st);

/* Facts without opening. A path that does not exist is not an error: kind FILE_NONE. Symbolic links
 * are followed, but not in a tree. In a place that may not be read only folders are told, and
 * nothing of them but that they are; everything else is FILE_NONE. */
int file_describe_in(const struct place *place, const char *path, struct facts *facts,
                     struct error *err);
static inline int file_describe(const char *path, struct facts *facts, struct error *err)
{
    return file_describe_in(NULL, path, facts, err);
}

/* Which object it is, in as few calls as that takes, since there may be many: kind, size, and of
 * the evidence the machine and where the bytes lie, for evidence_overlap(). NONE where that cannot
 * be known. */
void file_recognise(const char *path, struct facts *facts);

/* Open for reading: a regular file or, unless haul is restricted to the place, a block device;
 * never hangs on a FIFO. Waits until the file's last change is old enough for the next one to show
 * (evidence_settle()). A size of 0 is believed after a read; what tells no size is read as a whole
 * into memory, up to 1 MiB. A device without a medium: ENOMEDIUM. Errors: ENOENT (ERROR_VANISHED),
 * EACCES (also: the path leads out of the place), EISDIR, EINVAL for other kinds. */
int file_open_source_in(struct file *file, const struct place *place, const char *path,
                        struct error *err);
static inline int file_open_source(struct file *file, const char *path, struct error *err)
{
    return file_open_source_in(file, NULL, path, err);
}

/* Open for writing (and reading, where permitted), create with mode 0600 when it is not there.
 * Never truncates. The name of a file that was created survives no power cut before
 * file_sync_folder(). Takes a lock on the file, which those that `join` share: ERROR_BUSY when
 * somebody else holds it. Devices need `write_devices`, and may not be in use by anybody else
 * (mounted, swap, member of something): EBUSY, with words.
 *
 * In a place the folder is opened beneath it and the target in the folder, by its last name and
 * never through a symbolic link; devices are refused where haul is restricted to it. Where the
 * place may not be read, the target is opened for writing only and emptied, and what stands in the
 * way of opening it is told in the same words whatever it is; with `join` it is refused unless it
 * has size_bytes.
 *
 * With `aside` what has that name is gone on with where it is ours; path itself is neither opened
 * nor changed, and must be a regular file or nothing.
 *
 * A part of it (part_end > 0) is locked by itself: against parts that overlap it, and against who
 * writes the whole file.
 *
 * With `join` it must be open already by a lane of the same `session`, in whatever process:
 * ERROR_BUSY. */
struct file_open_wish {
    bool join;
    uint64_t session;    /* whose lanes may join each other */
    uint64_t size_bytes; /* final; only looked at by such a join */
    bool write_devices;
    uint32_t
        create_mode;   /* of a new file, less the umask; its owner may read and write it anyway */
    const char *aside; /* write under this name in the same folder, see file_take_name(); NULL */
    const struct place *place;
    uint64_t part_start, part_end; /* as in job.h: this part of it is locked, and no other */
    bool spelled;                  /* as in job.h; not of a join */
};
int file_open_target(struct file *file, const char *path, const struct file_open_wish *wish,
                     struct error *err);

/* flock(2) of what nobody should hold: LOCK_EX or LOCK_SH, waiting for a second at most, as the
 * ring of a process that was killed holds its files until a kernel thread has taken it down. 0 or
 * -errno (-EWOULDBLOCK: somebody has it). Blocks. */
int file_flock(int fd, int how);

/* As whoever writes all of a file has it locked, against copies to parts of it, too. Does not wait.
 * false: somebody else has it, or it cannot be locked. */
bool file_lock_whole(int fd);

/* Give the target its final size: truncate what is longer, then preallocate (or only set the size
 * when `sparse`). fallocate refused by the filesystem: ftruncate. Clears set-id bits first. ENOSPC
 * says how much is needed and free; the file is then not longer than it was. Devices: only checks
 * the capacity. */
int file_preallocate(struct file *file, uint64_t size_bytes, bool sparse, struct error *err);

/* The same for who writes a part of the file: it grows to this size if it is smaller, and is never
 * cut, whoever else does the same at the same time. */
int file_grow(struct file *file, uint64_t size_bytes, bool sparse, struct error *err);

/* Where the last data in [start, end) end, as far as the file system tells: `start` when there are
 * none. What is behind reads as zeros. */
uint64_t file_data_end(const struct file *file, uint64_t start, uint64_t end);

/* Let the target have the blocks of the source (FICLONE), and its size; nothing is copied. What
 * stood in it is not shared any more. -errno with words, most often EOPNOTSUPP or EXDEV: the target
 * is what it was (but not longer than the source, where only the last block was in the way). Waits
 * until what of the source is only in the page cache is written. */
int file_clone(struct file *file, const struct file *source, struct error *err);

/* Another final size than it was given: a pipe's, which is known when it has ended. */
int file_set_size(const struct file *file, uint64_t size_bytes, struct error *err);

/* The same file again with other flags: /proc/self/fd, or, where there is no /proc, by path and
 * comparing device and inode (-ESTALE: another file), but not in a place. Returns a descriptor or
 * -errno. */
int file_reopen(const struct file *file, int flags);

/* What chattr(1) or mount(8) has made of it, of FILE_MARK_*; 0 also where nobody tells. Of the name
 * in that folder, or of the descriptor itself (""). */
enum { FILE_MARK_IMMUTABLE = 0x10, FILE_MARK_APPEND = 0x20, FILE_MARK_MOUNTED = 0x2000 };
uint64_t file_marks(int fd, const char *name);

/* The file system of /dev holds nodes, and is memory: who writes to a file there means a device
 * that is not there, as a stick that was not put in. -ENODEV with words. What everybody may write
 * to, as /dev/shm may be, is for files, and so is what a link leads to (/dev/stdout). there: the
 * regular file that is there, NULL: nothing is. */
int file_check_nodes(int fd_folder, const struct stat *there, const char *path, struct error *err);

/* Could another file take that name, from the one that has it or none, in a folder that may be
 * written? 0, -EBUSY: something is mounted there, -EPERM: it or the folder is fixed or may only
 * grow, or both are others' and the folder is sticky. */
int file_replaceable(int fd_folder, const char *name);

/* In words, behind the path, of what is or is not there. */
const char *file_why_kept(enum file_kind old);

/* The facts now. */
int file_facts(const struct file *file, struct facts *facts, struct error *err);

/* A file in memory (tmpfs) that another program has open for writing: what that writes by a mapping
 * moves no time. false where it may not be asked: for files of others. */
bool file_is_written_unseen(const struct file *file);

/* A commit has failed: take back what says "finished", the modification time, as far as that goes.
 */
void file_take_back(const struct file *file);

/* Is the target still what was opened? Its name leads to it, and its size is size_bytes. Else
 * -ESTALE with words. Devices: 0. */
int file_check_in_place(const struct file *file, uint64_t size_bytes, struct error *err);

/* A file that is written aside: it gets owner, group and mode (no set-id bits) of what it is going
 * to replace, as far as that may be done. */
void file_inherit(const struct file *file);

/* It takes the name that it was opened for, and the folder is synced. Whoever opens that name finds
 * either what was there or all of this. -ENOTUNIQ as spelling_check(): another one has come there,
 * and what was written aside is gone. */
int file_take_name(const struct file *file, struct error *err);

/* The medium cannot give what should be there, as an outcome of a read: EIO, or what direct I/O
 * tells of a bad sector, of a checksum of the device's, of a target that is sick. */
bool file_is_unreadable(int result);

/* Only the size, at the cost of one fstat(2): for beside every write. */
int file_check_uncut(const struct file *file, uint64_t size_bytes, struct error *err);

/* fsync of file and of its folder. A folder that cannot be synced (by its filesystem, or because
 * it may not be listed) is no failure. */
int file_sync(const struct file *file, struct error *err);
int file_sync_folder(const struct file *file, struct error *err);

/* The next data at or after offset: [*start, *end). No more data: *start = *end = size. Where the
 * filesystem does not know holes everything is data. */
int file_next_data(const struct file *file, uint64_t offset, uint64_t *start, uint64_t *end,
                   struct error *err);

/* Make [offset, offset + length) read as zeros without storing them: punches a hole. -EOPNOTSUPP:
 * the caller writes zeros. */
int file_punch(const struct file *file, uint64_t offset, uint64_t length);

/* NULL-safe for a file that file_init() has seen. Releases the lock. */
void file_close(struct file *file);

#endif
