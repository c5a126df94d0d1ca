/* snapshot.c - the content of a small file whose size is not known before it has been read. */
#include "haul/disk/snapshot.h"

#include "haul/base/cleanup.h"

#include <errno.h>
#include <sys/mman.h>

/* One read of the source, and all of it into the copy: what was read, 0 at the end. */
static ssize_t copy_some(int fd, int fd_out, void *buffer, size_t capacity)
{
    ssize_t got;
    do
        got = read(fd, buffer, capacity);
    while (got < 0 && errno == EINTR);
    for (ssize_t done = 0; done < got;) {
        ssize_t wrote = write(fd_out, (char *)buffer + done, (size_t)(got - done));
        if (wrote < 0 && errno != EINTR)
            return -1;
        done += wrote > 0 ? wrote : 0;
    }
    return got;
}

int snapshot_take(int fd, const char *path, uint64_t *size_bytes, struct error *err)
{
    enum { PART_BYTES = 64 * 1024 };
    AUTO_FREE void *buffer = malloc(PART_BYTES);
    AUTO_CLOSE int copy = memfd_create("haul-snapshot", MFD_CLOEXEC);
    ssize_t got = 1;
    *size_bytes = 0;
    if (!buffer || copy < 0)
        return error_set_class(err, ERROR_MEMORY, buffer ? errno : ENOMEM,
                               "%s: tells no size, and there is no memory to read it into", path);
    while (got > 0 && *size_bytes <= SNAPSHOT_BYTES_MAX) {
        got = copy_some(fd, copy, buffer, PART_BYTES);
        *size_bytes += got > 0 ? (uint64_t)got : 0;
    }
    if (got < 0)
        return error_set(err, errno, "%s: tells no size, and cannot be read as a whole", path);
    if (*size_bytes > SNAPSHOT_BYTES_MAX)
        return error_set_class(
            err, ERROR_FILE, EFBIG,
            "%s: tells no size and does not end within 1 MiB; copy it by another "
            "program first",
            path);
    return take_fd(&copy);
}
