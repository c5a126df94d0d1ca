/* list.c - names to be copied, from a file. */
#include "haul/cli/list.h"

#include "haul/base/log.h"
#include "haul/cli/lines.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* rsync reads "host:file" over there. */
static int refuse_there(const char *path, struct error *err)
{
    struct stat st;
    size_t length = strcspn(path, ":/");
    const char *file = path + length + 1;
    if (path[length] != ':' || lstat(path, &st) == 0)
        return 0;
    return error_usage(err,
                       "--files-from=%s: the list is read here: ssh %.*s cat %s | haul "
                       "--files-from=- ...",
                       path, length > 0 ? (int)length : 4, length > 0 ? path : "HOST", file);
}

static int list_lines(struct names *names, struct lines *lines, struct error *err)
{
    char *line;
    int result;
    while ((result = lines_next(lines, &line, err)) > 0) {
        bool comment = !lines->zeros && (line[0] == '#' || line[0] == ';');
        result = comment ? 0 : names_add(names, line, err);
        if (result < 0)
            return lines_wrong(lines, result, err);
    }
    return result;
}

int list_read(struct names **out, const char *path, bool zeros, struct error *err)
{
    struct lines lines;
    *out = NULL;
    int result = refuse_there(path, err);
    if (result == 0)
        result = lines_open(&lines, path, zeros, "list of names", err);
    if (result < 0)
        return result;
    struct names *names = names_open();
    result = names ? list_lines(names, &lines, err)
                   : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a list of names");
    if (result == 0)
        result = names_settle(names, err);
    if (result == 0 && names_count(names) == 0)
        log_note("%s: there is no name in it", lines.path);
    lines_close(&lines);
    if (result < 0) {
        names_close(names);
        return result;
    }
    *out = names;
    return 0;
}
