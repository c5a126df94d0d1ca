/* local_small.c - small files of a local side: TAKE and PUT as one call each, and their commits
 * many at a time.
 *
 * Where both sides are local, CARRY is both in one: a thread less to wait for.
 *
 * A file that was put is open and on its way to the disk. Its COMMIT waits in the batch, which
 * closes when so many wait, or so long, or when the client says that nothing else comes
 * (PRESS). Then one call does for all of them, one after the other, what each
 * would wait for by itself: write-backs are waited for, times are set, pages dropped; and behind
 * all, one syncfs(2). Where no journal keeps the times behind the data (filesystem_orders()), one
 * more comes before the times. It tells that something was lost, not what: then each file is synced
 * alone.
 */
#include "local_state.h"

#include "haul/base/clock.h"
#include "haul/base/hash.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/disk/budget.h"
#include "haul/disk/slab.h"
#include "haul/disk/spelling.h"
#include "haul/side/report.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH_FILES = 256,
    BATCH_WAIT_MS = 500,
    /* In the page cache, waiting: then they are waited for and dropped, and the sync comes later.
     */
    BATCH_BYTES = 8 * 1024 * 1024,
    PAGE_BYTES = 4096, /* at least */
    /* That a file's journal orders: so many are not left to be waited for until all are there. */
    SETTLE_FILES = 64,
};

int batch_init(struct batch *batch, uint32_t files_max)
{
    batch->owner = OWNER_BATCH;
    batch->files_max = files_max;
    batch->files = calloc(files_max, sizeof(*batch->files));
    batch->rows = calloc(files_max, sizeof(*batch->rows));
    return batch->files && batch->rows ? 0 : -ENOMEM;
}

static uint32_t *batch_row(const struct batch *batch, uint32_t job_number)
{
    return &batch->rows[job_number % batch->files_max];
}

static void batch_forget(struct batch *batch, struct batch_file *file)
{
    const uint32_t self = (uint32_t)(file - batch->files) + 1;
    uint32_t *link = batch_row(batch, file->number);
    while (*link != self)
        link = &batch->files[*link - 1].next;
    *link = file->next;
    file->next = batch->left;
    batch->left = self;
    small_close(&file->file);
    free(file->shown);
}

void batch_close(struct batch *batch)
{
    for (uint32_t i = 0; batch->files && batch->rows && i < batch->files_max; i++) {
        while (batch->rows[i])
            batch_forget(batch, &batch->files[batch->rows[i] - 1]);
    }
    free(batch->files);
    free(batch->rows);
}

struct batch_file *batch_find(const struct batch *batch, uint32_t job_number)
{
    uint32_t next = batch->used_most > 0 ? *batch_row(batch, job_number) : 0;
    while (next && batch->files[next - 1].number != job_number)
        next = batch->files[next - 1].next;
    return next ? &batch->files[next - 1] : NULL;
}

static struct batch_file *batch_place(struct local *self, uint32_t job_number)
{
    struct batch *batch = &self->batch;
    uint32_t place = batch->left;
    if (place)
        batch->left = batch->files[place - 1].next;
    else if (batch->used_most < batch->files_max)
        place = ++batch->used_most;
    else
        return NULL;
    uint32_t *row = batch_row(batch, job_number);
    struct batch_file *file = &batch->files[place - 1];
    *file = (struct batch_file){.number = job_number,
                                .next = *row,
                                .opened = ++self->opened,
                                .file = {.fd = -1, .fd_folder = -1}};
    *row = place;
    return file;
}

/* ---- buffers ---- */

/* Of these with the block behind it that says the end of the file, for a direct read. */
enum { CARRY_BYTES = SMALL_POCKET_BYTES + PAGE_BYTES };

int carries_init(struct carries *carries)
{
    carries->memory = slab_pockets(ENGINE_CALLS_MAX, CARRY_BYTES);
    return carries->memory ? 0 : -ENOMEM;
}

void carries_close(struct carries *carries)
{
    assert(carries->taken == 0);
    free(carries->memory);
}

static uint32_t carry_bit(const struct carries *carries, const uint8_t *buffer)
{
    return UINT32_C(1) << (uint32_t)((buffer - carries->memory) / CARRY_BYTES);
}

/* There is one for each call. */
static uint8_t *carry_take(struct carries *carries)
{
    uint32_t taken = atomic_load(&carries->taken), bit;
    do {
        bit = ~taken & (taken + 1); /* the lowest that is free */
    } while (!atomic_compare_exchange_weak(&carries->taken, &taken, taken | bit));
    assert(bit < UINT32_C(1) << ENGINE_CALLS_MAX);
    return carries->memory + (size_t)__builtin_ctz(bit) * CARRY_BYTES;
}

static void carry_give_back(struct carries *carries, const uint8_t *buffer)
{
    atomic_fetch_and(&carries->taken, ~carry_bit(carries, buffer));
}

static uint64_t pages_of(const struct batch_file *file)
{
    return align_up(file->file.cached_bytes, PAGE_BYTES);
}

static struct side_report *small_report(const struct local *self, struct job *job)
{
    struct side_report *report = &job->reports[self->side.role];
    *report = (struct side_report){
        .policy = POLICY_BATCH,
        .engine = self->engine->ops->kind,
        .memory_peak_bytes = budget_memory_peak_lately(),
        .kernel_bytes = kernel_memory_tell(self->config.kernel).most_bytes,
    };
    side_say(job, self->side.role, "", self->engine->why);
    return report;
}

/* ---- TAKE ---- */

static int take_from(struct local *source, const struct place *place, struct slot *slot,
                     uint8_t *buffer, uint32_t capacity)
{
    struct job *job = slot->job;
    struct small_taken taken;
    const struct small_source wish = {
        .place = place,
        .path = job->source_path,
        .buffer = buffer,
        .capacity = capacity,
        .known = &source->known,
    };
    int result = small_take(&taken, &wish);
    if (result < 0)
        return error_set_class(slot->error, ERROR_FILE, EAGAIN, "%s: is not taken as a whole",
                               job->source_path);
    job->facts[SIDE_SOURCE] = taken.facts;
    local_name_owners(source, job);
    slot->count = taken.bytes;
    slot->digest = digest_of(buffer, taken.bytes);
    struct side_report *report = small_report(source, job);
    report->resident_before_bytes = taken.before_bytes;
    report->resident_peak_bytes = taken.peak_bytes;
    report->resident_after_bytes = taken.after_bytes;
    return 0;
}

static uint32_t take_room(const struct slot *slot)
{
    return (uint32_t)min_u64(slot->capacity, slot->length);
}

int local_take(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    return take_from(self, work->place, slot, slot->buffer, take_room(slot));
}

/* ---- PUT ---- */

/* Most often the mode that it is to have anyway. Until its group is the right one, the group may do
 * nothing that not everybody may. */
static uint32_t put_create_mode(const struct job *job)
{
    uint32_t mode = job->facts[SIDE_SOURCE].mode;
    bool everybody = (mode >> 3 & 7) == (mode & 7);
    return everybody || job->wish.attributes[ATTRIBUTE_MODE] == ATTRIBUTE_LEAVE ? mode : 0;
}

/* Whoever has not looked does so now. */
static int put_refuse(const struct slot *slot)
{
    return error_set_class(slot->error, ERROR_FILE, EEXIST, "%s: there is something",
                           slot->job->target_path);
}

static struct small_wish put_wish(struct local *self, const struct work *work, const uint8_t *data,
                                  uint32_t bytes)
{
    const struct job *job = work->slot->job;
    const uint64_t doubt_ns = self->config.doubt_ns;
    return (struct small_wish){
        .place = work->place,
        .path = job->target_path,
        .shown = work->small->shown,
        .data = data,
        .bytes = bytes,
        .create_mode = put_create_mode(job),
        .source = &job->facts[SIDE_SOURCE],
        .known = &self->known,
        .until_ns = doubt_ns > 0 ? work->asked_ns + doubt_ns : 0,
    };
}

static int put_told(const struct work *work, int result)
{
    struct batch_file *small = work->small;
    const struct slot *slot = work->slot;
    slot->job->kept_bytes = small->file.kept_bytes;
    if (result == 0)
        small_remember(&small->file);
    if (result < 0 && !error_is_set(slot->error))
        error_set_class(slot->error, ERROR_FILE, -result, "%s: is not put as a whole",
                        small->shown);
    return result;
}

/* It is made, or open, and locked: who comes now finds that, so the sign may take its time. */
static int put_settle_step(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    struct small_file *file = &work->small->file;
    struct small_wish wish = put_wish(self, work, slot->buffer, slot->length);
    struct stat seen;
    wish.seen = &seen;
    int result =
        roots_hold(&self->roots, &slot->job->roots[SIDE_TARGET], &work->place, slot->error);
    if (result < 0) {
        small_let_go(file, &wish);
        return result;
    }
    wish.place = work->place;
    result = work_deserted(self, work);
    if (result < 0)
        small_let_go(file, &wish);
    else
        result = small_go_on(file, &wish, slot->error);
    if (result == 0 && !file->replaced)
        result = local_put_attributes(self, work, &seen, slot->error);
    roots_release(&self->roots, work->place);
    return put_told(work, result);
}

/* Something is there, and perhaps a journal tells more of it. */
static int put_over(const struct work *work, const struct small_wish *wish)
{
    const struct slot *slot = work->slot;
    int result = local_check_spelling(work, slot->error);
    if (result == SPELLING_NOTHING || (result == 0 && ledger_lies(work->place, slot->job)))
        result = -EAGAIN;
    return result == 0 ? small_replace(&work->small->file, wish, slot->error) : result;
}

static int put_bytes(struct local *self, struct work *work, const uint8_t *data, uint32_t bytes)
{
    struct slot *slot = work->slot;
    struct job *job = slot->job;
    struct stat seen;
    free(work->small->shown);
    work->small->shown = place_shown(work->place, job->target_path);
    if (!work->small->shown)
        return error_set_class(slot->error, ERROR_MEMORY, ENOMEM, "no memory for a name");
    struct small_wish wish = put_wish(self, work, data, bytes);
    wish.seen = &seen;
    int result = small_put(&work->small->file, &wish, slot->error);
    if (result == 0)
        result = local_put_attributes(self, work, &seen, slot->error);
    else if (result == -EEXIST && slot->conditional)
        return put_refuse(slot);
    else if (result == -EEXIST)
        result = put_over(work, &wish);
    if (result == SMALL_LATE) {
        work->goes_on = put_settle_step;
        return WORK_LATE;
    }
    return put_told(work, result);
}

/* Its journal, before anything is made beside it. */
static int put_meets(const struct work *work)
{
    const struct slot *slot = work->slot;
    bool lies = slot->conditional && !slot->job->unjournalled && place_may_read(work->place) &&
                ledger_lies(work->place, slot->job);
    return lies ? put_refuse(slot) : 0;
}

static int put_step(struct local *self, struct work *work)
{
    int result = put_meets(work);
    return result < 0 ? result : put_bytes(self, work, work->slot->buffer, work->slot->length);
}

static int carry_by(struct local *self, struct work *work, uint8_t *buffer, uint32_t capacity)
{
    struct local *source = (struct local *)self->config.source;
    struct slot *slot = work->slot;
    const struct place *place;
    int result = put_meets(work);
    if (result == 0)
        result = roots_hold(&source->roots, &slot->job->roots[SIDE_SOURCE], &place, slot->error);
    if (result < 0)
        return result;
    result = take_from(source, place, slot, buffer, capacity);
    roots_release(&source->roots, place);
    return result < 0 ? result : put_bytes(self, work, buffer, slot->count);
}

static int carry_step(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    if (slot->buffer)
        return carry_by(self, work, slot->buffer, take_room(slot));
    uint8_t *buffer = carry_take(&self->carries);
    int result = carry_by(self, work, buffer, CARRY_BYTES);
    carry_give_back(&self->carries, buffer);
    return result;
}

static void put_done(struct local *self, struct work *work, int result)
{
    struct batch *batch = &self->batch;
    if (result < 0)
        batch_forget(batch, work->small);
    else
        batch->cached_bytes += pages_of(work->small);
    batch->peak_bytes = max_u64(batch->peak_bytes, batch->cached_bytes);
    work_finish(self, work, result);
}

/* Where no sync can be shared, or windows of the page cache do not fit into memory, each goes its
 * own way. */
void local_put(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    int result = 0;
    if (!sync_group_useful(self) || self->config.windows_do_not_fit)
        result = -EOPNOTSUPP;
    else if (!(work->small = batch_place(self, slot->job->number)))
        result = -EAGAIN;
    if (result == 0) {
        work_call_placed(self, work, slot->op == SIDE_CARRY ? carry_step : put_step, put_done);
        return;
    }
    error_set_class(slot->error, ERROR_FILE, -result, "%s: is not put as a whole",
                    slot->job->target_path);
    work_finish(self, work, result);
}

/* ---- COMMIT ---- */

static void work_batched(struct local *self, struct work *work, int result)
{
    (void)self;
    (void)work;
    (void)result;
    assert(false && "a commit in a batch is no request");
}

void local_commit_small(struct local *self, struct work *work)
{
    struct batch *batch = &self->batch;
    if (!batch->waiting.first && (!batch->riding.first || batch->syncing))
        batch->since_ns = clock_now_ns();
    work->request = (struct request){.owner = &work->owner};
    work->then = work_batched;
    queue_put(&batch->waiting, &work->request.link);
    batch->waiting_count++;
    batch->unsettled_bytes += pages_of(work->small);
    batch->unsettled_count += work->small->file.ordered;
}

void local_press_batch(struct local *self, struct work *work)
{
    struct batch *batch = &self->batch;
    bool syncing = batch->riding.first && batch->syncing; /* who comes back may bring others */
    batch->pressed = !syncing && (batch->waiting.first || batch->riding.first);
    work_finish(self, work, 0);
}

/* It has all its data, and no time that a source can have. */
void local_abandon_small(struct local *self, struct work *work)
{
    struct side_report *report = small_report(self, work->slot->job);
    report->resident_after_bytes = report->resident_peak_bytes = NUM_UNKNOWN;
    self->batch.cached_bytes -= pages_of(work->small);
    batch_forget(&self->batch, work->small);
    work_finish(self, work, 0);
}

/* ---- a round, away from the side's thread ---- */

static struct work *work_of_link(const struct queue_link *link)
{
    return link ? work_of_owner(((const struct request *)(const void *)link)->owner) : NULL;
}

static struct work *work_next(const struct work *work)
{
    return work_of_link(work->request.link.next);
}

/* Its data are where they stay: now it may have the time of a finished file, and an older one its
 * owner and mode, which are for the new bytes. `seen`: as it was just now; NULL: it is looked at.
 */
static void round_finish(const struct local *self, struct work *work, const struct stat *seen)
{
    struct batch_file *small = work->small;
    if (small->settled)
        return;
    small->settled = true;
    if (small->result == 0)
        small->result = small->file.replaced
                            ? local_replace_attributes(self, work, seen, work->slot->error)
                            : local_put_times(self, work, seen, work->slot->error);
    if (small->result < 0)
        small_take_back(&small->file, small->shown);
    small_drop(&small->file);
}

/* Whoever has it open does not see that it was renamed, but that something was done to it. */
static int round_find(struct local *self, struct work *work, struct stat *seen)
{
    const struct job *job = work->slot->job;
    struct error *err = work->slot->error;
    struct small_wish wish = {.path = job->target_path, .shown = work->small->shown, .seen = seen};
    int result = roots_hold(&self->roots, &job->roots[SIDE_TARGET], &wish.place, err);
    if (result < 0)
        return result;
    result = small_find(&work->small->file, &wish, err);
    roots_release(&self->roots, wish.place);
    return result;
}

static void round_settle(struct local *self, struct work *work)
{
    struct batch_file *small = work->small;
    struct stat seen;
    if (small->settled)
        return;
    small->result = small_settle(&small->file, small->shown, &seen, work->slot->error);
    if (small->result == 0 && small_is_touched(&small->file, &seen))
        small->result = round_find(self, work, &seen);
    if (small->file.ordered || small->result < 0)
        round_finish(self, work, &seen);
}

static void round_sync_alone(struct work *work)
{
    struct batch_file *small = work->small;
    if (small->result < 0)
        return;
    small->result = small_sync(&small->file, small->shown, work->slot->error);
    if (small->result < 0)
        small_take_back(&small->file, small->shown);
}

/* Before their times are set, where nothing else keeps that order; and at the end of all. */
enum round_pass { ROUND_DATA, ROUND_ALL };

static bool round_lacks(const struct batch_file *small, enum round_pass pass)
{
    if (pass == ROUND_ALL)
        return !small->synced;
    return !small->settled && !small->flushed && !small->file.ordered;
}

/* All of one device. The error of a file system is told to a descriptor from before the writes:
 * that of the file that was put first is from before all of them. */
static void round_sync(struct work *first, enum round_pass pass)
{
    uint64_t device = first->small->file.device;
    const struct batch_file *oldest = first->small;
    for (struct work *work = first; work; work = work_next(work)) {
        if (work->small->file.device == device && work->small->opened < oldest->opened)
            oldest = work->small;
    }
    bool good = syncfs(oldest->file.fd) == 0;
    for (struct work *work = first; work; work = work_next(work)) {
        if (work->small->file.device != device || !round_lacks(work->small, pass))
            continue;
        work->small->flushed = true;
        work->small->synced = pass == ROUND_ALL;
        if (!good)
            round_sync_alone(work);
    }
}

static void round_sync_each(struct work *first, enum round_pass pass)
{
    for (struct work *work = first; work; work = work_next(work)) {
        if (round_lacks(work->small, pass))
            round_sync(work, pass);
    }
}

static void round_end(struct work *work)
{
    struct batch_file *small = work->small;
    if (small->file.left_bytes > 0)
        small_drop(&small->file);
    small_close(&small->file);
}

static int run_round(void *argument)
{
    struct local *self = argument;
    struct work *first = work_of_link(self->batch.riding.first);
    for (struct work *work = first; work; work = work_next(work))
        round_settle(self, work);
    round_sync_each(first, ROUND_DATA);
    for (struct work *work = first; work; work = work_next(work))
        round_finish(self, work, NULL);
    if (self->batch.syncing)
        round_sync_each(first, ROUND_ALL);
    for (struct work *work = first; self->batch.syncing && work; work = work_next(work))
        round_end(work);
    return 0;
}

/* ---- rounds ---- */

static bool batch_closes(const struct batch *batch)
{
    return batch->pressed || batch->waiting_count >= BATCH_FILES ||
           clock_now_ns() - batch->since_ns >= BATCH_WAIT_MS * NS_PER_MS;
}

static uint64_t batch_bytes_most(const struct local *self)
{
    uint64_t windows = (uint64_t)self->config.windows_count * self->config.window_bytes;
    return windows > 0 ? min_u64(windows, BATCH_BYTES) : BATCH_BYTES;
}

bool batch_is_due(const struct local *self)
{
    const struct batch *batch = &self->batch;
    if (batch->refused)
        return true;
    return batch->waiting.first && !batch->riding.first &&
           (batch->unsettled_bytes >= batch_bytes_most(self) ||
            batch->unsettled_count >= SETTLE_FILES || batch_closes(batch));
}

static void batch_begin(struct local *self)
{
    struct batch *batch = &self->batch;
    batch->syncing = batch_closes(batch);
    batch->riding = batch->waiting;
    batch->waiting = (struct queue){NULL, NULL};
    batch->waiting_count = 0;
    batch->unsettled_bytes = batch->unsettled_count = 0;
    batch->pressed = false;
    batch->began_ns = clock_now_ns();
    batch->request = (struct request){
        .kind = REQUEST_CALL,
        .call = run_round,
        .argument = self,
        .owner = &batch->owner,
    };
    int result = engine_submit(self->engine, &batch->request);
    if (result < 0) {
        batch->request.result = result;
        batch->refused = true;
    }
}

static void batch_left(struct local *self, struct work *work)
{
    struct batch *batch = &self->batch;
    const struct batch_file *small = work->small;
    struct side_report *report = small_report(self, work->slot->job);
    int result = small->result;
    report->attributes_changed = small->attributes.changed;
    report->attributes_lost = small->attributes.lost;
    report->attributes_asked = small->attributes.asked;
    report->resident_peak_bytes = batch->peak_bytes;
    report->resident_after_bytes = small->file.left_bytes;
    batch_forget(batch, work->small);
    work_finish(self, work, result);
}

void batch_done(struct local *self)
{
    struct batch *batch = &self->batch;
    struct queue riding = batch->riding;
    struct request *request;
    int result = batch->request.result;
    uint64_t round_bytes = 0;
    uint32_t round_count = 0;
    batch->riding = (struct queue){NULL, NULL};
    batch->refused = false;
    while ((request = queue_take(&riding))) {
        struct work *work = work_of_owner(request->owner);
        struct batch_file *small = work->small;
        round_bytes += small->file.bytes;
        round_count++;
        if (small->settled && !small->dropped)
            batch->cached_bytes -= pages_of(small);
        small->dropped = small->settled;
        if (result < 0 && small->result == 0) /* the call itself was not taken */
            small->result =
                error_set(work->slot->error, -result, "%s: sync to the disk failed", small->shown);
        if (batch->syncing || small->result < 0) {
            batch_left(self, work);
            continue;
        }
        queue_put(&batch->waiting, &work->request.link);
        batch->waiting_count++;
    }
    batch->peak_bytes = batch->cached_bytes;
    if (batch->syncing)
        sync_group_took(self, round_count, round_bytes, clock_now_ns() - batch->began_ns);
}

void batch_look(struct local *self)
{
    if (self->batch.refused)
        batch_done(self);
    if (batch_is_due(self))
        batch_begin(self);
}
