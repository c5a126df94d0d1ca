/* end_file_life.c - a whole local file: open, find data, sync, commit, abandon. Commit is a row of
 * steps, each of which does one fallible thing and falls through to the next. */
#include "end_file.h"

#include "haul/budget.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *job_path(const struct end_file *self, const struct job *job)
{
    return self->end.role == END_SOURCE ? job->source_path : job->target_path;
}

/* --journal and --manifest name any file of the machine: not in a place. A source has none. */
static int end_file_refuse_journal(const struct end_file *self, const struct job *job,
                                   struct error *err)
{
    if (!self->config.place || !job->wish.journal_path || self->end.role == END_SOURCE)
        return 0;
    return error_set_class(err, ERROR_FILE, EACCES,
                           "%s: haul is restricted to a folder there, and its journals lie beside "
                           "their files",
                           job->wish.journal_path);
}

int end_file_describe(struct end_file *self, struct work *work)
{
    struct job *job = work->slot->job;
    struct error *err = &work->slot->error;
    int result = end_file_refuse_journal(self, job, err);
    if (result == 0)
        result = file_describe_in(self->config.place, job_path(self, job),
                                  &job->facts[self->end.role], err);
    if (result == 0 && self->end.role == END_TARGET && job->wish.chown)
        result = attributes_owners(job->wish.chown, &(struct facts){0}, &(uint8_t){0}, err);
    if (result == 0 && self->end.role == END_TARGET)
        job->journal_present = ledger_lies(self->config.place, job);
    if (result == 0 && job->wish.dry)
        result = end_file_probe(self, job, err);
    return result;
}

static struct open_file *end_file_place(struct end_file *self, const struct job *job)
{
    for (uint32_t i = 0; i < self->config.jobs_max; i++) {
        struct open_file *open = &self->opens[i];
        if (open->used)
            continue;
        *open = (struct open_file){
            .owner = OWNER_CACHE,
            .opened = ++self->opened,
            .used = true,
            .job_number = job->number,
        };
        file_init(&open->file);
        return open;
    }
    return NULL;
}

static void end_file_forget(struct open_file *open)
{
    ledger_close(&open->ledger);
    cache_close(&open->cache);
    file_close(&open->file);
    open->used = false;
}

static int end_file_open_cache(struct end_file *self, struct open_file *open, const struct job *job,
                               struct error *err)
{
    const struct cache_need need = {
        .path = open->file.path,
        .size_bytes = open->size_bytes,
        .reading = open->reading,
    };
    return cache_open(&open->cache, &self->pool, &open->file, job, &need, err);
}

/* The source; and the target, too, when it is only compared. */
static int end_file_open_reading(struct end_file *self, struct open_file *open, struct job *job,
                                 struct error *err)
{
    int result = file_open_source_in(&open->file, self->config.place, job_path(self, job), err);
    if (result < 0)
        return result;
    open->size_bytes = open->file.facts.size_bytes;
    job->facts[self->end.role] = open->file.facts;
    job->target_readable = true;
    ledger_init(&open->ledger, &open->file, job); /* a manifest to compare with */
    return end_file_open_cache(self, open, job, err);
}

/* A target that we made and could not even start to fill: take it away again, and its journal. */
static void end_file_undo(struct open_file *open, const struct job *job)
{
    ledger_undo(&open->ledger, job);
    if (open->file.created && unlinkat(open->file.fd_folder, open->file.name, 0) != 0)
        log_warning("%s: an empty file is left", open->file.path);
}

/* What the client learns of the target as it was. */
static void end_file_tell_target(const struct end_file *self, const struct open_file *open,
                                 struct job *job)
{
    bool tells = place_may_read(self->config.place);
    job->facts[END_TARGET] = tells ? open->file.facts : (struct facts){.kind = FILE_REGULAR};
    job->target_readable = open->file.readable;
    job->target_fresh = open->file.facts.size_bytes == 0 || !tells;
    job->old_bytes = tells ? min_u64(open->file.facts.size_bytes, open->size_bytes) : 0;
}

static int end_file_open_target(struct end_file *self, struct open_file *open, struct job *job,
                                struct error *err)
{
    const struct place *place = self->config.place;
    const struct file_open_wish wish = {
        .join = job->wish.join,
        .session = job->wish.session,
        .size_bytes = job->facts[END_SOURCE].size_bytes,
        .write_devices = job->wish.write_devices,
        .create_mode = job->wish.attributes[ATTRIBUTE_MODE] == ATTRIBUTE_LEAVE
                           ? job->facts[END_SOURCE].mode
                           : 0,
        .place = place,
    };
    int result = file_open_target(&open->file, job->target_path, &wish, err);
    if (result < 0)
        return result;
    open->size_bytes = job->facts[END_SOURCE].size_bytes;
    ledger_init(&open->ledger, &open->file, job);
    end_file_tell_target(self, open, job);
    result = end_file_open_cache(self, open, job, err);
    if (result == 0)
        result = job->wish.join ? ledger_join(&open->ledger, place, job, err)
                                : ledger_find(&open->ledger, place, job, err);
    cache_touch_edge(&open->cache, open->file.facts.size_bytes);
    cache_touch_edge(&open->cache, open->size_bytes);
    if (result == 0 && !job->wish.join) {
        evidence_settle_target(&job->facts[END_SOURCE], &open->file.facts);
        result = file_preallocate(&open->file, open->size_bytes, !job->wish.preallocate, err);
    }
    if (result < 0)
        end_file_undo(open, job);
    return result;
}

static int end_file_open_step(struct end_file *self, struct work *work)
{
    struct job *job = work->slot->job;
    return work->open->reading ? end_file_open_reading(self, work->open, job, &work->slot->error)
                               : end_file_open_target(self, work->open, job, &work->slot->error);
}

static void end_file_opened(struct end_file *self, struct work *work, int result)
{
    work->open->opening = false;
    if (result < 0)
        end_file_forget(work->open);
    work_finish(self, work, result);
}

void end_file_open_job(struct end_file *self, struct work *work)
{
    struct job *job = work->slot->job;
    int result = end_file_refuse_journal(self, job, &work->slot->error);
    if (result == 0 && !(work->open = end_file_place(self, job)))
        result = error_set(&work->slot->error, EMFILE, "too many files at once");
    if (result < 0) {
        work_finish(self, work, result);
        return;
    }
    work->open->opening = true;
    work->open->reading = self->end.role == END_SOURCE || job->wish.compare_only;
    work_call(self, work, end_file_open_step, end_file_opened);
}

int end_file_map(struct end_file *self, struct work *work)
{
    struct slot *slot = work->slot;
    (void)self;
    return file_next_data(&work->open->file, slot->offset, &slot->extent_start, &slot->extent_end,
                          &work->slot->error);
}

/* The source must be what it was when it was opened. -EAGAIN: perhaps it is, see life.h; who
 * only compares can do no better than say so. */
static int end_file_check_source(const struct open_file *open, bool compare_only, struct error *err)
{
    struct facts now;
    int result = file_facts(&open->file, &now, err);
    if (result < 0)
        return result;
    enum evidence_change change = evidence_compare(&open->file.facts, &now);
    if (change == EVIDENCE_UNSEEN && !open->file.snapshot)
        log_note("%s: whether it changed while it was copied cannot be told: nobody counts the "
                 "writes to it",
                 open->file.path);
    if (change == EVIDENCE_UNCHANGED && file_is_written_unseen(&open->file))
        log_note("%s: is open for writing in another program; whether that changed it by a mapping "
                 "while it was copied cannot be told",
                 open->file.path);
    if (change == EVIDENCE_TOUCHED && !compare_only)
        return error_set_class(err, ERROR_CHANGED, EAGAIN,
                               "%s: its status changed while it was copied", open->file.path);
    if (change == EVIDENCE_TOUCHED)
        log_note("%s: its status changed while it was compared", open->file.path);
    if (change != EVIDENCE_CHANGED)
        return 0;
    return error_set_class(err, ERROR_CHANGED, ESTALE,
                           compare_only
                               ? "%s: changed while it was compared, run it again"
                               : "%s: changed while it was copied; the target is not a copy of it, "
                                 "run it again",
                           open->file.path);
}

/* A step of a target's commit is over. One that failed takes back what said "finished". */
static int end_file_committed(const struct work *work, int result)
{
    if (result < 0)
        file_take_back(&work->open->file);
    return result;
}

/* From here on the target is what the source was. */
static int end_file_set_metadata(struct end_file *self, struct work *work)
{
    struct error *err = &work->slot->error;
    int result = file_check_in_place(&work->open->file, work->open->size_bytes, err);
    if (result == 0)
        result = end_file_set_attributes(self, work->open, work->slot->job, err);
    return end_file_committed(work, result);
}

static int end_file_sync_metadata(struct end_file *self, struct work *work)
{
    struct error *err = &work->slot->error;
    (void)self;
    int result = file_sync(&work->open->file, err);
    if (result == 0)
        result = file_sync_folder(&work->open->file, err);
    return end_file_committed(work, result);
}

/* The journal has done its work. */
static int end_file_remove_journal(struct end_file *self, struct work *work)
{
    (void)self;
    return end_file_committed(work, ledger_remove(&work->open->ledger, &work->slot->error));
}

static int end_file_commit_step(struct end_file *self, struct work *work)
{
    const struct job_wish *wish = &work->slot->job->wish;
    if (work->open->reading)
        return end_file_check_source(work->open, wish->compare_only, &work->slot->error);
    int result = end_file_set_metadata(self, work);
    if (result == 0)
        result = end_file_sync_metadata(self, work);
    return result == 0 ? end_file_remove_journal(self, work) : result;
}

static void end_file_left(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    struct side_report *report = &work->slot->job->reports[self->end.role];
    *report = (struct side_report){
        .engine = self->engine->ops->kind,
        .memory_peak_bytes = budget_memory_peak_lately(),
        .attributes_changed = open->attributes.changed,
        .attributes_lost = open->attributes.lost,
        .attributes_asked = open->attributes.asked,
    };
    snprintf(report->engine_why, sizeof(report->engine_why), "%s", self->engine->why);
    cache_report(&open->cache, report);
    end_file_forget(open);
    work_finish(self, work, result);
}

static void end_file_metadata_synced(struct end_file *self, struct work *work, int result)
{
    if (result == 0 && ledger_on_disk(&work->open->ledger))
        work_call(self, work, end_file_remove_journal, end_file_left);
    else
        end_file_left(self, work, result);
}

static void end_file_metadata_set(struct end_file *self, struct work *work, int result)
{
    if (result == 0)
        sync_group_join(self, work, end_file_sync_metadata, end_file_metadata_synced);
    else
        end_file_left(self, work, result);
}

/* The data are on the medium, and nothing of ours is in the cache. */
static void end_file_dropped(struct end_file *self, struct work *work, int result)
{
    (void)result;
    end_file_tend(self, work->open, CACHE_FINISH);
    work->waiting = !cache_idle(&work->open->cache);
    if (work->waiting)
        return;
    if (work->slot->op == END_COMMIT && !work->open->reading && sync_group_may(self, work->open))
        work_call(self, work, end_file_set_metadata, end_file_metadata_set);
    else if (work->slot->op == END_COMMIT)
        work_call(self, work, end_file_commit_step, end_file_left);
    else if (work->open->ledger.disproved) /* once more: another lane may have stamped it since */
        work_call(self, work, end_file_disprove, end_file_left);
    else
        end_file_left(self, work, 0);
}

/* What of ours is outside of windows: the page of the tail, what direct I/O was found out to leave.
 */
static void end_file_drop_rest(struct end_file *self, struct work *work)
{
    cache_finish(&work->open->cache);
    work_wait(self, work, end_file_dropped);
}

static void end_file_all_synced(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    if (result == 0)
        result = open->lost_result;
    if (result == 0) {
        end_file_drop_rest(self, work);
        return;
    }
    error_set(&work->slot->error, -result, "%s: sync to the disk failed", open->file.path);
    end_file_left(self, work, result);
}

static int end_file_sync_data_alone(struct end_file *self, struct work *work)
{
    (void)self;
    return fdatasync(work->open->file.fd) == 0 ? 0 : -errno;
}

static void end_file_close_windows(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    (void)result;
    end_file_tend(self, open, CACHE_FINISH);
    work->waiting = !cache_idle(&open->cache);
    if (work->waiting)
        return;
    if (open->reading)
        end_file_drop_rest(self, work);
    else if (work->slot->op == END_COMMIT && sync_group_may(self, open))
        sync_group_join(self, work, end_file_sync_data_alone, end_file_all_synced);
    else
        work_whole(self, work, REQUEST_DATASYNC, end_file_all_synced);
}

void end_file_leave(struct end_file *self, struct work *work)
{
    if (!work->open) { /* abandoned before it was opened */
        work_finish(self, work, 0);
        return;
    }
    assert(!work->open->cache.transfers.first);
    work_wait(self, work, end_file_close_windows);
}
