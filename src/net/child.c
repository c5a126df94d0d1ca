/* child.c - starts processes with pipes, keeps their last words, and leaves none behind. */
#include "haul/net/child.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { OUR = 0, THEIRS = 1, REAP_STEP_US = 100, REAP_STEP_US_MAX = 5000 };
enum { LISTEN_BYTES = 8192, LISTEN_ROUNDS = 16 }; /* a pipe holds 64 KiB (pipe(7)) */

void child_init(struct child *child)
{
    *child = (struct child){.input_fd = -1, .output_fd = -1, .error_fd = -1};
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(take_fd(fd));
}

/* The four connections of a new process; [OUR] and [THEIRS] ends. `start` reports a failed exec:
 * it closes by itself when exec succeeds. */
struct wires {
    int input[2], output[2], error[2], start[2];
};

static void wires_close(struct wires *wires)
{
    for (int side = OUR; side <= THEIRS; side++) {
        close_fd(&wires->input[side]);
        close_fd(&wires->output[side]);
        close_fd(&wires->error[side]);
        close_fd(&wires->start[side]);
    }
}

/* A pipe with its reading end at ends[reader]. Larger pipes only mean fewer wake-ups, so a refusal
 * (pipe-user-pages-soft) is fine. */
static int open_pipe(int ends[2], int reader)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    ends[reader] = fds[0];
    ends[1 - reader] = fds[1];
    return 0;
}

static int wires_open(struct wires *wires, enum child_stream stream)
{
    *wires = (struct wires){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};

    int result = open_pipe(wires->error, OUR);
    if (result == 0)
        result = open_pipe(wires->start, OUR);
    if (result == 0 && stream == CHILD_SOCKET) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wires->output) < 0)
            result = -errno;
    } else if (result == 0) {
        result = open_pipe(wires->input, THEIRS);
        if (result == 0)
            result = open_pipe(wires->output, OUR);
        if (result == 0) {
            (void)fcntl(wires->input[OUR], F_SETPIPE_SZ, CHILD_PIPE_BYTES);
            (void)fcntl(wires->output[OUR], F_SETPIPE_SZ, CHILD_PIPE_BYTES);
        }
    }
    if (result < 0)
        wires_close(wires);
    return result;
}

/* dup2 that also works when the descriptor has the wanted number: then close-on-exec must go. */
static int place(int fd, int number)
{
    if (fd == number)
        return fcntl(fd, F_SETFD, 0);
    return dup2(fd, number);
}

/* In the child, between fork and exec: async-signal-safe calls only (other threads may have held
 * locks). Never returns. */
static void become(const char *const *argv, struct wires *wires)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    int input = wires->input[THEIRS] >= 0 ? wires->input[THEIRS] : wires->output[THEIRS];

    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGTERM, &standard, NULL);
    sigaction(SIGPIPE, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* Out of the way of 0, 1 and 2 first, should the parent have had those closed. */
    int safe[3] = {fcntl(input, F_DUPFD_CLOEXEC, 3),
                   fcntl(wires->output[THEIRS], F_DUPFD_CLOEXEC, 3),
                   fcntl(wires->error[THEIRS], F_DUPFD_CLOEXEC, 3)};
    int start = fcntl(wires->start[THEIRS], F_DUPFD_CLOEXEC, 3);
    if (place(safe[0], 0) >= 0 && place(safe[1], 1) >= 0 && place(safe[2], 2) >= 0)
        execvp(argv[0], (char *const *)(uintptr_t)argv);

    int failure = errno;
    ssize_t ignored = write(start, &failure, sizeof(failure));
    (void)ignored;
    _exit(127);
}

static int start_error(const char *program, int errnum, struct error *err)
{
    return error_set_class(err, ERROR_START, errnum, "%s: cannot be started: %s", program,
                           strerror(errnum));
}

/* The errno of a failed exec, or 0. */
static int exec_failure(int fd)
{
    int failure = 0;
    ssize_t length;

    do
        length = read(fd, &failure, sizeof(failure));
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)sizeof(failure) ? failure : 0;
}

static void set_nonblocking(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int child_open(struct child *child, const char *const *argv, enum child_stream stream,
               struct error *err)
{
    struct wires wires;

    child_init(child);
    int result = wires_open(&wires, stream);
    if (result < 0)
        return start_error(argv[0], -result, err);

    pid_t pid = fork();
    if (pid == 0)
        become(argv, &wires);
    if (pid < 0) {
        result = -errno;
        wires_close(&wires);
        return start_error(argv[0], -result, err);
    }
    child->pid = pid;
    child->input_fd = take_fd(&wires.input[OUR]);
    child->output_fd = take_fd(&wires.output[OUR]);
    child->error_fd = take_fd(&wires.error[OUR]);
    close_fd(&wires.start[THEIRS]);
    int failure = exec_failure(wires.start[OUR]);
    wires_close(&wires);
    if (failure != 0) {
        child_close(child, 0);
        return start_error(argv[0], failure, err);
    }
    set_nonblocking(child->input_fd);
    set_nonblocking(child->output_fd);
    set_nonblocking(child->error_fd);
    return 0;
}

/* Whole lines of new text to the log. */
static void log_lines(const char *data, size_t length, const char *name)
{
    char shown[512];
    char line[256];

    while (length > 0) {
        const char *end = memchr(data, '\n', length);
        size_t line_length = end ? (size_t)(end - data) : length;
        size_t kept = (size_t)min_u64(line_length, sizeof(line) - 1);
        memcpy(line, data, kept);
        line[kept] = '\0';
        if (kept > 0 && line[kept - 1] == '\r')
            line[kept - 1] = '\0';
        if (line[0] != '\0' && name)
            log_verbose("%s: %s", name, text_escape(shown, sizeof(shown), line));
        size_t used = line_length + (end ? 1 : 0);
        data += used;
        length -= used;
    }
}

void child_words_add(struct child_words *words, const char *data, size_t length, const char *name)
{
    size_t room = sizeof(words->text) - 1;

    log_lines(data, length, name);
    if (length > room) {
        data += length - room;
        length = room;
    }
    if (words->length + length > room) {
        size_t dropped = words->length + length - room;
        memmove(words->text, words->text + dropped, words->length - dropped);
        words->length -= dropped;
    }
    memcpy(words->text + words->length, data, length);
    words->length += length;
    words->text[words->length] = '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

/* ssh's last line, behind the one that says why. */
static bool is_farewell(const char *line)
{
    static const char words[] = "Disconnected from ";
    return strncmp(line, words, sizeof(words) - 1) == 0;
}

/* The last line before `end` that is not blank: where it begins; *end: where it ends. */
static size_t words_line(const struct child_words *words, size_t *end)
{
    while (*end > 0 && is_blank(words->text[*end - 1]))
        (*end)--;
    size_t begin = *end;
    while (begin > 0 && words->text[begin - 1] != '\n')
        begin--;
    while (begin < *end && is_blank(words->text[begin]))
        begin++;
    return begin;
}

const char *child_words_last(struct child_words *words)
{
    char line[200];
    size_t end = words->length, begin = words_line(words, &end), before = begin;

    if (end > 0 && is_farewell(words->text + begin) && words_line(words, &before) < before) {
        end = begin;
        begin = words_line(words, &end);
    }
    size_t kept = (size_t)min_u64(end - begin, sizeof(line) - 1);
    memcpy(line, words->text + begin, kept);
    line[kept] = '\0';
    return text_escape(words->last, sizeof(words->last), line);
}

void child_listen(struct child *child, const char *name)
{
    char data[LISTEN_BYTES];

    /* Bounded, so that a flood on stderr cannot keep us from the data; but more than a pipe holds,
     * so that the last call after the end has the last words. */
    for (int round = 0; round < LISTEN_ROUNDS && child->error_fd >= 0; round++) {
        ssize_t length = read(child->error_fd, data, sizeof(data));
        if (length > 0)
            child_words_add(&child->words, data, (size_t)length, name);
        else if (length == 0 || (errno != EAGAIN && errno != EINTR))
            close_fd(&child->error_fd);
        else
            return;
    }
}

int child_reap(struct child *child, uint64_t deadline_ns)
{
    uint64_t step_us = REAP_STEP_US;

    while (child->pid > 0) {
        pid_t reaped = waitpid(child->pid, &child->status, WNOHANG);
        if (reaped == child->pid || (reaped < 0 && errno == ECHILD)) {
            child->pid = 0;
            break;
        }
        if (clock_now_ns() >= deadline_ns)
            return -EAGAIN;
        /* pidfd_open(2) needs Linux 5.3; we are here only for the last moments of a process. */
        const struct timespec step = {.tv_nsec = (long)(step_us * 1000)};
        nanosleep(&step, NULL);
        step_us = min_u64(2 * step_us, REAP_STEP_US_MAX);
    }
    return 0;
}

int child_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child_close(struct child *child, uint64_t grace_ns)
{
    close_fd(&child->input_fd);
    close_fd(&child->output_fd);
    close_fd(&child->error_fd);
    if (child_reap(child, clock_now_ns() + grace_ns) == 0)
        return;
    kill(child->pid, SIGTERM);
    if (child_reap(child, clock_now_ns() + grace_ns) == 0)
        return;
    kill(child->pid, SIGKILL);
    /* Only a process in uninterruptible sleep outlives this; it must not hold us for ever. */
    child_reap(child, clock_now_ns() + 5 * NS_PER_SECOND);
}

/* Take what it prints until it closes its output. Its stderr is emptied meanwhile: a pipe that is
 * full would stop it. */
static int read_answer(struct child *child, char *out, size_t capacity)
{
    struct pollfd polls[2] = {{.events = POLLIN}, {.events = POLLIN}};
    size_t used = 0;

    for (;;) {
        polls[0].fd = child->output_fd;
        polls[1].fd = child->error_fd;
        if (poll(polls, 2, -1) < 0)
            return -errno;
        child_listen(child, NULL);
        ssize_t length = read(child->output_fd, out + used, capacity - 1 - used);
        if (length < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (length > 0)
            used += (size_t)length;
        out[used] = '\0';
        if (length == 0)
            return used + 1 < capacity ? 0 : -E2BIG;
    }
}

int child_ask(const char *const *argv, const char *input, char *out, size_t capacity,
              struct child_words *words)
{
    struct child child;
    int result = child_open(&child, argv, CHILD_PIPES, NULL);

    if (result < 0)
        return result;
    /* A short text: a pipe holds it, whether the program reads it or not. */
    if (input && write(child.input_fd, input, strlen(input)) < 0)
        result = -errno;
    close_fd(&child.input_fd);
    if (result == 0)
        result = read_answer(&child, out, capacity);
    if (result == 0) {
        while (child_reap(&child, clock_now_ns() + NS_PER_SECOND) < 0)
            continue; /* it has closed its output and ends */
        child_listen(&child, NULL);
        result = child_status(child.status);
    }
    *words = child.words;
    child_close(&child, 0);
    return result;
}

/* One character of a word goes to *out; quotes and backslashes are interpreted. `quote` is the
 * open quote or 0. Returns how many characters of text were used. */
static size_t split_step(const char *text, char *quote, char **out)
{
    char c = text[0];

    if (*quote == 0 && (c == '\'' || c == '"')) {
        *quote = c;
        return 1;
    }
    if (*quote != 0 && c == *quote) {
        *quote = 0;
        return 1;
    }
    /* Inside double quotes a backslash keeps its meaning before four characters only (POSIX). */
    if (c == '\\' && *quote != '\'' && text[1] != '\0' &&
        (*quote == 0 || strchr("\"\\$`", text[1]))) {
        *(*out)++ = text[1];
        return 2;
    }
    *(*out)++ = c;
    return 1;
}

int child_split(const char *text, char *store, size_t store_bytes, const char **argv,
                uint32_t argv_max)
{
    char *out = store;
    uint32_t count = 0;

    /* Every word is at least one character and its NUL, or a pair of quotes: never more than the
     * text and its end. */
    if (strlen(text) + 2 > store_bytes)
        return -E2BIG;
    for (;;) {
        char quote = 0;
        text += strspn(text, " \t\n");
        if (*text == '\0')
            break;
        if (count + 1 >= argv_max)
            return -E2BIG;
        argv[count++] = out;
        while (*text != '\0' && (quote != 0 || !strchr(" \t\n", *text)))
            text += split_step(text, &quote, &out);
        if (quote != 0)
            return -EINVAL;
        *out++ = '\0';
    }
    argv[count] = NULL;
    return (int)count;
}
