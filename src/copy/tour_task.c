/* tour_task.c - one name of a tree that something is done about: its place, its operations, its
 * events. What follows what, others know. */
#include "tour_state.h"

#include "haul/base/num.h"
#include "haul/base/text.h"

#include <stdlib.h>

struct tour_task *task_of(struct life *life)
{
    return (struct tour_task *)(void *)life;
}

/* ---- begin and end ---- */

bool task_is_free(const struct tour *tour)
{
    return tour->free || tour->tasks_used < tour->tasks_most;
}

/* It is nothing yet, and has no name. */
static void task_take(struct tour *tour, struct tour_task *task, struct tour_folder *folder)
{
    tour->tasks_count++;
    task->folder = folder;
    task->path = NULL;
    task->own = NULL;
    task->link = NULL;
    task->leads = task->hard = task->early = task->late = task->ahead = task->alone = false;
    task->removal = NULL;
    task->link_text = task->gone = NULL;
    task->before = (struct facts){.kind = FILE_NONE};
    task->made = JOB_UNCHANGED;
    task->attributes = false;
    task->asked = task->spellings = 0;
    task->spelled = false;
    task->attempts = 0;
    task->earlier = (struct life_earlier){.started_ns = 0};
    task->changes[0] = '\0';
    task->call = (struct life_call){.bytes = NULL};
    if (folder)
        folder->pending++;
}

struct tour_task *task_new(struct tour *tour, struct tour_folder *folder, const char *name)
{
    bool first = !tour->free && tour->tasks_used < tour->tasks_most;
    struct tour_task *task = first ? &tour->tasks[tour->tasks_used] : tour->free;
    char *path = task ? folder_path(folder, name) : NULL;
    if (!path)
        return NULL;
    if (first)
        tour->tasks_used++;
    else
        tour->free = task->next;
    task_take(tour, task, folder);
    task->path = path;
    return task;
}

void task_end(struct tour *tour, struct tour_task *task)
{
    struct tour_folder *folder = task->folder, *own = task->own;
    link_release(tour->links, task->link);
    if (task->removal) {
        free(task->removal->folder);
        free(task->removal->above);
        task->removal->folder = NULL;
        task->removal->above = NULL;
        task->removal->used = false;
    }
    free(task->path);
    free(task->link_text);
    free(task->gone);
    task->step = STEP_FREE;
    if (task != tour->own) {
        task->next = tour->free;
        tour->free = task;
    }
    tour->tasks_count--;
    folder_catch_up(folder, task);
    if (own)
        folder_release(tour, own);
    if (folder)
        folder_release(tour, folder);
}

/* ---- events ---- */

void task_tell(struct tour *tour, struct tour_task *task, enum tour_event_kind event,
               enum tour_step after)
{
    task->step = STEP_TELLING;
    task->event = event;
    task->after = after;
    task->next = NULL;
    *tour->told_end = task;
    tour->told_end = &task->next;
}

void task_fail(struct tour *tour, struct tour_task *task, const struct error *err)
{
    tour->broken |= err->class != ERROR_VANISHED;
    task->error = *err;
    task_tell(tour, task, TOUR_FAILED, STEP_FREE);
}

void tour_fail(struct tour *tour, const struct error *err)
{
    tour->broken = true;
    if (tour->own->step != STEP_FREE)
        return; /* the run has failed, and why is about to be told */
    task_take(tour, tour->own, NULL);
    task_fail(tour, tour->own, err);
}

void tour_fail_memory(struct tour *tour)
{
    ERROR_UNSET(err);
    error_set_class(&err, ERROR_MEMORY, ENOMEM, "no memory for a name");
    tour_fail(tour, &err);
}

void task_lost(struct tour *tour, struct tour_task *task)
{
    if (task->own)
        task->own->state = FOLDER_LOST;
    if (task->leads)
        task->link->state = LINK_NOWHERE;
    tour->unblock = true;
}

/* ---- operations ---- */

/* What it finds at the target has to be called as it is. */
static bool task_is_particular(const struct tour_task *task)
{
    const struct tour_folder *folder = task->folder;
    bool exact = folder && folder->state == FOLDER_MADE && !folder->folds;
    return !exact && !task->spelled && task->path[0] != '\0';
}

/* Does a source lie there, or on the way that leads there? Without memory for the path: perhaps. */
static bool source_lies(const struct tour_source *source, const char *path)
{
    for (char **inside = source->inside; inside && *inside; inside++)
        if (!path || text_path_holds(path, *inside) || text_path_holds(*inside, path))
            return true;
    return false;
}

bool tour_has_source(const struct tour *tour, const char *path)
{
    for (uint32_t i = 0; i < tour->start.sources_count; i++)
        if (source_lies(&tour->start.sources[i], path))
            return true;
    return false;
}

/* What both a call and a copy begin with. */
struct life_start task_start(const struct tour *tour, struct tour_task *task, enum life_kind kind)
{
    return (struct life_start){
        .kind = kind,
        .number = (*tour->config.numbers)++,
        .chunk_bytes = tour->config.chunk_bytes,
        .source_path = task->gone ? task->gone : task->path,
        .error = &task->life_error,
        .target_path = task->gone ? task->gone : task->path,
        .spelled = kind == LIFE_COPY && task_is_particular(task),
        .keeps_folder = tour_has_source(tour, task->path),
        .roots = {tour->start.roots[SIDE_SOURCE], tour->start.roots[SIDE_TARGET]},
        .words = task->words,
        .names = tour_maps_owners(tour) ? task->names : NULL,
    };
}

void task_live(struct tour *tour, struct tour_task *task, enum tour_step step)
{
    task->step = step;
    task->life.bin = &tour->ended;
    pump_add(tour->pump, &task->life);
}

void task_call(struct tour *tour, struct tour_task *task, enum tour_step step, enum side_role role,
               enum side_op op)
{
    struct life_start start = task_start(tour, task, LIFE_CALL);
    struct job *job = &task->life.job;
    task->call.role = role;
    task->call.op = op;
    start.call = &task->call;
    life_begin(&task->life, tour->config.run, &start);
    job->facts[SIDE_SOURCE] = task->facts;
    owner_names_of(tour, &task->facts, job->names);
    job->link_text = task->hard ? task->link->path : task->link_text;
    job->hard_link = task->hard;
    job->wish.dry = tour->dry && op != SIDE_DESCRIBE; /* no probe, a look */
    job->wish.spelled = (step == STEP_MAKING || step == STEP_LOOKING) && task_is_particular(task);
    task_live(tour, task, step);
}

void task_adjust(struct tour *tour, struct tour_task *task, enum tour_step step)
{
    task->call = (struct life_call){.bytes = NULL};
    task_call(tour, task, step, SIDE_TARGET, tour_wants_details(tour) ? SIDE_DRESS : SIDE_ADJUST);
    if (task->own && folder_keeps_mode(tour)) /* it gets its own one back */
        task->life.job.wish.attributes[ATTRIBUTE_MODE] = ATTRIBUTE_DEFAULT;
}
