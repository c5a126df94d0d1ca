/* place.c - paths beneath a folder. It does not know what they are opened for; rights are only
 * remembered here, file.c and the local side keep to them. */
#include "haul/disk/place.h"

#include "haul/base/cleanup.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

/* openat2(2): EAGAIN when a rename somewhere came between a ".." (of a symbolic link) and its
 * check. */
enum { PLACE_ATTEMPTS_MAX = 64 };

/* ---- the kernel's way ---- */

static int place_openat2(int fd, const char *path, int flags)
{
    /* openat2() adds no O_LARGEFILE by itself for 32-bit programs, and refuses it with O_PATH. */
    int large = flags & O_PATH ? 0 : O_LARGEFILE;
    struct open_how how = {
        .flags = (unsigned int)(flags | large | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    for (int attempt = 0;; attempt++) {
        long opened = syscall(SYS_openat2, fd, path, &how, sizeof(how));
        if (opened >= 0)
            return (int)opened;
        if ((errno != EAGAIN && errno != EINTR) || attempt == PLACE_ATTEMPTS_MAX)
            return -errno;
    }
}

/* ---- the walk ---- */

/* The first part of a path into `part`; where the next one begins, or NULL behind the last one,
 * or when the part is longer than a name can be. */
static const char *place_part(const char *path, char part[NAME_MAX + 1])
{
    size_t length = strcspn(path, "/");
    part[0] = '\0';
    if (length > NAME_MAX)
        return NULL;
    memcpy(part, path, length);
    part[length] = '\0';
    path += length;
    return path + strspn(path, "/");
}

/* Without a symbolic link and without "..", every step leads further down. */
static int place_walk(int fd_place, const char *path, int flags)
{
    char part[NAME_MAX + 1];
    AUTO_CLOSE int fd_here = -1;
    for (;;) {
        int fd_from = fd_here >= 0 ? fd_here : fd_place;
        const char *rest = place_part(path, part);
        if (!rest)
            return -ENAMETOOLONG;
        bool last = *rest == '\0';
        bool folder = !last || path[strlen(path) - 1] == '/';
        int step_flags = last ? flags | (folder ? O_DIRECTORY : 0) : O_PATH | O_DIRECTORY;
        int fd = openat(fd_from, part, step_flags | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || last)
            return fd < 0 ? -errno : fd;
        cleanup_close(&fd_here);
        fd_here = fd;
        path = rest;
    }
}

/* ---- paths as they are given ---- */

/* What is left of an absolute path below `folder`; NULL: it is not below. */
static const char *place_below(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    while (length > 0 && folder[length - 1] == '/')
        length--;
    if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path + length;
}

static bool place_climbs(const char *path)
{
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if (length == 2 && strncmp(part, "..", length) == 0)
            return true;
        part += length;
    }
    return false;
}

/* The path as seen from the folder. NULL: it leads outside as it stands. */
static const char *place_relative(const struct place *place, const char *path)
{
    if (path[0] == '/') {
        const char *below = place_below(place->path, path);
        if (!below && place->given[0] == '/')
            below = place_below(place->given, path);
        if (!below)
            return NULL;
        path = below + strspn(below, "/");
    }
    if (place_climbs(path))
        return NULL;
    return *path ? path : ".";
}

int place_reach(const struct place *place, const char *path, int flags)
{
    assert((flags & O_CREAT) == 0);
    if (!place) {
        int fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    const char *relative = place_relative(place, path);
    if (!relative)
        return -EXDEV;
    return place->walks_only ? place_walk(place->fd, relative, flags)
                             : place_openat2(place->fd, relative, flags);
}

const char *place_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int place_reach_folder(const struct place *place, const char *path, int flags)
{
    char folder[PATH_MAX] = ".";
    const char *name = place_name(path);
    size_t length = (size_t)(name - path); /* with the slash: "/" stays what it is */
    if (place && (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
        return -EISDIR;
    if (length >= sizeof(folder))
        return -ENAMETOOLONG;
    if (length > 0) {
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    return place_reach(place, folder, flags | O_DIRECTORY);
}

int place_look_open(const struct place *place, const char *path, struct stat *st, int *fd)
{
    AUTO_CLOSE int opened = place_reach(place, path, O_PATH);
    *fd = -1;
    if (opened < 0)
        return opened;
    if (fstat(opened, st) != 0)
        return -errno;
    if (S_ISLNK(st->st_mode)) /* a walk does not follow it */
        return -ELOOP;
    *fd = take_fd(&opened);
    return 0;
}

int place_look(const struct place *place, const char *path, struct stat *st)
{
    AUTO_CLOSE int fd = -1;
    if (!place)
        return stat(path, st) == 0 ? 0 : -errno;
    return place_look_open(place, path, st, &fd);
}

/* ---- the place itself ---- */

static bool place_cut_suffix(char *text, const char *suffix)
{
    size_t length = strlen(text), suffix_length = strlen(suffix);
    if (length <= suffix_length || strcmp(text + length - suffix_length, suffix) != 0)
        return false;
    text[length - suffix_length] = '\0';
    return true;
}

/* Is openat2(2) there? EPERM: the seccomp filters of containers that are older than it. */
static bool place_kernel_resolves(int fd)
{
    AUTO_CLOSE int probe = place_openat2(fd, ".", O_PATH | O_DIRECTORY);
    return probe != -ENOSYS && probe != -EPERM;
}

int place_open(struct place *place, const char *text, struct error *err)
{
    *place = (struct place){.fd = -1, .given = strdup(text)};
    if (!place->given)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the name of a folder");
    bool reads_only = place_cut_suffix(place->given, ",ro");
    bool writes_only = !reads_only && place_cut_suffix(place->given, ",wo");
    place->may_read = !writes_only;
    place->may_write = !reads_only;
    place->path = realpath(place->given, NULL);
    if (place->path)
        place->fd = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place->fd < 0) {
        int result = error_set(err, errno, "--restrict=%s: its folder cannot be opened", text);
        place_close(place);
        return result;
    }
    place->walks_only = !place_kernel_resolves(place->fd);
    return 0;
}

void place_close(struct place *place)
{
    cleanup_close(&place->fd);
    free(place->given);
    free(place->path);
    *place = (struct place){.fd = -1};
}
