/* probe.c - what could be done with a path, found out without doing it. */
#include "haul/probe.h"

#include "haul/cleanup.h"
#include "haul/place.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int probe_folder(const struct place *place, const char *path, struct error *err)
{
    AUTO_CLOSE int fd = place_reach_folder(place, path, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return error_set(err, -fd, "%s: its folder cannot be opened", path);
    /* Says EROFS and, of an immutable folder, EPERM also to root (fs/namei.c). */
    if (faccessat(fd, ".", W_OK | X_OK, 0) != 0)
        return error_set(err, errno, "%s: cannot be created", path);
    return 0;
}
