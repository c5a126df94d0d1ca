/* removal.c - a folder is emptied name by name, its folders first tried as they are and entered
 * when something is in them. Where a file system loses its place as names go, what was passed over
 * makes another round, as long as the last one has removed something. */
#include "haul/disk/removal.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/text.h"
#include "haul/disk/descent.h"
#include "haul/disk/listing.h"
#include "haul/disk/node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS_MAX = 16 };

/* Of one folder that is being emptied. */
struct removal_level {
    uint64_t cookie; /* where it goes on */
    uint32_t rounds; /* before this one */
    bool removed;    /* something, in this round */
};

struct removal {
    const struct place *root;
    const struct removal_leave *leave;
    struct error *err; /* of the first failure */
    int result;
    int stopped;            /* REMOVAL_LATE, -ECANCELED: nothing else is removed */
    int fd_above;           /* the folder in which it begins */
    uint64_t device, mount; /* no others are entered */
    bool lost;              /* the listing is not that of the folder on top */
    struct listing listing;
    struct removal_level *levels; /* beside the descent's */
    struct descent descent;
};

static struct removal_level *removal_top(struct removal *removal)
{
    return &removal->levels[removal->descent.depth - 1];
}

/* What the path says now cannot be removed; the first one is told. */
static void removal_failed(struct removal *removal, int result)
{
    const char *prefix = place_prefix(removal->root), *path = removal->descent.path;
    if (removal->result < 0)
        return;
    removal->result = result;
    if (result == -EXDEV)
        error_set_class(removal->err, ERROR_FILE, EXDEV,
                        "%s%s: cannot be removed, another file system is mounted there", prefix,
                        path);
    else
        error_set(removal->err, -result, "%s%s: cannot be removed", prefix, path);
}

/* One of our own may be closed to us: rsync opens it then, and what is in it goes. */
static int open_to_empty(int fd_folder, const char *name)
{
    char link[TEXT_NUMBER_BYTES];
    struct stat st;
    int fd = openat(fd_folder, name, DESCENT_FLAGS);
    if (fd < 0 && errno != EACCES)
        return -errno;
    AUTO_CLOSE int fd_closed =
        fd >= 0 ? -1 : openat(fd_folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd_seen = fd >= 0 ? fd : fd_closed;
    if (fd_seen < 0)
        return -errno;
    bool mends = fstat(fd_seen, &st) == 0 && st.st_uid == geteuid() && (~st.st_mode & 0700);
    if (mends && chmod(text_fd_link(link, fd_seen), (st.st_mode & 07777) | 0700) == 0 && fd < 0)
        fd = openat(fd_folder, name, DESCENT_FLAGS);
    return fd >= 0 ? fd : -EACCES;
}

/* `name` is the last part of the path. */
static void removal_enter(struct removal *removal, int fd_folder, const char *name, uint32_t rounds)
{
    struct stat st;
    uint64_t mount = 0;
    AUTO_CLOSE int fd = open_to_empty(fd_folder, name);
    int result = fd < 0 ? fd : descent_look(fd, "", &st, &mount);
    if (result == -ENOENT)
        return;
    if (result == 0 && removal->descent.depth == 0) {
        removal->device = st.st_dev;
        removal->mount = mount;
    }
    if (result == 0 && (st.st_dev != removal->device || mount != removal->mount))
        result = -EXDEV;
    if (result < 0) {
        removal_failed(removal, result);
        return;
    }
    descent_enter(&removal->descent, take_fd(&fd), &st, mount);
    *removal_top(removal) = (struct removal_level){.rounds = rounds};
    listing_reset(&removal->listing);
    removal->lost = false;
}

/* One name, whatever it is by now. true: it is gone; else it was entered, or there is a reason. */
static bool removal_try(struct removal *removal, int fd_folder, const char *name, bool folder)
{
    if (unlinkat(fd_folder, name, folder ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
        return true;
    bool other = errno == (folder ? ENOTDIR : EISDIR);
    if (other && unlinkat(fd_folder, name, folder ? 0 : AT_REMOVEDIR) == 0)
        return true;
    if (errno == ENOTEMPTY || errno == EEXIST)
        removal_enter(removal, fd_folder, name, 0);
    else
        removal_failed(removal, -errno);
    return false;
}

/* The folder on top has no further names: it goes, is looked through again, or has to stay. */
static void removal_leave(struct removal *removal)
{
    struct descent *descent = &removal->descent;
    const struct removal_level was = *removal_top(removal);
    char name[PATH_MAX];
    descent_cut(descent);
    strcpy(name, place_name(descent->path)); /* a name that was added, or reached */
    descent_leave(descent);
    removal->lost = true;
    if (descent->depth > 0 && descent_regain(descent, removal->root) < 0)
        return; /* told when its own turn comes */
    if (descent->depth > 0)
        (void)descent_add(descent, name); /* it was there before */
    int fd = descent->depth > 0 ? descent_top(descent)->fd : removal->fd_above;
    if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        if (descent->depth > 0)
            removal_top(removal)->removed = true;
    } else if ((errno == ENOTEMPTY || errno == EEXIST) && was.removed && was.rounds < ROUNDS_MAX) {
        removal_enter(removal, fd, name, was.rounds + 1);
    } else {
        removal_failed(removal, -errno);
    }
}

/* false: there are no further names in the folder on top, or none that can be had. */
static bool removal_next(struct removal *removal, struct listing_name *found)
{
    struct descent *descent = &removal->descent;
    struct removal_level *top = removal_top(removal);
    int result = descent_regain(descent, removal->root);
    if (result == 1 || (result == 0 && removal->lost))
        result = listing_seek(&removal->listing, descent_top(descent)->fd, top->cookie);
    removal->lost = false;
    if (result == 0)
        result = listing_next(&removal->listing, descent_top(descent)->fd, found);
    if (result > 0) {
        top->cookie = found->cookie;
        return true;
    }
    descent_cut(descent);
    if (result < 0 && result != -ENOENT) {
        top->removed = false; /* no further round */
        removal_failed(removal, result);
    }
    return false;
}

/* May it go on? */
static bool removal_may_go_on(struct removal *removal)
{
    const struct removal_leave *leave = removal->leave;
    if (atomic_load(leave->over))
        removal->stopped = -ECANCELED;
    else if (leave->until_ns > 0 && clock_now_ns() >= leave->until_ns)
        removal->stopped = REMOVAL_LATE;
    return removal->stopped == 0;
}

static void removal_run(struct removal *removal)
{
    struct listing_name found;
    struct descent *descent = &removal->descent;
    while (descent->depth > 0 && removal_may_go_on(removal)) {
        if (!removal_next(removal, &found)) {
            removal_leave(removal);
            continue;
        }
        uint32_t depth = descent->depth;
        const char *name = descent_add(descent, found.name);
        if (!name)
            removal_failed(removal, -ENAMETOOLONG);
        else if (removal_try(removal, descent_top(descent)->fd, name, found.kind == FILE_FOLDER))
            removal->levels[depth - 1].removed = true;
    }
}

static int removal_begin(struct removal *removal, const char *path)
{
    struct stat st;
    const char *name = place_name(path);
    int result = descent_open(&removal->descent, path);
    if (result < 0)
        return result;
    removal->levels = calloc(DESCENT_DEPTH_MAX, sizeof(*removal->levels));
    removal->listing.buffer = malloc(LISTING_BYTES);
    if (!removal->levels || !removal->listing.buffer)
        return -ENOMEM;
    if (fstatat(removal->fd_above, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -errno;
    (void)removal_try(removal, removal->fd_above, name, S_ISDIR(st.st_mode));
    removal_run(removal);
    return removal->stopped ? removal->stopped : removal->result;
}

/* May names in this folder be removed? One of our own that is closed would be opened. */
static int removal_may(int fd_folder, const char *name)
{
    struct stat st;
    if (faccessat(fd_folder, name, W_OK | X_OK, 0) == 0)
        return 0;
    int result = -errno;
    bool ours = fstatat(fd_folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == geteuid();
    return result == -EACCES && ours && strcmp(name, ".") != 0 ? 0 : result;
}

int removal_probe(const struct place *root, const char *path, struct error *err)
{
    struct stat st, above;
    const char *name = place_name(path);
    AUTO_CLOSE int fd = place_reach_folder(root, path, O_PATH | O_DIRECTORY);
    int result = fd < 0 ? fd : removal_may(fd, ".");
    if (fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        result = -errno;
    bool sticky = result == 0 && fstat(fd, &above) == 0 && above.st_mode & S_ISVTX;
    uid_t user = geteuid();
    if (sticky && user != 0 && user != above.st_uid && user != st.st_uid)
        result = -EPERM;
    if (result == 0 && S_ISDIR(st.st_mode) && node_folder_is_empty(fd, name) == -ENOTEMPTY)
        result = removal_may(fd, name);
    if (result < 0 && result != -ENOENT)
        return error_set(err, -result, "%s%s: cannot be removed", place_prefix(root), path);
    return 0;
}

int removal_of(const struct place *root, const char *path, const struct removal_leave *leave,
               struct error *err)
{
    AUTO_CLOSE int fd = place_reach_folder(root, path, O_PATH | O_DIRECTORY);
    if (fd == -ENOENT)
        return 0;
    struct removal *removal = fd >= 0 ? calloc(1, sizeof(*removal)) : NULL;
    int result = fd < 0 ? fd : -ENOMEM;
    if (removal) {
        removal->root = root;
        removal->leave = leave;
        removal->err = err;
        removal->fd_above = fd;
        removal->listing.capacity = LISTING_BYTES;
        result = removal_begin(removal, path);
        descent_close(&removal->descent);
        free(removal->levels);
        free(removal->listing.buffer);
        free(removal);
    }
    if (result < 0 && !error_is_set(err))
        error_set(err, -result, "%s%s: cannot be removed", place_prefix(root), path);
    return result;
}
