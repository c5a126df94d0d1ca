/* glob.h - patterns of names, as rsync and shells know them.
 *
 *   *        any bytes but slashes, also none      ?       one byte that is no slash
 *   **       any bytes, slashes too                [...]   one byte of a class, never a slash
 *
 * Classes know ranges, [:alpha:] and its like, and ! or ^ for "not". A backslash takes away the
 * meaning of what follows it, but only where one of * ? [ is in the pattern: else all of it is
 * literal. Bytes are compared, not characters.
 *
 * Matching follows all ways through the pattern at once and looks at each byte of the text once, so
 * that its time is at most bytes of text times bytes of pattern, whatever both are. */
#ifndef HAUL_GLOB_H
#define HAUL_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GLOB_BYTES_MAX = 4095 };

struct glob;

/* A part of the text; the parts are joined. */
struct glob_part {
    const char *text;
    size_t length;
};

/* Compile `length` bytes, at most GLOB_BYTES_MAX. NULL: no memory. A pattern that makes no sense
 * ("[a", "[[:none:]]") is one that matches nothing, as in rsync. Close accepts NULL. */
struct glob *glob_open(const char *pattern, size_t length);
void glob_close(struct glob *glob);

/* Does the pattern match the whole text? after_slashes: or what follows any slash of it. */
bool glob_match(const struct glob *glob, const struct glob_part *parts, uint32_t parts_count,
                bool after_slashes);

/* Is one of * ? [ in it? */
bool glob_is_wild(const char *text, size_t length);

#endif
