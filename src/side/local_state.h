/* local_state.h - private to local*.c: what a local side keeps of open files and of slots at work.
 */
#ifndef HAUL_SIDE_LOCAL_STATE_H
#define HAUL_SIDE_LOCAL_STATE_H

#include "haul/disk/cache.h"
#include "haul/disk/engine.h"
#include "haul/disk/kernel_memory.h"
#include "haul/disk/ledger.h"
#include "haul/disk/place.h"
#include "haul/disk/roots.h"
#include "haul/disk/small.h"
#include "haul/side/side.h"

#include <stdatomic.h>

/* Who a request belongs to: the first member of every owner. */
enum owner { OWNER_WORK = 0, OWNER_CACHE, OWNER_GROUP, OWNER_BATCH };

/* What has its turn in a pipe. */
struct local_stream {
    bool used;  /* this file is a pipe */
    bool busy;  /* a slot is at it */
    bool ended; /* a source: its end was read */
    bool cancelled;
    bool endless;         /* a source: what was asked for is all */
    uint64_t position;    /* bytes that have gone through */
    struct queue waiting; /* slots: their bytes come later */
};

/* One job's file at this side. */
struct open_file {
    enum owner owner; /* of the cache's requests */
    bool used;
    bool opening; /* a call has it: nobody else touches it */
    uint32_t job_number;
    struct file file;
    struct cache cache;
    uint64_t size_bytes; /* final size of the target; size of the source at open */
    bool grows;          /* a target whose source is a pipe: size_bytes is what it has so far ... */
    bool growing;        /* ... or is just being given */
    uint64_t stored_bytes; /* the end of the last chunk of it */
    struct local_stream stream;
    bool reading;          /* never written: a source, or a target that is only compared */
    bool inherited;        /* it has what an older one gives, see file_inherit() */
    bool syncs_alone;      /* a sync with others has told of a loss that may be its own */
    uint64_t opened;       /* this one was opened after those with a lower number */
    uint32_t barren_count; /* chunks, the last ones in a row, of which nothing could be read */
    int lost_result; /* below 0: something that was stored is lost, and no sync may claim it */
    struct attributes_outcome attributes; /* of DRESS and of the commit */
    struct ledger ledger;
};

/* A small file at a target, from its PUT to its COMMIT or ABANDON. */
struct batch_file {
    struct small_file file;
    uint32_t number, next; /* of its job; the one behind it in its row, or among those left */
    char *shown;           /* owned: its path, in words */
    uint64_t opened;       /* as of an open_file */
    /* small_settle() was tried, and its time set; a sync came before that; its pages are gone; one
     * sync at the end. */
    bool settled, flushed, dropped, synced;
    int result; /* below 0: it has failed, and its slot has the words */
    struct attributes_outcome attributes;
};

struct local;
struct work;

/* What a call does for a slot, away from the side's own thread: it may touch work->slot, work->open
 * and what belongs to them, as nobody else does so meanwhile, and of the side only its
 * configuration and its roots. 0, or -errno with words in work->slot->error-> */
typedef int work_step(struct local *self, struct work *work);
/* What follows a request, with its result, on the side's thread. */
typedef void work_then(struct local *self, struct work *work, int result);

/* What a slot is doing at this side, one for each slot of the lane. */
struct work {
    enum owner owner;
    bool busy;    /* it has an operation */
    bool waiting; /* see work_wait() */
    struct slot *slot;
    struct open_file *open;
    struct batch_file *small; /* instead of open */
    struct request request;
    work_then *then;    /* what follows request */
    struct local *self; /* of a call: whose slot it is ... */
    work_step *call;    /* ... and what is done for it */
    bool placed;        /* the call has a place: where the job's path is resolved; NULL: on the
                           whole machine */
    const struct place *place;
    uint64_t asked_ns;    /* it counts from then, see work_is_late() */
    uint32_t doubt;       /* its number, see local_doubts() */
    work_step *goes_on;   /* a late call: what follows a sign; NULL: the same call again */
    work_then *late_then; /* and what follows that */
    uint64_t cursor;      /* next byte of the file to store, or to salvage ... */
    uint32_t piece;       /* ... of which so much is asked for at once */
    work_then *salvaged;
    struct cache_transfer transfer;
};

static inline struct work *work_of_owner(enum owner *owner)
{
    return (struct work *)((char *)owner - offsetof(struct work, owner));
}

/* Syncs of several files at once. */
struct sync_group {
    enum owner owner;
    bool useless;                 /* here it does not tell, or takes longer than each by itself */
    bool refused;                 /* by the engine */
    uint32_t slow_rounds;         /* in a row */
    struct queue waiting, riding; /* requests of works */
    uint32_t waiting_count, round_count;
    uint64_t waiting_bytes, round_bytes;
    uint64_t since_ns; /* the first waits, or the round has begun */
    int fd;
    struct request request;
};

/* Walks that are under way. */
enum { TOURS_MAX = 16 };
struct tours {
    pthread_mutex_t lock;
    struct tour *all[TOURS_MAX]; /* local_tree.c's */
};

/* File systems in which something was changed that no file's own sync covers: a descriptor from
 * before is told of what is lost later. */
enum { SYSTEMS_MAX = 8 };
struct systems {
    pthread_mutex_t lock;
    uint32_t count;
    bool others; /* some that have no descriptor here */
    struct {
        uint64_t device;
        int fd;
    } all[SYSTEMS_MAX];
};

/* What CARRY reads into where its slot has no buffer: one for each call that may run at once. */
struct carries {
    uint8_t *memory;        /* NULL: none */
    _Atomic uint32_t taken; /* bits */
};

/* Small files: see local_small.c. */
struct batch {
    enum owner owner;
    struct batch_file *files; /* files_max, of which so many were ever used */
    uint32_t files_max, used_most;
    uint32_t *rows; /* files_max: the first of those whose number leaves that; an index + 1 */
    uint32_t left;  /* the first that is used no more; the same */
    struct queue waiting, riding; /* requests of works: of the next round, of this one */
    uint32_t waiting_count;
    uint64_t unsettled_bytes;          /* of the waiting ... */
    uint32_t unsettled_count;          /* ... and of those that need no sync before their times */
    uint64_t cached_bytes, peak_bytes; /* of all, in the page cache: now, and lately */
    uint64_t since_ns, began_ns;       /* the first waits; the round began */
    bool pressed;                      /* nothing else comes */
    bool syncing;                      /* this round ends with a sync: else it makes room */
    bool refused;                      /* by the engine */
    struct request request;
};

/* The large parts are first and last, since few of their pages are touched. */
struct local {
    struct side side;
    struct cache_pool pool;
    struct engine *engine;
    struct owners *owners; /* names of this machine */
    struct local_config config;
    struct sync_group group;
    atomic_bool deserted;     /* see local_desert(); calls ask it */
    uint32_t doubts, assured; /* see local_doubts() ... */
    uint64_t alive_ns;        /* ... and local_assure() */
    struct tours tours;
    struct systems systems;
    struct batch batch;
    struct carries carries;                 /* calls take from it */
    struct small_known known;               /* calls ask it */
    struct attributes_told *told, own_told; /* the run's, or our own */
    uint64_t opened;                        /* files, so far */
    struct open_file *opens;                /* config.jobs_max, a page each ... */
    uint32_t opens_end;                     /* ... of which those behind this were never used */
    uint32_t opens_count;                   /* in use */
    struct work *works;                     /* config.slots_count */
    struct queue ready;                     /* slots that are done, to be handed back */
    bool waits;                             /* some work may: see work_wait() */
    struct queue refused;                   /* requests of works that the engine did not take */
    struct queue held; /* slots that wait for a window to close, or for a file to grow */
    struct roots roots;
};

/* work.c: the requests of an operation, one after another, and its outcome. What the engine does
 * not take comes back as what it has done does, by the next reap. */

/* Start work->request; `then` follows. */
void work_submit(struct local *self, struct work *work, work_then *then);
/* The same of a sync of the whole file. */
void work_whole(struct local *self, struct work *work, enum request_kind kind, work_then *then);
/* Run `call` away from this thread. */
void work_call(struct local *self, struct work *work, work_step *call, work_then *then);
/* The same of a call that resolves the job's path, in work->place: the root of its tree is opened
 * for it. Not once nobody waits for it. */
void work_call_placed(struct local *self, struct work *work, work_step *call, work_then *then);
/* Whatever is changed by a path is so by a call that asks this before it does that: has it come so
 * late that nobody may be there any more? Then it changes nothing and returns WORK_LATE, and what
 * is to be done goes on, by work->goes_on where it holds something, once the client has given a
 * sign; or comes back as deserted. */
bool work_is_late(const struct work *work);
enum { WORK_LATE = 1 };
/* Ask `then` now and after each reap, with the same result, until it goes on: it unsets
 * work->waiting first. */
void work_wait(struct local *self, struct work *work, work_then *then);
/* Nobody waits for this any more: -ECANCELED, with words. Else 0. */
int work_deserted(const struct local *self, const struct work *work);
/* The operation is over; the slot is handed back. It may itself be what follows. */
void work_finish(struct local *self, struct work *work, int result);
/* The same of a failure that has no words yet. */
void work_fail(struct local *self, struct work *work, int errnum, const char *doing);
/* Its request has come back. */
void work_completed(struct local *self, struct work *work);
/* After the completions: whoever was refused, and whoever waits. */
void work_look(struct local *self);
/* There is something to hand back or to go on with, whatever the engine does. */
bool work_is_ready(const struct local *self);
uint32_t work_take_ready(struct local *self, struct slot **out, uint32_t max);

/* local_chunk.c: chunks */
/* FETCH, EXAMINE, STORE from their beginning. */
void local_transfer(struct local *self, struct work *work);
void local_erase(struct local *self, struct work *work);
void local_compare_blocks(struct slot *slot); /* BLOCKS, DIFFER: nothing is read for them */
/* Start what the cache of this file, and of all files, wants to be done. */
void local_tend(struct local *self, struct open_file *open, enum cache_urgency urgency);
void local_tend_all(struct local *self, enum cache_urgency urgency);
/* A request of the cache's came back. */
void local_tended(struct open_file *open, struct request *request);

/* local_salvage.c: work->request has failed to read a chunk of a source; `then` follows when what
 * can be read of it is in the buffer, so many bytes as slot->count says, or with a failure */
void local_salvage(struct local *self, struct work *work, work_then *then);

/* local_file.c: open, commit */
void local_open_job(struct local *self, struct work *work);
int local_describe(struct local *self, struct work *work); /* these two are steps */
/* Something was found at the job's target: its folder calls it so, or its job does not mind.
 * Else as spelling_check(). */
int local_check_spelling(const struct work *work, struct error *err);
/* Of a source's facts, which have just been learnt. */
void local_name_owners(const struct local *self, struct job *job);
int local_map(struct local *self, struct work *work);
void local_leave(struct local *self, struct work *work); /* COMMIT, ABANDON */

/* sync_group.c: one sync for many files */
void sync_group_init(struct sync_group *group);
/* Is there company for this file, and can it be trusted? Else each syncs by itself. */
bool sync_group_may(const struct local *self, const struct open_file *open);
/* Everything of the file becomes durable with the next round, then `then` follows, with 0; or what
 * `alone` comes to, run away from this thread, where a round has failed. */
void sync_group_join(struct local *self, struct work *work, work_step *alone, work_then *then);
/* A round can begin, or has to be looked after. */
bool sync_group_is_due(const struct local *self);
void sync_group_look(struct local *self);
void sync_group_done(struct local *self); /* a round has come back */
/* Can syncs be shared here, and is it worth it? One of so many files and bytes took so long. */
bool sync_group_useful(const struct local *self);
void sync_group_took(struct local *self, uint32_t files, uint64_t bytes, uint64_t duration_ns);

/* local_stream.c: pipes */
/* A step: neither facts nor cache are needed. */
int local_stream_open(struct local *self, struct open_file *open, struct job *job,
                      struct error *err);
void local_stream_start(struct local *self, struct work *work); /* FETCH, STORE */
void local_stream_cancel(struct local *self, struct open_file *open);
int local_stream_check(const struct local *self, struct work *work); /* COMMIT: was that all? */

/* local_grow.c: a target whose size is known only when it is complete */
/* STORE: there is no room for this chunk yet; true: it will be started again. */
bool local_grow(struct local *self, struct work *work);
/* COMMIT, ABANDON: its final size, then `then`. */
void local_cut(struct local *self, struct work *work, work_then *then);

/* local_small.c: small files as a whole */
int batch_init(struct batch *batch, uint32_t files_max);
void batch_close(struct batch *batch); /* nothing is in flight */
/* Where there may be a CARRY. */
int carries_init(struct carries *carries);
void carries_close(struct carries *carries);                                   /* the same */
struct batch_file *batch_find(const struct batch *batch, uint32_t job_number); /* NULL: none */
int local_take(struct local *self, struct work *work);                         /* a step */
void local_put(struct local *self, struct work *work);
void local_commit_small(struct local *self, struct work *work);
void local_abandon_small(struct local *self, struct work *work);
void local_press_batch(struct local *self, struct work *work);
/* As those of the sync group. */
bool batch_is_due(const struct local *self);
void batch_look(struct local *self);
void batch_done(struct local *self);

/* local_attributes.c: owner, group, mode, times */
/* Of a small file that is new: all but the times; and those. Of an older one: all. `seen`: as it is
 * now; NULL: it is looked at. */
int local_put_attributes(const struct local *self, struct work *work, const struct stat *seen,
                         struct error *err);
int local_put_times(const struct local *self, struct work *work, const struct stat *seen,
                    struct error *err);
int local_replace_attributes(const struct local *self, struct work *work, const struct stat *seen,
                             struct error *err);
int local_set_attributes(const struct local *self, struct open_file *open, const struct job *job,
                         struct error *err);
/* ADJUST and DRESS, the latter with details: of an open file what comes before its commit, of
 * anything else everything. */
int local_give(const struct local *self, struct work *work, const struct details *details);
int local_adjust(struct local *self, struct work *work); /* a step */

/* local_tree.c: walks, lists and removals beneath a root. The first of them are steps. */
int local_tour(struct local *self, struct work *work);
int local_walk(struct local *self, struct work *work);
int local_names(struct local *self, struct work *work);
int local_list(struct local *self, struct work *work);
int local_missing(struct local *self, struct work *work);
int local_remove(struct local *self, struct work *work);
int local_sync_root(struct local *self, struct work *work); /* SYNC of no open job */
void local_systems_init(struct systems *systems);
void local_systems_close(struct systems *systems);
/* Something on the file system of this folder is about to be changed, until the next SYNC of a root
 * makes it durable. */
void local_system_changes(struct local *self, int fd);
void local_tours_init(struct tours *tours);
void local_tours_close(struct tours *tours);
void local_tours_leave(struct tours *tours, const struct job *job); /* ABANDON */

/* local_entry.c: what is made whole, and what belongs to a file beside its data. Steps. */
int local_make(struct local *self, struct work *work);
int local_detail(struct local *self, struct work *work);
int local_dress(struct local *self, struct work *work);

/* local_probe.c: --dry-run, would OPEN succeed? */
int local_probe(const struct local *self, const struct place *place, const struct job *job,
                struct error *err);

/* local_sync.c: what was stored becomes durable */
void local_sync(struct local *self, struct work *work);
void local_note(struct work *work);                      /* the slot's chunk was stored */
int local_recall(struct local *self, struct work *work); /* a step */
/* A step: a listed chunk was read back wrong, so a stamp that holds must not. */
int local_disprove(struct local *self, struct work *work);

#endif
