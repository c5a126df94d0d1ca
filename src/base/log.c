/* log.c - formats a line and hands it to the sink that main() set.
 *
 * Knows no file, no terminal and no colour. The line is formatted on the caller's stack, outside
 * the lock, so that lanes only wait for each other while the sink writes. A sink must not log: the
 * lock is not recursive. */
#include "haul/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { LOG_LINE_BYTES = 9216 }; /* two paths of 4096 bytes and a sentence around them */

/* The one piece of changeable state: where words go, and how many. Atomic
 * because a line below the level is dropped without taking the lock. */
static _Atomic(log_sink *) log_to;
static _Atomic(log_range_sink *) log_range_to;
static atomic_int log_threshold = LOG_ERROR;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

void log_init(enum log_level level, log_sink *sink)
{
    /* Under the lock, so that no line is on its way to the old sink when this returns. */
    pthread_mutex_lock(&log_lock);
    atomic_store(&log_threshold, (int)level);
    atomic_store(&log_to, sink);
    pthread_mutex_unlock(&log_lock);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load(&log_threshold);
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level > atomic_load(&log_threshold) || !atomic_load(&log_to))
        return;

    static const char dots[] = "...";
    char line[LOG_LINE_BYTES];
    int saved = errno; /* callers log between a failed call and the use of its errno */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);

    if (length >= (int)sizeof(line))
        memcpy(line + sizeof(line) - sizeof(dots), dots, sizeof(dots));
    if (length >= 0) {
        pthread_mutex_lock(&log_lock);
        log_sink *sink = atomic_load(&log_to);
        if (sink)
            sink(level, line);
        pthread_mutex_unlock(&log_lock);
    }
    errno = saved;
}

void log_init_range(log_range_sink *sink)
{
    atomic_store(&log_range_to, sink);
}

void log_range(enum log_range_kind kind, const char *path, unsigned long long offset,
               unsigned long long length)
{
    log_range_sink *sink = atomic_load(&log_range_to);
    log_error("%s: bytes %llu to %llu %s", path, offset, offset + length - 1,
              kind == LOG_DIFFERS ? "differ" : "cannot be read, and are left out");
    if (sink)
        sink(kind, path, offset, length);
}
