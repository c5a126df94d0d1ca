/* peer_check.h - private to peer.c: a reply beside what was asked. */
#ifndef HAUL_COPY_PEER_CHECK_H
#define HAUL_COPY_PEER_CHECK_H

#include "haul/wire/codec.h"

/* NULL, or what a reply that says DONE cannot say: lengths, positions and lists outside of what was
 * asked for. */
const char *peer_check(const struct slot *slot, enum side_role role,
                       const struct wire_message *reply);

/* The outcome of a reply that was checked, into the slot and its job; slot->result is not set. */
void peer_take(struct slot *slot, enum side_role role, const struct wire_message *reply);

#endif
