/* walk.c - a stack of open folders, each with a window of its names, and at its top the next thing
 * to tell. It does not know who hears of it, nor what becomes of what it tells. */
#include "haul/disk/walk.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/disk/descent.h"
#include "haul/disk/entry.h"
#include "haul/disk/evidence.h"
#include "haul/disk/file.h"
#include "haul/disk/listing.h"
#include "haul/disk/owners.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

/* Names that wait, of all folders together, and their texts. A folder's window takes at most half
 * of what is left, and where that is less than one name, the one that there is always room for. */
enum {
    ITEMS_MAX = 2 * WALK_WINDOW_MAX + 1,
    NAMES_BYTES = 1024 * 1024,
    NAME_BYTES = ENTRY_NAME_MAX + 1,
    OWNERS_MAX = 256,
    WORDS_BYTES = 256,
};

/* Long enough for many names, short enough for whoever waits to begin with the first. */
#define SLICE_NS       (20 * NS_PER_MS)
#define SLICE_EMPTY_NS NS_PER_SECOND

struct item {
    uint64_t inode;
    uint32_t name; /* where it is among the names */
    bool folder;   /* known to be one */
    bool known;    /* to be one, or none */
};

enum folder_state {
    FOLDER_LISTING, /* a new window is read */
    FOLDER_FILES,   /* its names are looked at in turn; those of folders stay */
    FOLDER_FOLDERS, /* those are entered in turn */
};

/* What a walk keeps of a folder beside what the descent does. */
struct folder {
    uint64_t filesystem;               /* statfs f_type */
    uint64_t cookie;                   /* where its next window begins */
    uint32_t items_first, names_first; /* of its window: from there to the end of all */
    uint32_t next;                     /* FILES: the item that is looked at next */
    enum folder_state state;
    bool ended;    /* there is no further window */
    bool complete; /* nothing was left out by a failure */
};

/* Numbers whose names were told; a new row begins when it is full, and they are told again. */
struct told {
    uint32_t ids[OWNERS_MAX];
    uint32_t count;
};

struct walk {
    struct walk_wish wish;
    uint64_t device, mount; /* where it began */
    bool begun, over;
    struct stat start; /* of what it begins at */

    struct folder *folders; /* one for each level of the descent */
    struct item *items;
    uint32_t items_count;
    char *names;
    uint32_t names_used;
    struct listing listing;
    struct told users, groups;

    /* What is told next. Their texts are in here, and in the descent's path. */
    struct entry pending[5];
    uint32_t pending_count, pending_next;
    char user[OWNER_NAME_BYTES], group[OWNER_NAME_BYTES];
    char text[ENTRY_TEXT_MAX + 1];

    struct descent descent;
};

static struct folder *walk_top(struct walk *walk)
{
    assert(walk->descent.depth > 0);
    return &walk->folders[walk->descent.depth - 1];
}

/* ---- what is told ---- */

static void tell(struct walk *walk, struct entry entry)
{
    assert(walk->pending_count < COUNT_OF(walk->pending));
    walk->pending[walk->pending_count++] = entry;
}

static bool told_before(struct told *told, uint32_t id)
{
    for (uint32_t i = told->count; i > 0; i--) {
        if (told->ids[i - 1] == id)
            return true;
    }
    if (told->count == OWNERS_MAX)
        told->count = 0;
    told->ids[told->count++] = id;
    return false;
}

static void tell_owner(struct walk *walk, enum owners_kind kind, uint32_t id, char *name)
{
    struct told *told = kind == OWNERS_USER ? &walk->users : &walk->groups;
    if (!walk->wish.owners || told_before(told, id))
        return;
    owners_name(walk->wish.owners, kind, id, name);
    if (name[0])
        tell(walk, (struct entry){
                       .type = kind == OWNERS_USER ? ENTRY_USER : ENTRY_GROUP,
                       .id = id,
                       .text = name,
                   });
}

static void tell_owners(struct walk *walk, const struct facts *facts)
{
    tell_owner(walk, OWNERS_USER, facts->uid, walk->user);
    tell_owner(walk, OWNERS_GROUP, facts->gid, walk->group);
}

/* `name` "": of the folder that we are in. */
static void tell_failure(struct walk *walk, const char *name, int errnum, const char *doing)
{
    snprintf(walk->text, sizeof(walk->text), "%s: %s", doing, strerror(errnum));
    tell(walk, (struct entry){
                   .type = ENTRY_ERROR,
                   .name = name,
                   .errnum = (uint32_t)errnum,
                   .text = walk->text,
               });
    if (errnum != ENOENT && walk->descent.depth > 0) /* what has just gone is missing in nothing */
        walk_top(walk)->complete = false;
}

/* ---- looking ---- */

/* What a name in the folder fd is. Its file system is the folder's unless something is mounted on
 * it, or devices are numbered by file (overlayfs), where the mount is not told. */
static int facts_of(const struct walk *walk, int fd, const char *name, const struct stat *st,
                    uint64_t mount, struct facts *facts)
{
    uint32_t depth = walk->descent.depth;
    const struct descent_level *top = depth > 0 ? &walk->descent.levels[depth - 1] : NULL;
    struct statfs fs = {0};
    file_facts_from_stat(facts, st);
    if (facts->size_bytes > FILE_BYTES_MAX)
        return -EFBIG;
    if (facts->kind != FILE_REGULAR)
        return 0;
    if (top && (mount == top->mount && (mount != 0 || st->st_dev == top->device))) {
        evidence_take_open(facts, fd, st, walk->folders[depth - 1].filesystem);
        return 0;
    }
    AUTO_CLOSE int fd_file = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd_file >= 0 && fstatfs(fd_file, &fs) == 0)
        evidence_take_open(facts, fd_file, st, (uint64_t)fs.f_type & UINT32_MAX);
    return 0;
}

static bool is_wished(const struct walk_wish *wish, enum file_kind kind)
{
    switch (kind) {
    case FILE_LINK:
        return wish->links;
    case FILE_DEVICE:
    case FILE_CHARACTER:
        return wish->devices;
    case FILE_FIFO:
    case FILE_SOCKET:
        return wish->specials;
    case FILE_FOLDER:
        return wish->recursive;
    default:
        return kind == FILE_REGULAR;
    }
}

/* Anything that is no folder, or not to be entered: `name` in the folder fd. */
static void walk_find(struct walk *walk, int fd, const char *name, const struct stat *st,
                      uint64_t mount)
{
    struct entry entry = {.type = ENTRY_FOUND, .name = name};
    int result = facts_of(walk, fd, name, st, mount, &entry.facts);
    if (result < 0) {
        tell_failure(walk, name, -result, "it cannot be copied");
        return;
    }
    if (!is_wished(&walk->wish, entry.facts.kind)) {
        entry.type = ENTRY_PAST;
        tell(walk, entry);
        return;
    }
    if (entry.facts.kind == FILE_LINK) {
        ssize_t length = readlinkat(fd, name, walk->text, sizeof(walk->text) - 1);
        if (length < 0) {
            tell_failure(walk, name, errno, "this symbolic link cannot be read");
            return;
        }
        walk->text[length] = '\0';
        entry.text = walk->text;
    }
    tell_owners(walk, &entry.facts);
    tell(walk, entry);
}

/* ---- entering and leaving ---- */

static void walk_push(struct walk *walk, int fd, const struct stat *st, uint64_t mount)
{
    struct statfs fs;
    listing_reset(&walk->listing);
    descent_enter(&walk->descent, fd, st, mount);
    *walk_top(walk) = (struct folder){
        .filesystem = fstatfs(fd, &fs) == 0 ? (uint64_t)fs.f_type & UINT32_MAX : 0,
        .items_first = walk->items_count,
        .names_first = walk->names_used,
        .complete = true,
    };
}

static void walk_leave(struct walk *walk)
{
    struct folder *top = walk_top(walk);
    assert(walk->items_count == top->items_first);
    tell(walk, (struct entry){.type = ENTRY_LEAVE, .complete = top->complete});
    listing_reset(&walk->listing);
    descent_leave(&walk->descent);
    walk->over = walk->descent.depth == 0;
}

/* A folder that is told and not entered. */
static void tell_closed(struct walk *walk, const char *name, const struct stat *st)
{
    struct entry entry = {.type = ENTRY_ENTER, .name = name};
    file_facts_from_stat(&entry.facts, st);
    tell_owners(walk, &entry.facts);
    tell(walk, entry);
}

/* errnum says why there is no descriptor of it. */
static void walk_not_entered(struct walk *walk, int fd_parent, const char *name, int errnum)
{
    struct stat st;
    uint64_t mount;
    int result = descent_look(fd_parent, name, &st, &mount);
    if (result == 0 && S_ISDIR(st.st_mode)) {
        tell_closed(walk, name, &st);
        snprintf(walk->text, sizeof(walk->text), "this folder cannot be opened: %s",
                 strerror(errnum));
        tell(walk,
             (struct entry){
                 .type = ENTRY_ERROR, .name = "", .errnum = (uint32_t)errnum, .text = walk->text});
        tell(walk, (struct entry){.type = ENTRY_LEAVE});
        return;
    }
    tell_failure(walk, name, result < 0 ? -result : errnum, "it was replaced meanwhile");
}

/* `name`, the last part of the path, was a folder when it was looked at. fd is it, or -errno. */
static void walk_enter(struct walk *walk, int fd_parent, const char *name, int fd)
{
    struct stat st;
    uint64_t mount;
    int result = fd < 0 ? fd : descent_look(fd, "", &st, &mount);
    if (result < 0) {
        walk_not_entered(walk, fd_parent, name, -result);
        if (fd >= 0)
            close(fd);
        return;
    }
    tell_closed(walk, name, &st);
    bool elsewhere = st.st_dev != walk->device || mount != walk->mount;
    if (walk->descent.depth > 0 && walk->wish.one_filesystem && elsewhere) {
        tell(walk, (struct entry){.type = ENTRY_LEAVE});
        close(fd);
        return;
    }
    walk_push(walk, fd, &st, mount);
}

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
        tell_failure(walk, "", ENAMETOOLONG, "a name in it cannot be told");
    if (result > 0)
        return listing_seek(&walk->listing, fd, top->cookie);
    top->ended = true;
    top->complete = top->complete && result == 0;
    return result == -ENOENT ? 0 : result; /* the folder was removed: it has no names any more */
}

static void walk_list(struct walk *walk)
{
    size_t count;
    struct folder *top = walk_top(walk);
    window_drop(walk);
    int result = window_read(walk);
    if (result < 0) {
        top->ended = true;
        tell_failure(walk, "", -result, "this folder cannot be listed");
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
        tell_failure(walk, walk->names + item->name, ENAMETOOLONG, "its path is too long");
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
        tell_failure(walk, name, -result, "it cannot be looked at");
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
    walk_enter(walk, fd_parent, name, fd < 0 ? -errno : fd);
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
        walk_enter(walk, fd_parent, name, place_reach(root, path, DESCENT_FLAGS));
    else
        walk_find(walk, fd_parent, name, &walk->start, walk->mount);
    walk->over = walk->descent.depth == 0;
}

static void walk_step(struct walk *walk, const struct place *root)
{
    if (!walk->begun) {
        walk_begin(walk, root);
        return;
    }
    struct folder *top = walk_top(walk);
    bool done = top->state == FOLDER_FOLDERS && walk->items_count == top->items_first && top->ended;
    descent_cut(&walk->descent);
    int result = done ? 0 : walk_regain(walk, root);
    if (result < 0) {
        tell_failure(walk, "", -result, "this folder cannot be opened again");
        top->complete = false;
        window_drop(walk);
        walk_leave(walk);
        return;
    }
    if (top->state == FOLDER_LISTING)
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

int walk_next(struct walk *walk, const struct place *root, struct bytes *out)
{
    uint64_t began_ns = clock_now_ns();
    while (walk_tell_pending(walk, out)) {
        if (walk->over)
            return 0;
        uint64_t slice_ns = out->length > 0 ? SLICE_NS : SLICE_EMPTY_NS;
        if (clock_now_ns() - began_ns >= slice_ns)
            return 1;
        walk_step(walk, root);
    }
    return 1;
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
    free(walk);
}
