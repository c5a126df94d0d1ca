/* node.c - folders, symbolic links, fifos, sockets, devices, hard links: a table of what makes one
 * and when one is right. It knows nothing of owners, modes and times. */
#include "haul/disk/node.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/place.h"
#include "haul/disk/spelling.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Others may make and remove the same name meanwhile. */
enum { ATTEMPTS_MAX = 16 };

/* ---- the table ---- */

struct node_row {
    mode_t type;
    /* Is what stands there, of this type, the one that is wanted? */
    bool (*right)(int fd_folder, const char *name, const struct stat *now,
                  const struct node_wish *wish);
    /* A new one, where nothing is. 0, or -1 with errno. */
    int (*make)(int fd_folder, const char *name, const struct node_wish *wish);
};

static bool any_right(int fd_folder, const char *name, const struct stat *now,
                      const struct node_wish *wish)
{
    (void)fd_folder, (void)name, (void)now, (void)wish;
    return true;
}

static int folder_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return mkdirat(fd_folder, name, (wish->mode & 0777) | S_IRWXU);
}

static bool link_right(int fd_folder, const char *name, const struct stat *now,
                       const struct node_wish *wish)
{
    char text[PATH_MAX];
    (void)now;
    ssize_t length = readlinkat(fd_folder, name, text, sizeof(text));
    return length >= 0 && (size_t)length == strlen(wish->link_text) &&
           memcmp(text, wish->link_text, (size_t)length) == 0;
}

static int link_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return symlinkat(wish->link_text, fd_folder, name);
}

static int fifo_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return mknodat(fd_folder, name, S_IFIFO | (wish->mode & 0777), 0);
}

/* mknod(2) makes a socket that nobody listens to; bind(2) would follow names, and allow 107 bytes
 * of them. */
static int socket_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return mknodat(fd_folder, name, S_IFSOCK | (wish->mode & 0777), 0);
}

static bool device_right(int fd_folder, const char *name, const struct stat *now,
                         const struct node_wish *wish)
{
    (void)fd_folder, (void)name;
    return (uint64_t)now->st_rdev == wish->rdev;
}

static int block_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return mknodat(fd_folder, name, S_IFBLK | (wish->mode & 0777), (dev_t)wish->rdev);
}

static int character_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return mknodat(fd_folder, name, S_IFCHR | (wish->mode & 0777), (dev_t)wish->rdev);
}

static const struct node_row rows[] = {
    [FILE_REGULAR] = {S_IFREG, any_right, NULL},
    [FILE_FOLDER] = {S_IFDIR, any_right, folder_make},
    [FILE_DEVICE] = {S_IFBLK, device_right, block_make},
    [FILE_LINK] = {S_IFLNK, link_right, link_make},
    [FILE_FIFO] = {S_IFIFO, any_right, fifo_make},
    [FILE_SOCKET] = {S_IFSOCK, any_right, socket_make},
    [FILE_CHARACTER] = {S_IFCHR, device_right, character_make},
};

/* One more name of something: of any type. */
static bool leader_right(int fd_folder, const char *name, const struct stat *now,
                         const struct node_wish *wish)
{
    (void)fd_folder, (void)name;
    return place_holds(wish->fd_leader_folder, wish->leader_name, AT_SYMLINK_NOFOLLOW, now->st_dev,
                       now->st_ino) == 1;
}

static int leader_make(int fd_folder, const char *name, const struct node_wish *wish)
{
    return linkat(wish->fd_leader_folder, wish->leader_name, fd_folder, name, 0);
}

static const struct node_row hard_link = {0, leader_right, leader_make};

/* ---- making ---- */

/* The new one takes the place of what is no folder, at once. */
static int node_swap(int fd_folder, const char *name, const struct node_row *row,
                     const struct node_wish *wish)
{
    char temporary[BESIDE_NAME_BYTES];
    beside_name(temporary, name, BESIDE_NEW);
    int result = row->make(fd_folder, temporary, wish);
    if (result != 0 && errno == EEXIST && unlinkat(fd_folder, temporary, 0) == 0)
        result = row->make(fd_folder, temporary, wish);
    if (result == 0)
        result = renameat(fd_folder, temporary, fd_folder, name);
    result = result == 0 ? 0 : -errno;
    /* After a rename, too: of two names of one file it does nothing. */
    (void)unlinkat(fd_folder, temporary, 0);
    return result;
}

/* Something else is there. 0: it is the wanted one now, or there is nothing any more. */
static int node_replace(int fd_folder, const char *name, const struct node_row *row,
                        const struct node_wish *wish, const struct stat *now)
{
    char left[BESIDE_NAME_BYTES]; /* of a run that was killed when something else was wanted */
    bool folder = S_ISDIR(now->st_mode);
    if (!folder && row->make && row->type != S_IFDIR)
        return node_swap(fd_folder, name, row, wish);
    beside_name(left, name, BESIDE_NEW);
    (void)unlinkat(fd_folder, left, 0);
    return unlinkat(fd_folder, name, folder ? AT_REMOVEDIR : 0) == 0 ? 0 : -errno;
}

/* A folder whose owner took his own rights from it could not be filled. */
static int folder_open_up(int fd_folder, const char *name)
{
    char link[TEXT_NUMBER_BYTES];
    struct stat now;
    AUTO_CLOSE int fd = openat(fd_folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0)
        return -errno;
    bool usable = (now.st_mode & S_IRWXU) == S_IRWXU;
    if (usable || geteuid() == 0 || now.st_uid != geteuid())
        return 0;
    return chmod(text_fd_link(link, fd), (now.st_mode & 07777) | S_IRWXU) == 0 ? 0 : -errno;
}

int node_folder_is_empty(int fd_folder, const char *name)
{
    const struct dirent *entry;
    int fd = openat(fd_folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        int result = -errno;
        cleanup_close(&fd);
        return result;
    }
    do {
        errno = 0;
        entry = readdir(folder);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    int result = entry ? -ENOTEMPTY : -errno;
    closedir(folder);
    return result;
}

/* What the act would meet, as far as that can be seen: 1, or -errno. */
static int node_would(int fd_folder, const char *name, const struct node_row *row,
                      const struct node_wish *wish, bool in_the_way)
{
    struct stat folder, leader;
    bool device = row->type == S_IFBLK || row->type == S_IFCHR;
    int room = in_the_way ? node_folder_is_empty(fd_folder, name) : 0;
    if (room < 0)
        return room;
    if (faccessat(fd_folder, ".", W_OK | X_OK, 0) != 0)
        return -errno;
    if (device && geteuid() != 0)
        return -EPERM;
    bool apart = row == &hard_link && fstat(fd_folder, &folder) == 0 &&
                 fstat(wish->fd_leader_folder, &leader) == 0 && folder.st_dev != leader.st_dev;
    return apart ? -EXDEV : 1;
}

/* One look and, where it is needed, one act. 1: it is there, and right; 0: look again; or -errno.
 */
static int node_attempt(int fd_folder, const char *name, const struct node_wish *wish, bool dry,
                        struct node_made *made)
{
    const struct node_row *row = wish->fd_leader_folder >= 0 ? &hard_link : &rows[wish->kind];
    bool first = made->made == JOB_UNCHANGED;
    struct stat now;
    int looked = fstatat(fd_folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
    if (looked == 0 && wish->spelled)
        looked = spelling_check(fd_folder, name, wish->spelled);
    if (looked == SPELLING_NOTHING)
        return 0;
    if (looked < 0 && looked != -ENOENT)
        return looked;
    if (first && looked == 0)
        made->before = now;
    if (first)
        made->existed = looked == 0;
    bool typed = row->type == 0 || row->type == (now.st_mode & S_IFMT);
    if (looked == 0 ? typed && row->right(fd_folder, name, &now, wish) : !row->make)
        return 1;
    if (first)
        made->made = looked == 0 ? JOB_CHANGED : JOB_CREATED;
    if (dry)
        return node_would(fd_folder, name, row, wish, looked == 0 && S_ISDIR(now.st_mode));
    if (looked == 0)
        return node_replace(fd_folder, name, row, wish, &now);
    return row->make(fd_folder, name, wish) == 0 || errno == EEXIST ? 0 : -errno;
}

int node_make(int fd_folder, const char *name, const struct node_wish *wish, bool dry,
              struct node_made *made)
{
    int result = 0;
    assert(wish->fd_leader_folder >= 0 || (wish->kind < COUNT_OF(rows) && rows[wish->kind].type));
    *made = (struct node_made){.made = JOB_UNCHANGED};
    for (int attempt = 0; result == 0 && attempt < ATTEMPTS_MAX; attempt++)
        result = node_attempt(fd_folder, name, wish, dry, made);
    if (result <= 0)
        return result == 0 ? -EBUSY : result;
    bool folder = wish->fd_leader_folder < 0 && wish->kind == FILE_FOLDER;
    return folder && !dry ? folder_open_up(fd_folder, name) : 0;
}
