/* side.c - what all ends share: who has which slot, and one operation from start to finish. */
#include "haul/side/side.h"

#include <assert.h>
#include <errno.h>

static const char *const op_names[] = {
    [SIDE_DESCRIBE] = "look at it",
    [SIDE_OPEN] = "open it",
    [SIDE_MAP] = "search for holes",
    [SIDE_RECALL] = "read its journal",
    [SIDE_FETCH] = "read a chunk",
    [SIDE_EXAMINE] = "read a chunk back",
    [SIDE_STORE] = "write a chunk",
    [SIDE_KEEP] = "keep a chunk",
    [SIDE_ERASE] = "make a hole",
    [SIDE_SYNC] = "sync to the disk",
    [SIDE_COMMIT] = "finish it",
    [SIDE_ABANDON] = "let go of it",
    [SIDE_ADJUST] = "set its attributes",
    [SIDE_TOUR] = "begin a walk",
    [SIDE_WALK] = "go on with a walk",
    [SIDE_MAKE] = "make it",
    [SIDE_DETAIL] = "read what it has",
    [SIDE_DRESS] = "give it what it should have",
    [SIDE_LIST] = "list it",
    [SIDE_MISSING] = "look for what is missing",
    [SIDE_REMOVE] = "remove it",
    [SIDE_TAKE] = "read it",
    [SIDE_PUT] = "write it",
    [SIDE_CANCEL] = "stop waiting for it",
    [SIDE_BLOCKS] = "compare a chunk",
    [SIDE_DIFFER] = "compare a chunk",
    [SIDE_PRESS] = "wait no longer",
    [SIDE_NAMES] = "take the names of a list",
    [SIDE_DELIVER] = "write it",
    [SIDE_CARRY] = "copy it as a whole",
};

void side_start(struct side *side, struct slot *slot, enum side_op op)
{
    slot->op = op;
    if (slot->result < 0) /* else nothing was said: of hundreds of slots each has a page for that */
        error_clear(slot->error);
    slot->result = 0;
    slot->matched = false;
    slot->count = 0;
    slot->partial &= op == SIDE_STORE; /* else it is what DIFFER has said of another chunk */
    slot->broken &= op == SIDE_STORE;
    slot->extent_start = slot->extent_end = 0;
    side->inflight++;
    side->ops->start(side, slot);
}

/* What failed has words, whoever made it fail: nobody above may take their absence for success. */
static void side_words(const struct side *side, struct slot *slot)
{
    const char *path = side->role == SIDE_SOURCE ? slot->job->source_path : slot->job->target_path;
    if (slot->result < 0)
        (void)error_settle(slot->error, slot->result, "%s: %s", path ? path : "",
                           op_names[slot->op]);
}

int side_reap(struct side *side, struct slot **out, uint32_t max, bool wait)
{
    /* Idle, too: a peer that hears nothing for two minutes gives up, and a copy may be held back
     * for longer (--bwlimit). */
    int count = side->ops->reap(side, out, max, wait && side->inflight > 0);
    if (count < 0)
        (void)error_settle(&side->error, count, "a side of the copy broke");
    for (int i = 0; i < count; i++)
        side_words(side, out[i]);
    if (count > 0) {
        assert((uint32_t)count <= side->inflight);
        side->inflight -= (uint32_t)count;
    }
    return count;
}

int side_wait_fd(struct side *side, short *events)
{
    return side->ops->wait_fd(side, events);
}

void side_close(struct side *side)
{
    if (side)
        side->ops->close(side);
}

bool side_erases_many(const struct slot *slot)
{
    uint32_t chunk_bytes = slot->job->chunk_bytes;
    return slot->offset / chunk_bytes != (slot->offset + slot->length - 1) / chunk_bytes;
}

int side_call(struct side *side, struct slot *slot, enum side_op op, struct error *err)
{
    struct slot *done = NULL;
    if (side->inflight > 0) /* its engine broke and never gave them back */
        return error_set(err, EIO, "a side of the copy is of no use any more");
    side_start(side, slot, op);
    while (!done) {
        int count = side_reap(side, &done, 1, true);
        if (count < 0)
            return error_take(err, &side->error);
    }
    assert(done == slot);
    return slot->result < 0 ? error_take(err, slot->error) : 0;
}
