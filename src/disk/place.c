/* place.c - paths beneath a folder. It does not know what they are opened for; rights are only
 * remembered here, file.c and the local side keep to them. */
#include "haul/disk/place.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/filesystem.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

/* openat2(2): EAGAIN when a rename somewhere came between a ".." (of a symbolic link) and its
 * check. */
enum { PLACE_ATTEMPTS_MAX = 64 };

/* In memory of its own; NULL: there is none. */
static char *place_joined(const char *first, const char *between, const char *second)
{
    char *text = malloc(strlen(first) + strlen(between) + strlen(second) + 1);
    if (text)
        stpcpy(stpcpy(stpcpy(text, first), between), second);
    return text;
}

/* ---- the kernel's way ---- */

static int place_openat2(const struct place *place, int fd, const char *path, int flags,
                         mode_t mode)
{
    /* openat2() adds no O_LARGEFILE by itself for 32-bit programs, and refuses it with O_PATH. */
    int large = flags & O_PATH ? 0 : O_LARGEFILE;
    struct open_how how = {
        .flags = (unsigned int)(flags | large | O_CLOEXEC),
        .mode = mode,
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (place->tree ? RESOLVE_NO_SYMLINKS : 0),
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

/* One name, perhaps with a slash behind it. Without a symbolic link and without "..", every step
 * leads further down. */
static int place_step(int fd_here, char *name, int flags)
{
    size_t length = strcspn(name, "/");
    struct stat st;
    if (name[length] == '/')
        flags |= O_DIRECTORY;
    name[length] = '\0';
    int fd = openat(fd_here, name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno != ENOTDIR)
        return fd >= 0 ? fd : -errno;
    bool link = fstatat(fd_here, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    return link ? -ELOOP : -ENOTDIR;
}

/* ---- piece by piece ---- */

enum { PIECE_BYTES_MAX = PATH_MAX - 2 }; /* and a slash, and the NUL */

/* What is resolved next, with a slash where one follows: into `piece`. Its length with all slashes
 * behind it; 0: a name is longer than any can be. */
static size_t place_piece(char piece[PATH_MAX], const char *path, size_t length, bool walk)
{
    size_t taken = length;
    if (walk)
        taken = min_size(strcspn(path, "/"), length);
    else if (length > PIECE_BYTES_MAX)
        for (taken = PIECE_BYTES_MAX; taken > 0 && path[taken] != '/'; taken--)
            ;
    if (taken == 0 || taken > PIECE_BYTES_MAX)
        return 0;
    memcpy(piece, path, taken);
    bool slash = taken < length;
    if (slash)
        piece[taken] = '/';
    piece[taken + slash] = '\0';
    while (taken < length && path[taken] == '/')
        taken++;
    return taken;
}

static int place_resolve(const struct place *place, const char *path, size_t length, int flags)
{
    char piece[PATH_MAX];
    AUTO_CLOSE int fd_here = -1;
    for (;;) {
        size_t taken = place_piece(piece, path, length, place->walks_only);
        if (taken == 0)
            return -ENAMETOOLONG;
        bool last = taken == length;
        int fd_from = fd_here >= 0 ? fd_here : place->fd;
        int step_flags = last ? flags : O_PATH | O_DIRECTORY;
        int fd = place->walks_only ? place_step(fd_from, piece, step_flags)
                                   : place_openat2(place, fd_from, piece, step_flags, 0);
        if (fd < 0 || last)
            return fd;
        cleanup_close(&fd_here);
        fd_here = fd;
        path += taken;
        length -= taken;
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
        const char *below = place->tree ? NULL : place_below(place->path, path);
        if (!below && !place->tree && place->given[0] == '/')
            below = place_below(place->given, path);
        if (!below)
            return NULL;
        path = below + strspn(below, "/");
    }
    if (place_climbs(path))
        return NULL;
    return path;
}

/* The first `length` bytes of a path that place_relative() has let pass. */
static int place_reach_part(const struct place *place, const char *path, size_t length, int flags)
{
    if (place->tree)
        flags |= O_NOFOLLOW;
    return length > 0 ? place_resolve(place, path, length, flags)
                      : place_resolve(place, ".", 1, flags);
}

int place_reach(const struct place *place, const char *path, int flags)
{
    assert((flags & O_CREAT) == 0);
    if (!place) {
        int fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    const char *relative = place_relative(place, path);
    return relative ? place_reach_part(place, relative, strlen(relative), flags) : -EXDEV;
}

const char *place_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* On the whole machine: "/" stays what it is. */
static int place_open_folder(const char *path, size_t length, int flags)
{
    char folder[PATH_MAX];
    if (length >= sizeof(folder))
        return -ENAMETOOLONG;
    if (length == 0)
        return place_reach(NULL, ".", flags | O_DIRECTORY);
    memcpy(folder, path, length);
    folder[length] = '\0';
    return place_reach(NULL, folder, flags | O_DIRECTORY);
}

int place_reach_folder(const struct place *place, const char *path, int flags)
{
    const char *name = place_name(path);
    if (!place)
        return place_open_folder(path, (size_t)(name - path), flags);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EISDIR;
    const char *relative = place_relative(place, path);
    /* An absolute path of the place itself: its folder lies outside. */
    if (!relative || relative > name)
        return -EXDEV;
    return place_reach_part(place, relative, (size_t)(name - relative), flags | O_DIRECTORY);
}

/* In one call where the kernel's way resolves all of the path at once. */
int place_create(const struct place *place, const char *path, int flags, mode_t mode)
{
    const char *name = place_name(path), *relative = place ? place_relative(place, path) : path;
    flags |= O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = -1;
    if (!place) {
        fd = open(path, flags, mode);
        return fd < 0 ? -errno : fd;
    }
    bool named = relative && relative <= name && *name && strcmp(name, ".") != 0;
    if (named && !place->walks_only && strlen(relative) <= PIECE_BYTES_MAX)
        return place_openat2(place, place->fd, relative, flags, mode);
    AUTO_CLOSE int fd_folder = place_reach_folder(place, path, O_PATH);
    if (fd_folder < 0)
        return fd_folder;
    fd = openat(fd_folder, name, flags, mode);
    return fd < 0 ? -errno : fd;
}

int place_holds(int fd_folder, const char *name, int flags, uint64_t device, uint64_t inode)
{
    struct stat there;
    if (fstatat(fd_folder, name, &there, flags) != 0)
        return -errno;
    return there.st_dev == device && there.st_ino == inode;
}

int place_look_open(const struct place *place, const char *path, struct stat *st, int *fd)
{
    AUTO_CLOSE int opened = place_reach(place, path, O_PATH);
    *fd = -1;
    if (opened < 0)
        return opened;
    if (fstat(opened, st) != 0)
        return -errno;
    if (S_ISLNK(st->st_mode) && !place->tree) /* a walk does not follow it */
        return -ELOOP;
    *fd = take_fd(&opened);
    return 0;
}

char *place_shown(const struct place *place, const char *path)
{
    return place_joined(place_prefix(place), "", path);
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
static bool place_kernel_resolves(const struct place *place)
{
    AUTO_CLOSE int probe = place_openat2(place, place->fd, ".", O_PATH | O_DIRECTORY, 0);
    return probe != -ENOSYS && probe != -EPERM;
}

int place_open(struct place *place, const char *text, struct error *err)
{
    *place = (struct place){.fd = -1, .given = strdup(text), .restricts = true};
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
    place->walks_only = !place_kernel_resolves(place);
    return 0;
}

/* ---- the root of a tree ---- */

enum { CHASE_LINKS_MAX = 40 }; /* as the kernel's MAXSYMLINKS */

/* A path that is being followed: what is left of it. */
struct chase {
    int fd;     /* as far as it has come */
    char *text; /* owned */
    const char *rest;
    uint32_t links_count;
};

/* What the link says comes before the rest. */
static int chase_insert(struct chase *chase, const char *link)
{
    char *text = place_joined(link, "/", chase->rest);
    if (!text)
        return -ENOMEM;
    free(chase->text);
    chase->text = text;
    chase->rest = text + strspn(text, "/");
    if (link[0] != '/')
        return 0;
    cleanup_close(&chase->fd);
    chase->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return chase->fd < 0 ? -errno : 0;
}

/* fd_link is the symbolic link `name` in the folder that it has come to. What /proc shows as links
 * leads elsewhere than its text says: the kernel follows those. */
static int chase_link(struct chase *chase, int fd_link, const char *name)
{
    char link[PATH_MAX];
    if (++chase->links_count > CHASE_LINKS_MAX)
        return -ELOOP;
    if (filesystem_type(fd_link) == PROC_SUPER_MAGIC) {
        int fd = openat(chase->fd, name, O_PATH | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        cleanup_close(&chase->fd);
        chase->fd = fd;
        return 0;
    }
    ssize_t length = readlinkat(fd_link, "", link, sizeof(link) - 1);
    if (length < 0)
        return -errno;
    link[length] = '\0';
    return chase_insert(chase, link);
}

static int chase_step(struct chase *chase, const char *path, struct error *err)
{
    char name[NAME_MAX + 1];
    struct stat st;
    size_t length = strcspn(chase->rest, "/");
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, chase->rest, length);
    name[length] = '\0';
    chase->rest += length;
    chase->rest += strspn(chase->rest, "/");
    AUTO_CLOSE int fd = openat(chase->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -errno;
    if (S_ISLNK(st.st_mode) && st.st_uid != 0 && st.st_uid != geteuid())
        return error_set_class(
            err, ERROR_FILE, ELOOP,
            "%s: %s in it is a symbolic link of another user (uid %u), who could "
            "lead haul elsewhere; name the folder that it leads to",
            path, name, st.st_uid);
    if (S_ISLNK(st.st_mode))
        return chase_link(chase, fd, name);
    cleanup_close(&chase->fd);
    chase->fd = take_fd(&fd);
    return 0;
}

/* The operator's own path to a folder. */
static int chase_open(const char *path, struct error *err)
{
    struct chase chase = {
        .fd = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .text = strdup(path),
    };
    struct stat st;
    int result = chase.fd < 0 ? -errno : !chase.text ? -ENOMEM : *path ? 0 : -ENOENT;
    chase.rest = chase.text ? chase.text + strspn(path, "/") : NULL;
    while (result == 0 && *chase.rest)
        result = chase_step(&chase, path, err);
    if (result == 0 && (fstat(chase.fd, &st) != 0 || !S_ISDIR(st.st_mode)))
        result = -ENOTDIR;
    free(chase.text);
    if (result == 0)
        return chase.fd;
    cleanup_close(&chase.fd);
    return result;
}

int place_open_tree(struct place *place, const struct place *within, const char *path,
                    struct error *err)
{
    size_t length = strlen(path);
    bool slash = length > 0 && path[length - 1] == '/';
    *place = (struct place){
        .fd = -1,
        /* Names in "." are shown as they are. */
        .given = strcmp(path, ".") == 0 ? strdup("") : place_joined(path, slash ? "" : "/", ""),
        .tree = true,
        .restricts = within != NULL,
        .may_read = place_may_read(within),
        .may_write = place_may_write(within),
    };
    if (!place->given)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the name of a folder");
    int result = within ? place_reach(within, path, O_PATH | O_DIRECTORY) : chase_open(path, err);
    if (result < 0) {
        place_close(place);
        if (!place_may_read(within))
            return error_set_class(err, ERROR_FILE, EACCES, "%s: cannot be written there", path);
        return error_is_set(err) ? result : error_set(err, -result, "%s: cannot be opened", path);
    }
    place->fd = result;
    place->walks_only = within ? within->walks_only : !place_kernel_resolves(place);
    return 0;
}

void place_close(struct place *place)
{
    cleanup_close(&place->fd);
    free(place->given);
    free(place->path);
    *place = (struct place){.fd = -1};
}
