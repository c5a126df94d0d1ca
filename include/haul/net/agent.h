/* agent.h - the static programs that are brought to machines without haul: where they are here, and
 * whether they are what `make agent` built.
 *
 * A program is haul-agent-MACHINE, beside haul or in ../lib/haul; its digest stands in the file
 * haul-agents.sums beside it. It finds damage, not attackers: who can change one can change both,
 * and haul, too. */
#ifndef HAUL_AGENT_H
#define HAUL_AGENT_H

#include "haul/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { AGENT_NAME_BYTES = 64, AGENT_MACHINE_BYTES = 32, AGENT_BYTES_MAX = 16 * 1024 * 1024 };

struct agent {
    char name[AGENT_NAME_BYTES]; /* haul-agent-i386 */
    uint8_t *bytes;              /* the whole program, zeros behind it up to a multiple of */
    size_t length;               /* `block_bytes` */
};

/* Read the program for a machine, as `uname -m` calls it there. ERROR_START: there is none, or it
 * is not what its digest says. Blocks. The caller closes in either case. */
int agent_open(struct agent *agent, const char *machine, size_t block_bytes, struct error *err);

/* Frees the program. */
void agent_close(struct agent *agent);

#endif
