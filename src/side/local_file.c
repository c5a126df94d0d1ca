/* local_file.c - a whole local file: open, find data, sync, commit, abandon. Commit is a row of
 * steps, each of which does one fallible thing and falls through to the next. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/budget.h"
#include "haul/disk/pipe.h"
#include "haul/disk/spelling.h"
#include "haul/disk/unfinished.h"
#include "haul/side/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *job_path(const struct local *self, const struct job *job)
{
    return self->side.role == SIDE_SOURCE ? job->source_path : job->target_path;
}

/* --journal and --manifest name any file of the machine: not in a place. A source has none. */
static int local_refuse_journal(const struct local *self, const struct job *job, struct error *err)
{
    if (!self->config.place || !job->wish.journal_path || self->side.role == SIDE_SOURCE)
        return 0;
    return error_set_class(err, ERROR_FILE, EACCES,
                           "%s: haul is restricted to a folder there, and its journals lie beside "
                           "their files",
                           job->wish.journal_path);
}

void local_name_owners(const struct local *self, struct job *job)
{
    enum side_role role = self->side.role;
    if (job->names && !job->wish.numeric_ids && job->facts[role].kind != FILE_NONE)
        owners_name_both(self->owners, &job->facts[role], &job->names[role]);
}

int local_check_spelling(const struct work *work, struct error *err)
{
    const struct job *job = work->slot->job;
    if (!job->wish.spelled)
        return 0;
    AUTO_CLOSE int fd = place_reach_folder(work->place, job->target_path, O_PATH | O_DIRECTORY);
    return fd < 0 ? 0 : spelling_check(fd, place_name(job->target_path), err);
}

/* Others may take it away, and make it, meanwhile. */
static int local_describe_target(const struct work *work, struct error *err)
{
    enum { ATTEMPTS_MAX = 16 };
    struct job *job = work->slot->job;
    struct facts *facts = &job->facts[SIDE_TARGET];
    int result = SPELLING_NOTHING;
    for (int attempt = 0; result > 0 && attempt < ATTEMPTS_MAX; attempt++) {
        result = file_describe_in(work->place, job->target_path, facts, err);
        if (result == 0 && facts->kind != FILE_NONE)
            result = local_check_spelling(work, err);
    }
    return result <= 0 ? result : error_set(err, EBUSY, "%s", job->target_path);
}

/* For whoever goes by its facts. */
static bool local_is_unfinished(const struct work *work)
{
    const struct job *job = work->slot->job;
    return job->wish.journal_early && job->facts[SIDE_TARGET].kind == FILE_REGULAR &&
           unfinished_lies(work->place, job->target_path);
}

int local_describe(struct local *self, struct work *work)
{
    struct job *job = work->slot->job;
    struct error *err = work->slot->error;
    int result = local_refuse_journal(self, job, err);
    if (result == 0)
        result = self->side.role == SIDE_TARGET ? local_describe_target(work, err)
                                                : file_describe_in(work->place, job->source_path,
                                                                   &job->facts[SIDE_SOURCE], err);
    if (result == 0 && pipe_is_kind(job->facts[self->side.role].kind))
        job->facts[self->side.role].size_bytes = job->wish.size_bytes;
    if (result == 0)
        local_name_owners(self, job);
    if (result == 0 && self->side.role == SIDE_TARGET && job->wish.chown)
        result = owners_parse(job->wish.chown, &(struct facts){0}, (bool[2]){false}, err);
    if (result == 0 && self->side.role == SIDE_TARGET)
        job->journal_present = ledger_lies(work->place, job) || local_is_unfinished(work);
    if (result == 0 && job->wish.dry)
        result = local_probe(self, work->place, job, err);
    return result;
}

static struct open_file *local_place(struct local *self, const struct job *job)
{
    for (uint32_t i = 0; i < self->config.jobs_max; i++) {
        struct open_file *open = &self->opens[i];
        if (open->used)
            continue;
        self->opens_count++;
        self->opens_end = (uint32_t)max_u64(self->opens_end, i + 1);
        memset(open, 0, offsetof(struct open_file, ledger.path));
        open->owner = OWNER_CACHE;
        open->opened = ++self->opened;
        open->used = true;
        open->job_number = job->number;
        file_init(&open->file);
        return open;
    }
    return NULL;
}

static void local_forget(struct local *self, struct open_file *open)
{
    self->opens_count--;
    ledger_close(&open->ledger);
    cache_close(&open->cache);
    file_close(&open->file);
    open->used = false;
}

static int local_open_cache(struct local *self, struct open_file *open, const struct job *job,
                            struct error *err)
{
    const struct cache_need need = {
        .path = open->file.path,
        .size_bytes = open->grows ? FILE_BYTES_MAX : open->size_bytes,
        .reading = open->reading,
    };
    return cache_open(&open->cache, &self->pool, &open->file, job, &need, err);
}

/* What is there has an order and no places. Beneath a place of any kind it is not opened. */
static bool local_is_stream(const struct local *self, const struct work *work)
{
    struct stat st;
    return !work->place && stat(job_path(self, work->slot->job), &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISCHR(st.st_mode));
}

/* The source; and the target, too, when it is only compared. */
static int local_open_reading(struct local *self, struct work *work, struct job *job,
                              struct error *err)
{
    struct open_file *open = work->open;
    int result = file_open_source_in(&open->file, work->place, job_path(self, job), err);
    if (result < 0)
        return result;
    open->size_bytes = open->file.facts.size_bytes;
    job->facts[self->side.role] = open->file.facts;
    local_name_owners(self, job);
    job->source_file = self->side.role == SIDE_SOURCE ? &open->file : NULL;
    job->target_readable = true;
    ledger_init(&open->ledger, &open->file, job); /* a manifest to compare with */
    return local_open_cache(self, open, job, err);
}

/* A target that we made and could not even start to fill: take it away again, and its journal. */
static void local_undo(struct open_file *open, const struct job *job)
{
    ledger_undo(&open->ledger, job);
    if (open->file.created && unlinkat(open->file.fd_folder, open->file.name, 0) != 0)
        log_warning("%s: an empty file is left", open->file.path);
}

/* What the client learns of the target as it was. */
static void local_tell_target(const struct local *self, const struct open_file *open,
                              struct job *job)
{
    bool tells = place_may_read(self->config.place);
    job->facts[SIDE_TARGET] = tells ? open->file.facts : (struct facts){.kind = FILE_REGULAR};
    job->target_readable = open->file.readable;
    job->target_fresh = open->file.facts.size_bytes == 0 || !tells;
    job->old_bytes = tells ? min_u64(open->file.facts.size_bytes, open->size_bytes) : 0;
    if (!open->file.shared || open->file.facts.kind != FILE_REGULAR)
        return;
    /* Others have given it its size, and nothing else here. */
    job->old_bytes = file_data_end(&open->file, job->wish.part_start, job->wish.part_end);
    job->target_fresh = job->old_bytes == job->wish.part_start;
}

/* Under its journal's mark, as from now on it is neither what it was nor finished: what is left of
 * old bytes behind new ones would look like one file. */
static int local_empty(struct open_file *open, struct job *job, struct error *err)
{
    int result = file_set_size(&open->file, 0, err);
    open->file.facts.size_bytes = open->file.facts.allocated_bytes = 0;
    open->ledger.signed_now = false;
    job->old_bytes = 0;
    return result;
}

/* The target gets the source's blocks where that is wished, else room for its own. */
static int local_lay_out(struct open_file *open, struct job *job, struct error *err)
{
    ERROR_UNSET(why);
    enum reflink_wish wish = job->wish.reflink;
    if (open->file.shared)
        return file_grow(&open->file, open->size_bytes, !job->wish.preallocate, err);
    int result = wish == REFLINK_NEVER ? -ENOTSUP : file_clone(&open->file, job->source_file, &why);
    job->target_cloned = result == 0;
    if (result == 0)
        return 0;
    if (wish == REFLINK_ALWAYS)
        return error_set_class(err, ERROR_FILE, -result,
                               "%s; --reflink=auto copies where that cannot be", why.text);
    if (wish == REFLINK_AUTO)
        log_verbose("%s; copying", why.text);
    return file_preallocate(&open->file, open->size_bytes, !job->wish.preallocate, err);
}

/* Itself, or under a name beside it. A link on the operator's own path stays; what it leads to is
 * replaced. */
static int local_open_writing(const struct work *work, const struct job *job, struct error *err)
{
    char aside[BESIDE_NAME_BYTES];
    bool follows = job->wish.no_inplace && !work->place;
    AUTO_FREE char *real = follows ? realpath(job->target_path, NULL) : NULL;
    const char *path = real ? real : job->target_path;
    beside_name(aside, place_name(path), BESIDE_NEW);
    const struct file_open_wish wish = {
        .join = job->wish.join,
        .session = job->wish.session,
        .size_bytes = job->facts[SIDE_SOURCE].size_bytes,
        .write_devices = job->wish.write_devices,
        .create_mode =
            job->wish.attributes[ATTRIBUTE_MODE] == ATTRIBUTE_LEAVE && job->wish.part_end == 0
                ? job->facts[SIDE_SOURCE].mode
                : 0,
        .aside = job->wish.no_inplace ? aside : NULL,
        .place = work->place,
        .part_start = job->wish.part_start,
        .part_end = job->wish.part_end,
        .spelled = job->wish.spelled,
    };
    return file_open_target(&work->open->file, path, &wish, err);
}

/* It is ours: what it is becomes known, and it gets its size. */
static int local_settle_target(struct local *self, struct work *work, struct job *job,
                               struct error *err)
{
    const struct place *place = work->place;
    struct open_file *open = work->open;
    bool piped = pipe_is_kind(job->facts[SIDE_SOURCE].kind);
    int result = 0;
    open->size_bytes = job->facts[SIDE_SOURCE].size_bytes;
    open->grows = piped && open->file.facts.kind == FILE_REGULAR;
    ledger_init(&open->ledger, &open->file, job);
    local_tell_target(self, open, job);
    result = local_open_cache(self, open, job, err);
    if (result == 0)
        result = job->wish.join ? ledger_join(&open->ledger, place, job, err)
                                : ledger_find(&open->ledger, place, job, err);
    cache_touch_edge(&open->cache, open->file.facts.size_bytes);
    cache_touch_edge(&open->cache, open->size_bytes);
    if (result == 0 && open->grows)
        result = local_empty(open, job, err);
    if (result == 0 && !job->wish.join) {
        evidence_settle_target(&job->facts[SIDE_SOURCE], &open->file.facts);
        result = local_lay_out(open, job, err);
    }
    if (piped && !open->grows) /* a device is as large as it is */
        open->size_bytes = open->cache.size_bytes = open->file.facts.size_bytes;
    if (result < 0)
        local_undo(open, job);
    return result;
}

static int local_settle_step(struct local *self, struct work *work);

/* Once it is locked, who comes later finds that: so the sign may take its time. */
static int local_open_target(struct local *self, struct work *work, struct job *job,
                             struct error *err)
{
    struct open_file *open = work->open;
    int result = local_open_writing(work, job, err);
    if (result < 0)
        return result;
    result = work_deserted(self, work); /* opening it may have taken long */
    if (result < 0)
        local_undo(open, job);
    if (result == 0 && !job->wish.join && work_is_late(work)) {
        work->goes_on = local_settle_step;
        return WORK_LATE;
    }
    return result < 0 ? result : local_settle_target(self, work, job, err);
}

/* The same, once there was that sign; or nobody waits for it. */
static int local_settle_step(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    const struct job_root *root = &slot->job->roots[SIDE_TARGET];
    int result = work_deserted(self, work);
    if (result == 0)
        result = roots_hold(&self->roots, root, &work->place, slot->error);
    if (result < 0) {
        local_undo(work->open, slot->job);
        return result;
    }
    result = local_settle_target(self, work, slot->job, slot->error);
    roots_release(&self->roots, work->place);
    return result;
}

static int local_open_step(struct local *self, struct work *work)
{
    struct job *job = work->slot->job;
    if (!job->wish.compare_only && local_is_stream(self, work))
        return local_stream_open(self, work->open, job, work->slot->error);
    return work->open->reading ? local_open_reading(self, work, job, work->slot->error)
                               : local_open_target(self, work, job, work->slot->error);
}

uint32_t local_doubts(const struct side *side)
{
    const struct local *self = (const struct local *)side;
    return self->doubts > self->assured ? self->doubts : 0;
}

void local_assure(struct side *side, uint32_t doubts, uint64_t alive_ns)
{
    struct local *self = (struct local *)side;
    self->assured = doubts;
    self->alive_ns = alive_ns;
    work_look(self);
}

static void local_opened(struct local *self, struct work *work, int result)
{
    work->open->opening = false;
    if (result < 0)
        local_forget(self, work->open);
    work_finish(self, work, result);
}

void local_open_job(struct local *self, struct work *work)
{
    struct job *job = work->slot->job;
    int result = local_refuse_journal(self, job, work->slot->error);
    if (result == 0 && !(work->open = local_place(self, job)))
        result = error_set(work->slot->error, EMFILE, "too many files at once");
    if (result < 0) {
        work_finish(self, work, result);
        return;
    }
    work->open->opening = true;
    work->open->reading = self->side.role == SIDE_SOURCE || job->wish.compare_only;
    work_call_placed(self, work, local_open_step, local_opened);
}

int local_map(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    (void)self;
    return file_next_data(&work->open->file, slot->offset, &slot->extent_start, &slot->extent_end,
                          work->slot->error);
}

/* The source must be what it was when it was opened. -EAGAIN: perhaps it is, see life.h; who
 * only compares can do no better than say so. */
static int local_check_source(const struct open_file *open, bool compare_only, struct error *err)
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
static int local_committed(const struct work *work, int result)
{
    if (result < 0)
        file_take_back(&work->open->file);
    return result;
}

/* Also what an earlier run has left on it. A part does not finish it; and whose mode is set may not
 * be changed any more. */
static int local_finish(const struct file *file, struct error *err)
{
    bool whole = file->facts.kind == FILE_REGULAR && !file->replaces[0] && !file->shared;
    return whole ? unfinished_clear(file->fd, file->path, err) : 0;
}

/* From here on the target is what the source was. */
static int local_set_metadata(struct local *self, struct work *work)
{
    struct error *err = work->slot->error;
    int result = file_check_in_place(&work->open->file, work->open->size_bytes, err);
    if (result == 0)
        result = local_finish(&work->open->file, err);
    if (result == 0 && !work->open->file.shared) /* whoever writes the last part does not know it */
        result = local_set_attributes(self, work->open, work->slot->job, err);
    return local_committed(work, result);
}

static int local_sync_metadata(struct local *self, struct work *work)
{
    struct error *err = work->slot->error;
    (void)self;
    int result = file_sync(&work->open->file, err);
    if (result == 0)
        result = file_sync_folder(&work->open->file, err);
    return local_committed(work, result);
}

/* Its own journal goes first: what is killed in between is found whole by the next run. With the
 * name goes what an unfinished copy into the old file has left. */
static int local_take_name(const struct open_file *open, struct error *err)
{
    char journal[BESIDE_NAME_BYTES];
    if (!open->file.replaces[0])
        return 0;
    beside_name(journal, open->file.replaces, BESIDE_JOURNAL);
    int result = journal_discard(open->file.fd_folder, journal, err);
    return result < 0 ? result : file_take_name(&open->file, err);
}

/* The journal has done its work. */
static int local_settle_names(struct local *self, struct work *work)
{
    (void)self;
    int result = ledger_remove(&work->open->ledger, work->slot->error);
    if (result == 0)
        result = local_take_name(work->open, work->slot->error);
    return local_committed(work, result);
}

/* --base-manifest: the target as it has just been given its time. false: it has another one, so
 * that nothing would tell what others have written since. */
static bool local_see_finished(const struct work *work, struct facts *finished)
{
    const struct job *job = work->slot->job;
    ERROR_UNSET(ignored);
    bool timed = job->wish.attributes[ATTRIBUTE_TIMES] != ATTRIBUTE_LEAVE;
    return job->wish.seals && file_facts(&work->open->file, finished, &ignored) == 0 &&
           (!timed || evidence_same_time(&job->facts[SIDE_SOURCE], finished));
}

/* What the target is from now on, which its next change would show; 0: somebody has written to it
 * meanwhile. A new name, too, is a change of its status, and hides one that others have made, but
 * for that of its time. */
static uint64_t local_seal(const struct file *file, const struct facts *finished)
{
    struct facts then, now;
    ERROR_UNSET(ignored);
    if (file_facts(file, &then, &ignored) < 0 || !evidence_settle(&then, EVIDENCE_PATIENCE_NS) ||
        file_facts(file, &now, &ignored) < 0)
        return 0;
    enum evidence_change change = evidence_compare(finished, &then);
    bool renamed = change == EVIDENCE_TOUCHED && file->replaces[0];
    bool same = (change == EVIDENCE_UNCHANGED || renamed) &&
                evidence_compare(&then, &now) == EVIDENCE_UNCHANGED;
    return same ? evidence_seal(&now) : 0;
}

static int local_commit_step(struct local *self, struct work *work)
{
    const struct job_wish *wish = &work->slot->job->wish;
    if (work->open->stream.used)
        return local_stream_check(self, work);
    if (work->open->reading)
        return local_check_source(work->open, wish->compare_only, work->slot->error);
    struct facts finished;
    int result = local_set_metadata(self, work);
    bool seals = result == 0 && local_see_finished(work, &finished);
    if (result == 0)
        result = local_sync_metadata(self, work);
    if (result == 0)
        result = local_settle_names(self, work);
    work->slot->job->seal = result == 0 && seals ? local_seal(&work->open->file, &finished) : 0;
    return result;
}

static void local_left(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    struct side_report *report = &work->slot->job->reports[self->side.role];
    *report = (struct side_report){
        .engine = self->engine->ops->kind,
        .memory_peak_bytes = budget_memory_peak_lately(),
        .kernel_bytes = kernel_memory_tell(self->config.kernel).most_bytes,
        .attributes_changed = open->attributes.changed,
        .attributes_lost = open->attributes.lost,
        .attributes_asked = open->attributes.asked,
    };
    if (!open->stream.used)
        cache_report(&open->cache, report);
    side_say(work->slot->job, self->side.role, open->stream.used ? "a pipe" : open->cache.why,
             self->engine->why);
    local_forget(self, open);
    work_finish(self, work, result);
}

static void local_metadata_synced(struct local *self, struct work *work, int result)
{
    if (result == 0 && (ledger_on_disk(&work->open->ledger) || work->open->file.replaces[0]))
        work_call(self, work, local_settle_names, local_left);
    else
        local_left(self, work, result);
}

static void local_metadata_set(struct local *self, struct work *work, int result)
{
    if (result == 0)
        sync_group_join(self, work, local_sync_metadata, local_metadata_synced);
    else
        local_left(self, work, result);
}

/* The data are on the medium, and nothing of ours is in the cache. */
static void local_dropped(struct local *self, struct work *work, int result)
{
    (void)result;
    local_tend(self, work->open, CACHE_FINISH);
    work->waiting = !cache_idle(&work->open->cache);
    if (work->waiting)
        return;
    bool shares = !work->slot->job->wish.seals; /* it is of one file, and sealed at the end */
    if (work->slot->op == SIDE_COMMIT && !work->open->reading && shares &&
        sync_group_may(self, work->open))
        work_call(self, work, local_set_metadata, local_metadata_set);
    else if (work->slot->op == SIDE_COMMIT)
        work_call(self, work, local_commit_step, local_left);
    else if (work->open->ledger.disproved) /* once more: another lane may have stamped it since */
        work_call(self, work, local_disprove, local_left);
    else
        local_left(self, work, 0);
}

/* What of ours is outside of windows: the page of the tail, what direct I/O was found out to leave.
 */
static void local_drop_rest(struct local *self, struct work *work)
{
    cache_finish(&work->open->cache);
    work_wait(self, work, local_dropped);
}

static void local_all_synced(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    if (result == 0)
        result = open->lost_result;
    if (result == 0) {
        local_drop_rest(self, work);
        return;
    }
    error_set(work->slot->error, -result, "%s: sync to the disk failed", open->file.path);
    local_left(self, work, result);
}

static int local_sync_data_alone(struct local *self, struct work *work)
{
    (void)self;
    return fdatasync(work->open->file.fd) == 0 ? 0 : -errno;
}

static void local_close_windows(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    (void)result;
    local_tend(self, open, CACHE_FINISH);
    work->waiting = !cache_idle(&open->cache);
    if (work->waiting)
        return;
    if (open->reading)
        local_drop_rest(self, work);
    else if (work->slot->op == SIDE_COMMIT && sync_group_may(self, open))
        sync_group_join(self, work, local_sync_data_alone, local_all_synced);
    else
        work_whole(self, work, REQUEST_DATASYNC, local_all_synced);
}

/* It has its final size. */
static void local_sized(struct local *self, struct work *work, int result)
{
    if (result < 0 && work->open->lost_result == 0)
        work->open->lost_result = result;
    work_wait(self, work, local_close_windows);
}

void local_leave(struct local *self, struct work *work)
{
    if (!work->open) { /* abandoned before it was opened; or it is a tour's */
        local_tours_leave(&self->tours, work->slot->job);
        work_finish(self, work, 0);
        return;
    }
    assert(!work->open->cache.transfers.first);
    if (work->open->stream.used && work->slot->op == SIDE_COMMIT)
        work_call(self, work, local_commit_step, local_left);
    else if (work->open->stream.used)
        local_left(self, work, 0);
    else if (work->open->grows)
        local_cut(self, work, local_sized);
    else
        work_wait(self, work, local_close_windows);
}
