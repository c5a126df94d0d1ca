/* wire_slot.h - private to end_peer.c and serve.c: slots and jobs as messages, and back. */
#ifndef HAUL_COPY_WIRE_SLOT_H
#define HAUL_COPY_WIRE_SLOT_H

#include "haul/end.h"
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
                                 const struct wire_reply *reply);

/* The server: what was asked, into its own slot and job. The texts stay the message's. */
void wire_slot_take_request(struct slot *slot, const struct wire_request *request);
void wire_slot_take_job(struct job *job, const struct wire_request *request);

/* The server: the slot is done with `op` (the end may have changed slot->op). why: the words of a
 * failure. The payload, if message->payload_bytes says that there is one, is slot->buffer. */
void wire_slot_reply(struct wire_message *message, const struct slot *slot, enum end_op op,
                     enum end_role role, const struct error *why);

#endif
