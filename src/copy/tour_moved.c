/* tour_moved.c - --remove-source-files: what has left its source has its only copy at the target.
 * Where another source, or --delete, could come upon that name, it is noted before it is written,
 * for all tours of a run: by a digest of its path, in a temporary file. And, moved or not, of
 * several sources that have a name one counts, as with rsync: what the others have is left out. */
#include "tour_state.h"

#include "haul/base/hash.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/rules.h"
#include "haul/base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the place of a source's number: it is a folder on the way to such a name. */
static const uint32_t moved_on_the_way = UINT32_MAX;

void tour_key(const char *path, uint64_t key[2])
{
    const struct digest digest = digest_of(path, strlen(path));
    memcpy(key, digest.bytes, sizeof(digest.bytes));
}

int tour_moved_add(struct spill *moved, const char *path, uint32_t source, struct error *err)
{
    uint64_t key[2];
    tour_key(path, key);
    int result = spill_put(moved, key, &source, sizeof(source));
    return result == 0 ? 0
                       : error_set(err, -result,
                                   "%s: stays at the source: that it is at the target alone cannot "
                                   "be noted in a temporary file (TMPDIR, or /var/tmp)",
                                   path);
}

/* 1: it was noted, and what for; 0: it was not. -errno. */
static int moved_find(const struct tour *tour, const char *path, uint32_t *source)
{
    uint64_t key[2];
    if (!tour->config.moved)
        return 0;
    tour_key(path, key);
    int result = spill_get(tour->config.moved, key, source, sizeof(*source));
    return result > 0 ? 1 : result;
}

bool moved_holds(const struct tour *tour, const char *path)
{
    uint32_t source;
    return moved_find(tour, path, &source) != 0;
}

/* ---- what is brought ---- */

void moved_begin(struct tour *tour)
{
    const struct tour_start *start = &tour->start;
    while (tour->source < start->sources_count &&
           start->sources[tour->source].root.number != start->roots[SIDE_SOURCE].number)
        tour->source++;
    for (uint32_t i = 0; i < start->sources_count; i++)
        tour->shares |= i != tour->source && (start->path[0] == '\0' ||
                                              text_path_holds(start->sources[i].name, start->path));
}

/* The next of the other trees that may bring this name; NULL: no more does. */
static const struct tour_source *other_source(const struct tour *tour, struct tour_task *task)
{
    const struct tour_start *start = &tour->start;
    while (tour->shares && !task->own && task->asked < start->sources_count) {
        const struct tour_source *source = &start->sources[task->asked++];
        if (source->root.number != 0 && source->root.number != start->roots[SIDE_SOURCE].number &&
            text_path_holds(source->name, task->path))
            return source;
    }
    return NULL;
}

enum sources_asked task_ask_sources(struct tour *tour, struct tour_task *task, enum tour_step step)
{
    const struct tour_start *start = &tour->start;
    const struct job_root *root = task->spellings == 0 ? &start->roots[SIDE_SOURCE] : NULL;
    while (!root && task->spellings <= start->sources_count) {
        const struct tour_source *source = &start->sources[task->spellings++ - 1];
        bool brings = source->root.number != start->roots[SIDE_SOURCE].number &&
                      text_path_holds(source->name, task->gone);
        if (brings && source->root.number == 0 && strcmp(source->name, task->gone) == 0)
            return SOURCES_NAMED;
        root = brings && source->root.number > 0 ? &source->root : NULL;
    }
    if (!root)
        return SOURCES_HAVE_IT_NOT;
    task->spellings += task->spellings == 0;
    task->call = (struct life_call){.bytes = NULL};
    task_call(tour, task, step, SIDE_SOURCE, SIDE_DESCRIBE);
    task->life.job.roots[SIDE_SOURCE] = *root;
    return SOURCES_ASKED;
}

bool task_source_has_it(const struct tour *tour, const struct tour_task *task)
{
    const struct life *life = &task->life;
    enum file_kind kind = life->result == 0 ? life->job.facts[SIDE_SOURCE].kind : FILE_NONE;
    return kind != FILE_NONE &&
           !rules_hide(tour->wish->tour.rules, task->gone, kind == FILE_FOLDER);
}

/* The folders on the way first: none of them may go either. */
static int moved_note(const struct tour *tour, const struct tour_task *task, struct error *err)
{
    int result = 0;
    for (struct tour_folder *at = task->folder; at && !at->holds && result == 0; at = at->parent) {
        char *path = at->name[0] ? folder_path(at->parent, at->name) : NULL;
        if (path)
            result = tour_moved_add(tour->config.moved, path, moved_on_the_way, err);
        else if (at->name[0])
            result = error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a name");
        at->holds = result == 0;
        free(path);
    }
    return result < 0 ? result : tour_moved_add(tour->config.moved, task->path, tour->source, err);
}

static void task_stays(struct tour *tour, struct tour_task *task, const struct job_root *other)
{
    if (tour->wish->tour.remove_source)
        log_note("%s: stays at the source: %s has this name, too, and counts", task->path,
                 other->path);
    task_lost(tour, task);
    task_end(tour, task);
}

/* Has it ended, since what is there would be written over? Files that are named count before
 * trees. */
static bool task_spoils(struct tour *tour, struct tour_task *task)
{
    const struct tour_start *start = &tour->start;
    ERROR_UNSET(err);
    uint32_t source = 0;
    int result = moved_find(tour, task->path, &source);
    bool folder = source == moved_on_the_way;
    if (result == 0 || (result > 0 && (folder ? task->own != NULL : source == tour->source)))
        return false;
    if (result > 0 && source < start->sources_count && !task->own &&
        start->sources[source].root.number == 0) {
        task_stays(tour, task, &start->sources[source].root);
        return true;
    }
    if (result < 0)
        error_set(&err, -result, "%s: whether it was moved cannot be read back", task->path);
    else
        error_set_class(&err, ERROR_FILE, EEXIST,
                        "%s: is left out: %s at the target leaves another source, and would be "
                        "lost",
                        task->path, folder ? "what is in a folder of this name" : "what is there");
    task_lost(tour, task);
    task_fail(tour, task, &err);
    return true;
}

bool task_claim(struct tour *tour, struct tour_task *task)
{
    const struct tour_wish *wish = &tour->wish->tour;
    ERROR_UNSET(err);
    bool leaves = wish->remove_source && tour->config.moved && !task->own;
    bool noted = leaves && !tour->dry && (tour->shares || wish->delete || wish->force);
    const struct tour_source *other = other_source(tour, task);
    if (other) {
        task->call = (struct life_call){.bytes = NULL};
        task_call(tour, task, STEP_YIELDING, SIDE_SOURCE, SIDE_DESCRIBE);
        task->life.job.roots[SIDE_SOURCE] = other->root;
        return false;
    }
    if (task_spoils(tour, task))
        return false;
    if (!noted || moved_note(tour, task, &err) == 0)
        return true;
    task_lost(tour, task);
    task_fail(tour, task, &err);
    return false;
}

/* Of the sources that have a name the first one on the command line counts, whose tour is the last
 * of theirs; but a folder before all that is none. */
bool task_yields(struct tour *tour, struct tour_task *task)
{
    const struct life *life = &task->life;
    enum file_kind kind = life->result == 0 ? life->job.facts[SIDE_SOURCE].kind : FILE_NONE;
    bool counts = task->asked - 1 > tour->source || kind == FILE_FOLDER;
    /* What is no folder there has nothing in it. */
    if (life->result < 0 && life->result != -ENOTDIR && tour->wish->tour.remove_source) {
        task_lost(tour, task);
        task_fail(tour, task, life->error);
        return true;
    }
    if (kind == FILE_NONE || !counts ||
        rules_hide(tour->wish->tour.rules, task->path, kind == FILE_FOLDER))
        return false;
    task_stays(tour, task, &life->job.roots[SIDE_SOURCE]);
    return true;
}
