/* copy_state.h - private to copy*.c: one run, and the steps of one file that a copy and a
 * comparison share. */
#ifndef HAUL_COPY_COPY_STATE_H
#define HAUL_COPY_COPY_STATE_H

#include "haul/ask.h"
#include "haul/copy.h"
#include "haul/lane.h"
#include "haul/plan.h"

struct copy {
    struct copy_wish wish;
    struct address addresses[2]; /* by role */
    struct budget budget;
    struct progress progress;
    struct control *control;
    uint64_t session;
    struct {
        uint64_t sent_bytes, received_bytes;
    } wire_told; /* by the receipts of earlier files */
    uint32_t jobs_count;
    struct ask_memory *memory; /* remote sides: what was answered, for the next lane */
    struct lane_config lane_config;
    struct lane *lanes[LANES_MAX]; /* [0] opens files */
    struct lane *lead;             /* the lane that commits: the first that is alive */
    bool manifest_made;            /* by this run: the file of that name is ours */
};

/* copy.c */
void copy_begin(struct copy *copy, const char *source_path, const char *target_path,
                struct receipt *receipt);
/* The pump over all lanes. On success copy->lead has everything and can commit. */
int copy_pump(struct copy *copy, struct plan *plan, struct error *err);
void copy_abandon(struct copy *copy);
void copy_fill_receipt(struct copy *copy, uint64_t started_ns, struct receipt *receipt);

bool copy_has_holes(const struct facts *source);

/* copy_dry.c: what differs by the facts, as rsync itemizes it, into receipt->changes. */
void copy_itemize(const struct copy *copy, struct receipt *receipt);

/* Both sides look at all that OPEN would meet; fills outcome and `would`. */
int copy_dry(struct copy *copy, struct receipt *receipt, struct error *err);

/* copy_attributes.c: owner, group, mode, times */

/* What the options say of them, for the job's wish. */
void copy_attributes_wish(const struct copy *copy, struct job_wish *wish);
/* --chmod, onto facts of the source that have just been learnt. */
void copy_attributes_want(const struct copy *copy, struct job *job);
/* The data are up to date: carry over what else differs (-n: only see what would be). */
int copy_attributes_adjust(struct copy *copy, struct error *err);

/* copy_again.c */

/* COMMIT of the source by the lead, when every chunk of *plan is done. Where its status has changed
 * meanwhile, the target is compared with it; *plan and the receipt's digest are then that
 * comparison's. ERROR_CHANGED: it was written, or does not come to rest. */
int copy_finish_source(struct copy *copy, struct plan **plan, struct receipt *receipt,
                       struct error *err);

/* copy_digest.c: what the journal knows of all chunks */

/* A journal fits: let the plan know all that it lists. */
int copy_list_journal(struct copy *copy, struct plan *plan, struct error *err);

/* The digest of digests, and the manifest where one was wished. The chunks are stored. */
int copy_digest(struct copy *copy, struct plan *plan, struct receipt *receipt, struct error *err);

/* The copy failed after all: a manifest of it would be a lie. What else has that name stays. */
void copy_digest_undo(const struct copy *copy);

#endif
