/* bootstrap.h - a link to a machine that has no haul, or another version: one is brought along.
 *
 * Over there a shell is enough, with cat, chmod, mkdir, rm and uname. The program goes into a fresh
 * folder that is ours alone, is sent back and compared, byte for byte, and is removed before it
 * runs: it is started by the descriptor that was compared. So nothing runs that was not compared,
 * nothing is written over, and nothing stays, however it ends. */
#ifndef HAUL_BOOTSTRAP_H
#define HAUL_BOOTSTRAP_H

#include "haul/net/link.h"

/* As link_open, which calls this for link_options.bootstrap. What stands in the way over there is
 * ERROR_START, in one line. */
int bootstrap_open(struct link **out, const struct link_options *options, struct error *err);

#endif
