/* node.h - what a tree has besides regular files, by a table of kinds: folders, symbolic links,
 * fifos, sockets, devices, and further names of what is there (hard links).
 *
 * Everything is done to one name in a folder that is held open, and nothing is ever followed. What
 * stands there and is of another kind, or another one of the same, is replaced: the new one is made
 * under a temporary name and renamed. What was made is durable after a sync by the caller. All
 * calls may block on the filesystem; any thread. */
#ifndef HAUL_NODE_H
#define HAUL_NODE_H

#include "haul/disk/job.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct node_wish {
    enum file_kind kind;   /* REGULAR: only room is made for one */
    const char *link_text; /* LINK */
    uint64_t rdev;         /* DEVICE, CHARACTER */
    uint32_t mode;         /* of a new one, less the umask; a folder is ours to use anyway */
    int fd_leader_folder;  /* not below 0: `name` becomes one more name of leader_name in there */
    const char *leader_name;
    struct error *spelled; /* what is there has to be called so: else -ENOTUNIQ, and the words of
                              spelling_check() are here. NULL: it need not */
};

struct node_made {
    enum job_made made;
    bool existed;       /* something was there ... */
    struct stat before; /* ... and this it was */
};

/* Make it so. A folder is left readable and writable for its owner, who may not be able to use it
 * else; a mode has to be given afterwards. With `dry` nothing is done, and `made` says what would
 * be; it fails where that can be seen to fail. 0 or -errno. -ENOTEMPTY: a folder with something in
 * it stands in the way. Of hard links -EMLINK, -EXDEV, -EPERM, -EOPNOTSUPP: it cannot be linked,
 * but may be copied. */
int node_make(int fd_folder, const char *name, const struct node_wish *wish, bool dry,
              struct node_made *made);

/* 0: there is nothing in this folder, which is no link; -ENOTEMPTY; or why that is not known. */
int node_folder_is_empty(int fd_folder, const char *name);

#endif
