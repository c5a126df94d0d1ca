/* serve.h - the server's side of a link: serves one local side to a client. haul-protocol(7).
 *
 * It has no opinion: what is done, and in which order, are decisions of the client. It keeps to its
 * own limits all the same: memory (budget.h, told in HELLO), one operation a slot, ranges within
 * the file, and an order of operations that the local side accepts. */
#ifndef HAUL_SERVE_H
#define HAUL_SERVE_H

#include "haul/base/error.h"
#include "haul/disk/engine.h"
#include "haul/net/link.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct place; /* place.h */

struct serve_config {
    struct link *link;         /* open; stays the caller's, who closes it afterwards */
    const struct place *place; /* --restrict: what the client may do; NULL: all that we may */
    uint64_t memory_bytes;     /* most for the slots, whatever the client wishes; 0: automatic */
    uint64_t hello_timeout_ns; /* 0: WIRE_HELLO_MS */
    uint64_t silence_ns;       /* 0: WIRE_SILENCE_MS */
    uint64_t doubt_ns;         /* see local_doubts(); 0: a second */
    bool notes; /* lines of the log go to the client: takes over the log's sink, and leaves none */
    const atomic_bool *stop; /* set from a signal: sync, let go, end. May be NULL */
    struct engine *given;    /* the tests' engine, closed with the side; else NULL */
};

/* Serve until the client says BYE, the link ends, or something is wrong with it. In each case:
 * nothing new is started, what is in flight is waited for, targets are synced (so that the journal
 * is right) and abandoned, everything is freed, the link has had its orderly end
 * (link_shutdown). 0 after BYE; else -errno with words, of class ERROR_SOCKET (the link ended
 * without BYE), ERROR_PROTOCOL, ERROR_VERSION, ERROR_TIMEOUT, ERROR_MEMORY, ERROR_INTERRUPTED. The
 * client was told why, where that was still possible. Blocks. */
int serve_run(const struct serve_config *config, struct error *err);

#endif
