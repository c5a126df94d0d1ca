/* reserve.h - looks at all that a command will write, and at what it reads, before the first byte.
 */
#ifndef HAUL_RESERVE_H
#define HAUL_RESERVE_H

#include "haul/cli/operands.h"
#include "haul/copy/copy.h"

#include <stdbool.h>

/* 0, or -errno with words: two of the command's files are one (sources, targets, journals,
 * --journal, --manifest, standard output and error), or the manifest could not be written.
 * `verify`: nothing but the output is written. Asks the other machines where it has to; without a
 * copy, before they are called, it is about what is here. Blocks. */
int reserve_paths(struct copy *copy, const struct operands *operands, const struct copy_wish *wish,
                  bool verify, struct error *err);

#endif
