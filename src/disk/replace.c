/* replace.c - a new file under another name, a rename, and the folder's sync. */
#include "haul/disk/replace.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS_MAX = 16 }; /* others may rename it away meanwhile */

/* The kernel follows a link first, as it does not follow every link for everybody
 * (protected_symlinks, proc(5)). */
static char *replace_follow(const char *path, int flags)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
        return strdup(path);
    AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC, 0666);
    return fd >= 0 ? realpath(path, NULL) : NULL;
}

char *replace_find(const char *path)
{
    char *real = replace_follow(path, O_PATH);
    return real ? real : strdup(path);
}

int replace_begin(struct replace *replace, const char *path, struct error *err)
{
    char own[BESIDE_NAME_BYTES];
    AUTO_FREE char *last = NULL;
    const int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY;
    *replace = (struct replace){.path = replace_follow(path, flags)};
    if (!replace->path)
        return error_set(err, errno, "%s: cannot be followed", path);
    bool split = text_split_path(replace->path, &replace->folder, &last);
    if (split) {
        beside_name(own, last, BESIDE_NEW);
        replace->aside = text_join_path(replace->folder, own);
    }
    if (replace->aside)
        return 0;
    replace_close(replace);
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
}

int replace_end(const struct replace *replace, struct error *err)
{
    if (rename(replace->aside, replace->path) != 0)
        return error_set(err, errno, "%s: cannot be written", replace->path);
    AUTO_CLOSE int fd = open(replace->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        return error_set(err, errno, "%s: its folder cannot be synced", replace->path);
    return 0;
}

void replace_undo(const struct replace *replace)
{
    if (replace->aside)
        (void)unlink(replace->aside);
}

void replace_close(struct replace *replace)
{
    free(replace->path);
    free(replace->folder);
    free(replace->aside);
    *replace = (struct replace){.path = NULL};
}

/* ---- a small one ---- */

/* It has that name still, and is ours alone. 1, 0: it has not, -errno. */
static int claim(int fd, const char *path)
{
    struct stat mine, there;
    int result = file_flock(fd, LOCK_EX);
    if (result < 0 || fstat(fd, &mine) != 0)
        return result < 0 ? result : -errno;
    return lstat(path, &there) == 0 && mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

static int open_beside(const char *path)
{
    int result = 0;
    for (int attempt = 0; result == 0 && attempt < ATTEMPTS_MAX; attempt++) {
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0)
            return -errno;
        result = claim(fd, path);
        if (result > 0)
            return take_fd(&fd);
    }
    return result < 0 ? result : -EBUSY;
}

static int fill(int fd, const char *text, size_t length)
{
    if (ftruncate(fd, 0) != 0)
        return -errno;
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno != EINTR)
            return -errno;
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

int replace_file(const char *path, const char *text, size_t length, struct error *err)
{
    struct replace replace;
    int result = replace_begin(&replace, path, err);
    if (result < 0)
        return result;
    AUTO_CLOSE int fd = open_beside(replace.aside);
    result = fd < 0 ? fd : fill(fd, text, length);
    if (result < 0)
        error_set(err, -result, "%s: cannot be written", path);
    else
        result = replace_end(&replace, err);
    if (result < 0 && fd >= 0)
        replace_undo(&replace);
    replace_close(&replace);
    return result;
}
