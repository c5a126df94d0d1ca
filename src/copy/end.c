/* end.c - what all ends share: who has which slot, and one operation from start to finish. */
#include "haul/end.h"

#include <assert.h>
#include <errno.h>

void end_start(struct end *end, struct slot *slot, enum end_op op)
{
    slot->op = op;
    slot->result = 0;
    slot->matched = false;
    slot->count = 0;
    slot->next = NULL;
    end->inflight++;
    end->ops->start(end, slot);
}

int end_reap(struct end *end, struct slot **out, uint32_t max, bool wait)
{
    /* Idle, too: a peer that hears nothing for two minutes gives up, and a copy may be held back
     * for longer (--bwlimit). */
    int count = end->ops->reap(end, out, max, wait && end->inflight > 0);
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
    /* What failed before has been handed over, or was a consequence of the other end's failure. */
    end->error.class = ERROR_NONE;
    end_start(end, slot, op);
    while (!done) {
        int count = end_reap(end, &done, 1, true);
        if (count < 0) {
            error_take(err, &end->error);
            return count;
        }
    }
    assert(done == slot);
    if (slot->result < 0)
        error_take(err, &end->error);
    return slot->result;
}
