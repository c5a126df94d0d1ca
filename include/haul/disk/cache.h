/* cache.h - keeps one file's data out of the page cache, and is the only one at a side that does.
 *
 * It chooses how, per file and by evidence (policy.h), and may think better of it in mid-copy. Each
 * transfer asks it which way to go, and tells it when it is over. It measures what was moved, just
 * before and just behind, and nothing else: what others had cached, or bring in meanwhile, is
 * neither dropped nor taken for ours. It makes every write-back and every drop, and knows when one
 * has failed. And it has the receipt's figures.
 *
 * direct: O_DIRECT in whole blocks, the tail buffered; where statx does not vouch for it, it is
 * tried: see cache_direct.c. window: buffered, in windows that are written back, waited for and
 * dropped while the copy goes on: cache_window.c. The windows are a pool of the side, so that the
 * number of files open does not change what is cached at a time. plain: buffered, nothing is done
 * (tmpfs *is* page cache, or the user asked for it).
 *
 * Nothing is executed here: requests are handed out, to be submitted by whoever moves the data, and
 * come back. All files of a pool have one thread; only open may block, and may
 * run in another. */
#ifndef HAUL_CACHE_H
#define HAUL_CACHE_H

#include "haul/base/queue.h"
#include "haul/base/ranges.h"
#include "haul/disk/job.h"
#include "haul/disk/residency.h"

enum {
    CACHE_WINDOWS_MAX = 6,   /* of one file, open at the same time: two streams of three */
    CACHE_POOL_WINDOWS = 24, /* of all files */
    CACHE_EMPTIED_MAX = 8,   /* remembered: more than a file has open */
    CACHE_LINGERING_MAX = 2, /* of a file, beyond these, with pages that a drop has missed */
    CACHE_WINDOW_BYTES_MIN = 2 * 1024 * 1024,  /* of a large folio: dropping half does nothing */
    CACHE_WINDOW_BYTES_MAX = 16 * 1024 * 1024, /* a chunk lies in one window */
    CACHE_WINDOW_PAGES_MAX = CACHE_WINDOW_BYTES_MAX / 4096,
    CACHE_HORIZON_BYTES = 16 * 1024 * 1024, /* further ahead than read-ahead reaches */
    CACHE_COMPANY_BYTES = 8 * 1024 * 1024,  /* so far ahead of us a reader is followed */
    CACHE_HORIZON_MAX = 8,                  /* the same in windows, at most */
    CACHE_AHEAD_MAX = 4 * (CACHE_HORIZON_MAX + 1),
};

struct cache;

/* What the cache held of the ranges that one side moved, in whole pages. Another's are the pages
 * that were there before we came to their range, and those that came in beside us: they are never
 * dropped, nor taken for ours. Ranges are looked at when they are moved, and nothing else is: the
 * looks are linear in what is moved. */
struct cache_account {
    struct ranges counted; /* whose pages of others are in the sum */
    uint64_t others_bytes;
    uint64_t others_lost_bytes; /* of these; the kernel took them, or a direct write did */
    uint64_t ours_bytes;        /* now, at most */
    uint64_t ours_peak_bytes;
    uint64_t left_bytes; /* ours, and they could not be dropped */
};

/* [start, end) is about to be moved, and so many bytes of it were there before. */
void cache_account_others(struct cache_account *account, uint64_t start, uint64_t end,
                          uint64_t bytes);

/* So many bytes in the cache are ours now, in place of so many. */
void cache_account_ours(struct cache_account *account, uint64_t bytes, uint64_t instead_of_bytes);

/* Which pages of one window are cached. */
struct cache_pages {
    bool known;
    uint64_t number; /* the window's */
    uint32_t pages_count;
    uint8_t pages[CACHE_WINDOW_PAGES_MAX / 8];
};

/* One window: an aligned range of a file with data of ours in the cache. */
struct cache_window {
    struct cache *cache; /* whose file's; NULL: free */
    bool shared;         /* somebody has read through it since: nothing in it is dropped */
    bool lingering;      /* closed but for pages that a drop has missed; beyond the limit */
    uint8_t epoch;       /* of a write-back that is waited for */
    uint64_t number;     /* offset / window_bytes */
    uint64_t used;       /* clock of the last begin, to find the oldest */
    uint32_t span_bytes; /* of it, what the file has */
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
    uint32_t drops_count;      /* how often it was dropped */
    uint64_t again_after;      /* lingering: once so many windows have been closed */
    struct request request;    /* the one request of this window */
    uint64_t drop_offset;      /* how far dropping got, around pages that are not ours */
    struct cache_pages before; /* pages of others; not known: all is dropped */
    uint8_t touched[CACHE_WINDOW_PAGES_MAX / 8]; /* brought in by us */
};

/* The windows of a side, and how large they may be. All files of the side that are open share it,
 * and it outlives them. */
struct cache_pool {
    /* Hardly touched, and first, so that what is touched of a side is near each other. */
    struct cache_window windows[CACHE_POOL_WINDOWS];
    struct cache_ahead {
        const struct cache *cache; /* NULL: free */
        struct cache_pages pages;
    } ahead[CACHE_AHEAD_MAX]; /* of windows not opened yet */
    uint32_t ahead_next;      /* the place that is filled next */

    uint32_t window_bytes;
    uint32_t windows_count;   /* of one file, open at a time; 0: 3 */
    bool windows_do_not_fit;  /* into the memory there is: a file that needs them is refused */
    uint64_t in_flight_bytes; /* what the slots can hold */

    uint64_t most_bytes; /* in windows at a time: what the largest file so far may have */
    uint64_t open_bytes; /* in windows now, lingering ones apart */
    uint32_t windows_open;
};

/* Direct I/O of one direction, and what speaks for and against its being direct. */
struct cache_trial {
    bool doubted;
    uint32_t honest, stayed; /* probes that left nothing, and that left their block */
    struct ranges
        suspects; /* of which nothing was cached before our transfer, and something after */
    uint64_t suspected_bytes;
};

/* One chunk on its way to or from the file. */
struct cache_transfer {
    struct queue_link link; /* the cache's own, while it is under way */
    uint64_t offset;
    uint32_t length;
    bool writes;
    bool from_medium; /* a read that the cache must not answer */
    bool gaps;        /* a part of it may have to be left out: zeros, what could not be read */
    uint8_t *buffer;

    /* Set by cache_begin(), and good for this transfer whatever later ones do. */
    bool direct;    /* through file->fd_direct */
    uint32_t block; /* alignment of what is direct, or 1 */

    /* The cache's own. */
    bool begun, windowed;
    bool around; /* what others have cached is read around them */
    uint8_t epoch;
    uint64_t before_bytes; /* of its range in the cache, when it began */
    bool absent;           /* nothing of others was */
    bool alone;            /* a write: nothing at all is cached there, nor close behind */
    uint32_t probes_count, probes_stayed; /* of its chunk */
};

struct cache {
    struct file *file;
    struct cache_pool *pool;
    enum policy_kind kind;
    char why[POLICY_WHY_BYTES]; /* the reason, for the receipt */
    uint32_t block;             /* under direct, of every transfer; 1 otherwise */
    uint32_t around_block;      /* window: what others have cached is read around the cache, by
                                   direct I/O with this alignment; 0: that is not possible here */
    uint32_t window_bytes;
    uint32_t windows_limit; /* at most this many open, lingering ones apart */
    uint64_t size_bytes;    /* of the file, when it is finished */
    bool reading;           /* never written: a source, or a target that is only compared */
    bool strict;
    uint64_t cache_max_bytes; /* growth allowed under strict */
    bool over_budget;         /* strict, and the cache grew beyond it */
    bool range_writeback;     /* sync_file_range works; else fdatasync (overlayfs, FUSE, unknown) */
    enum { CACHE_MEDIUM_UNKNOWN, CACHE_MEDIUM_DIRECT, CACHE_MEDIUM_BUFFERED } medium;
    uint64_t reread_cached_bytes; /* read from the medium: what the cache may have answered */

    struct residency residency;
    struct residency_view view;
    struct cache_account account;
    struct ranges ours; /* in the cache by us without a window: a tail, what direct I/O has left,
                           what drops of a window have missed */
    struct ranges met;  /* moved directly, and others had pages there; some more where there is no
                           room for each */
    struct queue transfers; /* under way */
    /* Linux tells of a lost page once, to whoever waits for it first. So a data sync proves nothing
     * until the write-backs have been heard that were under way beside it: those of the epoch that
     * it ends. */
    uint8_t epoch;
    uint32_t writebacks[2]; /* under way, by epoch */

    uint64_t begin_bytes;         /* of the file's beginning, cached when it was opened */
    struct cache_trial trials[2]; /* of reading, of writing */
    struct request sweep;
    bool sweeping;       /* it is under way */
    uint32_t sweep_next; /* of ours */
    uint32_t sweep_end;  /* so many of them are to be dropped now */

    uint32_t windows_open; /* lingering ones, too */
    uint64_t clock;
    uint64_t closed_count;
    uint64_t chain_number; /* our read-ahead may have filled the window behind this one */
    uint64_t company_start, company_end; /* windows that somebody reads beside us; numbers */
    uint64_t emptied[CACHE_EMPTIED_MAX]; /* windows in which nothing was left; number + 1 */
    uint32_t emptied_next;               /* the place that is filled next */
};

/* ---- open ---- */

/* What a file asks of the page cache, as far as it is known before the first byte. */
struct cache_need {
    const char *path, *why; /* why: of the kind, may be empty */
    enum policy_kind kind;
    uint64_t size_bytes;
    bool reading;
};

/* Refused before the first byte: windows that do not fit into memory (ERROR_MEMORY); and with
 * --strict what can only be kept by filling the cache, or by windows that are larger than the
 * budget (ERROR_CACHE). */
int cache_refuse(const struct cache_pool *pool, const struct job *job,
                 const struct cache_need *need, struct error *err);

/* Choose for an open file, which stays where it is, and open its fd_direct when the outcome is
 * direct. A wish of the job's is obeyed where possible; where it is not, the outcome and `why` say
 * so, and a line of the log. One real aligned read where statx does not tell. What the choice comes
 * to may be refused: as above. The last resort is window. Blocks. */
int cache_open(struct cache *cache, struct cache_pool *pool, struct file *file,
               const struct job *job, const struct cache_need *need, struct error *err);

/* Nothing of it may be in flight. NULL-safe for all zeros. */
void cache_close(struct cache *cache);

/* ---- transfers ---- */

/* A transfer wants to begin; it lies in one window. false: hold it, and ask again when a request
 * has come back. Else cache_end() follows. */
bool cache_begin(struct cache *cache, struct cache_transfer *transfer);

/* Direct I/O that is in doubt is tried, where nothing is cached, by a block out of the chunk: true:
 * *request is to be executed first, then cache_direct_tried(). false: go on. */
bool cache_direct_try(struct cache *cache, struct cache_transfer *transfer,
                      struct request *request);
/* It went well. true: one more, as above. */
bool cache_direct_tried(struct cache *cache, struct cache_transfer *transfer,
                        struct request *request);

/* Where to read it: the descriptor, and in *block what offset and length must be multiples of. */
int cache_read_fd(struct cache *cache, const struct cache_transfer *transfer, uint32_t *block);
/* The same, of any offset and length, where pieces of what is read directly cannot be: what comes
 * into the page cache is ours. */
int cache_read_beside(struct cache *cache, const struct cache_transfer *transfer);

/* Before a buffered read that the cache must not answer: true: *request, the write-back of what is
 * dirty there, comes first, and cache_settled() hears of it. Then everything that cache_evict()
 * gives, from *cursor on, until it is false. */
bool cache_settle(struct cache *cache, struct cache_transfer *transfer, struct request *request);
void cache_settled(struct cache *cache, const struct cache_transfer *transfer);
bool cache_evict(const struct cache *cache, const struct cache_transfer *transfer, uint64_t *cursor,
                 struct request *request);

/* A direct request was refused at work (EINVAL): from now on buffered. The transfer is over, and
 * may begin anew. */
void cache_refused(struct cache *cache, struct cache_transfer *transfer);

/* It is over. `moved`: it went well. */
void cache_end(struct cache *cache, struct cache_transfer *transfer, bool moved);

/* The page of `offset` is about to be brought in: it is ours unless it is there. */
void cache_touch(struct cache *cache, uint64_t offset);
/* The same where the kernel zeroes the part of a page behind or before this edge. */
void cache_touch_edge(struct cache *cache, uint64_t edge);

/* ---- write-backs and drops ---- */

/* The next request that keeps the cache small, or NULL when there is none to start now. PRESSED: a
 * transfer is held, here or in another file, so the oldest idle window must go; FINISH: the file's
 * transfers are over, close every window. It comes back to cache_reaped(). */
enum cache_urgency { CACHE_RELAXED, CACHE_PRESSED, CACHE_FINISH };
struct request *cache_next(struct cache *cache, enum cache_urgency urgency);

/* It has come back, or was not taken. Returns 0 or -errno: a write-back that failed lost data; a
 * drop that failed is no failure. */
int cache_reaped(struct cache *cache, struct request *request);

/* No more transfers come: what of ours is outside of windows is to be dropped, too. */
void cache_finish(struct cache *cache);

/* Nothing of ours in windows, nothing to be dropped, nothing in flight. */
bool cache_idle(const struct cache *cache);

/* A data sync of the whole file has come back: once cache_heard() is true, every write-back that
 * was under way beside it has told how it went. */
void cache_synced(struct cache *cache);
bool cache_heard(const struct cache *cache);

/* The figures of what was moved, how, and why so. */
void cache_report(struct cache *cache, struct side_report *report);

#endif
