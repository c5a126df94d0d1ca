/* copy.c - one file from its description to its commit: the order of the big steps, and what the
 * receipt says. Lanes do the work; chunks are the pump's business. */
#include "copy_state.h"

#include "haul/clock.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    /* A libssh session: 1.25 MB, 6 MB of shared libraries (measured), what a peer may send ahead.
     */
    SSH_LIBRARY_BYTES = 6 * 1024 * 1024,
    SSH_SESSION_BYTES = 3 * 1024 * 1024,
    TEAM_FILE_BYTES_MIN = 32 * 1024 * 1024,
    LANE_CHUNK_BYTES_MIN = 256 * 1024,
    GO_ON_MAX = 30, /* seconds, about; see copy_goes_on() */
};

static bool copy_remote(const struct copy *copy, enum end_role role)
{
    return copy->addresses[role].kind == ADDRESS_REMOTE;
}

static bool copy_any_remote(const struct copy *copy)
{
    return copy_remote(copy, END_SOURCE) || copy_remote(copy, END_TARGET);
}

/* Local copies have one lane: a second could only compete for the same disk. */
static uint32_t copy_lanes(const struct copy *copy)
{
    if (!copy_any_remote(copy))
        return 1;
    return copy->wish.lanes ? (uint32_t)min_u64(copy->wish.lanes, LANES_MAX) : LANES_AUTO_MAX;
}

static uint64_t copy_reserved_bytes(const struct copy *copy, uint32_t lanes)
{
    uint32_t chunk_bytes = copy->wish.chunk_bytes ? copy->wish.chunk_bytes : CHUNK_BYTES_DEFAULT;
    uint32_t links = copy_remote(copy, END_SOURCE) + copy_remote(copy, END_TARGET);
    uint64_t pack_bytes =
        copy->wish.compress ? (uint64_t)lanes * links * pack_memory(chunk_bytes) : 0;
    if (!copy_any_remote(copy))
        return 0;
    if (copy->wish.link.transport)
        return pack_bytes;
    return SSH_LIBRARY_BYTES + (uint64_t)lanes * SSH_SESSION_BYTES + pack_bytes;
}

static struct budget_wish copy_memory_wish(const struct copy *copy, uint32_t lanes)
{
    return (struct budget_wish){
        .memory_bytes = copy->wish.memory_bytes,
        .chunk_bytes = copy->wish.chunk_bytes,
        .size_bytes = NUM_UNKNOWN,
        .lanes = lanes,
        .reserved_bytes = copy_reserved_bytes(copy, lanes),
        .windows = copy->wish.cache == POLICY_WINDOW,
    };
}

/* As many as may be opened, but fewer where that leaves chunks that are worth the round trips. */
static int copy_decide_lanes(struct copy *copy, uint32_t *lanes, struct error *err)
{
    bool fixed = copy->wish.lanes > 0;
    struct budget_facts facts;
    struct budget_wish wish;
    struct error why;
    int result = budget_read(&facts, "/", err);
    if (result < 0)
        return result;
    for (*lanes = copy_lanes(copy);; (*lanes)--) {
        why.class = ERROR_NONE;
        wish = copy_memory_wish(copy, *lanes);
        result = budget_decide(&copy->budget, &facts, &wish, &why);
        /* A wish of 0 is none, and one less than that the largest number. */
        bool good = result == 0 && copy->budget.chunk_bytes >=
                                       min_u64(LANE_CHUNK_BYTES_MIN, copy->wish.chunk_bytes - 1);
        if (good || fixed || *lanes == 1)
            break;
    }
    if (result < 0)
        return error_take(err, &why);
    log_verbose("memory: budget=%llu slots=%u chunk=%u window=%u lanes=%u limited_by=%s",
                (unsigned long long)copy->budget.memory_bytes, copy->budget.slots_count,
                copy->budget.chunk_bytes, copy->budget.window_bytes, *lanes,
                budget_limited_by(&copy->budget, &facts, &wish));
    return 0;
}

static int copy_open_lead(struct copy *copy, struct error *err)
{
    uint32_t lanes;
    int result = copy_decide_lanes(copy, &lanes, err);
    if (result == 0 && copy_any_remote(copy) && !(copy->memory = ask_memory_open()))
        result = error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with");
    if (result < 0)
        return result;
    copy->lane_config = (struct lane_config){
        .wish = &copy->wish,
        .addresses = {&copy->addresses[END_SOURCE], &copy->addresses[END_TARGET]},
        .budget = &copy->budget,
        .lanes = lanes,
        .session = copy->session,
        .progress = &copy->progress,
        .control = copy->control,
        .memory = copy->memory,
    };
    result = lane_open(&copy->lanes[0], &copy->lane_config, err);
    if (result == 0)
        copy->lane_config.chunk_bytes = copy->lanes[0]->chunk_bytes;
    copy->lead = copy->lanes[0];
    return result;
}

int copy_open(struct copy **out, const struct copy_wish *wish, const struct address *source,
              const struct address *target, struct control *control, struct error *err)
{
    struct copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with");
    copy->wish = *wish;
    copy->control = control;
    control->bandwidth_bytes = wish->bandwidth_bytes;
    if (source)
        copy->addresses[END_SOURCE] = *source;
    if (target)
        copy->addresses[END_TARGET] = *target;
    if (getrandom(&copy->session, sizeof(copy->session), 0) != sizeof(copy->session))
        copy->session = clock_now_ns() ^ (uint64_t)getpid() << 32;
    int result = copy_open_lead(copy, err);
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
    for (uint32_t i = 0; i < LANES_MAX; i++)
        lane_close(copy->lanes[i]);
    ask_memory_close(copy->memory);
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
    return lane_broken(copy->lanes[0]);
}

/* Field by field: another thread reads them. */
static void copy_reset_progress(struct progress *progress)
{
    progress->phase = PHASE_OPENING;
    progress->bytes_total = progress->bytes_copied = progress->bytes_kept = 0;
    progress->bytes_holes = progress->bytes_repaired = progress->chunks_repaired = 0;
    progress->bytes_durable = progress->bytes_verified = progress->bytes_differing = 0;
    progress->lanes = 1;
}

static void copy_no_reports(struct job *job)
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

void copy_begin(struct copy *copy, const char *source_path, const char *target_path,
                struct receipt *receipt)
{
    const struct copy_wish *wish = &copy->wish;
    copy_reset_progress(&copy->progress);
    copy->lead = copy->lanes[0];
    copy->manifest_made = false;
    copy->lead->retired = false; /* as a further lane, of an earlier file */
    copy->lead->job = (struct job){
        .number = copy->jobs_count++,
        .source_path = source_path,
        .target_path = target_path,
        .chunk_bytes = copy->lead->chunk_bytes,
        .wish =
            {
                .cache = wish->cache,
                .strict = wish->strict,
                .cache_max_set = wish->cache_max_set,
                .cache_max_bytes = wish->cache_max_bytes,
                .write_devices = wish->write_devices,
                .resume = wish->resume,
                .journal = true,
                .journal_early = wish->manifest_path != NULL,
                .journal_path = wish->journal_path,
                .session = copy->session,
            },
    };
    copy_attributes_wish(copy, &copy->lead->job.wish);
    copy_no_reports(&copy->lead->job);
    *receipt = (struct receipt){
        .source_path = source_path,
        .target_path = target_path,
        .dry_run = wish->dry_run,
    };
}

/* For messages: a path of another machine with its host. */
static const char *copy_name(const struct copy *copy, enum end_role role, char *out,
                             size_t capacity)
{
    const struct job *job = &copy->lead->job;
    const char *path = role == END_SOURCE ? job->source_path : job->target_path;
    if (!copy_remote(copy, role))
        return path;
    snprintf(out, capacity, "%s:%s", copy->addresses[role].host, path);
    return out;
}

static bool copy_same_machine(const struct copy *copy)
{
    const struct address *source = &copy->addresses[END_SOURCE];
    const struct address *target = &copy->addresses[END_TARGET];
    return source->kind == target->kind && source->port == target->port &&
           strcmp(source->host, target->host) == 0;
}

static int copy_refuse(const struct copy *copy, struct error *err)
{
    const struct facts *facts = copy->lead->job.facts;
    const struct facts *source = &facts[END_SOURCE], *target = &facts[END_TARGET];
    char source_text[ADDRESS_TEXT_BYTES], target_text[ADDRESS_TEXT_BYTES];
    const char *source_name = copy_name(copy, END_SOURCE, source_text, sizeof(source_text));
    const char *target_name = copy_name(copy, END_TARGET, target_text, sizeof(target_text));
    switch (source->kind) {
    case FILE_NONE:
        return error_set_class(err, ERROR_VANISHED, ENOENT, "%s: there is no such file",
                               source_name);
    case FILE_FOLDER:
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", source_name);
    case FILE_OTHER:
        return error_set_class(err, ERROR_FILE, EINVAL,
                               "%s: is neither a regular file nor a block device", source_name);
    case FILE_REGULAR:
    case FILE_DEVICE:
        break;
    }
    if (target->kind == FILE_FOLDER)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder", target_name);
    bool same = copy_same_machine(copy) && target->kind != FILE_NONE &&
                source->device == target->device && source->inode == target->inode;
    if (same || evidence_overlap(source, target))
        return error_set_class(
            err, ERROR_USAGE, EINVAL, "%s and %s are the same %s", source_name, target_name,
            source->kind == FILE_DEVICE || target->kind == FILE_DEVICE ? "disk, or parts of it"
                                                                       : "file");
    return 0;
}

/* DESCRIBE at both ends. */
static int copy_look(struct copy *copy, struct error *err)
{
    int result = lane_call(copy->lead, END_SOURCE, END_DESCRIBE, err);
    if (result == 0)
        result = lane_call(copy->lead, END_TARGET, END_DESCRIBE, err);
    copy_attributes_want(copy, &copy->lead->job);
    return result < 0 ? result : copy_refuse(copy, err);
}

static bool copy_up_to_date(const struct copy *copy, const struct job *job)
{
    const struct copy_wish *wish = &copy->wish;
    const char *why = NULL;
    if (wish->ignore_times || wish->checksum || job->journal_present ||
        wish->resume == RESUME_RESTART)
        return false;
    if (wish->verify || wish->manifest_path) /* both want the content to be read */
        return false;
    enum evidence_grade grade = evidence_up_to_date(
        &job->facts[END_SOURCE], &job->facts[END_TARGET], wish->modify_window_ns, &why);
    if (grade == EVIDENCE_WEAK)
        log_note("%s: size and time are those of the source, and prove nothing: %s; comparing",
                 job->target_path, why);
    return grade == EVIDENCE_STRONG;
}

bool copy_has_holes(const struct facts *source)
{
    return source->kind == FILE_REGULAR && source->allocated_bytes < source->size_bytes;
}

/* Zeros are left out where nothing else stands: the plan says where that is. */
static bool copy_sparse(const struct copy *copy)
{
    return copy->wish.sparse || copy_has_holes(&copy->lead->job.facts[END_SOURCE]);
}

/* More than one lane: for what takes longer than opening them. */
static bool copy_wants_team(const struct copy *copy)
{
    const struct job *job = &copy->lead->job;
    return copy->lane_config.lanes > 1 && !job->wish.compare_only &&
           job->facts[END_SOURCE].size_bytes >= TEAM_FILE_BYTES_MIN;
}

/* OPEN at both ends. The source's holes decide how the target is laid out. */
static int copy_open_job(struct copy *copy, struct error *err)
{
    struct lane *lane = copy->lead;
    int result = lane_call(lane, END_SOURCE, END_OPEN, err);
    lane->source_open = result == 0;
    if (result < 0)
        return result;
    struct job_wish *wish = &lane->job.wish;
    copy_attributes_want(copy, &lane->job);
    copy->progress.bytes_total = lane->job.facts[END_SOURCE].size_bytes; /* may have grown since */
    wish->preallocate = !copy_sparse(copy) && !copy->wish.no_preallocate;
    wish->journal_early |= copy_wants_team(copy); /* lanes share it */
    result = lane_call(lane, END_TARGET, END_OPEN, err);
    lane->target_open = result == 0;
    if (result == 0 && !lane->job.target_readable &&
        (copy->wish.verify || copy->wish.manifest_path))
        result = error_set_class(err, ERROR_FILE, EACCES,
                                 "%s: may not be read back, so neither --verify nor --manifest is "
                                 "possible",
                                 lane->job.target_path);
    return result;
}

static int copy_make_plan(struct copy *copy, struct plan **out, struct error *err)
{
    const struct job *job = &copy->lead->job;
    const struct copy_wish *wish = &copy->wish;
    /* Verification stays behind two windows and what is in flight, so that it finds them closed. */
    uint64_t lag_bytes = 3 * (uint64_t)copy->budget.window_bytes + copy->budget.memory_bytes;
    const struct plan_config config = {
        .size_bytes = job->facts[END_SOURCE].size_bytes,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = job->old_bytes,
        .rewrite = !job->target_readable || wish->resume == RESUME_RESTART,
        .sparse = copy_has_holes(&job->facts[END_SOURCE]),
        .blank = copy_sparse(copy) && job->facts[END_TARGET].kind != FILE_DEVICE,
        .resume = job->journal == JOURNAL_FITS,
        .trust = wish->resume == RESUME_APPEND && !wish->verify && job->journal_source_proven &&
                 job->journal_target_proven,
        .against_source = wish->resume == RESUME_APPEND_VERIFY || !job->journal_source_proven,
        .verify = wish->verify,
        .verify_lag = (uint32_t)min_u64(lag_bytes / job->chunk_bytes, PLAN_VERIFY_MAX / 2 - 1),
    };
    return plan_open(out, &config, &copy->progress, copy->control, err);
}

/* Which lane can commit, once none runs any more: any that is whole, when every chunk is done. */
static int copy_lanes_outcome(struct copy *copy, struct plan *plan, struct error *err)
{
    struct lane *whole = NULL;
    bool complete = plan_complete(plan);
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        struct lane *lane = copy->lanes[i];
        if (!lane || lane->job.number != copy->lanes[0]->job.number)
            continue;
        if (lane->result == 0 && lane->target_open && !whole)
            whole = lane;
        else if (lane->result < 0 && complete)
            log_note("lane %u was lost, the others did its work: %s", i + 1, lane->error.text);
        else if (lane->result < 0)
            (void)error_take(err, &lane->error);
    }
    if (complete && whole) {
        copy->lead = whole;
        return 0;
    }
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        if (copy->lanes[i] && error_is_set(&copy->lanes[i]->error))
            error_take(err, &copy->lanes[i]->error);
    }
    return error_settle(err, -EIO, "%s: not every chunk of it was copied",
                        copy->lead->job.target_path);
}

int copy_pump(struct copy *copy, struct plan *plan, struct error *err)
{
    struct lane_team *team = NULL;
    int result = 0;
    const struct lane_team_config config = {
        .lane = &copy->lane_config,
        .lanes = copy->lanes,
        .lanes_wish = copy->wish.lanes,
        .plan = plan,
    };
    copy->progress.phase = copy->lead->job.wish.compare_only ? PHASE_COMPARING : PHASE_COPYING;
    if (copy_wants_team(copy))
        result = lane_team_start(&team, &config, err);
    if (result < 0)
        return result;
    lane_run(copy->lead, plan, &copy->wish, &copy->progress, copy->control);
    lane_team_finish(team);
    if (!copy->lead->job.wish.compare_only)
        return copy_lanes_outcome(copy, plan, err);
    result = copy->lead->result;
    return result < 0 ? error_take(err, &copy->lead->error) : 0;
}

/* Lanes that do not commit let go of the file. */
static void copy_release_others(struct copy *copy)
{
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        struct lane *lane = copy->lanes[i];
        if (lane && lane != copy->lead && (lane->source_open || lane->target_open))
            lane_abandon(lane);
    }
}

static int copy_commit(struct copy *copy, struct outcome_proof *proof, struct error *err)
{
    struct lane *lane = copy->lead;
    copy->progress.phase = PHASE_SYNCING;
    int result = lane_call(lane, END_TARGET, END_COMMIT, err);
    lane->target_open = false;
    proof->target_committed = result == 0;
    return result;
}

/* After a failure: what was written is synced all the same, then both ends let go of the file. */
void copy_abandon(struct copy *copy)
{
    struct error ignored = {.class = ERROR_NONE};
    copy->progress.phase = PHASE_SYNCING;
    /* Before the others: one of them may know that what this stamps is wrong. */
    if (copy->lead->target_open)
        (void)lane_call(copy->lead, END_TARGET, END_SYNC, &ignored);
    copy_release_others(copy);
    lane_abandon(copy->lead);
}

void copy_fill_receipt(struct copy *copy, uint64_t started_ns, struct receipt *receipt)
{
    const struct progress *progress = &copy->progress;
    const struct job *job = &copy->lead->job;
    receipt->files = 1;
    receipt->bytes_total = progress->bytes_total;
    receipt->bytes_copied = progress->bytes_copied;
    receipt->bytes_kept = progress->bytes_kept;
    receipt->bytes_holes = progress->bytes_holes;
    receipt->bytes_repaired = progress->bytes_repaired;
    receipt->chunks_repaired = progress->chunks_repaired;
    receipt->bytes_verified = progress->bytes_verified;
    receipt->bytes_durable = progress->bytes_durable;
    receipt->wire_bytes_sent = progress->wire_bytes_sent - copy->wire_told.sent_bytes;
    receipt->wire_bytes_received = progress->wire_bytes_received - copy->wire_told.received_bytes;
    copy->wire_told.sent_bytes += receipt->wire_bytes_sent;
    copy->wire_told.received_bytes += receipt->wire_bytes_received;
    for (uint32_t i = 0; i < LANES_MAX; i++)
        receipt->lanes += copy->lanes[i] && copy->lanes[i]->job.number == job->number;
    receipt->duration_ns = clock_now_ns() - started_ns;
    receipt->chunk_bytes = job->chunk_bytes;
    receipt->memory_peak_bytes = budget_memory_peak();
    receipt->memory_budget_bytes = copy->budget.memory_bytes;
    if (copy_remote(copy, END_SOURCE))
        receipt->source_host = copy->addresses[END_SOURCE].host;
    if (copy_remote(copy, END_TARGET))
        receipt->target_host = copy->addresses[END_TARGET].host;
    receipt->source = job->reports[END_SOURCE];
    receipt->target = job->reports[END_TARGET];
}

/* What was asked for beside the copy: the manifest is there, every byte was read back. */
static bool copy_options_kept(const struct copy *copy)
{
    const struct progress *progress = &copy->progress;
    uint64_t there_bytes = progress->bytes_verified + progress->bytes_holes;
    return (!copy->wish.manifest_path || copy->manifest_made) &&
           (!copy->wish.verify || there_bytes == progress->bytes_total);
}

/* From OPEN to COMMIT. */
static int copy_transfer(struct copy *copy, struct receipt *receipt, struct error *err)
{
    struct plan *plan = NULL;
    struct outcome_proof proof = {.complete = false};
    int result = copy_open_job(copy, err);
    if (result == 0)
        result = copy_make_plan(copy, &plan, err);
    if (result == 0 && copy->lead->job.journal == JOURNAL_FITS) {
        receipt->resumed = true;
        result = copy_list_journal(copy, plan, err);
    }
    if (result == 0)
        result = copy_pump(copy, plan, err);
    if (result == 0)
        result = copy_digest(copy, plan, receipt, err);
    /* The source first: only an unchanged source makes the target a copy. */
    if (result == 0) {
        copy->progress.phase = PHASE_SYNCING;
        copy_release_others(copy);
        result = copy_finish_source(copy, &plan, receipt, err);
        proof.source_unchanged = result == 0;
    }
    if (result == 0)
        result = copy_commit(copy, &proof, err);
    if (result == 0) {
        proof.complete = plan_complete(plan);
        proof.options_kept = copy_options_kept(copy);
        receipt->outcome = outcome_durable(&proof, err);
        copy->progress.bytes_durable = copy->progress.bytes_total;
        copy->progress.phase = PHASE_DONE;
    } else {
        copy_digest_undo(copy);
        copy_abandon(copy);
    }
    plan_close(plan);
    return result;
}

/* A first lane that was lost gives its place to another, which leads with the next file, or goes on
 * with this one. */
static void copy_promote(struct copy *copy)
{
    struct lane **lanes = copy->lanes;
    for (uint32_t i = 1; i < LANES_MAX && lane_broken(lanes[0]); i++) {
        struct lane *other = lanes[i];
        if (!other || lane_lost(other))
            continue;
        lanes[i] = lanes[0];
        lanes[0] = other;
    }
}

static int copy_attempt(struct copy *copy, const char *source_path, const char *target_path,
                        struct receipt *receipt, struct error *err)
{
    copy_begin(copy, source_path, target_path, receipt);
    const struct job *job = &copy->lead->job;
    int result = copy_look(copy, err);
    copy->progress.bytes_total = result == 0 ? job->facts[END_SOURCE].size_bytes : NUM_UNKNOWN;
    if (result == 0) {
        if (copy_up_to_date(copy, job)) {
            receipt->outcome = outcome_up_to_date("size and modification time");
            copy->progress.bytes_kept = copy->progress.bytes_total;
            copy_itemize(copy, receipt);
            result = copy_attributes_adjust(copy, err);
        } else {
            copy_itemize(copy, receipt);
            result = copy->wish.dry_run ? copy_dry(copy, receipt, err)
                                        : copy_transfer(copy, receipt, err);
        }
    }
    receipt->outcome = outcome_settle(receipt->outcome, result, err);
    /* Of the lane that has committed. */
    receipt->outcome.lacking = copy->lead->job.reports[END_TARGET].attributes_asked != 0;
    return outcome_good(&receipt->outcome) ? 0 : -err->errnum;
}

/* The first lane was lost before any other had joined it, and its server lets go of the file: who
 * has logged in meanwhile finds nobody to join. It leads instead, and goes on from the journal. So
 * long as something is left of the lost lane's server it holds the file: an open waits a second. */
static bool copy_goes_on(struct copy *copy, const struct lane *led, uint32_t attempt,
                         const struct error *err)
{
    bool lost = err->class == ERROR_SOCKET || err->class == ERROR_TIMEOUT;
    bool held = err->class == ERROR_BUSY && attempt > 0;
    if (copy->control->stop || attempt >= GO_ON_MAX)
        return false;
    copy_promote(copy);
    return lost ? copy->lanes[0] != led : held && !lane_lost(copy->lanes[0]);
}

int copy_run(struct copy *copy, const char *source_path, const char *target_path,
             struct receipt *receipt, struct error *err)
{
    uint64_t started_ns = clock_now_ns();
    struct error first = {.class = ERROR_NONE};
    char changes[sizeof(receipt->changes)] = "";
    for (uint32_t attempt = 0;; attempt++) {
        struct error why = {.class = ERROR_NONE};
        const struct lane *led = copy->lanes[0];
        int result = copy_attempt(copy, source_path, target_path, receipt, &why);
        if (!changes[0]) /* of the target as it was found */
            memcpy(changes, receipt->changes, sizeof(changes));
        memcpy(receipt->changes, changes, sizeof(changes));
        bool busy = result < 0 && why.class == ERROR_BUSY;
        if (result < 0 && copy_goes_on(copy, led, attempt, &why)) {
            if (!busy)
                log_note("the lane that led was lost, another goes on: %s", why.text);
            if (!error_is_set(&first))
                first = why;
            continue;
        }
        copy_fill_receipt(copy, started_ns, receipt);
        copy_promote(copy);
        if (result < 0) /* what holds it is of our own session */
            (void)error_take(err, busy && error_is_set(&first) ? &first : &why);
        return result;
    }
}

int copy_describe(struct copy *copy, bool target, const char *path, struct facts *facts,
                  struct error *err)
{
    enum end_role role = target ? END_TARGET : END_SOURCE;
    struct receipt ignored;
    copy_begin(copy, path, path, &ignored);
    int result = lane_call(copy->lead, role, END_DESCRIBE, err);
    *facts = copy->lead->job.facts[role];
    return result;
}
