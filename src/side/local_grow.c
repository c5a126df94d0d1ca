/* local_grow.c - a target whose source is a pipe: it is given more size ahead of the chunks, since
 * writes that grow a file go one by one, and its final size at the end. What it is left with by a
 * run that dies is not the size of anything. */
#include "local_state.h"

#include "haul/base/num.h"

#include <errno.h>

enum { GROW_BYTES = 64 * 1024 * 1024 };

static uint64_t wanted_bytes(const struct work *work)
{
    return align_up(work->slot->offset + work->slot->length, GROW_BYTES);
}

static int grow_step(struct local *self, struct work *work)
{
    (void)self;
    return file_set_size(&work->open->file, wanted_bytes(work), work->slot->error);
}

static void grown(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    open->growing = false;
    if (result < 0) {
        work_finish(self, work, result);
        return;
    }
    open->size_bytes = wanted_bytes(work);
    local_transfer(self, work);
}

bool local_grow(struct local *self, struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    if (slot->offset + slot->length <= open->size_bytes)
        return false;
    if (!open->grows) {
        error_set_class(work->slot->error, ERROR_FILE, ENOSPC,
                        "%s: the device is smaller than the source", open->file.path);
        work_finish(self, work, -ENOSPC);
    } else if (open->growing) {
        queue_put(&self->held, &work->slot->link);
    } else {
        open->growing = true;
        work_call(self, work, grow_step, grown);
    }
    return true;
}

static int cut_step(struct local *self, struct work *work)
{
    struct open_file *open = work->open;
    const struct job *job = work->slot->job;
    bool commits = work->slot->op == SIDE_COMMIT;
    (void)self;
    if (commits && open->stored_bytes != job->facts[SIDE_SOURCE].size_bytes)
        return error_set(work->slot->error, EIO, "%s: not all of it has arrived", open->file.path);
    return file_set_size(&open->file, open->stored_bytes, work->slot->error);
}

void local_cut(struct local *self, struct work *work, work_then *then)
{
    struct open_file *open = work->open;
    open->size_bytes = open->cache.size_bytes = open->stored_bytes;
    cache_touch_edge(&open->cache, open->size_bytes);
    work_call(self, work, cut_step, then);
}
