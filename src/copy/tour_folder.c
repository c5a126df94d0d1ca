/* tour_folder.c - folders of a tour: from their beginning to their attributes, which they get when
 * all in them is done; and what --delete takes out of them. */
#include "tour_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- paths ---- */

char *folder_path(const struct tour_folder *folder, const char *name)
{
    size_t length = strlen(name);
    for (const struct tour_folder *at = folder; at; at = at->parent)
        length += at->name[0] ? strlen(at->name) + 1 : 0;
    char *path = malloc(length + 1);
    if (!path)
        return NULL;
    char *end = path + length;
    size_t part = strlen(name);
    *end = '\0';
    end -= part;
    memcpy(end, name, part);
    for (const struct tour_folder *at = folder; at; at = at->parent) {
        part = strlen(at->name);
        if (part == 0)
            continue;
        *--end = '/';
        end -= part;
        memcpy(end, at->name, part);
    }
    return path;
}

/* ---- from ENTER to LEAVE and on ---- */

bool folder_keeps_mode(const struct tour *tour)
{
    return tour->wish->attributes[ATTRIBUTE_MODE] == ATTRIBUTE_LEAVE && !tour->dry;
}

bool folder_is_at_target(const struct tour *tour, const struct facts *facts)
{
    const struct address *addresses = tour->config.run->addresses;
    uint64_t machine = facts->evidence.machine;
    return address_same_machine(&addresses[SIDE_SOURCE], &addresses[SIDE_TARGET]) ||
           (machine != 0 && machine == tour->start.target.evidence.machine);
}

/* It is never copied into itself, whatever the names say. */
static bool folder_is_target(const struct tour *tour, const struct facts *facts)
{
    const struct facts *target = &tour->start.target;
    return target->kind == FILE_FOLDER && folder_is_at_target(tour, facts) &&
           facts->device == target->device && facts->inode == target->inode;
}

struct tour_folder *folder_enter(struct tour *tour, const struct entry *entry)
{
    struct tour_folder *folder = calloc(1, sizeof(*folder));
    char *name = strdup(entry->name);
    if (!folder || !name) {
        free(folder);
        free(name);
        return NULL;
    }
    *folder = (struct tour_folder){
        .parent = tour->folder,
        .name = name,
        .facts = entry->facts,
        .whole = entry->complete,
        .pending = 1, /* the task that makes it */
        .state = folder_is_target(tour, &entry->facts) ? FOLDER_LOST : FOLDER_MAKING,
    };
    if (folder->parent)
        folder->parent->pending++;
    tour->folder = folder;
    tour->folders_count++;
    return folder;
}

void folder_free_texts(struct tour_folder *folder)
{
    free((char *)folder->first.path);
    free(folder->name);
}

static void folder_free(struct tour *tour, struct tour_folder *folder)
{
    struct tour_folder *parent = folder->parent;
    folder_free_texts(folder);
    free(folder);
    tour->folders_count--;
    if (parent)
        folder_release(tour, parent);
}

static bool folder_needs_nothing(const struct tour *tour, const struct tour_folder *folder)
{
    bool seen = folder->told || folder->fresh || !tour_looks(tour);
    return folder->finished || folder->state == FOLDER_LOST || !folder->touched || tour->stopped ||
           (tour->dry && seen) || tour->wish->tour.leaves_folders;
}

/* Is all in it done, or does it need not wait for the rest? */
static void folder_look(struct tour *tour, struct tour_folder *folder)
{
    if (!folder->left || folder->pending > folder->ahead)
        return;
    bool nothing = folder_needs_nothing(tour, folder);
    if (nothing && folder->pending == 0)
        folder_free(tour, folder);
    if (nothing)
        return;
    folder->finished = true;
    folder->pending++; /* what finishes it */
    folder->next = tour->due;
    tour->due = folder;
}

void folder_release(struct tour *tour, struct tour_folder *folder)
{
    folder->pending--;
    folder_look(tour, folder);
}

/* Over a line that would be a round trip for each level, at the end of a run. Who may not search it
 * any more when it is finished does not reach what is in it. */
void folder_send_ahead(struct tour *tour, struct tour_folder *folder, struct tour_task *task)
{
    if (!folder || !tour_sends_ahead(tour) || !(folder->facts.mode & S_IXUSR))
        return;
    task->ahead = true;
    folder->ahead += 2; /* it, and its folder */
    folder_look(tour, folder);
}

void folder_catch_up(struct tour_folder *folder, struct tour_task *task)
{
    if (task->ahead)
        folder->ahead -= 2;
    task->ahead = false;
}

void folder_leave(struct tour *tour)
{
    struct tour_folder *folder = tour->folder;
    tour->folder = folder->parent;
    folder->left = true;
    folder_look(tour, folder);
}
