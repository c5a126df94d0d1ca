/* tour_remove.c - what --delete takes out of the folders of a tour. */
#include "tour_state.h"

#include "haul/base/log.h"
#include "haul/disk/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool folder_may_remove(struct tour *tour)
{
    if (!tour->wish->tour.delete || tour->stopped)
        return false;
    if (tour->broken && !tour->broken_told)
        log_warning("not all of the source could be read: nothing (more) is deleted");
    tour->broken_told = tour->broken;
    return !tour->broken;
}

static void folder_list(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    task->call = (struct life_call){
        .bytes = removal->listed,
        .room = sizeof(removal->listed),
        .offset = removal->cookie,
    };
    task_call(tour, task, STEP_LISTING, SIDE_TARGET, SIDE_LIST);
}

bool folder_removes(struct tour *tour, struct tour_task *task)
{
    if (task->own->fresh || task->own->state != FOLDER_MADE || !folder_may_remove(tour))
        return false;
    task->next = tour->removing;
    tour->removing = task;
    return true;
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
        removal->cookie = 0;
        task->removal = removal;
        folder_list(tour, task);
    }
}

/* The part of a journal's name that is its file's; NULL: it is none. */
static const char *journal_of(const char *name, char out[ENTRY_NAME_MAX + 1])
{
    static const char suffix[] = ".haul";
    char again[JOURNAL_NAME_BYTES];
    size_t length = strlen(name);
    if (name[0] != '.' || length < sizeof(suffix) + 1)
        return NULL;
    snprintf(out, ENTRY_NAME_MAX + 1, "%.*s", (int)(length - sizeof(suffix)), name + 1);
    if (!entry_is_name(out))
        return NULL;
    journal_name(again, out);
    return strcmp(again, name) == 0 ? out : NULL;
}

/* A journal stays as long as its file does: its file is asked for in its place, and told from a
 * name of its own by its kind. */
static uint32_t folder_take_names(struct tour_removal *removal, uint32_t listed_bytes,
                                  struct error *err)
{
    struct bytes in = bytes_reader(removal->listed, listed_bytes);
    struct bytes out = bytes_writer(removal->bytes, sizeof(removal->bytes));
    char file[ENTRY_NAME_MAX + 1];
    struct entry entry;
    int result;
    while ((result = entry_unpack(&in, &entry, err)) > 0) {
        const char *of = entry.facts.kind == FILE_REGULAR ? journal_of(entry.name, file) : NULL;
        if (of) {
            entry.name = of;
            entry.facts.kind = FILE_OTHER;
        }
        (void)entry_pack(&out, &entry); /* no name becomes longer */
    }
    return result < 0 ? 0 : (uint32_t)out.length;
}

static void folder_list_on(struct tour *tour, struct tour_task *task)
{
    if (task->removal->cookie != 0 && folder_may_remove(tour))
        folder_list(tour, task);
    else
        task_end(tour, task);
}

void folder_listed(struct tour *tour, struct tour_task *task)
{
    struct tour_removal *removal = task->removal;
    struct error err = {.class = ERROR_NONE};
    uint32_t length = 0;
    if (task->life.result < 0)
        err = task->life.error;
    else
        length = folder_take_names(removal, task->call.count, &err);
    removal->cookie = task->call.offset;
    if (error_is_set(&err)) {
        task_fail(tour, task, &err);
    } else if (length == 0) {
        folder_list_on(tour, task);
    } else {
        task->call = (struct life_call){
            .bytes = removal->bytes,
            .length = length,
            .room = sizeof(removal->bytes),
        };
        task_call(tour, task, STEP_MISSING, SIDE_SOURCE, SIDE_MISSING);
    }
}

void folder_missed(struct tour *tour, struct tour_task *task)
{
    if (task->life.result < 0) {
        task_fail(tour, task, &task->life.error);
        return;
    }
    task->removal->in = bytes_reader(task->removal->bytes, task->call.count);
    folder_remove_next(tour, task);
}

void folder_remove_next(struct tour *tour, struct tour_task *task)
{
    char journal[JOURNAL_NAME_BYTES];
    struct entry entry;
    struct error err = {.class = ERROR_NONE};
    free(task->gone);
    task->gone = NULL;
    task->call = (struct life_call){.bytes = NULL};
    if (!folder_may_remove(tour)) {
        task_end(tour, task);
        return;
    }
    int result = entry_unpack(&task->removal->in, &entry, &err);
    if (result == 0) {
        folder_list_on(tour, task);
        return;
    }
    if (result > 0 && entry.facts.kind == FILE_OTHER) {
        journal_name(journal, entry.name);
        entry.name = journal;
    }
    if (result > 0)
        task->gone_kind = entry.facts.kind;
    if (result > 0 && !(task->gone = folder_path(task->own, entry.name)))
        error_set_class(&err, ERROR_MEMORY, ENOMEM, "no memory for a name");
    if (error_is_set(&err))
        task_fail(tour, task, &err);
    else if (tour->dry)
        task_tell(tour, task, TOUR_REMOVED, STEP_REMOVING);
    else
        task_call(tour, task, STEP_REMOVING, SIDE_TARGET, SIDE_REMOVE);
}

void folder_removed(struct tour *tour, struct tour_task *task)
{
    int result = task->life.result;
    if (result == -ENOENT) {
        folder_remove_next(tour, task);
    } else if (result < 0) {
        task->error = task->life.error;
        task_tell(tour, task, TOUR_FAILED, STEP_REMOVING);
    } else {
        tour->touched = task->own->touched = true;
        task_tell(tour, task, TOUR_REMOVED, STEP_REMOVING);
    }
}
