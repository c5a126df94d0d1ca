/* wire_slot.h - private to end_peer.c and serve.c: slots and jobs as messages, and back. */
#ifndef HAUL_COPY_WIRE_SLOT_H
#define HAUL_COPY_WIRE_SLOT_H

#include "haul/end.h"
#include "haul/pack.h"
#include "haul/wire.h"

/* A report of which nothing is known. */
void wire_slot_no_report(struct side_report *report);

/* The client: what the slot's operation asks of an end of that role. The texts stay the job's. The
 * payload of STORE is slot->buffer. */
void wire_slot_request(struct wire_message *message, const struct slot *slot, enum end_role role);

/* The client: the outcome of `slot`, which was asked for that operation, from a checked reply that
 * says DONE, or is of COMMIT or ABANDON. slot->result is not set. Returns NULL, or what the reply
 * says that cannot be: lengths, positions and lists outside of what was asked for. */
const char *wire_slot_take_reply(struct slot *slot, enum end_role role,
                                 const struct wire_message *reply);

/* The server: the slot is done with `op` (the end may have changed slot->op). why: the words of a
 * failure. The payload, if message->payload_bytes says that there is one, is slot->buffer. */
void wire_slot_reply(struct wire_message *message, const struct slot *slot, enum end_op op,
                     enum end_role role, const struct error *why);

/* What goes behind the frame: NULL, the slot's buffer, or the chunk packed, when `pack` is there
 * and it shrinks; the message's payload_bytes is then less. Valid until the next call. */
const void *wire_slot_pack(struct wire_message *message, const struct slot *slot,
                           struct pack *pack);

/* Where an arriving payload goes; and what is to be done when it is complete. false: it does not
 * unpack to the chunk, it was damaged. slot->op and slot->length are set. */
void *wire_slot_incoming(const struct slot *slot, uint32_t payload_bytes, struct pack *pack);
bool wire_slot_unpack(const struct slot *slot, uint32_t payload_bytes, struct pack *pack);

#endif
