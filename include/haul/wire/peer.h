/* peer.h - a side on the other side of a link: haul-protocol(7), the client's side.
 *
 * Sends what it is asked to do and gives slots back when the answers come. Payloads go from and to
 * the slots' buffers. A payload that arrives damaged (its digest says so) is asked for, or sent,
 * again, WIRE_RESENDS_MAX times.
 *
 * When the link breaks, the other side is silent for too long or violates the protocol, every slot
 * with this side comes back with that error, and so does every slot that is started later: reap
 * never fails, so the other side of the copy can be drained in peace. */
#ifndef HAUL_PEER_H
#define HAUL_PEER_H

#include "haul/base/control.h"
#include "haul/base/error.h"
#include "haul/base/log.h"
#include "haul/net/link.h"
#include "haul/side/report.h"
#include "haul/side/side.h"
#include "haul/wire/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct peer_config {
    struct link *link; /* open; nothing was said on it yet */
    /* What is wished: session, role, engine, log_level, lanes (0 is 1), slots_count and
     * control_count, jobs_max, chunk_bytes, memory_bytes; WIRE_CAN_PACK and WIRE_TELLS
     * are conditions. */
    struct wire_hello hello;
    uint64_t timeout_ns;       /* nothing heard for so long while waiting: ERROR_TIMEOUT. 0: none.
                                  The other side is asked to say something more often than that */
    uint64_t hello_timeout_ns; /* for each step of the greeting; 0: WIRE_HELLO_MS */
    struct progress *progress; /* wire_bytes_* are added to; may be NULL */
    struct control *control;   /* is told of the other side's memory; may be NULL */
};

/* Greet the other side: preambles, our HELLO, its HELLO. Blocks for at most hello_timeout_ns for
 * each, and a little longer to learn why a link ended. On success the link is the side's, on
 * failure still the caller's (link_close()). Errors: ERROR_VERSION, ERROR_PROTOCOL (something else
 * is talking there; says what arrived), ERROR_TIMEOUT, ERROR_NOT_FOUND and others of
 * link_shutdown(), what the other side says (ERROR_MEMORY: not even two slots fit there). */
int peer_open(struct side **out, const struct peer_config *config, struct error *err);

/* What the other side gives. The client's slots must keep to it: data slots have the indexes from 0
 * on and at most chunk_bytes, control slots follow, and no index reaches slots_count +
 * control_count. job->chunk_bytes is at most chunk_bytes. A wish that is none of `choices` fails,
 * by its name. The side's. */
const struct wire_hello *peer_agreed(const struct side *side);

/* From our HELLO to its HELLO, when nothing else was on the line: what the other side does in
 * between (memory, an engine) is counted, and takes some milliseconds. */
uint64_t peer_round_trip_ns(const struct side *side);

/* The link is of no use any more; every slot that is started says why. */
bool peer_broken(const struct side *side);

/* Have the other machine asked how long its processors were idle; and how many thousandths of one
 * were idle between the last two answers (NUM_UNKNOWN: it does not tell), and how many answers have
 * come. Any thread may call. */
struct peer_idle {
    uint64_t permille;
    uint32_t answers_count;
};
void peer_look(struct side *side);
struct peer_idle peer_idle(const struct side *side);

/* How many payloads arrived damaged, at either side, and were transferred again. */
uint64_t peer_resent(const struct side *side);

/* side_close(): says BYE, waits PEER_CLOSE_SECONDS (a second after a request to stop) at most
 * for the other side to let go of its files and to end, closes the link. */
enum { PEER_CLOSE_SECONDS = 30 };

#endif
