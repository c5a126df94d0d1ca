/* life.h - one file from its description to its commit: which step follows which, and what every
 * outcome means.
 *
 *   copy     DESCRIBING source, target -> up to date: [ADJUSTING, or with
 *                                         -A or -X DETAILING source, DRESSING target] -> DONE
 *                                      -> in a tree: [CLEARING the target]
 *                                      -> dry run: PROBING source, target -> DONE
 *                                      -> a name of several, perhaps equal: as compare,
 *                                         then up to date, or WAITING
 *            -> WAITING -> OPENING source, target -> [--base-manifest: BASING]
 *            -> [a journal: LISTING] -> COPYING
 *            -> [further lanes: GATHERING] -> [a journal: SYNCING -> DIGESTING]
 *            -> [further lanes: RELEASING] -> [-A or -X: DETAILING source, DRESSING target]
 *            -> COMMITTING source
 *               (its status has changed: LEAVING, REOPENING source -> COPYING, to compare;
 *               it has changed, with --fuzzy: LEAVING source)
 *            -> COMMITTING target -> [--base-manifest: KEEPING] -> DONE
 *   small    DESCRIBING source (unless a tree has told), target -> [up to date: as above]
 *            -> WAITING
 *            -> TAKING from the source -> PUTTING to the target -> COMMITTING target -> DONE;
 *            or on from DESCRIBING as above: see life_road()
 *            both sides here: WAITING -> CARRYING -> COMMITTING target -> DONE,
 *            or, where something turned up at the target, on from DESCRIBING
 *   compare  DESCRIBING source, or READING a manifest -> OPENING -> [a manifest: LISTING]
 *            -> COPYING -> COMMITTING -> DONE
 *   look     DESCRIBING source or target -> DONE
 *   call     CALLING -> DONE: one operation of a side that is no file's copy
 *            DRESS: DETAILING source, DRESSING target (else ADJUSTING) -> DONE
 *   help     a further lane: OPENING source, target -> COPYING -> SYNCING -> PARKED
 *            -> ABANDONING -> FAILED or DONE
 *
 * and from each of them, once something has failed: [a manifest was made: UNDOING] -> [SAVING]
 * -> [RELEASING] -> ABANDONING source, target -> FAILED.
 *
 * A life starts nothing and waits for nothing. It says what it wants next; the pump does that when
 * it has a slot, and tells it what came of it. So as many files as there is room for are under way
 * at once, and none holds up another. What fails is this file's, and is in life->error-> */
#ifndef HAUL_LIFE_H
#define HAUL_LIFE_H

#include "haul/copy/copy.h"
#include "haul/copy/errand.h"
#include "haul/copy/plan.h"
#include "haul/disk/details.h"
#include "haul/disk/replace.h"
#include "haul/side/side.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LIFE_ROW_COUNT = 16, /* see life_run */
    LIFE_HELD_MAX = 150, /* attempts to open a target that a lost server may hold, a second each,
                            about: until then that has given us up */
};

enum life_kind { LIFE_COPY, LIFE_COMPARE, LIFE_LOOK, LIFE_CALL, LIFE_HELP };

enum life_state {
    /* Both sides tell what is there; nothing is open, nothing is changed. After the second one it
     * is known whether there is anything to be done, and whether that is possible. */
    LIFE_DESCRIBING_SOURCE,
    LIFE_DESCRIBING_TARGET,
    /* In a tree: something else than a file is in its place, and goes. */
    LIFE_CLEARING,
    LIFE_CALLING,
    /* COMPARE without a source: the manifest's header stands for it. An errand. */
    LIFE_READING,
    /* The data are up to date; owner, group or mode may not be. */
    LIFE_ADJUSTING,
    /* -n: both sides look at all that OPEN would meet. */
    LIFE_PROBING_SOURCE,
    LIFE_PROBING_TARGET,
    /* Until there is room for one more open file: life_admit(). */
    LIFE_WAITING,
    /* The source first: its size and holes decide how the target is laid out. Afterwards the target
     * is locked, has its final size, and the size of the chunks is settled. */
    LIFE_OPENING_SOURCE,
    LIFE_OPENING_TARGET,
    /* A small file as a whole: read and looked at twice, and written, in one buffer. */
    LIFE_TAKING,
    LIFE_PUTTING,
    /* Both in one step. What is at the target is looked at in it, too, unless that is known. */
    LIFE_CARRYING,
    /* --base-manifest: is it of this target, as it is now? */
    LIFE_BASING,
    /* The journal that fits (or the manifest) is read, a bufferful a step, so that the plan knows
     * which chunks it lists. */
    LIFE_LISTING,
    /* The plan's items go through the pump's slots; checkpoints run beside them. Ends when the plan
     * has nothing more and all slots are back, or after the first failure when they are. */
    LIFE_COPYING,
    /* This lane has nothing more to do, others may: life_gathered(). */
    LIFE_GATHERING,
    /* What was stored becomes durable and journalled. */
    LIFE_SYNCING,
    /* The digest of digests from the journal; what no entry lists is compared with the source. */
    LIFE_DIGESTING,
    /* The lane that commits waits until the others have let go of the file: life_released(). */
    LIFE_RELEASING,
    /* Extended attributes and access control lists are read and, in the same buffer, given to the
     * target, which gets its owner before. That they cannot be had fails no copy. */
    LIFE_DETAILING,
    LIFE_DRESSING,
    /* Was the source all the time what it was? Its side closes it, however that ends. */
    LIFE_COMMITTING_SOURCE,
    /* It may not have been: closed, opened again, and every chunk of the target compared. */
    LIFE_LEAVING_SOURCE,
    LIFE_REOPENING_SOURCE,
    /* The target gets its metadata and becomes durable as a whole; its journal goes. */
    LIFE_COMMITTING_TARGET,
    /* --base-manifest: the one of this run takes the place of the old one. */
    LIFE_KEEPING,
    /* After a failure: the manifest says that the copy is complete, and goes. An errand. */
    LIFE_UNDOING,
    /* After a failure: what was stored is synced all the same, so that a later run goes on from
     * there. Whether that works does not matter any more. */
    LIFE_SAVING,
    /* Both sides close what is open without committing. */
    LIFE_ABANDONING_SOURCE,
    LIFE_ABANDONING_TARGET,
    /* A further lane has done what there was to do, and holds the file until life_release(). */
    LIFE_PARKED,
    /* Ended; `outcome` and `error` say how. */
    LIFE_DONE,
    LIFE_FAILED,
};

/* What a life waits for. */
enum life_want {
    LIFE_WANTS_NOTHING, /* a step is under way, or somebody else has to act: see the states */
    LIFE_WANTS_STEP,    /* life->op at the end life->role, in a control slot */
    LIFE_WANTS_BUFFER,  /* the same in life->buffers[0]: two slots with buffers are to be lent */
    LIFE_WANTS_WHOLE,   /* the same, and one slot will do */
    LIFE_WANTS_CHUNKS,  /* items of life->plan, in as many slots as there are */
};

/* Linked by next and before. */
struct life_list {
    struct life *first, *last;
};

/* What is the same for all files of a run. */
struct life_run {
    const struct copy_wish *wish;
    const struct budget *budget;
    const struct address *addresses; /* by role */
    struct control *control;
    uint64_t session;
    uint32_t lanes; /* that a large file may have */
    /* There are several files, and the target takes small ones as a whole. Unset by whoever finds
     * out that it does not. NULL: no. */
    bool *takes_small;
    /* No target has refused yet to have blocks by reference. Unset as the other. NULL: as if one
     * had. */
    bool *shares;
    /* Both sides are here, and nothing is wished that has to be known of a small file before it is
     * written: it may be carried. */
    bool carries;
    /* The target is far away: of a file in a small buffer PUT and COMMIT are one message. */
    bool delivers;
    /* So many targets that were looked at last were not there: the next one, perhaps, is not,
     * either, and need not be looked at by itself. Kept by lives. NULL: nobody counts. */
    uint32_t *targets_absent;
    /* The same of sources that fit into a pocket: the next one is taken into one. */
    uint32_t *sources_fit;
};

struct life;
struct life_digest;

/* Bytes of this file that one lane has stored or kept, and how many of them are durable. */
struct life_sync {
    bool under_way;
    uint64_t settled_bytes;
    uint64_t started_bytes; /* of these, when the sync under way was started */
    uint64_t synced_bytes;  /* of these, by the last one that ended well */
    uint64_t synced_at_ns;
    uint32_t chunks_count; /* settled since the last sync was started */
};

/* What a call moves beside its job: bytes in, out, or both, in a buffer of the caller's. */
struct life_call {
    enum side_role role;
    enum side_op op; /* DRESS: with DETAIL before it, and no bytes of the caller's */
    uint8_t *bytes;  /* NULL: none */
    uint32_t length; /* that go with it */
    uint32_t room;   /* for those that come; 0: none do */
    uint32_t count;  /* that came */
    uint64_t offset; /* where to go on, in and out: slot->offset, extent_start */
    bool earlier;    /* SYNC: what earlier sessions have made, too */
};

/* What this run has done for a file before its link was lost, all attempts together. */
struct life_earlier {
    uint64_t started_ns;   /* the first of them; 0: there was none */
    uint64_t copied_bytes; /* what of it is kept now was copied */
    uint64_t repaired_bytes, chunks_repaired;
};

/* A dry run makes no folder that others could be looked at in. What the run would meet there it
 * meets in the nearest folder that is there: by the name of the first that would be made.
 * root.number 0: it is a whole path. */
struct life_nearest {
    struct job_root root;
    const char *path;
};

/* What was so before. */
struct life_found {
    struct facts source; /* a copy is compared again; of HELP: as the lead has found it, ... */
    uint64_t copied_bytes, kept_bytes, holes_bytes; /* ... and nothing else */
    struct life_nearest own; /* PROBING_TARGET is about another one; else without a path */
};

struct life {
    struct job job; /* first: what the sides see of it, by slot->job */
    const struct life_run *run;
    enum life_kind kind;
    enum life_state state;
    enum life_want want;
    enum side_role role;
    enum side_op op;
    int result;            /* the first failure */
    struct errand *errand; /* under way: a file of the client's own is read or written */

    /* The pump's. Every turn looks at this, and at what stands before and behind it, of every file:
     * it is near each other. */
    struct life *next, *before;
    uint32_t slots_count; /* in flight for it */
    bool plan_ended;
    bool away, batched;   /* in that list of the pump's; and so counted */
    uint32_t spent_bytes; /* the pump's: a small file's share of --bwlimit, until it is taken */
    struct slot *buffers[2];
    struct life_sync sync;

    /* Whoever lets it run. */
    bool admitted;           /* to be opened; until it has ended */
    uint64_t admitted_bytes; /* of its source, as they were known then: opening finds out anew */
    struct life **bin;       /* where it is put, by `next`, when it has ended; NULL: nowhere */

    union {
        struct life_call *call;             /* of CALL */
        const struct life_nearest *nearest; /* else: PROBING_TARGET is about this; or NULL */
    };
    struct plan *plan;         /* of HELP: the lead's */
    struct progress *progress; /* the next one; of HELP: the lead's */
    uint64_t offset;           /* LISTING: where to go on in the journal */
    bool small;                /* it goes, or has gone, as a whole */
    uint32_t small_bytes;      /* PUTTING: so many */
    bool unfit;                /* CARRYING: it was guessed to fit into a pocket, and has not */
    bool described[2];         /* by role: facts are there, or were told with it */
    bool target_absent;        /* told: there is no target, its folder is new */
    bool open[2];  /* by role: OPEN has ended well, no COMMIT or ABANDON was tried since */
    bool held[2];  /* the same, but a COMMIT that failed: has to be abandoned */
    bool there;    /* what is open needs no copy, only its commit */
    bool weighed;  /* COPY, and COMPARE for now: whether it is to be copied at all */
    bool deltas;   /* of a chunk that differs only the blocks that do go to the target */
    bool piped[2]; /* by role, as described: it has an order and no places */
    bool
        cancelled[2]; /* by role: the pump has called back what waits for the other end of a pipe */
    bool helped;      /* further lanes were let at it: set by whoever did */
    uint32_t compare_count;   /* how often the source was found touched */
    bool source_changed;      /* while it was copied, which --fuzzy allows */
    struct life_found *found; /* NULL: nothing was otherwise */
    struct life_earlier earlier;
    uint64_t unreadable[2]; /* from, to: what was left out last, and not told yet */
    struct life_digest *digesting;
    struct whole *whole;    /* COPY: its bytes, in order; NULL: nobody asks */
    bool manifest_made;     /* by this life: the file of that name is ours */
    struct life_base *base; /* --base-manifest; NULL: nobody asks */
    bool base_lost;         /* it could not be written */
    uint32_t details_bytes; /* DRESSING: in the buffer */
    uint64_t details_next;  /* DETAILING: from where on; DRESSING: where the next piece is, or 0 */
    struct details_row details_row; /* of the pieces so far */
    struct life_dressed {
        uint8_t changed, lost, asked; /* as in the side's report: of the pieces so far */
    } dressed;
    bool undressed; /* details were asked for, and are not what they should be */
    bool unlisted;  /* it is skipped, and so is a list of its bytes that was asked for */

    /* What came of it. */
    bool lost;                /* `result`: its side's link was lost, and another may be made */
    struct progress counters; /* read by other threads */
    struct outcome outcome;
    struct outcome_proof proof;
    bool resumed;
    char changes[12];
    const char *would;
    bool digest_known;
    struct digest digest;
    char whole_text[WHOLE_TEXT_BYTES]; /* "": not known */
    uint32_t lanes;                    /* that had a part in it */
    uint64_t duration_ns;
    uint64_t started_ns;

    struct error *error; /* of `result`; the memory is the caller's */
};

/* Of a side that has not reported. */
extern const struct side_report life_no_report;

/* Begin. The paths stay the caller's and outlive the life. source_path NULL with COMPARE: against
 * the manifest. `chunk_bytes`: the most of the lane. The memory
 * need not be initialised; what an ended life holds is freed by life_close(). */
struct life_start {
    bool numbered; /* else it gets a number */
    bool dry;      /* CALL: only what it would do is asked */
    enum life_kind kind;
    enum side_role role; /* LOOK: at which side */
    uint32_t number;
    uint32_t chunk_bytes;
    const char *source_path, *target_path;
    uint64_t part_start, part_end; /* COPY: of these bytes only; part_end 0: of all */
    bool there, unjournalled;      /* COPY: they are; no journal lies there; see copy.h */
    bool spelled;                  /* COPY: as in job.h */
    bool keeps_folder;             /* one in its way stays: a source is there */
    struct error *error;           /* where its words go */
    struct job_root roots[2];      /* by role */
    struct owner_names *names;     /* room for job->names; NULL: by numbers */
    struct side_words *words;      /* room for job->words; NULL: nobody asks */
    const struct facts *source;    /* as a walk has told them; NULL: the source is asked */
    bool target_absent;
    const struct life_nearest *nearest; /* see there; outlives the life; NULL: nobody is asked */
    struct life_earlier earlier;        /* all zeros: none */
    struct life_call *call;             /* CALL */
};
void life_begin(struct life *life, const struct life_run *run, const struct life_start *start);

/* It has ended, and begins again with another link. */
void life_count_attempt(const struct life *life, struct life_earlier *earlier);

/* A folder was made, or was there: what is in one that is made next is guessed from it. */
void life_note_folder(const struct life_run *run, bool absent);

/* The same for a further lane of `lead`, which is COPYING and stays so until this one is parked.
 * `room`: names, words and error as above, of its own. */
void life_help(struct life *life, const struct life *lead, uint32_t chunk_bytes,
               const struct life_start *room);

/* The slot for the step that it wants is here: set what the operation needs beside the op. */
void life_prepare(struct life *life, struct slot *slot);

/* The step has come back, with its outcome. `lost`: as below. */
void life_returned(struct life *life, struct slot *slot, bool lost);

/* Something has failed. What is in flight is waited for; then life_copied(). `lost`: only this
 * lane's link is gone, others may do its work. */
void life_note_failure(struct life *life, int result, const struct error *cause, bool lost);

/* COPYING: [start, end) of the source could not be read, and is left out. */
void life_unreadable(struct life *life, uint64_t start, uint64_t end);

/* The errand that it was on has been run: life->errand. */
void life_errand_ended(struct life *life);

/* COPYING, once a turn: what the plan waits for, and no side has. */
void life_feed(struct life *life);

/* COPYING: the plan has ended or something failed, and nothing of it is in flight. */
void life_copied(struct life *life);

/* A signal came: fail, where anything is left to be stopped. */
void life_interrupt(struct life *life);

/* WAITING: there is room now. */
void life_admit(struct life *life);
/* GATHERING, its own lane is lost: go on where `helper` is, a further lane that is whole and
 * parked, and ends by that. */
void life_take_over(struct life *life, struct life *helper);
/* GATHERING: what came of all lanes; with a failure its words. */
void life_gathered(struct life *life, int result, const struct error *cause);
/* RELEASING: the others have let go. */
void life_released(struct life *life);
/* PARKED: let go. */
void life_release(struct life *life);

/* This side of it is a pipe. */
static inline bool life_pipes(const struct life *life, enum side_role role)
{
    return life->piped[role];
}

/* A file of a tree whose older target has other names, which are to stay what they are: it is not
 * written in place. */
bool life_shares_names(const struct life *life);

/* DONE or FAILED. */
bool life_ended(const struct life *life);

/* It is small, and no larger than SMALL_POCKET_BYTES, as is known or guessed. */
bool life_fits_pocket(const struct life *life);

/* So many bytes will be taken of it, as far as is known before that. */
uint32_t life_guess_bytes(const struct life *life);

/* It is small, and a step of it is under way: there is nothing to be done before that is over. */
bool life_is_away(const struct life *life);

/* The same, and it waits for others to become durable with it. */
bool life_is_batched(const struct life *life);

/* COPY, about to be copied: worth more than one lane. */
bool life_wants_team(const struct life *life);

/* Frees what it holds; an ended one holds nothing. */
void life_close(struct life *life);

#endif
