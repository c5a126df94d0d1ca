/* error.h - one operating error, as a person will read it.
 *
 * A function that can fail returns 0 or -errno. Where a person must understand the failure it also
 * takes `struct error *err` as its last argument; the error is set once, where it is first
 * detected, and later calls on an error that is already set change nothing (trap 4 of the design:
 * the first error is the cause, the rest are consequences). Only src/cli prints errors and only
 * main() exits. */
#ifndef HAUL_ERROR_H
#define HAUL_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/* What went wrong, in the classes that have an exit code of their own (the table is in cli/exit.c).
 */
enum error_class {
    ERROR_NONE = 0,
    ERROR_USAGE,       /* the command line or a value in it */
    ERROR_FILE,        /* a system call on a file failed */
    ERROR_MEMORY,      /* memory, or a limit on it */
    ERROR_CHANGED,     /* the source changed while it was copied */
    ERROR_VANISHED,    /* the source is not there (any more) */
    ERROR_MISMATCH,    /* verification found other bytes */
    ERROR_CACHE,       /* --strict: the cache budget would be exceeded */
    ERROR_BUSY,        /* another transfer holds the target */
    ERROR_INTERRUPTED, /* a signal asked us to stop */
    ERROR_PROTOCOL,    /* the peer sent something that the protocol does not allow */
    ERROR_VERSION,     /* the peer speaks another version of the protocol */
    ERROR_START,       /* the other side could not be started */
    ERROR_NOT_FOUND,   /* there is no haul on the other side */
    ERROR_SOCKET,      /* the network or the login failed */
    ERROR_CONNECT,     /* no connection within the time allowed */
    ERROR_TIMEOUT,     /* the peer was silent for too long */
    ERROR_PARTIAL,     /* parts of the source could not be read, and were left out as was wished */
    ERROR_HELD_BACK,   /* --max-delete has left names that would have gone */
    ERROR_CLASSES_COUNT
};

enum { ERROR_TEXT_BYTES = 4608 }; /* the longest path (4096) and a sentence around it */

struct error {
    enum error_class class;
    int errnum; /* positive errno of an error that is set */
    char text[ERROR_TEXT_BYTES];
};

/* Declares one in which nothing is recorded. It is not set to zeros: that would touch two pages of
 * the stack for words that are hardly ever there. */
#define ERROR_UNSET(name)                                                                          \
    struct error name;                                                                             \
    (name).class = ERROR_NONE, (name).errnum = 0, (name).text[0] = '\0'

/* Record an error of class ERROR_FILE: "TEXT: strerror(errnum)". Keeps the first one.
 * err may be NULL. Returns -errnum, so that `return error_set(err, errno, "open %s", path);` works.
 */
int error_set(struct error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The same with a class, and without the errno's own words (the sentence says it all). Returns
 * -errnum. */
int error_set_class(struct error *err, enum error_class class, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

/* The command line is wrong, or asks for what does not exist. */
#define error_usage(err, ...) error_set_class(err, ERROR_USAGE, EINVAL, __VA_ARGS__)

/* Put context in front of a recorded error: "CONTEXT: old text". No effect on an unset error. */
void error_prefix(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Take over `other` if err is unset. For failures only: where neither is set err gets words (EIO).
 * Returns -errno of err, never 0. */
int error_take(struct error *err, const struct error *other) __attribute__((cold));

/* As if nothing had been recorded. Of one that is not set no memory is written. */
static inline void error_clear(struct error *err)
{
    if (err->class != ERROR_NONE)
        err->class = ERROR_NONE;
}

/* The one question whether something went well, where a result comes with an error: only when both
 * say so. A result < 0 without words gets some, "TEXT: strerror(-result)"; an error that is set is
 * a failure whatever the result is. Returns 0 or -errno of err, which may not be NULL. */
int error_settle(struct error *err, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* NULL is an error that is not set. */
static inline bool error_is_set(const struct error *err)
{
    return err && err->class != ERROR_NONE;
}

#endif
