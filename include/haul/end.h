/* end.h - one side of the copy. The wire is this interface, serialised.
 *
 * An end starts work on a slot and hands the slot back when the work is done; it never calls
 * anybody back. `end_file` works on local files, `end_peer` on another process's end. The end
 * obeys: which chunk, whether it is wanted, when to sync, are decisions of the pump and the plan
 * (the client). A slot names its job, so that many files can be in flight; opening, syncing and
 * committing a file are slot operations like fetching and storing.
 *
 * A check reads the target's chunk *first* and fetches the source's only into the same buffer
 * afterwards, on the condition that its digest differs. So a check needs one buffer, not two, and
 * costs one round trip in either direction of a remote copy. */
#ifndef HAUL_END_H
#define HAUL_END_H

#include "haul/attributes.h"
#include "haul/error.h"
#include "haul/file.h"
#include "haul/hash.h"
#include "haul/report.h"

#include <stdbool.h>
#include <stdint.h>

enum end_role { END_SOURCE, END_TARGET };

enum end_op {
    END_DESCRIBE, /* role's path -> facts; changes nothing. wish.dry: and fails where OPEN would */
    END_OPEN, /* source: open. target: create or open, lock, find the journal, set the final size */
    END_MAP,  /* source: next data at or after slot->offset -> extent_start, extent_end */
    END_RECALL,  /* target: journalled chunks from entry number slot->offset of the journal on ->
                    buffer, count; extent_start: where to go on, 0 at the end */
    END_FETCH,   /* source: read and digest a chunk; conditional: no payload when its digest is
                    `expected` */
    END_EXAMINE, /* target: read a chunk from the medium and digest it; the payload stays there */
    END_STORE,   /* target: write the buffer; it is not durable yet */
    END_KEEP,    /* target: the chunk was found right as it is: journal it with the next sync */
    END_ERASE,   /* target: make the range read as zeros */
    END_SYNC,    /* target: everything stored before becomes durable, and journalled */
    END_COMMIT,  /* source: leave the cache clean, check that it is unchanged. target: sync, leave
                    the cache clean, metadata, sync file and folder, remove the journal. Both: fill
                    the side's report */
    END_ABANDON, /* both: close without committing; the journal stays; the report is filled */
    END_ADJUST,  /* target that is not open: its attributes become those of facts[END_SOURCE], where
                    they are others; data are not looked at. Fills the report's outcome of them */
};

enum journal_state {
    JOURNAL_ABSENT,         /* none, or not asked for */
    JOURNAL_FITS,           /* of this very source and target */
    JOURNAL_SOURCE_CHANGED, /* the source is another one, or has changed since */
    JOURNAL_TARGET_CHANGED, /* the target was replaced or truncated since */
    JOURNAL_DAMAGED,        /* its content makes no sense; it was not trusted */
    JOURNAL_CHUNKS,         /* fits, but its chunks are larger than the buffers of either side */
};

enum resume_wish {
    RESUME_AUTO,          /* go on where a journal fits; audit the old part */
    RESUME_APPEND,        /* trust the journal */
    RESUME_APPEND_VERIFY, /* audit the old part against the source, too */
    RESUME_RESTART,       /* ignore what is there */
};

/* What the client wishes of one file, for both ends. It travels over the wire in OPEN and COMMIT.
 */
struct job_wish {
    enum policy_kind cache;
    bool strict;
    bool cache_max_set;
    uint64_t cache_max_bytes;
    bool write_devices;
    bool preallocate;
    bool join; /* another lane of this session has the file open and locked */
    uint8_t attributes[ATTRIBUTES_COUNT]; /* enum attribute_wish, of facts[END_SOURCE] */
    bool set_id;                          /* set-id bits may be set, too */
    const char *chown;                    /* USER:GROUP of the target's machine; NULL */
    enum resume_wish resume;
    bool journal;       /* keep one */
    bool journal_early; /* create it at OPEN, not with the first checkpoint: it will be recalled, or
                           shared by lanes */
    const char *journal_path; /* NULL: beside the target */
    uint64_t session;         /* random; the same for all lanes of a run */
    bool compare_only;        /* haul verify: the target is only read */
    bool dry; /* DESCRIBE: is OPEN possible? ADJUST: what would be changed? Nothing else is asked */
};

/* One file to be copied. Owned by the client; ends may read it while a slot of it is with them, and
 * write only what is said here. */
struct job {
    uint32_t number;
    const char *source_path, *target_path;
    uint32_t chunk_bytes;
    struct job_wish wish;

    /* DESCRIBE and OPEN fill facts[role]; OPEN of the target leaves its facts from before it was
     * changed. */
    struct facts facts[2];
    /* OPEN of the target. */
    bool target_fresh;    /* created now, or was empty: nothing to compare with */
    bool target_readable; /* else nothing can be compared, and all is written */
    enum journal_state journal;
    uint64_t old_bytes; /* chunks from before here may hold old content, right or wrong, unless the
                           journal lists them. A file reads as zeros from here on */
    /* FITS: the source is what it was when the journal was begun; the target has not been written
     * since its last batch. Else what the journal lists is compared. */
    bool journal_source_proven, journal_target_proven;
    bool journal_present; /* DESCRIBE of the target: a journal lies beside it, so it is not finished
                           */
    /* COMMIT, ABANDON. */
    struct side_report reports[2];
};

enum slot_state {
    SLOT_FREE,      /* nobody's; the plan may use it */
    SLOT_MAPPING,   /* the source looks for the next data */
    SLOT_RECALLING, /* the target reads its journal */
    SLOT_EXAMINING, /* the target digests what it has */
    SLOT_FETCHING,  /* the source reads and digests */
    SLOT_STORING,   /* the target writes */
    SLOT_KEEPING,   /* the target notes a chunk that was right */
    SLOT_ERASING,   /* the target makes a hole */
    SLOT_VERIFYING, /* the target reads back what was stored */
    SLOT_SYNCING,   /* the target makes durable what was stored before */
};

/* What the plan gave this slot to do; see plan.h. */
struct plan_item {
    uint8_t action; /* enum plan_action */
    uint64_t chunk;
    uint64_t offset;
    uint32_t length;
    bool blank;             /* COPY: the target reads as zeros there, and zeros may be left out */
    struct digest expected; /* VERIFY, AUDIT */
    bool against_source; /* AUDIT: a chunk that is as journalled is compared with the source, too */
};

/* One aligned buffer and the one operation in it. */
struct slot {
    uint32_t index;  /* among all slots of the lane, control slots included: the tag on the wire */
    uint8_t *buffer; /* NULL for control slots */
    uint32_t capacity;

    /* The operation. Set by the pump; the end leaves it alone. */
    enum slot_state state;
    enum end_op op;
    struct job *job;
    uint64_t offset; /* bytes, a multiple of the chunk size; MAP: any; RECALL: entries */
    uint32_t length; /* bytes, at most capacity where there is a buffer */
    bool conditional;
    bool from_medium; /* EXAMINE: not from the page cache */
    bool blank;       /* STORE: the range reads as zeros, so whole blocks of zeros may be left out.
                         Else every byte is written: something else may stand there */
    struct digest expected;
    struct plan_item item;

    /* The outcome. Set by the end before it gives the slot back. */
    int result;           /* 0 or -errno; the words are in end->error */
    struct digest digest; /* FETCH, EXAMINE: of the content; STORE, KEEP: given by the pump */
    bool matched;         /* FETCH, EXAMINE conditional: the digest was the expected one */
    uint32_t count; /* EXAMINE: bytes that were there; RECALL: entries in the buffer, as struct
                       journal_entry */
    uint64_t extent_start, extent_end; /* MAP; RECALL: start */

    struct slot *next; /* the holder's own: an end's list, while it has the slot */
};

struct end;
struct place; /* place.h */

struct end_ops {
    /* Start slot->op. May not block for data I/O. Always takes the slot; failures come back with
     * it. */
    void (*start)(struct end *end, struct slot *slot);
    /* Up to max slots that are done. wait: block until something happened (0 slots are possible
     * then, too). Also asked with nothing in flight, without wait: a connection is kept alive.
     * Returns the count, or -errno: the end is broken and gives back nothing more by itself. */
    int (*reap)(struct end *end, struct slot **out, uint32_t max, bool wait);
    /* What to poll for: a descriptor and POLLIN/POLLOUT; -1: reap has work now or does it itself.
     */
    int (*wait_fd)(struct end *end, short *events);
    /* Waits for everything in flight, then frees. What is not committed is abandoned. */
    void (*close)(struct end *end);
};

/* Implementations put this first. */
struct end {
    const struct end_ops *ops;
    enum end_role role;
    uint32_t inflight;  /* slots with this end */
    struct error error; /* the first failure of this end, in words */
};

void end_start(struct end *end, struct slot *slot, enum end_op op);
int end_reap(struct end *end, struct slot **out, uint32_t max, bool wait);
int end_wait_fd(struct end *end, short *events);
void end_close(struct end *end); /* NULL is legal */

/* One operation from start to finish. Nothing else may be in flight at this end: -EIO when
 * something was left behind in a broken one. Meanwhile the link of `other`, which may be NULL, is
 * kept alive. Returns slot->result or the end's failure; the words are put into err. Blocks. */
int end_call(struct end *end, struct end *other, struct slot *slot, enum end_op op,
             struct error *err);

/* A local end. The engine's depth is set here; `slab` is the slots' memory, for registration.
 * in_flight_bytes is what the slots can hold: the cache may grow by so much, and no more, before
 * O_DIRECT is called a lie. */
struct end_file_config {
    enum end_role role;
    struct engine_config engine;
    uint32_t slots_count; /* control slots included */
    uint32_t window_bytes;
    uint32_t windows_count;  /* open at a time; 0: 3 */
    bool windows_do_not_fit; /* into the memory there is: a file that needs them is refused */
    uint64_t in_flight_bytes;
    uint32_t jobs_max; /* files open at the same time */
    /* Where the jobs' paths are resolved, and what may be done there; NULL: on the whole machine.
     * A role that the place does not allow: -EACCES. Beneath a place --journal is refused, devices
     * are, and no set-id bits are set. Where it may not be read, a target tells nothing of itself:
     * DESCRIBE tells only folders, OPEN empties the file and always calls it fresh and not
     * readable, there is no journal, and operations that read are refused. */
    const struct place *place;
    struct engine
        *given; /* use this one (the tests' simulation) and close it with the end; else NULL */
};
int end_file_open(struct end **out, const struct end_file_config *config, struct error *err);

#endif
