/* pump.h - moves chunks from the source end to the target end: the one copy loop of haul.
 *
 *   FREE --plan--> [COPY]  FETCHING --------------------> STORING --> FREE
 *                  [CHECK] EXAMINING -> FETCHING -differs-> STORING
 *                                              \-same-> KEEPING -> FREE (kept)
 *                  [AUDIT] EXAMINING -right-> FREE (kept), -wrong-> FETCHING -> STORING (repaired)
 *                  [VERIFY] VERIFYING, [MAP] MAPPING, [RECALL] RECALLING, [ERASE] ERASING -> FREE
 *
 * KEEPING only where a journal is kept; what is wrong in a sparse file is first ERASED, since zeros
 * are not stored there; and when files are only compared, nothing is STORED.
 *
 * Only this file knows the states. The first error is recorded; then nothing new is started,
 * everything in flight is waited for, and only then does it return. */
#ifndef HAUL_PUMP_H
#define HAUL_PUMP_H

#include "haul/control.h"
#include "haul/end.h"
#include "haul/plan.h"

#include <stdatomic.h>

struct pump_config {
    struct end *source, *target;
    struct slot *slots; /* with buffers */
    uint32_t slots_count;
    struct slot *control_slot; /* without a buffer: for SYNC */
    struct job *job;
    struct plan *plan;
    struct progress *progress;
    struct control *control;
    uint64_t sync_every_bytes; /* a checkpoint after so many bytes stored; 0: only where the journal
                                  has no more memory for notes */
    uint64_t sync_every_ns;    /* and after so long; with sync_every_bytes 0: not */
    atomic_bool *retired;      /* leave the work to other lanes; unset when there are none left; may
                                  be NULL */
    uint64_t *unsynced_bytes;  /* set at the end: stored or kept and not synced; may be NULL */
};

/* Run until the plan has ended, something failed or control->stop is set (ERROR_INTERRUPTED). When
 * it returns nothing is in flight at either end. Blocks. */
int pump_run(const struct pump_config *config, struct error *err);

#endif
