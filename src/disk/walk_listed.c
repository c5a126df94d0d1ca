/* walk_listed.c - a walk of what is named: down to each name in turn, and up as far as the next one
 * needs it. The list is sorted, so each folder on the way is entered once. */
#include "walk_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

/* "" comes first, or not at all: it is not found beneath itself. */
static bool listed_makes_sense(const struct walk *walk, struct bytes in)
{
    const char *path;
    bool content;
    int result;
    for (bool first = !walk->begun; (result = names_unpack(&in, &path, &content)) > 0;
         first = false) {
        if (!entry_is_path(path) || (!*path && !first))
            return false;
    }
    return result == 0;
}

int walk_names(struct walk *walk, const uint8_t *bytes, uint32_t length, struct error *err)
{
    struct listed *listed = &walk->listed;
    if (!walk->wish.listed || !listed_waits(walk) ||
        !listed_makes_sense(walk, bytes_reader(bytes, length)))
        return error_set_class(err, ERROR_PROTOCOL, EPROTO, "names of a walk that make no sense");
    uint8_t *copied = length > 0 ? malloc(length) : NULL;
    if (length > 0 && !copied)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the names of a walk");
    if (length > 0)
        memcpy(copied, bytes, length);
    free(listed->bytes);
    listed->bytes = copied;
    listed->in = bytes_reader(copied, length);
    listed->ended = length == 0;
    return 0;
}

bool listed_waits(struct walk *walk)
{
    struct listed *listed = &walk->listed;
    bool asks = walk->wish.listed && (!walk->begun || walk_top(walk)->state == FOLDER_LISTED);
    if (!asks || listed->path || listed->ended)
        return false;
    return names_unpack(&listed->in, &listed->path, &listed->content) <= 0;
}

/* ---- the next name ---- */

/* What of it is beneath the folder on top. NULL: it is elsewhere, or there is none. */
static const char *listed_rest(const struct walk *walk)
{
    const char *path = walk->listed.path;
    size_t length = walk->descent.path_length;
    if (!path || length == 0)
        return path;
    return strncmp(path, walk->descent.path, length) == 0 && path[length] == '/' ? path + length + 1
                                                                                 : NULL;
}

static const char listed_words[] = "it is in the list, and cannot be looked at";

/* Who asked for it shall hear of it by its whole name, where that is short enough to be told. */
static void listed_fail(struct walk *walk, const char *rest, int errnum, const char *doing)
{
    char *name = walk->failed;
    size_t length = strlen(rest) <= ENTRY_NAME_MAX ? strlen(rest) : strcspn(rest, "/");
    memcpy(name, rest, length);
    name[length] = '\0';
    walk_tell_error(walk, name, errnum, doing, false);
    walk->listed.path = NULL;
}

/* It is on top from now on: its names come first, then, if that is meant, all the others. Where a
 * walk of one file system goes on from is what was named. */
static bool listed_enter(struct walk *walk, const char *name, const struct stat *st, uint64_t mount,
                         bool content)
{
    int fd_parent = descent_top(&walk->descent)->fd;
    int fd = openat(fd_parent, name, DESCENT_FLAGS);
    walk->device = st->st_dev;
    walk->mount = mount;
    if (!walk_enter(walk, fd_parent, name, fd < 0 ? -errno : fd, content))
        return false;
    walk_top(walk)->state = FOLDER_LISTED;
    walk_top(walk)->content = content;
    return true;
}

/* A folder on the way to a name, which is there, and not left out: else nothing is told of the
 * folder. */
static void listed_way(struct walk *walk, const struct place *root, const char *rest)
{
    char part[ENTRY_NAME_MAX + 1];
    struct stat st;
    uint64_t mount;
    size_t length = strcspn(rest, "/");
    memcpy(part, rest, length);
    part[length] = '\0';
    const char *name = descent_add(&walk->descent, part);
    int result = name ? place_look(root, walk->listed.path, &st) : -ENAMETOOLONG;
    struct folder *top = walk_top(walk);
    bool covered = walk->wish.recursive && (top->content || top->covered);
    bool hidden =
        result == 0 && rules_hide(walk->wish.rules, walk->listed.path, S_ISDIR(st.st_mode));
    if (result == 0 && !hidden)
        result = descent_look(descent_top(&walk->descent)->fd, name, &st, &mount);
    if (result == -ELOOP)
        listed_fail(walk, rest, -result,
                    "it is in the list, and behind a symbolic link, which is not followed");
    else if (result < 0)
        listed_fail(walk, rest, -result, listed_words);
    else if (hidden || !listed_enter(walk, name, &st, mount, false))
        walk->listed.path = NULL;
    else
        walk_top(walk)->covered =
            covered && !rules_hide(walk->wish.rules, walk->descent.path, true);
}

/* The name itself. */
static void listed_find(struct walk *walk, const char *rest)
{
    struct stat st;
    uint64_t mount;
    int fd = descent_top(&walk->descent)->fd;
    const char *name = descent_add(&walk->descent, rest);
    int result = name ? descent_look(fd, name, &st, &mount) : -ENAMETOOLONG;
    bool folder = result == 0 && S_ISDIR(st.st_mode);
    if (result == 0 && walk->listed.content && S_ISLNK(st.st_mode)) {
        listed_fail(walk, rest, ENOTDIR, "it is in the list, and a symbolic link is not followed");
        return;
    }
    if (result < 0) {
        listed_fail(walk, rest, -result, listed_words);
        return;
    }
    bool content = walk->listed.content || walk->wish.recursive;
    walk->listed.path = NULL;
    if (rules_hide(walk->wish.rules, walk->descent.path, folder))
        return;
    if (folder)
        (void)listed_enter(walk, name, &st, mount, content);
    else
        walk_find(walk, fd, name, &st, mount);
}

/* A rule leaves out a folder on the way to it, from the one on top on: what is named is told all
 * the same. The path is in our own piece of the list. */
static bool listed_is_apart(struct walk *walk, const char *rest)
{
    const char *path = walk->listed.path;
    bool hidden = false;
    for (char *at = (char *)rest; !hidden && (at = strchr(at, '/')); at++) {
        *at = '\0';
        hidden = rules_hide(walk->wish.rules, path, true);
        *at = '/';
    }
    return hidden;
}

/* It will be told with all that is in the folder on top; only whether it is there has to be seen.
 */
static void listed_check(struct walk *walk, const struct place *root, const char *rest)
{
    struct stat st;
    int result = place_look(root, walk->listed.path, &st);
    if (result < 0)
        listed_fail(walk, rest, -result, listed_words);
    walk->listed.path = NULL;
}

/* ---- steps ---- */

void listed_begin(struct walk *walk, const struct place *root)
{
    bool told = walk->listed.path && !*walk->listed.path;
    AUTO_CLOSE int fd_parent = place_reach(root, "", O_PATH);
    int fd = place_reach(root, "", DESCENT_FLAGS);
    walk->begun = true;
    if (told) {
        walk->listed.path = NULL;
        walk->over = !walk_enter(walk, fd_parent, "", fd, true);
    } else if (fd >= 0) {
        walk_push(walk, fd, &walk->start, walk->mount);
    } else {
        walk_tell_error(walk, "", -fd, "this folder cannot be opened", false);
        walk->over = true;
    }
    if (walk->over)
        return;
    walk_top(walk)->state = FOLDER_LISTED;
    walk_top(walk)->silent = !told;
    walk_top(walk)->content = told;
}

void listed_step(struct walk *walk, const struct place *root)
{
    struct folder *top = walk_top(walk);
    const char *rest = listed_rest(walk);
    if (!rest && top->content) {
        listing_reset(&walk->listing);
        top->state = FOLDER_LISTING;
    } else if (!rest) {
        walk_leave(walk);
    } else {
        bool last = !strchr(rest, '/');
        bool told = top->content || top->covered;
        if (told && (last || (walk->wish.recursive && !listed_is_apart(walk, rest))))
            listed_check(walk, root, rest);
        else if (last)
            listed_find(walk, rest);
        else
            listed_way(walk, root, rest);
    }
}
