/* log.h - words for the person in front of the program, through one sink.
 *
 * No module but src/cli prints. The others hand lines to the sink that main() set; without one they
 * go nowhere. Lines are lower case, no full stop, path first; debug lines are key=value. Control
 * characters in paths are escaped by the sink. Thread-safe: the sink is called under a lock, so it
 * must not log itself. Progress never goes through the log. */
#ifndef HAUL_LOG_H
#define HAUL_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTE, LOG_VERBOSE, LOG_DEBUG };

typedef void log_sink(enum log_level level, const char *line);

/* Lines above `level` are dropped before they are formatted. sink NULL: drop everything. */
void log_init(enum log_level level, log_sink *sink);
enum log_level log_level(void);

/* Bytes that differ from what they should be, or cannot be read and are left out: an error line,
 * and what the second sink makes of it (as an event, say). NULL: nothing. */
enum log_range_kind { LOG_DIFFERS, LOG_UNREADABLE };
typedef void log_range_sink(enum log_range_kind kind, const char *path, unsigned long long offset,
                            unsigned long long length);
void log_init_range(log_range_sink *sink);
void log_range(enum log_range_kind kind, const char *path, unsigned long long offset,
               unsigned long long length);

/* A line without a side, to the sink, when the level lets it through; any thread. */
void log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));
#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_note(...)    log_line(LOG_NOTE, __VA_ARGS__)
/* What is said of each copy is asked for first: else no run would do without code that is cold, and
 * in memory by 64 KiB. */
#define log_verbose(...) (log_level() < LOG_VERBOSE ? (void)0 : log_line(LOG_VERBOSE, __VA_ARGS__))
#define log_debug(...)   (log_level() < LOG_DEBUG ? (void)0 : log_line(LOG_DEBUG, __VA_ARGS__))

#endif
