/* tour_spelled.c - a name of the source meets something at the target that is called otherwise
 * there, in a folder that takes both names for one. If a source has that other name, too, it is
 * another one's, and stays; else it is an older spelling of this one, and has its place: of the
 * first one that comes, in all tours of a run, which is noted in a temporary file. */
#include "tour_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/rules.h"
#include "haul/base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void spelled_end(struct tour_task *task)
{
    free(task->gone);
    task->gone = NULL;
}

static void spelled_fail(struct tour *tour, struct tour_task *task, const struct error *err)
{
    spelled_end(task);
    task_lost(tour, task);
    task_fail(tour, task, err);
}

/* It is there, for both of them. `whose` completes the sentence. */
static void spelled_refuse(struct tour *tour, struct tour_task *task, const char *whose)
{
    ERROR_UNSET(err);
    AUTO_FREE char *shown = text_join_path(tour->start.roots[SIDE_TARGET].path, task->path);
    const char *listed = task->gone ? strrchr(task->gone, '/') : NULL;
    listed = listed ? listed + 1 : task->gone;
    if (listed)
        error_set_class(&err, ERROR_FILE, ENOTUNIQ,
                        "%s: is left out: its folder takes it for %s, which %s",
                        shown ? shown : task->path, listed, whose);
    else
        error_set_class(&err, ERROR_FILE, ENOTUNIQ,
                        "%s: is left out: its folder takes it for another name, which it does not "
                        "tell",
                        shown ? shown : task->path);
    spelled_fail(tour, task, &err);
}

/* --delete has found that no source has the other name, and is about to take it away. */
static bool spelled_goes(const struct tour *tour, const char *path)
{
    size_t length = strlen(path);
    for (uint32_t i = 0; i < tour->tasks_used; i++) {
        const struct tour_task *task = &tour->tasks[i];
        bool removes = task->step == STEP_REMOVING || (task->removal && task->removal->depth > 0);
        if (removes && task->gone && strncmp(task->gone, path, length) == 0 &&
            (task->gone[length] == '\0' || task->gone[length] == '/'))
            return true;
    }
    return false;
}

/* 1: it is this one's from now on, or was before; 0: another one's, which came first. -errno with
 * words. */
static int spelled_claim(const struct tour *tour, const struct tour_task *task, struct error *err)
{
    uint64_t key[2], own[2], first[2];
    tour_key(task->gone, key);
    tour_key(task->path, own);
    int result = spill_get(tour->config.spelled, key, first, sizeof(first));
    if (result > 0)
        return memcmp(first, own, sizeof(own)) == 0;
    if (result == 0)
        result = spill_put(tour->config.spelled, key, own, sizeof(own));
    return result == 0 ? 1
                       : error_set(err, -result,
                                   "%s: is left out: that its folder takes it for %s cannot be "
                                   "noted in a temporary file (TMPDIR, or /var/tmp)",
                                   task->path, task->gone);
}

/* No source has it: it is this one's, and --delete leaves it. */
static bool spelled_take(struct tour *tour, struct tour_task *task)
{
    ERROR_UNSET(err);
    struct spill *moved = tour->config.moved;
    int claimed = spelled_claim(tour, task, &err);
    if (claimed == 0)
        spelled_refuse(tour, task, "another name of the source has got");
    else if (claimed < 0)
        spelled_fail(tour, task, &err);
    if (claimed <= 0)
        return false;
    AUTO_FREE char *path = task->gone;
    task->gone = NULL;
    bool deletes = !tour->dry && tour->wish->tour.delete;
    task->spelled = !deletes || !spelled_goes(tour, path); /* else it is looked for once more */
    if (!task->spelled || !deletes || tour_moved_add(moved, path, tour->source, &err) == 0)
        return true;
    spelled_fail(tour, task, &err);
    return false;
}

static bool spelled_ask(struct tour *tour, struct tour_task *task)
{
    switch (task_ask_sources(tour, task, STEP_SPELLING)) {
    case SOURCES_NAMED:
        spelled_refuse(tour, task, "another source has, too");
        return false;
    case SOURCES_HAVE_IT_NOT:
        return spelled_take(tour, task);
    default:
        return false;
    }
}

bool task_is_spelled_otherwise(const struct tour_task *task)
{
    bool asks =
        task->step == STEP_COPYING || task->step == STEP_MAKING || task->step == STEP_LOOKING;
    return asks && task->life.result == -ENOTUNIQ;
}

bool task_ask_spelling(struct tour *tour, struct tour_task *task)
{
    const char *listed = task->life.error->text;
    bool good = listed[0] != '\0' && !strchr(listed, '/');
    task->gone = good ? folder_path(task->folder, listed) : NULL;
    task->spellings = 0;
    if (task->gone)
        return spelled_ask(tour, task);
    spelled_refuse(tour, task, "");
    return false;
}

/* A source's own folder may take both for one, too: then it is the same file. */
bool task_spelled(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    const struct facts *found = &life->job.facts[SIDE_SOURCE];
    bool own = life->job.roots[SIDE_SOURCE].number == tour->start.roots[SIDE_SOURCE].number;
    bool same = own && found->device == task->facts.device && found->inode == task->facts.inode;
    if (life->result < 0 && life->result != -ENOTDIR)
        spelled_fail(tour, task, life->error);
    else if (life->result < 0 || found->kind == FILE_NONE || same ||
             rules_hide(tour->wish->tour.rules, task->gone, found->kind == FILE_FOLDER))
        return spelled_ask(tour, task);
    else
        spelled_refuse(tour, task, own ? "the source has, too" : "another source has, too");
    return false;
}
