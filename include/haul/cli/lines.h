/* lines.h - a file that somebody wrote for us, line by line: rules, names, ranges. */
#ifndef HAUL_LINES_H
#define HAUL_LINES_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct lines {
    FILE *file;
    const char *path; /* the caller's; "-": standard input */
    bool zeros;       /* lines end with a zero byte, else with "\n", "\r" or both */
    char *buffer;
    size_t capacity;
    char *next, *end;     /* what of it is still to come */
    unsigned long number; /* of the line that was read last, from 1 on; "\r" alone does not count */
};

/* what: as messages call it, "file of names". -errno with words; lines are closed then. Standard
 * input, which can be read only once: -EINVAL (ERROR_USAGE) for the second who wants it. */
int lines_open(struct lines *lines, const char *path, bool zeros, const char *what,
               struct error *err);
void lines_close(struct lines *lines);

/* Has standard input been read to its end as such a file? */
bool lines_took_input(void);

/* The next line that is not empty, without what ends it, until the one after it: 1; 0: there is no
 * more; -errno with words. A zero byte in lines that do not end with one is refused (ERROR_USAGE):
 * what is behind it would be lost. */
int lines_next(struct lines *lines, char **line, struct error *err);

/* The line that was read last is wrong: its place goes in front of the words. Returns `result`. */
int lines_wrong(const struct lines *lines, int result, struct error *err);

#endif
