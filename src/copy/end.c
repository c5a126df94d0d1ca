/* end.c - what all ends share: who has which slot, and one operation from start to finish. */
#include "haul/end.h"

#include <assert.h>
#include <errno.h>

static const char *const op_names[] = {
    [END_DESCRIBE] = "look at it",       [END_OPEN] = "open it",
    [END_MAP] = "search for holes",      [END_RECALL] = "read its journal",
    [END_FETCH] = "read a chunk",        [END_EXAMINE] = "read a chunk back",
    [END_STORE] = "write a chunk",       [END_KEEP] = "keep a chunk",
    [END_ERASE] = "make a hole",         [END_SYNC] = "sync to the disk",
    [END_COMMIT] = "finish it",          [END_ABANDON] = "let go of it",
    [END_ADJUST] = "set its attributes",
};

void end_start(struct end *end, struct slot *slot, enum end_op op)
{
    slot->op = op;
    slot->result = 0;
    slot->error.class = ERROR_NONE;
    slot->matched = false;
    slot->count = 0;
    end->inflight++;
    end->ops->start(end, slot);
}

/* What failed has words, whoever made it fail: nobody above may take their absence for success. */
static void end_words(const struct end *end, struct slot *slot)
{
    const char *path = end->role == END_SOURCE ? slot->job->source_path : slot->job->target_path;
    if (slot->result < 0)
        (void)error_settle(&slot->error, slot->result, "%s: %s", path ? path : "",
                           op_names[slot->op]);
}

int end_reap(struct end *end, struct slot **out, uint32_t max, bool wait)
{
    /* Idle, too: a peer that hears nothing for two minutes gives up, and a copy may be held back
     * for longer (--bwlimit). */
    int count = end->ops->reap(end, out, max, wait && end->inflight > 0);
    if (count < 0)
        (void)error_settle(&end->error, count, "an end of the copy broke");
    for (int i = 0; i < count; i++)
        end_words(end, out[i]);
    if (count > 0) {
        assert((uint32_t)count <= end->inflight);
        end->inflight -= (uint32_t)count;
    }
    return count;
}

int end_wait_fd(struct end *end, short *events)
{
    return end->ops->wait_fd(end, events);
}

void end_close(struct end *end)
{
    if (end)
        end->ops->close(end);
}

int end_call(struct end *end, struct slot *slot, enum end_op op, struct error *err)
{
    struct slot *done = NULL;
    if (end->inflight > 0) /* its engine broke and never gave them back */
        return error_set(err, EIO, "an end of the copy is of no use any more");
    end_start(end, slot, op);
    while (!done) {
        int count = end_reap(end, &done, 1, true);
        if (count < 0)
            return error_take(err, &end->error);
    }
    assert(done == slot);
    return slot->result < 0 ? error_take(err, &slot->error) : 0;
}
