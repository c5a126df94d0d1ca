/* child.h - a process at the other side of a pipe: started, listened to, and always reaped.
 *
 * Knows nothing about ssh. Children ignore SIGINT, SIGQUIT and SIGHUP: Ctrl-C at the terminal must
 * not take the connection away before the orderly end. They stay in our process group, because ssh
 * asks for passwords on the terminal and a background group would be stopped for it. */
#ifndef HAUL_CHILD_H
#define HAUL_CHILD_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_WORDS_BYTES = 2048, CHILD_PIPE_BYTES = 256 * 1024, CHILD_ARGUMENTS_MAX = 256 };

struct child_words {
    char text[CHILD_WORDS_BYTES]; /* the last bytes of stderr, NUL-terminated */
    size_t length;
    char last[256]; /* where child_words_last() puts its result */
};

struct child {
    pid_t pid;     /* 0: none, or reaped */
    int input_fd;  /* we write, it reads as its stdin */
    int output_fd; /* it writes to its stdout */
    int error_fd;  /* it writes to its stderr */
    int status;    /* waitpid's, when pid is 0 */
    struct child_words words;
};

enum child_stream { CHILD_PIPES, CHILD_SOCKET };

/* No process, no descriptors; what child_close() leaves. */
void child_init(struct child *child);

/* Start argv[0] (searched in PATH). PIPES: three pipes. SOCKET: stdin and stdout are one socket,
 * output_fd, and there is no input_fd. Our ends do not block. The errors of execvp (ERROR_START)
 * are known when this returns; so blocks until the exec. */
int child_open(struct child *child, const char *const *argv, enum child_stream stream,
               struct error *err);

/* Take what is on stderr now; whole lines go to the verbose log as "name: line" (NULL: to none). */
void child_listen(struct child *child, const char *name);

/* Add to the words / the last line that is not blank, escaped for a terminal; where it only says
 * goodbye, the one before it. */
void child_words_add(struct child_words *words, const char *data, size_t length, const char *name);
const char *child_words_last(struct child_words *words);

/* Run a program to its end: `input` (NULL: nothing) goes to its stdin, what it prints to `out` as a
 * text, what it says on its stderr to `words`. Its status as a shell's $?; -ENOENT and the like: it
 * cannot be started; -E2BIG: it prints more; -EINTR: a signal came. Blocks. */
int child_ask(const char *const *argv, const char *input, char *out, size_t capacity,
              struct child_words *words);

/* Has it ended? Waits at most until deadline_ns of clock_now_ns(). 0 and child->status, or
 * -EAGAIN. */
int child_reap(struct child *child, uint64_t deadline_ns);

/* As a shell's $?: 0-255, 128 + signal. */
int child_status(int status);

/* Close the descriptors; wait up to grace_ns, then SIGTERM, as long again, SIGKILL. */
void child_close(struct child *child, uint64_t grace_ns);

/* Split as a shell does: blanks, '..', "..", backslash. No expansions. argv ends with NULL and
 * points into `store`. Returns how many words; -EINVAL: a quote is open; -E2BIG. */
int child_split(const char *text, char *store, size_t store_bytes, const char **argv,
                uint32_t argv_max);

#endif
