/* plan.h - yields the next thing to do for one file: which chunk, and what with it.
 *
 * Shared by all lanes from the first plan_next() on; the functions take the plan's lock and none
 * blocks on anything else. Memory: a few rings, fixed at the start and none larger
 * than the file has chunks, and two bits a chunk when a journal is resumed. The plan also folds the
 * digests of the chunks, in order, into the digest of digests, so it never runs more than
 * PLAN_REORDER chunks ahead of the oldest one that is not done (but for a resume, where it does not
 * fold). */
#ifndef HAUL_PLAN_H
#define HAUL_PLAN_H

#include "haul/base/control.h"
#include "haul/base/hash.h"
#include "haul/disk/journal.h"
#include "haul/side/report.h"
#include "haul/side/side.h"

#include <stdbool.h>
#include <stdint.h>

enum plan_action {
    PLAN_COPY,   /* fetch and store */
    PLAN_CHECK,  /* examine the target; fetch if the source's digest differs; store */
    PLAN_BASE,   /* what the target has is known by its digest: fetch if the source's differs; then
                    CHECK */
    PLAN_AUDIT,  /* examine the target against the journalled digest; a bad one is copied */
    PLAN_ERASE,  /* a hole of the source over old data; of as many chunks in a row as there are, up
                    to SIDE_ERASE_BYTES_MAX */
    PLAN_VERIFY, /* examine what was stored, against its digest */
    PLAN_MAP,    /* ask the source for the next data at or after offset */
    PLAN_RECALL, /* ask the target for journalled chunks, from entry `offset` of its journal on */
};

enum plan_answer {
    PLAN_ITEM,  /* *item is set */
    PLAN_LATER, /* nothing now; ask again when something has been done */
    PLAN_END,   /* nothing ever again */
};

#define PLAN_SIZE_UNKNOWN FILE_BYTES_MAX

enum { PLAN_REORDER = 4096, PLAN_VERIFY_MAX = 256, PLAN_RECALL_MAX = 1024 };

struct plan;

struct plan_config {
    uint64_t size_bytes; /* PLAN_SIZE_UNKNOWN: plan_arrived() will tell; of a part: where it ends */
    uint64_t start_bytes; /* of a part: where it begins; the chunks are those of the whole file, the
                             first and the last as far as they lie in it */
    uint32_t chunk_bytes;
    uint64_t compare_bytes; /* the target has old content up to here: CHECK; beyond it: COPY */
    bool sparse;            /* the source has holes: MAP first */
    bool blank;   /* the target reads as zeros beyond compare_bytes: zeros may be left out there */
    bool rewrite; /* never CHECK: old content is written over */
    bool resume;  /* a journal fits: only what is not listed is copied, the rest is audited */
    bool trust;   /* resume: no audit (--append) */
    bool against_source;      /* resume: audit against the source, too (--append-verify) */
    const char *compare_only; /* haul verify: the target's name for messages ("": none); nothing is
                                 stored. Else NULL */
    bool verify;
    uint32_t
        verify_lag; /* chunks that verification stays behind the writer, below PLAN_VERIFY_MAX */
};

/* `control->stop` is looked at where the next item may be long in coming. */
int plan_open(struct plan **out, const struct plan_config *config, struct progress *progress,
              const struct control *control, struct error *err);

/* The next thing to do goes to *item. Any lane may ask; blocks for no disk. */
enum plan_answer plan_next(struct plan *plan, struct plan_item *item);

/* Resume, before the first plan_next(): these chunks are journalled as durable. -EPROTO: a chunk
 * beyond the file. */
int plan_listed(struct plan *plan, const struct journal_entry *entries, uint32_t count,
                struct error *err);

/* --base-manifest, before the first plan_next(): the digests of the target's chunks are at hand, in
 * their order, a part at a time. false: no memory; then all is examined. */
bool plan_use_base(struct plan *plan);
/* Are the next of them waited for? */
bool plan_wants_base(struct plan *plan);
/* Here they are, PLAN_RECALL_MAX at most; none: that was all, what is left is examined. */
void plan_based(struct plan *plan, const struct journal_entry *entries, uint32_t count);

/* COPY of a pipe, before it is stored: so many bytes of the chunk have come, and where they are
 * fewer than its length the source has ended there; item->length is set to them. An item of which
 * nothing has come is ended by this. -EPROTO with words: the source has had two ends. */
int plan_arrived(struct plan *plan, struct plan_item *item, uint32_t bytes, struct error *err);

/* Of the file, once it is known: PLAN_SIZE_UNKNOWN before. */
uint64_t plan_size(struct plan *plan);

/* Outcomes. Each item is ended by exactly one of these. */
/* written: bytes of the chunk; what is left was there and right. */
void plan_copied(struct plan *plan, const struct plan_item *item, const struct digest *digest,
                 uint32_t written);
/* Only blocks in `set` could be read; they are at the target, `written` bytes now. The chunk stays
 * open: the file is never complete. */
void plan_broken(struct plan *plan, const struct plan_item *item,
                 const uint8_t set[BLOCKS_SET_BYTES], uint32_t written);
void plan_kept(struct plan *plan, const struct plan_item *item, const struct digest *digest);
/* compare only: the source has something else here. Ranges are put together and told through
 * log_error(). */
void plan_differs(struct plan *plan, const struct plan_item *item, const struct digest *digest);
void plan_erased(struct plan *plan, const struct plan_item *item);
/* ERASE of several chunks: the target cannot do that. They come one by one, from now on. */
void plan_erases_alone(struct plan *plan, const struct plan_item *item);
void plan_verified(struct plan *plan, const struct plan_item *item);
void plan_mapped(struct plan *plan, const struct plan_item *item, uint64_t start, uint64_t end);
/* RECALL: the entries, and where to go on (0: that was all). */
void plan_recalled(struct plan *plan, const struct plan_item *item,
                   const struct journal_entry *entries, uint32_t count, uint64_t next);
void plan_returned(struct plan *plan,
                   const struct plan_item *item); /* a lane failed: somebody else's now */

/* Nothing more is yielded: the copy has failed. */
void plan_cancel(struct plan *plan);

/* The digest of digests. false while it is not known: not all chunks are done, or the file was
 * resumed (chunks end out of order then; the journal has all digests). */
bool plan_digest(struct plan *plan, struct digest *out);

/* Every item has been yielded and ended well. */
bool plan_complete(struct plan *plan);

/* The same, but that some may be broken. */
bool plan_ended(struct plan *plan);

/* NULL is legal; no lane may ask any more. */
void plan_close(struct plan *plan);

#endif
