/* local_stream.c - pipes at a local side. Slots come in any order and go through in that of their
 * offsets, one at a time: whoever is not next waits in a queue. No thread waits for the other end:
 * each attempt takes a moment, and is made again. */
#include "local_state.h"

#include "haul/base/hash.h"
#include "haul/base/num.h"
#include "haul/disk/pipe.h"

#include <errno.h>

static work_then stream_moved;

/* ---- open ---- */

int local_stream_open(struct local *self, struct open_file *open, struct job *job,
                      struct error *err)
{
    struct file *file = &open->file;
    bool reading = self->side.role == SIDE_SOURCE;
    const char *path = reading ? job->source_path : job->target_path;
    if (self->config.is_server && pipe_descriptor(path) >= 0)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: carries what haul says to the other machine", path);
    int result = reading ? pipe_open_source(file, path, job->wish.size_bytes, err)
                         : pipe_open_target(file, path, job->wish.write_devices, err);
    if (result < 0)
        return result;
    open->reading = true; /* nothing is written that could be synced */
    open->stream = (struct local_stream){
        .used = true,
        .endless = reading && pipe_is_endless(file),
    };
    job->facts[self->side.role] = file->facts;
    job->target_readable = reading;
    job->target_fresh = true;
    job->journal = JOURNAL_ABSENT;
    job->old_bytes = 0;
    ledger_init(&open->ledger, file, job);
    return 0;
}

/* ---- in order ---- */

static bool is_next(const struct local_stream *stream, const struct slot *slot)
{
    return stream->ended || stream->cancelled || slot->offset == stream->position;
}

/* The slot has had its turn: whose is it now? */
static void stream_finish(struct local *self, struct work *work, int result)
{
    struct local_stream *stream = &work->open->stream;
    struct queue waiting = stream->waiting;
    struct slot *slot;
    stream->busy = false;
    stream->waiting = (struct queue){NULL, NULL};
    work_finish(self, work, result);
    while ((slot = queue_take(&waiting)))
        local_stream_start(self, &self->works[slot->index]);
}

static int stream_step(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    const struct local_stream *stream = &work->open->stream;
    const struct file *file = &work->open->file;
    uint32_t moved = num_u32(work->cursor - slot->offset), length = slot->length;
    (void)self;
    if (stream->endless) /* the rest is not asked for */
        length = num_u32(min_u64(length, file->facts.size_bytes - slot->offset));
    int result = slot->op == SIDE_FETCH ? pipe_read(file, slot->buffer, length, &moved)
                                        : pipe_write(file, slot->buffer, length, &moved);
    work->cursor = slot->offset + moved;
    if (result == 1 && length < slot->length)
        result = 0;
    return result < 0 ? result : result == 0 ? -ENODATA : 0;
}

static void stream_go(struct local *self, struct work *work)
{
    work_call(self, work, stream_step, stream_moved);
}

/* What was announced is what has to come: where the other end was killed, that is all there is to
 * tell it by. */
static int stream_count(struct work *work, bool ended)
{
    struct slot *slot = work->slot;
    const struct file *file = &work->open->file;
    uint64_t expected_bytes = file->facts.size_bytes;
    slot->count = num_u32(work->cursor - slot->offset);
    slot->digest = digest_of(slot->buffer, slot->count);
    if (expected_bytes == 0 || work->open->stream.endless)
        return 0;
    if (ended && work->cursor < expected_bytes)
        return error_set_class(slot->error, ERROR_FILE, ENODATA,
                               "%s: ended after %llu bytes, and --size says %llu; the target is "
                               "not complete",
                               file->path, (unsigned long long)work->cursor,
                               (unsigned long long)expected_bytes);
    if (work->cursor > expected_bytes)
        return error_set_class(slot->error, ERROR_FILE, EFBIG,
                               "%s: brings more than the %llu bytes that --size says", file->path,
                               (unsigned long long)expected_bytes);
    return 0;
}

static void stream_failed(struct local *self, struct work *work, int result)
{
    const char *path = work->open->file.path;
    if (result == -EPIPE)
        error_set(work->slot->error, EPIPE, "%s: whoever read it has gone", path);
    else if (result != -ECANCELED)
        error_set(work->slot->error, -result, "%s: %s at byte %llu", path,
                  work->slot->op == SIDE_FETCH ? "read error" : "write error",
                  (unsigned long long)work->cursor);
    else
        error_set_class(work->slot->error, ERROR_INTERRUPTED, ECANCELED, "%s: given up", path);
    stream_finish(self, work, result);
}

static void stream_moved(struct local *self, struct work *work, int result)
{
    struct local_stream *stream = &work->open->stream;
    bool ended = result == -ENODATA;
    if (result == -EAGAIN && !stream->cancelled) {
        stream_go(self, work);
        return;
    }
    if (result < 0 && !ended) {
        stream_failed(self, work, stream->cancelled ? -ECANCELED : result);
        return;
    }
    stream->ended = ended;
    stream->position = work->cursor;
    stream_finish(self, work, work->slot->op == SIDE_FETCH ? stream_count(work, ended) : 0);
}

void local_stream_start(struct local *self, struct work *work)
{
    struct local_stream *stream = &work->open->stream;
    struct slot *slot = work->slot;
    if (stream->busy || !is_next(stream, slot)) {
        queue_put(&stream->waiting, &slot->link);
        return;
    }
    if (stream->ended && slot->offset >= stream->position && !stream->cancelled) {
        slot->count = 0;
        slot->digest = digest_of(slot->buffer, 0);
        work_finish(self, work, 0);
        return;
    }
    work->cursor = slot->offset;
    stream->busy = true;
    if (stream->cancelled)
        stream_failed(self, work, -ECANCELED);
    else if (slot->offset != stream->position) /* asked for again: a link has damaged it */
        stream_failed(self, work, -ESPIPE);
    else
        stream_go(self, work);
}

/* The slot that is at it notices by itself. */
void local_stream_cancel(struct local *self, struct open_file *open)
{
    struct queue waiting = open->stream.waiting;
    struct slot *slot;
    open->stream.cancelled = true;
    if (open->stream.busy)
        return;
    open->stream.waiting = (struct queue){NULL, NULL};
    while ((slot = queue_take(&waiting)))
        local_stream_start(self, &self->works[slot->index]);
}

int local_stream_check(const struct local *self, struct work *work)
{
    const struct local_stream *stream = &work->open->stream;
    const struct job *job = work->slot->job;
    bool all = self->side.role == SIDE_SOURCE
                   ? stream->ended
                   : stream->position == job->facts[SIDE_SOURCE].size_bytes;
    if (all)
        return 0;
    return error_set(work->slot->error, EIO, "%s: not all of it has gone through",
                     work->open->file.path);
}
