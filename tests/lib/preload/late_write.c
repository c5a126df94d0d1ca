/* late_write - to be preloaded: somebody writes a byte to the file LATE_WRITE between the moment in
 * which it is given its source's time, which is long ago, and the sync behind that; once. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { YEAR = 365 * 24 * 3600, PLACE = 5000 };

static void write_late(int fd)
{
    static _Atomic unsigned times;
    const char *path = getenv("LATE_WRITE");
    struct stat synced, named;
    if (!path || fstat(fd, &synced) != 0 || stat(path, &named) != 0 ||
        synced.st_ino != named.st_ino || synced.st_dev != named.st_dev ||
        synced.st_mtime > time(NULL) - YEAR || times++ > 0) {
        return;
    }
    int other = open(path, O_RDWR | O_CLOEXEC);
    char byte = 0;
    if (other < 0 || pread(other, &byte, 1, PLACE) != 1) {
        abort();
    }
    byte ^= 1;
    if (pwrite(other, &byte, 1, PLACE) != 1) {
        abort();
    }
    close(other);
}

int fsync(int fd)
{
    write_late(fd);
    return (int)syscall(SYS_fsync, fd);
}
