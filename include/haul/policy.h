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
#include "haul/ranges.h"
#include "haul/residency.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_kind { POLICY_AUTO, POLICY_DIRECT, POLICY_WINDOW, POLICY_PLAIN };

enum {
    POLICY_WHY_BYTES = 160,
    POLICY_WINDOWS_MAX =
        6, /* windows of one file that are open at the same time: two streams of three */
    POLICY_EMPTIED_MAX = 8,   /* remembered: more than are open */
    POLICY_LINGERING_MAX = 2, /* windows beyond these with pages that a drop has missed */
    POLICY_WINDOW_BYTES_MAX = 16 * 1024 * 1024, /* a chunk lies in one window */
    POLICY_WINDOW_PAGES_MAX = POLICY_WINDOW_BYTES_MAX / 4096,
    POLICY_HORIZON_BYTES = 16 * 1024 * 1024, /* further ahead than read-ahead reaches */
    POLICY_COMPANY_BYTES = 8 * 1024 * 1024,  /* so far ahead of us a reader is followed */
    POLICY_HORIZON_MAX = 8,                  /* the same in windows, at most */
};

/* What the cache held of the ranges that one side moved, in whole pages. Another's are the pages
 * that were there before we came to their range, and those that came in beside us: they are never
 * dropped, nor taken for ours. Ranges are looked at when they are moved, and nothing else is: the
 * looks are linear in what is moved. */
struct policy_account {
    struct ranges counted; /* whose pages of others are in the sum */
    uint64_t others_bytes;
    uint64_t others_lost_bytes; /* of these; the kernel took them, or a direct write did */
    uint64_t ours_bytes;        /* now, at most */
    uint64_t ours_peak_bytes;
    uint64_t left_bytes; /* ours, and they could not be dropped */
};

/* [start, end) is about to be moved, and so many bytes of it were there before. */
void policy_account_others(struct policy_account *account, uint64_t start, uint64_t end,
                           uint64_t bytes);

/* So many bytes in the cache are ours now, in place of so many. */
void policy_account_ours(struct policy_account *account, uint64_t bytes, uint64_t instead_of_bytes);

/* Which pages of one window are cached. */
struct policy_cached {
    bool known;
    uint64_t number; /* the window's */
    uint32_t pages_count;
    uint8_t pages[POLICY_WINDOW_PAGES_MAX / 8];
};

/* One window: an aligned range with data of ours in the cache. */
struct policy_window {
    bool open;
    bool shared;         /* somebody has read through it since: nothing in it is dropped */
    bool lingering;      /* closed but for pages that a drop has missed; beyond the limit */
    uint64_t number;     /* offset / window_bytes */
    uint64_t used;       /* clock of the last begin, to find the oldest */
    uint32_t inflight;   /* reads and writes of slots under way in it */
    uint32_t ours_bytes; /* as in the account */
    bool dirty;          /* written since the last write-back was waited for */
    enum {
        WINDOW_IDLE,
        WINDOW_STARTING,
        WINDOW_STARTED,
        WINDOW_WAITING,
        WINDOW_DROPPING,
        WINDOW_DROPPED, /* to be looked at */
    } step;
    uint32_t drops_count;        /* how often it was dropped */
    uint64_t again_after;        /* lingering: once so many windows have been closed */
    struct request request;      /* the one request of this window; owner is the file's */
    uint64_t drop_offset;        /* how far dropping got, around pages that are not ours */
    struct policy_cached before; /* pages of others; not known: all is dropped */
    uint8_t touched[POLICY_WINDOW_PAGES_MAX / 8]; /* brought in by us */
};

struct policy {
    enum policy_kind kind;
    char why[POLICY_WHY_BYTES]; /* the reason, for the receipt */
    uint32_t block; /* alignment of memory, offset and length under direct; 1 otherwise */
    uint32_t window_bytes;
    uint64_t size_bytes;   /* of the file, when it is finished */
    uint32_t around_block; /* window: what others have cached is read around the cache, by direct
                              I/O with this alignment; 0: that is not possible here */
    bool
        range_writeback; /* sync_file_range works here; else fdatasync (overlayfs, FUSE, unknown) */
    struct residency residency;
    struct policy_account account;
    struct ranges ours; /* in the cache by us without a window: a tail, what direct I/O has left */
    struct policy_cached ahead[2 * (POLICY_HORIZON_MAX + 1)]; /* of windows not opened yet */
    uint32_t ahead_next;                                      /* the place that is filled next */
    uint64_t chain_number; /* our read-ahead may have filled the window behind this one */
    uint64_t company_start, company_end; /* windows that somebody reads beside us; numbers */
    uint64_t clock;
    uint64_t closed_count;
    uint64_t emptied[POLICY_EMPTIED_MAX]; /* windows in which nothing was left; number + 1 */
    uint32_t emptied_next;                /* the place that is filled next */
    struct policy_window windows[POLICY_WINDOWS_MAX + POLICY_LINGERING_MAX];
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

/* A slot wants to read or write [offset, offset + length), which lies in one window. false: too
 * many windows are open, or this one is just being closed; hold the slot and ask again after the
 * next policy_reaped(). */
struct policy_transfer {
    uint64_t offset;
    uint32_t length;
    bool writes;
    bool from_medium; /* a read that the cache must not answer */
    bool around;      /* set by policy_begin(): read it from fd_direct */
    bool others;      /* set by policy_begin(): pages of others are there */
};
bool policy_begin(struct policy *policy, const struct file *file, const struct residency *residency,
                  struct policy_transfer *transfer);

/* The next run of pages that are not others', from *offset on and before `end`, in an open window:
 * *offset and *length are set to it. false: there is none. */
bool policy_run_of_ours(const struct policy *policy, uint64_t *offset, uint64_t end,
                        uint64_t *length);

/* Is the window of this offset open? */
bool policy_is_open(const struct policy *policy, uint64_t offset);

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
