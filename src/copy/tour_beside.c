/* tour_beside.c - what a source calls as haul calls what it keeps beside a file at the target: its
 * journal, or what is not renamed yet. Where a source brings that file, too, one would be written
 * over by the other, or removed with it; so only the file is copied. */
#include "tour_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void beside_fail(struct tour *tour, struct tour_task *task, const struct error *err)
{
    free(task->gone);
    task->gone = NULL;
    task_lost(tour, task);
    task_fail(tour, task, err);
}

static void beside_refuse(struct tour *tour, struct tour_task *task)
{
    ERROR_UNSET(err);
    AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_TARGET].path, task->path);
    error_set_class(&err, ERROR_FILE, EEXIST,
                    "%s: is left out: haul may need this name for what it keeps beside %s",
                    shown ? shown : task->path,
                    task->gone ? place_name(task->gone) : "a file of a long name");
    beside_fail(tour, task, &err);
}

/* What `path` would be beside, or NULL: nothing, or there is no memory. */
static char *beside_owner(const char *path)
{
    const char *name = place_name(path);
    size_t length, before = (size_t)(name - path);
    if (!beside_is_name(name, &length) || length == 0)
        return NULL;
    char *owner = strndup(path, before + length);
    if (owner)
        memcpy(owner + before, name + 1, length);
    return owner;
}

/* The sources, of one file after another: there may be a journal of what is not renamed yet. */
static bool beside_ask(struct tour *tour, struct tour_task *task)
{
    enum sources_asked asked;
    while (task->gone && (asked = task_ask_sources(tour, task, STEP_OWNING)) != SOURCES_ASKED) {
        if (asked == SOURCES_NAMED) {
            beside_refuse(tour, task);
            return true;
        }
        AUTO_FREE char *path = task->gone;
        task->gone = beside_owner(path);
        task->spellings = 0;
    }
    task->alone = !task->gone;
    return !task->alone;
}

bool task_is_beside(struct tour *tour, struct tour_task *task)
{
    size_t length;
    if (task->own || task->alone || !beside_is_name(place_name(task->path), &length))
        return false;
    task->gone = beside_owner(task->path);
    task->spellings = 0;
    if (task->gone)
        return beside_ask(tour, task);
    beside_refuse(tour, task); /* its name is too long to be read from here */
    return true;
}

bool task_owned(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    if (life->result < 0 && life->result != -ENOTDIR)
        beside_fail(tour, task, life->error);
    else if (task_source_has_it(tour, task))
        beside_refuse(tour, task);
    else
        return !beside_ask(tour, task);
    return false;
}
