/* small.c - small files as a whole. The calls of one file are few, since there are many files: what
 * a file system is, is asked of each; nothing is asked twice. */
#include "haul/disk/small.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/disk/filesystem.h"
#include "haul/disk/place.h"
#include "haul/disk/residency.h"
#include "haul/disk/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* As in file.c: what is opened is perhaps no file. */
enum { SMALL_FLAGS = O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

/* RWF_DONTCACHE of linux/fs.h, Linux 6.14. */
enum { WRITE_DROPPED = 0x80 };

/* What direct reads are aligned to; where that is too little they are refused. */
enum { PAST_CACHE_BYTES = 4096 };

/* The kernel's own number of a device has 32 bits. */
static uint32_t device_key(uint64_t device)
{
    return (uint32_t)(major((dev_t)device) << 20 | minor((dev_t)device));
}

static uint64_t filesystem_of(int fd, uint64_t device, struct small_known *known)
{
    const uint32_t key = device_key(device);
    uint64_t last = atomic_load(&known->type);
    if (last != 0 && (uint32_t)last == key)
        return last >> 32;
    uint64_t type = filesystem_type(fd);
    if (type != 0)
        atomic_store(&known->type, type << 32 | key);
    return type;
}

/* ---- a source ---- */

static int look(int fd, struct small_known *known, struct facts *facts)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -EAGAIN;
    file_facts_from_stat(facts, &st);
    if (facts->kind != FILE_REGULAR)
        return -EAGAIN;
    uint64_t filesystem = filesystem_of(fd, st.st_dev, known);
    if (!filesystem_tells(filesystem)) /* not stacked, not in memory, not over a network */
        return -EAGAIN;
    evidence_take_open(facts, fd, &st, filesystem);
    return facts->evidence.grade == EVIDENCE_STRONG ? 0 : -EAGAIN;
}

/* Exactly `size` bytes, and then the end, which is believed when a read has said so: on these file
 * systems one that brings less than was asked for does. */
static int read_whole(int fd, uint8_t *buffer, uint32_t size, uint32_t capacity)
{
    uint32_t length = (uint32_t)min_u64((uint64_t)size + 1, capacity), done = 0;
    while (done < length) {
        ssize_t got = pread(fd, buffer + done, length - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (uint32_t)got;
        if (done == size)
            break;
    }
    return done == size ? 0 : -EAGAIN;
}

/* A source that is open. */
struct small_open {
    int fd;
    bool direct;
};

static bool go_direct(struct small_open *open, bool direct)
{
    if (open->direct != direct &&
        fcntl(open->fd, F_SETFL, SMALL_FLAGS | (direct ? O_DIRECT : 0)) == 0)
        open->direct = direct;
    return open->direct == direct;
}

static int read_cached(struct small_open *open, uint8_t *buffer, uint32_t size, uint32_t capacity)
{
    return go_direct(open, false) ? read_whole(open->fd, buffer, size, capacity) : -EAGAIN;
}

/* Past the page cache, so that no page of it is charged to anybody; where that is refused, through
 * it. Direct reads want whole blocks, and say the end of the file by a short count. */
static int read_uncached(struct small_open *open, uint8_t *buffer, uint32_t size, uint32_t capacity)
{
    size_t room = (size_t)align_up((uint64_t)size + 1, PAST_CACHE_BYTES);
    if (room <= capacity && go_direct(open, true) &&
        pread(open->fd, buffer, room, 0) == (ssize_t)size)
        return 0;
    return read_cached(open, buffer, size, capacity);
}

/* What others have cached stays; a part of it is more than is told apart here. */
static int take_open(struct small_taken *taken, struct small_open *open,
                     const struct small_source *source)
{
    const int fd = open->fd;
    struct facts *facts = &taken->facts, after;
    uint32_t capacity = source->capacity;
    int result = look(fd, source->known, facts);
    uint64_t size = facts->size_bytes;
    if (result < 0 || size > min_u64(capacity, SMALL_BYTES_MAX) || facts->allocated_bytes < size)
        return -EAGAIN;
    if (!evidence_settle(facts, EVIDENCE_PATIENCE_NS) ||
        residency_once(fd, size, &taken->before_bytes) < 0)
        return -EAGAIN;
    if (taken->before_bytes > 0 && taken->before_bytes < size)
        return -EAGAIN;
    taken->bytes = num_u32(size);
    taken->peak_bytes = taken->after_bytes = taken->before_bytes;
    if (taken->before_bytes > 0 || size == 0) {
        result = read_cached(open, source->buffer, taken->bytes, capacity);
    } else {
        result = read_uncached(open, source->buffer, taken->bytes, capacity);
        (void)residency_once(fd, size, &taken->peak_bytes);
        taken->after_bytes = taken->peak_bytes;
    }
    if (taken->after_bytes > taken->before_bytes) {
        residency_drop(fd, 0);
        (void)residency_once(fd, size, &taken->after_bytes);
    }
    if (result == 0)
        result = look(fd, source->known, &after);
    return result == 0 && evidence_compare(facts, &after) == EVIDENCE_UNCHANGED ? 0 : -EAGAIN;
}

/* As the last one was read in the end, so that this one need not be changed. *direct: how it is. */
static int reach_source(const struct small_source *source, bool *direct)
{
    const int flags = O_RDONLY | SMALL_FLAGS;
    int fd = *direct ? place_reach(source->place, source->path, flags | O_DIRECT) : -EINVAL;
    if (fd != -EINVAL)
        return fd;
    *direct = false;
    return place_reach(source->place, source->path, flags);
}

int small_take(struct small_taken *taken, const struct small_source *source)
{
    const struct place *place = source->place;
    struct stat st;
    *taken = (struct small_taken){.bytes = 0};
    if (!place_may_read(place))
        return -EAGAIN;
    /* Opening a device may do something by itself. */
    if (place_restricts(place) &&
        (place_look(place, source->path, &st) < 0 || !S_ISREG(st.st_mode)))
        return -EAGAIN;
    struct small_open open = {.direct = !atomic_load(&source->known->buffered)};
    AUTO_CLOSE int fd = reach_source(source, &open.direct);
    open.fd = fd;
    int result = fd >= 0 ? take_open(taken, &open, source) : -EAGAIN;
    if (taken->bytes > 0 && atomic_load(&source->known->buffered) == open.direct)
        atomic_store(&source->known->buffered, !open.direct);
    return result;
}

/* ---- a target ---- */

/* It was made here. What somebody else has put under its name meanwhile stays. */
static void take_away(const struct small_file *file, const struct small_wish *wish)
{
    const char *name = place_name(wish->path);
    struct stat mine;
    AUTO_CLOSE int reached =
        file->fd_folder < 0 ? place_reach_folder(wish->place, wish->path, O_PATH) : -1;
    int fd_folder = file->fd_folder < 0 ? reached : file->fd_folder;
    int there = fstat(file->fd, &mine) != 0 || fd_folder < 0
                    ? -EBADF
                    : place_holds(fd_folder, name, AT_SYMLINK_NOFOLLOW, mine.st_dev, mine.st_ino);
    if (there == 0 || there == -ENOENT)
        return;
    if (there < 0 || unlinkat(fd_folder, name, 0) != 0)
        log_warning("%s: an unfinished file is left", wish->shown);
}

static int write_range(int fd, const struct small_wish *wish, uint32_t start, uint32_t end,
                       struct error *err)
{
    const uint8_t *data = wish->data;
    for (uint32_t done = start; done < end;) {
        ssize_t put = pwrite(fd, data + done, end - done, (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && (errno == ENOSPC || errno == EDQUOT))
            return error_set(err, errno, "%s: make room and run it again to go on", wish->shown);
        if (put <= 0)
            return error_set(err, put < 0 ? errno : EIO, "%s: write error", wish->shown);
        done += (uint32_t)put;
    }
    return 0;
}

static void write_back(int fd)
{
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static bool may_drop(struct small_known *known)
{
    uint32_t drops = atomic_load(&known->drops);
    if (drops == SMALL_DROPS_UNKNOWN) {
        drops = filesystem_kernel_drops() ? SMALL_DROPS_WRITES : SMALL_DROPS_NOTHING;
        atomic_store(&known->drops, drops);
    }
    return drops == SMALL_DROPS_WRITES;
}

/* All of a new file in one call, which also begins to write it back, and lets the kernel drop its
 * pages behind that: three calls less for each file. false: not all of it, or not so; what is wrong
 * is said by whoever writes the rest as ever. */
static bool write_dropped(int fd, const struct small_wish *wish)
{
    struct iovec data = {.iov_base = (void *)(uintptr_t)wish->data, .iov_len = wish->bytes};
    if (wish->bytes == 0 || !may_drop(wish->known))
        return false;
    long put = syscall(SYS_pwritev2, fd, &data, 1, 0L, 0L, WRITE_DROPPED);
    if (put < 0 && errno != EINTR && errno != ENOSPC && errno != EDQUOT && errno != EIO)
        atomic_store(&wish->known->drops, SMALL_DROPS_NOTHING);
    return put == (long)wish->bytes;
}

static int write_new(struct small_file *file, const struct small_wish *wish, struct error *err)
{
    file->dropped = write_dropped(file->fd, wish);
    if (file->dropped)
        return 0;
    int result = write_range(file->fd, wish, 0, wish->bytes, err);
    if (result == 0)
        write_back(file->fd);
    return result;
}

static bool is_ordered(struct small_known *known, uint64_t filesystem, uint64_t device)
{
    const uint32_t key = device_key(device);
    enum { KNOWN = 2, ORDERED = 1 };
    uint64_t last = atomic_load(&known->order);
    if (last & KNOWN && last >> 32 == key)
        return last & ORDERED;
    bool ordered = filesystem_orders(filesystem, device);
    atomic_store(&known->order, (uint64_t)key << 32 | KNOWN | (ordered ? ORDERED : 0));
    return ordered;
}

/* It is ours: locked, as against other copies, and on a file system that is for it. */
static int claim(struct small_file *file, const struct small_wish *wish, struct facts *facts)
{
    struct stat *st = wish->seen;
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 || fstat(file->fd, st) != 0)
        return -EAGAIN;
    uint64_t filesystem = filesystem_of(file->fd, st->st_dev, wish->known);
    if (!filesystem_tells(filesystem))
        return -EOPNOTSUPP;
    file->ordered = is_ordered(wish->known, filesystem, st->st_dev);
    file_facts_from_stat(facts, st);
    evidence_take_open(facts, file->fd, st, filesystem);
    file->device = st->st_dev;
    return 0;
}

static bool begin(struct small_file *file, const struct small_wish *wish)
{
    *file = (struct small_file){
        .fd = -1,
        .fd_folder = -1,
        .bytes = wish->bytes,
        .cached_bytes = wish->bytes,
        .left_bytes = NUM_UNKNOWN,
    };
    return place_may_read(wish->place) && place_may_write(wish->place);
}

static bool is_late(const struct small_wish *wish)
{
    return wish->until_ns > 0 && clock_now_ns() >= wish->until_ns;
}

/* Whoever lets go of a new one later may not find its folder by then. */
static int wait_late(struct small_file *file, const struct small_wish *wish)
{
    file->fd_folder = place_reach_folder(wish->place, wish->path, O_PATH);
    return SMALL_LATE;
}

/* It is new, and ours. */
static int fill(struct small_file *file, const struct small_wish *wish, const struct facts *facts,
                struct error *err)
{
    evidence_settle_target(wish->source, facts);
    return write_new(file, wish, err);
}

int small_put(struct small_file *file, const struct small_wish *wish, struct error *err)
{
    struct facts facts;
    if (!begin(file, wish))
        return -EAGAIN;
    int fd = place_create(wish->place, wish->path, O_RDWR | SMALL_FLAGS,
                          0600 | (wish->create_mode & 0777));
    if (fd < 0)
        return fd == -EEXIST ? -EEXIST : -EAGAIN;
    file->fd = fd;
    int result = claim(file, wish, &facts);
    if (result == 0 && facts.size_bytes > 0)
        result = -EAGAIN;
    bool ours = result != -EAGAIN;
    if (result == 0)
        result = is_late(wish) ? wait_late(file, wish) : fill(file, wish, &facts, err);
    if (result < 0 && ours)
        take_away(file, wish);
    if (result < 0)
        small_close(file);
    return result;
}

/* ---- a target that is there ---- */

/* As the ordinary way opens it; -1: it cannot. */
static int open_old(const struct small_wish *wish)
{
    const struct place *place = wish->place;
    struct stat st;
    if (place_restricts(place) && (place_look(place, wish->path, &st) < 0 || !S_ISREG(st.st_mode)))
        return -1;
    int fd = place_reach(place, wish->path, O_RDWR | SMALL_FLAGS | (place ? O_NOFOLLOW : 0));
    return fd >= 0 ? fd : -1;
}

/* Nothing is unusual about it, and nothing of it is anybody's but ours. */
static bool is_plain(const struct small_file *file, const struct facts *facts)
{
    uint64_t cached_bytes;
    return facts->kind == FILE_REGULAR && facts->size_bytes <= SMALL_BYTES_MAX &&
           facts->links == 1 && facts->allocated_bytes >= facts->size_bytes &&
           !(facts->mode & (S_ISUID | S_ISGID)) && file_lock_whole(file->fd) &&
           residency_once(file->fd, facts->size_bytes, &cached_bytes) == 0 && cached_bytes == 0;
}

enum { OLD_BYTES = 32 * 1024, OLD_BLOCK_BYTES = 4096 };

/* So many bytes at `offset`, or as many as there are. -1 with errno. */
static ssize_t read_old(int fd, uint8_t *buffer, uint32_t length, uint32_t offset)
{
    uint32_t done = 0;
    while (done < length) {
        ssize_t got = pread(fd, buffer + done, length - done, (off_t)offset + done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (uint32_t)got;
    }
    return (ssize_t)done;
}

/* One piece of the new file, of which `old` has the first bytes. */
static int write_what_differs(struct small_file *file, const struct small_wish *wish,
                              uint32_t start, const uint8_t *old, uint32_t old_bytes,
                              struct error *err)
{
    const uint8_t *data = wish->data;
    uint32_t end = (uint32_t)min_u64((uint64_t)start + OLD_BYTES, wish->bytes);
    uint32_t from = start; /* the first byte of the run that differs */
    int result = 0;
    for (uint32_t at = start; result == 0 && at < end; at += OLD_BLOCK_BYTES) {
        uint32_t length = (uint32_t)min_u64(OLD_BLOCK_BYTES, end - at);
        bool same =
            at - start + length <= old_bytes && memcmp(old + (at - start), data + at, length) == 0;
        if (!same)
            continue;
        result = write_range(file->fd, wish, from, at, err);
        file->kept_bytes += length;
        from = at + length;
    }
    return result < 0 ? result : write_range(file->fd, wish, from, end, err);
}

/* Through the page cache, as it is written: what is partly new needs no second read. */
static int write_over(struct small_file *file, const struct small_wish *wish, uint64_t old_size,
                      struct error *err)
{
    uint8_t old[OLD_BYTES];
    int result = 0;
    if (old_size > wish->bytes)
        result = ftruncate(file->fd, (off_t)wish->bytes) == 0
                     ? 0
                     : error_set(err, errno, "%s: cannot be given its final size", wish->shown);
    for (uint32_t start = 0; result == 0 && start < wish->bytes; start += OLD_BYTES) {
        ssize_t got = start < old_size ? read_old(file->fd, old, OLD_BYTES, start) : 0;
        result = got < 0 ? error_set(err, errno, "%s: cannot be compared", wish->shown)
                         : write_what_differs(file, wish, start, old, (uint32_t)got, err);
    }
    return result;
}

static int replace(struct small_file *file, const struct small_wish *wish,
                   const struct facts *facts, struct error *err)
{
    file->cached_bytes = (uint32_t)max_u64(wish->bytes, facts->size_bytes);
    /* Who is killed in between leaves that; without it the ordinary way has a journal. */
    if (unfinished_set(file->fd, false) < 0)
        return -EAGAIN;
    evidence_settle_target(wish->source, facts);
    int result = write_over(file, wish, facts->size_bytes, err);
    if (result == 0)
        result = unfinished_clear(file->fd, wish->shown, err);
    write_back(file->fd);
    return result;
}

int small_replace(struct small_file *file, const struct small_wish *wish, struct error *err)
{
    struct facts facts;
    if (!begin(file, wish))
        return -EAGAIN;
    file->replaced = true;
    file->fd = open_old(wish);
    if (file->fd < 0)
        return -EAGAIN;
    int result = claim(file, wish, &facts);
    if (result == 0 && !is_plain(file, &facts))
        result = -EAGAIN;
    if (result == 0)
        result = is_late(wish) ? SMALL_LATE : replace(file, wish, &facts, err);
    if (result < 0)
        small_close(file);
    return result;
}

/* What somebody else has written into a new one is his. */
void small_let_go(struct small_file *file, const struct small_wish *wish)
{
    struct stat st;
    if (!file->replaced && (fstat(file->fd, &st) != 0 || st.st_size == 0))
        take_away(file, wish);
    small_close(file);
}

/* Our lock is for other copies only, and time has gone by. */
int small_go_on(struct small_file *file, const struct small_wish *wish, struct error *err)
{
    struct facts facts;
    int result = claim(file, wish, &facts);
    if (result == 0 && (file->replaced ? !is_plain(file, &facts) : facts.size_bytes > 0))
        result = -EAGAIN;
    if (result < 0) {
        small_let_go(file, wish);
        return result;
    }
    result = file->replaced ? replace(file, wish, &facts, err) : fill(file, wish, &facts, err);
    if (result < 0 && !file->replaced)
        take_away(file, wish);
    if (result < 0)
        small_close(file);
    cleanup_close(&file->fd_folder);
    file->fd_folder = -1;
    return result;
}

static int refuse_gone(const char *shown, struct error *err)
{
    return error_set_class(err, ERROR_FILE, ESTALE,
                           "%s: was removed or replaced while it was written; run it again", shown);
}

int small_settle(const struct small_file *file, const char *shown, struct stat *seen,
                 struct error *err)
{
    if (sync_file_range(file->fd, 0, 0,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) != 0)
        return error_set(err, errno, "%s: sync to the disk failed", shown);
    if (fstat(file->fd, seen) != 0)
        return error_set(err, errno, "%s: cannot be looked at", shown);
    if (seen->st_nlink == 0)
        return refuse_gone(shown, err);
    if ((uint64_t)seen->st_size == file->bytes)
        return 0;
    return error_set_class(err, ERROR_FILE, ESTALE,
                           "%s: its size was changed while it was written, to %llu bytes; run it "
                           "again",
                           shown, (unsigned long long)seen->st_size);
}

void small_remember(struct small_file *file)
{
    struct stat st;
    if (fstat(file->fd, &st) == 0)
        file->changed = st.st_ctim;
}

bool small_is_touched(const struct small_file *file, const struct stat *seen)
{
    return seen->st_ctim.tv_sec != file->changed.tv_sec ||
           seen->st_ctim.tv_nsec != file->changed.tv_nsec;
}

/* As file_check_in_place(). */
int small_find(const struct small_file *file, const struct small_wish *wish, struct error *err)
{
    struct stat named;
    int looked = place_look(wish->place, wish->path, &named);
    bool other = looked == 0 &&
                 (named.st_ino != wish->seen->st_ino || (uint64_t)named.st_dev != file->device);
    return looked == -ENOENT || other ? refuse_gone(wish->shown, err) : 0;
}

void small_drop(struct small_file *file)
{
    bool gone = file->dropped && residency_once(file->fd, file->bytes, &file->left_bytes) == 0 &&
                file->left_bytes == 0;
    if (gone)
        return;
    if (file->cached_bytes > 0)
        residency_drop(file->fd, 0);
    if (residency_once(file->fd, file->bytes, &file->left_bytes) < 0)
        file->left_bytes = NUM_UNKNOWN;
}

int small_sync(const struct small_file *file, const char *shown, struct error *err)
{
    return fsync(file->fd) == 0 ? 0 : error_set(err, errno, "%s: sync to the disk failed", shown);
}

void small_take_back(const struct small_file *file, const char *shown)
{
    if (futimens(file->fd, NULL) != 0)
        log_warning("%s: is not finished, and has the modification time of a finished file: %s",
                    shown, strerror(errno));
    (void)fsync(file->fd);
}

void small_close(struct small_file *file)
{
    cleanup_close(&file->fd);
    cleanup_close(&file->fd_folder);
    file->fd = file->fd_folder = -1;
}
