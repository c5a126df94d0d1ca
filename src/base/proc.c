/* proc.c - lines and figures of small files. */
#include "haul/base/proc.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *proc_lines_next(struct proc_lines *lines)
{
    for (;;) {
        char *line = lines->buffer + lines->start;
        char *newline = memchr(line, '\n', lines->end - lines->start);
        if (newline) {
            *newline = '\0';
            lines->start = (size_t)(newline - lines->buffer) + 1;
            if (!lines->too_long)
                return line;
            lines->too_long = false;
            continue;
        }
        lines->end -= lines->start;
        memmove(lines->buffer, line, lines->end);
        lines->start = 0;
        if (lines->end == lines->room) {
            lines->too_long = true;
            lines->end = 0;
        }
        ssize_t got = read(lines->fd, lines->buffer + lines->end, lines->room - lines->end);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            bool last = lines->end > 0 && !lines->too_long;
            lines->buffer[lines->end] = '\0';
            lines->end = 0;
            return last ? lines->buffer : NULL;
        }
        lines->end += (size_t)got;
    }
}

bool proc_join(char *out, const char *root, const char *path)
{
    size_t length = strlen(root);
    while (length > 0 && root[length - 1] == '/')
        length--;
    int printed = snprintf(out, PATH_MAX, "%.*s%s", (int)length, root, path);
    return printed >= 0 && printed < PATH_MAX;
}

void proc_lines_close(struct proc_lines *lines)
{
    cleanup_close(&lines->fd);
}

static int lines_begin(struct proc_lines *lines, int folder_fd, const char *path)
{
    proc_lines_close(lines);
    lines->start = lines->end = 0;
    lines->too_long = false;
    lines->fd = openat(folder_fd, path, O_RDONLY | O_CLOEXEC);
    return lines->fd < 0 ? -errno : 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *beneath(const char *path)
{
    while (*path == '/')
        path++;
    return path;
}

/* By a descriptor: a path of both would take a page of the stack. */
static int root_open(const char *root)
{
    int fd = open(root[0] ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int proc_lines_open(struct proc_lines *lines, const char *root, const char *path)
{
    AUTO_CLOSE int fd = root_open(root);
    return fd < 0 ? fd : lines_begin(lines, fd, beneath(path));
}

static int figure_at(int folder_fd, const char *path, const char *key, uint64_t *value)
{
    size_t key_length = strlen(key);
    AUTO_PROC_LINES(lines, PROC_SHORT_BYTES);
    int rc = lines_begin(&lines, folder_fd, path);
    if (rc)
        return rc;
    char *line = proc_lines_next(&lines);
    while (line && strncmp(line, key, key_length) != 0)
        line = proc_lines_next(&lines);
    if (!line)
        return -ENODATA;
    char *number = line + key_length;
    while (is_blank(*number))
        number++;
    char *end = number;
    while (*end && !is_blank(*end))
        end++;
    *end = '\0';
    if (strcmp(number, "max") == 0) {
        *value = NUM_UNKNOWN;
        return 0;
    }
    return num_parse_u64(number, value) ? 0 : -EINVAL;
}

int proc_figure(const char *path, const char *key, uint64_t *value)
{
    return figure_at(AT_FDCWD, path, key, value);
}

uint64_t proc_figure_in(const char *folder, const char *file, const char *key, uint64_t otherwise)
{
    uint64_t value = otherwise;
    AUTO_CLOSE int fd = root_open(folder);
    if (fd >= 0)
        (void)figure_at(fd, beneath(file), key, &value);
    return value;
}

uint64_t proc_figure_kb(const char *folder, const char *file, const char *key)
{
    uint64_t bytes, value = proc_figure_in(folder, file, key, NUM_UNKNOWN);
    return value != NUM_UNKNOWN && mul_u64(value, KIB, &bytes) ? bytes : NUM_UNKNOWN;
}

/* "cpu  user nice system idle iowait ...", in ticks. */
uint64_t proc_idle_ns(const char *root)
{
    AUTO_PROC_LINES(lines, PROC_SHORT_BYTES);
    uint64_t idle, waiting;
    if (proc_lines_open(&lines, root, "/proc/stat") != 0)
        return NUM_UNKNOWN;
    const char *line = proc_lines_next(&lines);
    long ticks = sysconf(_SC_CLK_TCK);
    if (!line || ticks <= 0 ||
        sscanf(line, "cpu %*u %*u %*u %" SCNu64 " %" SCNu64, &idle, &waiting) != 2)
        return NUM_UNKNOWN;
    return (idle + waiting) * (NS_PER_SECOND / (uint64_t)ticks);
}
