/* pipe.c - pipes: opened so that nobody else's descriptor changes, and never waited at for long. */
#include "haul/disk/pipe.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    WAIT_MS = 100, /* how soon a request to stop is noticed */
    READER_WAIT_MS = 30000,
    READER_LOOK_MS = 20,
    PIPE_BYTES = 1024 * 1024, /* what a user may ask for (pipe(7), pipe-max-size) */
    SHARED_BYTES = 4096,      /* PIPE_BUF: as much as poll(2) promises */
};
enum { PIPE_FLAGS = O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

/* Memory devices, Documentation/admin-guide/devices.txt. */
enum { MEMORY_MAJOR = 1, NULL_MINOR = 3, ZERO_MINOR = 5, FULL_MINOR = 7, RANDOM_MINOR = 8 };
enum { URANDOM_MINOR = 9 };

/* ---- open ---- */

int pipe_descriptor(const char *path)
{
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    uint64_t number;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(path, names[i]) == 0)
            return (int)i;
    }
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        size_t length = strlen(folders[i]);
        if (strncmp(path, folders[i], length) == 0 && num_parse_u64(path + length, &number) &&
            number < INT16_MAX)
            return (int)number;
    }
    return -1;
}

const char *pipe_shown(const char *path)
{
    if (!path || strcmp(path, "/dev/stdin") == 0)
        return path ? "standard input" : NULL;
    return strncmp(path, "/proc/self/fd/", 14) == 0 ? "standard output" : path;
}

/* Opened anew where that is possible, so that O_NONBLOCK is ours alone. It is not with sockets, nor
 * with a pipe of another user's (su, sudo), nor where there is no /proc: then the descriptor itself
 * is used, as it is. */
static int open_anew(const char *path, int access)
{
    int fd = open(path, access | PIPE_FLAGS);
    if (fd >= 0)
        return fd;
    int errnum = errno, own = pipe_descriptor(path);
    fd = own >= 0 ? fcntl(own, F_DUPFD_CLOEXEC, 3) : -1;
    return fd >= 0 ? fd : -errnum;
}

/* A fifo without a reader is ENXIO, and so is what no program of this kind can open. */
static int open_for_reader(const char *path)
{
    struct stat st;
    int fd;
    for (int waited_ms = 0;; waited_ms += READER_LOOK_MS) {
        fd = open_anew(path, O_WRONLY);
        bool fifo = stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
        if (fd != -ENXIO || !fifo || waited_ms >= READER_WAIT_MS)
            return fd;
        (void)poll(NULL, 0, READER_LOOK_MS);
    }
}

static bool is_memory_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && major(st->st_rdev) == MEMORY_MAJOR;
}

bool pipe_is_endless(const struct file *file)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0 || !is_memory_device(&st))
        return false;
    unsigned int number = minor(st.st_rdev);
    return number == ZERO_MINOR || number == FULL_MINOR || number == RANDOM_MINOR ||
           number == URANDOM_MINOR;
}

static int take(struct file *file, const char *path, int fd, struct error *err)
{
    file->path = strdup(pipe_shown(path));
    if (!file->path) {
        close(fd);
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    }
    file->fd = fd;
    file->name = file->path;
    int result = file_facts(file, &file->facts, err);
    if (result == 0 && !pipe_is_kind(file->facts.kind))
        result = error_set_class(err, ERROR_FILE, ESTALE, "%s: was a pipe a moment ago", path);
    int room_bytes = fcntl(fd, F_GETPIPE_SZ);
    if (room_bytes > 0 && room_bytes < PIPE_BYTES)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* fewer turns; it works with less */
    if (result < 0)
        file_close(file);
    return result;
}

int pipe_open_source(struct file *file, const char *path, uint64_t size_bytes, struct error *err)
{
    file_init(file);
    int fd = open_anew(path, O_RDONLY);
    if (fd < 0)
        return error_set(err, -fd, "%s: cannot be opened for reading", path);
    int result = take(file, path, fd, err);
    if (result < 0)
        return result;
    file->readable = true;
    file->facts.size_bytes = size_bytes;
    file->facts.allocated_bytes = 0;
    if (size_bytes > 0 || !pipe_is_endless(file))
        return 0;
    file_close(file);
    return error_set_class(err, ERROR_USAGE, EINVAL,
                           "%s: never ends; --size=SIZE says how much of it is to be copied", path);
}

static int refuse_device(const struct file *file, bool write_devices, struct error *err)
{
    struct stat st;
    if (file->facts.kind != FILE_CHARACTER || write_devices || isatty(file->fd))
        return 0;
    bool harmless = fstat(file->fd, &st) == 0 && is_memory_device(&st) &&
                    (minor(st.st_rdev) == NULL_MINOR || minor(st.st_rdev) == ZERO_MINOR ||
                     minor(st.st_rdev) == FULL_MINOR);
    if (harmless)
        return 0;
    return error_set_class(err, ERROR_USAGE, EINVAL,
                           "%s: is a device; --write-devices allows writing to it", file->path);
}

int pipe_open_target(struct file *file, const char *path, bool write_devices, struct error *err)
{
    file_init(file);
    int fd = open_for_reader(path);
    if (fd == -ENXIO)
        return error_set(err, ENXIO, "%s: nobody reads it", pipe_shown(path));
    if (fd < 0)
        return error_set(err, -fd, "%s: cannot be opened for writing", pipe_shown(path));
    int result = take(file, path, fd, err);
    if (result < 0)
        return result;
    file->writable = true;
    result = refuse_device(file, write_devices, err);
    if (result < 0)
        file_close(file);
    return result;
}

/* ---- move ---- */

/* 1: now; 0: not for a moment; -errno. */
static int wait_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int count = poll(&poll_fd, 1, WAIT_MS);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    return count;
}

/* What could not be moved now: -EAGAIN is passed on only when it was waited for in vain. */
static int gone_wrong(int errnum)
{
    return errnum == EINTR || errnum == EAGAIN ? 0 : -errnum;
}

/* A fifo that nobody has opened for writing yet is not at its end: poll(2) knows. */
int pipe_read(const struct file *file, uint8_t *buffer, uint32_t length, uint32_t *moved)
{
    while (*moved < length) {
        int result = wait_for(file->fd, POLLIN);
        if (result <= 0)
            return result < 0 ? result : -EAGAIN;
        ssize_t got = read(file->fd, buffer + *moved, length - *moved);
        if (got == 0)
            return 0;
        result = got < 0 ? gone_wrong(errno) : 0;
        if (result < 0)
            return result;
        *moved += got > 0 ? (uint32_t)got : 0;
    }
    return 1;
}

/* A descriptor that is shared may block: then no more at a time than surely fits. */
static uint32_t piece_of(const struct file *file, uint32_t length)
{
    int flags = fcntl(file->fd, F_GETFL);
    bool blocks = flags >= 0 && !(flags & O_NONBLOCK);
    return blocks ? (uint32_t)min_u64(length, SHARED_BYTES) : length;
}

int pipe_write(const struct file *file, const uint8_t *buffer, uint32_t length, uint32_t *moved)
{
    while (*moved < length) {
        int result = wait_for(file->fd, POLLOUT);
        if (result <= 0)
            return result < 0 ? result : -EAGAIN;
        ssize_t put = write(file->fd, buffer + *moved, piece_of(file, length - *moved));
        result = put < 0 ? gone_wrong(errno) : 0;
        if (result < 0)
            return result;
        *moved += put > 0 ? (uint32_t)put : 0;
    }
    return 1;
}
