/* tour_settle.c - what is at the target already, or was made there without a commit of its own,
 * becomes durable before --remove-source-files takes its source: one sync for many names. */
#include "tour_state.h"

enum { SETTLE_MANY = TOUR_TASKS_HERE / 2 };

void settle_add(struct tour *tour, struct tour_task *task)
{
    task->step = STEP_SETTLING;
    task->next = tour->settling;
    tour->settling = task;
    tour->settling_count++;
}

static struct tour_task *settle_take(struct tour_task **list)
{
    struct tour_task *task = *list;
    if (task)
        *list = task->next;
    return task;
}

void settle_look(struct tour *tour)
{
    bool idle = tour->settling_count == tour->tasks_count;
    struct tour_task *task;
    if (!tour->settling || tour->settled || (tour->settling_count < SETTLE_MANY && !idle))
        return;
    tour->settled = tour->settling;
    tour->settling = NULL;
    tour->settling_count = 0;
    while (tour->stopped && (task = settle_take(&tour->settled)))
        task_end(tour, task);
    if (!tour->settled)
        return;
    settle_sync(tour);
}

void settle_sync(struct tour *tour)
{
    tour->sync_call =
        (struct life_call){.role = SIDE_TARGET, .op = SIDE_SYNC, .earlier = tour->earlier};
    life_begin(&tour->sync, tour->config.run,
               &(struct life_start){
                   .kind = LIFE_CALL,
                   .error = &tour->sync_error,
                   .number = (*tour->config.numbers)++,
                   .chunk_bytes = tour->config.chunk_bytes,
                   .source_path = "",
                   .target_path = "",
                   .roots = {tour->start.roots[SIDE_SOURCE], tour->start.roots[SIDE_TARGET]},
                   .call = &tour->sync_call,
               });
    tour->sync.bin = &tour->ended;
    pump_add(tour->pump, &tour->sync);
}

void settle_returned(struct tour *tour)
{
    struct tour_task *task;
    while ((task = settle_take(&tour->settled))) {
        if (tour->sync.result < 0)
            task_fail(tour, task, tour->sync.error);
        else
            task_call(tour, task, STEP_LEAVING, SIDE_SOURCE, SIDE_REMOVE);
    }
}
