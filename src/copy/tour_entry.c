/* tour_entry.c - what is done about one name of a tree, an operation after another: each one's
 * return leads to the next step, or to an event. */
#include "tour_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/names.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/copy/choice.h"
#include "haul/copy/itemize.h"
#include "haul/disk/evidence.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a dry run does not find ---- */

/* It is not there, nor is the folder that it is in, which the run would make. */
static bool task_is_absent(const struct tour *tour, const struct tour_task *task)
{
    return task->folder ? task->folder->fresh && tour->dry : tour->start.target_absent;
}

/* NULL: there is none, or nobody can be asked. */
static const struct life_nearest *task_nearest(const struct tour *tour,
                                               const struct tour_task *task)
{
    return task->folder ? task->folder->nearest : tour->start.nearest;
}

/* What takes the place of something else is not asked about: that would be met. */
static void folder_note_nearest(struct tour *tour, const struct tour_task *task)
{
    struct tour_folder *own = task->own;
    own->nearest = task_nearest(tour, task);
    if (!tour->dry || own->nearest || task->made != JOB_CREATED || task_is_absent(tour, task))
        return;
    own->first = (struct life_nearest){tour->start.roots[SIDE_TARGET], strdup(task->path)};
    if (own->first.path)
        own->nearest = &own->first;
    else
        tour_fail_memory(tour);
}

/* ---- files ---- */

static void task_copy(struct tour *tour, struct tour_task *task)
{
    struct life_start start = task_start(tour, task, LIFE_COPY);
    start.source = &task->facts;
    start.earlier = task->earlier;
    start.target_absent = task->attempts == 0 && !task->spelled &&
                          (task->folder ? task->folder->fresh
                                        : tour->start.target_fresh || tour->start.target_absent);
    start.nearest = task_is_absent(tour, task) ? task_nearest(tour, task) : NULL;
    life_begin(&task->life, tour->config.run, &start);
    owner_names_of(tour, &task->facts, task->life.job.names);
    task_live(tour, task, STEP_COPYING);
}

/* What is no file has just got all that it could be given. */
static void task_lacks(struct tour *tour, const struct tour_task *task)
{
    tour->outcome.lacking |= task->life.outcome.lacking;
    attributes_count(tour->lost_counts, task->life.job.reports[SIDE_TARGET].attributes_lost);
}

/* ---- folders ---- */

/* What cannot be seen by a folder's facts from here: names may mean other numbers there. */
static const uint8_t folder_silent =
    ATTRIBUTE_BIT(ATTRIBUTE_OWNER) | ATTRIBUTE_BIT(ATTRIBUTE_GROUP) |
    ATTRIBUTE_BIT(ATTRIBUTE_XATTRS) | ATTRIBUTE_BIT(ATTRIBUTE_ACLS);

static void folder_made(struct tour *tour, struct tour_task *task)
{
    struct tour_folder *own = task->own;
    uint32_t mode = task->life.job.facts[SIDE_TARGET].mode;
    bool opened = !tour->dry && (mode & 0700) != 0700; /* node_make() may have done so */
    own->state = FOLDER_MADE;
    own->folds = task->life.job.folds;
    if (tour_sends_ahead(tour))
        life_note_folder(tour->config.run, task->made == JOB_CREATED);
    bool root = !own->parent && own->name[0] == '\0';
    own->fresh = task->made == JOB_CREATED ||
                 (task->made == JOB_CHANGED && !task->attributes); /* something else was there */
    if (root && tour->start.target_made) /* for others, which have put something into it */
        own->fresh = tour->start.target_fresh;
    folder_note_nearest(tour, task);
    bool changed = task->made != JOB_UNCHANGED;
    bool before = shared_was_told(tour, task->path);
    own->told = changed || before;
    if (before)
        task->made = JOB_UNCHANGED; /* as for who hears of it */
    else if (changed)
        shared_tell(tour, task->path);
    own->touched = changed || opened || task->attempts > 0 || tour_looks(tour);
    if (folder_keeps_mode(tour))
        own->facts.mode = mode;
}

void folder_finish_due(struct tour *tour)
{
    while (tour->due) {
        struct tour_folder *folder = tour->due;
        if (!task_is_free(tour))
            return;
        tour->due = folder->next;
        struct tour_task *task = task_new(tour, folder->parent, folder->name);
        if (!task) {
            tour_fail_memory(tour);
            folder_release(tour, folder);
            continue;
        }
        task->own = folder;
        task->facts = folder->facts;
        task_adjust(tour, task, STEP_FINISHING);
        folder_send_ahead(tour, folder->parent, task);
    }
}

static void folder_finished(struct tour *tour, struct tour_task *task)
{
    if (task->life.result < 0) {
        task_fail(tour, task, task->life.error);
        return;
    }
    task_lacks(tour, task);
    uint8_t changed = task->life.job.reports[SIDE_TARGET].attributes_changed;
    tour->touched |= changed != 0;
    changed &= folder_silent;
    if (!task->own->told && changed) { /* all that is another one */
        shared_tell(tour, task->path);
        task->made = JOB_CHANGED;
        task->attributes = true;
        itemize_changed(task->changes, FILE_FOLDER, folder_silent, changed);
        task_tell(tour, task, TOUR_MADE, STEP_FREE);
        return;
    }
    task_end(tour, task);
}

/* ---- what is made ---- */

/* As rsync, what takes the place of another kind is new. */
static void task_itemize(struct tour_task *task)
{
    const struct facts none = {.kind = FILE_NONE};
    itemize(task->changes,
            &(struct itemize){
                .update = (char)(task->hard         ? 'h'
                                 : task->attributes ? '.'
                                                    : 'c'),
                .wish = task->life.job.wish.attributes,
                .times = true,
                .source = task->facts,
                .target = task->before.kind == task->facts.kind ? task->before : none,
            });
}

/* A folder on the way to it counts as changed: its time is another one now. */
static void task_touch(struct tour *tour, const struct tour_task *task)
{
    tour->touched = true;
    if (task->folder)
        task->folder->touched = true;
}

/* The other names of the file become links to this one. */
static void task_is_linked_to(struct tour *tour, struct tour_task *task, bool anew)
{
    if (!task->leads)
        return;
    task->link->path = strdup(task->path);
    task->link->state = task->link->path ? LINK_THERE : LINK_NOWHERE;
    task->link->anew = anew;
    tour->unblock = true;
    if (!task->link->path)
        tour_fail_memory(tour);
}

static void task_made(struct tour *tour, struct tour_task *task)
{
    if (task->made != JOB_UNCHANGED) {
        task_touch(tour, task);
        task_itemize(task);
    }
    if (task->own)
        folder_made(tour, task);
    task_is_linked_to(tour, task, tour->dry && task->made == JOB_CHANGED && !task->attributes);
    tour->unblock |= task->own != NULL;
    bool leaves = tour->wish->tour.remove_source && !task->own;
    enum tour_step leaving = tour->dry ? STEP_LEAVING : STEP_SETTLING;
    task_tell(tour, task, TOUR_MADE, task->own ? STEP_LISTING : leaves ? leaving : STEP_FREE);
}

/* As far as it can be seen from here; the target's side looks again. */
static bool task_differs(const struct tour *tour, const struct tour_task *task)
{
    const struct facts *source = &task->facts, *before = &task->before;
    const uint8_t *wish = task->life.job.wish.attributes;
    bool link = source->kind == FILE_LINK;
    return tour->wish->file.chown ||
           (wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && source->uid != before->uid) ||
           (wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && source->gid != before->gid) ||
           (wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && !link && source->mode != before->mode) ||
           (wish[ATTRIBUTE_TIMES] != ATTRIBUTE_LEAVE && !evidence_same_time(source, before));
}

/* It is there. A folder gets the rest when all in it is done, another name of a file has it. */
static void task_dress(struct tour *tour, struct tour_task *task)
{
    bool differs = !task->hard && (task->made != JOB_UNCHANGED || task_differs(tour, task));
    bool looks = !task->hard && tour_looks(tour);
    if (task->own && differs && task->made == JOB_UNCHANGED) {
        task->made = JOB_CHANGED;
        task->attributes = true;
    }
    if (task->own || !(differs || looks) || (tour->dry && task->made != JOB_UNCHANGED))
        task_made(tour, task);
    else
        task_adjust(tour, task, STEP_DRESSING);
}

static void task_dressed(struct tour *tour, struct tour_task *task)
{
    const struct side_report *report = &task->life.job.reports[SIDE_TARGET];
    if (task->life.result < 0) {
        task_lost(tour, task);
        task_fail(tour, task, task->life.error);
        return;
    }
    task_lacks(tour, task);
    if (task->made == JOB_UNCHANGED && report->attributes_changed) {
        task->made = JOB_CHANGED;
        task->attributes = true;
    }
    task_made(tour, task);
    if (task->attributes) /* else it is another one, and what is told is how it differs from the old
                           */
        itemize_changed(task->changes, task->facts.kind, folder_silent, report->attributes_changed);
}

/* In a dry run nothing can be looked at in a folder that is not there; but whether it could be made
 * can be, in the nearest one that is. */
static void task_make(struct tour *tour, struct tour_task *task)
{
    bool absent = task_is_absent(tour, task);
    const struct life_nearest *nearest = absent ? task_nearest(tour, task) : NULL;
    if (absent && (task->own || task->hard || !nearest)) {
        task->made = JOB_CREATED;
        life_begin(&task->life, tour->config.run,
                   &(struct life_start){
                       .kind = LIFE_CALL, .call = &task->call, .error = &task->life_error});
        task_made(tour, task);
        return;
    }
    task_call(tour, task, STEP_MAKING, SIDE_TARGET, SIDE_MAKE);
    if (nearest) {
        task->life.job.roots[SIDE_TARGET] = nearest->root;
        task->life.job.target_path = nearest->path;
    }
    if (task->own && tour_sends_ahead(tour)) {
        task->own->state = FOLDER_COMING;
        tour->unblock = true;
    }
}

/* --existing, --ignore-existing: what is at the target decides, and a folder that is left out is so
 * with all that is in it. Files are asked in their lives. */
static void task_choose(struct tour *tour, struct tour_task *task, const struct facts *target)
{
    if (!choice_skip(tour->wish, &task->facts, target, false)) {
        task_make(tour, task);
        return;
    }
    task_lost(tour, task);
    task_end(tour, task);
}

static void task_looked(struct tour *tour, struct tour_task *task)
{
    const struct facts target = task->life.job.facts[SIDE_TARGET];
    if (task->life.result < 0) {
        task_lost(tour, task);
        task_fail(tour, task, task->life.error);
        return;
    }
    task_choose(tour, task, &target);
}

static void task_start_now(struct tour *tour, struct tour_task *task)
{
    const struct choice_wish *wish = &tour->wish->choice;
    const struct facts none = {.kind = FILE_NONE};
    bool new = task->folder ? task->folder->fresh : tour->start.target_absent;
    if (task->facts.kind == FILE_REGULAR && !task->hard)
        task_copy(tour, task);
    else if (!wish->existing && !wish->ignore_existing)
        task_make(tour, task);
    else if (new)
        task_choose(tour, task, &none);
    else
        task_call(tour, task, STEP_LOOKING, SIDE_TARGET, SIDE_DESCRIBE);
}

/* Where no more links to it can be made it is copied once more, as cp does it. That is not what was
 * asked for, which is told of the first one, and with -v of each. */
static bool task_cannot_link(struct tour *tour, const struct tour_task *task, int result)
{
    if (!task->hard ||
        (result != -EMLINK && result != -EXDEV && result != -EPERM && result != -EOPNOTSUPP))
        return false;
    AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_TARGET].path, task->path);
    log_line(tour->links->apart ? LOG_VERBOSE : LOG_ERROR,
             "%s: hard link to %s not kept, which was asked for: %s", shown ? shown : task->path,
             task->link->path, strerror(-result));
    tour->links->apart = tour->outcome.lacking = true;
    return true;
}

/* --remove-source-files: what is no file may be there as it is at the source, by way of a mount,
 * and would be gone from both. */
static bool task_is_there_itself(struct tour *tour, struct tour_task *task)
{
    static const struct facts nobodys = {.kind = FILE_NONE};
    bool one = folder_is_at_target(tour, task->folder ? &task->folder->facts : &nobodys);
    ERROR_UNSET(err);
    if (!tour->wish->tour.remove_source || task->own || !one ||
        task->before.kind != task->facts.kind || task->before.device != task->facts.device ||
        task->before.inode != task->facts.inode)
        return false;
    AUTO_FREE char *source = text_join_path(tour->start.roots[SIDE_SOURCE].path, task->path);
    AUTO_FREE char *target = text_join_path(tour->start.roots[SIDE_TARGET].path, task->path);
    error_set_class(&err, ERROR_FILE, EINVAL, "%s and %s are the same %s",
                    source ? source : task->path, target ? target : task->path,
                    task->facts.kind == FILE_LINK ? "symbolic link" : "thing");
    task_lost(tour, task);
    task_fail(tour, task, &err);
    return true;
}

static void task_make_returned(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    bool clears = life->job.wish.replace_folders && !tour->dry;
    if (task_cannot_link(tour, task, life->result)) {
        task->hard = false;
        task_start_now(tour, task);
    } else if (life->result == -ENOTEMPTY && clears) {
        task_call(tour, task, STEP_CLEARING, SIDE_TARGET, SIDE_REMOVE);
    } else if (life->result == -ENOENT && tour->dry && task->hard) {
        task->made = JOB_CREATED; /* of what is not there yet either */
        task_made(tour, task);
    } else if (life->result < 0) {
        task_lost(tour, task);
        task_fail(tour, task, life->error);
    } else {
        bool root = task->own && !task->own->parent && task->path[0] == '\0';
        bool new = (root && tour->start.target_made) || task_is_absent(tour, task);
        task->made = new ? JOB_CREATED : life->job.made;
        if (task->hard && task->link->anew && task->made == JOB_UNCHANGED)
            task->made = JOB_CHANGED;
        if (task->made != JOB_CREATED)
            task->before = life->job.facts[SIDE_TARGET];
        if (!task_is_there_itself(tour, task))
            task_dress(tour, task);
    }
}

/* ---- files ---- */

/* --remove-source-files: by its own commit, or with what was there before. Elsewhere than on the
 * file system of the root that is not known to be durable, and stays. */
static enum tour_step task_leaves(const struct tour *tour, const struct life *life)
{
    if (!tour->wish->tour.remove_source)
        return STEP_FREE;
    if (life->outcome.kind == OUTCOME_DURABLE || life->outcome.kind == OUTCOME_DRY)
        return STEP_LEAVING;
    if (life->outcome.kind != OUTCOME_UP_TO_DATE || life->outcome.believed)
        return STEP_FREE;
    if (life->job.facts[SIDE_TARGET].device == tour->start.target.device)
        return tour->dry ? STEP_LEAVING : STEP_SETTLING;
    log_note("%s: stays at the source: it was at the target, on another file system than the "
             "folder, and is not known to be durable",
             life->job.source_path);
    return STEP_FREE;
}

/* So long as something is left of the server that was lost. */
static bool task_is_held(const struct tour *tour, const struct tour_task *task)
{
    return task->life.error->class == ERROR_BUSY && task->attempts > 0 &&
           task->attempts < LIFE_HELD_MAX && !tour->config.run->control->stop;
}

static void task_copied(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    if (task_is_held(tour, task)) {
        task->attempts++;
        task_copy(tour, task);
        return;
    }
    bool good = outcome_good(&life->outcome);
    bool skipped = life->outcome.kind == OUTCOME_SKIPPED;
    tour->broken |= !good && life->error->class != ERROR_VANISHED;
    if (!good || skipped)
        task_lost(tour, task);
    else
        task_is_linked_to(tour, task,
                          life->outcome.kind == OUTCOME_DRY && life->job.wish.no_inplace);
    if (life->outcome.kind != OUTCOME_UP_TO_DATE && !skipped)
        task_touch(tour, task);
    if (tour_has_told(tour, life)) {
        task_end(tour, task);
        return;
    }
    progress_add(&tour->counted, &life->counters);
    task_tell(tour, task, TOUR_FILE, task_leaves(tour, life));
}

static void task_go(struct tour *tour, struct tour_task *task)
{
    if (tour->stopped || (task->folder && task->folder->state == FOLDER_LOST)) {
        task_lost(tour, task);
        if (task->own)
            tour->unblock = true;
        task_end(tour, task);
        return;
    }
    task->early = task->folder && task->folder->state == FOLDER_COMING;
    if (!task_is_beside(tour, task) && task_claim(tour, task))
        task_start_now(tour, task);
}

/* Should the walk begin once more, who named it does not miss it. */
static void task_left(struct tour *tour, struct tour_task *task)
{
    if (task->life.result < 0) {
        task_fail(tour, task, task->life.error);
        return;
    }
    if (tour->wish->tour.names && !tour->dry)
        names_leave_out(tour->wish->tour.names, task->path);
    task_end(tour, task);
}

static void task_block(struct tour *tour, struct tour_task *task);

/* It began before its folder was there: not before it is. */
static void task_wait_for_folder(struct tour *tour, struct tour_task *task)
{
    task->early = false;
    task->late = true;
    if (task->own)
        task->own->state = FOLDER_MAKING;
    if (task->leads)
        task->link->state = LINK_NOWHERE;
    task->leads = false; /* the next one may */
    task_block(tour, task);
}

/* It has failed, perhaps only since its folder could not be made, or was not there yet. */
static bool task_was_early(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    bool good = task->step == STEP_COPYING ? outcome_good(&life->outcome) : life->result == 0;
    bool asks =
        task->step == STEP_YIELDING || task->step == STEP_SPELLING || task->step == STEP_OWNING;
    if (!task->early || asks)
        return false;
    task->early = false;
    if (good || tour->stopped)
        return false;
    task_wait_for_folder(tour, task);
    return true;
}

void task_returned(struct tour *tour, struct tour_task *task)
{
    if (task_was_early(tour, task))
        return;
    if (task_is_spelled_otherwise(task)) {
        if (task_ask_spelling(tour, task))
            task_start_now(tour, task);
        return;
    }
    switch (task->step) {
    case STEP_COPYING:
        task_copied(tour, task);
        break;
    case STEP_LOOKING:
        task_looked(tour, task);
        break;
    case STEP_MAKING:
        task_make_returned(tour, task);
        break;
    case STEP_DRESSING:
        task_dressed(tour, task);
        break;
    case STEP_CLEARING:
        if (task->life.result == 0) {
            task_make(tour, task);
            break;
        }
        task_lost(tour, task);
        task_fail(tour, task, task->life.error);
        break;
    case STEP_SHARING:
        folder_shared(tour, task);
        break;
    case STEP_LISTING:
        folder_listed(tour, task);
        break;
    case STEP_MISSING:
        folder_missed(tour, task);
        break;
    case STEP_REMOVING:
        folder_removed(tour, task);
        break;
    case STEP_MISSED:
        folder_looked_after(tour, task);
        break;
    case STEP_FINISHING:
        folder_finished(tour, task);
        break;
    case STEP_YIELDING:
    case STEP_OWNING:
        if (task->step == STEP_OWNING ? task_owned(tour, task) : !task_yields(tour, task))
            task_go(tour, task);
        break;
    case STEP_SPELLING:
        if (task_spelled(tour, task))
            task_start_now(tour, task);
        break;
    case STEP_LEAVING:
        task_left(tour, task);
        break;
    case STEP_FREE:
    case STEP_BLOCKED:
    case STEP_SETTLING:
    case STEP_TELLING:
        assert(false && "an operation came back that was not under way");
    }
}

/* Whether its step was done is not known. */
void task_restart(struct tour *tour, struct tour_task *task)
{
    task->attempts++;
    if (task->folder)
        task->folder->touched = true;
    if (task->own)
        task->own->touched = true;
    if (task->step == STEP_COPYING)
        life_count_attempt(&task->life, &task->earlier);
    if (task->early) {
        task_wait_for_folder(tour, task);
        return;
    }
    switch (task->step) {
    case STEP_COPYING:
        task_copy(tour, task);
        break;
    case STEP_LOOKING:
        task_start_now(tour, task);
        break;
    case STEP_MAKING:
    case STEP_CLEARING:
        task_make(tour, task);
        break;
    case STEP_DRESSING:
    case STEP_FINISHING:
        task_adjust(tour, task, task->step);
        break;
    case STEP_SHARING:
    case STEP_LISTING:
    case STEP_MISSING:
    case STEP_REMOVING:
    case STEP_MISSED:
        folder_restart(tour, task);
        break;
    case STEP_YIELDING:
        task->asked = 0;
        task_go(tour, task);
        break;
    case STEP_SPELLING:
        free(task->gone);
        task->gone = NULL;
        task_start_now(tour, task);
        break;
    case STEP_OWNING:
        free(task->gone);
        task->gone = NULL;
        task_go(tour, task);
        break;
    case STEP_LEAVING:
        task_call(tour, task, STEP_LEAVING, SIDE_SOURCE, SIDE_REMOVE);
        break;
    case STEP_FREE:
    case STEP_BLOCKED:
    case STEP_SETTLING:
    case STEP_TELLING:
        assert(false && "an operation was lost that was not under way");
    }
}

void task_told(struct tour *tour, struct tour_task *task)
{
    switch (task->after) {
    case STEP_LISTING:
        if (folder_removes(tour, task))
            return;
        break;
    case STEP_REMOVING:
        folder_told(tour, task);
        return;
    case STEP_MISSED:
        folder_remove_again(tour, task);
        return;
    case STEP_SETTLING:
        settle_add(tour, task);
        return;
    case STEP_LEAVING:
        task_call(tour, task, STEP_LEAVING, SIDE_SOURCE, SIDE_REMOVE);
        return;
    default:
        break;
    }
    task_end(tour, task);
}

/* ---- entries ---- */

/* May it begin? Its folder has to be there, and of several names the first. */
static bool task_waits(struct tour_task *task)
{
    struct tour_link *link = task->link;
    const struct tour_folder *folder = task->folder;
    if (folder &&
        (folder->state == FOLDER_MAKING || (folder->state == FOLDER_COMING && task->late)))
        return true;
    if (!link || (task->folder && task->folder->state == FOLDER_LOST))
        return false;
    if (link->state == LINK_COMING)
        return true;
    task->hard = link->state == LINK_THERE;
    task->leads = !task->hard;
    if (task->leads)
        link->state = LINK_COMING;
    return false;
}

void task_unblock(struct tour *tour)
{
    while (tour->unblock) {
        struct tour_task **at = &tour->blocked;
        tour->unblock = false;
        while (*at) {
            struct tour_task *task = *at;
            if (!tour->stopped && task_waits(task)) {
                at = &task->next;
                continue;
            }
            *at = task->next;
            if (tour->blocked_end == &task->next)
                tour->blocked_end = at;
            task_go(tour, task);
        }
    }
}

static void task_block(struct tour *tour, struct tour_task *task)
{
    task->step = STEP_BLOCKED;
    task->next = NULL;
    *tour->blocked_end = task;
    tour->blocked_end = &task->next;
    tour->unblock = true;
}

static void task_refuse_itself(struct tour *tour, struct tour_task *task)
{
    ERROR_UNSET(err);
    AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_SOURCE].path, task->path);
    error_set_class(&err, ERROR_FILE, EINVAL, "%s: is the target itself, and left out",
                    shown ? shown : task->path);
    task_fail(tour, task, &err);
}

/* --chmod; a regular file's life does it by itself. */
static void task_chmod(const struct tour *tour, struct facts *facts)
{
    const struct copy_wish *wish = tour->wish;
    if (facts->kind != FILE_REGULAR)
        facts->mode = mode_changes_apply(&wish->chmod, facts->mode, wish->umask_bits,
                                         facts->kind == FILE_FOLDER);
}

/* All of it that takes memory. Error codes as of task_of_entry(). */
static int task_fill(struct tour *tour, struct tour_task *task, const struct entry *entry)
{
    const struct facts *facts = &entry->facts;
    bool linked = facts->links > 1 || tour->wish->tour.remove_source; /* others may have gone */
    task->facts = *facts;
    task_chmod(tour, &task->facts);
    task->link_text = entry->text ? strdup(entry->text) : NULL;
    if (entry->text && !task->link_text)
        return -ENOMEM;
    if (entry->type == ENTRY_ENTER) {
        task->own = folder_enter(tour, entry);
        if (!task->own)
            return -ENOMEM;
        task->own->facts = task->facts;
        return 0;
    }
    return tour->wish->tour.hard_links && linked ? link_see(tour->links, facts, &task->link) : 0;
}

static int task_of_found(struct tour *tour, const struct entry *entry)
{
    struct tour_task *task = task_new(tour, tour->folder, entry->name);
    if (!task)
        return -ENOMEM;
    int result = task_fill(tour, task, entry);
    if (result < 0) {
        task_end(tour, task);
        return result;
    }
    if (task->own && task->own->state == FOLDER_LOST)
        task_refuse_itself(tour, task);
    else
        task_block(tour, task);
    return 0;
}

/* What the source's side has to say of it: as other failures over there are told. */
static void task_fail_there(struct tour *tour, struct tour_task *task, const struct entry *entry)
{
    const struct address *address = &tour->config.run->addresses[SIDE_SOURCE];
    bool far = address->kind == ADDRESS_REMOTE;
    char peer[ADDRESS_TEXT_BYTES];
    ERROR_UNSET(err);
    AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_SOURCE].path, task->path);
    /* What a unit lists was there when it was planned. */
    bool gone = entry->complete || (tour->wish->tour.leaves_folders && entry->errnum == ENOENT);
    error_set_class(&err, gone ? ERROR_VANISHED : ERROR_FILE, (int)entry->errnum, "%s%s%s: %s",
                    far ? address_peer(peer, sizeof(peer), address) : "", far ? ": " : "",
                    shown ? shown : task->path, entry->text);
    task_fail(tour, task, &err);
}

/* Only told. */
static int task_of_words(struct tour *tour, const struct entry *entry)
{
    struct tour_task *task = task_new(tour, tour->folder, entry->name);
    if (!task)
        return -ENOMEM;
    task->facts = entry->facts;
    if (entry->type == ENTRY_PAST) {
        task_tell(tour, task, TOUR_PAST, STEP_FREE);
        return 0;
    }
    task_fail_there(tour, task, entry);
    return 0;
}

int task_of_entry(struct tour *tour, const struct entry *entry)
{
    switch (entry->type) {
    case ENTRY_ENTER:
    case ENTRY_FOUND:
        return task_of_found(tour, entry);
    case ENTRY_LEAVE:
        folder_leave(tour);
        return 0;
    case ENTRY_ERROR:
    case ENTRY_PAST:
        return task_of_words(tour, entry);
    case ENTRY_USER:
    case ENTRY_GROUP:
        return owner_see(tour, entry);
    default:
        return 0;
    }
}
