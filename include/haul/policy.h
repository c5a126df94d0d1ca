/* policy.h - keeps one file's data out of the page cache.
 *
 * direct: O_DIRECT in whole blocks, the tail buffered. window: buffered, in windows that are
 * written back, waited for and dropped while the copy goes on. plain: buffered, nothing done (tmpfs
 * *is* page cache, or the user asked for it). The choice is made per side and per file, by
 * evidence, and may change in mid-copy when the measurement says that O_DIRECT lies.
 */
#ifndef HAUL_POLICY_H
#define HAUL_POLICY_H

#include "haul/engine.h"
#include "haul/error.h"
#include "haul/file.h"
#include "haul/residency.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_kind { POLICY_AUTO, POLICY_DIRECT, POLICY_WINDOW, POLICY_PLAIN };

enum {
    POLICY_WHY_BYTES = 160,
    POLICY_WINDOWS_MAX =
        6, /* windows of one file that are open at the same time: two streams of three */
    POLICY_WINDOW_BYTES_MAX = 16 * 1024 * 1024, /* a chunk lies in one window */
    POLICY_WINDOW_PAGES_MAX = POLICY_WINDOW_BYTES_MAX / 4096,
};

/* Which pages of one window were cached before we touched it. */
struct policy_cached {
    bool known;
    bool any;
    uint64_t number; /* the window's */
    uint8_t pages[POLICY_WINDOW_PAGES_MAX / 8];
};

/* One window: a 2-MiB-aligned range with data of ours in the cache. */
struct policy_window {
    bool open;
    uint64_t number;   /* offset / window_bytes */
    uint64_t used;     /* clock of the last begin, to find the oldest */
    uint32_t inflight; /* reads and writes of slots under way in it */
    bool dirty;        /* written since the last write-back was waited for */
    enum { WINDOW_IDLE, WINDOW_STARTING, WINDOW_STARTED, WINDOW_WAITING, WINDOW_DROPPING } step;
    struct request request; /* the one request of this window; owner is the file's */
    uint64_t drop_offset;   /* how far dropping got, around pages that were there before us */
    struct policy_cached before;
};

struct policy {
    enum policy_kind kind;
    char why[POLICY_WHY_BYTES]; /* the reason, for the receipt */
    uint32_t block; /* alignment of memory, offset and length under direct; 1 otherwise */
    uint32_t window_bytes;
    bool
        range_writeback; /* sync_file_range works here; else fdatasync (overlayfs, FUSE, unknown) */
    bool spare; /* never evict what was cached before we came: set where something was, or may have
                   been */
    struct policy_cached ahead[2]; /* of the windows behind those opened last, one a stream */
    uint32_t ahead_last;
    uint64_t clock;
    struct policy_window windows[POLICY_WINDOWS_MAX];
    uint32_t windows_limit; /* at most this many open */
};

/* Choose for an open file, by the evidence above, and open file->fd_direct when the outcome is
 * direct. `wish` other than AUTO is obeyed where possible; where it is not, the outcome and
 * policy->why say so. Makes one real aligned read where statx does not tell and the file may be
 * read. Never fails: the last resort is window. May block for that one read. */
void policy_choose(struct policy *policy, struct file *file, enum policy_kind wish,
                   uint32_t window_bytes);

/* From direct to window in mid-copy (O_DIRECT refused, or it lies). Requests in flight stay as they
 * are. */
void policy_switch(struct policy *policy, struct file *file, const char *why);

/* The descriptor for reads and for writes of whole blocks; a tail is written through file->fd. */
int policy_fd(const struct policy *policy, const struct file *file);

/* A slot wants to read or write [offset, offset + length), which lies in one window. Only under
 * `window`. false: too many windows are open, or this one is just being closed; hold the slot and
 * ask again after the next policy_reaped(). */
bool policy_begin(struct policy *policy, const struct file *file, const struct residency *residency,
                  uint64_t offset, uint32_t length);

/* A transfer for which policy_begin() said true is over (also when it failed). */
void policy_end(struct policy *policy, uint64_t offset, uint32_t length, bool wrote);

/* The next request that keeps the cache small, or NULL when there is none to start now. PRESSED: a
 * slot is held, so the oldest idle window must go; FINISH: the file's transfers are over, close
 * every window. The caller submits it and gives it back to policy_reaped(). */
enum policy_urgency { POLICY_RELAXED, POLICY_PRESSED, POLICY_FINISH };
struct request *policy_next(struct policy *policy, const struct file *file,
                            enum policy_urgency urgency);

/* A request of policy_next() has come back. Returns 0 or -errno: a write-back that failed lost
 * data; a drop that failed is no failure. */
int policy_reaped(struct policy *policy, struct request *request);

/* No window open, nothing in flight. */
bool policy_idle(const struct policy *policy);

/* "direct", "window", "plain", "auto". */
const char *policy_name(enum policy_kind kind);

/* The end of the whole blocks of a file of that size: what lies beyond is the tail. `size` itself
 * when buffered. */
uint64_t policy_tail_offset(const struct policy *policy, uint64_t size_bytes);

#endif
