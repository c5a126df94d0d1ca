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
    if (standard && lines_took_input())
        return error_usage(
            err, "standard input was read to its end already, so it cannot be the %s", what);
    lines->file = standard ? stdin : fopen(path, "re");
    return lines->file ? 0 : error_set(err, errno, "%s: the %s cannot be opened", path, what);
}

void lines_close(struct lines *lines)
{
    free(lines->buffer);
    if (lines->file && lines->file != stdin)
        fclose(lines->file);
    *lines = (struct lines){.file = NULL};
}

bool lines_took_input(void)
{
    return feof(stdin);
}

/* 1, 0, -errno with words: as lines_next(), but up to a line feed or a zero byte. */
static int read_more(struct lines *lines, struct error *err)
{
    errno = 0;
    ssize_t got =
        getdelim(&lines->buffer, &lines->capacity, lines->zeros ? '\0' : '\n', lines->file);
    if (got < 0)
        return errno != 0 ? error_set(err, errno, "%s: cannot be read", lines->path) : 0;
    lines->number++;
    lines->next = lines->buffer;
    lines->end = lines->buffer + got;
    return 1;
}

int lines_next(struct lines *lines, char **line, struct error *err)
{
    for (;;) {
        int result = lines->next < lines->end ? 1 : read_more(lines, err);
        if (result <= 0)
            return result;
        char *text = lines->next;
        size_t length = lines->zeros ? strlen(text) : strcspn(text, "\r\n");
        if (!lines->zeros && text[length] == '\0' && text + length < lines->end)
            return lines_wrong(lines, error_usage(err, "a zero byte: is -0 meant?"), err);
        text[length] = '\0';
        lines->next = text + length + 1;
        *line = text;
        if (length > 0)
            return 1;
    }
}

int lines_wrong(const struct lines *lines, int result, struct error *err)
{
    error_prefix(err, "%s, line %lu", lines->path, lines->number);
    return result;
}
