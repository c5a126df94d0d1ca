/* copy.c - one file from its description to its commit, over two ends: the order of the big steps,
 * and what the receipt says. Chunks are the pump's business. */
#include "copy_state.h"

#include "haul/clock.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/pump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const uint64_t sync_every_bytes_default = 256 * MIB;
static const uint64_t sync_every_ns_default = 5 * NS_PER_SECOND;

struct slot *copy_control(struct copy *copy)
{
    return &copy->slots[copy->budget.slots_count];
}

static int copy_decide_memory(struct copy *copy, struct error *err)
{
    const struct budget_wish wish = {
        .memory_bytes = copy->wish.memory_bytes,
        .chunk_bytes = copy->wish.chunk_bytes,
        .size_bytes = NUM_UNKNOWN,
        .lanes = 1,
    };
    struct budget_facts facts;
    int result = budget_read(&facts, "/", err);
    if (result == 0)
        result = budget_decide(&copy->budget, &facts, &wish, err);
    if (result < 0)
        return result;
    log_verbose("memory: budget=%llu slots=%u chunk=%u window=%u limited_by=%s",
                (unsigned long long)copy->budget.memory_bytes, copy->budget.slots_count,
                copy->budget.chunk_bytes, copy->budget.window_bytes, facts.limited_by);
    result = slab_open(&copy->slab, copy->budget.slots_count, copy->budget.chunk_bytes, err);
    for (uint32_t i = 0; result == 0 && i <= copy->budget.slots_count; i++) {
        bool control = i == copy->budget.slots_count;
        copy->slots[i] = (struct slot){
            .index = i,
            .buffer = control ? NULL : slab_buffer(&copy->slab, i),
            .capacity = control ? 0 : copy->budget.chunk_bytes,
        };
    }
    return result;
}

static int copy_open_end(struct copy *copy, enum end_role role, struct end **out, struct error *err)
{
    const struct end_file_config config = {
        .role = role,
        .engine =
            {
                .kind = copy->wish.engine,
                .slab = copy->slab.base,
                .slab_bytes = copy->slab.length_bytes,
            },
        .slots_count = copy->budget.slots_count + COPY_CONTROL_SLOTS,
        .window_bytes = copy->budget.window_bytes,
        .in_flight_bytes = copy->budget.memory_bytes,
        .jobs_max = COPY_JOBS_MAX,
    };
    return end_file_open(out, &config, err);
}

int copy_open(struct copy **out, const struct copy_wish *wish, const struct address *source,
              const struct address *target, struct error *err)
{
    struct copy *copy = calloc(1, sizeof(*copy));
    (void)source;
    (void)target;
    if (!copy)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with");
    copy->wish = *wish;
    if (getrandom(&copy->session, sizeof(copy->session), 0) != sizeof(copy->session))
        copy->session = clock_now_ns() ^ (uint64_t)getpid() << 32;
    int result = copy_decide_memory(copy, err);
    if (result == 0)
        result = copy_open_end(copy, END_SOURCE, &copy->source, err);
    if (result == 0)
        result = copy_open_end(copy, END_TARGET, &copy->target, err);
    if (result < 0) {
        copy_close(copy);
        return result;
    }
    *out = copy;
    return 0;
}

void copy_close(struct copy *copy)
{
    if (!copy)
        return;
    end_close(copy->source);
    end_close(copy->target);
    slab_close(&copy->slab);
    free(copy);
}

struct progress *copy_progress(struct copy *copy)
{
    return &copy->progress;
}

const struct budget *copy_budget(const struct copy *copy)
{
    return &copy->budget;
}

bool copy_broken(const struct copy *copy)
{
    (void)copy;
    return false; /* local ends have no link that could be gone */
}

/* Field by field: another thread reads them, and `stop`, which it sets, is not ours to touch. */
void copy_reset_progress(struct progress *progress)
{
    progress->phase = PHASE_OPENING;
    progress->bytes_total = progress->bytes_copied = progress->bytes_kept = 0;
    progress->bytes_holes = progress->bytes_repaired = progress->chunks_repaired = 0;
    progress->bytes_durable = progress->bytes_verified = progress->bytes_differing = 0;
    progress->wire_bytes_sent = progress->wire_bytes_received = 0;
    progress->lanes = 1;
}

void copy_prepare_job(struct copy *copy, struct job *job, const char *source_path,
                      const char *target_path)
{
    const struct copy_wish *wish = &copy->wish;
    *job = (struct job){
        .number = copy->jobs_count++,
        .source_path = source_path,
        .target_path = target_path,
        .chunk_bytes = copy->budget.chunk_bytes,
        .wish =
            {
                .cache = wish->cache,
                .strict = wish->strict,
                .cache_max_set = wish->cache_max_set,
                .cache_max_bytes = wish->cache_max_bytes,
                .write_devices = wish->write_devices,
                .mode = true,
                .owner = true,
                .times = true,
                .resume = wish->resume,
                .journal = true,
                .journal_early = wish->manifest_path != NULL,
                .journal_path = wish->journal_path,
                .session = copy->session,
            },
    };
}

static int copy_refuse(const struct job *job, struct error *err)
{
    const struct facts *source = &job->facts[END_SOURCE], *target = &job->facts[END_TARGET];
    switch (source->kind) {
    case FILE_NONE:
        return error_set_class(err, ERROR_VANISHED, ENOENT, "%s: there is no such file",
                               job->source_path);
    case FILE_FOLDER:
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", job->source_path);
    case FILE_OTHER:
        return error_set_class(err, ERROR_FILE, EINVAL,
                               "%s: is neither a regular file nor a block device",
                               job->source_path);
    case FILE_REGULAR:
    case FILE_DEVICE:
        break;
    }
    if (target->kind == FILE_FOLDER)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", job->target_path);
    if (target->kind != FILE_NONE && source->device == target->device &&
        source->inode == target->inode)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s and %s are the same file",
                               job->source_path, job->target_path);
    return 0;
}

/* DESCRIBE at both ends. */
static int copy_look(struct copy *copy, struct job *job, struct error *err)
{
    struct slot *control = copy_control(copy);
    control->job = job;
    int result = end_call(copy->source, control, END_DESCRIBE, err);
    if (result == 0)
        result = end_call(copy->target, control, END_DESCRIBE, err);
    return result < 0 ? result : copy_refuse(job, err);
}

static bool copy_up_to_date(const struct copy *copy, const struct job *job)
{
    const struct copy_wish *wish = &copy->wish;
    return !wish->ignore_times && !wish->checksum && !job->journal_present &&
           wish->resume != RESUME_RESTART &&
           facts_up_to_date(&job->facts[END_SOURCE], &job->facts[END_TARGET]);
}

/* OPEN at both ends. The source's holes decide how the target is laid out. */
static int copy_open_job(struct copy *copy, struct job *job, struct error *err)
{
    struct slot *control = copy_control(copy);
    int result = end_call(copy->source, control, END_OPEN, err);
    if (result < 0)
        return result;
    const struct facts *source = &job->facts[END_SOURCE];
    bool holes = source->kind == FILE_REGULAR && source->allocated_bytes < source->size_bytes;
    job->wish.sparse = holes || copy->wish.sparse;
    job->wish.preallocate = !job->wish.sparse && !copy->wish.no_preallocate;
    return end_call(copy->target, control, END_OPEN, err);
}

/* How far the target's old content may be right: all of it, unless the journal says that it was a
 * new file whose other chunks were never written. */
static uint64_t copy_old_bytes(const struct job *job)
{
    if (job->target_fresh || (job->journal == JOURNAL_FITS && !job->journal_compare))
        return 0;
    return job->facts[END_TARGET].size_bytes;
}

static int copy_make_plan(const struct copy *copy, const struct job *job, struct plan **out,
                          struct progress *progress, struct error *err)
{
    const struct facts *source = &job->facts[END_SOURCE];
    /* Verification stays behind two windows and what is in flight, so that it finds them closed. */
    uint64_t lag_bytes = 3 * (uint64_t)copy->budget.window_bytes + copy->budget.memory_bytes;
    const struct plan_config config = {
        .size_bytes = source->size_bytes,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = copy_old_bytes(job),
        .rewrite = !job->target_readable || copy->wish.resume == RESUME_RESTART,
        .sparse = source->kind == FILE_REGULAR && source->allocated_bytes < source->size_bytes,
        .resume = job->journal == JOURNAL_FITS,
        .trust = copy->wish.resume == RESUME_APPEND,
        .against_source = copy->wish.resume == RESUME_APPEND_VERIFY,
        .verify = copy->wish.verify,
        .verify_lag =
            (uint32_t)min_u64(lag_bytes / copy->budget.chunk_bytes, PLAN_VERIFY_MAX / 2 - 1),
    };
    return plan_open(out, &config, progress, err);
}

int copy_pump(struct copy *copy, struct job *job, struct plan *plan, struct error *err)
{
    const struct copy_wish *wish = &copy->wish;
    const struct pump_config config = {
        .source = copy->source,
        .target = copy->target,
        .slots = copy->slots,
        .slots_count = copy->budget.slots_count,
        .control = copy_control(copy),
        .job = job,
        .plan = plan,
        .progress = &copy->progress,
        .bandwidth_bytes = wish->bandwidth_bytes,
        .sync_every_bytes =
            wish->sync_every_set ? wish->sync_every_bytes : sync_every_bytes_default,
        .sync_every_ns = sync_every_ns_default,
    };
    copy->progress.phase = PHASE_COPYING;
    return pump_run(&config, err);
}

/* The source first: only an unchanged source makes the target a copy. */
static int copy_commit(struct copy *copy, struct error *err)
{
    struct slot *control = copy_control(copy);
    copy->progress.phase = PHASE_SYNCING;
    int result = end_call(copy->source, control, END_COMMIT, err);
    if (result < 0)
        return result;
    copy->target_open = false; /* a commit closes it, however it ends */
    return end_call(copy->target, control, END_COMMIT, err);
}

/* After a failure: what was written is synced all the same, then both ends let go of the file. */
void copy_abandon(struct copy *copy, struct job *job)
{
    struct slot *control = copy_control(copy);
    struct error ignored = {.class = ERROR_NONE};
    control->job = job;
    copy->progress.phase = PHASE_SYNCING;
    if (copy->target_open)
        (void)end_call(copy->target, control, END_SYNC, &ignored);
    (void)end_call(copy->source, control, END_ABANDON, &ignored);
    (void)end_call(copy->target, control, END_ABANDON, &ignored);
    copy->target_open = false;
}

void copy_fill_receipt(const struct copy *copy, const struct job *job, uint64_t started_ns,
                       struct receipt *receipt)
{
    const struct progress *progress = &copy->progress;
    receipt->files = 1;
    receipt->bytes_total = progress->bytes_total;
    receipt->bytes_copied = progress->bytes_copied;
    receipt->bytes_kept = progress->bytes_kept;
    receipt->bytes_holes = progress->bytes_holes;
    receipt->bytes_repaired = progress->bytes_repaired;
    receipt->chunks_repaired = progress->chunks_repaired;
    receipt->bytes_verified = progress->bytes_verified;
    receipt->wire_bytes_sent = progress->wire_bytes_sent;
    receipt->wire_bytes_received = progress->wire_bytes_received;
    receipt->lanes = progress->lanes;
    receipt->duration_ns = clock_now_ns() - started_ns;
    receipt->chunk_bytes = job->chunk_bytes;
    receipt->memory_peak_bytes = budget_memory_peak();
    receipt->memory_budget_bytes = copy->budget.memory_bytes;
    receipt->source = job->reports[END_SOURCE];
    receipt->target = job->reports[END_TARGET];
}

/* From OPEN to COMMIT. */
static int copy_transfer(struct copy *copy, struct job *job, struct receipt *receipt,
                         struct error *err)
{
    struct plan *plan = NULL;
    int result = copy_open_job(copy, job, err);
    if (result == 0) {
        copy->target_open = true;
        result = copy_make_plan(copy, job, &plan, &copy->progress, err);
    }
    if (result == 0 && job->journal == JOURNAL_FITS) {
        receipt->resumed = true;
        result = copy_list_journal(copy, job, plan, err);
    }
    if (result == 0)
        result = copy_pump(copy, job, plan, err);
    if (result == 0) {
        assert(plan_complete(plan));
        result = copy_digest(copy, job, plan, receipt, err);
    }
    if (result == 0)
        result = copy_commit(copy, err);
    if (result == 0) {
        receipt->durable = true;
        copy->progress.bytes_durable = copy->progress.bytes_total;
        copy->progress.phase = PHASE_DONE;
    } else {
        copy_digest_undo(copy);
        copy_abandon(copy, job);
    }
    plan_close(plan);
    return result;
}

void copy_no_reports(struct job *job)
{
    for (int role = 0; role < 2; role++) {
        job->reports[role] = (struct side_report){
            .resident_before_bytes = NUM_UNKNOWN,
            .resident_peak_bytes = NUM_UNKNOWN,
            .resident_after_bytes = NUM_UNKNOWN,
            .memory_peak_bytes = NUM_UNKNOWN,
        };
    }
}

int copy_run(struct copy *copy, const char *source_path, const char *target_path,
             struct receipt *receipt, struct error *err)
{
    struct job job;
    uint64_t started_ns = clock_now_ns();
    copy_reset_progress(&copy->progress);
    copy_prepare_job(copy, &job, source_path, target_path);
    copy_no_reports(&job);
    *receipt = (struct receipt){.source_path = source_path, .target_path = target_path};

    int result = copy_look(copy, &job, err);
    if (result == 0) {
        copy->progress.bytes_total = job.facts[END_SOURCE].size_bytes;
        receipt->dry_run = copy->wish.dry_run;
        receipt->up_to_date = copy_up_to_date(copy, &job);
        if (receipt->up_to_date)
            copy->progress.bytes_kept = copy->progress.bytes_total;
        else if (!copy->wish.dry_run)
            result = copy_transfer(copy, &job, receipt, err);
    }
    copy_fill_receipt(copy, &job, started_ns, receipt);
    return result;
}

int copy_describe(struct copy *copy, bool target, const char *path, struct facts *facts,
                  struct error *err)
{
    struct job job;
    copy_prepare_job(copy, &job, path, path);
    copy_control(copy)->job = &job;
    int result =
        end_call(target ? copy->target : copy->source, copy_control(copy), END_DESCRIBE, err);
    *facts = job.facts[target ? END_TARGET : END_SOURCE];
    return result;
}
