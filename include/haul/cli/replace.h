/* replace.h - a small file that is there as a whole or not at all: written beside its name, synced,
 * renamed, and its folder synced. */
#ifndef HAUL_REPLACE_H
#define HAUL_REPLACE_H

#include "haul/base/error.h"

#include <stddef.h>

/* What was at the path is gone then. Whoever else writes the same one is waited for, a second at
 * most. 0, or -errno with words; then nothing of it is there. Blocks. */
int replace_file(const char *path, const char *text, size_t length, struct error *err);

#endif
