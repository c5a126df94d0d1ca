/* pump.h - moves files from the source end to the target end: the one copy loop of haul.
 *
 * A file's own steps (describe, open, commit ...) run in control slots, its chunks in slots with
 * buffers, those of all files beside each other:
 *
 *   FREE --plan--> [COPY]  FETCHING --------------------> STORING --> FREE
 *                  [CHECK] EXAMINING -> FETCHING -differs-> STORING
 *                                              \-same-> KEEPING -> FREE (kept)
 *                  by blocks: FETCHING -differs-> ASKING -> DIFFERING -> STORING (a part)
 *                  [AUDIT] EXAMINING -right-> FREE (kept), -wrong-> FETCHING -> STORING (repaired)
 *                  [VERIFY] VERIFYING, [MAP] MAPPING, [RECALL] RECALLING, [ERASE] ERASING -> FREE
 *
 * What is to be FETCHED behind EXAMINING waits, HOLDING, where --bwlimit lets nothing through.
 * Where the bytes of all of the file are digested, a chunk that is about to be STORED or KEPT
 * waits, ORDERING, until those before it have been.
 *
 * KEEPING only where a journal is kept; what is wrong in a sparse file is first ERASED, since zeros
 * are not stored there; and when files are only compared, nothing is STORED.
 *
 * Only this file knows the states of slots; those of files are life.h's. After a file's first
 * failure nothing new is started for it, and what is in flight is waited for, before it hears of
 * it; the other files go on. A pump belongs to one thread at a time. */
#ifndef HAUL_PUMP_H
#define HAUL_PUMP_H

#include "haul/copy/life.h"
#include "haul/side/side.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The caller sets the first part; all zeros is a good beginning of the second. */
struct pump {
    struct side *sides[2]; /* by role */
    struct slot *slots;    /* slots_count with buffers, at least 2, then control_count without */
    uint32_t slots_count, control_count;
    uint32_t carries_count;  /* of the latter, so many are for CARRY, the first ones */
    struct pockets *pockets; /* small buffers for the latter; NULL: none */
    bool source_lends;       /* these, when something comes */
    uint32_t control_next;   /* of the latter, the one to be looked at first */
    struct control *control;
    uint64_t sync_every_bytes; /* a checkpoint of a file after so many bytes stored; 0: only where
                                  the journal has no more memory for notes */
    uint64_t sync_every_ns;    /* and after so long; with sync_every_bytes 0: not */
    _Atomic uint32_t
        lend_count;      /* leave so many of the last slots with buffers to other lanes ... */
    atomic_bool retired; /* leave all new work to them */

    _Atomic uint32_t lent_count; /* ... so many are left: theirs until lend_count is less */
    struct life_list lives;      /* in order of arrival */
    struct life_list away;       /* not among these: life_is_away(), which are most of many */
    uint32_t away_count;
    struct life_list row; /* nor these: small ones that wait for a small buffer, in their order */
    uint32_t row_count;
    uint32_t batched_count; /* of these: life_is_batched() */
    uint32_t busy_count;    /* slots that are with a side */
    bool pressed;           /* the target was told that nothing else comes behind its small files */
    struct job pressing;    /* one of these, for that */
    bool broken[2];         /* by role: this side's engine gives nothing back any more */
    uint64_t made_count;    /* syncs, commits and the like that have succeeded */
};

/* A file joins; it leaves by itself once it has ended. */
void pump_add(struct pump *pump, struct life *life);

/* It goes on in another pump: nothing of it is in flight. */
void pump_remove(struct pump *pump, struct life *life);

/* No file is in it, and nothing of one is with a side. */
bool pump_is_empty(const struct pump *pump);

/* Small files that are under way and not among its lives. */
static inline uint32_t pump_small_count(const struct pump *pump)
{
    return pump->away_count + pump->row_count;
}

/* All that can be done now; does not wait. Both sides are served, however idle they are. false:
 * nothing has happened, it is time to wait. */
bool pump_turn(struct pump *pump);

/* Wait until one of the pumps may have something to do, a fifth of a second at most. */
void pump_wait(struct pump *const *pumps, uint32_t count);

#endif
