/* list.h - the names of --files-from. */
#ifndef HAUL_LIST_H
#define HAUL_LIST_H

#include "haul/base/error.h"
#include "haul/base/names.h"

#include <stdbool.h>

/* Read them from `path`, "-" is standard input. zeros: they end with a zero byte, else with a line,
 * and empty ones and comments ("#", ";") are passed over. -errno with words, ERROR_USAGE for a list
 * on another machine, and for what cannot be a name (names.h). */
int list_read(struct names **out, const char *path, bool zeros, struct error *err);

#endif
