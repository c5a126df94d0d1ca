/* output.c - lines on standard error, JSON and receipts on standard output. */
#include "haul/cli/output.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

/* The log's longest line (two paths and a sentence), of which each byte may become four. */
enum { LINE_BYTES = 4 * 9216 };
/* A JSON escape of one byte is at most six. */
enum { JSON_BYTES = 6 * ERROR_TEXT_BYTES };
/* A line with some of these texts. */
enum { STDOUT_BYTES = 4 * JSON_BYTES };
enum { STAND_IN = O_RDWR | O_NOFOLLOW | O_APPEND };

/* What stands in for one that was closed can be told from one that somebody has given: nothing can
 * be read, and of standard output flags are kept that together have no meaning there. */
int output_guard(void)
{
    static char buffer[STDOUT_BYTES];
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int flags = fd == STDIN_FILENO ? O_PATH : STAND_IN;
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags) != fd)
            return -EBADF;
    }
    return setvbuf(stdout, buffer, _IOLBF, sizeof(buffer)) ? -EBADF : 0;
}

bool output_stands_in(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags & O_PATH || (flags & STAND_IN) == STAND_IN;
}

int output_give_away(struct error *err)
{
    fflush(stdout);
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return error_set(err, errno, "standard output");
    return fd;
}

/* Lines may hold words that were escaped already, where they came from outside (a peer, a banner,
 * an odd host): what must not reach the terminal is escaped, a backslash is left alone. */
static const char *escape_line(char out[LINE_BYTES], const char *line)
{
    char *to = out;
    text_escape(out, LINE_BYTES, line);
    for (const char *c = out; *c; c++) {
        *to++ = *c;
        if (c[0] == '\\' && c[1] == '\\')
            c++;
    }
    *to = '\0';
    return out;
}

void output_log(enum log_level level, const char *line)
{
    (void)level;
    char escaped[LINE_BYTES];
    fprintf(stderr, "haul: %s\n", escape_line(escaped, line));
}

void output_log_bar(enum log_level level, const char *line)
{
    (void)level;
    char escaped[LINE_BYTES];
    fprintf(stderr, "\r\033[Khaul: %s\n", escape_line(escaped, line));
}

void output_begin(bool bar)
{
    flockfile(stderr);
    if (bar)
        fputs("\r\033[K", stderr);
}

void output_end(void)
{
    fflush(stdout);
    funlockfile(stderr);
}

void output_json_text(FILE *out, const char *text)
{
    char escaped[JSON_BYTES];
    if (text)
        fprintf(out, "\"%s\"", text_json(escaped, sizeof(escaped), text));
    else
        fputs("null", out);
}

void output_json_string(FILE *out, const char *key, const char *text)
{
    fprintf(out, ",\"%s\":", key);
    output_json_text(out, text);
}

void output_json_number(FILE *out, const char *key, uint64_t value)
{
    if (value == NUM_UNKNOWN)
        fprintf(out, ",\"%s\":null", key);
    else
        fprintf(out, ",\"%s\":%" PRIu64, key, value);
}

void output_json_bool(FILE *out, const char *key, bool value)
{
    fprintf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

void output_json_seconds(FILE *out, const char *key, uint64_t duration_ns)
{
    if (duration_ns == NUM_UNKNOWN)
        fprintf(out, ",\"%s\":null", key);
    else
        fprintf(out, ",\"%s\":%" PRIu64 ".%06" PRIu64, key, duration_ns / NS_PER_SECOND,
                duration_ns % NS_PER_SECOND / 1000);
}

bool output_memory_close(FILE *out, char *const *text)
{
    bool good = !ferror(out);
    return fclose(out) == 0 && good && *text;
}

int output_flush(struct error *err)
{
    errno = 0;
    int rc = fflush(stdout);
    int errnum = errno;
    if (rc == 0 && !ferror(stdout))
        return 0;
    if (errnum != 0)
        return error_set(err, errnum, "standard output");
    /* An earlier failure left only the flag. */
    return error_set_class(err, ERROR_FILE, EIO,
                           "standard output: not all of what was to be said could be written");
}
