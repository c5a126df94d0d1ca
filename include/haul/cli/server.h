/* server.h - the command `haul --server`: the other side of somebody's copy, on standard input and
 * output (haul-protocol(7)). */
#ifndef HAUL_SERVER_H
#define HAUL_SERVER_H

#include "haul/cli/options.h"

/* Serves one session; returns the exit code of the process. INT, TERM and HUP let it sync, let go
 * of its files and end with 20; a second one ends it at once. Nothing but the protocol is ever
 * written to standard output. Blocks until the session is over. */
int server_command(const struct options *options);

#endif
