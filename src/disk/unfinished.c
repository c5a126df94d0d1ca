/* unfinished.c - a sign on what is being written. It does not know when that is. */
#include "haul/disk/unfinished.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/disk/file.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The time of status change moves, and would say of an old copy that it was finished now, were it
 * killed before its first byte is another. */
int unfinished_set(int fd, bool lasting)
{
    int found = 0;
    if (futimens(fd, NULL) != 0)
        return -errno;
    if (fsetxattr(fd, UNFINISHED_NAME, "", 0, XATTR_CREATE) != 0) {
        if (errno != EEXIST)
            return -errno;
        found = 1;
    }
    return !lasting || fsync(fd) == 0 ? found : -errno;
}

void unfinished_undo(int fd, const struct facts *facts)
{
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = (time_t)facts->mtime_seconds, .tv_nsec = (long)facts->mtime_ns},
    };
    if (fremovexattr(fd, UNFINISHED_NAME) == 0)
        (void)futimens(fd, times);
}

int unfinished_clear(int fd, const char *shown, struct error *err)
{
    if (fremovexattr(fd, UNFINISHED_NAME) == 0)
        return 0;
    int errnum = errno; /* what may not be changed is refused, whether it is there or not */
    if (fgetxattr(fd, UNFINISHED_NAME, NULL, 0) < 0)
        return 0;
    return error_set(err, errnum, "%s: its attribute %s cannot be removed", shown, UNFINISHED_NAME);
}

/* By its name in /proc: an O_PATH descriptor is refused, and whoever may look may not always read.
 */
bool unfinished_lies(const struct place *place, const char *path)
{
    char link[TEXT_NUMBER_BYTES];
    AUTO_CLOSE int fd = place_reach(place, path, O_PATH);
    return fd >= 0 && getxattr(text_fd_link(link, fd), UNFINISHED_NAME, NULL, 0) >= 0;
}
