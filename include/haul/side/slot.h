/* slot.h - one aligned buffer and the one operation in it. No behaviour: the codec codes these very
 * structures. */
#ifndef HAUL_SLOT_H
#define HAUL_SLOT_H

#include "haul/base/blocks.h"
#include "haul/base/error.h"
#include "haul/base/hash.h"
#include "haul/base/queue.h"
#include "haul/disk/job.h"

#include <stdbool.h>
#include <stdint.h>

enum side_op {
    SIDE_DESCRIBE, /* role's path -> facts; changes nothing. wish.dry: and fails where OPEN would */
    SIDE_OPEN,   /* source: open. target: create or open, lock, find the journal, set the final size
                  */
    SIDE_MAP,    /* source: next data at or after slot->offset -> extent_start, extent_end */
    SIDE_RECALL, /* target: journalled chunks from entry number slot->offset of the journal on ->
                   buffer, count; extent_start: where to go on, 0 at the end */
    SIDE_FETCH,  /* source: read and digest a chunk; conditional: no payload when its digest is
                   `expected`. Of a pipe: the chunks before it come first; count is less than the
                   length where the pipe ends, and 0 behind its end */
    SIDE_EXAMINE, /* target: read a chunk from the medium and digest it; the payload stays there */
    SIDE_STORE,  /* target: write the buffer; it is not durable yet. To a pipe: the chunks before it
                    go first */
    SIDE_KEEP,   /* target: the chunk was found right as it is: journal it with the next sync */
    SIDE_ERASE,  /* target: make the range, of whole chunks, read as zeros. -EOPNOTSUPP: it can
                    only write zeros, of one chunk at a time */
    SIDE_SYNC,   /* target: everything stored before becomes durable, and journalled */
    SIDE_COMMIT, /* source: leave the cache clean, check that it is unchanged. target: sync, leave
                   the cache clean, metadata, sync file and folder, remove the journal. Both: fill
                   the side's report */
    SIDE_ABANDON, /* both: close without committing; the journal stays; the report is filled */
    SIDE_ADJUST,  /* target that is not open: its attributes become those of facts[SIDE_SOURCE],
                    where  they are others; data are not looked at. Fills the report's outcome of
                    them
                  */
    /* Of trees. What they move are bytes: `length` of a request's are in the buffer, or, where it
     * asks for some, have room there; `count` of the outcome's are. The format is entry.h's. */
    SIDE_TOUR,   /* source, bytes in: the walk of source_path begins, by the rules in the buffer.
                    Its job stays until ABANDON */
    SIDE_WALK,   /* source, bytes out: its next entries. extent_start: enum walk_next */
    SIDE_MAKE,   /* target: what facts[SIDE_SOURCE].kind says is there, and right -> made. A folder
                    is left writable for us, until ADJUST */
    SIDE_DETAIL, /* source, bytes out: access control lists and extended attributes, or a piece of
                    them, from `offset` on; none: count 0. extent_start: where to go on, or 0 */
    SIDE_DRESS,  /* target, bytes in: they, or that piece of them, become exactly these; of an open
                    file before COMMIT */
    SIDE_LIST,   /* target, bytes out: names in the folder target_path, from the cookie `offset` on;
                    extent_start: the next cookie, or 0 */
    SIDE_MISSING, /* source, bytes in and out: those of these names that source_path has not, and
                     that no rule of the tour protects, are left. Of a folder that goes from the
                     target itself (facts[SIDE_SOURCE].kind FILE_NONE) it has none */
    SIDE_REMOVE,  /* target: target_path goes, a folder with all in it. source: source_path, if it
                     still is facts[SIDE_SOURCE] */
    SIDE_TAKE,    /* source, bytes out: a whole small file and its facts; -EAGAIN: it is none. A
                     source that is far away lends a pocket when the bytes come */
    SIDE_PUT,     /* target, bytes in: the whole file is written, a new one or over a small one, of
                     which only what differs -> kept_bytes; it is open until COMMIT. -EAGAIN: what
                     is there is none, or no file can be made; -EEXIST: `conditional`, and there is
                     something, or a journal */
    SIDE_CANCEL,  /* both: what waits at this file for the other end of a pipe comes back with
                     -ECANCELED, now and from now on. Nothing else is affected */
    /* Of a chunk whose digests differ, in the same slot and of the same range: */
    SIDE_BLOCKS,  /* target, after an EXAMINE with `blocks`: -> digests */
    SIDE_DIFFER,  /* source, after a FETCH that was `sparing`: digests -> the buffer is the source's
                     chunk, of which only the blocks in `set` were moved (partial), or all. What the
                     buffer has of others is what EXAMINE has read */
    SIDE_PRESS,   /* target: its small files that wait for others need not: nothing else comes */
    SIDE_NAMES,   /* source, bytes in: the next names of a walk that is listed, as names.h packs
                     them; none: that was all */
    SIDE_DELIVER, /* target that is far away, bytes in: PUT and, where that succeeds, COMMIT: one
                     message and one answer. It fails as either, and then the job is not open. A
                     buffer that is a pocket is given back as soon as the bytes are on their way;
                     -EAGAIN: they have not arrived as they were */
    SIDE_CARRY,   /* target, both sides being local: TAKE and PUT in one call. Without a buffer: in
                    one of the side's, of SMALL_POCKET_BYTES at least. -EAGAIN: as these; -EEXIST:
                    `conditional`, and there is something. Over a link it does not go */
};
#define SIDE_OPS_COUNT       (SIDE_DELIVER + 1)  /* that may go over a link */
#define SIDE_ERASE_BYTES_MAX ((uint32_t)1 << 30) /* of one ERASE */

struct pockets;

enum slot_state {
    SLOT_FREE,       /* nobody's; the plan may use it */
    SLOT_MAPPING,    /* the source looks for the next data */
    SLOT_RECALLING,  /* the target reads its journal */
    SLOT_EXAMINING,  /* the target digests what it has */
    SLOT_HOLDING,    /* no side has it; --bwlimit lets nothing be fetched now */
    SLOT_FETCHING,   /* the source reads and digests */
    SLOT_ASKING,     /* the target tells the digests of the chunk's blocks */
    SLOT_DIFFERING,  /* the source gives those blocks that are others */
    SLOT_ORDERING,   /* no side has it; chunks before it are to be digested first */
    SLOT_STORING,    /* the target writes */
    SLOT_KEEPING,    /* the target notes a chunk that was right */
    SLOT_ERASING,    /* the target makes a hole */
    SLOT_VERIFYING,  /* the target reads back what was stored */
    SLOT_SYNCING,    /* the target makes durable what was stored before */
    SLOT_CANCELLING, /* what waits for the other end of a pipe is called back */
    SLOT_PRESSING,   /* the target hears that nothing else comes behind its small files */
    SLOT_STEPPING,   /* a step of its file's life, at either side: see life.h */
    SLOT_LENT,       /* the buffer belongs to a file's life, which does nothing with it now */
    SLOT_LOST,       /* its side broke and never gave it back */
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
    struct queue_link link; /* the holder's own: a side's, while it has the slot */
    uint32_t index;  /* among all slots of the lane, control slots included: the tag on the wire */
    uint8_t *buffer; /* NULL for control slots */
    uint32_t capacity;
    struct pockets *pockets; /* that its buffer is lent from, now or later; NULL: it is its own */
    uint8_t *digests; /* of the blocks of a target's chunk: room for those of capacity bytes */
    uint8_t *set; /* of blocks, see partial and broken: BLOCKS_SET_BYTES; NULL without a buffer */

    /* The operation. Set by the pump; the side leaves it alone. */
    enum slot_state state;
    enum side_op op;
    struct job *job;
    uint64_t asked_ns; /* of a server: it came then; 0: now */
    uint64_t offset;   /* bytes, a multiple of the chunk size; MAP: any; RECALL: entries */
    uint32_t length;   /* bytes, at most capacity where there is a buffer, but for ERASE */
    bool conditional;  /* FETCH, EXAMINE: see expected; SYNC of a root: of earlier sessions, too */
    bool from_medium;  /* EXAMINE: not from the page cache */
    bool blocks;       /* EXAMINE: BLOCKS may follow, where it has not matched */
    bool sparing; /* FETCH: if it differs, DIFFER follows: whoever is far away need not send it */
    bool
        partial; /* STORE: only the blocks in `set`; the buffer is the whole chunk. Set by DIFFER */
    bool broken; /* FETCH that leaves out what cannot be read, and the STORE behind it: only blocks
                    in `set` are there. The buffer has zeros for the others, and the target keeps
                    what it has; the chunk is not done */
    bool blank;  /* STORE: the range reads as zeros, so whole blocks of zeros may be left out.
                    Else every byte is written: something else may stand there */
    struct digest expected;
    enum side_role role; /* CANCEL: at which side */
    struct plan_item item;

    /* The outcome. Set by the side before it gives the slot back. */
    int result;           /* 0 or -errno */
    struct digest digest; /* FETCH, EXAMINE: of the content; STORE, KEEP: given by the pump */
    bool matched;         /* FETCH, EXAMINE conditional: the digest was the expected one */
    bool held;            /* FETCH sparing: the content was not sent */
    uint32_t count; /* FETCH, EXAMINE: bytes that were there; RECALL: entries in the buffer, as
                       struct journal_entry; bytes out */
    uint64_t extent_start, extent_end; /* MAP; RECALL, WALK, LIST: start */

    struct error *error; /* result below 0: in words what failed. The memory is that of whoever has
                            the slot, and touched by failures only. Last */
};

#endif
