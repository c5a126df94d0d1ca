/* place.h - where paths are resolved: on the whole machine, or beneath one folder with rights
 * (--restrict, of a server whose clients are not trusted).
 *
 * Beneath a folder no path leads out of it, by whatever name, symbolic link or race: a path is
 * resolved by the kernel under openat2(2) RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS (Linux 5.6) or,
 * where that is not there (ENOSYS, or EPERM of a seccomp filter that does not know it), by a walk
 * from folder to folder that follows no symbolic link at all. Nobody looks at a path first and uses
 * it later: what comes out is a descriptor.
 *
 * Everywhere `const struct place *` NULL is the whole machine. All calls may block on the
 * filesystem. A place is only read once it is open: any thread. */
#ifndef HAUL_PLACE_H
#define HAUL_PLACE_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

struct place {
    int fd;          /* the folder, O_PATH */
    char *given;     /* owned; as it was named: an absolute path below it is understood, too */
    char *path;      /* owned; its absolute path, without symbolic links */
    bool may_read;   /* else content, names, sizes and times are not told */
    bool may_write;  /* else nothing is changed */
    bool walks_only; /* openat2(2) is not to be had */
};

/* Open the folder that `text`, "DIR", "DIR,ro" or "DIR,wo", names. -errno with words; place is
 * closed then. */
int place_open(struct place *place, const char *text, struct error *err);
void place_close(struct place *place);

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
 * its folder, or absolute and below it, and has no ".."; symbolic links that stay beneath are
 * followed, but not in a walk. Returns a descriptor or -errno: -EXDEV: leads outside; -ELOOP (in a
 * walk also -ENOTDIR): a symbolic link that is not followed. */
int place_reach(const struct place *place, const char *path, int flags);

/* The same for the folder that holds the last part of `path`. Whoever goes on from there gives
 * place_name() and O_NOFOLLOW. In a place -EISDIR: the last part names a folder ("", ".", ".."). */
int place_reach_folder(const struct place *place, const char *path, int flags);

/* The last part of a path, behind the last slash. */
const char *place_name(const char *path);

/* stat(2) of what is at `path`, nothing is opened. 0 or -errno as place_reach(). */
int place_look(const struct place *place, const char *path, struct stat *st);

/* The same, and *fd is an O_PATH descriptor of it, the caller's; -1 when it fails. */
int place_look_open(const struct place *place, const char *path, struct stat *st, int *fd);

#endif
