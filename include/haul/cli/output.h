/* output.h - standard output and standard error: the only places where haul speaks. */
#ifndef HAUL_OUTPUT_H
#define HAUL_OUTPUT_H

#include "haul/base/error.h"
#include "haul/base/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The first thing to do: fill descriptors 0 to 2 where the caller closed them, or the next file
 * that is opened gets one of those numbers and the receipt is written into it. Whoever closed them
 * wants to hear nothing, so that what is said there is no failure. From then on each line on
 * standard output is one write, since several processes may have the same file there. 0, or -EBADF.
 */
int output_guard(void);

/* Was this descriptor, 0 or 1, closed by the caller? Its data go nowhere, or come from nowhere. */
bool output_stands_in(int fd);

/* Standard output is data from now on: its descriptor, under another number, which this process
 * alone has. Whatever is printed goes to standard error. -errno with words. */
int output_give_away(struct error *err);

/* The sink of the log: "haul: LINE" on standard error, escaped, in one write. Thread-safe. `_bar`
 * first wipes the terminal's line, which may hold a progress bar (it is drawn anew soon after). */
void output_log(enum log_level level, const char *line);
void output_log_bar(enum log_level level, const char *line);

/* Around several lines on standard output while the copy runs: keeps the log and the bar away (the
 * same terminal may show both) and flushes. */
void output_begin(bool bar);
void output_end(void);

/* Pieces of JSON: a quoted string (NULL: null); and, with the leading comma, `"key":` and a string,
 * a number (NUM_UNKNOWN: null), true or false. */
void output_json_text(FILE *out, const char *text);
void output_json_string(FILE *out, const char *key, const char *text);
void output_json_number(FILE *out, const char *key, uint64_t value);
void output_json_bool(FILE *out, const char *key, bool value);

/* Seconds with six decimals: nothing depends on the locale. */
void output_json_seconds(FILE *out, const char *key, uint64_t duration_ns);

/* Ends what was printed into memory by open_memstream(3), whose closing may fail and say nothing.
 * false: there was no memory for all of it. */
bool output_memory_close(FILE *out, char *const *text);

/* Flush standard output and say whether everything that was ever written to it arrived: a report
 * that nobody got is an error. 0, or -errno with words. */
int output_flush(struct error *err);

#endif
