/* life.c - a file's life as one switch: each step's return leads to the next state, or out. */
#include "life_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/disk/details.h"
#include "haul/disk/evidence.h"
#include "haul/disk/pipe.h"
#include "haul/disk/small.h"
#include "haul/wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPARES_MAX = 3, /* of a source that does not come to rest */
    TEAM_FILE_BYTES_MIN = 32 * 1024 * 1024,
};

/* What each state wants as it is entered. */
static const struct {
    const char *name;
    enum life_want want;
    enum side_role role;
    enum side_op op;
} states[] = {
    [LIFE_DESCRIBING_SOURCE] = {"describing the source", LIFE_WANTS_STEP, SIDE_SOURCE,
                                SIDE_DESCRIBE},
    [LIFE_DESCRIBING_TARGET] = {"describing the target", LIFE_WANTS_STEP, SIDE_TARGET,
                                SIDE_DESCRIBE},
    [LIFE_CLEARING] = {"clearing", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_MAKE},
    [LIFE_CALLING] = {"calling", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_READING] = {"reading the manifest", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_ADJUSTING] = {"adjusting", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_ADJUST},
    [LIFE_PROBING_SOURCE] = {"probing the source", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_PROBING_TARGET] = {"probing the target", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_DESCRIBE},
    [LIFE_WAITING] = {"waiting", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_OPENING_SOURCE] = {"opening the source", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_OPEN},
    [LIFE_OPENING_TARGET] = {"opening the target", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_OPEN},
    [LIFE_TAKING] = {"taking", LIFE_WANTS_WHOLE, SIDE_SOURCE, SIDE_TAKE},
    [LIFE_PUTTING] = {"putting", LIFE_WANTS_WHOLE, SIDE_TARGET, SIDE_PUT},
    [LIFE_CARRYING] = {"carrying", LIFE_WANTS_WHOLE, SIDE_TARGET, SIDE_CARRY},
    [LIFE_BASING] = {"reading a base", LIFE_WANTS_NOTHING, SIDE_TARGET, SIDE_DESCRIBE},
    [LIFE_LISTING] = {"listing", LIFE_WANTS_BUFFER, SIDE_TARGET, SIDE_RECALL},
    [LIFE_COPYING] = {"copying", LIFE_WANTS_CHUNKS, SIDE_SOURCE, SIDE_FETCH},
    [LIFE_GATHERING] = {"gathering", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_SYNCING] = {"syncing", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_SYNC},
    [LIFE_DIGESTING] = {"digesting", LIFE_WANTS_BUFFER, SIDE_TARGET, SIDE_RECALL},
    [LIFE_RELEASING] = {"releasing", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_DETAILING] = {"reading attributes", LIFE_WANTS_BUFFER, SIDE_SOURCE, SIDE_DETAIL},
    [LIFE_DRESSING] = {"setting attributes", LIFE_WANTS_BUFFER, SIDE_TARGET, SIDE_DRESS},
    [LIFE_COMMITTING_SOURCE] = {"committing the source", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_COMMIT},
    [LIFE_LEAVING_SOURCE] = {"leaving the source", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_ABANDON},
    [LIFE_REOPENING_SOURCE] = {"reopening the source", LIFE_WANTS_STEP, SIDE_SOURCE, SIDE_OPEN},
    [LIFE_COMMITTING_TARGET] = {"committing the target", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_COMMIT},
    [LIFE_KEEPING] = {"keeping a base", LIFE_WANTS_NOTHING, SIDE_TARGET, SIDE_DESCRIBE},
    [LIFE_UNDOING] = {"undoing the manifest", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_SAVING] = {"saving", LIFE_WANTS_STEP, SIDE_TARGET, SIDE_SYNC},
    [LIFE_ABANDONING_SOURCE] = {"abandoning the source", LIFE_WANTS_STEP, SIDE_SOURCE,
                                SIDE_ABANDON},
    [LIFE_ABANDONING_TARGET] = {"abandoning the target", LIFE_WANTS_STEP, SIDE_TARGET,
                                SIDE_ABANDON},
    [LIFE_PARKED] = {"parked", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_DONE] = {"done", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
    [LIFE_FAILED] = {"failed", LIFE_WANTS_NOTHING, SIDE_SOURCE, SIDE_DESCRIBE},
};

/* The only place where a state changes. */
static void life_enter(struct life *life, enum life_state state)
{
    assert(!life_ended(life));
    if (life->state != state)
        log_debug("%s: %s -> %s", life->job.target_path, states[life->state].name,
                  states[state].name);
    life->state = state;
    life->want = states[state].want;
    life->role = states[state].role;
    life->op = states[state].op;
}

static void life_phase(struct life *life, enum phase phase)
{
    if (life->kind != LIFE_HELP)
        life->progress->phase = phase;
}

bool life_ended(const struct life *life)
{
    return life->state == LIFE_DONE || life->state == LIFE_FAILED;
}

/* It is opened as what it was described as. */
static int life_check_pipe(const struct life *life, enum side_role role, struct error *err)
{
    const struct job *job = &life->job;
    if (pipe_is_kind(job->facts[role].kind) == life->piped[role])
        return 0;
    return error_set_class(err, ERROR_CHANGED, ESTALE, "%s: was replaced while it was opened",
                           role == SIDE_SOURCE ? job->source_path : job->target_path);
}

/* Of a pipe what was expected, until all of it has come. */
static void life_tell_size(struct life *life)
{
    uint64_t size_bytes = life->job.facts[SIDE_SOURCE].size_bytes;
    bool unknown = life_pipes(life, SIDE_SOURCE) && size_bytes == 0;
    if (life->job.wish.part_end > 0)
        size_bytes = life->job.wish.part_end - life->job.wish.part_start;
    life->progress->bytes_total = unknown ? NUM_UNKNOWN : size_bytes;
}

/* ---- the beginning ---- */

/* Hundreds are under way at once: what few of them need has memory of its own. */
static_assert(sizeof(void *) > 8 || sizeof(struct life) <= 1408, "a life is small");

const struct side_report life_no_report = {
    .resident_before_bytes = NUM_UNKNOWN,
    .resident_peak_bytes = NUM_UNKNOWN,
    .resident_after_bytes = NUM_UNKNOWN,
    .memory_peak_bytes = NUM_UNKNOWN,
    .kernel_bytes = NUM_UNKNOWN,
};

/* Field by field: another thread reads them. */
static void life_reset_progress(struct progress *progress)
{
    progress->phase = PHASE_OPENING;
    progress->bytes_total = NUM_UNKNOWN;
    progress->bytes_copied = progress->bytes_kept = progress->bytes_holes = 0;
    progress->bytes_referenced = progress->bytes_unread = 0;
    progress->bytes_repaired = progress->chunks_repaired = progress->bytes_durable = 0;
    progress->bytes_verified = progress->bytes_differing = progress->bytes_unreadable = 0;
    progress->lanes = 1;
}

static void life_unsay(struct side_words *words)
{
    for (int role = 0; words && role < 2; role++)
        side_unsay(&words[role]);
}

static void life_take_names(struct life *life, const struct job *from)
{
    if (life->job.names && from->names)
        memcpy(life->job.names, from->names, 2 * sizeof(*from->names));
}

/* All but the counters. */
static void life_clear(struct life *life, const struct life_run *run, enum life_kind kind,
                       struct error *error)
{
    memset(life, 0, offsetof(struct life, counters));
    memset(&life->outcome, 0, sizeof(*life) - offsetof(struct life, outcome));
    life->error = error;
    error_clear(error);
    life->run = run;
    life->kind = kind;
    life->lanes = 1;
    life->started_ns = life->sync.synced_at_ns = clock_now_ns();
}

static struct job_wish life_wish(const struct life *life, const struct life_start *start)
{
    const struct copy_wish *wish = life->run->wish;
    bool compare = start->kind == LIFE_COMPARE;
    struct job_wish job = wish->file;
    job.session = life->run->session;
    job.journal = !compare;
    job.compare_only = compare;
    job.replace_folders = (wish->tour.force || wish->tour.delete) && !start->keeps_folder;
    /* What is unfinished may not be taken for a target that is newer, or there, or has the size. */
    bool telling = wish->choice.update || wish->choice.ignore_existing || wish->choice.size_only;
    /* Nor what is finished but for what could not be read, be it shorter than one chunk. */
    bool leaves_out = job.read_errors == READ_ERRORS_SKIP;
    bool lists = wish->manifest_path || wish->base_path;
    job.journal_early = !compare && (lists || telling || leaves_out);
    job.seals = !compare && wish->base_path;
    /* These want the content to be read, or written in another way. */
    if (compare || wish->verify || lists || wish->digest_path || wish->sparse ||
        start->part_end > 0 || start->there)
        job.reflink = REFLINK_NEVER;
    if (compare)
        job.journal_path = start->source_path ? NULL : wish->manifest_path;
    job.part_start = start->part_start;
    job.part_end = start->part_end;
    job.spelled = start->spelled;
    life_attributes_wish(life->run, &job);
    return job;
}

static void life_describe(struct life *life);
static void life_end(struct life *life);

/* The header is all that is known of the source. */
static void life_read(struct life *life)
{
    life_enter(life, LIFE_READING);
    int result = errand_begin(&life->errand, life_read_manifest, life, life->error);
    if (result == 0)
        return;
    life_note_failure(life, result, life->error, false);
    life_enter(life, LIFE_WAITING);
}

void life_begin(struct life *life, const struct life_run *run, const struct life_start *start)
{
    life_clear(life, run, start->kind, start->error);
    life->progress = &life->counters;
    life_reset_progress(life->progress);
    life->job = (struct job){
        .number = start->number,
        .roots = {start->roots[SIDE_SOURCE], start->roots[SIDE_TARGET]},
        .source_path = start->source_path,
        .target_path = start->target_path,
        .chunk_bytes = start->chunk_bytes,
        .wish = life_wish(life, start),
        .unjournalled = start->unjournalled,
        .names = start->names,
        .words = start->words,
    };
    life_unsay(start->words);
    if (start->names)
        memset(start->names, 0, 2 * sizeof(*start->names));
    life->job.reports[SIDE_SOURCE] = life->job.reports[SIDE_TARGET] = life_no_report;
    if (start->source)
        life->job.facts[SIDE_SOURCE] = *start->source;
    if (start->kind == LIFE_CALL && start->call->op == SIDE_DRESS) {
        life->call = start->call;
        life_enter(life, LIFE_DETAILING);
        return;
    }
    if (start->kind == LIFE_CALL) {
        life->call = start->call;
        life->job.wish.dry = start->dry;
        life_enter(life, LIFE_CALLING);
        life->role = start->call->role;
        life->op = start->call->op;
        if (start->call->bytes)
            life->want = LIFE_WANTS_BUFFER;
        return;
    }
    bool target = start->kind == LIFE_LOOK && start->role == SIDE_TARGET;
    life->there = start->there;
    life->small = start->kind == LIFE_COPY && !start->there;
    life->earlier = start->earlier;
    if (start->earlier.started_ns > 0)
        life->started_ns = start->earlier.started_ns;
    life->described[SIDE_SOURCE] = start->source != NULL;
    life->described[SIDE_TARGET] = life->target_absent = start->target_absent;
    life->nearest = start->nearest;
    if (start->kind == LIFE_COPY)
        life_describe(life);
    else if (start->source_path || target)
        life_enter(life, target ? LIFE_DESCRIBING_TARGET : LIFE_DESCRIBING_SOURCE);
    else
        life_read(life);
}

/* false: there is no memory for it. */
static bool life_note_source(struct life *life, const struct facts *source)
{
    if (!life->found)
        life->found = calloc(1, sizeof(*life->found));
    if (life->found)
        life->found->source = *source;
    return life->found;
}

void life_help(struct life *life, const struct life *lead, uint32_t chunk_bytes,
               const struct life_start *room)
{
    life_clear(life, lead->run, LIFE_HELP, room->error);
    life->progress = lead->progress;
    life->plan = lead->plan;
    /* But for the last ones, which the lead's lane goes on counting: they are zeros here. */
    memcpy(&life->job, &lead->job, offsetof(struct job, sent_bytes));
    life->job.names = lead->job.names ? room->names : NULL;
    life->job.words = room->words;
    life_unsay(room->words);
    life_take_names(life, &lead->job);
    life->job.wish.join = true;
    bool known = life_note_source(life, &lead->job.facts[SIDE_SOURCE]);
    life_enter(life, LIFE_OPENING_SOURCE);
    if (known && chunk_bytes >= lead->job.chunk_bytes)
        return;
    error_set_class(life->error, ERROR_MEMORY, ENOMEM, "there is no memory for another lane%s",
                    known ? " on the other side" : "");
    life_note_failure(life, -ENOMEM, life->error, true);
    life_enter(life, LIFE_PARKED);
}

/* ---- the side ---- */

/* A copy that went on with another link: what it has kept of this run was copied by it. */
static void life_count_earlier(struct life *life)
{
    struct progress *progress = life->progress;
    uint64_t moved_bytes = min_u64(life->earlier.copied_bytes, progress->bytes_kept);
    progress->bytes_kept -= moved_bytes;
    progress->bytes_copied += moved_bytes;
    progress->bytes_repaired += life->earlier.repaired_bytes;
    progress->chunks_repaired += life->earlier.chunks_repaired;
    life->earlier = (struct life_earlier){.started_ns = 0};
}

void life_count_attempt(const struct life *life, struct life_earlier *earlier)
{
    const struct progress *progress = life->progress;
    *earlier = (struct life_earlier){
        .started_ns = life->started_ns,
        .copied_bytes = max_u64(earlier->copied_bytes, progress->bytes_copied),
        .repaired_bytes = progress->bytes_repaired,
        .chunks_repaired = progress->chunks_repaired,
    };
}

/* Every way out leads here. */
static void life_end(struct life *life)
{
    if (life->weighed) /* for whoever asks what has failed */
        life->kind = LIFE_COPY;
    life_count_earlier(life);
    life->outcome = outcome_settle(life->outcome, life->result, life->error);
    /* Of the lane that has committed. */
    life->outcome.lacking = life->undressed || life->base_lost || life->unlisted ||
                            life->job.reports[SIDE_TARGET].attributes_asked != 0;
    life->duration_ns = clock_now_ns() - life->started_ns;
    bool good = outcome_good(&life->outcome);
    if (life->kind == LIFE_COMPARE || life->outcome.kind == OUTCOME_DURABLE ||
        life->outcome.kind == OUTCOME_HANDED_OVER)
        life_phase(life, PHASE_DONE);
    life_close(life);
    life_enter(life, good ? LIFE_DONE : LIFE_FAILED);
}

void life_close(struct life *life)
{
    if (life->kind != LIFE_HELP)
        plan_close(life->plan);
    life->plan = NULL;
    (void)errand_end(life->errand, NULL);
    life->errand = NULL;
    if (life->digesting) /* the code of what was never open is not in memory, either */
        life_digest_close(life);
    life_base_close(life);
    if (life->whole)
        whole_close(life->whole);
    life->whole = NULL;
    free(life->found);
    life->found = NULL;
}

/* Nothing else is in the way of closing what is still open. */
static void life_abandon(struct life *life)
{
    if (life->held[SIDE_SOURCE])
        life_enter(life, LIFE_ABANDONING_SOURCE);
    else if (life->held[SIDE_TARGET])
        life_enter(life, LIFE_ABANDONING_TARGET);
    else
        life_end(life);
}

static void life_let_others_go(struct life *life)
{
    if (life->kind == LIFE_HELP)
        life_enter(life, LIFE_PARKED);
    else if (life->helped)
        life_enter(life, LIFE_RELEASING);
    else
        life_released(life);
}

/* The sync before the others let go: one of them may know that what this one's journal is stamped
 * with is wrong. */
static void life_save(struct life *life)
{
    bool written = life->open[SIDE_TARGET] && !life->job.wish.compare_only && !life->small &&
                   !life_pipes(life, SIDE_TARGET);
    life_phase(life, PHASE_SYNCING);
    if (written)
        life_enter(life, LIFE_SAVING);
    else
        life_let_others_go(life);
}

/* It has failed, and nothing of it is in flight. */
static void life_let_go(struct life *life)
{
    ERROR_UNSET(ignored);
    bool undoes = life->manifest_made; /* what else has that name stays */
    life->manifest_made = false;
    if (undoes && !life->errand &&
        errand_begin(&life->errand, life_digest_undo, life, &ignored) == 0) {
        life_enter(life, LIFE_UNDOING);
        return;
    }
    error_clear(&ignored);
    if (undoes) /* there is no thread, or it is still busy */
        (void)life_digest_undo(life, &ignored);
    life_save(life);
}

void life_note_failure(struct life *life, int result, const struct error *cause, bool lost)
{
    if (life->plan && !lost) /* else it is this lane's own trouble */
        plan_cancel(life->plan);
    if (life->result != 0)
        return;
    char shown[LIFE_SHOWN_BYTES];
    life->result = error_is_set(cause) ? error_take(life->error, cause)
                                       : error_settle(life->error, result, "%s: the copy failed",
                                                      life_shown(life, SIDE_TARGET, shown));
}

static void life_fail(struct life *life, int result, const struct error *cause)
{
    life_note_failure(life, result, cause, false);
    life_let_go(life);
}

/* Tells the life that what it has just tried itself has failed. false: it has not. */
static bool life_failed(struct life *life, int result, const struct error *err)
{
    if (result < 0)
        life_fail(life, result, err);
    return result < 0;
}

void life_interrupt(struct life *life)
{
    ERROR_UNSET(cause);
    char shown[LIFE_SHOWN_BYTES];
    bool copying = life->state == LIFE_COPYING;
    bool between = life->want != LIFE_WANTS_NOTHING &&
                   (life->state == LIFE_LISTING || life->state == LIFE_DIGESTING ||
                    life->state == LIFE_TAKING || life->state == LIFE_CARRYING);
    if (life->result != 0 || !(copying || between || life->state == LIFE_WAITING))
        return;
    error_set_class(&cause, ERROR_INTERRUPTED, EINTR, "%s: interrupted",
                    life_shown(life, SIDE_TARGET, shown));
    if (copying) /* every lane hears of it by itself */
        life_note_failure(life, -EINTR, &cause, true);
    else
        life_fail(life, -EINTR, &cause);
}

/* ---- a call ---- */

/* The pump lends a buffer that is large enough for everybody. */
static void life_call_prepare(struct life *life, struct slot *slot)
{
    const struct life_call *call = life->call;
    slot->offset = call->offset;
    slot->length = call->length;
    slot->conditional = call->earlier;
    slot->from_medium = slot->blank = false;
    if (call->room > 0)
        slot->length = num_u32(min_u64(call->room, slot->capacity));
    if (call->length > 0) {
        assert(call->length <= slot->capacity);
        memcpy(slot->buffer, call->bytes, call->length);
        slot->length = call->length;
    }
    life->want = LIFE_WANTS_NOTHING;
}

static void life_called(struct life *life, const struct slot *slot)
{
    struct life_call *call = life->call;
    call->count = 0;
    if (call->room > 0) {
        call->count = num_u32(min_u64(slot->count, call->room));
        memcpy(call->bytes, slot->buffer, call->count);
    }
    call->offset = slot->extent_start;
    life_end(life);
}

/* ---- before it is open ---- */

static void life_described(struct life *life);

/* So many in a row were so: the next one is, too, until it is found out. */
static bool is_row(const uint32_t *count)
{
    return count && *count >= LIFE_ROW_COUNT;
}

static void row_add(uint32_t *count, bool so)
{
    if (count)
        *count = so ? (uint32_t)min_u64(*count + 1, LIFE_ROW_COUNT) : 0;
}

void life_note_folder(const struct life_run *run, bool absent)
{
    row_add(run->targets_absent, absent);
}

/* Both sides are asked what is there, but small files are taken, and put, without asking where that
 * tells what they are. */
static void life_describe(struct life *life)
{
    bool *described = life->described;
    if (life->small && life_road(life))
        life->small = false;
    bool absent = described[SIDE_TARGET] || is_row(life->run->targets_absent);
    bool there = life->job.facts[SIDE_TARGET].kind != FILE_NONE; /* it may be up to date */
    /* Over a line its size gets it one of the many small buffers. */
    bool fits = life->run->carries || is_row(life->run->sources_fit);
    if (!described[SIDE_SOURCE] && !(life->small && fits && !there))
        life_enter(life, LIFE_DESCRIBING_SOURCE);
    else if (life->small && !there && absent)
        life_enter(life, LIFE_WAITING);
    else if (!described[SIDE_TARGET])
        life_enter(life, LIFE_DESCRIBING_TARGET);
    else
        life_described(life);
}

/* What was to be said of its bytes is not said, and FILE is missing, or that of another run. */
static bool life_leaves_unwritten(const char *path)
{
    if (path)
        log_error("%s: is not written, as what it was asked about is skipped", path);
    return path != NULL;
}

static bool life_is_skipped(struct life *life)
{
    const char *skip = life_skip(life);
    if (!skip)
        return false;
    bool digest = life_leaves_unwritten(life->run->wish->digest_path);
    bool manifest = life_leaves_unwritten(life->run->wish->manifest_path);
    life->progress->bytes_total = 0; /* it is no part of the run */
    life->outcome = outcome_skipped(skip);
    life->unlisted = digest || manifest;
    life_end(life);
    return true;
}

/* In a tree whatever is in the way of a file that is copied goes, a folder with something in it
 * only where that was asked for. */
static bool life_clears(struct life *life)
{
    enum file_kind kind = life->job.facts[SIDE_TARGET].kind;
    if (life->job.roots[SIDE_TARGET].number == 0 || kind == FILE_NONE || kind == FILE_REGULAR)
        return false;
    if (life_is_skipped(life))
        return true;
    life->job.wish.dry = life->run->wish->dry_run;
    life_enter(life, LIFE_CLEARING);
    return true;
}

/* The data are up to date, and what else there is was not given yet. */
static void life_adjust(struct life *life)
{
    if (life_attributes_differ(life))
        life_enter(life, LIFE_ADJUSTING);
    else
        life_end(life);
}

static void life_is_up_to_date(struct life *life, const struct outcome *outcome)
{
    char shown[LIFE_SHOWN_BYTES];
    life->outcome = *outcome;
    if (outcome->believed && life->run->wish->tour.remove_source)
        log_note("%s: stays: that its content is at the target is not known, only the size was "
                 "compared (--size-only)",
                 life_shown(life, SIDE_SOURCE, shown));
    life->progress->bytes_kept = life->progress->bytes_total;
    life_itemize(life);
    life->job.wish.dry = life->run->wish->dry_run;
    life->job.wish.attributes[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE; /* they are those that it has */
    if (life_wants_details(life))
        life_enter(life, LIFE_DETAILING);
    else
        life_adjust(life);
}

static const uint8_t details_bits = ATTRIBUTE_BIT(ATTRIBUTE_XATTRS) | ATTRIBUTE_BIT(ATTRIBUTE_ACLS);

/* Of what is copied the facts have told the rest. */
static void life_adjusted(struct life *life)
{
    bool dry = life->outcome.kind == OUTCOME_DRY;
    uint8_t looked = dry ? details_bits : (uint8_t)~ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
    if (life->kind == LIFE_COPY)
        life_itemize_changed(life, looked);
    life_end(life);
}

/* It is known what there is at both sides, and nothing is written yet: is it refused, or left out?
 * Whatever way a file goes, this is asked; true: that was its end. */
static bool life_is_left_out(struct life *life)
{
    life_attributes_want(life);
    if (life_failed(life, life_refuse(life, life->error), life->error))
        return true;
    return life->state != LIFE_CLEARING && life_is_skipped(life); /* it was asked before that */
}

/* As a copy that is to write, or one that only compares first. */
static void life_wish_again(struct life *life, enum life_kind kind)
{
    const struct job *job = &life->job;
    const struct life_start start = {
        .kind = kind, .source_path = job->source_path, .spelled = job->wish.spelled};
    life->kind = kind;
    life->job.wish = life_wish(life, &start);
}

bool life_shares_names(const struct life *life)
{
    const struct job *job = &life->job;
    const struct facts *target = &job->facts[SIDE_TARGET];
    return job->roots[SIDE_TARGET].number > 0 && target->kind == FILE_REGULAR &&
           target->links > 1 && job->wish.part_end == 0 && !life->there;
}

/* In a tree a file that has other names at the target leaves them what they are, as with rsync and
 * cp: another source may have one of them, or an older copy of the tree. So it is written beside
 * its name. But what has the source's size and time may be equal, and is shared with them still
 * then: nothing is written before it was compared. Nowhere else is that decided; what goes as a
 * whole has one name (small.c). */
static void life_leave_names(struct life *life)
{
    const struct job *job = &life->job;
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &job->facts[SIDE_TARGET];
    bool same = source->size_bytes == target->size_bytes && facts_same_mtime(source, target) &&
                !job->journal_present;
    if (!life_shares_names(life))
        return;
    life->small = false;
    life->job.wish.no_inplace = !same;
    life->weighed = same && !life->run->wish->dry_run;
    if (life->weighed)
        life_wish_again(life, LIFE_COMPARE);
}

/* It has other names, and is equal or not. What is to be read again, or listed, is so where it is.
 */
static void life_weighed(struct life *life)
{
    const struct copy_wish *wish = life->run->wish;
    const struct progress *progress = life->progress;
    bool equal = progress->bytes_differing == 0 && progress->bytes_unreadable == 0;
    bool again = wish->verify || wish->manifest_path || wish->digest_path || wish->base_path;
    plan_close(life->plan);
    life->plan = NULL;
    life->weighed = life->digest_known = false;
    life->proof = (struct outcome_proof){.complete = false};
    life->sync = (struct life_sync){.synced_at_ns = clock_now_ns()};
    life_wish_again(life, LIFE_COPY);
    life_reset_progress(life->progress);
    life_tell_size(life);
    life_attributes_want(life);
    life->job.wish.no_inplace = !equal;
    const struct outcome there = outcome_up_to_date("content");
    if (equal && !again)
        life_is_up_to_date(life, &there);
    else
        life_enter(life, LIFE_WAITING);
}

static void life_described(struct life *life)
{
    if (life_clears(life))
        return;
    for (int role = 0; role < 2; role++)
        life->piped[role] = pipe_is_kind(life->job.facts[role].kind);
    if (life_is_left_out(life) || life_failed(life, life_fit_part(life, life->error), life->error))
        return;
    life_tell_size(life);
    const struct outcome there = life_up_to_date(life);
    if (there.kind == OUTCOME_UP_TO_DATE) {
        life_is_up_to_date(life, &there);
        return;
    }
    life_itemize(life);
    life_leave_names(life);
    if (!life->run->wish->dry_run) {
        life_enter(life, LIFE_WAITING);
        return;
    }
    life->would = life_would(life);
    life->job.wish.dry = true;
    life->job.wish.preallocate = life_preallocates(life);
    life_enter(life, LIFE_PROBING_SOURCE);
}

static void life_source_described(struct life *life)
{
    const struct job *job = &life->job;
    if (life->kind == LIFE_COPY)
        row_add(life->run->sources_fit,
                job->facts[SIDE_SOURCE].kind == FILE_REGULAR &&
                    job->facts[SIDE_SOURCE].size_bytes <= SMALL_POCKET_BYTES);
    if (life->kind == LIFE_LOOK)
        life_end(life);
    else if (life->kind == LIFE_COPY)
        life_describe(life);
    else if (job->facts[SIDE_SOURCE].kind != FILE_FOLDER ||
             !life_failed(life, life_refuse(life, life->error), life->error))
        life_enter(life, LIFE_WAITING);
}

static void life_target_described(struct life *life)
{
    if (life->kind == LIFE_COPY)
        row_add(life->run->targets_absent, life->job.facts[SIDE_TARGET].kind == FILE_NONE);
    if (life->kind == LIFE_LOOK)
        life_end(life);
    else
        life_describe(life);
}

/* What is there, at either side; or there is room for it at the target now. */
static void life_looked(struct life *life)
{
    life->described[life->role] = true;
    if (life->state == LIFE_DESCRIBING_SOURCE) {
        life_source_described(life);
    } else if (life->state == LIFE_DESCRIBING_TARGET) {
        life_target_described(life);
    } else {
        life->job.facts[SIDE_TARGET] = (struct facts){.kind = FILE_NONE};
        life->target_absent = life->run->wish->dry_run; /* it would be */
        life_described(life);
    }
}

/* Is there anything to look at? */
static bool life_probes_target(struct life *life)
{
    if (life->result < 0 || (life->target_absent && !life->nearest))
        return false;
    if (life->nearest && !life->found)
        life->found = calloc(1, sizeof(*life->found));
    if (life->nearest && !life->found)
        life_note_failure(life, error_set_class(life->error, ERROR_MEMORY, ENOMEM, "no memory"),
                          life->error, false);
    return life->result == 0;
}

/* -n: what a run would begin with, an error perhaps. */
static void life_probed(struct life *life, const struct slot *slot)
{
    if (slot->result < 0)
        life_note_failure(life, slot->result, slot->error, false);
    if (life->state == LIFE_PROBING_SOURCE && life_probes_target(life)) {
        life_enter(life, LIFE_PROBING_TARGET);
        return;
    }
    life->outcome = outcome_dry(life->error);
    bool old = life->job.facts[SIDE_TARGET].kind == FILE_REGULAR && !life->job.wish.no_inplace;
    if (life->result < 0 || !old) /* a new one has nothing that could be another one */
        life_end(life);
    else if (life_wants_details(life))
        life_enter(life, LIFE_DETAILING);
    else
        life_enter(life, LIFE_ADJUSTING);
}

void life_admit(struct life *life)
{
    assert(life->state == LIFE_WAITING);
    if (life->result < 0) /* of the manifest */
        life_let_go(life);
    else if (life->small)
        life_enter(life, life->run->carries ? LIFE_CARRYING : LIFE_TAKING);
    else
        life_enter(life, life->job.source_path ? LIFE_OPENING_SOURCE : LIFE_OPENING_TARGET);
}

/* ---- a small file, as a whole ---- */

/* It cannot, or not now: whatever is in the way, the ordinary steps meet it, and say so. */
static void life_go_by_steps(struct life *life, const struct slot *slot)
{
    log_debug("%s", slot->error->text);
    if (slot->result == -EOPNOTSUPP)
        *life->run->takes_small = false;
    bool guessed = life->state == LIFE_TAKING && !life->described[SIDE_SOURCE];
    if (slot->result == -EEXIST)
        row_add(life->run->targets_absent, false);
    if (guessed)
        row_add(life->run->sources_fit, false);
    life->small = slot->result == -EEXIST || guessed; /* once it is known what is there */
    life->described[SIDE_SOURCE] = false;
    life->described[SIDE_TARGET] &= life->state == LIFE_TAKING; /* or somebody has made one */
    life->progress->bytes_total = NUM_UNKNOWN;
    life_describe(life);
}

static void life_taken(struct life *life, const struct slot *slot)
{
    bool taking = life->state == LIFE_TAKING;
    if (taking && life_is_left_out(life))
        return;
    row_add(life->run->sources_fit, slot->count <= SMALL_POCKET_BYTES);
    life_itemize(life);
    life->small_bytes = slot->count;
    life->progress->bytes_total = slot->count;
    life_phase(life, PHASE_COPYING);
    if (taking)
        life_enter(life, LIFE_PUTTING);
}

static void life_put(struct life *life, const struct slot *slot)
{
    life_digest_small(life, &slot->digest);
    life->proof.source_unchanged = true; /* TAKE has looked */
    life->progress->bytes_kept = life->job.kept_bytes;
    life->progress->bytes_copied = life->small_bytes - life->job.kept_bytes;
    life_phase(life, PHASE_SYNCING);
    life_enter(life, LIFE_COMMITTING_TARGET);
}

static void life_committed(struct life *life);

/* It is larger than those before it, or unusual. */
static void life_carry_again(struct life *life)
{
    row_add(life->run->sources_fit, false);
    life->unfit = true;
    life_enter(life, LIFE_CARRYING);
}

static void life_moved(struct life *life, const struct slot *slot)
{
    bool guessed = life->state == LIFE_CARRYING && !slot->buffer && !life->described[SIDE_SOURCE];
    bool taken = life->state != LIFE_PUTTING, put = life->state != LIFE_TAKING;
    bool ordinary =
        slot->result == -EAGAIN || slot->result == -EOPNOTSUPP || (slot->result == -EEXIST && put);
    if (guessed && slot->result == -EAGAIN)
        life_carry_again(life);
    else if (ordinary)
        life_go_by_steps(life, slot);
    else if (slot->result < 0)
        life_fail(life, slot->result, slot->error);
    if (slot->result == 0 && taken)
        life_taken(life, slot);
    if (slot->result == 0 && put)
        life_put(life, slot);
    if (slot->op == SIDE_DELIVER && life->state == LIFE_COMMITTING_TARGET)
        life_committed(life);
}

bool life_fits_pocket(const struct life *life)
{
    if (life->described[SIDE_SOURCE])
        return life->job.facts[SIDE_SOURCE].size_bytes <= SMALL_POCKET_BYTES;
    return !life->unfit && is_row(life->run->sources_fit);
}

uint32_t life_guess_bytes(const struct life *life)
{
    uint64_t size_bytes = life->job.facts[SIDE_SOURCE].size_bytes;
    return life->described[SIDE_SOURCE] ? (uint32_t)min_u64(size_bytes, UINT32_MAX)
                                        : SMALL_POCKET_BYTES;
}

bool life_is_away(const struct life *life)
{
    bool moves = life->state == LIFE_TAKING || life->state == LIFE_PUTTING ||
                 life->state == LIFE_CARRYING || life->state == LIFE_COMMITTING_TARGET;
    return life->small && moves && life->want == LIFE_WANTS_NOTHING;
}

bool life_is_batched(const struct life *life)
{
    bool commits = life->state == LIFE_COMMITTING_TARGET || life->op == SIDE_DELIVER;
    return commits && life_is_away(life);
}

/* ---- open ---- */

bool life_wants_team(const struct life *life)
{
    return life->run->lanes > 1 && life->kind == LIFE_COPY && life->job.wish.part_end == 0 &&
           !life_pipes(life, SIDE_SOURCE) && !life_pipes(life, SIDE_TARGET) &&
           life->job.facts[SIDE_SOURCE].size_bytes >= TEAM_FILE_BYTES_MIN;
}

/* A further lane looks at the same file, and may not find the same. */
static void life_joined(struct life *life)
{
    struct facts *source = &life->job.facts[SIDE_SOURCE];
    const struct facts *found = &life->found->source;
    enum evidence_change change = evidence_compare(found, source);
    bool fuzzy = life->run->wish->fuzzy;
    if (fuzzy) /* as much of it as there was at the start */
        *source = *found;
    source->mode = found->mode; /* as it is wanted */
    if (change != EVIDENCE_CHANGED || fuzzy) {
        life_enter(life, LIFE_OPENING_TARGET);
        return;
    }
    char shown[LIFE_SHOWN_BYTES];
    error_set_class(life->error, ERROR_CHANGED, ESTALE, "%s: changed while it was copied",
                    life_shown(life, SIDE_SOURCE, shown));
    life_note_failure(life, -ESTALE, life->error, true);
    life_let_go(life);
}

/* The source's holes decide how the target is laid out. */
static void life_source_opened(struct life *life)
{
    struct job *job = &life->job;
    if (life->kind == LIFE_HELP) {
        life_joined(life);
        return;
    }
    if (job->source_path &&
        life_failed(life, life_check_pipe(life, SIDE_SOURCE, life->error), life->error))
        return;
    if (life->kind == LIFE_COPY && life_failed(life, life_fit_part(life, life->error), life->error))
        return;
    if (life->kind == LIFE_COPY) {
        life_attributes_want(life);
        job->wish.preallocate = life_preallocates(life);
        job->wish.journal_early |= life_wants_team(life); /* lanes share it */
    }
    life_tell_size(life); /* it may have grown since */
    life_enter(life, LIFE_OPENING_TARGET);
}

/* Where both sides are far away nobody here has a chunk to compare, or to send again. */
static bool life_has_deltas(const struct life *life)
{
    const struct address *addresses = life->run->addresses;
    bool here = addresses[SIDE_SOURCE].kind != ADDRESS_REMOTE ||
                addresses[SIDE_TARGET].kind != ADDRESS_REMOTE;
    return here && !life->job.wish.compare_only && life->job.target_readable;
}

static void life_copy(struct life *life)
{
    life_phase(life, life->job.wish.compare_only ? PHASE_COMPARING : PHASE_COPYING);
    life->plan_ended = false;
    life_enter(life, LIFE_COPYING);
}

static void life_stored(struct life *life);

/* There is nothing to be copied. */
static void life_cloned(struct life *life)
{
    struct progress *progress = life->progress;
    life_tell_size(life);
    if (life->there)
        progress->bytes_kept = progress->bytes_total;
    else
        progress->bytes_referenced = progress->bytes_total;
    life_stored(life);
}

/* Has somebody else done it, and is it still so as far as can be seen? */
static bool life_is_there(const struct life *life)
{
    const struct job *job = &life->job;
    const struct facts *target = &job->facts[SIDE_TARGET];
    uint64_t size_bytes = job->facts[SIDE_SOURCE].size_bytes;
    bool whole = target->kind == FILE_DEVICE ? target->size_bytes >= size_bytes
                                             : target->size_bytes == size_bytes;
    return life->there && whole && job->journal == JOURNAL_ABSENT && !job->target_fresh;
}

static void life_target_opened(struct life *life)
{
    const struct copy_wish *wish = life->run->wish;
    const struct job *job = &life->job;
    char shown[LIFE_SHOWN_BYTES];
    int result = 0;
    life->deltas = life_has_deltas(life);
    if (life->kind == LIFE_HELP) {
        life_copy(life);
        return;
    }
    if (life->kind == LIFE_COPY && !job->target_readable &&
        (wish->verify || wish->manifest_path || wish->base_path))
        result = error_set_class(life->error, ERROR_FILE, EACCES,
                                 "%s: may not be read back, so neither --verify nor a manifest is "
                                 "possible",
                                 life_shown(life, SIDE_TARGET, shown));
    if (result == 0)
        result = life_check_pipe(life, SIDE_TARGET, life->error);
    life->there = life_is_there(life);
    if (result == 0 && life->kind == LIFE_COPY && (job->target_cloned || life->there)) {
        life_cloned(life);
        return;
    }
    if (job->wish.reflink == REFLINK_AUTO && life->run->shares)
        *life->run->shares = false;
    life->resumed = life->kind == LIFE_COPY && job->journal == JOURNAL_FITS;
    if (result == 0 && life->kind == LIFE_COPY && wish->digest_path)
        result = whole_open(&life->whole, wish->digest, life->error);
    if (result == 0)
        result = life_make_plan(life, life->error);
    if (life_failed(life, result, life->error))
        return;
    life_tell_size(life); /* of a manifest, too */
    result = life_base_begin(life, life->error);
    if (life_failed(life, result, life->error))
        return;
    if (result > 0)
        life_enter(life, LIFE_BASING);
    else if ((life->resumed && !life->whole) || !job->source_path)
        life_enter(life, LIFE_LISTING);
    else
        life_copy(life);
}

static void life_opened(struct life *life)
{
    if (life->role == SIDE_SOURCE)
        life_source_opened(life);
    else
        life_target_opened(life);
}

static void life_listed(struct life *life, const struct slot *slot)
{
    int result = plan_listed(life->plan, (const struct journal_entry *)(const void *)slot->buffer,
                             slot->count, life->error);
    life->offset = slot->extent_start;
    if (life_failed(life, result, life->error))
        return;
    if (slot->extent_start > 0)
        life_enter(life, LIFE_LISTING);
    else
        life_copy(life);
}

/* ---- copied ---- */

/* All chunks are there: the source first, since only an unchanged one makes the target a copy. */
static void life_stored(struct life *life)
{
    life_phase(life, PHASE_SYNCING);
    life_let_others_go(life);
}

static void life_digested(struct life *life, int result, const struct error *err)
{
    if (life_failed(life, result < 0 ? result : 0, err) || result == 0)
        return;
    life->digest_known = true;
    life_stored(life);
}

/* That of the manifest's header, or the one that has removed it: which may fail. */
static void life_manifest_ended(struct life *life)
{
    int result = errand_end(life->errand, life->error);
    life->errand = NULL;
    if (life->state == LIFE_UNDOING) {
        life_save(life);
        return;
    }
    if (result < 0)
        life_note_failure(life, result, life->error, false);
    life_enter(life, LIFE_WAITING);
}

void life_errand_ended(struct life *life)
{
    if (life->state == LIFE_READING || life->state == LIFE_UNDOING)
        life_manifest_ended(life);
    else if (!life_base_errand_ended(life))
        life_digested(life, life_digest_errand_ended(life, life->error), life->error);
    else if (life->state == LIFE_BASING)
        life_copy(life);
    else if (life->state == LIFE_KEEPING)
        life_end(life);
}

/* What could not be read is told in ranges, as they come: most of them one chunk after the other.
 */
static void life_tell_unreadable(struct life *life)
{
    char shown[LIFE_SHOWN_BYTES];
    uint64_t *range = life->unreadable;
    if (range[0] < range[1])
        log_range(LOG_UNREADABLE, life_shown(life, SIDE_SOURCE, shown), range[0],
                  range[1] - range[0]);
    range[0] = range[1] = 0;
}

void life_unreadable(struct life *life, uint64_t start, uint64_t end)
{
    uint64_t *range = life->unreadable;
    if (end == range[0]) {
        range[0] = start;
    } else if (start == range[1]) {
        range[1] = end;
    } else {
        life_tell_unreadable(life);
        range[0] = start;
        range[1] = end;
    }
}

/* All that can be read of it is there, and it stays open. */
static int life_is_broken(const struct life *life, struct error *err)
{
    char shown[LIFE_SHOWN_BYTES];
    uint64_t bytes = life->progress->bytes_unreadable;
    if (bytes == 0 || life->result < 0 || life->weighed)
        return 0;
    return error_set_class(err, ERROR_PARTIAL, EIO,
                           "%s: %llu bytes could not be read and are left out%s; run it again to "
                           "try them once more",
                           life_shown(life, SIDE_SOURCE, shown), (unsigned long long)bytes,
                           life->job.wish.no_inplace
                               ? " of what was written beside the target, which stays what it was"
                               : "");
}

/* What was copied is known by its digests: by the plan's, or by the journal's. */
static void life_complete(struct life *life)
{
    if (life_pipes(life, SIDE_SOURCE)) {
        life->job.facts[SIDE_SOURCE].size_bytes = plan_size(life->plan);
        life->progress->bytes_total = plan_size(life->plan);
    }
    const struct copy_wish *wish = life->run->wish;
    bool manifest = (wish->manifest_path || wish->base_path) && life->kind == LIFE_COPY;
    life->digest_known = plan_digest(life->plan, &life->digest);
    if (life->whole)
        whole_end(life->whole, life->whole_text);
    /* Of a part nobody asks for it later. */
    bool resumed =
        life->job.journal == JOURNAL_FITS && !life->digest_known && life->job.wish.part_end == 0;
    bool journalled = life->kind == LIFE_COPY && plan_complete(life->plan);
    if (journalled && (resumed || manifest))
        life_enter(life, LIFE_SYNCING);
    else
        life_stored(life);
}

static void life_synced(struct life *life)
{
    if (life->kind == LIFE_HELP) {
        life_enter(life, LIFE_PARKED);
        return;
    }
    life_enter(life, LIFE_DIGESTING);
    life_digested(life, life_digest_begin(life, life->error), life->error);
}

void life_take_over(struct life *life, struct life *helper)
{
    assert(life->state == LIFE_GATHERING && helper->state == LIFE_PARKED);
    const uint64_t sent_bytes = life->job.sent_bytes, received_bytes = life->job.received_bytes;
    struct owner_names *names = life->job.names;
    struct side_words *words = life->job.words;
    life->job = helper->job;
    life->job.names = names;
    life->job.words = words; /* the commit says them anew */
    life_take_names(life, &helper->job);
    life->job.sent_bytes = sent_bytes; /* of both */
    life->job.received_bytes = received_bytes;
    for (int role = 0; role < 2; role++) {
        life->open[role] = helper->open[role];
        life->held[role] = helper->held[role];
    }
    life->sync = helper->sync;
    life_enter(helper, LIFE_DONE);
}

void life_gathered(struct life *life, int result, const struct error *cause)
{
    assert(life->state == LIFE_GATHERING);
    life->result = 0; /* of this lane alone */
    error_clear(life->error);
    if (!life_failed(life, result, cause))
        life_complete(life);
}

static void life_compare_copied(struct life *life)
{
    bool complete = plan_complete(life->plan);
    life->proof.complete = complete;
    if (!complete && !life->job.source_path) {
        error_set_class(life->error, ERROR_FILE, EBADMSG,
                        "%s: does not list every chunk in order; it cannot be used",
                        life->run->wish->manifest_path);
        life_fail(life, -EBADMSG, life->error);
        return;
    }
    life_complete(life);
}

/* What a comparison of the copy found wrong is repaired; the rest was counted before. */
static void life_count_repairs(struct life *life)
{
    struct progress *progress = life->progress;
    progress->bytes_repaired += progress->bytes_copied - life->found->copied_bytes;
    progress->bytes_copied = life->found->copied_bytes;
    progress->bytes_kept = life->found->kept_bytes;
    progress->bytes_holes = life->found->holes_bytes;
}

void life_copied(struct life *life)
{
    char shown[LIFE_SHOWN_BYTES];
    assert(life->state == LIFE_COPYING && life->slots_count == 0);
    if (life->compare_count > 0)
        life_count_repairs(life);
    life_tell_unreadable(life);
    if (life->kind == LIFE_HELP)
        life_enter(life, LIFE_SYNCING);
    else if (life->helped)
        life_enter(life, LIFE_GATHERING);
    else if (life->result < 0)
        life_let_go(life);
    else if (life->kind == LIFE_COMPARE)
        life_compare_copied(life);
    else if (plan_ended(life->plan))
        life_complete(life);
    else
        life_fail(life,
                  error_set(life->error, EIO, "%s: not every chunk of it was copied",
                            life_shown(life, SIDE_TARGET, shown)),
                  life->error);
}

void life_released(struct life *life)
{
    life->helped = false;
    if (life->result < 0)
        life_abandon(life);
    else if (life_wants_details(life))
        life_enter(life, LIFE_DETAILING);
    else if (life->job.source_path)
        life_enter(life, LIFE_COMMITTING_SOURCE);
    else
        life_enter(life, LIFE_COMMITTING_TARGET);
}

void life_release(struct life *life)
{
    assert(life->state == LIFE_PARKED);
    life_abandon(life);
}

/* ---- extended attributes and access control lists ---- */

/* They could not be read, or not be given at all: the rest goes on. */
static void life_undressed(struct life *life, const struct slot *slot)
{
    log_error("%s", slot->error->text);
    life->undressed = true;
    if (life->open[SIDE_SOURCE])
        life_enter(life, LIFE_COMMITTING_SOURCE);
    else if (life->kind == LIFE_CALL)
        life_enter(life, LIFE_ADJUSTING);
    else
        life_adjust(life);
}

/* Of what is open the side adds them up. */
static void life_add_piece(struct life *life)
{
    struct side_report *report = &life->job.reports[SIDE_TARGET];
    struct life_dressed *sum = &life->dressed;
    report->attributes_changed = sum->changed |= report->attributes_changed;
    report->attributes_lost = sum->lost |= report->attributes_lost;
    report->attributes_asked = sum->asked |= report->attributes_asked;
}

/* A piece says whether another follows, and where it begins and ends: else some of them could be
 * missing, and nobody told. */
static int life_check_piece(struct life *life, const struct slot *slot)
{
    char shown[LIFE_SHOWN_BYTES];
    bool more = details_go_on(slot->buffer, slot->count);
    if (slot->offset == 0)
        life->details_row = (struct details_row){.next = 0};
    const uint8_t *wish = life->job.wish.attributes;
    unsigned sets = attributes_detail_sets(wish[ATTRIBUTE_XATTRS], wish[ATTRIBUTE_ACLS]);
    unsigned about = attributes_detail_pieces(sets, life->job.facts[SIDE_SOURCE].kind);
    bool follows = details_follow(&life->details_row, about, slot->buffer, slot->count);
    return follows && more == (slot->extent_start > 0)
               ? 0
               : error_set_class(slot->error, ERROR_PROTOCOL, EPROTO,
                                 "%s: its extended attributes and lists %s",
                                 life_shown(life, SIDE_SOURCE, shown),
                                 !follows ? "have changed meanwhile, or not all of them came"
                                 : more   ? "end before the last piece"
                                          : "go on behind the last piece");
}

static void life_dressed(struct life *life, struct slot *slot)
{
    bool dressing = life->state == LIFE_DRESSING;
    life->details_bytes = slot->count;
    if (dressing && slot->result == 0 && !life->open[SIDE_SOURCE])
        life_add_piece(life);
    if (!dressing)
        life->details_next = slot->extent_start;
    if (!dressing && slot->result == 0)
        slot->result = life_check_piece(life, slot);
    if (slot->result < 0)
        life_undressed(life, slot);
    else if (!dressing)
        life_enter(life, LIFE_DRESSING);
    else if (life->details_next > 0)
        life_enter(life, LIFE_DETAILING);
    else if (life->open[SIDE_SOURCE])
        life_enter(life, LIFE_COMMITTING_SOURCE);
    else
        life_adjusted(life);
}

/* ---- committed ---- */

/* Its status has changed (a new name, link or mode, a time put back): that may hide a write. The
 * figures stay those of the copy. */
static bool life_compares_again(struct life *life, const struct slot *slot)
{
    bool touched = slot->result == -EAGAIN && slot->error->class == ERROR_CHANGED;
    if (life->kind != LIFE_COPY || !touched || life->compare_count == COMPARES_MAX ||
        !life->job.target_readable || life->progress->bytes_unreadable > 0 ||
        !life_note_source(life, &life->job.facts[SIDE_SOURCE]))
        return false;
    log_note("%s: comparing what was copied", slot->error->text);
    life->compare_count++;
    life_enter(life, LIFE_LEAVING_SOURCE);
    return true;
}

/* --fuzzy: it is said, and its side closes it without being asked again. The time that the target
 * gets is from before: the next run finds another one. */
static void life_lives_with_change(struct life *life)
{
    char shown[LIFE_SHOWN_BYTES];
    log_note("%s: changed while it was copied; the target has what was read of it, up to the size "
             "that it had at the start",
             life_shown(life, SIDE_SOURCE, shown));
    life->source_changed = true;
    life_enter(life, LIFE_LEAVING_SOURCE);
}

static void life_source_reopened(struct life *life)
{
    struct facts *source = &life->job.facts[SIDE_SOURCE];
    char shown[LIFE_SHOWN_BYTES];
    int result = 0;
    const struct facts *found = &life->found->source;
    bool changed = evidence_compare(found, source) == EVIDENCE_CHANGED;
    if (changed && life->run->wish->fuzzy) {
        *source = *found;
        life_lives_with_change(life);
        return;
    }
    if (changed)
        result =
            error_set_class(life->error, ERROR_CHANGED, ESTALE, "%s: changed while it was copied",
                            life_shown(life, SIDE_SOURCE, shown));
    *source = *found; /* the target gets the attributes that it was opened with */
    if (result == 0)
        result = life_make_compare_plan(life, life->error);
    if (!life_failed(life, result, life->error))
        life_copy(life);
}

static void life_source_again(struct life *life)
{
    if (life->source_changed) {
        life->proof.source_unchanged = true; /* nobody asks for it */
        life_enter(life, LIFE_COMMITTING_TARGET);
    } else if (life->state == LIFE_LEAVING_SOURCE) {
        life_enter(life, LIFE_REOPENING_SOURCE);
    } else {
        life_source_reopened(life);
    }
}

static void life_source_committed(struct life *life, const struct slot *slot)
{
    int result = slot->result == 0 ? life_is_broken(life, life->error) : 0;
    if (result < 0) {
        life_fail(life, result, life->error);
    } else if (slot->result == 0) {
        life->proof.source_unchanged = true;
        life_enter(life, LIFE_COMMITTING_TARGET);
    } else if (!life_compares_again(life, slot)) {
        bool fuzzy = life->run->wish->fuzzy && life->kind == LIFE_COPY;
        if (fuzzy && slot->error->class == ERROR_CHANGED)
            life_lives_with_change(life);
        else
            life_fail(life, slot->result, slot->error);
    }
}

/* As cp and rsync --inplace, and unlike rsync without it; and unlike a file of a tree. */
static void life_note_links(const struct life *life)
{
    const struct job *job = &life->job;
    char shown[LIFE_SHOWN_BYTES];
    if (job->facts[SIDE_TARGET].links > 1 && job->roots[SIDE_TARGET].number == 0 &&
        !job->wish.no_inplace && life->progress->bytes_copied > 0)
        log_note("%s: has %u names, and all of them have the new bytes; --no-inplace leaves the "
                 "others what they were",
                 life_shown(life, SIDE_TARGET, shown), job->facts[SIDE_TARGET].links);
}

static void life_committed(struct life *life)
{
    life->proof.target_committed = true;
    if (life->weighed) {
        life_weighed(life);
        return;
    }
    if (life->kind == LIFE_COMPARE) {
        life->outcome = life_compared(life, life->error);
    } else {
        bool nothing = (life->job.target_cloned || life->there) && !life->plan;
        bool whole = life->small || nothing;
        life->proof.complete = whole || plan_complete(life->plan);
        life->proof.options_kept = life_options_kept(life);
        if (life->progress->bytes_kept == life->progress->bytes_total)
            life_itemize_kept(life);
        life_itemize_changed(life, details_bits);
        life_note_links(life);
        bool keeps = !life_pipes(life, SIDE_TARGET);
        life->outcome = keeps ? outcome_durable(&life->proof, life->error)
                              : outcome_handed_over(&life->proof, life->error);
        if (keeps)
            life->progress->bytes_durable = life->progress->bytes_total;
    }
    if (life->base && life_base_keep(life))
        life_enter(life, LIFE_KEEPING);
    else
        life_end(life);
}

/* ---- the switch ---- */

/* Its own place is not there yet; and back. */
static void life_swap_nearest(struct life *life)
{
    struct job *job = &life->job;
    bool asks = life->kind != LIFE_CALL && life->state == LIFE_PROBING_TARGET && life->nearest;
    if (!asks)
        return;
    struct life_nearest *own = &life->found->own;
    const struct life_nearest *to = own->path ? own : life->nearest, was = *to;
    *own = own->path ? (struct life_nearest){.path = NULL}
                     : (struct life_nearest){job->roots[SIDE_TARGET], job->target_path};
    job->roots[SIDE_TARGET] = was.root;
    job->target_path = was.path;
}

/* What is open and what has to be closed, after this operation. */
static void life_note_open(struct life *life, const struct slot *slot)
{
    bool good = slot->result == 0;
    enum side_role role = life->role;
    if (slot->op == SIDE_OPEN || slot->op == SIDE_PUT || slot->op == SIDE_CARRY)
        life->open[role] = life->held[role] = good;
    if (slot->op == SIDE_COMMIT || slot->op == SIDE_ABANDON)
        life->open[role] = false;
    if (slot->op == SIDE_ABANDON || (slot->op == SIDE_COMMIT && good))
        life->held[role] = false;
}

/* States in which a failure is no more than that, or has more than one meaning. */
static bool life_takes_failure(const struct life *life, bool lost)
{
    switch (life->state) {
    case LIFE_DETAILING:
    case LIFE_DRESSING:
        return !lost;
    case LIFE_PROBING_SOURCE:
    case LIFE_PROBING_TARGET:
    case LIFE_TAKING:
    case LIFE_PUTTING:
    case LIFE_CARRYING:
    case LIFE_COMMITTING_SOURCE:
    case LIFE_LEAVING_SOURCE:
    case LIFE_SAVING:
    case LIFE_ABANDONING_SOURCE:
    case LIFE_ABANDONING_TARGET:
        return true;
    default:
        return false;
    }
}

/* A further lane that cannot join is not the copy's failure. */
static void life_step_failed(struct life *life, const struct slot *slot, bool lost)
{
    bool joining = life->kind == LIFE_HELP && life->state != LIFE_SYNCING;
    life_note_failure(life, slot->result, slot->error, lost || joining);
    if (life->state == LIFE_SYNCING)
        life->open[SIDE_TARGET] = false; /* not once more */
    life_let_go(life);
}

void life_returned(struct life *life, struct slot *slot, bool lost)
{
    life_swap_nearest(life);
    life_note_open(life, slot);
    if (slot->result < 0 && !life_takes_failure(life, lost)) {
        life_step_failed(life, slot, lost);
        return;
    }
    switch (life->state) {
    case LIFE_DESCRIBING_SOURCE:
    case LIFE_DESCRIBING_TARGET:
    case LIFE_CLEARING:
        life_looked(life);
        break;
    case LIFE_CALLING:
        life_called(life, slot);
        break;
    case LIFE_ADJUSTING:
        life_adjusted(life);
        break;
    case LIFE_PROBING_SOURCE:
    case LIFE_PROBING_TARGET:
        life_probed(life, slot);
        break;
    case LIFE_TAKING:
    case LIFE_PUTTING:
    case LIFE_CARRYING:
        life_moved(life, slot);
        break;
    case LIFE_OPENING_SOURCE:
    case LIFE_OPENING_TARGET:
        life_opened(life);
        break;
    case LIFE_LISTING:
        life_listed(life, slot);
        break;
    case LIFE_SYNCING:
        life_synced(life);
        break;
    case LIFE_DIGESTING:
        life_digested(life, life_digest_returned(life, slot, life->error), life->error);
        break;
    case LIFE_DETAILING:
    case LIFE_DRESSING:
        life_dressed(life, slot);
        break;
    case LIFE_COMMITTING_SOURCE:
        life_source_committed(life, slot);
        break;
    case LIFE_LEAVING_SOURCE:
    case LIFE_REOPENING_SOURCE:
        life_source_again(life);
        break;
    case LIFE_COMMITTING_TARGET:
        life_committed(life);
        break;
    case LIFE_SAVING:
        life_let_others_go(life);
        break;
    case LIFE_ABANDONING_SOURCE:
    case LIFE_ABANDONING_TARGET:
        life_abandon(life);
        break;
    default:
        assert(false && "a step came back in a state that has none");
    }
}

void life_prepare(struct life *life, struct slot *slot)
{
    slot->job = &life->job;
    life_swap_nearest(life);
    if (life->kind == LIFE_CALL && life->state == LIFE_CALLING) {
        life_call_prepare(life, slot);
        return;
    }
    slot->offset = life->state == LIFE_LISTING     ? life->offset
                   : life->state == LIFE_DETAILING ? life->details_next
                                                   : 0;
    bool all = life->state == LIFE_LISTING || life->state == LIFE_DETAILING;
    slot->length = all ? slot->capacity : life->state == LIFE_DRESSING ? life->details_bytes : 0;
    slot->conditional = slot->from_medium = slot->blank = false;
    if (life->state == LIFE_TAKING || life->state == LIFE_CARRYING)
        slot->length = (uint32_t)min_u64(slot->capacity, SMALL_BYTES_MAX);
    if (life->state == LIFE_CARRYING || life->state == LIFE_PUTTING)
        slot->conditional = !life->described[SIDE_TARGET];
    if (life->state == LIFE_PUTTING)
        slot->length = life->small_bytes;
    if (life->state == LIFE_PUTTING && life->run->delivers && slot->capacity <= WIRE_POCKET_BYTES)
        life->op = SIDE_DELIVER;
    if (life->state == LIFE_DIGESTING)
        life_digest_prepare(life, slot);
    life->want = LIFE_WANTS_NOTHING;
}
