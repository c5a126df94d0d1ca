/* cgroup.c - where our own memory cgroup is. It knows nothing of limits. */
#include "haul/disk/cgroup.h"

#include "haul/base/proc.h"
#include "haul/disk/mountinfo.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Is `word` one of the comma-separated `list`? */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* Our path in the hierarchy that has the memory controller, as /proc/self/cgroup tells it:
 * "4:cpu,memory:/a:b" or "0::/a:b"; only the first two colons separate (cgroups(7)). */
static int own_path(struct proc_lines *lines, const char *root, uint32_t version,
                    char path[PATH_MAX])
{
    int rc = proc_lines_open(lines, root, "/proc/self/cgroup");
    if (rc)
        return rc;
    for (char *line = proc_lines_next(lines); line; line = proc_lines_next(lines)) {
        char *controllers = strchr(line, ':');
        char *found = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!found || found[1] != '/' || strlen(found + 1) >= PATH_MAX)
            continue;
        *controllers++ = '\0';
        *found++ = '\0';
        bool ours = version == 1 ? list_has(controllers, "memory")
                                 : strcmp(line, "0") == 0 && *controllers == '\0';
        if (ours) {
            memcpy(path, found, strlen(found) + 1);
            return 0;
        }
    }
    return -ENOENT;
}

/* Does the line mount the hierarchy that has the memory controller? */
static bool mount_parse(char *line, uint32_t version, struct mountinfo *mount)
{
    return mountinfo_take(line, mount) &&
           strcmp(mount->type, version == 1 ? "cgroup" : "cgroup2") == 0 &&
           (version != 1 || list_has(mount->options, "memory")) && mount->root[0] == '/' &&
           mount->point[0] == '/';
}

/* How many "/.." `path` begins with: what lies outside our cgroup namespace is shown that way
 * (cgroup_namespaces(7)). */
static size_t ups_count(const char *path)
{
    size_t count = 0;
    while (strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0')) {
        path += 3;
        count++;
    }
    return count;
}

/* Where `path` is below a mount of `root`: "" or "/a/b"; NULL when it is not there. *own is false
 * when only an ancestor of ours is: a mount of "/../.." shows what contains our namespace, but not
 * by which names one gets back down. */
static const char *path_below(const char *root, const char *path, bool *own)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *rest = path + length;
    *own = strncmp(path, root, length) == 0 && (*rest == '/' || *rest == '\0');
    if (*own)
        return ups_count(rest) > 0 ? NULL : strcmp(rest, "/") == 0 ? "" : rest;
    bool above = length == 3 * ups_count(root) && ups_count(root) > ups_count(path);
    return above ? "" : NULL;
}

/* The best of all mounts: one that holds our own cgroup, and of these the one that shows most of
 * its ancestors, which is the one with the shortest root. */
static int find_version(struct cgroup *cgroup, uint32_t version)
{
    const char *root = cgroup->root;
    char path[PATH_MAX];
    AUTO_PROC_LINES(lines, PROC_LINE_BYTES);
    int rc = own_path(&lines, root, version, path);
    if (rc)
        return rc;
    rc = proc_lines_open(&lines, root, "/proc/self/mountinfo");
    if (rc)
        return rc;
    size_t best_length = SIZE_MAX;
    cgroup->version = version;
    cgroup->own = false;
    for (char *line = proc_lines_next(&lines); line; line = proc_lines_next(&lines)) {
        struct mountinfo mount;
        bool own;
        if (!mount_parse(line, version, &mount))
            continue;
        const char *rest = path_below(mount.root, path, &own);
        size_t length = strlen(mount.root);
        if (!rest || (cgroup->own && !own) || (cgroup->own == own && length >= best_length))
            continue;
        if (strlen(root) + strlen(mount.point) + strlen(rest) >= PATH_MAX ||
            !proc_join(cgroup->path, root, mount.point))
            continue;
        cgroup->own = own;
        best_length = length;
        cgroup->mount_length = strlen(cgroup->path);
        memcpy(cgroup->path + cgroup->mount_length, rest, strlen(rest) + 1);
    }
    return best_length == SIZE_MAX ? -ENOENT : 0;
}

void cgroup_find(struct cgroup *cgroup, const char *root)
{
    cgroup->root = root;
    cgroup->path[0] = '\0';
    /* A controller is in one hierarchy only. Where v1 has memory (hybrid systems), the v2 tree is
     * there as well but has no memory files. */
    if (find_version(cgroup, 1) != 0 && find_version(cgroup, 2) != 0)
        cgroup->version = 0;
}
