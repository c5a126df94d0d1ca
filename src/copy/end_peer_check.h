/* end_peer_check.h - private to end_peer.c: a reply beside what was asked. */
#ifndef HAUL_COPY_END_PEER_CHECK_H
#define HAUL_COPY_END_PEER_CHECK_H

#include "haul/codec.h"

/* NULL, or what a reply that says DONE cannot say: lengths, positions and lists outside of what was
 * asked for. */
const char *end_peer_check(const struct slot *slot, enum end_role role,
                           const struct wire_message *reply);

/* The outcome of a reply that was checked, into the slot and its job; slot->result is not set. */
void end_peer_take(struct slot *slot, enum end_role role, const struct wire_message *reply);

#endif
