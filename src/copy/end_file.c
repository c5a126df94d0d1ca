/* end_file.c - a local end: hands slots to the file that does the work and gives them back. What is
 * done with chunks is in end_file_io.c, with whole files in end_file_life.c, the watch over the
 * page cache in end_file_cache.c. */
#include "end_file.h"

#include "haul/cleanup.h"
#include "haul/num.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct end_file *end_file_of(struct end *end)
{
    return (struct end_file *)end;
}

static struct open_file *end_file_find(struct end_file *self, const struct job *job)
{
    for (uint32_t i = 0; i < self->config.jobs_max; i++) {
        if (self->opens[i].used && self->opens[i].job_number == job->number)
            return &self->opens[i];
    }
    return NULL;
}

static bool end_file_needs_no_open(enum end_op op)
{
    return op == END_DESCRIBE || op == END_OPEN || op == END_ABANDON || op == END_ADJUST;
}

/* Where nothing may be told of a target, no operation reads it: not its digests, which would let a
 * guess be tried, nor its holes. */
static bool end_file_withholds(const struct end_file *self, enum end_op op)
{
    if (place_may_read(self->config.place))
        return false;
    return op == END_MAP || op == END_RECALL || op == END_FETCH || op == END_EXAMINE;
}

static void end_file_start(struct end *end, struct slot *slot)
{
    struct end_file *self = end_file_of(end);
    assert(slot->index < self->config.slots_count);
    struct work *work = &self->works[slot->index];
    assert(!work->busy);
    work->busy = true;
    work->slot = slot;
    work->open = end_file_find(self, slot->job);
    if (!work->open && !end_file_needs_no_open(slot->op)) { /* a peer's mistake can get here */
        error_set(&slot->error, EBADF, "a file that is not open was asked for");
        work_finish(self, work, -EBADF);
        return;
    }
    if (end_file_withholds(self, slot->op)) {
        error_set_class(&slot->error, ERROR_FILE, EACCES,
                        "%s: haul is restricted to writing there, nothing can be read",
                        work->open->file.path);
        work_finish(self, work, -EACCES);
        return;
    }
    switch (slot->op) {
    case END_DESCRIBE:
        work_call(self, work, end_file_describe, work_finish);
        break;
    case END_OPEN:
        end_file_open_job(self, work);
        break;
    case END_MAP:
        work_call(self, work, end_file_map, work_finish);
        break;
    case END_RECALL:
        work_call(self, work, end_file_recall, work_finish);
        break;
    case END_KEEP:
        end_file_note(work);
        work_finish(self, work, 0);
        break;
    case END_FETCH:
    case END_EXAMINE:
    case END_STORE:
        end_file_transfer(self, work);
        break;
    case END_ERASE:
        end_file_erase(self, work);
        break;
    case END_SYNC:
        end_file_sync(self, work);
        break;
    case END_ADJUST:
        work_call(self, work, end_file_adjust, work_finish);
        break;
    case END_COMMIT:
    case END_ABANDON:
        end_file_leave(self, work);
        break;
    }
}

/* Slots that waited for a window: try them again, in order. */
static void end_file_retry_held(struct end_file *self)
{
    struct queue held = self->held;
    struct slot *slot;
    self->held = (struct queue){NULL, NULL};
    while ((slot = queue_take(&held)))
        end_file_transfer(self, &self->works[slot->index]);
}

static void end_file_completed(struct end_file *self, struct request *request)
{
    enum owner *owner = request->owner;
    switch (*owner) {
    case OWNER_WORK:
        work_completed(self, work_of_owner(owner));
        break;
    case OWNER_GROUP:
        sync_group_done(self);
        break;
    case OWNER_CACHE:
        end_file_tended((struct open_file *)((char *)owner - offsetof(struct open_file, owner)),
                        request);
        break;
    }
}

/* Let every file's windows go on, and whoever waited for them. */
static void end_file_go_on(struct end_file *self)
{
    end_file_tend_all(self, self->held.first ? CACHE_PRESSED : CACHE_RELAXED);
    work_look(self);
    sync_group_look(self);
}

static bool end_file_is_ready(const struct end_file *self)
{
    return work_is_ready(self) || sync_group_is_due(self);
}

static int end_file_reap(struct end *end, struct slot **out, uint32_t max, bool wait)
{
    struct end_file *self = end_file_of(end);
    struct request *done[16];
    int count = engine_reap(self->engine, done, COUNT_OF(done), wait && !end_file_is_ready(self));
    if (count < 0) {
        error_set(&end->error, -count, "the %s engine failed",
                  engine_name(self->engine->ops->kind));
        return count;
    }
    for (int i = 0; i < count; i++)
        end_file_completed(self, done[i]);
    end_file_go_on(self);
    if (self->held.first) {
        end_file_retry_held(self);
        if (self->held.first)
            end_file_go_on(self);
    }
    return (int)work_take_ready(self, out, max);
}

static int end_file_wait_fd(struct end *end, short *events)
{
    struct end_file *self = end_file_of(end);
    *events = POLLIN;
    return end_file_is_ready(self) ? -1 : engine_wait_fd(self->engine);
}

static void end_file_close(struct end *end)
{
    struct end_file *self = end_file_of(end);
    engine_close(self->engine); /* drains: the kernel may own buffers */
    for (uint32_t i = 0; self->opens && i < self->config.jobs_max; i++) {
        ledger_close(&self->opens[i].ledger);
        cache_close(&self->opens[i].cache);
        if (self->opens[i].used)
            file_close(&self->opens[i].file);
    }
    free(self->opens);
    free(self->works);
    free(self);
}

static const struct end_ops end_file_ops = {
    .start = end_file_start,
    .reap = end_file_reap,
    .wait_fd = end_file_wait_fd,
    .close = end_file_close,
};

static int end_file_check_role(const struct end_file_config *config, struct error *err)
{
    if (config->role == END_SOURCE && !place_may_read(config->place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "haul is restricted to writing there (--restrict=...,wo): nothing "
                               "can be copied from there");
    /* A target that may not be written can still be compared; each file that would be written is
     * refused by itself. */
    return 0;
}

int end_file_open(struct end **out, const struct end_file_config *config, struct error *err)
{
    int result = end_file_check_role(config, err);
    if (result < 0)
        return result;
    struct end_file *self = calloc(1, sizeof(*self));
    result = -ENOMEM;
    if (!self)
        goto fail;
    self->end = (struct end){.ops = &end_file_ops, .role = config->role};
    self->config = *config;
    self->pool = (struct cache_pool){
        .window_bytes = config->window_bytes,
        .windows_count = config->windows_count,
        .windows_do_not_fit = config->windows_do_not_fit,
        .in_flight_bytes = config->in_flight_bytes,
    };
    self->engine = config->given;
    self->opens = calloc(config->jobs_max, sizeof(*self->opens)); /* no page before it is used */
    self->works = calloc(config->slots_count, sizeof(*self->works));
    if (!self->opens || !self->works)
        goto fail;
    for (uint32_t i = 0; i < config->slots_count; i++)
        self->works[i].owner = OWNER_WORK;
    sync_group_init(&self->group);
    if (!self->engine) {
        /* One request a slot, one a window of all files, one sweep a file, one sync of many. */
        struct engine_config engine = config->engine;
        engine.depth = config->slots_count + CACHE_POOL_WINDOWS + config->jobs_max + 1;
        result = engine_open(&self->engine, &engine, err);
        if (result < 0)
            goto fail;
    }
    *out = &self->end;
    return 0;
fail:
    if (self)
        end_file_close(&self->end);
    else
        error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the local end");
    return result;
}
