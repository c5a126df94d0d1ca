/* text.h - numbers and names as people write and read them. Nothing here allocates or blocks. */
#ifndef HAUL_TEXT_H
#define HAUL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_NUMBER_BYTES = 32 };

/* Each writes a NUL-terminated string of at most TEXT_NUMBER_BYTES into `out` and returns it.
 * Sizes in binary units ("1.50 GiB", "512 B"), rates in bytes a second ("317 MiB/s"), times as
 * "1:02:03" or "12.3 s"; NUM_UNKNOWN gives "unknown". */
const char *text_size(char out[TEXT_NUMBER_BYTES], uint64_t bytes);
const char *text_rate(char out[TEXT_NUMBER_BYTES], uint64_t bytes_per_second);
const char *text_seconds(char out[TEXT_NUMBER_BYTES], uint64_t duration_ns);

/* The name of an open file in /proc, the same way: by it the file is opened anew, and changed where
 * O_PATH does not do that by itself (EBADF). */
const char *text_fd_link(char out[TEXT_NUMBER_BYTES], int fd);

/* A size as in rsync and dd: "64K" "64KiB" = 65536, "64KB" = 64000, "1.5G"; up to E; a bare number
 * is bytes. false: not a size, negative, or more than UINT64_MAX. */
bool text_parse_size(const char *text, uint64_t *bytes);

/* A rate as in rsync --bwlimit: units of 1024 bytes a second when there is no suffix, suffixes and
 * fractions as above, 0 for no limit. */
bool text_parse_rate(const char *text, uint64_t *bytes_per_second);

/* Seconds with an optional fraction and suffix (s, m, h), into nanoseconds. */
bool text_parse_duration(const char *text, uint64_t *duration_ns);

/* `text` for a terminal or a log line: control characters, backslash and bytes that are not UTF-8
 * become \n, \t, \\ or \ooo (three octal digits). Truncates with "..." when it does not fit.
 * Returns out. */
const char *text_escape(char *out, size_t capacity, const char *text);

/* How many columns of a terminal that takes, which is no more than its bytes: wide characters two,
 * combining ones none. For what text_escape() has made. */
uint32_t text_columns(const char *text);

/* The same text in at most `columns`, with "..." (or "~") for what was left out of its middle, so
 * that beginning and end of a name can be told. Into out; returns it. */
const char *text_fit(char *out, size_t capacity, const char *text, uint32_t columns);

/* How many letters have to be changed, added, left out or exchanged with their neighbour to make
 * one word of the other. Only the first 63 letters count. */
uint32_t text_distance(const char *a, const char *b);

/* `text` as the inside of a JSON string (without the quotes): RFC 8259 escapes; bytes that are not
 * UTF-8 become \u00XX of the byte, so that the output is always valid JSON. Truncates at a whole
 * escape. */
const char *text_json(char *out, size_t capacity, const char *text);

/* The same, and nothing is lost: bytes that are not UTF-8 become \\udc80 to \\udcff, as Python
 * reads and writes them. Six times the bytes of the text, and one, are always enough. */
const char *text_json_exact(char *out, size_t capacity, const char *text);

/* The other way, in place: from behind the opening quote, which *text points to, up to behind the
 * closing one, where it points then. The text with a NUL; NULL: text_json_exact() has not made it.
 */
char *text_json_take(char **text);

/* The folder that a path lies in ("." where it names none), and its last part without slashes
 * behind it, both to be freed. false: no memory. */
bool text_split_path(const char *path, char **folder, char **name);

/* The path of what is called so in a folder ("": the folder itself; in "." just the name), to be
 * freed; NULL: no memory. */
char *text_join_path(const char *folder, const char *name);

/* Is this path the folder's, or one beneath it? By its letters; "" is above all. */
bool text_path_holds(const char *folder, const char *path);

#endif
