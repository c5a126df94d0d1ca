/* end.c - what all ends share: who has which slot, and one operation from start to finish. */
#include "haul/end.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

enum { CALL_WAIT_MS = 200 }; /* how soon a stop is noticed, or a PING said */

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

/* Nothing is asked of the other end, but its link is kept alive: a disk may take minutes. */
static void end_call_wait(struct end *end, struct end *other)
{
    struct pollfd polls[2] = {{.fd = -1}, {.fd = -1}};
    struct slot *none;
    polls[0].fd = end_wait_fd(end, &polls[0].events);
    if (polls[0].fd < 0) /* it works, or waits, when it is asked */
        return;
    if (other && other->inflight == 0 && end_reap(other, &none, 1, false) == 0)
        polls[1].fd = end_wait_fd(other, &polls[1].events);
    (void)poll(polls, 2, CALL_WAIT_MS);
}

int end_call(struct end *end, struct end *other, struct slot *slot, enum end_op op,
             struct error *err)
{
    struct slot *done = NULL;
    if (end->inflight > 0) /* its engine broke and never gave them back */
        return error_set(err, EIO, "an end of the copy is of no use any more");
    end_start(end, slot, op);
    for (;;) {
        short ignored;
        bool works = end_wait_fd(end, &ignored) < 0;
        int count = end_reap(end, &done, 1, works);
        if (count < 0) {
            error_take(err, &end->error);
            return count;
        }
        if (done)
            break;
        end_call_wait(end, other);
    }
    assert(done == slot);
    if (slot->result < 0)
        error_take(err, &slot->error);
    return slot->result;
}
