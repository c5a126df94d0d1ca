/* expand.h - a pattern in the place of a source on another machine, as a shell there would have
 * expanded it: a walk of that machine's side, by filter rules that let only such names through. */
#ifndef HAUL_EXPAND_H
#define HAUL_EXPAND_H

#include "haul/copy/copy.h"

#include <stdbool.h>
#include <stdint.h>

enum { EXPAND_PATHS_MAX = 65536, EXPAND_BYTES_MAX = 16 * 1024 * 1024 };

/* The paths that match, in the order of their bytes; free each, and the array. */
struct expanded {
    char **paths;
    uint32_t count;
};

/* May it be one? Only what is in a path before the name of a file is asked. */
bool expand_is_pattern(const char *path);

/* Find what matches at the source's side: * ? and [classes] in any part of the path, none of which
 * stands for a slash, nor for a dot at the beginning of a name. A slash behind it: folders only.
 * Links to folders are not gone through. Nothing matches: 0 and no paths. What cannot be looked at
 * on the way is told by a warning. -E2BIG (ERROR_USAGE): more than EXPAND_PATHS_MAX. Blocks. */
int expand_source(struct copy *copy, const char *pattern, struct expanded *out, struct error *err);

/* NULL paths are legal. */
void expanded_free(struct expanded *expanded);

#endif
