/* local_salvage.c - a chunk of a source that cannot be read as a whole. It is read again in smaller
 * pieces, in the same buffer, and around the bad place in blocks, so that a byte is asked for with
 * its chunk, with a piece and with its block, and not again: a disk that is dying bears no more.
 * Where nothing at all could be read of several chunks in a row, only the last block of those that
 * follow is tried, until that can be read. What is made of the blocks that are missing then was
 * wished: see read_errors. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <errno.h>
#include <string.h>

enum {
    SALVAGE_PIECE_BYTES = 64 * 1024,
    SALVAGE_LARGE_BYTES = 1024 * 1024, /* of chunks that are larger */
    SALVAGE_BARREN_MAX = 8,
};

static work_then salvage_read_done;

/* A block, or what direct reads must keep to. */
static uint32_t salvage_least(const struct work *work)
{
    return (uint32_t)max_u64(BLOCKS_SIZE, work->request.block);
}

/* How much is to be read at the cursor, where so much could not be. */
static uint32_t salvage_piece(const struct work *work, uint32_t failed)
{
    static const uint32_t pieces[] = {SALVAGE_LARGE_BYTES, SALVAGE_PIECE_BYTES};
    uint32_t least = salvage_least(work), within = num_u32(work->cursor - work->slot->offset);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        if (pieces[i] < failed && pieces[i] > least && within % pieces[i] == 0)
            return pieces[i];
    }
    return least;
}

static void salvage_end(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    slot->broken = blocks_bytes(slot->set, slot->length) < slot->length;
    if (!slot->broken)
        log_verbose("%s: the chunk at byte %llu could be read in smaller pieces only",
                    work->open->file.path, (unsigned long long)slot->offset);
    bool barren = blocks_bytes(slot->set, slot->length) == 0;
    work->open->barren_count = barren ? work->open->barren_count + 1 : 0;
    slot->count = slot->length;
    work->salvaged(self, work, 0);
}

static void salvage_submit(struct local *self, struct work *work, work_then *then)
{
    const struct slot *slot = work->slot;
    uint32_t within = num_u32(work->cursor - slot->offset);
    uint32_t length = (uint32_t)min_u64(work->piece, slot->length - within);
    work->request = (struct request){
        .kind = REQUEST_READ,
        .fd = work->request.fd,
        .offset = work->cursor,
        .length = align_up(length, work->request.block),
        .need = length,
        .block = work->request.block,
        .buffer = slot->buffer + within,
    };
    work_submit(self, work, then);
}

static void salvage_next(struct local *self, struct work *work)
{
    if (work->cursor == work->slot->offset + work->slot->length)
        salvage_end(self, work);
    else
        salvage_submit(self, work, salvage_read_done);
}

/* The piece is there, or it is given up. */
static void salvage_on(struct local *self, struct work *work)
{
    work->cursor += work->request.need;
    work->piece = salvage_piece(work, work->slot->length);
    salvage_next(self, work);
}

static void salvage_stop(struct local *self, struct work *work, int result)
{
    struct slot *slot = work->slot;
    error_set(slot->error, -result, "%s: bytes %llu to %llu cannot be read%s",
              work->open->file.path, (unsigned long long)work->cursor,
              (unsigned long long)(work->cursor + work->request.need - 1),
              slot->job->wish.compare_only ? "" : "; --read-errors=skip copies the rest");
    work->salvaged(self, work, result);
}

static void salvage_failed(struct local *self, struct work *work, int result)
{
    uint32_t smaller = salvage_piece(work, work->piece);
    bool hopeless = work->open->barren_count >= SALVAGE_BARREN_MAX && smaller < SALVAGE_PIECE_BYTES;
    if (smaller < work->piece && !hopeless) {
        work->piece = smaller;
        salvage_next(self, work);
    } else if (work->slot->job->wish.read_errors == READ_ERRORS_STOP) {
        salvage_stop(self, work, result);
    } else {
        memset(work->request.buffer, 0, work->request.need);
        salvage_on(self, work);
    }
}

static void salvage_read_done(struct local *self, struct work *work, int result)
{
    uint32_t within = num_u32(work->cursor - work->slot->offset);
    if (result < 0 && file_is_unreadable(result)) {
        salvage_failed(self, work, result);
    } else if (result < 0) {
        work->salvaged(self, work, result);
    } else if (work->request.done < work->request.need) {
        work->slot->count = within + work->request.done;
        work->salvaged(self, work, 0);
    } else {
        work->open->barren_count = 0;
        blocks_add(work->slot->set, within, within + work->request.need);
        salvage_on(self, work);
    }
}

/* A small chunk once more as it is: it may have failed for its neighbour, with which the kernel has
 * made one request of it. */
static void salvage_begin(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    work->cursor = slot->offset;
    work->piece =
        slot->length <= SALVAGE_PIECE_BYTES ? slot->length : salvage_piece(work, slot->length);
    salvage_next(self, work);
}

/* Amid much that cannot be read: does it end in this chunk? */
static void salvage_felt(struct local *self, struct work *work, int result)
{
    const struct slot *slot = work->slot;
    if (result == 0 || !file_is_unreadable(result)) {
        salvage_begin(self, work);
        return;
    }
    memset(slot->buffer, 0, slot->length);
    salvage_end(self, work);
}

static void salvage_feel(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    work->piece = salvage_least(work);
    work->cursor = slot->offset + align_down(slot->length - 1, work->piece);
    salvage_submit(self, work, salvage_felt);
}

void local_salvage(struct local *self, struct work *work, work_then *then)
{
    work->salvaged = then;
    memset(work->slot->set, 0, BLOCKS_SET_BYTES);
    if (work->open->barren_count < SALVAGE_BARREN_MAX)
        salvage_begin(self, work);
    else
        salvage_feel(self, work);
}
