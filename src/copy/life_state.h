/* life_state.h - private to life*.c: the parts of a file's life that have files of their own. */
#ifndef HAUL_COPY_LIFE_STATE_H
#define HAUL_COPY_LIFE_STATE_H

#include "haul/copy/life.h"

enum { LIFE_SHOWN_BYTES = 4608 + ADDRESS_HOST_BYTES };

/* A path for messages, with that of its root before it. */
const char *life_shown(const struct life *life, enum side_role role, char out[LIFE_SHOWN_BYTES]);

/* life_attributes.c: owner, group, mode, times */

/* What the options say of them, for the job's wish. */
void life_attributes_wish(const struct life_run *run, struct job_wish *wish);
/* --chmod, onto facts of the source that have just been learnt. */
void life_attributes_want(struct life *life);
/* Extended attributes or access control lists are to be carried over. */
bool life_wants_details(const struct life *life);
/* The data are up to date: is there anything else to be carried over? */
bool life_attributes_differ(const struct life *life);

/* life_plan.c: what is known of both sides, as a plan */

/* Neither may be copied, or onto each other: -errno with words in *err. */
int life_refuse(const struct life *life, struct error *err);
/* A part begins within the source, and ends there at the latest, which is said: -errno with words
 * where it does not begin there. */
int life_fit_part(struct life *life, struct error *err);
/* Why an option leaves it out, a constant; NULL: none does. */
const char *life_skip(const struct life *life);
/* UP_TO_DATE; NONE: it is not, or they want it to be read. */
struct outcome life_up_to_date(const struct life *life);
/* Does it go as a whole, as a small file? NULL: yes, as far as is known so far; else why not. */
const char *life_road(const struct life *life);
/* Its space is reserved: it is known, and not holes. */
bool life_preallocates(const struct life *life);
int life_make_plan(struct life *life, struct error *err);
/* What was copied is compared: every chunk, with the source. In place of the plan before. */
int life_make_compare_plan(struct life *life, struct error *err);
/* An errand, of a COMPARE without a source: the manifest's header stands for it. */
int life_read_manifest(void *argument, struct error *err);
/* What was asked for beside the copy: the manifest is there, every byte was read back. */
bool life_options_kept(const struct life *life);
/* Everything has been compared: are they equal, and their lengths? */
struct outcome life_compared(struct life *life, struct error *err);

/* life_dry.c: what differs by the facts, as rsync itemizes it, into life->changes. */
void life_itemize(struct life *life);
/* ... and that all of its content was there: with nothing else it is no change. */
void life_itemize_kept(struct life *life);
/* ... and what the target's report says of these attributes (bits), which was looked at there. */
void life_itemize_changed(struct life *life, uint8_t looked);
/* ... and what would become of the target, behind "would". */
const char *life_would(const struct life *life);

/* The digest of digests from a journal: a part of the chunks after the other. */
struct life_digest {
    struct digest_fold *fold;
    struct journal *manifest;
    struct replace replace; /* --base-manifest: its names */
    uint64_t first, count;  /* the part */
    uint64_t index;         /* the chunk in it that is looked at */
    uint64_t data_start;    /* where the source's next data begin, as far as it has told */
    int (*then)(struct life *life, struct error *err); /* after the errand */
};

/* life_digest.c: what the journal knows of all chunks. Each call sets the next step (life->role,
 * life->op), which runs in buffers[0]; buffers[1] holds a part of the digests. */

/* 0: steps follow; 1: that was all, life->digest is known. */
int life_digest_begin(struct life *life, struct error *err);
void life_digest_prepare(struct life *life, struct slot *slot);
int life_digest_returned(struct life *life, struct slot *slot, struct error *err);
int life_digest_errand_ended(struct life *life, struct error *err);
/* Of a small file: of its one chunk. */
void life_digest_small(struct life *life, const struct digest *digest);
/* --base-manifest, behind the commit: the last batch, with that stamp, and a sync. Blocks. */
int life_digest_finish(struct life *life, uint64_t stamp, struct error *err);
/* An errand: the copy has failed after all, and the manifest that it has made would be a lie. */
int life_digest_undo(void *argument, struct error *err);
void life_digest_close(struct life *life);

/* life_base.c: --base-manifest. What waits for its file is an errand. */

/* The target is open and there is a plan. 1: the file is looked at first; 0: it is of no use;
 * -errno with words. */
int life_base_begin(struct life *life, struct error *err);
/* The target is committed. true: the file of this run takes the place of that of the run before;
 * false: that is over, or nobody has asked for it. */
bool life_base_keep(struct life *life);
/* false: it was not one of these. */
bool life_base_errand_ended(struct life *life);
void life_base_close(struct life *life);

#endif
