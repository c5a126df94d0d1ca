/* proc.h - small files of /proc, /sys and cgroups, read line by line. Nothing is allocated: this
 * also runs while lanes copy. */
#ifndef HAUL_PROC_H
#define HAUL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line of /proc/self/mountinfo with a long escaped root still fits; longer ones (overlayfs with
 * many layers) are left out whole. */
enum { PROC_LINE_BYTES = 8192 };
/* The same of what has short lines. Threads that copy small files look at some, and all of their
 * stacks are memory. */
enum { PROC_SHORT_BYTES = 512 };

struct proc_lines {
    int fd;
    size_t start, end, room;
    bool too_long; /* the rest of this line is being skipped */
    char *buffer;  /* room, and one more */
};

/* `path` below `root` ("" or "/": as it is), in place of what was open before. 0 or -errno;
 * proc_lines_close() follows either. */
int proc_lines_open(struct proc_lines *lines, const char *root, const char *path);
/* The next line without its newline, valid until the next call; NULL at the end. */
char *proc_lines_next(struct proc_lines *lines);
void proc_lines_close(struct proc_lines *lines);

/* Lines of at most so many bytes, on the stack: of the buffer no page is touched that no line
 * needs.
 */
#define AUTO_PROC_LINES(name, bytes)                                                               \
    char name##_buffer[(bytes) + 1];                                                               \
    __attribute__((cleanup(proc_lines_close))) struct proc_lines name = {                          \
        .fd = -1, .room = (bytes), .buffer = name##_buffer}

/* `root` without its trailing slashes, then `path`, into PATH_MAX bytes. false: does not fit. */
bool proc_join(char *out, const char *root, const char *path);

/* One number out of a small file of /proc or a cgroup: that of the first line that begins with
 * `key`, or of the first line when key is "". "max" gives NUM_UNKNOWN. Units are the file's. 0, or
 * -errno of opening it, -ENODATA: no such line, -EINVAL: no number there; *value is then
 * unchanged. */
int proc_figure(const char *path, const char *key, uint64_t *value);

/* The same of a file below a folder ("": the root); `otherwise`: there is none. */
uint64_t proc_figure_in(const char *folder, const char *file, const char *key, uint64_t otherwise);
/* In bytes, of what counts in units of 1024, which /proc calls kB; NUM_UNKNOWN. */
uint64_t proc_figure_kb(const char *folder, const char *file, const char *key);

/* How long the processors have been idle, all together, since the machine was started, by
 * proc/stat below `root`; NUM_UNKNOWN. Processors that wait for a disk are idle. */
uint64_t proc_idle_ns(const char *root);

#endif
