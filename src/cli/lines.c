/* lines.c - lines of a file, or of standard input. */
#include "haul/cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lines_open(struct lines *lines, const char *path, bool zeros, const char *what,
               struct error *err)
{
    bool standard = strcmp(path, "-") == 0;
    *lines = (struct lines){.path = standard ? "standard input" : path, .zeros = zeros};
    lines->file = standard ? stdin : fopen(path, "re");
    return lines->file ? 0 : error_set(err, errno, "%s: the %s cannot be opened", path, what);
}

void lines_close(struct lines *lines)
{
    free(lines->line);
    if (lines->file && lines->file != stdin)
        fclose(lines->file);
    *lines = (struct lines){.file = NULL};
}

int lines_next(struct lines *lines, char **line, size_t *length, struct error *err)
{
    errno = 0;
    ssize_t got = getdelim(&lines->line, &lines->capacity, lines->zeros ? '\0' : '\n', lines->file);
    if (got < 0 && errno != 0)
        return error_set(err, errno, "%s: cannot be read", lines->path);
    if (got < 0)
        return 0;
    lines->number++;
    *line = lines->line;
    *length = (size_t)got;
    return 1;
}

size_t lines_length(const struct lines *lines, const char *text)
{
    return lines->zeros ? strlen(text) : strcspn(text, "\r\n");
}
