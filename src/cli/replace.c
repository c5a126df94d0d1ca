/* replace.c - small files, as a whole. */
#include "haul/cli/replace.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS_MAX = 16 }; /* others may rename it away meanwhile */

/* It has that name still, and is ours alone. 1, 0: it has not, -errno. */
static int claim(int fd, int fd_folder, const char *own)
{
    struct stat mine, there;
    int result = file_flock(fd, LOCK_EX);
    if (result < 0 || fstat(fd, &mine) != 0)
        return result < 0 ? result : -errno;
    return fstatat(fd_folder, own, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

static int open_beside(int fd_folder, const char *own)
{
    int result = 0;
    for (int attempt = 0; result == 0 && attempt < ATTEMPTS_MAX; attempt++) {
        AUTO_CLOSE int fd =
            openat(fd_folder, own, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0)
            return -errno;
        result = claim(fd, fd_folder, own);
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
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *last = NULL;
    char own[BESIDE_NAME_BYTES];
    if (!text_split_path(path, &folder, &last))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    AUTO_CLOSE int fd_folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_folder < 0)
        return error_set(err, errno, "%s: its folder cannot be opened", path);
    beside_name(own, last, BESIDE_NEW);
    AUTO_CLOSE int fd = open_beside(fd_folder, own);
    int result = fd < 0 ? fd : fill(fd, text, length);
    if (result == 0 && renameat(fd_folder, own, fd_folder, last) != 0)
        result = -errno;
    if (result < 0 && fd >= 0)
        (void)unlinkat(fd_folder, own, 0);
    else if (result == 0 && fsync(fd_folder) != 0 && errno != EINVAL)
        result = -errno;
    return result < 0 ? error_set(err, -result, "%s: cannot be written", path) : 0;
}
