/* report.h - what the run counts while it works, and the receipt that it can prove at its end.
 *
 * Lanes count into `struct progress` (atomics); the command line reads it for the bar. A receipt is
 * filled from it and from what both sides measured. NUM_UNKNOWN marks a figure that nobody knows:
 * words "unknown", JSON null, never 0. */
#ifndef HAUL_REPORT_H
#define HAUL_REPORT_H

#include "haul/base/hash.h"
#include "haul/base/whole.h"
#include "haul/disk/attributes.h"
#include "haul/disk/job.h"
#include "haul/disk/kernel_memory.h"
#include "haul/side/outcome.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum phase {
    PHASE_OPENING,
    PHASE_COMPARING, /* both sides are read; nothing is written */
    PHASE_AUDITING,  /* what an earlier run wrote is read back */
    PHASE_COPYING,
    PHASE_VERIFYING,
    PHASE_SYNCING,
    PHASE_DONE
};

struct progress {
    _Atomic uint32_t phase;            /* enum phase */
    _Atomic uint64_t bytes_total;      /* of the file, holes included */
    _Atomic uint64_t bytes_copied;     /* written now */
    _Atomic uint64_t bytes_kept;       /* were there and right */
    _Atomic uint64_t bytes_unread;     /* the part of these that --base-manifest knew */
    _Atomic uint64_t bytes_holes;      /* neither: holes of the source */
    _Atomic uint64_t bytes_referenced; /* neither: blocks that are the source's, too */
    _Atomic uint64_t
        bytes_repaired; /* the part of bytes_copied that replaced wrong bytes of an earlier run */
    _Atomic uint64_t chunks_repaired;
    _Atomic uint64_t bytes_durable;  /* written or kept, and synced: what a power cut cannot take */
    _Atomic uint64_t bytes_verified; /* --verify: read back */
    _Atomic uint64_t bytes_unreadable; /* of the source, and left out: --read-errors=skip */
    _Atomic uint64_t wire_bytes_sent;
    _Atomic uint64_t wire_bytes_received;
    _Atomic uint64_t bytes_differing; /* haul verify */
    _Atomic uint32_t lanes;
};

/* The figures of files that are added up, by their names in a progress and in a receipt.
 * bytes_total is not among them: it may be unknown. */
#define PROGRESS_FIGURES(EACH)                                                                     \
    EACH(bytes_copied)                                                                             \
    EACH(bytes_kept)                                                                               \
    EACH(bytes_holes)                                                                              \
    EACH(bytes_unread)                                                                             \
    EACH(bytes_referenced)                                                                         \
    EACH(bytes_repaired)                                                                           \
    EACH(chunks_repaired)                                                                          \
    EACH(bytes_durable)                                                                            \
    EACH(bytes_verified)                                                                           \
    EACH(bytes_unreadable)                                                                         \
    EACH(bytes_differing)

/* Those of one file more; a total that is not known adds nothing. */
void progress_add(struct progress *sum, const struct progress *one);

/* Each figure by itself, since another thread reads them; the others stay as they are. */
void progress_show(struct progress *shown, const struct progress *sum);

const char *phase_name(enum phase phase); /* "opening", "comparing", "auditing", "copying",
                                             "verifying", "syncing", "done" */

/* Of this side's report. */
void side_say(struct job *job, enum side_role role, const char *policy, const char *engine);

/* As if nothing had been said. */
void side_unsay(struct side_words *words);

struct receipt {
    struct outcome outcome; /* how it has ended; nothing else says whether it went well */
    bool resumed;           /* a journal was found and used */
    bool source_changed;    /* meanwhile, as --fuzzy allows */
    bool piped;             /* from or to a pipe: it cannot be gone on with */
    bool dry_run;           /* -n: nothing was to be changed */
    char changes[12];       /* as rsync's %i; empty: nothing differs, or nothing was found out */
    const char *would;      /* -n: what would become of the target, a constant; NULL: nothing */
    bool skipped;           /* a folder: nothing was tried */
    bool compared; /* haul verify: nothing was written; kept are the bytes that are equal */
    uint64_t bytes_differing;
    uint32_t files;
    uint64_t bytes_total, bytes_copied, bytes_kept, bytes_unread, bytes_holes, bytes_referenced,
        bytes_repaired, chunks_repaired, bytes_verified, bytes_unreadable;
    uint64_t bytes_durable; /* on the medium, from this run or an earlier one; holes are counted
                               only once all of the file is durable */
    uint64_t part_start, part_end; /* --range: of these bytes of the file; end 0: of all of it */
    uint64_t duration_ns;          /* to durability */
    bool digest_known;
    struct digest digest; /* of the chunk digests in order */
    enum whole_kind whole;
    char whole_text[WHOLE_TEXT_BYTES]; /* of all bytes in order; "": not known */
    uint32_t chunk_bytes;
    uint32_t lanes;
    uint64_t memory_peak_bytes, memory_budget_bytes;
    uint32_t slots_halved_most;       /* where memory was scarce, so many times, */
    const char *pressure;             /* for this reason; NULL: it was not */
    struct kernel_memory_told kernel; /* what names and inodes cost on this machine */
    uint64_t wire_bytes_sent, wire_bytes_received;
    const char *source_path, *source_host; /* host NULL: this machine */
    const char *target_path, *target_host;
    struct side_report source, target;
    struct side_words words[2];             /* of these, by role */
    uint64_t lost_counts[ATTRIBUTES_COUNT]; /* names of the target that could not be given it */
};

/* Whether the target is proven to be written and safe. */
static inline bool receipt_durable(const struct receipt *receipt)
{
    return receipt->outcome.kind == OUTCOME_DURABLE;
}

/* Whether there was nothing to do. */
static inline bool receipt_up_to_date(const struct receipt *receipt)
{
    return receipt->outcome.kind == OUTCOME_UP_TO_DATE;
}

/* Whether an option said that nothing was to be done. */
static inline bool receipt_skipped(const struct receipt *receipt)
{
    return receipt->outcome.kind == OUTCOME_SKIPPED;
}

/* What was counted of one file. */
void receipt_count(struct receipt *receipt, const struct progress *progress);

/* Add a finished file's receipt to the sum over all files: counts added, peaks taken, digest only
 * with one file. */
void receipt_add(struct receipt *sum, const struct receipt *one);

/* Of one that has failed, too: what went over the link. */
void receipt_add_wire(struct receipt *sum, const struct receipt *one);

#endif
