/* beneath.c - by names, since from a mount no way leads up to the folders above what is mounted:
 * its place in its file system is looked for in all other mounts of that, and then the folder in
 * what leads to it there. What names say is only believed where it is the same inode. */
#include "haul/disk/beneath.h"

#include "haul/base/cleanup.h"
#include "haul/base/proc.h"
#include "haul/base/text.h"
#include "haul/disk/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct mounted {
    char *line; /* owned; the rest are parts of it */
    struct mountinfo is;
};

struct search {
    struct mounted *mounts;
    size_t mounts_count;
    dev_t device; /* the folder */
    ino_t inode;
    char **places;
    size_t places_count;
};

static void search_close(struct search *search)
{
    for (size_t i = 0; i < search->mounts_count; i++)
        free(search->mounts[i].line);
    free(search->mounts);
    beneath_free(search->places);
}

void beneath_free(char **places)
{
    for (char **at = places; at && *at; at++)
        free(*at);
    free(places);
}

/* One more, at the end; the room is doubled at each power of two. */
static bool make_room(void **items, size_t count, size_t item_bytes)
{
    if (count & (count - 1))
        return true;
    void *more = realloc(*items, (count > 0 ? 2 * count : 1) * item_bytes);
    *items = more ? more : *items;
    return more != NULL;
}

static int search_add_mount(struct search *search, const char *line)
{
    void *items = search->mounts;
    bool room = make_room(&items, search->mounts_count, sizeof(*search->mounts));
    search->mounts = items;
    char *copy = room ? strdup(line) : NULL;
    if (!copy)
        return -ENOMEM;
    struct mounted *mounted = &search->mounts[search->mounts_count];
    mounted->line = copy;
    if (mountinfo_take(copy, &mounted->is))
        search->mounts_count++;
    else
        free(copy);
    return 0;
}

static int search_read_mounts(struct search *search)
{
    AUTO_PROC_LINES(lines, PROC_LINE_BYTES);
    int result = 0;
    if (proc_lines_open(&lines, "", "/proc/self/mountinfo") != 0)
        return 0;
    for (char *line = proc_lines_next(&lines); line && result == 0; line = proc_lines_next(&lines))
        result = search_add_mount(search, line);
    return result;
}

/* "" for the root of all, so that what is beneath it begins with a slash. */
static const char *as_folder(const char *path)
{
    return strcmp(path, "/") == 0 ? "" : path;
}

/* To be freed; NULL: no memory. */
static char *joined(const char *folder, const char *rest)
{
    size_t room = strlen(folder) + strlen(rest) + 1;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s%s", folder, rest);
    return path;
}

/* What of the path is beneath the folder, and not the folder itself; NULL: it is not in it. */
static const char *rest_beneath(const struct search *search, const char *path)
{
    AUTO_FREE char *above = strdup(path);
    char *slash;
    while (above && (slash = strrchr(above, '/')) != NULL) {
        struct stat st;
        *slash = '\0';
        if (stat(above[0] ? above : "/", &st) == 0 && st.st_dev == search->device &&
            st.st_ino == search->inode)
            return path[slash - above + 1] ? path + (slash - above) + 1 : NULL;
    }
    return NULL;
}

static int search_add_place(struct search *search, const char *place)
{
    void *items = search->places;
    for (size_t i = 0; i < search->places_count; i++)
        if (strcmp(search->places[i], place) == 0)
            return 0;
    bool room = make_room(&items, search->places_count + 1, sizeof(*search->places));
    search->places = items;
    char *copy = room ? strdup(place) : NULL;
    if (!copy)
        return -ENOMEM;
    search->places[search->places_count++] = copy;
    search->places[search->places_count] = NULL;
    return 0;
}

/* `there` may be what `path` is. */
static int search_look(struct search *search, const char *path, const char *there)
{
    struct stat st, other;
    const char *place = rest_beneath(search, there);
    bool same = place && stat(path, &st) == 0 && stat(there, &other) == 0 &&
                st.st_dev == other.st_dev && st.st_ino == other.st_ino;
    return same ? search_add_place(search, place) : 0;
}

/* `path` is reached by this mount: where else is it? */
static int search_mounts_of(struct search *search, const char *path, const struct mountinfo *by)
{
    AUTO_FREE char *within = joined(as_folder(by->root), path + strlen(as_folder(by->point)));
    int result = within ? 0 : -ENOMEM;
    for (size_t i = 0; i < search->mounts_count && result == 0; i++) {
        const struct mountinfo *other = &search->mounts[i].is;
        const char *root = as_folder(other->root);
        if (strcmp(other->device, by->device) != 0 || !text_path_holds(root, within))
            continue;
        AUTO_FREE char *there = joined(as_folder(other->point), within + strlen(root));
        result = there ? search_look(search, path, there) : -ENOMEM;
    }
    return result;
}

/* Of several at one place the last one is seen. */
static const struct mountinfo *mount_of(const struct search *search, const char *path)
{
    const struct mountinfo *best = NULL;
    for (size_t i = 0; i < search->mounts_count; i++) {
        const struct mountinfo *mount = &search->mounts[i].is;
        if (text_path_holds(as_folder(mount->point), path) &&
            (!best || strlen(mount->point) >= strlen(best->point)))
            best = mount;
    }
    return best;
}

static int search_run(struct search *search, const char *path, bool crosses)
{
    const struct mountinfo *own = mount_of(search, path);
    int result = search_look(search, path, path);
    if (result == 0 && own)
        result = search_mounts_of(search, path, own);
    for (size_t i = 0; crosses && i < search->mounts_count && result == 0; i++) {
        const struct mountinfo *mount = &search->mounts[i].is;
        if (text_path_holds(as_folder(path), mount->point) && strcmp(path, mount->point) != 0)
            result = search_mounts_of(search, mount->point, mount);
    }
    return result;
}

int beneath_by_name(const char *path, const char *folder, char ***places)
{
    struct search search = {.places_count = 0};
    size_t length = strlen(folder), end = strlen(path);
    while (length > 0 && folder[length - 1] == '/')
        length--;
    while (end > 0 && path[end - 1] == '/')
        end--;
    *places = NULL;
    if (end <= length || strncmp(path, folder, length) != 0 || path[length] != '/')
        return 0;
    AUTO_FREE char *rest = strndup(path + length, end - length);
    int result = rest ? search_add_place(&search, rest + strspn(rest, "/")) : -ENOMEM;
    *places = search.places;
    return result;
}

int beneath_find(const char *path, bool crosses, dev_t device, ino_t inode, char ***places)
{
    struct search search = {.device = device, .inode = inode};
    AUTO_FREE char *real = realpath(path, NULL);
    *places = NULL;
    if (!real)
        return errno == ENOMEM ? -ENOMEM : 0;
    int result = search_read_mounts(&search);
    if (result == 0)
        result = search_run(&search, real, crosses);
    if (result == 0) {
        *places = search.places;
        search.places = NULL;
    }
    search_close(&search);
    return result;
}
