/* walk_state.h - private to walk*.c: a stack of open folders, each with a window of its names, or
 * with those that were asked for, and the entries that are told next. */
#ifndef HAUL_DISK_WALK_STATE_H
#define HAUL_DISK_WALK_STATE_H

#include "haul/disk/descent.h"
#include "haul/disk/entry.h"
#include "haul/disk/file.h"
#include "haul/disk/listing.h"
#include "haul/disk/owners.h"
#include "haul/disk/walk.h"

/* Names that wait, of all folders together, and their texts. A folder's window takes at most half
 * of what is left, and where that is less than one name, the one that there is always room for. */
enum {
    ITEMS_MAX = 2 * WALK_WINDOW_MAX + 1,
    NAMES_BYTES = 1024 * 1024,
    NAME_BYTES = ENTRY_NAME_MAX + 1,
    OWNERS_MAX = 256,
    WORDS_BYTES = 256,
};

struct item {
    uint64_t inode;
    uint32_t name; /* where it is among the names */
    bool folder;   /* known to be one */
    bool known;    /* to be one, or none */
};

enum folder_state {
    FOLDER_LISTED,  /* what is told of it is in the list of names; then it is left, or read */
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
    bool content;  /* LISTED: all that is in it is told, too ... */
    bool covered;  /* ... or will be with the folder above it */
    bool silent;   /* it is not told itself */
    bool ended;    /* there is no further window */
    bool complete; /* nothing was left out by a failure */
};

/* Numbers whose names were told; a new row begins when it is full, and they are told again. */
struct told {
    uint32_t ids[OWNERS_MAX];
    uint32_t count;
};

/* Names that are told, instead of all: a piece of them at a time. */
struct listed {
    uint8_t *bytes; /* owned: the piece */
    struct bytes in;
    bool ended;       /* there is no further piece */
    const char *path; /* the next one; NULL: it was not taken yet, or there is none */
    bool content;
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
    struct listed listed;
    struct told users, groups;

    /* What is told next. Their texts are in here, and in the descent's path. */
    struct entry pending[5];
    uint32_t pending_count, pending_next;
    char user[OWNER_NAME_BYTES], group[OWNER_NAME_BYTES];
    char text[ENTRY_TEXT_MAX + 1], failed[ENTRY_NAME_MAX + 1];

    struct descent descent;
};

/* walk_tell.c */

struct folder *walk_top(struct walk *walk);
/* `name`, "" for the folder that we are in, fails. vanished: it was there, so nothing is missing.
 */
void walk_tell_error(struct walk *walk, const char *name, int errnum, const char *doing,
                     bool vanished);
/* The same; ENOENT is one that has vanished. */
void walk_tell_failure(struct walk *walk, const char *name, int errnum, const char *doing);
/* Anything that is not entered: `name` in the folder fd. */
void walk_find(struct walk *walk, int fd, const char *name, const struct stat *st, uint64_t mount);
/* `name`, the last part of the path, was a folder when it was looked at. fd is it, or -errno.
 * whole: all that is in it will be told. false: it is told, and not entered. */
bool walk_enter(struct walk *walk, int fd_parent, const char *name, int fd, bool whole);
/* It is on top, and was not told. */
void walk_push(struct walk *walk, int fd, const struct stat *st, uint64_t mount);
void walk_leave(struct walk *walk);

/* walk_listed.c */

/* The next name is not here yet. */
bool listed_waits(struct walk *walk);
/* At the root, before everything else; in a folder that is LISTED. */
void listed_begin(struct walk *walk, const struct place *root);
void listed_step(struct walk *walk, const struct place *root);

#endif
