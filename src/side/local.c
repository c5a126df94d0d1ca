/* local.c - a local side: hands slots to the file that does the work and gives them back. Which
 * file does what stands in local_state.h. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct local *local_of(struct side *side)
{
    return (struct local *)side;
}

static struct open_file *local_find(struct local *self, const struct job *job)
{
    for (uint32_t i = 0; self->opens_count > 0 && i < self->opens_end; i++) {
        if (self->opens[i].used && self->opens[i].job_number == job->number)
            return &self->opens[i];
    }
    return NULL;
}

static bool local_needs_no_open(enum side_op op)
{
    return op == SIDE_DESCRIBE || op == SIDE_OPEN || op == SIDE_ABANDON ||
           (op >= SIDE_ADJUST && op <= SIDE_CANCEL) || op == SIDE_PRESS || op == SIDE_NAMES;
}

/* What is one blocking call from its beginning to its end. */
static work_step *const steps[SIDE_OPS_COUNT] = {
    [SIDE_DESCRIBE] = local_describe, [SIDE_MAP] = local_map,         [SIDE_RECALL] = local_recall,
    [SIDE_ADJUST] = local_adjust,     [SIDE_TOUR] = local_tour,       [SIDE_WALK] = local_walk,
    [SIDE_MAKE] = local_make,         [SIDE_DETAIL] = local_detail,   [SIDE_DRESS] = local_dress,
    [SIDE_LIST] = local_list,         [SIDE_MISSING] = local_missing, [SIDE_REMOVE] = local_remove,
    [SIDE_TAKE] = local_take,         [SIDE_NAMES] = local_names,
};

/* Where nothing may be told of a target, no operation reads it: not its digests, which would let a
 * guess be tried, nor its holes. */
static bool local_withholds(const struct local *self, enum side_op op)
{
    if (place_may_read(self->config.place))
        return false;
    return op == SIDE_MAP || op == SIDE_RECALL || op == SIDE_FETCH || op == SIDE_EXAMINE;
}

void local_desert(struct side *side)
{
    struct local *self = local_of(side);
    atomic_store(&self->deserted, true);
    for (uint32_t i = 0; i < self->opens_end; i++) {
        if (self->opens[i].used && self->opens[i].stream.used)
            local_stream_cancel(self, &self->opens[i]);
    }
    work_look(self); /* who waits for a sign of it need not */
}

static void local_cancel(struct local *self, struct work *work)
{
    if (work->open && work->open->stream.used)
        local_stream_cancel(self, work->open);
    work_finish(self, work, 0);
}

/* FETCH, EXAMINE, STORE */
static void local_move(struct local *self, struct work *work)
{
    if (work->open->stream.used)
        local_stream_start(self, work);
    else if (work->slot->op != SIDE_STORE || !local_grow(self, work))
        local_transfer(self, work);
}

/* What is done with small files as a whole, or together. */
static bool local_start_small(struct local *self, struct work *work)
{
    enum side_op op = work->slot->op;
    if (op == SIDE_PRESS)
        local_press_batch(self, work);
    else if (op == SIDE_PUT || op == SIDE_CARRY)
        local_put(self, work);
    else if (work->small && op == SIDE_COMMIT)
        local_commit_small(self, work);
    else if (work->small && op == SIDE_ABANDON)
        local_abandon_small(self, work);
    else
        return false;
    return true;
}

static void local_start(struct side *side, struct slot *slot)
{
    struct local *self = local_of(side);
    assert(slot->index < self->config.slots_count);
    struct work *work = &self->works[slot->index];
    assert(!work->busy);
    work->busy = true;
    work->slot = slot;
    work->asked_ns = slot->asked_ns ? slot->asked_ns : clock_now_ns();
    work->goes_on = NULL;
    work->open = local_find(self, slot->job);
    work->small = batch_find(&self->batch, slot->job->number);
    if (local_start_small(self, work))
        return;
    if (slot->op == SIDE_SYNC && !work->open && slot->job->roots[SIDE_TARGET].number > 0) {
        work_call_placed(self, work, local_sync_root, work_finish);
        return;
    }
    if (!work->open && !local_needs_no_open(slot->op)) { /* a peer's mistake can get here */
        error_set(slot->error, EBADF, "a file that is not open was asked for");
        work_finish(self, work, -EBADF);
        return;
    }
    if (local_withholds(self, slot->op)) {
        error_set_class(slot->error, ERROR_FILE, EACCES,
                        "%s: haul is restricted to writing there, nothing can be read",
                        work->open->file.path);
        work_finish(self, work, -EACCES);
        return;
    }
    switch (slot->op) {
    case SIDE_OPEN:
        local_open_job(self, work);
        break;
    case SIDE_KEEP:
        local_note(work);
        work_finish(self, work, 0);
        break;
    case SIDE_FETCH:
    case SIDE_EXAMINE:
    case SIDE_STORE:
        local_move(self, work);
        break;
    case SIDE_CANCEL:
        local_cancel(self, work);
        break;
    case SIDE_BLOCKS:
    case SIDE_DIFFER:
        local_compare_blocks(slot);
        work_finish(self, work, 0);
        break;
    case SIDE_ERASE:
        local_erase(self, work);
        break;
    case SIDE_SYNC:
        local_sync(self, work);
        break;
    case SIDE_COMMIT:
    case SIDE_ABANDON:
        local_leave(self, work);
        break;
    case SIDE_MAP:
    case SIDE_RECALL:
        work_call(self, work, steps[slot->op], work_finish);
        break;
    default:
        work_call_placed(self, work, steps[slot->op], work_finish);
    }
}

/* Slots that waited for a window: try them again, in order. */
static void local_retry_held(struct local *self)
{
    struct queue held = self->held;
    struct slot *slot;
    self->held = (struct queue){NULL, NULL};
    while ((slot = queue_take(&held)))
        local_move(self, &self->works[slot->index]);
}

static void local_completed(struct local *self, struct request *request)
{
    enum owner *owner = request->owner;
    switch (*owner) {
    case OWNER_WORK:
        work_completed(self, work_of_owner(owner));
        break;
    case OWNER_GROUP:
        sync_group_done(self);
        break;
    case OWNER_BATCH:
        batch_done(self);
        break;
    case OWNER_CACHE:
        local_tended((struct open_file *)((char *)owner - offsetof(struct open_file, owner)),
                     request);
        break;
    }
}

/* Let every file's windows go on, and whoever waited for them. */
static void local_go_on(struct local *self)
{
    local_tend_all(self, self->held.first ? CACHE_PRESSED : CACHE_RELAXED);
    work_look(self);
    sync_group_look(self);
    batch_look(self);
}

static bool local_is_ready(const struct local *self)
{
    return work_is_ready(self) || sync_group_is_due(self) || batch_is_due(self);
}

static int local_reap(struct side *side, struct slot **out, uint32_t max, bool wait)
{
    struct local *self = local_of(side);
    struct request *done[16];
    int count = engine_reap(self->engine, done, COUNT_OF(done), wait && !local_is_ready(self));
    if (count < 0) {
        error_set(&side->error, -count, "the %s engine failed",
                  engine_name(self->engine->ops->kind));
        return count;
    }
    for (int i = 0; i < count; i++)
        local_completed(self, done[i]);
    local_go_on(self);
    if (self->held.first) {
        local_retry_held(self);
        if (self->held.first)
            local_go_on(self);
    }
    return (int)work_take_ready(self, out, max);
}

static int local_wait_fd(struct side *side, short *events)
{
    struct local *self = local_of(side);
    *events = POLLIN;
    return local_is_ready(self) ? -1 : engine_wait_fd(self->engine);
}

static void local_close(struct side *side)
{
    struct local *self = local_of(side);
    engine_close(self->engine); /* drains: the kernel may own buffers */
    for (uint32_t i = 0; self->opens && i < self->opens_end; i++) {
        if (!self->opens[i].used)
            continue;
        ledger_close(&self->opens[i].ledger);
        cache_close(&self->opens[i].cache);
        file_close(&self->opens[i].file);
    }
    batch_close(&self->batch);
    carries_close(&self->carries);
    free(self->opens);
    free(self->works);
    local_tours_close(&self->tours);
    local_systems_close(&self->systems);
    roots_close(&self->roots);
    owners_close(self->owners);
    free(self);
}

static const struct side_ops local_ops = {
    .start = local_start,
    .reap = local_reap,
    .wait_fd = local_wait_fd,
    .close = local_close,
};

static int local_check_role(const struct local_config *config, struct error *err)
{
    if (config->role == SIDE_SOURCE && !place_may_read(config->place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "haul is restricted to writing there (--restrict=...,wo): nothing "
                               "can be copied from there");
    /* A target that may not be written can still be compared; each file that would be written is
     * refused by itself. */
    return 0;
}

static bool local_take_memory(struct local *self)
{
    const struct local_config *config = &self->config;
    self->opens = calloc(config->jobs_max, sizeof(*self->opens));
    self->works = calloc(config->slots_count, sizeof(*self->works)); /* of OWNER_WORK */
    self->owners = owners_open();
    return self->opens && self->works && self->owners &&
           batch_init(&self->batch, config->small_max) == 0 &&
           (!config->source || config->small_max == 0 || carries_init(&self->carries) == 0);
}

/* Unless one was given. */
static int local_open_engine(struct local *self, struct error *err)
{
    struct engine_config engine = self->config.engine;
    if (self->engine)
        return 0;
    /* One request a slot, one a window of all files, one sweep a file, two syncs of many. */
    engine.depth = self->config.slots_count + CACHE_POOL_WINDOWS + self->config.jobs_max + 2;
    return engine_open(&self->engine, &engine, err);
}

int local_open(struct side **out, const struct local_config *config, struct error *err)
{
    int result = local_check_role(config, err);
    if (result < 0)
        return result;
    struct local *self = calloc(1, sizeof(*self));
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the local side");
    self->side = (struct side){.ops = &local_ops, .role = config->role};
    self->config = *config;
    self->engine = config->given;
    self->told = config->told ? config->told : &self->own_told;
    roots_init(&self->roots, config->place);
    local_tours_init(&self->tours);
    local_systems_init(&self->systems);
    /* The rest is zeros, and no page of it, nor of what follows, is touched before it is used. */
    self->pool.window_bytes = config->window_bytes;
    self->pool.windows_count = config->windows_count;
    self->pool.windows_do_not_fit = config->windows_do_not_fit;
    self->pool.in_flight_bytes = config->in_flight_bytes;
    sync_group_init(&self->group);
    result = local_take_memory(self)
                 ? local_open_engine(self, err)
                 : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the local side");
    if (result < 0) {
        local_close(&self->side);
        return result;
    }
    *out = &self->side;
    return 0;
}
