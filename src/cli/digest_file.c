/* digest_file.c - writes a digest for sha256sum -c or xxhsum -c. */
#include "haul/cli/digest_file.h"

#include "haul/base/cleanup.h"
#include "haul/cli/output.h"
#include "haul/disk/probe.h"
#include "haul/disk/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Digits, as many as a digest has, and two spaces. */
static bool is_list(const char *text, size_t length)
{
    size_t begin = length > 0 && text[0] == '\\' ? 1 : 0;
    size_t digits = strspn(text + begin, "0123456789abcdef");
    return (digits == 32 || digits == 64) && begin + digits + 1 < length &&
           text[begin + digits] == ' ' && strchr(" *", text[begin + digits + 1]);
}

int digest_file_check(const char *path, struct error *err)
{
    char text[80] = "";
    struct stat st;
    AUTO_FREE char *real = replace_find(path);
    if (!real)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    int result = probe_folder(NULL, real, err);
    if (result < 0 || stat(path, &st) != 0)
        return result;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (S_ISREG(st.st_mode) && (st.st_size == 0 || (got > 0 && is_list(text, (size_t)got))))
        return 0;
    return error_set_class(err, ERROR_FILE, EEXIST,
                           "%s: is there already, and no list of digests; it was left alone", path);
}

/* As the two programs do it: with a backslash in front where one follows. */
static void print_line(FILE *out, const char *digest, const char *name)
{
    static const char special[] = "\\\n\r", shown[] = "\\nr";
    fprintf(out, "%s%s  ", strpbrk(name, special) ? "\\" : "", digest);
    for (; *name; name++) {
        const char *at = strchr(special, *name);
        if (at)
            fprintf(out, "\\%c", shown[at - special]);
        else
            fputc(*name, out);
    }
    fputc('\n', out);
}

int digest_file_write(const char *path, const char *digest, const char *name, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t length;
    int result = digest_file_check(path, err); /* it may have come meanwhile */
    if (result < 0)
        return result;
    FILE *out = open_memstream(&text, &length);
    if (out)
        print_line(out, digest, name);
    if (!out || !output_memory_close(out, &text))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for it", path);
    return replace_file(path, text, length, err);
}
