/* pipes.c - "-", zero:SIZE and null: become paths. */
#include "haul/cli/pipes.h"

#include "haul/base/text.h"
#include "haul/cli/output.h"
#include "haul/disk/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char zero_prefix[] = "zero:", null_word[] = "null:";

/* By any of their names in /dev and /proc. */
static bool is_input(const char *operand)
{
    return pipe_descriptor(operand) == STDIN_FILENO;
}

static bool is_output(const char *operand)
{
    return pipe_descriptor(operand) == STDOUT_FILENO;
}

static bool is_zero(const char *operand)
{
    return strncmp(operand, zero_prefix, sizeof(zero_prefix) - 1) == 0;
}

bool pipes_know(const char *operand)
{
    return strcmp(operand, "-") == 0 || is_input(operand) || is_output(operand) ||
           is_zero(operand) || strcmp(operand, null_word) == 0;
}

static int resolve_zero(struct address *address, const char *operand, bool target,
                        uint64_t *size_bytes, struct error *err)
{
    const char *size = operand + sizeof(zero_prefix) - 1;
    if (target)
        return error_usage(err, "%s: is a source; a target is null:", operand);
    if (!text_parse_size(size, size_bytes) || *size_bytes == 0)
        return error_usage(err, "%s: a size is missing: zero:SIZE", operand);
    snprintf(address->path, sizeof(address->path), "/dev/zero");
    return 0;
}

static int resolve_null(struct address *address, bool target, struct error *err)
{
    if (!target)
        return error_usage(err, "null: is a target; a source is zero:SIZE");
    snprintf(address->path, sizeof(address->path), "/dev/null");
    return 0;
}

/* The name of the file that a descriptor is open on, which is at its beginning. */
static int name_file(struct address *address, int fd, const struct stat *st, const char *what,
                     struct error *err)
{
    char link[TEXT_NUMBER_BYTES];
    struct stat named;
    ssize_t length = readlink(text_fd_link(link, fd), address->path, sizeof(address->path) - 1);
    address->path[length > 0 ? length : 0] = '\0';
    bool whole = S_ISBLK(st->st_mode) || lseek(fd, 0, SEEK_CUR) == 0;
    bool same = length > 0 && stat(address->path, &named) == 0 && named.st_dev == st->st_dev &&
                named.st_ino == st->st_ino;
    if (whole && same && !(fcntl(fd, F_GETFL) & O_APPEND))
        return 0;
    return error_usage(
        err, "%s is a file, of which a part has gone by already; name it instead of -", what);
}

static int resolve_standard(struct address *address, bool target, struct error *err)
{
    struct stat st;
    int fd = target ? STDOUT_FILENO : STDIN_FILENO;
    const char *what = target ? "standard output" : "standard input";
    if (fstat(fd, &st) != 0)
        return error_set(err, errno, "%s", what);
    if (output_stands_in(fd))
        return error_set_class(err, ERROR_FILE, EBADF, "%s is closed", what);
    if (S_ISDIR(st.st_mode))
        return error_set_class(err, ERROR_FILE, EISDIR, "%s is a folder", what);
    bool file = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
    int result = file ? name_file(address, fd, &st, what, err) : 0;
    if (target && result == 0)
        fd = output_give_away(err);
    if (fd < 0)
        return fd;
    if (result == 0 && !file && !target)
        snprintf(address->path, sizeof(address->path), "/dev/stdin");
    else if (result == 0 && !file)
        snprintf(address->path, sizeof(address->path), "/proc/self/fd/%d", fd);
    return result;
}

int pipes_resolve(struct address *address, const char *operand, bool target, uint64_t *size_bytes,
                  struct error *err)
{
    *address = (struct address){.kind = ADDRESS_LOCAL};
    if (is_zero(operand))
        return resolve_zero(address, operand, target, size_bytes, err);
    if (strcmp(operand, null_word) == 0)
        return resolve_null(address, target, err);
    if (target ? is_input(operand) : is_output(operand))
        return error_usage(err, "%s: is the other one: write -", operand);
    return resolve_standard(address, target, err);
}
