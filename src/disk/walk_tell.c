/* walk_tell.c - what a walk says of a name, and which folder it is in. */
#include "walk_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/evidence.h"
#include "haul/disk/filesystem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct folder *walk_top(struct walk *walk)
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

static void tell_error(struct walk *walk, const char *name, int errnum, const char *doing,
                       bool vanished)
{
    snprintf(walk->text, sizeof(walk->text), "%s: %s", doing, strerror(errnum));
    tell(walk, (struct entry){
                   .type = ENTRY_ERROR,
                   .name = name,
                   .errnum = (uint32_t)errnum,
                   .text = walk->text,
                   .complete = vanished,
               });
}

void walk_tell_error(struct walk *walk, const char *name, int errnum, const char *doing,
                     bool vanished)
{
    tell_error(walk, name, errnum, doing, vanished);
    if (!vanished && walk->descent.depth > 0)
        walk_top(walk)->complete = false;
}

void walk_tell_failure(struct walk *walk, const char *name, int errnum, const char *doing)
{
    walk_tell_error(walk, name, errnum, doing, errnum == ENOENT);
}

/* ---- looking ---- */

/* What a name in the folder fd is. Its file system is the folder's unless something is mounted on
 * it, or devices are numbered by file (overlayfs), where the mount is not told. */
static int facts_of(const struct walk *walk, int fd, const char *name, const struct stat *st,
                    uint64_t mount, struct facts *facts)
{
    uint32_t depth = walk->descent.depth;
    const struct descent_level *top = depth > 0 ? &walk->descent.levels[depth - 1] : NULL;
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
    uint64_t filesystem = fd_file >= 0 ? filesystem_type(fd_file) : 0;
    if (filesystem != 0)
        evidence_take_open(facts, fd_file, st, filesystem);
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

/* A folder; whole: with all that is in it, which follows. Where it lies tells whether it is the
 * target, by whatever host that was named. */
static void tell_enter(struct walk *walk, const char *name, const struct stat *st, bool whole)
{
    struct entry entry = {.type = ENTRY_ENTER, .name = name, .complete = whole};
    file_facts_from_stat(&entry.facts, st);
    evidence_take_place(&entry.facts, st);
    tell_owners(walk, &entry.facts);
    tell(walk, entry);
}

static void tell_leave(struct walk *walk, bool complete)
{
    tell(walk, (struct entry){.type = ENTRY_LEAVE, .complete = complete});
}

void walk_find(struct walk *walk, int fd, const char *name, const struct stat *st, uint64_t mount)
{
    struct entry entry = {.type = ENTRY_FOUND, .name = name};
    if (S_ISDIR(st->st_mode) && walk->wish.listed) {
        tell_enter(walk, name, st, false);
        tell_leave(walk, true);
        return;
    }
    int result = facts_of(walk, fd, name, st, mount, &entry.facts);
    if (result < 0) {
        walk_tell_failure(walk, name, -result, "it cannot be copied");
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
            walk_tell_failure(walk, name, errno, "this symbolic link cannot be read");
            return;
        }
        walk->text[length] = '\0';
        entry.text = walk->text;
    }
    tell_owners(walk, &entry.facts);
    tell(walk, entry);
}

/* ---- entering and leaving ---- */

void walk_push(struct walk *walk, int fd, const struct stat *st, uint64_t mount)
{
    listing_reset(&walk->listing);
    descent_enter(&walk->descent, fd, st, mount);
    *walk_top(walk) = (struct folder){
        .state = FOLDER_LISTING,
        .filesystem = filesystem_type(fd),
        .items_first = walk->items_count,
        .names_first = walk->names_used,
        .complete = true,
    };
}

void walk_leave(struct walk *walk)
{
    struct folder *top = walk_top(walk);
    assert(walk->items_count == top->items_first);
    if (!top->silent)
        tell_leave(walk, top->complete);
    listing_reset(&walk->listing);
    descent_leave(&walk->descent);
    walk->over = walk->descent.depth == 0;
}

/* errnum says why there is no descriptor of it. */
static void walk_not_entered(struct walk *walk, int fd_parent, const char *name, int errnum)
{
    struct stat st;
    uint64_t mount;
    int result = descent_look(fd_parent, name, &st, &mount);
    if (result == 0 && S_ISDIR(st.st_mode)) {
        tell_enter(walk, name, &st, false);
        tell_error(walk, "", errnum, "this folder cannot be opened", false);
        tell_leave(walk, false);
        return;
    }
    walk_tell_failure(walk, name, result < 0 ? -result : errnum, "it was replaced meanwhile");
}

bool walk_enter(struct walk *walk, int fd_parent, const char *name, int fd, bool whole)
{
    struct stat st;
    uint64_t mount;
    int result = fd < 0 ? fd : descent_look(fd, "", &st, &mount);
    if (result < 0) {
        walk_not_entered(walk, fd_parent, name, -result);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool elsewhere = walk->descent.depth > 0 && walk->wish.one_filesystem &&
                     (st.st_dev != walk->device || mount != walk->mount);
    tell_enter(walk, name, &st, whole && !elsewhere);
    if (elsewhere) {
        tell_leave(walk, false);
        close(fd);
        return false;
    }
    walk_push(walk, fd, &st, mount);
    return true;
}
