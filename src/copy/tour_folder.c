/* tour_folder.c - folders of a tour: from their beginning to their attributes, which they get when
 * all in them is done; and what --delete takes out of them. */
#include "tour_state.h"

#include <stdlib.h>
#include <string.h>

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

/* It is never copied into itself, whatever the names say. */
static bool folder_is_target(const struct tour *tour, const struct facts *facts)
{
    const struct facts *target = &tour->start.target;
    const struct address *addresses = tour->config.run->addresses;
    uint64_t machine = facts->evidence.machine;
    bool one = address_same_machine(&addresses[SIDE_SOURCE], &addresses[SIDE_TARGET]) ||
               (machine != 0 && machine == target->evidence.machine);
    return target->kind == FILE_FOLDER && one && facts->device == target->device &&
           facts->inode == target->inode;
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

static void folder_free(struct tour *tour, struct tour_folder *folder)
{
    struct tour_folder *parent = folder->parent;
    free(folder->name);
    free(folder);
    tour->folders_count--;
    if (parent)
        folder_release(tour, parent);
}

/* All in it is done. */
static void folder_complete(struct tour *tour, struct tour_folder *folder)
{
    bool seen = folder->told || folder->fresh || !tour_looks(tour);
    bool nothing = folder->state == FOLDER_LOST || !folder->touched || tour->stopped ||
                   (tour->dry && seen) || tour->wish->tour.leaves_folders;
    if (folder->finished || nothing) {
        folder_free(tour, folder);
        return;
    }
    folder->finished = true;
    folder->next = tour->due;
    tour->due = folder;
}

void folder_release(struct tour *tour, struct tour_folder *folder)
{
    if (--folder->pending == 0 && folder->left)
        folder_complete(tour, folder);
}

void folder_leave(struct tour *tour)
{
    struct tour_folder *folder = tour->folder;
    tour->folder = folder->parent;
    folder->left = true;
    if (folder->pending == 0)
        folder_complete(tour, folder);
}
