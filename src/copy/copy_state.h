/* copy_state.h - private to copy*.c: one run, and the steps of one file that a copy and a
 * comparison share. */
#ifndef HAUL_COPY_COPY_STATE_H
#define HAUL_COPY_COPY_STATE_H

#include "haul/copy.h"
#include "haul/plan.h"
#include "haul/slab.h"

enum {
    COPY_CONTROL_SLOTS = 1,
    COPY_JOBS_MAX = 1, /* files open at the same time */
};

struct copy {
    struct copy_wish wish;
    struct budget budget;
    struct slab slab;
    struct slot slots[SLOTS_MAX + COPY_CONTROL_SLOTS]; /* the control slot is the last in use */
    struct end *source, *target;
    struct progress progress;
    uint32_t jobs_count;
    uint64_t session;
    bool target_open; /* the job's target is open at its end: there is something to sync */
};

/* copy.c */
struct slot *copy_control(struct copy *copy);
void copy_reset_progress(struct progress *progress);
void copy_prepare_job(struct copy *copy, struct job *job, const char *source_path,
                      const char *target_path);
void copy_no_reports(struct job *job);
int copy_pump(struct copy *copy, struct job *job, struct plan *plan, struct error *err);
void copy_abandon(struct copy *copy, struct job *job);
void copy_fill_receipt(const struct copy *copy, const struct job *job, uint64_t started_ns,
                       struct receipt *receipt);

/* copy_digest.c: what the journal knows of all chunks */

/* A journal fits: let the plan know all that it lists. */
int copy_list_journal(struct copy *copy, struct job *job, struct plan *plan, struct error *err);

/* The digest of digests, and the manifest where one was wished. The chunks are stored. */
int copy_digest(struct copy *copy, struct job *job, struct plan *plan, struct receipt *receipt,
                struct error *err);

/* The copy failed after all: a manifest of it would be a lie. */
void copy_digest_undo(const struct copy *copy);

#endif
