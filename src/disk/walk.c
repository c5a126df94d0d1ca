/* walk.c - a stack of open folders, each with a window of its names, and at its top the next thing
 * to tell. It does not know who hears of it, nor what becomes of what it tells. */
#include "walk_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Long enough for many names, short enough for whoever waits to begin with the first. */
#define SLICE_NS       (20 * NS_PER_MS)
#define SLICE_EMPTY_NS NS_PER_SECOND

/* ---- folders that are entered ---- */

/* The folder on top may have been let go of. */
static int walk_regain(struct walk *walk, const struct place *root)
{
    const struct folder *top = walk_top(walk);
    int result = descent_regain(&walk->descent, root);
    if (result <= 0)
        return result;
    listing_reset(&walk->listing);
    return top->ended ? 0
                      : listing_seek(&walk->listing, descent_top(&walk->descent)->fd, top->cookie);
}

/* ---- windows ---- */

static void window_drop(struct walk *walk)
{
    const struct folder *top = walk_top(walk);
    walk->items_count = top->items_first;
    walk->names_used = top->names_first;
}

static int by_inode(const void *a, const void *b)
{
    const struct item *one = a, *other = b;
    return one->inode < other->inode ? -1 : one->inode > other->inode;
}

static int by_inode_down(const void *a, const void *b)
{
    return by_inode(b, a);
}

static int by_name(const void *a, const void *b)
{
    const struct item *one = a, *other = b;
    return one->name < other->name ? -1 : one->name > other->name;
}

/* The window's items, from its beginning. */
static struct item *window_items(struct walk *walk, size_t *count)
{
    uint32_t first = walk_top(walk)->items_first;
    *count = walk->items_count - first;
    return walk->items + first;
}

static void window_add(struct walk *walk, const struct listing_name *found)
{
    size_t bytes = strlen(found->name) + 1;
    memcpy(walk->names + walk->names_used, found->name, bytes);
    walk->items[walk->items_count++] = (struct item){
        .inode = found->inode,
        .name = walk->names_used,
        .folder = found->kind == FILE_FOLDER,
        .known = found->kind != FILE_NONE,
    };
    walk->names_used += num_u32(bytes);
}

/* Read names of the folder on top until its window is full, or there are no more: a negative number
 * is why. */
static int window_read(struct walk *walk)
{
    struct folder *top = walk_top(walk);
    struct listing_name found;
    int result, fd = descent_top(&walk->descent)->fd;
    bool odd = false;
    uint32_t items_left = ITEMS_MAX - 1 - top->items_first;
    uint32_t names_left = NAMES_BYTES - NAME_BYTES - top->names_first;
    uint32_t items_end = top->items_first + (uint32_t)clamp_u64(items_left / 2, 1, WALK_WINDOW_MAX);
    uint32_t names_end = top->names_first + names_left / 2;
    walk->listing.capacity = names_left / 2 < LISTING_BYTES ? LISTING_BYTES_MIN : LISTING_BYTES;
    while ((result = listing_next(&walk->listing, fd, &found)) > 0) {
        if (!entry_is_name(found.name) || strlen(found.name) > ENTRY_NAME_MAX) {
            odd = true;
            continue;
        }
        window_add(walk, &found);
        top->cookie = found.cookie;
        if (walk->items_count >= items_end || walk->names_used >= names_end)
            break;
    }
    if (odd && result >= 0) /* only a broken file system has such */
        walk_tell_failure(walk, "", ENAMETOOLONG, "a name in it cannot be told");
    if (result > 0)
        return listing_seek(&walk->listing, fd, top->cookie);
    top->ended = true;
    top->complete = top->complete && result == 0;
    return result; /* -ENOENT: the folder was removed */
}

static void walk_list(struct walk *walk)
{
    size_t count;
    struct folder *top = walk_top(walk);
    window_drop(walk);
    int result = window_read(walk);
    if (result < 0) {
        top->ended = true;
        walk_tell_failure(walk, "", -result, "this folder cannot be listed");
    }
    struct item *items = window_items(walk, &count);
    qsort(items, count, sizeof(*items), by_inode);
    top->next = top->items_first;
    top->state = FOLDER_FILES;
}

/* All were looked at: only the folders stay, the last of them first in order, and their names close
 * up. */
static void window_keep_folders(struct walk *walk)
{
    size_t count, kept = 0;
    struct item *items = window_items(walk, &count);
    uint32_t used = walk_top(walk)->names_first;
    for (size_t i = 0; i < count; i++) {
        if (items[i].folder)
            items[kept++] = items[i];
    }
    qsort(items, kept, sizeof(*items), by_name);
    for (size_t i = 0; i < kept; i++) {
        size_t bytes = strlen(walk->names + items[i].name) + 1;
        memmove(walk->names + used, walk->names + items[i].name, bytes);
        items[i].name = used;
        used += num_u32(bytes);
    }
    qsort(items, kept, sizeof(*items), by_inode_down);
    walk->names_used = used;
    walk->items_count = walk_top(walk)->items_first + num_u32(kept);
}

/* ---- one step ---- */

/* The next name of the window: told, or kept because it is a folder's. */
static void walk_look(struct walk *walk)
{
    struct folder *top = walk_top(walk);
    struct item *item = &walk->items[top->next++];
    struct stat st;
    uint64_t mount;
    const char *name = descent_add(&walk->descent, walk->names + item->name);
    if (!name) {
        walk_tell_failure(walk, walk->names + item->name, ENAMETOOLONG, "its path is too long");
        item->folder = false;
        return;
    }
    if (item->known && rules_hide(walk->wish.rules, walk->descent.path, item->folder)) {
        item->folder = false;
        return;
    }
    if (item->folder && walk->wish.recursive)
        return;
    int fd = descent_top(&walk->descent)->fd;
    int result = descent_look(fd, name, &st, &mount);
    bool folder = result == 0 && S_ISDIR(st.st_mode);
    bool asked = item->known && item->folder == folder;
    item->folder = false;
    if (result < 0)
        walk_tell_failure(walk, name, -result, "it cannot be looked at");
    else if (!asked && rules_hide(walk->wish.rules, walk->descent.path, folder))
        return;
    else if (folder && walk->wish.recursive)
        item->folder = true;
    else
        walk_find(walk, fd, name, &st, mount);
}

/* Its name is not needed any more when it is entered: a folder of one folder has no window. */
static void walk_descend(struct walk *walk)
{
    struct folder *top = walk_top(walk);
    const struct item *item = &walk->items[--walk->items_count];
    const char *name = descent_add(&walk->descent, walk->names + item->name);
    assert(name); /* it was looked at */
    if (walk->items_count == top->items_first)
        window_drop(walk);
    int fd_parent = descent_top(&walk->descent)->fd;
    int fd = openat(fd_parent, name, DESCENT_FLAGS);
    (void)walk_enter(walk, fd_parent, name, fd < 0 ? -errno : fd, true);
}

static void walk_begin(struct walk *walk, const struct place *root)
{
    const char *path = walk->descent.path, *name = place_name(path);
    bool folder = S_ISDIR(walk->start.st_mode);
    walk->begun = walk->over = true;
    if (rules_hide(walk->wish.rules, path, folder))
        return;
    AUTO_CLOSE int fd_parent =
        *name ? place_reach_folder(root, path, O_PATH) : place_reach(root, "", O_PATH);
    if (folder && walk->wish.recursive)
        (void)walk_enter(walk, fd_parent, name, place_reach(root, path, DESCENT_FLAGS), true);
    else
        walk_find(walk, fd_parent, name, &walk->start, walk->mount);
    walk->over = walk->descent.depth == 0;
}

static void walk_step(struct walk *walk, const struct place *root)
{
    if (!walk->begun) {
        if (walk->wish.listed)
            listed_begin(walk, root);
        else
            walk_begin(walk, root);
        return;
    }
    struct folder *top = walk_top(walk);
    bool done = top->state == FOLDER_FOLDERS && walk->items_count == top->items_first && top->ended;
    descent_cut(&walk->descent);
    int result = done ? 0 : walk_regain(walk, root);
    if (result < 0) {
        walk_tell_failure(walk, "", -result, "this folder cannot be opened again");
        top->complete = false;
        window_drop(walk);
        walk_leave(walk);
        return;
    }
    if (top->state == FOLDER_LISTED)
        listed_step(walk, root);
    else if (top->state == FOLDER_LISTING)
        walk_list(walk);
    else if (top->state == FOLDER_FILES && top->next < walk->items_count)
        walk_look(walk);
    else if (top->state == FOLDER_FILES) {
        window_keep_folders(walk);
        top->state = FOLDER_FOLDERS;
    } else if (walk->items_count > top->items_first)
        walk_descend(walk);
    else if (done)
        walk_leave(walk);
    else
        top->state = FOLDER_LISTING;
}

/* false: the buffer is full. */
static bool walk_tell_pending(struct walk *walk, struct bytes *out)
{
    while (walk->pending_next < walk->pending_count) {
        if (!entry_pack(out, &walk->pending[walk->pending_next]))
            return false;
        walk->pending_next++;
    }
    walk->pending_count = walk->pending_next = 0;
    return true;
}

enum walk_next walk_next(struct walk *walk, const struct place *root, struct bytes *out)
{
    uint64_t began_ns = clock_now_ns();
    while (walk_tell_pending(walk, out)) {
        if (walk->over)
            return WALK_OVER;
        if (listed_waits(walk))
            return WALK_NAMES;
        uint64_t slice_ns = out->length > 0 ? SLICE_NS : SLICE_EMPTY_NS;
        if (clock_now_ns() - began_ns >= slice_ns)
            return WALK_ON;
        walk_step(walk, root);
    }
    return WALK_ON;
}

static int walk_prepare(struct walk *walk, const struct place *root, const char *path)
{
    AUTO_CLOSE int fd = -1;
    walk->folders = calloc(DESCENT_DEPTH_MAX, sizeof(*walk->folders)); /* no page is touched */
    walk->items = calloc(ITEMS_MAX, sizeof(*walk->items));
    walk->names = malloc(NAMES_BYTES);
    walk->listing.buffer = malloc(LISTING_BYTES);
    int result = descent_open(&walk->descent, path);
    if (result < 0 || !walk->folders || !walk->items || !walk->names || !walk->listing.buffer)
        return result < 0 ? result : -ENOMEM;
    result = place_look_open(root, path, &walk->start, &fd);
    if (result == 0)
        result = descent_look(fd, "", &walk->start, &walk->mount);
    walk->device = walk->start.st_dev;
    if (result == 0 && walk->wish.listed && (*path || !S_ISDIR(walk->start.st_mode)))
        result = -ENOTDIR;
    return result;
}

int walk_open(struct walk **out, const struct walk_wish *wish, const struct place *root,
              const char *path, struct error *err)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    int result = -ENOMEM;
    if (walk) {
        walk->wish = *wish;
        result = walk_prepare(walk, root, path);
    }
    if (result == 0) {
        *out = walk;
        return 0;
    }
    walk_close(walk);
    const char *prefix = place_prefix(root);
    if (result == -ENOENT)
        return error_set_class(err, ERROR_VANISHED, ENOENT, "%s%s: there is no such file or folder",
                               prefix, path);
    return error_set(err, -result, "%s%s: cannot be looked at", prefix, path);
}

void walk_close(struct walk *walk)
{
    if (!walk)
        return;
    descent_close(&walk->descent);
    free(walk->folders);
    free(walk->items);
    free(walk->names);
    free(walk->listing.buffer);
    free(walk->listed.bytes);
    free(walk);
}
