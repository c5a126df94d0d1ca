/* pipes.h - the operands that name no file: "-", zero:SIZE, null:. */
#ifndef HAUL_PIPES_H
#define HAUL_PIPES_H

#include "haul/net/address.h"

#include <stdbool.h>
#include <stdint.h>

/* Is it one of them, or another spelling of standard input or output? */
bool pipes_know(const char *operand);

/* As a path of this machine. "-" is our standard input or output; where that is a file, it is the
 * file, by its name, so that it is kept out of the cache as any other (ERROR_USAGE: it has been
 * read or written in part, or has no name any more). From then on what else is to be said goes to
 * standard error. *size_bytes is set by zero:SIZE. ERROR_USAGE: null: is a target, zero: a source.
 */
int pipes_resolve(struct address *address, const char *operand, bool target, uint64_t *size_bytes,
                  struct error *err);

#endif
