/* tour_remove.c - what --delete takes out of the folders of a tour. */
#include "tour_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/rules.h"
#include "haul/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool folder_may_remove(struct tour *tour)
{
    if (!tour->wish->tour.delete || tour->stopped)
        return false;
    if (tour->wish->tour.ignore_errors)
        return true;
    if (tour->broken && !tour->broken_told)
        log_warning(
            "something has failed: nothing (more) is deleted (--ignore-errors: all the same)");
    tour->broken_told = tour->broken;
    return !tour->broken;
}

/* --max-delete: one more name would be too many, so it stays. */
static bool folder_holds_back(struct tour *tour, struct tour_removal *removal)
{
    struct tour_level *now = &removal->now;
    const struct tour_wish *wish = &tour->wish->tour;
    if (!wish->max_delete_set || *tour->config.removed_count < wish->max_delete)
        return false;
    if (!now->again) { /* else it was counted */
        tour->held_back++;
        removal->held++;
    }
    now->kept++;
    now->keeps = true;
    return true;
}

/* The step is about this path. false: there is no memory, and that is told. */
static bool folder_about(struct tour *tour, struct tour_task *task, char *path)
{
    ERROR_UNSET(err);
    free(task->gone);
    task->gone = path;
    if (path)
        return true;
    error_set_class(&err, ERROR_MEMORY, ENOMEM, "no memory for a name");
    task_fail(tour, task, &err);
    return false;
}

/* Names in the folder, from its cookie on. */
static void folder_list(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    if (!folder_about(tour, task, strdup(removal->folder)))
        return;
    task->call = (struct life_call){
        .bytes = removal->bytes,
        .room = sizeof(removal->bytes),
        .offset = removal->now.cookie,
    };
    task_call(tour, task, STEP_LISTING, SIDE_TARGET, SIDE_LIST);
}

/* The next of the other sources that brings something into this folder; NULL: no more does. Of
 * those `before`, or of all. */
static const struct job_root *folder_other_source(const struct tour *tour,
                                                  struct tour_removal *removal, bool before)
{
    const struct tour_start *start = &tour->start;
    const char *folder = removal->folder;
    while (removal->depth == 0 && removal->asked < start->sources_count) {
        const struct tour_source *source = &start->sources[removal->asked++];
        bool own = source->root.number == start->roots[SIDE_SOURCE].number;
        if (own && before)
            return NULL;
        if (text_path_holds(source->name, folder) && !own && source->root.number > 0)
            return &source->root;
    }
    return NULL;
}

/* What a run takes once a dry run tells once: with the first source that has the folder. */
static void folder_share(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    const struct job_root *before = tour->dry ? folder_other_source(tour, removal, true) : NULL;
    if (!before) {
        folder_list(tour, task);
    } else if (folder_about(tour, task, strdup(removal->folder))) {
        task->call = (struct life_call){.bytes = NULL};
        task_call(tour, task, STEP_SHARING, SIDE_SOURCE, SIDE_DESCRIBE);
        task->life.job.roots[SIDE_SOURCE] = *before;
    }
}

void folder_shared(struct tour *tour, struct tour_task *task)
{
    if (task->life.result == 0 && task->life.job.facts[SIDE_SOURCE].kind == FILE_FOLDER)
        task_end(tour, task);
    else
        folder_share(tour, task);
}

bool folder_removes(struct tour *tour, struct tour_task *task)
{
    if (!task->own->whole || task->own->fresh || task->own->state != FOLDER_MADE ||
        !folder_may_remove(tour))
        return false;
    task->next = tour->removing;
    tour->removing = task;
    return true;
}

void folder_remove_again(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    char *folder = strdup(task->path);
    removal->now = (struct tour_level){.cookie = 0};
    removal->depth = 0;
    tour->held_back -= removal->held;
    removal->held = 0;
    free(removal->folder);
    removal->folder = folder;
    removal->asked = 0;
    if (folder)
        folder_share(tour, task);
    else
        (void)folder_about(tour, task, NULL);
}

void folder_remove_waiting(struct tour *tour)
{
    for (int i = 0; i < TOUR_REMOVALS_MAX && tour->removing; i++) {
        struct tour_removal *removal = &tour->removals[i];
        struct tour_task *task = tour->removing;
        if (removal->used)
            continue;
        tour->removing = task->next;
        removal->used = true;
        removal->held = 0;
        task->removal = removal;
        folder_remove_again(tour, task);
    }
}

/* ---- folders that go name by name ---- */

static void folder_descend(struct tour *tour, struct tour_task *task, const char *name)
{
    struct tour_removal *removal = task->removal;
    char *path = text_join_path(removal->folder, name);
    struct tour_level *above =
        realloc(removal->above, (removal->depth + 1) * sizeof(*removal->above));
    if (above)
        removal->above = above;
    if (!path || !above) {
        free(path);
        (void)folder_about(tour, task, NULL);
        return;
    }
    above[removal->depth++] = removal->now;
    removal->now = (struct tour_level){
        .parent_bytes = (uint32_t)strlen(removal->folder),
    };
    free(removal->folder);
    removal->folder = path;
    folder_list(tour, task);
}

/* Back in the folder above: what is left of the names that it had in hand is listed again. */
static void folder_ascend(struct tour *tour, struct tour_task *task, bool kept)
{
    struct tour_removal *removal = task->removal;
    removal->folder[removal->now.parent_bytes] = '\0';
    removal->now = removal->above[--removal->depth];
    removal->now.kept += kept || tour->dry;
    removal->now.keeps |= kept;
    removal->now.thinned |= !kept;
    folder_list(tour, task);
}

/* What it is about goes. */
static void folder_take(struct tour *tour, struct tour_task *task, enum file_kind kind)
{
    ++*tour->config.removed_count;
    task->gone_kind = kind;
    task->call = (struct life_call){.bytes = NULL};
    task_call(tour, task, STEP_REMOVING, SIDE_TARGET, SIDE_REMOVE);
}

/* All names of this folder have had their turn. */
static void folder_emptied(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    struct tour_level *now = &removal->now;
    if (removal->depth == 0) {
        task_end(tour, task);
    } else if (now->keeps) {
        log_note("%s: stays, as something in it does", removal->folder);
        folder_ascend(tour, task, true);
    } else if (!now->looks && !tour->dry) {
        now->looks = true; /* before it goes with whatever is in it */
        now->cookie = 0;
        folder_list(tour, task);
    } else if (folder_holds_back(tour, removal)) {
        folder_ascend(tour, task, true);
    } else if (folder_about(tour, task, strdup(removal->folder))) {
        folder_take(tour, task, FILE_FOLDER);
    }
}

/* A cookie is the file system's: where it counts names, those behind removed ones are passed over.
 */
static bool folder_has_gaps(const struct tour_level *now)
{
    return now->long_list && now->thinned && !now->again;
}

static void folder_list_on(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    struct tour_level *now = &removal->now;
    if (!folder_may_remove(tour)) {
        task_end(tour, task);
    } else if (removal->cookie != 0 || folder_has_gaps(now)) {
        now->again |= removal->cookie == 0;
        now->long_list = true;
        now->cookie = removal->cookie;
        now->kept = 0;
        folder_list(tour, task);
    } else {
        folder_emptied(tour, task);
    }
}

/* ---- steps ---- */

/* Which of these names has that source not? */
static void folder_ask(struct tour *tour, struct tour_task *task, const struct job_root *source,
                       uint32_t length)
{
    struct tour_removal *removal = task->removal;
    task->call = (struct life_call){
        .bytes = removal->bytes,
        .length = length,
        .room = sizeof(removal->bytes),
    };
    task_call(tour, task, STEP_MISSING, SIDE_SOURCE, SIDE_MISSING);
    task->life.job.roots[SIDE_SOURCE] = *source;
}

void folder_listed(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    uint32_t length = task->call.count;
    removal->cookie = task->call.offset;
    if (task->life.result < 0) {
        task_fail(tour, task, task->life.error);
    } else if (length == 0) {
        folder_list_on(tour, task);
    } else if (removal->now.looks) {
        removal->now.keeps = true;
        folder_emptied(tour, task);
    } else {
        removal->asked = 0;
        folder_ask(tour, task, &tour->start.roots[SIDE_SOURCE], length);
        if (removal->depth > 0) /* it goes itself */
            task->life.job.facts[SIDE_SOURCE].kind = FILE_NONE;
    }
}

/* It brings that name, whatever it is, and is left out by no rule. */
static bool source_is_named(const struct tour *tour, const char *name)
{
    const struct tour_start *start = &tour->start;
    const struct rules *rules = tour->wish->tour.rules;
    if (rules_hide(rules, name, false) && rules_hide(rules, name, true))
        return false;
    for (uint32_t i = 0; i < start->sources_count; i++) {
        if (strcmp(start->sources[i].name, name) == 0)
            return true;
    }
    return false;
}

/* In the target's folder itself there are other sources by their names. How many bytes are left of
 * the others. */
static uint32_t folder_leave_named(const struct tour *tour, struct tour_removal *removal,
                                   uint32_t length)
{
    struct bytes in = bytes_reader(removal->bytes, length);
    ERROR_UNSET(err);
    struct entry entry;
    uint32_t left = 0;
    size_t start = 0;
    if (tour->start.sources_count == 0 || removal->folder[0] != '\0')
        return length;
    for (; entry_unpack(&in, &entry, &err) > 0; start = in.position) {
        size_t bytes = in.position - start;
        if (source_is_named(tour, entry.name))
            continue;
        memmove(removal->bytes + left, removal->bytes + start, bytes);
        left += (uint32_t)bytes;
    }
    /* What makes no sense is found where the rest is taken. */
    memmove(removal->bytes + left, removal->bytes + start, length - start);
    return left + (uint32_t)(length - start);
}

void folder_missed(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    ERROR_UNSET(err);
    struct entry entry;
    uint32_t left = task->call.count;
    if (task->life.result < 0) {
        task_fail(tour, task, task->life.error);
        return;
    }
    removal->now.keeps |= left < task->call.length;
    const struct job_root *other = left > 0 ? folder_other_source(tour, removal, false) : NULL;
    if (other) {
        folder_ask(tour, task, other, left);
        return;
    }
    removal->in = bytes_reader(removal->bytes, folder_leave_named(tour, removal, left));
    for (uint32_t i = 0; i < removal->now.kept; i++) {
        if (entry_unpack(&removal->in, &entry, &err) <= 0)
            break;
    }
    folder_remove_next(tour, task);
}

/* Of a name in the folder; NULL: there is no memory, which is told, and it stays. */
static char *folder_path_of(struct tour *tour, const struct tour_removal *removal, const char *name)
{
    char *path = text_join_path(removal->folder, name);
    if (!path)
        tour_fail_memory(tour);
    return path;
}

/* --remove-source-files: it is missing because it was moved here, or something in it. */
static bool folder_has_moved(struct tour *tour, struct tour_removal *removal, const char *name)
{
    if (!tour->config.moved)
        return false;
    AUTO_FREE char *path = folder_path_of(tour, removal, name);
    if (path && !moved_holds(tour, path))
        return false;
    removal->now.kept++;
    removal->now.keeps = true;
    return true;
}

/* A source has its own names, and not the one it goes by: what is on the way to it stays, and so
 * does what is in it. */
static bool folder_has_source(struct tour *tour, struct tour_removal *removal, const char *name)
{
    if (!tour_has_source(tour, NULL))
        return false;
    AUTO_FREE char *path = folder_path_of(tour, removal, name);
    if (path && !tour_has_source(tour, path))
        return false;
    if (path && !removal->now.again) { /* else it was told */
        AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_TARGET].path, path);
        log_error("%s: not deleted, as a source is there (--exclude it, or copy elsewhere)",
                  shown ? shown : name);
    }
    removal->now.kept++;
    removal->now.keeps = true;
    return tour->outcome.lacking = true;
}

static bool folder_goes_by_names(const struct tour *tour, const struct entry *entry)
{
    const struct tour_wish *wish = &tour->wish->tour;
    return entry->facts.kind == FILE_FOLDER &&
           (wish->max_delete_set || (wish->rules && rules_protect_any(wish->rules)));
}

void folder_remove_next(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    struct entry entry;
    ERROR_UNSET(err);
    if (!folder_may_remove(tour)) {
        task_end(tour, task);
        return;
    }
    int result;
    do
        result = entry_unpack(&removal->in, &entry, &err);
    while (result > 0 &&
           (folder_has_moved(tour, removal, entry.name) ||
            folder_has_source(tour, removal, entry.name) || folder_holds_back(tour, removal)));
    if (result < 0) {
        task_fail(tour, task, &err);
        return;
    }
    if (result == 0) {
        folder_list_on(tour, task);
        return;
    }
    if (folder_goes_by_names(tour, &entry)) {
        folder_descend(tour, task, entry.name);
        return;
    }
    if (!folder_about(tour, task, text_join_path(removal->folder, entry.name)))
        return;
    removal->now.kept += tour->dry;
    folder_take(tour, task, entry.facts.kind);
}

void folder_removed(struct tour *tour, struct tour_task *task)
{
    struct tour_level *now = &task->removal->now;
    int result = task->life.result;
    if (result < 0 && result != -ENOENT) {
        --*tour->config.removed_count;
        now->kept += !tour->dry; /* as all are */
        now->keeps = true;
        task->error = *task->life.error;
        task_tell(tour, task, TOUR_FAILED, STEP_REMOVING);
        return;
    }
    if (!tour->dry)
        tour->touched = task->own->touched = now->thinned = true;
    task_tell(tour, task, TOUR_REMOVED, STEP_REMOVING);
}

/* What was removed, and what was not, is counted once. In a dry run all is as it was listed. */
void folder_restart(struct tour *tour, struct tour_task *task)
{
    if (task->step == STEP_REMOVING && tour->dry)
        task_call(tour, task, STEP_REMOVING, SIDE_TARGET, SIDE_REMOVE);
    else if (task->step == STEP_REMOVING || task->step == STEP_MISSED)
        task_call(tour, task, STEP_MISSED, SIDE_TARGET, SIDE_DESCRIBE);
    else if (tour->dry && task->step != STEP_SHARING)
        folder_list(tour, task);
    else
        folder_remove_again(tour, task);
}

/* Where that is not known it counts. */
void folder_looked_after(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    bool there = life->result == 0 && life->job.facts[SIDE_TARGET].kind != FILE_NONE;
    *tour->config.removed_count -= there;
    if (life->result < 0 || there)
        folder_remove_again(tour, task);
    else
        task_tell(tour, task, TOUR_REMOVED, STEP_MISSED);
}

/* The event of a name that went, or did not, was taken; of a folder itself it leads up. */
void folder_told(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    if (removal->depth > 0 && strcmp(task->gone, removal->folder) == 0)
        folder_ascend(tour, task, task->event == TOUR_FAILED);
    else
        folder_remove_next(tour, task);
}
