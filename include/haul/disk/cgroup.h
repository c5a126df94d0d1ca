/* cgroup.h - finds our own memory cgroup in what /proc tells, version 1 or 2. */
#ifndef HAUL_CGROUP_H
#define HAUL_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where our own memory cgroup is. Finding it reads a line of each mount: once is enough, and
 * whoever reads figures of it takes what was found. */
struct cgroup {
    const char *root; /* "/" in production, a folder with proc/ and sys/ in the tests */
    uint32_t version; /* 1 or 2; 0: there is none, or it is not mounted where we see it */
    bool own; /* false: our own is outside what is mounted here, this is one of its ancestors */
    size_t mount_length; /* path[0, mount_length) is the mount point: do not walk above it */
    char path[PATH_MAX]; /* its folder, root included. It may be hidden: files may be missing */
};

/* Find it from /proc/self/cgroup and /proc/self/mountinfo below `root`, which is the caller's. */
void cgroup_find(struct cgroup *cgroup, const char *root);

#endif
