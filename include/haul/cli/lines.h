/* lines.h - a file that somebody wrote for us, line by line: rules, names. */
#ifndef HAUL_LINES_H
#define HAUL_LINES_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct lines {
    FILE *file;
    const char *path; /* the caller's; "-": standard input */
    bool zeros;       /* lines end with a zero byte */
    char *line;
    size_t capacity;
    unsigned long number; /* of the line that was read last, from 1 on */
};

/* what: as messages call it, "file of names". -errno with words; lines are closed then. */
int lines_open(struct lines *lines, const char *path, bool zeros, const char *what,
               struct error *err);
void lines_close(struct lines *lines);

/* The next line, with what ends it, until the one after it: 1; 0: that was the last; -errno with
 * words. */
int lines_next(struct lines *lines, char **line, size_t *length, struct error *err);

/* How long a line that begins at `text` is, without what ends it: of those of zero bytes nothing
 * else does. */
size_t lines_length(const struct lines *lines, const char *text);

#endif
