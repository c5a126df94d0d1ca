/* descent.h - a way down into a tree and back: the folders that are entered, and the path of what
 * is looked at, beneath the root.
 *
 * Each folder is opened by its name in the one above and held open; with more than DESCENT_HELD_MAX
 * of them those furthest up are let go of, and opened again by their path when they are needed:
 * they have to be the folders that they were. Memory is set aside when it begins. Calls block on
 * the filesystem. */
#ifndef HAUL_DESCENT_H
#define HAUL_DESCENT_H

#include "haul/disk/place.h"

#include <fcntl.h>
#include <stdint.h>

enum {
    DESCENT_HELD_MAX = 64,
    DESCENT_PATH_BYTES = 24 * 1024,                 /* with its NUL */
    DESCENT_DEPTH_MAX = DESCENT_PATH_BYTES / 2 + 1, /* a level has a slash and a letter */
};

/* How folders are opened. */
enum { DESCENT_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

struct descent_level {
    int fd; /* -1: let go of */
    uint32_t path_length;
    uint64_t device, inode, mount;
};

struct descent {
    struct descent_level *levels; /* owned */
    uint32_t depth;
    uint32_t held_first; /* those before it are let go of */
    uint32_t path_length;
    char path[DESCENT_PATH_BYTES];
};

/* It begins at `path`, which is not entered yet. -ENOMEM, -ENAMETOOLONG. */
int descent_open(struct descent *descent, const char *path);
void descent_close(struct descent *descent);

/* The folder that was entered last. There must be one. */
static inline struct descent_level *descent_top(struct descent *descent)
{
    return &descent->levels[descent->depth - 1];
}

/* The path is that of the folder on top again. */
void descent_cut(struct descent *descent);
/* It is that of this name in it; returns where the name is in there. NULL: it is too long. */
const char *descent_add(struct descent *descent, const char *name);

/* The folder at the path, whose descriptor is given away, is on top; `st` and `mount` are what
 * descent_look() says of it. */
void descent_enter(struct descent *descent, int fd, const struct stat *st, uint64_t mount);
void descent_leave(struct descent *descent);

/* The folder on top is open, or was let go of and is opened again: 1. 0: it was open. -errno:
 * -ESTALE: another one has its name. */
int descent_regain(struct descent *descent, const struct place *root);

/* fstatat(2) of a name, or of fd itself ("": fd may be O_PATH), as it is now, without following or
 * mounting anything. *mount: the number of its mount, 0 where the kernel does not tell (Linux 5.8).
 */
int descent_look(int fd, const char *name, struct stat *st, uint64_t *mount);

#endif
