/* place.h - where paths are resolved: on the whole machine, beneath one folder with rights
 * (--restrict, of a server whose clients are not trusted), or beneath the root of a tree that is
 * copied.
 *
 * Beneath a folder no path leads out of it, by whatever name, symbolic link or race: a path is
 * resolved by the kernel under openat2(2) RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS (Linux 5.6) or,
 * where that is not there (ENOSYS, or EPERM of a seccomp filter that does not know it), by a walk
 * from folder to folder that follows no symbolic link at all. In a tree neither way follows any.
 * Nobody looks at a path first and uses it later: what comes out is a descriptor. A path may be
 * longer than PATH_MAX: it is resolved in pieces.
 *
 * Everywhere `const struct place *` NULL is the whole machine. All calls may block on the
 * filesystem. A place is only read once it is open: any thread. */
#ifndef HAUL_PLACE_H
#define HAUL_PLACE_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct place {
    int fd;          /* the folder, O_PATH */
    char *given;     /* owned; as it was named: an absolute path below it is understood, too. Of a
                        tree: what comes before a path in a message, with a slash at its end */
    char *path;      /* owned; its absolute path, without symbolic links; NULL of a tree */
    bool tree;       /* the root of one; paths are relative */
    bool restricts;  /* see place_restricts() */
    bool may_read;   /* else content, names, sizes and times are not told */
    bool may_write;  /* else nothing is changed */
    bool walks_only; /* openat2(2) is not to be had */
};

/* Open the folder that `text`, "DIR", "DIR,ro" or "DIR,wo", names. -errno with words; place is
 * closed then. */
int place_open(struct place *place, const char *text, struct error *err);
void place_close(struct place *place);

/* Open the root of a tree. It has the rights and limits of the --restrict place `within`, beneath
 * which it lies then; NULL: it has none, and `path` is the operator's own: a symbolic link in it is
 * followed when it is root's or ours, else refused (-ELOOP). -errno with words; place is closed
 * then. */
int place_open_tree(struct place *place, const struct place *within, const char *path,
                    struct error *err);

/* Somebody is kept to this place, who may only copy files there: no devices, no set-id bits,
 * nothing by another path. A tree that lies on the whole machine limits nobody. */
static inline bool place_restricts(const struct place *place)
{
    return place && place->restricts;
}

/* For messages: of a tree what comes before its paths, else "". */
static inline const char *place_prefix(const struct place *place)
{
    return place && place->tree ? place->given : "";
}

/* The whole of it, to be freed; NULL: no memory. */
char *place_shown(const struct place *place, const char *path);

/* Without --restrict (NULL) everything may be read. */
static inline bool place_may_read(const struct place *place)
{
    return !place || place->may_read;
}

/* The same for writing. */
static inline bool place_may_write(const struct place *place)
{
    return !place || place->may_write;
}

/* Open what is at `path`, O_CLOEXEC; never creates (no O_CREAT). In a place the path is relative to
 * its folder, "" is the folder itself, or absolute and below it, and has no ".."; symbolic links
 * that stay beneath are followed, but not in a walk. In a tree the path is relative and none is
 * followed; one that is the last part is opened itself, with O_PATH. Returns a descriptor or
 * -errno: -EXDEV: leads outside; -ELOOP: a symbolic link that is not followed. */
int place_reach(const struct place *place, const char *path, int flags);

/* The same for the folder that holds the last part of `path`. Whoever goes on from there gives
 * place_name() and O_NOFOLLOW. In a place -EISDIR: the last part names a folder ("", ".", ".."). */
int place_reach_folder(const struct place *place, const char *path, int flags);

/* Make a regular file that is not there, open as `flags` say. In a place its folder is reached as
 * by place_reach_folder(). -EEXIST: there is something, be it a symbolic link. */
int place_create(const struct place *place, const char *path, int flags, mode_t mode);

/* The last part of a path, behind the last slash. */
const char *place_name(const char *path);

/* Is what has that name in the folder (as fstatat(2) takes it, with its flags) this very file? 1:
 * it is; 0: it is another one; -errno: nothing is there (-ENOENT), or nobody can tell. */
int place_holds(int fd_folder, const char *name, int flags, uint64_t device, uint64_t inode);

/* stat(2) of what is at `path`, in a tree lstat(2); nothing is opened. 0 or -errno as
 * place_reach(). */
int place_look(const struct place *place, const char *path, struct stat *st);

/* The same, and *fd is an O_PATH descriptor of it, the caller's; -1 when it fails. */
int place_look_open(const struct place *place, const char *path, struct stat *st, int *fd);

#endif
