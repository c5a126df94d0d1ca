/* end_file.h - private to end_file*.c: what a local end keeps of open files and of slots at work.
 */
#ifndef HAUL_COPY_END_FILE_H
#define HAUL_COPY_END_FILE_H

#include "haul/end.h"
#include "haul/engine.h"
#include "haul/ledger.h"
#include "haul/place.h"
#include "haul/policy.h"
#include "haul/residency.h"

/* Who a request belongs to: the first member of every owner. */
enum owner_kind { OWNER_WORK, OWNER_WINDOW, OWNER_SWEEP };

struct owner {
    enum owner_kind kind;
    uint8_t epoch; /* of a write-back that is waited for; see struct open_file */
};

enum medium { MEDIUM_UNKNOWN, MEDIUM_DIRECT, MEDIUM_BUFFERED };

/* Direct I/O of one direction, and what speaks for and against its being direct. */
struct trial {
    bool doubted;
    uint32_t honest, stayed; /* probes that left nothing, and that left their block */
    struct ranges
        suspects; /* of which nothing was cached before our transfer, and something after */
    uint64_t suspected_bytes;
};

/* One job's file at this end. */
struct open_file {
    struct owner window_owners[2]; /* of the policy's requests, by epoch */
    struct owner sweep_owner;      /* of sweep_request */
    bool used;
    bool opening; /* a call has it: nobody else touches it */
    uint32_t job_number;
    struct file file;
    struct policy policy;
    struct residency residency;
    struct residency_view view; /* of residency */
    uint64_t size_bytes;        /* final size of the target; size of the source at open */
    bool reading;               /* never written: a source, or a target that is only compared */
    bool strict;
    uint64_t cache_max_bytes; /* growth allowed under strict */
    uint64_t transfer_bytes;  /* of transfers under way */
    int writeback_result;     /* first failure of a window's write-back */
    /* Linux tells of a lost page once, to whoever waits for it first. So a data sync proves nothing
     * until the write-backs have been heard that were under way beside it: those of the epoch that
     * it ends. */
    uint8_t epoch;
    uint32_t writebacks[2];       /* under way, by epoch */
    bool over_budget;             /* strict, and the cache grew beyond it */
    enum medium medium;           /* how to read what the cache must not answer */
    uint64_t reread_cached_bytes; /* of these: what it may have answered all the same */
    uint64_t begin_bytes;         /* of the file's beginning, cached when it was opened */
    struct trial trials[2];       /* of reading, of writing */
    struct request sweep_request;
    uint32_t swept_count; /* ranges of policy.ours that have been dropped */
    bool sweeping;

    struct ledger ledger;
    struct attributes_outcome attributes; /* of the commit */
};

struct end_file;
struct work;

/* What a call does for a slot, away from the end's own thread: it may touch work->slot, work->open
 * and what belongs to them, as nobody else does so meanwhile, and of the end only its
 * configuration. 0, or -errno with words in work->slot->error. */
typedef int work_step(struct end_file *self, struct work *work);
/* What follows a request, with its result, on the end's thread. */
typedef void work_then(struct end_file *self, struct work *work, int result);

/* What a slot is doing at this end, one for each slot of the lane. */
struct work {
    struct owner owner;
    bool busy;    /* it has an operation */
    bool waiting; /* see work_wait() */
    struct slot *slot;
    struct open_file *open;
    struct request request;
    work_then *then;                      /* what follows request */
    struct end_file *self;                /* of a call: whose slot it is ... */
    work_step *call;                      /* ... and what is done for it */
    struct work *next;                    /* refused by the engine */
    uint64_t cursor;                      /* next byte of the file to store */
    bool windowed;                        /* policy_begin() said true for the slot's range */
    bool counted;                         /* its bytes are in transfer_bytes */
    bool direct;                          /* this transfer is, whatever later ones will be */
    uint32_t block;                       /* of this transfer: alignment of what is direct, or 1 */
    uint64_t before_bytes;                /* of its range in the cache, when it began */
    bool absent;                          /* nothing of others was */
    uint32_t probes_count, probes_stayed; /* of its chunk */
};

struct end_file {
    struct end end;
    struct engine *engine;
    struct end_file_config config;
    struct open_file *opens; /* config.jobs_max */
    struct work *works;      /* config.slots_count */
    struct slot *ready;      /* done, to be handed back; in order */
    struct slot *ready_last;
    struct work *refused; /* whose requests the engine did not take; in order */
    struct slot *held;    /* wait for a window to close */
    uint32_t held_count;
};

/* work.c: the requests of an operation, one after another, and its outcome. What the engine does
 * not take comes back as what it has done does, by the next reap. */

/* Start work->request; `then` follows. */
void work_submit(struct end_file *self, struct work *work, work_then *then);
/* The same of a sync of the whole file. */
void work_whole(struct end_file *self, struct work *work, enum request_kind kind, work_then *then);
/* Run `call` away from this thread. */
void work_call(struct end_file *self, struct work *work, work_step *call, work_then *then);
/* Ask `then` now and after each reap, with the same result, until it goes on: it unsets
 * work->waiting first. */
void work_wait(struct end_file *self, struct work *work, work_then *then);
/* The operation is over; the slot is handed back. It may itself be what follows. */
void work_finish(struct end_file *self, struct work *work, int result);
/* The same of a failure that has no words yet. */
void work_fail(struct end_file *self, struct work *work, int errnum, const char *doing);
/* Its request has come back. */
void work_completed(struct end_file *self, struct work *work);
/* After the completions: whoever was refused, and whoever waits. */
void work_look(struct end_file *self);
/* There is something to hand back or to go on with, whatever the engine does. */
bool work_is_ready(const struct end_file *self);
uint32_t work_take_ready(struct end_file *self, struct slot **out, uint32_t max);

/* end_file_io.c: chunks */
void end_file_transfer(struct end_file *self,
                       struct work *work); /* FETCH, EXAMINE, STORE from their beginning */
void end_file_erase(struct end_file *self, struct work *work);

/* end_file_medium.c: reads that the cache must not answer */

/* EXAMINE where it is asked for, and all that haul verify reads. */
bool end_file_wants_medium(const struct work *work);
/* Can it be read by file.fd_direct, although the file is not copied so? *block: the alignment. */
bool end_file_medium_direct(struct open_file *open, uint32_t *block);
/* Such a read is about to begin, buffered: count what of it is cached. */
void end_file_medium_cached(struct work *work);

/* end_file_cache.c: whose pages */
void end_file_watch_start(struct open_file *open);
void end_file_watch_policy(struct open_file *open); /* it has been chosen */
/* A transfer is about to begin, and is over. */
void end_file_watch_before(const struct end_file *self, struct work *work);
void end_file_watch_after(struct work *work);
/* Somebody is close behind this write, and will have read what it throws out. */
bool end_file_is_followed(const struct work *work);
/* The page of `offset` is about to be brought in: it is ours unless it is there. */
void end_file_watch_page(struct open_file *open, uint64_t offset);
/* The same where the kernel zeroes the part of a page behind or before this edge. */
void end_file_watch_edge(struct open_file *open, uint64_t edge);
/* Try direct I/O where it is in doubt: work->request is the next probe, to be submitted and passed
 * to end_file_tried(). false: there is nothing to try, go on. */
bool end_file_try_direct(struct work *work);
bool end_file_tried(struct end_file *self, struct work *work);
/* No more transfers come: what little is left of suspected ones is swept with the rest. */
void end_file_watch_crumbs(struct open_file *open);
void end_file_watch_end(struct end_file *self, struct open_file *open, struct side_report *report);
void end_file_sweep(struct end_file *self, struct open_file *open);
/* A write-back that is waited for begins, in the present epoch; it is over. */
void end_file_writeback_begun(struct open_file *open, struct owner *owner);
void end_file_writeback_over(struct open_file *open, const struct owner *owner);
/* Start what keeps the windows small. */
void end_file_tend(struct end_file *self, struct open_file *open, enum policy_urgency urgency);
/* A window's request came back, or was not taken. */
void end_file_window_done(struct open_file *open, struct request *request);

/* end_file_life.c: open, commit */
void end_file_open_job(struct end_file *self, struct work *work);
int end_file_describe(struct end_file *self, struct work *work); /* these two are steps */
int end_file_map(struct end_file *self, struct work *work);
void end_file_leave(struct end_file *self, struct work *work); /* COMMIT, ABANDON */

/* end_file_attributes.c: owner, group, mode, times */
int end_file_set_attributes(const struct end_file *self, struct open_file *open,
                            const struct job *job, struct error *err);
int end_file_adjust(struct end_file *self, struct work *work); /* a step */

/* end_file_probe.c: what OPEN asks for of the page cache; and --dry-run, would OPEN succeed? */

struct cache_need {
    const char *path, *why; /* why: of the kind, may be empty */
    enum policy_kind kind;
    uint64_t size_bytes;
    bool reading;
};

/* Windows small and few enough for --cache-max, as far as that goes. */
uint32_t end_file_window_bytes(const struct end_file *self, const struct job *job, bool reading,
                               uint32_t *windows_limit);
/* What is refused before the first byte: windows that do not fit into memory; and with --strict
 * what can only be kept by filling the cache, or by windows that are larger than the budget. */
int end_file_refuse_cache(const struct end_file *self, const struct job *job,
                          const struct cache_need *need, struct error *err);
int end_file_probe(const struct end_file *self, const struct job *job, struct error *err);

/* end_file_sync.c: what was stored becomes durable */
void end_file_sync(struct end_file *self, struct work *work);
void end_file_note(struct work *work);                         /* the slot's chunk was stored */
int end_file_recall(struct end_file *self, struct work *work); /* a step */
/* A step: a listed chunk was read back wrong, so a stamp that holds must not. */
int end_file_disprove(struct end_file *self, struct work *work);

#endif
