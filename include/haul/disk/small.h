/* small.h - small files as a whole: read in one go, and written in one go.
 *
 * What the ordinary way asks of the system for each file (a lock for lanes, a journal, direct I/O,
 * windows, preallocation) a file that fits into one buffer does without: its data are read past the
 * page cache, where that goes, and written through it, written back at once and dropped behind it,
 * and a sync is shared with others. It knows no slots and no engine. All calls block, none keeps
 * anything but the open file.
 *
 * -EAGAIN, without words, is no failure: this file is for the ordinary way, which also says what is
 * wrong with it. */
#ifndef HAUL_SMALL_H
#define HAUL_SMALL_H

#include "haul/disk/file.h"

#include <stdatomic.h>

struct place;
struct stat;

enum {
    SMALL_BYTES_MAX = 256 * 1024,
    SMALL_POCKET_BYTES = 16 * 1024, /* most are no larger: there are small buffers for them */
};

/* Whether the kernel writes back, and drops, what is written by itself (RWF_DONTCACHE): until a
 * file system refuses that. */
enum small_drops { SMALL_DROPS_UNKNOWN, SMALL_DROPS_WRITES, SMALL_DROPS_NOTHING };

/* What the last file system was like, and its device's number with it, in one so that any thread
 * may use it: most files of a run are on the same. And whether the last source was cached, or could
 * not be read past the cache. All zeros in the beginning, and the caller's. */
struct small_known {
    _Atomic uint64_t type, order;
    atomic_bool buffered;
    _Atomic uint32_t drops; /* enum small_drops */
};

/* ---- a source ---- */

struct small_source {
    const struct place *place;
    const char *path;
    void *buffer;
    uint32_t capacity;
    struct small_known *known;
};

struct small_taken {
    struct facts facts; /* the evidence knows no identity: nothing else is open */
    uint32_t bytes;
    uint64_t before_bytes, peak_bytes, after_bytes; /* of it in the page cache */
};

/* The whole file into the buffer, and what it is. It was the same before and behind the read. What
 * of it was not cached before is not cached after. 0 or -EAGAIN: it is no regular file, or larger,
 * or has holes; it changed meanwhile, or nobody would tell; a part of it is cached; it cannot be
 * opened. */
int small_take(struct small_taken *taken, const struct small_source *source);

/* ---- a target ---- */

/* One that was put, until it is closed. */
struct small_file {
    int fd;        /* -1: none */
    int fd_folder; /* of a new one that is SMALL_LATE: that it is in; else -1 */
    uint32_t bytes;
    uint32_t cached_bytes; /* of it, old or new, that may be in the page cache until small_drop() */
    uint32_t kept_bytes;   /* of an older file: they were there already */
    bool replaced;         /* there was an older file */
    bool dropped;          /* written so that the kernel drops it once it is written back */
    uint64_t device;
    bool ordered;        /* see filesystem_orders(); else a sync has to be between data and times */
    uint64_t left_bytes; /* of it in the page cache, after small_drop(); NUM_UNKNOWN: not known */
    struct timespec changed; /* its status, last, when it had been put; zeros: not known */
};

struct small_wish {
    const struct place *place;
    const char *path, *shown; /* shown: in words */
    const void *data;
    uint32_t bytes;
    uint32_t create_mode; /* less the umask; its owner may read and write it anyway */
    const struct facts *source;
    struct small_known *known;
    struct stat *seen; /* out: the new file as it was made, the older one as it was */
    uint64_t until_ns; /* of the clock: not one byte is written later; 0: for ever */
};

/* Make a file that is not there, write all of it, and begin to write it back; not before the clock
 * has left the moment of the source's time. 0: it is open, and locked. -EEXIST, without words:
 * there is one, or something else. -EAGAIN: it cannot be made. -EOPNOTSUPP, without words: not on
 * this file system, since a sync of all of it does not tell what was lost. Else -errno with words,
 * and nothing is left. */
int small_put(struct small_file *file, const struct small_wish *wish, struct error *err);

/* The same into the file that is there, in place: of its blocks only those that differ are written.
 * Owner and mode are as before. -EAGAIN: it is not just a small file, or is locked, or cached:
 * nothing was changed. Else -errno with words: parts of it may be new, and its time is that of the
 * write. */
int small_replace(struct small_file *file, const struct small_wish *wish, struct error *err);

/* Either of them has said SMALL_LATE: it is made, or is the older one, locked, and not changed yet.
 * Write it now, whatever the time is, or let go of it, so that nothing is left of a new one but
 * what somebody else has put there. Both know it by `wish`. */
enum { SMALL_LATE = 1 };
int small_go_on(struct small_file *file, const struct small_wish *wish, struct error *err);
void small_let_go(struct small_file *file, const struct small_wish *wish);

/* Wait until its data have left the page cache, so that a sync of the file system puts them on the
 * medium before what is changed of the file from now on: its times. *seen: as it was then. -errno
 * with words: they are lost, or the file is not what was put. */
int small_settle(const struct small_file *file, const char *shown, struct stat *seen,
                 struct error *err);

/* It has been put, and nobody is to change it any more but by what follows. */
void small_remember(struct small_file *file);

/* The same, as it is `seen` now: somebody has changed it, its bytes, mode or name. */
bool small_is_touched(const struct small_file *file, const struct stat *seen);

/* Does it have its name still? 0 or -ESTALE with words. */
int small_find(const struct small_file *file, const struct small_wish *wish, struct error *err);

/* Its pages go, and are counted. */
void small_drop(struct small_file *file);

/* A sync of many has failed: of this one alone, which on these file systems puts a new name on the
 * medium, too. -errno with words. */
int small_sync(const struct small_file *file, const char *shown, struct error *err);

/* What says that it is finished is taken back, as far as that goes. */
void small_take_back(const struct small_file *file, const char *shown);

/* NULL-safe for one that was not put. Releases the lock. */
void small_close(struct small_file *file);

#endif
